"""``corpuscle genes``: its files, its page, and how it refuses."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from anndata import AnnData
from tests.pages import Seen, rows_of

from corpuscle.bulk import gene_metrics
from corpuscle.cli import main
from corpuscle.counts import open_counts
from corpuscle.report.genes_page import genes_page

EVIL = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def adata():
    rng = np.random.default_rng(0)
    x_ng = rng.poisson(rng.gamma(0.6, 15.0, (120, 30))).astype(np.int32)
    x_ng[:, 4] = np.where(np.arange(120) < 8, 4000, 0)
    x_ng[:, 5] = 0
    obs = pd.DataFrame({"organ": np.repeat(["liver", "skin"], 60), "study": [f"GSE{i // 10}" for i in range(120)]})
    obs.index = [f"s{i}" for i in range(120)]
    names = ["g0", "g1", "g2", "g3", EVIL, *(f"g{i}" for i in range(5, 30))]
    return AnnData(sp.csr_matrix(x_ng), obs, pd.DataFrame(index=names))


@pytest.fixture(scope="module")
def source(adata, tmp_path_factory):
    path = tmp_path_factory.mktemp("in") / "samples.h5ad"
    adata.write_h5ad(path)
    return path


def run(capsys, *args):
    code = main(["genes", *map(str, args)])
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    return code, out, err


def test_files_and_json(source, tmp_path, capsys):
    asked = (
        source,
        "-o",
        tmp_path / "out",
        "--cosine",
        "centred",
        "-k",
        20,
        "--labels",
        "obs:organ",
        "--series",
        "study",
    )
    code, out, err = run(capsys, *asked, "--json", "--seed", 3)
    assert code == 0, err
    said = json.loads(out)
    assert said["top"][0]["gene"] == EVIL
    folder = tmp_path / "out"
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["gene_metrics.parquet", "gene_metrics.csv", "run.json", "report.html"]
    )
    frame = pd.read_parquet(folder / "gene_metrics.parquet")
    with open_counts(str(source)) as counts:
        expected = gene_metrics(counts, cosine="centred", k=20, labels="obs:organ", series="study", seed=3)
    pd.testing.assert_frame_equal(frame, expected)
    assert np.allclose(pd.read_csv(folder / "gene_metrics.csv")["p95"], frame["p95"], rtol=1e-7)
    about = json.loads((folder / "run.json").read_text())
    assert about["seed"] == 3
    assert about["sources"][0]["name"] == "samples.h5ad"
    assert len(about["sources"][0]["sha256"]) == 64
    assert {"corpuscle", "numpy"} <= set(about["versions"])
    code, _, err = run(capsys, *asked)
    assert code == 2
    assert "has gene_metrics.parquet already; give another folder, or --force" in err
    assert run(capsys, *asked, "--force")[0] == 0


def test_page_escapes_names_and_says_what_the_window_means(adata):
    with open_counts(adata) as counts:
        frame = gene_metrics(counts, cosine="centred", k=8, series="study")
    html = genes_page(frame, command=f"corpuscle {EVIL}", sources=[{"name": EVIL, "size": 1, "sha256": "0"}])
    seen = Seen(html)
    assert EVIL not in html
    assert not [tag for tag, attrs in seen.tags if tag in ("img", "iframe") or "src" in attrs]
    words = " ".join(seen.texts)
    assert "more than the window is wide" in words
    assert "z against series" in words
    rows = rows_of(html, "top-table")
    assert len(rows) == 30
    assert rows[0][0].startswith("&lt;script&gt;")
    wide = frame.copy()
    wide.attrs = {**frame.attrs, "k": 40}
    assert "which is within the window" in genes_page(wide)


def test_page_without_cosine_or_numbers(adata):
    with open_counts(adata) as counts:
        frame = gene_metrics(counts, genes=["g5"])
        html = genes_page(frame)
    assert 'id="cosine"' not in html
    assert "1 gene has no count in any sample" in html


def test_duplicated_symbols_keep_the_one_with_most_counts(adata, tmp_path, capsys):
    twice = adata.copy()
    twice.var_names = [*adata.var_names[:-1], "g0"]
    twice.X = sp.csr_matrix(np.where(np.arange(30) == 29, 900, adata.X.toarray()))
    twice.write_h5ad(tmp_path / "twice.h5ad")
    code, _, err = run(capsys, tmp_path / "twice.h5ad", "-o", tmp_path / "out", "--json")
    assert code == 0, err
    assert "1 symbols stand for several genes, such as g0" in err
    frame = pd.read_parquet(tmp_path / "out" / "gene_metrics.parquet").set_index("gene")
    assert len(frame) == 29
    assert frame["detection"]["g0"] == 1


def test_genes_of_a_file(source, tmp_path, capsys):
    (tmp_path / "some.txt").write_text("g7\n\n g2 \n")
    code, out, _ = run(capsys, source, "-o", tmp_path / "out", "--genes", tmp_path / "some.txt", "--sketch", "--json")
    assert code == 0
    assert [row["gene"] for row in json.loads(out)["top"]] != []
    assert list(pd.read_parquet(tmp_path / "out" / "gene_metrics.parquet")["gene"]) == ["g7", "g2"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--cosine", "centred", "-k", "500"], "k = 500 samples cannot be cut from 120"),
        (["--cosine", "angle"], "cosine 'angle' is none of"),
        (["--normalizer", "nix"], "nix"),
        (["--labels", "obs:nix"], "'nix' is no column"),
        (["--labels", "nix.npz"], "nix.npz"),
        (["--series", "nix"], "nix"),
        (["--genes", "nix.txt"], "nix.txt"),
        (["--percentile", "0"], "percentile 0"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(source, tmp_path, capsys, options, words):
    code, _, err = run(capsys, source, "-o", tmp_path / "out", *options)
    assert code == 2
    assert words in err
    assert err.startswith("error: ") or "note: " in err
    assert not list((tmp_path / "out").iterdir())
