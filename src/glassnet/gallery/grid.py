"""Grid: rate and penalty together, 49 networks.

The published exercise of `digits` trained once for each rate and penalty from 1e-5 to 10, in steps of ten. Its map has
one good corner, a slope of rates that are too small, and a cliff: from a rate of 0.1 up every network is lost. Here
each lost network says how: its loss ran away, or it answers every image with one digit.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from time import perf_counter

import numpy as np

from glassnet.arrays import Array
from glassnet.gallery import digits
from glassnet.gallery.experiment import Experiment, Row, at_most, between, close, equal, shown
from glassnet.insight import pictures, plots

TITLE = "The map of rate and penalty"
QUESTION = "Which learning rates and penalties read digits, and how are the others lost?"
VALUES = (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
PUBLISHED = {1e-5: (18, 18, 9), 1e-4: (58, 81, 4), 1e-3: (89, 95, 4)}
"""Rate -> lowest and highest test accuracy in the published map, and how far our mean may lie outside.

The last is what one start differs from another: with these few small steps the end depends on the beginning."""
REASONS = {
    "D": "diverged: the loss grew without bound",
    "S": "collapsed to one answer: hidden units saturated",
    "W": "collapsed to one answer: weights decayed",
}


def lost(fit: digits.Fit) -> str:
    """Return why a network is lost, as in REASONS, or "": a collapsed one gives 9 images in 10 the same answer."""
    if fit.run.status == "diverged":
        return "D"
    after = digits.network().forward(fit.run.theta, digits.load("digits").X)
    answers = np.bincount(after.output.argmax(axis=1), minlength=10)
    if answers.max() < 0.9 * answers.sum():
        return ""
    saturated = np.mean((after.a[1] < 0.01) | (after.a[1] > 0.99))
    return "S" if saturated > 0.9 else "W"


def distance(rate: float, penalty: float) -> float:
    """Return how many steps of ten a cell lies from the published best one, rate 0.01 and penalty 0.1."""
    return float(np.abs(np.log10((rate, penalty)) - np.log10((0.01, 0.1))).max())


def best_cell(test: Array, values: Sequence[float]) -> tuple[int, int]:
    """Return row and column of the best cell: of those that are equally good, the nearest to the published one.

    Accuracies are shares of 360 images, so that ties are common.
    """
    best = np.argwhere(test == test.max())
    row, column = min(best, key=lambda cell: distance(values[cell[1]], values[cell[0]]))
    return int(row), int(column)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Train 49 networks from one start (nine of them where `quick`)."""
    values, begin = VALUES[1::2] if quick else VALUES, perf_counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fits = [[digits.fit(seed, rate, penalty) for rate in values] for penalty in values]
        seconds = perf_counter() - begin
        marks = np.array([[lost(fit) for fit in line] for line in fits])
    train, test = (np.array([[getattr(fit, part) for fit in line] for line in fits]) for part in ("train", "test"))
    row, column = best_cell(test, values)
    best = values[column], values[row]
    neighbours = distance(*best) < 1.5
    by_rate = dict(zip(values, test.mean(axis=0), strict=True))
    fast = [rate >= 0.1 for rate in values]
    rows = (
        Row(
            "best test cell: rate, penalty",
            f"{best[0]:g}, {best[1]:g}",
            "0.01, 0.1 or a neighbour",
            neighbours,
        ),
        close("highest test accuracy, %", test.max(), 98.06, 5.2 if quick else 2.6),
        *(
            between(f"rate {rate:g}: mean test accuracy, %", by_rate[rate], low - margin, high + margin)
            for rate, (low, high, margin) in PUBLISHED.items()
            if rate in values
        ),
        at_most("rates from 0.1 up: highest test accuracy, %", test[:, fast].max(), 20),
        equal("rates from 0.1 up: networks lost", int((marks[:, fast] != "").sum()), len(values) * sum(fast)),
        *(shown(f"{mark}: {reason}", int((marks == mark).sum())) for mark, reason in REASONS.items()),
        equal("warnings (of overflow or any other)", len(caught), 0),
        shown(f"seconds for {test.size} fits", seconds),
        shown("fits a second", test.size / seconds),
    )

    names = [f"{value:g}" for value in values]
    figure, axes = pictures.grid_of_axes(1, 2, (5.4, 4.6))
    with plots.house_style():
        for ax, part, cells in zip(axes, ("Training", "Test"), (train, test), strict=True):
            texts = [
                [f"{c:.1f}\n{m}".strip() for c, m in zip(*line, strict=True)] for line in zip(cells, marks, strict=True)
            ]
            pictures.heat_map(ax, cells, names, names, texts, limits=(0, 100))
            ax.set(xlabel="learning rate", ylabel="penalty lambda", title=f"{part} accuracy (%)")
        left, right, low, high = column - 0.48, column + 0.48, row - 0.48, row + 0.48
        axes[1].plot([left, right, right, left, left], [low, low, high, high, low], color=plots.VERMILLION)
        figure.supxlabel("\n".join(f"{mark}  {reason}" for mark, reason in REASONS.items()), fontsize=9)
    runaway = [fit.run.reason for line in fits for fit in line if fit.run.status == "diverged"]
    slow = list(test[:, values.index(1e-4)])
    notes = (
        f"The best test cell (framed) is rate {best[0]:g}, penalty {best[1]:g}: {train[row, column]:.1f}% on training "
        f"and {test[row, column]:.1f}% on test images; with a penalty of {values[0]:g} it is "
        f"{train[0, column]:.1f}% and {test[0, column]:.1f}%.",
        f"At a rate of 0.0001 the network is still on its way after 100 epochs: {slow[0]:.1f}% with the smallest "
        f"penalty, {slow[-1]:.1f}% with the largest, which shrinks the far too large starting weights.",
        "From a rate of 0.1 up no penalty helps. "
        + (f"One of the diverged cells says: {runaway[0]}" if runaway else "Here all of these collapsed."),
    )
    return Experiment(TITLE, QUESTION, rows, figure, notes)
