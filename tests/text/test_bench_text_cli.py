"""``corpuscle bench text``: what it prints, what it leaves behind, and its exit code."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from text_cells import small_pbmc

import corpuscle.cli.bench_text  # noqa: F401 - registers the command
from corpuscle.cli import main

pytest.importorskip("sentence_transformers", reason="CellText needs corpuscle[text]")

WORDS = ("--setup", "new_cells", "--methods", "centroid", "--embeddings", "pca:n_components=4", "--seeds", "1")


@pytest.fixture(scope="module")
def cells(tmp_path_factory):
    path = tmp_path_factory.mktemp("cells") / "cells.h5ad"
    made = small_pbmc("CD14+ Monocyte", "CD19+ B", "CD56+ NK", each=20)
    made.layers["counts"], made.X = made.X.copy(), made.X.log1p()
    made.obs["kind"] = made.obs.pop("cell_type")
    made.write_h5ad(path)
    return path


def bench(*args):
    return main(["bench", "text", *map(str, args)])


@pytest.fixture(scope="module")
def done(cells, tmp_path_factory):
    """A finished run, one of whose files is not there, and its exit code."""
    out = tmp_path_factory.mktemp("done") / "out"
    missing = cells.parent / "[red]none.h5ad"
    words = ("--wording", "{label}", "--wording", "A {label}, seen", "--seed", 3, "--max-cells", 50, "--share", 0.7)
    code = bench(missing, cells, *WORDS, *words, "--labels", "kind", "--layer", "counts", "-o", out)
    return out, code


def test_a_run_leaves_a_whole_result_with_all_that_was_asked(done):
    out, _ = done
    there = {path.name for path in out.iterdir()}
    assert {"results.csv", "results.parquet", "details.parquet", "types.parquet", "run.json", "report.html"} <= there
    given = json.loads((out / "run.json").read_text())["parameters"]
    assert given["wordings"] == ["{label}", "A {label}, seen"] and given["setups"] == ["new_cells"]
    assert given["embeddings"] == ["pca:n_components=4"] and given["labels"] == "kind" and given["layer"] == "counts"
    assert (given["seeds"], given["max_cells"], given["share"]) == ([3], 50, 0.7)
    details = pd.read_parquet(out / "details.parquet")
    assert set(details["task"]) == {"new_cells", "new_wording: {label}", "new_wording: A {label}, seen"}
    always = {"logistic@pca", "logistic_text@pca", "majority", "shuffled@pca"}
    assert set(details["method"]) == always | {"centroid@pca"}
    assert "Benchmark of cells and words" in (out / "report.html").read_text(encoding="utf-8")


def test_one_bad_file_is_one_line_and_exit_code_two_while_the_other_is_judged(done):
    out, code = done
    failures = pd.read_csv(out / "failures.csv")
    assert code == 2 and len(failures) == 1 and "none.h5ad" in failures["reason"][0]
    assert set(pd.read_parquet(out / "details.parquet")["dataset"]) == {"cells"}


def test_finished_runs_are_taken_up_and_json_goes_to_stdout(done, cells, tmp_path, capsys):
    out, _ = done
    before = {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()}
    words = ("--wording", "{label}", "--wording", "A {label}, seen", "--seed", 3, "--max-cells", 50, "--share", 0.7)
    assert bench(cells, *WORDS, *words, "--labels", "kind", "--layer", "counts", "--json", "-o", out) == 0
    rows = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {"accuracy", "macro_f1", "mean_auc", "precision@10"} <= {row["metric"] for row in rows}
    assert {path: path.stat().st_mtime_ns for path in (out / "parts").iterdir()} == before, "nothing was done again"


def test_the_terminal_has_the_board_and_where_the_page_is(done, capsys):
    out, _ = done
    (out / "report.html").unlink()
    assert main(["report", str(out)]) == 0
    shown = capsys.readouterr().out
    assert "New cells" in shown and "centroid@pca" in shown and "macro" in shown
    assert (out / "report.html").exists()


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["--methods", "celltxt"], "celltxt"),
        (["--methods", "celltext:epoch=3"], "epoch"),
        (["--methods", "centroid,centroid"], "given twice"),
        (["--setup", "new_cell"], "new_cell"),
        (["--caption", "no field"], "no field"),
        (["--wording", "no field"], "no field"),
        (["--organs", "bloood"], "bloood"),
        (["--label-map", "none.tsv"], "none.tsv"),
        (["--embeddings", "pcaa"], "pcaa"),
        (["--seeds", "0"], "seed"),
        (["--folds", "1"], "folds"),
        (["--share", "1"], "share"),
    ],
)
def test_a_wrong_option_is_one_line_before_any_work(cells, tmp_path, capsys, args, words):
    assert bench(cells, *args, "-o", tmp_path / "out") == 2
    err = capsys.readouterr().err.strip()
    assert err.startswith("error: ") and words in err and "\n" not in err
    assert not list((tmp_path / "out").glob("parts/*"))


def test_a_folder_that_cannot_be_written_is_refused_before_any_work(cells, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert bench(cells, "-o", tmp_path / "file") == 2
    assert "choose another folder" in capsys.readouterr().err
