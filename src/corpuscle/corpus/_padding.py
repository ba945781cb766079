"""How much of a batch is padding, for cells drawn at random and for cells of like length together."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.seeds import stream

__all__ = ["padding_table"]

Array = np.ndarray[Any, Any]
#: Cells that the shares are computed from; more change no digit that is shown.
MOST_CELLS = 200_000
#: Batches sorted by length together, as length-grouping samplers have it: at most so many, and at least four groups.
GROUPED_BATCHES = 50


def padding_table(lengths_n: Array, batch_sizes: tuple[int, ...] = (12, 64), seed: int = 0) -> pd.DataFrame:
    """Share of padding in batches that are as long as their longest cell.

    Parameters
    ----------
    lengths_n
        (n,) tokens of each cell, in the order stored.
    batch_sizes
        Cells in a batch.
    seed
        Of the random order, and of the choice of a stretch of cells where there are very many.

    Returns
    -------
    pandas.DataFrame
        Columns ``batch``, ``stored`` (in the order stored), ``random``, and ``grouped``: random, then sorted by length within
        50 batches (fewer in a small data set). NaN if there is no cell.
    """
    random = stream(seed, "padding")
    first = int(random.integers(lengths_n.size - MOST_CELLS + 1)) if lengths_n.size > MOST_CELLS else 0
    stored_n = np.asarray(lengths_n[first : first + MOST_CELLS], np.int64)
    drawn_n = stored_n
    if lengths_n.size > MOST_CELLS:
        drawn_n = np.asarray(lengths_n[np.sort(random.choice(lengths_n.size, MOST_CELLS, replace=False))], np.int64)
    random_n = random.permutation(drawn_n)
    rows = [
        {
            "batch": size,
            "stored": _waste(stored_n, size),
            "random": _waste(random_n, size),
            "grouped": _waste(_grouped(random_n, size), size),
        }
        for size in batch_sizes
    ]
    return pd.DataFrame(rows, columns=["batch", "stored", "random", "grouped"])


def _waste(lengths_n: Array, size: int) -> float:
    if not lengths_n.size:
        return float("nan")
    starts = np.arange(0, lengths_n.size, size)
    cells = np.diff(np.append(starts, lengths_n.size))
    places = int((np.maximum.reduceat(lengths_n, starts) * cells).sum())
    return 1 - int(lengths_n.sum()) / places if places else float("nan")


def _grouped(lengths_n: Array, size: int) -> Array:
    together = max(1, min(GROUPED_BATCHES, lengths_n.size // (4 * size))) * size
    groups = np.arange(lengths_n.size) // together
    return lengths_n[np.lexsort((-lengths_n, groups))]
