"""Models judged on series that they have not seen, with the score of a random split beside it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from corpuscle import __version__
from corpuscle.bulk._features import Features
from corpuscle.bulk.classify import _tables as tables
from corpuscle.bulk.classify._held_out import Held, held_out
from corpuscle.bulk.classify._splits import SPLITS
from corpuscle.bulk.classify._tables import Evaluation
from corpuscle.bulk.classify._task import Task, task_of
from corpuscle.bulk.classify._vectors import BUDGET
from corpuscle.bulk.classify.bootstrap import Scorer, interval_of
from corpuscle.bulk.classify.models import MODELS, new_model
from corpuscle.bulk.classify.reference import REFERENCE, reference_score
from corpuscle.counts._identity import gene_hash, identities
from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["evaluate"]

Array = np.ndarray[Any, Any]
GAPS = ("macro_f1", "micro_f1", "samples_f1", "balanced_accuracy", "macro_auroc", "macro_auprc")


def evaluate(
    counts: Counts,
    labels: Labels,
    series: Array | None = None,
    *,
    models: Sequence[str] = ("logistic",),
    split: str = "series",
    compare: bool = True,
    folds: int = 5,
    seeds: int = 1,
    seed: int = 0,
    features: Features | None = None,
    n_boot: int = 1000,
    budget: int = BUDGET,
    progress: Progress | None = None,
) -> Evaluation:
    """Hold out samples, learn everything from the rest, and score the answers.

    Genes, normalisation, scale and components are fitted on the training samples of a fold; probabilities and the
    threshold of abstention are learnt on folds inside it, by series too. The inner folds share the components of the
    training fold, which look at no label.

    Parameters
    ----------
    counts
        Raw counts.
    labels
        What samples are, matched by name. Labels of fewer than three series are not judged.
    series
        (n,) code of the series of each sample, as of :func:`corpuscle.bulk.series_groups`; None if they are not known,
        and then only a random split is possible.
    models
        Names of :data:`MODELS`, and ``"reference"`` for the published way.
    split
        ``"series"``, or ``"random"`` for a split that may have a study on both sides.
    compare
        Also split at random, and give the gap.
    folds, seeds
        Test folds, and how often they are drawn.
    seed
        Of everything random.
    features
        Settings of the features; those of :class:`corpuscle.bulk.Features` by default.
    n_boot
        Resamples of the series for the intervals; 0 for none.
    budget
        Bytes for scaled genes; a forest of more is grown on parts of the samples.
    progress
        Called after every block.

    Raises
    ------
    OptionError
        A name or number makes no sense, there are not two labels that can be judged, or no split is possible.
    MethodError
        The features cannot be fitted.
    """
    _check(models, split, seeds, n_boot, series)
    features = Features() if features is None else features
    task = task_of(counts, labels, series, judged=True)
    named = [name for name in models if name != REFERENCE]
    splits = [split, *(["random"] if compare and split == "series" else [])]
    unit_m = np.arange(len(task.places_m)) if task.series_m is None else task.series_m
    made = _Collected()
    begun = time.perf_counter()
    for repeat in range(seed, seed + seeds):
        drawn: dict[tuple[str, str], dict[str, Array]] = {}
        found: dict[tuple[str, str], dict[str, Array]] = {}
        for one in splits if named else []:
            held = held_out(
                counts, task, features, named, one, folds, repeat, budget=budget, series_n=series,
                strangers=one == split, progress=progress,
            )  # fmt: skip
            for name in named:
                scorer = Scorer(held[name], unit_m)
                found[name, one], drawn[name, one] = scorer.estimate(), scorer.resampled(max(n_boot, 1), repeat)
                made.add(
                    task, held[name], scorer, found[name, one], drawn[name, one], name, one, repeat, counts.obs.index
                )
        if len(splits) > 1:
            for name in named:
                made.gaps.append(_gaps(found, drawn, name, repeat))
        if REFERENCE in models:
            made.reference(counts, task, repeat, progress)
    info = _info(counts, task, features, models, split, folds, seeds, seed, n_boot, series is not None)
    return made.evaluation(task, {**info, "seconds": round(time.perf_counter() - begun, 2)})


def _check(models: Sequence[str], split: str, seeds: int, n_boot: int, series: Array | None) -> None:
    if split not in SPLITS:
        raise OptionError(f"there is no split {split!r}; choose from: {', '.join(SPLITS)}")
    if split == "series" and series is None:
        raise OptionError("a split by series needs the series of the samples; give them, or ask for a random split")
    if not models:
        raise OptionError(f"no model is named; choose from: {', '.join([*MODELS, REFERENCE])}")
    for name in models:
        if name != REFERENCE:
            new_model(name)
    for value, what, least in ((seeds, "seeds", 1), (n_boot, "n_boot", 0)):
        if value < least:
            raise OptionError(f"{what} is {value} and must be {least} or more")


class _Collected:
    """Tables as they come."""

    def __init__(self) -> None:
        self.parts: dict[str, list[pd.DataFrame]] = {}
        self.gaps: list[pd.DataFrame] = []
        self.failures: list[tuple[str, str]] = []

    def add(
        self,
        task: Task,
        held: Held,
        scorer: Scorer,
        found: dict[str, Array],
        drawn: dict[str, Array],
        model: str,
        split: str,
        seed: int,
        samples: Any,
    ) -> None:
        """Tables of one model, split and seed."""
        for name, table in (
            ("overall", tables.overall_table(scorer, found, drawn)),
            ("by_label", tables.label_table(task, held, scorer, found, drawn)),
            ("confusion", tables.confusion_table(task, held)), ("coverage", tables.coverage_table(held)),
            ("reliability", tables.reliability_table(held)), ("strangers", tables.stranger_table(held)),
            ("predictions", tables.prediction_table(task, held, samples)),
        ):  # fmt: skip
            if len(table):
                for place, (column, value) in enumerate((("model", model), ("split", split), ("seed", seed))):
                    table.insert(place, column, value)
                self.parts.setdefault(name, []).append(table)

    def reference(self, counts: Counts, task: Task, seed: int, progress: Progress | None) -> None:
        """The published way, or why not."""
        try:
            value = reference_score(counts, task, seed, progress)
        except MethodError as error:
            self.failures.append((REFERENCE, str(error)))
            return
        row = {
            "model": REFERENCE, "split": "as published", "seed": seed, "metric": "samples_f1", "value": value,
            "ci_low": np.nan, "ci_high": np.nan, "n": round(0.33 * len(task.places_m)), "reason": "",
        }  # fmt: skip
        self.parts.setdefault("overall", []).append(pd.DataFrame([row]))

    def evaluation(self, task: Task, info: dict[str, Any]) -> Evaluation:
        """All of it."""
        names = ("overall", "by_label", "confusion", "coverage", "reliability", "strangers", "predictions")
        whole = {name: _together(self.parts.get(name, [])) for name in names}
        failures = pd.DataFrame(self.failures, columns=["model", "reason"])
        return Evaluation(
            **whole, gaps=_together(self.gaps), labels=task.table, left_out=task.left_out, failures=failures,
            notes=list(dict.fromkeys(task.notes)), info=info,
        )  # fmt: skip


def _together(parts: list[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _gaps(
    found: dict[Any, dict[str, Array]], drawn: dict[Any, dict[str, Array]], model: str, seed: int
) -> pd.DataFrame:
    """What the random split adds; both splits test every sample once, so series are drawn for both at once."""
    rows = []
    for metric in GAPS:
        apart, mixed = found[model, "series"][metric][0], found[model, "random"][metric][0]
        low, high = interval_of(drawn[model, "random"][metric] - drawn[model, "series"][metric])
        rows.append((model, seed, metric, apart, mixed, mixed - apart, low, high))
    columns = ["model", "seed", "metric", "by_series", "at_random", "gap", "ci_low", "ci_high"]
    return pd.DataFrame(rows, columns=columns)


def _info(
    counts: Counts,
    task: Task,
    features: Features,
    models: Sequence[str],
    split: str,
    folds: int,
    seeds: int,
    seed: int,
    n_boot: int,
    known: bool,
) -> dict[str, Any]:
    return {
        "models": list(models), "split": split, "folds": folds, "seeds": seeds, "seed": seed, "n_boot": n_boot,
        "normalizer": features.normalizer, "n_genes": features.n_genes, "n_pcs": features.n_pcs,
        "min_reads": features.min_reads, "min_share": features.min_share, "n_samples": counts.n_obs,
        "n_labelled": len(task.places_m), "n_labels": len(task.names), "exclusive": task.exclusive,
        "n_series": len(np.unique(task.series_m)) if known and task.series_m is not None else None,
        "genes_sha256": gene_hash(list(counts.var_names)), "sources": identities(counts), "version": __version__,
        "settings": {name: new_model(name).given() for name in models if name != REFERENCE},
    }  # fmt: skip
