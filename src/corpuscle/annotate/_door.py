"""Where scores come in from AnnData and go out to it: a table in ``obsm``, what is known of it in ``uns``."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate.scores import Scores
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

__all__ = ["plain", "put_table", "read_scores_of", "write_scores"]

Array = np.ndarray[Any, Any]


def write_scores(adata: AnnData, scores: Scores | pd.DataFrame, key: str) -> None:
    """Write scores of the cells of an AnnData into ``obsm[key]``, and what is known of them into ``uns[key]``.

    Parameters
    ----------
    adata
        Of the same cells; in the same order, unless the scores name their cells.
    scores
        What to write; of a DataFrame the columns are the types and the index names the cells.
    key
        Name under both.

    Raises
    ------
    SourceError
        The scores are of other cells, or one is NaN or infinite.
    OptionError
        A type has no name, or two have the same.
    """
    if not isinstance(scores, Scores):
        names = tuple(map(str, scores.columns))
        scores = Scores(scores.to_numpy(), names, source=key, cells=scores.index.to_numpy(dtype=object))
    values_nk = scores.values_nk
    if len(values_nk) != adata.n_obs:
        raise SourceError(f"{scores.source}: scores of {len(values_nk):,} cells for {adata.n_obs:,} cells")
    if scores.cells is not None:
        values_nk = values_nk[_places(np.asarray(scores.cells, dtype=object), adata.obs_names, scores.source)]
    put_table(adata, key, values_nk, scores.types)
    adata.uns[key] = {
        "classes": np.array(scores.types, dtype=object),
        "cl_ids": np.array([one or "" for one in scores.cl_ids], dtype=object),
        "source": scores.source,
        # As text, since names of types are keys in it, and a key of an h5ad file may not hold a slash.
        "about": json.dumps(_jsonable(scores.about), sort_keys=True),
    }


def read_scores_of(adata: AnnData, key: str, class_names: Sequence[str] | None = None) -> Scores:
    """Read scores of the cells of an AnnData from ``obsm[key]``.

    Parameters
    ----------
    adata
        With a DataFrame, an array or a sparse matrix of n x K under that key.
    key
        Of ``obsm``.
    class_names
        Names of the columns. Not needed for a DataFrame, nor where ``uns[key]["classes"]`` has them.

    Raises
    ------
    OptionError
        There are no such scores, a type has no name, or two have the same.
    SourceError
        A score is NaN or infinite, or columns and names differ in number.

    Notes
    -----
    AnnData itself refuses a DataFrame whose rows are not its cells in their order; :func:`write_scores` matches them.
    """
    if key not in adata.obsm:
        raise OptionError(f"obsm has no scores {key!r}; it has: {', '.join(map(str, adata.obsm)) or 'nothing'}")
    values = adata.obsm[key]
    about, names = adata.uns.get(key, {}), class_names
    about = about if isinstance(about, Mapping) else {}
    if hasattr(values, "columns"):
        names = values.columns if names is None else names
        values = values.to_numpy()
    if names is None and "classes" in about:
        names = [str(name) for name in np.ravel(about["classes"])]
    if names is None:
        raise OptionError(
            f"obsm[{key!r}] has no names for its columns; give class_names, or a DataFrame, or uns[{key!r}]['classes']"
        )
    ids = tuple(str(one) or None for one in np.ravel(about.get("cl_ids", ())))
    return Scores(
        values,
        tuple(map(str, names)),
        cl_ids=ids if len(ids) == len(names) else (),
        source=str(about.get("source", f"obsm[{key!r}]")),
        cells=adata.obs_names.to_numpy(dtype=object),
        about=_read_about(about.get("about")),
    )


def put_table(adata: AnnData, key: str, values_nk: Array, types: Sequence[str]) -> None:
    """Put n x K values into ``obsm`` as a DataFrame with named columns.

    A name with a slash cannot be a column in a file, so with one the table is an array; its names are in ``uns``.
    """
    import pandas as pd

    storable = not any("/" in name or name in ("", "_index", adata.obs_names.name) for name in types)
    table = pd.DataFrame(values_nk, index=adata.obs_names, columns=list(types)) if storable else values_nk
    adata.obsm[key] = table


def plain(value: Any) -> Any:
    """A value as ``uns`` can hold it and a file keep it: no None, no tuple, text and numbers as arrays.

    Keys with None are left out; a list that is no array of one kind becomes text.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(one) for key, one in value.items() if one is not None}
    if isinstance(value, str | bool | int | float | np.ndarray):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, list | tuple):
        if all(isinstance(one, str) for one in value):
            return np.array(value, dtype=object)
        if all(isinstance(one, int | float | np.number) for one in value):
            return np.asarray(value)
        return json.dumps(_jsonable(value))
    return str(value)


def _places(cells: Array, wanted: Any, what: str) -> Array:
    """Row of each wanted cell among ``cells``, which must be the same cells in any order."""
    import pandas as pd

    if len(cells) == len(wanted) and np.array_equal(cells.astype(str), np.asarray(wanted, dtype=object).astype(str)):
        return np.arange(len(cells))
    index = pd.Index(cells.astype(str))
    if not index.is_unique or not wanted.is_unique:
        raise SourceError(f"{what}: names of cells repeat, so rows cannot be matched; make obs_names unique")
    place_n = index.get_indexer(wanted.astype(str))
    missing = np.flatnonzero(place_n < 0)
    if missing.size or len(index) != len(wanted):
        named = (
            f"no scores for {missing.size:,} of {len(wanted):,} cells (first: {wanted[missing[0]]})"
            if missing.size
            else ""
        )
        raise SourceError(f"{what}: scores of other cells: {named or f'{len(index):,} rows for {len(wanted):,} cells'}")
    warnings.warn(
        f"{what}: rows were in another order than the cells; they were matched by name", UserWarning, stacklevel=3
    )
    return place_n


def _jsonable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _jsonable(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_jsonable(one) for one in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, str | bool | int | float) else str(value)


def _read_about(text: Any) -> Mapping[str, Any]:
    if isinstance(text, Mapping):
        return dict(text)
    try:
        found = json.loads(text) if isinstance(text, str) else {}
    except ValueError:
        found = {}
    return found if isinstance(found, dict) else {}
