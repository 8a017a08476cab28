"""What the tests of the exports share: a network for each activation and layer, taken from the registries."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

import glassnet as gn
from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array
from glassnet.layers import LAYERS, Layer

ROWS = 1000
TOLERANCE = {"float32": 1e-6, "float64": 1e-13}
"""Largest difference, in units of the largest output."""

LAYER_EXAMPLES: dict[str, Callable[[], Layer]] = {
    "Dense": lambda: gn.Dense(6, "tanh", bias=False),
    "Dropout": lambda: gn.Dropout(0.4),
    "BatchNorm": lambda: gn.BatchNorm(eps=1e-3),
    "LayerNorm": lambda: gn.LayerNorm(),
}


class Case(NamedTuple):
    net: gn.Network
    theta: Array
    state: Array
    X: Array

    @property
    def model(self) -> tuple[gn.Network, Array, Array]:
        return self.net, self.theta, self.state

    @property
    def output(self) -> Array:
        return self.net.forward(self.theta, self.X, state=self.state).output


def case(layers: list[Layer], dtype: str, n_inputs: int = 5) -> Case:
    """A network with random numbers everywhere, running statistics included, and a thousand rows for it."""
    rng = np.random.default_rng(1)
    net = gn.Network(n_inputs, layers)
    theta = net.init(0) + rng.normal(size=net.n_parameters) * 0.2
    state = net.init_state() + rng.uniform(0.1, 1.0, net.state_layout.size)
    X = 0.5 * rng.normal(size=(ROWS, n_inputs))  # so that exp of exp is not steep
    return Case(net, theta.astype(dtype), state.astype(dtype), X.astype(dtype))


def with_activation(name: str, dtype: str) -> Case:
    return case([gn.Dense(8, name), gn.Dense(3, name)], dtype)


def with_layer(name: str, dtype: str) -> Case:
    return case([gn.Dense(8, "tanh"), LAYER_EXAMPLES[name](), gn.Dense(3)], dtype)


CASES: dict[str, Callable[[str], Case]] = {
    **{name: lambda dtype, name=name: with_activation(name, dtype) for name in ACTIVATIONS},
    **{name: lambda dtype, name=name: with_layer(name, dtype) for name in LAYERS},
    "leaky_relu 0.2": lambda dtype: case([gn.Dense(5, {"name": "leaky_relu", "slope": 0.2}), gn.Dense(2)], dtype),
    "your own": lambda dtype: case([gn.Dense(5, OWN), gn.Dense(1)], dtype),
}  # type: ignore[dict-item]

OWN = (
    lambda z: np.where(z > 0, np.sqrt(1.0 + z * z) - 1.0, -np.log1p(np.square(z)) / 3.0) * (z < 4) + np.sin(z) ** 2,
    lambda z, a: z,
)


def far_out(name: str, dtype: str) -> Case:
    """The activation alone, z from -10,000 to 10,000: nothing overflows, and what is held stays held."""
    net = gn.Network(1, [gn.Dense(1, name)])
    z = np.concatenate([np.linspace(-100, 100, 401), [-1e4, -1e-6, 1e-6, 1e4]])[:, None]
    return Case(net, np.array([1.0, 0.0], dtype), np.empty(0, dtype), z.astype(dtype))


def assert_close_far_out(predicted: Array, example: Case) -> None:
    """Compare value by value, to a few roundings of the value or of z (gelu far out: z (1 - 1))."""
    eps = np.finfo(example.X.dtype).eps
    error = np.abs(predicted.astype(np.float64) - example.output)
    assert (error <= 4 * eps * np.maximum(np.abs(example.X), 1.0) * np.maximum(np.abs(example.output), 1.0)).all()


def difference(predicted: Array, expected: Array) -> float:
    """The largest difference in units of the largest output; shapes must agree."""
    assert predicted.shape == expected.shape
    return float(np.abs(predicted.astype(np.float64) - expected).max() / np.abs(expected).max())
