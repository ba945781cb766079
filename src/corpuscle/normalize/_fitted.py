"""A fitted normalisation in a file, so that new samples are given the values that the old ones were."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle import __version__
from corpuscle.counts import Counts
from corpuscle.counts._identity import gene_hash, identities
from corpuscle.errors import MethodError, OptionError, SourceError
from corpuscle.normalize._base import Normalizer
from corpuscle.normalize._patient_file import complete_or_absent
from corpuscle.normalize._registry import normalizer, normalizer_names

__all__ = ["FittedInfo", "load_fitted", "save_fitted"]

#: What the file says it is; a later reader refuses what it does not know.
FORMAT = "corpuscle fitted normalisation 1"
#: A fit is some numbers a gene. What unpacks to more than this is not one.
MOST_BYTES = 4 * 2**30


@dataclass(frozen=True)
class FittedInfo:
    """What a fit was made from.

    Attributes
    ----------
    method, params
        Registry id, and the parameters that are not arrays.
    genes, hash
        Names of the genes in their order, and :func:`~corpuscle.counts._identity.gene_hash` of them.
    n
        Samples it was fitted on.
    version
        Version of Corpuscle that wrote it.
    sources
        Name, size, time and ends of the files it was fitted on.
    key
        What the caller knows it by.
    """

    method: str
    params: dict[str, Any]
    genes: list[str]
    hash: str
    n: int
    version: str
    sources: list[dict[str, Any]]
    key: str = ""


def save_fitted(method: Normalizer, path: str | Path, counts: Counts, *, key: str = "") -> None:
    """Write a fitted normalisation as ``.npz``: arrays and one JSON text.

    Parameters
    ----------
    method
        A fitted normalisation that has a name in the registry and can transform cells it has not seen.
    path
        The file; what is there is replaced once the new one is complete.
    counts
        What it was fitted on.
    key
        Any text that the caller wants back.

    Raises
    ------
    MethodError
        The method knows only the cells it was fitted on, is not fitted, or has learnt what is neither number, text
        nor array.
    OutputError
        The file cannot be written.
    """
    if method.name not in normalizer_names() or not method.inductive:
        raise MethodError(f"{method.name}: what it learns is of use only for these cells; nothing can be saved")
    learnt = {key: value for key, value in vars(method).items() if key.endswith("_") and not key.startswith("_")}
    if not learnt:
        raise MethodError(f"{method.name}: call fit before saving")
    arrays: dict[str, Any] = {}
    params = {key: _packed(method, f"param.{key}", v, arrays) for key, v in method.get_params(deep=False).items()}
    attributes = {key: _packed(method, f"learnt.{key}", value, arrays) for key, value in learnt.items()}
    genes = [str(name) for name in counts.var_names]
    about = {
        "format": FORMAT, "method": method.name, "params": params, "learnt": attributes, "genes": genes,
        "hash": gene_hash(genes), "n": counts.n_obs, "version": __version__, "sources": identities(counts),
        "key": key,
    }  # fmt: skip
    arrays["about"] = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with complete_or_absent(Path(path)) as file:
        np.savez_compressed(file, **arrays)


def load_fitted(path: str | Path) -> tuple[Normalizer, FittedInfo]:
    """Read what :func:`save_fitted` wrote. Nothing in the file is run, and only registered methods are made.

    Returns
    -------
    (normalisation, info)
        Fitted, and what it was fitted on.

    Raises
    ------
    SourceError
        The file is missing, damaged, or not one of ours.
    """
    path = Path(path)
    about, arrays = _read(path)
    try:
        params = {key: _unpacked(value, arrays) for key, value in about["params"].items()}
        learnt = {key: _unpacked(value, arrays) for key, value in about["learnt"].items()}
        plain = {key: value for key, value in params.items() if not isinstance(value, np.ndarray | pd.Series)}
        info = FittedInfo(
            str(about["method"]), plain, [str(name) for name in about["genes"]], str(about["hash"]), int(about["n"]),
            str(about["version"]), [dict(one) for one in about["sources"]],
            str(about["key"]),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise _damaged(path, f"lacks or garbles {error}") from None
    if gene_hash(info.genes) != info.hash:
        raise _damaged(path, "its genes are not those it was written with")
    try:
        method = normalizer(info.method, **params)
    except (OptionError, TypeError) as error:
        raise _damaged(path, str(error)) from None
    for key, value in learnt.items():
        if not key.isidentifier() or key.startswith("_") or not key.endswith("_") or hasattr(type(method), key):
            raise _damaged(path, f"{key!r} cannot be something learnt")
        setattr(method, key, value)
    if hasattr(method, "per_cell"):
        method.__dict__["_per_cell_memo"] = None
    return method, info


def _packed(method: Normalizer, key: str, value: Any, arrays: dict[str, Any]) -> Any:
    """A value as JSON, or as where in the file its array is."""
    if isinstance(value, pd.Series):
        arrays[key] = value.to_numpy(np.float64)
        return {"series": key, "index": [str(name) for name in value.index]}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
        arrays[key] = value
        return {"array": key}
    if isinstance(value, np.ndarray) and value.ndim == 1 and all(isinstance(one, str) for one in value):
        return {"names": value.tolist()}
    if isinstance(value, Path):
        value = str(value)
    try:
        json.dumps(value)
    except (TypeError, ValueError):
        what = key.partition(".")[2]
        raise MethodError(f"{method.name}: {what} is a {type(value).__name__}, which cannot be saved") from None
    return {"value": value}


def _unpacked(packed: dict[str, Any], arrays: dict[str, Any]) -> Any:
    if "value" in packed:
        return packed["value"]
    if "names" in packed:
        return np.array([str(name) for name in packed["names"]])
    if "series" in packed:
        return pd.Series(arrays[packed["series"]], index=[str(name) for name in packed["index"]])
    return arrays[packed["array"]]


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON text and the arrays of the file."""
    try:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > MOST_BYTES:
                raise _damaged(path, "it unpacks to more than a fit can be")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        about = json.loads(arrays.pop("about").tobytes().decode())
        known = isinstance(about, dict) and about.get("format") == FORMAT
    except FileNotFoundError:
        raise SourceError(f"{path}: there is no such file; name what --save-fit wrote") from None
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}; name what --save-fit wrote") from None
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError, zlib.error, MemoryError, SyntaxError) as error:
        raise _damaged(path, " ".join(str(error).split())[:120]) from None
    if not known:
        raise _damaged(path, "it says that it is something else")
    return about, arrays


def _damaged(path: Path, reason: str) -> SourceError:
    return SourceError(f"{path}: is not a saved fit, or is damaged ({reason}); write it again with --save-fit")
