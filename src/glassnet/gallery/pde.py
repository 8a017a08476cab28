"""A network through time: an equation in many dimensions, solved along random paths (the deep BSDE method).

Unknown are u(0, x0), z0 and one small network for each later time. The forward pass of the one deep network that they
make is the recursion

    u_{n+1} = u_n - f(t_n, X_n, u_n, z_n) dt + z_n . dW_n,

and its loss the mean squared mismatch u_N - g(X_N). Han, Jentzen and E, PNAS 115 (2018) 8505-8510.
"""

from __future__ import annotations

import numpy as np

from glassnet import pde
from glassnet.gallery.experiment import Experiment, Row, at_most, close, shown
from glassnet.insight import pictures, plots

__all__ = ["QUESTION", "TITLE", "run"]

TITLE = "A network through time"
QUESTION = "Can a network solve an equation where no grid fits, say how sure it is, and what its time steps cost?"

STEPS = (2, 4, 8)


def in_steps(steps: int) -> float:
    """Return u_0 of `discount` in so many steps: u_N = u_0 (1 + dt)^N + a martingale, so u_0 = (1 + dt)^-N E g."""
    return (1.0 + 1.0 / steps) ** -steps * (1.0 + float(np.exp(-0.5)))


def rows_of(solution: pde.Solution, tolerance: float) -> list[Row]:
    """Return the table's rows of one equation."""
    name, known = f"{solution.equation.name}, d = {solution.equation.dim}", solution.known
    assert known is not None
    assert solution.standard_error is not None
    return [
        close(f"{name}: u(0, x0)", solution.value, known, tolerance * abs(known)),
        shown(f"{name}: standard error of {len(solution.values)} seeds", f"{solution.standard_error:.2g}"),
        shown(f"{name}: seconds", f"{solution.seconds:.1f}"),
    ]


def run(seed: int = 0, quick: bool = False) -> Experiment:
    """Solve `hjb` in 100 dimensions (quick: `heat` in 10), and `discount` in one with 2, 4 and 8 time steps."""
    if quick:
        main = pde.solve("heat", dim=10, steps=5, iterations=500, seeds=3, seed=seed, learning_rate=1e-2)
    else:
        main = pde.solve("hjb", seeds=3, seed=seed, dtype=np.float32)
    found = [
        pde.solve("discount", steps=N, iterations=400 if quick else 1000, seeds=3, seed=seed, antithetic=True)
        for N in STEPS
    ]
    rows = rows_of(main, 0.03 if quick else 0.002)
    for N, one in zip(STEPS, found, strict=True):
        rows.append(close(f"discount, d = 1, {N} steps: u(0, x0)", one.value, in_steps(N), 0.03 * in_steps(N)))
    known = found[0].known
    assert known is not None
    halved = (found[1].value - known) / (found[0].value - known)
    rows.append(at_most("discount: error of 4 steps / error of 2", float(halved), 0.8))

    with plots.house_style():
        figure, (value, loss, order) = pictures.grid_of_axes(1, 3, size=(4.2, 3.4))
        label = f"{len(main.values)} seeds, lowest to highest"
        title = f"{main.equation.name}, d = {main.equation.dim}: u(0, x0)"
        pictures.convergence(value, loss, main.u0, main.losses, known=main.known, label=label, title=title)
        many = np.geomspace(STEPS[0], STEPS[-1], 40)
        order.plot(many, [in_steps(N) - known for N in many], color=plots.MUTED, label="exactly")
        errors = [one.value - known for one in found]
        order.errorbar(STEPS, errors, [2 * (one.standard_error or 0.0) for one in found], fmt="o", capsize=3,
                       color=plots.BLUE, label="ours, 2 standard errors")  # fmt: skip
        order.set(xscale="log", yscale="log", xlabel="time steps", ylabel="u(0, x0) less that of the equation")
        order.set(title="The time steps' own error (discount)", xticks=STEPS, xticklabels=[str(N) for N in STEPS])
        order.xaxis.minorticks_off()
        order.legend()
    notes = (
        "u(0, x0) starts anywhere in a range and settles where no path is missed on average; the seeds' spread says "
        "what chance does to it.",
        "The spread knows nothing of the time steps: with half of them their error is about twice as large, whatever "
        "the number of paths. Two numbers of steps show it.",
    )
    return Experiment(TITLE, QUESTION, tuple(rows), figure, notes)
