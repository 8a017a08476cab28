"""joblib's backends: threads, processes, and Dask's workers, perhaps on other machines, find the same numbers."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from joblib import parallel_config
from sklearn.datasets import load_iris
from sklearn.model_selection import cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from glassnet import Ensemble, MLPClassifier

X, y = load_iris(return_X_y=True)
FITTED: dict[str, Any] = {"learning_rate_init": 0.03, "tol": 1e-2, "n_iter_no_change": 4, "max_iter": 1000}
MODELS = {
    "compiled": MLPClassifier((6,), engine="numba", batch_size=16, random_state=0, **FITTED),
    "solver": MLPClassifier((6,), solver="lbfgs", alpha=1.0, engine="numpy", random_state=0, **FITTED),
    "ensemble": Ensemble(MLPClassifier((4,), **FITTED), 2, random_state=0),
}
Found = dict[str, dict[str, Any]]


def process(estimator: Any, X: Any, y: Any) -> int:
    """A score that says where it was computed."""
    return os.getpid()


def fits(*names: str) -> Found:
    """Fit these models (all of them) to three splits, wherever joblib's configuration sends the fits."""
    scoring = {"accuracy": "accuracy", "process": process}
    return {
        name: cross_validate(
            make_pipeline(StandardScaler(), MODELS[name]), X, y, cv=3, scoring=scoring, return_estimator=True
        )
        for name in names or MODELS
    }


def places(found: Found) -> set[int]:
    return {int(number) for scores in found.values() for number in scores["test_process"]}


def weights_of(model: Any) -> Any:
    return np.concatenate([one.theta_ for one in getattr(model, "members_", [model])])


def same(one: Found, other: Found) -> None:
    for name in one:
        np.testing.assert_array_equal(one[name]["test_accuracy"], other[name]["test_accuracy"])
        for mine, known in zip(one[name]["estimator"], other[name]["estimator"], strict=True):
            np.testing.assert_array_equal(weights_of(mine[-1]), weights_of(known[-1]))


@pytest.fixture(scope="module")
def alone() -> Found:
    return fits()


@contextmanager
def started(method: str) -> Iterator[None]:
    """Let multiprocessing start its processes in this way."""
    before = multiprocessing.get_start_method(allow_none=True)
    multiprocessing.set_start_method(method, force=True)
    try:
        yield
    finally:
        multiprocessing.set_start_method(before, force=True)


def test_threads(alone: Found) -> None:
    with parallel_config("threading", n_jobs=2):
        found = fits()
    same(found, alone)
    assert places(found) == places(alone) == {os.getpid()}


def test_loky(alone: Found) -> None:
    with parallel_config("loky", n_jobs=2):
        found = fits()
    same(found, alone)
    assert os.getpid() not in places(found)


def test_multiprocessing(alone: Found) -> None:
    """By fork, which copies a process in the middle of what its threads do, where Python does not warn of it."""
    method = "fork" if sys.platform == "linux" and sys.version_info < (3, 12) else "spawn"
    with started(method), parallel_config("multiprocessing", n_jobs=2):
        found = fits()
    same(found, alone)
    assert os.getpid() not in places(found)


@pytest.mark.parametrize("processes", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["threads", "processes"])
def test_dask(alone: Found, processes: bool) -> None:
    """A cluster of two workers on this machine; a scheduler elsewhere would be `Client("tcp://...")`.

    Workers in processes of their own take some seconds to start: pytest -m slow tests/test_estimators_backends.py
    """
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=processes, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        parallel_config("dask"),
    ):
        assert len(client.scheduler_info()["workers"]) == 2
        found = fits("compiled", "solver")
        ran = sum(len(keys) for keys in client.run(lambda dask_worker: list(dask_worker.state.log)).values())
    same(found, alone)
    assert ran > 0
    assert (os.getpid() in places(found)) is not processes


def test_the_comparison_sees_other_numbers(alone: Found, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "solver", MLPClassifier((6,), solver="lbfgs", alpha=1.0, random_state=1, **FITTED))
    with pytest.raises(AssertionError):
        same(fits("solver"), alone)
