"""Where paths start: at one point, with u0 and z0 as unknowns, or anywhere in a box, with a network for each.

Both give u_0 (m,) and z_0 (m, d) for the starts X_0 of a batch, and take dL/du_0 and dL/dz_0 back to their part of
theta, which comes before that of the networks of later times.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.engines import get_engine
from glassnet.layers import Mode
from glassnet.layout import Layout
from glassnet.network import Network

__all__ = ["BoxStart", "PointStart", "Start"]


@dataclass(frozen=True)
class PointStart:
    """u0 and z0 themselves: all paths start from x0."""

    dim: int
    u_start: tuple[float, float]

    @cached_property
    def layout(self) -> Layout:
        """u0 and z0."""
        return Layout((("u0", ()), ("z0", (self.dim,))))

    def init(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw u0 in its range and z0 in U(-0.1, 0.1)."""
        return {"u0": np.array(rng.uniform(*self.u_start)), "z0": rng.uniform(-0.1, 0.1, self.dim)}

    def init_state(self) -> Array:
        """Return the running statistics: none."""
        return np.empty(0)

    def forward(self, first: Array, state: Array, X: Array) -> tuple[Array, Array, Any]:
        """Return u_0 (m,), z_0 (m, d) and what the way back needs, for first (K, 1 + d) and starts X (m, d)."""
        rows = len(X) // len(first)
        return np.repeat(first[:, 0], rows), np.repeat(first[:, 1:], rows, axis=0), len(first)

    def backward(self, kept: Any, v: Array, dz: Array) -> Array:
        """Return the gradient (K, 1 + d) from dL/du_0 (m,) and dL/dz_0 (m, d)."""
        K = int(kept)
        return np.concatenate([v.reshape(K, -1).sum(1)[:, None], dz.reshape(K, -1, self.dim).sum(1)], axis=1)


@dataclass(frozen=True)
class BoxStart:
    """A network x -> u(0, x) and one x -> z(0, x): paths start anywhere in a box."""

    dim: int
    u_start: tuple[float, float]
    u_net: Network
    z_net: Network

    @cached_property
    def layout(self) -> Layout:
        """The parameters of both networks."""
        return Layout((("u0", (self.u_net.n_parameters,)), ("z0", (self.z_net.n_parameters,))))

    def init(self, rng: np.random.Generator) -> dict[str, Array]:
        """Draw both networks; u's output starts around a number of the range."""
        start = self.u_net.init(rng)
        start[-1] = rng.uniform(*self.u_start)  # the shift of the last normalisation
        return {"u0": start, "z0": self.z_net.init(rng)}

    def init_state(self) -> Array:
        """Return the running statistics of both."""
        return np.concatenate([self.u_net.init_state(), self.z_net.init_state()])

    def _split(self, first: Array, state: Array) -> tuple[tuple[Network, Array, Array], ...]:
        P, Q = self.u_net.n_parameters, len(self.u_net.init_state())
        return (self.u_net, first[:, :P], state[:, :Q]), (self.z_net, first[:, P:], state[:, Q:])

    def forward(self, first: Array, state: Array, X: Array) -> tuple[Array, Array, Any]:
        """Return u_0 (m,), z_0 (m, d) and the traces; bring `state` (K, Q) up to date."""
        engine, rows = get_engine("numpy"), X.reshape(len(first), -1, self.dim)
        traces = []
        for net, theta, stats in self._split(first, state):
            trace = engine.forward(net, theta, rows, stats.astype(first.dtype), Mode(True, None))
            stats[...] = trace.state
            traces.append(trace)
        return traces[0].output.ravel(), traces[1].output.reshape(X.shape) / self.dim, traces

    def backward(self, kept: Any, v: Array, dz: Array) -> Array:
        """Return the gradient (K, P)."""
        engine, (u_trace, z_trace) = get_engine("numpy"), kept
        du = engine.backward(self.u_net, u_trace, v.reshape(u_trace.output.shape))
        return np.concatenate(
            [du, engine.backward(self.z_net, z_trace, dz.reshape(z_trace.output.shape) / self.dim)], axis=1
        )  # fmt: skip

    def predict(self, first: Array, state: Array, X: Array) -> Array:
        """Return u(0, x) of each seed (K, m), by the running statistics."""
        net, theta, stats = self._split(first, state)[0]
        many = np.broadcast_to(X, (len(first), *X.shape)).astype(first.dtype)
        return np.asarray(
            get_engine("numpy").forward(net, theta, many, stats.astype(first.dtype), Mode(False, None)).output[..., 0]
        )


Start = PointStart | BoxStart
