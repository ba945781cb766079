"""Negatives: for each cell, other cells that do not share its caption, drawn at random.

All draws are exact and take constant time each. Cells are sorted by batch and caption, so the cells of a batch lie
together and the cells that are forbidden to a row, those with its own caption, are one run within them: a number below
*batch size - run length*, moved past the run where it reaches it, is a uniform draw among the admissible cells.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream

__all__ = ["KINDS", "NegativePolicy", "NegativeReport", "Negatives", "draw_negatives"]

Array = np.ndarray[Any, Any]
Indices = np.ndarray[Any, np.dtype[np.int64]]
#: What a negative stands for: the caption of another cell, or its gene sentence.
KINDS = ("caption", "sentence")


@dataclass(frozen=True)
class NegativePolicy:
    """How negatives are drawn. No negative of any kind ever has the caption of its anchor.

    Parameters
    ----------
    n
        Negatives of each cell.
    kinds
        What they stand for, in turn: with the default, odd ones for a caption and even ones for a gene sentence.
    prefer_same_batch
        Draw within the cell's own batch where that has a cell with another caption.
    seed
        Seed of the draws.

    Raises
    ------
    OptionError
        A number is not positive, or a kind is unknown.
    """

    n: int = 2
    kinds: tuple[str, ...] = KINDS
    prefer_same_batch: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.n, bool) or not isinstance(self.n, (int, np.integer)) or not 1 <= self.n <= 64:
            raise OptionError(f"negatives a cell must be between 1 and 64, not {self.n!r}")
        if not self.kinds or any(kind not in KINDS for kind in self.kinds):
            raise OptionError(f"negative kinds must be from {', '.join(KINDS)}, not {self.kinds!r}")
        if isinstance(self.seed, bool) or not isinstance(self.seed, (int, np.integer)) or self.seed < 0:
            raise OptionError(f"the seed of the negatives must be a whole number from 0, not {self.seed!r}")
        object.__setattr__(self, "kinds", tuple(self.kinds))

    @property
    def columns(self) -> tuple[str, ...]:
        """(n,) kind of each negative."""
        return tuple(self.kinds[at % len(self.kinds)] for at in range(self.n))


@dataclass(frozen=True)
class NegativeReport:
    """What the draws came to, in rows unless said otherwise.

    Attributes
    ----------
    rows
        Cells asked for.
    drawn
        Cells that have all their negatives.
    no_caption
        Cells without a caption: they have no negatives and are nobody's.
    no_other_caption
        Cells with a caption where no cell has another.
    same_batch
        Cells whose negatives are of their own batch; 0 if that was not asked for or no batches are known.
    other_batch
        Cells with a known batch whose negatives are not confined to it, since every cell there has the same caption.
    no_batch
        Cells without a batch, while batches were asked for: drawn from all cells.
    repeated
        Cells one of whose negatives appears twice, since there were too few others.
    captions
        Distinct captions.
    distinct
        Distinct cells that serve as negative, for each of the columns.
    """

    rows: int
    drawn: int
    no_caption: int
    no_other_caption: int
    same_batch: int
    other_batch: int
    no_batch: int
    repeated: int
    captions: int
    distinct: tuple[int, ...]

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers and lists, for JSON."""
        return {**asdict(self), "distinct": list(self.distinct)}


@dataclass(frozen=True, eq=False)
class Negatives:
    """Negatives of some cells.

    Attributes
    ----------
    row_n
        (n,) ascending positions of the cells that have negatives.
    index_nk
        (n, k) positions of their negatives; always cells, never -1.
    kinds
        (k,) what each column stands for.
    report
        Counts of what was drawn, and of the cells that are left out.
    policy
        What was asked for.
    """

    row_n: Indices
    index_nk: Indices
    kinds: tuple[str, ...]
    report: NegativeReport
    policy: NegativePolicy = field(default_factory=NegativePolicy)

    def require(self, what: str = "the data set") -> Negatives:
        """Return self, if any cell has a negative.

        Raises
        ------
        MethodError
            None has: there are no captions, or only one.
        """
        if self.report.rows and not self.report.drawn:
            why = (
                "none of its cells has a caption"
                if self.report.no_caption == self.report.rows
                else "all its captions are the same"
            )
            raise MethodError(f"{what} has no negatives: {why}; choose another caption, or build single rows")
        return self


def draw_negatives(caption_n: Any, batch_n: Any = None, policy: NegativePolicy | None = None) -> Negatives:
    """Draw negatives for every cell that has a caption, uniformly among the admissible cells.

    The negatives of one cell are distinct wherever enough cells are admissible. Time and memory are linear in the
    number of cells, but for sorting them once.

    Parameters
    ----------
    caption_n
        (n,) captions; None, NaN or blank for a missing one. Draw for one split at a time, lest negatives cross splits.
    batch_n
        (n,) batches, missing ones as above; None if there are none.
    policy
        Number, kinds, batches and seed; the default policy if None.

    Returns
    -------
    Negatives
        Reproducible from captions, batches and policy.

    Raises
    ------
    OptionError
        There is not one batch a caption.
    """
    policy = policy or NegativePolicy()
    caption_code_n, n_captions = _codes(caption_n)
    batch_code_n: Indices = np.full(caption_code_n.size, -1, dtype=np.int64)
    if policy.prefer_same_batch and batch_n is not None:
        batch_code_n, _ = _codes(batch_n)
        if batch_code_n.size != caption_code_n.size:
            raise OptionError(f"{batch_code_n.size} batches for {caption_code_n.size} captions; give one a cell")

    own = np.flatnonzero(caption_code_n >= 0)
    caption_m, batch_m = caption_code_n[own], batch_code_n[own]
    within, anywhere = _Pool(batch_m, caption_m), _Pool(np.zeros_like(batch_m), caption_m)
    in_batch = (batch_m >= 0) & (within.others > 0)
    picked_mk = _choose(within, anywhere, in_batch, policy)
    admissible = in_batch | (anywhere.others > 0)

    row_n, index_nk = own[admissible], own[picked_mk[admissible]]
    sorted_nk = np.sort(index_nk, axis=1)
    report = NegativeReport(
        rows=int(caption_code_n.size),
        drawn=int(row_n.size),
        no_caption=int(caption_code_n.size - own.size),
        no_other_caption=int((~admissible).sum()),
        same_batch=int(in_batch.sum()),
        other_batch=int((admissible & ~in_batch & (batch_m >= 0)).sum()),
        no_batch=int((admissible & (batch_m < 0)).sum()) if policy.prefer_same_batch and batch_n is not None else 0,
        repeated=int((sorted_nk[:, 1:] == sorted_nk[:, :-1]).any(axis=1).sum()),
        captions=n_captions,
        distinct=tuple(int(np.unique(index_n).size) for index_n in index_nk.T),
    )
    return Negatives(row_n, index_nk, policy.columns, report, policy)


class _Pool:
    """Cells sorted by batch and caption, and for each where its batch and its forbidden run lie.

    Attributes
    ----------
    order
        (m,) cells, those of a batch together and within it those of a caption.
    batch_start, run_start, run_size
        (m,) for each cell, in ``order``: start of its batch, start of the cells with its batch and caption, their number.
    others
        (m,) cells of its batch with another caption.
    """

    def __init__(self, batch_m: Indices, caption_m: Indices) -> None:
        self.order = np.lexsort((caption_m, batch_m))
        batch, caption = batch_m[self.order], caption_m[self.order]
        new_batch = np.r_[True, batch[1:] != batch[:-1]][: batch.size]
        new_run = new_batch | np.r_[True, caption[1:] != caption[:-1]][: batch.size]
        batch_start, batch_size = _segments(new_batch)
        run_start, run_size = _segments(new_run)
        back = np.empty_like(self.order)
        back[self.order] = np.arange(back.size)
        self.batch_start, self.run_start = batch_start[back], run_start[back]
        self.run_size = run_size[back]
        self.others = batch_size[back] - self.run_size


def _segments(new: Array) -> tuple[Indices, Indices]:
    """(m,) start and size of the segment that each place is in, from where segments begin."""
    starts = np.flatnonzero(new)
    sizes = np.diff(np.r_[starts, new.size])
    return np.repeat(starts, sizes), np.repeat(sizes, sizes)


def _choose(within: _Pool, anywhere: _Pool, in_batch: Array, policy: NegativePolicy) -> Indices:
    """(m, k) a cell for each draw; meaningless where no cell is admissible."""
    others = np.where(in_batch, within.others, anywhere.others)
    draw_mk = _distinct_below(others, policy)
    picked_mk: Indices = np.empty_like(draw_mk)
    for pool, here in ((within, in_batch), (anywhere, ~in_batch & (others > 0))):
        draw = draw_mk[here] + pool.batch_start[here, None]
        draw += np.where(draw >= pool.run_start[here, None], pool.run_size[here, None], 0)
        picked_mk[here] = pool.order[draw]
    picked_mk[others == 0] = 0
    return picked_mk


def _distinct_below(others: Indices, policy: NegativePolicy) -> Indices:
    """(m, k) numbers below ``others``, different within a row where ``others`` >= k; each has its own random stream."""
    draw_mk = np.empty((others.size, policy.n), dtype=np.int64)
    for k in range(policy.n):
        rng = stream(policy.seed, "pairs", "negatives", str(k))
        enough = others >= policy.n
        draw = rng.integers(0, np.maximum(np.where(enough, others - k, others), 1))
        # The j-th smallest earlier number that the draw reaches pushes it up by one: uniform among those not taken.
        for taken in np.sort(draw_mk[:, :k], axis=1).T:
            draw += enough & (draw >= taken)
        draw_mk[:, k] = draw
    return draw_mk


def _codes(values: Any) -> tuple[Indices, int]:
    """(n,) number of each distinct value, -1 where it is missing, and how many there are."""
    import pandas as pd

    codes, distinct = pd.factorize(pd.Series(values, copy=False), sort=False)
    blank = np.array([isinstance(value, str) and not value.strip() for value in distinct], dtype=bool)
    # The last entry serves the missing values, whose code is -1.
    renumber = np.append(np.where(blank, -1, np.cumsum(~blank) - 1), -1)
    return renumber[codes].astype(np.int64), int((~blank).sum())
