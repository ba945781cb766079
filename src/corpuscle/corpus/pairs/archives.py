"""One chunk of cells on disk: expression, counts, embeddings and annotation in a file that AnnData reads.

The same cells give the same bytes: no times, no random names, members in sorted order. The text rows of a data set name an
archive by its link and its SHA-256.
"""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.corpus.pairs._archive_hash import archive_bytes, archive_sha256, obs_hash
from corpuscle.corpus.pairs._archive_names import restored, restored_name, storable, stored_name
from corpuscle.corpus.pairs._archive_open import MAX_BYTES, archive_format, open_archive
from corpuscle.corpus.pairs._archive_pack import add_bytes
from corpuscle.errors import OptionError, OutputError, SourceError

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse as sp
    from anndata import AnnData

__all__ = ["FORMATS", "Archive", "archive_format", "archive_sha256", "obs_hash", "read_archive", "write_archive"]

FORMATS = ("zarr.zip", "zarr", "h5ad")

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Archive:
    """What was written.

    Attributes
    ----------
    path
        The file, or the folder for ``zarr``.
    format
        ``"zarr.zip"``, ``"zarr"`` or ``"h5ad"``.
    sha256
        Of the bytes of the file; of a folder, of the names and SHA-256 of its files (:func:`archive_sha256`).
    bytes
        Size on disk.
    n_obs
        Cells.
    obsm
        Width and type of every embedding, by key.
    obs_hash
        SHA-256 of the cells' names in order (:func:`obs_hash`).
    """

    path: Path
    format: str
    sha256: str
    bytes: int
    n_obs: int
    obsm: dict[str, tuple[int, str]]
    obs_hash: str


def write_archive(
    path: str | Path,
    x_ng: sp.csr_matrix,
    counts_ng: sp.csr_matrix | None,
    obs: pd.DataFrame,
    var: pd.DataFrame | Sequence[str],
    obsm: Mapping[str, Any] | None = None,
    *,
    format: str = "zarr.zip",
) -> Archive:
    """Write one archive; the same input gives the same bytes.

    Parameters
    ----------
    path
        The file, or the folder for ``format="zarr"``. It must not be there yet.
    x_ng
        Normalised expression, shape (n, g); stored as ``X``, sparse, float32.
    counts_ng
        Raw counts, shape (n, g); stored as ``layers["counts"]``, int32. None: no such layer.
    obs
        One row a cell; its index are the cells' names, which must be unique.
    var
        One row a gene with the genes' names as index, or just the names.
    obsm
        Embeddings by key, each of shape (n, d), dense or sparse; kept in the type they have.
    format
        ``"zarr.zip"`` (a zip with the store at its root), ``"zarr"`` (a folder) or ``"h5ad"``.

    Raises
    ------
    OptionError
        Unknown format, sizes that do not fit each other, or names that are not unique.
    OutputError
        Something is at ``path`` already, or it cannot be written.
    """
    path = Path(path)
    if format not in FORMATS:
        raise OptionError(f"format {format!r} is not one of {', '.join(FORMATS)}; choose one")
    if path.exists() or path.is_symlink():
        raise OutputError(f"{path}: is there already; remove it or choose another name")
    cells = _as_anndata(path, x_ng, counts_ng, obs, var, obsm or {})
    _write_whole(path, cells, {"h5ad": _write_h5ad, "zarr": _write_zarr, "zarr.zip": _write_zip}[format])
    widths = {restored_name(key): (int(value.shape[1]), str(value.dtype)) for key, value in cells.obsm.items()}
    return Archive(
        path=path,
        format=format,
        sha256=archive_sha256(path),
        bytes=archive_bytes(path),
        n_obs=cells.n_obs,
        obsm=dict(sorted(widths.items())),
        obs_hash=obs_hash(cells.obs_names),
    )


def read_archive(
    path: str | Path,
    format: str | None = None,
    keys: Sequence[str] | None = None,
    *,
    matrices: bool = True,
    max_bytes: int = MAX_BYTES,
) -> AnnData:
    """Read an archive, whoever made it; nothing in it is unpickled, followed or executed.

    Only ``X``, ``layers``, ``obs``, ``var`` and ``obsm`` are looked at.

    Parameters
    ----------
    path
        The file or folder.
    format
        What it is; by default found out by its first bytes, never by its name.
    keys
        The entries of ``obsm`` to read; all by default.
    matrices
        Read ``X`` and ``layers``. Without them, reading embeddings costs no more than the embeddings.
    max_bytes
        Refuse what says that it is larger than this once unpacked.

    Raises
    ------
    SourceError
        Nothing there, not of the format, damaged, too large, or with something in it that could do harm.
    OptionError
        An embedding is asked for that is not there; the message names those that are.
    """
    path = Path(path)
    with open_archive(path, format, max_bytes) as root:
        try:
            return _read_parts(path, root, keys, matrices)
        except (OptionError, SourceError):
            raise
        except Exception as error:  # readers raise whatever they meet in a damaged file
            what = " ".join(str(error).split())[:200]
            raise SourceError(f"{path}: is damaged ({type(error).__name__}: {what}); get or build it again") from None


def _as_anndata(
    path: Path,
    x_ng: sp.csr_matrix,
    counts_ng: sp.csr_matrix | None,
    obs: pd.DataFrame,
    var: pd.DataFrame | Sequence[str],
    obsm: Mapping[str, Any],
) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    genes = var if isinstance(var, pd.DataFrame) else pd.DataFrame(index=pd.Index(list(var), dtype=object))
    n, g = len(obs), len(genes)
    for what, names in (("cells", obs.index), ("genes", genes.index)):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise OptionError(f"{path.name}: {what} are not unique, e.g. {str(twice)!r}; give unique names")
    layers = {} if counts_ng is None else {"counts": _canonical(counts_ng, np.int32)}
    for what, matrix in (("x_ng", x_ng), ("counts_ng", counts_ng)):
        if matrix is not None and matrix.shape != (n, g):
            raise OptionError(
                f"{path.name}: {what} has shape {matrix.shape} and the names {(n, g)}; they must be equal"
            )
    for key, value in obsm.items():
        if value.ndim != 2 or value.shape[0] != n:
            raise OptionError(f"{path.name}: embedding {key!r} has shape {value.shape}; it needs ({n}, width)")
    vectors = {stored_name(key): obsm[key] for key in sorted(obsm)}
    return AnnData(X=_canonical(x_ng, np.float32), layers=layers, obs=storable(obs), var=storable(genes), obsm=vectors)


def _canonical(matrix: Any, dtype: type) -> sp.csr_matrix:
    """CSR of one type with sorted columns; what is so already is not copied."""
    import scipy.sparse as sp

    rows = sp.csr_matrix(matrix, dtype=dtype)
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return rows


def _write_whole(path: Path, cells: AnnData, write: Callable[[Path, AnnData], None]) -> None:
    """Write beside ``path`` and rename, so that a name never stands for half an archive."""
    try:
        room = Path(tempfile.mkdtemp(prefix=".writing-", dir=path.parent))
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); check the folder") from None
    try:
        # One fixed name inside: a temporary name must not get into the bytes.
        write(room / "archive", cells)
        (room / "archive").replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror or error}); free space and try again") from None
    except (TypeError, ValueError) as error:
        what = " ".join(str(error).split())[:200]
        raise OutputError(f"{path}: the cells cannot be stored ({what}); drop or rename what it names") from None
    finally:
        shutil.rmtree(room, ignore_errors=True)


def _write_h5ad(path: Path, cells: AnnData) -> None:
    import h5py
    from anndata.io import write_elem

    # Level 1 with shuffling: half the size of none, at a third of the time of the default level.
    packed = {"compression": "gzip", "compression_opts": 1, "shuffle": True}
    with h5py.File(path, "w") as file:
        write_elem(file, "/", cells, dataset_kwargs=packed)


def _write_zarr(path: Path, cells: AnnData) -> None:
    from zarr.storage import LocalStore

    _fill(LocalStore(path), cells)
    mask = os.umask(0)
    os.umask(mask)
    path.chmod(0o777 & ~mask)


def _write_zip(path: Path, cells: AnnData) -> None:
    from zarr.storage import MemoryStore

    # Compressed, one chunk of cells is small; and a store writes its descriptions several times over.
    members: dict[str, Any] = {}
    _fill(MemoryStore(members), cells)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as pack:
        for name in sorted(members):
            add_bytes(pack, name, members.pop(name).as_numpy_array())


def _fill(store: Any, cells: AnnData) -> None:
    import zarr
    from anndata.io import write_elem

    # Version 2 is what readers on both sides of Zarr 3 understand.
    write_elem(zarr.open_group(store, mode="w", zarr_format=2), "/", cells)


def _read_parts(path: Path, root: Any, keys: Sequence[str] | None, matrices: bool) -> AnnData:
    from anndata import AnnData
    from anndata.io import read_elem

    for part in ("obs", "var"):
        if part not in root:
            raise SourceError(f"{path}: has no {part!r}, so it is no archive of cells; give one that AnnData wrote")
    there = {restored_name(key): key for key in root.get("obsm", {})}
    wanted = sorted(there) if keys is None else list(keys)
    missing = [key for key in wanted if key not in there]
    if missing:
        raise OptionError(f"{path}: has no embedding {missing[0]!r}; it has {', '.join(sorted(there)) or 'none'}")
    vectors = {key: read_elem(root["obsm"][there[key]]) for key in wanted}
    layers = {restored_name(key): read_elem(root["layers"][key]) for key in root.get("layers", {})} if matrices else {}
    x_ng = read_elem(root["X"]) if matrices and "X" in root else None
    obs, var = restored(read_elem(root["obs"])), restored(read_elem(root["var"]))
    return AnnData(X=x_ng, layers=layers, obs=obs, var=var, obsm=vectors)
