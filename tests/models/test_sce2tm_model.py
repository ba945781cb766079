"""SCE2TM as a user meets it: seeds, new cells, files, tables, and one line for each kind of bad input."""

from __future__ import annotations

import json
import random
from importlib.util import find_spec

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")
pytest.importorskip("scvi")

from corpuscle.datasets import bundled_path  # noqa: E402
from corpuscle.errors import (  # noqa: E402
    GeneError,
    MethodError,
    NotCountsError,
    OptionError,
    OutputError,
    SourceError,
)
from corpuscle.models import SCE2TM  # noqa: E402
from corpuscle.models._genes import InputWarning  # noqa: E402
from corpuscle.models._storage import CARD, WEIGHTS, _sha256  # noqa: E402
from corpuscle.models.sce2tm._topics import TopicGenes, topic_genes  # noqa: E402

N, V, K = 240, 300, 6
SMALL = {"n_topics": K, "n_top_genes": V, "n_hidden": 16, "n_embed": 8, "batch_size": 64, "max_epochs": 3}


stored = pytest.mark.skipif(find_spec("safetensors") is None, reason="needs safetensors")


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def whole():
    """Blood cells with their 1,500 most detected genes, raw counts."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:N]
    detected = np.asarray((adata.X > 0).sum(axis=0)).ravel()
    out = adata[:, np.argsort(-detected, kind="stable")[:1500]].copy()
    out.uns.clear()
    return out


@pytest.fixture
def blood(whole):
    return whole.copy()


def made(adata, setup=None, **changes):
    SCE2TM.setup_anndata(adata, **(setup or {}))
    return SCE2TM(adata, **(SMALL | changes))


def trained_on(adata, setup=None, epochs=3, **changes):
    model = made(adata, setup, **changes)
    model.train(max_epochs=epochs, accelerator="cpu", progress=False)
    return model


@pytest.fixture(scope="module")
def model(whole):
    return trained_on(whole.copy(), seed=1)


@pytest.fixture(scope="module")
def guided(whole):
    """A model with a second view and batches."""
    adata = whole.copy()
    adata.obsm["X_other"] = np.random.default_rng(0).normal(size=(N, 7))
    adata.obs["plate"] = pd.Categorical(np.where(np.arange(N) % 2, "b", "a"))
    return trained_on(adata, {"foundation_key": "X_other", "batch_key": "plate"})


def history(model):
    return {name: frame.to_numpy(float).ravel() for name, frame in model.history.items()}


# -- seeds ----------------------------------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_model_and_another_gives_another(model, blood):
    again, other = trained_on(blood, seed=1), trained_on(blood, seed=2)
    assert history(model).keys() == history(again).keys() >= {"train_loss", "rec", "kl", "ecr", "sinkhorn_iters"}
    for name, values in history(model).items():
        np.testing.assert_array_equal(values, history(again)[name], err_msg=name)
    np.testing.assert_array_equal(model.get_latent_representation(), again.get_latent_representation())
    assert np.abs(other.get_latent_representation() - again.get_latent_representation()).max() > 0.01


def test_training_with_a_second_view_repeats_too(guided):
    again = trained_on(guided.adata.copy(), {"foundation_key": "X_other", "batch_key": "plate"})
    np.testing.assert_array_equal(guided.get_latent_representation(), again.get_latent_representation())
    assert {"distill", "consistency", "balance"} <= history(guided).keys()


def test_nobody_elses_random_numbers_change_and_nothing_is_left_or_said(blood, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    expected = (torch.rand(1).item(), np.random.rand(), random.random())  # noqa: NPY002
    torch.manual_seed(5)
    np.random.seed(5)  # noqa: NPY002
    random.seed(5)
    trained_on(blood, epochs=2)
    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected  # noqa: NPY002
    assert list(tmp_path.iterdir()) == []
    assert capfd.readouterr() == ("", "")


def test_weights_depend_on_the_seed_of_construction(blood):
    first, same, other = (made(blood, seed=seed).module.decoder.topic_kd for seed in (3, 3, 4))
    assert torch.equal(first, same) and not torch.equal(first, other)


# -- training -------------------------------------------------------------------------------------------------


def test_training_on_continues_the_history_with_new_batches(blood):
    model = trained_on(blood, epochs=2)
    model.train(max_epochs=3, accelerator="cpu")
    rec = history(model)["rec"]
    assert rec.size == 5 and len(set(rec)) == 5
    assert model.module.encoder.norm.num_batches_tracked == 5 * -(-N // 64), "every step was one in training mode"
    assert not model.module.training


def test_early_stopping_holds_cells_out_and_reports_their_loss(blood):
    model = made(blood)
    seen = []
    model.train(max_epochs=3, accelerator="cpu", early_stopping=True, progress=lambda *step: seen.append(step[:2]))
    assert len(model.validation_indices) == N // 10 and len(model.train_indices) == N - N // 10
    assert np.isfinite(history(model)["validation_loss"]).all()
    assert seen == [(1, 3), (2, 3), (3, 3)]


def test_topics_that_draw_together_are_warned_of(blood):
    model = made(blood, ecr_weight=1e5, ecr_contrast=False, normalize_embeddings=False, lr=0.05, ecr_epsilon=1.0)
    with pytest.warns(UserWarning, match="SCE2TM: topics are collapsing"):
        model.train(max_epochs=8, accelerator="cpu")


def test_an_interrupt_is_an_interrupt_and_the_next_one_too(blood):
    import signal

    def stop(*_):
        raise KeyboardInterrupt

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        made(blood).train(max_epochs=2, accelerator="cpu", progress=stop)
    assert signal.getsignal(signal.SIGINT) is before


# -- new cells ------------------------------------------------------------------------------------------------


def test_a_cell_does_not_depend_on_the_cells_beside_it(model, whole):
    everyone = model.get_latent_representation()
    np.testing.assert_allclose(model.get_latent_representation(whole), everyone, atol=1e-5)
    np.testing.assert_allclose(model.get_latent_representation(whole[[17]]), everyone[[17]], atol=1e-5)
    assert everyone.dtype == np.float32 and everyone.shape == (N, K)


def test_genes_may_come_in_any_order_and_among_others(model, whole):
    shuffled = whole[:, np.random.default_rng(0).permutation(whole.n_vars)].copy()
    np.testing.assert_allclose(model.get_latent_representation(shuffled), model.get_latent_representation(), atol=1e-5)


def test_missing_genes_count_as_zero_with_a_warning(model, whole):
    gone = model.genes_[:30]
    emptied = whole.copy()
    emptied.X = (whole.X @ sp.diags_array(~whole.var_names.isin(gone), dtype=np.int32)).tocsr()
    with pytest.warns(InputWarning, match="30 of the model's 300 genes are missing.*90.0%"):
        without = model.get_latent_representation(whole[:, ~whole.var_names.isin(gone)])
    np.testing.assert_allclose(without, model.get_latent_representation(emptied), atol=1e-5)


def test_another_species_is_an_error_and_not_a_guess(model, blood):
    blood.var_names = [name.capitalize() for name in blood.var_names]
    with pytest.raises(GeneError, match="differ only in capitals"):
        model.get_latent_representation(blood)


def test_new_cells_need_neither_second_view_nor_batch(guided, whole):
    np.testing.assert_allclose(guided.get_latent_representation(whole), guided.get_latent_representation(), atol=1e-5)


def test_an_empty_cell_has_no_topics_and_the_others_keep_theirs(model, whole):
    kept = np.ones(N, np.int32)
    kept[3] = 0
    holed = whole.copy()
    holed.X = (sp.diags_array(kept, dtype=np.int32) @ whole.X).tocsr()
    with pytest.warns(InputWarning, match="1 cells have no counts"):
        logits = model.get_latent_representation(holed)
    assert np.isnan(logits[3]).all()
    np.testing.assert_allclose(np.delete(logits, 3, 0), np.delete(model.get_latent_representation(), 3, 0), atol=1e-5)


def test_a_file_is_encoded_as_the_same_cells_in_memory_are(model, whole, tmp_path):
    whole.write_h5ad(tmp_path / "cells.h5ad")
    np.testing.assert_array_equal(
        model.get_latent_representation(tmp_path / "cells.h5ad"), model.get_latent_representation(whole)
    )
    table = model.get_cell_topics(tmp_path / "cells.h5ad")
    assert list(table.index) == list(whole.obs_names)
    np.testing.assert_allclose(table.sum(axis=1), 1, rtol=1e-5)
    logits = model.get_cell_topics(representation="logit")
    np.testing.assert_array_equal(logits.to_numpy().argmax(1), table.to_numpy().argmax(1))


@pytest.mark.filterwarnings("ignore:Trying to query")
def test_counts_in_another_layer_and_in_any_format_are_the_same_cells(whole):
    other = anndata.AnnData(X=None, obs=whole.obs.copy(), var=whole.var.copy(), layers={"raw": whole.X.toarray()})
    np.testing.assert_array_equal(
        made(other, {"layer": "raw"}).get_latent_representation(), made(whole.copy()).get_latent_representation()
    )
    assert isinstance(other.layers["raw"], np.ndarray), "the user's matrix stays as it was"


def test_logged_values_are_taken_as_they_are(whole):
    logged = whole.copy()
    logged.X = whole.X.astype(np.float64).log1p()
    model = trained_on(logged, {"expression": "log"}, n_top_genes=None)
    np.testing.assert_allclose(model.get_expression_sums(), np.asarray(logged.X.sum(1)).ravel(), rtol=1e-5)
    assert model.get_latent_representation(logged).shape == (N, K)


def test_the_matrix_is_never_made_dense_as_a_whole(blood, monkeypatch):
    from corpuscle.models.sce2tm import _encode

    monkeypatch.setattr(_encode, "CHUNK_CELLS", 64)
    for kind in (sp.csr_matrix, sp.csc_matrix, sp.csr_array):
        real = kind.toarray

        def guarded(self, *args, _real=real, **kwargs):
            assert self.shape[0] * self.shape[1] <= 64 * V, f"made {self.shape} dense"
            return _real(self, *args, **kwargs)

        monkeypatch.setattr(kind, "toarray", guarded)
        monkeypatch.setattr(kind, "todense", guarded)
    model = trained_on(blood, epochs=1)
    model.get_latent_representation(blood)
    model.store()
    with pytest.raises(AssertionError, match="dense"):
        blood.X.toarray()


# -- bad input ------------------------------------------------------------------------------------------------


def scaled(adata):
    adata.X = adata.X.astype(np.float32) * 0.5


def negative(adata):
    adata.X = adata.X.astype(np.float32)
    adata.X.data[5] = -1


def with_nan(adata):
    adata.X = adata.X.astype(np.float32)
    adata.X.data[5] = np.nan


def empty_cell(adata):
    adata.X[4] = 0


def twin_genes(adata):
    names = list(adata.var_names)
    adata.var_names = [names[1], *names[1:]]


def view(values):
    def put(adata):
        adata.obsm["X_view"] = values(adata)

    return put


def bad_plate(adata):
    adata.obs["plate"] = [None, *["a"] * (adata.n_obs - 1)]


VIEWED = {"foundation_key": "X_view"}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("spoil", "setup", "changes", "error", "words"),
    [
        (scaled, {}, {}, NotCountsError, "fractional"),
        (negative, {}, {}, NotCountsError, "negative"),
        (negative, {"expression": "log"}, {}, NotCountsError, "negative"),
        (with_nan, {}, {}, NotCountsError, "NaN"),
        (with_nan, {"expression": "log"}, {}, NotCountsError, "NaN"),
        (empty_cell, {}, {}, MethodError, "has no counts (1 such cells)"),
        (twin_genes, {}, {}, GeneError, "more than once"),
        (None, {}, {"n_topics": 301}, OptionError, "n_topics=301 is more than the 300 genes"),
        (None, {}, {"n_topics": 1}, OptionError, "n_topics=1"),
        (None, {}, {"topics": 3}, OptionError, "no option 'topics'"),
        (None, {}, {"recipe": "theirs"}, OptionError, "theirs"),
        (None, {}, {"seed": -1}, OptionError, "seed=-1"),
        (None, {"layer": "none"}, {}, OptionError, "no layer is called 'none'"),
        (None, {"expression": "tpm"}, {}, OptionError, "expression='tpm'"),
        (None, {"foundation_key": "X_none"}, {}, OptionError, "obsm has no 'X_none'"),
        (None, {"batch_key": "none"}, {}, OptionError, "obs has no column 'none'"),
        (bad_plate, {"batch_key": "plate"}, {}, OptionError, "is not known"),
        (view(lambda adata: np.full((adata.n_obs, 3), np.nan)), VIEWED, {}, MethodError, "NaN or infinite"),
        (view(lambda adata: np.zeros((adata.n_obs, 0))), VIEWED, {}, MethodError, "one row of numbers per cell"),
        (
            view(lambda adata: pd.DataFrame({"a": "x"}, index=adata.obs_names)),
            VIEWED,
            {},
            MethodError,
            "not a matrix of numbers",
        ),
    ],
)
def test_bad_input_is_one_line(blood, spoil, setup, changes, error, words):
    if spoil is not None:
        spoil(blood)
    with pytest.raises(error) as caught:
        made(blood, setup, **changes)
    text = str(caught.value)
    assert words in text and "\n" not in text


@pytest.mark.parametrize("width", [1, 3, 600])
def test_a_second_view_may_be_of_any_width(blood, width):
    blood.obsm["X_view"] = np.random.default_rng(0).normal(size=(N, width))
    assert np.isfinite(trained_on(blood, VIEWED, epochs=1).get_latent_representation()).all()


def test_a_second_view_for_other_cells_is_refused(blood):
    from corpuscle.models._cells import checked_view

    with pytest.raises(MethodError, match=f"for {N} cells"):
        checked_view(np.zeros((N - 1, 5)), N, key="X_view")


@pytest.mark.parametrize("n", [1, 2, 9])
def test_too_few_cells_are_refused(blood, n):
    with pytest.raises(MethodError, match="too few"):
        made(blood[:n].copy())


def test_a_last_batch_of_one_cell_trains(blood):
    cells = blood[:129].copy()
    assert np.isfinite(trained_on(cells, epochs=1).get_latent_representation()).all()


def test_genes_by_cells_is_told_from_the_names(blood):
    turned = blood.T.copy()
    turned.var_names = [f"{''.join(random.Random(i).choices('ACGT', k=16))}-1" for i in range(turned.n_vars)]
    with pytest.raises(SourceError, match=r"cells x genes: use adata\.T"):
        SCE2TM.setup_anndata(turned)


def test_what_was_not_set_up_or_trained_is_said(blood):
    with pytest.raises(OptionError, match="setup_anndata"):
        SCE2TM(blood)
    with pytest.raises(OptionError, match=r"use adata\.copy\(\)"):
        SCE2TM.setup_anndata(blood[:50])
    model = made(blood)
    with pytest.warns(UserWarning, match="untrained"):
        model.get_latent_representation()
    for bad in ({"max_epochs": 0}, {"train_size": 0}, {"seed": "x"}, {"early_stopping": True, "train_size": 1.0}):
        with pytest.raises(OptionError):
            model.train(**bad)
    with pytest.raises(MethodError):
        model.train(max_epochs=1, accelerator="abacus")


# -- tables ---------------------------------------------------------------------------------------------------


def test_topic_gene_tables_are_normalised_as_they_say(model):
    beta, probability = model.get_topic_gene(), model.get_topic_gene("probability")
    np.testing.assert_allclose(beta.sum(axis=0), 1, rtol=1e-5)
    np.testing.assert_allclose(probability.sum(axis=1), 1, rtol=1e-4)
    assert list(beta.columns) == model.genes_ and beta.shape == (K, V)
    top = model.get_topic_genes(n=5)
    assert list(top.gene[:5]) == list(beta.loc[0].sort_values(ascending=False, kind="stable").index[:5])
    assert model.get_topic_embeddings().shape == (K, 8) and model.get_gene_embeddings().shape == (V, 8)


def test_scores_rank_by_weight_probability_and_specificity():
    table = TopicGenes(
        genes=["common", "marker", "ghost"],
        beta_kg=np.array([[0.3, 0.6, 0.9], [0.7, 0.4, 0.1]]),
        probability_kg=np.array([[0.7, 0.2, 0.1], [0.9, 0.05, 0.05]]),
        share_g=np.array([0.8, 0.1, 0.01]),
        detected_g=np.array([1.0, 0.3, 0.001]),
    )
    first = {score: list(topic_genes(table, 1, score).gene) for score in ("beta", "prob", "lift", "expressed_lift")}
    assert first == {
        "beta": ["ghost", "common"],
        "prob": ["common", "common"],
        "lift": ["ghost", "ghost"],
        "expressed_lift": ["marker", "common"],
    }
    lift = topic_genes(table, 3, "lift").set_index(["topic", "gene"]).score
    assert lift[0, "marker"] == pytest.approx(np.log(0.2 / 0.1))
    assert list(topic_genes(table, 2, "beta", min_pct=0.2).gene) == ["marker", "common", "common", "marker"]
    for wrong in ({"n": 0}, {"n": 4}, {"n": 2, "min_pct": 0.5}, {"min_pct": 2}, {"score": "rank"}):
        with pytest.raises(OptionError):
            topic_genes(table, **({"n": 1} | wrong))


def test_reconstruction_is_shares_and_scales_to_the_cells_own_sum(model, whole):
    share = model.get_reconstruction()
    np.testing.assert_allclose(share.sum(axis=1), 1, rtol=1e-4)
    scaled = model.get_reconstruction(scale="expression")
    np.testing.assert_allclose(scaled.sum(axis=1), model.get_expression_sums(), rtol=1e-3)
    uniform = model.get_reconstruction(theta=np.full((2, K), 1 / K))
    np.testing.assert_array_equal(uniform[0], uniform[1])
    for bad in ({"theta": np.ones((2, K + 1))}, {"theta": np.ones((2, K)), "scale": "expression"}, {"scale": "cpm"}):
        with pytest.raises(OptionError):
            model.get_reconstruction(**bad)


def test_outputs_are_stored_with_nan_for_genes_the_model_does_not_see(model, whole, tmp_path):
    cells = whole.copy()
    model.store(cells)
    cells.write_h5ad(tmp_path / "out.h5ad")
    back = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_allclose(back.obsm["X_topics"].sum(axis=1), 1, rtol=1e-5)
    np.testing.assert_allclose(back.obsm["X_topic_logits"], model.get_latent_representation(), atol=1e-5)
    seen = back.var_names.isin(model.genes_)
    weights = pd.DataFrame(back.varm["topic_weights"], index=back.var_names)
    np.testing.assert_array_equal(weights.loc[model.genes_].to_numpy().T, model.get_topic_gene().to_numpy())
    assert np.isnan(weights[~seen].to_numpy()).all() and np.isnan(back.varm["gene_embedding"][~seen]).all()
    facts = back.uns["topic_model"]
    assert json.loads(facts["recipe"])["n_topics"] == K and facts["seed"] == 1 and facts["epochs"] == 3


def test_perturbation_and_differential_topics_are_reached_from_the_model(model):
    changed = model.perturb_topics(cells=np.arange(20), topics=[0], mode="remove")
    assert changed.shape == (20, V) and changed.obsm["X_topics_perturbed"][:, 0].max() == 0
    model.adata.obs["half"] = np.where(np.arange(N) < N // 2, "one", "two")
    assert set(model.differential_topics(groupby="half").topic) == set(range(K))
    with pytest.raises(OptionError, match="no column 'none'"):
        model.differential_topics(groupby="none")


# -- files ----------------------------------------------------------------------------------------------------


@stored
def test_a_saved_model_is_the_same_model_with_and_without_cells(guided, whole, tmp_path):
    guided.save(tmp_path / "m")
    assert {path.name for path in (tmp_path / "m").iterdir()} == {CARD, WEIGHTS}
    alone = SCE2TM.load(tmp_path / "m", accelerator="cpu")
    np.testing.assert_array_equal(alone.get_latent_representation(whole), guided.get_latent_representation(whole))
    assert (alone.genes_, alone.recipe_, alone.ecr_weight_) == (guided.genes_, guided.recipe_, guided.ecr_weight_)
    for name, values in history(guided).items():
        np.testing.assert_array_equal(history(alone)[name], values)
    pd.testing.assert_frame_equal(alone.get_topic_genes(score="lift"), guided.get_topic_genes(score="lift"))
    with pytest.raises(OptionError, match="no cells are attached"):
        alone.get_latent_representation()
    attached = SCE2TM.load(tmp_path / "m", guided.adata.copy(), accelerator="cpu")
    np.testing.assert_allclose(attached.get_latent_representation(), guided.get_latent_representation(), atol=1e-5)
    attached.train(max_epochs=1, accelerator="cpu")
    assert history(attached)["rec"].size == 4
    with pytest.raises(OutputError, match="already"):
        attached.save(tmp_path / "m")
    attached.save(tmp_path / "m", overwrite=True)
    assert SCE2TM.load(tmp_path / "m", accelerator="cpu").history["rec"].shape[0] == 4


@stored
def test_attached_cells_must_have_what_training_on_them_needs(guided, whole, tmp_path):
    guided.save(tmp_path / "m")
    with pytest.raises(OptionError, match="obsm has no 'X_other'"):
        SCE2TM.load(tmp_path / "m", whole.copy(), accelerator="cpu")
    cells = guided.adata.copy()
    cells.obs["plate"] = "c"
    other = SCE2TM.load(tmp_path / "m", cells, accelerator="cpu")
    assert np.isfinite(other.get_latent_representation()).all(), "a batch is not needed to encode"
    with pytest.raises(OptionError, match="batch the model does not know"):
        other.train(max_epochs=1)
    cells.obsm["X_other"] = cells.obsm["X_other"][:, :3]
    with pytest.raises(OptionError, match="of width 3, the model's of 7"):
        SCE2TM.load(tmp_path / "m", cells, accelerator="cpu")


def change(path, edit):
    card = json.loads((path / CARD).read_text())
    edit(card["about"])
    (path / CARD).write_text(json.dumps(card))


def swap_weights(path):
    from safetensors.torch import load_file, save_file

    state = load_file(path / WEIGHTS)
    state["module.encoder.hidden.bias"] = state["module.encoder.hidden.bias"][:-1].clone()
    save_file(state, path / WEIGHTS)
    card = json.loads((path / CARD).read_text()) | {"weights_sha256": _sha256(path / WEIGHTS)}
    (path / CARD).write_text(json.dumps(card))


@stored
@pytest.mark.parametrize(
    "tamper",
    [
        lambda about: about.pop("genes"),
        lambda about: about.update(genes=about["genes"][:-1]),
        lambda about: about.update(genes=[*about["genes"][:-1], about["genes"][0]]),
        lambda about: about.update(genes="ABC"),
        lambda about: about["recipe"].update(n_topics=10**9),
        lambda about: about["recipe"].update(n_topics="6"),
        lambda about: about["recipe"].update(n_hidden=True),
        lambda about: about["recipe"].update(lr=None),
        lambda about: about["recipe"].update(unknown=1),
        lambda about: about["recipe"].update(optimizer="lion"),
        lambda about: about.update(recipe=[]),
        lambda about: about.update(setup={"layer": 3}),
        lambda about: about.update(setup={"expression": "tpm"}),
        lambda about: about.update(seed=-1),
        lambda about: about.update(view_width=10**12),
        lambda about: about.update(history={"rec": ["x"]}),
        lambda about: about.update(ecr_weight="much"),
    ],
)
def test_a_tampered_card_is_one_line(model, tmp_path, tamper):
    model.save(tmp_path / "m")
    change(tmp_path / "m", tamper)
    with pytest.raises(SourceError) as error:
        SCE2TM.load(tmp_path / "m", accelerator="cpu")
    assert str(tmp_path / "m") in str(error.value) and "\n" not in str(error.value)


@stored
def test_weights_of_another_network_are_one_line(model, tmp_path):
    model.save(tmp_path / "m")
    swap_weights(tmp_path / "m")
    with pytest.raises(SourceError, match="not those of the model"):
        SCE2TM.load(tmp_path / "m", accelerator="cpu")
    with pytest.raises(SourceError, match="no such folder"):
        SCE2TM.load(tmp_path / "nowhere")
