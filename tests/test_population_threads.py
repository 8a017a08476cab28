"""population.py: one core each. So many runs at a time, and a BLAS that does not add threads of its own."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from glassnet.engines.blas import library
from glassnet.engines.threads import run_team, single_threaded_blas
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord
from population_runs import ENGINES, PLAIN, together


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
