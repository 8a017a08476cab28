"""Full batch, mini-batches, one sample at a time: the same road, at a different price.

Two Gaussian clouds in three dimensions, 20 points each, and a 3-4-4-2 network, sigmoid everywhere, half squared error.
A batch B of b rows takes the step

    theta <- theta - (rate / m) sum_{i in B} grad loss_i,       m = 40, rate = 1

so that the steps of one epoch add up to one full-batch step, were theta to stand still meanwhile. It moves little at
this rate, and against epochs the three curves are one. Small batches pay when each takes the MEAN of its own gradients,
a rate m/b times larger: the linear scaling rule (Goyal et al., Accurate, Large Minibatch SGD, 2017), read backwards.
"""

from __future__ import annotations

import numpy as np

import glassnet as gn
from glassnet import datasets
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, close, equal, reproducible, shown
from glassnet.insight import pictures, plots

__all__ = ["QUESTION", "TITLE", "run"]

TITLE = "Full batch, mini-batch, stochastic"
QUESTION = "What does the size of a batch change: the way down, the number of steps, or the time?"

M, RATE, TARGET = 40, 1.0, 0.15
SIZES = {"full batch, 40": 40, "mini-batches of 5": 5, "stochastic, 1": 1}
NET = gn.Network(3, [gn.Dense(units, "sigmoid", weight_init="normal") for units in (4, 4, 2)])  # weights N(0, 1)
SEEN = {"epochs": "one road", "updates": "many small for one", "seconds": "the full batch first"}
OBJECTIVE = reproducible(NET, "squared_error")


def begin(start: int) -> tuple[Array, Array, Array]:
    """Draw the clouds (40, 3) with their classes (40, 2), then the weights."""
    rng = np.random.default_rng(start)
    data = datasets.load("two_gaussians", rng=rng)
    return data.X, gn.one_hot(data.y), NET.init(rng)


def fit(start: int, batch_size: int, learning_rate: float, cap: int) -> gn.Run:
    """Train from one start until 100% are right or the cap is reached."""
    X, Y, theta = begin(start)
    return gn.train(
        OBJECTIVE, theta, X, Y, optimizer=gn.SGD(learning_rate), batch_size=batch_size, epochs=cap, rng=start,
        validation=(X, Y),  # the training rows again: their loss at the END of each epoch, for all sizes alike
        metrics={"accuracy": gn.accuracy},
        callbacks=[gn.TargetReached(1.0, "validation_accuracy")],
    )  # fmt: skip


def first(run: gn.Run, column: str = "epoch") -> float:
    """Return the epoch (or updates, or seconds) at which the loss had come down to TARGET, else that of the end."""
    there = np.flatnonzero(run.history["validation_loss"] <= TARGET)
    return float(run.history[column][there[0] if there.size else -1])


def batches_miss_the_whole_by(start: int, batch_size: int) -> float:
    """Return the largest entry of |sum over the batches of b/m times their mean gradient - full gradient|."""
    X, Y, theta = begin(start)
    _, whole = OBJECTIVE.value_and_grad(theta, X, Y)
    batches = zip(X.reshape(-1, batch_size, 3), Y.reshape(-1, batch_size, 2), strict=True)
    parts = [OBJECTIVE.value_and_grad(theta, *batch)[1] for batch in batches]
    return float(np.abs(batch_size / M * np.sum(parts, axis=0) - whole).max())


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Train with the three sizes from 5 starts (quick: 2), for at most 1000 epochs (quick: 300)."""
    starts = range(seed, seed + (2 if quick else 5))
    cap = 300 if quick else 1000
    # glassnet's gradient is the batch's mean: "summed over the batch, divided by all 40" is the mean at rate b/40
    fits = {name: [fit(start, b, RATE * b / M, cap) for start in starts] for name, b in SIZES.items()}
    own_mean = {name: [fit(start, b, RATE, cap // 2) for start in starts] for name, b in SIZES.items() if b < M}

    epochs = {name: np.array([first(one) for one in runs]) for name, runs in fits.items()}
    rows = []
    for name, b in SIZES.items():
        runs = fits[name]
        rows += [equal(f"{name}: updates an epoch", int(runs[0].history["updates"][0]), M // b)]
        if b < M:
            miss = max(batches_miss_the_whole_by(start, b) for start in starts)
            ratio = epochs[name] / epochs["full batch, 40"]
            rows += [close(f"{name}: sum of an epoch's gradients less the full gradient", miss, 0.0, 1e-12)]
            rows += [close(f"{name}: epochs to loss {TARGET} over those of the full batch", np.median(ratio), 1, 0.05)]
            rows += [shown(f"{name}: that ratio over {len(starts)} starts", f"{ratio.min():.3f} to {ratio.max():.3f}")]
        for column in ("epoch", "updates", "seconds"):
            value = float(np.median([first(one, column) for one in runs]))
            rows += [shown(f"{name}: {column.replace('epoch', 'epochs')} to loss {TARGET}, median", value)]
        done = sum(one.status == "converged" for one in runs)
        rows += [shown(f"{name}: what came first", f"100% right {done}, cap of {cap} epochs {len(runs) - done}")]
        rose = sum(bool((np.diff(one.history["validation_loss"]) > 0.01).any()) for one in runs)
        rows += [shown(f"{name}: starts in which an epoch raised the loss by over 0.01", rose)]
    faster = {name: float(np.median([first(one) for one in runs])) for name, runs in own_mean.items()}
    rows += [shown(f"{name}, rate 1 on its own mean: epochs to loss {TARGET}", value) for name, value in faster.items()]

    with plots.house_style():
        figure, axes = pictures.grid_of_axes(2, 3, size=(3.5, 2.8))
        looks = ((plots.BLUE, "-"), (plots.AMBER, (0, (5, 2))), (plots.GREEN, (0, (1, 1.2))))
        for j, (unit, seen) in enumerate(SEEN.items()):
            for ax, score, what in ((axes[j], "loss", "loss J"), (axes[3 + j], "accuracy", "share of rows right")):
                for (name, runs), (colour, style) in zip(fits.items(), looks, strict=True):
                    for i, one in enumerate(runs):  # the first start is bold, the others are faint
                        x, y = one.history[unit.replace("epochs", "epoch")], one.history[f"validation_{score}"]
                        bold = {"lw": 2.0, "label": name} if i == 0 else {"lw": 0.7, "alpha": 0.35}
                        ax.plot(x, y, color=colour, ls=style, zorder=3 if i == 0 else 2, **bold)
                        if one.status == "converged":
                            ax.plot(x[-1], y[-1], "o", ms=5.5, color=colour, mec="white", mew=0.8, zorder=4)
                ax.set(xlabel=unit, ylabel=what if j == 0 else "", xscale="linear" if j == 0 else "log")
            axes[j].set(title=f"Against {unit}: {seen}", ylim=(0, None))
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    notes = (
        "Against epochs all sizes go one way, because the steps of an epoch add up to the same gradient: here the full "
        "batch is the cheapest, with 1 update an epoch instead of 40. Dots: all 40 rows are right, the run ends.",
        "A full step can be too long where 40 short ones are not: then its loss jumps up and its accuracy flickers.",
        "Small batches pay once each takes the mean of its own gradients at rate 1: epochs to loss 0.15 fall from "
        "{:.0f} to {:.0f} (5 rows) and {:.0f} (1 row).".format(np.median(epochs["full batch, 40"]), *faster.values()),
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
