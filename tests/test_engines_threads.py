"""engines/threads.py: teams, and a BLAS that adds no threads of its own; the numbers do not depend on how many."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from engine_runs import BOUNDS, Case, agree, case, check, compiled, same
from glassnet import SGD, BatchNorm, ClipNorm, Dense, Dropout, LayerNorm
from glassnet.engines.threads import cores, cores_for, run_team, single_threaded_blas

THREADS = [1, 2, 3, 4, None]


def blas_threads() -> set[int]:
    import scipy.linalg.cython_blas  # noqa: F401
    from threadpoolctl import threadpool_info

    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_there_is_a_core() -> None:
    assert cores() >= 1


@pytest.mark.parametrize("team", [1, 2, 5])
def test_each_of_a_team_is_called_once_and_all_are_waited_for(team: int) -> None:
    meeting, seen = threading.Barrier(team), []

    def call(me: int) -> None:
        meeting.wait()  # nobody gets past this until all are here: they run at the same time
        seen.append(me)

    run_team(call, team)
    assert sorted(seen) == list(range(team))


def test_blas_has_one_thread_until_the_last_one_leaves() -> None:
    from threadpoolctl import threadpool_limits

    with threadpool_limits(2, user_api="blas"):
        before = blas_threads()
        with single_threaded_blas():
            assert blas_threads() == {1}
            with single_threaded_blas():
                assert blas_threads() == {1}
            assert blas_threads() == {1}
        assert blas_threads() == before
        with pytest.raises(ZeroDivisionError), single_threaded_blas():
            _ = 1 / 0
        assert blas_threads() == before


def test_several_threads_may_ask_for_one_thread_at_once() -> None:
    meeting, seen = threading.Barrier(4), []

    def ask(me: int) -> None:
        for _ in range(20):
            with single_threaded_blas():
                meeting.wait()
                seen.append(blas_threads() == {1})
                meeting.wait()

    before = blas_threads()
    run_team(ask, 4)
    assert seen == [True] * 80
    assert blas_threads() == before


def test_middling_products_are_for_one_core() -> None:
    before = blas_threads()
    for work in (1, 1 << 18, (1 << 25) + 1):
        with cores_for(work):
            assert blas_threads() == before
    with cores_for(1 << 20):
        assert set(blas_threads()) == {1}
    assert blas_threads() == before


# ---- networks whose batches are cut in parts, whose products in pieces, and whose updates in blocks ------------------


def wide(*between: Any, output: str = "softmax", loss: str = "cross_entropy", m: int = 300) -> Case:
    """520 inputs: 2 blocks of the first update; 256 units: products of 2 pieces or batches of 2 parts."""
    layers = [Dense(256, "relu"), *between, Dense(256, "tanh", bias=False), Dense(10, output)]
    wide = case(layers, loss, m=m, d=520, l2=1e-4)
    return wide.but(batch_size=128, epochs=2, optimizer=gn.Adam())


def parted(*, output: str = "softmax", loss: str = "cross_entropy") -> Case:
    """A last batch of 4 rows, which all are in its first part."""
    some = case([Dense(100, "tanh"), Dense(20, "softmax"), Dense(10, output)], loss, m=404, d=64, l2=1e-4)
    return some.but(batch_size=100, epochs=2, optimizer=gn.Adam())


WIDE: dict[str, Case] = {
    "parts": parted(),
    "parts, regression, weighted": parted(output="identity", loss="huber").but(sample_weight=np.arange(404.0)),
    "parts, shares": parted(loss="squared_error"),
    "parts, clipped": parted(output="sigmoid", loss="binary_cross_entropy").but(optimizer=ClipNorm(gn.Adam(), 0.1)),
    "plain descent": wide().but(optimizer=SGD(0.01)),
    "no penalty": case([Dense(256, "gelu"), Dense(256), Dense(3)], m=300, d=520).but(
        batch_size=128, epochs=2, optimizer=SGD(0.001)
    ),
    "adam": wide(),
    "regression": wide(output="identity", loss="squared_error"),
    "shares": wide(loss="squared_error"),
    "softmax inside": wide(Dense(260, "softmax")),
    "dropout": wide(Dropout(0.3)),
    "norms": wide(BatchNorm(), LayerNorm()),
    "clipped": wide().but(optimizer=ClipNorm(gn.Adam(), 0.1)),
    "averaged, weighted": wide().but(average=0.9, sample_weight=np.arange(300.0)),
}


@pytest.mark.parametrize("which", WIDE)
def test_the_result_does_not_depend_on_the_number_of_threads(which: str) -> None:
    for dtype in BOUNDS:
        one = compiled(WIDE[which], dtype, n_threads=1)
        for n in THREADS[1:]:
            assert same(compiled(WIDE[which], dtype, n_threads=n), one), n


@pytest.mark.parametrize("which", WIDE)
def test_wide_networks_agree_with_the_reference(which: str) -> None:
    """One epoch: what Adam divides by is, for some of 200,000 weights, little more than rounding."""
    if "Adam" in repr(WIDE[which].options["optimizer"]):
        agree(WIDE[which].but(optimizer=SGD(0.01, momentum=0.9)), n_threads=2, epochs=1)
        check(compiled(WIDE[which], epochs=1), WIDE[which].run("numpy", epochs=1), 1e-9)
    else:
        agree(WIDE[which], n_threads=2, epochs=1)


def test_the_pieces_are_there_to_be_tested() -> None:
    """A team of two is asked for, and comes."""
    alive: set[int] = set()
    run = threading.Thread.start

    def counted(self: threading.Thread) -> None:
        alive.add(id(self))
        run(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading.Thread, "start", counted)
        compiled(WIDE["adam"], n_threads=2, epochs=1)
        assert alive
        alive.clear()
        compiled(WIDE["adam"], n_threads=1, epochs=1)
        assert not alive


def test_runs_in_threads_of_your_own_are_those_of_one_after_the_other() -> None:
    cases = [case([Dense(13, "tanh"), Dense(4)], seed=seed) for seed in range(4)] + [WIDE["adam"]]
    alone, together = [one.run("numba", n_threads=2) for one in cases], [None] * len(cases)

    def fit(me: int) -> None:
        together[me] = cases[me].run("numba", n_threads=2)

    run_team(fit, len(cases))
    assert all(same(one, other) for one, other in zip(alone, together, strict=True))


def test_helpers_keep_off_the_core_of_the_one_that_calls() -> None:
    if not hasattr(os, "sched_getaffinity"):
        pytest.skip("the system does not say which cores a thread may use")
    mine, theirs = os.sched_getaffinity(0), {}
    run_team(lambda me: theirs.__setitem__(me, os.sched_getaffinity(0)), 3)
    assert theirs[0] == mine == os.sched_getaffinity(0), "the caller's own are left alone"
    for me in (1, 2):
        assert theirs[me] <= mine
        assert len(theirs[me]) == max(1, len(mine) - 1)
