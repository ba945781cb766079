"""One integer seed in, as many independent random streams out as there are named questions.

A stream depends on the seed and on the names it is asked under, and on nothing else, so adding a method
or a sample never changes the numbers of another.
"""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["stream", "stream_seed"]


def _words(key: str) -> tuple[int, ...]:
    digest = hashlib.sha256(key.encode()).digest()
    return tuple(int.from_bytes(digest[i : i + 4], "little") for i in range(0, 16, 4))


def stream(seed: int, *keys: str) -> np.random.Generator:
    """Random generator of the substream that ``keys`` name, e.g. ``stream(0, sample, pair, "bootstrap")``."""
    spawn_key = tuple(word for key in keys for word in _words(key))
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=spawn_key))


def stream_seed(seed: int, *keys: str) -> int:
    """A 31-bit integer from the same substream, for libraries that want an ``int``."""
    return int(stream(seed, *keys).integers(2**31))
