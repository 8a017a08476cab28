"""A straight way from the path to z, one number for each time step:

    z_n = net_n(X_n) / d + s_n w_n(X_n),        w_n(x) = sigma^T grad g(x), where `dg_dx` is given
                                                w_n(x) = (x - c_n) / R_n, R_n^2 = E |X_n - c_n|^2, where not,
                                                         or where `from_middle` asks for it

The first is what z would be if no time were left: u(T, x) = g(x). With time left the solution is flatter, but it often
changes in the same directions: s_n says how much. In the second c_n is where the path would be without its noise: where
the solution depends on the distance from there, its gradient points along X_n - c_n.

In both s_n is learned from every coordinate of every path, while a network of d inputs and d outputs has to find it in
d^2 weights. Elsewhere it does little. Only what the equation says of itself is used, nothing of its solution.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.pde.equations import Equation, euler, pulled
from glassnet.pde.paths import Paths, Sampler

__all__ = ["Skips", "Way", "way"]

PATHS = 256


@dataclass(frozen=True, eq=False)
class Way:
    """w_n = `of`(X, first) / `length`: (k, m, d) from X (k, m, d) at times first, first + 1 ...; `length` (N-1,)."""

    of: Callable[[Array, int], Array]
    length: Array


def way(equation: Equation) -> Way:
    """Return the gradient of g where it is given, the way from the path without noise where not, or `from_middle`."""
    return _from_the_middle(equation) if equation.dg_dx is None or equation.from_middle else _to_the_end(equation)


def _from_the_middle(equation: Equation) -> Way:
    """Return X_n - c_n and the root of the mean square distance, of 256 paths; 1 where it is 0."""
    at, quiet = [equation.start[None]], np.zeros((1, equation.dim))
    for t in equation.times[: equation.steps - 1]:
        at.append(np.asarray(euler(equation, float(t), at[-1], equation.dt, quiet), np.float64))
    centre = np.array(at[1:]).reshape(equation.steps - 1, 1, equation.dim)
    X = Sampler(equation, [np.random.default_rng(0)], PATHS).draw().X[1:-1]
    R = np.sqrt(((X - centre) ** 2).sum(axis=2).mean(axis=1))

    def of(X: Array, first: int) -> Array:
        return np.asarray(X - centre[first - 1 : first - 1 + len(X)].astype(X.dtype))

    return Way(of, np.asarray(np.where(R > 0, R, 1.0)))


def _to_the_end(equation: Equation) -> Way:
    """Return sigma^T grad g."""
    times, dg_dx = equation.times[1:-1], equation.dg_dx
    assert dg_dx is not None

    def of(X: Array, first: int) -> Array:
        slope = np.broadcast_to(np.asarray(dg_dx(X.reshape(-1, X.shape[2]))), (len(X) * X.shape[1], X.shape[2]))
        each = zip(times[first - 1 :], X, slope.reshape(X.shape), strict=False)
        return np.array([pulled(equation, float(t), x, one) for t, x, one in each], X.dtype).reshape(X.shape)

    return Way(of, np.ones(len(times)))


@dataclass(frozen=True, eq=False)
class Skips:
    """One batch of paths: `way` is w_n(X_n) R_n (N-1, m, d), `along` its product with dW_n, `length` R_n."""

    way: Array
    along: Array
    length: Array

    @classmethod
    def add(cls, s: Array, way: Way, paths: Paths, z: Array, q: Array) -> Skips:
        """Add s_n w_n(X_n) to z (N, m, d) and its product with dW_n to q (N, m), for s (K, N-1), n >= 1."""
        X, dW = paths.X[1:-1], paths.dW[1:]
        whole = way.of(X, 1)
        size = np.repeat((s / way.length).T, X.shape[1] // len(s), axis=1).astype(z.dtype)
        along = np.einsum("nmd,nmd->nm", whole, dW)
        z[1:] += size[:, :, None] * whole
        q[1:] += size * along
        return cls(whole, along, way.length)

    def gradient(self, K: int, v: Array, slopes: Array, dt: float) -> Array:
        """Return dL/ds (K, N-1) for v_n (N-1, m) and slope_n (N-1, m, d) of n >= 1:

        dL/ds_n = sum over the rows of v_n w_n(X_n) . (dW_n - dt slope_n)
        """
        each = v * (self.along - dt * np.einsum("nmd,nmd->nm", self.way, slopes))
        return np.asarray((each.reshape(len(self.length), K, -1).sum(axis=2) / self.length[:, None]).T)
