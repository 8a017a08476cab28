"""Clipping: a rule around a rule, which sees gradients no longer than they may be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.rules import Rule, RuleState
from glassnet.schedules import Schedule

__all__ = ["ClipNorm"]


@dataclass(frozen=True)
class ClipNorm:
    """Any rule, with gradients longer than `max_norm` shortened to it (Pascanu, Mikolov and Bengio 2013).

        g <- g min(1, max_norm / |g|)

    >>> import numpy as np
    >>> from glassnet import SGD
    >>> rule = ClipNorm(SGD(1.0), max_norm=1.0)
    >>> rule.step(np.array([3.0, 4.0]), rule.init(np.zeros(2)), 1.0)[0]
    array([-0.6, -0.8])
    """

    rule: Rule
    max_norm: float = 1.0

    def __post_init__(self) -> None:
        if not self.max_norm > 0:
            raise fault("max_norm of ClipNorm", "positive", self.max_norm)

    @property
    def learning_rate(self) -> float | Schedule:
        """The learning rate of the rule inside."""
        return self.rule.learning_rate

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Return the state of the rule inside."""
        return self.rule.init(theta, decayed)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step of the rule inside for the shortened gradient."""
        largest = np.maximum(np.abs(grad).max(axis=-1, keepdims=True), np.finfo(grad.dtype).tiny)
        unit = grad / largest  # squares of it neither overflow nor vanish
        norm = np.sqrt((unit * unit).sum(axis=-1, keepdims=True))
        short = np.minimum(largest, self.max_norm / np.maximum(norm, 1.0))
        return self.rule.step(unit * short, state, learning_rate, theta)
