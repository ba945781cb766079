"""Work on a Dask cluster: a scheduler and workers in processes of their own, some of which are killed."""

from __future__ import annotations

import errno
import math
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import corpuscle
from corpuscle.counts import _dask_connect
from corpuscle.counts._threads import limit_threads, map_ordered, n_threads
from corpuscle.counts._workers import FAN_IN, LocalWorkers, workers
from corpuscle.errors import MethodError, NotCountsError, OptionError, SourceError

distributed = pytest.importorskip("distributed", reason="needs corpuscle[distributed]")
dask = pytest.importorskip("dask")

HERE = Path(__file__).parent
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:distributed")


# -- a cluster ------------------------------------------------------------------------------------------------------


class Cluster:
    """A scheduler and worker processes on the loopback address, without nannies: what is killed stays dead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.workers: list[subprocess.Popen[bytes]] = []
        file = folder / "scheduler.json"
        self.scheduler = self._start("scheduler", "--port", "0", "--scheduler-file", str(file))
        self.file = file
        _until(lambda: file.exists() and file.stat().st_size > 0, "scheduler")
        self.client = distributed.Client(scheduler_file=str(file), set_as_default=False, timeout=20)
        self.address = self.client.scheduler.address

    def _start(self, *command: str) -> subprocess.Popen[bytes]:
        # Functions of this file are sent by name; a worker runs elsewhere, as on a cluster it would.
        env = os.environ | {"PYTHONPATH": str(HERE), "OMP_NUM_THREADS": "1"}
        log = (self.folder / f"{command[0]}-{len(self.workers)}.log").open("wb")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", "dask", *command, "--host", "127.0.0.1", "--no-dashboard"],
                cwd=self.folder, env=env, stdout=log, stderr=subprocess.STDOUT,
            )  # fmt: skip

    def have(self, n: int) -> Cluster:
        """Make it ``n`` live workers, by starting some or ending some."""
        alive = [one for one in self.workers if one.poll() is None]
        for one in alive[n:]:
            _end(one)
        for _ in range(n - len(alive)):
            command = (
                "worker", self.address, "--nthreads", "1", "--no-nanny", "--memory-limit", "0",
                "--local-directory", str(self.folder / "scratch"),
            )  # fmt: skip
            self.workers.append(self._start(*command))
        _until(lambda: len(self.client.nthreads()) == n, f"{n} workers")
        return self

    def end(self) -> None:
        with suppress(Exception):
            self.client.close()
        for one in [*self.workers, self.scheduler]:
            _end(one)


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.kill()
    process.wait(20)


def _until(true: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"no {what} in {seconds} s"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        yield made
    finally:
        made.end()


@contextmanager
def one_line(kind: type[Exception], *words: str) -> Iterator[None]:
    with pytest.raises(kind) as caught:
        yield
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text, text


# -- what the workers do --------------------------------------------------------------------------------------------


def square(x: int) -> int:
    return x * x


def slow_at_first(x: int) -> int:
    time.sleep(0.3 if x == 0 else 0.001)
    return x


def nap(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x


def failing(x: int, error: Exception) -> int:
    if x == 3:
        raise error
    return x


def sum_of(x: int) -> list[Any]:
    return [x, random.Random(x).random()]


def add(a: list[Any], b: list[Any]) -> list[Any]:
    """Changes its first argument, and floating-point sums depend on their order: both must do no harm."""
    a[0] += b[0]
    a[1] += b[1]
    return a


def note(folder: Path, x: int, seconds: float) -> int:
    """Say who does it, then take a while."""
    (folder / f"{x}-{os.getpid()}").touch()
    time.sleep(seconds)
    return x


def note_sum(folder: Path, x: int, seconds: float) -> list[Any]:
    return sum_of(note(folder, x, seconds))


def deadly(x: int) -> int:
    if x == 1:
        time.sleep(0.1)  # until the scheduler knows that the one before is done
        os.kill(os.getpid(), signal.SIGKILL)
    return x


def threads_of(x: int) -> tuple[int, list[int]]:
    return n_threads(), list(map_ordered(lambda _: n_threads(), range(2), threads=2))


def total_of(spec: Any) -> int:
    from corpuscle.corpus._units import opened

    return int(opened(spec).to_csr().sum())


class Heavy:
    """Counts, in files, how often it is unpacked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> Any:
        return _unpack_heavy, (self.folder,)


def _unpack_heavy(folder: Path) -> Heavy:
    (folder / f"{os.getpid()}-{time.monotonic_ns()}").touch()
    return Heavy(folder)


def with_heavy(x: int, heavy: Heavy) -> int:
    return x


class Watched(Sequence[int]):
    """Numbers that remember how far they were read."""

    def __init__(self, n: int) -> None:
        self.n, self.read = n, 0

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: Any) -> Any:
        self.read = max(self.read, i + 1)
        return i


# -- map and reduce -------------------------------------------------------------------------------------------------


def test_results_come_in_the_order_of_the_items(cluster: Cluster) -> None:
    cluster.have(2)
    with workers(cluster.client) as crew:
        assert crew.distributed
        assert list(crew.map(slow_at_first, range(60))) == list(range(60))
        assert list(crew.map(square, [7])) == [49]
        assert list(crew.map(square, [])) == []


@pytest.mark.parametrize("n", [1, 2, FAN_IN, FAN_IN + 1, 3 * FAN_IN + 5, FAN_IN**2 + 1])
def test_the_tree_has_one_shape(cluster: Cluster, n: int) -> None:
    """The same last bit here and there, with a merge that changes what it is given."""
    cluster.have(2)
    with workers(None) as here, workers(cluster.client) as there:
        local = here.reduce(sum_of, range(n), add)
        assert local[0] == n * (n - 1) // 2
        assert local[1] == pytest.approx(math.fsum(sum_of(x)[1] for x in range(n)))
        assert there.reduce(sum_of, range(n), add) == local


def test_nothing_to_reduce_is_refused(cluster: Cluster) -> None:
    with workers(None) as here, workers(cluster.have(2).client) as there:
        for crew in (here, there):
            with pytest.raises(ValueError, match="nothing"):
                crew.reduce(sum_of, [], add)


def test_items_are_sent_as_they_are_wanted_and_taken_back(cluster: Cluster) -> None:
    items = Watched(100_000)
    with workers(cluster.have(2).client) as crew:
        results = crew.map(partial(nap, seconds=0.02), items)
        assert [next(results) for _ in range(3)] == [0, 1, 2]
        assert items.read < 50
        results.close()  # type: ignore[attr-defined]
        _until(lambda: not any(cluster.client.processing().values()), "end of cancelled work", 5)


def test_a_shared_argument_travels_once(cluster: Cluster, tmp_path: Path) -> None:
    with workers(cluster.have(2).client) as crew:
        work = partial(with_heavy, heavy=Heavy(tmp_path))
        assert list(crew.map(work, range(40))) == list(range(40))
    assert 1 <= len(list(tmp_path.iterdir())) <= 4


def test_all_workers_get_work_even_of_few_units(cluster: Cluster, tmp_path: Path) -> None:
    with workers(cluster.have(2).client) as crew:
        list(crew.map(partial(note, tmp_path, seconds=0.2), range(4)))
    assert len({path.name.split("-")[1] for path in tmp_path.iterdir()}) == 2


@pytest.mark.parametrize(
    "error",
    [NotCountsError("a.h5ad: not raw counts: value -1"), SourceError("b.h5ad: damaged"), ValueError("our fault")],
)
def test_an_error_of_the_work_arrives_as_it_was_raised(cluster: Cluster, error: Exception) -> None:
    with workers(cluster.have(2).client) as crew:
        with pytest.raises(type(error)) as caught:
            list(crew.map(partial(failing, error=error), range(30)))
        assert str(caught.value) == str(error)
        with pytest.raises(type(error)):
            crew.reduce(partial(failing, error=error), range(30), max)
        _until(lambda: not any(cluster.client.processing().values()), "end of cancelled work", 5)


def test_a_full_disk_there_is_a_full_disk_here(cluster: Cluster) -> None:
    full = OSError(errno.ENOSPC, "No space left on device", "out/data-0.arrow")
    with workers(cluster.have(2).client) as crew, pytest.raises(OSError) as caught:
        list(crew.map(partial(failing, error=full), range(5)))
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == "out/data-0.arrow"


def test_a_time_out_of_the_work_is_not_one_of_the_cluster(cluster: Cluster) -> None:
    with workers(cluster.have(2).client) as crew, pytest.raises(TimeoutError, match="storage"):
        list(crew.map(partial(failing, error=TimeoutError("storage")), range(5)))


def test_a_unit_takes_one_thread_of_the_worker(cluster: Cluster) -> None:
    with workers(cluster.have(2).client) as crew:
        assert list(crew.map(threads_of, range(4))) == [(1, [1, 1])] * 4


def test_the_limit_of_threads_ends() -> None:
    before = n_threads()
    with limit_threads(1):
        assert n_threads() == 1
        with pytest.raises(ValueError), limit_threads(1):
            raise ValueError
        assert n_threads() == 1
    assert n_threads() == before


@pytest.mark.parametrize("where", ["here", "there"])
def test_a_store_that_was_rewritten_is_read_anew(cluster: Cluster, tmp_path: Path, where: str) -> None:
    """A folder has no time of change, and a worker lives longer than one run."""
    import anndata as ad
    import scipy.sparse as sp

    from corpuscle.corpus._units import SourceSpec

    spec = SourceSpec(str(tmp_path / "cells.zarr"))
    for value in (1, 2):
        ad.AnnData(sp.csr_matrix(np.full((5, 4), value, np.float32))).write_zarr(spec.name)
        with workers(cluster.have(2).client if where == "there" else None) as crew:
            assert list(crew.map(total_of, [spec] * 4)) == [20 * value] * 4


# -- reaching the cluster -------------------------------------------------------------------------------------------


def test_addresses_and_files_and_clusters(cluster: Cluster) -> None:
    cluster.have(2)
    for scheduler in (cluster.address, str(cluster.file), cluster.file):
        with workers(scheduler) as crew:
            assert list(crew.map(square, range(3))) == [0, 1, 4]
    assert cluster.client.status == "running"  # the user's stays open, ours are gone
    known = cluster.client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.clients))
    assert not [name for name in known if name.startswith("corpuscle")]


def test_what_is_no_scheduler(tmp_path: Path) -> None:
    (tmp_path / "scheduler.json").write_text("{}")
    with one_line(OptionError, "scheduler.json"), workers(tmp_path / "scheduler.json"):
        pass
    for scheduler in ("somewhere", tmp_path / "missing.json", 8786):
        with one_line(OptionError, str(scheduler)), workers(scheduler):
            pass


def test_the_missing_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with one_line(MethodError, "corpuscle[distributed]"), workers("tcp://127.0.0.1:1"):
        pass


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_dask_connect, "CONNECT_S", 0.5)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # not listening
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        with one_line(MethodError, address), workers(address):
            pass
    with one_line(MethodError, "magpie://x:1"), workers("magpie://x:1"):
        pass


def test_another_version_on_the_workers(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs = corpuscle.__version__
    monkeypatch.setattr(corpuscle, "__version__", "0.0.0")
    with workers(cluster.have(2).client) as crew, one_line(MethodError, theirs, "0.0.0", "tcp://127.0.0.1"):
        list(crew.map(square, range(3)))


def test_a_time_to_wait_that_is_none(cluster: Cluster) -> None:
    with dask.config.set({"corpuscle.worker-timeout": "soon"}), one_line(OptionError, "soon"), workers(cluster.client):
        pass


# -- losses ---------------------------------------------------------------------------------------------------------


def _kill_once(cluster: Cluster, folder: Path, at_least: int) -> int:
    """Kill a worker that is at work, once so many units were begun."""
    _until(lambda: len(list(folder.iterdir())) >= at_least, "work")
    alive = {one.pid: one for one in cluster.workers if one.poll() is None}
    pid = next(pid for path in folder.iterdir() if (pid := int(path.name.split("-")[1])) in alive)
    _end(alive[pid])
    return pid


def test_a_killed_worker_loses_nothing(cluster: Cluster, tmp_path: Path) -> None:
    cluster.have(2)
    with workers(cluster.client) as crew:
        results = crew.map(partial(note, tmp_path, seconds=0.05), range(40))
        first = next(results)
        pid = _kill_once(cluster, tmp_path, 4)
        assert [first, *results] == list(range(40))
    done = [path.name.split("-") for path in tmp_path.iterdir()]
    assert {int(x) for x, _ in done} == set(range(40))
    assert {int(who) for _, who in done} > {pid}


def test_a_reduction_survives_the_loss_of_summaries(cluster: Cluster, tmp_path: Path) -> None:
    """Late in the run, so that summaries which are not yet merged die with the worker that holds them."""
    from threading import Thread

    cluster.have(2)
    with workers(cluster.client) as crew:
        killer = Thread(target=_kill_once, args=(cluster, tmp_path, 2 * FAN_IN - 3))
        killer.start()
        total = crew.reduce(partial(note_sum, tmp_path, seconds=0.05), range(2 * FAN_IN + 3), add)
        killer.join()
    assert total == LocalWorkers().reduce(sum_of, range(2 * FAN_IN + 3), add)
    assert len(list(tmp_path.iterdir())) > 2 * FAN_IN + 3  # some were done twice


def test_a_unit_that_kills_its_workers_is_named(cluster: Cluster) -> None:
    cluster.have(1)

    def allow(n: int, dask_scheduler: Any) -> int:
        before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, n
        return before

    before = cluster.client.run_on_scheduler(allow, 0)
    try:
        with workers(cluster.client) as crew, one_line(MethodError, "unit 2 of 2", "tcp://127.0.0.1", "memory"):
            list(crew.map(deadly, range(2)))
    finally:
        cluster.client.run_on_scheduler(allow, before)


def test_all_workers_gone_is_not_waited_for_for_ever(cluster: Cluster, tmp_path: Path) -> None:
    cluster.have(1)
    with dask.config.set({"corpuscle.worker-timeout": "500 ms"}):
        with workers(cluster.client) as crew:
            results = crew.map(partial(note, tmp_path, seconds=0.05), range(1000))
            next(results)
            cluster.have(0)
            with one_line(MethodError, cluster.address, "workers"):
                list(results)
        with one_line(MethodError, cluster.address, "no worker"), workers(cluster.client):
            pass


def test_a_worker_that_comes_late_goes_on(cluster: Cluster, tmp_path: Path) -> None:
    cluster.have(1)
    with workers(cluster.client) as crew:
        results = crew.map(partial(note, tmp_path, seconds=0.02), range(20))
        assert next(results) == 0
        cluster.have(0).have(1)
        assert list(results) == list(range(1, 20))


def test_the_scheduler_ends(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    try:
        cluster.have(1)
        with workers(cluster.address) as crew:
            results = crew.map(partial(nap, seconds=0.05), range(1000))
            next(results)
            _end(cluster.scheduler)
            with one_line(MethodError, cluster.address):
                list(results)
    finally:
        cluster.end()


# -- corpora --------------------------------------------------------------------------------------------------------

PATTERN = "cells/*.h5ad"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three files of real cells, drawn again and again, and what this process makes of them."""
    import anndata as ad

    root = tmp_path_factory.mktemp("study")
    golden = ad.read_h5ad(HERE / "golden" / "input.h5ad")
    draw = np.random.default_rng(0)
    (root / "cells").mkdir()
    for name, n in (("a", 200), ("b", 260), ("c", 140)):
        part = golden[draw.integers(0, golden.n_obs, n)].copy()
        part.obs_names = [f"{name}{i}" for i in range(n)]
        part.write_h5ad(root / "cells" / f"{name}.h5ad")
    with pytest.MonkeyPatch.context() as patch:
        _small_units(patch)
        patch.chdir(root)
        for step in STEPS:
            step("local", None)
    return root


def _small_units(patch: pytest.MonkeyPatch) -> None:
    qc, medians = (import_module(f"corpuscle.corpus.{name}") for name in ("qc", "medians"))
    patch.setattr(qc, "UNIT_CELLS", 60)
    patch.setattr(medians, "UNIT_CELLS", 60)
    patch.setattr(medians, "LOCAL_UNIT_CELLS", 60)  # with other blocks, the fingerprints would be others


@pytest.fixture
def here(study: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Paths are relative to the study, in which no worker runs."""
    _small_units(monkeypatch)
    monkeypatch.chdir(study)
    return study


def _qc(name: str, scheduler: Any, progress: Any = None) -> Path:
    from corpuscle.corpus.qc import run_qc

    out = Path(name) / "qc"
    out.parent.mkdir(exist_ok=True)
    run_qc(PATTERN, out, n_sd=2, scheduler=scheduler, progress=progress)
    return out


def _medians(name: str, scheduler: Any, progress: Any = None, method: str = "histogram") -> Path:
    from corpuscle.corpus.medians import medians

    out = Path(name) / f"{method}.tsv"
    out.parent.mkdir(exist_ok=True)
    medians(PATTERN, out, method=method, qc="local/qc", scheduler=scheduler, progress=progress)  # type: ignore[arg-type]
    return out


def _tokens(name: str, scheduler: Any, progress: Any = None) -> Path:
    from corpuscle.corpus.tokenize import tokenize

    out = Path(name) / "cells.dataset"
    out.parent.mkdir(exist_ok=True)
    tokenize(
        PATTERN, out, qc="local/qc", attrs={"obs_names": "cell"}, keep_counts=True, parquet=True, shard_cells=32,
        scheduler=scheduler, progress=progress,
    )  # fmt: skip
    return out


STEPS: tuple[Callable[..., Path], ...] = (_qc, _medians, _tokens)


def _bytes(path: Path) -> dict[str, bytes]:
    files = [path] if path.is_file() else sorted(one for one in path.rglob("*") if one.is_file())
    return {str(file.relative_to(path.parent)): file.read_bytes() for file in files}


def _same(path: Path) -> None:
    """The same files with the same bytes as this process made."""
    local, found = _bytes(Path("local", path.name)), _bytes(path)
    assert list(found) == list(local)
    assert [name for name in local if found[name] != local[name]] == []


@pytest.mark.parametrize("n", [2])
@pytest.mark.parametrize("step", STEPS)
def test_a_cluster_makes_the_same_bytes(cluster: Cluster, here: Path, step: Callable[..., Path], n: int) -> None:
    _same(step(f"of-{n}", cluster.have(n).address))
    assert n == len(cluster.client.nthreads())


def test_other_medians_on_a_cluster(cluster: Cluster, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _medians("local", None, method="exact")
    _same(_medians("of-2", cluster.have(2).address, method="exact"))
    pytest.importorskip("crick", reason="needs corpuscle[tdigest]")
    from corpuscle.corpus.medians_io import read_medians

    monkeypatch.setattr(import_module("corpuscle.corpus.medians"), "UNIT_CELLS", 1000)  # a source a unit, for speed
    exact = read_medians("local/exact.tsv")
    found = read_medians(_medians("of-2", cluster.address, method="tdigest"))
    assert found.gene_ids == exact.gene_ids
    np.testing.assert_array_equal(found.n_nonzero_g, exact.n_nonzero_g)
    often_g = exact.n_nonzero_g >= 20
    np.testing.assert_allclose(found.medians_g[often_g], exact.medians_g[often_g], rtol=0.15)


#: Prefix of the keys of the units of each.
UNIT_OF = {_qc: "measure-", _medians: "summarise-", _tokens: "build_shard-"}


@pytest.mark.parametrize("step", STEPS)
def test_the_same_bytes_with_a_worker_killed_meanwhile(cluster: Cluster, here: Path, step: Callable[..., Path]) -> None:
    """One of two workers dies after the first unit is done, and while it has another."""
    from threading import Thread

    pids = cluster.have(2).client.run(os.getpid)
    seen: set[Any] = set()
    killed: list[int] = []

    def victim() -> str | None:
        """A worker with a unit, once a unit is done."""
        units = {
            worker: [key for key in keys if key[0].startswith(UNIT_OF[step])]
            for worker, keys in cluster.client.processing().items()
        }
        now = {key for keys in units.values() for key in keys}
        seen.update(now)
        return next((worker for worker, keys in units.items() if keys), None) if seen - now else None

    def kill() -> None:
        found: list[str] = []
        _until(lambda: found.extend(filter(None, [victim()])) or found, "unit at work")
        os.kill(pids[found[0]], signal.SIGKILL)
        killed.append(pids[found[0]])

    killer = Thread(target=kill)
    killer.start()
    out = step("killed", cluster.client)
    assert killed
    killer.join()
    _until(lambda: len(cluster.client.nthreads()) == 1, "loss to be known")
    _same(out)


def test_sources_that_the_workers_cannot_see(cluster: Cluster, here: Path, tmp_path: Path) -> None:
    """A file that goes away between plan and work is one line, whoever finds it missing."""
    import shutil

    from corpuscle.corpus.qc import run_qc

    shutil.copy("cells/c.h5ad", tmp_path / "c.h5ad")

    def remove(*_: Any) -> None:
        (tmp_path / "c.h5ad").unlink(missing_ok=True)

    with one_line(SourceError, "c.h5ad"):
        run_qc([tmp_path / "c.h5ad"], tmp_path / "qc", scheduler=cluster.have(1).address, progress=remove)
    assert not (tmp_path / "qc").exists()


def test_cells_in_memory_stay_here(cluster: Cluster, here: Path) -> None:
    import anndata as ad

    from corpuscle.corpus.medians import medians
    from corpuscle.corpus.qc import run_qc
    from corpuscle.corpus.tokenize import tokenize

    adata = ad.read_h5ad("cells/c.h5ad")
    for step in (run_qc, medians, tokenize):
        with one_line(OptionError, "AnnData"):
            step(adata, "memory", scheduler=cluster.have(1).client)
        assert not Path("memory").exists()
