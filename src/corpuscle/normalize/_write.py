"""A normalised matrix on disk, as a stream: never the whole of it in memory, never half of it under its name."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import scipy.sparse as sp

from corpuscle import __version__
from corpuscle.counts import Counts
from corpuscle.counts._source import BLOCK_ROWS
from corpuscle.errors import OptionError, OutputError
from corpuscle.normalize._base import INT32_MAX, ColumnNormalizer, Normalizer
from corpuscle.normalize._evaluate import BLOCK_ELEMENTS, dense_rows
from corpuscle.normalize._h5ad import DenseWriter, SparseWriter
from corpuscle.normalize._patient_file import complete_or_absent
from corpuscle.normalize._write_units import given_genes, write_units

if TYPE_CHECKING:
    import h5py

__all__ = ["COMPRESSIONS", "Plan", "check_target", "plan_write", "write_normalized"]

Progress = Callable[[int, int, str], None]
COMPRESSIONS = ("none", "gzip", "lzf")
DTYPES = ("float32", "float16")
#: A parameter that is longer is noted by its length; a path is not.
LONG = 4096


@dataclass(frozen=True)
class Plan:
    """What will be written.

    Attributes
    ----------
    values
        Where the values go: ``"X"`` or ``"layers/NAME"``.
    counts
        Where the raw counts go: ``"layers/counts"``, ``"X"``, or None.
    sparse
        Values are stored sparse.
    n_bytes
        Size of both before compression.
    dtype
        Of the values: ``"float32"`` or ``"float16"``.
    dense_counts
        Raw counts are stored dense, as they are in the source.
    """

    values: str
    counts: str | None
    sparse: bool
    n_bytes: int
    dtype: str = "float32"
    dense_counts: bool = False


def plan_write(
    counts: Counts,
    method: Normalizer,
    *,
    keep_counts: bool = True,
    as_layer: str | None = None,
    dtype: str = "float32",
) -> Plan:
    """Where values and counts will be stored, and how large that is.

    Raises
    ------
    OptionError
        The layer's name cannot be one, the raw counts are to be left out although they are to be ``X``, or the
        values cannot be stored as ``dtype``.
    """
    if dtype not in DTYPES:
        raise OptionError(f"dtype is {dtype!r} and must be one of: {', '.join(DTYPES)}")
    if dtype != "float32" and not method.reads_dense:
        raise OptionError(f"{method.name} is written as float32; {dtype} is for methods of bulk samples")
    if as_layer is not None:
        if not as_layer or "/" in as_layer or as_layer in {".", ".."}:
            raise OptionError(f"{as_layer!r} cannot name a layer; give a name without /")
        if not keep_counts:
            raise OptionError(
                "as a layer, the values stand beside the raw counts; leave --no-counts out, or --as-layer"
            )
    n_all = counts.n_obs * counts.n_vars
    sparse = method.keeps_zeros and not method.reads_dense
    dense_counts = method.reads_dense and counts.stored_dense
    # Counting what is not zero is a pass over the source, which is dear where it is dense, and then of no use.
    nnz = int(counts.profile().genes_n.sum()) if sparse or (keep_counts and not dense_counts) else n_all
    n_values = 8 * nnz if sparse else np.dtype(dtype).itemsize * n_all
    n_counts = 0 if not keep_counts else 4 * n_all if dense_counts else 8 * nnz
    raw = "X" if as_layer is not None else "layers/counts" if keep_counts else None
    values = "X" if as_layer is None else f"layers/{as_layer}"
    return Plan(values, raw, sparse, n_values + n_counts + 4 * counts.n_obs, dtype, dense_counts)


def write_normalized(
    counts: Counts,
    method: Normalizer,
    path: Path,
    plan: Plan,
    *,
    compression: str = "none",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write the values of all genes, with cells, genes and metadata, to an ``.h5ad`` file.

    Methods that need only columns are streamed by blocks of cells, others by blocks of genes as the method allows.
    Those that read dense blocks are, where ``counts.scheduler`` is a cluster, run by its workers; this process writes.

    Parameters
    ----------
    counts
        Cells to transform.
    method
        A fitted normalisation.
    path
        The file; it appears when it is complete.
    plan
        From :func:`plan_write`.
    compression
        ``"none"``, ``"gzip"`` or ``"lzf"``.
    overwrite
        Replace a file that is there.
    progress
        Called with (done, total, what).

    Raises
    ------
    OutputError
        The file is there already, the disk is full, permission is missing, or metadata cannot be stored.
    OptionError
        An unknown compression.
    """
    if compression not in COMPRESSIONS:
        raise OptionError(f"compression is {compression!r} and must be one of: {', '.join(COMPRESSIONS)}")
    check_target(counts, path, overwrite=overwrite)
    room = shutil.disk_usage(path.parent).free
    if compression == "none" and room < plan.n_bytes:
        raise OutputError(
            f"{path}: needs {plan.n_bytes / 1e9:.1f} GB, {room / 1e9:.1f} GB are free on that disk; choose another"
        )
    filters = None if compression == "none" else compression
    import h5py

    with complete_or_absent(path) as patient:
        with h5py.File(patient, "w") as file:
            _write_tables(file, counts, method, plan)
            patient.check()
            write = _writer(method)
            for done, total, what in write(file, counts, method, plan, filters):
                patient.check()
                if progress:
                    progress(done, total, what)
        patient.check()


def check_target(counts: Counts, path: Path, *, overwrite: bool) -> None:
    """Refuse a target that cannot be written or must not be, before any work is done."""
    if path.is_dir():
        raise OutputError(f"{path}: is a folder; give the name of a file")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; make it first")
    if not path.exists():
        return
    if any(
        source.path is not None and source.path.exists() and path.samefile(source.path) for source in counts.sources
    ):
        raise OutputError(f"{path}: is the source itself; give another name with -o")
    if not overwrite:
        raise OutputError(f"{path}: is there already; give another name, or --force to replace it")


def _writer(method: Normalizer) -> Callable[..., Iterator[tuple[int, int, str]]]:
    if method.reads_dense:
        return write_units
    return _write_rows if isinstance(method, ColumnNormalizer) else _write_columns


def _write_tables(file: h5py.File, counts: Counts, method: Normalizer, plan: Plan) -> None:
    """Cells, genes and metadata, and what was done: an AnnData file without a matrix."""
    import anndata

    uns = dict(counts.uns)
    ours = uns.get("corpuscle")
    done = {"method": method.name, "params": _params(method), "version": __version__, "values": plan.values}
    uns["corpuscle"] = {**(ours if isinstance(ours, dict) else {}), "normalize": done}
    kept = given_genes(method)
    var = counts.var.copy() if kept is None else counts.var.iloc[kept].copy()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that repeat are the source's
            anndata.io.write_elem(file, "/", anndata.AnnData(obs=counts.obs.copy(), var=var, uns=uns))
    except Exception as error:  # what anndata raises for a type it cannot store varies with the type
        reason = " ".join(str(error).split())[:300]
        raise OutputError(f"{counts.name}: obs, var or uns cannot be stored as h5ad: {reason}; remove it") from error


def _params(method: Normalizer) -> str:
    params = method.get_params(deep=False)
    short = {
        key: f"{len(value):,} values" if hasattr(value, "__len__") and len(value) > LONG else value
        for key, value in params.items()
    }
    return json.dumps(short, sort_keys=True, default=str)


def _write_rows(
    file: h5py.File, counts: Counts, method: ColumnNormalizer, plan: Plan, compression: str | None
) -> Iterator[tuple[int, int, str]]:
    """Write blocks of cells, and yield (done, total, what) after each."""
    shape = (counts.n_obs, counts.n_vars)
    values: SparseWriter | DenseWriter
    if plan.sparse:
        values = SparseWriter(file, plan.values, shape, "csr", np.float32, compression)
        size = BLOCK_ROWS
    else:
        values = DenseWriter(file, plan.values, shape, np.float32, compression)
        size = dense_rows(counts.n_vars, BLOCK_ROWS)
    raw = _raw_writer(file, counts, plan, compression)
    for block in counts.blocks(size):
        values.append(method.transform_rows(counts, block.x_ng, block.rows, dtype=np.float32))
        if raw:
            raw.append(block.x_ng)
        yield block.rows.stop, counts.n_obs, "cells"
    values.finish()
    if raw:
        raw.finish()


def _write_columns(
    file: h5py.File, counts: Counts, method: Normalizer, plan: Plan, compression: str | None
) -> Iterator[tuple[int, int, str]]:
    """Write blocks of genes, and yield (done, total, what) after each."""
    shape = (counts.n_obs, counts.n_vars)
    size = max(64, BLOCK_ELEMENTS // counts.n_obs // 64 * 64)
    values: SparseWriter | DenseWriter
    if plan.sparse:
        values = SparseWriter(file, plan.values, shape, "csc", np.float32, compression)
    else:
        values = DenseWriter(file, plan.values, shape, np.float32, compression, by_columns=True)
    for start in range(0, counts.n_vars, size):
        genes = np.arange(start, min(start + size, counts.n_vars))
        part = method.transform(counts, genes)
        values.append(sp.csc_matrix(part) if plan.sparse else part)
        yield int(genes[-1]) + 1, counts.n_vars, "genes"
    values.finish()
    raw = _raw_writer(file, counts, plan, compression)
    if raw:
        for block in counts.blocks():
            raw.append(block.x_ng)
            yield block.rows.stop, counts.n_obs, "cells, raw counts"
        raw.finish()


def _raw_writer(file: h5py.File, counts: Counts, plan: Plan, compression: str | None) -> SparseWriter | None:
    if plan.counts is None:
        return None
    dtype = np.int32 if counts.profile().depth_n.max() <= INT32_MAX else np.int64  # no count exceeds its cell's depth
    return SparseWriter(file, plan.counts, (counts.n_obs, counts.n_vars), "csr", dtype, compression)
