"""estimators/: the arguments that scikit-learn's networks do not have, each beside something that knows the answer."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import GammaRegressor, HuberRegressor, Lasso, LogisticRegression, QuantileRegressor
from sklearn.preprocessing import scale
from threadpoolctl import threadpool_info

import glassnet as gn
from glassnet import MLPClassifier, MLPRegressor
from glassnet.activations import ACTIVATIONS
from glassnet.errors import GlassnetError
from glassnet.losses import LOSSES
from names import plain

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = scale(X_iris)
X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
X_cancer = scale(X_cancer)[:, :6]
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_diabetes, y_diabetes = scale(X_diabetes), scale(y_diabetes)
LINEAR: dict[str, Any] = {"hidden_layer_sizes": (), "solver": "lbfgs", "tol": 1e-9, "max_iter": 10_000}
SMALL: dict[str, Any] = {"hidden_layer_sizes": (5, 4), "random_state": 0, "learning_rate_init": 0.02, "tol": 1e-3}
EPOCHS: dict[str, Any] = {"random_state": 0, "n_iter_no_change": np.inf, "max_iter": 5}


def bump(z: Any) -> Any:
    return np.exp(-z * z)


def dbump(z: Any, a: Any) -> Any:
    return -2.0 * z * a


def wrong(z: Any, a: Any) -> Any:
    return -2.0 * a


def fitted(model: Any, X: Any = X_diabetes, y: Any = y_diabetes, **arguments: Any) -> Any:
    """Fit for a given number of epochs, whose warning says that they were all run."""
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        return model.fit(X, y, **arguments)


# --- activations -----------------------------------------------------------------------------------


def test_each_layer_has_its_activation() -> None:
    model = fitted(MLPRegressor(hidden_layer_sizes=(5, 4), activation=["tanh", "logistic"], **EPOCHS))
    assert [layer.function.name for layer in model.network_.layers] == ["tanh", "sigmoid", "identity"]
    first = np.tanh(X_diabetes @ model.coefs_[0] + model.intercepts_[0])
    second = 1 / (1 + np.exp(-first @ model.coefs_[1] - model.intercepts_[1]))
    np.testing.assert_allclose(model.activations(X_diabetes, 1), first, rtol=1e-12)
    np.testing.assert_allclose(model.activations(X_diabetes, -2), second, rtol=1e-12)
    np.testing.assert_allclose(model.predict(X_diabetes), (second @ model.coefs_[2] + model.intercepts_[2]).ravel())
    np.testing.assert_array_equal(model.activations(X_diabetes, 0), X_diabetes)
    for layer in (4, -5, 1.0, True):
        with pytest.raises(GlassnetError, match=r"layer must be a whole number from 0 \(the input\) to 3"):
            model.activations(X_diabetes, layer)


def test_a_layers_start_goes_by_its_activation() -> None:
    model = fitted(MLPRegressor(hidden_layer_sizes=(400, 400), activation=("tanh", "logistic"), engine="numpy",
                                solver=gn.SGD(1e-300), **EPOCHS))  # fmt: skip
    for l, factor in enumerate((6.0, 2.0, 2.0)):
        bound = np.sqrt(factor / sum(model.coefs_[l].shape))
        assert 0.95 * bound < np.abs(model.coefs_[l]).max() <= bound


def test_a_pair_of_functions_is_an_activation() -> None:
    model = MLPRegressor(hidden_layer_sizes=(6,), activation=(bump, dbump), solver="lbfgs", alpha=1.0, random_state=0)
    model.set_params(tol=1e-3, max_iter=5000).fit(X_diabetes[:, :3], y_diabetes)
    hidden = np.exp(-((X_diabetes[:, :3] @ model.coefs_[0] + model.intercepts_[0]) ** 2))
    np.testing.assert_allclose(model.activations(X_diabetes[:, :3], 1), hidden, rtol=1e-10)
    assert model.status_ == "converged"  # with a wrong derivative no solver finds a vanishing gradient
    again = pickle.loads(pickle.dumps(clone(model))).fit(X_diabetes[:, :3], y_diabetes)
    np.testing.assert_array_equal(again.theta_, model.theta_)
    mixed = MLPRegressor(hidden_layer_sizes=(3, 3), activation=["silu", (bump, dbump)], **EPOCHS)
    assert [layer.function.name for layer in fitted(mixed).network_.layers] == ["silu", "custom", "identity"]


def test_a_wrong_derivative_is_refused() -> None:
    with pytest.raises(GlassnetError, match=r"df\(z, a\) of your activation must be the derivative of f: -?0\.\d+ at"):
        MLPRegressor(activation=(bump, wrong)).fit(X_diabetes, y_diabetes)
    hinge = (lambda z: np.clip(z, -1, 1), lambda z, a: (np.abs(z) < 1) * 1.0)
    fitted(MLPRegressor(activation=hinge, **EPOCHS))
    with pytest.raises(GlassnetError, match=r"f\(z\) of your activation must be a finite number for each z"):
        MLPRegressor(activation=(np.sum, wrong)).fit(X_diabetes, y_diabetes)
    with pytest.raises(GlassnetError, match=r"f\(z\) of your activation must be a finite number"):
        MLPRegressor(activation=(np.log, lambda z, a: 1 / z)).fit(X_diabetes, y_diabetes)


@pytest.mark.parametrize("name", [name for name in ACTIVATIONS if name != "softmax"])
def test_every_activation_by_name(name: str) -> None:
    model = fitted(MLPRegressor(hidden_layer_sizes=(4,), activation=name, learning_rate_init=1e-3, **EPOCHS))
    assert model.network_.layers[0].function.name == name
    assert model.loss_curve_[-1] < model.loss_curve_[0]


def test_output_activation() -> None:
    model = fitted(MLPRegressor(output_activation="tanh", hidden_layer_sizes=(5,), **EPOCHS))
    z = model.activations(X_diabetes, 1) @ model.coefs_[1] + model.intercepts_[1]
    np.testing.assert_allclose(model.predict(X_diabetes), np.tanh(z).ravel())
    assert model.out_activation_ == "tanh"
    shares = MLPClassifier(output_activation="sigmoid", **SMALL).fit(X_iris, y_iris)
    odds = shares.activations(X_iris, -1)
    np.testing.assert_allclose(shares.predict_proba(X_iris), odds / odds.sum(axis=1, keepdims=True))
    with pytest.raises(GlassnetError, match="output_activation must be one that gives probabilities, received 'tanh'"):
        MLPClassifier(output_activation="tanh").fit(X_iris, y_iris)


# --- losses ----------------------------------------------------------------------------------------


def noisy(seed: int = 0) -> tuple[Any, Any]:
    """A line with noise that grows: x (2000, 1), y (2000,)."""
    rng = np.random.default_rng(seed)
    x = rng.uniform(0, 1, (2000, 1))
    return x, x.ravel() + (0.2 + x.ravel()) * rng.standard_normal(2000)


def test_a_quantile_covers_its_share() -> None:
    X, y = noisy()
    model = MLPRegressor({"name": "quantile", "q": 0.9}, (20,), learning_rate_init=0.01, random_state=0)
    X_new, y_new = noisy(1)
    below = y_new <= model.fit(X, y).predict(X_new)
    assert below.mean() == pytest.approx(0.9, abs=0.02)
    assert below[X_new.ravel() > 0.5].mean() == pytest.approx(0.9, abs=0.04)  # the band widens with the noise


def test_linear_models_with_other_losses() -> None:
    """Without hidden layers, scikit-learn's linear models are the witnesses."""
    X, y = X_diabetes[:, 2:4], y_diabetes
    lines = QuantileRegressor(quantile=0.9, alpha=0.0).fit(X, y)
    rule = {"solver": "adam", "learning_rate_init": 0.01, "max_iter": 2000, "tol": 1e-6, "random_state": 0}
    model = MLPRegressor({"name": "quantile", "q": 0.9}, (), alpha=0.0, **rule).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0].ravel(), lines.coef_, atol=0.03)
    heights = np.exp(0.3 * X[:, 0]) * np.random.default_rng(0).gamma(5.0, 0.2, len(X))
    gamma = GammaRegressor(alpha=0.1, tol=1e-9, max_iter=1000).fit(X, heights)
    model = MLPRegressor("gamma", alpha=0.1 * len(X), **LINEAR).fit(X, heights)
    np.testing.assert_allclose(model.coefs_[0].ravel(), gamma.coef_, atol=1e-5)
    np.testing.assert_allclose(model.predict(X), gamma.predict(X), rtol=1e-4)
    assert model.out_activation_ == "exp"
    huber = HuberRegressor(alpha=0.0, epsilon=1.35, tol=1e-9, max_iter=1000).fit(X, y)
    delta = {"name": "huber", "delta": 1.35 * huber.scale_}  # scikit-learn estimates a scale as well
    model = MLPRegressor(delta, alpha=0.0, **LINEAR).fit(X, y)
    np.testing.assert_allclose(model.coefs_[0].ravel(), huber.coef_, atol=1e-3)


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_loss_by_name(name: str) -> None:
    y = {"real": y_diabetes, "unit": y_diabetes > 0, "simplex": np.eye(2)[(y_diabetes > 0) * 1]}.get(
        LOSSES[name]().targets, y_diabetes - y_diabetes.min() + 0.1
    )
    model = fitted(MLPRegressor(name, (5,), learning_rate_init=1e-3, **EPOCHS), y=y)
    assert model.loss_curve_[-1] < model.loss_curve_[0]
    if LOSSES[name]().targets in ("unit", "simplex"):
        labels = (y_diabetes > 0) if name != "cross_entropy" else (y_diabetes > 0) + (y_diabetes > 1)
        classifier = fitted(MLPClassifier((5,), loss=name, learning_rate_init=1e-3, **EPOCHS), y=labels)
        assert classifier.loss_curve_[-1] < classifier.loss_curve_[0]


def test_a_loss_of_your_own() -> None:
    quartic = gn.losses.Loss("quartic", lambda a, y: 0.25 * (a - y) ** 4, lambda a, y: (a - y) ** 3)
    model = MLPRegressor(quartic, alpha=0.0, **LINEAR).fit(np.zeros((40, 1)), y_diabetes[:40])
    middle = model.predict(np.zeros((1, 1)))[0]
    assert np.sum((y_diabetes[:40] - middle) ** 3) == pytest.approx(0.0, abs=1e-4)
    pair = MLPRegressor((quartic.value, quartic.slope), alpha=0.0, **LINEAR).fit(np.zeros((40, 1)), y_diabetes[:40])
    assert pair.predict(np.zeros((1, 1)))[0] == pytest.approx(middle)


def test_label_smoothing_is_rows_with_both_labels() -> None:
    """Smoothing by e is the same as e/2 of each row with the other label."""
    model = MLPClassifier(loss={"name": "cross_entropy", "label_smoothing": 0.2}, alpha=1.0, **LINEAR)
    model.fit(X_cancer, y_cancer)
    weights = np.r_[np.full(len(y_cancer), 0.9), np.full(len(y_cancer), 0.1)]
    twice = LogisticRegression(C=1.0, tol=1e-9, max_iter=1000)
    twice.fit(np.r_[X_cancer, X_cancer], np.r_[y_cancer, 1 - y_cancer], weights)
    np.testing.assert_allclose(model.predict_proba(X_cancer), twice.predict_proba(X_cancer), atol=1e-4)
    assert model.network_.output_activation == "sigmoid"


def test_focal_loss_without_focus_is_cross_entropy() -> None:
    plain = MLPClassifier(alpha=1.0, **LINEAR).fit(X_cancer, y_cancer)
    same = MLPClassifier(loss={"name": "focal", "gamma": 0.0}, alpha=1.0, **LINEAR).fit(X_cancer, y_cancer)
    other = MLPClassifier(loss="focal", alpha=1.0, **LINEAR).fit(X_cancer, y_cancer)
    np.testing.assert_allclose(same.predict_proba(X_cancer), plain.predict_proba(X_cancer), atol=1e-5)
    assert np.abs(other.predict_proba(X_cancer) - plain.predict_proba(X_cancer)).max() > 0.01


# --- solvers and layers ----------------------------------------------------------------------------


def test_a_rule_as_solver() -> None:
    arguments = {"hidden_layer_sizes": (5,), **EPOCHS}
    named = fitted(MLPRegressor(solver="sgd", learning_rate_init=0.05, momentum=0.0, **arguments))
    given = fitted(MLPRegressor(solver=gn.SGD(0.05), **arguments))
    np.testing.assert_array_equal(given.theta_, named.theta_)
    clipped = fitted(MLPRegressor(solver=gn.ClipNorm(gn.SGD(0.05), 1e-3), **arguments))
    assert np.abs(clipped.theta_ - given.theta_).max() > 1e-3
    falling = fitted(MLPRegressor(solver=gn.Adam(gn.schedules.Cosine(0.01, 15)), **arguments))
    assert falling.history_["learning_rate"][-1] < 1e-3


def test_dropout_is_in_the_network_and_in_training_alone() -> None:
    model = fitted(MLPRegressor(hidden_layer_sizes=(30, 20), dropout=[0.5, 0.0], **EPOCHS))
    kinds = [type(layer).__name__ for layer in model.network_.layers]
    assert kinds == ["Dense", "Dropout", "Dense", "Dense"]
    assert model.network_.layers[1].rate == 0.5
    assert (model.n_layers_, [W.shape for W in model.coefs_]) == (4, [(10, 30), (30, 20), (20, 1)])
    hidden = np.maximum(X_diabetes @ model.coefs_[0] + model.intercepts_[0], 0)
    np.testing.assert_allclose(
        model.activations(X_diabetes, 2), np.maximum(hidden @ model.coefs_[1] + model.intercepts_[1], 0), rtol=1e-9
    )
    still = fitted(clone(model).set_params(dropout=0.0))
    assert np.abs(still.theta_ - model.theta_).max() > 1e-3
    with pytest.raises(GlassnetError, match=r"dropout must be 0 with the solver 'lbfgs'.*Rules such as 'adam' take it"):
        clone(model).set_params(solver="lbfgs").fit(X_diabetes, y_diabetes)


def test_batch_norm_keeps_statistics() -> None:
    model = MLPRegressor(hidden_layer_sizes=(4,), batch_norm=gn.BatchNorm(momentum=0.5, eps=1e-3), **EPOCHS)
    fitted(model, X_diabetes, y_diabetes)
    mean, var = model.state_[:4], model.state_[4:]
    hidden = np.maximum(X_diabetes @ model.coefs_[0] + model.intercepts_[0], 0)
    np.testing.assert_allclose(mean, hidden.mean(axis=0), atol=0.2)
    views = model.network_.views(model.theta_)
    normed = views["gamma2"] * (hidden - mean) / np.sqrt(var + 1e-3) + views["beta2"]
    np.testing.assert_allclose(model.predict(X_diabetes), (normed @ model.coefs_[1] + model.intercepts_[1]).ravel())
    before = model.state_.copy()
    model.partial_fit(X_diabetes + 1.0, y_diabetes)  # goes on from the statistics too
    assert 0.0 < np.abs(model.state_ - before).max() < 2.0
    solved = MLPRegressor(hidden_layer_sizes=(4,), activation="tanh", batch_norm=True, solver="lbfgs", alpha=1.0)
    solved.set_params(random_state=0, tol=1e-3, max_iter=2000).fit(X_diabetes, y_diabetes)
    hidden = np.tanh(X_diabetes @ solved.coefs_[0] + solved.intercepts_[0])
    np.testing.assert_allclose(solved.state_, np.r_[hidden.mean(axis=0), hidden.var(axis=0)], rtol=1e-9)


def test_layer_norm() -> None:
    model = fitted(MLPRegressor(hidden_layer_sizes=(6,), layer_norm=True, **EPOCHS))
    hidden = model.activations(X_diabetes, 1)
    centred = hidden - hidden.mean(axis=1, keepdims=True)
    views = model.network_.views(model.theta_)
    normed = views["gamma2"] * centred / np.sqrt(centred.var(axis=1, keepdims=True) + 1e-5) + views["beta2"]
    np.testing.assert_allclose(model.predict(X_diabetes), (normed @ model.coefs_[1] + model.intercepts_[1]).ravel())


def test_weight_init() -> None:
    arguments = {"hidden_layer_sizes": (300,), "solver": gn.SGD(1e-300), **EPOCHS}
    he = fitted(MLPRegressor(weight_init="he_normal", **arguments))
    assert he.coefs_[0].std() == pytest.approx(np.sqrt(2 / 10), rel=0.05)
    assert np.abs(he.intercepts_[0]).max() < 1e-200
    tiny = fitted(MLPRegressor(weight_init={"name": "normal", "std": 1e-3}, **arguments))
    assert tiny.coefs_[0].std() == pytest.approx(1e-3, rel=0.05)


def test_l1_is_the_lasso() -> None:
    X = X_diabetes[:, :5]
    lasso = Lasso(alpha=0.2, tol=1e-10).fit(X, y_diabetes)
    arguments = {**LINEAR, "solver": gn.SGD(gn.schedules.Cosine(0.1, 2000)), "batch_size": 442, "max_iter": 2000}
    arguments |= {"tol": 0.0, "n_iter_no_change": np.inf}
    model = fitted(MLPRegressor(alpha=0.0, l1=0.2 * len(X), **arguments), X)
    np.testing.assert_allclose(model.coefs_[0].ravel(), lasso.coef_, atol=2e-3)
    assert (lasso.coef_ == 0).any()


# --- weights ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["lbfgs", "adam", "sgd"])
@pytest.mark.parametrize("class_weight", ["balanced", {0: 3.0, 2: 0.5}], ids=str)
def test_class_weight_is_sample_weight(solver: str, class_weight: Any) -> None:
    X, y = X_iris[:120], y_iris[:120]  # 50, 50, 20
    shares = {0: 120 / 150, 1: 120 / 150, 2: 120 / 60} if class_weight == "balanced" else {1: 1.0, **class_weight}
    weights = np.array([shares[label] for label in y])
    model = MLPClassifier(solver=solver, class_weight=class_weight, alpha=1.0, **SMALL, max_iter=2000).fit(X, y)
    same = clone(model).set_params(class_weight=None).fit(X, y, weights)
    np.testing.assert_allclose(model.theta_, same.theta_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(model.class_weight_, [shares[k] for k in range(3)])
    other = clone(model).set_params(class_weight=None).fit(X, y)
    assert np.abs(model.theta_ - other.theta_).max() > 1e-3
    rows = np.linspace(0.1, 2.0, 120)
    if class_weight != "balanced":  # both count
        both = clone(model).fit(X, y, rows)
        np.testing.assert_allclose(both.theta_, clone(same).fit(X, y, rows * weights).theta_, rtol=1e-9, atol=1e-12)


def test_class_weight_of_partial_fit() -> None:
    weights = np.where(y_iris == 1, 5.0, 1.0)
    model = MLPClassifier(class_weight={1: 5.0}, **SMALL)
    same = MLPClassifier(**SMALL)
    for part in (slice(0, 100), slice(40, 150)):
        model.partial_fit(X_iris[part], y_iris[part], classes=[0, 1, 2])
        same.partial_fit(X_iris[part], y_iris[part], weights[part], classes=[0, 1, 2])
    np.testing.assert_allclose(model.theta_, same.theta_, rtol=1e-9)
    with pytest.raises(GlassnetError, match="class_weight of partial_fit must be a dictionary, or None"):
        MLPClassifier(class_weight="balanced").partial_fit(X_iris, y_iris, classes=[0, 1, 2])
    with pytest.raises(GlassnetError, match="class_weight must be None for several labels a row"):
        MLPClassifier(class_weight="balanced").fit(X_iris, np.eye(3, dtype=int)[y_iris])
    other = clone(model).fit(X_iris, y_iris).set_params(class_weight="balanced")
    with pytest.raises(GlassnetError, match="class_weight of partial_fit must be a dictionary, or None"):
        other.partial_fit(X_iris, y_iris)  # what was learned from a dictionary is not balanced
    words = MLPClassifier(class_weight={"no": 2.0, "yes": 1.0}, solver="lbfgs", alpha=1.0, **SMALL, max_iter=2000)
    words.fit(X_iris, np.where(y_iris, "yes", "no"))
    assert words.class_weight_.tolist() == [2.0, 1.0]


# --- machinery -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", np.float64])
def test_dtype(dtype: Any) -> None:
    model = fitted(MLPRegressor(dtype=dtype, hidden_layer_sizes=(4,), **EPOCHS), X_diabetes.astype(np.float32))
    assert model.theta_.dtype == model.predict(X_diabetes).dtype == np.dtype(dtype)


@pytest.mark.parametrize("n_threads", [1, 2])
def test_threads_of_a_solver_are_limited(n_threads: int) -> None:
    seen = set()

    def look(record: Any) -> None:
        seen.update(pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas")

    model = MLPRegressor(solver="lbfgs", alpha=1.0, n_threads=n_threads, callbacks=[look], tol=0.1, max_iter=500)
    model.fit(X_diabetes, y_diabetes)
    assert max(seen) <= n_threads


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_time_budget_ends_a_fit(solver: str) -> None:
    model = MLPRegressor(solver=solver, time_budget=1e-9, random_state=0)
    with pytest.warns(ConvergenceWarning, match="ended early: the time budget of 1e-09 s is used up;") as caught:
        model.fit(X_diabetes, y_diabetes)
    assert caught[0].filename == __file__
    assert (model.status_, model.n_iter_) == ("stopped", 1 if solver == "adam" else 0)
    assert "time budget" in model.stop_reason_


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_callbacks_see_every_epoch(solver: str) -> None:
    seen: list[Any] = []
    model = MLPRegressor(solver=solver, alpha=1.0, callbacks=[seen.append, gn.TargetReached(0.2)], random_state=0)
    model.set_params(max_iter=1000).fit(X_diabetes, y_diabetes)  # no warning: the end was asked for
    assert [record.loss for record in seen] == model.history_["loss"].tolist()
    assert model.loss_ <= 0.2 < model.loss_curve_[-2]
    assert "reached" in model.stop_reason_


def test_callbacks_may_change_the_rate() -> None:
    halve = gn.ReduceOnPlateau(0.5, patience=1, min_delta=100.0)
    model = fitted(MLPRegressor(solver="sgd", learning_rate_init=0.01, callbacks=(halve,), **EPOCHS))
    np.testing.assert_allclose(model.history_["learning_rate"], 0.01 * 0.5 ** np.array([0, 0, 1, 2, 3]))
    best = gn.EarlyStopping(patience=2, monitor="validation_loss")
    model = MLPRegressor(callbacks=[best], learning_rate_init=0.1, random_state=0)
    model.fit(X_diabetes[:80], y_diabetes[:80], X_val=X_diabetes[80:], y_val=y_diabetes[80:])  # ended by a wish
    assert model.history_["validation_loss"].argmin() == len(model.history_) - 3
    assert model.stop_reason_.startswith("validation_loss has not improved")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"activation": ["relu"]}, r"activation must be one for each of the 2 hidden layers, received 1: \['relu'\]"),
        ({"activation": ["relu", "rleu"]}, "unknown activation 'rleu': did you mean 'relu'"),
        ({"activation": (bump, "tanh")}, "pair of functions"),
        ({"output_activation": "sofmax"}, "unknown activation 'sofmax': did you mean 'softmax'"),
        ({"dropout": 1.0}, r"dropout must be a rate in \[0, 1\), received 1.0"),
        ({"dropout": [0.1]}, "dropout must be a rate for each of the 2 hidden layers"),
        ({"dropout": "0.5"}, "dropout must be a rate"),
        ({"dropout": 0.5, "hidden_layer_sizes": ()}, "dropout must be 0 without a hidden layer"),
        ({"batch_norm": 1}, "batch_norm must be True, False or a BatchNorm"),
        ({"layer_norm": "yes"}, "layer_norm must be True, False or a LayerNorm"),
        ({"batch_norm": True, "layer_norm": True}, "batch_norm and layer_norm exclude each other"),
        ({"weight_init": "he_norm"}, "unknown initializer 'he_norm': did you mean 'he_normal'"),
        ({"l1": -1.0}, "l1 must be a number of at least 0"),
        ({"loss": {"name": "quantile", "q": 2.0}}, "q of quantile must be between 0 and 1"),
        ({"loss": "binary_cross_entropy", "output_activation": "identity"}, "needs outputs in"),
        ({"dtype": "float16"}, "unknown dtype 'float16'.*Known: float32, float64"),
        ({"n_threads": 0}, "n_threads must be at least 1"),
        ({"time_budget": 0}, "time_budget must be a positive number of seconds"),
        ({"callbacks": gn.EarlyStopping()}, "callbacks must be a list"),
        ({"callbacks": ["stop"]}, "each callback must be EarlyStopping"),
        ({"scoring": "rocauc", "early_stopping": True}, "scoring"),
    ],
    ids=plain,
)
def test_wrong_options_are_named(change: dict[str, Any], message: str) -> None:
    model = MLPRegressor(hidden_layer_sizes=(3, 3)).set_params(**change)
    with pytest.raises(ValueError, match=message):
        model.fit(X_diabetes, y_diabetes)
