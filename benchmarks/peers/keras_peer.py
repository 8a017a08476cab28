"""Keras on JAX: `fit` over all epochs, as many steps in one call as it compiles in reasonable time."""

from __future__ import annotations

import numpy as np

from benchmarks.contestant import Absent
from benchmarks.workloads import Case

STEPS_IN_ONE_CALL = 10
"""Keras writes out every step of a call: more of them compile for minutes."""


class Keras:
    """keras.Sequential; the backend is set in the environment."""

    name, kind, checked = "Keras on JAX", "peer", True

    def prepare(self, case: Case, cores: int) -> None:
        try:
            import keras
        except ImportError as error:
            raise Absent(str(error)) from error
        workload, rule = case.workload, case.workload.rule
        keras.backend.set_floatx(case.dtype)
        self.case, (self.X, self.Y) = case, case.data
        layers = [keras.layers.Dense(n, workload.hidden) for n in workload.sizes[1:-1]]
        layers.append(keras.layers.Dense(workload.sizes[-1]))
        self.model = keras.Sequential([keras.Input((workload.sizes[0],)), *layers])
        k = workload.sizes[-1]
        losses = {
            "softmax": keras.losses.CategoricalCrossentropy(from_logits=True),
            "sigmoid": lambda y, z: k * keras.losses.binary_crossentropy(y, z, from_logits=True),
            "identity": lambda y, z: 0.5 * k * keras.losses.mean_squared_error(y, z),
        }
        if rule.name == "sgd":
            self.make_rule = lambda: keras.optimizers.SGD(rule.rate, momentum=rule.momentum)
        else:
            self.make_rule = lambda: keras.optimizers.Adam(rule.rate, rule.beta1, rule.beta2, rule.eps)
        inside = max(n for n in range(1, STEPS_IN_ONE_CALL + 1) if case.steps % n == 0)
        self.model.compile(self.make_rule(), losses[workload.output], steps_per_execution=inside, jit_compile=True)
        self.model.optimizer.build(self.model.trainable_variables)
        self.rule_start = [np.asarray(variable) for variable in self.model.optimizer.variables]

    def reset(self) -> None:
        self.model.set_weights([array for pair in self.case.pairs(self.case.start) for array in pair])
        for variable, value in zip(self.model.optimizer.variables, self.rule_start, strict=True):
            variable.assign(value)

    def run(self, epochs: int) -> float:
        size = self.case.workload.batch
        history = self.model.fit(self.X, self.Y, batch_size=size, epochs=epochs, shuffle=False, verbose=0)
        return history.history["loss"][-1]

    def theta(self) -> np.ndarray:
        weights = self.model.get_weights()
        return self.case.flat(list(zip(weights[::2], weights[1::2], strict=True)))
