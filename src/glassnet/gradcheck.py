"""Is the gradient right? Central differences and complex steps, with a report for each block of parameters.

Central difference:  dJ/dtheta_i ~ (J(theta + h e_i) - J(theta - h e_i)) / 2h      error O(h^2) + O(rounding / h)
Complex step:        dJ/dtheta_i ~ Im J(theta + i h e_i) / h                        exact to rounding, analytic J only
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, Seed, generator
from glassnet.errors import choose, fault
from glassnet.objective import Objective

__all__ = ["BlockReport", "GradientReport", "central_differences", "check_gradient", "complex_step"]

Function = Callable[[Array], Array]


def central_differences(J: Function, theta: Array, step: float = 1e-5) -> Array:
    """Return the gradient (P,) of J at theta (P,) by central differences of width `step`, in units of theta.

    >>> central_differences(lambda t: t @ t, np.array([1.0, 2.0])).round(6)
    array([2., 4.])
    """

    def entry(i: int) -> Array:
        up, down = theta.copy(), theta.copy()
        up[i] += step
        down[i] -= step
        return np.asarray((J(up) - J(down)) / (up[i] - down[i]))

    return np.array([entry(i) for i in range(theta.size)])


def complex_step(J: Function, theta: Array, step: float = 1e-30) -> Array:
    """Return the gradient (P,) of an analytic J at theta (P,), exact to rounding (Squire and Trapp 1998).

    >>> complex_step(lambda t: np.exp(t).sum(), np.zeros(2))
    array([1., 1.])
    """

    def entry(i: int) -> Array:
        shifted = theta.astype(np.complex128)
        shifted[i] += 1j * step
        return J(shifted).imag / step

    return np.array([entry(i) for i in range(theta.size)])


@dataclass(frozen=True)
class BlockReport:
    """One parameter block: its worst entry and what the two gradients say there."""

    name: str
    shape: tuple[int, ...]
    error: float
    index: tuple[int, ...]
    computed: float
    expected: float


@dataclass(frozen=True)
class GradientReport:
    """What `check_gradient` found. `error` is the worst relative error, `ok` whether it is below `tolerance`."""

    method: str
    tolerance: float
    blocks: tuple[BlockReport, ...]

    @property
    def error(self) -> float:
        """The worst relative error of all blocks."""
        return float(np.max([block.error for block in self.blocks]))

    @property
    def ok(self) -> bool:
        """Whether every block is within the tolerance."""
        return self.error <= self.tolerance

    def __str__(self) -> str:
        verdict = "right" if self.ok else "WRONG"
        lines = [
            f"gradient {verdict}: worst relative error {self.error:.1e} ({self.method}, at most {self.tolerance:.0e})"
        ]
        lines += [
            f"  {b.name:8} {b.shape!s:12} {b.error:.1e}  worst at {b.index}: computed {b.computed:.8g}, "
            f"expected {b.expected:.8g}"
            for b in self.blocks
        ]
        return "\n".join(lines)


METHODS = {"central": (central_differences, 1e-5, 1e-6), "complex": (complex_step, 1e-30, 1e-11)}


def check_gradient(
    objective: Objective,
    theta: Array,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    state: Array | None = None,
    training: bool = True,
    rng: Seed = 0,
    method: Literal["central", "complex"] = "central",
    step: float | None = None,
    tolerance: float | None = None,
) -> GradientReport:
    """Compare `objective.value_and_grad` with a gradient that is measured, not derived.

    theta (P,), X (m, d), Y (m, k). The error of an entry is |computed - expected| / max(|computed|, |expected|, s),
    where s is the largest entry of the expected gradient's block (at least 1e-3 of the whole gradient's): an error in a
    gradient that is nearly zero everywhere is still seen. Dropout draws the same masks each time, from `rng`.

    "central" suits every loss; "complex" is exact to rounding where every function in the chain is analytic.

    Raises GlassnetError for theta that is not float64 and what `value_and_grad` raises.

    >>> from glassnet import Dense, Network
    >>> objective = Objective(Network(2, [Dense(3, "tanh"), Dense(1)]), "squared_error")
    >>> check_gradient(objective, objective.net.init(rng=0), [[1.0, 2.0]], [[3.0]]).ok
    True
    """
    measure, default_step, default_tolerance = choose("method", method, METHODS)
    theta = np.asarray(theta)
    if theta.dtype != np.float64 or theta.shape != (objective.net.n_parameters,):
        raise fault("theta", f"float64 of shape ({objective.net.n_parameters},)", f"{theta.dtype} {theta.shape}")

    def J(shifted: Array) -> Array:
        return objective.value(shifted, X, Y, sample_weight, state=state, training=training, rng=seed)

    if method == "complex" and not objective.takes_complex:
        raise fault("method", "'central' for functions of your own, which may not take complex numbers", method)
    seed = int(generator(rng).integers(2**31))
    _, computed = objective.value_and_grad(theta, X, Y, sample_weight, state=state, training=training, rng=seed)
    expected = measure(J, theta, default_step if step is None else step)
    blocks = _compare(objective, computed, expected)
    return GradientReport(method, default_tolerance if tolerance is None else tolerance, blocks)


def _compare(objective: Objective, computed: Array, expected: Array) -> tuple[BlockReport, ...]:
    views = objective.net.views(expected)
    floor = max(1e-3 * float(np.abs(expected).max()), 1e-12)
    blocks = []
    for name, ours in objective.net.views(computed).items():
        theirs = views[name]
        scale = max(float(np.abs(theirs).max()), floor)
        errors = np.abs(ours - theirs) / np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), scale)
        at = tuple(int(i) for i in np.unravel_index(int(errors.argmax()), errors.shape))
        blocks.append(BlockReport(name, ours.shape, float(errors[at]), at, float(ours[at]), float(theirs[at])))
    return tuple(blocks)
