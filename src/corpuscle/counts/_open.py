"""Any source of counts behind one function: what it is, is told by its content rather than by its name."""

from __future__ import annotations

import glob
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from corpuscle.counts._anndata import from_anndata, open_anndata
from corpuscle.counts._archs4 import is_archs4, open_archs4
from corpuscle.counts._counts import Counts
from corpuscle.counts._hdf5_tables import open_loom
from corpuscle.counts._mtx import find_mtx, open_mtx, open_text
from corpuscle.counts._source import Source
from corpuscle.counts._store import Store, closing_on_failure, is_group, reading
from corpuscle.counts._table import open_table
from corpuscle.counts._tenx import genome_groups, open_tenx
from corpuscle.errors import SourceError

__all__ = ["open_counts", "open_path"]

Opener = Callable[[Path, str | None], Source]
KNOWN = ".h5ad, AnnData .zarr, 10x .h5, 10x or Parse folder, .mtx, .loom, ARCHS4 .h5, .csv, .tsv"
HDF5_SUFFIXES = {".h5ad", ".h5", ".hdf5", ".loom"}


def open_counts(source: Any, layer: str | None = None, *, check: bool = True) -> Counts:
    """Open raw counts wherever they are; shapes, names and a sample of the values are read, nothing more.

    Parameters
    ----------
    source
        A path, a glob pattern, a list of those, or an AnnData object. Formats: ``.h5ad``, AnnData ``.zarr``, 10x
        ``.h5`` and folders, Parse folders, ``.mtx`` with its names beside it, ``.loom``, ARCHS4 ``.h5``, and dense
        tables as text, which are parsed whole since their size is not known before. Several are stacked.
    layer
        Matrix to use instead of the main one: a layer, ``"raw"`` for ``raw.X``, or a genome of an old 10x file.
    check
        Refuse what is not raw counts already here, by a sample of up to 256 cells or some millions of values.

    Returns
    -------
    Counts
        A stream of cell blocks. Use it in a ``with`` statement, or close it, to release its files.

    Raises
    ------
    SourceError
        A source is missing, damaged, of an unknown format, or has no such layer.
    NotCountsError
        The values are not raw counts.

    Examples
    --------
    >>> counts = open_counts("study/*.h5ad", layer="counts")  # doctest: +SKIP
    >>> for block in counts.blocks(1024):  # doctest: +SKIP
    ...     print(block.rows, block.x_ng.shape)
    """
    opened: list[Source] = []
    try:
        for item in _items(source):
            opened.append(open_path(item, layer) if isinstance(item, Path) else from_anndata(item, layer))
        return Counts(opened, check=check)
    except BaseException:
        for one in opened:
            one.close()
        raise


def _items(source: Any) -> list[Any]:
    """Paths and AnnData objects, in the order given, those of a glob sorted."""
    given: Iterable[Any] = source if isinstance(source, list | tuple) else [source]
    items = [item for one in given for item in expand_source(one)]
    paths = [item.resolve() for item in items if isinstance(item, Path)]
    if len(set(paths)) < len(paths):
        twice = next(path for i, path in enumerate(paths) if path in paths[:i])
        raise SourceError(f"{twice}: named twice, so its cells would count twice; name it once")
    return items


def expand_source(one: Any) -> list[Any]:
    """The files a glob pattern matches, sorted; a path or an AnnData as it is.

    Raises
    ------
    SourceError
        No file matches, or it is neither.
    """
    if isinstance(one, str | Path):
        path = Path(one).expanduser()
        if path.exists() or not glob.has_magic(str(path)):
            return [path]
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - the pattern may be absolute
        if not found:
            raise SourceError(f"{one}: no file matches; check the pattern")
        return [Path(name) for name in found]
    if hasattr(one, "obs") and hasattr(one, "var") and hasattr(one, "isbacked"):
        return [one]
    raise SourceError(
        f"a {type(one).__name__} is no source; give a path, a glob pattern, a list of those or an AnnData"
    )


def open_path(path: Path, layer: str | None) -> Source:
    """One file or folder as a source, which another process can open again."""
    if not path.exists():
        raise SourceError(f"{path}: there is no such file or folder; check the path")
    with reading(str(path)), closing_on_failure():
        source = _opener(path)(path, layer)
    source.reopen = (path.absolute(), layer)
    return source


def _opener(path: Path) -> Opener:
    """The function that opens this kind of file or folder."""
    if path.is_dir():
        return _folder_opener(path)
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise SourceError(f"{path}: the file is empty; get it again")
    import h5py

    if h5py.is_hdf5(path):
        return _hdf5_opener(path)
    if path.suffix.lower() in HDF5_SUFFIXES:
        raise SourceError(f"{path}: not an HDF5 file, whatever its name says; it is damaged or of another format")
    with open_text(path) as file:
        beginning = file.read(2048)
    if beginning.startswith(b"%%MatrixMarket"):
        return open_mtx
    if beginning.startswith(b"\x89HDF"):
        raise SourceError(f"{path}: an HDF5 file inside gzip cannot be streamed; run gunzip on it first")
    if b"\0" in beginning or path.suffix.lower() in {".rds", ".rda", ".xlsx", ".zip", ".tar"}:
        raise SourceError(f"{path}: of an unknown format; known are: {KNOWN}")
    return open_table


def _folder_opener(path: Path) -> Opener:
    if any((path / name).exists() for name in ("zarr.json", ".zgroup", ".zmetadata")):
        store = Store(path, "zarr")
        if not {"obs", "var"} <= set(store.members()):
            raise SourceError(
                f"{path}: a zarr folder, but not of AnnData (it has no obs and var); write it with AnnData"
            )
        return lambda folder, layer: open_anndata(folder, layer, "zarr")
    if find_mtx(path):
        return open_mtx
    others = [p.name for p in sorted(path.iterdir()) if p.suffix in {".h5ad", ".h5", ".loom", ".zarr", ".mtx"}]
    advice = f"name one of its files, such as {others[0]}, or a pattern" if others else "check the path"
    raise SourceError(
        f"{path}: a folder with nothing known in it: looked for zarr.json or .zgroup (AnnData zarr), matrix.mtx[.gz] "
        f"with features.tsv or genes.tsv and barcodes.tsv (10x), DGE.mtx with all_genes.csv and cell_metadata.csv "
        f"(Parse); {advice}"
    )


def _hdf5_opener(path: Path) -> Opener:
    store = Store(path, "hdf5")
    try:
        keys = set(store.members())
        if {"obs", "var"} <= keys:
            return lambda file, layer: open_anndata(file, layer, "hdf5")
        if "matrix" in keys and is_group(store["matrix"]):
            return open_tenx
        if {"matrix", "row_attrs", "col_attrs"} <= keys:
            return open_loom
        if is_archs4(store):
            return open_archs4
        if genome_groups(store):
            return open_tenx
        if "mod" in keys:
            raise SourceError(f"{path}: a MuData file; write the modality with the counts as .h5ad")
        raise SourceError(
            f"{path}: an HDF5 file of an unknown layout (it has: {', '.join(sorted(keys)[:8]) or 'nothing'}); "
            f"known are: {KNOWN}"
        )
    finally:
        store.close()
