"""Network: layers, the layout of their parameters, and the forward pass.

The architecture is a frozen value that holds no numbers. Parameters are one vector theta (P,), or a stack (S, P) of S
networks; running statistics of BatchNorm are a second vector, `state` (Q,).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from glassnet import layers
from glassnet.arrays import Array, Seed, as_matrix, check_count, generator
from glassnet.errors import fault, type_fault
from glassnet.layers import Layer, Mode, Noise
from glassnet.layout import Layout
from glassnet.records import Record

__all__ = ["Network", "Trace", "Work"]

PREDICT = Mode()
NO_STATE = np.empty(0)


class Trace(NamedTuple):
    """Everything a forward pass computed: z[l] and a[l] for the layers l = 0 ... L, where a[0] = z[0] = X.

    `parameters` are the views of theta that each layer used, `caches` what the layers keep for the way back, `state`
    BatchNorm's running statistics after the pass.
    """

    z: tuple[Array, ...]
    a: tuple[Array, ...]
    parameters: tuple[dict[str, Array], ...]
    caches: tuple[layers.Cache, ...]
    state: Array

    @property
    def output(self) -> Array:
        """a[L], the output of the network (..., m, k)."""
        return self.a[-1]


class Work(NamedTuple):
    """Memory that a training loop uses again and again: the views of a theta that stays in place, and a gradient."""

    parameters: tuple[dict[str, Array], ...]
    grad: Array
    grads: tuple[dict[str, Array], ...]


@dataclass(frozen=True)
class Network(Record):
    """A dense feed-forward network: `n_inputs` numbers in, then the layers.

    Parameters are named by layer, counted from 1: W1, b1 for a Dense first layer, gamma2, beta2 for a BatchNorm second.

    Raises GlassnetError for n_inputs below 1, no layers, and things that are not layers.

    >>> net = Network(3, [layers.Dense(4, "tanh"), layers.Dense(2, "softmax")])
    >>> net.n_parameters, net.sizes
    (26, (3, 4, 2))
    >>> theta = net.init(rng=0)
    >>> net.views(theta)["W2"].shape
    (4, 2)
    >>> net.forward(theta, np.zeros((5, 3))).output[0]
    array([0.5, 0.5])
    """

    n_inputs: int
    layers: tuple[Layer, ...]

    def __init__(self, n_inputs: int, layers: Iterable[Layer]) -> None:
        if not isinstance(layers, Iterable):
            raise type_fault("layers", "a list", repr(layers), "One layer? [layer].")
        chosen = tuple(layers)
        object.__setattr__(self, "n_inputs", check_count("n_inputs", n_inputs))
        object.__setattr__(self, "layers", chosen)
        if not chosen:
            raise fault("layers", "at least one", "none", "A linear model is [Dense(n_outputs)].")
        for layer in chosen:
            if not hasattr(layer, "n_outputs") or isinstance(layer, type):
                raise type_fault("each layer", "a layer such as Dense(50, 'relu')", repr(layer))

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Units of the layers 0 ... L; layer 0 is the input."""
        sizes = [self.n_inputs]
        for layer in self.layers:
            sizes.append(layer.n_outputs(sizes[-1]))
        return tuple(sizes)

    @property
    def n_outputs(self) -> int:
        """k, the number of outputs."""
        return self.sizes[-1]

    @property
    def output_activation(self) -> str:
        """The name of the last layer's activation."""
        return self.layers[-1].function.name

    @cached_property
    def layout(self) -> Layout:
        """Where each parameter lives in theta."""
        return _layout(layer.parameters(n) for layer, n in zip(self.layers, self.sizes[:-1], strict=True))

    @cached_property
    def state_layout(self) -> Layout:
        """Where each running statistic lives in state."""
        return _layout(layer.statistics(n) for layer, n in zip(self.layers, self.sizes[:-1], strict=True))

    @cached_property
    def _parameter_parts(self) -> tuple[_Parts, ...]:
        return _parts(self.layout, (layer.parameters(n) for layer, n in zip(self.layers, self.sizes[:-1], strict=True)))

    @cached_property
    def _statistic_parts(self) -> tuple[_Parts, ...]:
        shapes = (layer.statistics(n) for layer, n in zip(self.layers, self.sizes[:-1], strict=True))
        return _parts(self.state_layout, shapes)

    @property
    def n_parameters(self) -> int:
        """P, the length of theta."""
        return self.layout.size

    @cached_property
    def weights(self) -> npt.NDArray[np.bool_]:
        """Booleans (P,): True at the entries of weight matrices, which penalties and decay apply to."""
        return self.layout.mask(name for name in self.layout.names if name.startswith("W"))

    @cached_property
    def weight_slices(self) -> tuple[slice, ...]:
        """The parts of theta that hold weight matrices."""
        return tuple(part for name, part in self.layout.slices.items() if name.startswith("W"))

    def views(self, theta: Array) -> dict[str, Array]:
        """Return {"W1": (n_in, n_out), "b1": (n_out,), ...} as views of theta (..., P), never copies."""
        return self.layout.views(theta)

    def init(self, rng: Seed = 0, dtype: npt.DTypeLike = np.float64) -> Array:
        """Return a starting theta (P,), drawn layer by layer with each layer's initializers."""
        draw = generator(rng)
        start: dict[str, Array] = {}
        for l, layer in enumerate(self.layers, 1):
            drawn = layer.init(draw, self.sizes[l - 1])
            start |= {f"{name}{l}": array for name, array in drawn.items()}
        return self.layout.pack(start, dtype)

    def check_theta(self, theta: Array) -> None:
        """Raise GlassnetError where theta is not the vector (P,) of floats of one network."""
        if theta.shape != (self.n_parameters,) or theta.dtype.kind != "f":
            received = f"{theta.dtype} {theta.shape}"
            raise fault("theta", f"floats ({self.n_parameters},)", received, "Take net.init(rng=0).")

    def init_state(self, dtype: npt.DTypeLike = np.float64) -> Array:
        """Return the running statistics (Q,) before any training: means 0, variances 1."""
        return self.state_layout.mask(name for name in self.state_layout.names if name.startswith("var")).astype(dtype)

    def forward(
        self,
        theta: Array,
        X: npt.ArrayLike,
        *,
        state: Array | None = None,
        training: bool = False,
        rng: Seed | Noise = None,
    ) -> Trace:
        """Carry X (m, n_inputs) through the network and return every z and a.

        theta (P,) and X (m, d) give arrays (m, n); a stack theta (S, P), or X (S, m, d), gives (S, m, n). `training`
        switches Dropout on (noise from `rng`) and lets BatchNorm use and update the batch's statistics.

        Raises GlassnetError for wrong shapes and for NaN or infinity in X.
        """
        return self.trace(theta, as_matrix("X", X, self.n_inputs), state, Mode.of(training, rng))

    def trace(
        self, theta: Array, X: Array, state: Array | None = None, mode: Mode = PREDICT, work: Work | None = None
    ) -> Trace:
        """Do what `forward` does, for an X that has been checked before.

        z_l = layer_l(a_{l-1}),  a_l = f_l(z_l).
        """
        if work is None:
            theta = np.asarray(theta)
            theta = theta if theta.dtype.kind in "fc" else theta.astype(np.float64)
            if theta.ndim == 0 or theta.shape[-1] != self.n_parameters:
                raise fault("theta", f"(..., {self.n_parameters})", theta.shape)
            if X.dtype.kind == "c" and theta.dtype.kind != "c":
                raise type_fault("X", "real where theta is real", X.dtype)
        parameters = self.split(theta) if work is None else work.parameters
        state, stats = self._own_statistics(state, theta, X)
        A = X if theta.dtype.kind == "c" else X.astype(theta.dtype, copy=False)
        z, a, caches = [A], [A], []
        for layer, f, p, s in zip(self.layers, self._functions, parameters, stats, strict=True):
            Z, cache = layer.forward(p, s, A, mode)
            A = f(Z)
            z.append(Z)
            a.append(A)
            caches.append(cache)
        return Trace(tuple(z), tuple(a), parameters, tuple(caches), state)

    def work(self, theta: Array) -> Work:
        """Return memory for a loop that moves this theta in place."""
        grad = np.empty_like(theta)
        return Work(self.split(theta), grad, self.split(grad))

    def split(self, theta: Array) -> tuple[dict[str, Array], ...]:
        """Return the views of theta layer by layer, under the layers' own names: ({"W": ..., "b": ...}, ...)."""
        return _split(self._parameter_parts, theta)

    def _own_statistics(
        self, state: Array | None, theta: Array, X: Array
    ) -> tuple[Array, tuple[dict[str, Array], ...]]:
        """Return a fresh copy of the running statistics (..., Q), so that the caller's are never changed, and views."""
        size = self.state_layout.size
        if size == 0:
            return NO_STATE, self._no_statistics
        if state is None:
            state = self.init_state(theta.real.dtype)
        state = np.asarray(state)
        if state.shape[-1:] != (size,):
            raise fault("state", f"(..., {size})", state.shape, "Take net.init_state().")
        lead = np.broadcast_shapes(theta.shape[:-1], X.shape[:-2], state.shape[:-1])
        own = np.array(np.broadcast_to(state, (*lead, size)), dtype=theta.real.dtype)
        return own, _split(self._statistic_parts, own)

    @cached_property
    def _no_statistics(self) -> tuple[dict[str, Array], ...]:
        return tuple({} for _ in self.layers)

    @cached_property
    def _functions(self) -> tuple[Callable[[Array], Array], ...]:
        return tuple(layer.function.f for layer in self.layers)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form; raises GlassnetError where an activation is your own."""
        return {"n_inputs": self.n_inputs, "layers": [layer.to_dict() for layer in self.layers]}

    @classmethod
    def from_dict(cls, spec: Mapping[str, object]) -> Network:
        """Return the network that `to_dict` wrote; raises GlassnetError where it is not one."""
        rows = spec.get("layers")
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise fault("a network", '{"n_inputs": ..., "layers": [...]}', sorted(spec))
        return cls(check_count("n_inputs", spec.get("n_inputs")), [layers.from_dict(row) for row in rows])


def _layout(shapes: Iterable[layers.Shapes]) -> Layout:
    """Number the layers' own names: the W of layer 1 becomes W1."""
    return Layout(tuple((f"{name}{l}", shape) for l, own in enumerate(shapes, 1) for name, shape in own.items()))


_Parts = tuple[tuple[str, slice, tuple[int, ...]], ...]


def _parts(layout: Layout, shapes: Iterable[layers.Shapes]) -> tuple[_Parts, ...]:
    """For each layer (its own name, slice of the vector, shape) of each array."""
    return tuple(
        tuple((name, layout.slices[f"{name}{l}"], shape) for name, shape in own.items())
        for l, own in enumerate(shapes, 1)
    )


def _split(parts: tuple[_Parts, ...], vector: Array) -> tuple[dict[str, Array], ...]:
    if vector.ndim == 1:
        return tuple({name: vector[part].reshape(shape) for name, part, shape in own} for own in parts)
    lead = vector.shape[:-1]
    return tuple({name: vector[..., part].reshape(lead + shape) for name, part, shape in own} for own in parts)
