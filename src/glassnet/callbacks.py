"""Callbacks: they read a record after each epoch and may ask the loop for something. They never reach into it.

A callback is a frozen record whose `start()` makes a fresh `Watcher` for one run, so the same callback can serve many
runs. A plain function `record -> None | Request` is a callback, too.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import isnan
from pathlib import Path
from time import perf_counter
from typing import Any, Literal, Protocol

from glassnet.arrays import Array
from glassnet.checkpoints import newest, write
from glassnet.engines.storage import is_compiling
from glassnet.errors import GlassnetError, choose, fault, type_fault
from glassnet.history import EpochRecord, Status

__all__ = [
    "Callback", "Checkpoint", "EarlyStopping", "Memory", "Progress", "ReduceOnPlateau", "Request", "TargetReached",
    "TimeBudget", "Watcher", "check_all", "recall", "remembered", "start_all",
]  # fmt: skip


@dataclass(frozen=True)
class Request:
    """What a callback may ask for: an end (with its status), other weights to return, a multiple of the rate."""

    stop: Status | None = None
    reason: str = ""
    theta: Array | None = None
    state: Array | None = None
    rate_factor: float = 1.0


class Memory(Protocol):
    """What a watcher remembers of the epochs it has seen, for a run that is stopped and resumed."""

    def stored(self) -> Mapping[str, object]:
        """Return it: arrays, numbers, text, None, lists and mappings of them."""

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Remember what was stored."""


@dataclass(frozen=True)
class Watcher:
    """A callback at work in one run: one function after each epoch, one at the end, however it came."""

    after_epoch: Callable[[EpochRecord], Request | None]
    at_end: Callable[[], Request | None] = lambda: None
    patience: Callable[[], float] = lambda: 1
    """In how many epochs from now it may first ask for something: so many may be run in one call."""
    hear: Callable[[Sequence[float]], None] = lambda losses: None
    """Is told the losses of epochs for which it is not called, because they lie within its patience."""
    memory: Memory | None = None
    """What a resumed run must give back to it; None for one that remembers nothing."""
    keep: Callable[[int, Callable[[], Mapping[str, Any]]], None] = lambda epoch, content: None
    """Is called when all have seen an epoch and none has asked for an end; `content()` is the run, to be stored."""
    folder: Path | None = None
    """Where it stores the run."""
    resume: bool = False
    """Whether a run that is stored there already goes on."""
    name: str = ""
    """The class of the callback."""


class Callback(Protocol):
    """What the loop asks of a callback."""

    def start(self) -> Watcher:
        """Return a watcher for a run that is about to begin."""


def check_all(callbacks: object) -> Sequence[Any]:
    """Return `callbacks`; raises GlassnetError where they are no list of callbacks and functions. It starts none."""
    if not isinstance(callbacks, list | tuple):
        raise type_fault("callbacks", "a list", repr(callbacks), "One callback? [EarlyStopping()].")
    for callback in callbacks:
        if isinstance(callback, type) or not (hasattr(callback, "start") or callable(callback)):
            expected = "EarlyStopping(...) and the like, or a function of a record"
            raise type_fault("each callback", expected, repr(callback))
    return callbacks


def start_all(callbacks: object, *, resumable: bool = False) -> tuple[Watcher, ...]:
    """Return fresh watchers for callbacks and plain functions.

    Raises GlassnetError for anything else, and for a callback that stores runs which cannot be resumed.
    """
    watchers = tuple(_start(callback) for callback in check_all(callbacks))
    if not resumable and any(watcher.folder is not None for watcher in watchers):
        remedy = "Checkpoint(function) calls a function of your own with the record."
        expected = (
            "a callback of glassnet.train, or of the fit of an estimator by a rule, with a whole number as "
            "random_state and without warm_start: these can be resumed"
        )
        raise fault("Checkpoint(folder)", expected, "another run's", remedy)
    return watchers


def _start(callback: Any) -> Watcher:
    if not hasattr(callback, "start"):
        return Watcher(callback)
    watcher = callback.start()
    watcher = watcher if isinstance(watcher, Watcher) else Watcher(watcher.after_epoch, watcher.at_end)
    return replace(watcher, name=type(callback).__name__)


def remembered(watchers: Sequence[Watcher]) -> list[list[object]]:
    """Return what the watchers remember, each with its name: see `recall`."""
    return [[watcher.name, watcher.memory.stored()] for watcher in watchers if watcher.memory is not None]


def recall(kept: Sequence[tuple[str, Mapping[str, Any]]], watchers: Sequence[Watcher], where: str) -> None:
    """Give watchers back what those of the stored run remembered; raises GlassnetError where those were others."""
    memories = [(watcher.name, watcher.memory) for watcher in watchers if watcher.memory is not None]
    names, received = [name for name, _ in kept], [name for name, _ in memories]
    if names != received:
        expected = ", ".join(names) or "none that remember"
        remedy = "Pass those of the run that wrote it."
        raise fault(f"callbacks of a run resumed from {where}", expected, ", ".join(received) or "none", remedy)
    for (_, memory), (_, stored) in zip(memories, kept, strict=True):
        memory.restore(stored)


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

    def stored(self) -> dict[str, object]:
        return vars(self).copy()

    def restore(self, stored: Mapping[str, Any]) -> None:
        for name in vars(self):
            setattr(self, name, stored[name])


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

        return Watcher(after_epoch, lambda: Request(theta=best.theta, state=best.state), memory=best)


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

        return Watcher(after_epoch, memory=best)


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
    """Store the run in a folder every `every` epochs, so that `train(..., resume=folder)` can go on from there.

    The resumed run ends as the one that was never stopped, bit for bit. The two newest checkpoints are kept; each is
    written whole or not at all, with a digest. Where one cannot be written (a full disk, a read-only folder), a
    RuntimeWarning says so and training goes on. An epoch in which a callback ends the run is not stored.

    `resume=True` is `train(..., resume=folder)` where that cannot be passed, as in the `callbacks` of an estimator: a
    run that is stored in the folder goes on, and where there is none it begins. With `seconds`, no checkpoint is
    written sooner than that after the one before it (or the start), whatever `every` says.

    A function in place of the folder is called with the record instead:
    `Checkpoint(lambda record: gn.save("net.safetensors", net, record.theta))`.
    """

    save: str | Path | Callable[[EpochRecord], object]
    every: int = 1
    resume: bool = False
    seconds: float = 0.0

    def __post_init__(self) -> None:
        if not callable(self.save) and not isinstance(self.save, str | Path):
            raise type_fault("save of Checkpoint", "a folder, or a function of a record", repr(self.save))
        if self.every < 1:
            raise fault("every", "at least 1", self.every)
        if self.resume and callable(self.save):
            raise fault("save of Checkpoint", "a folder to resume from", repr(self.save))
        if not self.seconds >= 0:
            raise fault("seconds", "at least 0", self.seconds)

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        return self._stores(Path(self.save)) if isinstance(self.save, str | Path) else self._calls(self.save)

    def _calls(self, save: Callable[[EpochRecord], object]) -> Watcher:
        def after_epoch(record: EpochRecord) -> None:
            if record.epoch % self.every == 0:
                save(record)

        return Watcher(after_epoch)

    def _stores(self, folder: Path) -> Watcher:
        seen, last = 0, None  # epochs seen, and the checkpoint that is kept besides the next one
        written = perf_counter()

        def after_epoch(record: EpochRecord) -> None:
            nonlocal seen
            seen = record.epoch

        def keep(epoch: int, content: Callable[[], Mapping[str, Any]]) -> None:
            nonlocal last, written
            if epoch % self.every or perf_counter() - written < self.seconds:
                return
            try:
                if last is None and (found := newest(folder)) is not None:
                    last = found.path  # that of the run which is resumed
                last = write(folder, epoch, content(), last)
            except GlassnetError as error:
                kept = "none has been written" if last is None else f"the newest one is {last.name}"
                text = f"the checkpoint of epoch {epoch} could not be written ({error}); training goes on, {kept}."
                warnings.warn(text, RuntimeWarning, stacklevel=2)
            written = perf_counter()

        def patience() -> float:
            return self.every - seen % self.every

        return Watcher(after_epoch, patience=patience, keep=keep, folder=folder, resume=self.resume)


NARROW = 72
"""A terminal of fewer columns has room for the numbers alone, not for a bar beside them."""


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
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class State(TextColumn):
            def render(self, task: Task) -> Text:
                waits = task.total is None and is_compiling()
                return Text("compiling, before the first epoch") if waits else super().render(task)

        console = Console(stderr=True)
        parts = [TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), State("{task.description}")]
        if console.width < NARROW:
            del parts[2]
        bar = Progress(*parts, TimeRemainingColumn(), console=console, refresh_per_second=8)
        task = bar.add_task("", total=None)
        bar.start()

        def after_epoch(record: EpochRecord) -> None:
            bar.update(task, total=record.epochs, completed=record.epoch, description=self._text(record))

        return Watcher(after_epoch, bar.stop)
