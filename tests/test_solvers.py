"""solvers.py: known minima, other people's solutions, and Hessian-vector products against two witnesses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import LogisticRegression

import glassnet as gn
from glassnet import BatchNorm, Dense, Dropout, LayerNorm, Network, Objective
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.callbacks import Request, Watcher
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, Run
from glassnet.solvers import METHODS

every_method = pytest.mark.parametrize("method", METHODS)
every_minimiser = pytest.mark.parametrize("method", [name for name in METHODS if name != "br"])
"""Bayesian regularisation changes its penalty on the way: its J is not least where it ends."""
for_any_loss = pytest.mark.parametrize("method", [name for name in METHODS if name not in ("lm", "br")])
RNG = np.random.default_rng(0)

# ---- study hours: the smallest regression -------------------------------------------------------------------------

HOURS = np.array([[3.0, 5.0], [5.0, 1.0], [10.0, 2.0]]) / [10.0, 5.0]
SCORES = np.array([[0.75], [0.82], [0.95]])
STUDY = Objective(Network(2, [Dense(3, "sigmoid", bias=False), Dense(1, "sigmoid", bias=False)]), "squared_error")
LOCAL_MINIMUM = 0.002068 / 3
"""The published J is a sum over the three students, glassnet's their mean."""


def study(seed: int, **options: Any) -> Run:
    return gn.minimize(STUDY, np.random.default_rng(seed).normal(size=9), HOURS, SCORES, **options)


@every_minimiser
def test_study_hours(method: str) -> None:
    """From five starts: almost no error in most, the known local minimum in the others."""
    runs = [study(seed, method=method) for seed in range(5)]
    ends = np.array([run.loss for run in runs])
    solved = ends < 1e-7 / 3
    assert solved.sum() >= 3
    np.testing.assert_allclose(ends[~solved], LOCAL_MINIMUM, rtol=3e-4)
    for run in runs:
        J, gradient = STUDY.value_and_grad(run.theta, HOURS, SCORES)
        assert run.status == "converged"
        assert np.abs(gradient).max() <= 1e-6
        assert run.loss == pytest.approx(float(J), rel=1e-12)
        assert len(run.history) <= 100


def test_newton_cg_differences_no_gradients() -> None:
    """Its Hessian-vector products are exact: J is evaluated about once an iteration, however many products it takes."""
    history = study(0, method="newton-cg").history
    assert history["updates"][-1] <= 2 * len(history)


def test_the_local_minimum_is_met() -> None:
    assert study(2, method="bfgs").loss == pytest.approx(LOCAL_MINIMUM, rel=3e-4)


@every_minimiser
def test_a_tolerance_that_can_be_reached_is_reached(method: str) -> None:
    for seed in range(5):
        run = study(seed, method=method, tolerance=1e-7)
        assert np.abs(STUDY.value_and_grad(run.theta, HOURS, SCORES)[1]).max() <= 1e-7


# ---- other people's solutions -------------------------------------------------------------------------------------

X = RNG.normal(size=(200, 4))
NOISY = X @ [[1.0], [-2.0], [0.5], [0.0]] + RNG.normal(size=(200, 1))
LINEAR = Objective(Network(4, [Dense(1)]), "squared_error")


@every_minimiser
@pytest.mark.parametrize("weighted", [False, True])
def test_least_squares_equals_numpy(method: str, weighted: bool) -> None:
    targets = np.hstack([NOISY, X[:, :1] ** 2])
    weights = RNG.uniform(0.1, 2.0, 200) if weighted else None
    objective = Objective(Network(4, [Dense(2)]), "squared_error")
    run = gn.minimize(objective, np.zeros(10), X, targets, weights, method=method, tolerance=1e-9)
    root = 1.0 if weights is None else np.sqrt(weights)[:, None]
    expected = np.linalg.lstsq(np.hstack([X, np.ones((200, 1))]) * root, targets * root, rcond=None)[0]
    views = objective.net.views(run.theta)
    np.testing.assert_allclose(np.vstack([views["W1"], views["b1"]]), expected, rtol=0, atol=1e-6)


@for_any_loss
def test_two_classes_equal_scikit_learn(method: str) -> None:
    y, l2 = (NOISY[:, 0] > 0.3).astype(float), 0.02
    theirs = LogisticRegression(C=1.0 / (l2 * 200), tol=1e-12, max_iter=10_000).fit(X, y)
    objective = Objective(Network(4, [Dense(1, "sigmoid")]), "binary_cross_entropy", l2=l2)
    run = gn.minimize(objective, np.zeros(5), X, y[:, None], method=method, tolerance=1e-8)
    np.testing.assert_allclose(run.theta[:4], theirs.coef_[0], rtol=0, atol=1e-5)
    np.testing.assert_allclose(run.theta[4:], theirs.intercept_, rtol=0, atol=1e-5)


@for_any_loss
def test_three_classes_equal_scikit_learn(method: str) -> None:
    """Softmax regression: a constant added to all intercepts changes nothing, so probabilities are compared, too."""
    y, l2 = np.digitize(NOISY[:, 0], [-1.0, 1.0]), 0.02
    theirs = LogisticRegression(C=1.0 / (l2 * 200), tol=1e-12, max_iter=10_000).fit(X, y)
    objective = Objective(Network(4, [Dense(3, "softmax")]), "cross_entropy", l2=l2)
    run = gn.minimize(objective, np.zeros(15), X, np.eye(3)[y], method=method, tolerance=1e-8)
    np.testing.assert_allclose(objective.net.views(run.theta)["W1"].T, theirs.coef_, rtol=0, atol=1e-5)
    output = objective.net.forward(run.theta, X).output
    np.testing.assert_allclose(output, theirs.predict_proba(X), rtol=0, atol=1e-5)


# ---- history, ends, callbacks -------------------------------------------------------------------------------------


def never_rises(losses: Array) -> bool:
    return bool((np.diff(losses) <= 0).all())


@every_minimiser
def test_the_history_has_a_row_an_iteration(method: str) -> None:
    start = np.random.default_rng(1).normal(size=9)
    run = gn.minimize(STUDY, start, HOURS, SCORES, method=method)
    history = run.history
    assert list(history["epoch"]) == list(range(len(history)))
    J, gradient = STUDY.value_and_grad(start, HOURS, SCORES)
    assert history["loss"][0] == pytest.approx(float(J), rel=1e-14)
    assert history["gradient_norm"][0] == pytest.approx(np.linalg.norm(gradient), rel=1e-14)
    assert history["updates"][0] == 1
    assert (np.diff(history["updates"]) >= 1).all()
    assert never_rises(history["loss"])
    assert not never_rises(history["loss"][::-1])
    assert (np.diff(history["seconds"]) >= 0).all()
    assert run.state.size == 0


@every_method
def test_max_iter_completes(method: str) -> None:
    run = study(0, method=method, max_iter=3)
    assert (run.status, run.reason) == ("completed", "all 3 iterations were run")
    assert len(run.history) == 4
    assert float(STUDY.value(run.theta, HOURS, SCORES)) == pytest.approx(run.loss, rel=1e-14)


@every_method
def test_max_evaluations_completes(method: str) -> None:
    run = study(0, method=method, max_evaluations=5)
    assert (run.status, run.reason) == ("completed", "all 5 evaluations of the loss were used")
    assert run.history["updates"][-2] < 5 <= run.history["updates"][-1]


@every_minimiser
def test_a_minimum_is_left_alone(method: str) -> None:
    best = np.linalg.lstsq(np.hstack([X, np.ones((200, 1))]), NOISY, rcond=None)[0].ravel()
    run = gn.minimize(LINEAR, best, X, NOISY, method=method)
    assert (run.status, len(run.history)) == ("converged", 1)
    np.testing.assert_array_equal(run.theta, best)


@for_any_loss
@pytest.mark.parametrize("size", [1e-3, 1.0])
def test_a_slope_of_the_wrong_sign_has_not_converged(method: str, size: float) -> None:
    """No step lowers J, but the gradient says that there is one: the run is stopped, and says what to look at."""
    loss = lambda a, y: size * (a - y) ** 2, lambda a, y: 2 * size * (y - a)
    uphill = Objective(LINEAR.net, loss, engine="numpy")  # as `value` does: engines sum in another order
    run = gn.minimize(uphill, np.zeros(5), X, NOISY, method=method)
    assert run.status == "stopped"
    assert run.reason.startswith("found no lower loss, with a largest gradient entry of ")
    assert "check_gradient" in run.reason
    assert float(uphill.value(run.theta, X, NOISY)) <= float(uphill.value(np.zeros(5), X, NOISY))


@every_minimiser
def test_where_no_step_helps_any_more_it_has_converged(method: str) -> None:
    run = gn.minimize(LINEAR, np.zeros(5), X, NOISY, method=method, tolerance=0.0)
    assert run.status == "converged"
    assert np.abs(LINEAR.value_and_grad(run.theta, X, NOISY)[1]).max() < 1e-6


@every_minimiser
def test_callbacks_stop_it(method: str) -> None:
    seen: list[int] = []

    def watch(record: EpochRecord) -> Request | None:
        seen.append(record.epoch)
        return Request("stopped", "enough") if record.epoch == 2 else None

    run = study(0, method=method, callbacks=[watch])
    assert (run.status, run.reason) == ("stopped", "enough")
    assert seen == list(run.history["epoch"]) == [0, 1, 2]
    target = study(0, method=method, callbacks=[gn.TargetReached(1e-3)])
    assert target.status == "converged"
    assert "the target was 0.001" in target.reason
    assert target.loss <= 1e-3 < target.history["loss"][-2]


@every_method
@pytest.mark.parametrize("iteration", [0, 2])
def test_an_interrupt_keeps_the_best(method: str, iteration: int) -> None:
    def interrupt(record: EpochRecord) -> None:
        if record.epoch == iteration:
            raise KeyboardInterrupt

    try:
        run = study(0, method=method, callbacks=[interrupt])
    except KeyboardInterrupt:
        pytest.fail("the interrupt went through")
    assert (run.status, run.reason) == ("stopped", f"interrupted after iteration {iteration}")
    assert float(STUDY.value(run.theta, HOURS, SCORES)) == pytest.approx(run.loss, rel=1e-14)


@every_method
@pytest.mark.parametrize("epoch", [0, 1])
def test_at_end_is_called_when_a_callback_raises(method: str, epoch: int) -> None:
    ended: list[str] = []

    def watch(record: EpochRecord) -> None:
        if record.epoch == epoch:
            raise ZeroDivisionError

    class Raising:
        def start(self) -> Watcher:
            return Watcher(watch, lambda: ended.append("end"))  # type: ignore[arg-type, return-value]

    with pytest.raises(ZeroDivisionError):
        study(0, method=method, callbacks=[Raising()])
    assert ended == ["end"]


@every_method
def test_float32_comes_back_as_float32(method: str) -> None:
    start = np.random.default_rng(0).normal(size=9)
    single = gn.minimize(STUDY, start.astype(np.float32), HOURS, SCORES, method=method, max_iter=5)
    double = gn.minimize(STUDY, start.astype(np.float32).astype(float), HOURS, SCORES, method=method, max_iter=5)
    assert single.theta.dtype == single.state.dtype == np.float32
    assert double.theta.dtype == np.float64
    np.testing.assert_array_equal(single.theta, double.theta.astype(np.float32))
    np.testing.assert_array_equal(single.history["loss"], double.history["loss"])


@every_method
def test_nothing_passed_in_is_changed(method: str) -> None:
    arrays = [np.random.default_rng(0).normal(size=9), HOURS.copy(), SCORES.copy(), np.array([1.0, 2.0, 3.0])]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    run = gn.minimize(STUDY, *arrays, method=method, max_iter=5)
    assert all(np.array_equal(now, then) for now, then in zip(arrays, before, strict=True))
    assert run.theta.flags.writeable


@for_any_loss
def test_batchnorm_keeps_the_statistics_of_the_data(method: str) -> None:
    shifted = X * [1.0, 2.0, 3.0, 4.0] + 5.0
    objective = Objective(Network(4, [BatchNorm(0.99), Dense(3, "tanh"), Dense(1)]), "squared_error", l2=0.1)
    run = gn.minimize(objective, objective.net.init(rng=0), shifted, NOISY, method=method, max_iter=50)
    stats = objective.net.state_layout.views(run.state)
    np.testing.assert_allclose(stats["mean1"], shifted.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(stats["var1"], shifted.var(axis=0), rtol=1e-12)
    assert run.loss == pytest.approx(float(objective.value(run.theta, shifted, NOISY, state=run.state)), rel=1e-12)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "bgfs"}, r"unknown method 'bgfs': did you mean 'bfgs'\? Known: bfgs, lbfgs, cg, newton-cg"),
        ({"engine": "nunpy"}, "unknown engine 'nunpy': did you mean 'numpy'"),
        ({"max_iter": 0}, "max_iter must be at least 1"),
        ({"max_evaluations": 0}, "max_evaluations must be at least 1"),
        ({"callbacks": gn.EarlyStopping()}, "callbacks must be a list"),
        ({"theta": np.zeros(6)}, r"theta must be floats \(5,\), received float64 \(6,\)"),
        ({"theta": np.zeros(5, int)}, "theta must be floats"),
        ({"X": X[:5]}, "equally many rows"),
        ({"X": np.full((200, 4), np.nan)}, "X must be finite"),
        ({"sample_weight": np.ones(3)}, "sample_weight must be"),
        ({"X": X[None], "Y": NOISY[None]}, r"X and Y must be \(m, inputs\) and \(m, outputs\), received \(1, 200, 4\)"),
        ({"Y": NOISY[None]}, r"received \(200, 4\) and \(1, 200, 1\)"),
        ({"X": scipy.sparse.csr_array(X)}, "X must be a dense array, received a sparse csr_array"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        gn.minimize(LINEAR, **{"theta": np.zeros(5), "X": X, "Y": NOISY, **options})


@every_method
def test_dropout_is_refused(method: str) -> None:
    def objective(rate: float) -> Objective:
        return Objective(Network(4, [Dropout(rate), Dense(1)]), "squared_error")

    with pytest.raises(GlassnetError, match=f"{method} needs a loss that does not change.*train"):
        gn.minimize(objective(0.1), np.zeros(5), X, NOISY, method=method)
    assert gn.minimize(objective(0.0), np.zeros(5), X, NOISY, method=method).status == "converged"


def test_a_loss_that_is_nan_at_the_start_gives_the_start_back() -> None:
    nowhere = Objective(LINEAR.net, (lambda a, y: np.full_like(a, np.nan), lambda a, y: a - y))
    run = gn.minimize(nowhere, np.ones(5), X, NOISY)
    assert run.status == "diverged"
    np.testing.assert_array_equal(run.theta, np.ones(5))


# ---- Hessian-vector products --------------------------------------------------------------------------------------

CUBE = Activation("cube", lambda z: z**3 / 30.0, lambda z, a: z * z / 10.0)
TARGETS = {"one": X[:20, :1] + 0.3, "class": np.eye(3)[RNG.integers(0, 3, 20)]}
SMOOTH: dict[str, tuple[Objective, str]] = {
    "tanh": (Objective(Network(4, [Dense(5, "tanh"), Dense(1)]), "squared_error", l2=0.3), "one"),
    "softmax": (Objective(Network(4, [Dense(5, "sigmoid"), Dense(3, "softmax")]), "cross_entropy"), "class"),
    "unmatched": (Objective(Network(4, [Dense(5, "silu"), Dense(3, "softmax")]), "squared_error"), "class"),
    "LayerNorm": (Objective(Network(4, [Dense(5), LayerNorm(), Dense(1, "gelu")]), "squared_error"), "one"),
    "BatchNorm": (Objective(Network(4, [Dense(5), BatchNorm(), Dense(1, "tanh")]), "squared_error"), "one"),
    "own": (Objective(Network(4, [Dense(5, CUBE), Dense(1)]), "squared_error"), "one"),
}
every_network = pytest.mark.parametrize("name", SMOOTH)
WEIGHTS = RNG.uniform(0.1, 1.0, 20)


def setting(name: str) -> tuple[Callable[[Array], Array], Callable[[Array], Array], Array, Array, Array]:
    """Return v -> H v, theta -> gradient, theta and two directions."""
    objective, kind = SMOOTH[name]
    theta, v, u = np.random.default_rng(7).normal(size=(3, objective.net.n_parameters))
    data = (X[:20], TARGETS[kind], WEIGHTS)
    return (
        lambda direction: objective.hessian_product(theta, direction, *data, training=True),
        lambda at: objective.value_and_grad(at, *data, training=True)[1],
        theta, v, u,
    )  # fmt: skip


def error(computed: Array, expected: Array) -> float:
    return float(np.abs(computed - expected).max() / np.abs(expected).max())


@every_network
def test_hessian_product_equals_differences_of_gradients(name: str) -> None:
    product, gradient, theta, v, u = setting(name)
    differences = (gradient(theta + 1e-5 * v) - gradient(theta - 1e-5 * v)) / 2e-5
    assert error(product(v), differences) < 1e-7
    assert error(product(u), differences) > 1e-3, "another direction must be told apart"


@every_network
def test_hessian_product_is_linear_and_symmetric(name: str) -> None:
    product, _, _, v, u = setting(name)
    tight = 1e-6 if name == "own" else 1e-12
    assert error(product(2.0 * v - 3e-7 * u), 2.0 * product(v) - 3e-7 * product(u)) < tight
    assert u @ product(v) == pytest.approx(v @ product(u), rel=tight)


@pytest.mark.witness
@pytest.mark.parametrize("name", ["tanh", "softmax"])
def test_hessian_product_equals_pytorch(name: str) -> None:
    torch = pytest.importorskip("torch")
    objective, kind = SMOOTH[name]
    product, _, theta, v, _ = setting(name)
    x, y, w = (torch.tensor(array) for array in (X[:20], TARGETS[kind], WEIGHTS / WEIGHTS.sum()))
    shapes = [view.shape for view in objective.net.views(theta).values()]

    def J(flat: Any) -> Any:
        parts = torch.split(flat, [int(np.prod(shape)) for shape in shapes])
        W1, b1, W2, b2 = (part.reshape(shape) for part, shape in zip(parts, shapes, strict=True))
        if name == "tanh":
            z = torch.tanh(x @ W1 + b1) @ W2 + b2
            return w @ ((z - y) ** 2).sum(1) / 2 + 0.15 * ((W1**2).sum() + (W2**2).sum())
        z = torch.sigmoid(x @ W1 + b1) @ W2 + b2
        return w @ torch.nn.functional.cross_entropy(z, y, reduction="none")

    value, expected = torch.autograd.functional.hvp(J, torch.tensor(theta), torch.tensor(v))
    assert float(value) == pytest.approx(float(objective.value(theta, X[:20], TARGETS[kind], WEIGHTS)), rel=1e-13)
    assert error(product(v), expected.numpy()) < 1e-12
