"""What the tests of the compiled engine share: one run on both engines from the same start, and how far apart they end.

A run on the compiled engine that fell back to the reference would agree with it, and prove nothing: `compiled` sees to
it that the engine's own loop has run.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import SGD, Dense, Network, Objective
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.engines import get_engine
from glassnet.errors import GlassnetError
from glassnet.history import Run
from glassnet.losses import get as loss_named

BOUNDS: dict[type, float] = {np.float64: 1e-12, np.float32: 1e-5}
"""How far the engines may be apart, relative to the largest number of each array."""

EXACT = ("epoch", "updates", "learning_rate")
MEASURED = ("loss", "penalty", "gradient_norm")


@dataclass(frozen=True)
class Case:
    """A run: all that its result depends on but the engine."""

    objective: Objective
    theta: Array
    X: Array
    Y: Array
    options: dict[str, Any] = field(default_factory=dict)

    def run(self, engine: str, dtype: type = np.float64, **changes: Any) -> Run:
        usual = {"epochs": 3, "batch_size": 16, "optimizer": SGD(0.01, momentum=0.9), "rng": 3}
        options = usual | self.options | changes
        return gn.train(self.objective, self.theta.astype(dtype), self.X, self.Y, engine=engine, **options)

    def but(self, **options: Any) -> Case:
        return replace(self, options={**self.options, **options})


@contextmanager
def watched() -> Iterator[list[Any]]:
    """Collect what the compiled engine is asked for: a loop for each run, or None where it fell back."""
    engine, loops = get_engine("numba"), []
    fuse = type(engine).fuse

    def seen(*arguments: Any) -> Any:
        loops.append(fuse(engine, *arguments))
        return loops[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "fuse", seen)
        yield loops


def compiled(case: Case, dtype: type = np.float64, **changes: Any) -> Run:
    """Run on the compiled engine, and demand that it was its own loop that ran."""
    with watched() as loops:
        run = case.run("numba", dtype, **changes)
    assert [loop is not None for loop in loops] == [True], "the compiled engine has fallen back to the reference"
    return run


def fallen_back(case: Case, dtype: type = np.float64, **changes: Any) -> Run:
    """Run on the compiled engine, and demand that it could not."""
    with watched() as loops:
        run = case.run("numba", dtype, **changes)
    assert all(loop is None for loop in loops), "the compiled engine has run this itself"
    return run


def apart(one: Array, two: Array) -> float:
    """The largest difference, relative to the largest number; NaN never passes for agreement."""
    assert one.shape == two.shape
    if one.size == 0 or np.array_equal(one, two):
        return 0.0
    difference = np.abs(one.astype(np.float64) - two).max()
    return float(difference / np.abs(two).max()) if np.isfinite(difference) else np.inf


def distances(ours: Run, theirs: Run) -> dict[str, float]:
    """How far a run is from the reference, array by array."""
    result = {"theta": apart(ours.theta, theirs.theta), "state": apart(ours.state, theirs.state)}
    if theirs.history.rows:
        result |= {name: apart(ours.history[name], theirs.history[name]) for name in MEASURED}
    if theirs.rule_state is not None and ours.rule_state is not None:
        pairs = zip(ours.rule_state.slots, theirs.rule_state.slots, strict=True)
        result |= {f"slot {i}": apart(one, two) for i, (one, two) in enumerate(pairs)}
    return result


def check(ours: Run, theirs: Run, bound: float) -> None:
    """Demand that two runs are the same: equal in what is exact, as near as `bound` in what is measured."""
    assert (ours.status, ours.reason) == (theirs.status, theirs.reason)
    assert ours.theta.dtype == theirs.theta.dtype
    assert ours.state.dtype == theirs.state.dtype or not theirs.state.size
    assert ours.history.columns == theirs.history.columns
    assert len(ours.history) == len(theirs.history)
    for name in EXACT if theirs.history.rows else ():
        np.testing.assert_array_equal(ours.history[name], theirs.history[name], err_msg=name)
    assert (ours.rule_state is None) == (theirs.rule_state is None)
    if ours.rule_state is not None and theirs.rule_state is not None:
        assert (ours.rule_state.t, ours.rule_state.rule) == (theirs.rule_state.t, theirs.rule_state.rule)
        assert [slot.dtype for slot in ours.rule_state.slots] == [slot.dtype for slot in theirs.rule_state.slots]
    far = {name: distance for name, distance in distances(ours, theirs).items() if not distance <= bound}
    assert not far, far


def agree(case: Case, *dtypes: type, **changes: Any) -> None:
    """Demand that both engines run the case alike, in float64 and float32 where nothing else is asked for."""
    for dtype in dtypes or BOUNDS:
        theirs = case.run("numpy", dtype, **changes)
        assert theirs.status in ("completed", "stopped", "converged"), theirs.reason
        check(compiled(case, dtype, **changes), theirs, BOUNDS[dtype])


def same(one: Run, two: Run) -> bool:
    """Bit for bit the same run, but for the clock and what only one of them has measured."""
    columns = set(one.history.columns) & set(two.history.columns) - {"seconds"}
    return (
        (one.status, one.reason) == (two.status, two.reason)
        and np.array_equal(one.theta, two.theta)
        and np.array_equal(one.state, two.state)
        and all(np.array_equal(one.history[name], two.history[name]) for name in columns)
    )


def allowed(output: Activation, loss: Any) -> bool:
    """Whether the loss is defined for the outputs."""
    try:
        loss_named(loss).check_output(output.range, output.name)
    except GlassnetError:
        return False
    return True


def targets(kind: str, rng: np.random.Generator, m: int, k: int) -> Array:
    """Targets that a loss has a meaning for."""
    return {
        "real": lambda: rng.normal(size=(m, k)),
        "nonnegative": lambda: rng.poisson(1.5, (m, k)).astype(float),
        "positive": lambda: rng.gamma(2.0, 1.0, (m, k)) + 0.1,
        "unit": lambda: rng.random((m, k)),
        "simplex": lambda: rng.dirichlet(np.ones(k), m),
    }[kind]()


def case(layers: list[Any], loss: Any = "squared_error", *, m: int = 41, d: int = 9, seed: int = 0, **of: Any) -> Case:
    """A case with drawn data and a drawn start; `of` goes to the objective."""
    rng = np.random.default_rng(seed)
    net = Network(d, layers)
    objective = Objective(net, loss, **of)
    theta = net.init(rng) + 0.1 * rng.normal(size=net.n_parameters)
    Y = targets(objective.loss_record.targets, rng, m, net.n_outputs)
    return Case(objective, theta, rng.normal(size=(m, d)), Y)


def small(hidden: Any = "tanh", output: Any = "identity", loss: Any = "squared_error", **of: Any) -> Case:
    """Two layers; the first product is one of BLAS's, the second a plain loop."""
    return case([Dense(13, hidden), Dense(4, output)], loss, **of)
