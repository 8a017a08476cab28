"""levenberg_marquardt.py: known minima, steps against NumPy's least squares, and what conditioning costs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize

from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.levenberg_marquardt import Damping, Functions, Linear, improve, iterate, linearise

# ---- a zoo of known minima (More, Garbow and Hillstrom 1981) --------------------------------------------------------

Y_BARD = np.array([0.14, 0.18, 0.22, 0.25, 0.29, 0.32, 0.35, 0.39, 0.37, 0.58, 0.73, 0.96, 1.34, 2.10, 4.39])
Y_KOWALIK = np.array([0.1957, 0.1947, 0.1735, 0.1600, 0.0844, 0.0627, 0.0456, 0.0342, 0.0323, 0.0235, 0.0246])
U_KOWALIK = np.array([4.0, 2.0, 1.0, 0.5, 0.25, 0.167, 0.125, 0.1, 0.0833, 0.0714, 0.0625])


def bard(x: Array) -> Array:
    u = np.arange(1.0, 16.0)
    v = 16.0 - u
    return Y_BARD - (x[0] + u / (v * x[1] + np.minimum(u, v) * x[2]))


def kowalik_osborne(x: Array) -> Array:
    u = U_KOWALIK
    return Y_KOWALIK - x[0] * (u * u + u * x[1]) / (u * u + u * x[2] + x[3])


def helical_valley(x: Array) -> Array:
    angle = np.arctan(x[1] / x[0]) / (2 * np.pi) + (0.5 if x[0].real < 0 else 0.0)
    return np.array([10 * (x[2] - 10 * angle), 10 * (np.sqrt(x[0] ** 2 + x[1] ** 2) - 1), x[2]])


def box(x: Array) -> Array:
    t = np.arange(1.0, 11.0) / 10
    return np.exp(-t * x[0]) - np.exp(-t * x[1]) - x[2] * (np.exp(-t) - np.exp(-10 * t))


ZOO: dict[str, tuple[Callable[[Array], Array], list[float], float]] = {
    "Rosenbrock": (lambda x: np.array([10 * (x[1] - x[0] ** 2), 1 - x[0]]), [-1.2, 1.0], 0.0),
    "Powell, singular": (
        lambda x: np.array(
            [x[0] + 10 * x[1], 5**0.5 * (x[2] - x[3]), (x[1] - 2 * x[2]) ** 2, 10**0.5 * (x[0] - x[3]) ** 2]
        ),
        [3.0, -1.0, 0.0, 1.0],
        0.0,
    ),
    "Freudenstein and Roth": (
        lambda x: np.array(
            [-13 + x[0] + ((5 - x[1]) * x[1] - 2) * x[1], -29 + x[0] + ((x[1] + 1) * x[1] - 14) * x[1]]
        ),
        [0.5, -2.0],
        48.984253679,
    ),
    "Brown, badly scaled": (lambda x: np.array([x[0] - 1e6, x[1] - 2e-6, x[0] * x[1] - 2]), [1.0, 1.0], 0.0),
    "Beale": (
        lambda x: np.array([1.5, 2.25, 2.625]) - x[0] * (1 - np.array([x[1], x[1] ** 2, x[1] ** 3])), [1.0, 1.0], 0.0,
    ),
    "Jennrich and Sampson": (
        lambda x: 2 + 2 * np.arange(1, 11) - np.exp(np.arange(1, 11) * x[0]) - np.exp(np.arange(1, 11) * x[1]),
        [0.3, 0.4],
        124.36218236,
    ),
    "helical valley": (helical_valley, [-1.0, 0.0, 0.0], 0.0),
    "Bard": (bard, [1.0, 1.0, 1.0], 8.2148773e-3),
    "Kowalik and Osborne": (kowalik_osborne, [0.25, 0.39, 0.415, 0.39], 3.0750561e-4),
    "Box": (box, [0.0, 10.0, 20.0], 0.0),
}  # fmt: skip
"""Name -> residuals, start, least sum of squares."""


def problem_of(function: Callable[[Array], Array], n: int) -> Functions:
    """The Jacobian by complex steps, exact to rounding."""

    def jacobian(x: Array) -> Array:
        return np.stack([function(x + 1e-30j * e).imag / 1e-30 for e in np.eye(n)], axis=1)

    return Functions(function, jacobian, n)


def end(problem: Functions, start: list[float], most: int = 500) -> tuple[Array, float, int]:
    for number, at in enumerate(iterate(problem, np.array(start))):
        if number == most or at.cost < 1e-25:
            break
    return at.theta, at.cost, number


@pytest.mark.parametrize("name", ZOO)
def test_known_minima(name: str) -> None:
    function, start, least = ZOO[name]
    _, cost, iterations = end(problem_of(function, len(start)), start)
    assert 2 * cost == pytest.approx(least, rel=1e-7, abs=1e-20)
    assert iterations < 300


@pytest.mark.parametrize("name", ["Bard", "Jennrich and Sampson", "Kowalik and Osborne"])
def test_the_minimum_is_that_of_scipy(name: str) -> None:
    function, start, _ = ZOO[name]
    problem = problem_of(function, len(start))
    theirs = optimize.least_squares(function, start, problem.jacobian, method="lm", xtol=1e-15, ftol=1e-15, gtol=1e-15)
    np.testing.assert_allclose(end(problem, start)[0], theirs.x, rtol=2e-5)


def test_a_wrong_jacobian_misses_the_minimum() -> None:
    """Planted fault: a Jacobian that is 30% off in one column."""
    function, start, least = ZOO["Bard"]
    right = problem_of(function, 3)
    wrong = Functions(function, lambda x: right.jacobian(x) * [1.0, -1.0, 1.0], 3)
    assert 2 * end(wrong, start)[1] > 1.0001 * least


# ---- one step -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Blocks:
    """A linear problem r = A theta + b with a ridge, cut into blocks of so many rows."""

    A: Array
    b: Array
    ridge: Array
    rows: int

    def residuals(self, theta: Array) -> Array:
        return self.A @ theta + self.b

    def blocks(self, theta: Array) -> Iterator[tuple[Array, Array]]:
        r = self.residuals(theta)
        for start in range(0, len(r), self.rows):
            yield r[start : start + self.rows], self.A[start : start + self.rows]


@given(
    st.integers(1, 12), st.integers(1, 8), st.sampled_from([0.0, 0.3]), st.floats(-8, 3), st.integers(1, 13),
    st.integers(0, 2**31),
)  # fmt: skip
def test_a_step_equals_numpys_least_squares(n: int, P: int, ridge: float, log_mu: float, rows: int, seed: int) -> None:
    """Tall, wide, whole or in blocks: s minimises |A s + r|^2 + ridge |theta + s|^2 + mu |s|^2."""
    rng = np.random.default_rng(seed)
    A, b, theta = rng.normal(size=(n, P)), rng.normal(size=n), rng.normal(size=P)
    diagonal = ridge * rng.uniform(0, 1, P)
    problem, mu = Blocks(A, b, diagonal, rows), 10.0**log_mu
    at = linearise(problem, theta)
    r, I = A @ theta + b, np.eye(P)
    stacked = np.vstack([A, np.sqrt(diagonal) * I, np.sqrt(mu) * I])
    target = -np.concatenate([r, np.sqrt(diagonal) * theta, np.zeros(P)])
    expected = np.linalg.lstsq(stacked, target, rcond=None)[0]
    np.testing.assert_allclose(at.step(mu), expected, rtol=1e-6, atol=1e-6)
    assert at.cost == pytest.approx(0.5 * r @ r + 0.5 * diagonal @ theta**2, rel=1e-12)
    np.testing.assert_allclose(at.gradient, A.T @ r + diagonal * theta, atol=1e-12)
    assert (at.jacobian is None) == (rows < n)
    np.testing.assert_allclose(at.gram, A.T @ A, atol=1e-12)
    off = replace(at, gradient=at.gradient + 1.0, residuals=at.residuals + 1.0)
    assert np.abs(off.step(mu) - expected).max() > 1e-9, "other residuals must be told apart"


def ill_conditioned(condition: float) -> tuple[Linear, Array]:
    """A linear problem with singular values from 1 to 1/condition whose solution is known by construction."""
    rng = np.random.default_rng(0)
    U, V = (np.linalg.qr(rng.normal(size=shape))[0] for shape in ((30, 6), (6, 6)))
    A, solution = U * np.geomspace(1.0, 1.0 / condition, 6) @ V.T, V.sum(axis=1)
    problem = Blocks(A, -A @ solution, np.zeros(6), 30)
    return linearise(problem, np.zeros(6)), solution


def test_where_mu_is_small_the_step_does_not_square_the_condition() -> None:
    """The reason for the QR route: with a condition of 1e9, A^T A has lost the weak directions altogether."""
    at, solution = ill_conditioned(1e9)
    assert at.needs_qr(1e-26)
    np.testing.assert_allclose(at.step(1e-26), solution, atol=1e-5)
    try:
        lost = np.abs(at.by_cholesky(1e-26) - solution).max()
    except np.linalg.LinAlgError:
        lost = np.inf
    assert lost > 0.1, "planted: A^T A"


def test_where_mu_is_large_both_routes_agree() -> None:
    at, _ = ill_conditioned(1e9)
    assert not at.needs_qr(1e-3)
    np.testing.assert_allclose(at.by_cholesky(1e-3), at.by_qr(1e-3), rtol=1e-10)


def test_the_qr_route_needs_the_whole_jacobian() -> None:
    at = linearise(Blocks(np.ones((4, 2)), np.ones(4), np.zeros(2), 2), np.zeros(2))
    with pytest.raises(GlassnetError, match="kept whole"):
        at.by_qr(1.0)


@pytest.mark.parametrize("rows", [2, 30])
def test_the_root_is_that_of_the_hessian(rows: int) -> None:
    rng = np.random.default_rng(1)
    A, ridge = rng.normal(size=(30, 5)), rng.uniform(0, 1, 5)
    R = linearise(Blocks(A, np.ones(30), ridge, rows), np.zeros(5)).root()
    np.testing.assert_allclose(R.T @ R, A.T @ A + np.diag(ridge), atol=1e-12)
    np.testing.assert_array_equal(R, np.triu(R))


# ---- damping ------------------------------------------------------------------------------------------------------


def test_a_step_that_helps_divides_mu_by_ten() -> None:
    problem = Blocks(np.eye(3), np.ones(3), np.zeros(3), 3)
    move = improve(problem, linearise(problem, np.zeros(3)), 1e-3, Damping())
    assert (move.found, move.tries) == (True, 1)
    assert move.mu == pytest.approx(1e-4)
    assert improve(problem, linearise(problem, np.zeros(3)), 1e-20, Damping()).mu == 1e-20


def test_mu_rises_until_a_step_helps() -> None:
    """r = arctan 3 x from x = 2: the Gauss-Newton step overshoots; mu is raised until J falls."""
    problem = problem_of(lambda x: np.arctan(3 * x), 1)
    at = linearise(problem, np.array([2.0]))
    move = improve(problem, at, 1e-3, Damping())
    taken = 1e-3 * 10 ** (move.tries - 1)
    assert move.tries > 1
    assert move.mu == pytest.approx(taken * 0.1)
    np.testing.assert_allclose(move.theta, at.theta + at.step(taken))
    assert np.abs(problem.residuals(at.theta + at.step(taken / 10)))[0] >= np.abs(at.residuals)[0]


def test_the_search_is_given_up_beyond_the_largest_mu() -> None:
    """A Jacobian of the wrong sign: 1e-3 ... 1e10 are 14 tries, and theta stays."""
    wrong = Functions(lambda x: x - 1.0, lambda x: -np.eye(2), 2)
    move = improve(wrong, linearise(wrong, np.zeros(2)), 1e-3, Damping())
    assert (move.found, move.tries) == (False, 14)
    assert move.mu > 1e10
    np.testing.assert_array_equal(move.theta, [0.0, 0.0])
    assert len(list(iterate(wrong, np.zeros(2)))) == 1


def test_a_step_out_of_the_domain_is_taken_back() -> None:
    """ln x - 2 from x = 30: the full step leaves x > 0, where the residual is NaN."""
    problem = Functions(lambda x: np.log(x) - 2.0, lambda x: np.diag(1.0 / x), 1)
    with np.errstate(invalid="ignore"):
        assert np.isnan(problem.residuals(np.array([30.0]) + linearise(problem, np.array([30.0])).step(1e-12)))
        theta, cost, _ = end(problem, [30.0])
    np.testing.assert_allclose(theta, np.e**2, rtol=1e-9)
    assert cost < 1e-20


@pytest.mark.parametrize("options", [{"up": 1.0}, {"down": 1.0}, {"start": 0.0}, {"most": np.inf}, {"least": 1.0}])
def test_damping_that_cannot_work_is_refused(options: dict[str, float]) -> None:
    with pytest.raises(GlassnetError, match="Damping must be 0 < down < 1 < up"):
        Damping(**options)
