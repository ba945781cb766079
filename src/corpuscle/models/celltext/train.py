"""Training of cells and text in one space on the captions of cells."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer

from corpuscle.errors import OptionError
from corpuscle.models.celltext._batches import Batches
from corpuscle.models.celltext._frozen import encoder_and_head, frozen_twin
from corpuscle.models.celltext._train_rows import training_rows
from corpuscle.models.celltext._trainer import Progress, fit
from corpuscle.seeds import stream_seed

__all__ = ["train"]


def train(
    model: Any,
    rows: Any,
    store: Any,
    *,
    epochs: int = 30,
    batch_size: int = 64,
    learning_rate: float = 1e-3,
    text_learning_rate: float | None = None,
    mask_same_caption: bool = True,
    symmetric: bool = False,
    scale: float = 20.0,
    weight_decay: float = 0.01,
    seed: int = 0,
    freeze_text_epochs: int = 0,
    negatives: bool = False,
    progress: Progress | None = None,
) -> list[dict[str, float]]:
    """Train a model in place so that each cell is near its caption and far from those of others.

    AdamW at constant rates, gradients clipped to norm 1. While the text encoder is frozen its vectors are computed
    once, without dropout, and only the heads are trained. While it is trained, each text of a batch is encoded once,
    however many rows have it. One seed gives one result on one machine; random numbers of the caller are left as they
    were.

    Parameters
    ----------
    model
        The :class:`CellText`; ``store`` is attached to it and stays so.
    rows
        Dataset or DatasetDict (its split ``train``) of pairs or multiplets.
    store
        Vectors of all cells of the rows, of the model's key and width.
    epochs, batch_size
        How often all rows are seen, and how many at once; a batch gives the negatives.
    learning_rate
        Of the heads.
    text_learning_rate
        Of the text encoder; None keeps it frozen.
    mask_same_caption
        Leave cells of one caption out of each other's negatives.
    symmetric
        Also tell cells apart given a caption.
    scale
        Inverse temperature of the loss.
    weight_decay
        Of weights; none for biases and LayerNorm.
    freeze_text_epochs
        Epochs at the start in which the text encoder stays frozen although it has a rate.
    negatives
        Use the texts of ``negative_1``, ``negative_2`` ... too.
    progress
        Called after each epoch with its entry of the history.

    Returns
    -------
    list of dict
        For each epoch ``epoch`` and ``loss``, the mean over its batches.

    Raises
    ------
    OptionError
        An option makes no sense, alone or with others.
    SourceError
        Rows or store do not fit the model; a cell has no vector (MissingId, also a KeyError).
    MethodError
        A package for training is missing, or the loss became infinite or NaN.

    References
    ----------
    Radford et al., Learning transferable visual models from natural language supervision (2021), for the two encoders.
    """
    _check_numbers(locals())
    _check_freezing(epochs, text_learning_rate, freeze_text_epochs)
    table = training_rows(rows, negatives=negatives)
    model.attach(store)
    batches = Batches(table, store)
    frozen = epochs if text_learning_rate is None else freeze_text_epochs
    options = {"per_device_train_batch_size": batch_size, "learning_rate": learning_rate, "weight_decay": weight_decay}
    loss = {"scale": scale, "mask_same_caption": mask_same_caption, "symmetric": symmetric}
    history: list[dict[str, float]] = []
    with _own_random_numbers(), _trainable(model.model):
        if frozen:
            model.model.eval()
            twin = frozen_twin(model.model, batches.texts)
            batches.encode = twin[0].sub_modules["text"][0].rows
            fit(
                twin,
                batches,
                loss,
                options | {"num_train_epochs": frozen, "seed": stream_seed(seed, "celltext", "frozen")},
                (history, progress),
            )
        if epochs > frozen:
            n_encoder = len(encoder_and_head(model.model)[0])
            places = "|".join(str(place) for place in range(n_encoder))
            rates = {rf"sub_modules\.text\.({places})\.": text_learning_rate}
            more = {"num_train_epochs": epochs - frozen, "seed": stream_seed(seed, "celltext", "all")}
            batches.encode, batches.once = lambda texts, _: model.model.preprocess(texts, task="text"), True
            fit(model.model, batches, loss, options | more | {"learning_rate_mapping": rates}, (history, progress))
    return history


def _check_numbers(options: dict[str, Any]) -> None:
    for name in ("epochs", "batch_size"):
        if not isinstance(options[name], int) or isinstance(options[name], bool) or options[name] < 1:
            raise OptionError(f"{name} is {options[name]!r}; give a whole number of 1 or more")
    if options["batch_size"] == 1:
        raise OptionError("batch_size is 1, and a batch of one has nothing to tell apart; 64 is usual")
    for name in ("learning_rate", "text_learning_rate", "scale"):
        value = options[name]
        if value is not None and not (value > 0 and np.isfinite(value)):
            raise OptionError(f"{name} is {value!r}; give a number above 0")
    if not options["weight_decay"] >= 0:
        raise OptionError(f"weight_decay is {options['weight_decay']!r}; give 0 or more")


def _check_freezing(epochs: int, rate: float | None, freeze: int) -> None:
    if freeze < 0 or (freeze and rate is None):
        raise OptionError(
            f"freeze_text_epochs={freeze} with text_learning_rate={rate}: the text encoder is frozen all along unless "
            "it has a rate; give one, or leave freeze_text_epochs out"
        )
    if rate is not None and freeze >= epochs:
        raise OptionError(f"freeze_text_epochs={freeze} of {epochs} epochs: the text encoder would never be trained")


@contextmanager
def _trainable(model: SentenceTransformer) -> Iterator[None]:
    """All parameters trainable meanwhile; then as they were, and the model in evaluation mode."""
    before = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.requires_grad_(True)
    try:
        yield
    finally:
        for parameter, flag in before.items():
            parameter.requires_grad_(flag)
            parameter.grad = None
        model.eval()


@contextmanager
def _own_random_numbers() -> Iterator[None]:
    """The trainer seeds the global generators; the caller's are put back."""
    python, legacy = random.getstate(), np.random.get_state()  # noqa: NPY002
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)  # noqa: NPY002
