"""A vocabulary of one's own: tokens for the genes that have a median."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from corpuscle.corpus.medians_io import Medians
from corpuscle.corpus.vocabulary import SPECIALS, RankVocabulary
from corpuscle.corpus.vocabulary_io import DEFAULT_MAX_LEN
from corpuscle.errors import GeneError, OptionError

__all__ = ["build_vocab"]


def build_vocab(
    medians: Medians, *, specials: Sequence[str] = ("pad", "mask"), min_cells: int = 1, name: str = "own"
) -> RankVocabulary:
    """Give special tokens the first numbers, and genes the next ones in the order of their identifiers.

    So are the published vocabularies made: a gene's token is 2 + its position among the sorted identifiers, or 4 +
    with ``<cls>`` and ``<eos>``.

    Parameters
    ----------
    medians
        Genes with their medians.
    specials
        ``pad`` and ``mask``, and both or none of ``cls`` and ``eos``, in the order of their tokens.
    min_cells
        Leave out genes seen in fewer cells: their medians are those of a few values.
    name
        What the vocabulary is called.

    Raises
    ------
    OptionError
        A special token is unknown, missing or named twice, or ``min_cells`` is below 1.
    GeneError
        No gene was seen in so many cells.
    """
    tokens = _special_tokens(specials)
    if min_cells < 1:
        raise OptionError(f"min_cells {min_cells} is below 1; genes never seen have no median")
    order = np.argsort(np.array(medians.gene_ids, dtype=object), kind="stable")
    order = order[medians.n_nonzero_g[order] >= min_cells]
    if not order.size:
        most = int(medians.n_nonzero_g.max(initial=0))
        raise GeneError(
            f"no gene was seen in {min_cells:,} cells (the most is {most:,}); lower the number (--min-cells)"
        )
    framed = "<cls>" in tokens
    return RankVocabulary(
        name=name,
        gene_ids=tuple(medians.gene_ids[i] for i in order),
        tokens_g=np.arange(len(tokens), len(tokens) + order.size, dtype=np.int32),
        medians_g=medians.medians_g[order],
        specials=tokens,
        max_len=DEFAULT_MAX_LEN[framed],
        special_token=framed,
    )


def _special_tokens(names: Sequence[str]) -> dict[str, int]:
    known = {special.strip("<>"): special for special in SPECIALS}
    plain = [name.strip().strip("<>") for name in names]
    for name in plain:
        if name not in known:
            raise OptionError(f"special token {name!r} is none of {', '.join(known)}")
        if plain.count(name) > 1:
            raise OptionError(f"special token {name} is named twice; name it once")
    for needed in ("pad", "mask"):
        if needed not in plain:
            raise OptionError(f"special token {needed} is missing; every model of this family needs pad and mask")
    if ("cls" in plain) != ("eos" in plain):
        raise OptionError("special tokens cls and eos frame a cell together; name both or none")
    return {known[name]: token for token, name in enumerate(plain)}
