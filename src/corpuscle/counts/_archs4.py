"""The HDF5 files of ARCHS4: uniformly processed bulk samples, genes x samples, in each of their layouts.

Lachmann et al. 2018, Nature Communications 9:1366.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.counts._dense import DenseMatrix
from corpuscle.counts._matrix import FileSource
from corpuscle.counts._names import gene_table, name_index
from corpuscle.counts._source import Source
from corpuscle.counts._store import Store, is_array, is_group, reading
from corpuscle.errors import SourceError

__all__ = ["is_archs4", "open_archs4"]

EXPRESSION = "data/expression"
SYMBOL_FIELDS = ("symbol", "gene_symbol", "genes", "gene_name", "ensembl_id", "transcript", "ensembl_gene")
GENE_ID_FIELDS = ("ensembl_gene", "ensembl_gene_id", "ensembl_id", "gene_ensemblid")
#: What a sample can be called by, best first.
ACCESSION_FIELDS = ("geo_accession", "sample")
#: Fields of the first layout whose name says the same as another one now.
OLD_NAMES = {"reads_aligned": "alignedreads"}
#: Fields that work with such files rests on; which of them are missing is said.
EXPECTED = (
    "geo_accession", "series_id", "title", "source_name_ch1", "characteristics_ch1", "singlecellprobability",
    "alignedreads",
)  # fmt: skip
#: Values of a field of text that are decoded at a time.
TEXTS = 65_536


def is_archs4(store: Store) -> bool:
    """Whether a file has an expression matrix beside genes or transcripts, as ARCHS4 has."""
    if EXPRESSION not in store or not is_array(store[EXPRESSION]):
        return False
    return "meta/genes" in store or "meta/transcripts" in store


@dataclass
class Tables:
    """Names and metadata as a file has them: features by field, samples by field, and what could not be used."""

    layout: str
    features: dict[str, Any]
    samples: dict[str, Any]
    unusable: list[str] = field(default_factory=list)


def open_archs4(path: Path, layer: str | None) -> Source:
    """A file of ARCHS4: version 1, 2.1, 2.2 and later, of genes or of transcripts.

    ``obs`` has the fields of the samples under their names in version 2, ``uns`` the layout, the version and date of
    the file, its chunks, and the names of fields that are missing.

    Raises
    ------
    SourceError
        A layer was asked for; the file has no gene names, or its names do not fit its matrix; it is damaged, or parts
        of it were never written.
    """
    if layer is not None:
        raise SourceError(f"{path}: an ARCHS4 file has no layers; leave --layer out")
    store = Store(path, "hdf5")
    array = store[EXPRESSION]
    if len(array.shape) != 2:
        raise SourceError(f"{path}: {EXPRESSION} has {len(array.shape)} axes; it must be genes x samples")
    tables = _tables(store, array.shape)
    symbols = next((name for name in SYMBOL_FIELDS if name in tables.features), None)
    if symbols is None:
        raise SourceError(
            f"{path}: its genes have no names: looked for {', '.join(SYMBOL_FIELDS)}; "
            f"it has: {', '.join(tables.features) or 'nothing'}"
        )
    accessions = next((name for name in ACCESSION_FIELDS if name in tables.samples), None)
    n_genes = len(tables.features[symbols])
    cells_axis = _samples_axis(path, array.shape, n_genes, None if accessions is None else tables.samples[accessions])
    _check_written(store, array)
    matrix = DenseMatrix(store, EXPRESSION, cells_axis=cells_axis, complete=True)
    n_samples = array.shape[cells_axis]
    var = _var(tables, symbols)
    obs = _obs(tables, accessions, n_samples)
    return FileSource(str(path), path, matrix, obs, var, uns=_about(store, array, tables, cells_axis))


def _tables(store: Store, shape: tuple[int, ...]) -> Tables:
    if "meta/transcripts" in store:
        return _grouped(store, "transcripts", "transcripts")
    if is_group(store["meta/genes"]):
        fields = store.members("meta/genes")
        return _grouped(store, "genes", "v2.2" if "symbol" in fields else "v2.1" if "gene_symbol" in fields else "v2")
    return _flat(store, shape)


def _grouped(store: Store, features: str, layout: str) -> Tables:
    """Version 2: a group of fields for the features, and one for the samples."""
    unusable: list[str] = []
    of_features = _fields(store, f"meta/{features}", store.members(f"meta/{features}"), unusable)
    of_samples = _fields(store, "meta/samples", store.members("meta/samples"), unusable)
    return Tables(layout, of_features, of_samples, unusable)


def _flat(store: Store, shape: tuple[int, ...]) -> Tables:
    """Version 1: names of genes in one array, fields of samples beside it, their names beginning with ``Sample_``."""
    unusable: list[str] = []
    found = _fields(
        store, "meta", [name for name in store.members("meta") if not is_group(store[f"meta/{name}"])], unusable
    )
    genes = {"genes": found.pop("genes", [])}
    samples: dict[str, Any] = {}
    for name, values in found.items():
        plain = name.removeprefix("Sample_")
        if name.startswith("gene_") and len(values) == len(genes["genes"]):
            genes[name] = values
        elif plain != name or len(values) in shape:
            samples.setdefault(OLD_NAMES.get(plain, plain), values)
        else:
            unusable.append(name)
    return Tables("v1", genes, samples, unusable)


def _fields(store: Store, group: str, names: list[str], unusable: list[str]) -> dict[str, Any]:
    """The one-dimensional fields of a group; text as ``str``, equal texts as one object."""
    out = {}
    for name in names:
        node = store[f"{group}/{name}"]
        kind = node.dtype.kind if is_array(node) else ""
        if not is_array(node) or len(node.shape) != 1 or kind not in "buifSUO":
            unusable.append(name)
            continue
        with reading(f"{store.name}: {group}/{name}"):
            out[name] = np.asarray(node[:]) if kind in "buif" else _texts(node)
    return out


def _texts(node: Any) -> list[str]:
    seen: dict[Any, str] = {}
    out: list[str] = []
    for start in range(0, node.shape[0], TEXTS):
        for value in node[start : start + TEXTS].tolist():
            text = seen.get(value)
            if text is None:
                text = seen[value] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
            out.append(text)
    return out


def _samples_axis(path: Path, shape: tuple[int, ...], n_genes: int, accessions: Any) -> int:
    """1 for genes x samples, which is what such files are; 0 where the names say that it is the other way round."""
    n_samples = None if accessions is None else len(accessions)
    for axis in (1, 0):
        if shape[1 - axis] == n_genes and n_samples in (None, shape[axis]):
            return axis
    named = f"{n_genes:,} genes" + ("" if n_samples is None else f" and {n_samples:,} samples")
    raise SourceError(
        f"{path}: {EXPRESSION} is {shape[0]:,} x {shape[1]:,} but the file names {named}; it is damaged or was put "
        f"together wrongly: get it again"
    )


def _check_written(store: Store, array: Any) -> None:
    """Refuse a file whose writing was stopped: what was never written would be read as zeros."""
    with reading(store.name):
        if array.chunks is None:
            written, wanted = array.id.get_storage_size() // max(1, array.dtype.itemsize), int(np.prod(array.shape))
            what = "values"
        else:
            pairs = zip(array.shape, array.chunks, strict=True)
            written, wanted = array.id.get_num_chunks(), int(np.prod([-(-n // width) for n, width in pairs]))
            what = "chunks"
    if written < wanted:
        raise SourceError(
            f"{store.name}: {wanted - written:,} of the {wanted:,} {what} of {EXPRESSION} were never written; "
            f"get the file again"
        )


def _var(tables: Tables, symbols: str) -> pd.DataFrame:
    n = len(tables.features[symbols])
    ids = next((name for name in GENE_ID_FIELDS if name in tables.features and name != symbols), None)
    if ids is not None and len(tables.features[ids]) != n:
        ids = None
    others = {}
    for name, values in tables.features.items():
        if name in (symbols, ids):
            continue
        if len(values) == n:
            others[name] = values
        else:
            tables.unusable.append(name)
    return gene_table(tables.features[symbols], None if ids is None else tables.features[ids], **others)


def _obs(tables: Tables, accessions: str | None, n: int) -> pd.DataFrame:
    """Fields of the samples; without accessions they are called by their place."""
    columns = {}
    for name, values in tables.samples.items():
        if name == accessions:
            continue
        if len(values) == n:
            columns[name] = values
        else:
            tables.unusable.append(name)
    names = [str(place) for place in range(n)] if accessions is None else tables.samples[accessions]
    return pd.DataFrame(columns, index=name_index(list(map(str, names))))


def _about(store: Store, array: Any, tables: Tables, cells_axis: int) -> dict[str, Any]:
    """Plain values about the file."""
    said = {}
    for group in ("info", "meta/info"):
        for name in store.members(group):
            node = store[f"{group}/{name}"]
            if is_array(node) and node.size == 1 and node.dtype.kind in "buifSUO":
                with reading(f"{store.name}: {group}/{name}"):
                    value = np.asarray(node[()]).ravel()[0]
                said[name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return {
        "layout": f"ARCHS4 {tables.layout}",
        "version": said.get("version", ""),
        "creation_date": said.get("creation-date", said.get("creation_date", "")),
        "chunking": _chunking(array, cells_axis),
        "missing_fields": [name for name in EXPECTED if name not in tables.samples],
        "unusable_fields": sorted(set(tables.unusable)),
        "info": said,
    }


def _chunking(array: Any, cells_axis: int) -> str:
    if array.chunks is None:
        return "contiguous"
    genes, samples = array.chunks[1 - cells_axis], array.chunks[cells_axis]
    filters = [
        *(["shuffle"] if array.shuffle else []),
        *([f"{array.compression} {array.compression_opts}"] if array.compression else []),
        *(["fletcher32"] if array.fletcher32 else []),
    ]
    return f"{genes:,} genes x {samples:,} samples, {', '.join(filters) or 'not compressed'}"
