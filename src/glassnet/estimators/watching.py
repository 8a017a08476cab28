"""Watching a fit: its callbacks as one, and the scores of held-out rows that the training loop does not measure.

The mini-batch loop measures the loss and the usual score itself. A solver measures nothing, and a scorer of
scikit-learn's needs an estimator: what they need is measured here, before the callbacks see the record.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import Any

import numpy as np
from sklearn.metrics import check_scoring

from glassnet.arrays import Array
from glassnet.errors import fault, type_fault
from glassnet.history import Columns, EpochRecord, History
from glassnet.watchers import Memory, Request, Watcher, recall, remembered, start_all

__all__ = ["Measure", "Watching", "as_fitted", "scorer_of", "with_columns"]

Measure = Callable[[EpochRecord], Mapping[str, float]]


class Watching:
    """All callbacks of one fit as one: measures first, then asks each; remembers whose wish ended the run.

    `own` are the estimator's, `users` those of the caller, whose end needs no warning. After the run, `scores` holds a
    column for each measured number, and `ended_by_user` says who asked first.

    `order`, where given, is what a run that is stopped and resumed must remember besides: where the rows come from.
    Only with `resumable` may one of the callbacks store the run.
    """

    def __init__(
        self,
        own: Sequence[object],
        users: Sequence[object] = (),
        measure: Measure | None = None,
        order: Memory | None = None,
        resumable: bool = False,
    ) -> None:
        self.own, self.users, self.measure = tuple(own), tuple(users), measure
        self.order, self.resumable = order, resumable
        self.scores: dict[str, list[float]] = {}
        self.ended_by_user = False

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        watchers = start_all([*self.own, *self.users], resumable=self.resumable)
        storing = [watcher for watcher in watchers if watcher.folder is not None]
        if len(storing) > 1:
            raise fault("callbacks", "made of one Checkpoint(folder) at most", len(storing))
        self.scores.clear()
        self.ended_by_user = False

        def after_epoch(record: EpochRecord) -> Request | None:
            if self.measure is not None:
                measured = self.measure(record)
                for name, value in measured.items():
                    self.scores.setdefault(name, []).append(value)
                record = replace(record, scores={**record.scores, **measured})
            answers = [watcher.after_epoch(record) for watcher in watchers]
            wishes = [(i, wish) for i, wish in enumerate(answers) if wish is not None]
            if not wishes:
                return None
            number, end = next(((i, wish) for i, wish in wishes if wish.stop is not None), (0, Request()))
            self.ended_by_user = end.stop is not None and number >= len(self.own)
            factor = float(np.prod([wish.rate_factor for _, wish in wishes]))
            return replace(end, rate_factor=factor)

        def at_end() -> Request | None:
            wishes = [wish for watcher in watchers if (wish := watcher.at_end()) is not None]
            return next((wish for wish in reversed(wishes) if wish.theta is not None), None)

        def patience() -> float:
            return 1 if self.measure is not None else min(watcher.patience() for watcher in watchers)

        def hear(losses: Sequence[float]) -> None:
            for watcher in watchers:
                watcher.hear(losses)

        if not storing:
            return Watcher(after_epoch, at_end, patience, hear)
        memory, one = _Memories(watchers, self.scores, self.order), storing[0]
        return Watcher(after_epoch, at_end, patience, hear, memory, one.keep, one.folder, one.resume)


@dataclass(frozen=True, eq=False)
class _Memories:
    """What all the callbacks of a fit remember, the scores that were measured, and the order of the rows."""

    watchers: Sequence[Watcher]
    scores: dict[str, list[float]]
    order: Memory | None

    def stored(self) -> dict[str, object]:
        scores = [[name, np.array(values, np.float64)] for name, values in self.scores.items()]  # in their order
        order = None if self.order is None else self.order.stored()
        return {"watchers": remembered(self.watchers), "scores": scores, "order": order}

    def restore(self, stored: Mapping[str, Any]) -> None:
        recall(stored["watchers"], self.watchers, "a checkpoint")
        self.scores.update((name, values.tolist()) for name, values in stored["scores"])
        if self.order is not None:
            self.order.restore(stored["order"])


def with_columns(history: History, scores: Mapping[str, Sequence[float]]) -> History:
    """Return the history with more columns after the penalty; rows that were not measured any more are left out."""
    if not scores or not len(history):
        return history
    columns = {name: history[name] for name in history.columns}
    new = {name: np.array(values) for name, values in scores.items()}
    n = min(len(history), *(len(values) for values in new.values()))
    ordered: dict[str, Array] = {}
    for name, values in columns.items():
        ordered[name] = values[:n]
        if name == "penalty":
            ordered |= {name: values[:n] for name, values in new.items()}
    return History(Columns(ordered))


def scorer_of(model: Any, X: Array, y: Array, weights: Array | None) -> Measure:
    """Return the measure that `scoring` names, of rows X (m, d) with labels or targets y.

    Weights are passed to scorers that take `sample_weight`. Raises GlassnetError for several scorers.
    """
    if not isinstance(model.scoring, str) and not callable(model.scoring):
        raise type_fault(
            "scoring", "None, 'loss', one scorer's name or a function (estimator, X, y)", repr(model.scoring)
        )
    scorer = check_scoring(model, scoring=model.scoring)
    name = f"validation_{model.scoring}" if isinstance(model.scoring, str) else "validation_score"
    takes_weights = weights is not None and "sample_weight" in signature(scorer).parameters
    extra = {"sample_weight": weights} if takes_weights else {}

    def measure(record: EpochRecord) -> dict[str, float]:
        return {name: float(scorer(as_fitted(model, record), X, y, **extra))}

    return measure


def as_fitted(model: Any, record: EpochRecord) -> Any:
    """Return a copy of the model as if the fit had ended with this epoch; it has seen arrays, without names."""
    shown = copy.copy(model)
    shown.theta_, shown.state_ = record.theta.copy(), record.state.copy()
    vars(shown).pop("feature_names_in_", None)
    return shown
