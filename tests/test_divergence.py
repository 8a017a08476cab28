"""divergence.py: what counts as the end of a run, and in which words. Runs that end so: test_training_ends.py."""

from __future__ import annotations

import numpy as np
import pytest

import glassnet as gn
from glassnet.divergence import BLOW_UP, blown_up, blown_up_on, broken_layer, not_finite
from glassnet.layers import Mode

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("loss", "first", "reason"),
    [
        (BLOW_UP, None, None),
        (2 * BLOW_UP, 1.0, None),
        (2.001 * BLOW_UP, 1.0, "the loss has grown from 1 to 2e+06"),
        (4 * BLOW_UP, -3.0, None),
        (4.01 * BLOW_UP, -3.0, "the loss has grown from -3 to 4.01e+06"),
        (-INF, 1.0, None),
        (INF, 1.0, "the loss has grown from 1 to inf"),
        (NAN, 1.0, "the loss has grown from 1 to nan"),
    ],
)
def test_a_loss_out_of_all_proportion_to_the_first(loss: float, first: float | None, reason: str | None) -> None:
    assert blown_up(loss, first) == reason


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_what_is_not_finite_is_named(bad: float) -> None:
    good, wrong = np.zeros(3), np.array([0.0, bad, 0.0])
    assert not_finite(good, good) is None
    assert not_finite(good, np.empty(0)) is None
    assert not_finite(wrong, wrong) == "theta is not finite after the last batch"
    assert not_finite(good, wrong) == "BatchNorm's statistics are not finite after the last batch"


@pytest.mark.parametrize("layer", [1, 2, 3])
def test_the_first_broken_layer_is_named(layer: int) -> None:
    net = gn.Network(2, [gn.Dense(2, bias=False) for _ in range(3)])
    theta = np.ones(net.n_parameters)
    assert broken_layer(net.forward(theta, np.ones((4, 2)))) == ", first in the loss itself"
    net.views(theta)[f"W{layer}"][0, 1] = NAN
    assert broken_layer(net.forward(theta, np.ones((4, 2)))) == f", first in layer {layer}"


def test_a_batch_is_looked_at_once_more_with_its_weights() -> None:
    """Two rows with losses 0 and 5e7: it has blown up unless only the first one counts."""
    objective = gn.Objective(gn.Network(1, [gn.Dense(1, bias=False)]), "squared_error", l2=1e30)
    X, Y = np.array([[0.0], [1e4]]), np.zeros((2, 1))

    def look(weights: list[float]) -> str | None:
        return blown_up_on((X, Y, np.array(weights)), objective, np.ones(1), np.empty(0), Mode(training=True), 1.0)

    assert look([1.0, 1.0]) == "the loss has grown from 1 to 2.5e+07"
    assert look([1.0, 0.0]) is None
