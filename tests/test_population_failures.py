"""population.py: what one run does to the others when it diverges, raises or is interrupted."""

from __future__ import annotations

import signal
import sys
import threading
import traceback
from concurrent.futures import Future

import numpy as np
import pytest

from glassnet import SGD
from glassnet.history import EpochRecord
from population_runs import ENGINES, NORMED, PLAIN, alone, equal, together


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
