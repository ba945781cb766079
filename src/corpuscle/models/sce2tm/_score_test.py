"""The score test of Cox's model for many variables at once, given the fit of the covariates alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from corpuscle.errors import MethodError
from corpuscle.models.sce2tm._bulk import FollowUp

__all__ = ["null_hazard", "score_test"]

Array = np.ndarray[Any, Any]


def null_hazard(follow: FollowUp) -> Array:
    """(s,) relative hazard by the covariates alone; 1 without any.

    Raises
    ------
    MethodError
        Cox regression on the covariates does not converge.
    """
    if not follow.covariate_sc.shape[1]:
        return np.ones(len(follow.time_s))
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    frame = pd.DataFrame(follow.covariate_sc).add_prefix("covariate ")
    frame["time"], frame["event"] = follow.time_s, follow.event_s
    try:
        fitted = CoxPHFitter().fit(frame, "time", "event")
    except (ConvergenceError, np.linalg.LinAlgError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MethodError(f"Cox regression on the covariates fails ({reason}); leave one out") from None
    hazard_s: Array = np.exp(follow.covariate_sc @ fitted.params_.to_numpy(float))
    return hazard_s


def score_test(follow: FollowUp, hazard_s: Array, x_sb: Array) -> Array:
    """Standard-normal score statistic of each variable, added alone to the covariates.

    The derivative of the partial likelihood at a coefficient of zero over its standard error [1]_, ties as Breslow
    has them. Without covariates and for a variable of two values it is the log-rank test. One pass over the
    samples for all variables, since every risk set is a cumulative sum.

    Parameters
    ----------
    follow
        Survival and covariates.
    hazard_s
        (s,) of :func:`null_hazard`.
    x_sb
        (s, b) variables.

    Returns
    -------
    array (b,)
        Above 0: the larger, the earlier the event. NaN for a constant variable.

    References
    ----------
    .. [1] Cox, Regression models and life-tables. Journal of the Royal Statistical Society B 1972.
    """
    order = np.argsort(-follow.time_s, kind="stable")
    time_s, died_s = follow.time_s[order], follow.event_s[order]
    x_sb = np.asarray(x_sb, np.float64)[order] - np.mean(x_sb, axis=0, dtype=np.float64)
    c_sc, w_s = follow.covariate_sc[order], hazard_s[order]
    # Samples still at risk at an event are those up to the last with the same time.
    last_e = np.searchsorted(-time_s, -time_s[died_s], side="right") - 1
    risk_e = np.cumsum(w_s)[last_e][:, None]

    def at_risk(value_s: Array) -> Array:
        mean: Array = np.cumsum(w_s[:, None] * value_s, axis=0)[last_e] / risk_e
        return mean

    mean_eb, mean_ec = at_risk(x_sb), at_risk(c_sc)
    gradient_b = (x_sb[died_s] - mean_eb).sum(axis=0)
    information_b = (at_risk(x_sb**2) - mean_eb**2).sum(axis=0)
    n_covariates = c_sc.shape[1]
    if n_covariates:
        cross_cb = np.stack(
            [(at_risk(x_sb * c_sc[:, [c]]) - mean_eb * mean_ec[:, [c]]).sum(axis=0) for c in range(n_covariates)]
        )
        products = (c_sc[:, :, None] * c_sc[:, None, :]).reshape(len(c_sc), -1)
        outer_e = (mean_ec[:, :, None] * mean_ec[:, None, :]).reshape(len(mean_ec), -1)
        information_cc = (at_risk(products) - outer_e).sum(axis=0).reshape(n_covariates, n_covariates)
        information_b = information_b - (cross_cb * (np.linalg.pinv(information_cc) @ cross_cb)).sum(axis=0)
    z_b = np.full(x_sb.shape[1], np.nan)
    positive_b = information_b > 1e-12 * np.maximum(1.0, (x_sb**2).sum(axis=0))
    z_b[positive_b] = gradient_b[positive_b] / np.sqrt(information_b[positive_b])
    return z_b
