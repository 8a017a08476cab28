"""search.py: scikit-learn's GridSearchCV is the witness, to the last bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_iris
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from glassnet import MLPClassifier
from glassnet.errors import GlassnetError
from glassnet.search import grid, spelled_out

X, y = load_iris(return_X_y=True)
FITTED = {"tol": 0.5, "n_iter_no_change": 4, "max_iter": 30, "random_state": 0, "learning_rate_init": 0.02}
SCORES = ("params", "split0_test_score", "split1_test_score", "mean_test_score", "std_test_score", "rank_test_score")


def same(ours: GridSearchCV, theirs: GridSearchCV) -> None:
    assert set(ours.cv_results_) == set(theirs.cv_results_)
    for name in SCORES:
        np.testing.assert_array_equal(ours.cv_results_[name], theirs.cv_results_[name])
    assert ours.best_params_ == theirs.best_params_


@pytest.mark.parametrize("engine", ["numpy", "numba"])
def test_scores_are_those_of_grid_search_cv(engine: str) -> None:
    model = MLPClassifier((6,), engine=engine, **FITTED)
    space = {"alpha": [1e-3, 1.0], "activation": ["tanh", "relu"]}
    theirs = GridSearchCV(model, space, cv=2).fit(X, y)
    ours = grid(model, space, X, y, cv=2)
    same(ours, theirs)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X))
    np.testing.assert_array_equal(ours.best_estimator_.theta_, theirs.best_estimator_.theta_)
    with pytest.raises(AssertionError):
        same(grid(model.set_params(random_state=1), space, X, y, cv=2), theirs)


def test_pipelines_weights_and_aliases() -> None:
    model = make_pipeline(StandardScaler(), MLPClassifier(engine="numpy", **FITTED))
    weights = {"mlpclassifier__sample_weight": np.linspace(0.5, 1.5, len(y))}
    sizes = {"mlpclassifier__hidden_layer_sizes": [(4,), (4, 4), (8,), (8, 8)]}
    theirs = GridSearchCV(model, sizes, cv=2).fit(X, y, **weights)
    aliases = {"mlpclassifier__width": [4, 8], "mlpclassifier__depth": [1, 2]}
    same(grid(model, aliases, X, y, cv=2, n_threads=2, **weights), theirs)


def test_arguments_come_back_as_they_were() -> None:
    model = MLPClassifier((4,), **FITTED)
    found = grid(model, {"alpha": [0.1, 1.0, 2.0, 3.0]}, X, y, cv=2)
    assert found.estimator is model
    assert found.best_estimator_.get_params() == model.get_params() | found.best_params_


def test_a_fit_that_fails_gets_the_error_score_and_others_go_on() -> None:
    model = MLPClassifier((4,), engine="numpy", **FITTED)
    with pytest.warns(FitFailedWarning, match="2 fits failed"), pytest.warns(UserWarning, match="are non-finite"):
        found = grid(model, {"alpha": [0.1, -1.0]}, X, y, cv=2)
    scores: Any = found.cv_results_["mean_test_score"]
    assert np.isnan(scores[1])
    assert scores[0] > 0


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ({"width": [3], "hidden_layer_sizes": [(3,)]}, "Choose one"),
        ({"width": [0]}, "width"),
        ({"depth": ["2"]}, "dep"),
    ],
)
def test_aliases_that_mean_nothing(space: dict[str, Any], words: str) -> None:
    with pytest.raises(GlassnetError, match=words):
        spelled_out(space)


def test_no_hidden_layer_is_one_setting() -> None:
    spelled = spelled_out({"width": [4, 8], "depth": [0, 1, 2]})
    assert spelled == {"hidden_layer_sizes": [(), (4,), (4, 4), (8,), (8, 8)]}


@pytest.mark.parametrize("space", [{"width": 10}, {"mlpclassifier__depth": 2}, {"width": "10"}], ids=str)
def test_a_number_is_no_list_of_numbers(space: Any) -> None:
    with pytest.raises(GlassnetError, match=rf"{next(iter(space))} must be a list of whole numbers, such as \["):
        spelled_out(space)
