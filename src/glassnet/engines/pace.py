"""How many threads a run uses, and for how many batches at a time: by what its batches have taken so far.

Two threads are not always faster than one: other programs, or the idle threads of another library, may hold the core
that the second one needs, and each barrier then waits for the scheduler. So both are tried for a few batches, and again
from time to time. What is computed does not depend on it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["SECONDS_A_CALL", "Pace"]

SECONDS_A_CALL = 0.1
"""After about so long the loop returns to Python, where Ctrl-C is heard."""
FIRST = 16
"""Batches of the very first call."""
TRIAL = 1 / 100
"""The part of SECONDS_A_CALL that is spent on trying the other number of threads."""


@dataclass
class Pace:
    """Seconds a batch, by the number of threads, as they were measured last."""

    seconds: dict[int, float] = field(default_factory=dict)
    since: float = 0.0
    """Seconds since the other number of threads was tried."""

    def plan(self, most: int) -> tuple[int, int]:
        """Return (threads, batches) of the next call, where at most so many threads may be used."""
        if most not in self.seconds:
            return most, FIRST
        if most == 1:
            return 1, self._batches(self.seconds[1], SECONDS_A_CALL)
        trial = int(TRIAL * SECONDS_A_CALL / self.seconds[most])
        if trial == 0:  # of batches as long as that, only threads matter
            return most, self._batches(self.seconds[most], SECONDS_A_CALL)
        if 1 not in self.seconds:
            return 1, trial
        better, other = sorted((most, 1), key=self.seconds.__getitem__)
        if self.since >= SECONDS_A_CALL:
            return other, self._batches(self.seconds[other], TRIAL * SECONDS_A_CALL)
        return better, self._batches(self.seconds[better], SECONDS_A_CALL)

    def measured(self, team: int, batches: int, seconds: float, start: float = 0.0) -> None:
        """Take note of what a call has taken, from when all its threads ran; to start them took `start` seconds.

        That counts as it would in a call of usual length: in a short trial it may be more than all the rest.
        """
        tried = team != min(self.seconds, key=self.seconds.__getitem__, default=team)
        self.seconds[team] = seconds / max(1, batches) * (1 + start / SECONDS_A_CALL)
        self.since = 0.0 if tried else self.since + seconds

    @staticmethod
    def _batches(pace: float, seconds: float) -> int:
        return max(1, int(seconds / pace))
