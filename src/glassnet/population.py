"""A population: many networks trained at once, one core each, in one process.

The compiled loop runs without Python's interpreter lock, so threads are enough: no process is started, nothing is
copied or pickled. Each run is the one that `train` would make alone, to the last bit, since nothing is shared but the
data, which are only read.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from typing import Any

from glassnet.arrays import check_count
from glassnet.engines.threads import allowed, single_threaded_blas
from glassnet.errors import GlassnetError, type_fault
from glassnet.history import Run
from glassnet.training import Prepared, prepare

__all__ = ["train_many"]


def train_many(runs: Iterable[Mapping[str, Any]], *, n_threads: int | None = None) -> list[Run]:
    """Train several networks at once and return their runs, in the order given.

    runs       one mapping of `train`'s arguments for each run: other rates, penalties, seeds, sizes, data
    n_threads  how many run at a time; None: one for each core, and no more than BLAS may use (OMP_NUM_THREADS, joblib)

    Every run is checked before the first one starts; one that diverges stops nobody else. Ctrl-C stops all, each with
    status "stopped" and its last good theta. Products use one thread a run, so no more than `n_threads` cores are busy.

    Raises GlassnetError for arguments that do not fit, naming the run.

    >>> import numpy as np
    >>> from glassnet import SGD, Dense, Network, Objective
    >>> X = np.linspace(-1, 1, 20)[:, None]
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> same = {"objective": objective, "theta": np.zeros(2), "X": X, "Y": 3 * X + 1, "epochs": 50}
    >>> [run.theta.round(2) for run in train_many({**same, "optimizer": SGD(rate)} for rate in (0.1, 0.5))]
    [array([2.54, 0.99]), array([3., 1.])]
    """
    prepared = [_prepared(number, arguments) for number, arguments in enumerate(runs)]
    workers = allowed() if n_threads is None else check_count("n_threads", n_threads)
    stop = threading.Event()
    with single_threaded_blas(), ThreadPoolExecutor(workers, thread_name_prefix="glassnet") as pool:
        futures = [pool.submit(run.alongside(len(prepared)), stop.is_set) for run in prepared]
        with suppress(KeyboardInterrupt):  # then all stop, and what they have is returned
            while any(not future.done() for future in futures) and not _failed(futures):
                wait(futures, timeout=0.1, return_when=FIRST_EXCEPTION)  # a short sleep: Ctrl-C is heard in between
        if not all(future.done() for future in futures):
            stop.set()
        return [future.result() for future in futures]


def _failed(futures: Sequence[Future[Run]]) -> bool:
    return any(future.done() and future.exception() is not None for future in futures)


def _prepared(number: int, arguments: Mapping[str, Any]) -> Prepared:
    if not isinstance(arguments, Mapping):
        raise type_fault(f"runs[{number}]", "a mapping of the arguments of train", repr(arguments))
    try:
        return prepare(**{**arguments, "n_threads": 1})
    except (GlassnetError, TypeError, ValueError) as error:
        raise GlassnetError(f"runs[{number}]: {error}") from error
