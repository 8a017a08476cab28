"""schedules.py: rates worked out by hand."""

from __future__ import annotations

from itertools import pairwise
from math import inf, nan, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassnet.errors import GlassnetError
from glassnet.schedules import (
    Constant,
    Cosine,
    Exponential,
    InverseScaling,
    OneCycle,
    Piecewise,
    Schedule,
    WarmUp,
    as_schedule,
)

RATES = [
    (Constant(0.1), {0: 0.1, 10**6: 0.1}),
    (InverseScaling(0.4), {0: 0.4, 3: 0.2, 15: 0.1}),
    (InverseScaling(0.4, power=1.0, every=10.0), {0: 0.4, 10: 0.2, 30: 0.1}),
    (Exponential(0.8, 0.5, every=10), {0: 0.8, 9: 0.8, 10: 0.4, 25: 0.2}),
    (Exponential(0.8, 0.25, every=10, staircase=False), {0: 0.8, 5: 0.4, 10: 0.2}),
    (Piecewise((100, 200), (1e-2, 1e-3, 1e-4)), {0: 1e-2, 99: 1e-2, 100: 1e-3, 199: 1e-3, 200: 1e-4}),
    (Cosine(1.0, 100), {0: 1.0, 25: 0.5 + sqrt(2) / 4, 50: 0.5, 100: 0.0, 1000: 0.0}),
    (Cosine(1.0, 100, final=0.2), {0: 1.0, 50: 0.6, 100: 0.2, 101: 0.2}),
    (WarmUp(4, Constant(0.8)), {0: 0.2, 1: 0.4, 3: 0.8, 4: 0.8}),
    (WarmUp(2, Exponential(0.1, 0.5)), {0: 0.05, 1: 0.1, 2: 0.1, 3: 0.05}),
    (OneCycle(1.0, 100), {0: 0.04, 15: 0.52, 30: 1.0, 65: (1 + 1e-4) / 2, 100: 1e-4, 500: 1e-4}),
    (OneCycle(1.0, 100, rise=0.5), {25: 0.52, 50: 1.0}),
]


@pytest.mark.parametrize(("schedule", "rates"), RATES, ids=lambda x: repr(x) if not isinstance(x, dict) else "")
def test_rates_by_hand(schedule: Schedule, rates: dict[int, float]) -> None:
    assert {t: schedule(t) for t in rates} == pytest.approx(rates, rel=1e-12, abs=1e-15)


def test_wrong_rate_is_seen() -> None:
    assert Exponential(0.8, 0.5, every=10, staircase=False)(5) != pytest.approx(0.8, rel=1e-3)


FALLING = [Constant(0.1), InverseScaling(0.1), Exponential(0.1), Cosine(0.1, 500), Piecewise((9,), (0.1, 0.01))]


@pytest.mark.parametrize("schedule", FALLING, ids=repr)
def test_rates_never_rise(schedule: Schedule) -> None:
    assert all(later <= now for now, later in pairwise(schedule(t) for t in range(1000)))


@given(peak=st.floats(1e-6, 10), steps=st.integers(1, 10_000), rise=st.floats(0.01, 0.99), t=st.integers(0, 20_000))
def test_one_cycle_stays_between_end_and_peak(peak: float, steps: int, rise: float, t: int) -> None:
    rate = OneCycle(peak, steps, rise)(t)
    assert isinstance(rate, float)
    assert peak * 0.99e-4 <= rate <= peak * (1 + 1e-12)


@given(warm=st.integers(1, 100), t=st.integers(0, 300))
def test_warm_up_rises_to_what_follows(warm: int, t: int) -> None:
    after = Cosine(0.5, 100)
    rate = WarmUp(warm, after)(t)
    assert rate == after(t - warm) if t >= warm else 0 < rate <= after(0)


def test_records_compare_hash_and_are_frozen() -> None:
    assert Cosine(0.1, 10) == Cosine(0.1, 10) != Cosine(0.1, 11)
    assert len({WarmUp(2, Constant(0.1)), WarmUp(2, Constant(0.1))}) == 1
    with pytest.raises(AttributeError):
        Constant(0.1).rate = 0.2


def test_as_schedule() -> None:
    def mine(t: int) -> float:
        return 1.0 / (t + 1)

    assert as_schedule(mine) is mine
    assert as_schedule(1) == as_schedule(np.float64(1.0)) == Constant(1.0)


def test_numbers_of_numpy_and_numbers_within_are_rates() -> None:
    assert as_schedule(np.float32(0.5)) == Constant(0.5)
    assert WarmUp(2, 0.5)(0) == 0.25


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *[(lambda r=r: as_schedule(r), "learning_rate must be positive and finite") for r in (0, -0.1, inf, nan)],
        (lambda: as_schedule("0.1"), "learning_rate must be a number or a schedule, received '0.1'"),
        (lambda: as_schedule(True), "learning_rate must be a number or a schedule, received True"),
        (lambda: as_schedule(None), "learning_rate must be a number or a schedule, received None"),
        (lambda: InverseScaling(0.1, every=0), "every must be positive"),
        (lambda: Exponential(0.1, 0.0), "factor must be positive"),
        (lambda: Exponential(0.1, every=-1), "every must be positive"),
        (lambda: Piecewise((10,), (0.1,)), "rates must be 2 numbers, one more than boundaries, received 1"),
        (lambda: Piecewise((10, 5), (0.1, 0.1, 0.1)), r"boundaries must be in rising order, received \(10, 5\)"),
        (lambda: Piecewise((10,), (0.1, 0.0)), "learning_rate must be positive"),
        (lambda: Cosine(0.1, 0), "steps must be positive"),
        (lambda: WarmUp(0, Constant(0.1)), "steps must be positive"),
        (lambda: OneCycle(0.1, 10, rise=1.0), "rise must be between 0 and 1, received 1.0"),
        (lambda: OneCycle(0.1, -10), "steps must be positive"),
    ],
)
def test_refusals(make: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()
