"""Entries of the download cache: one file, one sidecar that vouches for it, one lock while it is made."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from corpuscle.errors import OutputError

__all__ = ["SUFFIX", "Entry", "Sidecar", "remove", "tree_state"]

SUFFIX = {"zarr.zip": ".zarr.zip", "zarr": ".zarr", "h5ad": ".h5ad"}


@dataclass(frozen=True)
class Sidecar:
    """What is known of an entry: an entry without one, or that differs from it, is fetched again."""

    url: str
    etag: str
    bytes: int
    sha256: str
    format: str
    mtime_ns: int


class Entry:
    """One place in the cache: named by the content's SHA-256 where that is known, else by that of the URL."""

    def __init__(self, cache: Path, url: str, sha256: str | None) -> None:
        self.key = sha256 or "url-" + hashlib.sha256(url.encode()).hexdigest()
        self.cache = cache
        self.part = cache / f"{self.key}.part"
        self._sidecar = cache / f"{self.key}.json"
        self._resume = cache / f"{self.key}.part.json"
        self._lock = cache / f"{self.key}.lock"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the entry: one process fetches, the others wait for it.

        The system lets go of the lock when its holder dies, so a lock file that was left behind stops nobody.
        """
        try:
            self.cache.mkdir(parents=True, exist_ok=True)
            lock = self._take()
        except OSError as error:
            raise OutputError(f"{self.cache}: no cache can be kept here ({error.strerror}); name another") from None
        try:
            yield
        finally:
            self._lock.unlink(missing_ok=True)
            os.close(lock)

    def _take(self) -> int:
        while True:
            lock = os.open(self._lock, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
            try:
                import fcntl

                fcntl.flock(lock, fcntl.LOCK_EX)
                # The holder before us removed the file when it was done: then this lock is of a file nobody sees.
                if os.fstat(lock).st_ino == self._lock.stat().st_ino:
                    return lock
            except ImportError:  # a system without such locks
                return lock
            except FileNotFoundError:
                pass
            except BaseException:
                os.close(lock)
                raise
            os.close(lock)

    def read(self) -> tuple[Path, Sidecar] | None:
        """The finished entry and what is known of it; None where there is none that can be trusted."""
        known = _read_json(self._sidecar)
        try:
            sidecar = Sidecar(**known)
            path = self.cache / f"{self.key}{SUFFIX[sidecar.format]}"
            size, mtime_ns = tree_state(path)
        except (TypeError, KeyError, OSError):
            return None
        return (path, sidecar) if (size, mtime_ns) == (sidecar.bytes, sidecar.mtime_ns) else None

    def commit(self, url: str, etag: str, sha256: str, format: str) -> Path:
        """Give the verified download its final name; the sidecar comes last, so a killed run leaves nothing trusted."""
        path = self.cache / f"{self.key}{SUFFIX[format]}"
        remove(path)
        self.part.replace(path)
        size, mtime_ns = tree_state(path)
        _write_json(self._sidecar, asdict(Sidecar(url, etag, size, sha256, format, mtime_ns)))
        self._resume.unlink(missing_ok=True)
        return path

    def drop(self) -> None:
        """Remove all of the entry but its lock."""
        for one in (
            self.part,
            self._resume,
            self._sidecar,
            *(self.cache / f"{self.key}{end}" for end in SUFFIX.values()),
        ):
            remove(one)

    def remember(self, url: str, validator: str) -> None:
        """Note what the partial download is of, so that a later call can go on with it."""
        _write_json(self._resume, {"url": url, "validator": validator})

    def remembered(self, url: str) -> str | None:
        """The validator of a partial download of ``url``; None where there is none."""
        known = _read_json(self._resume)
        validator = known.get("validator")
        usable = known.get("url") == url and isinstance(validator, str) and bool(validator) and self.part.is_file()
        return validator if usable else None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        if path.is_symlink() or path.stat().st_size > 1 << 16:
            return {}
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: Path, content: dict[str, Any]) -> None:
    work = path.with_name(path.name + ".tmp")
    work.write_text(json.dumps(content, sort_keys=True), encoding="utf-8")
    work.replace(path)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder; nothing to remove is fine."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def tree_state(path: Path) -> tuple[int, int]:
    """Bytes and latest time of change of a file, or of all files of a folder."""
    if not path.is_dir():
        stat = path.stat()
        return stat.st_size, stat.st_mtime_ns
    stats = [one.stat() for one in path.rglob("*") if one.is_file()]
    return sum(one.st_size for one in stats), max((one.st_mtime_ns for one in stats), default=0)
