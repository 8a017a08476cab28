"""Digits: the recipes agree with the published figures, and the step is the published step."""

import numpy as np
import pytest

from glassnet import datasets
from glassnet.gallery import digits
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def quick() -> Experiment:
    return digits.run(quick=True)


def test_quick_run_agrees(quick):
    assert quick.agrees, [row for row in quick.rows if row.agrees is False]


def test_picture_holds_the_data(quick):
    scores, curves, activations = quick.figure.axes
    assert all(ax.get_ylabel() for ax in quick.figure.axes)
    assert curves.get_xlabel() == "epoch"
    published = np.asarray(scores.collections[2].get_offsets())[:, 1]
    assert len(published) == 3
    assert f"{published.mean():.4g}" == next(
        row.ours for row in quick.rows if row.name == "published: test accuracy, %"
    )
    assert [len(line.get_xdata()) for line in curves.lines] == [50, 50]
    at_the_ends = [patch.get_height() for patch in activations.patches[:50]]
    assert at_the_ends[0] > 50 * at_the_ends[25]


def test_step_is_the_published_step():
    """Three steps in plain NumPy: W -= rate (sum of gradients + penalty W), b -= rate (sum of gradients)."""
    rate, penalty, data = 0.001, 0.01, datasets.load("digits")
    rows = np.random.default_rng(0).permutation(1797)[:1437]
    X, Y = data.X[rows], np.eye(10)[data.y[rows]]
    net = digits.network()
    start = {name: p.copy() for name, p in net.views(net.init(rng=0)).items()}
    W1, b1, W2, b2 = (start[name] for name in ("W1", "b1", "W2", "b2"))
    assert (b1 == 0.01).all()
    assert W1.std() == pytest.approx(1.0, abs=0.05)
    for _ in range(3):
        hidden = 1 / (1 + np.exp(-(X @ W1 + b1)))
        z = hidden @ W2 + b2
        p = np.exp(z - z.max(axis=1, keepdims=True))
        delta2 = p / p.sum(axis=1, keepdims=True) - Y
        delta1 = delta2 @ W2.T * hidden * (1 - hidden)
        W2, b2 = W2 - rate * (hidden.T @ delta2 + penalty * W2), b2 - rate * delta2.sum(axis=0)
        W1, b1 = W1 - rate * (X.T @ delta1 + penalty * W1), b1 - rate * delta1.sum(axis=0)
    ours = net.views(digits.fit(0, rate, penalty, batch=1437, epochs=3).run.theta)
    for name, expected in {"W1": W1, "b1": b1, "W2": W2, "b2": b2}.items():
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_full_run_agrees():
    result = digits.run(seed=0)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
