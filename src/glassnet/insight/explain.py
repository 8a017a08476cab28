"""One step of training with the numbers filled in: forward, loss, every delta, every gradient, every update.

    print(explain_step(objective, theta, x, y, learning_rate=0.5))

Each line is an equation, the same with its numbers, and the number that comes out. The numbers are those of the
library's own formulas; with fractions=True they stay fractions as long as they are fractions.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.insight.chain import penalty_slopes, weight_page
from glassnet.insight.equations import activation_value, cost, output_delta, slope, softmax_value
from glassnet.insight.exact import floats
from glassnet.insight.expressions import (
    Derivative,
    Expr,
    Matrix,
    Negative,
    Number,
    Product,
    Quotient,
    Rest,
    Sum,
    Symbol,
    evaluate,
    fill,
)
from glassnet.insight.one_step import Step, take_step
from glassnet.insight.pages import Line, Page, Section
from glassnet.insight.typeset import decimal
from glassnet.objective import Objective

__all__ = ["StepExplanation", "explain_step"]

ETA = Symbol("η")


def explain_step(
    objective: Objective,
    theta: Array,
    x: npt.ArrayLike,
    y: npt.ArrayLike,
    learning_rate: float = 0.5,
    *,
    units: Mapping[int, Sequence[int]] | None = None,
    fractions: bool = False,
) -> StepExplanation:
    """Explain theta <- theta - learning_rate dJ/dtheta for one sample x (d,), y (k,), or a batch X (m, d), Y (m, k).

    Indices count from 0, as in `net.views(theta)["W1"][0, 1]`, layers from 1. A network with up to 120 parameters is
    written out in full; of a larger one the three units of each layer whose delta is largest (the three largest
    inputs), with what all other terms of a sum add up to. `units` {layer: units} chooses others; layer 0 is the input.

    With `fractions`, numbers that are written with a denominator of at most 1000 (0.25, 1/3) are fractions, and stay so
    through identity, ReLU, leaky ReLU and the squared, absolute, Huber and quantile losses. An activation that is no
    fraction stands as a symbol, σ(3/4); what follows from it keeps its name, and a decimal stands after ≈.

    The result prints as text; `latex()` and a notebook's `_repr_html_` give the same in LaTeX and in HTML (MathML, no
    script). `explain_weight("W1", 0, 1)` takes one derivative apart.

    Raises GlassnetError for layers that are not Dense, shapes that do not fit, a rate that is not positive, units that
    are not there, and, with `fractions`, numbers or functions that are none.

    >>> from glassnet import Dense, Network
    >>> objective = Objective(Network(1, [Dense(1)]), "squared_error")
    >>> step = explain_step(objective, np.array([2.0, 0.5]), [3.0], [6.0], learning_rate=0.1, fractions=True)
    >>> print(step.section("Update"))
      W1[0,0] ← W1[0,0] - η·dJ/dW1[0,0] = 2 - 1/10·3/2 = 37/20
      b1[0] ← b1[0] - η·dJ/db1[0] = 1/2 - 1/10·1/2 = 9/20
    """
    return StepExplanation(take_step(objective, theta, x, y, learning_rate, units, fractions))


@dataclass(frozen=True)
class StepExplanation:
    """What `explain_step` returns: the numbers of the step, and the page that explains them."""

    step: Step

    @property
    def loss(self) -> float:
        """J before the step."""
        return float(self.step.loss)

    @property
    def gradient(self) -> Array:
        """dJ/dtheta (P,)."""
        return floats(self.step.gradient)

    @property
    def theta(self) -> Array:
        """Theta (P,) after the step."""
        return floats(self.step.after)

    @property
    def page(self) -> Page:
        """The lines, in sections."""
        step, net = self.step, self.step.net
        words = [f"{net.n_inputs} inputs", *(f"{one.units} {_name(one.function)}" for one in net.layers)]  # type: ignore[attr-defined]
        rows = "one sample" if step.m == 1 else f"{step.m} samples"
        title = f"One step of gradient descent on {rows}"
        about = (
            f"Network: {' → '.join(words)}; loss: {step.objective.loss_record.name}; "
            f"learning rate η = {_written(step, step.learning_rate)}. Indices count from 0, layers from 1; δ is dJ/dz."
        )
        return Page(title, about, tuple(_sections(step)))

    def explain_weight(self, name: str, i: int, j: int) -> Page:
        """Return the chain of factors of dJ/dW for the weight W[i, j] of the array `name` ("W1"), path by path.

        Raises GlassnetError where there is no such weight.
        """
        return weight_page(self.step, name, i, j)

    def section(self, title: str) -> str:
        """Return the lines of one section as text: "Forward", "Loss", "Backward", "Gradient" or "Update"."""
        chosen = Page("", "", tuple(one for one in self.page.sections if one.title.startswith(title)))
        return "\n".join(row for row in chosen.text().split("\n") if row.startswith("  "))

    def latex(self) -> str:
        """Return the explanation in LaTeX (packages amsmath and amssymb)."""
        return self.page.latex()

    def __str__(self) -> str:
        return self.page.text()

    def _repr_html_(self) -> str:
        return self.page.html()


def _name(function: Any) -> str:
    return str(function.name)


def _written(step: Step, element: Any) -> str:
    number = step.number(element)
    return decimal(number.value) if number.fraction is None else str(number.fraction)


# ---- the sections -------------------------------------------------------------------------------------------------


def _sections(step: Step) -> Iterable[Section]:
    yield _given(step)
    for l in range(1, len(step.net.layers) + 1):
        name = _name(step.net.layers[l - 1].function)
        yield Section(f"Forward, layer {l}: {name}", "", tuple(_forward(step, l)))
    yield Section("Loss", _loss_words(step), tuple(_loss(step)))
    for l in range(len(step.net.layers), 0, -1):
        yield Section(f"Backward, layer {l}: δ = dJ/dz", "", tuple(_backward(step, l)))
    for l in range(1, len(step.net.layers) + 1):
        yield Section(f"Gradient, layer {l}", "", tuple(_gradient(step, l)))
    yield Section("Update", "Each parameter goes against its derivative.", tuple(_update(step)))
    yield _after(step)


def _line(step: Step, left: Symbol | Derivative, equation: Expr, relation: str = "=", value: Any = None) -> Line:
    """Return left = equation = numbers filled in = the number that the library computed."""
    number = step.number(step.element(left) if value is None else value)
    rounded = step.fractions and number.fraction is None
    return Line(left, (equation, fill(equation, step.known), number), relation, rounded)


def _given(step: Step) -> Section:
    """Return what is given: the samples and, of a network that is shown in full, the parameters."""
    net = step.net
    lines = []
    for letter, array in (("x", step.a[0]), ("y", step.Y)):
        if array.shape[1] <= 12:
            lines.append(Line(Symbol(letter), (_matrix(step, array[list(step.rows)]),)))
    whole = all(len(shown) == n for shown, n in zip(step.units, net.sizes, strict=True))
    for name, array in net.views(step.theta).items() if whole else ():
        lines.append(Line(Symbol(name[0], int(name[1:])), (_matrix(step, np.atleast_2d(array)),)))
    words = "" if whole else (
        f"{net.n_parameters:,} parameters: of each layer some units are written out, "
        + "; ".join(f"{'inputs' if l == 0 else f'layer {l}'} {_list(shown)}" for l, shown in enumerate(step.units))
        + ". A sum says what its other terms add up to."
    )  # fmt: skip
    return Section("Given", words, tuple(lines))


def _list(shown: Sequence[int]) -> str:
    return ", ".join(map(str, shown))


def _matrix(step: Step, array: Array) -> Matrix:
    return Matrix(tuple(tuple(step.number(element) for element in row) for row in array))


def _with_rest(step: Step, terms: Sequence[Expr], count: int, whole: float, shown: float) -> tuple[Expr, ...]:
    """Return the terms and, where some are left out, what those add up to."""
    left = count - len(terms)
    return (*terms, Rest(left, whole - shown)) if left else tuple(terms)


def _forward(step: Step, l: int) -> Iterable[Line]:
    layer, inputs = step.net.layers[l - 1], step.units[l - 1]
    W = floats(step.net.views(step.theta)[f"W{l}"])
    for s in step.rows:
        before = floats(step.a[l - 1])[s]
        for j in step.units[l]:
            terms = [Product((Symbol("W", l, (i, j)), step.at("a", l - 1, s, i))) for i in inputs]
            some = sum(before[i] * W[i, j] for i in inputs)
            summed = _with_rest(step, terms, len(before), float(before @ W[:, j]), float(some))
            bias = (Symbol("b", l, (j,)),) if f"b{l}" in step.net.layout.names else ()
            yield _line(step, step.at("z", l, s, j), Sum((*summed, *bias)))
        for j in step.units[l]:
            z, a = step.at("z", l, s, j), step.at("a", l, s, j)
            if layer.function.elementwise:
                yield _line(step, a, activation_value(layer.function, z))
            else:
                yield _softmax_line(step, l, s, j, a)


def _softmax_line(step: Step, l: int, s: int, j: int, a: Symbol) -> Line:
    shown = sorted({*step.units[l], j})
    quotient = softmax_value([step.at("z", l, s, i) for i in shown], shown.index(j))
    assert isinstance(quotient, Quotient)
    assert isinstance(quotient.bottom, Sum)
    z = floats(step.z[l])[s]
    rest = _with_rest(step, quotient.bottom.terms, len(z), float(np.exp(z).sum()), float(np.exp(z[shown]).sum()))
    return _line(step, a, Quotient(quotient.top, Sum(rest)))


def _loss_words(step: Step) -> str:
    penalty = [name for name in ("l1", "l2") if getattr(step.objective, name)]
    words = f"J is the mean of the {step.m} losses" if step.m > 1 else "J is the loss of the sample"
    return f"{words}, plus the penalty {' and '.join(penalty)} on the weights." if penalty else f"{words}."


def _loss(step: Step) -> Iterable[Line]:
    l, objective = len(step.net.layers), step.objective
    for s in step.rows:
        left = Symbol("L", None, () if step.m == 1 else (s,))
        terms = [
            cost(objective, step.at("z", l, s, j), step.at("a", l, s, j), step.at("y", l, s, j)) for j in step.units[l]
        ]
        some = sum(evaluate(fill(term, step.known)) for term in terms)
        summed = _with_rest(step, terms, step.net.n_outputs, float(step.costs[s]), some)
        yield _line(step, left, summed[0] if len(summed) == 1 else Sum(summed))
    every = [Symbol("L", None, (s,)) for s in step.rows] if step.m > 1 else [Symbol("L")]
    costs = floats(step.costs)
    terms = list(_with_rest(step, every, step.m, float(costs.sum()), float(costs[list(step.rows)].sum())))
    mean: Expr = Sum(tuple(terms)) if len(terms) > 1 else terms[0]
    mean = Quotient(mean, Number(float(step.m))) if step.m > 1 else mean
    yield _line(step, Symbol("J"), Sum((mean, *_penalties(step))) if _penalties(step) else mean)


def _penalties(step: Step) -> tuple[Expr, ...]:
    """Return l2/2 |W|^2 and l1 |W|_1, of all weights of the network."""
    W = step.theta[step.net.weights]
    found: list[Expr] = []
    if step.objective.l2:
        found.append(Product((step.constant(step.objective.l2 / 2), step.number((W * W).sum()))))
    if step.objective.l1:
        found.append(Product((step.constant(step.objective.l1), step.number(np.maximum(W, -W).sum()))))
    return tuple(found)


def _backward(step: Step, l: int) -> Iterable[Line]:
    last = len(step.net.layers)
    for s in step.rows:
        for j in step.units[l]:
            left = step.at("δ", l, s, j)
            if l == last:
                row = range(step.net.n_outputs)
                symbols = [(step.at("z", l, s, i), step.at("a", l, s, i), step.at("y", l, s, i)) for i in row]
                equation = output_delta(step.objective, symbols, j)
                yield _line(step, left, Quotient(equation, Number(float(step.m))) if step.m > 1 else equation)
            else:
                yield _line(step, left, _hidden_delta(step, l, s, j))


def _hidden_delta(step: Step, l: int, s: int, j: int) -> Expr:
    """Return (sum_k W[j,k] delta[k]) f'(z)."""
    after = step.units[l + 1]
    W, delta = floats(step.net.views(step.theta)[f"W{l + 1}"])[j], step.delta[l + 1]
    assert delta is not None
    back = floats(delta)[s]
    terms = [Product((Symbol("W", l + 1, (j, k)), step.at("δ", l + 1, s, k))) for k in after]
    some = float(sum(W[k] * back[k] for k in after))
    summed = _with_rest(step, terms, len(back), float(W @ back), some)
    pulled: Expr = Sum(summed) if len(summed) > 1 else summed[0]
    function = step.net.layers[l - 1].function
    if function.name == "identity":
        return pulled
    rise = slope(function, step.at("z", l, s, j), step.at("a", l, s, j))
    factors = pulled.factors if isinstance(pulled, Product) else (pulled,)
    return Product((*factors, *(rise.factors if isinstance(rise, Product) else (rise,))))


def _gradient(step: Step, l: int) -> Iterable[Line]:
    A, delta = floats(step.a[l - 1]), step.delta[l]
    assert delta is not None
    back = floats(delta)
    some = list(step.rows)
    for i in step.units[l - 1]:
        for j in step.units[l]:
            W = Symbol("W", l, (i, j))
            terms = [Product((step.at("a", l - 1, s, i), step.at("δ", l, s, j))) for s in step.rows]
            rest = _with_rest(step, terms, step.m, float(A[:, i] @ back[:, j]), float(A[some, i] @ back[some, j]))
            every = (*rest, *penalty_slopes(step, W))
            yield _line(step, Derivative(W), Sum(every) if len(every) > 1 else every[0])
    for j in step.units[l] if f"b{l}" in step.net.layout.names else ():
        terms_b = [step.at("δ", l, s, j) for s in step.rows]
        every = _with_rest(step, terms_b, step.m, float(back[:, j].sum()), float(back[some, j].sum()))
        yield _line(step, Derivative(Symbol("b", l, (j,))), Sum(every) if len(every) > 1 else every[0])


def _update(step: Step) -> Iterable[Line]:
    after = step.net.views(step.after)
    for l in range(1, len(step.net.layers) + 1):
        symbols = [Symbol("W", l, (i, j)) for i in step.units[l - 1] for j in step.units[l]]
        if f"b{l}" in step.net.layout.names:
            symbols += [Symbol("b", l, (j,)) for j in step.units[l]]
        for symbol in symbols:
            equation = Sum((symbol, Negative(Product((ETA, Derivative(symbol))))))
            value = after[f"{symbol.letter}{l}"][symbol.index]
            yield _line(step, symbol, equation, "←", value)


def _after(step: Step) -> Section:
    before = float(step.loss)
    J = float(step.objective.value(floats(step.after), floats(step.a[0]), floats(step.Y)))
    change = "falls" if before > J else "rises" if before < J else "stays as it was"
    remedy = " The rate is too large for this step." if before < J else ""
    words = f"On the same rows J {change} from {decimal(before)} to {decimal(J)}.{remedy}"
    return Section("After the step", words, ())
