"""Genes, their tokens and their medians: what turns a cell into a sequence of integers."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from corpuscle.errors import OptionError

__all__ = ["RankVocabulary"]

#: Special tokens that a model of this family knows, and those that frame a cell.
SPECIALS = ("<pad>", "<mask>", "<cls>", "<eos>")


@dataclass(frozen=True, eq=False)
class RankVocabulary:
    """Everything that decides which tokens a cell becomes.

    Attributes
    ----------
    name
        Preset or file that it comes from.
    gene_ids
        (g,) canonical gene identifiers, each once.
    tokens_g
        (g,) int32 token of each gene, each once.
    medians_g
        (g,) float64 non-zero median of each gene, positive.
    specials
        ``"<pad>"``, ``"<mask>"``, ``"<cls>"``, ``"<eos>"`` (all or the first two) -> token.
    max_len
        Tokens a cell may have, special ones included.
    special_token
        Frame each cell as ``<cls>`` ... ``<eos>``.

    Raises
    ------
    OptionError
        Lengths differ, a gene or token is there twice, a token is negative, a median is not positive and finite, or the
        frame asks for special tokens that are not there.
    """

    name: str
    gene_ids: tuple[str, ...]
    tokens_g: np.ndarray[Any, np.dtype[np.int32]]
    medians_g: np.ndarray[Any, np.dtype[np.float64]]
    specials: Mapping[str, int]
    max_len: int
    special_token: bool

    def __post_init__(self) -> None:
        problem = _problem(self)
        if problem:
            raise OptionError(f"vocabulary {self.name}: {problem}")

    def __repr__(self) -> str:
        return f"RankVocabulary({self.name}: {len(self.gene_ids):,} genes, {len(self.specials)} special tokens)"

    @property
    def size(self) -> int:
        """One more than the largest token: the size a model's embedding needs."""
        return int(max(self.tokens_g.max(), *self.specials.values())) + 1

    @cached_property
    def sha256(self) -> str:
        """Of all tokens, genes, medians and special tokens: equal for equal encodings, whatever file they are from.

        ``max_len`` and ``special_token`` are left out: they are settings of a data set, recorded beside this.
        """
        lines = [f"{token}\t{name}\n" for name, token in sorted(self.specials.items(), key=lambda item: item[1])]
        order = np.argsort(self.tokens_g)
        lines += [f"{self.tokens_g[i]}\t{self.gene_ids[i]}\t{float(self.medians_g[i])!r}\n" for i in order]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def _problem(vocabulary: RankVocabulary) -> str | None:
    genes, tokens, medians = vocabulary.gene_ids, vocabulary.tokens_g, vocabulary.medians_g
    if not len(genes) == tokens.size == medians.size or not len(genes):
        return (
            f"{len(genes):,} genes, {tokens.size:,} tokens and {medians.size:,} medians; all must be as many, and some"
        )
    every = [*tokens.tolist(), *vocabulary.specials.values()]
    if min(every) < 0:
        return f"token {min(every)} is negative"
    for what, names in (("gene", genes), ("token", every)):
        twice = _twice(names)
        if twice is not None:
            return f"{what} {twice} is there twice; keep one of them"
    bad = np.flatnonzero(~((medians > 0) & np.isfinite(medians)))
    if bad.size:
        return f"median {medians[bad[0]]:g} of gene {genes[bad[0]]} is not a positive number; leave the gene out"
    if {"<pad>", "<mask>"} - set(vocabulary.specials):
        return "it has no <pad> or no <mask> token, which every model of this family needs"
    if vocabulary.special_token and {"<cls>", "<eos>"} - set(vocabulary.specials):
        return "cells cannot be framed without <cls> and <eos> tokens; add them or turn special tokens off"
    if vocabulary.max_len < (3 if vocabulary.special_token else 1):
        return f"a length of {vocabulary.max_len} leaves no room for a gene"
    return None


def _twice(names: Sequence[Any]) -> Any | None:
    seen = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return None
