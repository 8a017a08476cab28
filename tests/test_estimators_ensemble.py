"""estimators/ensemble.py: many networks at once, their mean and their spread."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.datasets import load_diabetes, load_iris, make_multilabel_classification
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, r2_score
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from glassnet import Ensemble, MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError
from glassnet.persistence import load_pipeline, save_pipeline

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = scale(X_iris)
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_diabetes, y_diabetes = scale(X_diabetes), scale(y_diabetes)
CLASSIFIER = MLPClassifier((5,), learning_rate_init=0.03, max_iter=2000, tol=1e-3)
REGRESSOR = MLPRegressor(hidden_layer_sizes=(10,), learning_rate_init=0.03, max_iter=2000, tol=1e-3)


PATIENT = MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, max_iter=5000, n_iter_no_change=5)


@parametrize_with_checks([Ensemble(CLASSIFIER, 2, random_state=0), Ensemble(PATIENT, 2, random_state=0)])
def test_check_estimator(estimator: Any, check: Any) -> None:
    check(estimator)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_member_is_the_network_alone(solver: str) -> None:
    model = Ensemble(clone(REGRESSOR).set_params(solver=solver, alpha=1.0, tol=0.01), 3, random_state=0)
    model.fit(X_diabetes, y_diabetes)
    assert len({member.random_state for member in model.members_}) == 3
    for member in model.members_:
        alone = clone(member).fit(X_diabetes, y_diabetes)
        np.testing.assert_allclose(member.theta_, alone.theta_, rtol=1e-9, atol=1e-12)
        assert (member.status_, member.n_iter_, member.t_) == (alone.status_, alone.n_iter_, alone.t_)
    mean, std = model.predict(X_diabetes, return_std=True)
    each = np.array([member.predict(X_diabetes) for member in model.members_])
    np.testing.assert_allclose(mean, each.sum(axis=0) / 3)
    np.testing.assert_allclose(std**2, np.square(each).mean(axis=0) - mean**2, atol=1e-12)
    np.testing.assert_array_equal(model.predict(X_diabetes), mean)
    assert model.score(X_diabetes, y_diabetes) == r2_score(y_diabetes, mean)
    again = clone(model).fit(X_diabetes, y_diabetes)
    np.testing.assert_array_equal(again.predict(X_diabetes), mean)


def test_the_mean_is_better_than_the_members() -> None:
    """The squared error of a mean is at most the mean of the squared errors (Krogh and Vedelsby 1995)."""
    model = Ensemble(REGRESSOR, 8, random_state=0).fit(X_diabetes[::2], y_diabetes[::2])
    mean, std = model.predict(X_diabetes[1::2], return_std=True)
    y = y_diabetes[1::2]
    each = np.mean([np.square(member.predict(X_diabetes[1::2]) - y) for member in model.members_], axis=0)
    np.testing.assert_allclose(np.square(mean - y), each - std**2, atol=1e-10)  # their ambiguity decomposition
    assert std.min() > 0.0


def test_probabilities() -> None:
    labels = np.array(["a", "b", "c"])[y_iris]
    model = Ensemble(CLASSIFIER, 4, random_state=1).fit(X_iris, labels)
    mean, std = model.predict_proba(X_iris, return_std=True)
    each = np.array([member.predict_proba(X_iris) for member in model.members_])
    np.testing.assert_allclose(mean, each.sum(axis=0) / 4)
    np.testing.assert_allclose(std, each.std(axis=0))
    assert model.classes_.tolist() == ["a", "b", "c"]
    np.testing.assert_array_equal(model.predict(X_iris), model.classes_[mean.argmax(axis=1)])
    np.testing.assert_allclose(np.exp(model.predict_log_proba(X_iris)), mean)
    assert model.score(X_iris, labels) == accuracy_score(labels, model.predict(X_iris)) > 0.9
    two = Ensemble(CLASSIFIER, 2, random_state=1).fit(X_iris, labels == "b")
    np.testing.assert_array_equal(two.predict(X_iris), two.predict_proba(X_iris)[:, 1] > 0.5)
    with pytest.raises(GlassnetError, match="return_std must be False for labels"):
        model.predict(X_iris, return_std=True)
    assert not hasattr(Ensemble(REGRESSOR), "predict_proba")


def test_several_outputs() -> None:
    X, Y = make_multilabel_classification(n_samples=80, n_features=6, random_state=0)
    model = Ensemble(CLASSIFIER, 2, random_state=0).fit(scale(X), Y)
    np.testing.assert_array_equal(model.predict(scale(X)), model.predict_proba(scale(X)) > 0.5)
    both = Ensemble(REGRESSOR, 2, random_state=0).fit(X_diabetes, np.c_[y_diabetes, -y_diabetes])
    assert [a.shape for a in both.predict(X_diabetes, return_std=True)] == [(442, 2), (442, 2)]
    with pytest.warns(DataConversionWarning) as caught:
        Ensemble(REGRESSOR, 3).fit(X_diabetes, y_diabetes[:, None])
    assert len(caught) == 1


def test_bootstrap_draws_rows() -> None:
    """Members that start alike and have one minimum differ by their rows alone."""
    linear = MLPClassifier((), solver="lbfgs", alpha=1.0, tol=1e-5, max_iter=5000)
    y = (y_iris == 1) * 1
    X = X_iris[:, :2]
    same = Ensemble(linear, 3, random_state=0).fit(X, y)
    assert same.predict_proba(X, return_std=True)[1].max() < 1e-3
    drawn = Ensemble(linear, 60, bootstrap=True, random_state=0).fit(X, y)
    spread = drawn.predict_proba(X, return_std=True)[1]
    rng = np.random.default_rng(0)
    rows = [rng.integers(0, 150, 150) for _ in range(60)]
    witness = [LogisticRegression(C=1.0).fit(X[i], y[i]).predict_proba(X) for i in rows]
    np.testing.assert_allclose(spread.mean(), np.std(witness, axis=0).mean(), rtol=0.2)
    weighted = Ensemble(linear, 3, bootstrap=True, random_state=0).fit(X, y, np.where(y == 1, 5.0, 1.0))
    assert weighted.predict_proba(X)[:, 1].mean() > drawn.predict_proba(X)[:, 1].mean() + 0.1


def test_held_out_rows_and_weights_reach_every_member() -> None:
    member = clone(CLASSIFIER).set_params(early_stopping=True, class_weight="balanced")
    model = Ensemble(member, 2, random_state=0)
    weights = np.linspace(0.5, 1.5, 100)
    held_out = {"X_val": X_iris[100:], "y_val": y_iris[100:] * 0 + 1, "sample_weight_val": np.ones(50)}
    model.fit(X_iris[:100], y_iris[:100], weights, **held_out)
    for one in model.members_:
        alone = clone(one).fit(X_iris[:100], y_iris[:100], weights, **held_out)
        assert one.validation_scores_ == alone.validation_scores_


def test_one_warning_for_all() -> None:
    model = Ensemble(clone(REGRESSOR).set_params(max_iter=2), 3, random_state=0)
    words = r"3 of 3 members: Stochastic Optimizer: Maximum iterations \(2\) reached"
    with pytest.warns(ConvergenceWarning, match=words) as caught:
        model.fit(X_diabetes, y_diabetes)
    assert [one.filename for one in caught] == [__file__]


def test_in_scikit_learns_company(tmp_path: Path) -> None:
    assert is_classifier(Ensemble(CLASSIFIER))
    assert is_regressor(Ensemble(REGRESSOR))
    assert not is_classifier(Ensemble(REGRESSOR))
    frame = pd.DataFrame(X_iris, columns=list("abcd"))
    model = Ensemble(CLASSIFIER, 2, random_state=0).fit(frame, y_iris)
    assert (model.n_features_in_, list(model.feature_names_in_)) == (4, list("abcd"))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(model)).predict(frame), model.predict(frame))
    assert cross_val_score(model, X_iris, y_iris, cv=3).min() > 0.8
    search = GridSearchCV(model, {"estimator__alpha": [0.1, 10.0], "n_members": [1, 2]}, cv=2).fit(X_iris, y_iris)
    assert set(search.best_params_) == {"estimator__alpha", "n_members"}
    pipeline = make_pipeline(StandardScaler(), model).fit(X_iris, y_iris)
    save_pipeline(tmp_path / "pipeline.skops", pipeline)
    again = load_pipeline(tmp_path / "pipeline.skops")
    np.testing.assert_array_equal(again.predict(X_iris), pipeline.predict(X_iris))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LogisticRegression(),), "estimator must be an MLPClassifier or an MLPRegressor, received LogisticRegression"),
        ((CLASSIFIER, 0), "n_members must be at least 1"),
        ((CLASSIFIER, 2.5), "n_members must be a whole number"),
        ((clone(CLASSIFIER).set_params(activation="rleu"),), "did you mean 'relu'"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(arguments: Any, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        Ensemble(*arguments).fit(X_iris, y_iris)
    with pytest.raises(GlassnetError, match="n_threads must be at least 1"):
        Ensemble(CLASSIFIER, n_threads=0).fit(X_iris, y_iris)
    with pytest.raises(GlassnetError, match="bootstrap must be True or False"):
        Ensemble(CLASSIFIER, bootstrap=1).fit(X_iris, y_iris)
    with pytest.raises(NotFittedError):
        Ensemble(CLASSIFIER).predict(X_iris)
