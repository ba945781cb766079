"""What preparation did, step by step, and the cell tables that it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError

__all__ = ["Account", "check_columns", "consolidate"]

Array = np.ndarray[Any, Any]
#: Share of the cells from which on a rule that drops them is worth a note.
MUCH = 0.25


class Account:
    """Book of what was dropped and why.

    Attributes
    ----------
    texts
        Reason -> what is said of it.
    notes
        One line for each thing to know.
    """

    def __init__(self, texts: dict[str, str]) -> None:
        self.texts = dict(texts)
        self.notes: list[str] = []
        self._steps: list[tuple[str, str, str, int, int, str]] = []
        self._removed: list[pd.DataFrame] = []

    def note(self, line: str | None) -> None:
        """Remember a line, if there is one."""
        if line:
            self.notes.append(line)

    def cells(self, source: str, names: pd.Index, failed: Mapping[str, Array], among: Array | None = None) -> Array:
        """Book cells against which something speaks; return the mask of those that are kept.

        Parameters
        ----------
        source, names
            The source and the names of its n cells.
        failed
            Reason -> (n,) mask, in the order of the steps.
        among
            (n,) cells that are still there; all by default.
        """
        left_n = np.ones(len(names), bool) if among is None else among.copy()
        before_n = left_n.copy()
        for reason, failed_n in failed.items():
            dropped = int((left_n & failed_n).sum())
            self._steps.append((source, reason, "cells", int(left_n.sum()), dropped, self.texts[reason]))
            if reason != "empty" and dropped > MUCH * left_n.sum():
                of = f"{dropped:,} of {int(left_n.sum()):,} cells"
                self.note(f"{source}: {of} dropped by one rule ({self.texts[reason]}); see that it fits")
            left_n &= ~failed_n
        gone = np.flatnonzero(before_n & ~left_n)
        said = pd.Series("", index=range(gone.size), dtype=object)
        for reason, failed_n in failed.items():
            said += np.where(failed_n[gone], f"; {self.texts[reason]}", "").astype(object)
        self._removed.append(
            pd.DataFrame({"source": source, "obs_name": names[gone], "reasons": said.str.removeprefix("; ")})
        )
        return left_n

    def genes(self, keep: Mapping[str, Array], why: str) -> None:
        """Book genes: source -> (g,) mask of those that are kept."""
        for source, keep_g in keep.items():
            self._steps.append((source, "min_cells", "genes", keep_g.size, int((~keep_g).sum()), why))

    def categories(self, said: Sequence[str]) -> None:
        """Note what became of rare categories."""
        self.notes.extend(said)

    def worst(self) -> str:
        """What most cells were dropped for."""
        cells = [step for step in self._steps if step[2] == "cells"]
        return max(cells, key=lambda step: step[4])[5] if cells else "there is none"

    def report(self) -> pd.DataFrame:
        """One row a source and step."""
        table = pd.DataFrame(self._steps, columns=["source", "step", "unit", "rows_in", "dropped", "why"])
        table.insert(5, "rows_out", table["rows_in"] - table["dropped"])
        return table

    def removed(self) -> pd.DataFrame:
        """One row a cell that was dropped."""
        return pd.concat(self._removed, ignore_index=True)


def check_columns(obs: pd.DataFrame, columns: Sequence[str], source: str) -> None:
    """Refuse a column that a source does not have.

    Raises
    ------
    OptionError
        It is missing.
    """
    for column in columns:
        if column not in obs:
            has = ", ".join(str(name) for name in obs.columns[:12]) or "none"
            raise OptionError(f"{source}: obs has no column {column!r}; it has: {has}")


def consolidate(frames: dict[str, pd.DataFrame], columns: Sequence[str], least: int) -> list[str]:
    """Give values of fewer than ``least`` cells over all frames one name, in place of the frames; say what was done."""
    notes = []
    for column in columns:
        count = pd.concat([frame[column].astype(object) for frame in frames.values()]).value_counts()
        rare = count.index[count < least]
        if not len(rare):
            continue
        name = f"remaining {column}"
        for source, frame in frames.items():
            values = frame[column].astype(object)
            frames[source] = frame.assign(**{column: values.where(~values.isin(rare), name)})
        n = int(count[rare].sum())
        notes.append(f"{column}: {len(rare)} categories of fewer than {least} cells ({n} cells) became {name!r}")
    return notes
