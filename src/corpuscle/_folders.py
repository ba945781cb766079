"""Folders that appear when they are complete, and what is left of those that never were."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from corpuscle.errors import OutputError

__all__ = ["new_folder"]


@contextmanager
def new_folder(folder: Path, check: Callable[[], None] = lambda: None) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``folder`` that becomes it if all goes well, and vanishes otherwise.

    An older folder of that name is kept until the new one stands in its place. What a process that was killed left behind of
    the same name is removed first, and an older folder that it had already put aside is put back; a folder on which another
    process still works is never touched.

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
    _sweep(folder)
    check()
    try:
        with _held(folder) as mark:
            made, old = _beside(folder, mark)
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
            finally:
                shutil.rmtree(made, ignore_errors=True)
    except OSError as error:
        raise OutputError(
            f"cannot write {folder}: {error.strerror or error}; free space or choose another with -o"
        ) from None


def _beside(folder: Path, mark: str) -> tuple[Path, Path]:
    """Where the new folder grows, and where the older one waits."""
    return folder.parent / f".{folder.name}.{mark}.partial", folder.parent / f".{folder.name}.{mark}.old"


@contextmanager
def _held(folder: Path) -> Iterator[str]:
    """Yield a mark for hidden names, with a locked file of that mark beside ``folder`` while it is in use.

    The system lets go of the lock when its holder dies, however it dies, so a lock that can be taken is of nobody alive.
    """
    while True:
        mark = secrets.token_hex(4)
        lock = folder.parent / f".{folder.name}.{mark}.lock"
        handle = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        _lock(handle, wait=True)
        # Another process may have swept the file away before it was locked: then this lock is of a file nobody sees.
        if lock.exists():
            break
        os.close(handle)
    try:
        yield mark
    finally:
        os.close(handle)
        lock.unlink(missing_ok=True)


def _lock(handle: int, *, wait: bool) -> bool:
    """Whether the lock of an open file is ours now; False where another has it or the system has no such locks."""
    try:
        import fcntl

        fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except (ImportError, OSError):
        return False
    return True


def _sweep(folder: Path) -> None:
    """Remove what dead processes left of ``folder``; what cannot be removed is left, since it is in nobody's way."""
    pattern = re.compile(rf"\.{re.escape(folder.name)}\.([0-9a-f]{{8}})\.lock")
    try:
        found = [(match[1], path) for path in folder.parent.iterdir() if (match := pattern.fullmatch(path.name))]
    except OSError:
        return
    for mark, lock in found:
        with suppress(OSError):
            _sweep_one(folder, mark, lock)


def _sweep_one(folder: Path, mark: str, lock: Path) -> None:
    handle = os.open(lock, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(handle).st_mode) or not _lock(handle, wait=False):
            return
        made, old = _beside(folder, mark)
        # rmtree does not follow a link: it refuses one, and removes those inside without looking behind them.
        if made.exists():
            shutil.rmtree(made)
        if old.is_dir() and not old.is_symlink():
            if os.path.lexists(folder):
                shutil.rmtree(old)
            else:
                old.rename(folder)
        lock.unlink(missing_ok=True)
    finally:
        os.close(handle)
