"""A build that was stopped goes on and ends with the same bytes, or says why it cannot."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anndata
import pytest
import scipy.sparse as sp

from corpuscle.corpus import _build
from corpuscle.corpus._building import Building
from corpuscle.corpus.tokenize import tokenize
from corpuscle.errors import NotCountsError, OutputError, SourceError

GOLDEN = Path(__file__).parent / "golden" / "input.h5ad"
OPTIONS: dict[str, Any] = {"attrs": ["cell_id"], "shard_cells": 40, "parquet": True, "pretrainer_files": True}


def digests(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    out = tmp_path_factory.mktemp("whole") / "o.dataset"
    tokenize(GOLDEN, out, **OPTIONS)
    return digests(out)


class Stop(Exception):
    """Stands for whatever ends a build."""


def stop_after(shards: int) -> Any:
    def progress(done: int, total: int, what: str) -> None:
        if what == "cells" and done >= shards * OPTIONS["shard_cells"]:
            raise Stop

    return progress


def stopped(out: Path, shards: int = 3, **options: Any) -> Path:
    """The building folder of a build that ended while it wrote shard ``shards``, counted from 1."""
    with pytest.raises(Stop):
        tokenize(GOLDEN, out, **(OPTIONS | options), progress=stop_after(shards))
    return out.parent / f".{out.name}.building"


def built_now(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Filled with the number of each shard that is built from now on."""
    built: list[int] = []
    original = _build.build_shard

    def counting(job: Any, task: Any, advance: Any = None) -> Any:
        built.append(task.unit.index)
        return original(job, task, advance)

    monkeypatch.setattr(_build, "build_shard", counting)
    return built


def test_only_unfinished_shards_are_built_again(
    tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.dataset"
    building = stopped(out)
    assert not out.exists()
    assert len(list(building.glob("data-*.json"))) == 2
    built = built_now(monkeypatch)
    tokenize(GOLDEN, out, **OPTIONS)
    assert built == [2, 3, 4]
    assert digests(out) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["o.dataset"]


def delete(path: Path) -> None:
    path.unlink()


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("damage", [delete, cut_short, flip])
@pytest.mark.parametrize("suffix", [".arrow", ".json", ".npy"])
def test_damaged_shards_are_built_again(
    damage: Any, suffix: str, tmp_path: Path, whole: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "o.dataset"
    building = stopped(out, 5)
    path = building / f"data-00001{suffix}"
    if damage is flip and suffix == ".json":
        path.write_text("{}")
    else:
        damage(path)
    built = built_now(monkeypatch)
    tokenize(GOLDEN, out, **OPTIONS)
    assert 1 in built
    assert 0 not in built
    assert digests(out) == whole


@pytest.mark.parametrize("order", ["input", "shuffled"])
@pytest.mark.parametrize("at", ["write_parquet", "write_json", "write_vocab", "publish"])
def test_stopped_after_the_shards(order: str, at: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    options = OPTIONS | {"order": order}
    tokenize(GOLDEN, tmp_path / "r.dataset", **options)
    out = tmp_path / "o.dataset"

    def stop(*given: Any) -> None:
        raise Stop

    with monkeypatch.context() as patch:
        if at == "publish":
            patch.setattr(Building, "publish", stop)
        else:
            patch.setattr(_build, at, stop)
        with pytest.raises(Stop):
            tokenize(GOLDEN, out, **options)
    assert not out.exists()
    built = built_now(monkeypatch)
    tokenize(GOLDEN, out, **options)
    assert built == []
    assert digests(out) == digests(tmp_path / "r.dataset")


SCRIPT = """
import json, os, random, signal, sys, time
import anndata, h5py, numba, pyarrow.parquet, scipy.sparse  # once, not in every child
from corpuscle.corpus import _arrow
from corpuscle.corpus.tokenize import tokenize

source, out, options = sys.argv[1], sys.argv[2], json.loads(sys.argv[3])
write = _arrow.HashingFile.write

def slow(self, data):
    time.sleep(0.01)
    return write(self, data)

_arrow.HashingFile.write = slow
for attempt in range(12):
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        tokenize(source, out, **options, progress=lambda *_: os.write(writing, b"."))
        os._exit(0)
    os.read(reading, 1)  # the sources are known: from here on it writes
    time.sleep(random.uniform(0, 0.03 * attempt))  # the first is killed at once, or none might be
    os.kill(child, signal.SIGKILL)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
    if os.path.exists(out):
        break
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_any_point_the_bytes_are_the_same(tmp_path: Path, whole: dict[str, str]) -> None:
    out = tmp_path / "o.dataset"
    argv = [sys.executable, "-c", SCRIPT, str(GOLDEN), str(out), json.dumps(OPTIONS)]
    ended = subprocess.run(argv, check=True, capture_output=True, text=True, timeout=120).stdout.split()
    assert str(-signal.SIGKILL) in ended
    tokenize(GOLDEN, out, **OPTIONS, overwrite=out.exists())
    assert digests(out) == whole
    assert [path.name for path in tmp_path.iterdir()] == ["o.dataset"]


@pytest.mark.parametrize(
    "other", [{"keep_counts": True}, {"attrs": ["shard"]}, {"max_len": 100}, {"seed": 3}, {"filter": "golden_filter"}]
)
def test_other_settings_need_a_restart(other: dict[str, Any], tmp_path: Path) -> None:
    out = tmp_path / "o.dataset"
    building = stopped(out)
    with pytest.raises(OutputError, match="--restart") as caught:
        tokenize(GOLDEN, out, **(OPTIONS | other))
    assert f"had {next(iter(other))} " in str(caught.value)
    assert len(list(building.glob("data-*.json"))) == 2
    made = tokenize(GOLDEN, out, **(OPTIONS | other), restart=True)
    assert made.rows == (133 if "filter" in other else 200)
    assert [path.name for path in tmp_path.iterdir()] == ["o.dataset"]


def test_a_source_changed_between_two_runs(tmp_path: Path) -> None:
    source, out = tmp_path / "cells.h5ad", tmp_path / "o.dataset"
    shutil.copy(GOLDEN, source)
    with pytest.raises(Stop):
        tokenize(source, out, **OPTIONS, progress=stop_after(3))
    os.utime(source, ns=(5, 5))
    with pytest.raises(SourceError, match=r"cells\.h5ad: it changed"):
        tokenize(source, out, **OPTIONS)
    assert tokenize(source, out, **OPTIONS, restart=True).rows == 200


def test_other_sources_need_a_restart(tmp_path: Path) -> None:
    source, out = tmp_path / "cells.h5ad", tmp_path / "o.dataset"
    shutil.copy(GOLDEN, source)
    stopped(out)
    with pytest.raises(OutputError, match="sources"):
        tokenize(source, out, **OPTIONS)


def test_cells_in_memory_start_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cells, out = anndata.read_h5ad(GOLDEN), tmp_path / "o.dataset"
    with pytest.raises(Stop):
        tokenize(cells, out, **OPTIONS, progress=stop_after(3))
    built = built_now(monkeypatch)
    tokenize(cells, out, **OPTIONS)
    assert built == [0, 1, 2, 3, 4]


def test_a_mended_file_builds(tmp_path: Path) -> None:
    cells = anndata.read_h5ad(GOLDEN)
    good = cells.X.copy()
    bad = good.copy()
    bad.data[-1] = 0.5
    path, out = tmp_path / "cells.h5ad", tmp_path / "o.dataset"
    big = sp.vstack([good, good, bad], format="csr")
    anndata.AnnData(big, var=cells.var).write_h5ad(path)
    with pytest.raises(NotCountsError, match="fractional"):
        tokenize(path, out, shard_cells=300)
    anndata.AnnData(sp.vstack([good] * 3, format="csr"), var=cells.var).write_h5ad(path)
    with pytest.raises(SourceError, match="--restart"):
        tokenize(path, out, shard_cells=300)
    assert tokenize(path, out, shard_cells=300, restart=True).rows == 600


def test_the_old_data_set_comes_back_if_stopped_while_it_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "o.dataset"
    tokenize(GOLDEN, out)
    before = digests(out)
    building = tmp_path / ".o.dataset.building"
    (building / "old").parent.mkdir()
    out.rename(building / "old")  # where publish has it for a moment
    with pytest.raises(OutputError, match="is there already"):
        tokenize(GOLDEN, out)
    assert digests(out) == before


def test_the_lock_of_a_dead_process_does_not_matter(tmp_path: Path, whole: dict[str, str]) -> None:
    out = tmp_path / "o.dataset"
    building = stopped(out)
    (building / "lock").write_text("999999")
    (building / ".writing-left").write_text("half a shard")
    tokenize(GOLDEN, out, **OPTIONS)
    assert digests(out) == whole
