"""One unit of work: some cells of some sources become one shard, in whatever process."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from corpuscle.corpus._arrow import ShardWriter, corpus_schema, list_array, shard_table
from corpuscle.corpus._depth import Depth, DepthChoice
from corpuscle.corpus._fingerprint import block_digest
from corpuscle.corpus._units import Piece, SourceSpec, Unit, blocks_of, opened
from corpuscle.corpus.attributes import attribute_array
from corpuscle.corpus.encode import Encoded, RankEncoder
from corpuscle.corpus.manifest import file_sha256, write_atomic, write_json
from corpuscle.corpus.vocabulary import RankVocabulary
from corpuscle.counts import Counts
from corpuscle.counts._profile import Block
from corpuscle.counts._threads import map_ordered
from corpuscle.errors import SourceError

__all__ = ["Job", "ShardTask", "SourcePlan", "build_shard", "finished_shard", "shard_name", "stamp_of", "write_parquet"]

Array = np.ndarray[Any, Any]
#: Rows of a row group of a Parquet file.
ROW_GROUP = 16_384


@dataclass(frozen=True, eq=False)
class Job:
    """What all shards of a data set have in common; small enough to send to every worker.

    Attributes
    ----------
    folder
        Where shards are written.
    vocabulary
        Tokens and medians.
    attributes
        Column of ``obs`` -> (name, type) in the data set.
    keep_counts, token_dtype, depth
        As in :func:`~corpuscle.corpus.tokenize.tokenize`.
    """

    folder: Path
    vocabulary: RankVocabulary
    attributes: Mapping[str, tuple[str, pa.DataType]]
    keep_counts: bool
    token_dtype: str
    depth: DepthChoice

    @property
    def schema(self) -> pa.Schema:
        """Columns of every shard."""
        types = dict(self.attributes.values())
        return corpus_schema(types, keep_counts=self.keep_counts, token_dtype=self.token_dtype)

    @property
    def uses_depth(self) -> bool:
        """Whether anything depends on the depths: tokens do not."""
        return self.keep_counts or self.depth == "n_counts"

    @property
    def genes_that_fit(self) -> int:
        """Genes a cell may have before it is cut."""
        return self.vocabulary.max_len - (2 if self.vocabulary.special_token else 0)


@dataclass(frozen=True, eq=False)
class SourcePlan:
    """What a worker must know of one source.

    Attributes
    ----------
    spec
        How to open it.
    shape
        (cells, genes) it had when the work was planned.
    stamp
        Size and time of change it had then, where it is a file.
    slot_f, collapses
        The gene plan.
    """

    spec: SourceSpec
    shape: tuple[int, int]
    stamp: tuple[tuple[int, int] | None, ...]
    slot_f: Array
    collapses: bool


@dataclass(frozen=True, eq=False)
class ShardTask:
    """A unit with the plans of its sources and the cells to keep: one bit each, packed, or None for all."""

    unit: Unit
    sources: Mapping[int, SourcePlan]
    keep: tuple[Array | None, ...]


def stamp_of(counts: Counts) -> tuple[tuple[int, int] | None, ...]:
    """(size, mtime) of each file, to notice that it was replaced."""
    prints = [source.fingerprint() for source in counts.sources]
    return tuple(None if one is None else (one[1], one[2]) for one in prints)


def shard_name(index: int) -> str:
    """Name of a shard before it is known how many there are."""
    return f"data-{index:05d}.arrow"


def build_shard(job: Job, task: ShardTask, advance: Callable[[int], None] | None = None) -> dict[str, Any]:
    """Write one shard, its lengths and, last, the record that says it is complete; return the record.

    Reading, encoding and writing overlap. Memory is that of a few blocks, and the bytes depend on the cells and the
    options only: a block is a record batch.

    Parameters
    ----------
    job, task
        What to do.
    advance
        Told the number of cells done, after each block.

    Raises
    ------
    SourceError
        A source changed since the work was planned.
    NotCountsError
        A value is not a count, or a stated depth is wrong.
    """
    path = job.folder / shard_name(task.unit.index)
    lengths: list[Array] = []
    pieces = [_empty_record(piece) for piece in task.unit.pieces]
    with ShardWriter(path, job.schema) as writer:
        for place, block, digest, encoded, batch in map_ordered(partial(_encode, job), _blocks(job, task)):
            if batch.num_rows:
                writer.write(batch)
                lengths.append(np.diff(encoded.offsets).astype(np.int32))
            _add(pieces[place], block, digest, encoded, job.genes_that_fit)
            if advance:
                advance(block.x_ng.shape[0])
    length_n = np.concatenate(lengths) if lengths else np.empty(0, np.int32)
    held = io.BytesIO()
    np.save(held, length_n)
    record = {
        "rows": int(length_n.size),
        "bytes": writer.n_bytes,
        "sha256": writer.sha256,
        "lengths_sha256": write_atomic(path.with_suffix(".npy"), held.getvalue()),
        "pieces": pieces,
    }
    write_json(path.with_suffix(".json"), record)
    return record


def finished_shard(folder: Path, unit: Unit, path: Path | None = None) -> dict[str, Any] | None:
    """The record of a shard that is complete and whole, else None.

    ``path`` is where the shard is now, if not under its first name.
    """
    first = folder / shard_name(unit.index)
    path = path or first
    try:
        record: dict[str, Any] = json.loads(first.with_suffix(".json").read_text(encoding="utf-8"))
        same = [(one["source"], one["start"], one["stop"]) for one in record["pieces"]] == [
            (one.source, one.start, one.stop) for one in unit.pieces
        ]
        whole = (
            path.stat().st_size == record["bytes"]
            and file_sha256(path) == record["sha256"]
            and file_sha256(first.with_suffix(".npy")) == record["lengths_sha256"]
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return record if same and whole else None


def write_parquet(path: Path) -> dict[str, Any]:
    """Write the rows of a shard as Parquet beside it; return the name, size and SHA-256."""
    import pyarrow.parquet as pq

    from corpuscle.corpus._arrow import readable

    target, working = path.with_suffix(".parquet"), path.with_name(f".writing-{path.stem}.parquet")
    try:
        table = shard_table(path)
        with pq.ParquetWriter(working, table.schema, compression="zstd") as writer:
            for start in range(0, table.num_rows, ROW_GROUP):
                writer.write_table(table.slice(start, ROW_GROUP))
        readable(working)
        digest, n_bytes = file_sha256(working), working.stat().st_size
        working.replace(target)
    except BaseException:
        working.unlink(missing_ok=True)
        raise
    return {"file": target.name, "bytes": n_bytes, "sha256": digest}


@dataclass(frozen=True, eq=False)
class _Reading:
    """A piece that is being read, and what all of its blocks need."""

    place: int
    piece: Piece
    packed: Array | None
    encoder: RankEncoder
    depth: Depth | None
    attributes: Mapping[str, pa.Array]


def _blocks(job: Job, task: ShardTask) -> Iterator[tuple[_Reading, Block]]:
    """Every block of every piece, one source opened after the other."""
    for place, piece in enumerate(task.unit.pieces):
        plan = task.sources[piece.source]
        counts = opened(plan.spec)
        if (counts.n_obs, counts.n_vars) != plan.shape or stamp_of(counts) != plan.stamp:
            raise SourceError(f"{plan.spec.name}: it changed while the data set was built; run again once it is still")
        encoder = RankEncoder(job.vocabulary, plan.slot_f, plan.collapses, keep_counts=job.keep_counts)
        rows = slice(piece.start, piece.stop)
        attributes = {
            name: attribute_array(counts, column, rows, arrow_type)
            for column, (name, arrow_type) in job.attributes.items()
        }
        depth = Depth(counts, job.depth) if job.uses_depth else None
        reading = _Reading(place, piece, task.keep[place], encoder, depth, attributes)
        for block in blocks_of(plan.spec, piece):
            yield reading, block


def _encode(job: Job, item: tuple[_Reading, Block]) -> tuple[int, Block, str, Encoded, pa.RecordBatch]:
    """From a block to a record batch; several threads do this at once."""
    reading, block = item
    first, n = block.rows.start - reading.piece.start, block.x_ng.shape[0]
    x_nf, rows_n = block.x_ng, np.arange(n)
    if reading.packed is not None:
        keep_n = np.unpackbits(reading.packed, count=reading.piece.n_obs)[first : first + n].astype(bool)
        rows_n = np.flatnonzero(keep_n)
        x_nf = x_nf if rows_n.size == n else x_nf[rows_n]
    depth_n = reading.depth.of(x_nf, block.rows.start + rows_n) if reading.depth else None
    encoded = reading.encoder.encode(x_nf, depth_n)
    taken = pa.array(first + rows_n[encoded.kept_n])
    batch = _batch(job.schema, encoded, {name: array.take(taken) for name, array in reading.attributes.items()})
    return reading.place, block, block_digest(block.x_ng), encoded, batch


def _batch(schema: pa.Schema, encoded: Encoded, attributes: Mapping[str, pa.Array]) -> pa.RecordBatch:
    token_type = schema.field("input_ids").type.value_type
    tokens = encoded.input_ids.astype(token_type.to_pandas_dtype(), copy=False)
    columns = {"input_ids": list_array(tokens, encoded.offsets, token_type), **attributes}
    if encoded.counts is not None:
        columns["counts"] = list_array(encoded.counts, encoded.offsets, pa.float64())
    columns["length"] = pa.array(np.diff(encoded.offsets))
    return pa.RecordBatch.from_arrays([columns[name] for name in schema.names], schema=schema)


def _empty_record(piece: Piece) -> dict[str, Any]:
    return {
        "source": piece.source, "start": piece.start, "stop": piece.stop, "rows": 0, "tokens": 0, "truncated": 0,
        "no_gene": 0, "counts_total": 0.0, "counts_matched": 0.0, "blocks": {},
    }  # fmt: skip


def _add(record: dict[str, Any], block: Block, digest: str, encoded: Encoded, limit: int) -> None:
    """Add what one block gave to the record of its piece."""
    record["rows"] += int(np.count_nonzero(encoded.kept_n))
    record["no_gene"] += int(np.count_nonzero(~encoded.kept_n))
    record["tokens"] += int(encoded.offsets[-1])
    record["truncated"] += int(np.count_nonzero(encoded.n_genes > limit))
    record["counts_total"] += encoded.counts_total
    record["counts_matched"] += encoded.counts_matched
    record["blocks"][str(block.rows.start)] = digest
