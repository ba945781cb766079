"""From counts to mini-batches: what a network is given is what the cells are."""

from __future__ import annotations

import os
from pathlib import Path

import anndata as ad
import lightning
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
import scipy.sparse as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from lightning.fabric.utilities import move_data_to_device

from corpuscle.errors import MethodError
from corpuscle.models._cells import CellBatches, SparseRows, checked_view
from corpuscle.models._expression import highly_variable, log_normalise, principal_components
from corpuscle.models._neighbours import mutual_neighbours

torch.set_num_threads(1)
DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def dense(rows: SparseRows):
    return torch.sparse_csr_tensor(rows.crow, rows.col, rows.values, size=rows.shape).to_dense().numpy()


def real(name):
    if not (DATA / name).exists():
        pytest.skip(f"needs {name} of the shared data (CORPUSCLE_DATA)")
    adata = ad.read_h5ad(DATA / name)
    return adata, sp.csr_matrix(adata.X)


# -- expression ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("target_sum", [1e4, None])
def test_log_normalise_is_log1p_of_scaled_counts_and_leaves_the_counts_alone(target_sum):
    counts = sp.random(30, 40, 0.3, format="csr", random_state=0, data_rvs=lambda n: np.arange(1, n + 1)).astype(
        np.int32
    )
    before = counts.copy()
    found = log_normalise(counts, target_sum)
    x = counts.toarray().astype(float)
    scaled = x if target_sum is None else x / x.sum(1, keepdims=True) * target_sum
    assert found.dtype == np.float32 and found.nnz == counts.nnz
    np.testing.assert_allclose(found.toarray(), np.log1p(scaled), rtol=1e-5)
    assert (counts != before).nnz == 0


def test_a_cell_without_counts_is_not_scaled_to_something():
    counts = sp.csr_matrix(np.array([[1, 2], [0, 0], [3, 0]]))
    with pytest.raises(MethodError, match="1 of 3 cells have no count to scale by, first cell 1"):
        log_normalise(counts, 1e4)
    assert log_normalise(counts, None)[1].nnz == 0


@pytest.mark.parametrize("name", ["pbmc/pbmc68k_reduced.h5ad", "clustering/deng_mouse_embryo.h5ad"])
def test_highly_variable_genes_are_those_of_scanpy(name):
    adata, counts = real(name)
    adata.X = log_normalise(counts, 1e4)
    theirs = sc.pp.highly_variable_genes(adata, n_top_genes=500, inplace=False)["highly_variable"]
    chosen = highly_variable(adata.X, 500)
    assert chosen.tolist() == np.flatnonzero(theirs).tolist()
    assert chosen.dtype == np.int64


def test_highly_variable_genes_over_batches_are_those_of_scanpy():
    adata, counts = real("perturbation/kang_ifnb_2800.h5ad")
    adata.X = log_normalise(counts, 1e4)
    theirs = sc.pp.highly_variable_genes(adata, n_top_genes=500, batch_key="condition", inplace=False)
    batch_n = adata.obs["condition"].to_numpy()
    chosen = highly_variable(adata.X, 500, batch_n)
    assert chosen.tolist() == np.flatnonzero(theirs["highly_variable"]).tolist()
    odd = batch_n.astype(object).copy()
    odd[0] = "a cell of its own"
    assert len(set(highly_variable(adata.X, 500, odd)) & set(chosen)) > 490


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), n_top=st.one_of(st.none(), st.integers(1, 40)), batches=st.booleans())
def test_a_gene_that_no_cell_expresses_is_never_chosen(seed, n_top, batches):
    rng = np.random.default_rng(seed)
    x = rng.poisson(rng.gamma(0.3, 1, 30), (25, 30)).astype(np.float32)
    x[:, 0] = 1  # varies in no cell, but is expressed
    x[:, [3, 7]] = 0
    expressed = set(np.flatnonzero(x.sum(0)))
    batch_n = np.repeat([0, 1, 2], [12, 12, 1]) if batches else None
    chosen = highly_variable(log_normalise(sp.csr_matrix(x), 1e4), n_top, batch_n)
    assert set(chosen) <= expressed
    assert chosen.size == min(len(expressed), n_top or 30)
    assert (np.diff(chosen) > 0).all()


def test_a_gene_that_is_the_same_in_every_cell_comes_before_one_that_no_cell_expresses():
    x = np.zeros((6, 4), np.float32)
    x[:, 1] = x[:, 2] = np.log1p(1.0)
    x[:, 3] = np.arange(6)
    assert highly_variable(sp.csr_matrix(x), 2).tolist() == [1, 3]


def test_stored_zeros_are_not_expression():
    x = sp.csr_matrix(np.ones((5, 3), np.float32))
    x.data[1::3] = 0
    assert highly_variable(x, None).tolist() == [0, 2]


def test_principal_components_of_sparse_and_dense_cells_agree():
    _, counts = real("pbmc/pbmc68k_reduced.h5ad")
    x_ng = log_normalise(counts, 1e4)
    found = principal_components(x_ng, 10)
    centred = x_ng.toarray().astype(float)
    centred -= centred.mean(0)
    left, value, _ = np.linalg.svd(centred, full_matrices=False)
    assert found.dtype == np.float32
    np.testing.assert_allclose(np.abs(found), np.abs(left[:, :10] * value[:10]), rtol=1e-3, atol=1e-2)


# -- the second view -----------------------------------------------------------------------------------------------


def test_any_table_of_numbers_is_a_view():
    for form in (np.asarray, sp.csr_matrix, pd.DataFrame):
        view = checked_view(form(np.eye(3)), 3, key="X_pca")
        assert view.dtype == np.float32 and (view == np.eye(3)).all()


@pytest.mark.parametrize(
    ("view", "says"),
    [
        (np.zeros((4, 2)), "'X_v' is 4 x 2 for 3 cells"),
        (np.zeros((3, 0)), "'X_v' is 3 x 0"),
        (np.zeros(3), "'X_v' is 3 for 3 cells"),
        (np.array([["a"], ["b"], ["c"]]), "'X_v' is not a matrix of numbers"),
        (np.array([[0, 0], [0, np.nan], [np.inf, 0]]), "in 2 of 3 cells, first at cell c1, column 1"),
        (np.array([[0.0], [0.0], [1e300]]), "in 1 of 3 cells, first at cell c2, column 0"),
    ],
)
def test_a_bad_view_is_refused_in_one_line(view, says):
    with pytest.raises(MethodError, match=says) as caught:
        checked_view(view, 3, key="X_v", cells=["c0", "c1", "c2"])
    assert "\n" not in str(caught.value)


# -- mini-batches --------------------------------------------------------------------------------------------------


def cells(n=23, g=12, **options):
    """Every value of x and of the view tells which cell it is of."""
    x = np.zeros((n, g), np.float32)
    x[np.arange(n), np.arange(n) % g] = np.arange(1, n + 1)
    view = np.arange(n, dtype=np.float32)[:, None]
    space = np.random.default_rng(0).standard_normal((n, 3))
    given = {
        "view_ne": view,
        "neighbours": mutual_neighbours(space, 6, 0),
        "view_neighbours": mutual_neighbours(space[:, :1], 6, 0),
        "batch_n": np.arange(n) % 2,
        "batch_size": 5,
        "seed": 3,
    }
    return CellBatches(sp.csr_matrix(x), **given | options)


def which(batch, key="x"):
    return (dense(batch[key]).sum(1) - 1).astype(int)


def same(one, other):
    return all(
        set(a) == set(b) and all((np.asarray(x) == np.asarray(y)).all() for key in a for x, y in _pairs(a[key], b[key]))
        for a, b in zip(one, other, strict=True)
    )


def _pairs(a, b):
    return zip(a[:3], b[:3], strict=True) if isinstance(a, SparseRows) else [(a, b)]


@settings(max_examples=40, deadline=None)
@given(n=st.integers(2, 60), batch_size=st.integers(2, 20), seed=st.integers(0, 100))
def test_an_epoch_visits_every_cell_once_and_leaves_none_alone(n, batch_size, seed):
    batches = CellBatches(sp.identity(n, format="csr", dtype=np.float32), batch_size=batch_size, seed=seed)
    sizes, seen = [], []
    for batch in batches.train_dataloader():
        sizes.append(batch["x"].shape[0])
        seen += batch["x"].col.tolist()
    assert sorted(seen) == list(range(n))
    assert min(sizes) >= 2
    assert max(sizes) <= batch_size + 1
    assert set(sizes[:-1]) <= {batch_size}
    assert len(batches.train_dataloader()) == len(sizes)


def test_a_batch_holds_the_cells_their_view_and_listed_neighbours():
    data = cells()
    for batch in data.train_dataloader():
        rows = which(batch)
        assert batch["view"][:, 0].tolist() == rows.tolist()
        assert batch["row_sum"].tolist() == (rows + 1).tolist()
        assert batch["batch"].tolist() == (rows % 2).tolist() and batch["batch"].dtype == torch.int64
        assert batch["row_sum"].dtype == batch["view"].dtype == batch["x"].values.dtype == torch.float32
        drawn = {"neighbours": which(batch, "x_neighbour"), "view_neighbours": batch["view_neighbour"][:, 0].int()}
        for lists, cell_b in drawn.items():
            index_nk = getattr(data, lists).index_nk
            assert all(int(cell) in index_nk[row, 1:] for row, cell in zip(rows, cell_b, strict=True))


def test_what_was_not_given_is_absent():
    x_ng = sp.identity(6, format="csr", dtype=np.float32)
    (batch,) = CellBatches(x_ng, batch_size=512, seed=0).train_dataloader()
    assert set(batch) == {"x", "row_sum"}


def test_epochs_differ_and_repeat_exactly_with_the_seed():
    loader, again, other = (cells(seed=seed).train_dataloader() for seed in (3, 3, 4))
    first, second = list(loader), list(loader)
    assert same(first, list(again)) and same(second, list(again))
    assert not same(first, second)
    assert not same(first, list(other))
    loader.sampler.set_epoch(0)
    assert same(first, list(loader))


def test_held_out_cells_are_validated_on_and_never_seen_in_training():
    held_out = np.arange(0, 23, 4)
    data = cells(validation_index=held_out)
    loader = data.train_dataloader()
    for _ in range(20):
        for batch in loader:
            seen = [*which(batch), *which(batch, "x_neighbour"), *batch["view_neighbour"][:, 0].int().tolist()]
            assert not set(seen) & set(held_out)
    validation = list(data.val_dataloader())
    assert [cell for batch in validation for cell in which(batch)] == held_out.tolist()
    assert same(validation, list(data.val_dataloader()))
    assert (data.n_train, data.n_val) == (17, 6)
    assert sorted([*data.train_idx, *data.val_idx, *data.test_idx]) == list(range(23))


def test_cells_that_are_neither_trained_nor_validated_on_are_left_out():
    data = cells(train_index=np.arange(10), validation_index=np.array([20, 12]))
    assert data.val_idx.tolist() == [12, 20]
    assert data.test_idx.tolist() == [*range(10, 12), *range(13, 20), 21, 22]
    assert sorted(cell for batch in data.train_dataloader() for cell in which(batch)) == list(range(10))


class Recorder(lightning.LightningModule):
    """Learns nothing and keeps what it was given."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.seen = []
        self.validated = []

    def training_step(self, batch, _):
        self.seen.append((self.current_epoch, batch))
        return self.layer(batch["row_sum"][:, None]).mean() * 0

    def validation_step(self, batch, _):
        self.validated.append(batch)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.0)


@pytest.mark.parametrize("validation", [None, np.array([1, 2, 3])])
def test_lightning_is_given_the_batches_of_each_epoch(tmp_path, validation):
    recorder = Recorder()
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    trainer = lightning.Trainer(max_epochs=3, accelerator="cpu", default_root_dir=tmp_path, **quiet)
    trainer.fit(recorder, cells(validation_index=validation))
    loader = cells(validation_index=validation).train_dataloader()
    for epoch in range(3):
        assert same([batch for seen, batch in recorder.seen if seen == epoch], list(loader))
    assert (len(recorder.validated) > 0) == (validation is not None)


def test_sparse_rows_move_to_a_device_as_such():
    rows = next(iter(cells().train_dataloader()))["x"]
    moved = move_data_to_device({"x": rows}, torch.device("meta"))["x"]
    assert isinstance(moved, SparseRows)
    assert moved.values.device.type == "meta"
    assert moved.shape == rows.shape


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"view_ne": np.zeros((22, 1))}, "second view: 22 rows for 23 cells"),
        ({"batch_n": np.zeros(24)}, "batches: 24 rows for 23 cells"),
        ({"neighbours": mutual_neighbours(np.eye(4), 2, 0)}, "neighbours: 4 rows for 23 cells"),
        ({"train_index": np.array([4])}, "1 cell to train on"),
        ({"train_index": np.array([4, 5]), "validation_index": np.array([5])}, "both to train on and held out"),
        ({"train_index": np.array([4, 23])}, "not one of 0 to 22"),
        ({"validation_index": np.array([-1])}, "not one of 0 to 22"),
    ],
)
def test_parts_that_do_not_fit_are_refused(options, says):
    with pytest.raises(MethodError, match=says):
        cells(**options)
