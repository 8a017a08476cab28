"""The 8-3-8 encoder: three sigmoid units must pass on which of eight inputs is on, and find a binary code.

The problem is that of Ackley, Hinton and Sejnowski (1985), by backpropagation (Rumelhart, Hinton and Williams 1986).
Biases, weights U(0, 1), half squared error, rate 1, one sample at a time in a fixed order. The error of an epoch is the
squared error summed over samples and outputs, without the half, measured while theta moves.
"""

from __future__ import annotations

import numpy as np

import glassnet as gn
from glassnet import datasets, initializers
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, Row, at_least, between, reproducible, shown
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure
from glassnet.optimizers import Rule

TITLE = "8-3-8: a network invents a binary code"
QUESTION = "What code do three hidden units find for eight inputs, and how long does each way of training take?"
X = datasets.load("eight_bits").X
PER_LOSS = 2 * len(X)  # the loss is the mean over 8 samples of half the squared error
GD, ADAM, LBFGS = "gradient descent", "Adam", "L-BFGS"


def objective_of(hidden: str = "sigmoid", output: str = "sigmoid") -> gn.Objective:
    """Return the half squared error of an 8-3-8 network that starts from U(0, 1)."""
    unit = initializers.uniform(0, 1)
    layers = [gn.Dense(n, f, weight_init=unit, bias_init=unit) for n, f in ((3, hidden), (8, output))]
    return reproducible(gn.Network(8, layers), "squared_error")


def train(objective: gn.Objective, seed: int, error: float, cap: int, rule: Rule, batch: int = 1) -> gn.Run:
    """Train until the error of an epoch is at most `error`, for at most `cap` epochs."""
    theta, enough = objective.net.init(rng=seed), [gn.TargetReached(error / PER_LOSS)]
    return gn.train(
        objective, theta, X, X, optimizer=rule, epochs=cap, batch_size=batch, sampling="sequential", callbacks=enough
    )  # fmt: skip


def codes(run: gn.Run) -> Array:
    """Return the hidden activations (8, 3) of a trained network: a row for each input."""
    return objective_of().net.forward(run.theta, X).a[1]


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Return the epochs to the error, the code table, the two classic exercises, and Adam and L-BFGS beside them."""
    error, easy, cap = (0.1, 0.2, 1000) if quick else (0.002, 0.05, 5000)
    fewest, most = (900, 1800) if quick else (39_000, 45_000)
    starts, objective = range(seed, seed + (2 if quick else 6)), objective_of()
    enough = [gn.TargetReached(error / PER_LOSS)]
    runs = {
        GD: [train(objective, s, error, 60_000, gn.SGD(1.0)) for s in starts],
        ADAM: [train(objective, s, error, 60_000, gn.Adam(0.1)) for s in starts],
        LBFGS: [gn.minimize(objective, objective.net.init(rng=s), X, X, callbacks=enough) for s in starts],
    }
    exercises = {
        "sigmoid, sigmoid": (objective, 1.0, 1), "tanh, sigmoid": (objective_of("tanh"), 1.0, 1),
        "ReLU, sigmoid": (objective_of("relu"), 1.0, 1), "sigmoid, softmax": (objective_of(output="softmax"), 1.0, 1),
        "batch 2, rate 1": (objective, 1.0, 2), "batch 8, rate 1": (objective, 1.0, 8),
        "batch 2, rate 2": (objective, 2.0, 2), "batch 8, rate 8": (objective, 8.0, 8),
    }  # fmt: skip
    epochs: dict[str, list[int]] = {}  # of the starts that reach the easier error
    for name, (one, rate, batch) in exercises.items():
        ended = [train(one, s, easy, cap, gn.SGD(rate), batch) for s in starts[:3]]
        epochs[name] = [len(r.history) for r in ended if r.status == "converged"]
    taken, distinct = [len(r.history) for r in runs[GD]], [len(np.unique(codes(r).round(), axis=0)) for r in runs[GD]]
    rows: list[Row] = [
        between(f"epochs to an error of {error:g}, fewest of {len(starts)} starts", min(taken), fewest, most),
        between(f"epochs to an error of {error:g}, most of {len(starts)} starts", max(taken), fewest, most),
        at_least("share of starts with 8 distinct codes", float(np.mean(np.equal(distinct, 8))), 0.5),
        at_least("distinct codes, fewest", min(distinct), 7),
    ]
    table = [" ".join(f"{a:.2f}" for a in row) for row in codes(runs[GD][0])]
    rows += [shown(f"code of input {bit}", text) for bit, text in enumerate(table)]
    for name, found in runs.items():
        there = [(float(len(r.history)), r.seconds) for r in found if PER_LOSS * r.loss <= error]
        middle, seconds = np.median(there or [(np.nan, np.nan)], axis=0)
        rows.append(shown(f"{name}: starts that arrive, epochs, seconds", f"{len(there)}, {middle:.0f}, {seconds:.2g}"))
    for name, numbers in epochs.items():
        rows.append(shown(f"{name}: epochs to {easy:g}", ", ".join(map(str, numbers)) or f"not in {cap}"))
    stuck = ", ".join(f"{PER_LOSS * r.loss:.2g}" for r in runs[LBFGS] if PER_LOSS * r.loss > error) or "none"
    notes = (
        f"In {distinct.count(8)} of {len(starts)} starts the eight codes, rounded, all differ: a binary code.",
        "A batch of b rows at rate b needs about the epochs of single samples at rate 1, and 1/b of the updates.",
        f"Runs that are missing beside the bars have not reached {easy:g} within {cap} epochs.",
        f"L-BFGS is quick where it arrives; its other starts end on a plateau, at errors of {stuck}.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), picture(runs, epochs, easy), notes)


@plots.house_style()
def picture(runs: dict[str, list[gn.Run]], epochs: dict[str, list[int]], easy: float) -> Figure:
    """Draw the error against epochs and seconds, the codes, and the epochs of the exercises."""
    figure, axes = pictures.grid_of_axes(2, 2, size=(4.8, 3.4))
    for (name, found), colour in zip(runs.items(), (plots.BLUE, plots.AMBER, plots.GREEN), strict=True):
        for r in found:
            at = np.unique(np.geomspace(1, len(r.history), 200).astype(int)) - 1  # evenly spread on a logarithmic axis
            error = PER_LOSS * r.history["loss"][at]
            axes[0].plot(at + 1, error, color=colour, linewidth=1.2, label=name if r is found[0] else None)
            axes[1].plot(r.history["seconds"][at], error, color=colour, linewidth=1.2)
    axes[0].set(title="each start", xlabel="epoch", ylabel="squared error of an epoch", xscale="log", yscale="log")
    axes[1].set(
        title="the same, by time", xlabel="time [s]", ylabel="squared error of an epoch", xscale="log", yscale="log"
    )
    axes[0].legend(loc="upper right")
    code = codes(runs[GD][0])
    pictures.heat_map(axes[2], code, list("01234567"), list("123"), [[f"{a:.2f}" for a in row] for row in code], (0, 1))
    axes[2].set(title="the code of the first start", xlabel="hidden unit", ylabel="input that is on")
    for row, numbers in enumerate(epochs.values()):
        axes[3].barh(row, np.median(numbers or [0]), color=plots.SKY)
        axes[3].plot(numbers, np.full(len(numbers), row), "o", color=plots.INK, markersize=4)
    axes[3].set_yticks(range(len(epochs)), list(epochs))
    axes[3].invert_yaxis()
    axes[3].set(title="hidden, output activation; batches", xlabel=f"epochs to an error of {easy:g}", ylabel="variant")
    return figure
