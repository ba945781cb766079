"""On real cells: by how much distances and neighbours improve on both fills, and what does not."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from corpuscle.benchmarks.missingness._data import truths
from corpuscle.benchmarks.missingness.masks import draw_mask, parse_mask
from corpuscle.benchmarks.missingness.methods import parse_method
from corpuscle.benchmarks.missingness.metrics import judge, reference

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
PBMC = DATA / "clustering" / "pbmc_4271_hvg.h5ad"
pytestmark = pytest.mark.skipif(not PBMC.exists(), reason=f"{PBMC} is not there; set CORPUSCLE_DATA")


@cache
def complete():
    (source,) = truths([PBMC])
    found = source.draw(0)
    return found, reference(found.x_nd, found.code_n, 0)


@cache
def scores(mask: str, method: str) -> dict[str, float]:
    data, truth = complete()
    drawn, made = draw_mask(parse_mask(mask), data.x_nd, 0, "pbmc"), parse_method(method)
    return judge(made(drawn.given(made)), truth)


@pytest.mark.parametrize("mask", ["constant:p=0.5", "authors"])
def test_distances_are_three_times_as_exact_as_those_of_both_fills(mask: str):
    fills = [scores(mask, word)["d2_error"] for word in ("zero_fill", "mean_fill")]
    assert scores(mask, "unbiased")["d2_error"] <= 0.35 * min(fills)


def test_under_uneven_holes_distances_and_neighbours_improve_and_the_subspace_does_not():
    mask = "uniform:low=0.2"
    ours, mean = scores(mask, "unbiased"), scores(mask, "mean_fill")
    assert ours["d2_error"] <= 0.30 * mean["d2_error"]
    assert ours["d2_error"] <= 0.25 * max(mean["d2_error"], scores(mask, "zero_fill")["d2_error"])
    assert ours["d2_correlation"] >= 0.75
    assert ours["knn_recall_distances"] >= 2 * mean["knn_recall_distances"]
    assert abs(ours["sin_theta"] - mean["sin_theta"]) < 0.06


def test_very_uneven_holes_break_the_published_divisor_and_not_ours():
    mask = "logit_normal:sd=1.2"
    assert scores(mask, "unbiased")["d2_error"] < 0.15
    assert scores(mask, "authors")["d2_error"] > 0.7


def test_with_one_entry_in_twenty_missing_little_changes():
    ours = scores("constant:p=0.95", "unbiased")
    assert ours["d2_error"] < 0.05 and ours["sin_theta"] < 0.3


def test_mild_dropout_distorts_less_with_the_consensus_and_all_zeros_missing_is_destructive():
    none, consensus, zeros = (
        scores(f"dropout:low=0.6,mask={policy}", "unbiased") for policy in ("none", "consensus", "zeros")
    )
    assert consensus["sin_theta"] < none["sin_theta"] - 0.05
    assert zeros["d2_error"] > 2 * none["d2_error"]
