"""network.py: a frozen value, one vector of parameters, and the forward pass."""

from __future__ import annotations

import copy
import json
import pickle

import numpy as np
import pytest
import scipy.sparse

from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network
from glassnet.activations import Activation, leaky_relu
from glassnet.errors import GlassnetError
from glassnet.initializers import normal

DEEP = Network(3, [Dense(4, "tanh"), BatchNorm(0.9), Dropout(0.2), Dense(5, "relu", bias=False), LayerNorm(), Dense(2)])
X = np.random.default_rng(0).normal(size=(7, 3))


def test_names_shapes_and_sizes() -> None:
    assert dict(DEEP.layout.shapes) == {
        "W1": (3, 4),
        "b1": (4,),
        "gamma2": (4,),
        "beta2": (4,),
        "W4": (4, 5),
        "gamma5": (5,),
        "beta5": (5,),
        "W6": (5, 2),
        "b6": (2,),
    }
    assert DEEP.sizes == (3, 4, 4, 4, 5, 5, 2)
    assert (DEEP.n_parameters, DEEP.n_outputs, DEEP.output_activation) == (66, 2, "identity")
    assert dict(DEEP.state_layout.shapes) == {"mean2": (4,), "var2": (4,)}


def test_weights_are_the_matrices_alone() -> None:
    theta = np.zeros(DEEP.n_parameters)
    theta[DEEP.weights] = 1.0
    marked = {name for name, view in DEEP.views(theta).items() if view.all()}
    assert marked == {"W1", "W4", "W6"}
    assert theta.sum() == 12 + 20 + 10
    assert sum(part.stop - part.start for part in DEEP.weight_slices) == 42


def test_views_write_into_theta() -> None:
    theta = DEEP.init()
    DEEP.views(theta)["W1"][:] = 0
    assert not theta[:12].any()
    assert theta[DEEP.weights][12:].any()


def test_init() -> None:
    theta = DEEP.init(rng=3)
    np.testing.assert_array_equal(theta, DEEP.init(rng=3))
    np.testing.assert_array_equal(theta, DEEP.init(rng=np.random.default_rng(3)))
    assert (theta != DEEP.init(rng=4)).any()
    assert DEEP.init(dtype=np.float32).dtype == np.float32
    views = DEEP.views(theta)
    assert views["gamma2"].tolist() == [1] * 4
    assert not views["b1"].any()
    assert not views["beta5"].any()
    assert DEEP.init_state().tolist() == [0] * 4 + [1] * 4


def test_forward_by_hand() -> None:
    net = Network(2, [Dense(2, "relu"), Dense(1, "sigmoid")])
    theta = net.layout.pack({"W1": [[1, -1], [2, 1]], "b1": [0, 1], "W2": [[1], [-2]], "b2": [3]})
    trace = net.forward(theta, [[1.0, -1.0]])
    # z1 = (1 - 2, -1 - 1 + 1) = (-1, -1); a1 = (0, 0); z2 = 3
    assert trace.z[0].tolist() == trace.a[0].tolist() == [[1.0, -1.0]]
    assert trace.z[1].tolist() == [[-1.0, -1.0]]
    assert trace.a[1].tolist() == [[0.0, 0.0]]
    assert trace.z[2].tolist() == [[3.0]]
    assert trace.output[0, 0] == pytest.approx(1 / (1 + np.exp(-3.0)))
    assert len(trace.z) == len(trace.a) == 3


def test_trace_links_layer_to_layer() -> None:
    trace = DEEP.forward(DEEP.init(), X, training=True, rng=0)
    for l, layer in enumerate(DEEP.layers, 1):
        np.testing.assert_array_equal(trace.a[l], layer.function.f(trace.z[l]))
        assert trace.a[l].shape == (7, DEEP.sizes[l])
    assert trace.output is trace.a[-1]


def test_rows_do_not_see_each_other_when_predicting() -> None:
    theta = DEEP.init()
    together = DEEP.forward(theta, X).output
    alone = np.concatenate([DEEP.forward(theta, row[None, :]).output for row in X])
    np.testing.assert_allclose(together, alone, rtol=1e-12, atol=1e-14)


def test_inputs_are_never_changed() -> None:
    theta, rows = DEEP.init(), X.copy()
    before = theta.copy()
    DEEP.forward(theta, rows, training=True, rng=0)
    np.testing.assert_array_equal(rows, X)
    np.testing.assert_array_equal(theta, before)


def test_a_whole_number_of_numpy_is_a_seed() -> None:
    theta = DEEP.init()
    expected = DEEP.forward(theta, X, training=True, rng=5).output
    np.testing.assert_array_equal(DEEP.forward(theta, X, training=True, rng=np.int64(5)).output, expected)


def test_state_keeps_the_dtype_of_theta() -> None:
    theta = DEEP.init(dtype=np.float32)
    assert DEEP.forward(theta, X, state=DEEP.init_state()).output.dtype == np.float32


def test_equality_and_hash() -> None:
    same = Network(3, iter(DEEP.layers))
    assert same == DEEP
    assert len({same, DEEP, Network(3, [Dense(2)])}) == 2
    assert Network(3, [Dense(2)]) != Network(4, [Dense(2)])
    with pytest.raises(AttributeError):
        DEEP.n_inputs = 5


@pytest.mark.parametrize("again", [copy.deepcopy, lambda net: pickle.loads(pickle.dumps(net))])
def test_copies_are_equal_and_work(again: object) -> None:
    theta = DEEP.init()
    before = DEEP.forward(theta, X).output  # what the properties remember now is not copied
    twin = again(DEEP)
    assert twin == DEEP
    np.testing.assert_array_equal(twin.forward(theta, X).output, before)


def test_work_reuses_memory_and_changes_no_number() -> None:
    theta = DEEP.init()
    work = DEEP.work(theta)
    theta += 0.1  # moved in place: the views see it
    np.testing.assert_array_equal(DEEP.trace(theta, X, work=work).output, DEEP.forward(theta, X).output)
    assert np.shares_memory(work.grads[0]["W"], work.grad)


def test_json_round_trip() -> None:
    slope = {"name": "leaky_relu", "slope": 0.3}
    for net in (DEEP, Network(3, [Dense(4, slope, weight_init={"name": "normal", "std": 0.1}), Dense(2, "softmax")])):
        again = Network.from_dict(json.loads(json.dumps(net.to_dict())))
        assert again == net
        np.testing.assert_array_equal(again.init(rng=1), net.init(rng=1))


def test_an_activation_of_your_own_is_not_written() -> None:
    net = Network(2, [Dense(1, Activation("cube", lambda z: z**3, lambda z, a: 3 * z * z))])
    assert net.forward(np.array([1.0, 1.0, 0.0]), [[1.0, 1.0]]).output == 8
    with pytest.raises(GlassnetError, match="activation 'cube' is your own"):
        net.to_dict()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Network(0, [Dense(1)]), "n_inputs must be at least 1, received 0"),
        (lambda: Network(2.0, [Dense(1)]), "n_inputs must be a whole number"),
        (lambda: Network(2, []), r"layers must be at least one, received none.*\[Dense\(n_outputs\)\]"),
        (lambda: Network(2, [50]), "each layer must be a layer such as Dense.*received 50"),
        (lambda: Network(2, [Dense]), "each layer must be a layer such as Dense"),
        (lambda: Network.from_dict({"layers": 3}), "a network must be .*received"),
        (lambda: Network.from_dict({"layers": [3], "n_inputs": 1}), "a network must be"),
        (lambda: Network.from_dict({"layers": []}), "n_inputs must be a whole number"),
        (
            lambda: DEEP.forward(DEEP.init(), np.zeros(3)),
            r"X must be \(m, 3\), received \(3,\). One row\? X\[None, :\]",
        ),
        (lambda: DEEP.forward(DEEP.init(), np.zeros((4, 2))), r"X must be \(m, 3\), received \(4, 2\)"),
        (lambda: DEEP.forward(DEEP.init(), np.full((1, 3), np.nan)), "X must be finite"),
        (lambda: DEEP.forward(DEEP.init(), X + 1j), "X must be real where theta is real, received complex128"),
        (lambda: DEEP.forward(DEEP.init(), X, state=0.0), r"state must be \(\.\.\., 8\), received \(\)"),
        (lambda: DEEP.forward(DEEP.init(), scipy.sparse.csr_array(X)), r"received a sparse csr_array. X.toarray\(\)"),
        (lambda: DEEP.forward(DEEP.init(), X, state=np.zeros(3)), r"state must be \(\.\.\., 8\).*net.init_state\(\)"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()


def test_complex_x_goes_through_with_complex_theta() -> None:
    assert DEEP.forward(DEEP.init() + 0j, X + 1j).output.dtype == np.complex128


def test_the_state_may_be_a_list() -> None:
    theta, state = DEEP.init(), DEEP.init_state() + 0.5
    np.testing.assert_array_equal(
        DEEP.forward(theta, X, state=state.tolist()).output, DEEP.forward(theta, X, state=state).output
    )


def test_copies_of_options_and_functions_of_your_own_are_equal_and_work() -> None:
    net = Network(3, [Dense(4, leaky_relu(0.2), weight_init=normal(0.1)), Dense(2, Activation("mine", np.sin, np.add))])
    for twin in (pickle.loads(pickle.dumps(net)), copy.deepcopy(net)):
        assert twin == net
        np.testing.assert_array_equal(twin.forward(net.init(), X).output, net.forward(net.init(), X).output)


def test_one_layer_without_its_list_is_refused() -> None:
    with pytest.raises(GlassnetError, match="layers"):
        Network(2, Dense(1))


def test_whole_numbers_in_theta_do_not_truncate_x() -> None:
    net = Network(2, [Dense(1)])
    assert net.forward(np.array([1, 2, 3]), [[1.5, 1.0]]).output == 6.5


@pytest.mark.parametrize("P", [65, 67])
def test_theta_of_another_length_is_refused(P: int) -> None:
    with pytest.raises(GlassnetError, match=rf"theta must be \(\.\.\., 66\), received \({P},\)"):
        DEEP.forward(np.zeros(P), X)
