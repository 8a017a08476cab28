"""The equations, their reference values, and the gradient of the whole recursion against finite differences."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate, special

import glassnet
from glassnet.callbacks import Request
from glassnet.errors import GlassnetError
from glassnet.gradcheck import central_differences
from glassnet.pde import EQUATIONS, Equation, get, solve
from glassnet.pde.deep_bsde import Unknowns, value_and_grad
from glassnet.pde.equations import check, complete, pulled
from glassnet.pde.paths import Sampler
from glassnet.pde.skips import way
from glassnet.pde.steering import steering


@pytest.mark.parametrize("name", EQUATIONS)
def test_every_equation_passes_its_checks(name):
    check(get(name))


@pytest.mark.parametrize("lam", [1, 10, 50])
def test_the_value_of_hjb_is_a_gamma_integral(lam):
    """E (1 + 2 S)^-lam = 1/Gamma(lam) int t^(lam-1) e^-t (1 + 4 t)^-50 dt: the integral over S is done by hand."""
    shift = 200.0 if lam == 50 else 4.5 * lam

    def integrand(y):
        return np.exp(lam * y - np.exp(y) - 50 * np.log1p(4 * np.exp(y)) - special.gammaln(lam) + shift)

    total = integrate.quad(integrand, -40, 10, epsabs=0, epsrel=1e-12, limit=1000, points=[-5, -3, 0, 2, 3])[0]
    expected = -(np.log(total) - shift + lam * np.log(2)) / lam
    assert EQUATIONS["hjb"](lam=lam).known == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("name", EQUATIONS)
def test_the_gradient_of_the_recursion_is_that_of_finite_differences(name):
    equation = get(name, dim=2, steps=3)
    unknowns = Unknowns(equation, hidden=(4, 3), skip=True)
    theta = np.stack([unknowns.init(np.random.default_rng(k)) for k in range(2)])
    unknowns.layout.views(theta)["skip"][:] = [[0.3, -0.2], [0.1, 0.4]]
    paths = Sampler(equation, [np.random.default_rng(k) for k in range(2)], 8).draw()

    def step(theta):
        return value_and_grad(unknowns, theta, unknowns.init_state(2), paths)

    _, ours = step(theta)
    measured = central_differences(lambda one: step(np.stack([one, theta[1]]))[0][0], theta[0])
    assert np.abs(ours[0] - measured).max() <= 1e-6 * np.abs(measured).max()


@pytest.mark.parametrize("changes", [{"shared": True}, {"box": True}, {"shared": True, "box": True}])
def test_the_gradient_of_a_shared_network_and_of_a_box_too(changes):
    equation = get("hjb", dim=2, steps=3)
    unknowns = Unknowns(equation, hidden=(4,), **changes)
    theta = np.stack([unknowns.init(np.random.default_rng(k)) for k in range(2)])
    generators = [np.random.default_rng(k) for k in range(2)]
    paths = Sampler(equation, generators, 8, box=(-1.0, 1.0) if unknowns.box else None).draw()

    def step(theta):
        return value_and_grad(unknowns, theta, unknowns.init_state(2), paths)

    measured = central_differences(lambda one: step(np.stack([theta[0], one]))[0][1], theta[1])
    assert np.abs(step(theta)[1][1] - measured).max() <= 1e-6 * np.abs(measured).max()


def test_a_straight_way_finds_z_where_the_solution_depends_on_the_radius():
    """Without the networks' part z = s X / R is all of z: for hjb it explains nearly all that paths end with."""
    options = {"dim": 20, "steps": 5, "iterations": 600, "hidden": (4,), "learning_rate": 0.03}
    plain, straight = (solve("hjb", skip=skip, **options) for skip in (False, True))
    assert straight.loss < 0.5 * plain.loss
    assert straight.relative_error < plain.relative_error
    assert straight.relative_error < 0.005
    equation = get("hjb", dim=20, steps=5)
    X = Sampler(equation, [np.random.default_rng(1)], 4000).draw().X
    from_the_middle = way(equation)
    np.testing.assert_allclose(from_the_middle.length, np.sqrt((X[1:-1] ** 2).sum(axis=2).mean(axis=1)), rtol=0.05)
    np.testing.assert_array_equal(from_the_middle.of(X[1:-1], 1), X[1:-1])


def test_the_middle_of_a_drifting_path_is_the_path_without_noise():
    one = get("different_rates", dim=3, steps=4)
    expected = 100 * np.exp((0.06 - 0.02) * one.dt * np.arange(1, 4))
    np.testing.assert_allclose(way(one).of(np.zeros((3, 1, 3)), 1)[:, 0, 0], -expected, rtol=1e-12)
    assert (way(one).length < 60).all(), "the spread, not the distance from 0"


def test_the_way_along_the_gradient_of_g_is_sigma_transposed_times_it():
    sigma = np.array([[2.0, 1.0], [0.0, 3.0]])
    walk = Equation("walk", dim=2, horizon=1.0, steps=3, diffusion=sigma, g=lambda x: (x * x).sum(-1) / 2,
                    dg_dx=lambda x: x)  # fmt: skip
    X = np.random.default_rng(0).standard_normal((2, 5, 2))
    np.testing.assert_allclose(way(walk).of(X, 1), X @ sigma, rtol=1e-12)
    diagonal = replace(walk, diffusion=lambda t, x: (1 + t) * x)
    np.testing.assert_allclose(way(diagonal).of(X[1:], 2)[0], (1 + 2 / 3) * X[1] ** 2, rtol=1e-12)
    many = replace(walk, diffusion=lambda t, x: np.tile(sigma, (len(x), 1, 1)))
    np.testing.assert_allclose(pulled(many, 0.0, X[0], X[0]), X[0] @ sigma, rtol=1e-12)


def test_the_gradient_of_g_leads_to_a_solution_that_goes_up_and_down_with_it():
    one = get("reaction_diffusion", dim=20, steps=6)
    options = {"iterations": 300, "hidden": (4,), "learning_rate": 0.02}
    plain, straight = (solve(e, **options) for e in (replace(one, dg_dx=None), one))
    assert straight.loss < 0.2 * plain.loss
    assert straight.relative_error < 0.3 * plain.relative_error


def test_the_way_may_come_from_the_middle_where_the_gradient_of_g_is_given():
    one = get("reaction_diffusion", dim=3, steps=4)
    plain, led = (way(replace(one, **change)) for change in ({"dg_dx": None}, {"from_middle": True}))
    X = np.random.default_rng(0).standard_normal((3, 5, 3))
    np.testing.assert_array_equal(led.of(X, 1), plain.of(X, 1))
    assert not np.allclose(way(one).of(X, 1), plain.of(X, 1))


def test_steered_paths_drift_with_the_slope_of_f_along_the_straight_way():
    equation = replace(EQUATIONS["hjb"](dim=3, steps=4, lam=5), scheme="euler")
    unknowns = Unknowns(equation, hidden=(4,), skip=True)
    first = np.random.default_rng(0).standard_normal((2, unknowns.n_first)) / 10
    b = steering(unknowns, first)
    free, steered = (
        Sampler(equation, [np.random.default_rng(k) for k in range(2)], 8).draw(drift) for drift in (None, b)
    )
    z2 = np.repeat(first[:, 5] / unknowns.way.length[1], 8)[:, None] * steered.X[2]  # u0, z0 (3), s_1, s_2, s_3
    np.testing.assert_allclose(steered.dW[2], free.dW[2] - 5 * z2 * equation.dt, rtol=1e-12)
    np.testing.assert_allclose(steered.dW[0, 8:], free.dW[0, 8:] - 5 * first[1, 1:4] * equation.dt, rtol=1e-12)
    np.testing.assert_allclose(np.diff(steered.X, axis=0), np.sqrt(2) * steered.dW, rtol=1e-9, atol=1e-12)
    far = Sampler(equation, [np.random.default_rng(k) for k in range(2)], 8).draw(steering(unknowns, 1e6 * first))
    np.testing.assert_allclose(np.linalg.norm(far.dW[0] - free.dW[0], axis=1), np.sqrt(3 * equation.dt), rtol=1e-9)


def test_steered_paths_find_what_rare_paths_decide():
    equation = EQUATIONS["hjb"](dim=10, steps=10, lam=5)
    options = {"iterations": 300, "hidden": (4,), "learning_rate": 0.01}
    free, steered = (solve(replace(equation, steered=how), **options) for how in (False, True))
    assert free.relative_error > 0.15
    assert steered.relative_error < 0.6 * free.relative_error
    np.testing.assert_array_equal(free.u0[:100], steered.u0[:100])
    published = EQUATIONS["hjb"]()
    assert (published.steered, published.scheme) == (False, "euler"), "lam = 1 is solved as published"


def test_a_planted_fault_in_the_recursion_is_seen():
    equation = get("allen_cahn", dim=2, steps=3)
    wrong = replace(equation, df_du=lambda t, x, u, z: 1.0 - 2.0 * u**2)
    unknowns, wrongly = Unknowns(equation, hidden=(4,)), Unknowns(wrong, hidden=(4,))
    theta = unknowns.init(np.random.default_rng(0))[None]
    paths = Sampler(equation, [np.random.default_rng(0)], 8).draw()

    def step(who):
        return value_and_grad(who, theta, who.init_state(1), paths)[1]

    assert np.abs(step(wrongly) - step(unknowns)).max() > 1e-4 * np.abs(step(unknowns)).max()


def test_a_wrong_derivative_and_a_wrong_shape_are_named():
    hjb = get("hjb", dim=4)
    with pytest.raises(GlassnetError, match="df_dz of hjb must be the derivative of f"):
        check(replace(hjb, df_dz=lambda t, x, u, z: z))
    with pytest.raises(GlassnetError, match="g of hjb must be numbers of shape"):
        check(replace(hjb, g=lambda x: x))
    waves = get("reaction_diffusion", dim=4)
    with pytest.raises(
        GlassnetError, match=r"dg_dx of reaction_diffusion must be the derivative of g: given .* left out"
    ):
        check(replace(waves, dg_dx=lambda x: x))
    with pytest.raises(GlassnetError, match=r"dg_dx of reaction_diffusion must be numbers of shape \(64, 4\)"):
        check(replace(waves, dg_dx=lambda x: np.ones((64, 3))))
    with pytest.raises(GlassnetError, match="horizon of hjb must be a positive time"):
        replace(hjb, horizon=-1.0)


def test_functions_of_other_arguments_are_named():
    hjb = get("hjb", dim=4)
    with pytest.raises(GlassnetError, match="f of hjb must be a function of t, x, u and z, received TypeError"):
        check(replace(hjb, f=lambda x, u: u))
    with pytest.raises(GlassnetError, match=r"u_start of hjb must be \(low, high\), received 3"):
        replace(hjb, u_start=3)


def test_an_answer_that_has_not_settled_says_so():
    short = solve("hjb", dim=10, steps=3, iterations=60, hidden=(4,), seeds=2)
    assert not short.settled
    assert short.drift > 0, "u0 starts below and is on its way up"
    assert "u0 still moved by" in str(short)
    assert "lambda" not in repr(short)
    settled = solve("discount", steps=5, iterations=400, seeds=3, hidden=(8,))
    assert settled.settled
    assert "still moved" not in str(settled)
    np.testing.assert_allclose(settled.values, settled.u0[-40:].mean(axis=0))
    assert not solve("discount", iterations=1).settled, "one iteration tells nothing"


def test_missing_derivatives_are_measured_with_a_warning():
    with pytest.warns(UserWarning, match="finite differences call f 8 times"):
        whole = complete(replace(get("hjb", dim=4), df_dz=None))
    check(whole)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_dimension_with_a_known_solution(dtype):
    solution = solve("discount", steps=5, iterations=400, seeds=3, dtype=dtype, hidden=(8,))
    exact_in_time = solution.equation.known * (1.2**-5 / np.exp(-1))  # u_N = u_0 (1 + dt)^N + a martingale
    assert solution.status == "completed"
    assert solution.value == pytest.approx(exact_in_time, rel=0.01)
    assert solution.standard_error == pytest.approx(solution.values.std(ddof=1) / np.sqrt(3))
    assert solution.relative_error == pytest.approx(abs(solution.value / solution.known - 1))


def test_ten_dimensions_of_the_heat_equation():
    """Nothing but the martingale: no error of time steps."""
    solution = solve("heat", dim=10, steps=4, iterations=500, seeds=2, learning_rate=1e-2)
    assert solution.relative_error < 0.02
    assert solution.losses[-50:].mean() < 0.5 * solution.losses[:10].mean()


def test_many_points_of_the_heat_equation_at_once():
    solution = solve(
        "heat", dim=2, steps=4, box=(-2.0, 2.0), iterations=500, hidden=(12, 12), learning_rate=0.02, batch_size=128
    )
    x = np.random.default_rng(0).uniform(-2, 2, (50, 2))
    values, spread = solution.at(x)
    exact = 2.0 + (x * x).sum(axis=1) / 2.0
    assert np.sqrt(np.mean((values - exact) ** 2)) < 0.5 * exact.std()  # a constant would miss by all of it
    assert spread.shape == (50,)
    assert solution.value == pytest.approx(2.0, abs=0.4)
    with pytest.raises(GlassnetError, match=r"x must be \(m, 2\)"):
        solution.at(x[0])


def test_one_network_may_serve_all_times():
    solution = solve("heat", dim=3, steps=4, shared=True, iterations=300, learning_rate=0.02)
    assert solution.relative_error < 0.05
    with pytest.raises(GlassnetError, match="box of solve must be given"):
        solution.at(np.zeros((1, 3)))


def test_the_error_of_time_steps_is_of_first_order():
    """Here u_N = u_0 (1 + rate dt)^N + a martingale: what N steps do to the value is known exactly."""
    solution = solve("discount", steps=2, other_steps=4, iterations=400, antithetic=True, learning_rate=1e-2, seeds=2)
    exact = solution.known
    expected = {N: exact * (1 + 1 / N) ** -N * np.e for N in (2, 4)}
    assert solution.value == pytest.approx(expected[2], rel=0.02)
    assert solution.other.value == pytest.approx(expected[4], rel=0.02)
    assert solution.step_error == pytest.approx(2 * (expected[2] - expected[4]), abs=0.04)
    np.testing.assert_allclose(solution.extrapolated, 2 * solution.other.values - solution.values)
    with pytest.raises(GlassnetError, match="other_steps of solve must be given"):
        _ = solution.other.step_error


def test_one_time_step_is_a_regression():
    solution = solve("discount", steps=1, iterations=300, learning_rate=0.02)
    assert solution.value == pytest.approx((1 + np.exp(-0.5)) / 2, rel=0.05)


def test_a_seed_does_not_depend_on_its_neighbours():
    together = solve("hjb", dim=4, steps=4, iterations=20, seeds=[3, 7])
    alone = solve("hjb", dim=4, steps=4, iterations=20, seed=7)
    np.testing.assert_allclose(together.u0[:, 1], alone.u0[:, 0], rtol=1e-9)
    assert not np.allclose(together.u0[:, 0], alone.u0[:, 0])


def test_nor_do_its_steered_paths():
    equation = EQUATIONS["hjb"](dim=4, steps=4, lam=5)
    together = solve(equation, iterations=120, seeds=[3, 7])
    alone = solve(equation, iterations=120, seed=7)
    np.testing.assert_allclose(together.u0[:, 1], alone.u0[:, 0], rtol=1e-9)


def test_a_diverging_run_answers_with_its_last_good_value_and_advice():
    wild = Equation(
        "wild", dim=2, horizon=1.0, steps=4, g=lambda x: x.sum(axis=-1), f=lambda t, x, u, z: -(u**3),
        df_du=lambda t, x, u, z: -3 * u**2, df_dz=lambda t, x, u, z: np.zeros_like(z),
    )  # fmt: skip
    solution = solve(wild, iterations=50, learning_rate=1e3, seeds=2)
    assert solution.status == "diverged"
    assert solution.diverged.all()
    assert "smaller learning_rate" in solution.reason
    assert np.isfinite(solution.values).all()
    assert np.isfinite(solution.loss)
    assert 0 <= solution.value <= 1


def test_callbacks_and_ctrl_c_end_a_run_with_what_it_has():
    def interrupt(seen):
        if seen.iteration == 5:
            raise KeyboardInterrupt

    stopped = solve(
        "discount", iterations=50, callbacks=[lambda s: Request("stopped", "enough") if s.seconds else None]
    )
    broken = solve("discount", iterations=50, callbacks=[interrupt])
    assert (stopped.status, stopped.reason, len(stopped.u0)) == ("stopped", "enough", 1)
    assert (broken.status, len(broken.u0)) == ("stopped", 5)
    assert broken.value == broken.u0[-1, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"equation": "hjp"}, "did you mean 'hjb'"),
        ({"steps": -2}, "steps of hjb must be"),
        ({"iterations": 0}, "iterations must be"),
        ({"seeds": [1, 1]}, "seeds must be at least one, all different"),
        ({"box": (1.0, 0.0)}, "box must be"),
        ({"other_steps": 20}, "other_steps must be another number than the 20 steps"),
        ({"engine": "nump"}, "did you mean 'numpy'"),
        ({"antithetic": True, "batch_size": 5}, "batch_size must be even"),
        ({"dtype": np.float16}, "dtype must be float32 or float64"),
        ({"equation": EQUATIONS["hjb"](dim=3), "dim": 4}, "dim must be left out, or 3"),
    ],
)
def test_what_cannot_be_right_is_named(arguments, message):
    with pytest.raises(GlassnetError, match=message):
        solve(**{"equation": "hjb"} | arguments)


def test_the_name_is_loaded_when_it_is_asked_for():
    assert glassnet.pde.solve is solve
