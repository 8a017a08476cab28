"""A batch of one row through dense layers, from the row of X to the step.

The row is read where it lies, the products are those of row_kernels.py, and a layer takes its step as soon as delta has
passed it. A step of a small network takes a third to a fifth of the time that it takes as a batch like others
(benchmarks/README.md).
"""

from __future__ import annotations

import numpy as np
from numba import int64

from glassnet.engines.batch import copy, finish_block, full, layer_at
from glassnet.engines.machine import bytes_of, call, inner, pointer, to
from glassnet.engines.tables import (
    A_IN,
    ACTIVATE,
    CLIP,
    DELTA,
    DIRECT,
    FACTOR,
    FIRST_BLOCK,
    GATHER_X,
    GATHER_Y,
    LAYERS,
    MEMORY_AT,
    MULTIPLY,
    N_IN,
    N_OUT,
    ORDER_AT,
    OUT,
    OUTPUT,
    OUTPUT_KIND,
    PULL,
    ROW_ADD,
    ROW_BACK,
    ROW_FORWARD,
    ROWS,
    ROWWISE,
    SAMPLE_WEIGHTS_AT,
    SCRATCH_AT,
    SMOOTHING,
    SOFTMAX,
    SPARE,
    TARGETS,
    THETA,
    THETA_AT,
    TRANSPOSED,
    WEIGHTED,
    X_AT,
    X_COLUMN,
    X_IN_PLACE,
    X_ROW,
    Y_AT,
    Y_COLUMN,
    Y_IN_PLACE,
    Y_ROW,
    A,
    Z,
)  # fmt: skip

__all__ = ["one_row"]


# ---- reading and the loss -------------------------------------------------------------------------------------------


@inner
def input_row(like, plan, rows, a, d):
    """The address of the row of X that `rows` points at: where it lies, or `a`, where it is copied to."""
    if plan[X_IN_PLACE] != 0:
        return plan[X_AT] + bytes_of(like) * pointer(0, rows)[0] * plan[X_ROW]
    call(None, plan[GATHER_X], (plan[X_AT], rows, a, int64(1), d, plan[X_ROW], plan[X_COLUMN], d, int64(1)))
    return a


@inner
def target_row(like, plan, rows, y, k):
    """The same for Y."""
    if plan[Y_IN_PLACE] != 0:
        return plan[Y_AT] + bytes_of(like) * pointer(0, rows)[0] * plan[Y_ROW]
    call(None, plan[GATHER_Y], (plan[Y_AT], rows, y, int64(1), k, plan[Y_ROW], plan[Y_COLUMN], k, int64(1)))
    return y


@inner
def row_loss(like, plan, layer, facts, base, rows, z):
    """delta in the place of z; return the (weighted) cost of the row."""
    size, k, share, weight = bytes_of(like), layer[N_OUT], to(like, facts[FACTOR]), like
    y, other = target_row(like, plan, rows, base + size * plan[TARGETS], k), base + size * plan[SPARE]
    if plan[WEIGHTED] != 0:
        weight = pointer(like, plan[SAMPLE_WEIGHTS_AT])[pointer(0, rows)[0]]
    if plan[OUTPUT_KIND] == TRANSPOSED:
        return call(like, plan[OUTPUT], (z, y, k, to(like, facts[SMOOTHING]), share, weight)) * facts[FACTOR]
    if plan[OUTPUT_KIND] == ROWWISE:
        call(None, plan[SOFTMAX], (z, other, int64(1), k, k))
        copy(like, k, other, z)
    cost = weight * call(like, plan[OUTPUT], (z, y, k, share * weight))
    if plan[OUTPUT_KIND] == ROWWISE:
        call(None, layer[PULL], (other, z, int64(1), k, k))
    return np.float64(cost)


# ---- the step -------------------------------------------------------------------------------------------------------


@inner
def row_update(like, plan, layer, facts, numbers, partials, measured, a, d):
    """[W; b] += step for [a; 1] delta^T."""
    size, n, k, start = bytes_of(like), layer[N_OUT], layer[N_IN], layer[THETA]
    bias = layer[ROWS] - k
    if plan[DIRECT] != 0 and not measured:
        theta = plan[THETA_AT] + size * start
        call(None, plan[ROW_ADD], (n, k, -pointer(like, numbers)[0], a, d, bias, like, theta))
    else:
        g = plan[SCRATCH_AT] + size * (start if plan[CLIP] != 0 else 0)
        call(None, plan[ROW_ADD], (n, k, like, a, d, bias, to(like, 0), g))
        finish_block(
            like, plan, facts, numbers, partials, measured, start, n * k, n * layer[ROWS], g, layer[FIRST_BLOCK]
        )  # fmt: skip


@inner
def one_row(like, plan, facts, numbers, partials, measured, start):
    """A whole step for the row that number `start` in the order names; return its cost."""
    size, base, L, rows = bytes_of(like), plan[MEMORY_AT], plan[LAYERS], plan[ORDER_AT] + 8 * start
    bottom = layer_at(plan, int64(0))
    x = input_row(like, plan, rows, base + size * bottom[A_IN], bottom[N_IN])
    a, z = x, x
    for l in range(L):
        layer = layer_at(plan, l)
        n, z = layer[N_OUT], base + size * layer[OUT]
        theta = plan[THETA_AT] + size * layer[THETA]
        call(None, plan[ROW_FORWARD], (n, layer[N_IN], a, theta, layer[ROWS] - layer[N_IN], z))
        a = base + size * layer[A]
        if layer[ACTIVATE] != 0:
            call(None, layer[ACTIVATE], (z, a, full(n)))
    cost = row_loss(like, plan, layer_at(plan, L - 1), facts, base, rows, z)
    if np.isfinite(cost):
        d = z
        for l in range(L - 1, -1, -1):
            layer, below = layer_at(plan, l), layer_at(plan, max(l - 1, 0))
            n_in, out = layer[N_IN], base + size * below[DELTA]
            if l > 0:
                theta = plan[THETA_AT] + size * layer[THETA]
                call(None, plan[ROW_BACK], (layer[N_OUT], n_in, d, theta, out))
                if below[ACTIVATE] != 0:
                    call(None, plan[MULTIPLY], (out, base + size * below[Z], full(n_in)))
            here = base + size * layer[A_IN] if l > 0 else x
            row_update(like, plan, layer, facts, numbers, partials, measured, here, d)
            d = out
    return cost
