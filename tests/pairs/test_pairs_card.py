"""Manifest and card: strict in, strict out; the code on the card runs; what others wrote is text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from pair_folder import SHA, make_folder, manifest_of

from corpuscle.corpus.pairs.card import fill, render_card
from corpuscle.corpus.pairs.manifest import (
    ArchiveEntry,
    PairsManifest,
    SourceEntry,
    read_pairs_manifest,
    write_pairs_manifest,
)
from corpuscle.errors import OutputError, SourceError

ROW = {"sample_idx": "c1", "positive": "a B cell", "label": None}


def entry(**about: Any) -> ArchiveEntry:
    known = {
        "link": "archives/a.zarr.zip",
        "file": "archives/a.zarr.zip",
        "split": "train",
        "format": "zarr.zip",
        "sha256": SHA,
        "bytes": 10,
        "n_obs": 40,
        "obsm": {"X_pca": (3, "float32")},
        "obs_hash": SHA,
    }
    return ArchiveEntry(**{**known, **about})


def manifest(splits: tuple[str, ...] = ("train", "test"), **about: Any) -> PairsManifest:
    columns = (
        "sample_idx",
        "cell_sentence_1",
        "cell_sentence_2",
        "positive",
        "negative_1_idx",
        "negative_2_idx",
        "adata_link",
    )
    return manifest_of([entry(split=splits[0])], columns, splits, **about)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("card") / "pairs")


def head(card: str) -> Any:
    return yaml.safe_load(card.split("---\n")[1])


def test_a_manifest_comes_back(tmp_path: Path) -> None:
    given = manifest()
    sha = write_pairs_manifest(tmp_path, given)
    assert read_pairs_manifest(tmp_path) == given
    assert write_pairs_manifest(tmp_path, given) == sha
    assert read_pairs_manifest(tmp_path).archives[0].obsm == {"X_pca": (3, "float32")}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda m: m.pop("seed"), "has no 'seed'"),
        (lambda m: m.update(extra=1), "unknown field 'extra'"),
        (lambda m: m.update(seed="0"), r"seed: is str and not int"),
        (lambda m: m.update(seed=True), r"seed: is bool and not int"),
        (lambda m: m.update(schema="corpuscle-pairs/9"), "its schema is not 'corpuscle-pairs/1'"),
        (lambda m: m["archives"][0].update(file="../../etc/passwd"), "outside the data set"),
        (lambda m: m["archives"][0].update(file="/etc/passwd"), "outside the data set"),
        (lambda m: m["archives"][0].update(file="a\\..\\b"), "outside the data set"),
        (lambda m: m["embedders"][0].update(file="C:/x"), "outside the data set"),
        (lambda m: m["archives"][0].update(sha256="abc"), "is not a SHA-256"),
        (lambda m: m["archives"][0].update(split="validation"), "which the data set does not have"),
        (lambda m: m["archives"][0].update(n_obs=-1), "negative"),
        (lambda m: m["archives"][0].update(link="https://me:secret@example.org/a"), "password or token"),
        (lambda m: m["archives"][0].update(link="https://example.org/a?access_token=1"), "password or token"),
        (lambda m: m["archives"].append(m["archives"][0]), "is there twice"),
        (lambda m: m["archives"][0].update(obsm={"X": [3, "float32", 1]}), "has 3 values and not 2"),
        (lambda m: m.update(row_format="triples"), "not one of single, pairs, multiplets"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(change: Any, said: str) -> None:
    plain = json.loads(manifest().to_json())
    change(plain)
    with pytest.raises(SourceError, match=said) as caught:
        PairsManifest.from_json(json.dumps(plain))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"seed": NaN}', '{"seed": 1, "seed": 2}', "null"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(SourceError):
        PairsManifest.from_json(text)


def test_a_deep_parameter_is_refused() -> None:
    plain = json.loads(manifest().to_json())
    deep: Any = 1
    for _ in range(60):
        deep = [deep]
    plain["parameters"] = {"a": deep}
    with pytest.raises(SourceError, match="nested too deep"):
        PairsManifest.from_json(json.dumps(plain))


def test_a_missing_manifest_is_said(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="corpus pair"):
        read_pairs_manifest(tmp_path)


def test_the_card_has_no_placeholder_and_its_head_parses() -> None:
    card = render_card(manifest(), ROW)
    assert "$" not in card and "None" not in card
    about = head(card)
    assert about["license"] == "cc-by-4.0" and about["pretty_name"] == "PBMC in words"
    assert about["size_categories"] == ["n<1K"]
    assert [part["split"] for part in about["configs"][0]["data_files"]] == ["train", "test"]
    for word in (
        "CC-BY-4.0",
        "Zheng et al. 2017",
        "https://example.org/pbmc",
        "fewer than 200 genes",
        "`donor`",
        "3 cells had none",
    ):
        assert word in card


def test_every_column_of_the_rows_is_explained() -> None:
    card = render_card(manifest(), ROW)
    for column in manifest().columns:
        assert re.search(rf"\| `{column}` \| [`\w].* \|", card), column
    assert "as the source has it" not in card


def test_a_test_set_has_a_card_of_its_own() -> None:
    train, test = render_card(manifest(), ROW), render_card(manifest(("test",)), ROW)
    assert "Do not train on it" in test and "Do not train on it" not in train
    assert 'rows["test"]' in test and 'rows["train"]' in train
    assert "fitted on cells of the `train` split" in train and "fitted on cells of the `train` split" not in test


def test_what_the_manifest_says_otherwise_the_card_says_otherwise() -> None:
    given = manifest()
    elsewhere = replace(given, embedders=(replace(given.embedders[0], fitted_on="other data"),))
    assert "fitted on cells of the `train` split and on no others" not in render_card(elsewhere, ROW)
    assert "No licence is stated" in render_card(replace(given, licence=None), ROW)
    assert head(render_card(replace(given, licence=None), ROW))["license"] == "unknown"
    assert head(render_card(replace(given, licence="Ask: us!"), ROW))["license_name"] == "Ask: us!"
    assert "split at random" in render_card(replace(given, split_by=None), ROW)
    assert "There are no captions." in render_card(
        replace(given, captions=None, negatives=None, row_format="single"), ROW
    )
    bare = SourceEntry("lung", 5, 5, "counts")
    assert "Not stated for lung" in render_card(replace(given, sources=(bare,)), ROW)
    assert "> **Note.** the counts look like an imitation" in render_card(
        replace(given, notes=("the counts look like an imitation",)), ROW
    )


def test_an_unfilled_or_unknown_placeholder_is_an_error() -> None:
    assert fill("a $b", {"b": "c"}) == "a c"
    for layout, values in (
        ("a $b $c", {"b": "x"}),
        ("a $b", {"b": "x", "c": "y"}),
        ("a $b", {"b": "$c"}),
        ("a $b costs $$", {"b": "x"}),
    ):
        with pytest.raises(OutputError, match="card: "):
            fill(layout, values)


def test_words_of_others_are_text() -> None:
    evil = 'x`|<script>alert(1)</script>\n---\n# $repo_id [a](javascript:b) "'
    given = manifest(name=evil, notes=(evil,), split_by=evil)
    source = SourceEntry(evil, 1, 1, evil, None, evil, evil, evil)
    card = render_card(replace(given, sources=(source,)), {evil: evil, "x": 'a"$b'})
    body = card.split("\n---\n", 1)[1]
    page = body[: body.index("```json")] + body[body.index("## How to load it") :]
    assert "<script>" not in page and "](javascript" not in page and "$" not in card
    assert head(card)["pretty_name"].startswith("x`|<script>") and "\n" not in head(card)["pretty_name"]
    shown = json.loads(card.split("```json\n")[1].split("```")[0])
    assert shown["x"] == 'a"$b'
    assert card.count("\n---\n") == 1


def test_there_must_be_something_to_describe() -> None:
    with pytest.raises(SourceError, match="no row as an example"):
        render_card(manifest(), [])
    with pytest.raises(SourceError, match="no archive"):
        render_card(replace(manifest(), archives=()), ROW)


@pytest.mark.parametrize(("splits", "format"), [(("train", "test"), "zarr.zip"), (("test",), "h5ad")])
def test_the_code_on_the_card_runs_in_the_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    splits: tuple[str, ...],
    format: str,
) -> None:
    folder = make_folder(tmp_path / "pairs", splits=splits, format=format)
    samples = re.findall(r"```python\n(.*?)```", (folder / "README.md").read_text(), flags=re.DOTALL)
    assert len(samples) == 3
    monkeypatch.chdir(folder)
    known: dict[str, Any] = {}
    for sample in samples:
        exec(sample, known)
    said = capsys.readouterr().out
    assert "(40, 765) (40, 3)" in said and "(3,)" in said


def test_the_library_finds_the_splits_by_the_head_of_the_card(folder: Path, tmp_path: Path) -> None:
    from datasets import load_dataset

    rows = load_dataset(str(folder), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in rows.items()} == {"train": 40, "test": 40}
