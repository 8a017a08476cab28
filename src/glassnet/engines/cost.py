"""Which engine is the faster one for a run: an estimate of both, in seconds, before either is loaded.

The constants were measured on two x86 cores with AVX-512 (benchmarks/README.md). They need not be exact: where the two
engines are near each other it matters little which is taken, and where they are far apart the estimate sees it.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import numpy as np

from glassnet.engines.contract import Job
from glassnet.engines.storage import was_kept

__all__ = ["Estimate", "estimate"]

MICRO = 1e-6


@dataclass(frozen=True)
class Speed:
    """Seconds for the parts of a training step."""

    step: float
    layer: float
    rule: float
    multiplication: float
    element: float
    parameter: float
    run: float = 0.0
    """To set a run up."""


NUMPY = Speed(9 * MICRO, 9 * MICRO, 6 * MICRO, 1 / 35e9, 2.5e-9, 1.5e-9)
COMPILED = Speed(0.1 * MICRO, 0.15 * MICRO, 0.0, 1 / 55e9, 0.8e-9, 0.4e-9, run=450 * MICRO)
LOADING = 0.005
"""Seconds of a run's share in loading: importing Numba and SciPy's BLAS, and fetching compiled code from the disk.

It takes 0.4 s, but once for all fits of a process, and a process that fits seldom fits once. (With a share of 0.05,
whole fits of small tables took five times as long as they had to.) It counts whether all is loaded already or not, so
that the same call takes the same engine, and gives the same bits, whatever ran before it.
"""
COMPILING = 8.0
"""Seconds to compile the loop and the kernels of a run."""


@dataclass(frozen=True)
class Estimate:
    """Seconds that each engine is expected to take."""

    numpy: float
    numba: float
    note: str

    @property
    def name(self) -> str:
        """The engine that is expected to be the faster one."""
        return "numba" if self.numba < self.numpy else "numpy"

    def __str__(self) -> str:
        return f"engine {self.name}: estimated {self.numba:.2g} s with numba{self.note}, {self.numpy:.2g} s with numpy"


def estimate(job: Job) -> Estimate:
    """Return what both engines are expected to take for the run."""
    if find_spec("numba") is None:
        return Estimate(_seconds(job, NUMPY), float("inf"), " (not installed)")
    compiled = "glassnet.engines.compiled" in sys.modules or was_kept()
    start, what = (LOADING, "its share in loading") if compiled else (COMPILING, "compiling it")
    return Estimate(_seconds(job, NUMPY), start / job.alongside + _seconds(job, COMPILED), f" ({what} included)")


def _seconds(job: Job, speed: Speed) -> float:
    sizes, m = job.net.sizes, min(job.batch_size, job.rows)
    multiplications = 3 * m * sum(n * k for n, k in pairwise(sizes))
    wide = job.X.dtype.itemsize / 4  # float64 takes twice as long
    step = speed.step + speed.layer * len(job.net.layers)
    step += wide * (multiplications * speed.multiplication + m * sum(sizes) * speed.element)
    rule = type(job.rule).__name__ != "SGD"
    step += rule * speed.rule + wide * job.net.n_parameters * speed.parameter * (1 + rule)
    return float(speed.run + step * np.ceil(job.rows / m) * job.epochs)
