"""engines/cost.py: an estimate of both engines that sees what makes the difference."""

from __future__ import annotations

import sys
from dataclasses import replace
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from glassnet import SGD, Adam, Dense, Network, Objective
from glassnet.engines import cost
from glassnet.engines.contract import Job
from glassnet.engines.cost import Estimate, estimate

COMPILED = "glassnet.engines.compiled"


def job(*sizes: int, m: int = 100, dtype: type = np.float32, **changes: Any) -> Job:
    """A run of a network with these sizes, inputs first."""
    d, *units = sizes or (4, 8, 2)
    net = Network(d, [Dense(n, "tanh") for n in units])
    objective = Objective(net, "squared_error")
    rng = np.random.default_rng(0)
    plain = Job(
        net=net, loss=objective.loss_record, matched=objective.matched, l1=0.0, l2=0.0, rule=SGD(),
        X=np.zeros((m, d), dtype), Y=np.zeros((m, units[-1]), dtype), weights=None, batch_size=20, epochs=10, rows=m,
        shuffle=True, draw=None, order=rng, noise=rng, average=None, blow_up=1e6,
    )  # fmt: skip
    return replace(plain, **changes)


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, COMPILED, ModuleType(COMPILED))


@pytest.fixture
def unloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, COMPILED, raising=False)
    monkeypatch.setattr(cost, "was_kept", lambda: True)


@pytest.fixture
def cold(monkeypatch: pytest.MonkeyPatch, unloaded: None) -> None:
    monkeypatch.setattr(cost, "was_kept", lambda: False)


# ---- what it costs to begin ---------------------------------------------------------------------------------------


def hide_from_find_spec(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(cost, "find_spec", lambda name: None)


def hide_from_import(patch: pytest.MonkeyPatch) -> None:
    patch.setitem(sys.modules, "numba", None)


@pytest.mark.parametrize("hide", [hide_from_find_spec, hide_from_import])
def test_without_numba_it_is_numpy(hide: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    with_numba = estimate(job())
    hide(monkeypatch)
    without = estimate(job(epochs=10**9))
    assert (without.name, without.numba, without.note) == ("numpy", float("inf"), " (not installed)")
    assert estimate(job()).numpy == with_numba.numpy
    assert str(without).startswith("engine numpy: estimated inf s with numba (not installed), ")


@pytest.mark.usefixtures("unloaded")
def test_the_same_run_takes_the_same_engine_whether_or_not_it_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Five milliseconds count for loading: a run of one is not worth it, one of ten is."""
    jobs = job(epochs=1), job(epochs=100), job(epochs=10**4)
    before = [estimate(each) for each in jobs]
    monkeypatch.setitem(sys.modules, COMPILED, ModuleType(COMPILED))
    assert [estimate(each) for each in jobs] == before
    assert [each.name for each in before] == ["numpy", "numba", "numba"]
    assert before[0].note == " (its share in loading included)"


@pytest.mark.usefixtures("unloaded")
def test_what_is_not_kept_is_to_be_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = estimate(job())
    assert kept.numba > cost.LOADING
    monkeypatch.setattr(cost, "was_kept", lambda: False)
    to_compile = estimate(job())
    assert to_compile.note == " (compiling it included)"
    assert to_compile.numba - kept.numba == pytest.approx(cost.COMPILING - cost.LOADING)
    assert to_compile.numpy == kept.numpy


@pytest.mark.usefixtures("loaded")
def test_where_it_is_loaded_the_disk_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cost, "was_kept", lambda: pytest.fail("looked"))
    assert estimate(job()).numba < 1.0


@pytest.mark.parametrize("n", [1, 2, 10])
@pytest.mark.usefixtures("cold")
def test_runs_alongside_share_what_it_costs_to_begin(n: int) -> None:
    begun = estimate(job(alongside=n))
    assert begun.numba == pytest.approx(estimate(job()).numba - cost.COMPILING * (1 - 1 / n))
    assert begun.numpy == estimate(job()).numpy


@pytest.mark.usefixtures("unloaded")
def test_a_population_is_compiled_where_one_run_would_not_be() -> None:
    assert estimate(job(epochs=20)).name == "numpy"
    assert estimate(job(epochs=20, alongside=100)).name == "numba"


# ---- the steps ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["unloaded", "cold"])
def test_more_epochs_favour_numba(start: str, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(start)
    names = [estimate(job(epochs=10**n)).name for n in range(7)]
    assert names[0] == "numpy"
    assert names[-1] == "numba"
    assert names == sorted(names, reverse=True)  # from numpy to numba, and never back


@pytest.mark.usefixtures("loaded")
def test_seconds_are_in_proportion_to_the_steps() -> None:
    one, two = estimate(job(epochs=1)), estimate(job(epochs=2))
    for many in (estimate(job(epochs=30)), estimate(job(epochs=1, m=3000))):
        assert many.numpy == pytest.approx(30 * one.numpy)
        assert many.numba - one.numba == pytest.approx(29 * (two.numba - one.numba))  # besides setting it up


@pytest.mark.usefixtures("loaded")
def test_a_last_batch_that_is_smaller_counts_as_a_step() -> None:
    assert estimate(job(rows=81)).numpy == estimate(job(rows=100)).numpy
    assert estimate(job(rows=80)).numpy == pytest.approx(0.8 * estimate(job(rows=100)).numpy)


@pytest.mark.usefixtures("loaded")
def test_a_batch_has_no_more_rows_than_there_are() -> None:
    assert estimate(job(batch_size=10**9)) == estimate(job(batch_size=100))


DEARER: dict[str, Job] = {
    "wider": job(4, 80, 2),
    "deeper": job(4, 8, 8, 2),
    "more inputs": job(400, 8, 2),
    "smaller batches": job(batch_size=5),
    "another rule": job(rule=Adam()),
    "float64": job(dtype=np.float64),
}


@pytest.mark.parametrize("why", DEARER)
@pytest.mark.usefixtures("loaded")
def test_what_takes_longer_is_dearer_in_both(why: str) -> None:
    plain, dearer = estimate(job()), estimate(DEARER[why])
    assert dearer.numpy > plain.numpy
    assert dearer.numba > plain.numba


@pytest.mark.parametrize("sizes", [(1, 1), (4, 8, 2), (64, 100, 10), (784, 1000, 1000, 10)])
@pytest.mark.usefixtures("loaded")
def test_compiled_steps_are_never_the_slower_ones(sizes: tuple[int, ...]) -> None:
    for dtype in (np.float32, np.float64):
        both = estimate(job(*sizes, dtype=dtype, epochs=10**4))
        assert 0 < both.numba < both.numpy < float("inf")


@pytest.mark.usefixtures("loaded")
def test_the_gain_is_largest_for_small_networks() -> None:
    jobs = [job(*sizes, epochs=10_000) for sizes in ((2, 4, 1), (64, 100, 10), (784, 1000, 10))]
    gains = [both.numpy / both.numba for both in map(estimate, jobs)]
    assert gains == sorted(gains, reverse=True)


# ---- in words -----------------------------------------------------------------------------------------------------


def test_it_is_said_in_one_line() -> None:
    said = "engine numba: estimated 0.51 s with numba (loading it included), 12 s with numpy"
    assert str(Estimate(12.345, 0.5149, " (loading it included)")) == said
    assert str(Estimate(0.001, 8.0, "")) == "engine numpy: estimated 8 s with numba, 0.001 s with numpy"


def test_a_tie_goes_to_the_reference() -> None:
    assert Estimate(1.0, 1.0, "").name == "numpy"
    assert Estimate(1.0, 0.999, "").name == "numba"


@pytest.mark.usefixtures("unloaded")
def test_the_words_are_those_of_the_estimate() -> None:
    both = estimate(job(epochs=10**6))
    assert str(both).startswith("engine numba: estimated ")
    assert "with numba (its share in loading included), " in str(both)
    assert str(both).endswith(" s with numpy")
    assert str(both).count("\n") == 0
