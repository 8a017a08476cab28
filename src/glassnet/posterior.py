"""Posterior: how sure a fit is of its weights and of its predictions.

Near a minimum of beta E_D + alpha E_W the posterior of the weights is a normal distribution with mean theta and the
covariance (Laplace's approximation with the Gauss-Newton Hessian; MacKay 1992)

    H^-1,   H = sum_j beta_j G_j^T G_j + alpha D,   G_j = d output_j / d theta over the rows of the data,

and the error of a prediction at x has the variance g(x)^T H^-1 g(x), to which a new observation adds its noise 1/beta.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, Seed, as_matrix, check_count, generator
from glassnet.engines import get_engine
from glassnet.network import Network

__all__ = ["Posterior"]

BLOCK = 2**20
"""Numbers of the Jacobian that are held at a time."""


@dataclass(frozen=True, eq=False)
class Posterior:
    """The normal distribution of the weights: mean `theta` (P,), covariance `factor @ factor.T`.

    >>> import numpy as np
    >>> from glassnet import Dense, Objective, minimize
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> y = 2 * X + np.random.default_rng(0).normal(0, 0.1, X.shape)
    >>> run = minimize(Objective(Network(1, [Dense(1)]), "squared_error"), np.ones(2), X, y, method="br")
    >>> run.posterior.noise.round(2), run.posterior.standard_errors.round(3)
    (array([0.09]), array([0.021, 0.012]))
    >>> run.posterior.predict_std([[0.0], [10.0]], noise=False).round(2).ravel()
    array([0.01, 0.21])
    """

    net: Network
    theta: Array
    factor: Array
    """(P, P), a square root of the covariance."""
    alpha: float
    """The precision of the prior: a weight has the standard deviation alpha^-1/2 before any data are seen."""
    beta: Array
    """(k,), the precision of the noise of each output."""
    gamma: float
    """The effective number of parameters: how many the data determine, of P."""

    @property
    def noise(self) -> Array:
        """(k,), the standard deviation of the noise of each output, beta^-1/2, in the units of Y."""
        return np.asarray(self.beta**-0.5)

    @property
    def covariance(self) -> Array:
        """(P, P), the covariance of the weights."""
        return np.asarray(self.factor @ self.factor.T)

    @property
    def standard_errors(self) -> Array:
        """(P,), the standard deviation of each weight; `net.views` puts names to them."""
        return np.asarray(np.sqrt((self.factor * self.factor).sum(axis=1)))

    def predict_std(self, X: npt.ArrayLike, *, noise: bool = True) -> Array:
        """Return the standard deviation (m, k) of a new observation at each row of X (m, d).

        Without `noise`: of the network's own output, how far more data like these could still move it.
        """
        rows = as_matrix("X", X, self.net.n_inputs).astype(np.float64)
        k, P = self.net.n_outputs, self.net.n_parameters
        variance = np.empty((len(rows), k))
        size = max(1, BLOCK // (k * P))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            G = get_engine("numpy").jacobian(self.net, self.theta, rows[part], None)
            variance[part] = ((G.reshape(-1, P) @ self.factor) ** 2).sum(axis=-1).reshape(-1, k)
        return np.asarray(np.sqrt(variance + (1.0 / self.beta if noise else 0.0)))

    def sample(self, n: int, rng: Seed = None) -> Array:
        """Draw n networks from the posterior: theta (n, P), a stack that `net.forward` evaluates at once."""
        draws = generator(rng).normal(size=(check_count("n", n), len(self.theta)))
        return np.asarray(self.theta + draws @ self.factor.T)
