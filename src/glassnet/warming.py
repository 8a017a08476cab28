"""Compile ahead what the compiled engine may need, so that no later run waits for it.

Every activation, loss, rule and layer is trained with for one step; the compiled code goes to the disk. The stack of
networks that solves equations (pde/) is compiled on request: few need it, and it takes a third as long as all the rest.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from time import perf_counter

import numpy as np

from glassnet import activations, losses, optimizers, pde
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from glassnet.network import Network
from glassnet.objective import Objective
from glassnet.optimizers import SGD, ClipNorm, Rule
from glassnet.solvers import minimize
from glassnet.training import train

__all__ = ["compile_all", "warm_up"]

PLAIN = "identity", "squared_error"
OTHER_OUTPUTS = {
    "squared_error": ("sigmoid", "softmax", "tanh"),
    "poisson": ("softplus",),
    "gamma": ("softplus",),
    "binary_cross_entropy": ("softmax",),
}
"""Outputs that are often taken besides the one that belongs to the loss; the rest is compiled when it is used."""
DTYPES = "float32", "float64"


def warm_up(*, equations: bool = False) -> float:
    """Compile all of the library's formulas, each dtype in a process of its own; return the seconds that it took.

    With `equations` also what solves partial differential equations. Raises GlassnetError where Numba is missing.
    """
    if find_spec("numba") is None:
        raise GlassnetError("Nothing can be compiled: Numba is not installed (pip install numba).")
    begin = perf_counter()
    started = [
        subprocess.Popen([sys.executable, "-c", _program(dtype, equations)], stderr=subprocess.PIPE, text=True)
        for dtype in DTYPES
    ]
    said = [process.communicate()[1] for process in started]
    for process, text in zip(started, said, strict=True):
        if process.returncode:
            last = text.strip().splitlines()[-1] if text.strip() else f"it ended with {process.returncode}"
            raise GlassnetError(f"Compiling ahead failed in its own process: {last}")
    return perf_counter() - begin


def _program(dtype: str, equations: bool) -> str:
    """Return a program for a fresh Python: unlike a process of multiprocessing, it does not run the caller's file."""
    call = f"compile_all({dtype!r}, equations={equations})"
    return f"import sys; sys.path[:] = {sys.path!r}; from glassnet.warming import compile_all; {call}"


def compile_all(dtype: str, *, equations: bool = False) -> None:
    """Compile all of the library's formulas for one dtype, in this process."""
    for objective, rule in _cases():
        theta = objective.net.init(0, dtype)
        X = np.linspace(-1, 1, 4 * objective.net.n_inputs, dtype=dtype).reshape(4, -1)
        train(objective, theta, X, _targets(dtype), optimizer=rule, epochs=1, batch_size=4, engine="numba")
    black = np.zeros((4, 20), dtype)  # its products, and those of relu's zeros, leave zeros out
    wide = Objective(Network(20, [Dense(80, "relu"), Dense(80, "relu"), Dense(80), Dense(2)]), "squared_error")
    train(wide, wide.net.init(0, dtype), black, _targets(dtype), optimizer=SGD(), batch_size=4, engine="numba")
    plain = _objective("identity", *PLAIN)
    X = np.zeros((4, 2), dtype)
    for one in (plain, _objective("identity", "softmax", "cross_entropy")):  # batches of one row
        train(one, one.net.init(0, dtype), X, _targets(dtype), optimizer=SGD(), batch_size=1, engine="numba")
    if dtype == "float64":  # what full-batch solvers evaluate
        minimize(plain, plain.net.init(0), X, _targets(dtype), max_iter=1, engine="numba")
    if equations:
        pde.solve("heat", dim=2, steps=2, iterations=1, batch_size=4, engine="numba", dtype=dtype)


def _cases() -> Iterator[tuple[Objective, Rule]]:
    """Yield one small run for each formula."""
    yield _objective("identity", *PLAIN), SGD()
    for name in activations.ACTIVATIONS:
        yield _objective(name, *PLAIN), SGD()
    for name, make in losses.LOSSES.items():
        matched = make().matched
        outputs = {"identity" if matched is None else matched.activation, *OTHER_OUTPUTS.get(name, ())}
        for output in sorted(outputs):
            yield _objective("identity", output, name), SGD()
    rules: list[Rule] = [make() for make in optimizers.RULES.values()]
    for rule in (*rules, SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), ClipNorm(SGD())):
        yield _objective("identity", *PLAIN), rule
    layers: list[Layer] = [Dense(3), Dropout(0.5), BatchNorm(), LayerNorm(), Dense(2)]
    yield Objective(Network(2, layers), "squared_error", l1=0.1, l2=0.1), SGD()


def _objective(hidden: str, output: str, loss: str) -> Objective:
    return Objective(Network(2, [Dense(3, hidden), Dense(2, output)]), loss)


def _targets(dtype: str) -> Array:
    """Targets that every loss has a meaning for: rows that sum to one, or numbers between 0 and 1."""
    return np.tile(np.array([0.25, 0.75], dtype), (4, 1))
