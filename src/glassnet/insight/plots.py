"""Pictures of a network and of its training: the only file that imports matplotlib.

Every function draws into the axes it is given or makes a figure of its own, and returns what it drew in. Figures are
plain objects (`axes.figure`), never pyplot's, so nothing stays open. Colours are those of Okabe and Ito (2008), which
colour-blind readers can tell apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap, Normalize, PowerNorm, to_rgba
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from glassnet.arrays import Array, as_floats, check_count
from glassnet.errors import fault, type_fault
from glassnet.history import COLUMNS, History
from glassnet.insight.summary import LayerStatistics
from glassnet.layers import Dropout
from glassnet.network import Network

__all__ = [
    "confusion_matrix", "figure_of", "house_style", "layer_histograms", "learning_curves", "network_diagram",
    "predicted_against_true", "score_curves", "score_names", "signal_sizes", "to_png_base64", "to_svg", "weight_images",
]  # fmt: skip

BLUE, AMBER, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, MUTED, FAINT = "#1f2933", "#66727f", "#d5dbe1"
CYCLE = (BLUE, AMBER, GREEN, PURPLE, SKY, VERMILLION)
DIVERGING = LinearSegmentedColormap.from_list("glassnet_diverging", ["#8f3f00", VERMILLION, "#ffffff", BLUE, "#003f66"])
SHADES = LinearSegmentedColormap.from_list("glassnet_shades", ["#f3f6f9", "#cfe3f1", "#7fb4d8", BLUE, "#004b78"])

NOT_SCORES = {*COLUMNS, "validation_loss"}
"""Columns of a history that are not metrics."""


@contextmanager
def house_style() -> Iterator[None]:
    """Draw in glassnet's style inside the `with` block: quiet axes, readable type, Okabe and Ito's colours."""
    style: Any = {
        "font.family": "DejaVu Sans", "font.size": 9.5, "text.color": INK,
        "axes.labelsize": 9.5, "axes.titlesize": 10, "axes.titlelocation": "left", "axes.labelcolor": INK,
        "axes.edgecolor": MUTED, "axes.linewidth": 0.8, "axes.spines.right": False, "axes.spines.top": False,
        "axes.prop_cycle": cycler(color=CYCLE), "lines.linewidth": 1.8,
        "axes.grid": True, "axes.axisbelow": True, "grid.color": "#e8ecf0", "grid.linewidth": 0.8,
        "xtick.color": MUTED, "xtick.labelcolor": INK, "xtick.labelsize": 9,
        "ytick.color": MUTED, "ytick.labelcolor": INK, "ytick.labelsize": 9,
        "legend.fontsize": 9, "legend.frameon": False,
        "figure.facecolor": "white", "savefig.facecolor": "white", "figure.constrained_layout.use": True,
        "figure.constrained_layout.h_pad": 0.08, "figure.constrained_layout.w_pad": 0.08,
        "svg.fonttype": "path", "svg.hashsalt": "glassnet",
    }  # fmt: skip
    with mpl.rc_context(style):
        yield


# ---- training -----------------------------------------------------------------------------------------------------


def learning_curves(history: History, ax: Axes | None = None) -> Axes:
    """Draw the loss on training and (where measured) validation rows by epoch, and mark the lowest.

    Both are the mean loss of a sample, without the penalty, so that they can be compared. The lowest is marked on the
    validation curve, where there is one. The scale is logarithmic where the losses span more than a factor of 20.
    """
    curves = {}
    if "loss" in history.columns:
        penalty = history["penalty"] if "penalty" in history.columns else 0.0
        curves["training"] = history["loss"] - penalty
    if "validation_loss" in history.columns:
        curves["validation"] = history["validation_loss"]
    with house_style():
        ax = _axes(ax)
        _lines(ax, history, curves)
        ax.set_ylabel("mean loss of a sample")
        if curves:
            last = list(curves.values())[-1]
            at = int(np.argmin(np.where(np.isfinite(last), last, np.inf)))
            epoch = int(history["epoch"][at])
            colour = CYCLE[len(curves) - 1]
            ax.plot([epoch], [last[at]], "o", ms=7, mfc="white", mec=colour, mew=1.8, label=f"lowest: epoch {epoch}")
            ax.legend()
    return ax


def score_names(history: History) -> tuple[str, ...]:
    """Return the columns of a history that hold metrics, validation metrics if there are any."""
    names = [name for name in history.columns if name not in NOT_SCORES]
    return tuple([name for name in names if name.startswith("validation_")] or names)


def score_curves(history: History, ax: Axes | None = None) -> Axes:
    """Draw the metrics by epoch, those of the validation rows where they were measured."""
    with house_style():
        ax = _axes(ax)
        names = score_names(history)
        held_out = all(name.startswith("validation_") for name in names)
        labels = {name: name.removeprefix("validation_").replace("_", " ") for name in names}
        drawn = {_drawable(label): history[name] for name, label in labels.items()}
        _lines(ax, history, drawn)
        rows = "validation" if held_out else "training"
        ax.set_ylabel(f"{_drawable(labels[names[0]])} on {rows} rows" if len(drawn) == 1 else f"score on {rows} rows")
        if len(drawn) > 1:
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=min(len(drawn), 4))
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
        ax.plot(history["epoch"], values, marker=marker, ms=4, color=CYCLE[i % len(CYCLE)], label=label)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    every = np.concatenate(list(curves.values()))
    every = every[np.isfinite(every)]
    if every.size and every.min() > 0 and every.max() > 20 * every.min():
        ax.set_yscale("log")


# ---- results ------------------------------------------------------------------------------------------------------


def confusion_matrix(matrix: npt.ArrayLike, labels: Sequence[str], ax: Axes | None = None) -> Axes:
    """Draw counts (k, k), rows the true class and columns the predicted one, with the number in each cell.

    The shade is the share of the true class (its row). Above 40 classes the numbers would be too small and are left
    out. Raises GlassnetError where `labels` are not k.
    """
    counts = np.asarray(matrix)
    k = len(labels)
    if not k or counts.shape != (k, k):
        raise fault("matrix", f"({k}, {k}) for {k} labels", counts.shape)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [_drawable(str(label), number) for number, label in enumerate(labels, 1)]
    digits, longest = len(f"{counts.max():g}"), max(map(len, names))
    long = longest > (4 if k > 5 else 9)
    cell = float(np.clip(0.1 + 0.085 * digits, 0.36, 11.0 / k))  # inches
    side = max(2.0, cell * k) + 0.9
    with house_style():
        ax = _axes(ax, (side + 0.08 * longest, side + (0.06 * longest if long else 0.2)))
        ax.imshow(share, cmap=SHADES, norm=PowerNorm(0.5, 0, 1))  # the root lets rare confusions show
        ax.set_xticks(range(k), names, rotation=45 if long else 0, ha="right" if long else "center")
        ax.set_xticks(np.arange(k + 1) - 0.5, minor=True)
        ax.set_yticks(range(k), names)
        ax.set_yticks(np.arange(k + 1) - 0.5, minor=True)
        ax.grid(visible=False)
        ax.grid(visible=True, which="minor", color="white", linewidth=1.5)
        ax.tick_params(which="both", length=0)
        ax.spines[:].set_visible(False)
        ax.set(xlabel="predicted class", ylabel="true class")
        if k <= 40:
            _numbers(ax, counts, share, size=min(9.5, 95 * cell / digits))
    return ax


def _numbers(ax: Axes, counts: Array, share: Array, size: float) -> None:
    for (i, j), count in np.ndenumerate(counts):
        colour = "white" if share[i, j] > 0.4 else INK if count else "#aab4be"
        ax.text(j, i, f"{count:g}", ha="center", va="center", color=colour, fontsize=size)


def predicted_against_true(
    y_true: npt.ArrayLike, y_pred: npt.ArrayLike, ax: Axes | None = None, name: str = "target"
) -> Axes:
    """Draw predictions (m,) against the truth (m,) with the diagonal on which they agree."""
    true, predicted = as_floats("y_true", y_true).ravel(), as_floats("y_pred", y_pred).ravel()
    if true.shape != predicted.shape or not true.size:
        raise fault("y_true and y_pred", "equally many numbers", f"{true.size} and {predicted.size}")
    low, high = (float(f(np.concatenate([true, predicted]))) for f in (np.min, np.max))
    margin = 0.04 * (high - low) or 0.5
    ends = (low - margin, high + margin)
    name = _drawable(name, most=36)
    with house_style():
        ax = _axes(ax, (4.4, 4.4))
        ax.plot(ends, ends, color=MUTED, lw=1.0, ls=(0, (4, 3)), label="predicted = true")
        ax.scatter(
            true, predicted, s=18, color=BLUE, alpha=0.55, linewidths=0, rasterized=true.size > 1500, label="one row"
        )
        ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"true {name}", ylabel=f"predicted {name}")
        ax.legend(loc="upper left")
    return ax


# ---- inside the network -------------------------------------------------------------------------------------------


def weight_images(W: npt.ArrayLike, image_shape: tuple[int, int], count: int = 25) -> Figure:
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
        figure = Figure(figsize=(5.2, float(np.clip(4.3 * rows * (tall + 0.08) / columns, 1.2, 7.0)) + 0.1))
        ax = figure.add_subplot()
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
        bar = figure.colorbar(ax.images[0], ax=ax, shrink=0.8, aspect=25, pad=0.02)
        bar.outline.set_visible(False)
        bar.set_label("weight")
    return figure


def layer_histograms(statistics: Sequence[LayerStatistics]) -> Figure:
    """Draw, for each layer, how its activations are distributed; widely different shares get a logarithmic scale."""
    if not statistics:
        raise fault("statistics", "those of at least one layer", "none", "Take layer_statistics(...).")
    columns = min(3, len(statistics))
    rows = -(-len(statistics) // columns)
    with house_style():
        figure = Figure(figsize=(max(2.6 * columns, 3.6), 2.3 * rows))
        for n, one in enumerate(statistics):
            ax = figure.add_subplot(rows, columns, n + 1)
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
            if n % columns == 0:
                ax.set_ylabel("share of activations")
    return figure


def signal_sizes(statistics: Sequence[LayerStatistics], ax: Axes | None = None) -> Axes:
    """Draw the size of what flows forward (standard deviation of a) and back (rms of delta) at each layer."""
    layers = np.arange(1, len(statistics) + 1)
    series = (
        ("forward: standard deviation of a", "o", BLUE, np.array([one.a_std for one in statistics])),
        ("backward: rms of delta = dJ/dz", "s", VERMILLION, np.array([one.delta_rms for one in statistics])),
    )
    with house_style():
        ax = _axes(ax, (max(5.2, 0.9 * len(layers) + 0.8), 3.3))
        for label, marker, colour, sizes in series:
            ax.plot(layers, np.where(sizes > 0, sizes, np.nan), marker=marker, ms=6, color=colour, label=label)
        if any((sizes > 0).any() for *_, sizes in series):
            ax.set_yscale("log")
        ax.set_xticks(layers, [_caption(one).replace(": ", "\n") for one in statistics])
        ax.set_xlim(0.6, len(layers) + 0.4)
        ax.set_ylabel("size of the signal")
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, columnspacing=1.2)
    return ax


def _caption(one: LayerStatistics) -> str:
    what = one.activation if one.kind == "Dense" else one.kind
    return f"{one.number}: {one.units} {_drawable(what)}"


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
        ax = _axes(ax, (max(5.2, 1.6 * len(columns) + 0.6), 0.8 + 0.29 * (tallest + 2.4)))
        for x in range(1, len(columns)):
            _edges(ax, x, shown[x - 1], shown[x], weights[columns[x][0] - 1])
        for x, ((number, units, caption), (_, y)) in enumerate(zip(columns, shown, strict=True)):
            ax.scatter(np.full(len(y), x), y, s=95, c="white" if number else FAINT, edgecolors=INK, lw=1.0, zorder=3)
            if units > len(y):
                ax.scatter([x] * 3, [-0.28, 0, 0.28], s=5, color=INK, zorder=3)
            for i, line in enumerate(caption.split("\n")):
                y_text = -tallest / 2 - 1.25 - 0.75 * i
                ax.text(x, y_text, line, ha="center", va="baseline", color=MUTED if i else INK)
        if theta is not None:
            for label, colour in (("positive weight", BLUE), ("negative weight", VERMILLION)):
                ax.plot([], [], color=colour, lw=2.2, label=label)
            ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
        lines = max(caption.count("\n") for *_, caption in columns)
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(-tallest / 2 - 1.6 - 0.75 * lines, tallest / 2 + 0.5))
        ax.set_axis_off()
    return ax


def _columns(net: Network) -> list[tuple[int, int, str]]:
    """Return (layer, units, caption) of the input, layer 0, and of every layer with weights W."""
    columns = [(0, net.n_inputs, f"{net.n_inputs} input{'s' * (net.n_inputs > 1)}")]
    for l, (layer, n_in, n_out) in enumerate(zip(net.layers, net.sizes[:-1], net.sizes[1:], strict=True), 1):
        if "W" in layer.parameters(n_in):
            columns.append((l, n_out, f"{n_out} {_drawable(layer.function.name)}"))
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


# ---- out ----------------------------------------------------------------------------------------------------------


def figure_of(drawn: Figure | Axes) -> Figure:
    """Return the figure that axes belong to, or the figure itself."""
    figure = drawn if isinstance(drawn, Figure) else drawn.figure
    if not isinstance(figure, Figure):
        raise type_fault("drawn", "a Figure or the Axes of one", type(figure).__name__)
    return figure


def to_svg(drawn: Figure | Axes) -> str:
    """Return the picture as text `<svg ...>...</svg>`; the same picture always gives the same text."""
    text = io.StringIO()
    with house_style():
        figure_of(drawn).savefig(
            text, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None}
        )
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def to_png_base64(drawn: Figure | Axes, dpi: float = 150) -> str:
    """Return the picture as a PNG in base64, for `<img src="data:image/png;base64,...">`."""
    picture = io.BytesIO()
    with house_style():
        figure_of(drawn).savefig(picture, format="png", dpi=dpi)
    return base64.b64encode(picture.getvalue()).decode("ascii")


# ---- shared -------------------------------------------------------------------------------------------------------


def _axes(ax: Axes | None, size: tuple[float, float] = (5.2, 3.3)) -> Axes:
    return Figure(figsize=size).add_subplot() if ax is None else ax


def _drawable(text: str, number: int = 0, most: int = 18) -> str:
    """Return text that matplotlib can draw: short, no formulas; a name with letters that the font lacks is "#number".

    Names come from other people's files: a "$" would be read as the start of a formula, and a letter that the font
    does not have would be drawn as an empty box.
    """
    text = " ".join(text.split())
    known = get_font(findfont(FontProperties(family="DejaVu Sans"))).get_charmap()
    if not text or any(ord(letter) not in known for letter in text):
        return f"#{number}" if number else "?"
    text = text if len(text) <= most else f"{text[: most - 1]}…"
    return text.replace("$", r"\$")
