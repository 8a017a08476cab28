"""The engine "auto": the compiled one where it pays, the reference where it does not, by an estimate of both."""

from __future__ import annotations

import logging

from glassnet.arrays import Array
from glassnet.engines.contract import Fused, Job
from glassnet.engines.cost import estimate
from glassnet.engines.notices import say_once
from glassnet.engines.reference import ReferenceEngine

__all__ = ["AutomaticEngine"]


class AutomaticEngine:
    """Evaluates as the reference does; runs epochs in whichever engine is expected to take less time.

    The estimate is logged (logger "glassnet", level INFO) and kept in `run.engine`.
    """

    name = "auto"

    def __init__(self) -> None:
        reference = ReferenceEngine()
        self.forward, self.backward, self.jacobian = reference.forward, reference.backward, reference.jacobian

    def fuse(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> Fused | None:
        """Return the compiled loop where it is expected to be faster, else None."""
        expected = estimate(job)
        logging.getLogger("glassnet").info(str(expected))
        if expected.numba == float("inf"):
            say_once("Numba is not installed: training runs on NumPy, several times slower (pip install numba).")
        if expected.name == "numpy":
            return None
        from glassnet.engines.compiled import CompiledEngine

        return CompiledEngine().fuse(job, theta, state, slots)
