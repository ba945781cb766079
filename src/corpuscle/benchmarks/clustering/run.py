"""The benchmark: data sets x methods x seeds in, one result out. A failure is a row, never a missing one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._choices import as_seeds
from corpuscle.benchmarks._engines import engine_versions
from corpuscle.benchmarks._parts import Key, Parts
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.clustering._data import DataSet, data_sets
from corpuscle.benchmarks.clustering._entrants import Entrant, entrants
from corpuscle.benchmarks.clustering._one import Task, attempt
from corpuscle.benchmarks.clustering._processes import side_by_side
from corpuscle.benchmarks.clustering.options import Options
from corpuscle.benchmarks.clustering.tables import NAME, Tables
from corpuscle.errors import SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (runs done, runs known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    methods: Iterable[Any] | None = None,
    *,
    labels: str = "cell_type",
    seeds: int | Sequence[int] = 5,
    seed: int = 0,
    layer: str | None = None,
    batch_key: str | None = None,
    view_key: str | None = None,
    algorithm: str = "leiden",
    jobs: int = 1,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Which embedding finds the known cell types, and how much of its score is the labels' own doing?

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels; each is one data set.
    methods
        Names, with parameters after a colon (``"scvi:max_epochs=100,n_latent=20"``), or objects with a ``name``,
        ``told`` and ``__call__(cells, *, seed, n_types)``. None is the simple baselines, and the trained methods
        whose extra is installed.
    labels
        ``obs`` column with the true types. No method sees it; cells without a label are left out.
    seeds
        How many seeds, or which.
    seed
        The first of them.
    layer
        Layer that holds the raw counts.
    batch_key, view_key
        ``obs`` column of batches and ``obsm`` key of a second view, given to every method.
    algorithm
        ``"leiden"``, or ``"louvain"`` (needs the extra ``louvain``).
    jobs
        Runs at the same time. More than one has a process each: methods must be picklable, and a script that calls
        this needs the usual ``if __name__ == "__main__":``. Cores are shared out evenly.
    out
        Folder; finished runs are kept in its ``parts``, and not done again by a later call with the same data, method,
        seed, and versions.
    progress
        Called before each run.

    Returns
    -------
    Result
        ``table`` (tidy; a protocol is a task), ``details`` (a row a run and protocol, with what it was ``told``),
        ``failures``, and in ``extras`` the ``types``, ``sweep``, ``stability``, ``paired`` and ``comparisons``.

    Raises
    ------
    OptionError
        An unknown method or option.
    SourceError
        No source was given.
    OutputError
        A finished run cannot be kept.
    """
    began = time.perf_counter()
    if not sources:
        raise SourceError("no source was given: name at least one labelled count matrix")
    options = Options(labels, as_seeds(seeds, seed), layer, batch_key, view_key, algorithm, jobs)
    chosen = entrants(methods)
    bench = _Bench(options, chosen, Parts(None if out is None else Path(out) / "parts"), progress, len(sources))
    bench.run(sources)
    told = {"methods": [one.name for one in chosen], "told": {one.name: one.told for one in chosen}}
    params = {one.name: dict(one.params) for one in chosen if one.params}
    parameters = options.to_dict() | told | {"method_parameters": params, "seed": options.seeds[0]}
    run = provenance(parameters, bench.tables.inputs, time.perf_counter() - began)
    run["versions"] |= engine_versions()
    return bench.tables.result(run)


@dataclass(frozen=True)
class _Run:
    """One cell of the grid."""

    data: DataSet
    entrant: Entrant
    seed: int

    @property
    def key(self) -> Key:
        what = {
            "benchmark": NAME, "data": self.data.described, "seed": self.seed, "algorithm": self.data.options.algorithm,
            "method": self.entrant.name, "told": self.entrant.told, "params": dict(self.entrant.params),
            "source": self.entrant.source, "versions": engine_versions(),
        }  # fmt: skip
        return Key((self.data.name, self.entrant.name, f"seed{self.seed}"), what)


class _Bench:
    def __init__(
        self, options: Options, chosen: list[Entrant], parts: Parts, progress: Progress | None, n_sources: int
    ) -> None:
        self.options, self.chosen, self.parts, self.progress = options, chosen, parts, progress
        self.tables = Tables(options)
        self.each = len(chosen) * len(options.seeds)
        self.done, self.total = 0, n_sources * self.each
        self._open: dict[str, int] = {}

    def run(self, sources: Sequence[Any]) -> None:
        tasks = self._tasks(sources)
        if self.options.jobs == 1:
            for run, task in tasks:
                self._finish(run, attempt(task))
            return
        for run, answer in side_by_side(tasks, self.options.jobs):
            self._finish(run, answer)

    def _tasks(self, sources: Sequence[Any]) -> Iterator[tuple[_Run, Task]]:
        """What is left to do; what is done already goes straight into the tables."""
        for data in data_sets(sources, self.options):
            if not isinstance(data, DataSet):
                self._skip(data.name, data.error)
                continue
            runs = [_Run(data, entrant, seed) for entrant in self.chosen for seed in self.options.seeds]
            try:
                cells, labels_n = data.read()
            except Exception as error:  # a damaged file of any kind stops its own runs, and no others
                self._skip(data.name, error)
                continue
            self.tables.add_input(data)
            self._open[data.name] = len(runs)
            for run in runs:
                outcome = self.parts.read(run.key)
                if outcome is not None:
                    self._close(run, Attempt(outcome))
                    continue
                self._say(run)
                yield run, Task(cells, labels_n, run.entrant.method, run.entrant.told, run.seed, self.options.algorithm)

    def _skip(self, name: str, error: Exception) -> None:
        self.tables.fail(name, "", "open", reason_of(error))
        self.done += self.each

    def _say(self, run: _Run) -> None:
        if self.progress:
            text = f"{run.data.name}: {run.entrant.name}, seed {run.seed}"
            self.progress(self.done, max(self.total, self.done + 1), text)

    def _finish(self, run: _Run, answer: Attempt) -> None:
        if answer.outcome is not None:
            answer = Attempt(self.parts.write(run.key, answer.outcome))
        self._close(run, answer)

    def _close(self, run: _Run, answer: Attempt) -> None:
        """A run has ended; with the last of a data set its matrix can go."""
        self.tables.add(run.data, run.entrant, run.seed, answer)
        self.done += 1
        self._open[run.data.name] -= 1
        if not self._open[run.data.name]:
            self.tables.close(run.data)
            run.data.release()
