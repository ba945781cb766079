"""Topics switched off, moved or set in silico, and the expression that the decoder then gives."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import numpy as np
import pandas as pd
import scipy.sparse as sp

from corpuscle.errors import MethodError, OptionError
from corpuscle.models.sce2tm.differential import topic_matrix

__all__ = [
    "Decode",
    "Mode",
    "decode_in_chunks",
    "decoder_of",
    "model_expression",
    "perturb_topics",
    "perturbed_theta",
    "softmax",
]

Array = np.ndarray[Any, Any]
Mode = Literal["remove", "shift", "set"]
#: Topic proportions (b, K) to expression shares (b, V) that sum to 1 in a cell.
Decode = Callable[[Array], Array]

LAYERS = ("reconstructed", "perturbed", "log_ratio")
#: Cells decoded at a time: some tens of MB at thousands of genes.
CHUNK_CELLS = 2048
#: A result larger than this is announced before it is made.
LARGE_BYTES = 4 * 2**30


def perturbed_theta(
    logits_nk: Array | pd.DataFrame,
    topics: Sequence[int] | Array,
    mode: Mode,
    strength: float = 1.0,
    reference_nk: Array | pd.DataFrame | None = None,
    value: float | None = None,
    *,
    quantile: float = 0.5,
    source_nk: Array | pd.DataFrame | None = None,
) -> Array:
    """Topic proportions of cells after some of their topics are removed, shifted or set.

    Parameters
    ----------
    logits_nk
        (n, K) topic logits of the cells.
    topics
        Positions of the topics to change.
    mode
        ``"remove"``: the proportions of the topics shrink by ``strength`` (1: switched off) and the rest of the cell
        is scaled up to fill it. ``"shift"``: ``strength`` times the difference of mean logits, reference minus source,
        is added, so that 1 brings the cells' mean to the reference's. ``"set"``: the logits go ``strength`` of the
        way (1: all of it) to ``value``, or to a ``quantile`` of the reference.
    strength
        From 0 (nothing) to 1 for ``"remove"`` and ``"set"``; any number for ``"shift"``.
    reference_nk
        (m, K) logits of the reference cells, of another group or condition.
    value
        Logit for ``"set"``.
    quantile
        Of each topic's logits in the reference, for ``"set"`` without ``value``.
    source_nk
        Cells whose mean the shift starts from, if not ``logits_nk``: other cells of the same kind, so that no cell is
        moved by an amount measured on itself.

    Returns
    -------
    array (n, K) float64
        Rows sum to 1.

    Raises
    ------
    OptionError
        No such topic or mode, or a mode without what it needs.
    MethodError
        A logit is not finite.
    """
    logits_nk, names = topic_matrix(logits_nk)
    topic_t = _topic_positions(topics, len(names))
    _check_strength(mode, strength)
    changed_nk = logits_nk.copy()
    if mode == "remove":
        if strength == 1 and topic_t.size == len(names):
            raise OptionError(f"all {len(names)} topics are to be removed and nothing would be left; remove fewer")
        with np.errstate(divide="ignore"):
            changed_nk[:, topic_t] += np.log1p(-strength)
    elif mode == "shift":
        reference_k = _reference(reference_nk, "shift", len(names)).mean(axis=0)
        source_k = (logits_nk if source_nk is None else _same_topics(source_nk, len(names))).mean(axis=0)
        changed_nk[:, topic_t] += strength * (reference_k - source_k)[topic_t]
    else:
        target_t = _target(value, quantile, reference_nk, topic_t, len(names))
        changed_nk[:, topic_t] += strength * (target_t - changed_nk[:, topic_t])
    return softmax(changed_nk)


def softmax(z_nk: Array) -> Array:
    """Rows of logits as proportions, (n, K) float64; a logit of minus infinity is a share of 0."""
    theta_nk = np.exp(np.asarray(z_nk, np.float64) - np.max(z_nk, axis=1, keepdims=True))
    theta_nk /= theta_nk.sum(axis=1, keepdims=True)
    return theta_nk


def decoder_of(model: Any) -> Decode:
    """Decode with a trained model in evaluation mode: shares of expression over the genes it sees, float32."""
    import torch

    def decode(theta_bk: Array) -> Array:
        log_r_bg = model.module.decode(torch.as_tensor(np.asarray(theta_bk, np.float32)))
        shares_bg: Array = log_r_bg.exp().cpu().numpy()
        return shares_bg

    return decode


def model_expression(model: Any, adata: Any) -> sp.csr_matrix:
    """Cells as a trained model sees them: (n, V) float32 log expression over its genes."""
    return sp.vstack(list(model._expression(adata)), format="csr")


def decode_in_chunks(decode: Decode, theta_nk: Array, *, chunk: int = CHUNK_CELLS) -> Array:
    """Decode ``chunk`` cells at a time into one float32 (n, V) array.

    Raises
    ------
    MethodError
        There is no cell, or the decoder gives something that is not finite.
    """
    parts = [_decoded(decode, theta_nk[start : start + chunk]) for start in range(0, len(theta_nk), chunk)]
    if not parts:
        raise MethodError("there is no cell to decode; choose at least one")
    return np.concatenate(parts)


def perturb_topics(
    model: Any,
    adata: Any,
    cells: Any,
    topics: Sequence[int] | Array,
    mode: Mode = "remove",
    strength: float = 1.0,
    reference: Any = None,
    *,
    value: float | None = None,
    quantile: float = 0.5,
    scale: Literal["prob", "expression"] = "prob",
    layers: Sequence[str] = LAYERS,
) -> Any:
    """Change topics of some cells and reconstruct their expression, before and after.

    Parameters
    ----------
    model
        A trained :class:`~corpuscle.models.SCE2TM`.
    adata
        The cells, with the genes the model needs.
    cells, reference
        Cells to change, and cells to take the level of ``"shift"`` and ``"set"`` from: a boolean mask, positions or
        names; None is all cells, or no reference.
    topics, mode, strength, value, quantile
        See :func:`perturbed_theta`.
    scale
        ``"prob"``: shares of a cell's expression; ``"expression"``: times the cell's own sum of the model's
        log-expression.
    layers
        Which of ``"reconstructed"``, ``"perturbed"`` and ``"log_ratio"`` (natural logarithm of perturbed over
        reconstructed shares) to make. Each is dense: 4 bytes for every cell and gene.

    Returns
    -------
    AnnData, cells x the model's genes
        With the layers, float32; ``obsm["X_topics"]`` and ``obsm["X_topics_perturbed"]``; ``uns["perturbation"]`` says
        what was done. There is no ``X``.

    Raises
    ------
    OptionError
        No such cell, topic, mode, scale or layer.
    """
    import anndata as ad

    _check_layers(layers, scale)
    chosen = adata[cell_positions(adata, cells, "cells")]
    logits_nk = model.get_latent_representation(chosen)
    reference_nk = None
    if reference is not None:
        reference_nk = model.get_latent_representation(adata[cell_positions(adata, reference, "reference")])
    after_nk = perturbed_theta(logits_nk, topics, mode, strength, reference_nk, value, quantile=quantile)
    before_nk = softmax(logits_nk)
    out = ad.AnnData(obs=chosen.obs.copy(), var=pd.DataFrame(index=[str(gene) for gene in model.genes_]))
    out.obsm["X_topics"], out.obsm["X_topics_perturbed"] = before_nk.astype("f4"), after_nk.astype("f4")
    sum_n = model.get_expression_sums(chosen) if scale == "expression" else None
    for layer, values_ng in _layers(decoder_of(model), before_nk, after_nk, out.n_vars, layers, sum_n).items():
        out.layers[layer] = values_ng
    out.uns["perturbation"] = {
        "topics": np.asarray(topics, np.int64),
        "mode": mode,
        "strength": float(strength),
        "value": "" if value is None else float(value),
        "quantile": float(quantile),
        "n_reference": 0 if reference_nk is None else len(reference_nk),
        "scale": scale,
    }
    return out


def cell_positions(adata: Any, cells: Any, what: str) -> Array:
    """Positions of the cells that a mask, positions or names mean; None means all.

    Raises
    ------
    OptionError
        A mask of another length, a position or name that is not there, or no cell at all.
    """
    if cells is None:
        return np.arange(adata.n_obs)
    cells_c = np.asarray(cells)
    if cells_c.dtype == bool:
        if cells_c.shape != (adata.n_obs,):
            raise OptionError(f"{what} is a mask of {cells_c.size:,} cells and there are {adata.n_obs:,}")
        place_c = np.flatnonzero(cells_c)
    elif np.issubdtype(cells_c.dtype, np.integer):
        place_c = cells_c.ravel().astype(np.int64)
        if place_c.size and not (place_c.min() >= 0 and place_c.max() < adata.n_obs):
            raise OptionError(f"{what} holds a position that is none of 0 to {adata.n_obs - 1:,}")
    else:
        place_c = adata.obs_names.get_indexer(cells_c.ravel())
        if (place_c < 0).any():
            raise OptionError(f"{what}: no cell is called {str(cells_c.ravel()[int(np.argmin(place_c))])!r}")
    if not place_c.size:
        raise OptionError(f"{what} chooses no cell; choose at least one")
    return place_c


def _layers(
    decode: Decode, before_nk: Array, after_nk: Array, n_genes: int, wanted: Sequence[str], sum_n: Array | None
) -> dict[str, Array]:
    n = len(before_nk)
    if 4 * n * n_genes * len(wanted) > LARGE_BYTES:
        size = 4 * n * n_genes * len(wanted) / 2**30
        warnings.warn(f"the result takes {size:.1f} GiB; choose fewer cells or layers", stacklevel=3)
    made = {layer: np.empty((n, n_genes), np.float32) for layer in wanted}
    for start in range(0, n, CHUNK_CELLS):
        rows = slice(start, start + CHUNK_CELLS)
        before_bg, after_bg = _decoded(decode, before_nk[rows]), _decoded(decode, after_nk[rows])
        sum_b = 1.0 if sum_n is None else sum_n[rows, None]
        chunk = {
            "reconstructed": before_bg * sum_b,
            "perturbed": after_bg * sum_b,
            "log_ratio": log_ratio(after_bg, before_bg),
        }
        for layer in wanted:
            made[layer][rows] = chunk[layer]
    return made


def log_ratio(after_ng: Array, before_ng: Array) -> Array:
    """Natural logarithm of after over before; the shares of a softmax below float32's range count as its smallest."""
    least = np.finfo(np.float32).tiny
    ratio_ng: Array = np.log(np.maximum(after_ng, least)) - np.log(np.maximum(before_ng, least))
    return ratio_ng


def _decoded(decode: Decode, theta_bk: Array) -> Array:
    r_bg = np.asarray(decode(theta_bk), np.float32)
    if not np.isfinite(r_bg).all():
        raise MethodError("the decoder gives values that are not finite; train the model again")
    return r_bg


def _check_layers(layers: Sequence[str], scale: str) -> None:
    for layer in layers:
        if layer not in LAYERS:
            raise OptionError(f"no layer is called {layer!r}; there are: {', '.join(LAYERS)}")
    if scale not in ("prob", "expression"):
        raise OptionError(f"scale={scale!r} must be one of: prob, expression")


def _topic_positions(topics: Any, n_topics: int) -> Array:
    topic_t = np.atleast_1d(np.asarray(topics))
    if topic_t.size == 0 or not np.issubdtype(topic_t.dtype, np.integer):
        raise OptionError(f"topics must be positions from 0 to {n_topics - 1}, one or more, not {topics!r}")
    if topic_t.min() < 0 or topic_t.max() >= n_topics:
        wrong = topic_t[(topic_t < 0) | (topic_t >= n_topics)][0]
        raise OptionError(f"there is no topic {wrong}; the model has topics 0 to {n_topics - 1}")
    return np.unique(topic_t)


def _check_strength(mode: str, strength: float) -> None:
    if mode not in get_args(Mode):
        raise OptionError(f"no mode is called {mode!r}; there are: {', '.join(get_args(Mode))}")
    if not np.isfinite(strength) or (mode != "shift" and not 0 <= strength <= 1):
        raise OptionError(f"strength={strength} must be from 0 to 1 for mode {mode!r}")


def _reference(reference_nk: Any, mode: str, n_topics: int) -> Array:
    if reference_nk is None:
        raise OptionError(f"mode {mode!r} needs reference cells; name some")
    return _same_topics(reference_nk, n_topics)


def _same_topics(values_nk: Any, n_topics: int) -> Array:
    x_nk, names = topic_matrix(values_nk)
    if len(names) != n_topics or not len(x_nk):
        raise OptionError(f"the reference is {len(x_nk):,} cells x {len(names)} topics; it needs {n_topics} topics")
    return x_nk


def _target(value: float | None, quantile: float, reference_nk: Any, topic_t: Array, n_topics: int) -> Array:
    if value is not None:
        if not np.isfinite(value):
            raise OptionError(f"value={value} must be a finite logit")
        return np.full(topic_t.size, float(value))
    if not 0 <= quantile <= 1:
        raise OptionError(f"quantile={quantile} must be from 0 to 1")
    target_t: Array = np.quantile(_reference(reference_nk, "set", n_topics)[:, topic_t], quantile, axis=0)
    return target_t
