"""The two time-stepping schemes: their gradients, their orders, and what steered paths are multiplied by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import solve_ivp

from glassnet.errors import GlassnetError
from glassnet.gradcheck import central_differences
from glassnet.pde import EQUATIONS, Equation, get, schemes, solve
from glassnet.pde.deep_bsde import Unknowns, value_and_grad
from glassnet.pde.equations import SCHEMES
from glassnet.pde.paths import Paths, Sampler
from glassnet.pde.schemes import recursion

Drift = Callable[[int, np.ndarray], np.ndarray]


def waves(n: int, x: np.ndarray) -> np.ndarray:
    """A drift of the noise that has nothing to do with the equation: any is right."""
    return np.cos(x) + 0.1 * n


def gradients(equation: Equation, drift: Drift | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Ours and that of central differences, of the first of two seeds."""
    unknowns = Unknowns(equation, hidden=(2,), skip=True)
    theta = np.stack([unknowns.init(np.random.default_rng(k)) for k in range(2)])
    rng = np.random.default_rng(7)
    unknowns.layout.views(theta)["skip"][:] = 0.3 * rng.standard_normal((2, unknowns.n_skips))
    paths = Sampler(equation, [np.random.default_rng(k) for k in range(2)], 8).draw(drift)

    def step(theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return value_and_grad(unknowns, theta, unknowns.init_state(2), paths)

    measured = central_differences(lambda one: step(np.stack([one, theta[1]]))[0][0], theta[0])
    return step(theta)[1][0], measured


@pytest.mark.parametrize("drift", [None, waves])
@pytest.mark.parametrize("dg_dx", [None, np.sin])
@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("name", EQUATIONS)
def test_the_gradient_is_that_of_finite_differences(
    name: str, scheme: str, dg_dx: Callable[[np.ndarray], np.ndarray] | None, drift: Drift | None
) -> None:
    """`dg_dx` need not be that of g for this: it only has to be the same in both."""
    ours, measured = gradients(replace(get(name, dim=2, steps=3), scheme=scheme, dg_dx=dg_dx), drift)
    assert np.abs(ours - measured).max() <= 1e-6 * np.abs(measured).max()


@pytest.mark.parametrize("drift", [None, waves])
def test_one_step_has_a_gradient_too(drift: Drift | None) -> None:
    ours, measured = gradients(replace(get("burgers", dim=2, steps=1), scheme="trapezoid"), drift)
    assert np.abs(ours - measured).max() <= 1e-6 * np.abs(measured).max()


def test_a_weight_of_zero_loses_nothing() -> None:
    """With dt df/du = 2 nothing of q_{N-1} arrives in u_N; f(z_{N-1}) still does."""
    one = Equation(
        "stiff", dim=2, horizon=1.0, steps=4, scheme="trapezoid", g=lambda x: x.sum(axis=-1),
        f=lambda t, x, u, z: 8.0 * u + np.sin(z).sum(axis=-1),
        df_du=lambda t, x, u, z: np.full_like(u, 8.0), df_dz=lambda t, x, u, z: np.cos(z),
    )  # fmt: skip
    ours, measured = gradients(one)
    assert np.abs(ours - measured).max() <= 1e-6 * np.abs(measured).max()


def test_the_way_back_of_the_other_scheme_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(schemes._BACK, "trapezoid", schemes._BACK["euler"])
    ours, measured = gradients(replace(get("hjb", dim=2, steps=3), scheme="trapezoid"))
    assert np.abs(ours - measured).max() > 1e-3 * np.abs(measured).max()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_order_without_noise_is_that_of_the_table(scheme: str) -> None:
    """u' = u^3 - u from 1/2: 1/u^2 - 1 = 3 exp(2 t)."""
    exact, errors = (1 + 3 * np.exp(2.0)) ** -0.5, []
    for steps in (16, 32):
        one = replace(get("allen_cahn", dim=1, steps=steps), horizon=1.0, scheme=scheme)
        still = Paths(np.zeros((steps + 1, 1, 1)), np.zeros((steps, 1, 1)))
        errors.append(recursion(one, np.array([0.5]), still.dW, np.zeros((steps, 1)), still).end[0] - exact)
    assert np.log2(errors[0] / errors[1]) == pytest.approx(SCHEMES[scheme], abs=0.1)


class Tree:
    """In the place of a generator: every path of a tree whose noise is -sqrt 3, 0 or sqrt 3, with its probability.

    These three have the first five moments of a normal number: for what is quadratic in each, means are exact.
    """

    def __init__(self, steps: int) -> None:
        many = np.indices((3,) * steps).reshape(steps, -1)
        self.noise = np.sqrt(3.0) * (many - 1.0)
        self.probability = np.array([1.0, 4.0, 1.0])[many].prod(axis=0) / 6.0**steps

    def standard_normal(self, out: np.ndarray, dtype: type) -> None:
        out[...] = self.noise[:, :, None]


def riccati_error(steps: int, scheme: str, steered: bool, at_the_end: bool) -> float:
    """u_t + 1/2 u'' - 1/2 u'^2 - u / 2 = 0, u(1/2, x) = x^2: how far u_N of the exact u_0 and z is off in the mean.

    u = a(t) x^2 / 2 + c(t), a' = a^2 + a/2, c' = (c - a)/2, z = a x; f = -u/2 - z^2/2 depends on both.
    """
    back = solve_ivp(
        lambda s, y: [-(y[0] ** 2) - y[0] / 2, (y[0] - y[1]) / 2], (0, 0.5), [2.0, 0.0],
        rtol=1e-11, atol=1e-12, dense_output=True,
    )  # fmt: skip
    one = Equation(
        "riccati", dim=1, horizon=0.5, steps=steps, x0=1.0, scheme=scheme, g=lambda x: x[:, 0] ** 2,
        f=lambda t, x, u, z: -0.5 * u - 0.5 * z[:, 0] ** 2, dg_dx=(lambda x: 2.0 * x) if at_the_end else None,
    )  # fmt: skip
    a, tree = back.sol(0.5 - one.times)[0], Tree(steps)
    many = len(tree.probability)
    paths = Sampler(one, [tree], many).draw((lambda n, x: -0.3 * a[n] * x) if steered else None)
    z = a[:-1, None, None] * paths.X[:-1]
    u0 = np.full(many, back.y[0, -1] / 2 + back.y[1, -1])
    end = recursion(one, u0, z, np.einsum("nmd,nmd->nm", z, paths.dW), paths).end
    return float(tree.probability @ (end - one.g(paths.X[-1])))


@pytest.mark.parametrize("at_the_end", [False, True])
@pytest.mark.parametrize("steered", [False, True])
def test_the_trapezoidal_rule_is_of_second_order_along_any_paths(steered: bool, at_the_end: bool) -> None:
    errors = [riccati_error(steps, "trapezoid", steered, at_the_end) for steps in (5, 10)]
    assert 3.0 < errors[0] / errors[1] < 5.5


@pytest.mark.parametrize("steered", [False, True])
def test_and_eulers_scheme_of_first(steered: bool) -> None:
    errors = [riccati_error(steps, "euler", steered, False) for steps in (5, 10)]
    assert 1.6 < errors[0] / errors[1] < 2.4
    assert abs(errors[1]) > 4 * abs(riccati_error(10, "trapezoid", steered, True))


@pytest.mark.parametrize("at_the_end", [False, True])
def test_steered_paths_move_by_one_and_are_multiplied_by_the_other(at_the_end: bool) -> None:
    one = replace(EQUATIONS["hjb"](dim=3, steps=4, lam=5), scheme="trapezoid", dg_dx=np.sin if at_the_end else None)
    free, steered = (Sampler(one, [np.random.default_rng(0)], 8).draw(drift) for drift in (None, waves))
    b = np.stack([waves(n, steered.X[n]) for n in range(4)])
    far = np.sqrt((b * b).sum(axis=2) * one.dt / 3)
    b /= np.maximum(far, 1.0)[:, :, None]
    np.testing.assert_allclose(np.diff(steered.X, axis=0), np.sqrt(2) * (free.dW + one.dt * b), rtol=1e-9)
    z = np.random.default_rng(1).standard_normal((5, 8, 3))
    if not at_the_end:
        z[4] = z[3]
    expected = ((z[:-1] * free.dW).sum(axis=2) + one.dt / 2 * ((z[:-1] + z[1:]) * b).sum(axis=2)).sum(axis=0)
    assert steered.lag is not None
    paid = (z[:-1] * steered.dW).sum(axis=(0, 2)) + (z[4] * steered.lag[3]).sum(axis=1) * at_the_end
    np.testing.assert_allclose(paid, expected, rtol=1e-9, atol=1e-12)


def discrete(steps: int) -> float:
    """u_N / u_0 of `discount` in the mean: p' = u + h p, u' = u + h/2 (p + p')."""
    h = 1.0 / steps
    return float((np.linalg.matrix_power(np.array([[h, 1.0], [h / 2 + h * h / 2, 1 + h / 2]]), steps) @ [1, 1])[1])


def test_the_error_of_time_steps_is_of_second_order() -> None:
    options = {"iterations": 400, "antithetic": True, "learning_rate": 1e-2, "seeds": 2}
    one = replace(get("discount", steps=2), scheme="trapezoid")
    solution = solve(one, other_steps=4, **options)
    expected = {N: solution.known * np.e / discrete(N) for N in (2, 4)}
    assert solution.value == pytest.approx(expected[2], rel=0.02)
    assert solution.other.value == pytest.approx(expected[4], rel=0.02)
    np.testing.assert_allclose(solution.extrapolated, (4 * solution.other.values - solution.values) / 3)


def test_a_whole_steered_run_is_that_of_numpy() -> None:
    one = replace(EQUATIONS["hjb"](dim=4, steps=4, lam=5), scheme="trapezoid")
    ours, theirs = (solve(one, engine=engine, iterations=130, seeds=2) for engine in ("numba", "numpy"))
    np.testing.assert_allclose(ours.u0, theirs.u0, rtol=1e-9)
    np.testing.assert_allclose(ours.losses, theirs.losses, rtol=1e-7)


def test_a_strong_control_needs_fewer_steps() -> None:
    """Steered, `hjb` of ten dimensions: 1% off where Euler's recursion is 9%; a stand-in for z_N costs half of that."""
    one = EQUATIONS["hjb"](dim=10, steps=10, lam=5)
    options = {"iterations": 300, "hidden": (4,), "learning_rate": 0.01, "seeds": 2}
    assert one.scheme == "trapezoid"
    ours, stand_in, euler = (
        solve(replace(one, **change), **options).mean_relative_error
        for change in ({}, {"dg_dx": None}, {"scheme": "euler"})
    )
    assert ours < 0.02
    assert ours < 0.4 * stand_in
    assert stand_in < 0.7 * euler


def test_a_misspelt_scheme_is_named() -> None:
    with pytest.raises(GlassnetError, match="did you mean 'trapezoid'"):
        replace(get("hjb"), scheme="trapezoidal")
