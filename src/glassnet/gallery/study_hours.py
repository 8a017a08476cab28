"""The smallest regression: three students, nine weights, every number in sight.

Hours of sleep and of study predict a test score: the first network of many courses (Welch, Neural Networks
Demystified, 2014). Forward pass, cost J = 1/2 sum e^2, backpropagation checked by central differences, training by
BFGS; then the same nine weights meet noisy scores, and a penalty l2/2 |W|^2 mends what goes wrong.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

import glassnet as gn
from glassnet import datasets
from glassnet.gallery.experiment import Experiment, at_least, at_most, close, equal, reproducible, shown
from glassnet.insight import pictures, plots
from glassnet.insight.pictures import Figure

TITLE = "Study hours: the smallest regression"
QUESTION = "Can nine weights learn three test scores, and what do they learn from noisy ones?"

Floats = npt.NDArray[np.float64]
DATA = datasets.load("study_hours")
X, Y = DATA.X / DATA.X.max(axis=0), DATA.y[:, None] / 100
NET = gn.Network(2, [gn.Dense(n, "sigmoid", bias=False, weight_init="normal") for n in (3, 1)])
MEAN = reproducible(NET, "squared_error")  # 1/2 e^2, the mean over the students
SUM = reproducible(NET, gn.losses.scaled(gn.losses.get("squared_error"), len(X)))  # the course's J: three times that
LOCAL_MINIMUM = 0.002068
PENALTIES = (0.0, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2)
NOISE = 0.1


def noisy_students(m: int, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw m students; their scores are a plane near the three known ones, plus noise of ten points out of 100."""
    hours = rng.uniform((0.2, 0.1), 1.0, (m, 2))
    return hours, np.clip(0.65 + hours @ [[0.3], [0.02]] + rng.normal(0, NOISE, (m, 1)), 0, 1)


def costs_by_penalty(seed: int) -> list[tuple[float, float]]:
    """Fit 12 noisy students with each penalty; return the cost on them and on 500 held-out students."""
    rng = np.random.default_rng(seed)
    class_, held_out = noisy_students(12, rng), noisy_students(500, rng)
    costs = []
    for l2 in PENALTIES:
        penalised = reproducible(NET, "squared_error", l2=l2)
        theta = gn.minimize(penalised, NET.init(rng=seed), *class_, method="bfgs", tolerance=1e-8).theta
        costs.append((float(MEAN.value(theta, *class_)), float(MEAN.value(theta, *held_out))))
    return costs


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Look into one network, train from 5 starts, then fit 10 noisy classes (quick: 4) with seven penalties."""
    theta = NET.init(rng=seed)
    trace, (J, gradient) = NET.forward(theta, X), SUM.value_and_grad(theta, X, Y)
    steps = np.linspace(-4, 4, 101)  # in multiples of the gradient
    along = np.array([SUM.value(theta + step * gradient, X, Y) for step in steps])
    check = gn.check_gradient(SUM, theta, X, Y, step=1e-4, tolerance=1e-7)

    runs = [gn.minimize(SUM, NET.init(rng=start), X, Y, method="bfgs") for start in range(seed, seed + 5)]
    elsewhere = [one.loss for one in runs if one.loss >= 1e-7]
    iterations = [len(one.history) - 1 for one in runs]
    costs = np.array([costs_by_penalty(draw) for draw in range(seed, seed + (4 if quick else 10))])  # (draws, 7, 2)
    training, held_out = costs.mean(axis=0).T
    best = int(np.argmin(held_out))

    matrices = {"forward: z1": trace.z[1], "forward: a1": trace.a[1], "forward: z2": trace.z[2]}
    matrices["forward: a2, the predicted scores"] = trace.output
    matrices |= {f"dJ/d{name} {dW.shape}": dW for name, dW in NET.views(gradient).items()}
    rows = [shown("theta: nine weights, one vector", theta.round(3).tolist())]
    rows += [shown(name, matrix.round(4).tolist()) for name, matrix in matrices.items()]
    rows += [
        shown("J before training", float(J)),
        at_most("gradient against central differences, step 1e-4: relative error", check.error, 1e-7),
        equal("J rises along +gradient, falls along -gradient", bool(along[51] > J > along[49]), True),
        at_least("BFGS: starts of 5 with J below 1e-7", 5 - len(elsewhere), 3),
        *(close("BFGS: J of another start, the local minimum", loss, LOCAL_MINIMUM, 1e-6) for loss in elsewhere),
        shown("BFGS: iterations (seen before: 41 to 66)", f"{min(iterations)} to {max(iterations)}"),
        at_most("noisy scores, no penalty: training cost, below the noise", training[0], NOISE**2 / 2),
        at_least(f"... held-out cost, times that of l2 = {PENALTIES[best]:g}", held_out[0] / held_out[best], 1.3),
        at_least("... held-out cost of l2 = 0.01, too much, times the best", held_out[-1] / held_out[best], 1.1),
    ]
    notes = (
        f"A step along the gradient raises J, a step against it lowers J. BFGS brings {5 - len(elsewhere)} of 5 starts "
        f"to J below 1e-7: three scores, nine weights. The others end in the local minimum at J = {LOCAL_MINIMUM}.",
        f"Without a penalty the fit to 12 noisy scores costs {training[0]:.4f} on them and {held_out[0]:.4f} on "
        f"held-out students: it has learned the noise, whose own cost is {NOISE**2 / 2:.4f}.",
        f"With l2 = {PENALTIES[best]:g} the training cost rises to {training[best]:.4f} and the held-out cost falls to "
        f"{held_out[best]:.4f}; with l2 = 0.01 all scores are drawn together, and both rise.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), draw(NET.views(gradient), steps, along, runs, costs), notes)


def draw(gradient: dict[str, Floats], steps: Floats, along: Floats, runs: list[gn.Run], costs: Floats) -> Figure:
    """Draw the gradient, the cost along it, BFGS from each start, and the costs against the penalty."""
    figure, (matrix, line, bfgs, penalty) = pictures.grid_of_axes(2, 2, size=(4.7, 2.9))
    cells = np.vstack([gradient["W1"], gradient["W2"].T])
    units, texts = ("hidden 1", "hidden 2", "hidden 3"), [[f"{entry:+.4f}" for entry in row] for row in cells]
    pictures.heat_map(matrix, np.abs(cells), ("sleep to", "study to", "to score"), units, texts)
    with plots.house_style():
        matrix.set(title="dJ/dW1 (two rows) and dJ/dW2 (last row); shade: size")
        line.plot(steps, along, color=plots.BLUE)
        line.plot(0, along[len(along) // 2], "o", color=plots.INK, label="the start")
        line.set(title="The cost along the gradient", xlabel="step, in gradients", ylabel="J = 1/2 sum e²")
        line.legend()
        for one in runs:
            colour = plots.BLUE if one.loss < 1e-7 else plots.VERMILLION
            bfgs.plot(one.history["epoch"], one.history["loss"], color=colour)
        bfgs.axhline(LOCAL_MINIMUM, color=plots.MUTED, linestyle=":", linewidth=1)
        bfgs.text(0, LOCAL_MINIMUM / 50, f"local minimum, J = {LOCAL_MINIMUM}", va="top", fontsize=8.5)
        bfgs.set(title=f"BFGS from {len(runs)} starts", xlabel="iteration", ylabel="J = 1/2 sum e²", yscale="log")
        at = np.arange(len(PENALTIES))
        pictures.band(penalty, at, costs[:, :, 0], label="training, 12 students", colour=plots.BLUE)
        pictures.band(penalty, at, costs[:, :, 1], label="held out, 500 students", colour=plots.VERMILLION)
        penalty.axhline(NOISE**2 / 2, color=plots.MUTED, linestyle=":", linewidth=1.2, label="the noise alone")
        penalty.set(title=f"Noisy scores: median and range of {len(costs)} draws", xlabel="penalty strength l2")
        penalty.set(yscale="log", ylabel="cost, the mean of 1/2 e²")
        penalty.set_xticks(at, [f"$10^{{{np.log10(l2):.0f}}}$" if l2 else "0" for l2 in PENALTIES])
        penalty.legend()
    return figure
