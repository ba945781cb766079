"""``gene_metrics``: every number against numpy, any way of reading, real data, and what it refuses."""

from __future__ import annotations

import os
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.bulk import gene_metrics
from corpuscle.bulk.genes import gene_statistics, mean_cosine, metrics
from corpuscle.bulk.labels.store import Labels
from corpuscle.counts import Counts, MemorySource, open_counts
from corpuscle.datasets import bundled_path
from corpuscle.errors import GeneError, MethodError, OptionError
from corpuscle.normalize import ColumnNormalizer, normalizer

DATA = Path(os.environ.get("CORPUSCLE_DATA", Path(__file__).parents[2] / ".." / "shared" / "data"))
GTEX = DATA / "archs4" / "gtex_60samples_heart_muscle_brain.h5ad"
NUMBERS = ["mean", "var", "detection", "p50", "p95", "p95_low", "p95_high", "signal_ratio", "gini", "tau", "cosine"]


@pytest.fixture(scope="module")
def matrix():
    rng = np.random.default_rng(0)
    x_ng = rng.poisson(rng.gamma(0.6, 15.0, (300, 50))).astype(np.int32)
    x_ng[:, 0] = 0
    x_ng[:, 1] = np.arange(300) < 8
    x_ng[:, 2] += 1
    x_ng[:, 3] = np.arange(300) % 2
    return x_ng


def counts_of(x_ng, order=slice(None)):
    obs = pd.DataFrame({"organ": np.repeat(["liver", "skin", "eye"], 100), "study": np.arange(300) // 12})
    obs.index = [f"s{i}" for i in range(300)]
    var = pd.DataFrame({"gene_id": [f"ENSG{i:011}" for i in range(50)]}, index=[f"g{i}" for i in range(50)])
    return Counts([MemorySource(sp.csr_matrix(x_ng[order]), obs.iloc[order], var, name="made")])


@pytest.fixture(scope="module")
def counts(matrix):
    return counts_of(matrix)


@pytest.fixture(scope="module")
def values(matrix):
    return np.log2(1 + 1e6 * matrix / matrix.sum(axis=1, keepdims=True))


@pytest.fixture(scope="module")
def frame(counts):
    return gene_metrics(counts, cosine="centred", k=20, labels="obs:organ", series="study")


def test_every_number_is_what_numpy_gives(frame, values, matrix):
    assert list(frame)[:6] == ["gene", "gene_id", "n", "mean", "var", "detection"]
    assert list(frame)[-1] == "reason"
    assert (frame["n"] == 300).all()
    assert np.allclose(frame["mean"], values.mean(axis=0), rtol=1e-6)
    assert np.allclose(frame["var"], values.var(axis=0, ddof=1), rtol=1e-5)
    assert np.allclose(frame["detection"], (matrix > 0).mean(axis=0))
    assert np.allclose(frame["p50"], np.percentile(values, 50, axis=0), rtol=1e-6)
    assert np.allclose(frame["p95"], np.percentile(values, 95, axis=0), rtol=1e-6)
    ordered = np.sort(values, axis=0)
    assert np.allclose(frame["p95_low"], ordered[276], rtol=1e-6)  # 285 - 7.4, counted from 1: rank 277
    assert np.allclose(frame["p95_high"], ordered[292], rtol=1e-6)
    assert np.allclose(frame["signal_ratio"], (frame["p95"] + 1) / (frame["mean"] + 1))
    mean_lg = values.reshape(3, 100, 50).mean(axis=1)
    expected = (1 - mean_lg[:, 2:] / mean_lg[:, 2:].max(axis=0)).sum(axis=0) / 2
    assert np.allclose(frame["tau"][2:], expected, rtol=1e-5)


def test_cosine_is_of_the_samples_around_the_percentile(frame, values):
    centred_ng = values - values.mean(axis=0)
    start, stop = frame.attrs["window"]
    assert (start, stop) == (275, 295)
    for g in (2, 7, 30):
        window = np.argsort(values[:, g].astype(np.float32), kind="stable")[start:stop]
        if not frame["tied"][g]:
            assert frame["cosine"][g] == pytest.approx(mean_cosine(centred_ng[window]), abs=1e-5)
    assert not frame["tied"][7:].all()
    assert frame["n_series"].max() <= 20


def test_z_is_near_zero_where_windows_mean_nothing(frame):
    baseline = frame.attrs["baselines"]["random"]
    assert baseline["windows"] == 200
    assert abs(baseline["mean"]) < 0.02  # independent samples
    z_g = frame["cosine_z"].dropna()
    assert np.allclose(z_g, (frame["cosine"].dropna() - baseline["mean"]) / baseline["sd"])


def test_what_is_not_defined_says_why(frame):
    assert frame["reason"][0] == "no counts in any sample"
    assert frame["reason"][1] == "no count at p95: detected in 8 of 300 samples"
    assert frame.loc[:1, ["cosine", "cosine_z"]].isna().all(axis=None)
    assert (frame["reason"][2:] == "").all()
    assert frame.loc[2:, NUMBERS].notna().all(axis=None)


@pytest.mark.parametrize("budget", [2**30, 40_000, 4_000])
def test_no_number_depends_on_how_values_are_read(counts, frame, budget, monkeypatch, tmp_path):
    room = {2**30: 2**50, 40_000: 2**50, 4_000: 0}[budget]  # in memory; a transposed copy; a pass for every block
    from corpuscle.bulk.genes import _gene_blocks

    usage = type("Usage", (), {"free": room})()
    monkeypatch.setattr(_gene_blocks.shutil, "disk_usage", lambda _: usage)
    other = gene_metrics(
        counts, cosine="centred", k=20, labels="obs:organ", series="study", budget=budget, scratch=tmp_path
    )
    pd.testing.assert_frame_equal(other, frame, rtol=1e-9)
    assert not list(tmp_path.iterdir())


def test_many_samples_go_by_without_pairs(counts, frame, monkeypatch):
    monkeypatch.setattr(metrics, "GRAM_SAMPLES", 10)
    other = gene_metrics(counts, cosine="centred", k=20, labels="obs:organ", series="study", budget=40_000)
    pd.testing.assert_frame_equal(other, frame, atol=1e-4, rtol=1e-3)


def test_signal_does_not_depend_on_the_order_of_samples(matrix, frame):
    order = np.random.default_rng(5).permutation(300)
    other = gene_metrics(counts_of(matrix, order))
    assert (other["p95"] == frame["p95"]).all()
    assert np.allclose(other["signal_ratio"], frame["signal_ratio"], rtol=1e-12)
    assert (other["signal_ratio"].rank() == frame["signal_ratio"].rank()).all()


def test_summaries_merge_in_any_order(counts, matrix):
    method = normalizer("log_cpm").fit(counts)
    parts = [counts.view(cells=np.arange(first, first + 100)) for first in (200, 0, 100)]
    found = [gene_statistics(part, normalizer("log_cpm").fit(part)) for part in parts]
    found[0].merge(found[1])
    found[0].merge(found[2])
    whole = gene_statistics(counts, method)
    assert found[0].n == whole.n == 300
    assert np.allclose(found[0].m2_g, whole.m2_g, rtol=1e-10)
    assert (found[0].zeros_g == (matrix == 0).sum(axis=0)).all()
    assert (found[0].max_g == whole.max_g).all()
    assert (found[0].min_g == whole.min_g).all()


def test_formula_of_the_repository(counts, values):
    ours = gene_metrics(counts, cosine="uncentred", k=20, repo_formula=True)
    assert ours.attrs["window"] == [int(0.95 * 301) - 10, int(0.95 * 301) + 10]
    g = 7
    window = np.argsort(values[:, g].astype(np.float32), kind="stable")[slice(*ours.attrs["window"])]
    assert ours["cosine"][g] == pytest.approx(2 * mean_cosine(values[window]) + 2 / 19, abs=1e-6)
    scaled = np.percentile((1 + values) / (1 + values).mean(axis=0), 95, axis=0)
    assert np.allclose(ours["signal_ratio"], scaled, rtol=1e-6)


def test_some_genes_are_reported_as_among_all(counts, frame):
    some = gene_metrics(counts, genes=["g7", "g3", "ENSG00000000020"], cosine="centred", k=20, labels="obs:organ")
    assert list(some["gene"]) == ["g7", "g3", "g20"]
    wanted = frame.set_index("gene").loc[["g7", "g3", "g20"], NUMBERS].reset_index(drop=True)
    pd.testing.assert_frame_equal(some[NUMBERS], wanted, rtol=1e-9)


def test_seed_draws_ties_and_baselines_and_nothing_else(counts, frame):
    again, other = (gene_metrics(counts, cosine="centred", k=20, seed=seed) for seed in (0, 1))
    assert (again["cosine"].dropna() == frame["cosine"].dropna()).all()
    same = ~frame["tied"] & frame["cosine"].notna()
    assert same.sum() > 30
    assert (again["cosine"][same] == other["cosine"][same]).all()
    first, again, other = (
        gene_metrics(counts, normalizer="raw", cosine="centred", k=20, seed=seed) for seed in (0, 0, 1)
    )
    assert first["tied"][3]  # 0 or 1, and half of the samples have 1
    pd.testing.assert_frame_equal(first, again)
    assert first["cosine"][3] != other["cosine"][3]


def test_components_of_samples(counts, frame):
    found = gene_metrics(counts, cosine="pcs", k=20)
    assert found["cosine"].notna().sum() == frame["cosine"].notna().sum()
    assert found["cosine"].abs().max() <= 1


def test_sketch_is_within_its_error(counts, frame):
    found = gene_metrics(counts, percentiles="sketch")
    assert 0 < found.attrs["percentile_error"] < 0.02
    for name in ("p50", "p95", "p95_low", "p95_high"):
        assert (found[name] - frame[name]).abs().max() <= found.attrs["percentile_error"] + 1e-6
    assert found["p95"][1] == 0


def test_labels_in_another_order_and_unknown(counts, frame, tmp_path):
    known = Labels.from_obs(counts, "organ")
    order = np.random.default_rng(6).permutation(300)
    turned = Labels(known.samples[order], known.names, known.y_nl[order])
    turned.save(tmp_path / "labels.npz")
    for given in (turned, str(tmp_path / "labels.npz")):
        assert np.allclose(gene_metrics(counts, labels=given)["tau"], frame["tau"], equal_nan=True)
    with pytest.raises(OptionError, match="'tissue' is no column"):
        gene_metrics(counts, labels="obs:tissue")


def test_window_narrower_than_the_sampling_error_is_said(counts):
    notes = gene_metrics(counts, cosine="centred", k=10).attrs["notes"]
    assert any("spans 8 ranks to each side, more than the window of 10 samples" in line for line in notes)
    assert not gene_metrics(counts, cosine="centred", k=20).attrs["notes"]
    few = gene_metrics(counts.view(cells=np.arange(60)), cosine="centred", k=20)
    assert few["p95_high"].isna().all()
    assert any("not centred at p95" in line for line in few.attrs["notes"])
    assert any("too few for the upper end" in line for line in few.attrs["notes"])


class Broken(ColumnNormalizer):
    """Infinite for one gene."""

    name = "broken"
    formula = "1 / 0"

    def values(self, x, gene, *cell):
        return np.where(gene == 4, np.inf, x)


def test_refusals(counts):
    with pytest.raises(OptionError, match="k = 301 samples cannot be cut from 300"):
        gene_metrics(counts, cosine="centred", k=301)
    with pytest.raises(GeneError, match="gene nix is not among its 50 genes"):
        gene_metrics(counts, genes=["g1", "nix"])
    with pytest.raises(MethodError, match="one sample has no distribution"):
        gene_metrics(counts.view(cells=np.array([3])))
    with pytest.raises(MethodError, match="broken gives gene g4 a value that is not a finite number"):
        gene_metrics(counts, normalizer=Broken())
    with pytest.raises(MethodError, match="cannot be streamed"):
        gene_metrics(counts, normalizer="alra")
    for wrong, words in (
        ({"percentile": 100}, "percentile 100"),
        ({"cosine": "angle"}, "cosine 'angle'"),
        ({"percentiles": "guess"}, "percentiles 'guess'"),
        ({"percentiles": "sketch", "cosine": "pcs"}, "need exact percentiles"),
        ({"series": "batch"}, "batch"),
        ({"series": np.zeros(3)}, "one entry for each of 300"),
    ):
        with pytest.raises(OptionError, match=words):
            gene_metrics(counts, **wrong)


def test_bundled_cells():
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:400]
    counts = open_counts(adata[:, np.argsort(-adata.X.sum(axis=0).A1)[:300]].copy())
    found = gene_metrics(counts, cosine="pcs", k=30)
    assert found["cosine"].notna().all()
    assert found["cosine_z"].median() > 1  # cells that share a gene's level are of few types
    high = set(found.nlargest(40, "signal_ratio")["gene"])
    assert high & {"S100A8", "S100A9", "LYZ", "CD74", "HLA-DRA", "NKG7", "GNLY", "IGKC"}


@pytest.mark.skipif(not GTEX.exists(), reason="needs archs4/gtex_60samples_heart_muscle_brain.h5ad (CORPUSCLE_DATA)")
def test_real_bulk_samples():
    with open_counts(str(GTEX)) as counts:
        centred = gene_metrics(counts, cosine="centred", k=10, labels="obs:tissue", series="source")
        uncentred = gene_metrics(counts, cosine="uncentred", k=10, genes=centred["gene"][:200])
    assert uncentred.attrs["baselines"]["random"]["mean"] > 0.9  # any samples look alike
    assert abs(centred.attrs["baselines"]["random"]["mean"]) < 0.1
    assert centred.attrs["baselines"]["series"]["mean"] > 0.5  # tissue and source are one here
    assert centred["cosine_z"].median() > 2
    assert centred["cosine_z_series"].median() < 1
    named = centred.set_index("gene")
    actin = named.loc["ENSG00000075624"]  # ACTB, everywhere
    troponin = named.loc["ENSG00000130598"]  # TNNI2, skeletal muscle
    assert troponin["tau"] > 0.9 > 0.5 > actin["tau"]
    assert troponin["signal_ratio"] > 3 > 1.6 > actin["signal_ratio"]
