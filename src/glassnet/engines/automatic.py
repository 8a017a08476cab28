"""The engine "auto": the compiled one where it pays, the reference where it does not, by an estimate of both."""

from __future__ import annotations

from glassnet.arrays import Array
from glassnet.engines.contract import Fused, Job
from glassnet.engines.cost import estimate
from glassnet.engines.notices import say_once
from glassnet.engines.reference import ReferenceEngine

__all__ = ["AutomaticEngine"]


class AutomaticEngine:
    """Evaluates as the reference does; runs epochs in whichever engine is expected to take less time.

    The estimate is kept in `run.estimate`, and printed by estimators with `verbose=True`.
    """

    name = "auto"

    def __init__(self) -> None:
        reference = ReferenceEngine()
        self.forward, self.backward, self.jacobian = reference.forward, reference.backward, reference.jacobian

    def expect(self, job: Job) -> str:
        """Return the estimate in words."""
        return str(estimate(job))

    def fuse(self, job: Job, theta: Array, state: Array, slots: tuple[Array, ...]) -> Fused | None:
        """Return the compiled loop where it is expected to be faster, else None."""
        expected = estimate(job)
        if expected.numba == float("inf"):
            say_once("Numba is not installed: training runs on NumPy, several times slower (pip install numba).")
        if expected.name == "numpy":
            return None
        from glassnet.engines.compiled import CompiledEngine

        return CompiledEngine().fuse(job, theta, state, slots)
