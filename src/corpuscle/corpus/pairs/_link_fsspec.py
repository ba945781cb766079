"""Transfers through fsspec: s3:, gs:, webdav: and whatever else is installed. Files and folders of zarr."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from corpuscle.corpus.pairs._link_cache import Entry, remove
from corpuscle.corpus.pairs._link_errors import DeadLink, TooLarge, TruncatedArchive, UnsafeArchive
from corpuscle.corpus.pairs._link_words import About
from corpuscle.errors import CorpuscleError, OptionError, OutputError

__all__ = ["download_fsspec"]

_CHUNK = 1 << 22
_MAX_FILES = 1_000_000


def download_fsspec(
    link: str, entry: Entry, about: About, *, max_bytes: int, options: Mapping[str, Any] | None = None
) -> str:
    """Fetch ``link`` into ``entry.part``, a file or a folder, and return its ETag ("" where it has none).

    Raises
    ------
    DeadLink, TruncatedArchive, TooLarge, UnsafeArchive
        See the classes.
    OptionError
        The package that reads such links is not installed, or the scheme is not known.
    """
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(link, **dict(options or {}))
    except (ImportError, ValueError) as error:
        raise OptionError(
            f"{about}: cannot be opened here ({error}); for s3:// run: pip install 'corpuscle[remote]'"
        ) from None
    remove(entry.part)
    try:
        system.invalidate_cache()  # a link that was dead a moment ago is asked for again
        info = system.info(path)
        if info["type"] == "directory":
            _folder(system, path, entry.part, about, max_bytes)
        else:
            _file(system, path, entry.part, about, max_bytes, info.get("size"))
    except CorpuscleError:
        raise
    except FileNotFoundError:
        raise DeadLink(f"{about}: there is no such file; correct the link or put it back") from None
    except Exception as error:  # every backend has its own types
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise DeadLink(f"{about}: cannot be read ({reason}); see that the server runs and lets you read it") from None
    return str(info.get("ETag") or info.get("etag") or "")[:200]


def _folder(system: Any, path: str, part: Path, about: About, max_bytes: int) -> None:
    root = path.rstrip("/") + "/"
    left = max_bytes
    found = system.find(path, detail=True)
    if not found:
        raise DeadLink(f"{about}: the folder is empty; correct the link or put it back")
    if len(found) > _MAX_FILES:
        raise TooLarge(f"{about}: holds {len(found):,} files and the limit is {_MAX_FILES:,}; share it as zarr.zip")
    for name, info in sorted(found.items()):
        inside = PurePosixPath(name[len(root) :])
        if not name.startswith(root) or inside.is_absolute() or ".." in inside.parts or "\\" in str(inside):
            raise UnsafeArchive(f"{about}: holds a file outside its folder; do not use this archive")
        target = part.joinpath(*inside.parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        left -= _file(system, name, target, about, left, info.get("size"))


def _file(system: Any, path: str, target: Path, about: About, max_bytes: int, size: int | None) -> int:
    if size is not None and size > max_bytes:
        raise TooLarge(
            f"{about}: is {size:,} bytes and {max_bytes:,} are left of the limit; allow more if you trust it"
        )
    got = 0
    with system.open(path, "rb") as remote, target.open("wb") as file:
        while chunk := remote.read(_CHUNK):
            got += len(chunk)
            if got > max_bytes:
                raise TooLarge(f"{about}: is over the limit of {max_bytes:,} bytes; allow more if you trust it")
            try:
                file.write(chunk)
            except OSError as error:
                raise OutputError(f"{target.parent}: cannot be written ({error.strerror}); free some space") from None
    if size is not None and got != size:
        raise TruncatedArchive(f"{about}: {got:,} of {size:,} bytes came; call again")
    return got
