"""A two-layer classifier with everything counted: loss, gradients, rate, accuracies.

The classic first assignment in deep learning, on digits: one hidden layer of ReLU units, softmax, weights N(0, 1e-4^2),
mean cross-entropy + reg (|W1|^2 + |W2|^2), batches drawn with replacement, a rate that falls to 95% each epoch. Its
gradients are shown to be those of plain loops, and its curves show what so small a start costs: a plateau at ln 10.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

import glassnet as gn
from glassnet import datasets
from glassnet.datasets import Floats
from glassnet.gallery.experiment import Experiment, at_least, at_most, close, reproducible, shown
from glassnet.history import EpochRecord
from glassnet.insight import pictures, plots

TITLE = "A two-layer classifier, checked by plain loops"
QUESTION = "Do the matrix equations give the gradients of plain loops, and what does a start near zero cost?"
TINY = gn.initializers.normal(1e-4)
NET = gn.Network(64, [gn.Dense(50, "relu", weight_init=TINY), gn.Dense(10, "softmax", weight_init=TINY)])
REG, RATE, BATCH = 1e-3, 1.0, 100
# The penalty has no 1/2: reg |W|^2 is what gn.Objective calls l2/2 |W|^2 with l2 = 2 reg.
OBJECTIVE = reproducible(NET, "cross_entropy", l2=2 * REG)


def plain_loops(theta: Floats, X: Floats, labels: Floats) -> tuple[float, Floats]:
    """Return the loss and its gradient (P,), one number at a time."""
    W1, b1, W2, b2 = NET.views(theta).values()
    grad = np.zeros_like(theta)
    dW1, db1, dW2, db2 = NET.views(grad).values()
    m, loss = len(X), REG * sum(w * w for W in (W1, W2) for w in W.flat)
    for x, label in zip(X, labels, strict=True):
        a = [max(0.0, sum(x[i] * W1[i, j] for i in range(64)) + b1[j]) for j in range(50)]
        z = [sum(a[j] * W2[j, k] for j in range(50)) + b2[k] for k in range(10)]
        total = sum(exp(z_k) for z_k in z)
        loss += (log(total) - z[label]) / m
        delta = [(exp(z[k]) / total - (k == label)) / m for k in range(10)]
        for j in range(50):
            back = sum(delta[k] * W2[j, k] for k in range(10)) if a[j] > 0 else 0.0
            db1[j] += back
            for k in range(10):
                dW2[j, k] += a[j] * delta[k]
            for i in range(64):
                dW1[i, j] += x[i] * back
        db2 += delta
    dW1 += 2 * REG * W1
    dW2 += 2 * REG * W2
    return float(loss), grad


def fit(seed: int, epochs: int, scale: float = 1.0) -> Floats:
    """Train from `scale` times the tiny weights on 1437 images and validate on 360.

    Returns loss, training accuracy (%), validation accuracy (%) and rate by epoch, (4, epochs).
    """
    digits = datasets.load("digits")
    X, Y = digits.X / 16, gn.one_hot(digits.y)
    train, held_out = np.split(np.random.default_rng(seed).permutation(len(X)), [1437])
    training: list[float] = []

    def watch(record: EpochRecord) -> None:
        training.append(gn.accuracy(NET.forward(record.theta, X[train]).output, Y[train]))

    falling = gn.schedules.Exponential(RATE, 0.95, every=len(train) // BATCH)
    run = gn.train(
        OBJECTIVE, scale * NET.init(rng=seed), X[train], Y[train], optimizer=gn.SGD(falling), rng=seed, epochs=epochs,
        batch_size=BATCH, sampling="bootstrap", drop_last=True, callbacks=[watch],
        validation=(X[held_out], Y[held_out]), metrics={"accuracy": gn.accuracy},
    )  # fmt: skip
    loss, validation, rate = (run.history[name] for name in ("loss", "validation_accuracy", "learning_rate"))
    return np.array([loss, 100 * np.array(training), 100 * validation, rate])


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Check the gradients at two points and train in five splits (two where `quick`)."""
    digits, seeds, epochs = datasets.load("digits"), range(seed, seed + (2 if quick else 5)), 25 if quick else 60
    few, tiny, rows = np.random.default_rng(seed).choice(len(digits.X), 10, replace=False), NET.init(rng=seed), []
    for name, theta in (("at the start", tiny), ("at weights 1000 times larger", 1000 * tiny)):
        J, gradient = OBJECTIVE.value_and_grad(theta, digits.X[few] / 16, gn.one_hot(digits.y[few], 10))
        slow_J, slow_gradient = plain_loops(theta, digits.X[few] / 16, digits.y[few])
        rows.append(at_most(f"loss {name}: |ours - loops|", abs(float(J) - slow_J), 1e-12))
        rows.append(at_most(f"gradient {name}: largest |ours - loops|", np.abs(gradient - slow_gradient).max(), 1e-12))
    loss, training, validation, rate = np.array([fit(s, epochs) for s in seeds]).swapaxes(0, 1)
    awake = np.array([fit(s, 25, scale=1000) for s in seeds])[:, 0]
    asleep = (loss > 0.9 * log(10)).sum(axis=1)
    rows += [
        close("loss of the first epoch (ln 10: all digits alike)", loss[:, 0].mean(), log(10), 0.02),
        close("rate of the last epoch", rate[0, -1], RATE * 0.95 ** (epochs - 1), 1e-12),
        shown("epochs at a loss above 0.9 ln 10, mean", asleep.mean()),
        shown("the same from weights 1000 times larger", (awake > 0.9 * log(10)).sum(axis=1).mean()),
        shown("training accuracy, %", training[:, -1].mean()),
        at_least("validation accuracy, %", validation[:, -1].mean(), 95),
        shown("its spread over the splits", validation[:, -1].std(ddof=1)),
    ]

    figure, (left, right) = pictures.grid_of_axes(1, 2, (5.0, 3.5))
    epoch = np.arange(1, epochs + 1)
    with plots.house_style():
        pictures.band(left, epoch[:25], loss[:, :25], "weights N(0, 0.0001²)", plots.BLUE)
        pictures.band(left, epoch[:25], awake, "weights N(0, 0.1²)", plots.GREEN)
        left.axhline(log(10), color=plots.MUTED, linestyle="--", linewidth=1.2, label="ln 10: every digit alike")
        title = f"Median and range of {len(seeds)} splits"
        left.set(xlabel="epoch", ylabel="training loss J", ylim=(0, 2.6), title=title)
        left.legend()
        pictures.band(right, epoch, training, "training", plots.BLUE)
        pictures.band(right, epoch, validation, "validation", plots.AMBER)
        right.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(85, 100), title="From the small weights")
        right.legend(loc="lower right")
    notes = (
        "The matrix equations and the loops agree to rounding, the penalty reg |W|^2 (slope 2 reg W) included.",
        "Weights of 1e-4 make the gradients of both layers nearly zero: the loss stays at ln 10 for "
        f"{asleep.mean():.1f} epochs (mean of the splits) before it falls. The same weights times 1000 learn at once.",
        f"The rate falls to {rate[0, -1]:.2g} in the end, and the curves come to rest.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
