import json
import zipfile

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.bulk.labels import Labels
from corpuscle.bulk.labels._evidence import EVIDENCE
from corpuscle.errors import OptionError, SourceError

HOSTILE = '<img src=x onerror=alert(1)>"; "'


def labels() -> Labels:
    y_nl = sp.csr_matrix(np.array([[1, 0, 0], [0, 0, 0], [1, 1, 0], [0, 1, 0]]))
    table = pd.DataFrame({"label": ["liver", "HepG2", HOSTILE], "kind": ["tissue", "cell line", "x"],
                          "parent": ["", "liver", ""], "id": ["UBERON:0002107", "", ""]})  # fmt: skip
    evidence = pd.DataFrame(
        [
            ("a", "liver", "r:1", "title", "Liver"),
            ("c", "HepG2", "r:2", "title", "Hep G2"),
            ("zz", "liver", "r", "t", "x"),
        ],
        columns=list(EVIDENCE),
    )
    return Labels(["a", "b", "c", "d"], table["label"], y_nl, table, evidence, {"how": "test", "options": {"k": 1}})


def test_single_none_and_several() -> None:
    assert labels().single().tolist() == [0, -1, -2, 1]


def test_the_table_counts_samples_and_evidence_of_strangers_is_dropped() -> None:
    found = labels()
    assert found.table["n_samples"].tolist() == [2, 2, 0]
    assert found.evidence["sample"].tolist() == ["a", "c"]
    assert found.y_nl.dtype == np.uint8


def test_save_and_load_give_back_everything(tmp_path) -> None:
    before = labels()
    before.save(tmp_path / "l.npz")
    after = Labels.load(tmp_path / "l.npz")
    assert after.samples.equals(before.samples)
    assert after.names == before.names
    assert (after.y_nl != before.y_nl).nnz == 0
    pd.testing.assert_frame_equal(after.table, before.table)
    pd.testing.assert_frame_equal(after.evidence.astype(str), before.evidence.astype(str))
    assert after.info == before.info
    first = (tmp_path / "l.npz").read_bytes()
    after.save(tmp_path / "l.npz")
    assert (tmp_path / "l.npz").read_bytes() == first


def repacked(path, **changed):
    with np.load(path) as file:
        parts = {name: file[name] for name in file.files}
    parts |= changed
    np.savez(path, **{name: part for name, part in parts.items() if part is not None}, allow_pickle=True)


def text(value) -> np.ndarray:
    return np.frombuffer(json.dumps(value).encode(), dtype=np.uint8)


@pytest.mark.parametrize(
    "changed",
    [
        {"indices": None},
        {"indices": np.array([0, 0, 1, 7], np.int32)},
        {"indices": np.array([0, 1, 1, 1], np.int32)},
        {"indptr": np.array([0, 3, 1, 3, 4], np.int64)},
        {"indptr": np.array([0, 1], np.int64)},
        {"indptr": np.array([[0, 1, 1, 3, 4]], np.int64)},
        {"samples": text(["a", "a", "c", "d"])},
        {"samples": text({"a": 1})},
        {"samples": text([1, 2, 3, 4])},
        {"samples": np.array([255, 254], np.uint8)},
        {"samples": np.array([{"a": 1}], dtype=object)},
        {"about": text({"format": "something else", "version": 1})},
        {"about": text([])},
        {"evidence_text": np.array([0, 9], np.int32)},
        {"evidence_text": np.array([0], np.int32)},
        {"table": np.frombuffer(b"[" * 100_000, dtype=np.uint8)},
    ],
)
def test_a_damaged_file_is_refused_in_one_line(tmp_path, changed) -> None:
    path = tmp_path / "l.npz"
    labels().save(path)
    repacked(path, **changed)
    with pytest.raises(SourceError, match=r"l\.npz: no labels can be read") as caught:
        Labels.load(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK", b"not a zip at all", b"\x80\x04N."])
def test_what_is_no_archive_is_refused(tmp_path, content) -> None:
    (tmp_path / "l.npz").write_bytes(content)
    with pytest.raises(SourceError, match="no labels can be read"):
        Labels.load(tmp_path / "l.npz")


def test_a_file_cut_short_is_refused(tmp_path) -> None:
    path = tmp_path / "l.npz"
    labels().save(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(SourceError):
        Labels.load(path)
    with pytest.raises(SourceError, match="no such file"):
        Labels.load(tmp_path / "none.npz")


def test_an_archive_that_unpacks_to_too_much_is_refused_before_it_is_unpacked(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("corpuscle.bulk.labels._file.LARGEST", 1000)
    path = tmp_path / "l.npz"
    labels().save(path)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("more.npy", b"0" * 2000)
    with pytest.raises(SourceError, match="unpacks to 2,000 bytes"):
        Labels.load(path)


def test_for_samples_takes_the_order_of_the_matrix_and_says_what_is_missing() -> None:
    found, notes = labels().for_samples(["d", "new", "b", "a"])
    assert found.y_nl.toarray().tolist() == [[0, 1, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
    assert found.evidence["sample"].tolist() == ["a"]
    assert notes == [
        "1 of the 4 samples are not in the labels",
        "1 samples of the labels are not in the matrix and were left out",
        "1 samples have no label",
    ]


def test_for_samples_refuses_strangers_and_names_twice() -> None:
    with pytest.raises(OptionError, match="none of the 2 samples"):
        labels().for_samples(["x", "y"])
    with pytest.raises(SourceError, match="'b' is there twice"):
        labels().for_samples(["a", "b", "c", "b", "a"])


def test_restrict_by_samples_and_series() -> None:
    series = np.array([0, 1, 0, 2])
    assert labels().restrict(min_samples=2).names == ("liver", "HepG2")
    assert labels().restrict(min_series=2, series=series).names == ("HepG2",)
    with pytest.raises(OptionError, match="no label has at least 5 samples"):
        labels().restrict(min_samples=5)
    with pytest.raises(OptionError, match="needs the series"):
        labels().restrict(min_series=2)


def test_summary_golden() -> None:
    found = labels().summary(np.array([5, 5, 5, 9]))
    assert (found.n_labelled, found.cardinality, found.density) == (3, 4 / 3, 4 / 9)
    assert found.together_ll.toarray().tolist() == [[2, 1, 0], [1, 2, 0], [0, 0, 0]]
    assert found.labels["n_series"].tolist() == [1, 2, 0]
    assert found.labels["largest_series"].tolist()[:2] == [1.0, 0.5]
    assert found.labels["median_per_series"].tolist()[:2] == [2.0, 1.0]
    assert found.pairs().to_dict("records") == [{"label": "liver", "other": "HepG2", "n": 1, "jaccard": 1 / 3}]
    assert "2 of 3 labels live in fewer than 3 series" in found.warnings()[0]
    with pytest.raises(OptionError, match="do not fit"):
        labels().summary(np.zeros(3))


def test_a_label_in_three_series_can_be_evaluated_and_one_label_is_noted() -> None:
    found = Labels(list("abc"), ["x"], np.ones((3, 1))).summary(np.arange(3))
    assert found.labels["evaluable"].tolist() == [True]
    assert found.warnings() == ["there is one label only; there is nothing to tell it from but samples without a label"]


def test_the_constructor_refuses_what_does_not_fit() -> None:
    with pytest.raises(SourceError, match="sample 'a' is there twice"):
        Labels(["a", "a"], ["x"], np.ones((2, 1)))
    with pytest.raises(SourceError, match="label 'x' is there twice"):
        Labels(["a"], ["x", "x"], np.ones((1, 2)))
    with pytest.raises(OptionError, match="cannot be a matrix"):
        Labels(["a"], ["x"], np.ones((2, 1)))


class Table:
    name = "table"

    def __init__(self, **columns) -> None:
        self.obs = pd.DataFrame(columns, index=[f"s{i}" for i in range(4)])


def test_from_obs_takes_missing_values_for_none_and_joins_spellings() -> None:
    found = Labels.from_obs(Table(tissue=["liver", None, " liver\n", "NA"]), "tissue")
    assert found.names == ("liver",)
    assert found.single().tolist() == [0, -1, 0, -1]
    assert found.table.loc[0, "kind"] == "tissue"
    assert Labels.from_obs(Table(t=pd.Categorical(["b", "a", "b", "a"])), "t").y_nl.nnz == 4


def test_from_obs_refuses_a_column_that_is_empty_or_not_there() -> None:
    with pytest.raises(OptionError, match="has no value"):
        Labels.from_obs(Table(tissue=[np.nan] * 4), "tissue")
    with pytest.raises(OptionError, match="it has: tissue"):
        Labels.from_obs(Table(tissue=list("abcd")), "organ")
