"""Kernels of a stack of normalised networks: what lies between two products, in few passes over each matrix.

A normalisation is over the m rows of a batch, followed by an activation:

    X = (A - mean) / sqrt(var + eps),      out = f(gamma X + beta)

and on the way back, with D = dL/dout * f'(gamma X + beta):

    dgamma = sum D X,   dbeta = sum D,     dA = gamma / sqrt(var + eps) (D - dbeta / m - X dgamma / m)

Matrices are (m, n) row by row; every loop runs along the columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import int64, types, void

from glassnet.engines.formulas import apply
from glassnet.engines.kernels import kernel

__all__: list[str] = []


@kernel
def normalise(number: Any, dtype: type, f: str) -> Any:
    """(a, out, X, scale, mean, theta, stats, m, n, momentum, eps): theta is gamma, beta; stats mean, var; X is kept."""
    p = types.CPointer(number)
    one, zero = dtype(1), dtype(0)

    def run(a, out, X, scale, mean, theta, stats, m, n, momentum, eps):
        part = one / dtype(m)
        for j in range(n):
            mean[j] = zero
            scale[j] = zero
        for i in range(m):
            for j in range(n):
                mean[j] += a[i * n + j]
        for j in range(n):
            mean[j] *= part
        for i in range(m):
            for j in range(n):
                centred = a[i * n + j] - mean[j]
                X[i * n + j] = centred
                scale[j] += centred * centred
        for j in range(n):
            var = scale[j] * part
            stats[j] = momentum * stats[j] + (one - momentum) * mean[j]
            stats[n + j] = momentum * stats[n + j] + (one - momentum) * var
            scale[j] = one / np.sqrt(var + eps)
        for i in range(m):
            for j in range(n):
                x = X[i * n + j] * scale[j]
                X[i * n + j] = x
                out[i * n + j] = apply(f, theta[j] * x + theta[n + j])

    return void(p, p, p, p, p, p, p, int64, int64, number, number), run


@kernel
def normalise_back(number: Any, dtype: type, f: str, df: str) -> Any:
    """(d, X, scale, theta, g, m, n): dA in the place of D; g is dgamma, dbeta."""
    p = types.CPointer(number)
    one, zero = dtype(1), dtype(0)

    def run(d, X, scale, theta, g, m, n):
        part = one / dtype(m)
        for j in range(2 * n):
            g[j] = zero
        for i in range(m):
            for j in range(n):
                x = X[i * n + j]
                z = theta[j] * x + theta[n + j]
                di = d[i * n + j] * apply(df, z, apply(f, z))
                d[i * n + j] = di
                g[j] += di * x
                g[n + j] += di
        for i in range(m):
            for j in range(n):
                rest = d[i * n + j] - part * g[n + j] - X[i * n + j] * (part * g[j])
                d[i * n + j] = theta[j] * scale[j] * rest

    return void(p, p, p, p, p, int64, int64), run


@kernel
def project(number: Any, dtype: type) -> Any:
    """(z, w, q, m, n, share): z <- share z, q_i = z_i . w_i."""
    p = types.CPointer(number)
    zero = dtype(0)

    def run(z, w, q, m, n, share):
        for i in range(m):
            total = zero
            for j in range(n):
                zj = share * z[i * n + j]
                z[i * n + j] = zj
                total += zj * w[i * n + j]
            q[i] = total

    return void(p, p, p, int64, int64, number), run


@kernel
def pull(number: Any, dtype: type) -> Any:
    """(d, v, w, s, m, n, dt, share): d_i <- share v_i (w_i - dt s_i)."""
    p = types.CPointer(number)

    def run(d, v, w, s, m, n, dt, share):
        for i in range(m):
            vi = share * v[i]
            for j in range(n):
                d[i * n + j] = vi * (w[i * n + j] - dt * s[i * n + j])

    return void(p, p, p, p, int64, int64, number, number), run


@kernel
def unscale(number: Any, dtype: type) -> Any:
    """(g, w, theta, dtheta, n, k): from X^T D (n, k) in g to A^T D, A = gamma X + beta; dgamma_j = w_j . (X^T D)_j.

    D has passed a normalisation, so that its columns sum to 0: beta has no part in the gradient, and none of its own.
    """
    p = types.CPointer(number)
    zero = dtype(0)

    def run(g, w, theta, dtheta, n, k):
        for j in range(n):
            total, gamma = zero, theta[j]
            for i in range(k):
                e = g[j * k + i]
                total += w[j * k + i] * e
                g[j * k + i] = gamma * e
            dtheta[j] = total
            dtheta[n + j] = zero

    return void(p, p, p, p, int64, int64), run
