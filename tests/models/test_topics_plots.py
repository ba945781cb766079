"""Figures of topics: what is drawn, in what order, and that words stay apart."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm import _plot_perturbation, plots
from corpuscle.models.sce2tm._plot_parts import umap_of
from corpuscle.models.sce2tm.differential import differential_topics

K, V, N = 12, 60, 200


@pytest.fixture(scope="module")
def beta():
    rng = np.random.default_rng(0)
    beta_kg = rng.random((K, V)) * 0.1
    for k in range(K):
        beta_kg[k, 5 * k : 5 * k + 5] += np.linspace(1.0, 0.6, 5)
    return pd.DataFrame(beta_kg / beta_kg.sum(axis=0), columns=[f"G{g}" for g in range(V)])


@pytest.fixture(scope="module")
def theta():
    rng = np.random.default_rng(1)
    cell_type = np.array(["B", "NK", "T"])[rng.integers(3, size=N)]
    logits = rng.normal(0, 0.3, (N, K))
    for place, name in enumerate(["B", "NK", "T"]):
        logits[cell_type == name, place] += 4
    values = np.exp(logits)
    return pd.DataFrame(values / values.sum(axis=1, keepdims=True)), cell_type


def study():
    rows = [
        {"cell_type": t, "topics_from": origin, "metric": m, "value": v + 0.01 * i, "detail": str(i)}
        for t in ("B", "Mono")
        for m in ("share_reconstruction", "share_measured_pcs", "pearson_top", "auroc_responders")
        for origin, v, times in (("chosen", 0.7, 1), ("random", 0.1, 20), ("other_type", 0.05, 3), ("all", 0.9, 1))
        for i in range(times)
    ]
    table = pd.DataFrame(rows)
    table.loc[(table["cell_type"] == "B") & (table["topics_from"] == "chosen"), "value"] = np.nan
    return table


def png(figure):
    out = io.BytesIO()
    figure.savefig(out, dpi=80)
    return out.getvalue()


def boxes(figure, texts):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


def overlaps(extents):
    return [(i, j) for i, a in enumerate(extents) for j, b in enumerate(extents[:i]) if a.overlaps(b)]


def words(axis, known):
    return [text for text in axis.texts if text.get_text() in known]


def test_every_figure_renders_without_pyplot(beta, theta, monkeypatch):
    import sys

    proportions, cell_type = theta
    rng = np.random.default_rng(0)
    vectors = pd.DataFrame(rng.normal(size=(K, 8))), pd.DataFrame(rng.normal(size=(V, 8)), index=beta.columns)
    table = differential_topics(np.log(proportions), cell_type)
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    figures = [
        plots.plot_topic_genes(beta),
        plots.plot_topic_map(*vectors, xy=rng.normal(size=(K + V, 2))),
        plots.plot_topics_by_type(proportions, cell_type),
        plots.plot_differential_topics(table, "B"),
        plots.plot_training({"rec": [3.0, 2.0, 1.0], "grad_ratio": [np.nan, 0.1, np.nan], "empty": [np.nan]}),
        plots.plot_perturbation_study(study()),
    ]
    assert all(png(figure).startswith(b"\x89PNG") for figure in figures)


def test_the_heat_map_shows_each_topics_leading_genes_once(beta):
    axis = plots.plot_topic_genes(beta, topics=[2, 0], n_genes=2).axes[0]
    genes = [text.get_text() for text in axis.get_yticklabels()]
    assert sorted(genes) == ["G0", "G1", "G10", "G11"]
    topics = [int(text.get_text()) for text in axis.get_xticklabels()]
    assert sorted(topics) == [0, 2]
    drawn = axis.collections[0].get_array().reshape(4, 2)
    expected = beta.loc[topics, genes].to_numpy().T
    assert np.asarray(drawn) == pytest.approx(expected)


def test_a_table_of_leading_genes_decides_what_is_shown(beta):
    top = pd.DataFrame({"topic": [0, 0, 1], "gene": ["G50", "G51", "G50"]})
    axis = plots.plot_topic_genes(beta, topics=[0, 1], top=top).axes[0]
    assert [text.get_text() for text in axis.get_yticklabels()] == ["G50", "G51"]


def test_the_rows_of_a_large_heat_map_do_not_overlap():
    rng = np.random.default_rng(0)
    large = pd.DataFrame(rng.random((100, 400)), columns=[f"GENE{g}" for g in range(400)])
    figure = plots.plot_topic_genes(large, n_genes=3)
    figure.canvas.draw()
    axis = figure.axes[0]
    assert not overlaps(boxes(figure, axis.get_yticklabels())) and not overlaps(boxes(figure, axis.get_xticklabels()))


def test_names_on_the_map_keep_apart_and_off_the_stars():
    rng = np.random.default_rng(0)
    xy = np.vstack([rng.normal(0, 0.25, (60, 2)), rng.normal(0, 1, (500, 2))])
    topics, genes = pd.DataFrame(np.ones((60, 3))), pd.DataFrame(np.ones((500, 3)), index=[f"G{g}" for g in range(500)])
    figure = plots.plot_topic_map(topics, genes, xy=xy, genes=["G3", "G77"])
    axis = figure.axes[0]
    named = words(axis, {*map(str, range(60)), "G3", "G77"})
    assert len(named) == 62
    extents = boxes(figure, named)
    figure.canvas.draw()
    assert overlaps(extents) == [] and boxes(figure, named)[0].bounds == pytest.approx(extents[0].bounds)
    stars = axis.transData.transform(xy[:60])
    assert not any(extent.contains(*star) for extent in extents for star in stars)


def test_the_joint_map_is_a_seeded_umap_of_cosine_distances(monkeypatch, beta):
    """The estimator is the real one; only its fit, whose compilation takes seconds, is replaced."""
    import umap

    seen = {}

    def fit_transform(self, x):
        seen.update(self.get_params(), x=x)
        return np.arange(2.0 * len(x)).reshape(-1, 2)

    monkeypatch.setattr(umap.UMAP, "fit_transform", fit_transform)
    topics, genes = pd.DataFrame(np.eye(K, 8)), pd.DataFrame(np.ones((V, 8)), index=beta.columns)
    axis = plots.plot_topic_map(topics, genes, seed=7).axes[0]
    assert (seen["metric"], seen["n_neighbors"], seen["random_state"]) == ("cosine", 15, 7)
    assert np.array_equal(seen["x"], np.vstack([topics, genes]))
    stars = next(line for line in axis.lines if line.get_label() == "topic")
    assert np.array_equal(stars.get_xdata(), np.arange(0.0, 2 * K, 2))


def test_enriched_sets_stand_by_topic_and_the_strongest_are_named():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "topic": rng.integers(20, size=300),
            "gene_set": [f"SET_{i % 90}" for i in range(300)],
            "q": rng.random(300) / 99,
        }
    )
    table.loc[5, "q"] = 0.0
    figure = plots.plot_enrichment(table, n_labels=5)
    axis = figure.axes[0]
    heights = np.concatenate([line.get_ydata() for line in axis.lines if line.get_marker() in "os"])
    assert heights.max() == pytest.approx(6.0) and heights.size == 300
    named = [text.get_text() for text in axis.texts]
    assert named[0] == "SET 5" and len(set(named)) == 5 and not overlaps(boxes(figure, axis.texts))
    assert len(axis.get_xticklabels()) == table["topic"].nunique()


def test_types_and_topics_show_mean_proportions_and_what_is_left_out(theta):
    proportions, cell_type = theta
    figure = plots.plot_topics_by_type(proportions, cell_type, least=0.2)
    axis = figure.axes[1]
    names = [text.get_text().split(" (")[0] for text in axis.get_yticklabels()]
    topics = [int(text.get_text()) for text in axis.get_xticklabels()]
    assert sorted(names) == ["B", "NK", "T"] and sorted(topics) == [0, 1, 2]
    mean = proportions.groupby(cell_type).mean().loc[names, topics].to_numpy()
    assert np.asarray(axis.collections[0].get_array()).reshape(3, 3) == pytest.approx(mean)
    assert (np.argmax(mean, axis=0) == [0, 1, 2]).all()  # a diagonal
    assert figure.get_suptitle() == "9 topics below 0.2 in every type are not shown"


def test_one_type_and_cells_without_one_are_no_obstacle(theta):
    proportions, cell_type = theta
    some = np.where(cell_type == "B", "B", None)
    axis = plots.plot_topics_by_type(proportions, some).axes[1]
    assert axis.get_yticklabels()[0].get_text() == f"B ({(cell_type == 'B').sum()})"


def test_the_volcano_marks_what_is_significant(theta):
    proportions, cell_type = theta
    table = differential_topics(np.log(proportions), cell_type)
    axis = plots.plot_differential_topics(table, "B").axes[0]
    found = table[(table["group"] == "B") & table["significant"]]
    labels = [line.get_label() for line in axis.lines]
    assert f"higher ({(found['difference'] > 0).sum()})" in labels
    assert {text.get_text() for text in axis.texts} == set(map(str, found["topic"]))


def test_the_study_marks_what_is_undefined_and_draws_every_control():
    axes = plots.plot_perturbation_study(study(), metrics=["pearson_top", "auroc_responders"]).axes
    assert [text.get_text() for text in axes[0].texts] == ["undefined"]
    random = next(line for line in axes[0].lines if line.get_label() == "random topics")
    assert len(random.get_xdata()) == 40
    assert [axis.get_title(loc="left") for axis in axes] == ["Pearson r,\ntop genes", "AUROC of\nknown responders"]


def test_the_map_of_a_perturbation_gives_shares_beside_it(monkeypatch):
    # Compiling UMAP takes seconds, and the shares do not come from the map.
    monkeypatch.setattr(_plot_perturbation, "umap_of", lambda x, then, **_: (x[:, :2], then[:, :2]))
    rng = np.random.default_rng(0)
    before, target = rng.normal(0, 0.2, (40, 30)), rng.normal(0, 0.2, (50, 30)) + 1.0
    figure = plots.plot_perturbation_map(before, before + 0.5, target, names=("control", "shifted", "stimulated"))
    assert png(figure).startswith(b"\x89PNG")
    shares = [bar.get_height() for bar in figure.axes[1].patches]
    assert shares == pytest.approx([0.5, 0.5], abs=0.05)
    legend = [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    assert legend == ["control (40)", "stimulated (50)", "shifted (40)"]


@pytest.mark.parametrize(
    ("draw", "error", "message"),
    [
        (lambda beta: plots.plot_topic_genes(beta, topics=[99]), OptionError, "no topic 99"),
        (lambda beta: plots.plot_topic_genes(beta, topics=[]), OptionError, "no topic is asked for"),
        (
            lambda beta: plots.plot_topic_genes(beta, top=pd.DataFrame({"topic": [], "gene": []})),
            OptionError,
            "no gene",
        ),
        (lambda beta: plots.plot_topics_by_type(beta, [None] * K), OptionError, "no cell with a type"),
        (lambda beta: plots.plot_topics_by_type(beta, ["a"] * K, least=2), OptionError, "lower least"),
        (lambda beta: plots.plot_enrichment(pd.DataFrame({"topic": [0]})), OptionError, "no column 'gene_set'"),
        (
            lambda beta: plots.plot_enrichment(pd.DataFrame(columns=["topic", "gene_set", "q"])),
            OptionError,
            "no gene set",
        ),
        (lambda beta: plots.plot_training({}), OptionError, "train the model first"),
        (lambda beta: plots.plot_perturbation_study(study(), metrics=["mse"]), OptionError, "no metric 'mse'"),
        (lambda beta: umap_of(np.ones((3, 2)), metric="cosine", seed=0), MethodError, "4 points"),
    ],
)
def test_nothing_to_draw_is_one_line(beta, draw, error, message):
    with pytest.raises(error, match=message):
        draw(beta)
