"""Hard negatives for a second round of training: the captions that a trained model takes for a cell's own."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.errors import OptionError
from corpuscle.models.celltext._train_rows import training_rows

__all__ = ["check_mining", "mine_negatives"]

Array = np.ndarray[Any, Any]
_ROWS_AT_ONCE = 4096


def mine_negatives(
    model: Any, rows: Any, store: Any, n: int = 3, *, skip: int = 0, max_score: float = 1.0, batch_size: int = 64
) -> Any:
    """For each cell the ``n`` captions nearest to it that are not its own, nearest first.

    Only a trained model knows which are hard. Captions that mean the same in other words are false negatives:
    ``skip`` and ``max_score`` leave out the nearest.

    Parameters
    ----------
    model
        A trained :class:`CellText`; ``store`` is attached to it and stays so.
    rows
        As for :func:`~corpuscle.models.celltext.train.train`; the candidates are their captions.
    store
        Vectors of the cells.
    n
        Captions a cell.
    skip
        Nearest captions to pass over.
    max_score
        Highest cosine of a cell and a negative.
    batch_size
        Cells or texts encoded at a time.

    Returns
    -------
    datasets.Dataset
        ``sample_idx``, ``positive``, ``negative_1`` ... ``negative_n``, a row for each given, to train on with
        ``negatives=True``.

    Raises
    ------
    OptionError
        ``n`` or ``skip`` makes no sense, or for some cell fewer than ``n`` captions are left.
    SourceError
        Rows or store do not fit the model.
    """
    table = training_rows(rows)
    ids, own = table["anchor"][:], table["positive"][:]
    texts = list(dict.fromkeys(own))
    check_mining(len(texts), n, skip)
    model.attach(store)
    text_kd = model.encode_texts(texts, batch_size=batch_size)
    code_n = np.asarray([code for (code,) in table["label"]])
    found_nj = np.concatenate(
        [
            _nearest(
                model.encode_cells(ids[i : i + _ROWS_AT_ONCE], batch_size=batch_size) @ text_kd.T,
                code_n[i : i + _ROWS_AT_ONCE],
                (n, skip, max_score),
            )
            for i in range(0, len(ids), _ROWS_AT_ONCE)
        ]
    )
    short_n = (found_nj < 0).any(axis=1)
    if short_n.any():
        first = ids[int(np.flatnonzero(short_n)[0])]
        raise OptionError(
            f"max_score={max_score}: {short_n.sum()} cells have fewer than {n} captions left, the first is {first!r}; "
            "raise it, or ask for fewer"
        )
    from datasets import Dataset

    negatives = {f"negative_{j + 1}": [texts[k] for k in found_nj[:, j]] for j in range(n)}
    return Dataset.from_dict({"sample_idx": ids, "positive": own, **negatives})


def check_mining(n_captions: int, n: int, skip: int) -> None:
    """That so many captions leave ``n`` for each cell, its own and ``skip`` others apart.

    Raises
    ------
    OptionError
        They do not, or a number makes no sense.
    """
    for name, value, least in (("n", n, 1), ("skip", skip, 0)):
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise OptionError(f"mining: {name} is {value!r}; give a whole number of {least} or more")
    if n_captions - 1 < n + skip:
        raise OptionError(
            f"n={n} and skip={skip}: there are {n_captions} captions, of which one is a cell's own; ask less"
        )


def _nearest(score_nk: Array, code_n: Array, limits: tuple[int, int, float]) -> Array:
    """Places of the nearest captions that are not a cell's own, shape (cells, n); -1 where none is left."""
    n, skip, max_score = limits
    # A caption on the limit by rounding alone is kept.
    score_nk = np.where(score_nk > max_score + 1e-6, -np.inf, score_nk)
    score_nk[np.arange(len(code_n)), code_n] = -np.inf
    order_nj = np.argsort(-score_nk, axis=1, kind="stable")[:, skip : skip + n]
    left_nj = np.isfinite(np.take_along_axis(score_nk, order_nj, axis=1))
    return np.asarray(np.where(left_nj, order_nj, -1))
