"""Scores of a CellTypist model, computed from its file: nothing of CellTypist's is installed, nothing is unpickled."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from scipy.special import expit

from corpuscle.annotate._expression import Expression, expression_of
from corpuscle.annotate.scores import Scores
from corpuscle.annotate.sources._celltypist_model import LinearModel, read_celltypist_model
from corpuscle.annotate.sources._known_types import known_cl_ids
from corpuscle.errors import GeneError, OptionError

__all__ = ["KINDS", "celltypist_scores"]

Array = np.ndarray[Any, Any]
KINDS = ("decision", "probability", "normalized")
#: A standardised value is cut here, as it was when the model was trained.
CLIP = 10.0


def celltypist_scores(
    source: Any,
    model_file: str | Path,
    *,
    kind: str = "decision",
    layer: str | None = None,
    logged: bool = False,
    min_share: float = 0.1,
) -> Scores:
    """Scores of a CellTypist model (or of one in its format, such as STCAT's) for the cells of a source.

    Parameters
    ----------
    source
        A path, glob, AnnData or Counts of raw counts, **with all genes**: a cell's depth is counted over all of them.
    model_file
        The model (``.pkl``), which is read without unpickling.
    kind
        ``"decision"``: the linear decision; ``"probability"``: its sigmoid, one against the rest, so that rows do not add
        up to 1; ``"normalized"``: the probabilities divided by their row's sum.
    layer
        Matrix of the source to read.
    logged
        The values are already log1p of counts per 10,000.
    min_share
        Share of the model's genes that must be there.

    Returns
    -------
    Scores
        (n, K) float32 in the model's order of types, with the Cell Ontology ids of those that it names in the ontology's
        words. ``about`` tells how many genes were used.

    Raises
    ------
    GeneError
        Too few of the model's genes are there.
    SourceError, NotCountsError, OptionError
        The model or the source cannot be read, or an option does not exist.

    Notes
    -----
    ``decision = min((x - mean) / sd, 10) coef^T + intercept`` over the genes that model and source share; what a model gene
    that is missing would add is left out, as in the library (Domínguez Conde et al. 2022, Science 376, eabl5197). A gene is
    matched by its name as it is, else by its symbol: in capitals, from its Ensembl id, or from its mouse ortholog.

    For refinement the decision is the better choice: a sigmoid that is 0 or 1 to float precision no longer ranks types.
    """
    if kind not in KINDS:
        raise OptionError(f"kind {kind!r} is not one of {', '.join(KINDS)}")
    if not 0 <= min_share <= 1:
        raise OptionError(f"min_share {min_share:g} is not between 0 and 1")
    model = read_celltypist_model(model_file)
    name = Path(model_file).name
    with expression_of(source, layer=layer, logged=logged) as expression:
        model_g, column_g = _shared(model, expression)
        n_shared, n_genes = len(model_g), len(model.genes)
        if n_shared == 0 or n_shared < min_share * n_genes:
            raise GeneError(
                f"{expression.name}: has {n_shared:,} of the {n_genes:,} genes of {name}, fewer than {min_share:.0%}; "
                "give a source with all its genes, or a model of this species"
            )
        values_nk = _decisions(expression, model, model_g, column_g)
        exact = sum(expression.genes[column] == model.genes[i] for i, column in zip(model_g, column_g, strict=True))
        cells, notes = expression.cells, list(expression.notes)
    _convert(values_nk, kind)
    if 2 * n_shared < n_genes:
        notes.append(f"only {n_shared:,} of the model's {n_genes:,} genes are in the source: scores are less certain")
    about = {
        "model": name,
        "kind": kind,
        "n_model_genes": n_genes,
        "n_shared_genes": n_shared,
        "n_exact_names": exact,
        "description": dict(model.description),
        "notes": tuple(notes),
    }
    return Scores(values_nk, model.types, known_cl_ids(model.types), f"celltypist {name}", cells, about)


def _shared(model: LinearModel, expression: Expression) -> tuple[Array, Array]:
    """Positions in the model and in the source of the genes that both have; no column of the source is used twice."""
    place = expression.positions(model.genes)
    own = {i: place[gene] for i, gene in enumerate(model.genes) if gene in place}
    taken: dict[int, int] = {}
    for i, column in own.items():
        if expression.genes[column] == model.genes[i]:
            taken[column] = i
    for i, column in own.items():
        taken.setdefault(column, i)
    pairs = np.array(sorted((i, column) for column, i in taken.items()), dtype=np.int64).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1]


def _decisions(expression: Expression, model: LinearModel, model_g: Array, column_g: Array) -> Array:
    mean_g, scale_g = model.mean_g[model_g], model.scale_g[model_g]
    coef_gk = np.ascontiguousarray(model.coef_kg[:, model_g].T)
    # What a gene without expression is after scaling. Only the difference from it is stored, so blocks stay sparse.
    zero_g = np.minimum(-mean_g / scale_g, CLIP)
    zero_k = zero_g @ coef_gk + model.intercept_k
    values_nk = np.empty((expression.n_cells, len(model.types)), dtype=np.float32)
    for rows, x_ng in expression.blocks():
        part = x_ng[:, column_g]
        gene = part.indices
        z = np.minimum((part.data - mean_g[gene]) / scale_g[gene], CLIP) - zero_g[gene]
        values_nk[rows] = sp.csr_matrix((z, gene, part.indptr), shape=part.shape) @ coef_gk + zero_k
    return values_nk


def _convert(values_nk: Array, kind: str) -> None:
    """Decisions to what was asked for, in place."""
    if kind == "decision":
        return
    expit(values_nk, out=values_nk)
    if kind == "normalized":
        # Where all types are out of the question to float precision, the least unlikely is not known.
        np.maximum(values_nk, np.finfo(np.float32).tiny, out=values_nk)
        values_nk /= values_nk.sum(axis=1, keepdims=True)
