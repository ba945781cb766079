"""What was found of cells, put beside the rest of their file: little is read and little written, never the matrix."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate._light import PLACES, h5ad_of, names_in, obs_group
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.normalize._patient_file import PatientFile, complete_or_absent

if TYPE_CHECKING:
    import h5py
    from anndata import AnnData

    from corpuscle.counts import Counts

__all__ = ["check_target", "save_found"]

#: Bytes copied at once.
COPIED = 1 << 24


def check_target(out: Path, source: Any, *, force: bool = False) -> None:
    """Refuse a target that cannot be written or must not be, before any work is done.

    Raises
    ------
    OptionError
        Its name does not end in ``.h5ad``.
    OutputError
        It is a folder, the source itself, or there already; or its folder is missing.
    """
    from corpuscle.counts._open import expand_source

    if out.suffix != ".h5ad":
        raise OptionError(f"{out}: its name must end in .h5ad")
    if out.is_dir():
        raise OutputError(f"{out}: is a folder; give the name of a file")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: there is no folder {out.parent}; make it first")
    if not out.exists():
        return
    if any(isinstance(item, Path) and item.exists() and out.samefile(item) for item in expand_source(source)):
        raise OutputError(f"{out}: is the source itself; give another name with -o")
    if not force:
        raise OutputError(f"{out}: is there already; give another name, or --force to replace it")


def save_found(
    found: AnnData, source: Any, out: str | Path, *, layer: str | None = None, logged: bool = False, force: bool = False
) -> None:
    """Write the cells of ``source`` with everything that ``found`` has, as one ``.h5ad`` file.

    An ``.h5ad`` source is copied as it is and what was found is added to the copy; of any other source the matrix is
    streamed into X, as counts (or as the logged values that it holds).

    Parameters
    ----------
    found
        Of the same cells, without expression: obs, obsm, obsp and uns are added; equal names are replaced.
    source
        A path, glob pattern or list of them.
    out
        The file; it appears when it is complete.
    layer, logged
        The matrix, as it was read.
    force
        Replace a file that is there.

    Raises
    ------
    OutputError
        The file is there already, the disk is full, permission is missing, or something cannot be stored.
    SourceError
        The source cannot be read, or has other cells.
    """
    import h5py

    out = Path(out)
    check_target(out, source, force=force)
    path = h5ad_of(source)
    with complete_or_absent(out) as patient:
        if path is not None:
            _copy(path, patient)
        with h5py.File(patient, "w" if path is None else "r+") as file:
            if path is None:
                _write_cells(file, patient, source, layer, logged)
            _check_cells(file, out, found)
            _add(file, patient, found, out)
        patient.check()


def _copy(path: Path, patient: PatientFile) -> None:
    with path.open("rb") as source:
        while piece := source.read(COPIED):
            patient.write(piece)
            patient.check()
    patient.seek(0)


def _write_cells(file: h5py.File, patient: PatientFile, source: Any, layer: str | None, logged: bool) -> None:
    from corpuscle.counts import open_counts

    with open_counts(source, layer, check=not logged) as counts:
        _write_frames(file, counts)
        _write_matrix(file, patient, counts, logged)


def _write_frames(file: h5py.File, counts: Counts) -> None:
    import anndata

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # names that repeat are the source's
            cells = anndata.AnnData(obs=counts.obs.copy(), var=counts.var.copy(), uns=dict(counts.uns))
            anndata.io.write_elem(file, "/", cells)
    except OSError:
        raise
    except Exception as error:  # what anndata raises for a type it cannot store varies with the type
        reason = " ".join(str(error).split())[:300]
        raise OutputError(f"{counts.name}: obs, var or uns cannot be stored as h5ad: {reason}; remove it") from error


def _write_matrix(file: h5py.File, patient: PatientFile, counts: Counts, logged: bool) -> None:
    from corpuscle.normalize._h5ad import SparseWriter

    if "X" in file:
        del file["X"]
    writer = SparseWriter(file, "X", (counts.n_obs, counts.n_vars), "csr", np.float32 if logged else np.int32)
    for block in counts.blocks(fractional=logged):
        writer.append(block.x_ng)
        patient.check()
    writer.finish()


def _check_cells(file: h5py.File, out: Path, found: AnnData) -> None:
    obs = obs_group(file, out)
    n = obs[obs.attrs["_index"]].shape[0]
    if n != found.n_obs:
        raise SourceError(f"{out}: what was found is of {found.n_obs:,} cells and the source has {n:,}")


def _add(file: h5py.File, patient: PatientFile, found: AnnData, out: Path) -> None:
    from anndata.io import write_elem

    obs = obs_group(file, out)
    gone = _forget(file, found)
    for name in found.obs:
        column = found.obs[name]
        values = column.array if hasattr(column, "cat") else column.to_numpy()
        _write(obs, str(name), values, out, patient)
    order = [str(name) for name in obs.attrs.get("column-order", []) if name not in gone]
    order += [str(name) for name in found.obs if str(name) not in order]
    obs.attrs["column-order"] = order if order else np.array([], dtype=float)
    for place in PLACES:
        if place not in file:
            write_elem(file, place, {})
        for name, element in getattr(found, place).items():
            _write(file[place], str(name), element, out, patient)


def _forget(file: h5py.File, found: AnnData) -> set[str]:
    """Remove what an earlier run made of labels that are replaced now, so that no file mixes the two.

    Returns the names that are gone.
    """
    named_anew = "annotation" in found.uns
    old = ["annotation"] if named_anew else []
    if named_anew or _text(file, "uns/rolled_up/of") in found.obs:
        old.append("rolled_up")
    for name in names_in(file, "uns") if named_anew else ():
        if _text(file, f"uns/{name}/logits_key") in found.obsm:
            old.append(name)
    ends = ("", "_label", "_confidence", "_margin", "_changed", "_cl_id", "_logits")
    stale = {f"{key}{end}" for key in old for end in ends}
    for place in ("obs", "obsm", "uns"):
        for name in stale & set(names_in(file, place)):
            del file[place][name]
    return stale


def _text(file: h5py.File, key: str) -> str:
    """Text that is stored under a key, empty if there is none."""
    import h5py

    found = file.get(key)
    is_text = isinstance(found, h5py.Dataset) and found.shape == () and h5py.check_string_dtype(found.dtype)
    return str(found.asstr()[()]) if is_text else ""


def _write(group: h5py.Group, name: str, element: Any, out: Path, patient: PatientFile) -> None:
    from anndata.io import write_elem

    if "/" in name:
        raise OutputError(f"{out}: {name!r} cannot be a name in an h5ad file; rename it without the slash")
    if name in group:
        del group[name]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            write_elem(group, name, element)
    except OSError:
        raise
    except Exception as error:  # as above
        reason = " ".join(str(error).split())[:300]
        raise OutputError(f"{out}: {group.name.strip('/')}/{name} cannot be stored as h5ad: {reason}") from error
    patient.check()
