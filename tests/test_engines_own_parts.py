"""engines/compiled.py: your own rules and layers are compiled, or run on the reference all the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import agree, case, check, fallen_back, small
from glassnet import ClipNorm, Dense, Dropout
from glassnet.arrays import Array
from glassnet.layers import LAYERS
from glassnet.optimizers import RuleState

# ---- rules of your own --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Stepping:
    """A rule with `init` and `step` alone: all that the training loop asks of one."""

    learning_rate: float = 0.01

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        return RuleState(0, (), "Stepping")

    def step(self, grad: Array, state: RuleState, rate: float, theta: Array | None = None) -> tuple[Array, RuleState]:
        return -rate * np.sign(grad), state._replace(t=state.t + 1)


@dataclass(frozen=True)
class Own:
    """A rule with a formula of its own and any number of slots."""

    slots: int = 1
    learning_rate: float = 0.01

    def init(self, theta: Array, decayed: Array | None = None) -> RuleState:
        return RuleState(0, tuple(np.zeros_like(theta) for _ in range(self.slots)), type(self).__name__)

    def step(self, grad: Array, state: RuleState, rate: float, theta: Array | None = None) -> tuple[Array, RuleState]:
        step, slots = self.formula(grad, theta, state.slots, self.numbers(state.t + 1, rate))
        return step, RuleState(state.t + 1, slots, type(self).__name__)

    @property
    def formula(self) -> Any:
        return {0: by_sign, 1: by_memory, 4: by_four}[self.slots]

    def numbers(self, t: Any, rate: Any) -> tuple[Any, ...]:
        return (rate,)


def by_sign(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,) = numbers
    return -rate * np.sign(g), ()


def by_memory(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,), (v,) = numbers, slots
    v = 0.5 * v + g
    return -rate * v, (v,)


def by_four(g: Array, theta: Array, slots: Any, numbers: Any) -> Any:
    (rate,), (a, b, c, d) = numbers, slots
    d = 0.5 * d + g
    c = c + d
    return -rate * (c + d), (a + 1, b - 1, c, d)


class Scalars(Own):
    """Numbers of one step at a time."""

    def numbers(self, t: Any, rate: Any) -> tuple[Any, ...]:
        return (rate / t if t < 5 else rate,)


Namesake = type("SGD", (Own,), {})


def test_a_rule_without_a_formula_falls_back() -> None:
    check(fallen_back(small(), optimizer=Stepping()), small().run("numpy", optimizer=Stepping()), 0.0)


@pytest.mark.parametrize("rule", [Own(0), Own(1), ClipNorm(Own(1), 0.1)], ids=str)
def test_a_rule_with_a_formula_is_compiled(rule: Any) -> None:
    agree(small(), optimizer=rule)


@pytest.mark.parametrize("rule", [Own(4), Namesake(0), Scalars(1)], ids=["four slots", "called SGD", "one step"])
def test_a_rule_unlike_the_librarys_is_run_right_on_either_engine(rule: Any) -> None:
    check(small().run("numba", optimizer=rule), small().run("numpy", optimizer=rule), 1e-12)


def test_a_clipped_rule_that_is_clipped() -> None:
    twice = ClipNorm(ClipNorm(gn.Adam(), 0.5), 0.1)
    check(small().run("numba", optimizer=twice), small().run("numpy", optimizer=twice), 1e-12)


# ---- layers of your own -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Halve:
    """A layer with all that a network asks of one."""

    function = gn.activations.get("identity")

    def n_outputs(self, n_inputs: int) -> int:
        return n_inputs

    def parameters(self, n_inputs: int) -> dict[str, Any]:
        return {}

    statistics = parameters

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        return {}

    def forward(self, p: Any, stats: Any, A: Array, mode: Any) -> Any:
        return A / 2, ()

    def backward(self, p: Any, A: Array, cache: Any, dZ: Array, grads: Any, *, wants_dA: bool = True) -> Array:
        return dZ / 2


class Doubled(Dense):
    def forward(self, p: Any, stats: Any, A: Array, mode: Any) -> Any:
        return 2 * (A @ p["W"]), ()


@pytest.mark.parametrize("layer", [Halve(), Doubled(5, "tanh")], ids=["its own", "a Dense that is another one"])
def test_a_layer_of_your_own_falls_back(layer: Any) -> None:
    own = case([Dense(5, "tanh"), layer, Dense(3)])
    check(fallen_back(own), own.run("numpy"), 0.0)


def test_the_table_of_layers_knows_no_more_than_it_did() -> None:
    assert set(LAYERS) == {"Dense", "Dropout", "BatchNorm", "LayerNorm"}, "tests/contracts/test_engines.py has a row"


def test_a_network_without_parameters() -> None:
    agree(case([Dropout(0.3)], d=4))
    agree(case([Dropout(0.0)], d=4), optimizer="adam")
