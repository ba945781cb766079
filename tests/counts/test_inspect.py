"""What is in a source: the numbers, what is wrong with it, and what can be done with it."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.cli import main
from corpuscle.counts.inspect import Inspection, inspect_counts
from corpuscle.datasets.bundled import bundled_path
from corpuscle.errors import SourceError


def texts(inspection: Inspection, level: str) -> str:
    return "\n".join(f"{f.text} {f.way_out}" for f in inspection.findings if f.level == level)


def use(inspection: Inspection, what: str):
    return next(use for use in inspection.uses if use.what.startswith(what))


def adata_of(x_ng, genes=None, cells=None, **kwargs) -> ad.AnnData:
    x_ng = sp.csr_matrix(x_ng)
    genes = [f"GENE{i}X" for i in range(x_ng.shape[1])] if genes is None else genes
    cells = [f"cell{i}" for i in range(x_ng.shape[0])] if cells is None else cells
    obs = pd.DataFrame(index=pd.Index(cells, dtype=object))
    return ad.AnnData(x_ng, obs=obs, var=pd.DataFrame(index=pd.Index(genes, dtype=object)), **kwargs)


@pytest.fixture(scope="module")
def blood() -> ad.AnnData:
    """400 real cells."""
    return ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:400].copy()


@pytest.fixture(scope="module")
def logged(blood: ad.AnnData) -> ad.AnnData:
    """The same, log-normalised, with the counts in a layer."""
    x_ng = blood.X.astype(np.float64)
    x_ng = sp.diags(1e4 / np.asarray(x_ng.sum(axis=1)).ravel()).tocsr() @ x_ng
    return ad.AnnData(x_ng.log1p(), obs=blood.obs, var=blood.var, uns=blood.uns, layers={"umi": blood.X, "log": x_ng})


def test_numbers_of_real_data_agree_with_the_matrix() -> None:
    path = bundled_path("pbmc_1k_v3")
    inspection = inspect_counts(path)
    adata = ad.read_h5ad(path)
    x_ng = adata.X.toarray()
    depth_n = x_ng.sum(axis=1)
    mitochondrial = x_ng[:, adata.var_names.str.startswith("MT-")].sum(axis=1) / depth_n
    percents = [0, 5, 25, 50, 75, 95, 100]
    assert (inspection.n_obs, inspection.n_vars) == x_ng.shape
    assert list(inspection.depth.values()) == pytest.approx(np.percentile(depth_n, percents))
    assert list(inspection.genes.values()) == pytest.approx(np.percentile((x_ng > 0).sum(axis=1), percents))
    assert list(inspection.mitochondrial_share.values()) == pytest.approx(np.percentile(mitochondrial, percents))
    assert inspection.sparsity == pytest.approx((x_ng == 0).mean())
    assert inspection.empty_genes == (x_ng.sum(axis=0) == 0).sum()
    assert inspection.empty_cells == 0
    assert inspection.n_mitochondrial_genes == 13
    assert inspection.verdict.verdict == "counts"
    assert inspection.species.species == "human"
    assert inspection.identifiers.kind == "symbol"
    assert inspection.files == (str(path),)


@pytest.mark.parametrize(
    ("name", "n_b_cells", "n_kappa"),
    [("pbmc_1k_v2", 145, 139), ("pbmc_1k_v3", 175, 272), ("pbmc_8k_5p_1kcells", 182, 112)],
)
def test_b_cells_and_light_chains_of_the_bundled_sets(name: str, n_b_cells: int, n_kappa: int) -> None:
    inspection = inspect_counts(bundled_path(name))
    assert inspection.n_b_cells == n_b_cells
    assert inspection.light_chains["IGKC"] == n_kappa
    assert use(inspection, "bench").possible
    assert "IGKC against IGLC2" in use(inspection, "bench").reason
    assert use(inspection, "normalize").possible
    assert inspection.id_mapping.share_counts > 0.99


def test_undeclared_light_chains_are_offered_as_a_pair(blood: ad.AnnData) -> None:
    bare = ad.AnnData(blood.X, obs=blood.obs, var=blood.var)
    assert "B cells by markers" in use(inspect_counts(bare), "bench").reason
    without = bare[:, ~bare.var_names.isin(["CD79A", "MS4A1", "CD79B"])].copy()
    assert not use(inspect_counts(without), "bench").possible


def test_ensembl_ids_do_as_well_as_symbols(blood: ad.AnnData) -> None:
    from corpuscle.counts.genes import GeneTable

    mapped = GeneTable.human().symbols_to_ids(blood.var_names).mapped
    by_id = ad.AnnData(
        blood.X,
        obs=blood.obs,
        var=pd.DataFrame(index=[f"{i}.3" if i else n for i, n in zip(mapped, blood.var_names, strict=True)]),
    )
    one, other = inspect_counts(blood), inspect_counts(by_id)
    assert other.identifiers.kind == "Ensembl id with version"
    assert other.mitochondrial_share == one.mitochondrial_share
    assert other.light_chains["IGKC"] == one.light_chains["IGKC"]
    assert other.n_b_cells == one.n_b_cells


def test_log_values_are_described_and_the_layer_of_counts_is_found(logged: ad.AnnData, tmp_path: Path) -> None:
    logged.write_h5ad(tmp_path / "logged.h5ad")
    inspection = inspect_counts(tmp_path / "logged.h5ad")
    assert inspection.verdict.verdict == "log-normalised"
    assert inspection.counts_layers == ("umi",)
    assert "--layer umi" in texts(inspection, "error")
    assert inspection.depth is None
    assert inspection.mitochondrial_share is None
    assert not use(inspection, "normalize").possible
    assert inspect_counts(tmp_path / "logged.h5ad", layer="umi").verdict.is_counts


def test_transposed_matrix_is_suspected(blood: ad.AnnData) -> None:
    assert "genes x cells" in texts(inspect_counts(blood.T.copy()), "error")
    renamed = blood.T.copy()
    renamed.var_names = [f"sample{i}" for i in range(renamed.n_vars)]
    assert "cell names are gene names" in texts(inspect_counts(renamed), "error")


def test_number_of_cells_of_a_reference_is_suspected() -> None:
    x_ng = sp.csr_matrix((np.ones(33538), (np.arange(33538), np.zeros(33538, int))), shape=(33538, 2))
    assert "33,538" in texts(inspect_counts(adata_of(x_ng)), "warning")


def test_duplicates_empty_cells_placeholders_and_dates_are_told() -> None:
    adata = adata_of(
        [[1, 0, 2, 4], [0, 0, 0, 0], [3, 0, 1, 1]],
        genes=["gene_1", "gene_1", "gene_2", "gene_3"],
        cells=["a", "b", "a"],
    )
    inspection = inspect_counts(adata)
    assert (inspection.duplicate_genes.n, inspection.duplicate_genes.examples) == (1, ("gene_1",))
    assert inspection.duplicate_cells.n == 1
    assert (inspection.empty_cells, inspection.empty_genes) == (1, 1)
    warnings = texts(inspection, "warning")
    for expected in ("gene names occur more than once", "1 cells have no counts", "placeholders"):
        assert expected in warnings
    assert not use(inspection, "normalize").possible
    dates = inspect_counts(adata_of(np.eye(3), genes=["1-Mar", "ACTB", "GAPDH"]))
    assert "spreadsheet" in texts(dates, "warning")


def test_mostly_empty_droplets_are_suspected() -> None:
    x_ng = sp.random(50, 6000, density=0.005, random_state=0, data_rvs=lambda n: np.ones(n), format="csr")
    assert "empty droplets" in texts(inspect_counts(adata_of(x_ng)), "warning")
    assert "empty droplets" not in texts(inspect_counts(adata_of(x_ng * 10)), "warning")


def test_reporters_are_found_and_their_declaration_is_checked() -> None:
    x_ng = np.random.default_rng(0).poisson(2, (30, 4)) + 1
    genes = ["eGFP", "Sox9", "Actb", "Gapdh"]
    found = inspect_counts(adata_of(x_ng, genes))
    assert found.reporters == ("eGFP",)
    assert "once its target gene is declared" in use(found, "bench").reason
    declared = {"reporters": {"eGFP": {"target_gene_symbol": "Sox9"}}}
    assert use(inspect_counts(adata_of(x_ng, genes, uns=declared)), "bench").reason == "declared: eGFP with Sox9"
    absent = {"reporters": {"eGFP": {"target_gene_symbol": "Pdgfrb"}}}
    missing = use(inspect_counts(adata_of(x_ng, genes, uns=absent)), "bench")
    assert not missing.possible
    assert "Pdgfrb" in missing.reason


def test_repeated_entries_are_one_gene_of_a_cell() -> None:
    twice = sp.csr_matrix((np.array([1, 2, 5]), np.array([0, 0, 1]), np.array([0, 2, 3])), shape=(2, 2))
    adata = adata_of(np.zeros((2, 2)))
    adata.X = twice
    assert inspect_counts(adata).genes["100"] == 1
    assert inspect_counts(adata).depth["0"] == 3


def test_all_zero_matrix_is_empty_and_leaves_undefined_undefined() -> None:
    inspection = inspect_counts(adata_of(np.zeros((4, 3))))
    assert inspection.verdict.verdict == "empty"
    assert inspection.depth is None
    assert json.loads(json.dumps(inspection.to_dict(), allow_nan=False))["verdict"]["total_median"] is None


def test_several_sources_are_one_matrix(tmp_path: Path) -> None:
    for name in ("a", "b"):
        adata_of(np.arange(1, 7).reshape(2, 3), cells=[f"{name}1", f"{name}2"]).write_h5ad(tmp_path / f"{name}.h5ad")
    inspection = inspect_counts([tmp_path / "a.h5ad", tmp_path / "b.h5ad"])
    assert inspection.n_obs == 4
    assert len(inspection.files) == 2


def test_progress_reaches_the_last_cell(blood: ad.AnnData) -> None:
    seen = []
    inspect_counts(blood, progress=lambda done, total, name: seen.append((done, total)))
    assert seen[-1] == (400, 400)


def test_missing_file_is_a_source_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError):
        inspect_counts(tmp_path / "none.h5ad")


# -- the command ----------------------------------------------------------------------------------------------------


def test_command_reports_counts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(bundled_path("pbmc_1k_v3"))]) == 0
    out = capsys.readouterr().out
    for expected in ("counts", "14,688", "human", "IGKC in 272 cells", "mitochondrial"):
        assert expected in out


def test_command_json_is_strict_and_one_document(logged: ad.AnnData, tmp_path: Path, capsys) -> None:
    logged.write_h5ad(tmp_path / "logged.h5ad")
    assert main(["inspect", str(tmp_path / "logged.h5ad"), str(bundled_path("pbmc_1k_v2")), "--json"]) == 0
    one, other = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert one["verdict"]["verdict"] == "log-normalised"
    assert one["depth"] is None
    assert other["n_obs"] == 996


def test_command_shows_names_with_brackets_as_they_are(tmp_path: Path, capsys) -> None:
    path = tmp_path / "[red]x[bold].h5ad"
    x_ng = np.full((3, 3), 0.25)
    adata_of(x_ng, genes=["[red]g", "[/]h", "i[link=x]"], cells=["[/red]c", "d", "e"]).write_h5ad(path)
    assert main(["inspect", str(path)]) == 0
    out = capsys.readouterr().out.replace("\n", "")
    for expected in ("[red]g", "[/red]c", "[red]x[bold].h5ad"):
        assert expected in out


def test_command_ends_with_2_where_nothing_can_be_read(tmp_path: Path, capsys) -> None:
    (tmp_path / "text.h5ad").write_text("no HDF5")
    assert main(["inspect", str(tmp_path / "text.h5ad")]) == 2
    assert main(["inspect", str(tmp_path / "none.h5ad")]) == 2
    errors = capsys.readouterr().err.strip().splitlines()
    assert len(errors) == 2
    assert all(line.startswith("error: ") for line in errors)
