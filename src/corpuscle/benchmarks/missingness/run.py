"""The benchmark: data sets x masks x draws x methods in, one result out. A failure is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._choices import as_seeds
from corpuscle.benchmarks._engines import engine_versions
from corpuscle.benchmarks._parts import Key, Parts
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks._sources import Unread
from corpuscle.benchmarks.missingness._data import TruthSource, truths
from corpuscle.benchmarks.missingness._entrants import Entrant, mask_entrants, method_entrants
from corpuscle.benchmarks.missingness._one import DROPOUT, Problem, attempt, holes_of, problem_of, unsuited
from corpuscle.benchmarks.missingness.options import SIMULATED, Options
from corpuscle.benchmarks.missingness.tables import NAME, Tables
from corpuscle.errors import SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (runs done, runs known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    methods: Iterable[Any] | str | None = None,
    masks: Iterable[Any] | str | None = None,
    *,
    labels: str = "cell_type",
    draws: int | Sequence[int] = 10,
    seed: int = 0,
    genes: int = 1000,
    max_cells: int = 600,
    layer: str | None = None,
    simulated: bool | Sequence[int] = False,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Which ways to see past missing values keep inner products, distances, neighbours, directions and clusters?

    Complete values are the truth, and entries are lost from them. Every draw takes cells of each data set and loses entries
    of them; all methods of a draw see the same holes, and none of them sees the truth or a label.

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels, or complete tables (``.npy``, ``.csv``, ``.tsv``); each is one
        data set. Counts become log1p of counts per 10,000 of the most variable genes.
    methods
        Words (``"unbiased"``, ``"authors"``, ``"ht"``, ``"pairwise"``, ``"knn_impute"``, ``"iterative"``,
        ``"soft_impute"``, ``"ppca:rank=5"``, ``"module:Class"``, ...) or objects with ``name``, ``told``, ``needs_p`` and
        ``__call__(given)``. ``zero_fill`` and ``mean_fill`` always take part. None is all built-in ones but ``iterative``.
    masks
        Words (``"constant:p=0.5"``, ``"uniform:low=0.2"``, ``"authors"``, ``"logit_normal:sd=1.2"``,
        ``"dropout:low=0.6,mask=consensus"``) or masks. None is those of the evidence.
    labels
        ``obs`` column with the true types.
    draws, seed
        How many draws, or their seeds; and the first seed.
    genes
        Most variable genes that are kept.
    max_cells
        Cells that a draw has at most, each type its share.
    layer
        Layer that holds the raw counts.
    simulated
        True, or numbers of features: simulations of three clusters in two factors are data sets too.
    out
        Folder; finished runs are kept in its ``parts``, and not done again by a later call with the same data, mask,
        method, seed, and versions.
    progress
        Called before each run.

    Returns
    -------
    Result
        ``table`` (tidy; a mask is a task), ``details`` (a row a run, with what it was ``told``), ``failures``, and in
        ``extras`` the ``notes``, ``paired`` (against the mean fill, by data set) and ``comparisons``.

    Raises
    ------
    OptionError
        An unknown word or option.
    SourceError
        No source was given.
    OutputError
        A finished run cannot be kept.
    """
    began = time.perf_counter()
    features = (SIMULATED if simulated else ()) if isinstance(simulated, bool) else tuple(simulated)
    if not sources and not features:
        raise SourceError("no source was given: name a labelled count matrix or a complete table, or ask for simulated")
    options = Options(labels, as_seeds(draws, seed), genes, max_cells, layer, features)
    holes, chosen = mask_entrants(masks), method_entrants(methods)
    bench = _Bench(options, holes, chosen, Parts(None if out is None else Path(out) / "parts"), progress)
    bench.run(sources)
    parameters = options.to_dict() | {
        "masks": [one.name for one in holes],
        "methods": [one.name for one in chosen],
        "told": {one.name: one.made.told for one in chosen},
        "method_parameters": {one.name: dict(one.params) for one in chosen if one.params},
        "seed": options.seeds[0],
    }
    run = provenance(parameters, bench.tables.inputs, time.perf_counter() - began)
    run["versions"] |= engine_versions()
    return bench.tables.result(run)


@dataclass(frozen=True)
class _Run:
    """One cell of the grid."""

    source: TruthSource
    mask: Entrant
    method: Entrant
    seed: int

    @property
    def key(self) -> Key:
        what = {
            "benchmark": NAME, "dataset": self.source.name, "data": dict(self.source.described), "seed": self.seed,
            "mask": self.mask.name, "mask_params": dict(self.mask.params), "mask_code": self.mask.code,
            "method": self.method.name, "params": dict(self.method.params), "method_code": self.method.code,
            "versions": engine_versions(),
        }  # fmt: skip
        return Key((self.source.name, self.mask.name, self.method.name, f"seed{self.seed}"), what)


class _Bench:
    def __init__(
        self,
        options: Options,
        masks: list[Entrant],
        methods: list[Entrant],
        parts: Parts,
        progress: Progress | None,
    ) -> None:
        self.options, self.masks, self.methods, self.parts, self.progress = options, masks, methods, parts, progress
        self.tables = Tables(options.seeds[0])
        self.each = len(masks) * len(methods) * len(options.seeds)
        self.done, self.total = 0, 0

    def run(self, sources: Sequence[Any]) -> None:
        o = self.options
        self.total = (len(sources) + len(o.simulated)) * self.each
        found = truths(sources, o.labels, layer=o.layer, genes=o.genes, max_cells=o.max_cells, features=o.simulated)
        for source in found:
            if isinstance(source, Unread):
                self.tables.fail(source.name, "", "open", reason_of(source.error))
                self.done += self.each
                continue
            self._source(source)
            source.release()

    def _source(self, source: TruthSource) -> None:
        """All runs of a data set; the first draw is always made, so that what cannot be read says so once."""
        first, *_ = self.options.seeds
        problem = problem_of(source, first)
        if isinstance(problem, Attempt):
            self.tables.fail(source.name, "", "open", problem.reason)
            self.done += self.each
            return
        self.tables.add_input(source)
        for mask in self.masks:
            why = unsuited(problem, mask.made)
            if why:
                self.tables.note(source.name, mask.name, "", first, [f"{mask.name} is left out: {why}"])
        fitting = [mask for mask in self.masks if not unsuited(problem, mask.made)]
        self.done += self.each - len(fitting) * len(self.methods) * len(self.options.seeds)
        for seed in self.options.seeds:
            known = problem if seed == first else None
            for mask in fitting:
                known = self._mask(source, mask, seed, known)

    def _mask(self, source: TruthSource, mask: Entrant, seed: int, problem: Problem | None) -> Problem | None:
        """All methods on the same holes, which are made only if a run of them is not there yet."""
        todo = []
        for method in self.methods:
            if method.made.needs_p and mask.made.kind == DROPOUT:
                self.done += 1  # probabilities are asked for where values decide: no failure, and no row
                continue
            run = _Run(source, mask, method, seed)
            outcome = self.parts.read(run.key)
            if outcome is None:
                todo.append(run)
            else:
                self._add(run, Attempt(outcome))
        if not todo:
            return problem
        self._say(source, mask, seed, "the draw")
        made = problem or problem_of(source, seed)
        holes = made if isinstance(made, Attempt) else holes_of(made, mask.made, source, seed)
        if isinstance(holes, Attempt):
            self.tables.fail(source.name, "", f"{mask.name}, {holes.stage}, seed {seed}", holes.reason)
        for run in todo:
            if isinstance(holes, Attempt):
                self._add(run, holes)
            elif not holes.drawn.suits(run.method.made):
                self.done += 1
            else:
                self._say(source, mask, seed, run.method.name)
                answer = attempt(holes, run.method.made)
                self._add(run, Attempt(self.parts.write(run.key, answer.outcome)) if answer.outcome else answer)
        return None if isinstance(made, Attempt) else made

    def _add(self, run: _Run, answer: Attempt) -> None:
        self.tables.add(run.source, run.mask.made, run.method.made, run.seed, answer)
        self.done += 1

    def _say(self, source: TruthSource, mask: Entrant, seed: int, what: str) -> None:
        if self.progress:
            text = f"{source.name}: {mask.name}, {what}, seed {seed}"
            self.progress(self.done, max(self.total, self.done + 1), text)
