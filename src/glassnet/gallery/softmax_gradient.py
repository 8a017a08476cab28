"""The gradient of softmax regression: loops over samples and classes, matrices, and the library.

    J = mean_i -ln p_i,y_i + reg/2 |W|^2        p_ij = exp(x_i . W_j) / sum_k exp(x_i . W_k)
    dW_j = mean_i (p_ij - [j = y_i]) x_i + reg W_j

W_j (d,) is the column of class j. The loops are what the equation says; the matrices say it for all i and j at once.
"""

from __future__ import annotations

from collections.abc import Callable
from math import exp, log
from time import perf_counter

import numpy as np

import glassnet as gn
from glassnet import datasets
from glassnet.datasets import Floats
from glassnet.gallery.experiment import Experiment, at_most, close, reproducible, shown
from glassnet.insight import pictures, plots

TITLE = "The softmax gradient, in loops and in matrices"
QUESTION = "Are the loops of the equation and its matrix form the same numbers, and what does the matrix form save?"
REG = 0.1
NET = gn.Network(64, [gn.Dense(10, "softmax", bias=False)])
OBJECTIVE = reproducible(NET, "cross_entropy", l2=REG)


def by_loops(W: Floats, X: Floats, Y: Floats) -> tuple[float, Floats]:
    """Return J and dW (d, k), sample by sample and class by class."""
    (m, _), k = X.shape, Y.shape[1]
    J, dW = 0.5 * REG * float((W * W).sum()), REG * W
    for i in range(m):
        z = [float(X[i] @ W[:, j]) for j in range(k)]
        highest = max(z)  # exp(z - highest) cannot overflow, and p is the same
        total = sum(exp(z_j - highest) for z_j in z)
        for j in range(k):
            J -= Y[i, j] * (z[j] - highest - log(total)) / m
            dW[:, j] += (exp(z[j] - highest) / total - Y[i, j]) * X[i] / m
    return J, dW


def by_matrices(W: Floats, X: Floats, Y: Floats) -> tuple[float, Floats]:
    """Return the same, for all samples and classes at once."""
    Z = X @ W
    Z = Z - Z.max(axis=1, keepdims=True)
    ln_P = Z - np.log(np.exp(Z).sum(axis=1, keepdims=True))
    J = -ln_P[Y == 1].mean() + 0.5 * REG * (W * W).sum()
    return float(J), X.T @ (np.exp(ln_P) - Y) / len(X) + REG * W


def by_glassnet(W: Floats, X: Floats, Y: Floats) -> tuple[float, Floats]:
    """Return the same from the library: theta is W, row by row."""
    J, grad = OBJECTIVE.value_and_grad(W.ravel(), X, Y)
    return float(J), NET.views(grad)["W1"]


def seconds(compute: Callable[[Floats, Floats, Floats], object], W: Floats, X: Floats, Y: Floats) -> float:
    """Return the shortest of three times."""
    times = []
    for _ in range(3):
        begin = perf_counter()
        compute(W, X, Y)
        times.append(perf_counter() - begin)
    return min(times)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Compare on all digits (300 of them where `quick`), at W = 0 and at random W; time them on more and more rows."""
    digits, rng = datasets.load("digits"), np.random.default_rng(seed)
    rows = rng.permutation(len(digits.X))[: 300 if quick else None]
    X, Y = digits.X[rows] / 16, gn.one_hot(digits.y[rows], 10)
    zero, W = np.zeros((64, 10)), rng.normal(size=(64, 10))
    (J, dW), (loops_J, loops_dW), (our_J, our_dW) = (f(W, X, Y) for f in (by_matrices, by_loops, by_glassnet))
    start_J, start_dW = by_loops(zero, X, Y)
    sizes = [m for m in (10, 30, 100, 300, 1000, 1797) if m <= len(X)]
    forms = {"loops": by_loops, "glassnet": by_glassnet, "matrices": by_matrices}
    times = {name: np.array([seconds(f, W, X[:m], Y[:m]) for m in sizes]) for name, f in forms.items()}
    ratio = times["loops"] / times["matrices"]
    table = (
        at_most("loss: |loops - matrices|", abs(loops_J - J), 1e-12),
        at_most("gradient: largest |loops - matrices|", np.abs(loops_dW - dW).max(), 1e-12),
        at_most("loss: |glassnet - matrices|", abs(our_J - J), 1e-12),
        at_most("gradient: largest |glassnet - matrices|", np.abs(our_dW - dW).max(), 1e-12),
        at_most("gradient against central differences", gn.check_gradient(OBJECTIVE, W.ravel(), X, Y).error, 1e-6),
        close("loss at W = 0 (ln 10)", start_J, log(10), 1e-12),
        at_most("gradient at W = 0: largest |sum over classes|", np.abs(start_dW.sum(axis=1)).max(), 1e-12),
        *(shown(f"seconds, {name}, {len(X)} images", times[name][-1]) for name in forms),
        shown(f"loops / matrices, {len(X)} images", ratio[-1]),
    )

    figure, (left, right) = pictures.grid_of_axes(1, 2, (5.2, 3.1))
    with plots.house_style():
        for (name, values), colour in zip(times.items(), (plots.VERMILLION, plots.GREEN, plots.BLUE), strict=True):
            left.loglog(sizes, 1000 * values, marker="o", color=colour, label=name)
        left.set(xlabel="images m", ylabel="time of one gradient (ms)", title="The same numbers, three ways")
        left.legend()
        tiles = [np.pad(column.reshape(8, 8), ((3, 1), (1, 1)), constant_values=np.nan) for column in -start_dW.T]
        mosaic, most = np.block([tiles[:5], tiles[5:]]), np.abs(start_dW).max()
        shades = right.imshow(mosaic, cmap=plots.DIVERGING, vmin=-most, vmax=most)
        for j in range(10):
            right.text(10 * (j % 5) + 0.5, 12 * (j // 5) + 1.2, f"class {j}", fontsize=8.5, va="center")
        right.set_axis_off()
        right.set_title("-dW at W = 0: the first step draws the digits")
        figure.colorbar(shades, ax=right, shrink=0.75, pad=0.01, label="step / learning rate")
    notes = (
        "Loops, matrices and library agree to rounding.",
        f"On {len(X)} images the matrix form is {ratio[-1]:.0f} times as fast as the loops, on {sizes[0]} images "
        f"{ratio[0]:.0f} times: its few calls have a fixed cost.",
        "At W = 0 every class has the probability 1/10, so -dW_j is about a tenth of the mean image of class j minus "
        "the mean of all images: blue where the class has more ink, orange where it has less. The ten sum to zero.",
    )
    return Experiment(TITLE, QUESTION, table, figure, notes)
