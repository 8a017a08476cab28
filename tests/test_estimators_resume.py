"""Estimators with Checkpoint(folder, resume=True): a fit that was stopped ends as the one that never was."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from sklearn.exceptions import ConvergenceWarning

import glassnet as gn
from resume_runs import ENGINES, PowerCut, X, Y, cut_after

ESTIMATORS: dict[str, dict[str, Any]] = {
    "usual": {},
    "early stopping": {"early_stopping": True, "n_iter_no_change": 3, "tol": 1e-3},
    "scoring": {"early_stopping": True, "scoring": "neg_mean_absolute_error", "solver": "sgd", "momentum": 0.5},
    "adaptive": {"solver": "sgd", "learning_rate": "adaptive", "tol": 0.02, "n_iter_no_change": 1},
    "invscaling": {"solver": "sgd", "learning_rate": "invscaling", "shuffle": False},
    "dropout": {"dropout": 0.2, "batch_norm": True, "dtype": "float32"},
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("options", ESTIMATORS)
def test_estimators(tmp_path: Path, engine: str, options: str) -> None:
    def model(*callbacks: Any) -> gn.MLPRegressor:
        arguments = {"max_iter": 14, "batch_size": 16, "random_state": 1, "tol": 0.0, "learning_rate_init": 0.01}
        arguments |= {"hidden_layer_sizes": (6,), "engine": engine, **ESTIMATORS[options]}
        return gn.MLPRegressor(callbacks=list(callbacks), **arguments)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        whole = model().fit(X, Y)
        with pytest.raises(PowerCut):
            model(gn.Checkpoint(tmp_path, resume=True), cut_after(min(6, whole.n_iter_ - 1))).fit(X, Y)
        resumed = model(gn.Checkpoint(tmp_path, resume=True)).fit(X, Y)
    assert resumed.theta_.tobytes() == whole.theta_.tobytes()
    assert resumed.state_.tobytes() == whole.state_.tobytes()
    assert (resumed.status_, resumed.stop_reason_) == (whole.status_, whole.stop_reason_)
    assert (resumed.n_iter_, resumed.t_, resumed.loss_curve_) == (whole.n_iter_, whole.t_, whole.loss_curve_)
    assert (resumed.validation_scores_, resumed.best_loss_) == (whole.validation_scores_, whole.best_loss_)
    assert resumed.history_.columns == whole.history_.columns


def test_an_estimator_that_forgets_the_order_of_its_rows_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("glassnet.estimators.continuing.InTurn.restore", lambda self, stored: None)
    with pytest.raises(AssertionError):
        test_estimators(tmp_path, "numpy", "usual")
