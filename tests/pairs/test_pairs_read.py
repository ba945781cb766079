from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from test_pairs_rows import table

from corpuscle.corpus.pairs.negatives import NegativePolicy
from corpuscle.corpus.pairs.rows import build_rows, read_rows
from corpuscle.errors import SourceError
from datasets import Dataset, DatasetDict

CARD = "# $repo_id\n\n$caption_info and ${embedding_generation}\n\nIt cost $5, see $HOME and $x$; $repo_id again.\n"
RECORD = {
    "dataset_path": "https://x.org/s/a",
    "embeddings": {"X_pca": "https://x.org/s/p", "X_scvi": "https://x.org/s/v"},
}


def seed_rows(**columns: Any) -> Dataset:
    refs = [json.dumps({"file_record": RECORD, "sample_id": f"c{k}"}) for k in range(3)]
    return Dataset.from_dict({"anndata_ref": refs, **columns})


def test_a_seed_set_with_its_unfilled_card_is_recognised(tmp_path: Path) -> None:
    DatasetDict({"test": seed_rows()}).save_to_disk(str(tmp_path / "seed"))
    (tmp_path / "seed" / "README.md").write_text(CARD)
    rows = read_rows(tmp_path / "seed")
    assert (rows.generation, rows.format, list(rows.splits)) == (1, "single", ["test"])
    test = rows.splits["test"]
    assert test["sample_idx"][:] == test["obs_name"][:] == ["c0", "c1", "c2"]
    assert set(test["adata_link"]) == {"https://x.org/s/a"} and set(test["adata_format"]) == {"h5ad"}
    assert rows.embeddings == {"https://x.org/s/a": RECORD["embeddings"]}
    assert rows.unfilled_card and rows.placeholders == ("repo_id", "caption_info", "embedding_generation")
    assert rows.describe() == (
        "generation 1 (JSON in anndata_ref), single; rows: test 3; card is an unfilled template: "
        "$repo_id, $caption_info, $embedding_generation open"
    )


def test_the_oldest_references_name_a_file_only() -> None:
    refs = [json.dumps({"file_path": "/data/a.h5ad", "sample_id": f"c{k}"}) for k in (0, 0)]
    rows = read_rows(Dataset.from_dict({"anndata_ref": refs, "caption": ["a", "b"], "label": [1.0, 0.0]}))
    only = rows.splits["all"]
    assert rows.format == "pairs" and rows.embeddings == {} and rows.kinds == ()
    assert only.column_names == ["sample_idx", "obs_name", "caption", "label", "adata_link", "adata_format"]
    assert only["adata_link"][:] == ["/data/a.h5ad"] * 2 and only["adata_format"][:] == [None, None]


def test_seed_multiplets_hold_captions_as_negatives() -> None:
    rows = read_rows(seed_rows(positive=list("abc"), negative_1=list("bca"), negative_2=list("cab")))
    assert (rows.generation, rows.format, rows.kinds) == (1, "multiplets", ("caption", "caption"))
    assert rows.splits["all"]["negative_2"][:] == list("cab")


@pytest.mark.parametrize(
    ("reference", "said"),
    [
        ("{", "row 0, anndata_ref: not JSON"),
        ("[" * 60_000, "row 0, anndata_ref: not JSON"),
        ("[1]", "not a JSON object"),
        (" " * 70_000, "at most 64 KiB"),
        (None, "not a JSON text"),
        ('{"sample_id": "c"}', "no text under 'file_path'"),
        ('{"file_path": "x"}', "no text under 'sample_id'"),
        ('{"file_record": [], "sample_id": "c"}', "file_record is not an object"),
        ('{"file_record": {"dataset_path": 3}, "sample_id": "c"}', "no text under 'dataset_path'"),
        ('{"file_record": {"dataset_path": "x", "embeddings": {"X": 3}}, "sample_id": "c"}', "not an object of links"),
    ],
)
def test_a_damaged_reference_is_named_by_row(reference: str | None, said: str) -> None:
    with pytest.raises(SourceError, match=said):
        read_rows(Dataset.from_dict({"anndata_ref": [reference, "{}"]}))


def test_references_that_disagree_about_a_files_embeddings_are_refused() -> None:
    other = json.dumps({"file_record": {**RECORD, "embeddings": {}}, "sample_id": "c9"})
    with pytest.raises(SourceError, match=r"row 1.*names other embeddings of 'https://x.org/s/a'"):
        read_rows(Dataset.from_dict({"anndata_ref": [seed_rows()["anndata_ref"][0], other]}))


def test_rows_of_today_come_back_as_they_were(tmp_path: Path) -> None:
    built = build_rows(table(), format="multiplets", negatives=NegativePolicy(n=2, kinds=("sentence",)))
    DatasetDict({"train": built, "test": build_rows(table(0), format="multiplets")}).save_to_disk(str(tmp_path / "set"))
    rows = read_rows(tmp_path / "set")
    assert (rows.generation, rows.format, rows.card, rows.unfilled_card) == (2, "multiplets", None, False)
    assert rows.kinds == ("sentence", "sentence")
    assert rows.splits["train"].to_dict() == built.to_dict()
    assert rows.splits["test"].features == built.features
    assert rows.describe() == "generation 2 (sample_idx and adata_link), multiplets; rows: train 6, test 0; no card"


def test_other_peoples_rows_of_today_take_turns_by_convention(tmp_path: Path) -> None:
    theirs = Dataset.from_dict(
        {"sample_idx": ["a"], "cell_sentence_1": ["a"], "positive": ["t"], "negative_1_idx": ["b"], "negative_2_idx": ["c"],
         "adata_link": ["https://x.org/s/a"]}
    )  # fmt: skip
    assert read_rows(theirs).kinds == ("caption", "sentence")
    theirs.to_parquet(str(tmp_path / "train-00000-of-00001.parquet"))
    theirs.to_parquet(str(tmp_path / "test.parquet"))
    (tmp_path / "README.md").write_text("All filled.")
    rows = read_rows(tmp_path)
    assert sorted(rows.splits) == ["test", "train"] and rows.splits["train"].to_dict() == theirs.to_dict()
    assert rows.describe().endswith("card filled")


def test_a_saved_dataset_without_splits_and_a_selection_can_be_read(tmp_path: Path) -> None:
    built = build_rows(table(), format="single")
    built.save_to_disk(str(tmp_path / "one"))
    assert read_rows(tmp_path / "one").splits["all"].to_dict() == built.to_dict()
    holed = Dataset.from_dict({"sample_idx": ["a", None], "adata_link": ["x", "x"]})
    with pytest.raises(SourceError, match="sample_idx has rows without a value"):
        read_rows(holed)
    assert len(read_rows(holed.filter(lambda row: row["sample_idx"] is not None)).splits["all"]) == 1


def test_rows_of_neither_generation_or_of_both_are_refused() -> None:
    with pytest.raises(SourceError, match=r"anndata_ref; the columns are sample_idx, text"):
        read_rows(Dataset.from_dict({"sample_idx": ["a"], "text": ["b"]}))
    with pytest.raises(SourceError, match="differ in generation or form"):
        read_rows(DatasetDict({"a": seed_rows(), "b": build_rows(table(), format="single")}))
    with pytest.raises(SourceError, match="column sample_idx is int64"):
        read_rows(Dataset.from_dict({"sample_idx": [1], "adata_link": ["x"]}))
    with pytest.raises(SourceError, match="no data set"):
        read_rows(3)  # type: ignore[arg-type]


def saved(folder: Path) -> Path:
    DatasetDict({"train": build_rows(table(), format="single")}).save_to_disk(str(folder))
    return folder


def change(path: Path, **entries: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def test_a_folder_that_points_out_of_itself_is_not_followed(tmp_path: Path) -> None:
    saved(tmp_path / "other")
    secret = next((tmp_path / "other" / "train").glob("*.arrow"))
    for name in (f"../../other/train/{secret.name}", str(secret), "..", "a/../b", 3, None):
        folder = saved(tmp_path / "set")
        change(folder / "train" / "state.json", _data_files=[{"filename": name}])
        with pytest.raises(SourceError, match="not a plain file name"):
            read_rows(folder)
    folder = saved(tmp_path / "set")
    change(folder / "dataset_dict.json", splits=["../other/train"])
    with pytest.raises(SourceError, match="not a plain file name"):
        read_rows(folder)
    folder = saved(tmp_path / "linked")
    data = next((folder / "train").glob("*.arrow"))
    data.unlink()
    data.symlink_to(secret)
    with pytest.raises(SourceError, match="link out of the folder"):
        read_rows(folder)


def test_damaged_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        read_rows(tmp_path / "nowhere")
    with pytest.raises(SourceError, match="neither a saved data set nor parquet"):
        read_rows(tmp_path)
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "train.parquet").write_bytes(b"PAR1 not really")
    with pytest.raises(SourceError, match="not a parquet file"):
        read_rows(tmp_path / "p")
    folder = saved(tmp_path / "set")
    data = next((folder / "train").glob("*.arrow"))
    data.write_bytes(data.read_bytes()[:200])
    with pytest.raises(SourceError, match="datasets cannot open it"):
        read_rows(folder)
    (folder / "train" / "state.json").write_text('{"_data_files": []}')
    (folder / "train" / "dataset_info.json").write_text("{}")
    with pytest.raises(SourceError, match="datasets cannot open it"):
        read_rows(folder)
    (folder / "train" / "state.json").write_text('{"_data_files": 3}')
    with pytest.raises(SourceError, match="list of data files is damaged"):
        read_rows(folder)
    (folder / "dataset_dict.json").write_text("{")
    with pytest.raises(SourceError, match="not JSON"):
        read_rows(folder)
