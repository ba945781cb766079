"""The page, boards and plots of a text result: new types stand apart with the plain truth, and names stay text."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from made_result import METHODS, made_result
from tests.pages import Seen, rows_of

import corpuscle.benchmarks.text.display  # noqa: F401 - registers the page
from corpuscle.benchmarks.text.display.findings import headline, learnt, unsaid
from corpuscle.benchmarks.text.display.standings import leaderboard, main_method, tasks_of, unseen_means
from corpuscle.errors import OptionError
from corpuscle.report import Result
from corpuscle.report.format import fixed

HOSTILE = "<script>alert(1)</script>\"'&\u2028</style><!--"
WORDING = "new_wording: {label}"


@pytest.fixture(scope="module")
def result() -> Result:
    return made_result()


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return result.html()


def section(html, id):
    """A section of the page, with the panels in it."""
    return html.split(f'<section id="{id}"')[1].split('<section id="')[0]


def accuracy_of(result, method, task="new_cells"):
    rows = result.details.query("task == @task and method == @method")
    return rows.groupby("dataset")["accuracy"].mean().mean()


# -- the first screen --------------------------------------------------------------------------------------------


def test_the_headline_says_new_cells_the_simple_method_and_new_types(result, html):
    ours, simple = (100 * accuracy_of(result, name) for name in ("celltext@pca", "logistic@pca"))
    types = result.extras["types"].query("task == 'new_types' and method == 'celltext@pca' and left_out")
    by_type = types.groupby(["dataset", "type"])["auc"].mean()
    assert headline(result) == (
        f"On new cells CellText finds the right caption in {ours:.1f} % (logistic regression on the same vectors "
        f"{simple:.1f} %); on types that it never saw its AUC is {by_type.groupby('dataset').mean().mean():.2f} "
        f"({(by_type < 0.5).sum()} of {len(by_type)} types below chance)"
    )
    assert headline(result) in Seen(html).texts


def test_the_headline_is_about_the_first_vectors_and_never_the_best(result):
    methods = {"celltext@pca": ("captions", 0.2, None), "celltext@hvg": ("captions", 5.0, None)}
    found = made_result(methods=methods, tasks=["new_cells"])
    assert main_method(found) == "celltext@pca"
    assert headline(found).startswith("On new cells CellText (celltext@pca) finds")
    found.run["parameters"]["embeddings"] = ["hvg:n=128", "pca"]
    assert main_method(found) == "celltext@hvg"
    assert "types that it never saw were not asked for" in headline(found)


def test_without_celltext_the_headline_does_not_speak_for_it():
    found = made_result(failing=["celltext@pca"], seeds=1, names=["one"], tasks=["new_cells"])
    assert headline(found).startswith("CellText has no score; on new cells logistic@pca finds")
    assert any("1 of 5 runs failed: celltext@pca (1)" in line for line in learnt(found))


def test_new_types_below_chance_are_named_with_their_auc(result):
    line = next(line for line in learnt(result) if line.startswith("New types, celltext@pca"))
    worst = result.extras["types"].query("task == 'new_types' and method == 'celltext@pca' and left_out")
    worst = worst.groupby(["type", "dataset"])["auc"].mean().sort_values()
    (name, dataset), auc = worst.index[0], worst.iloc[0]
    assert f"below 0.5 are {name} ({dataset}, {auc:.2f})" in line


def test_unsaid_names_what_was_not_run():
    one = {"celltext@pca": METHODS["celltext@pca"]}
    said = " ".join(unsaid(made_result(tasks=["new_cells"], seeds=1, names=["one"], methods=one)))
    for limit in (
        "1 data set is too few",
        "one draw",
        "no groups were held out",
        "none were left out",
        "of the others",
    ):
        assert limit in said
    more = ["new_cells", "held_out_groups", "other_study", "new_types"]
    said = " ".join(unsaid(made_result(tasks=more, methods=one, names=["one"])))
    assert "no groups" not in said and "none were left out" not in said and "sister type" in said


# -- boards ------------------------------------------------------------------------------------------------------


def test_every_task_has_a_board_and_new_types_come_last_and_apart(result, html):
    assert tasks_of(result) == ["new_cells", WORDING, "new_types"]
    boards = section(html, "leaderboard")
    assert "New wording: {label}" in boards and "New types</h3>" not in boards
    apart = section(html, "new-types")
    assert '<table id="unseen-0"' in apart and "AUC of 0.5 is chance" in apart
    boards = result.leaderboard().groupby("task")
    for i, board in enumerate(boards.get_group(name) for name in ("new_cells", WORDING)):
        shown = [re.sub("(baseline, text only|baseline|control)$", "", row[0]) for row in rows_of(html, f"board-{i}")]
        assert shown == list(board["method"])
        assert board.loc[board["kind"] != "control", "macro_f1"].is_monotonic_decreasing
        assert list(board["method"])[-1] == "shuffled@pca", "a control stands below all others"


def test_numbers_are_means_over_data_sets_with_spread_and_told(result, html):
    row = next(row for row in rows_of(html, "board-0") if row[0].startswith("logistic@pca"))
    spread = (
        result.details.query("task == 'new_cells' and method == 'logistic@pca'").groupby("dataset")["accuracy"].std()
    )
    assert row[0].endswith("baseline") and row[1] == METHODS["logistic@pca"][0]
    assert row[2].startswith(f"{fixed(accuracy_of(result, 'logistic@pca'))} ± {fixed(spread.mean())}")


def test_new_types_show_an_auc_below_chance_and_no_answer_as_undefined(result, html):
    rows = {re.sub("(baseline, text only|baseline|control)$", "", row[0]): row for row in rows_of(html, "unseen-0")}
    board = result.leaderboard().query("task == 'new_types'").set_index("method")
    low = board.at["celltext@pca", "unseen_auc"]
    assert low < 0.5 and rows["celltext@pca"][2].startswith(fixed(low))
    assert "8 of 8" in rows["celltext@pca"] and fixed(board.at["celltext@pca", "lowest_auc"]) in rows["celltext@pca"]
    assert rows["logistic@pca"][2] == "undefined", "a method that cannot say anything of a type has no AUC"
    seen = result.extras["types"].query("task == 'new_types' and method == 'celltext@pca' and not left_out")
    assert board.at["celltext@pca", "seen_auc"] == pytest.approx(seen.groupby(["dataset", "type"])["auc"].mean().mean())


def test_new_types_are_means_over_types_of_all_folds(result):
    means = unseen_means(result).set_index(["method", "dataset"])
    types = result.extras["types"].query("task == 'new_types' and method == 'logistic_text@pca' and left_out")
    types = types.query("dataset == 'one'")
    assert means.at[("logistic_text@pca", "one"), "unseen_auc"] == pytest.approx(types["auc"].mean())
    assert means.at[("logistic_text@pca", "one"), "n_types"] == types["type"].nunique() == 4


def test_the_board_of_a_failed_method_says_so():
    two = {name: METHODS[name] for name in ("celltext@pca", "majority")}
    found = made_result(methods=two, failing=["celltext@pca"], seeds=1, names=["one"], tasks=["new_cells", "new_types"])
    board = leaderboard(found)
    assert set(board.query("method == 'celltext@pca'")["n_sets"]) == {0}
    assert list(board.query("task == 'new_cells'")["method"])[-1] == "celltext@pca"
    html = found.html()
    assert "no luck" in html and "see Failures" in html


def test_the_summary_fits_a_terminal(result):
    summary = result.summary()
    assert max(len(line) for line in summary["method"]) <= 33
    assert "New types" in set(summary["method"])
    row = summary[summary["method"].str.strip() == "logistic@pca"].iloc[-1]
    assert row["AUC"] == "n/a"


# -- figures -----------------------------------------------------------------------------------------------------


def test_figures_have_a_row_a_method_and_a_type(result, html):
    new = section(html, "new-types")
    for name in ("B cell (one)", "platelet (two)"):
        assert f'data-method="{name}"' in new
    search = section(html, "search")
    assert search.count('data-method="platelet"') == 2, "a row in the panel of each data set"
    sets = section(html, "sets")
    assert sets.count('data-method="shuffled@pca"') == 3, "a row in the panel of each task"


def test_every_type_of_every_method_is_in_numbers(result, html):
    row = next(row for row in rows_of(html, "types-0") if row[:2] == ["platelet", "two"])
    types = result.extras["types"].query("task == 'new_cells' and type == 'platelet' and dataset == 'two'")
    assert row[3] == "saw it"
    for number in ("auc", "recall", "precision@10"):
        assert fixed(types.query("method == 'celltext@pca'")[number].mean()) in row
    last = rows_of(html, "types-2")
    assert [row[3] for row in last if row[:2] == ["platelet", "two"]] == ["saw it", "left out"]


@pytest.mark.parametrize("kind", ["tasks", "new_types", "search"])
def test_plots_are_drawn(result, kind, tmp_path):
    result.plot(kind).savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_plots_of_what_was_not_run_say_so():
    found = made_result(tasks=["new_cells"], seeds=1, names=["one"])
    with pytest.raises(OptionError, match="add new_types"):
        found.plot("new_types")


# -- any result --------------------------------------------------------------------------------------------------


def test_hostile_names_stay_text(html, tmp_path):
    types = (f"B{HOSTILE}", "monocyte", "natural killer cell", "platelet")
    methods = {f"celltext:{HOSTILE}@pca": (HOSTILE, 1.0, 0.2), "logistic_text@pca": ("x", 1.0, 0.5)}
    found = made_result(types=types, methods=methods, names=[f"one{HOSTILE}"], seeds=1)
    clean, seen = Seen(html), Seen(found.html())
    assert "<script>alert" not in found.html()
    assert [tag for tag, _ in seen.tags].count("script") == [tag for tag, _ in clean.tags].count("script")
    known = {name for _, attrs in clean.tags for name in attrs}
    assert {name for _, attrs in seen.tags for name in attrs} <= known, "a name broke out of an attribute"
    assert any(HOSTILE in text for text in seen.texts), "the name is still shown as it is"
    for kind in ("tasks", "new_types", "search"):
        found.plot(kind).savefig(tmp_path / "plot.png", dpi=40)


def test_a_dollar_in_a_name_is_no_formula(tmp_path):
    methods = {"celltext:a=$\\nope$@pca": ("x", 1.0, 0.2)}
    made_result(methods=methods, names=["$x_{$"], seeds=1).plot("tasks").savefig(tmp_path / "plot.png", dpi=40)


def test_every_anchor_leads_somewhere_and_ids_are_unique(html):
    seen = Seen(html)
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in seen.values("href") if href.startswith("#")} <= set(ids)
    assert not re.search(r"https?:", html)
    assert not re.search(r">\s*nan\s*<", html, re.IGNORECASE)


@pytest.mark.parametrize("missing", ["types", "notes", "paired", "comparisons"])
def test_page_stands_without_any_one_table(result, missing):
    kept = {name: frame for name, frame in result.extras.items() if name != missing}
    assert replace(result, extras=kept).html().endswith("</html>")


def test_page_of_a_run_in_which_everything_failed():
    found = made_result(failing=list(METHODS), seeds=1, names=["one"])
    html = found.html()
    assert "No method could be judged" in html and "no luck" in html
    assert found.leaderboard()["n_sets"].sum() == 0
    with pytest.raises(OptionError, match="nothing to plot"):
        found.plot("tasks")


def test_a_saved_result_shows_the_same_page_and_board(result, tmp_path):
    loaded = Result.load(result.save(tmp_path))
    assert loaded.html() == result.html()
    np.testing.assert_array_equal(result.leaderboard()["macro_f1"], loaded.leaderboard()["macro_f1"])
