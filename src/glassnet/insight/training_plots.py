"""Curves of a run: losses and scores by epoch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator

from glassnet.arrays import Array
from glassnet.errors import fault, type_fault
from glassnet.history import COLUMNS, History, Run
from glassnet.insight.style import CYCLE, MUTED, Axes, axes_or_new, drawable, house_style, legend_by

__all__ = ["learning_curves", "score_curves", "score_names"]

NOT_SCORES = {*COLUMNS, "validation_loss"}
"""Columns of a history that are not metrics."""


def learning_curves(history: History | Sequence[History], ax: Axes | None = None) -> Axes:
    """Draw the loss on training and (where measured) validation rows by epoch, and mark the lowest.

    Both are the mean loss of a sample, without the penalty, so that they can be compared. The lowest is marked on the
    validation curve, where there is one. The scale is logarithmic where the losses span more than a factor of 20.

    Several histories, of other seeds for example, are drawn as their median and a band from the lowest to the highest,
    over the epochs that all of them have.
    """
    runs = _histories(history)
    with house_style():
        ax = axes_or_new(ax)
        curves = _losses(runs)
        middle = {label: np.median(values, axis=0) for label, values in curves.items()}
        _lines(ax, runs[0], middle)
        ax.set_ylabel("mean loss of a sample")
        if not curves:
            return ax
        if len(runs) > 1:
            for i, values in enumerate(curves.values()):
                low, high = values.min(axis=0), values.max(axis=0)
                epochs, label = runs[0]["epoch"][: values.shape[1]], None if i else f"range of {len(runs)} runs"
                ax.fill_between(epochs, low, high, color=CYCLE[i], alpha=0.18, linewidth=0, label=label)
        last = list(middle.values())[-1]
        at = int(np.argmin(np.where(np.isfinite(last), last, np.inf)))
        epoch, colour = int(runs[0]["epoch"][at]), CYCLE[len(curves) - 1]
        ax.plot([epoch], [last[at]], "o", ms=7, mfc="white", mec=colour, mew=1.8, label=f"lowest: epoch {epoch}")
        ax.legend()
    return ax


def _histories(given: Any) -> list[History]:
    """Return one history or several as a list; raises GlassnetError for anything else."""
    runs = list(given) if isinstance(given, list | tuple) else [given]
    if not runs:
        raise fault("history", "at least one run's", "none")
    for one in runs:
        if not isinstance(one, History):
            remedy = "Take its .history." if isinstance(one, Run) else "Take run.history, or an estimator's history_."
            raise type_fault("history", "a History, or a list of them", f"a {type(one).__name__}", remedy)
    return runs


def _losses(runs: Sequence[History]) -> dict[str, Array]:
    """Return {label: (runs, epochs)} of what all runs have measured."""
    shared = set.intersection(*(set(run.columns) for run in runs))
    curves, length = {}, min(len(run) for run in runs)
    if "loss" in shared:
        penalties = [run["penalty"] if "penalty" in run.columns else np.zeros(len(run)) for run in runs]
        curves["training"] = np.array([(run["loss"] - p)[:length] for run, p in zip(runs, penalties, strict=True)])
    if "validation_loss" in shared:
        curves["validation"] = np.array([run["validation_loss"][:length] for run in runs])
    return curves


def score_names(history: History) -> tuple[str, ...]:
    """Return the columns of a history that hold metrics, validation metrics if there are any."""
    names = [name for name in history.columns if name not in NOT_SCORES]
    return tuple([name for name in names if name.startswith("validation_")] or names)


def score_curves(history: History, ax: Axes | None = None) -> Axes:
    """Draw the metrics by epoch, those of the validation rows where they were measured."""
    (history,) = _histories([history])
    with house_style():
        ax = axes_or_new(ax)
        names = score_names(history)
        held_out = all(name.startswith("validation_") for name in names)
        labels = {name: name.removeprefix("validation_").replace("_", " ") for name in names}
        drawn = {drawable(label): history[name] for name, label in labels.items()}
        _lines(ax, history, drawn)
        rows = "validation" if held_out else "training"
        ax.set_ylabel(f"{drawable(labels[names[0]])} on {rows} rows" if len(drawn) == 1 else f"score on {rows} rows")
        if len(drawn) > 1:
            legend_by(ax, min(len(drawn), 4))
    return ax


def _lines(ax: Axes, history: History, curves: dict[str, Array]) -> None:
    """Draw these curves {label: values} by epoch; say so where there is nothing to draw."""
    ax.set_xlabel("epoch")
    if not curves:
        ax.set_axis_off()
        ax.text(0.5, 0.5, "nothing was measured", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        return
    marker = "o" if len(history) <= 15 else ""
    for i, (label, values) in enumerate(curves.items()):
        ax.plot(history["epoch"][: len(values)], values, marker=marker, ms=4, color=CYCLE[i % len(CYCLE)], label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    every = np.concatenate(list(curves.values()))
    every = every[np.isfinite(every)]
    if every.size and every.min() > 0 and every.max() > 20 * every.min():
        ax.set_yscale("log")
