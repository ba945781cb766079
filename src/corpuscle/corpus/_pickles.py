"""Dictionaries of numbers or names out of pickle files, read without running anything that the file asks for.

The dictionaries of published models are pickles. A pickle is a program for a small stack machine, and Python's own
reader lets it import and call functions. The reader here knows only the instructions that plain dictionaries
consist of, and of the few functions that NumPy scalars name it does the work itself, for plain numbers.
"""

from __future__ import annotations

import pickle
import re
import struct
from collections.abc import Callable
from typing import Any, NamedTuple

from corpuscle.errors import SourceError

__all__ = ["STEPS", "Machine", "Refused", "Scalar", "read_pickled_dictionary"]

Scalar = str | int | float | bool
#: What one function of NumPy's, or of Python's for bytes in protocol 2, becomes here.
ALLOWED = {
    "numpy.core.multiarray.scalar": "scalar",
    "numpy._core.multiarray.scalar": "scalar",
    "numpy.dtype": "dtype",
    "_codecs.encode": "encode",
}
#: NumPy's type code -> that of :mod:`struct`.
STRUCT_CODES = {
    "b1": "?", "i1": "b", "i2": "h", "i4": "i", "i8": "q", "u1": "B", "u2": "H", "u4": "I", "u8": "Q",
    "f2": "e", "f4": "f", "f8": "d",
}  # fmt: skip
BYTE_ORDERS = {"<": "<", ">": ">", "|": "<", "=": "<"}
PROTOCOLS = range(2, 6)


class _Global(NamedTuple):
    """A function that the file names, and that this reader does itself."""

    role: str


class _Number:
    """A plain numeric type, its byte order set after it was made, as pickles do."""

    def __init__(self, code: str) -> None:
        self.code, self.order = code, "<"


class Refused(Exception):
    """What is wrong with the file, for the line that names it."""


class _Mark:
    """Where on the stack a collection begins."""


MARK = _Mark()


def read_pickled_dictionary(data: bytes, *, source: str) -> dict[str, Scalar]:
    """The dictionary of a pickle of protocol 2 to 5.

    Parameters
    ----------
    data
        The whole file.
    source
        What messages call it.

    Returns
    -------
    dict
        Keys are text; values are Python text, whole numbers, floats or booleans, also where the file has NumPy
        scalars.

    Raises
    ------
    SourceError
        It asks for a function, a persistent object or an extension, is cut short, or is not a flat dictionary.
    """
    try:
        value = Machine(data).run()
        return _flat(value)
    except Refused as problem:
        raise SourceError(f"{source}: {problem}") from None
    except (
        IndexError,
        KeyError,
        struct.error,
        UnicodeDecodeError,
        AttributeError,
        TypeError,
        ValueError,
        OverflowError,
    ):
        raise SourceError(f"{source}: the pickle is cut short or damaged; get the file again") from None


def _flat(value: Any) -> dict[str, Scalar]:
    if not isinstance(value, dict):
        raise Refused(f"the pickle holds a {_type(value)} where a dictionary is needed; give another file")
    for key, one in value.items():
        if not isinstance(one, str | int | float):
            raise Refused(f"the value of {key[:40]!r} is a {_type(one)}, not a number or a name; give another file")
    return value


def _type(value: Any) -> str:
    return {_Global: "function", _Number: "dtype"}.get(type(value), type(value).__name__)


class Machine:
    """The stack machine of pickles, without the instructions that reach outside."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """Carry out the file to its end and return what it leaves."""
        data = self.data
        if len(data) < 2 or data[0] != 0x80 or data[1] not in PROTOCOLS:
            raise Refused("not a pickle of protocol 2 to 5; write it again with a current Python, or as JSON or TSV")
        while True:
            if self.at >= len(data):
                raise Refused("the pickle is cut short; get the file again")
            code = data[self.at]
            self.at += 1
            if code == STOP:
                return self.stack.pop()
            step = STEPS.get(code)
            if step is None:
                raise Refused(
                    f"refused: the pickle uses the instruction {_opcode_name(code)}, which a plain dictionary does not "
                    f"need; get the original file, or convert it to JSON or TSV where you trust it"
                )
            step(self)

    # -- reading the file ----------------------------------------------------------------------------------------

    def take(self, n: int) -> bytes:
        """The next ``n`` bytes."""
        chunk = self.data[self.at : self.at + n]
        if len(chunk) != n:
            raise Refused("the pickle is cut short; get the file again")
        self.at += n
        return chunk

    def number(self, form: str, n: int) -> int:
        """The next ``n`` bytes as a whole number."""
        return int(struct.unpack(form, self.take(n))[0])

    def line(self) -> str:
        """The text up to the end of the line."""
        end = self.data.index(b"\n", self.at)
        text = self.data[self.at : end].decode()
        self.at = end + 1
        return text

    # -- the stack -----------------------------------------------------------------------------------------------

    def push(self, value: Any) -> None:
        """Put a value on the stack."""
        self.stack.append(value)

    def pop_to_mark(self) -> list[Any]:
        """What lies above the last mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is MARK:
                items = self.stack[place + 1 :]
                del self.stack[place:]
                return items
        raise Refused("the pickle is damaged; get the file again")

    def set_items(self, items: list[Any]) -> None:
        """Put keys and values into the dictionary on top."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise Refused("the pickle is damaged; get the file again")
        for i in range(0, len(items), 2):
            key, value = items[i], items[i + 1]
            if not isinstance(key, str):
                raise Refused(f"a key of the dictionary is a {_type(key)}, not a name; give another file")
            if key in target:
                raise Refused(f"the key {key[:40]!r} is there twice; keep one of them")
            target[key] = value

    def append(self, items: list[Any]) -> None:
        """Put items into the list on top."""
        target = self.stack[-1]
        if not isinstance(target, list):
            raise Refused("the pickle is damaged; get the file again")
        target.extend(items)

    def keep(self, index: int) -> None:
        """Remember the value on top under a number."""
        self.memo[index] = self.stack[-1]

    # -- the few functions ---------------------------------------------------------------------------------------

    def name(self, module: str, name: str) -> None:
        """Push the function of that name if it is one of those that NumPy scalars need."""
        full = f"{module}.{name}"
        if full not in ALLOWED:
            shown = re.sub(r"[^\w.]", "?", full)[:80]
            raise Refused(
                f"refused: the pickle asks for {shown}, which a dictionary of genes does not need and which could run "
                f"code; get the original file, or convert it to JSON or TSV where you trust it"
            )
        self.push(_Global(ALLOWED[full]))

    def call(self) -> None:
        """Do what an allowed function would do with its arguments."""
        args, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, _Global) or not isinstance(args, tuple):
            raise Refused("refused: the pickle calls something that is no function of a NumPy scalar; get another file")
        self.push(FUNCTIONS[function.role](*args))

    def set_state(self) -> None:
        """Give a numeric type its byte order: ``(version, order, None, None, None, -1, -1, 0)``."""
        state, target = self.stack.pop(), self.stack[-1]
        plain = isinstance(state, tuple) and len(state) in (8, 9) and state[2:5] == (None, None, None)
        if not isinstance(target, _Number) or not plain or state[1] not in BYTE_ORDERS:
            raise Refused("refused: the pickle sets the state of something that is no numeric type; get another file")
        target.order = BYTE_ORDERS[state[1]]


def _number_type(code: Any, *flags: Any) -> _Number:
    if code not in STRUCT_CODES or len(flags) > 2:
        raise Refused(f"refused: NumPy type {str(code)[:20]!r} is not a plain number; convert the file to JSON or TSV")
    return _Number(code)


def _scalar(kind: Any, raw: Any) -> Scalar:
    if not isinstance(kind, _Number) or not isinstance(raw, bytes):
        raise Refused("refused: a NumPy scalar in the pickle is not a plain number; convert the file to JSON or TSV")
    value: Scalar = struct.unpack(kind.order + STRUCT_CODES[kind.code], raw)[0]
    return value


def _encoded(text: Any, encoding: Any) -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise Refused("the pickle is damaged; get the file again")
    return text.encode("latin1")


FUNCTIONS: dict[str, Callable[..., Any]] = {"scalar": _scalar, "dtype": _number_type, "encode": _encoded}


def _opcode_name(code: int) -> str:
    for name in pickle.__all__:
        if name.isupper() and getattr(pickle, name) == bytes([code]):
            return name
    return f"0x{code:02x}"


def _stack_global(machine: Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    if not isinstance(name, str) or not isinstance(module, str):
        raise Refused("the pickle is damaged; get the file again")
    machine.name(module, name)


def _last(machine: Machine, n: int) -> list[Any]:
    if len(machine.stack) < n:
        raise Refused("the pickle is damaged; get the file again")
    items = machine.stack[-n:]
    del machine.stack[-n:]
    return items


STOP = pickle.STOP[0]
STEPS: dict[int, Callable[[Machine], Any]] = {
    code[0]: step
    for code, step in {
        pickle.FRAME: lambda m: m.take(8),
        pickle.MARK: lambda m: m.push(MARK),
        pickle.EMPTY_DICT: lambda m: m.push({}),
        pickle.EMPTY_LIST: lambda m: m.push([]),
        pickle.EMPTY_TUPLE: lambda m: m.push(()),
        pickle.SETITEM: lambda m: m.set_items(_last(m, 2)),
        pickle.SETITEMS: lambda m: m.set_items(m.pop_to_mark()),
        pickle.APPEND: lambda m: m.append(_last(m, 1)),
        pickle.APPENDS: lambda m: m.append(m.pop_to_mark()),
        pickle.TUPLE: lambda m: m.push(tuple(m.pop_to_mark())),
        pickle.TUPLE1: lambda m: m.push(tuple(_last(m, 1))),
        pickle.TUPLE2: lambda m: m.push(tuple(_last(m, 2))),
        pickle.TUPLE3: lambda m: m.push(tuple(_last(m, 3))),
        pickle.NONE: lambda m: m.push(None),
        pickle.NEWTRUE: lambda m: m.push(True),
        pickle.NEWFALSE: lambda m: m.push(False),
        pickle.BININT: lambda m: m.push(m.number("<i", 4)),
        pickle.BININT1: lambda m: m.push(m.number("<B", 1)),
        pickle.BININT2: lambda m: m.push(m.number("<H", 2)),
        pickle.LONG1: lambda m: m.push(int.from_bytes(m.take(m.number("<B", 1)), "little", signed=True)),
        pickle.BINFLOAT: lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
        pickle.BINUNICODE: lambda m: m.push(m.take(m.number("<I", 4)).decode("utf-8")),
        pickle.SHORT_BINUNICODE: lambda m: m.push(m.take(m.number("<B", 1)).decode("utf-8")),
        pickle.BINUNICODE8: lambda m: m.push(m.take(m.number("<Q", 8)).decode("utf-8")),
        pickle.SHORT_BINBYTES: lambda m: m.push(m.take(m.number("<B", 1))),
        pickle.BINBYTES: lambda m: m.push(m.take(m.number("<I", 4))),
        pickle.BINPUT: lambda m: m.keep(m.number("<B", 1)),
        pickle.LONG_BINPUT: lambda m: m.keep(m.number("<I", 4)),
        pickle.MEMOIZE: lambda m: m.keep(len(m.memo)),
        pickle.BINGET: lambda m: m.push(m.memo[m.number("<B", 1)]),
        pickle.LONG_BINGET: lambda m: m.push(m.memo[m.number("<I", 4)]),
        pickle.GLOBAL: lambda m: m.name(m.line(), m.line()),
        pickle.STACK_GLOBAL: _stack_global,
        pickle.REDUCE: Machine.call,
        pickle.BUILD: Machine.set_state,
        pickle.PROTO: lambda m: m.take(1),
    }.items()
}
