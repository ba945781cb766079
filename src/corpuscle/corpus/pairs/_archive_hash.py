"""Fingerprints of an archive: of its bytes, and of the names of its cells."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path

from corpuscle.corpus.manifest import file_sha256
from corpuscle.errors import SourceError

__all__ = ["archive_bytes", "archive_files", "archive_sha256", "obs_hash"]


def archive_sha256(path: str | Path) -> str:
    """SHA-256 of an archive: of the file, or, for a directory, of the names and SHA-256 of its files in sorted order.

    Raises
    ------
    SourceError
        There is nothing there, or a directory has links in it.
    """
    path = Path(path)
    if path.is_file():
        return file_sha256(path)
    digest = hashlib.sha256()
    for name, file in archive_files(path):
        digest.update(f"{file_sha256(file)}  {name}\n".encode())
    return digest.hexdigest()


def archive_bytes(path: str | Path) -> int:
    """Bytes of an archive; of a directory, those of its files together."""
    path = Path(path)
    return path.stat().st_size if path.is_file() else sum(file.stat().st_size for _, file in archive_files(path))


def archive_files(path: Path) -> list[tuple[str, Path]]:
    """Files of a directory with their names below it, sorted by name; a symbolic link is refused."""
    if not path.is_dir():
        raise SourceError(f"{path}: there is no such archive; check the path")
    found = []
    for file in path.rglob("*"):
        if file.is_symlink():
            raise SourceError(f"{file}: is a symbolic link, which an archive must not hold; get the archive again")
        if file.is_file():
            found.append((file.relative_to(path).as_posix(), file))
    return sorted(found)


def obs_hash(names: Iterable[str]) -> str:
    """SHA-256 of the names of cells in order; a name with any character in it cannot be taken for two."""
    return hashlib.sha256(json.dumps([str(name) for name in names]).encode()).hexdigest()
