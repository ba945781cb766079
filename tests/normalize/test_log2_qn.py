"""Quantile normalisation of bulk samples: the rule for ties, the frozen target, and the same bits however it is cut."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from corpuscle.counts import Block, Counts, MemorySource
from corpuscle.counts._threads import limit_threads
from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.normalize import QuantileNormalizer, reference_values
from corpuscle.normalize.log2_qn import SortedSum


def source_of(x_ng: np.ndarray, first: int = 0) -> MemorySource:
    obs = pd.DataFrame(index=[f"s{first + i}" for i in range(len(x_ng))])
    return MemorySource(sp.csr_matrix(x_ng), obs, pd.DataFrame(index=[f"g{i}" for i in range(x_ng.shape[1])]))


def counts_of(x_ng: np.ndarray) -> Counts:
    return Counts([source_of(np.asarray(x_ng))])


@pytest.fixture(scope="module")
def x_ng() -> np.ndarray:
    """700 samples (three units) x 40 genes with many ties, many zeros, and some counts that are sorted by comparison."""
    rng = np.random.default_rng(1)
    x = rng.negative_binomial(1, 0.003, (700, 40)) * (rng.random((700, 40)) < 0.6)
    x[:, 0] += 1
    x[5, 3:7], x[6, 1], x[8, :] = (70_000, 70_000, 65_535, 65_536), 3_000_000_000, 12
    return x


def by_sorting(x_ng: np.ndarray, target_g: np.ndarray) -> np.ndarray:
    """The rule, gene by gene."""
    out = np.empty(x_ng.shape)
    for i, x_g in enumerate(x_ng):
        for j, x in enumerate(x_g):
            out[i, j] = target_g[(x_g < x).sum() : (x_g <= x).sum()].mean()
    return out


def test_numbers_worked_by_hand() -> None:
    method = QuantileNormalizer().fit(counts_of([[0, 0, 1, 7], [3, 1, 0, 15]]))
    np.testing.assert_array_equal(method.target_g_, [0.0, 0.5, 1.5, 3.5])  # means of (0, 0, 1, 3) and (0, 1, 2, 4)
    values = method.transform(counts_of([[0, 0, 1, 7], [3, 1, 0, 15], [2, 2, 2, 2]]))
    np.testing.assert_array_equal(values, [[0.25, 0.25, 1.5, 3.5], [1.5, 0.5, 0.0, 3.5], [1.375] * 4])


@settings(max_examples=60, deadline=None)
@given(
    arrays(
        np.int64,
        array_shapes(min_dims=2, max_dims=2, max_side=7),
        elements=st.one_of(st.integers(0, 3), st.integers(0, 70_000), st.integers(65_530, 65_540)),
    )
)
def test_it_is_qnorm_with_ties(x: np.ndarray) -> None:
    qnorm = pytest.importorskip("qnorm", reason="qnorm is not installed")
    if not x.any():
        return
    counts = counts_of(x)
    expected = qnorm.quantile_normalize(pd.DataFrame(np.log2(1.0 + x).T), axis=1).to_numpy().T
    np.testing.assert_allclose(QuantileNormalizer().fit(counts).transform(counts), expected, rtol=0, atol=1e-9)


def test_it_is_qnorm_over_several_units(x_ng: np.ndarray) -> None:
    qnorm = pytest.importorskip("qnorm", reason="qnorm is not installed")
    counts = counts_of(x_ng)
    expected = qnorm.quantile_normalize(pd.DataFrame(np.log2(1.0 + x_ng).T), axis=1).to_numpy().T
    np.testing.assert_allclose(QuantileNormalizer().fit(counts).transform(counts), expected, rtol=0, atol=1e-9)


def test_a_frozen_target_gives_a_sample_the_same_values_in_any_company(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng)
    method = QuantileNormalizer().fit(counts.view(cells=np.arange(500)))
    assert method.n_samples_ == 500
    np.testing.assert_array_equal(
        method.target_g_, QuantileNormalizer().fit(counts_of(x_ng[:500])).target_g_
    )  # what is not fitted on is not looked at
    values = method.transform(counts)
    np.testing.assert_allclose(values, by_sorting(x_ng, method.target_g_), rtol=0, atol=1e-12)
    np.testing.assert_array_equal(method.transform(counts_of(x_ng[[5]])), values[[5]])
    np.testing.assert_array_equal(method.transform(counts.view(cells=np.array([600, 2]))), values[[600, 2]])


@pytest.mark.parametrize("zero", ["rank", "keep"])
def test_the_bits_do_not_depend_on_threads_sources_or_storage(zero: str, x_ng: np.ndarray) -> None:
    whole = QuantileNormalizer(zero=zero).fit(counts_of(x_ng))
    with limit_threads(1):
        np.testing.assert_array_equal(QuantileNormalizer(zero=zero).fit(counts_of(x_ng)).target_g_, whole.target_g_)
    stacked = Counts([source_of(x_ng[:300]), source_of(x_ng[300:310], 300), source_of(x_ng[310:], 310)])
    again = QuantileNormalizer(zero=zero).fit(stacked)
    np.testing.assert_array_equal(again.target_g_, whole.target_g_)
    values = whole.transform(counts_of(x_ng))
    np.testing.assert_array_equal(again.transform(stacked), values)
    rows = slice(0, 90)
    for stored in (x_ng[rows].astype(np.int64), sp.csr_matrix(x_ng[rows])):
        np.testing.assert_array_equal(whole.transform_rows(counts_of(x_ng), stored, rows), values[rows])


@pytest.mark.parametrize("positive", [False, True])
def test_summaries_merge_in_any_order(positive: bool, x_ng: np.ndarray) -> None:
    def summary(*cuts: slice) -> SortedSum:
        made = SortedSum(40, positive)
        for cut in cuts:
            made.update(Block(x_ng[cut].astype(np.uint32), cut, ""))
        return made

    whole = summary(slice(0, 700))
    parts = [summary(slice(a, b)) for a, b in ((0, 1), (1, 300), (300, 700))]
    merged = summary()
    for part in reversed(parts):
        merged.merge(part)
    assert (merged.n, merged.n_empty) == (whole.n, whole.n_empty) == (700, 0)
    np.testing.assert_allclose(merged.finish(), whole.finish(), rtol=1e-13)


def test_some_genes_and_float32(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng)
    method = QuantileNormalizer().fit(counts)
    values = method.transform(counts)
    np.testing.assert_array_equal(method.transform(counts, ["g7", "g2"]), values[:, [7, 2]])
    single = method.transform(counts, dtype=np.float32)
    assert single.dtype == np.float32
    np.testing.assert_array_equal(single, values.astype(np.float32))


def test_a_copy_for_another_process_gives_the_same(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng)
    method = QuantileNormalizer().fit(counts)
    values = method.transform(counts)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(method)).transform(counts), values)


# -- zeros ---------------------------------------------------------------------------------------------------


def test_kept_zeros_by_the_definition(x_ng: np.ndarray) -> None:
    x = x_ng[:30]
    method = QuantileNormalizer(zero="keep").fit(counts_of(x))
    n_genes = x.shape[1]
    target = np.zeros(n_genes)
    for x_g in x:
        y = np.sort(np.log2(1.0 + x_g[x_g > 0]))
        target += [y[int((k + 0.5) / n_genes * y.size)] for k in range(n_genes)]
    target /= len(x)
    np.testing.assert_allclose(method.target_g_, target, rtol=1e-13)
    fine = np.repeat(target, 10_000)  # the target as a function of the share
    values = method.transform(counts_of(x))
    for x_g, value_g in zip(x, values, strict=True):
        above = np.sort(x_g[x_g > 0])
        for count, value in zip(x_g, value_g, strict=True):
            lo, hi = np.searchsorted(above, [count, count + 1]) / above.size
            expected = 0 if count == 0 else fine[round(lo * fine.size) : round(hi * fine.size)].mean()
            assert value == pytest.approx(expected, abs=2e-3)


def test_without_zeros_both_rules_are_one(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng + 1)
    ranked, kept = QuantileNormalizer().fit(counts), QuantileNormalizer(zero="keep").fit(counts)
    np.testing.assert_array_equal(kept.target_g_, ranked.target_g_)
    np.testing.assert_allclose(kept.transform(counts), ranked.transform(counts), rtol=0, atol=1e-12)


def test_a_zero_depends_on_detection_only_if_it_is_ranked() -> None:
    counts = counts_of([[0, 0, 0, 9], [0, 5, 6, 9]])
    ranked, kept = (QuantileNormalizer(zero=zero).fit(counts).transform(counts) for zero in ("rank", "keep"))
    assert ranked[0, 0] != ranked[1, 0]
    assert kept[0, 0] == kept[1, 0] == 0


def test_a_sample_without_counts_is_counted_and_tied_throughout() -> None:
    counts = counts_of([[0, 0, 0], [1, 3, 7]])
    ranked, kept = QuantileNormalizer().fit(counts), QuantileNormalizer(zero="keep").fit(counts)
    assert ranked.n_empty_ == kept.n_empty_ == 1
    np.testing.assert_array_equal(ranked.transform(counts)[0], [1.0] * 3)  # the mean of (0.5, 1, 1.5)
    np.testing.assert_array_equal(kept.target_g_, [1, 2, 3])  # the mean over samples that have any
    np.testing.assert_array_equal(kept.transform(counts), [[0] * 3, [1, 2, 3]])


# -- the reference's order of steps --------------------------------------------------------------------------


def test_reference_values_are_divided_by_length_over_the_genes_that_have_one(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng[:20])
    plain = QuantileNormalizer().fit(counts).transform(counts)
    values = reference_values(counts, {"g3": 10, "g1": 2000, "g9": 0, "other": 5})
    assert list(values.columns) == ["g1", "g3"] and list(values.index) == list(counts.obs.index)
    np.testing.assert_allclose(values.to_numpy(), plain[:, [1, 3]] / [2000, 10], rtol=1e-15)
    method = QuantileNormalizer(preset="reference", lengths={"g3": 10}).fit(counts)
    assert np.isnan(method.transform(counts, ["g4"])).all()


def test_lengths_from_a_file_go_by_id_or_symbol(x_ng: np.ndarray, tmp_path) -> None:
    (tmp_path / "lengths.tsv").write_text("gene_id\tsymbol\tlength\ng1\tA\t2000\nENSG7\tg3\t10\nENSG7\tg3\t10\n")
    counts = counts_of(x_ng[:20])
    values = reference_values(counts, str(tmp_path / "lengths.tsv"))
    pd.testing.assert_frame_equal(values, reference_values(counts, {"g1": 2000, "g3": 10}))


def test_divided_by_length_every_signal_tends_to_one(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng)

    def signal(y_ng: np.ndarray) -> np.ndarray:
        return (np.percentile(y_ng, 95, axis=0) + 1) / (y_ng.mean(axis=0) + 1)

    genes = list(counts.var_names)
    distance = [
        np.abs(signal(reference_values(counts, dict.fromkeys(genes, length)).to_numpy()) - 1).max()
        for length in (1, 100, 30_000)
    ]
    assert distance[0] > 0.5 > 0.1 > distance[1] > 1e-3 > distance[2]


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"zero": "drop"}, "zero is 'drop' and must be one of: rank, keep"),
        ({"preset": "repo"}, "preset is 'repo'"),
        ({"preset": "reference"}, "lengths of genes go together"),
        ({"lengths": {"g0": 3}}, "lengths of genes go together"),
        ({"preset": "reference", "lengths": {"other": 3}}, "none of the 2 genes has a length"),
    ],
)
def test_parameters_that_make_no_sense(params: dict, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        QuantileNormalizer(**params).fit(counts_of([[1, 2]]))


def test_other_genes_are_refused_by_name(x_ng: np.ndarray) -> None:
    counts = counts_of(x_ng)
    method = QuantileNormalizer().fit(counts)
    with pytest.raises(GeneError, match="1 of the 40 genes of the fitted log2_qn are missing, such as g39"):
        method.transform(counts.view(genes=np.arange(39)))
    with pytest.raises(GeneError, match="in another order"):
        method.transform(counts.view(genes=np.arange(40)[::-1]))


def test_before_fit_and_without_counts() -> None:
    with pytest.raises(MethodError, match="call fit before transform"):
        QuantileNormalizer().transform(counts_of([[1, 2]]))
    with pytest.raises(MethodError, match="none of its 2 samples has a count"):
        QuantileNormalizer().fit(counts_of([[0, 0], [0, 0]]))
