"""The model of cells and text, trained; and its two controls, untrained and trained on shuffled captions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from corpuscle.benchmarks.text._methods_texts import SCALE, by_text, shared_encoder
from corpuscle.benchmarks.text.methods import Array, Scorer
from corpuscle.errors import OptionError
from corpuscle.seeds import stream, stream_seed

if TYPE_CHECKING:
    from corpuscle.benchmarks.text._draw import Shown

__all__ = ["Shuffled", "Trained", "Untrained", "scorer_of"]

CODE = (
    "corpuscle.models.celltext",
    "corpuscle.benchmarks.text._methods_celltext",
    "corpuscle.benchmarks.text._methods_texts",
)


@dataclass
class Trained:
    """:class:`~corpuscle.models.celltext.CellText`, trained on the captions of the training cells.

    Parameters
    ----------
    epochs, batch_size, learning_rate, mask_same_caption, symmetric, negatives
        Of :func:`~corpuscle.models.celltext.train.train`.
    dim, head
        Width of the shared space, and kind of both heads.
    text_rate
        Learning rate of the text encoder; None keeps it frozen.
    freeze_text_epochs
        Epochs at the start in which it stays frozen although it has a rate.
    mine
        Hard negatives a cell: train, mine so many captions, and train as long again with them.
    text_model
        Folder of a text encoder; all-MiniLM-L6-v2 if None.
    """

    epochs: int = 30
    dim: int = 256
    head: Literal["linear", "mlp"] = "linear"
    batch_size: int = 64
    learning_rate: float = 1e-3
    mask_same_caption: bool = True
    symmetric: bool = False
    negatives: bool = False
    mine: int = 0
    text_rate: float | None = None
    freeze_text_epochs: int = 0
    text_model: str | None = None
    name = "celltext"
    told = "the captions of the training cells"
    needs_vectors = True
    code = CODE

    def __post_init__(self) -> None:
        if self.mine < 0:
            raise OptionError(f"{self.name}: mine is {self.mine}; it must be 0 or more")

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Train, and embed the cells to be judged."""
        assert key is not None
        store = shown.store(key)
        model = self.fitted(self.rows(shown, seed), store, seed)
        return scorer_of(model, shown.vectors(key, "train"), shown.vectors(key, "test"))

    def rows(self, shown: Shown, seed: int) -> Any:
        """The rows to train on."""
        return shown.rows

    def fitted(self, rows: Any, store: Any, seed: int) -> Any:
        """A model trained on rows whose vectors are in a store."""
        from corpuscle.models.celltext import mine_negatives

        model = created(store, self, seed)
        self._train(model, rows, store, seed, negatives=self.negatives)
        if self.mine:
            mined = mine_negatives(model, rows, store, self.mine)
            self._train(model, mined, store, stream_seed(seed, "text", "mined"), negatives=True)
        return model

    def _train(self, model: Any, rows: Any, store: Any, seed: int, *, negatives: bool) -> None:
        from corpuscle.models.celltext.train import train

        train(
            model, rows, store, epochs=self.epochs, batch_size=self.batch_size, learning_rate=self.learning_rate,
            text_learning_rate=self.text_rate, freeze_text_epochs=self.freeze_text_epochs,
            mask_same_caption=self.mask_same_caption, symmetric=self.symmetric, negatives=negatives, seed=seed,
            scale=SCALE,
        )  # fmt: skip


@dataclass
class Shuffled(Trained):
    """The same, with the captions dealt out at random among the training cells: what a leak would give away."""

    name = "shuffled"
    told = "the captions of the training cells, shuffled"

    def rows(self, shown: Shown, seed: int) -> Any:
        """As many cells of each caption as before, but other cells."""
        from datasets import Dataset

        captions = np.asarray(shown.captions, object)
        order_n = stream(seed, "text", "shuffled").permutation(len(captions))
        return Dataset.from_dict({"sample_idx": shown.ids("train"), "positive": captions[order_n].tolist()})


@dataclass
class Untrained:
    """The model with the heads' first, random weights."""

    dim: int = 256
    head: Literal["linear", "mlp"] = "linear"
    text_model: str | None = None
    name = "untrained"
    told = "nothing"
    needs_vectors = True
    code = CODE

    def __call__(self, shown: Shown, key: str | None, seed: int) -> Scorer:
        """Embed the cells."""
        assert key is not None
        model = created(shown.store(key), self, seed)
        return scorer_of(model, shown.vectors(key, "train"), shown.vectors(key, "test"))


def created(store: Any, options: Trained | Untrained, seed: int) -> Any:
    """A model for the vectors of a store; with the shared text encoder, unless that is to be trained."""
    from corpuscle.models.celltext import CellText

    own = getattr(options, "text_rate", None) is not None
    text_model = options.text_model if own else shared_encoder(options.text_model)
    return CellText.create(
        width=store.width, key=store.key, text_model=text_model, dim=options.dim, head=options.head, seed=seed,
        device="cpu",
    )  # fmt: skip


def scorer_of(model: Any, train_nd: Array, test_md: Array) -> Scorer:
    """Cosines of cells and texts in a model's space.

    Parameters
    ----------
    model
        A :class:`~corpuscle.models.celltext.CellText`.
    train_nd, test_md
        Vectors of the training cells and of those to be judged, as the model takes them.
    """
    cells = model.encode_cells(np.asarray(train_nd)), model.encode_cells(np.asarray(test_md))

    def score(texts: Sequence[str | None], types: Sequence[str]) -> Array:
        return by_text(texts, len(test_md), lambda asked: cells[1] @ model.encode_texts(asked).T)

    return Scorer(score, SCALE, cells)
