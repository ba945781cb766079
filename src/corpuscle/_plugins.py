"""What is built in by name, and what other packages add by entry points."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from functools import cached_property
from importlib.metadata import entry_points
from typing import Any

from corpuscle.errors import CorpuscleError, OptionError

__all__ = ["Plugins"]


class Plugins:
    """Things of one kind by name.

    Parameters
    ----------
    what
        What messages call one of them.
    group
        Entry-point group by which a package adds its own.
    package
        Package of those that are built in.
    built_in
        Name -> ``module:attribute`` below ``package``; imported only when it is asked for.
    """

    def __init__(self, what: str, group: str, package: str, built_in: Mapping[str, str]) -> None:
        self.what, self.group, self.package, self.built_in = what, group, package, built_in

    @cached_property
    def external(self) -> Mapping[str, Any]:
        """Entry points of other packages by name."""
        return {point.name: point for point in entry_points(group=self.group)}

    def names(self) -> list[str]:
        """All that can be asked for, ours first."""
        return [*self.built_in, *sorted(set(self.external) - set(self.built_in))]

    def find(self, name: str, error: type[CorpuscleError] = OptionError) -> Any:
        """What is registered under ``name``.

        Raises
        ------
        CorpuscleError
            Of the type ``error``: no such name, or the package that brings it cannot be imported.
        """
        if name in self.built_in:
            module, _, attribute = self.built_in[name].partition(":")
            return getattr(importlib.import_module(f"{self.package}.{module}"), attribute)
        if name not in self.external:
            raise error(f"no {self.what} is called {name[:60]!r}; there are: {', '.join(self.names())}")
        try:
            return self.external[name].load()
        except Exception as reason:  # whatever somebody's module does when it is imported
            text = " ".join(str(reason).split())[:300]
            raise error(
                f"{self.what} {name} of another package cannot be loaded: {type(reason).__name__}: {text}"
            ) from reason
