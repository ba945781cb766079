"""Every fault a coregulation file can have is named by its id, and a good file has none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.counts import open_counts
from corpuscle.datasets import (
    Issue,
    Pair,
    bundled,
    bundled_path,
    catalog,
    pairs_to_uns,
    read_pairs,
    resolve_pair,
    underpowered,
    validate,
    validate_many,
)
from corpuscle.datasets.validate import CHECKS
from corpuscle.errors import GeneError, OptionError, SourceError


@cache
def _real() -> Any:
    """300 real cells x 1,000 genes with light chains, and a reporter thinned from CD74."""
    whole = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:300]
    often = np.argsort(-np.asarray((whole.X > 0).sum(axis=0)).ravel(), kind="stable")[:1000]
    genes = dict.fromkeys([*whole.var_names[often], "IGKC", "IGLC2", "CD74"])
    cells = whole[:, list(genes)]
    target = cells[:, "CD74"].X.toarray().ravel()
    reporter = np.random.default_rng(0).binomial(target, 0.02).astype(np.int32)
    x_ng = sp.csr_matrix(sp.hstack([cells.X, reporter[:, None]]), dtype=np.int32)
    ids = [f"ENSG{i:011d}.{i % 9}" for i in range(len(genes))] + ["eGFP"]
    var = pd.DataFrame({"gene_id": ids}, index=[*genes, "eGFP"])
    adata = anndata.AnnData(x_ng, pd.DataFrame(index=cells.obs_names), var)
    described = {"sample_id": "s", "series_id": "e", "species": "Homo sapiens", "tissue": "PBMC", "platform": "10x v3"}
    pairs = [
        Pair("eGFP", "reporter", "eGFP", "CD74", "", _id(adata, "CD74"), "thinned"),
        Pair("IGKC_vs_IGLC2", "exclusion", "IGKC", "IGLC2", _id(adata, "IGKC"), _id(adata, "IGLC2"), "exclusion"),
    ]
    adata.uns = {**described, **pairs_to_uns(pairs)}
    return recount(adata)


def _id(adata: Any, gene: str) -> str:
    return str(adata.var.loc[gene, "gene_id"])


def recount(adata: Any) -> Any:
    adata.obs["total_counts"] = np.asarray(adata.X.sum(axis=1)).ravel().astype(int)
    adata.obs["n_genes"] = np.asarray((adata.X > 0).sum(axis=1)).ravel().astype(int)
    return adata


def good() -> Any:
    return _real().copy()


def ids(issues: list[Issue]) -> set[str]:
    return {issue.id for issue in issues}


def only(issues: list[Issue], check: str) -> Issue:
    (found,) = [issue for issue in issues if issue.id == check]
    return found


def test_a_good_file_has_no_issue(tmp_path: Path) -> None:
    assert validate(good()) == []
    good().write_h5ad(tmp_path / "good.h5ad")
    assert validate(tmp_path / "good.h5ad") == []


@pytest.mark.parametrize("name", list(bundled()))
def test_bundled_sets_are_valid(name: str) -> None:
    assert validate(bundled_path(name)) == []


def put(value: float, dtype: Any = np.float32) -> Callable[[Any], Any]:
    def change(adata: Any) -> Any:
        adata.X = adata.X.astype(dtype)
        adata.X.data[5] = value
        return adata

    return change


@pytest.mark.parametrize(
    ("value", "words"),
    [(-3, "negative"), (np.nan, "NaN or infinite"), (np.inf, "NaN or infinite"), (1.5, "looks normalised")],
)
def test_e1_values_that_are_no_counts_are_errors_that_name_cell_and_gene(value: float, words: str) -> None:
    adata = put(value)(good())
    issue = only(validate(adata), "E1")
    assert issue.severity == "error" and words in issue.message
    assert issue.rows == (adata.obs_names[0],) and issue.columns == (adata.var_names[adata.X.indices[5]],)


def test_e1_normalised_reports_extremes_and_share() -> None:
    adata = good()
    adata.X = adata.X.astype(np.float64).log1p()
    message = only(validate(adata), "E1").message
    assert f"max {adata.X.data.max():.6g}" in message and "100.0% of stored values" in message


@pytest.mark.parametrize(
    ("change", "severity"),
    [
        (lambda x: x.astype(np.float32), "warning"),
        (lambda x: x.astype(np.int64), "warning"),
        (lambda x: x.tocsc(), "error"),
        (lambda x: x.toarray(), "error"),
    ],
)
def test_e1_other_storage(change: Callable[[Any], Any], severity: str, tmp_path: Path) -> None:
    adata = good()
    adata.X = change(adata.X)
    adata.write_h5ad(tmp_path / "x.h5ad")
    for source in (adata, tmp_path / "x.h5ad"):
        issues = validate(source)
        assert ids(issues) == {"E1"} and issues[0].severity == severity


def test_e1_stored_zeros_and_unsorted_rows() -> None:
    adata = good()
    adata.X.data[0] = 0
    recount(adata)
    assert "stores 1 zeros" in only(validate(adata), "E1").message
    adata = good()
    start, stop = adata.X.indptr[:2]
    order = np.r_[np.arange(stop - 1, start - 1, -1), np.arange(stop, adata.X.nnz)]
    adata.X = sp.csr_matrix((adata.X.data[order], adata.X.indices[order], adata.X.indptr), shape=adata.shape)
    assert "unsorted" in only(validate(adata), "E1").message


def test_e2_missing_gene_and_gene_under_another_symbol() -> None:
    adata = good()[:, [gene for gene in good().var_names if gene != "IGLC2"]].copy()
    issue = only(validate(recount(adata)), "E2")
    assert issue.severity == "error" and issue.columns == ("IGLC2",)
    adata = good()
    adata.var_names = ["Ii" if gene == "CD74" else gene for gene in adata.var_names]
    issue = only(validate(adata), "E2")
    assert issue.severity == "warning" and issue.columns == ("Ii",)


def test_e3_no_pair_and_unreadable_pair() -> None:
    adata = good()
    del adata.uns["reporters"], adata.uns["exclusion_pairs"]
    assert only(validate(adata), "E3").severity == "error"
    adata = good()
    adata.uns["reporters"] = {"eGFP": "CD74"}
    assert "make it a dict" in only(validate(adata), "E3").message


def test_e4_repeated_names() -> None:
    adata = good()
    plain = [gene for gene in adata.var_names if gene not in ("IGKC", "IGLC2", "CD74", "eGFP")]
    adata.var_names = [plain[1] if gene == plain[0] else gene for gene in adata.var_names]
    issue = only(validate(adata), "E4")
    assert issue.severity == "warning" and issue.columns == (plain[1],)
    adata.var_names = ["IGKC" if i == 0 else gene for i, gene in enumerate(adata.var_names)]
    issue = only(validate(adata), "E4")
    assert issue.severity == "error" and issue.columns == ("IGKC",)


def test_e5_totals_that_disagree_name_the_cells() -> None:
    adata = good()
    adata.obs.iloc[7, adata.obs.columns.get_loc("total_counts")] += 1
    issue = only(validate(adata), "E5")
    assert issue.rows == (adata.obs_names[7],) and "total_counts" in issue.message and "reporter" not in issue.message
    adata = good()
    del adata.obs["n_genes"]
    assert "lacks n_genes" in only(validate(adata), "E5").message


def test_e5_tells_totals_from_before_the_reporter_was_added() -> None:
    adata = good()
    without = recount(good()[:, :-1].copy())
    adata.obs = without.obs
    issues = validate(adata)
    assert ids(issues) == {"E5"} and len(issues) == 2
    assert all("by exactly the reporter" in issue.message for issue in issues)


def test_e6_empty_cells() -> None:
    adata = good()
    adata.X = sp.csr_matrix(sp.vstack([adata.X[:-1], sp.csr_matrix((1, adata.n_vars), dtype=np.int32)]))
    issue = only(validate(recount(adata)), "E6")
    assert issue.severity == "error" and issue.rows == (adata.obs_names[-1],)


def test_w1_underpowered_pair() -> None:
    adata = good()
    adata.X.data[adata.X.indices == adata.var_names.get_loc("CD74")] = 0
    adata.X.eliminate_zeros()
    message = only(validate(recount(adata)), "W1").message
    assert "CD74" in message and "0 of 300 cells" in message and "knock-in" in message
    assert underpowered(10, 10, 10_000) == ""
    assert underpowered(9, 500, 1000) and underpowered(10, 500, 10_001)


def test_w2_few_cells() -> None:
    assert only(validate(good()[:150].copy()), "W2").severity == "warning"


def test_w4_mixed_ensembl_versions() -> None:
    adata = good()
    adata.var["gene_id"] = [gene.split(".")[0] if i < 3 else gene for i, gene in enumerate(adata.var["gene_id"])]
    assert "have no version" in only(validate(adata), "W4").message
    adata = good()
    adata.uns["reporters"]["eGFP"]["target_gene_id"] = _id(adata, "CD74").split(".")[0] + ".99"
    assert ".99" in only(validate(adata), "W4").message
    adata = good()
    adata.var["gene_id"] = ["ENSG00000000001.7", "ENSG00000000001.8", *adata.var["gene_id"][2:]]
    assert "several versions" in only(validate(adata), "W4").message
    del adata.var["gene_id"]
    assert "lacks gene_id" in only(validate(adata), "W4").message


def test_w5_shallow_cells() -> None:
    adata = good()
    adata.X.data = np.random.default_rng(0).binomial(adata.X.data, 0.05).astype(np.int32)
    adata.X.eliminate_zeros()
    kept = np.asarray(adata.X.sum(axis=1)).ravel() > 0
    assert "W5" in ids(validate(recount(adata[kept].copy())))


def test_w6_reporter_is_its_own_target() -> None:
    adata = good()
    adata.uns["reporters"]["eGFP"]["target_gene_symbol"] = "eGFP"
    assert only(validate(adata), "W6").columns == ("eGFP",)


def with_reporter(counts_n: np.ndarray) -> Any:
    adata = good()
    adata.X = sp.csr_matrix(sp.hstack([adata.X[:, :-1], counts_n[:, None]]), dtype=np.int32)
    return recount(adata)


def test_w7_reporter_everywhere_or_tied_to_depth() -> None:
    assert "detected in 100% of cells" in only(validate(with_reporter(np.ones(300, int))), "W7").message
    depth = good().obs["total_counts"].to_numpy()
    ambient = np.where(depth > np.quantile(depth, 0.3), (depth / depth.mean()) ** 3 * 2, 0).astype(int)
    assert "follows depth" in only(validate(with_reporter(ambient)), "W7").message


def test_w7_depth_correlation_is_pearson_of_share_and_total() -> None:
    from corpuscle.datasets._scan import scan

    x_ng = good().X.toarray().astype(float)
    with open_counts(good()) as counts:
        found_g = scan(counts, np.array([], int)).depth_correlation_g()
    depth = x_ng.sum(axis=1)
    expected_g = np.array([np.corrcoef(share, depth)[0, 1] for share in (x_ng / depth[:, None]).T])
    np.testing.assert_allclose(found_g, expected_g, atol=1e-9)


@pytest.mark.parametrize("field", ["sample_id", "series_id", "species", "tissue", "platform"])
def test_w8_missing_description(field: str) -> None:
    adata = good()
    del adata.uns[field]
    assert field in only(validate(adata), "W8").message


def test_w3_and_e0_need_siblings_or_a_broken_file(tmp_path: Path) -> None:
    one, two, turned, other = good(), good(), good(), good()
    turned = turned[:, [1, 0, *range(2, turned.n_vars)]].copy()
    other.uns["species"] = "Mus musculus"
    two = two[
        :, [gene for gene in two.var_names if gene != "eGFP"]
    ].copy()  # a reporter more or less is no other reference
    del two.uns["reporters"]
    for name, adata in {"1": one, "2": two, "3": turned, "4": other[:, ::-1].copy()}.items():
        recount(adata).write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "5.h5ad").write_bytes((tmp_path / "1.h5ad").read_bytes()[:20_000])
    found = validate_many(tmp_path / f"{i}.h5ad" for i in range(1, 6))
    assert [ids(issues) for issues in found.values()] == [set(), set(), {"W3"}, set(), {"E0"}]
    assert "another order" in found[str(tmp_path / "3.h5ad")][0].message


def test_a_file_that_is_not_there() -> None:
    with pytest.raises(SourceError):
        validate("/nowhere/x.h5ad")


def test_several_files_at_once_are_refused() -> None:
    with pytest.raises(OptionError, match="one at a time"):
        validate(list(bundled().values()))


def test_every_check_has_a_meaning() -> None:
    assert {f"E{i}" for i in range(7)} | {f"W{i}" for i in range(1, 9)} == set(CHECKS)


def test_pairs_read_bytes_and_arrays_and_round_trip() -> None:
    entry = {
        "target_gene_symbol": np.array("Pdgfrb"),
        "target_gene_id": b"ENSMUSG00000024620.13",
        "construct": np.str_("BAC"),
    }
    (pair,) = read_pairs({"reporters": {"eGFP": entry}})
    assert pair == Pair("eGFP", "reporter", "eGFP", "Pdgfrb", "", "ENSMUSG00000024620.13", "BAC") and pair.sign == 1
    exclusion = Pair("A_vs_B", "exclusion", "A", "B", "1", "2", "why")
    assert exclusion.sign == -1
    assert read_pairs(pairs_to_uns([pair, exclusion])) == [pair, exclusion]
    with pytest.raises(GeneError, match="/"):
        pairs_to_uns([Pair("A/B", "reporter", "A/B", "C")])


def test_a_pair_is_found_by_id_when_its_symbol_is_another() -> None:
    adata = good()
    adata.var_names = ["Ii" if gene == "CD74" else gene for gene in adata.var_names]
    with open_counts(adata) as counts:
        pair = read_pairs(counts.uns)[0]
        assert resolve_pair(pair, counts).genes == ("eGFP", "Ii")


def test_the_catalog_adds_up() -> None:
    table = catalog()
    by_task = table.groupby("task")[["n_files", "n_cells"]].sum()
    assert by_task.loc["promoter_reporter"].tolist() == [20, 191_858]
    assert by_task.loc["allelic_exclusion"].tolist() == [15, 198_909]
    reporters = table[table.task == "promoter_reporter"]
    assert (reporters.n_files * reporters.pairs_per_file).sum() == 21
    with pytest.raises(OptionError, match="no catalog"):
        catalog("nothing")
    with pytest.raises(OptionError, match="pbmc_1k_v2"):
        bundled_path("nothing")
