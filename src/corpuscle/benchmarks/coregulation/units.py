"""A unit: one pair in one sample, with its cells, its background and its resamples, the same for every method."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from corpuscle.benchmarks.coregulation.background import GenePool, choose_background, eligible_genes, related_genes
from corpuscle.benchmarks.coregulation.bootstrap import bootstrap_weights
from corpuscle.benchmarks.coregulation.cells import CellChoice, choose_cells
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.score import MIN_BACKGROUND
from corpuscle.counts import Counts
from corpuscle.datasets import Pair, read_pairs, resolve_pair, underpowered
from corpuscle.errors import CorpuscleError, GeneError
from corpuscle.seeds import stream

__all__ = ["LAMBDA_GENES", "Sample", "Setting", "Unit", "find_pairs", "setting_without_pair", "units_of"]

Array = np.ndarray[Any, Any]

#: The human lambda constant genes; IGLL5 is not one of them.
LAMBDA_GENES = tuple(f"IGLC{i}" for i in range(1, 8))
LAMBDA = "IGLC1-7"
#: Columns of the evaluated cells that are kept, since every method is asked for the same genes again.
KEEP_BYTES = 256 * 2**20
#: Fewer evaluated cells than this say nothing about a pair.
MIN_CELLS = 30


@dataclass(frozen=True)
class Sample:
    """One capture: its counts in memory without the ground truth, and the pairs to ask for."""

    id: str
    series: str
    counts: Counts
    pairs: tuple[Pair, ...]
    sha256: str = ""


@dataclass(frozen=True)
class Setting:
    """Where questions are asked: methods are fitted on ``counts`` and judged inside ``cells``.

    Attributes
    ----------
    counts, inside
        All cells, and the evaluated ones.
    pool
        Genes that may serve as background.
    """

    sample: Sample
    variant: str
    counts: Counts
    inside: Counts
    cells: CellChoice
    pool: GenePool


@dataclass(frozen=True)
class Unit(Setting):
    """One question: a pair in a setting.

    Attributes
    ----------
    a, b
        Positions of the pair's genes.
    background
        Positions of the genes that the pair is compared with.
    weights_bn
        (n_boot, cells) multinomial weights of the bootstrap, shared by all methods so that they are paired.
    note
        Why the pair is underpowered; empty if it is not.
    """

    pair: Pair
    a: int
    b: int
    background: Array
    weights_bn: Array
    note: str

    @property
    def genes(self) -> Array:
        """Positions of the pair, then the background."""
        return np.concatenate([[self.a, self.b], self.background])

    @property
    def key(self) -> tuple[str, str, str]:
        """(sample, pair, variant), which also names its random streams."""
        return self.sample.id, self.pair.name, self.variant


def find_pairs(counts: Counts) -> tuple[Pair, ...]:
    """Pairs declared in the file, or the light chains if the genes are there; empty if neither is."""
    declared = read_pairs(counts.uns)
    if declared:
        return tuple(_named_as_here(pair, counts) for pair in declared)
    return tuple(
        Pair(name=f"IGKC_vs_{gene}", kind="exclusion", gene_a="IGKC", gene_b=gene, construct="light-chain exclusion")
        for gene in ("IGLC2", "IGLC3")
        if counts.has_gene("IGKC") and counts.has_gene(gene)
    )


def _named_as_here(pair: Pair, counts: Counts) -> Pair:
    """The pair under this file's gene names; a gene that is missing is left for its unit to report."""
    try:
        return resolve_pair(pair, counts)
    except GeneError:
        return pair


def units_of(sample: Sample, options: Options) -> Iterator[Unit | tuple[str, CorpuscleError]]:
    """Every question a sample allows; what cannot be asked comes as (pair and variant, why)."""
    for variant, counts, pairs in _variants(sample, options):
        inside: dict[bytes, Counts] = {}
        for pair in pairs:
            try:
                yield _unit(sample, pair, variant, counts, inside, options)
            except CorpuscleError as error:
                yield f"{pair.name} ({variant})", error


def _variants(sample: Sample, options: Options) -> Iterator[tuple[str, Counts, tuple[Pair, ...]]]:
    yield "default", sample.counts, sample.pairs
    exclusion = tuple(pair for pair in sample.pairs if pair.kind == "exclusion")
    if not exclusion or not options.variants:
        return
    genes = {gene for pair in exclusion for gene in (pair.gene_a, pair.gene_b)} | set(LAMBDA_GENES)
    present = sorted(gene for gene in genes if sample.counts.has_gene(gene))
    yield "leave_pair_out_depth", sample.counts.without_depth_of(present), exclusion
    lambdas = [gene for gene in LAMBDA_GENES if sample.counts.has_gene(gene)]
    kappa = [pair for pair in exclusion if pair.gene_b in LAMBDA_GENES]
    if len(lambdas) > 1 and kappa:
        total = np.asarray(sample.counts.columns(lambdas).sum(axis=1)).ravel()
        counts = sample.counts.edit_genes(drop=lambdas, add={LAMBDA: total})
        pair = replace(kappa[0], name=f"{kappa[0].gene_a}_vs_{LAMBDA}", gene_b=LAMBDA, id_b="")
        yield "composite_lambda", counts, (pair,)


def setting_without_pair(sample: Sample, options: Options) -> Setting:
    """Setting for the controls that need no pair."""
    rule = "all" if options.cells == "auto" else options.cells
    cells = choose_cells(sample.counts, None, rule)
    return _setting(sample, "default", sample.counts, cells, {}, sample.pairs, options)


def _setting(
    sample: Sample,
    variant: str,
    counts: Counts,
    cells: CellChoice,
    inside_by_mask: dict[bytes, Counts],
    pairs: tuple[Pair, ...],
    options: Options,
) -> Setting:
    key = cells.mask_n.tobytes()
    if key not in inside_by_mask:
        inside_by_mask[key] = counts if cells.mask_n.all() else counts.select_cells(cells.mask_n)
    inside = inside_by_mask[key]
    inside.keep_columns(KEEP_BYTES)
    if options.fit_on == "cells":
        counts, cells = inside, CellChoice(np.ones(inside.n_obs, bool), cells.rule)
    pool = eligible_genes(inside.profile(), related_genes(counts.var_names, pairs))
    return Setting(sample, variant, counts, inside, cells, pool)


def _unit(
    sample: Sample, pair: Pair, variant: str, counts: Counts, inside_by_mask: dict[bytes, Counts], options: Options
) -> Unit:
    a, b = (int(position) for position in counts.gene_index(pair.genes))
    if a == b:
        raise GeneError(f"{counts.name}: the pair {pair.name} is one and the same gene")
    cells = choose_cells(counts, pair, options.cells, include_plasma=options.include_plasma)
    setting = _setting(sample, variant, counts, cells, inside_by_mask, (*sample.pairs, pair), options)
    profile = setting.inside.profile()
    for gene, position in ((pair.gene_a, a), (pair.gene_b, b)):
        if not profile.cells_g[position]:
            raise GeneError(
                f"{counts.name}: {gene} is zero in all {cells.n_cells:,} evaluated cells; nothing can be said"
            )
    rng = stream(options.seed, sample.id, pair.name, "background")
    background = choose_background(setting.pool, b, mode=options.background, n=options.n_background, rng=rng)
    boot = stream(options.seed, sample.id, pair.name, "bootstrap")
    weights_bn = np.empty((0, cells.n_cells), np.uint8)
    if options.n_boot:
        weights_bn = bootstrap_weights(cells.n_cells, options.n_boot, boot)
    wanted = min(MIN_BACKGROUND, options.n_background)
    few = f"only {background.size} background genes" if background.size < wanted else ""
    note = few or _underpowered(profile.cells_g[a], profile.cells_g[b], cells.n_cells)
    where = {field.name: getattr(setting, field.name) for field in fields(setting)}
    return Unit(**where, pair=pair, a=a, b=b, background=background, weights_bn=weights_bn, note=note)


def _underpowered(cells_a: int, cells_b: int, n_cells: int) -> str:
    if n_cells < MIN_CELLS:
        return f"only {n_cells} cells"
    why = underpowered(cells_a, cells_b, n_cells)
    return why and f"a gene of the pair is {why}"
