"""JAX: all epochs in one compiled call, a scan over the batches within a loop over the epochs, the state donated."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import log
from typing import Any

import numpy as np

from benchmarks.contestant import Absent, fastest
from benchmarks.workloads import Case, Rule, Workload

UNROLLED = ((1, True), (2, True), (4, True), (8, True), (4, False), (8, False))
"""(steps written out within the loop, products written as sums) that the unrolled variant tries."""


class Jax:
    """`lax.scan` as it is; "unrolled" takes the fastest of `UNROLLED` and keeps no loss."""

    kind, checked = "peer", True

    def __init__(self, name: str) -> None:
        self.name = name

    def prepare(self, case: Case, cores: int) -> None:
        try:
            import jax
        except ImportError as error:
            raise Absent(str(error)) from error
        self.jax, self.case = jax, case
        X, Y = case.data
        size = case.workload.batch
        self.data = tuple(jax.device_put(a.reshape(case.steps, size, -1)) for a in (X, Y))
        self.program = program(case.workload, 1, False, True)
        if self.name.endswith("unrolled"):
            ways = [(n, sums) for n, sums in UNROLLED if n <= case.steps]
            programs = {program(case.workload, n, sums, False): (n, sums) for n, sums in ways}
            self.program = fastest(programs, self.once)
            n, sums = programs[self.program]
            self.way = f"unroll={n}, {'sums' if sums else 'products'}; keeps no loss"

    def once(self, candidate: Callable[..., Any]) -> None:
        self.program = candidate
        self.reset()
        self.run(1000)

    def reset(self) -> None:
        put, zeros = self.jax.device_put, self.jax.numpy.zeros_like
        weights = [tuple(put(array) for array in pair) for pair in self.case.pairs(self.case.start)]
        slots = {"adam": 2, "sgd": 1 if self.case.workload.rule.momentum else 0}[self.case.workload.rule.name]
        memory = [self.jax.tree.map(zeros, weights) for _ in range(slots)]
        self.state = self.jax.block_until_ready((weights, memory, put(np.zeros((), self.case.dtype))))

    def run(self, epochs: int) -> float:
        self.state, loss = self.program(self.state, *self.data, epochs)
        return float(loss)

    def theta(self) -> np.ndarray:
        return self.case.flat([(np.asarray(W), np.asarray(b)) for W, b in self.state[0]])


def loss_function(workload: Workload, sums: bool) -> Callable[..., Any]:
    """Return the loss of a batch: the sum over the outputs, the mean over the rows."""
    import jax
    import jax.numpy as jnp

    f = {"sigmoid": jax.nn.sigmoid, "relu": jax.nn.relu, "tanh": jnp.tanh}[workload.hidden]
    cost = {
        "softmax": lambda z, y: -jnp.sum(y * jax.nn.log_softmax(z)),
        "sigmoid": lambda z, y: jnp.sum(jnp.logaddexp(0, z) - y * z),
        "identity": lambda z, y: 0.5 * jnp.sum((z - y) ** 2),
    }[workload.output]

    def product(a: Any, W: Any) -> Any:
        return jnp.sum(a[:, :, None] * W, axis=1) if sums else a @ W

    def loss(weights: Any, x: Any, y: Any) -> Any:
        for W, b in weights[:-1]:
            x = f(product(x, W) + b)
        W, b = weights[-1]
        return cost(product(x, W) + b, y) / len(x)

    return loss


def rule_step(rule: Rule, weights: Any, memory: Any, t: Any, g: Any) -> tuple[Any, Any, Any]:
    """Return weights, memory and step number after one step of the rule."""
    import jax
    import jax.numpy as jnp

    over = jax.tree.map
    if rule.name == "sgd" and not rule.momentum:
        return over(lambda p, g: p - rule.rate * g, weights, g), memory, t
    if rule.name == "sgd":
        v = over(lambda v, g: rule.momentum * v - rule.rate * g, memory[0], g)
        return over(jnp.add, weights, v), [v], t
    t = t + 1
    m = over(lambda m, g: rule.beta1 * m + (1 - rule.beta1) * g, memory[0], g)
    v = over(lambda v, g: rule.beta2 * v + (1 - rule.beta2) * g * g, memory[1], g)
    rest1, rest2 = (-jnp.expm1(t * log(beta)) for beta in (rule.beta1, rule.beta2))  # 1 - beta^t, also in float32
    rate, correction = rule.rate / rest1, 1 / rest2
    moved = over(lambda p, m, v: p - rate * m / (jnp.sqrt(v * correction) + rule.eps), weights, m, v)
    return moved, [m, v], t


def program(workload: Workload, unroll: int, sums: bool, keep_loss: bool) -> Callable[..., Any]:
    """Return the compiled (state, X (steps, batch, d), Y, epochs) -> state, mean loss of the last epoch."""
    import jax
    import jax.numpy as jnp

    value_and_grad = jax.value_and_grad(loss_function(workload, sums))

    def step(state: Any, batch: Any) -> Any:
        weights, memory, t = state
        loss, g = value_and_grad(weights, *batch)
        return rule_step(workload.rule, weights, memory, t, g), loss if keep_loss else None

    @partial(jax.jit, donate_argnums=0)
    def run(state: Any, X: Any, Y: Any, epochs: Any) -> Any:
        def epoch(_: Any, carry: Any) -> Any:
            state, losses = jax.lax.scan(step, carry[0], (X, Y), unroll=unroll)
            return state, jnp.mean(losses) if keep_loss else carry[1]

        return jax.lax.fori_loop(0, epochs, epoch, (state, jnp.zeros((), X.dtype)))

    return run
