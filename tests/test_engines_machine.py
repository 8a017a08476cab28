"""engines/machine.py: the few instructions that Numba lacks, each called from a compiled function of a few lines."""

from __future__ import annotations

import ctypes
import threading
from typing import Any

import numpy as np
import pytest
from numba import cfunc, float64, int64, njit
from numba.extending import get_cython_function_address

from glassnet.engines.machine import (
    barrier,
    call,
    exponent,
    gemm,
    mantissa,
    numbers_at,
    pointer,
    prefetch,
    select,
    to,
)  # fmt: skip

TYPES = [np.float32, np.float64]


@njit
def taken_apart(x):
    return exponent(x), mantissa(x)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_float_is_its_mantissa_times_a_power_of_two(dtype: type) -> None:
    rng, root = np.random.default_rng(0), np.sqrt(0.5)
    info = np.finfo(dtype)
    sizes = [1, 2, 0.5, 0.7, 0.71, 1.41, 1.42, info.max, info.tiny, *np.exp(rng.normal(size=200) * 10)]
    for x in sizes:
        e, f = taken_apart(dtype(x))
        assert root * (1 - info.eps) <= f < np.sqrt(2) * (1 + info.eps)
        assert e == round(e)
        assert np.ldexp(dtype(f), int(e)) == dtype(x)


@njit
def chosen(condition, a, b):
    return select(condition, a, b)


@njit
def mixed(condition, a):
    return select(condition, a, 2)


def test_select_takes_one_of_two() -> None:
    assert chosen(True, 1.5, np.nan) == 1.5
    assert np.isnan(chosen(False, 1.5, np.nan))
    assert (mixed(True, 1.5), mixed(False, 1.5)) == (1.5, 2.0)
    assert (mixed(True, np.float32(1.5)), mixed(False, np.float32(1.5))) == (1.5, 2.0)


@njit
def third(like, address):
    return pointer(like, address)[2]


@njit
def converted(like, x):
    return to(like, x)


@pytest.mark.parametrize("dtype", TYPES)
def test_an_address_is_read_as_numbers_of_a_type(dtype: type) -> None:
    numbers = np.array([1, 2, 3.5, 4], dtype)
    assert third(dtype(0), numbers.ctypes.data) == 3.5
    assert converted(dtype(0), 0.1) == dtype(0.1)
    assert converted(dtype(0), np.int64(3)) == 3.0


@njit
def every_other(like, address, start):
    return numbers_at(pointer(like, address), start, 2, 3)


@njit
def none_at_all(like, address):
    return numbers_at(pointer(like, address), 0, 1, 0)


def test_a_few_numbers_are_read_as_a_tuple() -> None:
    numbers = np.arange(10.0)
    assert every_other(0.0, numbers.ctypes.data, 3) == (3.0, 5.0, 7.0)
    assert none_at_all(0.0, numbers.ctypes.data) == ()


@cfunc(float64(float64, int64))
def scaled(x, n):
    return x * n


@njit
def by_address(address, x, n):
    return call(0.0, address, (x, n))


def test_a_function_is_called_by_its_address() -> None:
    assert by_address(scaled.address, 1.5, 4) == 6.0


@njit
def product(blas, transposes, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc):
    gemm(blas, transposes, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("transposes", [0, 1, 2, 3])
def test_blas_multiplies_with_alpha_and_beta(transposes: int, dtype: type) -> None:
    rng, name = np.random.default_rng(transposes), "sgemm" if dtype is np.float32 else "dgemm"
    m, n, k = 4, 3, 5
    a = np.asfortranarray(rng.normal(size=(k, m) if transposes & 1 else (m, k)).astype(dtype))
    b = np.asfortranarray(rng.normal(size=(n, k) if transposes & 2 else (k, n)).astype(dtype))
    c = np.asfortranarray(rng.normal(size=(m, n)).astype(dtype))
    expected = 2 * (a.T if transposes & 1 else a) @ (b.T if transposes & 2 else b) - 3 * c
    product(
        get_cython_function_address("scipy.linalg.cython_blas", name), transposes, m, n, k, dtype(2),
        a.ctypes.data, a.shape[0], b.ctypes.data, b.shape[0], dtype(-3), c.ctypes.data, m,
    )  # fmt: skip
    np.testing.assert_allclose(c, expected, rtol=0, atol=40 * np.finfo(dtype).eps)


@njit(nogil=True)
def rounds(sync, team, sched_yield, me, counts, seen, n):
    """Each thread counts up its own place; after a barrier it looks whether all others have, too."""
    for i in range(n):
        counts[me] += 1
        barrier(sync, team, sched_yield)
        for other in range(team):
            if counts[other] != i + 1:
                seen[me] += 1
        barrier(sync, team, sched_yield)


@pytest.mark.parametrize("yields", [True, False])
@pytest.mark.parametrize("team", [1, 2, 3])
def test_nobody_passes_a_barrier_before_all_are_there(team: int, yields: bool) -> None:
    """Without the C library's `sched_yield` the barrier spins, and rounds are few: here all may share one core."""
    sched_yield = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value if yields else 0
    n = 200 if yields else 3
    sync, counts, seen = np.zeros(32, np.int64), np.zeros(team, np.int64), np.zeros(team, np.int64)
    arguments: Any = sync.ctypes.data, team, sched_yield
    rounds(sync.ctypes.data, 1, sched_yield, 0, np.zeros(1, np.int64), np.zeros(1, np.int64), 1)  # compiled
    helpers = [threading.Thread(target=rounds, args=(*arguments, me, counts, seen, n)) for me in range(team)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join()
    assert list(counts) == [n] * team
    assert not seen.any()


@njit
def asked_for(address):
    prefetch(address)
    return pointer(0.0, address)[0]


def test_a_line_that_is_asked_for_is_read_as_before() -> None:
    place = np.array([7.0])
    assert asked_for(place.ctypes.data) == 7.0
    text = "".join(asked_for.inspect_llvm().values())
    assert "llvm.prefetch" in text
