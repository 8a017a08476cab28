"""What moves the networks in training: in NumPy, step by step, or compiled, with the rule's step in the same pass.

Both hold theta (K, P), the running statistics (K, N-1, Q) and what the rule remembers, and move theta in place.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from importlib.util import find_spec
from threading import Timer
from typing import Any, Protocol

import numpy as np

from glassnet import activations
from glassnet.arrays import Array
from glassnet.engines import say_once
from glassnet.engines.storage import is_kept
from glassnet.errors import choose
from glassnet.optimizers import Rule, RuleState
from glassnet.pde.deep_bsde import NORM, Reference, Unknowns
from glassnet.pde.paths import Paths

__all__ = ["ENGINES", "Learner", "learner"]

BLOCK = 32_768
"""Numbers that a rule moves at a time: they stay in the cache."""
WORTH_COMPILING = 2e10
"""Additions and multiplications of a whole run; with fewer, NumPy has finished before compiled code is loaded."""


SECONDS_TO_FETCH = 2.0
"""Compiled code that lies elsewhere on the disk is there sooner; what takes longer is being compiled."""
COMPILING = (
    "The solver of equations is being compiled, once for each dtype; later runs fetch it from the disk "
    "(ahead: glassnet warmup --pde)."
)


class Learner(Protocol):
    """Networks that learn."""

    def __enter__(self) -> Learner:
        """Take what is needed."""

    def __exit__(self, *ended: object) -> None:
        """Give it back."""

    def aside(self, function: Callable[[], Paths]) -> Callable[[], Paths]:
        """Have the function called, on another core where there is one; return what waits for its result."""

    def forward(self, theta: Array, state: Array, paths: Paths, z: Array, q: Array) -> None:
        """Write z and q."""

    def learn(self, paths: Paths, v: Array, slopes: Array, t: int, rate: float, active: Array) -> None:
        """Move the networks by step t of the rule, for the seeds (K,) that are active."""


class Plain:
    """The reference engine and a rule on blocks of theta, on one core."""

    def __init__(self, unknowns: Unknowns, rule: Rule, theta: Array, state: Array, batch: int) -> None:
        self.networks = Reference(unknowns, len(theta))
        self.rule, self.theta, self.first = rule, theta, unknowns.n_first
        K, P = theta.shape
        self.blocks = [
            (k, slice(low, min(low + BLOCK, P))) for k in range(K) for low in range(self.first, P, BLOCK)
        ]  # fmt: skip
        self.states: list[RuleState] = [rule.init(theta[block]) for block in self.blocks]
        self.grad = np.empty_like(theta)

    def __enter__(self) -> Plain:
        return self

    def __exit__(self, *ended: object) -> None:
        return

    def aside(self, function: Callable[[], Paths]) -> Callable[[], Paths]:
        """Call the function when its result is wanted."""
        return function

    def forward(self, theta: Array, state: Array, paths: Paths, z: Array, q: Array) -> None:
        """Write z and q."""
        self.networks.forward(theta, state, paths, z, q)

    def learn(self, paths: Paths, v: Array, slopes: Array, t: int, rate: float, active: Array) -> None:
        """Move theta."""
        self.grad[:, self.first :] = self.networks.backward(paths, v, slopes).reshape(len(self.theta), -1)
        for i, (k, part) in enumerate(self.blocks):
            if active[k]:
                move, self.states[i] = self.rule.step(self.grad[k, part], self.states[i], rate)
                self.theta[k, part] += move


class Compiled:
    """`engines/stack.py`: all networks on all cores, the rule's step fused with the way back."""

    def __init__(self, unknowns: Unknowns, rule: Rule, theta: Array, state: Array, batch: int) -> None:
        from glassnet.engines.stack import NormalisedStack

        d = unknowns.equation.dim
        slots = np.zeros((len(rule.init(theta[:0, 0]).slots), *theta.shape), theta.dtype)
        self.dt, self.share = unknowns.equation.dt, 1.0 / d
        self.stack = NormalisedStack(
            (d, *unknowns.units, d), activations.get("relu"), rule, theta=theta, state=state, slots=slots,
            first=unknowns.n_first, batch=batch, momentum=NORM.momentum, eps=NORM.eps,
        )  # fmt: skip

    def __enter__(self) -> Compiled:
        self.stack.__enter__()
        return self

    def __exit__(self, *ended: object) -> None:
        self.stack.__exit__(*ended)

    def aside(self, function: Callable[[], Paths]) -> Callable[[], Paths]:
        """Have the function called on another core."""
        task: Future[Any] = self.stack.aside(function)
        return task.result

    def forward(self, theta: Array, state: Array, paths: Paths, z: Array, q: Array) -> None:
        """Write z and q."""
        self.stack.forward(paths.X, paths.dW, z, q, self.share)

    def learn(self, paths: Paths, v: Array, slopes: Array, t: int, rate: float, active: Array) -> None:
        """Move theta."""
        self.stack.learn(paths.dW, slopes, v, self.dt, self.share, t, rate, active)


ENGINES: dict[str, Callable[..., Learner]] = {"numpy": Plain, "numba": Compiled}
"""Name -> what learns; "auto" takes the compiled one for all but small runs."""


def learner(
    engine: str, unknowns: Unknowns, rule: Rule, theta: Array, state: Array, batch: int, iterations: int
) -> Learner:
    """Return the learner of that name, for so many iterations of K batches.

    Raises GlassnetError for an unknown name.
    """
    name = choose("engine", engine, {"auto": "auto", **{name: name for name in ENGINES}})
    if name == "auto":
        work = 6.0 * iterations * batch * theta.size
        name = "numba" if work > WORTH_COMPILING else "numpy"
    if unknowns.shared:
        name = "numpy"  # its products are large enough for BLAS to share them out
    if name == "numba" and find_spec("numba") is None:
        say_once("Numba is not installed: equations are solved by NumPy, several times slower (pip install numba).")
        name = "numpy"
    if name != "numba" or is_kept(f"stack.run_{theta.dtype}"):
        return ENGINES[name](unknowns, rule, theta, state, batch)
    notice = Timer(SECONDS_TO_FETCH, say_once, [COMPILING])
    notice.daemon = True
    notice.start()
    try:
        return ENGINES[name](unknowns, rule, theta, state, batch)
    finally:
        notice.cancel()
