"""What a scorer reads of a source: log expression and gene names."""

from __future__ import annotations

import os
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.annotate._expression import expression_of, open_expression
from corpuscle.annotate._expression_genes import GeneNames
from corpuscle.counts import open_counts
from corpuscle.errors import MethodError, NotCountsError, OptionError, SourceError

GENES = ["CD3D", "CD79A", "LYZ", "NKG7", "MS4A1", "ACTB"]


@pytest.fixture(scope="module")
def data() -> Path:
    path = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (path / "pbmc").is_dir():
        pytest.skip("no real data: set CORPUSCLE_DATA")
    return path


def some_counts(n: int = 40, genes: list[str] | None = None, seed: int = 0) -> ad.AnnData:
    genes = genes or GENES
    x = np.random.default_rng(seed).poisson(1.0, (n, len(genes)))
    x[:, 0] += 1  # no cell is empty
    return ad.AnnData(
        sp.csr_matrix(x), var=pd.DataFrame(index=genes), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)])
    )


def by_hand(x: np.ndarray) -> np.ndarray:
    return np.log1p(x / x.sum(axis=1, keepdims=True) * 1e4)


def names_of(*genes: str, **columns: list[str]) -> GeneNames:
    return GeneNames(pd.DataFrame(columns, index=list(genes)))


# -- values --------------------------------------------------------------------------------------------------------


def test_values_are_log1p_of_counts_per_ten_thousand_whatever_the_form_of_the_source(tmp_path: Path) -> None:
    adata = some_counts()
    expected = by_hand(adata.X.toarray())
    adata.write_h5ad(tmp_path / "csr.h5ad")
    by_gene = ad.AnnData(adata.X.tocsc(), obs=adata.obs, var=adata.var)
    by_gene.write_h5ad(tmp_path / "csc.h5ad")
    dense = ad.AnnData(adata.X.toarray(), obs=adata.obs, var=adata.var)
    for source in (adata, by_gene, dense, tmp_path / "csr.h5ad", str(tmp_path / "csc.h5ad"), open_counts(adata)):
        with open_expression(source) as expression:
            x_ng = expression.to_csr()
            assert x_ng.dtype == np.float32
            np.testing.assert_allclose(x_ng.toarray(), expected, rtol=1e-5)
            assert list(expression.cells) == list(adata.obs_names)
            assert (expression.n_cells, expression.n_genes) == adata.shape


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 40),
    st.integers(1, 50),
    st.lists(st.integers(0, 5), min_size=1, max_size=6, unique=True),
    st.integers(),
)
def test_columns_are_those_of_the_whole_and_the_size_of_blocks_does_not_matter(
    n: int, size: int, index: list[int], seed: int
) -> None:
    with open_expression(some_counts(n, seed=abs(seed))) as expression:
        parts = list(expression.blocks(size))
        whole = sp.vstack([x_ng for _, x_ng in parts]).toarray()
        assert [rows.start for rows, _ in parts] == list(range(0, n, size))
        picked = expression.columns(index)
        assert picked.format == "csc" and picked.has_canonical_format
        np.testing.assert_array_equal(picked.toarray(), whole[:, index])


def test_a_cells_depth_is_over_all_genes_and_not_over_those_picked() -> None:
    adata = some_counts()
    with open_expression(adata) as expression:
        np.testing.assert_allclose(expression.columns([2]).toarray()[:, 0], by_hand(adata.X.toarray())[:, 2], rtol=1e-5)


def test_values_of_real_cells(data: Path) -> None:
    adata = ad.read_h5ad(data / "pbmc" / "pbmc3k.h5ad")[:100].copy()
    with open_expression(adata) as expression:
        np.testing.assert_allclose(expression.to_csr().toarray(), by_hand(adata.X.toarray()), rtol=1e-6, atol=1e-7)


def test_the_users_matrix_is_left_as_it_is() -> None:
    adata = some_counts()
    before = adata.X.copy()
    with open_expression(adata) as expression:
        expression.to_csr()
        expression.columns([0, 1])
    assert (before != adata.X).nnz == 0 and adata.X.dtype == before.dtype


def test_logged_values_are_taken_as_they_are_from_raw_too() -> None:
    adata = some_counts()
    logged = ad.AnnData(sp.csr_matrix(by_hand(adata.X.toarray()).astype(np.float32)), obs=adata.obs, var=adata.var)
    logged.raw = logged
    logged.X = logged.X.toarray() - 1.0  # scaled, as scanpy's tutorials leave it
    with open_expression(logged, layer="raw", logged=True) as expression:
        np.testing.assert_array_equal(expression.to_csr().toarray(), logged.raw.X.toarray())
        np.testing.assert_array_equal(expression.columns([3]).toarray(), logged.raw.X[:, [3]].toarray())


@pytest.mark.parametrize(("value", "shown"), [(-0.5, "-0.5"), (np.nan, "nan"), (np.inf, "inf"), (5312.0, "5312")])
def test_what_cannot_be_log_expression_is_refused_by_cell_and_gene(value: float, shown: str) -> None:
    x = by_hand(some_counts().X.toarray())
    x[7, 2] = value
    adata = some_counts()
    adata.X = x
    with (
        open_expression(adata, logged=True) as expression,
        pytest.raises(SourceError, match=f"value {shown} at cell c7, gene LYZ"),
    ):
        expression.columns([0])


def test_log_values_given_as_counts_are_refused_with_the_way_out() -> None:
    adata = some_counts()
    adata.X = by_hand(adata.X.toarray())
    with pytest.raises(NotCountsError, match=r"fractional.*logged"):
        open_expression(adata)


@pytest.mark.parametrize("logged", [False, True])
def test_a_cell_without_any_count_is_named_and_refused(logged: bool) -> None:
    adata = some_counts()
    x = adata.X.toarray().astype(np.float32)
    x[[3, 11]] = 0
    adata.X = sp.csr_matrix(x)
    with open_expression(adata, logged=logged) as expression, pytest.raises(MethodError, match="c3, c11"):
        expression.columns([0])


def test_positions_out_of_range_are_refused() -> None:
    with open_expression(some_counts()) as expression, pytest.raises(OptionError, match="0 to 5"):
        expression.columns([-1])


def test_closing_leaves_the_callers_own_counts_and_expression_open(tmp_path: Path) -> None:
    some_counts().write_h5ad(tmp_path / "a.h5ad")
    with open_counts(tmp_path / "a.h5ad") as counts:
        with open_expression(counts) as expression, expression_of(expression) as same:
            assert same is expression
        assert counts.to_csr().shape == (40, 6)
        with pytest.raises(OptionError, match="layer"):
            open_expression(counts, layer="raw")


# -- names ---------------------------------------------------------------------------------------------------------


def test_letter_case_does_not_matter_but_an_exact_name_comes_first() -> None:
    names = names_of("CD3D", "C2ORF15", "C2orf15", "LYZ")
    assert names.positions(["cd3d", "C2orf15", "C2ORF15", "nonsense"]) == {"cd3d": 0, "C2orf15": 2, "C2ORF15": 1}


def test_older_and_newer_names_of_a_gene_meet_unless_it_is_forbidden() -> None:
    old, new = names_of("IGJ", "CD3D", "LYZ"), names_of("JCHAIN", "CD3D", "LYZ")
    assert old.positions(["JCHAIN"]) == {"JCHAIN": 0} and new.positions(["IGJ"]) == {"IGJ": 0}
    assert old.positions(["JCHAIN"], aliases=False) == {}


def test_human_ensembl_ids_with_versions_are_found_by_symbol() -> None:
    names = names_of("ENSG00000167286.9", "ENSG00000090382", "ENSG00000156738")
    assert names.species == "human"
    assert names.positions(["CD3D", "LYZ", "ENSG00000090382"]) == {"CD3D": 0, "LYZ": 1, "ENSG00000090382": 1}


def test_symbols_of_other_species_ids_come_from_the_gene_table() -> None:
    ids = ["ENSMUSG00000032094", "ENSMUSG00000053044", "ENSMUSG00000069516"]
    names = names_of(*ids, gene_name=["Cd3d", "Cd8b1", "Lyz2"])
    assert names.species == "mouse"
    assert names.positions(["CD3D", "CD8B", "Cd8b1"]) == {"CD3D": 0, "CD8B": 1, "Cd8b1": 1}


@pytest.mark.parametrize("capitals", [False, True])
def test_mouse_genes_are_found_by_their_human_ortholog(capitals: bool) -> None:
    mouse = ["Cd3d", "Cd8b1", "H2-Aa", "Ncr1", "1700001C02Rik", "0610007P14Rik", "0610009B22Rik"]
    names = names_of(*[name.upper() for name in mouse] if capitals else mouse)
    assert names.species == "mouse"
    assert names.positions(["CD8B", "NCR1", "CD3D"]) == {"CD8B": 1, "NCR1": 3, "CD3D": 0}


def test_of_columns_with_one_symbol_the_first_is_taken_and_it_is_said() -> None:
    adata = some_counts(genes=["CD3D", "LYZ", "CD3D", "NKG7"])
    with open_expression(adata) as expression:
        assert expression.positions(["CD3D"]) == {"CD3D": 0}
        assert any("CD3D" in note and "first" in note for note in expression.notes)
