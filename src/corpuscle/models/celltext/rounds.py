"""Training in rounds: first on the captions, then also on those that the model itself takes for a cell's own."""

from __future__ import annotations

from typing import Any

from corpuscle.errors import OptionError
from corpuscle.models.celltext._train_rows import training_rows
from corpuscle.models.celltext._trainer import Progress
from corpuscle.models.celltext.mine import check_mining, mine_negatives
from corpuscle.models.celltext.train import train
from corpuscle.seeds import stream_seed

__all__ = ["n_epochs", "train_with_mining"]


def train_with_mining(
    model: Any,
    rows: Any,
    store: Any,
    *,
    n: int,
    rounds: int = 1,
    skip: int = 0,
    max_score: float = 1.0,
    epochs: int = 30,
    mined_epochs: int | None = None,
    seed: int = 0,
    progress: Progress | None = None,
    **training: Any,
) -> list[dict[str, float]]:
    """Train a model in place, mine hard negatives with it, and train on with them.

    In a round every cell gets the ``n`` captions that the model finds nearest and that are not its own, as negatives
    for that cell alone; batches give theirs as before. The optimizer starts anew in each round. Negatives that came
    with the rows serve the first training only.

    Parameters
    ----------
    model, rows, store
        As for :func:`~corpuscle.models.celltext.train.train`.
    n, skip, max_score
        As for :func:`~corpuscle.models.celltext.mine.mine_negatives`.
    rounds
        How often negatives are mined and trained on.
    epochs
        Of the first training.
    mined_epochs
        Of each round; None for a third of ``epochs``, and one at least.
    seed
        Of everything random; each round has its own stream.
    progress
        Called after each epoch with its entry of the history; epochs are counted through all rounds.
    **training
        For :func:`~corpuscle.models.celltext.train.train`; ``freeze_text_epochs`` is of the first training.

    Returns
    -------
    list of dict
        ``epoch``, ``loss``, the mean over its batches, and ``round``, 0 for the first training. Losses of rounds have
        more negatives in them and are not comparable with the first.

    Raises
    ------
    OptionError
        An option makes no sense, or there are too few captions; told before anything is trained, unless ``max_score``
        leaves too few.
    SourceError, MethodError
        As for training and mining.
    """
    if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 1:
        raise OptionError(f"rounds is {rounds!r}; give a whole number of 1 or more")
    later = _epochs_of_round(epochs, mined_epochs)
    if isinstance(later, bool) or not isinstance(later, int) or later < 1:
        raise OptionError(f"mined_epochs is {mined_epochs!r}; give a whole number of 1 or more")
    check_mining(len(set(training_rows(rows)["positive"][:])), n, skip)
    history: list[dict[str, float]] = []

    def told(round: int) -> Progress:
        def tell(entry: dict[str, float]) -> None:
            history.append(entry | {"epoch": float(len(history) + 1), "round": float(round)})
            if progress is not None:
                progress(history[-1])

        return tell

    train(model, rows, store, epochs=epochs, seed=seed, progress=told(0), **training)
    more = training | {"negatives": True, "freeze_text_epochs": 0}
    for round in range(1, rounds + 1):
        mined = mine_negatives(model, rows, store, n, skip=skip, max_score=max_score)
        own = stream_seed(seed, "celltext", "round", str(round))
        train(model, mined, store, epochs=later, seed=own, progress=told(round), **more)
    return history


def n_epochs(epochs: int, *, rounds: int = 1, mined_epochs: int | None = None) -> int:
    """Epochs of :func:`train_with_mining`, those of all rounds together."""
    return epochs + rounds * _epochs_of_round(epochs, mined_epochs)


def _epochs_of_round(epochs: int, mined_epochs: int | None) -> int:
    return max(1, epochs // 3) if mined_epochs is None else mined_epochs
