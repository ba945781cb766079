"""The page, boards and words of a clustering result: blocks are never mixed, and no claim is stronger than its numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from fake_clustering import made_result
from tests.pages import Seen, rows_of

from corpuscle.benchmarks.clustering import headline
from corpuscle.errors import OptionError
from corpuscle.report import Result
from corpuscle.report.format import fixed

HOSTILE = "<script>alert(1)</script>\"'&\u2028</style><!--"
PCA = {"fixed": 0.60, "matched": 0.65, "kmeans": 0.62, "oracle": 0.70}
NEW = {"fixed": 0.50, "matched": 0.60, "kmeans": 0.66, "oracle": 0.85}
TOLD = {"pca_kmeans": "n_types"}


@pytest.fixture(scope="module")
def result() -> Result:
    scores = {
        "pca_leiden": [PCA, PCA | {"fixed": 0.64}],
        "pca_kmeans": [{"own": 0.61}, {"own": 0.63}],
        "new": [NEW, NEW],
        "partial": [{"fixed": 0.99, "matched": 0.99, "kmeans": 0.99, "oracle": 0.99}, "out of memory"],
        "broken": ["no luck", "no luck"],
    }
    return made_result(scores, told=TOLD)


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return result.html()


def test_a_block_holds_only_scores_that_were_told_the_same(result, html):
    board = result.leaderboard()
    blocks = list(dict.fromkeys(zip(board["told"], board["protocol"], strict=True)))
    assert blocks == [
        ("nothing", "fixed"), ("n_types", "own"), ("n_types", "matched"), ("n_types", "kmeans"), ("labels", "oracle"),
        ("nothing", ""),
    ]  # fmt: skip
    for told, protocol in blocks[:-1]:
        rows = board[(board["told"] == told) & (board["protocol"] == protocol)]
        assert [row[0] for row in rows_of(html, f"board-{told}-{protocol}")] == list(rows["method"])
        whole = rows[rows["n_sets"] == 2]
        assert whole["ari"].is_monotonic_decreasing


def test_a_method_that_missed_a_data_set_stands_below_those_that_did_all(result):
    fixed_block = result.leaderboard().query("protocol == 'fixed'")
    assert list(fixed_block["method"]) == ["pca_leiden", "new", "partial"]
    partial = fixed_block.iloc[-1]
    assert (partial["n_sets"], partial["of_sets"]) == (1, 2) and partial["failed_fraction"] == pytest.approx(0.5)


def test_the_board_shows_the_numbers_of_the_table(result, html):
    means = result.table.query("dataset == 'all' and metric == 'ari' and task == 'fixed'").set_index("method")
    for row in rows_of(html, "board-nothing-fixed"):
        assert row[1].startswith(fixed(means.loc[row[0], "value"]))
    board = result.leaderboard().query("protocol == 'fixed'").set_index("method")
    assert board.loc["pca_leiden", "ari"] == pytest.approx(0.62)
    assert board.loc["pca_leiden", "ari_sd"] == pytest.approx(0.0), "spread over seeds, not over data sets"


def test_the_terminal_has_a_heading_before_each_block_and_fits_it(result):
    text = result.summary()
    assert list(text["method"][:2]) == ["nothing: resolution 1.0", "  pca_leiden"]
    assert "  broken" in set(text["method"]) and "no score" in text["method"].iloc[-2]
    widths = [max(len(str(value)) for value in [name, *text[name]]) for name in text.columns.drop("failed")]
    assert sum(widths) + len(widths) <= 80


def test_headline_says_what_to_use_and_what_the_oracle_would_have_claimed(result):
    said = headline(result)
    assert said.startswith("Use pca_leiden: ARI 0.620 told nothing")
    assert said.endswith("would have claimed 0.700")
    assert "Picking the resolution by the labels adds 0.000 (partial) to 0.350 (new)" in result.html()


def test_what_is_simple_wins_until_something_is_shown_to_be_better():
    few = made_result({"pca_leiden": [PCA] * 3, "new": [NEW | {"fixed": 0.7}] * 3})
    assert headline(few).startswith("Use pca_leiden: ")
    assert "3 data sets cannot show that new (0.700) is better" in headline(few)
    many = made_result({"pca_leiden": [PCA] * 8, "new": [NEW | {"fixed": 0.7}] * 8})
    assert headline(many).startswith("Use new: ARI 0.700 told nothing, ahead of pca_leiden (0.600, p 0.0078)")
    mixed = [NEW | {"fixed": 0.6 + 0.2 * (-1) ** i + 0.01} for i in range(8)]
    unsure = made_result({"pca_leiden": [PCA] * 8, "new": mixed})
    assert "new (0.610) is not shown to be better" in headline(unsure)


def test_oracle_and_honest_ranking_may_differ_and_the_page_says_so():
    html = made_result({"pca_leiden": [PCA], "new": [NEW]}).html()
    assert "It also changes who leads: new by the oracle (0.850), pca_leiden at resolution 1.0 (0.600)" in html


def test_without_anyone_told_nothing_the_headline_admits_it():
    found = made_result({"pca_kmeans": [{"own": 0.6}]}, told=TOLD)
    assert headline(found).startswith("Every score was told something of the truth")


def test_hostile_names_stay_text():
    clean = Seen(made_result({"new": [NEW, NEW]}, names=["a", "b"]).html())
    html = made_result({f"new{HOSTILE}": [NEW, NEW]}, names=[f"a{HOSTILE}", f"b{HOSTILE}"], types=(HOSTILE, "B")).html()
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
    assert {"leaderboard", "oracle", "sets", "types", "failures", "run", "words"} <= set(ids)
    assert not re.search(r"https?:", html)


def test_the_gap_is_drawn_for_each_data_set_and_for_their_mean(html):
    gap = html.split('<section id="oracle"')[1].split("</section><section")[0]
    panel = gap.split('data-panel="set1"')[1]
    lane = panel.split('data-method="pca_leiden"')[1].split('class="lane"')[0]
    for text in ("0.640", "0.700", "0.060"):
        assert text in lane
    assert "no embedding" in panel.split('data-method="pca_kmeans"')[1].split('class="lane"')[0]


def test_undefined_is_said_with_its_reason_and_never_zero(html, result):
    row = next(row for row in rows_of(html, "board-nothing-fixed") if row[0] == "pca_leiden")
    assert row[6] == "undefined", "no type is rare"
    assert 'title="no data set that the method did has a rare type of 5 cells or more"' in html
    assert not re.search(r">\s*nan\s*<", html, re.IGNORECASE)
    assert result.leaderboard()["rare_recall"].isna().all()


def test_failures_are_listed_with_their_reasons(html):
    assert {(row[0], row[1]) for row in rows_of(html, "failed")} == {
        ("set0", "broken"), ("set1", "broken"), ("set1", "partial"),
    }  # fmt: skip
    assert "6 of 20 runs failed: broken (4) and partial (2)" in html


def test_types_are_shown_from_the_clusters_that_were_told_least(html):
    panel = html.split('<table id="types-0"')[1].split("</table>")[0]
    assert re.search(r"pca_leiden<small>resolution 1.0</small>", panel)
    assert re.search(r"pca_kmeans<small>own</small>", panel)
    assert rows_of(html, "types-0")[0][2] == "0.600"


@pytest.mark.parametrize("missing", ["types", "stability", "paired", "comparisons"])
def test_page_stands_without_any_one_table(missing):
    found = made_result({"pca_leiden": [PCA], "new": [NEW]})
    found.extras.pop(missing, None)
    assert found.html().endswith("</html>")


def test_page_of_a_run_in_which_everything_failed():
    found = made_result({"new": ["no luck"]})
    html = found.html()
    assert "No method could be scored" in html and "no luck" in html
    assert len(found.table) == 0 and list(found.leaderboard()["method"]) == ["new"]


@pytest.mark.parametrize("kind", ["scores", "oracle_gap", "types"])
def test_plots_draw_what_there_is_and_say_what_there_is_not(result, kind, tmp_path):
    figure = result.plot(kind)
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 1000
    with pytest.raises(OptionError, match="nothing to plot"):
        made_result({"new": ["no luck"]}).plot(kind)


def test_a_saved_result_shows_the_same_page_and_board(result, tmp_path):
    loaded = Result.load(result.save(tmp_path))
    assert loaded.html() == result.html()
    board, again = result.leaderboard(), loaded.leaderboard()
    assert list(board["method"]) == list(again["method"])
    np.testing.assert_array_equal(board["ari"], again["ari"])
