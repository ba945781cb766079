"""Training with a frozen text encoder: its vectors are computed once and stand in for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import InputModule, Router

__all__ = ["TextTable", "encoder_and_head", "frozen_twin"]


class TextTable(InputModule):
    """Texts looked up in a table of vectors; lives only while a model is trained.

    Parameters
    ----------
    texts
        The k texts, each once.
    vectors_kd
        Their vectors, shape (k, d).
    """

    def __init__(self, texts: Sequence[str], vectors_kd: torch.Tensor) -> None:
        super().__init__()
        self.place = {text: k for k, text in enumerate(texts)}
        self.vectors_kd = vectors_kd.detach().float().cpu().clone()

    @property
    def modalities(self) -> list[Any]:
        """The one kind of input, ``"text"``."""
        return ["text"]

    def rows(self, texts: Sequence[str], places: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Features of the texts at these places of the table: ``input_values``, shape (b, d)."""
        return {"input_values": self.vectors_kd[torch.from_numpy(places)]}

    def preprocess(self, inputs: Sequence[str], prompt: str | None = None, **kwargs: Any) -> dict[str, Any]:
        """Features of a batch of texts: ``input_values``, shape (b, d)."""
        return {"input_values": self.vectors_kd[[self.place[text] for text in inputs]]}

    def forward(self, features: dict[str, Any], **kwargs: Any) -> dict[str, Any]:
        """Pass ``input_values`` on as ``sentence_embedding``, shape (b, d)."""
        features["sentence_embedding"] = features["input_values"]
        return features

    def get_embedding_dimension(self) -> int:
        """Width of the vectors."""
        return int(self.vectors_kd.shape[1])

    def save(self, output_path: str, *args: Any, **kwargs: Any) -> None:
        """Nothing is written: the encoder that the table stands for is saved with its model."""


def encoder_and_head(model: SentenceTransformer) -> tuple[list[Any], Any]:
    """The modules of the text encoder of a model, and the head behind them."""
    *encoder, head = model[0].sub_modules["text"]
    return encoder, head


def frozen_twin(model: SentenceTransformer, texts: Sequence[str]) -> SentenceTransformer:
    """A model that shares the heads of another and looks texts up instead of encoding them.

    Parameters
    ----------
    model
        Router of "text" and "omics", then what follows.
    texts
        All texts of the training, each once.

    Returns
    -------
    SentenceTransformer
        Training it trains the heads of ``model``.
    """
    encoder, head = encoder_and_head(model)
    device = str(model.device)
    vectors_kd = SentenceTransformer(modules=list(encoder), device=device).encode(
        list(texts), convert_to_tensor=True, show_progress_bar=False
    )
    router = Router(
        sub_modules={"text": [TextTable(texts, vectors_kd), head], "omics": list(model[0].sub_modules["omics"])},
        default_route="text",
        route_mappings={("omics", None): "omics", ("text", None): "text", (None, "text"): "text"},
    )
    return SentenceTransformer(modules=[router, *list(model)[1:]], device=device)
