"""initializers.py: the distributions are those of the papers."""

from __future__ import annotations

import copy
import json
import pickle
from math import sqrt

import numpy as np
import pytest
import scipy.stats

from glassnet import Dense, Network, registry
from glassnet.errors import GlassnetError
from glassnet.initializers import INITIALIZERS, Initializer, get

N_IN, N_OUT = 300, 200
NORMAL = {
    "normal": 1.0,
    "glorot_normal": sqrt(2 / (N_IN + N_OUT)),
    "glorot_older": sqrt(1 / (N_IN + N_OUT)),
    "he_normal": sqrt(2 / N_IN),
    "lecun_normal": sqrt(1 / N_IN),
}
UNIFORM = {
    "uniform": 1.0,
    "glorot_uniform": sqrt(6 / (N_IN + N_OUT)),
    "he_uniform": sqrt(6 / N_IN),
    "lecun_uniform": sqrt(3 / N_IN),
}


def draw(spec: object, seed: int = 0, shape: tuple[int, ...] | None = None) -> np.ndarray:
    return get(spec)(np.random.default_rng(seed), N_IN, N_OUT, shape)


@pytest.mark.parametrize(("name", "std"), NORMAL.items())
def test_normal_ones_have_their_deviation(name: str, std: float) -> None:
    weights = draw(name).ravel()
    assert scipy.stats.kstest(weights, scipy.stats.norm(0, std).cdf).pvalue > 0.01
    assert weights.std() == pytest.approx(std, rel=0.01)


@pytest.mark.parametrize(("name", "bound"), UNIFORM.items())
def test_uniform_ones_have_their_bound(name: str, bound: float) -> None:
    weights = draw(name).ravel()
    assert scipy.stats.kstest(weights, scipy.stats.uniform(-bound, 2 * bound).cdf).pvalue > 0.01
    assert 0.999 * bound < np.abs(weights).max() <= bound


def test_wrong_deviation_is_seen() -> None:
    wrong = scipy.stats.norm(0, 1.03 * NORMAL["he_normal"])
    assert scipy.stats.kstest(draw("he_normal").ravel(), wrong.cdf).pvalue < 0.01


def test_every_initializer_is_tested_here() -> None:
    assert {*NORMAL, *UNIFORM, "zeros", "constant", "orthogonal"} == set(INITIALIZERS)


@pytest.mark.parametrize(("n_in", "n_out"), [(5, 5), (7, 3), (3, 7), (1, 4)])
def test_orthogonal_rows_or_columns(n_in: int, n_out: int) -> None:
    W = get("orthogonal")(np.random.default_rng(0), n_in, n_out)
    assert W.shape == (n_in, n_out)
    gram = W.T @ W if n_in >= n_out else W @ W.T
    np.testing.assert_allclose(gram, np.eye(min(n_in, n_out)), atol=1e-14)


def test_orthogonal_is_uniform_over_signs() -> None:
    rng = np.random.default_rng(0)
    corners = [get("orthogonal")(rng, 3, 3)[0, 0] for _ in range(400)]
    assert abs(np.mean(corners)) < 0.1  # without the correction of the signs it is far from 0


@pytest.mark.parametrize("name", [name for name in INITIALIZERS if name != "orthogonal"])
def test_biases_are_drawn_in_the_shape_asked_for(name: str) -> None:
    assert draw(name, shape=(N_OUT,)).shape == (N_OUT,)


@pytest.mark.parametrize("name", INITIALIZERS)
def test_same_seed_same_weights_and_spec_round_trip(name: str) -> None:
    np.testing.assert_array_equal(draw(name), draw(name))
    record = get(name)
    assert get(registry.spec_of("initializer", INITIALIZERS, record)) == record
    assert isinstance(record, Initializer)
    assert get(record) is record


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda record: pickle.loads(pickle.dumps(record))])
@pytest.mark.parametrize(
    "spec",
    [*INITIALIZERS, {"name": "normal", "std": 0.1}, {"name": "uniform", "low": 0.0}, {"name": "constant", "value": 3}],
)
def test_copies_are_the_same_record(spec: object, again: object) -> None:
    assert again(get(spec)) == get(spec)


@pytest.mark.parametrize("name", ["constant", "normal", "uniform"])
def test_options_may_be_numbers_of_numpy(name: str) -> None:
    option = {"constant": "value", "normal": "std", "uniform": "low"}[name]
    record = get({"name": name, option: np.float32(0.25)})
    json.dumps(registry.spec_of("initializer", INITIALIZERS, record))


def ones(rng: np.random.Generator, fan_in: int, fan_out: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.ones(shape)


def test_copies_of_one_of_your_own() -> None:
    own = Initializer("zeros", ones)
    assert pickle.loads(pickle.dumps(own)) == copy.deepcopy(own) == own != get("zeros")


def test_options() -> None:
    assert (draw({"name": "constant", "value": 0.5}) == 0.5).all()
    assert draw("zeros").any() == False  # noqa: E712
    assert draw({"name": "normal", "std": 0.1}).std() == pytest.approx(0.1, rel=0.01)
    low_high = draw({"name": "uniform", "low": 2.0, "high": 3.0})
    assert 2 <= low_high.min() <= low_high.max() <= 3


@pytest.mark.parametrize(("init", "low", "high"), [("he_normal", 0.5, 2.0), ("glorot_normal", 0.0, 0.02)])
def test_he_carries_a_signal_through_many_relu_layers(init: str, low: float, high: float) -> None:
    net = Network(256, [Dense(256, "relu", weight_init=init)] * 10)
    X = np.random.default_rng(1).normal(size=(200, 256))
    power = [float((a * a).mean()) for a in net.forward(net.init(rng=0), X).a]
    assert low < power[-1] / power[1] < high


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("he_norml", r"unknown initializer 'he_norml': did you mean 'he_normal'\?"),
        ({"name": "normal", "sd": 1.0}, r"initializer 'normal' does not take \{'sd': 1.0\}"),
        ({"name": "normal", "std": -0.1}, "std of normal must be at least 0, received -0.1"),
        ({"name": "normal", "std": float("nan")}, "std of normal must be at least 0, received nan"),
        ({"name": "uniform", "low": 1.0, "high": 1.0}, "high of uniform must be greater than low = 1.0, received 1.0"),
    ],
)
def test_refusals(spec: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        get(spec)


def test_orthogonal_biases_are_refused() -> None:
    with pytest.raises(GlassnetError, match=r"orthogonal weights must be a matrix.*Choose another bias_init"):
        draw("orthogonal", shape=(N_OUT,))
