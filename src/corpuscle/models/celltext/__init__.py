"""Cells and text in one space: a text encoder and the vectors of cells, each with a head, trained on captions."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from corpuscle.errors import MethodError

__all__ = ["Cell", "CellText", "label_metrics", "mine_negatives", "retrieval_metrics"]

#: Public name -> where it is; imported only when it is asked for, since PyTorch takes seconds.
_WHERE = {
    "Cell": "corpuscle.models.celltext.items",
    "CellText": "corpuscle.models.celltext.model",
    "label_metrics": "corpuscle.models.celltext.zero_shot",
    "mine_negatives": "corpuscle.models.celltext.mine",
    "retrieval_metrics": "corpuscle.models.celltext.zero_shot",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(_WHERE[name]), name)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] in {"torch", "sentence_transformers", "transformers", "safetensors"}:
            raise MethodError(f"{name}: needs an extra; run: pip install 'corpuscle[models,text]'") from None
        raise


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
