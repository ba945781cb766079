"""Open an archive that came from anywhere: look at what it says about itself before anything is read by it."""

from __future__ import annotations

import json
import math
import re
import stat
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from corpuscle.corpus.pairs._archive_hash import archive_files
from corpuscle.errors import OptionError, SourceError

__all__ = ["MAX_BYTES", "archive_format", "check_zip_members", "open_archive"]

MAX_BYTES = 64 << 30
_MAX_MEMBERS = 1_000_000
_MAX_DOCUMENT = 4 << 20
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Codecs that turn bytes into bytes or text. "pickle" is one that Zarr would run.
_CODECS = frozenset(
    [
        "blosc",
        "zstd",
        "zlib",
        "gzip",
        "lz4",
        "bz2",
        "lzma",
        "shuffle",
        "delta",
        "fixedscaleoffset",
        "crc32",
        "crc32c",
        "vlen-utf8",
        "vlen-bytes",
        "vlen-array",
        "bytes",
        "transpose",
        "sharding_indexed",
    ]
)


def archive_format(path: str | Path) -> str:
    """Find out by its first bytes what an archive is: ``"zarr.zip"``, ``"zarr"`` or ``"h5ad"``.

    Raises
    ------
    SourceError
        There is nothing, or it is none of these.
    """
    path = Path(path)
    if path.is_dir():
        return "zarr"
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror}); check the path") from None
    if start == _HDF5:
        return "h5ad"
    if start[:2] == b"PK":
        return "zarr.zip"
    raise SourceError(f"{path}: is no zip, HDF5 file or Zarr folder (it starts with {start!r}); get the archive again")


@contextmanager
def open_archive(path: Path, format: str | None, max_bytes: int) -> Iterator[Any]:
    """The checked root group of an archive, closed at the end."""
    found = archive_format(path)
    if format is not None and format not in ("zarr.zip", "zarr", "h5ad"):
        raise OptionError(f"format {format!r} is not one of zarr.zip, zarr, h5ad; choose one")
    if format is not None and format != found:
        raise SourceError(f"{path}: is {found} and not {format}; give the right format, or get the archive again")
    with {"h5ad": _open_h5ad, "zarr.zip": _open_zip, "zarr": _open_folder}[found](path, max_bytes) as root:
        yield root


@contextmanager
def _open_h5ad(path: Path, max_bytes: int) -> Iterator[Any]:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise SourceError(f"{path}: is a damaged or truncated HDF5 file ({error}); get it again") from None
    with file:
        try:
            _check_h5(path, file, max_bytes)
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise SourceError(f"{path}: is a damaged HDF5 file ({error}); get it again") from None
        yield file


def _check_h5(path: Path, file: Any, max_bytes: int) -> None:
    """Refuse what leads out of the file, and sizes beyond the limit."""
    import h5py

    todo, seen, size = [file], {file.id.__hash__()}, 0
    while todo:
        group = todo.pop()
        for name in group:
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise SourceError(f"{path}: {group.name}/{name} is a link to elsewhere; do not use this file")
            item = group[name]
            if isinstance(item, h5py.Dataset):
                if item.external or item.is_virtual:
                    raise SourceError(f"{path}: {item.name} takes its values from other files; do not use this file")
                size += item.size * item.dtype.itemsize if item.size else 0
                _check_size(path, size, max_bytes)
            elif isinstance(item, h5py.Group) and item.id.__hash__() not in seen:
                seen.add(item.id.__hash__())
                todo.append(item)


@contextmanager
def _open_zip(path: Path, max_bytes: int) -> Iterator[Any]:
    from zarr.storage import ZipStore

    try:
        with zipfile.ZipFile(path) as pack:
            members = pack.infolist()
            check_zip_members(path, members, max_bytes)
            documents = ((member.filename, pack.read(member)) for member in members if _is_document(path, member))
            _check_zarr(path, documents, max_bytes)
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{path}: is a damaged or truncated zip ({error}); get it again") from None
    store = ZipStore(path, mode="r")
    try:
        yield _root(path, store)
    finally:
        store.close()


def check_zip_members(path: Path, members: list[zipfile.ZipInfo], max_bytes: int = MAX_BYTES) -> None:
    """Refuse a zip whose members could leave its folder, are no files, repeat, or unpack to too much.

    Raises
    ------
    SourceError
        Naming the member.
    """
    names = {member.filename for member in members}
    if len(names) != len(members):
        raise SourceError(f"{path}: has two members of one name; do not use this archive")
    if len(members) > _MAX_MEMBERS:
        raise SourceError(f"{path}: has {len(members):,} members, more than {_MAX_MEMBERS:,}; do not use this archive")
    for member in members:
        name = member.filename
        parts = name.rstrip("/").split("/")
        if "\\" in name or "\0" in name or any(p in ("", ".", "..") for p in parts) or re.match(r"^[A-Za-z]:", name):
            raise SourceError(f"{path}: member {name!r} would lie outside the archive's folder; do not use it")
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise SourceError(f"{path}: member {name!r} is a link or device; do not use this archive")
    _check_size(path, sum(member.file_size for member in members), max_bytes)


@contextmanager
def _open_folder(path: Path, max_bytes: int) -> Iterator[Any]:
    from zarr.storage import LocalStore

    documents = []
    for name, file in archive_files(path):
        if _is_metadata(name):
            if file.stat().st_size > _MAX_DOCUMENT:
                raise SourceError(f"{path}: {name} is too large for a description; do not use this archive")
            documents.append((name, file.read_bytes()))
    _check_zarr(path, documents, max_bytes)
    yield _root(path, LocalStore(path, read_only=True))


def _root(path: Path, store: Any) -> Any:
    import zarr

    try:
        # Consolidated metadata would be a second, unchecked description of the same arrays.
        return zarr.open_group(store, mode="r", use_consolidated=False)
    except Exception as error:  # Zarr raises many kinds for a store that is none
        what = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: is no Zarr store ({what}); the store must be at the archive's root") from None


def _is_metadata(name: str) -> bool:
    return name.rsplit("/", 1)[-1] in (".zarray", "zarr.json")


def _is_document(path: Path, member: zipfile.ZipInfo) -> bool:
    if not _is_metadata(member.filename):
        return False
    if member.file_size > _MAX_DOCUMENT:
        raise SourceError(f"{path}: {member.filename!r} is too large for a description; do not use this archive")
    return True


def _check_zarr(path: Path, documents: Iterable[tuple[str, bytes]], max_bytes: int) -> None:
    """Every array must name known codecs only and a size within the limit."""
    size = 0
    for name, data in documents:
        try:
            document = json.loads(data)
            codecs = set(_codec_names(document))
            size += math.prod(int(side) for side in document.get("shape", ())) * 8 if "shape" in document else 0
        except (ValueError, TypeError, AttributeError, RecursionError):
            raise SourceError(f"{path}: {name!r} cannot be read; get or build the archive again") from None
        if not codecs <= _CODECS:
            raise SourceError(f"{path}: {name!r} asks for {sorted(codecs - _CODECS)[0]!r}; only plain codecs are read")
        _check_size(path, size, max_bytes)


def _codec_names(document: Any) -> Iterator[str]:
    """Names of the codecs of an array in either version of Zarr, those inside shards too."""
    for codec in (document.get("compressor"), *(document.get("filters") or ()), *(document.get("codecs") or ())):
        if codec is None:
            continue
        yield str(codec.get("id", codec.get("name")))
        settings = codec.get("configuration") or {}
        for inner in ("codecs", "index_codecs"):
            yield from _codec_names({"codecs": settings.get(inner)})


def _check_size(path: Path, size: int, max_bytes: int) -> None:
    if size > max_bytes or size < 0:
        raise SourceError(
            f"{path}: says that it unpacks to {size:,} bytes, more than {max_bytes:,}; raise the limit to read it"
        )
