"""Values of bulk samples into an ``.h5ad`` file: dense units in, normalised by whoever is there, written in order."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from corpuscle.counts import Block, Counts, map_blocks
from corpuscle.errors import OptionError, OutputError
from corpuscle.normalize._base import INT32_MAX, Array, Normalizer
from corpuscle.normalize._h5ad import DenseWriter, SparseWriter
from corpuscle.normalize._stream import here

if TYPE_CHECKING:
    import h5py

    from corpuscle.normalize._write import Plan

__all__ = ["given_genes", "write_units"]

#: Samples of an HDF5 chunk, with all their genes: who reads some samples reads little else. It divides a unit.
CHUNK_SAMPLES = 64


def given_genes(method: Normalizer) -> Array | None:
    """Positions of the genes that a fitted method gives values for; None: all."""
    kept: Array | None = getattr(method, "given_genes_", None)
    return kept


def write_units(
    file: h5py.File, counts: Counts, method: Normalizer, plan: Plan, compression: str | None
) -> Iterator[tuple[int, int, str]]:
    """Write one unit of samples after the other, and yield (done, total, what) after each."""
    kept = given_genes(method)
    shape = (counts.n_obs, counts.n_vars if kept is None else kept.size)
    values = DenseWriter(file, plan.values, shape, plan.dtype, compression, together=CHUNK_SAMPLES)
    raw = _raw_writer(file, shape, plan, compression)
    each = partial(_unit, method, here(counts), kept, plan.dtype, raw is not None, plan.dense_counts)
    done = 0
    for values_nk, x_nk in map_blocks(counts, each, dense=True):
        values.append(values_nk)
        if raw is not None:
            raw.append(x_nk)
        done += len(values_nk)
        yield done, counts.n_obs, "samples"
    values.finish()
    if raw is not None:
        raw.finish()


def _raw_writer(
    file: h5py.File, shape: tuple[int, int], plan: Plan, compression: str | None
) -> DenseWriter | SparseWriter | None:
    if plan.counts is None:
        return None
    if plan.dense_counts:
        return DenseWriter(file, plan.counts, shape, np.uint32, compression, together=CHUNK_SAMPLES)
    return SparseWriter(file, plan.counts, shape, "csr", np.int32, compression)


def _unit(
    method: Normalizer, counts: Counts, kept: Array | None, dtype: str, raw: bool, dense_counts: bool, block: Block
) -> tuple[Array, Any]:
    """The values of a unit, and its counts as they will be stored, or None."""
    values_nk = method.transform_rows(counts, block.x_ng, block.rows, dtype=np.float32)
    values_nk = values_nk if kept is None else values_nk[:, kept]
    if dtype == "float16":
        if (np.abs(values_nk) > np.finfo(np.float16).max).any():
            raise OptionError(f"{method.name}: some values are too large for float16; leave --dtype out")
        values_nk = values_nk.astype(np.float16)
    if not raw:
        return values_nk, None
    x_nk = block.x_ng if kept is None else block.x_ng[:, kept]
    most = np.iinfo(np.uint32).max if dense_counts else INT32_MAX
    if (dense_counts and x_nk.dtype.itemsize > 4) or (not dense_counts and x_nk.max(initial=0) > most):
        raise OutputError(f"{counts.name}: a count is above {most:,}, too large to be stored; use --no-counts")
    return values_nk, x_nk if dense_counts else sp.csr_matrix(x_nk.astype(np.int32, copy=False))
