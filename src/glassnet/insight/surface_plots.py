"""Surfaces: what a model decides over two inputs, and the loss around a theta."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from matplotlib.ticker import LogFormatterSciNotation, LogLocator

from glassnet.arrays import Array, Seed, as_floats, check_count, generator
from glassnet.errors import GlassnetError, fault
from glassnet.insight.style import (
    CYCLE,
    INK,
    MARKS,
    SHADES,
    VERMILLION,
    Axes,
    axes_or_new,
    drawable,
    figure_of,
    house_style,
    legend_by,
)  # fmt: skip
from glassnet.network import Network
from glassnet.objective import Objective

__all__ = ["decision_surface", "loss_landscape", "main_directions", "random_directions"]

FINE = 160
"""Points along a side of a decision surface."""
STACK = 16
"""Networks that are evaluated in one call."""


def decision_surface(
    model: Any, X: npt.ArrayLike, y: npt.ArrayLike, ax: Axes | None = None, margin: float = 0.1
) -> Axes:
    """Draw what a fitted estimator answers over the plane of its two inputs, and the rows X (m, 2) with their y (m,).

    For a classifier the colour is the class, the paler the less sure (`predict_proba`), and lines are where the answer
    changes; for a regressor the shade is the prediction. `margin` is a share of the range, left free around the rows.
    Raises GlassnetError for other than two inputs.
    """
    points = as_floats("X", X)
    if points.ndim != 2 or points.shape[1] != 2:
        raise fault("X", "(m, 2): a surface has two inputs", points.shape, "Choose two columns and fit on them.")
    span = np.ptp(points, axis=0)
    edge = np.where(span > 0, margin * span, 1.0)
    low, high = points.min(axis=0) - edge, points.max(axis=0) + edge
    first, second = np.meshgrid(*(np.linspace(a, b, FINE) for a, b in zip(low, high, strict=True)))
    plane = np.column_stack([first.ravel(), second.ravel()])
    extent = (low[0], high[0], low[1], high[1])
    with house_style():
        ax = axes_or_new(ax, (4.8, 4.0))
        if hasattr(model, "classes_"):
            _classes(ax, model, plane, extent, points, np.asarray(y))
        else:
            _levels(ax, np.asarray(model.predict(plane)).reshape(FINE, FINE), extent, points)
        ax.set(xlim=extent[:2], ylim=extent[2:], xlabel="first input", ylabel="second input")
        ax.grid(visible=False)
    return ax


def _classes(ax: Axes, model: Any, plane: Array, extent: Any, points: Array, labels: Array) -> None:
    classes = list(model.classes_)
    colours = np.array([to_rgb(CYCLE[k % len(CYCLE)]) for k in range(len(classes))])
    sure = np.asarray(model.predict_proba(plane))
    winner = sure.argmax(axis=1)
    strength = 0.15 + 0.55 * sure.max(axis=1)[:, None]
    ax.imshow((1 - strength + strength * colours[winner]).reshape(FINE, FINE, 3), extent=extent, origin="lower",
              aspect="auto", interpolation="nearest")  # fmt: skip
    sides = np.linspace(extent[0], extent[1], FINE), np.linspace(extent[2], extent[3], FINE)
    for k in range(len(classes)):
        mine = (winner == k).reshape(FINE, FINE).astype(float)
        if 0 < mine.mean() < 1:
            ax.contour(*sides, mine, levels=[0.5], colors=[INK], linewidths=0.9)
        here = points[labels == classes[k]]
        look: dict[str, Any] = {"color": CYCLE[k % len(CYCLE)], "marker": MARKS[k % len(MARKS)], "edgecolor": "white"}
        name = drawable(str(classes[k]), k + 1)
        ax.scatter(here[:, 0], here[:, 1], s=34, linewidth=0.8, zorder=3, label=name, **look)
    legend_by(ax, min(len(classes), 5))


def _levels(ax: Axes, values: Array, extent: Any, points: Array) -> None:
    if values.min() == values.max():
        raise GlassnetError("the model must not predict one number everywhere, there would be nothing to see.")
    sides = np.linspace(extent[0], extent[1], FINE), np.linspace(extent[2], extent[3], FINE)
    drawn = ax.contourf(*sides, values, levels=20, cmap=SHADES)
    ax.scatter(points[:, 0], points[:, 1], s=12, color="white", edgecolor=INK, linewidth=0.6, zorder=3)
    bar = figure_of(ax).colorbar(drawn, ax=ax, shrink=0.9)
    bar.outline.set_visible(False)
    bar.set_label("prediction")


# ---- the loss around theta ----------------------------------------------------------------------------------------


def random_directions(net: Network, theta: npt.ArrayLike, rng: Seed = 0) -> Array:
    """Return two random directions (2, P), normalised unit by unit (Li et al., 2018, "Visualizing the loss landscape").

    The weights into a unit (a column of W) get the length of theta's own, so that a layer of large weights is moved as
    much as one of small weights. Biases and the parameters of norms stay: they move with nothing.
    """
    at, draw = np.asarray(theta, dtype=float), generator(rng)
    found = np.zeros((2, at.size))
    for direction in found:
        theirs, ours = net.views(at), net.views(direction)
        for name, W in theirs.items():
            if name.startswith("W"):
                d = draw.standard_normal(W.shape)
                ours[name][:] = d * np.linalg.norm(W, axis=0) / np.linalg.norm(d, axis=0)
    return found


def main_directions(path: npt.ArrayLike) -> Array:
    """Return the two directions (2, P) of length 1 in which a path (E, P) of thetas extends most, seen from its end.

    They are the leading right singular vectors of path - path[-1]. Raises GlassnetError for a path on a line.
    """
    thetas = as_floats("path", path)
    if thetas.ndim != 2 or len(thetas) < 3:
        raise fault("path", "(epochs, P) with at least 3 epochs", thetas.shape)
    _, sizes, directions = np.linalg.svd(thetas - thetas[-1], full_matrices=False)
    if sizes[1] <= 1e-9 * sizes[0] or sizes[0] == 0:
        raise GlassnetError("path must bend: all its thetas lie on one line. Use random directions.")
    return np.asarray(directions[:2])


def loss_landscape(
    objective: Objective,
    theta: npt.ArrayLike,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    *,
    path: npt.ArrayLike | None = None,
    directions: npt.ArrayLike | None = None,
    span: float = 1.0,
    size: int = 31,
    rng: Seed = 0,
    ax: Axes | None = None,
) -> Axes:
    """Draw J(theta + u d1 + v d2) as contours around theta (P,), with the path (E, P) that led there, if it is given.

    directions   (2, P); None: the main directions of the path, or without one two random ones (`random_directions`)
    span         how far u and v go to either side, in lengths of the directions; with a path, what it needs at least
    size         points along a side: size^2 losses are computed, 16 at a time

    Levels are spaced evenly in log J where the losses span more than a factor of 10. Raises GlassnetError where theta
    or the directions do not fit the network.
    """
    at, n = as_floats("theta", theta), check_count("size", size, 3)
    P = objective.net.n_parameters
    if at.shape != (P,):
        raise fault("theta", f"({P},)", at.shape)
    walked = None if path is None else as_floats("path", path)
    if directions is not None:
        d = as_floats("directions", directions)
    else:
        d = random_directions(objective.net, at, rng) if walked is None else main_directions(walked)
    if d.shape != (2, P):
        raise fault("directions", f"(2, {P})", d.shape)
    steps = None if walked is None else np.linalg.lstsq(d.T, (walked - at).T, rcond=None)[0].T
    u, v = _sides(steps, span, n)
    values = _values(objective, at, d, u, v, X, Y)
    with house_style():
        ax = axes_or_new(ax, (4.9, 4.0))
        _draw_landscape(ax, u, v, values)
        if steps is not None:
            ax.plot(*steps.T, color=VERMILLION, linewidth=1.4, marker=".", markersize=3, label="path of theta")
            ax.plot(*steps[0], marker="o", markerfacecolor="white", markeredgecolor=VERMILLION)
        ax.plot(0, 0, marker="*", markersize=11, color=VERMILLION, markeredgecolor="white", linestyle="", label="theta")
        legend_by(ax, 2)
        names = ("main direction {}" if directions is None and walked is not None else "direction {}",) * 2
        ax.set(xlabel=names[0].format(1), ylabel=names[1].format(2))
        ax.grid(visible=False)
    return ax


def _sides(steps: Array | None, span: float, n: int) -> tuple[Array, Array]:
    """Return the values of u and v; those of a path with a fifth of its extent on either side."""
    if not span > 0:
        raise fault("span", "positive", span)
    if steps is None:
        return np.linspace(-span, span, n), np.linspace(-span, span, n)
    reach = np.maximum(np.ptp(steps, axis=0), 0.2 * np.ptp(steps, axis=0).max())
    low, high = steps.min(axis=0) - 0.2 * reach * span, steps.max(axis=0) + 0.2 * reach * span
    return np.linspace(low[0], high[0], n), np.linspace(low[1], high[1], n)


def _values(
    objective: Objective, theta: Array, d: Array, u: Array, v: Array, X: npt.ArrayLike, Y: npt.ArrayLike
) -> Array:
    """Return J (len(v), len(u)): rows go with v, upwards."""
    weights = np.stack([np.tile(u, len(v)), np.repeat(v, len(u))], axis=1)
    stacks = (weights[i : i + STACK] for i in range(0, len(weights), STACK))
    found: Sequence[Array] = [np.atleast_1d(objective.value(theta + w @ d, X, Y)) for w in stacks]
    return np.concatenate(found).reshape(len(v), len(u))


def _draw_landscape(ax: Axes, u: Array, v: Array, values: Array) -> None:
    finite = values[np.isfinite(values)]
    low, high = finite.min(), finite.max()
    shown = np.where(np.isfinite(values), values, high)
    logarithmic = low > 0 and high > 10 * low
    space = np.geomspace if logarithmic else np.linspace
    levels = space(low, high if high > low else low + 1.0, 24)
    drawn = ax.contourf(u, v, shown, levels=levels, cmap=SHADES, norm="log" if logarithmic else "linear", extend="both")
    ax.contour(u, v, shown, levels=levels[::3], colors="white", linewidths=0.5, alpha=0.7)
    ticks = LogLocator(subs=(1.0, 2.0, 5.0)) if logarithmic else None
    form = LogFormatterSciNotation(minor_thresholds=(3, 1)) if logarithmic else None
    bar = figure_of(ax).colorbar(drawn, ax=ax, ticks=ticks, format=form)
    bar.outline.set_visible(False)
    bar.set_label("J")
