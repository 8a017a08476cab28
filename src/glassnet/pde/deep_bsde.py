"""The deep BSDE method: the mismatch at the end of the recursion, and its gradient by hand.

Along a path X_0 ... X_N with increments dW_n the solution obeys, up to the time step,

    u_{n+1} = u_n - f(t_n, X_n, u_n, z_n) dt + z_n . dW_n,        z_n = sigma^T grad u(t_n, X_n)

The unknowns are u_0, z_0, and for n = 1 ... N-1 a network and a number s_n (skips.py):

    z_n = net_n(X_n) / d + s_n w_n(X_n)

They are right when u_N = g(X_N) on all paths, so the loss is L = mean l(u_N - g(X_N)), l(e) = e^2, continued linearly
beyond |e| = 50. With v_n = dL/du_n:

    v_N = l'(e) / m,      v_n = v_{n+1} (1 - dt df/du),      dL/dz_n = v_{n+1} (dW_n - dt df/dz)

(schemes.py; there is a recursion of second order, too) and each network's own backpropagation does the rest: given X,
the networks know nothing of each other.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from glassnet import activations
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.engines import get_engine
from glassnet.layers import BatchNorm, Dense, Layer, Mode
from glassnet.layout import Layout
from glassnet.network import Network
from glassnet.pde.equations import Equation
from glassnet.pde.paths import Paths
from glassnet.pde.schemes import pullback, recursion
from glassnet.pde.skips import Skips, Way, way
from glassnet.pde.starts import BoxStart, PointStart, Start

__all__ = [
    "Networks",
    "Norm",
    "Reference",
    "Unknowns",
    "mismatch",
    "subnetwork",
    "there_and_back",
    "value_and_grad",
]

CLIP = 50.0
"""Mismatches beyond it count linearly."""
NORM = BatchNorm(momentum=0.99, eps=1e-6)


# ---- the networks --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Norm:
    """Batch normalisation, then an activation; scales start in U(0.1, 0.5), shifts in N(0, 0.1^2)."""

    activation: str = "identity"

    @cached_property
    def function(self) -> Activation:
        """The activation."""
        return activations.get(self.activation)

    def n_outputs(self, n_inputs: int) -> int:
        """Return `n_inputs`."""
        return n_inputs

    def parameters(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of gamma and beta."""
        return NORM.parameters(n_inputs)

    def statistics(self, n_inputs: int) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the running mean and variance."""
        return NORM.statistics(n_inputs)

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        """Draw gamma and beta."""
        return {"gamma": rng.uniform(0.1, 0.5, n_inputs), "beta": rng.normal(0.0, 0.1, n_inputs)}

    def forward(self, p: Any, stats: Any, A: Array, mode: Mode) -> tuple[Array, tuple[Any, ...]]:
        """Z = gamma (A - mean) / sqrt(var + eps) + beta."""
        return NORM.forward(p, stats, A, mode)

    def backward(
        self, p: Any, A: Array, cache: tuple[Any, ...], dZ: Array, grads: Any, *, wants_dA: bool = True
    ) -> Array:
        """Return dL/dA, and the gradients of gamma and beta in `grads`."""
        return NORM.backward(p, A, cache, dZ, grads, wants_dA=wants_dA)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"layer": "Norm", "activation": self.activation}


def subnetwork(n_inputs: int, n_outputs: int, hidden: tuple[int, ...]) -> Network:
    """Return the network of one time step: normalised input, hidden ReLU layers without biases, normalised output.

    >>> subnetwork(100, 100, (110, 110)).n_parameters
    34940
    """
    stack: list[Layer] = [Norm()]
    for units in hidden:
        stack += [Dense(units, bias=False, weight_init="glorot_uniform"), Norm("relu")]
    return Network(n_inputs, [*stack, Dense(n_outputs, bias=False, weight_init="glorot_uniform"), Norm()])


@dataclass(frozen=True)
class Unknowns:
    """What is learned: u0, z0 and N - 1 networks, stacked, in one vector theta (P,); (K, P) for K seeds.

    >>> from glassnet.pde.catalogue import get
    >>> unknowns = Unknowns(get("hjb", dim=2, steps=4))
    >>> {name: view.shape for name, view in unknowns.layout.views(unknowns.init(np.random.default_rng(0))).items()}
    {'u0': (), 'z0': (2,), 'skip': (0,), 'networks': (3, 248)}
    """

    equation: Equation
    hidden: tuple[int, ...] = field(default=(), kw_only=True)
    """Units of the hidden layers; empty: two of d + 10."""
    shared: bool = field(default=False, kw_only=True)
    """One network (t, x) -> z for all times."""
    box: bool = field(default=False, kw_only=True)
    """Paths start anywhere in a box: u0 and z0 are networks of the start."""
    skip: bool = field(default=False, kw_only=True)
    """A straight way from X_n to z_n beside each network."""

    @property
    def units(self) -> tuple[int, ...]:
        """Units of the hidden layers."""
        return self.hidden or (self.equation.dim + 10,) * 2

    @cached_property
    def net(self) -> Network:
        """The network of one time step, or of all."""
        return subnetwork(self.equation.dim + self.shared, self.equation.dim, self.units)

    @property
    def n_networks(self) -> int:
        """N - 1, or one; none where there is one time step only."""
        return min(1, self.equation.steps - 1) if self.shared else self.equation.steps - 1

    @cached_property
    def start(self) -> Start:
        """u0 and z0: numbers, or networks."""
        d, u_start = self.equation.dim, self.equation.u_start
        if self.box:
            return BoxStart(d, u_start, subnetwork(d, 1, self.units), subnetwork(d, d, self.units))
        return PointStart(d, u_start)

    @cached_property
    def layout(self) -> Layout:
        """Where the unknowns live in theta."""
        networks = ("networks", (self.n_networks, self.net.n_parameters))
        return Layout((*self.start.layout.shapes, ("skip", (self.n_skips,)), networks))

    @property
    def n_skips(self) -> int:
        """N - 1, or none."""
        return self.equation.steps - 1 if self.skip else 0

    @property
    def steered(self) -> bool:
        """Whether the equation's paths are steered: along the straight way, so not without it."""
        return self.equation.steered and self.skip

    @property
    def n_first(self) -> int:
        """How many numbers stand before the networks in theta."""
        return self.start.layout.size + self.n_skips

    @cached_property
    def way(self) -> Way:
        """Where z is led straight from X_n."""
        return way(self.equation)

    def init(self, rng: np.random.Generator, dtype: npt.DTypeLike = np.float64) -> Array:
        """Draw a start theta (P,): u0 in the equation's range, z0 in U(-0.1, 0.1), then the networks in turn."""
        start: dict[str, Array | float] = dict(self.start.init(rng))
        nets = [self.net.init(rng) for _ in range(self.n_networks)]
        start["skip"] = np.zeros(self.n_skips)
        return self.layout.pack(start | {"networks": np.reshape(nets, (self.n_networks, self.net.n_parameters))}, dtype)

    def init_state(self, seeds: int, dtype: npt.DTypeLike = np.float64) -> Array:
        """Return the networks' running statistics (K, N-1, Q) before training."""
        return np.tile(self.net.init_state(dtype), (seeds, self.n_networks, 1))


class Networks(Protocol):
    """What carries X through all networks in training: in NumPy, or compiled."""

    def forward(self, theta: Array, state: Array, paths: Paths, z: Array, q: Array) -> None:
        """Write z_n (N, m, d) and q_n = z_n . dW_n (N, m) for n >= 1; bring `state` up to date."""


class Reference:
    """The networks in NumPy: one call of the reference engine for the stack of all seeds and times."""

    def __init__(self, unknowns: Unknowns, seeds: int) -> None:
        self.unknowns, self.seeds = unknowns, seeds
        self.engine = get_engine("numpy")
        self.trace: Any = None

    def forward(self, theta: Array, state: Array, paths: Paths, z: Array, q: Array) -> None:
        """Write z and q."""
        if not self.unknowns.n_networks:  # one time step: z_0 is all there is
            return
        networks = self.unknowns.layout.views(theta)["networks"]
        X = self._by_network(self._inputs(paths.X[1:-1]))
        self.trace = self.engine.forward(self.unknowns.net, networks, X, state, Mode(True, None))
        out, N = self.trace.output, len(z)
        z[1:] = (
            np.moveaxis(out.reshape(self.seeds, N - 1, -1, out.shape[-1]), 0, 1).reshape(z[1:].shape) / out.shape[-1]
        )
        np.einsum("nmd,nmd->nm", z[1:], paths.dW[1:], out=q[1:])
        state[...] = self.trace.state

    def backward(self, paths: Paths, v: Array, slopes: Array) -> Array:
        """Return dL/d networks (K, N-1, Pnet) for the v (N, m) and slopes (N, m, d) of a `Step`."""
        equation = self.unknowns.equation
        if not self.unknowns.n_networks:
            return np.empty((self.seeds, 0), v.dtype)
        dz = v[1:, :, None] * (paths.dW[1:] - equation.dt * slopes[1:])
        return self.engine.backward(self.unknowns.net, self.trace, self._by_network(dz / equation.dim))

    def _inputs(self, X: Array) -> Array:
        """X (N-1, m, d), or (t, X) (N-1, m, 1 + d) where one network serves all times."""
        if not self.unknowns.shared:
            return X
        t = self.unknowns.equation.times[1:-1].astype(X.dtype)
        return np.concatenate([np.broadcast_to(t[:, None, None], (*X.shape[:2], 1)), X], axis=2)

    def _by_network(self, a: Array) -> Array:
        """(N-1, K B, n) -> (K, N-1, B, n), or (K, 1, (N-1) B, n) where one network serves all times."""
        apart = np.moveaxis(a.reshape(len(a), self.seeds, -1, a.shape[-1]), 1, 0).astype(a.dtype)
        return apart.reshape(self.seeds, self.unknowns.n_networks, -1, a.shape[-1])


# ---- the recursion -------------------------------------------------------------------------------------------------


def mismatch(e: Array) -> tuple[Array, Array]:
    """Return l(e) and l'(e): e^2, continued linearly beyond |e| = 50.

    >>> mismatch(np.array([-3.0, 60.0]))
    (array([   9., 3500.]), array([ -6., 100.]))
    """
    inside = np.clip(e, -CLIP, CLIP)
    return inside * (2.0 * e - inside), 2.0 * inside


@dataclass(frozen=True)
class Step:
    """What one batch gives: losses (K,), the gradient of the start (K, F), and v (N, m) and slopes (N, m, d), of which

    dL/dz_n = v_n (dW_n - dt slope_n)
    """

    losses: Array
    first: Array
    v: Array
    slopes: Array


def there_and_back(
    unknowns: Unknowns,
    networks: Networks,
    theta: Array,
    state: Array,
    start_state: Array,
    paths: Paths,
    memory: dict[str, Array],
    meanwhile: Callable[[], None] = lambda: None,
) -> Step:
    """Run the recursion to the end time and back for each seed on its own rows: all but the networks' way back.

    theta is (K, P), state (K, N-1, Q), start_state (K, Q0), the paths have K B rows; `memory` is kept from one call to
    the next. `meanwhile` is called when the networks' part is done, and other cores have nothing to do.
    """
    equation, K, start = unknowns.equation, len(theta), unknowns.start
    N, m, d = paths.dW.shape
    for name, shape in (("z", (N, m, d)), ("q", (N, m)), ("slopes", (N, m, d))):
        if name not in memory:
            memory[name] = np.empty(shape, theta.dtype)
    z, q, slopes = memory["z"], memory["q"], memory["slopes"]
    networks.forward(theta, state, paths, z, q)
    s = theta[:, start.layout.size : unknowns.n_first]
    skips = Skips.add(s, unknowns.way, paths, z, q) if unknowns.n_skips else None
    meanwhile()
    u0, z[0], kept = start.forward(theta[:, : start.layout.size], start_state, paths.X[0])
    np.einsum("md,md->m", z[0], paths.dW[0], out=q[0])
    course = recursion(equation, u0, z, q, paths)
    loss, slope = mismatch(course.end - np.asarray(equation.g(paths.X[-1]), theta.dtype))
    v, du0 = pullback(equation, course, z, paths, slope * (K / m), slopes)
    dz0 = v[0][:, None] * (paths.dW[0] - equation.dt * slopes[0])
    first = start.backward(kept, du0, dz0)
    if skips is not None:
        ds = skips.gradient(K, v[1:], slopes[1:], equation.dt)
        first = np.concatenate([first, ds.astype(first.dtype)], axis=1)
    return Step(loss.reshape(K, -1).mean(axis=1), first, v, slopes)


def value_and_grad(unknowns: Unknowns, theta: Array, state: Array, paths: Paths) -> tuple[Array, Array]:
    """Return loss (K,) and gradient (K, P) of each seed on its own rows, by NumPy."""
    networks = Reference(unknowns, len(theta))
    start_state = np.tile(unknowns.start.init_state(), (len(theta), 1))
    step = there_and_back(unknowns, networks, theta, state, start_state, paths, {})
    others = networks.backward(paths, step.v, step.slopes).reshape(len(theta), -1)
    return step.losses, np.concatenate([step.first, others], axis=1)
