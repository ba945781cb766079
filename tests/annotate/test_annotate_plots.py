"""Figures of named cells: they show the cells that are there, in colours and words that are right."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from corpuscle.annotate import plots
from corpuscle.annotate._naming import Naming, naming_of
from corpuscle.annotate._plot_flows import flows_of
from corpuscle.annotate._plot_parts import MOST, colours_of, grouped, short_name, spread_apart
from corpuscle.errors import OptionError

TYPES = ("T cell", "B cell", "NK", "DC")


def naming_from(pairs, types=TYPES, **more):
    before_n, after_n = np.array(pairs).T
    return Naming(types, before_n, after_n, np.linspace(0, 1, len(before_n)), refined={"lam": 1.0}, **more)


@pytest.fixture
def naming():
    """100 cells; all 20 NK but two become T."""
    return naming_from([(0, 0)] * 50 + [(1, 1)] * 25 + [(1, 0)] * 5 + [(2, 0)] * 18 + [(2, 2)] * 2)


@pytest.fixture
def refined(naming):
    """The same as an AnnData, with a map."""
    n = naming.before_n.size
    adata = anndata.AnnData(obs=pd.DataFrame(index=[f"c{i}" for i in range(n)]))
    scores_nk = np.eye(4)[naming.before_n] + 0.1
    adata.obsm["own"] = pd.DataFrame(scores_nk, adata.obs_names, TYPES)
    adata.obsm["X_umap"] = np.random.default_rng(0).normal(size=(n, 2))
    adata.obs["refined_label"] = pd.Categorical.from_codes(naming.after_n, TYPES)
    adata.obs["refined_margin"] = naming.margin_n
    adata.uns["refined"] = {"logits_key": "own", "lam": 1.0}
    return adata


def words(figure):
    figure.canvas.draw()
    texts = [text.get_text() for axis in figure.axes for text in axis.texts]
    texts += [label.get_text() for axis in figure.axes for label in (*axis.get_xticklabels(), *axis.get_yticklabels())]
    return texts + [text.get_text() for legend in figure.legends for text in legend.get_texts()]


def test_a_naming_is_read_from_what_refinement_left(refined, naming):
    read = naming_of(refined)
    np.testing.assert_array_equal(read.before_n, naming.before_n)
    np.testing.assert_array_equal(read.after_n, naming.after_n)
    assert read.changed_n.sum() == 23 and read.types == TYPES
    assert read.flows_kk[2].tolist() == [18, 0, 2, 0] and read.flows_kk.sum() == 100
    assert read.erased_k.tolist() == [False, False, True, False]


def test_a_type_of_few_cells_is_not_called_erased():
    few = naming_from([(0, 0)] * 91 + [(1, 0)] * 9)
    assert not few.erased_k.any()
    assert naming_from([(0, 0)] * 90 + [(1, 0)] * 10).erased_k[1]
    assert not naming_from([(0, 0)] * 90 + [(1, 0)] * 8 + [(1, 1)] * 2).erased_k[
        1
    ]  # exactly 80 % is not more than 80 %


def test_unassigned_cells_are_no_type_and_have_changed():
    some = naming_from([(0, 0)] * 5 + [(0, -1)] * 3)
    assert some.changed_n.sum() == 3 and some.counts(some.after_n).tolist() == [5, 0, 0, 0]
    names, flow_kk = flows_of(some, 12)
    assert names == ["T cell", "unassigned"] and flow_kk.tolist() == [[5, 3], [0, 0]]


def test_without_scores_the_keys_that_are_there_are_named():
    adata = anndata.AnnData(obs=pd.DataFrame(index=["a"]), obsm={"X_pca": np.zeros((1, 2))})
    with pytest.raises(OptionError, match="it has: X_pca"):
        naming_of(adata)


def test_the_map_shows_every_cell_before_after_and_what_changed(refined):
    figure = plots.umap_before_after(refined)
    before, after, changed = figure.axes
    for axis in (before, after):
        spots = np.asarray(axis.collections[0].get_offsets())
        assert {tuple(at) for at in spots.round(6)} == {tuple(at) for at in refined.obsm["X_umap"].round(6)}
    assert [len(part.get_offsets()) for part in changed.collections] == [77, 23]
    assert "23 cells (23.0%)" in changed.get_title(loc="left")
    assert words(figure)[-3:] == ["T cell", "B cell", "NK"]  # the largest first; no cell is a DC


def test_the_map_draws_no_more_than_can_be_seen_and_the_same_again(refined, monkeypatch):
    monkeypatch.setattr(plots, "DRAWN", 30)
    naming = naming_of(refined)
    draws = [plots.umap_of_cells(refined, naming, seed=seed, drawn=30) for seed in (0, 0, 1)]
    assert all(len(cells) == len(set(cells)) == 30 for cells, _ in draws)
    np.testing.assert_array_equal(draws[0][0], draws[1][0])
    assert set(draws[0][0]) != set(draws[2][0])
    np.testing.assert_array_equal(draws[0][1], refined.obsm["X_umap"][draws[0][0]])


def test_no_map_and_nothing_to_make_one_of(refined):
    del refined.obsm["X_umap"]
    with pytest.raises(OptionError, match="neither X_umap nor X_pca"):
        plots.umap_before_after(refined)


def test_flows_say_how_many_cells_each_type_has(naming):
    said = words(plots.label_flows(naming))
    assert {"T cell  50", "T cell  73", "NK  20", "NK  2", "B cell  30", "B cell  25"} <= set(said)
    assert not any("DC" in word for word in said)


def test_the_ribbons_are_as_wide_as_they_have_cells(naming):
    from matplotlib.patches import PathPatch

    figure = plots.label_flows(naming, kind="sankey")
    ribbons = [patch for patch in figure.axes[0].patches if isinstance(patch, PathPatch)]
    thick = sorted(patch.get_path().vertices[-2][1] - patch.get_path().vertices[0][1] for patch in ribbons)
    np.testing.assert_allclose(thick, [0.02, 0.05, 0.18, 0.25, 0.5], atol=1e-12)


def test_the_matrix_writes_each_number(naming):
    said = words(plots.label_flows(naming, kind="matrix"))
    assert {"18", "5", "50", "25", "2"} <= set(said) and {"T cell (50)", "T cell (73)"} <= set(said)


def test_many_types_are_a_matrix_and_an_unknown_kind_is_refused(naming):
    many = naming_from([(i, (i + 1) % 40) for i in range(40)], tuple(f"type {i}" for i in range(40)))
    said = words(plots.label_flows(many))
    assert any(word.startswith("other (") for word in said)
    with pytest.raises(OptionError, match="sankey or matrix"):
        plots.label_flows(naming, kind="pie")


def test_shares_mark_what_was_erased(naming):
    said = words(plots.type_shares(naming))
    assert "20 \N{RIGHTWARDS ARROW} 2  erased" in said and "50 \N{RIGHTWARDS ARROW} 73" in said


def test_margins_of_changed_and_of_other_cells(naming):
    figure = plots.margin_histogram(naming)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["as before (77)", "changed (23)"]
    with pytest.raises(OptionError, match="no margin"):
        plots.margin_histogram(Naming(("one",), np.zeros(3, int), np.zeros(3, int), np.full(3, np.nan)))


@pytest.mark.parametrize("kind", ["sankey", "matrix"])
def test_awkward_names_are_drawn_as_they_are(kind, tmp_path):
    odd = naming_from([(0, 1), (1, 1), (2, 0)], ("$x_1$ <b>", "_hidden", "y" * 200))
    figure = plots.label_flows(odd, kind=kind)
    figure.savefig(tmp_path / "flows.svg")
    assert short_name("y" * 200) in (tmp_path / "flows.svg").read_text() or "yyy" in "".join(words(figure))


@given(st.lists(st.floats(0, 100), max_size=30))
def test_names_keep_their_distance_and_their_order(places):
    places = np.array(places)
    moved = spread_apart(places, 2.0, 0.0, 100.0)
    order = np.argsort(places, kind="stable")
    assert (np.diff(moved[order]) >= 2.0 - 1e-9).all()
    if len(places):
        assert moved.min() >= -1e-9 and moved.max() <= 100 + 1e-9
        alone = np.sort(places)
        if (np.diff(alone) >= 2.0).all():
            np.testing.assert_allclose(moved, places)


@given(st.lists(st.integers(-1, 19), min_size=1, max_size=80), st.integers(2, 12))
def test_grouping_keeps_every_cell_and_the_largest_types(codes, most):
    code_n = np.array(codes)
    names, (new_n,) = grouped([f"t{k}" for k in range(20)], code_n, most=most)
    assert len(names) <= most and ((new_n < 0) == (code_n < 0)).all()
    assert new_n.max() < len(names)
    sizes = np.bincount(new_n[new_n >= 0], minlength=len(names))
    kept = [name for name in names if not name.startswith("other")]
    assert list(sizes[: len(kept)]) == sorted(sizes[: len(kept)], reverse=True)
    for name, size in zip(kept, sizes, strict=False):
        assert size == (code_n == int(name[1:])).sum()


def test_colours_differ_as_long_as_eyes_can_tell():
    for n in range(1, MOST + 1):
        assert len(set(colours_of(n))) == n
