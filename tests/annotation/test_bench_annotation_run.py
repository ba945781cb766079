"""The annotation benchmark as a user meets it: rows for everything, the same scores for all, no label leaked."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import pytest
from fake_annotation import BadScores, Marked, Mode, Spy, made_cells

from corpuscle.benchmarks import annotation
from corpuscle.benchmarks._labelled import LabelledCells
from corpuscle.benchmarks.annotation._draw import Draw, draw_cells
from corpuscle.benchmarks.annotation._sources_given import Noise
from corpuscle.benchmarks.annotation.compare import compare, paired
from corpuscle.benchmarks.annotation.refinements import BUILT_IN, parse_refinement
from corpuscle.benchmarks.annotation.sources import parse_source
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import COLUMNS, Result

bench = partial(annotation.benchmark, seeds=2, n_neighbors=6)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cells")
    paths = [folder / "one.h5ad", folder / "two.h5ad"]
    for seed, path in enumerate(paths):
        made_cells(seed=seed).write_h5ad(path)
    return paths


@pytest.fixture(scope="module")
def result(files) -> Result:
    return bench(
        files, [Marked(), "noise:fraction=0.3", BadScores("raises")], ["grit_permuted", "grit:lam=5", Mode("raises")]
    )


def calls(log):
    return log.read_text().splitlines() if log.exists() else []


# -- rows --------------------------------------------------------------------------------------------------------


def test_every_run_is_a_row_that_says_what_its_scores_were_told(result):
    assert list(result.table) == COLUMNS
    told = dict(result.details[["task", "told"]].drop_duplicates().itertuples(index=False, name=None))
    assert told == {"marked": "the types", "noise:fraction=0.3": "the labels", "raises": "the types"}
    methods = {"raw", "majority_vote", "grit", "grit:lam=5", "grit_permuted", "raises"}
    assert set(result.details["method"]) == methods
    assert len(result.details) == 2 * 2 * 3 * len(methods)
    done = result.details[result.details["status"] == "ok"]
    assert (done["n"] == 72).all() and (done["n_types"] == 3).all()


def test_raw_majority_vote_and_the_published_method_take_part_whatever_was_asked(files):
    found = bench(files[:1], [Marked()], [Mode()], seeds=1)
    assert set(found.details["method"]) == {"raw", "majority_vote", "grit", "mode"}


def test_no_table_has_accuracy_alone(result):
    metrics = set(result.table["metric"])
    assert {"accuracy", "macro_f1", "balanced_accuracy", "worst_f1", "ece", "brier", "ontology_distance"} <= metrics
    types = result.extras["types"]
    assert {"raw", "majority_vote", "grit"} <= set(types["method"]) and types["f1"].notna().all()
    assert set(types["type"]) == {"B cell", "monocyte", "natural killer cell"}
    assert {"acc", "macro F1", "worst type", "F1 from raw"} <= set(result.summary().columns)


def test_smoothing_repairs_independent_errors_and_the_shuffled_graph_does_not(result):
    of = result.leaderboard().set_index(["task", "method"])["accuracy"]
    for task in ("marked", "noise:fraction=0.3"):
        assert of[task, "grit"] > of[task, "raw"] + 0.05
        assert of[task, "grit_permuted"] < of[task, "raw"]


def test_raw_changes_nothing_and_every_change_is_counted(result):
    done = result.details[result.details["status"] == "ok"]
    raw = done[done["method"] == "raw"]
    assert (raw[["changed", "wrong_to_right", "right_to_wrong", "n_erased"]] == 0).all(axis=None)
    merged = done.merge(
        raw[["dataset", "task", "seed", "accuracy"]], on=["dataset", "task", "seed"], suffixes=("", "_raw")
    )
    gain = (merged["wrong_to_right"] - merged["right_to_wrong"]) / merged["n"]
    np.testing.assert_allclose(merged["accuracy"] - merged["accuracy_raw"], gain, atol=1e-12)
    assert (merged["changed"] * merged["n"] >= merged["wrong_to_right"] + merged["right_to_wrong"] - 1e-9).all()


def test_a_type_that_vanishes_is_named(files):
    found = bench(files[:1], [Marked(wrong=0.0)], [Mode()], seeds=1)
    row = found.details.query("method == 'mode'").iloc[0]
    assert row["n_erased"] == 2 and row["erased"] == "monocyte, natural killer cell"
    assert row["macro_f1"] < 0.2 and row["accuracy"] == pytest.approx(0.33, abs=0.1)


# -- failures ----------------------------------------------------------------------------------------------------


def test_scores_that_fail_are_one_line_a_seed_and_a_failed_row_for_each_refinement(result):
    failed = result.failures[result.failures["method"] == "raises"]
    assert set(failed["stage"]) == {"scores, seed 0", "scores, seed 1"} and len(failed) == 4
    assert set(failed["reason"]) == {"ValueError: no luck"}
    rows = result.details[result.details["task"] == "raises"]
    assert (rows["status"] == "failed").all() and rows["accuracy"].isna().all()


def test_a_refinement_that_fails_stops_no_other(result):
    rows = result.details[(result.details["method"] == "raises") & (result.details["task"] == "marked")]
    assert (rows["reason"] == "RuntimeError: no luck").all() and len(rows) == 4
    assert set(result.failures["method"]) == {"raises", "marked, raises", "noise:fraction=0.3, raises"}


@pytest.mark.parametrize(
    ("name", "words"),
    [("exits", "enough"), ("short", "to be judged"), ("unmapped", "each column"), ("none", "NoneType")],
)
def test_whatever_scores_do_wrong_the_next_source_still_runs(name, words):
    found = bench([made_cells()], [BadScores(name), Marked()], ["raw"], seeds=1)
    assert words in found.failures["reason"].iloc[0]
    assert set(found.details.query("status == 'ok'")["task"]) == {"marked"}


@pytest.mark.parametrize(("name", "words"), [("beyond", "one of 3 columns"), ("nothing", "NoneType")])
def test_whatever_a_refinement_returns_is_checked(name, words):
    found = bench([made_cells()], [Marked()], [Mode(name)], seeds=1)
    assert words in found.failures["reason"].iloc[0]


def test_a_refinement_that_changes_its_scores_spoils_no_other(files):
    alone = bench(files[:1], [Marked()], ["raw"], seeds=1)
    beside = bench(files[:1], [Marked()], [Mode("spoils"), "raw"], seeds=1)
    for found in (alone, beside):
        found.details.set_index("method", inplace=True)
    for method in ("raw", "grit", "majority_vote"):
        assert alone.details.loc[method, "macro_f1"] == beside.details.loc[method, "macro_f1"]


def test_what_is_undefined_is_nan_with_its_reason():
    cells = made_cells(labels=("blorp", "monocyte", "natural killer cell"))
    found = bench([cells], [Marked()], [Mode("unsure")], seeds=1)
    row = found.details.query("method == 'unsure'").iloc[0]
    assert np.isnan(row["ece"]) and np.isnan(row["brier"]) and np.isnan(row["ontology_distance"])
    assert "no reported confidence" in row["reason"] and "no Cell Ontology id" in row["reason"]
    assert "blorp" in found.run["inputs"][0]["note"]


def test_a_source_that_cannot_be_used_stops_only_itself(files, tmp_path):
    unlabelled = made_cells()
    del unlabelled.obs["cell_type"]
    unlabelled.write_h5ad(tmp_path / "unlabelled.h5ad")
    (tmp_path / "broken.h5ad").write_bytes(files[0].read_bytes()[:3000])
    given = [tmp_path / "none.h5ad", tmp_path / "unlabelled.h5ad", tmp_path / "broken.h5ad", files[0]]
    found = bench(given, [Marked()], ["raw"], seeds=1)
    assert len(found.failures) == 3 and set(found.failures["stage"]) == {"open"}
    assert set(found.details["dataset"]) == {"one"}


def test_too_few_cells_for_a_graph_is_a_reason():
    found = annotation.benchmark([made_cells(n=12)], [Marked()], ["raw"], seeds=1)
    assert "10 cells have no graph of 15 neighbours" in found.failures["reason"].iloc[0]


# -- what scores and refinements may see -------------------------------------------------------------------------


def test_scores_see_no_label_unless_they_say_that_they_need_them():
    spy, told = Spy(), Spy(needs_labels=True)
    told.name = "told"
    bench([made_cells()], [spy, told], ["raw"], seeds=1)
    assert (spy._seen[0].code_n == -1).all() and not len(spy._seen[0].cells.obs.columns)
    assert not len(spy._seen[0].counts.obs.columns)
    assert set(told._seen[0].code_n) == {0, 1, 2}


def test_the_cells_of_a_seed_are_drawn_once_for_all_scores():
    one, two = Spy(), Spy()
    two.name = "two"
    bench([made_cells()], [one, two], ["raw"])
    for a, b in zip(one._seen, two._seen, strict=True):
        np.testing.assert_array_equal(a.row_n, b.row_n)
    assert one._seen[0].row_n.tolist() != one._seen[1].row_n.tolist()
    assert one._seen[0].n_cells == 72


def draw_of(cells, seed=0, share=0.8) -> Draw:
    counts = cells[:, :].copy()
    names = sorted(set(cells.obs["cell_type"]))
    code_n = np.array([names.index(one) for one in cells.obs["cell_type"]])
    ids = ("CL:0000236", "CL:0000576", "CL:0000623")
    labelled = LabelledCells("made", counts, code_n, tuple(names), ids, cells.obs, cells, np.arange(cells.n_obs))
    return draw_cells(labelled, seed, share, n_neighbors=6)


def test_a_reference_is_never_judged_on_a_cell_it_learned_from():
    from corpuscle.benchmarks.annotation._sources_learned import _few_cells

    draw = draw_of(made_cells(n=120))
    learnt = _few_cells(draw, 10)
    assert np.bincount(draw.cells.code_n[learnt]).tolist() == [10, 10, 10]
    outside = np.setdiff1d(np.arange(120), draw.row_n)
    per_type = np.bincount(draw.cells.code_n[outside], minlength=3)
    taken = np.bincount(draw.cells.code_n[np.intersect1d(learnt, outside)], minlength=3)
    assert (taken == np.minimum(per_type, 10)).all(), "cells that were not drawn are learned from first"
    scored = parse_source("reference")(draw, 0)
    assert not np.isin(draw.row_n[scored.judged_n], learnt).any()
    assert len(scored.judged_n) == draw.n_cells - np.isin(draw.row_n, learnt).sum()
    right = scored.scores.best_n() == draw.code_n[scored.judged_n]
    assert right.mean() > 0.9


def test_a_small_type_is_learned_from_at_most_half_of_its_cells():
    from corpuscle.benchmarks.annotation._sources_learned import _few_cells

    draw = draw_of(made_cells(n=30))
    assert np.bincount(draw.cells.code_n[_few_cells(draw, 10)]).tolist() == [5, 5, 5]


def test_a_reference_on_one_batch_is_judged_on_the_others():
    draw = draw_of(made_cells(n=120), seed=1)
    scored = parse_source("reference:batch=batch")(draw, 1)
    assert set(draw.cells.obs["batch"].to_numpy()[draw.row_n[scored.judged_n]]) == {"b0"}
    assert parse_source("reference:batch=batch").told == "the labels of one batch"
    with pytest.raises(OptionError, match="no obs column 'plate'"):
        parse_source("reference:batch=plate")(draw, 1)


@pytest.mark.parametrize("word", ["markers", "prototypes", "markers:scoring=ulm,organs=blood"])
def test_built_in_scores_find_types_by_their_markers(word):
    draw = draw_of(made_cells())
    scored = parse_source(word)(draw, 0)
    found = np.asarray(scored.code_k)[scored.scores.best_n()]
    assert (found == draw.code_n).mean() > 0.8


def test_noise_is_the_truth_with_a_share_of_random_types():
    draw = draw_of(made_cells(n=3000), share=1.0)
    for fraction in (0.0, 0.4, 1.0):
        right = Noise(fraction)(draw, 3).scores.best_n() == draw.code_n
        assert right.mean() == pytest.approx(1 - fraction * 2 / 3, abs=0.03)
    np.testing.assert_array_equal(Noise()(draw, 3).scores.values_nk, Noise()(draw, 3).scores.values_nk)


def test_scores_of_a_file_are_matched_by_name_or_id_and_by_cell(tmp_path):
    cells = made_cells()
    truth = pd.get_dummies(cells.obs["cell_type"]).astype(float)
    truth = truth.rename(columns={"monocyte": "CL:0000576 cells"})[
        ["natural killer cell", "CL:0000576 cells", "B cell"]
    ]
    truth["Purkinje cell"] = -1.0
    cells.obsm["mine"] = truth
    path = tmp_path / "cells.h5ad"
    cells.write_h5ad(path)
    for given in (cells, path):
        draw = draw_of(cells)
        draw = replace(draw, cells=replace(draw.cells, source=given))
        scored = parse_source("scores:mine")(draw, 0)
        code_k = np.asarray(scored.code_k)
        assert code_k[[0, 2]].tolist() == [2, 0] and code_k[3] == -1
        known = draw.code_n != 1
        assert (code_k[scored.scores.best_n()] == draw.code_n)[known].all()
        assert "Purkinje cell" in scored.notes[0]


# -- resuming, order, seeds --------------------------------------------------------------------------------------


def test_finished_runs_are_not_done_again_and_the_numbers_are_the_same(files, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    given = [Marked(log=log)], [Mode(log=log), "propagate"]
    first = bench(files, *given, out=out)
    n_calls = len(calls(log))
    assert n_calls == 2 * 2 * 2
    again = bench(files, *given, out=out)
    assert len(calls(log)) == n_calls
    pd.testing.assert_frame_equal(first.details, again.details)
    parts = sorted((out / "parts").iterdir())
    parts[0].unlink()
    parts[1].write_text("damaged")
    mended = bench(files, *given, out=out)
    measured = ["seconds", "peak_mib"]
    pd.testing.assert_frame_equal(first.details.drop(columns=measured), mended.details.drop(columns=measured))


def test_results_are_the_same_bytes_for_the_same_seeds(files, tmp_path):
    csv = [
        (bench(files[:1], ["noise"], ["guarded", "gated_knn"]).save(tmp_path / str(i)) / "results.csv").read_bytes()
        for i in range(2)
    ]
    assert csv[0] == csv[1]
    other = bench(files[:1], ["noise"], ["guarded", "gated_knn"], seed=7).save(tmp_path / "other") / "results.csv"
    assert other.read_bytes() != csv[0]


def test_another_refinement_changes_no_number_of_the_others(files):
    few = bench(files[:1], [Marked()], ["raw"])
    many = bench(files[:1], ["noise", Marked()], list(BUILT_IN))
    columns = ["dataset", "method", "seed", "accuracy", "macro_f1", "ece"]
    left = few.details[columns].reset_index(drop=True)
    right = many.details[
        (many.details["task"] == "marked") & many.details["method"].isin(["raw", "grit", "majority_vote"])
    ]
    pd.testing.assert_frame_equal(left, right[columns].reset_index(drop=True))
    assert len(many.failures) == 0


def test_a_place_that_cannot_be_written_is_said_before_any_work(files, tmp_path):
    (tmp_path / "file").write_text("")
    log = tmp_path / "log"
    with pytest.raises(OutputError):
        bench(files, [Marked(log=log)], ["raw"], out=tmp_path / "file" / "out")
    assert not calls(log)


# -- comparisons -------------------------------------------------------------------------------------------------


def made_details(differences: list[float], metric="macro_f1") -> pd.DataFrame:
    rows = []
    for i, difference in enumerate(differences):
        for method, value in (("raw", 0.5), ("grit", 0.5 + difference)):
            row = dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), 0.5) | {metric: value}
            rows.append(
                {"dataset": f"set{i}", "task": "m", "told": "x", "method": method, "seed": 0, "status": "ok", **row}
            )
    return pd.DataFrame(rows)


def test_differences_from_raw_are_tested_over_data_sets_and_harm_is_counted():
    found = compare(paired(made_details([0.1, 0.1, 0.2, 0.1, 0.3, -0.011, 0.005])), 0).set_index("metric")
    row = found.loc["macro_f1"]
    assert (
        row["n_sets"] == 7 and row["n_harmed"] == 1 and row["n_better"] == 6 and row["worst"] == pytest.approx(-0.011)
    )
    assert row["difference"] == pytest.approx(np.mean([0.1, 0.1, 0.2, 0.1, 0.3, -0.011, 0.005]))
    assert 0 < row["p"] < 0.1 and found.loc["accuracy", "n_harmed"] == 0


def test_few_data_sets_are_not_tested():
    row = compare(paired(made_details([0.1] * 5)), 0).iloc[0]
    assert np.isnan(row["p"]) and row["note"] == "not testable: 5 data sets"


def test_only_seeds_that_both_did_are_compared():
    details = made_details([0.1])
    extra = details[details["method"] == "raw"].assign(seed=1, macro_f1=0.0)
    pairs = paired(pd.concat([details, extra], ignore_index=True))
    assert pairs.query("metric == 'macro_f1'")["difference"].tolist() == pytest.approx([0.1])


# -- words -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scores", "refinements", "words"),
    [
        (["marker"], None, "marker"),
        (["markers", "markers"], None, "given twice"),
        (["noise:fraction=2"], None, "between 0 and 1"),
        (["noise:part=0.2"], None, "part"),
        (["scores"], None, "scores:KEY"),
        (["reference:per_type=0"], None, "per_type"),
        ([object()], None, "no source of scores"),
        (None, ["gritt"], "gritt"),
        (None, ["grit:lambda=2"], "lambda"),
        (None, ["grit", "grit"], "given twice"),
        (None, [object()], "no refinement"),
    ],
)
def test_a_wrong_word_is_said_before_any_work(files, scores, refinements, words):
    with pytest.raises(OptionError) as caught:
        bench(files, scores, refinements)
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"share": 0.0}, "share"), ({"n_neighbors": 1}, "n_neighbors"), ({"seeds": 0}, "seed"),
        ({"organs": ["bloood"]}, "bloood"),
    ],
)  # fmt: skip
def test_a_wrong_option_is_said_before_any_work(files, options, words):
    with pytest.raises(OptionError, match=words):
        bench(files, [Marked()], ["raw"], **options)
    with pytest.raises(SourceError, match="no source"):
        bench([])


def test_parameters_become_part_of_the_name():
    assert parse_refinement("grit:lam=5").name == "grit:lam=5" and parse_refinement("grit:lam=5").lam == 5.0
    assert parse_source("noise:fraction=0.1").name == "noise:fraction=0.1"
    assert parse_source("reference:per_type=3").told == "3 labelled cells a type"
    assert parse_source("scores:X_celltypist").name == "scores:X_celltypist"
