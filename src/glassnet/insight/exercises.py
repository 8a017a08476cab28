"""Exercises to be worked by hand: a small network with small numbers, and its solution sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from glassnet.arrays import Array, check_count
from glassnet.errors import GlassnetError, choose, fault
from glassnet.insight.explain import StepExplanation, explain_step
from glassnet.insight.one_step import FRACTIONS, SYMBOLS
from glassnet.insight.pages import Page, Section
from glassnet.layers import Dense
from glassnet.network import Network
from glassnet.objective import Objective

__all__ = ["Exercise", "make_exercise"]

WEIGHTS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
BIASES = (-1.0, -0.5, 0.0, 0.5, 1.0)
INPUTS = (-2.0, -1.0, 1.0, 2.0, 3.0)
LOSSES = {"identity": "squared_error", "sigmoid": "binary_cross_entropy", "softmax": "cross_entropy"}
"""Activation of the output -> the loss that belongs to it."""
MOST_DRAWS = 1000

TASKS = (
    "(a) Forward: every z and every a, layer by layer.  (b) The loss J.  (c) Backward: every δ = dJ/dz, from the last "
    "layer to the first.  (d) The derivative of J by every weight and every bias.  (e) Every weight and bias after one "
    "step of gradient descent."
)


@dataclass(frozen=True)
class Exercise:
    """What `make_exercise` returns: prints as the task and its solution sheet; `task` and `solution` are the two."""

    seed: int
    explanation: StepExplanation

    @property
    def task(self) -> Page:
        """What is given and what is asked."""
        page = self.explanation.page
        given = page.sections[0]
        return Page(f"Exercise {self.seed}", page.words, (given, Section("To be found", TASKS, ())))

    @property
    def solution(self) -> Page:
        """Every line that was asked for."""
        page = self.explanation.page
        return Page(f"Exercise {self.seed}: solution", "", page.sections[1:])

    def __str__(self) -> str:
        return f"{self.task.text()}\n\n\n{self.solution.text()}"

    def _repr_html_(self) -> str:
        return f'{self.task.html()}\n<div class="sheet-break" style="break-before:page"></div>\n{self.solution.html()}'

    def html(self) -> str:
        """Return both as a whole HTML page; the solution begins a new sheet when it is printed."""
        from glassnet.insight import html  # matplotlib comes with it

        return html.document(self.task.title, f"{self._repr_html_()}", "Made by glassnet.")

    def latex(self) -> str:
        """Return both in LaTeX (packages amsmath and amssymb)."""
        return f"{self.task.latex()}\\newpage\n{self.solution.latex()}"


def make_exercise(
    seed: int = 0,
    *,
    sizes: Sequence[int] = (2, 2, 1),
    activation: str = "relu",
    output: str = "identity",
    learning_rate: float = 0.5,
) -> Exercise:
    """Draw a network of `sizes`, one sample and its target, all of small whole numbers and halves.

    `activation` is that of the hidden layers, `output` "identity" (squared error), "sigmoid" (binary cross-entropy) or
    "softmax" (cross-entropy). With ReLUs and the identity every number of the solution is a fraction. The same seed
    gives the same exercise; one that teaches nothing is drawn again: a ReLU at its kink, a hidden layer that is off, an
    output that is right already.

    Raises GlassnetError for sizes below 1, fewer than two, or too large to be written out, for activations that no
    fractions go through, and for a seed that is no whole number.

    >>> exercise = make_exercise(3)
    >>> print(exercise.explanation.section("Loss"))
      L = 1/2·(a2[0] - y[0])^2 = 1/2·(7/4 - (-2))^2 = 225/32
      J = L = 225/32
    """
    check_count("seed", seed, 0)
    widths = [check_count("each of sizes", n) for n in sizes]
    if len(widths) < 2:
        raise fault("sizes", "inputs, hidden layers and outputs", tuple(sizes), "For example (2, 2, 1).")
    choose("activation", activation, dict.fromkeys(name for name in (*FRACTIONS, *SYMBOLS) if name != "softmax"))
    loss = choose("output", output, LOSSES)
    layers = [Dense(n, activation) for n in widths[1:-1]]
    objective = Objective(Network(widths[0], [*layers, Dense(widths[-1], output)]), loss, engine="numpy")
    rng = np.random.default_rng(seed)
    for _ in range(MOST_DRAWS):
        theta, x, y = _drawn(objective.net, output, rng)
        explanation = explain_step(objective, theta, x, y, learning_rate, fractions=True)
        if _teaches(explanation):
            return Exercise(int(seed), explanation)
    raise GlassnetError(f"no exercise was found in {MOST_DRAWS} draws for sizes {tuple(sizes)}: take smaller ones.")


def _drawn(net: Network, output: str, rng: np.random.Generator) -> tuple[Array, Array, Array]:
    theta = np.where(net.weights, rng.choice(WEIGHTS, net.n_parameters), rng.choice(BIASES, net.n_parameters))
    x, k = rng.choice(INPUTS, net.n_inputs), net.n_outputs
    if output == "softmax":
        return theta, x, np.eye(k)[rng.integers(k)]
    return theta, x, rng.choice((0.0, 1.0) if output == "sigmoid" else INPUTS, k)


def _teaches(explanation: StepExplanation) -> bool:
    """Whether there is something to see: no kink, no layer that is off, an output that is wrong."""
    step = explanation.step
    for l, layer in enumerate(step.net.layers, 1):
        if layer.function.name == "relu":
            z = [float(one) for one in step.z[l].ravel()]
            if 0.0 in z or max(z) < 0:
                return False
    wrong = step.delta[-1]
    assert wrong is not None
    return all(getattr(one, "fraction", one) != Fraction(0) for one in wrong.ravel())
