"""A straight way from the path to z, one number for each time step:

    z_n = net_n(X_n) / d + s_n X_n / R_n,        R_n^2 = E |X_n|^2

Where the solution depends on |x| the gradient points along x: s_n is then most of z, and is learned from every
coordinate of every path, while a network of d inputs and d outputs has to find it in d^2 weights. Elsewhere it does
little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.pde.equations import Equation
from glassnet.pde.paths import Paths, Sampler

__all__ = ["Skips", "lengths"]

PATHS = 256


def lengths(equation: Equation) -> Array:
    """Return R_n (N-1,) for n = 1 ... N-1, of 256 paths; 1 where they stay at 0."""
    X = Sampler(equation, [np.random.default_rng(0)], PATHS).draw().X[1:-1]
    R = np.sqrt((X * X).sum(axis=2).mean(axis=1))
    return np.asarray(np.where(R > 0, R, 1.0))


@dataclass(frozen=True, eq=False)
class Skips:
    """The s_n of K seeds at work on one batch of paths: `size` (N-1, m), s_n / R_n for each row, and X_n . dW_n."""

    size: Array
    along: Array

    @classmethod
    def add(cls, s: Array, R: Array, paths: Paths, z: Array, q: Array) -> Skips:
        """Add s_n X_n / R_n to z (N, m, d), and its product with dW_n to q (N, m), for s (K, N-1) and n >= 1."""
        X, dW = paths.X[1:-1], paths.dW[1:]
        size = np.repeat((s / R).T, X.shape[1] // len(s), axis=1).astype(z.dtype)
        along = np.einsum("nmd,nmd->nm", X, dW)
        z[1:] += size[:, :, None] * X
        q[1:] += size * along
        return cls(size, along)

    def gradient(self, K: int, R: Array, paths: Paths, v: Array, slopes: Array, dt: float) -> Array:
        """Return dL/ds (K, N-1) for v_{n+1} (N-1, m) and df/dz (N-1, m, d) of n >= 1:

        dL/ds_n = sum over the rows of v_{n+1} X_n . (dW_n - dt df/dz) / R_n
        """
        each = v * (self.along - dt * np.einsum("nmd,nmd->nm", paths.X[1:-1], slopes))
        return np.asarray((each.reshape(len(R), K, -1).sum(axis=2) / R[:, None]).T)
