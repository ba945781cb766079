"""The page as text: nothing hostile gets through, nothing is loaded, and its numbers are those of the tables."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import json
import re

import numpy as np
import pandas as pd
import pytest
from fake_result import METHODS, make_result
from tests.pages import Seen, rows_of

from corpuscle.report import Result
from corpuscle.report.format import fixed

HOSTILE = "<script>alert(1)</script>\"'&\u2028</style><!--"


def hostile(result: Result) -> Result:
    """The same result in which every string of every table is an attack."""

    def spoil(frame: pd.DataFrame) -> pd.DataFrame:
        kept = {"variant", "task", "metric", "control", "status", "dataset", "association"}
        return frame.assign(
            **{
                name: frame[name] + HOSTILE
                for name in frame
                if frame[name].dtype == object and name not in kept and frame[name].map(type).eq(str).all()
            }
        )

    run = {"command": HOSTILE, "versions": {HOSTILE: HOSTILE}, "inputs": [{"path": HOSTILE, "sha256": HOSTILE}]}
    return dataclasses.replace(
        result,
        table=spoil(result.table).assign(benchmark="coregulation"),
        details=spoil(result.details),
        failures=spoil(result.failures),
        extras={name: spoil(frame) for name, frame in result.extras.items()},
        run=run,
    )


def test_hostile_names_stay_text() -> None:
    few = {name: METHODS[name] for name in ("log1p_cp10k", "magic", "cscore", "scvi")}
    result = make_result(few, ("pbmc_1k_v3",))
    clean, html = Seen(result.html()), hostile(result).html()
    seen = Seen(html)
    assert "<script>alert" not in html
    assert "\u2028" not in html.split('<script type="application/json">')[1].split("</script>")[0]
    assert [tag for tag, _ in seen.tags].count("script") == [tag for tag, _ in clean.tags].count("script")
    known = {name for _, attrs in clean.tags for name in attrs}
    assert {name for _, attrs in seen.tags for name in attrs} <= known, "a name broke out of an attribute"
    assert any(HOSTILE in text for text in seen.texts), "the name is still shown as it is"


def test_cells_survive_embedding(html: str, result: Result) -> None:
    data = json.loads(html.split('<script type="application/json">')[1].split("</script>")[0])
    cloud = data["clouds"][0]
    of_unit = result.extras["cells"].query("sample_id == 'pbmc_1k_v2' and pair == 'IGKC_vs_IGLC2' and method == 'raw'")
    assert cloud["cells"] == list(of_unit["cell"])
    assert cloud["raw"] == [list(of_unit["raw_a"]), list(of_unit["raw_b"])]
    packed = cloud["values"]["raw"]
    levels = np.frombuffer(base64.b64decode(packed["d"]), np.uint8).reshape(-1, 3).astype(int)
    a = (levels[:, 0] << 4 | levels[:, 1] >> 4) / 4094 * (packed["x"][1] - packed["x"][0]) + packed["x"][0]
    b = ((levels[:, 1] & 15) << 8 | levels[:, 2]) / 4094 * (packed["y"][1] - packed["y"][0]) + packed["y"][0]
    np.testing.assert_allclose(a, of_unit["a"], atol=np.ptp(of_unit["a"]) / 4094)
    np.testing.assert_allclose(b, of_unit["b"], atol=np.ptp(of_unit["b"]) / 4094)


def test_page_loads_nothing_and_its_policy_forbids_it(html: str) -> None:
    seen = Seen(html)
    assert not re.search(r"https?:", html)
    assert not {tag for tag, _ in seen.tags} & {"iframe", "img", "object", "embed", "base"}
    assert seen.values("src") == []
    assert all(href.startswith("#") or href == "data:," for href in seen.values("href"))
    assert seen.values("style") == [], "the policy would drop inline styles"
    assert not [name for _, attrs in seen.tags for name in attrs if name.startswith("on")]
    (policy,) = (
        a["content"] for tag, a in seen.tags if tag == "meta" and a.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy is not None and policy.startswith("default-src 'none'") and "unsafe" not in policy
    for element in ("style", "script"):
        text = html.split(f"<{element}>")[1].split(f"</{element}>")[0]
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{element}-src 'sha256-{digest}'" in policy


def test_every_anchor_leads_somewhere_and_ids_are_unique(html: str) -> None:
    seen = Seen(html)
    ids = seen.values("id")
    assert len(ids) == len(set(ids))
    assert {href[1:] for href in seen.values("href") if href.startswith("#")} <= set(ids)
    assert set(seen.values("aria-labelledby")) <= set(ids)
    sections = {"leaderboard", "background", "units", "pair", "controls", "failures", "run", "words"}
    assert sections <= set(ids)


def test_page_is_small_enough_to_mail(html: str) -> None:
    assert len(html.encode()) < 3_000_000


def test_leaderboard_shows_the_numbers_of_the_table(html: str, result: Result) -> None:
    rows = rows_of(html, "board")
    board = result.leaderboard()
    assert [row[0] for row in rows] == list(board["method"])
    for row, (_, expected) in zip(rows, board.iterrows(), strict=True):
        assert row[2] == fixed(expected["combined_percentile"])
        assert fixed(expected["allelic_exclusion_z_robust"], 2) in row
        assert row[-5] == fixed(expected["inflation_index"], 2)
    aggregates = result.table.query("task == 'combined' and metric == 'percentile'").set_index("method")["value"]
    np.testing.assert_array_equal(board.set_index("method")["combined_percentile"], aggregates[board["method"]])


def test_best_comes_first_and_places_follow_from_overlap(result: Result) -> None:
    board = result.leaderboard()
    assert board["combined_percentile"].is_monotonic_decreasing
    low, high = board["combined_percentile_low"], board["combined_percentile_high"]
    for i, row in board.iterrows():
        assert row["place_low"] == 1 + (low > high[i]).sum()
        assert row["place_high"] == len(board) - (high < low[i]).sum()
    assert board.iloc[-1]["method"] == "magic"


def test_every_unit_shows_its_numbers(html: str, result: Result) -> None:
    units = result.details.query("variant == 'default'").set_index(["sample_id", "pair", "method"])
    row = units.loc[("pbmc_1k_v3", "IGKC_vs_IGLC2", "acosh")]
    panel = html.split('data-panel="pbmc_1k_v3 · IGKC_vs_IGLC2"')[1].split("</section>")[0]
    lane = panel.split('data-method="acosh"')[1].split('class="lane"')[0]
    for text in (fixed(row["r"]), fixed(row["percentile"]), fixed(row["z_robust"], 2), fixed(row["ci_low"])):
        assert f"{text}" in lane
    numbers = {tuple(cells[:3]): cells for cells in rows_of(html, "unit-numbers")}
    assert len(numbers) == len(units)


def test_undefined_is_said_with_its_reason_and_never_zero(html: str) -> None:
    panel = html.split('data-panel="pbmc_8k_5p · IGKC_vs_IGLC2"')[1].split("</section>")[0]
    lane = panel.split('data-method="cscore"')[1].split('class="lane"')[0]
    assert "undefined: variance of IGLC2 not above Poisson" in lane
    assert "0.0" not in lane
    failed = (
        html.split('data-panel="pbmc_1k_v3 · IGKC_vs_IGLC2"')[1].split('data-method="scvi"')[1].split('class="lane"')[0]
    )
    assert "failed: needs torch" in failed
    assert re.search(r'<abbr class="undefined" title="[^"]*variance of IGLC2[^"]*">undefined</abbr>', html)
    assert not re.search(r">\s*nan\s*<", html, re.IGNORECASE)


def test_failures_are_listed_with_their_reasons(html: str, result: Result) -> None:
    assert [row[1] for row in rows_of(html, "failed")] == ["scvi"]
    assert "corpuscle[models]" in rows_of(html, "failed")[0][3]
    assert {row[3] for row in rows_of(html, "without-answer")} == {"cscore"}


def test_run_is_reproducible_from_the_page(html: str, result: Result) -> None:
    section = html.split('<section id="run"')[1]
    assert "corpuscle bench coregulation &#39;data/*.h5ad&#39; -o out" in section
    for entry in result.run["inputs"]:
        assert entry["sha256"] in section
    assert "2.4.0" in section


def test_without_scripts_every_sample_is_drawn(html: str) -> None:
    before_script = html.split('<script type="application/json">')[0]
    assert before_script.count('class="panel"') == 6
    assert 'class="panel" data-panel' in before_script and "<section hidden" not in before_script
    assert before_script.count('<path class="shape"') > 6 * 20


@pytest.mark.parametrize(
    "missing", ["background", "cells", "controls", "quadrants", "compat", "count_split", "comparisons"]
)
def test_page_stands_without_any_one_table(result: Result, missing: str) -> None:
    few = {name: METHODS[name] for name in ("log1p_cp10k", "magic")}
    small = make_result(few, ("pbmc_1k_v2",))
    small.extras.pop(missing, None)
    assert small.html().endswith("</html>")


def test_page_of_a_run_in_which_everything_failed(result: Result) -> None:
    empty = dataclasses.replace(result, table=result.table.iloc[:0], details=pd.DataFrame(), extras={})
    html = empty.html()
    assert "No method could be judged" in html
    assert "corpuscle[models]" in html
    units = result.details.assign(r=np.nan, percentile=np.nan, z_robust=np.nan, status="failed", reason="out of memory")
    table = result.table.assign(value=np.nan, ci_low=np.nan, ci_high=np.nan)
    html = dataclasses.replace(result, table=table, details=units).html()
    assert "No method has a defined score" in html
    assert "failed: out of memory" in html


def test_headline_says_no_more_than_the_intervals(result: Result) -> None:
    few = {name: METHODS[name] for name in ("log1p_cp10k", "sqrt", "acosh")}
    html = make_result(few).html()
    assert "These data do not tell the 3 methods apart" in html
    page = result.html()
    assert re.search(r"<h1>\d+ methods cannot be told apart at the top; magic, .* fall behind</h1>", page)
    assert "all samples are of one series, so no method can be tested" in page
    assert "Wrong sign, with the whole interval on the wrong side: magic" in page


def test_missing_tasks_are_admitted() -> None:
    few = {name: METHODS[name] for name in ("log1p_cp10k", "magic")}
    result = make_result(few, ("pbmc_1k_v2",))
    only = dataclasses.replace(
        result,
        table=result.table[result.table["task"].isin(["allelic_exclusion", "count_split"])],
        details=result.details[result.details["sign"] < 0],
    )
    assert "no sample has a reporter; split genes stand in for it" in only.html()
