"""engines/elementary.py: errors in units in the last place, against numbers of 64 bits of precision, and the extremes.

The docstring of the module promises 2 units for exp and 3 for the others.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numba import njit

from glassnet.engines.elementary import FLAGS, namespace

TYPES = [np.float32, np.float64]
UNITS = {"exp": 2.0, "expm1": 3.0, "log": 3.0, "log1p": 3.0, "tanh": 3.0}
RANGE = {np.float32: (-87.3, 88.3), np.float64: (-708.3, 709.4)}
"""Where exp is neither nothing nor infinite."""
Array = np.ndarray


@cache
def over(name: str, dtype: type) -> Callable[[Array], Array]:
    """The function of the namespace, in a loop over an array, compiled as kernels are."""
    f = getattr(namespace(dtype), name)

    @njit(error_model="numpy", fastmath=FLAGS)
    def run(x: Any, out: Any) -> None:
        for i in range(len(x)):
            out[i] = f(x[i])

    def evaluate(x: Array) -> Array:
        x = np.ascontiguousarray(x, dtype)
        out = np.empty_like(x)
        run(x, out)
        return out

    return evaluate


def units(got: Array, x: Array, name: str) -> Array:
    """How many units in the last place `got` is away, where the exact value is in the range that is promised."""
    info = np.finfo(x.dtype)
    with np.errstate(over="ignore", divide="ignore", under="ignore"):
        exact = getattr(np, name)(x.astype(np.longdouble))
    low, high = RANGE[x.dtype.type]
    inside = np.abs(exact) < np.longdouble(info.max)
    if name.startswith("exp"):
        inside &= (x < high) & ((x > low) | (name == "expm1"))
    assert np.isfinite(got[inside]).all()
    error = np.zeros(len(x))
    spacing = np.spacing(np.abs(exact[inside]).astype(x.dtype)).astype(np.longdouble)
    error[inside] = np.abs(got[inside].astype(np.longdouble) - exact[inside]) / spacing
    return error


def grid(name: str, dtype: type) -> Array:
    """Dense where the function bends, and every size of number from subnormals to the largest."""
    info, rng = np.finfo(dtype), np.random.default_rng(0)
    sizes = np.concatenate([
        np.geomspace(info.tiny, info.max, 40_000, dtype=np.longdouble).astype(dtype),
        (np.arange(1, 4000) * np.longdouble(info.smallest_subnormal)).astype(dtype),
        (info.tiny * rng.random(4000)).astype(dtype),
    ])  # fmt: skip
    near_one = (1 + np.concatenate([np.arange(-3000, 3000) * info.eps, rng.normal(size=20_000) * 0.3])).astype(dtype)
    low, high = (-104.5, 89.5) if dtype is np.float32 else (-746.5, 710.5)
    wide = np.linspace(low, high, 100_000).astype(dtype)
    narrow = np.concatenate([np.linspace(-2, 2, 100_000), rng.normal(size=20_000)]).astype(dtype)
    halves = (np.log(2) * (np.arange(-200, 200) / 2)).astype(dtype)  # where exp goes from one power of two to the next
    if name == "log":
        return np.concatenate([sizes, np.abs(near_one), np.abs(wide[wide != 0])])
    if name == "log1p":
        below = (-1 + np.geomspace(info.eps, 1, 5000)).astype(dtype)
        little = (-info.eps * rng.random(999)).astype(dtype)
        sides = [sizes, -sizes[sizes < 1], near_one, narrow[narrow > -1]]
        return np.concatenate([*sides, below[below > -1], little])
    return np.concatenate([wide, narrow, near_one, -near_one, halves, sizes, -sizes])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", UNITS)
def test_the_error_is_within_the_units_that_are_promised(name: str, dtype: type) -> None:
    x = grid(name, dtype)
    error = units(over(name, dtype)(x), x, name)
    worst = int(error.argmax())
    assert error[worst] <= UNITS[name], f"{name}({x[worst]!r}) is {error[worst]:.2f} units away"


@pytest.mark.parametrize("dtype", TYPES)
def test_exp_beyond_its_range_is_nothing_or_infinite_or_right(dtype: type) -> None:
    x, (low, high) = grid("exp", dtype), RANGE[dtype]
    got, info = over("exp", dtype)(x), np.finfo(dtype)
    assert (got[x <= low] <= 1.2 * info.tiny).all()
    assert (got[x >= high] >= 0.6 * info.max).all()
    assert not np.isnan(got).any()


def test_an_error_of_a_few_units_is_seen() -> None:
    x = np.linspace(0.1, 0.4, 1000)
    assert units(np.exp(x), x, "exp").max() <= 1
    assert units(np.exp(x) * (1 + 1e-15), x, "exp").max() > 3


INF, NAN = np.inf, np.nan
EXTREMES: dict[str, list[tuple[float, float]]] = {
    "exp": [(INF, INF), (-INF, 0), (NAN, NAN), (0, 1), (-0.0, 1), (1e4, INF), (-1e4, 0), (1e30, INF), (-1e30, 0)],
    "expm1": [(INF, INF), (-INF, -1), (NAN, NAN), (0, 0), (-0.0, 0), (1e4, INF), (-1e4, -1), (-1e30, -1)],
    "log": [(INF, INF), (-INF, NAN), (NAN, NAN), (0, -INF), (-0.0, -INF), (1, 0), (-1, NAN), (-1e-30, NAN)],
    "log1p": [(INF, INF), (-INF, NAN), (NAN, NAN), (0, 0), (-0.0, 0), (-1, -INF), (-2, NAN), (1e30, np.log(1e30))],
    "tanh": [(INF, 1), (-INF, -1), (NAN, NAN), (0, 0), (-0.0, 0), (1e4, 1), (-1e4, -1), (1e30, 1)],
    "sign": [(INF, 1), (-INF, -1), (NAN, NAN), (0, 0), (-0.0, 0), (1e-40, 1), (-1e-40, -1)],
    "step": [(INF, 1), (-INF, 0), (0, 0), (-0.0, 0), (1e-40, 1), (-1e-40, 0)],
}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", EXTREMES)
def test_the_extremes(name: str, dtype: type) -> None:
    x, expected = (np.array(column, dtype) for column in zip(*EXTREMES[name], strict=True))
    np.testing.assert_allclose(over(name, dtype)(x), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("dtype", TYPES)
def test_tanh_is_odd_and_keeps_the_sign_of_zero(dtype: type) -> None:
    x = np.abs(grid("tanh", dtype))
    np.testing.assert_array_equal(over("tanh", dtype)(-x), -over("tanh", dtype)(x))
    assert np.signbit(over("tanh", dtype)(np.array([-0.0])))[0]


@pytest.mark.parametrize("dtype", TYPES)
def test_exp_and_tanh_rise_and_stay_in_their_range(dtype: type) -> None:
    x = np.sort(grid("exp", dtype))
    e, t = over("exp", dtype)(x), over("tanh", dtype)(x)
    assert (e >= 0).all()
    assert (np.abs(t) <= 1).all()
    assert (np.diff(t) >= -2 * np.finfo(dtype).eps).all()


SPECIAL = [NAN, INF, -INF, 0.0, -0.0, 1.0, -1.0, 1e-40, -1e-40, 3e38, -3e38]


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_a_nan_is_never_hidden_by_the_larger_or_the_smaller(name: str, dtype: type) -> None:
    f = getattr(namespace(dtype), name)
    for a in SPECIAL:
        for b in SPECIAL:
            np.testing.assert_array_equal(f(dtype(a), dtype(b)), getattr(np, name)(dtype(a), dtype(b)))


@pytest.mark.parametrize("dtype", TYPES)
def test_clipping_keeps_a_nan(dtype: type) -> None:
    clip = namespace(dtype).clip
    for a in SPECIAL:
        for low, high in ((-1, 1), (0, 6), (-0.5, INF)):
            np.testing.assert_array_equal(clip(dtype(a), low, high), np.clip(dtype(a), dtype(low), dtype(high)))
            assert type(clip(dtype(a), a_min=low, a_max=high)) in (dtype, float)


@pytest.mark.parametrize("dtype", TYPES)
def test_where_takes_the_one_and_forgets_the_other(dtype: type) -> None:
    where = namespace(dtype).where
    for a in SPECIAL:
        for b in SPECIAL:
            for condition in (True, False):
                np.testing.assert_array_equal(where(condition, dtype(a), dtype(b)), dtype(a if condition else b))


@pytest.mark.parametrize("dtype", TYPES)
def test_what_asks_for_a_shape_or_a_dtype_knows_those_of_one_number(dtype: type) -> None:
    names = namespace(dtype)
    x = dtype(2.5)
    assert (names.asarray(x), names.ones_like(x), names.zeros_like(x)) == (2.5, 1.0, 0.0)
    assert names.half_log_max(x) == pytest.approx(np.log(np.finfo(dtype).max) / 2 - 1, rel=1e-6)
    assert np.isfinite(dtype(np.exp(names.half_log_max(x))) ** 2)


def test_all_else_is_numpys() -> None:
    names = namespace(np.float64)
    assert names is namespace(np.float64)
    assert names.sqrt is np.sqrt
    assert names.pi == np.pi
