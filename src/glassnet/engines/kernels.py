"""Kernels: one pass over contiguous numbers each, compiled on first use, kept on disk, called by address.

    activate      a = f(z) and z <- f'(z), a layer's activation and its derivative in one pass
    value         z <- f(z), where a is all that f' looks at; slope multiplies by f' on the way back
    output        delta = dL/dz times a share, and the sum of the costs, with the output activation in the same pass
    cross_entropy the same for softmax outputs, for a matrix (classes, samples): every loop runs along the samples
    step          theta += step, with the rule's slots: each array is read and written once

The formulas come from activations.py, losses.py and optimizers.py; `softmax`, which sees rows, is restated here.
A kernel's text holds no formula, only its fingerprint, so one compilation serves all later processes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
from numba import cfunc, from_dtype, int64, types, void

from glassnet.engines.elementary import FLAGS
from glassnet.engines.formulas import apply, register
from glassnet.engines.machine import numbers_at, select, widest
from glassnet.engines.storage import lock, on_disk

__all__ = ["address", "exp", "kernel", "larger", "log"]

SUMS = {*FLAGS, "reassoc", "nsz"}
"""Sums may be taken in another order, so that they can be vectorised; formulas keep their own flags."""

Maker = Callable[..., Any]
MAKERS: dict[str, Maker] = {}


def kernel(maker: Maker) -> Maker:
    """Enter a maker in the table: maker(T, ...) -> (signature, function)."""
    MAKERS[maker.__name__] = maker
    return maker


@cache
def _compiled(name: str, dtype: type, details: tuple[Any, ...]) -> Any:
    number = from_dtype(np.dtype(dtype))
    signature, function = MAKERS[name](number, dtype, *details)
    options = {"error_model": "numpy", "fastmath": SUMS}
    return on_disk(function, lambda run, stored: cfunc(signature, cache=stored, **options)(run), np.dtype(dtype).name)


def address(name: str, dtype: type, *details: Any) -> int:
    """Return the address of a kernel for numbers of `dtype`; functions among the details are formulas."""
    with lock:  # code that two threads compile at once would be two pieces of code, one of them soon freed
        single = name != "step"
        keys = tuple(register(detail, dtype, single=single) if callable(detail) else detail for detail in details)
        return int(_compiled(name, dtype, keys).address)


def exp(x):
    """exp x"""
    return np.exp(x)


def log(x):
    """ln x"""
    return np.log(x)


def larger(x, y):
    """max(x, y)"""
    return np.maximum(x, y)


# ---- activations and losses ---------------------------------------------------------------------------------------


@kernel
def activate(number: Any, dtype: type, f: str, df: str) -> Any:
    """(z, a, n): a <- f(z), z <- f'(z)."""
    p = types.CPointer(number)

    def run(z, a, n):
        widest()
        for i in range(n):
            zi = z[i]
            ai = apply(f, zi)
            a[i] = ai
            z[i] = apply(df, zi, ai)

    return void(p, p, int64), run


@kernel
def value(number: Any, dtype: type, f: str) -> Any:
    """(z, z, n): z <- f(z). The second pointer is not looked at: two to one array are never vectorised."""
    p = types.CPointer(number)

    def run(z, same, n):
        widest()
        for i in range(n):
            z[i] = apply(f, z[i])

    return void(p, p, int64), run


@kernel
def slope(number: Any, dtype: type, df: str) -> Any:
    """(x, a, n): x <- x f', where f' looks at a alone."""
    p = types.CPointer(number)

    def run(x, a, n):
        widest()
        for i in range(n):
            ai = a[i]
            x[i] *= apply(df, ai, ai)

    return void(p, p, int64), run


@kernel
def multiply(number: Any, dtype: type) -> Any:
    """(x, y, n): x <- x y."""
    p = types.CPointer(number)

    def run(x, y, n):
        for i in range(n):
            x[i] *= y[i]

    return void(p, p, int64), run


@kernel
def matched_output(number: Any, dtype: type, f: str, value: str, delta: str) -> Any:
    """(z, y, n, share) -> sum of the costs: z <- share dL/dz, for a loss that knows its output activation.

    (With a third pointer for dL/dz, which was always that of z, no vector was taken: they could overlap.)
    """
    p = types.CPointer(number)
    zero = dtype(0)

    def run(z, y, n, share):
        total = zero
        for i in range(n):
            zi, yi = z[i], y[i]
            ai = apply(f, zi)
            total += apply(value, zi, ai, yi)
            z[i] = share * apply(delta, zi, ai, yi)
        return total

    return number(p, p, int64, number), run


@kernel
def output(number: Any, dtype: type, f: str, df: str, value: str, slope: str) -> Any:
    """(z, y, n, share) -> sum of the costs: z <- share dL/da f'(z), for any other loss."""
    p = types.CPointer(number)
    zero = dtype(0)

    def run(z, y, n, share):
        total = zero
        for i in range(n):
            zi, yi = z[i], y[i]
            ai = apply(f, zi)
            total += apply(value, ai, yi)
            z[i] = share * apply(slope, ai, yi) * apply(df, zi, ai)
        return total

    return number(p, p, int64, number), run


@kernel
def cross_entropy(number: Any, dtype: type, exp: str, log: str, larger: str) -> Any:
    """(z, y, work, weights, m, n, k, ld, smoothing, share) -> sum of the costs; z <- share (a - y).

        cost of a sample = sum_j y_j (ln sum_i exp z_i) - sum_j y_j z_j

    z and y are (k, n) in rows of ld: the samples lie side by side, m of them and some places more, to fill whole
    vectors. `work` has 4 n places; `weights` are those of the samples.
    """
    p = types.CPointer(number)
    zero, one = dtype(0), dtype(1)

    def run(z, y, work, weights, m, n, k, ld, smoothing, share):
        keep, spread = one - smoothing, smoothing / dtype(k)
        top, total, mass, dot = 0, n, 2 * n, 3 * n
        for i in range(n):
            work[top + i] = z[i]
            work[total + i] = zero
            work[mass + i] = zero
            work[dot + i] = zero
        for j in range(1, k):
            for i in range(n):
                work[top + i] = apply(larger, work[top + i], z[j * ld + i])
        for j in range(k):
            for i in range(n):
                target = keep * y[j * ld + i] + spread
                y[j * ld + i] = target
                above = z[j * ld + i] - work[top + i]
                work[mass + i] += target
                work[dot + i] += target * above
                above = apply(exp, above)
                z[j * ld + i] = above
                work[total + i] += above
        cost = zero
        for i in range(n):
            part = weights[i] * (work[mass + i] * apply(log, work[total + i]) - work[dot + i])
            cost += select(i < m, part, zero)
            work[total + i] = one / work[total + i]
        for j in range(k):
            for i in range(n):
                z[j * ld + i] = share * weights[i] * (z[j * ld + i] * work[total + i] - y[j * ld + i])
        return cost

    return number(p, p, p, p, int64, int64, int64, int64, number, number), run


@kernel
def softmax(number: Any, dtype: type, exp: str, larger: str) -> Any:
    """(z, a, m, k, ld): each row of a <- exp(z) / sum exp(z)."""
    p = types.CPointer(number)
    zero = dtype(0)

    def run(z, a, m, k, ld):
        for i in range(m):
            row = i * ld
            top = z[row]
            for j in range(1, k):
                top = apply(larger, top, z[row + j])
            total = zero
            for j in range(k):
                e = apply(exp, z[row + j] - top)
                a[row + j] = e
                total += e
            for j in range(k):
                a[row + j] /= total

    return void(p, p, int64, int64, int64), run


@kernel
def pull_softmax(number: Any, dtype: type) -> Any:
    """(a, da, m, k, ld): da_j <- a_j (da_j - sum_i a_i da_i)."""
    p = types.CPointer(number)
    zero = dtype(0)

    def run(a, da, m, k, ld):
        for i in range(m):
            row = i * ld
            total = zero
            for j in range(k):
                total += a[row + j] * da[row + j]
            for j in range(k):
                da[row + j] = a[row + j] * (da[row + j] - total)

    return void(p, p, int64, int64, int64), run


# ---- rows ---------------------------------------------------------------------------------------------------------


@kernel
def gather(number: Any, dtype: type, source: str) -> Any:
    """(X, rows, out, m, d, row stride, column stride of X, of out): out[i, j] <- X[rows[i], j]."""
    given = types.CPointer(from_dtype(np.dtype(source)))

    def run(X, rows, out, m, d, x_row, x_column, row, column):
        if x_column == 1 and column == 1:
            for i in range(m):
                start = rows[i] * x_row
                for j in range(d):
                    out[i * row + j] = X[start + j]
        else:
            for i in range(m):
                for j in range(d):
                    out[i * row + j * column] = X[rows[i] * x_row + j * x_column]

    whole = types.CPointer(int64)
    return void(given, whole, types.CPointer(number), *[int64] * 6), run


# ---- the rule -----------------------------------------------------------------------------------------------------


@kernel
def step(number: Any, dtype: type, formula: str, n_slots: int, n_numbers: int) -> Any:
    """(theta, g, slots, stride, n, numbers, scale): theta <- theta + step; slot s begins at slots[s stride]."""
    p = types.CPointer(number)

    def run(theta, g, slots, stride, n, numbers, scale):
        c = numbers_at(numbers, 0, 1, n_numbers)
        for i in range(n):
            change, new = apply(formula, scale * g[i], theta[i], numbers_at(slots, i, stride, n_slots), c)
            theta[i] += change
            if n_slots > 0:
                slots[i] = new[0]
            if n_slots > 1:
                slots[i + stride] = new[1]
            if n_slots > 2:
                slots[i + 2 * stride] = new[2]

    return void(p, p, p, int64, int64, p, number), run


@kernel
def penalise(number: Any, dtype: type) -> Any:
    """(theta, g, n, l1, l2) -> l1 |W|_1 + l2/2 |W|^2: g <- g + l2 W + l1 sign W."""
    p = types.CPointer(number)
    zero, one, half = dtype(0), dtype(1), dtype(0.5)

    def run(theta, g, n, l1, l2):
        total = zero
        for i in range(n):
            w = theta[i]
            sign = select(w > zero, one, select(w < zero, -one, zero))
            g[i] += l2 * w + l1 * sign
            total += l1 * (w * sign) + half * l2 * w * w
        return total

    return number(p, p, int64, number, number), run


@kernel
def square_sum(number: Any, dtype: type) -> Any:
    """(x, n, unit) -> sum of (x unit)^2, in float64."""
    p = types.CPointer(number)

    def run(x, n, unit):
        total = np.float64(0.0)
        for i in range(n):
            v = np.float64(x[i]) * unit
            total += v * v
        return total

    return types.float64(p, int64, types.float64), run


@kernel
def follow(number: Any, dtype: type) -> Any:
    """(mean, theta, n, share): mean <- mean + share (theta - mean)."""
    p = types.CPointer(number)

    def run(mean, theta, n, share):
        for i in range(n):
            mean[i] += share * (theta[i] - mean[i])

    return void(p, p, int64, number), run
