"""One package or file per benchmark: data and methods in, one tidy result out."""

from __future__ import annotations

from importlib import import_module
from typing import Any

__all__ = ["annotation", "clustering", "coregulation", "missingness", "rare_labels", "text", "topics"]


def __getattr__(name: str) -> Any:
    if name in __all__:  # imported only when it is asked for: each run in a process of its own imports one of them
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
