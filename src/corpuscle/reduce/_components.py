"""How many eigenpairs of a corrected Gram matrix make an embedding."""

from __future__ import annotations

import numbers
import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from corpuscle.errors import MethodError, OptionError

__all__ = ["cng", "n_components_of"]

Array = npt.NDArray[np.float64]
#: Two triples of eigenvalues are compared.
_FEWEST = 6


def cng(value_m: npt.ArrayLike) -> int:
    """Number of components before the sharpest bend of the eigenvalues (Cattell, Nelson and Gorsuch's scree test).

    The slope through three eigenvalues is compared with that through the next three; the bend is where it rises most. The
    number is that of R's ``nFactors::nCng``.

    Parameters
    ----------
    value_m
        Eigenvalues, descending; negative ones are left out.

    Raises
    ------
    MethodError
        If fewer than six are not negative.
    """
    value_m = np.asarray(value_m, dtype=np.float64)
    kept_m = value_m[value_m >= 0]
    if kept_m.size < _FEWEST:
        raise MethodError(
            f"the scree test 'cng' compares six eigenvalues and {kept_m.size} are not negative: give the number of components"
        )
    slope_m = (kept_m[2:] - kept_m[:-2]) / 2
    return int(np.argmax(slope_m[3:] - slope_m[:-3])) + 3


def n_components_of(rule: Any, value_m: npt.ArrayLike) -> int:
    """Number of components that a rule asks for, of those with a positive eigenvalue.

    Parameters
    ----------
    rule
        A number; ``"cng"``, the scree test; ``"all"``, all with a positive eigenvalue; or a share in (0, 1): the fewest
        that have this share of the sum of the positive eigenvalues.
    value_m
        Eigenvalues, descending: the leading ones suffice for a number and the scree test, a share needs all.

    Raises
    ------
    OptionError
        If there is no such rule.
    MethodError
        If no eigenvalue is positive, or the scree test has too few of them.

    Warns
    -----
    RuntimeWarning
        If fewer eigenvalues are positive than were asked for; there is no component for the others.
    """
    value_m = np.asarray(value_m, dtype=np.float64)
    positive_m = value_m[value_m > 0]
    if rule not in ("cng", "all") and not _is_number(rule):
        raise OptionError(f"n_components={rule!r}: give a whole number from 1, a share between 0 and 1, 'cng' or 'all'")
    if not positive_m.size:
        raise MethodError(
            "no eigenvalue of the Gram matrix is positive, so it has no components; are all samples alike?"
        )
    if rule == "all":
        return int(positive_m.size)
    if rule == "cng":
        # Zeros count for the bend but make no component.
        return min(cng(value_m), int(positive_m.size))
    if isinstance(rule, numbers.Integral):
        if int(rule) > positive_m.size:
            warnings.warn(
                f"{int(rule)} components were asked for and {positive_m.size} eigenvalues are positive: {positive_m.size} "
                "components are given",
                RuntimeWarning,
                stacklevel=2,
            )
        return min(int(rule), int(positive_m.size))
    share_m = np.cumsum(positive_m) / positive_m.sum()
    return min(int(np.searchsorted(share_m, float(rule))) + 1, int(positive_m.size))


def _is_number(rule: Any) -> bool:
    if isinstance(rule, (bool, np.bool_)):
        return False
    if isinstance(rule, numbers.Integral):
        return int(rule) >= 1
    return isinstance(rule, numbers.Real) and 0 < float(rule) < 1
