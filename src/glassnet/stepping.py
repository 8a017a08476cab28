"""One epoch: the inner loop of training, in NumPy or in an engine's own compiled loop.

    for each batch (X, Y):
        g = dJ/dtheta on the batch               Objective.evaluate
        step = rule.step(g)                      optimizers.py: -rate g for plain descent
        theta = theta + step

`PlainLoop` is these lines; `FusedLoop` hands them to an engine that runs whole epochs at once. Both give the same
numbers, draw the same order of rows from the same generator, and stop at the first loss that is not finite.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Protocol

import numpy as np

from glassnet.arrays import Array
from glassnet.divergence import BLOW_UP, blown_up, blown_up_on, broken_layer, not_finite
from glassnet.engines import Fused, Job, Standing, fusing, say_once
from glassnet.layers import Mode
from glassnet.objective import Objective
from glassnet.rules import Rule, RuleState
from glassnet.sampling import Batches, Rows, is_shuffle, keeps_order
from glassnet.schedules import Constant, Schedule

__all__ = ["Data", "EpochLoop", "LastEpochs", "Setting", "Start", "begin"]

Data = tuple[Array, Array, Array | None]


@dataclass(frozen=True)
class Setting:
    """What stays the same during a run."""

    objective: Objective
    rule: Rule
    schedule: Schedule
    data: Data
    batches: Batches
    order: np.random.Generator
    noise: np.random.Generator
    epochs: int
    average: float | None
    n_threads: int | None = None
    alongside: int = 1

    @property
    def mode(self) -> Mode:
        """Training, with this run's noise."""
        return Mode(True, self.noise)


@dataclass(frozen=True)
class Start:
    """Where a run begins: copies that the run may move."""

    theta: Array
    state: Array
    rule_state: RuleState
    standing: Standing | None = None
    """Where a run that is resumed stood; `rule_state` has the slots of then, and the steps before that run began."""
    rate_factor: float = 1.0


class EpochLoop(Protocol):
    """What the outer loop asks of either."""

    rate_factor: float

    engine: str
    """The name of the engine that runs the epochs."""
    estimate: str
    """What the engines were expected to take, where that has decided."""

    @property
    def updates(self) -> int:
        """Steps taken so far, those of an earlier run included."""

    @property
    def epochs(self) -> int:
        """Epochs finished in this run."""

    def advance(self, epochs: int) -> Array:
        """Run at least one epoch and at most `epochs`.

        Returns (n, 3) of those that were finished: loss, norm of the last batch's gradient, penalty after the epoch.
        """

    def finished(self) -> Array:
        """Return what `advance` had finished when it was interrupted."""

    def trouble(self) -> str | None:
        """Say why the loss is not finite or has blown up, if so."""

    def kept(self, back: int = 0) -> tuple[Array, Array]:
        """Return theta and state after the last good epoch; with back=1 after the one before it."""

    def result(self, back: int = 0) -> tuple[Array, Array]:
        """Return the same when the run has ended and the loop will not go on; it may give its own memory away."""

    def rule_state(self) -> RuleState | None:
        """Return what the rule remembered when it had the theta of `kept()`."""

    def last_look(self) -> str | None:
        """Test the loss after the very last step, which no batch has seen: that of the last batch, once more."""

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""

    def feed(self, setting: Setting, before: int) -> bool:
        """Go on with the rows of `setting`, which is the same but for them; False where they need another loop.

        Called between epochs: what follows is an epoch over these rows, whose batches are counted from `before`.
        """


def begin(setting: Setting, start: Start) -> EpochLoop:
    """Return the engine's own loop where it has one that can run this, else the plain one."""
    engine = fusing(setting.objective.run_on)
    if engine is None:
        return PlainLoop(setting, start)
    if not hasattr(getattr(setting.rule, "rule", setting.rule), "formula"):
        name = type(setting.rule).__name__
        say_once(f"This run uses the reference engine: the rule {name} states no element-wise formula.")
        return PlainLoop(setting, start)
    job = _job(setting)
    estimate = engine.expect(job)
    fused = engine.fuse(job, start.theta, start.state, start.rule_state.slots)
    if fused is None:
        return PlainLoop(setting, start, estimate)
    if start.standing is not None:
        fused.stand(start.standing)
    return FusedLoop(setting, start, fused, estimate, start.rate_factor)


def _job(setting: Setting) -> Job:
    """Return the run in the engine's terms."""
    objective, batches = setting.objective, setting.batches
    X, Y, weights = setting.data
    ordered = keeps_order(batches)
    shuffled = is_shuffle(batches) and not ordered
    draw = None if ordered or shuffled else lambda: batches.drawn(setting.order)
    return Job(
        objective.net, objective.loss_record, objective.matched, objective.l1, objective.l2, setting.rule,
        X, Y, weights, batches.size, setting.epochs, batches.rows, shuffled, draw,
        setting.order, setting.noise, setting.average, BLOW_UP, setting.n_threads, setting.alongside,
    )  # fmt: skip


class LastEpochs:
    """What a loop keeps of its last two epochs: `just` its numbers, `why` it broke off, `history` what it then had."""

    just: Array
    why: str | None
    history: list[tuple[Array, Array, Any]]

    def finished(self) -> Array:
        """Return the last epoch."""
        return self.just

    def trouble(self) -> str | None:
        """Say why the loss is not finite or has blown up, if so."""
        return self.why

    def kept(self, back: int = 0) -> tuple[Array, Array]:
        """Return theta and state after the last good epoch, or the one before it."""
        return self.history[1 - back][:2]

    result = kept

    def rule_state(self) -> RuleState | None:
        """Return what the rule remembered then."""
        state: RuleState | None = self.history[1][2]
        return state


# ---- the plain loop -----------------------------------------------------------------------------------------------


@dataclass
class PlainLoop(LastEpochs):
    """The equations line by line, in NumPy."""

    setting: Setting
    start: Start
    estimate: str = ""
    first_loss: float | None = None
    why: str | None = None
    last: Rows | None = None
    engine: str = "numpy"
    epochs: int = 0
    before: int = 0
    just: Array = field(default_factory=lambda: np.empty((0, 3)))

    def __post_init__(self) -> None:
        self.theta, self.state, self.memory = self.start.theta, self.start.state, self.start.rule_state
        self.work = self.setting.objective.net.work(self.theta)
        self.averaged = None if self.setting.average is None else self.theta.copy()
        self.rate_factor = self.start.rate_factor
        self.history = [self._snapshot()] * 2
        if (standing := self.start.standing) is not None:
            self._stand(standing)

    def _stand(self, standing: Standing) -> None:
        self.memory = self.memory._replace(t=self.memory.t + standing.updates)
        self.averaged = None if standing.average is None else standing.average.copy()
        self.first_loss, self.last, self.epochs = standing.first_loss, standing.last_rows, standing.epochs
        self.history = [(*standing.before, self.memory), self._snapshot()]

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""
        average = None if self.averaged is None else self.averaged.copy()
        slots = tuple(np.array(slot) for slot in self.memory.slots)
        rows = np.arange(len(self.setting.data[0]), dtype=np.int64)[slice(0) if self.last is None else self.last]
        first_loss = float("nan") if self.first_loss is None else self.first_loss
        return Standing(
            self.theta.copy(), self.state.copy(), slots, average, self.history[0][:2], rows, first_loss,
            self.updates - self.start.rule_state.t, self.epochs,
        )  # fmt: skip

    def feed(self, setting: Setting, before: int) -> bool:
        """Go on with these rows."""
        self.setting, self.before = setting, before
        return True

    @property
    def updates(self) -> int:
        """Steps taken so far."""
        return self.memory.t

    def advance(self, epochs: int) -> Array:
        """Run one epoch."""
        self.just = np.empty((0, 3))
        # overflow is watched, not silenced: every batch's loss is tested, and a non-finite one ends the run
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            epoch = self._epoch(self.setting.batches.epoch(self.setting.order))
        if epoch is not None:
            self.history = [self.history[1], self._snapshot()]
            self.just = np.array([epoch])
            self.epochs += 1
        return self.just

    def _epoch(self, batches: Iterator[Rows]) -> tuple[float, float, float] | None:
        setting, average = self.setting, self.setting.average
        total, seen = 0.0, 0
        for number, rows in enumerate(batches, 1 + self.before):
            x, y, w = self._cut(rows)
            J, grad, trace = setting.objective.evaluate(self.theta, x, y, w, self.state, setting.mode, self.work)
            loss = float(J)
            if not isfinite(loss):
                self.why = f"the loss is {loss} in batch {number}{broken_layer(trace)}"
                return None
            if self.first_loss is None:
                self.first_loss = loss
            rate = setting.schedule(self.updates) * self.rate_factor
            step, self.memory = setting.rule.step(grad, self.memory, rate, self.theta)
            self.theta += step
            self.state = trace.state
            if self.averaged is not None and average is not None:
                keep = average if self.last is not None else 0.0  # the mean starts at the first theta it sees
                self.averaged += (1.0 - keep) * (self.theta - self.averaged)
            total, seen = total + loss * len(x), seen + len(x)
            self.last = rows
        self.why = blown_up(total / seen, self.first_loss)
        self.why = self.why or not_finite(self.theta, self.state)
        if self.why:
            return None
        kept = self.theta if self.averaged is None else self.averaged
        norm = float(np.sqrt(self.work.grad @ self.work.grad))
        return total / seen, norm, float(setting.objective.penalty(kept))

    def _cut(self, rows: Rows) -> Data:
        X, Y, weights = self.setting.data
        x, y = (X[rows], Y[rows]) if isinstance(rows, slice) else (X.take(rows, 0), Y.take(rows, 0))
        y = y.astype(self.theta.dtype, copy=False)
        return x, y, None if weights is None else weights[rows]

    def _snapshot(self) -> tuple[Array, Array, RuleState]:
        weights = self.theta if self.averaged is None else self.averaged
        return weights.copy(), self.state.copy(), self.memory

    def last_look(self) -> str | None:
        """Test the loss after the last step."""
        if self.last is None:
            return None
        objective, batch = self.setting.objective, self._cut(self.last)
        return blown_up_on(batch, objective, self.theta, self.state, self.setting.mode, self.first_loss)


# ---- an engine's own loop -----------------------------------------------------------------------------------------


@dataclass
class FusedLoop:
    """The same loop, run by an engine, many epochs at a time where nobody watches."""

    setting: Setting
    start: Start
    fused: Fused
    estimate: str = ""
    rate_factor: float = 1.0
    engine: str = "numba"
    before: int = 0

    @property
    def updates(self) -> int:
        """Steps taken so far."""
        return self.start.rule_state.t + self.fused.updates

    def advance(self, epochs: int) -> Array:
        """Run up to `epochs` epochs."""
        return self.fused.advance(epochs, self._rates, self.start.rule_state.t)

    @property
    def epochs(self) -> int:
        """Epochs finished in this run."""
        return self.fused.epochs

    def _rates(self, first: int, count: int) -> float | Array:
        schedule = self.setting.schedule
        if isinstance(schedule, Constant):
            return schedule.rate * self.rate_factor
        return np.array([schedule(t) for t in range(first, first + count)]) * self.rate_factor

    def finished(self) -> Array:
        """Return the epochs that an interrupted call has finished."""
        return self.fused.finished()

    def trouble(self) -> str | None:
        """Say why the loss is not finite or has blown up; the batch is run once more in NumPy to find the layer."""
        if self.fused.trouble is None:
            return None
        kind, number, value = self.fused.trouble
        if kind == "theta":
            return not_finite(*self.fused.now()) or "theta is not finite after the last batch"
        if kind == "blown up":
            return blown_up(value, self.fused.first_loss)
        theta, state = self.fused.now()
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            trace = self.setting.objective.run_on.forward(
                self.setting.objective.net, theta, self._rows()[0], state, self.setting.mode
            )
        return f"the loss is {value} in batch {number + self.before}{broken_layer(trace)}"

    def _rows(self) -> Data:
        rows = self.fused.last_batch()
        X, Y, weights = self.setting.data
        y = Y[rows].astype(self.start.theta.dtype, copy=False)
        return X[rows], y, None if weights is None else weights[rows]

    def kept(self, back: int = 0) -> tuple[Array, Array]:
        """Return theta and state after the last good epoch, or the one before it."""
        return self.fused.snapshot(back)

    def result(self, back: int = 0) -> tuple[Array, Array]:
        """Return the same in the memory of the run, which has ended."""
        return self.fused.result(back)

    def rule_state(self) -> RuleState | None:
        """Return what the rule remembered then; None where it has gone on since, in the middle of an epoch."""
        slots = self.fused.slots()
        return None if slots is None else RuleState(self.updates, slots, self.start.rule_state.rule)

    def last_look(self) -> str | None:
        """Test the loss after the last step."""
        if self.fused.first_loss is None:
            return None
        objective, mode = self.setting.objective, self.setting.mode
        return blown_up_on(self._rows(), objective, *self.fused.now(), mode, self.fused.first_loss)

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""
        return self.fused.standing()

    def feed(self, setting: Setting, before: int) -> bool:
        """Go on with these rows, where the engine can."""
        self.setting, self.before = setting, before
        return self.fused.feed(_job(setting))
