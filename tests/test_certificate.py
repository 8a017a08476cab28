"""A certificate passes for what is right and fails for what is not: a fault planted in each place is seen."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from glassnet import GlassnetError, MLPClassifier, MLPRegressor, activations, certificate, tables
from glassnet.certificate import Certificate, verify
from glassnet.network import Network

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 3))
Y = np.column_stack([X[:, 0] * X[:, 1], np.tanh(X[:, 2])])
LABELS = np.where(X[:, 0] > 0.5, "high", np.where(X[:, 1] > 0, "up", "down"))
QUICK = {"hidden_layer_sizes": (6,), "solver": "lbfgs", "max_iter": 2000, "tol": 1e-2, "alpha": 0.1, "random_state": 0}


def names(found: Certificate, ok: bool | None) -> list[str]:
    return [check.name for check in found.checks if check.ok is ok]


MODELS = {
    "classes": lambda: MLPClassifier(**QUICK).fit(X, LABELS),
    "two classes": lambda: MLPClassifier(**QUICK).fit(X, X[:, 0] > 0),
    "several labels": lambda: MLPClassifier(**QUICK).fit(X, (X[:, :2] > 0).astype(int)),
    "numbers": lambda: MLPRegressor(**QUICK | {"activation": "tanh"}).fit(X, Y),
    "one number": lambda: MLPRegressor(**QUICK).fit(X, Y[:, 0]),
    "float32": lambda: MLPRegressor(**QUICK).fit(X.astype(np.float32), Y.astype(np.float32)),
    "norms and dropout": lambda: MLPClassifier(
        (6, 5), activation=["gelu", "silu"], batch_norm=True, dropout=0.2, max_iter=5, tol=0.0, random_state=0,
        n_iter_no_change=10, time_budget=60.0, batch_size=20,
    ).fit(X, LABELS),
    "pipeline": lambda: make_pipeline(StandardScaler(), MLPClassifier(**QUICK)).fit(X, LABELS),
    "scaled target": lambda: make_pipeline(
        StandardScaler(),
        TransformedTargetRegressor(MLPRegressor(**QUICK | {"activation": "tanh"}), transformer=StandardScaler()),
    ).fit(X, Y[:, 0]),
}  # fmt: skip
TARGETS = {
    "two classes": X[:, 0] > 0, "several labels": (X[:, :2] > 0).astype(int), "numbers": Y, "one number": Y[:, 0],
    "float32": Y.astype(np.float32), "scaled target": Y[:, 0],
}  # fmt: skip


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_sound_model_passes(kind: str) -> None:
    rows = X.astype(np.float32) if kind == "float32" else X
    found = verify(MODELS[kind](), rows, TARGETS.get(kind, LABELS))
    assert found.ok, str(found)
    assert names(found, True) == ["gradient", "engines", "predict", "file", "numpy", "onnx"]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_rows_on_a_kink_are_left_out_and_it_is_said() -> None:
    """Without much of a penalty ReLU's bends end up exactly on rows, where differences see half of each slope."""
    model = MLPRegressor(**QUICK | {"alpha": 0.01, "tol": 1e-4, "max_iter": 400}).fit(X, Y[:, 0])
    check = verify(model, X, Y[:, 0]).checks[0]
    assert check.ok
    assert "rows on a kink left out" in check.words
    flat = np.zeros((9, 2)), np.ones(9)
    model = MLPRegressor(hidden_layer_sizes=4, solver="lbfgs", max_iter=5).fit(*flat)
    model.coefs_[0][:], model.intercepts_[0][:] = 0.0, 0.0
    assert names(verify(model, *flat), None) == ["gradient"]


def test_a_certificate_is_printed_and_kept() -> None:
    found = verify(MODELS["classes"](), X, LABELS, max_rows=30)
    assert found.rows == 30
    assert str(found).startswith("MLPClassifier 3-6-3, on 30 rows: 6 of 6 checks passed")
    assert Certificate.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["ok"] is True
    for text in ("{}", "[1]", '{"model": 1', '{"checks": [{}]}'):
        with pytest.raises(GlassnetError, match="the certificate must be JSON"):
            Certificate.from_json(text)


# ---- planted faults ------------------------------------------------------------------------------------------------


def test_a_wrong_derivative_fails_the_gradient() -> None:
    wrong = activations.Activation("wrong", lambda z: np.tanh(z), lambda z, a: 1.01 * (1 - a * a))
    model = MODELS["numbers"]()
    layers = [gn.Dense(6, wrong), gn.Dense(2)]
    model.network_ = Network(3, layers)
    case = certificate.case_of_estimator(MODELS["numbers"](), X, Y, None)
    faulty = replace(case, objective=gn.Objective(model.network_, "squared_error"))
    check = certificate._gradient(faulty, 60, np.random.default_rng(0))
    assert check.ok is False
    assert check.error > 1e-3
    assert "W1" in check.words or "b1" in check.words


def test_an_engine_that_computes_something_else_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    train = certificate.train

    def other(*args: object, engine: str, **options: object) -> object:
        return train(*args, engine=engine, **options | ({"batch_size": 7} if engine == "numba" else {}))

    monkeypatch.setattr(certificate, "train", other)
    assert "engines" in names(verify(MODELS["numbers"](), X, Y), False)


def test_predictions_that_are_not_the_networks_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = MLPRegressor.predict
    monkeypatch.setattr(MLPRegressor, "predict", lambda self, X: predict(self, X) * 1.001)
    found = verify(MODELS["numbers"](), X, Y)
    assert names(found, False) == ["predict", "numpy", "onnx"], "the exports have the network's numbers"
    assert not found.ok
    assert "FAILED   predict" in str(found)


def test_a_bent_target_scaling_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    predict = TransformedTargetRegressor.predict
    monkeypatch.setattr(TransformedTargetRegressor, "predict", lambda self, X: predict(self, X) ** 3)
    assert "predict" in names(verify(MODELS["scaled target"](), X, Y[:, 0]), False)


def test_weights_that_are_no_numbers_fail_at_once() -> None:
    model = MODELS["numbers"]()
    model.theta_[3] = np.inf
    found = verify(model, X, Y)
    assert names(found, False) == ["finite"]
    assert "1 of 38 weights" in str(found)


def test_a_file_that_loses_a_bit_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    save = certificate.save

    def lossy(path: object, net: object, theta: np.ndarray, state: object) -> None:
        save(path, net, theta.astype(np.float32).astype(np.float64), state)

    monkeypatch.setattr(certificate, "save", lossy)
    assert names(verify(MODELS["numbers"](), X, Y), False) == ["file"]


def test_an_export_of_other_weights_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    other = MLPRegressor(**QUICK | {"random_state": 1, "activation": "tanh"}).fit(X, Y)
    export = certificate.to_onnx
    monkeypatch.setattr(certificate, "to_onnx", lambda model: export(other))
    assert names(verify(MODELS["numbers"](), X, Y), False) == ["onnx"]


# ---- what cannot be checked, and bad input -------------------------------------------------------------------------


def test_checks_that_cannot_be_made_say_why(monkeypatch: pytest.MonkeyPatch) -> None:
    find = certificate.find_spec
    monkeypatch.setattr(certificate, "find_spec", lambda name: None if name in ("numba", "onnx") else find(name))
    found = verify(MODELS["numbers"](), X, Y)
    assert names(found, None) == ["engines", "onnx"]
    assert found.ok
    assert "4 of 4 checks passed" in str(found)
    assert "not made engines   the compiled engine needs numba" in str(found)
    assert Certificate.from_json(found.to_json()).checks[1].ok is None


def test_categories_and_functions_of_your_own_are_left_out_with_a_reason() -> None:
    frame = pd.DataFrame({"size": X[:, 0], "city": RNG.choice(["Bonn", "Jena"], len(X))})
    model = tables.make_pipeline(MLPRegressor(**QUICK), frame, random_state=0).fit(frame, Y[:, 0])
    found = verify(model, frame, Y[:, 0])
    assert found.ok
    assert names(found, None) == ["numpy", "onnx"]
    own = MLPRegressor(**QUICK | {"activation": (np.sin, lambda z, a: np.cos(z))}).fit(X, Y[:, 0])
    assert names(verify(own, X, Y[:, 0]), None) == ["file"]


def test_nothing_is_changed_and_nothing_is_verified_that_was_not_fitted() -> None:
    model = MODELS["numbers"]()
    before = model.theta_.copy()
    first = verify(model, X, Y)
    assert [check.error for check in verify(model, X, Y).checks] == [check.error for check in first.checks]
    np.testing.assert_array_equal(model.theta_, before)
    with pytest.raises(GlassnetError, match="estimator must be fitted"):
        verify(MLPRegressor(), X, Y)
    with pytest.raises(GlassnetError, match="X must be"):
        verify(model, X[:, :2], Y)
    with pytest.raises(GlassnetError, match="max_rows must be at least 2"):
        verify(model, X, Y, max_rows=1)
    assert "glassnet.certificate" in sys.modules
