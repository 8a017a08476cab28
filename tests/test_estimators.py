"""estimators/: scikit-learn's contract, and scikit-learn's numbers wherever the two compute the same thing."""

from __future__ import annotations

import pickle
from inspect import Parameter, signature
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from sklearn import neural_network
from sklearn.base import clone
from sklearn.datasets import make_multilabel_classification
from sklearn.exceptions import DataConversionWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, PoissonRegressor, Ridge
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from estimator_cases import (
    CONVERGED,
    X_cancer,
    X_diabetes,
    X_iris,
    both,
    both_pairs,
    data_for,
    y_cancer,
    y_diabetes,
    y_iris,
)
from glassnet import MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError
from glassnet.estimators.continuing import InverseScaling
from glassnet.persistence import load_pipeline, save_pipeline

# --- scikit-learn's own checks ---------------------------------------------------------------------


@parametrize_with_checks(
    [
        MLPClassifier(hidden_layer_sizes=(10,), learning_rate_init=0.01, max_iter=2000, tol=1e-3),
        MLPRegressor(hidden_layer_sizes=(20,), learning_rate_init=0.01, max_iter=5000, n_iter_no_change=5),
    ]
)
def test_check_estimator(estimator: Any, check: Any) -> None:
    """All checks, without expected failures.

    Settings are such that every fit ends by itself. check_sample_weight_equivalence holds because its few rows make
    one batch; with random mini-batches, rows and weights cannot be equivalent (see the next test for lbfgs).
    """
    check(estimator)


@both
def test_weights_stand_for_rows(kind: Any) -> None:
    X, y = data_for(kind)
    weights = np.arange(len(X)) % 3
    model = kind(hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, **CONVERGED)
    one, other = model.fit(X, y, weights), clone(model).fit(X.repeat(weights, axis=0), y.repeat(weights, axis=0))
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-12)
    np.testing.assert_allclose(one.theta_, other.theta_, atol=1e-5)


# --- the same as scikit-learn ----------------------------------------------------------------------


@both_pairs
def test_constructor(ours: Any, theirs: Any) -> None:
    mine, known = signature(ours).parameters, signature(theirs).parameters
    assert list(mine)[: len(known) + 1] == [*known, "engine"]  # ours come after theirs, by keyword alone
    assert {mine[name].kind for name in [*mine][len(known) :]} == {Parameter.KEYWORD_ONLY}
    for name, parameter in known.items():
        assert (mine[name].default, mine[name].kind) == (parameter.default, parameter.kind), name
    assert list(signature(ours.partial_fit).parameters)[:3] == ["self", "X", "y"]


@both_pairs
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
@pytest.mark.parametrize("sizes", [(), (5,), [4, 3], 6])
def test_the_start_is_scikit_learns(ours: Any, theirs: Any, activation: str, sizes: Any) -> None:
    X, y = data_for(ours)
    X = X.astype(np.float32)
    arguments = {"activation": activation, "hidden_layer_sizes": sizes, "random_state": 3}
    still = {"solver": "sgd", "learning_rate_init": 1e-300}  # a step of no length: the weights stay at their start
    extra = {"classes": [0, 1, 2]} if ours is MLPClassifier else {}
    one = ours(**arguments, **still).partial_fit(X, y, **extra)
    other = theirs(**arguments, **still).partial_fit(X, y, **extra)
    for mine, known in zip([*one.coefs_, *one.intercepts_], [*other.coefs_, *other.intercepts_], strict=True):
        assert mine.dtype == known.dtype == np.float32
        np.testing.assert_array_equal(mine, known)


@both_pairs
@pytest.mark.parametrize(
    "change",
    [
        {"solver": "sgd"},
        {"solver": "sgd", "nesterovs_momentum": False},
        {"solver": "sgd", "momentum": 0.0, "learning_rate": "invscaling"},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.05},
        {"solver": "sgd", "activation": "logistic", "hidden_layer_sizes": (5, 4)},
        {"solver": "adam", "activation": "relu"},
        {"solver": "adam", "beta_1": 0.5, "beta_2": 0.9, "n_iter_no_change": 2},
    ],
    ids=str,
)
def test_every_epoch_is_scikit_learns(ours: Any, theirs: Any, change: dict[str, Any]) -> None:
    """Where a batch holds all rows nothing is random: the whole run must agree, its end too."""
    X, y = data_for(ours)
    arguments = {"hidden_layer_sizes": (6,), "activation": "tanh", "learning_rate_init": 0.05, "alpha": 0.5}
    arguments |= {"random_state": 1, "tol": 1e-3, "n_iter_no_change": 3, "max_iter": 3000} | change
    one, other = ours(**arguments).fit(X, y), theirs(**arguments).fit(X, y)
    assert (one.n_iter_, one.t_) == (other.n_iter_, other.t_)
    # Adam: scikit-learn adds epsilon to the uncorrected root, glassnet to the corrected one
    tolerance = 1e-9 if change["solver"] == "sgd" else 1e-4
    np.testing.assert_allclose(one.loss_curve_, other.loss_curve_, rtol=tolerance)
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], rtol=0, atol=10 * tolerance)
    assert one.best_loss_ == pytest.approx(other.best_loss_, rel=tolerance)
    for name in ("n_layers_", "n_outputs_", "out_activation_", "n_features_in_"):
        assert getattr(one, name) == getattr(other, name), name


def test_early_stopping_is_scikit_learns() -> None:
    labels = np.where(y_cancer, "benign", "malignant")
    arguments = {"solver": "sgd", "batch_size": 512, "early_stopping": True, "random_state": 0, "n_iter_no_change": 4}
    one = MLPClassifier(hidden_layer_sizes=(5,), **arguments).fit(X_cancer, labels)
    other = neural_network.MLPClassifier(hidden_layer_sizes=(5,), **arguments).fit(X_cancer, labels)
    np.testing.assert_allclose(one.validation_scores_, other.validation_scores_)
    assert one.best_validation_score_ == pytest.approx(other.best_validation_score_)
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], atol=1e-9)  # the best weights came back
    assert (one.best_loss_, other.best_loss_) == (None, None)
    assert one.predict(X_cancer[:9]).tolist() == other.predict(X_cancer[:9]).tolist()


@both_pairs
def test_the_minimum_is_scikit_learns(ours: Any, theirs: Any) -> None:
    X, y = data_for(ours)
    arguments = {"hidden_layer_sizes": (), "solver": "lbfgs", "alpha": 2.0, **CONVERGED}
    one, other = ours(**arguments).fit(X, y), theirs(**arguments).fit(X, y)
    assert one.status_ == "converged"
    assert one.loss_ == pytest.approx(other.loss_, rel=1e-6)
    assert one.loss_ <= other.loss_ + 1e-12
    np.testing.assert_allclose(one.coefs_[0], other.coefs_[0], atol=2e-3)
    assert (
        (one.predict(X) == other.predict(X)).all()
        if ours is MLPClassifier
        else one.score(X, y) == pytest.approx(other.score(X, y), abs=1e-5)
    )


def test_linear_models() -> None:
    """Without hidden layers the network is a generalised linear model, whose minimum is scikit-learn's."""
    arguments = {"hidden_layer_sizes": (), "solver": "lbfgs", **CONVERGED}
    m = len(X_diabetes)
    ridge = Ridge(alpha=3.0).fit(X_diabetes, y_diabetes)
    model = MLPRegressor(alpha=3.0, **arguments).fit(X_diabetes, y_diabetes)
    np.testing.assert_allclose(model.coefs_[0].ravel(), ridge.coef_, atol=1e-5)
    counts = np.random.default_rng(0).poisson(np.exp(0.5 * X_diabetes[:, 2]))
    glm = PoissonRegressor(alpha=0.1, tol=1e-9, max_iter=1000).fit(X_diabetes, counts)
    model = MLPRegressor("poisson", alpha=0.1 * m, **arguments).fit(X_diabetes, counts)
    np.testing.assert_allclose(model.coefs_[0].ravel(), glm.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict(X_diabetes), glm.predict(X_diabetes), rtol=1e-4)
    assert model.out_activation_ == "exp"
    logistic = LogisticRegression(C=0.5, tol=1e-9, max_iter=1000).fit(X_cancer, y_cancer)
    network = MLPClassifier(alpha=2.0, **arguments).fit(X_cancer, y_cancer)
    np.testing.assert_allclose(network.predict_proba(X_cancer), logistic.predict_proba(X_cancer), atol=1e-4)
    np.testing.assert_allclose(network.predict_log_proba(X_cancer), np.log(network.predict_proba(X_cancer)))


# --- kinds of data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [["x", "y", "z"], [10, -1, 7], [0.0, 1.0, 2.0], [False, True, True]], ids=str)
def test_labels_come_back(labels: list[Any]) -> None:
    y = np.array(labels)[y_iris]
    model = MLPClassifier((), solver="lbfgs", alpha=0.1, **CONVERGED).fit(X_iris, y)
    assert model.classes_.tolist() == sorted(set(labels))
    assert set(model.predict(X_iris).tolist()) == set(labels)
    assert model.predict_proba(X_iris).shape == (150, len(model.classes_))
    np.testing.assert_allclose(model.predict_proba(X_iris).sum(axis=1), 1.0)


def test_several_labels_a_row() -> None:
    X, Y = make_multilabel_classification(n_samples=80, n_features=6, random_state=0)
    model = MLPClassifier((20,), "tanh", solver="lbfgs", alpha=0.1, max_iter=2000, random_state=0).fit(scale(X), Y)
    assert model.out_activation_ == "logistic"
    assert model.score(scale(X), Y) > 0.95
    assert model.predict(scale(X)).shape == Y.shape
    step = MLPClassifier((20,), random_state=0)
    for _ in range(2):
        step.partial_fit(scale(X), Y, classes=np.arange(5))
    assert step.predict(scale(X)).shape == Y.shape
    stopped = MLPClassifier((20,), early_stopping=True, n_iter_no_change=2, random_state=0).fit(scale(X), Y)
    assert 0 <= stopped.best_validation_score_ <= 1
    with pytest.raises(ValueError, match="Multioutput target data is not supported"):
        MLPClassifier().fit(X, Y + np.arange(5))


def test_several_targets_are_averaged() -> None:
    Y = np.column_stack([y_diabetes, -2.0 * y_diabetes])
    model = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs", alpha=0.0, **CONVERGED).fit(X_diabetes, Y)
    assert model.predict(X_diabetes).shape == Y.shape
    assert model.loss_ == pytest.approx(np.mean(0.5 * (model.predict(X_diabetes) - Y) ** 2))
    with pytest.warns(DataConversionWarning):
        model.fit(X_diabetes, y_diabetes[:, None])
    assert model.predict(X_diabetes).shape == y_diabetes.shape


@both
@pytest.mark.parametrize("form", [sparse.csr_matrix, sparse.csc_matrix, sparse.csr_array])
def test_sparse_is_dense(kind: Any, form: Any) -> None:
    X, y = data_for(kind)
    X = np.where(X > 0, X, 0.0)
    model = kind(hidden_layer_sizes=(5,), solver="lbfgs", alpha=1.0, tol=0.01, max_iter=1000, random_state=0)
    dense = clone(model).fit(X, y)
    loose = clone(model).fit(form(X), y)
    np.testing.assert_array_equal(loose.theta_, dense.theta_)
    np.testing.assert_array_equal(loose.predict(form(X)), dense.predict(X))


@both
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
def test_float32_is_kept(kind: Any, solver: str) -> None:
    X, y = data_for(kind)
    model = kind(hidden_layer_sizes=(4,), solver=solver, tol=0.01, n_iter_no_change=3, max_iter=2000, random_state=0)
    single = clone(model).fit(X.astype(np.float32), y)
    assert {array.dtype for array in single.coefs_ + single.intercepts_} == {np.dtype(np.float32)}
    assert model.fit(X, y).coefs_[0].dtype == np.float64
    outputs = "predict_proba" if kind is MLPClassifier else "predict"
    assert getattr(single, outputs)(X.astype(np.float32)).dtype == np.float32
    assert getattr(single, outputs)(X).dtype == np.float32


@both
def test_feature_names(kind: Any) -> None:
    X, y = data_for(kind)
    frame = pd.DataFrame(X, columns=[f"column {i}" for i in range(X.shape[1])])
    model = kind(hidden_layer_sizes=(), solver="lbfgs", alpha=1.0, **CONVERGED).fit(frame, y)
    assert model.feature_names_in_.tolist() == list(frame.columns)
    np.testing.assert_array_equal(model.predict(frame), model.predict(frame))
    with pytest.raises(ValueError, match="feature names should match"):
        model.predict(frame.rename(columns={"column 0": "other"}))
    with pytest.warns(UserWarning, match="does not have valid feature names"):
        model.predict(X)


def test_one_class_is_certain() -> None:
    model = MLPClassifier((3,), learning_rate_init=0.1, random_state=0).fit(X_iris, np.full(150, "only"))
    assert set(model.predict(X_iris)) == {"only"}
    assert model.predict_proba(X_iris).shape == (150, 1)


# --- in scikit-learn's company ---------------------------------------------------------------------


@both
def test_copies(kind: Any, tmp_path: Path) -> None:
    X, y = data_for(kind)
    model = kind(hidden_layer_sizes=(5,), tol=1e-2, n_iter_no_change=3, random_state=0)
    assert clone(model).get_params() == model.get_params()
    model.fit(X, y)
    joblib.dump(model, tmp_path / "model")
    for copy in (pickle.loads(pickle.dumps(model)), joblib.load(tmp_path / "model")):
        np.testing.assert_array_equal(copy.predict(X), model.predict(X))
    copy.partial_fit(X, y)
    np.testing.assert_array_equal(copy.theta_, model.partial_fit(X, y).theta_)
    save_pipeline(tmp_path / "pipeline.skops", make_pipeline(StandardScaler(), model).fit(X, y))
    np.testing.assert_array_equal(load_pipeline(tmp_path / "pipeline.skops")[-1].theta_, model.theta_)


@both
def test_pipelines_and_searches(kind: Any) -> None:
    X, y = data_for(kind)
    model = make_pipeline(StandardScaler(), kind(hidden_layer_sizes=(5,), solver="lbfgs", tol=1e-2, max_iter=2000))
    name = f"{kind.__name__.lower()}__alpha"
    search = GridSearchCV(model, {name: [1.0, 10.0]}, cv=3).fit(X, y)
    assert search.best_params_[name] in (1.0, 10.0)
    model.set_params(**{name: 1.0})
    scores = cross_validate(model, X, y, cv=2, n_jobs=2, return_train_score=True)
    assert scores["train_score"].min() > 0.4


def test_coefs_are_views() -> None:
    model = MLPClassifier((3,), solver="lbfgs", alpha=1.0, **CONVERGED)
    for name in ("coefs_", "intercepts_"):
        with pytest.raises(NotFittedError):
            getattr(model, name)
    model.fit(X_iris, y_iris)
    model.coefs_[0][:] = 0.0
    model.intercepts_[0][:] = 0.0
    assert np.ptp(model.predict_proba(X_iris), axis=0).max() == 0.0


# --- wrong arguments -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": "rleu"}, "unknown activation 'rleu': did you mean 'relu'"),
        ({"activation": None}, "unknown activation None"),
        ({"solver": "adm"}, "unknown solver 'adm': did you mean 'adam'"),
        ({"loss": "poison"}, "unknown loss 'poison': did you mean 'poisson'"),
        ({"learning_rate": "invscale"}, "unknown learning_rate 'invscale': did you mean 'invscaling'"),
        ({"engine": "nump"}, "engine"),
        ({"hidden_layer_sizes": (5, 0)}, r"hidden_layer_sizes must be positive whole numbers, received \(5, 0\)"),
        ({"hidden_layer_sizes": 2.5}, "hidden_layer_sizes must be"),
        ({"hidden_layer_sizes": "5"}, "hidden_layer_sizes must be"),
        ({"alpha": -1.0}, "alpha must be a number of at least 0, received -1"),
        ({"alpha": "big"}, "alpha must be"),
        ({"alpha": np.nan}, "alpha must be"),
        ({"tol": np.inf}, "tol must be"),
        ({"power_t": None}, "power_t must be"),
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, received 0"),
        ({"batch_size": "all"}, "batch_size must be"),
        ({"max_iter": 0}, "max_iter must be"),
        ({"max_iter": np.inf}, "max_iter must be"),
        ({"max_iter": True}, "max_iter must be"),
        ({"max_fun": 2.0}, "max_fun must be"),
        ({"n_iter_no_change": -1}, "n_iter_no_change must be"),
        ({"learning_rate_init": 0.0}, "learning_rate_init must be a positive number"),
        ({"epsilon": 0}, "epsilon must be a positive number"),
        ({"momentum": 1.0}, r"momentum must be a number in \[0, 1\), received 1"),
        ({"beta_1": 1.5}, "beta_1 must be"),
        ({"beta_2": -0.5}, "beta_2 must be"),
        ({"validation_fraction": 1.0}, "validation_fraction must be"),
        ({"shuffle": "yes"}, "shuffle must be True or False, received 'yes'"),
        ({"warm_start": 1}, "warm_start must be True or False"),
        ({"early_stopping": None}, "early_stopping must be True or False"),
        ({"nesterovs_momentum": "no"}, "nesterovs_momentum must be True or False"),
        ({"early_stopping": True, "validation_fraction": 1e-4}, "The validation set is too small"),
    ],
    ids=str,
)
def test_wrong_arguments_are_named(change: dict[str, Any], message: str) -> None:
    model = MLPRegressor(**change)
    with pytest.raises(GlassnetError, match=message):
        model.fit(X_diabetes, y_diabetes)


@pytest.mark.parametrize(
    ("weights", "message"),
    [(np.zeros(442), "non-zero|positive sum"), (-np.ones(442), "at least 0"), (np.ones(3), "shape")],
)
def test_wrong_weights_are_named(weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MLPRegressor().fit(X_diabetes, y_diabetes, sample_weight=weights)


def test_wrong_targets_are_named() -> None:
    with pytest.raises(GlassnetError, match="Y must be nonnegative for the loss poisson"):
        MLPRegressor("poisson").fit(X_diabetes, y_diabetes)
    with pytest.warns(UserWarning, match="larger than the 150 samples. It is going to be clipped"):
        MLPClassifier((), batch_size=151, tol=0.1).fit(X_iris, y_iris)


def test_the_schedule_counts_epochs() -> None:
    rate = InverseScaling(1.0, 0.5, n_samples=99, batch_size=10)
    assert [rate(t) for t in (0, 9, 10, 19, 20)] == pytest.approx([1.0, 1.0, 0.1, 0.1, 199**-0.5])
    later = InverseScaling(1.0, 0.5, n_samples=99, batch_size=10, seen=99, steps=10, start=1.0)
    assert [later(t) for t in (10, 19, 20)] == pytest.approx([1.0, 1.0, 199**-0.5])
