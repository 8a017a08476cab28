"""What `MLPClassifier` and `MLPRegressor` share: reading the data, fitting, and looking inside."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import Any, Concatenate, Literal, ParamSpec, Self, TypeVar

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.callback import CallbackSupportMixin, with_callbacks
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from glassnet import training
from glassnet.arrays import Array, check_weights
from glassnet.engines import get_engine
from glassnet.engines.threads import cores_for
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import architecture, fitting, options
from glassnet.estimators.bridge import Bridge
from glassnet.estimators.continuing import FRESH
from glassnet.estimators.showing import Summary, notebook_view, summarise
from glassnet.estimators.weights import Views, given_weights
from glassnet.history import Run
from glassnet.layers import Dense
from glassnet.network import PREDICT, Network, Trace

__all__ = ["MLP", "Classes", "has_partial_fit", "store"]

M = TypeVar("M")
R = TypeVar("R")
P = ParamSpec("P")
Classes = Literal["new", "same", "known"]
"""What the labels of a call may be: learned anew, all those of the last call, or some of them."""


def has_partial_fit(model: Any) -> bool:
    """Whether the solver takes batches; raises AttributeError with the reason where it does not."""
    if not options.is_full_batch(model):
        return True
    raise AttributeError(f"partial_fit is only available for solvers that take batches; received {model.solver!r}.")


def as_before_if_it_fails(method: Callable[Concatenate[M, P], R]) -> Callable[Concatenate[M, P], R]:
    """Let the method give the model its attributes back where it raises: what failed leaves no half of a model."""

    @wraps(method)
    def run(model: M, /, *args: P.args, **kwargs: P.kwargs) -> R:
        before, ended = dict(vars(model)), False
        try:
            result = method(model, *args, **kwargs)
            ended = True
            return result
        finally:
            if not ended:
                vars(model).clear()
                vars(model).update(before)

    return run


class MLP(CallbackSupportMixin, BaseEstimator):
    """What the two share: reading the data, fitting, and looking inside."""

    _metric: str

    @as_before_if_it_fails
    @with_callbacks
    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        sample_weight_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit to X (m, d) and y (m,) or (m, k).

        `X_val`, `y_val` are held-out rows of your own, weighted by `sample_weight_val`: `history_` then has
        "validation_loss" and "validation_accuracy", "validation_r2" or what `scoring` names. With `early_stopping`
        they decide when to stop, in the place of `validation_fraction`: where both are given, X_val wins, and a warning
        says so. Without it they decide nothing.

        Raises GlassnetError (a ValueError) for input that cannot be right, and where the first epoch diverges: the
        model stays as it was before, fitted or not. A run that diverges later is warned of, and keeps the last good
        weights.
        """
        rows = fitting.begin_fit(
            self, X, y, sample_weight, X_val=X_val, y_val=y_val, sample_weight_val=sample_weight_val
        )
        context = self._init_callback_context(max_subtasks=int(self.max_iter) + 1)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}
        data = {"X": X, "y": y, "metadata": metadata}
        context.call_on_fit_task_begin(estimator=self, **data)
        bridges = (Bridge(self, context, data),) if getattr(self, "_skl_callbacks", None) else ()
        plan, run = fitting.run_fit(self, rows, bridges)
        self._say_ending(run)
        fitting.finish_fit(self, plan, run)
        context.call_on_fit_task_end(estimator=self, **data, reconstruction_attributes={})
        return self

    def _say_ending(self, run: Run) -> None:
        """With `verbose`: why the run ended by itself, and how long it was expected to take."""
        if self.verbose and run.status == "converged":
            print(f"{run.reason[0].upper()}{run.reason[1:]}. Stopping.")
        if self.verbose and run.estimate:
            print(f"{run.estimate}; it took {run.seconds:.2g} s", file=sys.stderr)

    def _read(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, *, reset: bool, classes: Classes
    ) -> tuple[Array, Array, Array | None]:
        """Return X, targets (m, k) and weights as arrays, checked the way scikit-learn checks them."""
        dtype = (np.float64, np.float32) if self.dtype is None else np.dtype(self.dtype)
        try:
            rows, labels = validate_data(
                self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=dtype,
                y_numeric=isinstance(self, RegressorMixin), reset=reset,
            )  # fmt: skip
        except OverflowError as error:  # Python's whole numbers have no end
            raise fault("X and y", "numbers that a float can hold", str(error), "Rescale them.") from error
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        weights = None
        if sample_weight is not None:
            weights = check_weights(_check_sample_weight(sample_weight, rows, dtype=rows.dtype), len(rows))
        targets = self._targets(labels, classes)
        weights = self._weights(labels, weights, classes)
        weights = None if weights is None else weights.astype(rows.dtype)
        return rows, targets.reshape(len(targets), -1).astype(rows.dtype, copy=False), weights

    def _weights(self, labels: Array, weights: Array | None, classes: Classes) -> Array | None:
        """Return the weights of the rows, those of their classes included."""
        return weights

    def _begin(self, X: Array, Y: Array, *, given: bool) -> None:
        """Make the network and its start, of the weights that were assigned if `given`; forget what was before."""
        self._random = check_random_state(self.random_state)
        self.network_: Network = self._asked_for(X, Y)
        self.theta_ = architecture.start_weights(self, self.network_, self._random, X.dtype)
        assigned = self.__dict__.pop("_given", {})
        if given and assigned:
            self.theta_ = given_weights(self.network_, self.theta_, assigned)
        self.state_ = self.network_.init_state(X.dtype)
        self.out_activation_ = {"sigmoid": "logistic"}.get(
            self.network_.output_activation, self.network_.output_activation
        )
        self.n_outputs_, self.n_layers_ = self.network_.n_outputs, len(self.coefs_) + 1
        self.t_ = 0
        self._optimizer, self._no_improvement_count = FRESH, 0
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = None

    def _asked_for(self, X: Array, Y: Array) -> Network:
        """Return the network that the arguments describe."""
        return architecture.make_network(self, X.shape[1], Y.shape[1], self._output(Y))

    @available_if(has_partial_fit)
    @as_before_if_it_fails
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
            self._begin(rows, targets, given=True)
        else:
            self._random = check_random_state(self.random_state)
        plan = fitting.plan_batches(self, fitting.Rows(rows, targets, weights), 1, going_on=not first)
        run = training.train(**plan)
        self._say_ending(run)
        if run.status == "diverged":
            fitting.finish_fit(self, plan, run)
        else:
            fitting.keep(self, plan, run)
        return self

    # ---- looking inside -------------------------------------------------------------------------------------------

    @property
    def coefs_(self) -> list[Array]:
        """The weight matrices (n_in, n_out), layer by layer: views of `theta_`.

        Assigning writes into `theta_`; before the first fit, `partial_fit` and a warm start begin with what is given.
        """
        return self._layers("coefs_", "W")

    @coefs_.setter
    def coefs_(self, values: Any) -> None:
        self._assign("coefs_", values)

    @property
    def intercepts_(self) -> list[Array]:
        """The biases (n_out,), layer by layer: views of `theta_`, assigned to as `coefs_`."""
        return self._layers("intercepts_", "b")

    @intercepts_.setter
    def intercepts_(self, values: Any) -> None:
        self._assign("intercepts_", values)

    def _layers(self, name: str, key: str) -> list[Array]:
        given: dict[str, list[Array]] = self.__dict__.get("_given", {})
        if name in given:
            return given[name]
        check_is_fitted(self, "theta_")
        return Views(name, [layer[key] for layer in self.network_.split(self.theta_) if key in layer])

    def _assign(self, name: str, values: Any) -> None:
        if hasattr(self, "theta_"):
            getattr(self, name)[:] = values
        else:
            self.__dict__.setdefault("_given", {})[name] = list(values)

    def activations(self, X: npt.ArrayLike, layer: int) -> Array:
        """Return the activations (m, units) of a layer, as in a prediction.

        Layers are counted as in `coefs_`: 1 is the first hidden layer, `n_layers_ - 1` (or -1) the output, 0 the input.
        A layer's activation comes before its normalisation.

        Raises GlassnetError where there is no such layer.
        """
        trace = self._trace(X)
        dense = [0, *(l for l, one in enumerate(self.network_.layers, 1) if isinstance(one, Dense))]
        if isinstance(layer, bool) or not isinstance(layer, int | np.integer) or not -len(dense) <= layer < len(dense):
            raise fault("layer", f"a whole number from 0 (the input) to {len(dense) - 1} (the output)", repr(layer))
        return np.asarray(trace.a[dense[layer]])

    def summary(self) -> Summary:
        """Return what the network is, layer by layer, and how its fit ended; it prints as a table."""
        check_is_fitted(self, "theta_")
        return summarise(self)

    def _html_repr(self) -> str:
        return notebook_view(self)

    def _trace(self, X: npt.ArrayLike) -> Trace:
        check_is_fitted(self, "theta_")
        rows = validate_data(self, X, accept_sparse=["csr", "csc"], dtype=(np.float64, np.float32), reset=False)
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        net = self.network_
        with cores_for(len(rows) * max(n * k for n, k in pairwise(net.sizes))):
            return get_engine(self.engine).forward(net, self.theta_, rows, self.state_, PREDICT)

    def _outputs(self, X: npt.ArrayLike) -> Array:
        return self._trace(X).output

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
