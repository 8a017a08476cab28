"""The equations that are known by name: the seven of the method's authors, and two with closed solutions as checks.

Sources: J. Han, A. Jentzen and W. E, PNAS 115 (2018) 8505-8510; W. E, J. Han and A. Jentzen, Commun. Math. Stat. 5
(2017) 349-380; J. Han, A. Jentzen and W. E, the program DeepBSDE. Each function returns a frozen `Equation`; its
numbers (dim, steps, and those of the equation) are arguments.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import exp, lgamma, log, sin, sqrt
from typing import Any

import numpy as np

from glassnet.arrays import Array, check_count
from glassnet.errors import choose, fault
from glassnet.pde.equations import Equation
from glassnet.schedules import Piecewise

__all__ = ["EQUATIONS", "get"]

PNAS = "Han, Jentzen and E, PNAS 115 (2018)"
CMS = "E, Han and Jentzen, Commun. Math. Stat. 5 (2017)"
ROOT2 = sqrt(2.0)


def squares(x: Array) -> Array:
    """|x|^2 (m,) of the rows of x (m, d)."""
    return np.asarray(np.einsum("...j,...j->...", x, x))


def hjb(dim: int = 100, steps: int = 20, *, lam: float = 1.0) -> Equation:
    """Hamilton, Jacobi and Bellman: u_t + Laplacian u = lam |grad u|^2, u(1, x) = ln((1 + |x|^2) / 2).

    With z = sqrt(2) grad u: f = -lam/2 |z|^2. For lam = 1 training starts and runs as published. For others paths are
    steered to where the solution is decided, by the trapezoidal rule, as the control is strong at the end; u0 starts
    below g at the mean of |x|^2, a bound of u, and the rate falls at the end.

    Raises GlassnetError for a lam that is not positive.
    """
    if not lam > 0:
        raise fault("lam of hjb", "positive", lam)
    bound = log(0.5 + dim)
    falling = Piecewise((1100, 1350), (1e-2, 1e-3, 1e-4))
    start, rate, iterations = ((0.0, 1.0), 1e-2, 2000) if lam == 1 else ((bound - 1.0, bound), falling, 1500)
    others: dict[str, Any] = {} if lam == 1 else {
        "steered": True, "from_middle": True, "scheme": "trapezoid",
        "dg_dx": lambda x: x * (2.0 / (1.0 + squares(x)))[..., None],
    }  # fmt: skip
    return Equation(
        "hjb", dim=dim, steps=steps, horizon=1.0, diffusion=ROOT2,
        f=lambda t, x, u, z: (-0.5 * lam) * squares(z),
        df_du=lambda t, x, u, z: np.zeros_like(u),
        df_dz=lambda t, x, u, z: -lam * z,
        g=lambda x: np.log(0.5 + 0.5 * squares(x)),
        u_start=start, iterations=iterations, learning_rate=rate, **others,
        known=hjb_value(check_count("dim of hjb", dim), lam), known_from="exact: a chi-square integral",
        published_error=0.0017 if lam == 1 else None, source=PNAS,
        summary=f"control of a random walk, cost lam |grad u|^2, lam = {lam:g}",
    )  # fmt: skip


def hjb_value(dim: int, lam: float, points: int = 20_001) -> float:
    """u(0, 0) of `hjb`: -1/lam ln E exp(-lam g(sqrt(2) W_1)) = -1/lam ln E ((1 + 2 S) / 2)^-lam, S chi-square (dim).

    By the trapezoidal rule in y = ln S, whose density decays like an exponential on one side and faster on the other.

    >>> round(hjb_value(100, 1.0), 11)
    4.5901617246
    """
    half = dim / 2
    y = np.linspace(-3.0 - 80.0 / half, log(dim) + 8.0, points)  # below y = -1 all falls as exp(half y)
    density = half * y - np.exp(y) / 2 - half * log(2) - lgamma(half)
    exponent = density - lam * (np.log1p(2 * np.exp(y)) - log(2))
    top = float(exponent.max())
    return -(top + log(float(np.exp(exponent - top).sum()) * float(y[1] - y[0]))) / lam


def allen_cahn(dim: int = 100, steps: int = 20) -> Equation:
    """Allen and Cahn: u_t + Laplacian u + u - u^3 = 0, u(0.3, x) = 1 / (2 + 0.4 |x|^2)."""
    return Equation(
        "allen_cahn", dim=dim, steps=steps, horizon=0.3, diffusion=ROOT2,
        f=lambda t, x, u, z: u - u**3,
        df_du=lambda t, x, u, z: 1.0 - 3.0 * u**2,
        df_dz=lambda t, x, u, z: np.zeros_like(z),
        g=lambda x: 0.5 / (1.0 + 0.2 * squares(x)),
        u_start=(0.3, 0.5), iterations=4000, learning_rate=5e-4,
        known=0.05278135740964 if dim == 100 else None, known_from="exact to 12 digits: the radial equation",
        published_error=0.0030, source=PNAS, summary="reaction and diffusion of two phases",
    )  # fmt: skip


def default_risk(dim: int = 100, steps: int = 40) -> Equation:
    """Black and Scholes with default risk: f = -(1 - delta) Q(u) u - R u, g = min_i x_i.

    Q falls from 0.2 to 0.02 as u goes from 50 to 70; delta = 2/3, R = 0.02; dX = 0.02 X dt + 0.2 X dW.
    """
    slope = (0.02 - 0.2) / 20.0

    def intensity(u: Array) -> Array:
        return np.clip(0.2 + slope * (u - 50.0), 0.02, 0.2)

    def df_du(t: float, x: Array, u: Array, z: Array) -> Array:
        return -(intensity(u) + u * slope * ((u > 50.0) & (u < 70.0))) / 3.0 - 0.02

    return Equation(
        "default_risk", dim=dim, steps=steps, horizon=1.0, x0=100.0,
        drift=lambda t, x: 0.02 * x, diffusion=lambda t, x: 0.2 * x,
        f=lambda t, x, u, z: -(intensity(u) / 3.0 + 0.02) * u,
        df_du=df_du,
        df_dz=lambda t, x, u, z: np.zeros_like(z),
        g=lambda x: x.min(axis=-1),
        u_start=(40.0, 50.0), iterations=6000, learning_rate=8e-3,
        known=57.300 if dim == 100 else None, known_from="multilevel Picard",
        bracket=(55.735, 59.181) if dim == 100 else None,
        published_error=0.0046, source=PNAS, summary="price of the worst of d stocks, paid back in part on default",
    )  # fmt: skip


def different_rates(dim: int = 100, steps: int = 20) -> Equation:
    """Borrowing at 6%, lending at 4%: f = -0.04 u - 0.02 s + 0.02 max(s - u, 0) with s = sum(z) / 0.2.

    Geometric paths, drift 0.06 and volatility 0.2, sampled exactly;
    g = max(max_i x - 120, 0) - 2 max(max_i x - 150, 0).
    """
    lend, borrow, vol = 0.04, 0.06, 0.2

    def exact(t: float, x: Array, dt: float, dW: Array) -> Array:
        return x * np.exp((borrow - vol * vol / 2) * dt + vol * dW)

    def f(t: float, x: Array, u: Array, z: Array) -> Array:
        s = z.sum(axis=-1) / vol
        return np.asarray(-lend * u - (borrow - lend) * s + (borrow - lend) * np.maximum(s - u, 0.0))

    def df_du(t: float, x: Array, u: Array, z: Array) -> Array:
        return np.asarray(-lend - (borrow - lend) * (z.sum(axis=-1) / vol > u))

    def df_dz(t: float, x: Array, u: Array, z: Array) -> Array:
        borrowing = z.sum(axis=-1, keepdims=True) / vol > u[:, None]
        return np.asarray((borrow - lend) / vol * (borrowing - 1.0))

    def g(x: Array) -> Array:
        top = x.max(axis=-1)
        return np.asarray(np.maximum(top - 120.0, 0.0) - 2.0 * np.maximum(top - 150.0, 0.0))

    return Equation(
        "different_rates", dim=dim, steps=steps, horizon=0.5, x0=100.0,
        drift=lambda t, x: borrow * x, diffusion=lambda t, x: vol * x, sampler=exact,
        f=f, df_du=df_du, df_dz=df_dz, g=g,
        u_start=(15.0, 18.0), iterations=4000, learning_rate=5e-3,
        known=21.299 if dim == 100 else None, known_from="multilevel Picard",
        bracket=(21.0932, float("inf")) if dim == 100 else None,
        published_error=0.0040, source=CMS, summary="an option where borrowing costs more than lending",
    )  # fmt: skip


def burgers(dim: int = 50, steps: int = 30) -> Equation:
    """A Burgers equation: f = (u - (2 + d) / (2 d)) sum(z), sigma = d, g = 1 - 1 / (1 + exp(T + mean x))."""
    shift, horizon = (2.0 + dim) / (2.0 * dim), 0.2
    return Equation(
        "burgers", dim=dim, steps=steps, horizon=horizon, diffusion=float(dim),
        f=lambda t, x, u, z: (u - shift) * z.sum(axis=-1),
        df_du=lambda t, x, u, z: z.sum(axis=-1),
        df_dz=lambda t, x, u, z: (u - shift)[:, None],
        g=lambda x: _logistic(horizon + x.mean(axis=-1)),
        u_start=(2.0, 4.0), iterations=30_000, learning_rate=Piecewise((15_000, 25_000), (1e-2, 1e-3, 1e-4)),
        known=0.5, known_from="exact: 1 - 1 / (1 + exp(t + mean x))", source=CMS,
        summary="a wave front that moves along the diagonal",
    )  # fmt: skip


def _logistic(y: Array) -> Array:
    """1 / (1 + exp(-y)), without overflow."""
    return 0.5 * (1.0 + np.tanh(0.5 * y))


def quadratic_gradient(dim: int = 100, steps: int = 30) -> Equation:
    """f = |z|^2 - (|grad psi|^2 + psi_t + 1/2 Laplacian psi), psi(t, x) = sin(w^0.4), w = T - t + |x|^2 / d.

    With s(w) = sin(w^a): psi_t = -s', |grad psi|^2 = s'^2 4 |x|^2/d^2, Laplacian psi = s'' 4 |x|^2/d^2 + 2 s', so that
    f = |z|^2 - 4 |x|^2/d^2 (s'^2 + s''/2).
    """
    a, horizon = 0.4, 1.0

    def f(t: float, x: Array, u: Array, z: Array) -> Array:
        r = squares(x)
        w = horizon - t + r / dim
        p = w**a
        cosine, sine = np.cos(p), np.sin(p)
        first = cosine * a * p / w
        second = (-sine * a * a * p * p + cosine * a * (a - 1.0) * p) / (w * w)
        return np.asarray(squares(z) - (4.0 / dim**2) * r * (first * first + 0.5 * second))

    return Equation(
        "quadratic_gradient", dim=dim, steps=steps, horizon=horizon,
        f=f, df_du=lambda t, x, u, z: np.zeros_like(u), df_dz=lambda t, x, u, z: 2.0 * z,
        g=lambda x: np.sin((squares(x) / dim) ** a),
        u_start=(2.0, 4.0), iterations=4000, learning_rate=5e-3,
        known=sin(1.0), known_from="exact: sin((T - t + |x|^2 / d)^0.4)", source=CMS,
        summary="a driver that is quadratic in the gradient",
    )  # fmt: skip


def reaction_diffusion(dim: int = 100, steps: int = 30) -> Equation:
    """f = min(1, (u - kappa - 1 - sin(lam sum x) exp(lam^2 d (t - T) / 2))^2), kappa = 0.6, lam = 1 / sqrt(d).

    The mismatch of z feeds the driver, which lifts u0: with the networks alone it is learned too slowly. The gradient
    of g shows them the way, and 1500 iterations stand in for the published 24,000 (at 1e-2).
    """
    kappa, lam, horizon = 0.6, 1.0 / sqrt(dim), 1.0

    def gap(t: float, x: Array, u: Array) -> Array:
        return np.asarray(u - kappa - 1.0 - np.sin(lam * x.sum(axis=-1)) * exp(lam * lam * dim * (t - horizon) / 2.0))

    def df_du(t: float, x: Array, u: Array, z: Array) -> Array:
        e = gap(t, x, u)
        return 2.0 * e * (np.abs(e) < 1.0)

    return Equation(
        "reaction_diffusion", dim=dim, steps=steps, horizon=horizon,
        f=lambda t, x, u, z: np.minimum(1.0, gap(t, x, u) ** 2),
        df_du=df_du,
        df_dz=lambda t, x, u, z: np.zeros_like(z),
        g=lambda x: 1.0 + kappa + np.sin(lam * x.sum(axis=-1)),
        dg_dx=lambda x: np.broadcast_to(lam * np.cos(lam * x.sum(axis=-1, keepdims=True)), x.shape),
        u_start=(0.0, 1.0), iterations=1500, learning_rate=Piecewise((800, 1200), (1e-2, 1e-3, 1e-4)),
        known=1.0 + kappa, known_from="exact: 1 + kappa + sin(lam sum x) exp(lam^2 d (t - T) / 2)",
        published_error=0.0053, source=CMS, summary="a solution that oscillates along the diagonal",
    )  # fmt: skip


def heat(dim: int = 100, steps: int = 20) -> Equation:
    """The heat equation u_t + Laplacian u = 0, u(1, x) = |x|^2 / d: u(0, 0) = 2."""
    return Equation(
        "heat", dim=dim, steps=steps, horizon=1.0, diffusion=ROOT2, g=lambda x: squares(x) / dim,
        u_start=(1.0, 3.0), iterations=2000, learning_rate=5e-3,
        known=2.0, known_from="exact: (|x|^2 + 2 d (T - t)) / d", summary="no driver at all: a check",
    )  # fmt: skip


def discount(dim: int = 1, steps: int = 20, *, rate: float = 1.0) -> Equation:
    """f = -rate u, g = 1 + sum_i cos x_i / d: u(0, 0) = exp(-rate) (1 + exp(-1/2)); one dimension is enough.

    Euler's recursion makes of exp(-rate) a power: an error of first order in dt that is known exactly.
    """
    return Equation(
        "discount", dim=dim, steps=steps, horizon=1.0,
        f=lambda t, x, u, z: -rate * u,
        df_du=lambda t, x, u, z: np.full_like(u, -rate),
        df_dz=lambda t, x, u, z: np.zeros_like(z),
        g=lambda x: 1.0 + np.cos(x).mean(axis=-1),
        u_start=(0.0, 1.0), iterations=1500, learning_rate=1e-2,
        known=exp(-rate) * (1.0 + exp(-0.5)), known_from="exact: exp(-rate) (1 + exp(-1/2))",
        summary="a linear driver, in one dimension: a check",
    )  # fmt: skip


EQUATIONS: Mapping[str, Callable[..., Equation]] = {
    make.__name__: make
    for make in (
        hjb, allen_cahn, default_risk, different_rates, burgers, quadratic_gradient, reaction_diffusion, heat, discount,
    )
}  # fmt: skip
"""Name -> function of (dim, steps) that returns the equation."""


def get(name: str, dim: int | None = None, steps: int | None = None) -> Equation:
    """Return the equation of that name with these dimensions and time steps; None leaves what was published.

    Raises GlassnetError for an unknown name, with the nearest one.

    >>> get("burgers").dim, get("hjb", dim=10).steps
    (50, 20)
    """
    numbers = {"dim": dim, "steps": steps}
    return choose("equation", name, EQUATIONS)(**{key: value for key, value in numbers.items() if value is not None})
