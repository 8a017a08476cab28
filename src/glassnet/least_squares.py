"""An objective as a sum of squares: what Levenberg-Marquardt and Bayesian regularisation work on.

    J = sum_i w_i c/2 |a_i - y_i|^2 / m + l2/2 |W|^2 = 1/2 |r|^2 + 1/2 sum_p ridge_p theta_p^2,
    r_ij = sqrt(c w_i / m) (a_ij - y_ij),  ridge_p = l2 at weights, 0 at biases;

c is 1 for the squared error and the factor of `losses.scaled`. The rows of r are kept or visited in blocks, whichever
memory allows; the penalty is a diagonal and never takes rows of its own.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.layers import BatchNorm
from glassnet.network import PREDICT
from glassnet.objective import Objective

__all__ = ["NetworkSquares", "check_squares", "physical_memory", "squares"]

Data = tuple[Array, Array, Array | None]
BLOCK = 2**25
"""Bytes that a block of the Jacobian may take, where it is not kept whole: small enough to stay near the processor."""


@dataclass(frozen=True)
class NetworkSquares:
    """r = scale * (outputs - Y) for a network, rows i and outputs j one after the other, and its Jacobian."""

    objective: Objective
    X: Array
    Y: Array
    scale: Array
    """(m, k) or (m, 1): the square root of what each square counts."""
    ridge: Array
    block_rows: int
    """Rows of X in a block of the Jacobian."""

    def residuals(self, theta: Array) -> Array:
        """Return r (m k,)."""
        outputs = self.objective.run_on.forward(self.objective.net, theta, self.X, None, PREDICT).output
        return np.asarray(self.scale * (outputs - self.Y)).ravel()

    def blocks(self, theta: Array) -> Iterator[tuple[Array, Array]]:
        """Return r and dr/dtheta block by block."""
        r = self.residuals(theta).reshape(self.Y.shape)
        for start in range(0, len(self.X), self.block_rows):
            part = slice(start, start + self.block_rows)
            A = self.objective.run_on.jacobian(self.objective.net, theta, self.X[part], None)
            A *= self.scale[part, :, None]
            yield r[part].ravel(), A.reshape(-1, A.shape[-1])


def squares(objective: Objective, data: Data, method: str = "lm", *, memory: float | None = None) -> NetworkSquares:
    """Return the least-squares problem whose cost is the objective's J for X (m, d), Y (m, k) and weights (m,).

    `memory` is how many bytes may be used; by default half of the machine's. Raises GlassnetError where the objective
    is not a sum of squares or where A^T A cannot be held.
    """
    check_squares(objective, method)
    X, Y, weights = data
    m, c = len(X), factor_of(objective)
    scale = np.full((m, 1), np.sqrt(c / m)) if weights is None else np.sqrt(c * weights / m)[:, None]
    ridge = objective.l2 * objective.net.weights
    has_ridge = method != "lm" or bool(ridge.any())  # the others will have one, or need all of the covariance
    return NetworkSquares(objective, X, Y, scale, ridge, rows_of_a_block(objective, m, has_ridge, memory))


def rows_of_a_block(objective: Objective, m: int, has_ridge: bool, memory: float | None = None) -> int:
    """Return m where the Jacobian may be kept whole, else the rows of a block.

    Raises GlassnetError where not even A^T A fits.
    """
    memory = physical_memory() / 2 if memory is None else memory
    P, k = objective.net.n_parameters, objective.net.n_outputs
    rows = m * k
    solved = min(rows, P) ** 2 if not has_ridge else P * P  # with fewer rows than weights the small problem is solved
    if 8.0 * (3 * rows * P + 3 * solved) <= memory:
        return m
    left = memory - 16.0 * P * P
    if left < 8.0 * P * k:
        raise GlassnetError(
            f"Levenberg-Marquardt needs J^T J and its factor, two matrices of {P:,} x {P:,} numbers for {P:,} weights: "
            f"{16.0 * P * P / 1e9:,.1f} GB, and {memory / 1e9:,.1f} GB may be used. Solvers that need no such matrix: "
            f"'lbfgs', 'newton-cg', or the rule 'adam'."
        )
    return int(min(BLOCK, left) // (8 * P * k)) or 1


def factor_of(objective: Objective) -> float:
    """Return c of the loss c/2 (a - y)^2; NaN for all other losses."""
    square = objective.loss_record.square
    return np.nan if square is None else square


def physical_memory() -> float:
    """Return the bytes of memory that the machine has; 8 GB where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return 8e9


def check_squares(objective: Objective, method: str) -> None:
    """Raise GlassnetError, naming a solver to use instead, where J is not a sum of squares of independent rows."""

    def refuse(why: str) -> NoReturn:
        raise GlassnetError(
            f"{method!r} minimises sums of squares, and {why}. Use 'lbfgs' or 'newton-cg', or the rule 'adam'."
        )

    if not factor_of(objective) > 0:
        refuse(f"the loss {objective.loss_record.name} is none (squared_error is)")
    if objective.l1:
        refuse(f"the penalty l1 = {objective.l1:g} is none (l2 is)")
    if any(isinstance(layer, BatchNorm) for layer in objective.net.layers):
        refuse("with BatchNorm each row's residual depends on all rows (with LayerNorm it does not)")
