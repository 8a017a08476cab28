"""Initializations: the table, the picture, and the spreads once more from the formulas in plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest

from glassnet.gallery import initializations
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def result() -> Experiment:
    return initializations.run(quick=True)


def test_quick_run_agrees(result: Experiment) -> None:
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert sum(row.agrees is True for row in result.rows) == 9


def test_picture_shows_every_start_and_every_layer(result: Experiment) -> None:
    training, forward, backward = result.figure.axes
    assert training.get_xlabel().startswith("epochs to loss 0.1")
    assert [text.get_text() for text in training.get_yticklabels()] == list(initializations.VARIANCES)
    assert (forward.get_ylabel(), backward.get_ylabel()) == ("standard deviation of z", "rms of the entries of dJ/dW")
    z, g = initializations.spreads("he_uniform", range(400))
    np.testing.assert_array_equal(forward.lines[6].get_ydata(), z)
    np.testing.assert_array_equal(backward.lines[6].get_ydata(), g)
    np.testing.assert_array_equal(
        training.lines[2 * 6].get_xdata(), initializations.epochs_to_target("he_uniform", range(4))
    )


def test_spreads_are_those_of_plain_loops() -> None:
    def sigmoid(z: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-z))

    starts = range(5, 8)
    net = initializations.objective("glorot_older").net
    variances, squares = np.zeros((3, 3)), np.zeros((3, 3))
    for i, start in enumerate(starts):
        X, Y, theta = initializations.begin(net, start)
        p, a, z = net.views(theta), [X], []
        for l in (1, 2, 3):
            z.append(a[-1] @ p[f"W{l}"] + p[f"b{l}"])
            a.append(sigmoid(z[-1]))
        delta = (a[3] - Y) * a[3] * (1 - a[3])
        for l in (3, 2, 1):
            squares[i, l - 1] = np.mean((a[l - 1].T @ delta / len(X)) ** 2)
            delta = delta @ p[f"W{l}"].T * a[l - 1] * (1 - a[l - 1])
        variances[i] = [one.var(axis=0).mean() for one in z]
    spread, gradient = initializations.spreads("glorot_older", starts)
    np.testing.assert_allclose(spread, np.sqrt(variances.mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(gradient, np.sqrt(squares.mean(axis=0)), rtol=1e-12)


@pytest.mark.parametrize(("name", "variance"), initializations.VARIANCES.items())
def test_variance_of_the_first_weights(name: str, variance: float) -> None:
    net = initializations.objective(name).net
    drawn = np.array([net.views(net.init(rng=i))["W1"] for i in range(1000)])
    assert np.mean(drawn**2) == pytest.approx(variance, rel=0.08)


@pytest.mark.slow
def test_full_run_agrees() -> None:
    full = initializations.run(seed=0)
    assert full.agrees, [row for row in full.rows if row.agrees is False]
