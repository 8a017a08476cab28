"""population.py: many runs at once are the runs that `train` makes one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import SGD
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord
from glassnet.population import train_many
from population_runs import ENGINES, MANY, NORMED, PLAIN, alone, equal, held_out, together

# ---- the same runs ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 2, 4, None])
@pytest.mark.parametrize("engine", ENGINES)
def test_each_run_is_the_one_that_train_makes_alone(engine: str, n_threads: int | None) -> None:
    runs = together(*MANY.values(), engine=engine, n_threads=n_threads)
    for which, run in zip(MANY, runs, strict=True):
        assert equal(run, alone(MANY[which], engine)), which
        assert run.engine == engine, which


def test_the_cases_differ() -> None:
    ends = {alone(run).theta.tobytes() for run in MANY.values()}
    assert len(ends) == len(MANY)


def test_both_engines_in_one_population() -> None:
    runs = train_many([PLAIN | {"engine": engine} for engine in ("numpy", "numba") * 4], n_threads=4)
    for number, run in enumerate(runs):
        assert equal(run, alone(PLAIN, ENGINES[number % 2]))


def test_an_objective_brings_its_engine() -> None:
    runs = train_many(PLAIN | {"objective": replace(PLAIN["objective"], engine=engine)} for engine in ENGINES)
    assert [run.engine for run in runs] == ENGINES


def test_runs_keep_their_order_whoever_ends_first() -> None:
    lengths = [200, 1, 50, 3, 100, 2]
    runs = together(*[PLAIN | {"epochs": n} for n in lengths], n_threads=3)
    assert [len(run.history) for run in runs] == lengths


def test_runs_may_share_a_generator_as_one_after_the_other_would() -> None:
    shared = np.random.default_rng(3)
    runs = together(*[MANY["dropout"] | {"rng": shared}] * 4)
    shared = np.random.default_rng(3)
    for run in runs:
        assert equal(run, alone(MANY["dropout"] | {"rng": shared}))
    assert len({run.theta.tobytes() for run in runs}) == 4


def test_runs_may_share_a_callback() -> None:
    """Each starts it afresh."""
    stop = [gn.EarlyStopping(2)]
    rates = [0.01, 0.1, 0.5, 1.0]
    several = [held_out(PLAIN) | {"optimizer": SGD(rate), "epochs": 40, "callbacks": stop} for rate in rates]
    runs = together(*several, n_threads=4)
    for run, made in zip(runs, several, strict=True):
        assert equal(run, alone(made | {"callbacks": [gn.EarlyStopping(2)]}))
    assert {run.status for run in runs} >= {"stopped"}


@pytest.mark.parametrize("engine", ENGINES)
def test_no_array_that_is_passed_in_is_changed(engine: str) -> None:
    before = {name: NORMED[name].copy() for name in ("theta", "X", "Y")}
    together(*[NORMED] * 3, engine=engine)
    for name, array in before.items():
        np.testing.assert_array_equal(NORMED[name], array)


def test_results_share_no_memory() -> None:
    one, two = together(PLAIN, PLAIN)
    assert equal(one, two)
    assert not np.shares_memory(one.theta, two.theta)
    assert not np.shares_memory(one.theta, PLAIN["theta"])


def test_a_run_goes_on_from_one_of_a_population() -> None:
    whole, half = together(MANY["momentum"] | {"sampling": "sequential"}, PLAIN)[0], 4
    first = together(PLAIN, MANY["momentum"] | {"sampling": "sequential", "epochs": half})[1]
    rest = {"theta": first.theta, "rule_state": first.rule_state, "epochs": 9 - half, "sampling": "sequential"}
    np.testing.assert_array_equal(together(MANY["momentum"] | rest)[0].theta, whole.theta)


# ---- what may be passed -------------------------------------------------------------------------------------------


def test_an_empty_list_gives_an_empty_list() -> None:
    assert train_many([]) == []
    assert train_many(iter(()), n_threads=4) == []


def test_a_generator_is_read_once() -> None:
    read = []

    def runs() -> Iterator[dict[str, Any]]:
        for seed in range(3):
            read.append(seed)
            yield PLAIN | {"rng": seed}

    for seed, run in enumerate(train_many(runs(), n_threads=2)):
        assert equal(run, gn.train(**PLAIN, rng=seed))
    assert read == [0, 1, 2]


def test_any_mapping_will_do() -> None:
    assert equal(train_many([MappingProxyType(PLAIN)])[0], gn.train(**PLAIN))


@pytest.mark.parametrize("other", [None, 3, "run", [("epochs", 3)], PLAIN["objective"]])
def test_anything_else_is_refused(other: Any) -> None:
    with pytest.raises(GlassnetError, match=r"runs\[1\] must be a mapping of the arguments of train"):
        train_many([PLAIN, other])


def test_one_mapping_is_no_list_of_them() -> None:
    with pytest.raises(GlassnetError, match=r"runs\[0\] must be a mapping .* received 'objective'"):
        train_many(PLAIN)  # type: ignore[arg-type]


@pytest.mark.parametrize("n_threads", [0, -1, 1.5, True, "2"])
def test_threads_are_counted_from_one(n_threads: Any) -> None:
    counted: list[EpochRecord] = []
    with pytest.raises(GlassnetError, match=r"n_threads must be .*at least 1, received"):
        train_many([PLAIN | {"callbacks": [counted.append]}], n_threads=n_threads)
    assert not counted


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "epochs": ({"epochs": 0}, "epochs must be at least 1, received 0"),
    "batch_size": ({"batch_size": 2.5}, "batch_size must be a whole number"),
    "a misspelt name": ({"ephocs": 3}, "unexpected keyword argument 'ephocs'"),
    "rows": ({"X": PLAIN["X"][:3]}, "equally many rows, received 3 and 41"),
    "columns": ({"X": PLAIN["X"][:, :3]}, "X must be"),
    "NaN": ({"X": PLAIN["X"] * np.nan}, "X must be"),
    "theta": ({"theta": PLAIN["theta"][:-1]}, "theta must be"),
    "engine": ({"engine": "nump"}, "unknown engine 'nump': did you mean 'numpy'"),
    "rule": ({"optimizer": "adm"}, "did you mean 'adam'"),
    "validation": ({"validation": 3}, "validation must be"),
    "callbacks": ({"callbacks": [3]}, "each callback must be"),
    "average": ({"average": 2}, "average must be"),
    "a seed": ({"rng": "a"}, "rng must be a whole number from 0 up"),
    "a negative seed": ({"rng": -1}, "rng must be a whole number from 0 up"),
}


@pytest.mark.parametrize("which", WRONG)
def test_what_is_wrong_is_named_before_anything_is_trained(which: str) -> None:
    counted: list[EpochRecord] = []
    changes, message = WRONG[which]
    good = PLAIN | {"callbacks": [counted.append]}
    with pytest.raises(ValueError, match=message) as caught:
        train_many([good, good, PLAIN | changes, good], n_threads=2)
    assert not counted
    assert isinstance(caught.value, GlassnetError)
    assert str(caught.value).startswith("runs[2]: ")
    assert "\n" not in str(caught.value)


def test_what_is_missing_is_named() -> None:
    without = {name: value for name, value in PLAIN.items() if name != "X"}
    with pytest.raises(GlassnetError, match=r"runs\[1\]: .*missing 1 required .*'X'"):
        train_many([PLAIN, without])


def test_the_first_that_is_wrong_is_named() -> None:
    with pytest.raises(GlassnetError, match=r"runs\[1\]: epochs"):
        train_many([PLAIN, PLAIN | {"epochs": 0}, PLAIN | {"batch_size": 0}])
