"""Cells and text in one space: a text encoder and the vectors of cells, each with a head, trained on captions."""

from __future__ import annotations

from corpuscle._lazy import lazy

__all__ = ["Cell", "CellText", "label_metrics", "mine_negatives", "retrieval_metrics"]

_WHERE = {
    "Cell": "corpuscle.models.celltext.items",
    "CellText": "corpuscle.models.celltext.model",
    "label_metrics": "corpuscle.models.celltext.zero_shot",
    "mine_negatives": "corpuscle.models.celltext.mine",
    "retrieval_metrics": "corpuscle.models.celltext.zero_shot",
}
__getattr__, __dir__ = lazy(
    __name__,
    _WHERE,
    extra="models,text",
    optional=frozenset({"torch", "sentence_transformers", "transformers", "safetensors"}),
)
