"""Figures of perturbations: where the cells go, and how that compares with every control."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import OptionError
from corpuscle.models.sce2tm._plot_parts import BLUE, GREEN, INK, ORANGE, QUIET, SHAPE, new_figure, tidy, umap_of

__all__ = ["plot_perturbation_map", "plot_perturbation_study"]

Array = np.ndarray[Any, Any]
N_PCS = 50
#: Metric -> its words in a figure, and its value for a prediction of no use.
WORDS = {
    "share_reconstruction": ("distance removed:\nreconstruction", 0.0),
    "share_pcs": ("distance removed:\nprincipal components", 0.0),
    "share_measured_pcs": ("distance removed:\nto measured cells", 0.0),
    "pearson_all": ("Pearson r,\nall genes", 0.0),
    "spearman_all": ("Spearman r,\nall genes", 0.0),
    "pearson_top": ("Pearson r,\ntop genes", 0.0),
    "spearman_top": ("Spearman r,\ntop genes", 0.0),
    "auroc_responders": ("AUROC of\nknown responders", 0.5),
}
CONTROLS = (("random", "random topics", "o", QUIET), ("other_type", "topics of other types", "x", INK),
            ("all", "all topics", "^", GREEN), ("replicate", "other half, measured", "d", ORANGE))  # fmt: skip


def plot_perturbation_study(
    study: pd.DataFrame, *, metrics: Sequence[str] = ("share_reconstruction", "share_measured_pcs", "pearson_top",
                                                     "auroc_responders")
) -> Any:  # fmt: skip
    """Chosen topics (bars) beside every control, one panel a metric and one row a cell type.

    Parameters
    ----------
    study
        Of :func:`~corpuscle.models.sce2tm.study.perturbation_study`.
    metrics
        Which, of its column ``metric``.
    """
    types = list(dict.fromkeys(study["cell_type"]))
    for metric in metrics:
        if metric not in set(study["metric"]):
            raise OptionError(f"the study has no metric {metric!r}; it has: {', '.join(sorted(set(study['metric'])))}")
    figure = new_figure(1.6 + 2.0 * len(metrics), 1.5 + 0.34 * len(types))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    place = {name: i for i, name in enumerate(types)}
    for axis, metric in zip(axes, metrics, strict=True):
        _study_panel(axis, study[study["metric"] == metric], place, *WORDS.get(metric, (metric, 0.0)))
    axes[0].set_yticks(range(len(types)), types, fontsize=8)
    axes[0].set_ylim(len(types) - 0.4, -0.6)
    drawn = {name: one for axis in axes for one, name in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = [name for name in ("chosen topics", *(words for _, words, _, _ in CONTROLS)) if name in drawn]
    handles = [drawn[name] for name in names]
    figure.legend(handles, names, loc="outside lower center", ncols=5, frameon=False, fontsize=8, handletextpad=0.3)
    return figure


def _study_panel(axis: Any, rows: pd.DataFrame, place: dict[str, int], title: str, worthless: float) -> None:
    axis.axvline(worthless, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
    of = dict(list(rows.groupby("topics_from")))
    chosen = of["chosen"]
    width = chosen["value"].to_numpy(float) - worthless
    axis.barh([place[t] for t in chosen["cell_type"]], width, 0.62, left=worthless, color=BLUE, alpha=0.45,
              label="chosen topics", zorder=1)  # fmt: skip
    for name, words, marker, colour in CONTROLS:
        part = of.get(name)
        if part is None:
            continue
        y = np.array([place[t] for t in part["cell_type"]], float)
        if name == "random":  # spread, for many draws fall together
            y += 0.22 * np.sin(np.arange(len(part)) * 2.4)
        axis.plot(
            part["value"], y, marker, color=colour, markersize=3 if name == "random" else 4.5, alpha=0.8, label=words,
            markeredgewidth=0 if name == "random" else 0.9, zorder=2 if name == "random" else 3,
        )  # fmt: skip
    for _, row in chosen[chosen["value"].isna()].iterrows():
        axis.annotate(
            "undefined", (worthless, place[row["cell_type"]]), fontsize=7, style="italic", color=QUIET, va="center"
        )
    axis.set_title(title, fontsize=8, loc="left")
    tidy(axis, grid="x")
    axis.tick_params(axis="y", length=0)


def plot_perturbation_map(
    before_ng: Array,
    after_ng: Array,
    target_ng: Array,
    *,
    names: tuple[str, str, str] = ("before", "perturbed", "target"),
    seed: int = 0,
) -> Any:
    """Map of reconstructed cells before and after, with the target's, and the way of the centroids.

    The map is fitted on the cells before and on the target alone, over their first 50 principal components; the
    perturbed cells are then placed into it. A map shows where cells go, not how far: beside it are the shares of the
    distance between centroids, in all genes and in the components.

    Parameters
    ----------
    before_ng, after_ng, target_ng
        Reconstructed expression (n, V), (n, V) and (m, V): the layers of a perturbation, and ``reconstructed`` of
        the target cells.
    names
        What to call the three.
    seed
        Of the map.
    """
    from sklearn.decomposition import PCA

    from corpuscle.models.sce2tm._judge import share_removed

    fitted = np.vstack([before_ng, target_ng])
    pca = PCA(min(N_PCS, min(fitted.shape) - 1), svd_solver="arpack", random_state=seed).fit(fitted)
    mean_g, loadings_gp = pca.mean_, pca.components_.T
    xy_n2, after_n2 = umap_of(pca.transform(fitted), metric="euclidean", seed=seed, then=pca.transform(after_ng))
    before_n2, target_n2 = np.split(xy_n2, [len(before_ng)])
    figure = new_figure(7.6, 4.4)
    axis, side = figure.subplots(1, 2, width_ratios=[3.4, 1])
    _draw_map(axis, (before_n2, after_n2, target_n2), names)
    ends = [np.asarray(x, float).mean(axis=0) for x in (before_ng, after_ng, target_ng)]
    shares = [share_removed(*ends), share_removed(*((end - mean_g) @ loadings_gp for end in ends))]
    side.bar(["all genes", f"{loadings_gp.shape[1]} components"], shares, 0.6, color=BLUE, alpha=0.6)
    side.axhline(0, color=QUIET, linewidth=0.8)
    side.axhline(1, color=SHAPE, linewidth=0.8, linestyle=(0, (2, 3)))
    side.set_title("share of the centroids'\ndistance removed", fontsize=8, loc="left")
    side.tick_params(axis="x", labelrotation=35)
    side.set_ylim(min(0.0, *shares) * 1.15, 1.05)
    for place, share in enumerate(shares):
        side.annotate(
            f"{share:.2f}", (place, max(share, 0)), (0, 3), textcoords="offset points", ha="center", fontsize=8
        )
    tidy(side)
    return figure


def _draw_map(axis: Any, maps: tuple[Array, Array, Array], names: tuple[str, str, str]) -> None:
    # Circles for what is, triangles for what is predicted.
    kinds = ((maps[0], names[0], "o", QUIET), (maps[2], names[2], "s", BLUE), (maps[1], names[1], "^", ORANGE))
    for xy_n2, name, marker, colour in kinds:
        axis.plot(xy_n2[:, 0], xy_n2[:, 1], marker, color=colour, markersize=3, markeredgewidth=0, alpha=0.35)
        centre = np.median(xy_n2, axis=0)
        axis.plot(
            *centre, marker, color=colour, markersize=10, markeredgecolor="white", markeredgewidth=1.2, zorder=5,
            label=f"{name} ({len(xy_n2):,})",
        )  # fmt: skip
    start, end = np.median(maps[0], axis=0), np.median(maps[1], axis=0)
    axis.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": INK, "linewidth": 1.1, "shrinkA": 6,
                                              "shrinkB": 6}, zorder=6)  # fmt: skip
    axis.set_xticks([])
    axis.set_yticks([])
    axis.set_xlabel("UMAP 1 (medians marked)", fontsize=8)
    axis.set_ylabel("UMAP 2", fontsize=8)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.06), ncols=3)
