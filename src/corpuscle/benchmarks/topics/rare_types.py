"""Whether a cell type, rare ones above all, has a topic of its own."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.benchmarks.clustering._metrics import RARE_SHARE
from corpuscle.benchmarks.topics.purity import strongest_topic
from corpuscle.errors import OptionError

__all__ = ["rare_type_recovery"]


def rare_type_recovery(
    cell_topic_nk: np.ndarray[Any, Any], labels_n: Any, rare_share: float = RARE_SHARE
) -> pd.DataFrame:
    """For each type, how well "its strongest topic is the type's topic" finds its cells.

    The type's topic is the one that is strongest in most of its cells; of equal ones the one with the most cells in all,
    so that a tie is not settled in the type's favour. Published for single
    data sets as rare-type F1 (scE2TM, Chen et al., arXiv 2507.08355).

    Parameters
    ----------
    cell_topic_nk
        Cells x topics.
    labels_n
        Type of each cell.
    rare_share
        Types with less than this share of the cells are marked rare.

    Returns
    -------
    DataFrame
        type, n_cells, share, rare, topic, recall, precision, f1; the most frequent type first.

    Raises
    ------
    OptionError
        Shapes disagree, or a value is not finite.
    """
    topic_n = strongest_topic(cell_topic_nk)
    labels_n = np.asarray(labels_n).astype(str)
    if labels_n.shape != topic_n.shape:
        raise OptionError(f"there are {labels_n.size} labels for {topic_n.size} cells")
    n_topics = int(np.asarray(cell_topic_nk).shape[1])
    cells_k = np.bincount(topic_n, minlength=n_topics)
    rows = []
    for name in np.unique(labels_n):
        of_type_k = np.bincount(topic_n[labels_n == name], minlength=n_topics)
        topic = int(np.lexsort((-cells_k, -of_type_k))[0])
        found, n_cells = int(of_type_k[topic]), int(of_type_k.sum())
        recall, precision = found / n_cells, found / int(cells_k[topic])
        share = n_cells / topic_n.size
        rows.append(
            {
                "type": str(name), "n_cells": n_cells, "share": share, "rare": share < rare_share, "topic": topic,
                "recall": recall, "precision": precision, "f1": 2 * recall * precision / (recall + precision),
            }
        )  # fmt: skip
    return pd.DataFrame(rows).sort_values(["n_cells", "type"], ascending=[False, True], ignore_index=True)
