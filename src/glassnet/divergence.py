"""Divergence: when a run has left the numbers that mean anything, and how that is said.

The loops of stepping.py stop at the first loss that is not finite, at the first theta that is not, and at an epoch
whose loss is out of all proportion to the first one. Here the reason is put into words, None where all is well.
"""

from __future__ import annotations

import numpy as np

from glassnet.arrays import Array
from glassnet.layers import Mode
from glassnet.network import Trace
from glassnet.objective import Objective

__all__ = ["BLOW_UP", "blown_up", "blown_up_on", "broken_layer", "not_finite"]

BLOW_UP = 1e6
"""An epoch whose loss is this many times (1 + the loss of the very first batch) has diverged, finite or not."""


def blown_up(loss: float, first_loss: float | None) -> str | None:
    """Say so where the loss is out of all proportion to the first one, finite or not.

        loss > BLOW_UP (1 + |first loss|)

    >>> blown_up(3e6, 1.0)
    'the loss has grown from 1 to 3e+06'
    """
    if loss <= BLOW_UP * (1.0 + abs(first_loss or 0.0)):
        return None
    return f"the loss has grown from {first_loss:.3g} to {loss:.3g}"


def not_finite(theta: Array, state: Array) -> str | None:
    """Say so where parameters, or variances that float32 cannot hold, have left the finite numbers."""
    if not np.isfinite(theta).all():
        return "theta is not finite after the last batch"
    return None if np.isfinite(state).all() else "BatchNorm's statistics are not finite after the last batch"


def blown_up_on(
    batch: tuple[Array, Array, Array | None], objective: Objective, theta: Array, state: Array, mode: Mode,
    first_loss: float | None,
) -> str | None:  # fmt: skip
    """Evaluate the loss of a batch (X, Y, sample_weight) once more, and say so where it has blown up since."""
    x, y, w = batch
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        trace = objective.run_on.forward(objective.net, theta, x, state, mode)
        return blown_up(float(objective.data_term(trace, y, w)), first_loss)


def broken_layer(trace: Trace) -> str:
    """Name the first layer whose numbers are not finite, as the end of a sentence that says which loss is not."""
    for l, (z, a) in enumerate(zip(trace.z[1:], trace.a[1:], strict=True), 1):
        if not (np.isfinite(z).all() and np.isfinite(a).all()):
            return f", first in layer {l}"
    return ", first in the loss itself"
