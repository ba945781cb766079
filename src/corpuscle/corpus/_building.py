"""The hidden folder that a data set grows in until it is complete and takes its name."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from corpuscle.corpus.manifest import MANIFEST, write_json
from corpuscle.errors import OutputError, SourceError

__all__ = ["Building", "explained"]

PLAN = "plan.json"
#: Reasons for which nothing can be written, however often one tries.
CANNOT = {errno.ENOSPC, errno.EACCES, errno.EPERM, errno.EROFS, errno.EDQUOT, errno.EFBIG, errno.ENAMETOOLONG}


@contextmanager
def explained(out: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission into one line."""
    try:
        yield
    except OSError as error:
        if error.errno not in CANNOT:
            raise
        raise OutputError(
            f"cannot write {error.filename or out}: {os.strerror(error.errno)}; free space or choose another folder, "
            f"and run again: finished shards are kept"
        ) from error


class Building:
    """``.NAME.building`` beside the data set NAME: finished shards outlive an interruption, and one process owns it.

    Parameters
    ----------
    out
        The data set to make.
    overwrite
        Replace one that is there, at the very end.
    restart
        Throw away what an interrupted build left.

    Raises
    ------
    OutputError
        ``out`` is there, cannot be made, or another process is building it.
    """

    def __init__(self, out: Path, *, overwrite: bool = False, restart: bool = False) -> None:
        self.out, self.overwrite, self._restart = out, overwrite, restart
        self.folder = out.parent / f".{out.name}.building"
        self.final, self._old = self.folder / "final", self.folder / "old"
        self._lock = -1

    def __enter__(self) -> Self:
        if not self.out.parent.is_dir():
            raise OutputError(f"{self.out}: there is no folder {self.out.parent}; make it first")
        self._check_target()
        self._lock = _locked(self.folder, self.out)
        try:
            if self._old.exists() and not self.out.exists():  # stopped between the two renames of publish
                self._old.rename(self.out)
                self._check_target()
            if self._restart:
                self.clear()
        except BaseException:
            os.close(self._lock)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None and not any(self.folder.glob("data-*.json")) and not self._old.exists():
            shutil.rmtree(self.folder, ignore_errors=True)
        os.close(self._lock)

    def start(self, plan: Mapping[str, Any]) -> None:
        """Begin, or go on if what was interrupted here was the same work.

        Raises
        ------
        OutputError
            It was another one.
        SourceError
            It was the same, but a source has changed since.
        """
        new = json.loads(json.dumps(plan))
        try:
            old = json.loads((self.folder / PLAN).read_text(encoding="utf-8"))
            _compare(old, new, self.folder)
        except (FileNotFoundError, ValueError, KeyError):
            self.clear()
            write_json(self.folder / PLAN, new)
        for left in [*self.folder.glob(".writing-*"), *self.final.glob(".writing-*")]:
            left.unlink(missing_ok=True)
        self.final.mkdir(exist_ok=True)

    def publish(self) -> None:
        """Give the finished data set its name, and remove everything else."""
        if self.out.exists():
            if not self.overwrite:
                raise OutputError(f"{self.out}: appeared while it was built; remove it and run again to finish")
            shutil.rmtree(self._old, ignore_errors=True)
            self.out.rename(self._old)
        self.final.rename(self.out)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _check_target(self) -> None:
        if not self.out.exists() and not self.out.is_symlink():
            return
        if not self.overwrite:
            raise OutputError(f"{self.out}: is there already; give another name, or --force to replace it")
        if self.out.is_symlink() or not (self.out.is_dir() and _is_dataset(self.out)):
            raise OutputError(f"{self.out}: is no data set, so it is not replaced; move it away")

    def clear(self) -> None:
        """Throw away all shards, so that the next build may be another one."""
        for one in self.folder.iterdir():
            if one.name == "lock" or one == self._old:
                continue
            shutil.rmtree(one) if one.is_dir() and not one.is_symlink() else one.unlink()


def _is_dataset(folder: Path) -> bool:
    names = {path.name for path in folder.iterdir()}
    return not names or MANIFEST in names or {"dataset_info.json", "state.json"} <= names


def _compare(old: dict[str, Any], new: dict[str, Any], folder: Path) -> None:
    """Raise if ``new`` is not the work that ``old`` began."""
    recipes = [_flat(one) for one in (old, new)]
    for key in sorted(set(recipes[0]) | set(recipes[1])):
        was, now = (recipe.get(key) for recipe in recipes)
        if was != now:
            raise OutputError(
                f"{folder}: a build that stopped here had {key} {_short(was)}, this one has {_short(now)}; repeat the "
                f"same call to finish it, or give --restart to start anew"
            )
    for was, now in zip(old["sources"], new["sources"], strict=True):
        for key in ("cells", "genes", "stamp"):
            if was[key] != now[key]:
                raise SourceError(
                    f"{now['name']}: it changed since the build was stopped; give --restart to start anew"
                )
        for key, what in (("keep", "the cells that filter and quality control keep"), ("slots", "the gene plan")):
            if was[key] != now[key]:
                raise OutputError(
                    f"{folder}: {what} of {now['name']} are not those of the build that stopped here; "
                    f"give --restart to start anew"
                )


def _flat(plan: dict[str, Any]) -> dict[str, Any]:
    recipe, sources = plan["recipe"], [source["name"] for source in plan["sources"]]
    return {
        **recipe["options"], "sources": sources, "version of Corpuscle": recipe["corpuscle"],
        "vocabulary": recipe["vocabulary"],
    }  # fmt: skip


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def _locked(folder: Path, out: Path) -> int:
    """Make the folder and take its lock, which the system gives back whenever this process ends, however it does."""
    while True:
        folder.mkdir(exist_ok=True)
        path = folder / "lock"
        try:
            lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except FileNotFoundError:  # another process has just finished and removed the folder
            continue
        if not _take(lock):
            owner = os.read(lock, 40).decode(errors="replace").strip()
            os.close(lock)
            raise OutputError(f"{out}: process {owner or 'unknown'} is building it; wait for it or stop it")
        with suppress(OSError):
            if os.fstat(lock).st_ino == path.stat().st_ino:
                os.ftruncate(lock, 0)
                os.pwrite(lock, str(os.getpid()).encode(), 0)
                return lock
        os.close(lock)


def _take(lock: int) -> bool:
    try:
        import fcntl
    except ImportError:  # no such locks on this system
        return True
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # a file system without locks
    return True
