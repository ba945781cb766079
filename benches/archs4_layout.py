"""Synthetic bulk counts in each layout of ARCHS4's files, written in blocks.

    python -m benches.archs4_layout OUT.h5 --samples 20000 --genes 60000 --layout v2.2 --chunk 1000,256 --gzip 4

Negative binomial counts of tissues in series with batch effects; some symbols twice, some samples like single cells.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from corpuscle.seeds import stream

LAYOUTS = ("v2.2", "v2.1", "v1", "transcripts")
TISSUES = ("liver", "brain", "muscle", "lung", "kidney", "heart", "blood", "skin", "colon", "pancreas")
LINES = {"liver": "HepG2", "lung": "A549", "kidney": "HEK293", "blood": "K562", "colon": "HCT116"}
#: Samples of a series, samples drawn at a time, and the spread (natural log) of genes, tissues and series.
PER_SERIES, BLOCK = 12, 256
GENE_SD, TISSUE_SD, SERIES_SD, DISPERSION = 2.7, 1.5, 0.25, 0.15
SINGLE_CELLS, TWICE = 0.05, 0.02


@dataclass(frozen=True)
class Design:
    """What is drawn before any count: of samples and of genes."""

    tissue_n: np.ndarray
    series_n: np.ndarray
    single_n: np.ndarray
    depth_n: np.ndarray
    log_mean_tg: np.ndarray
    copied_from_g: np.ndarray

    @classmethod
    def draw(cls, n: int, g: int, seed: int) -> Design:
        rng = stream(seed, "design")
        series_n = np.arange(n) // PER_SERIES
        tissue_of_series = rng.integers(len(TISSUES), size=series_n[-1] + 1)
        single_n = rng.random(n) < SINGLE_CELLS
        deep = 10 ** rng.uniform(6, np.log10(5e7), n)
        depth_n = np.where(single_n, 10 ** rng.uniform(3, 5, n), deep)
        log_mean_g = rng.normal(0, GENE_SD, g)
        shift_tg = rng.normal(0, TISSUE_SD, (len(TISSUES), g)) * (rng.random((len(TISSUES), g)) < 0.15)
        log_mean_tg = log_mean_g + shift_tg
        log_mean_tg -= np.log(np.exp(log_mean_tg).sum(1, keepdims=True))
        copied_from_g = np.arange(g)
        copies = np.sort(rng.choice(np.arange(1, g), min(int(TWICE * g), g - 1), replace=False))
        copied_from_g[copies] = copies - 1
        return cls(tissue_of_series[series_n], series_n, single_n, depth_n, log_mean_tg, copied_from_g)

    def counts(self, start: int, stop: int, seed: int) -> np.ndarray:
        """(genes, samples) uint32 of some samples, the same for any cut at multiples of ``BLOCK``."""
        return np.concatenate(
            [self._block(i, min(i + BLOCK, stop), seed) for i in range(start, stop, BLOCK)], axis=1, dtype=np.uint32
        )

    def _block(self, start: int, stop: int, seed: int) -> np.ndarray:
        rng = stream(seed, "block", str(start))
        g = self.log_mean_tg.shape[1]
        out_gn = np.empty((g, stop - start), np.uint32)
        batch: dict[int, np.ndarray] = {}
        for i in range(start, stop):
            k = int(self.series_n[i])
            if k not in batch:
                batch[k] = stream(seed, "series", str(k)).normal(0, SERIES_SD, g)
            mean_g = np.exp(self.log_mean_tg[self.tissue_n[i]] + batch[k]) * self.depth_n[i]
            noise_g = rng.standard_gamma(1 / DISPERSION, g, dtype=np.float32) * DISPERSION
            out_gn[:, i - start] = rng.poisson(mean_g * noise_g)
        copied = self.copied_from_g != np.arange(g)
        out_gn[copied] = out_gn[self.copied_from_g[copied]]
        out_gn[copied & (np.arange(g) % 5 == 0)] //= 2  # a few copies have lost some
        return out_gn


def write_layout(
    path: Path,
    n_samples: int,
    n_genes: int,
    *,
    layout: str = "v2.2",
    chunk: tuple[int, int] | None = (1000, 256),
    gzip: int | None = 4,
    fletcher32: bool = False,
    seed: int = 0,
) -> Path:
    """Write ``n_samples`` x ``n_genes`` in a layout; chunk is (genes, samples), None for one that is not chunked."""
    if layout not in LAYOUTS:
        raise ValueError(f"layout {layout!r}: one of {', '.join(LAYOUTS)}")
    design = Design.draw(n_samples, n_genes, seed)
    how: dict = {"compression": gzip, "shuffle": gzip is not None, "fletcher32": fletcher32} if chunk else {}
    if chunk:
        how["chunks"] = (min(chunk[0], n_genes), min(chunk[1], n_samples))
    width = BLOCK * max(1, (chunk[1] if chunk else BLOCK) // BLOCK)
    total_n = np.zeros(n_samples)
    with h5py.File(path, "w") as file:
        expression = file.create_dataset("data/expression", (n_genes, n_samples), np.uint32, **how)
        for start in range(0, n_samples, width):
            stop = min(start + width, n_samples)
            x_gn = design.counts(start, stop, seed)
            expression[:, start:stop] = x_gn
            total_n[start:stop] = x_gn.sum(0)
        _write_genes(file, design, layout)
        _write_samples(file, design, layout, total_n, seed)
    return path


def _write_genes(file: h5py.File, design: Design, layout: str) -> None:
    g = design.copied_from_g.size
    symbols = np.array([f"GENE{i}" for i in design.copied_from_g], "S")
    ids = np.array([f"ENSG{i:011d}" for i in range(g)], "S")
    if layout == "v1":
        file["meta/genes"] = symbols
    elif layout == "transcripts":
        file["meta/transcripts/ensembl_id"] = np.array([f"ENST{i:011d}" for i in range(g)], "S")
        file["meta/transcripts/symbol"] = symbols
        file["meta/transcripts/ensembl_gene"] = ids
    else:
        file["meta/genes/symbol" if layout == "v2.2" else "meta/genes/gene_symbol"] = symbols
        file["meta/genes/ensembl_gene"] = ids
        file["meta/genes/biotype"] = np.array(["protein_coding", "lncRNA"], "S")[np.arange(g) % 3 // 2]


def _write_samples(file: h5py.File, design: Design, layout: str, total_n: np.ndarray, seed: int) -> None:
    n = design.tissue_n.size
    rng = stream(seed, "text")
    tissues = np.array(TISSUES)[design.tissue_n]
    line_n = rng.random(n) < 0.3
    fields: dict[str, list[str] | np.ndarray] = {
        "geo_accession": [f"GSM{1_000_000 + i}" for i in range(n)],
        "series_id": [_series(k) for k in design.series_n],
        "title": [f"{t} rep {i % PER_SERIES + 1}" for i, t in enumerate(tissues)],
        "source_name_ch1": [LINES.get(t, t) if line else t for t, line in zip(tissues, line_n, strict=True)],
        "characteristics_ch1": [
            f"cell line: {LINES[t]},organ: {t}" if line and t in LINES else f"tissue: {t},sex: {'fm'[i % 2]}"
            for i, (t, line) in enumerate(zip(tissues, line_n, strict=True))
        ],
        "organism_ch1": ["Homo sapiens"] * n,
        "alignedreads": total_n,
        "singlecellprobability": np.where(design.single_n, rng.uniform(0.5, 1, n), rng.uniform(0, 0.4, n)),
    }
    info = "info" if layout == "v1" else "meta/info"
    for key, value in {"version": layout if layout in ("v1", "v2.1") else "2.2", "creation-date": "2022-01-01"}.items():
        file[f"{info}/{key}"] = np.array([value], "S")
    prefix = "meta/Sample_" if layout == "v1" else "meta/samples/"
    for name, values in fields.items():
        file[prefix + name] = values if isinstance(values, np.ndarray) else np.array(values, "S")


def _series(k: int) -> str:
    """Every tenth series also belongs to a larger one, which three of those share."""
    return f"GSE{1000 + k}" + (f",GSE{900_000 + k // 30}" if k % 10 == 0 else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--genes", type=int, default=60_000)
    parser.add_argument("--layout", choices=LAYOUTS, default="v2.2")
    parser.add_argument("--chunk", default="1000,256", help="Genes,samples; 0 for an array that is not chunked.")
    parser.add_argument("--gzip", type=int, default=4, help="0 for none.")
    parser.add_argument("--fletcher32", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    genes, _, samples = args.chunk.partition(",")
    chunk = (int(genes), int(samples)) if samples else None
    how = {"layout": args.layout, "chunk": chunk, "gzip": args.gzip or None, "fletcher32": args.fletcher32}
    half = args.out.with_name(args.out.name + ".half")
    write_layout(half, args.samples, args.genes, **how, seed=args.seed)
    half.replace(args.out)


if __name__ == "__main__":
    main()
