"""What all pictures share: colours, type, axes, names that can be drawn, and the ways out as SVG and PNG.

Figures are plain objects (`axes.figure`), never pyplot's, so nothing stays open. Colours are those of Okabe and Ito
(2008), which colour-blind readers can tell apart.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, get_font

from glassnet.errors import type_fault

__all__ = [
    "AMBER", "BLUE", "CYCLE", "DIVERGING", "FAINT", "GREEN", "INK", "MARKS", "MUTED", "PURPLE", "SHADES", "SKY",
    "VERMILLION", "Axes", "Drawn", "Figure", "axes_or_new", "drawable", "figure_of", "house_style", "legend_by",
    "to_png_base64", "to_svg", "width_of",
]  # fmt: skip

BLUE, AMBER, GREEN, VERMILLION, PURPLE, SKY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9"
INK, MUTED, FAINT = "#1f2933", "#66727f", "#d5dbe1"
MARKS = ("o", "s", "^", "D", "v", "P")
"""Markers of the classes."""
CYCLE = (BLUE, AMBER, GREEN, PURPLE, SKY, VERMILLION)
DIVERGING = LinearSegmentedColormap.from_list("glassnet_diverging", ["#8f3f00", VERMILLION, "#ffffff", BLUE, "#003f66"])
SHADES = LinearSegmentedColormap.from_list("glassnet_shades", ["#f3f6f9", "#cfe3f1", "#7fb4d8", BLUE, "#004b78"])


Drawn = Figure | Axes | Sequence[Axes]
"""What a picture function returns; `Drawn` things can be written as SVG and PNG."""


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


def figure_of(drawn: Drawn) -> Figure:
    """Return the figure that axes belong to, or the figure itself."""
    one = drawn[0] if isinstance(drawn, Sequence) else drawn
    figure = one if isinstance(one, Figure) else one.figure
    if not isinstance(figure, Figure):
        raise type_fault("drawn", "a Figure or the Axes of one", type(figure).__name__)
    return figure


def to_svg(drawn: Drawn) -> str:
    """Return the picture as text `<svg ...>...</svg>`; the same picture always gives the same text."""
    text = io.StringIO()
    with house_style():
        figure_of(drawn).savefig(
            text, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None}
        )
    whole = text.getvalue()
    return whole[whole.index("<svg") :]


def to_png_base64(drawn: Drawn, dpi: float = 150) -> str:
    """Return the picture as a PNG in base64, for `<img src="data:image/png;base64,...">`."""
    picture = io.BytesIO()
    with house_style():
        figure_of(drawn).savefig(picture, format="png", dpi=dpi)
    return base64.b64encode(picture.getvalue()).decode("ascii")


def axes_or_new(ax: Axes | None, size: tuple[float, float] = (5.2, 3.3)) -> Axes:
    """Return these axes, or those of a new figure of that size in inches."""
    return Figure(figsize=size).add_subplot() if ax is None else ax


def width_of(ax: Axes) -> float:
    """Return how wide axes are, in inches."""
    return float(figure_of(ax).get_figwidth() * ax.get_position().width)


def legend_by(ax: Axes, columns: int) -> bool:
    """Put a legend above the axes and return True, where they are alone in their figure; else a small one inside.

    Above small axes it would lie on their neighbours, or be cut.
    """
    alone = len(figure_of(ax).axes) == 1
    if alone:
        ax.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, columnspacing=1.2)
    else:
        ax.legend(loc="best", fontsize=7, frameon=True, framealpha=0.8, edgecolor="none", handlelength=1.2)
    return alone


def drawable(text: str, number: int = 0, most: int = 18) -> str:
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
