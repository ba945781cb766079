"""What a pickled model is rebuilt as: inert records of its objects, and its arrays as the file has them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.corpus._pickles import Refused

__all__ = ["DAMAGED", "SCALARS", "NumberType", "Record", "Refused", "Stored", "sized_array"]

Array = np.ndarray[Any, Any]
DAMAGED = "the pickle is cut short or damaged; get the file again"
SCALARS = (str, int, float, bytes, type(None))
MAX_AXES = 4


@dataclass(eq=False, slots=True)
class Record:
    """An object of a library's class: what it is called and what it holds, and nothing that can run."""

    name: str
    args: tuple[Any, ...] = ()
    state: Any = None
    made: bool = True

    def field(self, key: str) -> Any:
        """The attribute of that name; None where there is none."""
        return self.state.get(key) if isinstance(self.state, dict) else None


@dataclass(eq=False, slots=True)
class Stored:
    """An array as the file has it."""

    shape: tuple[int, ...] = (0,)
    dtype: Any = None
    fortran: bool = False
    data: Any = b""

    def array(self) -> Array:
        """The values; a view of the file's bytes, or a copy of the list for objects.

        Raises
        ------
        ValueError
            The file never said what is in it, or it holds more than names and numbers.
        """
        if isinstance(self.data, bytes):
            if self.dtype is None:
                raise ValueError(DAMAGED)
            flat: Array = np.frombuffer(self.data, dtype=self.dtype)
        else:
            # NumPy would look into lists in lists, which a few bytes can make endless.
            if not all(isinstance(one, SCALARS) for one in self.data):
                raise ValueError(DAMAGED)
            flat = np.empty(len(self.data), dtype=object)
            flat[:] = self.data
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


@dataclass(eq=False, slots=True)
class NumberType:
    """A NumPy type, its byte order set after it was made, as pickles do."""

    code: str
    order: str = "|"

    def dtype(self) -> Any:
        return np.dtype(object) if self.code[0] == "O" else np.dtype(self.order + self.code)


def sized_array(shape: Any, kind: Any, fortran: Any, data: Any) -> tuple[tuple[int, ...], Any, bool, Any]:
    """Parts of an array, known to fit each other before anything is reserved for them."""
    if not isinstance(kind, NumberType) or not isinstance(shape, tuple) or len(shape) > MAX_AXES:
        raise Refused(DAMAGED)
    if any(type(length) is not int or length < 0 for length in shape):
        raise Refused(DAMAGED)
    dtype = kind.dtype()
    if dtype.hasobject:
        fits = isinstance(data, list) and len(data) == math.prod(shape)
    else:
        fits = isinstance(data, bytes) and dtype.itemsize > 0 and len(data) == math.prod(shape) * dtype.itemsize
    if not fits:
        raise Refused(f"an array in the pickle has not the size it states; {DAMAGED}")
    return shape, dtype, bool(fortran), data
