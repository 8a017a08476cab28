"""`glassnet fit`: read, split, train, measure, write."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler

from glassnet import tables
from glassnet.arrays import Array
from glassnet.callbacks import Checkpoint
from glassnet.checkpoints import stored
from glassnet.cli import printing
from glassnet.cli.measuring import evaluation
from glassnet.cli.records import FEWEST_ROWS, FEWEST_TO_STOP, MOST_PARAMETERS, FitConfig, Fitted, too_large
from glassnet.cli.run_folder import RunFolder
from glassnet.cli.sources import Source, open_source
from glassnet.errors import GlassnetError, fault
from glassnet.estimators.architecture import make_network
from glassnet.estimators.options import is_full_batch
from glassnet.network import Network

__all__ = ["SplitRows", "fit", "fit_and_write", "make_model", "split_rows"]


SECONDS = 30.0
"""A run is stored so often, at most."""


def fit_and_write(config: FitConfig, unfinished: RunFolder | None = None) -> int:
    """Do everything, or go on in the folder of a run that broke off; return the exit code."""
    source = open_source(config.source, config.target, config.task)
    part = split_rows(source, config)
    pipeline = make_model(source, config, part)
    # from here on the input is known to be right
    with unfinished or RunFolder.reserve(config.out, source.name) as folder:
        printing.print_source(source)
        if unfinished is not None:
            printing.print_resumed(unfinished.partial, max(stored(unfinished.checkpoints), default=0))
        folder.begin(config)
        with _storing(pipeline, folder.checkpoints):
            fitted = fit(source, config, part, pipeline)
        measured = evaluation(fitted)
        printing.print_result(fitted, measured)
        path = folder.write(fitted, measured)
    printing.print_ending(fitted, path)
    if fitted.interrupted:
        return 130
    return 1 if fitted.estimator.status_ == "diverged" else 0


@contextmanager
def _storing(pipeline: Pipeline, folder: Path) -> Iterator[None]:
    """Store the run while it is made, where it is one of a rule; the pipeline that is saved knows nothing of it."""
    networks = [getattr(pipeline[-1], "regressor", pipeline[-1])]
    before = networks[0].callbacks
    if not is_full_batch(networks[0]):
        networks[0].set_params(callbacks=[*before, Checkpoint(folder, resume=True, seconds=SECONDS)])
    yield
    networks.append(getattr(pipeline[-1], "regressor_", pipeline[-1]))
    for network in networks:
        network.set_params(callbacks=before)


def fit(source: Source, config: FitConfig, part: SplitRows, pipeline: Pipeline) -> Fitted:
    """Train with a live progress line, and predict the held-out rows."""
    begin = perf_counter()
    with warnings.catch_warnings(record=True) as caught:  # shown below, each once, as notes
        warnings.simplefilter("always")
        prepared = _prepared(pipeline, part)
        net = _network(pipeline[-1], source, part.y, prepared.shape[1])
        if net.n_parameters > MOST_PARAMETERS:
            raise too_large(f"{net.n_parameters:,}")
        printing.print_network_table(net)
        pipeline[-1].fit(prepared, part.y, **_watched(pipeline, part))
        predicted = pipeline.predict(part.X_test)
    # what a ConvergenceWarning says stands in the status and the reason, which are printed anyway
    told = [str(warning.message) for warning in caught if not issubclass(warning.category, ConvergenceWarning)]
    notes = (*source.notes, *part.notes, *dict.fromkeys(told))
    return Fitted(
        source, config, pipeline, part.X_test, part.y_test, predicted, len(part.X), part.is_held_out,
        perf_counter() - begin, notes,
    )  # fmt: skip


def _prepared(pipeline: Pipeline, part: SplitRows) -> Array:
    """Return the training rows as the network sees them, (m, n_inputs)."""
    try:
        return np.asarray(pipeline[:-1].fit_transform(part.X, part.y))
    except ValueError as error:  # scikit-learn's and skrub's own refusals
        received = " ".join(str(error).split()).rstrip(".")
        raise fault("the table", "columns that can be turned into numbers", received) from error


def _watched(pipeline: Pipeline, part: SplitRows) -> dict[str, Array]:
    """Return the held-out rows whose score is shown during training; it decides nothing.

    None where there are none, and where training rows are set aside to decide.
    """
    last = pipeline[-1]
    network = getattr(last, "regressor", last)
    if not part.is_held_out or network.early_stopping:
        return {}
    known = np.isin(part.y_test, part.y) if network is last and part.y.ndim == 1 else slice(None)
    X_val, y_val = pipeline[:-1].transform(part.X_test[known]), part.y_test[known]
    if network is not last:  # the scaling of the target that TransformedTargetRegressor is about to learn
        scaling = StandardScaler().fit(part.y.reshape(len(part.y), -1))
        y_val = scaling.transform(y_val.reshape(len(y_val), -1))
    return {"X_val": X_val, "y_val": y_val.ravel() if network is not last and part.y.ndim == 1 else y_val}


def _network(model: Any, source: Source, y: Array, n_inputs: int) -> Network:
    """Return the network that is about to be trained, to show it."""
    if source.kind == "regression":
        return make_network(model.regressor, n_inputs, 1 if y.ndim == 1 else y.shape[1], "identity")
    if y.ndim == 2:
        return make_network(model, n_inputs, y.shape[1], "sigmoid")
    k = len(np.unique(y))
    return make_network(model, n_inputs, 1 if k == 2 else k, "sigmoid" if k == 2 else "softmax")


def make_model(source: Source, config: FitConfig, part: SplitRows) -> Pipeline:
    """Return the untrained pipeline: columns to numbers, then the network; a regression's target is standardised."""
    m = len(part.X)
    sets_aside = m >= FEWEST_TO_STOP and (source.kind != "classification" or _can_stratify(part.y, m, 0.1))
    network: Any = config.estimator(source.kind, m, sets_aside)
    if source.kind == "regression":
        network = TransformedTargetRegressor(regressor=network, transformer=StandardScaler())
    if source.image_shape:
        return make_pipeline(MinMaxScaler(clip=True), network)
    return tables.make_pipeline(network, part.X, random_state=config.seed)


class SplitRows(NamedTuple):
    """Rows to learn from and rows to measure on; the same rows twice where there are too few (`is_held_out` False)."""

    X: pd.DataFrame
    X_test: pd.DataFrame
    y: Array
    y_test: Array
    is_held_out: bool
    notes: tuple[str, ...] = ()


def split_rows(source: Source, config: FitConfig) -> SplitRows:
    """Hold rows out: the data set's own test part, or a share of the rows, with equal shares of classes if possible."""
    X, y = source.X, source.y
    if source.held_out is not None:
        return SplitRows(X, source.held_out[0], y, source.held_out[1], True)
    if len(X) < FEWEST_ROWS:
        return SplitRows(X, X, y, y, False)
    n_test = int(np.ceil(len(X) * config.test_size))
    if n_test < 2 or len(X) - n_test < 2:
        received = f"{config.test_size:g} of {len(X):,} rows: {n_test:,} and {len(X) - n_test:,}"
        raise fault("--test-size", "a share that leaves two rows on either side", received, "For example 0.2.")
    stratify = y if source.kind == "classification" and _can_stratify(y, len(X), config.test_size) else None
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=config.test_size, random_state=config.seed, stratify=stratify
    )
    notes: tuple[str, ...] = ()
    if source.kind == "classification":
        if len(np.unique(y_train)) < 2:
            raise GlassnetError("the training rows must hold at least two classes, received one: lower --test-size.")
        if unseen := len(np.setdiff1d(y_test, y_train)):
            notes = (f"{unseen} of {len(np.unique(y))} classes are in held-out rows only: they cannot be predicted",)
    return SplitRows(X_train, X_test, y_train, y_test, True, notes)


def _can_stratify(y: npt.NDArray[Any], m: int, test_size: float) -> bool:
    """Whether each class has two rows, and both parts have room for all classes."""
    counts = np.unique(y, return_counts=True)[1]
    held_out = int(np.ceil(m * test_size))
    return bool(counts.min() >= 2 and held_out >= len(counts) and m - held_out >= len(counts))
