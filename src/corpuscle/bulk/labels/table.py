"""Labels from pairs of sample and label, in a table or counted up from elsewhere."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.bulk.labels._evidence import coded
from corpuscle.bulk.labels._findings import defined_labels
from corpuscle.bulk.labels._text import MISSING, name_of
from corpuscle.bulk.labels.store import Labels
from corpuscle.bulk.labels.terms import Label
from corpuscle.errors import SourceError

__all__ = ["ACCESSION", "labels_from_pairs", "labels_from_table"]

#: Names of samples and runs in public archives.
ACCESSION = re.compile(r"GSM\d+|[SED]R[RSX]\d+|SAM[NED][A-Z]?\d+")
#: What the two columns may be called.
SAMPLE_COLUMNS = ("sample", "sample_id", "samples", "geo_accession", "gsm", "accession")
LABEL_COLUMNS = ("label", "labels", "annotation", "tissue")


def labels_from_table(
    path: str | Path, samples: Sequence[str] | pd.Index | None = None, *, info: Mapping[str, Any] | None = None
) -> tuple[Labels, list[str]]:
    """Labels from a table with a row for each sample and label, separated by tabs or commas.

    The first line names the columns: ``sample``, ``label`` and, if wanted, ``kind``, ``parent`` and ``id`` of the label. Without
    such a line, the first column must be of accessions and the second of labels. A row that is there twice counts once;
    rows without a label are left out.

    Parameters
    ----------
    path
        The table; ``.gz`` may be appended to its name.
    samples
        Samples of a matrix, to which the labels are brought; None for those of the table.
    info
        Stored with the labels.

    Returns
    -------
    tuple
        The labels, and one line for each thing to know.

    Raises
    ------
    SourceError
        It cannot be read, or the columns are missing.
    OptionError
        No sample of the table is in the matrix, or a label has two meanings.
    """
    path = Path(path)
    frame = _read(path)
    frame["label"] = frame["label"].map({text: name_of(text) for text in frame["label"].unique()})
    kept = ~frame["label"].str.casefold().isin(MISSING) & (frame["sample"] != "")
    notes = [] if kept.all() else [f"{path}: {int((~kept).sum()):,} rows have no sample or no label and were left out"]
    frame = frame[kept]
    if frame.empty:
        raise SourceError(f"{path}: has no sample with a label; fill in the column of labels")
    distinct = frame.drop(columns="sample").drop_duplicates()
    columns = [
        distinct[name].map(name_of) if name in distinct else [""] * len(distinct) for name in ("kind", "parent", "id")
    ]
    given = [Label(*values) for values in zip(distinct["label"], *columns, strict=True)]
    labels = labels_from_pairs(
        frame["sample"].to_numpy(), frame["label"].to_numpy(),
        defined_labels((label, str(path)) for label in given), rule=f"table {path.name}", info=info,
    )  # fmt: skip
    return _brought(labels, samples, notes)


def labels_from_pairs(
    sample_m: np.ndarray[Any, Any],
    label_m: np.ndarray[Any, Any],
    labels: Mapping[str, Label],
    *,
    rule: str,
    field: str = "",
    text_m: np.ndarray[Any, Any] | None = None,
    info: Mapping[str, Any] | None = None,
) -> Labels:
    """Labels of m pairs in time O(m): sample names, label names (keys of ``labels``), and what the evidence says.

    Parameters
    ----------
    rule, field, text_m
        Evidence: what gave the labels, and from which text; None for the label's own name.
    """
    sample_code, samples = pd.factorize(sample_m)
    label_code, names = pd.factorize(label_m)
    pair_m = sample_code.astype(np.int64) * len(names) + label_code
    first = np.sort(np.unique(pair_m, return_index=True)[1])
    sample_code, label_code = sample_code[first], label_code[first]
    y_nl = sp.csr_matrix((np.ones(len(first), np.uint8), (sample_code, label_code)), shape=(len(samples), len(names)))
    definitions = [labels[name] for name in names]
    table = pd.DataFrame(
        [(d.name, d.kind, d.parent, d.id) for d in definitions], columns=["label", "kind", "parent", "id"]
    )
    text_code, texts = pd.factorize((label_m if text_m is None else text_m)[first])
    zero = np.zeros(len(first), dtype=np.int64)
    evidence = coded(
        {"sample": sample_code, "label": label_code, "rule": zero, "field": zero, "text": text_code},
        {"sample": list(samples), "label": list(names), "rule": [rule], "field": [field], "text": list(texts)},
    )
    return Labels(pd.Index(samples), tuple(names), y_nl, table, evidence, dict(info or {}))


def _brought(labels: Labels, samples: Sequence[str] | pd.Index | None, notes: list[str]) -> tuple[Labels, list[str]]:
    """The labels for the samples of a matrix, if there is one."""
    if samples is None:
        return labels, notes
    labels, more = labels.for_samples(samples)
    return labels, notes + more


def _read(path: Path) -> pd.DataFrame:
    """Text columns sample, label and what else is known of these names."""
    try:
        with _opened(path) as file:
            first = file.readline(100_000)
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); give a table of text in UTF-8") from None
    separator = "\t" if "\t" in first else ","
    names = [name.strip().strip('"').casefold() for name in first.rstrip("\r\n").split(separator)]
    sample = next((names.index(name) for name in SAMPLE_COLUMNS if name in names), None)
    label = next((names.index(name) for name in LABEL_COLUMNS if name in names), None)
    headless = (sample is None or label is None) and len(names) >= 2 and bool(ACCESSION.fullmatch(names[0].upper()))
    if headless:
        names, sample, label = ["sample", "label", "kind", "parent", "id"][: len(names)], 0, 1
    if sample is None or label is None:
        raise SourceError(
            f"{path}: its first line names no columns 'sample' and 'label' (it has {name_of(', '.join(names))[:100]}); "
            "name them so"
        )
    return _columns(path, separator, names, sample, label, headless)


def _columns(path: Path, separator: str, names: list[str], sample: int, label: int, headless: bool) -> pd.DataFrame:
    wanted = {sample: "sample", label: "label"}
    wanted |= {names.index(name): name for name in ("kind", "parent", "id") if name in names}
    try:
        with _opened(path) as file:
            frame = pd.read_csv(
                file, sep=separator, header=None, skiprows=0 if headless else 1, usecols=sorted(wanted), dtype=str,
                keep_default_na=False, quoting=csv.QUOTE_MINIMAL, engine="c", names=range(len(names)), index_col=False,
            )  # fmt: skip
    except (OSError, EOFError, ValueError, UnicodeDecodeError, pd.errors.ParserError) as error:
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"{path}: cannot be read as a table ({reason}); correct it") from None
    frame = frame.rename(columns=wanted).fillna("")
    if frame.empty:
        raise SourceError(f"{path}: has no row; give a table of samples and labels")
    frame["sample"] = frame["sample"].str.strip()
    return frame


def _opened(path: Path) -> Any:
    import gzip

    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; check the path")
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")
