"""Steered paths: noise that drifts to where the solution is decided.

The recursion u_{n+1} = u_n - f dt + z . dW holds along every path, whatever the law of its noise (Girsanov): what it
has to know is X_{n+1} - X_n. So dW_n + b_n dt may take the place of dW_n, and b be chosen freely:

    b_n = df/dz(t_n, X_n, u_0, s_n w_n(X_n)),        with z as the straight way (skips.py) has it now

Two things are gained. An error e of z then enters u_N as e . (dW + b dt) - dt df/dz . e = e . dW, which has mean zero:
to first order u0 does not know of it. And paths go where they matter. With f = -lam/2 |z|^2 and a large lam,
u = -1/lam ln E exp(-lam g) is made by rare paths; for lam = 50 in a hundred dimensions by those that end near
|x|^2 = 16, where without steering |x|^2 = 200 +- 20, and no training on the others can know what g is like there.
Steered paths are those of the controlled process, which are the ones that decide.

A step is steered at most as far as its noise goes. Any b is right, but a straight way of the wrong sign would drive
paths away, and itself: so steering begins when it has been learned for a while.
"""

from __future__ import annotations

import numpy as np

from glassnet.arrays import Array
from glassnet.pde.deep_bsde import Unknowns
from glassnet.pde.paths import Steering

__all__ = ["UNSTEERED", "steering"]

UNSTEERED = 100
"""So many iterations pass before paths are steered."""


def steering(unknowns: Unknowns, first: Array) -> Steering:
    """Return (n, X_n (K B, d)) -> b_n (K B, d) for u0, z0 and s_n in `first` (K, F), which is copied."""
    equation, way, size = unknowns.equation, unknowns.way, unknowns.start.layout.size
    df_dz, times = equation.df_dz, equation.times
    u0, z0 = first[:, 0].copy(), first[:, 1:size].copy()
    s = (first[:, size:] / way.length).astype(first.dtype)

    def straight(n: int, x: Array, rows: int) -> Array:
        return np.asarray(np.repeat(s[:, n - 1], rows)[:, None] * way.of(x[None], n)[0])

    def b(n: int, x: Array) -> Array:
        if df_dz is None:  # f = 0
            return np.zeros_like(x)
        rows = len(x) // len(u0)
        z = straight(n, x, rows) if n else np.repeat(z0, rows, axis=0)
        return np.asarray(np.broadcast_to(df_dz(float(times[n]), x, np.repeat(u0, rows), z), x.shape))

    return b
