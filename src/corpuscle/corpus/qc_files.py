"""The folder of a quality control: what was found, written at once or not at all, and read back against the source."""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle import _folders
from corpuscle.corpus._fingerprint import source_digest
from corpuscle.corpus._units import BLOCK_CELLS, SourceSpec
from corpuscle.counts import Counts
from corpuscle.errors import OutputError, SourceError

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FORMAT", "RECORD", "QCFolder", "cells_file", "check_target", "names_digest", "new_folder", "read_qc"]

Array = np.ndarray[Any, Any]
FORMAT = "corpuscle-qc/1"
RECORD = "qc.json"


def cells_file(place: int) -> str:
    """Name of the table of the cells of the source at this place."""
    return f"cells-{place:05d}.parquet"


def names_digest(counts: Counts) -> str:
    """Digest of the names of its cells, in order."""
    return source_digest(counts.obs.index, (), {})


# -- writing --------------------------------------------------------------------------------------------------------


def check_target(folder: Path, *, overwrite: bool) -> None:
    """Refuse a folder that cannot become one of these, before any work is done.

    Raises
    ------
    OutputError
        It is there and may not be replaced, or is something else, or its parent cannot be written.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputError(f"{folder}: is there and is not a folder; choose another with -o")
    if folder.is_dir() and any(folder.iterdir()):
        if not (folder / RECORD).is_file():
            raise OutputError(f"{folder}: holds other files than a quality control; choose another folder with -o")
        if not overwrite:
            raise OutputError(
                f"{folder}: a quality control is there already; replace it with --force or choose another"
            )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder.parent}: {error.strerror}; choose another folder with -o"
        ) from None
    if not os.access(folder.parent, os.W_OK | os.X_OK):
        raise OutputError(f"cannot write into {folder.parent}: no permission; choose another folder with -o")


def new_folder(folder: Path, *, overwrite: bool) -> AbstractContextManager[Path]:
    """A folder that becomes ``folder`` when all went well, see :func:`corpuscle._folders.new_folder`."""
    return _folders.new_folder(folder, lambda: check_target(folder, overwrite=overwrite))


# -- reading --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class QCFolder:
    """A quality control that was done.

    Attributes
    ----------
    folder
        Where it is.
    record
        What ``qc.json`` holds: options, sources and data sets.
    """

    folder: Path
    record: dict[str, Any]

    def keep(self, spec: SourceSpec, counts: Counts) -> Array:
        """(n,) bool: which cells of a source passed.

        Besides names and shape, the totals of the first cells are compared with those that were judged, which costs one block.

        Parameters
        ----------
        spec, counts
            The source, as it was named and opened.

        Raises
        ------
        SourceError
            This source was not judged, or is not what it was then.
        """
        place = self._place(spec, counts)
        table = self.cells(place, ["total", "keep"])
        if len(table) != counts.n_obs:
            raise SourceError(f"{self.folder / cells_file(place)}: damaged; run corpuscle corpus qc again")
        for block in counts.blocks(BLOCK_CELLS, stop=BLOCK_CELLS, fractional=spec.fractional):
            judged_n = table["total"].to_numpy(np.float64)[block.rows]
            now_n = np.asarray(block.x_ng.sum(axis=1, dtype=np.float64)).ravel()
            if not np.allclose(now_n, judged_n, rtol=1e-12, atol=0):
                raise SourceError(f"{spec.name}: {self._changed('other counts')}")
        return table["keep"].to_numpy(bool)

    def cells(self, place: int, columns: list[str] | None = None) -> pd.DataFrame:
        """The table of the cells of the source at this place: cell, dataset, total, mito, n_genes, keep, reason.

        Raises
        ------
        SourceError
            It is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = self.folder / cells_file(place)
        try:
            with path.open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == self.record["sources"][place]["sha256"]:
                    return pq.read_table(path, columns=columns).to_pandas()
            raise OSError("other bytes than were written")
        except (OSError, pa.ArrowException):
            raise SourceError(f"{path}: missing or damaged; run corpuscle corpus qc again") from None

    def _changed(self, what: str) -> str:
        return f"it has {what} than when it was judged in {self.folder}; run corpuscle corpus qc on it again"

    def _place(self, spec: SourceSpec, counts: Counts) -> int:
        sources = self.record["sources"]
        named = _named_so(spec, [source["name"] for source in sources])
        if not named:
            raise SourceError(
                f"{spec.name}: not among the {len(sources):,} sources judged in {self.folder}; run corpuscle corpus qc on it"
            )
        digest = names_digest(counts)
        problem = ""
        for place in named:
            judged = sources[place]
            problem = _difference(judged, spec, counts, digest)
            if not problem:
                return place
        raise SourceError(f"{spec.name}: {self._changed(problem)}")


def _named_so(spec: SourceSpec, names: list[str]) -> list[int]:
    """Places of the sources of this name; else of this path, however written; else of this file name, as files move."""
    if spec.adata is not None:
        return [place for place, name in enumerate(names) if name == spec.name]
    path = spec.path
    for same in (
        lambda name: name == spec.name,
        lambda name: Path(name).resolve() == path.resolve(),
        lambda name: Path(name).name == path.name,
    ):
        places = [place for place, name in enumerate(names) if same(name)]
        if places:
            return places
    return []


def _difference(judged: dict[str, Any], spec: SourceSpec, counts: Counts, digest: str) -> str:
    if judged["layer"] != spec.layer:
        return "its counts in another layer"
    if (judged["cells"], judged["genes"]) != (counts.n_obs, counts.n_vars):
        return f"another shape ({counts.n_obs:,} cells x {counts.n_vars:,} genes, not {judged['cells']:,} x {judged['genes']:,})"
    return "" if judged["cell_names"] == digest else "other cell names"


def read_qc(folder: str | os.PathLike[str]) -> QCFolder:
    """Open the folder that :func:`corpuscle.corpus.run_qc` wrote.

    Raises
    ------
    SourceError
        It is not such a folder, or of another version.
    """
    path = Path(folder)
    record_path = path / RECORD
    if not record_path.is_file():
        raise SourceError(f"{path}: no quality control ({RECORD}) is there; make one with corpuscle corpus qc")
    try:
        record = json.loads(record_path.read_text("utf-8"))
    except (OSError, ValueError):
        raise SourceError(f"{record_path}: damaged; run corpuscle corpus qc again") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT or not isinstance(record.get("sources"), list):
        raise SourceError(f"{record_path}: not of the format {FORMAT}; run corpuscle corpus qc again")
    return QCFolder(path, record)
