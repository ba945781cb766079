"""Scores by likeness to the means of types in an embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources.prototypes import Prototypes, class_prototypes, prototype_scores, seeded_prototypes
from corpuscle.errors import MethodError, OptionError, SourceError

Array = np.ndarray[Any, Any]


def clouds(n: int = 150, seed: int = 0, shift: float = 20.0) -> tuple[Array, Array]:
    """Three clouds in 8 dimensions, far from the origin as embeddings of cells are."""
    rng = np.random.default_rng(seed)
    code_n = np.arange(n) % 3
    x_nd = rng.normal(size=(n, 8)) + shift
    x_nd[np.arange(n), code_n] += 4
    return x_nd.astype(np.float32), np.array(["a", "b", "c"], dtype=object)[code_n]


def test_means_of_types_name_other_cells_of_them() -> None:
    reference_md, labels_m = clouds()
    cells_nd, truth_n = clouds(90, seed=1)
    for metric in ("cosine", "euclidean"):
        scores = prototype_scores(cells_nd, (reference_md, labels_m), metric=metric)
        assert scores.types == ("a", "b", "c")
        assert (scores.labels() == truth_n).mean() > 0.95
    assert scores.about["prototype_cells"] == [50, 50, 50]


def test_cosine_and_distance_are_those_of_the_definition() -> None:
    cells_nd, _ = clouds(30)
    vectors_kd = np.random.default_rng(3).normal(size=(4, 8))
    centred_nd, centred_kd = cells_nd - vectors_kd.mean(0), vectors_kd - vectors_kd.mean(0)
    cosine_nk = (centred_nd @ centred_kd.T) / np.outer(
        np.linalg.norm(centred_nd, axis=1), np.linalg.norm(centred_kd, axis=1)
    )
    types = ["a", "b", "c", "d"]
    found = prototype_scores(cells_nd, vectors_kd, types, temperature=0.5).values_nk
    np.testing.assert_allclose(found, cosine_nk / 0.5, atol=1e-5)
    distance_nk = ((cells_nd[:, None, :] - vectors_kd[None]) ** 2).sum(-1)
    found = prototype_scores(cells_nd, vectors_kd, types, temperature=2, metric="euclidean").values_nk
    np.testing.assert_allclose(found, -distance_nk / 2, rtol=1e-4)


def test_centring_restores_contrast_that_a_shared_part_hides() -> None:
    cells_nd, labels_n = clouds(shift=200)
    plain = prototype_scores(cells_nd, (cells_nd, labels_n), center=False).values_nk
    centred = prototype_scores(cells_nd, (cells_nd, labels_n)).values_nk
    assert np.ptp(plain, axis=1).max() < 0.01 < np.ptp(centred, axis=1).min()


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 60), st.floats(0.01, 10), st.integers(0, 9))
def test_what_a_cell_scores_does_not_depend_on_other_cells_or_on_the_temperature(
    n: int, temperature: float, seed: int
) -> None:
    cells_nd, labels_n = clouds(60, seed)
    known = class_prototypes(cells_nd, labels_n)
    whole = prototype_scores(cells_nd, known)
    part = prototype_scores(cells_nd[:n], known, temperature=temperature)
    np.testing.assert_allclose(part.values_nk * temperature, whole.values_nk[:n] * 0.1, rtol=1e-3, atol=1e-4)


def test_seeds_of_weak_scores_name_more_cells_than_the_scores() -> None:
    cells_nd, truth_n = clouds(600)
    one_hot_nk = (truth_n[:, None] == np.array(["a", "b", "c"])) * 1.0
    noise_nk = np.random.default_rng(5).normal(size=(600, 3))
    # A type whose scores run high must not take the seeds of others.
    scores = Scores(one_hot_nk + noise_nk + [5, 0, 0], ("a", "b", "c"), ("CL:0000236", None, None))
    known = seeded_prototypes(cells_nd, scores, per_type=40)
    found = prototype_scores(cells_nd, known)
    assert found.cl_ids == ("CL:0000236", None, None)
    assert known.cells_k.tolist() == [40, 40, 40]
    assert (found.labels() == truth_n).mean() > 0.95 > 0.6 > (scores.labels() == truth_n).mean()


def test_a_type_without_seeds_is_left_out_and_named() -> None:
    cells_nd, truth_n = clouds(90)
    values_nk = (truth_n[:, None] == np.array(["a", "b", "none"])) * 1.0
    values_nk[:, 2] = 0
    with pytest.warns(UserWarning, match=r"left out: none \(0\)"):
        known = seeded_prototypes(cells_nd, Scores(values_nk, ("a", "b", "none")))
    assert known.types == ("a", "b")
    assert "none (0)" in prototype_scores(cells_nd, known).about["notes"][0]
    with pytest.raises(MethodError, match="two are needed"):
        seeded_prototypes(cells_nd, Scores(np.zeros((90, 2)), ("a", "b")))
    with pytest.raises(SourceError, match="give the same cells"):
        seeded_prototypes(cells_nd[:5], Scores(values_nk, ("a", "b", "none")))


def test_a_type_of_one_cell_is_that_cell_and_unlabelled_cells_are_left_out() -> None:
    cells_nd, labels_n = clouds(30)
    labels_n[0], labels_n[1:4] = "rare", [None, np.nan, ""]
    known = class_prototypes(cells_nd, labels_n)
    np.testing.assert_allclose(known.means_kd[known.types.index("rare")], cells_nd[0], rtol=1e-6)
    assert known.cells_k.sum() == 27
    assert known.notes == ("3 cells of the reference have no label and were left out",)


@pytest.mark.parametrize(
    ("prototypes", "types", "error", "words"),
    [
        (np.ones((2, 5)), ["a", "b"], SourceError, "5 dimensions, the cells have 8"),
        (np.eye(8)[:2], [], OptionError, "give types"),
        (np.vstack([np.zeros(8), np.eye(8)[:2]]), ["a", "b", "c"], SourceError, "'a' points nowhere"),
        (np.vstack([np.full(8, np.nan), np.ones(8)]), ["a", "b"], SourceError, "NaN"),
        ((np.ones((3, 8)), ["a", "b"]), [], OptionError, "2 labels for 3 cells"),
        ((np.ones((3, 8)), ["a", "a", None]), [], OptionError, "at least two"),
        (Prototypes(np.eye(8)[:2], ("a", "b"), np.array([1, 1])), ["b", "a"], OptionError, "differ"),
    ],
)
def test_prototypes_that_cannot_be_used_are_refused(prototypes: Any, types: list[str], error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        prototype_scores(clouds(12)[0], prototypes, types, center=False)


def test_a_cell_that_points_nowhere_is_named() -> None:
    cells_nd, labels_n = clouds(30)
    known = class_prototypes(cells_nd, labels_n)
    cells_nd[7] = known.means_kd.mean(axis=0)
    with pytest.raises(SourceError, match=r"1 cells lie on the centre.*cells 7"):
        prototype_scores(cells_nd.astype(np.float64), known)
    cells_nd[7] = 0
    with pytest.raises(SourceError, match=r"cells 7"):
        prototype_scores(cells_nd, known, center=False)


@pytest.mark.parametrize("option", [{"metric": "manhattan"}, {"temperature": 0}, {"temperature": np.inf}])
def test_options_that_make_no_sense_are_refused(option: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        prototype_scores(*clouds(12)[:1], clouds(12), **option)
