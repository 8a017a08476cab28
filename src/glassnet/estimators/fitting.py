"""Fitting in three steps, so that many fits can be one population: plan, train, finish.

    plan = plan_fit(model, X, y)          check everything, make the network: the arguments of `train`
    run = train(**plan)                   or `train_many` with the plans of many models
    finish_fit(model, plan, run)          the attributes that scikit-learn promises, and its warnings

`model.fit(X, y)` is these three lines for a rule, and the same around `minimize` for a solver.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from glassnet import solvers, training
from glassnet.arrays import Array
from glassnet.callbacks import Progress
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import options
from glassnet.history import Run
from glassnet.objective import Objective

__all__ = ["Rows", "begin_fit", "finish_fit", "keep", "plan_batches", "plan_fit", "run_fit"]


class Rows(NamedTuple):
    """What a fit works on: X (m, d), targets (m, k), weights (m,) and the rows that are held out."""

    X: Array
    Y: Array
    weights: Array | None
    held_out: tuple[Array, ...] | None = None
    """(X, Y) or (X, Y, weights)."""


def plan_fit(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    X_val: npt.ArrayLike | None = None,
    y_val: npt.ArrayLike | None = None,
) -> dict[str, Any]:
    """Return the arguments of `train` for this fit, after all checks; the model has its network and its start then.

    Raises GlassnetError for input that cannot be right, and for a solver that is not a rule: it has no epochs.

    >>> from glassnet import MLPRegressor, train_many
    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> models = [MLPRegressor(max_iter=5, tol=0.0, random_state=seed) for seed in (0, 1)]
    >>> plans = [plan_fit(model, X, X.ravel() ** 2) for model in models]
    >>> [run.status for run in train_many(plans)]
    ['completed', 'completed']
    """
    if options.is_full_batch(model):
        raise fault("solver", "a rule that takes batches, such as 'adam'", repr(model.solver), "Call fit instead.")
    return plan_batches(model, begin_fit(model, X, y, sample_weight, X_val=X_val, y_val=y_val), int(model.max_iter))


def finish_fit(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Store what the run of a plan has left as attributes, and warn where it did not end by itself."""
    keep(model, plan, run)
    _warn(model, run)


def begin_fit(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    X_val: npt.ArrayLike | None = None,
    y_val: npt.ArrayLike | None = None,
) -> Rows:
    """Check arguments and data, and give the model its network and start; return the rows to learn from."""
    options.check_options(model)
    reset = not (model.warm_start and hasattr(model, "network_"))
    rows, targets, weights = model._read(X, y, sample_weight, reset=reset, classes="new" if reset else "same")
    if reset:
        model._begin(rows, targets)
    elif model._asked_for(rows, targets) != model.network_:
        remedy = "Leave hidden_layer_sizes and activation as they were, or fit a clone."
        raise fault("the network of a warm start", f"as before, {model.network_.sizes}", "another one", remedy)
    return Rows(rows, targets, weights, _read_held_out(model, X_val, y_val))


def _read_held_out(model: Any, X_val: npt.ArrayLike | None, y_val: npt.ArrayLike | None) -> tuple[Array, ...] | None:
    if (X_val is None) != (y_val is None):
        raise GlassnetError("X_val and y_val must be given together, received only one of them.")
    if X_val is None or y_val is None:
        return None
    if options.is_full_batch(model):
        raise fault("X_val", f"left out with the solver {model.solver!r}", "rows", "Rules such as 'adam' take it.")
    held_out: tuple[Array, ...] = model._read(X_val, y_val, None, reset=False, classes="known")[:2]
    return held_out


def run_fit(model: Any, rows: Rows) -> tuple[dict[str, Any], Run]:
    """Train, and return the plan beside its run."""
    if options.is_full_batch(model):
        plan = _plan_solver(model, rows)
        return plan, solvers.minimize(**plan)
    plan = plan_batches(model, rows, int(model.max_iter))
    return plan, training.train(**plan)


def _objective(model: Any, rows: Rows) -> Objective:
    """alpha / n_samples (or the sum of the weights) is l2: the penalty does not depend on the batch."""
    total = float(len(rows.X) if rows.weights is None else rows.weights.sum())
    return Objective(model.network_, model._loss(), l2=float(model.alpha) / total, engine=model.engine)


def plan_batches(model: Any, rows: Rows, epochs: int) -> dict[str, Any]:
    """Return the arguments of `train` for so many epochs."""
    objective = _objective(model, rows)
    if model.early_stopping and rows.held_out is None:
        rows = _split(model, rows)
    metrics: dict[str, training.Metric] = {}
    if rows.held_out is not None:
        held_weights = rows.held_out[2] if len(rows.held_out) == 3 else None
        metrics[model._metric] = lambda outputs, targets: model._score_outputs(outputs, targets, held_weights)
    score = f"validation_{model._metric}"
    monitor = score if model.early_stopping else "loss"
    batch_size = options.batch_size_of(model, len(rows.X))
    adaptive = model.solver == "sgd" and model.learning_rate == "adaptive"
    stop = options.NoImprovement(float(model.tol), float(model.n_iter_no_change), adaptive, monitor)
    return {
        "objective": objective,
        "theta": model.theta_,
        "X": rows.X,
        "Y": rows.Y,
        "optimizer": options.make_rule(model, len(rows.X), batch_size),
        "epochs": epochs,
        "batch_size": batch_size,
        "sample_weight": rows.weights,
        "validation": rows.held_out,
        "metrics": metrics,
        "callbacks": [stop, *([Progress(show=(score,))] if model.verbose else [])],
        "sampling": "shuffle" if model.shuffle else "sequential",
        "rule_state": model._memory[1] if model._memory[0] == _rule_kind(model) else None,
        "rng": int(model._random.randint(2**31 - 1)),
    }


def _plan_solver(model: Any, rows: Rows) -> dict[str, Any]:
    """Return the arguments of `minimize`."""
    if model.early_stopping:
        raise fault("early_stopping", f"False with the solver {model.solver!r}", True, "Use 'adam' or 'sgd'.")
    return {
        "objective": _objective(model, rows),
        "theta": model.theta_,
        "X": rows.X,
        "Y": rows.Y,
        "sample_weight": rows.weights,
        "method": model.solver,
        "max_iter": int(model.max_iter),
        "max_evaluations": int(model.max_fun),
        "tolerance": float(model.tol),
        "callbacks": [options.FlatLoss(float(model.tol)), *([Progress()] if model.verbose else [])],
    }


def _rule_kind(model: Any) -> object:
    """Rules of one kind remember the same vectors, so that a later fit can go on with them."""
    return model.solver, model.momentum > 0


def _split(model: Any, rows: Rows) -> Rows:
    """Set `validation_fraction` of the rows aside, classes in their proportions."""
    X, Y, weights, _ = rows
    everyone = np.ones(len(X), X.dtype) if weights is None else weights
    X, X_val, Y, Y_val, w, w_val = train_test_split(
        X, Y, everyone, random_state=model._random, test_size=model.validation_fraction, stratify=model._strata(Y)
    )
    if len(X_val) < 2:
        raise GlassnetError("The validation set is too small. Raise validation_fraction, or take more rows.")
    if weights is None:
        return Rows(X, Y, None, (X_val, Y_val))
    return Rows(X, Y, w, (X_val, Y_val, w_val))


def keep(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Turn a run into attributes."""
    model.theta_ = run.theta
    model._memory = (_rule_kind(model), run.rule_state)
    model.status_, model.stop_reason_, model.history_ = run.status, run.reason, run.history
    rows = [row for row in run.history if row["epoch"] > 0]
    model.n_iter_ = len(rows)
    model.t_ += len(rows) * len(plan["X"])
    model.loss_ = run.loss
    model.loss_curve_ += [row["loss"] for row in rows]
    if model.early_stopping and model.validation_scores_ is not None:
        model.validation_scores_ += [row[f"validation_{model._metric}"] for row in rows]
        model.best_validation_score_ = max(model.validation_scores_, default=None)
        model.best_loss_ = None
    else:
        model.best_loss_ = min(model.loss_curve_, default=np.inf)


def _warn(model: Any, run: Run) -> None:
    """Warn of a run that did not end by itself."""
    if run.status == "diverged":
        text = f"The fit diverged: {run.reason} The last good weights are kept."
    elif run.status == "stopped":
        text = f"Training {run.reason}; the weights of the last whole epoch are kept."
    elif run.status == "completed":
        what, name = ("iterations", "max_iter") if model.n_iter_ >= model.max_iter else ("evaluations", "max_fun")
        limit = f"Maximum {what} ({getattr(model, name)}) reached"
        text = f"{limit} and the optimization hasn't converged yet. Raise {name} or tol."
    else:
        return
    warnings.warn(text, ConvergenceWarning, stacklevel=4)
