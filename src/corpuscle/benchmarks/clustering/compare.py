"""Each method against the best simple baseline that was told the same, paired over data sets."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from corpuscle.benchmarks._paired import FEWEST_SETS, by_block, tested
from corpuscle.benchmarks.clustering.options import is_baseline

__all__ = ["COMPARED", "FEWEST_SETS", "compare", "paired"]

COMPARED = ("ari", "ami")
BLOCK = ["told", "protocol", "metric"]
COLUMNS = [
    *BLOCK, "method", "baseline", "baseline_protocol", "difference", "ci_low", "ci_high", "n_better", "n_sets", "p", "p_holm",
    "note",
]  # fmt: skip


def paired(details: pd.DataFrame) -> pd.DataFrame:
    """Every method's mean over seeds beside that of its baseline, on each data set that both did.

    The baseline of a method under a protocol is the simple one with the highest mean over data sets under that
    protocol; where none has been scored under it, the best under any protocol that was told the same.

    Returns
    -------
    DataFrame
        told, protocol, metric, dataset, method, value, baseline, baseline_protocol, baseline_value, difference.
    """
    done = details[details["status"] == "ok"]
    out = [row for metric in COMPARED for row in _pairs(done, metric)]
    columns = [*BLOCK, "dataset", "method", "value", "baseline", "baseline_protocol", "baseline_value", "difference"]
    return pd.DataFrame(out, columns=columns)


def _pairs(done: pd.DataFrame, metric: str) -> Iterator[dict[str, Any]]:
    means = done.groupby(["told", "protocol", "method", "dataset"], sort=True)[metric].mean().dropna()
    for (told, protocol), block in means.groupby(level=["told", "protocol"], sort=True):
        baseline = _best_baseline(means, str(told), str(protocol))
        if baseline is None:
            continue
        against = means.loc[(told, *baseline)]
        for (_, _, method, dataset), value in block.items():
            if is_baseline(str(method)) or dataset not in against.index:
                continue
            other = float(against.loc[dataset])
            yield {
                "told": told, "protocol": protocol, "metric": metric, "dataset": dataset, "method": method, "value": value,
                "baseline": baseline[1], "baseline_protocol": baseline[0], "baseline_value": other,
                "difference": value - other,
            }  # fmt: skip


def _best_baseline(means: pd.Series, told: str, protocol: str) -> tuple[str, str] | None:
    """(protocol, method) of the best baseline told the same; None if there is none."""
    simple = means[[is_baseline(str(method)) for method in means.index.get_level_values("method")]]
    simple = simple[simple.index.get_level_values("told") == told]
    under = simple[simple.index.get_level_values("protocol") == protocol]
    candidates = (under if len(under) else simple).groupby(level=["protocol", "method"], sort=True)
    if not candidates.ngroups:
        return None
    # One that did more of the data sets comes first: a mean over the easy ones is no better score.
    ranked = candidates.agg(["count", "mean"]).sort_values(["count", "mean"], ascending=False, kind="stable")
    best = ranked.index[0]
    return str(best[0]), str(best[1])


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
        told, protocol, metric, method, baseline, baseline_protocol; ``difference`` (mean over data sets), ``ci_low``
        and ``ci_high`` (95 %, data sets resampled), ``n_better`` of ``n_sets``, ``p`` (two-sided, exact sign flips),
        ``p_holm`` (over the methods of a protocol) and a ``note``. With fewer than 6 data sets p is NaN and the note
        says ``not testable``.
    """
    return pd.DataFrame(by_block(pairs, BLOCK, lambda of, _: _tested(of, seed)), columns=COLUMNS)


def _tested(of_method: pd.DataFrame, seed: int) -> dict[str, Any]:
    first = of_method.iloc[0]
    difference_s = of_method["difference"].to_numpy(float)
    names = [str(first[name]) for name in ("told", "protocol", "metric", "method")]
    kept = {name: first[name] for name in ("baseline", "baseline_protocol")}
    return kept | tested(difference_s, seed, *names)
