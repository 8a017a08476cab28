"""posterior.py: draws against the covariance, bands against draws, and rows in blocks."""

from __future__ import annotations

import numpy as np
import pytest

from glassnet import Dense, Network, Posterior
from glassnet.errors import GlassnetError

NET = Network(2, [Dense(3, "tanh"), Dense(2)])
RNG = np.random.default_rng(0)
FACTOR = 0.01 * RNG.normal(size=(17, 17))
POSTERIOR = Posterior(NET, NET.init(0), FACTOR, 1.0, np.array([4.0, 25.0]), 10.0)
X = RNG.normal(size=(9, 2))


def test_noise_covariance_and_standard_errors() -> None:
    np.testing.assert_allclose(POSTERIOR.noise, [0.5, 0.2])
    np.testing.assert_allclose(POSTERIOR.standard_errors**2, np.diag(POSTERIOR.covariance))
    assert set(NET.views(POSTERIOR.standard_errors)) == {"W1", "b1", "W2", "b2"}


def test_draws_have_the_covariance_and_the_band() -> None:
    """20,000 networks: their weights scatter as the covariance says, their outputs as the band says."""
    draws = POSTERIOR.sample(20_000, rng=1)
    scale = np.abs(POSTERIOR.covariance).max()
    np.testing.assert_allclose(np.cov(draws.T), POSTERIOR.covariance, atol=0.05 * scale)
    np.testing.assert_allclose(draws.mean(axis=0), POSTERIOR.theta, atol=0.002)
    outputs = NET.forward(draws, X).output
    np.testing.assert_allclose(POSTERIOR.predict_std(X, noise=False), outputs.std(axis=0), rtol=0.05)
    assert np.abs(POSTERIOR.predict_std(X) / outputs.std(axis=0) - 1).max() > 0.05, "planted: with noise"


def test_noise_is_added_in_squares() -> None:
    with_noise, without = POSTERIOR.predict_std(X), POSTERIOR.predict_std(X, noise=False)
    np.testing.assert_allclose(with_noise**2 - without**2, np.broadcast_to([0.25, 0.04], (9, 2)))


def test_many_rows_are_visited_in_blocks() -> None:
    wide = Network(2, [Dense(50, "tanh"), Dense(1)])
    P = wide.n_parameters
    posterior = Posterior(wide, wide.init(0), 0.01 * np.eye(P), 1.0, np.ones(1), 5.0)
    many = np.random.default_rng(2).normal(size=(6000, 2))
    bands = posterior.predict_std(many)
    ends = np.concatenate([posterior.predict_std(many[:2]), posterior.predict_std(many[-2:])])
    np.testing.assert_allclose(bands[[0, 1, -2, -1]], ends, rtol=1e-12)


def test_refusals() -> None:
    with pytest.raises(GlassnetError, match=r"X must be \(m, 2\)"):
        POSTERIOR.predict_std(X[0])
    with pytest.raises(GlassnetError, match="n must be at least 1"):
        POSTERIOR.sample(0)
