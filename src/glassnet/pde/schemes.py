"""How the recursion steps through time, and its gradient by hand: two schemes.

    "euler"         u_{n+1} = u_n - dt F_n + q_n,            F_n = f(t_n, X_n, u_n, z_n)        as published
    "trapezoid"     u_{n+1} = u_n - dt/2 (F_n + F_{n+1}) + q_n,
                    F_{n+1} = f(t_{n+1}, X_{n+1}, p_{n+1}, z_{n+1}),      p_{n+1} = u_n - dt F_n + q_n,      p_0 = u_0

with q_n = z_n . dW_n. Both ask for f once a node: the second needs f at an end of the step that it does not know yet,
and takes Euler's guess p of it. At the end time z_N is sigma^T grad g(X_N) where `dg_dx` is given; elsewhere z_{N-1}
stands in, in one step of N. The error of the second is of order dt^2 where f = a(t) u + h(t, x, z). Elsewhere it need
not be: q_n is the left rule of an integral over noise, which has mean zero, but leaves its chance in the u that f sees.

The way back. Let w_n = dL/dq_n, phi_n = dL/dF_n and pi_n = phi_n df/du. Everything is u_N's slope `end` times numbers
of the path, for which

    euler:        v_N = 1, v_n = v_{n+1} (1 - dt df/du),             w_n = v_{n+1},  phi_n = -dt v_{n+1},  dL/du_0 = v_0
    trapezoid:    v_N = 1, v_n = v_{n+1} + pi_{n+1},                 w_n = v_n,
                  phi_n = -dt/2 (v_n + v_{n+1}) - dt pi_{n+1},       phi_N = -dt/2,
                  phi_0 = -dt/2 v_1 - dt pi_1,                       dL/du_0 = v_0 + pi_0

and in both dL/dz_n = w_n dW_n + phi_n df/dz. It is handed on as w_n (dW_n - dt slope_n), so that all who learn from it
need not know which scheme it was: slope_n = df/dz for Euler's, -phi_n / (dt w_n) df/dz for the other.

Steered paths (paths.py) owe something under the trapezoidal rule: z_{n+1} . lag_n belongs to step n, and is paid with
q_{n+1}. What f sees is u_{n+1} with it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array
from glassnet.pde.equations import Equation, pulled
from glassnet.pde.paths import Paths

__all__ = ["Course", "pullback", "recursion"]

SMALL = 1e-12
"""Stands in for a w_n of 0, by which -phi_n is divided."""


@dataclass(frozen=True)
class Course:
    """u_N (m,), the u that f is asked with at each node (N, m) or (N+1, m), and z_N (m, d) or what stands in for it."""

    end: Array
    at: Array
    z_end: Array


def recursion(equation: Equation, u0: Array, z: Array, q: Array, paths: Paths) -> Course:
    """Return the course of u from u_0 (m,), z (N, m, d) and q = z . dW (N, m) along paths, by the equation's scheme."""
    return _FORWARD[equation.scheme](equation, u0, z, q, paths)


def pullback(
    equation: Equation, course: Course, z: Array, paths: Paths, end: Array, slopes: Array
) -> tuple[Array, Array]:
    """Return w (N, m) and dL/du_0 (m,) from dL/du_N = `end` (m,), and write the slopes (N, m, d)."""
    if equation.df_du is None or equation.df_dz is None:  # f = 0: `complete` has filled in whatever else was missing
        slopes[...] = 0.0
        return np.repeat(end[None], len(z), axis=0), end
    return _BACK[equation.scheme](equation, course, z, paths, end, slopes)


# ---- Euler ---------------------------------------------------------------------------------------------------------


def _euler(equation: Equation, u0: Array, z: Array, q: Array, paths: Paths) -> Course:
    u = np.empty((len(q) + 1, q.shape[1]), q.dtype)
    u[0] = u0
    f, dt, t, X = equation.f, equation.dt, equation.times, paths.X
    if f is None:
        np.cumsum(q, axis=0, out=u[1:])
        u[1:] += u0
        return Course(u[-1], u[:-1], z[-1])
    for n in range(len(q)):
        u[n + 1] = u[n] - dt * np.asarray(f(float(t[n]), X[n], u[n], z[n])) + q[n]
    return Course(u[-1], u[:-1], z[-1])


def _euler_back(
    equation: Equation, course: Course, z: Array, paths: Paths, end: Array, slopes: Array
) -> tuple[Array, Array]:
    df_du, df_dz, dt, t, X, u = equation.df_du, equation.df_dz, equation.dt, equation.times, paths.X, course.at
    assert df_du is not None
    assert df_dz is not None
    v = np.empty((len(z) + 1, len(end)), end.dtype)
    v[-1] = end
    for n in range(len(z) - 1, -1, -1):
        slopes[n] = df_dz(float(t[n]), X[n], u[n], z[n])
        v[n] = v[n + 1] * (1.0 - dt * np.asarray(df_du(float(t[n]), X[n], u[n], z[n])))
    return v[1:], v[0]


# ---- the trapezoidal rule ------------------------------------------------------------------------------------------


def _at_the_end(equation: Equation, z: Array, X: Array) -> Array:
    """z_N (m, d)."""
    if equation.dg_dx is None:
        return np.asarray(z[-1])
    slope = np.broadcast_to(np.asarray(equation.dg_dx(X)), X.shape)
    return pulled(equation, equation.horizon, X, slope).astype(z.dtype)


def _owed(equation: Equation, z: Array, z_end: Array, lag: Array | None) -> Array:
    """z_{n+1} . lag_n (N, m), which u_{n+1} lacks; at the end only where z_N is not a stand-in, which has paid."""
    owed = np.zeros(z.shape[:2], z.dtype)
    if lag is not None:
        np.einsum("nmd,nmd->nm", z[1:], lag[:-1], out=owed[:-1])
        if equation.dg_dx is not None:
            np.einsum("md,md->m", z_end, lag[-1], out=owed[-1])
    return owed


def _trapezoid(equation: Equation, u0: Array, z: Array, q: Array, paths: Paths) -> Course:
    f, dt, t, X = equation.f, equation.dt, equation.times, paths.X
    z_end = _at_the_end(equation, z, X[-1])
    owed = _owed(equation, z, z_end, paths.lag)
    if f is None:
        plain = _euler(equation, u0, z, q, paths)
        return Course(plain.end + owed[-1], plain.at, z_end)
    at = np.empty((len(q) + 1, q.shape[1]), q.dtype)
    at[0] = u = np.asarray(u0, q.dtype)
    before = np.asarray(f(0.0, X[0], at[0], z[0]))
    for n in range(len(q)):
        at[n + 1] = u - dt * before + q[n] + owed[n]
        after = np.asarray(f(float(t[n + 1]), X[n + 1], at[n + 1], z[n + 1] if n + 1 < len(z) else z_end))
        u = (u - (0.5 * dt) * (before + after) + q[n]).astype(q.dtype)
        before = after
    return Course(u + owed[-1], at, z_end)


def _trapezoid_back(
    equation: Equation, course: Course, z: Array, paths: Paths, end: Array, slopes: Array
) -> tuple[Array, Array]:
    df_du, df_dz, dt, t, X, at = equation.df_du, equation.df_dz, equation.dt, equation.times, paths.X, course.at
    assert df_du is not None
    assert df_dz is not None
    N = len(z)
    last = float(t[N]), X[N], at[N], course.z_end
    v, phi = np.ones_like(end), np.full_like(end, -0.5 * dt)
    pi = phi * np.asarray(df_du(*last))
    w = np.empty((N, len(end)), end.dtype)
    for n in range(N - 1, -1, -1):
        here = float(t[n]), X[n], at[n], z[n]
        by_u, by_z = np.asarray(df_du(*here)), np.asarray(df_dz(*here))
        if n and paths.lag is not None:  # f's u has z_n . lag_{n-1}
            by_z = by_z + by_u[..., None] * paths.lag[n - 1]
        ahead = phi
        phi = -dt * (0.5 * v + pi)
        v = v + pi
        if n:
            phi -= 0.5 * dt * v
        w[n] = np.where(np.abs(v) < SMALL, SMALL, v)
        slopes[n] = (phi / (-dt * w[n]))[:, None] * by_z
        if n == N - 1 and equation.dg_dx is None:  # z_N is z_{N-1}
            slopes[n] += (ahead / (-dt * w[n]))[:, None] * np.asarray(df_dz(*last))
        pi = phi * by_u
    return w * end, (v + pi) * end


_FORWARD: dict[str, Callable[..., Course]] = {"euler": _euler, "trapezoid": _trapezoid}
_BACK: dict[str, Callable[..., tuple[Array, Array]]] = {"euler": _euler_back, "trapezoid": _trapezoid_back}
