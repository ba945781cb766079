"""The benchmark on real blood cells: distances and neighbours gain by what they must, directions do not."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpuscle.benchmarks import missingness

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
CELLS = DATA / "clustering" / "pbmc_4271_hvg.h5ad"
UNIFORM, LOGIT = "uniform:low=0.2", "logit_normal:sd=1.2"


@pytest.fixture(scope="module")
def board():
    if not CELLS.exists():
        pytest.skip("real cells are not there; CORPUSCLE_DATA points to them")
    masks = ["constant:p=0.5", "authors", UNIFORM, LOGIT]
    found = missingness.benchmark([CELLS], ["unbiased", "authors"], masks, draws=1)
    assert found.failures.empty
    return found.leaderboard().set_index(["task", "method"])


@pytest.mark.parametrize("task", ["constant:p=0.5", "authors", UNIFORM])
def test_distances_are_closer_than_those_of_either_fill(board, task):
    error = board["d2_error"][task]
    assert error["unbiased"] <= 0.35 * min(error["zero_fill"], error["mean_fill"])


def test_under_uneven_sampling_distances_and_neighbours_gain_most(board):
    of = board.loc[UNIFORM]
    assert of.loc["unbiased", "d2_error_ratio"] <= 0.30 and of.loc["unbiased", "d2_correlation"] >= 0.75
    assert of.loc["unbiased", "knn_recall_distances"] >= 2 * of.loc["mean_fill", "knn_recall_distances"]


def test_a_raised_constant_ruins_the_published_formula_and_not_ours(board):
    error = board["d2_error"][LOGIT]
    assert error["unbiased"] < 0.15 and error["authors"] > 0.5


@pytest.mark.parametrize("task", ["constant:p=0.5", "authors", UNIFORM])
def test_the_leading_subspace_is_about_as_good_as_that_of_the_mean_fill(board, task):
    assert abs(board.loc[(task, "unbiased"), "sin_theta_change"]) <= 0.06
