"""Small files in every layout of ARCHS4, by h5py alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np

LAYOUTS = ("v2.2", "v2.1", "v1", "transcripts")


def bulk(n: int = 7, g: int = 11, seed: int = 0) -> np.ndarray:
    """Samples x genes, about a third zeros, no empty sample."""
    rng = np.random.default_rng(seed)
    x_ng = rng.negative_binomial(0.7, 0.02, (n, g)).astype(np.uint32)
    x_ng[:, 0] += 1
    return x_ng


def metadata(n: int) -> dict[str, Any]:
    return {
        "geo_accession": np.array([f"GSM{i}" for i in range(n)], "S"),
        "series_id": np.array([f"GSE{i // 3}" for i in range(n)], "S"),
        "title": np.array(["caf\xe9".encode("latin-1"), *[b"rep"] * (n - 1)], "S"),
        "source_name_ch1": np.array(["Leber"] * n, "S"),
        "characteristics_ch1": np.array(["tissue: liver\tsex: f"] * n, "S"),
        "singlecellprobability": np.linspace(0, 1, n),
        "alignedreads": np.full(n, np.nan),
    }


def write_archs4(
    path: Path,
    x_ng: np.ndarray,
    layout: str = "v2.2",
    *,
    symbols: list[str] | None = None,
    fields: dict[str, Any] | None = None,
    leave_out: tuple[str, ...] = (),
    cells_axis: int = 1,
    **how: Any,
) -> Path:
    """Write ``x_ng`` in a layout; ``how`` is h5py's: chunks (genes, samples), compression and so on."""
    n, g = x_ng.shape
    symbols = symbols or [f"SYM{i}" for i in range(g)]
    ids = np.array([f"ENSG{i:011d}" for i in range(g)], "S")
    with h5py.File(path, "w") as file:
        file.create_dataset("data/expression", data=x_ng.T if cells_axis else x_ng, **how)
        file[f"{'' if layout == 'v1' else 'meta/'}info/version"] = np.array(["7" if layout == "v1" else "2.x"], "S")
        file[f"{'' if layout == 'v1' else 'meta/'}info/creation-date"] = np.array(["2022-01-01"], "S")
        if layout == "v1":
            file["meta/genes"] = np.array(symbols, "S")
        elif layout == "transcripts":
            file["meta/transcripts/ensembl_id"] = np.array([f"ENST{i:011d}" for i in range(g)], "S")
        else:
            file["meta/genes/symbol" if layout == "v2.2" else "meta/genes/gene_symbol"] = np.array(symbols, "S")
            file["meta/genes/ensembl_gene"] = ids
        for name, values in (metadata(n) if fields is None else fields).items():
            if name not in leave_out:
                file[f"meta/Sample_{name}" if layout == "v1" else f"meta/samples/{name}"] = values
    return path


def chunk_place(path: Path, place: tuple[int, int]) -> tuple[int, int]:
    """(offset in the file, bytes) of the chunk that begins at ``place``."""
    with h5py.File(path) as file:
        info = file["data/expression"].id.get_chunk_info_by_coord(place)
        return info.byte_offset, info.size


def flip(path: Path, offset: int) -> None:
    """Change one byte."""
    content = bytearray(path.read_bytes())
    content[offset] ^= 0xFF
    path.write_bytes(content)
