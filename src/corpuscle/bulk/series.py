"""Which samples are of one study, and splits that keep a study on one side.

Replicates of one study resemble each other more than they resemble samples of the same tissue elsewhere. With some in
training and some in the test, a score is of how well studies are recognised.
"""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError
from corpuscle.seeds import stream_seed

__all__ = ["Folds", "grouped_folds", "random_folds", "series_groups", "series_per_label"]

Array = np.ndarray[Any, Any]
#: Places of the training and of the test samples, one pair a fold.
Folds = list[tuple[Array, Array]]

SEPARATOR = re.compile(r"[,;\t\r\n]+")
#: Several of these with spaces between them are several series; other words with spaces are one name, "donor 1".
ACCESSION = re.compile(r"[A-Za-z]{2,}[-_]?\d+")
#: What stands in such tables for nothing.
NOTHING = frozenset({"", "nan", "na", "n/a", "none", "null", "<na>"})


def series_groups(obs: pd.DataFrame, column: str = "series_id") -> tuple[Array, list[str]]:
    """Group samples that share a series, directly or through others.

    Parameters
    ----------
    obs
        One row a sample.
    column
        Its series; several ids are separated by commas, semicolons or tabs, accessions also by spaces.

    Returns
    -------
    codes_n
        (n,) int64 group of each sample, numbered as they first appear. A sample without a series is a group of its own.
    notes
        Lines on what was found: samples without a series, series joined by samples that are of several.

    Raises
    ------
    OptionError
        There is no such column.
    """
    if column not in obs:
        raise OptionError(
            f"there is no column {column!r} that says of which series a sample is; choose one of: "
            f"{', '.join(map(str, obs.columns)) or 'none'}"
        )
    if not len(obs):
        return np.zeros(0, np.int64), []
    text_u, ids_of_u = _parsed(obs[column])
    component_n = _components(text_u, ids_of_u)
    codes_n = pd.factorize(component_n)[0].astype(np.int64)
    return codes_n, _notes(text_u, ids_of_u, codes_n, column)


def _parsed(values: pd.Series) -> tuple[Array, list[list[str]]]:
    """For every sample which text it has, and for every text the ids in it."""
    code_n, texts = pd.factorize(values.astype("object").where(values.notna(), "").astype(str).to_numpy())
    return code_n, [_ids(str(text)) for text in texts]


def _ids(text: str) -> list[str]:
    found: list[str] = []
    for piece in SEPARATOR.split(text):
        words = piece.split()
        found += words if all(ACCESSION.fullmatch(word) for word in words) else [" ".join(words)]
    return [one for one in dict.fromkeys(found) if one.lower() not in NOTHING]


def _components(code_n: Array, ids_of_u: list[list[str]]) -> Array:
    """Connected components of texts and ids; samples whose text has no id get a number of their own."""
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    n_texts = len(ids_of_u)
    text_e = np.repeat(np.arange(n_texts), [len(ids) for ids in ids_of_u])
    id_e, ids = pd.factorize(np.array([one for ids in ids_of_u for one in ids], object))
    size = n_texts + len(ids)
    edges = coo_matrix((np.ones(len(text_e), np.int8), (text_e, n_texts + id_e)), shape=(size, size))
    component_n = connected_components(edges, directed=False)[1].astype(np.int64)[code_n]
    lonely_n = np.array([not ids for ids in ids_of_u])[code_n]
    component_n[lonely_n] = size + np.arange(int(lonely_n.sum()))
    return component_n


def _notes(code_n: Array, ids_of_u: list[list[str]], codes_n: Array, column: str) -> list[str]:
    notes = []
    lonely = int(np.array([not ids for ids in ids_of_u])[code_n].sum())
    if lonely:
        notes.append(f"{lonely:,} of {len(code_n):,} samples have no {column}; each is taken for a series of its own")
    n_ids = len({one for ids in ids_of_u for one in ids})
    joined = n_ids - (int(codes_n.max()) + 1 - lonely)
    if joined:
        notes.append(f"{n_ids:,} series are {n_ids - joined:,} groups, since some samples are of several series")
    return notes


def series_per_label(labels_n: Array, groups_n: Array) -> pd.DataFrame:
    """Count samples and series of every label; what lives in one series cannot be tested on another.

    Returns
    -------
    DataFrame
        Columns label, n_samples, n_series, in the order of the labels.
    """
    table = pd.DataFrame({"label": labels_n, "series": groups_n})
    counted = table.groupby("label", observed=True)["series"].agg(n_samples="size", n_series="nunique")
    return counted.reset_index()


def grouped_folds(labels_n: Array, groups_n: Array, n_splits: int, seed: int) -> Folds:
    """Cut samples into folds of whole groups, with labels as evenly spread as groups allow.

    Parameters
    ----------
    labels_n
        (n,) label of each sample; for the balance only.
    groups_n
        (n,) its group, as of :func:`series_groups`.
    n_splits
        Folds; fewer, with a warning, where there are fewer groups.
    seed
        Shuffles the groups.

    Returns
    -------
    list of (train, test)
        Places of the samples. Every sample is in one test fold; no group is on both sides.

    Raises
    ------
    OptionError
        All samples are of one group, or ``n_splits`` is below 2.
    """
    labels_n, groups_n = _checked(labels_n, groups_n, n_splits)
    n_groups = len(np.unique(groups_n))
    if n_groups < 2:
        raise OptionError(
            f"all {len(groups_n):,} samples are of one series, so none can be held out; name another column for the "
            "series, add samples of other studies, or ask for a random split (whose score will be too high)"
        )
    _warn_single(labels_n, groups_n)
    n_splits = _fewer(n_splits, n_groups, "series")
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    state = stream_seed(seed, "grouped folds")
    if np.unique(labels_n, return_counts=True)[1].max() >= n_splits:
        by: Any = StratifiedGroupKFold(n_splits, shuffle=True, random_state=state)
    else:  # no label is frequent enough to be spread over the folds
        by = GroupKFold(n_splits, shuffle=True, random_state=state)
    return _split(by, labels_n, groups_n)


def random_folds(labels_n: Array, n_splits: int, seed: int) -> Folds:
    """Cut samples into folds without regard to series: for the score that a grouped split is compared with.

    See :func:`grouped_folds` for the parameters.

    Raises
    ------
    OptionError
        There are fewer than two samples, or ``n_splits`` is below 2.
    """
    labels_n, _ = _checked(labels_n, labels_n, n_splits)
    if len(labels_n) < 2:
        raise OptionError(f"{len(labels_n)} samples cannot be split; give at least two")
    n_splits = _fewer(n_splits, len(labels_n), "samples")
    from sklearn.model_selection import KFold, StratifiedKFold

    state = stream_seed(seed, "random folds")
    frequent = np.unique(labels_n, return_counts=True)[1].max() >= n_splits
    by: Any = (StratifiedKFold if frequent else KFold)(n_splits, shuffle=True, random_state=state)
    return _split(by, labels_n, None)


def _checked(labels_n: Array, groups_n: Array, n_splits: int) -> tuple[Array, Array]:
    labels_n, groups_n = np.asarray(labels_n), np.asarray(groups_n)
    if n_splits < 2:
        raise OptionError(f"{n_splits} folds leave nothing to test on; ask for 2 or more")
    if labels_n.shape != groups_n.shape or labels_n.ndim != 1:
        raise OptionError(f"labels have shape {labels_n.shape} and groups {groups_n.shape}; give one of each a sample")
    return labels_n, groups_n


def _fewer(n_splits: int, n: int, what: str) -> int:
    if n < n_splits:
        warnings.warn(f"{n} folds instead of {n_splits}, since there are {n} {what}", UserWarning, stacklevel=3)
    return min(n_splits, n)


def _warn_single(labels_n: Array, groups_n: Array) -> None:
    table = series_per_label(labels_n, groups_n)
    alone = table.loc[table["n_series"] == 1, "label"]
    if len(alone):
        named = ", ".join(map(str, alone[:3])) + (", ..." if len(alone) > 3 else "")
        warnings.warn(
            f"{len(alone)} of {len(table)} labels are in one series only ({named}); no held-out series can test them",
            UserWarning,
            stacklevel=3,
        )


def _split(by: Any, labels_n: Array, groups_n: Array | None) -> Folds:
    code_n = np.unique(labels_n, return_inverse=True)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of labels with fewer samples than folds; their scores are NaN
        folds = list(by.split(np.zeros((len(code_n), 1)), code_n, groups_n))
    return [(train, test) for train, test in folds if len(train) and len(test)]
