"""scikit-learn's callback protocol on our estimators: its own callbacks, and recorders of the order of hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.callback import FitCallback, ProgressBar, ScoringMonitor
from sklearn.datasets import load_iris
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, mean_squared_error
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler, scale

import glassnet as gn
from glassnet import MLPClassifier, MLPRegressor
from glassnet.errors import GlassnetError

X, y = load_iris(return_X_y=True)
X = scale(X)
FRAME = pd.DataFrame(X, columns=list("abcd"))
EPOCHS: dict[str, Any] = {"hidden_layer_sizes": (5,), "max_iter": 6, "n_iter_no_change": np.inf, "random_state": 0}
solvers = pytest.mark.parametrize("solver", ["adam", "lbfgs"])


class Recorder:
    """A callback that writes down every hook, and asks for the end after some epochs."""

    def __init__(self, most: int = 10**9) -> None:
        self.most = most
        self.events: list[tuple[str, str]] = []
        self.losses: list[float] = []
        self.seen: list[Any] = []

    def setup(self, estimator: Any, context: Any) -> None:
        self.events.append(("setup", context.task_name))

    def teardown(self, estimator: Any, context: Any) -> None:
        self.events.append(("teardown", context.task_name))

    def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
        self.events.append(("begin", context.task_name))

    def on_fit_task_end(
        self, estimator: Any, context: Any, *, X: Any, y: Any, metadata: Any, fitted_estimator: Any
    ) -> bool:
        self.events.append(("end", context.task_name))
        if X is not None and context.task_name == "epoch":
            self.losses.append(accuracy_score(y, fitted_estimator.predict(X)))
            self.seen.append(metadata)
        return len(self.losses) >= self.most


def fitted(model: Any, *arguments: Any, **options: Any) -> Any:
    with pytest.warns(ConvergenceWarning, match="Maximum iterations"):
        return model.fit(*arguments, **options)


@solvers
def test_hooks_come_in_order(solver: str) -> None:
    recorder = Recorder()
    assert isinstance(recorder, FitCallback)
    weights = np.ones(150)
    model = MLPClassifier(solver=solver, **EPOCHS).set_callbacks(recorder)
    fitted(model, FRAME, y, weights)
    epochs = [("begin", "epoch"), ("end", "epoch")] * 7  # the last one is empty, as in scikit-learn
    expected = [("setup", "fit"), ("begin", "fit"), *epochs, ("end", "fit"), ("teardown", "fit")]
    assert recorder.events == expected
    assert recorder.losses[-1] == model.score(FRAME, y)
    assert len(recorder.losses) == 6
    assert recorder.seen[0]["sample_weight"] is weights
    assert model.loss_curve_ == fitted(clone(model).set_callbacks(), FRAME, y, weights).loss_curve_


@solvers
def test_a_callback_may_end_the_fit(solver: str) -> None:
    model = MLPClassifier(solver=solver, **EPOCHS).set_callbacks(Recorder(most=2)).fit(X, y)  # no warning
    assert (model.n_iter_, model.status_) == (2, "stopped")
    assert model.stop_reason_ == "a callback of scikit-learn asked for the end"


@solvers
def test_scoring_monitor(solver: str) -> None:
    monitor = ScoringMonitor(scoring="neg_mean_squared_error")
    model = fitted(MLPRegressor(solver=solver, batch_norm=True, **EPOCHS).set_callbacks(monitor), FRAME, X[:, 0])
    rows = monitor.get_logs().data_as_pandas.query("task_name == 'epoch'")
    assert len(rows) == 6
    last = mean_squared_error(X[:, 0], model.predict(FRAME))
    assert rows["neg_mean_squared_error"].iloc[-1] == pytest.approx(-last)
    assert rows["neg_mean_squared_error"].is_monotonic_increasing or solver == "adam"


def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    model = MLPClassifier(**EPOCHS).set_callbacks(ProgressBar())
    fitted(model, X, y)
    assert "MLPClassifier - fit" in capsys.readouterr().out
    fitted(make_pipeline(StandardScaler(), MLPClassifier(**EPOCHS)).set_callbacks(ProgressBar()), X, y)
    assert "MLPClassifier - fit" in capsys.readouterr().out
    search = GridSearchCV(MLPClassifier((5,), tol=0.1), {"alpha": [0.1, 1.0]}, cv=2).set_callbacks(ProgressBar())
    search.fit(X, y)
    assert "MLPClassifier - fit" in capsys.readouterr().out


def test_callbacks_are_torn_down_after_a_mistake() -> None:
    class Broken(Recorder):
        def on_fit_task_begin(self, estimator: Any, context: Any) -> None:
            raise RuntimeError("broken")

    broken = Broken()
    with pytest.raises(RuntimeError, match="broken"):
        MLPClassifier(**EPOCHS).set_callbacks(broken).fit(X, y)
    assert broken.events[-1] == ("teardown", "fit")


def test_the_two_kinds_of_callbacks() -> None:
    with pytest.raises(GlassnetError, match=r"each callback must be one of glassnet's.*set_callbacks\(Recorder"):
        MLPClassifier(callbacks=[Recorder()]).fit(X, y)
    with pytest.raises(TypeError, match="FitCallback protocol"):
        MLPClassifier().set_callbacks(gn.EarlyStopping())
    recorder = Recorder()
    model = clone(MLPClassifier(callbacks=[gn.TargetReached(0.9)], **EPOCHS).set_callbacks(recorder))
    model.set_params(max_iter=500, learning_rate_init=0.02).fit(X, y)
    assert model.loss_ <= 0.9
    assert len(recorder.losses) == model.n_iter_  # both were at work
