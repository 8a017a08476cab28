"""The grid: 49 networks 64-50-10 on scikit-learn's digits, 7 learning rates x 7 penalties, 100 epochs each.

Whole fits and the score of each on held-out rows, as a search does it: `gn.train_many` (or one `gn.train` after the
other where that does not exist) beside `GridSearchCV` with one split, no refit, and as many processes as cores. Both
train on the same rows in the same order; scikit-learn draws its own starting weights.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import glassnet as gn
from benchmarks.timing import Timings
from benchmarks.workloads import pixels

RATES = np.geomspace(0.02, 2.0, 7)
ALPHAS = np.geomspace(1e-5, 1e-1, 7)
ROWS, EPOCHS, BATCH = 1400, 100, 100


def data(dtype: str) -> tuple[np.ndarray, np.ndarray]:
    X, labels = pixels("digits")
    return np.ascontiguousarray(X, dtype), labels


def ours(dtype: str, engine: str, cores: int) -> float:
    """Return the best score."""
    X, labels = data(dtype)
    Y = np.eye(10, dtype=dtype)[labels]
    net = gn.Network(64, [gn.Dense(50, "sigmoid"), gn.Dense(10, "softmax")])
    theta = net.init(0, dtype)
    runs = [
        {
            "objective": gn.Objective(net, "cross_entropy", l2=float(alpha) / ROWS, engine=engine),
            "theta": theta, "X": X[:ROWS], "Y": Y[:ROWS], "optimizer": gn.SGD(float(rate)), "epochs": EPOCHS,
            "batch_size": BATCH, "sampling": "sequential",
        }
        for rate in RATES for alpha in ALPHAS
    ]  # fmt: skip
    many = getattr(gn, "train_many", None)
    results = many(runs, n_threads=cores) if many else [gn.train(**run) for run in runs]
    outputs = (net.forward(run.theta, X[ROWS:]).output for run in results)
    return max(float(np.mean(output.argmax(axis=1) == labels[ROWS:])) for output in outputs)


def by_sklearn(dtype: str, cores: int) -> float:
    from joblib import parallel_config
    from sklearn.model_selection import GridSearchCV, PredefinedSplit
    from sklearn.neural_network import MLPClassifier

    X, labels = data(dtype)
    fold = np.where(np.arange(len(X)) < ROWS, -1, 0)
    # from the second epoch on none is good enough for this tol: it stops after exactly EPOCHS, without a warning
    exactly = {"tol": 1e30, "n_iter_no_change": EPOCHS - 2, "max_iter": EPOCHS + 1}
    model = MLPClassifier(
        (50,), activation="logistic", solver="sgd", momentum=0.0, nesterovs_momentum=False, batch_size=BATCH,
        shuffle=False, random_state=0, **exactly,
    )  # fmt: skip
    grid = {"learning_rate_init": RATES, "alpha": ALPHAS}
    search = GridSearchCV(model, grid, cv=PredefinedSplit(fold), refit=False)
    if cores == 1:
        return float(search.fit(X, labels).best_score_)
    with parallel_config("loky", n_jobs=cores, inner_max_num_threads=1):  # each process would take all cores
        return float(search.fit(X, labels).best_score_)


def measure_grid(dtype: str, engine: str, cores: int, repeats: int) -> Timings:
    """Time whole searches in turn; microseconds are those of a step of one network."""
    steps = len(RATES) * len(ALPHAS) * EPOCHS * ROWS // BATCH
    timings = Timings(f"grid: 49 networks 64-50-10 on digits, {EPOCHS} epochs each", steps)
    searches: dict[str, Callable[[], float]] = {"glassnet": lambda: ours(dtype, engine, cores)}
    try:
        import sklearn.model_selection  # noqa: F401
    except ImportError as error:
        timings.absent["scikit-learn"] = str(error)
    else:
        searches["scikit-learn"] = lambda: by_sklearn(dtype, cores)
    timings.kinds = {name: "glassnet" if name == "glassnet" else "peer" for name in searches}
    if "train_many" not in gn.__all__:
        timings.ways["glassnet"] = "one gn.train after the other: there is no gn.train_many"
    for _ in range(repeats):
        for name, search in searches.items():
            begin = time.perf_counter()
            score = search()
            timings.micros.setdefault(name, []).append((time.perf_counter() - begin) / steps * 1e6)
            timings.losses[name] = 1.0 - score
    worst = max(timings.losses.values()) - min(timings.losses.values())
    if worst > 0.03:
        raise RuntimeError(f"grid: the best networks read differently well: errors {timings.losses}")
    return timings
