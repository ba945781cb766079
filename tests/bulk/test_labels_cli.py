import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.bulk.labels import Labels
from corpuscle.cli import main

HOSTILE = "<script>alert(1)</script>[red]"


@pytest.fixture
def matrix(tmp_path):
    anndata = pytest.importorskip("anndata")
    obs = pd.DataFrame(
        {
            "tissue": ["liver", "liver", "kidney", HOSTILE, HOSTILE, HOSTILE],
            "title": ["liver 1", "hepatic", "kidney and liver", "x", "HepG2", "y"],
            "series_id": ["A", "A,B", "C", "D", "E", "F"],
        },
        index=[f"GSM{i}" for i in range(6)],
    )
    counts = sp.csr_matrix(np.arange(1, 19, dtype=np.int32).reshape(6, 3))
    path = tmp_path / "m.h5ad"
    anndata.AnnData(counts, obs=obs).write_h5ad(path)
    return path


def test_build_by_rules_and_show(matrix, tmp_path, capsys) -> None:
    out = tmp_path / "l.npz"
    assert main(["labels", "build", str(matrix), "--rules", "default", "-o", str(out), "--json"]) == 0
    built = json.loads(capsys.readouterr().out)
    assert built["labelled"] == 3 and built["samples"] == 6
    assert sorted(path.name for path in tmp_path.iterdir()) == ["l.npz", "m.h5ad"]
    args = ["labels", "show", str(out), "--source", str(matrix), "--label", "liver", "--json"]
    assert main(args) == 0
    shown = json.loads(capsys.readouterr().out)
    assert {row["sample"]: row["stands"] for row in shown["evidence"]} == {"GSM0": True, "GSM1": True, "GSM2": False}
    assert {row["label"]: row["n_series"] for row in shown["labels"]}["liver"] == 1  # A and B share a sample
    assert any("fewer than 3 series" in note for note in shown["notes"])
    assert shown["made"]["matrix"][0]["name"] == "m.h5ad" and shown["made"]["matrix"][0]["sha256"]


def test_hostile_names_are_text_in_the_terminal_and_on_the_page(matrix, tmp_path, capsys) -> None:
    out, page = tmp_path / "l.npz", tmp_path / "l.html"
    assert main(["labels", "build", str(matrix), "--column", "tissue", "-o", str(out)]) == 0
    assert main(["labels", "show", str(out), "--source", str(matrix), "--html", str(page)]) == 0
    assert "[red]" in capsys.readouterr().err
    html = page.read_text()
    assert HOSTILE not in html and "&lt;script&gt;alert(1)" in html
    assert main(["labels", "show", str(out), "--html", str(page)]) == 2


def test_tables_folders_terms_and_fields(matrix, tmp_path, capsys) -> None:
    (tmp_path / "t.csv").write_text("sample,label\nGSM1,a\nGSM9,b\n")
    out = tmp_path / "l.npz"
    assert main(["labels", "build", str(matrix), "--table", str(tmp_path / "t.csv"), "-o", str(out)]) == 0
    assert "5 of the 6 samples are not in the labels" in capsys.readouterr().err
    (tmp_path / "d" / "x").mkdir(parents=True)
    (tmp_path / "d" / "x" / "f.tsv").write_text("\tGSM0\tGSM5\n")
    args = ["labels", "build", str(matrix), "-o", str(out), "--force"]
    assert main([*args, "--folders", str(tmp_path / "d")]) == 0
    assert Labels.load(out).single().tolist() == [0, -1, -1, -1, -1, 0]
    (tmp_path / "terms.tsv").write_text("term\tlabel\nliver\tL\n")
    assert main([*args, "--synonyms", str(tmp_path / "terms.tsv"), "--field", "tissue"]) == 0
    assert Labels.load(out).single().tolist() == [0, 0, -1, -1, -1, -1]


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ([], "none was given"),
        (["--column", "tissue", "--rules", "default"], "--column, --rules was given"),
        (["--column", "tissue", "--field", "title"], "--field is of use"),
        (["--column", "organ"], "'organ' is no column of obs"),
        (["--rules", "none.tsv"], "cannot be read"),
        (["--rules", "default", "--conflict", "vote"], "conflict 'vote' is unknown"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(matrix, tmp_path, capsys, args, says) -> None:
    assert main(["labels", "build", str(matrix), *args, "-o", str(tmp_path / "l.npz")]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["m.h5ad"]


def test_what_is_there_is_kept_and_unknown_labels_are_named(matrix, tmp_path, capsys) -> None:
    out = tmp_path / "l.npz"
    args = ["labels", "build", str(matrix), "--column", "series_id", "-o", str(out)]
    assert main(args) == 0
    before = out.read_bytes()
    assert main(args) == 2
    assert out.read_bytes() == before
    assert main(["labels", "show", str(out), "--label", "zzz"]) == 2
    assert "has no label 'zzz'; it has: A, A,B" in capsys.readouterr().err
    assert main(["labels", "show", str(matrix)]) == 2
