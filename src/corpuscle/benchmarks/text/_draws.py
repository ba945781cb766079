"""All draws of a data set: what is held out in each, and what is then asked."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.benchmarks._labelled import DataSet, LabelledCells
from corpuscle.benchmarks.text._draw import Draw
from corpuscle.benchmarks.text._draw_build import Side, build_sides
from corpuscle.benchmarks.text._draw_join import common_names, joined_note
from corpuscle.benchmarks.text._draw_questions import captioned, judged_types, worded
from corpuscle.benchmarks.text._draw_split import Impossible, drawn_cells, group_sides, test_cells, type_parts
from corpuscle.benchmarks.text.options import Options

__all__ = ["Plan", "draws", "plans"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, eq=False)
class Plan:
    """A draw that can be made: nothing is built before :meth:`open`.

    Attributes
    ----------
    name, setup, seed, fold
        As of the :class:`Draw`.
    """

    name: str
    setup: str
    seed: int
    fold: int
    _made: Callable[[Path], Draw] = field(repr=False)

    @contextmanager
    def open(self) -> Iterator[Draw]:
        """The draw; its files are removed afterwards.

        Raises
        ------
        Impossible
            The data sets turn out to have nothing to hold out in this way.
        CorpuscleError
            A data set cannot be read, or pairs cannot be built from it.
        """
        with tempfile.TemporaryDirectory(prefix="corpuscle-draw-") as folder:
            yield self._made(Path(folder))


def draws(
    data: DataSet,
    options: Options,
    seed: int,
    others: Sequence[DataSet] = (),
    notes: list[str] | None = None,
) -> Iterator[Draw]:
    """Make the draws of a data set, one at a time; the files of one are gone when the next is asked for.

    Parameters
    ----------
    data
        That is judged.
    options, seed
        What is held out; the same seed gives the same draws.
    others
        Data sets to train on when all of this one is held out.
    notes
        Takes a line for each setup that the data set cannot do.

    Raises
    ------
    CorpuscleError
        A data set cannot be read or used.
    """
    notes = [] if notes is None else notes
    for plan in plans(data, options, seed, others, notes):
        try:
            with plan.open() as draw:
                yield draw
        except Impossible as why:
            notes.append(f"{data.name}: {plan.setup} is left out: {why}")


def plans(
    data: DataSet,
    options: Options,
    seed: int,
    others: Sequence[DataSet] = (),
    notes: list[str] | None = None,
) -> list[Plan]:
    """What can be drawn from a data set; parameters are those of :func:`draws`.

    Raises
    ------
    OptionError
        The data set has fewer than two types of two cells.
    CorpuscleError
        It cannot be read.
    """
    notes = [] if notes is None else notes
    cells = data.read()
    row_n, said = drawn_cells(cells, options.max_cells, seed)
    notes += said
    maker = _Maker(cells, row_n, options, seed, others, joined=data.types is None)
    out: list[Plan] = []
    for setup in options.setups:
        try:
            made = maker.makers(setup)
        except Impossible as why:
            notes.append(f"{cells.name}: {setup} is left out: {why}")
            continue
        out += [Plan(cells.name, setup, seed, fold, one) for fold, one in enumerate(made)]
    return out


class _Maker:
    """Makes the draws of one data set and seed."""

    def __init__(
        self,
        cells: LabelledCells,
        row_n: Array,
        options: Options,
        seed: int,
        others: Sequence[DataSet],
        *,
        joined: bool,
    ) -> None:
        self.cells, self.row_n, self.options, self.seed, self.others = cells, row_n, options, seed, others
        self.joined = joined
        self.code_n = cells.code_n[row_n]
        self.types = [cells.types[k] for k in np.unique(self.code_n)]
        self.judged_n = test_cells(self.code_n, options.share, seed)

    def makers(self, setup: str) -> list[Callable[[Path], Draw]]:
        """What makes each draw of a setup.

        Raises
        ------
        Impossible
            The data set cannot do it.
        """
        if setup == "held_out_groups":
            obs = self.cells.obs.iloc[self.row_n]
            train_n, test_n = group_sides(obs, self.options.group, self.options.share, self.seed)
            return [partial(self._groups, train_n=train_n, test_n=test_n)]
        if setup == "new_types":
            parts = type_parts(self.types, self.options.folds, self.seed)
            return [partial(self._new_types, fold=fold, part=part) for fold, part in enumerate(parts)]
        if setup == "other_study":
            if not self.others:
                raise Impossible("there is no other data set to train on")
            return [self._other_study]
        return [self._new_cells]

    def _new_cells(self, folder: Path) -> Draw:
        return self._draw(folder, "new_cells", self._own(~self.judged_n), self.judged_n)

    def _groups(self, folder: Path, train_n: Array, test_n: Array) -> Draw:
        apart = int((~(train_n | test_n)).sum())
        notes = [f"{apart:,} cells have no {self.options.group} and were left out"] if apart else []
        return self._draw(folder, "held_out_groups", self._own(train_n), test_n, notes=notes)

    def _new_types(self, folder: Path, fold: int, part: Sequence[str]) -> Draw:
        # The judged cells are those of new_cells, so that the two can be compared; the other cells of the part are nowhere.
        away_n = np.isin(np.asarray(self.cells.types, object)[self.code_n], part)
        return self._draw(folder, "new_types", self._own(~self.judged_n & ~away_n), self.judged_n, fold=fold)

    def _other_study(self, folder: Path) -> Draw:
        train: list[Side] = []
        ids: dict[str, str | None] = {}
        joined: list[dict[str, str]] = []
        for other in self.others:
            was_read = other.is_read
            cells = other.read()
            row_n, _ = drawn_cells(cells, self.options.max_cells, self.seed)
            row_n = row_n[~test_cells(cells.code_n[row_n], self.options.share, self.seed)]
            # A label map has the last word on what is one type.
            joined.append(common_names(self.cells, cells) if self.joined else {})
            train.append(Side.of(cells, row_n, self.seed, joined[-1]))
            ids |= dict(zip(cells.types, cells.cl_ids, strict=True))
            if not was_read:
                other.release()
        notes = [f"other_study was trained on {', '.join(other.name for other in self.others)}", joined_note(joined)]
        return self._draw(folder, "other_study", train, self.judged_n, notes=[line for line in notes if line], ids=ids)

    def _own(self, train_n: Array) -> list[Side]:
        return [Side.of(self.cells, self.row_n[train_n], self.seed)]

    def _draw(
        self,
        folder: Path,
        setup: str,
        train: Sequence[Side],
        test_n: Array,
        *,
        fold: int = 0,
        notes: Sequence[str] = (),
        ids: Mapping[str, str | None] | None = None,
    ) -> Draw:
        test = Side.of(self.cells, self.row_n[test_n], self.seed)
        known = {name for side in train for name in side.type_n}
        cl_ids = {**(ids or {}), **dict(zip(self.cells.types, self.cells.cl_ids, strict=True))}
        tasks, said = judged_types(setup, set(test.type_n), known, cl_ids)
        shown, test_types = build_sides(folder, train, test, self.options, cl_ids, self.seed)
        questions, lines = captioned(tasks, self.options.caption, shown.types), [*notes, *said]
        if setup == "new_cells":
            more, said = worded(self.options.wordings, shown.types, shown.cl_ids, tasks["new_cells"])
            questions, lines = [*questions, *more], [*lines, *said]
        left_out = tuple(name for name in shown.types if name not in known)
        told = tuple(f"{self.cells.name}: {line}" for line in lines)
        name = self.cells.name
        return Draw(name, setup, self.seed, fold, shown, test_types, shown.types, left_out, tuple(questions), told)
