"""MNIST: a classic recipe, a sounder one, and the gradient of a whole batch in matrix form.

The recipe is that of Nielsen's book "Neural Networks and Deep Learning" (2015): 784-30-10, sigmoid, half squared error,
weights and biases N(0, 1), batch 10, rate 3. Its best epoch has 95.42% with 50,000 training images; here 10,000 train.
"""

from __future__ import annotations

from functools import partial
from time import perf_counter

import numpy as np

import glassnet as gn
from glassnet import datasets
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, Row, at_least, at_most, close, reproducible, shown
from glassnet.gradcheck import central_differences
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure

TITLE = "MNIST: a classic recipe and a sounder one"
QUESTION = "What do cross-entropy and a sound start change, and how are the bugs of the matrix form found?"
CLASSIC, SMALL, LARGE = "squared error, 30 units", "cross-entropy, 30 units", "cross-entropy, 100 units"
PLAN = {CLASSIC: (3.0, 30, 5), SMALL: (0.5, 15, 3), LARGE: (0.5, 15, 3)}  # rate, epochs, seeds


def recipe(name: str) -> gn.Objective:
    """Return the objective of that name: the classic one starts from N(0, 1), the others from Glorot's weights."""
    layers = [gn.Dense(100 if name == LARGE else 30, "sigmoid"), gn.Dense(10, "softmax")]
    if name == CLASSIC:
        layers = [gn.Dense(n, "sigmoid", weight_init="normal", bias_init="normal") for n in (30, 10)]
    return reproducible(gn.Network(784, layers), "squared_error" if name == CLASSIC else "cross_entropy")


def hand_written(net: gn.Network, theta: Array, X: Array, Y: Array, form: str) -> Array:
    """Return dJ/dW2 and dJ/db2 of the classic network as one vector: in matrix form, right or with one of two bugs."""
    _, hidden, output = net.forward(theta, X).a
    delta = (output - Y) * output * (1 - output) / len(X)
    # 30 rows and 30 hidden units: without the transpose the shapes fit, but samples and units are mixed up
    dW = hidden @ delta if form == "transposed product" else hidden.T @ delta
    db = delta[0] if form == "biases not summed" else delta.sum(axis=0)
    return np.append(dW, db)


def gradient_errors(X: Array, Y: Array, seed: int) -> dict[str, float]:
    """Return {form: largest error, relative to the gradient's largest entry} against central differences."""
    objective = recipe(CLASSIC)
    theta, start = objective.net.init(rng=seed), objective.net.layout.slices["W2"].start
    measured = central_differences(lambda t: objective.value(np.append(theta[:start], t), X, Y), theta[start:])
    forms = ("right", "transposed product", "biases not summed")
    ours = {form: hand_written(objective.net, theta, X, Y, form) for form in forms}
    return {form: float(np.abs(one - measured).max() / np.abs(measured).max()) for form, one in ours.items()}


def one_by_one(X: Array, Y: Array, seed: int) -> tuple[float, float]:
    """Return the largest difference between the mean over single samples and the matrix form, and the times' ratio."""
    objective = recipe(CLASSIC)
    theta, started = objective.net.init(rng=seed), perf_counter()
    single = sum(objective.value_and_grad(theta, x[None], y[None])[1] for x, y in zip(X, Y, strict=True)) / len(X)
    between = perf_counter()
    matrix = objective.value_and_grad(theta, X, Y)[1]
    return float(np.abs(single - matrix).max()), (between - started) / (perf_counter() - between)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Return the accuracies of the three recipes on 10,000 test images, and three checks of the gradient."""
    data = datasets.load("mnist")
    X, Y, labels = data.X / 255, gn.one_hot(data.y), np.asarray(data.y_test)
    train, test = (X.astype("f4"), Y), ((np.asarray(data.X_test) / 255).astype("f4"), gn.one_hot(labels))
    curves: dict[str, Array] = {}  # accuracy on the test images (seeds, epochs)
    outputs: dict[str, Array] = {}  # on the test images, after training (seeds, 10000, 10)
    for name, (rate, epochs, seeds) in PLAN.items():
        objective, runs = recipe(name), range(seed, seed + (1 if quick else seeds))
        fit = partial(gn.train, objective, batch_size=10, validation=test, metrics={"accuracy": gn.accuracy})
        fit = partial(fit, optimizer=gn.SGD(rate), epochs=4 if quick else epochs)
        found = [fit(objective.net.init(rng=s, dtype="f4"), *train, rng=s) for s in runs]
        curves[name] = np.array([one.history["validation_accuracy"] for one in found])
        outputs[name] = np.array([objective.net.forward(one.theta, test[0]).output for one in found])
    mean = {name: float(curve[:, -1].mean()) for name, curve in curves.items()}
    recall = {n: np.array([(a[:, d == labels].argmax(2) == d).mean(1) for d in range(10)]) for n, a in outputs.items()}
    silenced = [gn.accuracy(np.where(np.arange(10) == d, -1, a), test[1]) for a in outputs[CLASSIC] for d in range(10)]
    few = np.random.default_rng(seed).permutation(len(X))[:500]  # the rows of the file lie sorted by digit
    errors, (difference, ratio) = gradient_errors(X[few[:30]], Y[few[:30]], seed), one_by_one(X[few], Y[few], seed)
    last, tenth = curves[CLASSIC][:, -1], curves[CLASSIC][:, :10][:, -1]
    rows = (
        Row(f"{CLASSIC}: mean, lowest", f"{last.mean():.3f}, {last.min():.3f}", "about 0.84 in one run"),
        shown(f"{CLASSIC}: outputs that never woke up", f"{(recall[CLASSIC] == 0).sum()} of {recall[CLASSIC].size}"),
        close(f"{CLASSIC}, one output silenced: mean", float(np.mean(silenced)), 0.84, 0.06 if quick else 0.03),
        at_least(f"{SMALL}: mean", mean[SMALL], 0.90 if quick else 0.93),
        at_least(f"{LARGE}: mean", mean[LARGE], 0.91 if quick else 0.95),
        at_most("gradient, sample by sample and in matrix form: difference", difference, 1e-12),
        shown("matrix form of 500 rows: times faster", round(ratio)),
        at_most("gradient check, right: error", errors["right"], 1e-6),
        *(at_least(f"gradient check, {form}: error", errors[form], 1e-2) for form in list(errors)[1:]),
    )
    notes = (
        f"Classic runs have {tenth.min():.2f} to {tenth.max():.2f} by epoch {min(10, curves[CLASSIC].shape[1])}: an "
        f"output that has not woken up costs its digit. Silencing one at the end leaves {np.mean(silenced):.2f}.",
        "Cross-entropy's delta is a - y, without the factor a (1 - a) that lets a wrong output sleep on.",
        "Both bugs keep every shape and raise no error; the check against central differences finds both.",
    )
    return Experiment(TITLE, QUESTION, rows, picture(curves, recall, errors), notes)


@plots.house_style()
def picture(curves: dict[str, Array], recall: dict[str, Array], errors: dict[str, float]) -> Figure:
    """Draw accuracy against epochs, the digits that are read, and the three gradient checks."""
    figure, axes = pictures.grid_of_axes(1, 3, size=(3.6, 3.5))
    for name, colour, marker in zip(curves, (plots.AMBER, plots.SKY, plots.BLUE), "so^", strict=True):
        axes[0].plot(1 + np.arange(curves[name].shape[1]), 100 * curves[name].T, color=colour, linewidth=1.2)
        axes[1].plot(100 * recall[name].min(axis=1), marker, color=colour, label=name)
    axes[0].set(title="each run", xlabel="epoch", ylabel="accuracy on test images [%]")
    axes[0].legend(*axes[1].get_legend_handles_labels(), loc="lower right")
    axes[1].set(title="lowest of the runs", xlabel="digit", ylabel="test images read [%]", xticks=range(10))
    axes[2].bar([form.replace(" ", "\n", 1) for form in errors], list(errors.values()), color=plots.BLUE)
    axes[2].axhline(1e-6, color=plots.VERMILLION)
    axes[2].set(title="gradient check, line: allowed", xlabel="matrix form", ylabel="relative error", yscale="log")
    return figure
