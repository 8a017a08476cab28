"""`MLPClassifier` and `MLPRegressor` with scikit-learn's arguments and attributes.

    from glassnet import MLPClassifier          # instead of: from sklearn.neural_network import MLPClassifier

An estimator translates and delegates: labels to targets, arguments to a network, an objective and a rule, the run to
attributes. `alpha` becomes l2 = alpha / n_samples, so that every solver minimises the same function.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import ClassifierMixin, RegressorMixin
from sklearn.metrics import accuracy_score, r2_score
from sklearn.preprocessing import LabelBinarizer
from sklearn.utils.multiclass import type_of_target, unique_labels

from glassnet import losses
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault
from glassnet.estimators.base import MLP, Classes, store
from glassnet.optimizers import Rule

__all__ = ["MLPClassifier", "MLPRegressor"]


class MLPClassifier(ClassifierMixin, MLP):
    """A multi-layer perceptron that classifies; arguments and attributes are those of scikit-learn's.

    `activation` takes any activation of the library besides scikit-learn's four, `solver` any rule or solver by
    name, or a rule such as `gn.Adam(gn.schedules.Cosine(0.01, 2000))`. One output
    and a sigmoid for two classes or several labels, softmax for more classes; cross-entropy.

    Attributes: `classes_`, `coefs_`, `intercepts_`, `loss_`, `loss_curve_`, `best_loss_`, `validation_scores_`,
    `best_validation_score_`, `n_iter_`, `t_`, `n_layers_`, `n_outputs_`, `out_activation_`, `n_features_in_`,
    `feature_names_in_`, and ours: `network_`, `theta_` (P,), `history_`, `status_`, `stop_reason_`.

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
        activation: str = "relu",
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
    ) -> None:
        store(self, locals())

    def _targets(self, y: Array, classes: Classes) -> Array:
        """Return labels as rows of 0 and 1."""
        if classes == "new":
            self._learn_classes(y)
        found = unique_labels(y)
        if classes == "same" and not np.array_equal(found, self.classes_):
            raise GlassnetError(
                "warm_start can only be used where `y` has the same classes as in the previous call to fit. "
                f"Previously got {self.classes_}, `y` has {found}"
            )
        if len(unseen := np.setdiff1d(found, self.classes_)):
            raise GlassnetError(f"y has classes that were not there before: {unseen}; known: {self.classes_}.")
        return np.asarray(self._labels.transform(y))

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
        """Return the labels that outputs, or targets, (m, k) stand for."""
        return np.asarray(self._labels.inverse_transform(outputs.ravel() if self.n_outputs_ == 1 else outputs))

    def _strata(self, Y: Array) -> Array | None:
        """Return what a split keeps in proportion: the classes."""
        return None if self._multilabel else self._labels_of(Y)

    def _output(self, Y: Array) -> str:
        return "sigmoid" if self._multilabel or Y.shape[1] == 1 else "softmax"

    def _loss(self) -> losses.Loss:
        return losses.get("cross_entropy" if self.network_.output_activation == "softmax" else "binary_cross_entropy")

    def _score_outputs(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        return float(accuracy_score(self._labels_of(Y), self._labels_of(outputs), sample_weight=weights))

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the predicted labels, (m,) or (m, k) for several labels a row."""
        return self._labels_of(self._outputs(X))

    def predict_proba(self, X: npt.ArrayLike) -> Array:
        """Return probabilities (m, n_classes) in the order of `classes_`."""
        outputs = self._outputs(X)
        both = np.hstack([1.0 - outputs, outputs]) if self.n_outputs_ == 1 else outputs
        return both[:, : len(self.classes_)]

    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`; -inf where a probability is 0."""
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the right answer here
            return np.asarray(np.log(self.predict_proba(X)))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.classifier_tags.multi_label = True
        return tags


class MLPRegressor(RegressorMixin, MLP):
    """A multi-layer perceptron for regression; arguments and attributes are those of scikit-learn's (1.9).

    `loss` is "squared_error" (half, the mean over the outputs, as in scikit-learn) or "poisson"; both are averaged
    over the outputs. `activation` takes any activation of the library, `solver` as in `MLPClassifier`, and so are
    the attributes, without `classes_`.

    >>> X = np.linspace(-1, 1, 50)[:, None]
    >>> model = MLPRegressor(hidden_layer_sizes=(10,), solver="lbfgs", random_state=0).fit(X, X.ravel() ** 2)
    >>> model.score(X, X.ravel() ** 2) > 0.99
    True
    """

    _metric = "r2"

    def __init__(
        self,
        loss: str = "squared_error",
        hidden_layer_sizes: Any = (100,),
        activation: str = "relu",
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
    ) -> None:
        store(self, locals())

    def _targets(self, y: Array, classes: Classes) -> Array:
        return np.asarray(y)

    def _check_classes(self, y: npt.ArrayLike, classes: npt.ArrayLike | None, first: bool) -> None:
        if classes is not None:
            raise fault("classes", "left out for a regressor", classes)

    def _strata(self, Y: Array) -> None:
        return None

    def _output(self, Y: Array) -> str:
        return "exp" if self.loss == "poisson" else "identity"

    def _loss(self) -> losses.Loss:
        return losses.scaled(losses.get(self.loss), 1.0 / self.n_outputs_)

    def _score_outputs(self, outputs: Array, Y: Array, weights: Array | None) -> float:
        return float(r2_score(Y, outputs, sample_weight=weights)) if np.isfinite(outputs).all() else float("nan")

    def predict(self, X: npt.ArrayLike) -> Array:
        """Return the predictions, (m,) or (m, k) for several targets."""
        outputs = self._outputs(X)
        return outputs.ravel() if self.n_outputs_ == 1 else outputs

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.regressor_tags.poor_score = False
        tags.target_tags.multi_output = True
        return tags
