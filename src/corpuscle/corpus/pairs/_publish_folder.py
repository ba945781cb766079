"""A folder that others can read: a shared disk, or what a web server serves."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path
from urllib.parse import quote

from corpuscle.errors import OutputError

__all__ = ["FolderPublisher"]


class FolderPublisher:
    """Copies files into a folder.

    Parameters
    ----------
    folder
        Where to; it is made.
    link_base
        What the links start with, e.g. ``"https://data.example.org/pairs"`` for a folder that a web server serves, or
        ``"s3://bucket/pairs"`` for one that is copied there. By default links are ``file://`` addresses of the copies.
    """

    nested = True

    def __init__(self, folder: str | Path, link_base: str | None = None) -> None:
        self.folder = Path(folder)
        self.link_base = link_base

    def put(self, path: Path, name: str) -> str:
        """Copy one file; under its name it is whole or not there.

        Raises
        ------
        OutputError
            It cannot be written, or the name leads out of the folder.
        """
        root = self.folder.resolve()
        target = (root / name).resolve()
        if not target.is_relative_to(root) or target == root:
            raise OutputError(f"{name!r}: leads out of {self.folder}; it is not copied")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".writing-", dir=target.parent) as room:
                copy = Path(room) / "file"
                shutil.copyfile(path, copy)
                os.replace(copy, target)  # noqa: PTH105
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror or error}); check the folder") from None
        return target.as_uri() if self.link_base is None else f"{self.link_base.rstrip('/')}/{quote(name)}"

    def finish(self) -> None:
        """Nothing: a copy is visible at once."""
