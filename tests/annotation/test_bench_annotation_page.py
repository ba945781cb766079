"""The page, boards and plots of an annotation result: harm is shown beside every gain, and names stay text."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fake_annotation import BadScores, Marked, Mode, made_cells
from tests.pages import Seen, rows_of

from corpuscle.benchmarks import annotation
from corpuscle.benchmarks.annotation.display.findings import learnt
from corpuscle.errors import OptionError
from corpuscle.report import Result
from corpuscle.report.format import fixed

HOSTILE = "<script>alert(1)</script>\"'&\u2028</style><!--"


@pytest.fixture(scope="module")
def result() -> Result:
    cells = [made_cells(seed=0), made_cells(seed=1)]
    return annotation.benchmark(
        cells, [Marked(), "noise:fraction=0.2", "noise:fraction=0.4", BadScores("raises")],
        ["guarded", "grit_permuted", Mode()], seeds=2, n_neighbors=6,
    )  # fmt: skip


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return result.html()


def test_raw_the_published_method_guards_and_the_vote_stand_side_by_side_for_both_metrics(result, html):
    head = html.split('<table id="by-set"')[1].split("</thead>")[0]
    for title in ("raw scores", "GRIT as published", "GRIT with guards", "majority vote"):
        assert head.count(title) == 2, "once for accuracy and once for macro F1"
    row = next(row for row in rows_of(html, "by-set") if row[:2] == ["AnnData", "marked"])
    details = result.details.query("dataset == 'AnnData' and task == 'marked'").groupby("method")
    shown = ["raw", "grit", "guarded", "majority_vote"]
    expected = [fixed(details[metric].mean()[method]) for metric in ("accuracy", "macro_f1") for method in shown]
    assert row[2:] == expected


def test_every_board_has_macro_f1_and_its_change_beside_accuracy(result, html):
    board = result.leaderboard()
    for i, task in enumerate(dict.fromkeys(board["task"])):
        rows = board[board["task"] == task]
        assert [row[0].removesuffix("control") for row in rows_of(html, f"board-{i}")] == list(rows["method"])
        head = html.split(f'<table id="board-{i}"')[1].split("</thead>")[0]
        assert "Macro F1" in head and "F1 from raw" in head and "Harmed" in head
    scored = board[(board["n_sets"] == 2) & (board["method"] != "grit_permuted")]
    assert all(rows["macro_f1"].is_monotonic_decreasing for _, rows in scored.groupby("task"))


def test_scores_told_the_labels_come_last_and_never_in_the_headline(result):
    board = result.leaderboard()
    tasks = list(dict.fromkeys(board["task"]))
    assert [task.startswith("noise") for task in tasks] == [False, False, True, True]
    assert "of 2 pairs" in annotation.headline(result), "two data sets, one source that a user could have"


def test_harm_by_type_is_shown_and_said(result, html):
    cells = next(row for row in rows_of(html, "types-0") if row[0] == "monocyte")
    types = result.extras["types"].query("task == 'marked' and type == 'monocyte' and dataset == 'AnnData'")
    raw = types.query("method == 'raw'")["f1"].mean()
    assert cells[3] == fixed(raw) and fixed(0 - raw) in cells, "a type that everything else was called is lost"
    assert "shade" in html.split('<table id="types-0"')[1].split("</table>")[0]


def test_lost_types_hidden_harm_and_the_control_are_sentences():
    cells = made_cells()
    cells = cells[[*range(60), *range(60, 66)]].copy()
    found = annotation.benchmark(
        [cells], [Marked()], [Mode("guarded"), "grit_permuted"], seeds=2, n_neighbors=6, share=1.0
    )
    text = " ".join(learnt(found))
    assert re.search(r"Types that GRIT with guards loses, by F1: .*monocyte \(marked, AnnData: 0\.\d+ to 0\.00\)", text)
    assert "shuffled cells accuracy is below raw on 1 of 1 pairs, as it must be" in text
    found.extras["paired"].loc[
        lambda rows: (rows["method"] == "guarded") & (rows["metric"] == "accuracy"), "difference"
    ] = 0.1
    assert "accuracy alone would hide the harm: guarded of marked on AnnData" in " ".join(learnt(found))


def test_the_control_and_the_noise_study_are_drawn(html):
    assert {"noise", "control", "calibration"} <= set(Seen(html).values("id"))
    noise = html.split('<section id="noise"')[1].split("</section>")[0]
    assert 'data-method="fraction=0.2"' in noise and 'data-method="fraction=0.4"' in noise


def test_failed_scores_are_listed_once_a_seed(html):
    assert sum(row[1] == "raises" for row in rows_of(html, "failed")) == 4
    assert "runs failed" in html


def test_hostile_names_stay_text():
    labels = (f"B{HOSTILE}", "monocyte", "natural killer cell")
    given = {"seeds": 1, "n_neighbors": 6}
    clean = Seen(annotation.benchmark([made_cells()], [Marked("m")], [Mode("m")], **given).html())
    found = annotation.benchmark([made_cells(labels=labels)], [Marked(f"m{HOSTILE}")], [Mode(f"m{HOSTILE}")], **given)
    html = found.html()
    seen = Seen(html)
    assert "<script>alert" not in html
    assert [tag for tag, _ in seen.tags].count("script") == [tag for tag, _ in clean.tags].count("script")
    known = {name for _, attrs in clean.tags for name in attrs}
    assert {name for _, attrs in seen.tags for name in attrs} <= known, "a name broke out of an attribute"
    assert any(HOSTILE in text for text in seen.texts), "the name is still shown as it is"


def test_every_anchor_leads_somewhere_and_ids_are_unique(html):
    seen = Seen(html)
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in seen.values("href") if href.startswith("#")} <= set(ids)
    assert not re.search(r"https?:", html)
    assert not re.search(r">\s*nan\s*<", html, re.IGNORECASE)


@pytest.mark.parametrize("missing", ["types", "calibration", "notes", "paired", "comparisons"])
def test_page_stands_without_any_one_table(result, missing):
    from dataclasses import replace

    kept = {name: frame for name, frame in result.extras.items() if name != missing}
    assert replace(result, extras=kept).html().endswith("</html>")


def test_page_of_a_run_in_which_everything_failed():
    found = annotation.benchmark([made_cells()], [BadScores("raises")], ["raw"], seeds=1)
    html = found.html()
    assert "No refinement could be judged" in html and "no luck" in html
    assert len(found.table) == 0 and found.leaderboard()["macro_f1"].isna().all()
    with pytest.raises(OptionError, match="nothing to plot"):
        found.plot("change")


@pytest.mark.parametrize("kind", ["change", "types", "noise", "calibration"])
def test_plots_are_drawn(result, kind, tmp_path):
    result.plot(kind).savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_saved_result_shows_the_same_page_and_board(result, tmp_path):
    loaded = Result.load(result.save(tmp_path))
    assert loaded.html() == result.html()
    np.testing.assert_array_equal(result.leaderboard()["macro_f1"], loaded.leaderboard()["macro_f1"])
    assert max(len(line) for line in result.summary()["refinement"]) <= 29
