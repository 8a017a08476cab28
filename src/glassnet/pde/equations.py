"""An equation in many dimensions, as a frozen record, and the checks that it passes before a network is trained on it.

    u_t + drift . grad u + 1/2 tr(sigma sigma^T Hess u) + f(t, x, u, sigma^T grad u) = 0,   u(T, x) = g(x)

Wanted is u(0, x0). Functions take a time t and m points at once: x (m, d), u (m,), z (m, d) with z = sigma^T grad u.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, as_floats, check_count
from glassnet.errors import GlassnetError, choose, fault, type_fault
from glassnet.schedules import Schedule, as_schedule

__all__ = ["MOST", "SCHEMES", "Driver", "Equation", "check", "check_room", "complete", "euler", "pulled"]

Driver = Callable[[float, Array, Array, Array], npt.ArrayLike]
"""(t, x (m, d), u (m,), z (m, d)) -> numbers (m,), or (m, d) for the derivative by z."""
Coefficient = float | Array | Callable[[float, Array], npt.ArrayLike]
Sampler = Callable[[float, Array, float, Array], npt.ArrayLike]

STEP, TOLERANCE = 1e-6, 1e-4
"""Of differences, relative to the size of the argument, and how far a given derivative may be from them."""
SCHEMES = {"euler": 1, "trapezoid": 2}
"""Name -> order of the error of time steps (schemes.py)."""
ROWS = 64
"""Points at which an equation is tried."""
MOST = 10**6
"""Dimensions, time steps, iterations or seeds."""
MOST_WEIGHTS = 10**9
"""Of all networks together: 8 GB, and twice as much for what Adam keeps of each."""


@dataclass(frozen=True, eq=False)
class Equation:
    """A semilinear parabolic equation, its end value, the point where u is wanted, and how it is usually trained.

    `dim` d, `horizon` T, `steps` N, `x0` a number or (d,). `g(x) -> (m,)` is the end value, `f(t, x, u, z) -> (m,)` the
    driver, None for f = 0; `df_du -> (m,)` and `df_dz -> (m, d)` (or what broadcasts to it) are its derivatives. Where
    one is missing, it is measured by finite differences, and a warning says what that costs. `dg_dx(x) -> (m, d)`, the
    gradient of g, may be given: it is what z is at the end time, which the trapezoidal rule asks for, and shows the
    networks the way (skips.py), unless `from_middle` leads them from the path without noise.

    The paths follow dX = drift dt + sigma dW: `drift` is a number, (d,) or a function (t, x) -> (m, d); `diffusion` a
    number, (d,) for a diagonal, (d, d), or a function (t, x) -> (m, d) (diagonal) or (m, d, d). `sampler(t, x, dt, dW)
    -> x at t + dt` is an exact step in the place of Euler's. `scheme` steps u through time: "euler" as published, or
    "trapezoid", of second order (schemes.py). `steered` paths drift with df/dz to where the solution is
    decided, which other paths reach too rarely (steering.py). `u_start` is where u0 starts from.

    `known` is the value of u(0, x0) where there is one, `known_from` says what it is, `bracket` holds bounds, and
    `published_error` the relative error that the method's authors reached.

    Raises GlassnetError for a horizon, dim or steps that are not positive, and for wrong shapes.

    >>> heat = Equation("heat", dim=3, horizon=1.0, steps=10, diffusion=2**0.5, g=lambda x: (x * x).sum(axis=-1))
    >>> heat.dt, heat.start
    (0.1, array([0., 0., 0.]))
    """

    name: str
    dim: int = field(kw_only=True)
    horizon: float = field(kw_only=True)
    g: Callable[[Array], npt.ArrayLike] = field(kw_only=True)
    f: Driver | None = field(default=None, kw_only=True)
    df_du: Driver | None = field(default=None, kw_only=True)
    df_dz: Driver | None = field(default=None, kw_only=True)
    dg_dx: Callable[[Array], npt.ArrayLike] | None = field(default=None, kw_only=True)
    steps: int = field(default=20, kw_only=True)
    x0: npt.ArrayLike = field(default=0.0, kw_only=True)
    drift: Coefficient = field(default=0.0, kw_only=True)
    diffusion: Coefficient = field(default=1.0, kw_only=True)
    sampler: Sampler | None = field(default=None, kw_only=True)
    scheme: str = field(default="euler", kw_only=True)
    steered: bool = field(default=False, kw_only=True)
    from_middle: bool = field(default=False, kw_only=True)
    u_start: tuple[float, float] = field(default=(0.0, 1.0), kw_only=True)
    iterations: int = field(default=2000, kw_only=True)
    learning_rate: float | Schedule = field(default=1e-2, kw_only=True)
    known: float | None = field(default=None, kw_only=True)
    known_from: str = field(default="", kw_only=True)
    bracket: tuple[float, float] | None = field(default=None, kw_only=True)
    published_error: float | None = field(default=None, kw_only=True)
    source: str = field(default="", kw_only=True)
    summary: str = field(default="", kw_only=True)

    def __post_init__(self) -> None:
        check_count(f"dim of {self.name}", self.dim, most=MOST)
        check_count(f"steps of {self.name}", self.steps, most=MOST)
        check_count(f"iterations of {self.name}", self.iterations, most=MOST)
        if not 0 < self.horizon < np.inf:
            raise fault(f"horizon of {self.name}", "a positive time", self.horizon, "Time runs from 0 to the horizon.")
        start = as_floats(f"x0 of {self.name}", self.x0)
        if start.shape not in ((), (self.dim,)):
            raise fault(f"x0 of {self.name}", f"a number or ({self.dim},)", start.shape)
        for what in ("drift", "diffusion"):
            _check_constant(f"{what} of {self.name}", getattr(self, what), self.dim, square=what == "diffusion")
        for what in ("g", "f", "df_du", "df_dz", "dg_dx", "sampler"):
            function = getattr(self, what)
            if function is not None and not callable(function):
                raise type_fault(f"{what} of {self.name}", "a function", repr(function))
        if np.shape(self.u_start) != (2,) or not self.u_start[0] <= self.u_start[1]:
            raise fault(f"u_start of {self.name}", "(low, high)", self.u_start)
        choose(f"scheme of {self.name}", self.scheme, SCHEMES)
        as_schedule(self.learning_rate)

    @property
    def dt(self) -> float:
        """The length of a time step, T / N."""
        return self.horizon / self.steps

    @property
    def times(self) -> Array:
        """t_0 = 0, t_1, ..., t_N = T."""
        return np.linspace(0.0, self.horizon, self.steps + 1)

    @property
    def start(self) -> Array:
        """x0 (d,)."""
        return np.array(np.broadcast_to(as_floats("x0", self.x0), (self.dim,)), np.float64)

    def with_steps(self, steps: int) -> Equation:
        """Return the same equation with another number of time steps."""
        return replace(self, steps=steps)


def check_room(equation: Equation, hidden: tuple[int, ...], networks: int) -> None:
    """Raise GlassnetError where so many networks of the equation have more weights than a machine holds."""
    widths = (equation.dim, *(hidden or (equation.dim + 10,) * 2), equation.dim)
    weights = networks * sum(a * b for a, b in pairwise(widths))
    if weights > MOST_WEIGHTS:
        remedy = "Take fewer dimensions, steps, seeds or hidden units."
        raise fault(f"the networks of {equation.name}", f"of at most {MOST_WEIGHTS:,} weights", f"{weights:,}", remedy)


def _check_constant(name: str, value: Coefficient, dim: int, square: bool) -> None:
    if callable(value):
        return
    shapes: tuple[tuple[int, ...], ...] = ((), (dim,), (dim, dim)) if square else ((), (dim,))
    array = as_floats(name, value)
    if array.shape not in shapes:
        raise fault(name, f"a function, a number or {' or '.join(map(str, shapes[1:]))}", array.shape)


# ---- dynamics ------------------------------------------------------------------------------------------------------


def euler(equation: Equation, t: float, x: Array, dt: float, dW: Array) -> Array:
    """Return X(t + dt) (m, d) for X(t) = x: the equation's own sampler, or x + drift dt + sigma dW.

    >>> walk = Equation("walk", dim=1, horizon=1.0, drift=2.0, diffusion=3.0, g=lambda x: x[:, 0])
    >>> euler(walk, 0.0, np.zeros((1, 1)), 0.5, np.ones((1, 1)))
    array([[4.]])
    """
    if equation.sampler is not None:
        return np.asarray(equation.sampler(t, x, dt, dW))
    drift = equation.drift(t, x) if callable(equation.drift) else equation.drift
    sigma, square = _sigma(equation, t, x)
    noise = np.matmul(sigma, dW[..., None])[..., 0] if square else sigma * dW
    return np.asarray(x + np.asarray(drift) * dt + noise)


def pulled(equation: Equation, t: float, x: Array, slope: Array) -> Array:
    """Return sigma(t, x)^T slope (m, d): what z is where grad u is `slope` (m, d).

    >>> walk = Equation("walk", dim=1, horizon=1.0, diffusion=lambda t, x: 3.0 * x, g=lambda x: x[:, 0])
    >>> pulled(walk, 0.0, np.full((1, 1), 2.0), np.ones((1, 1)))
    array([[6.]])
    """
    sigma, square = _sigma(equation, t, x)
    return np.asarray(np.matmul(slope[..., None, :], sigma)[..., 0, :] if square else sigma * slope)


def _sigma(equation: Equation, t: float, x: Array) -> tuple[Array, bool]:
    """Return sigma(t, x), and whether it is a matrix, or one for each point; otherwise it is a diagonal."""
    if callable(equation.diffusion):
        sigma = np.asarray(equation.diffusion(t, x))
        return sigma, sigma.ndim == 3
    sigma = np.asarray(equation.diffusion, x.dtype)
    return sigma, sigma.ndim == 2


# ---- checks --------------------------------------------------------------------------------------------------------


def complete(equation: Equation) -> Equation:
    """Return the equation with both derivatives of f: finite differences stand in for missing ones, with a warning."""
    f, d = equation.f, equation.dim
    changes: dict[str, Any] = {}
    if f is None:
        return equation
    missing = {"df_du": ("2", _by_u(f)), "df_dz": (f"{2 * d}", _by_z(f))}
    for name, (calls, stand_in) in missing.items():
        if getattr(equation, name) is None:
            text = f"{name} of {equation.name} is not given: finite differences call f {calls} times in every time step"
            warnings.warn(f"{text}. Give {name} to save that.", UserWarning, stacklevel=3)
            changes[name] = stand_in
    return replace(equation, **changes) if changes else equation


def _by_u(f: Driver) -> Driver:
    def df_du(t: float, x: Array, u: Array, z: Array) -> Array:
        x, u, z = (np.asarray(a, np.float64) for a in (x, u, z))
        h = STEP * (1.0 + np.abs(u))
        return np.asarray((np.asarray(f(t, x, u + h, z)) - np.asarray(f(t, x, u - h, z))) / (2 * h))

    return df_du


def _by_z(f: Driver) -> Driver:
    def df_dz(t: float, x: Array, u: Array, z: Array) -> Array:
        x, u, z = (np.asarray(a, np.float64) for a in (x, u, z))
        slopes = np.empty_like(z)
        for j in range(z.shape[-1]):
            h = STEP * (1.0 + np.abs(z[:, j]))
            up, down = z.copy(), z.copy()
            up[:, j] += h
            down[:, j] -= h
            slopes[:, j] = (np.asarray(f(t, x, u, up)) - np.asarray(f(t, x, u, down))) / (2 * h)
        return slopes

    return df_dz


def check(equation: Equation, seed: int = 0) -> None:
    """Try g, f, the dynamics and the derivatives at points of a few paths.

    Raises GlassnetError where a shape is wrong, a value is not finite, or a given derivative is not that of f.
    """
    rng = np.random.default_rng(seed)
    x = np.tile(equation.start, (ROWS, 1))
    dt, name = equation.dt, equation.name
    points = [(0.0, x)]
    for t in equation.times[:-1]:
        x = _tried(f"a step of the paths of {name}", (ROWS, equation.dim), _step, equation, float(t), x, dt, rng)
        points.append((float(t) + dt, x))
    end = _tried(f"g of {name}", (ROWS,), equation.g, x)
    _check_end(equation, rng, x)
    if equation.f is None:
        return
    low, high = (min(end.min(), equation.u_start[0]), max(end.max(), equation.u_start[1]))
    for t, x in (points[0], points[len(points) // 2], points[-2]):
        u = rng.uniform(low, high, ROWS)
        z = rng.standard_normal((ROWS, equation.dim)) * rng.uniform(0.05, 1.0, (ROWS, 1))
        _check_driver(equation, rng, t, x, u, z)


def _step(equation: Equation, t: float, x: Array, dt: float, rng: np.random.Generator) -> Array:
    return euler(equation, t, x, dt, np.sqrt(dt) * rng.standard_normal(x.shape))


def _check_driver(equation: Equation, rng: np.random.Generator, t: float, x: Array, u: Array, z: Array) -> None:
    f, name = equation.f, equation.name
    if f is None:
        return
    _tried(f"f of {name}", (ROWS,), f, t, x, u, z)
    along = rng.standard_normal(z.shape)
    h = STEP * (1.0 + np.abs(u))
    if equation.df_du is not None:
        given = _tried(f"df_du of {name}", (ROWS,), equation.df_du, t, x, u, z)
        measured = (_value(f, t, x, u + h, z) - _value(f, t, x, u - h, z)) / (2 * h)
        _compare(f"df_du of {name}", given, measured)
    if equation.df_dz is not None:
        slopes = _tried(f"df_dz of {name}", z.shape, equation.df_dz, t, x, u, z, broadcast=True)
        measured = (_value(f, t, x, u, z + STEP * along) - _value(f, t, x, u, z - STEP * along)) / (2 * STEP)
        _compare(f"df_dz of {name}", (slopes * along).sum(axis=-1), measured)


def _check_end(equation: Equation, rng: np.random.Generator, x: Array) -> None:
    if equation.dg_dx is None:
        return
    name, along = f"dg_dx of {equation.name}", rng.standard_normal(x.shape)
    given = _tried(name, x.shape, equation.dg_dx, x, broadcast=True)
    step = STEP * (1.0 + np.abs(x).max()) * along
    up, down = (np.asarray(equation.g(x + way), np.float64) for way in (step, -step))
    _compare(name, (given * step).sum(axis=-1) / STEP, (up - down) / (2 * STEP), "g")


def _value(f: Driver, t: float, x: Array, u: Array, z: Array) -> Array:
    return np.asarray(f(t, x, u, z), np.float64)


def _tried(name: str, shape: tuple[int, ...], function: Any, *arguments: Any, broadcast: bool = False) -> Array:
    """Call a user's function and look at what comes back."""
    try:
        received = np.asarray(function(*arguments))
    except TypeError as error:
        takes = (
            "x" if len(arguments) == 1 else "t, x, u and z" if len(arguments) == 4 else f"{len(arguments)} arguments"
        )
        raise fault(name, f"a function of {takes}", f"TypeError: {error}") from error
    fits = received.shape == shape
    if broadcast and not fits:
        try:
            fits = np.broadcast_shapes(received.shape, shape) == shape
        except ValueError:
            fits = False
    if not fits or received.dtype.kind not in "fiu":
        remedy = "Sum over axis=-1? x and z are (m, d), u is (m,)." if len(shape) == 1 else "x and z are (m, d)."
        raise fault(name, f"numbers of shape {shape} for {ROWS} points", f"{received.dtype} {received.shape}", remedy)
    if not np.isfinite(received).all():
        raise fault(name, "finite along the paths", "NaN or infinity", "Look at it at x0 and at points near it.")
    return np.asarray(np.broadcast_to(received, shape), np.float64)


def _compare(name: str, given: Array, measured: Array, of: str = "f") -> None:
    error = np.abs(given - measured) / (1.0 + np.abs(measured))
    if not error.max() <= TOLERANCE:
        row = int(error.argmax())
        remedy = "Leave it out, and differences stand in for it." if of == "f" else "It may be left out."
        raise GlassnetError(
            f"{name} must be the derivative of {of}: given {given[row]:.6g}, finite differences say "
            f"{measured[row]:.6g}. {remedy}"
        )
