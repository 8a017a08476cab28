"""scikit-learn's callbacks (its `sklearn.callback`, since 1.9) at work in a fit: each epoch is a task of theirs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from glassnet.history import EpochRecord
from glassnet.watchers import Request, Watcher

__all__ = ["Bridge"]


@dataclass(frozen=True)
class Bridge:
    """A callback that passes each epoch, or iteration of a solver, on to those of `model.set_callbacks(...)`.

    A task begins when the one before it ends, as in scikit-learn; the one that is open when the run ends is closed
    empty, so the context needs room for one task more than there are epochs. A callback that answers True ends the run.
    """

    model: Any
    context: Any
    data: Mapping[str, Any]
    """X, y and metadata, as `fit` received them."""

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        task = [self._begin({"theta_": self.model.theta_, "state_": self.model.state_})]

        def after_epoch(record: EpochRecord) -> Request | None:
            if record.epoch == 0:
                return None
            fitted = {"theta_": record.theta.copy(), "state_": record.state.copy()}
            stop = task[0].call_on_fit_task_end(
                estimator=self.model, **self.data, reconstruction_attributes=lambda: fitted
            )
            task[0] = self._begin(fitted)
            return Request("stopped", "a callback of scikit-learn asked for the end") if stop else None

        def at_end() -> None:
            task[0].call_on_fit_task_end(estimator=self.model)

        return Watcher(after_epoch, at_end)

    def _begin(self, fitted: Mapping[str, Any]) -> Any:
        task = self.context.subcontext(task_name="epoch")
        return task.call_on_fit_task_begin(estimator=self.model, **self.data, reconstruction_attributes=lambda: fitted)
