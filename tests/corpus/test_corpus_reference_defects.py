"""What Geneformer's own tokenizer gets wrong in silence, and what must happen instead: end to end, one test each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from small_cells import cells, expected, refused, rows, tokens, v1, write

from corpuscle.corpus.compat import TranscriptomeTokenizer
from corpuscle.corpus.manifest import read_manifest
from corpuscle.corpus.tokenize import tokenize
from corpuscle.errors import GeneError, NotCountsError, OptionError


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "cells.dataset"


def test_zeros_stored_in_the_matrix_are_no_tokens(tmp_path: Path, out: Path) -> None:
    adata = cells()
    x_ng = adata.X.copy()
    first = np.setdiff1d(np.arange(x_ng.shape[1]), x_ng[0].indices)  # what the first cell does not have
    data = np.concatenate([x_ng.data, np.zeros(first.size)])
    indices = np.concatenate([x_ng.indices, first])
    cell = np.concatenate([np.repeat(np.arange(6), np.diff(x_ng.indptr)), np.zeros(first.size, int)])
    order = np.lexsort((indices, cell))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(cell, minlength=6))])
    adata.X = sp.csr_matrix((data[order], indices[order], indptr), x_ng.shape)
    path = write(adata, tmp_path / "zeros.h5ad")
    with h5py.File(path) as file:
        assert (file["X/data"][:] == 0).sum() == first.size
    assert tokens(path, out) == expected(cells())


@pytest.mark.parametrize("n_counts", [0.0, np.nan])
def test_a_depth_of_zero_or_nan_never_scrambles_the_order(n_counts: float, tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs.iloc[3, adata.obs.columns.get_loc("n_counts")] = n_counts
    path = write(adata, tmp_path / "depth.h5ad")
    with refused(NotCountsError, "depth.h5ad", "n_counts", adata.obs_names[3], "--depth computed", out=out):
        tokenize(path, out, keep_counts=True)
    assert tokens(path, out, keep_counts=True, depth="computed") == expected(cells())


@pytest.mark.parametrize(("value", "kind"), [(-1.0, "negative"), (np.nan, "NaN")])
def test_a_negative_or_missing_count_is_an_error_that_names_cell_and_gene(
    value: float, kind: str, tmp_path: Path, out: Path
) -> None:
    adata = cells()
    adata.X.data[adata.X.indptr[4] + 2] = value
    gene = adata.var_names[adata.X.indices[adata.X.indptr[4] + 2]]
    path = write(adata, tmp_path / "bad.h5ad")
    with refused(NotCountsError, "bad.h5ad", kind, f"cell {adata.obs_names[4]}", f"gene {gene}", out=out):
        tokenize(path, out)


def _split(adata: Any, genes: np.ndarray, rename: Any = lambda gene: gene) -> Any:
    """The counts of some genes split over two columns, the second under the name ``rename`` gives it."""
    import anndata as ad

    x_ng = np.asarray(adata.X.todense())
    part = np.minimum(x_ng[:, genes], 1)
    x_ng[:, genes] -= part
    twice = ad.AnnData(np.hstack([x_ng, part]), obs=adata.obs)
    twice.var["ensembl_id"] = [*adata.var["ensembl_id"], *(rename(g) for g in adata.var["ensembl_id"].iloc[genes])]
    return twice


def _expressed(adata: Any, n: int) -> np.ndarray:
    """Vocabulary genes with the highest counts."""
    ids = adata.var["ensembl_id"].isin(v1().gene_ids).to_numpy()
    return np.argsort(-np.asarray(adata.X.sum(axis=0)).ravel() * ids, kind="stable")[:n]


def test_columns_with_the_same_id_are_added_up_and_the_token_comes_once(tmp_path: Path, out: Path) -> None:
    adata = cells()
    twice = _split(adata, _expressed(adata, 5))
    twice.X = sp.csr_matrix(twice.X)
    found = tokens(write(twice, tmp_path / "twice.h5ad"), out)
    assert found == expected(adata)
    assert all(len(set(ids)) == len(ids) for ids in found)


def test_ids_that_differ_in_letter_case_are_one_gene(tmp_path: Path, out: Path) -> None:
    adata = cells()
    twice = _split(adata, _expressed(adata, 5), str.lower)
    twice.X = sp.csr_matrix(twice.X)
    assert tokens(write(twice, tmp_path / "case.h5ad"), out) == expected(adata)
    assert read_manifest(out)["sources"][0]["match"]["by"]["case"] == 5


def test_ids_may_be_kept_apart_where_each_is_there_once(tmp_path: Path) -> None:
    adata = cells()
    adata = adata[:, ~adata.var["ensembl_id"].duplicated()].copy()
    write(adata, tmp_path / "in" / "cells.h5ad")
    tk = TranscriptomeTokenizer(model_version="V1", collapse_gene_ids=False)
    tk.tokenize_data(tmp_path / "in", tmp_path, "apart", file_format="h5ad")
    assert [list(ids) for ids in rows(tmp_path / "apart.dataset")["input_ids"]] == expected(adata)


@pytest.mark.parametrize("attrs", [None, {"cell_id": "cell"}])
def test_a_cell_without_vocabulary_genes_is_left_out_and_counted(
    attrs: dict[str, str] | None, tmp_path: Path, out: Path
) -> None:
    adata = cells()
    x_ng = adata.X.tolil()
    x_ng[2] = 0
    adata.X = x_ng.tocsr()
    path = write(adata, tmp_path / "empty.h5ad")
    want = expected(adata)
    assert want[2] == []
    assert tokens(path, out, attrs=attrs) == want[:2] + want[3:]
    source = read_manifest(out)["sources"][0]
    assert source["dropped"]["no vocabulary gene"] == 1
    assert (source["cells"], source["rows"]) == (6, 5)
    if attrs:
        assert list(rows(out)["cell"]) == [*adata.obs_names[:2], *adata.obs_names[3:]]


def test_symbols_that_are_not_mapped_are_an_error_that_says_what_they_look_like(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.var["ensembl_id"] = adata.var["symbol"].to_numpy()
    path = write(adata, tmp_path / "symbols.h5ad")
    with refused(GeneError, "symbols.h5ad", "symbol", out=out):
        tokenize(path, out, gene_column="ensembl_id", symbols="never")


def test_mouse_ids_are_an_error_that_says_so(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.var = adata.var[[]].set_axis([f"ENSMUSG{i:011d}" for i in range(adata.n_vars)])
    path = write(adata, tmp_path / "mouse.h5ad")
    with refused(GeneError, "mouse.h5ad", "mouse", "orthologs", out=out):
        tokenize(path, out)


def test_version_suffixes_are_understood(tmp_path: Path, out: Path) -> None:
    adata = cells()
    want = expected(adata)
    ids = adata.var["ensembl_id"]
    adata.var["ensembl_id"] = [f"{gene}.7" if gene.startswith("ENSG") else gene for gene in ids]
    assert tokens(write(adata, tmp_path / "versions.h5ad"), out) == want


@pytest.mark.parametrize("kind", ["log1p", "scaled"])
def test_normalised_values_are_refused(kind: str, tmp_path: Path, out: Path) -> None:
    adata = cells()
    x_ng = np.log1p(adata.X.todense() * 1.7)
    adata.X = np.asarray(x_ng if kind == "log1p" else x_ng - x_ng.mean(axis=0), np.float32)
    path = write(adata, tmp_path / "norm.h5ad")
    with refused(NotCountsError, "norm.h5ad", "not raw counts", f"cell {adata.obs_names[0]}", out=out):
        tokenize(path, out)
    if kind == "scaled":
        with refused(NotCountsError, "norm.h5ad", "negative", out=out):
            tokenize(path, out, allow_fractional=True)


def test_fractional_counts_may_be_forced(tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.X.data = adata.X.data * np.float32(0.75)
    path = write(adata, tmp_path / "ambient.h5ad")
    with refused(NotCountsError, "ambient.h5ad", "fractional", out=out):
        tokenize(path, out)
    assert tokens(path, out, allow_fractional=True) == expected(adata)


def test_a_dense_matrix_with_columns_to_add_up(tmp_path: Path, out: Path) -> None:
    adata = cells()
    twice = _split(adata, _expressed(adata, 5))
    assert isinstance(twice.X, np.ndarray)
    assert tokens(write(twice, tmp_path / "dense.h5ad"), out) == expected(adata)


def test_many_columns_to_add_up_are_added_up_in_one_pass_per_block(tmp_path: Path, out: Path) -> None:
    adata = cells()
    twice = _split(adata, _expressed(adata, 400))
    twice.X = sp.csr_matrix(twice.X)
    assert tokens(write(twice, tmp_path / "many.h5ad"), out) == expected(adata)
    assert read_manifest(out)["sources"][0]["match"]["summed"] == 400


def test_an_alias_that_only_renames_needs_nothing_added_up(tmp_path: Path, out: Path) -> None:
    adata = cells()
    want = expected(adata)
    gene = adata.var["ensembl_id"].iloc[_expressed(adata, 1)[0]]
    adata.var["ensembl_id"] = adata.var["ensembl_id"].replace({gene: "OLD_NAME"})
    assert tokens(write(adata, tmp_path / "alias.h5ad"), out, aliases={"OLD_NAME": gene}) == want


def loom(adata: Any, path: Path) -> Path:
    text = h5py.string_dtype()
    with h5py.File(path, "w") as file:
        file["matrix"] = np.asarray(adata.X.todense()).T
        file.create_group("layers")
        file.create_dataset("row_attrs/Gene", data=list(adata.var_names), dtype=text)
        file.create_dataset("row_attrs/ensembl_id", data=list(adata.var["ensembl_id"]), dtype=text)
        file.create_dataset("col_attrs/CellID", data=list(adata.obs_names), dtype=text)
        file["col_attrs/n_counts"] = adata.obs["n_counts"].to_numpy()
    return path


def test_counts_are_kept_for_loom_as_for_h5ad(tmp_path: Path, out: Path) -> None:
    adata = cells()
    assert tokens(loom(adata, tmp_path / "cells.loom"), out, keep_counts=True) == expected(adata)
    other = tmp_path / "h5ad.dataset"
    tokenize(write(adata, tmp_path / "cells.h5ad"), other, keep_counts=True)
    assert list(rows(out)["counts"]) == list(rows(other)["counts"])


@pytest.mark.parametrize("name", ["length", "input_ids", "counts"])
def test_an_attribute_cannot_take_the_name_of_a_column(name: str, tmp_path: Path, out: Path) -> None:
    path = write(cells(), tmp_path / "cells.h5ad")
    with refused(OptionError, name, "cell_id", out=out):
        tokenize(path, out, attrs={"cell_id": name})


@pytest.mark.parametrize("words", [("1", "0"), ("True", "False"), ("true", "false"), ("1.0", "0.0")])
def test_a_filter_written_as_text_filters(words: tuple[str, str], tmp_path: Path, out: Path) -> None:
    adata = cells()
    adata.obs["filter_pass"] = [words[i % 2] for i in range(6)]
    assert tokens(write(adata, tmp_path / "cells.h5ad"), out, filter="filter_pass") == expected(adata)[::2]
    assert read_manifest(out)["sources"][0]["dropped"]["filter_pass"] == 3
