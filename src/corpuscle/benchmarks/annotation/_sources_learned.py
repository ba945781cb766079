"""Scores of a classifier trained on a few labelled cells, of prototypes, and of texts."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from corpuscle.benchmarks.annotation._draw import Draw
from corpuscle.benchmarks.annotation._sources_markers import MarkerScores
from corpuscle.benchmarks.annotation.sources import Array, Scored, by_name
from corpuscle.errors import MethodError, OptionError
from corpuscle.seeds import stream, stream_seed

__all__ = ["Prototypes", "Reference", "Text"]


@dataclass
class Reference:
    """Logistic regression on labelled cells of the same data set, judged on others.

    Parameters
    ----------
    per_type
        Labelled cells a type, at most half of those that there are. They are taken from the cells that were not drawn
        as far as those suffice, and then from the drawn, which are not judged.
    batch
        ``obs`` column: learn from all cells of one batch, which the seed chooses, and judge those of the others.
    """

    per_type: int = 10
    batch: str | None = None
    name = "reference"
    needs_labels = True

    def __post_init__(self) -> None:
        if self.per_type < 1:
            raise OptionError(f"reference: per_type is {self.per_type}; it must be 1 or more")

    @property
    def told(self) -> str:
        """What it knows of the truth."""
        return f"{self.per_type} labelled cells a type" if self.batch is None else "the labels of one batch"

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Learn, then score the cells that it did not learn from."""
        from corpuscle.annotate.sources.reference import reference_scores

        cells = draw.cells
        learnt = _few_cells(draw, self.per_type) if self.batch is None else _one_batch(draw, self.batch)
        judged_n = (
            np.flatnonzero(~np.isin(draw.row_n, learnt)) if self.batch is None else _other(draw, learnt, self.batch)
        )
        if not judged_n.size:
            raise MethodError(f"{self.name}: no cell is left to be judged on {cells.name}")
        labels = np.asarray(cells.types, dtype=object)[cells.code_n[learnt]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # few labelled cells are what was asked for
            scores = reference_scores(
                draw.counts[judged_n].copy(), cells.counts[learnt].copy(), labels,
                seed=stream_seed(seed, "annotation", "reference"),
            )  # fmt: skip
        size_k = np.bincount(cells.code_n[learnt], minlength=len(cells.types))
        few = [f"{name} ({n})" for name, n in zip(cells.types, size_k, strict=True) if n < self.per_type]
        notes = (
            (f"{cells.name}: labelled cells fewer than asked for: {', '.join(few)}",) if few and not self.batch else ()
        )
        return Scored(scores, by_name(scores.types, cells), judged_n, notes)


def _few_cells(draw: Draw, per_type: int) -> Array:
    """Cells of the data set to learn from: so many a type, those first that were not drawn."""
    rng = stream(draw.seed, "annotation", "labelled")
    order_n = rng.permutation(draw.cells.n_cells)
    drawn_n = np.zeros(draw.cells.n_cells, bool)
    drawn_n[draw.row_n] = True
    order_n = order_n[np.argsort(drawn_n[order_n], kind="stable")]
    picked = []
    for k in range(len(draw.cells.types)):
        of_type = order_n[draw.cells.code_n[order_n] == k]
        picked.append(of_type[: min(per_type, of_type.size // 2)])
    return np.sort(np.concatenate(picked))


def _one_batch(draw: Draw, column: str) -> Array:
    """All cells of one batch; seeds take the batches in turn."""
    obs = draw.cells.obs
    if column not in obs:
        raise OptionError(
            f"{draw.cells.name}: no obs column {column!r} for batches; it has: {', '.join(map(str, obs))}"
        )
    batch_n = obs[column].astype(str).to_numpy()
    names = sorted(set(batch_n))
    if len(names) < 2:
        raise MethodError(f"{draw.cells.name}: {column} has one batch, so there is none to be judged on")
    return np.flatnonzero(batch_n == names[draw.seed % len(names)])


def _other(draw: Draw, learnt: Array, column: str) -> Array:
    batch_n = draw.cells.obs[column].astype(str).to_numpy()
    return np.flatnonzero(batch_n[draw.row_n] != batch_n[learnt[0]])


@dataclass
class Prototypes:
    """Likeness to each type's mean cell in the principal components, the means made by the best-scoring marker cells.

    Parameters
    ----------
    organs
        As for ``markers``, with ``+`` between them.
    """

    organs: str | None = None
    name = "prototypes"
    told = "the types"
    needs_labels = False

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Seed the prototypes with markers, then compare."""
        from corpuscle.annotate.sources.prototypes import prototype_scores, seeded_prototypes

        seeds = MarkerScores(organs=self.organs)(draw, seed)
        embedding_nd = draw.embedding(np.arange(draw.n_cells))
        scores = prototype_scores(embedding_nd, seeded_prototypes(embedding_nd, seeds.scores))
        return Scored(scores, by_name(scores.types, draw.cells), notes=seeds.notes)


@dataclass
class Text:
    """Likeness of a sentence of each cell's genes to a text on each type, by a general sentence model."""

    organs: str | None = None
    name = "text"
    told = "the types"
    needs_labels = False

    def __call__(self, draw: Draw, seed: int) -> Scored:
        """Embed cells and texts."""
        from corpuscle.annotate.sources.text import text_scores

        markers, notes = MarkerScores(organs=self.organs).markers(draw)
        scores = text_scores(draw.counts, markers)
        return Scored(scores, by_name(scores.types, draw.cells), notes=notes)
