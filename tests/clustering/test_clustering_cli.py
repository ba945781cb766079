"""``corpuscle bench clustering``: what it prints, what it leaves behind, and its exit code."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from fake_clustering import made_cells

from corpuscle.cli import main


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    made = made_cells()
    made.layers["counts"], made.X = made.X.copy(), made.X.astype("float32").log1p()
    made.obs["kind"] = made.obs.pop("cell_type")
    made.write_h5ad(path)
    return path


def bench(*args):
    return main(["bench", "clustering", *map(str, args)])


LABELS = ("--labels", "kind", "--layer", "counts", "--seeds", "1")


def test_a_good_file_leaves_a_whole_result_and_exit_code_zero(cells, tmp_path, capsys):
    out = tmp_path / "out"
    assert bench(cells, *LABELS, "--methods", "pca_kmeans:n_pcs=5,fake_clustering:Labels", "--seed", 3, "-o", out) == 0
    there = {path.name for path in out.iterdir()}
    assert {"results.csv", "results.parquet", "details.parquet", "types.parquet", "run.json", "report.html"} <= there
    run = json.loads((out / "run.json").read_text())
    assert run["parameters"]["methods"] == ["pca_kmeans:n_pcs=5", "good"]
    assert run["parameters"]["told"] == {"pca_kmeans:n_pcs=5": "n_types", "good": "n_types"}
    assert run["parameters"]["seeds"] == [3] and len(run["inputs"][0]["sha256"]) == 64
    assert set(pd.read_parquet(out / "details.parquet")["seed"]) == {3}
    assert len(list((out / "parts").iterdir())) == 2
    shown = capsys.readouterr()
    assert "n types: own clusters" in shown.err and "report.html" in shown.err


def test_json_goes_to_stdout_and_nothing_else_does(cells, tmp_path, capsys):
    assert bench(cells, *LABELS, "--methods", "fake_clustering:Labels", "--json", "-o", tmp_path) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in rows} >= {"ari", "ami", "acc", "stability"}


def test_one_bad_file_is_one_line_and_exit_code_two_while_the_other_is_judged(cells, tmp_path, capsys):
    out = tmp_path / "out"
    missing = tmp_path / "none.h5ad"
    assert bench(missing, cells, *LABELS, "--methods", "fake_clustering:Labels", "-o", out) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and "none.h5ad" in lines[0]
    assert set(pd.read_parquet(out / "details.parquet")["dataset"]) == {"cells"}


def test_a_column_that_is_not_there_is_a_row_that_names_those_that_are(cells, tmp_path, capsys):
    assert bench(cells, "--layer", "counts", "--methods", "fake_clustering:Labels", "-o", tmp_path) == 2
    error = capsys.readouterr().err
    assert "cell_type" in error and "kind" in error and "Traceback" not in error
    assert (tmp_path / "report.html").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--methods", "pca_laiden"], "pca_laiden"),
        (["--methods", "pca_leiden:n_pc=5"], "n_pc"),
        (["--methods", "pca_leiden,pca_leiden"], "given twice"),
        (["--algorithm", "walktrap"], "walktrap"),
        (["--seeds", "0"], "seed"),
        (["--jobs", "0"], "jobs"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(cells, tmp_path, capsys, args, words):
    assert bench(cells, *args, "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").iterdir())


def test_the_page_can_be_drawn_anew(cells, tmp_path, capsys):
    bench(cells, *LABELS, "--methods", "fake_clustering:Labels", "-o", tmp_path)
    (tmp_path / "report.html").unlink()
    assert main(["report", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["benchmark"] == "clustering" and document["leaderboard"][0]["told"] == "n_types"
    assert (tmp_path / "report.html").exists()


def test_hostile_names_are_not_taken_for_markup(tmp_path, capsys):
    name = tmp_path / "[red]x[bold].h5ad"
    name.write_text("no")
    assert bench(name, "--methods", "fake_clustering:Labels", "-o", tmp_path / "out") == 2
    assert "[red]x[bold].h5ad" in capsys.readouterr().err.replace("\n", "")


def test_cells_without_a_label_are_left_out_and_said(tmp_path, capsys):
    made = made_cells()
    made.obs["cell_type"] = [None, None, *made.obs["cell_type"][2:]]
    made.write_h5ad(tmp_path / "cells.h5ad")
    out = tmp_path / "out"
    assert bench(tmp_path / "cells.h5ad", "--methods", "fake_clustering:Labels", "--seeds", "1", "-o", out) == 0
    assert "2 of 48 cells have no label" in " ".join(capsys.readouterr().err.split())
    assert pd.read_parquet(out / "details.parquet")["n"].tolist() == [46]
    assert "2 of 48 cells have no label" in (out / "report.html").read_text()
