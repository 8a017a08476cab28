"""Whole fits of the estimators beside scikit-learn's: the same arguments, data and number of epochs, in turns.

    python -m benchmarks.fits                   every size, solver and task
    python -m benchmarks.fits --only digits     one row of the table (a part of its name is enough)

A row is `MLPClassifier` or `MLPRegressor` with its defaults (100 ReLU units, alpha 1e-4) on data of that size; fits
stop after the same number of epochs in both (tol=0; L-BFGS where its own tests end it). Each fit is long enough to be
timed, so small data get more epochs. Everything is loaded, and compiled code is on the disk. The two take turns, with
a rest before each: so long the threads of a BLAS wait for more work and hold the cores. The ratio is the median of
theirs.
"""

from __future__ import annotations

import argparse
import statistics
import time
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning

import glassnet as gn
from benchmarks.machine import facts
from benchmarks.timing import REST
from glassnet.warming import warm_up

ROWS = (20, 200, 2_000, 20_000, 100_000)
COLUMNS = (2, 10, 100, 1_000)
BUDGET = 1e10
"""Multiplications of one fit, about: rows x weights x epochs."""


class Case(NamedTuple):
    """One row of the table."""

    name: str
    estimator: str
    X: np.ndarray
    y: np.ndarray
    options: dict[str, Any]


def digits() -> Iterator[Case]:
    X, y = load_digits(return_X_y=True)
    for dtype in (np.float64, np.float32):
        scaled = (X / 16).astype(dtype)
        for solver, epochs in (("adam", 30), ("sgd", 30), ("lbfgs", 60)):
            options = {"solver": solver, "max_iter": epochs}
            yield Case(f"digits {np.dtype(dtype)} {solver}", "MLPClassifier", scaled, y, options)
    book = {"solver": "sgd", "max_iter": 30, "hidden_layer_sizes": (50,), "activation": "logistic", "batch_size": 100}
    yield Case("digits float32 sgd, 50 sigmoid units", "MLPClassifier", (X / 16).astype(np.float32), y, book)
    small = {"solver": "adam", "max_iter": 30, "hidden_layer_sizes": (20,)}
    yield Case("digits float32 adam, 20 units", "MLPClassifier", (X / 16).astype(np.float32), y, small)


def sizes() -> Iterator[Case]:
    rng = np.random.default_rng(0)
    for n in ROWS:
        for d in COLUMNS:
            X = rng.standard_normal((n, d))
            signal = X @ rng.standard_normal(d) / d**0.5 + 0.3 * rng.standard_normal(n)
            epochs = int(np.clip(BUDGET / (n * 100 * (d + 1) * 6), 2, 200))
            for solver in ("adam", "lbfgs"):
                options = {"solver": solver, "max_iter": epochs}
                yield Case(f"{n} x {d} classes {solver}", "MLPClassifier", X, (signal > 0).astype(int), options)
            yield Case(f"{n} x {d} regression adam", "MLPRegressor", X, signal, {"solver": "adam", "max_iter": epochs})


def fit(library: Any, case: Case) -> tuple[float, Any]:
    """Return the seconds of one fit, and the model."""
    ends = {} if case.options["solver"] == "lbfgs" else {"tol": 0.0, "n_iter_no_change": 10**6}
    model = getattr(library, case.estimator)(random_state=0, **ends, **case.options)
    time.sleep(REST)
    begin = time.perf_counter()
    model.fit(case.X, case.y)
    return time.perf_counter() - begin, model


def measure(case: Case, repeats: int) -> None:
    """Print the medians of a case; both must have made the same epochs."""
    times: dict[str, list[float]] = {"glassnet": [], "scikit-learn": []}
    models = {}
    for repeat in range(repeats + 1):
        for name, library in (("glassnet", gn), ("scikit-learn", neural_network)):
            seconds, models[name] = fit(library, case)
            if repeat:  # the first one warms up
                times[name].append(seconds)
    ours, theirs = models["glassnet"], models["scikit-learn"]
    note = "" if ours.n_iter_ == theirs.n_iter_ else f"  iterations {ours.n_iter_}, {theirs.n_iter_}"
    ratios = [b / a for a, b in zip(*times.values(), strict=True)]
    print(
        f"| {case.name} | {ours.n_iter_} | {statistics.median(times['glassnet']) * 1e3:,.1f} "
        f"| {statistics.median(times['scikit-learn']) * 1e3:,.1f} | {statistics.median(ratios):.1f} "
        f"| {min(ratios):.1f} to {max(ratios):.1f} |{note}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--only", default="", help="cases with this in their name")
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # both are stopped after the same number of epochs
    print(", ".join(f"{name} {value}" for name, value in facts().items()))
    warm_up()
    fit(gn, next(digits()))  # loads the compiled engine
    print("| data, solver | epochs | glassnet, ms | scikit-learn, ms | times faster | spread |")
    print("| --- | --- | --- | --- | --- | --- |")
    for cases in (digits, sizes):
        for case in cases():
            if args.only in case.name:
                measure(case, args.repeats)


if __name__ == "__main__":
    main()
