"""What was read, as a number: equal for equal cells, genes and counts, however the file stores them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import scipy.sparse as sp
import xxhash

__all__ = ["block_digest", "source_digest"]


def block_digest(x_ng: sp.csr_matrix) -> str:
    """XXH3-128 of one canonical block. It costs little beside reading the block, which SHA-256 would not."""
    digest = xxhash.xxh3_128(np.asarray([*x_ng.shape, x_ng.nnz], np.int64).tobytes())
    narrow = (
        x_ng.data.dtype if x_ng.data.dtype.kind == "f" else np.dtype(np.int64 if x_ng.data.itemsize > 4 else np.int32)
    )
    for array, dtype in ((x_ng.indptr, np.int64), (x_ng.indices, np.int32), (x_ng.data, narrow)):
        digest.update(np.ascontiguousarray(array, dtype).data)
    return digest.hexdigest()


def source_digest(cells: Iterable[Any], genes: Iterable[Any], blocks: Mapping[int, str]) -> str:
    """XXH3-128 of the names of a source and of its blocks (first row -> digest), in whatever order those were read."""
    digest = xxhash.xxh3_128()
    for names in (cells, genes):
        digest.update("\0".join(map(str, names)).encode() + b"\1")
    for start in sorted(blocks):
        digest.update(f"{start}:{blocks[start]}\n".encode())
    return f"xxh3:{digest.hexdigest()}"
