"""`glassnet pde`: list the equations, or solve one, watch it, and set the answer beside the known value."""

from __future__ import annotations

import sys
from collections.abc import Callable
from math import isfinite
from pathlib import Path

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from glassnet import pde
from glassnet.arrays import check_count
from glassnet.cli.printing import console, say
from glassnet.errors import fault
from glassnet.insight import pictures
from glassnet.pde import Equation, Snapshot, Solution
from glassnet.pde.equations import MOST, check_room

__all__ = ["list_equations", "solve_and_show", "text_of"]

DIVERGED, INTERRUPTED = 1, 130
PLAIN_LINES = 10
"""How often a run says where it is, where there is no terminal."""


def list_equations() -> None:
    """Print each equation with its size and the value it is compared with."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("name")
    for name in ("d", "T", "steps", "iterations", "u(0, x0)"):
        table.add_column(name, justify="right")
    table.add_column("what it is")
    for name in pde.EQUATIONS:
        one = pde.get(name)
        known = "" if one.known is None else f"{one.known:.6g}"
        table.add_row(
            f"[bold]{name}[/bold]", str(one.dim), f"{one.horizon:g}", str(one.steps), f"{one.iterations:,}", known,
            escape(one.summary),
        )  # fmt: skip
    out = console()
    out.print(table)
    out.print("\nsolve one: glassnet pde NAME   |   your own: docs/pde.md")


def solve_and_show(
    name: str,
    dim: int | None,
    steps: int | None,
    seeds: int,
    iterations: int | None,
    other_steps: int | None,
    seed: int,
    dtype: str,
    save: Path | None,
) -> int:
    """Solve with a live line, print ours against the reference, write the picture; return the exit code."""
    for option, number in (
        ("--dim", dim),
        ("--steps", steps),
        ("--seeds", seeds),
        ("--iterations", iterations),
    ):
        if number is not None:
            check_count(option, number, most=MOST)
    check_count("--seed", seed, 0)
    if dtype not in ("float32", "float64"):
        raise fault("--dtype", "float32 or float64", dtype)
    equation = pde.get(name, dim=dim, steps=steps)
    others = check_count("--other-steps", equation.steps // 2 if other_steps is None else other_steps, 0) or None
    if others == equation.steps:
        raise fault("--other-steps", f"another number than the {others} steps", others, "0 leaves them out.")
    check_room(equation, (), seeds * equation.steps)
    picture = _place(save, name)
    _say_equation(equation, seeds, iterations or equation.iterations)
    watch, stop = _watcher(equation.steps)
    try:
        solution = pde.solve(
            equation, seed=seed, seeds=seeds, iterations=iterations, other_steps=others, dtype=dtype,
            callbacks=[watch],
        )  # fmt: skip
    finally:
        stop()
    print_solution(solution)
    draw(solution).savefig(picture, dpi=130)
    console().print(f"picture    {picture}", soft_wrap=True)
    if solution.status == "stopped":
        return INTERRUPTED
    return DIVERGED if solution.status == "diverged" else 0


def _place(save: Path | None, name: str) -> Path:
    folder = Path("pde") if save is None else save
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fault("--save", "a folder that can be made", f"{folder} ({error.strerror})") from error
    return folder / f"{name}.png"


def _say_equation(equation: Equation, seeds: int, iterations: int) -> None:
    say(f"{equation.name}  {equation.summary}")
    say(
        f"d = {equation.dim}, T = {equation.horizon:g}, {equation.steps} time steps; {seeds} "
        f"seed{'s' * (seeds > 1)}, {iterations:,} iterations"
    )


# ---- while it runs -------------------------------------------------------------------------------------------------


def text_of(seen: Snapshot) -> str:
    """Return u0 and the loss, each as a mean over the seeds.

    >>> import numpy as np
    >>> text_of(Snapshot(1, 10, np.array([4.5, 4.75]), np.array([0.5, 0.25]), 1.0, 20))
    'u0 4.62500  loss 0.375'
    """
    return f"u0 {seen.u0.mean():.5f}  loss {seen.losses.mean():.4g}"


def _watcher(steps: int) -> tuple[Callable[[Snapshot], None], Callable[[], None]]:
    """Return what is called after an iteration and at the end: a live line on a terminal, ten plain ones elsewhere.

    A run with another number of time steps than `steps` begins with a line of its own.
    """
    if not sys.stderr.isatty():

        def say_now_and_then(seen: Snapshot) -> None:
            _head(seen, steps, lambda line: print(line, file=sys.stderr, flush=True))
            _say_now_and_then(seen)

        return say_now_and_then, lambda: None
    from rich.console import Console

    bar = Progress(
        TextColumn("iteration"), MofNCompleteColumn(), BarColumn(bar_width=24), TextColumn("{task.description}"),
        TimeRemainingColumn(), console=Console(stderr=True), refresh_per_second=8,
    )  # fmt: skip
    task = bar.add_task("", total=None)
    bar.start()
    every = 10

    def watch(seen: Snapshot) -> None:
        if _head(seen, steps, bar.console.print):
            bar.reset(task, total=seen.iterations)  # the second run's own time left
        if seen.iteration % every == 0 or seen.iteration == seen.iterations:
            bar.update(task, total=seen.iterations, completed=seen.iteration, description=text_of(seen))

    return watch, bar.stop


def _head(seen: Snapshot, steps: int, show: Callable[[str], None]) -> bool:
    """Say that the second run begins, where it does."""
    begins = seen.iteration == 1 and seen.steps != steps
    if begins:
        show(f"once more with {seen.steps} time steps, for the error of {steps} (--other-steps 0 leaves it out)")
    return begins


def _say_now_and_then(seen: Snapshot) -> None:
    if seen.iteration == 1 or seen.iteration % max(seen.iterations // PLAIN_LINES, 1) == 0:
        where = f"iteration {seen.iteration:>6}/{seen.iterations}"
        print(f"{where}  {text_of(seen)}  about {seen.seconds_left:.0f} s left", file=sys.stderr, flush=True)


# ---- what was found ------------------------------------------------------------------------------------------------


def print_solution(solution: Solution) -> None:
    """Print how it ended, our value with its error bar, the loss, and what it is compared with."""
    equation = solution.equation
    say()
    say(f"{solution.status} after {len(solution.u0):,} iterations, {solution.seconds:.1f} s: {solution.reason}")
    say()
    error = solution.standard_error
    spread = f"± {error:.5f} (standard error of {len(solution.values)} seeds)" if error is not None else "(one seed)"
    say(f"u(0, x0)   {solution.value:.5f} {spread}", "bold")
    if not solution.settled and isfinite(solution.drift):
        moved = f"u0 still moved by {solution.drift:.2g} in the last tenth of the iterations"
        say(f"           not converged: {moved}, which the error bar does not know of; raise --iterations")
    say(f"mismatch   {solution.loss**0.5:.4g} at the end time, root mean square")
    if equation.known is not None:
        say(f"known      {equation.known:.8g}  {equation.known_from}")
        off = f"{abs(solution.value - equation.known) / abs(equation.known):.2%} off"
        published = equation.published_error
        beside = f"; published: {published:.2%}, by {equation.source}" if published is not None else ""
        say(f"ours       {off}{beside}")
    if solution.other is not None:
        _say_steps(solution)
    if equation.bracket is not None:
        low, high = equation.bracket
        inside = "inside" if low <= solution.value <= high else "OUTSIDE"
        say(f"bounds     {low:g} to {high:g}: {inside}")


def _say_steps(solution: Solution) -> None:
    """Say what another number of time steps gives, and what follows for none at all."""
    other = solution.other
    assert other is not None
    without = float(solution.extrapolated.mean())
    K = len(solution.values)
    spread = f" ± {solution.extrapolated.std(ddof=1) / K**0.5:.5f}" if K > 1 else ""
    off = f", {abs(without / solution.known - 1):.2%} off" if solution.known else ""
    N, M = solution.equation.steps, other.equation.steps
    say(f"steps      {M} of them give {other.value:.5f}: the error of {N} is about {solution.step_error:.5f}")
    say(f"           extrapolated to no time step: {without:.5f}{spread}{off}", "bold")


def draw(solution: Solution) -> pictures.Figure:
    """Draw u0 and the loss against the iterations, with the seeds' spread and the known value."""
    figure, axes = pictures.grid_of_axes(1, 2, size=(4.8, 3.4))
    equation, K = solution.equation, len(solution.values)
    label = f"median of {K} seeds, lowest to highest" if K > 1 else "ours"
    title = f"{equation.name}, d = {equation.dim}: u(0, x0)"
    pictures.convergence(axes[0], axes[1], solution.u0, solution.losses, known=equation.known, label=label, title=title)
    return figure
