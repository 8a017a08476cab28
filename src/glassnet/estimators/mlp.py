"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments and attributes.

    from glassnet import MLPClassifier          # instead of: from sklearn.neural_network import MLPClassifier

An estimator translates and delegates: labels to targets, arguments to a network, an objective and a rule, the run to
attributes. `alpha` becomes l2 = alpha / n_samples, so that every solver minimises the same function.
"""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import issparse
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.class_weight import compute_class_weight
from sklearn.utils.multiclass import type_of_target, unique_labels
from sklearn.utils.validation import check_is_fitted

from glassnet import losses
from glassnet.arrays import Array, check_weights
from glassnet.errors import GlassnetError, fault, type_fault
from glassnet.estimators import architecture, uncertainty
from glassnet.estimators.base import MLP, Classes, store
from glassnet.rules import Rule
from glassnet.scores import r2

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(ClassifierMixin, MLP):
    """A multi-layer perceptron that classifies; arguments and attributes are those of scikit-learn's, and more.

    One output and a sigmoid for two classes or several labels, softmax for more classes; cross-entropy. What
    scikit-learn's class does not have (docs/estimators.md has an example of each):

    activation         any activation of the library, a pair (f, df) of your own, or a list with one for each layer
    solver             any rule or solver by name, or a rule such as `gn.Adam(gn.schedules.Cosine(0.01, 2000))`
    engine, n_threads  who runs the loop, and on how many cores at most
    loss               None for cross-entropy, or any loss that takes probabilities, by name or as a record
    output_activation  None, or one that gives probabilities; rows of sigmoids are divided by their sum
    dropout            rate after each hidden layer, or a list of rates
    batch_norm, layer_norm   after each hidden layer: True, or a record with options
    weight_init        "auto" for scikit-learn's start, or an initializer (biases are 0 then)
    l1                 strength of |W|_1, divided by the sum of the weights of the rows as `alpha` is
    class_weight       "balanced" or {label: weight}; times `sample_weight`, for the loss and for held-out scores
    scoring            what early stopping watches: None for accuracy, "loss", a scorer's name, or a function
                       (estimator, X, y)
    dtype              None for that of X, "float32" or "float64"
    time_budget        seconds after which a fit ends, with the status "stopped" and a warning
    callbacks          `gn.EarlyStopping(...)` and the like, or functions of a record; scikit-learn's own callbacks are
                       set with `set_callbacks`

    Attributes: `classes_`, `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `validation_scores_` (larger
    is better: with scoring="loss" they are negative), `best_validation_score_`, `n_iter_`, `t_`, `n_layers_`,
    `n_outputs_`, `out_activation_`, `n_features_in_`, `feature_names_in_`, and ours: `network_`, `theta_` (P,),
    `state_` (Q,), `history_`, `status_`, `stop_reason_`, `class_weight_`.

    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> model = MLPClassifier((10,), solver="lbfgs", alpha=0.1, random_state=0, tol=1e-3).fit(X, y)
    >>> model.score(X, y) > 0.95, model.coefs_[0].shape
    (True, (4, 10))
    """

    _metric = "accuracy"

    def __init__(
        self,
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str | Rule = "adam",
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
        loss: Any = None,
        output_activation: Any = None,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        layer_norm: Any = False,
        weight_init: Any = "auto",
        l1: float = 0.0,
        class_weight: Any = None,
        scoring: Any = None,
        dtype: Any = None,
        n_threads: int | None = None,
        time_budget: float | None = None,
        callbacks: Any = None,
    ) -> None:
        store(self, locals())

    def _targets(self, y: Array, classes: Classes) -> Array:
        """Return labels as rows of 0 and 1."""
        if classes == "new":
            self._learn_classes(y)
        else:
            self._compare_classes(unique_labels(y), classes)
        if self._multilabel:
            return np.asarray(self._labels.transform(y))
        number = np.searchsorted(self.classes_, y)[:, None]
        return np.asarray(number == (np.arange(len(self.classes_)) if len(self.classes_) > 2 else [1]))

    def _compare_classes(self, found: Array, classes: Classes) -> None:
        """Raise GlassnetError for classes that were not there before, or are missing where all are expected."""
        if classes == "same" and not np.array_equal(found, self.classes_):
            raise GlassnetError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(unseen := np.setdiff1d(found, self.classes_)):
            raise GlassnetError(f"y has classes that were not there before: {unseen}; known: {self.classes_}.")

    def _learn_classes(self, y: npt.ArrayLike) -> None:
        self._labels = LabelBinarizer().fit(y)
        self.classes_ = self._labels.classes_
        self._multilabel = str(self._labels.y_type_).startswith("multilabel")

    def _check_classes(self, y: npt.ArrayLike, classes: npt.ArrayLike | None, first: bool) -> None:
        """Learn all classes at the first call of partial_fit; later they must be the same."""
        if classes is None:
            if first:
                raise GlassnetError(
                    "classes must be passed on the first call to partial_fit: classes=np.unique(all_y)."
                )
        elif first:
            self._learn_classes(y if type_of_target(y).startswith("multilabel") else classes)
        elif not np.array_equal(np.unique(np.asarray(classes)), self.classes_):
            raise fault("classes", f"the same as at the first call, {self.classes_}", classes)

    def _labels_of(self, outputs: Array) -> Array:
        """Return the labels that outputs, or targets, (m, k) stand for; sparse after a fit to sparse labels."""
        labels = self._labels.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs)
        return labels if issparse(labels) else np.asarray(labels)

    def _strata(self, Y: Array) -> Array | None:
        """Return what a split keeps in proportion: the classes."""
        return None if self._multilabel else self._labels_of(Y)

    def _output(self, Y: Array) -> str:
        return "sigmoid" if self._multilabel or Y.shape[1] == 1 else "softmax"

    def _loss(self) -> losses.Loss:
        return architecture.classifier_loss(self.loss, self.network_.layers[-1].function)

    def _weights(self, labels: Array, weights: Array | None, classes: Classes) -> Array | None:
        """Return the weights of the rows times those of their classes, which are learned from the rows to be fitted."""
        if self.class_weight is None:
            return weights
        if self._multilabel:
            raise fault("class_weight", "None for several labels a row", repr(self.class_weight), "Use sample_weight.")
        balanced = isinstance(self.class_weight, str) and self.class_weight == "balanced"
        if not balanced:
            _check_class_weight(self.class_weight)
        learned = self.__dict__.get("_weighed_by") == "balanced"
        if classes != "known" or not balanced or not learned:
            if classes == "known" and balanced:
                remedy = "Pass a dictionary {label: weight}, or sample_weight."
                raise fault("class_weight of partial_fit", "a dictionary, or None", "'balanced'", remedy)
            self._weighed_by = self.class_weight
            self.class_weight_ = compute_class_weight(
                self.class_weight, classes=self.classes_, y=labels, sample_weight=weights
            )
        of_rows = self.class_weight_[np.searchsorted(self.classes_, labels)]
        return check_weights(of_rows if weights is None else weights * of_rows, len(labels))

    def _score_outputs(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        if self.n_outputs_ > 1 and not self._multilabel:
            right = outputs.argmax(axis=1) == Y.argmax(axis=1)
        else:
            right = ((outputs > 0.5) == (Y > 0.5)).all(axis=1) | (len(self.classes_) == 1)
        return float(np.average(right, weights=weights))

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the predicted labels, (m,) or (m, k) for several labels a row."""
        return self._labels_of(self._outputs(X))

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return probabilities (m, n_classes) in the order of `classes_`."""
        outputs = self._outputs(X)
        both = np.hstack([1.0 - outputs, outputs]) if self.n_outputs_ == 1 else outputs
        if self.n_outputs_ > 1 and not self._multilabel and self.network_.layers[-1].function.range != "simplex":
            total = both.sum(axis=1, keepdims=True)  # one against the rest: shares of the sum
            both = both / np.where(total > 0, total, 1.0)
        if len(self.classes_) == 1:  # there is nothing else that it could be
            return np.ones_like(both[:, :1])
        return both[:, : len(self.classes_)]

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`; -inf where a probability is 0."""
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the right answer here
            return np.asarray(np.log(self.predict_proba(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


def _check_class_weight(given: Any) -> None:
    """Raise GlassnetError where these are no weights of classes; "balanced" has been seen to."""
    if not isinstance(given, Mapping):
        raise type_fault("class_weight", "None, 'balanced' or a dictionary {label: weight}", repr(given))
    for label, weight in given.items():
        if isinstance(weight, bool) or not isinstance(weight, Real) or not 0 <= float(weight) < np.inf:
            raise fault("class_weight", "a number of at least 0 for each class", f"{weight!r} for {label!r}")


class MLPRegressor(RegressorMixin, MLP):
    """A multi-layer perceptron for regression; arguments and attributes are those of scikit-learn's (1.9), and more.

    `loss` is any loss of the library by name ("squared_error", which is half the square, "quantile", "poisson", ...),
    with options ({"name": "quantile", "q": 0.9}), as a record, or a pair (value, slope) of your own. It is averaged
    over the outputs, as in scikit-learn, but "poisson" is added up, as there. `output_activation` None is the one that
    the loss belongs to: exp for "poisson" and "gamma", the identity for losses of real numbers. `scoring` None is R2.
    All else is as in `MLPClassifier`.

    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, X.ravel() ** 2)
    >>> model.score(X, X.ravel() ** 2) > 0.99
    True
    """

    _metric = "r2"

    def __init__(
        self,
        loss: Any = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: Any = "relu",
        *,
        solver: str | Rule = "adam",
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
        output_activation: Any = None,
        dropout: Any = 0.0,
        batch_norm: Any = False,
        layer_norm: Any = False,
        weight_init: Any = "auto",
        l1: float = 0.0,
        scoring: Any = None,
        dtype: Any = None,
        n_threads: int | None = None,
        time_budget: float | None = None,
        callbacks: Any = None,
    ) -> None:
        store(self, locals())

    def _targets(self, y: Array, classes: Classes) -> Array:
        if issparse(y):
            raise type_fault("y", "a dense array", f"a sparse {type(y).__name__}", "y.toarray() makes it dense.")
        return np.asarray(y)

    def _check_classes(self, y: npt.ArrayLike, classes: npt.ArrayLike | None, first: bool) -> None:
        if classes is not None:
            raise fault("classes", "left out for a regressor", classes)

    def _strata(self, Y: Array) -> None:
        return None

    def _labels_of(self, outputs: Array) -> Array:
        """Return the predictions that outputs, or targets, (m, k) stand for."""
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def _output(self, Y: Array) -> str:
        return architecture.matching_output(losses.get(self.loss))

    def _loss(self) -> losses.Loss:
        loss = losses.get(self.loss)
        summed = loss.domain == "simplex" or loss.name == "poisson"  # scikit-learn adds up the Poisson losses
        return loss if summed else losses.scaled(loss, 1.0 / self.n_outputs_)

    def _score_outputs(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        if not np.isfinite(outputs).all():
            return float("nan")
        return r2(outputs, Y) if weights is None else float(r2_score(Y, outputs, sample_weight=weights))

    def predict(self, X: npt.ArrayLike, return_std: bool = False) -> Any:
        """Return the predictions, (m,) or (m, k) for several targets.

        With `return_std`, after a fit with the solver "br" or "lm": also the standard deviation of a new observation at
        each row, its noise included (`posterior_.predict_std(X, noise=False)` is that of the network's output alone).
        Raises GlassnetError after other solvers, and where the data do not determine the weights.
        """
        trace = self._trace(X)
        predictions = self._labels_of(trace.output)
        return (predictions, self._labels_of(uncertainty.band(self, trace.a[0]))) if return_std else predictions

    @property
    def effective_parameters_(self) -> float:
        """How many of the weights the data determine, after a fit with "br" or "lm" (gamma in MacKay 1992)."""
        check_is_fitted(self, "theta_")
        if self.posterior_ is None:
            raise AttributeError(f"effective_parameters_ is there after the solver 'br' or 'lm', not {self.solver!r}.")
        return float(self.posterior_.gamma)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = False
        tags.target_tags.multi_output = True
        return tags
