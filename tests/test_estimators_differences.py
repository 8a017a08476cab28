"""docs/differences.md: what it says of scikit-learn and of us is so (its examples run as doctests besides)."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn import neural_network
from sklearn.datasets import load_iris

import glassnet
from glassnet.errors import GlassnetError

X, y = load_iris(return_X_y=True)
BRIEF: dict[str, Any] = {"hidden_layer_sizes": (4,), "random_state": 0, "tol": 1e9, "n_iter_no_change": 3}


def pair(name: str, **options: Any) -> list[Any]:
    return [getattr(module, name)(**BRIEF | options) for module in (glassnet, neural_network)]


def test_three_classes_are_held_out_in_proportion() -> None:
    """A class of one row cannot be: so it is refused by us, for two classes by both."""
    single = np.r_[y[:-50], [2]]
    ours, theirs = pair("MLPClassifier", early_stopping=True)
    with pytest.raises(ValueError, match="least populated"):
        ours.fit(X[: len(single)], single)
    theirs.fit(X[: len(single)], single)
    with pytest.raises(ValueError, match="least populated"):
        theirs.fit(X[:51], y[:51])


def test_a_batch_without_weight() -> None:
    weights = np.repeat([0.0, 1.0, 2.0], 50)
    ours, theirs = pair("MLPClassifier", batch_size=50, shuffle=False)
    with pytest.raises(ZeroDivisionError):
        theirs.fit(X, y, weights)
    assert ours.fit(X, y, weights).status_ == "converged"


def test_float32_after_lbfgs() -> None:
    ours, theirs = (model.fit(X.astype(np.float32), y) for model in pair("MLPClassifier", solver="lbfgs", tol=0.5))
    assert (ours.coefs_[0].dtype, theirs.coefs_[0].dtype) == (np.float32, np.float64)


def test_lbfgs_by_steps() -> None:
    ours, theirs = pair("MLPRegressor", solver="lbfgs")
    assert (hasattr(ours, "partial_fit"), hasattr(theirs, "partial_fit")) == (False, True)


def test_lbfgs_stops_early() -> None:
    ours, theirs = (
        model.fit(X, y) for model in pair("MLPClassifier", solver="lbfgs", early_stopping=True, tol=0.5, max_iter=100)
    )
    assert len(ours.validation_scores_) > 0
    assert not hasattr(theirs, "validation_scores_")
    assert not hasattr(theirs, "loss_curve_")


def test_one_class() -> None:
    ours, theirs = (model.fit(X, np.zeros(150)) for model in pair("MLPClassifier"))
    assert ours.predict_proba(X).shape == (150, 1)
    assert theirs.predict_proba(X).shape == (150, 2)
    assert ours.classes_.tolist() == theirs.classes_.tolist() == [0.0]


def test_a_momentum_of_one() -> None:
    ours, theirs = pair("MLPRegressor", solver="sgd", momentum=1, learning_rate_init=1e-6)
    with pytest.raises(GlassnetError, match="momentum"):
        ours.fit(X, y)
    theirs.fit(X, y)


def test_rates_that_change_between_steps() -> None:
    """Ours takes the new rate, theirs goes on with the first one."""
    moved = []
    for model in pair("MLPRegressor", solver="sgd", momentum=0.0, learning_rate_init=1e-3):
        model.partial_fit(X, y)
        before = model.coefs_[0].copy()
        model.set_params(learning_rate_init=1e-300).partial_fit(X, y)
        moved.append(np.abs(model.coefs_[0] - before).max())
    assert moved[0] == 0.0
    assert moved[1] > 0.0
