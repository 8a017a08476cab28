"""What the tests of the exports share: fitted estimators and pipelines of every kind, and what they predict."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler

import glassnet as gn
from glassnet import tables
from glassnet.arrays import Array

QUICK: dict[str, Any] = {
    "learning_rate_init": 0.05,
    "tol": 1e9,
    "n_iter_no_change": 20,
    "random_state": 0,
    "engine": "numpy",
}
"""About twenty epochs, without a warning."""
RNG = np.random.default_rng(2)
NUMBERS = RNG.normal(size=(300, 4)).astype(np.float32).astype(np.float64)
NUMBERS[:, 3] = RNG.integers(1950, 2030, 300)  # years: far from zero, close together
TARGET = NUMBERS[:, 0] * 3 + np.tanh(NUMBERS[:, 1]) + (NUMBERS[:, 3] - 1990) / 20
LINES = np.linspace(0, len(TARGET) - 1, 1000).astype(int)


class Fitted(NamedTuple):
    model: Any
    X: Array
    """What the exported file is given, (1000, n_inputs)."""
    output: Array
    """What it must answer: probabilities, or numbers (1000, n_outputs)."""
    predicted: Array
    """What `model.predict` says."""


def classes(k: int) -> Array:
    return np.digitize(TARGET, np.quantile(TARGET, np.arange(1, k) / k))


def classifier(**options: Any) -> gn.MLPClassifier:
    return gn.MLPClassifier(**{"hidden_layer_sizes": (6,), **QUICK, **options})


def regressor(**options: Any) -> gn.MLPRegressor:
    return gn.MLPRegressor(**{"hidden_layer_sizes": (6,), "activation": "tanh", **QUICK, **options})


def fitted(model: Any, y: Array | None, scaled: bool = True) -> Fitted:
    X = (NUMBERS - NUMBERS.mean(axis=0)) / NUMBERS.std(axis=0) if scaled else NUMBERS
    X = X.astype(np.float32).astype(np.float64)  # so that float32 files are given the same numbers
    model.fit(X, y)
    if hasattr(model, "predict_proba"):
        return Fitted(model, X[LINES], model.predict_proba(X[LINES]), model.predict(X[LINES]))
    predicted = model._outputs(X[LINES]) if y is None else model.predict(X[LINES])
    return Fitted(model, X[LINES], predicted.reshape(len(LINES), -1), predicted)


def table_pipeline() -> Fitted:
    """What `glassnet fit` saves, with missing numbers, a constant column, and one that is mostly the same number."""
    frame = pd.DataFrame(NUMBERS, columns=["a", "b", "gap", "year"]).assign(constant=3.0, rare=0.0)
    frame.loc[5:60, "gap"] = np.nan
    frame.loc[7:20, "rare"] = 2.0
    pipeline = tables.make_pipeline(TransformedTargetRegressor(regressor(), transformer=StandardScaler()), frame)
    pipeline.fit(frame, TARGET)
    rows = frame.iloc[LINES]
    predicted = pipeline.predict(rows)
    return Fitted(pipeline, rows.to_numpy(), predicted[:, None], predicted)


def words() -> Array:
    return np.array(['no "?"', "ja, größer */ ??/"])[classes(2)]


MODELS: dict[str, Callable[[], Fitted]] = {
    "two classes": lambda: fitted(classifier(), words()),
    "three classes": lambda: fitted(classifier(layer_norm=True), classes(3) * 10),
    "one against the rest": lambda: fitted(classifier(output_activation="sigmoid"), classes(3)),
    "several labels": lambda: fitted(classifier(), (NUMBERS[:, :2] > 0).astype(int)),
    "one number": lambda: fitted(regressor(batch_norm=True, dropout=0.1), TARGET),
    "two numbers": lambda: fitted(regressor(activation="gelu"), np.column_stack([TARGET, -(TARGET**2)])),
    "poisson": lambda: fitted(regressor(loss="poisson"), np.round(np.exp(TARGET / 6))),
    "autoencoder": lambda: fitted(gn.Autoencoder((2,), "tanh", **QUICK), None),
    "StandardScaler": lambda: fitted(make_pipeline(StandardScaler(), classifier()), classes(3), False),
    "without a mean": lambda: fitted(make_pipeline(StandardScaler(with_mean=False), regressor()), TARGET, False),
    "RobustScaler": lambda: fitted(make_pipeline(RobustScaler(), "passthrough", regressor()), TARGET, False),
    "MinMaxScaler": lambda: fitted(make_pipeline(MinMaxScaler((-1, 2), clip=True), classifier()), classes(2), False),
    "MaxAbsScaler": lambda: fitted(
        make_pipeline(MaxAbsScaler(), TransformedTargetRegressor(regressor(), transformer=MinMaxScaler((-1, 1)))),
        TARGET,
        False,
    ),
    "table": table_pipeline,
}


@cache
def model(name: str) -> Fitted:
    return MODELS[name]()
