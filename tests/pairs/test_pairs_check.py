"""verify_pairs finds what was changed after the build, says where, and finds nothing in what was not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pair_cells import chunk_files, small_rules
from pair_links import Page, serve

from corpuscle.corpus.pairs.build import build_pairs
from corpuscle.corpus.pairs.check import verify_pairs
from corpuscle.corpus.pairs.manifest import read_pairs_manifest
from corpuscle.errors import SourceError

BUILD: dict[str, Any] = {"caption": "A {cell_type} cell.", "group": "donor", "batch": "batch", "chunk_cells": 300}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("built")
    paths = chunk_files(folder)
    build_pairs(paths, folder / "set", embeddings=("hvg:n=20", "pca:n_components=5"), rules=small_rules(), **BUILD)
    return folder / "set"


@pytest.fixture
def copy(built: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(built, tmp_path / "set"))


def edit_manifest(folder: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    path.write_text(json.dumps(manifest))


def edit_rows(folder: Path, split: str, change: Callable[[Any], Any]) -> None:
    from datasets import load_from_disk

    change(load_from_disk(str(folder / split))).save_to_disk(str(folder / "new"))
    shutil.rmtree(folder / split)
    (folder / "new").rename(folder / split)


def with_column(name: str, change: Callable[[list[Any]], list[Any]]) -> Callable[[Any], Any]:
    """Rows with other values in one column, which stays where it is."""

    def edit(rows: Any) -> Any:
        order = rows.column_names
        feature = rows.features[name]
        values = change(list(rows[name]))
        return rows.remove_columns(name).add_column(name, values).cast_column(name, feature).select_columns(order)

    return edit


def test_what_was_built_is_well(built: Path) -> None:
    report = verify_pairs(built, deep=True)
    assert report.ok and report.lines() == []
    manifest = read_pairs_manifest(built)
    assert report.archives == len(manifest.archives) >= 3
    assert report.rows == sum(split.rows for split in manifest.splits.values())
    assert json.loads(json.dumps(report.to_dict()))["ok"] is True


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "no such file"),
        (lambda path: path.write_bytes(path.read_bytes()[:3000]), "cut off"),
        (lambda path: path.write_bytes(b"<html>"), "web page"),
    ],
)
def test_a_damaged_archive(copy: Path, damage: Callable[[Path], Any], said: str) -> None:
    first = read_pairs_manifest(copy).archives[0]
    damage(copy / first.file)
    (problem,) = verify_pairs(copy).problems
    assert (problem.check, problem.file) == ("archive", first.file) and said in problem.message


def test_two_archives_that_changed_places(copy: Path) -> None:
    one, other = (copy / entry.file for entry in read_pairs_manifest(copy).archives[:2])
    content = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(content)
    problems = verify_pairs(copy).problems
    assert [problem.check for problem in problems] == ["archive"] * 2
    assert all("another archive" in problem.message for problem in problems)


def test_a_manifest_that_says_otherwise(copy: Path) -> None:
    def change(manifest: dict[str, Any]) -> None:
        entry = manifest["archives"][0]
        entry["n_obs"] += 1
        entry["obsm"]["X_pca"][0] = 7
        manifest["splits"]["train"]["rows"] += 2

    edit_manifest(copy, change)
    text = "\n".join(verify_pairs(copy).lines())
    assert "cells are not the" in text and "of width 5, not float32 of 7" in text and "the manifest says" in text


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("adata_sha256", lambda values: ["0" * 64, *values[1:]], "adata_sha256 is not the manifest's in 1 rows"),
        ("adata_link", lambda values: ["archives/x", *values[1:]], "adata_link is of no archive of this split"),
        ("obs_name", lambda values: ["nobody", *values[1:]], "1 cells are not in it"),
        ("positive", lambda values: ["", *values[1:]], "positive is empty in 1 rows"),
        ("positive", lambda values: ["same"] * len(values), "has the caption of its row"),
        ("negative_1_idx", lambda values: ["nobody", *values[1:]], "negative_1_idx is no cell of this split in 1 rows"),
        ("sample_idx", lambda values: [values[1], *values[1:]], "sample_idx names two cells"),
    ],
)
def test_rows_that_were_changed(copy: Path, column: str, change: Callable[[list[Any]], list[Any]], said: str) -> None:
    edit_rows(copy, "validation", with_column(column, change))
    report = verify_pairs(copy)
    assert any(said in problem.message for problem in report.problems), report.lines()
    assert not report.ok


def test_a_cell_or_donor_on_two_sides(copy: Path) -> None:
    from datasets import load_from_disk

    donor = load_from_disk(str(copy / "train"))["group"][0]
    cell = load_from_disk(str(copy / "train"))["sample_idx"][0]
    edit_rows(copy, "test", with_column("group", lambda values: [donor, *values[1:]]))
    edit_rows(copy, "test", with_column("sample_idx", lambda values: [cell, *values[1:]]))
    said = [problem.message for problem in verify_pairs(copy).problems if problem.check == "split"]
    assert sorted(one.split(" are also")[0] for one in said) == ["1 cells", "1 groups"]


def test_rows_that_are_gone_and_columns_that_are_new(copy: Path) -> None:
    edit_rows(
        copy, "validation", lambda rows: rows.select(range(len(rows) - 1)).add_column("extra", ["x"] * (len(rows) - 1))
    )
    text = "\n".join(verify_pairs(copy).lines())
    assert "e.g. extra" in text and "rows and the manifest says" in text
    shutil.rmtree(copy / "validation")
    assert any("rows cannot be read" in line for line in verify_pairs(copy).lines())


def test_embedders_and_strangers(copy: Path) -> None:
    entries = read_pairs_manifest(copy).embedders
    (copy / entries[0].file).unlink()
    path = copy / entries[1].file
    path.write_bytes(path.read_bytes()[:-10])
    (copy / "archives" / "mine.zip").write_bytes(b"PK")
    found = {(problem.check, problem.file) for problem in verify_pairs(copy).problems}
    assert found == {("embedder", entries[0].file), ("embedder", entries[1].file), ("archives", "archives/mine.zip")}


def test_only_a_deep_look_finds_vectors_of_another_run(copy: Path) -> None:
    """Archive, rows and manifest agree, and the vectors are not those of the saved embedder."""
    from corpuscle.corpus.pairs.archives import read_archive, write_archive

    entry = read_pairs_manifest(copy).archives[0]
    there = read_archive(copy / entry.file)
    there.obsm["X_pca"] = -np.asarray(there.obsm["X_pca"])
    (copy / entry.file).unlink()
    args = (there.X, there.layers["counts"], there.obs, there.var, dict(there.obsm))
    new = write_archive(copy / entry.file, *args, format=entry.format)
    edit_manifest(copy, lambda manifest: manifest["archives"][0].update(sha256=new.sha256, bytes=new.bytes))
    swap = with_column("adata_sha256", lambda values: [new.sha256 if one == entry.sha256 else one for one in values])
    edit_rows(copy, entry.split, swap)
    assert verify_pairs(copy).ok
    (problem,) = verify_pairs(copy, deep=True).problems
    assert problem.file == entry.file and "X_pca differs" in problem.message


def test_archives_behind_links_are_checked_there(copy: Path, tmp_path: Path) -> None:
    entries = read_pairs_manifest(copy).archives
    with serve() as site:
        for entry in entries:
            site.pages[f"/{entry.file}"] = Page((copy / entry.file).read_bytes())
        links = {entry.link: f"{site.url}/{entry.file}" for entry in entries}
        for split in read_pairs_manifest(copy).splits:
            edit_rows(copy, split, with_column("adata_link", lambda values: [links[one] for one in values]))
        edit_manifest(copy, lambda manifest: [one.update(link=links[one["link"]]) for one in manifest["archives"]])
        shutil.rmtree(copy / "archives")
        assert not verify_pairs(copy).ok  # they are not here, and nobody asked to fetch them
        assert verify_pairs(copy, cache=tmp_path / "cache").ok
        site.pages.popitem()
        (problem,) = verify_pairs(copy, cache=tmp_path / "other").problems
        assert "404" in problem.message and "rows of the data set" in problem.message


def test_a_folder_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no manifest\.json"):
        verify_pairs(tmp_path)


def test_vectors_and_cells_of_a_built_set(built: Path, tmp_path: Path) -> None:
    from corpuscle.corpus.pairs.vectors import build_store, rows_to_anndata
    from datasets import load_from_disk

    found = rows_to_anndata(built, cache=tmp_path)
    store = build_store(built, "X_pca", tmp_path / "store", cache=tmp_path)
    rows = load_from_disk(str(built))
    assert list(found.obs_names) == [name for split in rows.values() for name in split["sample_idx"]]
    assert np.array_equal(store.lookup(list(found.obs_names)), found.obsm["X_pca"])
    captions = [text for split in rows.values() for text in split["positive"]]
    assert [f"A {kind} cell." for kind in found.obs["cell_type"]] == captions
