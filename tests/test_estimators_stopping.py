"""estimators/: when a fit stops, on which rows and on which score, and what is said where arguments conflict."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import scale

import glassnet as gn
from glassnet import MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError
from glassnet.estimators.options import SOLVERS

X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
X_cancer = scale(X_cancer)[:, :6]
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_diabetes, y_diabetes = scale(X_diabetes), scale(y_diabetes)
SMALL: dict[str, Any] = {"hidden_layer_sizes": (5, 4), "random_state": 0, "learning_rate_init": 0.02, "tol": 1e-3}
SPLIT: dict[str, Any] = {"X_val": X_cancer[400:], "y_val": y_cancer[400:]}


def stopped_by_hand(scores: Any, tol: float, patience: int) -> tuple[int, int]:
    """Return (the epoch after which more than `patience` in a row were no better by tol, the best epoch)."""
    for end in range(1, len(scores) + 1):
        tail = range(max(end - patience - 1, 0), end)
        if len(tail) == patience + 1 and all(scores[i] < max(scores[:i], default=-np.inf) + tol for i in tail):
            return end, int(np.argmax(scores[:end]))
    raise AssertionError("never stopped")


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name not in ("lm", "br")])  # least squares alone
@pytest.mark.parametrize("scoring", [None, "loss", "roc_auc"])
def test_every_solver_stops_on_any_score(solver: str, scoring: Any) -> None:
    rate = {"adagrad": 0.1, "sgd": 0.1}.get(solver, 0.03)
    model = MLPClassifier((8,), "tanh", solver=solver, learning_rate_init=rate, early_stopping=True, scoring=scoring)
    model.set_params(n_iter_no_change=3, tol=1e-4, alpha=0.0, max_iter=3000, random_state=0)
    model.fit(X_cancer[:400], y_cancer[:400], **SPLIT)
    scores, patience = np.array(model.validation_scores_), 3
    assert model.status_ == "converged"
    assert "did not improve" in model.stop_reason_
    assert stopped_by_hand(scores, 1e-4, patience) == (model.n_iter_, int(np.argmax(scores)))
    probabilities = model.predict_proba(SPLIT["X_val"])[:, 1]
    log = -np.mean(np.where(SPLIT["y_val"], np.log(probabilities), np.log(1 - probabilities)))
    brought_back = {"loss": -log, "roc_auc": roc_auc_score(SPLIT["y_val"], probabilities)}.get(
        scoring, model.score(SPLIT["X_val"], SPLIT["y_val"])
    )
    assert model.best_validation_score_ == pytest.approx(brought_back, rel=1e-6)
    column = "validation_accuracy" if scoring is None else f"validation_{scoring}"
    np.testing.assert_allclose(model.history_[column][-model.n_iter_ :], np.abs(scores))
    assert "validation_loss" in model.history_.columns


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_solver_sets_rows_aside_too(solver: str) -> None:
    model = MLPRegressor(hidden_layer_sizes=(20,), solver=solver, early_stopping=True, random_state=0, max_iter=2000)
    model.fit(X_diabetes, y_diabetes)
    assert model.t_ == model.n_iter_ * 397
    assert model.best_validation_score_ == max(model.validation_scores_)


def test_a_scorer_of_your_own_sees_labels_and_weights() -> None:
    labels = np.where(y_cancer, "benign", "malignant")
    seen = []

    def recall(estimator: Any, X: Any, y: Any, sample_weight: Any = None) -> float:
        seen.append((X.shape, set(y), None if sample_weight is None else sample_weight.sum()))
        return float(np.mean(estimator.predict(X)[y == "malignant"] == "malignant"))

    model = MLPClassifier(early_stopping=True, scoring=recall, **SMALL)
    model.fit(X_cancer, labels)
    assert seen[0] == ((57, 6), {"benign", "malignant"}, None)
    model.fit(X_cancer, labels, X_val=X_cancer, y_val=labels, sample_weight_val=np.full(569, 0.5))
    assert seen[-1] == ((569, 6), {"benign", "malignant"}, 284.5)
    assert model.best_validation_score_ == pytest.approx(recall(model, X_cancer, labels))
    assert "validation_score" in model.history_.columns


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("scoring", [None, "accuracy", "loss"])
def test_weights_of_held_out_rows(solver: str, scoring: Any) -> None:
    """A held-out row without weight is as good as none."""
    model = MLPClassifier(solver=solver, early_stopping=True, scoring=scoring, **SMALL, n_iter_no_change=4)
    weights = np.r_[np.ones(100), np.zeros(69)]
    one = clone(model).fit(X_cancer[:400], y_cancer[:400], **SPLIT, sample_weight_val=weights)
    few = {"X_val": X_cancer[400:500], "y_val": y_cancer[400:500]}
    other = clone(model).fit(X_cancer[:400], y_cancer[:400], **few)
    np.testing.assert_allclose(one.validation_scores_, other.validation_scores_, rtol=1e-9)
    np.testing.assert_allclose(one.theta_, other.theta_, rtol=1e-6)


def test_class_weight_counts_in_the_validation_score() -> None:
    model = MLPClassifier(class_weight={0: 0.0, 1: 1.0}, early_stopping=True, **SMALL)
    model.fit(X_cancer[:400], y_cancer[:400], **SPLIT)
    ones = SPLIT["y_val"] == 1
    assert model.best_validation_score_ == pytest.approx(np.mean(model.predict(SPLIT["X_val"])[ones] == 1))


def test_without_early_stopping_held_out_rows_decide_nothing() -> None:
    for solver in ("adam", "lbfgs"):
        model = MLPClassifier(solver=solver, alpha=10.0, **SMALL, max_iter=2000)
        alone = clone(model).fit(X_cancer[:400], y_cancer[:400])
        watched = clone(model).fit(X_cancer[:400], y_cancer[:400], **SPLIT)
        np.testing.assert_array_equal(watched.theta_, alone.theta_)
        assert {"validation_loss", "validation_accuracy"} <= set(watched.history_.columns)
        assert watched.history_["validation_accuracy"][-1] == watched.score(SPLIT["X_val"], SPLIT["y_val"])


def test_which_wins_is_said_once() -> None:
    data = X_cancer[:400], y_cancer[:400]
    model = MLPClassifier(early_stopping=True, validation_fraction=0.3, **SMALL)
    with pytest.warns(UserWarning, match="validation_fraction is not read: X_val and y_val win") as caught:
        model.fit(*data, **SPLIT)
    assert [one.filename for one in caught] == [__file__]  # at the line that called fit
    assert model.t_ == 400 * model.n_iter_  # all rows of X are learned
    model.set_params(validation_fraction=0.1).fit(*data, **SPLIT)  # as it comes, it is no conflict
    with pytest.warns(UserWarning, match="learning_rate_init is not read: the rule given as solver wins"):
        MLPClassifier(solver=gn.Adam(0.02), **SMALL).fit(*data)
    with pytest.warns(UserWarning, match="scoring is not read: nothing is held out"):
        MLPClassifier(scoring="f1", **SMALL).fit(*data)
    for half in ({"X_val": SPLIT["X_val"]}, {"y_val": SPLIT["y_val"]}):
        with pytest.raises(GlassnetError, match="X_val and y_val must be given together"):
            MLPClassifier().fit(*data, **half)
    with pytest.raises(GlassnetError, match="sample_weight_val needs the rows that it weighs"):
        MLPClassifier().fit(*data, sample_weight_val=np.ones(3))


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
@pytest.mark.parametrize("scoring", [["accuracy"], {"mine": "accuracy"}, 3], ids=str)
def test_several_scorers_are_refused(scoring: Any, solver: str) -> None:
    with pytest.raises(GlassnetError, match=r"scoring must be None, 'loss', one scorer's name or a function"):
        MLPClassifier(solver=solver, early_stopping=True, scoring=scoring, **SMALL).fit(X_cancer, y_cancer)
