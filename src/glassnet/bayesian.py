"""Bayesian regularisation: least squares that finds its own penalty (MacKay 1992; Foresee and Hagan 1997).

With normal noise of precision beta_j in output j and a normal prior of precision alpha on the weights, the most
probable weights minimise

    F = sum_j beta_j E_j + alpha E_W,   E_j = 1/2 sum_i w_i (a_ij - y_ij)^2,   E_W = 1/2 |theta|^2,

by Levenberg-Marquardt steps. After each of them (from the WARM_UP-th on) the evidence decides the precisions anew:

    gamma_j = tr(H^-1 beta_j G_j^T W G_j),  gamma = sum_j gamma_j        how many parameters the data determine
    beta_j  = (m - gamma_j) / (2 E_j)                                    H = sum_j beta_j G_j^T W G_j + alpha I
    alpha   = (gamma - free) / (2 E_W)

gamma_j is the sum of the leverages of output j's rows. For one output these are MacKay's equations; for several, each
output has noise of its own, so that their units do not matter. The bias of a linear output layer is free, under no
prior and in no E_W (`free` counts them): where the targets lie must not matter either. All other parameters, biases
included, are under the prior: without it the bias of a unit that is not needed would be undetermined.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault
from glassnet.least_squares import Data, NetworkSquares, factor_of, squares
from glassnet.levenberg_marquardt import Damping, Linear, improve, linearise
from glassnet.network import PREDICT, Network
from glassnet.objective import Objective
from glassnet.posterior import Posterior

__all__ = ["DAMPING", "Evidence", "Model", "iterate", "laplace", "model", "posterior_of"]

DAMPING = Damping(start=5e-3)
"""As in MATLAB's trainbr."""
WARM_UP = 10
"""Steps before the evidence is asked. A start has learned nothing yet, and would be told that there is nothing to
learn: alpha rises, all weights fall to 0, and that is a fixed point, too. Until then the noise counts as large as the
targets' spread, and the prior is weak: alpha = WEAK m."""
WEAK = 1e-4
STRONGEST = 1e8
"""alpha / (beta m) never rises above this: where data say nothing it would go to infinity."""
QUIETEST = 1e-10
"""Noise is never taken for less than this part of the spread of the targets: exact data would make beta infinite."""


class Evidence(NamedTuple):
    """What the data say of the precisions, and how many parameters they determine (NaN: they were not asked yet)."""

    alpha: float
    beta: Array
    gamma: float

    @property
    def numbers(self) -> dict[str, float]:
        """Columns of a history; of several betas the mean."""
        return {"alpha": self.alpha, "beta": float(self.beta.mean()), "gamma": self.gamma}


@dataclass(frozen=True)
class Model:
    """The data, and which parameters are under the prior."""

    squares: NetworkSquares
    weights: Array
    """(m,), with mean 1 and none of them 0."""
    under_prior: Array

    @cached_property
    def shape(self) -> tuple[int, int]:
        """(m, k)."""
        m, k = self.squares.Y.shape
        return m, k

    @cached_property
    def spread(self) -> Array:
        """(k,), the standard deviation of the targets; their size, where they are all the same."""
        Y = self.squares.Y
        size = np.maximum(np.abs(Y).max(axis=0), 1e-100)
        return np.asarray(np.where(np.ptp(Y, axis=0) > 0, Y.std(axis=0), size))

    @property
    def beginning(self) -> Evidence:
        """The precisions of the first steps."""
        return Evidence(WEAK * self.shape[0], self.spread**-2.0, np.nan)

    def energies(self, theta: Array) -> tuple[Array, float]:
        """Return E_j (k,) and E_W."""
        net, X = self.squares.objective.net, self.squares.X
        errors = self.squares.objective.run_on.forward(net, theta, X, None, PREDICT).output - self.squares.Y
        return 0.5 * (self.weights @ (errors * errors)), 0.5 * float(np.sum(theta[self.under_prior] ** 2))

    def problem(self, evidence: Evidence) -> NetworkSquares:
        """Return F / (mean beta * m) as a least-squares problem: in the units of J, whatever the precisions are."""
        unit = self.unit(evidence)
        scale = np.sqrt(self.weights[:, None] * evidence.beta / unit)
        return replace(self.squares, scale=scale, ridge=evidence.alpha / unit * self.under_prior)

    def unit(self, evidence: Evidence) -> float:
        """Mean beta times m."""
        return float(evidence.beta.mean()) * self.shape[0]

    def precisions(self, theta: Array, gammas: Array) -> Evidence:
        """Return alpha and beta for the parameters (k,) that each output determines."""
        m, _ = self.shape
        energy, size = self.energies(theta)
        beta = np.maximum(m - gammas, 1e-8 * m) / np.maximum(2.0 * energy, m * (QUIETEST * self.spread) ** 2)
        bounded = max(float(gammas.sum()) - float((~self.under_prior).sum()), 1e-8)
        most = STRONGEST * float(beta.mean()) * m
        alpha = bounded / (2.0 * size) if 2.0 * size * most > bounded else most
        return Evidence(alpha, beta, float(gammas.sum()))


def model(objective: Objective, data: Data, *, memory: float | None = None) -> Model:
    """Return the model of X (m, d), Y (m, k) and weights (m,); rows of weight 0 are left out.

    Raises GlassnetError for a loss that is not a squared error, and for a penalty: the evidence finds it.
    """
    if objective.l2:
        raise fault("l2", "0 with 'br', which finds the penalty itself", objective.l2, "A penalty of your own: 'lm'.")
    X, Y, weights = counted(data)
    return Model(squares(objective, (X, Y, weights), "br", memory=memory), weights, under_prior(objective.net))


def counted(data: Data) -> tuple[Array, Array, Array]:
    """Return the rows whose weight is not 0, and their weights with mean 1: only they are observations."""
    X, Y, weights = data
    if weights is None:
        return X, Y, np.ones(len(X))
    kept = weights > 0
    return X[kept], Y[kept], weights[kept].astype(np.float64) / weights[kept].mean(dtype=np.float64)


def under_prior(net: Network) -> Array:
    """Return booleans (P,): all parameters but the bias of a linear output layer."""
    mask = np.ones(net.n_parameters, bool)
    bias = f"b{len(net.layers)}"
    if net.output_activation == "identity" and bias in net.layout.slices:
        mask[net.layout.slices[bias]] = False
    return mask


def leverages(problem: NetworkSquares, at: Linear) -> Array:
    """Return gamma_j (k,): the sums of the leverages |R^-T g|^2 over the rows of each output, H = R^T R."""
    from scipy.linalg import solve_triangular

    R, k = at.root(), problem.Y.shape[1]
    blocks = problem.blocks(at.theta) if at.jacobian is None else [(at.residuals, at.jacobian)]
    total = np.zeros(k)
    for _, A in blocks:
        Q = solve_triangular(R, A.T, trans="T", check_finite=False)
        total += (Q * Q).sum(axis=0).reshape(-1, k).sum(axis=0)
    return total


class Iterate(NamedTuple):
    """The start, or what an iteration has left: F in the units of J, its gradient, J of the data, the evidence."""

    theta: Array
    loss: float
    gradient: Array
    evaluations: int
    evidence: Evidence
    change: float
    """By which part alpha or a beta has changed at most."""
    found: bool
    """Whether a step lowered F."""


def iterate(
    of: Model, theta: Array, damping: Damping = DAMPING, *, evidence: Evidence | None = None
) -> Iterator[Iterate]:
    """Yield the start, and then, without an end, what each step and each new look at the evidence leave.

    With the `evidence` of an earlier run there is no warm-up.
    """
    warm_up, evidence = (WARM_UP, of.beginning) if evidence is None else (0, evidence)
    problem = of.problem(evidence)
    at = linearise(problem, theta)
    mu, tries, change, found, steps = damping.start, 1, np.inf, True, 0
    factor = factor_of(of.squares.objective)
    while True:
        loss = factor * float(of.energies(theta)[0].sum()) / of.shape[0]
        yield Iterate(theta, loss, at.gradient, tries, evidence, change, found)
        theta, mu, tries, found = improve(problem, at, mu, damping)
        mu = mu if found else damping.start
        at = linearise(problem, theta) if found else at
        steps += 1
        if steps < warm_up and found:
            continue
        steps, before = warm_up, evidence
        evidence = of.precisions(theta, leverages(problem, at))
        change = largest_change(before, evidence)
        problem, old = of.problem(evidence), problem
        at = retuned(at, problem) if np.array_equal(old.scale, problem.scale) else linearise(problem, theta)


def retuned(at: Linear, problem: NetworkSquares) -> Linear:
    """Return what `linearise` would, where the ridge alone is another: with one output, always."""
    theta, more = at.theta, problem.ridge - at.ridge
    cost = at.cost + 0.5 * float(more @ (theta * theta))
    return replace(at, cost=cost, gradient=at.gradient + more * theta, ridge=problem.ridge)


def largest_change(before: Evidence, after: Evidence) -> float:
    """By which part alpha or a beta has changed at most."""
    old, new = (np.append(evidence.beta, evidence.alpha) for evidence in (before, after))
    return float(np.abs(np.log(new / old)).max())


def posterior_of(of: Model, theta: Array, evidence: Evidence) -> Posterior:
    """Return the posterior of the weights at the most probable theta."""
    problem = of.problem(evidence)
    if np.isnan(evidence.gamma):  # a run that has ended while it was warming up
        evidence = of.precisions(theta, leverages(problem, linearise(problem, theta)))
        problem = of.problem(evidence)
    return spread(problem, linearise(problem, theta), evidence, of.unit(evidence))


def laplace(
    objective: Objective,
    theta: Array,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
) -> Posterior:
    """Return the posterior around a minimum theta (P,) of a squared error, whichever solver has found it.

    sigma^2 = sum_ij w_i (a_ij - y_ij)^2 / (m k - gamma) is the noise, one for all outputs, as their plain sum supposes;
    H is J's Gauss-Newton Hessian in the units of 1/sigma^2, in which the penalty l2 is the prior. For a linear network
    without a penalty these are the textbook's standard errors of least squares.

    Raises GlassnetError where J is not a sum of squares, and where the data do not determine the weights, so that
    nothing is known of their errors.

    >>> from glassnet import Dense, minimize
    >>> X = np.array([[0.0], [1.0], [2.0], [3.0]])
    >>> line = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> run = minimize(line, np.zeros(2), X, [[0.1], [0.9], [2.1], [2.9]], method="lm")
    >>> laplace(line, run.theta, X, [[0.1], [0.9], [2.1], [2.9]]).standard_errors.round(4)
    array([0.0566, 0.1058])
    """
    rows, targets, weights = objective.check(X, Y, sample_weight, stacks=False)
    objective.net.check_theta(np.asarray(theta))
    X, Y, weights = counted((rows.astype(np.float64), targets.astype(np.float64), weights))
    problem = squares(objective, (X, Y, weights), "laplace")
    at = linearise(problem, np.asarray(theta, np.float64))
    if not determined(at):
        raise GlassnetError(f"{UNSOUND}: along some direction no output changes. {REMEDY}")
    gamma, (m, k) = float(leverages(problem, at).sum()), Y.shape
    if m * k - gamma < 1e-6 * m * k:
        raise GlassnetError(f"{UNSOUND}: {m * k} targets meet {gamma:.0f} parameters, no noise can be told. {REMEDY}")
    r = problem.residuals(at.theta)
    unit = (m * k - gamma) / max(float(r @ r), 1e-300)
    beta = unit * factor_of(objective) / m
    return spread(problem, at, Evidence(objective.l2 * unit, np.full(k, beta), gamma), unit)


UNSOUND = "the data do not determine the weights, so their errors are not known"
REMEDY = "Fewer units, an l2, more rows, or method='br', whose prior keeps every weight in bounds."


def determined(at: Linear) -> bool:
    """Whether H is regular beyond rounding, by LAPACK's estimate of the condition of its root."""
    from scipy.linalg import lapack

    try:
        condition, _ = lapack.dtrcon(at.root())
    except np.linalg.LinAlgError:
        return False
    return bool(condition > len(at.theta) * np.finfo(np.float64).eps)


def spread(problem: NetworkSquares, at: Linear, evidence: Evidence, unit: float) -> Posterior:
    """Return the posterior whose H is `unit` times the problem's: H = R^T R, and R^-1 is a root of the covariance."""
    from scipy.linalg import solve_triangular

    factor = solve_triangular(at.root(), np.eye(len(at.theta)), check_finite=False) / np.sqrt(unit)
    net = problem.objective.net
    return Posterior(net, at.theta, factor, evidence.alpha, evidence.beta, evidence.gamma)
