"""An estimator as a case for the doctor: the same rows, network, start and rule that its `fit` would use."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.neural_network import MLPRegressor as TheirRegressor
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from glassnet.arrays import Array
from glassnet.errors import fault, type_fault
from glassnet.estimators import fitting, options
from glassnet.estimators.base import MLP
from glassnet.estimators.continuing import FRESH
from glassnet.estimators.mlp import MLPClassifier, MLPRegressor
from glassnet.insight.admission import check_numbers, check_targets
from glassnet.insight.patient import Case, Dialect, epochs_of

__all__ = ["case_of_estimator"]


def case_of_estimator(model: Any, X: Any, y: Any, validation: Sequence[Any] | None) -> Case:
    """Return the case of an estimator, or of the one that a pipeline ends with, fitted or not.

    Raises GlassnetError for other estimators, and for data that a fitted one was not fitted to.
    """
    prefix = ""
    table = _columns(X)
    names = table
    targets = check_targets(y)
    while not isinstance(model, MLP):
        if isinstance(model, Pipeline):
            X, validation, names = _through(model, X, y, validation, names)
            prefix, model = f"{prefix}{model.steps[-1][0]}__", model.steps[-1][1]
        elif isinstance(model, TransformedTargetRegressor):
            targets, validation = _scaled(model, targets, validation)
            prefix, model = f"{prefix}regressor__", getattr(model, "regressor_", model.regressor)
        elif isinstance(model, TheirClassifier | TheirRegressor):
            model = _translated(model)
        else:
            expected = "an estimator of glassnet (or scikit-learn's MLP), alone or at the end of a pipeline"
            raise type_fault("estimator_or_run", expected, type(model).__name__)
    rows = check_numbers(X, names)
    _check_known(model, rows, targets)
    return replace(_case(model, rows, targets, names, prefix, validation), table=table)


def _columns(X: Any) -> tuple[str, ...]:
    return tuple(map(str, X.columns)) if hasattr(X, "columns") else ()


def _through(
    pipeline: Pipeline, X: Any, y: Any, validation: Sequence[Any] | None, names: tuple[str, ...]
) -> tuple[Any, Any, tuple[str, ...]]:
    """Return X, held-out rows and names of columns after the steps before the last, fitted copies where they are not.

    Names are only asked for where the columns had some, and are lost where a step does not tell them.
    """
    if len(pipeline.steps) == 1:
        return X, validation, names
    before = pipeline[:-1]
    try:
        check_is_fitted(before)
    except NotFittedError:
        before = clone(before).fit(X, y)
    held_out = None if validation is None else (before.transform(validation[0]), validation[1])
    made = before.transform(X)
    told: tuple[str, ...] = ()
    if names:
        with contextlib.suppress(AttributeError, ValueError):  # a step that cannot say what its columns are called
            told = _columns(made) or tuple(map(str, before.get_feature_names_out()))
    return made, held_out, told


def _scaled(model: TransformedTargetRegressor, y: Array, validation: Sequence[Any] | None) -> tuple[Array, Any]:
    """Return the targets as the regressor inside sees them."""
    transformer = getattr(model, "transformer_", None)
    if transformer is None:
        if model.transformer is None:
            return y, validation
        transformer = clone(model.transformer).fit(y.reshape(len(y), -1))

    def through(values: Any) -> Array:
        values = np.asarray(values)
        made = np.asarray(transformer.transform(values.reshape(len(values), -1)))
        return made.ravel() if values.ndim == 1 else made

    return through(y), None if validation is None else (validation[0], through(validation[1]))


def _translated(model: Any) -> MLP:
    """Return our estimator with the settings of scikit-learn's, and the history of its losses where it is fitted."""
    kind = MLPClassifier if isinstance(model, TheirClassifier) else MLPRegressor
    ours: MLP = kind(**model.get_params())
    return ours


def _check_known(model: MLP, X: Array, y: Array) -> None:
    """Raise GlassnetError for numbers given to a classifier, and for what a fitted model was not fitted to."""
    is_classifier = isinstance(model, MLPClassifier)
    if is_classifier and type_of_target(y).startswith("continuous"):
        example = f"numbers such as {float(y.ravel()[(y.ravel() % 1 != 0).argmax()]):.3g}"
        raise fault("y", f"class labels for {type(model).__name__}", example, "MLPRegressor predicts numbers.")
    if not hasattr(model, "network_"):
        return
    net, known = model.network_, getattr(model, "classes_", None)
    if net.n_inputs != X.shape[1]:
        raise fault("X", f"(m, {net.n_inputs}), as the model was fitted to", X.shape)
    if is_classifier and known is not None and y.ndim == 1 and len(other := np.setdiff1d(y, known)):
        expected = f"one of the {len(known)} classes that the model was fitted to ({_listed(known)})"
        raise fault("every label of y", expected, _listed(other))
    if not is_classifier and y.size // len(y) != net.n_outputs:
        raise fault("y", f"(m, {net.n_outputs}), as the model was fitted to", y.shape)


def _listed(labels: Array) -> str:
    return ", ".join(repr(one) for one in labels[:5].tolist()) + ", ..." * (len(labels) > 5)


def _case(model: MLP, X: Array, y: Array, names: tuple[str, ...], prefix: str, validation: Any) -> Case:
    fresh = clone(model)
    given = model.__dict__.get("_given")
    if given:
        fresh._given, fresh.warm_start = copy.deepcopy(given), True
    if fresh.random_state is None or not isinstance(fresh.random_state, int | np.integer):
        fresh.random_state = 0
    fresh.verbose, fresh.callbacks = False, None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the fit itself has said, or will say, what it does not read
        held_out = {} if validation is None else dict(zip(("X_val", "y_val"), validation, strict=True))
        rows = fitting.begin_fit(fresh, X, y, **held_out)
        batch_size = options.batch_size_of(fresh, len(rows.X))
    solver = options.is_full_batch(fresh)
    fitted = hasattr(model, "theta_")
    history = getattr(model, "history_", None)
    return Case(
        fitting.objective_of(fresh, rows),
        fresh.theta_,
        rows.X,
        rows.Y,
        None if solver else options.make_rule(fresh, len(rows.X), batch_size, FRESH),
        batch_size,
        int(fresh.max_iter),
        rows.weights,
        fresh.state_,
        method=str(fresh.solver) if solver else "",
        names=names,
        labels=tuple(map(str, getattr(fresh, "classes_", ()))),
        dialect=Dialect(type(model).__name__, prefix, isinstance(fresh.solver, str)),
        fitted=model.theta_ if fitted else None,
        fitted_state=model.state_ if fitted else None,
        history=None if history is None else epochs_of(history),
        status=getattr(model, "status_", ""),
        held_out=None if rows.held_out is None else (rows.held_out[0], rows.held_out[1]),
        stops_early=bool(fresh.early_stopping),
    )
