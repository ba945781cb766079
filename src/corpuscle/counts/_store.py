"""HDF5 files and zarr folders behind one face, and one way for reading them to fail."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np

from corpuscle.errors import CorpuscleError, SourceError

__all__ = ["Store", "closing_on_failure", "is_array", "is_group", "reading", "text"]

Array = np.ndarray[Any, Any]
#: Files held open at once; more sources than that are reopened as they are read, well below the usual limit of 1024.
MOST_OPEN = 128
_open_stores: OrderedDict[int, Store] = OrderedDict()


@contextmanager
def reading(name: str) -> Iterator[None]:
    """Turn what the readers of others raise on a damaged file into one line about the file."""
    try:
        yield
    except CorpuscleError:
        raise
    except MemoryError:
        raise SourceError(
            f"{name}: a part of it does not fit in memory; it is damaged or its chunks are large"
        ) from None
    except Exception as error:  # HDF5, zarr, pandas and Arrow each have their own, and damage can meet any of them
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(f"{name}: cannot be read ({reason}); it may be truncated or damaged: get it again") from error


@contextmanager
def closing_on_failure() -> Iterator[None]:
    """Close the stores that were opened inside, if what is inside fails."""
    before = set(_open_stores)
    try:
        yield
    except BaseException:
        for key in set(_open_stores) - before:
            _open_stores[key].close()
        raise


class Store:
    """An HDF5 file or a zarr folder, opened when it is first read from and reopened if it was closed meanwhile."""

    def __init__(self, path: Path, kind: Literal["hdf5", "zarr"], name: str | None = None) -> None:
        self.path, self.kind, self.name = path, kind, name or str(path)
        self._root: Any = None

    @property
    def root(self) -> Any:
        """The root group."""
        if self._root is None:
            with reading(self.name):
                self._root = self._open()
        _open_stores[id(self)] = self
        _open_stores.move_to_end(id(self))
        while len(_open_stores) > MOST_OPEN:
            next(iter(_open_stores.values())).close()
        return self._root

    def _open(self) -> Any:
        if self.kind == "hdf5":
            import h5py

            return h5py.File(self.path, "r")
        import zarr

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return zarr.open_group(str(self.path), mode="r")

    def __getitem__(self, key: str) -> Any:
        """The array or group at ``key``."""
        root = self.root
        with reading(self.name):
            return root[key]

    def get(self, key: str) -> Any:
        """The array or group at ``key``, or None."""
        return self[key] if key in self else None  # noqa: SIM401 - this is what defines get

    def __contains__(self, key: str) -> bool:
        root = self.root
        with reading(self.name):
            return key in root

    def members(self, key: str = "") -> list[str]:
        """Names in the group ``key``; none if there is no such group."""
        node = self.get(key) if key else self.root
        with reading(self.name):
            return sorted(node.keys()) if is_group(node) else []

    def texts(self, key: str) -> list[str]:
        """The array of text at ``key``."""
        with reading(self.name):
            return text(self[key][:])

    def close(self) -> None:
        """Close it; reading again opens it again."""
        _open_stores.pop(id(self), None)
        root, self._root = self._root, None
        if root is not None and self.kind == "hdf5":
            root.close()


def is_group(node: Any) -> bool:
    """Whether it is a group of arrays."""
    return hasattr(node, "keys")


def is_array(node: Any) -> bool:
    """Whether it is an array with a shape (an empty HDF5 dataset has none)."""
    return not is_group(node) and getattr(node, "shape", None) is not None


def text(values: Any) -> list[str]:
    """Bytes or strings as ``str``."""
    return [
        v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in np.asarray(values).ravel().tolist()
    ]
