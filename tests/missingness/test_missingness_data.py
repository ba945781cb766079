"""Complete values: of real cells, of tables as they are, and of the simulation with known clusters."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.benchmarks._sources import Unread
from corpuscle.benchmarks.missingness._data import TruthSource, complete_table, simulated, stratified, truths
from corpuscle.benchmarks.missingness.metrics import reference
from corpuscle.datasets import bundled_path
from corpuscle.errors import CorpuscleError, OptionError, SourceError

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
BLADDER = DATA / "clustering" / "mouse_bladder_2100.h5ad"


def labelled(n_types: int = 4):
    """Real counts, with made-up types of unequal size."""
    from anndata import read_h5ad

    adata = read_h5ad(bundled_path("pbmc_1k_v3"))
    depth_n = np.asarray(adata.X.sum(axis=1)).ravel()
    adata.obs["cell_type"] = pd.cut(depth_n, n_types, labels=[f"type {k}" for k in range(n_types)]).astype(str)
    return adata


@pytest.fixture(scope="module")
def cells() -> TruthSource:
    (source,) = truths([labelled()], genes=200, max_cells=150)
    assert isinstance(source, TruthSource)
    return source


def test_cells_become_logs_of_normalised_counts_of_the_most_variable_genes(cells: TruthSource):
    complete = cells.draw(0)
    assert complete.x_nd.shape == (150, 200) and complete.x_nd.dtype == np.float64
    x_ng = sp.csr_matrix(labelled().X).toarray().astype(float)
    whole_ng = np.log1p(1e4 * x_ng / x_ng.sum(axis=1, keepdims=True))
    for row in complete.x_nd[:5]:
        values = row[row > 0]
        (owner,) = np.flatnonzero(np.isclose(whole_ng, values.min(), rtol=1e-12).any(axis=1))[:1]
        assert np.isclose(whole_ng[owner][:, None], values, rtol=1e-12).any(axis=0).all()  # a cell of the whole
    assert len({row.tobytes() for row in complete.x_nd}) == 150  # and none twice
    assert complete.x_nd.var(axis=0).min() > 0


def test_genes_are_those_of_largest_variance_among_the_cells_drawn():
    adata = labelled()
    (source,) = truths([adata], genes=100, max_cells=10_000)
    got_nd = source.draw(0).x_nd
    x_ng = sp.csr_matrix(adata.X).toarray().astype(float)
    log_ng = np.log1p(1e4 * x_ng / x_ng.sum(axis=1, keepdims=True))
    best_g = np.sort(np.argsort(-log_ng.var(axis=0), kind="stable")[:100])
    np.testing.assert_allclose(got_nd, log_ng[:, best_g], atol=1e-12)


def test_a_seed_repeats_and_another_draws_other_cells(cells: TruthSource):
    one, again, other = cells.draw(0), cells.draw(0), cells.draw(1)
    np.testing.assert_array_equal(one.x_nd, again.x_nd)
    np.testing.assert_array_equal(one.code_n, again.code_n)
    assert one.x_nd.shape != other.x_nd.shape or not np.array_equal(one.x_nd, other.x_nd)
    assert one.n_coordinates == 10 and set(one.types) <= {f"type {k}" for k in range(4)}


def test_each_type_gives_its_share():
    code_n = np.repeat([0, 1, 2], [700, 250, 50])
    kept_n = stratified(code_n, 100, np.random.default_rng(0))
    assert len(kept_n) == 100 == len(set(kept_n)) and (np.diff(kept_n) > 0).all()
    np.testing.assert_allclose(np.bincount(code_n[kept_n]), [70, 25, 5], atol=1)
    assert stratified(code_n, 5000, np.random.default_rng(0)).tolist() == list(range(1000))


def test_what_a_run_depends_on_has_the_sizes(cells: TruthSource):
    assert cells.described["genes"] == 200 and cells.described["max_cells"] == 150
    assert len(cells.sha256) == 64


def test_the_simulation_has_three_clusters_in_two_factors():
    few, many = simulated(500, 3), simulated(3000, 3)
    assert few.x_nd.shape == (600, 500) and few.n_coordinates == 2
    assert np.bincount(few.code_n).tolist() == [200, 200, 200]
    assert set(few.x_nd[0]) <= set(many.x_nd[0])  # fewer features are a part of more, and nothing else changes
    assert few.x_nd.mean() == pytest.approx(3, abs=0.2)
    within = many.x_nd - np.stack([many.x_nd[many.code_n == c].mean(axis=0) for c in range(3)])[many.code_n]
    assert within.std(axis=0).mean() == pytest.approx(2, abs=0.05)
    value = np.linalg.svd(many.x_nd - many.x_nd.mean(axis=0), compute_uv=False)
    assert value[0] > 1.5 * value[2] and value[2] < 1.05 * value[3]
    assert all(reference(simulated(2000, seed).x_nd, few.code_n, 0, n_coordinates=2).ari > 0.95 for seed in (0, 1))


def test_tables_are_taken_as_they_are(tmp_path: Path):
    x_nd = np.random.default_rng(0).normal(size=(40, 30))
    x_nd[:, 3] = 7.0
    np.save(tmp_path / "plain.npy", x_nd)
    table = pd.DataFrame(x_nd, columns=[f"g{k}" for k in range(30)])
    table["cell_type"] = ["a", "b"] * 20
    table.to_csv(tmp_path / "named.tsv", sep="\t")
    plain, named = truths([tmp_path / "plain.npy", tmp_path / "named.tsv"])
    assert (plain.name, named.name) == ("plain", "named")
    without = np.delete(x_nd, 3, axis=1)
    np.testing.assert_array_equal(plain.draw(0).x_nd, without)  # a constant column tells no rows apart
    assert plain.draw(0).code_n is None
    np.testing.assert_allclose(named.draw(0).x_nd, without)
    assert named.draw(0).types == ("a", "b") and named.draw(0).code_n.tolist() == [0, 1] * 20
    (part,) = truths([tmp_path / "named.tsv"], max_cells=20)
    assert np.bincount(part.draw(0).code_n).tolist() == [10, 10]


def test_a_hole_in_the_truth_is_refused_where_it_is():
    x_nd = np.ones((30, 30)) * np.arange(30)
    x_nd[4, 7] = np.nan
    with pytest.raises(SourceError, match="row 4, column 7"):
        complete_table("t", x_nd, None, 0)


def test_too_little_is_refused():
    with pytest.raises(SourceError, match="too few"):
        complete_table("t", np.random.default_rng(0).normal(size=(30, 5)), None, 0)
    for options in ({"genes": 3}, {"max_cells": 3}, {"features": [4]}, {"features": [9999]}):
        with pytest.raises(OptionError):
            list(truths([], **options))


def test_what_cannot_be_read_stops_no_other(tmp_path: Path):
    np.save(tmp_path / "good.npy", np.random.default_rng(0).normal(size=(40, 30)))
    (tmp_path / "bad.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "not.npy").write_bytes(b"not an array")
    np.save(tmp_path / "cube.npy", np.zeros((3, 3, 3)))
    np.save(tmp_path / "pickled.npy", np.array([{}], dtype=object), allow_pickle=True)
    names = ["bad.csv", "not.npy", "cube.npy", "pickled.npy", "absent.npy", "good.npy"]
    found = list(truths([tmp_path / name for name in names], features=[20]))
    assert isinstance(found[4], Unread) and "absent.npy" in str(found[4].error)
    for one in found[:4]:
        with pytest.raises(CorpuscleError) as refused:
            one.draw(0)
        assert "\n" not in str(refused.value)
    assert found[5].draw(0).x_nd.shape == (40, 30)
    assert found[6].name == "simulated:features=20"


def test_names_are_unique_whatever_the_kind(tmp_path: Path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", np.random.default_rng(0).normal(size=(40, 30)))
    assert [one.name for one in truths([tmp_path / "a" / "x.npy", tmp_path / "b" / "x.npy"])] == ["x", "x#2"]


@pytest.mark.skipif(not BLADDER.exists(), reason=f"{BLADDER} is not there; set CORPUSCLE_DATA")
def test_real_cells_with_types():
    (source,) = truths([BLADDER], max_cells=300)
    complete = source.draw(0)
    assert complete.x_nd.shape == (300, 1000) and np.bincount(complete.code_n).size == len(complete.types) >= 5
    source.release()
    np.testing.assert_array_equal(source.draw(0).x_nd, complete.x_nd)
