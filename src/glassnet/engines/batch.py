"""The parts of a batch, in compiled code: gather, forward, loss, back, update.

`plan` and `layer` (a row of the table of layers) are pointers to whole numbers, named in tables.py; `base` is the
address of work memory. Every thread of a team calls the same functions and takes its share of the pieces.
"""

from __future__ import annotations

from glassnet.engines.machine import barrier, bytes_of, call, pointer, to
from glassnet.engines.products import back_product, forward_product, gradient_product, inner
from glassnet.engines.tables import (
    A_IN,
    ACTIVATE,
    BACK,
    BACK_PIECES,
    BATCH_NORM,
    BLOCK,
    CLIP,
    DELTA_2,
    DIRECT,
    DROPOUT,
    FACTOR,
    FIRST_BLOCK,
    FORWARD,
    GATHER_X,
    GATHER_Y,
    GEMM,
    KIND,
    L1,
    L2,
    LARGE,
    LARGEST_BLOCK,
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
    PENALISE,
    PIECES,
    PULL,
    ROW_WORK,
    ROWS,
    ROWWISE,
    SAMPLE_WEIGHTS_AT,
    SCALE,
    SCRATCH_AT,
    SLOTS_AT,
    SMOOTHING,
    SOFTMAX,
    SQUARES,
    STATE_AT,
    STATS,
    STEP,
    SYNC_AT,
    TARGETS,
    TEAM,
    THETA,
    THETA_AT,
    TILES,
    TINY,
    TRANSPOSED,
    WEIGHTED,
    WEIGHTS,
    X_AT,
    X_COLUMN,
    X_ROW,
    Y_AT,
    Y_COLUMN,
    Y_ROW,
    YIELD,
    A,
    P,
    Z,
)  # fmt: skip

__all__ = [
    "dense_back", "dense_forward", "finish_block", "full", "gather", "other_back", "other_forward", "output_loss",
    "update", "wait_for_all",
]  # fmt: skip


@inner
def wait_for_all(plan):
    """A barrier for the team."""
    barrier(plan[SYNC_AT], plan[TEAM], plan[YIELD])


@inner
def full(n):
    """n made a multiple of 8: arrays in work memory may be filled up to a whole vector, which is one step then."""
    return (n + 7) & -8


@inner
def fill_column(like, a, m, ld, column, value):
    """a[:, column] = value."""
    places = pointer(like, a)
    for i in range(m):
        places[i * ld + column] = value


@inner
def gather(like, plan, base, d, k, start, m, me):
    """The batch's rows of X, Y and the weights; each thread takes some of the rows."""
    size, team = bytes_of(like), plan[TEAM]
    low, high = m * me // team, m * (me + 1) // team
    n = high - low
    rows = plan[ORDER_AT] + 8 * (start + low)
    a, y = base + size * low * (d + 1), base + size * plan[TARGETS]
    call(None, plan[GATHER_X], (plan[X_AT], rows, a, n, d, plan[X_ROW], plan[X_COLUMN], d + 1, 1))
    fill_column(like, a, n, d + 1, d, like)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        row, column = 1, full(m)
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
def dense_forward(like, plan, layer, transposed, base, m, me):
    """z = [A 1] [W; b], a = f(z), z <- f'(z): each thread takes some of the units."""
    size, team = bytes_of(like), plan[TEAM]
    n, pieces, ld = layer[N_OUT], layer[PIECES], layer[LD]
    active, out, a = layer[ACTIVATE] != 0, base + size * layer[OUT], base + size * layer[A]
    stride, column = (1, full(m)) if transposed else (ld, 1)
    theta = plan[THETA_AT] + size * layer[THETA]
    for piece in range(me, pieces, team):
        low, high = n * piece // pieces, n * (piece + 1) // pieces
        forward_product(
            like, plan[GEMM], plan[LARGE], plan[TILES], plan[TINY], m, high - low, layer[ROWS],
            base + size * layer[A_IN], layer[LD_IN], theta + size * low, n, out + size * low * column, stride, column,
        )  # fmt: skip
        if active and layer[PULL] == 0:
            if pieces == 1:
                call(None, layer[ACTIVATE], (out, a, full(m * ld)))
            else:
                for i in range(m):
                    here = size * (i * ld + low)
                    call(None, layer[ACTIVATE], (out + here, a + here, high - low))
    if active and layer[PULL] != 0 and me == 0:
        call(None, layer[ACTIVATE], (out, a, m, n, ld))
    if ld > n and me == 0:
        fill_column(like, a, m, ld, n, like)


@inner
def other_forward(like, plan, layer, option, base, m):
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


@inner
def output_loss(like, plan, layer, facts, base, m):
    """delta = dJ/dz_L in the place of z_L; return the sum of the (weighted) costs of the samples."""
    size, k, ld = bytes_of(like), layer[N_OUT], layer[LD]
    z, y, w = base + size * layer[OUT], base + size * plan[TARGETS], base + size * plan[WEIGHTS]
    share = to(like, facts[FACTOR] / m)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        work, smoothing = base + size * plan[ROW_WORK], to(like, facts[SMOOTHING])
        return call(like, plan[OUTPUT], (z, y, work, w, m, k, full(m), smoothing, share)) * facts[FACTOR]
    source = z
    if plan[OUTPUT_KIND] == ROWWISE:
        source = base + size * plan[DELTA_2]
        call(None, plan[SOFTMAX], (z, source, m, k, ld))
    cost = 0.0
    if plan[WEIGHTED] == 0 and ld == k:
        cost += call(like, plan[OUTPUT], (source, y, z, m * k, share))
    else:
        weights = pointer(like, w)
        for i in range(m):
            here = size * i * ld
            part = call(like, plan[OUTPUT], (source + here, y + size * i * k, z + here, k, share * weights[i]))
            cost += weights[i] * part
    if plan[OUTPUT_KIND] == ROWWISE:
        call(None, layer[PULL], (source, z, m, k, ld))
    return cost


# ---- back ---------------------------------------------------------------------------------------------------------


@inner
def dense_back(like, plan, layer, below, base, m, d, stride, column, out, me):
    """dA = delta W^T, and dL/dz of the layer below where its f' is a factor: each thread takes some of the inputs."""
    size, team = bytes_of(like), plan[TEAM]
    n_in, n, pieces, ld = layer[N_IN], layer[N_OUT], layer[BACK_PIECES], layer[LD_IN]
    theta, slope = plan[THETA_AT] + size * layer[THETA], base + size * below[Z]
    for piece in range(me, pieces, team):
        low, high = n_in * piece // pieces, n_in * (piece + 1) // pieces
        w = theta + size * low * n
        back_product(
            like, plan[GEMM], plan[LARGE], plan[TILES], plan[TINY], m, n, high - low,
            d, stride, column, w, n, out + size * low, ld,
        )  # fmt: skip
        if below[ACTIVATE] != 0 and below[PULL] == 0:
            if pieces == 1:
                call(None, plan[MULTIPLY], (out, slope, full(m * ld)))
            else:
                for i in range(m):
                    here = size * (i * ld + low)
                    call(None, plan[MULTIPLY], (out + here, slope + here, high - low))
    if below[PULL] != 0 and me == 0:
        call(None, below[PULL], (base + size * below[A], out, m, n_in, ld))


@inner
def other_back(like, plan, layer, below, wanted, base, m, d, grad):
    """The same for Dropout, BatchNorm and LayerNorm, in place; one thread."""
    size, n, ld = bytes_of(like), layer[N_IN], layer[LD]
    z, scale = base + size * layer[Z], base + size * layer[SCALE]
    if layer[KIND] == DROPOUT:
        call(None, plan[MULTIPLY], (d, z, full(m * ld)))
    else:
        call(None, layer[BACK], (d, z, scale, plan[THETA_AT] + size * layer[THETA], grad, m, n, ld))
    if wanted and below[ACTIVATE] != 0:
        if below[PULL] == 0:
            call(None, plan[MULTIPLY], (d, base + size * below[Z], full(m * ld)))
        else:
            call(None, below[PULL], (base + size * below[A], d, m, n, ld))


@inner
def finish_block(like, plan, facts, numbers, partials, measured, start, n_weights, n, g, block):
    """A part of the gradient is there: add the penalty's, measure it, take the step (unless it is clipped first)."""
    size = bytes_of(like)
    p = plan[THETA_AT] + size * start
    if plan[PENALISE] != 0 and n_weights > 0:
        l1, l2 = to(like, facts[L1]), to(like, facts[L2])
        partials[2 * block] = call(like, plan[PENALISE], (p, g, n_weights, l1, l2))
    if measured:
        partials[2 * block + 1] = call(0.0, plan[SQUARES], (g, n, 1.0))
    if plan[CLIP] == 0:
        call(None, plan[STEP], (p, g, plan[SLOTS_AT] + size * start, plan[P], n, numbers, like))


@inner
def update(like, plan, layer, facts, numbers, partials, measured, base, m, d, stride, column, me):
    """[W; b] += step for [A 1]^T delta: each thread takes some of the blocks of rows."""
    size, team = bytes_of(like), plan[TEAM]
    rows, n, block = layer[ROWS], layer[N_OUT], layer[BLOCK]
    direct = plan[DIRECT] != 0 and not measured
    for b in range(me, (rows + block - 1) // block, team):
        low, high = b * block, min(rows, (b + 1) * block)
        start = layer[THETA] + low * n
        if direct:
            alpha, beta, g = -pointer(like, numbers)[0], like, plan[THETA_AT] + size * start
        else:
            alpha, beta = like, to(like, 0)
            g = plan[SCRATCH_AT] + size * (start if plan[CLIP] != 0 else me * plan[LARGEST_BLOCK])
        a = base + size * (layer[A_IN] + low)
        gradient_product(
            like, plan[GEMM], plan[LARGE], plan[TILES], plan[TINY], m, n, high - low,
            alpha, a, layer[LD_IN], d, stride, column, beta, g, n,
        )  # fmt: skip
        if not direct:
            n_weights = (min(high, layer[N_IN]) - low) * n
            finish_block(
                like, plan, facts, numbers, partials, measured, start, n_weights, (high - low) * n, g,
                layer[FIRST_BLOCK] + b,
            )  # fmt: skip
