"""The page of named cells: its numbers are those of the cells, hostile names stay text, and it loads nothing."""

from __future__ import annotations

import json
import re

import anndata
import numpy as np
import pandas as pd
import pytest
from test_report_page import HOSTILE, Seen, rows_of

from corpuscle.annotate._naming import naming_of
from corpuscle.errors import OptionError, OutputError, SourceError
from corpuscle.report import render
from corpuscle.report.annotation_page import annotation_page, save_annotation_page

TYPES = ("T cell", "B cell", "NK", "DC")


def make(types=TYPES, *, refined=True, n=200):
    """Cells of which NK is all but erased: 20 before, 2 after."""
    before_n = np.repeat([0, 1, 2], [n - 70, 50, 20])
    after_n = np.where((before_n == 2) & (np.arange(n) < n - 2), 0, before_n)
    adata = anndata.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]))
    adata.obsm["annotation_scores"] = np.eye(4)[before_n] * 2 + 0.25
    genes = {"genes": {types[0]: ["CD3E"]}, "missing": {types[0]: ["CD3Z"]}}
    about = json.dumps({**genes, "notes": ["a note"]})
    adata.uns["annotation_scores"] = {
        "classes": np.array(types, dtype=object), "cl_ids": np.array(["CL:0000084", "", "", ""], dtype=object),
        "source": "markers", "about": about,
    }  # fmt: skip
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(n, 2))
    if refined:
        adata.obs["refined_label"] = pd.Categorical.from_codes(after_n, list(types))
        adata.obs["refined_margin"] = np.linspace(0, 1, n)
        sides = {
            "homophily": 0.7,
            "chance_homophily": 0.4,
            "entropy": 0.2,
            "n_isolated": 3,
            "type_homophily": np.full(4, 0.5),
        }
        adata.uns["refined"] = {
            "logits_key": "annotation_scores", "lam": 1.0, "params": {"laplacian": "unnormalized", "tol": 1e-4},
            "before": dict(sides), "after": {**sides, "homophily": 0.9}, "converged": True,
            "warnings": np.array(["NK is erased: 20 cells before, 2 after", "as published, DC is erased"], dtype=object),
            "guard": {"words": np.array(["the guard kept 3 cells"], dtype=object)},
            "path": {"lam": np.array([0.1, 1.0]), "changed": np.array([0.0, 0.09]), "erased": np.array([0.0, 1.0])},
        }  # fmt: skip
    return adata


@pytest.fixture(scope="module")
def html():
    return render(annotation_page(make(), command="corpuscle annotate x.h5ad"))


def test_the_headline_and_the_warnings_come_first(html):
    assert "200 cells were named as 3 types by markers; refinement changed 18 of them (9.0%)" in html
    places = [
        html.index(f'id="{name}"') for name in ("warnings", "map", "flows", "shares", "types", "diagnosis", "run")
    ]
    assert places == sorted(places)
    rows = rows_of(html, "warnings-table")
    assert rows == [
        ["refinement", "NK is erased: 20 cells before, 2 after"], ["without the guard", "DC is erased"],
    ]  # fmt: skip
    assert "the guard kept 3 cells" in html and "Erased by refinement: NK." in html


def test_an_erased_type_is_warned_of_even_where_nothing_else_says_so():
    adata = make()
    adata.uns["refined"]["warnings"] = np.array([], dtype=object)
    rows = rows_of(render(annotation_page(adata)), "warnings-table")
    assert rows == [["refinement", "NK is erased; look at its cells before you use the refined labels"]]


def test_the_table_of_types_counts_the_cells(html):
    found = {row[0]: row[1:] for row in rows_of(html, "types-table")}
    assert found["T cell"][:4] == ["CL:0000084", "130", "148", "130"]
    assert found["NKerased"][:4] == ["not known", "20", "2", "2"]
    assert found["DC"][1:5] == ["0", "0", "0", "undefined"]


def test_marker_genes_are_listed(html):
    assert rows_of(html, "markers-table")[0] == ["T cell", "1", "CD3E", "CD3Z"]


def test_flows_are_drawn_and_written(html):
    assert "NK to T cell: 18 cells" in html
    row = next(row for row in rows_of(html, "flows-table") if row[0] == "NK")
    assert sorted(row[1:]) == ["", "18", "2"]


def test_every_cell_is_on_the_map(html):
    maps = html.split('id="map"')[1].split('id="flows"')[0]
    drawn = [path.count("M") for path in re.findall(r'<path d="(M[^"]*h0)" fill="none"', maps)]
    assert sum(drawn[:3]) >= 195  # before, by type; cells on one pixel are one dot
    assert "The 18 cells that changed" in maps


def test_many_cells_are_thinned(monkeypatch):
    monkeypatch.setattr("corpuscle.report.annotation_page.DRAWN", 50)
    html = render(annotation_page(make()))
    assert "A random 50 of 200 cells are drawn." in html


def test_the_path_and_the_diagnosis(html):
    path = [[float(value) for value in row] for row in rows_of(html, "path-table")]
    assert path == [[0.1, 0, 0], [1, 0.09, 1]]
    diagnosis = {row[0]: row[1:] for row in rows_of(html, "diagnosis-table")}
    assert diagnosis["homophily"] == ["0.700", "0.900"] and diagnosis["cells without neighbours"] == ["3", "3"]


def test_hostile_names_stay_text(html):
    types = tuple(name + HOSTILE for name in TYPES)
    adata = make(types)
    adata.uns["refined"]["warnings"] = np.array([HOSTILE], dtype=object)
    adata.uns["annotation_scores"]["source"] = HOSTILE
    spoilt = render(annotation_page(adata, command=HOSTILE))
    assert "<script>alert" not in spoilt and "alert(1)" in spoilt
    tags = [[tag for tag, _ in Seen(text).tags] for text in (html, spoilt)]
    assert [tag.count("script") for tag in tags] == [tags[0].count("script")] * 2
    known = {name for _, attrs in Seen(html).tags for name in attrs}
    assert {name for _, attrs in Seen(spoilt).tags for name in attrs} <= known | {"title"}


def test_nothing_is_loaded_from_anywhere(html):
    seen = Seen(html)
    assert not [address for name in ("src", "href") for address in seen.values(name) if "//" in address]
    assert not seen.values("style") and not [name for _, attrs in seen.tags for name in attrs if name.startswith("on")]
    assert len(set(seen.values("id"))) == len(seen.values("id"))


def test_cells_that_were_not_refined():
    html = render(annotation_page(make(refined=False)))
    assert "refinement changed" not in html and 'id="flows"' not in html and "a note" not in html.split("<main")[0]
    assert [row[2] for row in rows_of(html, "types-table")] == ["130", "50", "20", "0"]


def test_without_a_map_the_page_says_why():
    adata = make()
    del adata.obsm["X_umap"]
    html = render(annotation_page(adata))
    assert "There is no map of these cells. Obsm has neither X_umap nor X_pca" in html and 'id="flows"' in html


def test_a_file_gives_the_same_page_and_needs_no_matrix(tmp_path):
    adata = make()
    adata.write_h5ad(tmp_path / "cells.h5ad")
    out = save_annotation_page(tmp_path / "cells.h5ad", tmp_path / "page" / "report.html", command="x")
    assert out.read_text() == render(annotation_page(adata, command="x"))
    assert [path.name for path in out.parent.iterdir()] == ["report.html"]


def test_what_is_no_such_file_is_refused(tmp_path):
    (tmp_path / "x.txt").write_text("x")
    with pytest.raises(SourceError, match=r"no \.h5ad file"):
        save_annotation_page(tmp_path / "x.txt", tmp_path / "r.html")
    adata = make()
    del adata.obsm["annotation_scores"]
    with pytest.raises(OptionError, match="no 'annotation_scores'"):
        annotation_page(adata)
    (tmp_path / "r.html").mkdir()
    with pytest.raises(OutputError, match="a folder is where a file should go"):
        save_annotation_page(make(), tmp_path / "r.html")


def test_unassigned_cells_have_a_place():
    adata = make()
    labels = adata.obs["refined_label"].cat.add_categories("unassigned")
    labels.iloc[:7] = "unassigned"
    adata.obs["refined_label"] = labels
    html = render(annotation_page(adata))
    assert "7 cells were left unassigned" in html and naming_of(adata).after_n[:7].tolist() == [-1] * 7
    assert "T cell to unassigned: 7 cells" in html
