"""A whole search: 49 settings x 5 folds of scikit-learn's digits, `glassnet.search.grid` beside `GridSearchCV`.

    python -m benchmarks.search

Both search with their own MLPClassifier, the same arguments and `random_state`, so that they train the same networks
(glassnet divides the penalty by the rows of the data, scikit-learn by those of the batch: each alpha is translated).
scikit-learn gets a process for each core with one BLAS thread in each, which is the best its users can have. Searches
take turns; the first one of each only warms up. The compiled code of glassnet is on the disk.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
import warnings

import numpy as np
from joblib import parallel_config
from sklearn import neural_network
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

import glassnet as gn
from glassnet import search

RATES = np.geomspace(3e-4, 3e-2, 7)
ALPHAS = np.geomspace(1e-5, 1e-1, 7)
FOLDS, BATCH = 5, 100
OPTIONS = {"hidden_layer_sizes": (50,), "batch_size": BATCH, "random_state": 0}


def data() -> tuple[np.ndarray, np.ndarray]:
    X, y = load_digits(return_X_y=True)
    return (X / 16).astype(np.float32), y


def ours(epochs: int) -> GridSearchCV:
    X, y = data()
    rows = len(X) * (FOLDS - 1) / FOLDS
    model = gn.MLPClassifier(**OPTIONS, max_iter=epochs)
    space = {"learning_rate_init": RATES, "alpha": ALPHAS * rows / BATCH}
    return search.grid(model, space, X, y, cv=FOLDS, refit=False)


def theirs(epochs: int) -> GridSearchCV:
    X, y = data()
    model = neural_network.MLPClassifier(**OPTIONS, max_iter=epochs)
    with parallel_config("loky", n_jobs=os.cpu_count(), inner_max_num_threads=1):
        return GridSearchCV(model, {"learning_rate_init": RATES, "alpha": ALPHAS}, cv=FOLDS, refit=False).fit(X, y)


def cell(found: GridSearchCV) -> tuple[int, float, float]:
    """Return the index of the best cell, its score and the standard error of that."""
    results = found.cv_results_
    best = int(np.argmax(results["mean_test_score"]))
    return best, results["mean_test_score"][best], results["std_test_score"][best] / (FOLDS - 1) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--epochs", type=int, default=100, help="at most so many; both stop where the loss stands still"
    )
    args = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)  # many cells reach the last epoch: they are to be compared so
    os.environ["PYTHONWARNINGS"] = "ignore"  # in scikit-learn's processes too
    times: dict[str, list[float]] = {"glassnet": [], "scikit-learn": []}
    searches = {"glassnet": ours, "scikit-learn": theirs}
    found = {}
    for run in searches.values():
        run(2)
    for _ in range(args.repeats):
        for name, run in searches.items():
            begin = time.perf_counter()
            found[name] = run(args.epochs)
            times[name].append(time.perf_counter() - begin)
    for name, seconds in times.items():
        best, score, error = cell(found[name])
        where = found[name].cv_results_["params"][best]
        print(
            f"{name:13} {statistics.median(seconds):6.2f} s ({min(seconds):.2f} .. {max(seconds):.2f})  "
            f"best {score:.4f} +- {error:.4f} at { ({k: float(f'{v:.3g}') for k, v in where.items()}) }"
        )
    ratios = [a / b for a, b in zip(times["scikit-learn"], times["glassnet"], strict=True)]
    print(f"glassnet is {statistics.median(ratios):.1f} times faster ({min(ratios):.1f} .. {max(ratios):.1f})")
    scores = [found[name].cv_results_["mean_test_score"] for name in searches]
    at = int(np.argmax(scores[0]))
    print(
        f"glassnet's best cell scores {scores[1][at]:.4f} in scikit-learn's search, whose best is {scores[1].max():.4f}"
    )


if __name__ == "__main__":
    main()
