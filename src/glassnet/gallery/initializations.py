"""Nine ways to draw the first weights: how far signals and gradients spread, and what it does to the training.

The network of `batch_sizes` (3-4-4-2, sigmoid, half squared error, two Gaussian clouds) from

    normal          N(0, 1)                              he_normal     N(0, 1) sqrt(2 / n_in)
    uniform         U(-1, 1)                             he_uniform    U(-1, 1) sqrt(6 / n_in)
    glorot_normal   N(0, 1) sqrt(2 / (n_in + n_out))     lecun_normal  N(0, 1) sqrt(1 / n_in)
    glorot_older    N(0, 1) / sqrt(n_in + n_out)         orthogonal    orthonormal rows or columns
    glorot_uniform  U(-1, 1) sqrt(6 / (n_in + n_out))

The inputs have a covariance of trace 6 (three unit variances, and three times 1 from the two means), so that the
pre-activations of the first layer have variance 6 s^2, where s^2 is the variance of one weight.
Glorot and Bengio (2010); He, Zhang, Ren and Sun (2015); LeCun et al. (1998); Saxe, McClelland and Ganguli (2014).
"""

from __future__ import annotations

import numpy as np

import glassnet as gn
from glassnet import datasets
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, close, reproducible, shown
from glassnet.insight import pictures, plots

__all__ = ["QUESTION", "TITLE", "VARIANCES", "run"]

TITLE = "Nine ways to draw the first weights"
QUESTION = "How large should the first weights be, and how much does it matter for a small network?"

VARIANCES = {
    "normal": 1, "uniform": 1 / 3, "glorot_normal": 2 / 7, "glorot_older": 1 / 7, "glorot_uniform": 2 / 7,
    "he_normal": 2 / 3, "he_uniform": 2 / 3, "lecun_normal": 1 / 3, "orthogonal": 1 / 4,
}  # fmt: skip
"""s^2, the variance of one weight of the first layer (n_in = 3, n_out = 4)."""
LAYERS, TARGET, CAP = (1, 2, 3), 0.1, 2000


def objective(initializer: str) -> gn.Objective:
    """Return the 3-4-4-2 network with half squared error, its weights drawn by this initializer."""
    layers = [gn.Dense(units, "sigmoid", weight_init=initializer) for units in (4, 4, 2)]
    return reproducible(gn.Network(3, layers), "squared_error")


def begin(net: gn.Network, start: int) -> tuple[Array, Array, Array]:
    """Draw the clouds (40, 3) with their classes (40, 2), the same for all, then the weights."""
    data = datasets.load("two_gaussians", rng=(rng := np.random.default_rng(start)))
    return data.X, gn.one_hot(data.y), net.init(rng)


def spreads(initializer: str, starts: range) -> tuple[Array, Array]:
    """Return, for each layer, how far z spreads over the rows and how large the entries of dJ/dW are (rms)."""
    J = objective(initializer)
    X, Y, theta = (np.stack(parts) for parts in zip(*(begin(J.net, start) for start in starts), strict=True))
    trace = J.net.forward(theta, X)  # a stack of networks, each on its own data: z[l] is (starts, 40, units)
    gradient = J.net.views(J.value_and_grad(theta, X, Y)[1])
    z = np.array([np.sqrt(trace.z[l].var(axis=1).mean()) for l in LAYERS])
    return z, np.array([np.sqrt(np.mean(gradient[f"W{l}"] ** 2)) for l in LAYERS])


def epochs_to_target(initializer: str, starts: range) -> Array:
    """Return the epochs of full-batch descent at rate 1 to the loss TARGET, for each start; at most CAP."""
    J, stop, epochs = objective(initializer), gn.TargetReached(TARGET), []
    for start in starts:
        X, Y, theta = begin(J.net, start)
        run = gn.train(J, theta, X, Y, optimizer=gn.SGD(1.0), batch_size=40, epochs=CAP, callbacks=[stop])
        epochs.append(len(run.history))
    return np.array(epochs)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Measure the spreads over 400 draws and train from 20 starts (quick: 4) with each initializer."""
    starts = range(seed, seed + (4 if quick else 20))
    spread = {name: spreads(name, range(seed, seed + 400)) for name in VARIANCES}
    epochs = {name: epochs_to_target(name, starts) for name in VARIANCES}

    rows = [  # 400 draws of 4 units fix a standard deviation to about 3%; three times that is allowed
        close(f"{name}: spread of z1", spread[name][0][0], (6 * s2) ** 0.5, 0.1 * (6 * s2) ** 0.5)
        for name, s2 in VARIANCES.items()
    ]
    for name, (z, g) in spread.items():
        low, median, high = np.percentile(epochs[name], [25, 50, 75])
        rows += [
            shown(f"{name}: spread of z by layer", "  ".join(f"{one:.3f}" for one in z)),
            shown(f"{name}: rms of dJ/dW by layer", "  ".join(f"{one:.4f}" for one in g)),
            shown(f"{name}: epochs to loss {TARGET}, median (quartiles)", f"{median:.0f} ({low:.0f} to {high:.0f})"),
        ]
    rows += [shown(f"starts that the cap of {CAP} epochs ended", sum(int(sum(e >= CAP)) for e in epochs.values()))]

    with plots.house_style():
        figure, axes = pictures.grid_of_axes(1, 3, size=(3.6, 4.0))
        colours = {"glorot": plots.AMBER, "he": plots.GREEN, "lecun": plots.PURPLE, "orthogonal": plots.VERMILLION}
        jitter = np.random.default_rng(0).uniform(-0.22, 0.22, len(starts))
        for i, (name, (z, g)) in enumerate(spread.items()):
            colour = colours.get(name.partition("_")[0], plots.BLUE)
            mark = "s" if "uniform" in name else "^" if "older" in name else "o"
            for ax, sizes in ((axes[1], z), (axes[2], g)):
                ax.plot(LAYERS, sizes, marker=mark, ms=5, lw=1.2, color=colour, ls="--" if mark == "s" else "-")
            axes[0].plot(epochs[name], i + jitter, mark, ms=4, color=colour, alpha=0.55, mew=0)
            axes[0].plot([np.median(epochs[name])] * 2, [i - 0.38, i + 0.38], color=plots.INK, lw=2)
        axes[0].set(xlabel=f"epochs to loss {TARGET} (line: median)", yticks=range(9), yticklabels=spread)
        axes[0].set(title=f"Training: {len(starts)} starts each", ylim=(8.6, -0.6))
        for ax, title, what, ticks in (
            (axes[1], "Forward: signals shrink", "standard deviation of z", (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2)),
            (axes[2], "Backward: gradients shrink", "rms of the entries of dJ/dW", (0.002, 0.005, 0.01, 0.02)),
        ):
            ax.set(title=title, xlabel="layer", xticks=LAYERS, yscale="log", ylabel=what)
            ax.set_yticks(ticks, [f"{one:g}" for one in ticks])
            ax.yaxis.set_minor_formatter("")
    middle = {name: float(np.median(one)) for name, one in epochs.items()}
    best, worst = min(middle, key=middle.__getitem__), max(middle, key=middle.__getitem__)
    notes = (
        "The sigmoid's slope is at most 1/4: every layer shrinks signals going forward and gradients going back, the "
        "more, the smaller the weights (inputs of about 3 make up for it in dJ/dW of layer 1).",
        f"In this small network it matters little: the medians go from {middle[best]:.0f} epochs ({best}) to "
        f"{middle[worst]:.0f} ({worst}), while starts from {best} alone go from {epochs[best].min()} to "
        f"{epochs[best].max()}. The rules are made for deeper networks.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
