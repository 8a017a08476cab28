"""AdaGrad and six other rules: the rate, the start that dies, and the way through a narrow valley.

A 3-4-4-2 network, ReLU and softmax, cross-entropy, He-uniform weights, batches of 10 of the 40 points of two Gaussian
clouds. AdaGrad (Duchi, Hazan and Singer 2011) divides each step by what it has seen so far,

    r <- r + g * g,      theta <- theta - rate g / (1e-7 + sqrt r),

so that a rate that is too large soon becomes smaller. Too long a step moves ReLUs to where they are 0 for all rows: no
gradient leads back, and a network that has lost a layer can only guess, with loss ln 2 ("learned": below half of that).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

import glassnet as gn
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, at_most, close, reproducible, shown
from glassnet.gallery.initializations import begin
from glassnet.insight import pictures, plots
from glassnet.optimizers import Rule

__all__ = ["QUESTION", "TITLE", "run"]

TITLE = "AdaGrad and its relatives"
QUESTION = "What does a rule that sets its own step sizes gain, and does it free us from choosing a rate?"

RULES: Mapping[str, Callable[[float], Rule]] = {
    "SGD": gn.SGD, "momentum": partial(gn.SGD, momentum=0.9), "Nesterov": partial(gn.SGD, momentum=0.9, nesterov=True),
    "AdaGrad": gn.AdaGrad, "RMSProp": gn.RMSProp, "Adam": gn.Adam, "AdamW": gn.AdamW,
}  # fmt: skip
PLAIN, ADAPTIVE = list(RULES)[:3], list(RULES)[3:]
RATES, LEARNED = (0.5, 0.1, 0.02, 0.004), float(np.log(2)) / 2
COLOURS = dict(zip(RULES, (*plots.CYCLE, plots.INK), strict=True))
NET = gn.Network(3, [gn.Dense(n, f, weight_init="he_uniform") for n, f in ((4, "relu"), (4, "relu"), (2, "softmax"))])
J = reproducible(NET, "cross_entropy")


def fit(rule: Rule, start: int, epochs: int) -> tuple[Array, bool]:
    """Train; return the loss of all rows after each epoch, and whether a hidden layer ends at 0 for all rows."""
    X, Y, theta = begin(NET, start)
    run = gn.train(J, theta, X, Y, optimizer=rule, epochs=epochs, batch_size=10, rng=start, validation=(X, Y))
    losses = np.full(epochs, np.inf)  # of a run that diverged the rest stays infinite
    losses[: len(run.history)] = [row["validation_loss"] for row in run.history]
    return losses, any((a <= 0).all() for a in NET.forward(run.theta, X).a[1:3])


def twentieth_step(rule: Rule) -> float:
    """Return the 20th step of rate 0.5 where the gradient is 2 every time."""
    state = rule.init(np.zeros(1))
    for _ in range(20):
        step, state = rule.step(np.array([2.0]), state, 0.5)
    return float(step[0])


def on_a_slice(start: int, rates: Mapping[str, float]) -> tuple[Callable[[float, float], float], dict[str, Array]]:
    """Return the loss over two parameters, the weight and the bias below, and 100 full-batch steps of each rule."""
    X, Y, theta = begin(NET, start)
    place, liveliest = NET.views(np.arange(NET.n_parameters)), NET.forward(theta, X).a[2].mean(axis=0).argmax()
    two = [int(place["W3"][liveliest, 0]), int(place["b3"][0])]

    def at(point: Array) -> tuple[Array, Array]:
        moved = theta.copy()
        moved[two] = point
        return J.value_and_grad(moved, X, Y)

    paths = {name: [theta[two]] for name in rates}
    for name, path in paths.items():
        state = RULES[name](rates[name]).init(theta[two])
        for _ in range(100):
            step, state = RULES[name](rates[name]).step(at(path[-1])[1][two], state, rates[name], path[-1])
            path.append(path[-1] + step)
    return lambda u, v: float(at(np.array([u, v]))[0]), {name: np.array(path) for name, path in paths.items()}


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Train with each rule at four rates from 10 starts for 100 epochs (quick: 3 starts, 40 epochs)."""
    starts, epochs = range(seed, seed + (3 if quick else 10)), 40 if quick else 100
    fits = {(name, rate): [fit(RULES[name](rate), start, epochs) for start in starts]
            for name in RULES for rate in RATES}  # fmt: skip
    curve = {cell: np.median([losses for losses, _ in runs], axis=0) for cell, runs in fits.items()}
    learned = {cell: sum(bool(losses[-1] < LEARNED) for losses, _ in runs) for cell, runs in fits.items()}
    best = {name: max(RATES, key=lambda rate: (learned[name, rate], -curve[name, rate][-1])) for name in RULES}

    rows = [close("AdaGrad: 20th step", twentieth_step(gn.AdaGrad(0.5)), -0.5 * 2 / (1e-7 + np.sqrt(20 * 2**2)), 1e-12)]
    for name in RULES:
        counts, lost = (str(learned[name, rate]) for rate in RATES), sum(gone for _, gone in fits[name, 0.5])
        rows += [shown(f"{name}: starts of {len(starts)} that learn at 0.5, 0.1, 0.02, 0.004", " ".join(counts))]
        rows += [shown(f"{name}: starts that end with a dead hidden layer at 0.5", lost)]
        what, end = f"{name}: median loss at its best rate, {best[name]}", float(curve[name, best[name]][-1])
        rows += [at_most(what, end, LEARNED) if name in ADAPTIVE else shown(what, end)]

    with plots.house_style():
        figure, (chart, curves, *slices) = pictures.grid_of_axes(2, 2, size=(4.8, 3.5))
        grid = [[learned[name, rate] for rate in RATES] for name in RULES]
        pictures.heat_map(chart, grid, list(RULES), [str(rate) for rate in RATES], limits=(0, len(starts)))
        chart.set(xlabel="learning rate", title=f"How many of {len(starts)} starts learn")
        for name, rate in best.items():
            style = "--" if name == "AdamW" else "-"  # it lies on Adam
            curves.plot(range(1, epochs + 1), curve[name, rate], style, color=COLOURS[name], label=f"{name} {rate}")
        curves.set(xlabel="epochs", ylabel="median loss J", yscale="log", ylim=(None, 5), title="Each at its best rate")
        curves.legend(ncols=2, loc="upper right")
        for ax, names, what in zip(slices, (PLAIN, ADAPTIVE), ("one", "each its own"), strict=True):
            loss, paths = on_a_slice(seed, {name: best[name] for name in names})
            pictures.loss_surface(ax, loss, paths, colours=[COLOURS[name] for name in names])
            ax.lines[-3].set_linestyle("--" if "AdamW" in names else "-")
            ax.set(xlabel="weight to output 1", ylabel="bias of output 1", title=f"Two parameters, {what} rate")
            ax.legend(frameon=True, facecolor="white", edgecolor="none", framealpha=0.9)
    notes = (
        f"At rate 0.5 AdaGrad learns from {learned['AdaGrad', 0.5]} of {len(starts)} starts, SGD from "
        f"{learned['SGD', 0.5]}, Adam from {learned['Adam', 0.5]}: most that do not learn have lost a hidden layer.",
        f"No rule frees us from choosing a rate: the best of the four goes from {min(best.values())} to "
        f"{max(best.values())}. Below, 100 steps lead from the ring into a narrow valley and along its flat floor.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
