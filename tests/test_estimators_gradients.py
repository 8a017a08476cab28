"""The gradient that an estimator descends, for several outputs: compared with differences of the loss it reports.

scikit-learn's squared error of k outputs is a mean over them, its gradient is that of their sum (issue #8349).
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.base import clone, is_classifier
from sklearn.exceptions import ConvergenceWarning

import glassnet
from glassnet import MLPRegressor
from glassnet.errors import GlassnetError

OUTPUTS = [1, 2, 3, 5]
rng = np.random.default_rng(0)
X = rng.normal(size=(12, 2))
WEIGHTS = rng.uniform(0.5, 2.0, 12)
REGRESSION: list[Any] = [
    "squared_error", "absolute_error", "huber", {"name": "quantile", "q": 0.8}, "poisson", "gamma",
]  # fmt: skip


def targets(kind: str, k: int) -> np.ndarray:
    """Targets of k outputs: positive numbers, or the labels that take k outputs."""
    if kind == "numbers":
        y = np.random.default_rng(k).uniform(0.5, 3.0, (12, k))
        return y if k > 1 else y.ravel()
    if kind == "classes":
        return np.arange(12) % (k if k > 1 else 2)
    return (np.arange(12)[:, None] + np.arange(k) ** 2) % 3 % 2


def go(model: Any, y: np.ndarray, weights: Any) -> Any:
    """One step with all rows; `loss_` is the loss before it."""
    extra = {"classes": np.arange(y.max() + 1 if y.ndim == 1 else y.shape[1])} if is_classifier(model) else {}
    return model.partial_fit(X, y, weights, **extra)


def flat(model: Any) -> np.ndarray:
    return np.concatenate([a.ravel() for a in [*model.coefs_, *model.intercepts_]])


def slope_taken(model: Any, y: np.ndarray, weights: Any) -> tuple[Any, np.ndarray]:
    """Return an estimator at its start, and the gradient there: what a step of plain descent with rate 1 takes off."""
    start = go(clone(model).set_params(learning_rate_init=1e-300), y, weights)
    return start, flat(start) - flat(go(clone(model).set_params(learning_rate_init=1.0), y, weights))


def differences(model: Any, y: np.ndarray, weights: Any, h: float = 1e-6) -> np.ndarray:
    """Return the central differences of the loss at the weights of this estimator."""

    def loss(number: int, index: Any, change: float) -> float:
        fresh = clone(model)
        fresh.coefs_, fresh.intercepts_ = ([a.copy() for a in arrays] for arrays in (model.coefs_, model.intercepts_))
        [*fresh.coefs_, *fresh.intercepts_][number][index] += change
        return float(go(fresh, y, weights).loss_)

    layers = [*model.coefs_, *model.intercepts_]
    places = [(number, index) for number, layer in enumerate(layers) for index in np.ndindex(layer.shape)]
    return np.array([(loss(*place, h) - loss(*place, -h)) / (2 * h) for place in places])


PLAIN: dict[str, Any] = {
    "hidden_layer_sizes": (2,), "activation": "tanh", "solver": "sgd", "momentum": 0.0, "alpha": 0.3,
    "random_state": 0,
}  # fmt: skip
CASES = {
    **{f"{loss} {k}": (glassnet.MLPRegressor(loss, **PLAIN), "numbers", k) for loss in REGRESSION for k in OUTPUTS},
    **{f"classes {k}": (glassnet.MLPClassifier(**PLAIN), "classes", k) for k in OUTPUTS},
    **{f"labels {k}": (glassnet.MLPClassifier(**PLAIN), "labels", k) for k in (2, 3, 5)},
    **{f"focal {k}": (glassnet.MLPClassifier(**PLAIN, loss="focal"), "classes", k) for k in (3, 5)},
}


@pytest.mark.parametrize("weights", [None, WEIGHTS], ids=["", "weighted"])
@pytest.mark.parametrize("case", list(CASES))
def test_the_step_is_the_gradient_of_the_loss(case: str, weights: Any) -> None:
    model, kind, k = CASES[case]
    y = targets(kind, k)
    start, taken = slope_taken(model, y, weights)
    np.testing.assert_allclose(taken, differences(start, y, weights), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("k", OUTPUTS)
def test_the_fault_of_scikit_learn_would_be_seen(k: int) -> None:
    """Its step is k times the gradient of its loss: right for one output, wrong for several."""
    y = targets("numbers", k)
    start, taken = slope_taken(neural_network.MLPRegressor(**PLAIN | {"alpha": 0.0}), y, None)
    ours = glassnet.MLPRegressor(**start.get_params())
    ours.coefs_, ours.intercepts_ = start.coefs_, start.intercepts_
    right = differences(go(ours, y, None), y, None)
    np.testing.assert_allclose(taken, k * right, rtol=1e-5, atol=1e-8)
    if k > 1:
        with pytest.raises(AssertionError):
            np.testing.assert_allclose(taken, right, rtol=1e-5, atol=1e-8)


def hinge(a: Any, y: Any) -> Any:
    return np.maximum(1 - a * y, 0)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e6])
@pytest.mark.parametrize("outputs", [1, 3])
def test_a_wrong_slope_of_a_loss_is_found_before_the_fit(solver: str, scale: float, outputs: int) -> None:
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(60, 3)), scale * rng.normal(size=(60, outputs))
    right = [
        (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y)),
        (
            lambda a, y: np.logaddexp(a / scale - y / scale, y / scale - a / scale),
            lambda a, y: np.tanh((a - y) / scale) / scale,
        ),
        (hinge, lambda a, y: -y * (a * y < 1)),
        (lambda a, y: np.abs(a - y), lambda a, y: np.sign(a - y)),
    ]
    options = {"hidden_layer_sizes": (3,), "solver": solver, "max_iter": 1, "tol": 1e9, "random_state": 0}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        for pair in right:
            MLPRegressor(pair, **options).fit(X, Y if outputs > 1 else Y[:, 0])
    wrong = (right[0][0], lambda a, y: 2.01 * (a - y))
    if scale > 1e-3:  # below, a hundredth is nothing beside 1
        with pytest.raises(
            GlassnetError, match=r"slope\(a, y\) of your loss must be the derivative of value: .* by diff"
        ):
            MLPRegressor(wrong, **options).fit(X, Y if outputs > 1 else Y[:, 0])
