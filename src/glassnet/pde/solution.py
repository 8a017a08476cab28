"""What a solver of equations has found: the answer, its error bar, and how far it can be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, sqrt

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, as_floats
from glassnet.errors import fault
from glassnet.history import Status
from glassnet.pde.equations import SCHEMES, Equation

__all__ = ["TAIL", "Solution"]

TAIL = 10
"""An answer is the mean of u0 over the last of so many parts of the iterations."""


@dataclass(frozen=True, eq=False, repr=False)
class Solution:
    """What `solve` found, and how it ended.

    `u0` (n, K) and `losses` (n, K) are the history of n iterations and K seeds. `values` (K,) are the seeds' answers:
    the mean of u0 over the last tenth of the iterations, which carries less of the last batches' chance than the last
    one alone, or, where a seed diverged, u0 of its lowest loss. `status` is "completed", "stopped" (by
    Ctrl-C or a callback) or "diverged" (a seed at least), and `reason` says more.
    """

    equation: Equation
    seeds: tuple[int, ...]
    values: Array
    diverged: Array
    u0: Array
    losses: Array
    seconds: float
    status: Status
    reason: str
    other: Solution | None = None
    """The same with another number of time steps, where that was asked for."""
    surface: Callable[[Array], Array] | None = None
    """x (m, d) -> u(0, x) of each seed (K, m), where paths start from a box."""

    @cached_property
    def value(self) -> float:
        """u(0, x0): the mean over the seeds that did not diverge; if all did, over all last good values."""
        return float(self._good(self.values).mean())

    @cached_property
    def standard_error(self) -> float | None:
        """The standard deviation over the seeds (ddof 1) by the root of their number; None for a single seed."""
        good = self._good(self.values)
        return float(good.std(ddof=1) / sqrt(len(good))) if len(good) > 1 else None

    @cached_property
    def drift(self) -> float:
        """How far the mean of u0 moved from the tenth of the iterations before the last one to the last."""
        part = max(1, len(self.u0) // TAIL)
        if len(self.u0) < 2 * part:
            return inf
        last, before = self.u0[-part:], self.u0[-2 * part : -part]
        return float(self._good(last.mean(axis=0)).mean() - self._good(before.mean(axis=0)).mean())

    @cached_property
    def settled(self) -> bool:
        """Whether the drift is small beside the error bar, or the value; otherwise the error bar says nothing."""
        return abs(self.drift) <= max(0.5 * (self.standard_error or 0.0), 2e-3 * abs(self.value))

    def __repr__(self) -> str:
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        moving = (
            ""
            if self.settled or not isfinite(self.drift)
            else f"; u0 still moved by {self.drift:.2g} in the last tenth of the iterations"
        )
        n, K = len(self.u0), len(self.values)
        return (
            f"u(0, x0) = {self.value:.6g}{error} for {self.equation.name}: {self.status} after {n:,} iterations of {K} "
            f"seed{'s' * (K > 1)}, {self.seconds:.1f} s{moving}"
        )

    @cached_property
    def loss(self) -> float:
        """The mismatch u_N - g(X_N), squared: mean over the last 100 iterations and the seeds that did not diverge."""
        last = self._good(self.losses[-100:].T)
        return float(last[np.isfinite(last)].mean()) if np.isfinite(last).any() else inf

    @cached_property
    def extrapolated(self) -> Array:
        """The seeds' values (K,) where the time step goes to 0, from N and M steps with an error of order p:

            u = (N^p u_N - M^p u_M) / (N^p - M^p),       p = 1 for Euler's scheme, 2 for the trapezoidal rule

        Raises GlassnetError where there is no run with another number of steps.
        """
        if self.other is None:
            raise fault("other_steps of solve", "given for an error of time steps", None)
        N, M = (one.steps ** SCHEMES[one.scheme] for one in (self.equation, self.other.equation))
        return np.asarray((N * self.values - M * self.other.values) / (N - M))

    @cached_property
    def step_error(self) -> float:
        """How far the time steps move the value: its distance from the extrapolated one."""
        return self.value - float(self._good(self.extrapolated).mean())

    def at(self, x: npt.ArrayLike) -> tuple[Array, Array]:
        """Return u(0, x) and its standard error over seeds, (m,) each, for points x (m, d) of the box.

        Raises GlassnetError for a run without a box, and for points of another shape.
        """
        if self.surface is None:
            raise fault("box of solve", "given for the solution at many points", None)
        points = as_floats("x", x)
        if points.ndim != 2 or points.shape[1] != self.equation.dim:
            raise fault("x", f"(m, {self.equation.dim})", points.shape)
        values = self._good(np.asarray(self.surface(points), np.float64))
        spread = values.std(axis=0, ddof=1) / sqrt(len(values)) if len(values) > 1 else np.full(len(points), np.nan)
        return values.mean(axis=0), spread

    @property
    def known(self) -> float | None:
        """The equation's known value."""
        return self.equation.known

    @cached_property
    def relative_error(self) -> float | None:
        """|value - known| / |known|; None where nothing is known."""
        return None if not self.known else abs(self.value / self.known - 1.0)

    @cached_property
    def mean_relative_error(self) -> float | None:
        """The mean over the seeds of |u0 - known| / |known|: what the method's authors publish."""
        return None if not self.known else float(np.abs(self._good(self.values) / self.known - 1.0).mean())

    def _good(self, per_seed: Array) -> Array:
        return per_seed if self.diverged.all() else per_seed[~self.diverged]
