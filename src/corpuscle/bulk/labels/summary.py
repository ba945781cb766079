"""How labels are spread over samples and series."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels

__all__ = ["FEWEST_SERIES", "LabelSummary", "summarise"]

#: A label that lives in fewer series has none left to be tested on once others have been trained and tuned on.
FEWEST_SERIES = 3
#: Pairs of labels that are listed.
PAIRS = 50


@dataclass(frozen=True)
class LabelSummary:
    """How labels are spread.

    Attributes
    ----------
    n_samples, n_labelled, n_labels
        How many samples there are, how many have a label, and how many labels there are.
    cardinality, density
        Mean number of labels of a labelled sample, and that number divided by the number of labels (Tsoumakas and
        Katakis 2007, https://doi.org/10.4018/jdwm.2007070101); NaN where no sample is labelled.
    labels
        The table of labels; with series also ``n_series``, ``largest_series`` (share of the label's samples in the series
        with most of them), ``median_per_series`` and ``evaluable`` (it lives in at least three series).
    together_ll
        (l, l) sparse int64, samples that have both labels; the diagonal has those that have one.
    """

    n_samples: int
    n_labelled: int
    n_labels: int
    cardinality: float
    density: float
    labels: pd.DataFrame
    together_ll: sp.csr_matrix

    def pairs(self, most: int = PAIRS) -> pd.DataFrame:
        """Labels that samples have together: label, other, n, and n over the samples that have either."""
        upper = sp.triu(self.together_ll, k=1, format="coo")
        order = np.lexsort((upper.col, upper.row, -upper.data))[:most]
        row, col, n = upper.row[order], upper.col[order], upper.data[order]
        own_l = self.together_ll.diagonal()
        name_l = self.labels["label"].to_numpy()
        union = own_l[row] + own_l[col] - n
        return pd.DataFrame({"label": name_l[row], "other": name_l[col], "n": n, "jaccard": n / np.maximum(union, 1)})

    def warnings(self) -> list[str]:
        """What cannot be judged with these labels, one line each."""
        said = []
        if self.n_labels == 1:
            said.append("there is one label only; there is nothing to tell it from but samples without a label")
        if "evaluable" in self.labels:
            few = self.labels.loc[(self.labels["n_samples"] > 0) & ~self.labels["evaluable"], "label"].tolist()
            if few:
                shown = ", ".join(few[:5]) + (", ..." if len(few) > 5 else "")
                said.append(
                    f"{len(few):,} of {self.n_labels:,} labels live in fewer than {FEWEST_SERIES} series and cannot be "
                    f"evaluated on studies of their own: {shown}"
                )
        return said


def summarise(labels: Labels, series: np.ndarray[Any, Any] | None = None) -> LabelSummary:
    """Count labels over samples and, where their codes (n,) are given, over series.

    Raises
    ------
    OptionError
        There are not as many series codes as samples.
    """
    n, n_labels = labels.y_nl.shape
    n_labelled = labels.n_labelled
    cardinality = labels.y_nl.nnz / n_labelled if n_labelled else float("nan")
    y_nl = labels.y_nl.astype(np.int64)
    per = labels.table.copy()
    if series is not None:
        code_n = np.asarray(series)
        if code_n.shape != (n,):
            raise OptionError(f"{code_n.shape} series codes do not fit {n:,} samples; give one code a sample")
        per = per.assign(**_per_series(y_nl, code_n))
    return LabelSummary(
        n, n_labelled, n_labels, cardinality, cardinality / n_labels if n_labels else float("nan"), per,
        (y_nl.T @ y_nl).tocsr(),
    )  # fmt: skip


def _per_series(y_nl: sp.csr_matrix, series_n: np.ndarray[Any, Any]) -> dict[str, Any]:
    """Columns about series, one value a label."""
    distinct, code_n = np.unique(series_n, return_inverse=True)
    n = len(code_n)
    member_sn = sp.csr_matrix((np.ones(n, dtype=np.int64), (code_n, np.arange(n))), shape=(len(distinct), n))
    n_sl = (member_sn @ y_nl).tocsc()
    counts_l = [n_sl.data[n_sl.indptr[k] : n_sl.indptr[k + 1]] for k in range(n_sl.shape[1])]
    n_series = np.diff(n_sl.indptr).astype(np.int64)
    return {
        "n_series": n_series,
        "largest_series": [float(c.max() / c.sum()) if c.size else float("nan") for c in counts_l],
        "median_per_series": [float(np.median(c)) if c.size else float("nan") for c in counts_l],
        "evaluable": n_series >= FEWEST_SERIES,
    }
