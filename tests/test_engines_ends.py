"""engines/compiled.py: its runs end as those of the reference do, divergence in the same words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import BOUNDS, Case, apart, case, check, compiled
from glassnet import SGD, ClipNorm, Dense, Network, Objective

LINE = Network(1, [Dense(1)])
SLOPE = np.linspace(-1, 1, 20)[:, None]


def steep(rate: float, **options: Any) -> Case:
    options = {"optimizer": SGD(rate), "epochs": 2000, "batch_size": 5, **options}
    return Case(Objective(LINE, "squared_error"), np.zeros(2), SLOPE, 3 * SLOPE + 1, options)


def ends_alike(one: Case, dtype: type, bound: float) -> gn.Run:
    theirs = one.run("numpy", dtype)
    ours = compiled(one, dtype)
    check(ours, theirs, bound)
    return ours


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("batch_size", [5, 20])
@pytest.mark.parametrize("rate", [6.0, 1e2, 1e10, 1e30])
def test_divergence_is_told_in_the_same_words(rate: float, batch_size: int, dtype: type) -> None:
    """The rate 6 multiplies errors by ten a step: of float32's digits, the last ones are gone."""
    bound = 1e-4 if dtype is np.float32 else 1e-12
    for options in ({}, {"epochs": 1}, {"average": 0.5}, {"optimizer": SGD(rate, momentum=0.5)}):
        run = ends_alike(steep(rate, batch_size=batch_size).but(**options), dtype, bound)
        assert run.status == "diverged" or options == {"epochs": 1}
        assert np.isfinite(run.theta).all()


@pytest.mark.parametrize("rate", [1e60, 1e200, 1e300])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_a_rate_beyond_the_dtype_is_divergence_and_no_warning(rate: float, dtype: type) -> None:
    for options in ({}, {"epochs": 1}, {"validation": ([[1.0]], [[1.0]])}):
        assert ends_alike(steep(rate, batch_size=20, **options), dtype, 1e-12).status == "diverged"


def test_the_last_step_is_looked_at() -> None:
    run = ends_alike(steep(1e10, batch_size=20, epochs=1), np.float64, 1e-12)
    assert run.reason.startswith("after the last step the loss has grown from")
    np.testing.assert_array_equal(run.theta, [0, 0])


BROKEN = (lambda z: np.where(np.abs(z) > 1e3, np.nan, z), lambda z, a: np.ones_like(z))
PLACES: dict[str, Objective] = {
    "first in layer 1": Objective(Network(1, [Dense(1, BROKEN), Dense(1)]), "squared_error"),
    "first in layer 2": Objective(Network(1, [Dense(1), Dense(1, BROKEN)]), "squared_error"),
    "first in the loss itself": Objective(
        LINE, (lambda a, y: np.where(np.abs(a) > 1e3, np.nan, a), lambda a, y: 0.0 * a)
    ),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("dtype", BOUNDS)
def test_nan_is_traced_to_its_layer_and_batch(place: str, dtype: type) -> None:
    x = np.ones((12, 1))
    x[8] = 1e4
    options = {"optimizer": SGD(1e-9), "epochs": 2, "batch_size": 3, "sampling": "sequential"}
    start = np.full(PLACES[place].net.n_parameters, 1.0)
    run = ends_alike(Case(PLACES[place], start, x, x, options), dtype, 0.0)
    assert run.reason.startswith(f"epoch 1: the loss is nan in batch 3, {place}.")
    np.testing.assert_array_equal(run.theta, start)


def test_divergence_after_good_epochs_gives_the_theta_before_the_last_one() -> None:
    growing = steep(3.2, batch_size=20)
    run = ends_alike(growing, np.float64, 1e-11)
    assert len(run.history) > 3
    assert run.rule_state is None


@pytest.mark.parametrize("dtype", BOUNDS)
def test_an_infinite_penalty_is_seen(dtype: type) -> None:
    large = replace(case([Dense(4)], l2=1e10), theta=case([Dense(4)]).theta * (1e18 if dtype is np.float32 else 1e153))
    assert ends_alike(large, dtype, 0.0).reason.startswith("epoch 1: the loss is inf in batch 1")


def test_theta_that_is_not_finite_after_the_last_step_is_seen() -> None:
    """The loss of the last batch is finite, its slope is not."""
    objective = Objective(LINE, (lambda a, y: 0.0 * a, lambda a, y: np.where(y > 0, np.inf, 0.0)))
    y = np.zeros((6, 1))
    y[5] = 1.0
    last = Case(objective, np.ones(2), np.ones((6, 1)), y, {"batch_size": 2, "sampling": "sequential", "epochs": 3})
    for rule in (SGD(0.1), SGD(0.1, momentum=0.5), gn.Adam()):
        run = ends_alike(last.but(optimizer=rule), np.float64, 0.0)
        assert run.reason.startswith("epoch 1: theta is not finite after the last batch")


def test_a_falling_loss_has_not_diverged() -> None:
    falling = Objective(Network(1, [Dense(1, bias=False)]), (lambda a, y: a, lambda a, y: np.ones_like(a)))
    one = Case(falling, np.array([-10.0]), np.ones((1, 1)), np.zeros((1, 1)), {"optimizer": SGD(1.0)})
    run = ends_alike(one, np.float64, 0.0)
    assert list(run.history["loss"]) == [-10.0, -11.0, -12.0]
    rising = replace(one, objective=Objective(falling.net, (lambda a, y: a, lambda a, y: -np.ones_like(a))))
    assert ends_alike(rising.but(optimizer=SGD(1e9)), np.float64, 0.0).status == "diverged"


@pytest.mark.parametrize("scale", [1e8, 1e15, 1e18])
def test_gradients_whose_squares_leave_float32_are_clipped(scale: float) -> None:
    one = case([Dense(4)])
    large = replace(one, X=one.X * scale).but(optimizer=ClipNorm(SGD(1e-3 / scale), 1.0), epochs=1, batch_size=41)
    ours, theirs = compiled(large, np.float32), large.run("numpy", np.float32)
    assert apart(ours.theta - large.theta.astype(np.float32), theirs.theta - large.theta.astype(np.float32)) < 1e-3
    assert apart(ours.theta, theirs.theta) < 1e-5
