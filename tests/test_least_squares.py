"""least_squares.py and `minimize(method="lm")`: the same J, other people's minima, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize
from sklearn.linear_model import Ridge

import glassnet as gn
from glassnet import BatchNorm, Dense, LayerNorm, Network, Objective
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.gallery import study_hours
from glassnet.least_squares import physical_memory, squares
from glassnet.levenberg_marquardt import linearise

RNG = np.random.default_rng(3)
X, Y = RNG.normal(size=(40, 3)), RNG.uniform(0.2, 0.8, (40, 2))
WEIGHTS = RNG.uniform(0.0, 2.0, 40)
NETS = {
    "tanh": Network(3, [Dense(4, "tanh"), Dense(2)]),
    "sigmoid outputs": Network(3, [Dense(4, "gelu"), Dense(3, "tanh"), Dense(2, "sigmoid")]),
    "softmax outputs": Network(3, [Dense(4, "tanh", bias=False), Dense(2, "softmax")]),
    "LayerNorm": Network(3, [Dense(4), LayerNorm(), Dense(2, "tanh")]),
}


def data(weights: Array | None = None) -> tuple[Array, Array, Array | None]:
    objective = Objective(NETS["tanh"], "squared_error")
    return objective.check(X, Y, weights)


@given(
    st.sampled_from(sorted(NETS)), st.sampled_from([0.0, 0.7]), st.sampled_from([1.0, 0.5, 3.0]), st.booleans(),
    st.booleans(), st.integers(0, 2**31),
)  # fmt: skip
def test_the_sum_of_squares_is_the_objective(
    name: str, l2: float, factor: float, weighted: bool, in_blocks: bool, seed: int
) -> None:
    """Cost and gradient, from residuals and Jacobian, against backpropagation through the loss."""
    loss = gn.losses.scaled(gn.losses.get("squared_error"), factor)
    objective = Objective(NETS[name], loss, l2=l2)
    theta = np.random.default_rng(seed).normal(size=objective.net.n_parameters)
    weights = WEIGHTS if weighted else None
    P = objective.net.n_parameters
    memory = 16.0 * P * P + 5000 if in_blocks else None
    problem = squares(objective, data(weights), memory=memory)
    at = linearise(problem, theta)
    J, gradient = objective.value_and_grad(theta, X, Y, weights)
    assert at.cost == pytest.approx(float(J), rel=1e-12)
    np.testing.assert_allclose(at.gradient, gradient, atol=1e-12)
    double = linearise(squares(Objective(NETS[name], gn.losses.scaled(loss, 2.0)), data(weights)), theta)
    assert abs(double.cost - at.cost) > 1e-6, "planted: another factor"


def test_blocks_add_up_to_the_whole() -> None:
    wide = Objective(Network(3, [Dense(60, "tanh"), Dense(2)]), "squared_error")
    rows, P, rng = 500, wide.net.n_parameters, np.random.default_rng(0)
    many = rng.normal(size=(rows, 3)), rng.normal(size=(rows, 2)), None
    whole, parts = squares(wide, many), squares(wide, many, memory=16.0 * P * P + 8 * P * 2 * 100)
    assert (parts.block_rows, whole.block_rows) == (100, rows)
    theta = wide.net.init(0)
    one, other = linearise(whole, theta), linearise(parts, theta)
    assert other.jacobian is None
    np.testing.assert_allclose(other.gram, one.gram, atol=1e-12)
    np.testing.assert_allclose(other.gradient, one.gradient, atol=1e-14)
    np.testing.assert_allclose(other.step(0.1), one.step(0.1), rtol=1e-8, atol=1e-10)


# ---- other people's minima ----------------------------------------------------------------------------------------


def test_ridge_regression_equals_scikit_learn() -> None:
    """alpha |W|^2 beside the sum of squares is l2 = 2 alpha / m beside half their mean; biases are free."""
    alpha = 3.0
    theirs = Ridge(alpha=alpha, tol=1e-12).fit(X, Y, sample_weight=WEIGHTS)
    objective = Objective(Network(3, [Dense(2)]), "squared_error", l2=alpha / WEIGHTS.sum())
    run = gn.minimize(objective, np.zeros(8), X, Y, WEIGHTS, method="lm", tolerance=1e-12)
    views = objective.net.views(run.theta)
    np.testing.assert_allclose(views["W1"].T, theirs.coef_, atol=1e-8)
    np.testing.assert_allclose(views["b1"], theirs.intercept_, atol=1e-8)
    assert len(run.history) < 12


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_minimum_is_that_of_scipy(seed: int) -> None:
    """A network with a penalty whose rows SciPy is given one by one."""
    objective = Objective(NETS["sigmoid outputs"], "squared_error", l2=1e-3)
    smooth = 0.5 + 0.3 * np.sin(X[:, :2])
    theta, W = objective.net.init(seed), objective.net.weights

    def residuals(at: Array) -> Array:
        outputs = objective.net.forward(at, X).output
        return np.concatenate([((outputs - smooth) / np.sqrt(len(X))).ravel(), np.sqrt(1e-3) * at[W]])

    # the flattest direction has a curvature of 8e-5: a gradient of 1e-11 leaves theta uncertain by 1e-7
    run = gn.minimize(objective, theta, X, smooth, method="lm", tolerance=1e-11)
    theirs = optimize.least_squares(residuals, run.theta, xtol=1e-15, ftol=1e-15, gtol=1e-12)
    assert run.loss == pytest.approx(theirs.cost, rel=1e-9)
    np.testing.assert_allclose(run.theta, theirs.x, atol=1e-5)


def test_study_hours_is_solved_or_ends_in_its_local_minimum() -> None:
    """J below 1e-20, or the known local minimum, in at most 60 iterations, from 60 starts."""
    target = [gn.TargetReached(1e-20)]
    iterations, solved = [], 0
    for seed in range(60):
        start = study_hours.NET.init(rng=seed)
        run = gn.minimize(
            study_hours.SUM, start, study_hours.X, study_hours.Y, method="lm", tolerance=0.0, max_iter=60,
            callbacks=target,
        )  # fmt: skip
        solved += run.loss < 1e-20
        assert run.loss < 1e-20 or run.loss == pytest.approx(study_hours.LOCAL_MINIMUM, abs=1e-6)
        iterations.append(len(run.history) - 1)
    assert solved >= 54
    assert np.median(iterations) <= 15


def test_fewer_rows_than_weights() -> None:
    """1,501 weights, 5 rows: the 5 x 5 problem is solved, and all five are met."""
    net = Network(3, [Dense(300, "tanh"), Dense(1)])
    run = gn.minimize(
        Objective(net, "squared_error"), net.init(0), X[:5], Y[:5, :1], method="lm", tolerance=0.0, max_iter=30,
        callbacks=[gn.TargetReached(1e-24)],
    )  # fmt: skip
    assert run.loss < 1e-24


# ---- minimize -----------------------------------------------------------------------------------------------------


def test_the_damping_can_be_chosen() -> None:
    objective = Objective(NETS["tanh"], "squared_error")
    start = objective.net.init(0)
    small, large = (
        gn.minimize(objective, start, X, Y, method="lm", max_iter=1, damping=gn.Damping(start=mu)) for mu in (1e-3, 1e3)
    )
    assert np.linalg.norm(large.theta - start) < 0.1 * np.linalg.norm(small.theta - start)
    with pytest.raises(GlassnetError, match="damping must be left out but for 'lm' and 'br'"):
        gn.minimize(objective, start, X, Y, method="bfgs", damping=gn.Damping())


def test_an_infinite_start_is_said_to_have_diverged() -> None:
    objective = Objective(Network(3, [Dense(2)]), "squared_error")
    run = gn.minimize(objective, np.full(8, 1e200), np.abs(X), Y, method="lm")
    assert run.status == "diverged"


def test_a_kink_stops_it_and_is_named() -> None:
    """|x| of a ReLU at a kink: the gradient is not 0 and no step lowers J."""
    objective = Objective(Network(1, [Dense(1, "relu", bias=False)]), "squared_error")
    run = gn.minimize(objective, np.array([-1.0]), [[1.0], [-1.0]], [[1.0], [-1.0]], method="lm")
    assert run.status in ("stopped", "converged")
    assert float(objective.value(run.theta, [[1.0], [-1.0]], [[1.0], [-1.0]])) == pytest.approx(run.loss)


REFUSED: dict[str, tuple[Objective, str]] = {
    "cross-entropy": (
        Objective(NETS["softmax outputs"], "cross_entropy"),
        r"'lm' minimises sums of squares, and the loss cross_entropy is none \(squared_error is\)\. "
        r"Use 'lbfgs' or 'newton-cg', or the rule 'adam'\.",
    ),
    "huber": (Objective(NETS["tanh"], "huber"), "the loss huber is none"),
    "own": (Objective(NETS["tanh"], (lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y))), "the loss custom is none"),
    "l1": (Objective(NETS["tanh"], "squared_error", l1=0.1), r"the penalty l1 = 0\.1 is none \(l2 is\)"),
    "BatchNorm": (
        Objective(Network(3, [Dense(2), BatchNorm(), Dense(2)]), "squared_error"),
        "with BatchNorm each row's residual depends on all rows",
    ),
}


@pytest.mark.parametrize("method", ["lm", "br"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_sum_of_squares_is_refused(name: str, method: str) -> None:
    objective, message = REFUSED[name]
    targets = np.eye(2)[RNG.integers(0, 2, 40)]
    started: list[int] = []
    with pytest.raises(GlassnetError, match=message.replace("lm", method)):
        gn.minimize(objective, objective.net.init(0), X, targets, method=method, callbacks=[started.append])
    assert not started


@pytest.mark.parametrize("method", ["lm", "br"])
def test_too_many_weights_are_refused_before_any_work(method: str) -> None:
    """Two matrices of (4e6)^2 numbers: 256,000 GB."""
    net = Network(3, [Dense(2000), Dense(2000), Dense(2)])
    P = net.n_parameters
    many = np.zeros((4_100_000, 3)), np.zeros((4_100_000, 2))
    message = rf"{P:,} weights: {16.0 * P * P / 1e9:,.1f} GB, and .* GB may be used.*'lbfgs', 'newton-cg'.*'adam'"
    with pytest.raises(GlassnetError, match=message):
        gn.minimize(Objective(net, "squared_error"), np.zeros(P), *many, method=method)


def test_memory_decides() -> None:
    """The whole Jacobian, blocks of it, the last row of a block, and then nothing."""
    objective = Objective(Network(3, [Dense(60, "tanh"), Dense(2)]), "squared_error")
    many, P = (np.zeros((1000, 3)), np.zeros((1000, 2)), None), objective.net.n_parameters
    least, row = 16.0 * P * P, 8.0 * P * 2
    sizes = {1e9: 1000, least + 100 * row: 100, least + 1.5 * row: 1, least + row: 1}
    assert {memory: squares(objective, many, memory=memory).block_rows for memory in sizes} == sizes
    with pytest.raises(GlassnetError, match="GB may be used"):
        squares(objective, many, memory=least + 0.9 * row)


def test_the_machine_has_memory() -> None:
    assert 1e8 < physical_memory() < 1e14
