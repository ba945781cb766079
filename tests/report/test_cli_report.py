"""``corpuscle report``: a folder in, its page and leaderboard out, mistakes in one line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import corpuscle.cli.report  # noqa: F401
from corpuscle.cli import main
from corpuscle.report import Result


@pytest.fixture(scope="module")
def folder(result: Result, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return result.save(tmp_path_factory.mktemp("saved") / "out")


def test_page_is_drawn_anew_and_the_leaderboard_shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "report.html").unlink()
    assert main(["report", str(folder)]) == 0
    shown = capsys.readouterr()
    assert (folder / "report.html").read_text(encoding="utf-8").endswith("</html>")
    assert "log1p_cp10k" in shown.out and "magic" in shown.out
    assert "report.html" in shown.err


def test_json_for_machines(folder: Path, capsys: pytest.CaptureFixture[str], result: Result) -> None:
    assert main(["report", str(folder), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["benchmark"] == "coregulation"
    assert [row["method"] for row in document["leaderboard"]] == list(result.leaderboard()["method"])
    best = document["leaderboard"][0]
    assert best["combined_percentile"] == result.leaderboard()["combined_percentile"][0]


def test_a_folder_without_a_result_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "give a folder that holds a result" in error


@pytest.mark.parametrize("name", ["unheard_of", "os.path", "../evil", ""])
def test_a_benchmark_that_is_not_ours_still_has_a_page(result: Result, tmp_path: Path, name: str) -> None:
    foreign = Result(name, result.table.head(4), result.details.head(2), result.failures)
    foreign.save(tmp_path)
    assert main(["report", str(tmp_path)]) == 0
    assert "4 numbers" in (tmp_path / "report.html").read_text(encoding="utf-8")
