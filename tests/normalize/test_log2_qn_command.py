"""``corpuscle normalize`` for bulk samples: dense in and out, fits that are saved, and runs that were stopped."""

import json
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from corpuscle.cli._app import main
from corpuscle.counts import Counts, open_counts
from corpuscle.normalize import QuantileNormalizer, load_fitted
from corpuscle.normalize import _write_units as units
from corpuscle.normalize.log2_qn import SortedSum


@pytest.fixture(scope="module")
def bulk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 dense samples (two units) x 50 genes."""
    rng = np.random.default_rng(3)
    x_ng = (rng.negative_binomial(1, 0.001, (300, 50)) * (rng.random((300, 50)) < 0.7)).astype(np.uint32)
    x_ng[:, 0] += 1
    path = tmp_path_factory.mktemp("bulk") / "bulk.h5ad"
    obs = pd.DataFrame({"tissue": ["a", "b"] * 150}, index=[f"GSM{i}" for i in range(300)])
    anndata.AnnData(x_ng, obs, pd.DataFrame(index=[f"g{i}" for i in range(50)])).write_h5ad(path)
    return path


def run(*args: object) -> int:
    return main(["normalize", *(str(arg) for arg in args)])


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def values_of(bulk: Path, train: np.ndarray | None = None, **params: object) -> np.ndarray:
    with open_counts(bulk) as counts:
        fitted = QuantileNormalizer(**params).fit(counts if train is None else counts.view(cells=train))
        return fitted.transform(counts, dtype=np.float32)


def test_values_and_counts_are_written_dense_without_a_pass_for_the_profile(
    bulk: Path, tmp_path: Path, monkeypatch
) -> None:
    monkeypatch.setattr(Counts, "profile", lambda self: pytest.fail("a pass that nobody needs"))
    out = tmp_path / "out.h5ad"
    assert run(bulk, "-m", "log2_qn", "-o", out) == 0
    written, source = anndata.read_h5ad(out), anndata.read_h5ad(bulk)
    np.testing.assert_array_equal(written.X, values_of(bulk))
    np.testing.assert_array_equal(written.layers["counts"], source.X)
    assert list(written.obs["tissue"]) == list(source.obs["tissue"])
    with h5py.File(out) as file:
        assert file["X"].dtype == np.float32 and file["X"].chunks == file["layers/counts"].chunks == (64, 50)
    assert names(tmp_path) == ["out.h5ad"]


def test_float16_without_counts(bulk: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.h5ad"
    assert run(bulk, "-m", "log2_qn", "-o", out, "--dtype", "float16", "--no-counts", "--param", "zero=keep") == 0
    with h5py.File(out) as file:
        assert file["X"].dtype == np.float16 and "counts" not in file["layers"]
        np.testing.assert_array_equal(file["X"][()], values_of(bulk, zero="keep").astype(np.float16))


def test_sparse_sources_keep_sparse_counts(bulk: Path, tmp_path: Path) -> None:
    import scipy.sparse as sp

    adata = anndata.read_h5ad(bulk)
    adata.X = sp.csr_matrix(adata.X.astype(np.int32))
    adata.write_h5ad(tmp_path / "sparse.h5ad")
    assert run(tmp_path / "sparse.h5ad", "-m", "log2_qn", "-o", tmp_path / "out.h5ad") == 0
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    np.testing.assert_array_equal(written.X, values_of(bulk))
    np.testing.assert_array_equal(written.layers["counts"].toarray(), adata.X.toarray())


def test_train_names_the_samples_to_fit_on(bulk: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "train.txt").write_text("GSM3\nGSM1\n\nnobody\n GSM7 \n")
    out, fit = tmp_path / "out.h5ad", tmp_path / "fit.npz"
    assert run(bulk, "-m", "log2_qn", "--train", tmp_path / "train.txt", "-o", out, "--save-fit", fit, "--json") == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["fitted_on"] == 3
    assert "1 of its 4 names are no sample" in said.err
    np.testing.assert_array_equal(anndata.read_h5ad(out).X, values_of(bulk, np.array([1, 3, 7])))
    assert load_fitted(fit)[1].n == 3


def test_a_saved_fit_gives_the_same_bytes_and_needs_no_method(bulk: Path, tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("\n".join(f"GSM{i}" for i in range(200)))
    fit, first, second = tmp_path / "fit.npz", tmp_path / "1.h5ad", tmp_path / "2.h5ad"
    assert run(bulk, "-m", "log2_qn", "--train", tmp_path / "train.txt", "--save-fit", fit) == 0
    assert names(tmp_path) == ["fit.npz", "train.txt"]  # only the target is made
    assert run(bulk, "-m", "log2_qn", "--train", tmp_path / "train.txt", "-o", first) == 0
    assert run(bulk, "--fit", fit, "-o", second) == 0
    np.testing.assert_array_equal(anndata.read_h5ad(first).X, anndata.read_h5ad(second).X)


def test_a_saved_fit_finds_its_genes_by_name(bulk: Path, tmp_path: Path, capsys) -> None:
    assert run(bulk, "-m", "log2_qn", "--save-fit", tmp_path / "fit.npz") == 0
    adata = anndata.read_h5ad(bulk)
    adata[:, ::-1].copy().write_h5ad(tmp_path / "turned.h5ad")
    assert run(tmp_path / "turned.h5ad", "--fit", tmp_path / "fit.npz", "-o", tmp_path / "out.h5ad") == 0
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert list(written.var_names) == list(adata.var_names)
    np.testing.assert_array_equal(written.X, values_of(bulk))
    adata[:, :49].copy().write_h5ad(tmp_path / "short.h5ad")
    capsys.readouterr()
    assert run(tmp_path / "short.h5ad", "--fit", tmp_path / "fit.npz", "-o", tmp_path / "no.h5ad") == 2
    assert "1 of the 50 genes of the saved fit of log2_qn are missing, such as g49" in capsys.readouterr().err


def test_reference_writes_only_the_genes_with_a_length(bulk: Path, tmp_path: Path) -> None:
    (tmp_path / "lengths.tsv").write_text("gene\tlength\ng4\t1000\ng2\t20\n")
    arguments = ("-m", "log2_qn", "--param", "preset=reference", "--length", tmp_path / "lengths.tsv")
    assert run(bulk, *arguments, "-o", tmp_path / "out.h5ad") == 0
    written = anndata.read_h5ad(tmp_path / "out.h5ad")
    assert list(written.var_names) == ["g2", "g4"]
    np.testing.assert_allclose(written.X, values_of(bulk)[:, [2, 4]] / [20, 1000], rtol=1e-6)
    np.testing.assert_array_equal(written.layers["counts"], anndata.read_h5ad(bulk).X[:, [2, 4]])


def test_flagged_samples_and_repeated_symbols_are_left_out(tmp_path: Path, capsys) -> None:
    x_ng = np.random.default_rng(0).poisson(200, (5, 12_000)).astype(np.uint32)
    x_ng[1] = 1  # shallow
    x_ng[:, 7] = 2 * x_ng[:, 3]
    genes = [f"g{i}" for i in range(12_000)]
    genes[3] = genes[7] = "TWIN"
    obs = pd.DataFrame({"singlecellprobability": [0, 0, 0.9, 0, 0.1]}, index=[f"GSM{i}" for i in range(5)])
    adata = anndata.AnnData(x_ng, obs)
    adata.var_names = genes
    adata.write_h5ad(tmp_path / "bulk.h5ad")
    out = tmp_path / "out.h5ad"
    assert run(tmp_path / "bulk.h5ad", "-m", "log2_qn", "-o", out, "--drop-flagged", "--one-per-symbol") == 0
    said = capsys.readouterr().err
    assert "2 of 5 samples are left out (1 single cell like, 1 shallow)" in " ".join(said.split())
    written = anndata.read_h5ad(out)
    assert list(written.obs_names) == ["GSM0", "GSM3", "GSM4"] and written.n_vars == 11_999
    np.testing.assert_array_equal(written[:, "TWIN"].layers["counts"].ravel(), x_ng[[0, 3, 4], 7])


# -- runs that are stopped -----------------------------------------------------------------------------------


def stop_while_writing(monkeypatch) -> None:
    def fail(self, block) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(units.DenseWriter, "append", fail)


def count_fits(monkeypatch) -> list[int]:
    passes: list[int] = []
    update = SortedSum.update
    monkeypatch.setattr(
        SortedSum, "update", lambda self, block: (passes.append(len(block.x_ng)), update(self, block))[1]
    )
    return passes


def test_a_run_stopped_while_it_wrote_does_not_fit_again(bulk: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "out.h5ad"
    with monkeypatch.context() as stopped:
        stop_while_writing(stopped)
        assert run(bulk, "-m", "log2_qn", "-o", out) == 130
    assert names(tmp_path) == [".out.h5ad.fit.npz"]
    passes = count_fits(monkeypatch)
    assert run(bulk, "-m", "log2_qn", "-o", out) == 0
    assert not passes and "that fit is used" in capsys.readouterr().err
    assert names(tmp_path) == ["out.h5ad"]
    np.testing.assert_array_equal(anndata.read_h5ad(out).X, values_of(bulk))


@pytest.mark.parametrize("change", ["source", "params", "train", "damage"])
def test_a_fit_of_anything_else_is_not_used(change: str, bulk: Path, tmp_path: Path, monkeypatch) -> None:
    out, source, args = tmp_path / "out.h5ad", tmp_path / "in.h5ad", []
    source.write_bytes(bulk.read_bytes())
    with monkeypatch.context() as stopped:
        stop_while_writing(stopped)
        assert run(source, "-m", "log2_qn", "-o", out) == 130
    if change == "source":
        adata = anndata.read_h5ad(source)
        adata.X[0, 0] += 1000
        adata.write_h5ad(source)
    elif change == "params":
        args = ["--param", "zero=keep"]
    elif change == "train":
        (tmp_path / "train.txt").write_text("GSM1\nGSM2\n")
        args = ["--train", tmp_path / "train.txt"]
    else:
        (tmp_path / ".out.h5ad.fit.npz").write_bytes(b"PK")
    passes = count_fits(monkeypatch)
    assert run(source, "-m", "log2_qn", "-o", out, *args) == 0
    assert sum(passes) == (2 if change == "train" else 300)
    assert ".out.h5ad.fit.npz" not in names(tmp_path)


# -- what is refused -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-m", "log2_qn"], "give SOURCE, --method and -o"),
        (["-m", "log2_qn", "-o", "OUT", "--train", "NONE"], "none of its 2 names is a sample of"),
        (["-m", "log2_qn", "-o", "OUT", "--train", "ABSENT"], "cannot be read: No such file"),
        (["-m", "log2_qn", "-o", "OUT", "--dtype", "int8"], "dtype is 'int8' and must be one of: float32, float16"),
        (["-m", "log1p_pf", "-o", "OUT", "--dtype", "float16"], "log1p_pf is written as float32"),
        (["-m", "magic", "-o", "OUT", "--train", "NONE"], "magic knows only the cells it is fitted on"),
        (["-m", "log2_qn", "--fit", "ABSENT", "-o", "OUT"], "there is no such file"),
        (["--fit", "FIT", "-m", "cpm", "-o", "OUT"], "holds a fit of log2_qn, not of cpm"),
        (["--fit", "FIT", "-o", "OUT", "--param", "zero=keep"], "--fit applies what was saved"),
        (["-m", "log2_qn", "--save-fit", "FIT"], "is there already; give another name, or --force"),
        (["-m", "log2_qn", "-o", "OUT", "--length", "NONE"], "lengths of genes go together"),
        (["-m", "log2_qn", "-o", "OUT", "--drop-flagged"], "all 300 samples are flagged"),
    ],
)
def test_a_mistake_is_one_line(args: list[str], message: str, bulk: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "none.txt").write_text("x\ny\n")
    assert run(bulk, "-m", "log2_qn", "--save-fit", tmp_path / "fit.npz") == 0
    capsys.readouterr()
    places = {"OUT": "out.h5ad", "NONE": "none.txt", "ABSENT": "absent", "FIT": "fit.npz"}
    assert run(bulk, *(str(tmp_path / places[arg]) if arg in places else arg for arg in args)) == 2
    error = capsys.readouterr().err.splitlines()
    assert error[-1].startswith("error: ") and message in error[-1]
    assert names(tmp_path) == ["fit.npz", "none.txt"]
