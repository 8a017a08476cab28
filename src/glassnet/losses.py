"""Losses: what a wrong output costs, and how that cost changes with the output.

`value(a, y)` is the cost of each output, `slope(a, y) = dL/da` its derivative; both element-wise on (..., m, k). The
objective sums over the k outputs and takes the (weighted) mean over the m samples.

Where output and loss match (softmax + cross-entropy, sigmoid + binary cross-entropy, identity + squared error,
exp + Poisson) the cost and delta = dL/dz are taken from the pre-activation z: log-sum-exp, never a clipped
probability. Any other pair of output and loss works through dL/da * f'(z).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import wraps
from typing import ParamSpec

import numpy as np

from glassnet import registry
from glassnet.activations import half_log_max, sigmoid, softplus, step
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, choose, fault, type_fault

__all__ = ["LOSSES", "Loss", "LossLike", "Matched", "get", "scaled"]

TINY = 1e-30
"""What a probability is held above when it stands under a logarithm without its z (unmatched pairs only)."""

Cost = Callable[[Array, Array], Array]
DOMAINS = {
    "real": {"real", "nonnegative", "positive", "unit", "simplex"},
    "positive": {"positive", "unit", "simplex"},
    "unit": {"unit", "simplex"},
    "simplex": {"simplex"},
}
"""Domain of a loss -> the ranges of output activations that lie inside it."""


BOUNDS = {
    "real": (-np.inf, np.inf),
    "nonnegative": (0.0, np.inf),
    "positive": (0.0, np.inf),
    "unit": (0.0, 1.0),
    "simplex": (0.0, 1.0),
}
"""Kind of targets -> between what they lie."""


@dataclass(frozen=True)
class Matched:
    """The same loss in terms of z for the output activation that it belongs to."""

    activation: str
    value: Callable[[Array, Array, Array], Array]
    """value(z, a, y): the cost of each output."""
    delta: Callable[[Array, Array, Array], Array]
    """delta(z, a, y) = dL/dz."""
    smoothing: tuple[float, float] | None = None
    """(label smoothing, factor) of a cross-entropy, which sees whole rows and is fused with its softmax by engines that
    go element by element; None for an element-wise loss."""


@dataclass(frozen=True)
class Loss:
    """A loss: `value(a, y)` and `slope(a, y) = dL/da`, element-wise on (..., m, k).

    `domain` says which outputs it is defined for ("real", "positive", "unit" = [0, 1], "simplex" = each row sums to
    one), `targets` which targets (the same, or "nonnegative").

    >>> import numpy as np
    >>> cubic = Loss("cubic", lambda a, y: abs(a - y) ** 3, lambda a, y: 3 * (a - y) * abs(a - y))
    >>> cubic.slope(np.array([2.0]), np.array([0.0]))
    array([12.])
    """

    name: str
    value: Cost
    slope: Cost
    domain: str = "real"
    targets: str = "real"
    matched: Matched | None = None
    analytic: bool = False
    options: tuple[tuple[str, float], ...] = ()
    takes_complex: bool = False
    """Whether the functions take complex numbers: true of all of the library's."""
    square: float | None = None
    """c where the loss is c/2 (a - y)^2, which is what least-squares solvers need; None for all other losses."""

    def __post_init__(self) -> None:
        choose("domain of a loss", self.domain, DOMAINS)
        choose("kind of targets", self.targets, BOUNDS)

    def __reduce__(self) -> tuple[object, ...]:
        return registry.reduced(self, get, LOSSES)

    def check_output(self, range_: str, activation: str) -> None:
        """Raise GlassnetError where the output activation can leave the domain of the loss."""
        if range_ not in DOMAINS[self.domain]:
            wanted = {
                "unit": "in [0, 1]: sigmoid or softmax",
                "positive": "positive: exp or softplus",
                "simplex": "that sum to 1: softmax (for sigmoid outputs take binary_cross_entropy)",
            }[self.domain]
            raise GlassnetError(f"the loss {self.name} needs outputs {wanted}; received {activation!r} ({range_}).")

    def check_targets(self, Y: Array) -> None:
        """Raise GlassnetError where a target is one that the loss has no meaning for."""
        low, high = BOUNDS[self.targets]
        least, most = Y.min(), Y.max()
        if least < low or most > high or (self.targets == "positive" and least <= 0):
            wanted = {"unit": "in [0, 1]", "simplex": "in [0, 1] with rows that sum to 1"}.get(
                self.targets, self.targets
            )
            raise fault("Y", f"{wanted} for the loss {self.name}", f"values from {least:g} to {most:g}")
        if self.targets == "simplex" and np.abs(Y.sum(axis=-1) - 1.0).max() > 1e-6:
            raise fault(
                "Y", f"rows that sum to 1 for the loss {self.name}",
                f"a row that sums to {Y.sum(axis=-1).ravel()[np.abs(Y.sum(axis=-1) - 1.0).argmax()]:g}",
                "Several labels a row? Use binary_cross_entropy with sigmoid outputs.",
            )  # fmt: skip


LossLike = str | Loss | tuple[Cost, Cost] | Mapping[str, object]


P = ParamSpec("P")


def _library(maker: Callable[P, Loss]) -> Callable[P, Loss]:
    """Make each loss once, and say that it takes complex numbers."""

    @wraps(maker)
    def make(*args: P.args, **kwargs: P.kwargs) -> Loss:
        return replace(maker(*args, **kwargs), takes_complex=True)

    return registry.remembered(make)


def _absolute(r: Array) -> Array:
    return np.maximum(r, -r)


@_library
def squared_error() -> Loss:
    """Return half the squared error, (a - y)^2 / 2."""

    def value(a: Array, y: Array) -> Array:
        r = a - y
        return np.asarray(0.5 * r * r)

    def slope(a: Array, y: Array) -> Array:
        return a - y

    return Loss(
        "squared_error",
        value,
        slope,
        analytic=True,
        square=1.0,
        matched=Matched("identity", lambda z, a, y: value(a, y), lambda z, a, y: a - y),
    )


@_library
def absolute_error() -> Loss:
    """Return |a - y|; the slope at the kink is 0."""
    return Loss("absolute_error", lambda a, y: _absolute(a - y), lambda a, y: step(a - y) - step(y - a))


@_library
def huber(delta: float = 1.0) -> Loss:
    """Return Huber's loss: r^2/2 for |r| <= delta, else delta (|r| - delta/2), r = a - y (Huber 1964)."""
    if not delta > 0:
        raise fault("delta of huber", "positive", delta)

    def value(a: Array, y: Array) -> Array:
        r = _absolute(a - y)
        q = np.minimum(r, delta)
        return q * (r - 0.5 * q)

    def slope(a: Array, y: Array) -> Array:
        return np.asarray(np.maximum(np.minimum(a - y, delta), -delta))

    return Loss("huber", value, slope, options=registry.non_default(delta=(delta, 1.0)))


@_library
def quantile(q: float = 0.5) -> Loss:
    """Return the pinball loss max(q (y - a), (q - 1)(y - a)), least at the q-quantile (Koenker and Bassett 1978)."""
    if not 0 < q < 1:
        raise fault("q of quantile", "between 0 and 1", q)

    def value(a: Array, y: Array) -> Array:
        return np.maximum(q * (y - a), (q - 1.0) * (y - a))

    def slope(a: Array, y: Array) -> Array:
        return (1.0 - q) * step(a - y) - q * step(y - a)

    return Loss("quantile", value, slope, options=registry.non_default(q=(q, 0.5)))


@_library
def poisson() -> Loss:
    """Return half the Poisson deviance, a - y + y ln(y / a), for counts y >= 0 and rates a > 0."""

    def constant(y: Array) -> Array:
        return y * np.log(np.maximum(y, TINY)) - y

    def value(a: Array, y: Array) -> Array:
        return np.asarray(a - y * np.log(np.maximum(a, TINY)) + constant(y))

    def slope(a: Array, y: Array) -> Array:
        return 1.0 - y / np.maximum(a, TINY)

    def value_z(z: Array, a: Array, y: Array) -> Array:
        return np.asarray(np.exp(np.minimum(z, half_log_max(z))) - y * z + constant(y))

    return Loss(
        "poisson", value, slope, "positive", "nonnegative", Matched("exp", value_z, lambda z, a, y: a - y), True
    )


@_library
def gamma() -> Loss:
    """Return half the gamma deviance, y/a - 1 - ln(y/a), for y > 0 and means a > 0."""

    def ratio(z: Array, y: Array) -> Array:
        return y * np.exp(np.minimum(-z, half_log_max(z)))

    def value(a: Array, y: Array) -> Array:
        a = np.maximum(a, TINY**0.5)
        return y / a - 1.0 - np.log(y / a)

    def slope(a: Array, y: Array) -> Array:
        a = np.maximum(a, TINY**0.5)
        return np.asarray((a - y) / (a * a))

    def value_z(z: Array, a: Array, y: Array) -> Array:
        return ratio(z, y) - 1.0 - np.log(y) + z

    matched = Matched("exp", value_z, lambda z, a, y: 1.0 - ratio(z, y))
    return Loss("gamma", value, slope, "positive", "positive", matched, True)


@_library
def cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return the cross-entropy -sum_j y_j ln a_j over rows of class probabilities.

    With label smoothing e the target becomes (1 - e) y + e/k (Szegedy et al. 2016). With softmax outputs
    -ln a_j = ln sum_i exp(z_i) - z_j, so that a probability that underflows still has its cost, and delta = a - y.
    """
    if not 0 <= label_smoothing < 1:
        raise fault("label_smoothing", "in [0, 1)", label_smoothing)

    def smooth(y: Array) -> Array:
        return y if label_smoothing == 0 else (1.0 - label_smoothing) * y + label_smoothing / y.shape[-1]

    def value(a: Array, y: Array) -> Array:
        return -smooth(y) * np.log(np.maximum(a, TINY))

    def slope(a: Array, y: Array) -> Array:
        return -smooth(y) / np.maximum(a, TINY)

    def value_z(z: Array, a: Array, y: Array) -> Array:
        if a.min() > TINY:  # no probability is near underflow: its logarithm is exact, and cheap
            return np.asarray(smooth(y) * -np.log(a))
        # -ln a_j = ln sum_i exp(z_i) - z_j, where ln sum_i exp(z_i) = z_max - ln a_max and a_max is at least 1/k
        log_sum_exp = z.max(axis=-1, keepdims=True) - np.log(a.max(axis=-1, keepdims=True))
        return np.asarray(smooth(y) * (log_sum_exp - z))

    matched = Matched("softmax", value_z, lambda z, a, y: a - smooth(y), (label_smoothing, 1.0))
    options = registry.non_default(label_smoothing=(label_smoothing, 0.0))
    return Loss("cross_entropy", value, slope, "simplex", "simplex", matched, True, options)


@_library
def binary_cross_entropy(label_smoothing: float = 0.0) -> Loss:
    """Return -y ln a - (1 - y) ln(1 - a) for each output; with a = sigma(z) it is ln(1 + exp z) - y z.

    With label smoothing e the target becomes (1 - e) y + e/2: what `cross_entropy` does for two classes.
    """
    if not 0 <= label_smoothing < 1:
        raise fault("label_smoothing", "in [0, 1)", label_smoothing)
    kept, share = 1.0 - label_smoothing, 0.5 * label_smoothing

    def value(a: Array, y: Array) -> Array:
        t = kept * y + share
        return -t * np.log(np.maximum(a, TINY)) - (1.0 - t) * np.log(np.maximum(1.0 - a, TINY))

    def slope(a: Array, y: Array) -> Array:
        return (a - (kept * y + share)) / np.maximum(a * (1.0 - a), TINY)

    def value_z(z: Array, a: Array, y: Array) -> Array:
        return softplus(z) - (kept * y + share) * z

    def delta(z: Array, a: Array, y: Array) -> Array:
        return a - (kept * y + share)

    options = registry.non_default(label_smoothing=(label_smoothing, 0.0))
    matched = Matched("sigmoid", value_z, delta)
    return Loss("binary_cross_entropy", value, slope, "unit", "unit", matched, True, options)


@_library
def focal(gamma: float = 2.0) -> Loss:
    """Return the focal loss -y (1 - a)^gamma ln a - (1 - y) a^gamma ln(1 - a) of each output.

    Well classified samples count little (Lin, Goyal, Girshick, He and Dollar 2017, without its class balance: use
    sample weights). gamma = 0 is the binary cross-entropy.
    """
    if not gamma >= 0:
        raise fault("gamma of focal", "at least 0", gamma)

    def value(a: Array, y: Array) -> Array:
        b = 1.0 - a
        log_a, log_b = np.log(np.maximum(a, TINY)), np.log(np.maximum(b, TINY))
        return -y * b**gamma * log_a - (1.0 - y) * a**gamma * log_b

    def slope(a: Array, y: Array) -> Array:
        a, b = np.maximum(a, TINY), np.maximum(1.0 - a, TINY)
        rise = gamma * b**gamma / b * np.log(a) - b**gamma / a
        fall = -gamma * a**gamma / a * np.log(b) + a**gamma / b
        return y * rise + (1.0 - y) * fall

    def value_z(z: Array, a: Array, y: Array) -> Array:
        b = sigmoid(-z)
        return y * b**gamma * softplus(-z) + (1.0 - y) * a**gamma * softplus(z)

    def delta(z: Array, a: Array, y: Array) -> Array:
        b = sigmoid(-z)
        rise = -(b**gamma) * (gamma * a * softplus(-z) + b)
        fall = a**gamma * (gamma * b * softplus(z) + a)
        return y * rise + (1.0 - y) * fall

    options = registry.non_default(gamma=(gamma, 2.0))
    return Loss("focal", value, slope, "unit", "unit", Matched("sigmoid", value_z, delta), True, options)


def scaled(loss: Loss, factor: float) -> Loss:
    """Return the loss times a number, under the same name: for several outputs, 1/k makes the sum a mean.

    >>> import numpy as np
    >>> scaled(get("squared_error"), 0.5).slope(np.array([3.0]), np.array([1.0]))
    array([1.])
    """
    if factor == 1.0:
        return loss
    value, slope, pair = loss.value, loss.slope, loss.matched
    matched = pair and _scaled_pair(pair, factor)
    return replace(
        loss,
        value=lambda a, y: factor * value(a, y),
        slope=lambda a, y: factor * slope(a, y),
        matched=matched,
        square=None if loss.square is None else factor * loss.square,
    )


def _scaled_pair(pair: Matched, factor: float) -> Matched:
    value, delta = pair.value, pair.delta
    smoothing = pair.smoothing and (pair.smoothing[0], factor * pair.smoothing[1])
    return Matched(
        pair.activation, lambda z, a, y: factor * value(z, a, y), lambda z, a, y: factor * delta(z, a, y), smoothing
    )


LOSSES: Mapping[str, Callable[..., Loss]] = {
    maker.__name__: maker
    for maker in (
        squared_error, absolute_error, huber, quantile, poisson, gamma, cross_entropy, binary_cross_entropy, focal,
    )
}  # fmt: skip
"""Name -> maker of every loss."""


def get(spec: LossLike) -> Loss:
    """Return the loss for a name, a record, {"name": ..., option: ...}, or your own pair `(value, slope)`.

    Raises GlassnetError for an unknown name, an option out of range, and a pair that is not two functions.

    >>> get("huber").name, get({"name": "quantile", "q": 0.9}).options
    ('huber', (('q', 0.9),))
    """
    if isinstance(spec, Loss):
        return spec
    if isinstance(spec, tuple):
        if len(spec) != 2 or not all(callable(part) for part in spec):
            raise type_fault("loss", "a name or a pair of functions (value, slope)", spec)
        return Loss("custom", *spec)
    return registry.make("loss", LOSSES, spec)
