"""Marker tables and the scores made from them."""

from __future__ import annotations

import gzip
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pbmc68k
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import linregress, rankdata

from corpuscle.annotate._expression import open_expression
from corpuscle.annotate.ontology import cell_ontology
from corpuscle.annotate.sources import _marker_files, _marker_scores
from corpuscle.annotate.sources.marker_table import Markers, MarkerSet, asctb_markers, read_markers
from corpuscle.annotate.sources.markers import SCORINGS, marker_scores
from corpuscle.errors import GeneError, MethodError, OptionError, SourceError

#: Real symbols, so that no test depends on what an unknown name is taken for.
GENES = ["CD3D", "CD3E", "CD79A", "CD79B", "MS4A1", "LYZ", "CST3", "NKG7", "GNLY", "ACTB", "GAPDH", "B2M"]
TABLE = {"T": ["CD3D", "CD3E"], "B": ["CD79A", "CD79B", "MS4A1"], "Mono": (["LYZ", "CST3"], ["CD3D", "NKG7"])}


@pytest.fixture(scope="module")
def data() -> Path:
    path = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    if not (path / "pbmc").is_dir():
        pytest.skip("no real data: set CORPUSCLE_DATA")
    return path


def some_cells(n: int = 30, genes: list[str] | None = None, seed: int = 0) -> ad.AnnData:
    genes = genes or GENES
    x = np.random.default_rng(seed).poisson(0.8, (n, len(genes)))
    x[:, -1] += 1
    x[0], x[1] = 1, 2  # so that each gene varies
    x[:2, -1] = 9
    return ad.AnnData(
        sp.csr_matrix(x), var=pd.DataFrame(index=genes), obs=pd.DataFrame(index=[f"c{i}" for i in range(n)])
    )


def logged(adata: ad.AnnData) -> np.ndarray:
    with open_expression(adata) as expression:
        return expression.to_csr().toarray().astype(np.float64)


def columns(adata: ad.AnnData, genes: Any) -> list[int]:
    return [list(adata.var_names).index(gene) for gene in genes]


def z_scores(x_ng: np.ndarray) -> np.ndarray:
    return np.clip((x_ng - x_ng.mean(axis=0)) / x_ng.std(axis=0, ddof=1), -5, 10)


# -- scoring: against the formulas, written once more on dense arrays ------------------------------------------------


@settings(max_examples=15, deadline=None)
@given(st.integers(2, 60), st.integers(0, 10**6))
def test_sctype_is_the_weighted_sum_of_clipped_z_scores_less_that_of_negative_markers(n: int, seed: int) -> None:
    adata = some_cells(n, seed=seed)
    table = Markers.of({"T": {"CD3D": 2.0, "LYZ": 1.0}, "Mono": (["LYZ", "CST3"], ["CD3D", "NKG7"]), "B": ["CD79A"]})
    z = z_scores(logged(adata))
    w = {"CD3D": 1.0, "LYZ": 0.5, "CST3": 1.0, "NKG7": 1.0, "CD79A": 1.0}  # LYZ is listed by two of three types

    def total(genes: dict[str, float]) -> np.ndarray:
        at = columns(adata, genes)
        return (z[:, at] * [weight * w[gene] for gene, weight in genes.items()]).sum(axis=1) / np.sqrt(len(genes))

    expected = np.column_stack(
        [
            total({"CD3D": 2.0, "LYZ": 1.0}),
            total({"LYZ": 1.0, "CST3": 1.0}) - total({"CD3D": 1.0, "NKG7": 1.0}),
            total({"CD79A": 1.0}),
        ]
    )
    np.testing.assert_allclose(marker_scores(adata, table).values_nk, expected, atol=1e-4)


def test_mean_is_the_weighted_mean_of_z_scores() -> None:
    adata = some_cells()
    z = z_scores(logged(adata))
    scores = marker_scores(adata, {"T": {"CD3D": 3.0, "CD3E": 1.0}, "Mono": (["LYZ"], ["CD3D"])}, scoring="mean")
    d, e, lyz = (z[:, columns(adata, [gene])[0]] for gene in ("CD3D", "CD3E", "LYZ"))
    np.testing.assert_allclose(scores.values_nk, np.column_stack([(3 * d + e) / 4, lyz - d]), atol=1e-4)


@pytest.mark.parametrize("max_rank", [1500, 5])
@pytest.mark.parametrize("count_missing", [True, False])
def test_ucell_is_the_rank_statistic_with_ties_shared_and_missing_genes_last(
    max_rank: int, count_missing: bool
) -> None:
    adata = some_cells()
    table = {"T": ["CD3D", "CD3E", "TRAC"], "Mono": (["LYZ", "CST3"], ["NKG7"])}
    scores = marker_scores(adata, table, scoring="ucell", max_rank=max_rank, count_missing=count_missing)
    top = min(max_rank, adata.n_vars)
    rank_ng = np.minimum(rankdata(-logged(adata).astype(np.float32), axis=1), top)

    def statistic(genes: list[str], absent: int) -> np.ndarray:
        n = len(genes) + absent
        least = n * (n + 1) / 2
        return 1 - (rank_ng[:, columns(adata, genes)].sum(axis=1) + absent * top - least) / (n * top - least)

    t = statistic(["CD3D", "CD3E"], int(count_missing))
    mono = statistic(["LYZ", "CST3"], 0) - statistic(["NKG7"], 0)
    np.testing.assert_allclose(scores.values_nk, np.maximum(np.column_stack([t, mono]), 0), atol=1e-6)


def test_ucell_agrees_with_pyucell_on_real_cells(data: Path) -> None:
    pyucell = pytest.importorskip("pyucell")
    adata = ad.read_h5ad(data / "pbmc" / "pbmc3k.h5ad")[:200].copy()
    table = {"T": (["CD3D", "IL7R", "NONE1"], ["CD79A"]), "B": ["CD79A", "MS4A1"], "Mono": (["LYZ", "CST3"], ["NONE2"])}
    ours = marker_scores(adata, table, scoring="ucell")
    signatures = {
        name: [*one.positive, *(f"{gene}-" for gene in one.negative)] for name, one in Markers.of(table).sets.items()
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pyucell.compute_ucell_scores(adata, signatures, n_jobs=1)
    np.testing.assert_allclose(ours.values_nk, adata.obs[[f"{name}_UCell" for name in table]], atol=1e-6)


def test_a_cells_ucell_score_does_not_depend_on_other_cells() -> None:
    adata = some_cells()
    together = marker_scores(adata, TABLE, scoring="ucell").values_nk
    np.testing.assert_array_equal(together[[7]], marker_scores(adata[[7]].copy(), TABLE, scoring="ucell").values_nk)


def test_ulm_is_the_t_value_of_a_regression_over_all_genes() -> None:
    adata = some_cells()
    x_ng = logged(adata)
    scores = marker_scores(adata, {"T": {"CD3D": 2.0, "CD3E": 1.0}, "Mono": (["LYZ"], ["CD3D"])}, scoring="ulm")
    for k, net in enumerate(({"CD3D": 2, "CD3E": 1}, {"LYZ": 1, "CD3D": -1})):
        w_g = np.zeros(adata.n_vars)
        w_g[columns(adata, net)] = list(net.values())
        fits = [linregress(w_g, x_g) for x_g in x_ng]
        np.testing.assert_allclose(
            scores.values_nk[:, k], [fit.slope / fit.stderr for fit in fits], rtol=1e-4, atol=1e-5
        )


@pytest.mark.parametrize("scoring", SCORINGS)
def test_chunks_and_order_of_cells_and_types_do_not_matter(scoring: str, monkeypatch: pytest.MonkeyPatch) -> None:
    adata = some_cells(50)
    whole = marker_scores(adata, TABLE, scoring=scoring).values_nk
    monkeypatch.setattr(_marker_scores, "CHUNK", 7)
    order = np.random.default_rng(1).permutation(50)
    other = marker_scores(adata[order].copy(), TABLE, scoring=scoring, types=["Mono", "T", "B"])
    assert other.types == ("Mono", "T", "B")
    np.testing.assert_allclose(other.values_nk, whole[order][:, [2, 0, 1]], atol=1e-5)
    assert list(other.cells) == [f"c{i}" for i in order]


def test_an_open_source_gives_the_same_scores_twice(tmp_path: Path) -> None:
    some_cells().write_h5ad(tmp_path / "a.h5ad")
    with open_expression(tmp_path / "a.h5ad") as expression:
        first, again = (marker_scores(expression, TABLE).values_nk for _ in range(2))
    np.testing.assert_array_equal(first, again)


# -- published figures ----------------------------------------------------------------------------------------------


def agreement(scores: Any, names: dict[str, str] | None = None) -> tuple[float, float]:
    from sklearn.metrics import accuracy_score, f1_score

    truth = pbmc68k.cells().obs["bulk_labels"].astype(str).map(pbmc68k.MERGED).to_numpy()
    named = np.array([(names or {}).get(label, label) for label in scores.labels()])
    return accuracy_score(truth, named), f1_score(truth, named, average="macro")


def test_canonical_markers_reach_the_known_agreement_on_700_pbmcs() -> None:
    table = {name: genes.split() for name, genes in pbmc68k.CANON.items()}
    scores = marker_scores(pbmc68k.cells(), table, layer="raw", logged=True)
    assert agreement(scores) == pytest.approx((0.723, 0.673), abs=0.001)


def test_asctb_markers_reach_the_known_agreement_on_700_pbmcs() -> None:
    names = {cell_ontology().label(cl_id): name for name, cl_id in pbmc68k.CL_IDS.items()}
    table = asctb_markers(pbmc68k.ORGANS, list(pbmc68k.CL_IDS.values()), as_written=True)
    scores = marker_scores(pbmc68k.cells(), table, layer="raw", logged=True, aliases=False)
    assert agreement(scores, names) == pytest.approx((0.729, 0.665), abs=0.001)
    mended = asctb_markers(pbmc68k.ORGANS, list(pbmc68k.CL_IDS.values()))
    better = agreement(marker_scores(pbmc68k.cells(), mended, layer="raw", logged=True), names)
    assert better[0] > 0.73 and better[1] > 0.67  # more of the table's genes are found


def test_pancreas_markers_written_as_proteins_name_real_alpha_and_beta_cells(data: Path) -> None:
    alpha, beta = "CL:0000171", "CL:0000169"
    scores = marker_scores(data / "batch" / "baron_human_2donors.h5ad", asctb_markers(["pancreas"], [alpha, beta]))
    truth = ad.read_h5ad(data / "batch" / "baron_human_2donors.h5ad", backed="r").obs["cell_type"].to_numpy()
    asked = np.isin(truth, ["alpha", "beta"])
    named = np.where(scores.best_n() == 0, "alpha", "beta")
    assert scores.cl_ids == (alpha, beta)
    assert "GCG" in scores.about["genes"]["pancreatic A cell"]
    assert (named == truth)[asked].mean() > 0.95


def test_human_markers_name_real_mouse_cells(data: Path) -> None:
    table = {"B cells": ["CD79A", "MS4A1"], "T cells": ["CD3E", "CD8B"], "Neutrophils": ["S100A8", "CSF3R"]}
    path = data / "batch" / "zilionis_mouse_lung.h5ad"
    scores = marker_scores(path, table)
    truth = ad.read_h5ad(path, backed="r").obs["cell_type"].astype(str).to_numpy()
    asked = np.isin(truth, list(table))
    assert (scores.labels() == truth)[asked].mean() > 0.9
    assert scores.about["species"] == "mouse" and any("ortholog" in note for note in scores.about["notes"])


# -- what is left out, and what is refused ----------------------------------------------------------------------------


@pytest.mark.parametrize("scoring", SCORINGS)
def test_a_type_without_markers_in_the_data_is_left_out_and_said(scoring: str) -> None:
    table = {**TABLE, "Beta": ["INS", "MAFA"]}
    with pytest.warns(UserWarning, match="Beta .*too few"):
        scores = marker_scores(some_cells(), table, scoring=scoring)
    assert scores.types == ("T", "B", "Mono")
    assert "Beta" in scores.about["left_out"]
    np.testing.assert_allclose(
        scores.values_nk, marker_scores(some_cells(), TABLE, scoring=scoring).values_nk, rtol=1e-6
    )


def test_min_genes_asks_for_more_markers() -> None:
    table = {**TABLE, "Other": ["ACTB", "GAPDH", "B2M"]}
    with pytest.warns(UserWarning, match="T .*of the 3 asked for"):
        scores = marker_scores(some_cells(), table, min_genes=3)
    assert scores.types == ("B", "Other")


def test_one_type_is_scored_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="only one type, B"):
        assert marker_scores(some_cells(), TABLE, types=["B"]).values_nk.shape == (30, 1)


def test_genes_of_another_world_are_an_error_that_shows_both() -> None:
    with pytest.raises(GeneError, match=r"INS.*CD3D"):
        marker_scores(some_cells(), {"Beta": ["INS"], "Alpha": ["GCG"]})


def test_a_gene_that_does_not_vary_is_no_marker_here() -> None:
    adata = some_cells()
    log = logged(adata)
    log[:, columns(adata, ["CD3E", "LYZ", "CST3"])] = 1.0
    adata.X = log
    with pytest.warns(UserWarning, match="Mono .*vary"):
        scores = marker_scores(adata, TABLE, logged=True)
    assert scores.types == ("T", "B")
    assert scores.about["genes"]["T"] == ["CD3D"]
    np.testing.assert_allclose(scores.values_nk[:, 0], z_scores(log[:, :1])[:, 0], atol=1e-5)


def test_a_type_whose_markers_all_types_share_is_left_out_of_sctype() -> None:
    table = {"T": ["CD3D", "ACTB"], "B": ["CD79A", "ACTB"], "Any": ["ACTB"]}
    with pytest.warns(UserWarning, match="Any .*every other"):
        scores = marker_scores(some_cells(), table)
    assert scores.types == ("T", "B")
    assert marker_scores(some_cells(), table, scoring="mean").types == ("T", "B", "Any")


def test_a_marker_that_is_both_by_another_name_counts_for_neither() -> None:
    table = {"Naive": (["CD3D", "CD45RA"], ["CD45RO"]), "B": ["CD79A"]}
    scores = marker_scores(some_cells(genes=[*GENES, "PTPRC"]), table)
    assert scores.about["genes"]["Naive"] == ["CD3D"] and "Naive" not in scores.about["negative_genes"]


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"scoring": "magic"}, OptionError, "magic.*sctype"),
        ({"min_genes": 0}, OptionError, "min_genes"),
        ({"types": ["T", "Nobody"]}, OptionError, "Nobody"),
        ({"types": ["T", "T"]}, OptionError, "twice"),
        ({"scoring": "ucell", "max_rank": 1}, MethodError, "max_rank"),
        ({"min_genes": 9}, GeneError, "none of the 3 types"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        marker_scores(some_cells(), TABLE, **options)


def test_cells_that_cannot_be_scored_are_refused() -> None:
    with pytest.raises(MethodError, match="at least 2 cells"):
        marker_scores(some_cells()[:1].copy(), TABLE)
    empty = some_cells()
    empty.X = empty.X.multiply(np.arange(30)[:, None] != 4).tocsr()
    with pytest.raises(MethodError, match="c4"):
        marker_scores(empty, TABLE, scoring="ulm")
    flat = some_cells()
    flat.X = np.ones(flat.shape, np.int64)
    with pytest.raises(MethodError, match="cell c0 has the same value"):
        marker_scores(flat, TABLE, scoring="ulm")


# -- tables ----------------------------------------------------------------------------------------------------------


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("long.csv", "cell_type,gene\nT,CD3D\nT,CD3E\nB,CD79A\n"),
        ("titles.tsv", "Cell Name\tGene Symbol\nT\tCD3D\nT\tCD3E\nB\tCD79A\n"),
        ("lists.csv", 'type;genes\nT;"CD3D, CD3E"\nB;CD79A|CD79a\n'),
        ("net.csv", "source,target,weight\nT,CD3D,1\nT,CD3E,\nB,CD79A,1.0\n"),
        ("wide.csv", "T,B\nCD3D,CD79A\nCD3E,\n"),
        ("index.csv", ",T,B\n0,CD3D,CD79A\n1,CD3E,\n"),
        ("bom.csv", "\ufefftype,gene\r\nT,CD3D\r\n\r\nT,CD3E\r\nB,CD79A\r\n"),
        ("sets.gmt", "T\tna\tCD3D\tCD3E\nB\tna\tCD79A\n"),
        ("plus.gmt", "T\tna\tCD3D+\tCD3E+\nB\tna\tCD79A+\n"),
    ],
)
def test_a_table_says_the_same_in_every_layout(tmp_path: Path, name: str, text: str) -> None:
    expected = {"T": {"CD3D": 1.0, "CD3E": 1.0}, "B": {"CD79A": 1.0}}
    path = written(tmp_path / name, text)
    zipped = tmp_path / f"{name}.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, zipped):
        table = read_markers(file)
        assert {name: dict(one.positive) for name, one in table.sets.items()} == expected
        assert not any(one.negative for one in table.sets.values())


def test_signs_weights_and_ids_of_a_long_table(tmp_path: Path) -> None:
    text = (
        "type,gene,sign,weight,cl_id,negative\nT,CD3D,+,2,CL:0000084,\nT,CD79A,neg,,,\nT,LYZ,,-0.5,CL_0000084,\n"
        "B,MS4A1,,,,CD3E;CD4-\nB,GNLY-,,,,\n"
    )
    table = read_markers(written(tmp_path / "a.csv", text))
    assert table.sets["T"] == MarkerSet({"CD3D": 2.0}, {"CD79A": 1.0, "LYZ": 0.5}, "CL:0000084")
    assert table.sets["B"] == MarkerSet({"MS4A1": 1.0}, {"CD3E": 1.0, "CD4": 1.0, "GNLY": 1.0}, None)
    assert table.chosen(["CL:0000084"]).types == ("T",)


@pytest.mark.parametrize(
    ("name", "text", "error", "says"),
    [
        ("a.csv", "type,gene\nT,CD3D\n,CD79A\n", SourceError, "line 3: no type"),
        ("a.csv", "type,gene,weight\nT,CD3D,strong\n", SourceError, "line 2: weight 'strong'"),
        ("a.csv", "type,gene,weight\nT,CD3D,nan(1)\n", SourceError, "line 2"),
        ("a.csv", "type,gene,weight\nT,CD3D,0\n", SourceError, "line 2"),
        ("a.csv", "type,gene,sign\nT,CD3D,perhaps\n", SourceError, "line 2: sign 'perhaps'"),
        ("a.csv", "type,gene,cl_id\nT,CD3D,T cell\n", SourceError, "line 2: 'T cell'"),
        ("a.csv", "type,gene,cl_id\nT,CD3D,CL:0000084\nT,CD3E,CL:0000236\n", SourceError, "line 3: .*two ids"),
        ("a.csv", "type,gene\nT,CD3D\nT,CD3D-\n", OptionError, "CD3D is both"),
        ("a.csv", "type,gene\nT,\n", OptionError, "no marker"),
        ("a.csv", "type,gene\n", SourceError, "nothing below"),
        ("a.csv", "T,B,T\nCD3D,CD79A,CD3E\n", SourceError, "'T' heads two"),
        ("a.csv", "T,B\nCD3D,CD79A,CD3E\n", SourceError, "line 2: more fields"),
        ("a.csv", "T,,B\nCD3D,CD3E,CD79A\n", SourceError, "no title"),
        ("a.csv", "hello\nworld\n", SourceError, "no table of markers"),
        ("a.gmt", "T\tna\tCD3D\nT\tna\tCD3E\n", SourceError, "line 2: .*twice"),
        ("a.gmt", "T\tna\n", SourceError, "line 1"),
        ("a.csv", "type,gene\0\n", SourceError, "not text"),
        ("a.csv", " \n", SourceError, "empty"),
        ("a.xlsx", "PK\3\4 not a spreadsheet", SourceError, "readable .xlsx"),
    ],
)
def test_a_table_that_makes_no_sense_is_refused_by_line(
    tmp_path: Path, name: str, text: str, error: type[Exception], says: str
) -> None:
    pytest.importorskip("openpyxl")
    path = written(tmp_path / name, text)
    with pytest.raises(error, match=says) as caught:
        read_markers(path)
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_files_that_are_missing_cut_short_or_swell_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceError, match="No such file"):
        read_markers(tmp_path / "none.csv")
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(b"type,gene\nT,CD3D\n")[:-9])
    with pytest.raises(SourceError, match="cannot be read"):
        read_markers(cut)
    monkeypatch.setattr(_marker_files, "LARGEST", 10_000)
    bomb = tmp_path / "bomb.csv.gz"
    bomb.write_bytes(gzip.compress(b"a" * 100_000))
    with pytest.raises(SourceError, match="larger than"):
        read_markers(bomb)


def spreadsheet(path: Path, *rows: tuple[str | None, ...]) -> Path:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (("tissueType", "cellName", "geneSymbolmore1", "geneSymbolmore2", "shortName"), *rows):
        book.active.append(row)
    book.save(path)
    return path


def test_a_spreadsheet_is_read_by_tissue_and_cleaned(tmp_path: Path) -> None:
    path = spreadsheet(
        tmp_path / "db.xlsx",
        ("Blood", "T", " cd3d,CD3D, CD3E ,CD8A,", "CD79A,CD8A", "T"),
        ("Blood", "B", "MS4A1", None, "B"),
        ("Blood", "B", "CD79A", None, "B"),
        ("Liver", "Hepatocyte", "ALB", None, "H"),
    )
    table = read_markers(path, tissue="blood")
    assert table.sets == {
        "T": MarkerSet({"CD3D": 1.0, "CD3E": 1.0}, {"CD79A": 1.0}),
        "B": MarkerSet({"MS4A1": 1.0, "CD79A": 1.0}),
    }
    assert len(table.notes) == 2  # a repeated row, and a gene that was both
    with pytest.raises(OptionError, match=r"choose one .* Blood, Liver"):
        read_markers(path)
    with pytest.raises(OptionError, match="no tissue 'Bone'"):
        read_markers(path, tissue="Bone")


def test_without_openpyxl_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = spreadsheet(tmp_path / "db.xlsx", ("Blood", "T", "CD3D", None, "T"))
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MethodError, match="pip install openpyxl"):
        read_markers(path)


def test_the_sctype_data_base_names_real_cells(data: Path) -> None:
    pytest.importorskip("openpyxl")
    table = read_markers(data / "knowledge" / "sctype_gpl3" / "ScTypeDB_full.xlsx", tissue="Pancreas")
    path = data / "batch" / "baron_human_2donors.h5ad"
    scores = marker_scores(path, table, types=["Alpha cells", "Beta cells", "Delta cells", "Ductal cells"])
    truth = ad.read_h5ad(path, backed="r").obs["cell_type"].astype(str).to_numpy()
    named = np.array([label.split()[0].lower() for label in scores.labels()])
    assert (named == truth)[np.isin(truth, ["alpha", "beta", "delta", "ductal"])].mean() > 0.9


@pytest.mark.parametrize(
    ("table", "says"),
    [
        ({}, "no type"),
        ({"T": []}, "no marker"),
        ({"T": "CD3D"}, "list of genes"),
        ({"T": {"CD3D": -1.0}}, "weight"),
        ({"T": {"CD3D": float("nan")}}, "weight"),
        ({"T": (["CD3D"], ["cd3d"])}, "both"),
        ({" ": ["CD3D"]}, "no name"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(table: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        Markers.of(table)


# -- the bundled tables ----------------------------------------------------------------------------------------------


def test_asctb_gives_a_row_to_the_most_specific_type_above_it() -> None:
    both = asctb_markers(["blood"], ["T cell", "CD4-positive, alpha-beta T cell"])
    alone = asctb_markers(["blood"], ["CL:0000084"])
    assert both.cl_ids == ("CL:0000084", "CL:0000624")
    broad, cd4 = (set(one.positive) for one in both.sets.values())
    assert cd4 and broad | cd4 == set(alone.sets["T cell"].positive) and not cd4 <= broad


def test_asctb_takes_a_type_that_the_organs_lack_from_all_and_says_so() -> None:
    table = asctb_markers(["pancreas"], ["CL:0000169", "endothelial cell"])
    assert table.sets["endothelial cell"].positive
    assert any("endothelial cell" in note and "all organs" in note for note in table.notes)
    assert asctb_markers(["pancreas"], ["CL:0000169"]).sets["type B pancreatic cell"].positive.keys() >= {
        "PDX1",
        "MAFA",
    }


def test_asctb_without_types_has_every_type_of_an_organ_once() -> None:
    table = asctb_markers(["Bone Marrow"])
    assert len(set(table.cl_ids)) == len(table.types) > 20 and None not in table.cl_ids
    assert len(asctb_markers().types) > len(table.types)


def test_asctb_reads_signs_behind_genes_unless_told_not_to() -> None:
    cd8 = ["CL:0000625"]
    mended, as_written = asctb_markers(["spleen"], cd8), asctb_markers(["spleen"], cd8, as_written=True)
    (mended_set,), (raw_set,) = mended.sets.values(), as_written.sets.values()
    assert "CD4" in mended_set.negative and "CD4-" in raw_set.positive
    assert not any(gene.endswith(("+", "-")) for gene in mended_set.positive)


@pytest.mark.parametrize(
    ("organs", "types", "says"),
    [
        (["moon"], None, "no organ 'moon'.*blood"),
        ("blood", None, "must be a list"),
        ([], None, "no organ"),
        (None, ["flying cell"], "flying cell"),
        (None, "B cell", "must be a list"),
        (None, ["B cell", "CL:0000236"], "twice"),
        (None, [], "no type"),
    ],
)
def test_asctb_refuses_what_it_does_not_know(organs: Any, types: Any, says: str) -> None:
    with pytest.raises(OptionError, match=says):
        asctb_markers(organs, types)
