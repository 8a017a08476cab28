"""exp, log, tanh and their kin in plain arithmetic, which LLVM vectorises; a call to the C library it does not.

    exp x   = 2^n e^r,       n = round(x / ln 2),  |r| <= ln 2 / 2,  e^r by its Taylor series
    log x   = e ln 2 + log f,  x = 2^e f,  log f = 2 (s + s^3/3 + s^5/5 + ...),  s = (f - 1) / (f + 1)
    tanh |x| = -e / (2 + e),   e = exp(-2 |x|) - 1

The number of terms is what the dtype can show: relative errors are at most 2 units in the last place of exp, 3 of the
others (tests/test_engines_elementary.py). Not-a-number stays what it is, as do infinities. exp goes to 0 below the
smallest normal number and to infinity a third below the largest (float32: x < -87.3, x > 88.3).

`namespace(dtype)` is what a formula finds under the name `np` when it is compiled: these functions, the few that ask
for a dtype or a shape in forms for one number, and NumPy's own for all else.
"""

from __future__ import annotations

from functools import cache
from math import factorial, log
from types import ModuleType
from typing import Any

import numpy as np
from numba import njit

from glassnet import activations
from glassnet.engines.machine import ROUNDER, exponent, mantissa, power_of_two, select

__all__ = ["namespace"]

EXP_TERMS = {32: 7, 64: 13}
LOG_TERMS = {32: 5, 64: 11}
LN2 = {32: (0.693359375, -2.12194440054690583e-4), 64: (0.693147180369123816490, 1.90821492927058770002e-10)}
"""ln 2 in two parts, the first of few bits, so that n times it is exact."""
RANGE = {32: (-87.3, 88.3), 64: (-708.3, 709.4)}
"""Where 2^n is a normal number: below, exp is 0, above infinite."""
FLAGS = {"contract"}
"""a * b + c may be one operation. Never "reassoc": it would join the two parts of ln 2 again."""

compiled = njit(error_model="numpy", fastmath=FLAGS, forceinline=True, no_cfunc_wrapper=True)


def _polynomial(coefficients: list[float], dtype: Any) -> Any:
    """Horner's rule, written out: c0 + x (c1 + x (c2 + ...))."""
    names = {f"c{k}": dtype(c) for k, c in enumerate(coefficients)}
    *lower, body = names
    for name in reversed(lower):
        body = f"{name} + x * ({body})"
    return compiled(eval(f"lambda x: {body}", names))  # a loop over the coefficients would not be vectorised


@cache
def namespace(dtype: type) -> ModuleType:
    """Return a module with NumPy's names, whose functions are for one number of `dtype` and can be vectorised."""
    T: Any = dtype
    bits = np.dtype(dtype).itemsize * 8
    zero, one, two = T(0), T(1), T(2)
    low, high = (T(x) for x in RANGE[bits])
    log2e, ln2_high, ln2_low = T(1 / log(2)), *(T(part) for part in LN2[bits])
    rounder, tiny, lift = T(ROUNDER[bits]), np.finfo(dtype).tiny, T(2.0 ** (25 if bits == 32 else 54))
    lifted, infinity, nan = T(25 if bits == 32 else 54), T(np.inf), T(np.nan)
    half_log_max = T(activations.half_log_max(np.empty(0, dtype)))
    tail = _polynomial([1 / factorial(n) for n in range(2, EXP_TERMS[bits] + 1)], dtype)
    odd = _polynomial([2 / (2 * n + 1) for n in range(1, LOG_TERMS[bits] + 1)], dtype)

    @compiled
    def minimum(a, b):
        a, b = T(a), T(b)
        return select((a <= b) | (a != a), a, b)

    @compiled
    def maximum(a, b):
        a, b = T(a), T(b)
        return select((a >= b) | (a != a), a, b)

    @compiled
    def exp(x):
        x = T(x)
        shifted = x * log2e + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        value = power_of_two(shifted) * (one + (r + r * r * tail(r)))
        return select(x < low, zero, select(x > high, infinity, value))

    @compiled
    def expm1(x):
        x = T(x)
        shifted = x * log2e + rounder
        n = shifted - rounder
        r = (x - n * ln2_high) - n * ln2_low
        scale = power_of_two(shifted)
        value = scale * (r + r * r * tail(r)) + (scale - one)
        return select(x < low, -one, select(x > high, infinity, value))

    @compiled
    def logarithm(x):
        x = T(x)
        small = x < tiny
        y = select(small, x * lift, x)
        e = exponent(y) - select(small, lifted, zero)
        f = mantissa(y) - one
        s = f / (two + f)
        square = s * s
        # log f = f - s (f - s^2 (...)): what is added to f is small, so that f's own digits are kept
        value = f - s * (f - square * odd(square))
        value = e * ln2_high + (value + e * ln2_low)
        value = select(x < infinity, value, x)
        return select(x > zero, value, select(x == zero, -infinity, nan))

    @compiled
    def log1p(x):
        x = T(x)
        y = one + x
        gap = (x - (y - one)) / y  # what rounding 1 + x has lost
        return select(y == one, x, select(y < infinity, logarithm(y) + select(y > zero, gap, zero), y))

    @compiled
    def tanh(x):
        x = T(x)
        e = expm1(-two * abs(x))
        t = -e / (two + e)
        return select(x < zero, -t, t)

    @compiled
    def where(condition, a, b):
        return select(condition, a, b)

    @compiled
    def clip(a, a_min, a_max):
        return minimum(maximum(a, a_min), a_max)

    @compiled
    def same(x):
        return x

    module = ModuleType(f"elementary{bits}")
    vars(module).update(
        {name: value for name, value in vars(np).items() if not name.startswith("_")},
        exp=exp, expm1=expm1, log=logarithm, log1p=log1p, tanh=tanh, minimum=minimum, maximum=maximum, where=where,
        clip=clip, asarray=same, ones_like=compiled(lambda x: one), zeros_like=compiled(lambda x: zero),
        sign=compiled(lambda x: select(x > zero, one, select(x < zero, -one, x))),
        half_log_max=compiled(lambda x: half_log_max), step=compiled(lambda x: select(x > zero, one, zero)),
    )  # fmt: skip
    return module
