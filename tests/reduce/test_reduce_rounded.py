"""Products in single precision while a basis is built: the components must not show it."""

from __future__ import annotations

import numpy as np
import pytest

from corpuscle.reduce import UnbiasedPCA
from corpuscle.reduce._operator import GramOperator


def with_gaps(n=400, d=150, seed=0):
    rng = np.random.default_rng(seed)
    x_nd = rng.normal(size=(n, 6)) * [9, 7, 5, 4, 3, 2] @ rng.normal(size=(6, d)) + rng.normal(size=(n, d))
    x_nd[rng.random(x_nd.shape) > rng.uniform(0.5, 1.0, (n, 1))] = np.nan
    return x_nd


# Under a large column most eigenvalues are negative.
@pytest.mark.parametrize(("largest", "k"), [(1.0, 6), (30.0, 2)])
def test_components_are_those_of_double_precision(largest, k, monkeypatch):
    x_nd = with_gaps()
    x_nd[:, 0] *= largest
    used = []
    rounded = GramOperator.rounded
    monkeypatch.setattr(GramOperator, "rounded", lambda self: used.append(1) or rounded(self))
    exact_nk = UnbiasedPCA(k, solver="dense").fit_transform(x_nd)
    assert not used
    found_nk = UnbiasedPCA(k, solver="randomized").fit_transform(x_nd)
    assert used
    # By component, since a large column makes the first many times the others.
    np.testing.assert_allclose(
        np.linalg.norm(found_nk - exact_nk, axis=0) / np.linalg.norm(exact_nk, axis=0), 0, atol=1e-6
    )


def test_single_precision_input_is_solved_like_double():
    x_nd = with_gaps().astype(np.float32)
    found_nk = UnbiasedPCA(6, solver="randomized").fit_transform(x_nd)
    exact_nk = UnbiasedPCA(6, solver="dense").fit_transform(x_nd.astype(np.float64))
    np.testing.assert_allclose(found_nk, exact_nk, atol=1e-4 * np.abs(exact_nk).max())
