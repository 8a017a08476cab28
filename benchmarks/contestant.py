"""What a contestant is: something that trains the network of a case, epoch after epoch, always from the same start.

`prepare` once (compile, copy the data), then for each measurement `reset` (set the starting weights, not timed),
`run` (timed) and, where the result is checked, `theta` (not timed). Every `run` also computes the mean loss of its last
epoch, as a user wants to see it, and returns it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar

import numpy as np

from benchmarks.workloads import Case

T = TypeVar("T")


class Absent(Exception):
    """This contestant cannot take part here; the message says why."""


class Contestant(Protocol):
    """A library, or a way to use one."""

    name: str
    kind: str
    """"glassnet", "peer", or "bound": a piece of the work, which nobody can do without."""
    checked: bool
    """Whether it takes the batches in the common order, so that its loss must agree."""

    def prepare(self, case: Case, cores: int) -> None:
        """Get ready; raise Absent with the reason where that is impossible."""

    def reset(self) -> None:
        """Go back to the start."""

    def run(self, epochs: int) -> float | None:
        """Train; return the mean loss of the last epoch (None: a bound trains nothing)."""

    def theta(self) -> np.ndarray:
        """Return the weights in glassnet's order."""


def fastest(candidates: Iterable[T], run: Callable[[T], object], rounds: int = 3, least: float = 0.02) -> T:
    """Return the candidate whose best of a few runs of at least `least` seconds is the shortest."""
    times = {}
    for index, candidate in enumerate(candidates):
        run(candidate)  # the first run may compile
        best, spent = np.inf, 0.0
        for _ in range(rounds):
            count, begin = 0, time.perf_counter()
            while (spent := time.perf_counter() - begin) < least:
                run(candidate)
                count += 1
            best = min(best, spent / count)
        times[index] = (best, candidate)
    return min(times.values(), key=lambda pair: pair[0])[1]
