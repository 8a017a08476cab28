"""gradcheck.py: a right gradient passes, and a planted fault is found and named."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network, Objective, check_gradient
from glassnet.activations import Activation, get
from glassnet.errors import GlassnetError
from glassnet.gradcheck import BlockReport, GradientReport, central_differences, complex_step
from glassnet.losses import Loss

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(6, 3)), RNG.normal(size=(6, 2))
METHODS = pytest.mark.parametrize("method", ["central", "complex"])


def rosenbrock(t: np.ndarray) -> np.ndarray:
    return (1 - t[0]) ** 2 + 100 * (t[1] - t[0] ** 2) ** 2


def test_both_measures_know_rosenbrock() -> None:
    t = np.array([-1.2, 1.0])
    exact = [-215.6, -88.0]
    np.testing.assert_allclose(central_differences(rosenbrock, t), exact, rtol=1e-8)
    np.testing.assert_allclose(complex_step(rosenbrock, t), exact, rtol=1e-15)
    assert t.tolist() == [-1.2, 1.0]


@METHODS
def test_right_gradient_passes(method: str) -> None:
    net = Network(3, [Dense(4, "tanh"), BatchNorm(), Dropout(0.3), Dense(3, "silu"), LayerNorm(), Dense(2)])
    objective = Objective(net, "squared_error", l2=0.1)
    report = check_gradient(objective, net.init(rng=1), X, Y, RNG.random(6), method=method)
    assert report.ok, report
    assert report.method == method
    assert [block.name for block in report.blocks] == list(net.layout.names)
    assert [block.shape for block in report.blocks] == [shape for _, shape in net.layout.shapes]
    assert str(report).startswith("gradient right: worst relative error ")


@pytest.mark.parametrize("training", [False, True])
def test_both_modes_are_checked(training: bool) -> None:
    net = Network(3, [Dense(4, "tanh"), BatchNorm(), Dense(2)])
    state = net.init_state() + 0.5
    report = check_gradient(
        Objective(net, "squared_error"), net.init(), X, Y, state=state, training=training, method="complex"
    )
    assert report.ok, report


def faulty(factor: float) -> Activation:
    return Activation("faulty", np.tanh, lambda z, a: factor * (1.0 - a * a), analytic=True, takes_complex=True)


@METHODS
@pytest.mark.parametrize("factor", [1.001, 0.5, -1.0, 0.0])
def test_a_wrong_derivative_is_found_and_its_layer_named(method: str, factor: float) -> None:
    """The fault of layer 2 spoils what lies before it, W1 to b2; W3 and b3 are right."""
    net = Network(3, [Dense(4, "tanh"), Dense(3, faulty(factor)), Dense(2)])
    report = check_gradient(Objective(net, "squared_error"), net.init(rng=1), X, Y, method=method)
    assert not report.ok
    assert str(report).startswith("gradient WRONG")
    assert {b.name for b in report.blocks if b.error > report.tolerance} == {"W1", "b1", "W2", "b2"}


def test_a_derivative_that_is_wrong_at_one_unit_is_found_there() -> None:
    def df(z: np.ndarray, a: np.ndarray) -> np.ndarray:
        return (1.0 - a * a) * np.array([1.0, 1.0, 1.1, 1.0])

    net = Network(3, [Dense(4, Activation("lame", np.tanh, df)), Dense(2)])
    report = check_gradient(Objective(net, "squared_error"), net.init(rng=1), X, Y)
    worst = {block.name: block for block in report.blocks}
    assert not report.ok
    assert worst["b1"].index == (2,)
    assert worst["W1"].index[1] == 2
    assert worst["b1"].computed == pytest.approx(1.1 * worst["b1"].expected, rel=1e-5)
    assert worst["W2"].error < 1e-6


def test_a_wrong_loss_is_found_everywhere() -> None:
    net = Network(3, [Dense(2)])
    wrong = Objective(net, (lambda a, y: (a - y) ** 2, lambda a, y: a - y))
    report = check_gradient(wrong, net.init(), X, Y)
    assert [round(block.error, 6) for block in report.blocks] == [0.5, 0.5]


OWN = (np.tanh, lambda z, a: 1.0 - a * a)


@pytest.mark.parametrize(
    ("hidden", "loss"),
    [
        (OWN, "squared_error"),
        (Activation("tanh", *OWN, analytic=True), "squared_error"),
        ("tanh", (lambda a, y: (a - y) ** 2 / 2, lambda a, y: a - y)),
        ("tanh", Loss("squared_error", lambda a, y: abs(a - y) ** 2 / 2, lambda a, y: a - y, analytic=True)),
    ],
    ids=["activation", "under a known name", "loss", "loss under a known name"],
)
def test_complex_steps_through_functions_of_your_own_are_refused(hidden: object, loss: object) -> None:
    """|r|^2 of a complex r is another function: unless you say that yours takes complex numbers, it is not tried."""
    net = Network(3, [Dense(4, hidden), Dense(2)])
    objective = Objective(net, loss)
    with pytest.raises(GlassnetError, match=r"method must be 'central' for functions of your own.*received complex"):
        check_gradient(objective, net.init(rng=1), X, Y, method="complex")
    assert check_gradient(objective, net.init(rng=1), X, Y).ok


def test_complex_steps_through_functions_of_your_own_that_take_them() -> None:
    net = Network(3, [Dense(4, Activation("mine", *OWN, takes_complex=True)), Dense(2)])
    loss = Loss("mine", lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y), takes_complex=True)
    assert check_gradient(Objective(net, loss), net.init(rng=1), X, Y, method="complex").ok


def test_kinked_functions_away_from_their_kinks() -> None:
    net = Network(3, [Dense(4, "relu"), Dense(2)])
    assert check_gradient(Objective(net, "absolute_error"), net.init(rng=1), X, Y).ok


def test_tolerance_and_step_are_yours() -> None:
    net = Network(3, [Dense(4, "tanh"), Dense(2)])
    objective = Objective(net, "squared_error")
    coarse = check_gradient(objective, net.init(), X, Y, step=1e-1)
    assert not coarse.ok
    assert check_gradient(objective, net.init(), X, Y, step=1e-1, tolerance=0.1).ok


def block(name: str, error: float) -> BlockReport:
    return BlockReport(name, (1,), error, (0,), 1.0, 1.0)


@pytest.mark.parametrize(
    "errors",
    [
        (nan, 1e-9),
        (1e-9, nan),
    ],
)
def test_nan_is_never_right(errors: tuple[float, float]) -> None:
    report = GradientReport("central", 1e-6, tuple(block(f"W{l}", error) for l, error in enumerate(errors, 1)))
    assert not report.ok
    assert str(report).startswith("gradient WRONG")


@pytest.mark.parametrize(("error", "ok"), [(0.0, True), (1e-6, True), (1.01e-6, False)])
def test_one_block_beyond_the_tolerance_is_enough(error: float, ok: bool) -> None:
    report = GradientReport("central", 1e-6, (block("W1", 0.0), block("b1", error), block("W2", 0.0)))
    assert report.ok is ok
    assert report.error == error


def test_a_report_prints_a_row_for_each_block() -> None:
    report = GradientReport("central", 1e-6, (block("W1", 1e-9), block("b1", 1e-3)))
    assert str(report).splitlines() == [
        "gradient WRONG: worst relative error 1.0e-03 (central, at most 1e-06)",
        "  W1       (1,)         1.0e-09  worst at (0,): computed 1, expected 1",
        "  b1       (1,)         1.0e-03  worst at (0,): computed 1, expected 1",
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"theta": np.zeros(8, np.float32)}, r"theta must be float64 of shape \(8,\), received float32 \(8,\)"),
        ({"theta": np.zeros((2, 8))}, r"theta must be float64 of shape \(8,\), received float64 \(2, 8\)"),
        ({"method": "centre"}, r"unknown method 'centre': did you mean 'central'\?"),
        ({"Y": np.zeros(6)}, r"Y must be \(m, 2\)"),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    objective = Objective(Network(3, [Dense(2, get("tanh"))]), "squared_error")
    with pytest.raises(GlassnetError, match=message):
        check_gradient(**{"objective": objective, "theta": np.zeros(8), "X": X, "Y": Y, **options})
