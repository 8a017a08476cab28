"""engines/micro.py and products.py: products of every small shape, against NumPy, at the very end of their memory."""

from __future__ import annotations

import ctypes
import mmap
from itertools import product

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import njit
from numba.extending import get_cython_function_address

from glassnet.engines import kernels, products


def entered(function):
    """The function with a way in for Python, which code for compiled code has not."""
    return njit(lambda *arguments: function(*arguments))


forward_product = entered(products.forward_product)
back_product = entered(products.back_product)
gradient_product = entered(products.gradient_product)

TYPICAL = [
    (100, 50, 65),
    (100, 10, 51),
    (10, 30, 785),
    (32, 64, 65),
    (32, 1, 51),
    (1, 30, 785),
    (1, 300, 65),
    (3, 140, 33),
    (40, 33, 785),  # deep enough for panels
    (600, 20, 40),
]
SMALL = list(product((1, 2, 7, 13, 17), (1, 3, 8, 16, 17, 31, 33), (1, 2, 5, 9, 16, 33)))
TOLERANCE = {np.float32: 1e-5, np.float64: 1e-12}


class AtTheEnd:
    """Arrays whose last number lies before a page that may not be touched."""

    def __init__(self, pages: int = 200) -> None:
        size = mmap.PAGESIZE
        self.memory = mmap.mmap(-1, (pages + 1) * size)
        self.end = ctypes.addressof(ctypes.c_char.from_buffer(self.memory)) + pages * size
        libc = ctypes.CDLL(None)
        if libc.mprotect(ctypes.c_void_p(self.end), ctypes.c_size_t(size), 0) != 0:
            pytest.skip("pages cannot be protected here")

    def put(self, values, ld: int) -> np.ndarray:
        """Return the values in rows of `ld` places, the last of which ends where the memory does; NaN between them."""
        m, n = values.shape
        count = (m - 1) * ld + n
        kind = ctypes.c_char * (count * values.dtype.itemsize)
        start = self.end - count * values.dtype.itemsize
        flat = np.frombuffer(kind.from_address(start), dtype=values.dtype)
        flat[:] = np.nan
        view = np.lib.stride_tricks.as_strided(flat, (m, n), (ld * values.itemsize, values.itemsize))
        view[:] = values
        return view


@pytest.fixture(scope="module")
def places():
    return [AtTheEnd() for _ in range(3)]


def gaps_are_untouched(view, ld):
    m, n = view.shape
    gaps = np.lib.stride_tricks.as_strided(view, (m - 1, ld), view.strides)[:, n:]
    return np.isnan(gaps).all()


@pytest.mark.parametrize("turned", [False, True], ids=["rows", "turned"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shapes", [SMALL, TYPICAL], ids=["small", "typical"])
def test_products_are_numpys_and_stay_within_their_arrays(places, shapes, dtype, turned) -> None:
    rng = np.random.default_rng(0)
    one, tolerance = dtype(1), TOLERANCE[dtype]
    gemm = get_cython_function_address("scipy.linalg.cython_blas", "sgemm" if dtype is np.float32 else "dgemm")
    tiles = kernels.address("tiles", dtype)
    for number, (m, n, k) in enumerate(shapes):
        gap = number % 3
        first, second, third = (place.put for place in places)
        A, W, D = (rng.normal(size=shape).astype(dtype) for shape in ((m, k), (k, n), (m, n)))
        lay = (n, m) if turned else (m, n)
        ld = lay[1] + gap + turned  # more than 1: with two strides of 1, a row and a column look alike
        strides = (1, ld) if turned else (ld, 1)
        exact = [x.astype(float) for x in (A, W, D)]

        a, w = first(A, k + gap), second(W, n + gap)
        z = third(np.full(lay, np.nan, dtype), ld)
        first_ones = one, gemm, 1 << 20, tiles, 2000
        forward_product(
            one,
            gemm,
            1 << 20,
            tiles,
            2000,
            m,
            n,
            k,
            a.ctypes.data,
            k + gap,
            w.ctypes.data,
            n + gap,
            z.ctypes.data,
            *strides,
        )
        np.testing.assert_allclose(
            z.T if turned else z, exact[0] @ exact[1], rtol=tolerance, atol=5 * tolerance * k**0.5
        )
        assert gaps_are_untouched(z, ld)

        d, out = first(D.T if turned else D, ld), third(np.full((m, k), np.nan, dtype), k + gap)
        back_product(
            one,
            gemm,
            1 << 20,
            tiles,
            2000,
            m,
            n,
            k,
            d.ctypes.data,
            *strides,
            w.ctypes.data,
            n + gap,
            out.ctypes.data,
            k + gap,
        )
        np.testing.assert_allclose(out, exact[2] @ exact[1].T, rtol=tolerance, atol=5 * tolerance * n**0.5)
        assert gaps_are_untouched(out, k + gap)

        a = second(A, k + gap)
        for alpha, beta in ((1.0, 0), (-0.3, 1), (0.5, 0)):
            old = rng.normal(size=(k, n)).astype(dtype) if beta else np.full((k, n), np.nan, dtype)
            g = third(old, n + gap)
            gradient_product(
                *first_ones, m, n, k, dtype(alpha), a.ctypes.data, k + gap, d.ctypes.data, *strides,
                dtype(beta), g.ctypes.data, n + gap,
            )  # fmt: skip
            expected = float(dtype(alpha)) * exact[0].T @ exact[2] + (old.astype(float) if beta else 0.0)
            np.testing.assert_allclose(g, expected, rtol=tolerance, atol=5 * tolerance * m**0.5)
            assert gaps_are_untouched(g, n + gap)
