"""Who computes the same, and how long each takes: contestants take turns, each run lasting at least a given time."""

from __future__ import annotations

import random
import statistics
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.contestant import Absent, Contestant
from benchmarks.workloads import Case

LOSS_TOLERANCE = {"float32": 1e-4, "float64": 1e-6}
"""How much the loss after one epoch may differ, relatively; in float64 the two definitions of Adam's eps do."""
REST = 0.2
"""Seconds of pause before a run on several cores: the threads of the one before stop waiting for work."""


@dataclass
class Timings:
    """Microseconds a step of each contestant in each repetition, and who could not take part."""

    title: str
    steps: int
    micros: dict[str, list[float]] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    losses: dict[str, float] = field(default_factory=dict)
    ways: dict[str, str] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)

    def median(self, name: str) -> float:
        return statistics.median(self.micros[name])

    def ratio(self, name: str, *below: str) -> float:
        """The median over the repetitions of name / (sum of the others)."""
        columns = zip(self.micros[name], *(self.micros[other] for other in below), strict=True)
        return statistics.median(first / sum(rest) for first, *rest in columns)

    def peers(self) -> list[str]:
        return [name for name, kind in self.kinds.items() if kind == "peer" and name in self.micros]


def measure(case: Case, contestants: list[Contestant], cores: int, repeats: int, least: float) -> Timings:
    """Prepare, check and time everybody."""
    timings = Timings(case.workload.title, case.steps)
    ready = []
    for contestant in contestants:
        try:
            contestant.prepare(case, cores)
        except Absent as reason:
            timings.absent[contestant.name] = str(reason)
            continue
        timings.kinds[contestant.name] = contestant.kind
        if hasattr(contestant, "way"):
            timings.ways[contestant.name] = contestant.way
        ready.append(contestant)
    check(case, ready, timings)
    epochs = {contestant.name: calibrate(contestant, least) for contestant in ready}
    order = random.Random(0)
    for _ in range(repeats):
        for contestant in order.sample(ready, len(ready)):
            time.sleep(REST if cores > 1 else 0)
            count = epochs[contestant.name]
            micros = seconds(contestant, count) / count / case.steps * 1e6
            timings.micros.setdefault(contestant.name, []).append(micros)
    timings.micros = {contestant.name: timings.micros[contestant.name] for contestant in ready}
    return timings


def check(case: Case, contestants: list[Contestant], timings: Timings) -> None:
    """Compare the losses after one epoch with that of the reference engine; stop with an error where one differs."""
    from benchmarks.peers.glassnet_peer import Glassnet

    reference = Glassnet("reference", "numpy")
    reference.prepare(case, 1)
    wanted = loss_after_an_epoch(case, reference)
    for contestant in contestants:
        if not contestant.checked:
            continue
        loss = loss_after_an_epoch(case, contestant)
        timings.losses[contestant.name] = loss
        error = abs(loss - wanted) / abs(wanted)
        if not error < LOSS_TOLERANCE[case.dtype]:
            raise RuntimeError(
                f"{case.workload.name}: {contestant.name} does not compute the same: the loss after one epoch is "
                f"{loss:.8g}, the reference engine's {wanted:.8g} (they differ by {error:.1e}, relatively)."
            )


def loss_after_an_epoch(case: Case, contestant: Contestant) -> float:
    contestant.reset()
    contestant.run(1)
    theta = contestant.theta()
    if np.array_equal(theta, case.start):
        raise RuntimeError(f"{case.workload.name}: {contestant.name} has not moved the weights")
    return case.loss(theta)


def seconds(contestant: Contestant, epochs: int) -> float:
    contestant.reset()
    begin = time.perf_counter()
    contestant.run(epochs)
    return time.perf_counter() - begin


def calibrate(contestant: Contestant, least: float) -> int:
    """Return how many epochs take at least that many seconds."""
    epochs = 1
    while (spent := seconds(contestant, epochs)) < least:
        epochs = max(epochs + 1, min(epochs * 10, round(1.1 * epochs * least / max(spent, 1e-6))))
    return epochs
