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
#: Cosine below which nothing in training is like a query. Measured with all-MiniLM-L6-v2 on the cell types of three
#: studies (PBMC with 13 and sorted blood cells with 10 types, pancreas with 6), captions "This is a ... cell.": other
#: wordings of the types have a median of .63 to .70 and 80 to 100 % of them reach .5; names of types that were not
#: there have a median of .36 to .40 and 0 to 12 % reach it; words that name no cell have .18 to .29 and 0 to 6 %
#: reach it. Where captions are bare labels, other wordings have .46 to .53, and half of them do not reach it.
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
