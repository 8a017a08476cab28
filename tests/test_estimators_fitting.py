"""estimators/fitting.py: a fit in three steps, so that many fits can be one population."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.preprocessing import scale

from glassnet import MLPClassifier, MLPRegressor, train_many
from glassnet.errors import GlassnetError
from glassnet.estimators import finish_fit, plan_fit

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = scale(X_iris)
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_diabetes, y_diabetes = scale(X_diabetes), scale(y_diabetes)


@pytest.mark.parametrize(
    ("model", "X", "y"),
    [
        (MLPClassifier((5,), early_stopping=True, n_iter_no_change=2), X_iris, y_iris),
        (MLPRegressor(hidden_layer_sizes=(5,), learning_rate_init=0.02, tol=0.01), X_diabetes, y_diabetes),
    ],
    ids=["classifier", "regressor"],
)
def test_a_population_of_fits_is_the_fits(model: Any, X: Any, y: Any) -> None:
    weights = np.linspace(0.5, 1.5, len(X))
    models = [clone(model).set_params(alpha=alpha, random_state=1) for alpha in (0.0, 1.0, 10.0)]
    plans = [plan_fit(one, X, y, weights) for one in models]
    for one, plan, run in zip(models, plans, train_many(plans), strict=True):
        finish_fit(one, plan, run)
        alone = clone(one).fit(X, y, weights)
        np.testing.assert_allclose(one.theta_, alone.theta_, rtol=1e-9, atol=1e-12)
        for name in ("n_iter_", "t_", "status_", "stop_reason_", "validation_scores_"):
            assert getattr(one, name) == getattr(alone, name), name
    assert models[0].loss_ < models[2].loss_


def test_finishing_warns_as_fit_does() -> None:
    model = MLPClassifier((5,), max_iter=2, random_state=0)
    plan = plan_fit(model, X_iris, y_iris)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(2\) reached"):
        finish_fit(model, plan, train_many([plan])[0])


def test_samples_seen_are_those_trained_on() -> None:
    model = MLPClassifier((5,), early_stopping=True, validation_fraction=0.2, n_iter_no_change=2, random_state=0)
    model.fit(X_iris, y_iris)
    assert model.t_ == model.n_iter_ * 120


def test_a_solver_has_no_plan() -> None:
    with pytest.raises(GlassnetError, match=r"solver must be a rule that takes batches.*Call fit instead"):
        plan_fit(MLPClassifier(solver="lbfgs"), X_iris, y_iris)


def late(model: Any) -> None:
    """A fault that only the start of the run sees, when the model has its new network already."""
    with pytest.raises(GlassnetError, match="each callback must be"):
        model.set_params(callbacks=[3]).fit(X_iris, y_iris)


def test_a_fit_that_fails_leaves_the_model_as_it_was() -> None:
    model = MLPClassifier((5,), max_iter=3, tol=0.0, random_state=0)
    before = set(vars(model))
    late(model)
    assert set(vars(model)) == before
    with pytest.raises(NotFittedError):
        model.predict(X_iris)
    with pytest.warns(ConvergenceWarning):
        model.set_params(callbacks=None).fit(X_iris, y_iris)
    predicted, classes = model.predict_proba(X_iris), model.classes_
    late(model.set_params(hidden_layer_sizes=(2,)))
    np.testing.assert_array_equal(model.predict_proba(X_iris), predicted)
    assert model.classes_ is classes
    with pytest.raises(GlassnetError, match="non-finite"):
        model.set_params(callbacks=None, learning_rate_init=1e300, solver="sgd").fit(X_iris * 1e200, y_iris)
    np.testing.assert_array_equal(model.predict_proba(X_iris), predicted)


def test_a_first_part_that_fails_leaves_no_half_of_a_model() -> None:
    model = MLPClassifier((5,), callbacks=[3])
    with pytest.raises(GlassnetError, match="each callback must be"):
        model.partial_fit(X_iris, y_iris, classes=[0, 1, 2])
    assert not [name for name in vars(model) if name.endswith("_")]
