"""The benchmark: data sets x sources of scores x refinements x seeds in, one result out. A failure is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._choices import as_seeds, check_organs
from corpuscle.benchmarks._engines import engine_versions
from corpuscle.benchmarks._labelled import DataSet, LabelledCells, data_sets
from corpuscle.benchmarks._parts import Key, Parts
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks._truth import read_type_map
from corpuscle.benchmarks.annotation._draw import Draw, draw_cells
from corpuscle.benchmarks.annotation._entrants import Entrant, refinement_entrants, source_entrants
from corpuscle.benchmarks.annotation._one import Problem, attempt, problem_of
from corpuscle.benchmarks.annotation.options import Options
from corpuscle.benchmarks.annotation.tables import NAME, Tables
from corpuscle.errors import SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (runs done, runs known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    scores: Iterable[Any] | str | None = None,
    refinements: Iterable[Any] | str | None = None,
    *,
    labels: str = "cell_type",
    label_map: str | Path | None = None,
    organs: Sequence[str] = (),
    seeds: int | Sequence[int] = 5,
    seed: int = 0,
    layer: str | None = None,
    share: float = 0.8,
    n_neighbors: int = 15,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Does smoothing scores over the neighbour graph name cells better, and which types does it cost?

    Every seed draws a part of the cells of each data set. All refinements of one data set, source of scores and seed get
    the same scores and the same graph. Candidates are the types that are present.

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels; each is one data set.
    scores
        Where scores come from: words (``"markers"``, ``"ucell"``, ``"reference:per_type=10"``,
        ``"reference:batch=COLUMN"``, ``"prototypes"``, ``"text"``, ``"scores:OBSM_KEY"``, ``"noise:fraction=0.4"``,
        ``"module:Class"``) or objects with ``name``, ``told``, ``needs_labels`` and ``__call__(draw, seed)``. None is
        markers and reference.
    refinements
        Words (``"grit"``, ``"grit:lam=5"``, ``"guarded"``, ...) or objects with a ``name`` and
        ``__call__(values_nk, graph, types, seed)``. ``raw``, ``majority_vote`` and ``grit`` always take part. None is all
        that are built in.
    labels
        ``obs`` column with the true types.
    label_map
        TSV that says which type a label stands for, see :func:`~corpuscle.benchmarks.annotation.read_type_map`. None
        takes each label as a type and looks it up in the Cell Ontology.
    organs
        Organs whose ASCT+B marker tables are read; none is all.
    seeds, seed
        How many seeds, or which; and the first of them.
    layer
        Layer that holds the raw counts.
    share
        Share of the cells that a seed draws.
    n_neighbors
        Neighbours of a cell in the graph, the cell itself among them.
    out
        Folder; finished runs are kept in its ``parts``, and not done again by a later call with the same data, source,
        refinement, seed, and versions.
    progress
        Called before each run.

    Returns
    -------
    Result
        ``table`` (tidy; a source of scores is a task, a refinement a method), ``details`` (a row a run, with what the
        source was ``told``), ``failures``, and in ``extras`` the ``types`` (F1 of every type in every run),
        ``calibration``, ``notes``, ``paired`` and ``comparisons``.

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
    mapped = None if label_map is None else str(label_map)
    options = Options(labels, as_seeds(seeds, seed), layer, mapped, tuple(organs), share, n_neighbors)
    check_organs(options.organs)
    scorers, methods = source_entrants(scores), refinement_entrants(refinements)
    bench = _Bench(options, scorers, methods, Parts(None if out is None else Path(out) / "parts"), progress)
    bench.run(sources)
    parameters = options.to_dict() | {
        "scores": [one.name for one in scorers],
        "told": {one.name: one.made.told for one in scorers},
        "refinements": [one.name for one in methods],
        "method_parameters": {one.name: dict(one.params) for one in (*scorers, *methods) if one.params},
        "seed": options.seeds[0],
    }
    run = provenance(parameters, bench.tables.inputs, time.perf_counter() - began)
    run["versions"] |= engine_versions()
    return bench.tables.result(run)


@dataclass(frozen=True)
class _Run:
    """One cell of the grid."""

    data: DataSet
    source: Entrant
    method: Entrant
    seed: int
    organs: tuple[str, ...]

    @property
    def key(self) -> Key:
        what = {
            "benchmark": NAME, "data": self.data.described, "seed": self.seed, "organs": list(self.organs),
            "source": self.source.name, "source_params": dict(self.source.params), "source_code": self.source.code,
            "told": self.source.made.told, "method": self.method.name, "params": dict(self.method.params),
            "method_code": self.method.code, "versions": engine_versions(),
        }  # fmt: skip
        return Key((self.data.name, self.source.name, self.method.name, f"seed{self.seed}"), what)


class _Bench:
    def __init__(
        self,
        options: Options,
        scorers: list[Entrant],
        methods: list[Entrant],
        parts: Parts,
        progress: Progress | None,
    ) -> None:
        self.options, self.scorers, self.methods, self.parts, self.progress = options, scorers, methods, parts, progress
        self.types = None if options.label_map is None else read_type_map(options.label_map)
        self.tables = Tables(options)
        self.each = len(scorers) * len(methods) * len(options.seeds)
        self.done, self.total = 0, 0

    def run(self, sources: Sequence[Any]) -> None:
        self.total = len(sources) * self.each
        o = self.options
        depends = {"share": o.share, "n_neighbors": o.n_neighbors}
        for data in data_sets(sources, o.labels, o.layer, self.types, depends):
            try:
                if not isinstance(data, DataSet):
                    raise data.error
                cells = data.read()
            except Exception as error:  # a damaged file of any kind stops its own runs, and no others
                self.tables.fail(data.name, "", "open", reason_of(error))
                self.done += self.each
                continue
            self.tables.add_input(data)
            for seed in self.options.seeds:
                self._seed(data, cells, seed)
            data.release()

    def _seed(self, data: DataSet, cells: LabelledCells, seed: int) -> None:
        o = self.options
        draw = draw_cells(cells, seed, o.share, n_neighbors=o.n_neighbors, organs=o.organs)
        for source in self.scorers:
            problem: Problem | Attempt | None = None
            for method in self.methods:
                run = _Run(data, source, method, seed, o.organs)
                outcome = self.parts.read(run.key)
                if outcome is None:
                    self._say(run)
                    problem = problem or self._scored(data, draw, source, seed)
                    answer = problem if isinstance(problem, Attempt) else attempt(problem, method.made, seed)
                    outcome = None if answer.outcome is None else self.parts.write(run.key, answer.outcome)
                self.tables.add(data, source.made, method.name, seed, Attempt(outcome) if outcome else answer)
                self.done += 1

    def _scored(self, data: DataSet, draw: Draw, source: Entrant, seed: int) -> Problem | Attempt:
        """Scores and graph; a source that fails is one line, however many refinements wait for it."""
        found = problem_of(draw, source.made, seed)
        if isinstance(found, Attempt):
            self.tables.fail(data.name, source.name, f"{found.stage}, seed {seed}", found.reason)
        return found

    def _say(self, run: _Run) -> None:
        if self.progress:
            text = f"{run.data.name}: {run.source.name}, {run.method.name}, seed {run.seed}"
            self.progress(self.done, max(self.total, self.done + 1), text)
