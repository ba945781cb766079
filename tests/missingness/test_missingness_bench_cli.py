"""``corpuscle bench missingness``: what it prints, what it leaves behind, and its exit code."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from bench_missingness_fakes import made_cells

import corpuscle.cli.bench_missingness  # noqa: F401 - registers the command
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
    return main(["bench", "missingness", *map(str, args)])


GIVEN = ("--labels", "kind", "--layer", "counts", "--draws", "1", "--genes", "40", "--max-cells", "50")


def test_a_good_file_leaves_a_whole_result_and_exit_code_zero(cells, tmp_path, capsys):
    out = tmp_path / "out"
    words = ("--methods", "unbiased,ppca:rank=3", "--masks", "uniform:low=0.3,dropout:low=0.5,mask=oracle")
    assert bench(cells, *GIVEN, *words, "--seed", 3, "-o", out) == 0
    there = {path.name for path in out.iterdir()}
    assert {"results.csv", "results.parquet", "details.parquet", "paired.parquet", "run.json", "report.html"} <= there
    run = json.loads((out / "run.json").read_text())["parameters"]
    assert run["masks"] == ["uniform:low=0.3", "dropout:low=0.5,mask=oracle"]
    assert run["methods"] == ["zero_fill", "mean_fill", "unbiased", "ppca:rank=3"]
    assert run["seeds"] == [3] and run["genes"] == 40 and run["told"]["unbiased"] == "nothing"
    assert len(list((out / "parts").iterdir())) == 8
    shown = capsys.readouterr().err
    assert "distances" in shown and "ppca:rank=3" in shown and "report.html" in shown


def test_json_goes_to_stdout_and_nothing_else_does(cells, tmp_path, capsys):
    assert bench(cells, *GIVEN, "--methods", "unbiased", "--masks", "constant", "--json", "-o", tmp_path) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {row["metric"] for row in rows} >= {"d2_error", "sin_theta", "knn_recall_distances", "ari", "missing_share"}
    assert {row["method"] for row in rows} == {"zero_fill", "mean_fill", "unbiased"}


def test_one_bad_file_is_one_line_and_exit_code_two_while_the_other_is_judged(cells, tmp_path, capsys):
    given = (*GIVEN, "--methods", "unbiased", "--masks", "constant", "-o", tmp_path / "out")
    assert bench(tmp_path / "[red]none.h5ad", cells, *given) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and "[red]none.h5ad" in lines[0]
    assert set(pd.read_parquet(tmp_path / "out" / "details.parquet")["dataset"]) == {"cells"}


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--methods", "unbised"], "unbised"),
        (["--methods", "ppca:ranks=5"], "ranks"),
        (["--methods", "ht,ht"], "given twice"),
        (["--masks", "uniform:low=0"], "low"),
        (["--masks", "dropout:mask=all"], "mask"),
        (["--draws", "0"], "--draws"),
        (["--genes", "3"], "genes"),
        (["--max-cells", "3"], "max_cells"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(cells, tmp_path, capsys, args, words):
    assert bench(cells, *args, "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").glob("parts/*"))


def test_no_file_and_no_simulation_is_one_line(tmp_path, capsys):
    assert bench("-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: no source was given") and "\n" not in err


def test_the_page_can_be_drawn_anew(cells, tmp_path, capsys):
    bench(cells, *GIVEN, "--methods", "unbiased", "--masks", "constant", "-o", tmp_path)
    (tmp_path / "report.html").unlink()
    capsys.readouterr()
    assert main(["report", str(tmp_path), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["benchmark"] == "missingness" and document["leaderboard"][0]["task"] == "constant:p=0.5"
    assert (tmp_path / "report.html").exists()
