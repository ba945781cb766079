"""The Gram estimator: exact formulas, options, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from corpuscle.errors import CorpuscleError, MethodError, OptionError
from corpuscle.reduce import InputError, Missing, UnbiasedGram


def masked_normal(seed: int, n: int = 12, d: int = 40, low: float = 0.4) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Values with NaN, observed entries, and the products of which the mask is drawn; every row and column has some."""
    rng = np.random.default_rng(seed)
    x_nd = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + rng.normal(size=(n, d)) + 2.0
    p_nd = np.outer(rng.uniform(low, 1, n), rng.uniform(low, 1, d))
    observed_nd = rng.random((n, d)) < p_nd
    observed_nd[np.arange(n), np.arange(n) % d] = True
    observed_nd[np.arange(d) % n, np.arange(d)] = True
    return np.where(observed_nd, x_nd, np.nan), observed_nd, p_nd


def centred(x_nd: np.ndarray) -> np.ndarray:
    return np.nan_to_num(x_nd - np.nanmean(x_nd, axis=0))


def authors_gram(x_nd: np.ndarray, observed_nd: np.ndarray) -> np.ndarray:
    """The published estimator, entry by entry."""
    n = len(x_nd)
    w_nd = centred(x_nd)
    r_n, s_d, c = observed_nd.mean(1), observed_nd.mean(0), observed_nd.mean()
    c = max(c, max(r * s for r in r_n for s in s_d))
    gram_nn = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            p_i, p_j = r_n[i] * s_d / c, r_n[j] * s_d / c
            gram_nn[i, j] = w_nd[i] @ w_nd[j] / (p_i.sum() if i == j else p_i @ p_j)
    return gram_nn


@given(st.integers(0, 2**31), st.integers(4, 15), st.integers(5, 30), st.floats(0.2, 0.9))
@settings(max_examples=30, deadline=None)
def test_the_authors_estimator_is_reproduced(seed: int, n: int, d: int, low: float) -> None:
    x_nd, observed_nd, _ = masked_normal(seed, n, d, low)
    gram = UnbiasedGram(propensity="rank1", cap="authors", double_center=False, scale="per_feature").fit(x_nd)
    expected_nn = authors_gram(x_nd, observed_nd)
    np.testing.assert_allclose(gram.gram(), expected_nn, rtol=0, atol=1e-12 * np.abs(expected_nn).max())


def test_the_authors_cap_inflates_uneven_data_and_clipping_does_not() -> None:
    rng = np.random.default_rng(0)
    x_nd = rng.normal(size=(60, 400))
    p_nd = 1 / (1 + np.exp(-rng.normal(0, 1.2, (60, 1)) - rng.normal(0, 1.2, 400)))
    x_nd[rng.random(p_nd.shape) > p_nd] = np.nan
    trace = {cap: np.trace(UnbiasedGram(propensity="rank1", cap=cap).fit(x_nd).gram()) for cap in ("clip", "authors")}
    assert trace["clip"] == pytest.approx(60 * 400, rel=0.1)
    assert trace["authors"] > 1.4 * trace["clip"]


@pytest.mark.parametrize("propensity", ["rank1", "rows", "columns", "constant", "logit"])
def test_ratio_is_inner_products_over_expected_common_features(propensity: str) -> None:
    x_nd, _, _ = masked_normal(3)
    gram = UnbiasedGram(propensity=propensity, double_center=False, rank_reciprocal=8).fit(x_nd)
    w_nd, p_nd = centred(x_nd), gram.propensity_.p()
    expected_nn = 40 * w_nd @ w_nd.T / (p_nd @ p_nd.T)
    np.fill_diagonal(expected_nn, 40 * (w_nd**2).sum(1) / p_nd.sum(1))
    np.testing.assert_allclose(gram.gram(), expected_nn, rtol=0, atol=1e-6 * np.abs(expected_nn).max())


def test_horvitz_thompson_is_inner_products_of_reweighted_values() -> None:
    x_nd, _, p_nd = masked_normal(4)
    w_nd = centred(x_nd)
    expected_nn = (w_nd / p_nd) @ (w_nd / p_nd).T
    np.fill_diagonal(expected_nn, (w_nd**2 / p_nd).sum(1))
    gram = UnbiasedGram("ht", propensity=p_nd, double_center=False).fit(x_nd)
    np.testing.assert_allclose(gram.gram(), expected_nn, rtol=1e-10, atol=1e-9)
    per_feature = UnbiasedGram("ht", propensity=p_nd, double_center=False, scale="per_feature").fit(x_nd)
    np.testing.assert_allclose(per_feature.gram(), expected_nn / 40, rtol=1e-10, atol=1e-9)


def test_pairwise_divides_by_the_number_of_common_features() -> None:
    x_nd, observed_nd, _ = masked_normal(5)
    w_nd, m_nd = centred(x_nd), observed_nd.astype(float)
    gram = UnbiasedGram("pairwise", double_center=False).fit(x_nd)
    np.testing.assert_allclose(gram.gram(), 40 * (w_nd @ w_nd.T) / (m_nd @ m_nd.T), rtol=1e-10, atol=1e-9)
    assert gram.propensity_ is None


@pytest.mark.parametrize("estimator", ["ratio", "ht", "pairwise"])
@pytest.mark.parametrize("center", ["observed", "hajek"])
@pytest.mark.parametrize("propensity", ["logit", "rank1", "rows", "columns", "constant"])
def test_complete_data_gives_the_ordinary_gram(estimator: str, center: str, propensity: str) -> None:
    x_nd = np.random.default_rng(6).normal(3, 2, size=(15, 30))
    w_nd = x_nd - x_nd.mean(0)
    gram = UnbiasedGram(estimator, propensity, center).fit(x_nd)
    np.testing.assert_allclose(gram.gram(), w_nd @ w_nd.T, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(gram.delta_, 0, atol=1e-10)
    squared_nn = ((x_nd[:, None] - x_nd[None]) ** 2).sum(-1)
    np.testing.assert_allclose(gram.distances(), squared_nn, rtol=1e-10, atol=1e-9)


def test_double_centring_is_that_of_the_plain_matrix_and_leaves_distances_alone() -> None:
    x_nd, _, _ = masked_normal(7)
    plain = UnbiasedGram(double_center=False).fit(x_nd)
    double = UnbiasedGram().fit(x_nd)
    h_nn = np.eye(12) - 1 / 12
    np.testing.assert_allclose(double.gram(), h_nn @ plain.gram() @ h_nn, rtol=1e-10, atol=1e-9)
    np.testing.assert_allclose(double.distances(), plain.distances(), rtol=1e-9, atol=1e-8)
    assert (double.distances() >= 0).all()


def test_all_ways_to_say_what_is_missing_agree() -> None:
    x_nd, observed_nd, _ = masked_normal(8)
    x_nd[:, :10] = np.where(np.isnan(x_nd[:, :10]), np.nan, 0.0)
    filled_nd = np.where(observed_nd, x_nd, 77.0)
    expected_nn = UnbiasedGram().fit(x_nd).gram()
    csr = sparse.csr_array(np.nan_to_num(x_nd))
    for values, mask in (
        (filled_nd, observed_nd),
        (filled_nd, observed_nd.astype(int)),
        (filled_nd, Missing(sparse.csr_array(~observed_nd))),
        (csr, observed_nd),
        (csr, sparse.csr_matrix(observed_nd)),
        (csr, Missing(sparse.csr_array(~observed_nd))),
    ):
        found_nn = UnbiasedGram().fit(values, mask=mask).gram()
        np.testing.assert_allclose(found_nn, expected_nn, rtol=1e-9, atol=1e-9)


def test_features_never_observed_are_left_out_and_counted() -> None:
    x_nd, _, _ = masked_normal(9)
    wide_nd = np.insert(x_nd, [0, 5, 40], np.nan, axis=1)
    gram, plain = UnbiasedGram().fit(wide_nd), UnbiasedGram().fit(x_nd)
    np.testing.assert_allclose(gram.gram(), plain.gram(), rtol=1e-12, atol=1e-12)
    assert gram.n_unobserved_columns_ == 3
    assert gram.n_features_in_ == 43
    np.testing.assert_array_equal(np.flatnonzero(np.isnan(gram.mean_)), [0, 6, 42])
    np.testing.assert_allclose(gram.mean_[gram.columns_], np.nanmean(x_nd, axis=0))


def test_a_given_propensity_may_be_factors_or_a_matrix() -> None:
    x_nd, _, p_nd = masked_normal(10)
    a_n = p_nd[:, 0] / p_nd[0, 0]
    scale = a_n.max()
    factors = (a_n / scale, p_nd[0] * scale)
    for estimator in ("ratio", "ht"):
        matrix, pair = (UnbiasedGram(estimator, given).fit(x_nd) for given in (p_nd, factors))
        np.testing.assert_allclose(matrix.gram(), pair.gram(), rtol=1e-9, atol=1e-9)


def test_hajek_means_are_those_of_the_weights() -> None:
    x_nd, observed_nd, p_nd = masked_normal(11)
    weight_nd = observed_nd / p_nd
    gram = UnbiasedGram(propensity=p_nd, center="hajek").fit(x_nd)
    np.testing.assert_allclose(gram.mean_, (weight_nd * np.nan_to_num(x_nd)).sum(0) / weight_nd.sum(0))
    pairwise = UnbiasedGram("pairwise", propensity=p_nd, center="hajek").fit(x_nd)
    np.testing.assert_allclose(pairwise.mean_, gram.mean_)
    np.testing.assert_array_equal(UnbiasedGram(center=None).fit(x_nd).mean_, 0)


def test_probabilities_below_the_floor_are_raised_and_counted() -> None:
    x_nd, observed_nd, p_nd = masked_normal(12)
    low_nd = np.where(observed_nd, p_nd, 1e-6)
    gram = UnbiasedGram("ht", propensity=low_nd, p_min=0.05).fit(x_nd)
    assert gram.n_clipped_ == (low_nd < 0.05).sum()
    assert np.isfinite(gram.gram()).all()


def test_float32_is_summed_in_float64() -> None:
    x_nd, _, _ = masked_normal(13)
    found_nn = UnbiasedGram().fit(x_nd.astype(np.float32)).gram()
    assert found_nn.dtype == np.float64
    expected_nn = UnbiasedGram().fit(x_nd).gram()
    np.testing.assert_allclose(found_nn, expected_nn, atol=1e-5 * np.abs(expected_nn).max())


def test_input_is_left_as_it_was() -> None:
    x_nd, observed_nd, _ = masked_normal(14)
    filled_nd, mask_nd = np.nan_to_num(x_nd), observed_nd.copy()
    before_nd = filled_nd.copy()
    UnbiasedGram(center="hajek").fit(filled_nd, mask=mask_nd)
    np.testing.assert_array_equal(filled_nd, before_nd)
    np.testing.assert_array_equal(mask_nd, observed_nd)


def bad_inputs() -> dict[str, tuple[object, object, str]]:
    x_nd = np.random.default_rng(0).normal(size=(6, 5))
    ones_nd = np.ones((6, 5))
    empty_row_nd, infinite_nd, nan_nd = x_nd.copy(), x_nd.copy(), x_nd.copy()
    empty_row_nd[2], infinite_nd[1, 3], nan_nd[4, 0] = np.nan, np.inf, np.nan
    return {
        "one row": (x_nd[:1], None, "sample"),
        "two rows": (x_nd[:2], None, "minimum of 3"),
        "a row never observed": (empty_row_nd, None, "row 2"),
        "nothing observed": (np.full((6, 5), np.nan), None, "observed"),
        "infinity": (infinite_nd, None, "row 1, column 3"),
        "mask of another shape": (x_nd, ones_nd[:, :4], "shape"),
        "mask of other values": (x_nd, ones_nd * 2, "mask value"),
        "NaN called observed": (nan_nd, ones_nd, "row 4, column 0"),
        "sparse without a mask": (sparse.csr_array(x_nd), None, "mask"),
        "complex": (x_nd + 1j, None, "Complex"),
        "one axis": (x_nd[0], None, "array"),
    }


@pytest.mark.parametrize("name", bad_inputs())
def test_bad_input_is_one_line_that_is_both_kinds_of_error(name: str) -> None:
    x_nd, mask, word = bad_inputs()[name]
    with pytest.raises(InputError, match=word) as caught:
        UnbiasedGram().fit(x_nd, mask=mask)
    assert isinstance(caught.value, CorpuscleError) and isinstance(caught.value, ValueError)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [
        {"estimator": "naive"},
        {"propensity": "probit"},
        {"center": "median"},
        {"scale": "log"},
        {"cap": "raise"},
        {"cap": "authors"},
        {"p_min": 0.0},
        {"p_min": 1.0},
        {"rank_reciprocal": 0},
    ],
    ids=str,
)
def test_options_that_do_not_exist_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        UnbiasedGram(**options).fit(masked_normal(0)[0])


@pytest.mark.parametrize("value", [0.0, -0.1, 1.5, np.nan])
def test_a_propensity_that_is_no_probability_is_refused(value: float) -> None:
    x_nd, _, p_nd = masked_normal(0)
    p_nd[3, 4] = value
    with pytest.raises(CorpuscleError, match="propensity"):
        UnbiasedGram(propensity=p_nd).fit(x_nd)


def test_constant_columns_and_one_column_are_fine() -> None:
    x_nd, _, _ = masked_normal(15)
    x_nd[:, 3] = np.where(np.isnan(x_nd[:, 3]), np.nan, 5.0)
    assert np.isfinite(UnbiasedGram().fit(x_nd).gram()).all()
    one_n1 = np.arange(6.0).reshape(-1, 1)
    np.testing.assert_allclose(UnbiasedGram().fit(one_n1).gram(), (one_n1 - 2.5) @ (one_n1 - 2.5).T, atol=1e-12)


def test_rows_that_share_nothing_have_no_pairwise_product() -> None:
    x_nd = np.full((4, 4), np.nan)
    x_nd[0, :2], x_nd[1, 2:], x_nd[2:] = 1.0, 2.0, 3.0
    with pytest.raises(MethodError, match="rows 0 and 1"):
        UnbiasedGram("pairwise").fit(x_nd)


def test_blocks_are_parts_of_the_matrix_and_too_many_entries_are_refused() -> None:
    x_nd, _, _ = masked_normal(16)
    gram = UnbiasedGram().fit(x_nd)
    whole_nn = gram.gram()
    np.testing.assert_allclose(gram.gram([3, 1]), whole_nn[[3, 1]], atol=1e-10)
    np.testing.assert_allclose(gram.gram(slice(2, 5), [0]), whole_nn[2:5, [0]], atol=1e-10)
    np.testing.assert_allclose(gram.distances([0], [5, 6]), gram.distances()[[0]][:, [5, 6]], atol=1e-10)
    with pytest.raises(OptionError):
        gram.gram([12])
    big = UnbiasedGram().fit(np.random.default_rng(0).normal(size=(5_001, 2)))
    with pytest.raises(MethodError, match="entries"):
        big.gram()
    assert big.gram(slice(0, 3)).shape == (3, 5_001)
