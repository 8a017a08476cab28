"""The compiled engine: whole epochs in one call, by Numba.

    formulas.py   a formula written for arrays, compiled for one number
    kernels.py    passes over contiguous arrays that apply formulas
    program.py    a network as tables
    epoch.py      the loop that reads the tables, calls BLAS for products and kernels for the rest

The loop is compiled once for each dtype and serves every network; a kernel once for each formula and dtype. Single
evaluations (`forward`, `backward`, `jacobian`) are the reference engine's.
"""

from __future__ import annotations

import ctypes
from time import perf_counter
from typing import Any

import numpy as np
from numba.core.errors import NumbaError
from numba.extending import get_cython_function_address

from glassnet.activations import get, softmax
from glassnet.arrays import Array
from glassnet.engines import kernels, layer_kernels, program
from glassnet.engines import tables as t
from glassnet.engines.contract import Fused, Job
from glassnet.engines.epoch import loop
from glassnet.engines.formulas import Unlike
from glassnet.engines.notices import say_once
from glassnet.engines.reference import ReferenceEngine
from glassnet.engines.threads import cores, run_team, single_threaded_blas
from glassnet.layers import BatchNorm, Dense, Dropout, LayerNorm

__all__ = ["CompiledEngine", "FusedLoop"]

TINY = 2000
"""Products of at most so many multiplications are plain loops: a call of BLAS costs as much (benchmarks/README.md)."""
SECONDS_A_CALL = 0.1
"""After about so long the loop returns to Python, where Ctrl-C is heard."""
IDENTITY = get("identity")
NORMS = {
    Dropout: ("drop", ""),
    BatchNorm: ("batch_norm", "batch_norm_back"),
    LayerNorm: ("layer_norm", "layer_norm_back"),
}
assert layer_kernels  # its kernels have entered the table


class CompiledEngine:
    """Whole epochs in compiled code; all else by the reference engine."""

    name = "numba"

    def __init__(self) -> None:
        reference = ReferenceEngine()
        self.forward, self.backward, self.jacobian = reference.forward, reference.backward, reference.jacobian

    def fuse(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> Fused | None:
        """Return the loop, or None (and one line of information) where it cannot be compiled."""
        try:
            return FusedLoop(job, theta, state, slots)
        except (NumbaError, Unlike) as error:
            reason = str(error).strip().splitlines()[0]
            say_once(f"This run uses the reference engine: a function of it cannot be compiled ({reason})")
            return None


class FusedLoop:
    """The memory and the tables of one run, and where it stands."""

    def __init__(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> None:
        self.job = job
        self.dtype: type[np.floating[Any]] = theta.dtype.type
        self.theta = np.array(theta)
        self.state = np.array(state, theta.dtype)
        self.average = self.theta.copy() if job.average is not None else self.theta
        clip = getattr(job.rule, "max_norm", None)
        self.rule = job.rule if clip is None else job.rule.rule
        self.slots_ = np.array(slots, theta.dtype).reshape(len(slots), theta.size)
        batch = min(job.batch_size, job.rows)
        written = program.write(job.net, batch)
        self.layers, self.options = written.layers, written.options
        self.team = self._team()
        k = job.net.n_outputs
        extra = batch * k, batch, 4 * batch
        places = written.memory + np.concatenate([[0], np.cumsum([-(-n // 16) * 16 for n in extra])])
        self.memory = np.zeros(places[-1], self.dtype)
        self.memory[places[1] : places[1] + batch] = 1
        scratch = theta.size if clip is not None else self.team * written.largest_block
        self.scratch = np.empty(scratch, self.dtype)
        self.snapshots = np.stack([self.theta, self.theta])
        self.states = np.stack([self.state, self.state])
        self.order = np.arange(job.rows if not job.shuffle else len(job.X), dtype=np.int64)
        self.weights = np.ones(1, self.dtype) if job.weights is None else job.weights.astype(self.dtype)
        self.partials = np.zeros((2, written.blocks))
        self.sync = np.zeros(32, np.int64)
        self.place = np.zeros(t.PLACE_LENGTH, np.int64)
        self.facts = np.zeros(t.FACT_LENGTH)
        self.facts[[t.L1, t.L2, t.BLOW_UP, t.FIRST_LOSS]] = job.l1, job.l2, job.blow_up, np.nan
        self.facts[t.CLIP_NORM] = clip or 0.0
        self.facts[t.KEEP] = job.average or 0.0
        self.plan = np.zeros(t.PLAN_LENGTH, np.int64)
        self._plan_sizes(written, places, clip)
        self._plan_kernels()
        self.run = loop(self.dtype)
        self.results = np.zeros((1, 3))
        self.trouble: tuple[str, int, float] | None = None
        self.pace = 0.0

    # ---- the plan -------------------------------------------------------------------------------------------------

    def _team(self) -> int:
        """As many threads as the largest product has pieces, at most."""
        pieces = int(self.layers[:, [t.PIECES, t.BACK_PIECES]].max())
        return min(pieces, self.job.n_threads or cores())

    def _plan_sizes(self, written: program.Program, places: Array, clip: float | None) -> None:
        job, plan = self.job, self.plan
        plan[[t.LAYERS, t.M_ROWS, t.ROWS_OF_DATA]] = len(self.layers), job.rows, len(job.X)
        plan[[t.BATCH_SIZE, t.TINY]] = min(job.batch_size, job.rows), TINY
        plan[[t.DELTA_1, t.DELTA_2]] = written.deltas
        plan[[t.TARGETS, t.WEIGHTS, t.ROW_WORK]] = places[:3]
        plan[[t.BLOCKS, t.LARGEST_BLOCK]] = written.blocks, written.largest_block
        plan[[t.WEIGHTED, t.AVERAGED, t.SHUFFLE]] = job.weights is not None, job.average is not None, job.shuffle
        plan[t.SLOT_STRIDE] = self.theta.size
        plan[t.CLIP] = clip is not None
        penalised = bool(job.l1 or job.l2)
        plain = not len(self.slots_) and type(self.rule).__name__ == "SGD"
        plan[t.DIRECT] = plain and not penalised and clip is None
        self.X, plan[[t.X, t.X_ROW, t.X_COLUMN]] = _strided(job.X)
        self.Y, plan[[t.Y, t.Y_ROW, t.Y_COLUMN]] = _strided(job.Y)
        for name, place in (("order", t.ORDER_STATE), ("noise", t.NOISE_STATE)):
            plan[place] = getattr(job, name).bit_generator.ctypes.state_address
        plan[t.NEXT_UINT32] = _address(job.order.bit_generator.ctypes.next_uint32)
        plan[t.NEXT_DOUBLE] = _address(job.noise.bit_generator.ctypes.next_double)
        plan[t.YIELD] = _sched_yield()

    def _plan_kernels(self) -> None:
        job, plan, T = self.job, self.plan, self.dtype
        for layer, row in zip(job.net.layers, self.layers, strict=True):
            if isinstance(layer, Dense):
                if row[t.OUT] != row[t.A]:
                    self._activate(layer, row)
            else:
                forward, back = NORMS[type(layer)]
                row[t.FORWARD] = kernels.address(forward, T)
                row[t.BACK] = kernels.address(back, T) if back else 0
        self._plan_output()
        plan[t.GEMM] = get_cython_function_address("scipy.linalg.cython_blas", "sgemm" if T is np.float32 else "dgemm")
        plan[t.MULTIPLY] = kernels.address("multiply", T)
        plan[t.GATHER_X] = kernels.address("gather", T, self.X.dtype.type.__name__)
        plan[t.GATHER_Y] = kernels.address("gather", T, self.Y.dtype.type.__name__)
        self.n_numbers = len(self.rule.numbers(1, 1.0))
        plan[t.STEP] = kernels.address("step", T, self.rule.formula, len(self.slots_), self.n_numbers)
        plan[t.SQUARES] = kernels.address("square_sum", T)
        if job.l1 or job.l2:
            plan[t.PENALISE] = kernels.address("penalise", T)
        if job.average is not None:
            plan[t.FOLLOW] = kernels.address("follow", T)

    def _activate(self, layer: Dense, row: Array) -> None:
        function = layer.function
        if function.elementwise:
            row[t.ACTIVATE] = kernels.address("activate", self.dtype, function.f, function.df)
        else:
            row[t.ACTIVATE], row[t.PULL] = self._softmax(function)

    def _softmax(self, function: Any) -> tuple[int, int]:
        if function.f is not softmax:
            raise Unlike(f"the row-wise activation {function.name!r} is your own.")
        rows = kernels.address("softmax", self.dtype, kernels.exp, kernels.larger)
        return rows, kernels.address("pull_softmax", self.dtype)

    def _plan_output(self) -> None:
        job, plan, T = self.job, self.plan, self.dtype
        function = job.net.layers[-1].function
        self.facts[t.FACTOR] = 1.0
        if job.matched is not None and job.matched.smoothing is not None:
            plan[t.OUTPUT_KIND] = t.TRANSPOSED
            self.facts[[t.SMOOTHING, t.FACTOR]] = job.matched.smoothing
            plan[t.OUTPUT] = kernels.address("cross_entropy", T, kernels.exp, kernels.log, kernels.larger)
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
        return None if np.isnan(self.facts[t.FIRST_LOSS]) else float(self.facts[t.FIRST_LOSS])

    def advance(self, epochs: int, rates: Any, steps: int) -> list[tuple[float, float, float]]:
        """Run up to `epochs` epochs, at least one, and for about a tenth of a second where more are asked for."""
        per_epoch = -(-self.job.rows // int(self.plan[t.BATCH_SIZE]))
        self.place[t.EPOCHS] = 0
        self.results = np.zeros((epochs, 3))
        begin = perf_counter()
        with single_threaded_blas():
            while self.trouble is None:
                done = int(self.place[t.EPOCHS])
                if done == epochs or (done > 0 and perf_counter() - begin > SECONDS_A_CALL):
                    break
                left = (epochs - done) * per_epoch - int(self.place[t.BATCH])
                self._call(min(left, self._batches(per_epoch)), rates, steps)
        return self.finished()

    def _batches(self, per_epoch: int) -> int:
        """How many batches take about SECONDS_A_CALL."""
        return max(1, int(SECONDS_A_CALL / self.pace)) if self.pace else 16

    def _call(self, count: int, rates: Any, steps: int) -> None:
        self.plan[t.CALLS] = count
        first = steps + self.updates
        numbers = self.rule.numbers(np.arange(first + 1, first + count + 1, dtype=np.float64), rates(first, count))
        moving = any(np.ndim(number) for number in numbers)
        self.plan[t.NUMBERS_STRIDE] = self.n_numbers if moving else 0
        rows = count if moving else 1
        table = np.stack([np.broadcast_to(np.asarray(number, self.dtype), rows) for number in numbers], axis=1)
        table = np.ascontiguousarray(table).ravel()
        self.plan[t.BEFORE] = self.updates
        arguments = (
            self.layers, self.plan, self.options, self.facts, self.place, self.theta, self.average, self.memory,
            self.slots_.ravel() if self.slots_.size else self.theta, self.scratch, self.state, self.states,
            self.snapshots, self.order, self.weights, table, self.partials, self.results,
            self.sync.ctypes.data,
        )  # fmt: skip
        begin = perf_counter()
        run_team(lambda me: self.run(*arguments, me, self.team), self.team)
        self.pace = (perf_counter() - begin) / max(1, self.updates - int(self.plan[t.BEFORE]))
        end = int(self.place[t.END])
        if end != t.GOING_ON:
            kind = {t.BAD_LOSS: "loss", t.BLOWN_UP: "blown up", t.BAD_THETA: "theta"}[end]
            self.trouble = kind, int(self.place[t.BATCH]) + 1, float(self.facts[t.LOSS])

    def finished(self) -> list[tuple[float, float, float]]:
        """Return (loss, gradient norm, penalty) of the epochs that the last call of `advance` has finished."""
        rows: list[tuple[float, float, float]] = [tuple(row) for row in self.results[: self.place[t.EPOCHS]].tolist()]
        return rows

    def snapshot(self, back: int = 0) -> tuple[Array, Array]:
        """Return copies of theta and state after the last epoch, or the one before it."""
        which = int(self.place[t.LATEST]) ^ back
        return self.snapshots[which].copy(), self.states[which].copy()

    def slots(self) -> tuple[Array, ...] | None:
        """Return the rule's slots; None in the middle of an epoch."""
        return None if self.place[t.BATCH] else tuple(slot.copy() for slot in self.slots_)

    def now(self) -> tuple[Array, Array]:
        """Return theta and state as they are."""
        return self.theta, self.state

    def last_batch(self) -> Array:
        """Return the rows of the last batch of the epoch."""
        batch = int(self.plan[t.BATCH_SIZE])
        start = int(self.place[t.BATCH]) * batch or (self.job.rows - 1) // batch * batch
        return self.order[start : min(start + batch, self.job.rows)]


def _strided(array: Array) -> tuple[Array, tuple[int, int, int]]:
    """Return the array, its address and its strides in places."""
    if any(stride % array.itemsize for stride in array.strides):
        array = np.ascontiguousarray(array)
    row, column = (stride // array.itemsize for stride in array.strides)
    return array, (array.ctypes.data, row, column)


def _address(function: Any) -> int:
    """The address of a C function."""
    return ctypes.cast(function, ctypes.c_void_p).value or 0


def _sched_yield() -> int:
    """The address of the C library's function that offers the core to others; 0 where there is none."""
    try:
        return _address(ctypes.CDLL(None).sched_yield)
    except (AttributeError, OSError, TypeError):
        return 0
