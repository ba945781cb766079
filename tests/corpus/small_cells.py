"""A few real cells to spoil, what their tokens must be, and what a refusal must look like."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import anndata as ad
import h5py
import numpy as np
import pytest
import scipy.sparse as sp

from corpuscle.corpus.presets import resolve_vocabulary
from corpuscle.corpus.tokenize import tokenize
from corpuscle.corpus.vocabulary import RankVocabulary

GOLDEN = Path(__file__).parent / "golden"


@cache
def v1() -> RankVocabulary:
    return resolve_vocabulary("geneformer-v1")[0]


@cache
def _golden() -> ad.AnnData:
    return ad.read_h5ad(GOLDEN / "input.h5ad")


def cells(n: int = 6) -> ad.AnnData:
    """The first golden cells and the genes that they have."""
    adata = _golden()[:n]
    seen = np.asarray((adata.X != 0).sum(axis=0)).ravel() > 0
    adata = adata[:, seen].copy()
    adata.var_names_make_unique()
    return adata


def write(adata: ad.AnnData, path: Path, spoil: Callable[[h5py.File], None] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    adata.write_h5ad(path)
    if spoil is not None:
        with h5py.File(path, "r+") as file:
            spoil(file)
    return path


def expected(adata: ad.AnnData, ids: Any = None, vocabulary: RankVocabulary | None = None) -> list[list[int]]:
    """Tokens of each cell by the definition: count / median, descending, ties by token, columns of one gene added up."""
    vocabulary = vocabulary or v1()
    place = {gene: i for i, gene in enumerate(vocabulary.gene_ids)}
    slot_f = np.array([place.get(str(gene), -1) for gene in (adata.var["ensembl_id"] if ids is None else ids)])
    x_nf = np.asarray(adata.X.todense() if sp.issparse(adata.X) else adata.X, np.float64)
    x_ng = np.zeros((adata.n_obs, len(place)))
    for f in np.flatnonzero(slot_f >= 0):
        x_ng[:, slot_f[f]] += x_nf[:, f]
    out = []
    for x_g in x_ng:
        found = np.flatnonzero(x_g)
        order = np.lexsort((vocabulary.tokens_g[found], -x_g[found] / vocabulary.medians_g[found]))
        ids_of_cell = vocabulary.tokens_g[found[order]].tolist()
        if vocabulary.special_token:
            ends = vocabulary.specials["<cls>"], vocabulary.specials["<eos>"]
            ids_of_cell = [ends[0], *ids_of_cell[: vocabulary.max_len - 2], ends[1]]
        out.append(ids_of_cell[: vocabulary.max_len])
    return out


def rows(folder: Path) -> Any:
    """The data set as trainers see it."""
    import datasets

    return datasets.load_from_disk(str(folder))


def tokens(source: Any, out: Path, **options: Any) -> list[list[int]]:
    """Build a data set of the source and give its tokens."""
    tokenize(source, out, **options)
    return [list(ids) for ids in rows(out)["input_ids"]]


@contextmanager
def refused(error: type[Exception], *words: object, out: Path) -> Iterator[None]:
    """One line that says all of ``words``, and nothing under the final name."""
    with pytest.raises(error) as caught:
        yield
    message = str(caught.value)
    missing = [str(word) for word in words if str(word).lower() not in message.lower()]
    assert not missing, f"{missing} not in: {message}"
    assert "\n" not in message
    assert not out.exists()
