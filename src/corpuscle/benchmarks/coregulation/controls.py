"""Controls that keep the benchmark honest: does a method manufacture correlations, or measure depth?"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from corpuscle.benchmarks.coregulation.association import MEASURES, associate
from corpuscle.benchmarks.coregulation.judge import associate_inside, expected_sign
from corpuscle.benchmarks.coregulation.methods import Method, dense_inside, fit
from corpuscle.benchmarks.coregulation.null import permute_depth_preserving, thin_counts
from corpuscle.benchmarks.coregulation.options import BASELINE, Options
from corpuscle.benchmarks.coregulation.score import score_pair
from corpuscle.benchmarks.coregulation.units import Unit
from corpuscle.counts import Counts
from corpuscle.normalize import normalizer
from corpuscle.seeds import stream

__all__ = ["Control", "baseline_inflation", "cheap_controls", "inflation", "refit_controls"]

Array = np.ndarray[Any, Any]

#: 50 genes against 40 others each: 2,000 gene pairs that nothing relates.
INFLATION_TARGETS, INFLATION_OTHERS = 50, 40
NULL_GENES = 200
THINNED_TO = (0.5, 0.25)


@dataclass(frozen=True)
class Control:
    """One number of one control; ``n`` is what it was computed over (gene pairs, genes or cells)."""

    control: str
    metric: str
    value: float
    n: int


def inflation(unit: Unit, values_nk: Any, measure: str, options: Options) -> Control:
    """Median absolute association of 2,000 random pairs of background genes (the same pairs for every method).

    Parameters
    ----------
    values_nk
        (cells, k) values of ``unit.background``.
    """
    rng = stream(options.seed, *unit.key[:2], "inflation")
    k = values_nk.shape[1]
    found: list[Array] = []
    for target in rng.choice(k, size=min(INFLATION_TARGETS, k), replace=False):
        others = rng.choice(np.delete(np.arange(k), target), size=min(INFLATION_OTHERS, k - 1), replace=False)
        genes = unit.background[others]
        found.append(
            associate_inside(
                values_nk[:, target], values_nk[:, others], unit, measure, genes, int(unit.background[target])
            )
        )
    r = np.concatenate(found) if found else np.empty(0)
    r = np.abs(r[np.isfinite(r)])
    return Control("inflation", "median_abs_r", float(np.median(r)) if r.size else float("nan"), r.size)


def baseline_inflation(unit: Unit, measure: str, options: Options) -> float:
    """The same gene pairs under log1p CP10k, whether or not that takes part (Pearson where the measure needs counts)."""
    plain = "pearson" if MEASURES[measure].on_counts else measure
    fitted = normalizer(BASELINE).fit(unit.counts)
    return inflation(unit, dense_inside(fitted, unit, unit.background), plain, options).value


def cheap_controls(unit: Unit, dense_nk: Array, measure: str, options: Options) -> Iterator[Control]:
    """Inflation, correlation with depth, and the pair scored in the shallow and the deep half of the cells.

    Parameters
    ----------
    dense_nk
        (cells, 2 + k) values of the pair and its background.
    """
    yield inflation(unit, dense_nk[:, 2:], measure, options)
    depth_n = unit.inside.profile().depth_n.astype(float)
    r = associate(np.log(depth_n), dense_nk[:, 2:], "pearson")
    r = np.abs(r[np.isfinite(r)])
    yield Control("depth_corr", "median_abs_r", float(np.median(r)) if r.size else float("nan"), r.size)
    shallow = depth_n <= np.median(depth_n)
    for name, half in (("depth_half_low", shallow), ("depth_half_high", ~shallow)):
        if half.sum() > 2:
            yield from _scored(name, unit, dense_nk, measure, half)


def _scored(name: str, unit: Unit, dense_nk: Array, measure: str, cells: Array | None = None) -> Iterator[Control]:
    """R and percentile of the pair, in some of the evaluated cells."""
    r_k = associate_inside(dense_nk[:, 0], dense_nk[:, 1:], unit, measure, unit.genes[1:], unit.a, cells)
    score = score_pair(float(r_k[0]), r_k[1:], expected_sign(unit, measure))
    yield Control(name, "r", score.r, dense_nk.shape[0] if cells is None else int(cells.sum()))
    yield Control(name, "percentile", score.percentile, score.n_background)


def refit_controls(unit: Unit, method: Method, measure: str, options: Options) -> Iterator[Control]:
    """Controls that change the counts and fit again: genes permuted to be unrelated, and cells thinned."""
    yield from _null_genes(unit, method, measure, options)
    for share in THINNED_TO:
        rng = stream(options.seed, *unit.key, "thin", str(share))
        thinned = unit.counts.with_matrix(thin_counts(unit.counts.to_csr(), share, rng))
        values = _refit_values(unit, method, thinned, options, f"thin {share}")
        yield from _scored(f"thinned_{share * 100:.0f}", *values, measure)


def _refit_values(unit: Unit, method: Method, counts: Counts, options: Options, stage: str) -> tuple[Unit, Array]:
    """The same question on changed counts (same cells, same genes) and the values of the pair and its background."""
    mask = unit.cells.mask_n
    changed = replace(unit, counts=counts, inside=counts if mask.all() else counts.select_cells(mask))
    fitted = fit(method, counts, options.seed, *unit.key, stage)
    return changed, dense_inside(fitted, changed, changed.genes)


def _null_genes(unit: Unit, method: Method, measure: str, options: Options) -> Iterator[Control]:
    """Up to 200 eligible genes shuffled over cells, depth kept; any association left is manufactured."""
    rng = stream(options.seed, *unit.key[:2], "null genes")
    pool = unit.pool.genes[(unit.pool.genes != unit.a) & (unit.pool.genes != unit.b)]
    shuffled = np.sort(rng.choice(pool, size=min(NULL_GENES, pool.size // 2), replace=False))
    if not shuffled.size:
        return
    depth_n = unit.counts.profile().depth_n
    x_nk = unit.counts.columns(shuffled).toarray()
    permuted = np.column_stack([permute_depth_preserving(x_nk[:, j], depth_n, rng) for j in range(shuffled.size)])
    changed = replace(unit, counts=unit.counts.with_columns(shuffled, permuted), background=shuffled)
    changed, dense = _refit_values(changed, method, changed.counts, options, "null genes")
    found = [
        associate_inside(dense[:, 2 + j], dense[:, 3 + j :], changed, measure, shuffled[j + 1 :], int(shuffled[j]))
        for j in range(shuffled.size - 1)
    ]
    r = np.concatenate(found)
    r = r[np.isfinite(r)]
    yield Control("null_genes", "mean_r", float(r.mean()) if r.size else float("nan"), r.size)
    yield Control("null_genes", "median_abs_r", float(np.median(np.abs(r))) if r.size else float("nan"), r.size)
