"""The conventions of scikit-learn."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from corpuscle.reduce import InputError, UnbiasedGram, UnbiasedPCA

NEEDS_MASK = "a sparse matrix needs a mask, or nothing would be missing; the check gives none"


REPLACED = (
    "the diagonal is replaced for the rows that are fitted, which makes them unlike new rows with the same values"
)


def expected_failures(estimator: object) -> dict[str, str]:
    failures = {"check_estimator_sparse_tag": NEEDS_MASK}
    if getattr(estimator, "diagonal", "") == "hetero":
        failures |= dict.fromkeys(("check_transformer_general", "check_transformer_data_not_an_array"), REPLACED)
    return failures


@pytest.mark.filterwarnings("ignore")
@parametrize_with_checks(
    [UnbiasedGram(), UnbiasedGram("ht", "rank1"), UnbiasedPCA(n_components=2), UnbiasedPCA(2, diagonal="hetero")],
    expected_failed_checks=expected_failures,
)
def test_scikit_learns_checks(estimator: object, check: object) -> None:
    check(estimator)  # type: ignore[operator]


def holed(n: int = 30, d: int = 50) -> np.ndarray:
    rng = np.random.default_rng(0)
    x_nd = rng.normal(size=(n, 3)) @ rng.normal(size=(3, d)) + 0.3 * rng.normal(size=(n, d))
    x_nd[rng.random((n, d)) < 0.2] = np.nan
    return x_nd


def test_parameters_survive_cloning_also_those_of_the_matrix() -> None:
    pca = UnbiasedPCA(5, gram=UnbiasedGram("ht", p_min=0.2))
    assert clone(pca).get_params()["gram__p_min"] == 0.2
    pca.set_params(gram__p_min=0.3, n_components=2)
    assert pca.gram.p_min == 0.3
    fitted = pca.fit(holed())
    assert fitted.gram_ is not pca.gram and not hasattr(pca.gram, "operator_")


def test_names_of_features_in_and_out() -> None:
    frame = pd.DataFrame(holed(), columns=[f"gene{k}" for k in range(50)])
    pca = UnbiasedPCA(3).fit(frame)
    np.testing.assert_array_equal(pca.feature_names_in_, frame.columns)
    assert list(pca.get_feature_names_out()) == ["unbiasedpca0", "unbiasedpca1", "unbiasedpca2"]
    with pytest.raises(InputError, match="feature names"):
        pca.transform(frame.rename(columns={"gene3": "other"}))
    out = UnbiasedPCA(3).set_output(transform="pandas").fit_transform(frame)
    assert list(out.columns) == ["unbiasedpca0", "unbiasedpca1", "unbiasedpca2"]
    assert not hasattr(pca.fit(frame.to_numpy()), "feature_names_in_")


def test_pipelines_pass_nan_on() -> None:
    x_nd = holed()
    piped_nk = make_pipeline(StandardScaler(), UnbiasedPCA(3)).fit_transform(x_nd)
    np.testing.assert_allclose(piped_nk, UnbiasedPCA(3).fit_transform(StandardScaler().fit_transform(x_nd)))


@pytest.mark.parametrize("estimator", ["ratio", "ht", "pairwise"])
def test_a_pickled_estimator_transforms_as_before(estimator: str) -> None:
    x_nd = holed()
    pca = UnbiasedPCA(3, estimator).fit(x_nd)
    again = pickle.loads(pickle.dumps(pca))
    np.testing.assert_array_equal(again.transform(x_nd), pca.transform(x_nd))


def test_unfitted_says_so() -> None:
    with pytest.raises(NotFittedError):
        UnbiasedPCA().transform(holed())
    with pytest.raises(NotFittedError):
        UnbiasedGram().gram()
    with pytest.raises(NotFittedError):
        UnbiasedGram().distances()
