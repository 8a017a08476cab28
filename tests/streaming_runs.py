"""What the tests of streams share: rows, their pieces, and a run of `train` beside one of `train_batches`."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import BatchNorm, Dense, Dropout, Network, Objective
from glassnet.arrays import Array
from glassnet.history import Run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4))
Y = np.sin(X[:, :1]) + 0.1 * X[:, 1:2]
PLAIN = Objective(Network(4, [Dense(8, "tanh"), Dense(1)]), "squared_error", l2=1e-3)
NOISY = Objective(Network(4, [Dense(8, "tanh"), Dropout(0.2), BatchNorm(), Dense(1)]), "squared_error")
ENGINES = ["numpy", "numba"]


def available(engine: Any) -> str:
    """Return the name of the engine; skip the test where it is not installed."""
    if engine == "numba":
        pytest.importorskip("numba")
    return str(engine)


def parts(*ends: int) -> list[tuple[Array, Array]]:
    return [(X[a:b], Y[a:b]) for a, b in zip((0, *ends), (*ends, len(X)), strict=True)]


def whole(objective: Objective = PLAIN, batch_size: int = 16, **options: Any) -> Run:
    theta = objective.net.init(rng=0).astype(options.pop("dtype", np.float64))
    options = {"epochs": 5, "sampling": "sequential", "rng": 3, **options}
    return gn.train(objective, theta, X, Y, batch_size=batch_size, **options)


def stream(batches: Any, objective: Objective = PLAIN, **options: Any) -> Run:
    theta = objective.net.init(rng=0).astype(options.pop("dtype", np.float64))
    return gn.train_batches(objective, theta, batches, **{"epochs": 5, "rng": 3, **options})


def same(one: Run, other: Run) -> None:
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.state, other.state)
    assert (one.status, one.reason, one.engine) == (other.status, other.reason, other.engine)
    for name in ("epoch", "updates", "learning_rate"):
        np.testing.assert_array_equal(one.history[name], other.history[name])
    for name in ("loss", "penalty", "gradient_norm"):  # means of means: the last digits are others
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-5)
