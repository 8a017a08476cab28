"""A stack of normalised networks, each with rows of its own, on all cores: forward, and back with the rule's step.

All networks have one shape: the input is normalised, then product and normalisation take turns, with an activation
after all but the first and the last. What the stack gives is z = output / d and q = z . w for rows w; what comes back
is dL/dz = v (w - dt s). This is what the deep BSDE method asks for, in one pass over each matrix.

The networks know nothing of each other, so each is a task; threads take the next one by counting up a shared number.
What a task computes does not depend on who does it, so the results do not depend on the number of threads.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, int64, void

from glassnet.activations import Activation, get
from glassnet.arrays import Array
from glassnet.engines import kernels, stack_kernels, tiles
from glassnet.engines.blas import gemm_address, large
from glassnet.engines.machine import bytes_of, call, fetch_add, inner, pointer, to
from glassnet.engines.products import back_product, forward_product, gradient_product
from glassnet.engines.storage import lock, on_disk
from glassnet.engines.threads import allowed

__all__ = ["NormalisedStack"]

assert stack_kernels, tiles  # their kernels have entered the table
TINY = 2000
IDENTITY = get("identity")

# the plan: one whole number each
(
    COUNTER_AT, TASKS, TIMES, LEVELS, LEVELS_AT, FACTS_AT, B, M_ROWS, FIRST, P_ALL, P_ONE, Q_ONE, ACTIVE_AT,
    THETA_AT, SLOTS_AT, STRIDE, STATE_AT, NUMBERS_AT, MEMORY_AT, MEMORY_ONE, WORK_AT, WORK_ONE, DELTA, GRADIENT,
    X_AT, W_AT, Z_AT, Q_AT, V_AT, S_AT,
    GEMM, LARGE, LARGE_BACK, TINY_, TILES, NORM, NORM_BACK, PLAIN_NORM, PLAIN_BACK, PROJECT, PULL, UNSCALE, STEP,
    PLAN_LENGTH,
) = range(44)  # fmt: skip
# a level, which is a normalisation and the product that follows it
N, THETA, WEIGHTS, STATS, KEPT, OUT, SCALE, COLUMNS = range(8)
MOMENTUM, EPS, SHARE, DT = range(4)


@inner
def level_at(plan, l):
    """The row of the table of levels."""
    return pointer(0, plan[LEVELS_AT] + 8 * l * COLUMNS)


@inner
def rows_of(like, plan, task):
    """The first number of a task's rows in arrays (times, rows): the first time has no network."""
    return (1 + task % plan[TIMES]) * plan[M_ROWS] + task // plan[TIMES] * plan[B]


@inner
def theta_of(plan, task):
    """The first number of a task's parameters."""
    return task // plan[TIMES] * plan[P_ALL] + plan[FIRST] + task % plan[TIMES] * plan[P_ONE]


@inner
def forward_one(like, plan, facts, task, work):
    """z and q of one network; what the way back needs stays in the task's memory."""
    size, m, L = bytes_of(like), plan[B], plan[LEVELS] - 1
    place = rows_of(like, plan, task)
    theta = plan[THETA_AT] + size * theta_of(plan, task)
    stats, memory = plan[STATE_AT] + size * task * plan[Q_ONE], plan[MEMORY_AT] + size * task * plan[MEMORY_ONE]
    momentum, eps, mean = to(like, facts[MOMENTUM]), to(like, facts[EPS]), work + size * plan[GRADIENT]
    a = plan[X_AT] + size * place * level_at(plan, 0)[N]
    for l in range(L + 1):
        level = level_at(plan, l)
        n, norm = level[N], plan[PLAIN_NORM] if l == 0 or l == L else plan[NORM]
        out = memory + size * level[OUT] if l < L else plan[Z_AT] + size * place * n
        call(None, norm, (a, out, memory + size * level[KEPT], memory + size * level[SCALE], mean,
                          theta + size * level[THETA], stats + size * level[STATS], m, n, momentum, eps))  # fmt: skip
        if l < L:
            k = level_at(plan, l + 1)[N]
            a = work + size * plan[DELTA]
            forward_product(like, plan[GEMM], plan[LARGE], plan[TILES], plan[TINY_], m, k, n, out, n,
                            theta + size * level[WEIGHTS], k, a, k, 1)  # fmt: skip
        else:
            call(None, plan[PROJECT], (out, plan[W_AT] + size * place * n, plan[Q_AT] + size * place, m, n,
                                       to(like, facts[SHARE])))  # fmt: skip


@inner
def step(like, plan, at, g, n):
    """theta += step of the rule, for n numbers from number `at` on."""
    size = bytes_of(like)
    call(None, plan[STEP], (plan[THETA_AT] + size * at, g, plan[SLOTS_AT] + size * at, plan[STRIDE], n,
                            plan[NUMBERS_AT], like))  # fmt: skip


@inner
def back_one(like, plan, facts, task, work):
    """The gradient of one network, and its step, block by block: each when no one needs the old numbers."""
    size, m, L = bytes_of(like), plan[B], plan[LEVELS] - 1
    place, start = rows_of(like, plan, task), theta_of(plan, task)
    theta, memory = plan[THETA_AT] + size * start, plan[MEMORY_AT] + size * task * plan[MEMORY_ONE]
    d, spare, g = work + size * plan[DELTA], work, work + size * plan[GRADIENT]
    n = level_at(plan, L)[N]
    call(None, plan[PULL], (d, plan[V_AT] + size * place, plan[W_AT] + size * place * n, plan[S_AT] + size * place * n,
                            m, n, to(like, facts[DT]), to(like, facts[SHARE])))  # fmt: skip
    for l in range(L, 0, -1):
        level, below = level_at(plan, l), level_at(plan, l - 1)
        n, k = level[N], below[N]
        kept, scale = memory + size * level[KEPT], memory + size * level[SCALE]
        back = plan[PLAIN_BACK] if l == L else plan[NORM_BACK]
        call(None, back, (d, kept, scale, theta + size * level[THETA], g, m, n))
        step(like, plan, start + level[THETA], g, 2 * n)
        weights = theta + size * below[WEIGHTS]
        if l > 1:
            back_product(
                like, plan[GEMM], plan[LARGE_BACK], plan[TILES], plan[TINY_], m, n, k, d, n, 1, weights, n, spare, k
            )
        a = memory + size * (below[OUT] if l > 1 else below[KEPT])
        gradient_product(like, plan[GEMM], plan[LARGE], plan[TILES], plan[TINY_], m, n, k, like, a, k, d, n, 1,
                         to(like, 0), g, n)  # fmt: skip
        if l == 1:
            norm, dnorm = theta + size * below[THETA], g + size * k * n
            call(None, plan[UNSCALE], (g, weights, norm, dnorm, k, n))
            step(like, plan, start + below[THETA], dnorm, 2 * k)
        step(like, plan, start + below[WEIGHTS], g, k * n)
        d, spare = spare, d


def run(like, plan_at, me, backward):
    """Take tasks until none is left; one call for each thread of the team."""
    plan, active = pointer(0, plan_at), pointer(0, pointer(0, plan_at)[ACTIVE_AT])
    facts = pointer(0.0, plan[FACTS_AT])
    work = plan[WORK_AT] + bytes_of(like) * me * plan[WORK_ONE]
    while True:
        task = fetch_add(plan[COUNTER_AT], 1)
        if task >= plan[TASKS]:
            return
        if backward == 0:
            forward_one(like, plan, facts, task, work)
            continue
        task = plan[TASKS] - 1 - task  # what was written last is still near
        if active[task // plan[TIMES]] != 0:
            back_one(like, plan, facts, task, work)


@cache
def _compiled(dtype: Any) -> Any:
    signature = void(from_dtype(dtype), int64, int64, int64)
    options: dict[str, Any] = {"error_model": "numpy", "fastmath": {"contract"}}
    return on_disk(run, lambda function, stored: cfunc(signature, cache=stored, **options)(function), dtype.name)


class NormalisedStack:
    """K times N networks of one shape on batches of B rows, and the memory that they need.

    `widths` (n_0, ..., n_L); parameters of one network in theta: gamma_0, beta_0, W_1, gamma_1, beta_1, ..., W_L,
    gamma_L, beta_L; its running statistics: mean_0, var_0, ..., mean_L, var_L. theta is (K, first + N P), state
    (K, N, Q). `rule` is a rule of optimizers.py, whose slots begin as `slots` (s, K, first + N P). Use it in a `with`
    block: it holds threads, of which one does other work meanwhile (`aside`).
    """

    def __init__(
        self, widths: Sequence[int], activation: Activation, rule: Any, *, theta: Array, state: Array, slots: Array,
        first: int, batch: int, momentum: float, eps: float, n_threads: int | None = None,
    ) -> None:  # fmt: skip
        K, times, _ = state.shape
        self.dtype, self.rule = theta.dtype, rule
        self.theta, self.state, self.slots = theta, state, slots
        self.team = max(1, min(K * times, n_threads or allowed()))
        self.levels, P_one, Q_one, memory = _levels(tuple(widths), batch)
        if theta.shape != (K, first + times * P_one) or state.shape[2] != Q_one:
            raise ValueError(f"theta {theta.shape} and state {state.shape} are not those of widths {tuple(widths)}")
        delta = batch * max(widths)
        work = 2 * delta + max(a * b for a, b in pairwise(widths)) + 2 * max(widths)
        self.memory, self.work = np.zeros((K * times, memory), theta.dtype), np.zeros((self.team, work), theta.dtype)
        self.counter, self.active, self.numbers = np.zeros(16, np.int64), np.ones(K, np.int64), np.zeros(8, theta.dtype)
        self.facts = np.array([momentum, eps, 1.0, 1.0])
        self.plan = np.zeros(PLAN_LENGTH, np.int64)
        self._fill(batch, K, times, first, P_one, delta)
        self._kernels(activation)
        self.pool = ThreadPoolExecutor(max(1, self.team - 1))
        self.busy: Future[Any] | None = None

    def _fill(self, batch: int, K: int, times: int, first: int, P_one: int, delta: int) -> None:
        plan = self.plan
        plan[[TASKS, TIMES, LEVELS, B, M_ROWS]] = K * times, times, len(self.levels), batch, K * batch
        plan[[FIRST, P_ALL, P_ONE, Q_ONE]] = first, self.theta.shape[1], P_one, self.state.shape[2]
        plan[[STRIDE, MEMORY_ONE, WORK_ONE]] = self.theta.size, self.memory.shape[1], self.work.shape[1]
        plan[[DELTA, GRADIENT]] = delta, 2 * delta
        for place, array in (
            (COUNTER_AT, self.counter), (LEVELS_AT, self.levels), (FACTS_AT, self.facts), (ACTIVE_AT, self.active),
            (THETA_AT, self.theta), (SLOTS_AT, self.slots), (STATE_AT, self.state), (NUMBERS_AT, self.numbers),
            (MEMORY_AT, self.memory), (WORK_AT, self.work),
        ):  # fmt: skip
            plan[place] = array.ctypes.data

    def _kernels(self, activation: Activation) -> None:
        plan, T = self.plan, self.dtype.type
        plan[[GEMM, LARGE, TINY_]] = gemm_address(self.dtype), large(), TINY
        plan[LARGE_BACK] = large() if tiles.MANY else 0  # 16 registers: 64 x 110 x 110 by tiles 53 us, by BLAS 45
        plan[TILES] = kernels.address("tiles", T)
        for one, (forward, back) in ((activation, (NORM, NORM_BACK)), (IDENTITY, (PLAIN_NORM, PLAIN_BACK))):
            plan[forward] = kernels.address("normalise", T, one.f)
            plan[back] = kernels.address("normalise_back", T, one.f, one.df)
        for place, name in ((PROJECT, "project"), (PULL, "pull"), (UNSCALE, "unscale")):
            plan[place] = kernels.address(name, T)
        plan[STEP] = kernels.address("step", T, self.rule.formula, len(self.slots), len(self.rule.numbers(1, 1.0)))
        with lock:
            self.run = _compiled(self.dtype).ctypes

    def __enter__(self) -> NormalisedStack:
        return self

    def __exit__(self, *ended: object) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)

    def aside(self, function: Callable[[], Any]) -> Future[Any]:
        """Call the function on another core, before that core's next tasks; return where its result will be."""
        return self.pool.submit(function)

    def forward(self, X: Array, w: Array, z: Array, q: Array, share: float) -> None:
        """Write z = share * output (times + 1, K B, d) and q = z . w (times + 1, K B), from time 1 on."""
        self._point((X_AT, X), (W_AT, w), (Z_AT, z), (Q_AT, q))
        self.facts[SHARE] = share
        self._all(0)

    def learn(
        self, w: Array, s: Array, v: Array, dt: float, share: float, t: int, learning_rate: float, active: Array
    ) -> None:
        """Move theta by step t of the rule, for dL/dz = v (w - dt s), where `active` (K,) says so."""
        self._point((W_AT, w), (S_AT, s), (V_AT, v))
        self.facts[[SHARE, DT]] = share, dt
        self.active[:] = active
        numbers = self.rule.numbers(t, learning_rate)
        with np.errstate(over="ignore"):  # a rate beyond the dtype makes an infinite step, which ends the run
            self.numbers[: len(numbers)] = numbers
        self._all(1)

    def _point(self, *arrays: tuple[int, Array]) -> None:
        for place, array in arrays:
            if array.dtype != self.dtype or not array.flags.c_contiguous:
                raise ValueError(f"arrays must be contiguous and {self.dtype}, received {array.dtype}")
            self.plan[place] = array.ctypes.data

    def _all(self, backward: int) -> None:
        """Run all tasks; those threads that come late find none left."""
        self.counter[0] = 0
        one, plan = 1.0, self.plan.ctypes.data
        helpers = [self.pool.submit(self.run, one, plan, me, backward) for me in range(1, self.team)]
        try:
            self.run(one, plan, 0, backward)
        finally:
            for helper in helpers:
                if not helper.cancel():
                    helper.result()


def _levels(widths: tuple[int, ...], batch: int) -> tuple[Array, int, int, int]:
    """Return the table of levels, and the numbers that a network has of parameters, statistics and memory."""
    table = np.zeros((len(widths), COLUMNS), np.int64)
    theta = stats = memory = 0
    for row, n, following in zip(table, widths, (*widths[1:], 0), strict=True):
        row[[N, THETA, WEIGHTS, STATS]] = n, theta, theta + 2 * n, stats
        row[[KEPT, OUT, SCALE]] = memory, memory + batch * n, memory + 2 * batch * n
        theta, stats, memory = theta + 2 * n + n * following, stats + 2 * n, memory + (2 * batch + 1) * n
    return table, theta, stats, memory
