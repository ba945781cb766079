"""Components from the corrected matrix: exact where nothing is missing, sound where much is."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse
from sklearn.decomposition import PCA

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce import InputError, Missing, UnbiasedGram, UnbiasedPCA


def low_rank(n: int = 80, d: int = 400, k: int = 3, noise: float = 0.3, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, k)) * [6, 4, 2.5][:k] @ rng.normal(size=(k, d)) + noise * rng.normal(size=(n, d)) + 1.0


def holed(x_nd: np.ndarray, share: float = 0.3, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    keep_n, keep_d = rng.uniform(1 - 2 * share, 1, len(x_nd)), rng.uniform(0.7, 1, x_nd.shape[1])
    return np.where(rng.random(x_nd.shape) < np.outer(keep_n, keep_d), x_nd, np.nan)


def sine(a_nk: np.ndarray, b_nk: np.ndarray) -> float:
    """Largest sine between two spaces of columns."""
    q_nk, r_nk = np.linalg.qr(a_nk)[0], np.linalg.qr(b_nk)[0]
    return float(np.linalg.norm(r_nk - q_nk @ (q_nk.T @ r_nk), 2))


@pytest.mark.parametrize("estimator", ["ratio", "ht", "pairwise"])
@pytest.mark.parametrize("diagonal", ["estimated", "hetero"])
def test_complete_data_gives_the_scores_of_ordinary_components(estimator: str, diagonal: str) -> None:
    x_nd = low_rank(noise=0.3 if diagonal == "estimated" else 0.0)
    pca = UnbiasedPCA(3, estimator, diagonal=diagonal)
    found_nk = pca.fit_transform(x_nd)
    other = PCA(3, svd_solver="full").fit(x_nd)
    expected_nk = other.transform(x_nd)
    expected_nk *= np.sign((found_nk * expected_nk).sum(0))
    scale = np.abs(expected_nk).max()
    tolerance = 1e-10 if diagonal == "estimated" else 1e-3  # replaced until it moves by 1e-4
    np.testing.assert_allclose(found_nk, expected_nk, rtol=0, atol=tolerance * scale)
    if diagonal == "estimated":
        np.testing.assert_allclose(pca.transform(x_nd), found_nk, rtol=0, atol=1e-10 * scale)
        np.testing.assert_allclose(pca.explained_variance_ratio_, other.explained_variance_ratio_, rtol=1e-10)
        np.testing.assert_allclose(pca.explained_, other.explained_variance_ratio_, rtol=1e-10)
        assert pca.n_negative_ == 0


@pytest.mark.parametrize("solver", ["auto", "randomized", "arpack", "dense"])
def test_solvers_agree_and_repeat(solver: str) -> None:
    x_nd = holed(low_rank())
    pca = UnbiasedPCA(3, solver=solver, random_state=4)
    found_nk = pca.fit_transform(x_nd)
    np.testing.assert_allclose(found_nk, UnbiasedPCA(3, solver="dense").fit_transform(x_nd), atol=1e-6)
    np.testing.assert_array_equal(pca.fit_transform(x_nd), found_nk)
    np.testing.assert_array_equal(pca.fit(x_nd).embedding_, found_nk)


def test_components_are_found_where_zero_filling_follows_the_mask() -> None:
    truth_nd = low_rank()
    x_nd = holed(truth_nd)
    expected_nk = PCA(3).fit_transform(truth_nd)
    corrected = sine(expected_nk, UnbiasedPCA(3).fit_transform(x_nd))
    naive = sine(expected_nk, PCA(3).fit_transform(np.nan_to_num(x_nd)))
    assert corrected < 0.15
    assert naive > 2 * corrected


@pytest.mark.parametrize(
    "options", [{}, {"estimator": "ht"}, {"estimator": "pairwise"}, {"propensity": "rank1"}], ids=str
)
def test_fitted_rows_transform_to_themselves_up_to_the_diagonal(options: dict[str, str]) -> None:
    x_nd = holed(low_rank(d=1500))
    pca = UnbiasedPCA(3, **options)
    fitted_nk, again_nk = pca.fit_transform(x_nd), pca.transform(x_nd)
    # What differs is one product of each row with itself, in place of its corrected squared norm.
    np.testing.assert_allclose(
        again_nk, fitted_nk * (1 - pca.delta_[:, None] / pca.eigenvalues_), atol=0.02 * fitted_nk.std()
    )
    correlation_k = [np.corrcoef(again_nk[:, k], fitted_nk[:, k])[0, 1] for k in range(3)]
    assert min(correlation_k) > 0.98


@pytest.mark.parametrize("options", [{}, {"estimator": "ht"}, {"estimator": "pairwise"}, {"propensity": "rank1"},
                                     {"double_center": False}, {"scale": "per_feature"}], ids=str)  # fmt: skip
def test_new_rows_are_placed_as_if_they_had_been_observed_whole(options: dict[str, object]) -> None:
    truth_nd = low_rank(n=160, d=1000)
    pca = UnbiasedPCA(3, **options).fit(holed(truth_nd[:120]))
    new_nd = truth_nd[120:]
    whole_mk, found_mk = pca.transform(new_nd), pca.transform(holed(new_nd, share=0.35, seed=9))
    assert np.linalg.norm(found_mk - whole_mk) < 0.2 * np.linalg.norm(whole_mk)
    ordinary_mk = PCA(3).fit(truth_nd[:120]).transform(new_nd)
    assert sine(whole_mk, ordinary_mk) < 0.2
    # Half the values missing would halve the coordinates of a row filled with means.
    size = np.linalg.norm(found_mk, axis=1) / np.linalg.norm(whole_mk, axis=1)
    assert abs(np.median(size) - 1) < 0.1


def test_new_rows_need_not_be_like_fitted_ones_in_how_much_was_observed() -> None:
    truth_nd = low_rank(n=120, d=800)
    rng = np.random.default_rng(2)
    fitted_nd = np.where(rng.random((80, 800)) < rng.uniform(0.7, 0.95, (80, 1)), truth_nd[:80], np.nan)
    pca = UnbiasedPCA(3).fit(fitted_nd)
    sparse_nd = np.where(rng.random((40, 800)) < 0.3, truth_nd[80:], np.nan)
    whole_mk, found_mk = pca.transform(truth_nd[80:]), pca.transform(sparse_nd)
    size = np.linalg.norm(found_mk, axis=1) / np.linalg.norm(whole_mk, axis=1)
    assert abs(np.median(size) - 1) < 0.1
    np.testing.assert_allclose(pca.transform(sparse_nd[:1]), found_mk[:1], rtol=1e-9)


def test_terms_of_fitted_rows_are_found_again() -> None:
    x_nd = holed(low_rank(n=60, d=300))
    pca = UnbiasedPCA(3).fit(x_nd)
    form = pca.operator_.form
    found_nr = pca._nystrom._sums._terms(pca.gram_.values_.row_counts_n)
    np.testing.assert_allclose(found_nr, form.factor_nr * form.weight_r, rtol=0, atol=2e-3 * np.abs(found_nr).max())


def test_sparse_input_with_a_mask_is_the_same() -> None:
    x_nd = np.random.default_rng(0).poisson(1.0, (40, 60)).astype(float)
    observed_nd = np.random.default_rng(1).random((40, 60)) < 0.8
    dense_nk = UnbiasedPCA(4).fit_transform(x_nd, mask=observed_nd)
    model = UnbiasedPCA(4)
    missing = Missing(sparse.csr_array(~observed_nd))
    np.testing.assert_allclose(model.fit_transform(sparse.csr_array(x_nd), mask=missing), dense_nk, atol=1e-9)
    np.testing.assert_allclose(
        model.transform(sparse.csr_array(x_nd), mask=missing), model.transform(x_nd, mask=observed_nd), atol=1e-9
    )


def test_given_probabilities_say_nothing_of_new_rows_unless_factored() -> None:
    x_nd = low_rank(n=30, d=50)
    p_nd = np.outer(np.linspace(0.6, 0.9, 30), np.ones(50))
    x_nd = np.where(np.random.default_rng(0).random(p_nd.shape) < p_nd, x_nd, np.nan)
    for estimator in ("ratio", "ht"):
        with pytest.raises(MethodError, match="new rows"):
            UnbiasedPCA(2, estimator, propensity=p_nd).fit(x_nd).transform(x_nd)
        factored = UnbiasedPCA(2, estimator, propensity=(p_nd[:, 0], p_nd[0] / p_nd[0, 0])).fit(x_nd)
        assert np.isfinite(factored.transform(x_nd)).all()


def test_probabilities_at_the_floor_still_transform() -> None:
    x_nd = holed(low_rank(n=40, d=100))
    pca = UnbiasedPCA(2, "ht", p_min=0.6)
    fitted_nk, again_nk = pca.fit_transform(x_nd), pca.transform(x_nd)
    assert pca.n_clipped_ > 0
    assert min(np.corrcoef(fitted_nk[:, k], again_nk[:, k])[0, 1] for k in range(2)) > 0.95


def test_rules_for_the_number_of_components() -> None:
    x_nd = holed(low_rank())
    every = UnbiasedPCA("all").fit(x_nd)
    positive = every.eigenvalues_
    assert (positive > 0).all() and every.n_negative_ > 0
    assert every.n_negative_ + every.n_components_ <= 80
    assert every.explained_.sum() == pytest.approx(1)
    share = UnbiasedPCA(0.9).fit(x_nd)
    assert share.explained_.sum() >= 0.9 > share.explained_[:-1].sum()
    scree = UnbiasedPCA("cng").fit(x_nd)
    bend = (positive[5:] - positive[3:-2]) / 2 - (positive[2:-3] - positive[:-5]) / 2
    assert scree.n_components_ == np.argmax(bend) + 3
    np.testing.assert_allclose(scree.eigenvalues_, positive[: scree.n_components_])


def test_more_components_than_there_are_is_a_warning_and_never_nan() -> None:
    x_nd = holed(low_rank(n=20, d=30))
    with pytest.warns(RuntimeWarning, match="8 components are given"):
        found_nk = UnbiasedPCA(50).fit_transform(x_nd)
    assert np.isfinite(found_nk).all() and found_nk.shape[1] < 20
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        UnbiasedPCA(5).fit(x_nd)


def test_leading_eigenvalues_only_leave_the_rest_unsaid() -> None:
    x_nd = np.random.default_rng(0).normal(size=(1_050, 20))
    pca = UnbiasedPCA(2).fit(x_nd)
    assert pca.n_negative_ is None and np.isnan(pca.explained_).all()
    assert pca.explained_variance_ratio_.sum() < 1
    assert UnbiasedPCA("cng", solver="randomized").fit(x_nd).n_components_ >= 3
    with pytest.raises(OptionError, match="all eigenvalues"):
        UnbiasedPCA("all").fit(np.ones((5_001, 2)) * np.arange(5_001)[:, None])


def test_uneven_noise_bends_the_estimated_diagonal_and_not_the_replaced_one() -> None:
    rng = np.random.default_rng(3)
    signal_nd = rng.normal(size=(100, 2)) @ rng.normal(size=(2, 200))
    noise_n1 = np.where(np.arange(100) < 5, 12.0, 0.2)[:, None]
    x_nd = holed(signal_nd + noise_n1 * rng.normal(size=(100, 200)), share=0.1)
    truth_nk = PCA(2).fit_transform(signal_nd)
    estimated, hetero = UnbiasedPCA(2).fit(x_nd), UnbiasedPCA(2, diagonal="hetero").fit(x_nd)
    assert estimated.n_rounds_ == 0 and 1 < hetero.n_rounds_ <= 30
    assert sine(truth_nk, hetero.embedding_) < 0.7 * sine(truth_nk, estimated.embedding_)
    np.testing.assert_allclose(hetero.embedding_.mean(0), 0, atol=1e-8)
    np.testing.assert_array_equal(hetero.delta_, estimated.delta_)


def test_the_replaced_diagonal_is_that_of_the_components() -> None:
    from corpuscle.reduce._eigen import leading
    from corpuscle.reduce._hetero import refilled

    for double in (True, False):
        operator = UnbiasedGram(double_center=double).fit(holed(low_rank(n=40, d=60))).operator_
        found, _ = refilled(operator, lambda current: leading(current, 3, solver="dense")[:2])
        value_k, vector_nk, _ = leading(found, 3, solver="dense")
        np.testing.assert_allclose(found.diagonal(), vector_nk**2 @ value_k, rtol=0, atol=1e-3 * found.diagonal().max())
        off = ~np.eye(40, dtype=bool)
        change_nn = (found.block() - operator.block())[off]
        assert np.abs(change_nn).max() < (0.1 * np.abs(operator.diagonal()).max() if double else 1e-9)


def test_a_gram_brings_its_own_parameters() -> None:
    x_nd = holed(low_rank())
    pca = UnbiasedPCA(3, gram=UnbiasedGram("ht", "rank1", scale="per_feature")).fit(x_nd)
    assert pca.operator_.estimator == "ht" and pca.propensity_.kind == "rank1"
    np.testing.assert_allclose(pca.eigenvalues_, UnbiasedPCA(3, "ht", "rank1").fit(x_nd).eigenvalues_ / 400)
    np.testing.assert_allclose(pca.distances([0], [1]), pca.gram_.distances([0], [1]))
    with pytest.raises(OptionError, match="UnbiasedGram"):
        UnbiasedPCA(gram="ratio").fit(x_nd)


@pytest.mark.parametrize("options", [{"solver": "lobpcg"}, {"diagonal": "zero"}, {"n_components": 0},
                                     {"n_components": "kaiser"}, {"n_components": 1.5}], ids=str)  # fmt: skip
def test_options_that_do_not_exist_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        UnbiasedPCA(**options).fit(low_rank(n=10, d=12))


def test_bad_new_rows_are_refused() -> None:
    x_nd = holed(low_rank(n=20, d=30))
    pca = UnbiasedPCA(2).fit(x_nd)
    with pytest.raises(InputError, match="29 features"):
        pca.transform(x_nd[:, :-1])
    with pytest.raises(InputError, match="row 1"):
        pca.transform(np.vstack([x_nd[0], np.full(30, np.nan)]))
    with pytest.raises(MethodError, match="alike"):
        UnbiasedPCA(2).fit(np.ones((6, 4)))
