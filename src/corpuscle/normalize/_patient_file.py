"""A file under HDF5 that outlives a full disk."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from corpuscle.errors import OutputError

__all__ = ["PatientFile", "complete_or_absent"]


class PatientFile(io.RawIOBase):
    """A new binary file that remembers the first write that failed instead of failing.

    When HDF5 cannot write what it still holds while it closes a file, it takes the process down with it. Here it can
    always close: what finds no place on disk is kept in memory until then. Whoever writes through HDF5 must call
    :meth:`check` after every step, so that little gathers there, and after closing, before the file is used.

    Parameters
    ----------
    path
        The file, which must not exist.
    """

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        self._at = 0
        self._error: OSError | None = None
        self._kept: list[tuple[int, bytes]] = []

    def check(self) -> None:
        """Raise the error of the first write that failed, if one did."""
        if self._error is not None:
            raise self._error

    def write(self, data: Any) -> int:
        """Write all of ``data`` at the current place, to disk or, once that has failed, to memory."""
        view = memoryview(data).cast("B")
        done = 0
        while done < len(view) and self._error is None:
            try:
                done += os.pwrite(self._file, view[done:], self._at + done)
            except OSError as error:
                self._error = error
        if done < len(view):
            self._kept.append((self._at + done, bytes(view[done:])))
        self._at += len(view)
        return len(view)

    def readinto(self, buffer: Any) -> int:
        """Fill ``buffer`` from the current place; zeros beyond the end."""
        view = memoryview(buffer).cast("B")
        start, stop = self._at, self._at + len(view)
        found = os.pread(self._file, len(view), start)
        view[: len(found)] = found
        view[len(found) :] = bytes(len(view) - len(found))
        for at, kept in self._kept:
            first, last = max(at, start), min(at + len(kept), stop)
            if first < last:
                view[first - start : last - start] = kept[first - at : last - at]
        self._at = stop
        return len(view)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move to a place."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size()}[whence]
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Give the current place."""
        return self._at

    def truncate(self, size: int | None = None) -> int:
        """Cut or extend the file."""
        size = self._at if size is None else size
        if self._error is None:
            try:
                os.ftruncate(self._file, size)
            except OSError as error:
                self._error = error
        return size

    def flush(self) -> None:
        """Nothing is buffered here."""
        return

    def sync(self) -> None:
        """Wait until the disk has it all."""
        os.fsync(self._file)

    def close(self) -> None:
        """Close the file."""
        if not self.closed:
            os.close(self._file)
        super().close()

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def writable(self) -> bool:
        """Say that it can be written."""
        return True

    def seekable(self) -> bool:
        """Say that it has places."""
        return True

    def _size(self) -> int:
        return max([os.fstat(self._file).st_size, *(at + len(kept) for at, kept in self._kept)])


@contextmanager
def complete_or_absent(out: Path) -> Iterator[PatientFile]:
    """Yield a file in a hidden folder beside ``out``; it takes that place, unless something fails.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    folder = None
    try:
        folder = Path(tempfile.mkdtemp(prefix=".writing-", dir=out.parent))
        working = folder / out.name
        with closing(PatientFile(working)) as patient:
            yield patient
            patient.sync()
        working.replace(out)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else " ".join(str(error).split())[:200]
        raise OutputError(f"cannot write {out}: {reason}; free space or choose another folder with -o") from error
    finally:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
