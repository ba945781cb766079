"""Smooth quantile normalisation against its definition, and its two extremes."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.counts import Counts, MemorySource
from corpuscle.errors import OptionError
from corpuscle.normalize import QuantileNormalizer
from corpuscle.normalize.qsmooth import QSmooth


def as_counts(x: np.ndarray, groups: list) -> Counts:
    obs = pd.DataFrame({"tissue": groups}, index=[f"sample{i}" for i in range(len(x))])
    return Counts([MemorySource(sp.csr_matrix(x), obs, pd.DataFrame(index=[f"gene{j}" for j in range(x.shape[1])]))])


def drawn(n: int, g: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.negative_binomial(2, 0.02, (n, g)) * rng.integers(1, 5, (n, 1))


def definition(x: np.ndarray, groups: list[str], window: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    """Weights and values with everything in memory and every median by itself."""
    y = np.log2(1.0 + x)
    q = np.sort(y, axis=1)
    named = np.array(groups)
    fitted = np.array([q[named == one].mean(axis=0) for one in named])
    total = np.square(q - q.mean(axis=0)).sum(axis=0)
    between = np.square(fitted - q.mean(axis=0)).sum(axis=0)
    rough = np.where(total < 1e-6, 1.0, 1 - between / np.where(total < 1e-6, 1.0, total))
    k = int(window * x.shape[1])
    k += k % 2 == 0
    half = k // 2
    middle = [np.median(rough[i - half : i + half + 1]) for i in range(half, rough.size - half)]
    weight = np.array([middle[0]] * half + middle + [middle[-1]] * half)
    values = np.empty_like(y)
    for i in range(len(x)):
        target = weight * q.mean(axis=0) + (1 - weight) * fitted[i]
        at = np.argsort(np.argsort(y[i], kind="stable"))
        values[i] = pd.Series(target[at]).groupby(y[i]).transform("mean")
    return weight, values


def test_values_are_the_definition() -> None:
    groups = ["liver", "lung", "lung", "brain"] * 5
    x = drawn(20, 400)
    x[::4] *= 6
    x[3] += 70_000
    counts = as_counts(x, groups)
    method = QSmooth(group="tissue").fit(counts)
    weight, values = definition(x, groups)
    assert 0 < weight.min() < weight.max() < 1
    np.testing.assert_allclose(method.weight_g_, weight, atol=1e-10)
    np.testing.assert_allclose(method.transform(counts), values, atol=1e-9)


def test_one_group_is_quantile_normalisation() -> None:
    counts = as_counts(drawn(9, 150), ["liver"] * 9)
    method = QSmooth(group="tissue").fit(counts)
    np.testing.assert_array_equal(method.weight_g_, np.ones(150))
    expected = QuantileNormalizer().fit(counts).transform(counts)
    np.testing.assert_allclose(method.transform(counts), expected, atol=1e-12)


def test_groups_that_share_nothing_keep_their_own_distribution() -> None:
    x = drawn(1, 100)[0] + 1
    shuffled = [np.random.default_rng(i).permutation(x) for i in range(4)]
    both = np.array([*shuffled, *(30 * one for one in shuffled)])
    counts = as_counts(both, ["a"] * 4 + ["b"] * 4)
    method = QSmooth(group="tissue").fit(counts)
    np.testing.assert_allclose(method.weight_g_, 0.0, atol=1e-12)
    np.testing.assert_allclose(method.transform(counts), np.log2(1.0 + both), atol=1e-10)


def test_a_new_sample_needs_a_known_group() -> None:
    fitted = QSmooth(group="tissue").fit(as_counts(drawn(6, 50), ["liver", "lung"] * 3))
    with pytest.raises(OptionError, match=r"sample1 is of tissue 'spleen'.*liver, lung"):
        fitted.transform(as_counts(drawn(2, 50), ["liver", "spleen"]))
    with pytest.raises(OptionError, match="sample0 has no tissue"):
        fitted.transform(as_counts(drawn(2, 50), [None, "liver"]))
    with pytest.raises(OptionError, match="no column 'organ'; they have: tissue"):
        QSmooth(group="organ").fit(as_counts(drawn(2, 50), ["liver", "lung"]))
    with pytest.raises(OptionError, match="window is 1"):
        QSmooth(window=1).fit(as_counts(drawn(2, 50), ["liver", "lung"]))
