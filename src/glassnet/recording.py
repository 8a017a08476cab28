"""The history while it grows: what each call of the loop has finished, with the time by then."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from glassnet.arrays import Array, read_only
from glassnet.history import Columns, EpochRecord, History
from glassnet.schedules import Constant, Schedule

__all__ = ["Table"]


class Steps(Protocol):
    """What knows how many steps an epoch has."""

    @property
    def steps(self) -> int:
        """Batches of an epoch."""


class Table:
    """The history while it grows: what each call of the loop has finished, with the time by then."""

    def __init__(self, batches: Steps, schedule: Schedule, start: int, epochs: int) -> None:
        self.batches, self.schedule, self.start, self.epochs = batches, schedule, start, epochs
        self.done: list[Array] = []
        self.factors: list[float] = []
        self.ends: list[int] = [0]
        self.seconds: list[float] = [0.0]
        self.scores: dict[str, list[float]] = {}

    def __len__(self) -> int:
        return self.ends[-1]

    def add(self, done: Array, rate_factor: float, seconds: float) -> None:
        """Add epochs (n, 3): loss, gradient norm, penalty."""
        if len(done):
            self.done.append(done)
            self.factors.append(rate_factor)
            self.ends.append(len(self) + len(done))
            self.seconds.append(seconds)

    def record(self, theta: Array, state: Array, scores: Mapping[str, float]) -> EpochRecord:
        """Return the last epoch as callbacks see it, and enter its scores."""
        for name, score in scores.items():
            self.scores.setdefault(name, []).append(score)
        loss, norm, penalty = self.done[-1][-1].tolist()
        updates = self.start + self.batches.steps * len(self)
        return EpochRecord(
            epoch=len(self),
            updates=updates,
            loss=loss,
            scores=scores,
            learning_rate=self.schedule(updates - 1) * self.factors[-1],
            gradient_norm=norm,
            seconds=self.seconds[-1],
            theta=read_only(theta),
            state=read_only(state),
            epochs=self.epochs,
            penalty=penalty,
        )

    def history(self) -> History:
        """Return the columns; epochs that were run in one call share its time evenly.

        An epoch whose scores were still to be measured when the run was interrupted is left out.
        """
        n = min(len(self), *(len(scores) for scores in self.scores.values())) if self.scores else len(self)
        if not n:
            return History()
        epoch = np.arange(1, len(self) + 1)
        loss, norm, penalty = np.concatenate(self.done).T.copy()
        updates = self.start + self.batches.steps * epoch
        if isinstance(self.schedule, Constant):
            rates = np.full(len(self), self.schedule.rate)
        else:
            rates = np.array([self.schedule(t) for t in (updates - 1).tolist()])
        columns = {"epoch": epoch, "updates": updates, "loss": loss, "penalty": penalty}
        columns |= {name: np.array(scores) for name, scores in self.scores.items()}
        columns["learning_rate"] = rates * np.repeat(self.factors, np.diff(self.ends))
        columns["gradient_norm"] = norm
        columns["seconds"] = np.interp(epoch, self.ends, self.seconds)
        return History(Columns({name: column[:n] for name, column in columns.items()}))

    def stored(self) -> dict[str, object]:
        """Return what the table holds, for a run that is stopped and resumed."""
        done = np.concatenate(self.done) if self.done else np.empty((0, 3))
        scores = [[name, np.array(values, np.float64)] for name, values in self.scores.items()]  # in their order
        return {
            "done": done, "factors": np.array(self.factors), "ends": np.array(self.ends, np.int64),
            "seconds": np.array(self.seconds), "scores": scores,
        }  # fmt: skip

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Hold what was stored."""
        self.done = [stored["done"]] if len(stored["done"]) else []
        self.factors, self.ends = stored["factors"].tolist(), stored["ends"].tolist()
        self.seconds = stored["seconds"].tolist()
        self.scores = {name: values.tolist() for name, values in stored["scores"]}
