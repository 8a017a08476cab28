"""Rules: what to do with a gradient. What a rule is stands in rules.py; these are the equations.

Symbols: g gradient, t number of the step from 1, rate learning rate, eps a small number against division by zero.
All functions work on a vector (P,) and on a stack (S, P).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from math import log

import numpy as np

from glassnet.arrays import Array
from glassnet.clipping import ClipNorm
from glassnet.errors import choose, fault, type_fault
from glassnet.rules import Formula, Number, Rule, RuleState, Slots, check_options, one_step, zeros
from glassnet.schedules import Schedule

__all__ = [
    "RULES", "SGD", "AdaGrad", "Adam", "AdamW", "ClipNorm", "NAdam", "RMSProp", "Rule", "RuleState", "get",
]  # fmt: skip


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
        check_options(self, momentum=self.momentum)
        if self.nesterov and self.momentum == 0:
            raise fault("momentum of SGD", "positive with nesterov=True", 0.0, "0.9 is usual.")

    @property
    def is_plain(self) -> bool:
        """Whether the step is -rate g and nothing else: a product of matrices can add it to theta itself."""
        return not self.momentum

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with v = 0."""
        return zeros(self, theta, 1 if self.momentum else 0)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation of the kind of descent that was asked for."""
        if not self.momentum:
            return _descent
        return _nesterov if self.nesterov else _momentum

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return rate, momentum."""
        return rate, self.momentum


def _descent(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    rate, _ = numbers
    return -rate * g, ()


def _momentum(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    (v,) = slots
    rate, momentum = numbers
    v = momentum * v - rate * g
    return v, (v,)


def _nesterov(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    (v,) = slots
    rate, momentum = numbers
    v = momentum * v - rate * g
    return momentum * v - rate * g, (v,)


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
        check_options(self, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with r = 0."""
        return zeros(self, theta, 1)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation."""
        return _adagrad

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return rate, eps."""
        return rate, self.eps


def _adagrad(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    (r,) = slots
    rate, eps = numbers
    r = r + g * g
    return -rate * g / (eps + np.sqrt(r)), (r,)


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
        check_options(self, rho=self.rho, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with r = 0."""
        return zeros(self, theta, 1)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation."""
        return _rmsprop

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return rate, eps, rho, 1 - rho."""
        return rate, self.eps, self.rho, 1.0 - self.rho


def _rmsprop(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    (r,) = slots
    rate, eps, rho, rest = numbers
    r = rho * r + rest * (g * g)
    return -rate * g / (eps + np.sqrt(r)), (r,)


@dataclass(frozen=True)
class Adam:
    """Adam: Kingma and Ba (2015), Algorithm 1, with eps outside the corrected root.

        m <- beta1 m + (1 - beta1) g              v <- beta2 v + (1 - beta2) g^2
        step = -rate M / (sqrt V + eps),          M = m / (1 - beta1^t),  V = v / (1 - beta2^t)

    `eps_inside` adds eps to the root before its correction, sqrt V + eps / sqrt(1 - beta2^t): the paper's "more
    efficient order" (section 2), and what scikit-learn computes. State: m, v.
    """

    learning_rate: float | Schedule = 1e-3
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    eps_inside: bool = field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_options(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with m = v = 0."""
        return zeros(self, theta, 2)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation."""
        return _adam

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return rate / (1 - beta1^t), 1 / sqrt(1 - beta2^t), eps, and the shares of old and new in m and v."""
        scale, root = rate / (1.0 - self.beta1**t), (1.0 - self.beta2**t) ** -0.5
        eps = self.eps * root if self.eps_inside else self.eps
        return scale, root, eps, self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2


def _adam(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    m, v = slots
    scale, root, eps, beta1, rest1, beta2, rest2 = numbers
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    return -scale * m / (root * np.sqrt(v) + eps), (m, v)


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
        check_options(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps, weight_decay=self.weight_decay)

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
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation."""
        return _adamw

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return those of Adam, and rate weight_decay."""
        return *self.adam.numbers(t, rate), rate * self.weight_decay


def _adamw(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    m, v, where = slots
    scale, root, eps, beta1, rest1, beta2, rest2, decay = numbers
    step, (m, v) = _adam(g, theta, (m, v), (scale, root, eps, beta1, rest1, beta2, rest2))
    return step - decay * where * theta, (m, v, where)


@dataclass(frozen=True)
class NAdam:
    """Adam with Nesterov's look ahead (Dozat 2016), with the paper's rising momentum.

        mu_t = beta1 (1 - 0.96^(t decay) / 2)         c_t = mu_1 ... mu_t
        M = mu_{t+1} m / (1 - c_{t+1}) + (1 - mu_t) g / (1 - c_t)
        step = -rate M / (sqrt V + eps)               m, v, V as in Adam

    State: m, v.
    """

    learning_rate: float | Schedule = 2e-3
    beta1: float = field(default=0.9, kw_only=True)
    beta2: float = field(default=0.999, kw_only=True)
    eps: float = field(default=1e-8, kw_only=True)
    decay: float = field(default=0.004, kw_only=True)

    def __post_init__(self) -> None:
        check_options(self, beta1=self.beta1, beta2=self.beta2, eps=self.eps, decay=self.decay)

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        """Start with m = v = 0."""
        return zeros(self, theta, 2)

    def step(
        self, grad: Array, state: RuleState, learning_rate: float, theta: Array | None = None
    ) -> tuple[Array, RuleState]:
        """Return the step and the new state."""
        return one_step(self, grad, state, learning_rate, theta)

    @property
    def formula(self) -> Formula:
        """The equation."""
        return _nadam

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        """Return the factors of m, g and sqrt v in the step, eps, and the shares of old and new in m and v."""
        products = _products(self.beta1, self.decay)
        last = len(products) - 1
        mu, ahead = (self.beta1 * (1.0 - 0.5 * 0.96 ** (when * self.decay)) for when in (t, t + 1))
        c, c_ahead = products[np.minimum(t, last)], products[np.minimum(t + 1, last)]
        of_m, of_g = rate * ahead / (1.0 - c_ahead), rate * (1.0 - mu) / (1.0 - c)
        root = (1.0 - self.beta2**t) ** -0.5
        if not isinstance(t, np.ndarray):
            of_m, of_g = float(of_m), float(of_g)
        return of_m, of_g, root, self.eps, self.beta1, 1.0 - self.beta1, self.beta2, 1.0 - self.beta2


def _nadam(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    m, v = slots
    of_m, of_g, root, eps, beta1, rest1, beta2, rest2 = numbers
    m = beta1 * m + rest1 * g
    v = beta2 * v + rest2 * (g * g)
    return -(of_m * m + of_g * g) / (root * np.sqrt(v) + eps), (m, v)


@cache
def _products(beta1: float, decay: float) -> Array:
    """c_0, c_1, ... until they are below 1e-20, and nothing can be told from 1 - c."""
    count = 2 if beta1 == 0 else int(-20.0 * log(10.0) / log(beta1)) + 2
    mu = beta1 * (1.0 - 0.5 * 0.96 ** (np.arange(1, count) * decay))
    return np.concatenate([[1.0], np.cumprod(mu), [0.0]])


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
