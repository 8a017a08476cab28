"""Training by mini-batches: the loop.

    for each epoch:
        for each batch (X, Y):
            g = dJ/dtheta on the batch               Objective.evaluate
            step = rule.step(g)                      optimizers.py: -rate g for plain descent
            theta = theta + step
        measure, record a row, ask the callbacks

The inner loop is in stepping.py (or compiled, in an engine), the outer one is `run_epochs`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from time import perf_counter

import numpy as np
import numpy.typing as npt

from glassnet import optimizers
from glassnet.arrays import Array, Seed, check_count, generator, mapping_of
from glassnet.engines.threads import single_threaded_blas
from glassnet.errors import fault
from glassnet.history import COLUMNS, EpochRecord, Run
from glassnet.layers import BatchNorm, Mode
from glassnet.network import Network
from glassnet.objective import Objective
from glassnet.recording import Table
from glassnet.resuming import Resumed, contents, facts, find, resume_from
from glassnet.rules import Rule, RuleState
from glassnet.sampling import Batches, Sampling, drawing
from glassnet.schedules import as_schedule
from glassnet.stepping import Data, EpochLoop, Setting, Start, begin
from glassnet.watchers import Request, Watcher, start_all

__all__ = ["Metric", "Prepared", "Probe", "Sampling", "check_batch_norm", "prepare", "run_epochs", "train"]

Metric = Callable[[Array, Array], float]
"""(outputs (m, k), targets (m, k)) -> a score."""

SLOWER = "Try a learning rate ten times smaller."


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
    n_threads: int | None = None,
    resume: str | Path | None = None,
) -> Run:
    """Train by mini-batches from theta (P,) on X (m, d), Y (m, k); no array that is passed in is changed.

    optimizer      a rule such as `SGD(0.1, momentum=0.9)`, or a name ("adam")
    batch_size     rows a step; `m` or more gives full-batch descent
    sampling       "shuffle": every row once an epoch, in a new order each time; "sequential": in the given order;
                   "bootstrap": rows drawn with replacement; "batches": the rows are cut into fixed batches (a last one
                   that they do not fill is left out), and whole batches are drawn with replacement; or a function
                   of your own: (m, batch_size, rng) -> the rows (m,) of an epoch in turn
    drop_last      leave out a last batch that is smaller than the others
    validation     (X, Y) or (X, Y, sample_weight) of held-out rows: gives "validation_loss" (the data term alone) and
                   "validation_<metric>"; without it, metrics are measured on the training rows
    average        decay (0.999, say) of a running mean of theta after each step, which is then measured and returned
    state          BatchNorm's running statistics (Q,) to start from
    rule_state     what the same rule remembers of an earlier run (`run.rule_state`), its count of steps included; the
                   order of the rows starts anew from `rng`
    rng            a seed, or a generator, from which two more are spawned: for the order of rows and for dropout
    engine         "auto", "numpy" (the equations in NumPy) or "numba" (compiled); None takes the objective's
    n_threads      at most so many threads for large products (compiled engine); None: one for each core. The result
                   does not depend on it, to the last bit
    resume         a folder that `Checkpoint` has written: go on from its newest whole checkpoint, to the same result as
                   the run that was never stopped, bit for bit, in the same engine. `theta`, `state`, `rule_state` and
                   `rng` are then those that were stored; all else must be as it was, but `epochs` may be larger. A
                   folder without checkpoints is the start of the run where a `Checkpoint` of this call writes there

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
    return prepare(
        objective, theta, X, Y, optimizer=optimizer, epochs=epochs, batch_size=batch_size,
        sample_weight=sample_weight, validation=validation, metrics=metrics, callbacks=callbacks, sampling=sampling,
        drop_last=drop_last, average=average, state=state, rule_state=rule_state, rng=rng, engine=engine,
        n_threads=n_threads, resume=resume,
    )()  # fmt: skip


def prepare(
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
    n_threads: int | None = None,
    resume: str | Path | None = None,
) -> Prepared:
    """Check the arguments of `train`, and return the run that is still to be started."""
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
    batches = Batches(len(X), check_count("batch_size", batch_size), drawing(sampling), drop_last)
    check_batch_norm(objective.net, batches)
    check_count("epochs", epochs)
    if n_threads is not None:
        check_count("n_threads", n_threads)
    order, noise = generator(rng).spawn(2)
    start = _start(objective.net, theta, state, rule, rule_state)
    T = start.theta.dtype
    if mapping_of(Y) is None:  # a mapped file is read, and converted, batch by batch
        Y = Y.astype(T, copy=False)
    data = X, Y, None if weights is None else weights.astype(T, copy=False)
    schedule = as_schedule(rule.learning_rate)
    watchers = start_all(callbacks, resumable=True)
    setting = Setting(objective, rule, schedule, data, batches, order, noise, epochs, average, n_threads)
    probe = Probe(objective, held_out or data, "" if held_out is None else "validation_", metrics or {})
    found = find(resume, watchers)
    if found is None and all(watcher.folder is None for watcher in watchers):
        return Prepared(setting, start, probe, watchers)
    said = facts(setting, start, held_out, list(metrics or {}))
    if found is None:
        return Prepared(setting, start, probe, watchers, said)
    resumed = resume_from(found, setting, start, watchers, said)
    if objective.engine == "auto":
        setting = replace(setting, objective=replace(objective, engine=resumed.engine))
    return Prepared(setting, resumed.start, probe, watchers, said, resumed)


@dataclass(frozen=True)
class Prepared:
    """A run whose arguments have been checked; call it once to start it."""

    setting: Setting
    start: Start
    probe: Probe
    watchers: tuple[Watcher, ...]
    said: Mapping[str, str] = field(default_factory=dict)
    """The arguments as texts, where the run is stored or resumed."""
    resumed: Resumed | None = None

    def alongside(self, runs: int) -> Prepared:
        """Return the same run as one of so many that share what it costs to load an engine."""
        return replace(self, setting=replace(self.setting, alongside=runs))

    def __call__(self, stop: Callable[[], bool] = lambda: False) -> Run:
        """Run it; `stop()` is asked between calls of the loop and ends the run as Ctrl-C does."""
        try:
            loop, table = self._begun()
        except BaseException:  # Ctrl-C while code is compiled, too: a bar on the terminal must go
            for watcher in self.watchers:
                watcher.at_end()
            raise
        # the threads of a BLAS that has just worked wait a while for more, and hold the cores meanwhile
        with single_threaded_blas() if loop.engine == "numba" else nullcontext():
            return run_epochs(self, loop, table, stop)

    def _begun(self) -> tuple[EpochLoop, Table]:
        """Return the loop and the table of epochs where the run begins, or where it goes on."""
        loop = begin(self.setting, self.start)
        table = Table(self.setting.batches, self.setting.schedule, self.start.rule_state.t, self.setting.epochs)
        if (resumed := self.resumed) is not None:
            if loop.engine != resumed.engine:
                received = f"{loop.engine!r}, whose last digits are others"
                raise fault("engine", f"{resumed.engine!r}, which ran the stored epochs", received)
            loop.estimate = resumed.estimate
            table.restore(resumed.table)
        return loop, table


def _start(net: Network, theta: Array, state: Array | None, rule: Rule, rule_state: RuleState | None) -> Start:
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
    return Start(theta, state, rule_state)


def _kind(state: RuleState) -> tuple[object, ...]:
    return state.rule, *(np.shape(slot) for slot in state.slots)


def check_batch_norm(net: Network, batches: Batches) -> None:
    """Refuse batches of one row, which have no variance, where a BatchNorm would divide by it."""
    if any(isinstance(layer, BatchNorm) for layer in net.layers) and batches.smallest == 1:
        remedy = "Use another batch_size, or drop_last=True where only the last batch is so small."
        raise fault("every batch", "of at least 2 rows with BatchNorm", "a batch of 1", remedy)


# ---- the run ------------------------------------------------------------------------------------------------------


def run_epochs(prepared: Prepared, loop: EpochLoop, table: Table, stop: Callable[[], bool]) -> Run:
    """Run the loop until all epochs are done, a callback or `stop()` ends it, or it diverges."""
    setting, probe, watchers = prepared.setting, prepared.probe, prepared.watchers
    epochs, clock = setting.epochs, perf_counter() - table.seconds[-1]
    alone = not watchers and not probe.measures  # nobody looks between the epochs: many may run at a time
    latest: tuple[Array, Array, RuleState | None]
    ending = Request("completed", "the one epoch was run" if epochs == 1 else f"all {epochs} epochs were run")
    try:
        while len(table) < epochs:
            if stop():
                raise KeyboardInterrupt
            ahead = epochs if alone else 1 if probe.measures else min(watcher.patience() for watcher in watchers)
            done = loop.advance(int(max(1, min(ahead, epochs - len(table)))))
            table.add(done, loop.rate_factor, perf_counter() - clock)
            if (trouble := loop.trouble()) is not None:
                ending = Request("diverged", f"epoch {len(table) + 1}: {trouble}. {SLOWER}")
                break
            if not alone:
                for watcher in watchers if len(done) > 1 else ():
                    watcher.hear(done[:-1, 0].tolist())
                theta, state = loop.kept()
                record = table.record(theta, state, probe.scores(theta, state))
                if (request := _ask(watchers, record, loop)) is not None:
                    ending = request
                    break
                for watcher in watchers:
                    watcher.keep(
                        len(table), lambda: contents(loop, setting, prepared.start, table, watchers, prepared.said)
                    )
        if ending.stop != "diverged" and (trouble := loop.last_look()) is not None:
            ending = Request("diverged", f"after the last step {trouble}. {SLOWER}")
        # where a run ends diverged, theta after its last whole epoch may be the one whose loss has ended it
        latest = (*loop.result(1), None) if ending.stop == "diverged" else (*loop.result(), loop.rule_state())
    except KeyboardInterrupt:
        missing = loop.epochs - len(table)
        table.add(loop.finished()[len(loop.finished()) - missing :], loop.rate_factor, perf_counter() - clock)
        latest = *loop.result(), loop.rule_state()
        ending = Request("stopped", f"interrupted in epoch {len(table) + 1}")
    finally:
        wishes = [watcher.at_end() for watcher in watchers]
    for wish in wishes:
        if wish is not None and wish.theta is not None and wish.state is not None:
            latest = wish.theta, wish.state, None
    theta, state, rule_state = latest
    seconds = perf_counter() - clock
    return Run(
        theta,
        state,
        table.history(),
        ending.stop or "completed",
        ending.reason,
        seconds,
        rule_state,
        loop.engine,
        loop.estimate,
    )


def _ask(watchers: tuple[Watcher, ...], record: EpochRecord, loop: EpochLoop) -> Request | None:
    """Ask every callback; return the first request to stop."""
    requests = [request for watcher in watchers if (request := watcher.after_epoch(record)) is not None]
    for request in requests:
        loop.rate_factor *= request.rate_factor
    return next((request for request in requests if request.stop is not None), None)


@dataclass(frozen=True)
class Probe:
    """What is measured after each epoch: the held-out rows, or the training rows where metrics are asked for."""

    objective: Objective
    data: Data
    prefix: str
    metrics: Mapping[str, Metric]

    @property
    def measures(self) -> bool:
        """Whether there is anything to measure."""
        return bool(self.prefix or self.metrics)

    def scores(self, theta: Array, state: Array) -> dict[str, float]:
        """Return the scores of theta (P,) with BatchNorm's statistics (Q,)."""
        if not self.measures:
            return {}
        X, Y, weights = self.data
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            trace = self.objective.run_on.forward(self.objective.net, theta, X, state, Mode())
            scores = {f"{self.prefix}{name}": float(metric(trace.output, Y)) for name, metric in self.metrics.items()}
            if self.prefix:
                scores = {"validation_loss": float(self.objective.data_term(trace, Y, weights)), **scores}
        return scores
