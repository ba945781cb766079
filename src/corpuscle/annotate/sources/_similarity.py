"""How like each cell is to each of a few vectors, a block of cells at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from corpuscle.annotate.scores import as_table, not_finite
from corpuscle.errors import OptionError, SourceError

__all__ = ["check_temperature", "checked_vectors", "cosine", "negative_distance"]

Array = np.ndarray[Any, Any]
BLOCK_ROWS = 16384
#: Vectors that an error names.
NAMED = 3
#: A centred vector shorter than this, relative to what it was centred from, is rounding noise.
SHORT = 1e-6


def checked_vectors(values: Any, *, what: str, n_dims: int | None = None) -> Array:
    """Vectors as a (m, d) array of floating-point numbers.

    Raises
    ------
    SourceError
        It is no table of finite numbers, is empty, or has another number of dimensions.
    """
    vectors_md = as_table(values, what=what, shape="vectors x dimensions")
    if n_dims is not None and vectors_md.shape[1] != n_dims:
        raise SourceError(f"{what}: {vectors_md.shape[1]:,} dimensions, the cells have {n_dims:,}; embed both alike")
    bad = not_finite(vectors_md)
    if bad.size:
        raise SourceError(
            f"{what}: {bad.size:,} of {len(vectors_md):,} rows hold NaN or infinity (rows {_listed(bad)})"
        )
    return vectors_md


def check_temperature(temperature: float) -> None:
    """Refuse what is not above 0."""
    if not (temperature > 0 and np.isfinite(temperature)):
        raise OptionError(f"temperature must be above 0, not {temperature}")


def cosine(cell_nd: Array, centre_d: Array, vector_kd: Array, *, what: str) -> Array:
    """Cosine of each centred cell with each vector, (n, K) float32.

    Parameters
    ----------
    centre_d
        Taken from the cells first.
    vector_kd
        As they are, none of them zero.

    Raises
    ------
    SourceError
        A cell has no direction: it lies on the centre.
    """
    unit_kd = vector_kd / np.linalg.norm(vector_kd, axis=1, keepdims=True)
    values_nk = np.empty((len(cell_nd), len(vector_kd)), np.float32)
    scale = float(np.linalg.norm(centre_d))
    for start in range(0, len(cell_nd), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        centred_nd = cell_nd[rows].astype(np.float64) - centre_d
        norm_n = np.linalg.norm(centred_nd, axis=1)
        flat = np.flatnonzero(norm_n <= SHORT * scale)
        if flat.size:
            raise SourceError(
                f"{what}: {flat.size:,} cells lie on the centre of the embedding, so they point nowhere (cells "
                f"{_listed(start + flat)}); drop them, or do not centre"
            )
        values_nk[rows] = (centred_nd @ unit_kd.T) / norm_n[:, None]
    return values_nk


def negative_distance(cell_nd: Array, vector_kd: Array) -> Array:
    """Minus the squared Euclidean distance of each cell from each vector, (n, K) float32."""
    square_k = (vector_kd**2).sum(axis=1)
    values_nk = np.empty((len(cell_nd), len(vector_kd)), np.float32)
    for start in range(0, len(cell_nd), BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        block_nd = cell_nd[rows].astype(np.float64)
        values_nk[rows] = 2 * block_nd @ vector_kd.T - square_k - (block_nd**2).sum(axis=1, keepdims=True)
    return values_nk


def _listed(places: Array) -> str:
    return ", ".join(str(place) for place in places[:NAMED]) + (", ..." if places.size > NAMED else "")
