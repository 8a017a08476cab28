"""Callbacks: they read a record after each epoch and may ask the loop for something. They never reach into it.

A callback is a frozen record whose `start()` makes a fresh `Watcher` for one run, so the same callback can serve many
runs. A plain function `record -> None | Request` is a callback, too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import isnan
from typing import Literal, Protocol

from glassnet.arrays import Array
from glassnet.errors import GlassnetError, choose, fault, type_fault
from glassnet.history import EpochRecord, Status

__all__ = [
    "Callback", "Checkpoint", "EarlyStopping", "Progress", "ReduceOnPlateau", "Request", "TargetReached", "TimeBudget",
    "Watcher", "start_all",
]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a callback may ask for: an end (with its status), other weights to return, a multiple of the rate."""

    stop: Status | None = None
    reason: str = ""
    theta: Array | None = None
    state: Array | None = None
    rate_factor: float = 1.0


@dataclass(frozen=True)
class Watcher:
    """A callback at work in one run: one function after each epoch, one at the end, however it came."""

    after_epoch: Callable[[EpochRecord], Request | None]
    at_end: Callable[[], Request | None] = lambda: None
    patience: Callable[[], float] = lambda: 1
    """In how many epochs from now it may first ask for something: so many may be run in one call."""
    hear: Callable[[Sequence[float]], None] = lambda losses: None
    """Is told the losses of epochs for which it is not called, because they lie within its patience."""


class Callback(Protocol):
    """What the loop asks of a callback."""

    def start(self) -> Watcher:
        """Return a watcher for a run that is about to begin."""


def start_all(callbacks: object) -> tuple[Watcher, ...]:
    """Return fresh watchers for callbacks and plain functions.

    Raises GlassnetError for anything else.
    """
    if not isinstance(callbacks, list | tuple):
        raise type_fault("callbacks", "a list", repr(callbacks), "One callback? [EarlyStopping()].")
    return tuple(_start(callback) for callback in callbacks)


def _start(callback: object) -> Watcher:
    if hasattr(callback, "start") and not isinstance(callback, type):
        watcher = callback.start()
        return watcher if isinstance(watcher, Watcher) else Watcher(watcher.after_epoch, watcher.at_end)
    if callable(callback) and not isinstance(callback, type):
        return Watcher(callback)
    raise type_fault("each callback", "EarlyStopping(...) and the like, or a function of a record", repr(callback))


@dataclass
class _Best:
    """The best value so far and how many epochs ago it was seen."""

    value: float = float("inf")
    epoch: int | None = None
    waited: int = 0
    theta: Array | None = None
    state: Array | None = None

    def see(self, value: float, record: EpochRecord, min_delta: float, keep: bool) -> None:
        if value < self.value - min_delta or self.epoch is None or isnan(self.value):
            self.value, self.epoch, self.waited = value, record.epoch, 0
            if keep:
                self.theta, self.state = record.theta.copy(), record.state.copy()
        else:
            self.waited += 1


Mode = Literal["min", "max"]
MORE_IS_BETTER = ("accuracy", "score", "r2")


def _sign(monitor: str | None, mode: Mode | None) -> float:
    """Return 1 for a number that is to fall, -1 for one that is to rise; raises GlassnetError where it must be said."""
    if mode is not None:
        return choose("mode", mode, {"min": 1.0, "max": -1.0})
    if monitor is None or "loss" in monitor:
        return 1.0
    if any(word in monitor for word in MORE_IS_BETTER):
        return -1.0
    raise GlassnetError(f"whether {monitor!r} is to fall or to rise must be said: mode='min' or mode='max'.")


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the monitored number has not improved by more than `min_delta` for `patience` epochs.

    `monitor` is "loss", "validation_loss" or a metric such as "validation_accuracy"; None takes the validation loss
    where there is one. `mode` says whether the number is to fall ("min") or to rise ("max"); None knows losses,
    accuracies, scores and R2. With `restore_best` the weights of the best epoch come back, however the run ends.
    """

    patience: int = 10
    monitor: str | None = None
    min_delta: float = 0.0
    restore_best: bool = True
    mode: Mode | None = None

    def __post_init__(self) -> None:
        _sign(self.monitor, self.mode)
        if self.patience < 1:
            raise fault("patience", "at least 1", self.patience)

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        best = _Best()

        def after_epoch(record: EpochRecord) -> Request | None:
            value = _sign(self.monitor, self.mode) * record.monitored(self.monitor)
            best.see(value, record, self.min_delta, self.restore_best)
            if best.waited < self.patience:
                return None
            name = self.monitor or record.default_monitor
            return Request(
                "converged" if name == "loss" else "stopped",
                f"{name} has not improved by more than {self.min_delta:g} since epoch {best.epoch}",
            )

        return Watcher(after_epoch, lambda: Request(theta=best.theta, state=best.state))


@dataclass(frozen=True)
class TargetReached:
    """End as "converged" when the monitored number reaches `target` (a loss from above, a score from below)."""

    target: float
    monitor: str = "loss"
    mode: Mode | None = None

    def __post_init__(self) -> None:
        _sign(self.monitor, self.mode)

    def start(self) -> Watcher:
        """Return a watcher for one run."""

        def after_epoch(record: EpochRecord) -> Request | None:
            sign, value = _sign(self.monitor, self.mode), record.monitored(self.monitor)
            if not sign * value <= sign * self.target:
                return None
            return Request("converged", f"{self.monitor} reached {value:.6g}, the target was {self.target:g}")

        return Watcher(after_epoch)


@dataclass(frozen=True)
class ReduceOnPlateau:
    """Multiply the learning rate by `factor` when the monitored number has not improved for `patience` epochs.

    It is never brought below `min_rate`. For rules only: solvers have no learning rate.
    """

    factor: float = 0.1
    patience: int = 5
    monitor: str | None = None
    min_delta: float = 1e-4
    min_rate: float = 1e-8
    mode: Mode | None = None

    def __post_init__(self) -> None:
        _sign(self.monitor, self.mode)
        if not 0 < self.factor < 1:
            raise fault("factor", "between 0 and 1", self.factor)

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        best = _Best()

        def after_epoch(record: EpochRecord) -> Request | None:
            value = _sign(self.monitor, self.mode) * record.monitored(self.monitor)
            best.see(value, record, self.min_delta, keep=False)
            if best.waited < self.patience or record.learning_rate * self.factor < self.min_rate:
                return None
            best.waited = 0
            return Request(rate_factor=self.factor)

        return Watcher(after_epoch)


@dataclass(frozen=True)
class TimeBudget:
    """Stop after the epoch in which `seconds` have passed."""

    seconds: float

    def start(self) -> Watcher:
        """Return a watcher for one run."""

        def after_epoch(record: EpochRecord) -> Request | None:
            if record.seconds < self.seconds:
                return None
            return Request("stopped", f"the time budget of {self.seconds:g} s is used up")

        return Watcher(after_epoch)


@dataclass(frozen=True)
class Checkpoint:
    """Call `save(record)` every `every` epochs: `Checkpoint(lambda r: gn.save("net.safetensors", net, r.theta))`."""

    save: Callable[[EpochRecord], object]
    every: int = 1

    def __post_init__(self) -> None:
        if self.every < 1:
            raise fault("every", "at least 1", self.every)

    def start(self) -> Watcher:
        """Return a watcher for one run."""

        def after_epoch(record: EpochRecord) -> None:
            if record.epoch % self.every == 0:
                self.save(record)

        return Watcher(after_epoch)


@dataclass(frozen=True)
class Progress:
    """Show epoch, loss, validation score and time left: a live line on a terminal, about ten plain lines elsewhere."""

    show: tuple[str, ...] = field(default=())
    """Scores to show besides the loss; all of them when left empty."""

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        return self._live() if sys.stderr.isatty() else self._plain()

    def _text(self, record: EpochRecord) -> str:
        scores = {name: record.scores[name] for name in self.show or record.scores if name in record.scores}
        parts = [f"loss {record.loss:.4g}", *(f"{name.replace('_', ' ')} {v:.4g}" for name, v in scores.items())]
        return "  ".join(parts)

    def _plain(self) -> Watcher:
        def after_epoch(record: EpochRecord) -> None:
            if record.epoch == 1 or record.epoch % max(record.epochs // 10, 1) == 0:
                left = record.seconds / max(record.epoch, 1) * (record.epochs - record.epoch)
                print(
                    f"epoch {record.epoch:>5}/{record.epochs}  {self._text(record)}  about {left:.1f} s left",
                    file=sys.stderr,
                )

        return Watcher(after_epoch)

    def _live(self) -> Watcher:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        bar = Progress(
            TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"),
            TimeRemainingColumn(), console=Console(stderr=True), refresh_per_second=8,
        )  # fmt: skip
        task = bar.add_task("", total=None)
        bar.start()

        def after_epoch(record: EpochRecord) -> None:
            bar.update(task, total=record.epochs, completed=record.epoch, description=self._text(record))

        return Watcher(after_epoch, bar.stop)
