"""Scores: how good outputs are, one number each; more is better.

They fit `train(..., metrics={"accuracy": accuracy})`.
"""

from __future__ import annotations

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault

__all__ = ["accuracy", "r2"]


def accuracy(outputs: Array, Y: Array) -> float:
    """Return the share of rows that are right, for outputs and targets (m, k).

    One output, or rows of Y that do not sum to 1 (several labels): every output must be on its side of 1/2. Else the
    largest output must be that of the class.

    Raises GlassnetError for different shapes.

    >>> accuracy(np.array([[0.9, 0.1], [0.4, 0.6]]), np.array([[1, 0], [1, 0]]))
    0.5
    """
    _check(outputs, Y)
    if outputs.shape[1] == 1 or (np.abs(Y.sum(axis=1) - 1.0) > 1e-6).any():
        return float(((outputs > 0.5) == (Y > 0.5)).all(axis=1).mean())
    return float((outputs.argmax(axis=1) == Y.argmax(axis=1)).mean())


def r2(outputs: Array, Y: Array) -> float:
    """Return the coefficient of determination 1 - sum (y - a)^2 / sum (y - mean y)^2, the mean over the columns.

    A constant column scores 1 where it is met exactly, else 0. Raises GlassnetError for different shapes.

    >>> r2(np.array([[1.0], [2.0]]), np.array([[1.0], [3.0]]))
    0.5
    """
    _check(outputs, Y)
    missed = ((Y - outputs) ** 2).sum(axis=0)
    spread = ((Y - Y.mean(axis=0)) ** 2).sum(axis=0)
    constant = spread == 0
    explained = 1.0 - missed / np.where(constant, 1.0, spread)
    return float(np.where(constant, missed == 0, explained).mean())


def _check(outputs: Array, Y: Array) -> None:
    if outputs.shape != Y.shape or outputs.ndim != 2:
        raise fault("outputs and Y", "of one shape (m, k)", f"{outputs.shape} and {Y.shape}")
