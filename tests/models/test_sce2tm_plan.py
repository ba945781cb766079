"""Training of the scE2TM network on scvi-tools' trainer: schedule, history, repeatability, and its warnings."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")
pytest.importorskip("scvi")

from scvi.train import Trainer  # noqa: E402

from corpuscle.errors import MethodError  # noqa: E402
from corpuscle.models._cells import CellBatches  # noqa: E402
from corpuscle.models._neighbours import mutual_neighbours  # noqa: E402
from corpuscle.models.sce2tm._plan import SCE2TMTrainingPlan, geometry  # noqa: E402
from corpuscle.models.sce2tm.module import SCE2TMModule  # noqa: E402
from corpuscle.models.sce2tm.recipe import recipe  # noqa: E402

K = 8
FREE = {"normalize_embeddings": False, "ecr_contrast": False}


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def blood():
    """700 blood cells x 765 genes, logged, and 20 principal components as a second view."""
    scanpy = pytest.importorskip("scanpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = scanpy.datasets.pbmc68k_reduced()
    x = sp.csr_matrix(adata.raw.X, dtype=np.float32)
    view = np.asarray(adata.obsm["X_pca"][:, :20], np.float32)
    return x, view, mutual_neighbours(view, 15, 0, kind="mutual", include_self=False)


def train(blood, *, epochs=2, seed=0, view=True, ecr_weight=10.0, validation=None, every=10, **changes):
    x, view_ne, neighbours = blood
    choices = recipe("corpuscle", **({"n_topics": K, "n_hidden": 20, "n_embed": 10, "batch_size": 128} | changes))
    torch.manual_seed(seed)
    module = SCE2TMModule(x.shape[1], choices, ecr_weight=ecr_weight, view_width=view_ne.shape[1] if view else None)
    views = {"view_ne": view_ne, "neighbours": neighbours, "view_neighbours": neighbours} if view else {}
    batches = CellBatches(x, batch_size=choices.batch_size, seed=seed, validation_index=validation, **views)
    plan = SCE2TMTrainingPlan(module, grad_ratio_every=every)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning|scvi")
        warnings.filterwarnings("ignore", message=".*(GPU|num_workers|litlogger|log_every_n_steps|isinstance).*")
        trainer = Trainer(
            accelerator="cpu", devices=1, max_epochs=epochs, enable_progress_bar=False,
            check_val_every_n_epoch=1 if validation is not None else None,
        )  # fmt: skip
        trainer.fit(plan, batches)
    return module, {name: frame[name].astype(float) for name, frame in trainer.logger.history.items()}, trainer


def test_history_has_every_part_once_an_epoch_and_the_loss_falls(blood):
    _, history, _ = train(blood, epochs=4)
    parts = ["rec", "kl", "ecr", "distill", "consistency", "balance", "cross_view", "sinkhorn_iters"]
    for name in (*parts, "train_loss", "elbo_train", "mean_cost", "max_beta"):
        assert len(history[name]) == 4, name
        assert np.isfinite(history[name]).all(), name
    total = history["rec"] + history["kl"] + history["ecr"] + history["cross_view"]
    assert np.allclose(history["train_loss"], total, rtol=1e-5)
    assert history["rec"].iloc[-1] < history["rec"].iloc[0]


def test_without_a_second_view_its_measures_are_absent(blood):
    _, history, _ = train(blood, epochs=1, view=False)
    assert not {"cross_view", "distill", "consistency", "balance", "grad_ratio"} & set(history)


def test_same_seed_same_history_and_another_seed_another(blood):
    first, second, other = (train(blood, seed=seed)[1] for seed in (1, 1, 2))
    assert first.keys() == second.keys()
    assert all(np.array_equal(first[name], second[name]) for name in first)
    assert not np.array_equal(first["rec"], other["rec"])


def test_gradient_ratio_is_measured_now_and_then_and_does_not_change_training(blood):
    (_, often, _), (_, never, _) = (train(blood, epochs=3, every=every) for every in (2, 0))
    assert list(often["grad_ratio"].index) == [0, 2]
    assert (often["grad_ratio"] > 0).all()
    assert "grad_ratio" not in never
    assert np.array_equal(often["rec"], never["rec"])


@pytest.mark.parametrize(("lr_step", "expected"), [(2, 1e-3 * 0.5), (None, 1e-3)])
def test_learning_rate_follows_the_recipe(blood, lr_step, expected):
    _, _, trainer = train(blood, epochs=3, view=False, lr=1e-3, lr_step=lr_step)
    assert trainer.optimizers[0].param_groups[0]["lr"] == pytest.approx(expected)


@pytest.mark.parametrize(("name", "kind"), [("rmsprop", "RMSprop"), ("adam", "Adam")])
def test_optimiser_is_the_recipes(name, kind):
    module = SCE2TMModule(10, recipe("corpuscle", n_topics=3, optimizer=name), ecr_weight=0, view_width=None)
    optimizer = SCE2TMTrainingPlan(module).configure_optimizers()["optimizer"]
    assert type(optimizer).__name__ == kind
    if kind == "RMSprop":
        assert (optimizer.defaults["alpha"], optimizer.defaults["eps"], optimizer.defaults["momentum"]) == (
            0.99,
            1e-8,
            0,
        )


def test_held_out_cells_have_a_loss_under_the_names_of_scvi_tools(blood):
    _, history, _ = train(blood, validation=np.arange(100))
    for name in ("validation_loss", "elbo_validation", "reconstruction_loss_validation"):
        assert len(history[name]) == 2
        assert np.isfinite(history[name]).all()


def test_collapsing_topics_are_warned_of_once(blood):
    with pytest.warns(UserWarning, match="topics are collapsing.*smaller ecr_weight.*normalize_embeddings") as caught:
        module, history, _ = train(blood, **FREE, epochs=8, ecr_weight=1e4, ecr_epsilon=0.5, lr=1e-2, view=False)
    assert sum("collapsing" in str(w.message) for w in caught) == 1
    assert history["mean_cost"].iloc[-1] < 0.5 * history["mean_cost"].iloc[0]
    assert geometry(module)[0] == pytest.approx(history["mean_cost"].iloc[-1], rel=1e-5)


@pytest.mark.parametrize("changes", [{}, FREE, {"n_topics": 2}, {"ecr_epsilon": 2.0}])
def test_healthy_topics_are_not(blood, changes):
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*collapsing.*")
        train(blood, epochs=2, ecr_weight=1.0, view=False, **changes)


def test_a_loss_that_is_not_finite_ends_training(blood):
    x, view, neighbours = blood
    broken = x.copy()
    broken.data[0] = math.nan
    with pytest.raises(MethodError, match=r"the loss is nan in epoch 1; use a smaller lr"):
        train((broken, view, neighbours), view=False, ecr_weight=0.0)
