"""What an engine is: three functions that evaluate a network, and for some a loop that runs whole epochs.

Losses, penalties and rules stay outside: an engine is handed the functions that it needs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from glassnet.arrays import Array
from glassnet.layers import Mode
from glassnet.network import Network, Trace, Work

__all__ = ["AddUp", "Engine", "Fused", "FusingEngine", "Job", "Standing"]


class Engine(Protocol):
    """An engine evaluates networks; all engines agree to rounding."""

    @property
    def name(self) -> str:
        """The name that `get_engine` knows it by."""

    def forward(
        self, net: Network, theta: Array, X: Array, state: Array | None, mode: Mode, work: Work | None = None
    ) -> Trace:
        """Return every z and a for X (..., m, d) and theta (..., P)."""

    def backward(self, net: Network, trace: Trace, dZ: Array, work: Work | None = None) -> Array:
        """Return dL/dtheta (..., P) from dZ = dL/dz_L (..., m, k); with `work`, in its memory."""

    def jacobian(self, net: Network, theta: Array, X: Array, state: Array | None) -> Array:
        """Return the derivatives of the outputs by the parameters, (m, k, P), in predicting mode."""


@dataclass(frozen=True)
class Job:
    """What a fused loop is to do: all that stays the same during a run. `loss`, `matched` and `rule` are duck-typed."""

    net: Network
    loss: Any
    matched: Any
    l1: float
    l2: float
    rule: Any
    X: Array
    Y: Array
    weights: Array | None
    batch_size: int
    epochs: int
    rows: int
    """Rows that an epoch visits (fewer than X has, where the last batch is left out)."""
    shuffle: bool
    draw: Callable[[], Array] | None
    """Gives the rows of each epoch (rows,), where they are drawn; None: shuffled by the loop, or in their own order."""
    order: np.random.Generator
    noise: np.random.Generator
    average: float | None
    blow_up: float
    """An epoch whose loss is this many times (1 + the very first loss) ends the run."""
    n_threads: int | None = None
    alongside: int = 1
    """How many runs like this one are made together and share what it costs to load an engine."""


@dataclass(frozen=True, eq=False)
class Standing:
    """Where a loop stands at the end of an epoch: all it needs to go on as if it had never stopped.

    The generators are not in it: they are the caller's.
    """

    theta: Array
    state: Array
    slots: tuple[Array, ...]
    average: Array | None
    before: tuple[Array, Array]
    """theta and state one epoch earlier: what a run that diverges in the next epoch falls back to."""
    last_rows: Array
    """The rows of the batch that was run last."""
    first_loss: float
    updates: int
    """Steps taken in this run."""
    epochs: int


@dataclass(frozen=True)
class AddUp:
    """A rule that takes no step: its slot is the sum of the gradients of all batches, each times its share of rows."""

    batch: int
    rows: int
    total: int
    """Rows of all loops whose sums are to be added."""

    def numbers(self, t: Any, rate: Any) -> tuple[Any]:
        """Return the share of batch t = 1, 2, ..."""
        return (np.minimum(self.batch, self.rows - self.batch * (np.asarray(t) - 1)) / self.total,)

    @property
    def formula(self) -> Callable[..., Any]:
        """The equation."""
        return _add_up


def _add_up(g: Array, theta: Array, slots: Any, numbers: Any) -> tuple[Any, Any]:
    (total,) = slots
    (share,) = numbers
    return 0.0, (total + share * g,)


class Fused(Protocol):
    """A loop over whole epochs that stands at the end of one; it owns its theta."""

    @property
    def updates(self) -> int:
        """Steps taken in this run."""

    @property
    def first_loss(self) -> float | None:
        """The loss of the very first batch."""

    @property
    def trouble(self) -> tuple[str, int, float] | None:
        """What ended the run ("loss", "blown up" or "theta"), in which batch of the epoch (from 1), and the loss."""

    @property
    def epochs(self) -> int:
        """Epochs finished in this run."""

    def advance(self, epochs: int, rates: Any, t: int) -> Array:
        """Run up to `epochs` epochs, at least one; return (n, 3): loss, gradient norm, penalty of those finished.

        `rates(first, count)` gives the learning rates of steps counted from 0: a number, or an array (count,).
        """

    def finished(self) -> Array:
        """Return the epochs that a call of `advance` finished before it was interrupted."""

    def snapshot(self, back: int = 0) -> tuple[Array, Array]:
        """Return copies of theta and state after the last epoch, or with back=1 after the one before it."""

    def result(self, back: int = 0) -> tuple[Array, Array]:
        """Return the same when the run has ended; the memory of the run may be given away."""

    def slots(self) -> tuple[Array, ...] | None:
        """Return the rule's slots, None where an epoch is unfinished and they belong to another theta."""

    def now(self) -> tuple[Array, Array]:
        """Return theta and state as they are at this moment."""

    def last_batch(self) -> Array:
        """Return the rows of the batch that was run last."""

    def standing(self) -> Standing:
        """Return copies of where the loop stands, at the end of an epoch."""

    def stand(self, standing: Standing) -> None:
        """Go on from there: called before the first epoch, on a loop made with the standing's theta and slots."""

    def sums(self, following: Sequence[Any]) -> list[tuple[float, Array]]:
        """Return J and dJ/dtheta (P,) at theta as it is now, in the loop's memory; and those of the loops that follow.

        For loops under the rule `AddUp`. They run one after the other, in one call unless that takes long.
        """

    def feed(self, job: Job) -> bool:
        """Go on with the data of this job, which is the same but for them; False where they need another memory.

        Called between epochs: what follows is an epoch over these rows.
        """


class FusingEngine(Engine, Protocol):
    """An engine with a loop of its own."""

    def expect(self, job: Job) -> str:
        """Return in words what the engines are expected to take, where that is what decides; else nothing."""

    def fuse(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> Fused | None:
        """Return the loop, or None (and one line of information) where it cannot run this job.

        theta and state are the run's own from then on: it may move them in place. The slots are copied.
        """
