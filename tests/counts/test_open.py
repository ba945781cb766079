"""What counts as a source, how several are stacked, and when values are looked at."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import scipy.sparse as sp
from count_files import CELLS, GENES, golden, golden_adata, put

from corpuscle.counts import _store, open_counts
from corpuscle.counts._names import gene_likeness
from corpuscle.errors import CorpuscleError, GeneError, NotCountsError, OptionError, SourceError

Files = Callable[[str], Path]


def _write(path: Path, x: object, **kwargs: object) -> Path:
    golden_adata(x, **kwargs).write_h5ad(path)
    return path


def test_a_glob_is_sorted_and_stacked(tmp_path: Path) -> None:
    for name, factor in (("b", 2), ("a", 1), ("c", 3)):
        _write(tmp_path / f"{name}.h5ad", sp.csr_matrix(golden() * factor))
    wanted = np.vstack([golden(), golden() * 2, golden() * 3])
    with open_counts(f"{tmp_path}/*.h5ad") as counts:
        assert [Path(source.name).name for source in counts.sources] == ["a.h5ad", "b.h5ad", "c.h5ad"]
        for size in (1, 2, 4, 100):
            np.testing.assert_array_equal(np.vstack([b.x_ng.toarray() for b in counts.blocks(size)]), wanted)
        assert [(b.rows.start, b.rows.stop) for b in counts.blocks(4)] == [
            (0, 4),
            (4, 5),
            (5, 9),
            (9, 10),
            (10, 14),
            (14, 15),
        ]
        np.testing.assert_array_equal(counts.columns(["NKG7"]).toarray()[:, 0], wanted[:, 6])
    with open_counts([tmp_path / "c.h5ad", str(tmp_path / "a.h5ad"), golden_adata(golden())]) as counts:
        assert counts.n_obs == 15
        assert counts.to_csr()[0, 0] == 3


def test_sources_share_genes_by_name(tmp_path: Path) -> None:
    one = golden_adata(sp.csr_matrix(golden()))
    two = one[:, ["NKG7", "ACTB", "B2M"]].copy()
    with open_counts([one, two]) as counts:
        assert list(counts.var_names) == ["ACTB", "B2M", "NKG7"]
        np.testing.assert_array_equal(counts.to_csr().toarray(), np.vstack([golden()[:, [0, 2, 6]]] * 2))


@pytest.mark.parametrize("source", [[], (), 3, None, {"a": 1}])
def test_what_is_no_source(source: object) -> None:
    with pytest.raises(SourceError):
        open_counts(source)


def test_a_file_named_twice_is_refused(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.h5ad", golden())
    with pytest.raises(SourceError, match=r"a\.h5ad: named twice"):
        open_counts([path, f"{tmp_path}/*.h5ad"])


def test_names_with_glob_characters_are_names_first(tmp_path: Path) -> None:
    path = _write(tmp_path / "run[1].h5ad", golden())
    assert open_counts(str(path)).n_obs == 5


def test_more_sources_than_files_held_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_store, "MOST_OPEN", 2)
    for i in range(5):
        _write(tmp_path / f"{i}.h5ad", sp.csr_matrix(golden()))
    with open_counts(f"{tmp_path}/*.h5ad") as counts:
        for _ in range(2):
            np.testing.assert_array_equal(counts.profile().depth_n, np.tile(golden().sum(1), 5))
            assert len(_store._open_stores) <= 2
            del counts.__dict__["_profile"]
    assert all(source.matrix.store._root is None for source in counts.sources)


def test_format_is_told_by_content_not_suffix(files: Files) -> None:
    for kind, name in (
        ("h5ad csr int64", "data.bin"),
        ("10x h5 v3", "data.h5ad"),
        ("loom", "data.hdf5"),
        ("archs4", "x.loom"),
    ):
        path = files(kind)
        renamed = path.rename(path.with_name(name))
        np.testing.assert_array_equal(open_counts(renamed).to_csr().toarray(), golden())
        renamed.unlink()


@pytest.mark.parametrize(
    "to_layout", [sp.csr_matrix, sp.csc_matrix, sp.coo_matrix, sp.csr_array, np.asarray, np.asfortranarray]
)
@pytest.mark.parametrize("dtype", ["int32", "uint8", "float32", "float64", "bool"])
def test_anndata_in_memory(to_layout: Callable[[np.ndarray], object], dtype: str) -> None:
    x_ng = golden().astype(dtype)
    adata = golden_adata(golden())
    adata.layers["here"] = to_layout(x_ng).tocsr() if to_layout is sp.coo_matrix else to_layout(x_ng)
    got = open_counts(adata, layer="here")
    np.testing.assert_array_equal(got.to_csr().toarray(), x_ng.astype(int))
    assert got.sources[0].layers == ()


def test_half_precision_is_read(tmp_path: Path) -> None:
    assert open_counts(golden_adata(golden().astype("float16"))).to_csr().sum() == golden().sum()


def test_duplicated_genes_are_kept_and_refused_only_when_asked_for(tmp_path: Path) -> None:
    adata = golden_adata(sp.csr_matrix(golden()))
    adata.var_names = ["ACTB", "ACTB", *GENES[2:]]
    adata.write_h5ad(tmp_path / "x.h5ad")
    with open_counts(tmp_path / "x.h5ad") as counts:
        np.testing.assert_array_equal(counts.to_csr().toarray(), golden())
        np.testing.assert_array_equal(counts.columns(["NKG7"]).toarray()[:, 0], golden()[:, 6])
        np.testing.assert_array_equal(counts.columns(["ENSG00000000001"]).toarray()[:, 0], golden()[:, 1])
        with pytest.raises(GeneError, match="ACTB names 2 columns"):
            counts.columns(["ACTB"])


BAD_VALUES = {"NaN": np.nan, "infinite": np.inf, "negative": -2.0, "fractional": 0.5}


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
@pytest.mark.parametrize("kind", BAD_VALUES)
def test_what_is_no_count_is_named_by_cell_and_gene(kind: str, layout: Callable, tmp_path: Path) -> None:
    x_ng = golden().astype(float)
    x_ng[3, 5] = BAD_VALUES[kind]
    path = _write(tmp_path / "x.h5ad", layout(x_ng))
    with pytest.raises(
        NotCountsError, match=rf"x\.h5ad: not raw counts: value .*\({kind}\) at cell {CELLS[3]}, gene MS4A1; "
    ) as caught:
        open_counts(path)
    assert "\n" not in str(caught.value)
    with open_counts(path, check=False) as counts:
        raw = np.vstack([block.x_ng.toarray() for block in counts.raw_blocks(2)])
        np.testing.assert_array_equal(raw, x_ng)
        with pytest.raises(NotCountsError, match=f"cell {CELLS[3]}, gene MS4A1"):
            list(counts.blocks(2))
        with pytest.raises(NotCountsError, match=f"cell {CELLS[3]}, gene MS4A1"):
            counts.columns(["ACTB", "MS4A1"])


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix])
def test_a_bad_value_beyond_the_sample_is_met_on_the_way(layout: Callable, tmp_path: Path) -> None:
    x_ng = np.ones((300, 3))
    x_ng[299, 2] = 1.5
    adata = ad.AnnData(layout(x_ng))
    adata.write_h5ad(tmp_path / "x.h5ad")
    if layout is sp.csr_matrix:
        counts = open_counts(tmp_path / "x.h5ad")
        assert len([next(counts.blocks(299))]) == 1
        with pytest.raises(NotCountsError, match="cell 299, gene 2"):
            list(counts.blocks(299))
    else:
        with pytest.raises(NotCountsError, match="cell 299, gene 2"):
            open_counts(tmp_path / "x.h5ad")


def test_log_values_beside_a_counts_layer_point_to_it(tmp_path: Path) -> None:
    adata = golden_adata(
        sp.csr_matrix(np.log1p(golden())), layers={"counts": sp.csr_matrix(golden()), "z": golden() * 1.0}
    )
    path = tmp_path / "x.h5ad"
    adata.write_h5ad(path)
    for source in (path, adata):
        with pytest.raises(
            NotCountsError, match=r"its layer 'counts' may hold raw counts \(--layer counts\); it has: counts, z"
        ):
            open_counts(source)
    np.testing.assert_array_equal(open_counts(path, layer="counts").to_csr().toarray(), golden())


def test_zarr_layers_point_out_too(files: Files) -> None:
    with pytest.raises(SourceError, match=r"no layer is called 'counts'; it has none"):
        open_counts(files("zarr 3 csr"), layer="counts")


@pytest.mark.parametrize("layout", [sp.csr_matrix, sp.csc_matrix, np.asarray])
def test_an_all_zero_matrix_opens_and_is_refused_by_profile(layout: Callable, tmp_path: Path) -> None:
    adata = golden_adata(layout(np.zeros_like(golden())))
    adata.write_h5ad(tmp_path / "x.h5ad")
    with ad.settings.override(zarr_write_format=3):
        adata.write_zarr(tmp_path / "x.zarr")
    for source in (tmp_path / "x.h5ad", tmp_path / "x.zarr", adata):
        with open_counts(source) as counts, pytest.raises(NotCountsError, match="every value is zero"):
            counts.profile()


@pytest.mark.parametrize("kind", ["h5ad csr int64", "h5ad csc", "10x mtx v2", "zarr 2 csr", "zarr 3 csr", "h5ad dense"])
def test_a_file_that_changes_while_it_is_read(kind: str, files: Files) -> None:
    path = files(kind)
    with open_counts(path) as counts:
        blocks = counts.blocks(1)
        next(blocks)
        watched = counts.sources[0].watched
        os.utime(watched, ns=(1, 1))
        with pytest.raises(SourceError, match="changed while it was read"):
            next(blocks)
        with pytest.raises(SourceError, match="changed while it was read"):
            counts.columns(["ACTB"])


def test_a_replaced_zarr_chunk_is_noticed(files: Files) -> None:
    with open_counts(files("zarr 3 csr")) as counts:
        blocks = counts.blocks(1)
        next(blocks)
        chunk = counts.sources[0].path / "X" / "data" / "c" / "0"
        copy = chunk.with_name("0.partial")
        copy.write_bytes(chunk.read_bytes())
        copy.replace(chunk)
        with pytest.raises(SourceError, match="changed while it was read"):
            next(blocks)


def test_a_file_that_goes_away_while_it_is_read(files: Files) -> None:
    with open_counts(files("h5ad csr int64")) as counts:
        counts.sources[0].path.unlink()
        with pytest.raises(SourceError, match="went away"):
            next(counts.blocks())


@pytest.mark.parametrize("size", [0, -1])
def test_block_sizes_below_one(size: int, files: Files) -> None:
    with open_counts(files("h5ad dense")) as counts:
        for read in (counts.blocks, counts.raw_blocks):
            with pytest.raises(OptionError, match="below 1"):
                next(read(size))


def test_a_failed_open_leaves_no_file_open(files: Files) -> None:
    good, bad = files("h5ad csc"), files("10x h5 v3")
    before = set(_store._open_stores)
    with pytest.raises(CorpuscleError):
        open_counts([good, bad], layer="nope")
    with pytest.raises(SourceError):
        open_counts([good, good.with_name("missing.h5ad")])
    assert set(_store._open_stores) <= before


def test_tables_whose_names_say_nothing_are_refused_with_the_way_out(tmp_path: Path) -> None:
    rows = "a1,1,0,2\nb2,0,3,1\n"
    with pytest.raises(
        SourceError, match=r"cannot tell whether its rows or its columns are genes .*write 'gene' or 'cell'"
    ):
        open_counts(put(tmp_path / "x.csv", "id,u,v,w\n" + rows))
    wanted = np.array([[1, 0, 2], [0, 3, 1]])
    np.testing.assert_array_equal(
        open_counts(put(tmp_path / "g.csv", "gene,u,v,w\n" + rows)).to_csr().toarray(), wanted.T
    )
    np.testing.assert_array_equal(
        open_counts(put(tmp_path / "c.csv", "cell,u,v,w\n" + rows)).to_csr().toarray(), wanted
    )
    unnamed = put(tmp_path / "n.csv", "ACTB,GAPDH,B2M\n1,0,2\n0,3,1\n")
    np.testing.assert_array_equal(open_counts(unnamed).to_csr().toarray(), wanted)


@pytest.mark.parametrize(
    "folder", ["pbmc/pbmc3k.h5ad", "clustering/goolam_mouse_embryo.h5ad", "batch/onek1k_1000g.h5ad"]
)
def test_real_genes_look_like_genes_and_real_cells_do_not(folder: str, real_data: Path) -> None:
    with open_counts(real_data / folder) as counts:
        genes, cells = sorted(counts.var_names), list(counts.obs.index)
        assert gene_likeness(genes[:500]) - gene_likeness(cells) > 0.1
        assert gene_likeness(genes) - gene_likeness(cells) > 0.1
