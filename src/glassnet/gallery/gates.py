"""OR is linear, XOR is not: what a hidden layer is for.

A linear unit draws one straight line through the square of the four inputs. One line parts OR; none parts XOR (Minsky
and Papert, Perceptrons, 1969). Two hidden units fold the square first: with ReLU and the weights below XOR is exact
(Goodfellow, Bengio and Courville, Deep Learning, 2016, section 6.1). That such weights exist does not mean that
descent finds them from every start.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

import glassnet as gn
from glassnet import datasets
from glassnet.gallery.experiment import Experiment, at_least, at_most, between, close, equal, reproducible
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure

TITLE = "OR is linear, XOR is not"
QUESTION = "What can a network with a hidden layer do that a straight line cannot, and does training find it?"

Floats = npt.NDArray[np.float64]
Predict = Callable[[Floats], Floats]  # rows (n, 2) -> outputs (n,)
HIDDEN = ("sigmoid", "tanh", "relu")
X, XOR = datasets.load("xor").X, datasets.load("xor").y
OR = np.array([0, 1, 1, 1])


def straight_line(gate: npt.NDArray[np.int64]) -> Predict:
    """Return the least-squares fit w0 + w1 x1 + w2 x2 to the four outputs of a gate."""
    w = np.linalg.lstsq(np.column_stack([np.ones(4), X]), gate)[0]
    return lambda P: np.asarray(w[0] + P @ w[1:])


def output(net: gn.Network, theta: Floats, P: Floats) -> Floats:
    """Return what the network says to the rows of P."""
    return np.asarray(net.forward(theta, P).output.ravel())


def xor_by_hand() -> tuple[gn.Network, Floats]:
    """Return the 2-2-1 ReLU network that is XOR: the second unit takes away what the first says too much at (1, 1)."""
    net = gn.Network(2, [gn.Dense(2, "relu"), gn.Dense(1)])
    return net, net.layout.pack({"W1": [[1, 1], [1, 1]], "b1": [0, -1], "W2": [[1], [-2]], "b2": [0]})


def train_xor(units: int, activation: str, seeds: range, epochs: int) -> tuple[list[Predict], list[Predict]]:
    """Train 2-units-1 from weights and biases N(0, 1); return the networks that reach XOR, and the others."""
    layers = ((units, activation), (1, "sigmoid"))
    net = gn.Network(2, [gn.Dense(n, f, weight_init="normal", bias_init="normal") for n, f in layers])
    objective = reproducible(net, "binary_cross_entropy")
    ends: tuple[list[Predict], list[Predict]] = [], []
    for seed in seeds:
        run = gn.train(objective, net.init(rng=seed), X, XOR[:, None], optimizer=gn.Adam(0.05), epochs=epochs)
        all_right = np.all((output(net, run.theta, X) > 0.5) == XOR)
        ends[0 if all_right else 1].append(partial(output, net, run.theta))
    return ends


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Fit OR and XOR by least squares, build XOR by hand, then train it from 20 random starts (quick: 8)."""
    starts, epochs = (8, 500) if quick else (20, 1000)
    or_line, xor_line, (net, theta) = straight_line(OR), straight_line(XOR), xor_by_hand()
    trace = net.forward(theta, X)
    ends = {(f, n): train_xor(n, f, range(seed, seed + starts), epochs) for f in HIDDEN for n in (2, 4)}
    reached = {cell: len(good) for cell, (good, _) in ends.items()}
    stuck = {n: 1 - sum(reached[f, n] for f in HIDDEN) / (3 * starts) for n in (2, 4)}

    rows = [
        close("OR, best line: off 1/4 3/4 3/4 5/4 by", np.abs(or_line(X) - [0.25, 0.75, 0.75, 1.25]).max(), 0, 1e-12),
        equal("OR, best line: outputs above 1/2", (or_line(X) > 0.5).tolist(), (OR == 1).tolist()),
        close("XOR, best line: off 1/2 1/2 1/2 1/2 by", np.abs(xor_line(X) - 0.5).max(), 0, 1e-12),
        equal("XOR by hand: hidden z", trace.z[1].astype(int).tolist(), [[0, -1], [1, 0], [1, 0], [2, 1]]),
        equal("XOR by hand: hidden a", trace.a[1].astype(int).tolist(), [[0, 0], [1, 0], [1, 0], [2, 1]]),
        equal("XOR by hand: output", trace.output.ravel().tolist(), [0.0, 1.0, 1.0, 0.0]),
    ]
    for f in HIDDEN:
        rows.append(at_most(f"{f} 2-2-1: starts of {starts} that reach XOR", reached[f, 2], starts - 1))
        rows.append(at_least(f"{f} 2-4-1: no fewer of them", reached[f, 4], reached[f, 2]))
    rows.append(between("stuck in some: share of all 2-2-1", stuck[2], 0.1, 0.9))
    rows.append(at_most("stuck in few: share of all 2-4-1", stuck[4], 0.25))

    surfaces = {"OR: best line": or_line, "XOR: best line, 1/2 everywhere": xor_line}
    surfaces["XOR: ReLU by hand"] = partial(output, net, theta)
    for title, found in [("relu, stuck", ends["relu", 2][1])] + [(f"{f}, trained", ends[f, 2][0]) for f in HIDDEN]:
        surfaces |= {f"XOR: {title}": one for one in found[:1]}
    counts = [reached[f, 2] for f in HIDDEN]
    notes = (
        "One straight line parts OR: its outputs 1/4, 3/4, 3/4, 5/4 lie on the right sides of 1/2. For XOR the best "
        "line says 1/2 everywhere. Two hidden units draw two lines, and XOR lies between them.",
        f"Training does not always find them: of {starts} starts of each 2-2-1, {min(counts)} to {max(counts)} reach "
        "XOR; the others end on a plateau or in a local minimum, or with a ReLU unit that is dead at all four inputs.",
        f"More units make the way down easier: with 4 instead of 2, {stuck[4]:.0%} of the starts are stuck instead of "
        f"{stuck[2]:.0%} (ReLU alone {1 - reached['relu', 4] / starts:.0%} instead of "
        f"{1 - reached['relu', 2] / starts:.0%}).",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), draw(surfaces, reached, starts), notes)


def draw(surfaces: dict[str, Predict], reached: dict[tuple[str, int], int], starts: int) -> Figure:
    """Draw the decision surfaces, and how many starts reached XOR."""
    figure, axes = pictures.grid_of_axes(2, 4, size=(2.7, 2.7))
    with plots.house_style():
        for ax, (title, predict) in zip(axes, surfaces.items(), strict=False):
            pictures.decision_surface(ax, predict, X, OR if title.startswith("OR") else XOR)
            ax.set(title=title, xlabel="$x_1$", ylabel="$x_2$", xticks=(0, 1), yticks=(0, 1))
        axes[1].legend(title="target", loc="center")
        for units, shift, colour in ((2, -0.2, plots.AMBER), (4, 0.2, plots.PURPLE)):
            heights = [reached[f, units] for f in HIDDEN]
            bars = axes[-1].bar(np.arange(3) + shift, heights, 0.38, color=colour, label=f"2-{units}-1")
            axes[-1].bar_label(bars)
        axes[-1].set(title="Starts that reach XOR", ylabel=f"starts of {starts}", ylim=(0, 1.3 * starts))
        axes[-1].set_xticks(range(3), HIDDEN)
        axes[-1].grid(visible=False, axis="x")
        axes[-1].legend(ncols=2, loc="upper center")
    return figure
