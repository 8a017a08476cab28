"""Throw broken, hostile and odd input at every door, and demand a right result or one of our errors.

    python -m benchmarks.fuzz --cases 10000 --door files|tables|estimators|cli
    python -m benchmarks.fuzz --atheris --door files|tables|cli --seconds 300      steered by coverage

A door takes a generator and an empty folder, makes one case of it, and says how the case ended: "right" or "refused".
Anything else escapes: another exception, a process that ends, a result that is wrong, a file that nobody asked for, a
case that takes longer than LIMIT. Escapes are printed with their seed;
`--seed S --cases 1` runs one again.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from time import perf_counter
from types import FrameType

import numpy as np

Door = Callable[[np.random.Generator, Path], str]
DOORS = ("files", "tables", "estimators", "cli")
LIMIT = 180
"""Seconds that a case may take, on a machine that others use, too."""


class TookTooLong(BaseException):
    """What ends a case that hangs; no handler of errors catches it."""


def _ring(number: int, frame: FrameType | None) -> None:
    raise TookTooLong


def set_limit(seconds: float) -> None:
    """End what runs from now on after so long; 0: no more."""
    signal.signal(signal.SIGALRM, _ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)


def one(door: str, seed: int) -> str:
    """Run the case of a seed in a folder of its own; return how it ended."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        case: Door = import_module(f"benchmarks.fuzz_doors.{door}").case  # when it is asked for: atheris instruments it
        return case(np.random.default_rng(seed), Path(folder))


def limited(case: Callable[[], str]) -> str:
    """Run a case and end it at its limit; return how it ended."""
    set_limit(LIMIT)
    try:
        return case()
    finally:
        set_limit(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--door", choices=DOORS, required=True)
    parser.add_argument("--seed", type=int, default=0, help="of the first case; each has the next number")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no case after so long")
    parser.add_argument("--atheris", action="store_true", help="let atheris steer bytes by the code that they reach")
    parser.add_argument("--bytes", type=Path, metavar="FILE", help="run the case of these bytes, which --atheris found")
    options = parser.parse_args()
    if (options.atheris or options.bytes) and options.door == "estimators":
        parser.error("--door estimators takes arrays, not bytes: files, tables or cli.")
    if options.bytes:
        from benchmarks.fuzz_doors import guided

        print(limited(lambda: guided.one(options.door, options.bytes.read_bytes())))
    elif options.atheris:
        from benchmarks.fuzz_guided import guided as steered

        steered(options.door, options.cases, options.seconds, options.seed, limited)
    else:
        draw(options.door, range(options.seed, options.seed + options.cases), options.seconds)


def draw(door: str, seeds: range, seconds: float) -> None:
    """Run the cases of the seeds; print what escapes, and how many ended how."""
    ends, begin, slowest = Counter[str](), perf_counter(), 0.0
    for seed in seeds:
        start = perf_counter()
        if start - begin > seconds:
            break
        try:
            ends[limited(lambda seed=seed: one(door, seed))] += 1  # type: ignore[misc]
        except (Exception, SystemExit, TookTooLong) as error:  # noqa: BLE001
            ends["escaped"] += 1
            print(f"{door} --seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
            print("    " + traceback.format_exc().strip().replace("\n", "\n    ")[-1200:], flush=True)
        slowest = max(slowest, perf_counter() - start)
        if perf_counter() - start > 10.0:
            print(f"{door} --seed {seed}: {perf_counter() - start:.0f} s", flush=True)
    said = ", ".join(f"{name} {count:,}" for name, count in sorted(ends.items()))
    print(f"{door}: {sum(ends.values()):,} cases: {said}; slowest {slowest:.2f} s, {perf_counter() - begin:.0f} s")
    raise SystemExit(1 if ends["escaped"] else 0)


if __name__ == "__main__":
    main()
