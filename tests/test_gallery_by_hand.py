"""By hand: the table, the picture, and the six functions against central differences and NumPy."""

from __future__ import annotations

import numpy as np
import pytest

import glassnet as gn
from glassnet import datasets
from glassnet.gallery import by_hand
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def result() -> Experiment:
    return by_hand.run(quick=True)


def test_quick_run_agrees(result: Experiment) -> None:
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert [row.name.partition(":")[0] for row in result.rows if row.agrees] == ["loss", "error rate", "parameters"]


def test_picture_holds_both_ways(result: Experiment) -> None:
    losses, errors, apart = result.figure.axes
    assert [ax.get_ylabel() for ax in result.figure.axes] == [
        "loss J",
        "share of rows wrong",
        "largest difference of a parameter",
    ]
    hand, train, gap = by_hand.both_ways(0, True)
    for ax, i in ((losses, 0), (errors, 1)):
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), train[i])
        np.testing.assert_array_equal(ax.lines[1].get_ydata(), hand[i][::60])
    assert any(np.array_equal(line.get_ydata(), gap + 1e-17) for line in apart.lines)
    assert [text.get_text() for text in apart.get_legend().get_texts()] == [
        "raw inputs",
        "standardised",
        "the bound 1e-12",
    ]


def test_initialise_draws_what_the_network_draws() -> None:
    ours = by_hand.NET.layout.pack(by_hand.initialise(np.random.default_rng(7)))
    np.testing.assert_array_equal(ours, by_hand.NET.init(rng=7))


def test_six_functions_against_central_differences() -> None:
    data = datasets.load("two_gaussians", rng=1)
    X, Y, p = data.X, gn.one_hot(data.y), by_hand.initialise(np.random.default_rng(2))
    Z, A = by_hand.forward(p, X)
    np.testing.assert_allclose(A[3].sum(axis=1), 1.0, atol=1e-14)
    assert by_hand.loss(A, Y) == pytest.approx(-np.log(A[3][np.arange(40), data.y]).mean(), abs=1e-14)
    assert by_hand.error_rate(A, Y) == np.mean(A[3].argmax(axis=1) != data.y)
    gradient = by_hand.backward(p, Z, A, Y)
    for name, P in p.items():
        for i in np.ndindex(P.shape):
            ends = []
            for h in (1e-5, -1e-5):
                moved = {key: array.copy() for key, array in p.items()}
                moved[name][i] += h
                ends.append(by_hand.loss(by_hand.forward(moved, X)[1], Y))
            assert gradient[name][i] == pytest.approx((ends[0] - ends[1]) / 2e-5, abs=1e-9), (name, i)
    after = by_hand.step(p, gradient)
    assert by_hand.loss(by_hand.forward(after, X)[1], Y) < by_hand.loss(A, Y)


@pytest.mark.slow
def test_full_run_agrees() -> None:
    full = by_hand.run(seed=0)
    assert full.agrees, [row for row in full.rows if row.agrees is False]
