"""Levenberg-Marquardt: the least-squares solver of Levenberg (1944) and Marquardt (1963). It knows no network.

    J(theta) = 1/2 |r(theta)|^2 + 1/2 sum_p ridge_p theta_p^2

Near theta the residuals are r + A s, with A = dr/dtheta. The step s solves the damped normal equations

    (A^T A + ridge + mu I) s = -(A^T r + ridge theta).

A small mu takes the Gauss-Newton step, a large one a short step along the negative gradient. As in MATLAB's `trainlm`
mu is divided by ten after a step that lowered J and multiplied by ten until one does (Hagan and Menhaj 1994).

How the equations are solved. Cholesky's factor of A^T A + mu I is the cheapest way, but forming A^T A squares the
condition of A: what A weighs less than 1e-8 of its largest direction drowns in rounding unless mu is larger than that.
So where mu is small (the last, quadratic part of a run) and the system is not large, the same step is taken from the
QR factor of the stacked matrix [A; sqrt(ridge + mu) I], which never squares anything. With fewer residuals than
parameters and no ridge, s lies in the row space of A: with A^T = Q R, s = Q v, and v solves the same for R^T.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, Protocol

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault

__all__ = ["Damping", "Functions", "LeastSquares", "Linear", "Move", "improve", "iterate", "linearise"]

SMALL = 1e9
"""Operations of a QR factorisation up to which it may take the place of Cholesky's: a tenth of a second or so."""


@dataclass(frozen=True)
class Damping:
    """How mu starts, falls after a step that lowered J, rises after one that did not, and where the search is given up.

    The values are those of MATLAB's trainlm, which has no `least`: there mu could underflow in a long run.
    """

    start: float = 1e-3
    down: float = 0.1
    up: float = 10.0
    most: float = 1e10
    least: float = 1e-20

    def __post_init__(self) -> None:
        if not (0 < self.down < 1 < self.up and 0 < self.least <= self.start <= self.most < np.inf):
            raise fault("Damping", "0 < down < 1 < up and 0 < least <= start <= most", self)


class LeastSquares(Protocol):
    """A problem: residuals, their Jacobian in blocks of rows, and a ridge (P,) of at least 0."""

    @property
    def ridge(self) -> Array:
        """The penalty of each parameter, (P,)."""

    def residuals(self, theta: Array) -> Array:
        """Return r (n,)."""

    def blocks(self, theta: Array) -> Iterator[tuple[Array, Array]]:
        """Return r (b,) and dr/dtheta (b, P) of some rows after the other; one block says that it may be kept whole."""


@dataclass(frozen=True)
class Functions:
    """The problem of two functions, theta -> r (n,) and theta -> dr/dtheta (n, P).

    >>> line = Functions(lambda theta: theta - [1.0, 2.0], lambda theta: np.eye(2), 2)
    >>> [float(at.cost) for at in iterate(line, np.zeros(2))][0]
    2.5
    """

    function: Callable[[Array], Array]
    jacobian: Callable[[Array], Array]
    n_parameters: int

    @property
    def ridge(self) -> Array:
        """No penalty."""
        return np.zeros(self.n_parameters)

    def residuals(self, theta: Array) -> Array:
        """Return r (n,)."""
        return self.function(theta)

    def blocks(self, theta: Array) -> Iterator[tuple[Array, Array]]:
        """Return everything in one block."""
        yield self.function(theta), self.jacobian(theta)


@dataclass(frozen=True)
class Linear:
    """A problem as it looks from theta: cost J, gradient (P,), and what is needed to solve for a step."""

    theta: Array
    cost: float
    gradient: Array
    ridge: Array
    residuals: Array
    jacobian: Array | None
    """A (n, P), where it is kept whole."""
    summed: Array | None = None
    """A^T A (P, P), where it was added up block by block."""

    @cached_property
    def gram(self) -> Array:
        """A^T A (P, P)."""
        return self.summed if self.jacobian is None else self.jacobian.T @ self.jacobian  # type: ignore[return-value]

    @cached_property
    def row_space(self) -> tuple[Array, Linear] | None:
        """Q (P, n) and the small problem whose step v gives s = Q v, where there are fewer rows than parameters."""
        A = self.jacobian
        if A is None or len(A) >= A.shape[1] or self.ridge.any():
            return None
        Q, R = np.linalg.qr(A.T)
        n, r = len(A), self.residuals
        return Q, Linear(np.zeros(n), self.cost, R @ r, np.zeros(n), r, R.T)

    def step(self, mu: float) -> Array:
        """Return s (P,); raises LinAlgError where the damped equations are singular to rounding."""
        if self.row_space is not None:
            Q, small = self.row_space
            return Q @ small.step(mu)
        return self.by_qr(mu) if self.needs_qr(mu) else self.by_cholesky(mu)

    def needs_qr(self, mu: float) -> bool:
        """Whether A^T A is too coarse for so small a mu, and A is at hand and small enough to do better."""
        if not self.is_small:
            return False
        return bool(mu < np.sqrt(np.finfo(np.float64).eps) * self.gram.diagonal().max(initial=0.0))

    @property
    def is_small(self) -> bool:
        """Whether a QR factorisation of the stacked matrix, 2 (n + P) P^2 operations, is affordable."""
        if self.jacobian is None:
            return False
        n, P = self.jacobian.shape
        return bool(2.0 * (n + P) * P * P <= SMALL)

    def root(self) -> Array:
        """Return R (P, P), upper triangular, with R^T R = A^T A + ridge."""
        if self.jacobian is not None and self.is_small:
            return triangle(np.vstack([self.jacobian, np.diag(np.sqrt(self.ridge))]))
        return np.linalg.cholesky(self.gram + np.diag(self.ridge), upper=True)

    def by_cholesky(self, mu: float) -> Array:
        """Solve (A^T A + ridge + mu I) s = -gradient."""
        from scipy.linalg import cho_factor, cho_solve

        damped = self.gram.copy()
        damped.flat[:: len(damped) + 1] += self.ridge + mu
        factor = cho_factor(damped, lower=True, overwrite_a=True, check_finite=False)
        return np.asarray(cho_solve(factor, -self.gradient, check_finite=False))

    def by_qr(self, mu: float) -> Array:
        """Minimise |A s + r|^2 + |D s + ridge theta / D|^2, D^2 = ridge + mu: the same normal equations."""
        from scipy.linalg import solve_triangular

        if self.jacobian is None:
            raise fault("the Jacobian", "kept whole for by_qr", "added up block by block")
        D = np.sqrt(self.ridge + mu)
        rows = np.column_stack([self.jacobian, -self.residuals])
        diagonal = np.column_stack([np.diag(D), -self.ridge * self.theta / D])
        R = triangle(np.vstack([rows, diagonal]))
        return np.asarray(solve_triangular(R[:-1, :-1], R[:-1, -1], check_finite=False))


def triangle(matrix: Array) -> Array:
    """Return R of the matrix's QR factorisation."""
    return np.asarray(np.linalg.qr(matrix, mode="r"))


def linearise(problem: LeastSquares, theta: Array) -> Linear:
    """Evaluate residuals and Jacobian at theta; several blocks are added up to A^T A, so that only one is held."""
    ridge = problem.ridge
    gradient, summed = ridge * theta, None
    kept, square, last = [], 0.0, None
    for number, (r, A) in enumerate(problem.blocks(theta)):
        if number == 1 and last is not None:
            summed = last.T @ last
        if summed is not None:
            summed += A.T @ A
        last = A if number == 0 else None
        gradient = gradient + A.T @ r
        square += float(r @ r)
        kept.append(r)
    cost = 0.5 * square + 0.5 * float(ridge @ (theta * theta))
    return Linear(theta, cost, gradient, ridge, np.concatenate(kept), last, summed)


class Move(NamedTuple):
    """Where a search for a lower J has ended: a new theta, or the old one with a mu beyond the largest."""

    theta: Array
    mu: float
    tries: int
    found: bool


def improve(problem: LeastSquares, at: Linear, mu: float, damping: Damping) -> Move:
    """Raise mu until a step lowers J; give up above `damping.most`."""
    tries = 0
    while mu <= damping.most:
        tries += 1
        try:
            theta = at.theta + at.step(mu)
        except np.linalg.LinAlgError:  # singular to rounding: more damping mends it
            mu *= damping.up
            continue
        r = problem.residuals(theta)
        if 0.5 * float(r @ r) + 0.5 * float(at.ridge @ (theta * theta)) < at.cost:
            return Move(theta, max(mu * damping.down, damping.least), tries, True)
        mu *= damping.up
    return Move(at.theta, mu, tries, False)


class Iterate(NamedTuple):
    """The problem at the start or after an iteration, and how often J was evaluated for it."""

    theta: Array
    cost: float
    gradient: Array
    evaluations: int


def iterate(problem: LeastSquares, theta: Array, damping: Damping | None = None) -> Iterator[Iterate]:
    """Yield the start and then every iterate, for as long as a step lowers J; the caller decides when it is enough.

    Rosenbrock's valley:

    >>> problem = Functions(
    ...     lambda t: np.array([10.0 * (t[1] - t[0] ** 2), 1.0 - t[0]]),
    ...     lambda t: np.array([[-20.0 * t[0], 10.0], [-1.0, 0.0]]), 2)
    >>> *_, last = iterate(problem, np.array([-1.2, 1.0]))
    >>> last.theta, last.cost < 1e-25
    (array([1., 1.]), True)
    """
    damping = damping or Damping()
    mu, tries = damping.start, 1
    while True:
        at = linearise(problem, theta)
        yield Iterate(theta, at.cost, at.gradient, tries)
        theta, mu, tries, found = improve(problem, at, mu, damping)
        if not found:
            return
