"""Some cells and genes of counts that stay where they are: the same as indexing, and picklable."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
from archs4_files import bulk, write_archs4
from count_files import golden, golden_adata
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.counts import open_counts
from corpuscle.errors import NotCountsError, OptionError, SourceError


@pytest.fixture
def two(tmp_path: Path) -> list[Path]:
    """Two files of 7 and 9 samples, differently chunked, whose genes are in another order and not all shared."""
    one = write_archs4(tmp_path / "a.h5", bulk(7, 11), chunks=(4, 3), compression="gzip")
    other = write_archs4(tmp_path / "b.h5", bulk(9, 8, seed=1), symbols=[f"SYM{i}" for i in range(7, -1, -1)])
    return [one, other]


def whole(paths: list[Path]) -> np.ndarray:
    with open_counts(paths) as counts:
        return counts.to_csr().toarray()


@settings(max_examples=40, deadline=None)
@given(
    index=st.lists(st.integers(0, 29), min_size=1, max_size=40), genes=st.lists(st.integers(0, 5), min_size=1, max_size=9),
    chunk=st.integers(1, 30),
)  # fmt: skip
def test_a_view_equals_indexing(index, genes, chunk, tmp_path_factory) -> None:
    x_ng = bulk(30, 6)
    path = write_archs4(tmp_path_factory.mktemp("v") / "x.h5", x_ng, chunks=(4, chunk), compression="gzip")
    with open_counts(path) as counts:
        view = counts.view(np.array(index), np.array(genes))
        wanted = x_ng[index][:, genes]
        np.testing.assert_array_equal(view.to_csr().toarray(), wanted)
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in view.dense_blocks(7)]), wanted)
        np.testing.assert_array_equal(counts.take(np.array(index)).toarray(), x_ng[index])
        np.testing.assert_array_equal(counts.take_dense(np.array(index)), x_ng[index])
        assert list(view.obs.index) == [f"GSM{i}" for i in index]
        assert list(view.var_names) == [f"SYM{i}" for i in genes]


def test_a_view_over_two_sources_and_a_view_of_a_view(two: list[Path]) -> None:
    x_ng = whole(two)
    assert x_ng.shape == (16, 8)
    with open_counts(two) as counts:
        index, genes = np.array([15, 0, 8, 6, 7, 3]), np.array([7, 0, 2])
        view = counts.view(index, genes)
        np.testing.assert_array_equal(view.to_csr().toarray(), x_ng[index][:, genes])
        inner = view.view(np.array([True, False, True, True, False, True]), np.array([-1, 0]))
        wanted = x_ng[index[[0, 2, 3, 5]]][:, genes[[2, 0]]]
        np.testing.assert_array_equal(inner.to_csr().toarray(), wanted)
        np.testing.assert_array_equal(inner.take_dense(np.array([3, 0])), wanted[[3, 0]])
        assert list(inner.obs["source"]) == [str(two[i]) for i in (1, 1, 0, 0)]
        np.testing.assert_array_equal(inner.profile().total_g, wanted.sum(0))
        np.testing.assert_array_equal(inner.columns(["SYM2"]).toarray()[:, 0], x_ng[index[[0, 2, 3, 5]], 2])


def test_views_and_counts_are_pickled_by_where_they_are(two: list[Path]) -> None:
    x_ng = whole(two)
    with open_counts(two) as counts:
        counts.profile()
        view = counts.view(np.array([9, 2]), np.array([1])).view(genes=np.array([0, 0]))
        parcel = pickle.dumps((counts, view))
    assert len(parcel) < 5000
    again, viewed = pickle.loads(parcel)
    np.testing.assert_array_equal(again.to_csr().toarray(), x_ng)
    np.testing.assert_array_equal(viewed.to_csr().toarray(), x_ng[[9, 2]][:, [1, 1]])


def test_what_is_in_memory_does_not_travel() -> None:
    mixed = open_counts(golden_adata(golden()))
    for counts in (mixed, mixed.view(np.array([0]))):
        with pytest.raises(OptionError, match="counts in memory cannot be sent"):
            pickle.dumps(counts)
        with pytest.raises(OptionError, match="counts in memory cannot be sent"):
            counts.on("tcp://127.0.0.1:1")
        assert counts.on(None).scheduler is None


def test_choices_that_do_not_fit(two: list[Path]) -> None:
    with open_counts(two[0]) as counts:
        assert counts.view() is counts
        with pytest.raises(SourceError, match="none of its 7 cells is left"):
            counts.view(np.zeros(7, bool))
        with pytest.raises(SourceError, match="none of its 11 genes is left"):
            counts.view(genes=np.zeros(0, int))
        for wrong in (np.ones(6, bool), np.array([7]), np.array([-8])):
            with pytest.raises(OptionError, match="chosen of its 7 cells does not fit"):
                counts.view(wrong)
        for wrong in (np.array([7]), np.array([-1]), np.zeros(0, int)):
            with pytest.raises(OptionError, match="places of cells to take must be some of 0 to 6"):
                counts.take(wrong)


def test_the_first_value_that_is_no_count_is_named_by_its_own_cell_and_gene(tmp_path: Path) -> None:
    x_ng = bulk(20, 5).astype(np.float64)
    x_ng[17, 3] = 0.5
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng, chunks=(5, 4)), check=False) as counts:
        view = counts.view(np.arange(19, 9, -1), np.array([0]))
        for read in (view.dense_blocks, view.blocks):
            with pytest.raises(NotCountsError, match=r"value 0\.5 \(fractional\) at cell GSM17, gene SYM3"):
                list(read(4))


def test_a_file_that_changes_is_noticed_by_copies_of_its_counts_too(two: list[Path]) -> None:
    with open_counts(two[0]) as counts:
        local = counts.local()
        two[0].touch()
        with pytest.raises(SourceError, match="changed while it was read"):
            list(local.dense_blocks())


def test_copies_keep_the_profile(two: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    with open_counts(two) as counts:
        assert counts.known_profile is None
        depth_n = counts.profile().depth_n
        monkeypatch.setattr(type(counts), "blocks", None)
        monkeypatch.setattr(type(counts), "dense_blocks", None)
        np.testing.assert_array_equal(counts.local().profile().depth_n, depth_n)
