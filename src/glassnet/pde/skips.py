"""A straight way from the path to z, one number for each time step:

    z_n = net_n(X_n) / d + s_n (X_n - c_n) / R_n,        R_n^2 = E |X_n - c_n|^2

c_n is where the path would be without its noise. Where the solution depends on the distance from there, the gradient
points along X_n - c_n: s_n is then most of z, and is learned from every coordinate of every path, while a network of d
inputs and d outputs has to find it in d^2 weights. Elsewhere it does little.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.pde.equations import Equation, euler
from glassnet.pde.paths import Paths, Sampler

__all__ = ["Middle", "Skips", "middle"]

PATHS = 256


@dataclass(frozen=True, eq=False)
class Middle:
    """Where the paths are: c_n (N-1, 1, d) and R_n (N-1,), for n = 1 ... N-1."""

    centre: Array
    length: Array


def middle(equation: Equation) -> Middle:
    """Return the path without noise, and the root mean square distance of 256 paths from it; 1 where it is 0."""
    at, quiet = [equation.start[None]], np.zeros((1, equation.dim))
    for t in equation.times[: equation.steps - 1]:
        at.append(np.asarray(euler(equation, float(t), at[-1], equation.dt, quiet), np.float64))
    centre = np.array(at[1:]).reshape(equation.steps - 1, 1, equation.dim)
    X = Sampler(equation, [np.random.default_rng(0)], PATHS).draw().X[1:-1]
    R = np.sqrt(((X - centre) ** 2).sum(axis=2).mean(axis=1))
    return Middle(centre, np.asarray(np.where(R > 0, R, 1.0)))


@dataclass(frozen=True, eq=False)
class Skips:
    """One batch of paths: `way` is X_n - c_n (N-1, m, d), `along` its product with dW_n, `length` R_n."""

    way: Array
    along: Array
    length: Array

    @classmethod
    def add(cls, s: Array, middle: Middle, paths: Paths, z: Array, q: Array) -> Skips:
        """Add s_n (X_n - c_n) / R_n to z (N, m, d) and its product with dW_n to q (N, m), for s (K, N-1), n >= 1."""
        X, dW, R = paths.X[1:-1], paths.dW[1:], middle.length
        way = X - middle.centre.astype(X.dtype)
        size = np.repeat((s / R).T, X.shape[1] // len(s), axis=1).astype(z.dtype)
        along = np.einsum("nmd,nmd->nm", way, dW)
        z[1:] += size[:, :, None] * way
        q[1:] += size * along
        return cls(way, along, R)

    def gradient(self, K: int, v: Array, slopes: Array, dt: float) -> Array:
        """Return dL/ds (K, N-1) for v_{n+1} (N-1, m) and df/dz (N-1, m, d) of n >= 1:

        dL/ds_n = sum over the rows of v_{n+1} (X_n - c_n) . (dW_n - dt df/dz) / R_n
        """
        each = v * (self.along - dt * np.einsum("nmd,nmd->nm", self.way, slopes))
        return np.asarray((each.reshape(len(self.length), K, -1).sum(axis=2) / self.length[:, None]).T)
