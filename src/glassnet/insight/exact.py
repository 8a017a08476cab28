"""Numbers that remember which fraction they are, so that the library's own formulas run on them.

An `Exact` is a float with, where it is known, the fraction that it stands for. Sums, products and quotients of
fractions are fractions; exp, ln and tanh lose them (except at 0 and 1). NumPy arrays of dtype object pass each
operation on to their elements, so `Dense.forward`, `relu` or `squared_error` compute exactly without a second copy of
any equation.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault

__all__ = ["Exact", "exactly", "floats", "rational"]

MOST = 1000
"""The largest denominator of a number that is read as a fraction."""


def rational(value: float | Fraction) -> Fraction | None:
    """Return the fraction with a denominator of at most 1000 that is written as this float, or None.

    >>> rational(0.1), rational(1 / 3), rational(2 ** 0.5)
    (Fraction(1, 10), Fraction(1, 3), None)
    """
    if isinstance(value, Fraction):
        return value
    if not math.isfinite(value):
        return None
    near = Fraction(value).limit_denominator(MOST)
    return near if float(near) == float(value) else None


@dataclass(frozen=True, eq=False, order=False)
class Exact:
    """A number: its float, and the fraction that it is where that is known.

    >>> third = Exact.of(1 / 3)
    >>> (third + third * 0.5).fraction, third.exp().fraction
    (Fraction(1, 2), None)
    """

    value: float
    fraction: Fraction | None = None

    @classmethod
    def of(cls, number: Any) -> Exact:
        """Return a number as an `Exact`; floats are read by `rational`."""
        if isinstance(number, Exact):
            return number
        fraction = number if isinstance(number, Fraction) else rational(float(number))
        return cls(float(number), fraction)

    def _with(self, other: Any, operate: Callable[[Any, Any], Any], *, reverse: bool = False) -> Exact:
        """Return the result on the fractions where both are known, else on the floats."""
        theirs = Exact.of(other)
        left, right = (theirs, self) if reverse else (self, theirs)
        if left.fraction is not None and right.fraction is not None:
            fraction = Fraction(operate(left.fraction, right.fraction))
            return Exact(float(fraction), fraction)
        return Exact(float(operate(left.value, right.value)))

    def __add__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p + q)

    def __radd__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p + q, reverse=True)

    def __sub__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p - q)

    def __rsub__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p - q, reverse=True)

    def __mul__(self, other: Any) -> Exact:
        """Zero times anything is 0, exactly."""
        theirs = Exact.of(other)
        if 0 in (self.fraction, theirs.fraction):
            return Exact(0.0, Fraction(0))
        return self._with(theirs, lambda p, q: p * q)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p / q)

    def __rtruediv__(self, other: Any) -> Exact:
        return self._with(other, lambda p, q: p / q, reverse=True)

    def __neg__(self) -> Exact:
        return Exact(-self.value, None if self.fraction is None else -self.fraction)

    def __float__(self) -> float:
        return self.value

    def _order(self) -> Fraction | float:
        return self.value if self.fraction is None else self.fraction

    def __lt__(self, other: Any) -> bool:
        return self._order() < Exact.of(other)._order()

    def __le__(self, other: Any) -> bool:
        return self._order() <= Exact.of(other)._order()

    def __gt__(self, other: Any) -> bool:
        return self._order() > Exact.of(other)._order()

    def __ge__(self, other: Any) -> bool:
        return self._order() >= Exact.of(other)._order()

    def _apply(self, function: Callable[[float], float], at: int, there: int) -> Exact:
        """Return function(self), whose one fraction is its value `there` at the point `at`."""
        known = self.fraction is not None and self.fraction == at
        return Exact(function(self.value), Fraction(there) if known else None)

    # NumPy calls these for np.exp, np.log, np.log1p and np.tanh of an array of objects.

    def exp(self) -> Exact:
        """Return e^self; exact at 0."""
        return self._apply(math.exp, 0, 1)

    def log(self) -> Exact:
        """Return ln self; exact at 1."""
        return self._apply(math.log, 1, 0)

    def log1p(self) -> Exact:
        """Return ln(1 + self); exact at 0."""
        return self._apply(math.log1p, 0, 0)

    def tanh(self) -> Exact:
        """Return tanh self; exact at 0."""
        return self._apply(math.tanh, 0, 0)


def exactly(name: str, array: Array) -> Array:
    """Return an array of `Exact` (dtype object) of the same shape.

    Raises GlassnetError for a number that no fraction with a denominator of at most 1000 is written as.
    """
    result = np.empty(array.shape, dtype=object)
    for at, number in np.ndenumerate(array):
        one = Exact.of(number)
        result[at] = one
        if one.fraction is None:
            place = f"{name}[{', '.join(map(str, at))}]" if at else name
            remedy = "Round the numbers first, or leave out fractions=True."
            raise fault(place, f"a fraction with a denominator of at most {MOST}", number, remedy)
    return result


def floats(array: Array) -> Array:
    """Return an array of numbers or of `Exact` as float64."""
    return np.asarray(array, dtype=np.float64)
