"""The page, boards and plots: what improves and what does not stand side by side, dropout is apart, names stay text."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
from bench_missingness_fakes import Bad, Plain, made_cells
from tests.pages import Seen, rows_of

from corpuscle.benchmarks import missingness
from corpuscle.benchmarks.missingness.display.findings import headline, learnt, unsaid
from corpuscle.errors import OptionError
from corpuscle.report import Result
from corpuscle.report.format import fixed

HOSTILE = "<script>alert(1)</script>\"'&\u2028</style><!--"
MASKS = ["dropout:low=0.5,mask=none", "dropout:low=0.5,mask=oracle", "uniform:low=0.3", "logit_normal:sd=1.2"]
RANDOM = MASKS[2:]


def bench(*args, **options) -> Result:
    return missingness.benchmark(*args, genes=40, max_cells=50, **options)


@pytest.fixture(scope="module")
def result() -> Result:
    cells = [made_cells(seed=0), made_cells(seed=1)]
    methods = ["unbiased", "authors", "ratio_rank1", "ratio_oracle", Bad("raises")]
    return bench(cells, methods, MASKS, draws=1)


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return result.html()


def test_masks_that_know_no_value_come_first_and_dropout_is_a_section_of_its_own(result, html):
    assert list(dict.fromkeys(result.leaderboard()["task"])) == [*RANDOM, *MASKS[:2]]
    ids = [f"board-{i}" for i in range(4)]
    dropout = html.split('<section id="dropout"')[1].split('<section id="sets"')[0]
    assert [id in dropout for id in (f'<table id="{id}"' for id in ids)] == [False, False, True, True]
    for task in RANDOM:
        assert f'data-method="{task}"' not in dropout and f"under {task}" not in dropout


def test_a_board_orders_what_was_told_the_same_and_puts_oracles_apart(result, html):
    board = result.leaderboard()
    rows = board[board["task"] == "uniform:low=0.3"]
    assert list(rows["method"])[-1] == "raises" or list(rows["method"])[-1] == "ratio_oracle"
    same = rows[(rows["told"] == "nothing") & (rows["n_sets"] == 2)]
    assert same["d2_error"].is_monotonic_increasing and len(same) == 5
    shown = [row[0] for row in rows_of(html, "board-0")]
    assert [name.split("told ")[0] for name in shown] == list(rows["method"])
    assert "told the probability" in next(name for name in shown if name.startswith("ratio_oracle"))


def test_distances_neighbours_and_directions_each_have_a_figure_beside_the_mean_fill(result, html):
    for id, metric in (("distances", "d2_error"), ("neighbours", "knn_recall_distances"), ("directions", "sin_theta")):
        section = html.split(f'<section id="{id}"')[1].split("</section>")[0]
        done = result.details.query("status == 'ok' and task == 'uniform:low=0.3'")
        for method in ("unbiased", "mean_fill"):
            mean = done[done["method"] == method].groupby("dataset")[metric].mean().mean()
            assert f"mean: {fixed(mean)}" in section, (id, method)
    assert "What does not: leading directions" in html


def test_the_headline_says_what_improves_and_what_does_not(result):
    done = result.details.query("status == 'ok' and kind == 'random'")
    means = done.groupby(["method", "task", "dataset"])[["d2_error", "sin_theta"]].mean().groupby("method").mean()
    text = headline(result)
    assert (
        f"error of distances {fixed(means.loc['unbiased', 'd2_error'])} to {fixed(means.loc['mean_fill', 'd2_error'])}"
        in text
    )
    assert f"({fixed(means.loc['unbiased', 'sin_theta'])} to {fixed(means.loc['mean_fill', 'sin_theta'])})" in text
    change = means.loc["unbiased", "sin_theta"] - means.loc["mean_fill", "sin_theta"]
    word = "no better and no worse" if abs(change) <= 0.02 else "worse" if change > 0 else "closer"
    assert f"leading directions {word}" in text


def made_means(result: Result, **values) -> Result:
    """The same result with numbers of one method set by hand."""
    details = result.details.copy()
    for name, value in values.items():
        method, _, metric = name.partition("__")
        details.loc[(details["method"] == method) & (details["status"] == "ok"), metric] = value
    from corpuscle.benchmarks.missingness.compare import compare, paired

    pairs = paired(details)
    return replace(result, details=details, extras=result.extras | {"paired": pairs, "comparisons": compare(pairs, 0)})


def test_sentences_follow_the_numbers_in_either_direction(result):
    worse = made_means(
        result, unbiased__sin_theta=0.9, mean_fill__sin_theta=0.5, unbiased__d2_error=0.7, mean_fill__d2_error=0.6
    )
    assert "leading directions worse (0.900 to 0.500)" in headline(worse)
    text = " ".join(learnt(worse))
    assert "Distances of unbiased are worse than those of the mean fill on AnnData under logit_normal:sd=1.2" in text
    assert "on 0 of 4 pairs of data set and mask, farther on 4" in text
    closer = made_means(result, unbiased__sin_theta=0.3, mean_fill__sin_theta=0.5)
    assert "leading directions closer" in headline(closer)
    assert "on 4 of 4 pairs of data set and mask, farther on 0" in " ".join(learnt(closer))


def test_the_published_constant_and_every_choice_of_missing_zeros_are_sentences(result):
    found = made_means(result, authors__d2_error=0.9, ratio_rank1__d2_error=0.1)
    text = " ".join(learnt(found))
    assert "published formula raises makes its distances worse under uniform:low=0.3 (0.900, clipped 0.100)" in text
    for task in MASKS[:2]:
        assert f"{task}: unbiased has a subspace error of" in text


def test_limits_of_the_very_result_are_named(result):
    said = " ".join(unsaid(result))
    assert (
        "2 data sets are too few" in said
        and "there was one draw" in said
        and "Where a value decides whether it is lost" in said
    )
    one = bench([made_cells()], [Plain()], RANDOM[:1], draws=1)
    assert "one data set is too few" in " ".join(unsaid(one))
    assert headline(one).startswith("plain against the mean fill")


def test_a_failing_method_is_listed(html):
    assert sum(row[1] == "raises" for row in rows_of(html, "failed")) == 8
    assert "runs failed" in html


def test_hostile_names_stay_text():
    labels = (f"B{HOSTILE}", "monocyte", "natural killer cell")
    clean = Seen(bench([made_cells()], [Plain("m"), Bad("nothing")], RANDOM[:1], draws=1).html())
    methods = [Plain(f"m{HOSTILE}"), Bad(f"nothing{HOSTILE}")]
    html = bench([made_cells(labels=labels)], methods, RANDOM[:1], draws=1).html()
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


@pytest.mark.parametrize("missing", ["notes", "paired", "comparisons"])
def test_page_stands_without_any_one_table(result, missing):
    kept = {name: frame for name, frame in result.extras.items() if name != missing}
    assert replace(result, extras=kept).html().endswith("</html>")


@pytest.mark.parametrize("masks", [MASKS[:1], RANDOM[:1]])
def test_page_of_one_kind_of_mask_alone(masks):
    html = bench([made_cells()], ["unbiased"], masks, draws=1).html()
    assert ('<section id="dropout"' in html) == masks[0].startswith("dropout")
    assert ('<section id="distances"' in html) != masks[0].startswith("dropout")


def test_page_of_a_run_in_which_nothing_could_be_read(tmp_path):
    found = bench([tmp_path / "none.h5ad"], [Plain()], RANDOM, draws=1)
    html = found.html()
    assert "No method but the fills could be judged" in html and "none.h5ad" in html
    assert len(found.table) == 0 and found.summary().empty
    with pytest.raises(OptionError, match="nothing to plot"):
        found.plot("distances")


@pytest.mark.parametrize("kind", ["distances", "neighbors", "directions", "dropout"])
def test_plots_are_drawn(result, kind, tmp_path):
    result.plot(kind).savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_a_plot_of_masks_that_were_not_run_says_what_to_add():
    found = bench([made_cells()], [Plain()], RANDOM[:1], draws=1)
    with pytest.raises(OptionError, match="dropout:low"):
        found.plot("dropout")


def test_a_saved_result_shows_the_same_page_and_board(result, tmp_path):
    loaded = Result.load(result.save(tmp_path))
    assert loaded.html() == result.html()
    np.testing.assert_array_equal(result.leaderboard()["d2_error"], loaded.leaderboard()["d2_error"])
    lines = result.summary().to_string(index=False).splitlines()
    assert max(map(len, lines)) <= 90
