"""What a table or a key must look like before it can be stored in an archive, and back again.

Groups of Zarr and HDF5 are paths, so a slash inside a name would make two levels of one. It is written as ``%2F``.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from corpuscle.errors import OptionError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["restored", "restored_name", "storable", "stored_name"]


def stored_name(name: str) -> str:
    """The name that ``name`` has inside an archive: slashes, and what could be taken for an escape, are escaped."""
    if name in ("", ".", ".."):
        raise OptionError(f"a column or embedding is named {name!r}, which no archive can hold; rename it")
    escaped = re.sub(r"%(?=25|2F|00)", "%25", name)
    return escaped.replace("/", "%2F").replace("\0", "%00")


def restored_name(name: str) -> str:
    """Inverse of :func:`stored_name`."""
    return re.sub(r"%(25|2F|00)", lambda found: {"25": "%", "2F": "/", "00": "\0"}[found[1]], name)


def storable(table: pd.DataFrame) -> pd.DataFrame:
    """A copy of a table of which every column has a type that archives hold.

    Text that repeats or is missing becomes categories in sorted order; truth values with gaps become nullable ones; dates
    and mixtures become text. Numbers are left alone.
    """
    import pandas as pd

    columns = {stored_name(str(name)): _column(table[name]) for name in table.columns}
    if len(columns) != len(table.columns):
        raise OptionError("two columns of the table have the same name; rename one")
    stored = pd.DataFrame(columns, index=pd.Index(table.index.astype(str).to_numpy(object)))
    stored.columns = stored.columns.astype(object)
    return stored


def restored(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the names it had before :func:`storable`."""
    return table.rename(columns=restored_name)


def _column(column: pd.Series[Any]) -> Any:
    import pandas as pd

    if isinstance(column.dtype, pd.CategoricalDtype):
        names = column.cat.categories
        return column.array if pd.api.types.infer_dtype(names) in ("string", "integer") else _text(column)
    if pd.api.types.is_bool_dtype(column.dtype) or pd.api.types.is_numeric_dtype(column.dtype):
        return _text(column) if pd.api.types.is_complex_dtype(column.dtype) else column.array
    if pd.api.types.infer_dtype(column, skipna=True) == "boolean":
        return column.astype("boolean").array
    return _text(column)


def _text(column: pd.Series[Any]) -> Any:
    """Strings; categories in sorted order where some repeat or are missing, so that a gap stays a gap."""
    import pandas as pd

    there = column.notna().to_numpy()
    words = column.astype(object).to_numpy(copy=True)
    words[there] = [word if isinstance(word, str) else str(word) for word in words[there]]
    names = sorted(set(words[there]))
    if len(names) == len(words):
        return words
    words[~there] = None
    return pd.Categorical(words, categories=pd.Index(names, dtype=object))
