"""Do synthetic samples of a label look like real samples of it that nobody trained on?

All functions take arrays. Every figure stands beside the same figure of the real training samples: these come from other
series than the held-out ones, so they do not match them perfectly either, and no generator can be asked to do better.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.rare_labels._decoded import (
    correlation_agreement,
    detection_share,
    largest_gap,
    library_log10,
)
from corpuscle.benchmarks.rare_labels._figures import checked, figure_table, need
from corpuscle.benchmarks.rare_labels._manifold import neighbour_figures
from corpuscle.benchmarks.rare_labels._two_sample import (
    frechet_distance,
    kernel_test,
    real_or_fake_auc,
    wasserstein_by_feature,
)
from corpuscle.errors import OptionError

__all__ = [
    "FIGURES",
    "IDEAL",
    "correlation_agreement",
    "fidelity",
    "frechet_distance",
    "kernel_test",
    "neighbour_figures",
    "real_or_fake_auc",
    "wasserstein_by_feature",
]

Array = np.ndarray[Any, Any]
Decode = Callable[[Array], Array]
#: Judge -> its figures, of features.
IN_FEATURES = {
    "neighbours": ("precision", "recall", "density", "coverage"),
    "kernel": ("mmd2", "mmd_p"),
    "frechet": ("frechet",),
    "wasserstein": ("wasserstein",),
    "told_apart": ("real_or_fake_auc",),
}
#: Of decoded values; the correlations are of features where nothing decodes.
IN_VALUES = {
    "detection": ("detected_share", "detected_gap"),
    "library": ("library_log10", "library_gap"),
    "negative": ("negative_share",),
}
CORRELATIONS = {"correlations": ("correlation_agreement",)}
FIGURES = tuple(name for names in (IN_FEATURES | CORRELATIONS | IN_VALUES).values() for name in names)
#: What a figure is where synthetic samples are as good as fresh ones; the others have no such number of their own.
IDEAL: Mapping[str, float] = {
    "precision": 1.0, "recall": 1.0, "density": 1.0, "coverage": 1.0, "mmd2": 0.0, "frechet": 0.0, "wasserstein": 0.0,
    "real_or_fake_auc": 0.5, "correlation_agreement": 1.0, "detected_gap": 0.0, "library_gap": 0.0,
    "negative_share": 0.0,
}  # fmt: skip


@dataclass(frozen=True)
class _Side:
    """Samples as features and, where something decodes, as values."""

    x_nd: Array
    values_ng: Array | None


def fidelity(
    heldout_md: Array,
    synthetic_sd: Array,
    train_nd: Array | None = None,
    *,
    decode: Decode | None = None,
    seed: int = 0,
    k: int = 5,
    n_max: int = 1000,
    permutations: int = 199,
) -> pd.DataFrame:
    """Figures of synthetic samples of one label against held-out real ones, beside those of the training samples.

    Parameters
    ----------
    heldout_md
        (m, d) real samples of the label that were not trained on.
    synthetic_sd
        (s, d) synthetic samples in random order. Many figures depend on the number of samples, so no more than m are
        judged, the first of them.
    train_nd
        (n, d) training samples of the label, of which a random m at most take the synthetic ones' place; None for no
        reference.
    decode
        Samples x features to samples x genes on a log2 scale, not clipped, so that values below 0 are seen.
    seed
        Of the subsets, permutations and folds.
    k
        Neighbours of :func:`neighbour_figures`.
    n_max
        Most samples of each set.
    permutations
        Of :func:`kernel_test`.

    Returns
    -------
    figures
        Columns ``figure`` (of :data:`FIGURES`), ``value``, ``reference`` (training samples in place of the synthetic
        ones), ``reason`` (why a value is NaN, else empty).

    Raises
    ------
    OptionError
        Arrays that do not fit together or are not all finite, or numbers below 1.
    """
    if min(k, n_max, permutations) < 1:
        raise OptionError(f"k={k}, n_max={n_max} and permutations={permutations} must be 1 or more")
    heldout_md = _some(_given(heldout_md, "held-out samples"), n_max, seed, "held-out")
    d, size = heldout_md.shape[1], len(heldout_md)
    synthetic_sd = _given(synthetic_sd, "synthetic samples", d)[:size]
    real = _side(heldout_md, decode)
    judged = _side(synthetic_sd, decode)
    reference = None
    if train_nd is not None:
        reference = _side(_some(_given(train_nd, "training samples", d), size, seed, "training"), decode)
    in_values = {} if decode is None else IN_VALUES
    ask = partial(_ask, real, seed=seed, k=k, permutations=permutations)
    return figure_table(ask, IN_FEATURES | CORRELATIONS | in_values, judged, reference)


def _ask(real: _Side, fake: _Side, judge: str, *, seed: int, k: int, permutations: int) -> Mapping[str, float]:
    """Figures of one judge."""
    need(len(real.x_nd), 1, "held-out samples")
    need(len(fake.x_nd), 1, "synthetic samples")
    real_md, fake_sd = real.x_nd, fake.x_nd
    if judge == "neighbours":
        return neighbour_figures(real_md, fake_sd, k)
    if judge == "kernel":
        return kernel_test(real_md, fake_sd, permutations=permutations, seed=seed)
    if judge == "frechet":
        return {"frechet": frechet_distance(real_md, fake_sd)}
    if judge == "wasserstein":
        return {"wasserstein": float(wasserstein_by_feature(real_md, fake_sd).mean())}
    if judge == "told_apart":
        return {"real_or_fake_auc": real_or_fake_auc(real_md, fake_sd, seed=seed)}
    return _ask_values(real, fake, judge)


def _ask_values(real: _Side, fake: _Side, judge: str) -> Mapping[str, float]:
    """Figures of decoded values; correlations also of features."""
    if real.values_ng is None or fake.values_ng is None:
        return {"correlation_agreement": correlation_agreement(real.x_nd, fake.x_nd)}
    real_mg, fake_sg = real.values_ng, fake.values_ng
    if judge == "correlations":
        return {"correlation_agreement": correlation_agreement(real_mg, fake_sg)}
    if judge == "negative":
        return {"negative_share": float((fake_sg < 0).mean())}
    of, name = (detection_share, "detected") if judge == "detection" else (library_log10, "library")
    real_m, fake_s = of(real_mg), of(fake_sg)
    middle = "detected_share" if judge == "detection" else "library_log10"
    return {middle: float(np.median(fake_s)), f"{name}_gap": largest_gap(real_m, fake_s)}


def _given(x_nd: Array, what: str, d: int | None = None) -> Array:
    out = checked(x_nd, what, d)
    assert out is not None
    return out


def _side(x_nd: Array, decode: Decode | None) -> _Side:
    if decode is None or not len(x_nd):
        return _Side(x_nd, None)
    return _Side(x_nd, checked(decode(x_nd), "decoded values"))


def _some(x_nd: Array, most: int, seed: int, key: str) -> Array:
    """At most so many rows, drawn without replacement and kept in order."""
    from corpuscle.seeds import stream

    if len(x_nd) <= most:
        return x_nd
    return x_nd[np.sort(stream(seed, "rare-labels", "fidelity", key).choice(len(x_nd), most, replace=False))]
