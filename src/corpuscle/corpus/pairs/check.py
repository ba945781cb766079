"""Is a data set of pairs still what was built? Its manifest, rows, archives and embedders against each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from corpuscle.corpus._folder_checks import Problem, Report
from corpuscle.corpus.manifest import MANIFEST, file_sha256
from corpuscle.corpus.pairs._archive_members import MEMBERS
from corpuscle.corpus.pairs._check_archive import archive_problems
from corpuscle.corpus.pairs._check_rows import SplitRows, across_problems, read_split, split_problems
from corpuscle.corpus.pairs.manifest import PairsManifest, read_pairs_manifest
from corpuscle.errors import SourceError

if TYPE_CHECKING:
    from corpuscle.corpus.pairs.embedders import Embedder

__all__ = ["PairsReport", "verify_pairs"]


@dataclass(frozen=True)
class PairsReport(Report):
    """What :func:`verify_pairs` found.

    Attributes
    ----------
    archives, rows, cells
        How much was checked.
    deep
        Values were read and embeddings made again.
    """

    archives: int = 0
    rows: int = 0
    cells: int = 0
    deep: bool = False


def verify_pairs(
    folder: str | Path, *, deep: bool = False, cache: str | Path | None = None, **fetching: Any
) -> PairsReport:
    """Check a data set of transcriptome-text pairs.

    Checked are the form of the manifest; that every split has the rows, columns and cells that it states, no cell or group
    on two sides, no row with an archive, checksum or format that the manifest does not know, and no negative that is the
    cell itself, has its caption, or is not there; and of every archive the SHA-256, the cells' names, the widths and
    types of embeddings, and that each row's cell is in it; and the SHA-256 of the embedders.

    Parameters
    ----------
    folder
        What ``build_pairs`` wrote.
    deep
        Also read all values: embeddings are finite and equal to what the saved embedders make of the counts.
    cache
        Folder of downloads, for archives that are not in the folder but behind their links; None: these are a problem.
    **fetching
        For :func:`links.fetch`.

    Raises
    ------
    SourceError
        There is no such folder, or no manifest that can be read.
    """
    folder = Path(folder)
    manifest = read_pairs_manifest(folder)
    problems: list[Problem] = []
    embedders = dict(_embedders(folder, manifest, problems))
    rows: dict[str, SplitRows] = {}
    for split in manifest.splits:
        try:
            rows[split] = read_split(folder, split)
        except SourceError as error:
            problems.append(Problem("rows", split, str(error)))
            continue
        problems.extend(split_problems(rows[split], manifest))
    problems.extend(across_problems(rows, manifest))
    for entry in manifest.archives:
        table = rows[entry.split].cells_of(entry.link) if entry.split in rows else None
        remake = embedders if deep else None
        problems.extend(archive_problems(folder, entry, manifest, table, remake, cache, fetching))
    problems.extend(_strangers(folder, manifest))
    return PairsReport(
        folder=str(folder),
        problems=problems,
        archives=len(manifest.archives),
        rows=sum(one.n_rows for one in rows.values()),
        cells=sum(len(one.cells) for one in rows.values()),
        deep=deep,
    )


def _embedders(folder: Path, manifest: PairsManifest, problems: list[Problem]) -> Iterator[tuple[str, Embedder]]:
    from corpuscle.corpus.pairs.embedders import load_embedder

    for entry in manifest.embedders:
        path = folder / entry.file
        if path.is_symlink() or not path.is_file():
            problems.append(Problem("embedder", entry.file, "is not there; get or build the data set again"))
        elif file_sha256(path) != entry.sha256:
            problems.append(Problem("embedder", entry.file, "is not the one of the manifest; get it again"))
        else:
            try:
                fitted = load_embedder(path)
            except SourceError as error:
                problems.append(Problem("embedder", entry.file, str(error)))
                continue
            if fitted.width != entry.width:
                text = f"has width {fitted.width} and the manifest says {entry.width}; build the data set again"
                problems.append(Problem("embedder", entry.file, text))
            yield entry.key, fitted


def _strangers(folder: Path, manifest: PairsManifest) -> Iterator[Problem]:
    known = {entry.file.split("/", 2)[1] for entry in manifest.archives if entry.file.count("/")}
    known |= {f"{entry.file.split('/', 2)[1]}{MEMBERS}" for entry in manifest.archives if entry.format == "zarr"}
    here = folder / "archives"
    for path in sorted(here.iterdir()) if here.is_dir() else ():
        if path.name not in known:
            yield Problem("archives", f"archives/{ascii(path.name)[1:-1]}", f"is not in {MANIFEST}; remove it")
