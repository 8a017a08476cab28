"""glassnet beside other libraries: the same networks, data, start and order of batches, in turns.

    python -m benchmarks                          everything, on one core and on two
    python -m benchmarks --quick                  the same order of things in under two minutes, on one core
    python -m benchmarks digits mlp --cores 1     two workloads
    python -m benchmarks --growth                 how the cost grows with width, batch and rows

Every session is a process of its own, because the number of threads must be said before NumPy is imported.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.machine import environment, facts, pick_cores

NAMES = ("digits", "book", "mlp", "wide", "deep", "regression", "xor", "code", "grid", "start")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"{', '.join(NAMES)}; default: all")
    parser.add_argument(
        "--quick", action="store_true", help="fewer rows, fewer repetitions, no compiled PyTorch, no Keras"
    )
    parser.add_argument("--cores", type=int, choices=(1, 2), help="default: both in turn; 1 with --quick or --growth")
    parser.add_argument("--repeats", type=int, help="repetitions; default: 9, with --quick 3")
    parser.add_argument("--dtype", choices=("float32", "float64"), default="float32")
    parser.add_argument("--engine", help="glassnet's engine; default: numba where there is one, else numpy")
    parser.add_argument("--growth", action="store_true", help="how the cost grows, instead of the workloads")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers there")
    parser.add_argument("--chart", type=Path, metavar="FILE", help="draw them there (.png, .svg)")
    args = parser.parse_args()
    if unknown := set(args.workloads) - set(NAMES):
        parser.error(f"unknown workload {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")
    if args.repeats is not None and args.repeats < 1:
        parser.error(f"--repeats must be at least 1, received {args.repeats}")
    return args


def session(args: argparse.Namespace, cores: int, cpus: list[int]) -> dict:
    """Run one session in a process of its own; return what it measured."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        options = {
            "workloads": args.workloads or list(NAMES), "quick": args.quick, "cores": cores, "engine": args.engine,
            "repeats": args.repeats or (3 if args.quick else 9), "dtype": args.dtype, "result": str(result),
        }  # fmt: skip
        module = "benchmarks.growth" if args.growth else "benchmarks.session"
        if cpus:
            os.sched_setaffinity(0, cpus)
        command = [sys.executable, "-m", module, json.dumps(options)]
        done = subprocess.run(command, env=environment(cores, args.dtype))
        if done.returncode:
            sys.exit(done.returncode)
        found = json.loads(result.read_text())
    return {key: value for key, value in found.items() if key != "result"}


def main() -> None:
    args = parse()
    about = facts()
    print("; ".join(f"{key} {value}" for key, value in about.items()), flush=True)
    sessions = []
    wanted = [args.cores] if args.cores else [1] if args.quick or args.growth else [1, 2]
    picked = {cores: pick_cores(cores) for cores in wanted}
    for cores, cpus in picked.items():
        if cpus is None:
            print(f"{cores} cores: skipped, this process may use fewer")
            continue
        sessions.append(session(args, cores, cpus))
    report = {**about, "sessions": sessions}
    if args.json:
        args.json.write_text(json.dumps(report, indent=1))
    if args.chart and sessions:
        from benchmarks.chart import draw

        draw(report, args.chart)


if __name__ == "__main__":
    main()
