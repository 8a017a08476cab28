"""estimators/: how a fit goes on from call to call, and how it ends."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, NotFittedError

from estimator_cases import (
    CONVERGED,
    X_diabetes,
    X_iris,
    both,
    data_for,
    y_diabetes,
    y_iris,
)
from glassnet import MLPClassifier, MLPRegressor
from glassnet.callbacks import Watcher
from glassnet.errors import GlassnetError
from glassnet.estimators.continuing import NoImprovement
from glassnet.estimators.options import SOLVERS

# --- going on --------------------------------------------------------------------------------------


@both
@pytest.mark.parametrize("solver", ["sgd", "adam", "adamw"])
def test_partial_fit_is_an_epoch(kind: Any, solver: str) -> None:
    X, y = data_for(kind)
    model = kind(hidden_layer_sizes=(5,), solver=solver, max_iter=3, random_state=0)
    extra = {"classes": [0, 1, 2]} if kind is MLPClassifier else {}
    step = clone(model)
    for _ in range(3):
        step.partial_fit(X, y, **extra)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(3\) reached.*Raise max_iter or tol"):
        model.fit(X, y)
    np.testing.assert_array_equal(step.theta_, model.theta_)
    assert (step.n_iter_, step.t_, step.loss_curve_) == (1, 450, model.loss_curve_)
    step.partial_fit(X[:50], y[:50], sample_weight=np.ones(50))
    assert step.t_ == 500


def test_partial_fit_of_classes() -> None:
    X, y = X_iris, y_iris
    with pytest.raises(GlassnetError, match="classes must be passed on the first call to partial_fit"):
        MLPClassifier().partial_fit(X, y)
    model = MLPClassifier((4,), random_state=0).partial_fit(X[:60], y[:60], classes=[2, 0, 1])
    assert model.classes_.tolist() == [0, 1, 2]
    model.partial_fit(X, y)
    with pytest.raises(GlassnetError, match="classes that were not there before"):
        model.partial_fit(X, y + 1)
    with pytest.raises(GlassnetError, match="classes must be the same as at the first call"):
        model.partial_fit(X, y, classes=[0, 1])
    with pytest.raises(GlassnetError, match="does not support early_stopping=True"):
        MLPClassifier(early_stopping=True).partial_fit(X, y, classes=[0, 1, 2])
    with pytest.raises(GlassnetError, match="classes must be left out for a regressor"):
        MLPRegressor().partial_fit(X, y, classes=[0, 1])
    assert not hasattr(MLPClassifier(solver="lbfgs"), "partial_fit")


@both
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_warm_start_goes_on(kind: Any, solver: str) -> None:
    X, y = data_for(kind)
    model = kind(hidden_layer_sizes=(5,), solver=solver, warm_start=True, max_iter=10, tol=0.0, random_state=0)
    with pytest.warns(ConvergenceWarning):
        first = model.fit(X, y).loss_
    with pytest.warns(ConvergenceWarning):
        model.fit(X, y)
    assert model.loss_ < first
    assert (model.n_iter_, model.t_, len(model.loss_curve_)) == (10, 20 * len(X), 20)
    model.set_params(solver="lbfgs" if solver == "adam" else "adam", tol=1e-2, max_iter=5000)  # another rule's memory
    assert model.fit(X, y).loss_ < first
    model.set_params(solver="sgd", momentum=0.0).fit(X, y).set_params(momentum=0.9).fit(X, y)
    with pytest.raises(GlassnetError, match=r"as before, .*received another one\. Leave hidden_layer_sizes"):
        model.set_params(hidden_layer_sizes=(6,)).fit(X, y)
    with pytest.raises(ValueError, match="features"):
        model.fit(X[:, 1:], y)


def test_warm_start_needs_the_same_classes() -> None:
    model = MLPClassifier((), solver="lbfgs", alpha=1.0, warm_start=True, **CONVERGED).fit(X_iris, y_iris)
    for other in (y_iris + 1, np.minimum(y_iris, 1), y_iris.astype(str)):
        with pytest.raises(GlassnetError, match="warm_start can only be used where `y` has the same classes"):
            model.fit(X_iris, other)


@both
def test_runs_repeat(kind: Any) -> None:
    X, y = data_for(kind)
    model = kind(hidden_layer_sizes=(5,), batch_size=10, tol=1e-2, n_iter_no_change=3, random_state=7)
    np.testing.assert_array_equal(clone(model).fit(X, y).theta_, clone(model).fit(X, y).theta_)
    given = clone(model).set_params(random_state=np.random.RandomState(7)).fit(X, y)
    np.testing.assert_array_equal(given.theta_, model.fit(X, y).theta_)


# --- ends ------------------------------------------------------------------------------------------


@both
def test_early_stopping_attributes(kind: Any) -> None:
    X, y = data_for(kind)
    weights = np.linspace(0.5, 2.0, len(X))
    model = kind((5,) if kind is MLPClassifier else "squared_error", early_stopping=True, random_state=0)
    model.set_params(learning_rate_init=0.01, n_iter_no_change=3, max_iter=1000).fit(X, y, weights)
    assert model.best_validation_score_ == max(model.validation_scores_)
    assert len(model.validation_scores_) == model.n_iter_ == len(model.history_)
    assert (model.best_loss_, model.status_) == (None, "converged")
    metric = "accuracy" if kind is MLPClassifier else "r2"
    assert f"validation_{metric} did not improve" in model.stop_reason_
    model.set_params(early_stopping=False).fit(X, y)
    assert (model.validation_scores_, model.best_validation_score_) == (None, None)
    assert model.best_loss_ == min(model.loss_curve_)


def test_weights_count_in_the_validation_score() -> None:
    """A row that is wrong in every epoch does not count where it weighs nothing."""
    y = y_iris.copy()
    y[::5] = 2 - y[::5]
    weights = (y == y_iris).astype(float)
    model = MLPClassifier((), solver="sgd", learning_rate_init=0.5, early_stopping=True, random_state=0)
    assert model.fit(X_iris, y, weights).best_validation_score_ > model.fit(X_iris, y).best_validation_score_


@both
def test_patience_without_end(kind: Any) -> None:
    X, y = data_for(kind)
    with pytest.warns(ConvergenceWarning, match=r"Maximum iterations \(40\)"):
        model = kind(hidden_layer_sizes=(), n_iter_no_change=np.inf, tol=1e9, max_iter=40).fit(X, y)
    assert model.n_iter_ == 40


def test_a_kink_ends_a_solver() -> None:
    """A gradient that never vanishes, because ReLU has kinks, is no reason to go on for ever."""
    model = MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", alpha=1.0, max_iter=5000, random_state=0)
    assert "lowered the loss by no more than 2.2e-09" in model.fit(X_diabetes, y_diabetes).stop_reason_


def test_evaluations_are_limited() -> None:
    with pytest.warns(ConvergenceWarning, match=r"Maximum evaluations \(5\) reached.*Raise max_fun"):
        model = MLPClassifier((5,), solver="lbfgs", max_fun=5, random_state=0).fit(X_iris, y_iris)
    assert model.history_["updates"][-1] < 10


@pytest.mark.parametrize("early_stopping", [False, True])
def test_divergence_is_warned_of(early_stopping: bool) -> None:
    model = MLPRegressor(solver="sgd", activation="identity", learning_rate_init=1.0, batch_size=442, random_state=0)
    model.set_params(early_stopping=early_stopping, validation_fraction=0.2)
    with pytest.warns() as seen:
        model.fit(X_diabetes, y_diabetes)
    assert seen[-1].category is ConvergenceWarning
    assert "The fit diverged: epoch " in str(seen[-1].message)
    assert model.status_ == "diverged"
    assert np.isfinite(model.theta_).all()
    assert np.isfinite(model.predict(X_diabetes)).all()
    assert np.isnan(model.loss_curve_[-1])  # the epoch that broke off is counted, and has neither loss nor score
    assert np.isfinite(model.best_validation_score_ if early_stopping else model.best_loss_)
    assert (model.n_iter_, len(model.loss_curve_)) == (len(model.history_) + 1,) * 2


@pytest.mark.parametrize("solver", ["sgd", "lbfgs"])
def test_an_epoch_that_learned_nothing_is_an_error(solver: str) -> None:
    X = np.finfo(float).max * np.linspace(0.1, 1.0, 20).reshape(10, 2)
    model = MLPRegressor(solver=solver, random_state=0)
    with pytest.raises(
        GlassnetError, match=r"Solver produced non-finite parameter weights.*large values.*preprocessed"
    ):
        model.fit(X, y_diabetes[:10])
    with pytest.raises(NotFittedError):
        model.predict(X)
    if solver == "sgd":
        with pytest.raises(GlassnetError, match="non-finite parameter weights"):
            model.partial_fit(X, y_diabetes[:10])
        model.partial_fit(X_diabetes[:, :2], y_diabetes)
        with pytest.warns(ConvergenceWarning, match="The last good weights are kept"):
            model.partial_fit(X, y_diabetes[:10])
        assert np.isfinite(model.theta_).all()


def test_interruption_keeps_what_was_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(record: Any) -> None:
        if record.epoch == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(NoImprovement, "start", lambda self: Watcher(interrupt))
    with pytest.warns(ConvergenceWarning, match="Training interrupted in epoch"):
        model = MLPClassifier((4,), random_state=0).fit(X_iris, y_iris)
    assert model.status_ == "stopped"
    assert model.n_iter_ == 3


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_verbose(capsys: pytest.CaptureFixture[str], solver: str) -> None:
    model = MLPClassifier((4,), solver=solver, alpha=1.0, tol=1e-2, max_iter=1000, random_state=0)
    model.fit(X_iris, y_iris)
    assert capsys.readouterr() == ("", "")
    model.set_params(verbose=True).fit(X_iris, y_iris)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-2] == f"Iteration {model.n_iter_}, loss = {model.loss_:.8f}"
    assert lines[-1] == f"{model.stop_reason_[0].upper()}{model.stop_reason_[1:]}. Stopping."
    if solver == "adam":
        model.set_params(early_stopping=True, max_iter=20, n_iter_no_change=2, verbose=10).fit(X_iris, y_iris)
        lines = capsys.readouterr().out.splitlines()
        assert lines[-2] == f"Validation score: {model.validation_scores_[-1]:f}"
        assert lines[-1] == "Validation_accuracy did not improve by more than 0.01 in 2 epochs. Stopping."


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in ("lm", "br")])
def test_every_solver_learns_irises(solver: str) -> None:
    rate = {"adagrad": 0.1, "sgd": 0.1}.get(solver, 0.01)
    model = MLPClassifier((8,), activation="tanh", solver=solver, learning_rate_init=rate, alpha=0.01, random_state=0)
    model.set_params(tol=1e-3, max_iter=2000).fit(X_iris, y_iris)
    assert model.status_ == "converged"
    assert model.score(X_iris, y_iris) > 0.9
