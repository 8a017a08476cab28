"""How much does the reference engine cost over a plain NumPy loop of the same network?

    python -m benchmarks.reference

Both train the same network from the same weights on the same batches and end with the same weights. The two take
turns, an epoch each; the figure is the median of the ratios.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

import glassnet as gn

WORKLOADS = {
    "digits 64-50-10 sigmoid, batch 100": ((64, 50, 10), "sigmoid", 100, 2000),
    "book 784-30-10 sigmoid, batch 10": ((784, 30, 10), "sigmoid", 10, 2000),
    "mlp 784-256-128-10 relu, batch 128": ((784, 256, 128, 10), "relu", 128, 2560),
    "deep ten layers of 64 tanh, batch 32": ((64, *[64] * 10, 10), "tanh", 32, 3200),
    "xor 2-4-2 sigmoid, batch 1": ((2, 4, 2), "sigmoid", 1, 1000),
}
RATE = 0.05
F = {"sigmoid": lambda z: 1 / (1 + np.exp(-z)), "relu": lambda z: np.maximum(z, 0), "tanh": np.tanh}
DF = {"sigmoid": lambda a: a * (1 - a), "relu": lambda a: (a > 0).astype(a.dtype), "tanh": lambda a: 1 - a * a}


Parameters = list[list[np.ndarray]]


def plain_epoch(parameters: Parameters, X: np.ndarray, Y: np.ndarray, batches: Iterator, kind: str) -> None:
    """A loop as a careful student writes it: a list of [W, b], forward, loss, backward, step, and no library."""
    f, df = F[kind], DF[kind]
    for rows in batches:
        activations, y = [X[rows]], Y[rows]
        for W, b in parameters[:-1]:
            activations.append(f(activations[-1] @ W + b))
        W, b = parameters[-1]
        z = activations[-1] @ W + b
        z -= z.max(axis=1, keepdims=True)
        e = np.exp(z)
        s = e.sum(axis=1, keepdims=True)
        loss = np.sum(y * (np.log(s) - z)) / len(y)
        if not np.isfinite(loss):
            raise FloatingPointError("the loss is not finite")
        delta = (e / s - y) / len(y)
        gradients = []
        for l in range(len(parameters) - 1, -1, -1):
            gradients.append((activations[l].T @ delta, delta.sum(axis=0)))
            if l:
                delta = (delta @ parameters[l][0].T) * df(activations[l])
        for (W, b), (dW, db) in zip(reversed(parameters), gradients, strict=True):
            W -= RATE * dW
            b -= RATE * db


@dataclass(frozen=True)
class Workload:
    """The same data, network and start for both."""

    name: str
    dtype: type

    @cached_property
    def case(self) -> tuple[gn.Objective, np.ndarray, np.ndarray, np.ndarray]:
        sizes, kind, _, rows = WORKLOADS[self.name]
        rng = np.random.default_rng(0)
        X = rng.normal(size=(rows, sizes[0])).astype(self.dtype)
        Y = np.eye(sizes[-1], dtype=self.dtype)[rng.integers(0, sizes[-1], rows)]
        layers = [gn.Dense(n, kind) for n in sizes[1:-1]] + [gn.Dense(sizes[-1], "softmax")]
        net = gn.Network(sizes[0], layers)
        return gn.Objective(net, "cross_entropy", engine="numpy"), net.init(0, self.dtype), X, Y

    def ours(self, epochs: int, sampling: str = "shuffle") -> np.ndarray:
        objective, theta, X, Y = self.case
        size = WORKLOADS[self.name][2]
        run = gn.train(
            objective, theta, X, Y, optimizer=gn.SGD(RATE), epochs=epochs, batch_size=size, sampling=sampling
        )
        return run.theta

    def plain(self, epochs: int, sampling: str = "shuffle") -> np.ndarray:
        objective, start, X, Y = self.case
        _, kind, size, rows = WORKLOADS[self.name]
        theta = start.copy()
        parameters = [[v["W"].copy(), v["b"].copy()] for v in objective.net.split(theta)]
        rng = np.random.default_rng(0)
        for _ in range(epochs):
            order = rng.permutation(rows)
            cuts = [slice(s, s + size) for s in range(0, rows, size)]
            batches = (order[cut] if sampling == "shuffle" else cut for cut in cuts)
            plain_epoch(parameters, X, Y, batches, kind)
        return np.concatenate([array.ravel() for pair in parameters for array in pair])

    def seconds(self, function: Callable[[int], object], epochs: int) -> float:
        begin = time.perf_counter()
        function(epochs)
        return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    print(f"{'network':40} {'dtype':8} {'plain us/step':>14} {'glassnet us/step':>17} {'ratio (min..max)':>22}")
    for name, (_, _, size, rows) in WORKLOADS.items():
        for dtype in (np.float64, np.float32):
            work = Workload(name, dtype)
            same = np.abs(work.ours(2, "sequential") - work.plain(2, "sequential")).max()
            assert same < (1e-10 if dtype is np.float64 else 1e-3), f"{name}: the two differ by {same}"
            steps = rows // size
            epochs = max(1, int(0.1 / work.seconds(work.plain, 1)))
            pairs = [(work.seconds(work.ours, epochs), work.seconds(work.plain, epochs)) for _ in range(repeats)]
            ratios = [a / b for a, b in pairs]
            ours, plain = (statistics.median(column) / epochs / steps * 1e6 for column in zip(*pairs, strict=True))
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}..{max(ratios):.2f})"
            print(f"{name:40} {dtype.__name__:8} {plain:14.1f} {ours:17.1f} {spread:>22}")


if __name__ == "__main__":
    main()
