"""The benchmark: data sets x held-out parts x methods x seeds in, one result out. A failure is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._choices import as_seeds, check_organs
from corpuscle.benchmarks._labelled import DataSet, data_sets
from corpuscle.benchmarks._parts import Parts
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks._truth import read_type_map
from corpuscle.benchmarks.text._draw import Draw
from corpuscle.benchmarks.text._draw_split import Impossible, drawn_cells
from corpuscle.benchmarks.text._draws import Plan, plans
from corpuscle.benchmarks.text._entrants import Entrant, entrants
from corpuscle.benchmarks.text._one import Attempt, attempt
from corpuscle.benchmarks.text._runs import Run, versions
from corpuscle.benchmarks.text.options import SETUPS, WORDINGS, Options
from corpuscle.benchmarks.text.tables import Tables
from corpuscle.errors import SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (runs done, runs known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    methods: Iterable[Any] | str | None = None,
    *,
    labels: str = "cell_type",
    group: str | None = None,
    caption: str = "This is a {label} cell.",
    wordings: Sequence[str] | None = None,
    setups: Sequence[str] | None = None,
    embeddings: Sequence[str] = ("pca",),
    seeds: int | Sequence[int] = 5,
    seed: int = 0,
    folds: int = 4,
    share: float = 0.8,
    max_cells: int = 10_000,
    layer: str | None = None,
    label_map: str | Path | None = None,
    organs: Sequence[str] = (),
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """How well do words name cells and find them: new cells, new wordings, new groups, new types, new studies?

    Every draw goes through the whole chain, from counts over rows and archives to vectors. All methods of a draw learn from
    the same cells and captions and are asked the same. What is new in a task is in its name, and types that training never
    saw are a task of their own.

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels; each is one data set.
    methods
        Words (``"celltext"``, ``"celltext:epochs=10,head=mlp"``, ``"untrained"``, ``"centroid"``, ``"markers"``,
        ``"sentences"``, ``"module:Class"``) or objects with ``name``, ``told``, ``needs_vectors`` and
        ``__call__(shown, key, seed)``. ``logistic``, ``logistic_text``, ``majority`` and ``shuffled`` always take part. None
        is celltext, untrained, centroid and markers.
    labels
        ``obs`` column with the true types.
    group
        ``obs`` column of donors or other groups that are held out whole; without it that is left out.
    caption
        Training caption, with ``{label}``.
    wordings
        Other words to ask with: ``{label}``, ``{ontology_name}`` and ``{definition}`` of the Cell Ontology in any text. None is
        four usual ones.
    setups
        What is held out: ``"new_cells"``, ``"held_out_groups"``, ``"new_types"``, ``"other_study"``. None is all of these; one
        that a data set cannot do is a note.
    embeddings
        Words of the vectors, such as ``"pca"`` or ``"hvg:n=512"``; a method that takes vectors runs on each of them.
    seeds, seed
        How many seeds, or which; and the first of them.
    folds
        Parts into which types are divided; each in turn is left out of training.
    share
        Share of the cells that training gets.
    max_cells
        A larger data set is drawn down to so many.
    layer
        Layer that holds the raw counts.
    label_map
        TSV that says which type a label stands for, see :func:`~corpuscle.benchmarks._truth.read_type_map`. It also tells which
        types of two studies are one. None takes each label as a type and looks it up in the Cell Ontology.
    organs
        Organs whose ASCT+B marker tables are read; none is all.
    out
        Folder; finished runs are kept in its ``parts``, and not done again by a later call with the same data, method, seed
        and versions.
    progress
        Called before each run.

    Returns
    -------
    Result
        ``table`` (tidy), ``details`` (a row a data set, task, method and seed, parts of types averaged), ``failures``, and in
        ``extras`` the ``types`` (every type in every run), ``notes``, ``paired`` and ``comparisons``.

    Raises
    ------
    OptionError
        An unknown word or option.
    SourceError
        No source was given, or the label map cannot be read.
    OutputError
        A finished run cannot be kept.
    """
    began = time.perf_counter()
    if not sources:
        raise SourceError("no source was given: name at least one labelled count matrix")
    options = Options(
        labels, group, caption, WORDINGS if wordings is None else tuple(wordings),
        SETUPS if setups is None else tuple(setups), tuple(embeddings), as_seeds(seeds, seed), folds, share, max_cells,
        layer, None if label_map is None else str(label_map), tuple(organs),
    )  # fmt: skip
    check_organs(options.organs)
    chosen = entrants(methods, options.embeddings, options.keys)
    bench = _Bench(options, chosen, Parts(None if out is None else Path(out) / "parts"), progress)
    bench.run(sources)
    parameters = options.to_dict() | {
        "methods": [one.name for one in chosen],
        "told": {one.name: one.made.told for one in chosen},
        "method_parameters": {one.name: dict(one.params) for one in chosen if one.params},
        "seed": options.seeds[0],
    }
    run = provenance(parameters, bench.tables.inputs, time.perf_counter() - began)
    run["versions"] |= versions()
    return bench.tables.result(run)


class _Bench:
    def __init__(self, options: Options, chosen: list[Entrant], parts: Parts, progress: Progress | None) -> None:
        self.options, self.chosen, self.parts, self.progress = options, chosen, parts, progress
        self.tables = Tables(options.seeds[0])
        self.draws = sum(options.folds if setup == "new_types" else 1 for setup in options.setups)
        self.done, self.total = 0, 0

    def run(self, sources: Sequence[Any]) -> None:
        usable = self._usable(sources)
        self.total = len(usable) * len(self.options.seeds) * self.draws * len(self.chosen)
        for data in usable:
            others = tuple(one for one in usable if one is not data)
            for seed in self.options.seeds:
                self._seed(data, others, seed)
            data.release()

    def _usable(self, sources: Sequence[Any]) -> list[DataSet]:
        """Data sets that can be read and have types to tell apart; each of them may be what another is judged after."""
        o = self.options
        types = None if o.label_map is None else read_type_map(o.label_map)
        out = []
        for data in data_sets(sources, o.labels, o.layer, types, o.depends):
            try:
                if not isinstance(data, DataSet):
                    raise data.error
                drawn_cells(data.read(), o.max_cells, o.seeds[0])
            except Exception as error:  # a damaged file of any kind stops its own runs, and no others
                self.tables.fail(data.name, "", "open", reason_of(error))
                continue
            self.tables.add_input(data)
            data.release()
            out.append(data)
        return out

    def _seed(self, data: DataSet, others: tuple[DataSet, ...], seed: int) -> None:
        notes: list[str] = []
        found = plans(data, self.options, seed, others, notes)
        self.total -= (self.draws - len(found)) * len(self.chosen)
        for plan in found:
            runs = [Run(data, others, plan, entrant, self.options.organs) for entrant in self.chosen]
            try:
                self._draw(plan, runs)
            except Impossible as why:
                notes.append(f"{data.name}: {plan.setup} is left out: {why}")
                self.total -= len(self.chosen)
        self.tables.note(data.name, "", "", seed, notes)

    def _draw(self, plan: Plan, runs: list[Run]) -> None:
        """All methods on a draw, which is built only if a run of it is not there yet."""
        kept = {run.entrant.name: self.parts.read(run.key) for run in runs}
        for run in runs:
            outcome = kept[run.entrant.name]
            if outcome is not None:
                self._add(run, outcome)
        todo = [run for run in runs if kept[run.entrant.name] is None]
        if not todo:
            return
        self._say(plan, "the draw")
        with ExitStack() as stack:
            try:
                draw = stack.enter_context(plan.open())
            except Impossible:
                raise
            except Exception as error:  # what cannot be drawn is a failure of every method that waits for it
                reason = reason_of(error)
                self.tables.fail(plan.name, "", f"{plan.setup}, seed {plan.seed}, fold {plan.fold}", reason)
                for run in todo:
                    self._failed(run, plan.setup, reason, Attempt())
                    self.done += 1
                return
            for run in todo:
                self._attempt(run, draw)

    def _attempt(self, run: Run, draw: Draw) -> None:
        self._say(run.plan, run.entrant.name)
        answer = attempt(draw, run.entrant.made, run.entrant.key, run.plan.seed)
        outcome = {
            "questions": answer.questions, "words": list(answer.words), "draw_words": list(draw.notes),
            "seconds": answer.seconds, "peak_mib": answer.peak_mib,
        }  # fmt: skip
        self._add(run, outcome if answer.failed else self.parts.write(run.key, outcome))
        for task, (stage, reason) in answer.failed.items():
            where = f"{task}, {stage}, seed {run.plan.seed}, fold {run.plan.fold}"
            self.tables.fail(run.data.name, run.entrant.name, where, reason)
            self._failed(run, task, reason, answer)

    def _add(self, run: Run, outcome: dict[str, Any]) -> None:
        cost = {name: outcome[name] for name in ("seconds", "peak_mib")}
        for task, one in outcome["questions"].items():
            self.tables.add(run.names, task, one, **cost)
        about = run.data.name, run.plan.setup
        self.tables.note(*about, "", run.plan.seed, outcome["draw_words"])
        self.tables.note(*about, run.entrant.name, run.plan.seed, outcome["words"])
        self.done += 1

    def _failed(self, run: Run, task: str, reason: str, answer: Attempt) -> None:
        self.tables.add(run.names, task, None, seconds=answer.seconds, peak_mib=answer.peak_mib, reason=reason)

    def _say(self, plan: Plan, what: str) -> None:
        if self.progress:
            fold = f", part {plan.fold + 1}" if plan.setup == "new_types" else ""
            text = f"{plan.name}: {plan.setup}{fold}, seed {plan.seed}, {what}"
            self.progress(self.done, max(self.total, self.done + 1), text)
