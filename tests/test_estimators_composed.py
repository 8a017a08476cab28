"""Our estimators inside scikit-learn's: pipelines, searches, calibration, metadata routing, data frames."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_iris
from sklearn.exceptions import UnsetMetadataPassedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401  (what follows is experimental there)
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import brier_score_loss, log_loss
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, KFold, cross_validate
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler, scale

from glassnet import Autoencoder, Ensemble, MLPClassifier, MLPRegressor

FRAME, labels = load_iris(return_X_y=True, as_frame=True)
X, y = FRAME.to_numpy(), labels.to_numpy()
WEIGHTS = np.linspace(0.1, 3.0, len(y))
SHUFFLED = KFold(3, shuffle=True, random_state=0)

FITTED: dict[str, Any] = {"learning_rate_init": 0.03, "tol": 1e-2, "n_iter_no_change": 4, "max_iter": 1000}
FITTED |= {"random_state": 0}
CLASSIFIER = MLPClassifier((6,), **FITTED)
REGRESSOR = MLPRegressor(hidden_layer_sizes=(6,), **FITTED)
ALL = {
    "classifier": (CLASSIFIER, y, "alpha"),
    "regressor": (REGRESSOR, X[:, 3], "alpha"),
    "autoencoder": (Autoencoder((3, 2, 3), "tanh", **FITTED), None, "alpha"),
    "committee": (Ensemble(CLASSIFIER, 2, random_state=0), y, "estimator__alpha"),
    "ensemble": (Ensemble(REGRESSOR, 2, random_state=0), X[:, 3], "estimator__alpha"),
}
each = pytest.mark.parametrize(("model", "target", "alpha"), ALL.values(), ids=list(ALL))
classifiers = pytest.mark.parametrize("model", [ALL["classifier"][0], ALL["committee"][0]], ids=["one", "committee"])


def weights_of(model: Any) -> Any:
    """Return all parameters of a fitted estimator, or of all members."""
    return np.concatenate([one.theta_ for one in getattr(model, "members_", [model])])


# --- pipelines and searches ------------------------------------------------------------------------


@each
def test_a_pipeline_is_its_steps(model: Any, target: Any, alpha: str) -> None:
    pipeline = make_pipeline(StandardScaler(), clone(model)).fit(X, target)
    alone = clone(model).fit(scale(X), target)
    np.testing.assert_array_equal(weights_of(pipeline[-1]), weights_of(alone))
    assert pipeline.score(X, target) == alone.score(scale(X), target)
    assert not hasattr(clone(pipeline)[-1], "n_features_in_")
    assert clone(pipeline).get_params()[f"{pipeline.steps[-1][0]}__{alpha}"] == 1e-4


@each
def test_a_search_is_its_fits(model: Any, target: Any, alpha: str) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("net", clone(model))])
    search = GridSearchCV(pipeline, {f"net__{alpha}": [0.01, 100.0]}, cv=SHUFFLED).fit(X, target)
    for split, (train, test) in enumerate(SHUFFLED.split(X)):
        for i, value in enumerate((0.01, 100.0)):
            own = clone(pipeline).set_params(**{f"net__{alpha}": value})
            own.fit(X[train], None if target is None else target[train])
            score = own.score(X[test], None if target is None else target[test])
            assert search.cv_results_[f"split{split}_test_score"][i] == score
    best = clone(pipeline).set_params(**search.best_params_).fit(X, target)
    np.testing.assert_array_equal(weights_of(search.best_estimator_[-1]), weights_of(best[-1]))


@each
def test_successive_halving(model: Any, target: Any, alpha: str) -> None:
    pipeline = Pipeline([("scale", StandardScaler()), ("net", clone(model))])
    search = HalvingGridSearchCV(
        pipeline, {f"net__{alpha}": [0.1, 1.0, 1e3, 1e4]}, cv=SHUFFLED, factor=2, min_resources=60, random_state=0
    ).fit(X, target)
    assert search.n_candidates_ == [4, 2]
    assert search.n_resources_ == [60, 120]
    assert search.best_params_[f"net__{alpha}"] <= 1.0  # where the penalty is all, there is nothing to say


def test_epochs_are_a_resource() -> None:
    """More epochs for those that do well: `max_iter` is what a network is given to live on."""
    model = make_pipeline(StandardScaler(), MLPClassifier((6,), **FITTED))
    search = HalvingGridSearchCV(
        model, {"mlpclassifier__alpha": [0.01, 0.1, 10.0, 1000.0]}, cv=SHUFFLED, factor=2, random_state=0,
        resource="mlpclassifier__max_iter", min_resources=300, max_resources=1200,
    ).fit(X, y)  # fmt: skip
    assert search.n_resources_ == [300, 600, 1200]
    assert search.best_estimator_[-1].max_iter == 1200
    assert search.best_score_ > 0.9


@each
def test_cross_validation(model: Any, target: Any, alpha: str) -> None:
    pipeline = make_pipeline(StandardScaler(), model)
    found = cross_validate(pipeline, X, target, cv=SHUFFLED, return_estimator=True, return_train_score=True)
    for fitted, (train, test), score in zip(found["estimator"], SHUFFLED.split(X), found["test_score"], strict=True):
        own = clone(pipeline).fit(X[train], None if target is None else target[train])
        np.testing.assert_array_equal(weights_of(fitted[-1]), weights_of(own[-1]))
        assert score == own.score(X[test], None if target is None else target[test])


@classifiers
def test_calibration(model: Any) -> None:
    """An overconfident network's log loss falls, on rows that it has not seen."""
    noisy = np.where(np.random.default_rng(0).random(150) < 0.2, (y + 1) % 3, y)
    sure = clone(model)
    sure.set_params(**{name: 0.0 for name in sure.get_params() if name.endswith("alpha")})
    sure.set_params(**{name: (60,) for name in sure.get_params() if name.endswith("hidden_layer_sizes")})
    sure.set_params(**{name: 1e-4 for name in sure.get_params() if name.endswith("tol")})
    train, test = np.arange(0, 150, 2), np.arange(1, 150, 2)
    plain = sure.fit(scale(X)[train], noisy[train])
    calibrated = CalibratedClassifierCV(clone(sure), cv=3).fit(scale(X)[train], noisy[train])
    losses = [log_loss(noisy[test], one.predict_proba(scale(X)[test])) for one in (plain, calibrated)]
    assert losses[1] < 0.8 * losses[0]
    np.testing.assert_allclose(calibrated.predict_proba(X).sum(axis=1), 1.0)
    assert len(calibrated.calibrated_classifiers_) == 3


@classifiers
def test_calibration_of_what_is_fitted(model: Any) -> None:
    fitted = make_pipeline(StandardScaler(), clone(model)).fit(X[::2], y[::2] == 1)
    calibrated = CalibratedClassifierCV(FrozenEstimator(fitted)).fit(X[1::2], y[1::2] == 1)
    assert brier_score_loss(y == 1, calibrated.predict_proba(X)[:, 1]) < 0.1
    weighted = CalibratedClassifierCV(clone(model), cv=3).fit(X, y, sample_weight=WEIGHTS)
    plain = CalibratedClassifierCV(clone(model), cv=3).fit(X, y)
    assert not np.array_equal(weighted.predict_proba(X), plain.predict_proba(X))


# --- metadata routing ------------------------------------------------------------------------------


@each
def test_weights_are_routed(model: Any, target: Any, alpha: str) -> None:
    """Through a search and a pipeline to fits and scores, which are those of the weights handed over directly."""
    with sklearn.config_context(enable_metadata_routing=True):
        asks = clone(model).set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        pipeline = Pipeline([("scale", StandardScaler().set_fit_request(sample_weight=False)), ("net", asks)])
        routed = clone(pipeline).fit(X, target, sample_weight=WEIGHTS)
        search = GridSearchCV(pipeline, {f"net__{alpha}": [0.1]}, cv=SHUFFLED)
        search.fit(X, target, sample_weight=WEIGHTS)
    direct = clone(model).fit(scale(X), target, sample_weight=WEIGHTS)
    np.testing.assert_array_equal(weights_of(routed[-1]), weights_of(direct))
    assert not np.array_equal(weights_of(direct), weights_of(clone(model).fit(scale(X), target)))
    train, test = next(SHUFFLED.split(X))
    scaler = StandardScaler().fit(X[train])
    own = clone(model).set_params(**{alpha: 0.1})
    own.fit(scaler.transform(X[train]), None if target is None else target[train], WEIGHTS[train])
    held_out = scaler.transform(X[test]), None if target is None else target[test]
    score = own.score(*held_out, sample_weight=WEIGHTS[test])
    assert search.cv_results_["split0_test_score"][0] == score != own.score(*held_out)


@each
def test_weights_that_nobody_asked_for(model: Any, target: Any, alpha: str) -> None:
    with (
        sklearn.config_context(enable_metadata_routing=True),
        pytest.raises(UnsetMetadataPassedError, match=r"not explicitly set as requested or not"),
    ):
        make_pipeline(model).fit(X, target, sample_weight=WEIGHTS)


def test_weights_without_routing() -> None:
    pipeline = make_pipeline(StandardScaler(), clone(CLASSIFIER)).fit(X, y, mlpclassifier__sample_weight=WEIGHTS)
    direct = clone(CLASSIFIER).fit(scale(X), y, WEIGHTS)
    np.testing.assert_array_equal(pipeline[-1].theta_, direct.theta_)


@pytest.mark.parametrize("name", ["classifier", "regressor", "committee", "ensemble"])
def test_held_out_rows_are_routed(name: str) -> None:
    """X_val goes through the scaler on its way: scikit-learn's `transform_input` sees to it."""
    model, target, _ = ALL[name]
    stops = clone(model)
    stops.set_params(**{key: True for key in stops.get_params() if key.endswith("early_stopping")})
    own = {"X_val": X[1::2], "y_val": target[1::2], "sample_weight_val": WEIGHTS[1::2]}
    with sklearn.config_context(enable_metadata_routing=True):
        asks = clone(stops).set_fit_request(**dict.fromkeys(own, True))
        pipeline = Pipeline([("scale", StandardScaler()), ("net", asks)], transform_input=["X_val"])
        pipeline.fit(X[::2], target[::2], **own)
    scaler = StandardScaler().fit(X[::2])
    direct = clone(stops).fit(scaler.transform(X[::2]), target[::2], **own | {"X_val": scaler.transform(X[1::2])})
    np.testing.assert_array_equal(weights_of(pipeline[-1]), weights_of(direct))


def test_partial_fit_is_routed() -> None:
    asks = clone(CLASSIFIER)
    with sklearn.config_context(enable_metadata_routing=True):
        asks.set_partial_fit_request(sample_weight=True, classes=True)
        wanted = asks.get_metadata_routing().consumes("partial_fit", ["sample_weight", "classes"])
    assert wanted == {"sample_weight", "classes"}


# --- data frames -----------------------------------------------------------------------------------


def test_codes_are_data_frames() -> None:
    coder = Autoencoder((3, 2, 3), "tanh", **FITTED)
    pipeline = make_pipeline(StandardScaler(), coder, LogisticRegression()).set_output(transform="pandas")
    pipeline.fit(FRAME, labels)
    code = pipeline[:-1].transform(FRAME)
    assert isinstance(code, pd.DataFrame)
    assert list(code.columns) == ["autoencoder0", "autoencoder1"]
    assert code.index.equals(FRAME.index)
    assert list(pipeline[-1].feature_names_in_) == list(code.columns)
    assert list(pipeline[:-1].get_feature_names_out()) == list(code.columns)
    np.testing.assert_array_equal(code, clone(coder).fit(scale(X)).transform(scale(X)))


def test_columns_of_a_table() -> None:
    """Two columns become one number, the others pass: the frame keeps its index and everyone's names."""
    petals = ["petal length (cm)", "petal width (cm)"]
    coder = Autoencoder((1,), "identity", **FITTED)
    columns = make_column_transformer((coder, petals), remainder="passthrough", verbose_feature_names_out=False)
    shuffled = FRAME.sample(frac=1.0, random_state=0)
    mixed = columns.set_output(transform="pandas").fit_transform(shuffled)
    assert list(mixed.columns) == ["autoencoder0", "sepal length (cm)", "sepal width (cm)"]
    assert mixed.index.equals(shuffled.index)
    assert list(columns.named_transformers_["autoencoder"].feature_names_in_) == petals


@each
def test_names_are_learned(model: Any, target: Any, alpha: str) -> None:
    fitted = make_pipeline(StandardScaler(), model).set_output(transform="pandas").fit(FRAME, target)
    assert list(fitted[-1].feature_names_in_) == list(FRAME.columns)
    with pytest.raises(ValueError, match="feature names should match"):
        fitted[-1].score(FRAME.rename(columns=str.upper), target)
