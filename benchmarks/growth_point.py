"""One point of the growth tables, in a fresh process: time of a step and peak memory over the data.

Memory is that of the whole process: its peak while a contestant gets ready and trains one epoch, less what it holds
just before, when the data, the libraries and compiled code are there (a tiny network is trained first). On Linux the
peak is reset at that moment; elsewhere only what exceeds everything before is seen.
"""

from __future__ import annotations

import ctypes
import gc
import json
import mmap
import resource
import statistics
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.contestant import Contestant
from benchmarks.peers import Glassnet, Jax, ScikitLearn
from benchmarks.timing import calibrate, seconds
from benchmarks.workloads import Case, Rule, Workload

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MAKERS = {
    "glassnet": lambda engine: Glassnet("glassnet", engine, "shuffle"),
    "numpy engine": lambda engine: Glassnet("numpy engine", "numpy", "shuffle"),
    "scikit-learn": lambda engine: ScikitLearn(),
    "JAX": lambda engine: Jax("JAX"),
}


def memory(field: str) -> int:
    """Return bytes: VmRSS, what is held now, or VmHWM, the peak."""
    if not STATUS.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024


def settle() -> int:
    """Give back what is free, forget the peak, and return what is held."""
    gc.collect()
    if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
    if CLEAR.exists():
        CLEAR.write_text("5")
    return memory("VmRSS")


def touch_blas_buffers() -> None:
    """Make the matrix products of NumPy and SciPy use their own buffers once, so that these do not count."""
    from scipy.linalg import blas

    n = 1024
    maps = [mmap.mmap(-1, 4 * n * n) for _ in range(3)]  # not from the heap, which would keep the pages
    a, b, c = (np.frombuffer(m, np.float32).reshape(n, n, order="F") for m in maps)
    np.matmul(a, b, out=c)
    blas.sgemm(1.0, a, b, 0.0, c, overwrite_c=1)


def measure(workload: Workload, contestant: Contestant, cores: int) -> dict[str, float]:
    """Return microseconds a step, and bytes over the data."""
    tiny = replace(workload, sizes=(64, 4, 10), batch=10, rows=100)
    touch_blas_buffers()
    contestant.prepare(Case(tiny), cores)
    contestant.reset()
    contestant.run(2)
    case = Case(workload)
    X, Y = case.data
    case.start.sum()
    before = settle()
    contestant.prepare(case, cores)
    contestant.reset()
    contestant.run(1)
    peak = memory("VmHWM") - before
    epochs = calibrate(contestant, 0.1)
    times = [seconds(contestant, epochs) / epochs / case.steps for _ in range(3)]
    return {
        "microseconds": statistics.median(times) * 1e6,
        "peak": peak,
        "data": X.nbytes + Y.nbytes,
        "allowed": allowed(case),
    }


def allowed(case: Case) -> int:
    """Bytes of twice theta and one batch: its rows, and a and delta of every layer."""
    workload, item = case.workload, case.start.itemsize
    return 2 * case.start.nbytes + workload.batch * item * (sum(workload.sizes) + sum(workload.sizes[1:]))


def main() -> None:
    options = json.loads(sys.argv[1])
    workload = Workload(
        "growth", tuple(options["sizes"]), "relu", "softmax", options["batch"], Rule("sgd", 0.01), "random",
        options["rows"], options["rows"],
    )  # fmt: skip
    contestant = MAKERS[options["contestant"]](options["engine"])
    print(json.dumps(measure(workload, contestant, options["cores"])))


if __name__ == "__main__":
    main()
