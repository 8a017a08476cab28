"""The experiment `autoencoder`: its figures, its picture, and its descent against a plain NumPy loop."""

import numpy as np
import pytest

import glassnet as gn
from glassnet.gallery import autoencoder


def test_the_quick_run_agrees_and_its_picture_holds_the_data():
    result = autoencoder.run(quick=True)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    by_epoch, by_second, code, exercises = result.figure.axes
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left") for ax in result.figure.axes)
    fewest = next(int(row.ours) for row in result.rows if "fewest of" in row.name)
    ends = [line.get_xdata()[-1] for line in by_epoch.get_lines()]
    assert fewest in ends
    assert len(by_second.get_lines()) == len(ends) == 6
    shown = [row.ours for row in result.rows if row.name.startswith("code of input")]
    drawn = [text.get_text() for text in code.texts]
    assert [" ".join(drawn[i : i + 3]) for i in range(0, 24, 3)] == shown
    assert len(exercises.patches) == 8


def test_the_descent_is_that_of_a_plain_loop():
    """60 epochs, one sample at a time, in NumPy; the error is measured while the weights move."""
    objective = autoencoder.objective_of()
    theta = objective.net.init(rng=5)
    W1, b1, W2, b2 = (part.copy() for part in objective.net.views(theta).values())
    errors = []
    for _ in range(60):
        errors.append(0.0)
        for x in np.eye(8):
            a = 1 / (1 + np.exp(-(x @ W1 + b1)))
            y = 1 / (1 + np.exp(-(a @ W2 + b2)))
            errors[-1] += ((y - x) ** 2).sum()
            d2 = (y - x) * y * (1 - y)
            d1 = (W2 @ d2) * a * (1 - a)
            W1, b1, W2, b2 = W1 - np.outer(x, d1), b1 - d1, W2 - np.outer(a, d2), b2 - d2
    run = autoencoder.train(objective, 5, 1e-9, 60, gn.SGD(1.0))
    np.testing.assert_allclose(autoencoder.PER_LOSS * run.history["loss"], errors, rtol=0, atol=1e-12)
    for ours, plain in zip(objective.net.views(run.theta).values(), (W1, b1, W2, b2), strict=True):
        np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-12)


@pytest.mark.slow
def test_the_full_run_agrees():
    result = autoencoder.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]
