"""What the arguments mean besides the network: one small function for each translation."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from functools import cache
from inspect import signature
from numbers import Integral, Real
from typing import Any, cast

import numpy as np

from glassnet import losses, optimizers, solvers
from glassnet.arrays import check_count
from glassnet.errors import choose, fault, type_fault
from glassnet.estimators.architecture import check_architecture
from glassnet.estimators.continuing import InverseScaling, Memory
from glassnet.estimators.telling import tell
from glassnet.history import EpochRecord
from glassnet.rules import Rule
from glassnet.schedules import Schedule
from glassnet.watchers import Request, Watcher, check_all

__all__ = [
    "FlatLoss", "batch_size_of", "check_options", "is_full_batch", "make_rule", "say_which_wins",
]  # fmt: skip

LEARNING_RATES = {"constant": None, "invscaling": None, "adaptive": None}
SOLVERS = {**optimizers.RULES, **solvers.METHODS}
DTYPES = {"float32": np.float32, "float64": np.float64}


def check_options(model: Any) -> None:
    """Check the constructor's arguments, all before any work; raises GlassnetError for the first that is wrong."""
    if isinstance(model.solver, str) or not hasattr(model.solver, "step"):
        choose("solver", model.solver, SOLVERS)
    choose("learning_rate", model.learning_rate, LEARNING_RATES)
    check_architecture(model)
    if model.loss is not None:
        losses.get(model.loss)
    _whole("max_iter", model.max_iter)
    _whole("max_fun", model.max_fun)
    if not (isinstance(model.n_iter_no_change, float) and model.n_iter_no_change == np.inf):
        _whole("n_iter_no_change", model.n_iter_no_change)
    if not (isinstance(model.batch_size, str) and model.batch_size == "auto"):
        _whole("batch_size", model.batch_size)
    for name in ("alpha", "l1", "power_t", "tol"):
        _number(name, getattr(model, name), "a number of at least 0", lambda value: 0 <= value < np.inf)
    for name in ("momentum", "validation_fraction", "beta_1", "beta_2"):
        _number(name, getattr(model, name), "a number in [0, 1)", lambda value: 0 <= value < 1)
    for name in ("learning_rate_init", "epsilon"):
        _number(name, getattr(model, name), "a positive number", lambda value: 0 < value < np.inf)
    if isinstance(model.verbose, str | None.__class__) or not 0 <= model.verbose < np.inf:
        raise type_fault("verbose", "True, False or a whole number", repr(model.verbose))
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        if not isinstance(getattr(model, name), bool | np.bool_):
            raise type_fault(name, "True or False", repr(getattr(model, name)))
    if model.time_budget is not None:
        _number("time_budget", model.time_budget, "a positive number of seconds", lambda value: value > 0)
    if model.n_threads is not None:
        check_count("n_threads", model.n_threads)
    if model.dtype is not None:
        choose("dtype", getattr(model.dtype, "__name__", str(model.dtype)), DTYPES)
    if model.callbacks is not None:
        _check_callbacks(model.callbacks)
    if is_full_batch(model) and np.any(model.dropout):
        remedy = f"Rules such as 'adam' take it: {', '.join(optimizers.RULES)}."
        raise fault("dropout", f"0 with the solver {model.solver!r}, whose loss may not change from call to call",
                    repr(model.dropout), remedy)  # fmt: skip


def _check_callbacks(callbacks: Any) -> None:
    for callback in callbacks if isinstance(callbacks, list | tuple) else ():
        if hasattr(callback, "on_fit_task_end"):
            remedy = f"Call model.set_callbacks({type(callback).__name__}(...)), as in scikit-learn."
            raise type_fault("each callback", "one of glassnet's", repr(callback), remedy)
    check_all(callbacks)


def say_which_wins(model: Any, held_out: bool) -> None:
    """Warn where arguments that were set on purpose are not read, because others stand in their place."""
    changed = {
        name for name, value in _usual(cast(Hashable, type(model))).items() if not _same(getattr(model, name), value)
    }
    if held_out and model.early_stopping and "validation_fraction" in changed:
        _not_read("validation_fraction", "X_val and y_val win: they decide when to stop, and all rows of X are learned")
    if not isinstance(model.solver, str):
        for name in ("learning_rate", "learning_rate_init", "power_t", "momentum", "beta_1", "beta_2", "epsilon"):
            if name in changed:
                _not_read(name, "the rule given as solver wins, with its own options")
    if finds_penalty(model) and "alpha" in changed:
        _not_read("alpha", "the solver 'br' finds the penalty itself")
    if model.scoring is not None and not model.early_stopping and not held_out:
        _not_read("scoring", "nothing is held out without early_stopping=True or X_val")


@cache
def _usual(kind: Hashable) -> Mapping[str, object]:
    return {name: parameter.default for name, parameter in signature(cast(type, kind)).parameters.items()}


def _same(value: object, usual: object) -> bool:
    return type(value) is type(usual) and bool(value == usual)


def _not_read(name: str, why: str) -> None:
    tell(f"{name} is not read: {why}.", UserWarning)


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise fault(name, "a whole number of at least 1", repr(value))


def _number(name: str, value: Any, expected: str, holds: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not holds(float(value)):
        raise fault(name, expected, repr(value))


def is_full_batch(model: Any) -> bool:
    """Whether the solver is one of `minimize` (BFGS and the like) rather than a rule of `train`."""
    return isinstance(model.solver, str) and model.solver in solvers.METHODS


def finds_penalty(model: Any) -> bool:
    """Whether the solver is Bayesian regularisation, which finds the penalty itself: `alpha` is not read."""
    return isinstance(model.solver, str) and model.solver == "br"


def batch_size_of(model: Any, n_samples: int) -> int:
    """Return the rows of a batch: at most 200 for "auto"; warns where more are asked for than there are."""
    if model.batch_size == "auto":
        return min(200, n_samples)
    if model.batch_size > n_samples:
        text = f"Got `batch_size` {model.batch_size}, larger than the {n_samples} samples. It is going to be clipped."
        tell(text, UserWarning)
    return min(int(model.batch_size), n_samples)


def make_rule(model: Any, n_samples: int, batch_size: int, last: Memory) -> Rule:
    """Return the rule that `solver` names, with its options, or the rule that it is; it goes on from `last`."""
    if not isinstance(model.solver, str):
        return optimizers.get(model.solver)
    first = float(model.learning_rate_init)
    rate: float | Schedule = first
    if model.solver == "sgd":
        if model.learning_rate == "invscaling":
            steps = 0 if last.state is None else last.state.t
            start = first if last.state is None else None
            rate = InverseScaling(first, float(model.power_t), n_samples, batch_size, model.t_, steps, start)
        elif model.learning_rate == "adaptive" and last.state is not None:
            rate = last.learning_rate
        return optimizers.SGD(rate, momentum=model.momentum, nesterov=model.nesterovs_momentum and model.momentum > 0)
    if model.solver == "adam":
        return optimizers.Adam(rate, beta1=model.beta_1, beta2=model.beta_2, eps=model.epsilon, eps_inside=True)
    if model.solver in ("adamw", "nadam"):
        return optimizers.RULES[model.solver](rate, beta1=model.beta_1, beta2=model.beta_2, eps=model.epsilon)
    if model.solver in ("rmsprop", "adagrad"):
        return optimizers.RULES[model.solver](rate, eps=model.epsilon)
    return optimizers.get(model.solver, rate)


@dataclass(frozen=True)
class FlatLoss:
    """The end of a solver where J has a kink (ReLU) and no gradient that vanishes: an iteration that hardly lowers J.

    At most 2.2e-9 of max(J, 1), as in scikit-learn; tol^2 where that is less, because J falls with the square of
    the gradient.
    """

    tol: float

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        share = min(2.2e-9, self.tol**2)
        before = [np.inf]

        def after_epoch(record: EpochRecord) -> Request | None:
            last, before[0] = before[0], record.loss
            if record.epoch == 0 or last - record.loss > share * max(abs(last), abs(record.loss), 1.0):
                return None
            return Request("converged", f"an iteration lowered the loss by no more than {share:.1e} of it")

        return Watcher(after_epoch)
