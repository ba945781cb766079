"""Methods that live elsewhere: a command that reads and writes h5ad, or a Python function."""

from __future__ import annotations

import importlib
import re
import shlex
import sys
import tempfile
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Counts
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize._aligned import Aligned, align, checked_values, read_values, unique_names, write_counts
from corpuscle.normalize._base import Array, MatrixNormalizer, Normalizer
from corpuscle.normalize._command import run_command
from corpuscle.normalize._registry import normalizer

__all__ = ["CallableMethod", "ExternalCommand", "parse_method"]

NAMED = re.compile(r"(?P<name>[A-Za-z0-9_.-]+)=(?P<rest>.+)", re.DOTALL)
PYTHON_OBJECT = re.compile(r"(?P<module>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):(?P<attribute>[A-Za-z_]\w*)")


class _Elsewhere(MatrixNormalizer):
    """A method whose values are all computed at once, outside, when it is fitted."""

    name: str  # type: ignore[misc]  # an instance is named by who brings the method
    _aligned: Aligned

    @abstractmethod
    def _compute(self, counts: Counts) -> Aligned:
        """Give checked values, aligned to the cells and genes of ``counts``."""

    def fit(self, counts: Counts) -> Self:
        """Run the method on these counts and keep what it returns."""
        self._aligned = self._compute(counts)
        self.dropped_ = self._aligned.column_g < 0
        self.n_cells_, self.n_genes_ = counts.n_obs, counts.n_vars
        return self

    def transform(self, counts: Counts, genes: Sequence[str] | Array | None = None) -> Array:
        """Values of ``genes``, n_obs x len(genes); NaN for genes that the method left out."""
        self._check(counts)
        index = np.arange(counts.n_vars) if genes is None else counts.gene_index(genes)
        return self._aligned.columns(index)


class ExternalCommand(_Elsewhere):
    """A command that reads raw counts from one h5ad and writes normalised values to another.

    The contract: ``{in}`` is an h5ad with raw counts in ``X`` (CSR), ``obs_names``, ``var_names`` and, where known,
    ``var["gene_id"]``, and nothing else. ``{out}`` must become an h5ad whose ``X`` holds finite real numbers for the
    same ``obs_names`` in any order, and for the ``var_names`` in any order, of which some may be left out. Exit code
    other than 0 is a failure, and so is taking longer than ``timeout``.

    Parameters
    ----------
    name
        What tables call it.
    command
        Template with ``{in}`` and ``{out}``; split like a shell would, but run without one, in the current folder.
    timeout
        Seconds after which the command and all it started are killed.

    Attributes
    ----------
    dropped_
        (g,) bool: genes it left out; their values are NaN.
    stderr_
        What the last run wrote to stderr, its last megabyte; also on the error when it failed.
    """

    formula = "an external command"

    def __init__(self, name: str, command: str, timeout: float = 3600.0) -> None:
        self.name = name
        self.command = command
        self.timeout = timeout

    def _compute(self, counts: Counts) -> Aligned:
        template = command_template(self.name, self.command)
        if not self.timeout > 0:
            raise OptionError(f"{self.name}: timeout {self.timeout:g} must be above 0 seconds")
        cells, genes = unique_names(counts.obs.index), unique_names(counts.var_names)
        with tempfile.TemporaryDirectory(prefix="corpuscle-") as folder:
            source, target = Path(folder, "in.h5ad"), Path(folder, "out.h5ad")
            write_counts(source, counts, cells, genes)
            places = {"{in}": str(source), "{out}": str(target)}
            args = [re.sub(r"\{in\}|\{out\}", lambda place: places[place.group()], word) for word in template]
            self.stderr_ = ""
            try:
                self.stderr_ = run_command(self.name, args, timeout=self.timeout, log=Path(folder, "stderr"))
            except MethodError as error:
                self.stderr_ = getattr(error, "stderr", "")
                raise
            values, its_cells, its_genes = read_values(self.name, target)
        return align(self.name, values, its_cells, its_genes, cells, genes)


class CallableMethod(_Elsewhere):
    """A Python function as a method: ``function(x_ng, genes, cells)`` returns n x g values.

    Parameters
    ----------
    name
        What tables call it.
    function
        Takes raw counts (CSR, n x g, a copy it may change), gene names and cell names (lists of str); returns real
        finite numbers of the same shape, an array or a sparse matrix.
    """

    formula = "a Python function"

    def __init__(self, name: str, function: Callable[[sp.csr_matrix, list[str], list[str]], Any]) -> None:
        self.name = name
        self.function = function

    def _compute(self, counts: Counts) -> Aligned:
        genes, cells = [str(gene) for gene in counts.var_names], [str(cell) for cell in counts.obs.index]
        try:
            returned = self.function(counts.to_csr().copy(), list(genes), list(cells))
        except Exception as error:
            message = " ".join(str(error).split())
            raise MethodError(f"{self.name}: the function raised {type(error).__name__}: {message}") from error
        values = checked_values(self.name, returned, cells, genes)
        return Aligned(values, np.arange(len(cells)), np.arange(len(genes)))


def command_template(name: str, command: str) -> list[str]:
    """Words of a command template.

    Raises
    ------
    OptionError
        A quote is not closed, or ``{in}`` or ``{out}`` is missing.
    """
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise OptionError(f"{name}: cannot split the command {command!r}: {error}") from None
    for place in ("{in}", "{out}"):
        if not any(place in word for word in words):
            raise OptionError(
                f"{name}: the command has no {place}; it must read counts from {{in}} and write values to {{out}}"
            )
    return words


def parse_method(spec: str, *, timeout: float = 3600.0) -> Normalizer:
    """Find the method that a word of the command line stands for.

    ``NAME`` is a registered method; ``NAME=cmd:COMMAND {in} {out}`` an external command; ``module:attribute`` (or
    ``NAME=module:attribute``) a Normalizer class, an instance of one, or a function for :class:`CallableMethod`, of a
    module that is installed or lies in the current folder.

    Raises
    ------
    OptionError
        It is none of these.
    """
    named = NAMED.fullmatch(spec)
    name, rest = (named["name"], named["rest"]) if named else ("", spec)
    if named and rest.startswith("cmd:"):
        command = rest.removeprefix("cmd:")
        command_template(name, command)
        return ExternalCommand(name, command, timeout)
    found = PYTHON_OBJECT.fullmatch(rest)
    if found:
        return _from_python(name, found["module"], found["attribute"])
    if named:
        raise OptionError(f"method {spec!r}: after = comes cmd:COMMAND {{in}} {{out}}, or module:attribute")
    return normalizer(spec)


def _from_python(name: str, module: str, attribute: str) -> Normalizer:
    here = str(Path.cwd())
    sys.path.append(here)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except ImportError as error:
        raise OptionError(
            f"method {module}:{attribute}: cannot import {module}: {' '.join(str(error).split())}"
        ) from error
    except AttributeError:
        raise OptionError(f"method {module}:{attribute}: the module {module} has no {attribute}") from None
    finally:
        sys.path.remove(here)
    if isinstance(found, type) and issubclass(found, Normalizer):
        try:
            found = found()
        except TypeError as error:
            raise OptionError(f"method {module}:{attribute}: cannot be made without parameters: {error}") from error
    if isinstance(found, Normalizer):
        if name:
            found.name = name  # type: ignore[misc]
        return found
    if callable(found) and not isinstance(found, type):
        return CallableMethod(name or attribute, found)
    raise OptionError(f"method {module}:{attribute}: is neither a Normalizer nor a function")
