"""A whole build: what comes out, that it repeats, and that what fails leaves nothing."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from pair_cells import chunk_files, chunks, pbmc68k, small_rules

from corpuscle.corpus.pairs import _build_write
from corpuscle.corpus.pairs.archives import read_archive
from corpuscle.corpus.pairs.build import build_pairs
from corpuscle.corpus.pairs.check import verify_pairs
from corpuscle.corpus.pairs.embedders import load_embedder
from corpuscle.corpus.pairs.manifest import read_pairs_manifest
from corpuscle.corpus.pairs.negatives import NegativePolicy
from corpuscle.corpus.pairs.vectors import build_store, rows_to_anndata
from corpuscle.errors import MethodError, NotCountsError, OptionError, OutputError, SourceError

TEMPLATE = "This is a {cell_type} cell from human peripheral blood."
ZIPS = {"archive": "zarr.zip", "chunk_cells": 150}
EMBEDDINGS = ("hvg:n=64", "pca:n_components=8")


def build(sources, out, **other):
    """Build with HDF5 archives, which are written in a fraction of the time."""
    options = {"caption": TEMPLATE, "group": "donor", "batch": "batch", "embeddings": EMBEDDINGS, "archive": "h5ad"}
    return build_pairs(sources, out, **(options | {"rules": small_rules()} | other))


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    paths = chunk_files(folder)
    return paths, folder / "set", build(paths, folder / "set", **ZIPS)


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def loaded(folder):
    from datasets import load_from_disk

    return load_from_disk(str(folder))


# -- what comes out ------------------------------------------------------------------------------------------------


def test_the_folder_is_what_its_checks_expect(built):
    _, folder, manifest = built
    assert verify_pairs(folder, deep=True).problems == []
    assert read_pairs_manifest(folder) == manifest
    assert sorted(path.name for path in folder.parent.iterdir()) == ["part0.h5ad", "part1.h5ad", "part2.h5ad", "set"]


def test_rows_lead_back_to_the_cells_bit_for_bit(built, tmp_path):
    _, folder, manifest = built
    back = rows_to_anndata(folder, cache=tmp_path)
    given = pbmc68k()[back.obs_names, back.var_names]
    assert back.n_obs == sum(split.cells for split in manifest.splits.values()) > 500
    assert (back.layers["counts"] != given.X).nnz == 0
    counts = given.X.toarray().astype(np.float64)
    expected = np.log1p(counts * (10_000 / counts.sum(1, keepdims=True))).astype(np.float32)
    np.testing.assert_array_max_ulp(back.X.toarray(), expected, maxulp=1)
    assert list(back.obs["cell_type"]) == list(given.obs["cell_type"])
    rows = loaded(folder)
    positive = {row["sample_idx"]: row["positive"] for split in rows.values() for row in split}
    for name, cell_type in zip(back.obs_names, back.obs["cell_type"], strict=True):
        assert positive[name] == TEMPLATE.format(cell_type=cell_type)


def test_vectors_are_those_of_the_stored_embeddings(built, tmp_path):
    _, folder, _ = built
    pca = load_embedder(folder / "embedders" / "pca.npz")
    store = build_store(folder, "X_pca", tmp_path / "store", cache=tmp_path / "cache")
    back = rows_to_anndata(folder, cache=tmp_path / "cache")
    assert pca.width == 8
    np.testing.assert_array_equal(store.lookup(list(back.obs_names)), back.obsm["X_pca"])


@pytest.mark.parametrize("form", ["single", "pairs"])
def test_the_other_forms_build_and_verify(built, tmp_path, form):
    paths, _, _ = built
    manifest = build(paths, tmp_path / "set", format=form, embeddings=["hvg:n=32"])
    assert verify_pairs(tmp_path / "set", deep=True).problems == []
    for split, rows in loaded(tmp_path / "set").items():
        per_cell = 2 if form == "pairs" else 1
        assert len(rows) == manifest.splits[split].rows == per_cell * manifest.splits[split].cells


def test_groups_are_on_one_side_and_steps_account_for_every_cell(built):
    _, folder, manifest = built
    sides: dict[str, set[str]] = {}
    for split, rows in loaded(folder).items():
        for group in rows["group"]:
            sides.setdefault(group, set()).add(split)
    assert {len(side) for side in sides.values()} == {1}
    dropped = sum(step.dropped for step in manifest.steps if step.unit == "cells")
    kept = sum(split.cells for split in manifest.splits.values())
    assert kept + dropped == 700 == sum(source.cells_in for source in manifest.sources)


def test_archives_are_cut_by_cells_split_and_source(built):
    _, _, manifest = built
    assert max(entry.n_obs for entry in manifest.archives) == 150
    assert all(len(entry.sources) == 1 for entry in manifest.archives)
    assert sum(entry.n_obs for entry in manifest.archives) == sum(split.cells for split in manifest.splits.values())


def test_building_twice_gives_the_same_bytes(built, tmp_path):
    paths, folder, _ = built
    build(paths, tmp_path / "again", **ZIPS)
    assert tree(tmp_path / "again") == tree(folder)


def test_another_seed_gives_other_negatives_and_another_split(built, tmp_path):
    paths, folder, manifest = built
    other = build(paths, tmp_path / "set", seed=1)
    one, two = loaded(folder), loaded(tmp_path / "set")
    assert set(one["test"]["sample_idx"]) != set(two["test"]["sample_idx"])
    assert (manifest.negatives.seed, other.negatives.seed) == (0, 1)


def test_changing_test_cells_leaves_embeddings_and_training_archives_alone(built, tmp_path):
    _, folder, manifest = built
    test_cells = set(loaded(folder)["test"]["sample_idx"])
    paths = []
    for k, part in enumerate(chunks()):
        changed = part.obs_names.isin(test_cells)
        # Values change places within a cell, so that quality control sees the same cells.
        x_ng = part.X.toarray()
        x_ng[changed] = np.roll(x_ng[changed], 7, axis=1)
        part.X = sp.csr_matrix(x_ng)
        paths.append(tmp_path / f"part{k}.h5ad")
        part.write_h5ad(paths[-1])
    rules = {"rules": small_rules(min_cells=0)}
    sources, _, _ = built
    before, after = build(sources, tmp_path / "a", **rules), build(paths, tmp_path / "b", **rules)
    assert [e.sha256 for e in before.embedders] == [e.sha256 for e in after.embedders]
    was = {entry.file: entry.sha256 for entry in before.archives}
    assert {entry.split for entry in after.archives if entry.sha256 != was[entry.file]} == {"test"}
    assert manifest.embedders[0].fitted_on == "train"


# -- choices -------------------------------------------------------------------------------------------------------


def test_a_test_set_takes_the_embeddings_of_a_training_set(built, tmp_path):
    paths, folder, manifest = built
    only = {"shares": (0, 0, 1), "group": None}
    with pytest.raises(OptionError, match="embedders-from"):
        build(paths[:1], tmp_path / "set", **only)
    made = build(paths[:1], tmp_path / "set", embeddings=["pca"], embedders_from=folder, **only)
    assert list(made.splits) == ["test"]
    assert made.embedders[0].sha256 == manifest.embedders[1].sha256
    assert made.embedders[0].fitted_on == f"train of {manifest.name}"
    assert verify_pairs(tmp_path / "set", deep=True).problems == []


def test_a_column_decides_the_split_and_manifest_and_card_say_so(tmp_path):
    cells = pbmc68k()
    cells.obs["side"] = ["test" if place % 3 == 0 else "train" for place in range(cells.n_obs)]
    made = build({"pbmc": cells}, tmp_path / "set", group=None, split="side", embeddings=["pca:n_components=4"])
    rows = loaded(tmp_path / "set")
    assert set(rows) == {"train", "test"}
    for split, part in rows.items():
        assert set(cells.obs.loc[part["sample_idx"], "side"]) == {split}
    assert made.embedders[0].fitted_cells == len(rows["train"])
    assert (made.split_by, made.parameters["split"], made.parameters["shares"]) == (None, "side", None)
    card = (tmp_path / "set" / "README.md").read_text()
    assert "given by the column `side`" in card
    assert "at random and not by group" not in card
    assert verify_pairs(tmp_path / "set", deep=True).problems == []


def test_names_shared_by_sources_survive_with_their_source(tmp_path):
    part = chunks()[0]
    sources = {"one": part, "two": part.copy()}
    with pytest.raises(SourceError, match="namespace"):
        build(sources, tmp_path / "set")
    build(sources, tmp_path / "set", namespace=True)
    back = rows_to_anndata(tmp_path / "set", cache=tmp_path / "cache")
    assert back.obs_names.str.startswith("one:").sum() == back.n_obs / 2
    plain = [name.split(":", 1)[1] for name in back.obs_names]
    assert list(back.obs["obs_name"]) == plain
    archive = read_archive(next((tmp_path / "set" / "archives").glob("train-one-*")))
    assert archive.obs_names.str.startswith("one:").all(), "a reader finds no cell by its sample_idx"
    assert (back.layers["counts"] != part[plain, back.var_names].X).nnz == 0


def test_cells_without_a_caption_are_left_out_and_counted(tmp_path):
    cells = pbmc68k()
    cells.obs.loc[cells.obs["cell_type"] == "Dendritic", "cell_type"] = None
    manifest = build({"pbmc": cells}, tmp_path / "set")
    step = next(step for step in manifest.steps if step.step == "caption")
    assert step.dropped > 100
    rows = loaded(tmp_path / "set")
    assert sum(len(split) for split in rows.values()) == step.came_in - step.dropped
    assert all(text for split in rows.values() for text in split["positive"])
    assert verify_pairs(tmp_path / "set").problems == []


def test_one_caption_is_a_clear_error_and_single_rows_still_build(tmp_path):
    cells = pbmc68k()
    cells.obs["species"] = "human"
    with pytest.raises(MethodError, match="all its captions are the same"):
        build({"pbmc": cells}, tmp_path / "set", caption="A {species} cell.")
    assert list(tmp_path.iterdir()) == []
    build({"pbmc": cells}, tmp_path / "set", caption=None, format="single", embeddings=[])
    assert "positive" not in loaded(tmp_path / "set")["train"].column_names


def test_links_stand_behind_their_base(built, tmp_path):
    paths, _, _ = built
    made = build(paths, tmp_path / "set", link_base="https://example.org/cells/", embeddings=["hvg:n=16"])
    links = {entry.link for entry in made.archives}
    assert "https://example.org/cells/train-part0-0.h5ad" in links
    assert set(loaded(tmp_path / "set")["train"]["adata_link"]) <= links


def test_texts_of_negatives_are_written_when_asked_for(built, tmp_path):
    paths, _, _ = built
    build(paths, tmp_path / "set", resolve=True, negatives=NegativePolicy(n=3), embeddings=[], sentence_genes=20)
    for row in loaded(tmp_path / "set")["train"]:
        assert row["negative_1"] != row["positive"] != row["negative_3"]
        assert 0 < len(row["negative_2"].split()) <= 20


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"format": "triplets"}, "triplets"),
        ({"caption": None}, "--caption"),
        ({"caption": "{celltype}"}, "celltype"),
        ({"archive": "tar"}, "tar"),
        ({"chunk_cells": 0}, "chunk_cells"),
        ({"group": None}, "--random-split"),
        ({"group": "nobody"}, "nobody"),
        ({"random_split": True}, "random split"),
        ({"split": "louvain"}, "the group 'donor'"),
        ({"split": "louvain", "group": None, "random_split": True}, "--random-split"),
        ({"split": "louvain", "group": None}, "column 'louvain' gives the split"),
        ({"split": "nobody", "group": None}, "nobody"),
        ({"embeddings": ["umap"]}, "umap"),
        ({"format": "pairs", "resolve": True}, "multiplets only"),
        ({"resolve": True, "sentence_genes": 0}, "sentence_genes"),
    ],
)
def test_wrong_options_are_named_and_leave_nothing(tmp_path, wrong, said):
    with pytest.raises(OptionError, match=said):
        build({"pbmc": pbmc68k()}, tmp_path / "set", **wrong)
    assert list(tmp_path.iterdir()) == []


# -- what fails ----------------------------------------------------------------------------------------------------


def test_a_source_that_is_no_counts_leaves_nothing(tmp_path):
    bad = chunks()[2]
    bad.X = bad.X * 0.5
    with pytest.raises(NotCountsError, match="fractional"):
        build([chunks()[0], bad], tmp_path / "set")
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_leaves_nothing_and_says_so(built, tmp_path, monkeypatch):
    paths, _, _ = built
    real, calls = _build_write.write_archive, []

    def full(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(*args, **options)

    monkeypatch.setattr(_build_write, "write_archive", full)
    with pytest.raises(OutputError, match="No space left on device"):
        build(paths, tmp_path / "set")
    assert len(calls) == 3
    assert list(tmp_path.iterdir()) == []


def test_a_source_that_is_cut_off_while_it_is_read_leaves_nothing(tmp_path, monkeypatch):
    paths = chunk_files(tmp_path)
    real, calls = _build_write.write_archive, []

    def cut(*args, **options):
        calls.append(args)
        with paths[2].open("r+b") as file:
            file.truncate(1000)
        return real(*args, **options)

    monkeypatch.setattr(_build_write, "write_archive", cut)
    with pytest.raises(SourceError, match=r"part2\.h5ad"):
        build(paths, tmp_path / "set")
    assert calls
    assert [path for path in tmp_path.iterdir() if path.suffix != ".h5ad"] == []


def test_what_is_there_is_replaced_only_by_force_and_only_if_it_is_a_data_set(built, tmp_path, monkeypatch):
    paths, _, _ = built
    out = tmp_path / "set"
    quick = {"embeddings": ["hvg:n=8"], "sentence_genes": 0}
    build(paths, out, **quick)
    before = tree(out)
    with pytest.raises(OutputError, match="--force"):
        build(paths, out, **quick)
    with monkeypatch.context() as patched:
        patched.setattr(_build_write, "build_rows", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
        with pytest.raises(OutputError):
            build(paths, out, force=True, **quick)
    assert tree(out) == before
    build(paths, out, force=True, seed=5, **quick)
    assert tree(out) != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["set"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(OutputError, match="holds other files"):
        build(paths, tmp_path / "mine", force=True, **quick)


# -- real files ----------------------------------------------------------------------------------------------------


def test_a_bundled_10x_sample_builds(tmp_path):
    from corpuscle.corpus.pairs.prepare import QCRules
    from corpuscle.datasets import bundled_path

    manifest = build_pairs(
        bundled_path("pbmc_1k_v3"), tmp_path / "set", format="single", random_split=True, embeddings=["pca:n_components=5"],
        rules=QCRules(mito_percent=25, mito_mads=9), sentence_genes=30,
    )  # fmt: skip
    assert sum(split.rows for split in manifest.splits.values()) > 500
    assert str(tmp_path) not in (tmp_path / "set" / "manifest.json").read_text()
    assert str(Path.home()) not in (tmp_path / "set" / "manifest.json").read_text()
    assert verify_pairs(tmp_path / "set", deep=True).problems == []


def test_donors_of_a_real_study_are_held_out(tmp_path):
    file = Path(os.environ.get("CORPUSCLE_DATA", "../shared/data")) / "batch" / "baron_human_2donors.h5ad"
    if not file.is_file():
        pytest.skip("needs baron_human_2donors.h5ad below CORPUSCLE_DATA")
    import anndata

    column = next(c for c in ("donor", "batch", "sample") if c in anndata.read_h5ad(file, backed="r").obs)
    manifest = build_pairs(
        file,
        tmp_path / "set",
        caption="A {cell_type} cell.",
        group=column,
        shares=(0.5, 0, 0.5),
        embeddings=["hvg:n=128"],
    )
    assert {split.groups for split in manifest.splits.values()} == {1}
    assert verify_pairs(tmp_path / "set").problems == []
