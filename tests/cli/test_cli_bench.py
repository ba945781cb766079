"""The commands as a user meets them: what they print, what they leave behind, and their exit code."""

import json
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from tests.coregulation.conftest import made_reporter

from corpuscle.benchmarks import coregulation
from corpuscle.cli import main
from corpuscle.datasets import bundled_path

FAST = ["--n-boot", "20", "--n-background", "60", "--n-null-refits", "1", "--no-controls", "--no-variants"]


def bench(*args):
    return main(["bench", "coregulation", *map(str, args), *FAST])


def test_a_good_file_leaves_a_whole_result_and_exit_code_zero(tmp_path, capsys):
    assert bench(bundled_path("pbmc_1k_v3"), "--methods", "log1p_cp10k,raw", "-o", tmp_path / "out") == 0
    assert {"results.csv", "results.parquet", "details.parquet", "failures.csv", "run.json", "report.html"} <= {
        path.name for path in (tmp_path / "out").iterdir()
    }
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    assert run["parameters"]["methods"] == ["log1p_cp10k", "raw"]
    assert len(run["inputs"][0]["sha256"]) == 64
    assert "report.html" in capsys.readouterr().err


def test_json_goes_to_stdout_and_nothing_else_does(tmp_path, capsys):
    assert bench(bundled_path("pbmc_1k_v3"), "--methods", "log1p_cp10k", "--json", "-o", tmp_path) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["metric"] for row in rows} >= {"percentile", "z_robust", "r"}


def test_one_bad_file_is_one_line_and_exit_code_two_while_the_other_is_judged(tmp_path, capsys):
    bad = tmp_path / "bad.h5ad"
    made = made_reporter()
    made.X = sp.csr_matrix(np.log1p(made.X.toarray()))
    made.write_h5ad(bad)
    out = tmp_path / "out"
    assert bench(bad, bundled_path("pbmc_1k_v3"), "--methods", "log1p_cp10k", "-o", out) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("failed")]
    assert len(lines) == 1 and "bad.h5ad" in lines[0] and "fractional" in lines[0]
    assert set(pd.read_parquet(out / "details.parquet")["sample_id"]) == {"pbmc_1k_v3"}


@pytest.mark.parametrize("source", ["none.h5ad", "no*.h5ad"])
def test_only_a_missing_file_is_exit_code_two_and_still_a_report(tmp_path, capsys, source):
    assert bench(tmp_path / source, "--methods", "log1p_cp10k", "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err and "fault in Corpuscle" not in err
    assert (tmp_path / "out" / "report.html").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--methods", "magick"], "no method is called 'magick'"),
        (["--background", "best"], "background 'best' is unknown"),
        (["--methods", "x=cmd:cat {in}"], "{out}"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(tmp_path, capsys, args, words):
    assert bench(bundled_path("pbmc_1k_v3"), *args, "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").iterdir())


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert bench(bundled_path("pbmc_1k_v3"), "-o", tmp_path / "file" / "out") == 2
    assert "cannot write into" in capsys.readouterr().err


def test_names_from_files_are_not_taken_for_markup(tmp_path, capsys):
    name = tmp_path / "[red]x[bold].h5ad"
    name.write_text("no")
    assert bench(name, "--methods", "raw", "-o", tmp_path / "out") == 2
    assert "[red]x[bold].h5ad" in capsys.readouterr().err.replace("\n", "")


def test_unknown_commands_and_missing_arguments_are_one_line(capsys):
    assert main(["bench", "coregulation"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main(["dance"]) == 2
    assert "dance" in capsys.readouterr().err


def test_debug_shows_where_an_error_comes_from(tmp_path):
    with pytest.raises(Exception, match="magick"):
        main(["--debug", "bench", "coregulation", "x.h5ad", "--methods", "magick", "-o", str(tmp_path)])


def test_the_demo_says_what_was_learned_and_where_the_report_is(tmp_path, capsys, monkeypatch):
    quick = partial(coregulation.benchmark, methods=["log1p_cp10k", "sqrt"], n_boot=20, controls=False)
    monkeypatch.setattr(coregulation, "benchmark", quick)
    assert main(["demo", "-o", str(tmp_path / "demo")]) == 0
    lines = capsys.readouterr().err.strip().splitlines()
    assert any("pbmc_1k_v2: 996 cells" in line for line in lines)
    assert lines[-1].startswith("Learned: ")
    assert (tmp_path / "demo" / "report.html").exists()
