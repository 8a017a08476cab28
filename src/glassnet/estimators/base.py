"""What `MLPClassifier` and `MLPRegressor` share: fitting, and the attributes that a run leaves."""

from __future__ import annotations

import sys
import warnings
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from glassnet import solvers, training
from glassnet.arrays import Array, check_weights
from glassnet.callbacks import Progress
from glassnet.engines import get_engine
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import options
from glassnet.history import Run
from glassnet.network import PREDICT, Network
from glassnet.objective import Objective
from glassnet.optimizers import RuleState

__all__ = ["MLP", "Classes", "store"]

Classes = Literal["new", "same", "known"]
"""What the labels of a call may be: learned anew, all those of the last call, or some of them."""


def _has_partial_fit(model: Any) -> bool:
    if not options.is_full_batch(model):
        return True
    raise AttributeError(f"partial_fit is only available for solvers that take batches; received {model.solver!r}.")


class MLP(BaseEstimator):
    """What the two share: fitting, and the attributes that a run leaves."""

    _metric: str

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit to X (m, d) and y (m,) or (m, k).

        `X_val`, `y_val` are held-out rows of your own: `history_` then has "validation_loss" and
        "validation_accuracy" or "validation_r2".
        With `early_stopping` they take the place of `validation_fraction`; without it they decide nothing.

        Raises GlassnetError (a ValueError) for input that cannot be right. A run that diverges is warned of, and keeps
        the last good weights.
        """
        options.check_options(self)
        reset = not (self.warm_start and hasattr(self, "network_"))
        rows, targets, weights = self._read(X, y, sample_weight, reset=reset, classes="new" if reset else "same")
        if reset:
            self._begin(rows, targets)
        elif self._asked_for(rows, targets) != self.network_:
            remedy = "Leave hidden_layer_sizes and activation as they were, or fit a clone."
            raise fault("the network of a warm start", f"as before, {self.network_.sizes}", "another one", remedy)
        run = self._run(rows, targets, weights, self._read_held_out(X_val, y_val))
        self._keep(run, len(rows))
        self._warn(run)
        return self

    def _read(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, *, reset: bool, classes: Classes
    ) -> tuple[Array, Array, Array | None]:
        """Return X, targets (m, k) and weights as arrays, checked the way scikit-learn checks them."""
        rows, labels = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32),
            y_numeric=isinstance(self, RegressorMixin), reset=reset,
        )  # fmt: skip
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        if sample_weight is not None:
            sample_weight = check_weights(_check_sample_weight(sample_weight, rows, dtype=rows.dtype), len(labels))
        targets = self._targets(labels, classes)
        return rows, targets.reshape(len(targets), -1).astype(rows.dtype), sample_weight

    def _read_held_out(self, X_val: npt.ArrayLike | None, y_val: npt.ArrayLike | None) -> tuple[Array, ...] | None:
        if (X_val is None) != (y_val is None):
            raise GlassnetError("X_val and y_val must be given together, received only one of them.")
        if X_val is None or y_val is None:
            return None
        if options.is_full_batch(self):
            raise fault("X_val", f"left out with the solver {self.solver!r}", "rows", "Rules such as 'adam' take it.")
        return self._read(X_val, y_val, None, reset=False, classes="known")[:2]

    def _begin(self, X: Array, Y: Array) -> None:
        """Make the network and its start, and forget what an earlier fit left."""
        self._random = check_random_state(self.random_state)
        self.network_: Network = self._asked_for(X, Y)
        self.theta_ = options.start_weights(self, self.network_, self._random, X.dtype)
        self.out_activation_ = {"sigmoid": "logistic"}.get(
            self.network_.output_activation, self.network_.output_activation
        )
        self.n_outputs_, self.n_layers_ = self.network_.n_outputs, len(self.network_.layers) + 1
        self.t_ = 0
        self._memory: tuple[object, RuleState | None] = (None, None)
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = None

    def _asked_for(self, X: Array, Y: Array) -> Network:
        """Return the network that the arguments describe."""
        return options.make_network(self, X.shape[1], Y.shape[1], self._output(Y))

    def _run(self, X: Array, Y: Array, weights: Array | None, held_out: tuple[Array, ...] | None) -> Run:
        objective = self._objective(X, weights)
        if options.is_full_batch(self):
            return self._minimize(objective, X, Y, weights)
        return self._train(objective, X, Y, weights, int(self.max_iter), held_out)

    def _warn(self, run: Run) -> None:
        """Warn of a run that did not end by itself."""
        if run.status == "diverged":
            text = f"The fit diverged: {run.reason} The last good weights are kept."
        elif run.status == "stopped":
            text = f"Training {run.reason}; the weights of the last whole epoch are kept."
        elif run.status == "completed":
            what, name = ("iterations", "max_iter") if self.n_iter_ >= self.max_iter else ("evaluations", "max_fun")
            limit = f"Maximum {what} ({getattr(self, name)}) reached"
            text = f"{limit} and the optimization hasn't converged yet. Raise {name} or tol."
        else:
            return
        warnings.warn(text, ConvergenceWarning, stacklevel=3)

    def _objective(self, X: Array, weights: Array | None) -> Objective:
        """alpha / n_samples (or the sum of the weights) is l2: the penalty does not depend on the batch."""
        total = float(len(X) if weights is None else weights.sum())
        return Objective(self.network_, self._loss(), l2=float(self.alpha) / total, engine=self.engine)

    def _minimize(self, objective: Objective, X: Array, Y: Array, weights: Array | None) -> Run:
        if self.early_stopping:
            raise fault("early_stopping", f"False with the solver {self.solver!r}", True, "Use 'adam' or 'sgd'.")
        return solvers.minimize(
            objective, self.theta_, X, Y, weights, method=self.solver, max_iter=int(self.max_iter),
            max_evaluations=int(self.max_fun), tolerance=float(self.tol),
            callbacks=[options.FlatLoss(float(self.tol)), *([Progress()] if self.verbose else [])],
        )  # fmt: skip

    def _train(
        self,
        objective: Objective,
        X: Array,
        Y: Array,
        weights: Array | None,
        epochs: int,
        held_out: tuple[Array, ...] | None = None,
    ) -> Run:
        metrics: dict[str, training.Metric] = {}
        if self.early_stopping and held_out is None:
            X, Y, weights, held_out = self._split(X, Y, weights)
        if held_out is not None:
            held_weights = held_out[2] if len(held_out) == 3 else None
            metrics[self._metric] = lambda outputs, targets: self._score_outputs(outputs, targets, held_weights)
        monitor = f"validation_{self._metric}" if self.early_stopping else "loss"
        batch_size = options.batch_size_of(self, len(X))
        adaptive = self.solver == "sgd" and self.learning_rate == "adaptive"
        stop = options.NoImprovement(float(self.tol), float(self.n_iter_no_change), adaptive, monitor)
        run = training.train(
            objective,
            self.theta_,
            X,
            Y,
            optimizer=options.make_rule(self, len(X), batch_size),
            epochs=epochs,
            batch_size=batch_size,
            sample_weight=weights,
            validation=held_out,
            metrics=metrics,
            callbacks=[stop, Progress(show=(f"validation_{self._metric}",))] if self.verbose else [stop],
            sampling="shuffle" if self.shuffle else "sequential",
            rule_state=self._memory[1] if self._memory[0] == self._rule_kind else None,
            rng=int(self._random.randint(2**31 - 1)),
        )
        if self.verbose and run.estimate:
            print(f"{run.estimate}; it took {run.seconds:.2g} s", file=sys.stderr)
        return run

    @property
    def _rule_kind(self) -> object:
        """Rules of one kind remember the same vectors, so that a later fit can go on with them."""
        return self.solver, self.momentum > 0

    def _split(self, X: Array, Y: Array, weights: Array | None) -> tuple[Array, Array, Array | None, tuple[Array, ...]]:
        """Set `validation_fraction` of the rows aside, classes in their proportions."""
        everyone = np.ones(len(X), X.dtype) if weights is None else weights
        X, X_val, Y, Y_val, w, w_val = train_test_split(
            X, Y, everyone, random_state=self._random, test_size=self.validation_fraction, stratify=self._strata(Y)
        )
        if len(X_val) < 2:
            raise GlassnetError("The validation set is too small. Raise validation_fraction, or take more rows.")
        held_out = (X_val, Y_val) if weights is None else (X_val, Y_val, w_val)
        return X, Y, None if weights is None else w, held_out

    def _keep(self, run: Run, n_samples: int) -> None:
        """Turn a run into attributes."""
        self.theta_ = run.theta
        self._memory = (self._rule_kind, run.rule_state)
        self.status_, self.stop_reason_, self.history_ = run.status, run.reason, run.history
        rows = [row for row in run.history if row["epoch"] > 0]
        self.n_iter_ = len(rows)
        self.t_ += len(rows) * n_samples
        self.loss_ = run.loss
        self.loss_curve_ += [row["loss"] for row in rows]
        if self.early_stopping and self.validation_scores_ is not None:
            self.validation_scores_ += [row[f"validation_{self._metric}"] for row in rows]
            self.best_validation_score_ = max(self.validation_scores_, default=None)
            self.best_loss_ = None
        else:
            self.best_loss_ = min(self.loss_curve_, default=np.inf)

    @available_if(_has_partial_fit)
    def partial_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        classes: npt.ArrayLike | None = None,
    ) -> Self:
        """Go through X (m, d) and y once, going on from where the last call ended.

        `classes` lists all labels at the first call of a classifier. Raises GlassnetError with early stopping, which
        needs rows of its own in every call.
        """
        options.check_options(self)
        if self.early_stopping:
            raise GlassnetError("partial_fit does not support early_stopping=True: it sees too few rows at a time.")
        first = not hasattr(self, "network_")
        self._check_classes(y, classes, first)
        rows, targets, weights = self._read(X, y, sample_weight, reset=first, classes="known")
        if first:
            self._begin(rows, targets)
        run = self._train(self._objective(rows, weights), rows, targets, weights, 1)
        self._keep(run, len(rows))
        if run.status == "diverged":
            self._warn(run)
        return self

    @property
    def coefs_(self) -> list[Array]:
        """The weight matrices (n_in, n_out), layer by layer: views of `theta_`."""
        check_is_fitted(self, "theta_")
        return [layer["W"] for layer in self.network_.split(self.theta_)]

    @property
    def intercepts_(self) -> list[Array]:
        """The biases (n_out,), layer by layer: views of `theta_`."""
        check_is_fitted(self, "theta_")
        return [layer["b"] for layer in self.network_.split(self.theta_)]

    def _outputs(self, X: npt.ArrayLike) -> Array:
        check_is_fitted(self, "theta_")
        rows = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        return get_engine(self.engine).forward(self.network_, self.theta_, rows, None, PREDICT).output

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "theta_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def store(model: Any, arguments: dict[str, Any]) -> None:
    """Keep the constructor's arguments unchanged, under their names: what scikit-learn's `clone` asks for."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(model, name, value)
