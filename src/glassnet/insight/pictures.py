"""Pictures that lessons share: decision surfaces, annotated heat maps, curves with a spread band, paths on a surface.

Each draws into the axes it is given, in the style of `plots.house_style`, and returns them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from glassnet.arrays import Array, as_floats
from glassnet.errors import fault
from glassnet.insight import plots
from glassnet.insight.style import MARKS

__all__ = ["Axes", "Figure", "band", "convergence", "decision_surface", "grid_of_axes", "heat_map", "loss_surface"]


def grid_of_axes(rows: int, columns: int, size: tuple[float, float] = (3.4, 2.9)) -> tuple[Figure, list[Axes]]:
    """Return a figure and its axes, row by row, each of about the given size in inches.

    >>> figure, axes = grid_of_axes(1, 3)
    >>> len(axes)
    3
    """
    with plots.house_style():
        figure = Figure(figsize=(size[0] * columns, size[1] * rows))
        axes = figure.subplots(rows, columns, squeeze=False)
    return figure, [ax for row in axes for ax in row]


def band(ax: Axes, x: npt.ArrayLike, runs: npt.ArrayLike, label: str = "", colour: str | None = None) -> Axes:
    """Draw the median of `runs` (r, n) over x (n,), and a band from the lowest to the highest run."""
    at, values = as_floats("x", x), np.asarray(runs, dtype=float)
    if values.ndim != 2 or values.shape[1] != len(at):
        raise fault("runs", f"(r, {len(at)})", values.shape)
    with plots.house_style():
        (line,) = ax.plot(at, np.median(values, axis=0), label=label, color=colour)
        ax.fill_between(at, values.min(axis=0), values.max(axis=0), color=line.get_color(), alpha=0.18, linewidth=0)
    return ax


def convergence(
    value: Axes,
    loss: Axes,
    estimates: npt.ArrayLike,
    losses: npt.ArrayLike,
    known: float | None = None,
    label: str = "",
    title: str = "",
    most: int = 500,
) -> None:
    """Draw a number that training finds, (n, K) for K runs of n iterations, beside its known value, and the losses.

    Both are drawn as median and range of the runs, at `most` places of the history; where all runs have ended in NaN
    nothing is drawn.
    """
    found, mismatch = np.asarray(estimates, dtype=float), np.asarray(losses, dtype=float)
    if found.ndim != 2 or mismatch.shape != found.shape:
        raise fault("estimates and losses", "both (iterations, runs)", (found.shape, mismatch.shape))
    rows = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).astype(int))
    rows = rows[np.isfinite(found[rows]).any(axis=1) & np.isfinite(mismatch[rows]).any(axis=1)]
    for ax, history, colour in ((value, found, plots.BLUE), (loss, mismatch, plots.VERMILLION)):
        low, middle, high = (np.array([f(row) for row in history[rows]]) for f in (np.nanmin, np.nanmedian, np.nanmax))
        with plots.house_style():
            ax.fill_between(rows + 1, low, high, color=colour, alpha=0.18, linewidth=0)
            ax.plot(rows + 1, middle, color=colour, linewidth=1.4, label=label)
            ax.set_xlabel("iteration")
    with plots.house_style():
        if known is not None:
            value.axhline(known, color=plots.INK, linestyle="--", linewidth=1.1, label=f"known: {known:.6g}")
        value.legend()
        value.set(title=title)
        loss.set(yscale="log", title="Mean squared mismatch at the end time")


def decision_surface(
    ax: Axes, predict: Callable[[Array], Array], X: npt.ArrayLike, labels: npt.ArrayLike, margin: float = 0.35
) -> Axes:
    """Draw `predict` (rows (n, 2) -> values (n,) in [0, 1]) as shades, the line at 1/2, and the points X (m, 2)."""
    points, classes = as_floats("X", X), np.asarray(labels)
    low, high = points.min(axis=0) - margin, points.max(axis=0) + margin
    sides = [np.linspace(a, b, 160) for a, b in zip(low, high, strict=True)]
    first, second = np.meshgrid(*sides)
    values = np.asarray(predict(np.column_stack([first.ravel(), second.ravel()]))).reshape(first.shape)
    with plots.house_style():
        ax.imshow(
            values, extent=(low[0], high[0], low[1], high[1]), origin="lower", aspect="auto",
            cmap=plots.DIVERGING, vmin=-0.25, vmax=1.25, alpha=0.55, interpolation="bilinear",
        )  # fmt: skip
        if values.min() < 0.5 < values.max():
            ax.contour(first, second, values, levels=[0.5], colors=[plots.INK], linewidths=1.2)
        for mark, colour, one in zip(MARKS, (plots.VERMILLION, plots.BLUE), np.unique(classes), strict=False):
            here = points[classes == one]
            ax.scatter(
                here[:, 0],
                here[:, 1],
                marker=mark,
                color=colour,
                edgecolor="white",
                s=42,
                linewidth=0.9,
                zorder=3,
                label=f"{one}",
            )
        ax.grid(visible=False)
    return ax


def heat_map(
    ax: Axes,
    values: npt.ArrayLike,
    rows: Sequence[str],
    columns: Sequence[str],
    texts: Sequence[Sequence[str]] | None = None,
    limits: tuple[float, float] | None = None,
    framed: tuple[int, int] | None = None,
) -> Axes:
    """Draw `values` (r, c) as shades with the number (or the text) in each cell; `framed` (row, column) stands out."""
    cells = np.asarray(values, dtype=float)
    if cells.shape != (len(rows), len(columns)):
        raise fault("values", f"({len(rows)}, {len(columns)})", cells.shape)
    low, high = limits or (float(np.nanmin(cells)), float(np.nanmax(cells)))
    with plots.house_style():
        ax.imshow(cells, cmap=plots.SHADES, vmin=low, vmax=high, aspect="auto")
        for i in range(len(rows)):
            for j in range(len(columns)):
                dark = np.isfinite(cells[i, j]) and cells[i, j] > low + 0.55 * (high - low)
                text = texts[i][j] if texts is not None else f"{cells[i, j]:.3g}"
                ax.text(j, i, text, ha="center", va="center", fontsize=8, color="white" if dark else plots.INK)
        if framed is not None:
            corner = framed[1] - 0.47, framed[0] - 0.47
            ax.add_patch(Rectangle(corner, 0.94, 0.94, fill=False, edgecolor=plots.VERMILLION, linewidth=2.2))
        ax.set_xticks(range(len(columns)), columns)
        ax.set_yticks(range(len(rows)), rows)
        ax.grid(visible=False)
        ax.tick_params(length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    return ax


def loss_surface(
    ax: Axes,
    loss: Callable[[float, float], float],
    paths: dict[str, Array],
    margin: float = 0.15,
    size: int = 60,
    colours: Sequence[str] = plots.CYCLE * 3,
) -> Axes:
    """Draw the contours of `loss(u, v)` and on them the paths {label: (steps, 2)}, each from a ring to a dot."""
    every = np.concatenate(list(paths.values()))
    span = np.maximum(np.ptp(every, axis=0), 1e-12)
    low, high = every.min(axis=0) - margin * span, every.max(axis=0) + margin * span
    sides = [np.linspace(a, b, size) for a, b in zip(low, high, strict=True)]
    values = np.array([[loss(float(u), float(v)) for u in sides[0]] for v in sides[1]])
    with plots.house_style():
        ax.contourf(*sides, np.log10(np.maximum(values, 1e-300)), levels=24, cmap=plots.SHADES, alpha=0.8)
        for colour, (label, path) in zip(colours, paths.items(), strict=False):
            ax.plot(*path.T, color=colour, linewidth=1.4, label=label)
            ax.plot(*path[0], marker="o", markerfacecolor="white", markeredgecolor=colour)
            ax.plot(*path[-1], marker="o", color=colour)
        ax.grid(visible=False)
    return ax
