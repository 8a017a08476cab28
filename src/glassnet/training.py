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
from typing import Literal

import numpy as np
import numpy.typing as npt

from glassnet import optimizers
from glassnet.arrays import Array, Seed, check_count, read_only
from glassnet.callbacks import Request, Watcher, start_all
from glassnet.errors import choose, fault
from glassnet.history import EpochRecord, History, Run
from glassnet.layers import Mode
from glassnet.network import Network, Trace
from glassnet.objective import Objective
from glassnet.optimizers import Rule, RuleState
from glassnet.schedules import Schedule, as_schedule

__all__ = ["Metric", "Sampling", "train"]

Metric = Callable[[Array, Array], float]
"""(outputs (m, k), targets (m, k)) -> a score."""
Sampling = Literal["shuffle", "sequential", "bootstrap", "batches"]
RESERVED = {"epoch", "updates", "loss", "penalty", "learning_rate", "gradient_norm", "seconds"}
"""Columns of the history that no metric may take the name of."""
Data = tuple[Array, Array, Array | None]

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
    """Train by mini-batches from theta (P,) on X (m, d), Y (m, k); nothing that is passed in is changed.

    optimizer      a rule such as `SGD(0.1, momentum=0.9)`, or a name ("adam")
    batch_size     rows a step; `m` or more gives full-batch descent
    sampling       "shuffle": every row once an epoch, in a new order each time; "sequential": in the given order;
                   "bootstrap": rows drawn with replacement; "batches": fixed batches drawn with replacement
    drop_last      leave out a last batch that is smaller than the others
    validation     (X, Y) or (X, Y, sample_weight) of held-out rows: gives "validation_loss" (the data term alone) and
                   "validation_<metric>"; without it, metrics are measured on the training rows
    average        decay (0.999, say) of a running mean of theta after each step, which is then measured and returned
    state          BatchNorm's running statistics (Q,) to start from
    rule_state     what the rule remembers of an earlier run (`run.rule_state`), its count of steps included
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
    data = objective.check(X, Y, sample_weight)
    if data[0].ndim != 2:
        raise fault("X", f"(m, {objective.net.n_inputs})", data[0].shape)
    if validation is not None and (not isinstance(validation, list | tuple) or len(validation) not in (2, 3)):
        raise fault("validation", "(X, Y) or (X, Y, sample_weight)", type(validation).__name__)
    for name, metric in (metrics or {}).items():
        if name in RESERVED or not callable(metric):
            raise fault("each metric", "a function (outputs, targets) with a name of its own", f"{name!r}: {metric!r}")
    held_out = None if validation is None else objective.check(*validation)
    if average is not None and not 0 < average < 1:
        raise fault("average", "a decay between 0 and 1", average)
    batches = _Batches(
        len(data[0]), check_count("batch_size", batch_size), choose("sampling", sampling, SAMPLINGS), drop_last
    )
    check_count("epochs", epochs)
    generator = np.random.default_rng(rng)
    order, noise = generator.spawn(2)
    at = _start(objective.net, theta, state, rule, rule_state, average)
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
    updates: int = 0
    rate_factor: float = 1.0
    first_loss: float | None = None
    loss: float = 0.0
    gradient_norm: float = 0.0

    def weights(self) -> Array:
        return self.theta if self.averaged is None else self.averaged


def _start(
    net: Network,
    theta: Array,
    state: Array | None,
    rule: Rule,
    rule_state: RuleState | None,
    average: float | None,
) -> _Position:
    theta = np.array(theta, copy=True)
    if theta.shape != (net.n_parameters,) or theta.dtype.kind != "f":
        raise fault("theta", f"floats ({net.n_parameters},)", f"{theta.dtype} {theta.shape}", "Take net.init(rng=0).")
    if not np.isfinite(theta).all():
        raise fault("theta", "finite", "NaN or infinity")
    if state is not None and np.shape(state) != (net.state_layout.size,):
        raise fault("state", f"({net.state_layout.size},)", np.shape(state), "Take net.init_state().")
    state = net.init_state(theta.dtype) if state is None else np.array(state, theta.dtype)
    rule_state = rule.init(theta, net.weights) if rule_state is None else rule_state
    return _Position(theta, state, rule_state, None if average is None else theta.copy(), updates=rule_state.t)


# ---- batches ------------------------------------------------------------------------------------------------------

Rows = slice | npt.NDArray[np.intp]


@dataclass(frozen=True)
class _Batches:
    """How the m rows of an epoch are cut into batches."""

    m: int
    size: int
    draw: Callable[[int, int, np.random.Generator], npt.NDArray[np.intp] | None]
    drop_last: bool

    def __post_init__(self) -> None:
        if self.drop_last and self.size > self.m:
            raise fault("batch_size", f"at most the {self.m} rows with drop_last", self.size)

    def epoch(self, rng: np.random.Generator) -> Iterator[Rows]:
        if self.size >= self.m and self.draw is not _bootstrap:
            yield slice(0, self.m)
            return
        rows = self.draw(self.m, self.size, rng)
        end = self.m - self.m % self.size if self.drop_last else self.m
        for start in range(0, end, self.size):
            stop = min(start + self.size, end)
            yield slice(start, stop) if rows is None else rows[start:stop]


def _shuffle(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return rng.permutation(m)


def _sequential(m: int, size: int, rng: np.random.Generator) -> None:
    return None


def _bootstrap(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return rng.integers(0, m, m)


def _fixed_batches(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw whole batches with replacement; a batch that the rows do not fill is never drawn."""
    chosen = rng.integers(0, m // size, -(-m // size))
    return (chosen[:, None] * size + np.arange(size)).ravel()[:m]


SAMPLINGS: Mapping[str, Callable[[int, int, np.random.Generator], npt.NDArray[np.intp] | None]] = {
    "shuffle": _shuffle,
    "sequential": _sequential,
    "bootstrap": _bootstrap,
    "batches": _fixed_batches,
}

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
        total, seen, grad = 0.0, 0, at.theta
        work = self.objective.net.work(at.theta)
        for number, rows in enumerate(batches, 1):
            w = None if weights is None else weights[rows]
            if w is not None and not w.any():
                continue
            x, y = (X[rows], Y[rows]) if isinstance(rows, slice) else (X.take(rows, 0), Y.take(rows, 0))
            J, grad, trace = self.objective.evaluate(at.theta, x, y, w, at.state, self.mode, work)
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
        at.loss = total / max(seen, 1)
        at.gradient_norm = float(np.sqrt(grad @ grad))
        return None if np.isfinite(at.theta).all() else "theta is not finite after the last batch"


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
    batches: _Batches,
    order: np.random.Generator,
    at: _Position,
    watchers: tuple[Watcher, ...],
    epochs: int,
) -> Run:
    begin, rows = perf_counter(), []
    good = latest = at.weights().copy(), at.state.copy()
    ending = Request("completed", f"all {epochs} epochs were run")
    try:
        for epoch in range(1, epochs + 1):
            # overflow is watched, not silenced: every batch's loss is tested, and a non-finite one ends the run
            with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
                trouble = step.epoch(at, batches.epoch(order))
            if trouble is None and at.loss > BLOW_UP * (1.0 + (at.first_loss or 0.0)):
                trouble = f"the loss has grown from {at.first_loss:.3g} to {at.loss:.3g}"
            if trouble is not None:
                ending = Request("diverged", f"epoch {epoch}: {trouble}. Try a learning rate ten times smaller.")
                latest = good  # the theta after the last whole epoch may be the one whose loss has just ended the run
                break
            good, latest = latest, (at.weights().copy(), at.state.copy())
            record = EpochRecord(
                epoch=epoch,
                updates=at.updates,
                loss=at.loss,
                scores=probe.scores(*latest),
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
    except KeyboardInterrupt:
        ending = Request("stopped", f"interrupted in epoch {len(rows) + 1}")
    finally:
        wishes = [watcher.at_end() for watcher in watchers]
    for wish in wishes:
        if wish is not None and wish.theta is not None and wish.state is not None:
            latest = wish.theta, wish.state
    return Run(
        *latest, History(tuple(rows)), ending.stop or "completed", ending.reason, perf_counter() - begin, at.rule_state
    )


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
