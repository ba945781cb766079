"""How labels were made, for the file that keeps them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.counts._identity import identities
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from corpuscle.counts import Counts

__all__ = ["provenance"]


def provenance(counts: Counts, how: str, files: Iterable[Path], options: Mapping[str, Any]) -> dict[str, Any]:
    """What labels were made of: the matrix, the files with their SHA-256, and the options.

    Raises
    ------
    SourceError
        A file cannot be read.
    """
    return {
        "how": how,
        "matrix": identities(counts),
        "files": [_file(path) for path in files],
        "options": dict(options),
    }


def _file(path: Path) -> dict[str, str]:
    try:
        with path.open("rb") as file:
            return {"name": path.name, "sha256": hashlib.file_digest(file, "sha256").hexdigest()}
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror or error}); check the path") from None
