"""Labels as one ``.npz``: arrays, and JSON text for what is not a number."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.bulk.labels._evidence import EVIDENCE, coded
from corpuscle.errors import CorpuscleError, SourceError

if TYPE_CHECKING:
    from corpuscle.bulk.labels.store import Labels

__all__ = ["read_labels", "write_labels"]

FORMAT, VERSION = "corpuscle labels", 1
#: Bytes that one part may unpack to; ten million samples need less.
LARGEST = 2**30
#: What reading a damaged or hostile file can raise.
_DAMAGE = (
    OSError, EOFError, ValueError, KeyError, TypeError, IndexError, AttributeError, NotImplementedError, RuntimeError,
    OverflowError, MemoryError, zipfile.BadZipFile, zlib.error, struct.error, CorpuscleError,
)  # fmt: skip


def write_labels(labels: Labels, path: Path) -> None:
    """Write labels; the file appears when it is complete.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    from corpuscle import __version__
    from corpuscle.normalize._patient_file import complete_or_absent

    evidence = {name: labels.evidence[name].cat for name in EVIDENCE}
    texts = {
        "about": {"format": FORMAT, "version": VERSION, "corpuscle": __version__, "info": dict(labels.info)},
        "samples": labels.samples.tolist(),
        "table": labels.table.drop(columns="n_samples").to_dict("list"),
        "words": {name: evidence[name].categories.tolist() for name in ("rule", "field", "text")},
    }
    arrays = {name: np.frombuffer(json.dumps(value).encode(), dtype=np.uint8) for name, value in texts.items()}
    arrays |= {"indptr": labels.y_nl.indptr.astype(np.int64), "indices": labels.y_nl.indices.astype(np.int32)}
    arrays |= {f"evidence_{name}": column.codes.to_numpy().astype(np.int32) for name, column in evidence.items()}
    with complete_or_absent(path) as patient:
        np.savez_compressed(patient, allow_pickle=False, **arrays)
        patient.check()


def read_labels(path: Path) -> Labels:
    """Read labels that :func:`write_labels` wrote.

    Raises
    ------
    SourceError
        The file is missing, damaged or something else.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file; give one that labels build wrote")
    try:
        return _parsed(_arrays(path))
    except _DAMAGE as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise SourceError(
            f"{path}: no labels can be read from it ({reason}); make it again with labels build"
        ) from None


def _arrays(path: Path) -> dict[str, np.ndarray[Any, Any]]:
    names = ["about", "samples", "table", "words", "indptr", "indices", *(f"evidence_{name}" for name in EVIDENCE)]
    with zipfile.ZipFile(path) as parts:
        for part in parts.infolist():
            if part.file_size > LARGEST:
                raise ValueError(f"a part unpacks to {part.file_size:,} bytes")
    with np.load(path, allow_pickle=False) as file:
        arrays = {name: file[name] for name in names}
    for name, array in arrays.items():
        wanted = np.uint8 if name in names[:4] else np.int64 if name == "indptr" else np.int32
        if array.dtype != wanted or array.ndim != 1:
            raise ValueError(f"{name} is {array.dtype} of {array.ndim} dimensions")
    return arrays


def _parsed(arrays: dict[str, np.ndarray[Any, Any]]) -> Labels:
    from corpuscle.bulk.labels.store import Labels

    about, samples, table, words = (
        json.loads(arrays[name].tobytes()) for name in ("about", "samples", "table", "words")
    )
    if about["format"] != FORMAT or about["version"] != VERSION:
        raise ValueError(f"format {str(about['format'])[:40]!r}, version {str(about['version'])[:10]}")
    names = _words(table["label"])
    frame = pd.DataFrame({name: _words(table[name]) for name in ("label", "kind", "parent", "id")})
    samples = _words(samples)
    indptr, indices = arrays["indptr"], arrays["indices"]
    if len(indptr) != len(samples) + 1 or indptr[0] != 0 or indptr[-1] != len(indices) or (np.diff(indptr) < 0).any():
        raise ValueError("the rows of the matrix do not fit the samples")
    _check_codes(indices, len(names), "labels")
    y_nl = sp.csr_matrix((np.ones(len(indices), dtype=np.uint8), indices, indptr), shape=(len(samples), len(names)))
    if not y_nl.has_canonical_format:
        raise ValueError("a sample has a label twice")
    vocabulary = {
        "sample": samples,
        "label": names,
        **{name: _words(words[name]) for name in ("rule", "field", "text")},
    }
    codes = {name: arrays[f"evidence_{name}"] for name in EVIDENCE}
    if len({len(code) for code in codes.values()}) != 1:
        raise ValueError("the columns of the evidence differ in length")
    for name, code in codes.items():
        _check_codes(code, len(vocabulary[name]), f"{name}s of the evidence")
    return Labels(samples, tuple(names), y_nl, frame, coded(codes, vocabulary), dict(about["info"]))


def _check_codes(code: np.ndarray[Any, Any], n: int, what: str) -> None:
    if code.size and (code.min() < 0 or code.max() >= n):
        raise ValueError(f"codes of {what} are out of range")


def _words(value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise ValueError("a list of names is something else")
    return value
