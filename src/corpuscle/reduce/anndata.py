"""The door for AnnData: corrected components into ``obsm``, so that scanpy goes on from there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse

from corpuscle.errors import GeneError, OptionError, SourceError
from corpuscle.reduce._block_mask import BlockMask
from corpuscle.reduce._masks import Masked, masked
from corpuscle.reduce._values_masks import Missing

if TYPE_CHECKING:
    from anndata import AnnData

    from corpuscle.reduce.pca import UnbiasedPCA

__all__ = ["KEY_ADDED", "record", "unbiased_pca"]

KEY_ADDED = "X_unbiased_pca"


def unbiased_pca(
    adata: AnnData,
    *,
    layer: str | None = None,
    mask: Any = None,
    marks: str = "observed",
    genes: str | npt.ArrayLike | None = None,
    n_comps: int | float | str = 50,
    estimator: str = "ratio",
    propensity: Any = "logit",
    center: str | None = "observed",
    double_center: bool = True,
    p_min: float = 0.01,
    solver: str = "auto",
    diagonal: str = "estimated",
    dropout: Mapping[str, Any] | None = None,
    random_state: int | None = 0,
    key_added: str = KEY_ADDED,
    copy: bool = False,
) -> AnnData | None:
    """Principal components of cells with missing entries, into ``obsm``.

    Parameters
    ----------
    adata : AnnData
        Normalised values, cells x genes.
    layer : str, optional
        Layer to read instead of X.
    mask : str, array, sparse matrix, BlockMask or None
        What is missing. None or ``"nan"``: NaN, also stored in a sparse matrix. ``"consensus"``: dropouts, by
        :func:`corpuscle.reduce.dropout_mask` on the same values. ``"zeros"``: every zero, which is warned of. Another name:
        the layer that holds the mask. Or the mask itself.
    marks : {"observed", "missing"}
        What a one in a layer, array or sparse matrix means.
    genes : str or array, optional
        Boolean column of ``var`` (such as ``"highly_variable"``), booleans, positions or names of the genes to use; all
        if None.
    n_comps : int, float or str
        Components: a number, ``"cng"`` (scree test), ``"all"`` with a positive eigenvalue, or a share of these.
    estimator, propensity, center, double_center, p_min, solver, diagonal, random_state
        As for :class:`corpuscle.reduce.UnbiasedPCA`.
    dropout : mapping, optional
        Options of :func:`corpuscle.reduce.dropout_mask` for ``mask="consensus"``.
    key_added : str
        Name in ``obsm``; ``uns`` has the record under the same name without a leading ``X_``.
    copy : bool
        Return a copy and leave ``adata`` alone.

    Returns
    -------
    AnnData or None
        With ``obsm[key_added]`` (n, k), and in ``uns`` the eigenvalues, parameters, what the probabilities are and what
        was clipped; ``obs["observed_share"]`` is the observed share of each cell's entries.

    Raises
    ------
    OptionError
        A name or parameter is not one that exists, or the mask does not fit the values.
    SourceError
        The values cannot be used: infinite, backed on disk, or a cell of which nothing was observed.

    Examples
    --------
    >>> import scanpy as sc  # doctest: +SKIP
    >>> unbiased_pca(adata, mask="consensus", genes="highly_variable")  # doctest: +SKIP
    >>> sc.pp.neighbors(adata, use_rep="X_unbiased_pca")  # doctest: +SKIP
    """
    from corpuscle.reduce.pca import UnbiasedPCA

    if adata.isbacked:
        raise SourceError(f"{adata.filename}: its values are on disk; load them first, with adata.to_memory()")
    adata = adata.copy() if copy else adata
    columns = _columns(adata, genes)
    given, kind = _mask_of(adata, mask, columns)
    data = masked(_matrix(adata, layer)[:, columns], given, marks=marks, kind=kind, dropout=dropout)
    reduction = UnbiasedPCA(
        n_components=n_comps, estimator=estimator, propensity=propensity, center=center, double_center=double_center, p_min=p_min,
        solver=solver, diagonal=diagonal, random_state=random_state,
    )  # fmt: skip
    coordinates_nk = reduction.fit_transform(data.x_nd, mask=data.mask)
    adata.obsm[key_added] = np.asarray(coordinates_nk)
    adata.obs["observed_share"] = data.observed_share_n
    about = record(reduction, data)
    about["params"] |= {"layer": layer or "X", "n_genes": int(data.x_nd.shape[1]), "marks": marks}
    about["params"]["genes"] = genes if isinstance(genes, str) else "all" if genes is None else "given"
    adata.uns[key_added.removeprefix("X_")] = about
    return adata if copy else None


def record(reduction: UnbiasedPCA, data: Masked) -> dict[str, Any]:
    """What ``uns`` keeps of a reduction: eigenvalues, parameters, probabilities and what was clipped."""
    asked = reduction.get_params(deep=False)
    propensity, value_k = asked["propensity"], np.asarray(reduction.eigenvalues_, dtype=np.float64)
    params = {
        name: "none" if asked[name] is None else asked[name]
        for name in (
            "n_components",
            "estimator",
            "center",
            "double_center",
            "p_min",
            "solver",
            "diagonal",
            "random_state",
        )
    }
    n, d = data.x_nd.shape
    about = {
        "params": {**params, "propensity": propensity if isinstance(propensity, str) else "given", "mask": data.kind},
        "eigenvalues": value_k,
        "explained_variance_ratio": np.asarray(reduction.explained_variance_ratio_, dtype=np.float64),
        "n_missing": data.n_missing,
        "missing_share": data.n_missing / (n * d),
        "observed_share": _spread(data.observed_share_n),
        "propensity": _propensity_summary(reduction),
        "n_unobserved_genes": int(reduction.n_unobserved_columns_),
        "notes": np.array(data.words, dtype=str),
    }
    if reduction.n_negative_ is not None:  # not all eigenvalues are found of many cells
        about |= {"n_negative": int(reduction.n_negative_), "explained": np.asarray(reduction.explained_)}
    return about


def _spread(value_n: npt.NDArray[np.float64]) -> dict[str, float]:
    return {"min": float(value_n.min()), "median": float(np.median(value_n)), "max": float(value_n.max())}


def _propensity_summary(reduction: UnbiasedPCA) -> dict[str, Any]:
    """Range of the cells' mean probabilities, and how many were clipped."""
    summary: dict[str, Any] = {"n_clipped": int(reduction.n_clipped_)}
    if reduction.propensity_ is None:
        return summary
    mean_n = np.asarray(reduction.propensity_.row_sum_n()) / len(reduction.columns_)
    return summary | {f"cell_{name}": value for name, value in _spread(mean_n).items()}


def _matrix(adata: AnnData, layer: str | None) -> Any:
    if layer is not None and layer not in adata.layers:
        raise OptionError(f"no layer is called {layer!r}; there are: {', '.join(adata.layers) or 'none'}")
    matrix = adata.X if layer is None else adata.layers[layer]
    if matrix is None:
        raise SourceError(f"there is no X; name one of the layers: {', '.join(adata.layers) or 'there is none'}")
    return matrix.tocsr() if sparse.issparse(matrix) else np.asarray(matrix)


def _mask_of(adata: AnnData, mask: Any, columns: npt.NDArray[np.int64]) -> tuple[Any, str]:
    """The mask of the chosen genes, and what to call it."""
    if mask is None or (isinstance(mask, str) and mask in ("nan", "consensus", "zeros")):
        return mask, ""
    if isinstance(mask, str):
        if mask not in adata.layers:
            layers = ", ".join(adata.layers) or "none"
            raise OptionError(f"mask={mask!r} is neither nan, consensus, zeros nor a layer; there are: {layers}")
        return _matrix(adata, mask)[:, columns], f"layer {mask}"
    shape = tuple(mask.shape) if hasattr(mask, "shape") else np.shape(mask)
    if shape != adata.shape:
        raise OptionError(
            f"the mask is of shape {shape} and the cells and genes are {adata.shape}; give one of the same shape"
        )
    if isinstance(mask, BlockMask):
        return mask.take(columns=columns), "block mask"
    if isinstance(mask, Missing):
        return Missing(
            (mask.matrix.tocsr() if sparse.issparse(mask.matrix) else np.asarray(mask.matrix))[:, columns]
        ), "given"
    return (mask.tocsr() if sparse.issparse(mask) else np.asarray(mask))[:, columns], "given"


def _columns(adata: AnnData, genes: str | npt.ArrayLike | None) -> npt.NDArray[np.int64]:
    """Positions of the genes to use."""
    if genes is None:
        return np.arange(adata.n_vars)
    if isinstance(genes, str):
        if genes not in adata.var:
            raise OptionError(
                f"genes={genes!r} is no column of var; it has: {', '.join(map(str, adata.var.columns)) or 'none'}"
            )
        chosen = adata.var[genes].to_numpy()
        if chosen.dtype != np.bool_:
            raise OptionError(f"the column of var has {chosen.dtype} values; genes are chosen by a boolean column")
    else:
        chosen = np.asarray(genes)
    if chosen.dtype == np.bool_:
        if chosen.shape != (adata.n_vars,):
            raise OptionError(f"genes are {chosen.shape} booleans for {adata.n_vars:,} genes; give one a gene")
        found = np.flatnonzero(chosen)
    elif np.issubdtype(chosen.dtype, np.integer):
        found = chosen.astype(np.int64)
        if found.size and not (found.min() >= 0 and found.max() < adata.n_vars):
            raise OptionError(
                f"genes are positions from {found.min()} to {found.max()}; there are {adata.n_vars:,} genes"
            )
    else:
        found = adata.var_names.get_indexer(pd.Index(chosen.ravel().astype(str)))
        if (found < 0).any():
            raise GeneError(f"no gene is called {chosen.ravel()[found < 0][0]!r}; give names of var")
    if not found.size:
        raise OptionError("no gene is chosen; choose some, or leave genes out")
    return np.asarray(found, dtype=np.int64)
