"""Frozen dataclasses to JSON and back, strictly: every field there, of its type, and no other."""

from __future__ import annotations

import dataclasses
import json
import math
import types
import typing
from typing import Any, TypeVar

from corpuscle.errors import SourceError

__all__ = ["dump", "parse"]

_MAX_TEXT = 256 << 20
_MAX_DEPTH = 24

T = TypeVar("T")


def dump(value: Any) -> str:
    """JSON of a dataclass that is the same for the same content: sorted keys, no NaN, one line feed at the end."""
    text = json.dumps(_plain(value), indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return text + "\n"


def parse(kind: type[T], text: str, where: str) -> T:
    """The dataclass ``kind`` from its JSON.

    Raises
    ------
    SourceError
        It is not JSON, is too large or nested too deep, has a key twice, or a field is missing, unknown or of a wrong type.
    """
    if len(text) > _MAX_TEXT:
        raise SourceError(f"{where}: is larger than {_MAX_TEXT:,} characters; it cannot be what it should")
    try:
        plain = json.loads(text, object_pairs_hook=_once, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise SourceError(f"{where}: is not the JSON it should be ({error}); build or get the data set again") from None
    value: T = _typed(kind, plain, where, 0)
    return value


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key is there twice")
    return found


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is not a number")


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if hasattr(value, "item"):  # a number of NumPy
        value = value.item()
        return _plain(value) if isinstance(value, (bool, int, str)) else _plain(float(value))
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return str(value)


def _typed(kind: Any, value: Any, where: str, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise SourceError(f"{where}: is nested too deep; build or get the data set again")
    if dataclasses.is_dataclass(kind):
        return _record(kind, value, where, depth)
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        return _typed(next(arg for arg in args if arg is not type(None)), value, where, depth)
    if origin is tuple:
        items = _expect(list, value, where)
        inner = [args[0]] * len(items) if args[1:] == (...,) else list(args)
        if len(inner) != len(items):
            raise SourceError(f"{where}: has {len(items)} values and not {len(inner)}; build or get the data set again")
        return tuple(
            _typed(part, item, f"{where}[{i}]", depth + 1)
            for i, (part, item) in enumerate(zip(inner, items, strict=True))
        )
    if origin is dict:
        return {
            key: _typed(args[1], item, f"{where}.{key}", depth + 1) for key, item in _expect(dict, value, where).items()
        }
    if kind is Any:
        return _shallow(value, where, depth)
    return _expect(kind, value, where)


def _record(kind: Any, value: Any, where: str, depth: int) -> Any:
    found = _expect(dict, value, where)
    hints = typing.get_type_hints(kind)
    fields = [field.name for field in dataclasses.fields(kind)]
    for name in fields:
        if name not in found:
            raise SourceError(f"{where}: has no {name!r}; build or get the data set again")
    for name in found:
        if name not in hints:
            raise SourceError(f"{where}: has an unknown field {name[:60]!r}; use the version that wrote it")
    return kind(**{name: _typed(hints[name], found[name], f"{where}.{name}", depth + 1) for name in fields})


def _expect(kind: type, value: Any, where: str) -> Any:
    """The value, if it is of the type; a whole number is also a float, a truth value is no number."""
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise SourceError(
            f"{where}: is {type(value).__name__} and not {kind.__name__}; build or get the data set again"
        )
    return value


def _shallow(value: Any, where: str, depth: int) -> Any:
    """Free values (parameters) are JSON of bounded depth."""
    if depth > _MAX_DEPTH:
        raise SourceError(f"{where}: is nested too deep; build or get the data set again")
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _shallow(item, where, depth + 1)
    return value
