"""engines/blas.py: the product that the compiled engine calls, whichever library it comes from."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
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


STUB = """
void MKL_Set_Interface_Layer(int layer) {}
void MKL_Set_Threading_Layer(int layer) {}
void MKL_CBWR_Set(int branch) {}
void MKL_Set_Num_Threads(int n) {}
int MKL_Get_Max_Threads(void) { return 1; }
void MKL_Get_Version_String(char *text, int n) { if (n > 0) text[0] = 0; }
"""
ASK = """
import sys
from pathlib import Path
from glassnet.engines import blas, threads
blas.mkl_is_in_use = lambda: True  # a real one is not to come in between
mkl = blas.load_mkl([Path(sys.argv[1])])
kinds = [library.internal_api for library in threads._controller().lib_controllers]
print("mkl" in kinds, threads.allowed(), threads.cores())
"""


def test_the_one_thread_of_our_mkl_is_no_limit_for_us(tmp_path: Path) -> None:
    """It was: with MKL installed, runs used one core."""
    if (compiler := shutil.which("cc")) is None:
        pytest.skip("no C compiler")
    source, library = tmp_path / "stub.c", tmp_path / "libmkl_rt.so.3"
    source.write_text(STUB)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source], check=True)
    environment = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    asked = [sys.executable, "-c", ASK, str(library)]
    answer = subprocess.run(asked, env=environment, check=True, capture_output=True, text=True).stdout.split()
    assert answer[0] == "True", "the stub passes for MKL"
    assert answer[1] == answer[2]
