"""Figures of topics. Each takes tables that a model gives and returns a ``matplotlib.figure.Figure``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError
from corpuscle.models.sce2tm._plot_parts import (
    BLUE,
    INK,
    ORANGE,
    QUIET,
    SHAPE,
    SKY,
    chosen_topics,
    label_points,
    new_figure,
    row_tree,
    similar_order,
    tidy,
    umap_of,
)
from corpuscle.models.sce2tm._plot_perturbation import plot_perturbation_map, plot_perturbation_study

__all__ = [
    "plot_differential_topics",
    "plot_enrichment",
    "plot_perturbation_map",
    "plot_perturbation_study",
    "plot_topic_genes",
    "plot_topic_map",
    "plot_topics_by_type",
    "plot_training",
]

Array = np.ndarray[Any, Any]
ROW, COLUMN = 0.155, 0.2


def plot_topic_genes(
    topic_gene: pd.DataFrame,
    *,
    topics: Sequence[Any] | None = None,
    n_genes: int = 3,
    top: pd.DataFrame | None = None,
    label: str = "topic-gene weight",
) -> Any:
    """Heat map of the genes that lead each topic, similar topics side by side.

    Parameters
    ----------
    topic_gene
        K x V values with topics and genes as labels: ``model.get_topic_gene()``.
    topics
        Topics to show; all by default.
    n_genes
        Leading genes of each; a gene that leads several topics is shown once.
    top
        Table of leading genes (``model.get_topic_genes(score=...)``), if not those of largest value.
    label
        What the values are.
    """
    shown = topic_gene.loc[chosen_topics(topics, list(topic_gene.index))]
    shown = shown.iloc[similar_order(shown.to_numpy(float))]
    leading: dict[Any, list[Any]] = {}
    for topic in shown.index:
        if top is None:
            leading[topic] = list(shown.columns[np.argsort(-shown.loc[topic].to_numpy(float), kind="stable")[:n_genes]])
        else:
            leading[topic] = list(top.loc[top["topic"] == topic, "gene"][:n_genes])
    genes = list(dict.fromkeys(gene for some in leading.values() for gene in some))
    if not genes:
        raise OptionError("no gene leads these topics; is the table of leading genes of the same model?")
    value_gk = shown[genes].to_numpy(float).T
    figure = new_figure(1.9 + COLUMN * len(shown), 1.1 + ROW * len(genes))
    axis = figure.subplots()
    image = axis.pcolormesh(value_gk, cmap="cividis", vmin=0, vmax=max(float(np.nanmax(value_gk)), 1e-12))
    axis.invert_yaxis()
    axis.set_yticks(np.arange(len(genes)) + 0.5, genes, fontsize=7)
    _topic_ticks(axis, list(shown.index))
    _frame_leading(axis, leading, genes)
    _colour_bar(figure, axis, image, label)
    figure.supxlabel("white: leads the topic", fontsize=7, color=QUIET)
    return figure


def _frame_leading(axis: Any, leading: Mapping[Any, list[Any]], genes: list[Any]) -> None:
    place = {gene: i for i, gene in enumerate(genes)}
    spots = [(k + 0.5, place[gene] + 0.5) for k, some in enumerate(leading.values()) for gene in some]
    axis.plot(*zip(*spots, strict=True), "s", markersize=3, color="white", markeredgecolor=INK, markeredgewidth=0.5)


def _topic_ticks(axis: Any, topics: list[Any]) -> None:
    axis.xaxis.tick_top()
    axis.xaxis.set_label_position("top")
    axis.set_xticks(np.arange(len(topics)) + 0.5, topics, fontsize=7, rotation=90 if len(topics) > 12 else 0)
    axis.set_xlabel("topic", fontsize=8)
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)


def _colour_bar(figure: Any, axis: Any, image: Any, label: str) -> None:
    width, height = figure.get_size_inches()
    bar = figure.colorbar(image, ax=axis, fraction=min(0.3, 0.3 / width), aspect=12, shrink=min(1.0, 1.8 / height))
    bar.ax.tick_params(labelsize=7)
    bar.set_label(label, fontsize=8)
    bar.outline.set_visible(False)


def plot_topic_map(
    topic_vectors: pd.DataFrame,
    gene_vectors: pd.DataFrame,
    *,
    seed: int = 0,
    labels: Mapping[Any, str] | None = None,
    genes: Sequence[str] = (),
    xy: Array | None = None,
) -> Any:
    """Topics (stars) among the genes (dots) of their common space: UMAP of cosine distances, 15 neighbours.

    Parameters
    ----------
    topic_vectors, gene_vectors
        ``model.get_topic_embeddings()`` and ``model.get_gene_embeddings()``.
    seed
        Of the map.
    labels
        Topic -> what to write beside it; its number by default.
    genes
        Genes to name.
    xy
        (K + V, 2) map to draw instead of computing one: topics first.
    """
    together = np.vstack([topic_vectors.to_numpy(float), gene_vectors.to_numpy(float)])
    xy_n2 = umap_of(together, metric="cosine", seed=seed) if xy is None else np.asarray(xy)
    topic_k2, gene_g2 = np.split(xy_n2, [len(topic_vectors)])
    figure = new_figure(7.0, 6.2)
    axis = figure.subplots()
    axis.plot(gene_g2[:, 0], gene_g2[:, 1], "o", color=SKY, markersize=1.8, markeredgewidth=0, alpha=0.6, label="gene")
    axis.plot(
        topic_k2[:, 0], topic_k2[:, 1], "*", color=ORANGE, markersize=7.5, markeredgecolor="white", markeredgewidth=0.3, zorder=5,
        label="topic",
    )  # fmt: skip
    _no_ticks(axis)
    axis.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=8, markerscale=1.6)
    named = gene_vectors.index.get_indexer(list(genes))
    if (named < 0).any():
        raise OptionError(f"the model has no gene {list(genes)[int(np.argmin(named))]!r}")
    words = [str(topic) if labels is None else labels.get(topic, str(topic)) for topic in topic_vectors.index]
    label_points(axis, np.vstack([topic_k2, gene_g2[named]]), [*words, *genes], size=6.5 if len(words) > 40 else 8)
    return figure


def _no_ticks(axis: Any) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("UMAP 1", fontsize=8)
    axis.set_ylabel("UMAP 2", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.margins(0.04)
    axis.autoscale_view()


def plot_topics_by_type(
    proportions: pd.DataFrame, cell_types: Sequence[Any] | pd.Series, *, least: float = 0.02
) -> Any:
    """Mean proportion of every topic in every type of cells, both in the order of a dendrogram.

    Parameters
    ----------
    proportions
        Cells x topics: ``model.get_cell_topics()``.
    cell_types
        Type of each cell; cells without one are left out.
    least
        Topics whose mean stays below this in every type are not shown; the title says how many.
    """
    labels = pd.Series(np.asarray(cell_types, dtype=object), index=proportions.index)
    if len(labels) != len(proportions) or not labels.notna().any():
        raise OptionError("there is no cell with a type; give one type a cell")
    mean = proportions.groupby(labels.astype(object), sort=True).mean()
    used = mean.columns[mean.max(axis=0).to_numpy() >= least]
    if not len(used):
        raise OptionError(f"no topic reaches a mean proportion of {least} in a type; lower least")
    tree = row_tree(mean.to_numpy(float)) if len(mean) > 1 else None
    figure = new_figure(2.6 + 1.0 + COLUMN * len(used), 1.3 + 0.22 * len(mean))
    side, axis = figure.subplots(1, 2, gridspec_kw={"width_ratios": [0.7, max(1.0, COLUMN * len(used))]})
    order = _draw_tree(side, tree, len(mean))
    shown = mean[used].iloc[order]
    # Each topic stands under the type that has most of it, so that the eye finds a diagonal.
    columns = np.lexsort((-shown.to_numpy().max(axis=0), shown.to_numpy().argmax(axis=0)))
    shown = shown.iloc[:, columns]
    image = axis.pcolormesh(shown.to_numpy(), cmap="cividis", vmin=0)
    axis.set_ylim(len(shown), 0)
    counts = labels.value_counts()
    axis.set_yticks(np.arange(len(shown)) + 0.5, [f"{name} ({counts[name]:,})" for name in shown.index], fontsize=8)
    axis.yaxis.tick_right()
    _topic_ticks(axis, list(shown.columns))
    _colour_bar(figure, axis, image, "mean proportion")
    left_out = len(mean.columns) - len(used)
    if left_out:
        figure.suptitle(f"{left_out} topics below {least:g} in every type are not shown", fontsize=8, color=QUIET)
    return figure


def _draw_tree(axis: Any, tree: Array | None, n_rows: int) -> Array:
    axis.axis("off")
    if tree is None:
        return np.arange(n_rows)
    from scipy.cluster.hierarchy import dendrogram

    drawn = dendrogram(tree, no_plot=True)
    for height, place in zip(drawn["dcoord"], drawn["icoord"], strict=True):
        axis.plot(height, np.asarray(place) / 10, color=QUIET, linewidth=0.8)
    axis.invert_xaxis()
    axis.set_ylim(n_rows, 0)
    return np.asarray(drawn["leaves"])


def plot_differential_topics(table: pd.DataFrame, group: Any, *, n_labels: int = 12, min_diff: float = 1.0) -> Any:
    """Volcano of one group: difference of mean logits against adjusted p, the leading significant topics named.

    Parameters
    ----------
    table
        Of :func:`~corpuscle.models.sce2tm.differential.differential_topics`.
    group
        Which group.
    n_labels
        Significant topics named, the largest differences first.
    min_diff
        Where to draw the threshold.
    """
    rows = table[(table["group"] == group) & table["p_adjusted"].notna()]
    if rows.empty:
        raise OptionError(f"no topic was tested in group {group!r}")
    # A p too small for floating point is drawn at the smallest one there is.
    strength = -np.log10(np.maximum(rows["p_adjusted"].to_numpy(float), np.finfo(float).tiny))
    difference, found = rows["difference"].to_numpy(float), rows["significant"].to_numpy(bool)
    figure = new_figure(5.4, 4.2)
    axis = figure.subplots()
    for side in (-min_diff, min_diff):
        axis.axvline(side, color=SHAPE, linewidth=0.8)
    kinds = (("not significant", ~found, "o", QUIET), ("higher", found & (difference > 0), "^", ORANGE),
             ("lower", found & (difference < 0), "v", BLUE))  # fmt: skip
    for name, chosen, marker, colour in kinds:
        axis.plot(
            difference[chosen], strength[chosen], marker, color=colour, markersize=5, markeredgewidth=0, alpha=0.85,
            label=f"{name} ({chosen.sum()})",
        )  # fmt: skip
    axis.set_xlabel(f"difference of mean logits: {group} minus all other cells", fontsize=8)
    axis.set_ylabel("-log10 adjusted p", fontsize=8)
    axis.margins(0.12)
    tidy(axis)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=3, handletextpad=0.2)
    leading = np.flatnonzero(found)[np.argsort(-np.abs(difference[found]), kind="stable")][:n_labels]
    names = [str(topic) for topic in rows["topic"].to_numpy()[leading]]
    spots = np.column_stack([difference, strength])
    label_points(axis, spots[leading], names, around=spots)
    return figure


def plot_enrichment(table: pd.DataFrame, *, n_labels: int = 8, width: int = 34) -> Any:
    """Enriched gene sets of every topic side by side, with -log10(q + 1e-6); the strongest sets named once each.

    Parameters
    ----------
    table
        One row an enriched pair, with columns ``topic``, ``gene_set`` and ``q``.
    n_labels
        Sets named.
    width
        Letters of a name shown.
    """
    if missing := {"topic", "gene_set", "q"} - set(table.columns):
        raise OptionError(f"the table of enriched sets has no column {sorted(missing)[0]!r}")
    rows = table[table["q"].notna()].sort_values(["topic", "q"], kind="stable")
    if rows.empty:
        raise OptionError("no gene set is enriched, so there is nothing to plot")
    height = -np.log10(rows["q"].to_numpy(float) + 1e-6)
    code, topics = pd.factorize(rows["topic"])
    # A gap between topics, so that a topic with few sets is still seen as one.
    place = np.arange(len(rows)) + code * max(1.0, 0.01 * len(rows))
    figure = new_figure(min(14.0, 4.0 + 0.16 * len(topics)), 3.6)
    axis = figure.subplots()
    for parity, (marker, colour) in enumerate((("o", BLUE), ("s", ORANGE))):
        chosen = code % 2 == parity
        axis.plot(place[chosen], height[chosen], marker, color=colour, markersize=3, markeredgewidth=0, alpha=0.7)
    middle = [place[code == k].mean() for k in range(len(topics))]
    axis.set_xticks(middle, topics, fontsize=6 if len(topics) > 40 else 7, rotation=90 if len(topics) > 12 else 0)
    axis.set_xlabel("topic", fontsize=8)
    axis.set_ylabel("-log10(q + 1e-6)", fontsize=8)
    axis.set_ylim(0, height.max() * 1.3)
    tidy(axis, grid="y")
    strongest = rows.assign(place=place, height=height).sort_values("height", ascending=False, kind="stable")
    strongest = strongest.drop_duplicates("gene_set")[:n_labels]
    names = [_shortened(str(name), width) for name in strongest["gene_set"]]
    spots = np.column_stack([place, height])
    label_points(axis, strongest[["place", "height"]].to_numpy(), names, size=6.5, around=spots)
    return figure


def _shortened(name: str, width: int) -> str:
    name = name.replace("_", " ")
    return name if len(name) <= width else name[: width - 1].rstrip() + "…"


def plot_training(history: Mapping[str, Any]) -> Any:
    """Every measure of the training by epoch, one small panel each.

    Parameters
    ----------
    history
        Measure -> values by epoch: ``model.history``, or lists.
    """
    series = {str(name): np.asarray(values, float).ravel() for name, values in history.items()}
    series = {name: values for name, values in series.items() if np.isfinite(values).any()}
    if not series:
        raise OptionError("the history is empty; train the model first")
    across = min(4, len(series))
    down = -(-len(series) // across)
    figure = new_figure(2.3 * across, 1.6 * down)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for axis, (name, values) in zip(axes, series.items(), strict=False):
        finite = np.isfinite(values)
        epoch = np.arange(1, values.size + 1)[finite]
        axis.plot(epoch, values[finite], "." if epoch.size == 1 else "-", color=BLUE, linewidth=1.2)
        axis.set_title(name.replace("_", " "), fontsize=8, loc="left")
        tidy(axis, grid="y")
        axis.tick_params(labelsize=7)
    for axis in axes[len(series) :]:
        axis.remove()
    figure.supxlabel("epoch", fontsize=8)
    return figure
