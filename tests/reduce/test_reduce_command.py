"""``corpuscle reduce``: what it reads, what it writes, what it says, and how it refuses."""

from __future__ import annotations

import errno
import json
import os

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from corpuscle.cli import main
from corpuscle.cli.reduce import components_of
from corpuscle.datasets import bundled_path
from corpuscle.errors import OptionError
from corpuscle.reduce import UnbiasedPCA, dropout_mask


@pytest.fixture(scope="module")
def cells():
    """200 blood cells with the counts of 400 genes."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:200]
    adata = adata[:, np.sort(np.argsort(-adata.X.toarray().mean(axis=0))[:400])].copy()
    adata.obs["plate"] = pd.Categorical(["a", "b"] * 100)
    adata.obsm["X_old"] = np.zeros((200, 2), "f4")
    return adata


@pytest.fixture(scope="module")
def gaps():
    rng = np.random.default_rng(0)
    return rng.random((200, 400)) < rng.uniform(0, 0.6, (200, 1))


@pytest.fixture
def counts(cells, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    cells.write_h5ad(folder / "counts.h5ad")
    return folder / "counts.h5ad"


def log_values(cells):
    return np.log1p(cells.X.toarray() / cells.X.sum(axis=1).A1[:, None] * 1e4)


def run(capsys, *args):
    code = main(["reduce", *(str(arg) for arg in args)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def done(capsys, *args):
    code, out, err = run(capsys, *args, "--json")
    assert code == 0, err
    return json.loads(out)


def refused(capsys, *args):
    """The one line of a refusal, after checking that it is one."""
    code, out, err = run(capsys, *args)
    assert code == 2
    assert not out
    lines = err.strip().splitlines()
    assert lines[-1].startswith("error: ")
    assert sum(line.startswith("error") for line in lines) == 1
    return lines[-1]


# -- what is read and written ----------------------------------------------------------------------------------


def test_counts_with_dropouts_become_components_beside_the_rest_of_their_file(capsys, counts, cells, tmp_path):
    out = tmp_path / "out.h5ad"
    said = done(capsys, counts, "--mask", "zeros-consensus", "--n-components", 8, "-o", out)
    made = anndata.read_h5ad(out)
    assert (made.X != cells.X).nnz == 0
    assert list(made.obs["plate"]) == list(cells.obs["plate"])
    assert {"X_old", "X_unbiased_pca"} <= set(made.obsm)
    mask = dropout_mask(cells.X, warn=False)
    expected_nk = UnbiasedPCA(8, random_state=0).fit_transform(sp.csr_matrix(log_values(cells), dtype="f4"), mask=mask)
    np.testing.assert_allclose(made.obsm["X_unbiased_pca"], expected_nk, atol=1e-3)
    np.testing.assert_allclose(made.obs["observed_share"], 1 - mask.missing_by_cell(cells.X) / 400)
    assert said["n_missing"] == mask.n_missing(cells.X)
    assert said["params"]["log"] is True
    assert said["params"]["threshold"] == 0.85
    assert any("does not depend on its value" in line for line in said["notes"])


def test_fewer_zeros_are_missing_at_a_lower_threshold(capsys, counts, tmp_path):
    shares = [
        done(
            capsys,
            counts,
            "--mask",
            "zeros-consensus",
            "--n-components",
            3,
            "--threshold",
            cut,
            "-o",
            tmp_path / f"{cut}.h5ad",
        )
        for cut in (0.5, 0.95)
    ]
    assert shares[0]["n_missing"] < shares[1]["n_missing"]


def test_every_kind_of_file_with_gaps_gives_the_same_components(capsys, counts, cells, gaps, tmp_path):
    values_nd = log_values(cells)
    gappy_nd = np.where(gaps, np.nan, values_nd)
    frame = pd.DataFrame(gappy_nd, index=cells.obs_names, columns=cells.var_names)
    frame.to_csv(tmp_path / "gappy.csv")
    frame.to_csv(tmp_path / "gappy.tsv.gz", sep="\t")
    np.save(tmp_path / "gappy.npy", gappy_nd)
    dense = anndata.AnnData(X=gappy_nd, obs=cells.obs, var=cells.var, layers={"seen": ~gaps})
    dense.write_h5ad(tmp_path / "dense.h5ad")
    anndata.AnnData(X=sp.csr_matrix(gappy_nd), obs=cells.obs[[]], var=cells.var[[]]).write_h5ad(
        tmp_path / "sparse.h5ad"
    )
    full = anndata.AnnData(X=values_nd, obs=cells.obs[[]], var=cells.var[[]], layers={"seen": ~gaps})
    full.write_h5ad(tmp_path / "full.h5ad")
    np.save(tmp_path / "seen.npy", ~gaps)
    sp.save_npz(tmp_path / "gaps.npz", sp.csr_matrix(gaps))
    ways = {
        "gappy.csv": [], "gappy.tsv.gz": [], "gappy.npy": [], "dense.h5ad": [], "sparse.h5ad": [],
        "full.h5ad": ["--mask", "layer:seen"],
    }  # fmt: skip
    found = {}
    for k, (name, options) in enumerate(
        [*ways.items(), ("full.h5ad", ["--mask", tmp_path / "seen.npy"]),
         ("full.h5ad", ["--mask", tmp_path / "gaps.npz", "--marks", "missing"])]
    ):  # fmt: skip
        out = tmp_path / f"out{k}.h5ad"
        assert done(capsys, tmp_path / name, *options, "--n-components", 5, "-o", out)["n_missing"] == gaps.sum()
        found[k] = anndata.read_h5ad(out)
        assert np.array_equal(found[k].obs_names, cells.obs_names) or name.endswith("npy")
    expected_nk = UnbiasedPCA(5, random_state=0).fit_transform(gappy_nd)
    for made in found.values():
        np.testing.assert_allclose(made.obsm["X_unbiased_pca"], expected_nk, atol=1e-4)
    np.testing.assert_allclose(found[0].X, gappy_nd)
    assert np.array_equal(found[3].layers["seen"], ~gaps)


def test_genes_are_chosen_by_dispersion_or_by_observed_variance(capsys, counts, cells, gaps, tmp_path):
    said = done(capsys, counts, "--hvg", 50, "--n-components", 3, "-o", tmp_path / "a.h5ad")
    assert said["params"]["n_genes"] == len(said["genes"]) == 50
    gappy_nd = np.where(gaps, np.nan, log_values(cells))
    pd.DataFrame(gappy_nd, columns=cells.var_names).to_csv(tmp_path / "gappy.csv")
    said = done(capsys, tmp_path / "gappy.csv", "--hvg", 50, "--n-components", 3, "-o", tmp_path / "b.h5ad")
    assert set(said["genes"]) == set(cells.var_names[np.argsort(-np.nanvar(gappy_nd, axis=0))[:50]])


def test_nothing_missing_is_said(capsys, counts, tmp_path):
    code, out, err = run(capsys, counts, "--n-components", 3, "-o", tmp_path / "a.h5ad")
    assert code == 0
    assert not out
    assert "note: nothing is missing" in err
    assert "0.0% of 200 x 400 entries" in err


def test_the_scree_test_and_a_share_choose_the_number(capsys, counts, tmp_path):
    few = done(capsys, counts, "--n-components", "cng", "-o", tmp_path / "a.h5ad")["components"]
    most = done(capsys, counts, "--n-components", "0.9", "-o", tmp_path / "b.h5ad")["components"]
    assert 3 <= few < most < 200


@pytest.mark.parametrize(("text", "value"), [("7", 7), ("0.9", 0.9), ("cng", "cng"), ("all", "all")])
def test_numbers_of_components(text, value):
    assert components_of(text) == value
    assert type(components_of(text)) is type(value)


@pytest.mark.parametrize("text", ["0", "-3", "1.5", "1.0", "many", "nan", "inf"])
def test_numbers_of_components_that_make_no_sense(text):
    with pytest.raises(OptionError, match="--n-components"):
        components_of(text)


def test_the_same_seed_gives_the_same_file(capsys, counts, tmp_path):
    made = []
    for name in ("a.h5ad", "b.h5ad"):
        done(capsys, counts, "--mask", "zeros-consensus", "--n-components", 4, "--seed", 3, "-o", tmp_path / name)
        made.append(anndata.read_h5ad(tmp_path / name).obsm["X_unbiased_pca"])
    np.testing.assert_array_equal(*made)


# -- the page --------------------------------------------------------------------------------------------------


def test_the_page_compares_with_zero_filling_and_escapes_names(capsys, cells, gaps, tmp_path):
    gappy_nd = np.where(gaps, np.nan, log_values(cells))
    names = ["<script>alert(1)</script>", *cells.obs_names[1:]]
    pd.DataFrame(gappy_nd, index=names, columns=cells.var_names).to_csv(tmp_path / "gappy.csv")
    said = done(
        capsys, tmp_path / "gappy.csv", "--n-components", 6, "--report", tmp_path / "page", "-o", tmp_path / "a.h5ad"
    )
    page = (tmp_path / "page" / "report.html").read_text(encoding="utf-8")
    assert said["report"].endswith("report.html")
    assert "<script>alert(1)" not in page
    share_n = 1 - gaps.mean(axis=1)
    filled_nd = np.where(gaps, 0, gappy_nd)
    zero_n = np.linalg.svd(filled_nd - filled_nd.mean(axis=0), full_matrices=False)[0][:, 0]
    assert f"and {abs(np.corrcoef(share_n, zero_n)[0, 1]):.2f} with the first zero-filled one" in page
    assert "No probability had to be clipped" in page or "probabilities were clipped" in page
    assert page.count('class="shape" d="M') >= 6
    assert "default-src" in page


def test_a_page_that_is_there_is_kept_unless_forced(capsys, counts, tmp_path):
    (tmp_path / "page").mkdir()
    (tmp_path / "page" / "report.html").write_text("mine")
    line = refused(capsys, counts, "--report", tmp_path / "page", "-o", tmp_path / "a.h5ad")
    assert "report.html" in line
    assert not (tmp_path / "a.h5ad").exists()
    assert (tmp_path / "page" / "report.html").read_text() == "mine"


# -- refusals --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--mask", "holes"], "zeros-consensus"),
        (["--mask", "layer:spliced"], "spliced"),
        (["--mask", "nothere.npy"], "no such file"),
        (["--marks", "seen", "--mask", "layer:self"], "observed or missing"),
        (["--n-components", "none"], "--n-components"),
        (["--estimator", "best"], "best"),
        (["--propensity", "guess"], "guess"),
        (["--solver", "magic"], "magic"),
        (["--center", "median"], "median"),
        (["--hvg", "1"], "--hvg"),
        (["--threshold", "0.7"], "--threshold"),
        (["--mask", "zeros-consensus", "--threshold", "7"], "threshold"),
        (["--layer", "spliced"], "spliced"),
    ],
)
def test_options_that_make_no_sense_leave_nothing_behind(capsys, cells, tmp_path, options, words):
    source = tmp_path / "in.h5ad"
    adata = cells.copy()
    adata.layers["self"] = (adata.X != 0).astype("i1")
    adata.write_h5ad(source)
    assert words in refused(capsys, source, *options, "-o", tmp_path / "a.h5ad")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5ad"]


def test_a_target_that_is_there_or_is_the_source_is_refused(capsys, counts, tmp_path):
    (tmp_path / "a.h5ad").write_text("mine")
    assert "--force" in refused(capsys, counts, "-o", tmp_path / "a.h5ad")
    assert (tmp_path / "a.h5ad").read_text() == "mine"
    assert "source itself" in refused(capsys, counts, "-o", counts, "--force")
    assert ".h5ad" in refused(capsys, counts, "-o", tmp_path / "a.csv")


def test_values_that_are_no_counts_have_no_dropouts(capsys, cells, tmp_path):
    adata = cells.copy()
    adata.X = sp.csr_matrix(log_values(cells))
    adata.write_h5ad(tmp_path / "logged.h5ad")
    line = refused(capsys, tmp_path / "logged.h5ad", "--mask", "zeros-consensus", "-o", tmp_path / "a.h5ad")
    assert "count" in line
    said = done(capsys, tmp_path / "logged.h5ad", "--mask", "zeros-consensus", "--no-log", "-o", tmp_path / "a.h5ad")
    assert said["n_missing"] > 0
    assert said["params"]["log"] is False


def test_a_mask_of_another_shape_and_one_that_is_no_mask_are_refused(capsys, counts, tmp_path):
    np.save(tmp_path / "small.npy", np.ones((200, 3), bool))
    np.save(tmp_path / "real.npy", np.full((200, 400), 0.5))
    np.save(tmp_path / "objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "broken.npz").write_bytes(b"PK no")
    for name, words in (
        ("small", "shape"),
        ("real", "0.5"),
        ("objects", "cannot be read"),
        ("broken", "cannot be read"),
    ):
        suffix = "npz" if name == "broken" else "npy"
        assert words in refused(capsys, counts, "--mask", tmp_path / f"{name}.{suffix}", "-o", tmp_path / "a.h5ad")
    assert not (tmp_path / "a.h5ad").exists()


@pytest.mark.parametrize(
    ("content", "words"), [("", "not a table"), ("id,a,b\nx,1,two\n", "not a table"), ("id,a,b\n", "no values")]
)
def test_tables_that_are_none_are_refused(capsys, tmp_path, content, words):
    (tmp_path / "bad.csv").write_text(content)
    assert words in refused(capsys, tmp_path / "bad.csv", "-o", tmp_path / "a.h5ad")


def test_a_cell_without_values_is_named(capsys, cells, tmp_path):
    values_nd = log_values(cells)
    values_nd[7] = np.nan
    np.save(tmp_path / "values.npy", values_nd)
    assert "row 7" in refused(capsys, tmp_path / "values.npy", "-o", tmp_path / "a.h5ad")


@pytest.mark.parametrize("kind", ["h5ad", "csv"])
def test_a_full_disk_leaves_no_file(capsys, counts, cells, gaps, tmp_path, monkeypatch, kind):
    source = counts
    if kind == "csv":
        source = tmp_path / "in" / "gappy.csv"
        pd.DataFrame(np.where(gaps, np.nan, log_values(cells)), columns=cells.var_names).to_csv(source)
    real = os.pwrite
    written = []

    def full(file, data, at):
        written.append(len(data))
        if sum(written) > 60_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(file, data, at)

    monkeypatch.setattr(os, "pwrite", full)
    assert "No space left" in refused(capsys, source, "--n-components", 3, "-o", tmp_path / "a.h5ad")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_the_file_is_read_by_h5py_as_anndata_writes_it(capsys, counts, tmp_path):
    done(capsys, counts, "--n-components", 3, "-o", tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad") as file:
        assert file["obsm/X_unbiased_pca"].shape == (200, 3)
        assert "observed_share" in list(file["obs"].attrs["column-order"])
