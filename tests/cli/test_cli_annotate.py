"""``corpuscle annotate`` and ``corpuscle refine``: what they add, what they leave alone, and how they refuse."""

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

import corpuscle.cli.annotate
import corpuscle.cli.refine  # noqa: F401 - the commands register when they are imported
from corpuscle.cli import main
from corpuscle.datasets import bundled_path

MARKERS = """type,gene,cl_id
B cell,CD79A,CL:0000236
B cell,MS4A1,CL:0000236
monocyte,LYZ,CL:0000576
monocyte,S100A8,CL:0000576
naive T cell,IL7R,CL:0000898
naive T cell,CD3E,CL:0000898
NK,GNLY,CL:0000623
NK,NKG7,CL:0000623
"""
TYPES = ["B cell", "monocyte", "naive T cell", "NK"]


def knn_weights(x_nd, k=10):
    """Symmetric neighbour weights without the compilation that a real graph costs."""
    distance = ((x_nd[:, None] - x_nd[None]) ** 2).sum(-1)
    np.fill_diagonal(distance, np.inf)
    nearest = np.argsort(distance, axis=1)[:, :k]
    n = len(x_nd)
    weights = sp.csr_matrix((np.full(n * k, 0.5), (np.repeat(np.arange(n), k), nearest.ravel())), (n, n))
    return sp.csr_matrix(weights + weights.T)


@pytest.fixture(scope="module")
def cells():
    """250 blood cells with a graph, a map, and columns of their own."""
    adata = anndata.read_h5ad(bundled_path("pbmc_1k_v3"))[:250].copy()
    chosen = ["CD79A", "MS4A1", "LYZ", "S100A8", "IL7R", "CD3E", "GNLY", "NKG7", "CD3D", "CST3"]
    logged = np.log1p(adata[:, chosen].X.toarray() / adata.X.sum(axis=1).A1[:, None] * 1e4)
    adata.obsm["X_umap"] = logged[:, :2].astype("f4")
    adata.obsp["own_graph"] = knn_weights(logged)
    adata.uns["own"] = {"connectivities_key": "own_graph", "params": {"n_neighbors": 11}}
    adata.obs["plate"] = pd.Categorical(["a", "b"] * 125)
    adata.obs["annotated_by"] = "nobody"
    return adata


@pytest.fixture
def source(cells, tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    cells.write_h5ad(folder / "cells.h5ad")
    (folder / "markers.csv").write_text(MARKERS)
    return folder / "cells.h5ad"


@pytest.fixture
def markers(source):
    return source.parent / "markers.csv"


def run(capsys, *args):
    code = main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def refused(capsys, *args):
    """The one line of a refusal, after checking that it is one."""
    code, out, err = run(capsys, *args)
    lines = [line for line in err.splitlines() if not line.startswith("note:")]
    assert (code, out) == (2, "") and len(lines) == 1 and lines[0].startswith("error: "), (code, out, err)
    return lines[0]


# -- annotate --------------------------------------------------------------------------------------------------


def test_names_are_added_and_everything_else_stays(source, markers, cells, tmp_path, capsys):
    file = tmp_path / "named.h5ad"
    code, out, err = run(capsys, "annotate", source, "--markers", markers, "-o", file)
    assert (code, out) == (0, "")
    assert "250 cells named by markers" in err and "B cell" in err and "CL:0000236" in err
    made = anndata.read_h5ad(file)
    assert list(made.obs["annotation"].cat.categories) == TYPES
    assert list(made.obsm["annotation_scores"]) == TYPES
    best = made.obsm["annotation_scores"].to_numpy().argmax(axis=1)
    np.testing.assert_array_equal(made.obs["annotation"].cat.codes, best)
    assert (made.obs["annotation_margin"] >= 0).all()
    b_cells = (made.obs["annotation"] == "B cell").to_numpy()
    assert set(made.obs["annotation_cl_id"][b_cells]) == {"CL:0000236"}
    has_cd79a = cells[:, "CD79A"].X.toarray().ravel() > 0
    assert has_cd79a[b_cells].mean() > 0.8 and has_cd79a[~b_cells].mean() < 0.2
    assert (made.X != cells.X).nnz == 0 and made.var.equals(cells.var)
    for name in cells.obs:
        pd.testing.assert_series_equal(made.obs[name], cells.obs[name], check_dtype=False, check_categorical=False)
    assert set(cells.uns) <= set(made.uns) and {"own_graph"} == set(made.obsp) and "X_umap" in made.obsm
    assert [path.name for path in tmp_path.iterdir() if path.name != "in"] == ["named.h5ad"]


def test_the_matrix_is_copied_and_never_decoded(source, markers, tmp_path, capsys):
    """A layer that cannot be read as anything stays, byte for byte."""
    with h5py.File(source, "r+") as file:
        odd = file.create_group("layers/odd")
        odd.attrs["encoding-type"], odd.attrs["encoding-version"] = "no such encoding", "9"
        odd.create_dataset("bytes", data=np.arange(5))
    file = tmp_path / "named.h5ad"
    assert run(capsys, "annotate", source, "--markers", markers, "-o", file)[0] == 0
    with h5py.File(file) as made:
        np.testing.assert_array_equal(made["layers/odd/bytes"], np.arange(5))


def test_json_says_what_is_in_the_file(source, markers, tmp_path, capsys):
    code, out, _ = run(
        capsys, "annotate", source, "--markers", markers, "--refine", "--no-guard", "--neighbors", "own",
        "-o", tmp_path / "n.h5ad", "--json",
    )  # fmt: skip
    said, made = json.loads(out), anndata.read_h5ad(tmp_path / "n.h5ad")
    assert code == 0 and said["cells"] == 250 and said["refined"] and said["lam"] == 1
    assert {row["type"]: row["cells"] for row in said["types"]} == made.obs["refined_label"].value_counts().to_dict()
    assert said["changed"] == int(made.obs["refined_changed"].sum()) > 0
    changed = made.obs["refined_label"].astype(str) != made.obs["annotation"].astype(str)
    np.testing.assert_array_equal(changed, made.obs["refined_changed"])


def test_refinement_needs_no_graph_in_the_file(source, markers, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("corpuscle.annotate._cell_graph.umap_graph", lambda x_nd, k, seed: knn_weights(x_nd, k))
    file = tmp_path / "n.h5ad"
    code, _, _ = run(capsys, "annotate", source, "--markers", markers, "--refine", "--no-guard", "-o", file)
    made = anndata.read_h5ad(file)
    assert code == 0 and made.obsm["refined_pca"].shape[0] == 250
    graph = made.uns["refined_neighbors"]
    assert made.obsp[graph["connectivities_key"]].shape == (250, 250)
    assert graph["params"]["use_rep"] == "refined_pca"
    assert made.uns["own"]["connectivities_key"] == "own_graph"


def test_naming_again_leaves_nothing_of_the_first_time(source, markers, tmp_path, capsys):
    first, second = tmp_path / "1.h5ad", tmp_path / "2.h5ad"
    options = ["--refine", "--no-guard", "--neighbors", "own", "--level", "broad"]
    assert run(capsys, "annotate", source, "--markers", markers, *options, "-o", first)[0] == 0
    assert run(capsys, "annotate", first, "--markers", markers, "--types", "NK,monocyte", "-o", second)[0] == 0
    made = anndata.read_h5ad(second)
    assert list(made.obs["annotation"].cat.categories) == ["NK", "monocyte"]
    assert not [name for name in (*made.obs, *made.obsm, *made.uns) if name.startswith(("refined", "rolled"))]
    assert list(made.obs["plate"][:2]) == ["a", "b"]


def test_labels_are_rolled_up_and_what_has_no_place_says_so(source, markers, tmp_path, capsys):
    file = tmp_path / "n.h5ad"
    code, _, _ = run(
        capsys,
        "annotate",
        source,
        "--markers",
        markers,
        "--level",
        "CL:0000084;CL:0000945;myeloid leukocyte",
        "-o",
        file,
    )
    made = anndata.read_h5ad(file)
    assert code == 0
    pairs = set(zip(made.obs["annotation"].astype(str), made.obs["rolled_up"].astype(object), strict=True))
    assert ("naive T cell", "T cell") in pairs and ("B cell", "lymphocyte of B lineage") in pairs
    assert ("monocyte", "myeloid leukocyte") in pairs
    assert made.obs["rolled_up"][made.obs["annotation"] == "NK"].isna().all()
    assert list(made.uns["rolled_up"]["left_out"]) == ["NK"]


def test_other_formats_become_an_h5ad_with_their_counts(cells, markers, tmp_path, capsys):
    table = cells.to_df().loc[:, lambda x: (x > 0).sum() > 20]
    table.to_csv(tmp_path / "cells.csv")
    file = tmp_path / "n.h5ad"
    assert run(capsys, "annotate", tmp_path / "cells.csv", "--markers", markers, "-o", file)[0] == 0
    made = anndata.read_h5ad(file)
    np.testing.assert_array_equal(made.X.toarray(), table.to_numpy())
    assert list(made.obs_names) == list(cells.obs_names) and "annotation" in made.obs


def test_scores_of_a_file_in_either_orientation(source, cells, tmp_path, capsys):
    scores = pd.DataFrame(np.random.default_rng(0).normal(size=(250, 3)), cells.obs_names, ["x", "y", "z"])
    scores[::-1].to_csv(tmp_path / "cells.csv")
    scores.T.to_csv(tmp_path / "texts.csv")
    for name in ("cells", "texts"):
        file = tmp_path / f"{name}.h5ad"
        code, _, _ = run(
            capsys, "annotate", source, "--scores", "file", "--matrix", tmp_path / f"{name}.csv", "-o", file
        )
        made = anndata.read_h5ad(file)
        assert code == 0
        assert list(made.obs["annotation"]) == list(scores.columns[scores.to_numpy().argmax(axis=1)])
    scores.iloc[:200].to_csv(tmp_path / "few.csv")
    line = refused(
        capsys, "annotate", source, "--scores", "file", "--matrix", tmp_path / "few.csv", "-o", tmp_path / "few.h5ad"
    )
    assert "cell" in line and not (tmp_path / "few.h5ad").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--scores", "magic"], "must be one of: markers, celltypist"),
        (["--scores", "celltypist"], "--model"),
        (["--scores", "reference", "--reference", "x.h5ad"], "--labels"),
        (["--scores", "file"], "--matrix"),
        (["--scores", "text"], "--types"),
        (["--lam", "2"], "add --refine"),
        (["--refine", "--lam", "much"], "neither a number nor auto"),
        (["--level", "no such cell"], "no such cell"),
        (["--organs", "blood"], "leave them out"),
        (["--refine", "--no-guard", "--neighbors", "nobody"], "no neighbours 'nobody'"),
        (["--refine", "--no-guard", "--use-rep", "X_none"], "no representation 'X_none'"),
    ],
)
def test_a_mistake_is_one_line_and_leaves_nothing(source, markers, tmp_path, capsys, options, words):
    line = refused(capsys, "annotate", source, "--markers", markers, "-o", tmp_path / "n.h5ad", *options)
    assert words in line
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_targets_that_must_not_be_written(source, markers, tmp_path, capsys):
    before = source.read_bytes()
    call = ["annotate", source, "--markers", markers, "-o"]
    assert "is the source itself" in refused(capsys, *call, source, "--force")
    assert "must end in .h5ad" in refused(capsys, *call, tmp_path / "n.csv")
    assert "there is no folder" in refused(capsys, *call, tmp_path / "none" / "n.h5ad")
    (tmp_path / "n.h5ad").write_text("mine")
    assert "--force" in refused(capsys, *call, tmp_path / "n.h5ad")
    assert (tmp_path / "n.h5ad").read_text() == "mine" and source.read_bytes() == before
    assert run(capsys, *call, tmp_path / "n.h5ad", "--force")[0] == 0
    assert anndata.read_h5ad(tmp_path / "n.h5ad").n_obs == 250


def test_a_full_disk_is_one_line_and_leaves_nothing(source, markers, tmp_path, capsys, monkeypatch):
    written, real = [0], os.pwrite

    def pwrite(file, data, at):
        written[0] += len(data)
        if written[0] > source.stat().st_size + 5000:  # when the copy is done and the first columns are written
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file, data, at)

    monkeypatch.setattr(os, "pwrite", pwrite)
    line = refused(capsys, "annotate", source, "--markers", markers, "-o", tmp_path / "n.h5ad")
    assert "No space left" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_a_damaged_source_is_one_line(source, markers, tmp_path, capsys):
    source.write_bytes(source.read_bytes()[: source.stat().st_size // 2])
    assert "cells.h5ad" in refused(capsys, "annotate", source, "--markers", markers, "-o", tmp_path / "n.h5ad")


# -- refine ----------------------------------------------------------------------------------------------------


@pytest.fixture
def scored(cells, tmp_path):
    """The same cells with scores of their own in obsm, of types with awkward names."""
    adata = cells.copy()
    values = np.random.default_rng(1).normal(size=(250, 3)) + 2 * np.eye(3)[np.arange(250) % 3]
    adata.obsm["own_scores"] = values
    adata.uns["own_scores"] = {"classes": np.array(["CD4/CD8", "<b>NK</b>", "$x_1$"], dtype=object)}
    path = tmp_path / "scored.h5ad"
    adata.write_h5ad(path)
    return path


def refine(capsys, scored, out, *options):
    return run(
        capsys, "refine", scored, "--logits", "own_scores", "--neighbors", "own", "--no-guard", "-o", out, *options
    )


def test_refining_reads_no_expression(scored, tmp_path, capsys):
    with h5py.File(scored, "r+") as file:
        del file["X"]
    code, out, err = refine(capsys, scored, tmp_path / "r.h5ad")
    assert (code, out) == (0, "") and "changed by refinement" in err
    with h5py.File(tmp_path / "r.h5ad") as file, h5py.File(scored) as before:
        np.testing.assert_array_equal(file["obsm/own_scores"], before["obsm/own_scores"])
        assert {"refined_label", "refined_margin", "refined_confidence", "refined_changed"} <= set(file["obs"])


def test_strength_zero_changes_nothing_and_the_same_call_gives_the_same_file(scored, tmp_path, capsys):
    assert refine(capsys, scored, tmp_path / "0.h5ad", "--lam", "0")[0] == 0
    zero = anndata.read_h5ad(tmp_path / "0.h5ad")
    assert not zero.obs["refined_changed"].any()
    best = np.array(["CD4/CD8", "<b>NK</b>", "$x_1$"])[zero.obsm["own_scores"].argmax(axis=1)]
    assert list(zero.obs["refined_label"]) == list(best)
    made = []
    for name in ("a", "b"):
        assert refine(capsys, scored, tmp_path / f"{name}.h5ad")[0] == 0
        made.append(np.asarray(anndata.read_h5ad(tmp_path / f"{name}.h5ad").obsm["refined_logits"]))
    np.testing.assert_array_equal(*made)


def test_no_solution_no_file(scored, tmp_path, capsys):
    code, _, err = refine(
        capsys, scored, tmp_path / "r.h5ad", "--solver", "pcg", "--tol", "1e-12", "--max-iter", "1", "--lam", "10"
    )
    assert code == 2 and "nothing was written: raise --max-iter, or --tol" in err
    assert not (tmp_path / "r.h5ad").exists()


def test_a_result_of_a_name_of_its_own_and_cells_left_unnamed(scored, tmp_path, capsys):
    code, _, _ = refine(
        capsys, scored, tmp_path / "r.h5ad", "--key-added", "smooth", "--unassigned", "0.2", "--gate", "0.5"
    )
    made = anndata.read_h5ad(tmp_path / "r.h5ad")
    assert code == 0 and "refined_label" not in made.obs
    low = made.obs["smooth_margin"] < 0.2
    assert low.any() and set(made.obs["smooth_label"][low]) == {"unassigned"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--logits", "nothing"], "no scores 'nothing'; it has: X_umap, own_scores"),
        (["--lam", "-1"], "lam"),
        (["--laplacian", "round"], "unnormalized"),
        (["--transform", "cube"], "zscore"),
        (["--gate", "2"], "gate"),
        (["--key-added", "own_scores"], "overwrite"),
    ],
)
def test_wrong_options_of_refine(scored, tmp_path, capsys, options, words):
    call = ["refine", scored, "--logits", "own_scores", "--neighbors", "own", "--no-guard", "-o", tmp_path / "r.h5ad"]
    assert words in refused(capsys, *call, *options)
    assert not (tmp_path / "r.h5ad").exists()


def test_a_page_beside_the_file(scored, tmp_path, capsys):
    code, _, err = refine(capsys, scored, tmp_path / "r.h5ad", "--report", tmp_path / "page")
    html = (tmp_path / "page" / "report.html").read_text()
    assert code == 0 and f"page: {tmp_path / 'page' / 'report.html'}" in err
    assert "<b>NK</b>" not in html and "&lt;b&gt;NK&lt;/b&gt;" in html
    (tmp_path / "r.h5ad").unlink()
    code, _, err = refine(capsys, scored, tmp_path / "r.h5ad", "--report", tmp_path / "page")
    assert code == 2 and "report.html already" in err and not (tmp_path / "r.h5ad").exists()


def test_guards_are_on_by_default(scored, tmp_path, capsys):
    code, out, _ = run(
        capsys, "refine", scored, "--logits", "own_scores", "--neighbors", "own", "-o", tmp_path / "r.h5ad", "--json"
    )
    made = anndata.read_h5ad(tmp_path / "r.h5ad")
    assert code == 0 and made.uns["refined"]["params"]["guard"]
    assert json.loads(out)["cells"] == 250
