"""Paths: seeded Brownian increments, and the forward process that they drive.

    dW_n ~ N(0, dt),    X_{n+1} = X_n + drift dt + sigma dW_n        (or the equation's own exact step)

A batch of several seeds lies side by side: rows k B ... (k + 1) B belong to seed k and come from its generator alone,
so that a seed's numbers do not depend on its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.pde.equations import Equation, euler

__all__ = ["Paths", "Sampler", "Steering"]

Box = tuple[float, float]
Steering = Callable[[int, Array], Array]
"""(n, X_n (m, d)) -> b_n (m, d): the noise becomes dW_n + b_n dt (steering.py)."""


@dataclass(frozen=True)
class Paths:
    """X (N+1, m, d), the positions at t_0 ... t_N, and dW (N, m, d), what z is multiplied by.

    It is the noise, and where paths are steered its drift, too: X_n moves by noise_n + dt b_n, and so does what z_n is
    multiplied by. Under the trapezoidal rule the drift's part of step n is dt/2 (z_n + z_{n+1}) . b_n; sorted by z_n
    that is dW_n = noise_n + dt/2 (b_n + b_{n-1}). `lag` (N, m, d) is then dt/2 b_n: what z_{n+1} has from step n.
    """

    X: Array
    dW: Array
    lag: Array | None = None


class Sampler:
    """Makes batches of paths: `batch` rows from each generator, in memory that is used again by every second batch.

    `antithetic` drives the second half of a seed's rows by the negative increments of the first. `box` draws each
    path's start uniformly from (low, high)^d instead of x0. `draw` may be given a drift of the noise.

    Raises GlassnetError for an odd batch with `antithetic`.

    >>> from glassnet.pde.catalogue import get
    >>> paths = Sampler(get("hjb", dim=3, steps=4), [np.random.default_rng(0)], 8).draw()
    >>> paths.X.shape, paths.dW.shape
    ((5, 8, 3), (4, 8, 3))
    """

    def __init__(
        self,
        equation: Equation,
        generators: Sequence[np.random.Generator],
        batch: int,
        dtype: npt.DTypeLike = np.float64,
        antithetic: bool = False,
        box: Box | None = None,
    ) -> None:
        if antithetic and batch % 2:
            raise fault("batch_size", "even with antithetic=True", batch)
        N, m, d = equation.steps, batch * len(generators), equation.dim
        self.equation, self.generators, self.batch, self.antithetic, self.box = (
            equation, list(generators), batch, antithetic, box,
        )  # fmt: skip
        self._dtype: Any = np.dtype(dtype)
        self._draws = np.empty((N, batch // 2 if antithetic else batch, d), self._dtype)
        self._memory = [(np.empty((N + 1, m, d), self._dtype), np.empty((N, m, d), self._dtype)) for _ in range(2)]
        for X, _ in self._memory:
            X[0] = equation.start

    def draw(self, steering: Steering | None = None) -> Paths:
        """Return the next batch; it is overwritten by the second one after it."""
        self._memory.reverse()
        X, dW = self._memory[0]
        for k, rng in enumerate(self.generators):
            self._increments(rng, dW[:, k * self.batch : (k + 1) * self.batch])
            if self.box is not None:
                X[0, k * self.batch : (k + 1) * self.batch] = rng.uniform(*self.box, (self.batch, X.shape[2]))
        lag = np.empty_like(dW) if steering is not None and self.equation.scheme == "trapezoid" else None
        self._walk(X, dW, steering, lag)
        return Paths(X, dW, lag)

    def _increments(self, rng: np.random.Generator, out: Array) -> None:
        rng.standard_normal(out=self._draws, dtype=self._dtype.type)
        size, half = self._dtype.type(sqrt(self.equation.dt)), self._draws.shape[1]
        np.multiply(self._draws, size, out=out[:, :half])
        if self.antithetic:
            np.negative(out[:, :half], out=out[:, half:])

    def _walk(self, X: Array, dW: Array, steering: Steering | None, lag: Array | None) -> None:
        equation, dt = self.equation, self.equation.dt
        sigma = equation.diffusion
        if steering is None and equation.sampler is None and isinstance(sigma, int | float) and equation.drift == 0.0:
            scale = self._dtype.type(sigma)
            for n in range(equation.steps):
                np.multiply(dW[n], scale, out=X[n + 1])
                X[n + 1] += X[n]
            return
        for n, t in enumerate(equation.times[:-1]):
            if steering is not None:
                self._steer(dW[n], steering(n, X[n]), None if lag is None else lag[n])
            X[n + 1] = euler(equation, float(t), X[n], dt, dW[n])
        if lag is not None:
            dW -= lag
            dW[1:] += lag[:-1]
            if equation.dg_dx is None:  # z_{N-1} stands in for z_N
                dW[-1] += lag[-1]

    def _steer(self, dW: Array, b: Array, half: Array | None) -> None:
        """Make of dW (m, d) dW + b dt, at most as far as the noise itself goes: |b| dt <= sqrt(d dt)."""
        dt = self.equation.dt
        far = np.sqrt(np.einsum("md,md->m", b, b) * (dt / dW.shape[1]))
        move = (dt / np.maximum(far, 1.0))[:, None].astype(dW.dtype) * b
        dW += move
        if half is not None:
            np.multiply(move, 0.5, out=half)
