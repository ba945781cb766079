"""The generators as a user meets them: set up, train, generate, files, and one line for each kind of bad input."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

torch = pytest.importorskip("torch")
pytest.importorskip("safetensors")

from corpuscle.counts import open_counts  # noqa: E402
from corpuscle.errors import GeneError, MethodError, NotCountsError, OptionError, OutputError, SourceError  # noqa: E402
from corpuscle.models import ExpressionDiffusion, ExpressionGAN, ExpressionVAE  # noqa: E402
from corpuscle.models._storage import CARD, WEIGHTS, _sha256  # noqa: E402
from corpuscle.models.expression._features import LogComponents  # noqa: E402
from corpuscle.models.expression.recipe import GANRecipe, ReferenceGANRecipe, VAERecipe  # noqa: E402

N, G = 50, 120


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def bulk():
    """Counts of two tissues that differ in 20 genes, with a few zeros."""
    rng = np.random.default_rng(0)
    rate_g = rng.lognormal(3, 1.5, G)
    tissue_n = np.repeat(["liver", "brain"], [35, 15])
    rate_ng = np.tile(rate_g, (N, 1)) * rng.lognormal(0, 0.2, (N, G))
    rate_ng[35:, :20] *= 8
    obs = pd.DataFrame({"tissue": tissue_n}, index=[f"s{i}" for i in range(N)])
    return anndata.AnnData(
        sp.csr_matrix(rng.poisson(rate_ng).astype(np.float32)),
        obs=obs,
        var=pd.DataFrame(index=[f"g{i}" for i in range(G)]),
    )


def trained(cls, adata, steps=6, **options):
    cls.setup_anndata(adata, labels_key="tissue")
    model = cls(adata, **{"n_genes": 60, "n_pcs": 8, **options})
    model.train(max_steps=steps, seed=1)
    return model


def log_cpm(adata):
    x_ng = adata.X.toarray().astype(float)
    return np.log2(1 + 1e6 * x_ng / x_ng.sum(axis=1, keepdims=True))


def test_features_are_exact_components_of_z_scores_and_come_back(bulk):
    with open_counts(bulk) as counts:
        features, score_nk = LogComponents.fit(counts, 60, 49)
        value_ng = log_cpm(bulk)
        top = np.sort(np.argsort(-value_ng.var(axis=0))[:60])
        assert features.genes == [f"g{i}" for i in top]
        z_ng = value_ng[:, top] - value_ng[:, top].mean(axis=0)
        z_ng /= value_ng[:, top].std(axis=0, ddof=1)
        np.testing.assert_allclose(np.linalg.norm(score_nk, axis=0), np.linalg.svd(z_ng)[1][:49], rtol=1e-4)
        np.testing.assert_allclose(features.expression(score_nk), value_ng[:, top], atol=1e-3)  # all 49 are kept
        np.testing.assert_allclose(features.scores(counts.view(genes=np.arange(G)[::-1])), score_nk, atol=1e-4)
        few, few_scores = LogComponents.fit(counts, 20, 200)
        assert few_scores.shape == (N, 20)
        np.testing.assert_allclose(few.component_gk.T @ few.component_gk, np.eye(20), atol=1e-10)


@pytest.mark.parametrize("cls", [ExpressionGAN, ExpressionVAE, ExpressionDiffusion])
def test_generated_samples_are_labelled_marked_and_never_negative_and_files_keep_them(cls, bulk, tmp_path):
    model = trained(cls, bulk)
    assert model.labels_ == ["brain", "liver"] and len(model.genes_) == 60
    drawn = model.generate("brain", 5, seed=3)
    assert drawn.shape == (5, 60) and list(drawn.var_names) == model.genes_
    assert drawn.obs["tissue"].tolist() == ["brain"] * 5 and drawn.obs["synthetic"].all()
    assert np.isfinite(drawn.X).all() and drawn.X.min() >= 0
    model.save(tmp_path / "m")
    again = cls.load(tmp_path / "m")
    np.testing.assert_array_equal(again.generate("brain", 5, seed=3).X, drawn.X)
    assert again.recipe_.max_steps == 6 and again.history.equals(model.history)
    assert sorted(p.name for p in (tmp_path / "m").iterdir()) == [CARD, WEIGHTS]
    with pytest.raises(OptionError, match="no samples to train on"):
        again.train()
    with pytest.raises(OutputError, match="there already"):
        model.save(tmp_path / "m")


def test_a_vae_tells_the_tissues_apart(bulk):
    model = trained(ExpressionVAE, bulk, steps=400, recipe=VAERecipe())
    marker = [i for i, gene in enumerate(model.genes_) if int(gene[1:]) < 20]
    brain, liver = (model.generate(label, 200).X[:, marker].mean() for label in ("brain", "liver"))
    truth = log_cpm(bulk)[:, [int(model.genes_[i][1:]) for i in marker]]
    assert abs(brain - truth[35:].mean()) < 0.5 and abs(liver - truth[:35].mean()) < 0.5
    latent_nl = model.get_latent_representation()
    assert latent_nl.shape == (N, 32)
    np.testing.assert_allclose(model.get_latent_representation(bulk[::-1])[::-1], latent_nl, atol=1e-3)


def test_the_reference_preset_runs_on_any_number_of_samples(bulk):
    model = trained(ExpressionGAN, bulk, steps=2, preset="reference")
    assert isinstance(model.recipe_, ReferenceGANRecipe)
    assert model.generate("liver", 3).shape == (3, 60)


def test_a_layer_is_read_and_the_setup_goes_along_with_a_subset(bulk):
    bulk.layers["counts"] = bulk.X.copy()
    bulk.X = bulk.X * 0.5
    ExpressionGAN.setup_anndata(bulk, "tissue", layer="counts")
    part = bulk[5:].copy()
    assert len(ExpressionGAN(part, n_pcs=5).genes_) == G
    ExpressionGAN.setup_anndata(bulk, "tissue")
    with pytest.raises(NotCountsError):
        ExpressionGAN(bulk)


def test_bad_input_is_one_line(bulk):
    with pytest.raises(OptionError, match="not set up; call ExpressionGAN"):
        ExpressionGAN(bulk)
    with pytest.raises(OptionError, match="no column 'organ'"):
        ExpressionGAN.setup_anndata(bulk, "organ")
    with pytest.raises(OptionError, match="no layer 'raw'"):
        ExpressionGAN.setup_anndata(bulk, "tissue", layer="raw")
    ExpressionGAN.setup_anndata(bulk, "tissue")
    for options, message in [({"n_genes": 0}, "n_genes=0"), ({"n_pcs": 1.5}, "n_pcs=1.5")]:
        with pytest.raises(OptionError, match=message):
            ExpressionGAN(bulk, **options)
    with pytest.raises(OptionError, match="give one of them"):
        ExpressionGAN(bulk, GANRecipe(), preset="reference")
    with pytest.raises(OptionError, match="call train first"):
        ExpressionGAN(bulk).generate("brain", 1)
    model = trained(ExpressionGAN, bulk, steps=1)
    with pytest.raises(OptionError, match="label 'kidney' is not one the model knows: brain, liver"):
        model.generate("kidney", 1)
    for n in (0, -3):
        with pytest.raises(OptionError, match="1 or more"):
            model.generate("brain", n)


def test_labels_that_are_missing_or_of_one_sample(bulk):
    bulk.obs["tissue"] = bulk.obs["tissue"].astype(object)
    bulk.obs.loc["s3", "tissue"] = np.nan
    with pytest.raises(OptionError, match=r"1 of 50 samples have no label in obs\['tissue'\], first s3"):
        ExpressionVAE.setup_anndata(bulk, "tissue")
    bulk.obs.loc["s3", "tissue"] = "placenta"
    ExpressionVAE.setup_anndata(bulk, "tissue")
    with pytest.raises(MethodError, match="1 of 3 labels have one sample, such as 'placenta'"):
        ExpressionVAE(bulk)


def test_new_samples_need_known_labels_and_all_genes(bulk):
    model = trained(ExpressionVAE, bulk, steps=2)
    other = bulk.copy()
    other.obs["tissue"] = "kidney"
    with pytest.raises(OptionError, match="'kidney' is not one the model knows"):
        model.get_latent_representation(other)
    with pytest.raises(GeneError, match="missing"):
        model.get_latent_representation(bulk[:, 30:])


@pytest.mark.parametrize("part", ["labels", "genes", "generator"])
def test_a_card_that_does_not_fit_its_weights_is_refused(part, bulk, tmp_path):
    trained(ExpressionGAN, bulk, steps=1).save(tmp_path / "m")
    card = json.loads((tmp_path / "m" / CARD).read_text())
    card["about"][part] = card["about"][part][:1] if part != "generator" else {}
    (tmp_path / "m" / CARD).write_text(json.dumps(card))
    with pytest.raises(SourceError, match="do not fit together"):
        ExpressionGAN.load(tmp_path / "m")
    with pytest.raises(SourceError, match="of kind 'ExpressionGAN'"):
        ExpressionVAE.load(tmp_path / "m")
    assert card["weights_sha256"] == _sha256(tmp_path / "m" / WEIGHTS)
