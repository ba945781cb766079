"""Methods beside the baselines on the same vectors, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from corpuscle.benchmarks.text.compare import COMPARED, compare, paired


def made_details(values: dict[str, list[float]], task="new_cells", seeds=(0,)) -> pd.DataFrame:
    """Accuracy of each method on each data set; the other metrics are all the same."""
    rows = [
        {"dataset": f"set{i}", "task": task, "method": method, "seed": seed, "status": "ok"}
        | dict.fromkeys(COMPARED, 0.5) | {"accuracy": value}
        for method, of in values.items() for i, value in enumerate(of) for seed in seeds
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_every_method_is_compared_with_both_baselines_on_its_own_vectors():
    details = made_details(
        {"celltext@hvg": [0.9], "celltext@pca": [0.8], "logistic@hvg": [0.7], "logistic@pca": [0.6],
         "logistic_text@pca": [0.5], "markers": [0.4], "mine": [0.3]}
    )  # fmt: skip
    found = paired(details).query("metric == 'accuracy'").set_index(["method", "against"])["difference"]
    assert found["celltext@hvg", "logistic@hvg"] == pytest.approx(0.2)
    assert found["celltext@pca", "logistic@pca"] == pytest.approx(0.2)
    assert found["celltext@pca", "logistic_text@pca"] == pytest.approx(0.3)
    assert found["logistic_text@pca", "logistic@pca"] == pytest.approx(-0.1)
    assert ("celltext@hvg", "logistic@pca") not in found.index and ("logistic@pca", "logistic@pca") not in found.index
    assert found["markers", "logistic@hvg"] == pytest.approx(-0.3), "the first vectors stand for those it has not"


def test_only_seeds_in_which_both_have_the_metric_count():
    details = made_details({"celltext@pca": [0.9], "logistic@pca": [0.5]}, seeds=(0, 1, 2))
    details.loc[(details["method"] == "celltext@pca") & (details["seed"] == 1), "accuracy"] = np.nan
    details.loc[(details["method"] == "logistic@pca") & (details["seed"] == 1), "accuracy"] = 9.0
    details.loc[(details["method"] == "logistic@pca") & (details["seed"] == 2), ["status", "accuracy"]] = [
        "failed",
        9.0,
    ]
    row = paired(details).query("metric == 'accuracy' and against == 'logistic@pca'").iloc[0]
    assert row["difference"] == pytest.approx(0.4) and row["n_seeds"] == 1


def test_a_metric_that_a_baseline_never_has_is_not_compared():
    details = made_details({"celltext@pca": [0.9], "logistic@pca": [0.5]}, task="new_types")
    details.loc[details["method"] == "logistic@pca", "mean_auc"] = np.nan
    assert "mean_auc" not in set(paired(details)["metric"]) and "accuracy" in set(paired(details)["metric"])


def test_differences_are_tested_over_data_sets():
    differences = [0.1, 0.1, 0.2, 0.1, 0.3, -0.05, 0.02]
    details = made_details({"celltext@pca": [0.5 + one for one in differences], "logistic@pca": [0.5] * 7})
    row = compare(paired(details), 0).query("metric == 'accuracy'").iloc[0]
    assert row["difference"] == pytest.approx(np.mean(differences)) and row["worst"] == pytest.approx(-0.05)
    assert row["n_better"] == 6 and row["n_sets"] == 7 and row["ci_low"] < row["difference"] < row["ci_high"]
    signs = np.array(np.meshgrid(*[[-1, 1]] * 7)).reshape(7, -1)
    flipped = np.abs(signs.T @ np.array(differences))
    assert row["p"] == pytest.approx(np.mean(flipped >= abs(sum(differences)) - 1e-12))
    assert row["p_holm"] == pytest.approx(row["p"]) and row["note"] == ""


def test_p_is_adjusted_over_the_methods_of_a_task_metric_and_baseline():
    rises = [0.1, 0.1, 0.2, 0.1, 0.3, 0.05]
    details = made_details(
        {
            "celltext@pca": [0.5 + one for one in rises],
            "centroid@pca": [0.5 - one for one in rises],
            "logistic@pca": [0.5] * 6,
        }
    )
    rows = compare(paired(details), 0).query("metric == 'accuracy' and against == 'logistic@pca'")
    np.testing.assert_allclose(rows["p"], 2 / 2**6)
    np.testing.assert_allclose(rows["p_holm"], 2 * 2 / 2**6)


def test_few_data_sets_are_not_tested():
    details = made_details({"celltext@pca": [0.6] * 5, "logistic@pca": [0.5] * 5})
    row = compare(paired(details), 0).query("metric == 'accuracy'").iloc[0]
    assert np.isnan(row["p"]) and row["note"] == "not testable: 5 data sets"


def test_nothing_to_compare_is_an_empty_table():
    details = made_details({"celltext@pca": [0.6]})
    assert paired(details).empty and compare(paired(details), 0).empty
