"""J and its gradient over all rows: a block of rows after the other, shared out to the cores.

What a block leaves stays in the cache. Blocks are summed in four lanes, and the lanes in order, however many threads
work on them: the number of cores changes no bit of the result.

Where the engine has a loop of its own (`engine="numba"`, or "auto" where it pays), a block is a batch of that loop,
under a rule that takes no step.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import inf
from types import TracebackType
from typing import Self

import numpy as np

from glassnet.arrays import Array
from glassnet.engines import Fused, Job, fusing
from glassnet.engines.threads import allowed
from glassnet.layers import BatchNorm, Mode
from glassnet.network import Network, Work
from glassnet.objective import Objective
from glassnet.rules import Number, Slots

__all__ = ["FullBatch", "blocks_of"]

BLOCK, FEWEST = 1 << 15, 256
"""About so many activations of the widest layer are computed at a time, and for at least so many rows."""
LANES = 4
"""Sums that are formed side by side, and the most threads that are of use."""
WORTH = 1 << 21
"""Multiplications of an evaluation from which waking another thread is repaid: some tenths of a millisecond."""


def blocks_of(net: Network, m: int) -> int:
    """Return in how many blocks m rows are evaluated; BatchNorm needs all of them at once."""
    if any(isinstance(layer, BatchNorm) for layer in net.layers):
        return 1
    return max(1, min(-(-m * max(net.sizes[1:]) // BLOCK), m // FEWEST))


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
        blocks = blocks_of(net, m)
        self.objective, self.theta, self.data = objective, theta, (X, Y, weights)
        self.parts = [slice(m * i // blocks, m * (i + 1) // blocks) for i in range(blocks)]
        self.lanes = [range(lane, blocks, LANES) for lane in range(min(LANES, blocks))]
        small = m * sum(a * b for a, b in pairwise(net.sizes)) < WORTH
        self.team = 1 if small else min(len(self.lanes), n_threads or allowed())
        self.pool: ThreadPoolExecutor | None = None
        self.evaluations = evaluations

    @cached_property
    def loops(self) -> list[Fused] | None:
        """A loop of the engine for each lane; None where the engine has none, or it does not pay."""
        engine, objective = fusing(self.objective.run_on), self.objective
        if engine is None:
            return None
        (X, Y, weights), unused = self.data, np.random.default_rng(0)
        largest = max(part.stop - part.start for part in self.parts)
        job = Job(
            objective.net, objective.loss_record, objective.matched, objective.l1, objective.l2, _Standstill(),
            X, Y, weights, largest, self.evaluations, len(X), False, None, unused, unused, None, inf, 1,
        )  # fmt: skip
        loops: list[Fused] = []
        for _ in self.lanes:
            loop = engine.fuse(job, self.theta, objective.net.init_state(self.theta.dtype), ())
            if loop is None:
                return None
            loops.append(loop)
        return loops

    @cached_property
    def work(self) -> list[Work]:
        """Memory of each lane, where the reference engine evaluates."""
        return [self.objective.net.work(self.theta) for _ in self.lanes]

    def __enter__(self) -> Self:
        if self.team > 1:
            self.pool = ThreadPoolExecutor(self.team, "glassnet")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.pool is not None:
            self.pool.shutdown()
            self.pool = None

    def __call__(self) -> tuple[float, Array]:
        """Return J and its gradient (P,) at `theta`; the next call may write into the same memory."""
        numbers = range(len(self.lanes))
        self._make_memory()
        sums = list(map(self._lane, numbers) if self.pool is None else self.pool.map(self._lane, numbers))
        total, gradient = sums[0]
        for J, grad in sums[1:]:
            total += J
            gradient += grad
        return total, gradient

    def _make_memory(self) -> list[Fused] | list[Work]:
        """Make what lanes need at the first call, before there are threads; who never calls needs no memory."""
        return self.work if self.loops is None else self.loops

    def _lane(self, lane: int) -> tuple[float, Array]:
        """Return the sums over the blocks of a lane, each with the share of its rows."""
        total, sums = 0.0, None
        with np.errstate(over="ignore", invalid="ignore"):  # of a step too long; a thread has settings of its own
            for block in self.lanes[lane]:
                part = self.parts[block]
                J, grad = self._block(lane, part)
                share = (part.stop - part.start) / len(self.data[0])
                if share == 1:
                    return J, grad
                total += share * J
                sums = share * grad if sums is None else sums + share * grad
        assert sums is not None
        return total, sums

    def _block(self, lane: int, part: slice) -> tuple[float, Array]:
        """Return J and its gradient for some of the rows, in the memory of a lane."""
        if self.loops is not None:
            return self.loops[lane].loss_and_gradient(part.start, part.stop)
        X, Y, weights = self.data
        w = None if weights is None else weights[part]
        J, grad, _ = self.objective.evaluate(
            self.theta, X[part], Y[part], w, None, Mode(training=True), self.work[lane]
        )
        return float(J), grad


@dataclass(frozen=True)
class _Standstill:
    """A rule that takes no step, of a length that is limited: so the loop forms the whole gradient first."""

    max_norm: float = inf

    @property
    def rule(self) -> _Standstill:
        return self

    def numbers(self, t: Number, rate: Number) -> tuple[Number, ...]:
        return (0.0,)

    @property
    def formula(self) -> Callable[[Array, Array, Slots, tuple[Number, ...]], tuple[Array, Slots]]:
        return _no_step


def _no_step(g: Array, theta: Array, slots: Slots, numbers: tuple[Number, ...]) -> tuple[Array, Slots]:
    return theta - theta, slots
