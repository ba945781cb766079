"""Normalisations of bulk samples: against plain formulas and published packages, streamed, frozen, saved, refused."""

import os
import pickle
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata

from corpuscle.counts import Counts, MemorySource, open_counts
from corpuscle.counts._passes import PASS_CELLS
from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.normalize import load_fitted, normalizer, save_fitted
from corpuscle.normalize._moments import GeneMoments
from corpuscle.normalize._select import median_of, select
from corpuscle.normalize._stream import map_values
from corpuscle.normalize.mor import MedianOfRatios
from corpuscle.normalize.tmm import TMM

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
GTEX = DATA / "archs4" / "gtex_60samples_heart_muscle_brain.h5ad"
METHODS = {
    "log_cpm": {}, "log_cpm_prior": {}, "zscore_log_cpm": {}, "tmm_cpm": {}, "mor": {}, "vst": {}, "tpm": {"lengths": "none"},
    "log_tpm": {"lengths": "none"}, "qsmooth": {"group": "tissue"},
}  # fmt: skip
#: Of no gene with few counts two are alike, so that nothing hangs on how ties are rounded.
SMALL = np.array(
    [
        [10, 0, 3, 200, 40, 7, 1],
        [20, 5, 9, 310, 90, 0, 2],
        [0, 2, 4, 150, 30, 6, 900],
        [7, 3, 3, 99, 51, 8, 0],
        [12, 12, 0, 260, 33, 14, 4],
    ]
)


def as_counts(x: np.ndarray, tissue: list[str] | None = None, genes: list[str] | None = None) -> Counts:
    names = [f"sample{i}" for i in range(x.shape[0])]
    obs = pd.DataFrame({"tissue": tissue or ["liver" if i % 3 else "lung" for i in range(x.shape[0])]}, index=names)
    var = pd.DataFrame(index=genes or [f"gene{j}" for j in range(x.shape[1])])
    return Counts([MemorySource(sp.csr_matrix(x), obs, var)])


def drawn(n: int, g: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    mean = np.exp(rng.normal(2, 2, g))
    return rng.negative_binomial(3, 3 / (3 + mean * rng.uniform(0.3, 3, (n, 1))))


def dense(values) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else values


def edger_factors(x: np.ndarray) -> np.ndarray:
    """TMM factors, written out with full ranks."""
    x = x[:, x.any(axis=0)].astype(float)
    depth = x.sum(axis=1)
    quartile = np.quantile(x, 0.75, axis=1) / depth
    r = np.argmin(np.abs(quartile - quartile.mean()))
    log = []
    for row, n in zip(x, depth, strict=True):
        both = (row > 0) & (x[r] > 0)
        a, b = row[both], x[r][both]
        m, e = np.log2((a / n) / (b / depth[r])), (np.log2(a / n) + np.log2(b / depth[r])) / 2
        v = (n - a) / n / a + (depth[r] - b) / depth[r] / b
        low_m, low_e = np.floor(m.size * 0.3) + 1, np.floor(m.size * 0.05) + 1
        rank_m, rank_e = rankdata(m), rankdata(e)
        keep = (rank_m >= low_m) & (rank_m <= m.size + 1 - low_m) & (rank_e >= low_e) & (rank_e <= m.size + 1 - low_e)
        log.append(0.0 if np.abs(m).max() < 1e-6 else np.sum(m[keep] / v[keep]) / np.sum(1 / v[keep]))
    return np.exp2(np.array(log) - np.mean(log))


def poscounts(x: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        log = np.where(x > 0, np.log(x), 0.0)
    mean = log.sum(axis=0) / len(x)
    size = np.array([np.exp(np.median((row_log - mean)[row > 0])) for row, row_log in zip(x, log, strict=True)])
    return size / np.exp(np.log(size).mean())


def reference(name: str, x: np.ndarray) -> np.ndarray:
    n = x.sum(axis=1, keepdims=True)
    log = np.log2(1 + 1e6 * x / n)
    if name == "log_cpm_prior":
        # The form with a prior of one half written out.
        share = n / n.mean()
        return np.log2((x + 0.5 * share) / (n + share) * 1e6)
    if name == "zscore_log_cpm":
        sd = log.std(axis=0, ddof=1)
        return np.where(sd > 0, (log - log.mean(axis=0)) / np.where(sd > 0, sd, 1), 0)
    if name == "tmm_cpm":
        return np.log2(1 + 1e6 * x / (n * edger_factors(x)[:, None]))
    if name == "mor":
        return np.log2(1 + x / poscounts(x)[:, None])
    if name == "vst":
        s = poscounts(x)[:, None]
        q = x / s
        mean, var = q.mean(axis=0), q.var(axis=0, ddof=1)
        kept = mean >= 5
        a = np.median((var[kept] - mean[kept] * np.mean(1 / s)) / mean[kept] ** 2)
        return np.log2((1 + 2 * a * q + 2 * np.sqrt(a * q * (1 + a * q))) / (4 * a))
    return {"log_cpm": log, "log_tpm": log, "tpm": 1e6 * x / n}[name]


@pytest.mark.parametrize("name", [name for name in METHODS if name != "qsmooth"])
def test_values_are_the_formula(name: str) -> None:
    x = drawn(40, 120)
    x[:, 7] = 0
    counts = as_counts(x)
    values = dense(normalizer(name, **METHODS[name]).fit(counts).transform(counts))
    np.testing.assert_allclose(values, reference(name, x), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", METHODS)
def test_blocks_columns_and_the_whole_agree(name: str) -> None:
    counts = as_counts(drawn(PASS_CELLS + 30, 40))
    method = normalizer(name, **METHODS[name]).fit(counts)
    whole = dense(method.transform(counts))
    np.testing.assert_array_equal(dense(method.transform(counts, ["gene5", "gene3"])), whole[:, [5, 3]])
    streamed = np.concatenate(list(map_values(counts, method, lambda y, rows: y, dtype=np.float64)))
    np.testing.assert_array_equal(streamed, whole)
    rows = slice(PASS_CELLS, PASS_CELLS + 10)
    block = counts.take(np.arange(rows.start, rows.stop))
    np.testing.assert_array_equal(dense(method.transform_rows(counts, block, rows)), whole[rows])
    single = method.transform_rows(counts, block.toarray().astype(np.uint32), rows, dtype=np.float32)
    np.testing.assert_array_equal(single, whole[rows].astype(np.float32))


@pytest.mark.parametrize("name", METHODS)
def test_new_samples_get_frozen_values(name: str) -> None:
    counts = as_counts(drawn(30, 50))
    train = counts.view(np.arange(20))
    method = normalizer(name, **METHODS[name]).fit(train)
    together = dense(method.transform(counts))
    np.testing.assert_array_equal(dense(method.transform(train)), together[:20])
    alone = dense(method.transform(counts.view(np.array([25]))))
    np.testing.assert_array_equal(alone[0], together[25])


@pytest.mark.parametrize("name", METHODS)
def test_saved_and_pickled_fits_are_the_same(name: str, tmp_path: Path) -> None:
    counts = as_counts(drawn(12, 30))
    method = normalizer(name, **METHODS[name]).fit(counts)
    save_fitted(method, tmp_path / "fit.npz", counts)
    loaded, info = load_fitted(tmp_path / "fit.npz")
    assert info.method == name and info.n == 12
    values = dense(method.transform(counts))
    np.testing.assert_array_equal(dense(loaded.transform(counts)), values)
    np.testing.assert_array_equal(dense(pickle.loads(pickle.dumps(method)).transform(counts)), values)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "qsmooth"])
def test_an_empty_sample_is_refused_by_name(name: str) -> None:
    x = drawn(6, 30)
    x[4] = 0
    with pytest.raises(MethodError, match="sample4 has no counts"):
        counts = as_counts(x)
        normalizer(name, **METHODS[name]).fit(counts).transform(counts)


@pytest.mark.parametrize("name", METHODS)
def test_other_genes_are_refused(name: str) -> None:
    x = drawn(6, 30)
    method = normalizer(name, **METHODS[name]).fit(as_counts(x))
    swapped = [f"gene{j}" for j in range(30)]
    swapped[3], swapped[4] = swapped[4], swapped[3]
    with pytest.raises(GeneError, match="another order"):
        method.transform(as_counts(x, genes=swapped))
    with pytest.raises(GeneError, match=r"10 of the 30 genes of the fitted .* are missing, such as gene0"):
        method.transform(as_counts(x[:, :20], genes=[f"gene{j}" for j in range(10, 30)]))
    with pytest.raises(MethodError, match="call fit"):
        normalizer(name, **METHODS[name]).transform(as_counts(x))


# -- TMM --------------------------------------------------------------------------------------------------------


def test_tmm_of_a_small_matrix_is_that_of_rnanorm() -> None:
    counts = as_counts(SMALL)
    golden = [1.178865785485, 1.553412847930, 0.281280436552, 1.620709057569, 1.197854744272]  # rnanorm 2.2.0
    np.testing.assert_allclose(TMM().fit(counts).factors(counts), golden, atol=1e-11)


@pytest.mark.skipif(not GTEX.is_file(), reason="needs archs4/gtex_60samples_heart_muscle_brain.h5ad")
def test_tmm_and_median_of_ratios_of_gtex_are_those_of_the_packages() -> None:
    counts = open_counts(GTEX)
    place = [0, 1, 12, 25, 40, 59]
    tmm = TMM().fit(counts)
    assert tmm.reference_ == "FC_7"
    # rnanorm 2.2.0 rounds A otherwise than edgeR does and so parts a few ties: 1.4e-6 at most.
    rnanorm = [0.965037637330, 0.580680400638, 0.701235948518, 0.874265450627, 1.086394647651, 0.703585929296]
    np.testing.assert_allclose(tmm.factors(counts)[place], rnanorm, atol=2e-6)
    np.testing.assert_allclose(tmm.factors(counts), edger_factors(counts.to_csr().toarray()), rtol=1e-12)
    pydeseq2 = [0.733797616765, 0.336389066550, 0.563065135231, 0.888992323359, 1.319420929511, 0.696218973954]
    ratio = MedianOfRatios(kind="ratio").fit(counts)  # pydeseq2 0.5.4
    np.testing.assert_allclose(ratio.size_factors(counts)[place], pydeseq2, atol=1e-11)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(2, 8), g=st.integers(1, 40), top=st.sampled_from([2, 5, 2000]))
def test_tmm_holds_with_ties_and_zeros(seed: int, n: int, g: int, top: int) -> None:
    x = np.random.default_rng(seed).integers(0, top, (n, g))
    x[:, 0] += 1  # all share a gene
    counts = as_counts(x)
    # Where most genes of most samples are zero the reference is chosen otherwise; see the next test.
    if np.median(np.quantile(x[:, x.any(axis=0)], 0.75, axis=1)) > 0:
        with np.errstate(all="ignore"):
            expected = edger_factors(x)
        if np.isfinite(expected).all():
            np.testing.assert_allclose(TMM().fit(counts).factors(counts), expected, rtol=1e-9)


def test_tmm_of_scaled_samples_is_one_and_sparse_samples_find_a_reference() -> None:
    row = drawn(1, 60)[0] + 1
    counts = as_counts(np.stack([row, 3 * row, 7 * row]))
    np.testing.assert_array_equal(TMM().fit(counts).factors(counts), np.ones(3))
    sparse = np.column_stack([np.arange(8) + 5, np.diag([1, 1, 1, 90, 1, 1, 1, 1])])  # quartiles of zero
    assert TMM().fit(as_counts(sparse)).reference_ == "sample3"  # the largest sum of roots


def test_tmm_says_what_cannot_be() -> None:
    apart = np.array([[5, 9, 4, 0], [6, 8, 4, 0], [6, 7, 5, 0], [0, 0, 0, 9]])
    with pytest.raises(MethodError, match="sample3 shares no gene with the reference sample"):
        TMM().fit(as_counts(apart))
    with pytest.raises(OptionError, match=r"log_ratio_trim is 0\.5"):
        TMM(log_ratio_trim=0.5).fit(as_counts(SMALL))


# -- median of ratios, VST, moments -------------------------------------------------------------------------------


def test_ratio_is_that_of_pydeseq2_and_poscounts_is_its_multiple() -> None:
    counts = as_counts(SMALL + 1)
    ratio = MedianOfRatios(kind="ratio").fit(counts).size_factors(counts)
    golden = [1.050611121762, 1.638496842531, 0.795540267595, 1.050611121762, 1.375072912864]  # pydeseq2 0.5.4
    np.testing.assert_allclose(ratio, golden, atol=1e-11)
    positive = MedianOfRatios().fit(counts).size_factors(counts)
    np.testing.assert_allclose(positive, ratio / np.exp(np.log(ratio).mean()), rtol=1e-12)


def test_median_of_ratios_says_what_cannot_be() -> None:
    with pytest.raises(MethodError, match=r"no gene has counts in all 3 samples.*poscounts"):
        MedianOfRatios(kind="ratio").fit(as_counts(np.eye(3, dtype=int) + [[0, 1, 0]] * 3 - np.diag([0, 2, 0])))
    fitted = MedianOfRatios().fit(as_counts(np.array([[4, 2, 0], [3, 1, 0]])))
    with pytest.raises(MethodError, match="sample0 has no counts of the 2 genes"):
        fitted.transform(as_counts(np.array([[0, 0, 5]])))
    with pytest.raises(OptionError, match="kind is 'median'"):
        MedianOfRatios(kind="median").fit(as_counts(SMALL))


def test_vst_stabilises_what_it_is_told_to() -> None:
    rng = np.random.default_rng(1)
    mean = np.array([20.0, 200, 2000, 20000])
    x = rng.negative_binomial(10, 10 / (10 + mean), (4000, 4))  # a dispersion of 0.1
    counts = as_counts(np.column_stack([x, np.full((4000, 3), 500)]))  # of even size
    method = normalizer("vst").fit(as_counts(rng.negative_binomial(10, 10 / (10 + 500.0), (900, 60))))
    assert method.dispersion_ == pytest.approx(0.1, rel=0.05)
    sd = normalizer("vst", dispersion=0.1).fit(counts).transform(counts)[:, :4].std(axis=0)
    assert sd.max() / sd.min() < 1.15 < x.std(axis=0).max() / x.std(axis=0).min()
    with pytest.raises(MethodError, match="vary no more than by counting"):
        normalizer("vst").fit(as_counts(np.full((5, 8), 9)))


def test_zscore_needs_two_samples_and_the_prior_a_number() -> None:
    with pytest.raises(MethodError, match="has one sample"):
        normalizer("zscore_log_cpm").fit(as_counts(SMALL[:1]))
    with pytest.raises(OptionError, match="prior is 0"):
        normalizer("log_cpm_prior", prior=0).fit(as_counts(SMALL))


@settings(max_examples=30, deadline=None)
@given(cuts=st.lists(st.integers(1, 39), max_size=5), shift=st.sampled_from([0.0, 1e8]))
def test_moments_do_not_depend_on_the_cut(cuts: list[int], shift: float) -> None:
    y = np.random.default_rng(3).normal(shift, 1, (40, 5))
    total = GeneMoments(5)
    for part in np.split(y, sorted(set(cuts))):
        one = GeneMoments(5)
        one.add(part)
        total.merge(one)
    assert total.n == 40
    np.testing.assert_allclose(total.mean_g, y.mean(axis=0), rtol=1e-14, atol=1e-14)
    np.testing.assert_allclose(total.variance_g(), y.var(axis=0, ddof=1), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(st.sampled_from([-2.5, -1.0, 0.0, 0.5, 3.0, 7.0]) | st.floats(-1e6, 1e6), min_size=1),
    data=st.data(),
)
def test_selection_is_sorting(values: list[float], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(values) - 1))
    reordered = np.array(values)
    assert select(reordered, place) == sorted(values)[place]
    assert sorted(reordered) == sorted(values)
    assert (reordered[: place + 1] <= reordered[place]).all() and (reordered[place:] >= reordered[place]).all()
    assert median_of(np.array(values)) == np.median(values)
