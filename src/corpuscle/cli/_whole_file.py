"""Cells that are in memory as an ``.h5ad`` file that is there when it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from corpuscle.errors import OutputError

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["write_whole"]


def write_whole(cells: AnnData, out: Path) -> None:
    """Write cells; the file appears when it is complete.

    Raises
    ------
    OutputError
        There is no room, or something of the cells has a type that the format does not know.
    """
    import h5py
    from anndata.io import write_elem

    from corpuscle.normalize._patient_file import complete_or_absent

    with complete_or_absent(out) as patient:
        try:
            with h5py.File(patient, "w") as file:
                write_elem(file, "/", cells)
                patient.check()
        except (OSError, OutputError):
            raise
        except Exception as error:  # what anndata raises for a type it cannot store varies with the type
            reason = " ".join(str(error).split())[:300]
            raise OutputError(
                f"{out}: cannot be stored as h5ad: {reason}; leave it out, or store it as text"
            ) from error
        patient.check()
