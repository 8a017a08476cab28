"""Training by mini-batches: the loop.

    for each epoch:
        for each batch (X, Y):
            g = dJ/dtheta on the batch               Objective.evaluate
            step = rule.step(g)                      optimizers.py: -rate g for plain descent
            theta = theta + step
        measure, record a row, ask the callbacks

`_Step.epoch` is the inner loop, `_run` the outer one; all that changes stands in one `_Position`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from time import perf_counter

import numpy as np
import numpy.typing as npt

from glassnet import optimizers
from glassnet.arrays import Array, Seed, check_count, read_only
from glassnet.callbacks import Request, Watcher, start_all
from glassnet.errors import choose, fault
from glassnet.history import COLUMNS, EpochRecord, History, Run
from glassnet.layers import BatchNorm, Mode
from glassnet.network import Network, Trace, Work
from glassnet.objective import Objective
from glassnet.optimizers import Rule, RuleState
from glassnet.sampling import SAMPLINGS, Batches, Rows, Sampling
from glassnet.schedules import Schedule, as_schedule

__all__ = ["Metric", "Sampling", "train"]

Metric = Callable[[Array, Array], float]
"""(outputs (m, k), targets (m, k)) -> a score."""
Data = tuple[Array, Array, Array | None]

SLOWER = "Try a learning rate ten times smaller."
BLOW_UP = 1e6
"""An epoch whose loss is this many times (1 + the loss of the very first batch) has diverged, finite or not."""


def train(
    objective: Objective,
    theta: Array,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    optimizer: str | Rule = "adam",
    epochs: int = 100,
    batch_size: int = 32,
    sample_weight: npt.ArrayLike | None = None,
    validation: Sequence[npt.ArrayLike] | None = None,
    metrics: Mapping[str, Metric] | None = None,
    callbacks: Sequence[object] = (),
    sampling: Sampling = "shuffle",
    drop_last: bool = False,
    average: float | None = None,
    state: Array | None = None,
    rule_state: RuleState | None = None,
    rng: Seed = 0,
    engine: str | None = None,
) -> Run:
    """Train by mini-batches from theta (P,) on X (m, d), Y (m, k); no array that is passed in is changed.

    optimizer      a rule such as `SGD(0.1, momentum=0.9)`, or a name ("adam")
    batch_size     rows a step; `m` or more gives full-batch descent
    sampling       "shuffle": every row once an epoch, in a new order each time; "sequential": in the given order;
                   "bootstrap": rows drawn with replacement; "batches": the rows are cut into fixed batches (a last one
                   that they do not fill is left out), and whole batches are drawn with replacement
    drop_last      leave out a last batch that is smaller than the others
    validation     (X, Y) or (X, Y, sample_weight) of held-out rows: gives "validation_loss" (the data term alone) and
                   "validation_<metric>"; without it, metrics are measured on the training rows
    average        decay (0.999, say) of a running mean of theta after each step, which is then measured and returned
    state          BatchNorm's running statistics (Q,) to start from
    rule_state     what the same rule remembers of an earlier run (`run.rule_state`), its count of steps included; the
                   order of the rows starts anew from `rng`
    rng            a seed, or a generator, from which two more are spawned: for the order of rows and for dropout
    engine         "auto", "numpy", ...; None takes the objective's

    Returns a `Run`. A loss that leaves the finite numbers ends it at once with status "diverged"; Ctrl-C ends it with
    status "stopped". Either way theta is the last good one (or the best one, with `EarlyStopping`).

    Raises GlassnetError for arguments that do not fit, before any work is done.

    >>> import numpy as np
    >>> from glassnet import SGD, Dense, Network
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> run = train(objective, np.zeros(2), X, 3 * X + 1, optimizer=SGD(0.5), epochs=50, batch_size=5)
    >>> run.status, run.theta.round(3)
    ('completed', array([3., 1.]))
    """
    objective = objective if engine is None else replace(objective, engine=engine)
    rule = optimizers.get(optimizer)
    X, Y, weights = objective.check(X, Y, sample_weight, stacks=False)
    if validation is not None and (not isinstance(validation, list | tuple) or len(validation) not in (2, 3)):
        raise fault("validation", "(X, Y) or (X, Y, sample_weight)", type(validation).__name__)
    for name, metric in (metrics or {}).items():
        if name in COLUMNS or not callable(metric):
            raise fault("each metric", "a function (outputs, targets) with a name of its own", f"{name!r}: {metric!r}")
    held_out = None if validation is None else objective.check(*validation, stacks=False)
    if average is not None and not 0 < average < 1:
        raise fault("average", "a decay between 0 and 1", average)
    draw = choose("sampling", sampling, SAMPLINGS)
    batches = Batches(len(X), check_count("batch_size", batch_size), draw, drop_last)
    _check_batch_norm(objective.net, batches)
    check_count("epochs", epochs)
    generator = np.random.default_rng(rng)
    order, noise = generator.spawn(2)
    at = _start(objective.net, theta, state, rule, rule_state, average)
    data = X, Y.astype(at.theta.dtype, copy=False), weights
    step = _Step(objective, rule, as_schedule(rule.learning_rate), data, Mode(True, noise), average)
    probe = _Probe(objective, held_out or data, "" if held_out is None else "validation_", metrics or {})
    return _run(step, probe, batches, order, at, start_all(callbacks), epochs)


@dataclass
class _Position:
    """Where a run stands: all that changes while it goes on."""

    theta: Array
    state: Array
    rule_state: RuleState
    averaged: Array | None
    work: Work
    updates: int = 0
    rate_factor: float = 1.0
    first_loss: float | None = None
    batch: Data | None = None
    loss: float = 0.0
    gradient_norm: float = 0.0

    def snapshot(self) -> tuple[Array, Array, RuleState]:
        """Return copies of what the run would return now: the weights, the statistics, and what the rule remembers."""
        weights = self.theta if self.averaged is None else self.averaged
        return weights.copy(), self.state.copy(), self.rule_state


def _start(
    net: Network,
    theta: Array,
    state: Array | None,
    rule: Rule,
    rule_state: RuleState | None,
    average: float | None,
) -> _Position:
    theta = np.array(theta, copy=True)
    net.check_theta(theta)
    if not np.isfinite(theta).all():
        raise fault("theta", "finite", "NaN or infinity")
    if state is not None and np.shape(state) != (net.state_layout.size,):
        raise fault("state", f"({net.state_layout.size},)", np.shape(state), "Take net.init_state().")
    state = net.init_state(theta.dtype) if state is None else np.array(state, theta.dtype)
    fresh = rule.init(theta, net.weights)
    if rule_state is None:
        rule_state = fresh
    elif _kind(rule_state) != _kind(fresh):
        raise fault("rule_state", f"of this rule and network, {_kind(fresh)}", f"{_kind(rule_state)}")
    averaged = None if average is None else theta.copy()
    return _Position(theta, state, rule_state, averaged, net.work(theta), updates=rule_state.t)


def _kind(state: RuleState) -> tuple[object, ...]:
    return state.rule, *(np.shape(slot) for slot in state.slots)


def _check_batch_norm(net: Network, batches: Batches) -> None:
    """Refuse batches of one row, which have no variance, where a BatchNorm would divide by it."""
    if any(isinstance(layer, BatchNorm) for layer in net.layers) and batches.smallest == 1:
        remedy = "Use another batch_size, or drop_last=True where only the last batch is so small."
        raise fault("every batch", "of at least 2 rows with BatchNorm", "a batch of 1", remedy)


# ---- one epoch ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """What stays the same from batch to batch."""

    objective: Objective
    rule: Rule
    schedule: Schedule
    data: Data
    mode: Mode
    average: float | None

    def epoch(self, at: _Position, batches: Iterator[Rows]) -> str | None:
        """Run the batches of one epoch, moving `at`; return why the loss is not finite, or None."""
        X, Y, weights = self.data
        total, seen = 0.0, 0
        for number, rows in enumerate(batches, 1):
            w = None if weights is None else weights[rows]
            x, y = (X[rows], Y[rows]) if isinstance(rows, slice) else (X.take(rows, 0), Y.take(rows, 0))
            J, grad, trace = self.objective.evaluate(at.theta, x, y, w, at.state, self.mode, at.work)
            loss = float(J)
            if not isfinite(loss):
                return f"the loss is {loss} in batch {number}{_where(trace)}"
            if at.first_loss is None:
                at.first_loss = loss
            rate = self.schedule(at.updates) * at.rate_factor
            step, at.rule_state = self.rule.step(grad, at.rule_state, rate, at.theta)
            at.theta += step
            at.state = trace.state
            at.updates += 1
            if at.averaged is not None and self.average is not None:
                keep = self.average if at.updates > 1 else 0.0  # the mean starts at the first theta it sees
                at.averaged += (1.0 - keep) * (at.theta - at.averaged)
            total, seen = total + loss * len(x), seen + len(x)
            at.batch = x, y, w
        at.loss = total / seen
        at.gradient_norm = float(np.sqrt(at.work.grad @ at.work.grad))
        return None if np.isfinite(at.theta).all() else "theta is not finite after the last batch"

    def blown_up(self, at: _Position, loss: float) -> str | None:
        """Say so where the loss is out of all proportion to the first one, finite or not."""
        if loss <= BLOW_UP * (1.0 + abs(at.first_loss or 0.0)):
            return None
        return f"the loss has grown from {at.first_loss:.3g} to {loss:.3g}"

    def last_look(self, at: _Position) -> str | None:
        """Test the loss after the very last step, which no batch has seen: that of the last batch, once more."""
        if at.batch is None:
            return None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            x, y, w = at.batch
            trace = self.objective.run_on.forward(self.objective.net, at.theta, x, at.state, self.mode, at.work)
            return self.blown_up(at, float(self.objective.data_term(trace, y, w)))


def _where(trace: Trace) -> str:
    """Name the first layer whose numbers are not finite."""
    for l, (z, a) in enumerate(zip(trace.z[1:], trace.a[1:], strict=True), 1):
        if not (np.isfinite(z).all() and np.isfinite(a).all()):
            return f", first in layer {l}"
    return ", first in the loss itself"


# ---- the run ------------------------------------------------------------------------------------------------------


def _run(
    step: _Step,
    probe: _Probe,
    batches: Batches,
    order: np.random.Generator,
    at: _Position,
    watchers: tuple[Watcher, ...],
    epochs: int,
) -> Run:
    begin, rows = perf_counter(), []
    latest: tuple[Array, Array, RuleState | None] = at.snapshot()
    good = latest
    ending = Request("completed", "the one epoch was run" if epochs == 1 else f"all {epochs} epochs were run")
    try:
        for epoch in range(1, epochs + 1):
            # overflow is watched, not silenced: every batch's loss is tested, and a non-finite one ends the run
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                trouble = step.epoch(at, batches.epoch(order))
            trouble = trouble or step.blown_up(at, at.loss)
            if trouble is not None:
                ending = Request("diverged", f"epoch {epoch}: {trouble}. {SLOWER}")
                latest = good  # the theta after the last whole epoch may be the one whose loss has just ended the run
                break
            good, latest = latest, at.snapshot()
            record = EpochRecord(
                epoch=epoch,
                updates=at.updates,
                loss=at.loss,
                scores=probe.scores(latest[0], latest[1]),
                learning_rate=step.schedule(max(at.updates - 1, 0)) * at.rate_factor,
                gradient_norm=at.gradient_norm,
                seconds=perf_counter() - begin,
                theta=read_only(latest[0]),
                state=read_only(latest[1]),
                epochs=epochs,
                penalty=float(probe.objective.penalty(latest[0])),
            )
            rows.append(record.row())
            if (request := _ask(watchers, record, at)) is not None:
                ending = request
                break
        if ending.stop != "diverged" and (trouble := step.last_look(at)) is not None:
            ending, latest = Request("diverged", f"after the last step {trouble}. {SLOWER}"), good
    except KeyboardInterrupt:
        ending = Request("stopped", f"interrupted in epoch {len(rows) + 1}")
    finally:
        wishes = [watcher.at_end() for watcher in watchers]
    for wish in wishes:
        if wish is not None and wish.theta is not None and wish.state is not None:
            latest = wish.theta, wish.state, None
    theta, state, rule_state = latest
    seconds = perf_counter() - begin
    return Run(theta, state, History(tuple(rows)), ending.stop or "completed", ending.reason, seconds, rule_state)


def _ask(watchers: tuple[Watcher, ...], record: EpochRecord, at: _Position) -> Request | None:
    """Ask every callback; return the first request to stop."""
    requests = [request for watcher in watchers if (request := watcher.after_epoch(record)) is not None]
    for request in requests:
        at.rate_factor *= request.rate_factor
    return next((request for request in requests if request.stop is not None), None)


@dataclass(frozen=True)
class _Probe:
    """What is measured after each epoch: the held-out rows, or the training rows where metrics are asked for."""

    objective: Objective
    data: Data
    prefix: str
    metrics: Mapping[str, Metric]

    def scores(self, theta: Array, state: Array) -> dict[str, float]:
        if not self.prefix and not self.metrics:
            return {}
        X, Y, weights = self.data
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            trace = self.objective.run_on.forward(self.objective.net, theta, X, state, Mode())
            scores = {f"{self.prefix}{name}": float(metric(trace.output, Y)) for name, metric in self.metrics.items()}
            if self.prefix:
                scores = {"validation_loss": float(self.objective.data_term(trace, Y, weights)), **scores}
        return scores
