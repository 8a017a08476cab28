"""activations.py: each derivative belongs to its value, and nothing overflows."""

from __future__ import annotations

import copy
import json
import pickle
from itertools import pairwise
from math import e, erf, log, sqrt, tanh

import numpy as np
import pytest
import scipy.special

from glassnet import registry
from glassnet.activations import ACTIVATIONS, Activation, get, half_log_max
from glassnet.arrays import Array
from glassnet.errors import GlassnetError

EVERY = [get(name) for name in ACTIVATIONS] + [
    get({"name": "leaky_relu", "slope": 0.2}),
    get({"name": "elu", "alpha": 0.5}),
]
ELEMENTWISE = [activation for activation in EVERY if activation.elementwise]
ANALYTIC = [activation for activation in ELEMENTWISE if activation.analytic]
every = pytest.mark.parametrize("activation", EVERY, ids=lambda a: a.name)
dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])

Z = np.linspace(-6, 6, 48)[None, :]  # an even number of points: none is at a kink
EXTREME = np.array([s * x for x in (0.0, 1e-3, 1.0, 17.0, 43.0, 88.0, 104.0, 353.0, 710.0, 1e4) for s in (-1, 1)])


def complex_step_error(activation: Activation, z: Array = Z) -> float:
    h = 1e-30
    measured = activation.f(z + 1j * h).imag / h
    return float(np.abs(activation.df(z, activation.f(z)) - measured).max())


def central_error(activation: Activation, z: Array = Z) -> float:
    h = 1e-5
    measured = (activation.f(z + h) - activation.f(z - h)) / (2 * h)
    return float((np.abs(activation.df(z, activation.f(z)) - measured) / np.maximum(np.abs(measured), 1.0)).max())


@pytest.mark.parametrize("activation", ANALYTIC, ids=lambda a: a.name)
def test_derivative_equals_complex_step(activation: Activation) -> None:
    scale = np.abs(activation.df(Z, activation.f(Z))).max()
    assert complex_step_error(activation) < 1e-14 * max(scale, 1.0)


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_derivative_equals_central_differences(activation: Activation) -> None:
    assert central_error(activation) < 1e-8


def test_wrong_derivative_is_seen() -> None:
    wrong = Activation("wrong", np.tanh, lambda z, a: 1.0 - a)
    assert complex_step_error(wrong) > 0.1
    assert central_error(wrong) > 0.1


def test_kinked_activations_are_not_called_analytic() -> None:
    kinked = {activation.name for activation in EVERY if not activation.analytic}
    assert kinked == {"relu", "leaky_relu", "elu", "selu"}


def test_softmax_jacobian_and_pullback() -> None:
    rng = np.random.default_rng(0)
    softmax, z, dA, h = get("softmax"), rng.normal(size=(3, 4, 5)), rng.normal(size=(3, 4, 5)), 1e-6
    a = softmax.f(z)
    columns = [(softmax.f(z + h * e_j) - softmax.f(z - h * e_j)) / (2 * h) for e_j in np.eye(5)]
    measured = np.stack(columns, axis=-1)
    np.testing.assert_allclose(softmax.df(z, a), measured, atol=1e-9)
    np.testing.assert_allclose(softmax.pullback(z, a, dA), np.einsum("...ij,...i->...j", measured, dA), atol=1e-9)


@pytest.mark.parametrize("activation", ELEMENTWISE, ids=lambda a: a.name)
def test_pullback_is_the_product_with_a_diagonal_jacobian(activation: Activation) -> None:
    a, dA = activation.f(Z), np.linspace(-1, 2, Z.size)[None, :]
    jacobian = np.diag(activation.df(Z, a)[0])
    np.testing.assert_allclose(activation.pullback(Z, a, dA), dA @ jacobian)


def values_at_extremes(activation: Activation, dtype: type) -> tuple[Array, Array]:
    z = EXTREME.astype(dtype)[None, :]
    a = activation.f(z)
    return a, activation.df(z, a)


@dtypes
@every
def test_finite_without_a_warning_and_dtype_kept(activation: Activation, dtype: type) -> None:
    for result in values_at_extremes(activation, dtype):
        assert result.dtype == dtype
        assert np.isfinite(result).all()


@pytest.mark.parametrize("naive", [lambda z: 1 / (1 + np.exp(-z)), lambda z: np.log(1 + np.exp(z))])
def test_overflow_is_seen(naive: object) -> None:
    with pytest.raises(RuntimeWarning, match="overflow"):
        values_at_extremes(get((naive, lambda z, a: a)), np.float64)


RANGES = {  # holds(a) for |z| <= 80, where nothing underflows
    "real": lambda a: np.isfinite(a).all(),
    "nonnegative": lambda a: a.min() >= 0,
    "positive": lambda a: a.min() > 0,
    "unit": lambda a: a.min() >= 0 and a.max() <= 1,
    "simplex": lambda a: a.min() >= 0 and np.allclose(a.sum(axis=-1), 1, rtol=1e-6),
}


@dtypes
@every
def test_values_lie_in_the_range(activation: Activation, dtype: type) -> None:
    assert RANGES[activation.range](activation.f(np.linspace(-80, 80, 321, dtype=dtype)[None, :]))
    lax = {"positive": "nonnegative"}.get(activation.range, activation.range)  # exp(-1e4) underflows to 0
    assert RANGES[lax](values_at_extremes(activation, dtype)[0])


def test_wrong_range_is_seen() -> None:
    assert not RANGES["unit"](get("tanh").f(Z))
    assert not RANGES["simplex"](get("sigmoid").f(Z))


@pytest.mark.parametrize(
    ("spec", "z", "value"),
    [
        ("identity", -2.5, -2.5),
        ("sigmoid", 0.0, 0.5),
        ("sigmoid", log(3.0), 0.75),
        ("tanh", log(2.0), 0.6),
        ("relu", -2.0, 0.0),
        ("relu", 2.0, 2.0),
        ("softplus", 0.0, log(2.0)),
        ("softplus", log(e**2 - 1), 2.0),
        ("silu", log(3.0), 0.75 * log(3.0)),
        ("gelu", 1.0, 0.5 * (1 + tanh(sqrt(2 / np.pi) * 1.044715))),
        ("mish", log(2.0), 0.8 * log(2.0)),  # tanh(ln 3) = (9 - 1) / (9 + 1)
        ("elu", -log(2.0), -0.5),
        ({"name": "elu", "alpha": 2.0}, -log(2.0), -1.0),
        ("selu", 1.0, 1.0507009873554805),
        ("selu", -log(2.0), -1.0507009873554805 * 1.6732632423543772 / 2),
        ("leaky_relu", -3.0, -0.03),
        ({"name": "leaky_relu", "slope": 0.2}, -3.0, -0.6),
        ("exp", 1.0, e),
    ],
)
def test_known_values(spec: object, z: float, value: float) -> None:
    assert get(spec).f(np.array([z]))[0] == pytest.approx(value, rel=1e-14)


def test_softmax_of_logarithms_is_their_shares() -> None:
    np.testing.assert_allclose(get("softmax").f(np.log([[1.0, 2.0, 3.0]])), [[1 / 6, 1 / 3, 1 / 2]])


@pytest.mark.parametrize(
    ("name", "witness"),
    [("sigmoid", scipy.special.expit), ("softmax", lambda z: scipy.special.softmax(z, axis=-1))],
)
def test_equals_scipy(name: str, witness: object) -> None:
    np.testing.assert_allclose(get(name).f(5 * Z), witness(5 * Z), rtol=1e-13)


def test_tanh_is_a_stretched_sigmoid() -> None:
    np.testing.assert_allclose(get("tanh").f(Z), 2 * get("sigmoid").f(2 * Z) - 1, atol=1e-15)


def test_tanh_form_of_gelu_is_near_the_error_function() -> None:
    exact = np.array([z * (1 + erf(z / sqrt(2))) / 2 for z in Z[0]])
    assert 1e-5 < np.abs(get("gelu").f(Z)[0] - exact).max() < 5e-4


def test_selu_keeps_mean_0_and_variance_1() -> None:
    z = np.linspace(-12, 12, 2_000_001)
    density, a = np.exp(-z * z / 2) / sqrt(2 * np.pi), get("selu").f(z)
    assert np.trapezoid(a * density, z) == pytest.approx(0, abs=1e-9)
    assert np.trapezoid(a * a * density, z) == pytest.approx(1, abs=1e-9)


@dtypes
def test_exp_is_held_where_its_square_is_still_finite(dtype: type) -> None:
    top = get("exp").f(np.array([half_log_max(np.zeros(1, dtype)), 1e4], dtype))
    assert top[0] == top[1]
    assert np.isfinite(top * top).all()
    assert top[0] > np.sqrt(np.finfo(dtype).max) / 10


@pytest.mark.parametrize("name", ["sigmoid", "tanh", "relu", "softplus", "exp", "elu", "selu", "leaky_relu"])
def test_values_never_fall(name: str) -> None:
    a = get(name).f(np.sort(EXTREME))
    assert all(low <= high for low, high in pairwise(a))


@every
def test_equations_are_printed(activation: Activation) -> None:
    assert activation.equation
    assert activation.derivative


@every
def test_spec_round_trip(activation: Activation) -> None:
    assert get(registry.spec_of("activation", ACTIVATIONS, activation)) == activation


def test_options_are_one_record_however_spelt() -> None:
    made = ACTIVATIONS["leaky_relu"]
    assert made(0.2) is made(slope=0.2) is get({"name": "leaky_relu", "slope": 0.2})
    assert made(0.2) != made(0.3)
    assert registry.spec_of("activation", ACTIVATIONS, made(0.2)) == {"name": "leaky_relu", "slope": 0.2}
    assert registry.spec_of("activation", ACTIVATIONS, made()) == "leaky_relu"


COPIES = pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])


@COPIES
@pytest.mark.parametrize("spec", [*ACTIVATIONS, {"name": "leaky_relu", "slope": 0.2}, {"name": "elu", "alpha": 2.0}])
def test_copies_are_the_same_record(spec: object, again: object) -> None:
    assert again(get(spec)) == get(spec)
    assert again(get(spec)).f is get(spec).f


@COPIES
@pytest.mark.parametrize("name", ["sine", "tanh"])
def test_copies_of_one_of_your_own(name: str, again: object) -> None:
    own = Activation(name, np.sin, np.add, range="unit")
    assert again(own) == own
    assert again(own) != get("tanh")


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize(("name", "option"), [("leaky_relu", "slope"), ("elu", "alpha")])
def test_options_may_be_numbers_of_numpy(name: str, option: str, kind: type) -> None:
    activation = get({"name": name, option: kind(0.25)})
    assert type(dict(activation.options)[option]) is float
    assert get(json.loads(json.dumps(registry.spec_of("activation", ACTIVATIONS, activation)))) is activation


def test_the_librarys_take_complex_numbers_and_yours_only_when_you_say_so() -> None:
    assert all(get(name).takes_complex for name in ACTIVATIONS)
    assert get({"name": "leaky_relu", "slope": 0.2}).takes_complex
    assert not get((np.sin, np.add)).takes_complex
    assert not Activation("tanh", np.tanh, np.add).takes_complex


def test_a_misspelt_range_is_refused() -> None:
    with pytest.raises(GlassnetError, match="unknown range of an activation 'simplx': did you mean 'simplex'"):
        Activation("mine", np.sin, np.add, range="simplx")


def test_a_pair_of_your_own() -> None:
    sine = get((np.sin, lambda z, a: np.cos(z)))
    assert (sine.name, sine.range, sine.analytic, sine.elementwise) == ("custom", "real", False, True)
    assert complex_step_error(sine) < 1e-14
    assert get(sine) is sine
    with pytest.raises(GlassnetError, match="activation 'custom' is your own and cannot be written to a file"):
        registry.spec_of("activation", ACTIVATIONS, sine)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("rleu", r"unknown activation 'rleu': did you mean 'relu'\? Known: identity, sigmoid, "),
        ("zzz", r"unknown activation 'zzz': Known: identity, "),
        ({"slope": 0.1}, 'activation as a dictionary must be one with a "name"'),
        ({"name": "relu", "slope": 0.1}, r"activation 'relu' does not take \{'slope': 0.1\}"),
        ({"name": "leaky_relu", "alpha": 0.1}, r"does not take \{'alpha': 0.1\}.*unexpected keyword|got an unexpected"),
        ((np.sin,), r"activation must be a name or a pair of functions \(f, df\), received"),
        (np.tanh, "activation must be a name, a record or a pair of functions, received <ufunc 'tanh'>"),
        ((np.sin, "cos"), r"activation must be a name or a pair of functions \(f, df\), received"),
    ],
)
def test_refusals(spec: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        get(spec)
