"""objective.py: weights are repeated rows, the penalty sees weights alone, and the Jacobian is the gradient's."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import scipy.sparse

from glassnet import BatchNorm, Dense, LayerNorm, Network, Objective
from glassnet.activations import Activation
from glassnet.errors import GlassnetError
from glassnet.layers import Mode
from glassnet.losses import LOSSES, Loss

RNG = np.random.default_rng(0)
NET = Network(3, [Dense(4, "tanh"), LayerNorm(), Dense(2)])
THETA = NET.init(rng=1) + 0.1 * RNG.normal(size=NET.n_parameters)
X, Y = RNG.normal(size=(8, 3)), RNG.normal(size=(8, 2))


def objective(**options: float) -> Objective:
    return Objective(NET, "squared_error", engine="numpy", **options)


def same(one: tuple, other: tuple, rtol: float = 1e-12) -> None:
    np.testing.assert_allclose(one[0], other[0], rtol=rtol)
    np.testing.assert_allclose(one[1], other[1], rtol=rtol, atol=1e-14)


# ---- the data term ------------------------------------------------------------------------------------------------


def test_mean_over_samples_of_the_sum_over_outputs() -> None:
    residuals = NET.forward(THETA, X).output - Y
    expected = np.mean([0.5 * sum(r * r for r in row) for row in residuals])
    assert objective().value(THETA, X, Y) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("options", [{}, {"l1": 0.1, "l2": 0.2}])
def test_value_is_that_of_value_and_grad(options: dict[str, float]) -> None:
    J, grad = objective(**options).value_and_grad(THETA, X, Y)
    assert pytest.approx(objective(**options).value(THETA, X, Y), rel=1e-15) == J
    assert np.ndim(J) == 0
    assert grad.shape == THETA.shape


@pytest.mark.parametrize("options", [{}, {"l1": 0.1, "l2": 0.2}])
def test_whole_weights_are_repeated_rows(options: dict[str, float]) -> None:
    times = np.array([1, 2, 3, 1, 0, 5, 1, 4])
    weighted = objective(**options).value_and_grad(THETA, X, Y, times)
    same(weighted, objective(**options).value_and_grad(THETA, np.repeat(X, times, 0), np.repeat(Y, times, 0)))


def test_only_the_shares_of_weights_matter() -> None:
    w = RNG.random(8)
    same(objective(l2=0.5).value_and_grad(THETA, X, Y, w), objective(l2=0.5).value_and_grad(THETA, X, Y, 1e6 * w))
    same(objective().value_and_grad(THETA, X, Y, np.full(8, 3.0)), objective().value_and_grad(THETA, X, Y))


def test_rows_of_weight_zero_are_dropped() -> None:
    w = np.array([1.0, 1, 0, 1, 0, 1, 1, 1])
    same(objective().value_and_grad(THETA, X, Y, w), objective().value_and_grad(THETA, X[w > 0], Y[w > 0]))


def test_batches_add_up_to_the_whole() -> None:
    parts = [objective().value_and_grad(THETA, X[i : i + 2], Y[i : i + 2]) for i in range(0, 8, 2)]
    whole = objective().value_and_grad(THETA, X, Y)
    same((np.mean([J for J, _ in parts]), np.mean([g for _, g in parts], axis=0)), whole, 1e-11)


@pytest.mark.parametrize("size", [1, 2, 4])
@pytest.mark.parametrize("weights", [np.arange(8.0), [0, 0, 0, 0, 1, 2, 3, 10], np.full(8, 1e-9)])
def test_equal_batches_of_weighted_rows_estimate_the_whole_without_bias(weights: object, size: int) -> None:
    """Their mean is the gradient of all rows, though some batches weigh more than others, and some nothing."""
    fitted = objective(l1=0.1, l2=0.2)
    rows, targets, w = fitted.check(X, Y, weights)
    assert w.mean() == pytest.approx(1.0)
    batches = [slice(start, start + size) for start in range(0, 8, size)]
    parts = [fitted.evaluate(THETA, rows[b], targets[b], w[b], None, Mode(True)) for b in batches]
    whole = fitted.value_and_grad(THETA, X, Y, weights)
    same((np.mean([J for J, *_ in parts]), np.mean([g for _, g, _ in parts], axis=0)), whole, 1e-11)


def test_a_batch_without_weight_has_no_data_gradient() -> None:
    J, grad, _ = objective().evaluate(THETA, X, Y, np.zeros(8), None, Mode(True))
    assert J == 0
    np.testing.assert_array_equal(grad, np.zeros_like(THETA))


# ---- the penalty --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("m", [1, 3, 8])
def test_penalty_sees_weights_alone_and_no_batch_size(m: int) -> None:
    J0, g0 = objective().value_and_grad(THETA, X[:m], Y[:m])
    J, g = objective(l1=0.3, l2=0.7).value_and_grad(THETA, X[:m], Y[:m])
    W = np.where(NET.weights, THETA, 0.0)
    assert pytest.approx(0.3 * np.linalg.norm(W, 1) + 0.35 * np.linalg.norm(W) ** 2, rel=1e-12) == J - J0
    np.testing.assert_allclose(g - g0, 0.3 * np.sign(W) + 0.7 * W, atol=1e-14)


def test_penalty_of_a_stack_is_that_of_each_network() -> None:
    stack = np.stack([THETA, 2 * THETA])
    each = [objective(l1=0.3, l2=0.7).penalty(theta) for theta in stack]
    np.testing.assert_allclose(objective(l1=0.3, l2=0.7).penalty(stack), each)
    J, g = objective(l1=0.3, l2=0.7).value_and_grad(stack, X, Y)
    alone = [objective(l1=0.3, l2=0.7).value_and_grad(theta, X, Y) for theta in stack]
    same((J, g), (np.stack([J for J, _ in alone]), np.stack([g for _, g in alone])), 1e-11)


def test_l1_at_weight_zero_has_slope_zero() -> None:
    theta = np.zeros(NET.n_parameters)
    np.testing.assert_array_equal(
        objective(l1=5.0).value_and_grad(theta, X, Y)[1], objective().value_and_grad(theta, X, Y)[1]
    )


# ---- Jacobian and residuals ---------------------------------------------------------------------------------------

JACOBIANS = {
    "tanh": [Dense(4, "tanh"), Dense(2)],
    "softmax": [Dense(4, "sigmoid"), Dense(3, "softmax")],
    "norms": [Dense(4, "gelu"), BatchNorm(), LayerNorm(), Dense(2, "softplus")],
}


@pytest.mark.parametrize("kind", JACOBIANS)
def test_jacobian_equals_central_differences(kind: str) -> None:
    net, h = Network(3, JACOBIANS[kind]), 1e-6
    theta, state = net.init(rng=2) + 0.1, net.init_state() + 0.5
    jacobian = Objective(net, "squared_error").jacobian(theta, X, state=state)
    steps = h * np.eye(net.n_parameters)
    up, down = (net.forward(theta + s * steps, X, state=state).output for s in (1, -1))
    assert jacobian.shape == (8, net.n_outputs, net.n_parameters)
    np.testing.assert_allclose(jacobian, np.moveaxis((up - down) / (2 * h), 0, -1), atol=1e-8)


def test_gradient_is_residuals_through_the_jacobian() -> None:
    residuals, jacobian = objective().residuals(THETA, X, Y), objective().jacobian(THETA, X)
    _, grad = objective().value_and_grad(THETA, X, Y)
    np.testing.assert_allclose(np.einsum("mk,mkp->p", residuals, jacobian) / 8, grad, atol=1e-14)


def test_residuals_of_another_loss_are_refused() -> None:
    with pytest.raises(GlassnetError, match="the loss must be squared_error for residuals, received huber"):
        Objective(NET, "huber").residuals(THETA, X, Y)


# ---- Hessian times a vector ---------------------------------------------------------------------------------------

OWN = (lambda z: z * z * z, lambda z, a: 3 * z * z)


@pytest.mark.parametrize("weights", [None, np.arange(1.0, 9.0)])
@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize(
    ("hidden", "loss"), [("tanh", "squared_error"), ("gelu", "huber"), (OWN, "squared_error"), ("sigmoid", "own")]
)
def test_hessian_product(hidden: object, loss: object, training: bool, weights: np.ndarray | None) -> None:
    """By central differences of the gradient; a Hessian is symmetric."""
    net = Network(3, [Dense(4, hidden), BatchNorm(), Dense(2)])
    chosen = (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y)) if loss == "own" else loss
    objective = Objective(net, chosen, l2=0.1, engine="numpy")
    theta, h = net.init(rng=3), 1e-5
    u, v = np.random.default_rng(4).normal(size=(2, net.n_parameters))

    def gradient(t: np.ndarray) -> np.ndarray:
        return objective.value_and_grad(t, X, Y, weights, training=training)[1]

    Hu, Hv = (objective.hessian_product(theta, w, X, Y, weights, training=training) for w in (u, v))
    measured = (gradient(theta + h * v) - gradient(theta - h * v)) / (2 * h)
    np.testing.assert_allclose(Hv, measured, atol=1e-6 * np.abs(measured).max())
    assert u @ Hv == pytest.approx(v @ Hu, rel=1e-6)


@pytest.mark.parametrize("function", ["activation", "loss"])
def test_hessian_product_differences_what_only_has_a_known_name(function: str) -> None:
    """|z|^2 of a complex z has no complex derivative: a complex step through it would give another number."""
    own_f = Activation("tanh", lambda z: np.tanh(abs(z)), lambda z, a: np.sign(z.real) * (1 - a * a))
    own_loss = Loss("squared_error", lambda a, y: abs(a - y) ** 3 / 3, lambda a, y: abs(a - y) * (a - y))
    net = Network(3, [Dense(4, own_f if function == "activation" else "tanh"), Dense(2)])
    fitted = Objective(net, own_loss if function == "loss" else "squared_error")
    assert not fitted.takes_complex
    theta, v, h = net.init(rng=3), np.random.default_rng(4).normal(size=net.n_parameters), 1e-5
    up, down = (fitted.value_and_grad(theta + s * h * v, X, Y)[1] for s in (1, -1))
    measured = (up - down) / (2 * h)
    np.testing.assert_allclose(fitted.hessian_product(theta, v, X, Y), measured, atol=1e-6 * np.abs(measured).max())


def test_hessian_product_takes_a_list() -> None:
    v = np.arange(34.0)
    np.testing.assert_array_equal(
        objective().hessian_product(THETA, v.tolist(), X, Y), objective().hessian_product(THETA, v, X, Y)
    )


def test_what_takes_complex_numbers() -> None:
    mine = Activation("mine", np.tanh, lambda z, a: 1 - a * a, takes_complex=True)
    assert objective().takes_complex
    assert Objective(Network(3, [Dense(4, mine), Dense(2)]), "huber").takes_complex
    assert not Objective(Network(3, [Dense(4, OWN), Dense(2)]), "huber").takes_complex
    assert not Objective(NET, (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y))).takes_complex


# ---- dtype, pairs, refusals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("weights", [None, np.ones(8)])
def test_float32_gradient_stays_float32(weights: np.ndarray | None) -> None:
    J, grad = objective(l1=0.1, l2=0.1).value_and_grad(THETA.astype(np.float32), X, Y, weights)
    assert grad.dtype == np.float32
    same((J, grad), objective(l1=0.1, l2=0.1).value_and_grad(THETA, X, Y), 1e-4)


def test_a_loss_of_your_own_is_the_built_in_one() -> None:
    own = Objective(NET, (lambda a, y: (a - y) ** 2 / 2, lambda a, y: a - y), l2=0.1)
    same(own.value_and_grad(THETA, X, Y), objective(l2=0.1).value_and_grad(THETA, X, Y))
    assert own.matched is None
    assert objective().matched is not None


def test_an_activation_that_only_shares_a_name_is_not_matched() -> None:
    triple = Activation("identity", lambda z: 3 * z, lambda z, a: 3 * np.ones_like(z))
    net = Network(1, [Dense(1, triple)])
    J, grad = Objective(net, "squared_error").value_and_grad(np.array([1.0, 0.0]), [[1.0]], [[0.0]])
    assert J == 4.5
    assert grad.tolist() == [9.0, 9.0]


CALLS = {
    "value": lambda theta: objective().value(theta, X, Y),
    "value_and_grad": lambda theta: objective().value_and_grad(theta, X, Y)[1],
    "residuals": lambda theta: objective().residuals(theta, X, Y),
    "jacobian": lambda theta: objective().jacobian(theta, X),
}


@pytest.mark.parametrize("P", [NET.n_parameters - 1, NET.n_parameters + 1])
@pytest.mark.parametrize("call", CALLS)
def test_theta_of_another_length_is_refused(call: str, P: int) -> None:
    with pytest.raises(GlassnetError, match=r"theta must be \(\.\.\., 34\), received"):
        CALLS[call](np.ones(P))


@pytest.mark.parametrize("call", CALLS)
def test_theta_of_whole_numbers_means_the_same(call: str) -> None:
    np.testing.assert_array_equal(CALLS[call](np.arange(NET.n_parameters)), CALLS[call](np.arange(34.0)))


def test_records_compare() -> None:
    assert objective(l2=0.1) == objective(l2=0.1) != objective(l2=0.2)


def test_a_loss_with_options_hashes_compares_and_pickles() -> None:
    one, two = (Objective(NET, {"name": "huber", "delta": delta}) for delta in (0.3, np.float64(0.3)))
    assert hash(one) == hash(two)
    assert one == two == pickle.loads(pickle.dumps(one)) == copy.deepcopy(one) != Objective(NET, "huber")


# ---- a loss of your own is called once ----------------------------------------------------------------------------


def difference(a: np.ndarray, y: np.ndarray) -> np.ndarray:
    return a - y


WRONG_SHAPES = {
    "a number a row": lambda a, y: (a - y).sum(axis=1),
    "a number a row, in a column": lambda a, y: (a - y).sum(axis=1, keepdims=True),
    "one number": lambda a, y: float(((a - y) ** 2).mean()),
    "nothing": lambda a, y: None,
}


@pytest.mark.parametrize("wrong", WRONG_SHAPES.values(), ids=WRONG_SHAPES)
def test_a_loss_that_gives_no_number_for_each_output_is_refused(wrong: object) -> None:
    with pytest.raises(
        GlassnetError, match=r"value of your loss must be one number for each output, \(2, 2\) here, rec"
    ):
        Objective(NET, (wrong, difference))
    with pytest.raises(GlassnetError, match="slope of your loss must be one number for each output"):
        Objective(NET, Loss("huber", difference, wrong))


def test_a_loss_of_your_own_is_called_with_outputs_that_it_is_defined_for() -> None:
    seen: list[np.ndarray] = []
    loss = Loss("mine", lambda a, y: seen.append(a) or a - y, difference, "simplex", "simplex")
    Objective(Network(3, [Dense(2, "softmax")]), loss)
    np.testing.assert_array_equal(seen, np.full((1, 2, 2), 0.5))


def test_a_loss_of_your_own_that_divides_by_its_targets_warns_of_nothing() -> None:
    Objective(NET, (lambda a, y: (a - y) ** 2 / y, lambda a, y: 2 * (a - y) / y))


def test_one_unit_of_sigmoid_takes_the_cross_entropy_of_two_classes() -> None:
    assert Objective(Network(3, [Dense(1, "sigmoid")]), "binary_cross_entropy").matched is not None


@pytest.mark.parametrize("loss", [name for name in LOSSES if name not in ("poisson", "gamma", "cross_entropy")])
def test_one_number_for_a_column_of_targets_is_refused(loss: str) -> None:
    net = Network(3, [Dense(1, "sigmoid")])
    with pytest.raises(GlassnetError, match=r"Y must be \(m, 1\), received \(8,\). One column\? Y\[:, None\]"):
        Objective(net, loss).value(net.init(), X, np.ones(8))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: objective(l2=-1.0), "l2 must be at least 0 and finite, received -1.0"),
        (lambda: objective(l1=np.inf), "l1 must be at least 0 and finite, received inf"),
        (lambda: objective(l1=np.nan), "l1 must be at least 0 and finite, received nan"),
        (lambda: Objective(NET, "square"), r"unknown loss 'square': did you mean 'squared_error'\?"),
        (lambda: Objective(NET, "huber", engine="nunpy"), r"unknown engine 'nunpy': did you mean 'numpy'\?"),
        (lambda: Objective(NET, "cross_entropy"), "cross_entropy needs outputs that sum to 1.*received 'identity'"),
        (
            lambda: Objective(Network(3, [Dense(2, "sigmoid")]), "cross_entropy"),
            r"for sigmoid outputs take binary_cross_entropy\); received 'sigmoid'",
        ),
        *(
            (
                lambda loss=loss: Objective(Network(3, [Dense(1, "softmax")]), loss),
                "a softmax output must be of at least 2 units, received 1. One unit: 'sigmoid' with binary_cross",
            )
            for loss in ("cross_entropy", "squared_error")
        ),
        *(
            (
                lambda theta=theta, v=v: objective().hessian_product(theta, v, X, Y),
                rf"direction must be of theta's shape \(34,\), received \({np.size(v) if np.ndim(v) else ''}",
            )
            for theta, v in ((THETA, np.ones(33)), (THETA, 1.0), (THETA, np.ones(1)))
        ),
        (lambda: objective().value(THETA, X + 1j, Y), "X must be real where theta is real"),
        (lambda: objective().value(THETA, scipy.sparse.csr_array(X), Y), "X must be a dense array, received a sparse"),
        (lambda: Objective(Network(3, [Dense(2, "exp"), BatchNorm()]), "poisson"), "poisson needs outputs positive"),
        (lambda: objective().value(THETA, X, Y[:5]), "equally many rows, received 8 and 5"),
        (lambda: objective().value(THETA, X, Y[:, :1]), r"Y must be \(m, 2\), received \(8, 1\)"),
        (lambda: objective().value(THETA, X, Y[:, 0]), r"Y must be \(m, 2\), received \(8,\). Class labels\?"),
        (lambda: objective().value(THETA, X, Y, np.ones(3)), r"sample_weight must be \(8,\), received \(3,\)"),
        (lambda: objective().value(THETA, X, Y, -np.ones(8)), "sample_weight must be at least 0"),
        (lambda: objective().value(THETA, X, np.where(Y > 0, Y, np.nan)), "Y must be finite"),
        (lambda: objective().jacobian(THETA, X[0]), r"X must be \(m, 3\), received \(3,\). One row\?"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()
