"""The network itself: units and weights, and weights as images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgba
from matplotlib.patches import Rectangle

from glassnet.arrays import Array, as_floats, check_count
from glassnet.errors import fault
from glassnet.insight.style import (
    BLUE,
    DIVERGING,
    FAINT,
    INK,
    MUTED,
    VERMILLION,
    Axes,
    axes_or_new,
    drawable,
    figure_of,
    house_style,
    legend_by,
    width_of,
)  # fmt: skip
from glassnet.layers import Dropout
from glassnet.network import Network

__all__ = ["network_diagram", "weight_images"]


def network_diagram(net: Network, theta: Array | None = None, ax: Axes | None = None, max_units: int = 10) -> Axes:
    """Draw the network: units as circles, weights as lines, blue for positive and orange for negative, thick for large.

    Of a layer with more than `max_units` units the first and the last are drawn, dots between them. Layers without
    weights of their own (Dropout, BatchNorm) are named under the layer that they follow. Without theta the lines are
    grey.
    """
    check_count("max_units", max_units, 2)
    weights = [None] * len(net.layers) if theta is None else [p.get("W") for p in net.split(np.asarray(theta))]
    columns = _columns(net)
    shown = [_shown(units, max_units) for _, units, _ in columns]
    tallest = max(float(np.ptp(y)) for _, y in shown)
    with house_style():
        ax = axes_or_new(ax, (max(5.2, 1.6 * len(columns) + 0.6), 0.8 + 0.29 * (tallest + 2.4)))
        size = min(9.5, 9.5 * width_of(ax) / len(columns))  # a caption takes up to an inch
        for x in range(1, len(columns)):
            _edges(ax, x, shown[x - 1], shown[x], weights[columns[x][0] - 1])
        for x, ((number, units, caption), (_, y)) in enumerate(zip(columns, shown, strict=True)):
            ax.scatter(np.full(len(y), x), y, s=95, c="white" if number else FAINT, edgecolors=INK, lw=1.0, zorder=3)
            if units > len(y):
                ax.scatter([x] * 3, [-0.28, 0, 0.28], s=5, color=INK, zorder=3)
            for i, line in enumerate(caption.split("\n")):
                y_text = -tallest / 2 - 1.25 - 0.75 * i
                ax.text(x, y_text, line, ha="center", va="baseline", size=size, color=MUTED if i else INK)
        above = 0.5
        if theta is not None:
            for label, colour in (("positive weight", BLUE), ("negative weight", VERMILLION)):
                ax.plot([], [], color=colour, lw=2.2, label=label)
            above = 0.5 if legend_by(ax, 2) else 2.5
        lines = max(caption.count("\n") for *_, caption in columns)
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-tallest / 2 - 1.6 - 0.75 * lines, tallest / 2 + above))
        ax.set_axis_off()
    return ax


def _columns(net: Network) -> list[tuple[int, int, str]]:
    """Return (layer, units, caption) of the input, layer 0, and of every layer with weights W."""
    columns = [(0, net.n_inputs, f"{net.n_inputs} input{'s' * (net.n_inputs > 1)}")]
    for l, (layer, n_in, n_out) in enumerate(zip(net.layers, net.sizes[:-1], net.sizes[1:], strict=True), 1):
        if "W" in layer.parameters(n_in):
            columns.append((l, n_out, f"{n_out} {drawable(layer.function.name)}"))
        else:
            rate = f" {layer.rate:g}" if isinstance(layer, Dropout) else ""
            number, units, caption = columns[-1]
            columns[-1] = (number, units, f"{caption}\n+ {type(layer).__name__}{rate}")
    return columns


def _shown(units: int, most: int) -> tuple[Array, Array]:
    """Return the indices of the units that are drawn and their heights, centred at 0; dots fill the gap at 0."""
    if units <= most:
        return np.arange(units), (units - 1) / 2 - np.arange(units)
    half = most // 2
    indices = np.concatenate([np.arange(half), np.arange(units - half, units)])
    return indices, np.concatenate([np.arange(half, 0, -1.0), -np.arange(1.0, half + 1)]) + 0.0


def _edges(ax: Axes, x: int, left: tuple[Array, Array], right: tuple[Array, Array], W: Array | None) -> None:
    """Draw a line for each pair of drawn units; widths are relative to the largest weight of the layer."""
    ends = [((x - 1, y0), (x, y1)) for y0 in left[1] for y1 in right[1]]
    if W is None:
        ax.add_collection(LineCollection(ends, colors="#b4bdc6", linewidths=0.5, zorder=1))
        return
    size = (W[np.ix_(left[0], right[0])] / (np.abs(W).max() or 1.0)).ravel()
    colours = np.where(size[:, None] > 0, to_rgba(BLUE), to_rgba(VERMILLION))
    colours[:, 3] = 0.12 + 0.88 * np.abs(size)
    order = np.argsort(np.abs(size))  # large weights on top
    ends = [ends[i] for i in order]
    ax.add_collection(LineCollection(ends, colors=colours[order], linewidths=0.3 + 2.7 * np.abs(size[order]), zorder=1))


def weight_images(
    W: npt.ArrayLike, image_shape: tuple[int, int], count: int = 25, ax: Axes | None = None, colour_bar: bool = True
) -> Axes:
    """Draw the weights into each of the first `count` units as a picture of shape (height, width).

    W (height * width, units) is that of the first layer. All pictures share one scale, symmetric about zero.
    """
    weights = as_floats("W", W)
    height, width = image_shape
    if weights.ndim != 2 or len(weights) != height * width:
        raise fault("W", f"({height * width}, units) for pictures of {height}x{width}", weights.shape)
    units = min(check_count("count", count), weights.shape[1])
    columns = int(np.ceil(np.sqrt(units)))
    rows = -(-units // columns)
    scale = float(np.abs(weights[:, :units]).max()) or 1.0
    tall = 0.92 * height / width
    with house_style():
        ax = axes_or_new(ax, (5.2, float(np.clip(4.3 * rows * (tall + 0.08) / columns, 1.2, 7.0)) + 0.1))
        for j in range(units):
            x, y = j % columns, (j // columns) * (tall + 0.08)
            ax.add_patch(Rectangle((x, y), 0.92, tall, fill=False, ec=MUTED, lw=0.8))
            ax.imshow(
                weights[:, j].reshape(height, width),
                cmap=DIVERGING,
                norm=Normalize(-scale, scale),
                extent=(x, x + 0.92, y + tall, y),
                interpolation="nearest",
            )
        ax.set(xlim=(-0.03, columns - 0.05), ylim=(rows * (tall + 0.08) - 0.05, -0.03), aspect="equal")
        ax.set_axis_off()
        if colour_bar:
            bar = figure_of(ax).colorbar(ax.images[0], ax=ax, shrink=0.8, aspect=25, pad=0.02)
            bar.outline.set_visible(False)
            bar.set_label("weight")
    return ax
