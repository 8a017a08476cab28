"""The update, in compiled code: the step for [A 1]^T delta, block by block, while its gradient is near the processor.

Names as in batch.py.
"""

from __future__ import annotations

import numpy as np
from numba import int64

from glassnet.engines.batch import middle_of, strides
from glassnet.engines.machine import bytes_of, call, inner, pointer, prefetch, to
from glassnet.engines.tables import (
    BLOCK,
    BLOCKS,
    CLIP,
    CLIP_NORM,
    DELTA,
    DIRECT,
    FIRST_BLOCK,
    GRADS,
    L1,
    L2,
    LARGEST_BLOCK,
    LINE,
    N_IN,
    N_OUT,
    NUMBERS_A_LINE,
    PENALISE,
    ROWS,
    SCRATCH_AT,
    SLOTS_AT,
    SQUARES,
    STEP,
    TEAM,
    THETA,
    THETA_AT,
    WORDS,
    P,
)  # fmt: skip
from glassnet.engines.zeros import layer_gradient

__all__ = ["clipped_step", "finish_block", "update"]

AT_ONCE = 256
"""Numbers of theta that are updated at a time, where two parts of a batch have formed their gradient."""
SMALL_UNIT = 2.0**-540
"""What a gradient is measured in whose squares are too large for float64."""


@inner
def finish_block(like, plan, facts, numbers, partials, measured, start, n_weights, n, g, block, done):
    """A part of the gradient is there: add the penalty's, measure it, take the step (unless it is clipped first).

    Of its block, `done` numbers have been here before.
    """
    size, place = bytes_of(like), NUMBERS_A_LINE * block
    p = plan[THETA_AT] + size * start
    if plan[PENALISE] != 0 and n_weights > 0:
        l1, l2 = to(like, facts[L1]), to(like, facts[L2])
        before = partials[place] if done > 0 else 0.0
        partials[place] = before + call(like, plan[PENALISE], (p, g, n_weights, l1, l2))
    if measured:
        before = partials[place + 1] if done > 0 else 0.0
        partials[place + 1] = before + call(0.0, plan[SQUARES], (g, n, 1.0))
    if plan[CLIP] == 0:
        call(None, plan[STEP], (p, g, plan[SLOTS_AT] + size * start, plan[P], n, numbers, like))


@inner
def add_parts(like, n, alpha, first, other, both, beta, target):
    """target = beta target + alpha (first + other); without `both` there is no other part."""
    F, O, T, zero = pointer(like, first), pointer(like, other), pointer(like, target), to(like, 0)
    if beta == 0:
        for i in range(n):
            T[i] = zero
    if both:
        for i in range(n):
            T[i] += alpha * (F[i] + O[i])
    else:
        for i in range(n):
            T[i] += alpha * F[i]


@inner
def fetch(address, low, high):
    """Ask for the lines of bytes low ... high - 1 behind the address."""
    for byte in range(low, high, LINE):
        prefetch(address + byte)


@inner
def update_by_parts(like, plan, layer, facts, numbers, partials, measured, base, both, low, high, b, alpha, beta, g):
    """The update of a block whose gradient the parts of the batch have formed: some numbers at a time.

    Half of theta and of the gradients lie in the other core's cache, 200 ns from here. They are asked for while the
    numbers before them are at work.
    """
    size, n, team, done = bytes_of(like), layer[N_OUT], plan[TEAM], 0
    start, count, n_weights = layer[THETA] + low * n, (high - low) * n, (min(high, layer[N_IN]) - low) * n
    first, theta = base + size * (layer[GRADS] + low * n), plan[THETA_AT] + size * start
    other = first + size * layer[ROWS] * n
    direct = plan[DIRECT] != 0 and not measured
    while done < count:
        some, here, ahead = min(AT_ONCE, count - done), size * done, size * min(done + 2 * AT_ONCE, count)
        if team > 1:
            asked = here + size * AT_ONCE if done > 0 else 0
            fetch(first, asked, ahead)
            fetch(other, asked, ahead)
            fetch(theta, asked, ahead)
        target = g + here if direct or plan[CLIP] != 0 else g
        add_parts(like, some, alpha, first + here, other + here, both, beta, target)
        if not direct:
            weights = min(some, n_weights - done)
            finish_block(
                like, plan, facts, numbers, partials, measured, start + done, weights, some, target,
                layer[FIRST_BLOCK] + b, done,
            )  # fmt: skip
        done += some


@inner
def update(like, plan, layer, is_last, facts, numbers, partials, measured, base, m, me):
    """[W; b] += step for [A 1]^T delta: each thread takes some of the blocks of rows."""
    size, team = bytes_of(like), plan[TEAM]
    stride, column = strides(plan, layer, is_last, m)
    rows, n, block, d = layer[ROWS], layer[N_OUT], layer[BLOCK], base + size * layer[DELTA]
    middle = middle_of(plan, m)
    direct = plan[DIRECT] != 0 and not measured
    for b in range(me, (rows + block - 1) // block, team):
        low, high = b * block, min(rows, (b + 1) * block)
        start = layer[THETA] + low * n
        if direct:
            alpha, beta, g = -pointer(like, numbers)[0], like, plan[THETA_AT] + size * start
        else:
            alpha, beta = like, to(like, 0)
            g = plan[SCRATCH_AT] + size * (start if plan[CLIP] != 0 else me * plan[LARGEST_BLOCK])
        if layer[GRADS] != 0:
            both = middle < m
            update_by_parts(
                like, plan, layer, facts, numbers, partials, measured, base, both, low, high, b, alpha, beta, g
            )
        elif layer[WORDS] != 0 and middle < m:  # each part has bits of its own
            other = d + size * middle * stride
            layer_gradient(like, plan, layer, base, int64(0), middle, low, high, d, stride, column, alpha, beta, g)
            layer_gradient(like, plan, layer, base, middle, m, low, high, other, stride, column, alpha, like, g)
        else:
            layer_gradient(like, plan, layer, base, int64(0), m, low, high, d, stride, column, alpha, beta, g)
        if not direct and layer[GRADS] == 0:
            n_weights = (min(high, layer[N_IN]) - low) * n
            finish_block(
                like, plan, facts, numbers, partials, measured, start, n_weights, (high - low) * n, g,
                layer[FIRST_BLOCK] + b, int64(0),
            )  # fmt: skip


@inner
def clipped_step(like, plan, facts, numbers, partials, me):
    """The step for the whole gradient, shortened to the length that is allowed."""
    size, n, total = bytes_of(like), plan[P], 0.0
    for b in range(plan[BLOCKS]):
        total += partials[NUMBERS_A_LINE * b + 1]
    length = np.sqrt(total)
    if not length < np.inf:  # its square is too large for float64, it is not
        length = np.sqrt(call(0.0, plan[SQUARES], (plan[SCRATCH_AT], n, SMALL_UNIT))) / SMALL_UNIT
    scale = to(like, min(1.0, facts[CLIP_NORM] / length)) if length > 0.0 else like
    low, high = n * me // plan[TEAM], n * (me + 1) // plan[TEAM]
    here = size * low
    p, g, s = plan[THETA_AT] + here, plan[SCRATCH_AT] + here, plan[SLOTS_AT] + here
    call(None, plan[STEP], (p, g, s, n, high - low, numbers, scale))
