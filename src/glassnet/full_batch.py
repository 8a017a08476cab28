"""J and its gradient over all rows: a block of rows after the other, shared out to the cores.

What a block leaves stays in the cache. Blocks are summed in four lanes, and the lanes in order, however many threads
work on them: the number of cores changes no bit of the result.

Where the engine has a loop of its own (`engine="numba"`, or "auto" where it pays), a block is a batch of that loop,
under a rule that takes no step.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from itertools import pairwise
from math import inf
from types import TracebackType
from typing import Self

import numpy as np

from glassnet.arrays import Array
from glassnet.engines import AddUp, Fused, Job, fusing
from glassnet.engines.threads import allowed
from glassnet.layers import BatchNorm, Mode
from glassnet.network import Network, Work
from glassnet.objective import Objective

__all__ = ["FullBatch", "blocks_of", "lanes_of"]

BLOCK, FEWEST = 1 << 15, 256
"""About so many activations of the widest layer are computed at a time, and for at least so many rows."""
LANES = 4
"""Sums that are formed side by side, and the most threads that are of use."""
WORTH = 1 << 21
"""Multiplications of an evaluation from which waking another thread is repaid: some tenths of a millisecond."""


def blocks_of(net: Network, m: int) -> int:
    """Return in how many blocks m rows are evaluated, at least; BatchNorm needs all of them at once."""
    if any(isinstance(layer, BatchNorm) for layer in net.layers):
        return 1
    return max(1, min(-(-m * max(net.sizes[1:]) // BLOCK), m // FEWEST))


def lanes_of(net: Network, m: int) -> list[list[slice]]:
    """Return the blocks of rows of each lane: as many for each, and of equal size but for the last."""
    blocks = blocks_of(net, m)
    lanes = blocks if blocks < 3 else LANES
    edges = [m * lane // lanes for lane in range(lanes + 1)]
    size = -(-edges[1] // -(-blocks // lanes))
    return [[slice(at, min(at + size, high)) for at in range(low, high, size)] for low, high in pairwise(edges)]


class FullBatch:
    """The function theta -> J, dJ/dtheta for rows X (m, d), Y (m, k) that `Objective.check` has seen.

    It keeps its memory from call to call: `theta` is where the caller writes the point before each call. Used in a
    `with` block, it works with `n_threads` threads (None: one a core), without it with one. `evaluations` is how often
    it will be called, about: the engine "auto" weighs what it costs to begin.
    """

    def __init__(
        self,
        objective: Objective,
        theta: Array,
        X: Array,
        Y: Array,
        weights: Array | None,
        n_threads: int | None = None,
        evaluations: int = 1,
    ) -> None:
        net, m = objective.net, len(X)
        self.objective, self.theta, self.data = objective, theta, (X, Y, weights)
        self.lanes = lanes_of(net, m)
        small = m * sum(a * b for a, b in pairwise(net.sizes)) < WORTH
        self.team = 1 if small else min(len(self.lanes), n_threads or allowed())
        self.pool: ThreadPoolExecutor | None = None
        self.evaluations = evaluations

    @cached_property
    def loops(self) -> list[Fused] | None:
        """A loop of the engine for each lane; None where the engine has none, or it does not pay."""
        engine = fusing(self.objective.run_on)
        if engine is None:
            return None
        loops: list[Fused] = []
        for lane in self.lanes:
            state = self.objective.net.init_state(self.theta.dtype)
            loop = engine.fuse(self._job(lane), self.theta, state, (np.zeros_like(self.theta),))
            if loop is None:
                return None
            loops.append(loop)
        return loops

    def _job(self, lane: list[slice]) -> Job:
        """A run over the rows of a lane, a block a batch, under a rule that adds up gradients."""
        objective, unused = self.objective, np.random.default_rng(0)
        X, Y, weights = (None if array is None else array[lane[0].start : lane[-1].stop] for array in self.data)
        assert X is not None
        assert Y is not None
        block = lane[0].stop - lane[0].start
        return Job(
            objective.net, objective.loss_record, objective.matched, objective.l1, objective.l2,
            AddUp(block, len(X), len(self.data[0])), X, Y, weights, block, self.evaluations, len(X), False, None,
            unused, unused, None, inf, 1, len(self.lanes),
        )  # fmt: skip

    @cached_property
    def work(self) -> list[Work]:
        """Memory of each lane, where the reference engine evaluates."""
        return [self.objective.net.work(self.theta) for _ in self.lanes]

    def __enter__(self) -> Self:
        if self.team > 1:
            self.pool = ThreadPoolExecutor(self.team - 1, "glassnet")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None

    def __call__(self) -> tuple[float, Array]:
        """Return J and its gradient (P,) at `theta`; the next call may write into the same memory."""
        self._make_memory()
        numbers = range(len(self.lanes))
        if self.pool is None:
            sums = self._some(numbers)
        else:  # this thread takes the first share
            shares = [numbers[first :: self.team] for first in range(self.team)]
            others = [self.pool.submit(self._some, share) for share in shares[1:]]
            try:
                done = [self._some(shares[0])]
            finally:
                wait(others)
            done += [other.result() for other in others]
            sums = [done[lane % self.team][lane // self.team] for lane in numbers]
        total, gradient = sums[0]
        for J, grad in sums[1:]:
            total += J
            gradient += grad
        return total, gradient

    def _make_memory(self) -> list[Fused] | list[Work]:
        """Make what lanes need at the first call, before there are threads; who never calls needs no memory."""
        return self.work if self.loops is None else self.loops

    def _some(self, lanes: Sequence[int]) -> list[tuple[float, Array]]:
        """Return J and its gradient over the rows of some lanes, as their share of all rows."""
        if self.loops is not None:
            first, *following = (self.loops[lane] for lane in lanes)
            return first.sums(following)
        with np.errstate(over="ignore", invalid="ignore"):  # of a step too long; a thread has settings of its own
            return [self._lane(lane) for lane in lanes]

    def _lane(self, lane: int) -> tuple[float, Array]:
        """Return the sums over the blocks of a lane by the reference engine, each with the share of its rows."""
        X, Y, weights = self.data
        total, sums = 0.0, None
        for part in self.lanes[lane]:
            w = None if weights is None else weights[part]
            J, grad, _ = self.objective.evaluate(
                self.theta, X[part], Y[part], w, None, Mode(training=True), self.work[lane]
            )
            share = len(X[part]) / len(X)
            if share == 1:
                return float(J), grad
            total += share * float(J)
            sums = share * grad if sums is None else sums + share * grad
        assert sums is not None
        return total, sums
