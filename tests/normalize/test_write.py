"""``corpuscle normalize``: what lands on disk is what ``transform`` gives, whole or not at all."""

import json
import os
import subprocess
import sys
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

import corpuscle.cli.normalize
from corpuscle import __version__
from corpuscle.cli._app import main
from corpuscle.counts import Counts, open_counts
from corpuscle.datasets.bundled import bundled_path
from corpuscle.errors import CorpuscleError, OutputError
from corpuscle.normalize import ColumnNormalizer, MatrixNormalizer, normalizer, plan_write, write_normalized
from corpuscle.normalize import _write as writing

METHODS = ["log1p_cp10k", "pearson_analytic", "rank", "pf_log1p_pf", "quantile", "tfidf"]


class Halved(MatrixNormalizer):
    """A method that holds the whole matrix, dense."""

    name, formula, needs = "halved", "x / 2 + 1", "matrix"

    def __init__(self, by: float = 2.0) -> None:
        self.by = by

    def fit(self, counts: Counts) -> "Halved":
        self.x_ = counts.to_csr().tocsc()
        self.n_cells_, self.n_genes_ = self.x_.shape
        return self

    def transform(self, counts: Counts, genes=None) -> np.ndarray:
        self._check(counts)
        index = np.arange(counts.n_vars) if genes is None else counts.gene_index(genes)
        return self.x_[:, index].toarray() / self.by + 1


class HalvedSparse(Halved):
    """The same where zeros stay zero."""

    name, keeps_zeros = "halved_sparse", True

    def transform(self, counts: Counts, genes=None) -> sp.csc_matrix:
        index = np.arange(counts.n_vars) if genes is None else counts.gene_index(genes)
        return self.x_[:, index] / self.by


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 real cells x 2,000 genes, with tables and metadata worth keeping."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:300, 4000:6000].copy()
    adata.obs["group"] = pd.Categorical(np.where(np.arange(300) % 2, "odd", "even"))
    adata.uns["corpuscle"] = {"note": "kept"}
    path = tmp_path_factory.mktemp("source") / "pbmc.h5ad"
    adata.write_h5ad(path)
    return path


def dense(values) -> np.ndarray:
    return values.toarray() if sp.issparse(values) else np.asarray(values)


def run(*args: object) -> int:
    return main(["normalize", *(str(arg) for arg in args)])


@pytest.mark.parametrize("name", METHODS)
def test_the_file_holds_what_transform_gives(name: str, source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writing, "BLOCK_ROWS", 70)  # several blocks, the last one short
    assert run(source, "--method", name, "-o", tmp_path / "out.h5ad") == 0
    written, original = anndata.read_h5ad(tmp_path / "out.h5ad"), anndata.read_h5ad(source)
    counts = open_counts(source)
    fitted = normalizer(name).fit(counts)
    assert sp.issparse(written.X) == fitted.keeps_zeros and written.X.dtype == np.float32
    np.testing.assert_array_equal(dense(written.X), dense(fitted.transform(counts, dtype=np.float32)))
    assert (written.layers["counts"] != original.X).nnz == 0
    assert np.issubdtype(written.layers["counts"].dtype, np.integer)
    with open_counts(tmp_path / "out.h5ad", layer="counts") as again:  # what we write, we read
        assert (again.to_csr() != original.X).nnz == 0


def test_tables_and_metadata_are_kept_and_what_was_done_is_noted(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    assert run(source, "--method", "acosh", "--param", "alpha=none", "-o", out) == 0
    written, original = anndata.read_h5ad(out), anndata.read_h5ad(source)
    pd.testing.assert_frame_equal(written.obs, original.obs)
    pd.testing.assert_frame_equal(written.var, original.var)
    noted = written.uns["corpuscle"].pop("normalize")
    assert written.uns["corpuscle"] == {"note": "kept"}
    assert written.uns.keys() == original.uns.keys() and written.uns["species"] == original.uns["species"]
    assert noted == {"method": "acosh", "params": '{"alpha": null}', "version": __version__, "values": "X"}


def test_as_layer_leaves_the_counts_in_x(source: Path, tmp_path: Path) -> None:
    assert run(source, "-m", "sqrt", "--as-layer", "root", "-o", tmp_path / "out.h5ad") == 0
    written, original = anndata.read_h5ad(tmp_path / "out.h5ad"), anndata.read_h5ad(source)
    assert (written.X != original.X).nnz == 0
    assert list(written.layers) == ["root"]
    counts = open_counts(source)
    expected = normalizer("sqrt").fit(counts).transform(counts, dtype=np.float32)
    assert (written.layers["root"] != expected).nnz == 0


def test_without_counts_and_compressed(source: Path, tmp_path: Path) -> None:
    for compression in ("none", "gzip", "lzf"):
        out = tmp_path / f"{compression}.h5ad"
        assert run(source, "-m", "shifted_log_alpha", "--no-counts", "--compression", compression, "-o", out) == 0
    plain, small = (anndata.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("none", "gzip"))
    assert not plain.layers
    np.testing.assert_array_equal(plain.X, small.X)
    assert (tmp_path / "gzip.h5ad").stat().st_size < (tmp_path / "none.h5ad").stat().st_size / 4


@pytest.mark.parametrize("made", [Halved, HalvedSparse])
def test_a_method_that_needs_the_matrix_is_written_by_columns(
    made: type, source: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(writing, "BLOCK_ELEMENTS", 300 * 700)
    counts, method = open_counts(source), made()
    method.fit(counts)
    out, seen = tmp_path / "out.h5ad", []
    write_normalized(counts, method, out, plan_write(counts, method), progress=lambda *step: seen.append(step))
    written = anndata.read_h5ad(out)
    np.testing.assert_array_equal(dense(written.X), dense(method.transform(counts)).astype(np.float32))
    assert sp.issparse(written.X) == made.keeps_zeros
    assert (written.layers["counts"] != counts.to_csr()).nnz == 0
    assert [step[0] for step in seen if step[2] == "genes"] == [640, 1280, 1920, 2000]


def test_rows_are_streamed(source: Path, tmp_path: Path, monkeypatch) -> None:
    """Neither all counts nor all values are ever held, and a dense block is bounded whatever the number of genes."""
    counts = open_counts(source)
    fitted = normalizer("pearson_analytic").fit(counts)
    plan = plan_write(counts, fitted)
    monkeypatch.setattr(Counts, "to_csr", lambda self: pytest.fail("held the whole matrix"))
    monkeypatch.setattr(ColumnNormalizer, "transform", lambda *args: pytest.fail("computed all values"))
    monkeypatch.setattr("corpuscle.normalize._evaluate.BLOCK_ELEMENTS", 2000 * 16)
    rows, transform_rows = [], ColumnNormalizer.transform_rows
    monkeypatch.setattr(
        ColumnNormalizer,
        "transform_rows",
        lambda self, counts, x, at, **k: rows.append(x.shape[0]) or transform_rows(self, counts, x, at, **k),
    )
    write_normalized(counts, fitted, tmp_path / "out.h5ad", plan)
    assert rows == [16] * 18 + [12]


def test_two_sources_are_stacked(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5ad"
    adata = anndata.read_h5ad(source)[:50, ::-1].copy()
    adata.obs_names = [f"other-{name}" for name in adata.obs_names]
    adata.write_h5ad(other)
    out = tmp_path / "out.h5ad"
    counts = open_counts([source, other])
    method = normalizer("log1p_cp10k").fit(counts)
    write_normalized(counts, method, out, plan_write(counts, method))
    written = anndata.read_h5ad(out)
    assert written.shape == (350, 2000)
    np.testing.assert_array_equal(written.X[300:].toarray(), written.X[:50].toarray())


# -- what must not happen ------------------------------------------------------------------------------------


def left_behind(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_half_way_leaves_nothing(error: BaseException, source: Path, tmp_path: Path, monkeypatch) -> None:
    appended = []

    def fail(self, block) -> None:
        appended.append(block)
        if len(appended) > 3:
            raise error

    monkeypatch.setattr(writing, "BLOCK_ROWS", 70)
    monkeypatch.setattr(writing.SparseWriter, "append", fail)
    code = run(source, "-m", "log1p_cp10k", "-o", tmp_path / "out.h5ad")
    assert code == (130 if isinstance(error, KeyboardInterrupt) else 2)
    assert left_behind(tmp_path) == []


def test_a_failure_keeps_the_file_that_was_to_be_replaced(source: Path, tmp_path: Path, monkeypatch) -> None:
    out = tmp_path / "out.h5ad"
    out.write_bytes(b"precious")
    monkeypatch.setattr(ColumnNormalizer, "transform_rows", lambda *a, **k: (_ for _ in ()).throw(OSError(28, "full")))
    assert run(source, "-m", "cpm", "-o", out, "--force") == 2
    assert out.read_bytes() == b"precious" and left_behind(tmp_path) == ["out.h5ad"]


def test_a_full_disk_is_one_line_and_leaves_nothing(source: Path, tmp_path: Path) -> None:
    """A true short write: the operating system refuses files beyond half a megabyte."""
    script = (
        "import resource, sys\n"
        "from corpuscle.cli._app import main\n"
        "import corpuscle.cli.normalize\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    args = ["normalize", str(source), "-m", "pearson_analytic", "-o", str(tmp_path / "out.h5ad")]
    env = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path.parent / "numba")}
    done = subprocess.run([sys.executable, "-c", script, *args], capture_output=True, text=True, env=env, timeout=120)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and "error: cannot write" in done.stderr and "out.h5ad" in done.stderr
    assert left_behind(tmp_path) == []


def test_no_room_is_said_before_anything_is_written(source: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(writing.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 1_000_000}))
    monkeypatch.setattr(writing, "_write_tables", lambda *args: pytest.fail("began to write"))
    counts = open_counts(source)
    method = normalizer("rank").fit(counts)
    with pytest.raises(OutputError, match=r"needs 0\.0 GB, 0\.0 GB are free"):
        write_normalized(counts, method, tmp_path / "out.h5ad", plan_write(counts, method))


def test_bad_counts_late_in_the_file_leave_nothing(source: Path, tmp_path: Path, capsys) -> None:
    bad = tmp_path / "bad.h5ad"
    adata = anndata.read_h5ad(source)
    adata.X = adata.X.astype(np.float32)
    adata.X.data[-1] = 1.5
    adata.write_h5ad(bad)
    assert run(bad, "-m", "log1p_cp10k", "-o", tmp_path / "out.h5ad") == 2
    assert "1.5 (fractional)" in capsys.readouterr().err
    assert left_behind(tmp_path) == ["bad.h5ad"]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-m", "nope", "-o", "OUT"], "no method is called 'nope'"),
        (["-m", "cpm"], "give SOURCE, --method and -o"),
        (["-m", "cpm", "-o", "OUT", "--param", "target"], "'target' is not of the form NAME=VALUE"),
        (["-m", "cpm", "-o", "OUT", "--param", "depth=3"], "method cpm has no parameter 'depth'; it has: target"),
        (["-m", "cpm", "-o", "OUT", "--param", "target=deep"], "target is 'deep' and must be a number above 0"),
        (["-m", "cpm", "-o", "OUT", "--as-layer", "a/b"], "'a/b' cannot name a layer"),
        (["-m", "cpm", "-o", "OUT", "--as-layer", "v", "--no-counts"], "leave --no-counts out"),
        (["-m", "cpm", "-o", "OUT", "--compression", "zip"], "must be one of: none, gzip, lzf"),
        (["-m", "cpm", "-o", "FOLDER"], "is a folder; give the name of a file"),
        (["-m", "cpm", "-o", "FOLDER/no/out.h5ad"], "there is no folder"),
        (["-m", "cpm", "-o", "SOURCE", "--force"], "is the source itself"),
    ],
)
def test_a_mistake_is_one_line_and_code_2(args: list[str], message: str, source: Path, tmp_path: Path, capsys) -> None:
    before = source.read_bytes()
    places = {"OUT": tmp_path / "out.h5ad", "FOLDER": tmp_path, "SOURCE": source}
    filled = [arg if arg not in places else str(places[arg]) for arg in args]
    filled = [arg.replace("FOLDER", str(tmp_path)) for arg in filled]
    assert run(source, *filled) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert left_behind(tmp_path) == [] and source.read_bytes() == before


def test_a_file_that_is_there_is_replaced_only_with_force(source: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.h5ad"
    out.write_bytes(b"mine")
    assert run(source, "-m", "raw", "-o", out) == 2
    assert "--force" in capsys.readouterr().err and out.read_bytes() == b"mine"
    assert run(source, "-m", "raw", "-o", out, "--force") == 0
    assert h5py.is_hdf5(out)


def test_metadata_that_cannot_be_stored_is_named(source: Path, tmp_path: Path) -> None:
    adata = anndata.read_h5ad(source)
    adata.uns["callback"] = object()
    counts = open_counts(adata)
    method = normalizer("raw").fit(counts)
    with pytest.raises(OutputError, match="cannot be stored as h5ad"):
        write_normalized(counts, method, tmp_path / "out.h5ad", plan_write(counts, method))
    assert left_behind(tmp_path) == []


def test_json_says_what_was_written(source: Path, tmp_path: Path, capsys) -> None:
    out = tmp_path / "out.h5ad"
    assert run(source, "-m", "pearson_analytic", "--param", "theta=inf", "-o", out, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["method"] == "pearson_analytic" and said["cells"] == 300 and said["genes"] == 2000
    assert said["values"] == "X" and said["counts"] == "layers/counts" and said["sparse"] is False
    assert said["bytes"] == out.stat().st_size


def test_large_dense_output_is_announced(source: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(corpuscle.cli.normalize, "LARGE_BYTES", 1e6)
    assert run(source, "-m", "rank", "-o", tmp_path / "out.h5ad") == 0
    assert "300 cells x 2,000 genes are stored dense" in " ".join(capsys.readouterr().err.split())


def test_list_shows_every_method_with_its_formula(capsys) -> None:
    assert run("--list", "--json") == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["log1p_cp10k"] == {
        "method": "log1p_cp10k", "needs": "columns", "keeps_zeros": True, "formula": "ln(1 + 1e4 x / n)",
        "params": {"target": 1e4},
    }  # fmt: skip
    assert all(row["formula"] and row["needs"] in {"columns", "matrix"} for row in rows.values())
    assert run("--list") == 0
    assert "pearson_analytic" in capsys.readouterr().out


def test_another_packages_broken_method_does_not_hide_the_others(monkeypatch, capsys) -> None:
    from corpuscle.normalize import _registry

    class Broken:
        def load(self) -> None:
            raise ImportError("no module named nowhere")

    monkeypatch.setattr(_registry.PLUGINS, "external", {"theirs": Broken()})
    assert run("--list", "--json") == 0
    rows = {row["method"]: row for row in json.loads(capsys.readouterr().out)}
    assert "no module named nowhere" in rows["theirs"]["formula"] and "raw" in rows
    with pytest.raises(CorpuscleError, match="theirs of another package cannot be loaded: ImportError"):
        normalizer("theirs")
