"""The benchmark: data sets x methods x seeds in, one result out. A failure is a row, never a missing one."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from corpuscle.benchmarks._choices import as_seeds
from corpuscle.benchmarks._engines import engine_versions, source_digest
from corpuscle.benchmarks._method_words import method_params
from corpuscle.benchmarks._parts import Key, Parts, fingerprint
from corpuscle.benchmarks._provenance import provenance, sha256
from corpuscle.benchmarks._reason import reason_of
from corpuscle.benchmarks.topics._one import Attempt, attempt
from corpuscle.benchmarks.topics._registry import as_readings
from corpuscle.benchmarks.topics.data import DataSet, data_sets
from corpuscle.benchmarks.topics.enrichment import require_testable
from corpuscle.benchmarks.topics.gene_sets import GeneSets, read_gmt
from corpuscle.benchmarks.topics.methods import Reading, TopicMethod
from corpuscle.benchmarks.topics.options import LABELS, Options
from corpuscle.benchmarks.topics.score import Reference
from corpuscle.benchmarks.topics.tables import NAME, Tables
from corpuscle.errors import CorpuscleError, SourceError
from corpuscle.report import Result

__all__ = ["Progress", "benchmark"]

#: Called with (fits done, fits known, what is being done).
Progress = Callable[[int, int, str], None]
#: Code that every number depends on.
SCORING = tuple(
    f"corpuscle.benchmarks.topics.{name}"
    for name in (
        "score",
        "_one",
        "methods",
        "data",
        "coherence",
        "diversity",
        "enrichment",
        "purity",
        "rare_types",
        "top_genes",
    )
)


def benchmark(
    sources: Sequence[Any],
    methods: Iterable[str | TopicMethod] | str | None = None,
    *,
    labels: str | None = LABELS,
    gene_sets: str | Path | Sequence[str | Path] | GeneSets = (),
    n_topics: int = 50,
    seeds: int | Sequence[int] = 5,
    seed: int = 0,
    top_genes: int = 10,
    n_top_genes: int | None = 2000,
    layer: str | None = None,
    batch_key: str | None = None,
    view_key: str | None = None,
    gsea_permutations: int = 1000,
    enrich: bool = True,
    threads: int = 1,
    out: str | Path | None = None,
    progress: Progress | None = None,
) -> Result:
    """Which topics can be read: pure, coherent, diverse, enriched for known gene sets, and found again by another seed?

    Parameters
    ----------
    sources
        Paths, globs or AnnData of raw counts; each is one data set.
    methods
        Names, with parameters after a colon (``"nmf:max_iter=500"``) and one of its rankings after ``@``, or objects
        with a ``name`` and ``fit(cells, *, n_topics, seed)``. None is every built-in method that is installed.
    labels
        ``obs`` column with the true types, for purity and rare types; no method sees it. None, or no column of the
        default name: those numbers are undefined.
    gene_sets
        GMT files, taken as one collection. Without any, only purity, diversity and stability are computed.
    n_topics
        Topics of every method.
    seeds
        How many seeds, or which.
    seed
        The first of them.
    top_genes
        Genes that a topic is read by.
    n_top_genes
        Highly variable genes, the same for every method; None takes all that are expressed.
    layer
        Layer that holds the raw counts.
    batch_key, view_key
        ``obs`` column of batches and ``obsm`` key of a second view, given to every method.
    gsea_permutations
        Permutations a topic of the pre-ranked test; 0 leaves that test out, which takes most of the time.
    enrich
        Test gene sets for enrichment at all.
    threads
        Threads of the pre-ranked test.
    out
        Folder; finished fits are kept in its ``parts``, and not done again by a later call with the same data, method,
        seed, options and versions.
    progress
        Called before each fit.

    Returns
    -------
    Result
        ``table`` (tidy), ``details`` (a row a fit and ranking), ``failures``, and in ``extras`` ``names`` (ours beside
        the published ones), ``top_genes``, ``topics``, ``enriched``, ``types``, ``stability``, ``undefined`` and
        ``data``.

    Raises
    ------
    OptionError
        An unknown method or option.
    SourceError
        No source was given, or a gene-set file cannot be read.
    OutputError
        A finished fit cannot be kept.
    """
    began = time.perf_counter()
    if not sources:
        raise SourceError("no source was given: name at least one count matrix")
    options = Options(
        labels, n_topics, as_seeds(seeds, seed), top_genes, n_top_genes, layer, batch_key, view_key, enrich,
        gsea_permutations, threads,
    )  # fmt: skip
    readings = as_readings(methods)
    sets, files = _gene_sets(gene_sets)
    bench = _Bench(options, readings, sets, Parts(None if out is None else Path(out) / "parts"), progress, len(sources))
    bench.run(sources)
    parameters = options.to_dict() | {"methods": [one.name for one in readings], "seed": options.seeds[0]}
    parameters["gene_sets"] = [file["path"] for file in files]
    run = provenance(parameters, [*bench.tables.inputs, *files], time.perf_counter() - began)
    run["versions"] |= engine_versions()
    return bench.tables.result(run)


def _gene_sets(given: Any) -> tuple[GeneSets | None, list[dict[str, str]]]:
    """One collection, and what it was read from."""
    if isinstance(given, GeneSets):
        return given, [{"dataset": "gene sets", "path": f"{len(given):,} sets in memory", "sha256": _digest(given)}]
    paths = [Path(given)] if isinstance(given, str | Path) else [Path(path) for path in given]
    if not paths:
        return None, []
    sets = read_gmt(paths)
    return sets, [{"dataset": "gene sets", "path": str(path), "sha256": sha256(path)} for path in paths]


def _digest(sets: GeneSets) -> str:
    return fingerprint({name: list(genes) for name, genes in sets.sets.items()})


class _Bench:
    def __init__(
        self, options: Options, readings: list[Reading], sets: GeneSets | None, parts: Parts, progress: Progress | None,
        n_sources: int,
    ) -> None:  # fmt: skip
        self.options, self.sets, self.parts, self.progress = options, sets, parts, progress
        ordered = sorted(readings, key=lambda one: [id(other.method) for other in readings].index(id(one.method)))
        self.fits = [list(group) for _, group in groupby(ordered, key=lambda one: id(one.method))]
        self.tables = Tables(options, readings)
        self.sets_digest = "" if sets is None else _digest(sets)
        self.each = len(self.fits) * len(options.seeds)
        self.done, self.total = 0, n_sources * self.each

    def run(self, sources: Sequence[Any]) -> None:
        for data in data_sets(sources, self.options):
            if not isinstance(data, DataSet):
                self.tables.fail(data.name, "", "open", reason_of(data.error))
                self.done += self.each
                continue
            reference = self._reference(data)
            self.tables.add_data(data, reference)
            for readings in self.fits:
                for seed in self.options.seeds:
                    self._fit(data, readings, seed, reference)
            self.tables.close(data)

    def _reference(self, data: DataSet) -> Reference:
        """What can be asked about a data set; gene sets that do not speak of its genes are a failure."""
        options, sets = self.options, self.sets
        no_sets, no_ora, no_gsea = "no gene sets were given", "", ""
        if sets is not None:
            try:
                sets.require(data.cells.genes, data.name)
            except CorpuscleError as error:
                no_sets, sets = str(error), None
                self.tables.fail(data.name, "", "gene sets", no_sets)
        if not options.enrich:
            no_ora = no_gsea = "enrichment was not asked for"
        elif not options.gsea_permutations:
            no_gsea = "the pre-ranked test was not asked for (0 permutations)"
        elif sets is not None:
            try:
                require_testable(sets, data.cells.genes)
            except CorpuscleError as error:
                no_gsea = str(error)
                self.tables.fail(data.name, "", "gsea", no_gsea)
        return Reference(data.labels_n, data.unlabelled, sets, no_sets, no_ora, no_gsea)

    def _fit(self, data: DataSet, readings: list[Reading], seed: int, reference: Reference) -> None:
        key = self._key(data, readings, seed, reference)
        outcome = self.parts.read(key)
        if outcome is not None:
            answer = Attempt(outcome)
        else:
            if self.progress:
                text = f"{data.name}: {readings[0].method.name}, seed {seed}"
                self.progress(self.done, max(self.total, self.done + 1), text)
            answer = attempt(data.cells, readings, seed, reference, self.options)
            if answer.outcome is not None and answer.complete:
                answer = Attempt(self.parts.write(key, answer.outcome))
        self.done += 1
        self.tables.add(data, readings, seed, answer)

    def _key(self, data: DataSet, readings: list[Reading], seed: int, reference: Reference) -> Key:
        method, options = readings[0].method, self.options
        module = str(getattr(type(method), "__module__", ""))
        code = tuple(getattr(method, "code", ()))
        what = {
            "benchmark": NAME, "data": data.content, "seed": seed, "method": method.name, "params": method_params(method),
            "readings": [(one.name, one.ranking) for one in readings], "n_topics": options.n_topics,
            "top_genes": options.top_genes, "permutations": options.gsea_permutations,
            "gene_sets": "" if reference.gene_sets is None else self.sets_digest,
            "without": [reference.no_labels, reference.no_sets, reference.no_ora, reference.no_gsea],
            "source": source_digest((*SCORING, module, *code)), "versions": engine_versions(),
        }  # fmt: skip
        return Key((data.name, method.name, f"seed{seed}"), what)
