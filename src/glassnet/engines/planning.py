"""The memory of a run and its plan: which arrays there are, where they lie, and which kernels the loop calls."""

from __future__ import annotations

from typing import Any

import numpy as np

from glassnet.activations import get, softmax
from glassnet.arrays import Array
from glassnet.engines import kernels, layer_kernels, products, program, row_kernels, rows, sparse, tiles
from glassnet.engines import tables as t
from glassnet.engines.addresses import address_of, aligned, sched_yield, strided
from glassnet.engines.blas import gemm_address, large
from glassnet.engines.contract import Job
from glassnet.engines.formulas import Unlike
from glassnet.engines.micro import HALF_SPEED, VECTORS
from glassnet.engines.threads import allowed
from glassnet.layers import BatchNorm, Dense, Dropout, LayerNorm

__all__ = ["Planned"]

TINY = 2000
"""Products of at most so many multiplications are plain loops: a call of BLAS costs as much (benchmarks/README.md)."""
AHEAD = 1 << 16
"""Rows, at least, whose order is drawn at a time, where it is not drawn by the loop itself."""
SOME_ROWS = 256
"""Rows that are asked for zeros."""
IDENTITY = get("identity")
NORMS = {
    Dropout: ("drop", ""),
    BatchNorm: ("batch_norm", "batch_norm_back"),
    LayerNorm: ("layer_norm", "layer_norm_back"),
}
assert all((layer_kernels, products, row_kernels, rows, sparse, tiles))  # their kernels have entered the table


def _marked(X: Array) -> int:
    """Of 100 numbers, how many are other than 0, by a look at some of the rows."""
    some = X[:: -(-len(X) // SOME_ROWS)]
    return round(100 * np.count_nonzero(some) / some.size)


class Planned:
    """The memory and the tables of one run."""

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
        for l, (layer, row) in enumerate(zip(job.net.layers, self.layers, strict=True), 1):
            if isinstance(layer, Dense):
                if layer.function != IDENTITY and l < len(self.layers):
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
