"""Checks of the rows of a data set of pairs: against its manifest, against each other, and over the splits."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus._folder_checks import Problem
from corpuscle.corpus.pairs.manifest import PairsManifest
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SplitRows", "across_problems", "read_split", "split_problems"]

_WANTED = ("sample_idx", "obs_name", "group", "adata_link", "adata_sha256", "adata_format", "positive")
_NEGATIVE = re.compile(r"negative_[0-9]+_(idx|id)$")


@dataclass(frozen=True)
class SplitRows:
    """The columns of one split that are checked; ``cells`` has each cell once."""

    split: str
    columns: tuple[str, ...]
    n_rows: int
    table: pd.DataFrame
    cells: pd.DataFrame

    def cells_of(self, link: str) -> pd.DataFrame:
        """The cells of one archive."""
        return self.cells[self.cells["adata_link"] == link]


def read_split(folder: Path, split: str) -> SplitRows:
    """Read one split; captions and links as text, sentences not at all.

    Raises
    ------
    SourceError
        The rows cannot be read or lack a column that all rows have.
    """
    import datasets

    try:
        rows = datasets.load_from_disk(str(folder / split))
        wanted = [name for name in rows.column_names if name in _WANTED or _NEGATIVE.match(name)]
        table = rows.select_columns(wanted).with_format("arrow")[:].to_pandas()
    except Exception as error:  # pyarrow and json have their own types
        reason = " ".join(str(error).split())[:200]
        raise SourceError(f"rows cannot be read ({reason}); get or build the data set again") from None
    for name in wanted:  # a class label is a number in the rows
        labels = getattr(rows.features[name], "names", None)
        if labels is not None:
            table[name] = np.asarray([*labels, ""], dtype=object)[table[name].fillna(-1).astype(int)]
    lacking = [name for name in ("sample_idx", "adata_link") if name not in table]
    if lacking:
        raise SourceError(f"rows have no column {lacking[0]!r}; build the data set again")
    if "obs_name" not in table:
        table["obs_name"] = table["sample_idx"]
    cells = table.drop_duplicates("sample_idx", ignore_index=True)
    return SplitRows(split, tuple(rows.column_names), len(rows), table, cells)


def split_problems(rows: SplitRows, manifest: PairsManifest) -> Iterator[Problem]:
    """What is wrong within one split."""
    stated = manifest.splits[rows.split]
    if rows.columns != tuple(manifest.columns):
        odd = sorted(set(rows.columns) ^ set(manifest.columns)) or ["their order"]
        yield Problem("columns", rows.split, f"columns are not those of the manifest, e.g. {odd[0]}; build it again")
    for what, found, said in (("rows", rows.n_rows, stated.rows), ("cells", len(rows.cells), stated.cells)):
        if found != said:
            yield Problem("rows", rows.split, f"has {found:,} {what} and the manifest says {said:,}; get it again")
    yield from _empty(rows)
    archives = {one.link: one for one in manifest.archives if one.split == rows.split}
    for column, value in (("adata_sha256", "sha256"), ("adata_format", "format")):
        if column in rows.table:
            said_of = {link: getattr(one, value) for link, one in archives.items()}
            wrong = rows.table[column] != rows.table["adata_link"].map(said_of)
            yield from _some(rows, wrong & rows.table["adata_link"].isin(archives), column, "is not the manifest's")
    yield from _some(rows, ~rows.table["adata_link"].isin(archives), "adata_link", "is of no archive of this split")
    where = rows.table.drop_duplicates(["sample_idx", "adata_link", "obs_name"])
    twice = where["sample_idx"].duplicated(keep=False).reindex(rows.table.index, fill_value=False)
    yield from _some(rows, twice, "sample_idx", "names two cells")
    for name in (one for one in rows.columns if _NEGATIVE.match(one)):
        yield from _negatives(rows, name)


def _empty(rows: SplitRows) -> Iterator[Problem]:
    for name in ("sample_idx", "obs_name", "adata_link", "positive"):
        if name in rows.table:
            yield from _some(rows, rows.table[name].isna() | (rows.table[name] == ""), name, "is empty")


def _negatives(rows: SplitRows, name: str) -> Iterator[Problem]:
    import pandas as pd

    other = rows.table[name]
    place = pd.Index(rows.cells["sample_idx"]).get_indexer(other)
    known = pd.Series(place >= 0, index=other.index)
    yield from _some(rows, ~known, name, "is no cell of this split")
    yield from _some(rows, other == rows.table["sample_idx"], name, "is the cell itself")
    if "positive" in rows.table:
        caption = rows.cells["positive"].to_numpy(object)[np.maximum(place, 0)]
        yield from _some(rows, known & (caption == rows.table["positive"]), name, "has the caption of its row")


def _some(rows: SplitRows, wrong: Any, column: str, what: str) -> Iterator[Problem]:
    places = np.flatnonzero(np.asarray(wrong, dtype=bool))
    if len(places):
        value = ascii(rows.table[column].iloc[places[0]])[:80]
        text = f"column {column} {what} in {len(places):,} rows, first {value} in row {places[0]:,}; build it again"
        yield Problem("rows", rows.split, text, row=int(places[0]), rows=len(places))


def across_problems(rows: dict[str, SplitRows], manifest: PairsManifest) -> Iterator[Problem]:
    """Cells, and groups where the split was by group, that are in two splits."""
    kinds = [("sample_idx", "cell")] + ([("group", "group")] if manifest.split_by is not None else [])
    for column, what in kinds:
        home: dict[Any, str] = {}
        for split, one in rows.items():
            here = set(one.cells[column].dropna()) if column in one.cells else set()
            both = sorted(str(value) for value in here & home.keys())
            if both:
                first = home[next(value for value in here if str(value) == both[0])]
                text = f"{len(both):,} {what}s are also in {first}, e.g. {ascii(both[0])[:80]}; split again"
                yield Problem("split", split, text)
            home.update(dict.fromkeys(here, split))
