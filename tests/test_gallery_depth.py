"""The experiment `depth`: its figures, its picture, and its broken recipe against a plain NumPy loop."""

import numpy as np
import pytest

import glassnet as gn
from glassnet.gallery import depth


def test_the_quick_run_agrees_and_its_picture_holds_the_data():
    result = depth.run(quick=True)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    broken, mended, scale, gradients, steps, dead = result.figure.axes
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left") for ax in result.figure.axes)
    assert [text.get_text() for text in broken.get_yticklabels()] == ["1", "2", "3", "5"]
    assert len(broken.texts) == 8
    assert len(mended.texts) == 4
    for ax in (scale, gradients):
        assert [len(line.get_xdata()) for line in ax.get_lines()] == [2, 6, 6]
    for ax in (steps, dead):
        assert [len(line.get_ydata()) for line in ax.get_lines()] == [45, 45, 45]
    one_layer, five_layers, healthy = (line.get_ydata() for line in dead.get_lines())
    assert one_layer[-1] > 90
    assert five_layers[-1] > 60
    assert max(healthy) < 40


def test_the_weights_have_the_mistaken_bound():
    net = depth.objective_of(3, mended=False).net
    views = net.views(net.init(rng=0))
    for name, bound in (("W2", np.sqrt(6) / 64), ("W4", np.sqrt(6 / 640))):
        assert 0.97 * bound < np.abs(views[name]).max() <= bound


def test_the_broken_recipe_is_descent_on_the_summed_gradient():
    """Three steps of one hidden layer, written out in NumPy with sums over the batch."""
    rate, (X, Y) = 1e-3, depth.digits(0, mended=False)[0]
    X, Y = X[:96], Y[:96]
    objective = depth.objective_of(1, mended=False)
    theta = objective.net.init(rng=0)
    W1, b1, W2, b2 = (part.copy() for part in objective.net.views(theta).values())
    for start in (0, 32, 64):
        x, y = X[start : start + 32], Y[start : start + 32]
        h = np.maximum(x @ W1 + b1, 0)
        p = np.exp(h @ W2 + b2)
        d2 = p / p.sum(axis=1, keepdims=True) - y
        d1 = (d2 @ W2.T) * (h > 0)
        W1, b1, W2, b2 = W1 - rate * x.T @ d1, b1 - rate * d1.sum(0), W2 - rate * h.T @ d2, b2 - rate * d2.sum(0)
    run = gn.train(
        objective, theta, X, Y, optimizer=gn.SGD(32 * rate), epochs=1, batch_size=32, sampling="sequential"
    )  # fmt: skip
    ours = objective.net.views(run.theta)
    for mine, plain in zip(ours.values(), (W1, b1, W2, b2), strict=True):
        np.testing.assert_allclose(mine, plain, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_full_run_agrees():
    result = depth.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]
