"""A classifier of samples to keep: features, model, curves, threshold, and a card that says what it was taught."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd

from corpuscle.bulk._features import Features
from corpuscle.bulk.classify._card_scores import doubts, held_out_scores
from corpuscle.bulk.classify._fit import Calibrated, Taught, calibrated_on, fit_model, fresh
from corpuscle.bulk.classify._splits import folds_of
from corpuscle.bulk.classify._tables import joined
from corpuscle.bulk.classify._task import Task, task_of
from corpuscle.bulk.classify._vectors import BUDGET, Vectors
from corpuscle.bulk.classify.calibration import Calibrator
from corpuscle.bulk.classify.metrics import answers
from corpuscle.bulk.classify.models import MODELS, new_model
from corpuscle.bulk.classify.models._base import scores_of
from corpuscle.counts._sample_flags import sample_flags
from corpuscle.errors import MethodError, OptionError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["SampleClassifier"]

Array = np.ndarray[Any, Any]
#: Where training found no confidence that is good enough, samples below this one get no label.
USUAL_THRESHOLD = 0.5
FLAGS = ("single_cell_like", "shallow", "few_genes")


class SampleClassifier:
    """Tell the labels of bulk samples.

    Parameters
    ----------
    model
        One of :data:`corpuscle.bulk.classify.MODELS`.
    features
        Settings of the features; those of :class:`corpuscle.bulk.Features` by default.
    folds
        Folds of series on which probabilities and the threshold are learnt, and the scores of the card measured.
    seed
        Of everything random.
    n_boot
        Resamples of the series for the intervals of the card.
    budget
        Bytes for scaled genes; a forest of more is grown on parts of the samples.

    Attributes
    ----------
    labels_
        (l,) names.
    exclusive_
        Whether each training sample had one label; then a sample gets at most one.
    features_
        Fitted on all labelled samples.
    model_
        Fitted on them too.
    calibrator_
        Score to probability; learnt from samples held out with features of their own fold.
    threshold_
        Confidence below which a sample gets no label.
    card_
        What it was taught and how it did on held-out samples.
    """

    def __init__(
        self,
        model: str = "logistic",
        *,
        features: Features | None = None,
        folds: int = 5,
        seed: int = 0,
        n_boot: int = 1000,
        budget: int = BUDGET,
    ) -> None:
        new_model(model)
        self.model, self.features = model, Features() if features is None else features
        self.folds, self.seed, self.n_boot, self.budget = folds, seed, n_boot, budget

    def fit(
        self, counts: Counts, labels: Labels, series: Array | None = None, progress: Progress | None = None
    ) -> Self:
        """Learn from all labelled samples.

        Parameters
        ----------
        counts
            Raw counts.
        labels
            What samples are, matched by name.
        series
            (n,) code of the series of each sample; None if they are not known.
        progress
            Called after every block.

        Raises
        ------
        OptionError
            There are not two labels.
        MethodError
            The features cannot be fitted.
        """
        from corpuscle.bulk.classify._card import card_of

        task = task_of(counts, labels, series, judged=False)
        notes = [*task.notes, *doubts(task)]
        self.labels_, self.exclusive_ = task.names, task.exclusive
        raw_ml, fold_m = self._held_out(counts, task, notes, progress)
        seen = counts.view(cells=task.places_m)
        self.features_ = fresh(self.features).fit(seen, progress)
        taught = self._taught(self.features_, seen, task, np.arange(len(task.places_m)), progress)
        self.model_ = fit_model(self.model, taught, np.arange(len(task.places_m)), self.seed)
        calibrated = Calibrated(self.model_, Calibrator((("none",),) * len(task.names)), None)
        scores: dict[str, Any] = {}
        if raw_ml is not None:
            calibrated = calibrated_on(self.model_, raw_ml, task.y_ml, task.series_m)
            scores = held_out_scores(task, raw_ml, fold_m, self.n_boot, self.seed)
            if calibrated.threshold is None:
                notes.append(f"no confidence made 95% of held-out answers right; the threshold is {USUAL_THRESHOLD}")
        self.calibrator_ = calibrated.calibrator
        self.threshold_ = USUAL_THRESHOLD if calibrated.threshold is None else calibrated.threshold
        self.card_ = card_of(self, counts, task, scores, notes)
        return self

    def _held_out(
        self, counts: Counts, task: Task, notes: list[str], progress: Progress | None
    ) -> tuple[Array | None, Array]:
        """Scores of every sample from a model that did not see its series, and its fold; None where no split is possible."""
        m = len(task.places_m)
        split = "random" if task.series_m is None else "series"
        try:
            folds = folds_of(task.rarest_m, task.series_m, split, self.folds, self.seed, quiet=True)
        except OptionError as error:
            if self.folds < 2:
                raise
            notes.append(f"probabilities are not calibrated and no score is known: {error}")
            return None, np.zeros(m, np.int64)
        raw_ml, fold_m = np.zeros((m, len(task.names))), np.zeros(m, np.int64)
        for k, (train, test) in enumerate(folds):
            part = counts.view(cells=task.places_m[train])
            fitted = fresh(self.features).fit(part, progress)
            taught = self._taught(fitted, part, task, train, progress)
            made = fit_model(self.model, taught, np.arange(len(train)), self.seed + k)
            tested = Vectors(
                fitted, counts.view(cells=task.places_m[test]), taught.vectors.space, self.budget, progress
            )
            raw_ml[test], fold_m[test] = scores_of(made, tested), k
        return raw_ml, fold_m

    def _taught(self, fitted: Features, part: Counts, task: Task, rows: Array, progress: Progress | None) -> Taught:
        vectors = Vectors(fitted, part, MODELS[self.model].space, self.budget, progress)
        series_m = None if task.series_m is None else task.series_m[rows]
        return Taught(vectors, task.y_ml[rows], task.rarest_m[rows], series_m)

    # -- using -----------------------------------------------------------------------------------------------

    def probabilities(self, counts: Counts, progress: Progress | None = None) -> Array:
        """(n, l) calibrated probability of each label; they are told one by one and need not sum to 1.

        Raises
        ------
        GeneError
            Genes are missing. None may be: what is missing would shift the normalisation of all others.
        MethodError
            A sample has no counts, or this is not fitted.
        """
        return self.calibrator_(self._scores(counts, progress))

    def _scores(self, counts: Counts, progress: Progress | None) -> Array:
        if not hasattr(self, "model_"):
            raise MethodError("the classifier: call fit before use")
        vectors = Vectors(self.features_, counts, MODELS[self.model].space, self.budget, progress)
        return scores_of(self.model_, vectors)

    def predict(self, counts: Counts, abstain: float | None = None, progress: Progress | None = None) -> pd.DataFrame:
        """Labels of samples.

        Parameters
        ----------
        counts
            Raw counts; genes are found by name, and may be more and in another order.
        abstain
            Confidence below which a sample gets no label; :attr:`threshold_` by default, 0 to always answer.
        progress
            Called after every block.

        Returns
        -------
        DataFrame
            sample; label (several joined by "; ", empty where abstained); probability of the likeliest; abstained;
            likeliest; and the flags single_cell_like (missing where the source does not say), shallow, few_genes.

        Raises
        ------
        OptionError
            ``abstain`` is no probability.
        GeneError, MethodError
            See :meth:`probabilities`.
        """
        if abstain is not None and not 0 <= abstain <= 1:
            raise OptionError(f"abstain is {abstain!r} and must be a probability, from 0 to 1")
        raw_nl = self._scores(counts, progress)
        p_nl = self.calibrator_(raw_nl)
        best_nl = answers(p_nl, True, raw_nl)
        told_nl = best_nl if self.exclusive_ else best_nl | answers(p_nl, False)
        confidence_n = p_nl[best_nl]
        abstained_n = confidence_n < (self.threshold_ if abstain is None else abstain)
        flags = sample_flags(counts)
        table = pd.DataFrame(
            {"sample": counts.obs.index.astype(str), "label": joined(told_nl & ~abstained_n[:, None], self.labels_),
             "probability": confidence_n, "abstained": abstained_n, "likeliest": joined(best_nl, self.labels_)}
        )  # fmt: skip
        for name in FLAGS:
            table[name] = flags[name].array
        table.attrs["notes"] = list(flags.attrs["notes"])
        return table

    # -- keeping ---------------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> None:
        """Write a folder: features, ``model.skops``, ``classifier.json``, ``card.json`` and ``README.md``; no pickle.

        Raises
        ------
        MethodError
            It is not fitted, or skops is not installed.
        OutputError
            The folder cannot be written, or holds something else.
        """
        from corpuscle.bulk.classify._storage import save_classifier

        if not hasattr(self, "model_"):
            raise MethodError("the classifier: call fit before save")
        save_classifier(self, Path(folder))

    @classmethod
    def load(cls, folder: str | Path) -> SampleClassifier:
        """Read what :meth:`save` wrote; of the types in it only a closed list is made.

        Raises
        ------
        SourceError
            Files are missing, damaged, not ours, or hold a type that no classifier has.
        MethodError
            skops is not installed.
        """
        from corpuscle.bulk.classify._storage import load_classifier

        return load_classifier(Path(folder))
