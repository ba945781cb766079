"""What of a model's training a query resembles: honesty about words that it was never told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sentence_transformers import SentenceTransformer

from corpuscle.models.celltext._frozen import encoder_and_head
from corpuscle.models.celltext.known import Known

__all__ = ["CLOSE", "closest_captions"]

Array = np.ndarray[Any, Any]
#: Cosine below which nothing in training is like a query. With all-MiniLM-L6-v2 and captions "This is a ... cell." of
#: three studies, 92 to 100 % of the types in another template reach it, 33 to 90 % of their names in the Cell Ontology,
#: 17 to 27 % of the types of another organ, and no word that names no cell (python -m benches.cell_text_words). Where
#: captions are bare labels, 17 to 60 % of the ontology's names reach it and no type of another organ.
CLOSE = 0.5


def closest_captions(model: Any, known: Known, texts: Sequence[str], *, top: int = 3) -> pd.DataFrame:
    """Training captions that are closest to each text, by the text encoder alone and not by what training made of it.

    Parameters
    ----------
    model
        The sentence-transformers model of a :class:`~corpuscle.models.celltext.model.CellText`.
    known
        Its training captions.
    texts
        The k queries.
    top
        Captions of each.

    Returns
    -------
    DataFrame
        Columns ``query``, ``rank`` (from 1), ``caption``, ``label``, ``cosine`` (the larger of those with the caption
        and with its label) and ``cells`` (training cells of that caption).
    """
    labels = known.labels()
    captions = list(labels)
    encoder = SentenceTransformer(modules=encoder_and_head(model)[0], device=str(model.device))
    said_kd = _unit(encoder, list(texts))
    cosine_kc = np.maximum(
        said_kd @ _unit(encoder, captions).T, said_kd @ _unit(encoder, [labels[caption] for caption in captions]).T
    )
    rows = []
    for text, cosine_c in zip(texts, cosine_kc, strict=True):
        for rank, place in enumerate(np.argsort(-cosine_c, kind="stable")[:top], start=1):
            caption = captions[place]
            rows.append((text, rank, caption, labels[caption], float(cosine_c[place]), known.counts[caption]))
    return pd.DataFrame(rows, columns=["query", "rank", "caption", "label", "cosine", "cells"])


def _unit(encoder: Any, texts: list[str]) -> Array:
    return np.asarray(encoder.encode(texts, normalize_embeddings=True, show_progress_bar=False), dtype=np.float32)
