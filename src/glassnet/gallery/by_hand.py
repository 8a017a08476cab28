"""A network as six small functions, with its parameters in a dictionary: there is no magic behind the front door.

3-4-5-2, sigmoid and softmax, mean cross-entropy, 1000 full-batch steps at rate 0.2. For layer l with input A_{l-1},

    forward    Z_l = A_{l-1} W_l + b_l          A_l = f(Z_l)
    backward   delta_3 = (A_3 - Y) / m          delta_l = (delta_{l+1} W_{l+1}^T) * f'(Z_l)
               dJ/dW_l = A_{l-1}^T delta_l      dJ/db_l = sum over samples of delta_l
    step       P <- P - rate dJ/dP              for every P in the dictionary

(Rumelhart, Hinton and Williams 1986). Inputs are standardised: on raw ones steps are too long, and rounding can grow.
"""

from __future__ import annotations

import numpy as np

import glassnet as gn
from glassnet import activations, datasets, initializers, losses
from glassnet.arrays import Array
from glassnet.gallery.experiment import Experiment, close, reproducible, shown
from glassnet.insight import pictures, plots

__all__ = ["QUESTION", "TITLE", "run"]

TITLE = "A network in six functions"
QUESTION = "Does a network written from the equations, one function each, do what gn.train does?"

SIZES, RATE, GLOROT = (3, 4, 5, 2), 0.2, initializers.get("glorot_uniform")
FUNCTIONS = [activations.get(name) for name in ("sigmoid", "sigmoid", "softmax")]
NET = gn.Network(3, [gn.Dense(units, f) for units, f in zip(SIZES[1:], FUNCTIONS, strict=True)])
Parameters = dict[str, Array]


def initialise(rng: np.random.Generator) -> Parameters:
    """Return W1 (3, 4), b1 (4,), ... W3 (5, 2), b3 (2,): Glorot's uniform weights, biases 0."""
    weights = {f"W{l}": GLOROT(rng, SIZES[l - 1], SIZES[l]) for l in (1, 2, 3)}
    return weights | {f"b{l}": np.zeros(SIZES[l]) for l in (1, 2, 3)}


def forward(p: Parameters, X: Array) -> tuple[list[Array], list[Array]]:
    """Return all pre-activations Z and activations A; number 0 of both is X."""
    Z, A = [X], [X]
    for l in (1, 2, 3):
        Z.append(A[-1] @ p[f"W{l}"] + p[f"b{l}"])
        A.append(FUNCTIONS[l - 1].f(Z[-1]))
    return Z, A


def loss(A: list[Array], Y: Array) -> float:
    """Return the mean cross-entropy of the outputs."""
    return float(losses.get("cross_entropy").value(A[-1], Y).sum() / len(Y))


def error_rate(A: list[Array], Y: Array) -> float:
    """Return the share of rows whose largest output is not that of their class."""
    return float(np.mean(A[-1].argmax(axis=1) != Y.argmax(axis=1)))


def backward(p: Parameters, Z: list[Array], A: list[Array], Y: Array) -> Parameters:
    """Return the gradient of the loss by every parameter, under the parameter's name."""
    g, delta = {}, (A[3] - Y) / len(Y)
    for l in (3, 2, 1):
        g[f"W{l}"], g[f"b{l}"] = A[l - 1].T @ delta, delta.sum(axis=0)
        if l > 1:
            delta = (delta @ p[f"W{l}"].T) * FUNCTIONS[l - 2].df(Z[l - 1], A[l - 1])
    return g


def step(p: Parameters, g: Parameters) -> Parameters:
    """Return the parameters after one step down the gradient."""
    return {name: P - RATE * g[name] for name, P in p.items()}


def both_ways(start: int, standardise: bool) -> tuple[Array, Array, Array]:
    """Return loss before and error rate after each step, by hand and with `gn.train`, and how far the thetas differ."""
    data = datasets.load("two_gaussians", rng=(rng := np.random.default_rng(start)))
    X, Y, p = data.X, gn.one_hot(data.y), initialise(rng)
    X = (X - X.mean(axis=0)) / X.std(axis=0) if standardise else X
    thetas: list[Array] = []
    run = gn.train(
        reproducible(NET, "cross_entropy"), NET.layout.pack(p), X, Y, optimizer=gn.SGD(RATE), epochs=1000,
        batch_size=40, metrics={"right": gn.accuracy}, callbacks=[lambda record: thetas.append(record.theta.copy())],
    )  # fmt: skip
    hand, apart, (Z, A) = [], [], forward(p, X)
    for theta in thetas:
        before, p = loss(A, Y), step(p, backward(p, Z, A, Y))
        Z, A = forward(p, X)
        hand.append((before, error_rate(A, Y)))
        apart.append(np.abs(NET.layout.pack(p) - theta).max())  # pack: the dictionary as one vector
    return np.array(hand).T, np.array([run.history["loss"], 1.0 - run.history["right"]]), np.array(apart)


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Train both ways from 5 starts (quick: 2), on standardised inputs and on raw ones."""
    tame, wild = ([both_ways(start, how) for start in range(seed, seed + (2 if quick else 5))] for how in (True, False))
    worst = np.max([[*np.abs(hand - train).max(axis=1), apart.max()] for hand, train, apart in tame], axis=0)
    gaps = dict(zip(("loss", "error rate", "parameters"), worst, strict=True))
    rows = [close(f"{what}: largest difference at any step", gap, 0.0, 1e-12) for what, gap in gaps.items()]
    parted = sum(bool(apart.max() > 1e-12) for *_, apart in wild)
    rows += [shown(f"raw inputs: starts of {len(wild)} that part by more than 1e-12", parted)]
    with plots.house_style():
        figure, axes = pictures.grid_of_axes(1, 3, size=(3.6, 3.3))
        (hand, train, _), steps, few = tame[0], np.arange(1, 1001), slice(0, None, 60)
        for ax, ours, theirs, what in zip(axes, hand, train, ("loss J", "share of rows wrong"), strict=False):
            ax.plot(steps, theirs, color=plots.SKY, lw=4, label="gn.train")
            ax.plot(steps[few], ours[few], "o", ms=4, color=plots.INK, label="by hand, every 60th step")
            ax.set(xlabel="steps", ylabel=what, ylim=(0, None))
        axes[0].legend()
        for label, colour, ways in (("raw inputs", plots.AMBER, wild), ("standardised", plots.BLUE, tame)):
            apart = np.array([apart for *_, apart in ways]).T + 1e-17  # a logarithmic scale has no 0
            axes[2].plot(steps, apart, lw=1, color=colour, label=[label] + ["_"] * (len(ways) - 1))
        axes[2].axhline(1e-12, color=plots.VERMILLION, ls="--", label="the bound 1e-12")
        axes[2].set(xlabel="steps", ylabel="largest difference of a parameter", yscale="log")
        axes[2].legend(loc="upper left")
    notes = (
        "The dots lie on the line: six functions and a dictionary do what gn.train does, to the last digits.",
        f"On raw inputs {parted} of {len(wild)} starts part: rounding differs, and grows where a step is too long.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
