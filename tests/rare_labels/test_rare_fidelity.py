"""Figures of fidelity: exact values on small sets, agreement with other code, and reasons where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.benchmarks.rare_labels import _knn
from corpuscle.benchmarks.rare_labels._decoded import detection_share, largest_gap, library_log10
from corpuscle.benchmarks.rare_labels._figures import COLUMNS, Undefined
from corpuscle.benchmarks.rare_labels._knn import distances, kth_distance, nearest
from corpuscle.benchmarks.rare_labels.fidelity import (
    FIGURES,
    IDEAL,
    correlation_agreement,
    fidelity,
    frechet_distance,
    kernel_test,
    neighbour_figures,
    real_or_fake_auc,
    wasserstein_by_feature,
)
from corpuscle.benchmarks.rare_labels.synthetic_only import train_test_crossed
from corpuscle.errors import OptionError


def normal(n: int, d: int = 5, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, 1.0, (n, d))


def test_neighbour_figures_by_hand():
    """Real at 0, 1, 3 with radii 1, 1, 2 for k = 1; synthetic at 0.5, 10, 10.5 with radii 9.5, 0.5, 0.5."""
    real, fake = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0], [10.5]])
    found = neighbour_figures(real, fake, k=1)
    assert found == {"precision": 1 / 3, "recall": 1.0, "density": 2 / 3, "coverage": 2 / 3}


def test_neighbour_figures_of_fresh_samples_and_of_far_ones():
    found = neighbour_figures(normal(400), normal(400, seed=1))
    assert found["precision"] > 0.9 and found["recall"] > 0.9
    assert abs(found["density"] - 1) < 0.1 and abs(found["coverage"] - (1 - 2**-5)) < 0.03
    assert set(neighbour_figures(normal(50), normal(50, shift=40.0)).values()) == {0.0}
    one_place = neighbour_figures(normal(200), np.zeros((200, 5)))
    assert one_place["precision"] == 1 and one_place["recall"] == 0 and one_place["coverage"] < 0.5


def test_nearest_neighbours_do_not_depend_on_the_blocks(monkeypatch: pytest.MonkeyPatch):
    x_nd, y_md = normal(37), normal(23, seed=1)
    whole = (*nearest(x_nd), *nearest(x_nd, y_md), kth_distance(x_nd, 3))
    monkeypatch.setattr(_knn, "MAX_HELD", 100)
    for a, b in zip(whole, (*nearest(x_nd), *nearest(x_nd, y_md), kth_distance(x_nd, 3)), strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(whole[2], distances(x_nd, y_md).min(axis=1))
    np.testing.assert_array_equal(kth_distance(x_nd, 1), whole[0])


def test_the_kernel_statistic_is_the_double_sum():
    a, b = normal(7), normal(9, seed=1, shift=0.4)
    d = distances(np.vstack([a, b]), np.vstack([a, b]))
    kernel = np.exp(-(d**2) / (2 * np.median(d[np.triu_indices(16, 1)]) ** 2))
    want = (
        sum(kernel[i, j] for i in range(7) for j in range(7) if i != j) / 42
        + sum(kernel[i, j] for i in range(7, 16) for j in range(7, 16) if i != j) / 72
        - 2 * kernel[:7, 7:].mean()
    )
    np.testing.assert_allclose(kernel_test(a, b, permutations=9)["mmd2"], want, rtol=1e-10)


def test_the_permutation_test_holds_its_level_and_finds_a_shift():
    p = [kernel_test(normal(15, seed=2 * i), normal(15, seed=2 * i + 1), permutations=39)["mmd_p"] for i in range(120)]
    assert 0.01 <= np.mean(np.array(p) <= 0.1) <= 0.2
    assert kernel_test(normal(20), normal(20, seed=1, shift=2.0), permutations=99)["mmd_p"] == 0.01
    assert kernel_test(normal(20), normal(20), permutations=99)["mmd_p"] > 0.9


def test_frechet_is_the_formula_with_the_root_of_the_product():
    from scipy.linalg import sqrtm

    a, b = normal(60, 4), normal(50, 4, seed=1) @ np.diag([1.0, 2.0, 0.5, 1.5]) + 0.3
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    want = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    np.testing.assert_allclose(frechet_distance(a, b), want, rtol=1e-8)


def test_frechet_of_fewer_samples_than_features_is_exact():
    """Along one axis each, orthogonal: the product of the covariances is 0, and so all variance counts."""
    a, b = np.zeros((2, 6)), np.zeros((2, 6))
    a[:, 0], b[:, 1] = [-1, 1], [-2, 2]
    np.testing.assert_allclose(frechet_distance(a, b), 2 + 8)
    np.testing.assert_allclose(frechet_distance(a, a + np.arange(6)), 55)
    assert frechet_distance(a, a) == 0


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 99))
def test_wasserstein_is_that_of_scipy(n: int, m: int, seed: int):
    from scipy.stats import wasserstein_distance

    rng = np.random.default_rng(seed)
    a, b = rng.integers(0, 5, (n, 3)).astype(float), rng.normal(size=(m, 3))
    want = [wasserstein_distance(a[:, i], b[:, i]) for i in range(3)]
    np.testing.assert_allclose(wasserstein_by_feature(a, b), want, rtol=1e-9, atol=1e-12)


def test_a_classifier_tells_what_differs_and_guesses_otherwise():
    assert real_or_fake_auc(normal(60), normal(60, seed=1, shift=3.0)) > 0.99
    assert 0.3 < np.mean([real_or_fake_auc(normal(60, seed=i), normal(60, seed=i + 50)) for i in range(6)]) < 0.7


def test_correlations_of_genes_agree_or_not():
    mix = np.random.default_rng(3).normal(size=(4, 30))
    real, alike, other = normal(200, 4) @ mix, normal(200, 4, seed=1) @ mix, normal(200, 30, seed=2)
    assert correlation_agreement(real, real) == pytest.approx(1)
    assert correlation_agreement(real, alike) > 0.95 and abs(correlation_agreement(real, other)) < 0.2
    flat = alike.copy()
    flat[:, :5] = 1.0  # genes without spread are left out, not NaN
    assert correlation_agreement(real, flat) > 0.95
    with pytest.raises(Undefined, match="vary"):
        correlation_agreement(real, np.ones((10, 30)))
    few = np.hstack([real * 10, other])
    assert correlation_agreement(few, np.hstack([alike * 10, real]), n_genes=30) > 0.95


def test_detection_and_library_of_known_values():
    x_ng = np.log2(np.array([[3.0, 1.0, 0.0, 0.0], [4.0, 8.0, 16.0, 32.0]]) + 1)
    np.testing.assert_allclose(detection_share(x_ng), [0.25, 1.0])
    np.testing.assert_allclose(library_log10(x_ng), np.log10([4.0, 60.0]))
    assert largest_gap(np.array([1.0, 2.0]), np.array([3.0])) == 1 and largest_gap(np.arange(4.0), np.arange(4.0)) == 0
    assert largest_gap(np.array([1.0, 1.0, 2.0]), np.array([1.0, 2.0])) == pytest.approx(1 / 6)


def decode(x_nd: np.ndarray) -> np.ndarray:
    return 4 + x_nd @ np.random.default_rng(9).normal(size=(5, 40))


def test_a_table_of_all_figures_beside_the_training_samples():
    held, train = normal(60), normal(80, seed=1)
    table = fidelity(held, normal(60, seed=2), train, decode=decode, permutations=49)
    assert tuple(table.columns) == COLUMNS and tuple(table.figure) == FIGURES and set(IDEAL) <= set(FIGURES)
    assert np.isfinite(table[["value", "reference"]].to_numpy(float)).all() and (table.reason == "").all()
    value, reference = table.set_index("figure").value, table.set_index("figure").reference
    assert value["mmd_p"] > 0.05 and value["correlation_agreement"] > 0.8
    np.testing.assert_allclose(value["negative_share"], (decode(normal(60, seed=2)) < 0).mean())
    copied = fidelity(held, train, train, permutations=49).set_index("figure")
    assert set(copied.index) == set(FIGURES) - {"detected_share", "detected_gap", "library_log10", "library_gap",
                                                "negative_share"}  # fmt: skip
    far = fidelity(held, normal(60, seed=2, shift=5.0), train, permutations=49).set_index("figure")
    assert far.value["real_or_fake_auc"] > 0.95 > far.reference["real_or_fake_auc"]
    assert far.value["mmd_p"] == 0.02 and far.value["frechet"] > 20 * reference["frechet"]
    again = fidelity(held, normal(60, seed=2), train, decode=decode, permutations=49)
    np.testing.assert_array_equal(table.value, again.value)


def test_as_many_synthetic_samples_as_held_out_ones_are_judged():
    held, many = normal(20), np.vstack([normal(20, seed=1), np.full((500, 5), 99.0)])
    whole, cut = (fidelity(held, x, permutations=9) for x in (many, many[:20]))
    np.testing.assert_array_equal(whole.value, cut.value)
    assert whole.reference.isna().all()


def test_too_few_samples_have_no_figure_but_a_reason():
    for held, fake in ((normal(4), normal(9)), (normal(0), normal(9)), (normal(9), normal(0)), (normal(1), normal(1))):
        table = fidelity(held, fake, normal(9), decode=decode, permutations=9).set_index("figure")
        assert np.isnan(table.value["precision"]) and "takes" in table.reason["precision"]
        assert ((table.reason != "") == table.value.isna()).all()
    assert "samples on one side; it takes 10" in table.reason["real_or_fake_auc"] or table.value.isna().all()
    one = fidelity(np.zeros((9, 5)), np.zeros((9, 5)), permutations=9).set_index("figure")
    assert one.reason["mmd2"] == "all samples are one point" and one.value["wasserstein"] == 0


def test_arrays_that_make_no_sense_are_refused():
    for held, fake, options in (
        (normal(9), normal(9, 4), {}),
        (normal(9), normal(9) * np.nan, {}),
        (normal(9)[0], normal(9), {}),
        (normal(9), normal(9), {"k": 0}),
        (normal(9), normal(9), {"decode": lambda x: x * np.inf}),
    ):
        with pytest.raises(OptionError):
            fidelity(held, fake, **options)


def centroids(x_nd: np.ndarray, code_n: np.ndarray) -> dict[int, np.ndarray]:
    return {int(code): x_nd[code_n == code].mean(axis=0) for code in np.unique(code_n)}


def recall_of_1(model: dict[int, np.ndarray], x_nd: np.ndarray, code_n: np.ndarray) -> float:
    found = distances(x_nd, np.stack(list(model.values()))).argmin(axis=1)
    return float((np.array(list(model))[found] == code_n)[code_n == 1].mean())


def test_training_on_synthetic_samples_is_as_good_as_they_are():
    x_nd, code_n = np.vstack([normal(40), normal(10, seed=1, shift=4.0)]), np.repeat([0, 1], [40, 10])
    test = (np.vstack([normal(30, seed=2), normal(12, seed=3, shift=4.0)]), np.repeat([0, 1], [30, 12]))
    good = train_test_crossed(centroids, recall_of_1, (x_nd, code_n), test, normal(50, seed=4, shift=4.0), 1)
    assert good == {"trtr": 1.0, "tstr": 1.0, "trts": 1.0, "tstr_ratio": 1.0}
    bad = train_test_crossed(centroids, recall_of_1, (x_nd, code_n), test, normal(50, seed=4, shift=-4.0), 1)
    assert bad["trtr"] == 1 and bad["tstr"] == 0 and bad["trts"] == 0 and bad["tstr_ratio"] == 0


def test_a_replaced_label_keeps_its_number_and_the_others_their_samples():
    seen = []
    x_nd, code_n = normal(12), np.repeat([0, 1, 2], [5, 4, 3])
    fake = np.full((50, 5), 7.0)
    train_test_crossed(lambda x, c: seen.append((x, c)), lambda *_: 0.0, (x_nd, code_n), (x_nd, code_n), fake, 1)
    np.testing.assert_array_equal(np.sort(seen[1][1]), code_n)
    np.testing.assert_array_equal(seen[1][0][:8], x_nd[code_n != 1])
    assert (seen[1][0][8:] == 7).all()
    nothing = train_test_crossed(lambda x, c: None, lambda *_: 0.0, (x_nd, code_n), (x_nd, code_n), fake, 1)
    assert np.isnan(nothing["tstr_ratio"])
    for target, samples in ((9, fake), (1, fake[:0])):
        with pytest.raises(OptionError):
            train_test_crossed(centroids, recall_of_1, (x_nd, code_n), (x_nd, code_n), samples, target)
