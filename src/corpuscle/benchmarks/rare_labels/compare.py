"""Arms against class weights and against the best cheap arm, paired over the very same draws.

Units are repeats of a label of a data set. The interval resamples data sets (where there are several), repeats within each,
and the held-out series within each repeat, for which every arm of a draw was scored under the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks._paired import holm
from corpuscle.benchmarks.rare_labels.score import METRICS
from corpuscle.seeds import stream

__all__ = ["AGAINST", "EVERY", "Scored", "comparisons", "verdicts", "versus_cheap"]

Array = np.ndarray[Any, Any]
#: What every arm is compared to: the same weight of the label, without any sample.
AGAINST = "class_weight"
#: Scope of a comparison over all rarities, each of a repeat counting the same.
EVERY = "all"
ROUNDS = 2000
#: An arm is accepted below this.
SIGNIFICANT = 0.05
KEY = ["dataset", "label", "seed", "rarity"]
UNIT = KEY[:3]
NUMBERS = ["difference", "ci_low", "ci_high", "n_better", "n_draws", "n_sets", "p", "p_holm"]
COMPARED = ["rarity", "metric", "method", "amount", "role", "against", "value", "other", *NUMBERS]
VERDICT = [
    "method", "amount", "best_cheap", "cheap_amount", "auprc", "auprc_cheap", *NUMBERS, "accepted", "copies", "collapsed",
    "judged",
]  # fmt: skip


@dataclass(frozen=True)
class Scored:
    """Rows that ended well with their scores under resampled series.

    Attributes
    ----------
    rows
        dataset, label, seed, rarity, method, amount, role, and the metrics.
    replicates
        Metric -> (rows, b).
    """

    rows: pd.DataFrame
    replicates: dict[str, Array]

    def entries(self, *roles: str) -> list[tuple[str, str]]:
        """Arms with their amounts, sorted."""
        some = self.rows[self.rows["role"].isin(roles)]
        return sorted(set(zip(some["method"], some["amount"], strict=True)))

    def places(self, entry: tuple[str, str]) -> pd.Series:
        """Place of each draw of an entry."""
        of = (self.rows["method"] == entry[0]) & (self.rows["amount"] == entry[1])
        index = pd.MultiIndex.from_frame(self.rows.loc[of, KEY])
        return pd.Series(np.flatnonzero(of.to_numpy()), index=index)


class _Tester:
    """Tests paired differences; draws on the same units share their resamples."""

    def __init__(self, scored: Scored, seed: int) -> None:
        self.scored, self.seed = scored, seed
        self._places: dict[tuple[str, str], pd.Series] = {}
        self._picks: dict[Any, Callable[[Array], Array]] = {}

    def places(self, entry: tuple[str, str]) -> pd.Series:
        if entry not in self._places:
            self._places[entry] = self.scored.places(entry)
        return self._places[entry]

    def test(self, a: tuple[str, str], b: tuple[str, str], metric: str, rarity: str) -> dict[str, Any] | None:
        """What is known of the difference of two entries; None where they share no draw."""
        both = pd.concat([self.places(a), self.places(b)], axis=1, join="inner", keys=["a", "b"])
        if rarity != EVERY:
            both = both[both.index.get_level_values("rarity") == int(rarity)]
        value_r = self.scored.rows[metric].to_numpy(float)
        both = both[np.isfinite(value_r[both["a"]]) & np.isfinite(value_r[both["b"]])].sort_index()
        if both.empty:
            return None
        a_n, b_n = both["a"].to_numpy(), both["b"].to_numpy()
        replicate_rb = self.scored.replicates[metric]
        frame = pd.DataFrame(replicate_rb[a_n] - replicate_rb[b_n], index=both.index)
        frame.insert(0, "difference", value_r[a_n] - value_r[b_n])
        units = frame.groupby(UNIT, sort=True).mean()
        difference_u = units.pop("difference").to_numpy()
        sets_u = units.index.get_level_values("dataset").to_numpy()
        means_r = self._rounds(sets_u, units.shape[1])(units.to_numpy())
        low, high = np.percentile(means_r, [2.5, 97.5])
        tail = min(int((means_r <= 0).sum()), int((means_r >= 0).sum()))
        return {
            "value": _of_sets(value_r[a_n], both), "other": _of_sets(value_r[b_n], both),
            "difference": float(pd.Series(difference_u).groupby(sets_u).mean().mean()),
            "ci_low": float(low), "ci_high": float(high), "n_better": int((frame["difference"] > 0).sum()),
            "n_draws": len(frame), "n_sets": len(set(sets_u)), "p": min(1.0, 2 * (tail + 1) / (ROUNDS + 1)),
        }  # fmt: skip

    def _rounds(self, sets_u: Array, n_replicates: int) -> Callable[[Array], Array]:
        """What makes the means of all rounds of the replicates of these units."""
        key = (tuple(sets_u), n_replicates)
        if key not in self._picks:
            self._picks[key] = _Resampled(sets_u, n_replicates, stream(self.seed, "rare-labels", "compare"))
        return self._picks[key]


class _Resampled:
    """Data sets, repeats within them, and series within these, drawn with replacement."""

    def __init__(self, sets_u: Array, n_replicates: int, rng: np.random.Generator) -> None:
        names = np.unique(sets_u)
        self.chosen_rs = rng.integers(len(names), size=(ROUNDS, len(names)))
        self.picks = []
        for name in names:
            own_u = np.flatnonzero(sets_u == name)
            size = (ROUNDS, len(names), len(own_u))
            self.picks.append((rng.choice(own_u, size=size), rng.integers(n_replicates, size=size)))

    def __call__(self, replicate_ub: Array) -> Array:
        """(rounds,) mean over the data sets drawn of the mean over their repeats."""
        mean_lrs = np.stack([np.nanmean(replicate_ub[unit, draw], axis=2) for unit, draw in self.picks])
        rounds, slot = np.indices(self.chosen_rs.shape)
        return np.asarray(mean_lrs[self.chosen_rs, rounds, slot].mean(axis=1))


def _of_sets(value_n: Array, both: pd.DataFrame) -> float:
    """Mean over data sets of the mean over repeats and labels of the mean over rarities."""
    by_unit = pd.Series(value_n, index=both.index).groupby(UNIT).mean()
    return float(by_unit.groupby("dataset").mean().mean())


def comparisons(scored: Scored, seed: int) -> pd.DataFrame:
    """Every arm at every amount against class weights.

    Parameters
    ----------
    scored
        Rows and replicates.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        rarity (``"all"`` or a number), metric, method, amount, role, against; ``value`` and ``other`` (means over data
        sets), ``difference``, ``ci_low``, ``ci_high`` (95 %), ``n_better`` of ``n_draws``, ``n_sets``, ``p`` (two-sided,
        from the same bootstrap) and ``p_holm`` (over arms and amounts of one rarity and metric, null controls apart).
    """
    tester, reference = _Tester(scored, seed), (AGAINST, "")
    rows: list[dict[str, Any]] = []
    scopes = [(EVERY, metric) for metric in METRICS]
    scopes += [(str(r), "auprc") for r in sorted(scored.rows["rarity"].unique())]
    for rarity, metric in scopes:
        for roles in (("reference", "cheap", "candidate"), ("null",)):
            entries = [entry for entry in scored.entries(*roles) if entry != reference]
            rows += _holm_over(
                {"rarity": rarity, "metric": metric, "against": AGAINST, **_named(scored, entry), **found}
                for entry in entries
                if (found := tester.test(entry, reference, metric, rarity))
            )
    return pd.DataFrame(rows, columns=COMPARED)


def versus_cheap(scored: Scored, seed: int) -> pd.DataFrame:
    """AUPRC of every candidate against every cheap arm; columns as of :func:`comparisons`, Holm over all of them."""
    tester = _Tester(scored, seed)
    rows = _holm_over(
        {
            "rarity": EVERY, "metric": "auprc", "against": " ".join(cheap).strip(), **_named(scored, entry), **found,
        }
        for entry in scored.entries("candidate")
        for cheap in scored.entries("reference", "cheap")
        if (found := tester.test(entry, cheap, "auprc", EVERY))
    )  # fmt: skip
    return pd.DataFrame(rows, columns=COMPARED)


def verdicts(scored: Scored, judged: pd.DataFrame, seed: int) -> pd.DataFrame:
    """Is a candidate worth its trouble: does it beat the best cheap arm?

    The best cheap arm is the one of the highest mean AUPRC on the very draws of the candidate. Choosing it by the numbers
    that it is then compared by is in its favour, so that an acceptance errs on the safe side.

    Parameters
    ----------
    scored
        Rows and replicates.
    judged
        method, ``verdict`` (words of :func:`~.memorisation.verdict`) of each run that was judged.
    seed
        Of the bootstrap.

    Returns
    -------
    DataFrame
        method, amount, best_cheap, cheap_amount, auprc, auprc_cheap, the test of the difference, ``p_holm`` over
        candidates and amounts, ``accepted`` (the interval of the gain is above 0 and ``p_holm`` is at most 0.05), and of
        ``judged`` runs how many are ``copies`` or ``collapsed``.
    """
    tester = _Tester(scored, seed)
    rows = []
    for entry in scored.entries("candidate"):
        cheap = _best_cheap(scored, tester, entry)
        found = tester.test(entry, cheap, "auprc", EVERY) if cheap else None
        if cheap is None or found is None:
            continue
        names = {"method": entry[0], "amount": entry[1], "best_cheap": cheap[0], "cheap_amount": cheap[1]}
        words = judged.loc[judged["method"] == entry[0], "verdict"]
        counts = {word: int(sum(word in of for of in words)) for word in ("copies", "collapsed")}
        rows.append(
            {**names, "auprc": found["value"], "auprc_cheap": found["other"], **found, **counts, "judged": len(words)}
        )
    rows = _holm_over(iter(rows))
    for row in rows:
        row["accepted"] = bool(row["ci_low"] > 0 and row["p_holm"] <= SIGNIFICANT)
    return pd.DataFrame(rows, columns=VERDICT)


def _best_cheap(scored: Scored, tester: _Tester, entry: tuple[str, str]) -> tuple[str, str] | None:
    """The cheap arm and amount of the highest mean AUPRC, among those that ran on most draws of an entry."""
    own = tester.places(entry).index
    value_r = scored.rows["auprc"].to_numpy(float)
    found = []
    for cheap in scored.entries("reference", "cheap"):
        places = tester.places(cheap)
        shared = places[places.index.isin(own)]
        if len(shared):
            mean = _of_sets(value_r[shared.to_numpy()], shared.to_frame())
            found.append((len(shared), mean, cheap))
    return max(found)[2] if found else None


def _named(scored: Scored, entry: tuple[str, str]) -> dict[str, Any]:
    role = scored.rows.loc[scored.rows["method"] == entry[0], "role"].iloc[0]
    return {"method": entry[0], "amount": entry[1], "role": role}


def _holm_over(rows: Iterator[dict[str, Any]] | Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    found = list(rows)
    adjusted = holm([row["p"] for row in found])
    return [row | {"p_holm": p} for row, p in zip(found, adjusted, strict=True)]
