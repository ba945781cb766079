"""One small matrix and a writer for every format, layout and orientation it can be stored in."""

from __future__ import annotations

import gzip
import warnings
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import scipy.sparse as sp

GENES = ["ACTB", "MALAT1", "B2M", "CD3D", "CD3E", "MS4A1", "NKG7"]
IDS = [f"ENSG{i:011d}" for i in range(len(GENES))]
CELLS = [f"{bases}-1" for bases in ("AAACCTGAGT", "AAACCTGCAA", "AAACGGGTCA", "AAAGATGGTT", "AACACGTCAG")]


def golden(big: int = 0) -> np.ndarray:
    """5 cells x 7 genes: cell 2 is empty, gene 4 is empty, and one count may be ``big``."""
    x_ng = np.array(
        [
            [1, 0, 3, 0, 0, 2, 0],
            [0, 7, 0, 0, 0, 0, 1],
            [0, 0, 0, 0, 0, 0, 0],
            [5, 0, 0, 4, 0, 0, 9],
            [2, 2, 1, 0, 0, 1, 0],
        ],
        dtype=np.int64,
    )
    x_ng[3, 0] = big or x_ng[3, 0]
    return x_ng


def golden_adata(x: object, **kwargs: object) -> ad.AnnData:
    obs = pd.DataFrame({"batch": pd.Categorical(list("aabba"))}, index=CELLS)
    var = pd.DataFrame({"gene_id": IDS}, index=GENES)
    return ad.AnnData(x, obs=obs, var=var, uns={"sample_id": "S1", "reporters": {"EGFP": {"target": "B2M"}}}, **kwargs)


def _h5ad(to_layout: Callable[[np.ndarray], object], dtype: str) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, x_ng: np.ndarray) -> Path:
        golden_adata(to_layout(x_ng.astype(dtype))).write_h5ad(folder / "x.h5ad")
        return folder / "x.h5ad"

    return write


def _h5ad_chunked_by_gene(folder: Path, x_ng: np.ndarray) -> Path:
    path = _h5ad(np.asarray, "int64")(folder, x_ng)
    with h5py.File(path, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=x_ng, chunks=(x_ng.shape[0], 2), compression="gzip")
        file["X"].attrs.update(attributes)
    return path


def _h5ad_big_endian(folder: Path, x_ng: np.ndarray) -> Path:
    path = _h5ad(sp.csr_matrix, "int64")(folder, x_ng)
    with h5py.File(path, "r+") as file:
        data = file["X/data"][:].astype(">f8")
        del file["X/data"]
        file["X/data"] = data
    return path


def _zarr(to_layout: Callable[[np.ndarray], object], version: int) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, x_ng: np.ndarray) -> Path:
        with ad.settings.override(zarr_write_format=version), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            golden_adata(to_layout(x_ng)).write_zarr(folder / "x.zarr")
        return folder / "x.zarr"

    return write


def tenx_v3(folder: Path, x_ng: np.ndarray, extra: int = 0) -> Path:
    """Version 3, with ``extra`` antibody features before the genes."""
    n, g = x_ng.shape
    x_gn = sp.csc_matrix(np.vstack([np.full((extra, n), 4), x_ng.T]))
    with h5py.File(folder / "x.h5", "w") as file:
        matrix = file.create_group("matrix")
        for key in ("data", "indices", "indptr"):
            matrix[key] = getattr(x_gn, key)
        matrix["shape"] = np.array(x_gn.shape, np.int32)
        matrix["barcodes"] = np.array(CELLS[:n], "S")
        matrix["features/id"] = np.array([f"AB{i}" for i in range(extra)] + IDS[:g], "S")
        matrix["features/name"] = np.array([f"CD{i}_TotalSeq" for i in range(extra)] + GENES[:g], "S")
        matrix["features/feature_type"] = np.array(["Antibody Capture"] * extra + ["Gene Expression"] * g, "S")
        matrix["features/genome"] = np.array([""] * extra + ["GRCh38"] * g, "S")
    return folder / "x.h5"


def tenx_v2(folder: Path, x_ng: np.ndarray, genomes: tuple[str, ...] = ("hg19",)) -> Path:
    x_gn = sp.csc_matrix(x_ng.T)
    with h5py.File(folder / "x.h5", "w") as file:
        for genome in genomes:
            for key in ("data", "indices", "indptr"):
                file[f"{genome}/{key}"] = getattr(x_gn, key)
            file[f"{genome}/shape"] = np.array(x_gn.shape)
            file[f"{genome}/barcodes"] = np.array(CELLS, "S")
            file[f"{genome}/genes"] = np.array(IDS, "S")
            file[f"{genome}/gene_names"] = np.array(GENES, "S")
    return folder / "x.h5"


def mtx_text(x: np.ndarray, *, shuffle: bool = False, separator: str = " ", field: str = "integer") -> str:
    """Matrix Market text; entries by column as Cell Ranger writes them, or in no order."""
    columns, rows = np.nonzero(x.T)
    order = np.random.default_rng(0).permutation(rows.size) if shuffle else np.arange(rows.size)
    lines = [separator.join(map(str, (rows[i] + 1, columns[i] + 1, x[rows[i], columns[i]]))) for i in order]
    head = [
        f"%%MatrixMarket matrix coordinate {field} general",
        "%metadata: none",
        f"{x.shape[0]} {x.shape[1]} {rows.size}",
    ]
    return "\n".join(head + lines) + "\n"


def put(path: Path, content: str) -> Path:
    """Write text, with gzip where the name ends so."""
    path.write_bytes(gzip.compress(content.encode()) if path.suffix == ".gz" else content.encode())
    return path


def _mtx(version: int, prefix: str = "", **how: object) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, x_ng: np.ndarray) -> Path:
        folder = folder / "run"
        folder.mkdir()
        gz = ".gz" if version == 3 else ""
        kind = "\tGene Expression" if version == 3 else ""
        features = "features" if version == 3 else "genes"
        put(folder / f"{prefix}matrix.mtx{gz}", mtx_text(x_ng.T, **how))
        put(
            folder / f"{prefix}{features}.tsv{gz}",
            "".join(f"{i}\t{s}{kind}\n" for i, s in zip(IDS, GENES, strict=True)),
        )
        put(folder / f"{prefix}barcodes.tsv{gz}", "".join(f"{cell}\n" for cell in CELLS))
        return folder / f"{prefix}matrix.mtx{gz}" if prefix else folder

    return write


def parse_folder(folder: Path, x_ng: np.ndarray) -> Path:
    folder = folder / "parse"
    folder.mkdir()
    put(folder / "DGE.mtx", mtx_text(x_ng))
    rows = "".join(f"{i},{s},hg38\n" for i, s in zip(IDS, GENES, strict=True))
    put(folder / "all_genes.csv", "gene_id,gene_name,genome\n" + rows)
    put(folder / "cell_metadata.csv", "bc_wells,sample\n" + "".join(f"{cell},s1\n" for cell in CELLS))
    return folder


def _loom(chunks: tuple[int, int] | None) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, x_ng: np.ndarray) -> Path:
        with h5py.File(folder / "x.loom", "w") as file:
            file.create_dataset("matrix", data=x_ng.T, chunks=chunks)
            file["layers/doubled"] = x_ng.T * 2
            file["row_attrs/Gene"], file["row_attrs/Accession"] = np.array(GENES, "S"), np.array(IDS, "S")
            file["col_attrs/CellID"], file["col_attrs/depth"] = np.array(CELLS, "S"), x_ng.sum(1)
        return folder / "x.loom"

    return write


def _archs4(folder: Path, x_ng: np.ndarray) -> Path:
    with h5py.File(folder / "x.h5", "w") as file:
        file.create_dataset("data/expression", data=x_ng.T.astype(np.uint64), chunks=(3, 1))
        file["meta/genes/symbol"], file["meta/genes/ensembl_gene"] = np.array(GENES, "S"), np.array(IDS, "S")
        file["meta/samples/geo_accession"] = np.array(CELLS, "S")
    return folder / "x.h5"


def _table(
    by_gene: bool, separator: str = ",", suffix: str = ".csv", corner: str | None = ""
) -> Callable[[Path, np.ndarray], Path]:
    def write(folder: Path, x_ng: np.ndarray) -> Path:
        rows, columns, x = (GENES, CELLS, x_ng.T) if by_gene else (CELLS, GENES, x_ng)
        lines = [[*([] if corner is None else [corner]), *columns]]
        lines += [[name, *map(str, values)] for name, values in zip(rows, x, strict=True)]
        return put(folder / f"x{suffix}", "".join(separator.join(line) + "\n" for line in lines))

    return write


#: Every way to store the golden matrix that is to come back the same.
WRITERS: dict[str, Callable[[Path, np.ndarray], Path]] = {
    "h5ad csr int64": _h5ad(sp.csr_matrix, "int64"),
    "h5ad csr float64": _h5ad(sp.csr_matrix, "float64"),
    "h5ad csr uint64": _h5ad(sp.csr_matrix, "uint64"),
    "h5ad csr big-endian": _h5ad_big_endian,
    "h5ad csc": _h5ad(sp.csc_matrix, "int64"),
    "h5ad dense": _h5ad(np.asarray, "float64"),
    "h5ad dense by gene": _h5ad_chunked_by_gene,
    "zarr 2 csr": _zarr(sp.csr_matrix, 2),
    "zarr 2 dense": _zarr(np.asarray, 2),
    "zarr 3 csr": _zarr(sp.csr_matrix, 3),
    "zarr 3 csc": _zarr(sp.csc_matrix, 3),
    "10x h5 v3": tenx_v3,
    "10x h5 v2": tenx_v2,
    "10x mtx v3": _mtx(3),
    "10x mtx v2": _mtx(2, shuffle=True),
    "mtx prefixed, blanks": _mtx(3, prefix="GSM1_", separator="  "),
    "mtx real": _mtx(2, field="real"),
    "parse": parse_folder,
    "loom": _loom((2, 2)),
    "loom contiguous": _loom(None),
    "archs4": _archs4,
    "csv cells x genes": _table(by_gene=False),
    "csv genes x cells": _table(by_gene=True),
    "tsv.gz genes x cells, R": _table(by_gene=True, separator="\t", suffix=".tsv.gz", corner=None),
}
