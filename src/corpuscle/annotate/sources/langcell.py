"""LangCell's class scores from its embeddings and match probabilities, for users who have its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import logit, softmax

from corpuscle.annotate.scores import Scores, checked_values
from corpuscle.errors import OptionError, SourceError

if TYPE_CHECKING:
    from corpuscle.annotate.ontology import CellOntology

__all__ = ["LangCellParts", "cell_type_texts", "langcell_parts", "langcell_scores"]

Array = np.ndarray[Any, Any]
#: Weight of the embeddings' similarity in the authors' reported zero-shot run, and the temperature of that similarity.
ALPHA = 0.1
TAU = 0.05
#: A match probability is taken as no surer than this.
SURE = 1e-6


@dataclass(frozen=True)
class LangCellParts:
    """The two class distributions that LangCell mixes, each (n, K) with rows that add up to 1.

    ``ctm_nk`` is None where no match probabilities were given; the mixture is then the similarity alone.
    """

    sim_nk: Array
    ctm_nk: Array | None
    types: tuple[str, ...]
    cl_ids: tuple[str | None, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)

    def mix(self, alpha: float = ALPHA) -> Scores:
        """``alpha`` of the similarity and ``1 - alpha`` of the matching, as scores; the parts stay as they are.

        Raises
        ------
        OptionError
            ``alpha`` is not between 0 and 1.
        """
        if not 0 <= alpha <= 1:
            raise OptionError(f"alpha {alpha:g} is not between 0 (matching alone) and 1 (similarity alone)")
        if self.ctm_nk is None:
            values_nk, weight = self.sim_nk, 1.0
        else:
            values_nk, weight = alpha * self.sim_nk + (1 - alpha) * self.ctm_nk, float(alpha)
        return Scores(values_nk, self.types, self.cl_ids, "langcell", about={**self.about, "alpha": weight})


def langcell_scores(
    cell_nd: Any,
    text_kd: Any,
    match_nk: Any,
    types: Sequence[str],
    *,
    alpha: float = ALPHA,
    tau: float = TAU,
    published: bool = False,
    cl_ids: Sequence[str | None] = (),
) -> Scores:
    """Class scores of LangCell: a mixture of what its embeddings and its matching head say.

    To try several ``alpha``, make the parts once with :func:`langcell_parts` and call their ``mix``.

    Parameters
    ----------
    cell_nd, text_kd
        (n, d) cell and (K, d) text embeddings; rows are brought to length 1.
    match_nk
        (n, K) probability in [0, 1] that text k describes cell n, from the matching head; None leaves it out.
    types
        Names of the K texts, in their order. Keep it fixed: the reference implementation takes it from a Python set.
    alpha
        Weight of the similarity.
    tau
        Temperature of the similarity.
    published
        Take the authors' formula, with a softmax over the match probabilities themselves.
    cl_ids
        Cell Ontology ids of the types.

    Returns
    -------
    Scores
        (n, K), rows add up to 1.

    Raises
    ------
    SourceError
        Arrays do not fit each other, are not finite, or a match is no probability.
    OptionError
        ``alpha`` or ``tau`` makes no sense, or types are not named.

    Notes
    -----
    ``alpha softmax(cos / tau) + (1 - alpha) ctm`` (Zhao et al. 2024, arXiv 2405.06708). In the authors' code ``ctm`` is
    ``softmax(m)``: with m in [0, 1] no type can have more than ``e / (e + K - 1)`` of it, 0.28 for 8 types, so that the
    matching hardly counts. Here it is ``softmax(logit(m))``, the odds of each type divided by their sum: the probability of
    each type, given independent matches, if exactly one of the texts is true.
    """
    parts = langcell_parts(cell_nd, text_kd, match_nk, types, tau=tau, published=published, cl_ids=cl_ids)
    return parts.mix(alpha)


def langcell_parts(
    cell_nd: Any,
    text_kd: Any,
    match_nk: Any,
    types: Sequence[str],
    *,
    tau: float = TAU,
    published: bool = False,
    cl_ids: Sequence[str | None] = (),
) -> LangCellParts:
    """The two parts of LangCell's scores; parameters as in :func:`langcell_scores`."""
    if not (np.isfinite(tau) and tau > 0):
        raise OptionError(f"tau {tau:g} is not above 0")
    cell_nd, text_kd = _unit_rows(cell_nd, "cell embeddings"), _unit_rows(text_kd, "text embeddings")
    if cell_nd.shape[1] != text_kd.shape[1]:
        raise SourceError(
            f"cell embeddings have {cell_nd.shape[1]} dimensions and text embeddings {text_kd.shape[1]}; give both from one model"
        )
    if len(text_kd) != len(types):
        raise OptionError(f"{len(types)} types for {len(text_kd)} text embeddings; name each text once")
    ctm_nk = None if match_nk is None else _matching(match_nk, (len(cell_nd), len(types)), published)
    about = {"tau": float(tau), "published": bool(published), "matching": ctm_nk is not None}
    return LangCellParts(softmax(cell_nd @ text_kd.T / tau, axis=1), ctm_nk, tuple(types), tuple(cl_ids), about)


def cell_type_texts(types: Sequence[str], ontology: CellOntology | None = None) -> list[str]:
    """The text that LangCell is shown for each type: ``"cell type: B cell. A lymphocyte that ...; "``.

    Parameters
    ----------
    types
        Names or Cell Ontology ids.
    ontology
        Where they are looked up; the bundled one by default.

    Returns
    -------
    list of str
        In the order of ``types``. A type without a definition has its name only, one that the ontology does not know keeps
        the name that it was given.
    """
    if ontology is None:
        from corpuscle.annotate.ontology import cell_ontology

        ontology = cell_ontology()
    texts = []
    for name in types:
        cl_id = ontology.find(name)
        label = name if cl_id is None else ontology.label(cl_id)
        definition = "" if cl_id is None else (ontology.definition(cl_id) or "")
        texts.append(f"cell type: {label}. {definition}; " if definition else f"cell type: {label}; ")
    return texts


def _matching(match_nk: Any, shape: tuple[int, int], published: bool) -> Array:
    match_nk = checked_values(match_nk, what="match probabilities")
    if match_nk.shape != shape:
        raise SourceError(f"match probabilities: shape {match_nk.shape} for {shape[0]:,} cells x {shape[1]} types")
    outside = np.flatnonzero(((match_nk < 0) | (match_nk > 1)).any(axis=1))
    if outside.size:
        raise SourceError(
            f"match probabilities: {outside.size:,} cells (the first: {outside[0]}) have values outside 0 to 1; give "
            "the softmax of the matching head, index 1"
        )
    if published:
        return np.asarray(softmax(match_nk, axis=1))
    return np.asarray(softmax(logit(np.clip(match_nk, SURE, 1 - SURE)), axis=1))


def _unit_rows(x_md: Any, what: str) -> Array:
    x_md = checked_values(x_md, what=what)
    length_m = np.linalg.norm(x_md, axis=1)
    empty = np.flatnonzero(length_m == 0)
    if empty.size:
        raise SourceError(f"{what}: row {empty[0]} is all zero and has no direction; embed it again or leave it out")
    return x_md / length_m[:, None]
