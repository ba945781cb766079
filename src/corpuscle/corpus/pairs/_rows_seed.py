"""Rows of the first generation: a JSON text in ``anndata_ref`` instead of an id and a link."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from datasets import Dataset

__all__ = ["from_seed"]

_LARGEST = 64 * 2**10


def from_seed(rows: Dataset, split: str) -> tuple[Dataset, dict[str, dict[str, str]]]:
    """Columns of today for rows of the first generation.

    Parameters
    ----------
    rows
        With ``anndata_ref``: a JSON object of ``sample_id`` and either ``file_path``, or ``file_record`` with
        ``dataset_path`` and ``embeddings``.
    split
        Name of the split, for messages.

    Returns
    -------
    rows
        ``sample_idx``, ``obs_name``, ``adata_link``, ``adata_format`` (None where the reference does not imply it) in
        place of ``anndata_ref``; the other columns as they are.
    embeddings
        Links of the embeddings, by ``adata_link`` and by their key in ``obsm``.

    Raises
    ------
    SourceError
        A reference is not of that form.
    """
    import pyarrow as pa

    from datasets import Dataset

    embeddings: dict[str, dict[str, str]] = {}
    ids, links, formats = [], [], []
    table = rows.with_format("arrow")[:]
    for row, text in enumerate(table.column("anndata_ref").to_pylist()):
        where = f"split {split}, row {row}, anndata_ref"
        reference = _parse(text, where)
        record = reference.get("file_record")
        if record is None:
            link = _text(reference, "file_path", where)
        elif isinstance(record, Mapping):
            link = _text(record, "dataset_path", where)
            _note(embeddings, link, record.get("embeddings"), where)
        else:
            raise SourceError(f"{where}: file_record is not an object")
        ids.append(_text(reference, "sample_id", where))
        links.append(link)
        # Records always named an .h5ad; the older file_path did not say what it is.
        formats.append(None if record is None else "h5ad")
    columns: dict[str, Any] = {
        "sample_idx": pa.array(ids, pa.string()),
        "obs_name": pa.array(ids, pa.string()),
        **{name: table.column(name) for name in table.column_names if name != "anndata_ref"},
        "adata_link": pa.array(links, pa.string()),
        "adata_format": pa.array(formats, pa.string()),
    }
    return Dataset(pa.table(columns)), embeddings


def _parse(text: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(text, str) or len(text) > _LARGEST:
        raise SourceError(f"{where}: not a JSON text of at most {_LARGEST // 2**10} KiB")
    try:
        reference = json.loads(text)
    except (ValueError, RecursionError):
        raise SourceError(f"{where}: not JSON: {text[:80]!r}") from None
    if not isinstance(reference, dict):
        raise SourceError(f"{where}: not a JSON object: {text[:80]!r}")
    return reference


def _text(reference: Mapping[str, Any], key: str, where: str) -> str:
    value = reference.get(key)
    if not isinstance(value, str) or not value:
        raise SourceError(f"{where}: has no text under {key!r}")
    return value


def _note(embeddings: dict[str, dict[str, str]], link: str, found: Any, where: str) -> None:
    if found is None:
        found = {}
    if not isinstance(found, dict) or not all(isinstance(value, str) for value in found.values()):
        raise SourceError(f"{where}: embeddings is not an object of links")
    if embeddings.setdefault(link, found) != found:
        raise SourceError(f"{where}: names other embeddings of {link!r} than an earlier row")
