"""The solvers "lm" and "br" in the estimators: the same minimum, bands, and what is refused."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from glassnet import MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError
from glassnet.persistence import load_pipeline, save_pipeline

RNG = np.random.default_rng(2)
X = RNG.uniform(-1, 1, (80, 2))
y = np.sin(3 * X[:, 0]) + X[:, 1] ** 2 + RNG.normal(0, 0.05, 80)
TWO = np.column_stack([y, 100 * np.cos(2 * X[:, 1]) + RNG.normal(0, 3, 80)])
QUIET: dict[str, Any] = {"activation": "tanh", "random_state": 0, "max_iter": 500}


def fitted(solver: str, Y: Any = y, **options: Any) -> MLPRegressor:
    return MLPRegressor(hidden_layer_sizes=(6,), solver=solver, **{**QUIET, **options}).fit(X, Y)


@pytest.mark.parametrize("alpha", [0.0, 5.0])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_linear_model_is_ridge_regression(alpha: float, outputs: int) -> None:
    """The mean over the outputs (scikit-learn's scale) and alpha / n_samples, against scikit-learn's Ridge."""
    Y = RNG.normal(size=(80, outputs)) + X[:, :1]
    model = MLPRegressor(hidden_layer_sizes=(), solver="lm", alpha=alpha, tol=1e-10, max_iter=100)
    model.fit(X, Y.ravel() if outputs == 1 else Y)
    theirs = Ridge(alpha=alpha * outputs, tol=1e-12).fit(X, Y)
    np.testing.assert_allclose(model.coefs_[0], theirs.coef_.reshape(outputs, 2).T, atol=1e-7)
    np.testing.assert_allclose(model.intercepts_[0], theirs.intercept_, atol=1e-7)


def test_lm_ends_where_lbfgs_would_in_fewer_iterations() -> None:
    lm, lbfgs = (fitted(solver, tol=1e-6, alpha=0.01, max_iter=20_000, max_fun=10**6) for solver in ("lm", "lbfgs"))
    assert lm.loss_ <= lbfgs.loss_ * 1.05
    assert lm.n_iter_ < lbfgs.n_iter_ / 5
    assert lm.score(X, y) > 0.98


def test_br_predicts_with_bands() -> None:
    model = fitted("br")
    predictions, std = model.predict(X, return_std=True)
    np.testing.assert_array_equal(predictions, model.predict(X))
    assert predictions.shape == std.shape == (80,)
    np.testing.assert_allclose(std, model.posterior_.predict_std(X).ravel())
    assert 0.03 < model.posterior_.noise[0] < 0.08
    assert 5.0 < model.effective_parameters_ < 25.0
    grid = RNG.uniform(-1, 1, (2000, 2))
    new = np.sin(3 * grid[:, 0]) + grid[:, 1] ** 2 + RNG.normal(0, 0.05, 2000)
    predictions, std = model.predict(grid, return_std=True)
    held = np.mean(np.abs(predictions - new) < 1.96 * std)
    assert 0.9 < held < 0.99
    assert np.mean(np.abs(predictions - new) < 0.5 * std) < 0.6, "planted: a band too narrow"


def test_br_with_several_targets() -> None:
    model = fitted("br", TWO)
    predictions, std = model.predict(X[:5], return_std=True)
    assert predictions.shape == std.shape == (5, 2)
    assert 10 < model.posterior_.noise[1] / model.posterior_.noise[0] < 200


def test_br_reads_no_alpha_and_says_so() -> None:
    with pytest.warns(UserWarning, match="alpha is not read: the solver 'br' finds the penalty itself"):
        asked = fitted("br", alpha=3.0)
    np.testing.assert_array_equal(asked.theta_, fitted("br").theta_)


def test_bands_after_lm_are_those_of_least_squares() -> None:
    """For a linear model: sigma^2 (1 + x^T (A^T A)^-1 x), textbook."""
    model = MLPRegressor(hidden_layer_sizes=(), solver="lm", alpha=0.0, tol=1e-10).fit(X, y)
    A = np.hstack([X, np.ones((80, 1))])
    variance = ((LinearRegression().fit(X, y).predict(X) - y) ** 2).sum() / 77
    expected = np.sqrt(variance * (1 + np.einsum("mp,pq,mq->m", A, np.linalg.inv(A.T @ A), A)))
    np.testing.assert_allclose(model.predict(X, return_std=True)[1], expected, rtol=1e-7)
    assert model.effective_parameters_ == pytest.approx(3.0)


def test_early_stopping_and_weights_and_float32_are_taken() -> None:
    weights = RNG.uniform(0.5, 2.0, 80)
    for solver in ("lm", "br"):
        model = MLPRegressor(hidden_layer_sizes=(6,), solver=solver, early_stopping=True, **QUIET)
        model.fit(X.astype(np.float32), y.astype(np.float32), sample_weight=weights)
        assert model.theta_.dtype == np.float32
        assert "validation_r2" in model.history_.columns
        assert model.score(X, y) > 0.8


def test_in_pipelines_and_searches() -> None:
    search = GridSearchCV(
        make_pipeline(StandardScaler(), MLPRegressor(solver="br", **QUIET)),
        {"mlpregressor__hidden_layer_sizes": [(2,), (6,)]}, cv=3,
    ).fit(X, y)  # fmt: skip
    assert search.best_score_ > 0.9
    assert not hasattr(clone(search.best_estimator_[-1]), "posterior_")


def test_the_posterior_survives_files(tmp_path: Path) -> None:
    fit = make_pipeline(StandardScaler(), MLPRegressor(hidden_layer_sizes=(4,), solver="br", **QUIET)).fit(X, y)
    save_pipeline(tmp_path / "p.skops", fit)
    expected = fit.predict(X, return_std=True)
    for copy in (load_pipeline(tmp_path / "p.skops"), pickle.loads(pickle.dumps(fit))):
        np.testing.assert_array_equal(copy.predict(X, return_std=True), expected)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lm", "br"])
def test_classifiers_are_told_what_to_take(solver: str) -> None:
    with pytest.raises(GlassnetError, match=rf"'{solver}' minimises sums of squares.*cross_entropy.*Use 'lbfgs'"):
        MLPClassifier(solver=solver).fit(X, y > 0)


def test_another_loss_is_refused() -> None:
    with pytest.raises(GlassnetError, match=r"the loss huber is none.*'lbfgs'"):
        MLPRegressor(loss="huber", solver="lm").fit(X, y)


def test_batches_are_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'partial_fit'"):
        MLPRegressor(solver="lm").partial_fit(X, y)


def test_a_band_needs_a_solver_that_knows_it() -> None:
    model = fitted("lbfgs", max_iter=2000, tol=1e-3)
    assert model.posterior_ is None
    with pytest.raises(GlassnetError, match=r"the solver must be 'br' \(or 'lm'\) for the standard deviation.*'lbfgs'"):
        model.predict(X, return_std=True)
    with pytest.raises(AttributeError, match="effective_parameters_ is there after the solver 'br' or 'lm'"):
        model.effective_parameters_  # noqa: B018


def test_weights_that_are_not_determined_leave_no_band_but_a_fit() -> None:
    model = MLPRegressor(hidden_layer_sizes=(60,), solver="lm", alpha=0.0, **{**QUIET, "max_iter": 3})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(X, y)
    assert model.posterior_ is None
    with pytest.raises(GlassnetError, match=r"cannot be told: the data do not determine the weights.*method='br'"):
        model.predict(X, return_std=True)


def test_a_later_fit_forgets_the_posterior() -> None:
    model = fitted("br")
    model.set_params(solver="lbfgs", tol=1e-2).fit(X, y)
    assert model.posterior_ is None


def test_too_many_weights_are_refused() -> None:
    with pytest.raises(GlassnetError, match=r"weights: .* GB, and .* GB may be used"):
        MLPRegressor(hidden_layer_sizes=(1500, 1500), solver="br").fit(X, y)


def test_the_doors_agree() -> None:
    """The estimator's fit is `minimize` on its objective."""
    model = fitted("lm", alpha=0.8, tol=1e-6)
    objective = gn.Objective(model.network_, "squared_error", l2=0.8 / 80)
    posterior = gn.laplace(objective, model.theta_, X, y[:, None])
    np.testing.assert_allclose(posterior.predict_std(X).ravel(), model.predict(X, return_std=True)[1])
    assert np.abs(objective.value_and_grad(model.theta_, X, y[:, None])[1]).max() < 1e-3
