"""Initializers: (rng, fan_in, fan_out) -> starting weights.

Signals keep their size through the layers when the variance of the weights is near 1 / fan_in; gradients on the way
back when it is near 1 / fan_out. Glorot takes the mean of the two, He doubles the first because a ReLU lets half of
the signal through.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from glassnet import registry
from glassnet.arrays import Array
from glassnet.errors import fault

__all__ = ["INITIALIZERS", "Initializer", "InitializerLike", "get"]

Shape = tuple[int, ...]
Draw = Callable[[np.random.Generator, int, int, Shape], Array]


@dataclass(frozen=True)
class Initializer:
    """A named way to draw starting values.

    `initializer(rng, fan_in, fan_out)` returns weights (fan_in, fan_out); with `shape=(fan_out,)` it draws biases of
    the same distribution.

    >>> import numpy as np
    >>> get("glorot_uniform")(np.random.default_rng(0), 3, 2).shape
    (3, 2)
    """

    name: str
    draw: Draw
    options: tuple[tuple[str, float], ...] = ()

    def __reduce__(self) -> tuple[object, ...]:
        return registry.reduced(self, get, INITIALIZERS)

    def __call__(self, rng: np.random.Generator, fan_in: int, fan_out: int, shape: Shape | None = None) -> Array:
        """Draw values of the given shape, (fan_in, fan_out) unless another is asked for."""
        return self.draw(rng, fan_in, fan_out, (fan_in, fan_out) if shape is None else shape)


InitializerLike = str | Initializer | Mapping[str, object]


@registry.remembered
def zeros() -> Initializer:
    """Return all zeros."""
    return Initializer("zeros", lambda rng, fan_in, fan_out, shape: np.zeros(shape))


@registry.remembered
def constant(value: float = 0.01) -> Initializer:
    """Return the same value everywhere: for biases (equal weights make all units of a layer learn the same)."""
    return Initializer(
        "constant", lambda rng, fan_in, fan_out, shape: np.full(shape, float(value)), (("value", float(value)),)
    )


@registry.remembered
def normal(std: float = 1.0) -> Initializer:
    """Return N(0, std^2)."""
    if not std >= 0:
        raise fault("std of normal", "at least 0", std)
    options = (("std", float(std)),)
    return Initializer("normal", lambda rng, fan_in, fan_out, shape: rng.normal(0.0, std, shape), options)


@registry.remembered
def uniform(low: float = -1.0, high: float = 1.0) -> Initializer:
    """Return U(low, high)."""
    if low >= high:
        raise fault("high of uniform", f"greater than low = {low}", high)
    return Initializer(
        "uniform",
        lambda rng, fan_in, fan_out, shape: rng.uniform(low, high, shape),
        (("low", float(low)), ("high", float(high))),
    )


def _scaled_normal(name: str, variance: Callable[[int, int], float]) -> Initializer:
    """N(0, variance)."""
    return Initializer(name, lambda rng, n_in, n_out, shape: rng.normal(0.0, variance(n_in, n_out) ** 0.5, shape))


def _scaled_uniform(name: str, variance: Callable[[int, int], float]) -> Initializer:
    """U(-b, b) with b = sqrt(3 variance), which has that variance."""

    def draw(rng: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Array:
        bound = (3.0 * variance(fan_in, fan_out)) ** 0.5
        return rng.uniform(-bound, bound, shape)

    return Initializer(name, draw)


def _orthogonal(rng: np.random.Generator, fan_in: int, fan_out: int, shape: Shape) -> Array:
    """Orthonormal rows or columns (Saxe, McClelland and Ganguli 2014); the signs make the distribution uniform."""
    if shape != (fan_in, fan_out):
        raise fault("orthogonal weights", "a matrix (fan_in, fan_out)", shape, "Choose another bias_init.")
    q, r = np.linalg.qr(rng.normal(size=(max(shape), min(shape))))
    q = q * np.sign(np.diagonal(r))
    return np.asarray(q if fan_in >= fan_out else q.T)


VARIANCES: Mapping[str, Callable[[int, int], float]] = {
    "glorot": lambda fan_in, fan_out: 2.0 / (fan_in + fan_out),  # Glorot and Bengio 2010
    "he": lambda fan_in, fan_out: 2.0 / fan_in,  # He, Zhang, Ren and Sun 2015
    "lecun": lambda fan_in, fan_out: 1.0 / fan_in,  # LeCun, Bottou, Orr and Mueller 1998
}

INITIALIZERS: Mapping[str, Callable[..., Initializer]] = {
    "zeros": zeros,
    "constant": constant,
    "normal": normal,
    "uniform": uniform,
    **{f"{name}_normal": registry.fixed(_scaled_normal(f"{name}_normal", v)) for name, v in VARIANCES.items()},
    **{f"{name}_uniform": registry.fixed(_scaled_uniform(f"{name}_uniform", v)) for name, v in VARIANCES.items()},
    "glorot_older": registry.fixed(_scaled_normal("glorot_older", lambda n_in, n_out: 1.0 / (n_in + n_out))),
    "orthogonal": registry.fixed(Initializer("orthogonal", _orthogonal)),
}
"""Name -> maker of every initializer. `glorot_older` is N(0, 1) / sqrt(fan_in + fan_out)."""


def get(spec: InitializerLike) -> Initializer:
    """Return the initializer for a name, a record, or {"name": "normal", "std": 0.1}.

    Raises GlassnetError for an unknown name or option.
    """
    return spec if isinstance(spec, Initializer) else registry.make("initializer", INITIALIZERS, spec)
