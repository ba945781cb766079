"""A trained classifier as one ``.npz`` file of plain arrays: nothing in it can run code."""

from __future__ import annotations

import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.errors import OutputError, SourceError

__all__ = ["read_arrays", "write_arrays"]

Array = np.ndarray[Any, Any]
#: A classifier of 1,000 types on 20,000 genes has 80 MB.
MOST_BYTES = 2**29
GET_AGAIN = "get the file again, or train anew"


def write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays under a temporary name in the same folder, then take the final name.

    Raises
    ------
    OutputError
        The folder is missing, or it cannot be written.
    """
    path = path.expanduser()
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    handle, name = tempfile.mkstemp(prefix=".writing-", suffix=".npz", dir=path.parent)
    working = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            np.savez_compressed(file, **{name: np.asarray(array, order="C") for name, array in arrays.items()})  # type: ignore[arg-type]
        working.replace(path)
    except OSError as error:
        raise OutputError(
            f"cannot write {path}: {error.strerror or error}; free space or choose another folder"
        ) from None
    finally:
        working.unlink(missing_ok=True)


def read_arrays(path: Path, expected: Mapping[str, tuple[str, int]]) -> dict[str, Array]:
    """Read the arrays of a file that anybody may have made.

    Parameters
    ----------
    expected
        Name -> (kinds of dtype that are right, such as ``"f"``, and number of dimensions).

    Raises
    ------
    SourceError
        It is no such file, is damaged, lacks an array, or has one of another form.
    """
    path = path.expanduser()
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; check the path")
    try:
        with zipfile.ZipFile(path) as archive:
            return {name: _member(archive, path, name, *form) for name, form in expected.items()}
    except (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SourceError(
            f"{path}: is not a classifier that was saved here, or is damaged ({reason}); {GET_AGAIN}"
        ) from None


def _member(archive: zipfile.ZipFile, path: Path, name: str, kinds: str, n_dims: int) -> Array:
    try:
        info = archive.getinfo(f"{name}.npy")
    except KeyError:
        raise SourceError(
            f"{path}: holds no {name}, so it is not a classifier that was saved here; check the path"
        ) from None
    if info.file_size > MOST_BYTES:
        raise SourceError(f"{path}: {name} is too large to be part of a classifier; {GET_AGAIN}")
    with archive.open(info) as file:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise SourceError(f"{path}: {name} is of another format of arrays; {GET_AGAIN}")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
        if dtype.hasobject or dtype.kind not in kinds or len(shape) != n_dims or fortran:
            raise SourceError(f"{path}: {name} is not of the form that it should have; {GET_AGAIN}")
        # What the header promises is compared with what is there before any memory is taken for it.
        n_bytes = dtype.itemsize
        for size in shape:
            n_bytes *= size
        if n_bytes > info.file_size:
            raise SourceError(f"{path}: {name} is truncated; {GET_AGAIN}")
        data = file.read(n_bytes)
    if len(data) != n_bytes:
        raise SourceError(f"{path}: {name} is truncated; {GET_AGAIN}")
    return np.frombuffer(data, dtype).reshape(shape)
