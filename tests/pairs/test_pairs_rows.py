from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pair_cells import pbmc68k

from corpuscle.corpus.pairs.captions import Template
from corpuscle.corpus.pairs.negatives import NegativePolicy, draw_negatives
from corpuscle.corpus.pairs.rows import build_rows, row_features, rows_report
from corpuscle.corpus.pairs.sentences import cell_sentences
from corpuscle.errors import OptionError, SourceError

TAIL = ["batch", "group", "adata_link", "adata_sha256", "adata_format"]
HEAD = ["sample_idx", "obs_name", "cell_sentence_1", "cell_sentence_2"]


def table(n: int = 6, **columns: Any) -> pd.DataFrame:
    ids = [f"s:c{k}" for k in range(n)]
    return pd.DataFrame(
        {
            "sample_idx": ids,
            "obs_name": [f"c{k}" for k in range(n)],
            "cell_sentence_1": ids,
            "cell_sentence_2": [f"G{k} ACTB" for k in range(n)],
            "caption": [f"type {k % 3}" for k in range(n)],
            "batch": [f"b{k // 3}" for k in range(n)],
            "group": pd.Series([None, *["g"] * (n - 1)][:n], dtype=object),
            "adata_link": "archives/0.zarr.zip",
            "adata_sha256": "0" * 64,
            "adata_format": "zarr.zip",
            "caption_source": "column type",
            **columns,
        }
    )


def real_table() -> pd.DataFrame:
    cells = pbmc68k()
    ids = cells.obs_names.to_numpy(dtype=object)
    return pd.DataFrame(
        {
            "sample_idx": ids,
            "cell_sentence_1": ids,
            "cell_sentence_2": cell_sentences(cells.X.tocsr(), list(cells.var_names), 64),
            "caption": Template("This is a {cell_type} cell.").captions(cells.obs),
            "batch": cells.obs["louvain"].to_numpy(),
            "adata_link": "archives/0.zarr.zip",
            "adata_sha256": "0" * 64,
            "adata_format": "zarr.zip",
        }
    )


def test_multiplets_have_the_documented_columns_and_ids_that_resolve() -> None:
    cells = real_table()
    rows = build_rows(cells, format="multiplets", resolve=True)
    assert rows.column_names == [
        *HEAD, "positive", "negative_1_idx", "negative_2_idx", "negative_1", "negative_2", *TAIL, "caption_source",
    ]  # fmt: skip
    got, by_id = rows.to_pandas(), cells.set_index("sample_idx")
    assert got["sample_idx"].tolist() == got["obs_name"].tolist() == got["cell_sentence_1"].tolist()
    assert got["sample_idx"].tolist() == cells["sample_idx"].tolist()
    assert got["positive"].tolist() == cells["caption"].tolist()
    for k in (1, 2):
        assert (by_id.loc[got[f"negative_{k}_idx"], "caption"].to_numpy() != got["positive"].to_numpy()).all()
    assert (by_id.loc[got["negative_1_idx"], "caption"].to_numpy() == got["negative_1"].to_numpy()).all()
    assert (by_id.loc[got["negative_2_idx"], "cell_sentence_2"].to_numpy() == got["negative_2"].to_numpy()).all()
    plain = build_rows(cells, format="multiplets")
    assert "negative_1" not in plain.column_names
    assert plain["negative_1_idx"][:] == got["negative_1_idx"].tolist()


def test_pairs_are_two_rows_a_cell_own_caption_then_that_of_another() -> None:
    cells = real_table()
    got = build_rows(cells, format="pairs").to_pandas()
    assert list(got.columns) == [*HEAD, "caption", "label", *TAIL, "caption_source"]
    own, other = got.iloc[::2], got.iloc[1::2]
    assert own["sample_idx"].tolist() == other["sample_idx"].tolist() == cells["sample_idx"].tolist()
    assert (own["label"] == 1.0).all() and (other["label"] == 0.0).all()
    assert own["caption"].tolist() == cells["caption"].tolist()
    assert (own["caption"].to_numpy() != other["caption"].to_numpy()).all()
    assert set(other["caption"]) <= set(own["caption"])


def test_single_rows_keep_every_cell_with_or_without_caption() -> None:
    rows = build_rows(table(caption=[None] * 6), format="single")
    assert rows.column_names == [*HEAD, *TAIL] and len(rows) == 6
    assert (
        build_rows(table().drop(columns="caption"), format="single")["sample_idx"][:] == table()["sample_idx"].tolist()
    )


@pytest.mark.parametrize("format", ["single", "pairs", "multiplets"])
def test_columns_and_types_are_the_same_with_no_cells_one_cell_and_missing_values(format: str) -> None:
    full = build_rows(table(), format=format)
    for cells in (
        table(0),
        table(1),
        table(batch=None, group=None, caption_source=None),
        table(caption=[None, *["a"] * 5]),
        table(caption=[None] * 6),
    ):
        rows = build_rows(cells, format=format)
        assert rows.features == full.features == row_features(format)
        assert rows.data.schema.types == full.data.schema.types
    assert {
        str(kind) for name, kind in zip(full.column_names, full.data.schema.types, strict=True) if name != "label"
    } == {"string"}


def test_cells_without_caption_are_dropped_counted_and_never_a_negative() -> None:
    caption = ["a", None, float("nan"), "b", " ", "b"]
    rows = build_rows(table(caption=caption), format="multiplets", negatives=NegativePolicy(n=3, seed=5))
    assert rows["obs_name"][:] == ["c0", "c3", "c5"]
    for k in (1, 2, 3):
        assert set(rows[f"negative_{k}_idx"]) <= {"s:c0", "s:c3", "s:c5"}
        assert None not in rows[f"negative_{k}_idx"][:]
    report = rows_report(rows)
    assert report["dropped"] == {"no caption": 3, "no cell with another caption": 0}
    assert (report["cells"], report["rows"], report["format"]) == (6, 3, "multiplets")
    assert report["negatives"]["kinds"] == ["caption", "sentence", "caption"] and report["negatives"]["seed"] == 5


def test_one_caption_leaves_defined_columns_and_a_count() -> None:
    rows = build_rows(table(caption="same"), format="pairs")
    assert len(rows) == 0 and rows_report(rows)["dropped"]["no cell with another caption"] == 6


def test_missing_batch_and_group_are_null_and_numbers_are_text() -> None:
    rows = build_rows(table(batch=[1, 2, 1, 2, 1, 2]), format="single")
    assert rows["batch"][:] == ["1", "2"] * 3
    assert rows["group"][:] == [None, *["g"] * 5]


def test_negatives_drawn_beforehand_are_used_and_strange_ones_refused() -> None:
    cells = table()
    drawn = draw_negatives(cells["caption"], cells["batch"], NegativePolicy(n=3, seed=9))
    rows = build_rows(cells, format="multiplets", negatives=drawn)
    ids = cells["sample_idx"].to_numpy()
    assert [rows[f"negative_{k}_idx"][:] for k in (1, 2, 3)] == [ids[index_n].tolist() for index_n in drawn.index_nk.T]
    pairs = build_rows(cells, format="pairs", negatives=drawn)
    assert pairs["caption"][1::2] == cells["caption"].to_numpy()[drawn.index_nk[:, 0]].tolist()
    with pytest.raises(OptionError, match="drawn for 6 cells do not fit 5"):
        build_rows(table(5), format="multiplets", negatives=drawn)
    with pytest.raises(OptionError, match="has its caption"):
        build_rows(table(caption=list("aabbab")), format="multiplets", negatives=drawn)
    drawn.index_nk[2, 1] = -1
    with pytest.raises(OptionError, match="point at cell -1 of 6"):
        build_rows(cells, format="multiplets", negatives=drawn)
    sentences = draw_negatives(cells["caption"], policy=NegativePolicy(kinds=("sentence",)))
    with pytest.raises(OptionError, match="pairs need a caption negative"):
        build_rows(cells, format="pairs", negatives=sentences)


def test_an_id_used_twice_is_an_error_not_a_lost_row() -> None:
    with pytest.raises(SourceError, match=r"sample_idx 's:c0' is used twice \(row 3\)"):
        build_rows(table(sample_idx=["s:c0", "s:c1", "s:c2", "s:c0", "s:c4", "s:c5"]), format="single")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"cell_sentence_2": ["a", 3, "c", "d", "e", "f"]}, "column cell_sentence_2, row 1: 3 is not a text"),
        ({"cell_sentence_2": ["a", "b", None, "d", "e", "f"]}, "column cell_sentence_2, row 2: None"),
        ({"adata_link": ["x", "", "x", "x", "x", "x"]}, "column adata_link, row 1 is empty"),
        ({"adata_format": "npz"}, "adata_format has 'npz'"),
    ],
)
def test_a_value_that_no_row_can_hold_is_named(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(SourceError, match=said):
        build_rows(table(**columns), format="single")


def test_wrong_forms_and_missing_columns_are_named() -> None:
    with pytest.raises(OptionError, match=r"'triplets'.*single, pairs, multiplets"):
        build_rows(table(), format="triplets")
    with pytest.raises(OptionError, match="lacks the column adata_sha256"):
        build_rows(table().drop(columns="adata_sha256"), format="single")
    with pytest.raises(OptionError, match="need a column caption"):
        build_rows(table().drop(columns="caption"), format="pairs")
    with pytest.raises(OptionError, match="without a gap, and have cell_sentence_2"):
        build_rows(table().drop(columns="cell_sentence_1"), format="single")
    with pytest.raises(OptionError, match="leave out resolve"):
        build_rows(table(), format="pairs", resolve=True)


def test_with_one_sentence_that_one_is_the_text_of_sentence_negatives() -> None:
    cells = table().drop(columns="cell_sentence_2")
    rows = build_rows(cells, format="multiplets", resolve=True)
    assert rows["negative_2"][:] == rows["negative_2_idx"][:]


def folder_bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_plain_datasets_loads_what_it_saved_and_building_twice_saves_the_same_bytes(tmp_path: Path) -> None:
    from datasets import DatasetDict, load_from_disk

    for name in ("one", "two"):
        splits = {"train": build_rows(table(), format="multiplets"), "test": build_rows(table(0), format="multiplets")}
        DatasetDict(splits).save_to_disk(str(tmp_path / name), num_shards=dict.fromkeys(splits, 1))
    assert folder_bytes(tmp_path / "one") == folder_bytes(tmp_path / "two")
    again = load_from_disk(str(tmp_path / "one"))
    assert again["train"].to_dict() == build_rows(table(), format="multiplets").to_dict()
    assert again["test"].features == again["train"].features and len(again["test"]) == 0
    assert rows_report(again["train"])["negatives"]["drawn"] == 6
    other = build_rows(table(), format="multiplets", negatives=NegativePolicy(seed=3))
    assert other._fingerprint != again["train"]._fingerprint


def test_rows_beyond_a_chunk_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from corpuscle.corpus.pairs import rows as module

    whole = build_rows(table(), format="pairs").to_dict()
    monkeypatch.setattr(module, "_CHUNK", 5)
    assert build_rows(table(), format="pairs").to_dict() == whole


def test_a_report_of_other_peoples_rows_is_empty() -> None:
    from datasets import Dataset

    assert rows_report(Dataset.from_dict({"a": ["x"]})) == {}
    odd = Dataset.from_dict({"a": ["x"]})
    odd.info.description = '["corpuscle_pairs"]'
    assert rows_report(odd) == {}


def test_numpy_and_categories_are_texts_too() -> None:
    cells = table(adata_link=pd.Categorical(["x"] * 6), caption=pd.Categorical(list("abcabc")))
    cells["sample_idx"] = np.array(cells["sample_idx"].tolist(), dtype=object)
    assert build_rows(cells, format="multiplets")["positive"][:] == list("abcabc")
