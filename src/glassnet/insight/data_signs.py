"""What the data say before any training: inputs, targets, and whether the one tells anything about the other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.findings import Finding, Remedy, Severity
from glassnet.insight.patient import Case
from glassnet.insight.remedies import Change, arguments, python
from glassnet.layers import BatchNorm, LayerNorm

__all__ = ["FEWEST", "data_findings", "finding", "neighbour_score", "signal"]

FEWEST = 20
"""Below so many rows nothing is said about leaks, balance and signal: chance alone would speak."""
LARGE, UNEVEN, SMALL = 10.0, 30.0, 0.1
"""Inputs are unscaled where a column's root mean square is above LARGE, where it is UNEVEN times the typical one, or
where no column reaches SMALL."""
MOST_ROWS = 1000
"""Of more rows, so many are looked at, evenly spaced."""
ROWS = 200
"""So many rows are compared with each other for the signal."""


def finding(
    case: Case,
    code: str,
    where: str,
    severity: Severity,
    evidence: dict[str, float],
    explanation: str,
    *changes: Change,
) -> Finding:
    """Return a finding whose remedy is these changes of the case."""
    remedy = Remedy(arguments(case, changes), python(case, changes), changes)
    return Finding(code, where, severity, evidence, explanation, remedy)


def data_findings(case: Case) -> Iterator[Finding]:
    """Return the findings on inputs and targets, causes of the most first."""
    rows = np.linspace(0, len(case.X) - 1, min(len(case.X), MOST_ROWS)).astype(int)
    X, Y = case.X[rows].astype(np.float64, copy=False), case.Y[rows].astype(np.float64, copy=False)
    varies = X.std(axis=0) > 1e-12 * (1e-300 + np.abs(X).max(axis=0))
    constant = constant_target(case, case.Y)
    yield from constant
    if constant:
        return
    yield from leaks(case, X, Y, varies)
    yield from target_scale(case, Y)
    yield from input_scale(case, X, varies)
    yield from no_signal(case, X, Y, varies)
    yield from imbalance(case, case.Y)
    yield from useless_columns(case, X, varies)


def constant_target(case: Case, Y: Array) -> list[Finding]:
    """Say where no target varies."""
    if len(Y) < 2 or np.ptp(Y, axis=0).max() > 0:
        return []
    return [
        finding(
            case, "labels_constant", "y", "error", {"different values of y": 1, "rows": len(Y)},
            "Every row has the same target, so there is nothing to tell apart. "
            "Any network reaches a perfect score by its output bias alone, and it means nothing.",
            Change("data", "print(np.unique(y, return_counts=True))  # was y filtered, or sorted and then cut?"),
        )
    ]  # fmt: skip


def leaks(case: Case, X: Array, Y: Array, varies: Array) -> Iterator[Finding]:
    """Say which columns are the target itself, up to a shift and a factor, in its order, or a name for each class."""
    if len(X) < FEWEST or X.shape[1] < 2:
        return
    x, y = _standardised(X), _standardised(Y)
    r = np.abs(x.T @ y) / len(X)  # correlations of each column with each target
    if not case.is_classes:  # a column that a pipeline has bent still has the order of the target
        r = np.maximum(r, np.abs(_standardised(_ranks(X)).T @ _standardised(_ranks(Y))) / len(X))
    same = (r > 1 - 1e-6).any(axis=1)
    if case.is_classes and Y.shape[1] > 1:
        counts = Y.sum(axis=0)
        means = (Y.T @ x) / np.maximum(counts, 1)[:, None]
        within = 1.0 - (counts[:, None] * means**2).sum(axis=0) / len(X)
        gaps = np.abs(np.diff(np.sort(means[counts > 0], axis=0), axis=0)).min(axis=0)
        same |= (within < 1e-9) & (gaps > 1e-6)
    columns = np.flatnonzero(same & varies)
    if len(columns):
        yield finding(
            case, "leak", case.columns(columns), "error",
            {"columns that tell the target": len(columns), "correlation with the target": float(r[columns].max())},
            "These columns hold the answer: each value belongs to one target, exactly. "
            "A score that is reached with them will not be reached on new rows, where the answer is not known.",
            Change("drop_columns", columns),
        )  # fmt: skip


def target_scale(case: Case, Y: Array) -> Iterator[Finding]:
    """Say where the numbers to be predicted are far from the size of an output of the network."""
    if case.is_classes or case.net.layers[-1].function.name != "identity":
        return
    mean, std = Y.mean(axis=0), Y.std(axis=0)
    rms = np.sqrt(mean**2 + std**2)
    if 0.03 <= rms.max() <= 10:
        return
    yield finding(
        case, "targets_unscaled", "y", "warning",
        {"largest root mean square": float(rms.max()), "mean of that target": float(mean[rms.argmax()]),
         "standard deviation of it": float(std[rms.argmax()])},
        "The targets are far from the size of the outputs at the start, which is about 1. "
        "The first gradients are as large (or as small) as they are, and the rate fits neither them nor what follows.",
        Change("scale_targets", (mean, np.where(std > 0, std, 1.0))),
    )  # fmt: skip


def input_scale(case: Case, X: Array, varies: Array) -> Iterator[Finding]:
    """Say where columns are too large, too small, or too unequal for one learning rate."""
    rms = np.sqrt((X * X).mean(axis=0))[varies]
    if not len(rms):
        return
    largest, typical = float(rms.max()), float(np.median(rms))
    too_small = largest < SMALL
    if not too_small and largest <= LARGE and (largest <= 1 or largest <= UNEVEN * typical):
        return
    forgiving = len(case.net.layers) > 1 and isinstance(case.net.layers[1], BatchNorm | LayerNorm)
    columns = np.flatnonzero(varies)[np.argsort(-rms)]
    spread = X.std(axis=0)
    like_pixels = not too_small and largest <= UNEVEN * typical and X.min() >= 0
    how = (0.0, float(np.abs(X).max())) if like_pixels else (X.mean(axis=0), np.where(varies, spread, 1.0))
    words = "small" if too_small else "large" if largest > LARGE else "unequal"
    yield finding(
        case, "inputs_unscaled", case.columns(columns), "note" if forgiving and not too_small else "warning",
        {"largest root mean square of a column": largest, "the same of a typical column": typical},
        f"The inputs are too {words}: a weight's gradient grows with its input, and one rate has to serve all weights. "
        "Bring every column to mean 0 and standard deviation 1 (or pixels to 0 to 1), with the training rows' numbers.",
        Change("scale", how),
    )  # fmt: skip


def no_signal(case: Case, X: Array, Y: Array, varies: Array) -> Iterator[Finding]:
    """Say where neither neighbours nor any single column tell more about the target than chance."""
    if len(X) < 3 * FEWEST:
        return
    score, chance, sd = signal(case.is_classes, X[:, varies], Y)
    x, y = _standardised(X[:, varies]), _standardised(Y)
    strongest = float(np.abs(x.T @ y).max() / np.sqrt(len(X))) if varies.any() else 0.0
    pairs = max(int(varies.sum()) * Y.shape[1], 1)
    bound = float(np.sqrt(2 * np.log(2 * pairs / 0.02)))  # chance passes it in fewer than 2 of 100 data sets
    if score > chance + 2.5 * sd or strongest > bound:
        return
    what = "nearest neighbours: share right" if case.is_classes else "nearest neighbours: correlation"
    yield finding(
        case, "no_signal", "X and y", "warning",
        {what: score, "the same by chance": chance, "strongest column (standard errors)": strongest},
        "Rows that are alike do not have alike targets, and no column goes with the target more than chance would. "
        "Rows and targets may have been put into different orders; a network can only learn such data by heart.",
        Change("data", "X, y = X_raw, y_raw  # go back to where both came from: were they shuffled or joined apart?"),
    )  # fmt: skip


def signal(is_classes: bool, X: Array, Y: Array) -> tuple[float, float, float]:
    """Return how well neighbours predict: score, what chance gives, and the standard deviation of that.

    For classes the share of rows whose nearest other row has their class; for numbers the correlation with the mean of
    the five nearest. At most `ROWS` rows, evenly spaced, and columns in units of their standard deviation.
    """
    if X.shape[1] == 0:
        return 0.0, 0.0, 1.0
    rows = np.linspace(0, len(X) - 1, min(len(X), ROWS)).astype(int)
    near = _neighbours(_standardised(X)[rows], 1 if is_classes else 5)
    Y = Y[rows]
    if is_classes:
        label = Y[:, 0] if Y.shape[1] == 1 else Y.argmax(axis=1)
        shares = np.unique(label, return_counts=True)[1] / len(label)
        chance = float((shares**2).sum())
        return float((label[near[:, 0]] == label).mean()), chance, float(np.sqrt(chance * (1 - chance) / len(label)))
    guess, y = _standardised(Y[near].mean(axis=1)), _standardised(Y)
    return float((guess * y).mean(axis=0).max()), 0.0, float(np.sqrt(1.0 / len(y)))


def neighbour_score(case: Case) -> float:
    """Return the accuracy of the nearest neighbour, or the R2 of the five nearest, for rows left out in turn."""
    X = case.X[:, case.X.std(axis=0) > 0].astype(np.float64)
    if X.shape[1] == 0:
        return 0.0
    rows = np.linspace(0, len(X) - 1, min(len(X), ROWS)).astype(int)
    Y = case.Y[rows].astype(np.float64)
    near = _neighbours(_standardised(X)[rows], 1 if case.is_classes else 5)
    if case.is_classes:
        label = Y[:, 0] if Y.shape[1] == 1 else Y.argmax(axis=1)
        return float((label[near[:, 0]] == label).mean())
    spread = float(((Y - Y.mean(axis=0)) ** 2).sum())
    return 1.0 - float(((Y - Y[near].mean(axis=1)) ** 2).sum()) / spread if spread else 0.0


def _neighbours(x: Array, k: int) -> Array:
    """Return the k nearest other rows of each row, (m, k)."""
    squares = (x * x).sum(axis=1)
    distance = squares[:, None] + squares - 2.0 * (x @ x.T)
    np.fill_diagonal(distance, np.inf)
    return np.argpartition(distance, k - 1, axis=1)[:, :k]


def imbalance(case: Case, Y: Array) -> Iterator[Finding]:
    """Say where one class has ten times the rows of another, and rows are not weighted."""
    if not case.is_classes or len(Y) < FEWEST or case.weights is not None:
        return
    counts = np.array([(Y == 0).sum(), (Y == 1).sum()]) if Y.shape[1] == 1 else Y.sum(axis=0)
    if (Y.shape[1] > 1 and (Y.sum(axis=1) != 1).any()) or counts.min() * 10 > counts.max() or not counts.min():
        return
    yield finding(
        case, "class_imbalance", f"class {case.label(int(counts.argmin()))}", "warning",
        {"rows of the smallest class": float(counts.min()), "rows of the largest class": float(counts.max()),
         "accuracy of always guessing the largest": float(counts.max() / counts.sum())},
        "One class has at least ten times the rows of another, and the loss hardly hears the small one. "
        "A high accuracy may mean that the small class is never predicted: look at its recall.",
        Change("class_weight"),
    )  # fmt: skip


def useless_columns(case: Case, X: Array, varies: Array) -> Iterator[Finding]:
    """Say which columns never vary, and which are there twice."""
    constant = np.flatnonzero(~varies)
    m, d = X.shape
    if len(constant) and m > 1:
        yield finding(
            case, "inputs_constant", case.columns(constant), "warning" if 2 * len(constant) > d else "note",
            {"constant columns": len(constant), "all columns": d},
            "These columns have the same value in every row, so they can tell nothing apart. "
            "Their weights act as more biases; a pixel that is always dark does no harm, many may be a mistake.",
            Change("drop_columns", constant),
        )  # fmt: skip
    copies = _copies(X, varies)
    if len(copies):
        yield finding(
            case, "inputs_duplicated", case.columns(copies), "warning" if 2 * len(copies) >= d else "note",
            {"columns that repeat another": len(copies), "all columns": d},
            "These columns repeat an earlier one, up to a shift and a factor. "
            "They add no information, and what they say counts several times in the size of a step and in the penalty.",
            Change("drop_columns", copies),
        )  # fmt: skip


def _copies(X: Array, varies: Array) -> Array:
    """Return the columns that equal an earlier one after both are standardised (up to sign)."""
    columns = np.flatnonzero(varies)
    if len(X) < 3 or not len(columns):
        return columns[:0]
    x = _standardised(X[:, columns])
    first = x[np.abs(x).argmax(axis=0), np.arange(x.shape[1])]
    x = x * np.sign(first)
    direction = np.random.default_rng(0).normal(size=len(x))
    key = direction @ x / np.sqrt(len(x))  # equal columns have equal keys; the few equal keys are compared in full
    order = np.argsort(key, kind="stable")
    found = [
        max(a, b)
        for a, b in pairwise(order.tolist())
        if abs(key[a] - key[b]) < 1e-5 and np.allclose(x[:, a], x[:, b], atol=1e-5)
    ]
    return np.asarray(columns[np.unique(np.array(found, dtype=int))])


def _ranks(X: Array) -> Array:
    """Return the place of each value in its column; equal values keep the order of their rows."""
    return np.asarray(X.argsort(axis=0, kind="stable").argsort(axis=0, kind="stable"), dtype=np.float64)


def _standardised(X: Array) -> Array:
    spread = X.std(axis=0)
    return np.asarray((X - X.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
