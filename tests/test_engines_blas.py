"""engines/blas.py: the product that the compiled engine calls, whichever library it comes from."""

from __future__ import annotations

import ctypes
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from glassnet.engines.blas import gemm_address, large, library, load_mkl, suits_mkl


def product(A: np.ndarray, B: np.ndarray) -> np.ndarray:
    """A B by gemm, all three stored column by column."""
    (m, k), n = A.shape, B.shape[1]
    C = np.full((m, n), np.nan, A.dtype, order="F")
    scalar = ctypes.c_float if A.itemsize == 4 else ctypes.c_double
    sizes = [ctypes.byref(ctypes.c_int(size)) for size in (m, n, k)]
    one, zero, letter = ctypes.byref(scalar(1)), ctypes.byref(scalar(0)), ctypes.byref(ctypes.c_char(b"N"))
    a, b, c = (ctypes.c_void_p(x.ctypes.data) for x in (A, B, C))
    gemm = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 13)(gemm_address(A.dtype))
    arguments = [letter, letter, *sizes, one, a, sizes[0], b, sizes[2], zero, c, sizes[0]]
    gemm(*(ctypes.cast(x, ctypes.c_void_p) for x in arguments))
    return C


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_address_is_that_of_a_matrix_product(dtype: type) -> None:
    rng = np.random.default_rng(0)
    A, B = (np.asfortranarray(rng.normal(size=shape).astype(dtype)) for shape in ((70, 300), (300, 90)))
    exact = A.astype(float) @ B.astype(float)
    got = product(A, B)
    np.testing.assert_allclose(got, exact, atol=1e3 * np.finfo(dtype).eps)
    np.testing.assert_array_equal(got, product(A, B))  # and the same to the bit
    assert np.abs(got - A @ B[:, ::-1]).max() > 1  # the comparison can fail


def test_mkl_is_used_if_it_is_installed_and_fast() -> None:
    try:
        metadata.version("mkl")
    except metadata.PackageNotFoundError:
        assert library() == "SciPy's BLAS"
        assert large() == 1 << 20
    else:
        suits = suits_mkl(binding.get_host_cpu_name())
        assert library() == ("MKL" if suits else "SciPy's BLAS")
        assert large() == (1 << 18 if suits else 1 << 20)


@pytest.mark.parametrize(("processor", "suits"), [("znver5", False), ("bdver4", False), ("sapphirerapids", True)])
def test_mkl_is_left_alone_where_it_is_slow(processor: str, suits: bool) -> None:
    assert suits_mkl(processor) is suits


def test_what_cannot_be_loaded_is_passed_over(tmp_path: Path) -> None:
    broken = tmp_path / "libmkl_rt.so.3"
    broken.write_text("no library")
    assert load_mkl([broken]) is None
    assert load_mkl([tmp_path / "README"]) is None
