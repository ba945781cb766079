"""Fitted linear models out of pickle files, read without importing or running anything that the files ask for.

A pickle is a program for a small stack machine, and Python's own reader lets it import and call functions. The reader
here knows the instructions that fitted estimators consist of. NumPy's arrays and scalars it rebuilds itself; every other
class of a numerical library becomes an inert :class:`Record` of its name and its state; anything else is refused.

What a file can cost is bounded: the number of instructions is, array data are views of the file's own bytes, and a list
that is to become an array stays the one list until somebody asks for it.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from corpuscle.annotate.sources._pickled_parts import DAMAGED, SCALARS, NumberType, Record, Refused, Stored, sized_array
from corpuscle.corpus._pickles import STEPS as PLAIN_STEPS
from corpuscle.corpus._pickles import Machine
from corpuscle.errors import SourceError

__all__ = ["read_pickled_model"]

#: Packages whose objects may occur in a model. Their names are kept, nothing of theirs is imported.
LIBRARIES = frozenset({"numpy", "pandas", "scipy", "sklearn"})
#: What stands for a function or class that this reader does the work of.
ROLES = {
    "_codecs.encode": "encode",
    "builtins.bytes": "bytes",
    "__builtin__.bytes": "bytes",
    "builtins.bytearray": "bytes",
    "__builtin__.bytearray": "bytes",
    "numpy.dtype": "dtype",
    "numpy.ndarray": "ndarray",
    **{f"numpy.{core}.multiarray._reconstruct": "array" for core in ("core", "_core")},
    **{f"numpy.{core}.multiarray.scalar": "scalar" for core in ("core", "_core")},
    **{f"numpy.{core}.numeric._frombuffer": "buffer" for core in ("core", "_core")},
}
#: Boolean, whole numbers, floats, fixed-width text, objects.
DTYPE = re.compile(r"b1|i[1248]|u[1248]|f[248]|U\d{1,6}|O8?")
ORDERS = {"<": "<", ">": ">", "|": "|", "=": "<"}
PROTOCOLS = range(2, 6)
#: A model of 40,000 genes and 1,000 types takes less than a twentieth of this.
MAX_INSTRUCTIONS = 4_000_000
#: Bytes of one scalar. Each use of a remembered one is a copy, so a long text could be made to fill the memory.
MAX_SCALAR = 256


@dataclass(eq=False, slots=True)
class _Role:
    """A function or class that the file names, and that this reader does itself."""

    role: str


def read_pickled_model(data: bytes, *, source: str) -> Any:
    """What a pickle of protocol 2 to 5 holds: dictionaries, lists, tuples, text, numbers, arrays and records.

    Parameters
    ----------
    data
        The whole file.
    source
        What messages call it.

    Returns
    -------
    Any
        Objects of numerical libraries are :class:`Record`, arrays :class:`Stored`, NumPy scalars plain numbers or text.

    Raises
    ------
    SourceError
        It asks for something that no fitted model needs, is cut short or damaged, or is no such pickle.
    """
    try:
        return _ModelMachine(data).run()
    except Refused as problem:
        raise SourceError(f"{source}: {problem}") from None
    except (ArithmeticError, AttributeError, LookupError, MemoryError, struct.error, TypeError, ValueError):
        raise SourceError(f"{source}: {DAMAGED}") from None


class _ModelMachine(Machine):
    """The stack machine of pickles, with arrays and inert records, and nothing that reaches outside."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self.encoded: dict[str, bytes] = {}

    def run(self) -> Any:
        """Carry out the file to its end and return what it leaves."""
        data = self.data
        if len(data) < 2 or data[0] != 0x80 or data[1] not in PROTOCOLS:
            raise Refused("not a pickle of protocol 2 to 5; give the model file (.pkl) as it was published")
        for _ in range(MAX_INSTRUCTIONS):
            if self.at >= len(data):
                raise Refused(DAMAGED)
            code = data[self.at]
            self.at += 1
            if code == STOP:
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                raise Refused(
                    f"refused: the pickle uses the instruction {_instruction(code)}, which a fitted model does not need; "
                    "get the original file"
                )
            step(self)
        raise Refused(f"refused: the pickle has over {MAX_INSTRUCTIONS:,} instructions; get the original file")

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        target = self.stack[-1]
        if not isinstance(target, dict) or len(items) % 2:
            raise Refused(DAMAGED)
        for key, value in zip(items[::2], items[1::2], strict=True):
            if not isinstance(key, SCALARS):  # hashing a nested tuple can take for ever
                raise Refused(f"refused: a key of a dictionary is a {type(key).__name__}; get the original file")
            target[key] = value

    def name(self, module: str, name: str) -> None:
        """Push what stands for the function or class of that name."""
        full = f"{module}.{name}"
        if full in ROLES:
            self.push(_Role(ROLES[full]))
        elif module.split(".")[0] in LIBRARIES and re.fullmatch(r"[\w.]+", full, re.ASCII):
            self.push(Record(full, made=False))
        else:
            shown = re.sub(r"[^\w.]", "?", full)[:80]
            raise Refused(
                f"refused: the pickle asks for {shown}, which a fitted model does not need and which could run code; "
                "get the original file"
            )

    def call(self) -> None:
        """Rebuild an array or a scalar, or note an object's class and what it was made from."""
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(args, tuple):
            raise Refused(DAMAGED)
        if isinstance(function, Record) and not function.made:
            self.push(Record(function.name, args))
        elif isinstance(function, _Role) and function.role in FUNCTIONS:
            self.push(FUNCTIONS[function.role](self, *args))
        else:
            raise Refused("refused: the pickle calls what is no class of a numerical library; get the original file")

    def new_object(self) -> None:
        """Note an object that is made without its constructor."""
        args, cls = self.stack.pop(), self.stack.pop()
        if not isinstance(cls, Record) or cls.made or not isinstance(args, tuple):
            raise Refused("refused: the pickle makes an object of what is no class of a library; get the original file")
        self.push(Record(cls.name, args))

    def set_state(self) -> None:
        """Give the object on top its state."""
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Record) and target.made and target.state is None:
            target.state = state
        elif isinstance(target, Stored) and target.dtype is None and isinstance(state, tuple) and len(state) == 5:
            target.shape, target.dtype, target.fortran, target.data = sized_array(*state[1:])
        elif isinstance(target, NumberType) and isinstance(state, tuple) and len(state) in (8, 9):
            plain = all(one is None for one in state[2:5]) and isinstance(state[1], str)
            if not plain or state[1] not in ORDERS:
                raise Refused("refused: an array in the pickle has fields or a byte order of its own; get another file")
            target.order = ORDERS[state[1]]
        else:
            raise Refused(DAMAGED)

    def bytes_of(self, text: Any) -> bytes:
        """The bytes that protocol 2 writes as text; the same object for the same text, so repeats cost nothing."""
        if text not in self.encoded:
            self.encoded[text] = text.encode("latin1")
        return self.encoded[text]


# -- what the file's functions become --------------------------------------------------------------------------------


def _dtype(machine: _ModelMachine, code: Any, *flags: Any) -> NumberType:
    if not isinstance(code, str) or len(flags) > 2 or not DTYPE.fullmatch(code):
        raise Refused(f"refused: NumPy type {_short(code)} is no number and no text; get the original file")
    return NumberType(code, "|" if code in ("b1", "i1", "u1") else "<")


def _empty(machine: _ModelMachine, cls: Any, shape: Any, code: Any) -> Stored:
    if not isinstance(cls, _Role) or cls.role != "ndarray":
        raise Refused("refused: the pickle holds an array of a class of its own; get the original file")
    return Stored()


def _buffer(machine: _ModelMachine, data: Any, kind: Any, shape: Any, order: Any) -> Stored:
    if order not in ("C", "F"):
        raise Refused(DAMAGED)
    return Stored(*sized_array(shape, kind, order == "F", data))


def _scalar(machine: _ModelMachine, kind: Any, raw: Any) -> Any:
    _, dtype, _, data = sized_array((1,), kind, False, raw)
    if dtype.hasobject or dtype.itemsize > MAX_SCALAR:
        raise Refused("refused: a NumPy scalar in the pickle is an object or a long text; get the original file")
    return np.frombuffer(data, dtype=dtype).item()


def _encode(machine: _ModelMachine, text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or not isinstance(encoding, str) or encoding not in ("latin1", "latin-1"):
        raise Refused(DAMAGED)
    return machine.bytes_of(text)


def _bytes(machine: _ModelMachine, data: Any = b"") -> bytes:
    if not isinstance(data, bytes):
        raise Refused(DAMAGED)
    return data


def _short(value: Any) -> str:
    return repr(re.sub(r"\W", "?", value)[:20]) if isinstance(value, str) else f"a {type(value).__name__}"


def _instruction(code: int) -> str:
    names = (name for name in pickle.__all__ if name.isupper() and getattr(pickle, name) == bytes([code]))
    return next(names, f"0x{code:02x}")


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "array": _empty,
    "buffer": _buffer,
    "bytes": _bytes,
    "dtype": _dtype,
    "encode": _encode,
    "scalar": _scalar,
}
STOP = pickle.STOP[0]
STEPS: dict[int, Callable[[Any], Any]] = {
    **PLAIN_STEPS,
    pickle.REDUCE[0]: _ModelMachine.call,
    pickle.BUILD[0]: _ModelMachine.set_state,
    pickle.NEWOBJ[0]: _ModelMachine.new_object,
    pickle.BINBYTES8[0]: lambda m: m.push(m.take(m.number("<Q", 8))),
    pickle.BYTEARRAY8[0]: lambda m: m.push(m.take(m.number("<Q", 8))),
}
