"""From a file to corrected components in one call: values, mask, genes, components."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy import sparse

from corpuscle.errors import OptionError, SourceError
from corpuscle.reduce._load import is_table, load_layer, load_values
from corpuscle.reduce._masks import masked, read_mask
from corpuscle.reduce.anndata import KEY_ADDED, unbiased_pca
from corpuscle.reduce.dropout import THRESHOLD, dropout_mask, whole_numbers

if TYPE_CHECKING:
    from anndata import AnnData

__all__ = ["Reduced", "reduce_file"]

TARGET = 1e4


@dataclass(frozen=True)
class Reduced:
    """Components of a file's cells.

    Attributes
    ----------
    cells
        The cells, without expression, with what :func:`~corpuscle.reduce.unbiased_pca` adds.
    values
        All values as they were read, where a file of them may have to be written; None where the source's counts can be
        streamed once more.
    logged
        Whether counts were scaled and logged.
    zero_filled_n2
        First two ordinary principal components with 0 in the gaps, if they were asked for.
    """

    cells: AnnData
    values: AnnData | None
    logged: bool
    zero_filled_n2: npt.NDArray[np.float64] | None = None


def reduce_file(
    source: Any,
    *,
    mask: str = "nan",
    marks: str = "observed",
    threshold: float | None = None,
    layer: str | None = None,
    log: bool | None = None,
    hvg: int | None = None,
    n_comps: int | float | str = 50,
    estimator: str = "ratio",
    propensity: str = "logit",
    center: str | None = "observed",
    solver: str = "auto",
    seed: int = 0,
    key_added: str = KEY_ADDED,
    compare: bool = False,
) -> Reduced:
    """Corrected principal components of the cells of a file.

    Parameters
    ----------
    source
        As for :func:`corpuscle.open_counts`, or a table of numbers with gaps (text or ``.npy``, a row a sample).
    mask
        ``"nan"``, ``"zeros-consensus"`` (dropouts, by a vote of clusterings of the counts), ``"zeros"``, ``"layer:NAME"``, or
        a file (``.npy``, ``.npz``, ``.mtx``).
    marks
        What a one in a layer or file means: ``"observed"`` or ``"missing"``.
    threshold
        Of the consensus: share of zeros in a cluster from which a zero is real; 0.85 if None.
    layer
        Matrix to read instead of the main one.
    log
        Scale each cell to 10,000 counts and take log1p. By default if the values are counts without gaps.
    hvg
        Use this many genes, those of highest dispersion (of highest observed variance where values are NaN).
    n_comps, estimator, propensity, center, solver, key_added
        As for :func:`corpuscle.reduce.unbiased_pca`.
    seed
        Of everything random.
    compare
        Also take the first two components of the zero-filled values.

    Raises
    ------
    OptionError
        An option is not one that exists, or does not fit the values.
    SourceError
        The source or the mask cannot be read.
    NotCountsError
        Counts were needed and the values are none.
    """
    _check(source, mask, hvg, threshold)
    from_counts = (mask == "zeros-consensus" and log is not False) or bool(log)
    read = load_values(source, layer, counts=from_counts)
    logged = from_counts or (log is None and _are_counts(read.X))
    given = _read_mask(source, mask)
    values = _logged(read) if logged else read
    genes = np.arange(read.n_vars) if hvg is None else _variable(values.X, hvg)
    if mask == "zeros-consensus":
        chosen_nd, cut = read[:, genes].X, THRESHOLD if threshold is None else threshold
        given, marks = dropout_mask(chosen_nd, threshold=cut, log=logged or None, random_state=seed), "observed"
    elif not isinstance(given, str):
        given = _fit_mask(given, read.shape)[:, genes]
    chosen = values if hvg is None else values[:, genes].copy()
    unbiased_pca(
        chosen, mask=given, marks=marks, n_comps=n_comps, estimator=estimator, propensity=propensity, center=center,
        solver=solver, random_state=seed, key_added=key_added,
    )  # fmt: skip
    cells = _without_values(chosen, key_added)
    about = cells.uns[key_added.removeprefix("X_")]
    about["params"] |= {"mask": mask, "layer": layer or "X", "log": logged, "hvg": hvg or "all"}
    if mask == "zeros-consensus":
        about["params"] |= {
            "threshold": given.threshold,
            "n_clusterings": given.n_clusterings,
            "n_blocks": given.n_blocks,
        }
    if hvg is not None:
        about["genes"] = np.array(chosen.var_names.astype(str), dtype=object)
    filled_n2 = _zero_filled(chosen.X, given, marks) if compare else None
    of_counts = not is_table(source) and _are_counts(read.X)
    return Reduced(cells, None if of_counts else read, logged, filled_n2)


def _check(source: Any, mask: str, hvg: int | None, threshold: float | None) -> None:
    if hvg is not None and hvg < 3:
        raise OptionError(f"--hvg {hvg}: ask for 3 genes or more")
    if threshold is not None and mask != "zeros-consensus":
        raise OptionError(f"--threshold is of --mask zeros-consensus, and the mask is {mask}; leave it out")
    if mask.startswith("layer:") and is_table(source):
        raise OptionError(f"--mask {mask}: a table has no layers; give the mask as a file")


def _logged(read: AnnData) -> AnnData:
    from anndata import AnnData

    from corpuscle.models._expression import log_normalise

    return AnnData(X=log_normalise(sparse.csr_matrix(read.X), TARGET), obs=read.obs, var=read.var)


def _are_counts(x_nd: Any) -> bool:
    stored = x_nd.data if sparse.issparse(x_nd) else x_nd
    if not np.isfinite(stored).all() or (stored.size and stored.min() < 0):
        return False
    return whole_numbers(x_nd) if sparse.issparse(x_nd) else bool(np.array_equal(stored, np.rint(stored)))


def _read_mask(source: Any, mask: str) -> Any:
    """A name, or the mask as it is stored."""
    if mask in ("nan", "zeros", "zeros-consensus"):
        return mask
    if mask.startswith("layer:"):
        return load_layer(source, mask.removeprefix("layer:"))
    if not mask.endswith((".npy", ".npz", ".mtx")):
        raise OptionError(f"--mask {mask}: nan, zeros-consensus, zeros, layer:NAME, or a file .npy, .npz or .mtx")
    return read_mask(Path(mask).expanduser())


def _fit_mask(mask: Any, shape: tuple[int, ...]) -> Any:
    if tuple(mask.shape) != tuple(shape):
        raise OptionError(
            f"the mask is of shape {tuple(mask.shape)} and the values {tuple(shape)}; give one of the same cells and genes"
        )
    return mask


def _variable(x_nd: Any, n_top: int) -> npt.NDArray[np.int64]:
    """Positions of the genes that vary most."""
    stored = x_nd.data if sparse.issparse(x_nd) else x_nd
    if np.isnan(stored).any() or stored.min() < 0:
        if sparse.issparse(x_nd):
            raise OptionError("--hvg: genes of a sparse matrix with NaN are not ranked; choose them before")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # genes that were never observed have no variance
            variance_d = np.nan_to_num(np.nanvar(x_nd, axis=0), nan=-1.0)
        return np.sort(np.argsort(-variance_d, kind="stable")[:n_top])
    from corpuscle.models._expression import highly_variable

    return np.asarray(highly_variable(sparse.csr_matrix(x_nd), n_top), dtype=np.int64)


def _without_values(chosen: AnnData, key: str) -> AnnData:
    from anndata import AnnData

    cells = AnnData(obs=chosen.obs[["observed_share"]].copy())
    cells.obsm[key] = chosen.obsm[key]
    name = key.removeprefix("X_")
    cells.uns[name] = chosen.uns[name]
    return cells


def _zero_filled(x_nd: Any, mask: Any, marks: str) -> npt.NDArray[np.float64]:
    """First two principal components of the values with 0 where nothing was observed."""
    from sklearn.decomposition import PCA

    from corpuscle.reduce._block_mask import BlockMask
    from corpuscle.reduce._values_masks import Missing, dense_observed, missing_pattern

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # said before
        data = masked(x_nd, mask, marks=marks)
    if isinstance(data.mask, BlockMask):
        filled_nd = data.x_nd
    elif sparse.issparse(data.x_nd):
        missing = data.mask if isinstance(data.mask, Missing) else Missing(missing_pattern(data.mask, data.x_nd.shape))
        filled_nd = sparse.csr_matrix(data.x_nd - data.x_nd.multiply(missing_pattern(missing, data.x_nd.shape)))
    else:
        observed_nd = ~np.isnan(data.x_nd) if data.mask is None else dense_observed(data.mask, data.x_nd.shape)
        filled_nd = np.where(observed_nd, data.x_nd, 0.0)
    if min(filled_nd.shape) < 4:
        raise SourceError(f"values are {filled_nd.shape}: too few for a comparison; leave --report out")
    return np.asarray(PCA(2, svd_solver="arpack", random_state=0).fit_transform(filled_nd), dtype=np.float64)
