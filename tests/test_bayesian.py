"""bayesian.py: scikit-learn's BayesianRidge, textbooks' standard errors, and what the posterior covers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import optimize
from sklearn.linear_model import BayesianRidge, LinearRegression

import glassnet as gn
from glassnet import Dense, Network, Objective, bayesian
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.history import Run

RNG = np.random.default_rng(1)
X = RNG.normal(size=(60, 5))
TRUE = np.array([[1.0], [-2.0], [0.0], [0.0], [0.5]])
Y = X @ TRUE + RNG.normal(0.0, 0.3, (60, 1))
LINEAR = Objective(Network(5, [Dense(1, bias=False)]), "squared_error")
TIGHT: dict[str, Any] = {"method": "br", "tolerance": 1e-14}
CURVE_X = np.linspace(-1, 1, 50)[:, None]
CURVE = np.sin(4 * CURVE_X)
NOISY = CURVE + np.random.default_rng(0).normal(0, 0.1, CURVE.shape)


def curve(units: int, seed: int, Y: Array = NOISY, **options: Any) -> Run:
    net = Network(1, [Dense(units, "tanh"), Dense(Y.shape[1])])
    return gn.minimize(Objective(net, "squared_error"), net.init(seed), CURVE_X, Y, method="br", **options)


# ---- linear networks: known in closed form ------------------------------------------------------------------------


def test_a_linear_network_is_bayesian_ridge() -> None:
    """Precisions, weights, covariance and bands; theirs without the hyperpriors, to the last digits of theirs."""
    theirs = BayesianRidge(
        alpha_1=0, alpha_2=0, lambda_1=0, lambda_2=0, fit_intercept=False, tol=1e-15, max_iter=5000
    ).fit(X, Y.ravel())
    run = gn.minimize(LINEAR, np.ones(5), X, Y, **TIGHT)
    posterior = run.posterior
    assert posterior is not None
    assert run.status == "converged"
    assert posterior.beta[0] == pytest.approx(theirs.alpha_, rel=1e-6)
    assert posterior.alpha == pytest.approx(theirs.lambda_, rel=1e-6)
    np.testing.assert_allclose(run.theta, theirs.coef_, rtol=1e-6)
    np.testing.assert_allclose(posterior.covariance, theirs.sigma_, rtol=1e-5, atol=1e-9)
    at = RNG.normal(size=(7, 5))
    np.testing.assert_allclose(posterior.predict_std(at).ravel(), theirs.predict(at, return_std=True)[1], rtol=1e-6)
    assert 4.0 < posterior.gamma < 5.0
    assert abs(posterior.alpha / theirs.lambda_ * 1.001 - 1) > 1e-6, "planted: a precision off by a thousandth"


def test_sample_weights_are_precisions() -> None:
    """A weight of 2 is half the variance: the same as rows and targets times sqrt 2; a weight of 0 is no row."""
    weights = RNG.uniform(0.5, 2.0, 60)
    weights[:10] = 0.0
    kept = weights[10:] / weights[10:].mean()
    root = np.sqrt(kept)[:, None]
    one = gn.minimize(LINEAR, np.ones(5), X, Y, weights, **TIGHT).posterior
    two = gn.minimize(LINEAR, np.ones(5), X[10:] * root, Y[10:] * root, **TIGHT).posterior
    assert one is not None
    assert two is not None
    np.testing.assert_allclose([one.alpha, one.beta[0], one.gamma], [two.alpha, two.beta[0], two.gamma], rtol=1e-6)
    np.testing.assert_allclose(one.covariance, two.covariance, rtol=1e-5, atol=1e-9)


def test_a_network_may_be_shifted_and_scaled() -> None:
    """The output bias is under no prior: where the targets lie does not matter, nor, for the noise, their unit."""
    net = Objective(Network(5, [Dense(1)]), "squared_error")
    start = np.concatenate([np.ones(5), [0.0]])
    here, there = (gn.minimize(net, start, X, Y + shift, **TIGHT) for shift in (0.0, 1000.0))
    np.testing.assert_allclose(there.theta - here.theta, [0, 0, 0, 0, 0, 1000.0], atol=1e-6)
    assert here.posterior is not None
    assert there.posterior is not None
    assert there.posterior.gamma == pytest.approx(here.posterior.gamma, rel=1e-6)
    np.testing.assert_allclose(there.posterior.noise, here.posterior.noise, rtol=1e-6)


def test_each_output_has_noise_of_its_own() -> None:
    """Three outputs in three units: each as good as alone but for the alpha that they share."""
    scales = np.array([1.0, 100.0, 0.01])
    many = X @ np.hstack([TRUE, TRUE[::-1], TRUE]) + RNG.normal(size=(60, 3)) * 0.3 / scales
    objective = Objective(Network(5, [Dense(3, bias=False)]), "squared_error")
    posterior = gn.minimize(objective, np.ones(15), X, many, **TIGHT).posterior
    assert posterior is not None
    errors = many - LinearRegression(fit_intercept=False).fit(X, many).predict(X)
    usual = np.sqrt((errors**2).sum(axis=0) / (60 - 5))
    np.testing.assert_allclose(posterior.noise, usual, rtol=0.05)
    assert posterior.predict_std(X).shape == (60, 3)


# ---- a network that is not linear ---------------------------------------------------------------------------------


def test_the_end_is_a_fixed_point_of_mackays_equations() -> None:
    """By SciPy: theta minimises F; by central differences: H and gamma; then alpha and beta follow from them."""
    run = curve(4, 0, tolerance=1e-9, max_iter=3000)
    posterior = run.posterior
    assert posterior is not None
    assert run.status == "converged"
    net, theta, alpha, beta = posterior.net, run.theta, posterior.alpha, posterior.beta[0]
    mask = np.arange(len(theta)) != len(theta) - 1

    def F(at: Array) -> float:
        e = net.forward(at, CURVE_X).output - NOISY
        return 0.5 * beta * float((e * e).sum()) + 0.5 * alpha * float((at[mask] ** 2).sum())

    assert F(theta) <= optimize.minimize(F, theta, method="BFGS").fun + 1e-6
    h, steps = 1e-5, np.eye(len(theta))
    G = np.stack(
        [
            (net.forward(theta + h * s, CURVE_X).output - net.forward(theta - h * s, CURVE_X).output).ravel()
            for s in steps
        ],
        axis=1,
    ) / (2 * h)
    H = beta * G.T @ G + alpha * np.diag(mask)
    covariance = np.linalg.inv(H)
    np.testing.assert_allclose(posterior.covariance, covariance, rtol=1e-3, atol=1e-4 * np.abs(covariance).max())
    gamma = len(theta) - alpha * np.trace(covariance[np.ix_(mask, mask)])
    assert posterior.gamma == pytest.approx(gamma, rel=1e-4)
    errors = net.forward(theta, CURVE_X).output - NOISY
    assert beta == pytest.approx((50 - gamma) / (errors**2).sum(), rel=1e-4)
    assert alpha == pytest.approx((gamma - 1) / (theta[mask] ** 2).sum(), rel=1e-4)
    band = np.sqrt(np.einsum("mp,pq,mq->m", G, covariance, G))
    np.testing.assert_allclose(posterior.predict_std(CURVE_X, noise=False).ravel(), band, rtol=1e-3)
    np.testing.assert_allclose(posterior.predict_std(CURVE_X).ravel(), np.sqrt(band**2 + 1 / beta), rtol=1e-3)
    np.testing.assert_allclose(posterior.standard_errors, np.sqrt(np.diag(covariance)), rtol=1e-3)


@pytest.mark.parametrize("units", [5, 10, 20])
def test_more_units_are_not_more_parameters(units: int) -> None:
    """16, 31 or 61 weights: about nine are determined, and the curve below the noise is found each time."""
    run = curve(units, 1)
    assert run.posterior is not None
    assert 7.0 < run.posterior.gamma < 11.0
    error = run.posterior.net.forward(run.theta, CURVE_X).output - CURVE
    assert np.sqrt((error**2).mean()) < 0.07
    overfit = gn.minimize(
        Objective(run.posterior.net, "squared_error"), run.posterior.net.init(1), CURVE_X, NOISY, method="lm"
    )
    worse = run.posterior.net.forward(overfit.theta, CURVE_X).output - CURVE
    assert np.sqrt((worse**2).mean()) > np.sqrt((error**2).mean())


def test_bands_hold_as_many_points_as_they_say() -> None:
    """Over 20 draws of the noise, two standard deviations hold about 95% of new observations (and one does not)."""
    held, narrow = [], []
    for draw in range(20):
        rng = np.random.default_rng(draw)
        noisy, new = (CURVE + rng.normal(0, 0.1, CURVE.shape) for _ in range(2))
        run = curve(5, draw, noisy, max_iter=100)
        assert run.posterior is not None
        missed = np.abs(run.posterior.net.forward(run.theta, CURVE_X).output - new)
        std = run.posterior.predict_std(CURVE_X)
        held.append((missed <= 1.96 * std).mean())
        narrow.append((missed <= std).mean())
    assert 0.92 < np.mean(held) < 0.97
    assert np.mean(narrow) < 0.75


def test_the_band_widens_where_no_data_are() -> None:
    run = curve(5, 0)
    assert run.posterior is not None
    inside, outside = run.posterior.predict_std([[0.0], [2.0]], noise=False).ravel()
    assert outside > 3 * inside


def test_exact_data_end_too() -> None:
    """Without noise beta grows without end: it is bounded, and the fit goes on getting better."""
    run = curve(8, 0, CURVE, max_iter=300)
    assert run.posterior is not None
    assert np.isfinite(run.posterior.factor).all()
    assert run.loss < 1e-5
    assert run.posterior.noise[0] < 0.01


def test_data_that_say_nothing_leave_no_parameters() -> None:
    """Pure noise: alpha is bounded, and the output is the mean of the targets."""
    noise = np.random.default_rng(5).normal(size=(200, 1))
    run = gn.minimize(LINEAR, np.ones(5), np.random.default_rng(6).normal(size=(200, 5)), noise, method="br")
    assert run.posterior is not None
    assert run.posterior.gamma < 2.0
    assert np.isfinite(run.posterior.factor).all()
    constant = curve(4, 0, np.full((50, 1), 3.0))
    assert constant.posterior is not None
    np.testing.assert_allclose(constant.posterior.net.forward(constant.theta, CURVE_X).output, 3.0, atol=1e-4)


SINC = np.sinc(3 * CURVE_X)


@pytest.mark.parametrize("seed", range(4))
def test_a_start_that_knows_nothing_is_not_told_that_there_is_nothing_to_learn(seed: int) -> None:
    """sinc is even, and tanh units without biases are odd: a start has learned nothing, and all weights could go to 0.

    Planted: where the start itself is asked for the precisions, they do.
    """
    net = Network(1, [Dense(10, "tanh"), Dense(1)])
    model = bayesian.model(Objective(net, "squared_error"), (CURVE_X, SINC, None))
    *_, last = (at for at, _ in zip(bayesian.iterate(model, net.init(seed)), range(80), strict=False))
    assert last.evidence.gamma > 10.0
    asked = model.precisions(net.init(seed), np.array([net.n_parameters]))
    *_, lost = (at for at, _ in zip(bayesian.iterate(model, net.init(seed), evidence=asked), range(80), strict=False))
    assert lost.evidence.gamma < 2.0


def test_a_run_that_ends_early_has_a_posterior() -> None:
    run = curve(5, 0, max_iter=3)
    assert run.posterior is not None
    assert np.isnan(run.history["gamma"]).all()
    assert 1.0 < run.posterior.gamma < 16.0
    assert 0.05 < run.posterior.noise[0] < 1.0


def test_the_history_tells_the_evidence() -> None:
    run = curve(5, 0)
    history = run.history
    assert run.posterior is not None
    assert history["gamma"][-1] == pytest.approx(run.posterior.gamma)
    assert history["alpha"][-1] == pytest.approx(run.posterior.alpha)
    assert history["beta"][-1] == pytest.approx(run.posterior.beta[0])
    objective = Objective(run.posterior.net, "squared_error")
    assert run.loss == pytest.approx(float(objective.value(run.theta, CURVE_X, NOISY)), rel=1e-12)
    assert history["updates"][0] == 1


def test_in_blocks_the_same_comes_out() -> None:
    """With memory for a few rows only: the leverages are added up, and Cholesky's factor is the root."""
    net = Network(1, [Dense(5, "tanh"), Dense(2)])
    P, targets = net.n_parameters, np.hstack([NOISY, 30 * NOISY[::-1]])
    objective = Objective(net, "squared_error")
    whole = bayesian.model(objective, (CURVE_X, targets, None))
    parts = bayesian.model(objective, (CURVE_X, targets, None), memory=16.0 * P * P + 8 * P * 2 * 7)
    assert parts.squares.block_rows == 7
    theta = net.init(0)
    for _, one, two in zip(range(25), bayesian.iterate(whole, theta), bayesian.iterate(parts, theta), strict=False):
        np.testing.assert_allclose(two.theta, one.theta, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(two.evidence.beta, one.evidence.beta, rtol=1e-4)
        assert two.evidence.gamma == pytest.approx(one.evidence.gamma, rel=1e-4, nan_ok=True)
    a, b = (bayesian.posterior_of(model, one.theta, one.evidence).covariance for model in (whole, parts))
    np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-8 * np.abs(a).max())


def test_a_penalty_of_ones_own_is_refused() -> None:
    with pytest.raises(GlassnetError, match=r"l2 must be 0 with 'br', which finds the penalty itself, received 0\.1"):
        gn.minimize(Objective(LINEAR.net, "squared_error", l2=0.1), np.ones(5), X, Y, method="br")


# ---- laplace ------------------------------------------------------------------------------------------------------


def test_standard_errors_are_the_textbooks() -> None:
    """sigma^2 (A^T A)^-1 with sigma^2 = RSS / (m - P), for a line with an intercept and weights."""
    weights = RNG.uniform(0.2, 3.0, 60)
    w = weights / weights.mean()
    objective = Objective(Network(5, [Dense(1)]), "squared_error")
    run = gn.minimize(objective, np.zeros(6), X, Y, weights, method="lm", tolerance=1e-12)
    posterior = gn.laplace(objective, run.theta, X, Y, weights)
    A = np.hstack([X, np.ones((60, 1))])
    best = np.linalg.lstsq(A * np.sqrt(w)[:, None], Y * np.sqrt(w)[:, None], rcond=None)[0]
    variance = float(w @ (A @ best - Y).ravel() ** 2) / (60 - 6)
    np.testing.assert_allclose(posterior.covariance, variance * np.linalg.inv(A.T * w @ A), rtol=1e-7, atol=1e-12)
    np.testing.assert_allclose(posterior.noise, np.sqrt(variance), rtol=1e-9)
    assert posterior.gamma == pytest.approx(6.0)
    off = gn.laplace(objective, run.theta, X, Y)
    assert abs(off.noise[0] / posterior.noise[0] - 1) > 1e-3, "planted: no weights"


@pytest.mark.parametrize("factor", [1.0, 0.5])
def test_a_penalty_is_a_prior(factor: float) -> None:
    """At the l2 that "br" has found, `laplace` finds the noise, the gamma and the covariance of "br"."""
    found = gn.minimize(LINEAR, np.ones(5), X, Y, **TIGHT)
    assert found.posterior is not None
    l2 = found.posterior.alpha / (found.posterior.beta[0] * 60) * factor
    loss = gn.losses.scaled(gn.losses.get("squared_error"), factor)
    same = gn.laplace(Objective(LINEAR.net, loss, l2=l2), found.theta, X, Y)
    np.testing.assert_allclose(same.covariance, found.posterior.covariance, rtol=1e-5, atol=1e-10)
    assert same.alpha == pytest.approx(found.posterior.alpha, rel=1e-6)
    assert same.gamma == pytest.approx(found.posterior.gamma, rel=1e-6)


def test_several_outputs_share_the_noise() -> None:
    many = np.hstack([Y, Y[::-1]])
    objective = Objective(Network(5, [Dense(2, bias=False)]), "squared_error")
    run = gn.minimize(objective, np.zeros(10), X, many, method="lm", tolerance=1e-12)
    errors = many - LinearRegression(fit_intercept=False).fit(X, many).predict(X)
    posterior = gn.laplace(objective, run.theta, X, many)
    np.testing.assert_allclose(posterior.noise, np.sqrt((errors**2).sum() / (120 - 10)), rtol=1e-9)


@pytest.mark.parametrize(
    ("net", "rows", "message"),
    [
        (Network(5, [Dense(3), Dense(1)]), 60, "along some direction no output changes"),
        (Network(5, [Dense(1)]), 6, "6 targets meet 6 parameters, no noise can be told"),
        (Network(5, [Dense(40, "tanh"), Dense(1)]), 60, "along some direction no output changes"),
    ],
)
def test_weights_that_the_data_do_not_determine_are_said(net: Network, rows: int, message: str) -> None:
    objective = Objective(net, "squared_error")
    with pytest.raises(GlassnetError, match=f"the data do not determine the weights.*{message}.*'br'"):
        gn.laplace(objective, net.init(0), X[:rows], Y[:rows])


def test_what_laplace_refuses() -> None:
    with pytest.raises(GlassnetError, match="'laplace' minimises sums of squares, and the loss huber is none"):
        gn.laplace(Objective(LINEAR.net, "huber"), np.ones(5), X, Y)
    with pytest.raises(GlassnetError, match=r"theta must be floats \(5,\)"):
        gn.laplace(LINEAR, np.ones(4), X, Y)
