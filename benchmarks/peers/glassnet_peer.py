"""glassnet, as a user calls it."""

from __future__ import annotations

import numpy as np

import glassnet as gn
from benchmarks.workloads import Case, Rule


def rule_of(rule: Rule) -> gn.SGD | gn.Adam:
    """Return glassnet's own rule."""
    if rule.name == "sgd":
        return gn.SGD(rule.rate, momentum=rule.momentum)
    return gn.Adam(rule.rate, beta1=rule.beta1, beta2=rule.beta2, eps=rule.eps)


class Glassnet:
    """`gn.train` with one engine; rows in the given order, or shuffled each epoch as by default."""

    kind = "glassnet"

    def __init__(self, name: str, engine: str, sampling: str = "sequential") -> None:
        self.name, self.engine, self.sampling = name, engine, sampling
        self.checked = sampling == "sequential"

    def prepare(self, case: Case, cores: int) -> None:
        self.case, self.objective = case, case.objective(self.engine)

    def reset(self) -> None:
        self.weights = self.case.start

    def run(self, epochs: int) -> float:
        workload = self.case.workload
        run = gn.train(
            self.objective, self.case.start, *self.case.data, optimizer=rule_of(workload.rule), epochs=epochs,
            batch_size=workload.batch, sampling=self.sampling, engine=self.engine,
        )  # fmt: skip
        if run.status != "completed":
            raise RuntimeError(f"{self.name}: the run has {run.status}: {run.reason}")
        self.weights = run.theta
        return run.loss

    def theta(self) -> np.ndarray:
        return self.weights
