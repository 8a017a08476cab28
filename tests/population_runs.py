"""What the tests of populations share: the arguments of many runs, together and one by one."""

from __future__ import annotations

from typing import Any

import numpy as np

import glassnet as gn
from engine_runs import case, same
from glassnet import SGD, Adam, BatchNorm, Dense, Dropout
from glassnet.history import EpochRecord, Run
from glassnet.population import train_many

ENGINES = ["numpy", "numba"]


def arguments(layers: list[Any], loss: str = "squared_error", dtype: type = np.float64, **options: Any) -> Any:
    """The arguments of one run; options of the drawn case start with a d, m or seed."""
    drawn = {name: options.pop(name) for name in ("d", "m", "seed", "l1", "l2") if name in options}
    made = case(layers, loss, **drawn)
    usual = {"epochs": 4, "batch_size": 8, "optimizer": SGD(0.01)}
    same = {"objective": made.objective, "theta": made.theta.astype(dtype), "X": made.X.astype(dtype), "Y": made.Y}
    return same | usual | options


def error(a: Any, y: Any) -> float:
    return float(np.abs(a - y).mean())


def halve(record: EpochRecord) -> gn.callbacks.Request | None:
    return gn.callbacks.Request(rate_factor=0.5) if record.epoch == 2 else None


def held_out(made: Any) -> Any:
    return made | {"validation": (made["X"][:9] + 0.3, made["Y"][9:18])}


PLAIN = arguments([Dense(13, "tanh"), Dense(4)])
NORMED = arguments(
    [Dense(8, "relu", bias=False), BatchNorm(0.9), Dropout(0.2), Dense(3, "softmax")], "cross_entropy", l2=0.01,
    batch_size=7,
)  # fmt: skip
MANY: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "another rate": PLAIN | {"optimizer": SGD(0.05)},
    "momentum": PLAIN | {"optimizer": SGD(0.02, momentum=0.9), "epochs": 9},
    "another penalty": arguments([Dense(13, "tanh"), Dense(4)], l1=0.01, l2=0.1),
    "another seed": PLAIN | {"rng": 7},
    "another start": arguments([Dense(13, "tanh"), Dense(4)], seed=5),
    "another size": arguments([Dense(30, "sigmoid"), Dense(20, "relu"), Dense(2)], m=70, d=5, batch_size=20),
    "float32": arguments([Dense(13, "tanh"), Dense(4)], dtype=np.float32, optimizer=Adam(0.01)),
    "dropout": arguments([Dense(20, "relu"), Dropout(0.3), Dense(4)], rng=2),
    "normed": NORMED,
    "normed, float32": {**NORMED, "theta": NORMED["theta"].astype(np.float32)},
    "held out": held_out(NORMED) | {"metrics": {"error": error}, "epochs": 30, "callbacks": [gn.EarlyStopping(2)]},
    "halved": PLAIN | {"callbacks": [halve], "metrics": {"error": error}},
    "averaged, weighted": PLAIN | {"average": 0.9, "sample_weight": np.arange(41.0)},
    "drawn": PLAIN | {"sampling": "bootstrap"},
    "falling rate": PLAIN | {"optimizer": Adam(lambda t: 0.01 / (1 + t))},
    "one row more": PLAIN | {"batch_size": 40},
}


def together(*runs: dict[str, Any], engine: str = "numba", n_threads: int | None = 2) -> list[Run]:
    return train_many([{**run, "engine": engine} for run in runs], n_threads=n_threads)


def alone(run: dict[str, Any], engine: str = "numba") -> Run:
    return gn.train(**run, engine=engine)


def equal(one: Run, two: Run) -> bool:
    """Bit for bit, what the rule remembers and the columns of the history included."""
    assert one.history.columns == two.history.columns
    assert one.theta.dtype == two.theta.dtype
    assert (one.rule_state is None) == (two.rule_state is None)
    if one.rule_state is not None and two.rule_state is not None:
        assert one.rule_state.t == two.rule_state.t
        assert all(map(np.array_equal, one.rule_state.slots, two.rule_state.slots))
    return one.engine == two.engine and same(one, two)
