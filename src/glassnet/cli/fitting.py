"""`glassnet fit`: read, split, train, measure, write."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from glassnet import tables
from glassnet.arrays import Array
from glassnet.cli import printing
from glassnet.cli.run_folder import RunFolder
from glassnet.cli.sources import Source, open_source
from glassnet.engines import get_engine
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import MLPClassifier, MLPRegressor
from glassnet.estimators.options import check_options, make_network
from glassnet.network import Network

__all__ = ["FEWEST_ROWS", "FitConfig", "Fitted", "fit_and_write"]

FEWEST_ROWS = 20
"""Below this many rows none are held out: the result is measured on the training rows, and this is said."""
FEWEST_TO_WATCH = 1000
"""Below this many training rows none are set aside to decide when to stop: a score on so few would be noise."""


@dataclass(frozen=True)
class FitConfig:
    """Every argument of `glassnet fit`; raises GlassnetError for values that cannot be right."""

    source: str
    target: str | None = None
    hidden: tuple[int, ...] = (100,)
    activation: str = "relu"
    solver: str = "adam"
    learning_rate: float = 0.003
    epochs: int = 200
    batch_size: int = 32
    l2: float = 1e-3
    test_size: float = 0.2
    seed: int = 0
    out: str | None = None
    engine: str = "auto"

    def __post_init__(self) -> None:
        if not 0 < self.test_size < 1:
            raise fault("--test-size", "between 0 and 1", self.test_size)
        if self.epochs < 1:
            raise fault("--epochs", "at least 1", self.epochs)
        if not 0 <= self.seed < 2**32:
            raise fault("--seed", "from 0 to 4294967295", self.seed)
        if not self.l2 >= 0 or self.l2 == np.inf:
            raise fault("--l2", "at least 0", self.l2)
        if not 0 < self.learning_rate < np.inf:
            raise fault("--learning-rate", "positive", self.learning_rate)
        get_engine(self.engine)
        check_options(self.estimator("classification", n_rows=1))

    @staticmethod
    def parse_hidden(text: str) -> tuple[int, ...]:
        """Return (50, 50) for "50,50" and () for "0"; raises GlassnetError for anything else."""
        try:
            sizes = tuple(int(part) for part in text.split(","))
        except ValueError:
            raise fault("--hidden", "whole numbers with commas", repr(text), "For example 50,50.") from None
        if sizes == (0,):
            return ()
        if min(sizes) < 1:
            raise fault("--hidden", "units of at least 1", repr(text), "For example 50,50; 0 alone for no hidden layer.")
        return sizes

    def estimator(self, kind: str, n_rows: int) -> MLPClassifier | MLPRegressor:
        """Return the estimator that these arguments ask for."""
        rule = self.solver not in ("bfgs", "lbfgs", "cg", "newton-cg")
        options: dict[str, Any] = {
            "hidden_layer_sizes": self.hidden,
            "activation": self.activation,
            "solver": self.solver,
            "alpha": self.l2 * n_rows,
            "batch_size": min(self.batch_size, n_rows) if n_rows > 1 else self.batch_size,
            "learning_rate_init": self.learning_rate,
            "max_iter": self.epochs,
            "early_stopping": rule and n_rows >= FEWEST_TO_WATCH,
            "n_iter_no_change": 20,
            "tol": 1e-4 if rule else 1e-5,
            "random_state": self.seed,
            "verbose": True,
            "engine": self.engine,
        }
        return MLPRegressor(**options) if kind == "regression" else MLPClassifier(**options)


@dataclass(frozen=True)
class Fitted:
    """A trained pipeline, the rows it is measured on, and what it says of them."""

    source: Source
    config: FitConfig
    pipeline: Pipeline
    X: pd.DataFrame
    y: Array
    predicted: Array
    n_train: int
    is_held_out: bool
    seconds: float
    notes: tuple[str, ...]

    @property
    def estimator(self) -> MLPClassifier | MLPRegressor:
        """The network's estimator, without the scaling around it."""
        last = self.pipeline[-1]
        estimator: MLPClassifier | MLPRegressor = getattr(last, "regressor_", last)
        return estimator

    @property
    def interrupted(self) -> bool:
        """Whether Ctrl-C ended the training."""
        return str(self.estimator.stop_reason_).startswith("interrupted")


def fit_and_write(config: FitConfig) -> int:
    """Do everything; return the exit code."""
    source = open_source(config.source, config.target)
    with RunFolder.reserve(config.out, source.name) as folder:
        printing.print_source(source)
        fitted = fit(source, config)
        printing.print_result(fitted)
        path = folder.write(fitted)
    printing.print_ending(fitted, path)
    if fitted.interrupted:
        return 130
    return 1 if fitted.estimator.status_ == "diverged" else 0


def fit(source: Source, config: FitConfig) -> Fitted:
    """Split, train with a live progress line, and predict the held-out rows."""
    X, X_test, y, y_test, is_held_out = _split(source, config)
    pipeline = make_model(source, config, X)
    begin = perf_counter()
    with warnings.catch_warnings(record=True) as caught:  # shown below, each once, as notes
        warnings.simplefilter("always")
        prepared = pipeline[:-1].fit_transform(X, y)
        printing.print_network_table(_network(pipeline[-1], source, y, prepared.shape[1]))
        pipeline[-1].fit(prepared, y)
    notes = tuple(dict.fromkeys(str(warning.message) for warning in caught))
    return Fitted(
        source, config, pipeline, X_test, y_test, pipeline.predict(X_test), len(X), is_held_out,
        perf_counter() - begin, notes,
    )  # fmt: skip


def _network(model: Any, source: Source, y: Array, n_inputs: int) -> Network:
    """Return the network that is about to be trained, to show it."""
    if source.kind == "regression":
        return make_network(model.regressor, n_inputs, 1 if y.ndim == 1 else y.shape[1], "identity")
    if y.ndim == 2:
        return make_network(model, n_inputs, y.shape[1], "sigmoid")
    k = len(np.unique(y))
    return make_network(model, n_inputs, 1 if k == 2 else k, "sigmoid" if k == 2 else "softmax")


def make_model(source: Source, config: FitConfig, X: pd.DataFrame) -> Pipeline:
    """Return the untrained pipeline: columns to numbers, then the network; a regression's target is standardised."""
    network: Any = config.estimator(source.kind, len(X))
    if source.kind == "regression":
        network = TransformedTargetRegressor(regressor=network, transformer=StandardScaler())
    if source.image_shape:
        return make_pipeline(MinMaxScaler(clip=True), network)
    return tables.make_pipeline(network, X, random_state=config.seed)


def _split(source: Source, config: FitConfig) -> tuple[pd.DataFrame, pd.DataFrame, Array, Array, bool]:
    X, y = source.X, source.y
    if source.held_out is not None:
        return X, source.held_out[0], y, source.held_out[1], True
    if len(X) < FEWEST_ROWS:
        return X, X, y, y, False
    stratify = y if source.kind == "classification" and _can_stratify(y, len(X), config.test_size) else None
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=config.test_size, random_state=config.seed, stratify=stratify
    )
    if source.kind == "classification" and len(np.unique(y_train)) < 2:
        raise GlassnetError("the training rows must hold at least two classes, received one: lower --test-size.")
    return X_train, X_test, y_train, y_test, True


def _can_stratify(y: npt.NDArray[Any], m: int, test_size: float) -> bool:
    """Whether each class has two rows, and both parts have room for all classes."""
    counts = np.unique(y, return_counts=True)[1]
    held_out = int(np.ceil(m * test_size))
    return bool(counts.min() >= 2 and held_out >= len(counts) and m - held_out >= len(counts))
