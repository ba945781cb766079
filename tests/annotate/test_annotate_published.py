"""Regression figures on 700 PBMCs: what the published method does to good scores and to biased ones."""

from __future__ import annotations

import numpy as np
import pbmc68k
import pytest

from corpuscle.annotate.refine import refine
from corpuscle.annotate.transform import transform
from corpuscle.seeds import stream

#: Figures hold to this; those of the tables have three digits.
WITHIN = 0.01

#: (scores, transform, graph, Laplacian) -> lam -> (accuracy, macro-F1).
TABLE = {
    ("canon", "none", "umap", "unnormalized"): {
        0: (0.723, 0.673), 0.1: (0.759, 0.713), 0.5: (0.821, 0.797), 1: (0.833, 0.831), 2: (0.840, 0.847),
        5: (0.853, 0.872), 10: (0.831, 0.849), 100: (0.723, 0.599),
    },
    ("canon", "softmax", "umap", "unnormalized"): {
        0: (0.723, 0.673), 0.1: (0.753, 0.706), 0.5: (0.807, 0.770), 1: (0.826, 0.811), 2: (0.830, 0.824),
        5: (0.846, 0.866), 10: (0.847, 0.871), 100: (0.579, 0.299),
    },
    ("canon", "none", "umap", "symmetric"): {
        0.1: (0.734, 0.684), 0.5: (0.754, 0.708), 1: (0.779, 0.735), 2: (0.806, 0.774), 5: (0.829, 0.817),
        10: (0.840, 0.846), 100: (0.819, 0.810),
    },
    ("canon", "none", "umap", "random_walk"): {
        0.5: (0.759, 0.711), 1: (0.780, 0.741), 5: (0.839, 0.841), 10: (0.847, 0.859),
    },
    ("canon", "none", "binary", "unnormalized"): {
        0.1: (0.809, 0.772), 0.5: (0.846, 0.853), 1: (0.853, 0.871), 2: (0.833, 0.851), 5: (0.786, 0.772),
        10: (0.750, 0.701), 100: (0.723, 0.599),
    },
    ("asctb", "none", "umap", "unnormalized"): {
        0: (0.729, 0.665), 0.1: (0.756, 0.691), 0.5: (0.747, 0.663), 1: (0.720, 0.595), 2: (0.681, 0.520),
        5: (0.673, 0.503), 10: (0.674, 0.504), 100: (0.720, 0.588),
    },
    ("asctb", "softmax", "umap", "unnormalized"): {
        0.1: (0.751, 0.688), 0.5: (0.761, 0.697), 1: (0.744, 0.646), 2: (0.711, 0.575), 5: (0.677, 0.507),
        10: (0.711, 0.562), 100: (0.656, 0.428),
    },
    ("asctb", "none", "umap", "symmetric"): {
        0.1: (0.736, 0.674), 0.5: (0.754, 0.688), 1: (0.756, 0.694), 2: (0.766, 0.705), 5: (0.749, 0.637),
        10: (0.706, 0.562), 100: (0.689, 0.521),
    },
    ("asctb", "zscore", "umap", "unnormalized"): {
        0: (0.706, 0.658), 0.1: (0.753, 0.707), 1: (0.764, 0.736), 5: (0.751, 0.647),
    },
}  # fmt: skip


def scores(name: str) -> np.ndarray:
    return pbmc68k.canon() if name == "canon" else pbmc68k.asctb()


def named(
    name: str, how: str = "none", graph: str = "umap", laplacian: str = "unnormalized", lam: float = 1.0
) -> np.ndarray:
    graph_nn = pbmc68k.umap_graph() if graph == "umap" else pbmc68k.binary_graph()
    return refine(transform(scores(name), how), graph_nn, lam=lam, laplacian=laplacian).argmax(axis=1)


@pytest.mark.parametrize("row", TABLE, ids=lambda row: "-".join(row))
def test_accuracy_and_macro_f1_of_every_strength(row):
    found = {lam: named(*row, lam=lam) for lam in TABLE[row]}
    got = {lam: (pbmc68k.accuracy(best_n), pbmc68k.macro_f1(best_n)) for lam, best_n in found.items()}
    for lam, expected in TABLE[row].items():
        assert got[lam] == pytest.approx(expected, abs=WITHIN), f"lam={lam}"


def test_no_cell_has_a_smaller_degree_than_umap_promises():
    degree_n = np.asarray(pbmc68k.umap_graph().sum(axis=1)).ravel()
    assert degree_n.min() == pytest.approx(np.log2(15), abs=1e-3)
    assert 5 < np.median(degree_n) < 6


def test_right_and_wrong_changes_of_good_scores():
    before, after = (np.asarray(pbmc68k.TYPES)[best_n] for best_n in (named("canon", lam=0), named("canon", lam=1)))
    truth = pbmc68k.truth()
    assert np.sum((before != truth) & (after == truth)) == pytest.approx(91, abs=2)
    assert np.sum((before == truth) & (after != truth)) == pytest.approx(14, abs=2)


def test_biased_scores_lose_types_and_standardising_them_brings_these_back():
    base, mild, strong = (pbmc68k.f1(named("asctb", lam=lam)) for lam in (0, 1, 5))
    assert (base["NK"], mild["NK"]) == pytest.approx((0.507, 0.062), abs=WITHIN)
    assert strong["NK"] == strong["CD4T"] == 0
    assert pbmc68k.macro_f1(named("asctb", lam=5)) < pbmc68k.macro_f1(named("asctb", lam=0)) - 0.12
    assert pbmc68k.macro_f1(named("asctb", "zscore", lam=1)) >= 0.70


@pytest.mark.parametrize("share, least", [(0.4, 0.87), (0.2, 0.89)])
def test_independent_noise_is_removed(share, least):
    onehot_nk = np.asarray(pbmc68k.truth()[:, None] == np.asarray(pbmc68k.TYPES), np.float64)
    right = []
    for seed in range(20):
        rng = stream(seed, "noise", str(share))
        noisy_nk = onehot_nk.copy()
        hit = rng.permutation(len(noisy_nk))[: round(share * len(noisy_nk))]
        noisy_nk[hit] = np.eye(7)[rng.integers(7, size=hit.size)]
        right.append(pbmc68k.accuracy(refine(noisy_nk, pbmc68k.umap_graph()).argmax(axis=1)))
    assert np.mean(right) >= least


def test_a_permuted_graph_makes_scores_worse_every_time():
    base = pbmc68k.accuracy(named("canon", lam=0))
    for seed in range(10):
        order = stream(seed, "permuted graph").permutation(700)
        graph_nn = pbmc68k.umap_graph()[order][:, order]
        assert pbmc68k.accuracy(refine(pbmc68k.canon(), graph_nn).argmax(axis=1)) < base
