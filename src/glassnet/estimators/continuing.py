"""What one fit leaves for the next: the rule's memory and rate, the patience that is left, the order of the rows.

As in scikit-learn, `partial_fit` goes on with all of it. A warm start goes on with the weights, the patience and the
best score; its rule begins anew. Where `random_state` is a number, each call draws from the beginning of its stream.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.history import EpochRecord
from glassnet.rules import RuleState
from glassnet.watchers import Request, Watcher

__all__ = ["FRESH", "InTurn", "InverseScaling", "Memory", "NoImprovement", "Standing", "standing_of"]


class Memory(NamedTuple):
    """What is left of a rule when a fit has ended."""

    kind: object
    """Rules of one kind remember the same vectors."""
    state: RuleState | None
    learning_rate: float
    """The rate of the next step."""


FRESH = Memory(None, None, float("nan"))


class Standing(NamedTuple):
    """How far patience is used up: the best value, the epochs since it improved, whether the rate was just divided."""

    best: float = np.inf
    waited: int = 0
    divided: bool = False


UNTRIED = Standing()


def standing_of(model: Any, monitor: str) -> Standing:
    """Return where the last fit of the model has left its patience; a score counts as a loss with its sign changed."""
    best = model.best_loss_ if monitor == "loss" else model.best_validation_score_
    if best is None:
        return UNTRIED
    return Standing(best if monitor == "loss" else -best, model._no_improvement_count)


@dataclass(frozen=True)
class NoImprovement:
    """scikit-learn's rule for the end: no improvement by `tol` in more than `patience` epochs in a row.

    Watches `monitor`: a loss is to fall, a score to rise. What is measured on held-out rows brings its best weights
    back, and its epochs are counted from the first on, the start of a solver left out. With `adaptive` the rate is
    divided by 5 first, until it is below 1e-6. `standing` is what an earlier fit has left, `kept` its best theta and
    state.
    """

    tol: float
    patience: float
    adaptive: bool = False
    monitor: str = "loss"
    standing: Standing = UNTRIED
    kept: tuple[Array, Array] | None = None

    @property
    def sign(self) -> float:
        """1 for a number that is to fall, -1 for one that is to rise."""
        return 1.0 if self.monitor in ("loss", "validation_loss") else -1.0

    def after(self, standing: Standing, value: float, rate: float) -> Standing:
        """Return the standing after an epoch with this value, of a number that is to fall, and this rate."""
        best, waited, _ = standing
        waited = 0 if value <= best - self.tol else waited + 1  # NaN never improves
        if waited > self.patience and self.adaptive and rate > 1e-6:
            return Standing(min(best, value), 0, True)
        return Standing(min(best, value), waited)

    def after_all(self, values: Sequence[float], rates: Sequence[float]) -> Standing:
        """Return the standing after epochs with these values and rates."""
        standing = self.standing
        for value, rate in zip(values, rates, strict=True):
            standing = self.after(standing, self.sign * value, rate)
        return standing

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        now = [self.standing]
        kept = [] if self.kept is None else [self.kept]

        def after_epoch(record: EpochRecord) -> Request | None:
            if record.epoch == 0:
                return None
            value, best = self.sign * record.monitored(self.monitor), now[0].best
            now[0] = self.after(now[0], value, record.learning_rate)
            if value < best and self.monitor != "loss":
                kept[:] = [(record.theta.copy(), record.state.copy())]
            if now[0].divided:
                return Request(rate_factor=0.2)
            if now[0].waited <= self.patience:
                return None
            return Request(
                "converged", f"{self.monitor} did not improve by more than {self.tol:g} in {self.patience:g} epochs"
            )

        def hear(losses: Sequence[float]) -> None:
            for loss in losses:
                now[0] = self.after(now[0], loss, 0.0)

        return Watcher(
            after_epoch,
            lambda: Request(theta=kept[0][0], state=kept[0][1]) if kept else None,
            lambda: self.patience + 1 - now[0].waited if self.monitor == "loss" else 1,
            hear,
            _Noted(now, kept),
        )


@dataclass(frozen=True, eq=False)
class _Noted:
    """The memory of `NoImprovement`: its standing and the best theta and state, each in a list of one."""

    now: list[Standing]
    kept: list[tuple[Array, Array]]

    def stored(self) -> dict[str, object]:
        return {"now": list(self.now[0]), "kept": [list(pair) for pair in self.kept]}

    def restore(self, stored: Mapping[str, Any]) -> None:
        best, waited, divided = stored["now"]
        self.now[0] = Standing(float(best), int(waited), bool(divided))
        self.kept[:] = [(theta, state) for theta, state in stored["kept"]]


@dataclass(frozen=True)
class InverseScaling:
    """scikit-learn's "invscaling": rate / (1 + samples seen)^power, changed after each epoch.

    `start` is the rate of the first epoch: `rate` where the rule begins anew, even after a warm start.
    """

    rate: float
    power: float
    n_samples: int
    batch_size: int
    seen: int = 0
    """Samples seen in earlier fits."""
    steps: int = 0
    """Steps taken in them."""
    start: float | None = None

    def __call__(self, t: int) -> float:
        """Return the rate of step t, counted from 0."""
        epoch = (t - self.steps) // -(-self.n_samples // self.batch_size)
        if epoch == 0 and self.start is not None:
            return self.start
        return float(self.rate / (1 + self.seen + epoch * self.n_samples) ** self.power)


@dataclass(frozen=True, eq=False)
class InTurn:
    """The sampling of scikit-learn: the order (m,) of the epoch before, shuffled once more by `random`."""

    random: np.random.RandomState = field(repr=False)
    order: npt.NDArray[np.intp] = field(repr=False)

    def __call__(self, m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Return the rows of the next epoch in turn."""
        self.random.shuffle(self.order)
        return self.order

    def stored(self) -> dict[str, object]:
        """Return where it stands, for a run that is stopped and resumed."""
        return {"order": self.order, "random": self.random.get_state(legacy=False)}

    def restore(self, stored: Mapping[str, Any]) -> None:
        """Go on from there."""
        self.order[:] = stored["order"]
        self.random.set_state(stored["random"])
