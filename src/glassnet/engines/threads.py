"""Threads: how many there are, a team that runs one function, and a BLAS that does not add threads of its own.

While compiled loops run, the BLAS that they call works on one thread: the loop itself shares out large products, and
n fits at once times n BLAS threads would fight for the cores.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

__all__ = ["cores", "limited_blas", "mkl_is_in_use", "run_team", "single_threaded_blas"]

_lock = threading.Lock()
_held: list[Any] = []
_users = 0


def cores() -> int:
    """Return the cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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
    global _users
    controller = _controller()
    with _lock:
        _users += 1
        if _users == 1:
            _take_over()
            _held.append(controller.limit(limits=1))
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if _users == 0:
                _take_over()
                _held.pop().restore_original_limits()
                _take_over()


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
    """Call function(0), ..., function(team - 1) at the same time and wait for all."""
    helpers = [threading.Thread(target=function, args=(me,), daemon=True) for me in range(1, team)]
    for helper in helpers:
        helper.start()
    function(0)
    for helper in helpers:
        helper.join()
