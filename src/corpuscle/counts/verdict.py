"""Is it raw counts? What a pass over the stored values can tell, with the evidence.

Counts that were normalised and rounded back to whole numbers pass every test of single values. They are told by their
steps: normalisation multiplies each cell by one factor s, so the values of a cell lie near s, 2s, 3s, ... and, for s
above 1, leave out whole numbers between. In real counts the smallest positive values of nearly every cell are 1, 2, 3.
A factor below 1 (a deep cell scaled down) leaves no such trace; only the equal totals of the cells are left to note.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numba
import numpy as np

from corpuscle.counts._check import WAY_OUT, _kind
from corpuscle.counts._profile import Block

__all__ = ["WHOLE_TRANSCRIPTOME", "CountsVerdict", "Offender", "VerdictSummary"]

Floats = np.ndarray[Any, np.dtype[np.float64]]

#: Below this many genes a matrix is a selection, and its totals are not depths.
WHOLE_TRANSCRIPTOME = 5000
#: A cell can show its step if it has this many positive values, three of them distinct.
INFORMATIVE_VALUES = 20
INFORMATIVE_CELLS = 5
#: Share of cells with steps from which on a matrix is an imitation. Real matrices of a whole transcriptome stay below
#: 0.001, imitations of them reach 0.5 to 1 (0.15 where the target was the median depth). Cut to their 60 strongest
#: genes, real matrices reach 0.32, because values are then large; hence the second figure.
IMITATED_WHOLE, IMITATED_SELECTION = 0.1, 0.35
#: Logarithms whose shifted form log(1 + s x) is in use.
LOG_BASES = {"e": 1.0, "2": float(np.log(2)), "10": float(np.log(10))}
WAYS_OUT = {
    "counts": "",
    "empty": "check that the right layer or file was given",
    "estimated counts": "if they are an aligner's expected counts or were corrected for ambient RNA, round them; else "
    + WAY_OUT,
}
LOG_MAXIMUM = 32.0  # log2 of four billion


@dataclass(frozen=True, slots=True)
class Offender:
    """The first stored value that cannot be a count."""

    cell: str
    gene: str
    value: float
    kind: str


@dataclass(frozen=True, slots=True)
class CountsVerdict:
    """What the stored values are.

    Attributes
    ----------
    verdict
        ``"counts"``, ``"imitated counts"`` (normalised, then rounded), ``"normalised"``, ``"log-normalised"``,
        ``"scaled"`` (negative values: scaled, centred or residuals), ``"estimated counts"`` (mostly whole numbers, some
        fractional), ``"not finite"``, ``"empty"`` or ``"unknown"``.
    reason
        What decided, in one line.
    way_out
        What to do about it; empty for counts.
    notes
        What is remarkable without being wrong.
    n_values
        Stored values other than zero, of which ``n_negative``, ``n_nan``, ``n_infinite`` and ``n_fractional`` are such.
    share_fractional
        ``n_fractional / n_values``; NaN if there is none.
    minimum, maximum
        Over all finite values, implicit zeros included; NaN if there is none.
    first_offender
        First value, by cell, that is not a count; None if all are.
    total_median, total_cv
        Median and coefficient of variation of the cells' totals, empty cells left out; NaN where undefined.
    n_informative
        Cells with at least 20 positive values, three of them distinct. The next four are about these; NaN without any.
    share_smallest_is_one
        Share whose smallest positive value is 1.
    smallest_median
        Median of their smallest positive value.
    share_steps
        Share whose three smallest distinct values fit s, 2s, 3s rounded, with s above 1, as 3, 6, 9 or 1, 3, 4 do.
    share_ones
        Share of ones among the positive values, over all cells.
    """

    verdict: str
    reason: str
    way_out: str
    notes: tuple[str, ...]
    n_values: int
    n_negative: int
    n_nan: int
    n_infinite: int
    n_fractional: int
    share_fractional: float
    minimum: float
    maximum: float
    first_offender: Offender | None
    total_median: float
    total_cv: float
    n_informative: int
    share_smallest_is_one: float
    smallest_median: float
    share_steps: float
    share_ones: float

    @property
    def is_counts(self) -> bool:
        """Whether everything that asks for raw counts may run on it."""
        return self.verdict == "counts"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)


@numba.njit(cache=True, nogil=True)
def _scan(
    data: Floats, indptr: np.ndarray[Any, Any], total_n: Floats, positive_n: np.ndarray[Any, Any], smallest_nk: Floats
) -> tuple[np.ndarray[Any, Any], float, float, int]:
    """Tally values; fill each cell's total, number of positive values and three smallest distinct positive values."""
    tally = np.zeros(6, np.int64)  # non-zero, negative, NaN, infinite, fractional, ones
    low, high, first_bad = np.inf, -np.inf, -1
    for row in range(indptr.size - 1):
        total, positive = 0.0, 0
        a = b = c = np.inf
        for i in range(indptr[row], indptr[row + 1]):
            v = data[i]
            if v == 0:
                continue
            tally[0] += 1
            bad = True
            if np.isnan(v):
                tally[2] += 1
            elif np.isinf(v):
                tally[3] += 1
            else:
                low, high = min(low, v), max(high, v)
                total += v
                whole = v == np.floor(v)
                bad = v < 0 or not whole
                tally[1] += v < 0
                tally[4] += not whole
                tally[5] += v == 1
                if v > 0:
                    positive += 1
                    if v < a:
                        a, b, c = v, a, b
                    elif a < v < b:
                        b, c = v, b
                    elif b < v < c:
                        c = v
            if bad and first_bad < 0:
                first_bad = i
        total_n[row], positive_n[row] = total, positive
        smallest_nk[row, 0], smallest_nk[row, 1], smallest_nk[row, 2] = a, b, c
    return tally, low, high, first_bad


class VerdictSummary:
    """Mergeable summary of unchecked blocks that finishes as a :class:`CountsVerdict`.

    Parameters
    ----------
    cells, genes
        All cell and gene names, to name the first offender.
    """

    def __init__(self, cells: Sequence[Any], genes: Sequence[Any]) -> None:
        self.cells, self.genes = cells, genes
        n = len(cells)
        self.total_n = np.zeros(n)
        self.positive_n = np.zeros(n, np.int32)
        self.smallest_nk = np.zeros((n, 3), np.float32)
        self.tally = np.zeros(6, np.int64)
        self.low, self.high = np.inf, -np.inf
        self.offender: tuple[int, int, float] | None = None

    def update(self, block: Block) -> None:
        """Take in one block as it is stored."""
        x_ng, first = block.x_ng, block.rows.start
        data = x_ng.data.astype(np.float64, copy=False)
        n = x_ng.shape[0]
        total_n, positive_n, smallest_nk = np.zeros(n), np.zeros(n, np.int32), np.zeros((n, 3))
        tally, low, high, bad = _scan(data, x_ng.indptr.astype(np.int64), total_n, positive_n, smallest_nk)
        self.total_n[block.rows] += total_n
        self.positive_n[block.rows] += positive_n
        self.smallest_nk[block.rows] += smallest_nk
        self.tally += tally
        self.low, self.high = min(self.low, low), max(self.high, high)
        if bad >= 0:
            row = first + int(np.searchsorted(x_ng.indptr, bad, side="right")) - 1
            self._keep_first((row, int(x_ng.indices[bad]), float(data[bad])))

    def merge(self, other: Self) -> None:
        """Take in what another summary of the same matrix has seen."""
        self.total_n += other.total_n
        self.positive_n += other.positive_n
        self.smallest_nk += other.smallest_nk
        self.tally += other.tally
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        if other.offender is not None:
            self._keep_first(other.offender)

    def _keep_first(self, offender: tuple[int, int, float]) -> None:
        if self.offender is None or offender[0] < self.offender[0]:
            self.offender = offender

    def finish(self) -> CountsVerdict:
        """Decide, and give the evidence."""
        n_values, n_negative, n_nan, n_infinite, n_fractional, n_ones = (int(n) for n in self.tally)
        low, high = self.low, self.high
        if n_values < len(self.cells) * len(self.genes):
            low, high = min(low, 0.0), max(high, 0.0)
        told = self.positive_n >= INFORMATIVE_VALUES
        told &= np.isfinite(self.smallest_nk[:, 2])
        a, b, c = self.smallest_nk[told].T.astype(np.float64)
        steps = (a >= 2) & (np.abs(b - 2 * a) <= 1) & (np.abs(c - 3 * a) <= 2)
        steps |= (a == 1) & (b == 3) & (c <= 6)  # s of about 1.5, rounded down
        totals = self.total_n[self.positive_n > 0]
        mean = float(totals.mean()) if totals.size else np.nan
        evidence: dict[str, Any] = {
            "n_values": n_values,
            "n_negative": n_negative,
            "n_nan": n_nan,
            "n_infinite": n_infinite,
            "n_fractional": n_fractional,
            "share_fractional": n_fractional / n_values if n_values else np.nan,
            "minimum": low if np.isfinite(low) else np.nan,
            "maximum": high if np.isfinite(high) else np.nan,
            "first_offender": self._named_offender(),
            "total_median": float(np.median(totals)) if totals.size else np.nan,
            "total_cv": float(totals.std() / mean) if mean > 0 else np.nan,
            "n_informative": int(told.sum()),
            "share_smallest_is_one": _mean(a == 1),
            "smallest_median": float(np.median(a)) if a.size else np.nan,
            "share_steps": _mean(steps),
            "share_ones": n_ones / int(self.positive_n.sum()) if self.positive_n.any() else np.nan,
        }
        limit = IMITATED_WHOLE if len(self.genes) >= WHOLE_TRANSCRIPTOME else IMITATED_SELECTION
        verdict, reason = _decide(evidence, self.smallest_nk[told].astype(np.float64), limit)
        way_out = WAYS_OUT.get(verdict, WAY_OUT)
        notes = _notes(evidence, n_cells=totals.size) if verdict == "counts" else ()
        return CountsVerdict(verdict=verdict, reason=reason, way_out=way_out, notes=notes, **evidence)

    def _named_offender(self) -> Offender | None:
        if self.offender is None:
            return None
        row, column, value = self.offender
        return Offender(str(self.cells[row]), str(self.genes[column]), value, _kind(value))


def _mean(mask: np.ndarray[Any, Any]) -> float:
    return float(mask.mean()) if mask.size else float("nan")


def _decide(e: dict[str, Any], smallest_nk: Floats, imitated: float) -> tuple[str, str]:
    """(verdict, reason)."""
    if e["n_values"] == 0:
        return "empty", "every value is zero"
    if e["n_nan"] or e["n_infinite"]:
        return "not finite", f"{e['n_nan']:,} NaN and {e['n_infinite']:,} infinite values"
    if e["n_negative"]:
        return "scaled", f"{e['n_negative']:,} negative values, down to {e['minimum']:.4g}: scaled or centred"
    if e["n_fractional"]:
        return _decide_fractional(e, smallest_nk)
    without_one, steps = 1 - e["share_smallest_is_one"], e["share_steps"]
    if e["n_informative"] >= INFORMATIVE_CELLS and steps >= imitated:
        reason = (
            f"whole numbers, but in {steps:.0%} of the cells they are the multiples of a factor of the cell's own, and "
            f"{without_one:.0%} of the cells have no value of 1: normalised, then rounded"
        )
        return "imitated counts", reason
    return "counts", "all values are whole and not negative"


def _decide_fractional(e: dict[str, Any], smallest_nk: Floats) -> tuple[str, str]:
    if e["total_cv"] < 0.01 and e["total_median"] > 1.5:
        return "normalised", f"every cell adds up to about {e['total_median']:.6g}"
    a, b, _ = smallest_nk.T
    if a.size and e["maximum"] <= LOG_MAXIMUM:
        for base, scale in LOG_BASES.items():
            if _fits_steps(np.expm1(a * scale), np.expm1(b * scale)):
                return "log-normalised", f"the values of a cell fit log(1 + s x), base {base}, x = 1, 2, ..."
    if e["share_fractional"] <= 0.5:
        return "estimated counts", f"{e['n_fractional']:,} of {e['n_values']:,} values are fractional"
    if a.size and _fits_steps(a, b):
        return "normalised", "the values of a cell are multiples of one factor: counts divided by a size factor"
    if e["maximum"] <= LOG_MAXIMUM:
        return "log-normalised", f"fractional values up to {e['maximum']:.4g}: a logarithm, by their range"
    return "unknown", f"{e['share_fractional']:.0%} of the values are fractional, up to {e['maximum']:.6g}"


def _fits_steps(first: Floats, second: Floats) -> bool:
    """Whether, in most cells, the second smallest distinct value is twice the smallest."""
    return _mean(np.abs(second / first - 2) < 0.01) >= 0.5


def _notes(e: dict[str, Any], n_cells: int) -> tuple[str, ...]:
    notes = []
    if e["total_median"] > 1e5:
        notes.append("read counts of a full-length protocol or bulk, by their size; not UMI")
    if n_cells >= 20 and e["total_cv"] < 0.05:
        notes.append(
            f"all cells have nearly the same total (coefficient of variation {e['total_cv']:.3f}): "
            "thinned to one depth, or scaled and rounded; look at how the file was made"
        )
    if e["maximum"] == 1:
        notes.append("no value above 1: binarised, or not expression")
    return tuple(notes)
