"""What samples are: a sparse table of samples x labels, with what every label means and what gave it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.bulk.labels._evidence import no_evidence, within
from corpuscle.bulk.labels._text import clean, name_of, values_of
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.summary import LabelSummary
    from corpuscle.counts import Counts

__all__ = ["NONE", "SEVERAL", "Labels", "first_twice"]

Array = np.ndarray[Any, Any]

#: What :meth:`Labels.single` gives for a sample without a label, and with more than one.
NONE, SEVERAL = -1, -2
#: Columns of the table of labels.
TABLE = ("label", "kind", "parent", "id", "n_samples")


@dataclass(frozen=True, eq=False)
class Labels:
    """Labels of samples; a sample has none, one or several.

    Parameters
    ----------
    samples
        (n,) names, each once.
    names
        (l,) names of the labels, each once.
    y_nl
        (n, l) membership, 1 or 0; kept as CSR uint8.
    table
        One row a label: ``label``, ``kind`` (tissue, cell line, ...), ``parent`` (label it is part of or comes from, or
        ""), ``id`` (in an ontology, or "") and ``n_samples``; in the order of ``names``. None: made of the names.
    evidence
        One row a finding: ``sample``, ``label``, ``rule``, ``field``, ``text``; what was found but set aside is there too.
    info
        How they were made.

    Raises
    ------
    SourceError
        A sample or label is there twice.
    OptionError
        The shapes do not fit together.
    """

    samples: pd.Index
    names: tuple[str, ...]
    y_nl: sp.csr_matrix
    table: pd.DataFrame = None
    evidence: pd.DataFrame = None
    info: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        samples = pd.Index([str(name) for name in self.samples], dtype=object, name=None)
        names = tuple(str(name) for name in self.names)
        for what, index in (("sample", samples), ("label", pd.Index(names, dtype=object))):
            twice = first_twice(index)
            if twice is not None:
                raise SourceError(f"{what} {clean(twice)!r} is there twice; give every {what} one name of its own")
        y_nl = sp.csr_matrix(self.y_nl)
        if y_nl.shape != (len(samples), len(names)):
            raise OptionError(
                f"labels of {len(samples):,} samples x {len(names):,} names cannot be a matrix of {y_nl.shape}"
            )
        y_nl = (y_nl != 0).astype(np.uint8).tocsr()
        y_nl.sort_indices()
        evidence = no_evidence() if self.evidence is None else within(self.evidence, samples, names)
        for key, value in (
            ("samples", samples), ("names", names), ("y_nl", y_nl), ("table", _table(self.table, names, y_nl)),
            ("evidence", evidence), ("info", dict(self.info)),
        ):  # fmt: skip
            object.__setattr__(self, key, value)

    # -- where they come from, where they go -------------------------------------------------------------------

    @classmethod
    def from_obs(cls, counts: Counts, column: str) -> Self:
        """One label a sample, from a column of ``obs``; missing and empty values are no label.

        Raises
        ------
        OptionError
            There is no such column, or it is empty.
        SourceError
            Two samples have one name.
        """
        if column not in counts.obs:
            raise OptionError(
                f"{counts.name}: {column!r} is no column of obs; it has: {', '.join(map(str, counts.obs)) or 'none'}"
            )
        code_n, texts = values_of(counts.obs[column].array)
        names = [name_of(text) for text in texts]
        if not (code_n >= 0).any():
            raise OptionError(f"{counts.name}: column {column!r} has no value; choose another column")
        label_t, distinct = pd.factorize(np.array(names, dtype=object))  # two spellings can be one clean name
        used, code_n = np.unique(np.append(label_t, -1)[code_n], return_inverse=True)
        code_n = code_n - (used[0] == -1)
        names = [str(distinct[k]) for k in used if k >= 0]
        rows = np.flatnonzero(code_n >= 0)
        y_nl = sp.csr_matrix((np.ones(len(rows)), (rows, code_n[rows])), shape=(len(code_n), len(names)))
        table = pd.DataFrame({"label": names, "kind": name_of(column), "parent": "", "id": ""})
        return cls(_unique_samples(counts.obs.index, counts.name), tuple(names), y_nl, table)

    def save(self, path: str | Path) -> None:
        """Write one ``.npz`` that holds arrays and JSON text; it appears when it is complete.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        from corpuscle.bulk.labels._file import write_labels

        write_labels(self, Path(path))

    @classmethod
    def load(cls, path: str | Path) -> Labels:
        """Labels that :meth:`save` wrote; nothing in the file is run.

        Raises
        ------
        SourceError
            It is missing, damaged or something else.
        """
        from corpuscle.bulk.labels._file import read_labels

        return read_labels(Path(path))

    # -- what they say -------------------------------------------------------------------------------------------

    @property
    def n_labelled(self) -> int:
        """Number of samples with a label."""
        return int((np.diff(self.y_nl.indptr) > 0).sum())

    def __repr__(self) -> str:
        return f"Labels({len(self.samples):,} samples x {len(self.names):,} labels, {self.n_labelled:,} labelled)"

    def single(self) -> Array:
        """(n,) int64: the label of a sample that has just one, -1 for none, -2 for several."""
        n_labels_n = np.diff(self.y_nl.indptr)
        code_n = np.where(n_labels_n == 0, NONE, SEVERAL)
        one_n = n_labels_n == 1
        code_n[one_n] = self.y_nl.indices[self.y_nl.indptr[:-1][one_n]]
        return code_n.astype(np.int64)

    def summary(self, series: Array | None = None) -> LabelSummary:
        """How many labels samples have, which labels go together, and in how many series each lives.

        Parameters
        ----------
        series
            (n,) code of the series of every sample; see :func:`corpuscle.bulk.series.series_groups`.
        """
        from corpuscle.bulk.labels.summary import summarise

        return summarise(self, series)

    def for_samples(self, names: Sequence[str] | pd.Index) -> tuple[Labels, list[str]]:
        """The same labels for the samples of a matrix, in its order.

        Returns
        -------
        tuple
            The labels, and one line for each thing to know: samples that only one side has, samples without a label.

        Raises
        ------
        SourceError
            A name is there twice.
        OptionError
            No sample is in both.
        """
        wanted = _unique_samples(names, "the matrix")
        place_m = self.samples.get_indexer(wanted)
        found_m = place_m >= 0
        n_found = int(found_m.sum())
        if not n_found:
            raise OptionError(
                f"none of the {len(wanted):,} samples of the matrix is among the {len(self.samples):,} of the labels (the "
                f"first are {_first(wanted)} and {_first(self.samples)}); give labels that use the matrix's sample names"
            )
        padded_nl = sp.vstack([self.y_nl, sp.csr_matrix((1, len(self.names)), dtype=np.uint8)], format="csr")
        y_ml = padded_nl[np.where(found_m, place_m, len(self.samples))]
        notes = []
        if n_found < len(wanted):
            notes.append(f"{len(wanted) - n_found:,} of the {len(wanted):,} samples are not in the labels")
        if n_found < len(self.samples):
            notes.append(
                f"{len(self.samples) - n_found:,} samples of the labels are not in the matrix and were left out"
            )
        unlabelled = int((np.diff(y_ml.indptr) == 0).sum()) - (len(wanted) - n_found)
        if unlabelled:
            notes.append(f"{unlabelled:,} samples have no label")
        return replace(self, samples=wanted, y_nl=y_ml), notes

    def restrict(self, min_samples: int = 1, min_series: int = 1, series: Array | None = None) -> Labels:
        """Only the labels with enough samples and series; all samples stay.

        Parameters
        ----------
        min_samples, min_series
            The fewest that a label must have.
        series
            (n,) code of the series of every sample, needed for ``min_series`` above 1.

        Raises
        ------
        OptionError
            No label is left, or the series are missing.
        """
        if min_series > 1 and series is None:
            raise OptionError(
                "a least number of series needs the series of the samples; give the column that names them"
            )
        per = self.summary(series).labels
        kept_l = (per["n_samples"] >= min_samples).to_numpy()
        if series is not None:
            kept_l &= (per["n_series"] >= min_series).to_numpy()
        if not kept_l.any():
            raise OptionError(
                f"no label has at least {min_samples:,} samples and {min_series:,} series; ask for fewer of them"
            )
        index = np.flatnonzero(kept_l)
        return replace(
            self, names=tuple(self.names[k] for k in index), y_nl=self.y_nl[:, index],
            table=self.table.iloc[index].reset_index(drop=True),
        )  # fmt: skip


def first_twice(names: pd.Index) -> str | None:
    """The first name that is there a second time, if one is."""
    twice = names.duplicated()
    return str(names[int(twice.argmax())]) if twice.any() else None


def _unique_samples(names: Sequence[str] | pd.Index, what: str) -> pd.Index:
    index = pd.Index([str(name) for name in names], dtype=object)
    twice = first_twice(index)
    if twice is not None:
        raise SourceError(f"{what}: sample {clean(twice)!r} is there twice; keep one of each name")
    return index


def _first(names: pd.Index) -> str:
    return repr(clean(str(names[0]), 40)) if len(names) else "none"


def _table(given: pd.DataFrame | None, names: tuple[str, ...], y_nl: sp.csr_matrix) -> pd.DataFrame:
    table = pd.DataFrame({"label": list(names)}) if given is None else given.reset_index(drop=True)
    if list(map(str, table.get("label", ()))) != list(names):
        raise OptionError("the table of labels must have a column 'label' with the names of the labels, in their order")
    columns = {
        name: [("" if pd.isna(v) else str(v)) for v in table[name]] if name in table else [""] * len(names)
        for name in TABLE[:-1]
    }
    n_samples_l = np.bincount(y_nl.indices, minlength=len(names)).astype(np.int64)
    return pd.DataFrame({**columns, "n_samples": n_samples_l}, columns=list(TABLE))
