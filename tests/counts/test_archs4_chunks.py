"""Chunks decoded off the library's lock: the same values for every filter and cut, each read once, damage told."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from archs4_files import bulk, chunk_place, flip, write_archs4
from hypothesis import given, settings
from hypothesis import strategies as st

from corpuscle.counts import _chunks, _dense, open_counts
from corpuscle.counts._chunks import ChunkReader, _fletcher32
from corpuscle.counts._dense import DenseMatrix
from corpuscle.counts._store import Store
from corpuscle.errors import SourceError

FILTERS = [
    {},
    {"compression": "gzip", "compression_opts": 1},
    {"compression": "gzip", "shuffle": True},
    {"compression": "gzip", "shuffle": True, "fletcher32": True},
    {"shuffle": True},
    {"fletcher32": True},
    {"compression": "lzf", "shuffle": True},  # not decoded here: plain h5py
]


@pytest.mark.parametrize("how", FILTERS, ids=lambda how: "+".join(map(str, how)) or "none")
@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint32", "int64", "float32", "float64", ">u4", "float16"])
@pytest.mark.parametrize("cells_axis", [0, 1])
def test_any_filter_and_dtype(how: dict, dtype: str, cells_axis: int, tmp_path: Path) -> None:
    x_ng = bulk(13, 10).astype(dtype)
    path = write_archs4(tmp_path / "x.h5", x_ng, cells_axis=cells_axis, chunks=(4, 3), **how)
    with open_counts(path, check=False) as counts:
        source = counts.sources[0]
        decoded = dtype not in (">u4", "float16") and how.get("compression") != "lzf"
        assert (source.matrix._decode is not None) == decoded
        for start, stop in ((0, 13), (3, 6), (2, 5), (4, 13), (12, 13), (0, 1)):
            np.testing.assert_array_equal(source.dense(start, stop), x_ng[start:stop])
            np.testing.assert_array_equal(source.rows(start, stop).toarray(), x_ng[start:stop])


@settings(max_examples=40, deadline=None)
@given(
    n=st.integers(1, 30), g=st.integers(1, 12), chunk=st.tuples(st.integers(1, 12), st.integers(1, 30)),
    reads=st.lists(st.tuples(st.integers(0, 29), st.integers(1, 30)), min_size=1, max_size=6),
    batch=st.sampled_from([1, 2**20]), tile=st.sampled_from([8, 2**20]),
)  # fmt: skip
def test_any_cut_of_any_chunks_is_the_slice(n, g, chunk, reads, batch, tile, tmp_path_factory) -> None:
    x_ng = bulk(n, g, seed=n * 31 + g)
    path = tmp_path_factory.mktemp("cut") / "x.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=x_ng.T, chunks=(min(chunk[0], g), min(chunk[1], n)), compression="gzip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_chunks, "BATCH_BYTES", batch)
        patch.setattr(_dense, "TILE_BYTES", tile)
        patch.setattr(_dense, "BAND_TILES", 2**20)
        matrix = DenseMatrix(Store(path, "hdf5"), "x", cells_axis=1)
        for start, width in reads:
            start = min(start, n - 1)
            stop = min(start + width, n)
            np.testing.assert_array_equal(matrix.dense(start, stop), x_ng[start:stop])
            assert (matrix.rows(start, stop) != sp.csr_matrix(x_ng[start:stop])).nnz == 0
        matrix.close()


def test_what_was_handed_out_is_not_written_over(tmp_path: Path) -> None:
    x_ng = bulk(12, 6)
    with open_counts(write_archs4(tmp_path / "x.h5", x_ng, chunks=(6, 5))) as counts:
        blocks = list(counts.dense_blocks(2))
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in blocks]), x_ng)
        blocks[0].x_ng[:] = 9
        np.testing.assert_array_equal(next(counts.dense_blocks(2)).x_ng, x_ng[:2])


def test_a_wide_band_is_spilled_and_an_array_without_chunks_is_not(tmp_path: Path, monkeypatch) -> None:
    x_ng = bulk(40, 6)
    monkeypatch.setattr(_dense, "TILE_BYTES", 16)
    path = write_archs4(tmp_path / "x.h5", x_ng, chunks=(1, 40))
    with open_counts(path) as counts:
        assert not counts.stored_dense
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in counts.dense_blocks(7)]), x_ng)
    with open_counts(write_archs4(tmp_path / "y.h5", x_ng)) as counts:
        assert counts.stored_dense
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in counts.dense_blocks(7)]), x_ng)


# -- each chunk once ------------------------------------------------------------------------------------------------


@pytest.fixture
def chunks_read(monkeypatch: pytest.MonkeyPatch) -> Counter:
    """How often each chunk was read."""
    read: Counter = Counter()
    stored = ChunkReader._stored

    def counted(self, array, place):
        read[place] += 1
        return stored(self, array, place)

    monkeypatch.setattr(ChunkReader, "_stored", counted)
    return read


@pytest.mark.parametrize("size", [1, 3, 7, 256])
def test_one_pass_reads_each_chunk_once(size: int, tmp_path: Path, chunks_read: Counter) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(23, 9), chunks=(4, 5), compression="gzip")
    with open_counts(path, check=False) as counts:
        list(counts.dense_blocks(size))
        assert set(chunks_read.values()) == {1}
        assert len(chunks_read) == 3 * 5


@pytest.mark.parametrize("most", [256, 1])
@pytest.mark.parametrize("order", ["ascending", "descending", "shuffled", "repeated"])
def test_scattered_samples_read_each_chunk_once_and_no_others(
    order: str, most: int, tmp_path: Path, chunks_read: Counter, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("corpuscle.counts._take.MOST_AT_ONCE", most)
    x_ng = bulk(100, 9)
    index = np.array([3, 4, 11, 12, 13, 14, 15, 16, 41, 58, 59, 99])
    index = {
        "ascending": index, "descending": index[::-1],
        "shuffled": np.random.default_rng(0).permutation(index), "repeated": np.r_[index, index[::-2]],
    }[order]  # fmt: skip
    path = write_archs4(tmp_path / "x.h5", x_ng, chunks=(4, 5), compression="gzip")
    with open_counts(path, check=False) as counts:
        np.testing.assert_array_equal(counts.take_dense(index), x_ng[index])
        assert set(chunks_read.values()) == {1}
        assert {place[1] // 5 for place in chunks_read} == set((index // 5).tolist())
        np.testing.assert_array_equal(counts.take(index).toarray(), x_ng[index])


def test_an_ascending_view_reads_each_chunk_once(tmp_path: Path, chunks_read: Counter) -> None:
    x_ng = bulk(100, 9)
    mask = np.random.default_rng(1).random(100) < 0.6
    path = write_archs4(tmp_path / "x.h5", x_ng, chunks=(4, 10), compression="gzip")
    with open_counts(path, check=False) as counts:
        view = counts.view(mask)
        np.testing.assert_array_equal(np.vstack([b.x_ng for b in view.dense_blocks(4)]), x_ng[mask])
        assert set(chunks_read.values()) == {1}


def test_few_genes_are_read_without_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x_ng = bulk(300, 40)
    path = write_archs4(tmp_path / "x.h5", x_ng, chunks=(4, 100), compression="gzip")
    with open_counts(path, check=False) as counts:
        monkeypatch.setattr(DenseMatrix, "_read", None)
        np.testing.assert_array_equal(counts.columns(np.array([9, 1, 1, 11])).toarray(), x_ng[:, [9, 1, 1, 11]])


# -- damage ---------------------------------------------------------------------------------------------------------


def _reads(path: Path, match: str) -> None:
    with open_counts(path, check=False) as counts, pytest.raises(SourceError, match=match) as caught:
        list(counts.dense_blocks(3))
    assert "\n" not in str(caught.value)
    with open_counts(path, check=False) as counts, pytest.raises(SourceError, match=match):
        list(counts.blocks(3))


@pytest.mark.parametrize("how", [how for how in FILTERS[1:] if how != {"shuffle": True}], ids=lambda how: "+".join(how))
def test_a_flipped_byte_is_told_with_file_and_chunk(how: dict, tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(60, 40), chunks=(20, 30), **how)
    offset, size = chunk_place(path, (20, 30))
    flip(path, offset + size // 2)
    if how.get("compression") == "lzf":  # which has no checksum of its own: HDF5 may or may not notice
        return
    _reads(path, r"x\.h5: the chunk of genes 21 to 40 and samples 31 to 60 of data/expression is damaged \(")


def test_a_wrong_checksum_alone_is_told(tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(6, 4), chunks=(4, 6), fletcher32=True)
    offset, size = chunk_place(path, (0, 0))
    flip(path, offset + size - 1)
    _reads(path, "is damaged .its checksum is wrong")


def test_a_chunk_that_inflates_to_more_than_a_chunk_is_not_followed(tmp_path: Path) -> None:
    import zlib

    path = write_archs4(tmp_path / "x.h5", bulk(6, 4), chunks=(4, 6), compression="gzip")
    with h5py.File(path, "r+") as file:
        file["data/expression"].id.write_direct_chunk((0, 0), zlib.compress(bytes(10_000_000)))
    _reads(path, "hold more than a chunk")
    with h5py.File(path, "r+") as file:
        file["data/expression"].id.write_direct_chunk((0, 0), zlib.compress(bytes(8)))
    _reads(path, "8 bytes instead of 96")


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
def test_a_truncated_file(share: float, tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(60, 40), chunks=(20, 30), compression="gzip")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(SourceError, match=r"x\.h5: cannot be read .*truncated"):
        open_counts(path)


@pytest.mark.parametrize("chunks", [(4, 3), None])
def test_what_was_never_written_is_refused_and_never_zeros(chunks: tuple | None, tmp_path: Path) -> None:
    path = write_archs4(tmp_path / "x.h5", bulk(6, 8), chunks=(4, 3))
    with h5py.File(path, "r+") as file:
        del file["data/expression"]
        expression = file.create_dataset("data/expression", (8, 6), np.uint32, chunks=chunks)
        if chunks:
            expression[:4] = 1
    wanted = "2 of the 4 chunks" if chunks else "48 of the 48 values"
    with pytest.raises(SourceError, match=f"{wanted} of data/expression were never written"):
        open_counts(path)


def test_a_missing_chunk_is_damage_where_all_must_be_there_and_else_the_fill_value(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "x.h5", "w") as file:
        array = file.create_dataset("x", (8, 6), np.uint32, chunks=(4, 3), fillvalue=7)
        array[:4, :3] = 1
    with pytest.raises(SourceError, match="genes 1 to 4 and samples 4 to 6 of x was never written"):
        DenseMatrix(Store(tmp_path / "x.h5", "hdf5"), "x", cells_axis=1, complete=True).dense(0, 6)
    x_ng = DenseMatrix(Store(tmp_path / "x.h5", "hdf5"), "x", cells_axis=1).dense(0, 6)
    np.testing.assert_array_equal(x_ng, np.where(np.add.outer(np.arange(6) >= 3, np.arange(8) >= 4), 7, 1))


@pytest.mark.parametrize(
    ("text", "checksum"), [(b"abcde", 0xF04FC729), (b"abcdef", 0x56502D2A), (b"abcdefgh", 0xEBE19591)]
)
def test_fletcher_of_known_texts(text: bytes, checksum: int) -> None:
    """The well-known values are of little-endian words, HDF5's words are big-endian."""
    padded = text + bytes(len(text) % 2)
    words = np.frombuffer(padded, "<u2").astype(">u2").tobytes()
    assert int(_fletcher32(np.frombuffer(words, np.uint8))) == checksum


def test_fletcher_of_long_and_extreme_bytes_equals_the_plain_sum() -> None:
    for content in (bytes([255]) * 5001, np.random.default_rng(0).integers(0, 256, 9999, np.uint8).tobytes()):
        words = np.frombuffer(content + bytes(len(content) % 2), ">u2").astype(object)
        low, high = sum(words) % 65535, sum(w * (len(words) - i) for i, w in enumerate(words)) % 65535
        got = int(_fletcher32(np.frombuffer(content, np.uint8)))
        assert (got & 0xFFFF) % 65535 == low
        assert (got >> 16) % 65535 == high
