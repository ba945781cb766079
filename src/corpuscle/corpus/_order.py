"""Rows in another order than that of the sources: shuffled, or shuffled and grouped by length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpuscle.corpus._arrow import ShardWriter, list_array, shard_table
from corpuscle.corpus._units import BLOCK_CELLS
from corpuscle.seeds import stream

__all__ = ["ORDERS", "WINDOW", "rewrite", "row_order"]

Array = np.ndarray[Any, Any]
ORDERS = ("input", "shuffled", "bucketed")
#: Rows within which ``bucketed`` sorts by length.
WINDOW = 16_384


def row_order(kind: str, seed: int, length_n: Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    """(n,) place in input order of each row of the data set.

    ``"shuffled"`` is one permutation of all rows; ``"bucketed"`` then sorts each window of it, longest first, rows of
    equal length staying as shuffled.
    """
    order_n = stream(seed, "order").permutation(length_n.size)
    if kind == "bucketed":
        for start in range(0, order_n.size, WINDOW):
            window = order_n[start : start + WINDOW]
            order_n[start : start + WINDOW] = window[np.argsort(-length_n[window].astype(np.int64), kind="stable")]
    return order_n


def rewrite(
    shards: Sequence[Path],
    folder: Path,
    order_n: Array,
    shard_cells: int,
    advance: Callable[[int], None] | None = None,
) -> list[dict[str, Any]]:
    """Write the rows of ``shards`` in another order as new shards; return name, rows, size and SHA-256 of each.

    The shards are mapped into memory, and no more than one batch of tokens and the attributes of one shard are held.
    """
    rows = _Rows(shards)
    starts = range(0, order_n.size, shard_cells)
    records = []
    for index, start in enumerate(starts):
        taken = order_n[start : start + shard_cells]
        path = folder / f"data-{index:05d}-of-{len(starts):05d}.arrow"
        attributes = rows.attributes(taken)
        with ShardWriter(path, rows.schema) as writer:
            for first in range(0, taken.size, BLOCK_CELLS):
                writer.write(rows.batch(taken, attributes, first, min(first + BLOCK_CELLS, taken.size)))
                if advance:
                    advance(min(BLOCK_CELLS, taken.size - first))
        records.append({"file": path.name, "rows": int(taken.size), "bytes": writer.n_bytes, "sha256": writer.sha256})
    return records


class _Rows:
    """Any rows of mapped shards, by their place in input order."""

    def __init__(self, shards: Sequence[Path]) -> None:
        tables = [shard_table(path) for path in shards]
        self.schema: pa.Schema = tables[0].schema
        self._batches = [batch for table in tables for batch in table.to_batches() if batch.num_rows]
        self._starts = np.cumsum([0, *(batch.num_rows for batch in self._batches)])
        self._lists = {
            field.name: [_views(batch.column(field.name)) for batch in self._batches]
            for field in self.schema
            if pa.types.is_list(field.type)
        }

    def attributes(self, taken: Array) -> dict[str, pa.Array]:
        """The columns that are not lists, in the order of ``taken``."""
        sorted_places = np.argsort(taken, kind="stable")
        back = np.empty(taken.size, np.int64)
        back[sorted_places] = np.arange(taken.size)
        ascending = taken[sorted_places]
        batch_n = np.searchsorted(self._starts, ascending, side="right") - 1
        cuts = np.flatnonzero(np.diff(batch_n, prepend=-1))
        groups = [
            (self._batches[batch_n[group[0]]], pa.array(ascending[group] - self._starts[batch_n[group[0]]]))
            for group in np.split(np.arange(taken.size), cuts[1:])
        ]
        names = [field.name for field in self.schema if field.name not in self._lists]
        return {
            name: pa.concat_arrays([batch.column(name).take(rows) for batch, rows in groups]).take(pa.array(back))
            for name in names
        }

    def batch(self, taken: Array, attributes: dict[str, pa.Array], first: int, last: int) -> pa.RecordBatch:
        """Rows ``taken[first:last]``, whose attributes are at the same places of ``attributes``."""
        columns = []
        for field in self.schema:
            if field.name in self._lists:
                columns.append(self._gather(field, taken[first:last]))
            else:  # copied, for a slice would be written with the bits of its neighbours
                columns.append(attributes[field.name].take(pa.array(np.arange(first, last))))
        return pa.RecordBatch.from_arrays(columns, schema=self.schema)

    def _gather(self, field: pa.Field, taken: Array) -> pa.ListArray:
        views = self._lists[field.name]
        batch_n = np.searchsorted(self._starts, taken, side="right") - 1
        rows = []
        for batch, row in zip(batch_n.tolist(), (taken - self._starts[batch_n]).tolist(), strict=True):
            values, offsets = views[batch]
            rows.append(values[offsets[row] : offsets[row + 1]])
        offsets = np.cumsum([0, *(row.size for row in rows)])
        return list_array(np.concatenate(rows), offsets, field.type.value_type)


def _views(column: pa.ListArray) -> tuple[Array, Array]:
    """Values and offsets of a list column where they lie."""
    return column.values.to_numpy(zero_copy_only=True), column.offsets.to_numpy(zero_copy_only=True)
