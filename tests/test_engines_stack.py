"""The compiled stack of networks against the reference engine, whose gradient is that of finite differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from glassnet import activations
from glassnet.engines.stack import NormalisedStack
from glassnet.optimizers import SGD, Adam, Rule
from glassnet.pde import get, solve
from glassnet.pde.deep_bsde import NORM, Reference, Unknowns, there_and_back
from glassnet.pde.paths import Paths, Sampler

K, B = 2, 6


class Case:
    """A few small networks, their parameters and paths."""

    def __init__(self, dtype: type, hidden: tuple[int, ...] = (5, 4)) -> None:
        self.equation = get("hjb", dim=3, steps=5)
        self.unknowns = Unknowns(self.equation, hidden=hidden)
        self.theta = np.stack([self.unknowns.init(np.random.default_rng(k), dtype) for k in range(K)])
        self.state = self.unknowns.init_state(K, dtype)
        generators = [np.random.default_rng(k) for k in range(K)]
        self.paths: Paths = Sampler(self.equation, generators, B, dtype).draw()
        rng = np.random.default_rng(5)
        self.v = rng.standard_normal((5, K * B)).astype(dtype)
        self.slopes = rng.standard_normal((5, K * B, 3)).astype(dtype)

    def stack(self, rule: Rule, n_threads: int = 2, **changes: object) -> NormalisedStack:
        options: dict[str, object] = {
            "theta": self.theta, "state": self.state, "first": 4, "batch": B, "momentum": NORM.momentum,
            "eps": NORM.eps, "slots": np.zeros((len(rule.init(self.theta).slots), *self.theta.shape), self.theta.dtype),
        }  # fmt: skip
        relu = changes.pop("activation", activations.get("relu"))
        return NormalisedStack((3, *self.unknowns.units, 3), relu, rule, n_threads=n_threads, **(options | changes))

    def outputs(self) -> tuple[np.ndarray, np.ndarray]:
        z = np.zeros_like(self.paths.dW)
        return z, np.zeros(z.shape[:2], z.dtype)

    def learn(self, stack: NormalisedStack, active: tuple[int, ...] = (1, 1)) -> None:
        z, q = self.outputs()
        with stack:
            stack.forward(self.paths.X, self.paths.dW, z, q, 1 / 3)
            stack.learn(self.paths.dW, self.slopes, self.v, self.equation.dt, 1 / 3, 1, 1.0, np.array(active))

    def gradient(self) -> np.ndarray:
        networks = Reference(self.unknowns, K)
        z, q = self.outputs()
        networks.forward(self.theta.copy(), self.state.copy(), self.paths, z, q)
        return networks.backward(self.paths, self.v, self.slopes).reshape(K, -1)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-12), (np.float32, 1e-4)])
@pytest.mark.parametrize("hidden", [(5, 4), (7,), (4, 6, 3)])
def test_outputs_and_statistics_are_those_of_the_reference(
    dtype: type, tolerance: float, hidden: tuple[int, ...]
) -> None:
    ours, theirs = Case(dtype, hidden), Case(dtype, hidden)
    (z, q), (expected_z, expected_q) = ours.outputs(), theirs.outputs()
    with ours.stack(SGD(1.0)) as stack:
        stack.forward(ours.paths.X, ours.paths.dW, z, q, 1 / 3)
    Reference(theirs.unknowns, K).forward(theirs.theta, theirs.state, theirs.paths, expected_z, expected_q)
    np.testing.assert_allclose(z, expected_z, atol=tolerance)
    np.testing.assert_allclose(q, expected_q, atol=tolerance)
    np.testing.assert_allclose(ours.state, theirs.state, atol=tolerance)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-11), (np.float32, 1e-3)])
@pytest.mark.parametrize("hidden", [(5, 4), (7,), (4, 6, 3)])
def test_a_step_of_rate_one_is_the_gradient_of_the_reference(
    dtype: type, tolerance: float, hidden: tuple[int, ...]
) -> None:
    case = Case(dtype, hidden)
    expected, before = case.gradient(), case.theta.copy()
    case.learn(case.stack(SGD(1.0)))
    moved = (before - case.theta).astype(float)
    assert np.all(moved[:, :4] == 0)  # u0 and z0 are the solver's
    np.testing.assert_allclose(moved[:, 4:], expected, atol=tolerance * np.abs(expected).max())


def test_a_wrong_derivative_is_seen() -> None:
    case = Case(np.float64)
    expected, before = case.gradient(), case.theta.copy()
    wrong = replace(activations.get("relu"), df=activations.get("tanh").df)
    case.learn(case.stack(SGD(1.0), activation=wrong))
    assert np.abs((before - case.theta)[:, 4:] - expected).max() > 1e-3 * np.abs(expected).max()


def test_the_number_of_threads_changes_no_bit() -> None:
    one, two = Case(np.float64), Case(np.float64)
    one.learn(one.stack(Adam(), n_threads=1))
    two.learn(two.stack(Adam(), n_threads=2))
    assert np.array_equal(one.theta, two.theta)


def test_a_seed_that_is_not_active_stays_where_it_is() -> None:
    case = Case(np.float64)
    before = case.theta.copy()
    case.learn(case.stack(Adam()), active=(0, 1))
    assert np.array_equal(case.theta[0], before[0])
    assert not np.array_equal(case.theta[1], before[1])


def test_arrays_that_do_not_fit_are_refused() -> None:
    case = Case(np.float64)
    z, q = case.outputs()
    with pytest.raises(ValueError, match="are not those of widths"):
        case.stack(SGD(1.0), theta=case.theta[:, 1:])
    with case.stack(SGD(1.0)) as stack, pytest.raises(ValueError, match="contiguous and float64"):
        stack.forward(case.paths.X.astype(np.float32), case.paths.dW, z, q, 1.0)


@pytest.mark.parametrize(("dtype", "tolerance"), [(np.float64, 1e-10), (np.float32, 1e-3)])
def test_a_whole_run_is_that_of_numpy(dtype: type, tolerance: float) -> None:
    options = {"dim": 6, "steps": 5, "iterations": 60, "seeds": 2, "dtype": dtype}
    ours, theirs = (solve("allen_cahn", engine=engine, learning_rate=0.01, **options) for engine in ("numba", "numpy"))
    np.testing.assert_allclose(ours.u0, theirs.u0, rtol=tolerance)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=100 * tolerance)


def test_other_work_is_done_aside() -> None:
    case = Case(np.float64)
    with case.stack(SGD(1.0)) as stack:
        assert stack.aside(there_and_back.__name__.upper).result() == "THERE_AND_BACK"
