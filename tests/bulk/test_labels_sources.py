import gzip
import os
from pathlib import Path

import numpy as np
import pytest

from corpuscle.bulk.labels import labels_from_folders, labels_from_table
from corpuscle.errors import OptionError, SourceError

HOSTILE = "<b>x &amp; y"


def write(path: Path, *samples: str, gz: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\t".join(("", *(f'"{s}"' for s in samples))) + "\nGENE\t1\t2\n"
    path.write_bytes(gzip.compress(text.encode()) if gz else text.encode())


def pairs(labels) -> set[tuple[str, str]]:
    coo = labels.y_nl.tocoo()
    return {(labels.samples[r], labels.names[c]) for r, c in zip(coo.row, coo.col, strict=True)}


def test_folders_as_download_scripts_leave_them(tmp_path) -> None:
    write(tmp_path / "cell_lines" / "brain" / "a.tsv", "GSM1", "GSM2")
    write(tmp_path / "cell_lines" / HOSTILE / "b.tsv.gz", "GSM3", gz=True)
    write(tmp_path / "tissue_types" / "brain" / "a.tsv", "GSM4", "GSM1")
    write(tmp_path / "tissue_types" / "liver" / "a.tsv", "GSM5", "GSM5")
    write(tmp_path / "tissue_types" / "liver" / "b.tsv", "GSM5", "GSM6")
    write(tmp_path / "loose.tsv", "GSM9")
    labels, notes = labels_from_folders(tmp_path)
    assert pairs(labels) == {
        ("GSM1", "cell_lines/brain"), ("GSM2", "cell_lines/brain"), ("GSM3", HOSTILE), ("GSM4", "tissue_types/brain"),
        ("GSM1", "tissue_types/brain"), ("GSM5", "liver"), ("GSM6", "liver"),
    }  # fmt: skip
    kinds = dict(zip(labels.table["label"], labels.table["kind"], strict=True))
    assert kinds["liver"] == "tissue_types" and kinds[HOSTILE] == "cell_lines"
    assert notes == [f"1 files directly in {tmp_path} have no folder that names a label and were left out"]
    assert "tissue_types/liver/a.tsv" in set(labels.evidence["text"])


def test_one_level_of_folders_and_samples_of_the_matrix(tmp_path) -> None:
    write(tmp_path / "organs" / "liver" / "a.tsv", "s one", "GSM2", "GSM3")
    labels, notes = labels_from_folders(tmp_path / "organs", ["GSM2", "other", "s one"])
    assert labels.table[["label", "kind"]].to_numpy().tolist() == [["liver", "organs"]]
    assert labels.y_nl.toarray().ravel().tolist() == [1, 0, 1]
    assert notes == [
        "1 of the 3 samples are not in the labels", "1 samples of the labels are not in the matrix and were left out",
    ]  # fmt: skip


def test_links_out_of_the_folder_are_not_followed(tmp_path) -> None:
    write(tmp_path / "outside" / "secret" / "a.tsv", "GSM1")
    write(tmp_path / "in" / "liver" / "a.tsv", "GSM2")
    (tmp_path / "in" / "secret").symlink_to(tmp_path / "outside" / "secret")
    (tmp_path / "in" / "liver" / "b.tsv").symlink_to(tmp_path / "outside" / "secret" / "a.tsv")
    (tmp_path / "in" / "also").symlink_to(tmp_path / "in" / "liver")
    (tmp_path / "in" / "loop").symlink_to(tmp_path / "in")
    labels, notes = labels_from_folders(tmp_path / "in")
    assert {sample for sample, _ in pairs(labels)} == {"GSM2"}
    assert "also" in labels.names
    assert any("links lead out of" in note for note in notes)


def test_bad_folders(tmp_path) -> None:
    with pytest.raises(SourceError, match="no such folder"):
        labels_from_folders(tmp_path / "none")
    with pytest.raises(SourceError, match="no file in it says"):
        labels_from_folders(tmp_path)
    write(tmp_path / "x" / "a.tsv", "only", "words")
    with pytest.raises(SourceError, match="no file in it says"):
        labels_from_folders(tmp_path)
    (tmp_path / "x" / "b.tsv.gz").write_bytes(b"\x1f\x8b\x08 no gzip")
    with pytest.raises(SourceError, match=r"b\.tsv\.gz: cannot be read"):
        labels_from_folders(tmp_path)
    (tmp_path / "x" / "b.tsv.gz").unlink()
    write(tmp_path / "x" / "c.tsv", "GSM1")
    with pytest.raises(OptionError, match="none of the 1 samples"):
        labels_from_folders(tmp_path, ["GSM7"])


TABLES = [
    "sample,label,kind\nGSM1,liver,tissue\nGSM2,brain,tissue\nGSM1,liver,tissue\nGSM1,HepG2,cell line\n",
    "label\tGSM\tother\nliver\tGSM1\tx\nbrain\tGSM2\t\nHepG2\tGSM1\ty\n",
    "GSM1\tliver\nGSM2\tbrain\nGSM1\tHepG2\n",
    'sample,label\r\n"GSM1"," liver "\r\nGSM2,brain\r\nGSM1,HepG2\r\nGSM3,\r\nGSM4,NA\r\n',
]


@pytest.mark.parametrize("text", TABLES)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_tables(tmp_path, text, ending) -> None:
    path = tmp_path / f"t.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    labels, notes = labels_from_table(path)
    assert pairs(labels) == {("GSM1", "liver"), ("GSM2", "brain"), ("GSM1", "HepG2")}
    assert labels.single().tolist() == [-2, labels.names.index("brain")]
    assert len(notes) == (1 if "NA" in text else 0)
    if "kind" in text:
        assert labels.table["kind"].tolist() == ["tissue", "tissue", "cell line"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no columns 'sample' and 'label'"),
        ("a,b\n1,2\n", r"no columns 'sample' and 'label' \(it has a, b\)"),
        ("sample,label\n", "has no row"),
        ("sample,label\nGSM1,\nGSM2,NA\n", "no sample with a label"),
    ],
)
def test_bad_tables(tmp_path, text, says) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(SourceError, match=says):
        labels_from_table(tmp_path / "t.csv")


def test_a_table_whose_label_means_two_things_or_is_of_other_samples(tmp_path) -> None:
    (tmp_path / "t.csv").write_text("sample,label,kind\nGSM1,liver,tissue\nGSM2,liver,organ\n")
    with pytest.raises(OptionError, match="kind of label 'liver'"):
        labels_from_table(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("sample,label\nGSM1,liver\n")
    with pytest.raises(OptionError, match="none of the 1 samples"):
        labels_from_table(tmp_path / "t.csv", ["GSM9"])
    (tmp_path / "t.bin.gz").write_bytes(b"nothing")
    with pytest.raises(SourceError, match="cannot be read"):
        labels_from_table(tmp_path / "t.bin.gz")


def test_labels_of_pairs_are_the_dense_table(tmp_path) -> None:
    rng = np.random.default_rng(0)
    sample, label = rng.integers(0, 50, 400), rng.integers(0, 7, 400)
    lines = "".join(f"GSM{s},l{k}\n" for s, k in zip(sample, label, strict=True))
    (tmp_path / "t.csv").write_text("sample,label\n" + lines)
    labels, _ = labels_from_table(tmp_path / "t.csv", [f"GSM{s}" for s in range(50)])
    dense = np.zeros((50, 7), dtype=int)
    dense[sample, label] = 1
    order = [labels.names.index(f"l{k}") for k in range(7)]
    assert (labels.y_nl.toarray()[:, order] == dense).all()


def test_real_metadata_of_bulk_samples() -> None:
    import corpuscle
    from corpuscle.bulk.labels import default_rules, labels_by_rules

    root = Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(os.environ.get("CORPUSCLE_DATA", root)) / "archs4" / "mini_archs4_layout_v2.h5"
    if not path.exists():
        pytest.skip("the bulk samples are not here")
    with corpuscle.open_counts(path, check=False) as counts:
        labels, _ = labels_by_rules(counts.obs, default_rules())
    found = dict(zip(labels.table["label"], labels.table["n_samples"], strict=True))
    assert found == {"heart": 10, "skeletal muscle": 10, "brain": 40}
