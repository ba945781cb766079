"""The page, boards and plots: verdict first, nulls apart, a text for every picture, names stay text."""

from __future__ import annotations

import pytest
from rare_run_fakes import SMALL, Crashing, Noted, made_samples
from tests.pages import Seen, rows_of

from corpuscle.benchmarks.rare_labels import benchmark
from corpuscle.benchmarks.rare_labels.display.findings import headline, learnt, unsaid
from corpuscle.errors import OptionError
from corpuscle.report import Result

HOSTILE = "<script>alert(1)</script>\"'&$x_{$</style><!--"


@pytest.fixture(scope="module")
def result(tmp_path_factory) -> Result:
    log = tmp_path_factory.mktemp("page") / "log"
    null = Noted(log, "gan_shuffled:made=up")
    data = made_samples()
    data.obs["cell_type"] = data.obs["cell_type"].replace({"rare": HOSTILE})
    arms = ["smote", Noted(log, HOSTILE), null, Crashing()]
    return benchmark([data], arms, **(SMALL | {"targets": [HOSTILE], "rarity": (4, 8)}))


@pytest.fixture(scope="module")
def html(result: Result) -> str:
    return result.html()


def test_sections_stand_in_order_and_null_controls_are_apart(result, html):
    ids = [attrs["id"] for tag, attrs in Seen(html).tags if tag == "section" and "id" in attrs]
    wanted = ["verdict", "leaderboard", "rarity", "harm", "fidelity", "null-controls", "labels", "notes", "failures"]
    assert [id for id in ids if id in wanted] == wanted
    ranked = [row[0] for row in rows_of(html, "board")]
    assert len(ranked) == 4 and not any("gan_shuffled" in name for name in ranked)
    (null,) = rows_of(html, "nulls")
    assert "gan_shuffled" in null[0]
    board = result.leaderboard()
    assert board["auprc"].is_monotonic_decreasing and set(board["n_draws"]) == {4}


def test_the_verdict_says_no_to_a_copier_and_names_what_it_did(result, html):
    (row,) = rows_of(html, "verdict-table")
    assert row[1] == "no" and "2 of 2" in row[-2]
    assert headline(result).startswith("No generator beats the best cheap arm")
    said = " ".join(learnt(result))
    assert "repeats training samples in 2 of 2" in said and "Null control gan_shuffled:made=up x5 does not help" in said
    assert "4 of 24 runs failed: crashing (4)" in said
    assert any("there was one data set" in line for line in unsaid(result))


def test_names_stay_text_and_pictures_have_words(html):
    assert "<script>alert" not in html and "&lt;script&gt;alert(1)" in html
    images = [attrs for tag, attrs in Seen(html).tags if tag == "img"]
    assert len(images) == 1 and "with 4 samples" in (images[0]["alt"] or "")
    assert "http" not in "".join(attrs["src"] or "" for attrs in images)[:20]


def test_plots_are_drawn_and_the_page_is_the_same_when_read_again(result, html, tmp_path):
    for kind in ("gain", "rarity", "harm"):
        for suffix in ("png", "svg"):
            result.plot(kind).savefig(tmp_path / f"{kind}.{suffix}")
            assert (tmp_path / f"{kind}.{suffix}").stat().st_size > 1000
    again = Result.load(result.save(tmp_path / "saved"))
    assert again.html() == html


def test_a_result_without_a_run_has_a_page_and_no_plot():
    data = made_samples()
    del data.obs["batch"]
    empty = benchmark([data], ["smote"], **SMALL)
    assert "Nothing could be judged" in empty.html() and empty.summary().empty
    with pytest.raises(OptionError, match="no run was judged"):
        empty.plot()


def test_a_label_that_leaves_nothing_to_gain_is_named():
    easy = benchmark([made_samples(strength=1.5)], ["oversample"], **SMALL)
    assert any("nothing can be gained, on AnnData, rare with 5" in line for line in learnt(easy))
    hard = benchmark([made_samples(strength=0.15)], ["oversample"], **SMALL)
    assert not any("nothing can be gained" in line for line in learnt(hard))
