"""Measured derivatives and the reading of shapes, against derivatives known by heart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from glassnet.insight.chains import chains, layouts
from glassnet.insight.differences import choose_entries, derivative, noise_of
from glassnet.insight.factors import Known, name_factor
from glassnet.insight.samples import find_samples


@pytest.mark.parametrize(
    ("J", "slope"),
    [(np.exp, 1.0), (np.sin, 1.0), (lambda t: (2.0 + t) ** 3, 12.0), (lambda t: np.sin(300.0 * t), 300.0)],
)
def test_a_smooth_derivative_is_measured_and_its_error_is_honest(J: object, slope: float) -> None:
    value, error, jump, _ = derivative(J, J(0.0), 1e-16)  # type: ignore[operator,arg-type]
    assert abs(value - slope) <= max(5 * error, 1e-9 * slope)
    assert error < 1e-6 * slope
    assert jump == 0.0


@given(st.floats(-3, 3), st.floats(0.05, 5.0))
def test_a_kink_is_seen_where_it_is_and_not_beside_it(slope: float, jump: float) -> None:
    def J(t: float) -> float:
        return 1.0 + slope * t + jump * max(t, 0.0)

    assert derivative(J, J(0.0), 1e-16)[2] == pytest.approx(jump, rel=1e-3)
    value, _, beside, _ = derivative(lambda t: J(t + 1e-5), J(1e-5), 1e-16)
    assert beside == 0.0
    assert value == pytest.approx(slope + jump, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize(("dtype", "least", "most"), [(np.float64, 0.0, 2e-15), (np.float32, 1e-9, 1e-6)])
def test_rounding_is_told_in_size(dtype: type, least: float, most: float) -> None:
    assert least < noise_of(lambda t: float(np.sin(dtype(0.7 + t)))) < most


@given(st.integers(1, 6), st.integers(1, 6), st.integers(1, 4), st.booleans(), st.booleans())
def test_every_network_is_among_the_chains_and_layouts_of_its_shapes(
    d: int, q: int, k: int, turned: bool, shuffled: bool
) -> None:
    shapes = [(q, d) if turned else (d, q), (q,), (k, q) if turned else (q, k), (1, k)]
    order = [3, 0, 2, 1] if shuffled else [0, 1, 2, 3]
    found = [
        [(order[slot.weight], order[slot.bias] if slot.bias is not None else -1) for slot in slots]
        for out, slots in chains([shapes[i] for i in order], d, turned)
        if out == k
    ]
    assert [(0, 1), (2, 3)] in found
    flat = [list(own.values()) for own in layouts((d + 1) * q + (q + 1) * k, d, k)]
    assert [(d, q), (q,), (q, k), (k,)] in flat


@given(st.integers(2, 9), st.integers(1, 4), st.booleans())
def test_the_axis_of_the_samples_is_found_by_permuting(m: int, n: int, columns: bool) -> None:
    rng = np.random.default_rng(m + 10 * n)
    X, y, w = rng.normal(size=(m, n)), rng.normal(size=m), rng.normal(size=n)
    W = rng.normal(size=(n, n))

    def loss(data: object) -> float:
        A, t = data  # type: ignore[misc]
        return float(((np.tanh((A.T if columns else A) @ W) @ w - t) ** 2).mean())

    found = find_samples(loss, (X.T if columns else X, y))
    assert found is not None
    assert found.m == m
    assert (found.axis == -1) == columns or n == 1


def test_entries_are_all_of_a_small_array_and_the_largest_of_a_large_one() -> None:
    rng = np.random.default_rng(0)
    assert choose_entries(None, 7, 10, rng).tolist() == list(range(7))
    gradient = np.zeros((20, 20))
    gradient[3, 4] = 9.0
    chosen = choose_entries(gradient, 400, 16, rng)
    assert 64 + 0 in chosen
    assert len(set(chosen.tolist())) == 16


@given(st.sampled_from([1, -1]), st.integers(3, 300), st.sampled_from([3, 5, 7]), st.sampled_from([0.5, 1.0, 2.0]))
def test_a_factor_is_named_whatever_m_and_k(sign: int, m: int, k: int, two: float) -> None:
    codes = name_factor(sign * two * k, 1, Known(m, k, (), True)).codes
    assert ("wrong_sign" in codes) == (sign < 0)
    assert "missing_1_over_m" in codes
    assert "missing_1_over_k" in codes
    assert ("missing_2" in codes, "extra_2" in codes) == (two == 0.5, two == 2.0)
