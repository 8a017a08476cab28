"""Runs that are sick in a known way, and healthy ones: what the doctor is measured on.

A maker takes a data set and a seed and returns a `Patient`: what `gn.diagnose` is given, and the code of the finding
that must come first. Rows, starts and orders depend on the seed.
"""

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


@dataclass(frozen=True)
class Rows:
    """A data set, scaled, in the order of a seed: X, y and the rows held out."""

    name: str
    X: np.ndarray
    y: np.ndarray
    X_val: np.ndarray
    y_val: np.ndarray

    @property
    def is_classes(self) -> bool:
        return self.y.dtype.kind in "iu"


@dataclass(frozen=True)
class Patient:
    """What is passed to `gn.diagnose`."""

    model: Any
    X: Any
    y: Any
    expected: str
    options: Mapping[str, Any] = field(default_factory=dict)


@cache
def raw(name: str) -> tuple[np.ndarray, np.ndarray]:
    if name == "friedman":
        return known.make_friedman1(400, n_features=8, noise=0.5, random_state=1)
    if name == "waves":
        X = np.random.default_rng(1).uniform(-2, 2, (300, 2))
        return X, np.sin(2 * X[:, 0]) + 0.5 * X[:, 1] ** 2
    if name == "moons":
        return known.make_moons(300, noise=0.15, random_state=1)
    if name == "rings":
        return known.make_circles(300, noise=0.1, factor=0.4, random_state=1)
    if name == "diabetes":
        return known.load_diabetes(return_X_y=True, scaled=False)
    return getattr(known, f"load_{name}")(return_X_y=True)


CLASSES, NUMBERS = ("digits", "breast_cancer", "wine"), ("diabetes", "friedman", "waves")
MIXED = ("digits", "breast_cancer", "diabetes")


def rows(name: str, seed: int) -> Rows:
    """Return four fifths of the rows and the others: pixels from 0 to 1, other columns and numbers standardised."""
    X, y = raw(name)
    order = np.random.default_rng([seed, len(X)]).permutation(len(X))
    X, y = X[order], y[order]
    X = X / 16 if name == "digits" else (X - X.mean(axis=0)) / X.std(axis=0)
    if y.dtype.kind == "f":
        y = (y - y.mean()) / y.std()
    n = len(X) // 5
    return Rows(name, X[n:], y[n:], X[:n], y[:n])


def sound(data: Rows, seed: int, **changes: Any) -> Any:
    """Return an estimator that learns these rows well, with changes."""
    usual = {
        "hidden_layer_sizes": (32,), "learning_rate_init": 0.01, "batch_size": 32, "max_iter": 60, "alpha": 0.01,
        "random_state": seed, "engine": "numpy",
    }  # fmt: skip
    kind = MLPClassifier if data.is_classes else MLPRegressor
    return kind(**{**usual, **changes})


def fitted(model: Any, data: Rows, **held_out: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(data.X, data.y, **held_out)


def spoil(expected: str, **changes: Any) -> Callable[[Rows, int], Patient]:
    """Return a maker that changes arguments of the sound estimator."""
    return lambda data, seed: Patient(sound(data, seed, **changes), data.X, data.y, expected)


def draw(low: float, high: float) -> Any:
    return initializers.uniform(low, high)


# ---- the data -----------------------------------------------------------------------------------------------------


def unscaled(data: Rows, seed: int) -> Patient:
    factors = np.random.default_rng(seed).choice([1.0, 1e3], data.X.shape[1])
    factors[seed % len(factors)] = 1e3
    return Patient(sound(data, seed), data.X * factors, data.y, "inputs_unscaled")


def tiny_inputs(data: Rows, seed: int) -> Patient:
    return Patient(sound(data, seed), data.X * 0.004, data.y, "inputs_unscaled")


def constant_columns(data: Rows, seed: int) -> Patient:
    filler = np.full((len(data.X), data.X.shape[1] + 2), 0.7)
    return Patient(sound(data, seed), np.hstack([data.X, filler]), data.y, "inputs_constant")


def duplicated(data: Rows, seed: int) -> Patient:
    X = (
        np.hstack([data.X, data.X])
        if data.name != "digits"
        else np.hstack([data.X[:, 2:6]] * 2 + [data.X[:, 10:14]] * 2)
    )
    return Patient(sound(data, seed), X, data.y, "inputs_duplicated")


def missing(data: Rows, seed: int) -> Patient:
    X = data.X.copy()
    X[np.random.default_rng(seed).integers(len(X), size=5), 1] = np.nan
    return Patient(sound(data, seed), X, data.y, "inputs_missing")


def leaking(data: Rows, seed: int) -> Patient:
    column = (data.y - data.y.mean()) / data.y.std()
    at = np.random.default_rng(seed).integers(data.X.shape[1])
    return Patient(sound(data, seed), np.insert(data.X, at, column, axis=1), data.y, "leak")


def constant_labels(data: Rows, seed: int) -> Patient:
    keep = data.y == data.y[0] if data.is_classes else np.ones(len(data.y), bool)
    y = data.y[keep] if data.is_classes else np.full(len(data.y), data.y[0])
    return Patient(sound(data, seed), data.X[keep], y, "labels_constant")


def shuffled(data: Rows, seed: int) -> Patient:
    y = np.random.default_rng(seed + 100).permutation(data.y)
    return Patient(sound(data, seed), data.X, y, "no_signal")


def imbalanced(data: Rows, seed: int) -> Patient:
    small = np.flatnonzero(data.y == seed % (data.y.max() + 1))
    others = np.flatnonzero(data.y != seed % (data.y.max() + 1))
    counts = np.bincount(data.y[others])
    keep = np.sort(np.concatenate([others, small[: max(int(counts.max() / 15), 2)]]))
    return Patient(sound(data, seed), data.X[keep], data.y[keep], "class_imbalance")


def one_hot_rows(data: Rows, seed: int) -> Patient:
    return Patient(sound(data, seed), data.X, np.eye(data.y.max() + 1, dtype=int)[data.y], "labels_shape")


def numbers_for_train(data: Rows, seed: int) -> Patient:
    k = int(data.y.max()) + 1
    net = gn.Network(data.X.shape[1], [gn.Dense(20, "relu"), gn.Dense(k, "softmax")])
    given = {"objective": gn.Objective(net, "cross_entropy"), "theta": net.init(rng=seed)}
    return Patient(given, data.X, data.y, "labels_shape")


def large_targets(data: Rows, seed: int) -> Patient:
    return Patient(sound(data, seed), data.X, 150 + 80 * data.y, "targets_unscaled")


# ---- the start ----------------------------------------------------------------------------------------------------


def dead_start(data: Rows, seed: int) -> Patient:
    return trained(data, seed, [gn.Dense(32, "relu", bias_init={"name": "constant", "value": -30.0})], "dead_units")


def sure_start(data: Rows, seed: int) -> Patient:
    return trained(data, seed, [gn.Dense(32, "relu")], "initial_loss", last={"weight_init": draw(-9, 9)})


def trained(data: Rows, seed: int, hidden: list[Any], expected: str, last: Any = None, **given: Any) -> Patient:
    """Return the arguments of `train` for a network of our own."""
    k = int(data.y.max()) + 1 if data.is_classes else 1
    output, loss = ("softmax", "cross_entropy") if data.is_classes else ("identity", "squared_error")
    net = gn.Network(data.X.shape[1], [*hidden, gn.Dense(k, output, **(last or {}))])
    Y = gn.one_hot(data.y) if data.is_classes else data.y[:, None]
    usual = {"optimizer": gn.Adam(0.01), "epochs": 60, "batch_size": 32}
    objective = gn.Objective(net, loss, engine="numpy")
    return Patient({"objective": objective, "theta": net.init(rng=seed), **usual, **given}, data.X, Y, expected)


# ---- the end ------------------------------------------------------------------------------------------------------


def overfitted(data: Rows, seed: int) -> Patient:
    """40 rows, a fifth of the labels wrong (or noise added), a wide network without penalty, many epochs."""
    rng = np.random.default_rng(seed)
    X, y = data.X[:40], data.y[:40].copy()
    if data.is_classes:
        wrong = rng.random(len(y)) < 0.2
        y[wrong] = rng.permutation(data.y)[: wrong.sum()]
    else:
        y = y + rng.normal(size=len(y)) * 0.7
    few = Rows(data.name, X, y, data.X_val, data.y_val)
    known_only = np.isin(few.y_val, y) if data.is_classes else np.ones(len(few.y_val), bool)
    model = sound(data, seed, hidden_layer_sizes=(200,), alpha=0.0, max_iter=300, n_iter_no_change=300)
    fitted(model, few, X_val=few.X_val[known_only], y_val=few.y_val[known_only])
    return Patient(model, X, y, "overfitting")


def too_small(data: Rows, seed: int) -> Patient:
    """One hidden tanh unit for ten digits, none for curved lines, and training until it no longer helps."""
    hidden = (1,) if data.name == "digits" else ()
    model = sound(data, seed, hidden_layer_sizes=hidden, activation="tanh", max_iter=500, learning_rate_init=0.03)
    return Patient(fitted(model, data), data.X, data.y, "underfitting")


def cut_short(data: Rows, seed: int) -> Patient:
    """A sound run that ends after three epochs (two of digits), at a smaller rate."""
    return Patient(sound(data, seed, max_iter=3, learning_rate_init=0.001), data.X, data.y, "too_few_epochs")


DEEP = (32,) * 5
SICK: Mapping[str, tuple[Callable[[Rows, int], Patient], tuple[str, ...]]] = {
    "unscaled inputs": (unscaled, MIXED),
    "tiny inputs": (tiny_inputs, MIXED),
    "constant columns": (constant_columns, MIXED),
    "duplicated columns": (duplicated, MIXED),
    "missing inputs": (missing, MIXED),
    "a column is the target": (leaking, MIXED),
    "constant labels": (constant_labels, MIXED),
    "shuffled labels": (shuffled, MIXED),
    "class imbalance": (imbalanced, CLASSES),
    "one-hot labels": (one_hot_rows, ("digits", "wine", "iris")),
    "class numbers for train": (numbers_for_train, CLASSES),
    "unscaled targets": (large_targets, NUMBERS),
    "SGD diverges": (spoil("rate_too_high", solver="sgd", learning_rate_init=200.0), MIXED),
    "Adam jumps": (spoil("rate_too_high", learning_rate_init=10.0), MIXED),
    "rate too low": (spoil("rate_too_low", learning_rate_init=2e-6), MIXED),
    "SGD too slow": (spoil("rate_too_low", solver="sgd", momentum=0.0, learning_rate_init=1e-5), MIXED),
    "weights too small": (spoil("vanishing", hidden_layer_sizes=DEEP, weight_init=draw(-0.02, 0.02)), MIXED),
    "deep sigmoids": (spoil("vanishing", hidden_layer_sizes=DEEP, activation="logistic"), MIXED),
    "weights too large": (spoil("exploding", hidden_layer_sizes=DEEP, weight_init=draw(-3, 3)), MIXED),
    "tanh saturated": (spoil("saturated", activation="tanh", weight_init=draw(-6, 6)), MIXED),
    "sigmoids saturated": (spoil("saturated", activation="logistic", weight_init=draw(-12, 12)), MIXED),
    "dead ReLU": (dead_start, MIXED),
    "equal weights": (spoil("symmetric_weights", weight_init={"name": "constant", "value": 0.1}), MIXED),
    "zero weights": (spoil("symmetric_weights", weight_init="zeros", activation="tanh"), MIXED),
    "squared error for classes": (spoil("wrong_pairing", loss="squared_error"), CLASSES),
    "sigmoid for numbers": (spoil("wrong_pairing", output_activation="sigmoid"), NUMBERS),
    "penalty": (spoil("penalty_dominates", alpha=3000.0), MIXED),
    "outputs too large": (sure_start, MIXED),
    "one batch": (spoil("batch_too_large", batch_size=100_000, learning_rate_init=0.0005, max_iter=30), MIXED),
    "one row a batch": (
        spoil("batch_too_small", batch_size=1, solver="sgd", momentum=0.9, learning_rate_init=0.1), MIXED
    ),
    "overfitting": (overfitted, MIXED),
    "underfitting": (too_small, ("digits", "rings", "waves")),
    "too few epochs": (cut_short, MIXED),
}  # fmt: skip
"""Kind -> its maker and the data sets that it is measured on."""


def healthy(number: int, seed: int) -> Patient:
    """Return one of ten sound runs: several architectures, solvers and data sets, some fitted."""
    name = ("digits", "breast_cancer", "wine", "iris", "moons", "diabetes", "friedman", "waves", "digits", "iris")[
        number
    ]
    data = rows(name, seed)
    if number == 8:  # arguments of train
        return trained(
            data, seed, [gn.Dense(40, "tanh"), gn.Dense(20, "relu")], "", optimizer=gn.SGD(0.1, momentum=0.9)
        )
    changes: dict[str, Any] = (
        {"hidden_layer_sizes": (64, 32)}, {"activation": "tanh"}, {"activation": "logistic", "max_iter": 200},
        {"solver": "sgd", "learning_rate_init": 0.1}, {"hidden_layer_sizes": (20, 20)}, {"alpha": 5.0, "max_iter": 100},
        {"max_iter": 150}, {"max_iter": 400, "activation": "tanh", "learning_rate_init": 0.02}, {},
        {"solver": "lbfgs", "max_iter": 200, "alpha": 0.1},
    )[number]  # fmt: skip
    model = sound(data, seed, **changes)
    return Patient(fitted(model, data) if number % 2 else model, data.X, data.y, "")
