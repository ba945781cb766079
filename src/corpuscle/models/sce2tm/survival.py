"""Do patients whose tumours express a topic's genes live longer or shorter? Topics carried over to bulk cohorts."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.models.sce2tm._bulk import Bulk, FollowUp, read_bulk, read_follow_up
from corpuscle.models.sce2tm._score_test import null_hazard, score_test
from corpuscle.seeds import stream

__all__ = ["topic_scores", "topic_survival"]

Array = np.ndarray[Any, Any]
GeneLists = Mapping[Hashable, Sequence[str]]

#: A random gene replaces one whose mean expression is among this many nearest, or a twentieth of the genes.
NEAREST_GENES = 50
SPLITS = {"median": 0.5, "upper_quartile": 0.75}


def topic_scores(
    expression: Any, topic_genes: pd.DataFrame | GeneLists, *, n_genes: int = 10, min_share: float = 0.5
) -> pd.DataFrame:
    """Mean z-score of each topic's first genes in each sample.

    Parameters
    ----------
    expression
        Log expression of bulk samples: a data frame of samples x genes, or an AnnData.
    topic_genes
        Table with columns ``topic`` and ``gene``, best first (``model.get_topic_genes(50)``), or topic -> genes.
    n_genes
        Genes of a topic.
    min_share
        A topic of which a smaller share of genes is in the cohort, with spread, scores NaN.

    Returns
    -------
    DataFrame, samples x topics
        ``attrs["n_present"]`` says how many of each topic's genes were used.

    Raises
    ------
    SourceError, GeneError
        The matrix is not finite or too small; a gene repeats, or no topic has enough genes in it.
    """
    bulk = read_bulk(expression)
    present = _present(bulk, _gene_lists(topic_genes), n_genes, min_share)
    scores = {topic: _scores(bulk, place_t) for topic, place_t in present.items()}
    table = pd.DataFrame(scores, index=bulk.samples)
    table.attrs["n_present"] = {topic: int(place_t.size) for topic, place_t in present.items()}
    return table


def topic_survival(
    expression: Any,
    topic_genes: pd.DataFrame | GeneLists,
    *,
    time: str,
    event: str,
    event_value: Any = None,
    clinical: pd.DataFrame | None = None,
    covariates: Sequence[str] = (),
    n_genes: Sequence[int] = (10, 50),
    min_share: float = 0.5,
    n_random: int = 1000,
    drop_unusable: bool = False,
    seed: int = 0,
) -> pd.DataFrame:
    """Test the association of every topic with survival in a bulk cohort.

    A topic's score in a sample is the mean z-score of its first genes. It is tested by Cox regression (per standard
    deviation of the score, with the covariates), by the log-rank test after splits at its median and upper quartile,
    and against random gene sets: as many genes of like mean expression, whose absolute score statistic of the same
    Cox model (covariates included) is as large. In many tumours most random sets are associated with survival [1]_,
    so that this last p is the one that speaks for the topic.

    Parameters
    ----------
    expression, topic_genes, min_share
        See :func:`topic_scores`.
    time, event
        Columns of follow-up time (any unit, above 0) and of whether the event (death) was seen: booleans, 0 and 1, or
        with ``event_value`` anything.
    event_value
        The value of ``event`` that means that it was seen; all others mean censored.
    clinical
        Table whose index are the samples; by default ``obs`` of the AnnData.
    covariates
        Columns of the table, e.g. age, sex and stage; text becomes indicators.
    n_genes
        Genes of a topic, one analysis each.
    n_random
        Random gene sets a topic.
    drop_unusable
        Leave out samples with unknown or impossible follow-up or covariates instead of refusing them.
    seed
        Of the random gene sets.

    Returns
    -------
    DataFrame, one row a topic and number of genes
        ``topic, n_genes, n_present, n_samples, n_events, hazard_ratio, ci_low, ci_high`` (95 %, per standard
        deviation), ``cox_p, logrank_median_p, logrank_upper_quartile_p, score_z`` (above 0: shorter survival with a
        high score), ``random_p``, each p also as ``..._adjusted`` (Benjamini-Hochberg over the topics of one number
        of genes), ``reason`` where something is NaN.

    Raises
    ------
    MethodError
        ``lifelines`` is not installed, or there are too few samples or events.
    SourceError, GeneError, OptionError
        What is wrong with the matrix, the genes, the follow-up.

    References
    ----------
    .. [1] Venet, Dumont & Detours, Most random gene expression signatures are significantly associated with breast
       cancer outcome. PLoS Computational Biology 2011.
    """
    _lifelines()
    if not n_genes or n_random < 1:
        raise OptionError(
            f"n_genes={n_genes!r} must name one number or more, and n_random={n_random} must be 1 or more"
        )
    whole = read_bulk(expression)
    follow = read_follow_up(
        whole, clinical, time=time, event=event, event_value=event_value, covariates=covariates, drop=drop_unusable
    )
    bulk = whole.take(follow.rows)
    lists = _gene_lists(topic_genes)
    hazard = null_hazard(follow)
    rows = []
    for size in n_genes:
        for topic, place_t in _present(bulk, lists, size, min_share).items():
            row = {"topic": topic, "n_genes": size, "n_present": place_t.size}
            rng = stream(seed, "random gene sets", str(topic), str(size))
            rows.append(row | _associate(bulk, follow, hazard, place_t, n_random, rng))
    return _with_adjusted(pd.DataFrame(rows))


def _associate(
    bulk: Bulk, follow: FollowUp, hazard: Array, place_t: Array, n_random: int, rng: np.random.Generator
) -> dict[str, Any]:
    found: dict[str, Any] = {"n_samples": len(follow.time_s), "n_events": int(follow.event_s.sum())}
    score_s = _scores(bulk, place_t)
    if not np.isfinite(score_s).all() or np.ptp(score_s) == 0:
        reason = (
            "too few of its genes are in the cohort" if not place_t.size else "the score is the same in every sample"
        )
        return found | {"score_z": np.nan, "reason": reason}
    score_s = (score_s - score_s.mean()) / score_s.std()
    cox, reason = _cox(follow, score_s)
    random_p, lack = _random_p(bulk, follow, hazard, place_t, score_s, n_random, rng)
    splits = {f"logrank_{name}_p": _log_rank(follow, score_s, share) for name, share in SPLITS.items()}
    score_z = float(score_test(follow, hazard, score_s[:, None])[0])
    if not reason and any(not np.isfinite(p) for p in splits.values()):
        reason = "a split leaves a side empty"
    return found | cox | splits | {"score_z": score_z, "random_p": random_p, "reason": reason or lack}


def _cox(follow: FollowUp, score_s: Array) -> tuple[dict[str, float], str]:
    """Hazard ratio of the score, its 95 % interval and p; or NaN and why."""
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    frame = pd.DataFrame(follow.covariate_sc, columns=[f"covariate {c}" for c in range(follow.covariate_sc.shape[1])])
    frame["time"], frame["event"], frame["score"] = follow.time_s, follow.event_s, score_s
    names = ("hazard_ratio", "ci_low", "ci_high", "cox_p")
    try:
        row = CoxPHFitter().fit(frame, "time", "event").summary.loc["score"]
    except (ConvergenceError, np.linalg.LinAlgError, ValueError) as error:
        return dict.fromkeys(names, np.nan), f"Cox regression: {' '.join(str(error).split())[:120]}"
    values = row[["exp(coef)", "exp(coef) lower 95%", "exp(coef) upper 95%", "p"]].to_numpy(float)
    return dict(zip(names, map(float, values), strict=True)), ""


def _log_rank(follow: FollowUp, score_s: Array, share: float) -> float:
    from lifelines.statistics import logrank_test

    high_s = score_s > np.quantile(score_s, share)
    if high_s.all() or not high_s.any():
        return float("nan")
    time_s, event_s = follow.time_s, follow.event_s
    return float(logrank_test(time_s[high_s], time_s[~high_s], event_s[high_s], event_s[~high_s]).p_value)


def _random_p(
    bulk: Bulk, follow: FollowUp, hazard: Array, place_t: Array, score_s: Array, times: int, rng: np.random.Generator
) -> tuple[float, str]:
    sets_bt = random_sets(bulk.mean_g, place_t, times, rng)
    if sets_bt is None:
        return float("nan"), "too few genes in the cohort for random sets of like expression"
    observed = abs(float(score_test(follow, hazard, score_s[:, None])[0]))
    as_large, chunk = 0, 250
    for start in range(0, times, chunk):
        score_sb = bulk.z_sg[:, sets_bt[start : start + chunk]].mean(axis=2)
        as_large += int((np.abs(score_test(follow, hazard, score_sb)) >= observed * (1 - 1e-9)).sum())
    return (1 + as_large) / (1 + times), ""


def random_sets(mean_g: Array, place_t: Array, times: int, rng: np.random.Generator) -> Array | None:
    """(times, t) gene sets without repeats: each gene replaced by one of like mean expression outside the set.

    None where there are too few other genes.
    """
    g = mean_g.size
    width = min(max(NEAREST_GENES, g // 20, 4 * place_t.size), g - 1)
    if width - place_t.size < 2 * place_t.size:
        return None
    order = np.argsort(mean_g, kind="stable")
    rank_g = np.empty(g, np.int64)
    rank_g[order] = np.arange(g)
    low_t = np.clip(rank_g[place_t] - width // 2, 0, g - 1 - width)
    own_g = np.zeros(g, bool)
    own_g[place_t] = True
    sets_bt = np.full((times, place_t.size), -1)
    wrong_bt = np.ones(sets_bt.shape, bool)
    while wrong_bt.any():
        drawn = (low_t + rng.integers(0, width + 1, size=sets_bt.shape))[wrong_bt]
        sets_bt[wrong_bt] = order[drawn]
        wrong_bt = own_g[sets_bt] | _repeats(sets_bt)
    return sets_bt


def _repeats(sets_bt: Array) -> Array:
    """Whether an entry is seen earlier in its row."""
    by_value = np.argsort(sets_bt, axis=1, kind="stable")
    ordered = np.take_along_axis(sets_bt, by_value, axis=1)
    again = np.zeros(sets_bt.shape, bool)
    again[:, 1:] = ordered[:, 1:] == ordered[:, :-1]
    repeats = np.empty_like(again)
    np.put_along_axis(repeats, by_value, again, axis=1)
    return repeats


def _scores(bulk: Bulk, place_t: Array) -> Array:
    if not place_t.size:
        return np.full(len(bulk.samples), np.nan)
    score_s: Array = bulk.z_sg[:, place_t].mean(axis=1)
    return score_s


def _present(bulk: Bulk, lists: GeneLists, n_genes: int, min_share: float) -> dict[Hashable, Array]:
    """Positions of each topic's first genes that the cohort has; none where too few are there."""
    if n_genes < 1 or not 0 <= min_share <= 1:
        raise OptionError(f"n_genes={n_genes} must be 1 or more, and min_share={min_share} from 0 to 1")
    present = {}
    for topic, genes in lists.items():
        first = list(dict.fromkeys(genes))[:n_genes]
        place_t = bulk.genes.get_indexer(first)
        place_t = place_t[place_t >= 0]
        enough = place_t.size >= max(1, min_share * len(first))
        present[topic] = place_t if enough else place_t[:0]
    if not any(place_t.size for place_t in present.values()):
        example = next(iter(next(iter(lists.values()))), "")
        raise GeneError(
            f"no topic has {min_share:.0%} of its genes in the cohort, whose genes are called like {bulk.genes[0]} and "
            f"the topics' like {example}; translate the names"
        )
    return present


def _gene_lists(topic_genes: pd.DataFrame | GeneLists) -> dict[Hashable, list[str]]:
    if isinstance(topic_genes, pd.DataFrame):
        if not {"topic", "gene"} <= set(topic_genes.columns):
            raise OptionError(f"topic_genes needs columns topic and gene; it has: {', '.join(map(str, topic_genes))}")
        if "rank" in topic_genes.columns:
            topic_genes = topic_genes.sort_values("rank", kind="stable")
        lists = {topic: list(map(str, rows["gene"])) for topic, rows in topic_genes.groupby("topic", sort=True)}
    else:
        lists = {topic: list(map(str, genes)) for topic, genes in topic_genes.items()}
    if not lists or not all(lists.values()):
        raise OptionError("topic_genes is empty, or a topic in it has no gene")
    return lists


def _with_adjusted(table: pd.DataFrame) -> pd.DataFrame:
    from scipy.stats import false_discovery_control

    kinds = ("cox_p", "logrank_median_p", "logrank_upper_quartile_p", "random_p")
    table = table.reindex(columns=[*dict.fromkeys([*COLUMNS, *table.columns])])
    for kind in kinds:
        table[f"{kind}_adjusted"] = np.nan
        for _, part in table.groupby("n_genes"):
            p_t = part[kind].dropna()
            if len(p_t):
                table.loc[p_t.index, f"{kind}_adjusted"] = false_discovery_control(p_t.to_numpy(float))
    return table[[column for column in table if column != "reason"] + ["reason"]]


COLUMNS = (
    "topic", "n_genes", "n_present", "n_samples", "n_events", "hazard_ratio", "ci_low", "ci_high", "cox_p",
    "logrank_median_p", "logrank_upper_quartile_p", "score_z", "random_p", "reason",
)  # fmt: skip


def _lifelines() -> None:
    try:
        import lifelines  # noqa: F401
    except ModuleNotFoundError:
        raise MethodError("survival needs lifelines; run: pip install 'corpuscle[interpret]'") from None
