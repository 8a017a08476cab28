"""The compiled engine: whole epochs in one call, by Numba.

    formulas.py   a formula written for arrays, compiled for one number
    kernels.py    passes over contiguous arrays that apply formulas
    program.py    a network as tables; planning.py the memory of a run and the addresses of all that the loop calls
    tiles.py      products from registers; sparse.py those that leave out zeros, zeros.py where they pay
    one_row.py    a batch of one row, with products of its own in row_kernels.py
    epoch.py      the loop that reads the tables and calls products, BLAS for the largest, and kernels for the rest

The loop is compiled once for each dtype and serves every network; a kernel once for each formula and dtype. Single
evaluations (`forward`, `backward`, `jacobian`) are the reference engine's.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import numpy as np
from numba.core.errors import NumbaError

from glassnet.arrays import Array
from glassnet.engines import program
from glassnet.engines import tables as t
from glassnet.engines.contract import Fused, Job, Standing
from glassnet.engines.epoch import loop
from glassnet.engines.formulas import Unlike, first_line
from glassnet.engines.notices import say_once
from glassnet.engines.pace import SECONDS_A_CALL, Pace
from glassnet.engines.planning import Planned
from glassnet.engines.reference import ReferenceEngine
from glassnet.engines.threads import a_run, run_team, share

__all__ = ["CompiledEngine", "FusedLoop"]

MOST_SLOTS = 3
"""Vectors that a rule may remember."""
LONGEST = 1 << 32
"""Multiplications, about, of one call that only adds gradients up: a tenth of a second."""
MOST_EPOCHS = 100_000
"""Epochs for whose results memory is taken at a time."""


class CompiledEngine:
    """Whole epochs in compiled code; all else by the reference engine."""

    name = "numba"

    def __init__(self) -> None:
        reference = ReferenceEngine()
        self.forward, self.backward, self.jacobian = reference.forward, reference.backward, reference.jacobian

    def expect(self, job: Job) -> str:
        """Return nothing: this engine was asked for by name."""
        return ""

    def fuse(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> Fused | None:
        """Return the loop, or None (and one line of information) where it cannot be compiled."""
        try:
            own = next((layer for layer in job.net.layers if type(layer) not in program.KINDS), None)
            if own is not None:
                raise Unlike(f"the layer {own!r} is your own")
            if theta.dtype not in (np.float32, np.float64):
                raise Unlike(f"theta is of dtype {theta.dtype}, which is neither float32 nor float64")
            if len(slots) > MOST_SLOTS or any(slot.shape != theta.shape for slot in slots):
                raise Unlike(f"the rule remembers more than {MOST_SLOTS} vectors like theta")
            _check_numbers(job.rule)
            return FusedLoop(job, theta, state, slots)
        except (NumbaError, Unlike) as error:
            say_once(f"This run uses the reference engine, it cannot be compiled: {first_line(error)}.")
            return None


def _check_numbers(rule: Any) -> None:
    """Raise `Unlike` where a rule of your own cannot give its numbers for many steps at once."""
    rule = getattr(rule, "rule", rule)
    try:
        rule.numbers(np.arange(1, 3), 1.0)
    except (ValueError, TypeError) as error:
        raise Unlike(f"{type(rule).__name__}.numbers takes one step at a time ({error})") from error


class FusedLoop(Planned):
    """One run, and where it stands."""

    def __init__(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> None:
        super().__init__(job, theta, state, slots)
        self.run = loop(theta.dtype)
        self.trouble: tuple[str, int, float] | None = None
        self.pace = Pace()

    @property
    def updates(self) -> int:
        """Steps taken in this run."""
        return int(self.place[t.UPDATES])

    @property
    def epochs(self) -> int:
        """Epochs finished in this run."""
        return int(self.place[t.ALL_EPOCHS])

    @property
    def first_loss(self) -> float | None:
        """The loss of the very first batch."""
        return float(self.facts[t.FIRST_LOSS]) if self.updates else None

    def advance(self, epochs: int, rates: Any, steps: int) -> Array:
        """Run up to `epochs` epochs, at least one, and for about a tenth of a second where more are asked for."""
        per_epoch = -(-self.job.rows // self.batch)
        self.place[t.EPOCHS] = 0
        epochs = min(epochs, MOST_EPOCHS)
        self.results = np.zeros((epochs, 3))
        begin = perf_counter()
        with a_run():
            while self.trouble is None:
                done = int(self.place[t.EPOCHS])
                if done == epochs or (done > 0 and perf_counter() - begin > SECONDS_A_CALL):
                    break
                ahead = self._draw(epochs - done)
                self._call(ahead * per_epoch - int(self.place[t.BATCH]), rates, steps)
        return self.finished()

    def _draw(self, most: int) -> int:
        """Draw the orders of the next epochs where none is left, at most so many; return how many may be run."""
        draw, rows = self.job.draw, self.job.rows
        if draw is None:
            return most
        ended = int(self.place[t.FROM]) // rows
        if ended == self.drawn:
            self.drawn, self.place[t.FROM], ended = min(most, len(self.order) // rows), 0, 0
            for epoch in range(self.drawn):
                self.order[epoch * rows : (epoch + 1) * rows] = draw()
        return self.drawn - ended

    def _call(self, most: int, rates: Any, steps: int) -> None:
        """Run some batches, at most so many."""
        before, plan = self.updates, self.plan
        # as many threads as other runs leave over: the result does not depend on them
        team, count = self.pace.plan(self.team if self.job.n_threads else min(self.team, share()))
        count = min(count, most)
        self._numbers(rates, steps + before, count)
        plan[t.CALLS], plan[t.BEFORE], plan[t.TEAM] = count, before, team
        plan[t.NUMBERS_AT], plan[t.RESULTS_AT] = self.numbers.ctypes.data, self.results.ctypes.data
        begin = perf_counter()
        ready = self._team_of(team)
        self.pace.measured(team, self.updates - before, perf_counter() - ready, ready - begin)
        end = int(self.place[t.END])
        if end != t.GOING_ON:
            kind = {t.BAD_LOSS: "loss", t.BLOWN_UP: "blown up", t.BAD_THETA: "theta"}[end]
            self.trouble = kind, int(self.place[t.BATCH]) + 1, float(self.facts[t.LOSS])

    def _team_of(self, team: int) -> float:
        """Let so many threads run the loop; return when the last one began."""
        plan_at, one = self.plan.ctypes.data, 1.0
        began = [perf_counter()] * team
        if team == 1:
            self.run(one, plan_at, 0)
            return began[0]

        def work(me: int) -> None:
            began[me] = perf_counter()
            self.run(one, plan_at, me)

        run_team(work, team)
        return max(began)

    def sums(self, following: Sequence[FusedLoop]) -> list[tuple[float, Array]]:
        """Return J and dJ/dtheta (P,) at theta as it is now; and those of the loops that follow."""
        loops = [self, *following]
        in_one_call = 3 * self.theta.size * sum(one.job.rows for one in loops) <= LONGEST
        for one, after in zip(loops, [*following, None], strict=True):
            one._begin_sums(after.plan.ctypes.data if in_one_call and after is not None else 0)
        for one in loops[:1] if in_one_call else loops:
            one._run_sums(in_one_call)
        return [one._ended_sums() for one in loops]

    def _run_sums(self, in_one_call: bool) -> None:
        """Go over all rows, and where that takes long, back to Python in between, where Ctrl-C is heard."""
        batches = -(-self.job.rows // self.batch)
        some = batches if in_one_call else max(1, LONGEST // (3 * self.theta.size * self.batch))
        while (done := int(self.place[t.BATCH])) < batches and self.place[t.END] == t.GOING_ON:
            self.plan[t.CALLS] = min(some, batches - done)
            self.run(1.0, self.plan.ctypes.data, 0)

    def _begin_sums(self, next_at: int) -> None:
        plan, batches = self.plan, -(-self.job.rows // self.batch)
        if plan[t.ENDLESS] == 0:
            plan[[t.ENDLESS, t.TEAM]] = 1, 1
            self._numbers(lambda first, count: 0.0, 0, batches)
            plan[t.NUMBERS_AT] = self.numbers.ctypes.data
        plan[[t.NEXT_AT, t.CALLS]] = next_at, batches
        self.place[:] = 0
        self.facts[t.TOTAL] = 0.0
        self.slots_[:] = 0.0

    def _ended_sums(self) -> tuple[float, Array]:
        ended = self.place[t.END] == t.GOING_ON
        J = self.facts[t.TOTAL] / self.rule.total if ended else self.facts[t.LOSS]
        return float(J), self.slots_[0]

    def _numbers(self, rates: Any, first: int, count: int) -> None:
        """The rule's numbers for steps first ... first + count - 1, counted from 0; one row where none changes."""
        numbers = self.rule.numbers(np.arange(first + 1, first + count + 1), rates(first, count))
        moving = any(isinstance(number, np.ndarray) and number.ndim for number in numbers)
        self.numbers = np.empty((count if moving else 1, len(numbers)), self.dtype)
        with np.errstate(over="ignore"):  # a rate beyond the dtype makes an infinite step, which ends the run
            for column, number in enumerate(numbers):
                self.numbers[:, column] = number
        self.plan[t.NUMBERS_STRIDE] = len(numbers) if moving else 0

    def finished(self) -> Array:
        """Return (loss, gradient norm, penalty) of the epochs that the last call of `advance` has finished."""
        return self.results[: self.place[t.EPOCHS]].copy()

    def snapshot(self, back: int = 0) -> tuple[Array, Array]:
        """Return copies of theta and state after the last epoch, or the one before it; those of the start stand in."""
        theta, state = self._kept(back)
        return theta.copy(), state.copy()

    def result(self, back: int = 0) -> tuple[Array, Array]:
        """Return the same without a copy more: the run has ended, and its theta becomes the result."""
        self.theta[:], self.state[:] = self._kept(back)
        return self.theta, self.state

    def _kept(self, back: int) -> tuple[Array, Array]:
        which = int(self.place[t.LATEST]) ^ (back if self.epochs else 0)  # before the first epoch there is one only
        return self.snapshots[which], self.states[which]

    def slots(self) -> tuple[Array, ...] | None:
        """Return the rule's slots; None in the middle of an epoch."""
        return None if self.place[t.BATCH] else tuple(slot.copy() for slot in self.slots_)

    def now(self) -> tuple[Array, Array]:
        """Return theta and state as they are."""
        return self.theta, self.state

    def last_batch(self) -> Array:
        """Return the rows of the last batch of the epoch."""
        rows, start = self.job.rows, int(self.place[t.BATCH]) * self.batch
        begin = int(self.place[t.FROM])  # of the epoch that goes on, else behind the one that has ended
        if start == 0:
            start, begin = (rows - 1) // self.batch * self.batch, max(0, begin - int(self.plan[t.ORDER_ROWS]))
        return self.order[begin + start : begin + min(start + self.batch, rows)]

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""
        average = None if self.job.average is None else self.average.copy()
        return Standing(
            self.theta.copy(), self.state.copy(), tuple(slot.copy() for slot in self.slots_), average,
            self.snapshot(1), self.last_batch().copy(), float(self.facts[t.FIRST_LOSS]), self.updates, self.epochs,
        )  # fmt: skip

    def stand(self, standing: Standing) -> None:
        """Go on from there; theta, state and slots have been given to `fuse`."""
        if standing.average is not None:
            self.average[:] = standing.average
        self.place[t.LATEST] = 0
        self.snapshots[:], self.states[:] = (self.average, standing.before[0]), (self.state, standing.before[1])
        self.place[[t.UPDATES, t.ALL_EPOCHS]] = standing.updates, standing.epochs
        self.facts[t.FIRST_LOSS] = standing.first_loss
        start = (self.job.rows - 1) // self.batch * self.batch
        self.order[start : start + len(standing.last_rows)] = standing.last_rows

    def feed(self, job: Job) -> bool:
        """Go on with these rows, unless a batch of them or numbers of their dtypes need another memory or kernel."""
        dtypes = (job.X.dtype, job.Y.dtype) == (self.X.dtype, self.Y.dtype)
        if min(job.batch_size, job.rows) > self.batch or not dtypes:
            return False
        self.job = job
        self.drawn, self.place[t.FROM], self.order = 0, 0, self._unordered()
        self._plan_data()
        for place, array in ((t.ORDER_AT, self.order), (t.SAMPLE_WEIGHTS_AT, self.weights)):
            self.plan[place] = array.ctypes.data
        return True
