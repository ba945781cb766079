"""The published way, for comparison: everything normalised together, ten trees, a random third for the test."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.bulk.classify._task import Task
from corpuscle.bulk.classify.metrics import samples_f1
from corpuscle.errors import MethodError
from corpuscle.seeds import stream_seed

if TYPE_CHECKING:
    from corpuscle.counts import Counts
    from corpuscle.counts._passes import Progress

__all__ = ["REFERENCE", "reference_score"]

#: What ``--models`` calls it.
REFERENCE = "reference"
#: Bytes that all samples x all genes may take here; the way itself has no other.
MOST_BYTES = 8 * 10**9


def reference_score(counts: Counts, task: Task, seed: int = 0, progress: Progress | None = None) -> float:
    """Samples-F1 of ten trees on all genes, quantile-normalised over training and test together, 0.67 to 0.33 at random.

    Neither normalisation nor split keeps the test apart, so the number is no measure of what happens in a new study. Lengths
    of genes are not divided by: a positive factor for every gene leaves a forest as it is.

    Raises
    ------
    MethodError
        All genes of all samples would not fit into memory.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.model_selection import train_test_split

    from corpuscle.normalize._registry import normalizer
    from corpuscle.normalize._stream import map_values

    needed = 4 * len(task.places_m) * counts.n_vars
    if needed > MOST_BYTES:
        raise MethodError(
            f"{counts.name}: the published way needs all {counts.n_vars:,} genes of {len(task.places_m):,} samples in memory "
            f"({needed / 1e9:.0f} GB); leave 'reference' out of the models"
        )
    view = counts.view(cells=task.places_m)
    method = normalizer("log2_qn").fit(view)
    x_ng = np.empty((view.n_obs, view.n_vars), np.float32)
    done = 0
    for part in map_values(view, method, _kept, progress=progress, what="the published way"):
        x_ng[done : done + len(part)] = part
        done += len(part)
    train, test = train_test_split(np.arange(view.n_obs), test_size=0.33, random_state=1 + seed)
    forest = RandomForestClassifier(10, random_state=stream_seed(seed, "classify", REFERENCE))
    forest.fit(x_ng[train], task.y_ml[train])
    return samples_f1(task.y_ml[test].astype(bool), np.asarray(forest.predict(x_ng[test])) > 0)


def _kept(values_ng: Any, _: slice) -> Any:
    return values_ng
