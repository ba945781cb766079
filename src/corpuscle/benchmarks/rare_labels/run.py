"""The benchmark: data sets x rare labels x repeats x arms in, one result out. A failure is a row."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._attempt import Attempt
from corpuscle.benchmarks._choices import as_seeds
from corpuscle.benchmarks._entrant import Entrant
from corpuscle.benchmarks._parts import Key, Parts
from corpuscle.benchmarks._provenance import provenance
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks._sources import Unread
from corpuscle.benchmarks.rare_labels._data import Samples, SampleSource, sample_sources
from corpuscle.benchmarks.rare_labels._draw import Draw, choose_targets, draws
from corpuscle.benchmarks.rare_labels._entrants import entrants, judging_code, role_of, versions
from corpuscle.benchmarks.rare_labels._one import Problem, attempt, problem_of
from corpuscle.benchmarks.rare_labels.budget import read_amount
from corpuscle.benchmarks.rare_labels.options import RARITY, Options
from corpuscle.benchmarks.rare_labels.tables import NAME, Tables
from corpuscle.errors import CorpuscleError, SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (runs done, runs known, what is being done).
Progress = Callable[[int, int, str], None]


def benchmark(
    sources: Sequence[Any],
    arms: Iterable[Any] | str | None = None,
    *,
    labels: str = "cell_type",
    groups: str | None = "batch",
    pseudobulk: bool = False,
    min_cells: int = 10,
    targets: Sequence[str] = (),
    max_targets: int = 3,
    rarity: Sequence[int] = RARITY,
    amounts: Sequence[float | str] = (5, "median"),
    repeats: int | Sequence[int] = 10,
    seed: int = 0,
    max_samples: int = 3000,
    max_per_label: int = 300,
    genes: int = 2000,
    pcs: int = 50,
    min_reads: float | None = None,
    judged_repeats: int = 3,
    layer: str | None = None,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Do synthetic samples of a rare label help to find it in series that nobody trained on, more than weights do?

    A common label is made rare: of its training samples r are kept, over as many series as there are. Whole series are
    held out, a third of them, with all their samples. Arms see features of the training samples, which were fitted on these
    alone, and add samples of the label; the same logistic regression is then trained with the same weight of the label for
    all arms, and judged on the held-out series.

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts with labels; each is one data set.
    arms
        Words (``"smote"``, ``"mvn"``, ``"gan"``, ``"vae"``, ``"diffusion"``, ``"gan_shuffled"``, ``"noise:scale=0.5"``,
        ``"module:Class"``; ``"cheap"``, ``"learned"``, ``"nulls"`` for several) or objects with ``name``, ``told``,
        ``kind`` and ``__call__(given)``. ``none`` and ``class_weight`` always take part. None is all cheap ones.
    labels, groups
        ``obs`` columns with the labels, and with the series or donor of each sample; groups None splits at random.
    pseudobulk, min_cells
        Add cells up by group and label first, of at least so many cells each.
    targets, max_targets
        Labels to make rare; without names the largest, at most so many.
    rarity
        Training samples that a label is cut to, one or more numbers.
    amounts
        Synthetic samples for each real one, or ``"median"``: up to the median size of all labels.
    repeats, seed
        How many repeats, or their seeds; and the first seed.
    max_samples, max_per_label
        Bounds of a data set, and of the training samples of every other label.
    genes, pcs, min_reads
        Of the features: most variable genes, principal components, and the reads that a gene must have more of.
    judged_repeats
        The first so many repeats are also judged for fidelity, copies and crossed training.
    layer
        Layer that holds the raw counts.
    out
        Folder; finished runs are kept in its ``parts``, and not done again by a later call that asks for the same.
    progress
        Called before each run.

    Returns
    -------
    Result
        ``table`` (tidy; label, rarity and amount are a task), ``details`` (a row a run and amount), ``failures``, and in
        ``extras`` the ``notes``, ``comparisons`` (against class weights), ``versus_cheap``, ``verdict`` and ``fidelity``.

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
    if not sources:
        raise SourceError("no source was given: name a raw count matrix with labels")
    options = Options(
        labels, groups, pseudobulk, min_cells, tuple(int(r) for r in rarity), tuple(read_amount(a) for a in amounts),
        as_seeds(repeats, seed), tuple(targets), max_targets, max_samples, max_per_label, genes, pcs, min_reads,
        judged_repeats, layer,
    )  # fmt: skip
    chosen = entrants(arms)
    bench = _Bench(options, chosen, Parts(None if out is None else Path(out) / "parts"), progress)
    bench.run(sources)
    parameters = options.to_dict() | {
        "arms": [one.name for one in chosen],
        "roles": {one.name: role_of(one.name) for one in chosen},
        "told": {one.name: one.made.told for one in chosen},
        "arm_parameters": {one.name: dict(one.params) for one in chosen if one.params},
        "seed": options.seeds[0],
    }
    run = provenance(parameters, bench.tables.inputs, time.perf_counter() - began)
    run["versions"] |= versions()
    return bench.tables.result(run)


@dataclass(frozen=True)
class _Run:
    """One arm on one draw."""

    source: SampleSource
    label: str
    draw: Draw
    arm: Entrant
    options: Options
    judged: bool

    @property
    def key(self) -> Key:
        what = {
            "benchmark": NAME, "data": dict(self.source.described), "label": self.label, "r": self.draw.rarity,
            "seed": self.draw.seed, "judged": self.judged, "options": self.options.of_run, "arm": self.arm.name,
            "params": dict(self.arm.params), "arm_code": self.arm.code, "code": judging_code(), "versions": versions(),
        }  # fmt: skip
        name = (self.source.name, self.label, f"r{self.draw.rarity}", self.arm.name, f"seed{self.draw.seed}")
        return Key(name, what)


class _Bench:
    def __init__(self, options: Options, arms: list[Entrant], parts: Parts, progress: Progress | None) -> None:
        self.options, self.arms, self.parts, self.progress = options, arms, parts, progress
        split = "series" if options.groups is not None else "random"
        self.tables = Tables(options.seeds[0], split)
        self.done, self.total = 0, 0

    def run(self, sources: Sequence[Any]) -> None:
        for source in sample_sources(sources, self.options):
            if isinstance(source, Unread):
                self.tables.fail(source.name, "", "open", reason_of(source.error))
                continue
            self._source(source)
            source.release()

    def _source(self, source: SampleSource) -> None:
        o = self.options
        try:
            samples = source.read()
            targets, notes = choose_targets(samples, o.rarity, o.targets, o.max_targets)
        except (CorpuscleError, OSError, ValueError) as error:
            self.tables.fail(source.name, "", "open", reason_of(error))
            return
        self.tables.add_input(source, samples.notes)
        for note in notes:
            self.tables.note(source.name, "", "", [note])
        self.total += len(targets) * len(o.seeds) * len(o.rarity) * len(self.arms)
        for target in targets:
            for seed in o.seeds:
                found, note = draws(samples, target, o.rarity, seed, o.max_per_label)
                if note:
                    self.tables.note(source.name, samples.names[target], "", [note])
                self.done += (len(o.rarity) - len(found)) * len(self.arms)
                for draw in found:
                    self._draw(source, samples, draw)

    def _draw(self, source: SampleSource, samples: Samples, draw: Draw) -> None:
        """All arms on one draw, whose features are fitted only if a run of them is not there yet."""
        label = samples.names[draw.target]
        judged = draw.seed in self.options.seeds[: self.options.judged_repeats]
        runs = [_Run(source, label, draw, arm, self.options, judged) for arm in self.arms]
        problem: Problem | Attempt | None = None
        for run in runs:
            where = f"{source.name}: {label}, r={draw.rarity}, seed {draw.seed}, {run.arm.name}"
            if self.progress:
                self.progress(self.done, max(self.total, self.done + 1), where)
            outcome = self.parts.read(run.key)
            if outcome is not None:
                self.tables.add(source, label, draw, run.arm.made, Attempt(outcome))
                self.done += 1
                continue
            if problem is None:
                problem = problem_of(samples, draw, self.options)
                if isinstance(problem, Attempt):
                    stage = f"{label}, r={draw.rarity}, features, seed {draw.seed}"
                    self.tables.fail(source.name, "", stage, problem.reason)
            if isinstance(problem, Attempt):
                answer = problem
            else:
                answer = attempt(problem, run.arm.made, self.options.amounts, judged=judged)
            if answer.outcome:
                answer = Attempt(self.parts.write(run.key, answer.outcome))
            self.tables.add(source, label, draw, run.arm.made, answer)
            self.done += 1
