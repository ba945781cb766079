"""One row a gene: how it is distributed over samples, how far its top stands out, and how alike its top samples are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from corpuscle.bulk.genes._alike import GRAM_SAMPLES, KINDS, WINDOWS, Alike, Kind, alike
from corpuscle.bulk.genes._by_gene import Ordered, Reading, exact, sketched
from corpuscle.bulk.genes._gene_blocks import BUDGET
from corpuscle.bulk.genes._groups import label_members, series_codes
from corpuscle.bulk.genes._notes import notes_of, reasons
from corpuscle.bulk.genes._statistics import GeneStatistics, gene_statistics
from corpuscle.bulk.genes.cosine import repo_scale
from corpuscle.bulk.genes.percentiles import order_interval
from corpuscle.bulk.genes.scores import signal_ratio, tau
from corpuscle.bulk.genes.windows import Window, window_at
from corpuscle.counts import Counts
from corpuscle.counts._passes import Progress
from corpuscle.errors import MethodError, OptionError
from corpuscle.normalize import Normalizer, normalizer

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels

__all__ = ["gene_metrics"]

Array = np.ndarray[Any, Any]
GENE_IDS = ("gene_id", "gene_ids", "ensembl_id", "ensembl_gene")


def gene_metrics(
    counts: Counts,
    *,
    normalizer: str | Normalizer = "log_cpm",
    percentile: float = 95,
    cosine: Kind | None = None,
    k: int = 100,
    labels: Labels | str | None = None,
    series: str | Array | None = None,
    genes: Sequence[str] | Array | None = None,
    repo_formula: bool = False,
    percentiles: Literal["exact", "sketch"] = "exact",
    pseudo_count: float = 1.0,
    seed: int = 0,
    budget: int = BUDGET,
    scratch: Path | None = None,
    progress: Progress | None = None,
) -> pd.DataFrame:
    """Statistics and information metrics of every gene over normalised samples.

    One pass over the samples for moments and detection, and one for percentiles (see Notes). Nothing is divided by a gene
    length: on a logarithmic scale that would have no meaning.

    Parameters
    ----------
    counts
        The samples, at least 2; those that all numbers are of, e.g. the training samples.
    normalizer
        Registry id, or a normalisation, fitted or not; its values are used as float32.
    percentile
        The upper percentile, between 0 and 100; it names the columns ``p95``, ``p95_low`` and ``p95_high``.
    cosine
        Mean cosine of the profiles of the ``k`` samples around the percentile: of all genes less their means
        (``"centred"``), of all genes as they are (``"uncentred"``: near 1 for any samples), or of at most 100 principal
        components of scaled genes (``"pcs"``: the cheapest for many samples). None for none.
    k
        Samples in a window.
    labels
        For tau: :class:`~corpuscle.bulk.labels.store.Labels`, the path of saved ones, or ``"obs:COLUMN"``.
    series
        Column of ``obs`` with the series of each sample, or a code for each; adds a second baseline.
    genes
        Names, ids or positions of the genes to report; all by default. Profiles always have all genes.
    repo_formula
        Window and scale of the mean cosine as in the reference repository: the window starts at ``int(q (n + 1)) - k // 2``,
        and the number is ``2 m + 2 / (k - 1)``. The signal ratio is then of (1 + y) / mean(1 + y), which is the same number.
    percentiles
        ``"exact"``, or ``"sketch"``: from a histogram, off by ``attrs["percentile_error"]`` at most, without windows.
    pseudo_count
        Of the signal ratio, in the units of the values.
    seed
        Of random windows, and of the draw among equal values at the end of a window.
    budget
        Bytes of values held at a time.
    scratch
        Folder for the transposed copy of values that exceed the budget.
    progress
        Called after every block with (samples done, samples in all, what).

    Returns
    -------
    pandas.DataFrame
        ``gene, gene_id, n, mean, var, detection, p50, p95, p95_low, p95_high, signal_ratio, signal_low, signal_high, gini, tau,
        cosine, cosine_z, tied, reason``; with series also ``n_series`` (in the window) and ``cosine_z_series``. What is not
        defined is NaN, with the reason. A cosine
        is not defined where samples at the percentile have no count. ``attrs`` has the settings, the baselines and ``notes``.

    Raises
    ------
    OptionError
        An option makes no sense, such as a window of more samples than there are.
    GeneError
        A gene is not there.
    MethodError
        There are fewer than 2 samples, the normalisation cannot be streamed, or gives values that are no numbers.

    Notes
    -----
    Percentiles are linear between order statistics, as of numpy; their interval encloses the percentile with 95 % confidence
    by ranks alone. ``cosine_z`` is the distance from the mean of 200 windows of random samples in their standard deviations;
    ``cosine_z_series`` the same against windows made of whole series.

    Values that exceed the budget are written to a transposed copy of samples x genes x 4 bytes; without room on disk, there
    is a pass for every block of genes. Cosines of up to 5,000 samples need their n x n inner products; of more, one pass for
    every 2,200 genes (60,000 genes, 512 MB), so ``pcs`` is the choice then.
    """
    q = _check(counts, percentile, cosine, percentiles, budget)
    window = None if cosine is None else window_at(counts.n_obs, q, k, repo_formula=repo_formula)
    places = np.arange(counts.n_vars) if genes is None else pd.unique(counts.gene_index(genes))
    y_nl, label_notes = label_members(counts, labels)
    code_n, series_notes = series_codes(counts, series)
    method = _fitted(counts, normalizer, seed)
    reading = Reading(counts, method, budget, scratch, progress)
    found = gene_statistics(counts, method, y_nl=y_nl, progress=progress)
    error_g = np.zeros(places.size)
    if percentiles == "sketch":
        ordered, error_g = sketched(reading, places, q, found)
    else:
        # A window where most samples have no count says nothing of the gene: at the percentile, a count must be above 0.
        least = counts.n_obs - np.ceil((counts.n_obs - 1) * q)
        windowed_g = np.minimum(found.detected_g, counts.n_obs - found.zeros_g)[places] >= max(least, 1)
        gram = cosine in ("centred", "uncentred") and counts.n_obs <= GRAM_SAMPLES
        gram_mean_g = (found.mean_g if cosine == "centred" else np.zeros(counts.n_vars)) if gram else None
        ordered = exact(reading, places, q, window, windowed_g, seed, gram_mean_g)
    like = None if cosine is None else alike(reading, cosine, ordered, found, code_n, seed)
    frame = _frame(counts, places, found, ordered, like, percentile, 1.0 if repo_formula else pseudo_count)
    frame["tau"] = np.nan if y_nl is None else tau(_label_means(found, y_nl)[:, places])
    if like is not None:
        _add_cosines(frame, like, window, repo_formula)
    frame["reason"] = reasons(frame, found.detected_g[places], percentile, cosine is not None, y_nl is not None)
    frame.attrs = {
        "n": counts.n_obs, "percentile": percentile, "normalizer": method.name, "params": _params(method), "seed": seed,
        "cosine": cosine, "k": None if window is None else window.k, "repo_formula": repo_formula,
        "window": None if window is None else [window.start, window.stop], "pseudo_count": pseudo_count,
        "interval_ranks": list(order_interval(counts.n_obs, q)), "percentiles": percentiles,
        "percentile_error": float(error_g.max(initial=0.0)), "baselines": _baselines(like),
        "notes": [*label_notes, *series_notes, *notes_of(counts, q, percentile, window, k, repo_formula, code_n)],
    }  # fmt: skip
    return frame


def _check(counts: Counts, percentile: float, cosine: str | None, percentiles: str, budget: int) -> float:
    """The percentile as a share; refuse what makes no sense before any pass."""
    if not 0 < percentile < 100:
        raise OptionError(f"percentile {percentile!r} is not between 0 and 100")
    if cosine is not None and cosine not in KINDS:
        raise OptionError(f"cosine {cosine!r} is none of: {', '.join(KINDS)}")
    if percentiles not in ("exact", "sketch"):
        raise OptionError(f"percentiles {percentiles!r} is neither exact nor sketch")
    if percentiles == "sketch" and cosine is not None:
        raise OptionError("the samples around a percentile need exact percentiles; leave sketch or the cosine out")
    if budget < 2**10:
        raise OptionError(f"budget {budget!r} is too small to hold anything; give bytes")
    if counts.n_obs < 2:
        raise MethodError(f"{counts.name}: one sample has no distribution; give at least 2")
    return percentile / 100


def _fitted(counts: Counts, name: str | Normalizer, seed: int) -> Normalizer:
    made = normalizer(name) if isinstance(name, str) else name
    if made.needs == "matrix":
        raise MethodError(f"{made.name}: needs the whole matrix and cannot be streamed; choose another normalisation")
    if isinstance(name, str) and "random_state" in made.get_params(deep=False):
        made.set_params(random_state=seed)
    fitted = any(attribute.endswith("_") and not attribute.startswith("_") for attribute in vars(made))
    return made if fitted else made.fit(counts)


def _params(method: Normalizer) -> dict[str, Any]:
    given = method.get_params(deep=False)
    return {name: value if isinstance(value, int | float | str | None) else str(value) for name, value in given.items()}


def _label_means(found: GeneStatistics, y_nl: Any) -> Array:
    """(l, g) of the labels that have samples."""
    n_l = np.asarray(y_nl.sum(axis=0, dtype=np.int64)).ravel()
    return found.sum_lg[n_l > 0] / n_l[n_l > 0, None]


def _frame(
    counts: Counts, places: Array, found: GeneStatistics, ordered: Ordered, like: Alike | None, percentile: float,
    pseudo_count: float,
) -> pd.DataFrame:  # fmt: skip
    """All columns in their order; those of cosines and labels still empty."""
    var, numbers, mean_g, p = counts.var, ordered.quantiles, found.mean_g[places], f"p{percentile:g}"
    ids = next((var[name] for name in GENE_IDS if name in var), None)
    columns: dict[str, Any] = {
        "gene": counts.var_names[places].astype(str).to_numpy(object),
        "gene_id": "" if ids is None else ids.iloc[places].astype(str).to_numpy(object),
        "n": found.n, "mean": mean_g, "var": found.variance_g[places], "detection": found.detected_g[places] / found.n,
        "p50": numbers.middle_g, p: numbers.high_g, f"{p}_low": numbers.low_end_g, f"{p}_high": numbers.high_end_g,
        "signal_ratio": signal_ratio(numbers.high_g, mean_g, pseudo_count),
        "signal_low": signal_ratio(numbers.low_end_g, mean_g, pseudo_count),
        "signal_high": signal_ratio(numbers.high_end_g, mean_g, pseudo_count),
        "gini": numbers.gini_g, "tau": np.nan, "cosine": np.nan, "cosine_z": np.nan,
        "tied": ordered.tied_g, "reason": "",
    }  # fmt: skip
    if like is not None and like.series_w is not None:
        columns |= {"n_series": like.n_series_g, "cosine_z_series": np.nan}
        columns["reason"] = columns.pop("reason")
    return pd.DataFrame(columns)


def _add_cosines(frame: pd.DataFrame, like: Alike, window: Window | None, repo_formula: bool) -> None:
    cosine_g = like.cosine_g
    frame["cosine"] = repo_scale(cosine_g, window.k) if repo_formula and window is not None else cosine_g
    frame["cosine_z"] = _z(cosine_g, like.random_w)
    if like.series_w is not None:
        frame["cosine_z_series"] = _z(cosine_g, like.series_w)


def _z(cosine_g: Array, baseline_w: Array) -> Array:
    """Distances from the baseline; NaN where all its windows are the same but for rounding."""
    spread = float(baseline_w.std(ddof=1))
    return (cosine_g - baseline_w.mean()) / spread if spread > 1e-12 else np.full(cosine_g.shape, np.nan)


def _baselines(like: Alike | None) -> dict[str, Any]:
    if like is None:
        return {}
    drawn = {"random": like.random_w, "series": like.series_w}
    return {
        name: {"windows": WINDOWS, "mean": float(w.mean()), "sd": float(w.std(ddof=1))}
        for name, w in drawn.items()
        if w is not None
    }
