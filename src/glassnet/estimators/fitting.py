"""Fitting in three steps, so that many fits can be one population: plan, train, finish.

    plan = plan_fit(model, X, y)          check everything, make the network: the arguments of `train`
    run = train(**plan)                   or `train_many` with the plans of many models
    finish_fit(model, plan, run)          the attributes that scikit-learn promises, and its warnings

`model.fit(X, y)` is these three lines for a rule, and the same around `minimize` for a solver.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from glassnet import solvers, training
from glassnet.arrays import Array
from glassnet.callbacks import TimeBudget
from glassnet.engines import get_engine
from glassnet.engines.threads import limited_blas
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import options
from glassnet.estimators.architecture import check_slope
from glassnet.estimators.continuing import FRESH, InTurn, InverseScaling, Memory, NoImprovement, standing_of
from glassnet.estimators.lines import Lines
from glassnet.estimators.telling import tell
from glassnet.estimators.uncertainty import keep_posterior
from glassnet.estimators.watching import Measure, Watching, scorer_of, with_columns
from glassnet.history import Run
from glassnet.layers import Dropout
from glassnet.network import PREDICT
from glassnet.objective import Objective
from glassnet.sampling import Sampling

__all__ = [
    "Rows",
    "begin_fit",
    "complaint",
    "finish_fit",
    "keep",
    "objective_of",
    "plan_batches",
    "plan_fit",
    "run_fit",
]


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
    sample_weight_val: npt.ArrayLike | None = None,
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
    rows = begin_fit(model, X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val)
    return plan_batches(model, rows, int(model.max_iter))


def finish_fit(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Store what the run of a plan has left as attributes, and warn where it did not end by itself.

    Raises GlassnetError where the very first epoch of a model diverged: nothing was learned.
    """
    if run.status == "diverged" and not model.loss_curve_ and all(row["epoch"] == 0 for row in run.history):
        del model.theta_, model.network_
        raise GlassnetError(
            "Solver produced non-finite parameter weights. The input data may contain large values and need to be "
            f"preprocessed. In {run.reason}"
        )
    keep(model, plan, run)
    if text := complaint(model, plan, run):
        tell(text, ConvergenceWarning)


def begin_fit(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    sample_weight: npt.ArrayLike | None = None,
    *,
    X_val: npt.ArrayLike | None = None,
    y_val: npt.ArrayLike | None = None,
    sample_weight_val: npt.ArrayLike | None = None,
) -> Rows:
    """Check arguments and data, and give the model its network and start; return the rows to learn from."""
    options.check_options(model)
    options.say_which_wins(model, X_val is not None)
    reset = not (model.warm_start and hasattr(model, "network_"))
    rows, targets, weights = model._read(X, y, sample_weight, reset=reset, classes="new" if reset else "same")
    if reset:
        model._begin(rows, targets, given=bool(model.warm_start))
    elif model._asked_for(rows, targets) != model.network_:
        remedy = "Leave hidden_layer_sizes and activation as they were, or fit a clone."
        raise fault("the network of a warm start", f"as before, {model.network_.sizes}", "another one", remedy)
    else:
        model._random = check_random_state(model.random_state)
    return Rows(rows, targets, weights, _read_held_out(model, X_val, y_val, sample_weight_val))


def _read_held_out(
    model: Any, X_val: npt.ArrayLike | None, y_val: npt.ArrayLike | None, weights: npt.ArrayLike | None
) -> tuple[Array, ...] | None:
    if (X_val is None) != (y_val is None):
        raise GlassnetError("X_val and y_val must be given together, received only one of them.")
    if X_val is None or y_val is None:
        if weights is not None:
            raise GlassnetError("sample_weight_val needs the rows that it weighs: X_val and y_val are missing.")
        return None
    X, Y, w = model._read(X_val, y_val, weights, reset=False, classes="known")
    return (X, Y) if w is None else (X, Y, w)


def run_fit(model: Any, rows: Rows, users: tuple[object, ...] = ()) -> tuple[dict[str, Any], Run]:
    """Train, asking the callbacks of the caller too, and return the plan beside its run."""
    if options.is_full_batch(model):
        plan = _plan_solver(model, rows, users)
        with limited_blas(model.n_threads):
            return plan, solvers.minimize(**plan)
    plan = plan_batches(model, rows, int(model.max_iter), users, resumable=_can_resume(model))
    return plan, training.train(**plan)


def _can_resume(model: Any) -> bool:
    """Whether a later process can make the same fit: from a seed, and not from weights that it does not have."""
    return isinstance(model.random_state, int | np.integer) and not model.warm_start


# ---- plans --------------------------------------------------------------------------------------------------------


def objective_of(model: Any, rows: Rows) -> Objective:
    """alpha / n_samples (or the sum of the weights) is l2, and so is l1: penalties do not depend on the batch.

    Raises GlassnetError where the slope of a loss of your own is not the derivative of its value.
    """
    total = float(len(rows.X) if rows.weights is None else rows.weights.sum())
    l2 = 0.0 if options.finds_penalty(model) else float(model.alpha) / total
    penalties = {"l1": float(model.l1) / total, "l2": l2}
    objective = Objective(model.network_, model._loss(), **penalties, engine=model.engine)
    if not objective.loss_record.takes_complex:  # your own
        few = slice(0, 50)
        trace = get_engine("numpy").forward(model.network_, model.theta_, rows.X[few], model.state_, PREDICT)
        check_slope(objective.loss_record, trace.output, rows.Y[few])
    return objective


def plan_batches(
    model: Any,
    rows: Rows,
    epochs: int,
    users: tuple[object, ...] = (),
    *,
    going_on: bool = False,
    resumable: bool = False,
) -> dict[str, Any]:
    """Return the arguments of `train` for so many epochs, for one run; `going_on` with the rule of the last one."""
    rows = _with_held_out(model, rows)
    objective = objective_of(model, rows)
    own_metric = rows.held_out is not None and model.scoring is None
    batch_size = options.batch_size_of(model, len(rows.X))
    last = model._optimizer if going_on and model._optimizer.kind == _rule_kind(model) else FRESH
    order: Sampling = "sequential"
    if model.shuffle:  # one batch needs no order
        order = InTurn(model._random, np.arange(len(rows.X))) if batch_size < len(rows.X) else "shuffle"
    ends, memory = [_patience(model)], order if isinstance(order, InTurn) else None
    return {
        "objective": objective,
        "theta": model.theta_,
        "X": rows.X,
        "Y": rows.Y,
        "optimizer": options.make_rule(model, len(rows.X), batch_size, last),
        "epochs": epochs,
        "batch_size": batch_size,
        "sample_weight": rows.weights,
        "validation": rows.held_out,
        "metrics": _metrics(model, rows) if own_metric else {},
        "callbacks": [_watching(model, ends, users, _measure_scorer(model, rows), memory, resumable)],
        "sampling": order,
        "state": model.state_,
        "rule_state": last.state,
        "rng": _noise_seed(model),
        "n_threads": model.n_threads,
    }


def _plan_solver(model: Any, rows: Rows, users: tuple[object, ...]) -> dict[str, Any]:
    """Return the arguments of `minimize`, with held-out rows measured in each iteration."""
    rows = _with_held_out(model, rows)
    objective = objective_of(model, rows)
    flat = [] if options.finds_penalty(model) else [options.FlatLoss(float(model.tol))]  # its loss may rise
    ends: list[object] = [*flat]
    if model.early_stopping:
        ends.append(NoImprovement(float(model.tol), float(model.n_iter_no_change), monitor=_monitor(model)))
    return {
        "objective": objective,
        "theta": model.theta_,
        "X": rows.X,
        "Y": rows.Y,
        "sample_weight": rows.weights,
        "method": model.solver,
        "max_iter": int(model.max_iter),
        "max_evaluations": int(model.max_fun) + 1,  # SciPy ends the iteration in which there were more than max_fun
        "tolerance": float(model.tol),
        "n_threads": model.n_threads,
        "callbacks": [_watching(model, ends, users, _measure_all(model, rows, objective))],
    }


def _watching(
    model: Any,
    ends: Sequence[object],
    users: tuple[object, ...],
    measure: Measure | None,
    order: InTurn | None = None,
    resumable: bool = False,
) -> Watching:
    own = [*ends, *([] if model.time_budget is None else [TimeBudget(float(model.time_budget))])]
    if model.verbose:
        own.append(Lines(_score_name(model)))
    return Watching(own, (*(model.callbacks or ()), *users), measure, order, resumable)


def _patience(model: Any) -> NoImprovement:
    """Return the end of a run of batches, which counts on from the last fit and holds its best weights."""
    adaptive = model.solver == "sgd" and model.learning_rate == "adaptive"
    monitor = _monitor(model)
    standing = standing_of(model, monitor)
    kept = None if monitor == "loss" or standing.best == np.inf else (model.theta_, model.state_)
    return NoImprovement(float(model.tol), float(model.n_iter_no_change), adaptive, monitor, standing, kept)


def _noise_seed(model: Any) -> int:
    """Return a seed for the noise of Dropout; without it nothing is drawn from `random_state`."""
    noisy = any(isinstance(layer, Dropout) for layer in model.network_.layers)
    return int(model._random.randint(2**31 - 1)) if noisy else 0


def _rule_kind(model: Any) -> object:
    """Rules of one kind remember the same vectors, so that a later fit can go on with them."""
    return model.solver, model.momentum > 0


# ---- held-out rows ------------------------------------------------------------------------------------------------


def _score_name(model: Any) -> str:
    """Return the column of the history that early stopping watches."""
    if model.scoring is None:
        return f"validation_{model._metric}"
    return f"validation_{model.scoring}" if isinstance(model.scoring, str) else "validation_score"


def _monitor(model: Any) -> str:
    return _score_name(model) if model.early_stopping else "loss"


def _metrics(model: Any, rows: Rows) -> dict[str, training.Metric]:
    weights = rows.held_out[2] if rows.held_out is not None and len(rows.held_out) == 3 else None
    return {model._metric: lambda outputs, targets: model._score_outputs(outputs, targets, weights)}


def _measure_scorer(model: Any, rows: Rows) -> Measure | None:
    """Return what `scoring` measures of the held-out rows, "loss" excepted, which every run measures."""
    if rows.held_out is None or model.scoring in (None, "loss"):
        return None
    X, Y, *weights = rows.held_out
    return scorer_of(model, X, model._labels_of(Y), weights[0] if weights else None)


def _measure_all(model: Any, rows: Rows, objective: Objective) -> Measure | None:
    """Return what a solver does not measure itself: the loss and the score of the held-out rows."""
    if rows.held_out is None:
        return None
    metrics = _metrics(model, rows) if model.scoring is None else {}
    probe = training.Probe(objective, objective.check(*rows.held_out, stacks=False), "validation_", metrics)
    scorer = _measure_scorer(model, rows)
    return lambda record: {**probe.scores(record.theta, record.state), **(scorer(record) if scorer else {})}


def _with_held_out(model: Any, rows: Rows) -> Rows:
    """Set `validation_fraction` of the rows aside where early stopping has none, classes in their proportions."""
    if not model.early_stopping or rows.held_out is not None:
        return rows
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


# ---- after the run ------------------------------------------------------------------------------------------------


def keep(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Turn a run into attributes."""
    run = replace(run, history=with_columns(run.history, plan["callbacks"][0].scores))
    model.theta_, model.state_ = run.theta, run.state
    model.status_, model.stop_reason_, model.history_ = run.status, run.reason, run.history
    trained = np.asarray(run.history["epoch"]) > 0  # a solver's start is a row, too
    losses = run.history["loss"][trained].tolist()
    broken = [float("nan")] if run.status == "diverged" else []  # the epoch that broke off has no loss and no score
    model.n_iter_ = len(losses) + len(broken)
    model.t_ += model.n_iter_ * len(plan["X"])
    model.loss_ = run.loss
    keep_posterior(model, plan, run)
    if "optimizer" in plan:
        _remember(model, plan, run)
    model.loss_curve_ += losses + broken
    if model.early_stopping and model.validation_scores_ is not None:
        sign = -1.0 if model.scoring == "loss" else 1.0  # a score: the larger, the better
        scores = run.history[_score_name(model)][trained] if losses else np.empty(0)
        model.validation_scores_ += [*(sign * scores).tolist(), *broken]
        model.best_validation_score_ = max(filter(isfinite, model.validation_scores_), default=None)
        model.best_loss_ = None
    else:
        model.best_loss_ = min(filter(isfinite, model.loss_curve_), default=np.inf)


def _remember(model: Any, plan: Mapping[str, Any], run: Run) -> None:
    """Keep what the next fit goes on with: the rule's memory, the rate of its next step, and the patience used up."""
    if not len(run.history):
        return
    stop, rates = _patience(model), run.history["learning_rate"].tolist()
    standing = stop.after_all(run.history[stop.monitor].tolist(), rates)
    rate = rates[-1] * (0.2 if standing.divided else 1.0)
    schedule = plan["optimizer"].learning_rate
    if isinstance(schedule, InverseScaling):
        rate = schedule(int(run.history["updates"][-1]))
    model._optimizer = Memory(_rule_kind(model), run.rule_state, rate)
    model._no_improvement_count = standing.waited


def complaint(model: Any, plan: Mapping[str, Any], run: Run) -> str:
    """Return what to warn of where a run did not end by itself, nor by the wish of a callback; else nothing."""
    if run.status == "diverged":
        return f"The fit diverged: {run.reason} The last good weights are kept."
    if run.status == "stopped" and not plan["callbacks"][0].ended_by_user:
        ended = run.reason if run.reason.startswith("interrupted") else f"ended early: {run.reason}"
        return f"Training {ended}; the weights of the last whole epoch are kept."
    if run.status == "completed":
        what, name = ("iterations", "max_iter") if model.n_iter_ >= model.max_iter else ("evaluations", "max_fun")
        limit = f"Maximum {what} ({getattr(model, name)}) reached"
        return f"{_who(model)}: {limit} and the optimization hasn't converged yet. Raise {name} or tol."
    return ""


def _who(model: Any) -> str:
    """Begin the complaint as scikit-learn does: programs filter its warnings by these words."""
    if options.is_full_batch(model):
        return f"{model.solver} failed to converge after {model.n_iter_} iteration(s)"
    return "Stochastic Optimizer"
