"""The same numbers as scikit-learn: whole fits with the same random_state, weight by weight, wherever it is right.

Starts, splits and the order of rows come from the same random numbers, so nothing has to be handed over. `alpha` is 0
where batches are smaller than the data, because scikit-learn divides it by the batch (docs/differences.md).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.preprocessing import scale

import glassnet

X_iris, y_iris = load_iris(return_X_y=True)
X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_labels, Y_labels = make_multilabel_classification(n_samples=130, n_features=7, random_state=0)
counts = np.random.default_rng(0).poisson(np.exp(0.4 * scale(X_diabetes)[:, :2]))
DATA: dict[str, tuple[str, Any, Any]] = {
    "binary": ("MLPClassifier", scale(X_cancer)[:230], np.where(y_cancer, "benign", "malignant")[:230]),
    "classes": ("MLPClassifier", scale(X_iris), y_iris),
    "labels": ("MLPClassifier", scale(X_labels), Y_labels),
    "regression": ("MLPRegressor", scale(X_diabetes)[:230], scale(y_diabetes)[:230]),
    "counts": ("MLPRegressor", scale(X_diabetes)[:230], counts[:230]),
}
WEIGHTS = np.random.default_rng(1).uniform(0.2, 3.0, 230)
IN_BATCHES: dict[str, Any] = {"alpha": 0.0, "batch_size": 37}
WHOLE: dict[str, Any] = {"alpha": 0.7, "batch_size": 230}

SETTINGS: dict[str, dict[str, Any]] = {
    "adam": {**IN_BATCHES},
    "adam, other options": {**IN_BATCHES, "beta_1": 0.6, "beta_2": 0.9, "epsilon": 1e-2},
    "adam, in order": {**IN_BATCHES, "shuffle": False},
    "adam, all rows": {**WHOLE},
    "sgd": {**IN_BATCHES, "solver": "sgd"},
    "sgd, no momentum": {**IN_BATCHES, "solver": "sgd", "momentum": 0.0},
    "sgd, Polyak": {**IN_BATCHES, "solver": "sgd", "nesterovs_momentum": False},
    "sgd, all rows": {**WHOLE, "solver": "sgd"},
    "invscaling": {**IN_BATCHES, "solver": "sgd", "learning_rate": "invscaling", "power_t": 0.3},
    "adaptive": {**IN_BATCHES, "solver": "sgd", "learning_rate": "adaptive", "tol": 0.05, "max_iter": 200},
    "lbfgs": {"solver": "lbfgs", "alpha": 0.7},
    "lbfgs, few evaluations": {"solver": "lbfgs", "alpha": 0.7, "max_fun": 9},
}


def pair(data: str, **options: Any) -> tuple[Any, Any, Any, Any]:
    """Return our estimator and theirs with the same arguments, X and y."""
    name, X, y = DATA[data]
    options = {"hidden_layer_sizes": (7,), "max_iter": 15, "n_iter_no_change": 2, "random_state": 5, **options}
    if data == "counts":
        options["loss"] = "poisson"
    elif options.get("solver") == "sgd":
        options["learning_rate_init"] = 0.02
    options["batch_size"] = min(options.get("batch_size", 200), len(X))
    return getattr(glassnet, name)(**options), getattr(neural_network, name)(**options), X, y


def warned(call: Callable[..., Any], *data: Any) -> list[type[Warning]]:
    """Return which warnings the call gave."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        call(*data)
    return [entry.category for entry in caught]


def fitted(one: Any, other: Any, *data: Any, method: str = "fit", **options: Any) -> tuple[Any, Any]:
    """Fit both on the same data and return them. Each must have given the same warnings as the other."""
    ours, theirs = (warned(partial(getattr(model, method), **options), *data) for model in (one, other))
    assert ours == theirs
    assert set(ours) <= {ConvergenceWarning}
    return one, other


def agree(one: Any, other: Any, tolerance: float = 1e-8) -> None:
    """Compare every weight and what the fits have left."""
    for mine, known in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        np.testing.assert_allclose(mine, known, rtol=tolerance, atol=tolerance)
    assert one.loss_ == pytest.approx(other.loss_, rel=tolerance)
    names = ("n_iter_", "n_layers_", "n_outputs_", "out_activation_", "n_features_in_")
    for name in names:
        assert getattr(one, name) == getattr(other, name), name
    if other.solver == "lbfgs":
        return
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=tolerance)
    assert one.t_ == other.t_
    for name in ("best_loss_", "best_validation_score_", "validation_scores_"):
        known = getattr(other, name)
        assert getattr(one, name) == (None if known is None else pytest.approx(known, rel=1e-7)), name


@pytest.mark.parametrize("setting", list(SETTINGS))
@pytest.mark.parametrize("data", list(DATA))
def test_fits(data: str, setting: str) -> None:
    one, other, X, y = pair(data, activation="tanh", **SETTINGS[setting])
    agree(*fitted(one, other, X, y))


@pytest.mark.parametrize("activation", ["identity", "logistic", "relu"])
@pytest.mark.parametrize("data", list(DATA))
def test_activations(data: str, activation: str) -> None:
    one, other, X, y = pair(data, activation=activation, hidden_layer_sizes=(6, 5), **IN_BATCHES)
    agree(*fitted(one, other, X, y))


@pytest.mark.parametrize("setting", ["adam", "adam, all rows", "sgd", "invscaling", "adaptive"])
@pytest.mark.parametrize("data", list(DATA))
def test_the_compiled_engine(data: str, setting: str) -> None:
    one, other, X, y = pair(data, **SETTINGS[setting])
    agree(*fitted(one.set_params(engine="numba"), other, X, y))


@pytest.mark.parametrize("data", list(DATA))
@pytest.mark.parametrize("setting", ["adam, all rows", "sgd, all rows", "lbfgs"])
def test_weights_of_rows(data: str, setting: str) -> None:
    one, other, X, y = pair(data, **SETTINGS[setting])
    agree(*fitted(one, other, X, y, WEIGHTS[: len(X)]))


@pytest.mark.parametrize("data", ["binary", "labels", "regression", "counts"])
@pytest.mark.parametrize("setting", ["adam", "sgd, all rows", "adaptive"])
@pytest.mark.parametrize("weighted", [False, True])
def test_early_stopping(data: str, setting: str, weighted: bool) -> None:
    """Of several classes scikit-learn's split keeps no proportions, although its documentation says so."""
    options = SETTINGS[setting] | {"early_stopping": True, "validation_fraction": 0.2}
    if weighted:
        options |= {"batch_size": 230, "learning_rate": "constant"}
    one, other, X, y = pair(data, **options)
    batch = min(one.batch_size, round(0.8 * len(X)))
    weights = WEIGHTS[: len(X)] if weighted else None
    one.set_params(batch_size=batch), other.set_params(batch_size=batch)
    agree(*fitted(one, other, X, y, weights))


@pytest.mark.parametrize("setting", ["adam", "sgd", "invscaling", "adaptive"])
@pytest.mark.parametrize("data", list(DATA))
def test_partial_fit(data: str, setting: str) -> None:
    """Calls with different numbers of rows, and one after a fit: rule, rate, patience and order all go on."""
    one, other, X, y = pair(data, **SETTINGS[setting])
    extra = {"classes": np.unique(y)} if data != "labels" and hasattr(one, "predict_proba") else {}
    if data == "labels":
        extra = {"classes": np.arange(Y_labels.shape[1])}
    for rows in (100, 60, 130, 60, 60, 60, 60):
        fitted(one, other, X[:rows], y[:rows], method="partial_fit", **extra)
    agree(one, other)
    fitted(one, other, X, y)
    agree(*fitted(one, other, X[:90], y[:90], method="partial_fit"))


@pytest.mark.parametrize("setting", ["adam", "sgd", "invscaling", "adaptive", "lbfgs"])
@pytest.mark.parametrize("data", list(DATA))
def test_warm_start(data: str, setting: str) -> None:
    one, other, X, y = pair(data, **SETTINGS[setting], warm_start=True)
    for number in range(4):
        agree(*fitted(one.set_params(max_iter=5 + number), other.set_params(max_iter=5 + number), X, y))


def test_warm_start_with_early_stopping() -> None:
    """While scores rise the two agree. Where none is better, the best weights come back; scikit-learn's are not the
    best any more, because it has trained those very arrays.
    """
    one, other, X, y = pair("regression", max_iter=3, warm_start=True, early_stopping=True, alpha=0.0)
    agree(*fitted(one, other, X, y))
    best = one.theta_.copy(), [W.copy() for W in other.coefs_]
    for model in fitted(*(model.set_params(learning_rate_init=5.0, max_iter=2) for model in (one, other)), X, y):
        assert max(model.validation_scores_[3:]) < model.best_validation_score_
    np.testing.assert_array_equal(one.theta_, best[0])
    assert np.abs(other.coefs_[0] - best[1][0]).max() > 0.1


def test_predictions() -> None:
    for data in DATA:
        one, other, X, y = pair(data, max_iter=300, alpha=0.0, tol=0.05)
        fitted(one, other, X, y)
        np.testing.assert_allclose(one.score(X, y), other.score(X, y), rtol=1e-8)
        if hasattr(one, "predict_proba"):
            assert (one.predict(X) == other.predict(X)).all()
            np.testing.assert_allclose(one.predict_proba(X), other.predict_proba(X), rtol=1e-7)
            np.testing.assert_allclose(one.predict_log_proba(X), other.predict_log_proba(X), rtol=1e-7, atol=1e-12)
        else:
            np.testing.assert_allclose(one.predict(X), other.predict(X), rtol=1e-7)


def test_a_difference_would_be_seen() -> None:
    """The penalty of a batch is such a difference, and so is another seed."""
    one, other, X, y = pair("binary", alpha=0.5, batch_size=37)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(*fitted(one, other, X, y))
    one, other, X, y = pair("binary", **IN_BATCHES)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        agree(*fitted(one.set_params(random_state=6), other, X, y))
