"""Kernels of the layers that are not Dense: the equations of layers.py in loops over the rows of a batch.

A matrix of m rows and n units has `ld` places a row (one more than units, where a Dense layer follows). Each kernel
serves both ways: forward (z in, out) and back (dZ -> dA in place), with the gradients of gamma and beta.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import float64, int64, types, void

from glassnet.engines.kernels import kernel
from glassnet.engines.machine import call

__all__: list[str] = []


@kernel
def drop(number: Any, dtype: type) -> Any:
    """(a, out, mask, m, n, ld, rate, next_double, generator): out = a mask / (1 - rate), with a new mask."""
    p = types.CPointer(number)
    keep_none, one = dtype(0), dtype(1)

    def run(a, out, mask, m, n, ld, rate, next_double, generator):
        scale = one / dtype(1.0 - rate)
        for i in range(m):
            for j in range(n):
                if rate == 0.0:
                    mask[i * ld + j] = one
                    continue
                kept = call(0.0, next_double, (generator,)) >= rate
                mask[i * ld + j] = scale if kept else keep_none
        for i in range(m * ld):
            out[i] = a[i] * mask[i]

    return void(p, p, p, int64, int64, int64, float64, int64, int64), run


@kernel
def batch_norm(number: Any, dtype: type) -> Any:
    """(a, out, X, scale, mean, theta, stats, m, n, ld, momentum, eps): out = gamma X + beta over the batch.

    theta: gamma, beta. stats: running mean and variance. X (m, ld) and scale (n) are kept for the way back.
    """
    p = types.CPointer(number)
    one, zero = dtype(1), dtype(0)

    def run(a, out, X, scale, mean, theta, stats, m, n, ld, momentum, eps):
        part = one / m
        for j in range(n):
            mean[j] = zero
            scale[j] = zero
        for i in range(m):
            for j in range(n):
                mean[j] += a[i * ld + j]
        for j in range(n):
            mean[j] *= part
        for i in range(m):
            for j in range(n):
                centred = a[i * ld + j] - mean[j]
                X[i * ld + j] = centred
                scale[j] += centred * centred
        for j in range(n):
            var = scale[j] * part
            stats[j] = momentum * stats[j] + (one - momentum) * mean[j]
            stats[n + j] = momentum * stats[n + j] + (one - momentum) * var
            scale[j] = one / np.sqrt(var + eps)
        for i in range(m):
            for j in range(n):
                x = X[i * ld + j] * scale[j]
                X[i * ld + j] = x
                out[i * ld + j] = theta[j] * x + theta[n + j]

    return void(p, p, p, p, p, p, p, int64, int64, int64, number, number), run


@kernel
def batch_norm_back(number: Any, dtype: type) -> Any:
    """(d, X, scale, theta, g, m, n, ld): dA = gamma scale (dZ - mean dZ - X mean(dZ X)), in place; g: dgamma, dbeta."""
    p = types.CPointer(number)
    zero, one = dtype(0), dtype(1)

    def run(d, X, scale, theta, g, m, n, ld):
        part = one / m
        for j in range(2 * n):
            g[j] = zero
        for i in range(m):
            for j in range(n):
                g[j] += d[i * ld + j] * X[i * ld + j]
                g[n + j] += d[i * ld + j]
        for i in range(m):
            for j in range(n):
                rest = d[i * ld + j] - part * g[n + j] - X[i * ld + j] * (part * g[j])
                d[i * ld + j] = theta[j] * scale[j] * rest

    return void(p, p, p, p, p, int64, int64, int64), run


@kernel
def layer_norm(number: Any, dtype: type) -> Any:
    """(a, out, X, scale, theta, m, n, ld, eps): out = gamma X + beta, over the units of each row; scale (m) is kept."""
    p = types.CPointer(number)
    one, zero = dtype(1), dtype(0)

    def run(a, out, X, scale, theta, m, n, ld, eps):
        part = one / n
        for i in range(m):
            mean, var = zero, zero
            for j in range(n):
                mean += a[i * ld + j]
            mean *= part
            for j in range(n):
                centred = a[i * ld + j] - mean
                X[i * ld + j] = centred
                var += centred * centred
            s = one / np.sqrt(var * part + eps)
            scale[i] = s
            for j in range(n):
                x = X[i * ld + j] * s
                X[i * ld + j] = x
                out[i * ld + j] = theta[j] * x + theta[n + j]

    return void(p, p, p, p, p, int64, int64, int64, number), run


@kernel
def layer_norm_back(number: Any, dtype: type) -> Any:
    """(d, X, scale, theta, g, m, n, ld): dA = scale (dX - mean dX - X mean(dX X)), dX = gamma dZ; in place."""
    p = types.CPointer(number)
    zero, one = dtype(0), dtype(1)

    def run(d, X, scale, theta, g, m, n, ld):
        part = one / n
        for j in range(2 * n):
            g[j] = zero
        for i in range(m):
            mean, product = zero, zero
            for j in range(n):
                dz, x = d[i * ld + j], X[i * ld + j]
                g[j] += dz * x
                g[n + j] += dz
                dx = dz * theta[j]
                mean += dx
                product += dx * x
            mean *= part
            product *= part
            for j in range(n):
                d[i * ld + j] = scale[i] * (d[i * ld + j] * theta[j] - mean - X[i * ld + j] * product)

    return void(p, p, p, p, p, int64, int64, int64), run
