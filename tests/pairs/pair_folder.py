"""A small data set of pairs, made by hand from real cells, with everything that a manifest lists."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pair_cells import pbmc68k

from corpuscle.corpus.pairs.archives import Archive, write_archive
from corpuscle.corpus.pairs.card import render_card
from corpuscle.corpus.pairs.manifest import (
    ArchiveEntry,
    CaptionEntry,
    EmbedderEntry,
    NegativesEntry,
    PairsManifest,
    SourceEntry,
    SplitEntry,
    StepEntry,
    write_pairs_manifest,
)

__all__ = ["make_folder", "manifest_of"]

SHA = hashlib.sha256(b"").hexdigest()


def make_folder(
    folder: Path, *, splits: tuple[str, ...] = ("train", "test"), format: str = "zarr.zip", **about: Any
) -> Path:
    """Write ``folder``: 40 cells a split, each split with an archive of its own and a 3-dimensional embedding."""
    from datasets import Dataset, DatasetDict

    cells = pbmc68k()
    (folder / "archives").mkdir(parents=True)
    (folder / "embedders").mkdir()
    (folder / "embedders" / "pca.npz").write_bytes(b"numbers")
    rows, entries = {}, []
    for place, split in enumerate(splits):
        part = cells[place * 40 : place * 40 + 40]
        file = f"archives/{split} 0.{format}"
        vectors = {"X_pca": np.asarray(part.X[:, :3].todense(), np.float32)}
        counts_ng = part.X.astype(np.int32)
        log_ng = part.layers["logged"]
        archive = write_archive(
            folder / file,
            log_ng,
            counts_ng,
            part.obs[["cell_type", "donor"]],
            list(part.var_names),
            vectors,
            format=format,
        )
        entries.append(_entry(archive, file, split))
        table = pd.DataFrame({"sample_idx": part.obs_names, "obs_name": part.obs_names})
        table["cell_sentence_1"] = table["sample_idx"]
        table["cell_sentence_2"] = [f"GENE{k} ACTB" for k in range(40)]
        table["positive"] = [f"a {word} cell" for word in part.obs["cell_type"]]
        table["adata_link"], table["adata_sha256"], table["adata_format"] = file, archive.sha256, format
        rows[split] = Dataset.from_pandas(table, preserve_index=False)
    DatasetDict(rows).save_to_disk(str(folder))
    manifest = manifest_of(entries, tuple(rows[splits[0]].column_names), splits, **about)
    write_pairs_manifest(folder, manifest)
    (folder / "README.md").write_text(render_card(manifest, rows[splits[0]][0]), encoding="utf-8")
    return folder


def manifest_of(
    entries: list[ArchiveEntry], columns: tuple[str, ...], splits: tuple[str, ...], **about: Any
) -> PairsManifest:
    """A manifest with something in every part."""
    known: dict[str, Any] = {
        "name": "PBMC in words",
        "row_format": "multiplets",
        "columns": columns,
        "splits": {split: SplitEntry(rows=40, cells=40, groups=8) for split in splits},
        "split_by": "donor",
        "seed": 0,
        "archives": tuple(entries),
        "sources": (
            SourceEntry("pbmc", 700, 80, "counts", SHA, "CC-BY-4.0", "Zheng et al. 2017", "https://example.org/pbmc"),
        ),
        "steps": (StepEntry("pbmc", "genes", "cells", 700, 12, "fewer than 200 genes"),),
        "embedders": (EmbedderEntry("pca", "X_pca", 3, "embedders/pca.npz", SHA, "train", 40),),
        "captions": CaptionEntry("a {cell_type} cell", 10, 3),
        "negatives": NegativesEntry(2, ("caption", "sentence"), True, 0, False, {"same batch": 80}),
        "sentence_genes": 128,
        "licence": "cc-by-4.0",
        "versions": {"corpuscle": "1.0"},
    }
    return PairsManifest(**{**known, **about})


def _entry(archive: Archive, file: str, split: str) -> ArchiveEntry:
    return ArchiveEntry(
        link=file,
        file=file,
        split=split,
        format=archive.format,
        sha256=archive.sha256,
        bytes=archive.bytes,
        n_obs=archive.n_obs,
        obsm=archive.obsm,
        obs_hash=archive.obs_hash,
        sources=("pbmc",),
    )
