"""One session: everything that is measured on a given number of cores, in a process whose environment says how many.

Started by `python -m benchmarks`, with its options as JSON; writes what it measured as JSON.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from benchmarks.figures import judge
from benchmarks.grid import measure_grid
from benchmarks.peers import contestants
from benchmarks.report import summary, table
from benchmarks.start import measure_start
from benchmarks.timing import Timings, measure
from benchmarks.workloads import WORKLOADS, Case
from glassnet.engines import ENGINES

LEAST = 0.1
"""Seconds that a run lasts at least."""


def best_engine() -> str:
    """The compiled engine where there is one."""
    return "numba" if "numba" in ENGINES else "numpy"


def one(name: str, options: dict) -> Timings:
    """Measure one workload."""
    engine, cores, repeats, quick = (options[key] for key in ("engine", "cores", "repeats", "quick"))
    if name == "grid":
        return measure_grid(options["dtype"], engine, cores, 1 if quick else min(repeats, 3))
    if name == "start":
        return measure_start(engine, 2 if quick else min(repeats, 5), quick)
    case = Case(WORKLOADS[name], options["dtype"], quick)
    return measure(case, contestants(case.workload, engine, quick), cores, repeats, LEAST)


def main() -> None:
    options = json.loads(sys.argv[1])
    options["engine"] = options["engine"] or best_engine()
    print(f"glassnet's engine: {options['engine']}; {options['dtype']}; {options['repeats']} repetitions", flush=True)
    measured = {}
    for name in options["workloads"]:
        measured[name] = one(name, options)
        print(table(measured[name], options["cores"]), flush=True)
    figures = judge(measured, options["cores"])
    if figures:
        print(summary(figures), flush=True)
    workloads = {name: asdict(timings) for name, timings in measured.items()}
    Path(options["result"]).write_text(json.dumps({**options, "workloads": workloads, "figures": figures}))


if __name__ == "__main__":
    main()
