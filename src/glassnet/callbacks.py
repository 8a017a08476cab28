"""Callbacks: stop early or at a target, lower the rate, keep to a time, store the run; progress.py shows it.

Each is a frozen record; what the loop asks of one is in watchers.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

from glassnet.arrays import Array
from glassnet.checkpoints import newest, write
from glassnet.errors import GlassnetError, choose, fault, type_fault
from glassnet.history import EpochRecord
from glassnet.progress import Progress
from glassnet.watchers import Callback, Memory, Request, Watcher, check_all, recall, remembered, start_all

__all__ = [
    "Callback", "Checkpoint", "EarlyStopping", "Memory", "Progress", "ReduceOnPlateau", "Request", "TargetReached",
    "TimeBudget", "Watcher", "check_all", "recall", "remembered", "start_all",
]  # fmt: skip


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
