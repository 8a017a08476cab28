"""Case: what a doctor examines, whatever it came as: an objective, a start, rows, and how it is trained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.callbacks import EarlyStopping
from glassnet.history import Columns, History, Run
from glassnet.layers import Dense
from glassnet.network import PREDICT, Network
from glassnet.objective import Objective
from glassnet.rules import Rule
from glassnet.schedules import as_schedule
from glassnet.scores import r2
from glassnet.solvers import minimize
from glassnet.training import train

__all__ = ["Case", "Dialect", "blind_loss", "data_losses", "epochs_of", "know_nothing_loss"]


@dataclass(frozen=True)
class Dialect:
    """How a remedy is written down: for an estimator (perhaps inside a pipeline) or for `train`."""

    model: str = ""
    """The estimator's class; empty for `train`."""
    prefix: str = ""
    """What stands before its arguments in a pipeline: "mlpclassifier__"."""
    rule_by_name: bool = True
    """Whether the estimator's solver is a name, so that its rate is `learning_rate_init`."""


@dataclass(frozen=True)
class Case:
    """A run that is to be examined, and what is left of it where it has been run.

    `rule` is None for a solver, which `method` then names. `fitted` is theta after the run, `history` its epochs,
    `held_out` rows (X, Y) that it has not learned from. `shift` and `scale` say how the rows were transformed.
    """

    objective: Objective
    theta: Array
    X: Array
    Y: Array
    rule: Rule | None
    batch_size: int
    epochs: int
    weights: Array | None = None
    state: Array | None = None
    method: str = ""
    drop_last: bool = False
    names: tuple[str, ...] = ()
    table: tuple[str, ...] = ()
    """The columns of the table that was given, before any pipeline; empty for arrays."""
    labels: tuple[str, ...] = ()
    """What the classes are called, where that is known."""
    dialect: Dialect = field(default_factory=Dialect)
    fitted: Array | None = None
    fitted_state: Array | None = None
    history: History | None = None
    status: str = ""
    held_out: tuple[Array, Array] | None = None
    stops_early: bool = False
    """Whether a run sets a tenth of the rows aside, and ends when their loss has not fallen for ten epochs."""
    shift: Array | float = 0.0
    scale: Array | float = 1.0

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net

    @property
    def is_classes(self) -> bool:
        """Whether targets are 0 and 1 under outputs that are probabilities, or one-hot rows under others."""
        if self.Y.shape[1] == 1 and self.net.layers[-1].function.range not in ("unit", "simplex"):
            return False
        return bool(((self.Y == 0) | (self.Y == 1)).all())

    @property
    def rate(self) -> float:
        """The first learning rate; NaN for a solver."""
        return float("nan") if self.rule is None else float(as_schedule(self.rule.learning_rate)(0))

    @property
    def steps(self) -> int:
        """Updates in an epoch."""
        return max(len(self.X) // self.batch_size if self.drop_last else -(-len(self.X) // self.batch_size), 1)

    def columns(self, which: Array) -> str:
        """Return the names of columns, at most five of them."""
        named = [self.names[j] if self.names else str(j) for j in which[:5]]
        more = f" and {len(which) - 5} more" if len(which) > 5 else ""
        return f"column{'s' * (len(which) > 1)} {', '.join(named)}{more}"

    def label(self, k: int) -> str:
        """Return the name of class k, or its number."""
        return repr(self.labels[k]) if k < len(self.labels) else f"number {k}"

    def run(self, epochs: int) -> Run:
        """Train a copy from the start for so many epochs (or iterations of a solver)."""
        if self.rule is None:
            return minimize(
                self.objective, self.theta, self.X, self.Y, sample_weight=self.weights, method=self.method,
                max_iter=epochs,
            )  # fmt: skip
        X, Y, weights = self.X, self.Y, self.weights
        aside: dict[str, Any] = {}
        if self.stops_early:
            mine = np.random.default_rng(0).permutation(len(X)) >= len(X) // 10
            aside = {"validation": (X[~mine], Y[~mine]), "callbacks": [EarlyStopping()]}
            X, Y, weights = X[mine], Y[mine], None if weights is None else weights[mine]
        return train(
            self.objective, self.theta, X, Y, optimizer=self.rule, epochs=epochs,
            batch_size=min(self.batch_size, len(X)), sample_weight=weights, state=self.state,
            drop_last=self.drop_last, rng=0, **aside,
        )  # fmt: skip

    def data_loss(self, theta: Array, state: Array | None, rows: tuple[Array, Array] | None = None) -> float:
        """Return the data term of J on the training rows, or on others: infinity where it is not finite."""
        X, Y = (self.X, self.Y) if rows is None else rows
        weights = self.weights if rows is None else None
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            trace = self.objective.run_on.forward(self.net, theta, X, state, PREDICT)
            loss = float(self.objective.data_term(trace, Y, weights))
        return loss if np.isfinite(loss) else float("inf")

    def score(self, theta: Array, state: Array | None, rows: tuple[Array, Array]) -> float:
        """Return the accuracy, or R2 for numbers."""
        X, Y = rows
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            a = self.objective.run_on.forward(self.net, theta, X, state, PREDICT).output
        if not np.isfinite(a).all():
            return float("nan")
        if not self.is_classes:
            return float(r2(a, Y))
        if Y.shape[1] == 1:
            return float(np.mean((a > 0.5) == (Y > 0.5)))
        return float(np.mean(a.argmax(axis=1) == Y.argmax(axis=1)))

    def seen(self, X: Array) -> Array:
        """Return raw rows (m, d) as this case sees its own: shifted and scaled."""
        return np.asarray((X - self.shift) / self.scale).astype(self.theta.dtype)

    def with_network(self, net: Network, **objective: Any) -> Case:
        """Return the case with another network and a fresh start; options of the objective may change with it."""
        made = replace(self.objective, net=net, **objective)
        theta = net.init(rng=0, dtype=self.theta.dtype)
        return replace(self, objective=made, theta=theta, state=net.init_state(self.theta.dtype))

    def with_dense(self, **options: Any) -> Case:
        """Return the case with these options of all its Dense layers, the activation of hidden ones only."""
        hidden = dict(options)
        last = {key: value for key, value in options.items() if key not in ("activation", "units")}
        layers = list(self.net.layers)
        for l, layer in enumerate(layers):
            if isinstance(layer, Dense):
                layers[l] = replace(layer, **(last if l == len(layers) - 1 else hidden))
        return self.with_network(Network(self.net.n_inputs, layers))


def blind_loss(case: Case) -> float:
    """Return the loss of the best constant prediction: for classes, their entropy; for squares, half the variance."""
    mean = np.average(case.Y, axis=0, weights=case.weights)
    cost = case.objective.loss_record.value(np.broadcast_to(mean, case.Y.shape).astype(np.float64), case.Y)
    return float(np.average(np.asarray(cost).sum(axis=1), weights=case.weights))


def know_nothing_loss(case: Case) -> float:
    """Return the loss where every output starts at z = 0: for classes ln k, for numbers that of predicting f(0)."""
    zeros = np.zeros(case.Y.shape)
    cost = case.objective.loss_record.value(case.net.layers[-1].function.f(zeros), case.Y.astype(np.float64))
    return float(np.average(np.asarray(cost).sum(axis=1), weights=case.weights))


def epochs_of(history: History) -> History:
    """Return the history without the row before the first iteration, which solvers have."""
    if not len(history) or history["epoch"][0] > 0:
        return history
    return History(Columns({name: history[name][1:] for name in history.columns}))


def data_losses(history: History) -> Array:
    """Return the loss of each epoch without the penalty; whole where the penalty has run away with it.

    The penalty is that after the epoch, the loss the mean over it: their difference tells something while both move
    little.
    """
    history = epochs_of(history)
    if not len(history):
        return np.empty(0)
    loss, penalty = history["loss"], history["penalty"]
    return np.where(penalty < 0.5 * loss, loss - penalty, loss)
