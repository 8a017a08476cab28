"""How often does `gn.debug_gradients` name the fault? Faults planted in programs written by hand, and right programs.

    python -m benchmarks.debugging                 every planted fault with two seeds, 200 right programs
    python -m benchmarks.debugging --quick         one seed, 40 right programs
    python -m benchmarks.debugging --seeds 5 6     seeds of your own

A fault counts as named where every array of the program gets its verdict: the arrays that are wrong by name, the others
"right". The exit code is 1 where a figure is missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import glassnet as gn
from benchmarks.planted import PLANTED, Planted, data_for, names_of, spoiled
from benchmarks.sound import sound

__all__ = ["alarm", "main", "misnamed"]

REPORTED = (101, 102)


def misnamed(planted: Planted, seed: int, debug: Callable[..., Any] = gn.debug_gradients) -> dict[str, str]:
    """Return {array: what was said} of the arrays of a planted fault that are not named rightly."""
    params, data = data_for(planted.program, seed, planted.sizes, planted.m, planted.lam)
    report = debug(spoiled(planted.program, planted.edit), params, *data)
    said = {name: verdict.code for name, verdict in report.verdicts.items()}
    wrong = {problem.code: "problem" for problem in report.problems}
    for short, name in names_of(planted.program).items():
        right = [set(codes.split("+")) for codes in planted.expected.get(short, ("right",))]
        if set(said.get(name, "").split("+")) not in right:
            wrong[name] = said.get(name, "nothing")
    return wrong


def alarm(seed: int, debug: Callable[..., Any] = gn.debug_gradients) -> tuple[str, bool]:
    """Return what is said against the right program of this seed ("" for nothing), and whether it was recognised."""
    program = sound(seed)
    report = debug(program.function, program.params, *program.data)
    codes = [f"{v.name} {v.code}" for v in report.verdicts.values() if not v.ok] + [p.code for p in report.problems]
    return ", ".join(codes), bool(report.network)


def planted_table(seeds: Sequence[int]) -> tuple[dict[str, tuple[int, int]], list[float]]:
    """Return {kind: (named, tried)} and the seconds of each call; print what was not named."""
    table: dict[str, tuple[int, int]] = {}
    seconds = []
    for planted in PLANTED:
        for seed in seeds:
            start = time.perf_counter()
            wrong = misnamed(planted, seed)
            seconds.append(time.perf_counter() - start)
            named, tried = table.get(planted.kind, (0, 0))
            table[planted.kind] = named + (not wrong), tried + 1
            if wrong:
                print(f"  not named: {planted.kind}, {planted.program}, seed {seed}: {wrong}", flush=True)
    return table, seconds


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="*", default=list(REPORTED))
    parser.add_argument("--right", type=int, default=200, help="right programs")
    parser.add_argument("--first", type=int, default=9000, help="the seed of the first right program")
    parser.add_argument("--quick", action="store_true", help="one seed, 40 right programs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args(arguments)
    seeds, count = (args.seeds[:1], 40) if args.quick else (args.seeds, args.right)
    table, seconds = planted_table(seeds)
    programs = {kind: {p.program for p in PLANTED if p.kind == kind} for kind in table}
    for kind, (named, tried) in table.items():
        print(f"{kind:28} {named:3}/{tried:<3} in {len(programs[kind])} networks")
    named, tried = (sum(row[i] for row in table.values()) for i in (0, 1))
    print(f"{len(table)} kinds, {len(PLANTED)} faults: named rightly {named} of {tried}, {named / tried:.1%}")
    said = {seed: alarm(seed) for seed in range(args.first, args.first + count)}
    false = {seed: words for seed, (words, _) in said.items() if words}
    recognised = sum(network for _, network in said.values())
    print(f"right programs: {len(false)} false alarms in {count} ({recognised} recognised): {false or 'none'}")
    print(f"seconds a call: median {statistics.median(seconds):.2f}, longest {max(seconds):.2f}")
    good = named >= 0.95 * tried and not false
    print("all figures are reached" if good else "a figure is missed")
    if args.json:
        args.json.write_text(json.dumps({"table": table, "false": false, "seconds": seconds}, indent=1))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
