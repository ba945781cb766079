"""Batches of the trainer: vectors of cells, each text of a batch once, and which row has which."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from corpuscle.corpus.pairs.vectors import VectorStore

__all__ = ["PLACE", "Batches", "Encode"]

Array = np.ndarray[Any, Any]
#: Texts, and their places among all texts of the training, as features of the text route.
Encode = Callable[[list[str], Array], dict[str, Any]]
#: The feature that tells the loss which text of the batch each column of a row has, shape (b, 1 + K).
PLACE = "place"


class Batches:
    """What the trainer's loader calls with the rows of a batch.

    The library's own collator looks at every item of a column to guess its kind, and encodes every text as often as
    it stands there. Here kinds are known and ids are looked up once for all.

    Parameters
    ----------
    table
        What :func:`training_rows` made, n rows.
    store
        Vectors of the cells.
    """

    #: The library's loader asks a collator for this.
    valid_label_columns: tuple[str, ...] = ("label",)

    def __init__(self, table: Any, store: Any) -> None:
        names = [name for name in table.column_names if name not in ("anchor", "label")]
        columns = [table[name][:] for name in names]
        self.texts = list(dict.fromkeys(text for column in columns for text in column))
        place = {text: k for k, text in enumerate(self.texts)}
        self.text_nk: Array = np.asarray([[place[text] for text in column] for column in columns]).T
        self.codes_nk = torch.as_tensor(table["label"][:])
        self._cells = _lookup(store, table["anchor"][:])
        self.encode: Encode | None = None
        #: Encode each text of a batch once. Where few captions describe many cells this is most of the work; dropout
        #: then is that of the text and no longer of each row that has it.
        self.once = False

    def __len__(self) -> int:
        return len(self.text_nk)

    def __call__(self, features: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Vectors, texts and codes of the rows whose numbers are in ``anchor``."""
        rows_b = np.fromiter((row["anchor"] for row in features), dtype=np.int64, count=len(features))
        batch = {
            "label": self.codes_nk[rows_b],
            "anchor_input_values": torch.from_numpy(self._cells(rows_b)),
            "anchor_task": "omics",
        }
        text_bk = self.text_nk[rows_b]
        if not self.once:
            for k, text_b in enumerate(text_bk.T):
                self._add(batch, f"text{k}", text_b)
            return batch
        used_u, place_bk = np.unique(text_bk, return_inverse=True)
        self._add(batch, "text", used_u)
        return batch | {f"text_{PLACE}": torch.from_numpy(place_bk.reshape(text_bk.shape))}

    def _add(self, batch: dict[str, Any], column: str, text_u: Array) -> None:
        assert self.encode is not None
        for name, value in self.encode([self.texts[k] for k in text_u], text_u).items():
            batch[f"{column}_{name}"] = value
        batch[f"{column}_task"] = "text"


def _lookup(store: Any, ids: list[str]) -> Callable[[Array], Array]:
    """Vectors of rows by number; a cell that is not in the store is an error at once."""
    if isinstance(store, VectorStore):
        places_n = store.ids.get_indexer(np.asarray(ids, dtype=object))
        missing_n = places_n < 0
        if missing_n.any():
            store.lookup([ids[int(np.flatnonzero(missing_n)[0])]])  # its error names the cell and the store
        return lambda rows_b: np.asarray(store.vectors_nd[places_n[rows_b]])
    for id in dict.fromkeys(ids):
        if id not in store:
            store.lookup([id])
    return lambda rows_b: np.asarray(store.lookup([ids[row] for row in rows_b]), dtype=np.float32)
