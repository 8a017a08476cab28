"""Where the compiled engine finds its matrix product: in Intel's MKL if that is installed, else in SciPy's BLAS.

`pip install "glassnet[mkl]"` brings MKL, whose products of large matrices take four fifths of the time that SciPy's
OpenBLAS takes on an Intel processor with AVX-512 (`benchmarks/README.md`). On AMD's it takes twice as long as OpenBLAS
and is not used there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
from llvmlite import binding
from numba.extending import get_cython_function_address

from glassnet.engines.storage import lock
from glassnet.engines.threads import count_out, mkl_is_in_use

__all__ = ["gemm_address", "large", "library", "load_mkl", "suits_mkl"]

SEQUENTIAL, LP64, REPEATABLE = 1, 0, 2
"""MKL's numbers for: no threads of its own; 32-bit sizes; the same answer wherever in memory the numbers lie."""
NAMES = ("libmkl_rt.so", "libmkl_rt.dylib", "mkl_rt.")
AMD = ("amdfam", "barcelona", "bdver", "btver", "znver")
"""How LLVM's names of AMD's processors begin."""
LARGE = {"MKL": 1 << 18, "SciPy's BLAS": 1 << 20}
"""Bytes of weights beyond which the library is as fast as tiles, measured (`benchmarks/README.md`)."""


def gemm_address(dtype: np.dtype[np.floating]) -> int:
    """Return the address of sgemm or dgemm, with Fortran's interface."""
    name = "sgemm" if dtype.itemsize == 4 else "dgemm"
    mkl = _mkl()
    if mkl is None:
        return int(get_cython_function_address("scipy.linalg.cython_blas", name))
    return int(ctypes.cast(getattr(mkl, f"{name}_"), ctypes.c_void_p).value or 0)


def large() -> int:
    """Return the bytes of a matrix of weights beyond which this library is as fast as tiles."""
    return LARGE[library()]


def library() -> str:
    """Return the name of the library that multiplies: "MKL" or "SciPy's BLAS"."""
    return "SciPy's BLAS" if _mkl() is None else "MKL"


def suits_mkl(processor: str) -> bool:
    """Return whether MKL is fast on this processor, by LLVM's name for it ("znver5", "sapphirerapids")."""
    return not processor.startswith(AMD)


def load_mkl(files: Iterable[Path]) -> ctypes.CDLL | None:
    """Return MKL, set to one thread, if it is among these files and can be loaded; else None.

    The fused loop shares out large products itself and keeps each to one thread: MKL's threads would be in its way.
    """
    found = [file for file in files if file.name.startswith(NAMES)]
    if not found:
        return None
    try:
        mkl = ctypes.CDLL(str(found[0]))
    except OSError:  # made for another processor, or without the libraries that it needs itself
        return None
    mkl.MKL_Set_Interface_Layer(LP64)
    mkl.MKL_Set_Threading_Layer(SEQUENTIAL)
    mkl.MKL_CBWR_Set(REPEATABLE)
    count_out(found[0])
    return mkl


def _mkl() -> ctypes.CDLL | None:
    """MKL, loaded once: of two threads at once, the second would take the first one's for another library's."""
    with lock:
        return _find_mkl()


@cache
def _find_mkl() -> ctypes.CDLL | None:
    """MKL from the package `mkl`; None where it is slow, and where another library counts on the threads it set up."""
    if not suits_mkl(binding.get_host_cpu_name()):
        return None
    try:
        files = metadata.files("mkl") or []
    except metadata.PackageNotFoundError:
        return None
    paths = [Path(str(file.locate())).resolve() for file in files if file.name.startswith(NAMES)]
    return None if mkl_is_in_use() else load_mkl(paths)
