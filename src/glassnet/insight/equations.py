"""Activations and losses as equations for readers, beside what they are called where they have no short one.

The numbers of an explanation come from the library's own functions; these equations say where they come from, and the
tests evaluate each of them to see that they say the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from glassnet import losses
from glassnet.activations import Activation, is_known
from glassnet.insight.expressions import (
    Apply,
    Bracket,
    Expr,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Sum,
    Symbol,
)
from glassnet.losses import Loss
from glassnet.objective import Objective

__all__ = ["activation_value", "cost", "output_delta", "slope", "softmax_value", "standard_loss"]

ONE, HALF = Number(1.0), Quotient(Number(1.0), Number(2.0))


def _sigma(z: float) -> float:
    return 1.0 / (1.0 + math.exp(-z)) if z > -700 else 0.0


def _call(name: str, *arguments: Expr, function: Callable[..., float]) -> Apply:
    return Apply(name, arguments, function)


def log(x: Expr) -> Apply:
    """ln x."""
    return _call("ln", x, function=math.log)


def minus(a: Expr, b: Expr) -> Sum:
    """a - b."""
    return Sum((a, Negative(b)))


VALUES: dict[str, Callable[[Expr], Expr]] = {
    "identity": lambda z: z,
    "sigmoid": lambda z: _call("σ", z, function=_sigma),
    "tanh": lambda z: _call("tanh", z, function=math.tanh),
    "relu": lambda z: _call("max", Number(0.0), z, function=max),
    "exp": lambda z: _call("exp", z, function=math.exp),
    "softplus": lambda z: log(Sum((ONE, _call("exp", z, function=math.exp)))),
    "silu": lambda z: Product((z, _call("σ", z, function=_sigma))),
}
"""Name -> a = f(z)."""

SLOPES: dict[str, Callable[[Expr, Expr], Expr]] = {
    "identity": lambda z, a: ONE,
    "sigmoid": lambda z, a: Product((a, minus(ONE, a))),
    "tanh": lambda z, a: minus(ONE, Power(a, 2)),
    "relu": lambda z, a: Bracket(z),
    "exp": lambda z, a: a,
    "softplus": lambda z, a: _call("σ", z, function=_sigma),
}
"""Name -> f'(z), in terms of z and a."""


def _title(function: Activation) -> str:
    return function.name if is_known(function) or function.options else "f"


def activation_value(function: Activation, z: Expr) -> Expr:
    """Return a = f(z) of an element-wise activation; one without a short equation is called by its name."""
    if is_known(function) and function.name in VALUES:
        return VALUES[function.name](z)
    return _call(_title(function), z, function=lambda at: float(function.f(np.array([at]))[0]))


def softmax_value(row: Sequence[Expr], j: int) -> Expr:
    """Return exp(z_j) / sum_i exp(z_i)."""
    powers = tuple(_call("exp", z, function=math.exp) for z in row)
    return Quotient(powers[j], Sum(powers))


def slope(function: Activation, z: Expr, a: Expr) -> Expr:
    """Return f'(z) of an element-wise activation."""
    if is_known(function) and function.name in SLOPES:
        return SLOPES[function.name](z, a)

    def df(at: float) -> float:
        point = np.array([at])
        return float(function.df(point, function.f(point))[0])

    return _call(f"{_title(function)}'", z, function=df)


# ---- losses -------------------------------------------------------------------------------------------------------

COSTS: dict[str, Callable[[Expr, Expr], Expr]] = {
    "squared_error": lambda a, y: Product((HALF, Power(minus(a, y), 2))),
    "absolute_error": lambda a, y: _call("abs", minus(a, y), function=abs),
    "cross_entropy": lambda a, y: Negative(Product((y, log(a)))),
    "binary_cross_entropy": lambda a, y: Sum(
        (Negative(Product((y, log(a)))), Negative(Product((minus(ONE, y), log(minus(ONE, a))))))
    ),
}
"""Name -> what one output costs."""

COST_SLOPES: dict[str, Callable[[Expr, Expr], Expr]] = {
    "squared_error": minus,
    "cross_entropy": lambda a, y: Negative(Quotient(y, a)),
    "binary_cross_entropy": lambda a, y: Quotient(minus(a, y), Product((a, minus(ONE, a)))),
}
"""Name -> dL/da."""

DIFFERENCE = {"squared_error", "cross_entropy", "binary_cross_entropy", "poisson"}
"""Losses whose delta is a - y under the output activation that they belong to."""


def standard_loss(objective: Objective) -> str | None:
    """Return the loss's name where it is the library's without options, else None: its equation is another one."""
    loss = objective.loss_record
    known = loss.name in losses.LOSSES and not loss.options and loss == losses.get(loss.name)
    return loss.name if known else None


def _element(function: Callable[..., object], k: int, j: int) -> Callable[..., float]:
    """Return a function of numbers that puts them at output j of a row of k: some losses depend on k."""

    def at(*numbers: float) -> float:
        rows = [np.full((1, k), number) for number in numbers]
        return float(np.asarray(function(*rows))[0, j])

    return at


def cost(objective: Objective, z: Expr, a: Expr, y: Expr) -> Expr:
    """Return what one output costs."""
    name = standard_loss(objective)
    if name in COSTS:
        return COSTS[name](a, y)
    loss = objective.loss_record
    return Apply(f"loss_{loss.name}", (a, y), _element(loss.value, objective.net.n_outputs, 0))


def cost_slope(objective: Objective, a: Expr, y: Expr) -> Expr:
    """Return dL/da of one output."""
    name = standard_loss(objective)
    if name in COST_SLOPES:
        return COST_SLOPES[name](a, y)
    loss: Loss = objective.loss_record
    return Apply(f"loss_{loss.name}'", (a, y), _element(loss.slope, objective.net.n_outputs, 0))


def output_delta(objective: Objective, row: Sequence[tuple[Symbol, Symbol, Symbol]], j: int) -> Expr:
    """Return dL/dz of output j, from (z, a, y) of every output of the sample.

    Where loss and output activation belong together it is a - y; else dL/da f'(z), and for a softmax
    a_j (dL/da_j - sum_i a_i dL/da_i).
    """
    z, a, y = row[j]
    function, name = objective.net.layers[-1].function, standard_loss(objective)
    if objective.matched is not None and name in DIFFERENCE:
        return minus(a, y)
    if objective.matched is not None:
        delta, k = objective.matched.delta, objective.net.n_outputs
        return Apply(f"loss_{objective.loss_record.name}'", (z, a, y), _element(delta, k, 0))
    if not function.elementwise:
        slopes = [cost_slope(objective, one, target) for _, one, target in row]
        mean = Sum(tuple(Product((one, s)) for (_, one, _), s in zip(row, slopes, strict=True)))
        return Product((a, minus(slopes[j], mean)))
    if function.name == "identity":
        return cost_slope(objective, a, y)
    return Product((cost_slope(objective, a, y), slope(function, z, a)))
