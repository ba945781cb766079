"""Folders that appear when they are complete."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from corpuscle.errors import OutputError

__all__ = ["new_folder"]


@contextmanager
def new_folder(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``folder`` that becomes it if all goes well, and vanishes otherwise.

    An older folder of that name is kept until the new one stands in its place.

    Parameters
    ----------
    folder
        Where it shall be.
    check
        Raises if ``folder`` must not be replaced; called before any work, and again before the exchange.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    folder = folder.resolve()
    check()
    mark = secrets.token_hex(4)
    made, old = (folder.parent / f".{folder.name}.{mark}.{kind}" for kind in ("partial", "old"))
    try:
        made.mkdir()
        yield made
        check()
        if folder.exists():
            folder.rename(old)
        try:
            made.rename(folder)
        except OSError:
            with suppress(OSError):
                old.rename(folder)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free space or choose another with -o"
        ) from None
    finally:
        shutil.rmtree(made, ignore_errors=True)
