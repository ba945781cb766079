"""A result on disk: what is written, that it is the same every time, and that nothing is ever half-written."""

from __future__ import annotations

import dataclasses
import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import COLUMNS, Result, _files

FILES = {
    "results.parquet", "results.csv", "details.parquet", "failures.csv", "run.json", "report.html", "background.parquet",
    "cells.parquet", "controls.parquet", "quadrants.parquet", "compat.parquet", "count_split.parquet",
}  # fmt: skip


def tiny(**changes: object) -> Result:
    rows = [
        ("toy", "d1", "b", "t", "score", 0.25, 0.2, 0.3, 5, 0, 1.5, 20.0),
        ("toy", "d1", "a", "t", "score", np.nan, np.nan, np.nan, 5, 0, 2.5, 10.0),
        ("toy", "d1", "c", "t", "score", -0.0, -1 / 3, 1e-9, 5, 0, 3.5, 30.0),
    ]
    failures = pd.DataFrame(
        [("d1", "a", "fit", "not\nenough, cells")], columns=["dataset", "method", "stage", "reason"]
    )
    result = Result("toy", pd.DataFrame(rows, columns=COLUMNS), pd.DataFrame({"x": [1.0, np.nan]}), failures)
    return dataclasses.replace(result, **changes)  # type: ignore[arg-type]


def test_round_trip_keeps_every_table(result: Result, tmp_path: Path) -> None:
    assert result.save(tmp_path / "out") == tmp_path / "out"
    assert {path.name for path in (tmp_path / "out").iterdir()} == FILES
    loaded = Result.load(tmp_path / "out")
    pd.testing.assert_frame_equal(loaded.table, result.table)
    pd.testing.assert_frame_equal(loaded.details, result.details)
    pd.testing.assert_frame_equal(loaded.failures, result.failures)
    assert loaded.run == result.run
    assert set(loaded.extras) == set(result.extras)
    for name, frame in result.extras.items():
        pd.testing.assert_frame_equal(loaded.extras[name], frame)


def test_csv_is_the_same_for_any_row_order_and_leaves_out_what_was_measured(tmp_path: Path) -> None:
    first = tiny()
    other = first.table.iloc[::-1].assign(seconds=99.0, peak_mib=1.0)
    first.save(tmp_path / "a")
    tiny(table=other).save(tmp_path / "b")
    text = (tmp_path / "a" / "results.csv").read_text()
    assert text == (tmp_path / "b" / "results.csv").read_text()
    assert text.splitlines() == [
        "benchmark,dataset,method,task,metric,value,ci_low,ci_high,n,seed",
        "toy,d1,a,t,score,NaN,NaN,NaN,5,0",
        "toy,d1,b,t,score,0.25,0.2,0.3,5,0",
        "toy,d1,c,t,score,0,-0.333333,1e-09,5,0",
    ]


def test_run_json_is_strict_json_with_null_for_what_is_not_finite(tmp_path: Path) -> None:
    run = {"seconds": float("nan"), "seed": np.int64(3), "inputs": ({"path": Path("a.h5ad")},), "versions": {1: None}}
    tiny(run=run).save(tmp_path)
    read = json.loads((tmp_path / "run.json").read_text(), parse_constant=pytest.fail)
    assert read["seconds"] is None
    assert read["seed"] == 3
    assert read["inputs"] == [{"path": "a.h5ad"}]
    assert read["benchmark"] == "toy"


@pytest.mark.parametrize("broken", ["results.parquet", "failures.csv", "run.json"])
def test_full_disk_keeps_the_earlier_result_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str) -> None:
    tiny().save(tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    _fill_the_disk_at(monkeypatch, broken)
    with pytest.raises(OutputError, match="No space left on device; free space") as caught:
        tiny(benchmark="other").save(tmp_path)
    assert "\n" not in str(caught.value)
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_full_disk_leaves_nothing_in_a_new_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _fill_the_disk_at(monkeypatch, "details.parquet")
    with pytest.raises(OutputError):
        tiny().save(tmp_path / "new")
    assert list(tmp_path.iterdir()) == []


def _fill_the_disk_at(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    real = Path.open

    def fails_there(self: Path, mode: str = "r", *args: object, **options: object) -> object:
        file = real(self, mode, *args, **options)  # type: ignore[call-overload]
        if self.name == name and mode == "wb":
            file.write(b"half of it")
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device", str(self))
        return file

    monkeypatch.setattr(_files.Path, "open", fails_there)


def test_a_real_write_limit_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1]); from test_report_result import tiny\n"
        "from corpuscle.errors import OutputError\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))\n"
        "try: tiny().save(sys.argv[2])\n"
        "except OutputError as error: print(error)\n"
    )
    target = tmp_path / "out"
    command = [sys.executable, "-c", script, str(Path(__file__).parent), str(target)]
    shown = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert shown.startswith("cannot write") and shown.count("\n") == 1
    assert not target.exists()


def test_a_folder_in_the_way_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "results.csv").mkdir()
    with pytest.raises(OutputError, match=r"results\.csv: a folder is where a file should go"):
        tiny().save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["results.csv"]
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(OutputError, match="cannot write"):
        tiny().save(file)


def test_a_page_that_cannot_be_drawn_costs_no_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Result, "html", lambda self: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        tiny().save(tmp_path)
    pd.testing.assert_frame_equal(Result.load(tmp_path).table, tiny().table)


@pytest.mark.parametrize("name", ["../evil", "a/b", "results", "", ".hidden"])
def test_names_of_tables_never_leave_the_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match="an extra table cannot be called"):
        tiny(extras={name: pd.DataFrame({"x": [1]})}).save(tmp_path / "out")
    tiny().save(tmp_path / "in")
    run = json.loads((tmp_path / "in" / "run.json").read_text())
    (tmp_path / "in" / "run.json").write_text(json.dumps(run | {"extras": [name]}))
    if name != "results":
        with pytest.raises(SourceError, match="names a table"):
            Result.load(tmp_path / "in")


def test_tables_of_an_earlier_result_are_not_taken_for_this_one(tmp_path: Path) -> None:
    tiny(extras={"old": pd.DataFrame({"x": [1]})}).save(tmp_path)
    tiny(extras={"new": pd.DataFrame({"x": [1]})}).save(tmp_path)
    assert set(Result.load(tmp_path).extras) == {"new"}


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("run.json", b"{", "run.json: cannot be read"),
        ("run.json", b"[]", "does not name a benchmark"),
        ("run.json", b"\xff\xfe", "cannot be read"),
        ("results.parquet", b"PAR1 no", "results.parquet: cannot be read"),
        ("details.parquet", None, "details.parquet: not there"),
        ("failures.csv", b"", "failures.csv: cannot be read"),
    ],
)
def test_a_damaged_folder_is_named(tmp_path: Path, file: str, content: bytes | None, message: str) -> None:
    tiny().save(tmp_path)
    (tmp_path / file).unlink() if content is None else (tmp_path / file).write_bytes(content)
    with pytest.raises(SourceError, match=message) as caught:
        Result.load(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_table_without_its_columns_is_refused(tmp_path: Path) -> None:
    tiny().save(tmp_path)
    tiny().table.drop(columns="metric").to_parquet(tmp_path / "results.parquet")
    with pytest.raises(SourceError, match="has no column metric"):
        Result.load(tmp_path)


def test_a_benchmark_that_nobody_registered_has_a_generic_page_and_plot() -> None:
    result = tiny()
    assert "3 methods on 1 data sets" in result.html()
    assert "not\nenough, cells" in result.html()
    assert result.plot().axes
    assert list(result.leaderboard()["method"]) == ["b", "a", "c"]
    with pytest.raises(OptionError, match="toy has no plot 'pie'; it has: table"):
        result.plot("pie")


@pytest.mark.parametrize("kind", [None, "leaderboard", "background", "pair", "controls"])
def test_every_plot_can_be_saved(result: Result, tmp_path: Path, kind: str | None) -> None:
    figure = result.plot(kind)
    figure.savefig(tmp_path / "plot.png", dpi=40)
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_plots_without_measurements_say_so(result: Result) -> None:
    empty = dataclasses.replace(result, table=result.table.iloc[:0], details=pd.DataFrame(), extras={})
    for kind in ("leaderboard", "background", "pair", "controls"):
        with pytest.raises(OptionError):
            empty.plot(kind)
