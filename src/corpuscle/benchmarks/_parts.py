"""Finished runs on disk, so that a benchmark that was stopped goes on where it was and ends with the same numbers.

A part is one JSON file with the outcome of one run and a fingerprint of everything the outcome depends on. A part
whose fingerprint is another is not this run's, and stays where it is; a damaged one is done again.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OutputError

__all__ = ["Key", "Parts", "fingerprint", "pack_frame", "pack_labels", "unpack_frame", "unpack_labels"]

Array = np.ndarray[Any, Any]
Outcome = dict[str, Any]

FORMAT = 1
NAME_LENGTH = 40
KINDS = {"f": "float64", "i": "int64", "u": "int64", "b": "bool"}


def fingerprint(what: Mapping[str, Any]) -> str:
    """SHA-256 of plain values, whatever the order of their keys."""
    return hashlib.sha256(_json(dict(what)).encode()).hexdigest()


@dataclass(frozen=True)
class Key:
    """Which run: ``name`` is for people, ``what`` is everything that its outcome depends on, in plain values."""

    name: tuple[str, ...]
    what: Mapping[str, Any]

    @property
    def fingerprint(self) -> str:
        """Fingerprint of ``what``."""
        return fingerprint(self.what)

    @property
    def file(self) -> str:
        """File name: safe whatever the names of data sets and methods are."""
        words = (re.sub(r"[^A-Za-z0-9_.-]+", "-", word)[:NAME_LENGTH].strip(".-") or "x" for word in self.name)
        return f"{'__'.join(words)}__{self.fingerprint[:16]}.json"


class Parts:
    """A folder of parts; with None nothing is kept, and nothing found.

    Parameters
    ----------
    folder
        Made now, so that a place that cannot be written is refused before any work is done.

    Raises
    ------
    OutputError
        The folder cannot be made.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        if folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise _unwritable(folder, error) from error

    def read(self, key: Key) -> Outcome | None:
        """Give the outcome of a finished run, or None if there is none that is whole and of this very run."""
        if self.folder is None:
            return None
        try:
            part = json.loads((self.folder / key.file).read_text(encoding="utf-8"))
            whole = part["fingerprint"] == key.fingerprint and part["sha256"] == _digest(part["outcome"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None
        return part["outcome"] if whole and isinstance(part["outcome"], dict) else None

    def write(self, key: Key, outcome: Outcome) -> Outcome:
        """Keep an outcome, and give it back as it will be read, so that both ways lead to the same numbers.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        outcome = json.loads(_json(outcome))
        if self.folder is None:
            return outcome
        part = {"format": FORMAT, "fingerprint": key.fingerprint, "run": dict(key.what)}
        text = _json(part | {"sha256": _digest(outcome), "outcome": outcome})
        temporary = self.folder / f".writing-{os.getpid()}-{key.file}"
        try:
            with temporary.open("w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.folder / key.file)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)
        return outcome


def _unwritable(folder: Path, error: OSError) -> OutputError:
    reason = error.strerror or str(error)
    return OutputError(f"cannot write {folder}: {reason}; free space or choose another folder")


def _digest(outcome: Any) -> str:
    return hashlib.sha256(_json(outcome).encode()).hexdigest()


def _json(value: Any) -> str:
    return json.dumps(_plain(value), sort_keys=True, ensure_ascii=True, allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    """In JSON's types; a float that is not finite becomes null, which tables turn back into NaN."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, str | int | bool) else repr(value)


def pack_frame(frame: pd.DataFrame) -> dict[str, Any]:
    """Column -> [kind, values], for JSON."""
    return {str(name): [column.dtype.kind, column.tolist()] for name, column in frame.items()}


def unpack_frame(packed: Mapping[str, Any]) -> pd.DataFrame:
    """Rebuild the frame that :func:`pack_frame` took, with NaN where a number is undefined."""
    return pd.DataFrame(
        {name: pd.Series(values, dtype=KINDS.get(kind, "object")) for name, (kind, values) in packed.items()}
    )


def pack_labels(label_n: Array) -> dict[str, Any]:
    """Clusters as compressed small integers; only which cells share a cluster is kept."""
    code_n = pd.factorize(np.asarray(label_n))[0]
    dtype = np.min_scalar_type(int(code_n.max(initial=0)))
    packed = base64.b64encode(zlib.compress(code_n.astype(dtype).astype(dtype.newbyteorder("<")).tobytes(), 9))
    return {"dtype": dtype.newbyteorder("<").str, "zlib": packed.decode()}


def unpack_labels(packed: Mapping[str, Any]) -> Array:
    """Cluster of each cell, (n,) int64."""
    raw = zlib.decompress(base64.b64decode(packed["zlib"]))
    return np.frombuffer(raw, np.dtype(packed["dtype"])).astype(np.int64)
