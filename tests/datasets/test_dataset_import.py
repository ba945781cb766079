"""A lab's matrix goes in, a file that the validator passes comes out; what is wrong with the matrix is said."""

from __future__ import annotations

import errno
import gzip
import io
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.io
import scipy.sparse as sp
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.datasets import (
    ReporterMissingError,
    bundled_path,
    import_exclusion,
    import_reporter,
    read_pairs,
    validate,
)
from corpuscle.datasets._import_genes import GeneColumns
from corpuscle.errors import CorpuscleError, GeneError, NotCountsError, OptionError, OutputError, SourceError

N_CELLS = 260


@cache
def _lab() -> Any:
    """260 real cells x 1,500 genes under mouse-like names, with two reporters thinned from Cd74 and Lyz."""
    whole = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:N_CELLS]
    often = np.argsort(-np.asarray((whole.X > 0).sum(axis=0)).ravel(), kind="stable")[:1500]
    cells = whole[:, list(dict.fromkeys([*whole.var_names[often], "CD74", "LYZ"]))]
    random = np.random.default_rng(0)
    added = [random.binomial(cells[:, gene].X.toarray().ravel(), 0.1)[:, None] for gene in ("CD74", "LYZ")]
    x_ng = sp.csr_matrix(sp.hstack([cells.X, *added]), dtype=np.int32)
    names = [gene.title() if not gene.startswith("MT-") else gene.lower() for gene in cells.var_names]
    ids = [f"ENSMUSG{i:011d}" for i in range(len(names))]
    var = pd.DataFrame({"gene_ids": [*ids, "eGFP", "DsRed"]}, index=[*names, "eGFP", "DsRed"])
    return anndata.AnnData(x_ng, pd.DataFrame(index=cells.obs_names), var)


def lab() -> Any:
    return _lab().copy()


def bring(source: Any, tmp_path: Path, **how: Any) -> Any:
    settings: dict[str, Any] = {"target": "Cd74", "reporter": "eGFP", "sample_id": "s1", "out": tmp_path / "out.h5ad"}
    return import_reporter(source, **(settings | {"min_genes": 100} | how))


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write_tenx(adata: Any, path: Path) -> Path:
    with h5py.File(path, "w") as file:
        x = sp.csr_matrix(adata.X)
        group = file.create_group("matrix")
        for key, value in {"data": x.data, "indices": x.indices, "indptr": x.indptr, "shape": x.shape[::-1]}.items():
            group[key] = np.asarray(value)
        group["barcodes"] = np.array(list(adata.obs_names), "S")
        features = group.create_group("features")
        features["id"] = np.array(list(adata.var["gene_ids"]), "S")
        features["name"] = np.array(list(adata.var_names), "S")
        kinds = adata.var["kind"] if "kind" in adata.var else ["Gene Expression"] * adata.n_vars
        features["feature_type"] = np.array(list(kinds), "S")
        features["genome"] = np.array(["mm10"] * adata.n_vars, "S")
    return path


def write_mex(adata: Any, path: Path) -> Path:
    path.mkdir()
    text = io.BytesIO()
    scipy.io.mmwrite(text, sp.coo_matrix(adata.X.T), field="integer")
    (path / "matrix.mtx.gz").write_bytes(gzip.compress(text.getvalue(), 1))
    rows = [f"{i}\t{name}\tGene Expression\n" for i, name in zip(adata.var["gene_ids"], adata.var_names, strict=True)]
    (path / "features.tsv.gz").write_bytes(gzip.compress("".join(rows).encode()))
    (path / "barcodes.tsv.gz").write_bytes(gzip.compress("\n".join(adata.obs_names).encode()))
    return path


def write_parse(adata: Any, path: Path) -> Path:
    path.mkdir()
    scipy.io.mmwrite(path / "DGE.mtx", sp.coo_matrix(adata.X), field="integer")
    table = pd.DataFrame({"gene_id": adata.var["gene_ids"].to_numpy(), "gene_name": adata.var_names, "genome": "mm39"})
    table.to_csv(path / "all_genes.csv", index=False)
    pd.DataFrame({"bc_wells": adata.obs_names}).to_csv(path / "cell_metadata.csv", index=False)
    return path


def write_csv(adata: Any, path: Path) -> Path:
    adata.to_df().T.rename_axis("gene").to_csv(path)
    return path


def write_h5ad(adata: Any, path: Path) -> Path:
    adata.write_h5ad(path)
    return path


@pytest.mark.parametrize("write", [write_tenx, write_mex, write_parse, write_csv, write_h5ad])
def test_every_format_gives_the_schema_and_the_validator_passes_it(tmp_path: Path, write: Any) -> None:
    source = write(
        lab(), tmp_path / {"write_csv": "a.csv", "write_h5ad": "a.h5ad", "write_tenx": "a.h5"}.get(write.__name__, "a")
    )
    how = {"construct": "Cd74-BAC-eGFP", "tissue": "blood", "platform": "10x v3"}
    done = bring(source, tmp_path, **how, species="Mus musculus" if write is write_csv else None)
    assert [issue for issue in validate(done.path) if issue.severity == "error"] == []
    got, true = anndata.read_h5ad(done.path), lab()
    assert (got.X != true[got.obs_names].X).nnz == 0
    assert isinstance(got.X, sp.csr_matrix) and got.X.dtype == np.int32 and got.X.has_canonical_format
    assert list(got.var_names) == list(true.var_names)
    if write is not write_csv:
        assert list(got.var["gene_id"]) == list(true.var["gene_ids"])
    (pair,) = read_pairs(got.uns)
    assert (pair.gene_a, pair.gene_b, pair.construct) == ("eGFP", "Cd74", "Cd74-BAC-eGFP")
    described = [got.uns[key] for key in ("sample_id", "series_id", "species", "tissue", "platform")]
    assert described == ["s1", "s1", "Mus musculus", "blood", "10x v3"]
    with h5py.File(done.path) as file:
        assert file["X/data"].compression == "gzip"


def test_antibody_features_are_left_out(tmp_path: Path) -> None:
    adata = lab()
    adata.var["kind"] = ["Antibody Capture" if i < 5 else "Gene Expression" for i in range(adata.n_vars)]
    for source in (write_tenx(adata, tmp_path / "a.h5"), adata):
        if source is adata:
            adata.var = adata.var.rename(columns={"kind": "feature_types"})
        done = bring(source, tmp_path, overwrite=True)
        assert done.n_genes == adata.n_vars - 5
        assert list(anndata.read_h5ad(done.path).var_names) == list(adata.var_names[5:])


def test_barcodes_are_filtered_by_genes_and_mitochondria_and_it_is_recorded(tmp_path: Path) -> None:
    adata = lab()
    n_genes = np.diff(adata.X.indptr)
    mito = np.array([gene.startswith("mt-") for gene in adata.var_names])
    share = np.asarray(adata.X[:, mito].sum(axis=1)).ravel() / np.asarray(adata.X.sum(axis=1)).ravel()
    keep = (n_genes >= 600) & (share < 0.1)
    assert mito.any() and 0 < keep.sum() < N_CELLS
    done = bring(adata, tmp_path, min_genes=600, max_mito=0.1)
    got = anndata.read_h5ad(done.path)
    assert list(got.obs_names) == list(adata.obs_names[keep]) and done.n_cells_read == N_CELLS
    record = got.uns["import"]
    assert (record["min_genes"], record["max_mito"], record["cells_read"]) == (600, 0.1, N_CELLS)


@pytest.mark.parametrize("zipped", [True, False])
def test_listed_barcodes_win_over_the_filter(tmp_path: Path, zipped: bool) -> None:
    adata = lab()
    chosen = [*adata.obs_names[10:250], "NOT-THERE"]
    text = "\n".join(chosen).encode()
    (tmp_path / "cells.tsv").write_bytes(gzip.compress(text) if zipped else text)
    done = bring(adata, tmp_path, keep_cells=tmp_path / "cells.tsv", min_genes=10_000)
    assert list(anndata.read_h5ad(done.path).obs_names) == chosen[:-1]
    assert "1 listed barcodes are not in the file" in done.notes
    with pytest.raises(OptionError, match="no listed barcode is there"):
        bring(adata, tmp_path, keep_cells=["x"], overwrite=True)


def test_empty_droplets_are_left_out_and_told(tmp_path: Path) -> None:
    adata = lab()
    droplets = sp.random_array((600, adata.n_vars), density=0.002, rng=np.random.default_rng(0), dtype=float)
    whole = sp.csr_matrix(sp.vstack([adata.X, sp.csr_matrix(droplets > 0, dtype=np.int32)]), dtype=np.int32)
    obs = pd.DataFrame(index=[*adata.obs_names, *(f"empty{i}" for i in range(600))])
    done = bring(anndata.AnnData(whole, obs, adata.var), tmp_path)
    assert not any(cell.startswith("empty") for cell in anndata.read_h5ad(done.path).obs_names)
    assert any("empty droplets" in note for note in done.notes)


@pytest.mark.parametrize("written", [True, False])
def test_genes_by_cells_is_turned(tmp_path: Path, written: bool) -> None:
    turned = lab().T.copy()
    if written:
        turned.write_h5ad(tmp_path / "t.h5ad")
    done = bring(tmp_path / "t.h5ad" if written else turned, tmp_path)
    got = anndata.read_h5ad(done.path)
    assert (got.X != lab()[got.obs_names].X).nnz == 0 and "turned from genes x cells" in done.notes


def test_two_reporters_in_one_file(tmp_path: Path) -> None:
    done = bring(lab(), tmp_path, target=["Cd74", "Lyz"], reporter=["eGFP", "DsRed"])
    pairs = read_pairs(anndata.read_h5ad(done.path).uns)
    assert [(pair.gene_a, pair.gene_b) for pair in pairs] == [("DsRed", "Lyz"), ("eGFP", "Cd74")]


def test_a_reporter_split_over_two_names_is_summed_when_told(tmp_path: Path) -> None:
    adata = lab()
    adata.var_names = [{"DsRed": "EGFP"}.get(gene, gene) for gene in adata.var_names]
    with pytest.raises(OptionError, match=r"several .*eGFP, EGFP.*eGFP\+EGFP"):
        bring(adata, tmp_path, reporter=None)
    done = bring(adata, tmp_path, reporter="EGFP+eGFP")
    got, true = anndata.read_h5ad(done.path), lab()[anndata.read_h5ad(done.path).obs_names]
    assert "eGFP" not in got.var_names and got.n_vars == adata.n_vars - 1
    expected = (true[:, "eGFP"].X + true[:, "DsRed"].X).toarray()
    assert np.array_equal(got[:, "EGFP"].X.toarray(), expected)
    assert np.array_equal(got.obs["total_counts"], np.asarray(true.X.sum(axis=1)).ravel())
    one = bring(adata, tmp_path, reporter="eGFP", overwrite=True)
    assert any("EGFP is there too" in note for note in one.notes)


def test_the_reporter_is_found_without_its_name_when_there_is_one(tmp_path: Path) -> None:
    adata = lab()[:, [gene for gene in lab().var_names if gene != "DsRed"]].copy()
    adata.var_names = [{"eGFP": "egfp"}.get(gene, gene) for gene in adata.var_names]
    assert bring(adata, tmp_path, reporter=None).pairs[0].gene_a == "egfp"
    assert bring(adata, tmp_path, reporter="EGFP", overwrite=True).pairs[0].gene_a == "egfp"


def test_no_reporter_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(ReporterMissingError, match="align the reads again") as caught:
        bring(lab()[:, :-2].copy(), tmp_path, reporter=None)
    assert "\n" not in str(caught.value)
    for word in (">eGFP", 'gene_id "eGFP"; transcript_id "eGFP"', "protein_coding", "3' UTR", "polyA", "WPRE"):
        assert word in caught.value.recipe
    with pytest.raises(ReporterMissingError, match="tdTomato"):
        bring(lab(), tmp_path, reporter="tdTomato")


def test_the_target_is_never_guessed(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="not guessed"):
        bring(lab(), tmp_path, target=[])
    with pytest.raises(OptionError, match="same order"):
        bring(lab(), tmp_path, target=["Cd74", "Lyz"])
    with pytest.raises(GeneError, match=r"Cd7a is not among .*Cd7"):
        bring(lab(), tmp_path, target="Cd7a")
    with pytest.raises(OptionError, match="one gene"):
        bring(lab(), tmp_path, target="eGFP")


def test_genes_named_by_id_get_symbols_from_their_column(tmp_path: Path) -> None:
    adata = lab()
    symbols = list(adata.var_names)
    adata.var = pd.DataFrame({"gene_name": symbols}, index=[f"{gene}.3" for gene in adata.var["gene_ids"]])
    target_id = adata.var_names[symbols.index("Cd74")]
    for target in ("Cd74", target_id.split(".")[0]):
        done = bring(adata, tmp_path, target=target, overwrite=True)
        got = anndata.read_h5ad(done.path)
        assert list(got.var_names) == symbols and list(got.var["gene_id"]) == list(adata.var_names)
        assert (done.pairs[0].gene_b, done.pairs[0].id_b) == ("Cd74", target_id)


def test_repeated_names_get_a_suffix_but_never_those_of_the_pair(tmp_path: Path) -> None:
    adata = lab()
    plain = [gene for gene in adata.var_names if gene not in ("Cd74", "eGFP")]
    repeated = [plain[0] if gene in plain[1:3] else gene for gene in adata.var_names]
    adata.var_names = repeated
    got = anndata.read_h5ad(bring(adata, tmp_path).path)
    assert list(got.var_names[[repeated.index(plain[0])]]) == [plain[0]]
    assert {f"{plain[0]}-1", f"{plain[0]}-2"} < set(got.var_names) and got.var_names.is_unique
    adata.var_names = ["Cd74" if gene == "Lyz" else gene for gene in adata.var_names]
    with pytest.raises(GeneError, match="Cd74 names 2 columns"):
        bring(adata, tmp_path, overwrite=True)
    by_id = bring(adata, tmp_path, target=lab().var.loc["Lyz", "gene_ids"], overwrite=True)
    got = anndata.read_h5ad(by_id.path)
    assert np.array_equal(got[:, "Cd74"].X.toarray(), lab()[got.obs_names, "Lyz"].X.toarray())


def test_repeated_barcodes_are_refused_or_given_a_suffix(tmp_path: Path) -> None:
    adata = lab()
    adata.obs_names = [adata.obs_names[0], adata.obs_names[0], *adata.obs_names[2:]]
    with pytest.raises(SourceError, match="1 barcodes occur more than once"):
        bring(adata, tmp_path)
    done = bring(adata, tmp_path, suffix_duplicates=True)
    assert anndata.read_h5ad(done.path).obs_names.is_unique and "gave 1 repeated barcodes a suffix" in done.notes


@pytest.mark.parametrize("gene", ["Cd74", "eGFP"])
def test_a_pair_with_a_silent_gene_is_refused(tmp_path: Path, gene: str) -> None:
    adata = lab()
    adata.X.data[adata.X.indices == adata.var_names.get_loc(gene)] = 0
    reason = {"Cd74": "homozygous knock-in", "eGFP": "3' UTR"}[gene]
    with pytest.raises(GeneError, match=rf"gene {gene} has no count .*{reason}"):
        bring(adata, tmp_path)


@pytest.mark.parametrize(
    ("value", "kind"), [(0.5, "fractional"), (-1, "negative"), (np.nan, "NaN"), (np.inf, "infinite")]
)
def test_what_is_no_count_is_refused_by_cell_and_gene(tmp_path: Path, value: float, kind: str) -> None:
    adata = lab()
    adata.X = adata.X.astype(np.float32)
    adata.X.data[-1] = value
    with pytest.raises(NotCountsError, match=kind):
        bring(adata, tmp_path)
    assert left(tmp_path) == []


def test_whole_numbers_as_floats_are_cast_and_normalised_is_refused(tmp_path: Path) -> None:
    adata = lab()
    adata.X = adata.X.astype(np.float64)
    assert anndata.read_h5ad(bring(adata, tmp_path).path).X.dtype == np.int32
    adata.X = adata.X.log1p()
    with pytest.raises(NotCountsError):
        bring(adata, tmp_path, overwrite=True)


def test_counts_beyond_int32_are_refused(tmp_path: Path) -> None:
    adata = lab()
    adata.X = adata.X.astype(np.int64)
    adata.X.data[0] = 2**31
    with pytest.raises(NotCountsError, match="above"):
        bring(adata, tmp_path)


def test_no_cell_left_is_said(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="lower --min-genes"):
        bring(lab(), tmp_path, min_genes=100_000)


def test_an_unknown_species_is_asked_for(tmp_path: Path) -> None:
    adata = lab()
    pair = {"Cd74", "eGFP", "DsRed"}
    adata.var = pd.DataFrame(index=[gene if gene in pair else f"g{i}x" for i, gene in enumerate(adata.var_names)])
    with pytest.raises(OptionError, match="--species"):
        bring(adata, tmp_path)
    assert bring(adata, tmp_path, species="Apis mellifera").n_cells > 0


def test_nothing_is_overwritten_unasked_and_nothing_is_half_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bring(lab(), tmp_path)
    before = (tmp_path / "out.h5ad").read_bytes()
    with pytest.raises(OutputError, match="there already"):
        bring(lab(), tmp_path)
    with pytest.raises(OutputError, match="must end in"):
        bring(lab(), tmp_path, out=tmp_path / "out.csv")

    def full(self: Any, path: Path, **how: Any) -> None:
        Path(path).write_bytes(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(anndata.AnnData, "write_h5ad", full)
    with pytest.raises(OutputError, match="No space left"):
        bring(lab(), tmp_path, overwrite=True)
    assert left(tmp_path) == ["out.h5ad"] and (tmp_path / "out.h5ad").read_bytes() == before


def test_columns_of_the_source_stay_with_the_cells(tmp_path: Path) -> None:
    adata = lab()
    adata.obs["cluster"] = pd.Categorical(["a", "b"] * (N_CELLS // 2))
    adata.obs["mixed"] = ["x", 1] * (N_CELLS // 2)
    adata.obs["a/b"] = np.arange(N_CELLS)
    got = anndata.read_h5ad(bring(adata, tmp_path).path)
    assert list(got.obs["cluster"]) == list(adata.obs.loc[got.obs_names, "cluster"])
    assert {"mixed", "a_b", "total_counts", "n_genes"} < set(got.obs.columns)


def test_exclusion_pairs_of_real_b_cells(tmp_path: Path) -> None:
    how = {"out": tmp_path / "x.h5ad", "sample_id": "s", "gene_b": ["IGLC2", "IGLC3"], "keep_cells": None}
    done = import_exclusion(bundled_path("pbmc_1k_v3"), **how)
    pairs = read_pairs(anndata.read_h5ad(done.path).uns)
    assert [pair.name for pair in pairs] == ["IGKC_vs_IGLC2", "IGKC_vs_IGLC3"] and {pair.sign for pair in pairs} == {-1}
    assert pairs[0].id_a == "ENSG00000211592" and done.issues == [
        issue for issue in done.issues if issue.severity == "warning"
    ]


def test_every_refusal_is_one_line(tmp_path: Path) -> None:
    for how in (
        {"target": []},
        {"reporter": None},
        {"reporter": "tdT"},
        {"target": "Nope"},
        {"max_mito": 2},
        {"out": "x.csv"},
    ):
        with pytest.raises(CorpuscleError) as caught:
            bring(lab(), tmp_path, **how)
        assert "\n" not in str(caught.value)


@given(
    names=st.lists(st.sampled_from(["A", "A-1", "B", "B-1", "B-2", "C"]), min_size=1, max_size=12),
    protected=st.sets(st.integers(0, 11), max_size=2),
)
def test_names_become_unique_and_those_of_a_pair_stay(names: list[str], protected: set[int]) -> None:
    kept = {names[i]: i for i in protected if i < len(names)}.values()
    unique = GeneColumns(names, [""] * len(names)).unique_symbols(kept)
    assert len(set(unique)) == len(names)
    assert all(unique[i] == names[i] for i in kept)
    assert all(new == old or new.startswith(f"{old}-") for old, new in zip(names, unique, strict=True))
