"""What holds for every row of a rank-value data set, checked on flat arrays at about the speed of reading them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np

from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.errors import OptionError

__all__ = ["CHECKS", "RowRules", "check_rows"]

Array = np.ndarray[Any, Any]
#: A larger token than this is no token of a gene, and a table up to it would fill the memory.
LARGEST_TOKEN = 1 << 24
#: ``counts / median`` may rise by this from one gene to the next, which is its rounding (float64, float32).
ROUNDING = {8: 1e-9, 4: 1e-5}

UNKNOWN, GENE, PAD_OR_MASK, CLS, EOS, OTHER_SPECIAL = range(6)

RANGE, NO_GENE, TWICE, SPECIAL, FRAME, LENGTH, TOO_LONG, EMPTY, COUNT_VALUE, COUNT_SPECIAL, COUNT_ORDER = (
    1 << i for i in range(11)
)
#: Bit of a row's flags -> id of the check.
CHECKS = {
    RANGE: "token-range", NO_GENE: "token-unknown", TWICE: "token-twice", SPECIAL: "special-inside", FRAME: "frame",
    LENGTH: "length-column", TOO_LONG: "too-long", EMPTY: "no-gene", COUNT_VALUE: "count-value",
    COUNT_SPECIAL: "count-special", COUNT_ORDER: "count-order",
}  # fmt: skip


@dataclass(frozen=True)
class RowRules:
    """A vocabulary as tables by token, and how a cell is framed and cut.

    Attributes
    ----------
    kind_v
        (v,) uint8 what each token is.
    medians_v
        (v,) float64 median of each gene's token, NaN elsewhere.
    framed
        Rows are ``<cls>`` ... ``<eos>``.
    max_len
        Longest row allowed.
    names
        Token -> gene or special token.
    """

    kind_v: Array
    medians_v: Array
    framed: bool
    max_len: int
    names: dict[int, str]

    @classmethod
    def of(cls, vocabulary: RankVocabulary, *, framed: bool | None = None, max_len: int | None = None) -> RowRules:
        """Rules of a vocabulary; frame and length are its own unless a data set has others.

        Raises
        ------
        OptionError
            A token is too large to be one.
        """
        if vocabulary.size > LARGEST_TOKEN:
            raise OptionError(f"vocabulary {vocabulary.name}: token {vocabulary.size - 1:,} is too large for a model")
        kind_v = np.zeros(vocabulary.size, np.uint8)
        medians_v = np.full(vocabulary.size, np.nan)
        kind_v[vocabulary.tokens_g] = GENE
        medians_v[vocabulary.tokens_g] = vocabulary.medians_g
        kinds = {"<pad>": PAD_OR_MASK, "<mask>": PAD_OR_MASK, "<cls>": CLS, "<eos>": EOS}
        for name, token in vocabulary.specials.items():
            kind_v[token] = kinds.get(name, OTHER_SPECIAL)
        names = dict(zip(vocabulary.tokens_g.tolist(), vocabulary.gene_ids, strict=True))
        names |= {token: name for name, token in vocabulary.specials.items()}
        framed = vocabulary.special_token if framed is None else framed
        return cls(kind_v, medians_v, framed, vocabulary.max_len if max_len is None else max_len, names)


def check_rows(
    ids: Array, offsets: Array, rules: RowRules, *, length_n: Array | None = None, counts: Array | None = None
) -> Array:
    """What is wrong with each row.

    Parameters
    ----------
    ids
        (t,) tokens of all rows, one behind the other.
    offsets
        (n + 1,) where each row starts and the last one stops.
    rules
        Vocabulary, frame and length.
    length_n
        (n,) lengths as stated beside the rows; None for none.
    counts
        (t,) depth-normalised counts of the tokens; None for none.

    Returns
    -------
    numpy.ndarray
        (n,) uint16, bits of :data:`CHECKS`; 0 for a row that is right.
    """
    if ids.dtype != np.int32:
        ids = ids.astype(np.int64)
    offsets = np.ascontiguousarray(offsets, np.int64)
    stated_n = np.diff(offsets) if length_n is None else np.ascontiguousarray(length_n, np.int64)
    rounding = ROUNDING[8 if counts is None else counts.dtype.itemsize]
    values = np.empty(0) if counts is None else np.ascontiguousarray(counts, np.float64)
    flags_n = np.zeros(offsets.size - 1, np.uint16)
    _check(
        ids, offsets, stated_n, values, counts is not None, rounding,
        rules.kind_v, rules.medians_v, rules.framed, rules.max_len, flags_n,
    )  # fmt: skip
    return flags_n


@numba.njit(cache=True, nogil=True)
def _check(
    ids: Array,
    offsets: Array,
    stated_n: Array,
    counts: Array,
    with_counts: bool,
    rounding: float,
    kind_v: Array,
    medians_v: Array,
    framed: bool,
    max_len: int,
    flags_n: Array,
) -> None:
    last_row_v = np.full(kind_v.size, -1, np.int64)
    for n in range(flags_n.size):
        start, stop = offsets[n], offsets[n + 1]
        flags = 0
        if stop - start != stated_n[n]:
            flags |= LENGTH
        if stop - start > max_len:
            flags |= TOO_LONG
        if framed and (stop - start < 2 or not _is(ids[start], kind_v, CLS) or not _is(ids[stop - 1], kind_v, EOS)):
            flags |= FRAME
        genes = 0
        for i in range(start, stop):
            token = ids[i]
            if token < 0 or token >= kind_v.size:
                flags |= RANGE
                continue
            kind = kind_v[token]
            if kind == GENE:
                genes += 1
            elif kind == UNKNOWN:
                flags |= NO_GENE
            elif kind in (CLS, EOS):
                if not framed or i != (start if kind == CLS else stop - 1):
                    flags |= FRAME
            else:
                flags |= SPECIAL
            if last_row_v[token] == n:
                flags |= TWICE
            last_row_v[token] = n
        if genes == 0:
            flags |= EMPTY
        if with_counts and not flags & RANGE:
            flags |= _check_counts(ids, counts, start, stop, kind_v, medians_v, rounding)
        flags_n[n] = flags


@numba.njit(cache=True, nogil=True)
def _is(token: int, kind_v: Array, kind: int) -> bool:
    return bool(0 <= token < kind_v.size and kind_v[token] == kind)


@numba.njit(cache=True, nogil=True)
def _check_counts(
    ids: Array, counts: Array, start: int, stop: int, kind_v: Array, medians_v: Array, rounding: float
) -> int:
    flags = 0
    before = np.inf
    for i in range(start, stop):
        count = counts[i]
        if kind_v[ids[i]] != GENE:
            if count != 0:
                flags |= COUNT_SPECIAL
            continue
        if not 0 < count < np.inf:
            flags |= COUNT_VALUE
            continue
        value = count / medians_v[ids[i]]
        if value > before * (1 + rounding):
            flags |= COUNT_ORDER
        before = value
    return flags
