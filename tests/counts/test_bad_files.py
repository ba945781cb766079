"""Every way a file can be wrong ends in one line that names it."""

from __future__ import annotations

import gzip
import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
import scipy.sparse as sp
from count_files import CELLS, WRITERS, golden, golden_adata, mtx_text, put

from corpuscle.counts import _spill, open_counts
from corpuscle.errors import CorpuscleError, NotCountsError, OutputError, SourceError

Files = Callable[[str], Path]


def refused(source: object, pattern: str, error: type[CorpuscleError] = SourceError, **how: object) -> str:
    """Open and read all of it; one line that matches is raised somewhere on the way."""
    with pytest.raises(error, match=pattern) as caught, open_counts(source, **how) as counts:
        for _ in counts.blocks(2):
            pass
    assert "\n" not in str(caught.value)
    return str(caught.value)


def edit(path: Path, change: Callable[[h5py.File], None]) -> Path:
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def put_array(file: h5py.File, key: str, values: object) -> None:
    attributes = dict(file[key].attrs)
    del file[key]
    file[key] = values
    file[key].attrs.update(attributes)


def test_missing_files_and_patterns(tmp_path: Path) -> None:
    refused(tmp_path / "no.h5ad", r"no\.h5ad: there is no such file")
    refused(str(tmp_path / "*.h5ad"), "no file matches")


def test_folders_with_nothing_known_list_what_was_looked_for(tmp_path: Path) -> None:
    message = refused(tmp_path, "a folder with nothing known")
    for looked_for in ("zarr.json", "matrix.mtx", "features.tsv", "barcodes.tsv", "DGE.mtx", "cell_metadata.csv"):
        assert looked_for in message
    golden_adata(golden()).write_h5ad(tmp_path / "a.h5ad")
    refused(tmp_path, "name one of its files, such as a.h5ad")


@pytest.mark.parametrize("suffix", [".h5ad", ".h5", ".loom"])
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not hdf5", b"a,b\n1,2\n"])
def test_other_bytes_under_an_hdf5_name(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(content)
    refused(path, rf"x\{suffix}: (not an HDF5 file|the file is empty)")


def test_unknown_formats(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        archive.writestr("a", "b")
    refused(tmp_path / "x.zip", "of an unknown format; known are: .h5ad")
    (tmp_path / "x.csv").write_bytes(bytes(range(256)))
    refused(tmp_path / "x.csv", "of an unknown format")
    (tmp_path / "x.h5ad.gz").write_bytes(gzip.compress(b"\x89HDF\r\n\x1a\n"))
    refused(tmp_path / "x.h5ad.gz", "run gunzip")
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["weights"] = [1]
    refused(tmp_path / "x.h5", r"an HDF5 file of an unknown layout \(it has: weights\)")


@pytest.mark.parametrize(
    "kind", ["h5ad csr int64", "h5ad csc", "h5ad dense", "10x h5 v3", "10x h5 v2", "loom", "archs4"]
)
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_hdf5_file(kind: str, share: float, files: Files) -> None:
    path = files(kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    refused(path, rf"{re.escape(path.name)}: cannot be read .*truncated")


@pytest.mark.parametrize("kind", ["10x mtx v3", "mtx prefixed, blanks"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.98])
def test_a_cut_gz_file(kind: str, share: float, tmp_path: Path) -> None:
    path = WRITERS[kind](tmp_path, golden())
    file = path / "matrix.mtx.gz" if path.is_dir() else path
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    refused(path, r"matrix\.mtx\.gz: .*truncated")


def test_a_cut_gz_table(tmp_path: Path) -> None:
    path = WRITERS["tsv.gz genes x cells, R"](tmp_path, golden())
    path.write_bytes(path.read_bytes()[:-12])
    refused(path, r"x\.tsv\.gz: .*truncated")


def test_a_cut_zarr_chunk_and_a_missing_one(files: Files) -> None:
    path = files("zarr 3 csr")
    chunk = path / "X" / "data" / "c" / "0"
    content = chunk.read_bytes()
    chunk.write_bytes(content[: len(content) // 2])
    refused(path, "cannot be read")
    chunk.unlink()
    refused(path, r"X/data: 1 of its 1 chunks are missing; copy the folder again")


def test_a_zarr_folder_of_something_else(files: Files) -> None:
    refused(files("zarr 3 csr") / "X", "not of AnnData")


def test_no_x_no_layer_no_names(files: Files, tmp_path: Path) -> None:
    path = edit(files("h5ad csr int64"), lambda file: file.__delitem__("X"))
    refused(path, "there is no X in it; write it with")
    golden_adata(None, layers={"counts": golden()}).write_h5ad(tmp_path / "layered.h5ad")
    refused(tmp_path / "layered.h5ad", "there is no X in it; ask for one of its layers: counts")
    refused(files("h5ad dense"), "no layer is called 'counts'; it has none", layer="counts")
    refused(files("loom"), "no layer is called 'counts'; it has: doubled", layer="counts")
    refused(
        edit(files("loom"), lambda file: file.__delitem__("col_attrs/CellID")),
        "col_attrs has no names: looked for CellID",
    )
    refused(edit(files("h5ad csc"), lambda file: file.__delitem__("var")), "x.h5ad: an HDF5 file of an unknown layout")


@pytest.mark.parametrize("kind", ["10x h5 v3", "10x mtx v2", "parse", "csv cells x genes", "archs4"])
def test_formats_without_layers_say_so(kind: str, files: Files) -> None:
    refused(files(kind), "has no layers", layer="counts")


@pytest.mark.parametrize("kind", ["h5ad csr int64", "h5ad csc", "10x h5 v3", "10x h5 v2"])
def test_damaged_sparse_arrays(kind: str, files: Files) -> None:
    key = {"h5ad": "X", "10x h5 v3": "matrix", "10x h5 v2": "hg19"}[kind if kind.startswith("10x") else "h5ad"]

    def changed(array: str, change: Callable[[np.ndarray], np.ndarray]) -> Path:
        return edit(files(kind), lambda file: put_array(file, f"{key}/{array}", change(file[f"{key}/{array}"][:])))

    def put_at(where: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
        return lambda values: np.where(np.arange(values.size) == where, value, values)

    refused(
        changed("indices", put_at(2, 99)), rf"{key}/indices has 99 in row \d+, outside 0 to \d+; the file is damaged"
    )
    refused(changed("indices", put_at(2, -1)), rf"{key}/indices has -1 in row")
    refused(changed("indptr", put_at(1, 9)), rf"{key}/indptr does not fit")
    refused(changed("indptr", lambda values: values[:-1]), rf"{key}/indptr does not fit")
    refused(changed("indptr", lambda values: values + 1), rf"{key}/indptr does not fit")
    refused(changed("data", lambda values: values[:-2]), rf"{key}/indptr does not fit")


def test_names_that_do_not_fit_the_matrix(files: Files) -> None:
    def fewer_cells(file: h5py.File) -> None:
        put_array(file, "obs/_index", file["obs/_index"][:-1])
        put_array(file, "obs/batch/codes", file["obs/batch/codes"][:-1])

    for kind in ("h5ad csr int64", "h5ad csc", "h5ad dense"):
        refused(edit(files(kind), fewer_cells), r"5 x 7 .*4 cells")
    fewer_barcodes = edit(
        files("10x h5 v3"), lambda file: put_array(file, "matrix/barcodes", file["matrix/barcodes"][1:])
    )
    refused(fewer_barcodes, "5 x 7 but it names 4 cells and 7 genes")
    refused(
        edit(files("loom"), lambda file: put_array(file, "matrix", golden()[:, :5].T)),
        "5 x 5 but it names 5 cells and 7",
    )
    path = files("10x mtx v2")
    (path / "barcodes.tsv").write_text("\n".join(CELLS[:3]) + "\n")
    refused(path, "matrix is 7 x 5 but genes.tsv names 7 genes and barcodes.tsv 3 cells")
    (path / "barcodes.tsv").unlink()
    refused(path, "looked for features.tsv or genes.tsv with barcodes.tsv")


def test_two_matrices_in_a_folder(files: Files) -> None:
    path = files("10x mtx v2")
    put(path / "other_matrix.mtx", mtx_text(golden().T))
    refused(path, "holds 2 matrices; name one: matrix.mtx, other_matrix.mtx")


@pytest.mark.parametrize(
    ("change", "pattern", "error"),
    [
        (lambda t: t.rsplit("\n", 3)[0] + "\n", "announces 12 entries and has 10; it is truncated", SourceError),
        (lambda t: t + "1 1 4\n", "announces 12 entries and has 13", SourceError),
        (lambda t: t + "8 1 4\n", "entry 13 is in row 8, outside 1 to 7", SourceError),
        (lambda t: t + "0 1 4\n", "entry 13 is in row 0, outside 1 to 7", SourceError),
        (lambda t: t + "1 6 4\n", "entry 13 is in column 6, outside 1 to 5", SourceError),
        (lambda t: t + "1 1\n", "cannot be read", SourceError),
        (lambda t: t + "1 1 2.5\n", "cannot be read .*2.5", SourceError),
        (lambda t: t.replace("7 5 12", "7 5"), "no line with its size", SourceError),
        (lambda t: "%%MatrixMarket matrix coordinate integer general\n", "no line with its size", SourceError),
        (lambda t: t.replace("general", "symmetric"), "not a general coordinate", SourceError),
        (lambda t: t.replace("coordinate", "array"), "not a general coordinate", SourceError),
        (lambda t: t.replace("integer", "complex"), "values are complex, not counts", NotCountsError),
        (lambda t: t.replace("integer", "pattern"), "values are pattern, not counts", NotCountsError),
        (
            lambda t: t.replace("integer", "real").replace("1 1 1\n", "1 1 -1\n"),
            rf"cell {CELLS[0]}, gene ACTB",
            NotCountsError,
        ),
    ],
)
def test_matrix_market_text(change: Callable, pattern: str, error: type[CorpuscleError], files: Files) -> None:
    path = files("10x mtx v2")
    put(path / "matrix.mtx", change(mtx_text(golden().T)))
    refused(path, pattern, error)


@pytest.mark.parametrize(
    ("content", "pattern", "error"),
    [
        ("gene,c1,c2\nACTB,1,two\n", "only numbers", SourceError),
        ("gene,c1,c2\nACTB,1,2\nB2M,1\n", "Expected 3 columns, got 2", SourceError),
        ("gene,c1,c2\nACTB,1,2\nB2M,,3\n", r"value nan \(NaN\) at cell c1, gene B2M", NotCountsError),
        ("gene,c1,c2\nACTB,1,2\nB2M,0.5,3\n", r"value 0.5 \(fractional\) at cell c1, gene B2M", NotCountsError),
        ("gene,c1,c2\n", "no two lines of text", SourceError),
        ("gene\nACTB\n", "first line has 1 fields", SourceError),
        ("gene,c1\nACTB,1,2,3\n", "first line has 2 fields and its second 4", SourceError),
        ("\n\n\n", "no two lines", SourceError),
    ],
)
def test_tables(content: str, pattern: str, error: type[CorpuscleError], tmp_path: Path) -> None:
    refused(put(tmp_path / "x.csv", content), pattern, error)


@pytest.mark.parametrize("shape", [(0, 7), (5, 0)])
def test_no_cells_or_no_genes(shape: tuple[int, int], tmp_path: Path) -> None:
    adata = golden_adata(sp.csr_matrix(golden()))[: shape[0], : shape[1]].copy()
    adata.write_h5ad(tmp_path / "x.h5ad")
    for source in (tmp_path / "x.h5ad", adata):
        refused(source, "no (cells|genes)|matrix is")


@pytest.mark.parametrize("values", [np.full((5, 7), b"a", "S1"), golden().astype(complex)])
def test_values_that_are_not_numbers(values: np.ndarray, files: Files) -> None:
    path = edit(files("h5ad dense"), lambda file: put_array(file, "X", values))
    refused(path, "are not numbers", NotCountsError)
    refused(path, "are not numbers", NotCountsError, check=False)


def test_objects_and_odd_matrices_in_memory(files: Files) -> None:
    adata = golden_adata(golden())
    adata.layers["text"] = golden().astype(object)
    refused(adata, "type object are not numbers", NotCountsError, layer="text")
    text = edit(files("h5ad dense"), lambda file: put_array(file, "X", golden().astype("S3").astype(object)))
    refused(text, "type object are not numbers", NotCountsError)
    refused(edit(files("h5ad dense"), lambda file: put_array(file, "X", golden()[0])), "X is not a matrix")


def test_a_number_too_large_for_any_count(tmp_path: Path) -> None:
    x_ng = golden().astype(float)
    x_ng[1, 1] = 1e300
    refused(golden_adata(x_ng), "too large", NotCountsError)


def test_only_antibodies(tmp_path: Path) -> None:
    path = WRITERS["10x h5 v3"](tmp_path, golden())
    kinds = np.array(["Antibody Capture"] * 7, "S")
    refused(edit(path, lambda file: put_array(file, "matrix/features/feature_type", kinds)), "it has: Antibody Capture")


def test_an_unreadable_entry_of_uns_is_left_out_with_a_warning(files: Files) -> None:
    path = edit(
        files("h5ad csr int64"), lambda file: file["uns/sample_id"].attrs.update({"encoding-type": "from the future"})
    )
    with open_counts(path) as counts, pytest.warns(UserWarning, match="left out: .*uns/sample_id"):
        assert set(counts.uns) == {"reporters"}


def test_a_full_temporary_disk_is_named_and_leaves_nothing(
    files: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spills = tmp_path / "spills"
    spills.mkdir()
    monkeypatch.setattr(_spill.tempfile, "tempdir", str(spills))
    monkeypatch.setattr(_spill.Spill.__init__, "__defaults__", (2, 0))
    real_open = Path.open

    def full(self: Path, mode: str = "r", *args: object, **kwargs: object) -> object:
        if mode == "ab":
            raise OSError(28, "No space left on device")
        return real_open(self, mode, *args, **kwargs)

    monkeypatch.setattr(Path, "open", full)
    for kind in ("h5ad csc", "10x mtx v2", "csv genes x cells"):
        refused(files(kind), r"temporary files in .*No space left.*TMPDIR", OutputError)
        assert not list(spills.iterdir())
