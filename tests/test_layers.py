"""layers.py: moments, masks, statistics; a stack of networks equals its networks one by one."""

from __future__ import annotations

import json

import numpy as np
import pytest

from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network, Objective
from glassnet.activations import ACTIVATIONS, leaky_relu
from glassnet.errors import GlassnetError
from glassnet.initializers import get as initializer
from glassnet.layers import LAYERS, from_dict
from names import plain

RNG = np.random.default_rng(0)
X = RNG.normal(2.0, 3.0, size=(64, 5))
KINDS = {
    "Dense": [Dense(4, "tanh")],
    "Dense without bias": [Dense(4, "tanh", bias=False)],
    "Dropout": [Dense(4, "tanh"), Dropout(0.4)],
    "BatchNorm": [Dense(4, "tanh"), BatchNorm(0.9)],
    "LayerNorm": [Dense(4, "tanh"), LayerNorm()],
    "Dropout first": [Dropout(0.4)],
    "BatchNorm first": [BatchNorm()],
    "LayerNorm first": [LayerNorm()],
    "all": [BatchNorm(), Dense(4, "relu"), Dropout(0.4), LayerNorm(), Dense(3, "softmax")],
}


# ---- Dense --------------------------------------------------------------------------------------------------------


def test_dense_by_hand() -> None:
    net = Network(2, [Dense(1, "relu")])
    theta = np.array([2.0, -1.0, 0.5])
    trace = net.forward(theta, [[1.0, 3.0], [3.0, 1.0]])
    assert trace.z[1].tolist() == [[-0.5], [5.5]]
    assert trace.output.tolist() == [[0.0], [5.5]]


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_dense_starts_with_the_weights_that_suit_the_activation(activation: str) -> None:
    suited = {"relu": "he", "leaky_relu": "he", "elu": "he", "silu": "he", "gelu": "he", "mish": "he", "selu": "lecun"}
    variance = {"he": 2 / 100, "lecun": 1 / 100, "glorot": 2 / 300}[suited.get(activation, "glorot")]
    W = Dense(200, activation).init(np.random.default_rng(0), 100)["W"]
    assert W.var() == pytest.approx(variance, rel=0.03)


def test_dense_takes_its_own_initializers() -> None:
    start = Dense(3, weight_init="zeros", bias_init={"name": "constant", "value": 0.5}).init(RNG, 2)
    assert start["W"].tolist() == [[0.0] * 3] * 2
    assert start["b"].tolist() == [0.5] * 3


# ---- Dropout ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.8])
def test_dropout_keeps_the_mean_and_drops_the_rate(rate: float) -> None:
    net, ones = Network(50, [Dropout(rate)]), np.ones((1000, 50))
    out = net.forward(np.empty(0), ones, training=True, rng=0).output
    assert set(np.unique(out)) == {0.0, 1 / (1 - rate)}
    assert (out == 0).mean() == pytest.approx(rate, abs=0.01)
    assert out.mean() == pytest.approx(1.0, abs=4 * np.sqrt(rate / (1 - rate) / ones.size))


def test_dropout_leaves_predictions_alone() -> None:
    net = Network(5, [Dropout(0.5)])
    np.testing.assert_array_equal(net.forward(np.empty(0), X).output, X)
    np.testing.assert_array_equal(net.forward(np.empty(0), X, rng=0).output, X)
    none = Network(5, [Dropout(0.0)])
    np.testing.assert_array_equal(none.forward(np.empty(0), X, training=True).output, X)


def test_dropout_masks_follow_the_seed() -> None:
    net = Network(5, [Dropout(0.5)])
    first, again, other = (net.forward(np.empty(0), X, training=True, rng=seed).output for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_dropout_that_trains_needs_noise() -> None:
    with pytest.raises(GlassnetError, match=r"rng must be given when a network with Dropout trains.*Pass rng=0"):
        Network(5, [Dropout(0.5)]).forward(np.empty(0), X, training=True)


# ---- BatchNorm and LayerNorm --------------------------------------------------------------------------------------


def scaled(layer: object) -> tuple[Network, np.ndarray]:
    net = Network(5, [layer])
    theta = net.init(rng=0)
    net.views(theta)["gamma1"][:] = [1, 2, 3, 4, 5]
    net.views(theta)["beta1"][:] = [5, 4, 3, 2, 1]
    return net, theta


def test_batch_norm_brings_each_unit_to_gamma_and_beta() -> None:
    net, theta = scaled(BatchNorm(eps=1e-12))
    out = net.forward(theta, X, training=True).output
    np.testing.assert_allclose(out.mean(axis=0), [5, 4, 3, 2, 1], atol=1e-13)
    np.testing.assert_allclose(out.std(axis=0), [1, 2, 3, 4, 5], rtol=1e-11)


def test_layer_norm_brings_each_row_to_mean_0_and_variance_1() -> None:
    net = Network(5, [LayerNorm(eps=1e-12)])
    for training in (False, True):
        out = net.forward(net.init(), X, training=training).output
        np.testing.assert_allclose(out.mean(axis=1), 0, atol=1e-13)
        np.testing.assert_allclose(out.std(axis=1), 1, rtol=1e-10)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.99])
def test_running_statistics_are_a_weighted_mean_of_those_of_the_batches(momentum: float) -> None:
    net = Network(5, [BatchNorm(momentum)])
    theta, state, batches = net.init(), net.init_state(), np.split(X, 4)
    for batch in batches:
        state = net.forward(theta, batch, state=state, training=True).state
    # of b batches, batch i has weight (1 - momentum) momentum^(b - 1 - i); the start (0 and 1) has momentum^b
    weights = np.array([momentum**4, *[(1 - momentum) * momentum ** (3 - i) for i in range(4)]])
    running = net.state_layout.views(state)
    np.testing.assert_allclose(running["mean1"], weights @ [np.zeros(5), *[b.mean(axis=0) for b in batches]])
    np.testing.assert_allclose(running["var1"], weights @ [np.ones(5), *[b.var(axis=0) for b in batches]])


def test_predictions_use_the_running_statistics_and_change_nothing() -> None:
    net = Network(5, [BatchNorm(eps=1e-12)])
    state = net.state_layout.pack({"mean1": np.full(5, 2.0), "var1": np.full(5, 9.0)})
    before = state.copy()
    trace = net.forward(net.init(), X, state=state)
    np.testing.assert_allclose(trace.output, (X - 2) / 3, rtol=1e-11)
    net.forward(net.init(), X, state=state, training=True)
    np.testing.assert_array_equal(state, before)
    np.testing.assert_array_equal(trace.state, before)


def test_batch_norm_starts_as_almost_the_identity() -> None:
    net = Network(5, [BatchNorm()])
    np.testing.assert_allclose(net.forward(net.init(), X).output, X, rtol=1e-6)


# ---- every layer --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("own_rows", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_stack_equals_its_networks_one_by_one(kind: str, own_rows: bool, training: bool) -> None:
    net, S, rng = Network(5, KINDS[kind]), 3, np.random.default_rng(1)
    theta = np.stack([net.init(rng=s) for s in range(S)]) + 0.1 * rng.normal(size=(S, net.n_parameters))
    state = net.init_state() + rng.random((S, net.state_layout.size))
    rows = np.stack([X + s for s in range(S)]) if own_rows else X
    dZ = rng.normal(size=(S, len(X), net.n_outputs))

    def loss(a: np.ndarray, y: np.ndarray) -> np.ndarray:
        return a * y

    objective = Objective(net, (loss, lambda a, y: y + 0 * a), engine="numpy")
    noise = [np.random.default_rng(s) for s in range(S)]
    targets = dZ if own_rows else dZ[0]
    J, grad = objective.value_and_grad(theta, rows, targets, state=state, training=training, rng=noise)
    together = net.forward(
        theta, rows, state=state, training=training, rng=[np.random.default_rng(s) for s in range(S)]
    )
    for s in range(S):
        x, y = (rows[s], targets[s]) if own_rows else (rows, targets)
        alone = net.forward(theta[s], x, state=state[s], training=training, rng=s)
        J_alone, grad_alone = objective.value_and_grad(theta[s], x, y, state=state[s], training=training, rng=s)
        output = np.broadcast_to(together.output, (S, *alone.output.shape))[s]
        np.testing.assert_allclose(output, alone.output, rtol=1e-12, atol=1e-13)
        if net.state_layout.size:
            np.testing.assert_allclose(together.state[s], alone.state, rtol=1e-13)
        assert np.broadcast_to(J, S)[s] == pytest.approx(J_alone, rel=1e-11, abs=1e-13)
        if net.n_parameters:
            np.testing.assert_allclose(grad[s], grad_alone, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_float32_stays_float32(kind: str, training: bool) -> None:
    net = Network(5, KINDS[kind])
    trace = net.forward(net.init(dtype=np.float32), X, training=training, rng=0)
    assert {array.dtype for array in (*trace.z, *trace.a)} == {np.dtype(np.float32)}


@pytest.mark.parametrize(
    "layer",
    [
        Dense(3),
        Dense(3, "relu", bias=False, weight_init="he_uniform", bias_init="zeros"),
        Dense(3, {"name": "leaky_relu", "slope": 0.2}, bias_init={"name": "constant", "value": 0.5}),
        Dense(3, "sigmoid", weight_init={"name": "normal", "std": 0.1}),
        Dropout(0.25),
        BatchNorm(0.9, 1e-3),
        LayerNorm(1e-4),
    ],
    ids=plain,
)
def test_json_round_trip(layer: object) -> None:
    text = json.dumps(layer.to_dict())
    assert from_dict(json.loads(text)) == layer
    assert hash(from_dict(json.loads(text))) == hash(layer)


@pytest.mark.parametrize(
    ("numpys", "pythons"),
    [
        (Dense(np.int64(4)), Dense(4)),
        (Dense(4, leaky_relu(np.float64(0.25))), Dense(4, leaky_relu(0.25))),
        (Dropout(np.float32(0.5)), Dropout(0.5)),
        (BatchNorm(np.float32(0.5), np.float32(0.25)), BatchNorm(0.5, 0.25)),
        (LayerNorm(np.float32(0.25)), LayerNorm(0.25)),
    ],
    ids=plain,
)
def test_options_may_be_numbers_of_numpy(numpys: object, pythons: object) -> None:
    assert json.dumps(numpys.to_dict()) == json.dumps(pythons.to_dict())
    assert from_dict(json.loads(json.dumps(numpys.to_dict()))) == numpys == pythons


def test_every_layer_is_in_the_table() -> None:
    assert set(LAYERS) == {"Dense", "Dropout", "BatchNorm", "LayerNorm"}


def test_layers_are_equal_however_they_were_spelt() -> None:
    assert Dense(3, "relu") == Dense(3, ACTIVATIONS["relu"]()) == Dense(3, {"name": "relu"})
    assert Dense(3, {"name": "elu", "alpha": 1.0}) == Dense(3, "elu") != Dense(3, {"name": "elu", "alpha": 2.0})


@pytest.mark.parametrize("option", ["weight_init", "bias_init"])
@pytest.mark.parametrize("name", ["zeros", "constant", "he_normal"])
@pytest.mark.parametrize("spelt", [initializer, lambda name: {"name": name}])
def test_layers_are_equal_however_their_initializers_were_spelt(option: str, name: str, spelt: object) -> None:
    assert Dense(3, **{option: name}) == Dense(3, **{option: spelt(name)})


def test_an_activation_of_your_own_trains_but_is_not_written() -> None:
    sine = Dense(3, (np.sin, lambda z, a: np.cos(z)))
    assert sine.function.f(np.zeros(1)) == 0
    with pytest.raises(GlassnetError, match="activation 'custom' is your own and cannot be written"):
        sine.to_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Dense(0), "units of Dense must be at least 1, received 0"),
        (lambda: Dense("3"), "units of Dense must be a whole number of at least 1, received '3'"),
        (lambda: Dense(3, "rleu"), r"unknown activation 'rleu': did you mean 'relu'\?"),
        (
            lambda: Dense(3, np.tanh),
            "activation must be a name, a record or a pair of functions, received <ufunc 'tanh'>",
        ),
        (lambda: Dense(3, weight_init="he_norm"), r"unknown initializer 'he_norm': did you mean 'he_normal'\?"),
        (lambda: Dense(3, bias_init="auto"), "unknown initializer 'auto'"),
        (lambda: Dropout(1.0), r"rate of Dropout must be in \[0, 1\), received 1.0"),
        (lambda: Dropout(-0.1), r"rate of Dropout must be in \[0, 1\), received -0.1"),
        (lambda: BatchNorm(1.0), r"momentum of BatchNorm must be in \[0, 1\), received 1.0"),
        (lambda: BatchNorm(eps=0.0), "eps of BatchNorm must be between 0 and 1, received 0.0"),
        (lambda: LayerNorm(-1e-5), "eps of LayerNorm must be between 0 and 1"),
        (lambda: from_dict({"layer": "Densee", "units": 3}), r"unknown layer 'Densee': did you mean 'Dense'\?"),
        (lambda: from_dict({"units": 3}), "unknown layer None: Known: Dense, Dropout, BatchNorm, LayerNorm"),
        (lambda: from_dict({"layer": "Dropout", "units": 3}), "a Dropout layer must be made from its own options"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()
