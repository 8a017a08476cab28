"""Second-order training: how long does each solver take to an error that Levenberg-Marquardt reaches?

    python -m benchmarks.second_order [--seeds 5] [--quick] [--json FILE]

From each seed's start "lm" runs to the target of the problem. From the same start the other solvers then get 10 times
as long and Adam 100 times. Adam runs in the compiled engine with a cosine schedule over its whole time, with the batch
and the rate that did best in a trial on another seed, a tenth as long. The figure is the median over the seeds of time
to the target / time of lm. "br" minimises something else, with a penalty that it finds: it runs until it is settled.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from sklearn.datasets import load_diabetes

import glassnet as gn
from benchmarks.machine import facts
from glassnet.gallery import study_hours
from glassnet.schedules import Cosine

LONGER, ADAM_LONGER = 10.0, 100.0
"""How many times as long as lm the other solvers and Adam may take."""
SOLVERS = ("br", "bfgs", "lbfgs", "newton-cg")
RATES = (0.001, 0.003, 0.01, 0.03, 0.1)
TRIAL = 10_000
"""The seed of the trial, which takes no part."""


@dataclass(frozen=True)
class Problem:
    """Data, held-out data, a network, a penalty, and the root mean square error to be reached (None: that of lm)."""

    name: str
    X: np.ndarray
    Y: np.ndarray
    held_out: tuple[np.ndarray, np.ndarray] | None
    net: gn.Network
    target: float | None
    l2: float = 0.0
    iterations: int = 3000

    @property
    def objective(self) -> gn.Objective:
        return gn.Objective(self.net, "squared_error", l2=self.l2)

    def error(self, theta: np.ndarray, held_out: bool = False) -> float:
        """Root mean square error."""
        X, Y = self.held_out if held_out and self.held_out else (self.X, self.Y)
        return float(np.sqrt(np.mean((self.net.forward(theta, X).output - Y) ** 2)))


def franke(xy: np.ndarray) -> np.ndarray:
    """Franke's function on the unit square (Franke 1979)."""
    x, y = 9 * xy[:, :1], 9 * xy[:, 1:]
    return (
        0.75 * np.exp(-((x - 2) ** 2 + (y - 2) ** 2) / 4)
        + 0.75 * np.exp(-((x + 1) ** 2) / 49 - (y + 1) / 10)
        + 0.5 * np.exp(-((x - 7) ** 2 + (y - 3) ** 2) / 4)
        - 0.2 * np.exp(-((x - 4) ** 2) - (y - 7) ** 2)
    )


def square(n: int) -> np.ndarray:
    """A grid of n x n points on the unit square."""
    axis = np.linspace(0, 1, n)
    return np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)


def tanh_net(*sizes: int) -> gn.Network:
    return gn.Network(sizes[0], [*(gn.Dense(n, "tanh") for n in sizes[1:-1]), gn.Dense(sizes[-1])])


def problems() -> list[Problem]:
    line, between = np.linspace(-1, 1, 101)[:, None], np.linspace(-1, 1, 1000)[:, None]
    points, fresh = square(21), square(50)
    X, y = load_diabetes(return_X_y=True)
    order = np.random.default_rng(0).permutation(len(X))
    X, y = X[order], y[order, None]
    X, y = (X - X[:332].mean(axis=0)) / X[:332].std(axis=0), (y - y[:332].mean()) / y[:332].std()
    return [
        Problem("study_hours", study_hours.X, study_hours.Y, None, study_hours.NET, (2e-20 / 3) ** 0.5, iterations=60),
        Problem("sinc", line, np.sinc(3 * line), (between, np.sinc(3 * between)), tanh_net(1, 10, 1), 1e-4),
        Problem("franke", 2 * points - 1, franke(points), (2 * fresh - 1, franke(fresh)), tanh_net(2, 10, 10, 1), 3e-4),
        Problem("diabetes", X[:332], y[:332], (X[332:], y[332:]), tanh_net(10, 5, 1), None, l2=0.03, iterations=300),
    ]


@dataclass(frozen=True)
class Outcome:
    """Seconds to the target (infinite where it was not reached), seconds in all, errors at the end."""

    reached: float
    seconds: float
    error: float
    held_out: float


def outcome(problem: Problem, run: gn.Run, least: float, seconds: float) -> Outcome:
    losses, clock = run.history["loss"], run.history["seconds"]
    good = np.flatnonzero(losses <= least)
    reached = float(clock[good[0]]) if good.size else float("inf")
    return Outcome(reached, seconds, problem.error(run.theta), problem.error(run.theta, held_out=True))


def timed(work: Callable[[], gn.Run]) -> tuple[gn.Run, float]:
    begin = time.perf_counter()
    run = work()
    return run, time.perf_counter() - begin


def solve(problem: Problem, start: np.ndarray, method: str, least: float, budget: float) -> tuple[gn.Run, float]:
    """Run a solver until the loss is at most `least` or the time is over ("br": until it is settled)."""
    objective = gn.Objective(problem.net, "squared_error") if method == "br" else problem.objective
    ends = [gn.TimeBudget(budget)] + ([gn.TargetReached(least)] if method != "br" else [])
    most = problem.iterations if method == "lm" else 10**7
    tolerance = 1e-6 if method == "br" or (problem.target is None and method == "lm") else 0.0
    return timed(
        lambda: gn.minimize(
            objective, start, problem.X, problem.Y, method=method, max_iter=most, tolerance=tolerance, callbacks=ends
        )
    )


def adam(problem: Problem, start: np.ndarray, budget: float, batch: int, rate: float) -> tuple[gn.Run, float]:
    """Run Adam for about `budget` seconds: the epochs that fit are measured first."""

    def train(epochs: int) -> gn.Run:
        steps = epochs * -(-len(problem.X) // batch)
        return gn.train(
            problem.objective, start, problem.X, problem.Y, optimizer=gn.Adam(Cosine(rate, steps)), epochs=epochs,
            batch_size=batch, rng=0, engine="numba",
        )  # fmt: skip

    train(2)
    epochs, seconds = 200, 0.0
    while seconds < min(0.05, budget / 10):
        epochs *= 2
        seconds = timed(partial(train, epochs))[1]
    return timed(partial(train, max(2, int(epochs * budget / seconds))))


def best_adam(problem: Problem, budget: float) -> tuple[int, float]:
    """Return batch and rate that end with the lowest J within a tenth of the time, from a start of their own."""
    start = problem.net.init(TRIAL)
    ends = {}
    for batch in sorted({len(problem.X), min(32, len(problem.X))}):
        for rate in RATES:
            run = adam(problem, start, budget / 10, batch, rate)[0]
            ends[batch, rate] = float(problem.objective.value(run.theta, problem.X, problem.Y))
    return min(ends, key=lambda key: ends[key])


def one_seed(problem: Problem, seed: int, tuned: tuple[int, float], share: float) -> dict[str, Outcome] | None:
    """Return what everybody reaches; None where lm itself ends in a local minimum."""
    start = problem.net.init(seed)
    least = 0.0 if problem.target is None else 0.5 * problem.target**2
    run, seconds = solve(problem, start, "lm", least, 1e9)
    if problem.target is None:
        least = run.loss * 1.0001
    found = {"lm": outcome(problem, run, least, seconds)}
    if not np.isfinite(found["lm"].reached):
        return None
    budget = share * found["lm"].reached
    for method in SOLVERS:
        run, seconds = solve(problem, start, method, least, LONGER * budget)
        found[method] = outcome(problem, run, least, seconds)
    run, seconds = adam(problem, start, ADAM_LONGER * budget, *tuned)
    found["adam"] = outcome(problem, run, least, seconds)
    return found


def summary(problem: Problem, seeds: list[dict[str, Outcome]]) -> dict[str, dict[str, float]]:
    table = {}
    for name in seeds[0]:
        rows = [found[name] for found in seeds]
        ratios = [found[name].reached / found["lm"].reached for found in seeds]
        table[name] = {
            "reached": sum(bool(np.isfinite(row.reached)) for row in rows),
            "ratio": statistics.median(ratios),
            "seconds": statistics.median(row.seconds for row in rows),
            "error": statistics.median(row.error for row in rows),
            "held_out": statistics.median(row.held_out for row in rows),
        }
    return table


def show(
    problem: Problem, table: dict[str, dict[str, float]], tried: int, solved: int, tuned: tuple[int, float]
) -> None:
    goal = "where lm ends" if problem.target is None else f"RMSE {problem.target:.1e}"
    print(
        f"\n{problem.name}: {len(problem.X)} rows, {problem.net.n_parameters} weights, target {goal}; lm reached "
        f"it from {solved} of {tried} starts; Adam: batch {tuned[0]}, rate {tuned[1]:g}"
    )
    print(f"{'':10} {'reached':>8} {'time / lm':>10} {'seconds':>9} {'RMSE':>9} {'held out':>9}")
    for name, row in table.items():
        ratio = f"{row['ratio']:.1f}" if np.isfinite(row["ratio"]) else "never"
        print(
            f"{name:10} {row['reached']:>4}/{solved:<3} {ratio:>10} {row['seconds']:9.3f} {row['error']:9.1e} "
            f"{row['held_out']:9.1e}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--only", nargs="*", help="names of problems")
    parser.add_argument("--quick", action="store_true", help="a tenth of the time for all but lm, two seeds")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    share, count = (0.1, 2) if args.quick else (1.0, args.seeds)
    about = facts()
    print("; ".join(f"{key} {value}" for key, value in about.items()))
    report = {}
    for problem in problems():
        if args.only and problem.name not in args.only:
            continue
        warm_up = [solve(problem, problem.net.init(TRIAL), method, 0.0, 0.2) for method in ("lm", *SOLVERS)]
        assert all(np.isfinite(run.loss) for run, _ in warm_up)
        trial = solve(problem, problem.net.init(TRIAL), "lm", 0.5 * (problem.target or 0.0) ** 2, 1e9)[0]
        tuned = best_adam(problem, share * ADAM_LONGER * float(trial.history["seconds"][-1]))
        found = [one_seed(problem, seed, tuned, share) for seed in range(count)]
        solved = [one for one in found if one is not None]
        table = summary(problem, solved)
        show(problem, table, count, len(solved), tuned)
        report[problem.name] = {"starts": count, "solved": len(solved), "adam": tuned, "table": table}
    if args.json:
        args.json.write_text(json.dumps({**about, "share": share, "problems": report}, indent=1))


if __name__ == "__main__":
    main()
