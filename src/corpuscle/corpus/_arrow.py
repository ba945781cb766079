"""Shards as Arrow IPC streams, the files that ``datasets.load_from_disk`` opens."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

__all__ = ["TOKEN_TYPES", "HashingFile", "ShardWriter", "corpus_schema", "features_of", "list_array", "shard_table"]

#: Widths that tokens may be stored in.
TOKEN_TYPES = {"int16": pa.int16(), "int32": pa.int32(), "int64": pa.int64()}


def corpus_schema(attributes: Mapping[str, pa.DataType], *, keep_counts: bool, token_dtype: str) -> pa.Schema:
    """Columns in the order that Geneformer's tokenizer has them: input_ids, counts, attributes, length."""
    fields = [("input_ids", pa.list_(TOKEN_TYPES[token_dtype]))]
    if keep_counts:
        fields.append(("counts", pa.list_(pa.float64())))
    return pa.schema([*fields, *attributes.items(), ("length", pa.int64())])


def features_of(schema: pa.Schema) -> dict[str, Any]:
    """The columns as ``dataset_info.json`` describes them.

    Lists are spelled ``Sequence``, which releases 2 to 5 of ``datasets`` all read; ``List`` only newer ones do.
    """
    features: dict[str, Any] = {}
    for field in schema:
        inner = field.type.value_type if pa.types.is_list(field.type) else field.type
        value = {"dtype": _dtype_name(inner), "_type": "Value"}
        features[field.name] = {"feature": value, "_type": "Sequence"} if pa.types.is_list(field.type) else value
    return features


def _dtype_name(arrow_type: pa.DataType) -> str:
    return "float64" if pa.types.is_float64(arrow_type) else str(arrow_type)


def list_array(values: np.ndarray[Any, Any], offsets: np.ndarray[Any, Any], value_type: pa.DataType) -> pa.ListArray:
    """Rows ``values[offsets[i]:offsets[i + 1]]`` as an Arrow list column, without copying ``values``."""
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(values, value_type))


def shard_table(path: Path) -> pa.Table:
    """A finished shard, mapped into memory rather than read."""
    with pa.memory_map(str(path)) as source:
        return pa.ipc.open_stream(source).read_all()


class HashingFile:
    """A new file that knows the SHA-256 of what was written to it."""

    def __init__(self, descriptor: int) -> None:
        self._file = os.fdopen(descriptor, "wb")
        self._digest = hashlib.sha256()
        self.n_bytes = 0

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._file.closed

    @property
    def sha256(self) -> str:
        """Of everything written so far."""
        return self._digest.hexdigest()

    def write(self, data: Any) -> int:
        """Append."""
        self._digest.update(data)
        self.n_bytes += len(data)
        return self._file.write(data)

    def tell(self) -> int:
        """Bytes written."""
        return self.n_bytes

    def flush(self) -> None:
        """Hand what was written to the system."""
        self._file.flush()

    def sync(self) -> None:
        """Have it on the disk."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ShardWriter:
    """One shard, batch by batch, under a temporary name until it is complete.

    Several processes may write the same shard at a time: each has a name of its own, and the last to finish replaces
    equal bytes by equal bytes.
    """

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self.path, self.n_bytes, self.sha256 = path, 0, ""
        descriptor, name = tempfile.mkstemp(prefix=".writing-", suffix=path.suffix, dir=path.parent)
        self._working = Path(name)
        self._file = HashingFile(descriptor)
        self._stream = pa.ipc.new_stream(pa.PythonFile(self._file, "w"), schema)

    def __enter__(self) -> Self:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Append one batch."""
        self._stream.write_batch(batch)

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        try:
            if kind is None:
                self._stream.close()
                self._file.sync()
                self.n_bytes, self.sha256 = self._file.n_bytes, self._file.sha256
        finally:
            self._file.close()
        if kind is not None:
            self._working.unlink(missing_ok=True)
            return
        readable(self._working)
        self._working.replace(self.path)


def readable(path: Path) -> None:
    """Give a file that was made for this user alone the permissions that the user's files have."""
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o666 & ~mask)
