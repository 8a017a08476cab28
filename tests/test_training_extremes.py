"""Extreme but finite numbers: a run ends with a finite model, or with "diverged" and the last good one."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from glassnet import Dense, Network, Objective, optimizers
from glassnet.arrays import Array
from glassnet.history import Run

RNG = np.random.default_rng(0)
COLUMNS: dict[str, Array] = {
    "ordinary": RNG.normal(size=24),
    "1e30": 1e30 * RNG.normal(size=24),
    "the largest": np.where(np.arange(24) % 2, 1.0, -1.0) * np.finfo(np.float32).max,
    "subnormal": 1e-40 * RNG.normal(size=24),
    "constant": np.full(24, 1e20),
    "zero": np.zeros(24),
    "one huge value": np.where(np.arange(24) == 7, 1e37, RNG.normal(size=24)),
}
RULES = {
    **{name: make() for name, make in optimizers.RULES.items()},
    "clipped": gn.ClipNorm(gn.SGD(0.1), 1.0),
    "momentum": gn.SGD(0.1, momentum=0.9, nesterov=True),
    "fast": gn.SGD(1e20),
    "tiny": gn.Adam(1e-40),
}
ENGINES = ["numpy", "numba"]
NETS = [
    Network(3, [Dense(4, "tanh"), Dense(1)]),
    Network(3, [Dense(4, "relu"), Dense(1)]),
    Network(3, [Dense(4, "softplus"), gn.BatchNorm(), gn.LayerNorm(), Dense(1)]),
]


def fit(inputs: tuple[str, str, str], targets: str, rule: Any, engine: str, **options: Any) -> tuple[Run, Array]:
    X = np.stack([COLUMNS[name] for name in inputs], axis=1).astype(np.float32)
    Y = COLUMNS[targets].astype(np.float32)[:, None]
    net = options.pop("net", NETS[0])
    theta = net.init(rng=0).astype(options.pop("dtype", np.float32))
    options = {"epochs": 4, "batch_size": 8, **options}
    return gn.train(
        Objective(net, options.pop("loss", "squared_error")), theta, X, Y, optimizer=rule, engine=engine, **options
    ), theta


def ends_well(run: Run, start: Array) -> None:
    """The promise."""
    assert run.status in ("completed", "diverged")
    assert run.theta.dtype == start.dtype
    assert np.isfinite(run.theta).all()
    assert np.isfinite(run.state).all()
    assert np.isfinite(run.history["loss"]).all() if len(run.history) else np.array_equal(run.theta, start)
    if run.status == "diverged":
        assert "Try a learning rate ten times smaller." in run.reason
        assert len(run.history) < 4 or "after the last step" in run.reason


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "numba":
        pytest.importorskip("numba")
    return str(request.param)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("targets", ["ordinary", "1e30", "the largest"])
def test_every_rule(rule: str, targets: str, engine: str) -> None:
    for name in COLUMNS:
        for net in NETS:
            ends_well(*fit((name, "ordinary", "constant"), targets, RULES[rule], engine, net=net))


@settings(max_examples=150)
@given(
    st.tuples(*[st.sampled_from(sorted(COLUMNS))] * 3), st.sampled_from(sorted(COLUMNS)),
    st.sampled_from(sorted(RULES)), st.sampled_from(ENGINES), st.sampled_from(NETS),
    st.sampled_from([np.float32, np.float64]), st.sampled_from([None, 0.9]),
    st.sampled_from(["squared_error", "absolute_error", "huber"]),
)  # fmt: skip
def test_any_mixture(
    inputs: tuple[str, str, str],
    targets: str,
    rule: str,
    engine: str,
    net: Network,
    dtype: type,
    average: Any,
    loss: str,
) -> None:
    if engine == "numba":
        pytest.importorskip("numba")
    ends_well(*fit(inputs, targets, RULES[rule], engine, net=net, dtype=dtype, average=average, loss=loss))


def test_both_ends_are_reached(engine: str) -> None:
    """The planted faults: were nothing to diverge, or everything, the tests above would say little."""
    assert fit(("ordinary",) * 3, "ordinary", RULES["adam"], engine)[0].status == "completed"
    assert fit(("1e30",) * 3, "1e30", RULES["sgd"], engine)[0].status == "diverged"
    run, start = fit(("ordinary",) * 3, "ordinary", RULES["adam"], engine)
    run.theta[0] = np.nan
    with pytest.raises(AssertionError):
        ends_well(run, start)
