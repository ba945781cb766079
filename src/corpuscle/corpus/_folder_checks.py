"""Are the files of a data set the ones its manifest lists? Nothing of their content is believed before."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.corpus._manifest_checks import form_problems
from corpuscle.corpus.manifest import MANIFEST, file_sha256, read_manifest
from corpuscle.errors import SourceError

__all__ = [
    "Problem",
    "Report",
    "file_problem",
    "files_problems",
    "open_lengths",
    "read_known",
    "read_whole",
    "state_problems",
]

Array = np.ndarray[Any, Any]
#: Problems that a person is shown; the rest is counted.
SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """Something in a data set that should not be.

    Attributes
    ----------
    check
        Which check found it.
    file
        File of the data set.
    message
        What is wrong and what to do.
    row
        First row of the data set that has it; None where it is of no row.
    rows
        Rows that have it; None where it is of no row.
    """

    check: str
    file: str
    message: str
    row: int | None = None
    rows: int | None = None

    def __str__(self) -> str:
        return f"{self.file}: {self.message}"


@dataclass(frozen=True)
class Report:
    """What a check of a data set found.

    Attributes
    ----------
    folder
        The data set.
    problems
        One for each file and kind of problem, with the first row that has it; none if all is well.
    """

    folder: str
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Nothing is wrong."""
        return not self.problems

    def lines(self, most: int = SHOWN) -> list[str]:
        """One line for each problem, and one that counts those not shown."""
        shown = [printable(f"{self.folder}/{problem}") for problem in self.problems[:most]]
        rest = len(self.problems) - most
        return [*shown, f"... and {rest:,} more problems"] if rest > 0 else shown

    def to_dict(self) -> dict[str, Any]:
        """All of it, for JSON."""
        return asdict(self) | {"ok": self.ok}


def printable(text: str) -> str:
    """A line that a name from a strange file cannot break or colour."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def read_whole(folder: Path) -> dict[str, Any]:
    """Read the manifest of a data set, whatever is in it.

    Raises
    ------
    SourceError
        There is no such folder or manifest, it cannot be read, or it is of a format that this version does not know.
    """
    path = folder / MANIFEST
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder; name the folder that corpus tokenize wrote")
    if path.is_symlink() or not path.is_file():
        raise SourceError(f"{folder}: there is no file {MANIFEST} in it; name the folder that corpus tokenize wrote")
    try:
        return read_manifest(folder)
    except RecursionError:
        raise SourceError(f"{path}: cannot be read (nested too deep); build the data set again") from None


def read_known(folder: Path) -> dict[str, Any]:
    """Read the manifest of a data set and see that every field is there.

    Raises
    ------
    SourceError
        There is none, or it is not of the form that it must have.
    """
    manifest = read_whole(folder)
    problem = next(form_problems(manifest), None)
    if problem:
        raise SourceError(f"{folder / MANIFEST}: {problem}")
    return manifest


def file_problem(folder: Path, name: str, n_bytes: int | None, sha256: str | None) -> Problem | None:
    """What is wrong with a file that should have this size and this checksum; None for what is not to be checked."""
    path = folder / name
    if path.is_symlink():
        return Problem("link", name, "it is a link, and what it leads to is not known; put the file itself here")
    if not path.is_file():
        return Problem("missing", name, "it is missing; copy the data set again or build it again")
    found = path.stat().st_size
    if n_bytes is not None and found != n_bytes:
        how = "cut off" if found < n_bytes else "longer"
        return Problem("size", name, f"it is {how}: {found:,} bytes instead of {n_bytes:,}; copy the data set again")
    if sha256 is not None:
        digest = file_sha256(path)
        if digest != sha256:
            said = f"its bytes changed: SHA-256 {digest[:12]}... instead of {sha256[:12]}..."
            return Problem("checksum", name, f"{said}; copy the data set again or build it again")
    return None


def files_problems(folder: Path, manifest: Mapping[str, Any], *, quick: bool) -> Iterator[Problem]:
    """Files beside the shards by size and checksum, shards and Parquet files by size, and data that nobody listed.

    ``quick`` leaves out the checksums of Parquet files; those of the shards are left to who reads the shards.
    """
    for name, sha256 in sorted(manifest["files"].items()):
        yield from _some(file_problem(folder, name, None, sha256))
    listed = set(manifest["files"])
    for shard in manifest["shards"]:
        listed.add(shard["file"])
        yield from _some(file_problem(folder, shard["file"], shard["bytes"], None))
        parquet = shard.get("parquet")
        if parquet is not None:
            listed.add(parquet["file"])
            sha256 = None if quick else parquet["sha256"]
            yield from _some(file_problem(folder, parquet["file"], parquet["bytes"], sha256))
    for path in sorted(folder.iterdir()):
        # datasets keeps results of its own map and filter as cache-*.arrow beside the data; it does not load them.
        is_data = path.name.startswith("data-") or (path.suffix == ".arrow" and not path.name.startswith("cache-"))
        if is_data and path.name not in listed:
            yield Problem("unlisted", path.name, "the manifest does not list it; move it out of the folder")


def state_problems(folder: Path, manifest: Mapping[str, Any]) -> Iterator[Problem]:
    """Whether ``datasets`` would load the shards that the manifest lists, in that order, and nothing else."""
    name = "state.json"
    try:
        state = json.loads((folder / name).read_text(encoding="utf-8"))
        files = [entry["filename"] for entry in state["_data_files"]]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        yield Problem("state", name, "it does not say which files to load; build the data set again")
        return
    shards = [shard["file"] for shard in manifest["shards"]]
    if files != shards:
        said = next((repr(file)[:80] for file in files if file not in shards), "them in another order or number")
        yield Problem("state", name, f"it loads {said}, which is not what the manifest lists; build the data set again")


def open_lengths(folder: Path, rows: int) -> tuple[Array | None, Problem | None]:
    """Length of every row, as a map of ``lengths.npy``, or what is wrong with it."""
    name = "lengths.npy"
    try:
        lengths_n = np.load(folder / name, mmap_mode="r", allow_pickle=False) if rows else np.load(folder / name)
    except (OSError, ValueError, EOFError, SyntaxError):
        return None, Problem("lengths", name, "it is no file of numbers; build the data set again")
    if not isinstance(lengths_n, np.ndarray) or lengths_n.shape != (rows,) or lengths_n.dtype.kind not in "iu":
        said = f"it holds {getattr(lengths_n, 'dtype', 'no')} numbers in the shape {getattr(lengths_n, 'shape', ())}"
        return None, Problem("lengths", name, f"{said}, not one whole number for each of {rows:,} rows")
    return lengths_n, None


def _some(problem: Problem | None) -> Iterator[Problem]:
    if problem is not None:
        yield problem
