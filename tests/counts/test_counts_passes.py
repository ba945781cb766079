"""Passes over all cells: the same units everywhere, by threads or by a cluster, to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
from archs4_files import bulk, write_archs4
from count_files import CELLS, GENES, golden, golden_adata

from corpuscle.counts import PASS_CELLS, Block, map_blocks, open_counts, reduce_blocks
from corpuscle.counts._check import as_dense_counts
from corpuscle.errors import NotCountsError

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:distributed")
WEIGHT = 0.1  # not a sum of powers of two, so that sums depend on their order


class Weighted:
    """A sum of floating-point numbers, whose last bit tells in which order they were added."""

    def __init__(self, weight: float) -> None:
        self.weight, self.total = weight, 0.0

    def update(self, block: Block) -> None:
        for value in np.asarray(block.x_ng.sum(axis=1)).ravel():
            self.total += float(np.sqrt(value)) * self.weight

    def merge(self, other: Weighted) -> None:
        self.total += other.total


def extent(block: Block) -> tuple[int, int, int]:
    return block.rows.start, block.rows.stop, int(block.x_ng.sum())


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """700 and 100 samples, so that the third unit reaches over both files."""
    folder = tmp_path_factory.mktemp("passes")
    return [
        write_archs4(folder / f"{i}.h5", bulk(n, 6, seed=i), chunks=(3, 50), compression="gzip")
        for i, n in enumerate((700, 100))
    ]


@pytest.mark.parametrize("dense", [True, False])
def test_units_reach_over_two_sources(dense: bool, files: list[Path]) -> None:
    x_ng = np.vstack([bulk(700, 6, 0), bulk(100, 6, 1)])
    with open_counts(files) as counts:
        blocks = list(counts.unit_blocks(dense))
        assert [(b.rows.start, b.rows.stop) for b in blocks] == [(0, 256), (256, 512), (512, 768), (768, 800)]
        assert PASS_CELLS == 256
        got = np.vstack(blocks := [b.x_ng for b in blocks]) if dense else sp.vstack([b.x_ng for b in blocks]).toarray()
        np.testing.assert_array_equal(got, x_ng)
        (part,) = counts.unit_blocks(dense, 512, 768)
        part_ng = part.x_ng if dense else part.x_ng.toarray()
        np.testing.assert_array_equal(part_ng, x_ng[512:768])


def test_sums_do_not_depend_on_threads_or_the_way_of_reading(files: list[Path], monkeypatch) -> None:
    totals = set()
    for threads in (1, 2, 5):
        monkeypatch.setattr("corpuscle.counts._threads.n_threads", lambda threads=threads: threads)
        for dense in (True, False):
            with open_counts(files) as counts:
                totals.add(reduce_blocks(counts, partial(Weighted, WEIGHT), dense=dense).total)
    assert len(totals) == 1


def test_progress_tells_cells(files: list[Path]) -> None:
    told: list[tuple[int, int, str]] = []
    with open_counts(files) as counts:
        list(map_blocks(counts, extent, progress=lambda *a: told.append(a), what="samples"))
    assert told == [(n, 800, "samples") for n in (256, 512, 768, 800)]


def test_an_error_of_the_work_comes_through(files: list[Path]) -> None:
    with open_counts(files) as counts, pytest.raises(ZeroDivisionError):
        list(map_blocks(counts, lambda block: 1 // 0))


@pytest.mark.parametrize("dense", [True, False])
def test_profile_is_the_same_dense_or_sparse(dense: bool, files: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    x_ng = np.vstack([bulk(700, 6, 0), bulk(100, 6, 1)])
    monkeypatch.setattr("corpuscle.counts._reading.Reading.stored_dense", dense)
    with open_counts(files) as counts:
        profile = counts.profile()
    np.testing.assert_array_equal(profile.depth_n, x_ng.sum(1))
    np.testing.assert_array_equal(profile.genes_n, (x_ng > 0).sum(1))
    np.testing.assert_array_equal(profile.total_g, x_ng.sum(0))
    np.testing.assert_array_equal(profile.cells_g, (x_ng > 0).sum(0))


# -- dense blocks are checked as sparse ones are --------------------------------------------------------------------


def _as_dense(x_ng: np.ndarray) -> np.ndarray:
    return as_dense_counts(x_ng, source="x.h5", first_row=0, cells=CELLS, genes=GENES)


@pytest.mark.parametrize(
    ("value", "kind"), [(-1.0, "negative"), (0.5, "fractional"), (np.nan, "NaN"), (np.inf, "infinite")]
)
def test_dense_values_that_are_no_counts_are_named(value: float, kind: str) -> None:
    x_ng = golden().astype(np.float64)
    x_ng[3, 6] = value
    with pytest.raises(
        NotCountsError, match=rf"x\.h5: not raw counts: value .*\({kind}\) at cell {CELLS[3]}, gene NKG7"
    ):
        _as_dense(x_ng)
    with pytest.raises(NotCountsError, match=rf"\({kind}\) at cell {CELLS[3]}, gene NKG7"):
        _as_dense(np.asfortranarray(x_ng))


def test_dense_counts_are_uint32_unless_one_is_larger() -> None:
    for dtype in ("bool", "uint8", "int16", "int32", "uint32", "int64", "uint64", "float32", "float64"):
        x_ng = (golden() > 0 if dtype == "bool" else golden()).astype(dtype)
        assert _as_dense(x_ng).dtype == np.uint32
        np.testing.assert_array_equal(_as_dense(x_ng), x_ng)
    assert _as_dense(golden(2**32 - 1)).dtype == np.uint32
    assert _as_dense(golden(2**32)).dtype == np.int64
    assert _as_dense(golden(2**32))[3, 0] == 2**32
    with pytest.raises(NotCountsError, match="negative"):
        _as_dense(-golden().astype(np.int32))
    with pytest.raises(NotCountsError, match="too large to be one"):
        _as_dense(golden().astype(np.uint64) * np.uint64(2**62))


def test_dense_blocks_of_other_sources_equal_their_sparse_ones(golden_files: dict[str, Path]) -> None:
    for kind in ("h5ad csr int64", "h5ad dense", "zarr 3 csr", "loom", "csv cells x genes"):
        with open_counts(golden_files[kind]) as counts:
            for size in (1, 2, 5):
                np.testing.assert_array_equal(np.vstack([b.x_ng for b in counts.dense_blocks(size)]), golden())
    counts = open_counts(golden_adata(golden())).load()
    block = next(counts.dense_blocks())
    assert block.x_ng.dtype == np.uint32
    np.testing.assert_array_equal(block.x_ng, golden())


# -- on a cluster ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers that are threads of this process: what they get is pickled all the same."""
    distributed = pytest.importorskip("distributed", reason="needs corpuscle[distributed]")
    with distributed.Client(
        processes=False, n_workers=2, threads_per_worker=1, dashboard_address=None, set_as_default=False
    ) as one:
        yield one


@pytest.mark.parametrize("dense", [True, False])
def test_a_cluster_gives_the_same_to_the_last_bit(dense: bool, files: list[Path], client: Any) -> None:
    with open_counts(files) as counts:
        for here in (counts, counts.view(np.arange(799, 100, -1), np.array([5, 2, 0]))):
            there = here.on(client)
            assert there.scheduler is client
            make = partial(Weighted, WEIGHT)
            assert reduce_blocks(there, make, dense=dense).total == reduce_blocks(here, make, dense=dense).total
            assert list(map_blocks(there, extent, dense=dense)) == list(map_blocks(here, extent, dense=dense))
            np.testing.assert_array_equal(there.profile().total_g, here.profile().total_g)
            np.testing.assert_array_equal(there.profile().depth_n, here.profile().depth_n)
