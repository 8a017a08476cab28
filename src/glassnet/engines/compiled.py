"""The compiled engine: whole epochs in one call, by Numba.

    formulas.py   a formula written for arrays, compiled for one number
    kernels.py    passes over contiguous arrays that apply formulas
    program.py    a network as tables
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

from glassnet.activations import get, softmax
from glassnet.arrays import Array
from glassnet.engines import kernels, layer_kernels, products, program, row_kernels, rows, sparse, tiles
from glassnet.engines import tables as t
from glassnet.engines.addresses import address_of, aligned, sched_yield, strided
from glassnet.engines.blas import gemm_address, large
from glassnet.engines.contract import Fused, Job, Standing
from glassnet.engines.epoch import loop
from glassnet.engines.formulas import Unlike, first_line
from glassnet.engines.micro import HALF_SPEED, VECTORS
from glassnet.engines.notices import say_once
from glassnet.engines.pace import SECONDS_A_CALL, Pace
from glassnet.engines.reference import ReferenceEngine
from glassnet.engines.threads import a_run, allowed, run_team, share
from glassnet.layers import BatchNorm, Dense, Dropout, LayerNorm

__all__ = ["CompiledEngine", "FusedLoop"]

TINY = 2000
"""Products of at most so many multiplications are plain loops: a call of BLAS costs as much (benchmarks/README.md)."""
MOST_SLOTS = 3
"""Vectors that a rule may remember."""
AHEAD = 1 << 16
"""Rows, at least, whose order is drawn at a time, where it is not drawn by the loop itself."""
SOME_ROWS = 256
"""Rows that are asked for zeros."""
MOST_EPOCHS = 100_000
"""Epochs for whose results memory is taken at a time."""
IDENTITY = get("identity")
NORMS = {
    Dropout: ("drop", ""),
    BatchNorm: ("batch_norm", "batch_norm_back"),
    LayerNorm: ("layer_norm", "layer_norm_back"),
}
assert all((layer_kernels, products, row_kernels, rows, sparse, tiles))  # their kernels have entered the table


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


def _marked(X: Array) -> int:
    """Of 100 numbers, how many are other than 0, by a look at some of the rows."""
    some = X[:: -(-len(X) // SOME_ROWS)]
    return round(100 * np.count_nonzero(some) / some.size)


def _check_numbers(rule: Any) -> None:
    """Raise `Unlike` where a rule of your own cannot give its numbers for many steps at once."""
    rule = getattr(rule, "rule", rule)
    try:
        rule.numbers(np.arange(1, 3), 1.0)
    except (ValueError, TypeError) as error:
        raise Unlike(f"{type(rule).__name__}.numbers takes one step at a time ({error})") from error


class FusedLoop:
    """The memory and the tables of one run, and where it stands."""

    def __init__(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> None:
        self.job, self.dtype = job, theta.dtype
        clip = getattr(job.rule, "max_norm", None)
        self.rule = job.rule if clip is None else job.rule.rule
        self.batch = min(job.batch_size, job.rows)
        lanes = VECTORS // self.dtype.itemsize
        written = program.write(
            job.net, self.batch, lanes=lanes, marked=_marked(job.X) if lanes else 100, half_speed=HALF_SPEED
        )
        self.layers, self.options = written.layers, written.options
        self.team = min(written.pieces, job.n_threads or allowed())
        self._allocate(written, theta, state, slots, clip is not None)
        self.facts[[t.L1, t.L2, t.BLOW_UP]] = job.l1, job.l2, job.blow_up
        self.facts[[t.CLIP_NORM, t.KEEP, t.FACTOR]] = clip or 0.0, job.average or 0.0, 1.0
        self._plan_numbers(written, clip is not None)
        self._plan_kernels()
        self._plan_addresses()
        self.run = loop(theta.dtype)
        self.trouble: tuple[str, int, float] | None = None
        self.pace = Pace()

    # ---- the plan -------------------------------------------------------------------------------------------------

    def _allocate(
        self, written: program.Program, theta: Array, state: Array, slots: tuple[Array, ...], clipped: bool
    ) -> None:
        job, T = self.job, self.dtype
        self.theta, self.state = np.ascontiguousarray(theta), np.ascontiguousarray(state, T)  # the run's own
        self.average = self.theta.copy() if job.average is not None else self.theta
        self.slots_ = np.array(slots, T).reshape(len(slots), theta.size)
        self.snapshots, self.states = np.empty((2, theta.size), T), np.empty((2, state.size), T)
        self.snapshots[0], self.states[0] = self.theta, self.state  # the other takes no memory before it is written
        self.memory = aligned(written.memory, T)
        self.memory[written.weights : written.row_work] = 1
        self.scratch = aligned(theta.size if clipped else self.team * written.largest_block, T)
        self.drawn, self.order = 0, self._unordered()
        self.bits = np.zeros(written.bits, np.int64)
        self.partials = aligned((written.blocks, t.NUMBERS_A_LINE), np.float64)
        self.sync = aligned(16, np.int64)
        self.place = aligned(t.PLACE_LENGTH, np.int64)
        self.facts = aligned(t.FACT_LENGTH, np.float64)
        self.plan = np.zeros(t.PLAN_LENGTH, np.int64)
        self.numbers, self.results = np.zeros(1, T), np.zeros((1, 3))

    def _unordered(self) -> Array:
        """Rows as they lie; as many times as epochs are drawn ahead at most."""
        job = self.job
        rows = np.arange(len(job.X) if job.shuffle else job.rows, dtype=np.int64)
        return rows if job.draw is None else np.tile(rows, max(1, min(job.epochs, AHEAD // job.rows)))

    def _plan_numbers(self, written: program.Program, clipped: bool) -> None:
        job, plan = self.job, self.plan
        plan[[t.LAYERS, t.TEAM, t.P, t.Q]] = len(self.layers), self.team, self.theta.size, self.state.size
        plan[t.BATCH_SIZE] = self.batch
        plan[[t.BLOCKS, t.LARGEST_BLOCK, t.TINY]] = written.blocks, written.largest_block, TINY
        plan[[t.PARTS, t.SPARE, t.TARGETS]] = written.parts, written.spare, written.targets
        plan[[t.WEIGHTS, t.ROW_WORK]] = written.weights, written.row_work
        plan[[t.AVERAGED, t.ONE_ROW]] = job.average is not None, written.row_by_row
        plain = getattr(self.rule, "is_plain", False) and not (job.l1 or job.l2 or clipped)
        plan[[t.CLIP, t.DIRECT]] = clipped, plain
        self._plan_data()
        order, noise = job.order.bit_generator.ctypes, job.noise.bit_generator.ctypes
        plan[[t.ORDER_STATE, t.NEXT_UINT32]] = order.state_address, address_of(order.next_uint32)
        plan[[t.NOISE_STATE, t.NEXT_DOUBLE]] = noise.state_address, address_of(noise.next_double)
        plan[t.YIELD] = sched_yield()

    def _plan_data(self) -> None:
        """How many rows there are, and where; theirs is the memory, which this record keeps alive."""
        job, plan = self.job, self.plan
        plan[[t.M_ROWS, t.ROWS_OF_DATA]] = job.rows, len(job.X)
        plan[t.ORDER_ROWS] = 0 if job.draw is None else job.rows
        plan[[t.WEIGHTED, t.SHUFFLE]] = job.weights is not None, job.shuffle
        self.X, plan[[t.X_AT, t.X_ROW, t.X_COLUMN]] = strided(job.X)
        self.Y, plan[[t.Y_AT, t.Y_ROW, t.Y_COLUMN]] = strided(job.Y)
        plan[t.X_IN_PLACE] = self.X.dtype == self.dtype and plan[t.X_COLUMN] == 1
        plan[t.Y_IN_PLACE] = self.Y.dtype == self.dtype and plan[t.Y_COLUMN] == 1
        plan[t.GATHER_X] = self._gather(self.X, bool(plan[t.X_IN_PLACE]))
        plan[t.GATHER_Y] = self._gather(self.Y, bool(plan[t.Y_IN_PLACE]))
        self.weights = np.ones(1, self.dtype) if job.weights is None else job.weights.astype(self.dtype)

    def _plan_addresses(self) -> None:
        """Where the arrays are, which this record keeps alive."""
        for place, array in (
            (t.LAYERS_AT, self.layers), (t.OPTIONS_AT, self.options), (t.FACTS_AT, self.facts),
            (t.PLACE_AT, self.place), (t.SYNC_AT, self.sync), (t.THETA_AT, self.theta), (t.AVERAGE_AT, self.average),
            (t.SLOTS_AT, self.slots_), (t.STATE_AT, self.state), (t.SNAPSHOTS_AT, self.snapshots),
            (t.STATES_AT, self.states), (t.MEMORY_AT, self.memory), (t.BITS_AT, self.bits),
            (t.SCRATCH_AT, self.scratch), (t.PARTIALS_AT, self.partials), (t.RESULTS_AT, self.results),
            (t.NUMBERS_AT, self.numbers), (t.ORDER_AT, self.order), (t.SAMPLE_WEIGHTS_AT, self.weights),
        ):  # fmt: skip
            self.plan[place] = array.ctypes.data

    def _plan_kernels(self) -> None:
        job, plan, T = self.job, self.plan, self.dtype.type
        plan[t.MULTIPLY] = kernels.address("multiply", T)
        for layer, row in zip(job.net.layers, self.layers, strict=True):
            if isinstance(layer, Dense):
                if layer.function != IDENTITY and layer is not job.net.layers[-1]:
                    self._activate(layer, row)
            else:
                forward, back = NORMS[type(layer)]
                row[t.FORWARD] = kernels.address(forward, T)
                row[t.BACK] = kernels.address(back, T) if back else 0
        self._plan_output()
        plan[[t.GEMM, t.LARGE]] = gemm_address(self.dtype), large()
        plan[t.TILES], plan[t.FORWARD_PRODUCT] = kernels.address("tiles", T), kernels.address("forward", T)
        plan[t.BACK_PRODUCT], plan[t.GRADIENT_PRODUCT] = kernels.address("back", T), kernels.address("gradient", T)
        if self.bits.size:
            plan[[t.MARKS, t.PICKS]] = kernels.address("marks", T), kernels.address("picks", T)
            plan[[t.BACK_PICKS, t.SPREADS]] = kernels.address("back_picks", T), kernels.address("spreads", T)
        if plan[t.ONE_ROW]:
            for place, name in ((t.ROW_FORWARD, "row_forward"), (t.ROW_BACK, "row_back"), (t.ROW_ADD, "row_add")):
                plan[place] = kernels.address(name, T)
        n_numbers = len(self.rule.numbers(1, 1.0))
        plan[t.STEP] = kernels.address("step", T, self.rule.formula, len(self.slots_), n_numbers)
        plan[t.SQUARES] = kernels.address("square_sum", T)
        if job.l1 or job.l2:
            plan[t.PENALISE] = kernels.address("penalise", T)
        if job.average is not None:
            plan[t.FOLLOW] = kernels.address("follow", T)

    def _gather(self, rows: Array, by_vectors: bool) -> int:
        """The address of the kernel that copies some rows of these."""
        if VECTORS and by_vectors:
            return kernels.address("gather_rows", self.dtype.type)
        return kernels.address("gather", self.dtype.type, rows.dtype.type.__name__)

    def _activate(self, layer: Dense, row: Array) -> None:
        function, T = layer.function, self.dtype.type
        if function.elementwise and row[t.Z] == row[t.A]:
            row[t.ACTIVATE] = kernels.address("value", T, function.f)
            row[t.SLOPE] = kernels.address("slope", T, function.df)
        elif function.elementwise:
            row[t.ACTIVATE] = kernels.address("activate", T, function.f, function.df)
            row[t.SLOPE] = self.plan[t.MULTIPLY]
        else:
            row[t.ACTIVATE], row[t.PULL] = self._softmax(function)

    def _softmax(self, function: Any) -> tuple[int, int]:
        if function.f is not softmax:
            raise Unlike(f"the row-wise activation {function.name!r} is your own")
        rows = kernels.address("softmax", self.dtype.type, kernels.exp, kernels.larger)
        return rows, kernels.address("pull_softmax", self.dtype.type)

    def _plan_output(self) -> None:
        job, plan, T = self.job, self.plan, self.dtype.type
        function = job.net.layers[-1].function
        if job.matched is not None and job.matched.smoothing is not None:
            plan[t.OUTPUT_KIND] = t.TRANSPOSED
            self.facts[[t.SMOOTHING, t.FACTOR]] = job.matched.smoothing
            name = "row_cross_entropy" if plan[t.ONE_ROW] else "cross_entropy"
            plan[t.OUTPUT] = kernels.address(name, T, kernels.exp, kernels.log, kernels.larger)
        elif job.matched is not None:
            plan[t.OUTPUT] = kernels.address("matched_output", T, function.f, job.matched.value, job.matched.delta)
        else:
            if not function.elementwise:
                plan[t.OUTPUT_KIND] = t.ROWWISE
                plan[t.SOFTMAX], self.layers[-1, t.PULL] = self._softmax(function)
                function = IDENTITY
            plan[t.OUTPUT] = kernels.address("output", T, function.f, function.df, job.loss.value, job.loss.slope)

    # ---- running --------------------------------------------------------------------------------------------------

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
        for one, after in zip(loops, [*following, None], strict=True):
            one._begin_sums(0 if after is None else after.plan.ctypes.data)
        self.run(1.0, self.plan.ctypes.data, 0)
        return [one._ended_sums() for one in loops]

    def _begin_sums(self, next_at: int) -> None:
        plan, batches = self.plan, -(-self.job.rows // self.batch)
        if plan[t.ENDLESS] == 0:
            plan[[t.ENDLESS, t.CALLS, t.TEAM]] = 1, batches, 1
            self._numbers(lambda first, count: 0.0, 0, batches)
            plan[t.NUMBERS_AT] = self.numbers.ctypes.data
        plan[t.NEXT_AT] = next_at
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
