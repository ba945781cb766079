"""Does moving topics move cells the way a real stimulus does? Topics chosen on one half, judged on the other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm import _judge
from corpuscle.models.sce2tm._halves import HalvedCells, stratified_halves
from corpuscle.models.sce2tm._study_summary import study_summary
from corpuscle.models.sce2tm.differential import differential_topics, topic_matrix
from corpuscle.models.sce2tm.perturb import (
    Decode,
    decode_in_chunks,
    decoder_of,
    model_expression,
    perturbed_theta,
    softmax,
)
from corpuscle.seeds import stream, stream_seed

__all__ = ["Choice", "perturbation_study", "stratified_halves", "study_cells", "study_summary"]

Array = np.ndarray[Any, Any]
N_PCS = 50
COLUMNS = (
    "cell_type", "topics_from", "detail", "n_topics", "n_shared", "metric", "value", "n_start", "n_target",
    "n_responders", "reason",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    """How topics are chosen and moved, and against what.

    Attributes
    ----------
    mode
        ``"shift"``: topics of the start cells are shifted by the difference of mean logits, target minus start;
        ``"remove"``: topics higher in the start are switched off.
    strength
        Of the perturbation.
    n_topics
        So many topics with the largest absolute difference; None takes the significant ones.
    min_diff, fdr
        Of :func:`~corpuscle.models.sce2tm.differential.differential_topics`.
    n_random
        Draws of as many topics at random.
    n_top_genes
        Genes most different on the first half, for the correlations over top genes.
    min_cells
        Cells that a type needs in each half and condition.
    """

    mode: Literal["shift", "remove"] = "shift"
    strength: float = 1.0
    n_topics: int | None = None
    min_diff: float = 1.0
    fdr: float = 0.05
    n_random: int = 20
    n_top_genes: int = 100
    min_cells: int = 10


def perturbation_study(
    model: Any,
    adata: Any,
    condition_key: str,
    control: str,
    stimulated: str,
    cell_type: str | Sequence[str] | None = None,
    n_random: int = 20,
    seed: int = 0,
    *,
    cell_type_key: str = "cell_type",
    responders: Sequence[str] = _judge.INTERFERON_GENES,
    **choice: Any,
) -> pd.DataFrame:
    """Move topics of control cells and compare what the decoder predicts with the measured response.

    Cells are split into halves, stratified by type and condition. On the first half the topics are chosen, the
    amounts of the shift and the most different genes found; on the second half the perturbation is made and
    judged. The model itself may have seen all cells, without their conditions; train it on the first half
    (:func:`stratified_halves` with the same seed gives it) to rule that out too.

    Parameters
    ----------
    model
        A trained :class:`~corpuscle.models.SCE2TM`.
    adata
        Cells with the genes the model needs.
    condition_key, control, stimulated
        Column of ``obs``, and the two conditions: start and target.
    cell_type
        Types to study, one after the other; None is every type with enough cells.
    n_random
        Draws of the random control.
    seed
        Of the halves and the draws.
    cell_type_key
        Column of ``obs`` with the types.
    responders
        Genes known to rise with the stimulus.
    **choice
        Further fields of :class:`Choice`.

    Returns
    -------
    DataFrame, tidy
        One row a cell type, choice of topics (``topics_from``) and metric. ``topics_from`` is ``chosen`` (on the
        first half), ``random`` (as many of all topics, ``detail`` the draw), ``other_type`` (as many that mark the type
        in ``detail`` among control cells and are not chosen), ``all`` (every topic: the upper bound) or ``replicate``
        (the change measured on the first half taken as the prediction: no model, and noisy where cells are few).
        ``n_shared`` topics are among the chosen. A value that is not defined is NaN with a ``reason``. Metrics:
        :data:`~corpuscle.models.sce2tm._judge.METRICS`.

    Raises
    ------
    OptionError
        No such column, condition, type or choice.
    MethodError
        No type has enough cells.
    """
    for key in (condition_key, cell_type_key):
        if key not in adata.obs:
            raise OptionError(f"obs has no column {key!r}; it has: {', '.join(map(str, adata.obs.columns))}")
    condition_n = adata.obs[condition_key].astype(str).to_numpy()
    for condition in (control, stimulated):
        if condition not in set(condition_n):
            raise OptionError(f"no cell has {condition_key}={condition!r}; there are: {_listed(condition_n)}")
    if control == stimulated:
        raise OptionError(f"control and stimulated are both {control!r}; name two conditions")
    kept = adata[np.isin(condition_n, [control, stimulated])]
    genes = pd.Index([str(gene) for gene in model.genes_])
    responder_g = genes.get_indexer(list(responders))
    return study_cells(
        model.get_latent_representation(kept),
        model_expression(model, kept),
        kept.obs[condition_key].astype(str).to_numpy() == stimulated,
        kept.obs[cell_type_key].astype(str).to_numpy(),
        decoder_of(model),
        responder_g[responder_g >= 0],
        cell_types=[cell_type] if isinstance(cell_type, str) else cell_type,
        choice=_choice(n_random=n_random, **choice),
        seed=seed,
    )


def study_cells(
    logits_nk: Array,
    x_ng: sp.csr_matrix,
    is_target_n: Array,
    type_n: Array,
    decode: Decode,
    responder_r: Array,
    *,
    cell_types: Sequence[str] | None = None,
    choice: Choice | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Make the study of :func:`perturbation_study` of arrays.

    Parameters
    ----------
    logits_nk, x_ng
        (n, K) topic logits; (n, V) ``log1p`` expression.
    is_target_n, type_n
        (n,) whether the cell is of the target condition; its type.
    decode
        Topic proportions (b, K) to shares of expression (b, V).
    responder_r
        Positions of genes known to respond.
    """
    choice = choice or Choice()
    logits_nk, _ = topic_matrix(logits_nk)
    cells = HalvedCells(
        logits_nk,
        x_ng.tocsr(),
        np.asarray(is_target_n, bool),
        np.asarray(type_n).astype(str),
        stratified_halves([f"{t}\t{int(c)}" for t, c in zip(type_n, is_target_n, strict=True)], seed),
    )
    large = [name for name in sorted(set(cells.type_n)) if cells.least(name) >= choice.min_cells]
    wanted = large if cell_types is None else [str(name) for name in cell_types]
    for name in wanted:
        if name not in set(cells.type_n):
            raise OptionError(f"no cell is of type {name!r}; there are: {_listed(cells.type_n)}")
    if not wanted:
        raise MethodError(f"no cell type has {choice.min_cells} cells in each half and condition; lower min_cells")
    rows = [row for name in wanted for row in _study_type(cells, name, large, decode, responder_r, choice, seed)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _study_type(
    cells: HalvedCells, name: str, others: Sequence[str], decode: Decode, responder_r: Array, choice: Choice, seed: int
) -> list[dict[str, Any]]:
    start_b = cells.part(name, first=False, target=False)
    target_b = cells.part(name, first=False, target=True)
    shared = {"cell_type": name, "n_start": start_b.size, "n_target": target_b.size, "n_responders": responder_r.size}
    if cells.least(name) < choice.min_cells:
        reason = f"{cells.least(name)} cells in a half of a condition, fewer than {choice.min_cells}"
        return _undefined(shared, reason)
    topic_t = _chosen_topics(cells, name, choice)
    if not topic_t.size:
        return _undefined(shared, f"no topic differs by {choice.min_diff} at a false discovery rate of {choice.fdr}")
    measured = _measure(cells, name, responder_r, choice, stream_seed(seed, "principal components", name))
    before_g = _centroid(decode, softmax(cells.logits_nk[start_b]))
    target_g = _centroid(decode, softmax(cells.logits_nk[target_b]))
    rows = []
    for origin, detail, topics in _choices(cells, name, others, topic_t, choice, stream(seed, "random topics", name)):
        after_g = _centroid(decode, _moved(cells, name, start_b, topics, choice))
        numbers = _judge.judge_perturbation(before_g, after_g, target_g, measured)
        labels = {"topics_from": origin, "detail": detail, "n_topics": len(topics)}
        labels["n_shared"] = np.intersect1d(topics, topic_t).size
        rows += _rows(shared | labels, numbers)
    replicate_g = _judge.log_fold_change(*(cells.x_ng[cells.part(name, first=True, target=t)] for t in (False, True)))
    numbers = _judge.judge_fold_change(replicate_g, measured.fold_change_g, measured.top_t, responder_r)
    return rows + _rows(shared | {"topics_from": "replicate", "detail": "", "n_topics": 0, "n_shared": 0}, numbers)


def _chosen_topics(cells: HalvedCells, name: str, choice: Choice) -> Array:
    first = np.concatenate([cells.part(name, first=True, target=t) for t in (False, True)])
    condition = np.where(cells.is_target_n[first], "target", "start")
    table = differential_topics(
        cells.logits_nk[first], condition, min_diff=choice.min_diff, fdr=choice.fdr, min_cells=2
    )
    table = table[table["group"] == "target"]
    if choice.mode == "remove":
        table = table[table["difference"] < 0]
    if choice.n_topics is None:
        table = table[table["significant"]]
    else:
        table = table.reindex(table["difference"].abs().sort_values(ascending=False).index[: choice.n_topics])
    return np.sort(table["topic"].to_numpy(np.int64))


def _choices(
    cells: HalvedCells, name: str, others: Sequence[str], topic_t: Array, choice: Choice, rng: np.random.Generator
) -> Iterator[tuple[str, str, Array]]:
    n_topics = cells.logits_nk.shape[1]
    yield "chosen", ", ".join(map(str, topic_t)), topic_t
    for draw in range(choice.n_random):
        yield "random", str(draw), rng.choice(n_topics, topic_t.size, replace=False)
    starts = np.flatnonzero(cells.first_n & ~cells.is_target_n & np.isin(cells.type_n, [name, *others]))
    if len(set(cells.type_n[starts])) > 1:
        markers = differential_topics(cells.logits_nk[starts], cells.type_n[starts], min_cells=2)
        for other, table in markers.groupby("group", sort=True):
            if other != name:
                marking = table["topic"].to_numpy(np.int64)
                yield "other_type", str(other), marking[~np.isin(marking, topic_t)][: topic_t.size]
    if choice.mode == "shift":
        yield "all", "", np.arange(n_topics)


def _moved(cells: HalvedCells, name: str, start_b: Array, topics: Array, choice: Choice) -> Array:
    """Perturbed proportions of judged cells, by amounts measured on the first half."""
    if choice.mode == "remove":
        return perturbed_theta(cells.logits_nk[start_b], topics, "remove", choice.strength)
    source, reference = (cells.logits_nk[cells.part(name, first=True, target=t)] for t in (False, True))
    logits_bk = cells.logits_nk[start_b]
    return perturbed_theta(logits_bk, topics, "shift", choice.strength, reference, source_nk=source)


def _measure(cells: HalvedCells, name: str, responder_r: Array, choice: Choice, seed: int) -> _judge.Measured:
    a_start, a_target = (cells.x_ng[cells.part(name, first=True, target=t)] for t in (False, True))
    b_start, b_target = (cells.x_ng[cells.part(name, first=False, target=t)] for t in (False, True))
    return _judge.Measured(
        fold_change_g=_judge.log_fold_change(b_start, b_target),
        top_t=_judge.differential_genes(a_start, a_target, choice.n_top_genes),
        responder_r=responder_r,
        loadings_gp=_judge.principal_directions(
            _judge.profile(sp.vstack([a_start, a_target], format="csr")), N_PCS, seed=seed
        ),
        target_g=np.asarray(_judge.profile(b_target).mean(axis=0)).ravel(),
    )


def _centroid(decode: Decode, theta_nk: Array) -> Array:
    centroid_g: Array = decode_in_chunks(decode, theta_nk).mean(axis=0, dtype=np.float64)
    return centroid_g


def _rows(labels: dict[str, Any], numbers: dict[str, float]) -> list[dict[str, Any]]:
    return [
        labels | {"metric": metric, "value": value, "reason": _why_undefined(metric, value, labels["n_responders"])}
        for metric, value in numbers.items()
    ]


def _why_undefined(metric: str, value: float, n_responders: int) -> str:
    if value == value:
        return ""
    if metric.startswith("auroc"):
        return f"{n_responders} known responders among the genes"
    return (
        "the two centroids are the same" if metric.startswith("share") else "the prediction or the change is constant"
    )


def _undefined(shared: dict[str, Any], reason: str) -> list[dict[str, Any]]:
    labels = shared | {"topics_from": "chosen", "detail": "", "n_topics": 0, "n_shared": 0}
    return [labels | {"metric": metric, "value": np.nan, "reason": reason} for metric in _judge.METRICS]


def _choice(**fields: Any) -> Choice:
    known = Choice.__dataclass_fields__
    for field in fields:
        if field not in known:
            raise OptionError(f"the study has no choice {field!r}; it has: {', '.join(known)}")
    made = Choice(**fields)
    if made.mode not in ("shift", "remove"):
        raise OptionError(f"mode={made.mode!r} must be one of: shift, remove")
    if made.n_random < 0 or made.min_cells < 2 or (made.n_topics is not None and made.n_topics < 1):
        raise OptionError("n_random must not be negative, min_cells must be 2 or more and n_topics 1 or more")
    return made


def _listed(values: Array) -> str:
    return ", ".join(sorted(set(map(str, values)))[:20])
