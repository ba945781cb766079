"""A deposition on Zenodo, or on another server that speaks as it does."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from corpuscle.corpus.pairs._publish_web import safe_base, secret, told
from corpuscle.errors import OptionError, OutputError

if TYPE_CHECKING:
    import httpx

__all__ = ["ZenodoPublisher"]

_TIMEOUT = 300.0


class ZenodoPublisher:
    """Puts files into a draft. The draft is published by hand, since that cannot be undone.

    The links are those of the published record, so they work from then on and need no rewriting.

    Parameters
    ----------
    deposition
        Number of a draft to fill; by default a new one is made by the first file.
    metadata
        Metadata of a new draft, e.g. ``{"title": …, "upload_type": "dataset", "creators": [{"name": …}]}``.
    base
        Address of the server.
    token_variable
        Name of the environment variable with the access token.
    """

    nested = False

    def __init__(
        self,
        deposition: int | None = None,
        *,
        metadata: Mapping[str, Any] | None = None,
        base: str = "https://zenodo.org",
        token_variable: str = "ZENODO_TOKEN",
    ) -> None:
        self.base = safe_base(base)
        self.deposition = deposition
        self.metadata = dict(metadata or {})
        self.token_variable = token_variable
        self._bucket: str | None = None
        self._names: dict[str, str] = {}

    def put(self, path: Path, name: str) -> str:
        """Send one file, compare its MD5 with what the server kept, and return its link.

        Raises
        ------
        OptionError
            The token is not in the environment, or two files would have the same name.
        OutputError
            The server refused, was not there, or kept other bytes.
        """
        flat = name.rsplit("/", 1)[-1]
        if self._names.setdefault(flat, name) != name:
            raise OptionError(
                f"{name}: has the same last name as {self._names[flat]}, and Zenodo knows no folders; rename one"
            )
        with told(name, urlsplit(self.base).hostname or self.base):
            import httpx

            headers = {"Authorization": f"Bearer {secret(self.token_variable)}"}
            with (
                httpx.Client(headers=headers, timeout=_TIMEOUT, follow_redirects=False) as client,
                path.open("rb") as file,
            ):
                address = f"{self._open_bucket(client)}/{quote(flat, safe='')}"
                size = {"Content-Length": str(path.stat().st_size), "Content-Type": "application/octet-stream"}
                answer = client.put(address, content=iter(lambda: file.read(1 << 20), b""), headers=size)
                answer.raise_for_status()
                _check_md5(path, name, answer.json())
        return f"{self.base}/records/{self.deposition}/files/{quote(flat)}?download=1"

    def finish(self) -> None:
        """Nothing: the draft is published by hand."""

    def _open_bucket(self, client: httpx.Client) -> str:
        """Address of the draft's files; a draft is made where there is none."""
        if self._bucket is None:
            place = f"{self.base}/api/deposit/depositions"
            if self.deposition is None:
                answer = client.post(place, json={"metadata": self.metadata} if self.metadata else {})
            else:
                answer = client.get(f"{place}/{self.deposition}")
            answer.raise_for_status()
            draft = answer.json()
            bucket = str(draft["links"]["bucket"])
            if urlsplit(bucket)[:2] != urlsplit(self.base)[:2]:
                raise OutputError(f"the server wants files on another server ({bucket[:80]!r}); nothing was sent")
            self.deposition, self._bucket = int(draft["id"]), bucket.rstrip("/")
        return self._bucket


def _check_md5(path: Path, name: str, kept: Any) -> None:
    found = re.fullmatch(r"md5:([0-9a-f]{32})", str(kept.get("checksum", "")))
    with path.open("rb") as file:
        sent = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found is None or found[1] != sent:
        raise OutputError(f"{name}: the server kept other bytes than were sent (its MD5 differs); try again")
