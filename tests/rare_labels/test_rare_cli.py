"""``corpuscle bench rare-labels``: what it leaves behind, and one clear line for what cannot be done."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from rare_run_fakes import made_samples

import corpuscle.cli.bench_rare_labels  # noqa: F401 - registers the command
from corpuscle.cli import main

GIVEN = ("--targets", "rare", "--rarity", "5", "--amounts", "5", "--repeats", "1", "--genes", "60", "--pcs", "10")


def bench(*args):
    return main(["bench", "rare-labels", *map(str, args)])


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    made_samples().write_h5ad(path)
    return path


def write(tmp_path, change):
    data = made_samples(n=60)
    change(data)
    path = tmp_path / "changed.h5ad"
    data.write_h5ad(path)
    return path


def test_a_good_file_leaves_a_whole_result_and_exit_code_zero(cells, tmp_path, capsys):
    out = tmp_path / "out"
    assert bench(cells, *GIVEN, "--arms", "oversample,noise:scale=0.5", "--seed", 3, "-o", out) == 0
    there = {path.name for path in out.iterdir()}
    assert {"results.csv", "details.parquet", "comparisons.parquet", "run.json", "report.html", "parts"} <= there
    run = json.loads((out / "run.json").read_text())["parameters"]
    assert run["arms"] == ["none", "class_weight", "oversample", "noise:scale=0.5"] and run["seeds"] == [3]
    assert len(list((out / "parts").iterdir())) == 4
    shown = capsys.readouterr().err
    assert "oversample x5" in shown and "report.html" in shown
    assert main(["report", str(out)]) == 0


def test_json_goes_to_stdout_and_nothing_else_does(cells, tmp_path, capsys):
    assert bench(cells, *GIVEN, "--arms", "oversample", "--json", "-o", tmp_path) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {row["method"] for row in rows} == {"none", "class_weight", "oversample"}


def one_donor(data):
    data.obs["batch"] = "only"


def no_groups(data):
    del data.obs["batch"]


def one_member(data):
    data.obs["cell_type"] = np.where(np.arange(60) == 0, "rare", "common")


def one_label(data):
    data.obs["cell_type"] = "rare"


def logs(data):
    data.X = data.X.astype(np.float32).log1p()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_groups, "no obs column 'batch' for groups; it has: cell_type; --groups none"),
        (one_donor, "all 60 samples are of one batch"),
        (one_member, "'rare' has 1 sample in 1 series"),
        (one_label, "one label, 'rare'"),
        (logs, "count"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exit_code_two(tmp_path, capsys, change, words):
    assert bench(write(tmp_path, change), *GIVEN, "--arms", "oversample", "-o", tmp_path / "out") == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and words in lines[0], lines
    assert pd.read_csv(tmp_path / "out" / "failures.csv")["stage"].tolist() == ["open"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--arms", "smite"), "smite"),
        (("--amounts", "lots"), "amount 'lots' must be 'median'"),
        (("--rarity", "few"), "--rarity 'few'"),
        (("--repeats", "0"), "--repeats must be 1 or more"),
        (("--groups", "none", "--pseudobulk"), "name the column of the groups"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_before_any_work(cells, tmp_path, capsys, words, message):
    assert bench(cells, *words, "-o", tmp_path) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith("error: ") and message in lines[0]


def test_a_bad_file_stops_no_other(cells, tmp_path, capsys):
    assert bench(tmp_path / "[red]none.h5ad", cells, *GIVEN, "--arms", "oversample", "-o", tmp_path / "out") == 2
    assert "[red]none.h5ad" in capsys.readouterr().err
    assert set(pd.read_parquet(tmp_path / "out" / "details.parquet")["dataset"]) == {"cells"}
