"""A latent-variable model that sees the data through their corrected Gram matrix only."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from corpuscle.errors import MethodError, OptionError
from corpuscle.reduce._coordinates import ROUNDING, coordinates, dense_gram
from corpuscle.reduce.distances import gram_blocks
from corpuscle.seeds import stream

__all__ = ["GramGPLVM", "gram_log_likelihood", "per_feature_gram"]

Array = np.ndarray[Any, Any]

#: The noise is never below this share of the mean of the diagonal, and the kernel's variance never outside the span that
#: its inverse allows: together they keep the kernel matrix positive definite in float64.
NOISE_FLOOR = 1e-5
#: The kernel's variance is at most so many times the mean of the diagonal.
VARIANCE_CEILING = 1e3


def gram_log_likelihood(latent_nk: Any, log_variance: Any, log_noise: Any, gram_nn: Any) -> Any:
    """Log-likelihood of one average feature, as a function of torch tensors that can be differentiated.

    ``-(n/2) log 2 pi - 1/2 log|K| - 1/2 tr(K^-1 G)`` with ``K = v exp(-|x_i - x_j|^2 / 2) + s I``.

    Parameters
    ----------
    latent_nk
        (n, k) latent positions x, in lengthscales of the kernel.
    log_variance, log_noise
        Logarithms of v and of s, both in units of ``gram_nn``.
    gram_nn
        (n, n) Gram matrix averaged over features.

    Returns
    -------
    torch.Tensor
        A scalar.
    """
    torch = _torch()
    n = latent_nk.shape[0]
    norm_n = (latent_nk * latent_nk).sum(dim=1)
    squared_nn = (norm_n[:, None] + norm_n[None, :] - 2.0 * latent_nk @ latent_nk.T).clamp(min=0.0)
    kernel_nn = log_variance.exp() * torch.exp(-0.5 * squared_nn) + log_noise.exp() * torch.eye(n, dtype=gram_nn.dtype)
    factor_nn = torch.linalg.cholesky(kernel_nn)
    log_determinant = 2.0 * factor_nn.diagonal().log().sum()
    misfit = (torch.cholesky_inverse(factor_nn) * gram_nn).sum()
    return -0.5 * (n * np.log(2.0 * np.pi) + log_determinant + misfit)


class GramGPLVM(BaseEstimator):
    """Gaussian-process latent-variable model fitted to a Gram matrix.

    Every feature is a draw of one Gaussian process over latent positions of the samples, with an RBF kernel and noise.
    The likelihood then needs the data's inner products only, so that a Gram matrix corrected for missing entries can
    stand in for complete data. The optimiser is L-BFGS on gradients from torch.

    Parameters
    ----------
    n_components
        Latent dimensions.
    init
        Where the latent positions start: ``"pca"``, the leading coordinates, scaled so that the first has unit standard
        deviation; ``"random"``, standard normal; or an (n, n_components) array.
    max_iter
        Most iterations of the optimiser.
    tol
        It stops where an iteration gains less than this share of the objective.
    random_state
        Seed of ``init="random"``.

    Attributes
    ----------
    embedding_
        (n, n_components) latent positions, centred, in lengthscales of the kernel.
    kernel_variance_, noise_variance_
        v and s of the kernel ``v exp(-|x_i - x_j|^2 / 2) + s I``, in squared units of the values.
    log_likelihood_
        Of an average feature, at the end.
    loss_history_
        Negative log-likelihood of an average feature, at the start and after each iteration; it never rises.
    n_iter_
        Iterations done.
    n_negative_
        Eigenvalues of the Gram matrix that were negative, and were set to 0.

    Raises
    ------
    MethodError
        torch is not installed, which the extra ``models`` brings; or the Gram matrix is not finite, or has no variance.

    Notes
    -----
    Negative eigenvalues are set to 0, which gives the nearest positive semi-definite matrix. Left as they are, they make
    the likelihood rise without bound as the noise falls. The clipping adds to the trace, so ``noise_variance_`` is too high.
    Latent positions are found up to rotation and reflection, and to a local optimum. Time is in n^3 and memory in n^2;
    at most 5,000 samples are taken. Sources: Lawrence 2005, Journal of Machine Learning Research 6:1783; with the
    corrected Gram matrix, Ling, Liu and Xue 2021, Dimension Reduction for Data with Heterogeneous Missingness, UAI.
    """

    def __init__(
        self,
        n_components: int = 2,
        *,
        init: Any = "pca",
        max_iter: int = 1000,
        tol: float = 1e-7,
        random_state: int = 0,
    ) -> None:
        self.n_components = n_components
        self.init = init
        self.max_iter = max_iter
        self.tol = tol
        self.random_state = random_state

    def fit(self, X: Any, y: Any = None) -> GramGPLVM:
        """Find latent positions.

        Parameters
        ----------
        X
            Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`, of either scale; or
            an (n, n) Gram matrix averaged over features.
        y
            Not used.

        Returns
        -------
        GramGPLVM
            Itself.

        Raises
        ------
        OptionError
            A parameter makes no sense, or there are more than 5,000 samples.
        """
        self._check()
        _torch()
        gram_nn, self.n_negative_ = _repaired(per_feature_gram(X))
        start_nk = self._start(X, gram_nn)
        found = self._optimise(gram_nn, start_nk)
        self.loss_history_ = np.asarray(found["history"])
        self.n_iter_ = len(found["history"]) - 1
        latent_nk = found["x"][:-2].reshape(start_nk.shape)
        self.embedding_ = latent_nk - latent_nk.mean(axis=0)
        self.kernel_variance_, self.noise_variance_ = (float(v) for v in np.exp(found["x"][-2:]))
        self.log_likelihood_ = -float(self.loss_history_[-1])
        return self

    def fit_transform(self, X: Any, y: Any = None) -> Array:
        """Fit, and return the latent positions, (n, n_components)."""
        return self.fit(X).embedding_

    def _check(self) -> None:
        if self.n_components < 1:
            raise OptionError(f"n_components={self.n_components}: ask for 1 or more")
        if self.max_iter < 1 or not self.tol >= 0:
            raise OptionError(f"max_iter={self.max_iter}, tol={self.tol}: ask for 1 iteration or more, and tol >= 0")

    def _start(self, estimator: Any, gram_nn: Array) -> Array:
        n, k = gram_nn.shape[0], self.n_components
        if isinstance(self.init, str):
            if self.init == "random":
                return stream(self.random_state, "gplvm").standard_normal((n, k))
            if self.init != "pca":
                raise OptionError(f"init={self.init!r} does not exist; there are: pca, random, or an array")
            source = estimator if hasattr(estimator, "embedding_") else gram_nn
            found_nk = coordinates(source, k, random_state=self.random_state)
            # An axis that the Gram matrix does not have starts near 0, and not at it, where its gradient is 0.
            start_nk = 1e-3 * stream(self.random_state, "gplvm").standard_normal((n, k))
            start_nk[:, : found_nk.shape[1]] = found_nk / found_nk[:, 0].std()
            return start_nk
        start_nk = np.array(self.init, dtype=np.float64)
        if start_nk.shape != (n, k) or not np.isfinite(start_nk).all():
            raise OptionError(f"init of shape {start_nk.shape} must be {n:,} x {k} and finite")
        return start_nk

    def _optimise(self, gram_nn: Array, start_nk: Array) -> dict[str, Any]:
        from scipy.optimize import minimize

        loss_and_gradient = _objective(gram_nn, start_nk.shape)
        scale = float(np.trace(gram_nn)) / gram_nn.shape[0]
        start = np.concatenate([start_nk.ravel(), np.log([0.5 * scale, 0.5 * scale])])
        span = (np.log(NOISE_FLOOR * scale), np.log(VARIANCE_CEILING * scale))
        history = [loss_and_gradient(start)[0]]
        found = minimize(
            loss_and_gradient,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=[(None, None)] * start_nk.size + [span, span],
            callback=lambda intermediate_result: history.append(float(intermediate_result.fun)),
            options={"maxiter": self.max_iter, "maxfun": 4 * self.max_iter, "ftol": self.tol},
        )
        if not found.success:
            from sklearn.exceptions import ConvergenceWarning

            warnings.warn(
                f"the optimiser stopped after {len(history) - 1} iterations before it converged; raise max_iter",
                ConvergenceWarning,
                stacklevel=3,
            )
        return {"x": found.x, "history": history}


def per_feature_gram(estimator: Any) -> Array:
    """The whole Gram matrix, (n, n), averaged over the features.

    Parameters
    ----------
    estimator
        Fitted :class:`~corpuscle.reduce.UnbiasedGram` or :class:`~corpuscle.reduce.UnbiasedPCA`, of either scale; or an
        (n, n) array that is averaged already.

    Raises
    ------
    OptionError
        There are more than 5,000 samples.
    MethodError
        An inner product is NaN or infinite.
    """
    operator: Any = gram_blocks(estimator)
    gram_nn = dense_gram(estimator, "a latent-variable model")
    if getattr(operator, "scale", "given") != "total":
        return gram_nn
    values = getattr(operator.form, "values", None)
    # Means over features are multiplied by their number to make totals, where the form does not know the values itself.
    return gram_nn / (operator.factor if values is None else values.shape[1])


def _repaired(gram_nn: Array) -> tuple[Array, int]:
    """The nearest positive semi-definite matrix, and how many eigenvalues were negative."""
    value_n, vector_nn = np.linalg.eigh(gram_nn)
    n_negative = int(np.count_nonzero(value_n < -ROUNDING * np.abs(value_n).max()))
    if not value_n[-1] > 0:
        raise MethodError(
            "the Gram matrix has no positive eigenvalue, so there is nothing to model; are all samples alike?"
        )
    if n_negative:
        gram_nn = (vector_nn * np.maximum(value_n, 0.0)) @ vector_nn.T
    return gram_nn, n_negative


def _torch() -> Any:
    try:
        import torch
    except ModuleNotFoundError:
        raise MethodError("GramGPLVM: needs an extra; run: pip install 'corpuscle[models]'") from None
    return torch


def _objective(gram_nn: Array, shape: tuple[int, int]) -> Any:
    """Function of all parameters in one vector that gives the negative log-likelihood and its gradient."""
    torch = _torch()
    gram = torch.as_tensor(gram_nn, dtype=torch.float64)

    def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
        theta = torch.tensor(parameters, dtype=torch.float64, requires_grad=True)
        loss = -gram_log_likelihood(theta[:-2].reshape(shape), theta[-2], theta[-1], gram)
        (gradient,) = torch.autograd.grad(loss, theta)
        return loss.item(), gradient.numpy()

    return loss_and_gradient
