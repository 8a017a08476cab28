"""One hidden layer approximates every continuous function, if only it is wide enough.

Cybenko (1989) showed it for sigmoidal units, Leshno, Lin, Pinkus and Schocken (1993) for any activation that is not a
polynomial. The theorem says that good weights exist. It does not say how many units they take (that depends on how
the units suit the function), nor that training finds them: therefore several starts, and their spread.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import glassnet as gn
from glassnet.gallery.experiment import Experiment, Row, at_most, equal, reproducible
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure

TITLE = "Wider is closer: universal approximation"
QUESTION = "How fast does the largest error of a one-hidden-layer network fall as the layer widens?"

Floats = npt.NDArray[np.float64]
TARGETS: dict[str, Callable[[Floats], Floats]] = {
    "smooth": lambda x: np.sin(2 * np.pi * x),
    "kinked": lambda x: np.abs((3 * x) % 2 - 1),  # straight pieces with corners at 1/3 and 2/3
}
BOUNDS = {("smooth", "tanh"): 1e-3, ("kinked", "tanh"): 0.05, ("smooth", "relu"): 0.05, ("kinked", "relu"): 0.02}
COLOURS = {"tanh": plots.BLUE, "relu": plots.VERMILLION}
TRAINED_ON = np.linspace(0, 1, 201)[:, None]
MEASURED_ON = np.linspace(0, 1, 2001)[:, None]


@dataclass(frozen=True)
class Fit:
    """What one start came to: the cost it was trained on, the curve on MEASURED_ON, the largest error there."""

    cost: float
    curve: Floats
    error: float


def fit(target: Callable[[Floats], Floats], activation: str, width: int, seed: int, max_iter: int) -> Fit:
    """Fit 1-width-1 by BFGS. First weights N(0, 36), biases U(-6, 6): bends of many scales all over [0, 1]."""
    wide = {"name": "uniform", "low": -6.0, "high": 6.0}
    hidden = gn.Dense(width, activation, weight_init={"name": "normal", "std": 6.0}, bias_init=wide)
    net = gn.Network(1, [hidden, gn.Dense(1)])
    objective, theta, y = reproducible(net, "squared_error"), net.init(rng=seed), target(TRAINED_ON)
    run = gn.minimize(objective, theta, centred(TRAINED_ON), y, method="bfgs", max_iter=max_iter, tolerance=1e-9)
    curve = net.forward(run.theta, centred(MEASURED_ON)).output
    return Fit(run.loss, curve.ravel(), float(np.abs(curve - target(MEASURED_ON)).max()))


def centred(x: Floats) -> Floats:
    """Bring [0, 1] to [-1, 1], where the units' starting values suit it."""
    return 2 * x - 1


Fits = dict[tuple[str, str], list[list[Fit]]]
"""(target, activation) -> for each width, a fit from each start."""


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Fit both functions with tanh and ReLU units at every width, from 5 starts each (quick: 3 widths, 2 starts)."""
    widths, starts, max_iter = ((1, 4, 16), 2, 300) if quick else ((1, 2, 4, 8, 16, 32, 64), 5, 1000)
    seeds = range(seed, seed + starts)
    fits: Fits = {
        (name, f): [[fit(target, f, width, s, max_iter) for s in seeds] for width in widths]
        for name, target in TARGETS.items()
        for f in COLOURS
    }
    best = {pair: [min(one.error for one in at_width) for at_width in of_pair] for pair, of_pair in fits.items()}
    rows: list[Row] = []
    for (name, f), errors in best.items():
        bound = BOUNDS[name, f] * (4 if quick else 1)
        rows.append(at_most(f"{name}, {f}: largest error, width {widths[-1]}, best start", errors[-1], bound))
        if (name, f) != ("kinked", "relu"):
            falls, some = np.diff(errors[::2]) < 0, ", ".join(map(str, widths[::2]))
            rows.append(equal(f"{name}, {f}: falls from width to width, {some}", bool(falls.all()), True))
        elif not quick:  # exact from 3 units on: what is left is how far BFGS went, and few starts go all the way
            rows.append(at_most("kinked, relu: smallest error, 3 units would do", min(errors), 1e-6))
    least = min(best["kinked", "relu"])
    wide = {pair: errors[-1] for pair, errors in best.items()}
    notes = (
        f"The wider, the closer. With {widths[-1]} tanh units the best start misses the smooth function by at most "
        f"{wide['smooth', 'tanh']:.0e}, the kinked one by {wide['kinked', 'tanh']:.0e}: a smooth unit rounds corners.",
        f"ReLU units are the other way round: three can be the kinked function (nearest: {least:.0e}), but a smooth "
        f"one takes many short straight pieces ({wide['smooth', 'relu']:.0e} with {widths[-1]}).",
        f"The band spans {starts} starts: good weights exist, and some starts do not find them. The largest errors are "
        f"measured at {len(MEASURED_ON)} points, of which {len(TRAINED_ON)} were trained on.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), draw(fits, widths), notes)


def draw(fits: Fits, widths: tuple[int, ...]) -> Figure:
    """Draw the narrow and wide tanh fits of each function (lowest cost), and the largest errors against width."""
    figure, axes = pictures.grid_of_axes(2, 2, size=(4.7, 2.9))
    with plots.house_style():
        for (curves, errors), (name, target) in zip((axes[::2], axes[1::2]), TARGETS.items(), strict=True):
            curves.plot(MEASURED_ON, target(MEASURED_ON), color=plots.FAINT, linewidth=6, label=f"{name} function")
            for i, colour in ((0, plots.AMBER), (widths.index(4), plots.GREEN), (-1, plots.INK)):
                chosen = min(fits[name, "tanh"][i], key=lambda one: one.cost)
                curves.plot(MEASURED_ON, chosen.curve, color=colour, linewidth=1.3, label=f"{widths[i]} tanh")
            curves.set(title=f"A {name} function and its fits", xlabel="$x$", ylabel="output")
            curves.margins(y=0.2)
            curves.legend(ncols=4, loc="upper center", columnspacing=1.0, handlelength=1.2)
            for f, colour in COLOURS.items():
                runs = np.array([[one.error for one in at_width] for at_width in fits[name, f]]).T
                pictures.band(errors, widths, runs, label=f"{f} units", colour=colour)
            errors.set(title=f"The {name} function: median and range of {len(runs)} starts", xlabel="hidden units")
            errors.set(xscale="log", yscale="log", ylabel="largest error on [0, 1]")
            errors.set_xticks(widths, [str(width) for width in widths])
            errors.minorticks_off()
            errors.legend(loc="lower left")
    return figure
