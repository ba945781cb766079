"""Several files as one zip whose bytes repeat, for places that know no folders."""

from __future__ import annotations

import shutil
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["add_bytes", "add_member", "packed"]

_EPOCH = (1980, 1, 1, 0, 0, 0)


def add_member(pack: zipfile.ZipFile, name: str, path: Path) -> None:
    """Add a file to a zip, without its time, owner or rights, in pieces."""
    with path.open("rb") as source, pack.open(_member(pack, name, path.stat().st_size), "w") as target:
        shutil.copyfileobj(source, target, 1 << 20)


def add_bytes(pack: zipfile.ZipFile, name: str, data: Any) -> None:
    """Add what supports the buffer protocol to a zip in the same way."""
    with pack.open(_member(pack, name, memoryview(data).nbytes), "w") as target:
        target.write(data)


def _member(pack: zipfile.ZipFile, name: str, size: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name, _EPOCH)
    member.create_system = 3
    member.external_attr = 0o100644 << 16
    member.compress_type = pack.compression
    member.file_size = size
    return member


@contextmanager
def packed(files: Sequence[tuple[str, Path]]) -> Iterator[Path]:
    """A zip of the files under their names, removed at the end."""
    with tempfile.TemporaryDirectory(prefix="corpuscle-pack-") as room:
        zipped = Path(room) / "dataset.zip"
        with zipfile.ZipFile(zipped, "w", zipfile.ZIP_DEFLATED) as pack:
            for name, path in sorted(files):
                add_member(pack, name, path)
        yield zipped
