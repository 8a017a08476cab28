"""Fit for an hour, in every way there is, and see whether memory stays flat.

    python -m benchmarks.soak --minutes 60

One process goes through a round of fits of all kinds again and again: every rule in both engines, layers, schedules,
callbacks, weights, runs that diverge, solvers, streams, populations, estimators, files. What it holds afterwards
(anonymous memory, RssAnon of /proc/self/status, and open files and threads) is noted after each round. Growth is the
median of the last tenth of the rounds less the median of a tenth after the first fifth, which warms up.
"""

from __future__ import annotations

import argparse
import gc
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from sklearn.exceptions import ConvergenceWarning

import glassnet as gn
from benchmarks.large import MB, anonymous

RNG = np.random.default_rng(0)
X = RNG.normal(size=(512, 16))
Y = np.sin(X[:, :2]) * X[:, 2:4]
LABELS = (Y[:, 0] > 0).astype(int)
RULES = [
    gn.SGD(0.01), gn.SGD(0.01, momentum=0.9, nesterov=True), gn.AdaGrad(0.01), gn.RMSProp(1e-3), gn.Adam(1e-3),
    gn.AdamW(1e-3), gn.NAdam(1e-3), gn.ClipNorm(gn.Adam(gn.schedules.Cosine(1e-2, 64)), 0.5),
]  # fmt: skip
PLAIN = gn.Network(16, [gn.Dense(32, "tanh"), gn.Dense(2)])
LAYERED = gn.Network(
    16, [gn.Dense(32, "relu"), gn.Dropout(0.1), gn.BatchNorm(), gn.Dense(16), gn.LayerNorm(), gn.Dense(2)]
)
WIDE = gn.Network(16, [gn.Dense(512, "relu"), gn.Dense(512, "relu"), gn.Dense(2)])
SLACK = 4.0
"""Megabytes that may come and go: what the allocator keeps at hand."""


# ---- the kinds of fits ----------------------------------------------------------------------------------------------


def trained(net: gn.Network = PLAIN, **options: Any) -> gn.Run:
    objective = gn.Objective(net, "squared_error", l2=1e-4)
    return gn.train(objective, net.init(rng=0), X, Y, **{"epochs": 3, **options})


def rules() -> None:
    for engine in ("numba", "numpy"):
        for rule in RULES:
            trained(optimizer=rule, engine=engine)
            trained(LAYERED, optimizer=rule, engine=engine, average=0.9)


def teams() -> None:
    trained(WIDE, engine="numba", epochs=1, batch_size=256, n_threads=2)


def watched() -> None:
    callbacks = [gn.EarlyStopping(2), gn.ReduceOnPlateau(0.5, 1)]
    for engine in ("numba", "numpy"):
        trained(engine=engine, validation=(X[:64], Y[:64]), metrics={"r2": gn.r2}, callbacks=callbacks, epochs=20)


def diverging() -> None:
    for engine in ("numba", "numpy"):
        if trained(engine=engine, optimizer=gn.SGD(1e9), epochs=20).status != "diverged":
            raise AssertionError("a rate of 1e9 should diverge")


def stored() -> None:
    with tempfile.TemporaryDirectory() as folder:
        trained(callbacks=[gn.Checkpoint(folder)], engine="numba")
        run = trained(callbacks=[gn.Checkpoint(folder)], engine="numba", epochs=6, resume=folder)
        gn.save(Path(folder, "model.safetensors"), PLAIN, run.theta)
        gn.load(Path(folder, "model.safetensors"))


def streams() -> None:
    objective = gn.Objective(PLAIN, "squared_error")
    for engine in ("numba", "numpy"):
        for rows in (32, 200):
            gn.train_batches(objective, PLAIN.init(rng=0), gn.cut_batches(X, Y, rows=rows), epochs=2, engine=engine)


def solved() -> None:
    objective = gn.Objective(PLAIN, "squared_error")
    for method in ("lbfgs", "bfgs", "cg", "newton-cg", "lm", "br"):
        gn.minimize(objective, PLAIN.init(rng=0), X, Y, method=method, max_iter=2)


def populations() -> None:
    same = {"objective": gn.Objective(PLAIN, "squared_error"), "theta": PLAIN.init(rng=0), "X": X, "Y": Y, "epochs": 3}
    gn.train_many([{**same, "optimizer": gn.SGD(rate)} for rate in (1e-3, 1e-2, 1e-1)])


def estimators() -> None:
    options = {"hidden_layer_sizes": (16,), "max_iter": 5, "random_state": 0}
    for solver in ("adam", "sgd", "lbfgs"):
        gn.MLPRegressor(solver=solver, **options).fit(X, Y)
        gn.MLPClassifier(solver=solver, **options).fit(X, LABELS).predict_proba(X)
    gn.MLPClassifier(early_stopping=True, dropout=0.1, batch_norm=True, **options).fit(X, LABELS)
    gn.Autoencoder((4,), max_iter=5, random_state=0).fit(X).transform(X)
    model = gn.MLPClassifier(hidden_layer_sizes=(16,), random_state=0)
    for _ in range(5):
        model.partial_fit(X, LABELS, classes=[0, 1])


KINDS: dict[str, Callable[[], None]] = {
    "rules": rules, "teams": teams, "watched": watched, "diverging": diverging, "stored": stored, "streams": streams,
    "solved": solved, "populations": populations, "estimators": estimators,
}  # fmt: skip


def leak(held: list[bytes]) -> None:
    """The planted fault: half a megabyte that stays."""
    held.append(RNG.bytes(2**19))


# ---- the hour -----------------------------------------------------------------------------------------------------


def round_of_fits() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fits of five iterations
        for fit in KINDS.values():
            fit()


def note() -> tuple[float, int, int]:
    """Return what this process holds: MB of its own, open files, threads."""
    gc.collect()
    return anonymous() / MB, len(list(Path("/proc/self/fd").iterdir())), threading.active_count()


def growth(values: list[float]) -> tuple[float, float]:
    """Return the median of a tenth after the first fifth, and that of the last tenth."""
    tenth, fifth = max(1, len(values) // 10), len(values) // 5
    return median(values[fifth : fifth + tenth]), median(values[-tenth:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--leak", action="store_true", help="plant a fault: keep half a megabyte a round")
    args = parser.parse_args()
    begin, noted, held = time.monotonic(), [], []
    while time.monotonic() - begin < 60 * args.minutes or len(noted) < 10:
        round_of_fits()
        if args.leak:
            leak(held)
        noted.append(note())
        if len(noted) in (1, 2, 5) or len(noted) % 20 == 0:
            minutes = (time.monotonic() - begin) / 60
            print(
                f"{minutes:6.1f} min  round {len(noted):5d}  {noted[-1][0]:7.1f} MB  files {noted[-1][1]}", flush=True
            )
    before, after = growth([own for own, _, _ in noted])
    files, threads = noted[-1][1] - noted[1][1], noted[-1][2] - noted[1][2]
    print(
        f"{len(noted)} rounds in {(time.monotonic() - begin) / 60:.1f} minutes: {before:.1f} MB after warming up, "
        f"{after:.1f} MB at the end, {after - before:+.1f} MB; open files {files:+d}, threads {threads:+d}"
    )
    sys.exit(after - before > SLACK or files > 0 or threads > 0)


if __name__ == "__main__":
    main()
