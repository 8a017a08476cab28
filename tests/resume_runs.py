"""What the tests of resuming share: one short run, a power cut, and the comparison bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet.history import EpochRecord, Run

ENGINES = ("numpy", "numba")
NET = gn.Network(3, [gn.Dense(6, "tanh"), gn.BatchNorm(), gn.Dropout(0.2), gn.Dense(2)])
DRAWN = np.random.default_rng(5)
X = DRAWN.normal(size=(53, 3))
Y = np.sin(X[:, :2]) + 0.1 * DRAWN.normal(size=(53, 2))


class PowerCut(Exception):
    """What ends a run in these tests."""


def cut_after(epoch: int) -> Callable[[EpochRecord], None]:
    def cut(record: EpochRecord) -> None:
        if record.epoch > epoch:
            raise PowerCut

    return cut


def fit(net: gn.Network = NET, dtype: type = np.float64, **options: Any) -> Run:
    usual = {"epochs": 9, "batch_size": 16, "optimizer": gn.Adam(0.01), "rng": 3}
    objective = gn.Objective(net, "squared_error", l2=1e-3)
    return gn.train(objective, net.init(rng=1, dtype=dtype), X, Y, **{**usual, **options})


def same(run: Run, whole: Run) -> None:
    """All that a run returns, but its seconds, and the forecast of the time for the epochs that were asked for."""
    assert (run.status, run.reason, run.engine) == (whole.status, whole.reason, whole.engine)
    assert run.theta.dtype == whole.theta.dtype
    assert run.theta.tobytes() == whole.theta.tobytes()
    assert run.state.tobytes() == whole.state.tobytes()
    assert run.history.columns == whole.history.columns
    for column in set(run.history.columns) - {"seconds"}:
        assert run.history[column].tobytes() == whole.history[column].tobytes(), column
    assert (run.rule_state is None) == (whole.rule_state is None)
    if run.rule_state is not None and whole.rule_state is not None:
        assert (run.rule_state.t, run.rule_state.rule) == (whole.rule_state.t, whole.rule_state.rule)
        for slot, other in zip(run.rule_state.slots, whole.rule_state.slots, strict=True):
            assert slot.tobytes() == other.tobytes()


def stopped_and_resumed(
    folder: Path,
    epoch: int,
    run: Callable[..., Run] = fit,
    every: int = 1,
    callbacks: tuple[Any, ...] = (),
    **options: Any,
) -> Run:
    """Run until the power is cut in the epoch after `epoch`, then go on in what is left."""
    with pytest.raises(PowerCut):
        run(callbacks=[*callbacks, gn.Checkpoint(folder, every), cut_after(epoch)], **options)
    return run(callbacks=[*callbacks, gn.Checkpoint(folder, every)], resume=folder, **options)
