"""population.py: many runs at once are the runs that `train` makes one by one, whatever becomes of the others."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import case, same
from glassnet import SGD, Adam, BatchNorm, Dense, Dropout
from glassnet.engines.blas import library
from glassnet.engines.threads import run_team, single_threaded_blas
from glassnet.errors import GlassnetError
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
    "a seed": ({"rng": "a"}, "SeedSequence"),
    "a negative seed": ({"rng": -1}, "non-negative"),
}
UNNAMED = {"a negative seed"}


@pytest.mark.parametrize(
    "which",
    [
        pytest.param(
            name,
        )
        for name in WRONG
    ],
)
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


# ---- what one run does to the others ------------------------------------------------------------------------------


@pytest.mark.parametrize("n_threads", [1, 3])
@pytest.mark.parametrize("engine", ENGINES)
def test_one_that_diverges_stops_nobody_else(engine: str, n_threads: int) -> None:
    wild = PLAIN | {"optimizer": SGD(1e6), "epochs": 30}
    runs = together(PLAIN, wild, NORMED, wild, PLAIN, engine=engine, n_threads=n_threads)
    assert [run.status for run in runs] == ["completed", "diverged", "completed", "diverged", "completed"]
    for run, made in zip(runs, (PLAIN, wild, NORMED, wild, PLAIN), strict=True):
        assert equal(run, alone(made, engine))
        assert np.isfinite(run.theta).all()


LONG = 20_000
"""Epochs that take about a second: far more than it takes to hear that another run has failed."""


def fail_once_both_run(first: int, engine: str) -> int:
    """Two runs at a time, of which number `first` fails; return the epochs that the other one has run."""
    met, epochs = threading.Event(), []

    def fail(record: EpochRecord) -> None:
        assert met.wait(60)
        raise ZeroDivisionError("in a callback")

    def count(record: EpochRecord) -> None:
        met.set()
        epochs.append(record.epoch)

    runs = [PLAIN | {"epochs": LONG, "callbacks": [count]}, PLAIN | {"callbacks": [fail]}]
    with pytest.raises(ZeroDivisionError, match="in a callback"):
        together(*(runs if first else runs[::-1]), engine=engine)
    return len(epochs)


@pytest.mark.parametrize("engine", ENGINES)
def test_an_exception_in_a_callback_is_heard_and_the_others_stop(engine: str) -> None:
    assert 0 < fail_once_both_run(0, engine) < LONG


def test_an_exception_in_a_later_run_stops_the_earlier_ones_too() -> None:
    assert 0 < fail_once_both_run(1, "numba") < LONG


def test_after_an_exception_no_other_run_is_begun() -> None:
    seen: list[int] = []

    def fail(record: EpochRecord) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        together(
            PLAIN | {"callbacks": [fail]},
            PLAIN | {"epochs": LONG, "callbacks": [lambda record: seen.append(1)]},
            PLAIN | {"epochs": LONG, "callbacks": [lambda record: seen.append(2)]},
            n_threads=1,
        )
    assert 2 not in seen
    assert len(seen) < LONG


@pytest.mark.parametrize("n_threads", [1, 3])
def test_the_next_population_is_none_the_worse_for_an_exception(n_threads: int) -> None:
    def fail(record: EpochRecord) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        together(PLAIN, PLAIN | {"callbacks": [fail]}, PLAIN, n_threads=n_threads)
    assert all(equal(run, alone(PLAIN)) for run in together(PLAIN, PLAIN, n_threads=n_threads))


@pytest.mark.parametrize("engine", ENGINES)
def test_an_interrupt_in_a_callback_ends_that_run_alone(engine: str) -> None:
    """As a request to stop would: Ctrl-C itself is heard by the main thread, and is tested below."""

    def interrupt(record: EpochRecord) -> None:
        if record.epoch == 2:
            raise KeyboardInterrupt

    first, second, third = together(PLAIN, PLAIN | {"callbacks": [interrupt]}, PLAIN, engine=engine)
    assert (second.status, len(second.history)) == ("stopped", 2)
    np.testing.assert_array_equal(second.theta, alone(PLAIN | {"epochs": 2}, engine).theta)
    for other in (first, third):
        assert equal(other, alone(PLAIN, engine))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("n_threads", [1, 2])
def test_ctrl_c_stops_all(engine: str, n_threads: int) -> None:
    """The signal is sent once the main thread waits for results; runs not yet begun give their start."""
    main, sent = threading.main_thread().ident or 0, []

    def waits() -> bool:
        codes = [frame.f_code for frame, _ in traceback.walk_stack(sys._current_frames()[main])]
        of_futures = any(code.co_filename == Future.result.__code__.co_filename for code in codes)
        return of_futures and threading.Condition.wait.__code__ in codes

    def press(record: EpochRecord) -> None:
        assert record.epoch < LONG, "the main thread does not wait, or the interrupt is not heard"
        if not sent and waits():
            sent.append(record.epoch)
            signal.pthread_kill(main, signal.SIGINT)

    long = PLAIN | {"epochs": 10 * LONG, "callbacks": [press]}
    try:
        runs = together(long, PLAIN | {"epochs": 10 * LONG}, long, engine=engine, n_threads=n_threads)
    except KeyboardInterrupt:
        pytest.fail("the interrupt was not caught")
    assert len(sent) == 1
    assert [run.status for run in runs] == ["stopped"] * 3
    assert all(run.reason == f"interrupted in epoch {len(run.history) + 1}" for run in runs)
    assert sent[0] <= len(runs[0].history) < 10 * LONG
    assert len(runs[2].history) == 0
    np.testing.assert_array_equal(runs[2].theta, PLAIN["theta"])
    for run in runs:
        n = len(run.history)
        assert n == 0 or np.array_equal(run.theta, alone(PLAIN | {"epochs": n}, engine).theta)


# ---- one core each ------------------------------------------------------------------------------------------------


def blas_threads() -> set[int]:
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_info

    ours = "mkl" if library() == "MKL" else None  # that one has no threads of its own, ever
    return {
        found["num_threads"]
        for found in threadpool_info()
        if found["user_api"] == "blas" and found["internal_api"] != ours
    }


@pytest.fixture
def two() -> Iterator[None]:
    """Let BLAS use two threads, whatever the environment says, so that one is fewer."""
    from threadpoolctl import threadpool_limits

    blas_threads()
    with threadpool_limits(2, user_api="blas"):
        assert blas_threads() == {2}
        yield


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.usefixtures("two")
def test_blas_uses_one_thread_inside_and_what_it_had_after(engine: str) -> None:
    seen: list[set[int]] = []
    watched = PLAIN | {"callbacks": [lambda record: seen.append(blas_threads())]}
    together(watched, watched, watched, engine=engine)
    assert seen == [{1}] * 12
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two")
def test_blas_has_its_threads_back_after_an_exception() -> None:
    def fail(record: EpochRecord) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        together(PLAIN | {"callbacks": [fail]}, PLAIN)
    assert blas_threads() == {2}
    with pytest.raises(GlassnetError):
        together(PLAIN | {"epochs": 0})
    assert blas_threads() == {2}


FIRST_COMES = "threadpoolctl 3.8 lets only the first thread set OpenBLAS's threads: single_threaded_blas sets nothing"


@pytest.mark.usefixtures("two")
def test_blas_is_limited_in_a_thread_after_another_one_has_asked() -> None:
    with single_threaded_blas():
        assert blas_threads() == {1}
    seen: list[set[int]] = []

    def ask(me: int) -> None:
        if me == 1:
            with single_threaded_blas():
                seen.append(blas_threads())

    run_team(ask, 2)
    assert seen == [{1}]
    assert blas_threads() == {2}


@pytest.mark.usefixtures("two")
def test_whoever_leaves_last_gives_the_threads_back() -> None:
    """Two threads whose stays overlap: this one enters first and leaves first; the other one nests once more."""
    entered, left = threading.Event(), threading.Event()
    seen: list[set[int]] = []

    def stay() -> None:
        with single_threaded_blas():
            entered.set()
            assert left.wait(60)
            seen.append(blas_threads())
            with single_threaded_blas():
                seen.append(blas_threads())
            seen.append(blas_threads())

    other = threading.Thread(target=stay)
    with single_threaded_blas():
        other.start()
        assert entered.wait(60)
    left.set()
    other.join()
    assert seen == [{1}] * 3
    assert blas_threads() == {2}


@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_so_many_run_at_a_time_and_no_more(n_threads: int) -> None:
    """With as many at the barrier as may run, all get past it; the threads that come are counted."""
    meeting, threads = threading.Barrier(n_threads), set()

    def meet(record: EpochRecord) -> None:
        threads.add(threading.get_ident())
        meeting.wait(60)

    together(*[PLAIN | {"epochs": 1, "callbacks": [meet]}] * (2 * n_threads), n_threads=n_threads)
    assert len(threads) == n_threads
    assert threading.get_ident() not in threads
