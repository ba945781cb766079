"""Scores by the likeness of cells and words in the space of a model that was trained on captions of cells."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources._celltext_queries import Queries, queries_of
from corpuscle.errors import OptionError

if TYPE_CHECKING:
    from corpuscle.models.celltext import CellText

__all__ = ["cell_text_scores"]

Array = np.ndarray[Any, Any]
#: Cells that are brought into the shared space at a time.
BLOCK_CELLS = 16_384
#: A type's words that are less like every label of training may be those of another type. With all-MiniLM-L6-v2 no type
#: of another organ reaches it (python -m benches.cell_text_words), nor do most other wordings of a type that training
#: named: a type is warned of too often rather than too seldom.
ALIKE = 0.8
#: Types that one line names.
NAMED = 8


def cell_text_scores(
    data: Any,
    model: CellText | str | Path,
    types: Sequence[str] | None = None,
    *,
    template: str | None = None,
    layer: str | None = None,
    scale: float = 20.0,
) -> Scores:
    """Score cells by the cosine with a caption of each type, in the space of a model of cells and text.

    Parameters
    ----------
    data
        A path or glob pattern of raw counts, an AnnData with raw counts, or a folder of ``corpuscle corpus pair``. Counts are
        read a block at a time and embedded as those of the training were.
    model
        The model, or the folder that ``corpuscle train cell-text`` wrote.
    types
        Names, or Cell Ontology ids, to choose from; the labels of the training captions if None.
    template
        Caption of a type, such as ``"This is a {type} cell."``, with one name in braces. If None, a type that training
        named, by label or as the same Cell Ontology term, is asked for by its training caption, and another one by
        the template of the training captions, or by its name if they have none with one field.
    layer
        Matrix with the raw counts, instead of the main one.
    scale
        What the cosines are multiplied by. It matters to a softmax of them, never to which is highest.

    Returns
    -------
    Scores
        (n, K) float32. ``about`` has the texts.

    Raises
    ------
    OptionError
        No types are given and the model does not know its captions; a type, the template or the scale makes no sense.
    SourceError, NotCountsError, GeneError
        The model or the counts cannot be read, or the counts have none of the genes of the model's embedding.
    MethodError
        The extras ``models`` and ``text`` are missing, or the model has no embedding to turn counts into vectors.

    Warns
    -----
    UserWarning
        Types that are like no label of the training: such a model does not recognise what training never named.
    """
    from corpuscle.models.celltext import CellText
    from corpuscle.models.celltext.cells import cell_vectors
    from corpuscle.models.celltext.zero_shot import zero_shot

    if not (np.isfinite(scale) and scale > 0):
        raise OptionError(f"scale={scale}: needs to be above 0")
    name = Path(model).name if isinstance(model, str | Path) else "a model in memory"
    if isinstance(model, str | Path):
        model = CellText.load(model)
    elif not isinstance(model, CellText):
        raise OptionError(f"model: a {type(model).__name__} is no model of cells and text; give one, or its folder")
    asked = queries_of(model.captions, types, template)
    notes = [*asked.notes, *_strangers(model, asked)]
    found = cell_vectors(model, data, layer=layer)
    text_kd = model.encode_texts(asked.texts)
    values_nk = np.empty((len(found.ids), len(asked.texts)), np.float32)
    for start in range(0, len(values_nk), BLOCK_CELLS):
        rows = slice(start, start + BLOCK_CELLS)
        values_nk[rows] = zero_shot(model.encode_cells(found.vectors_nd[rows]), text_kd, scale=scale)
    about = {
        "model": name, "key": model.key, "scale": float(scale), "texts": list(asked.texts), "notes": [*notes, *found.notes],
    }  # fmt: skip
    cells = np.asarray(found.ids, dtype=object)
    return Scores(values_nk, asked.types, asked.cl_ids, "likeness of cells and text", cells, about)


def _strangers(model: CellText, asked: Queries) -> list[str]:
    """A line, and a warning, for the types that training named neither so nor in words much like these."""
    if not asked.labels or not asked.unnamed:
        return []
    from corpuscle.models.celltext.closest import closest_captions

    nearest = closest_captions(model.model, model.captions, asked.unnamed, top=1)
    far = [
        f"{row.query} (nearest: {row.label}, {row.cosine:.2f})" for row in nearest.itertuples() if row.cosine < ALIKE
    ]
    if not far:
        return []
    more = f" and {len(far) - NAMED} more" if len(far) > NAMED else ""
    line = (
        f"no caption of the training says this or much the same: {', '.join(far[:NAMED])}{more}; such a model does not "
        "recognise types that training never named"
    )
    warnings.warn(line, UserWarning, stacklevel=3)
    return [line]
