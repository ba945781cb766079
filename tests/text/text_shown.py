"""What a method sees, made in memory from 700 real PBMCs: no files, no chain, and so quick."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from text_cells import pbmc

__all__ = ["CL_IDS", "MemoryStore", "PlainShown", "caption", "shown"]

CL_IDS = {
    "CD14+ Monocyte": "CL:0001054",
    "CD19+ B": "CL:0000236",
    "CD56+ NK": "CL:0000623",
    "Dendritic": "CL:0000451",
}


def caption(label: str) -> str:
    return f"This is a {label} cell."


class MemoryStore:
    """Vectors in memory with the face of a store on disk."""

    folder = "memory"

    def __init__(self, ids: list[str], vectors_nd: Any, key: str) -> None:
        self.vectors_nd, self.key, self.width = np.asarray(vectors_nd, np.float32), key, vectors_nd.shape[1]
        self.place = {id: n for n, id in enumerate(ids)}

    def __contains__(self, id: object) -> bool:
        return id in self.place

    def lookup(self, ids: Any) -> Any:
        return self.vectors_nd[[self.place[id] for id in ids]]


@dataclass
class PlainShown:
    """Names as those of what a draw shows."""

    rows: Any
    captions: tuple[str, ...]
    train_types: tuple[str, ...]
    test_types: tuple[str, ...]
    types: tuple[str, ...]
    parts: dict[str, Any]
    vectors_nd: dict[str, Any]
    cl_ids: dict[str, str | None]
    caption_of: dict[str, str]
    organs: tuple[str, ...] = ()
    seed: int = 0
    asked: list[str] = field(default_factory=list)

    def ids(self, part: str) -> list[str]:
        return list(self.parts[part].obs_names)

    def vectors(self, key: str, part: str) -> Any:
        self.asked.append(part)
        return self.vectors_nd[part]

    def store(self, key: str) -> MemoryStore:
        ids = [*self.ids("train"), *self.ids("test")]
        return MemoryStore(ids, np.concatenate([self.vectors_nd["train"], self.vectors_nd["test"]]), f"X_{key}")

    def counts(self, part: str) -> Any:
        return self.parts[part].copy()

    def sentences(self, part: str) -> list[str]:
        from corpuscle.corpus.pairs.sentences import cell_sentences

        return cell_sentences(self.parts[part].X, list(self.parts[part].var_names), 100)


@cache
def _cells() -> Any:
    cells = pbmc()
    counts_ng = cells.X.toarray().astype(float)
    return cells, np.log1p(counts_ng * 10_000 / counts_ng.sum(axis=1, keepdims=True))


def shown(n_train: int = 300, n_test: int = 100, *, left_out: tuple[str, ...] = (), seed: int = 0) -> PlainShown:
    """Training and test cells, drawn at random; types that are left out have no training cell."""
    from anndata import AnnData

    from datasets import Dataset, DatasetDict

    cells, log_ng = _cells()
    types_n = cells.obs["cell_type"].to_numpy(str)
    order = np.random.default_rng(seed).permutation(len(types_n))
    test, rest = order[:n_test], order[n_test:]
    train = rest[~np.isin(types_n[rest], left_out)][:n_train]
    mean_g = log_ng[train].mean(axis=0)
    _, _, axes_dg = np.linalg.svd(log_ng[train] - mean_g, full_matrices=False)
    axes_dg = axes_dg[:20]
    axes_dg *= np.sign(axes_dg.sum(axis=1))[:, None]
    vectors = {
        part: ((log_ng[rows] - mean_g) @ axes_dg.T).astype(np.float32)
        for part, rows in (("train", train), ("test", test))
    }
    train_types, test_types = tuple(types_n[train].tolist()), tuple(types_n[test].tolist())
    captions = tuple(caption(one) for one in train_types)
    types = tuple(sorted({*train_types, *test_types}))
    parts = {part: AnnData(cells.X[rows], var=cells.var) for part, rows in (("train", train), ("test", test))}
    for part, rows in (("train", train), ("test", test)):
        parts[part].obs_names = [f"c{row}" for row in rows]
    rows = DatasetDict(
        train=Dataset.from_dict({"sample_idx": list(parts["train"].obs_names), "positive": list(captions)}),
        test=Dataset.from_dict({"sample_idx": list(parts["test"].obs_names)}),
    )
    return PlainShown(
        rows,
        captions,
        train_types,
        test_types,
        types,
        parts,
        vectors,
        {name: CL_IDS.get(name) for name in types},
        {name: caption(name) for name in sorted(set(train_types))},
        seed=seed,
    )
