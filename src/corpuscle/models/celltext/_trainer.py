"""One run of the library's trainer, with our loss, no files and no card."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from transformers import TrainerCallback

from corpuscle.errors import MethodError
from corpuscle.models.celltext._batches import Batches
from corpuscle.models.celltext._loss import MaskedRankingLoss

__all__ = ["Progress", "fit"]

Progress = Callable[[dict[str, float]], None]


class _Trainer(SentenceTransformerTrainer):
    def add_model_card_callback(self, default_args_dict: dict[str, Any]) -> None:
        """No card: it would hold captions of the rows."""


class _History(TrainerCallback):
    def __init__(self, history: list[dict[str, float]], progress: Progress | None) -> None:
        self.history, self.progress = history, progress

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
        if "loss" not in (logs or {}):
            return
        loss = float(logs["loss"])
        entry = {"epoch": float(len(self.history) + 1), "loss": loss}
        if not np.isfinite(loss):
            raise MethodError(f"epoch {len(self.history) + 1}: the loss is {loss}; try a lower learning rate")
        self.history.append(entry)
        if self.progress is not None:
            self.progress(entry)


def fit(
    model: SentenceTransformer,
    batches: Batches,
    loss: dict[str, Any],
    options: dict[str, Any],
    report: tuple[list[dict[str, float]], Progress | None],
) -> None:
    from datasets import Dataset

    with tempfile.TemporaryDirectory() as folder:
        arguments = _arguments(
            output_dir=folder,
            router_mapping={"anchor": "omics", "positive": "text"},
            use_cpu=model.device.type == "cpu",
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            logging_strategy="epoch",
            logging_nan_inf_filter=False,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            dataloader_pin_memory=False,
            **options,
        )
        trainer = _Trainer(
            model=model,
            args=arguments,
            train_dataset=Dataset.from_dict({"anchor": range(len(batches))}),
            data_collator=batches,
            loss=MaskedRankingLoss(model, **loss),
            callbacks=[_History(*report)],
        )
        for callback in ("PrinterCallback", "ProgressCallback"):
            _drop(trainer, callback)
        trainer.train()


def _arguments(**options: Any) -> Any:
    try:
        return SentenceTransformerTrainingArguments(**options)
    except ImportError:
        raise MethodError("train: the package accelerate is missing; run: pip install accelerate") from None


def _drop(trainer: Any, name: str) -> None:
    for callback in list(trainer.callback_handler.callbacks):
        if type(callback).__name__ == name:
            trainer.remove_callback(callback)
