"""The machine: which cores, how many threads, and what to say about it. Imports no NumPy: threads are set before."""

from __future__ import annotations

import os
import platform
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("glassnet", "numpy", "scipy", "mkl", "numba", "scikit-learn", "torch", "jax", "keras")
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS")


def pick_cores(count: int) -> list[int] | None:
    """Return the cores to stay on; [] where they cannot be chosen, None where there are fewer."""
    if not hasattr(os, "sched_setaffinity"):
        return [] if count <= (os.cpu_count() or 1) else None
    allowed = sorted(os.sched_getaffinity(0))
    return allowed[-count:] if count <= len(allowed) else None


def environment(cores: int, dtype: str) -> dict[str, str]:
    """Return the environment of a session: the same number of threads for every library."""
    eigen = "true" if cores > 1 else "false"
    flags = f"--xla_cpu_multi_thread_eigen={eigen} intra_op_parallelism_threads={cores}"
    return {
        **os.environ,
        **dict.fromkeys(THREADS, str(cores)),
        "XLA_FLAGS": flags,
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": str(dtype == "float64"),
        "KERAS_BACKEND": "jax",
    }


def processor() -> str:
    """The processor's name, as Linux tells it."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def facts() -> dict[str, str]:
    """Date, machine and versions."""
    found = {"date": date.today().isoformat(), "machine": f"{os.cpu_count()} cores, {processor()}"}
    found["python"] = platform.python_version()
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
