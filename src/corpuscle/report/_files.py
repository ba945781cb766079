"""Several files that appear together under their final names, or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from corpuscle.errors import OutputError

__all__ = ["write_together"]


def write_together(directory: Path, writers: Mapping[str, Callable[[BinaryIO], None]]) -> None:
    """Write every file to a hidden folder beside its final place, then rename them all, in the order given.

    Parameters
    ----------
    directory
        Where the files go; made if it is missing, and removed again if it was made and nothing could be written.
    writers
        Final file name -> function that writes the content to a binary file.

    Raises
    ------
    OutputError
        The disk is full, permission is missing, or a folder is in the way. No final name has been touched then.
    """
    new = not directory.exists()
    staging = None
    try:
        directory.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".writing-", dir=directory))
        for name, write in writers.items():
            with (staging / name).open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for name in writers:
            if (directory / name).is_dir():
                raise OutputError(
                    f"{directory / name}: a folder is where a file should go; move it or choose another one"
                )
        for name in writers:
            (staging / name).replace(directory / name)
    except OSError as error:
        reason = error.strerror or str(error)
        raise OutputError(f"cannot write {directory}: {reason}; free space or choose another folder") from error
    finally:
        if staging is not None:
            shutil.rmtree(staging, ignore_errors=True)
        if new and directory.is_dir() and not any(directory.iterdir()):
            directory.rmdir()
