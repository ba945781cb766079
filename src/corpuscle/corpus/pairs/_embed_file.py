"""Fitted embeddings as files: a zip of plain arrays and one JSON text, the same bytes for the same embedding."""

from __future__ import annotations

import io
import json
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.corpus.manifest import write_atomic
from corpuscle.errors import OutputError, SourceError

__all__ = ["FORMAT", "read_arrays", "write_arrays"]

Array = np.ndarray[Any, Any]

FORMAT = "corpuscle-embedder/1"
META = "meta.json"
MEMBER = re.compile(r"[a-z][a-z0-9_]{0,39}\.npy")
#: All members together: 10,000 genes x 4,096 components in float64 have less.
MOST_BYTES = 400_000_000
MOST_META = 20_000_000
MOST_MEMBERS = 100
DTYPES = ("<f4", "<f8")
#: A zip has no older time, and a file that says when it was made would differ each time.
EPOCH = (1980, 1, 1, 0, 0, 0)


def write_arrays(path: Path, kind: str, arrays: dict[str, Array], meta: dict[str, Any]) -> None:
    """Write the file, whole or not at all.

    Raises
    ------
    OutputError
        It cannot be written, or what the embedding holds cannot be stored without pickling.
    """
    members = {META: _meta_bytes(kind, meta)}
    for key in sorted(arrays):
        if not MEMBER.fullmatch(f"{key}.npy") or arrays[key].dtype.str not in DTYPES:
            raise OutputError(
                f"embedding {kind}: its array {key} of type {arrays[key].dtype} cannot be stored; use float32 or float64"
            )
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, np.ascontiguousarray(arrays[key]), allow_pickle=False)
        members[f"{key}.npy"] = buffer.getvalue()
    try:
        _write_zip(path, members)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}; free space or choose another place") from None


def _meta_bytes(kind: str, meta: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(meta | {"format": FORMAT, "kind": kind}, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError):
        raise OutputError(f"embedding {kind}: what it says of itself is no JSON; return plain values") from None
    return text.encode()


def _write_zip(path: Path, members: dict[str, bytes]) -> None:
    held = io.BytesIO()  # a fitted embedding is small
    with zipfile.ZipFile(held, "w") as archive:
        for member, data in members.items():
            info = zipfile.ZipInfo(member, EPOCH)
            info.create_system, info.compress_type = 3, zipfile.ZIP_DEFLATED
            archive.writestr(info, data)
    write_atomic(path, held.getvalue())


def read_arrays(path: Path) -> tuple[str, dict[str, Array], dict[str, Any]]:
    """Kind, arrays and description. Nothing is unpickled, and no size that the file claims is believed.

    Raises
    ------
    SourceError
        The file is missing, is no stored embedding, or is damaged.
    """
    try:
        if path.stat().st_size > MOST_BYTES or not path.is_file():
            raise SourceError(
                f"{path}: is no file of {MOST_BYTES // 10**6} MB or less, so no stored embedding; refused"
            )
        with path.open("rb") as file, zipfile.ZipFile(file) as archive:
            infos = _checked_members(archive, path)
            meta = _meta(_read(archive, archive.getinfo(META)), path)
            arrays = {
                info.filename.removesuffix(".npy"): _array(_read(archive, info), info.filename, path)
                for info in infos
                if info.filename != META
            }
    except OSError as error:
        raise SourceError(f"{path}: the embedding cannot be read ({error.strerror}); check the path") from None
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, ValueError, OverflowError) as error:
        raise SourceError(
            f"{path}: {_first_line(error)}; it is no stored embedding or is damaged: make it anew"
        ) from None
    except Exception as error:  # zlib.error has no public base class of its own
        if type(error).__name__ != "error":
            raise
        raise SourceError(f"{path}: a member does not unpack; the file is damaged: make it anew") from None
    return meta.pop("kind"), arrays, meta


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _read(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bytes:
    # Asked for without a size, zipfile unpacks all there is before it looks at the size that was claimed.
    with archive.open(info) as file:
        data = file.read(info.file_size + 1)
    if len(data) != info.file_size:
        raise zipfile.BadZipFile(f"{info.filename} is shorter than it claims")
    return data


def _checked_members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if META not in names or len(infos) > MOST_MEMBERS or len(set(names)) < len(names):
        raise SourceError(f"{path}: is no stored embedding; give a file that Corpuscle wrote")
    for info in infos:
        if info.filename != META and not MEMBER.fullmatch(info.filename):
            raise SourceError(f"{path}: holds {info.filename[:60]!r}, which no stored embedding has; make it anew")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise SourceError(f"{path}: {info.filename} is packed in a way that is not written here; make it anew")
    large = next(info.file_size for info in infos if info.filename == META) > MOST_META
    if large or sum(info.file_size for info in infos) > MOST_BYTES:
        raise SourceError(f"{path}: unpacks to more than {MOST_BYTES // 10**6} MB, which no embedding needs; refused")
    return infos


def _meta(data: bytes, path: Path) -> dict[str, Any]:
    def refuse(word: str) -> None:
        raise ValueError(f"{word} is no JSON number")

    try:
        meta = json.loads(data, parse_constant=refuse)
    except RecursionError:
        raise SourceError(f"{path}: its description is nested without end; make it anew") from None
    if not isinstance(meta, dict) or not isinstance(meta.get("kind"), str):
        raise SourceError(f"{path}: does not say what embedding it is; make it anew")
    found = meta.pop("format", None)
    if found != FORMAT:
        raise SourceError(f"{path}: of the format {str(found)[:60]!r}; this version reads {FORMAT}")
    return meta


def _array(data: bytes, member: str, path: Path) -> Array:
    """One array, its header held against the bytes that are there before anything is made of that size."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise SourceError(f"{path}: {member} is of an array format that is not written here; make it anew")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.str not in DTYPES or fortran or len(shape) > 2 or min(shape, default=0) < 0:
        raise SourceError(f"{path}: {member} is no float array of one or two axes; make it anew")
    rest = len(data) - file.tell()
    n = 1
    for length in shape:
        n *= length
    if n * dtype.itemsize != rest:
        raise SourceError(f"{path}: {member} claims {n:,} values and has {rest // dtype.itemsize:,}; make it anew")
    return np.frombuffer(data, dtype, n, file.tell()).reshape(shape).copy()
