"""Paired comparisons: against the mean fill, on the same draws, tested over data sets and in the right direction."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from corpuscle.benchmarks.missingness.compare import compare, paired
from corpuscle.benchmarks.missingness.metrics import METRICS


def made_details(differences: list[float], metric: str, draws: int = 2) -> pd.DataFrame:
    """The mean fill has 0.5 everywhere; ``ours`` differs from it by one number a data set."""
    rows = []
    for i, difference in enumerate(differences):
        for method, value in (("mean_fill", 0.5), ("ours", 0.5 + difference)):
            for seed in range(draws):
                numbers = dict.fromkeys(METRICS, 0.5) | {metric: value}
                about = {"dataset": f"set{i}", "task": "m", "kind": "random", "method": method, "seed": seed}
                rows.append(about | numbers | {"status": "ok"})
    return pd.DataFrame(rows)


def test_less_error_and_more_recall_are_both_better():
    for metric, differences in (("d2_error", [-0.1, -0.2, 0.05]), ("ari", [0.1, 0.2, -0.05])):
        pairs = paired(made_details(differences, metric))
        row = compare(pairs, 0).set_index("metric").loc[metric]
        assert row["n_better"] == 2 and row["n_sets"] == 3
        assert row["worst"] == pytest.approx(differences[-1])
        assert row["difference"] == pytest.approx(np.mean(differences))
        assert row["ratio"] == pytest.approx(np.mean([(0.5 + d) / 0.5 for d in differences]))
        assert pairs.query("metric == @metric")["n_better_draws"].tolist() == [2, 2, 0]


def test_draws_are_no_units_of_a_test():
    row = compare(paired(made_details([-0.1] * 5, "d2_error", draws=20)), 0).set_index("metric").loc["d2_error"]
    assert np.isnan(row["p"]) and row["note"] == "not testable: 5 data sets"


def test_six_data_sets_are_tested_exactly_and_holm_counts_the_methods_of_a_mask():
    details = made_details([-0.1] * 6, "d2_error")
    second = details[details["method"] == "ours"].assign(method="second")
    found = compare(paired(pd.concat([details, second], ignore_index=True)), 0)
    rows = found[found["metric"] == "d2_error"]
    assert rows["p"].tolist() == [2 / 2**6] * 2 and rows["p_holm"].tolist() == [4 / 2**6] * 2


def test_only_draws_that_both_did_are_compared():
    details = made_details([-0.1], "d2_error", draws=1)
    extra = details[details["method"] == "mean_fill"].assign(seed=9, d2_error=9.0)
    failed = details[details["method"] == "ours"].assign(seed=9, d2_error=np.nan, status="failed")
    pairs = paired(pd.concat([details, extra, failed], ignore_index=True))
    row = pairs[pairs["metric"] == "d2_error"].iloc[0]
    assert row["difference"] == pytest.approx(-0.1) and row["n_draws"] == 1


def test_nothing_to_compare_with_is_an_empty_table():
    details = made_details([0.1], "d2_error")
    assert compare(paired(details[details["method"] == "ours"]), 0).empty


def test_a_metric_that_is_undefined_is_not_compared_and_the_complete_datas_own_ari_never():
    details = made_details([0.1], "d2_error").assign(ari=np.nan)
    metrics = set(paired(details)["metric"])
    assert "ari" not in metrics and "truth_ari" not in metrics and "d2_error" in metrics
