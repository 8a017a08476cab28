"""Schedules: the learning rate as a function of the step.

A schedule is any function `step -> rate`; the ones here are frozen records, so they compare, print and can be stored.
Steps count updates of theta from 0. (A rate that follows the loss is a callback: `ReduceOnPlateau`.)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import cos, pi
from numbers import Real
from typing import cast

from glassnet.errors import fault, type_fault

__all__ = [
    "Constant", "Cosine", "Exponential", "InverseScaling", "OneCycle", "Piecewise", "Schedule", "WarmUp", "as_schedule",
]  # fmt: skip

Schedule = Callable[[int], float]


def _positive(name: str, value: float) -> None:
    if not value > 0 or value == float("inf"):
        raise fault(name, "positive and finite", value, "Usual learning rates lie between 1e-4 and 1.")


@dataclass(frozen=True)
class Constant:
    """rate(t) = rate."""

    rate: float

    def __post_init__(self) -> None:
        _positive("learning_rate", self.rate)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        return self.rate


@dataclass(frozen=True)
class InverseScaling:
    """rate(t) = rate / (1 + t / every)^power."""

    rate: float
    power: float = 0.5
    every: float = 1.0

    def __post_init__(self) -> None:
        _positive("learning_rate", self.rate)
        _positive("every", self.every)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        return float(self.rate / (1.0 + t / self.every) ** self.power)


@dataclass(frozen=True)
class Exponential:
    """rate(t) = rate * factor^(t / every); with `staircase` the exponent is rounded down."""

    rate: float
    factor: float = 0.95
    every: int = 1
    staircase: bool = True

    def __post_init__(self) -> None:
        _positive("learning_rate", self.rate)
        _positive("factor", self.factor)
        _positive("every", self.every)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        return float(self.rate * self.factor ** (t // self.every if self.staircase else t / self.every))


@dataclass(frozen=True)
class Piecewise:
    """rate(t) = rates[i] between boundaries: `Piecewise((100, 200), (1e-2, 1e-3, 1e-4))`."""

    boundaries: tuple[int, ...]
    rates: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.rates) != len(self.boundaries) + 1:
            raise fault("rates", f"{len(self.boundaries) + 1} numbers, one more than boundaries", len(self.rates))
        if list(self.boundaries) != sorted(self.boundaries):
            raise fault("boundaries", "in rising order", self.boundaries)
        for rate in self.rates:
            _positive("learning_rate", rate)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        return self.rates[sum(t >= boundary for boundary in self.boundaries)]


@dataclass(frozen=True)
class Cosine:
    """rate(t) = final + (rate - final) (1 + cos(pi t / steps)) / 2, then `final` (Loshchilov and Hutter 2017)."""

    rate: float
    steps: int
    final: float = 0.0

    def __post_init__(self) -> None:
        _positive("learning_rate", self.rate)
        _positive("steps", self.steps)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        return self.final + (self.rate - self.final) * 0.5 * (1.0 + cos(pi * min(t, self.steps) / self.steps))


@dataclass(frozen=True)
class WarmUp:
    """A straight rise over `steps` steps, then `after`, counted from its own step 0."""

    steps: int
    after: Schedule

    def __post_init__(self) -> None:
        object.__setattr__(self, "after", as_schedule(self.after))
        _positive("steps", self.steps)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        if t < self.steps:
            return self.after(0) * (t + 1) / self.steps
        return self.after(t - self.steps)


@dataclass(frozen=True)
class OneCycle:
    """Rise to `peak` in the first `rise` of all steps, fall to almost nothing in the rest, along cosines.

    Starts at peak / 25 and ends at peak / 1e4 (Smith and Topin 2019).
    """

    peak: float
    steps: int
    rise: float = 0.3

    def __post_init__(self) -> None:
        _positive("learning_rate", self.peak)
        _positive("steps", self.steps)
        if not 0 < self.rise < 1:
            raise fault("rise", "between 0 and 1", self.rise)

    def __call__(self, t: int) -> float:
        """Return the rate of step t."""
        turn = self.rise * self.steps
        if t < turn:
            return _cosine_between(self.peak / 25.0, self.peak, t / turn)
        return _cosine_between(self.peak, self.peak / 1e4, min((t - turn) / (self.steps - turn), 1.0))


def _cosine_between(start: float, end: float, share: float) -> float:
    return end + (start - end) * 0.5 * (1.0 + cos(pi * share))


def as_schedule(learning_rate: object) -> Schedule:
    """Return a schedule for a number or a schedule.

    Raises GlassnetError for a rate that is not positive and finite.

    >>> as_schedule(0.1)(1000)
    0.1
    >>> [round(WarmUp(2, Exponential(0.1, 0.5))(t), 4) for t in range(4)]
    [0.05, 0.1, 0.1, 0.05]
    """
    if callable(learning_rate):
        return cast(Schedule, learning_rate)
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real):
        raise type_fault("learning_rate", "a number or a schedule", repr(learning_rate))
    return Constant(float(learning_rate))
