"""What can be exported, and what is refused with a remedy."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.decomposition import PCA
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

import glassnet as gn
from export_cases import CASES, LAYER_EXAMPLES, Case, case
from export_models import NUMBERS, TARGET, classes, classifier, model, regressor
from glassnet import onnx_export
from glassnet.activations import ACTIVATIONS, Activation
from glassnet.export import c_code, numpy_code, plan, scaling
from glassnet.export.reading import plan_of
from glassnet.export.tracing import trace
from glassnet.layers import LAYERS

BATCH = case([gn.BatchNorm(), gn.Dense(1)], "float64")


def test_no_layer_and_no_step_is_forgotten() -> None:
    """Every layer of the registry has its steps, and every step its writers in all three languages."""
    assert set(plan.STEPS_OF) == set(LAYERS.values()) == {type(make()) for make in LAYER_EXAMPLES.values()}
    steps = set(plan.Step.__args__)
    for writers in (onnx_export.WRITERS, c_code.WRITERS, numpy_code.WRITERS):
        assert set(writers) == steps


@pytest.mark.parametrize("name", [name for name, make in ACTIVATIONS.items() if make().elementwise])
def test_the_record_of_a_formula_is_the_formula(name: str) -> None:
    function = gn.activations.get(name)
    z = np.linspace(-7, 7, 57)
    np.testing.assert_array_equal(trace(function).evaluate(z), function.f(z))


def test_all_forms_of_a_network_are_the_same() -> None:
    objective = gn.Objective(BATCH.net, "squared_error")
    run = gn.train(objective, BATCH.theta, BATCH.X, BATCH.X[:, :1], epochs=1, engine="numpy")
    assert gn.to_c((BATCH.net, run)) == gn.to_c((BATCH.net, run.theta, run.state))


def test_saved_networks(tmp_path: Path) -> None:
    gn.save(tmp_path / "net.safetensors", *BATCH.model)
    assert gn.to_c(gn.load(tmp_path / "net.safetensors")) == gn.to_c(BATCH.model)


def test_dtype_is_that_of_the_weights_or_the_one_asked_for() -> None:
    assert plan_of(CASES["relu"]("float32").model).dtype == np.float32
    assert plan_of(CASES["relu"]("float32").model, "float64").dtype == np.float64


def test_columns_keep_their_names() -> None:
    assert plan_of(model("table").model).inputs == ("a", "b", "gap", "year", "constant", "rare")


def test_years_lose_nothing_in_float32() -> None:
    """(x - mean) / scale with a far mean: to a few roundings of the result, not of x; folded into W it would not be."""
    mean, scale = np.array([1990.123456789]), np.array([1 / 23.0])
    step = plan.normalise(mean, scale, np.zeros(1), np.float32)
    x = np.arange(1950, 2031, dtype=np.float32)[:, None]
    exact = (x.astype(np.float64) - mean) * scale
    ours = (x - step.centre) * step.scale + step.shift
    folded = x * scale.astype(np.float32) - (mean * scale).astype(np.float32)
    assert np.abs(ours - exact).max() < 3e-7 < 2e-6 < np.abs(folded - exact).max()


@dataclass(frozen=True)
class Doubling:
    """A layer of your own."""

    @property
    def function(self) -> Activation:
        return gn.activations.get("identity")

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    def parameters(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        return {}

    statistics = parameters


def with_function(f: Any) -> tuple[gn.Network, Any]:
    net = gn.Network(2, [gn.Dense(2, (f, f))])
    return net, np.zeros(6)


def by_rows(z: Any) -> Any:
    return z / z.sum(axis=-1, keepdims=True)


ROW_WISE = Activation("rows", by_rows, lambda z, a: z, pull=lambda a, dA: dA)
REFUSED: dict[str, tuple[Any, str]] = {
    "no model": ("model.safetensors", r"model must be \(net, theta\), .*, received str"),
    "a tuple of other things": ((1, 2), "received a tuple of int, int"),
    "too short": ((BATCH.net, np.zeros(3), None), r"theta must be floats \(16,\), received float64 \(3,\)"),
    "without statistics": ((BATCH.net, BATCH.theta), r"with BatchNorm, received \(net, theta\). Pass \(net, run\)"),
    "wrong statistics": ((BATCH.net, BATCH.theta, np.zeros(3)), r"state must be \(10,\), received \(3,\)"),
    "infinite": ((BATCH.net, BATCH.theta * np.inf, BATCH.state), "the numbers of the model must be finite in float64"),
    "a layer of your own": ((gn.Network(2, [Doubling()]), np.zeros(0)), "layer 1 must be one of Dense, .* Doubling"),
    "not fitted": (gn.MLPClassifier(), "model must be fitted, received a MLPClassifier that is not. Call fit first"),
    "another library's": (LogisticRegression(), "received LogisticRegression"),
    "a search": (GridSearchCV(classifier(), {}), "received GridSearchCV"),
    "an arctan": (with_function(np.arctan), "must be a formula of .*, received one that uses np.arctan"),
    "a method": (with_function(lambda z: z.clip(0, 1)), "received one that uses .* no attribute 'clip'"),
    "a branch": (with_function(lambda z: z if z > 0 else -z), "received one that uses if, and, or"),
    "a constant": (with_function(lambda z: np.zeros(3)), "received one that turns z into ndarray"),
    "a mean": (with_function(lambda z: z * np.asarray(z).mean()), "received one that uses a constant"),
    "a row-wise one": ((gn.Network(2, [gn.Dense(2, ROW_WISE)]), np.zeros(6)), "received a row-wise one"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_exported_is_refused(name: str) -> None:
    refused, message = REFUSED[name]
    for export in (gn.to_c, gn.to_numpy):
        with pytest.raises(gn.GlassnetError, match=message):
            export(refused)


def test_fitted_things_that_cannot_be_exported() -> None:
    ensemble = gn.Ensemble(regressor(), 2, random_state=0).fit(NUMBERS, TARGET)
    with pytest.raises(gn.GlassnetError, match=r"received Ensemble\. Export its members_ one by one"):
        gn.to_c(ensemble)
    with pytest.raises(gn.GlassnetError, match="at least two classes, received one class: "):
        gn.to_c(classifier().fit(NUMBERS, np.ones(len(NUMBERS), int)))
    pca = make_pipeline(PCA(2), regressor()).fit(NUMBERS, TARGET)
    with pytest.raises(gn.GlassnetError, match=r"one of StandardScaler, .*, received PCA. Export the network alone"):
        gn.to_c(pca)
    search = GridSearchCV(classifier(), {"alpha": [0.1]}, cv=2).fit(NUMBERS, classes(2))
    with pytest.raises(gn.GlassnetError, match=r"received GridSearchCV\. Export its best_estimator_"):
        gn.to_c(search)
    with pytest.raises(gn.GlassnetError, match="unknown dtype 'float16'"):
        gn.to_c(CASES["relu"]("float32").model, dtype="float16")
    imputer = SimpleImputer(missing_values=-1).fit(NUMBERS)
    with pytest.raises(
        gn.GlassnetError, match="missing_values of SimpleImputer must be NaN to be exported, received -1"
    ):
        scaling.forwards(imputer, 4, np.dtype(np.float64))


@st.composite
def networks(draw: st.DrawFn) -> Case:
    """Any layers of the library one after the other, any widths, small random numbers."""
    names = st.sampled_from(sorted(ACTIVATIONS))
    dense = st.builds(lambda n, name, bias: gn.Dense(n, name, bias=bias), st.integers(1, 6), names, st.booleans())
    others = st.sampled_from([gn.Dropout(0.5), gn.BatchNorm(), gn.LayerNorm()])
    layers = draw(st.lists(dense | others, min_size=1, max_size=4))
    net = gn.Network(draw(st.integers(1, 6)), layers)
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    state = net.init_state() * rng.uniform(0.5, 2.0, net.state_layout.size)
    return Case(net, rng.uniform(-0.7, 0.7, net.n_parameters), state, rng.normal(size=(7, net.n_inputs)))


@settings(max_examples=60, deadline=None)
@given(networks())
def test_any_network_is_exported_as_it_is(example: Case) -> None:
    place: dict[str, Any] = {}
    exec(gn.to_numpy(example.model), place)
    np.testing.assert_allclose(place["predict"](example.X), example.output, rtol=1e-9, atol=1e-9)


@settings(max_examples=60, deadline=None)
@given(networks())
def test_onnxruntime_reads_any_network(example: Case) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    session = onnxruntime.InferenceSession(gn.to_onnx(example.model), providers=["CPUExecutionProvider"])
    predicted = session.run(None, {"X": example.X})[0]
    np.testing.assert_allclose(predicted, example.output, rtol=1e-9, atol=1e-9)


def test_numbers_that_float32_does_not_hold_are_refused() -> None:
    large = gn.Network(1, [gn.Dense(1)]), np.array([1e39, 0.0])
    with pytest.raises(gn.GlassnetError, match=r"finite in float32, received NaN or infinity\. Pass dtype='float64'"):
        gn.to_c(large, dtype="float32")
    assert "1e+39" in gn.to_c(large)


def test_an_activation_with_a_hostile_name() -> None:
    """Neither name nor docstring becomes code, and like-named functions stay apart."""

    def f(z: Any) -> Any:
        """*/ #error \\" and \"\"\" import os"""
        return z * 2.0

    def g(z: Any) -> Any:
        """another"""
        return z * 3.0

    layers = [gn.Dense(1, Activation(name, own, own)) for name in ("softmax", "relu", "np", "1 */") for own in (f, g)]
    net = gn.Network(1, [*layers, gn.Dense(1, "relu"), gn.Dense(1)])
    theta = np.tile([1.0, 0.0], len(net.layers))
    place: dict[str, Any] = {}
    exec(gn.to_numpy((net, theta)), place)
    assert place["predict"](np.ones((1, 1))) == 6.0**4
    source = gn.to_c((net, theta))
    assert source.count("#error") == 2 * source.count("* / #error") - source.count("* / #error") > 0


def test_a_function_that_changes_its_mind_is_refused() -> None:
    """The record is compared with the function: another formula for some z is found out."""

    def f(z: Any) -> Any:
        return z * 2.0 if isinstance(z, np.ndarray) else z * 1.0

    with pytest.raises(gn.GlassnetError, match="it is not the same formula for every z"):
        gn.to_c(with_function(f))


def test_a_place_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    for export in (gn.to_onnx, gn.to_c, gn.to_numpy):
        with pytest.raises(gn.GlassnetError, match="must be in an existing folder"):
            export(CASES["relu"]("float32").model, tmp_path / "nowhere" / "model")
