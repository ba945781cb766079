"""Aggregates: replicates count once, failures are not dropped, and too few series are said to be too few."""

import numpy as np
import pandas as pd
import pytest

from corpuscle.benchmarks.coregulation.aggregate import aggregate, compare


def details(rows):
    frame = pd.DataFrame(rows, columns=["series", "sample_id", "pair", "method", "percentile", "status", "task"])
    frame["variant"], frame["primary"] = "default", True
    frame["p_emp"], frame["z_robust"], frame["recip_rank"] = 0.01, 2.0, 0.5
    frame.loc[frame["status"] == "failed", ["percentile", "p_emp", "z_robust", "recip_rank"]] = np.nan
    return frame


def scores(frame, draws=None):
    return {(row["task"], row["method"], row["metric"]): row for row in aggregate(frame, draws or {}, seed=0)}


P = "promoter_reporter"


def test_a_series_counts_once_however_many_samples_it_has():
    rows = [("s1", f"a{i}", "p", "m", 1.0, "ok", P) for i in range(9)] + [("s2", "b", "p", "m", 0.0, "ok", P)]
    assert scores(details(rows))[P, "m", "percentile"]["value"] == pytest.approx(0.5)


def test_a_failed_unit_scores_as_chance_and_an_underpowered_one_is_left_out():
    rows = [
        ("s1", "a", "p", "m", 1.0, "ok", P),
        ("s2", "b", "p", "m", np.nan, "failed", P),
        ("s3", "c", "p", "m", 0.0, "underpowered", P),
    ]
    found = scores(details(rows))
    assert found[P, "m", "percentile"]["value"] == pytest.approx(0.75)
    assert found[P, "m", "percentile"]["n"] == 2
    assert found[P, "m", "fraction_significant"]["value"] == pytest.approx(0.5)


def test_the_interval_covers_the_cells_even_of_a_single_unit():
    draws = {("a", "p", "m"): {"percentile": np.linspace(0.6, 1.0, 500)}}
    row = scores(details([("s1", "a", "p", "m", 0.9, "ok", P)]), draws)[P, "m", "percentile"]
    assert row["ci_low"] == pytest.approx(0.61, abs=0.02)
    assert row["ci_high"] == pytest.approx(0.99, abs=0.02)


def test_combined_is_the_mean_of_the_two_tasks_and_only_then():
    rows = [("s1", "a", "p", "m", 1.0, "ok", P)]
    assert ("combined", "m", "percentile") not in scores(details(rows))
    rows.append(("s2", "b", "q", "m", 0.6, "ok", "allelic_exclusion"))
    assert scores(details(rows))["combined", "m", "percentile"]["value"] == pytest.approx(0.8)


def compared(n_series, difference=0.2):
    rows = []
    for i in range(n_series):
        rows.append((f"s{i}", f"a{i}", "p", "log1p_cp10k", 0.5, "ok", P))
        rows.append((f"s{i}", f"a{i}", "p", "better", 0.5 + difference, "ok", P))
        rows.append((f"s{i}", f"a{i}", "p", "mixed", 0.5 + difference * (-1) ** i, "ok", P))
    return compare(details(rows), seed=0).set_index("method")


def test_eight_series_can_be_tested_exactly_with_holm():
    table = compared(8)
    assert table.loc["better", "p"] == pytest.approx(2 / 256)
    assert table.loc["better", "p_holm"] == pytest.approx(4 / 256)
    assert table.loc["mixed", "p"] == 1.0


def test_three_series_are_not_testable_and_no_p_is_printed():
    table = compared(3)
    assert table["p"].isna().all()
    assert table.loc["better", "note"] == "not testable: 3 series"
    assert table.loc["better", "difference"] == pytest.approx(0.2)
