"""One Arrow shard, read batch by batch: does every row hold what the manifest and the vocabulary promise?"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus._folder_checks import Problem, file_problem
from corpuscle.corpus._row_checks import CHECKS, RowRules, check_rows
from corpuscle.corpus._row_words import describe

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["ShardCheck", "ShardPlan", "check_shard"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class ShardPlan:
    """A shard and what it is checked against.

    Attributes
    ----------
    entry
        Its entry in the manifest.
    first_row
        Place of its first row in the data set.
    lengths_n
        (n,) lengths of its rows from ``lengths.npy``; None if that file is of no use.
    columns
        Column -> type, as the manifest has them.
    rules
        None if the vocabulary is of no use: rows are then counted only.
    """

    folder: Path
    entry: Mapping[str, Any]
    first_row: int
    lengths_n: Array | None
    columns: Mapping[str, Any]
    rules: RowRules | None


@dataclass
class ShardCheck:
    """What was found in a shard."""

    problems: list[Problem] = field(default_factory=list)
    rows: int = 0
    tokens: int = 0
    longest: int = 0
    at_limit: int = 0


@dataclass
class _Broken:
    """Rows that break one rule: how many, the first, and what is wrong with it."""

    rows: int
    first: int
    said: str


def check_shard(plan: ShardPlan) -> ShardCheck:
    """Check the bytes of a shard, and its rows if the bytes are right."""
    import pyarrow as pa

    name, done = plan.entry["file"], ShardCheck()
    problem = file_problem(plan.folder, name, plan.entry["bytes"], plan.entry["sha256"])
    if problem is not None:
        done.problems.append(problem)
        return done
    broken: dict[str, _Broken] = {}
    try:
        with pa.memory_map(str(plan.folder / name)) as file, pa.ipc.open_stream(file) as reader:
            _check_schema(plan, reader.schema)
            for batch in reader:
                batch.validate(full=True)
                _check_batch(plan, batch, done, broken)
    except _Unreadable as error:
        done.problems.append(Problem("columns", name, f"{error}; build the data set again"))
    except (pa.ArrowException, OSError, ValueError, OverflowError) as error:
        said = " ".join(str(error).split())[:200]
        done.problems.append(Problem("arrow", name, f"it is no sound Arrow file ({said}); build the data set again"))
    else:
        if done.rows != plan.entry["rows"]:
            said = f"it holds {done.rows:,} rows, and the manifest says {plan.entry['rows']:,}"
            done.problems.append(Problem("rows", name, f"{said}; build the data set again"))
    done.problems += [Problem(check, name, _told(one), row=one.first, rows=one.rows) for check, one in broken.items()]
    return done


class _Unreadable(Exception):
    """A column is not there or not of its type."""


def _told(broken: _Broken) -> str:
    others = f" ({broken.rows:,} rows of this file have the like)" if broken.rows > 1 else ""
    return f"row {broken.first}: {broken.said}{others}"


def _check_schema(plan: ShardPlan, schema: pa.Schema) -> None:
    import pyarrow as pa

    def is_list(column: str, of: Any) -> bool:
        kind = schema.field(column).type
        return (pa.types.is_list(kind) or pa.types.is_large_list(kind)) and of(kind.value_type)

    if schema.names != list(plan.columns) and sorted(schema.names) != sorted(plan.columns):
        raise _Unreadable(f"its columns are {', '.join(schema.names)}, not {', '.join(plan.columns)}")
    for column in schema:
        kind = re.sub(r"<\w+: ", "<", str(column.type)).replace("double", "float64")
        if kind != plan.columns[column.name]:
            raise _Unreadable(f"its column {column.name} is {kind}, and the manifest says {plan.columns[column.name]}")
    if "input_ids" not in schema.names or not is_list("input_ids", pa.types.is_integer):
        raise _Unreadable("it has no column input_ids of lists of whole numbers")
    if "length" not in schema.names or not pa.types.is_integer(schema.field("length").type):
        raise _Unreadable("it has no column length of whole numbers")
    if "counts" in schema.names and not is_list("counts", pa.types.is_floating):
        raise _Unreadable("its column counts does not hold lists of numbers")


def _check_batch(plan: ShardPlan, batch: pa.RecordBatch, done: ShardCheck, broken: dict[str, _Broken]) -> None:
    ids, offsets = _flat(batch, "input_ids")
    length_n = _whole(batch, "length")
    counts = None
    first = plan.first_row + done.rows
    if "counts" in batch.schema.names:
        counts, counts_offsets = _flat(batch, "counts")
        for n in np.flatnonzero(np.diff(counts_offsets) != np.diff(offsets)).tolist():
            said = f"{np.diff(counts_offsets)[n]:,} counts for {np.diff(offsets)[n]:,} tokens"
            _note(broken, "count-length", first + n, said)
            counts = None
    if plan.lengths_n is not None:
        expected_n = np.asarray(plan.lengths_n[done.rows : done.rows + batch.num_rows])
        if expected_n.size == batch.num_rows:
            for n in np.flatnonzero(expected_n != np.diff(offsets)).tolist():
                said = f"lengths.npy says {expected_n[n]:,}, and there are {np.diff(offsets)[n]:,} tokens"
                _note(broken, "lengths", first + n, said)
    done.rows += batch.num_rows
    done.tokens += ids.size
    if plan.rules is None:
        return
    flags_n = check_rows(ids, offsets, plan.rules, length_n=length_n, counts=counts)
    done.at_limit += int(np.count_nonzero(np.diff(offsets) >= plan.rules.max_len))
    for bit, check in CHECKS.items() if flags_n.any() else ():
        rows = np.flatnonzero(flags_n & bit)
        if rows.size:
            n = int(rows[0])
            row = slice(offsets[n], offsets[n + 1])
            said = describe(bit, ids[row], plan.rules, int(length_n[n]), None if counts is None else counts[row])
            _note(broken, check, first + n, said, rows.size)


def _note(broken: dict[str, _Broken], check: str, row: int, said: str, rows: int = 1) -> None:
    if check in broken:
        broken[check].rows += rows
    else:
        broken[check] = _Broken(rows, row, said)


def _flat(batch: pa.RecordBatch, column: str) -> tuple[Array, Array]:
    """(values of all rows, offsets from 0) of a column of lists."""
    lists = batch.column(column)
    offsets = lists.offsets.to_numpy().astype(np.int64)
    values = lists.values.slice(offsets[0], offsets[-1] - offsets[0])
    if lists.null_count or values.null_count:
        raise _Unreadable(f"its column {column} has missing values")
    return values.to_numpy(zero_copy_only=False), offsets - offsets[0]


def _whole(batch: pa.RecordBatch, column: str) -> Array:
    values = batch.column(column)
    if values.null_count:
        raise _Unreadable(f"its column {column} has missing values")
    return np.asarray(values.to_numpy(zero_copy_only=False))
