"""Training on scvi-tools' runner: quiet, seeded, and without files left behind."""

from __future__ import annotations

import contextlib
import io
import signal
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import lightning
import numpy as np
from lightning.pytorch.utilities.exceptions import MisconfigurationException
from scvi.train import TrainRunner

from corpuscle.errors import MethodError, OptionError
from corpuscle.models._cells import CellBatches
from corpuscle.models._expression import principal_components
from corpuscle.models._neighbours import mutual_neighbours
from corpuscle.models.sce2tm._input import TrainingData
from corpuscle.models.sce2tm._plan import SCE2TMTrainingPlan
from corpuscle.models.sce2tm.recipe import Recipe
from corpuscle.normalize._scvi_quiet import quiet_and_seeded
from corpuscle.seeds import stream, stream_seed

__all__ = ["Progress", "cell_batches", "fit", "progress_bar"]

#: Called with (epochs done, epochs in all, what).
Progress = Callable[[int, int, str], None]
VALIDATION_MONITOR = "validation_loss"


def cell_batches(data: TrainingData, recipe: Recipe, seed: int, train_size: float) -> CellBatches:
    """Mini-batches of the cells, with neighbours in both views if there is a second one.

    Raises
    ------
    OptionError
        ``train_size`` is not a share of the cells, or a cell is of a batch that the model does not know.
    MethodError
        A cell has no expression.
    """
    if not 0 < train_size <= 1:
        raise OptionError(f"train_size={train_size} must be above 0 and at most 1")
    if data.batch_n is not None and (data.batch_n < 0).any():
        raise OptionError(f"a cell is of a batch the model does not know; it knows: {', '.join(data.batches)}")
    if not np.isfinite(data.x_ng.data).all():
        raise MethodError("a cell has no counts; remove empty cells before training on")
    n = data.x_ng.shape[0]
    validation = stream(seed, "validation").permutation(n)[: n - round(train_size * n)] if train_size < 1 else None
    views: dict[str, Any] = {}
    if data.view_ne is not None and recipe.cross_view_weight > 0:
        space = data.x_ng
        if recipe.neighbor_space == "pca":
            space = principal_components(data.x_ng, recipe.n_pcs)
        views = {
            "view_ne": data.view_ne,
            "neighbours": _neighbours(space, recipe, stream_seed(seed, "neighbours")),
            "view_neighbours": _neighbours(data.view_ne, recipe, stream_seed(seed, "view neighbours")),
        }
    return CellBatches(
        data.x_ng,
        batch_size=recipe.batch_size,
        seed=stream_seed(seed, "batches"),
        batch_n=data.batch_n,
        validation_index=validation,
        **views,
    )


def _neighbours(space: Any, recipe: Recipe, seed: int) -> Any:
    k = min(recipe.n_neighbors, space.shape[0])
    return mutual_neighbours(space, k, seed, kind=recipe.neighbors, include_self=recipe.include_self)


def fit(
    model: Any,
    batches: CellBatches,
    recipe: Recipe,
    max_epochs: int,
    *,
    seed: int,
    accelerator: str,
    devices: Any,
    early_stopping: bool,
    patience: int,
    progress: Progress | None,
) -> None:
    """Run the training; ``model.history`` and the module hold the result.

    Raises
    ------
    MethodError
        The loss or a weight is no longer finite, or the device cannot be used.
    """
    callbacks: list[Any] = [] if progress is None else [_Report(progress)]
    options: dict[str, Any] = {}
    if early_stopping:
        options = {
            "early_stopping": True,
            "early_stopping_monitor": VALIDATION_MONITOR,
            "early_stopping_patience": patience,
            "check_val_every_n_epoch": 1,
        }
    with quiet_and_seeded(stream_seed(seed, "training")), _chatter_swallowed():
        # What the plan warns of is for the user, unlike what the libraries do.
        warnings.filterwarnings("default", message="SCE2TM")
        model.module.train()  # Lightning trains a module in the mode it finds it in
        try:
            TrainRunner(
                model,
                training_plan=SCE2TMTrainingPlan(model.module, recipe),
                data_splitter=batches,
                max_epochs=max_epochs,
                accelerator=accelerator,
                devices=devices,
                callbacks=callbacks,
                enable_progress_bar=False,
                enable_model_summary=False,
                enable_checkpointing=False,
                **options,
            )()
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            raise MethodError(f"SCE2TM: training failed: {' '.join(str(error).split())[:300]}") from error
        finally:
            model.module.eval()
    if not all(bool(tensor.isfinite().all()) for tensor in model.module.state_dict().values()):
        raise MethodError("SCE2TM: training diverged (weights are not finite); lower lr, or look at extreme values")


@contextmanager
def _chatter_swallowed() -> Iterator[None]:
    """Keep the libraries off stdout, and let an interrupt be one.

    scvi-tools prints an exception before it raises it; Lightning answers an interrupt by ignoring all further ones and
    leaving the whole process.
    """
    handler = signal.getsignal(signal.SIGINT)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except SystemExit:
        signal.signal(signal.SIGINT, handler)
        raise KeyboardInterrupt from None


class _Report(lightning.Callback):
    """Tells how far training is, after each epoch."""

    def __init__(self, progress: Progress) -> None:
        self.progress = progress

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        self.progress(trainer.current_epoch + 1, trainer.max_epochs, "epochs")


@contextmanager
def progress_bar(wanted: bool | Progress | None) -> Iterator[Progress | None]:
    """A bar on stderr where it is wanted, or (None) where stderr is a terminal; a function is used as it is."""
    if callable(wanted):
        yield wanted
        return
    if wanted is False or (wanted is None and not sys.stderr.isatty()):
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("SCE2TM", total=None)
        yield lambda done, total, text: bar.update(task, completed=done, total=total)
