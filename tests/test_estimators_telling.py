"""estimators/telling.py: a warning points at the program that asked for the fit, and begins as scikit-learn's does."""

from __future__ import annotations

import re
import warnings
from typing import Any

import numpy as np
import pytest
from sklearn.neural_network import MLPRegressor as TheirRegressor

from glassnet import Autoencoder, Ensemble, MLPRegressor, train_many
from glassnet.estimators import finish_fit, plan_fit

X = np.random.default_rng(0).normal(size=(40, 3))
y = X[:, 0]


def planned(model: Any) -> None:
    plan = plan_fit(model, X, y)
    finish_fit(model, plan, train_many([plan])[0])


@pytest.mark.parametrize(
    "fit",
    [
        lambda: MLPRegressor(max_iter=1, random_state=0).fit(X, y),
        lambda: Autoencoder((2,), max_iter=1, random_state=0).fit(X),
        lambda: Ensemble(MLPRegressor(max_iter=1), 2, random_state=0).fit(X, y),
        lambda: planned(MLPRegressor(max_iter=1, random_state=0)),
        lambda: MLPRegressor(max_iter=2, batch_size=100, random_state=0).partial_fit(X, y),
        lambda: MLPRegressor(max_iter=1, scoring="r2", random_state=0).fit(X, y),
        lambda: MLPRegressor(max_iter=1, solver="br", alpha=3.0, random_state=0).fit(X, y),
    ],
    ids=["regressor", "autoencoder", "ensemble", "plan", "clipped", "scoring", "penalty"],
)
def test_a_warning_points_at_the_program(fit: Any) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fit()
    assert {one.filename for one in caught} == {__file__}


@pytest.mark.parametrize("kind", [TheirRegressor, MLPRegressor])
@pytest.mark.parametrize(
    ("words", "options"),
    [
        ("Stochastic Optimizer: Maximum iterations", {}),
        ("lbfgs failed to converge after 1 iteration", {"solver": "lbfgs"}),
        (r"Got .batch_size. .*It is going to be clipped", {"batch_size": 100}),
    ],
)
def test_scikit_learns_filters_fit_ours(kind: Any, words: str, options: dict[str, Any]) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kind(max_iter=1, random_state=0, **options).fit(X, y)
    assert [re.match(words, str(one.message)) is not None for one in caught].count(True) == 1
