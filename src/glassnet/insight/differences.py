"""Derivatives measured by central differences, with the step chosen by extrapolation and kinks noticed.

    D(h) = (J(t + h) - J(t - h)) / 2h = J' + c h^2 + ...       so  (64 D(h) - D(8h)) / 63  has an error of order h^4

The step shrinks by 8 until two differences agree; kinks further away than the step are thereby out of reach. A kink at
t itself (a ReLU at z = 0) shows in the second difference, which halves with h where J is smooth and stays where it is
not:  G(h) = (J(t + h) - 2 J(t) + J(t - h)) / h = c h + jump,  the jump from the left slope to the right one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array

__all__ = ["COARSE", "Measured", "choose_entries", "derivative", "measure", "noise_of"]

STEPS = tuple(1e-3 / 8.0**k for k in range(6))
COARSE = 1e-11
"""Where rounding shakes the loss by more than this share, it was computed in single precision: steps are larger."""
WANTED = 1e-8
"""The relative error at which the step is small enough."""


@dataclass(frozen=True)
class Measured:
    """Derivatives at chosen flat `entries` (n,): `value`, estimated `error`, `jump` at a kink (else 0), `step`."""

    entries: Array
    value: Array
    error: Array
    jump: Array
    step: Array

    @property
    def at_kink(self) -> Array:
        """Booleans (n,): where there is no derivative."""
        return np.asarray(self.jump > 0)


def noise_of(J: Callable[[float], float]) -> float:
    """Return how much rounding shakes J, from third differences along tiny steps (Hamming's table).

    J(t) is the loss at a distance t along some direction. Where it hardly moves over 1e-9, or all its values are
    numbers of single precision, steps of 1e-5 are taken.

    >>> noise_of(lambda t: 1.0 + t) < 1e-15
    True
    >>> 1e-8 < noise_of(lambda t: float(np.float32(1.0 + t))) < 1e-6
    True
    """
    values = np.array([J(1e-9 * k) for k in range(7)])
    least = 4e-16
    if len(set(values.tolist())) <= 2 or np.array_equal(values.astype(np.float32), values):
        values = np.array([J(1e-5 * k) for k in range(-9, 10)])
        single = np.ptp(values) > 0 and np.array_equal(values.astype(np.float32), values)
        least = 3e-8 if single else least
    third = np.abs(np.diff(values, 3)) / np.sqrt(20.0)  # the binomials 1, 3, 3, 1 squared add up to 20
    # a kink among the values spoils four differences at most: they are left out where there are many
    shaken = float(np.sqrt(np.mean(np.sort(third)[: max(4, len(third) - 4)] ** 2)))
    return max(shaken, least * float(np.abs(values).max()))


def derivative(
    J: Callable[[float], float], at: float, noise: float, size: float = 1.0, floor: float = 0.0
) -> tuple[float, float, float, float]:
    """Return (value, error, jump, step) of dJ/dt at t = 0, where J(0) is `at` and rounding shakes J by `noise`.

    Steps are in units of `size`; an error below 1e-8 of the value or of `floor` ends the search.

    >>> value, error, jump, step = derivative(np.exp, 1.0, 1e-16)
    >>> round(float(value), 9), bool(error < 1e-7), jump
    (1.0, True, 0.0)
    >>> derivative(lambda t: max(t, 0.0), 0.0, 1e-16)[2]
    1.0
    """
    best = (0.0, np.inf, 0.0, 0.0)
    before: tuple[float, float, float] | None = None
    coarse = noise > COARSE * abs(at)
    for step in (64e-3, 8e-3, *STEPS) if coarse else STEPS:
        h = step * size
        up, down = J(h), J(-h)
        D, gap, shaken = (up - down) / (2 * h), (up - 2 * at + down) / h, noise / h
        if before is not None:
            moved = abs(D - before[0])
            error = moved / 8 + shaken
            jump = abs(8 * gap - before[1]) / 7
            # a bend of J just inside the step looks like a jump of it too, but then D moves
            real = jump > 1e-4 * max(abs(D), floor) + 40 * shaken and moved < (0.5 if coarse else 0.05) * jump
            if error < best[1]:
                best = ((64 * D - before[0]) / 63, error, jump if real else 0.0, h)
            if moved / 63 + shaken < WANTED * max(abs(D), floor) or shaken > best[1]:
                break
        before = (D, gap, shaken)
    return best


def choose_entries(gradient: Array | None, size: int, most: int, rng: np.random.Generator) -> Array:
    """Return flat entries to measure: all where there are at most `most`, else the largest ones and a seeded choice."""
    if size <= most:
        return np.arange(size)
    first: Array = np.empty(0, dtype=int)
    if gradient is not None and gradient.size == size and np.isfinite(gradient).all():
        first = np.argsort(-np.abs(gradient.ravel()), kind="stable")[: most // 4]
    others = np.setdiff1d(np.arange(size), first)
    return np.sort(np.concatenate([first, rng.choice(others, most - len(first), replace=False)]))


def measure(
    loss: Callable[[Sequence[Array]], float], arrays: Sequence[Array], which: int, entries: Array, at: float,
    noise: float, floor: float,
) -> Measured:  # fmt: skip
    """Return d loss / d arrays[which] at flat `entries`; `at` is the loss at `arrays`."""
    rows = []
    for entry in entries:

        def shifted(t: float, entry: int = int(entry)) -> float:
            moved = list(arrays)
            moved[which] = arrays[which].copy()
            moved[which].flat[entry] += t
            return loss(moved)

        size = max(1.0, abs(float(arrays[which].flat[entry])))
        rows.append(derivative(shifted, at, noise, size, floor))
        floor = max(floor, 1e-3 * abs(rows[-1][0]))
    value, error, jump, step = np.array(rows).reshape(-1, 4).T
    return Measured(entries, value, error, jump, step)
