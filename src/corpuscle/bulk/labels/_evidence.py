"""Which rule gave which sample a label, and on what text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["EVIDENCE", "coded", "no_evidence", "within"]

#: Columns of the evidence.
EVIDENCE = ("sample", "label", "rule", "field", "text")


def coded(codes: Mapping[str, np.ndarray[Any, Any]], words: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Evidence of codes into distinct words; the columns are categories, so that a million rows stay small."""
    return pd.DataFrame(
        {
            name: pd.Categorical.from_codes(codes[name], categories=pd.Index(words[name], dtype=object))
            for name in EVIDENCE
        }
    )


def no_evidence() -> pd.DataFrame:
    """An empty table of evidence."""
    return coded({name: np.empty(0, dtype=np.int32) for name in EVIDENCE}, {name: [] for name in EVIDENCE})


def within(evidence: pd.DataFrame, samples: pd.Index, names: Sequence[str]) -> pd.DataFrame:
    """The evidence about these samples and labels, with just their categories."""
    columns = {name: evidence[name].astype("category") for name in EVIDENCE}
    places = {
        "sample": samples.get_indexer(columns["sample"].cat.categories),
        "label": pd.Index(names, dtype=object).get_indexer(columns["label"].cat.categories),
    }
    place_e = {name: _moved(columns[name].cat.codes.to_numpy(), place) for name, place in places.items()}
    kept_e = (place_e["sample"] >= 0) & (place_e["label"] >= 0)
    codes = {name: place[kept_e] for name, place in place_e.items()}
    words: dict[str, Sequence[str]] = {"sample": samples.tolist(), "label": list(names)}
    for name in ("rule", "field", "text"):
        column = columns[name].cat
        used, codes[name] = np.unique(column.codes.to_numpy()[kept_e], return_inverse=True)
        words[name] = ["" if code < 0 else str(column.categories[code]) for code in used]
    return coded({name: code.astype(np.int32) for name, code in codes.items()}, words)


def _moved(code_e: np.ndarray[Any, Any], place: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return np.append(place, -1)[code_e.astype(np.int64)]  # the code -1 looks up the last, which is no place
