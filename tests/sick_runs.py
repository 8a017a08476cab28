"""Runs with a planted fault, each beside the same run without it: what the tests of the doctor are made of."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
from sklearn import datasets as known
from sklearn.exceptions import ConvergenceWarning

import glassnet as gn
from glassnet import MLPClassifier, MLPRegressor, initializers


@cache
def data(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return rows in a fixed order: pixels from 0 to 1, other columns and numbers standardised."""
    if name == "parity":  # which of eight corners has an odd sum: no column alone tells anything
        X = np.random.default_rng(0).choice([-1.0, 1.0], (256, 6))
        return X, (X.prod(axis=1) > 0).astype(int)
    if name == "waves":
        X = np.random.default_rng(1).uniform(-2, 2, (300, 2))
        return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2
    X, y = getattr(known, f"load_{name}")(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))[:500]
    X, y = X[order], y[order]
    X = X / 16 if name == "digits" else (X - X.mean(axis=0)) / X.std(axis=0)
    return X, y if y.dtype.kind == "i" else (y - y.mean()) / y.std()


@dataclass(frozen=True)
class Patient:
    """What `diagnose` is given."""

    model: Any
    X: Any
    y: Any
    options: Mapping[str, Any] = field(default_factory=dict)


def run_of(name: str, *, X: Any = None, y: Any = None, fit: bool = False, held: Any = None, **changes: Any) -> Patient:
    """Return a sound run, with these changes; other rows or targets where they are given."""
    rows, targets = data(name)
    X, y = rows if X is None else X, targets if y is None else y
    usual = {
        "hidden_layer_sizes": (32,), "learning_rate_init": 0.01, "batch_size": 32, "max_iter": 60, "alpha": 0.01,
        "random_state": 0, "engine": "numpy",
    }  # fmt: skip
    model = (MLPClassifier if targets.dtype.kind == "i" else MLPRegressor)(**{**usual, **changes})
    if fit:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # whether it converged is what is asked below
            model.fit(X, y, **({} if held is None else {"X_val": held[0], "y_val": held[1]}))
    return Patient(model, X, y)


def of_train(name: str, *layers: Any, loss: str = "cross_entropy", Y: Any = None, **given: Any) -> Patient:
    X, y = data(name)
    Y = gn.one_hot(y) if Y is None else Y
    net = gn.Network(X.shape[1], layers)
    objective = gn.Objective(net, loss, engine="numpy")
    usual = {"optimizer": gn.Adam(0.01), "epochs": 60, "batch_size": 32}
    return Patient({"objective": objective, "theta": net.init(rng=0), **usual, **given}, X, Y)


def draw(bound: float) -> Any:
    return initializers.uniform(-bound, bound)


# ---- planted faults, each with its healed twin ---------------------------------------------------------------------


def with_missing() -> np.ndarray:
    X = data("iris")[0].copy()
    X[[3, 7, 9], [0, 2, 2]] = np.nan, np.inf, np.nan
    return X


def few_rows(noise: float) -> dict[str, Any]:
    """Return 40 rows of digits with a share of labels drawn by lot, and 200 others to see what was learned."""
    X, y = data("digits")
    rng = np.random.default_rng(0)
    given = y[:40].copy()
    wrong = rng.random(40) < noise
    given[wrong] = rng.permutation(y)[: wrong.sum()]
    return {"X": X[:40], "y": given, "held": (X[200:400], y[200:400])}


def wide(name: str, *columns: np.ndarray) -> np.ndarray:
    return np.column_stack([data(name)[0], *columns])


def imbalanced(most: int) -> dict[str, Any]:
    X, y = data("breast_cancer")
    keep = np.sort(np.concatenate([np.flatnonzero(y == 1), np.flatnonzero(y == 0)[:most]]))
    return {"X": X[keep], "y": y[keep]}


DIGITS = (gn.Dense(32, "relu"), gn.Dense(10, "softmax"))
DEEP = {"hidden_layer_sizes": (32,) * 5}
Twins = tuple[Callable[[], Patient], Callable[[], Patient]]
PLANTED: Mapping[str, Twins] = {
    "inputs_missing": (
        lambda: run_of("iris", X=with_missing()),
        lambda: run_of("iris", X=np.nan_to_num(with_missing(), posinf=0.0)),
    ),
    "inputs_unscaled": (lambda: run_of("iris", X=data("iris")[0] * 1e3), lambda: run_of("iris")),
    "inputs_unscaled, one": (lambda: run_of("iris", X=data("iris")[0] * [1, 1, 1e4, 1]), lambda: run_of("iris")),
    "inputs_unscaled, tiny": (lambda: run_of("iris", X=data("iris")[0] / 1e3), lambda: run_of("iris")),
    "inputs_constant": (lambda: run_of("iris", X=wide("iris", np.ones((150, 6)))), lambda: run_of("iris")),
    "inputs_duplicated": (lambda: run_of("iris", X=wide("iris", -2 * data("iris")[0])), lambda: run_of("iris")),
    "labels_missing": (
        lambda: run_of("diabetes", y=np.where(data("diabetes")[1] > 2, np.nan, data("diabetes")[1])),
        lambda: run_of("diabetes"),
    ),
    "labels_missing, text": (
        lambda: run_of("iris", y=np.where(np.arange(150) == 7, None, data("iris")[1].astype(str))),
        lambda: run_of("iris", y=data("iris")[1].astype(str)),
    ),
    "labels_constant": (lambda: run_of("iris", y=np.ones(150, int)), lambda: run_of("iris")),
    "labels_shape, one-hot": (
        lambda: run_of("iris", y=gn.one_hot(data("iris")[1]).astype(int)),
        lambda: run_of("iris"),
    ),
    "labels_shape, numbers": (
        lambda: of_train("digits", *DIGITS, Y=data("digits")[1]),
        lambda: of_train("digits", *DIGITS),
    ),
    "leak": (lambda: run_of("iris", X=wide("iris", 5.0 - data("iris")[1])), lambda: run_of("iris")),
    "leak, names": (
        lambda: run_of("iris", X=wide("iris", np.array([4.0, -1.0, 2.0])[data("iris")[1]])),
        lambda: run_of("iris"),
    ),
    "targets_unscaled": (lambda: run_of("diabetes", y=150 + 80 * data("diabetes")[1]), lambda: run_of("diabetes")),
    "targets_unscaled, waves": (lambda: run_of("waves", y=150 + 80 * data("waves")[1]), lambda: run_of("waves")),
    "no_signal": (
        lambda: run_of("digits", y=np.random.default_rng(1).permutation(data("digits")[1])),
        lambda: run_of("digits"),
    ),
    "class_imbalance": (
        lambda: run_of("breast_cancer", **imbalanced(20)),
        lambda: run_of("breast_cancer", **imbalanced(150)),
    ),
    "class_imbalance, weighted": (
        lambda: run_of("breast_cancer", **imbalanced(20)),
        lambda: run_of("breast_cancer", **imbalanced(20), class_weight="balanced"),
    ),
    "wrong_pairing, loss": (lambda: run_of("digits", loss="squared_error"), lambda: run_of("digits")),
    "wrong_pairing, range": (lambda: run_of("diabetes", output_activation="sigmoid"), lambda: run_of("diabetes")),
    "symmetric_weights": (
        lambda: run_of("digits", weight_init={"name": "constant", "value": 0.1}),
        lambda: run_of("digits"),
    ),
    "symmetric_weights, zeros": (lambda: run_of("digits", weight_init="zeros"), lambda: run_of("digits")),
    "dead_units": (
        lambda: of_train("digits", gn.Dense(32, "relu", bias_init={"name": "constant", "value": -30.0}), DIGITS[1]),
        lambda: of_train("digits", *DIGITS),
    ),
    "saturated": (
        lambda: run_of("digits", activation="tanh", weight_init=draw(6)),
        lambda: run_of("digits", activation="tanh"),
    ),
    "exploding": (lambda: run_of("digits", **DEEP, weight_init=draw(3)), lambda: run_of("digits", **DEEP)),
    "vanishing": (lambda: run_of("digits", **DEEP, weight_init=draw(0.02)), lambda: run_of("digits", **DEEP)),
    "vanishing, sigmoids": (lambda: run_of("digits", **DEEP, activation="logistic"), lambda: run_of("digits", **DEEP)),
    "initial_loss": (
        lambda: of_train("digits", DIGITS[0], gn.Dense(10, "softmax", weight_init=draw(9))),
        lambda: of_train("digits", *DIGITS),
    ),
    "dropout_too_high": (lambda: run_of("iris", dropout=0.9), lambda: run_of("iris", dropout=0.2)),
    "penalty_dominates": (lambda: run_of("digits", alpha=3000.0), lambda: run_of("digits")),
    "penalty_dominates, l1": (lambda: run_of("digits", l1=300.0), lambda: run_of("digits")),
    "rate_too_high": (lambda: run_of("digits", learning_rate_init=10.0), lambda: run_of("digits")),
    "rate_too_high, diverges": (
        lambda: run_of("diabetes", solver="sgd", learning_rate_init=200.0),
        lambda: run_of("diabetes"),
    ),
    "rate_too_low": (lambda: run_of("digits", learning_rate_init=2e-6), lambda: run_of("digits")),
    "batch_too_large": (
        lambda: run_of("digits", batch_size=500, learning_rate_init=5e-4, max_iter=30),
        lambda: run_of("digits", learning_rate_init=5e-4, max_iter=30),
    ),
    "batch_too_small": (
        lambda: run_of("digits", batch_size=1, solver="sgd", learning_rate_init=0.1),
        lambda: run_of("digits", batch_size=32, solver="sgd", learning_rate_init=0.1),
    ),
    "too_few_epochs": (
        lambda: run_of("digits", max_iter=3, learning_rate_init=1e-3),
        lambda: run_of("digits", max_iter=100),
    ),
    "too_few_epochs, solver": (
        lambda: run_of("iris", solver="lbfgs", max_iter=3, fit=True),
        lambda: run_of("iris", solver="lbfgs", max_iter=200, fit=True),
    ),
    "overfitting": (
        lambda: run_of("digits", **few_rows(0.2), alpha=0.0, max_iter=80, n_iter_no_change=99, fit=True),
        lambda: run_of("digits", fit=True, held=(data("digits")[0][:100], data("digits")[1][:100])),
    ),
    "underfitting": (
        lambda: run_of("waves", hidden_layer_sizes=(), max_iter=200, fit=True),
        lambda: run_of("waves", activation="tanh", max_iter=400, learning_rate_init=0.03, fit=True),
    ),
    "not_learning": (
        lambda: run_of("parity", hidden_layer_sizes=(4,), activation="tanh", max_iter=40),
        lambda: run_of("parity", hidden_layer_sizes=(64,), learning_rate_init=0.02, max_iter=200),
    ),
    "not_learning, a line": (
        lambda: run_of("parity", hidden_layer_sizes=(), max_iter=40),
        lambda: run_of("parity", hidden_layer_sizes=(64,), learning_rate_init=0.02, max_iter=200),
    ),
}
"""Code (and kind) -> a run with this fault, and the same without it."""
