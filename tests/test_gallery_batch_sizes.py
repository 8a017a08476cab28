"""Batch sizes: the table, the picture, and a loop in plain NumPy as the witness of the three recipes."""

from __future__ import annotations

import numpy as np
import pytest

import glassnet as gn
from glassnet.gallery import batch_sizes
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def result() -> Experiment:
    return batch_sizes.run(quick=True)


def test_quick_run_agrees(result: Experiment) -> None:
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert sum(row.agrees is True for row in result.rows) == 7


def test_picture_holds_loss_and_accuracy_of_every_run(result: Experiment) -> None:
    axes = result.figure.axes
    assert [ax.get_xlabel() for ax in axes] == ["epochs", "updates", "seconds"] * 2
    assert (axes[0].get_ylabel(), axes[3].get_ylabel()) == ("loss J", "share of rows right")
    curves = {line.get_label(): line for line in axes[1].lines}
    alone = batch_sizes.fit(0, 5, 1 / 8, 300)
    np.testing.assert_array_equal(curves["mini-batches of 5"].get_xdata(), 8 * alone.history["epoch"])
    np.testing.assert_array_equal(curves["mini-batches of 5"].get_ydata(), alone.history["validation_loss"])
    assert [text.get_text() for text in result.figure.legends[0].get_texts()] == list(batch_sizes.SIZES)


def test_a_batch_takes_the_sum_of_its_gradients_over_all_40() -> None:
    net, (X, Y, theta) = batch_sizes.NET, batch_sizes.begin(3)
    run = gn.train(
        batch_sizes.OBJECTIVE, theta, X, Y, optimizer=gn.SGD(5 / 40), batch_size=5, epochs=3, sampling="sequential"
    )
    p = {name: array.copy() for name, array in net.views(theta).items()}
    for _ in range(3):
        for start in range(0, 40, 5):
            a = [X[start : start + 5]]
            for l in (1, 2, 3):
                a.append(1 / (1 + np.exp(-(a[-1] @ p[f"W{l}"] + p[f"b{l}"]))))
            delta = (a[3] - Y[start : start + 5]) * a[3] * (1 - a[3])
            steps = {}
            for l in (3, 2, 1):
                steps[f"W{l}"], steps[f"b{l}"] = a[l - 1].T @ delta / 40, delta.sum(axis=0) / 40
                delta = delta @ p[f"W{l}"].T * a[l - 1] * (1 - a[l - 1])
            for name, step in steps.items():
                p[name] -= step
    for name, array in net.views(run.theta).items():
        np.testing.assert_allclose(array, p[name], rtol=0, atol=1e-12)


@pytest.mark.slow
def test_full_run_agrees() -> None:
    full = batch_sizes.run(seed=0)
    assert full.agrees, [row for row in full.rows if row.agrees is False]
