"""Workloads: the networks that are trained, their data, start and rule; one table for every contestant.

Hidden layers and rules are those of the names. Outputs: softmax with cross-entropy for the ten digits (also in `book`,
whose original has sigmoids and squared error), identity with squared error in `regression`, sigmoid with binary
cross-entropy in `xor` and `code` (scikit-learn has no softmax for two classes). Rows are whole batches, shuffled once,
and then taken in that order by everybody.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import glassnet as gn

OUTPUTS = {"softmax": "cross_entropy", "sigmoid": "binary_cross_entropy", "identity": "squared_error"}


@dataclass(frozen=True)
class Rule:
    """A rule in numbers, for every library to build its own from: "sgd" with momentum, or "adam"."""

    name: str
    rate: float
    momentum: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-10


@dataclass(frozen=True)
class Workload:
    """A network, its rule, and how many rows of which data: `rows` in full, `quick_rows` with --quick."""

    name: str
    sizes: tuple[int, ...]
    hidden: str
    output: str
    batch: int
    rule: Rule
    data: str
    rows: int
    quick_rows: int

    @property
    def title(self) -> str:
        sizes, inner = self.sizes, self.sizes[1:-1]
        middle = f"{len(inner)}x{inner[0]}" if len(inner) > 3 else "-".join(map(str, inner))
        momentum = f", momentum {self.rule.momentum:g}" if self.rule.momentum else ""
        rule = f"{self.rule.name.upper() if self.rule.name == 'sgd' else self.rule.name.capitalize()}{momentum}"
        return f"{self.name}: {sizes[0]}-{middle}-{sizes[-1]} {self.hidden}/{self.output}, batch {self.batch}, {rule}"


ADAM = Rule("adam", 1e-4)
"""Small rate, small eps: scikit-learn and Keras add eps to the uncorrected root, and large first steps make the paths
of two correct programs part (a rounded gradient of about zero becomes a whole step), which would hide an error.
"""
WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("digits", (64, 50, 10), "sigmoid", "softmax", 100, Rule("sgd", 0.1), "digits", 1700, 1000),
        Workload("book", (784, 30, 10), "sigmoid", "softmax", 10, Rule("sgd", 0.1), "mnist", 5000, 2000),
        Workload("mlp", (784, 256, 128, 10), "relu", "softmax", 128, ADAM, "mnist", 5120, 2560),
        Workload("wide", (784, 1024, 1024, 10), "relu", "softmax", 256, ADAM, "mnist", 5120, 1280),
        Workload("deep", (64, *[64] * 10, 10), "tanh", "softmax", 32, Rule("sgd", 0.01, 0.9), "digits", 1792, 960),
        Workload("regression", (13, 50, 1), "sigmoid", "identity", 32, ADAM, "curve", 4096, 2048),
        Workload("xor", (2, 4, 2), "sigmoid", "sigmoid", 1, Rule("sgd", 0.5), "xor", 4, 4),
        Workload("code", (8, 3, 8), "sigmoid", "sigmoid", 1, Rule("sgd", 0.5), "code", 8, 8),
    )
}


def pixels(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images in [0, 1] and their digits; random ones of MNIST's shape where GLASSNET_DATA is not set."""
    rng = np.random.default_rng(0)
    if name == "mnist" and not os.environ.get("GLASSNET_DATA"):
        return rng.random((10_000, 784)), rng.integers(0, 10, 10_000)
    data = gn.datasets.load(name)
    order = rng.permutation(len(data.X))
    return data.X[order] / data.X.max(), data.y[order]


def tables(kind: str, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return X (rows, d) and Y (rows, k) in float64."""
    if kind == "xor":
        return np.array([[0, 0], [0, 1], [1, 0], [1, 1]]), np.array([[1, 0], [0, 1], [0, 1], [1, 0]])
    if kind == "code":
        return np.eye(8), np.eye(8)
    if kind == "random":
        rng = np.random.default_rng(0)
        return rng.standard_normal((rows, 64), np.float32), np.eye(10, dtype=np.float32)[rng.integers(0, 10, rows)]
    if kind == "curve":
        rng = np.random.default_rng(0)
        X = rng.normal(size=(rows, 13))
        y = np.sin(X[:, 0]) + X[:, 1] * X[:, 2] + 0.5 * X[:, 3] + 0.1 * rng.normal(size=rows)
        return X, y[:, None]
    X, labels = pixels(kind)
    return X[:rows], np.eye(10)[labels[:rows]]


@dataclass(frozen=True)
class Case:
    """A workload with its numbers in one dtype: what a contestant is given."""

    workload: Workload
    dtype: str = "float32"
    quick: bool = False

    @cached_property
    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """X (m, d) and Y (m, k)."""
        X, Y = tables(self.workload.data, self.workload.quick_rows if self.quick else self.workload.rows)
        return np.ascontiguousarray(X, self.dtype), np.ascontiguousarray(Y, self.dtype)

    @cached_property
    def net(self) -> gn.Network:
        *inner, last = self.workload.sizes[1:]
        layers = [gn.Dense(n, self.workload.hidden) for n in inner]
        return gn.Network(self.workload.sizes[0], [*layers, gn.Dense(last, self.workload.output)])

    @cached_property
    def start(self) -> np.ndarray:
        """The weights (P,) from which everybody starts."""
        return self.net.init(0, self.dtype)

    @property
    def steps(self) -> int:
        """Steps an epoch."""
        return len(self.data[0]) // self.workload.batch

    def objective(self, engine: str) -> gn.Objective:
        return gn.Objective(self.net, OUTPUTS[self.workload.output], engine=engine)

    def loss(self, theta: np.ndarray) -> float:
        """The mean loss over the data, by one function for all, in float64."""
        X, Y = (array.astype(np.float64) for array in self.data)
        value, _ = self.objective("numpy").value_and_grad(theta.astype(np.float64), X, Y)
        return float(value)

    def pairs(self, theta: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
        """Return copies of W (n_in, n_out) and b (n_out,) for each layer."""
        return [(layer["W"].copy(), layer["b"].copy()) for layer in self.net.split(theta)]

    def flat(self, pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
        """Return the vector (P,) of such pairs."""
        return np.concatenate([np.asarray(array, self.dtype).ravel() for pair in pairs for array in pair])
