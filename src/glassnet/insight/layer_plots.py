"""What flows through the layers: how activations are distributed, how large signals are, epoch by epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.ticker import MaxNLocator

from glassnet.arrays import Array, as_floats
from glassnet.errors import choose, fault
from glassnet.insight.style import (
    BLUE,
    CYCLE,
    MUTED,
    SHADES,
    VERMILLION,
    Axes,
    Figure,
    axes_or_new,
    drawable,
    house_style,
    legend_by,
)
from glassnet.insight.summary import LayerStatistics
from glassnet.objective import Objective

__all__ = ["histograms_by_epoch", "layer_histograms", "signal_sizes"]


def layer_histograms(statistics: Sequence[LayerStatistics], axes: Sequence[Axes] | None = None) -> list[Axes]:
    """Draw, for each layer, how its activations are distributed; widely different shares get a logarithmic scale."""
    if not statistics:
        raise fault("statistics", "those of at least one layer", "none", "Take layer_statistics(...).")
    with house_style():
        drawn = _grid(axes, len(statistics), (2.6, 2.3))
        for n, (ax, one) in enumerate(zip(drawn, statistics, strict=True)):
            share = np.array(one.counts) / sum(one.counts)
            ax.stairs(share, one.edges, fill=True, color=CYCLE[0])
            least, most = share[share > 0].min(), share.max()
            if most > 30 * least:
                ax.set_yscale("log")
                ax.set_ylim(least / 2, 1.6 * most)
            ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
            ax.xaxis.set_major_locator(MaxNLocator(4))
            ax.set_title(_caption(one))
            ax.set_xlabel("activation a")
            if n % 3 == 0:
                ax.set_ylabel("share of activations")
    return drawn


def _grid(axes: Sequence[Axes] | None, n: int, size: tuple[float, float]) -> list[Axes]:
    """Return these n axes, or those of a new figure with three in a row."""
    if axes is not None:
        if len(axes) != n:
            raise fault("axes", f"{n}, one for each layer", len(axes))
        return list(axes)
    columns = min(3, n)
    rows = -(-n // columns)
    figure = Figure(figsize=(max(size[0] * columns, 3.6), size[1] * rows))
    return [figure.add_subplot(rows, columns, i + 1) for i in range(n)]


def histograms_by_epoch(
    objective: Objective,
    path: npt.ArrayLike,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    what: str = "activations",
    epochs: Sequence[float] | None = None,
    axes: Sequence[Axes] | None = None,
) -> list[Axes]:
    """Draw how activations a_l or gradients dJ/dW_l are distributed, layer by layer, as training goes on.

    path    (E, P): theta after each of E epochs, for example collected by `callbacks=[lambda r: path.append(r.theta)]`
    what    "activations", or "gradients": those of the weights W_l of all rows together
    epochs  (E,), the numbers below the columns; None: 0 to E - 1

    A column is the histogram of one epoch, 40 bins of equal width over the range of all epochs; the shade is the share
    of the fullest bin of that column. Gradients are shown as log10 of their size: exact zeros are left out.
    """
    thetas = as_floats("path", path)
    if thetas.ndim != 2 or thetas.shape[1] != objective.net.n_parameters:
        raise fault("path", f"(epochs, {objective.net.n_parameters})", thetas.shape)
    read = choose("what", what, {"activations": _activations, "gradients": _gradients})
    series = [read(objective, theta, X, Y) for theta in thetas]
    names = list(series[0])
    at = np.arange(len(thetas)) if epochs is None else as_floats("epochs", epochs)
    with house_style():
        drawn = _grid(axes, len(names), (3.2, 2.5))
        for ax, name in zip(drawn, names, strict=True):
            _columns_of_histograms(ax, [one[name] for one in series], at)
            ax.set(title=name, xlabel="epoch", ylabel="a" if what == "activations" else "log10 |dJ/dW|")
    return drawn


def _activations(objective: Objective, theta: Array, X: npt.ArrayLike, Y: npt.ArrayLike) -> dict[str, Array]:
    trace = objective.net.forward(theta, X)
    return {f"{l}: {layer.function.name}": trace.a[l].ravel() for l, layer in enumerate(objective.net.layers, 1)}


def _gradients(objective: Objective, theta: Array, X: npt.ArrayLike, Y: npt.ArrayLike) -> dict[str, Array]:
    views = objective.net.views(objective.value_and_grad(theta, X, Y)[1])
    sizes = {name: np.abs(view.ravel()) for name, view in views.items() if name.startswith("W")}
    return {f"dJ/d{name}": np.log10(size[size > 0]) for name, size in sizes.items()}


def _columns_of_histograms(ax: Axes, columns: Sequence[Array], at: Array) -> None:
    every = np.concatenate(columns)
    every = every[np.isfinite(every)]
    if not every.size:
        ax.text(0.5, 0.5, "all are 0", transform=ax.transAxes, ha="center", va="center", color=MUTED)
        return
    edges = np.histogram_bin_edges(every, 40)
    counts = np.array([np.histogram(values[np.isfinite(values)], edges)[0] for values in columns], dtype=float)
    share = counts / np.maximum(counts.max(axis=1, keepdims=True), 1)
    borders = np.concatenate([at, at[-1:] + (at[-1] - at[-2] if len(at) > 1 else 1)])
    ax.pcolormesh(borders, edges, share.T, cmap=SHADES, vmin=0, vmax=1, rasterized=True)
    ax.grid(visible=False)


def signal_sizes(statistics: Sequence[LayerStatistics], ax: Axes | None = None) -> Axes:
    """Draw the size of what flows forward (standard deviation of a) and back (rms of delta) at each layer."""
    layers = np.arange(1, len(statistics) + 1)
    series = (
        ("forward: standard deviation of a", "o", BLUE, np.array([one.a_std for one in statistics])),
        ("backward: rms of delta = dJ/dz", "s", VERMILLION, np.array([one.delta_rms for one in statistics])),
    )
    with house_style():
        ax = axes_or_new(ax, (max(5.2, 0.9 * len(layers) + 0.8), 3.3))
        for label, marker, colour, sizes in series:
            ax.plot(layers, np.where(sizes > 0, sizes, np.nan), marker=marker, ms=6, color=colour, label=label)
        if any((sizes > 0).any() for *_, sizes in series):
            ax.set_yscale("log")
        ax.set_xticks(layers, [_caption(one).replace(": ", "\n") for one in statistics])
        ax.set_xlim(0.6, len(layers) + 0.4)
        ax.set_ylabel("size of the signal")
        legend_by(ax, 2)
    return ax


def _caption(one: LayerStatistics) -> str:
    what = one.activation if one.kind == "Dense" else one.kind
    return f"{one.number}: {one.units} {drawable(what)}"
