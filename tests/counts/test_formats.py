"""The same matrix comes back from every format, layout, orientation and block size."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from count_files import CELLS, GENES, IDS, WRITERS, golden, golden_adata, parse_folder, tenx_v2, tenx_v3
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from corpuscle.counts import _compressed, _dense, _spill, open_counts
from corpuscle.counts._compressed import CompressedColumns, CompressedRows
from corpuscle.counts._spill import Spill
from corpuscle.errors import SourceError

BIG = 2**31 + 5


def stacked(counts: object, size: int) -> np.ndarray:
    blocks = list(counts.blocks(size))
    rows = [i for block in blocks for i in range(block.rows.start, block.rows.stop)]
    assert rows == list(range(counts.n_obs))
    return np.vstack([block.x_ng.toarray() for block in blocks])


@pytest.mark.parametrize("kind", WRITERS)
def test_every_format_gives_the_golden_matrix(kind: str, golden_files: dict[str, Path]) -> None:
    with open_counts(golden_files[kind]) as counts:
        assert list(counts.obs.index) == CELLS
        assert list(counts.var_names) == GENES
        for size in (1, 2, 3, 5, 2048):
            np.testing.assert_array_equal(stacked(counts, size), golden())
        if "gene_id" in counts.var:
            assert list(counts.var["gene_id"]) == IDS
        assert ("csv" in kind or "tsv" in kind) or "gene_id" in counts.var
        for block in counts.blocks(2):
            assert block.x_ng.has_canonical_format
            assert block.x_ng.data.dtype == np.int32


@pytest.mark.parametrize("kind", WRITERS)
def test_counts_beyond_int32_are_kept(kind: str, tmp_path: Path) -> None:
    with open_counts(WRITERS[kind](tmp_path, golden(BIG))) as counts:
        np.testing.assert_array_equal(stacked(counts, 2), golden(BIG))


@pytest.mark.parametrize("kind", WRITERS)
def test_columns_equal_the_columns_of_the_rows(kind: str, golden_files: dict[str, Path]) -> None:
    with open_counts(golden_files[kind]) as counts:
        genes = ["NKG7", "CD3E", "ACTB", "NKG7"]
        wanted = golden()[:, [GENES.index(gene) for gene in genes]]
        np.testing.assert_array_equal(counts.columns(genes).toarray(), wanted)
        assert counts.columns([]).shape == (len(CELLS), 0)


@pytest.mark.parametrize("kind", WRITERS)
def test_reading_goes_on_after_close_and_in_any_order(kind: str, golden_files: dict[str, Path]) -> None:
    counts = open_counts(golden_files[kind])
    source = counts.sources[0]
    first = source.rows(3, 5).toarray()
    if "csv" in kind or "tsv" in kind:  # parsed at open, so closing lets go of it for good
        np.testing.assert_array_equal(source.rows(0, 2).toarray(), golden()[:2])
        return
    counts.close()
    counts.close()
    np.testing.assert_array_equal(source.rows(0, 2).toarray(), golden()[:2])
    np.testing.assert_array_equal(source.rows(3, 5).toarray(), first)


@pytest.mark.parametrize("kind", ["h5ad csr int64", "zarr 2 csr", "zarr 3 csr"])
def test_anndata_metadata_comes_along(kind: str, golden_files: dict[str, Path]) -> None:
    with open_counts(golden_files[kind]) as counts:
        assert list(counts.obs["batch"]) == list("aabba")
        assert counts.uns["reporters"]["EGFP"]["target"] == "B2M"


def test_other_metadata(golden_files: dict[str, Path]) -> None:
    with open_counts(golden_files["loom"], layer="doubled") as counts:
        np.testing.assert_array_equal(stacked(counts, 2), golden() * 2)
        assert list(counts.obs["depth"]) == list(golden().sum(1))
    with open_counts(golden_files["parse"]) as counts:
        assert list(counts.obs["sample"]) == ["s1"] * 5


def test_only_gene_expression_is_kept(tmp_path: Path) -> None:
    with open_counts(tenx_v3(tmp_path, golden(), extra=3)) as counts:
        assert list(counts.var_names) == GENES
        assert counts.uns["left_out_features"] == {"Antibody Capture": 3}
        np.testing.assert_array_equal(stacked(counts, 2), golden())


def test_old_10x_file_with_two_genomes_asks_which(tmp_path: Path) -> None:
    path = tenx_v2(tmp_path, golden(), genomes=("hg19", "mm10"))
    with pytest.raises(SourceError, match=r"2 genomes.*hg19, mm10"):
        open_counts(path)
    with open_counts(path, layer="mm10") as counts:
        np.testing.assert_array_equal(stacked(counts, 5), golden())


def test_layers_and_raw(tmp_path: Path) -> None:
    adata = golden_adata(sp.csr_matrix(golden() * 3), layers={"counts": sp.csc_matrix(golden())})
    adata.raw = adata.copy()
    adata = adata[:, :3].copy()
    adata.write_h5ad(tmp_path / "x.h5ad")
    for source in (tmp_path / "x.h5ad", adata, ad.read_h5ad(tmp_path / "x.h5ad", backed="r")):
        np.testing.assert_array_equal(stacked(open_counts(source), 2), golden()[:, :3] * 3)
        np.testing.assert_array_equal(stacked(open_counts(source, layer="counts"), 2), golden()[:, :3])
        raw = open_counts(source, layer="raw")
        np.testing.assert_array_equal(stacked(raw, 2), golden() * 3)
        assert list(raw.var_names) == GENES
        with pytest.raises(SourceError, match=r"no layer is called 'umi'.*counts, raw"):
            open_counts(source, layer="umi")


def test_explicit_zeros_and_duplicate_entries_are_tidied_without_touching_the_input() -> None:
    x = sp.csr_matrix(
        (np.array([1.0, 2.0, 0.0, 4.0]), np.array([0, 0, 1, 6]), np.array([0, 3, 3, 3, 4, 4])), shape=(5, 7)
    )
    before = x.copy()
    with open_counts(golden_adata(x)) as counts:
        (block,) = counts.blocks()
    assert block.x_ng.toarray()[0].tolist() == [3, 0, 0, 0, 0, 0, 0]
    assert block.x_ng.nnz == 2
    for array in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(x, array), getattr(before, array))


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_a_spill_is_a_transposition(data: st.DataObject) -> None:
    """Any matrix, dealt in any order and any pieces, in memory or on disk, comes back by rows."""
    shape = data.draw(st.tuples(st.integers(1, 40), st.integers(1, 9)))
    x_ng = data.draw(hnp.arrays(np.int64, shape, elements=st.integers(0, 2**40)))
    rows, columns = np.nonzero(x_ng)
    order = data.draw(st.permutations(range(rows.size)))
    rows, columns = rows[list(order)], columns[list(order)]
    height, buffer_bytes, piece = data.draw(
        st.tuples(st.integers(1, 7), st.sampled_from([0, 100, 10**6]), st.integers(1, 20))
    )
    spill = Spill(np.dtype(np.int64), height, buffer_bytes)
    for i in range(0, rows.size, piece):
        part = slice(i, i + piece)
        spill.add(rows[part], columns[part], x_ng[rows[part], columns[part]])
    spill.finish(shape)
    size = data.draw(st.integers(1, shape[0]))
    blocks = [spill.rows(start, min(start + size, shape[0])) for start in range(0, shape[0], size)]
    np.testing.assert_array_equal(sp.vstack(blocks).toarray(), x_ng)
    folder = spill._folder
    spill.close()
    assert folder is None or not folder.exists()


@pytest.mark.parametrize("kind", ["h5ad csc", "h5ad dense by gene", "10x mtx v2", "csv genes x cells"])
def test_tiny_buffers_change_nothing(kind: str, golden_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Many bands, pieces and tiles with everything on disk, and the folder is gone afterwards."""
    monkeypatch.setattr(_spill.Spill.__init__, "__defaults__", (2, 0))
    monkeypatch.setattr(_compressed, "PIECE_ENTRIES", 2)
    monkeypatch.setattr(_compressed, "GAP_ENTRIES", 0)
    monkeypatch.setattr(_dense, "TILE_BYTES", 16)
    monkeypatch.setattr(_dense, "BAND_TILES", 1)
    with open_counts(golden_files[kind]) as counts:
        for size in (1, 3, 5):
            np.testing.assert_array_equal(stacked(counts, size), golden())
        np.testing.assert_array_equal(counts.columns(GENES[::-2]).toarray(), golden()[:, ::-2])
        folder = counts.sources[0].matrix._spill._folder
        assert folder.exists()
    assert not folder.exists()


def test_temporary_files_go_when_the_counts_do(golden_files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_spill.Spill.__init__, "__defaults__", (2048, 0))
    counts = open_counts(golden_files["h5ad csc"])
    next(counts.blocks())
    folder = counts.sources[0].matrix._spill._folder
    assert folder.exists()
    del counts
    assert not folder.exists()


class _SpyStore:
    """A store of arrays in memory that notes every slice that is read."""

    name = "spy"

    def __init__(self, x: sp.spmatrix) -> None:
        self.x, self.read = x, []

    def __getitem__(self, key: str) -> object:
        return _SpyArray(getattr(self.x, key.rpartition("/")[2]), key, self.read)

    def close(self) -> None:
        pass


class _SpyArray:
    def __init__(self, values: np.ndarray, key: str, read: list) -> None:
        self.values, self.key, self.read = values, key, read
        self.shape, self.dtype = values.shape, values.dtype

    def __getitem__(self, part: slice) -> np.ndarray:
        out = self.values[part]
        self.read.append((self.key, out.size))
        return out


def _entries_read(store: _SpyStore) -> int:
    return sum(size for key, size in store.read if key.endswith("/data"))


def test_rows_of_a_csr_file_read_only_their_entries() -> None:
    x = sp.random(400, 50, 0.2, format="csr", random_state=0, dtype=np.float64)
    store = _SpyStore(x)
    matrix = CompressedRows(store, "X", x.shape)
    got = matrix.rows(100, 110)
    assert _entries_read(store) == x[100:110].nnz
    assert (got != x[100:110]).nnz == 0


def test_a_csc_file_is_read_once_however_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_compressed, "PIECE_ENTRIES", 500)
    monkeypatch.setattr(_compressed, "GAP_ENTRIES", 0)
    x = sp.random(400, 50, 0.2, format="csc", random_state=0, dtype=np.float64)
    store = _SpyStore(x)
    matrix = CompressedColumns(store, "X", x.shape)
    for start in range(0, 400, 16):
        assert (matrix.rows(start, start + 16) != x[start : start + 16].tocsr()).nnz == 0
    assert _entries_read(store) == x.nnz
    assert max(size for key, size in store.read if key.endswith("/data")) <= 500
    store.read.clear()
    assert (matrix.columns(np.array([40, 3])) != x[:, [40, 3]]).nnz == 0
    assert _entries_read(store) == x[:, [40, 3]].nnz
    store.read.clear()
    matrix.close()
    matrix.sample()
    assert _entries_read(store) <= 500


def test_more_than_two_billion_entries(tmp_path: Path) -> None:
    """Places beyond 32 bits: two cells, the first with 2**31 entries that the file announces but never allocates."""
    n, last = 2**31 + 5, np.array([0, 3, 6])
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["matrix/shape"], file["matrix/indptr"] = np.array([7, 2]), np.array([0, n, n + 3])
        file["matrix/barcodes"], file["matrix/features/id"] = np.array(CELLS[:2], "S"), np.array(IDS, "S")
        file["matrix/features/name"] = np.array(GENES, "S")
        for key, values in (("indices", last), ("data", last + 1)):
            entries = file.create_dataset(f"matrix/{key}", (n + 3,), "i4", chunks=(2**16,))
            entries[n:] = values
    with open_counts(tmp_path / "x.h5", check=False) as counts:
        assert counts.sources[0].rows(1, 2).toarray().tolist() == [[1, 0, 0, 4, 0, 0, 7]]
    with h5py.File(tmp_path / "y.h5", "w") as file, h5py.File(tmp_path / "x.h5") as whole:
        whole.copy("matrix", file)
        del file["matrix/indptr"]
        file["matrix/indptr"] = np.array([0, n - 2**32, n + 3])  # what wraps around in 32 bits
    with pytest.raises(SourceError, match="indptr does not fit"):
        open_counts(tmp_path / "y.h5")


def test_old_h5ad_with_record_arrays(tmp_path: Path) -> None:
    """The layout of AnnData before 0.7: tables as record arrays, sparse matrices marked by ``h5sparse`` attributes."""
    x = sp.csr_matrix(golden())
    with h5py.File(tmp_path / "old.h5ad", "w") as file:
        for key in ("data", "indices", "indptr"):
            file[f"X/{key}"] = getattr(x, key)
        file["X"].attrs["h5sparse_format"], file["X"].attrs["h5sparse_shape"] = "csr", x.shape
        obs = [(cell.encode(), float(i)) for i, cell in enumerate(CELLS)]
        file["obs"] = np.array(obs, dtype=[("index", "S20"), ("score", "f8")])
        file["var"] = np.array([(gene.encode(),) for gene in GENES], dtype=[("index", "S20")])
    with open_counts(tmp_path / "old.h5ad") as counts:
        np.testing.assert_array_equal(stacked(counts, 2), golden())
        assert list(counts.obs.index) == CELLS
        assert list(counts.obs["score"]) == [0, 1, 2, 3, 4]


def test_real_file_equals_anndata(real_data: Path) -> None:
    path = real_data / "coregulation" / "pbmc_1k_v3.h5ad"
    adata = ad.read_h5ad(path)
    with open_counts(path) as counts:
        pd.testing.assert_frame_equal(counts.obs, adata.obs, check_index_type=False)
        assert list(counts.var_names) == list(adata.var_names)
        assert (counts.to_csr() != adata.X).nnz == 0
        assert counts.uns["series_id"] == adata.uns["series_id"]
        np.testing.assert_array_equal(counts.profile().depth_n, adata.obs["total_counts"])


def test_real_archs4_layout_equals_its_h5ad(real_data: Path) -> None:
    folder = real_data / "archs4"
    with open_counts(folder / "mini_archs4_layout_v2.h5") as counts:
        adata = ad.read_h5ad(folder / "gtex_60samples_heart_muscle_brain.h5ad")
        np.testing.assert_array_equal(np.vstack([b.x_ng.toarray() for b in counts.blocks(7)]), adata.X.toarray())


class _Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["filters", "compressor"])
@pytest.mark.parametrize("array", ["obs/batch/codes", "X/data"])
def test_zarr_array_holding_pickles_is_refused(array: str, place: str, files: object, tmp_path: Path) -> None:
    path, went_off = files("zarr 2 csr"), tmp_path / "went_off"
    meta = path / array / ".zarray"
    codec = {"id": "pickle", "protocol": 5}
    described = json.loads(meta.read_text()) | {"compressor": None, place: [codec] if place == "filters" else codec}
    meta.write_text(json.dumps(described))
    (path / array / "0").write_bytes(pickle.dumps(_Bomb(went_off)))
    (path / ".zmetadata").unlink()
    with pytest.raises(SourceError, match="cannot be read"):
        open_counts(path)
    assert not went_off.exists()


def test_parse_folder_of_a_square_matrix_is_cells_by_genes(tmp_path: Path) -> None:
    path = parse_folder(tmp_path, golden())
    (path / "all_genes.csv").write_text("".join((path / "all_genes.csv").read_text().splitlines(keepends=True)[:6]))
    text = (path / "DGE.mtx").read_text().splitlines()
    kept = [line for line in text[3:] if int(line.split()[1]) <= 5]
    (path / "DGE.mtx").write_text("\n".join([*text[:2], f"5 5 {len(kept)}", *kept]) + "\n")
    with open_counts(path) as counts:
        np.testing.assert_array_equal(stacked(counts, 5), golden()[:, :5])
