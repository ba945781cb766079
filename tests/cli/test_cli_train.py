"""``corpuscle train`` and ``corpuscle embed``: what they leave, what they print, and their exit code."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("scvi")
pytest.importorskip("safetensors")

from corpuscle.cli import main  # noqa: E402
from corpuscle.datasets import bundled_path  # noqa: E402

QUICK = ["--topics", "5", "--n-top-genes", "200", "--epochs", "2", "--accelerator", "cpu"]


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    """150 blood cells in a file, with a second view and batches."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:150]
    detected = np.asarray((adata.X > 0).sum(axis=0)).ravel()
    adata = adata[:, np.argsort(-detected, kind="stable")[:800]].copy()
    adata.obsm["X_other"] = np.random.default_rng(0).normal(size=(150, 4))
    adata.obs["plate"] = pd.Categorical(["a", "b"] * 75)
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    adata.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def model(cells, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "pbmc.model"
    assert main(["train", "sce2tm", str(cells), "-o", str(folder), *QUICK]) == 0
    return folder


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_training_leaves_a_model_and_says_so_in_one_line(cells, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = run(
        capsys, "train", "sce2tm", cells, "-o", "m", *QUICK, "--foundation", "X_other", "--batch", "plate"
    )
    assert (code, out) == (0, "")
    assert err.strip() == "5 topics of 150 cells x 200 genes, 2 epochs: m"
    assert [path.name for path in tmp_path.iterdir()] == ["m"]
    about = json.loads((tmp_path / "m" / "model.json").read_text())["about"]
    assert about["setup"]["foundation_key"] == "X_other" and about["view_width"] == 4
    assert about["batches"] == ["a", "b"] and "distill" in about["history"]


def test_json_says_what_was_done_and_the_seed_decides(cells, model, tmp_path, capsys):
    code, out, _ = run(capsys, "train", "sce2tm", cells, "-o", tmp_path / "m", *QUICK, "--json")
    said = json.loads(out)
    assert code == 0 and said["recipe"]["n_topics"] == 5 and said["epochs"] == 2 and said["loss"]["rec"] > 0
    weights = [(folder / "weights.safetensors").read_bytes() for folder in (model, tmp_path / "m")]
    assert weights[0] == weights[1]


@pytest.mark.parametrize("suffix", [".h5ad", ".csv", ".parquet"])
def test_topics_and_logits_are_written_in_each_format(cells, model, tmp_path, capsys, suffix):
    file = tmp_path / f"topics{suffix}"
    code, _, err = run(capsys, "embed", model, cells, "-o", file)
    assert code == 0 and "5 topics of 150 cells" in err
    names = list(anndata.read_h5ad(cells).obs_names)
    if suffix == ".h5ad":
        written = anndata.read_h5ad(file)
        topics, logits, index = written.obsm["X_topics"], written.obsm["X_topic_logits"], list(written.obs_names)
        assert "plate" in written.obs and written.uns["topic_model"]["model"] == "SCE2TM"
    else:
        table = pd.read_csv(file, index_col="cell") if suffix == ".csv" else pd.read_parquet(file)
        topics, logits = table.filter(like="topic_").to_numpy(), table.filter(like="logit_").to_numpy()
        index = list(table.index)
    assert index == names and topics.shape == logits.shape == (150, 5)
    np.testing.assert_allclose(topics, np.exp(logits) / np.exp(logits).sum(1, keepdims=True), rtol=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [file.name]


def test_missing_genes_are_one_note(cells, model, tmp_path, capsys):
    genes = json.loads((model / "model.json").read_text())["about"]["genes"]
    adata = anndata.read_h5ad(cells)
    adata[:, ~adata.var_names.isin(genes[:20])].write_h5ad(tmp_path / "fewer.h5ad")
    code, _, err = run(capsys, "embed", model, tmp_path / "fewer.h5ad", "-o", tmp_path / "t.csv")
    notes = [line for line in err.splitlines() if line.startswith("note:")]
    assert code == 0 and len(notes) == 1 and "20 of the model's 200 genes are missing" in notes[0]


def test_a_mistake_is_one_line_and_exit_code_two(cells, model, tmp_path, capsys):
    logged = anndata.read_h5ad(cells)
    logged.X = logged.X.astype(float).log1p()
    logged.write_h5ad(tmp_path / "logged.h5ad")
    adata = anndata.read_h5ad(cells)
    adata.var_names = [name.capitalize() for name in adata.var_names]
    adata.write_h5ad(tmp_path / "mouse.h5ad")
    (tmp_path / "here.csv").write_text("mine")
    train = ["train", "sce2tm", cells, "-o", tmp_path / "m"]
    wrong = {
        "fractional": ["train", "sce2tm", tmp_path / "logged.h5ad", "-o", tmp_path / "m", *QUICK],
        "no such file": ["train", "sce2tm", tmp_path / "none.h5ad", "-o", tmp_path / "m"],
        "more than the 200 genes": [*train, "--topics", "201", "--n-top-genes", "200"],
        "obsm has no 'X_none'": [*train, *QUICK, "--foundation", "X_none"],
        "no column 'none'": [*train, *QUICK, "--batch", "none"],
        "no recipe is called": [*train, "--recipe", "mine"],
        "a model is there already": ["train", "sce2tm", cells, "-o", model],
        "there is no folder": ["train", "sce2tm", cells, "-o", tmp_path / "no" / "m"],
        "must be counts or log": [*train, "--expression", "tpm"],
        "is not a model": ["embed", tmp_path, cells, "-o", tmp_path / "t.csv"],
        "must end in": ["embed", model, cells, "-o", tmp_path / "t.txt"],
        "is there already": ["embed", model, cells, "-o", tmp_path / "here.csv"],
        "is the source itself": ["embed", model, cells, "-o", cells, "--force"],
        "differ only in capitals": ["embed", model, tmp_path / "mouse.h5ad", "-o", tmp_path / "t.csv"],
    }
    for words, args in wrong.items():
        code, out, err = run(capsys, *args)
        lines = [line for line in err.splitlines() if line]
        assert code == 2 and out == "" and len(lines) == 1 and words in lines[0], (words, err)
    assert (tmp_path / "here.csv").read_text() == "mine"
    assert not (tmp_path / "m").exists() and not (tmp_path / "t.csv").exists()


def test_a_failed_write_leaves_what_was_there(cells, model, tmp_path, capsys, monkeypatch):
    file = tmp_path / "t.csv"
    file.write_text("earlier")

    def full(self, path, *_, **__):
        path.write_text("half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pd.DataFrame, "to_csv", full)
    code, _, err = run(capsys, "embed", model, cells, "-o", file, "--force")
    assert code == 2 and "No space" in err
    assert file.read_text() == "earlier" and [path.name for path in tmp_path.iterdir()] == ["t.csv"]


def test_force_replaces_a_model_and_logged_values_are_taken(cells, tmp_path, capsys):
    logged = anndata.read_h5ad(cells)
    logged.X = logged.X.astype(np.float32).log1p()
    logged.write_h5ad(tmp_path / "logged.h5ad")
    for extra in ([], ["--force"]):
        args = ["train", "sce2tm", tmp_path / "logged.h5ad", "-o", tmp_path / "m", *QUICK, "--expression", "log"]
        assert run(capsys, *args, *extra)[0] == 0
    assert run(capsys, "embed", tmp_path / "m", tmp_path / "logged.h5ad", "-o", tmp_path / "t.parquet")[0] == 0
    assert np.isfinite(pd.read_parquet(tmp_path / "t.parquet").to_numpy()).all()
