"""What scikit-learn's arguments mean here: one small function for each translation."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet import activations, optimizers, solvers
from glassnet.arrays import Array
from glassnet.callbacks import Request, Watcher
from glassnet.errors import choose, fault, type_fault
from glassnet.history import EpochRecord
from glassnet.layers import Dense
from glassnet.network import Network
from glassnet.optimizers import Rule
from glassnet.schedules import Schedule

__all__ = [
    "FlatLoss", "NoImprovement", "batch_size_of", "check_options", "is_full_batch", "make_network", "make_rule",
    "start_weights",
]  # fmt: skip

SKLEARN_NAMES = {"logistic": "sigmoid"}
LEARNING_RATES = {"constant": None, "invscaling": None, "adaptive": None}
REGRESSION_LOSSES = {"squared_error": None, "poisson": None}
SOLVERS = {**optimizers.RULES, **solvers.METHODS}


def check_options(model: Any) -> None:
    """Check the constructor's arguments, all before any work; raises GlassnetError for the first that is wrong."""
    if isinstance(model.solver, str) or not hasattr(model.solver, "step"):
        choose("solver", model.solver, SOLVERS)
    choose("learning_rate", model.learning_rate, LEARNING_RATES)
    _activation(model.activation)
    _hidden_sizes(model.hidden_layer_sizes)
    if hasattr(model, "loss"):
        choose("loss", model.loss, REGRESSION_LOSSES)
    _whole("max_iter", model.max_iter)
    _whole("max_fun", model.max_fun)
    if not (isinstance(model.n_iter_no_change, float) and model.n_iter_no_change == np.inf):
        _whole("n_iter_no_change", model.n_iter_no_change)
    if not (isinstance(model.batch_size, str) and model.batch_size == "auto"):
        _whole("batch_size", model.batch_size)
    for name in ("alpha", "power_t", "tol"):
        _number(name, getattr(model, name), "a number of at least 0", lambda value: 0 <= value < np.inf)
    for name in ("momentum", "validation_fraction", "beta_1", "beta_2"):
        _number(name, getattr(model, name), "a number in [0, 1)", lambda value: 0 <= value < 1)
    for name in ("learning_rate_init", "epsilon"):
        _number(name, getattr(model, name), "a positive number", lambda value: 0 < value < np.inf)
    for name in ("shuffle", "warm_start", "nesterovs_momentum", "early_stopping"):
        if not isinstance(getattr(model, name), bool | np.bool_):
            raise type_fault(name, "True or False", repr(getattr(model, name)))


def _whole(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise fault(name, "a whole number of at least 1", repr(value))


def _number(name: str, value: Any, expected: str, holds: Callable[[float], bool]) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not holds(float(value)):
        raise fault(name, expected, repr(value))


def _activation(name: object) -> str:
    """Return the library's name of an activation; scikit-learn's "logistic" is the sigmoid."""
    if not isinstance(name, str) or name not in SKLEARN_NAMES:
        choose("activation", name, {**activations.ACTIVATIONS, **SKLEARN_NAMES})
    return SKLEARN_NAMES.get(str(name), str(name))


def _hidden_sizes(sizes: int | Sequence[int]) -> tuple[int, ...]:
    listed = [sizes] if isinstance(sizes, Integral) else list(np.atleast_1d(np.asarray(sizes, dtype=object)))
    for size in listed:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise fault("hidden_layer_sizes", "positive whole numbers", repr(sizes), "For example (50, 50).")
    return tuple(int(size) for size in listed)


def make_network(model: Any, n_inputs: int, n_outputs: int, output: str) -> Network:
    """Return hidden layers as asked for, and an output layer."""
    hidden = [Dense(size, _activation(model.activation)) for size in _hidden_sizes(model.hidden_layer_sizes)]
    return Network(n_inputs, [*hidden, Dense(n_outputs, output)])


def start_weights(model: Any, net: Network, rng: np.random.RandomState, dtype: npt.DTypeLike) -> Array:
    """Return scikit-learn's start: weights and biases from U(-b, b), b^2 = 6 / (n_in + n_out), 2 for "logistic"."""
    factor = 2.0 if _activation(model.activation) == "sigmoid" else 6.0
    start = {}
    for l, (n_in, n_out) in enumerate(zip(net.sizes[:-1], net.sizes[1:], strict=True), 1):
        bound = (factor / (n_in + n_out)) ** 0.5
        start[f"W{l}"] = rng.uniform(-bound, bound, (n_in, n_out))
        start[f"b{l}"] = rng.uniform(-bound, bound, n_out)
    return net.layout.pack(start, dtype)


def is_full_batch(model: Any) -> bool:
    """Whether the solver is one of `minimize` (BFGS and the like) rather than a rule of `train`."""
    return isinstance(model.solver, str) and model.solver in solvers.METHODS


def batch_size_of(model: Any, n_samples: int) -> int:
    """Return the rows of a batch: at most 200 for "auto"; warns where more are asked for than there are."""
    if model.batch_size == "auto":
        return min(200, n_samples)
    if model.batch_size > n_samples:
        warnings.warn(
            f"Got batch_size {model.batch_size}, larger than the {n_samples} samples. It is going to be clipped.",
            stacklevel=5,
        )
    return min(int(model.batch_size), n_samples)


def make_rule(model: Any, n_samples: int, batch_size: int) -> Rule:
    """Return the rule that `solver` names, with its options, or the rule that it is."""
    if not isinstance(model.solver, str):
        return optimizers.get(model.solver)
    rate: float | Schedule = float(model.learning_rate_init)
    if model.solver == "sgd":
        if model.learning_rate == "invscaling":
            rate = _PerEpoch(float(model.learning_rate_init), float(model.power_t), n_samples, batch_size)
        return optimizers.SGD(rate, momentum=model.momentum, nesterov=model.nesterovs_momentum and model.momentum > 0)
    if model.solver in ("adam", "adamw", "nadam"):
        return optimizers.RULES[model.solver](rate, beta1=model.beta_1, beta2=model.beta_2, eps=model.epsilon)
    if model.solver in ("rmsprop", "adagrad"):
        return optimizers.RULES[model.solver](rate, eps=model.epsilon)
    return optimizers.get(model.solver, rate)


@dataclass(frozen=True)
class _PerEpoch:
    """scikit-learn's "invscaling": rate / (1 + samples seen)^power, changed after each epoch."""

    rate: float
    power: float
    n_samples: int
    batch_size: int

    def __call__(self, t: int) -> float:
        epoch = t // -(-self.n_samples // self.batch_size)
        return float(self.rate / (1 + epoch * self.n_samples) ** self.power)


@dataclass(frozen=True)
class NoImprovement:
    """scikit-learn's rule for the end: no improvement by `tol` in more than `patience` epochs in a row.

    Watches the validation score where there is one (and brings the best weights back), else the loss. With `adaptive`
    the rate is divided by 5 first, until it is below 1e-6.
    """

    tol: float
    patience: float
    adaptive: bool = False
    monitor: str = "loss"

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        sign = 1.0 if self.monitor == "loss" else -1.0
        best = {"value": np.inf, "waited": 0}
        kept: list[tuple[Array, Array]] = []

        def after_epoch(record: EpochRecord) -> Request | None:
            value = sign * record.monitored(self.monitor)
            best["waited"] = best["waited"] + 1 if value > best["value"] - self.tol else 0
            if value < best["value"]:
                best["value"] = value
                if self.monitor != "loss":
                    kept[:] = [(record.theta.copy(), record.state.copy())]
            if best["waited"] <= self.patience:
                return None
            if self.adaptive and record.learning_rate > 1e-6:
                best["waited"] = 0
                return Request(rate_factor=0.2)
            return Request(
                "converged", f"{self.monitor} did not improve by more than {self.tol:g} in {self.patience:g} epochs"
            )

        return Watcher(after_epoch, lambda: Request(theta=kept[0][0], state=kept[0][1]) if kept else None)


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
