"""Rules: what to do with a gradient.

A rule is a frozen record with two pure functions on flat vectors: `init(theta) -> state` and
`step(grad, state, learning_rate) -> step, state`. Only the training loop moves theta: theta += step.

Symbols: g gradient, t number of the step from 1, rate learning rate, eps a small number against division by zero.
All functions work on a vector (P,) and on a stack (S, P).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import choose, fault, type_fault
from glassnet.schedules import Schedule, as_schedule

__all__ = [
    "RULES", "SGD", "AdaGrad", "Adam", "AdamW", "ClipNorm", "NAdam", "RMSProp", "Rule", "RuleState", "get",
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


def _zeros(rule: Rule, theta: Array, count: int) -> RuleState:
    return RuleState(0, tuple(np.zeros_like(theta) for _ in range(count)), type(rule).__name__)


def _check(rule: Rule, **shares: float) -> None:
    as_schedule(rule.learning_rate)
    for name, value in shares.items():
        if not 0 <= value < 1 or (name == "eps" and value == 0):
            raise fault(f"{name} of {type(rule).__name__}", "between 0 and 1" if name == "eps" else "in [0, 1)", value)


@dataclass(frozen=True)
class SGD:
    """Gradient descent, with momentum if asked for.

        v <- momentum v - rate g
        step = v                          (Polyak 1964)
        step = momentum v - rate g        (nesterov; Sutskever, Martens, Dahl and Hinton 2013)

    The rate stands inside v, so a change of rate works on new gradients only; PyTorch multiplies by the rate outside:
    equal while the rate is constant. Without momentum the step is -rate g. State: v.

    >>> import numpy as np
    >>> rule = SGD(0.1, momentum=0.9)
    >>> state = rule.init(np.zeros(1))
    >>> step, state = rule.step(np.ones(1), state, 0.1)
    >>> step, state = rule.step(np.ones(1), state, 0.1)
    >>> step
    array([-0.19])
    """

    learning_rate: float | Schedule = 0.1
    momentum: float = field(default=0.0, kw_only=True)
    nesterov: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, momentum=self.momentum)
        if self.nesterov and self.momentum == 0:
            raise fault("momentum of SGD", "positive with nesterov=True", 0.0, "0.9 is usual.")

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with v = 0."""
        return _zeros(self, theta, 1 if self.momentum else 0)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        push = -learning_rate * grad
        if not self.momentum:
            return push, RuleState(state.t + 1, (), state.rule)
        v = self.momentum * state.slots[0] + push
        return (self.momentum * v + push if self.nesterov else v), RuleState(state.t + 1, (v,), state.rule)


@dataclass(frozen=True)
class AdaGrad:
    """Each parameter's rate falls with the squares of its gradients so far (Duchi, Hazan and Singer 2011).

        r <- r + g^2
        step = -rate g / (eps + sqrt r)

    State: r.
    """

    learning_rate: float | Schedule = 0.05
    eps: float = field(default=1e-7, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with r = 0."""
        return _zeros(self, theta, 1)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        r = state.slots[0] + grad * grad
        return -learning_rate * grad / (self.eps + np.sqrt(r)), RuleState(state.t + 1, (r,), state.rule)


@dataclass(frozen=True)
class RMSProp:
    """AdaGrad with a memory that fades (Tieleman and Hinton 2012); eps outside the root, as in PyTorch.

        r <- rho r + (1 - rho) g^2
        step = -rate g / (eps + sqrt r)

    State: r.
    """

    learning_rate: float | Schedule = 1e-3
    rho: float = field(default=0.99, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, rho=self.rho, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with r = 0."""
        return _zeros(self, theta, 1)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        r = self.rho * state.slots[0] + (1.0 - self.rho) * grad * grad
        return -learning_rate * grad / (self.eps + np.sqrt(r)), RuleState(state.t + 1, (r,), state.rule)


@dataclass(frozen=True)
class Adam:
    """Adam: Kingma and Ba (2015), Algorithm 1, with eps outside the corrected root.

        m <- beta1 m + (1 - beta1) g              v <- beta2 v + (1 - beta2) g^2
        step = -rate M / (sqrt V + eps),          M = m / (1 - beta1^t),  V = v / (1 - beta2^t)

    (scikit-learn and the paper's "more efficient order" add eps to the uncorrected root.) State: m, v.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with m = v = 0."""
        return _zeros(self, theta, 2)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        t, m, v = _moments(grad, state, self.beta1, self.beta2)
        root = np.sqrt(v)
        root *= (1.0 - self.beta2**t) ** -0.5
        root += self.eps
        return (-learning_rate / (1.0 - self.beta1**t)) * m / root, RuleState(t, (m, v), state.rule)


@dataclass(frozen=True)
class AdamW:
    """Adam with decoupled weight decay (Loshchilov and Hutter 2019, Algorithm 2 with schedule multiplier 1).

        step = Adam's step - rate weight_decay W

    Weights decay, biases do not. The decay is not part of the objective: with Adam, `l2` is another thing. State:
    m, v, and where to decay.
    """

    learning_rate: float | Schedule = 1e-3
    weight_decay: float = field(default=0.01, kw_only=True)
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=self.weight_decay)

    @property
    def adam(self) -> Adam:
        """The same rule without decay."""
        return Adam(self.learning_rate, beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with m = v = 0; without `decayed` all of theta decays."""
        where = np.ones_like(theta) if decayed is None else decayed.astype(theta.dtype)
        start = self.adam.init(theta)
        return start._replace(slots=(*start.slots, where), rule="AdamW")

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state; raises GlassnetError without theta, which the decay needs."""
        if theta is None:
            raise fault("theta", "given to AdamW.step, which decays it", None)
        m, v, where = state.slots
        step, new = self.adam.step(grad, RuleState(state.t, (m, v), state.rule), learning_rate)
        step -= learning_rate * self.weight_decay * where * theta
        return step, new._replace(slots=(*new.slots, where))


@dataclass(frozen=True)
class NAdam:
    """Adam with Nesterov's look ahead (Dozat 2016), with the paper's rising momentum.

        mu_t = beta1 (1 - 0.96^(t decay) / 2)         c_t = mu_1 ... mu_t
        M = mu_{t+1} m / (1 - c_{t+1}) + (1 - mu_t) g / (1 - c_t)
        step = -rate M / (sqrt V + eps)               m, v, V as in Adam

    State: m, v, c (a number).
    """

    learning_rate: float | Schedule = 2e-3
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    decay: float = field(default=0.004, kw_only=True)

    def __post_init__(self) -> None:
        _check(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps, decay=self.decay)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with m = v = 0 and c = 1."""
        start = _zeros(self, theta, 2)
        return start._replace(slots=(*start.slots, np.ones((), theta.dtype)))

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        t, m, v = _moments(grad, state, self.beta1, self.beta2)
        mu = self.beta1 * (1.0 - 0.5 * 0.96 ** (t * self.decay))
        ahead = self.beta1 * (1.0 - 0.5 * 0.96 ** ((t + 1) * self.decay))
        c = state.slots[2] * mu
        M = ahead / (1.0 - c * ahead) * m + (1.0 - mu) / (1.0 - c) * grad
        V = v / (1.0 - self.beta2**t)
        return -learning_rate * M / (np.sqrt(V) + self.eps), RuleState(t, (m, v, c), state.rule)


def _moments(grad: Array, state: RuleState, beta1: float, beta2: float) -> tuple[int, Array, Array]:
    """Fading means of g and of g^2."""
    m = beta1 * state.slots[0]
    m += (1.0 - beta1) * grad
    square = grad * grad
    square *= 1.0 - beta2
    square += beta2 * state.slots[1]
    return state.t + 1, m, square


@dataclass(frozen=True)
class ClipNorm:
    """Any rule, with gradients longer than `max_norm` shortened to it (Pascanu, Mikolov and Bengio 2013).

        g <- g min(1, max_norm / |g|)

    >>> import numpy as np
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


RULES: Mapping[str, Callable[..., Rule]] = {
    "sgd": SGD,
    "adagrad": AdaGrad,
    "rmsprop": RMSProp,
    "adam": Adam,
    "adamw": AdamW,
    "nadam": NAdam,
}
"""Name -> class of every rule."""


def get(optimizer: str | Rule, learning_rate: float | Schedule | None = None) -> Rule:
    """Return the rule for a name (with the given learning rate, or its own default) or a rule as it is.

    Raises GlassnetError for an unknown name.

    >>> get("sgd", 0.5)
    SGD(learning_rate=0.5, momentum=0.0, nesterov=False)
    """
    if isinstance(optimizer, str):
        make = choose("optimizer", optimizer, RULES)
        return make() if learning_rate is None else make(learning_rate)
    if not hasattr(optimizer, "step") or isinstance(optimizer, type):
        raise type_fault("optimizer", "a name or a rule such as Adam(1e-3)", repr(optimizer))
    return optimizer
