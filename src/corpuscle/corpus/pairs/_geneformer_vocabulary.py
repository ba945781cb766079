"""The vocabulary of a model of rank-value tokens: chosen by options, checked against the model, stored and read again."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.corpus.pairs._embed_checks import array_in, genes_in, integer_in
from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.vocabulary import SPECIALS, RankVocabulary
from corpuscle.errors import OptionError, SourceError

__all__ = ["chosen_vocabulary", "stored_vocabulary", "vocabulary_parts"]

Array = np.ndarray[Any, Any]
#: Rows that an embedding may have beyond its tokens: some makers round its size up.
ROUNDED_UP = 128


def chosen_vocabulary(
    preset: str, tokens: str | Path, medians: str | Path, max_len: int, settings: dict[str, Any]
) -> RankVocabulary:
    """The vocabulary that options mean, if it is one of the model.

    Parameters
    ----------
    preset, tokens, medians
        Empty where not given.
    max_len
        Tokens a cell may have; 0 for the vocabulary's, as far as the model has positions.
    settings
        Of the model.

    Raises
    ------
    OptionError, SourceError
        The options make no vocabulary, or its tokens or its length are not the model's.
    """
    chosen = preset or ("" if tokens else "geneformer-v1")
    try:
        found, _ = resolve_vocabulary(
            chosen or None, vocab=tokens or None, medians=medians or None, max_len=max_len or None
        )
    except OptionError as error:
        raise OptionError(f"embedding geneformer: {_as_written(str(error))}") from None
    return _fitting(found if max_len else _shortened(found, settings), settings)


def _as_written(line: str) -> str:
    """A line about the options of a command, with those of this embedding instead."""
    line = re.sub(r" \(and [^()]* with --aliases\)", "", line)
    return line.replace("--medians", "medians=FILE").replace("--vocab", "tokens=FILE")


def _shortened(found: RankVocabulary, settings: dict[str, Any]) -> RankVocabulary:
    return replace(found, max_len=min(found.max_len, settings["max_position_embeddings"]))


def _fitting(found: RankVocabulary, settings: dict[str, Any]) -> RankVocabulary:
    rows, places = settings["vocab_size"], settings["max_position_embeddings"]
    if not found.size <= rows < found.size + ROUNDED_UP:
        raise OptionError(
            f"geneformer: the model was made for {rows:,} tokens, and vocabulary {found.name} has {found.size:,}; give that of "
            "the model (preset=geneformer-v1, preset=geneformer-v2 with medians=FILE, or tokens=FILE)"
        )
    if found.max_len > places:
        raise OptionError(f"geneformer: max_len={found.max_len:,} is more than the {places:,} positions of the model")
    return found


def vocabulary_parts(found: RankVocabulary) -> tuple[dict[str, Array], dict[str, Any]]:
    """A vocabulary as float arrays and plain JSON."""
    arrays = {"tokens_g": found.tokens_g.astype(np.float64), "medians_g": found.medians_g.astype(np.float64)}
    about = {
        "vocabulary": found.name, "genes": list(found.gene_ids), "specials": dict(found.specials), "max_len": found.max_len,
        "special_token": found.special_token,
    }  # fmt: skip
    return arrays, about


def stored_vocabulary(arrays: dict[str, Array], meta: dict[str, Any], settings: dict[str, Any]) -> RankVocabulary:
    """The vocabulary again; it may be anybody's, and is checked in full.

    Raises
    ------
    SourceError, OptionError
        It is none, or none of the model's.
    """
    genes = genes_in(meta)
    tokens_g = array_in(arrays, "tokens_g", (len(genes),))
    specials, framed, name = meta.get("specials"), meta.get("special_token"), meta.get("vocabulary")
    right = (
        isinstance(specials, dict)
        and all(key in SPECIALS and type(token) is int and 0 <= token < 2**31 for key, token in specials.items())
        and isinstance(framed, bool)
        and isinstance(name, str)
        and bool(((tokens_g >= 0) & (tokens_g < 2**31) & (tokens_g == np.floor(tokens_g))).all())
    )
    if not right:
        raise SourceError("stored embedding: its vocabulary makes no sense; make it anew")
    assert isinstance(specials, dict) and isinstance(framed, bool) and isinstance(name, str)
    medians_g = array_in(arrays, "medians_g", (len(genes),))
    made = RankVocabulary(
        name, genes, tokens_g.astype(np.int32), medians_g, specials, integer_in(meta, "max_len"), framed
    )
    return _fitting(made, settings)
