"""Search: the right cells come first, words that training never saw are called so, and mistakes are one line."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("sentence_transformers", reason="the model needs the extra text")

import anndata as ad

from corpuscle.cli import main
from corpuscle.errors import OptionError
from corpuscle.models.celltext import write_scores
from corpuscle.models.celltext._search_plots import limits, map_places, score_map
from corpuscle.models.celltext.search import search
from corpuscle.report.search_page import search_page


@pytest.fixture(scope="module")
def found(made):
    from corpuscle.models.celltext import CellText

    cells = ad.read_h5ad(made.new)
    return search(
        CellText.load(made.model), cells, ["B lymphocytes", "railway timetable"], cells=[cells.obs_names[0]], top=10
    )


def test_the_cells_that_the_words_mean_come_first(found):
    groups = found.enrichment("cell_type")
    first = groups[groups["query"] == "B lymphocytes"].iloc[0]
    assert first["group"] == "B" and first["among_top"] >= 8 and first["times"] > 1.5
    share = (found.obs["cell_type"] == "B").mean()
    assert first["share_all"] == pytest.approx(share) and first["share_top"] == first["among_top"] / 10
    assert groups.groupby("query")["among_top"].sum().eq(10).all()


def test_scores_are_cosines_in_the_shared_space(found, model):
    text_d = model.encode_texts(["B lymphocytes"])[0]
    np.testing.assert_allclose(found.scores["B lymphocytes"], found.vectors_nd @ text_d, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(found.vectors_nd, axis=1), 1, atol=1e-5)
    assert list(found.scores.index) == list(found.obs.index)


def test_a_cell_is_most_like_itself(found):
    id = found.scores.index[0]
    best = found.best(f"cell {id}")
    assert best.index[0] == id and best.iloc[0] == pytest.approx(1, abs=1e-5)
    own = found.obs["cell_type"].iloc[0]
    assert (found.obs.loc[best.index, "cell_type"] == own).mean() >= 0.5


def test_words_unlike_training_are_called_so(found):
    first = found.closest[found.closest["rank"] == 1].set_index("query")
    assert first.loc["B lymphocytes", "label"] == "B" and first.loc["B lymphocytes", "cosine"] > 0.5
    said = [note for note in found.notes if "nothing like it was in training" in note]
    assert len(said) == 1 and "railway timetable" in said[0]
    assert f"{first.loc['railway timetable', 'cosine']:.2f}" in said[0]


def test_a_model_that_does_not_know_its_captions_says_so(made, model):
    model.captions = None
    found = search(model, made.new, ["B"])
    assert found.closest.empty and any("does not say what captions" in note for note in found.notes)


def test_ranks_are_a_permutation_and_ties_follow_the_cells(found):
    ranks = found.ranks()
    assert all(sorted(ranks.iloc[:, place]) == list(range(1, len(ranks) + 1)) for place in range(3))
    tied = found.scores.iloc[:4].copy()
    tied.iloc[:, 0] = [0.5, 0.7, 0.5, 0.5]
    assert list(replace(found, scores=tied).ranks().iloc[:, 0]) == [2, 1, 3, 4]


@pytest.mark.parametrize(
    ("texts", "cells", "said"),
    [
        ([], [], "nothing to search for"), ([" "], [], "empty"), (["B", " B "], [], "twice"), ("B", [], "list"),
        (["NAME"], [], "name of a cell"), ([], ["nobody"], "no cell 'nobody'"),
    ],
)  # fmt: skip
def test_a_query_that_makes_no_sense_is_refused(made, model, texts, cells, said):
    name = ad.read_h5ad(made.new, backed="r").obs_names[0]
    asked = [name if text == "NAME" else text for text in texts] if isinstance(texts, list) else texts
    with pytest.raises(OptionError, match=said):
        search(model, made.new, asked, cells=cells)


def test_scores_are_written_to_the_cells_they_are_of(found):
    cells = ad.AnnData(obs=pd.DataFrame(index=["stranger", *found.scores.index[::-1]]))
    assert write_scores(cells, found) is cells
    back = cells.obs["search: B lymphocytes"]
    assert np.isnan(back["stranger"]) and np.isnan(cells.obsm["X_celltext"][0]).all()
    pd.testing.assert_series_equal(
        back[found.scores.index], found.scores["B lymphocytes"], check_names=False, check_index_type=False
    )
    about = cells.uns["celltext_search"]
    assert list(about["queries"]) == list(found.scores) and about["model"]["key"] == "X_pca"
    with pytest.raises(OptionError, match="none of the AnnData's cells"):
        write_scores(ad.AnnData(obs=pd.DataFrame(index=["a"])), found)


def test_the_best_cells_are_drawn_whatever_part_of_the_cells_is(found):
    cells, xy_m2 = map_places(found, most=5)
    best = found.scores.index.get_indexer(found.best("B lymphocytes").index)
    assert set(best) <= set(cells) and len(cells) < len(found.scores)
    np.testing.assert_array_equal(xy_m2, found.coords[cells])


def test_a_name_with_a_dollar_or_markup_is_drawn_as_it_is(found):
    odd = '<script>alert("$x$")</script>'
    names = [odd, *list(found.scores)[1:]]
    first = replace(found.queries[0], column=odd)
    strange = replace(found, scores=found.scores.set_axis(names, axis=1), queries=(first, *found.queries[1:]))
    places = map_places(strange)
    figure = score_map(strange, *places)
    figure.canvas.draw()
    assert figure.axes[0].get_title(loc="left").startswith("<script>alert")
    page = search_page(strange, by="cell_type", places=places)
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_equal_scores_have_a_scale():
    low, high = limits(np.zeros(5))
    assert low < high


def run(made, tmp_path, *more):
    return main(["search", str(made.model), str(made.new), *more, "-o", str(tmp_path / "found")])


def test_the_command_writes_scores_page_map_and_cells(made, tmp_path, capsys):
    named = tmp_path / "named.h5ad"
    capsys.readouterr()
    assert run(made, tmp_path, "monocytes", "railway / timetable", "--top", "7", "--write", str(named), "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert [one["query"] for one in said["queries"]] == ["monocytes", "railway / timetable"]
    assert said["queries"][0]["groups"][0]["group"] == "monocyte" and len(said["queries"][0]["best"]) == 7
    assert said["by"] == "cell_type" and any("nothing like it" in note for note in said["notes"])
    folder = tmp_path / "found"
    assert {path.name for path in folder.iterdir()} == {"scores.csv", "map.png", "map.svg", "report.html"}
    rows = list(csv.DictReader((folder / "scores.csv").open()))
    first = next(row for row in rows if row["rank: monocytes"] == "1")
    assert first["cell"] == said["queries"][0]["best"][0]["cell"]
    page = (folder / "report.html").read_text()
    assert "nothing like it was in training" in page and "monocyte" in page
    cells, before = ad.read_h5ad(named), ad.read_h5ad(made.new)
    assert (cells.X != before.X).nnz == 0 and list(cells.obs_names) == [row["cell"] for row in rows]
    np.testing.assert_allclose(cells.obs["search: monocytes"], [float(row["monocytes"]) for row in rows], atol=1e-5)
    assert "search: railway | timetable" in cells.obs and cells.obsm["X_celltext"].shape == (len(rows), 32)


def test_a_repeat_gives_the_same_files_and_replaces_only_when_asked(made, tmp_path, capsys):
    assert run(made, tmp_path, "monocytes") == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()}
    assert run(made, tmp_path, "B cells") == 2
    assert "--force" in capsys.readouterr().err
    assert run(made, tmp_path, "monocytes", "--force") == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / "found").iterdir()}
    assert all(before[name] == after[name] for name in ("scores.csv", "map.png", "map.svg"))


class Umap:
    """Stands in for UMAP, which takes half a minute to import and compile."""

    seeds: ClassVar[list[int]] = []

    def __init__(self, *, n_neighbors, min_dist, random_state):
        self.seeds.append(random_state)

    def fit_transform(self, x_nd):
        return x_nd[:, :2]


def test_pairs_are_searched_without_counts_and_written_without_a_matrix(made, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Umap))
    named, found = tmp_path / "named.h5ad", tmp_path / "found"
    words = ["search", str(made.model), str(made.pairs), "B cells", "--by", "cell_type"]
    assert main([*words, "--write", str(named), "-o", str(found), "--seed", "1"]) == 0
    cells = ad.read_h5ad(named)
    assert cells.X is None and "cell_type" in cells.obs
    best = cells.obs.sort_values("search: B cells", ascending=False).iloc[:20]
    assert (best["cell_type"] == "B").mean() > 0.7
    assert (found / "map.png").stat().st_size > 0  # a map was made, since pairs have none
    assert main([*words, "-o", str(tmp_path / "other"), "--seed", "2"]) == 0
    assert len(Umap.seeds) == 2 and Umap.seeds[0] != Umap.seeds[1]


def test_many_points_become_one_image(found):
    for n, image in ((50_000, False), (50_001, True)):
        rng = np.random.default_rng(0)
        ids = pd.RangeIndex(n).astype(str)
        many = replace(
            found, scores=pd.DataFrame({"B": rng.normal(size=n)}, index=ids), coords=rng.normal(size=(n, 2)),
            queries=found.queries[:1],
        )  # fmt: skip
        assert score_map(many, *map_places(many)).axes[0].collections[0].get_rasterized() == image


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ([], "nothing to search for"), (["B", "--by", "nothing"], "--by 'nothing'"), (["B", "--top", "0"], "top=0"),
        (["B", "--cell", "nobody"], "no cell 'nobody'"), (["B", "--precomputed"], "obsm has no 'X_pca'"),
        (["B", "--layer", "nothing"], "nothing"), (["B", "--write", "named.csv"], ".h5ad"), (["  "], "empty"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_leaves_nothing(made, tmp_path, capsys, more, said):
    assert run(made, tmp_path, *more) == 2
    error = capsys.readouterr().err.strip().splitlines()
    assert error[-1].startswith("error: ") and said in error[-1]
    assert not (tmp_path / "found").exists()


def test_what_is_no_model_is_said(made, tmp_path, capsys):
    for folder in (tmp_path / "missing", tmp_path):
        assert main(["search", str(folder), str(made.new), "B", "-o", str(tmp_path / "found")]) == 2
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]
    assert "no such folder" in lines[0] and "no model of cells and text" in lines[1]
