"""Methods as words of the command line: names, parameters after a colon, and classes of somebody's module.

Shared by the benchmarks whose methods are built in, brought by other packages, or a user's own.
"""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from corpuscle.errors import OptionError

__all__ = [
    "check_words",
    "construct",
    "each_once",
    "made",
    "method_params",
    "named_with",
    "read_method",
    "split_methods",
]

M = TypeVar("M")
PYTHON_OBJECT = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
OPTION = re.compile(r"(?P<key>[A-Za-z_]\w*)=(?P<value>.*)", re.DOTALL)


def split_methods(text: str) -> list[str]:
    """Split ``"pca_leiden,scvi:max_epochs=100,n_latent=20,sce2tm"`` into its three methods.

    A word ``NAME=VALUE`` without a colon before its equals sign is a parameter of the method before it.
    """
    out: list[str] = []
    for word in (word.strip() for word in text.split(",")):
        name = word.partition("=")[0]
        if "=" in word and ":" not in name and out:
            out[-1] += f",{word}"
        elif word:
            out.append(word)
    return out


def read_method(text: str, registered: Callable[[str], Any]) -> tuple[str, Any, dict[str, Any]]:
    """Take ``NAME``, ``NAME:key=value,key=value`` or ``module:Class[:key=value]`` apart.

    Parameters
    ----------
    text
        The word. ``module`` is installed or lies in the current folder.
    registered
        Finds what is registered under a name.

    Returns
    -------
    name, made, params
        The name as given; the class, instance or function; parameters, read as the constructor's annotations say.

    Raises
    ------
    OptionError
        It is none of these, or a value cannot be read.
    """
    head, _, options = text.strip().rpartition(":")
    if "=" not in options:
        head, options = text.strip(), ""
    made = _from_python(head) if PYTHON_OBJECT.fullmatch(head) else registered(head)
    known, params = _parameters(made), {}
    for pair in (OPTION.fullmatch(word.strip()) for word in options.split(",") if options):
        if pair is None:
            raise OptionError(f"method {text!r}: {options!r} is not of the form key=value,key=value")
        if pair["key"] in params:
            raise OptionError(f"method {text!r}: {pair['key']} is given twice")
        params[pair["key"]] = _read(head, pair["key"], pair["value"].strip(), known)
    return head, made, params


def construct(name: str, made: Any, params: Mapping[str, Any]) -> Any:
    """Make an instance of a class with its parameters; anything else is given back as it is.

    Raises
    ------
    OptionError
        It has no such parameter, cannot be made of these, or is no class and yet given some.
    """
    if not isinstance(made, type):
        if params:
            raise OptionError(f"method {name} is no class, so it takes no parameters")
        return made
    known = _parameters(made)
    for param in params:
        if param not in known:
            raise OptionError(f"method {name} has no parameter {param!r}; it has: {', '.join(known) or 'none'}")
    try:
        return made(**params)
    except TypeError as error:
        raise OptionError(f"method {name} cannot be made: {error}") from error


def made(name: str, what: Any, params: Mapping[str, Any], check: Callable[[Any], M]) -> M:
    """Make a method and check it; parameters that were given become part of its name.

    Raises
    ------
    OptionError
        As for :func:`construct`, and whatever ``check`` raises.
    """
    method: Any = check(construct(name, what, params))
    if params:
        method.name = named_with(method.name, params)
    return method


def check_words(method: Any, flag: str) -> None:
    """Refuse a method whose name or what it was told is no text, or whose flag is no truth value.

    Raises
    ------
    OptionError
        It is so.
    """
    if not all(isinstance(word, str) and word for word in (method.name, method.told)):
        raise OptionError(f"{method!r}: its name and what it was told must be text")
    if not isinstance(getattr(method, flag), bool):
        raise OptionError(f"method {method.name}: {flag} must be True or False")


def each_once(words: Iterable[Any] | str, parse: Callable[[str], M], check: Callable[[Any], M], what: str) -> list[M]:
    """What words stand for, objects checked as they are, in order and each under a name of its own.

    Raises
    ------
    OptionError
        None is given, a word or an object is refused, or two have one name.
    """
    listed = split_methods(words) if isinstance(words, str) else list(words)
    if not listed:
        raise OptionError(f"no {what} was given")
    out: list[Any] = [parse(word) if isinstance(word, str) else check(word) for word in listed]
    names = [one.name for one in out]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise OptionError(f"{what} {twice[0]!r} is given twice; give each its own name")
    return out


def named_with(name: str, params: Mapping[str, Any]) -> str:
    """Name of a method with parameters, such as ``scvi:max_epochs=100``."""
    return f"{name}:{','.join(f'{key}={value}' for key, value in params.items())}" if params else name


def method_params(method: Any) -> dict[str, Any]:
    """Parameters of a method as plain values: its ``params``, or its public attributes."""
    given = getattr(method, "params", None)
    if not isinstance(given, Mapping):
        given = {key: value for key, value in getattr(method, "__dict__", {}).items() if not key.startswith("_")}
    return {str(key): _plain(value) for key, value in given.items() if key not in ("name", "told", "code")}


def _plain(value: Any) -> Any:
    """A value that is the same in every process: no memory address."""
    if value is None or isinstance(value, str | int | float | bool):
        return value
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _from_python(where: str) -> Any:
    module, _, attribute = where.partition(":")
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise OptionError(f"method {where}: cannot import {module}: {' '.join(str(error).split())}") from error
    except AttributeError:
        raise OptionError(f"method {where}: the module {module} has no {attribute}") from None
    finally:
        sys.path.remove(here)


def _parameters(made: Any) -> dict[str, Any]:
    """Parameters of a constructor and their annotations; ``more_options`` names a dataclass of those behind ``**``."""
    if not isinstance(made, type):
        return {}
    init: Callable[..., None] = made.__init__  # type: ignore[misc]
    hints = get_type_hints(init)
    kinds = {name: param.kind for name, param in inspect.signature(made).parameters.items()}
    known = {
        name: hints.get(name, Any)
        for name, kind in kinds.items()
        if kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    }
    more = getattr(made, "more_options", None)
    if inspect.Parameter.VAR_KEYWORD in kinds.values() and is_dataclass(more):
        more_hints = get_type_hints(more)
        known |= {field.name: more_hints[field.name] for field in fields(more)}
    return known


def _read(method: str, key: str, text: str, known: dict[str, Any]) -> Any:
    """The value that a word stands for, by the annotation of its parameter."""
    if key not in known:
        raise OptionError(f"method {method} has no parameter {key!r}; it has: {', '.join(known) or 'none'}")
    hint = known[key]
    for kind in _members(hint):
        try:
            return _as(kind, text)
        except ValueError:
            continue
    words = " or ".join(getattr(kind, "__name__", repr(kind)) for kind in _members(hint)).replace("NoneType", "none")
    raise OptionError(f"method {method}: {key}={text} cannot be read; it must be {words}")


def _members(hint: Any) -> list[Any]:
    """Types and literal values of an annotation, text last, since anything can be read as text."""
    if get_origin(hint) in (Union, UnionType):
        parts = [part for one in get_args(hint) for part in _members(one)]
    elif get_origin(hint) is Literal:
        parts = list(get_args(hint))
    else:
        parts = [hint]
    return sorted(parts, key=lambda part: part in (str, Any))


def _as(kind: Any, text: str) -> Any:
    """``text`` as one type or literal value; ValueError where it is none."""
    lower = text.lower()
    if kind is NoneType:
        if lower != "none":
            raise ValueError(text)
        return None
    if kind is bool:
        if lower not in ("true", "false"):
            raise ValueError(text)
        return lower == "true"
    if kind in (int, float):
        return kind(text)
    if kind in (str, Any):
        return text
    if text == str(kind):
        return kind
    raise ValueError(text)
