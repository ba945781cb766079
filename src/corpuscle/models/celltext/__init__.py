"""Cells and text in one space: a text encoder and the vectors of cells, each with a head, trained on captions."""

from __future__ import annotations

from corpuscle._lazy import lazy

__all__ = [
    "Cell", "CellText", "CellVectors", "Found", "Known", "cell_vectors", "label_metrics", "mine_negatives", "retrieval_metrics",
    "train_with_mining", "write_scores",
]  # fmt: skip

_WHERE = {
    "Cell": "corpuscle.models.celltext.items",
    "CellText": "corpuscle.models.celltext.model",
    "CellVectors": "corpuscle.models.celltext.cells",
    "Found": "corpuscle.models.celltext.search",
    "Known": "corpuscle.models.celltext.known",
    "cell_vectors": "corpuscle.models.celltext.cells",
    "label_metrics": "corpuscle.models.celltext.zero_shot",
    "mine_negatives": "corpuscle.models.celltext.mine",
    "retrieval_metrics": "corpuscle.models.celltext.zero_shot",
    "train_with_mining": "corpuscle.models.celltext.rounds",
    "write_scores": "corpuscle.models.celltext.search",
}
__getattr__, __dir__ = lazy(
    __name__,
    _WHERE,
    extra="models,text",
    optional=frozenset({"torch", "sentence_transformers", "transformers", "safetensors"}),
)
