"""What a run leaves behind: one row an epoch, and how and why it ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import choose
from glassnet.posterior import Posterior
from glassnet.rules import RuleState

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["COLUMNS", "Columns", "EpochRecord", "History", "Run", "Status"]

Status = Literal["converged", "stopped", "completed", "diverged"]

COLUMNS = ("epoch", "updates", "loss", "penalty", "learning_rate", "gradient_norm", "seconds")
"""What every row of a history holds besides the scores; no metric may take one of these names."""


@dataclass(frozen=True)
class EpochRecord:
    """What callbacks see after an epoch (or after an iteration of a solver).

    `loss` is the mean of J over the epoch's batches, measured while theta moved; `scores` holds "validation_loss" and
    the metrics. `gradient_norm` is that of the last batch. `seconds` counts from the start of the run. `theta` and
    `state` are read-only: copy what is to be kept.
    """

    epoch: int
    updates: int
    loss: float
    scores: Mapping[str, float]
    learning_rate: float
    gradient_norm: float
    seconds: float
    theta: Array
    state: Array
    epochs: int
    """How many epochs the run may take."""
    penalty: float = 0.0
    """l1 |W|_1 + l2/2 |W|^2 after the epoch, which `loss` contains and "validation_loss" does not."""

    def row(self) -> dict[str, float]:
        """Return the numbers of this epoch: a row of the history."""
        return {
            "epoch": self.epoch,
            "updates": self.updates,
            "loss": self.loss,
            "penalty": self.penalty,
            **self.scores,
            "learning_rate": self.learning_rate,
            "gradient_norm": self.gradient_norm,
            "seconds": self.seconds,
        }

    @property
    def default_monitor(self) -> str:
        """The validation loss where there is one, else the loss."""
        return "validation_loss" if "validation_loss" in self.scores else "loss"

    def monitored(self, name: str | None) -> float:
        """Return the number of that name; None is the default.

        Raises GlassnetError for an unknown name.
        """
        numbers = {"loss": self.loss, **self.scores}
        return choose("monitored number", name or self.default_monitor, numbers)


class Columns(Sequence[Mapping[str, float]]):
    """Rows that are kept as columns: a hundred thousand short epochs are a few arrays."""

    def __init__(self, columns: Mapping[str, Array]) -> None:
        self.columns = dict(columns)

    def __len__(self) -> int:
        return min((len(column) for column in self.columns.values()), default=0)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return Columns({name: column[index] for name, column in self.columns.items()})
        return {name: column[index].item() for name, column in self.columns.items()}


@dataclass(frozen=True)
class History:
    """One row an epoch.

    >>> history = History(({"epoch": 1, "loss": 0.7}, {"epoch": 2, "loss": 0.5}))
    >>> history["loss"], len(history)
    (array([0.7, 0.5]), 2)
    """

    rows: Sequence[Mapping[str, float]] = ()

    def __repr__(self) -> str:
        return f"History of {len(self)} epochs: {', '.join(self.columns)}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(self.rows[0]) if self.rows else ()

    def __getitem__(self, column: str) -> Array:
        """Return a column as an array (epochs,), empty before the first row.

        Raises GlassnetError for an unknown one.
        """
        if self.rows:
            choose("column", column, dict.fromkeys(self.columns))
        if isinstance(self.rows, Columns):
            return self.rows.columns[column].copy()
        return np.array([row[column] for row in self.rows])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Mapping[str, float]]:
        return iter(self.rows)

    def to_frame(self) -> pd.DataFrame:
        """Return the history as a pandas data frame."""
        import pandas as pd

        return pd.DataFrame(list(self.rows))


@dataclass(frozen=True)
class Run:
    """The end of a run: theta, how it ended and why.

    `status`: "converged" (a target or a minimum was reached), "stopped" (a callback or the user ended it),
    "completed" (all epochs were run) or "diverged" (the loss left the finite numbers; theta is the last good one).
    """

    theta: Array
    state: Array
    history: History
    status: Status
    reason: str
    seconds: float
    rule_state: RuleState | None = None
    """What the rule remembered when it had this theta: pass both to `train` to go on from here. None where the weights
    of an earlier epoch were brought back."""
    engine: str = "numpy"
    """The engine that ran the epochs."""
    estimate: str = ""
    """What the engines were expected to take, where `engine="auto"` has chosen by it."""
    posterior: Posterior | None = None
    """What `minimize(..., method="br")` knows of the errors of theta and of predictions."""

    @property
    def loss(self) -> float:
        """The loss of the last epoch; NaN where not one was finished."""
        return float(self.history.rows[-1]["loss"]) if self.history.rows else float("nan")

    def __repr__(self) -> str:
        return (
            f"Run(status={self.status!r}, epochs={len(self.history)}, loss={self.loss:.6g}, "
            f"seconds={self.seconds:.2f}, reason={self.reason!r})"
        )
