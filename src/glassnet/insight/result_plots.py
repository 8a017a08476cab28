"""What a model answers, beside the truth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.colors import PowerNorm

from glassnet.arrays import Array, as_floats
from glassnet.errors import fault
from glassnet.insight.style import BLUE, INK, MUTED, SHADES, Axes, axes_or_new, drawable, house_style

__all__ = ["confusion_matrix", "predicted_against_true"]


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
    names = [drawable(str(label), number) for number, label in enumerate(labels, 1)]
    digits, longest = len(f"{counts.max():g}"), max(map(len, names))
    long = longest > (4 if k > 5 else 9)
    cell = float(np.clip(0.1 + 0.085 * digits, 0.36, 11.0 / k))  # inches
    side = max(2.0, cell * k) + 0.9
    with house_style():
        ax = axes_or_new(ax, (side + 0.08 * longest, side + (0.06 * longest if long else 0.2)))
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
    name = drawable(name, most=36)
    with house_style():
        ax = axes_or_new(ax, (4.4, 4.4))
        ax.plot(ends, ends, color=MUTED, lw=1.0, ls=(0, (4, 3)), label="predicted = true")
        ax.scatter(
            true, predicted, s=18, color=BLUE, alpha=0.55, linewidths=0, rasterized=true.size > 1500, label="one row"
        )
        ax.set(xlim=ends, ylim=ends, aspect="equal", xlabel=f"true {name}", ylabel=f"predicted {name}")
        ax.legend(loc="upper left")
    return ax
