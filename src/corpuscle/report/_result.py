"""What every benchmark returns: one tidy table, what only it knows, and how it was run."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Self

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report._files import write_together
from corpuscle.report._registry import presentation

__all__ = ["COLUMNS", "MEASURED", "Result"]

#: The tidy table that all benchmarks share, one number a row.
COLUMNS = [
    "benchmark", "dataset", "method", "task", "metric", "value", "ci_low", "ci_high", "n", "seed", "seconds",
    "peak_mib",
]  # fmt: skip
#: Columns that no two runs share. They are in ``results.parquet`` and not in ``results.csv``.
MEASURED = ["seconds", "peak_mib"]
RESERVED = {"results", "details"}
SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")


@dataclass(repr=False)
class Result:
    """A benchmark's answer.

    Attributes
    ----------
    benchmark
        Its name, e.g. ``"coregulation"``.
    table
        The tidy table (:data:`COLUMNS`).
    details
        What only this benchmark knows; its columns are documented with it.
    failures
        dataset, method, stage, reason: everything that could not be done.
    extras
        More tables for plots, each saved as ``<name>.parquet``.
    run
        Command, versions, seeds, parameters, SHA-256 of every input, machine.
    """

    benchmark: str
    table: pd.DataFrame
    details: pd.DataFrame
    failures: pd.DataFrame
    extras: dict[str, pd.DataFrame] = field(default_factory=dict)
    run: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        methods = self.table["method"].nunique() if "method" in self.table else 0
        return f"Result({self.benchmark}: {methods} methods, {len(self.table)} numbers, {len(self.failures)} failures)"

    def leaderboard(self) -> pd.DataFrame:
        """One row per method, best first."""
        return presentation(self.benchmark).leaderboard(self)

    def summary(self) -> pd.DataFrame:
        """Give the leaderboard as few columns of text."""
        return presentation(self.benchmark).summary(self)

    def plot(self, kind: str | None = None) -> Any:
        """Draw a matplotlib ``Figure`` of the result.

        Parameters
        ----------
        kind
            One of the benchmark's plots; the first by default.

        Raises
        ------
        OptionError
            The benchmark has no plot of that name.
        """
        plots = presentation(self.benchmark).plots
        if kind is None:
            kind = next(iter(plots))
        if kind not in plots:
            raise OptionError(f"{self.benchmark} has no plot {kind!r}; it has: {', '.join(plots)}")
        return plots[kind](self)

    def html(self) -> str:
        """Render the page, as one self-contained document."""
        from corpuscle.report._page import render

        return render(presentation(self.benchmark).page(self))

    def save(self, directory: str | Path) -> Path:
        """Write every table, ``run.json`` and ``report.html`` to a folder.

        ``results.csv`` leaves out the measured columns (:data:`MEASURED`), has its rows sorted and its numbers as
        ``%.6g``: for the same input, seed and versions it is the same file, byte for byte. An undefined number is
        ``NaN`` there. The numbers are written before the page, so that a page that cannot be drawn costs no result.

        Returns
        -------
        Path
            The folder.

        Raises
        ------
        OutputError
            It cannot be written. Files of an earlier result are then still whole.
        """
        directory = Path(directory)
        for name in self.extras:
            if not SAFE_NAME.fullmatch(name) or name in RESERVED:
                raise OutputError(f"an extra table cannot be called {name!r}; use letters, digits, - and _")
        tables = {"results": self.table, "details": self.details, **self.extras}
        writers: dict[str, Callable[[BinaryIO], None]] = {
            f"{name}.parquet": _parquet_writer(frame) for name, frame in tables.items()
        }
        writers["results.csv"] = _bytes_writer(_csv(self.table.drop(columns=MEASURED, errors="ignore")))
        writers["failures.csv"] = _bytes_writer(_csv(self.failures))
        about = {**self.run, "benchmark": self.benchmark, "extras": list(self.extras)}
        writers["run.json"] = _bytes_writer(json.dumps(_plain(about), indent=2, ensure_ascii=False, allow_nan=False))
        write_together(directory, writers)
        self.save_page(directory)
        return directory

    def save_page(self, directory: str | Path) -> Path:
        """Write only ``report.html``; returns its path. Raises as :meth:`save` does."""
        write_together(Path(directory), {"report.html": _bytes_writer(self.html())})
        return Path(directory) / "report.html"

    @classmethod
    def load(cls, directory: str | Path) -> Self:
        """Read a folder that :meth:`save` wrote.

        The benchmark's own page and plots are there once it has been imported (``corpuscle.benchmarks.coregulation``).

        Raises
        ------
        SourceError
            It is not such a folder, or a file in it is missing or damaged.
        """
        directory = Path(directory)
        about = _read(directory / "run.json", lambda path: json.loads(path.read_text(encoding="utf-8")))
        names = about.pop("extras", []) if isinstance(about, dict) else None
        if not isinstance(names, list) or not isinstance(about.get("benchmark"), str):
            raise SourceError(
                f"{directory / 'run.json'}: does not name a benchmark; give a folder that Corpuscle wrote"
            )
        for name in names:
            if not isinstance(name, str) or not SAFE_NAME.fullmatch(name):
                raise SourceError(f"{directory / 'run.json'}: names a table {name!r} that no result has")
        frames = {
            name: _read(directory / f"{name}.parquet", pd.read_parquet) for name in ["results", "details", *names]
        }
        lacking = [column for column in COLUMNS if column not in frames["results"]]
        if lacking:
            raise SourceError(f"{directory / 'results.parquet'}: has no column {lacking[0]}; run the benchmark again")
        failures = _read(directory / "failures.csv", lambda path: pd.read_csv(path, keep_default_na=False))
        benchmark = about.pop("benchmark")
        return cls(benchmark, frames.pop("results"), frames.pop("details"), failures, frames, about)


def _read(path: Path, read: Callable[[Path], Any]) -> Any:
    try:
        return read(path)
    except FileNotFoundError as error:
        raise SourceError(f"{path}: not there; give a folder that holds a result") from error
    except (OSError, ValueError) as error:  # parquet, CSV, JSON and Unicode errors are all ValueErrors
        raise SourceError(f"{path}: cannot be read ({str(error).splitlines()[0]}); run the benchmark again") from error


def _parquet_writer(frame: pd.DataFrame) -> Callable[[BinaryIO], None]:
    return lambda file: frame.to_parquet(file, index=False)


def _bytes_writer(text: str) -> Callable[[BinaryIO], None]:
    def write(file: BinaryIO) -> None:
        file.write(text.encode("utf-8"))

    return write


def _csv(frame: pd.DataFrame) -> str:
    """Rows sorted by every column that is not a number, then by those that are."""
    frame = frame.copy()
    floats = [column for column in frame if frame[column].dtype.kind == "f"]
    for column in floats:
        frame[column] += 0.0  # no negative zero
    keys = [column for column in frame if column not in floats] + floats
    if keys:
        frame = frame.sort_values(
            keys, kind="stable", key=lambda names: names.astype(str) if names.dtype == object else names
        )
    return frame.to_csv(index=False, float_format="%.6g", na_rep="NaN", lineterminator="\n")


def _plain(value: Any) -> Any:
    """``value`` in JSON's types; what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else str(value)
