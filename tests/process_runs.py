"""Fits in threads and processes: python tests/process_runs.py SCENARIO prints digests of their results as JSON.

A program of its own, so that one that hangs can be ended, and so that processes are forked where the tests' threads are
not. tests/test_processes.py compares what is printed.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

import glassnet as gn
from glassnet.engines.threads import allowed

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(300, 20)), RNG.normal(size=(300, 2))
LAYERS = [gn.Dense(16, "tanh"), gn.Dropout(0.1), gn.BatchNorm(), gn.Dense(2)]
SMALL, WIDE = gn.Network(20, LAYERS), gn.Network(20, [gn.Dense(384, "relu"), gn.Dense(384, "relu"), gn.Dense(2)])
AT_ONCE = 4
Found = dict[str, str]


def digest(theta: Any) -> str:
    return hashlib.sha256(np.ascontiguousarray(theta).tobytes()).hexdigest()[:16]


def trained(net: gn.Network, engine: str, **options: Any) -> str:
    objective = gn.Objective(net, "squared_error")
    return digest(gn.train(objective, net.init(rng=0), X, Y, engine=engine, rng=1, **{"epochs": 3, **options}).theta)


def wide(epochs: int = 2, n_threads: int | None = None) -> str:
    """Products that two threads share."""
    return trained(WIDE, "numba", batch_size=150, epochs=epochs, n_threads=n_threads)


def fits(_: Any = None) -> Found:
    """Return the digest of one fit of each kind."""
    objective, halves = gn.Objective(SMALL, "squared_error"), gn.cut_batches(X, Y, rows=150)
    options = {"max_iter": 3, "tol": 0.0, "random_state": 0}
    one = {**options, "solver": "lbfgs", "hidden_layer_sizes": (384, 384), "n_threads": 1}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of three iterations; filters are the process's, which threads share
        model = gn.MLPClassifier((8,), **options).fit(X, Y[:, 0] > 0)
        solver = gn.MLPRegressor(**one).fit(X, Y)
    return {
        "compiled": trained(SMALL, "numba"),
        "reference": trained(SMALL, "numpy"),
        "shared products": wide(),
        "stream": digest(gn.train_batches(objective, SMALL.init(rng=0), halves, epochs=2, engine="numba").theta),
        "solver, one BLAS thread": digest(solver.theta_),
        "estimator": digest(model.theta_),
    }


# ---- the scenarios ------------------------------------------------------------------------------------------------


def alone() -> list[Found]:
    return [fits()]


def threads() -> list[Found]:
    meeting = threading.Barrier(AT_ONCE)

    def fit(_: int) -> Found:
        meeting.wait()
        return fits()

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(fit, range(AT_ONCE)))


def pool(method: str) -> list[Found]:
    """Two processes, started when this one has fitted and its BLAS has threads."""
    known = fits()
    _ = RNG.normal(size=(800, 800)) @ RNG.normal(size=(800, 800))
    with multiprocessing.get_context(method).Pool(2) as workers:
        return [known, *workers.map(fits, range(2))]


def held_by_another_thread() -> list[Found]:
    """A process forked while another thread has limited BLAS, as a fit does while it runs."""
    from glassnet.engines.threads import single_threaded_blas

    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def hold() -> None:
        with single_threaded_blas():
            entered.set()
            leave.wait()

    other = threading.Thread(target=hold)
    other.start()
    entered.wait()
    with multiprocessing.get_context("fork").Pool(1) as workers:
        found = workers.map(fits, range(1))
        free = workers.apply(blas_threads)
    leave.set()
    other.join()
    return [*found, {"BLAS is free in the child": str(free == before)}]


def in_the_middle_of_fits() -> list[Found]:
    """Processes forked while two threads are in compiled fits, which keep BLAS to one thread."""
    fits()  # compiled, and BLAS has its threads
    done = threading.Event()

    def go_on() -> None:
        while not done.is_set():
            trained(SMALL, "numba")
            wide()

    others = [threading.Thread(target=go_on) for _ in range(2)]
    for other in others:
        other.start()
    found = []
    for _ in range(3):
        with multiprocessing.get_context("fork").Pool(1) as workers:
            found += workers.map(fits, range(1))
    done.set()
    for other in others:
        other.join()
    return found


def blas_threads() -> list[int]:
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_info

    return sorted(library["num_threads"] for library in threadpool_info() if library["internal_api"] == "openblas")


def joblib_workers(backend: str) -> list[Found]:
    import joblib

    with joblib.parallel_config(backend, n_jobs=2):
        return list(joblib.Parallel()(joblib.delayed(fits)() for _ in range(3)))


# ---- counting threads ---------------------------------------------------------------------------------------------


def tasks() -> int:
    """Return the threads of this process, those of BLAS and of compiled code included."""
    return len(list(Path("/proc/self/task").iterdir()))


def most_helpers(callers: int, n_threads: int | None) -> int:
    """Return how many threads there were at most besides those that called for wide fits at once."""
    wide(1)
    before, most, done = tasks(), [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.001):
            most[0] = max(most[0], tasks() - before - 1 - callers)

    watching = threading.Thread(target=watch)
    watching.start()
    with ThreadPoolExecutor(callers) as pool:
        list(pool.map(lambda _: wide(25, n_threads), range(callers)))
    done.set()
    watching.join()
    return most[0]


def counted(callers: str, n_threads: str = "0") -> list[Any]:
    return [most_helpers(int(callers), int(n_threads) or None), allowed()]


def allowed_in_workers(inner: str = "0") -> list[Any]:
    """Return what each of two workers of joblib may use, and the helpers that its wide fit had."""
    import joblib

    limit = {"inner_max_num_threads": int(inner)} if int(inner) else {}
    with joblib.parallel_config("loky", n_jobs=2, **limit):
        return list(joblib.Parallel()(joblib.delayed(worker)() for _ in range(2)))


def worker() -> tuple[int, int]:
    return allowed(), most_helpers(1, None)


SCENARIOS: dict[str, Callable[..., list[Any]]] = {
    "alone": alone, "threads": threads, "pool": pool, "held": held_by_another_thread,
    "middle": in_the_middle_of_fits,
    "joblib": joblib_workers, "counted": counted, "allowed": allowed_in_workers,
}  # fmt: skip

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]](*sys.argv[2:])))
