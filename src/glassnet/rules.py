"""What a rule is: from a gradient to a step, and what it remembers in between.

A rule is a frozen record with two pure functions on flat vectors: `init(theta) -> state` and
`step(grad, state, learning_rate) -> step, state`. Only the training loop moves theta: theta += step.

A rule's equation stands in one element-wise `formula(g, theta, slots, numbers) -> step, new slots`, on arrays in
`one_step` and on single numbers in the compiled engine; `numbers(t, rate)` are what it needs of step t besides (t and
rate may be arrays: a row of numbers for each of many steps).

The rules themselves are in optimizers.py. All functions work on a vector (P,) and on a stack (S, P).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from typing import NamedTuple, Protocol

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.schedules import Schedule, as_schedule

__all__ = [
    "Formula", "FusedRule", "Number", "Rule", "RuleState", "Slots", "check_options", "one_step", "zeros",
]  # fmt: skip


class RuleState(NamedTuple):
    """What a rule remembers: the number of steps taken and vectors like theta (named in the rule's docstring)."""

    t: int = 0
    slots: tuple[Array, ...] = ()
    rule: str = ""
    """The name of the rule's class: no other rule can go on with it."""


class Rule(Protocol):
    """What the training loop asks of a rule."""

    @property
    def learning_rate(self) -> float | Schedule:
        """A number, or a schedule that is called with the step."""

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Return the state before the first step; `decayed` (P,) is 1 where weights decay, 0 at biases."""

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return what to add to theta, and the new state."""


Number = float | Array
Slots = tuple[Array, ...]
Formula = Callable[[Array, Array, Slots, tuple[Number, ...]], tuple[Array, Slots]]
"""(g, theta, slots, numbers) -> step, new slots."""


class FusedRule(Rule, Protocol):
    """A rule whose equation is one element-wise formula, which the compiled engine fuses into its loop."""

    @property
    def formula(self) -> Formula:
        """The equation."""

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return what the formula needs of step t (from 1) besides g, theta and the slots."""


def one_step(
    rule: FusedRule, grad: Array, state: RuleState, rate: float, theta: Array | None
) -> tuple[Array, RuleState]:
    """Return the step of the rule's formula and the new state."""
    t = state.t + 1
    step, slots = rule.formula(grad, grad if theta is None else theta, state.slots, rule.numbers(t, rate))
    return step, RuleState(t, slots, state.rule)


def zeros(rule: Rule, theta: Array, count: int) -> RuleState:
    """Return the state before the first step with `count` vectors of zeros like theta (P,)."""
    return RuleState(0, tuple(np.zeros_like(theta) for _ in range(count)), type(rule).__name__)


def check_options(rule: Rule, **shares: float) -> None:
    """Raise GlassnetError for a learning rate that is none, an eps that is not positive, a share outside [0, 1)."""
    as_schedule(rule.learning_rate)
    for name, value in shares.items():
        if name == "eps" and not 0 < value < inf:
            raise fault(f"eps of {type(rule).__name__}", "positive and finite", value)
        if name != "eps" and not 0 <= value < 1:
            raise fault(f"{name} of {type(rule).__name__}", "in [0, 1)", value)
