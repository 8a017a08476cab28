"""The loop: whole epochs of mini-batch training in one compiled call.

    gather the rows of the batch                                  [A 1]
    forward     [A 1] [W; b] -> z,  a = f(z),  z <- f'(z)         layer by layer (a takes the place of z where f' is
                                                                  a function of a alone, as that of tanh is)
    loss        delta = dJ/dz_L, and the cost
    back        dA = delta W^T,  dA <- dA f'(z)                   layer by layer
    update      [W; b] += step of the rule for [A 1]^T delta      block by block, while the gradient is near

Every thread of a team runs this same function. In a network of dense layers it takes its part of the batch from the
gathering to the last delta, and some blocks of the update: two barriers a batch. In others the threads share the
products of each layer, and wait for each other there. What a part, a piece and a block is depends on shapes alone,
never on the number of threads, so the numbers do not either.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, int64, void

from glassnet.engines.batch import (
    copy,
    dense_back,
    dense_forward,
    gather,
    layer_at,
    middle_of,
    other_back,
    other_forward,
    output_loss,
    part_gradient,
    wait_for_all,
    wait_for_pieces,
)  # fmt: skip
from glassnet.engines.machine import bytes_of, call, flush_subnormals, inner, pointer, set_back, to
from glassnet.engines.one_row import one_row
from glassnet.engines.storage import lock, on_disk
from glassnet.engines.tables import (
    ALL_EPOCHS,
    AVERAGE_AT,
    AVERAGED,
    BAD_LOSS,
    BAD_THETA,
    BATCH,
    BATCH_SIZE,
    BEFORE,
    BLOCKS,
    BLOW_UP,
    BLOWN_UP,
    CALLS,
    CLIP,
    COST,
    DENSE,
    END,
    ENDLESS,
    EPOCHS,
    FACTS_AT,
    FIRST_BLOCK,
    FIRST_LOSS,
    FOLLOW,
    FROM,
    GRADS,
    KEEP,
    KIND,
    L1,
    L2,
    LARGEST_BLOCK,
    LATEST,
    LAYERS,
    LOSS,
    M_ROWS,
    MEMORY_AT,
    N_IN,
    N_OUT,
    NEXT_AT,
    NEXT_UINT32,
    NUMBERS_A_LINE,
    NUMBERS_AT,
    NUMBERS_STRIDE,
    ONE_ROW,
    OPTIONS_AT,
    ORDER_AT,
    ORDER_ROWS,
    ORDER_STATE,
    PARTIALS_AT,
    PARTS,
    PENALISE,
    PLACE_AT,
    RESULTS_AT,
    ROWS,
    ROWS_OF_DATA,
    SCRATCH_AT,
    SEEN,
    SHUFFLE,
    SIZE,
    SNAPSHOTS_AT,
    STATE_AT,
    STATES_AT,
    TEAM,
    THETA,
    THETA_AT,
    TOTAL,
    UPDATES,
    WORDS,
    P,
    Q,
)  # fmt: skip
from glassnet.engines.updates import clipped_step, finish_block, update
from glassnet.engines.zeros import edge, mark_zeros

__all__ = ["loop", "shuffle"]


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


# ---- a batch ------------------------------------------------------------------------------------------------------


@inner
def forward_and_loss(like, plan, facts, start, low, high, m, me):
    """Return the sum of the costs of rows low ... high - 1 of a batch of m; their delta stands where z_L was.

    The batch begins at `start` in the order of rows.
    """
    base, L = plan[MEMORY_AT], plan[LAYERS]
    bottom, last = layer_at(plan, int64(0)), layer_at(plan, L - 1)
    n = high - low
    share, shares = (me, plan[TEAM]) if plan[PARTS] == 1 else (0, 1)
    first, end = low + edge(n, share, shares), low + edge(n, share + 1, shares)
    gather(like, plan, base, bottom[N_IN], last[N_OUT], start, first, end, m)
    if bottom[WORDS] != 0:
        mark_zeros(like, plan, bottom, base, low, first, end, int64(0), bottom[ROWS])
    wait_for_pieces(plan)
    for l in range(L):
        layer, above = layer_at(plan, l), layer_at(plan, min(l + 1, L - 1))
        if layer[KIND] == DENSE:
            dense_forward(like, plan, layer, above, l == L - 1, base, low, high, m, share)
        elif share == 0:
            other_forward(like, plan, layer, above, pointer(0.0, plan[OPTIONS_AT] + 16 * l), base, m)
        wait_for_pieces(plan)
    cost = 0.0
    if share == 0:
        cost += output_loss(like, plan, last, facts, base, low, high, m)
    return cost


@inner
def back(like, plan, facts, numbers, partials, measured, low, high, m, me):
    """The way back through the layers for rows low ... high - 1; layers without products take their step on it."""
    base, L, size = plan[MEMORY_AT], plan[LAYERS], bytes_of(like)
    share = me if plan[PARTS] == 1 else 0
    for l in range(L - 1, -1, -1):
        layer, below, above = layer_at(plan, l), layer_at(plan, max(l - 1, 0)), layer_at(plan, min(l + 1, L - 1))
        if layer[KIND] == DENSE:
            if l > 0:
                dense_back(like, plan, layer, below, above, l == L - 1, base, low, high, m, share)
            if layer[GRADS] != 0:
                part_gradient(like, plan, layer, l == L - 1, base, low, high, m)
        elif share == 0:
            start, n = layer[THETA], layer[SIZE]
            g = plan[SCRATCH_AT] + size * (start if plan[CLIP] != 0 else 0)
            other_back(like, plan, layer, below, l > 0, base, m, g)
            if n > 0:
                none, block = int64(0), layer[FIRST_BLOCK]
                finish_block(like, plan, facts, numbers, partials, measured, start, none, n, g, block, none)
        wait_for_pieces(plan)


@inner
def there_and_back(like, plan, facts, numbers, partials, measured, start, m, me):
    """A batch of m through the network and back, each thread with its parts; return the sum of the costs."""
    parts, middle = plan[PARTS], middle_of(plan, m)
    first, step = (0, 1) if parts == 1 else (me, plan[TEAM])
    for part in range(first, parts, step):
        low, high = (0, middle) if part == 0 else (middle, m)
        place = COST + NUMBERS_A_LINE * part
        if high > low:
            cost = forward_and_loss(like, plan, facts, start, low, high, m, me)
            if parts > 1 or me == 0:
                facts[place] = cost
            wait_for_pieces(plan)
            if np.isfinite(facts[place]):  # layers without products take a step on the way back
                back(like, plan, facts, numbers, partials, measured, low, high, m, me)
        else:
            facts[place] = 0.0
    wait_for_all(plan)
    cost = 0.0
    for part in range(parts):
        cost += facts[COST + NUMBERS_A_LINE * part]
    return cost


@inner
def update_all(like, plan, facts, numbers, partials, measured, m, me):
    """The step of all weights and biases."""
    L = plan[LAYERS]
    for l in range(L - 1, -1, -1):
        layer = layer_at(plan, l)
        if layer[KIND] == DENSE:
            update(like, plan, layer, l == L - 1, facts, numbers, partials, measured, plan[MEMORY_AT], m, me)


# ---- an epoch -----------------------------------------------------------------------------------------------------


@inner
def finite(like, n, theta):
    """Whether all n numbers are."""
    zero = to(like, 0)
    x, total = pointer(like, theta), zero
    for i in range(n):
        total += x[i] * zero
    return total == zero


@inner
def penalty(like, plan, facts, theta):
    """l1 |W|_1 + l2/2 |W|^2; what the kernel adds to a gradient goes to waste."""
    size, total = bytes_of(like), 0.0
    if plan[PENALISE] != 0:
        l1, l2 = to(like, facts[L1]), to(like, facts[L2])
        for l in range(plan[LAYERS]):
            layer = layer_at(plan, l)
            if layer[KIND] == DENSE:
                start, end = layer[THETA], layer[THETA] + layer[N_IN] * layer[N_OUT]
                while start < end:
                    n = min(plan[LARGEST_BLOCK], end - start)
                    total += call(like, plan[PENALISE], (theta + size * start, plan[SCRATCH_AT], n, l1, l2))
                    start += n
    return total


@inner
def close_epoch(like, plan, place, facts, partials):
    """Measure the epoch, keep its theta, and say whether the run has blown up."""
    size = bytes_of(like)
    theta = plan[AVERAGE_AT] if plan[AVERAGED] != 0 else plan[THETA_AT]
    facts[LOSS] = facts[TOTAL] / place[SEEN]
    facts[TOTAL] = 0.0
    place[SEEN] = 0
    place[BATCH] = 0
    if not (finite(like, plan[P], theta) and finite(like, plan[Q], plan[STATE_AT])):
        place[END] = BAD_THETA
    elif facts[LOSS] > facts[BLOW_UP] * (1.0 + abs(facts[FIRST_LOSS])):
        place[END] = BLOWN_UP
    else:
        place[LATEST] = 1 - place[LATEST]
        copy(like, plan[P], theta, plan[SNAPSHOTS_AT] + size * place[LATEST] * plan[P])
        copy(like, plan[Q], plan[STATE_AT], plan[STATES_AT] + size * place[LATEST] * plan[Q])
        norm, results = 0.0, pointer(0.0, plan[RESULTS_AT] + 24 * place[EPOCHS])
        for b in range(plan[BLOCKS]):
            norm += partials[NUMBERS_A_LINE * b + 1]
        results[0] = facts[LOSS]
        results[1] = np.sqrt(norm)
        results[2] = penalty(like, plan, facts, theta)
        place[EPOCHS] += 1
        place[ALL_EPOCHS] += 1
        place[FROM] += plan[ORDER_ROWS]


@inner
def mean_cost(plan, partials, cost, m):
    """J, the penalty included: every thread finds the same."""
    J = cost / m
    if plan[PENALISE] != 0:
        for b in range(plan[BLOCKS]):
            J += partials[NUMBERS_A_LINE * b]
    return J


@inner
def close_batch(like, plan, place, facts, partials, J, m, ends_epoch):
    """Count the batch; one thread, while the others begin the next one of the epoch."""
    if place[UPDATES] == 0:
        facts[FIRST_LOSS] = J
    facts[TOTAL] += J * m
    place[SEEN] += m
    place[BATCH] += 1
    if plan[AVERAGED] != 0:
        keep = facts[KEEP] if place[UPDATES] > 0 else 0.0  # the mean starts at the first theta it sees
        call(None, plan[FOLLOW], (plan[AVERAGE_AT], plan[THETA_AT], plan[P], to(like, 1.0 - keep)))
    place[UPDATES] += 1
    if ends_epoch:
        close_epoch(like, plan, place, facts, partials)


@inner
def end_badly(place, facts, J, me):
    """The loss of a batch is infinite or not a number: every thread has seen it and goes, the first one says so."""
    if me == 0:
        place[END] = BAD_LOSS
        facts[LOSS] = J


@inner
def batches(like, plan_at, me):
    """Run plan[CALLS] batches from where `place` stands; one call for each thread of the team, all at once."""
    plan = pointer(0, plan_at)
    place, facts, partials = pointer(0, plan[PLACE_AT]), pointer(0.0, plan[FACTS_AT]), pointer(0.0, plan[PARTIALS_AT])
    batch, rows, size = plan[BATCH_SIZE], plan[M_ROWS], bytes_of(like)
    at, updates, origin = place[BATCH], place[UPDATES], place[FROM]  # each thread counts for itself
    for _ in range(plan[CALLS]):
        start = at * batch
        m = min(batch, rows - start)
        ends_epoch = plan[ENDLESS] == 0 and start + m >= rows
        measured = ends_epoch or plan[CLIP] != 0
        if start == 0 and plan[SHUFFLE] != 0:
            if me == 0:
                shuffle(pointer(0, plan[ORDER_AT]), plan[ROWS_OF_DATA], plan[NEXT_UINT32], plan[ORDER_STATE])
            wait_for_all(plan)
        numbers = plan[NUMBERS_AT] + size * (updates - plan[BEFORE]) * plan[NUMBERS_STRIDE]
        if plan[ONE_ROW] != 0:
            cost = one_row(like, plan, facts, numbers, partials, measured, origin + start)
        else:
            cost = there_and_back(like, plan, facts, numbers, partials, measured, origin + start, m, me)
        if not np.isfinite(cost):
            end_badly(place, facts, cost, me)
            return
        if plan[ONE_ROW] == 0:
            update_all(like, plan, facts, numbers, partials, measured, m, me)
            wait_for_all(plan)
        if plan[CLIP] != 0:
            clipped_step(like, plan, facts, numbers, partials, me)
            wait_for_all(plan)
        J = mean_cost(plan, partials, cost, m)
        if not np.isfinite(J):
            end_badly(place, facts, J, me)
            return
        if me == 0:
            close_batch(like, plan, place, facts, partials, J, m, ends_epoch)
        at, updates = at + 1, updates + 1
        if ends_epoch:
            wait_for_all(plan)
            if place[END] != 0:
                return
            at, origin = 0, place[FROM]


def run(like, plan_at, me):
    """Call `batches` for the plan and those that follow it, with subnormal numbers taken for 0 meanwhile."""
    before = flush_subnormals()
    while plan_at != 0:
        batches(like, plan_at, me)
        plan_at = pointer(0, plan_at)[NEXT_AT]
    set_back(before)


def loop(dtype: Any) -> Any:
    """Return the compiled loop for numbers of `dtype`: loop(dtype)(1.0, address of the plan, number of the thread).

    A C function called by way of ctypes, which lets other threads run meanwhile. (A call by Numba's dispatcher asks for
    the types of the arguments first, and an interrupt that falls into that is lost.)
    """
    with lock:
        return _loop(np.dtype(dtype)).ctypes


@cache
def _loop(dtype: Any) -> Any:
    signature = void(from_dtype(dtype), int64, int64)
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
    return on_disk(run, lambda function, stored: cfunc(signature, cache=stored, **options)(function), dtype.name)
