"""The parts of a batch, in compiled code: gather, forward, loss, back (and, in updates.py, the update).

`plan` and `layer` (a row of the table of layers) are pointers to whole numbers, named in tables.py; `base` is the
address of work memory. Every thread of a team calls the same functions and takes its share of the pieces. (A bare 0 as
an argument would be a type of its own, and the function compiled once more for it: hence `int64(0)`.)
"""

from __future__ import annotations

from numba import int64

from glassnet.engines.machine import barrier, bytes_of, call, inner, pointer, to
from glassnet.engines.tables import (
    A_IN,
    ACTIVATE,
    BACK,
    BACK_PIECES,
    BATCH_NORM,
    DELTA,
    DROPOUT,
    FACTOR,
    FORWARD,
    GATHER_X,
    GATHER_Y,
    GRADS,
    KIND,
    LAYER_COLUMNS,
    LAYERS_AT,
    LD,
    LD_IN,
    MEAN,
    MULTIPLY,
    N_IN,
    N_OUT,
    NEXT_DOUBLE,
    NOISE_STATE,
    ORDER_AT,
    OUT,
    OUTPUT,
    OUTPUT_KIND,
    PARTS,
    PIECES,
    PULL,
    ROW_WORK,
    ROWS,
    ROWWISE,
    SAMPLE_WEIGHTS_AT,
    SAMPLES,
    SCALE,
    SLOPE,
    SMOOTHING,
    SOFTMAX,
    SPARE,
    STATE_AT,
    STATS,
    SYNC_AT,
    TARGETS,
    TEAM,
    THETA,
    THETA_AT,
    TRANSPOSED,
    WEIGHTED,
    WEIGHTS,
    WORDS,
    X_AT,
    X_COLUMN,
    X_ROW,
    Y_AT,
    Y_COLUMN,
    Y_ROW,
    YIELD,
    A,
    Z,
)  # fmt: skip
from glassnet.engines.zeros import edge, layer_back, layer_forward, layer_gradient, mark_zeros

__all__ = [
    "copy", "dense_back", "dense_forward", "full", "gather", "layer_at", "middle_of", "other_back",
    "other_forward", "output_loss", "part_gradient", "strides", "wait_for_all", "wait_for_pieces",
]  # fmt: skip


@inner
def layer_at(plan, l):
    """The row of the table of layers."""
    return pointer(0, plan[LAYERS_AT] + 8 * l * LAYER_COLUMNS)


@inner
def wait_for_all(plan):
    """A barrier for the team."""
    barrier(plan[SYNC_AT], plan[TEAM], plan[YIELD])


@inner
def wait_for_pieces(plan):
    """A barrier where threads share the products of a layer; each has a part of the batch to itself otherwise."""
    if plan[PARTS] == 1:
        wait_for_all(plan)


@inner
def full(n):
    """n made a multiple of 8: arrays in work memory may be filled up to a whole vector, which is one step then."""
    return (n + 7) & -8


@inner
def samples(plan, m):
    """The places of m samples that lie side by side: with two parts, whole lines of the cache."""
    return full(m) if plan[PARTS] == 1 else (m + SAMPLES - 1) & -SAMPLES


@inner
def middle_of(plan, m):
    """The row with which the second part of a batch begins, and a line of the cache; m where there is none."""
    return m if plan[PARTS] == 1 else min(m, max(SAMPLES, (m // 2 + SAMPLES // 2) & -SAMPLES))


@inner
def strides(plan, layer, is_last, m):
    """Places from a row of z and delta to the next one, and from a column to the next; m is that of the whole batch."""
    if is_last and plan[OUTPUT_KIND] == TRANSPOSED:
        return 1, samples(plan, m)
    return layer[LD], 1


@inner
def fill_column(like, a, m, ld, column, value):
    """a[:, column] = value."""
    places = pointer(like, a)
    for i in range(m):
        places[i * ld + column] = value


@inner
def copy(like, n, source, target):
    """target[:n] = source[:n]."""
    x, y = pointer(like, source), pointer(like, target)
    for i in range(n):
        y[i] = x[i]


@inner
def gather(like, plan, base, d, k, start, low, high, m):
    """Rows low ... high - 1 of the batch's X, Y and weights; the batch has m and begins at `start`."""
    size, n = bytes_of(like), high - low
    rows = plan[ORDER_AT] + 8 * (start + low)
    a, y = base + size * low * (d + 1), base + size * plan[TARGETS]
    call(None, plan[GATHER_X], (plan[X_AT], rows, a, n, d, plan[X_ROW], plan[X_COLUMN], d + 1, 1))
    fill_column(like, a, n, d + 1, d, like)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        row, column = 1, samples(plan, m)
    else:
        row, column = k, 1
    y += size * low * row
    call(None, plan[GATHER_Y], (plan[Y_AT], rows, y, n, k, plan[Y_ROW], plan[Y_COLUMN], row, column))
    if plan[WEIGHTED] != 0:
        w, weights = pointer(like, base + size * plan[WEIGHTS]), pointer(like, plan[SAMPLE_WEIGHTS_AT])
        order = pointer(0, plan[ORDER_AT])
        for i in range(low, high):
            w[i] = weights[order[start + i]]


# ---- forward ------------------------------------------------------------------------------------------------------


@inner
def dense_forward(like, plan, layer, above, is_last, base, low, high, m, me):
    """z = [A 1] [W; b], a = f(z), z <- f'(z) for rows low ... high - 1: each thread takes some of the units.

    Where a is all that f' looks at, it takes the place of z.
    """
    size, team, rows = bytes_of(like), plan[TEAM], high - low
    n, pieces, ld = layer[N_OUT], layer[PIECES], layer[LD]
    stride, column = strides(plan, layer, is_last, m)
    active, out, a = layer[ACTIVATE] != 0, base + size * (layer[OUT] + low * stride), base + size * layer[A]
    a += size * low * ld
    theta = plan[THETA_AT] + size * layer[THETA]
    for piece in range(me, pieces, team):
        left, right = edge(n, piece, pieces), edge(n, piece + 1, pieces)
        w, target = theta + size * left, out + size * left * column
        layer_forward(like, plan, layer, base, w, low, high, right - left, target, stride, column)
        if active and layer[PULL] == 0:
            if pieces == 1:
                call(None, layer[ACTIVATE], (out, a, full(rows * ld)))
            else:
                for i in range(rows):
                    here = size * (i * ld + left)
                    call(None, layer[ACTIVATE], (out + here, a + here, right - left))
        if ld > n and right == n:
            fill_column(like, a, rows, ld, n, like)
        if above[WORDS] != 0 and not is_last:
            mark_zeros(like, plan, above, base, low, low, high, left, above[ROWS] if right == n else right)
    if active and layer[PULL] != 0 and me == 0:
        call(None, layer[ACTIVATE], (out, a, rows, n, ld))


@inner
def other_forward(like, plan, layer, above, option, base, m):
    """Dropout, BatchNorm, LayerNorm: one thread."""
    size, n, ld = bytes_of(like), layer[N_IN], layer[LD]
    a, z, out = base + size * layer[A_IN], base + size * layer[Z], base + size * layer[A]
    scale, mean = base + size * layer[SCALE], base + size * layer[MEAN]
    p = plan[THETA_AT] + size * layer[THETA]
    if layer[KIND] == DROPOUT:
        call(None, layer[FORWARD], (a, out, z, m, n, ld, option[0], plan[NEXT_DOUBLE], plan[NOISE_STATE]))
    elif layer[KIND] == BATCH_NORM:
        stats, options = plan[STATE_AT] + size * layer[STATS], (to(like, option[0]), to(like, option[1]))
        call(None, layer[FORWARD], (a, out, z, scale, mean, p, stats, m, n, ld, *options))
    else:
        call(None, layer[FORWARD], (a, out, z, scale, p, m, n, ld, to(like, option[1])))
    fill_column(like, out, m, ld, n, like)
    if above[WORDS] != 0:
        mark_zeros(like, plan, above, base, int64(0), int64(0), m, int64(0), above[ROWS])


@inner
def output_loss(like, plan, layer, facts, base, low, high, m):
    """delta = dJ/dz_L in the place of z_L, rows low ... high - 1; return the sum of their (weighted) costs."""
    size, k, ld, n = bytes_of(like), layer[N_OUT], layer[LD], high - low
    stride, column = strides(plan, layer, True, m)
    z, y = base + size * (layer[OUT] + low * stride), base + size * plan[TARGETS]
    w, share = base + size * (plan[WEIGHTS] + low), to(like, facts[FACTOR] / m)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        y += size * low
        work, smoothing = base + size * (plan[ROW_WORK] + 4 * low), to(like, facts[SMOOTHING])
        return call(like, plan[OUTPUT], (z, y, work, w, n, full(n), k, column, smoothing, share)) * facts[FACTOR]
    y += size * low * k
    probabilities = base + size * (plan[SPARE] + low * ld)
    if plan[OUTPUT_KIND] == ROWWISE:
        call(None, plan[SOFTMAX], (z, probabilities, n, k, ld))
        copy(like, n * ld, probabilities, z)
    cost = 0.0
    if plan[WEIGHTED] == 0 and ld == k:
        cost += call(like, plan[OUTPUT], (z, y, n * k, share))
    else:
        weights = pointer(like, w)
        for i in range(n):
            part = call(like, plan[OUTPUT], (z + size * i * ld, y + size * i * k, k, share * weights[i]))
            cost += weights[i] * part
    if plan[OUTPUT_KIND] == ROWWISE:
        call(None, layer[PULL], (probabilities, z, n, k, ld))
    return cost


# ---- back ---------------------------------------------------------------------------------------------------------


@inner
def dense_back(like, plan, layer, below, above, is_last, base, low, high, m, me):
    """dA = delta W^T, and dL/dz of the layer below where its f' is a factor: each thread takes some of the inputs."""
    size, team, rows = bytes_of(like), plan[TEAM], high - low
    n_in, n, pieces, ld = layer[N_IN], layer[N_OUT], layer[BACK_PIECES], layer[LD_IN]
    stride, column = strides(plan, layer, is_last, m)
    d, out = base + size * (layer[DELTA] + low * stride), base + size * (below[DELTA] + low * ld)
    theta, slope = plan[THETA_AT] + size * layer[THETA], base + size * (below[Z] + low * ld)
    for piece in range(me, pieces, team):
        left, right = n_in * piece // pieces, n_in * (piece + 1) // pieces
        w, target = theta + size * left * n, out + size * left
        layer_back(like, plan, layer, above, low, high, right - left, d, stride, column, w, target, ld)
        if below[ACTIVATE] != 0 and below[PULL] == 0:
            if pieces == 1:
                call(None, below[SLOPE], (out, slope, full(rows * ld)))
            else:
                for i in range(rows):
                    here = size * (i * ld + left)
                    call(None, below[SLOPE], (out + here, slope + here, right - left))
    if below[PULL] != 0 and me == 0:
        call(None, below[PULL], (base + size * (below[A] + low * ld), out, rows, n_in, ld))


@inner
def other_back(like, plan, layer, below, wanted, base, m, grad):
    """The same for Dropout, BatchNorm and LayerNorm, in place; one thread."""
    size, n, ld = bytes_of(like), layer[N_IN], layer[LD]
    d, z, scale = base + size * layer[DELTA], base + size * layer[Z], base + size * layer[SCALE]
    if layer[KIND] == DROPOUT:
        call(None, plan[MULTIPLY], (d, z, full(m * ld)))
    else:
        call(None, layer[BACK], (d, z, scale, plan[THETA_AT] + size * layer[THETA], grad, m, n, ld))
    if wanted and below[ACTIVATE] != 0:
        if below[PULL] == 0:
            call(None, below[SLOPE], (d, base + size * below[Z], full(m * ld)))
        else:
            call(None, below[PULL], (base + size * below[A], d, m, n, ld))


@inner
def part_gradient(like, plan, layer, is_last, base, low, high, m):
    """[A 1]^T delta of rows low ... high - 1, for the update to add to that of the other part."""
    size, rows = bytes_of(like), layer[ROWS]
    stride, column = strides(plan, layer, is_last, m)
    d = base + size * (layer[DELTA] + low * stride)
    g = base + size * (layer[GRADS] + (rows * layer[N_OUT] if low > 0 else 0))
    layer_gradient(like, plan, layer, base, low, high, int64(0), rows, d, stride, column, like, to(like, 0), g)
