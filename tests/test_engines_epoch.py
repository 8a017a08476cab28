"""engines/epoch.py: the order of rows, the noise, the pieces of a call, and that looking changes nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from engine_runs import BOUNDS, Case, agree, apart, case, check, compiled, same, small
from glassnet import SGD, BatchNorm, ClipNorm, Dense, Dropout, Network, Objective
from glassnet.arrays import Array
from glassnet.schedules import Exponential

# ---- the order of rows ----------------------------------------------------------------------------------------------


def read_order(m: int, seed: int, epochs: int) -> list[list[int]]:
    """The order of each epoch as the reference draws it: `train` spawns one generator for it, one for the noise."""
    order, _ = np.random.default_rng(seed).spawn(2)
    return [[int(i) for i in order.permutation(m)] for _ in range(epochs)]


def moments(m: int, seed: int, epochs: int) -> Array:
    """What theta is after each epoch, where step t (from 1) adds t * (row + 1)^2: exact in float64, and nearly no two
    orders give the same."""
    rows = np.arange(m, dtype=float)[:, None]
    slope = Objective(Network(1, [Dense(1, bias=False)]), (lambda a, y: 0.0 * a, lambda a, y: -((y + 1) ** 2)))
    seen: list[float] = [0.0]
    numbered = Case(
        slope, np.zeros(1), np.ones((m, 1)), rows, {"batch_size": 1, "rng": seed, "optimizer": SGD(lambda t: t + 1.0)}
    )
    compiled(numbered, epochs=epochs, callbacks=[lambda record: seen.append(float(record.theta[0]))])
    return np.array(seen[1:])


@pytest.mark.parametrize("m", [*range(2, 51), 64, 65, 1000])
def test_the_order_of_rows_is_that_of_a_permutation(m: int) -> None:
    """One generator, drawn from epoch after epoch: one draw too many, and all that follows is another order."""
    epochs = 3
    orders = np.array(read_order(m, m, epochs))
    t = np.arange(1, epochs * m + 1).reshape(epochs, m)
    np.testing.assert_array_equal(moments(m, m, epochs), (t * (orders + 1.0) ** 2).sum(axis=1).cumsum())


def test_a_single_row_needs_no_order() -> None:
    np.testing.assert_array_equal(moments(1, 0, 3), np.cumsum([1.0, 2.0, 3.0]))


@pytest.mark.parametrize(
    "bits", [np.random.MT19937, np.random.PCG64, np.random.PCG64DXSM, np.random.Philox, np.random.SFC64]
)
def test_every_generator_is_drawn_from_as_numpy_does(bits: Any) -> None:
    drawn = case([Dense(5, "tanh"), Dropout(0.3), Dense(3)])
    ours, theirs = (drawn.run(engine, rng=np.random.Generator(bits(3))) for engine in ("numba", "numpy"))
    check(ours, theirs, 1e-12)


def test_a_generator_goes_on_where_it_stood() -> None:
    """Two runs that share a generator are two different runs, on either engine the same two."""
    runs = {}
    for engine in ("numba", "numpy"):
        rng = np.random.default_rng(1)
        runs[engine] = [small().run(engine, rng=rng) for _ in range(2)]
    assert not np.array_equal(runs["numba"][0].theta, runs["numba"][1].theta)
    for ours, theirs in zip(*runs.values(), strict=True):
        check(ours, theirs, 1e-12)


# ---- the noise ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", BOUNDS)
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_masks_of_dropout_are_those_of_the_generator(rate: float, dtype: type) -> None:
    """The slope by each weight is its input, 1 where it is kept: after a step theta is the mask / (1 - rate)."""
    m, d = 1, 40
    slope = Objective(
        Network(d, [Dropout(rate), Dense(1, bias=False)]), (lambda a, y: 0.0 * a, lambda a, y: -np.ones_like(a))
    )
    masks: list[Array] = [np.zeros(d)]
    one = Case(slope, np.zeros(d), np.ones((m, d)), np.zeros((m, 1)), {"optimizer": SGD(1.0), "rng": 5})
    compiled(one, dtype, epochs=4, callbacks=[lambda record: masks.append(record.theta.copy())])
    _, noise = np.random.default_rng(5).spawn(2)
    for before, after in pairwise(masks):
        kept = noise.random((m, d))[0] >= rate
        np.testing.assert_allclose(after - before, kept / (1 - rate), rtol=0, atol=1e-5)


def test_a_dropout_of_nothing_draws_nothing() -> None:
    with_it = case([Dense(6, "tanh"), Dropout(0.0), Dropout(0.4), Dense(3)])
    without = case([Dense(6, "tanh"), Dropout(0.4), Dense(3)])
    assert apart(compiled(with_it).theta, compiled(without).theta) < 1e-14


# ---- runs that are cut in calls, and runs that are looked at -------------------------------------------------------

NETS: dict[str, Case] = {
    "adam": small(l1=1e-3).but(optimizer=gn.Adam(0.01)),
    "plain descent": small().but(optimizer=SGD(0.01)),
    "schedule": small().but(optimizer=gn.NAdam(Exponential(0.01, 0.99))),
    "clipped": small().but(optimizer=ClipNorm(gn.RMSProp(), 0.1)),
    "one at a time": small("relu", "softmax", "cross_entropy").but(batch_size=1, optimizer=gn.AdamW()),
    "norms and noise": case([BatchNorm(0.9), Dense(9, "tanh"), Dropout(0.2), Dense(3)]).but(optimizer=SGD(0.01)),
    "averaged": small().but(average=0.95, optimizer=gn.AdaGrad()),
    "whole": small().but(batch_size=1000),
    "weighted": small("tanh", "sigmoid", "focal").but(sample_weight=np.arange(41.0), drop_last=True),
}


@pytest.mark.parametrize("net", NETS)
def test_looking_changes_nothing(net: str) -> None:
    """To the bit: an engine that is watched stops after each epoch, alone it runs many at a time."""
    one = NETS[net]
    held_out = one.X[:7] + 0.5, one.Y[:7]
    for dtype in BOUNDS:
        alone = compiled(one, dtype, epochs=40)
        for look in (
            {"callbacks": [lambda record: None]},
            {"validation": held_out},
            {"metrics": {"bias": lambda a, y: float((a - y).mean())}},
            {"callbacks": [gn.EarlyStopping(1000, restore_best=False)]},
        ):
            assert same(compiled(one, dtype, epochs=40, **look), alone)
        assert same(compiled(one, dtype, epochs=40), alone)


@pytest.mark.parametrize("net", NETS)
def test_a_shorter_run_is_the_beginning_of_a_longer_one(net: str) -> None:
    """Wherever a call ends: the first calls are of few batches, and time decides how long the next ones are."""
    one, lengths = NETS[net], (1, 2, 5, 6, 13, 40)
    history = compiled(one, epochs=40).history
    for n in lengths:
        run = compiled(one, epochs=n)
        for name in ("loss", "penalty", "gradient_norm", "learning_rate"):
            np.testing.assert_array_equal(run.history[name], history[name][:n], err_msg=name)


def test_many_short_epochs() -> None:
    """Long enough for several calls, the reference beside it."""
    xor = case([Dense(4, "tanh"), Dense(2, "softmax")], "cross_entropy", m=4, d=2).but(
        batch_size=1, optimizer=SGD(0.5), epochs=300
    )
    check(compiled(xor), xor.run("numpy"), 1e-10)
    alone = compiled(xor, epochs=30_000)
    assert len(alone.history) == 30_000
    assert list(alone.history["updates"][[0, 1, -1]]) == [4, 8, 120_000]
    np.testing.assert_array_equal(alone.history["loss"][:300], compiled(xor).history["loss"])
    assert (np.diff(alone.history["seconds"]) >= 0).all()
    assert same(alone, compiled(xor, epochs=30_000))


def test_an_epoch_of_many_batches_is_cut_too() -> None:
    """More batches in an epoch than a first call takes."""
    long = small().but(batch_size=1, epochs=2, optimizer=gn.Adam())
    long = replace(long, X=np.tile(long.X, (50, 1)), Y=np.tile(long.Y, (50, 1)))
    check(compiled(long), long.run("numpy"), 1e-10)
    assert same(compiled(long), compiled(long, callbacks=[lambda record: None]))


# ---- products -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch_size", [1, 2, 8, 9, 16, 31])
@pytest.mark.parametrize("units", [1, 2, 7, 8, 16, 40])
def test_products_of_every_shape(units: int, batch_size: int) -> None:
    """On both sides of the size from which on BLAS is called, with and without a bias, for each kind of output."""
    for end, loss in ((Dense(3), "squared_error"), (Dense(3, "softmax"), "cross_entropy"), (Dense(1), "huber")):
        agree(
            case([Dense(units, "tanh"), Dense(7, "silu", bias=False), end], loss, m=31), batch_size=batch_size, epochs=1
        )


@settings(max_examples=120)
@given(d=st.integers(1, 70), n=st.integers(1, 70), k=st.integers(1, 40), m=st.integers(1, 40), seed=st.integers(0, 99))
def test_products_of_drawn_shapes(d: int, n: int, k: int, m: int, seed: int) -> None:
    """Rows and columns that fill no vector: what lies beyond the end of a row must not get in."""
    for output, loss in (("identity", "squared_error"), ("softmax", "cross_entropy")):
        if k > 1 or output == "identity":
            shaped = case([Dense(n, "tanh"), Dense(k, output)], loss, m=m + 3, d=d, seed=seed)
            agree(shaped.but(batch_size=m, optimizer=SGD(1e-3)), epochs=1)


@pytest.mark.parametrize("rule", [SGD(0.01), SGD(0.01, momentum=0.5)])
def test_blocks_of_updates(rule: Any) -> None:
    """700 inputs and 300 units: 210,000 weights, an update of several blocks of which the last is not whole."""
    agree(case([Dense(300, "tanh"), Dense(5)], d=700, m=20).but(optimizer=rule, batch_size=8), epochs=1)
    agree(case([Dense(300, "tanh"), Dense(5)], d=700, m=20, l1=1e-3), epochs=1)


def test_plain_descent_is_the_same_with_a_penalty_that_vanishes() -> None:
    """Without penalty the product adds the step itself; with one, the rule does."""
    direct, by_rule = (small(l2=l2).but(optimizer=SGD(0.01)) for l2 in (0.0, 1e-300))
    assert apart(compiled(direct).theta, compiled(by_rule).theta) < 1e-14


# ---- subnormal numbers --------------------------------------------------------------------------------------------


def subnormals(x: Array) -> int:
    return int(((x != 0) & (np.abs(x) < np.finfo(x.dtype).tiny)).sum())


def first_moments(engine: str) -> Array:
    """Adam's m of a run that learns for an epoch, then sees zeros alone: W of the first layer has no gradient."""
    one = case([Dense(5, "tanh"), Dense(2)], m=32, d=4)
    options = {"batch_size": 16, "sampling": "sequential", "optimizer": gn.Adam(0.001)}
    seen = one.run(engine, np.float32, epochs=1, **options)
    blind = replace(one, X=np.zeros_like(one.X), theta=seen.theta)
    return blind.run(engine, np.float32, epochs=600, rule_state=seen.rule_state, **options).rule_state.slots[0]


def test_a_moment_that_dies_out_becomes_zero() -> None:
    """Else it stays at a few of the smallest subnormals, and each step that reads it takes a hundred cycles longer."""
    pytest.importorskip("numba")
    from glassnet.engines.machine import HAS_MXCSR

    if not HAS_MXCSR:
        pytest.skip("only x86 processors are told to")
    assert subnormals(first_moments("numpy")) > 0
    assert subnormals(first_moments("numba")) == 0


def test_the_thread_that_called_keeps_its_subnormals() -> None:
    tiny = np.array([1e-40], np.float32)
    compiled(case([Dense(3, "tanh"), Dense(2)], m=8, d=2), np.float32, optimizer=gn.Adam(0.01))
    assert (tiny * np.float32(1))[0] > 0
