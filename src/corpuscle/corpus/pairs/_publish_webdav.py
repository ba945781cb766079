"""A WebDAV server; with ``share=True`` a Nextcloud, which takes large files in pieces and makes a public link for each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from corpuscle.corpus.pairs._publish_pieces import send_pieces
from corpuscle.corpus.pairs._publish_web import safe_base, secret, told
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    import httpx
    from webdav4.client import Client

__all__ = ["WebDAVPublisher"]

_SHARES = "ocs/v2.php/apps/files_sharing/api/v1/shares"
_DAV = "remote.php/dav"
_TIMEOUT = 300.0
#: Ending of a name under which a file is not whole yet. Nextcloud refuses ``.part``, which is its own.
_PASSING = ".sending"


class WebDAVPublisher:
    """Sends files by WebDAV.

    Parameters
    ----------
    url
        The server. With ``share=True`` its first page, e.g. ``"https://cloud.example.org"``, or any address below its
        ``remote.php``; else the WebDAV folder to write into.
    folder
        Folder below it; it is made.
    share
        The server is a Nextcloud: make a public read-only link for every archive, and use that.
    link_base
        Without ``share``: what links start with, where files are read by another address than they are written by.
    user_variable, password_variable
        Names of the environment variables with user and password (a password for apps, where the server has them).
    pieces_from, piece_bytes
        With ``share``: files of so many bytes or more go up in pieces of so many. Nextcloud asks for pieces of 5 MiB to 5 GiB.
        Plain WebDAV has no such way: there a file is one request, of whatever size, that is read from disk as it is sent.

    Raises
    ------
    OptionError
        The address is none that credentials may be sent to, or a size is below 1.
    """

    nested = True

    @property
    def folders(self) -> bool:
        """Public links of a Nextcloud are of single files."""
        return not self.share

    def __init__(
        self,
        url: str,
        folder: str = "",
        *,
        share: bool = False,
        link_base: str | None = None,
        user_variable: str = "CORPUSCLE_WEBDAV_USER",
        password_variable: str = "CORPUSCLE_WEBDAV_PASSWORD",
        pieces_from: int = 1 << 30,
        piece_bytes: int = 50 << 20,
    ) -> None:
        if min(pieces_from, piece_bytes) < 1:
            raise OptionError(f"pieces of {piece_bytes} bytes from {pieces_from} on are none; both are at least 1")
        self.url = safe_base(url)
        if share:
            self.url = self.url.partition("/remote.php")[0]
        self.pieces_from = pieces_from
        self.piece_bytes = piece_bytes
        self.folder = folder.strip("/")
        self.share = share
        self.link_base = link_base
        self.user_variable = user_variable
        self.password_variable = password_variable
        self._made: set[str] = set()

    def put(self, path: Path, name: str) -> str:
        """Send one file under a passing name, compare its size, rename it, and return its link.

        Raises
        ------
        OptionError
            User or password are not in the environment.
        OutputError
            The server refused, was not there, or kept another number of bytes.
        """
        target = "/".join(part for part in (self.folder, name) if part)
        with told(name, urlsplit(self.url).hostname or self.url), self._http() as http:
            from webdav4.client import Client

            client = Client(self._root(), http_client=http, retry=False)
            self._make_folders(client, target)
            self._send(client, http, path, target)
            # The card and the rows are read through the archives' links; only archives need one each.
            if self.share and name.startswith("archives/"):
                return self._public_link(http, target)
        base = (
            self.link_base.rstrip("/") if self.link_base else "/".join(filter(None, (self._root(), quote(self.folder))))
        )
        return f"{base}/{quote(name)}"

    def finish(self) -> None:
        """Nothing: a file is visible when it is renamed."""

    def _root(self) -> str:
        """Where WebDAV starts."""
        return self._below_dav("files") if self.share else self.url

    def _below_dav(self, what: str) -> str:
        return f"{self.url}/{_DAV}/{what}/{quote(secret(self.user_variable), safe='')}"

    @contextmanager
    def _http(self) -> Iterator[Any]:
        from webdav4.http import Client as HTTPClient

        user = (secret(self.user_variable), secret(self.password_variable))
        with HTTPClient(base_url=self._root(), auth=user, timeout=_TIMEOUT, follow_redirects=False) as http:
            yield http

    def _make_folders(self, client: Client, target: str) -> None:
        parts = target.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            folder = "/".join(parts[:depth])
            if folder not in self._made and not client.exists(folder):
                client.mkdir(folder)
            self._made.add(folder)

    def _send(self, client: Client, http: httpx.Client, path: Path, target: str) -> None:
        passing, size = f"{target}{_PASSING}", path.stat().st_size
        if self.share and size >= self.pieces_from:
            send_pieces(http, self._below_dav("uploads"), path, f"{self._root()}/{quote(passing)}", self.piece_bytes)
        else:
            with path.open("rb") as file:
                client.upload_fileobj(file, passing, overwrite=True, size=size)
        kept = client.content_length(passing)
        if kept != size:
            client.remove(passing)
            raise OutputError(f"{target}: the server kept {kept} of {size:,} bytes; try again")
        client.move(passing, target, overwrite=True)

    def _public_link(self, http: httpx.Client, target: str) -> str:
        """The public link of a file; one that was made before is used again."""
        where, asks = f"{self.url}/{_SHARES}", {"OCS-APIRequest": "true", "Accept": "application/json"}
        found = http.get(where, params={"path": f"/{target}", "format": "json"}, headers=asks)
        # Nextcloud says 404 for a file that has no share yet.
        shares = [] if found.status_code == 404 else _ocs_data(found)
        for share in shares if isinstance(shares, list) else []:
            if share.get("share_type") == 3 and not share.get("password") and share.get("url"):
                return self._download(share["url"])
        ask = {"path": f"/{target}", "shareType": "3", "permissions": "1"}
        made = _ocs_data(http.post(where, params={"format": "json"}, data=ask, headers=asks))
        return self._download(made["url"])

    def _download(self, page: str) -> str:
        """The link of the file itself and not of the page about it; it must be of the same server."""
        if urlsplit(page).hostname != urlsplit(self.url).hostname:
            raise OutputError(f"the server gave a share on another server ({page[:80]!r}); check its settings")
        return f"{page.rstrip('/')}/download"


def _ocs_data(response: httpx.Response) -> Any:
    response.raise_for_status()
    answer = response.json()["ocs"]
    if answer["meta"]["statuscode"] not in (100, 200):
        raise OutputError(
            f"the server made no share ({str(answer['meta'].get('message'))[:120]}); allow public links there"
        )
    return answer["data"]
