"""`Ensemble`: several networks of one kind, trained at once, with their mean and how far they differ."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, MetaEstimatorMixin, clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, column_or_1d

from glassnet.arrays import Array, check_count
from glassnet.errors import type_fault
from glassnet.estimators import fitting, options
from glassnet.estimators.mlp import MLPClassifier, MLPRegressor
from glassnet.estimators.telling import tell
from glassnet.population import train_many

__all__ = ["Ensemble"]

Member = MLPClassifier | MLPRegressor


def _classifies(model: Any) -> bool:
    return isinstance(model.estimator, MLPClassifier)


class Ensemble(MetaEstimatorMixin, BaseEstimator):
    """`n_members` networks like `estimator`, each from a start of its own, trained at once in one process.

    estimator     an `MLPClassifier` or `MLPRegressor`, which is cloned; its `random_state` is replaced
    n_members     how many networks
    bootstrap     let each member see rows drawn with replacement (as weights 0, 1, 2, ...) instead of all
    random_state  a seed, a generator or None: the starts, the orders of the rows and the draws follow from it
    n_threads     how many are trained at a time; None: one for each core

    Predictions are the mean over the members; with `return_std=True` the standard deviation over them comes along: how
    far the networks differ, not the noise of the data. Rules that take batches are trained by `train_many`; solvers
    such as "lbfgs" one after the other. Sources: Hansen and Salamon (1990); Lakshminarayanan, Pritzel and Blundell
    (2017).

    Attributes: `members_`, `n_features_in_`, `feature_names_in_` and `classes_` as in the members.

    >>> X = np.linspace(-1, 1, 60)[:, None]
    >>> member = MLPRegressor(hidden_layer_sizes=(20,), activation="tanh", learning_rate_init=0.02, max_iter=500)
    >>> model = Ensemble(member, 5, random_state=0).fit(X, np.sin(3 * X.ravel()))
    >>> mean, std = model.predict([[0.0], [4.0]], return_std=True)
    >>> bool(std[1] > 10 * std[0])                                   # far from the data the networks disagree
    True
    """

    def __init__(
        self,
        estimator: Member,
        n_members: int = 10,
        *,
        bootstrap: bool = False,
        random_state: Any = None,
        n_threads: int | None = None,
    ) -> None:
        self.estimator = estimator
        self.n_members = n_members
        self.bootstrap = bootstrap
        self.random_state = random_state
        self.n_threads = n_threads

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
        """Fit all members to X (m, d) and y (m,) or (m, k); arguments as in `MLPRegressor.fit`.

        Raises GlassnetError for input that cannot be right. One warning says how many members did not end by themselves
        and why.
        """
        self._check_arguments()
        labels = np.asarray(y)
        if labels.ndim == 2 and labels.shape[1] == 1:
            y = column_or_1d(labels, warn=True)  # here, so that one warning stands for all members
        held_out = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        rng = check_random_state(self.random_state)
        members: list[Member] = []
        rows = []
        for seed in rng.randint(2**31 - 1, size=self.n_members):
            members.append(clone(self.estimator).set_params(random_state=int(seed)))
            weights = self._drawn(X, sample_weight, rng) if self.bootstrap else sample_weight
            rows.append(fitting.begin_fit(members[-1], X, y, weights, **held_out))
        self._finish(members, self._run(members, rows))
        self.members_ = members
        for name in ("n_features_in_", "feature_names_in_", "classes_"):
            if hasattr(members[0], name):
                setattr(self, name, getattr(members[0], name))
        return self

    def _check_arguments(self) -> None:
        given: Any = self.estimator
        if not isinstance(given, MLPClassifier | MLPRegressor):
            received = f"{given!r} of {type(given).__module__.partition('.')[0]}"
            remedy = "Those of glassnet: from glassnet import MLPClassifier."
            raise type_fault("estimator", "an MLPClassifier or an MLPRegressor", received, remedy)
        check_count("n_members", self.n_members)
        if self.n_threads is not None:
            check_count("n_threads", self.n_threads)
        if not isinstance(self.bootstrap, bool | np.bool_):
            raise type_fault("bootstrap", "True or False", repr(self.bootstrap))

    def _drawn(self, X: Any, sample_weight: npt.ArrayLike | None, rng: np.random.RandomState) -> Array:
        """Return weights that stand for rows drawn with replacement."""
        m = X.shape[0] if hasattr(X, "shape") else len(X)
        counts = rng.multinomial(m, np.full(m, 1.0 / m)).astype(np.float64)
        return counts if sample_weight is None else counts * _check_sample_weight(sample_weight, X)

    def _run(self, members: list[Member], rows: list[fitting.Rows]) -> list[tuple[Any, Any]]:
        """Return the plan and the run of each member."""
        if options.is_full_batch(self.estimator):
            return [fitting.run_fit(member, own) for member, own in zip(members, rows, strict=True)]
        plans = [
            fitting.plan_batches(member, own, int(member.max_iter)) for member, own in zip(members, rows, strict=True)
        ]
        return list(zip(plans, train_many(plans, n_threads=self.n_threads), strict=True))

    def _finish(self, members: list[Member], runs: list[tuple[Any, Any]]) -> None:
        """Keep the attributes of each, and warn once of all that did not end by themselves."""
        complaints = Counter[str]()
        for member, (plan, run) in zip(members, runs, strict=True):
            fitting.keep(member, plan, run)
            complaints[fitting.complaint(member, plan, run)] += 1
        del complaints[""]
        if complaints:
            text = " ".join(f"{count} of {len(members)} members: {text}" for text, count in complaints.items())
            tell(text, ConvergenceWarning)

    def predict(self, X: npt.ArrayLike, return_std: bool = False) -> Any:
        """Return the mean prediction (m,) or (m, k), or the labels that are most probable on average.

        With `return_std=True`, for regressors alone, also the standard deviation over the members, of the same shape.
        """
        if not _classifies(self):
            return _mean(self._each("predict", X), return_std)
        if return_std:
            raise type_fault("return_std", "False for labels", True, "predict_proba(X, return_std=True) has a spread.")
        mean = self.predict_proba(X)
        return self.members_[0]._labels_of(mean[:, -1:] if self.members_[0].n_outputs_ == 1 else mean)

    @available_if(_classifies)
    def predict_proba(self, X: npt.ArrayLike, return_std: bool = False) -> Any:
        """Return the mean probabilities (m, n_classes), and with `return_std=True` their standard deviation."""
        return _mean(self._each("predict_proba", X), return_std)

    @available_if(_classifies)
    def predict_log_proba(self, X: npt.ArrayLike) -> Array:
        """Return the logarithms of `predict_proba`; -inf where a probability is 0."""
        with np.errstate(divide="ignore"):  # ln 0 = -inf is the right answer here
            return np.asarray(np.log(self.predict_proba(X)))

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the accuracy of a classifier, R2 of a regressor."""
        measure = accuracy_score if _classifies(self) else r2_score
        return float(measure(y, self.predict(X), sample_weight=sample_weight))

    def _each(self, method: str, X: npt.ArrayLike) -> Array:
        """Return what each member says, (K, ...)."""
        check_is_fitted(self, "members_")
        return np.stack([getattr(member, method)(X) for member in self.members_])

    def __sklearn_tags__(self) -> Any:
        tags, own = super().__sklearn_tags__(), get_tags(self.estimator)
        for name in ("estimator_type", "classifier_tags", "regressor_tags", "target_tags", "input_tags"):
            setattr(tags, name, getattr(own, name))
        return tags


def _mean(values: Array, return_std: bool) -> Any:
    mean = values.mean(axis=0)
    return (mean, values.std(axis=0)) if return_std else mean
