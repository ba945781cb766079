"""Download files of a public data set: listed first, continued where they stopped, checked, renamed when whole."""

from __future__ import annotations

import fnmatch
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from corpuscle.datasets._hub import RemoteFile, download, list_remote, same_content
from corpuscle.datasets.catalog import CATALOGS
from corpuscle.errors import OptionError, OutputError

__all__ = ["Fetched", "RemoteFile", "fetch", "list_remote", "select"]


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is now on disk with the content that the data set states.

    ``status`` is ``"downloaded"``, or ``"present"`` if it already was there.
    """

    path: Path
    remote: RemoteFile
    status: Literal["downloaded", "present"]


def fetch(
    dataset: str = CATALOGS["coregulation"],
    *,
    patterns: Sequence[str] | None = None,
    out: str | os.PathLike[str],
    revision: str = "main",
    endpoint: str | None = None,
    token: str | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> list[Fetched]:
    """Download the ``.h5ad`` files of a data set on the Hub, in the data set's folders, under ``out``.

    Parameters
    ----------
    dataset
        ``owner/name``; the coregulation benchmark by default.
    patterns
        Which files: a series (``GSE229976``), a folder (``promoter_reporter``), a file name, or a glob over paths
        (``*/GSE30*``); each must match something. None for all.
    out
        Target folder; made if it is not there.
    revision
        Branch, tag or commit.
    endpoint
        Address of the server; None for the one the Hub library is set to.
    token
        Access token, for a private data set.
    overwrite
        Replace a file that is there with other content.
    progress
        Show a progress bar if stderr is a terminal.

    Returns
    -------
    list of Fetched
        By path. A file that is already there with the right content is not downloaded again.

    Raises
    ------
    OptionError
        The data set, or a file, series or pattern, does not exist.
    SourceError
        No connection, a transfer that broke off (run again to continue), a wrong checksum, an unsafe path.
    OutputError
        The target cannot be written, or holds other content under that name.
    """
    folder = Path(out)
    files = select(list_remote(dataset, revision=revision, endpoint=endpoint, token=token), patterns, dataset)
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} is a file; give a folder with -o")
    done = []
    with _bar(sum(file.size for file in files), progress) as (start, advance):
        for file in files:
            start(file.path)
            target = _target(folder, file)
            present = target.exists() and _is_it(file, target, overwrite)
            if present:
                advance(file.size)
            else:
                download(dataset, file, target, endpoint=endpoint, token=token, advance=advance)
            done.append(Fetched(target, file, "present" if present else "downloaded"))
    return done


def select(files: Sequence[RemoteFile], patterns: Sequence[str] | None, dataset: str) -> list[RemoteFile]:
    """Choose the files that any of ``patterns`` names; all for None.

    Raises
    ------
    OptionError
        A pattern matches nothing.
    """
    if not files:
        raise OptionError(f"{dataset}: holds no .h5ad file; check the name of the data set")
    chosen = set()
    for pattern in patterns or ["*"]:
        hits = {file.path for file in files if _matches(file.path, pattern)}
        if not hits:
            series = sorted({PurePosixPath(file.path).name.split("_")[0].removesuffix(".h5ad") for file in files})
            raise OptionError(f"{dataset}: no file or series matches {pattern}; there are {', '.join(series)}")
        chosen |= hits
    return [file for file in files if file.path in chosen]


def _matches(path: str, pattern: str) -> bool:
    whole = PurePosixPath(path)
    if any(fnmatch.fnmatchcase(name, pattern) for name in (path, whole.name, whole.stem)):
        return True
    folders = {str(parent) for parent in whole.parents} - {"."}
    return pattern.rstrip("/") in folders or whole.name.startswith(f"{pattern}_")


def _target(folder: Path, file: RemoteFile) -> Path:
    target = folder / file.path
    if not target.parent.resolve().is_relative_to(folder.resolve()):
        raise OutputError(f"{target.parent}: a link leads out of {folder}; remove it or choose another folder with -o")
    return target


def _is_it(file: RemoteFile, target: Path, overwrite: bool) -> bool:
    if target.is_file() and same_content(file, target):
        return True
    if overwrite and target.is_file():
        return False
    raise OutputError(f"{target} is there with other content; move it away or pass --overwrite")


@contextmanager
def _bar(total: int, wanted: bool) -> Iterator[tuple[Callable[[str], None], Callable[[int], None]]]:
    """Two functions, for the name of the file begun and for bytes had, that draw on a terminal only."""
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (wanted and console.is_terminal)) as shown:
        task = shown.add_task("", total=total)
        yield (
            lambda name: shown.update(task, description=PurePosixPath(name).name),
            lambda n_bytes: shown.advance(task, n_bytes),
        )
