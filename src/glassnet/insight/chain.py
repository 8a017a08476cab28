"""Why a weight has the derivative it has: one product of factors for each path from the weight to the loss.

dJ/dW_l[i,j] = sum over paths j -> k -> ... -> o of
               a_{l-1}[i] · f'(z_l[j]) · W_{l+1}[j,k] · f'(z_{l+1}[k]) ··· dJ/dz_L[o]
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from math import prod

from glassnet.errors import choose, fault
from glassnet.insight.equations import output_delta, slope
from glassnet.insight.expressions import (
    Bracket,
    Derivative,
    Expr,
    Negative,
    Number,
    Product,
    Quotient,
    Rest,
    Sum,
    Symbol,
    evaluate,
    fill,
    in_fractions,
)
from glassnet.insight.one_step import Step
from glassnet.insight.pages import Line, Page, Section

__all__ = ["penalty_slopes", "weight_page"]

MOST_PATHS = 20_000
"""With more paths than this they are not followed one by one."""
MOST_SHOWN = 12
"""The largest paths are written out; of the others their sum."""


def weight_page(step: Step, name: str, i: int, j: int) -> Page:
    """Return the page that takes dJ/dW[i, j] apart; raises GlassnetError where there is no such weight."""
    shapes = {one: shape for one, shape in step.net.layout.shapes if one.startswith("W")}
    n_in, n_out = choose("weight matrix", name, shapes)
    if not (0 <= i < n_in and 0 <= j < n_out):
        raise fault(f"the index of {name}", f"from (0, 0) to ({n_in - 1}, {n_out - 1})", (i, j))
    l = int(name[1:])
    weight, end = Symbol("W", l, (i, j)), _end(step, l)
    found = [_path_line(step, l, i, s, path) for s in range(step.m) for path in _paths(step, l, j, end)]
    values = [evaluate(line.right[-1]) for line in found]
    largest = sorted(sorted(range(len(found)), key=lambda n: -abs(values[n]))[:MOST_SHOWN])
    lines = [_numbered(found[n], p) for p, n in enumerate(largest)]
    result = _sum_line(step, weight, lines, sum(values), len(found))
    words = f"{len(found)} path{'s' * (len(found) > 1)} lead from {name}[{i},{j}] to the loss" + (
        f"; each ends at δ of layer {end}, where the others are already added up" if end < len(step.net.layers) else ""
    )
    shown = "" if len(lines) == len(found) else f" The {len(lines)} largest are written out."
    chain = "Each path is a product: what goes into the weight, then slope and weight of each unit on the way to δ."
    return Page(f"dJ/d{name}[{i},{j}]", f"{words}.{shown} {chain}", (Section("Paths", "", (*lines, result)),))


def _end(step: Step, l: int) -> int:
    """Return the last layer to which the paths from layer l are followed one by one."""
    sizes, last = step.net.sizes, len(step.net.layers)
    ends = [end for end in range(l, last + 1) if step.m * prod(sizes[l + 1 : end + 1]) <= MOST_PATHS]
    return max(ends, default=l)


def _paths(step: Step, l: int, j: int, end: int) -> Iterator[tuple[int, ...]]:
    """Yield the units of the layers l ... end that a path goes through."""
    if l == end:
        yield (j,)
        return
    for k in range(step.net.sizes[l + 1]):
        for rest in _paths(step, l + 1, k, end):
            yield (j, *rest)


def _path_line(step: Step, l: int, i: int, s: int, path: tuple[int, ...]) -> Line:
    """Return one path: its factors, the same in numbers, their product."""
    factors: list[Expr] = [step.at("a", l - 1, s, i)]
    for layer, (unit, following) in enumerate(pairwise(path), l):
        function = step.net.layers[layer - 1].function
        if function.name != "identity":
            rise = slope(function, step.at("z", layer, s, unit), step.at("a", layer, s, unit))
            factors += rise.factors if isinstance(rise, Product) else (rise,)
        factors.append(Symbol("W", layer + 1, (unit, following)))
    factors += _last_factors(step, l + len(path) - 1, s, path[-1])
    equation = Product(tuple(factors))
    filled = fill(equation, step.known)
    exact = in_fractions(filled) if step.fractions else None
    route = " → ".join([_place(step, l - 1, i), *(_place(step, layer, unit) for layer, unit in enumerate(path, l))])
    number = Number(evaluate(filled), exact)
    said = route if step.m == 1 else f"row {s}: {route}"
    return Line(Symbol("p"), (equation, filled, number), rounded=step.fractions and exact is None, said=said)


def _last_factors(step: Step, end: int, s: int, unit: int) -> tuple[Expr, ...]:
    """Return dJ/dz of the unit where a path ends: at the output its equation, before it the symbol."""
    if end < len(step.net.layers):
        return (step.at("δ", end, s, unit),)
    row = [tuple(step.at(letter, end, s, o) for letter in "zay") for o in range(step.net.n_outputs)]
    delta = output_delta(step.objective, [(z, a, y) for z, a, y in row], unit)
    factors = delta.factors if isinstance(delta, Product) else (delta,)
    return (*factors, Quotient(Number(1.0), Number(float(step.m)))) if step.m > 1 else factors


def _place(step: Step, layer: int, unit: int) -> str:
    if layer == 0:
        return f"input {unit}"
    return f"output {unit}" if layer == len(step.net.layers) else f"layer {layer} unit {unit}"


def _numbered(line: Line, number: int) -> Line:
    return Line(Symbol("p", None, (number,)), line.right, line.relation, line.rounded, line.said)


def _sum_line(step: Step, weight: Symbol, lines: list[Line], total: float, count: int) -> Line:
    """Return dJ/dW = the sum of the paths, and the penalty's part."""
    shown: list[Expr] = [line.left for line in lines]
    numbers = [line.right[-1] for line in lines]
    rest: tuple[Expr, ...] = ()
    if count > len(lines):
        rest = (Rest(count - len(lines), total - sum(map(evaluate, numbers))),)
    penalty = penalty_slopes(step, weight)
    terms, filled = (*shown, *rest, *penalty), (*numbers, *rest, *(fill(one, step.known) for one in penalty))
    result = step.number(step.element(Derivative(weight)))
    right = (Sum(terms), Sum(filled), result) if len(terms) > 1 else (terms[0], result)
    return Line(Derivative(weight), right, rounded=step.fractions and result.fraction is None)


def penalty_slopes(step: Step, W: Symbol) -> tuple[Expr, ...]:
    """Return l2 W and l1 sign(W), what the penalty adds to the derivative by a weight."""
    found: list[Expr] = []
    if step.objective.l2:
        found.append(Product((step.constant(step.objective.l2), W)))
    if step.objective.l1:
        sign = Sum((Bracket(W), Negative(Bracket(Negative(W)))))
        found.append(Product((step.constant(step.objective.l1), sign)))
    return tuple(found)
