"""Is this file the archive that it should be, and safe to open? Decided from bytes, never from the name."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from corpuscle.corpus.pairs._archive_open import check_zip_members, open_archive
from corpuscle.corpus.pairs._link_errors import (
    LinkError,
    SharePage,
    TruncatedArchive,
    UnsafeArchive,
    WrongFormat,
    ZipBomb,
)
from corpuscle.corpus.pairs._link_words import About
from corpuscle.errors import SourceError

__all__ = ["FORMATS", "Limits", "check_archive"]

FORMATS = ("zarr.zip", "zarr", "h5ad")
_ROOTS = frozenset({"zarr.json", ".zgroup"})
_HDF5 = b"\x89HDF\r\n\x1a\n"
_RATIO = 200
_SMALL = 64 << 20  # below this, what is unpacked harms nobody whatever the ratio


@dataclass(frozen=True)
class Limits:
    """How much an archive may unpack to, in bytes."""

    unpacked: int


def check_archive(path: Path, about: About, *, format: str | None, limits: Limits, deep: bool = True) -> str:
    """See that ``path`` is a whole, harmless archive, and return its format.

    Parameters
    ----------
    path
        File or folder.
    about
        Names the link in messages.
    format
        What the rows say that it is; None where they say nothing.
    limits
        Largest size that it may unpack to.
    deep
        Read every member of a zip and compare its check value: needed where no SHA-256 vouches for the bytes.

    Raises
    ------
    SharePage, TruncatedArchive, WrongFormat, UnsafeArchive, ZipBomb
        See the classes.
    """
    found = _kind(path, about)
    if format is not None and found != format:
        raise WrongFormat(f"{about}: is {found} and the rows say {format}; correct the link or the rows")
    {"zarr.zip": _check_zip, "zarr": _check_folder, "h5ad": _check_h5ad}[found](path, about, limits, deep)
    with _unsafe(path, about), open_archive(path, found, limits.unpacked):
        pass
    return found


def _kind(path: Path, about: About) -> str:
    if path.is_dir():
        return "zarr"
    with path.open("rb") as file:
        head = file.read(512)
    if not head:
        raise TruncatedArchive(f"{about}: the file is empty; put the archive back")
    if head.startswith(b"PK\x03\x04"):
        return "zarr.zip"
    if head.startswith(_HDF5):
        return "h5ad"
    if re.match(
        rb"(\xef\xbb\xbf)?\s*(<!--.{0,200}-->\s*)?<(!doctype\s+html|html|head)", head, re.IGNORECASE | re.DOTALL
    ):
        raise SharePage(f"{about}: is a web page, not an archive; use the link of the file itself")
    if _HDF5.startswith(head) or b"PK\x03\x04".startswith(head):
        raise TruncatedArchive(f"{about}: the file ends after {len(head)} bytes; put the archive back")
    raise WrongFormat(f"{about}: is neither zarr.zip nor h5ad; correct the link")


def _check_zip(path: Path, about: About, limits: Limits, deep: bool) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size, total = path.stat().st_size, sum(member.file_size for member in members)
            if total > limits.unpacked or (total > _SMALL and total > _RATIO * size):
                raise ZipBomb(f"{about}: {size:,} bytes would unpack to {total:,}; allow more if you trust it")
            with _unsafe(path, about):
                check_zip_members(path, members, limits.unpacked)
            if not _ROOTS & {member.filename for member in members}:
                raise WrongFormat(f"{about}: is a zip without a zarr store at its root; correct the link")
            bad = archive.testzip() if deep else None
    except LinkError:
        raise
    except (NotImplementedError, RuntimeError) as error:
        raise UnsafeArchive(f"{about}: the zip cannot be read here ({error}); write it without encryption") from None
    except Exception as error:  # the decompressors have their own types, zlib.error among them
        raise TruncatedArchive(f"{about}: the zip is cut off or damaged ({error}); put the archive back") from None
    if bad is not None:
        raise TruncatedArchive(f"{about}: member {ascii(bad)[:120]} is damaged; put the archive back")


def _check_folder(path: Path, about: About, limits: Limits, deep: bool) -> None:
    if not any((path / name).is_file() for name in _ROOTS):
        raise WrongFormat(f"{about}: is a folder without a zarr store; correct the link")


def _check_h5ad(path: Path, about: About, limits: Limits, deep: bool) -> None:
    import h5py

    try:
        with h5py.File(path, "r") as file:
            file.visititems(lambda name, one: None)  # follows no link out of the file, and meets what is cut off
    except Exception as error:  # h5py raises what the library says: OSError, RuntimeError, KeyError
        reason = " ".join(str(error).split())[:160]
        raise TruncatedArchive(f"{about}: the file is cut off or damaged ({reason}); put the archive back") from None


@contextmanager
def _unsafe(path: Path, about: About) -> Iterator[None]:
    """What the reader of archives refuses, as an error of this link."""
    try:
        yield
    except LinkError:
        raise
    except SourceError as error:
        raise UnsafeArchive(f"{about}: {str(error).removeprefix(f'{path}: ')}") from None
