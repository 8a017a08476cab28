"""What a callback is: it reads a record after each epoch and may ask the loop for something. It never reaches into it.

A callback is a frozen record whose `start()` makes a fresh `Watcher` for one run, so the same callback can serve many
runs. A plain function `record -> None | Request` is a callback, too. Those of the library are in callbacks.py.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from glassnet.arrays import Array
from glassnet.errors import fault, type_fault
from glassnet.history import EpochRecord, Status

__all__ = ["Callback", "Memory", "Request", "Watcher", "check_all", "recall", "remembered", "start_all"]


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
