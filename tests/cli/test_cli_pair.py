"""``corpuscle corpus pair``, ``verify`` and ``publish``, as typed."""

from __future__ import annotations

import json

import anndata as ad
import pytest

from corpuscle.cli import main
from corpuscle.datasets import bundled_path
from datasets import load_from_disk


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    cells = ad.read_h5ad(bundled_path("pbmc_1k_v3"))[:400].copy()
    cells.obs["donor"] = [f"d{i % 5}" for i in range(cells.n_obs)]
    cells.obs["kind"] = ["B cell" if i % 3 else "monocyte" for i in range(cells.n_obs)]
    path = tmp_path_factory.mktemp("pair") / "cells.h5ad"
    cells.write_h5ad(path)
    return path


@pytest.fixture(scope="module")
def built(source):
    out = source.parent / "cells.pairs"
    words = ["corpus", "pair", str(source), "--caption", "A {kind} of blood.", "--group", "donor", "--embeddings"]
    assert main([*words, "hvg:n=50,pca:n_components=5", "--shares", "0.6,0.2,0.2", "--no-qc", "-o", str(out)]) == 0
    return out


def test_rows_have_the_caption_and_groups_stay_together(built):
    rows = load_from_disk(built)
    assert set(rows) == {"train", "validation", "test"}
    assert set(rows["train"]["positive"]) == {"A B cell of blood.", "A monocyte of blood."}
    groups = [set(rows[split]["group"]) for split in rows]
    assert sum(map(len, groups)) == 5
    assert not set.intersection(*groups[:2])


def test_what_was_built_verifies_and_what_was_changed_does_not(built, capsys, tmp_path):
    assert main(["corpus", "verify", str(built)]) == 0
    assert main(["corpus", "verify", str(built), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ok"] and found["rows"] == 400
    archive = next((built / "archives").iterdir())
    whole = archive.read_bytes()
    archive.write_bytes(whole[:-10])
    try:
        assert main(["corpus", "verify", str(built)]) == 2
    finally:
        archive.write_bytes(whole)
    assert archive.name in capsys.readouterr().err


def test_ontology_says_what_a_type_is(source, capsys):
    out = source.parent / "described.pairs"
    words = [
        "corpus",
        "pair",
        str(source),
        "--caption",
        "{kind}",
        "--ontology",
        "--random-split",
        "--no-qc",
        "--embeddings",
    ]
    assert main([*words, "hvg:n=20", "-o", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["out"] == str(out)
    captions = set(load_from_disk(out)["train"]["positive"])
    assert any(text.startswith("B cell. A lymphocyte") for text in captions)


def test_a_column_gives_the_split(source, tmp_path):
    cells = ad.read_h5ad(source)
    cells.obs["side"] = ["test" if i % 4 == 0 else "train" for i in range(cells.n_obs)]
    cells.write_h5ad(tmp_path / "cells.h5ad")
    words = ["corpus", "pair", str(tmp_path / "cells.h5ad"), "--caption", "kind", "--split", "side", "--no-qc"]
    assert main([*words, "--embeddings", "hvg:n=20", "-o", str(tmp_path / "x.pairs")]) == 0
    rows = load_from_disk(tmp_path / "x.pairs")
    assert {split: len(part) for split, part in rows.items()} == {"train": 300, "test": 100}


def test_publishing_to_a_folder_makes_the_rows_link_there(built, tmp_path):
    import shutil

    own = tmp_path / "own.pairs"
    shutil.copytree(built, own)
    words = ["corpus", "publish", str(own), "--to", "folder", "--folder", str(tmp_path / "there")]
    assert main([*words, "--link-base", (tmp_path / "there").as_uri()]) == 0
    link = load_from_disk(own)["train"][0]["adata_link"]
    assert link.startswith((tmp_path / "there").as_uri())
    assert main(["corpus", "verify", str(own)]) == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--caption", "{nothing}", "--random-split"], "nothing"),
        (["--caption", "kind", "--group", "nobody"], "nobody"),
        (["--caption", "kind", "--split", "kind"], "train, validation, test"),
        (["--caption", "kind", "--split", "kind", "--group", "donor"], "--group"),
        (["--caption", "kind", "--random-split", "--shares", "a,b"], "--shares"),
        (["--random-split"], "caption"),
        (["--caption", "kind", "--random-split", "--embeddings", "magic"], "magic"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(source, tmp_path, capsys, words, said):
    out = tmp_path / "x.pairs"
    assert main(["corpus", "pair", str(source), *words, "-o", str(out)]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error:")]
    assert len(lines) == 1 and said in lines[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("words", [["--to", "moon"], ["--to", "webdav"], ["--to", "hub"], ["--to", "folder"]])
def test_a_place_that_is_not_said_is_asked_for(built, capsys, words):
    assert main(["corpus", "publish", str(built), *words]) == 2
    assert "--to" in capsys.readouterr().err
