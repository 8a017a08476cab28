"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments and attributes.

    from glassnet import MLPClassifier          # instead of: from sklearn.neural_network import MLPClassifier

An estimator translates and delegates: labels to targets, arguments to a network, an objective and a rule, the run to
attributes. `alpha` becomes l2 = alpha / n_samples, so that every solver minimises the same function.
"""

from __future__ import annotations

import warnings
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d, validate_data

from glassnet import losses, optimizers, scores, solvers, training
from glassnet.arrays import Array
from glassnet.callbacks import Progress
from glassnet.errors import GlassnetError, fault
from glassnet.estimators import options
from glassnet.history import Run
from glassnet.network import Network
from glassnet.objective import Objective

__all__ = ["MLPClassifier", "MLPRegressor"]


def _has_partial_fit(model: Any) -> bool:
    if model.solver in optimizers.RULES:
        return True
    raise AttributeError(f"partial_fit is only available for solvers that take batches; received {model.solver!r}.")


class _MLP(BaseEstimator):
    """What the two share: fitting, and the attributes that a run leaves."""

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit to X (m, d) and y (m,) or (m, k).

        Raises GlassnetError (a ValueError) for input that cannot be right. A run that diverges is warned of, and keeps
        the last good weights.
        """
        options.check_options(self)
        reset = not (self.warm_start and hasattr(self, "network_"))
        rows, targets, weights = self._read(X, y, sample_weight, reset=reset, known=self.warm_start)
        if reset:
            self._begin(rows, targets)
        self._fit_rows(rows, targets, weights)
        return self

    def _read(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, *, reset: bool, known: bool
    ) -> tuple[Array, Array, Array | None]:
        """Return X, targets (m, k) and weights as arrays, checked the way scikit-learn checks them."""
        rows, labels = validate_data(
            self, X, y, accept_sparse=["csr", "csc"], multi_output=True, dtype=(np.float64, np.float32),
            y_numeric=isinstance(self, RegressorMixin), reset=reset,
        )  # fmt: skip
        rows = rows.toarray() if hasattr(rows, "toarray") else rows
        if labels.ndim == 2 and labels.shape[1] == 1:
            labels = column_or_1d(labels, warn=True)
        weights = None if sample_weight is None else _check_sample_weight(sample_weight, rows, dtype=rows.dtype)
        targets = self._targets(labels, known)
        return rows, targets.reshape(len(targets), -1).astype(rows.dtype), weights

    def _begin(self, X: Array, Y: Array) -> None:
        """Make the network and its start, and forget what an earlier fit left."""
        self._random = check_random_state(self.random_state)
        self.network_: Network = options.make_network(self, X.shape[1], Y.shape[1], self._output(Y))
        self.theta_ = options.start_weights(self.network_, self._random, X.dtype)
        self.out_activation_ = {"sigmoid": "logistic"}.get(self.network_.output_activation, self.network_.output_activation)
        self.n_outputs_, self.n_layers_ = self.network_.n_outputs, len(self.network_.layers) + 1
        self.n_iter_, self.t_, self._rule_state = 0, 0, None
        self.loss_curve_: list[float] = []
        self.best_loss_: float | None = np.inf
        self.validation_scores_: list[float] | None = [] if self.early_stopping else None
        self.best_validation_score_: float | None = None

    def _fit_rows(self, X: Array, Y: Array, weights: Array | None) -> None:
        objective = self._objective(X, weights)
        run = (
            self._minimize(objective, X, Y, weights)
            if options.is_full_batch(self)
            else self._train(objective, X, Y, weights, int(self.max_iter))
        )
        self._keep(run, len(X))
        if run.status == "diverged":
            warnings.warn(f"The fit diverged: {run.reason} The last good weights are kept.", ConvergenceWarning, stacklevel=3)
        elif run.status == "completed":
            warnings.warn(
                f"Maximum iterations ({self.max_iter}) reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=3,
            )

    def _objective(self, X: Array, weights: Array | None) -> Objective:
        """alpha / n_samples (or the sum of the weights) is l2: the penalty does not depend on the batch."""
        total = float(len(X) if weights is None else weights.sum())
        return Objective(self.network_, self._loss(), l2=float(self.alpha) / total, engine=self.engine)

    def _minimize(self, objective: Objective, X: Array, Y: Array, weights: Array | None) -> Run:
        if self.early_stopping:
            raise fault("early_stopping", f"False with the solver {self.solver!r}", True, "Use 'adam' or 'sgd'.")
        return solvers.minimize(
            objective, self.theta_, X, Y, weights, method=self.solver, max_iter=int(self.max_iter),
            max_evaluations=int(self.max_fun), tolerance=float(self.tol), callbacks=[Progress()] if self.verbose else [],
        )  # fmt: skip

    def _train(self, objective: Objective, X: Array, Y: Array, weights: Array | None, epochs: int) -> Run:
        held_out, metrics, monitor = None, {}, "loss"
        if self.early_stopping:
            X, Y, weights, held_out = self._split(X, Y, weights)
            metrics, monitor = {"score": self._score_outputs}, "validation_score"
        batch_size = options.batch_size_of(self, len(X))
        adaptive = self.solver == "sgd" and self.learning_rate == "adaptive"
        stop = options.NoImprovement(float(self.tol), float(self.n_iter_no_change), adaptive, monitor)
        return training.train(
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
            callbacks=[stop, Progress(show=("validation_score",))] if self.verbose else [stop],
            sampling="shuffle" if self.shuffle else "sequential",
            rule_state=self._rule_state,
            rng=int(self._random.randint(2**31 - 1)),
        )

    def _split(
        self, X: Array, Y: Array, weights: Array | None
    ) -> tuple[Array, Array, Array | None, tuple[npt.ArrayLike, ...]]:
        """Set `validation_fraction` of the rows aside, classes in their proportions."""
        stratify = Y if isinstance(self, ClassifierMixin) and not self._multilabel else None
        everyone = np.ones(len(X), X.dtype) if weights is None else weights
        X, X_val, Y, Y_val, w, w_val = train_test_split(
            X, Y, everyone, random_state=self._random, test_size=self.validation_fraction, stratify=stratify
        )
        held_out = (X_val, Y_val) if weights is None else (X_val, Y_val, w_val)
        return X, Y, None if weights is None else w, held_out

    def _keep(self, run: Run, n_samples: int) -> None:
        """Turn a run into attributes."""
        self.theta_, self._rule_state = run.theta, run.rule_state
        self.status_, self.stop_reason_, self.history_ = run.status, run.reason, run.history
        rows = [row for row in run.history if row["epoch"] > 0]
        self.n_iter_ += len(rows)
        self.t_ += len(rows) * n_samples
        self.loss_ = run.loss
        self.loss_curve_ += [row["loss"] for row in rows]
        if self.early_stopping and self.validation_scores_ is not None:
            self.validation_scores_ += [row["validation_score"] for row in rows]
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
            raise fault("early_stopping", "False for partial_fit", True)
        first = not hasattr(self, "network_")
        if classes is not None:
            self._learn_classes(classes)
        rows, targets, weights = self._read(X, y, sample_weight, reset=first, known=not first or classes is not None)
        if first:
            self._begin(rows, targets)
        objective = self._objective(rows, weights)
        self._keep(self._train(objective, rows, targets, weights, 1), len(rows))
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
        return self.network_.trace(self.theta_, rows).output

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "theta_")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


class MLPClassifier(ClassifierMixin, _MLP):
    """A multi-layer perceptron that classifies; arguments and attributes are those of scikit-learn's.

    `activation` takes any activation of the library besides scikit-learn's four, `solver` any rule or solver. One
    output and a sigmoid for two classes or several labels, softmax for more classes; cross-entropy.

    Attributes: `classes_`, `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `validation_scores_`,
    `best_validation_score_`, `n_iter_`, `t_`, `n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`,
    `feature_names_in_`, and ours: `network_`, `theta_` (P,), `history_`, `status_`, `stop_reason_`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((10,), solver="lbfgs", alpha=0.1, random_state=0, tol=1e-3).fit(X, y)
    >>> model.score(X, y) > 0.95, model.coefs_[0].shape
    (True, (4, 10))
    """

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        engine: str = "auto",
    ) -> None:
        _store(self, locals())

    def _targets(self, y: Array, known: bool) -> Array:
        """Return labels as rows of 0 and 1, learning the classes unless they are known."""
        if not (known and hasattr(self, "classes_")):
            self._learn_classes(y)
        else:
            unseen = np.setdiff1d(unique_labels(y), self.classes_)
            if len(unseen):
                raise GlassnetError(f"y has classes that were not there before: {unseen}; known: {self.classes_}.")
        return np.asarray(self._labels.transform(y))

    def _learn_classes(self, y: npt.ArrayLike) -> None:
        self._labels = LabelBinarizer().fit(y)
        self.classes_ = self._labels.classes_
        self._multilabel = str(self._labels.y_type_).startswith("multilabel")

    def _output(self, Y: Array) -> str:
        return "sigmoid" if self._multilabel or Y.shape[1] == 1 else "softmax"

    def _loss(self) -> losses.Loss:
        return losses.get("cross_entropy" if self.network_.output_activation == "softmax" else "binary_cross_entropy")

    def _score_outputs(self, outputs: Array, Y: Array) -> float:
        return scores.accuracy(outputs, Y)

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the predicted labels, (m,) or (m, k) for several labels a row."""
        outputs = self._outputs(X)
        return np.asarray(self._labels.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs))

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return probabilities (m, n_classes) in the order of `classes_`."""
        outputs = self._outputs(X)
        return np.hstack([1.0 - outputs, outputs]) if self.n_outputs_ == 1 else outputs

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`; -inf where a probability is 0."""
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the right answer here
            return np.asarray(np.log(self.predict_proba(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, _MLP):
    """A multi-layer perceptron for regression; arguments and attributes are those of scikit-learn's (1.9).

    `loss` is "squared_error" (half, the mean over the outputs, as in scikit-learn) or "poisson"; both are averaged
    over the outputs. `activation` takes any activation of the library, `solver` any rule or solver. Attributes as in
    `MLPClassifier`, without `classes_`.

    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, X.ravel() ** 2)
    >>> model.score(X, X.ravel() ** 2) > 0.99
    True
    """

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
        *,
        solver: str = "adam",
        alpha: float = 0.0001,
        batch_size: Any = "auto",
        learning_rate: str = "constant",
        learning_rate_init: float = 0.001,
        power_t: float = 0.5,
        max_iter: int = 200,
        shuffle: bool = True,
        random_state: Any = None,
        tol: float = 1e-4,
        verbose: bool = False,
        warm_start: bool = False,
        momentum: float = 0.9,
        nesterovs_momentum: bool = True,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        n_iter_no_change: float = 10,
        max_fun: int = 15000,
        engine: str = "auto",
    ) -> None:
        _store(self, locals())

    _multilabel = False

    def _targets(self, y: Array, known: bool) -> Array:
        return np.asarray(y)

    def _learn_classes(self, classes: npt.ArrayLike) -> None:
        raise fault("classes", "left out for a regressor", "a list")

    def _output(self, Y: Array) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _loss(self) -> losses.Loss:
        if self.loss not in ("squared_error", "poisson"):
            raise fault("loss", "'squared_error' or 'poisson'", repr(self.loss))
        return losses.scaled(losses.get(self.loss), 1.0 / self.n_outputs_)

    def _score_outputs(self, outputs: Array, Y: Array) -> float:
        return scores.r2(outputs, Y)

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the predictions, (m,) or (m, k) for several targets."""
        outputs = self._outputs(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = False
        tags.target_tags.multi_output = True
        return tags


def _store(model: Any, arguments: dict[str, Any]) -> None:
    """Keep the constructor's arguments unchanged, under their names: what scikit-learn's `clone` asks for."""
    for name, value in arguments.items():
        if name not in ("self", "__class__"):
            setattr(model, name, value)
