"""Perturbed topics and the study that judges them, on a planted world and on the interferon cells."""

from __future__ import annotations

import os
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from corpuscle.errors import CorpuscleError, MethodError, OptionError
from corpuscle.models.sce2tm import _judge, perturb
from corpuscle.models.sce2tm._halves import stratified_halves
from corpuscle.models.sce2tm.perturb import decode_in_chunks, perturb_topics, perturbed_theta, softmax
from corpuscle.models.sce2tm.study import Choice, perturbation_study, study_summary

KANG = (
    Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "perturbation"
    / "kang_ifnb_2800.h5ad"
)
K, V = 8, 120
RESPONDERS = [f"G{g}" for g in range(15, 30)]  # topic 1's genes


class World:
    """Stands for a trained model: topic k raises genes 15k to 15k + 14, and the logits are known."""

    def __init__(self, n=400, seed=0, effect=3.0):
        rng = np.random.default_rng(seed)
        self.genes_ = [f"G{g}" for g in range(V)]
        self.w_kg = rng.normal(0, 0.1, (K, V))
        for k in range(K):
            self.w_kg[k, 15 * k : 15 * k + 15] += 3.0
        cell_type = rng.choice(["B", "Mono"], n)
        condition = rng.choice(["ctrl", "stim"], n)
        logits_nk = rng.normal(0, 0.3, (n, K))
        logits_nk[cell_type == "Mono", 3] += 2.0
        logits_nk[cell_type == "B", 5] += 2.0
        logits_nk[(cell_type == "Mono") & (condition == "stim"), 1] += effect
        self.logits = pd.DataFrame(logits_nk, [f"cell{i}" for i in range(n)])
        share_ng = self.shares(softmax(logits_nk))
        log_ng = 80 * share_ng * rng.uniform(0.2, 1.8, share_ng.shape) * (rng.random(share_ng.shape) < 0.8)
        self.adata = ad.AnnData(
            sp.csr_matrix(log_ng.astype(np.float32)),
            obs=pd.DataFrame({"condition": condition, "cell_type": cell_type}, self.logits.index),
            var=pd.DataFrame(index=self.genes_),
        )
        self.module = self

    def shares(self, theta_nk):
        return softmax(np.asarray(theta_nk, float) @ self.w_kg)

    def decode(self, theta):
        import torch

        return torch.log_softmax(theta.double() @ torch.from_numpy(self.w_kg), dim=1).float()

    def get_latent_representation(self, adata):
        return self.logits.loc[adata.obs_names].to_numpy(np.float32)

    def get_expression_sums(self, adata):
        return np.asarray(next(self._expression(adata)).sum(axis=1)).ravel()

    def _expression(self, adata):
        yield adata.X


@pytest.fixture(scope="module")
def world():
    return World()


# -- proportions -------------------------------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(
    logits=arrays(np.float32, (4, 6), elements=st.floats(-30, 30, width=32)),
    strength=st.floats(0, 1),
    topics=st.lists(st.integers(0, 5), min_size=1, max_size=5, unique=True),
)
def test_removal_scales_the_topics_down_and_the_rest_up_alike(logits, strength, topics):
    theta, after = softmax(logits), perturbed_theta(logits, topics, "remove", strength)
    expected = theta.copy()
    expected[:, topics] *= 1 - strength
    total = expected.sum(axis=1, keepdims=True)
    safe = (total > 1e-9).ravel()
    assert after[safe] == pytest.approx((expected / np.where(total > 0, total, 1))[safe], abs=1e-6)
    assert after.sum(axis=1) == pytest.approx(np.ones(4)) and np.isfinite(after).all()
    if strength == 1:
        assert (after[:, topics] == 0).all()


def test_a_shift_of_one_brings_the_mean_logit_to_the_reference():
    rng = np.random.default_rng(0)
    cells, reference = rng.normal(size=(30, 5)), rng.normal(2, 1, size=(40, 5))
    after = np.log(perturbed_theta(cells, [1, 3], "shift", 1.0, reference))
    moved = after[:, [1, 3]] - after[:, [0]] - (cells[:, [1, 3]] - cells[:, [0]])
    expected = reference[:, [1, 3]].mean(axis=0) - cells[:, [1, 3]].mean(axis=0)
    assert moved == pytest.approx(np.tile(expected, (30, 1)))
    half = np.log(perturbed_theta(cells, [1], "shift", 0.5, reference))
    assert (half[:, 1] - half[:, 0] - cells[:, 1] + cells[:, 0]) == pytest.approx(np.full(30, expected[0] / 2))
    other = perturbed_theta(cells[:5], [1, 3], "shift", 1.0, reference, source_nk=cells)
    assert np.log(other)[:, 1] - np.log(other)[:, 0] == pytest.approx(after[:5, 1] - after[:5, 0])


def test_set_takes_a_value_or_a_quantile_of_the_reference():
    rng = np.random.default_rng(0)
    cells, reference = rng.normal(size=(9, 4)), rng.normal(size=(50, 4))
    fixed = cells.copy()
    fixed[:, 2] = 4.0
    assert perturbed_theta(cells, [2], "set", value=4.0) == pytest.approx(softmax(fixed))
    fixed[:, 2] = np.quantile(reference[:, 2], 0.9)
    assert perturbed_theta(cells, [2], "set", reference_nk=reference, quantile=0.9) == pytest.approx(softmax(fixed))
    assert perturbed_theta(cells, [2], "set", 0.0, value=4.0) == pytest.approx(softmax(cells))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"topics": [8]}, "no topic 8; the model has topics 0 to 4"),
        ({"topics": [-1]}, "no topic -1"),
        ({"topics": []}, "one or more"),
        ({"topics": [0.5]}, "positions"),
        ({"topics": range(5)}, "nothing would be left"),
        ({"mode": "delete"}, "no mode is called 'delete'"),
        ({"strength": 1.5}, "from 0 to 1"),
        ({"strength": np.nan, "mode": "shift"}, "strength=nan"),
        ({"mode": "shift"}, "needs reference cells"),
        ({"mode": "set"}, "needs reference cells"),
        ({"mode": "set", "value": np.inf}, "finite"),
        ({"mode": "set", "reference_nk": np.zeros((3, 5)), "quantile": 2}, "quantile=2"),
        ({"mode": "shift", "reference_nk": np.zeros((3, 4))}, "needs 5 topics"),
        ({"mode": "shift", "reference_nk": np.zeros((0, 5))}, "0 cells"),
        ({"logits_nk": np.full((3, 5), np.nan)}, "cell 0 is nan"),
    ],
)
def test_bad_perturbations_are_refused_in_one_line(options, words):
    with pytest.raises(CorpuscleError, match=words) as caught:
        perturbed_theta(**({"logits_nk": np.zeros((3, 5)), "topics": [1], "mode": "remove"} | options))
    assert "\n" not in str(caught.value)


# -- expression --------------------------------------------------------------------------------------------


def test_removing_a_topic_lowers_its_genes_in_the_chosen_cells(world):
    cells = (world.adata.obs["condition"] == "stim") & (world.adata.obs["cell_type"] == "Mono")
    out = perturb_topics(world, world.adata, cells.to_numpy(), [1])
    assert list(out.obs_names) == list(world.adata.obs_names[cells]) and list(out.var_names) == world.genes_
    assert {layer: out.layers[layer].dtype for layer in out.layers} == dict.fromkeys(perturb.LAYERS, np.float32)
    assert out.layers["reconstructed"].sum(axis=1) == pytest.approx(np.ones(out.n_obs), abs=1e-4)
    expected = np.log(out.layers["perturbed"] / out.layers["reconstructed"])
    assert out.layers["log_ratio"] == pytest.approx(expected, abs=1e-4)
    mean_ratio = out.to_df("log_ratio").mean()
    assert mean_ratio[RESPONDERS].max() < mean_ratio.drop(RESPONDERS).min()
    assert (out.obsm["X_topics_perturbed"][:, 1] == 0).all() and out.uns["perturbation"]["mode"] == "remove"


def test_expression_scale_multiplies_by_the_cells_own_sum_and_layers_can_be_left_out(world):
    shares = perturb_topics(world, world.adata, [3, 9], [1], layers=["perturbed"])
    out = perturb_topics(world, world.adata, ["cell3", "cell9"], [1], scale="expression", layers=["perturbed"])
    sums = world.get_expression_sums(world.adata[[3, 9]])
    assert out.layers["perturbed"] == pytest.approx(shares.layers["perturbed"] * sums[:, None], rel=1e-5)
    assert list(out.layers) == ["perturbed"]


def test_the_result_survives_a_file(world, tmp_path):
    out = perturb_topics(world, world.adata, None, [1, 2], "shift", reference=np.arange(10))
    out.write_h5ad(tmp_path / "perturbed.h5ad")
    back = ad.read_h5ad(tmp_path / "perturbed.h5ad")
    assert back.uns["perturbation"]["n_reference"] == 10 and list(back.uns["perturbation"]["topics"]) == [1, 2]
    assert np.array_equal(back.layers["log_ratio"], out.layers["log_ratio"])


def test_chunks_change_nothing_and_a_large_result_is_announced(world, monkeypatch):
    whole = perturb_topics(world, world.adata, None, [1])
    monkeypatch.setattr(perturb, "CHUNK_CELLS", 37)
    monkeypatch.setattr(perturb, "LARGE_BYTES", 1000)
    with pytest.warns(UserWarning, match="GiB; choose fewer"):
        parts = perturb_topics(world, world.adata, None, [1])
    assert parts.layers["perturbed"] == pytest.approx(whole.layers["perturbed"], abs=1e-7)


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (np.zeros(400, bool), "chooses no cell"),
        (np.ones(5, bool), "mask of 5 cells and there are 400"),
        ([400], "none of 0 to 399"),
        (["cell1", "stranger"], "no cell is called 'stranger'"),
    ],
)
def test_cells_that_are_not_there_are_named(world, cells, words):
    with pytest.raises(OptionError, match=words):
        perturb_topics(world, world.adata, cells, [1])


def test_wrong_layers_and_scales_and_broken_decoders_are_refused(world):
    with pytest.raises(OptionError, match="no layer is called 'counts'"):
        perturb_topics(world, world.adata, None, [1], layers=["counts"])
    with pytest.raises(OptionError, match="scale='log'"):
        perturb_topics(world, world.adata, None, [1], scale="log")
    with pytest.raises(MethodError, match="not finite"):
        decode_in_chunks(lambda theta: np.full((len(theta), 3), np.nan), np.ones((2, 2)))


# -- judgement ---------------------------------------------------------------------------------------------


def test_the_share_removed_is_one_at_the_target_zero_at_the_start_and_negative_beyond():
    start, target = np.array([0.0, 0.0]), np.array([3.0, 4.0])
    assert _judge.share_removed(start, target, target) == 1.0
    assert _judge.share_removed(start, start, target) == 0.0
    assert _judge.share_removed(start, -target, target) == -1.0
    assert np.isnan(_judge.share_removed(start, target, start))


def test_judging_agrees_with_other_libraries_and_leaves_the_undefined_undefined():
    from scipy.stats import pearsonr, spearmanr, ttest_ind
    from sklearn.metrics import roc_auc_score

    rng = np.random.default_rng(0)
    predicted, measured = np.round(rng.normal(size=(2, 50)), 1)
    found = _judge.judge_fold_change(predicted, measured, np.arange(10), np.arange(5))
    assert found["pearson_all"] == pytest.approx(pearsonr(predicted, measured).statistic)
    assert found["spearman_top"] == pytest.approx(spearmanr(predicted[:10], measured[:10]).statistic)
    assert found["auroc_responders"] == pytest.approx(roc_auc_score(np.arange(50) < 5, predicted))
    nothing = _judge.judge_fold_change(np.zeros(50), measured, np.arange(10), np.empty(0, int))
    assert np.isnan(nothing["pearson_all"]) and np.isnan(nothing["auroc_responders"])
    a, b = rng.poisson(1, (30, 40)).astype(float), rng.poisson(1.5, (35, 40)).astype(float)
    t = np.abs(ttest_ind(a, b, axis=0, equal_var=False).statistic)
    top = _judge.differential_genes(sp.csr_matrix(a), sp.csr_matrix(b), 7)
    assert set(top) == set(np.argsort(-t)[:7])


def test_the_fold_change_is_of_counts_per_10k():
    start, target = sp.csr_matrix(np.log1p([[1.0, 9.0], [2.0, 18.0]])), sp.csr_matrix(np.log1p([[5.0, 5.0]]))
    assert _judge.log_fold_change(start, target) == pytest.approx(np.log2([5001 / 1001, 5001 / 9001]))


def test_halves_are_stratified_seeded_and_complete():
    strata = ["a"] * 21 + ["b"] * 10 + ["c"]
    first = stratified_halves(strata, 3)
    assert first[:21].sum() in (10, 11) and first[21:31].sum() == 5
    assert np.array_equal(first, stratified_halves(strata, 3)) and not np.array_equal(
        first, stratified_halves(strata, 4)
    )


def study(world, **options):
    options = {"n_random": 15, "responders": RESPONDERS} | options
    return perturbation_study(world, world.adata, "condition", "ctrl", "stim", **options)


def test_the_planted_topic_beats_every_control(world):
    table = study(world, cell_type="Mono")
    assert set(table.loc[table["topics_from"] == "chosen", "detail"]) == {"1"}
    assert set(table["topics_from"]) == {"chosen", "random", "other_type", "all", "replicate"}
    summary = study_summary(table).set_index("metric")
    assert (summary.loc[list(_judge.METRICS)[:3], "chosen"] > 0.7).all()
    assert summary.loc["auroc_responders", "chosen"] > 0.99 and summary.loc["pearson_top", "chosen"] > 0.9
    hit = table.query("topics_from == 'random' and n_shared > 0")["value"]
    others = table.query("topics_from == 'random' and n_shared == 0 and metric == 'share_reconstruction'")["value"]
    assert len(others) and others.max() < 0.2 and (hit.empty or hit.max() > 0.7)
    assert summary.loc["share_reconstruction", "other_type_max"] < 0.2
    assert summary.loc["share_reconstruction", "all"] > 0.8 and summary.loc["pearson_top", "replicate"] > 0.9
    assert (table.loc[table["topics_from"] == "replicate", "metric"].str.startswith("share")).sum() == 0


def test_a_type_without_response_has_no_topic_and_says_so(world):
    table = study(world)
    quiet = table[table["cell_type"] == "B"]
    assert quiet["value"].isna().all() and quiet["reason"].str.contains("no topic differs").all()
    forced = study(world, cell_type="B", n_topics=2, min_diff=0.0)
    assert (forced.loc[forced["topics_from"] == "chosen", "n_topics"] == 2).all()


def test_nothing_of_the_second_half_reaches_the_choice(world):
    """Spoiling the judged half's logits and counts leaves topics, shifts and top genes as they were."""
    options = {"cell_type": "Mono", "n_random": 0, "seed": 5}
    clean = study(world, **options)
    spoilt = World()
    obs = spoilt.adata.obs
    first = stratified_halves(
        [f"{t}\t{int(c == 'stim')}" for t, c in zip(obs["cell_type"], obs["condition"], strict=True)], 5
    )
    spoilt.logits.loc[~first, 6] = np.where(obs["condition"][~first] == "stim", 9.0, -9.0)
    table = study(spoilt, **options)
    chosen = [t.query("topics_from == 'chosen' and metric == 'pearson_all'").iloc[0] for t in (clean, table)]
    assert chosen[0]["detail"] == chosen[1]["detail"] == "1"


def test_switching_off_the_topic_turns_the_stimulated_back(world):
    table = perturbation_study(
        world, world.adata, "condition", "stim", "ctrl", "Mono", 5, mode="remove", responders=RESPONDERS
    )
    chosen = table[table["topics_from"] == "chosen"].set_index("metric")["value"]
    assert chosen["share_reconstruction"] > 0.4 and chosen["auroc_responders"] < 0.01
    assert "all" not in set(table["topics_from"])


def test_the_study_repeats(world):
    pd.testing.assert_frame_equal(study(world, seed=2), study(world, seed=2))


def test_responders_that_are_no_genes_make_no_number(world):
    table = study(world, cell_type="Mono", responders=["ISG15"])
    rows = table[table["metric"] == "auroc_responders"]
    assert rows["value"].isna().all() and (rows["reason"] == "0 known responders among the genes").all()


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        (("treatment", "ctrl", "stim"), {}, "no column 'treatment'"),
        (("condition", "ctrl", "LPS"), {}, "no cell has condition='LPS'; there are: ctrl, stim"),
        (("condition", "ctrl", "ctrl"), {}, "name two conditions"),
        (("condition", "ctrl", "stim", "NK"), {}, "no cell is of type 'NK'"),
        (("condition", "ctrl", "stim"), {"min_cells": 10**6}, "no cell type has"),
        (("condition", "ctrl", "stim"), {"colour": 1}, "no choice 'colour'"),
        (("condition", "ctrl", "stim"), {"mode": "set"}, "mode='set'"),
    ],
)
def test_bad_studies_are_refused_in_one_line(world, arguments, options, words):
    with pytest.raises(CorpuscleError, match=words) as caught:
        perturbation_study(world, world.adata, *arguments, **options)
    assert "\n" not in str(caught.value)


def test_a_named_type_with_too_few_cells_is_a_row_with_a_reason(world):
    table = study(world, cell_type="Mono", min_cells=10**4)
    assert table["value"].isna().all() and table["reason"].str.contains("fewer than 10000").all()


def test_a_choice_has_defaults_that_need_no_data():
    assert Choice().n_topics is None and Choice().mode == "shift"


@pytest.mark.skipif(not KANG.exists(), reason="needs the interferon cells of the shared data (CORPUSCLE_DATA)")
def test_a_trained_model_of_the_interferon_cells_moves_monocytes_toward_stimulation():
    import torch

    from corpuscle.models import SCE2TM

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        adata = ad.read_h5ad(KANG)
        adata = adata[adata.obs["cell_type"].isin(["CD14 Mono", "B"])].copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            SCE2TM.setup_anndata(adata)
            model = SCE2TM(adata, n_topics=12, n_top_genes=600, n_hidden=64, n_embed=32, batch_size=128, seed=0)
            model.train(max_epochs=6, progress=False)
        table = perturbation_study(
            model, adata, "condition", "ctrl", "stim", "CD14 Mono", 10, n_topics=4, responders=_judge.INTERFERON_GENES
        )
    finally:
        torch.set_num_threads(threads)
    summary = study_summary(table).set_index("metric")
    for metric in ("share_reconstruction", "share_measured_pcs", "pearson_top"):
        assert summary.loc[metric, "chosen"] > summary.loc[metric, "random_mean"]
    assert summary.loc["auroc_responders", "chosen"] > 0.7 and summary.loc["auroc_responders", "replicate"] > 0.9
