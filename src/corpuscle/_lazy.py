"""Names of a package that are imported when they are first asked for."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

from corpuscle.errors import MethodError

__all__ = ["lazy"]


def lazy(
    package: str, where: Mapping[str, str], *, extra: str | None = None, optional: frozenset[str] = frozenset()
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make ``__getattr__`` and ``__dir__`` of a package.

    Parameters
    ----------
    package
        Its ``__name__``.
    where
        Public name -> full name of the module that has it.
    extra
        What to install where one of ``optional`` is missing; that is then one line and no traceback.
    optional
        Top-level names of packages that the extra brings.
    """

    def get(name: str) -> Any:
        if name not in where:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            return getattr(importlib.import_module(where[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] in optional:
                raise MethodError(f"{name}: needs an extra; run: pip install 'corpuscle[{extra}]'") from None
            raise

    def names() -> list[str]:
        return sorted({*vars(importlib.import_module(package)), *where})

    return get, names
