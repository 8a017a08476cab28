"""Threads: how many there are, a team that runs one function, and a BLAS that does not add threads of its own.

While compiled loops run, the BLAS that they call works on one thread: the loop itself shares out large products, and
n fits at once times n BLAS threads would fight for the cores.
"""

from __future__ import annotations

import ctypes
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import cache
from pathlib import Path
from typing import Any

__all__ = [
    "a_run", "allowed", "c_function", "cores", "cores_for", "count_out", "in_child", "limited_blas", "mkl_is_in_use",
    "run_team", "share", "single_threaded_blas",
]  # fmt: skip

_lock = threading.Lock()
_held: list[Any] = []
_users = 0
_runs = 0
_ceiling = 1
"""What `allowed` was before BLAS was limited."""
_counted_out: set[str] = set()
"""Files of libraries that this package has loaded for itself."""


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def allowed() -> int:
    """Return the threads that this process may use: one for each core, and no more than BLAS may use at this moment.

    So what limits BLAS (OMP_NUM_THREADS, threadpoolctl, the workers of joblib and Dask) limits our threads, too.
    """
    with _lock:
        return _ceiling if _held else _allowed_now()


def _allowed_now() -> int:
    others = [one for one in _controller().lib_controllers if os.path.realpath(one.filepath) not in _counted_out]
    return min([cores(), *(int(library.num_threads) for library in others)])


def count_out(library: Path) -> None:
    """From now on, the threads of this library say nothing of those that are allowed: it is ours, and has one."""
    _counted_out.add(os.path.realpath(library))


def share() -> int:
    """Return the threads that each run of this moment may use, where all are to be no more than `allowed`."""
    with _lock:
        return max(1, _ceiling // max(1, _runs))


@contextmanager
def a_run() -> Iterator[None]:
    """Count as a run that shares the cores, and let BLAS use one thread meanwhile."""
    global _runs
    with single_threaded_blas():
        with _lock:
            _runs += 1
        try:
            yield
        finally:
            with _lock:
                _runs = max(0, _runs - 1)  # 0 already where a process was forked meanwhile


@cache
def _controller() -> Any:
    import scipy.linalg.cython_blas  # noqa: F401  (loads the BLAS that is to be found)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def mkl_is_in_use() -> bool:
    """Return whether a library of this process has loaded MKL."""
    from threadpoolctl import ThreadpoolController

    return bool(ThreadpoolController().select(internal_api="mkl").lib_controllers)


def _take_over() -> None:
    """Let whichever thread is here set OpenBLAS's threads: threadpoolctl (3.8) keeps to the one that was first."""
    from threadpoolctl import OpenBLASController

    clear = getattr(OpenBLASController, "clear_controlling_thread", None)
    if clear is not None:
        clear(force=True)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """Let BLAS use one thread until the last of those who ask for it has left."""
    global _users, _ceiling
    controller = _controller()
    with _lock:
        _users += 1
        if _users == 1 and not _held:  # held already: by whoever forked this process
            _ceiling = _allowed_now()
            _take_over()
            _held.append(controller.limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            _users = max(0, _users - 1)  # 0 already where a process was forked meanwhile: see `in_child`
            if _users == 0:
                _give_back()


ALONE, SHARED = 1 << 18, 1 << 25
"""Multiplications; BLAS takes one thread up to the first by itself, and from the second on more are worth it."""


def cores_for(multiplications: int) -> AbstractContextManager[None]:
    """One thread for a middling product: more would gain it part of a millisecond, and hold the cores for 30 more.

    (So long the threads of OpenBLAS wait for another product, at full speed. A fit that began then took twice as long.)
    """
    return single_threaded_blas() if ALONE < multiplications <= SHARED else nullcontext()


def _give_back() -> None:
    while _held:
        _take_over()
        _held.pop().restore_original_limits()
        _take_over()


def in_child() -> None:
    """Begin anew in a forked process, where the runs of the other threads do not exist.

    BLAS keeps to one thread, if they had limited it, until the first run of this process ends: to set its threads here,
    while the process is being forked, can wait for ever.
    """
    global _users, _runs
    _users = _runs = 0
    _lock.release()


if hasattr(os, "register_at_fork"):  # a process is forked when nobody is in between
    os.register_at_fork(before=_lock.acquire, after_in_parent=_lock.release, after_in_child=in_child)


@contextmanager
def limited_blas(n_threads: int | None) -> Iterator[None]:
    """Let BLAS use at most so many threads; None: as many as it likes."""
    if n_threads is None:
        yield
    elif n_threads == 1:
        with single_threaded_blas():
            yield
    else:
        _take_over()
        with _controller().limit(limits=n_threads):
            yield


def run_team(function: Callable[[int], None], team: int) -> None:
    """Call function(0), ..., function(team - 1) at the same time and wait for all.

    The threads that come to help keep off the core of the one that calls. A scheduler may put a new thread there, where
    it must wait for a thread that waits for it, and takes milliseconds to see that another core is idle.
    """
    elsewhere = _other_cores()

    def help_with(me: int) -> None:
        if elsewhere:
            with suppress(OSError):  # not allowed here: the scheduler decides
                os.sched_setaffinity(0, elsewhere)  # of this thread alone
        function(me)

    helpers = [threading.Thread(target=help_with, args=(me,), daemon=True) for me in range(1, team)]
    for helper in helpers:
        helper.start()
    function(0)
    for helper in helpers:
        helper.join()


def _other_cores() -> set[int]:
    """The cores of this process but the one that it runs on; none where the system does not say."""
    here = c_function("sched_getcpu")  # on which core the thread that calls it runs
    if here is None or not hasattr(os, "sched_getaffinity"):
        return set()
    return os.sched_getaffinity(0) - {here()}


@cache
def c_function(name: str) -> Any:
    """Return a function of the C library; None where there is none of that name."""
    try:
        return getattr(ctypes.CDLL(None), name)
    except (AttributeError, OSError, TypeError):
        return None
