"""Labels from folders of expression files: what ARCHS4's download scripts leave, a folder a label."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.bulk.labels._text import clean, name_of
from corpuscle.bulk.labels.store import Labels
from corpuscle.bulk.labels.table import ACCESSION, labels_from_pairs
from corpuscle.bulk.labels.terms import Label
from corpuscle.errors import SourceError

__all__ = ["labels_from_folders"]

ENDINGS = (".tsv", ".tsv.gz", ".txt", ".txt.gz")
#: Characters of a first line: ten million accessions.
LONGEST_LINE = 2**27


def labels_from_folders(
    folder: str | Path, samples: Sequence[str] | pd.Index | None = None, *, info: Mapping[str, Any] | None = None
) -> tuple[Labels, list[str]]:
    """Labels from ``FOLDER/LABEL/*.tsv`` or ``FOLDER/KIND/LABEL/*.tsv``, files with one column a sample.

    A label is the name of a file's folder, and its kind the name of the folder around that (``cell_lines``,
    ``tissue_types``). A label that two kinds have is called ``KIND/LABEL``, since a cell line from an organ is not the organ.
    Of each file just the first line is read: its columns that are accessions or samples of the matrix. Links are
    followed where they stay within the folder.

    Parameters
    ----------
    folder
        Where the folders are.
    samples
        Samples of a matrix, to which the labels are brought; None for those of the files.
    info
        Stored with the labels.

    Returns
    -------
    tuple
        The labels, and one line for each thing to know.

    Raises
    ------
    SourceError
        There is no such folder, no file with samples in it, or a file cannot be read.
    OptionError
        No sample of the files is in the matrix.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SourceError(f"{folder}: there is no such folder; give the one that holds a folder for each label")
    found, notes = _label_folders(folder)
    known = frozenset(map(str, samples)) if samples is not None else frozenset()
    kinds_of: dict[str, set[str]] = {}
    for _, label, kind in found:
        kinds_of.setdefault(label, set()).add(kind)
    labels: dict[str, Label] = {}
    names: list[list[str]] = []
    files: list[tuple[str, str]] = []
    for path, label, kind in found:
        name = f"{kind}/{label}" if len(kinds_of[label]) > 1 else label
        columns = _samples_in(path, known)
        if not columns:
            notes.append(f"{_shown(path, folder)}: no column of its first line is a sample; it was left out")
            continue
        labels.setdefault(name, Label(name, kind))
        names.append(columns)
        files.append((name, _shown(path, folder)))
    if not labels:
        raise SourceError(
            f"{folder}: no file in it says which samples have which label; expected FOLDER/LABEL/*.tsv with accessions "
            "in the first line"
        )
    n_f = np.array([len(columns) for columns in names])
    sample_m = np.array([one for columns in names for one in columns], dtype=object)
    made = labels_from_pairs(
        sample_m, np.repeat(np.array([name for name, _ in files], dtype=object), n_f), labels, rule="folder",
        field="file", text_m=np.repeat(np.array([path for _, path in files], dtype=object), n_f), info=info,
    )  # fmt: skip
    if samples is not None:
        made, more = made.for_samples(samples)
        notes += more
    return made, notes


def _label_folders(folder: Path) -> tuple[list[tuple[Path, str, str]], list[str]]:
    """(file, label, kind) of every file, sorted; notes on what was left out."""
    root = folder.resolve()
    outside: list[Path] = []

    def inside(path: Path) -> bool:
        stays = root in path.resolve().parents
        if not stays:
            outside.append(path)
        return stays

    found: list[tuple[Path, str, str]] = []
    try:
        for top in _folders(folder):
            if not inside(top):
                continue
            found += [(file, name_of(top.name), name_of(root.name)) for file in _files(top) if inside(file)]
            for below in _folders(top):
                if inside(below):
                    found += [(file, name_of(below.name), name_of(top.name)) for file in _files(below) if inside(file)]
    except OSError as error:
        raise SourceError(f"{folder}: cannot be read ({error.strerror or error}); check its permissions") from None
    notes = [f"{len(outside):,} links lead out of {folder} or back to it and were not followed"] if outside else []
    loose = len(list(_files(folder)))
    if loose:
        notes.append(f"{loose:,} files directly in {folder} have no folder that names a label and were left out")
    return [one for one in found if one[1]], notes


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.name.lower().endswith(ENDINGS) and path.is_file())


def _samples_in(path: Path, known: frozenset[str]) -> list[str]:
    """Names of samples in the first line of a file."""
    try:
        with gzip.open(path, "rb") if path.name.lower().endswith(".gz") else path.open("rb") as file:
            line = file.readline(LONGEST_LINE)
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({error}); download it again") from None
    columns = [one.strip().strip('"') for one in line.decode("utf-8-sig", "replace").rstrip("\r\n").split("\t")]
    return [one for one in columns if ACCESSION.fullmatch(one) or one in known]


def _shown(path: Path, folder: Path) -> str:
    return clean(str(path.relative_to(folder)), None)
