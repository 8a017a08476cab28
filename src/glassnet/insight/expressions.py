"""Equations as values: general with symbols, or with the numbers filled in, and evaluated to check them.

    equation = Sum((Product((W, x)), b))           W1[0,0] x[0] + b1[0]
    filled = fill(equation, number_of)             0.15·0.05 + 0.35
    evaluate(filled)                               0.3575

An expression is one of the frozen records below; how it is written (text, LaTeX, MathML) is in typeset.py.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

from glassnet.errors import fault

__all__ = [
    "Apply", "Bracket", "Derivative", "Expr", "Matrix", "Negative", "Number", "Power", "Product", "Quotient", "Rest",
    "Sum", "Symbol", "evaluate", "fill", "in_fractions",
]  # fmt: skip


@dataclass(frozen=True)
class Number:
    """A number, with the fraction that it is where that is known."""

    value: float
    fraction: Fraction | None = None


@dataclass(frozen=True)
class Symbol:
    """A letter with a layer and indices, such as W1[0,1]; `value` is what it stands for where it is left in place."""

    letter: str
    layer: int | None = None
    index: tuple[int, ...] = ()
    value: float | None = None


@dataclass(frozen=True)
class Derivative:
    """dJ/d`by`; `value` is what it stands for where it is left in place."""

    by: Symbol
    value: float | None = None


@dataclass(frozen=True)
class Sum:
    """The sum of the terms."""

    terms: tuple[Expr, ...]


@dataclass(frozen=True)
class Product:
    """The product of the factors."""

    factors: tuple[Expr, ...]


@dataclass(frozen=True)
class Quotient:
    """top / bottom."""

    top: Expr
    bottom: Expr


@dataclass(frozen=True)
class Power:
    """base to a whole power."""

    base: Expr
    exponent: int


@dataclass(frozen=True)
class Negative:
    """-of."""

    of: Expr


@dataclass(frozen=True)
class Bracket:
    """[of > 0]: 1 where that is so, else 0."""

    of: Expr


@dataclass(frozen=True)
class Apply:
    """A function by its name, with what it does to numbers."""

    name: str
    arguments: tuple[Expr, ...]
    function: Callable[..., float]


@dataclass(frozen=True)
class Rest:
    """Terms of a sum that are not written out: how many, and what they add up to."""

    count: int
    value: float


@dataclass(frozen=True)
class Matrix:
    """Rows of numbers, to be shown and not to be calculated with."""

    rows: tuple[tuple[Number, ...], ...]


Expr = Number | Symbol | Derivative | Sum | Product | Quotient | Power | Negative | Bracket | Apply | Rest | Matrix


def evaluate(expression: Expr) -> float:
    """Return the number that an expression amounts to.

    Raises GlassnetError for a symbol that stands for nothing: fill the numbers in first.

    >>> evaluate(Sum((Product((Number(2.0), Number(3.0))), Negative(Number(1.0)))))
    5.0
    """
    match expression:
        case Number(value=value) | Rest(value=value):
            return value
        case Sum(terms=terms):
            return math.fsum(evaluate(term) for term in terms)
        case Product(factors=factors):
            return math.prod(evaluate(factor) for factor in factors)
        case Quotient(top=top, bottom=bottom):
            return evaluate(top) / evaluate(bottom)
        case Power(base=base, exponent=exponent):
            return float(evaluate(base) ** exponent)
        case Negative(of=of):
            return -evaluate(of)
        case Bracket(of=of):
            return float(evaluate(of) > 0)
        case Apply(arguments=arguments, function=function):
            return float(function(*(evaluate(argument) for argument in arguments)))
        case Symbol(value=value) | Derivative(value=value) if value is not None:
            return value
    raise fault("an expression to evaluate", "with its numbers filled in", repr(expression))


def fill(expression: Expr, number_of: Callable[[Symbol | Derivative], Expr]) -> Expr:
    """Return the expression with `number_of` each symbol and derivative in its place.

    >>> fill(Power(Symbol("x"), 2), lambda symbol: Number(3.0))
    Power(base=Number(value=3.0, fraction=None), exponent=2)
    """

    def filled(part: Expr) -> Expr:
        return fill(part, number_of)

    match expression:
        case Symbol() | Derivative():
            return number_of(expression)
        case Sum(terms=terms):
            return Sum(tuple(map(filled, terms)))
        case Product(factors=factors):
            return Product(tuple(map(filled, factors)))
        case Quotient(top=top, bottom=bottom):
            return Quotient(filled(top), filled(bottom))
        case Power(base=base):
            return replace(expression, base=filled(base))
        case Negative(of=of):
            return Negative(filled(of))
        case Bracket(of=of):
            return Bracket(filled(of))
        case Apply(arguments=arguments):
            return replace(expression, arguments=tuple(map(filled, arguments)))
    return expression


def in_fractions(expression: Expr) -> Fraction | None:
    """Return the fraction that a filled-in expression amounts to; None where a part of it is not known as one.

    >>> in_fractions(Product((Number(0.5, Fraction(1, 2)), Number(3.0, Fraction(3)))))
    Fraction(3, 2)
    """

    def every(parts: tuple[Expr, ...]) -> list[Fraction] | None:
        found = [in_fractions(part) for part in parts]
        return None if None in found else [one for one in found if one is not None]

    match expression:
        case Number(value=value, fraction=fraction):
            return Fraction(int(value)) if fraction is None and value == int(value) else fraction
        case Sum(terms=terms):
            return None if (parts := every(terms)) is None else sum(parts, Fraction(0))
        case Product(factors=factors):
            if any(in_fractions(factor) == 0 for factor in factors):
                return Fraction(0)  # whatever the others are
            return None if (parts := every(factors)) is None else math.prod(parts, start=Fraction(1))
        case Quotient(top=top, bottom=bottom):
            return None if (parts := every((top, bottom))) is None else parts[0] / parts[1]
        case Power(base=base, exponent=exponent):
            return None if (parts := every((base,))) is None else parts[0] ** exponent
        case Negative(of=of):
            return None if (parts := every((of,))) is None else -parts[0]
        case Bracket(of=of):
            return None if (parts := every((of,))) is None else Fraction(parts[0] > 0)
        case Apply(name="max" | "abs", arguments=arguments, function=function):
            return None if (parts := every(arguments)) is None else Fraction(function(*parts))
    return None
