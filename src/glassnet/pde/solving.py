"""Solve an equation: train u0, z0 and the networks of all time steps with Adam, for several seeds at once.

Each seed has its own start, its own paths and its own losses; the seeds only share the batched matrix products. The
spread of their answers is the error bar: it knows of chance in the training, and not of the error of the time steps,
which is seen by repeating with 2N.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from time import perf_counter

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, check_count, read_only
from glassnet.callbacks import Request
from glassnet.engines.threads import single_threaded_blas
from glassnet.errors import fault, type_fault
from glassnet.history import Status
from glassnet.optimizers import Adam, RuleState
from glassnet.pde.catalogue import get
from glassnet.pde.deep_bsde import Unknowns, there_and_back
from glassnet.pde.equations import MOST, Equation, check, check_room, complete
from glassnet.pde.learners import learner
from glassnet.pde.paths import Paths, Sampler
from glassnet.pde.solution import TAIL, Solution
from glassnet.pde.starts import PointStart
from glassnet.pde.steering import UNSTEERED, steering
from glassnet.schedules import as_schedule

__all__ = ["Snapshot", "solve"]

TOO_LARGE = 1e6
"""A loss so many times that of the start (and 1) has diverged."""
ADVICE = "Try a smaller learning_rate, more steps, or a u_start nearer to the solution."


@dataclass(frozen=True)
class Snapshot:
    """What a callback sees after an iteration: u0 (K,) and loss (K,) of the seeds, before the step it ends with."""

    iteration: int
    iterations: int
    u0: Array
    losses: Array
    seconds: float
    steps: int
    """Time steps: with `other_steps` there is a second run with others."""

    @property
    def seconds_left(self) -> float:
        """The time that the iterations to come will take, if they are like those so far."""
        return self.seconds / self.iteration * (self.iterations - self.iteration)


Callback = Callable[[Snapshot], Request | None]


def solve(
    equation: str | Equation,
    *,
    dim: int | None = None,
    steps: int | None = None,
    seed: int = 0,
    seeds: int | Sequence[int] = 1,
    iterations: int | None = None,
    batch_size: int = 64,
    learning_rate: float | Callable[[int], float] | None = None,
    hidden: tuple[int, ...] = (),
    dtype: npt.DTypeLike = np.float64,
    antithetic: bool = False,
    shared: bool = False,
    box: tuple[float, float] | None = None,
    skip: bool = True,
    other_steps: int | None = None,
    engine: str = "auto",
    callbacks: Sequence[Callback] = (),
) -> Solution:
    """Return u(0, x0) of an equation, given by name or as an `Equation`, by the deep BSDE method.

    `seeds` is how many seeds run (from `seed` on), or which. What is left out is as published: `iterations`,
    `learning_rate`, `steps`. Each iteration draws `batch_size` new paths a seed. `hidden` are the units of the hidden
    layers of each time step's network, two of d + 10 by default. `engine` is "numpy", "numba" (compiled, all cores) or
    "auto", which takes the compiled one for all but small runs. `callbacks` are called with a `Snapshot` after each
    iteration and may return `Request(stop="stopped", reason=...)`. Ctrl-C ends the run, and what was found so far is
    returned. A seed that diverges is stopped at its last good value.

    `skip` adds s_n (X_n - c_n) / R_n to z_n (not with a box), a number s_n for each time step, where c_n is the path
    without noise and R_n the mean distance from it: see skips.py. Without it the networks are as published.

    `antithetic` drives half of the paths by the negative increments of the others. `shared` has one network of t and x
    in the place of one for each time. `box` (low, high) starts paths anywhere in the box (low, high)^d, with a network
    for u(0, x): `solution.at(x)` is the solution at many points, and `value` that at x0. `other_steps` solves once more
    with another number of time steps, half or twice as many say: `solution.step_error` is the error that they make.

    Raises GlassnetError for an unknown name, numbers that cannot be right, and functions or derivatives of an equation
    that do not pass their checks. Source: Han, Jentzen and E, PNAS 115 (2018) 8505-8510.

    >>> solution = solve("discount", iterations=20, batch_size=16, seeds=2)
    >>> solution.status, solution.u0.shape
    ('completed', (20, 2))
    """
    chosen = _equation(equation, dim, steps)
    numbers = _seeds(seed, seeds)
    n = check_count("iterations", chosen.iterations if iterations is None else iterations, most=MOST)
    check_count("batch_size", batch_size, 2)
    check_room(chosen, tuple(hidden), len(numbers) * (1 if shared else chosen.steps))
    kind = np.dtype(dtype)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise type_fault("dtype", "float32 or float64", kind)
    if box is not None and not box[0] < box[1]:
        raise fault("box", "(low, high)", box)
    if other_steps is not None and check_count("other_steps", other_steps) == chosen.steps:
        raise fault("other_steps", f"another number than the {chosen.steps} steps", other_steps)
    rate = as_schedule(chosen.learning_rate if learning_rate is None else learning_rate)
    check(chosen)
    chosen = complete(chosen)
    skip = skip and box is None
    options = _Options(
        numbers,
        n,
        batch_size,
        tuple(hidden),
        kind,
        antithetic,
        shared,
        box,
        skip,
        engine,
        rate,
        tuple(callbacks),
    )
    solution = _solve(chosen, options)
    if other_steps is None or solution.status == "stopped":
        return solution
    other = _solve(chosen.with_steps(other_steps), options)
    worse = other if other.status != "completed" else solution
    return replace(
        solution, other=other, seconds=solution.seconds + other.seconds, status=worse.status, reason=worse.reason
    )  # fmt: skip


@dataclass(frozen=True)
class _Options:
    """What a run is asked to do."""

    seeds: tuple[int, ...]
    n: int
    batch: int
    hidden: tuple[int, ...]
    dtype: np.dtype
    antithetic: bool
    shared: bool
    box: tuple[float, float] | None
    skip: bool
    engine: str
    rate: Callable[[int], float]
    callbacks: tuple[Callback, ...]


def _solve(equation: Equation, options: _Options) -> Solution:
    """Run until the end, a callback, Ctrl-C, or until all seeds have diverged."""
    run, n, numbers = _Run(equation, options), options.n, options.seeds
    begin = perf_counter()
    status: Status = "completed"
    reason = f"all {n} iterations"
    try:
        # a run that diverges overflows; its losses are looked at after every iteration
        with run.learner, single_threaded_blas(), np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            while run.done < n and not run.diverged.all():
                run.iterate(options.rate(run.done))
                request = _ask(options.callbacks, run, perf_counter() - begin)
                if request is not None:
                    status, reason = request.stop or "stopped", request.reason or "a callback asked for it"
                    break
    except KeyboardInterrupt:
        status, reason = "stopped", f"interrupted after {run.done} of {n} iterations"
        if not run.done:
            raise
    if run.diverged.any():
        lost = [number for number, gone in zip(numbers, run.diverged, strict=True) if gone]
        status, reason = "diverged", f"seed {', '.join(map(str, lost))} of {len(numbers)} diverged. {ADVICE}"
    return run.solution(perf_counter() - begin, status, reason)


def _equation(equation: str | Equation, dim: int | None, steps: int | None) -> Equation:
    if isinstance(equation, str):
        return get(equation, dim=dim, steps=steps)
    if not isinstance(equation, Equation):
        raise type_fault("equation", "a name or a glassnet.pde.Equation", repr(equation))
    if dim not in (None, equation.dim):
        raise fault("dim", f"left out, or {equation.dim} as in {equation.name}", dim, "It is part of an Equation.")
    return equation if steps is None else equation.with_steps(check_count("steps", steps))


def _seeds(seed: int, seeds: int | Sequence[int]) -> tuple[int, ...]:
    if isinstance(seeds, int):
        check_count("seed", seed, 0)
        return tuple(range(seed, seed + check_count("seeds", seeds, most=MOST)))
    numbers = tuple(check_count("each of seeds", one, 0) for one in seeds)
    if not numbers or len(set(numbers)) < len(numbers):
        raise fault("seeds", "at least one, all different", numbers)
    return numbers


def _ask(callbacks: Sequence[Callback], run: _Run, seconds: float) -> Request | None:
    if not callbacks:
        return None
    at = run.done - 1
    steps = run.unknowns.equation.steps
    seen = Snapshot(run.done, len(run.u0), run.u0[at].copy(), run.losses[at].copy(), seconds, steps)
    requests = [callback(seen) for callback in callbacks]
    return next((request for request in requests if request is not None and request.stop), None)


class _Run:
    """A population of seeds in training."""

    def __init__(self, equation: Equation, options: _Options) -> None:
        seeds, dtype, n, K = options.seeds, options.dtype, options.n, len(options.seeds)
        hidden = options.hidden
        self.unknowns = Unknowns(
            equation, hidden=hidden, shared=options.shared, box=options.box is not None, skip=options.skip
        )
        self.seeds, self.n = seeds, n
        self.theta = np.stack([self.unknowns.init(np.random.default_rng((s, 0)), dtype) for s in seeds])
        self.state = self.unknowns.init_state(K, dtype)
        self.start_state = np.tile(self.unknowns.start.init_state().astype(dtype), (K, 1))
        generators = [np.random.default_rng((s, 1)) for s in seeds]
        self.sampler = Sampler(equation, generators, options.batch, dtype, options.antithetic, options.box)
        self.next: Callable[[], Paths] = self.sampler.draw
        self.rule = Adam()
        self.learner = learner(options.engine, self.unknowns, self.rule, self.theta, self.state, options.batch, n)
        self.first = self.theta[:, : self.unknowns.n_first]
        self.start = self.value_now()
        self.adam: RuleState = self.rule.init(self.first)
        self.memory: dict[str, Array] = {}
        self.u0, self.losses = np.full((n, K), np.nan), np.full((n, K), np.nan)
        self.diverged = np.zeros(K, bool)
        self.done = 0

    def value_now(self) -> Array:
        """Return u(0, x0) of each seed (K,)."""
        start, x0 = self.unknowns.start, self.unknowns.equation.start[None]
        if isinstance(start, PointStart):
            return self.first[:, 0].astype(np.float64)
        return start.predict(self.first, self.start_state, x0)[:, 0].astype(np.float64)

    def iterate(self, rate: float) -> None:
        """Draw paths, take the gradient, move theta; write one row of the history."""
        u0, paths = self.value_now(), self.next()
        step = there_and_back(
            self.unknowns, self.learner, self.theta, self.state, self.start_state, paths, self.memory, self._draw_ahead
        )  # fmt: skip
        self.u0[self.done], self.losses[self.done] = u0, step.losses
        self._see_divergence(step.losses)
        self.done += 1
        self.learner.learn(paths, step.v, step.slopes, self.done, rate, ~self.diverged)
        move, self.adam = self.rule.step(step.first, self.adam, rate)
        self.first += np.where(self.diverged[:, None], 0, move)

    def _draw_ahead(self) -> None:
        """Have the next paths drawn as soon as the networks have done their part."""
        if self.done + 1 < self.n:
            steered = self.unknowns.steered and self.done >= UNSTEERED
            way = steering(self.unknowns, self.first) if steered else None
            self.next = self.learner.aside(partial(self.sampler.draw, way))

    def _see_divergence(self, losses: Array) -> None:
        most = TOO_LARGE * (1.0 + self.losses[0])
        lost = ~(np.isfinite(losses) & (losses <= most)) & ~self.diverged
        for k in np.flatnonzero(lost):
            self.theta[k] = 0.0  # from now on it is carried along at rest
            self.state[k] = self.unknowns.init_state(1, self.theta.dtype)[0]
            self.start_state[k] = self.unknowns.start.init_state()
        self.diverged |= lost
        self.u0[self.done, self.diverged] = self.losses[self.done, self.diverged] = np.nan

    def solution(self, seconds: float, status: Status, reason: str) -> Solution:
        """Return what was found."""
        u0, losses = self.u0[: self.done], self.losses[: self.done]
        best = [_best(u0[:, k], losses[:, k], self.start[k]) for k in range(len(self.seeds))]
        values = np.where(self.diverged, best, u0[-max(1, self.done // TAIL) :].mean(axis=0))
        values, lost, u0, losses = (read_only(a.copy()) for a in (values, self.diverged, u0, losses))
        equation, start = self.unknowns.equation, self.unknowns.start
        surface = None if isinstance(start, PointStart) else partial(start.predict, self.first, self.start_state)
        return Solution(equation, self.seeds, values, lost, u0, losses, seconds, status, reason, surface=surface)


def _best(u0: Array, losses: Array, start: float) -> float:
    """Return u0 where the loss was lowest; the start where none was finite."""
    if not np.isfinite(losses).any():
        return start
    value = float(u0[int(np.nanargmin(losses))])
    return value if isfinite(value) else start
