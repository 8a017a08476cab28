"""A batch of one row through dense layers, from the row of X to the step.

The row is read where it lies, the products are those of row_kernels.py, and a layer takes its step as soon as delta has
passed it. A step of a small network takes a quarter to a half of the time that it takes as a batch like others
(benchmarks/README.md).
"""

from __future__ import annotations

import numpy as np
from numba import int64

from glassnet.engines.batch import copy, full, layer_at
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
    SLOPE,
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
from glassnet.engines.updates import finish_block

__all__ = ["one_row"]


# ---- reading and the loss -------------------------------------------------------------------------------------------


@inner
def row_at(like, rows, in_place, gather, data, row, column, spare, n):
    """The address of the row of the data that `rows` points at: where it lies, or `spare`, where it is copied to."""
    if in_place != 0:
        return data + bytes_of(like) * pointer(0, rows)[0] * row
    call(None, gather, (data, rows, spare, int64(1), n, row, column, n, int64(1)))
    return spare


@inner
def row_loss(like, plan, layer, facts, base, rows, z):
    """delta in the place of z; return the (weighted) cost of the row."""
    size, k, share, weight = bytes_of(like), layer[N_OUT], to(like, facts[FACTOR]), like
    spare, other = base + size * plan[TARGETS], base + size * plan[SPARE]
    y = row_at(like, rows, plan[Y_IN_PLACE], plan[GATHER_Y], plan[Y_AT], plan[Y_ROW], plan[Y_COLUMN], spare, k)
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
            like, plan, facts, numbers, partials, measured, start, n * k, n * layer[ROWS], g, layer[FIRST_BLOCK],
            int64(0),
        )  # fmt: skip


@inner
def one_row(like, plan, facts, numbers, partials, measured, start):
    """A whole step for the row that number `start` in the order names; return its cost."""
    size, base, L, rows = bytes_of(like), plan[MEMORY_AT], plan[LAYERS], plan[ORDER_AT] + 8 * start
    bottom = layer_at(plan, int64(0))
    spare, d = base + size * bottom[A_IN], bottom[N_IN]
    x = row_at(like, rows, plan[X_IN_PLACE], plan[GATHER_X], plan[X_AT], plan[X_ROW], plan[X_COLUMN], spare, d)
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
                    call(None, below[SLOPE], (out, base + size * below[Z], full(n_in)))
            here = base + size * layer[A_IN] if l > 0 else x
            row_update(like, plan, layer, facts, numbers, partials, measured, here, d)
            d = out
    return cost
