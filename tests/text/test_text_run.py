"""The benchmark of cells and words as a user meets it: rows for everything, new types apart, nothing done twice."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fake_text import TYPES, UNABLE, Bad, Drawn, Guess, Reader, Silent, Stops, made_cells, made_draw
from text_cells import small_pbmc

from corpuscle.benchmarks import text
from corpuscle.benchmarks._parts import pack_frame
from corpuscle.benchmarks.text import _entrants, run
from corpuscle.benchmarks.text._entrants import entrants
from corpuscle.benchmarks.text._one import attempt
from corpuscle.benchmarks.text.metrics import METRICS, judge
from corpuscle.benchmarks.text.tables import over_folds
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import COLUMNS, Result

bench = partial(text.benchmark, seeds=2, folds=2, setups=["new_cells", "new_types"], wordings=["{label}"])
MEASURED = ["seconds", "peak_mib"]


@pytest.fixture
def drawn(monkeypatch):
    """Draws that are made up, and no method but those that are asked for."""
    made = Drawn()
    monkeypatch.setattr(run, "plans", made.plans)
    monkeypatch.setattr(_entrants, "ALWAYS", ())
    return made


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / "one.h5ad", tmp_path / "two.h5ad"]
    for seed, path in enumerate(paths):
        made_cells(seed=seed).write_h5ad(path)
    return paths


def calls(log):
    return log.read_text().splitlines() if log.exists() else []


# -- rows --------------------------------------------------------------------------------------------------------


def test_every_question_is_a_row_and_new_types_are_a_task_of_their_own(drawn, files):
    found = bench(files, [Reader(), Guess("guess")], embeddings=["pca", "hvg:n=4"])
    assert isinstance(found, Result) and list(found.table) == COLUMNS
    assert set(found.details["method"]) == {"reader@pca", "reader@hvg", "guess"}
    assert set(found.details["task"]) == {"new_cells", "new_wording: {label}", "new_types"}
    assert len(found.details) == 2 * 3 * 3 * 2 and (found.details["status"] == "ok").all()
    assert set(METRICS) == set(found.table["metric"])
    of = found.details.set_index(["task", "method"]).sort_index()
    assert of.loc[("new_wording: {label}", "guess"), "n_asked"].eq(3).all()
    assert of.loc[("new_types", "reader@pca"), ["n", "n_types", "n_folds"]].eq([40, 4, 2]).all(axis=None)
    assert set(found.details["told"]) == {"the types"}
    assert found.run["parameters"]["methods"] == ["reader@pca", "reader@hvg", "guess"]
    assert [one["dataset"] for one in found.run["inputs"]] == ["one", "two"]
    assert found.details["sha256"].nunique() == 2


def test_every_type_is_left_out_once_a_seed_and_stands_beside_new_ones_with_its_mean(drawn):
    found = bench([made_cells()], [Reader()])
    types = found.extras["types"].query("task == 'new_types' and seed == 1")
    assert sorted(types.loc[types["left_out"], "type"]) == sorted(types.loc[~types["left_out"], "type"]) == list(TYPES)
    row = found.details.query("task == 'new_types' and seed == 1").iloc[0]
    assert row["mean_auc"] == pytest.approx(types.loc[types["left_out"], "auc"].mean())
    assert np.isnan(row["cell_precision@10"]) and "no training cell has one of these types" in row["reason"]


def test_folds_together_are_what_one_judgement_of_all_left_out_cells_would_be():
    """Parts of three types and of one: every type counts as one type, and every cell as one cell."""
    rng, types = np.random.default_rng(0), tuple("abcd")
    truth = rng.choice(types, 90, p=[0.1, 0.2, 0.3, 0.4]).tolist()
    score_mk = rng.normal(size=(90, 4)) + (np.asarray(truth)[:, None] == np.asarray(types))

    def judged(*gone):
        return judge(score_mk, truth, types, text.Question("new_types", tuple("wxyz"), gone), gone, None)

    parts = [judged("a", "b", "d"), judged("c")]
    outcomes = [{"numbers": one.numbers, "types": pack_frame(one.types), "n": one.n} for one in parts]
    (numbers, merged), whole = over_folds(outcomes), judged(*types)
    for metric in METRICS:
        assert numbers[metric] == pytest.approx(whole.numbers[metric], nan_ok=True), metric
    assert 0.2 < numbers["accuracy"] < 0.9 and numbers["accuracy"] != np.mean(
        [one.numbers["accuracy"] for one in parts]
    )
    assert merged[merged["judged"]]["type"].tolist() == list(types)
    assert over_folds(outcomes[::-1])[0] == pytest.approx(numbers, nan_ok=True)


def test_types_of_which_a_method_says_nothing_add_up_over_folds(drawn):
    row = bench([made_cells()], [Silent()], seeds=1).details.set_index("task")
    assert row.loc["new_types", "unanswered"] == 1 and row.loc["new_cells", "unanswered"] == 1
    assert 0 < row.loc["new_types", "mean_auc"] < 1


def test_means_over_data_sets_are_means_of_means_over_seeds(drawn, files):
    found = bench(files, [Reader(weight=0.4)])
    runs = found.details.query("task == 'new_cells'").groupby("dataset")["accuracy"].mean()
    row = found.table.query("dataset == 'all' and task == 'new_cells' and metric == 'accuracy'").iloc[0]
    assert row["value"] == pytest.approx(runs.mean()) and row["n"] == 2
    assert runs.min() - 1e-9 <= row["ci_low"] <= row["ci_high"] <= runs.max() + 1e-9


# -- failures ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "stage", "words"),
    [
        ("raises", "training", "ValueError: no luck"), ("exits", "training", "enough"),
        ("nothing", "training", "NoneType"), ("short", "scores", "39"), ("widths", "judgement", "two widths"),
    ],
)  # fmt: skip
def test_a_method_that_fails_is_a_row_of_every_task_and_stops_no_other(drawn, name, stage, words):
    found = bench([made_cells()], [Bad(name), Reader()], seeds=1)
    failed = found.details[found.details["method"] == f"{name}@pca"]
    assert set(failed["task"]) == {"new_cells", "new_wording: {label}", "new_types"}
    assert (failed["status"] == "failed").all() and failed[list(METRICS)].isna().all(axis=None)
    assert failed["reason"].str.contains(words).all()
    assert found.failures["stage"].str.contains(stage).all() and found.failures["reason"].str.contains(words).all()
    assert len(found.failures) == 4  # one for each question of each draw
    assert (found.details.query("method == 'reader@pca'")["status"] == "ok").all()
    assert set(found.table["method"]) == {"reader@pca"}


def test_a_question_that_fails_costs_no_other_question_and_is_asked_again(drawn, tmp_path):
    log = tmp_path / "log"
    for _ in range(2):
        found = bench([made_cells()], [Bad("wording", log=log)], seeds=1, setups=["new_cells"], out=tmp_path / "out")
        status = found.details.set_index("task")["status"]
        assert status.to_dict() == {"new_cells": "ok", "new_wording: {label}": "failed"}
    assert len(calls(log)) == 2


def test_a_seed_of_which_a_fold_failed_has_failed(drawn, monkeypatch):
    made = Reader()
    monkeypatch.setattr(
        made, "score", lambda texts, types: made._score_mk[: None if len(drawn.opened) < 3 else -1], raising=False
    )
    found = bench([made_cells()], [made], seeds=1).details.set_index("task")
    assert found.loc["new_cells", "status"] == "ok" and found.loc["new_types", "status"] == "failed"
    assert found.loc["new_types", "reason"].startswith("fold 1: ")


def test_a_draw_that_cannot_be_made_fails_all_its_runs_and_one_that_is_impossible_is_a_note(drawn, files, tmp_path):
    drawn.unable = {"one": UNABLE["broken"], "two": UNABLE["impossible"]}
    found = bench(files, [Reader(), Guess("guess")], seeds=1, setups=["new_cells"])
    assert set(found.details["dataset"]) == {"one"} and (found.details["reason"] == "a damaged file").all()
    assert found.failures["stage"].tolist() == ["new_cells, seed 0, fold 0"]
    assert found.extras["notes"]["note"].tolist() == ["two: new_cells is left out: nothing in common"]
    assert found.table.empty


def test_a_source_that_cannot_be_used_stops_only_itself(drawn, files, tmp_path):
    made_cells(types=("B cell",)).write_h5ad(tmp_path / "same.h5ad")
    (tmp_path / "broken.h5ad").write_bytes(files[0].read_bytes()[:3000])
    given = [tmp_path / "none.h5ad", tmp_path / "same.h5ad", tmp_path / "broken.h5ad", files[0]]
    found = bench(given, [Reader()], seeds=1)
    assert len(found.failures) == 3 and set(found.failures["stage"]) == {"open"}
    assert set(found.details["dataset"]) == {"one"} and len(found.run["inputs"]) == 1


def test_a_setup_that_a_data_set_cannot_do_is_said_once_whatever_the_seeds(drawn):
    found = bench([made_cells()], [Reader()], setups=["new_cells", "held_out_groups", "other_study"], seeds=3)
    notes = found.extras["notes"]
    assert notes["note"].str.contains("left out").sum() == 2
    assert set(notes.loc[notes["method"] == "reader@pca", "note"]) == {"reader was here"}
    assert set(found.details["task"]) == {"new_cells", "new_wording: {label}"}


# -- resuming, order, seeds --------------------------------------------------------------------------------------


def test_a_run_that_was_stopped_goes_on_where_it_was_and_ends_with_the_same_numbers(drawn, files, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    whole = bench(files, [Reader()])
    with pytest.raises(KeyboardInterrupt):
        bench(files, [Stops(5, log)], out=out)
    assert len(calls(log)) == 5 == len(list((out / "parts").iterdir()))
    drawn.opened.clear()
    again = bench(files, [Stops(-1, log)], out=out)
    assert len(calls(log)) == 12 and len(drawn.opened) == 7
    pd.testing.assert_frame_equal(whole.details.drop(columns=MEASURED), again.details.drop(columns=MEASURED))
    pd.testing.assert_frame_equal(whole.extras["types"], again.extras["types"])
    drawn.opened.clear()
    third = bench(files, [Stops(-1, log)], out=out)
    assert drawn.opened == [] and len(calls(log)) == 12, "a data set with all its parts there builds no draw"
    pd.testing.assert_frame_equal(again.details, third.details)
    pd.testing.assert_frame_equal(again.extras["notes"], third.extras["notes"])


def test_a_damaged_part_is_done_again_and_other_words_are_another_run(drawn, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    given = partial(bench, [made_cells()], [Reader(log=log)], seeds=1, setups=["new_cells"], out=out)
    first = given()
    next((out / "parts").iterdir()).write_text("damaged")
    mended = given()
    assert len(calls(log)) == 2
    pd.testing.assert_frame_equal(first.details.drop(columns=MEASURED), mended.details.drop(columns=MEASURED))
    given(caption="Here is a {label} cell.")
    given(wordings=[])
    assert len(calls(log)) == 4
    given()
    assert len(calls(log)) == 4


def test_another_study_changes_only_what_is_learned_from_it(drawn, files, tmp_path):
    log, out = tmp_path / "log", tmp_path / "out"
    made_cells(seed=7).write_h5ad(tmp_path / "three.h5ad")
    given = partial(bench, methods=[Reader(log=log)], seeds=1, setups=["new_cells", "other_study"], out=out)
    given(files)
    assert len(calls(log)) == 4
    drawn.opened.clear()
    given([*files, tmp_path / "three.h5ad"])
    assert sorted(drawn.opened) == [
        "one other_study 0 0", "three new_cells 0 0", "three other_study 0 0", "two other_study 0 0",
    ]  # fmt: skip


def test_results_are_the_same_for_the_same_seeds_and_others_for_others(drawn, files):
    def table(**options):
        return bench(files[:1], [Reader(weight=0.5)], **options).table.drop(columns=MEASURED)

    pd.testing.assert_frame_equal(table(), table(), check_exact=True)
    assert not table(seed=7)["value"].equals(table()["value"])
    by_seed = bench(files[:1], [Reader(weight=0.5)]).details.query("task == 'new_cells'")
    assert by_seed["mean_auc"].nunique() == 2


def test_another_method_or_embedding_changes_no_number_of_the_others(drawn):
    few = bench([made_cells()], [Reader()])
    many = bench([made_cells()], [Bad("raises"), Guess("guess"), Reader()], embeddings=["hvg:n=4", "pca"])
    kept = many.details[many.details["method"] == "reader@pca"].reset_index(drop=True)
    pd.testing.assert_frame_equal(few.details.drop(columns=MEASURED), kept.drop(columns=MEASURED))


def test_a_place_that_cannot_be_written_is_said_before_any_work(drawn, files, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError):
        bench(files, [Reader()], out=tmp_path / "file" / "out")
    assert drawn.opened == []


def test_a_part_that_cannot_be_kept_ends_the_run_and_is_no_failure_of_the_draw(drawn, tmp_path, monkeypatch):
    def refuse(self, key, outcome):
        raise OutputError("disk full")

    monkeypatch.setattr(run.Parts, "write", refuse)
    with pytest.raises(OutputError, match="disk full"):
        bench([made_cells()], [Reader()], out=tmp_path / "out")


# -- one run -----------------------------------------------------------------------------------------------------


def test_a_method_is_judged_by_its_cosines_and_a_wording_by_the_types_that_have_words():
    found = attempt(made_draw(), Reader(), "X_pca", 0)
    assert set(found.questions) == {"new_cells", "new_wording: {label}"} and not found.failed
    assert found.questions["new_wording: {label}"]["n"] == 30 and found.questions["new_cells"]["n"] == 40
    assert found.questions["new_cells"]["numbers"]["accuracy"] > 0.5
    assert found.seconds > 0 and found.words == ("reader was here",)


def test_progress_counts_every_run_once(drawn, files):
    said = []
    bench(
        files, [Reader(), Guess("guess")], progress=lambda *of: said.append(of), setups=["new_cells", "held_out_groups"]
    )
    assert [done for done, _, words in said if not words.endswith("the draw")] == list(range(8))
    assert said[-1][1] == 8 and "one: new_cells, seed 0, reader@pca" in {words for *_, words in said}


# -- words -------------------------------------------------------------------------------------------------------


def test_baselines_and_the_control_take_part_whatever_was_asked():
    found = entrants(["centroid", "logistic"], ["pca", "hvg:n=9"], ["X_pca", "X_hvg"])
    names = [one.name for one in found]
    assert names[:4] == ["centroid@pca", "centroid@hvg", "logistic@pca", "logistic@hvg"]
    assert {"logistic_text@pca", "shuffled@hvg", "majority"} <= set(names) and len(names) == len(set(names))
    by_name = {one.name: one for one in found}
    assert by_name["centroid@hvg"].vectors == "hvg:n=9" and by_name["majority"].key is None
    assert "celltext@pca" in [one.name for one in entrants(None, ["pca"], ["X_pca"])]


def test_a_change_of_any_code_that_draws_or_judges_makes_other_runs_of_all():
    room = Path(_entrants.__file__).parent
    modules = {file.stem for file in room.glob("*.py")} - {"__init__"}
    listed = {name.rpartition(".")[2] for name in (*_entrants.DRAWING, *_entrants.JUDGING) if ".text." in name}
    without = {"_entrants", "_runs", "run", "tables", "compare", "options"}  # they change no number of a draw
    assert modules - without - listed == {name for name in modules if name.startswith("_methods_")}


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (["celltextt"], "celltextt"), ("centroid,centroid", "given twice"), ([], "no method"),
        ("celltext:epoch=3", "epoch"), ([object()], "no method"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_said_before_any_work(drawn, files, methods, words):
    with pytest.raises(OptionError) as caught:
        bench(files, methods)
    assert words in str(caught.value) and "\n" not in str(caught.value) and drawn.opened == []


def test_a_wrong_option_is_said_before_any_work(drawn, files):
    with pytest.raises(OptionError, match="bloood"):
        bench(files, [Reader()], organs=["bloood"])
    with pytest.raises(OptionError, match="share"):
        bench(files, [Reader()], share=1.0)
    with pytest.raises(SourceError, match="no source"):
        bench([], [Reader()])
    assert drawn.opened == []


# -- the whole chain ---------------------------------------------------------------------------------------------


def test_real_cells_go_through_the_whole_chain(monkeypatch, tmp_path):
    monkeypatch.setattr(_entrants, "ALWAYS", ("logistic", "majority"))
    cells = small_pbmc("CD14+ Monocyte", "CD19+ B", "CD56+ NK", each=25)
    given = partial(
        bench, [cells], ["centroid"], seeds=1, folds=3, embeddings=["pca:n_components=8"], out=tmp_path / "out"
    )
    found = given()
    assert found.failures.empty and (found.details["status"] == "ok").all()
    of = found.details.set_index(["task", "method"]).sort_index()
    assert of.loc[("new_cells", "logistic@pca"), "accuracy"] > 0.8
    assert of.loc[("new_cells", "majority"), "mean_auc"] == 0.5
    assert of.loc[("new_types", "logistic@pca"), "unanswered"] == 3
    assert of.loc[("new_types", "logistic@pca"), "accuracy"] == 0
    monkeypatch.setattr(run.Plan, "open", lambda self: pytest.fail("nothing is left to be drawn"))
    pd.testing.assert_frame_equal(given().details, found.details)
