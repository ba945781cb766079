"""What a data set was made from and how, in one file beside it."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from pathlib import Path
from typing import Any

from corpuscle.errors import SourceError

__all__ = ["FORMAT", "MANIFEST", "file_sha256", "read_manifest", "write_atomic", "write_json"]

MANIFEST = "manifest.json"
FORMAT = "corpuscle-corpus/1"


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """Return the manifest of a data set.

    Parameters
    ----------
    folder
        The data set.

    Raises
    ------
    SourceError
        There is none, it cannot be read, or it is of a kind that this version does not know.
    """
    path = Path(folder) / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SourceError(f"{folder}: there is no {MANIFEST} in it; give a folder that corpus tokenize made") from None
    except NotADirectoryError:
        raise SourceError(f"{folder}: is a file; give the folder that corpus tokenize made") from None
    except (OSError, ValueError) as error:
        raise SourceError(f"{path}: cannot be read ({error}); build the data set again") from None
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != FORMAT:
        raise SourceError(f"{path}: its format is {found!r} and not {FORMAT!r}; use the version that made it")
    return manifest


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_atomic(path: Path, data: bytes) -> str:
    """Write a small file so that it is whole or not there; return its SHA-256."""
    descriptor, name = tempfile.mkstemp(prefix=".writing-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        mask = os.umask(0)
        os.umask(mask)
        Path(name).chmod(0o666 & ~mask)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return hashlib.sha256(data).hexdigest()


def write_json(path: Path, value: Any) -> str:
    """Write JSON that is the same for the same value; return its SHA-256."""
    text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    return write_atomic(path, (text + "\n").encode())
