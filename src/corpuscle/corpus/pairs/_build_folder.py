"""The folder of a data set of pairs: it becomes what it is called when it is complete, or never."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path

from corpuscle import _folders
from corpuscle.corpus.manifest import MANIFEST
from corpuscle.corpus.pairs.manifest import read_pairs_manifest
from corpuscle.errors import OutputError, SourceError

__all__ = ["check_target", "new_folder"]


def check_target(folder: Path, *, force: bool) -> None:
    """Refuse a folder that cannot become a data set of pairs, before any work is done.

    Raises
    ------
    OutputError
        It is there and may not be replaced, is something else, or its parent cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: is there and is not a folder; choose another with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not _is_pairs(folder):
            raise OutputError(f"{folder}: holds other files than a data set of pairs; choose another folder with -o")
        if not force:
            raise OutputError(
                f"{folder}: a data set of pairs is there already; replace it with --force or choose another"
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder.parent}: {error.strerror}; choose another folder with -o"
        ) from None
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder.parent}: no permission; choose another folder with -o")


def _is_pairs(folder: Path) -> bool:
    if (folder / MANIFEST).is_symlink():
        return False
    try:
        read_pairs_manifest(folder)
    except SourceError:
        return False
    return True


def new_folder(folder: Path, *, force: bool) -> AbstractContextManager[Path]:
    """A folder that becomes ``folder`` when all went well, see :func:`corpuscle._folders.new_folder`."""
    return _folders.new_folder(folder, lambda: check_target(folder, force=force))
