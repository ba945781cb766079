"""What preparation keeps, drops, refuses and reports."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from pair_cells import chunk_files, chunks, imitated, logged, pbmc68k, small_rules

from corpuscle.corpus.pairs.prepare import QCRules, prepare
from corpuscle.errors import GeneError, NotCountsError, OptionError, SourceError


def planted(counts_ng, genes, obs=None, cells=None):
    from anndata import AnnData

    x_ng = sp.csr_matrix(np.asarray(counts_ng, np.float32))
    index = [f"c{i}" for i in range(x_ng.shape[0])] if cells is None else cells
    out = AnnData(X=x_ng, obs=pd.DataFrame(obs or {}, index=index))
    out.var_names = list(genes)
    return out


def ordinary(n=120, g=300, seed=0):
    """Cells whose genes are all alike in mean."""
    return np.random.default_rng(seed).poisson(2.0, (n, g))


GENES = [f"G{i}" for i in range(299)] + ["MT-CO1"]


def joined(prepared, attribute, cells=None):
    return sp.vstack([getattr(block, attribute) for block in prepared.blocks(cells)], format="csr")


# -- raw counts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["float32", "float64", "int16", "dense"])
def test_rebuilt_counts_are_accepted_in_any_type(kind):
    cells = pbmc68k()
    cells.X = cells.X.toarray() if kind == "dense" else cells.X.astype(kind)
    prepared = prepare(cells, rules=None)
    assert prepared.verdict["AnnData"].is_counts
    assert (joined(prepared, "counts_ng") != pbmc68k().X).nnz == 0


def test_logarithms_are_refused_and_so_never_logged_twice():
    with pytest.raises(NotCountsError, match=r"not raw counts: value .* \(fractional\)"):
        prepare(logged(), rules=None)


def test_ceiled_logarithms_are_told_as_imitation_with_the_evidence():
    with pytest.raises(NotCountsError, match="imitated counts") as caught:
        prepare(imitated(), rules=None)
    assert "declare" in str(caught.value)
    prepared = prepare(imitated(), rules=None, allow_imitation=True)
    verdict = prepared.verdict["AnnData"]
    assert verdict.share_smallest_is_one < 0.05
    assert verdict.share_ones < 0.05
    assert any("imitated" in note for note in prepared.notes)
    real = prepare(pbmc68k(), rules=None).verdict["AnnData"]
    assert real.share_smallest_is_one > 0.95
    assert real.share_ones > 0.4


def test_a_declaration_beats_the_guess():
    prepared = prepare(imitated(), rules=None, declared_counts=True)
    assert any("declared" in note for note in prepared.notes)


def test_a_count_beyond_32_bits_is_refused_and_not_wrapped():
    counts = ordinary(30)
    counts[3, 3] = 2**31
    cells = planted(counts, GENES)
    cells.X = sp.csr_matrix(counts.astype(np.float64))
    with pytest.raises(NotCountsError, match="2,147,483,648"):
        prepare(cells, rules=None)


# -- normalisation -------------------------------------------------------------------------------------------------


def test_shallow_counts_are_normalised_and_logged_exactly_once():
    cells = pbmc68k()
    shallow = cells[(cells.X.max(axis=1).toarray().ravel() <= 60)].copy()
    assert shallow.X.max() <= 60
    prepared = prepare(shallow, rules=None)
    counts = shallow.X.toarray().astype(np.float64)
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 10_000)
    np.testing.assert_allclose(joined(prepared, "log_ng").toarray(), expected, rtol=1e-6)


def test_values_follow_from_the_counts_that_are_kept():
    prepared = prepare(pbmc68k(), rules=small_rules(min_cells=100))
    counts = joined(prepared, "counts_ng").toarray().astype(np.float64)
    assert 0 < counts.shape[1] < 765
    expected = np.log1p(counts / counts.sum(1, keepdims=True) * 10_000)
    np.testing.assert_allclose(joined(prepared, "log_ng").toarray(), expected, rtol=1e-6)


# -- quality control -----------------------------------------------------------------------------------------------


def test_a_cell_of_low_complexity_is_dropped_by_the_top_genes():
    counts = ordinary()
    counts[7, :20] += 40  # twenty genes hold far more than in the others
    counts[7, 20:] = np.minimum(counts[7, 20:], 1)
    prepared = prepare(
        planted(counts, GENES), rules=QCRules(min_cells=0, min_genes=0, n_mads=8, mito_mads=99, mito_percent=50)
    )
    assert list(prepared.removed["obs_name"]) == ["c7"]
    assert "top 20 genes" in prepared.removed["reasons"][0]


@pytest.mark.parametrize(("mads", "percent"), [(3.0, 99.0), (np.inf, 8.0)])
def test_a_mitochondrial_cell_is_dropped_by_either_limit(mads, percent):
    counts = ordinary()
    counts[:, -1] = 1
    counts[:40, -1] = 2
    counts[5, -1] = 200
    rules = QCRules(min_cells=0, min_genes=0, n_mads=50, mito_mads=mads, mito_percent=percent)
    removed = prepare(planted(counts, GENES), rules=rules).removed
    assert "c5" in set(removed["obs_name"])
    assert removed.set_index("obs_name").loc["c5", "reasons"].startswith("mitochondrial")


def test_every_removed_cell_has_all_its_reasons_and_the_steps_add_up():
    counts = ordinary()
    counts[3] = 0
    counts[4, 30:] = 0
    counts[5] *= 30
    prepared = prepare(planted(counts, GENES), rules=QCRules(min_cells=0, min_genes=100))
    removed = prepared.removed.set_index("obs_name")["reasons"]
    assert removed["c3"] == "no counts"
    assert "fewer than 100 detected genes" in removed["c4"]
    assert "total counts" in removed["c4"]
    assert "total counts" in removed["c5"]
    steps = prepared.report[prepared.report["unit"] == "cells"]
    assert steps["rows_in"].iloc[0] == 120
    assert (steps["rows_in"].iloc[1:].to_numpy() == steps["rows_out"].iloc[:-1].to_numpy()).all()
    assert steps["rows_out"].iloc[-1] == prepared.n_obs == 120 - len(removed)


def test_a_rule_whose_deviation_is_nil_judges_nobody():
    counts = np.ones((50, 300), int)
    counts[0, 0] = 3
    assert prepare(planted(counts, GENES), rules=QCRules(min_cells=0)).n_obs == 50


def test_genes_are_counted_over_the_whole_data_set():
    first, second = ordinary(60, seed=1), ordinary(60, seed=2)
    first[:, 0], second[:, 0] = 0, 0
    first[:12, 0], second[:12, 0] = 1, 1  # 24 cells in all, 12 in each
    first[:, 1], second[:, 1] = 0, 0
    first[:15, 1] = 1
    sources = {"a": planted(first, GENES), "b": planted(second, GENES, cells=[f"e{i}" for i in range(60)])}
    prepared = prepare(sources, rules=QCRules(min_cells=20, min_genes=0, n_mads=99, mito_mads=99, mito_percent=99))
    for name in "ab":
        assert "G0" in prepared.var[name].index
        assert "G1" not in prepared.var[name].index


def test_every_weak_batch_is_dropped_not_only_the_first():
    counts = ordinary(90)
    batch = np.repeat(["good", "weak1", "weak2"], 30)
    counts[30:, 40:] = 0
    rules = QCRules(min_cells=0, min_genes=0, n_mads=99, mito_mads=99, mito_percent=99, min_batch_genes=100)
    prepared = prepare(planted(counts, GENES, {"lane": batch}), batch="lane", rules=rules)
    assert set(prepared.obs["lane"]) == {"good"}
    assert prepared.report.set_index("step").loc["weak_batch", "dropped"] == 60
    assert any("weak1, weak2" in note for note in prepared.notes)


def test_rare_categories_are_counted_over_all_sources():
    obs = {"type": ["T"] * 115 + ["rare"] * 3 + ["B"] * 2}
    sources = {
        "a": planted(ordinary(), GENES, obs),
        "b": planted(ordinary(seed=3), GENES, obs, cells=[f"e{i}" for i in range(120)]),
    }
    rules = QCRules(min_cells=0, min_genes=0, n_mads=99, mito_mads=99, mito_percent=99)
    prepared = prepare(sources, categories=["type"], rules=rules)
    assert prepared.obs["type"].value_counts().to_dict() == {"T": 230, "rare": 6, "remaining type": 4}
    blocks = pd.concat([block.obs for block in prepared.blocks()])
    assert list(blocks["type"]) == list(prepared.obs["type"])


def test_cells_without_a_group_are_dropped_and_said_so():
    obs = {"donor": ["d1"] * 100 + [None] * 20}
    prepared = prepare(planted(ordinary(), GENES, obs), group="donor", rules=None)
    assert prepared.n_obs == 100
    assert set(prepared.removed["reasons"]) == {"no value of donor"}


def test_no_rules_keep_every_cell_and_gene_but_empty_cells():
    counts = ordinary(40)
    counts[0] = 0
    prepared = prepare(planted(counts, GENES), rules=None)
    assert prepared.n_obs == 39
    assert joined(prepared, "counts_ng").shape == (39, 300)


@pytest.mark.parametrize(
    ("rules", "error", "said"),
    [({"min_cells": 1000}, GeneError, "lower min_cells"), ({"min_genes": 5000}, SourceError, "no cell is left")],
)
def test_rules_that_leave_nothing_say_so(rules, error, said):
    with pytest.raises(error, match=said):
        prepare(planted(ordinary(), GENES), rules=QCRules(**({"min_genes": 0, "mito_percent": 99} | rules)))


@pytest.mark.parametrize("wrong", [{"min_cells": -1}, {"n_mads": 0}, {"mito_percent": float("nan")}, {"top_genes": 0}])
def test_limits_out_of_range_are_refused(wrong):
    with pytest.raises(OptionError):
        QCRules(**wrong)


# -- names ---------------------------------------------------------------------------------------------------------


def test_equal_cell_names_are_an_error_or_get_their_source(tmp_path):
    paths = chunk_files(tmp_path)
    with pytest.raises(SourceError, match="namespace"):
        prepare({"a": paths[0], "b": chunks()[0]}, rules=None)
    prepared = prepare({"a": paths[0], "b": chunks()[0]}, rules=None, namespace=True)
    n = chunks()[0].n_obs
    assert prepared.n_obs == 2 * n
    assert prepared.obs.index.is_unique
    name = prepared.obs["obs_name"].iloc[0]
    assert {f"a:{name}", f"b:{name}"} <= set(prepared.obs["sample_idx"])
    blocks = pd.concat([block.obs for block in prepared.blocks()])
    assert list(blocks["sample_idx"]) == list(prepared.obs["sample_idx"])
    assert list(blocks.index) == list(prepared.obs["obs_name"])


def test_two_cells_of_one_name_in_a_source_are_an_error():
    with pytest.raises(SourceError, match="obs_names_make_unique"):
        prepare(planted(ordinary(3), GENES, cells=["x", "y", "x"]), rules=None)


def test_repeated_gene_names_are_numbered_without_taking_a_name_that_is_there():
    genes = ["A", "A", "A-1", *GENES[3:]]
    prepared = prepare(planted(ordinary(30), genes), rules=None)
    assert list(prepared.var["AnnData"].index[:3]) == ["A", "A-2", "A-1"]


def test_columns_of_the_user_that_are_called_as_ours_survive():
    obs = {"source": ["blood"] * 30, "sample_idx": ["z"] * 30}
    prepared = prepare(planted(ordinary(30), GENES, obs), rules=None)
    assert set(prepared.obs["source_given"]) == {"blood"}
    assert set(prepared.obs["source"]) == {"AnnData"}


def test_files_of_one_name_in_two_folders_are_two_sources(tmp_path):
    for k, part in enumerate(chunks()[:2]):
        (tmp_path / f"study{k}").mkdir()
        part.write_h5ad(tmp_path / f"study{k}" / "cells.h5ad")
    prepared = prepare(str(tmp_path / "*" / "cells.h5ad"), rules=None)
    assert [source.name for source in prepared.sources] == ["study0_cells", "study1_cells"]


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".."])
def test_a_name_that_could_leave_the_folder_is_refused(name):
    with pytest.raises(OptionError, match="source name"):
        prepare({name: pbmc68k()}, rules=None)


def test_a_missing_column_is_named_with_those_that_are_there():
    with pytest.raises(OptionError, match=r"no column 'donour'; it has: cell_type"):
        prepare(pbmc68k(), group="donour", rules=None)


# -- blocks --------------------------------------------------------------------------------------------------------


def test_blocks_of_some_cells_are_those_rows_in_order(tmp_path):
    prepared = prepare(chunk_files(tmp_path), rules=small_rules())
    genes = {block.genes for block in prepared.blocks()}
    assert len(genes) == 1
    whole = joined(prepared, "counts_ng")
    wanted = np.flatnonzero(np.random.default_rng(0).random(prepared.n_obs) < 0.3)
    assert (joined(prepared, "counts_ng", wanted) != whole[wanted]).nnz == 0
    names = [name for block in prepared.blocks(wanted) for name in block.obs["sample_idx"]]
    assert names == list(prepared.obs.index[wanted])
    mask = np.zeros(prepared.n_obs, bool)
    assert list(prepared.blocks(mask)) == []
    with pytest.raises(OptionError, match="ascending"):
        list(prepared.blocks(np.array([3, 1])))


def test_a_file_that_changes_after_preparation_is_not_read_as_if_it_had_not(tmp_path):
    paths = chunk_files(tmp_path)
    prepared = prepare(paths, rules=small_rules())
    chunks()[1].write_h5ad(paths[0])
    with pytest.raises(SourceError, match="changed since"):
        list(prepared.blocks())


def test_a_source_is_the_same_from_a_file_and_from_memory(tmp_path):
    paths = chunk_files(tmp_path)
    filed = prepare(paths[0], rules=small_rules())
    held = prepare({"part0": chunks()[0]}, rules=small_rules())
    assert (joined(filed, "log_ng") != joined(held, "log_ng")).nnz == 0
    pd.testing.assert_frame_equal(filed.report, held.report)
