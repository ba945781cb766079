"""Trees from a file: their links are followed by compiled code that does not check them."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["check_links"]

Array = np.ndarray[Any, Any]


def check_links(left_k: Array, right_k: Array, feature_k: Array, leaf_k: Array, n_dims: int) -> None:
    """Refuse a tree that a walk could leave, or never leave.

    Parameters
    ----------
    left_k, right_k
        (k,) children of every node.
    feature_k
        (k,) what it asks for.
    leaf_k
        (k,) whether it is a leaf, whose links are not followed.
    n_dims
        How many features there are.

    Raises
    ------
    ValueError
        A child does not come after its parent inside the tree, or a feature does not exist.
    """
    place_k = np.arange(len(leaf_k))
    if not len(leaf_k):
        raise ValueError("a tree has no nodes")
    for child_k in (left_k.astype(np.int64), right_k.astype(np.int64)):
        if not (leaf_k | ((child_k > place_k) & (child_k < len(leaf_k)))).all():
            raise ValueError("a tree has links that lead out of it")
    feature_k = feature_k.astype(np.int64)
    if not (leaf_k | ((feature_k >= 0) & (feature_k < n_dims))).all():
        raise ValueError("a tree asks for a feature that does not exist")
