"""Which cell lies in which archive: the distinct cells of rows, each once, grouped by link."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus.pairs._link_errors import MissingId, MissingKey
from corpuscle.corpus.pairs._link_words import About
from corpuscle.corpus.pairs.links import fetch
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["CellLinks", "LinkOf", "cell_links", "open_rows", "places_of", "read_rows_archive", "rows_in_archive"]

Array = np.ndarray[Any, Any]
_FILLED = {"obs_name", "adata_sha256", "adata_format"}


@dataclass(frozen=True)
class LinkOf:
    """One archive and the cells that the rows want of it: ``rows_n`` are their places in the table of cells."""

    link: str
    sha256: str | None
    format: str | None
    rows_n: Array

    def fetch(self, cache: str | Path, base: str | Path | None, options: Mapping[str, Any]) -> Path:
        """The archive on this machine, verified."""
        n_rows = len(self.rows_n)
        return fetch(self.link, cache, sha256=self.sha256, format=self.format, base=base, n_rows=n_rows, **options)


@dataclass(frozen=True)
class CellLinks:
    """Cells in order of first appearance.

    Attributes
    ----------
    table
        Columns id, name (inside its archive), link, sha256, format; one row a cell.
    base
        Where relative links start from.
    """

    table: pd.DataFrame
    base: str | Path | None

    def links(self) -> Iterator[LinkOf]:
        """The archives in order of first appearance."""
        for link, rows in self.table.groupby("link", sort=False).indices.items():
            first = self.table.iloc[rows[0]]
            yield LinkOf(str(link), first["sha256"] or None, first["format"] or None, np.asarray(rows))


def open_rows(dataset: Any, base: str | Path | None) -> tuple[list[Any], str | Path | None]:
    """The splits of a data set, a split, or a folder that ``save_to_disk`` wrote; and where its links start from."""
    import datasets

    if isinstance(dataset, str | Path):
        folder = Path(dataset)
        try:
            dataset = datasets.load_from_disk(str(folder))
        except Exception as error:  # pyarrow and json have their own types
            reason = " ".join(str(error).split())[:200]
            raise SourceError(f"{folder}: no data set can be read here ({reason}); name the folder of one") from None
        base = folder if base is None else base
    if isinstance(dataset, datasets.DatasetDict):
        return list(dataset.values()), base
    if isinstance(dataset, datasets.Dataset):
        return [dataset], base
    raise OptionError(f"{type(dataset).__name__} is no data set; give a Dataset, a DatasetDict or the folder of one")


def cell_links(
    dataset: Any, *, sample_column: str = "sample_idx", link_column: str = "adata_link", base: str | Path | None = None
) -> CellLinks:
    """The distinct cells of a data set; rows that repeat a cell (the pairs form has two a cell) count once.

    Raises
    ------
    SourceError
        A column is missing, a row has no id or link, or one id names two cells.
    """
    import pandas as pd

    splits, base = open_rows(dataset, base)
    parts = [_split_table(one, sample_column, link_column) for one in splits]
    table = pd.concat(parts, ignore_index=True).drop_duplicates(ignore_index=True)
    for column, called in (("id", sample_column), ("link", link_column)):
        if empty := int((table[column] == "").sum()):
            raise SourceError(f"column {called}: {empty:,} rows have none; build the data set again")
    twice = table["id"].duplicated(keep=False)
    if twice.any():
        name = table.loc[twice, "id"].iloc[0]
        where = " and ".join(table.loc[table["id"] == name, "link"].iloc[:2])
        raise SourceError(
            f"{sample_column} {name!r} names two cells ({where}), {twice.sum():,} rows in all; "
            "build the data set again with names that are unique over all sources"
        )
    differ = table.groupby("link", sort=False)[["sha256", "format"]].nunique().max(axis=1)
    if (differ > 1).any():
        raise SourceError(f"link {differ.idxmax()}: rows name different checksums or formats for it; build it again")
    return CellLinks(table, base)


def _split_table(split: Any, sample_column: str, link_column: str) -> pd.DataFrame:
    import pandas as pd

    missing = [name for name in (sample_column, link_column) if name not in split.column_names]
    if missing:
        raise SourceError(f"no column {missing[0]!r}; the data set has {', '.join(split.column_names)}")
    wanted = [sample_column, link_column, *sorted(_FILLED & set(split.column_names) - {sample_column, link_column})]
    rows = split.select_columns(wanted).with_format("arrow")[:].to_pandas()
    for name in wanted:  # a class label is a number in the rows
        feature = split.features[name]
        if hasattr(feature, "names"):
            names = np.asarray([*feature.names, ""], dtype=object)
            rows[name] = names[rows[name].fillna(-1).astype(int).to_numpy()]
    text = rows.astype(object).where(rows.notna(), "").astype(str)
    empty = pd.Series("", index=text.index, dtype=object)
    return pd.DataFrame(
        {
            "id": text[sample_column],
            "name": text["obs_name"] if "obs_name" in text else text[sample_column],
            "link": text[link_column],
            "sha256": text.get("adata_sha256", empty),
            "format": text.get("adata_format", empty),
        }
    )


def rows_in_archive(names: Any, wanted: Sequence[str], ids: Sequence[str], link: str) -> Array:
    """Rows of an archive's cells ``names`` that are the cells ``wanted``, in the order asked.

    Raises
    ------
    MissingId
        A cell is not there; the message names it, the link and the first names that are.
    SourceError
        The archive names a cell twice.
    """
    about = About(link, len(wanted))
    if not names.is_unique:
        raise SourceError(f"{about}: names the cell {names[names.duplicated()][0]!r} twice; build the archive again")
    places = names.get_indexer(np.asarray(wanted, dtype=object))
    if (places < 0).any():
        first = int(np.flatnonzero(places < 0)[0])
        there = ", ".join(repr(str(name)) for name in names[:5])
        raise MissingId(
            f"{about}: {int((places < 0).sum()):,} cells are not in it, the first {ids[first]!r}; it has {there}, ...; "
            "put the archive of these rows back or build the data set again"
        )
    return places


def read_rows_archive(path: Path, one: LinkOf, keys: Sequence[str] | None, *, matrices: bool) -> AnnData:
    """Read an archive for its rows; what is wrong is said of the link.

    Raises
    ------
    MissingKey, SourceError
        An embedding is not there; the archive cannot be read.
    """
    from corpuscle.corpus.pairs.archives import read_archive

    about = About(one.link, len(one.rows_n))
    try:
        return read_archive(path, one.format, keys, matrices=matrices)
    except OptionError as error:
        raise MissingKey(f"{about}: {str(error).removeprefix(f'{path}: ')}; ask for one of these") from None
    except SourceError as error:
        raise type(error)(f"{about}: {str(error).removeprefix(f'{path}: ')}") from None


def places_of(adata: AnnData, one: LinkOf, cells: CellLinks) -> Array:
    """Rows of an archive that are the cells ``one`` wants of it, in their order."""
    names = cells.table["name"].to_numpy(object)[one.rows_n]
    ids = cells.table["id"].to_numpy(object)[one.rows_n]
    return rows_in_archive(adata.obs_names, names, ids, one.link)
