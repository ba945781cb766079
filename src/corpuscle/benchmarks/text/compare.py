"""Methods against the baselines that use the same vectors, paired over data sets."""

from __future__ import annotations

from typing import Any

import pandas as pd

from corpuscle.benchmarks._paired import FEWEST_SETS, by_block, tested

__all__ = ["AGAINST", "COMPARED", "FEWEST_SETS", "compare", "paired"]

#: What every method is compared with: told which type words mean, and with no training of the words.
AGAINST = ("logistic", "logistic_text")
COMPARED = ("accuracy", "balanced_accuracy", "macro_f1", "mean_auc", "precision@10")
BLOCK = ["task", "metric", "against"]
PAIRED = ["task", "metric", "dataset", "method", "against", "value", "other", "difference", "n_seeds"]
COLUMNS = [
    "task", "metric", "method", "against", "difference", "ci_low", "ci_high", "worst", "n_better", "n_sets", "p", "p_holm",
    "note",
]  # fmt: skip


def paired(details: pd.DataFrame) -> pd.DataFrame:
    """Every method's mean over seeds beside that of each baseline, on each data set and task.

    A method with vectors (``celltext@pca``) is compared with the baseline on the same vectors (``logistic@pca``), one
    without with the baseline on the first vectors of the table. Only seeds count in which the metric exists for both.

    Parameters
    ----------
    details
        Row a data set, task, method and seed.

    Returns
    -------
    DataFrame
        task, metric, dataset, method, against, value, other, difference, n_seeds.
    """
    done = details[details["status"] == "ok"]
    keys = list(dict.fromkeys(key for _, at, key in map(_parted, sorted(set(done["method"]))) if at))
    out: list[dict[str, Any]] = []
    for (task, dataset), block in done.groupby(["task", "dataset"], sort=True):
        by_method = {str(name): rows.set_index("seed") for name, rows in block.groupby("method", sort=True)}
        for method, rows in by_method.items():
            for against in _rivals(method, keys, by_method):
                names = {"task": task, "dataset": dataset, "method": method, "against": against}
                out += _differences(rows, by_method[against], names)
    return pd.DataFrame(out, columns=PAIRED)


def _parted(method: str) -> tuple[str, str, str]:
    """Name, "@" and key of vectors of a method; the last two are "" where it has none."""
    return method.rpartition("@") if "@" in method else (method, "", "")


def _rivals(method: str, keys: list[str], there: dict[str, Any]) -> list[str]:
    name, at, key = _parted(method)
    at, key = ("@", key if at else keys[0]) if at or keys else ("", "")
    rivals = [f"{one}{at}{key}" for one in AGAINST if one != name]
    return [rival for rival in rivals if rival in there]


def _differences(rows: pd.DataFrame, others: pd.DataFrame, names: dict[str, Any]) -> list[dict[str, Any]]:
    out = []
    for metric in COMPARED:
        both = pd.concat([rows[metric], others[metric]], axis=1, join="inner", keys=["value", "other"]).dropna()
        if both.empty:
            continue
        value, other = float(both["value"].mean()), float(both["other"].mean())
        out.append(
            names
            | {"metric": metric, "value": value, "other": other, "difference": value - other, "n_seeds": len(both)}
        )
    return out


def compare(pairs: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Test the differences of :func:`paired` over data sets.

    Parameters
    ----------
    pairs
        From :func:`paired`.
    seed
        Of the bootstrap, and of the signs where there are too many data sets to enumerate them.

    Returns
    -------
    DataFrame
        task, metric, method, against; ``difference`` (mean over data sets), ``ci_low`` and ``ci_high`` (95 %, data sets
        resampled), ``worst`` (the lowest difference of a data set), ``n_better`` of ``n_sets``, ``p`` (two-sided, exact
        sign flips), ``p_holm`` (over the methods of a task, metric and baseline) and a ``note``. With fewer than 6 data
        sets p is NaN and the note says ``not testable``.
    """
    return pd.DataFrame(by_block(pairs, BLOCK, lambda of, names: _tested(of, names, seed)), columns=COLUMNS)


def _tested(of_method: pd.DataFrame, names: dict[str, Any], seed: int) -> dict[str, Any]:
    difference_s = of_method["difference"].to_numpy(float)
    keys = (*(str(names[name]) for name in BLOCK), names["method"])
    return {"worst": float(difference_s.min())} | tested(difference_s, seed, *keys)
