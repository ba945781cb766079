"""Texts as vectors: one text encoder a process, shared by all methods that do not train it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

__all__ = ["SCALE", "by_text", "cosines", "shared_encoder", "unit_rows", "unit_vectors"]

Array = np.ndarray[Any, Any]

#: Factor of cosines before a softmax over texts, the one of training.
SCALE = 20.0
#: Longer lists are the sentences of cells, of which only a few are kept.
WORDS = 500


@lru_cache(maxsize=2)
def shared_encoder(folder: str | None = None) -> Any:
    """A text encoder that is loaded once, on the CPU; nobody may train it.

    Parameters
    ----------
    folder
        Of a sentence-transformers model; all-MiniLM-L6-v2 of the extra ``text`` if None.

    Raises
    ------
    MethodError
        The extras ``models`` and ``text`` are not installed.
    SourceError
        The folder is no text model.
    """
    from corpuscle.models.celltext import CellText

    # Through the model, so that its checks and its advice on extras are the only ones.
    made = CellText.create(width=1, key="none", text_model=folder, dim=1, device="cpu")
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(modules=list(made.model[0].sub_modules["text"])[:-1], device="cpu")


def unit_vectors(texts: Sequence[str], folder: str | None = None) -> Array:
    """(k, d) float32 vectors of texts, of unit length; read-only, since asked twice they are the same object."""
    kept = _words if len(texts) <= WORDS else _sentences
    return kept(tuple(texts), folder)


def _encoded(texts: tuple[str, ...], folder: str | None) -> Array:
    found_kd = shared_encoder(folder).encode(list(texts), batch_size=64, show_progress_bar=False)
    out_kd = unit_rows(found_kd).astype(np.float32)
    out_kd.flags.writeable = False
    return out_kd


# Whole lists are kept and not single texts: those that are encoded together are padded to one length, which changes
# the last digits, so that a text's vector would depend on what was asked before.
_words = lru_cache(maxsize=64)(_encoded)
_sentences = lru_cache(maxsize=4)(_encoded)


def unit_rows(values_nd: Array) -> Array:
    """Rows divided by their length, float64; a row of zeros stays."""
    values_nd = np.asarray(values_nd, np.float64)
    length_n1 = np.linalg.norm(values_nd, axis=1, keepdims=True)
    return np.asarray(values_nd / np.where(length_n1 > 0, length_n1, 1.0))


def by_text(texts: Sequence[str | None], n_cells: int, score: Callable[[list[str]], Array]) -> Array:
    """(m, K) scores where each text is asked once, and NaN where there is none.

    Parameters
    ----------
    texts
        K texts, or None.
    n_cells
        m.
    score
        Gives (m, k) scores of k texts.
    """
    out_mk = np.full((n_cells, len(texts)), np.nan)
    asked = list(dict.fromkeys(text for text in texts if text is not None))
    if asked:
        place = {text: k for k, text in enumerate(asked)}
        found_mk = score(asked)
        for k, text in enumerate(texts):
            if text is not None:
                out_mk[:, k] = found_mk[:, place[text]]
    return out_mk


def cosines(cell_md: Array, folder: str | None = None) -> Callable[[Sequence[str | None], Sequence[str]], Array]:
    """Scorer of cells that lie in the space of the text encoder: the cosine with the vector of each text.

    Parameters
    ----------
    cell_md
        (m, d) of unit length.
    """

    def score(texts: Sequence[str | None], types: Sequence[str]) -> Array:
        return by_text(texts, len(cell_md), lambda asked: cell_md @ unit_vectors(asked, folder).T)

    return score
