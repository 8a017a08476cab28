"""scikit-learn's networks: `fit` over all epochs in one call, which is its fastest way.

Starting weights: a first `partial_fit` makes the arrays, `warm_start` keeps them, and `coefs_` and `intercepts_` are
set. It has no way to run a given number of epochs and not warn that it has not converged; so the stopping test is given
a `tol` that no epoch meets, and ends the run after exactly that number. Two calls of `partial_fit` leave that test's
counter at one, which makes a run of a single epoch possible. Afterwards `n_iter_` is compared.
"""

from __future__ import annotations

from copy import deepcopy

import numpy as np

from benchmarks.contestant import Absent
from benchmarks.workloads import Case

NEVER = 1e30
"""An improvement of the loss that no epoch makes."""
NAMES = {"sigmoid": "logistic", "relu": "relu", "tanh": "tanh"}


class ScikitLearn:
    """MLPClassifier or MLPRegressor."""

    name, kind, checked = "scikit-learn", "peer", True

    def prepare(self, case: Case, cores: int) -> None:
        try:
            from sklearn.neural_network import MLPClassifier, MLPRegressor
        except ImportError as error:
            raise Absent(str(error)) from error
        workload, rule = case.workload, case.workload.rule
        self.case, (self.X, Y) = case, case.data
        self.y = {"softmax": Y.argmax(axis=1), "sigmoid": Y.astype(int), "identity": Y.ravel()}[workload.output]
        model = (MLPRegressor if workload.output == "identity" else MLPClassifier)(
            hidden_layer_sizes=workload.sizes[1:-1], activation=NAMES[workload.hidden], solver=rule.name, alpha=0.0,
            batch_size=workload.batch, learning_rate_init=rule.rate, momentum=rule.momentum, nesterovs_momentum=False,
            beta_1=rule.beta1, beta_2=rule.beta2, epsilon=rule.eps, shuffle=False, warm_start=True, tol=NEVER,
        )  # fmt: skip
        classes = {} if workload.output == "identity" else {"classes": np.arange(workload.sizes[-1])}
        for _ in range(2):
            model.partial_fit(self.X, self.y, **classes)
        self.fresh = model

    def reset(self) -> None:
        self.model = deepcopy(self.fresh)
        pairs = self.case.pairs(self.case.start)
        self.model.coefs_, self.model.intercepts_ = [W for W, _ in pairs], [b for _, b in pairs]

    def run(self, epochs: int) -> float:
        self.model.set_params(n_iter_no_change=epochs, max_iter=epochs + 1).fit(self.X, self.y)
        if self.model.n_iter_ != epochs:
            raise RuntimeError(f"scikit-learn ran {self.model.n_iter_} epochs instead of {epochs}")
        return self.model.loss_

    def theta(self) -> np.ndarray:
        return self.case.flat(list(zip(self.model.coefs_, self.model.intercepts_, strict=True)))
