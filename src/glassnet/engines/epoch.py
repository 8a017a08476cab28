"""The loop: whole epochs of mini-batch training in one compiled call.

    gather the rows of the batch                                  [A 1]
    forward     [A 1] [W; b] -> z,  a = f(z),  z <- f'(z)         layer by layer
    loss        delta = dJ/dz_L, and the cost
    back        dA = delta W^T,  dA <- dA f'(z)                   before W changes
    update      [W; b] += step of the rule for [A 1]^T delta      block by block, while the gradient is near

Every thread of a team runs this same function: it takes its share of the pieces and waits at barriers. What a piece is
depends on shapes alone, never on the number of threads, so the numbers do not either.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import float64, from_dtype, int64, njit, void

from glassnet.engines.machine import address_of, barrier, call, gemm, pointer, to
from glassnet.engines.storage import on_disk
from glassnet.engines.tables import (
    A_IN,
    ACTIVATE,
    ALL_EPOCHS,
    AVERAGED,
    BACK,
    BACK_PIECES,
    BAD_LOSS,
    BAD_THETA,
    BATCH,
    BATCH_NORM,
    BATCH_SIZE,
    BEFORE,
    BLOCK,
    BLOCKS,
    BLOW_UP,
    BLOWN_UP,
    CALLS,
    CLIP,
    CLIP_NORM,
    DELTA_1,
    DELTA_2,
    DENSE,
    DIRECT,
    DROPOUT,
    END,
    EPOCHS,
    FACTOR,
    FIRST_BLOCK,
    FIRST_LOSS,
    FOLLOW,
    FORWARD,
    GATHER_X,
    GATHER_Y,
    GEMM,
    KEEP,
    KIND,
    L1,
    L2,
    LARGEST_BLOCK,
    LATEST,
    LAYERS,
    LD,
    LD_IN,
    LOSS,
    M_ROWS,
    MEAN,
    MULTIPLY,
    N_IN,
    N_OUT,
    NEXT_DOUBLE,
    NEXT_UINT32,
    NOISE_STATE,
    NUMBERS_STRIDE,
    ORDER_STATE,
    OUT,
    OUTPUT,
    OUTPUT_KIND,
    PENALISE,
    PIECES,
    PULL,
    ROW_WORK,
    ROWS,
    ROWS_OF_DATA,
    ROWWISE,
    SCALE,
    SEEN,
    SHUFFLE,
    SIZE,
    SLOT_STRIDE,
    SMOOTHING,
    SOFTMAX,
    SQUARES,
    STATS,
    STEP,
    TARGETS,
    THETA,
    TINY,
    TOTAL,
    TRANSPOSED,
    UPDATES,
    WEIGHTED,
    WEIGHTS,
    X_COLUMN,
    X_ROW,
    Y_COLUMN,
    Y_ROW,
    YIELD,
    A,
    X,
    Y,
    Z,
)  # fmt: skip

__all__ = ["loop"]


OPTIONS: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}, "nogil": True}
inner = njit(**OPTIONS)


# ---- products -----------------------------------------------------------------------------------------------------


@inner
def forward_product(like, blas, tiny, m, n, k, a, lda, w, ldw, z, row, column):
    """Z (m, n) = A (m, k) W (k, n), where Z has strides row and column, one of which is 1."""
    one, zero = like, like * 0
    if m * n * k > tiny:
        if column == 1:
            gemm(blas, 0, n, m, k, one, w, ldw, a, lda, zero, z, row)
        else:
            gemm(blas, 3, m, n, k, one, a, lda, w, ldw, zero, z, column)
        return
    A, W, C = pointer(like, a), pointer(like, w), pointer(like, z)
    for i in range(m):
        for j in range(n):
            C[i * row + j * column] = zero
        for p in range(k):
            x = A[i * lda + p]
            for j in range(n):
                C[i * row + j * column] += x * W[p * ldw + j]


@inner
def back_product(like, blas, tiny, m, n, k, d, row, column, w, ldw, out, ldo):
    """dA (m, k) = D (m, n) W^T, W (k, n)."""
    one, zero = like, like * 0
    if m * n * k > tiny:
        gemm(blas, 1 if column == 1 else 3, k, m, n, one, w, ldw, d, row if column == 1 else column, zero, out, ldo)
        return
    D, W, C = pointer(like, d), pointer(like, w), pointer(like, out)
    for i in range(m):
        for p in range(k):
            total = zero
            for j in range(n):
                total += D[i * row + j * column] * W[p * ldw + j]
            C[i * ldo + p] = total


@inner
def gradient_product(like, blas, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg):
    """G (k, n) = beta G + alpha A^T D, A (m, k), D (m, n); beta is 0 or 1."""
    if m * n * k > tiny:
        gemm(blas, 2 if column == 1 else 3, n, k, m, alpha, d, row if column == 1 else column, a, lda, beta, g, ldg)
        return
    A, D, G = pointer(like, a), pointer(like, d), pointer(like, g)
    for p in range(k):
        if beta == 0:
            for j in range(n):
                G[p * ldg + j] = beta
        for i in range(m):
            x = alpha * A[i * lda + p]
            for j in range(n):
                G[p * ldg + j] += x * D[i * row + j * column]


# ---- the parts of a batch -----------------------------------------------------------------------------------------


@inner
def fill_column(like, a, m, ld, column, value):
    A = pointer(like, a)
    for i in range(m):
        A[i * ld + column] = value


@inner
def shuffle(order, m, next_uint32, state):
    """A new order of m rows: the draws and the swaps of `numpy.random.Generator.permutation`."""
    for i in range(m):
        order[i] = i
    mask = 1
    while mask < m - 1:
        mask = 2 * mask + 1
    for i in range(m - 1, 0, -1):
        while mask >> 1 >= i:  # the fewest bits that hold i
            mask >>= 1
        j = np.int64(call(np.uint32(0), next_uint32, (state,))) & mask
        while j > i:
            j = np.int64(call(np.uint32(0), next_uint32, (state,))) & mask
        order[i], order[j] = order[j], order[i]


@inner
def gather(like, plan, layers, base, size, order, start, m, weights, me, team):
    """The batch's rows of X, Y and the weights; each thread takes some of the rows."""
    low, high = m * me // team, m * (me + 1) // team
    n = high - low
    rows = address_of(order, start + low)
    d, k = layers[0, N_IN], layers[plan[LAYERS] - 1, N_OUT]
    a, y = base + size * layers[0, A_IN], base + size * plan[TARGETS]
    x_strides = plan[X_ROW], plan[X_COLUMN], d + 1, 1
    call(None, plan[GATHER_X], (plan[X], rows, a + size * low * (d + 1), n, d, *x_strides))
    fill_column(like, a + size * low * (d + 1), n, d + 1, d, like)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        row, column = 1, m
    else:
        row, column = k, 1
    call(None, plan[GATHER_Y], (plan[Y], rows, y + size * low * row, n, k, plan[Y_ROW], plan[Y_COLUMN], row, column))
    if plan[WEIGHTED] != 0:
        w = pointer(like, base + size * plan[WEIGHTS])
        for i in range(low, high):
            w[i] = weights[order[start + i]]


@inner
def dense_forward(like, plan, row, transposed, theta, base, size, m, me, team):
    """z = [A 1] [W; b], a = f(z): each thread takes some of the units."""
    n, pieces, ld = row[N_OUT], row[PIECES], row[LD]
    active, out = row[ACTIVATE] != 0, base + size * row[OUT]
    stride, column = (1, m) if transposed else (ld, 1)
    for piece in range(me, pieces, team):
        low, high = n * piece // pieces, n * (piece + 1) // pieces
        forward_product(
            like, plan[GEMM], plan[TINY], m, high - low, row[ROWS], base + size * row[A_IN], row[LD_IN],
            address_of(theta, row[THETA] + low), n, out + size * low * column, stride, column,
        )  # fmt: skip
        if active and row[PULL] == 0:
            if pieces == 1:
                fill_column(like, out, m, ld, n, like * 0)
                call(None, row[ACTIVATE], (out, base + size * row[A], m * ld))
            else:
                for i in range(m):
                    here = size * (i * ld + low)
                    call(None, row[ACTIVATE], (out + here, base + size * row[A] + here, high - low))
    if active and row[PULL] != 0 and me == 0:
        call(None, row[ACTIVATE], (out, base + size * row[A], m, n, ld))
    if ld > n and me == 0:
        fill_column(like, base + size * row[A], m, ld, n, like)


@inner
def other_forward(like, plan, row, option, theta, state, base, size, m):
    """Dropout, BatchNorm, LayerNorm: one thread."""
    n, ld = row[N_IN], row[LD]
    a, z, out = base + size * row[A_IN], base + size * row[Z], base + size * row[A]
    scale, mean = base + size * row[SCALE], base + size * row[MEAN]
    if row[KIND] == DROPOUT:
        call(None, row[FORWARD], (a, out, z, m, n, ld, option[0], plan[NEXT_DOUBLE], plan[NOISE_STATE]))
    elif row[KIND] == BATCH_NORM:
        p, s = address_of(theta, row[THETA]), address_of(state, row[STATS])
        options = to(like, option[0]), to(like, option[1])
        call(None, row[FORWARD], (a, out, z, scale, mean, p, s, m, n, ld, *options))
    else:
        p = address_of(theta, row[THETA])
        call(None, row[FORWARD], (a, out, z, scale, p, m, n, ld, to(like, option[1])))
    fill_column(like, out, m, ld, n, like)


@inner
def output_loss(like, plan, row, facts, base, size, m):
    """delta = dJ/dz_L in the place of z_L; return the sum of the (weighted) costs of the samples."""
    k, ld = row[N_OUT], row[LD]
    z, y, w = base + size * row[OUT], base + size * plan[TARGETS], base + size * plan[WEIGHTS]
    share = to(like, facts[FACTOR] / m)
    if plan[OUTPUT_KIND] == TRANSPOSED:
        work = base + size * plan[ROW_WORK]
        return call(like, plan[OUTPUT], (z, y, work, w, m, k, to(like, facts[SMOOTHING]), share)) * facts[FACTOR]
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
        call(None, row[PULL], (source, z, m, k, ld))
    return cost


@inner
def dense_back(like, plan, row, below, theta, base, size, m, d, stride, column, out, me, team):
    """dA = delta W^T, and dL/dz of the layer below where its f' is a factor: each thread takes some of the inputs."""
    n_in, n, pieces, ld = row[N_IN], row[N_OUT], row[BACK_PIECES], row[LD_IN]
    for piece in range(me, pieces, team):
        low, high = n_in * piece // pieces, n_in * (piece + 1) // pieces
        w = address_of(theta, row[THETA] + low * n)
        back_product(like, plan[GEMM], plan[TINY], m, n, high - low, d, stride, column, w, n, out + size * low, ld)
        if below[ACTIVATE] != 0 and below[PULL] == 0:
            slope = base + size * below[Z]
            if pieces == 1:
                call(None, plan[MULTIPLY], (out, slope, m * ld))
            else:
                for i in range(m):
                    here = size * (i * ld + low)
                    call(None, plan[MULTIPLY], (out + here, slope + here, high - low))
    if below[PULL] != 0 and me == 0:
        call(None, below[PULL], (base + size * below[A], out, m, n_in, ld))


@inner
def other_back(like, plan, row, below, wanted, theta, base, size, m, d, grad):
    """The same for Dropout, BatchNorm and LayerNorm, in place; one thread."""
    n, ld = row[N_IN], row[LD]
    z, scale = base + size * row[Z], base + size * row[SCALE]
    if row[KIND] == DROPOUT:
        call(None, plan[MULTIPLY], (d, z, m * ld))
    else:
        call(None, row[BACK], (d, z, scale, address_of(theta, row[THETA]), grad, m, n, ld))
    if wanted and below[ACTIVATE] != 0:
        if below[PULL] == 0:
            call(None, plan[MULTIPLY], (d, base + size * below[Z], m * ld))
        else:
            call(None, below[PULL], (base + size * below[A], d, m, n, ld))


@inner
def finish_block(like, plan, facts, theta, slots, numbers, partials, measured, start, n_weights, n, g, block):
    """A part of the gradient is there: add the penalty's, measure it, take the step (unless it is clipped first)."""
    p = address_of(theta, start)
    if plan[PENALISE] != 0 and n_weights > 0:
        l1, l2 = to(like, facts[L1]), to(like, facts[L2])
        partials[0, block] = call(like, plan[PENALISE], (p, g, n_weights, l1, l2))
    if measured:
        partials[1, block] = call(0.0, plan[SQUARES], (g, n, 1.0))
    if plan[CLIP] == 0:
        call(None, plan[STEP], (p, g, address_of(slots, start), plan[SLOT_STRIDE], n, numbers, like))


@inner
def update(
    like, plan, row, facts, theta, slots, numbers, scratch, partials, measured, base, size, m, d, stride, column,
    me, team,
):  # fmt: skip
    """[W; b] += step for [A 1]^T delta: each thread takes some of the blocks of rows."""
    rows, n, block = row[ROWS], row[N_OUT], row[BLOCK]
    one, zero = like, like * 0
    direct = plan[DIRECT] != 0 and not measured
    for b in range(me, (rows + block - 1) // block, team):
        low, high = b * block, min(rows, (b + 1) * block)
        start = row[THETA] + low * n
        if direct:
            alpha, beta, g = -pointer(like, numbers)[0], one, address_of(theta, start)
        else:
            alpha, beta = one, zero
            g = address_of(scratch, start if plan[CLIP] != 0 else me * plan[LARGEST_BLOCK])
        a = base + size * (row[A_IN] + low)
        gradient_product(
            like, plan[GEMM], plan[TINY], m, n, high - low, alpha, a, row[LD_IN], d, stride, column, beta, g, n
        )
        if not direct:
            n_weights = (min(high, row[N_IN]) - low) * n
            finish_block(
                like, plan, facts, theta, slots, numbers, partials, measured, start, n_weights, (high - low) * n, g,
                row[FIRST_BLOCK] + b,
            )  # fmt: skip


@inner
def clipped_step(like, plan, facts, theta, slots, numbers, scratch, partials, me, team):
    """The step for the whole gradient, shortened to the length that is allowed."""
    total, P = 0.0, len(theta)
    for b in range(plan[BLOCKS]):
        total += partials[1, b]
    length = np.sqrt(total)
    if not length < np.inf:  # its square is too large for the dtype, it is not
        length = np.sqrt(call(0.0, plan[SQUARES], (address_of(scratch, 0), P, SMALL_UNIT))) / SMALL_UNIT
    scale = to(like, min(1.0, facts[CLIP_NORM] / length)) if length > 0.0 else like
    low, high = P * me // team, P * (me + 1) // team
    p, g, s = address_of(theta, low), address_of(scratch, low), address_of(slots, low)
    call(None, plan[STEP], (p, g, s, plan[SLOT_STRIDE], high - low, numbers, scale))


SMALL_UNIT = 2.0**-540


# ---- a batch, an epoch --------------------------------------------------------------------------------------------


@inner
def forward_and_loss(
    like, plan, layers, options, facts, theta, memory, state, order, weights, start, m, sync, me, team
):
    """Return the sum of the costs of a batch; delta stands where z_L was."""
    base, size, L = address_of(memory, 0), memory.itemsize, plan[LAYERS]
    gather(like, plan, layers, base, size, order, start, m, weights, me, team)
    barrier(sync, team, plan[YIELD])
    transposed = plan[OUTPUT_KIND] == TRANSPOSED
    for l in range(L):
        row = layers[l]
        if row[KIND] == DENSE:
            dense_forward(like, plan, row, transposed and l == L - 1, theta, base, size, m, me, team)
        elif me == 0:
            other_forward(like, plan, row, options[l], theta, state, base, size, m)
        barrier(sync, team, plan[YIELD])
    cost = 0.0
    if me == 0:
        cost = np.float64(output_loss(like, plan, layers[L - 1], facts, base, size, m))
    return cost


@inner
def back_and_update(
    like, plan, layers, facts, theta, memory, slots, numbers, scratch, partials, measured, m, sync, me, team
):
    """The way back through the layers; each layer's parameters take their step when no one needs the old ones."""
    base, size, L = address_of(memory, 0), memory.itemsize, plan[LAYERS]
    last = layers[L - 1]
    d, stride, column = base + size * last[OUT], last[LD], 1
    if plan[OUTPUT_KIND] == TRANSPOSED:
        stride, column = 1, m
    out, spare = base + size * plan[DELTA_1], base + size * plan[DELTA_2]
    for l in range(L - 1, -1, -1):
        row, below = layers[l], layers[max(l - 1, 0)]
        if row[KIND] == DENSE:
            if l > 0:
                dense_back(like, plan, row, below, theta, base, size, m, d, stride, column, out, me, team)
                barrier(sync, team, plan[YIELD])
            update(
                like, plan, row, facts, theta, slots, numbers, scratch, partials, measured, base, size, m, d, stride,
                column, me, team,
            )  # fmt: skip
            if l > 0:
                d, stride, column = out, row[LD_IN], 1
                out, spare = spare, out
        else:
            if me == 0:
                start = row[THETA]
                g = address_of(scratch, start if plan[CLIP] != 0 else 0)
                other_back(like, plan, row, below, l > 0, theta, base, size, m, d, g)
                if row[SIZE] > 0:
                    finish_block(
                        like, plan, facts, theta, slots, numbers, partials, measured, start, 0, row[SIZE], g,
                        row[FIRST_BLOCK],
                    )  # fmt: skip
            barrier(sync, team, plan[YIELD])


@inner
def finite(theta):
    total = theta[0] * 0
    for i in range(len(theta)):
        total += theta[i] * 0
    return total == 0


@inner
def penalty(like, plan, layers, facts, theta, scratch):
    """l1 |W|_1 + l2/2 |W|^2; what the kernel adds to a gradient goes to waste."""
    total = 0.0
    if plan[PENALISE] != 0:
        l1, l2 = to(like, facts[L1]), to(like, facts[L2])
        for l in range(plan[LAYERS]):
            row = layers[l]
            if row[KIND] == DENSE:
                start, end = row[THETA], row[THETA] + row[N_IN] * row[N_OUT]
                while start < end:
                    n = min(plan[LARGEST_BLOCK], end - start)
                    p = address_of(theta, start)
                    total += call(like, plan[PENALISE], (p, address_of(scratch, 0), n, l1, l2))
                    start += n
    return total


@inner
def close_epoch(like, plan, layers, place, facts, theta, scratch, state, snapshots, states, partials, results):
    """Measure the epoch, keep its theta, and say whether the run has blown up."""
    facts[LOSS] = facts[TOTAL] / place[SEEN]
    norm = 0.0
    for b in range(plan[BLOCKS]):
        norm += partials[1, b]
    facts[TOTAL] = 0.0
    place[SEEN] = 0
    place[BATCH] = 0
    if not finite(theta):
        place[END] = BAD_THETA
    elif facts[LOSS] > facts[BLOW_UP] * (1.0 + abs(facts[FIRST_LOSS])):
        place[END] = BLOWN_UP
    else:
        place[LATEST] = 1 - place[LATEST]
        snapshots[place[LATEST], :] = theta
        states[place[LATEST], :] = state
        results[place[EPOCHS], 0] = facts[LOSS]
        results[place[EPOCHS], 1] = np.sqrt(norm)
        results[place[EPOCHS], 2] = penalty(like, plan, layers, facts, theta, scratch)
        place[EPOCHS] += 1
        place[ALL_EPOCHS] += 1


def run(
    layers, plan, options, facts, place, theta, average, memory, slots, scratch, state, states, snapshots, order,
    weights, numbers, partials, results, sync, me, team,
):  # fmt: skip
    """Run plan[CALLS] batches from where `place` stands; one call for each thread of the team, all at once."""
    like = theta.dtype.type(1)
    batch, M = plan[BATCH_SIZE], plan[M_ROWS]
    for _ in range(plan[CALLS]):
        start = place[BATCH] * batch
        m = min(batch, M - start)
        measured = start + m >= M or plan[CLIP] != 0
        if me == 0 and start == 0 and plan[SHUFFLE] != 0:
            shuffle(order, plan[ROWS_OF_DATA], plan[NEXT_UINT32], plan[ORDER_STATE])
        barrier(sync, team, plan[YIELD])
        cost = forward_and_loss(
            like, plan, layers, options, facts, theta, memory, state, order, weights, start, m, sync, me, team
        )
        if me == 0 and not np.isfinite(cost):
            place[END] = BAD_LOSS
            facts[LOSS] = cost
        barrier(sync, team, plan[YIELD])
        if place[END] != 0:
            return
        now = address_of(numbers, (place[UPDATES] - plan[BEFORE]) * plan[NUMBERS_STRIDE])
        back_and_update(
            like, plan, layers, facts, theta, memory, slots, now, scratch, partials, measured, m, sync, me, team
        )
        barrier(sync, team, plan[YIELD])
        if plan[CLIP] != 0:
            clipped_step(like, plan, facts, theta, slots, now, scratch, partials, me, team)
            barrier(sync, team, plan[YIELD])
        if me == 0:
            J = cost / m
            if plan[PENALISE] != 0:
                for b in range(plan[BLOCKS]):
                    J += partials[0, b]
            if not np.isfinite(J):
                place[END] = BAD_LOSS
                facts[LOSS] = J
            else:
                facts[TOTAL] += J * m
                if facts[FIRST_LOSS] != facts[FIRST_LOSS]:
                    facts[FIRST_LOSS] = J
                place[SEEN] += m
                place[BATCH] += 1
                if plan[AVERAGED] != 0:
                    keep = facts[KEEP] if place[UPDATES] > 0 else 0.0
                    a, t = address_of(average, 0), address_of(theta, 0)
                    call(None, plan[FOLLOW], (a, t, len(theta), to(like, 1.0 - keep)))
                place[UPDATES] += 1
                if start + m >= M:
                    kept = average if plan[AVERAGED] != 0 else theta
                    close_epoch(
                        like, plan, layers, place, facts, kept, scratch, state, snapshots, states, partials, results
                    )
        barrier(sync, team, plan[YIELD])
        if place[END] != 0:
            return


@cache
def loop(dtype: Any) -> Any:
    """Return the compiled loop for numbers of `dtype`."""
    T = from_dtype(np.dtype(dtype))
    vector, matrix, whole = T[::1], T[:, ::1], int64[::1]
    signature = void(
        int64[:, ::1], whole, float64[:, ::1], float64[::1], whole, vector, vector, vector, vector, vector, vector,
        matrix, matrix, whole, vector, vector, float64[:, ::1], float64[:, ::1], int64, int64, int64,
    )  # fmt: skip
    return on_disk(run, lambda function, stored: njit(signature, cache=stored, **OPTIONS)(function))
