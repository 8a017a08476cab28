"""What the tests of the estimators share: the pairs of classes, and the data."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn import neural_network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.preprocessing import scale

from glassnet import MLPClassifier, MLPRegressor

PAIRS = [(MLPClassifier, neural_network.MLPClassifier), (MLPRegressor, neural_network.MLPRegressor)]
both_pairs = pytest.mark.parametrize(("ours", "theirs"), PAIRS, ids=["classifier", "regressor"])
both = pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])

X_iris, y_iris = load_iris(return_X_y=True)
X_iris = scale(X_iris)
X_cancer, y_cancer = load_breast_cancer(return_X_y=True)
X_cancer = scale(X_cancer)
X_diabetes, y_diabetes = load_diabetes(return_X_y=True)
X_diabetes, y_diabetes = scale(X_diabetes), scale(y_diabetes)
CONVERGED: dict[str, Any] = {"tol": 1e-7, "max_iter": 10_000, "random_state": 0}


def data_for(kind: type) -> tuple[Any, Any]:
    return (X_iris, y_iris) if "Classifier" in kind.__name__ else (X_diabetes[:150], y_diabetes[:150])
