"""What a link is: how it is named in a message, where it leads, and which links are not followed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit, urlunsplit

from corpuscle.corpus.pairs._link_errors import UnsafeLink

__all__ = ["About", "Target", "download_page", "resolve", "shown"]

_SCHEME = re.compile(r"^[A-Za-z][A-Za-z0-9+.-]+:")  # two letters at least: C: is a drive
_ZENODO_DRAFT = re.compile(r"(/api/records/[^/]+)/draft(/files/)")
_SHARE = re.compile(r"/s/[A-Za-z0-9_-]+/?$")
# These open local files, other links or code under another name; a link of a data set has no use for them.
_REFUSED = frozenset(
    {"arrow_hdfs", "asynclocal", "blockcache", "cached", "data", "dir", "dirfs", "filecache", "git", "jlab", "jupyter"}
    | {"libarchive", "local", "reference", "simplecache", "tar", "zip"}
)


@dataclass(frozen=True)
class About:
    """Names a link, and the rows that need it, at the start of every message."""

    link: str
    n_rows: int | None = None

    def __str__(self) -> str:
        rows = "" if self.n_rows is None else f" ({self.n_rows:,} row{'' if self.n_rows == 1 else 's'} of the data set)"
        return f"link {shown(self.link)}{rows}"


@dataclass(frozen=True)
class Target:
    """Where a link leads: ``kind`` is local, http or fsspec; ``where`` the path or URL."""

    kind: str
    where: str


def shown(link: str) -> str:
    """The link as it may stand in a message: no credentials, no control characters, not endless."""
    text = re.sub(r"(://)[^/@]*@", r"\1***@", str(link))
    text = text.encode("unicode_escape").decode("ascii")
    return text if len(text) <= 300 else f"{text[:297]}..."


def resolve(link: str, base: str | Path | None, about: About) -> Target:
    """Where ``link`` leads; a relative one is taken from ``base``, a folder or a URL, and must stay below it.

    Raises
    ------
    UnsafeLink
        The link is empty, leaves ``base``, holds credentials or control characters, or is of a scheme not followed.
    """
    if not isinstance(link, str) or not link.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in link):
        raise UnsafeLink(f"{about}: is empty or holds control characters; build the data set again")
    if "::" in link:
        raise UnsafeLink(f"{about}: chains of links are not followed; name the archive itself")
    if _SCHEME.match(link):
        return _with_scheme(link, about)
    if Path(link).is_absolute():
        return Target("local", link)
    if ".." in re.split(r"[/\\]", link):
        raise UnsafeLink(f"{about}: leaves the folder of its data set; build the data set again")
    if base is None:
        return Target("local", link)
    if isinstance(base, str) and _SCHEME.match(base):
        return _with_scheme(urljoin(base.rstrip("/") + "/", link), about)
    inside = Path(base).resolve()
    found = (inside / link).resolve()
    if not found.is_relative_to(inside):
        raise UnsafeLink(f"{about}: leaves the folder of its data set through a symbolic link; copy the archive there")
    return Target("local", str(found))


def _with_scheme(link: str, about: About) -> Target:
    parts = urlsplit(link)
    scheme = parts.scheme.lower()
    if parts.username is not None or parts.password is not None:
        raise UnsafeLink(f"{about}: holds credentials; take them out of the rows and give them to the program instead")
    if scheme == "file":
        if parts.netloc not in ("", "localhost"):
            raise UnsafeLink(f"{about}: is a file of another machine; copy it here or serve it by http")
        return Target("local", unquote(parts.path))
    if scheme in ("http", "https"):
        if not parts.hostname:
            raise UnsafeLink(f"{about}: names no server; correct the link")
        path = _ZENODO_DRAFT.sub(r"\1\2", parts.path)  # a draft's address is dead once the record is published
        return Target("http", urlunsplit(parts._replace(path=path, fragment="")))
    if scheme in _REFUSED:
        raise UnsafeLink(f"{about}: links of the scheme {scheme}: are not followed; use file:, http(s): or s3:")
    return Target("fsspec", link)


def download_page(url: str) -> str | None:
    """The file behind a Nextcloud share page; None where the link is no such page."""
    parts = urlsplit(url)
    if not _SHARE.search(parts.path):
        return None
    return urlunsplit(parts._replace(path=parts.path.rstrip("/") + "/download"))
