"""Judge one fitted method on one unit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp

from corpuscle.benchmarks.coregulation.association import MEASURES, associate, undefined_reason
from corpuscle.benchmarks.coregulation.bootstrap import bootstrap_associate, interval
from corpuscle.benchmarks.coregulation.cells import card_union_mask
from corpuscle.benchmarks.coregulation.methods import Method, dense_inside, fit, values_inside
from corpuscle.benchmarks.coregulation.null import permute_depth_preserving
from corpuscle.benchmarks.coregulation.options import Options
from corpuscle.benchmarks.coregulation.score import Score, percentiles, robust_z, score_pair
from corpuscle.benchmarks.coregulation.units import Setting, Unit
from corpuscle.errors import MethodError
from corpuscle.normalize import Normalizer
from corpuscle.seeds import stream

__all__ = ["PairResult", "associate_inside", "evaluate_unit"]

Array = np.ndarray[Any, Any]

#: Genes whose values are asked for at once when the target is ranked among all.
RANK_CHUNK = 256


@dataclass
class PairResult:
    """Everything about one method on one unit by one association.

    Attributes
    ----------
    score
        Against the background.
    status, reason
        ``"ok"``, ``"underpowered"`` or ``"undefined"``, and why.
    background_r
        (k,) association with each background gene.
    pair_values
        (cells, 2) values of the pair.
    percentile_b, z_robust_b
        (n_boot,) bootstrap distributions, for intervals over samples.
    rest
        Further columns of the details table.
    """

    score: Score
    status: str
    reason: str
    association: str
    background_r: Array
    pair_values: Array
    percentile_b: Array
    z_robust_b: Array
    rest: dict[str, Any] = field(default_factory=dict)

    def row(self) -> dict[str, Any]:
        """One row of the details table, without the names of the unit and the method."""
        return {
            **asdict(self.score),
            "status": self.status,
            "reason": self.reason,
            "association": self.association,
        } | self.rest


def associate_inside(
    target_n: Array,
    values_nk: Any,
    setting: Setting,
    measure: str,
    genes: Array,
    target: int,
    cells: Array | None = None,
) -> Array:
    """(k,) association of a target with the values of ``genes`` in the evaluated cells, or in some of them."""
    zero_n = zero_nk = None
    depth_n = setting.inside.profile().depth_n
    if MEASURES[measure].reties:
        zero_n, zero_nk = _zeros(setting, np.array([target]))[:, 0], _zeros(setting, genes)
    if cells is not None:
        target_n, values_nk, depth_n = target_n[cells], values_nk[cells], depth_n[cells]
        if zero_n is not None and zero_nk is not None:
            zero_n, zero_nk = zero_n[cells], zero_nk[cells]
    return associate(target_n, values_nk, measure, zero_n=zero_n, zero_nk=zero_nk, depth_n=depth_n)


def expected_sign(unit: Unit, measure: str) -> int:
    """Sign that the pair's association should have; a measure without a sign can only be high or low."""
    return unit.pair.sign if MEASURES[measure].signed else 1


def _zeros(setting: Setting, genes: Array) -> Array:
    return setting.inside.columns(genes).toarray() == 0


def evaluate_unit(
    unit: Unit,
    method: Method,
    fitted: Normalizer,
    options: Options,
    association: str | None = None,
    dense: Array | None = None,
) -> PairResult:
    """Association of the pair, its background, interval, null and rank, for one fitted method.

    Parameters
    ----------
    unit
        The question.
    method, fitted
        The method, and its estimator fitted on ``unit.counts`` (or inside the cells).
    association
        Measure; by default the method's own, else the first of the options.
    dense
        (cells, 2 + k) values of the pair and its background, if they are at hand.

    Raises
    ------
    MethodError
        The method gives no values for a gene of the pair, or values that cannot be used.
    """
    measure = association or method.association or options.association[0]
    if dense is None:
        dense = dense_inside(fitted, unit, unit.genes)
    for column, gene in ((0, unit.pair.gene_a), (1, unit.pair.gene_b)):
        if np.isnan(dense[:, column]).any():
            raise MethodError(f"gives no values for {gene}, a gene of the pair")
    r_k = associate_inside(dense[:, 0], dense[:, 1:], unit, measure, unit.genes[1:], unit.a)
    score = score_pair(float(r_k[0]), r_k[1:], expected_sign(unit, measure))
    status, reason = _status(unit, score, measure, dense)
    result = PairResult(score, status, reason, measure, r_k[1:], dense[:, :2], np.empty(0), np.empty(0))
    result.rest |= _retied(unit, measure, dense)
    if np.isfinite(score.r):
        _bootstrap(result, unit, measure, dense)
        result.rest |= _rank(unit, fitted, measure, dense[:, 0], score.r)
        result.rest |= _null(unit, method, fitted, measure, options, dense[:, 0], score.r)
    return result


def _status(unit: Unit, score: Score, measure: str, dense: Array) -> tuple[str, str]:
    if not np.isfinite(score.r):
        zero_nk = _zeros(unit, unit.genes[:2])
        return "undefined", undefined_reason(
            dense[:, 0], dense[:, 1], measure, zero_n=zero_nk[:, 0], zero_value_n=zero_nk[:, 1],
            depth_n=unit.inside.profile().depth_n,
        )  # fmt: skip
    if unit.note:
        return "underpowered", unit.note
    if not np.isfinite(score.percentile):
        return "undefined", "no background gene has a defined association"
    return "ok", ""


def _retied(unit: Unit, measure: str, dense: Array) -> dict[str, Any]:
    """Ranks of zeros follow depth where a method moves zeros; both variants are reported."""
    if measure not in ("spearman", "kendall"):
        return {"r_retied": float("nan")}
    r = associate_inside(dense[:, 0], dense[:, 1:2], unit, f"{measure}_retied", unit.genes[1:2], unit.a)
    return {"r_retied": float(r[0])}


def _bootstrap(result: PairResult, unit: Unit, measure: str, dense: Array) -> None:
    if not len(unit.weights_bn):
        return
    zero_n = zero_nk = None
    if MEASURES[measure].reties:
        zeros = _zeros(unit, unit.genes)
        zero_n, zero_nk = zeros[:, 0], zeros[:, 1:]
    r_bk = bootstrap_associate(
        measure, dense[:, 0], dense[:, 1:], unit.weights_bn, zero_n=zero_n, zero_nk=zero_nk,
        depth_n=unit.inside.profile().depth_n,
    )  # fmt: skip
    sign = expected_sign(unit, measure)
    result.percentile_b = percentiles(r_bk[:, 0], r_bk[:, 1:], sign)
    # Resampled cells add noise to the background as well, which widens it and shrinks z in every replicate: the
    # replicates give the spread, the estimate the centre.
    z_b = robust_z(r_bk[:, 0], r_bk[:, 1:], sign)
    result.z_robust_b = z_b - np.nanmean(z_b) + result.score.z_robust if np.isfinite(z_b).any() else z_b
    result.rest["ci_low"], result.rest["ci_high"] = interval(r_bk[:, 0])
    low, high = interval(result.percentile_b)
    result.rest["percentile_low"] = min(low, result.score.percentile)
    result.rest["percentile_high"] = max(high, result.score.percentile)
    result.rest["z_robust_low"], result.rest["z_robust_high"] = interval(result.z_robust_b)


def _rank(unit: Unit, fitted: Normalizer, measure: str, target_n: Array, r: float) -> dict[str, Any]:
    """Rank of the pair's second gene among all eligible genes; 1 is best."""
    genes = unit.pool.genes[(unit.pool.genes != unit.a) & (unit.pool.genes != unit.b)]
    sign, better, ranked = expected_sign(unit, measure), 0, 0
    for start in range(0, genes.size, RANK_CHUNK):
        chunk = genes[start : start + RANK_CHUNK]
        other = associate_inside(target_n, values_inside(fitted, unit, chunk), unit, measure, chunk, unit.a)
        better += int((sign * other > sign * r).sum())
        ranked += int(np.isfinite(other).sum())
    return {"rank": better + 1, "n_ranked": ranked + 1, "recip_rank": 1 / (better + 1)}


def _null(
    unit: Unit, method: Method, fitted: Normalizer, measure: str, options: Options, a_n: Array, r: float
) -> dict[str, Any]:
    """What the method makes of the pair when its second gene is permuted over cells, depth kept."""
    rng = stream(options.seed, *unit.key, "null")
    if hasattr(fitted, "counterfactual") and options.n_null:
        r_null = _null_by_formula(unit, fitted, measure, options.n_null, rng, a_n)
    elif not hasattr(fitted, "counterfactual") and unit.variant == "default":
        r_null = np.array([_null_refit(unit, method, measure, options, rng, i) for i in range(options.n_null_refits)])
    else:
        return {}
    known = r_null[np.isfinite(r_null)]
    if not r_null.size:
        return {}
    mean = float(known.mean()) if known.size else float("nan")
    sd = float(known.std(ddof=1)) if known.size > 1 else float("nan")
    return {
        "r_null_mean": mean,
        "r_null_sd": sd,
        "n_null": known.size,
        "excess": expected_sign(unit, measure) * (r - mean),
    }


def _null_by_formula(unit: Unit, fitted: Any, measure: str, n: int, rng: np.random.Generator, a_n: Array) -> Array:
    """Permute over the evaluated cells; the values follow from the formula, without another fit."""
    if unit.cells.depends_on_pair:
        return _null_union(unit, fitted, measure, n, rng)
    permuted = _permutations(unit.inside, unit.b, n, rng)
    if fitted.inductive:
        values = fitted.counterfactual(unit.inside, permuted, unit.b)
    else:
        everywhere = np.zeros((unit.counts.n_obs, n), permuted.dtype)
        everywhere[unit.cells.mask_n] = permuted
        values = fitted.counterfactual(unit.counts, everywhere, unit.b)[unit.cells.mask_n]
    raw_a = unit.inside.columns(np.array([unit.a])).toarray()[:, 0]
    return _associate_null(a_n, values, raw_a, permuted, measure, unit.inside.profile().depth_n)


def _associate_null(a_n: Array, values_nk: Array, raw_n: Array, raw_nk: Array, measure: str, depth_n: Array) -> Array:
    """(k,) association of the first gene with values whose raw counts are ``raw_nk``."""
    return associate(a_n, values_nk, measure, zero_n=raw_n == 0, zero_nk=raw_nk == 0, depth_n=depth_n)


def _permutations(counts: Any, gene: int, n: int, rng: np.random.Generator) -> Array:
    x_n = counts.columns(np.array([gene])).toarray()[:, 0]
    depth_n = counts.profile().depth_n
    return np.column_stack([permute_depth_preserving(x_n, depth_n, rng) for _ in range(n)])


def _null_union(unit: Unit, fitted: Any, measure: str, n: int, rng: np.random.Generator) -> Array:
    """The mask depends on the pair, so every permutation gets its own mask."""
    counts = unit.counts
    depth_n = counts.profile().depth_n
    a_n = fitted.transform(counts, np.array([unit.a]))
    a_n = (a_n.toarray() if sp.issparse(a_n) else a_n)[:, 0]
    raw_a = counts.columns(np.array([unit.a])).toarray()[:, 0]
    others = card_union_mask(counts.edit_genes(drop=[str(counts.var_names[unit.b])]))
    permuted = _permutations(counts, unit.b, n, rng)
    values = fitted.counterfactual(counts, permuted, unit.b)
    out = np.empty(n)
    for i in range(n):
        mask = others | (permuted[:, i] > 0)
        one = slice(i, i + 1)
        out[i] = _associate_null(
            a_n[mask], values[mask, one], raw_a[mask], permuted[mask, one], measure, depth_n[mask]
        )[0]
    return out


def _null_refit(unit: Unit, method: Method, measure: str, options: Options, rng: np.random.Generator, i: int) -> float:
    permuted = _permutations(unit.counts, unit.b, 1, rng)
    counts = unit.counts.with_columns(np.array([unit.b]), permuted)
    fitted = fit(method, counts, options.seed, *unit.key, "null", str(i))
    values = fitted.transform(counts, unit.genes[:2])
    values = values.toarray() if sp.issparse(values) else np.asarray(values, np.float64)
    mask = card_union_mask(counts) if unit.cells.depends_on_pair else unit.cells.mask_n
    raw_a = counts.columns(np.array([unit.a])).toarray()[mask, 0]
    depth_n = unit.counts.profile().depth_n[mask]
    return float(_associate_null(values[mask, 0], values[mask, 1:], raw_a, permuted[mask], measure, depth_n)[0])
