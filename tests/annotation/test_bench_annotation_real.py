"""Real labelled cells: markers and a small reference name them, and smoothing does what it is known to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from corpuscle.benchmarks import annotation

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
LYMPH = DATA / "annotation" / "human_lymph_330.h5ad"
MAP = Path(__file__).parent / "label_map.tsv"

pytestmark = pytest.mark.skipif(not LYMPH.exists(), reason=f"{LYMPH} is not there; set CORPUSCLE_DATA")


@pytest.fixture(scope="module")
def result():
    return annotation.benchmark(
        [LYMPH],
        ["markers", "ucell", "reference", "noise:fraction=0.4"],
        label_map=MAP,
        organs=["blood", "lymph-node"],
        seeds=2,
    )


def test_nothing_fails_and_every_type_is_judged(result):
    assert len(result.failures) == 0
    assert result.extras["types"].groupby(["task", "method", "seed"]).size().eq(11).all()


def test_markers_and_a_small_reference_name_most_cells(result):
    of = result.leaderboard().set_index(["task", "method"])["accuracy"]
    assert of["markers", "raw"] > 0.65 and of["reference", "raw"] > 0.8
    assert of["markers", "grit"] > of["markers", "raw"]


def test_independent_noise_is_repaired_and_a_shuffled_graph_repairs_nothing(result):
    of = result.leaderboard().set_index(["task", "method"])["accuracy"]
    assert of["noise:fraction=0.4", "grit"] > of["noise:fraction=0.4", "raw"] + 0.15
    assert (of.xs("grit_permuted", level="method") < of.xs("raw", level="method")).all()


def test_wrong_labels_are_far_in_the_ontology_and_right_ones_are_not(result):
    board = result.leaderboard().set_index(["task", "method"])
    assert 0 < board.loc[("reference", "raw"), "ontology_distance"] < 1
    assert (
        board.loc[("markers", "grit_permuted"), "ontology_distance"]
        > board.loc[("markers", "raw"), "ontology_distance"]
    )
