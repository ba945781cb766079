"""``corpuscle bench annotation``: what it prints, what it leaves behind, and its exit code."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from fake_annotation import made_cells

import corpuscle.cli.bench_annotation  # noqa: F401 - registers the command
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
    return main(["bench", "annotation", *map(str, args)])


GIVEN = ("--labels", "kind", "--layer", "counts", "--seeds", "1", "--neighbors", "6")


def test_a_good_file_leaves_a_whole_result_and_exit_code_zero(cells, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("--scores", "markers,noise:fraction=0.3", "--refine", "guarded,grit:lam=5", "--organs", "blood,lymph-node")
    assert bench(cells, *GIVEN, *words, "--seed", 3, "-o", out) == 0
    there = {path.name for path in out.iterdir()}
    assert {"results.csv", "results.parquet", "details.parquet", "types.parquet", "run.json", "report.html"} <= there
    run = json.loads((out / "run.json").read_text())
    assert run["parameters"]["scores"] == ["markers", "noise:fraction=0.3"]
    assert run["parameters"]["refinements"] == ["raw", "majority_vote", "grit", "guarded", "grit:lam=5"]
    assert run["parameters"]["told"] == {"markers": "the types", "noise:fraction=0.3": "the labels"}
    assert run["parameters"]["organs"] == ["blood", "lymph-node"] and run["parameters"]["seeds"] == [3]
    assert len(list((out / "parts").iterdir())) == 10
    shown = capsys.readouterr().err
    assert "macro" in shown and "worst" in shown and "majority_vote" in shown and "report.html" in shown


def test_json_goes_to_stdout_and_nothing_else_does(cells, tmp_path, capsys):
    assert bench(cells, *GIVEN, "--scores", "noise", "--refine", "raw", "--json", "-o", tmp_path) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {row["metric"] for row in rows} >= {"accuracy", "macro_f1", "balanced_accuracy", "ece", "ontology_distance"}
    assert {row["method"] for row in rows} == {"raw", "grit", "majority_vote"}


def test_a_label_map_says_which_labels_are_types(cells, tmp_path):
    table = tmp_path / "map.tsv"
    table.write_text("label\ttype\tcl_id\nB cell\tlymphocyte\tCL:0000542\nnatural killer cell\tlymphocyte\tCL:0000542\n"
                     "monocyte\tmonocyte\tCL:0000576\n")  # fmt: skip
    out = tmp_path / "out"
    assert bench(cells, *GIVEN, "--scores", "noise", "--refine", "raw", "--label-map", table, "-o", out) == 0
    assert set(pd.read_parquet(out / "types.parquet")["type"]) == {"lymphocyte", "monocyte"}


def test_one_bad_file_is_one_line_and_exit_code_two_while_the_other_is_judged(cells, tmp_path, capsys):
    out = tmp_path / "out"
    assert bench(tmp_path / "[red]none.h5ad", cells, *GIVEN, "--scores", "noise", "--refine", "raw", "-o", out) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and "[red]none.h5ad" in lines[0]
    assert set(pd.read_parquet(out / "details.parquet")["dataset"]) == {"cells"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--scores", "marker"], "marker"),
        (["--refine", "grit:lama=5"], "lama"),
        (["--refine", "guarded,guarded"], "given twice"),
        (["--organs", "bloood"], "bloood"),
        (["--label-map", "none.tsv"], "none.tsv"),
        (["--seeds", "0"], "seed"),
        (["--share", "0"], "share"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(cells, tmp_path, capsys, args, words):
    assert bench(cells, *args, "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").glob("parts/*"))


def test_the_page_can_be_drawn_anew(cells, tmp_path, capsys):
    bench(cells, *GIVEN, "--scores", "noise", "--refine", "raw", "-o", tmp_path)
    (tmp_path / "report.html").unlink()
    capsys.readouterr()
    assert main(["report", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["benchmark"] == "annotation" and document["leaderboard"][0]["told"] == "the labels"
    assert (tmp_path / "report.html").exists()
