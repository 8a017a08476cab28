"""The figures that are wanted, and whether a measurement reaches them."""

from __future__ import annotations

from dataclasses import dataclass

from benchmarks.timing import Timings

PEER = "fastest peer"
WORK = "products + rule"


@dataclass(frozen=True)
class Figure:
    """At least `bound` times faster than `than`, or at most `bound` of `unit`."""

    workload: str
    than: str
    bound: float
    at_most: bool = False
    unit: str = "x"
    cores: tuple[int, ...] = (1, 2)

    def value(self, timings: Timings) -> tuple[float, str] | None:
        """Return the measured number and a remark; None where something needed for it was not measured."""
        if self.unit == "x":
            return self.times(timings)
        name = "glassnet, empty cache" if self.than == "empty cache" else "glassnet"
        if name not in timings.micros:
            return None
        scale = {"us a step": 1.0, "s": timings.steps / 1e6}[self.unit]
        return timings.median(name) * scale, ""

    def times(self, timings: Timings) -> tuple[float, str] | None:
        if self.than == WORK:
            return (timings.ratio("glassnet", "products", "rule"), "") if "rule" in timings.micros else None
        if self.than == PEER:
            if not (peers := timings.peers()):
                return None
            name = min(peers, key=timings.median)
        else:
            name = self.than
            if name not in timings.micros:
                return None
        pair = ("glassnet", name) if self.at_most else (name, "glassnet")
        return timings.ratio(*pair), name if self.than == PEER else ""

    @property
    def wanted(self) -> str:
        if self.unit != "x":
            remark = " with an empty cache" if self.than == "empty cache" else ""
            return f"at most {self.bound:g} {self.unit}{remark}"
        return f"at most {self.bound:g} x {self.than}" if self.at_most else f"{self.bound:g} x faster than {self.than}"


def _all() -> list[Figure]:
    found = []
    for name in ("digits", "book", "deep", "regression"):
        found += [Figure(name, PEER, 1.7), Figure(name, "scikit-learn", 7), Figure(name, "PyTorch", 7)]
    found += [Figure("digits", "products", 1.45, True), Figure("book", "products", 1.2, True)]
    found += [Figure("mlp", PEER, 1.15), Figure("mlp", WORK, 1.25, True)]
    found += [Figure("wide", PEER, 1.0), Figure("wide", WORK, 1.15, True)]
    for name in ("xor", "code"):
        found += [Figure(name, "scikit-learn", 150), Figure(name, "PyTorch", 150)]
        found += [Figure(name, "", 0.5, True, "us a step")]
    found += [Figure("code", "JAX, unrolled", 1.0), Figure("grid", "scikit-learn", 8, cores=(2,))]
    found += [Figure("grid", "", 2.5, True, "s", cores=(2,))]
    found += [Figure("start", "scikit-learn", 1.0), Figure("start", "PyTorch", 1.0)]
    return [*found, Figure("start", "empty cache", 30, True, "s")]


FIGURES = _all()


def judge(measured: dict[str, Timings], cores: int) -> list[dict[str, object]]:
    """Return a row for each figure of the measured workloads."""
    rows = []
    for figure in FIGURES:
        if figure.workload not in measured or cores not in figure.cores:
            continue
        found = figure.value(measured[figure.workload])
        row: dict[str, object] = {"workload": figure.workload, "wanted": figure.wanted, "cores": cores}
        if found is None:
            rows.append({**row, "measured": None, "reached": None, "remark": "not measured"})
            continue
        number, remark = found
        reached = number <= figure.bound if figure.at_most else number >= figure.bound
        rows.append({**row, "measured": number, "reached": reached, "remark": remark})
    return rows
