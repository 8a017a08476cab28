"""Layers: frozen records that know their shapes, and the equations that carry a batch forward and a gradient back.

A layer maps the activations A (..., m, n_in) of the layer before it to pre-activations Z (..., m, n_out); the network
then applies the layer's activation, A' = f(Z). On the way back the layer receives dZ = dL/dZ and gives dL/dA and the
gradients of its parameters:

    Dense      Z = A W + b                       dW = A^T dZ    db = sum dZ           dA = dZ W^T
    Dropout    Z = A * mask / (1 - rate)                                              dA = dZ * mask / (1 - rate)
    BatchNorm  Z = gamma X + beta,               dgamma = sum dZ X    dbeta = sum dZ
               X = (A - mean A) / sqrt(var A + eps), over the rows of the batch
               dA = gamma / sqrt(var A + eps) * (dZ - mean dZ - X mean(dZ X))
    LayerNorm  the same over the units of each row

Parameters may carry leading axes (S, ...): S networks of one architecture, evaluated by the same lines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from glassnet import activations, initializers, registry
from glassnet.activations import Activation, ActivationLike
from glassnet.arrays import Array, Seed, check_count, generator
from glassnet.errors import choose, fault
from glassnet.initializers import InitializerLike
from glassnet.records import Record

__all__ = ["LAYERS", "BatchNorm", "Dense", "Dropout", "Layer", "LayerNorm", "Mode", "Noise", "from_dict"]

Parameters = Mapping[str, Array]
Shapes = dict[str, tuple[int, ...]]
Cache = tuple[Any, ...]
Noise = np.random.Generator | Sequence[np.random.Generator]
"""Where dropout masks come from: one generator, or one for each network of a stack."""

IDENTITY = activations.get("identity")


@dataclass(frozen=True)
class Mode:
    """How a layer is to behave: predicting (the default) or training with a source of noise."""

    training: bool = False
    noise: Noise | None = None

    @classmethod
    def of(cls, training: bool, rng: Seed | Noise) -> Mode:
        """Return the mode with noise from a seed, a generator, or one generator for each network of a stack."""
        if rng is None or (isinstance(rng, Sequence) and all(isinstance(one, np.random.Generator) for one in rng)):
            return cls(training, rng)
        return cls(training, generator(rng))


class Layer(Protocol):
    """What a network asks of a layer."""

    @property
    def function(self) -> Activation:
        """The activation that follows the layer's own equation."""

    def n_outputs(self, n_inputs: int) -> int:
        """Return the number of units."""

    def parameters(self, n_inputs: int) -> Shapes:
        """Return {name: shape} of what is learned."""

    def statistics(self, n_inputs: int) -> Shapes:
        """Return {name: shape} of what is measured while training (BatchNorm's running mean and variance)."""

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        """Return starting values of the parameters."""

    def forward(self, p: Parameters, stats: Parameters, A: Array, mode: Mode) -> tuple[Array, Cache]:
        """Return Z and what `backward` will need besides A; in training, `stats` is brought up to date in place."""

    def backward(
        self, p: Parameters, A: Array, cache: Cache, dZ: Array, grads: Parameters, *, wants_dA: bool = True
    ) -> Array:
        """Write the parameters' gradients into `grads` and return dL/dA (anything, where it is not wanted)."""

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""


@dataclass(frozen=True)
class Dense(Record):
    """A fully connected layer: Z = A W + b with W (n_in, units) and b (units,), then A' = f(Z).

    `activation` is a name, an `Activation` or your own pair `(f, df)`. `weight_init="auto"` picks by the activation
    (He for the ReLU family, LeCun for SELU, else Glorot).

    Raises GlassnetError for units below 1 and unknown names.

    >>> Dense(3, "relu").parameters(2)
    {'W': (2, 3), 'b': (3,)}
    """

    units: int
    activation: ActivationLike = "identity"
    bias: bool = field(default=True, kw_only=True)
    weight_init: InitializerLike = field(default="auto", kw_only=True)
    bias_init: InitializerLike = field(default="zeros", kw_only=True)

    def __post_init__(self) -> None:
        _normalise(self, "bias", bool(self.bias))
        _normalise(self, "units", check_count("units of Dense", self.units))
        _normalise(self, "activation", _name_or_record(activations.get(self.activation)))
        if self.weight_init != "auto":
            _normalise(self, "weight_init", _checked(self.weight_init))
        _normalise(self, "bias_init", _checked(self.bias_init))

    @cached_property
    def function(self) -> Activation:
        """The activation record."""
        return activations.get(self.activation)

    def n_outputs(self, n_inputs: int) -> int:
        """Return `units`."""
        return self.units

    def parameters(self, n_inputs: int) -> Shapes:
        """Return the shapes of W and b."""
        return {"W": (n_inputs, self.units)} | ({"b": (self.units,)} if self.bias else {})

    def statistics(self, n_inputs: int) -> Shapes:
        """Return nothing."""
        return {}

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        """Draw W, then b."""
        weight_init = self.function.init if self.weight_init == "auto" else self.weight_init
        start = {"W": initializers.get(weight_init)(rng, n_inputs, self.units)}
        if self.bias:
            start["b"] = initializers.get(self.bias_init)(rng, n_inputs, self.units, (self.units,))
        return start

    def forward(self, p: Parameters, stats: Parameters, A: Array, mode: Mode) -> tuple[Array, Cache]:
        """Z = A W + b."""
        Z = A @ p["W"]
        if self.bias:
            Z += _row(p["b"])
        return Z, ()

    def backward(
        self, p: Parameters, A: Array, cache: Cache, dZ: Array, grads: Parameters, *, wants_dA: bool = True
    ) -> Array:
        """dW = A^T dZ, db = sum over samples of dZ, dA = dZ W^T."""
        np.matmul(A.mT, dZ, out=grads["W"])
        if self.bias:
            np.add.reduce(dZ, axis=-2, out=grads["b"])
        return np.asarray(dZ @ p["W"].mT) if wants_dA else dZ

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form; raises GlassnetError for an activation of your own."""
        return {
            "layer": "Dense",
            "units": self.units,
            "activation": registry.spec_of("activation", activations.ACTIVATIONS, self.function),
            "bias": self.bias,
            "weight_init": _init_spec(self.weight_init),
            "bias_init": _init_spec(self.bias_init),
        }


class _SameShape:
    """What layers without units of their own share: they keep the number of inputs and have no activation."""

    @property
    def function(self) -> Activation:
        """Identity: such a layer's Z is its A."""
        return IDENTITY

    def n_outputs(self, n_inputs: int) -> int:
        """Return `n_inputs`."""
        return n_inputs

    def parameters(self, n_inputs: int) -> Shapes:
        """Return {name: shape} of what is learned: nothing."""
        return {}

    def statistics(self, n_inputs: int) -> Shapes:
        """Return {name: shape} of what is measured: nothing."""
        return {}

    def init(self, rng: np.random.Generator, n_inputs: int) -> dict[str, Array]:
        """Start gamma at 1 and beta at 0."""
        return {
            name: np.full(shape, 1.0 if name == "gamma" else 0.0) for name, shape in self.parameters(n_inputs).items()
        }


@dataclass(frozen=True)
class Dropout(_SameShape):
    """In training each activation is set to zero with probability `rate` and the others grow by 1 / (1 - rate).

    Predictions are not touched (inverted dropout; Srivastava et al. 2014). Raises GlassnetError for a rate outside
    [0, 1).
    """

    rate: float

    def __post_init__(self) -> None:
        if not 0 <= self.rate < 1:
            raise fault("rate of Dropout", "in [0, 1)", self.rate)
        _normalise(self, "rate", float(self.rate))

    def forward(self, p: Parameters, stats: Parameters, A: Array, mode: Mode) -> tuple[Array, Cache]:
        """Z = A * mask / (1 - rate)."""
        if not mode.training or self.rate == 0:
            return A, ()
        if mode.noise is None:
            raise fault("rng", "given when a network with Dropout trains", None, "Pass rng=0, for example.")
        keep = _uniform(mode.noise, A.shape[-2:]) >= self.rate
        mask = keep.astype(A.real.dtype) / A.real.dtype.type(1.0 - self.rate)
        return A * mask, (mask,)

    def backward(
        self, p: Parameters, A: Array, cache: Cache, dZ: Array, grads: Parameters, *, wants_dA: bool = True
    ) -> Array:
        """dA = dZ * mask / (1 - rate)."""
        return dZ * cache[0] if cache else dZ

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"layer": "Dropout", "rate": self.rate}


@dataclass(frozen=True)
class BatchNorm(_SameShape):
    """Each unit is brought to mean 0 and variance 1 over the batch, then scaled: Z = gamma X + beta.

    Running statistics, new = momentum * old + (1 - momentum) * batch (with the biased variance, as in Keras), stand in
    for those of the batch when predicting. Source: Ioffe and Szegedy (2015).
    """

    momentum: float = 0.99
    eps: float = 1e-6

    def __post_init__(self) -> None:
        if not 0 <= self.momentum < 1:
            raise fault("momentum of BatchNorm", "in [0, 1)", self.momentum)
        _check_eps("BatchNorm", self.eps)
        _normalise(self, "momentum", float(self.momentum))
        _normalise(self, "eps", float(self.eps))

    def parameters(self, n_inputs: int) -> Shapes:
        """Return the shapes of gamma and beta."""
        return {"gamma": (n_inputs,), "beta": (n_inputs,)}

    def statistics(self, n_inputs: int) -> Shapes:
        """Return the shapes of the running mean and variance."""
        return {"mean": (n_inputs,), "var": (n_inputs,)}

    def forward(self, p: Parameters, stats: Parameters, A: Array, mode: Mode) -> tuple[Array, Cache]:
        """Z = gamma (A - mean) / sqrt(var + eps) + beta."""
        if mode.training:
            mean, var = _moments(A, axis=-2)
            for name, batch in (("mean", mean), ("var", var)):
                stats[name][...] *= self.momentum
                stats[name][...] += (1.0 - self.momentum) * batch[..., 0, :].real
        else:
            mean, var = _row(stats["mean"]), _row(stats["var"])
        scale = 1.0 / np.sqrt(var + self.eps)
        X = (A - mean) * scale
        return _row(p["gamma"]) * X + _row(p["beta"]), (X, scale, mode.training)

    def backward(
        self, p: Parameters, A: Array, cache: Cache, dZ: Array, grads: Parameters, *, wants_dA: bool = True
    ) -> Array:
        """dA = gamma scale (dZ - mean dZ - X mean(dZ X)); without the means where the statistics are given."""
        X, scale, from_batch = cache
        _norm_gradients(X, dZ, grads)
        dX = dZ * _row(p["gamma"])
        return _norm_pull(X, scale, dX, axis=-2) if from_batch else dX * scale

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"layer": "BatchNorm", "momentum": self.momentum, "eps": self.eps}


@dataclass(frozen=True)
class LayerNorm(_SameShape):
    """Each row is brought to mean 0 and variance 1 over its units, then scaled: Z = gamma X + beta.

    Source: Ba, Kiros and Hinton (2016).
    """

    eps: float = 1e-5

    def __post_init__(self) -> None:
        _check_eps("LayerNorm", self.eps)
        _normalise(self, "eps", float(self.eps))

    def parameters(self, n_inputs: int) -> Shapes:
        """Return the shapes of gamma and beta."""
        return {"gamma": (n_inputs,), "beta": (n_inputs,)}

    def forward(self, p: Parameters, stats: Parameters, A: Array, mode: Mode) -> tuple[Array, Cache]:
        """Z = gamma (A - mean) / sqrt(var + eps) + beta."""
        mean, var = _moments(A, axis=-1)
        scale = 1.0 / np.sqrt(var + self.eps)
        X = (A - mean) * scale
        return _row(p["gamma"]) * X + _row(p["beta"]), (X, scale)

    def backward(
        self, p: Parameters, A: Array, cache: Cache, dZ: Array, grads: Parameters, *, wants_dA: bool = True
    ) -> Array:
        """dA = scale (dX - mean dX - X mean(dX X)) with dX = gamma dZ."""
        X, scale = cache
        _norm_gradients(X, dZ, grads)
        return _norm_pull(X, scale, dZ * _row(p["gamma"]), axis=-1)

    def to_dict(self) -> dict[str, object]:
        """Return the JSON form."""
        return {"layer": "LayerNorm", "eps": self.eps}


def _row(v: Array) -> Array:
    """Let a vector (n,), or one for each network of a stack (S, n), stand beside rows (..., m, n)."""
    return v if v.ndim == 1 else v[..., None, :]


def _moments(A: Array, axis: int) -> tuple[Array, Array]:
    mean = A.mean(axis=axis, keepdims=True)
    centred = A - mean
    return mean, (centred * centred).mean(axis=axis, keepdims=True)


def _norm_gradients(X: Array, dZ: Array, grads: Parameters) -> None:
    grads["gamma"][...] = (dZ * X).sum(axis=-2)
    grads["beta"][...] = dZ.sum(axis=-2)


def _norm_pull(X: Array, scale: Array, dX: Array, axis: int) -> Array:
    means = dX.mean(axis=axis, keepdims=True), (dX * X).mean(axis=axis, keepdims=True)
    return np.asarray(scale * (dX - means[0] - X * means[1]))


def _uniform(noise: Noise, shape: tuple[int, ...]) -> Array:
    if isinstance(noise, np.random.Generator):
        return noise.random(shape)
    return np.stack([one.random(shape) for one in noise])


def _check_eps(layer: str, eps: float) -> None:
    if not 0 < eps < 1:
        raise fault(f"eps of {layer}", "between 0 and 1", eps)


def _normalise(record: object, field_name: str, value: object) -> None:
    """Set a field of a frozen record while it is made, so that equal layers compare equal however they were spelt."""
    object.__setattr__(record, field_name, value)


def _name_or_record(function: Activation) -> str | Activation:
    return function.name if activations.is_known(function) else function


def _checked(init: InitializerLike) -> InitializerLike:
    record = initializers.get(init)
    known = record.name in initializers.INITIALIZERS and record == initializers.get(record.name)
    return record.name if known else record


def _init_spec(init: InitializerLike) -> registry.Spec:
    if isinstance(init, str):
        return init
    return registry.spec_of("initializer", initializers.INITIALIZERS, initializers.get(init))


LAYERS: Mapping[str, type] = {kind.__name__: kind for kind in (Dense, Dropout, BatchNorm, LayerNorm)}
"""Name -> class of every layer."""


def from_dict(spec: Mapping[str, object]) -> Layer:
    """Return the layer that `to_dict` wrote.

    Raises GlassnetError for unknown layers and options.

    >>> from_dict(Dense(3, "relu").to_dict()) == Dense(3, "relu")
    True
    """
    options = {key: value for key, value in spec.items() if key != "layer"}
    kind = choose("layer", spec.get("layer"), LAYERS)
    try:
        layer: Layer = kind(**options)
    except TypeError as error:
        raise fault(f"a {spec.get('layer')} layer", "made from its own options", options, f"{error}.") from error
    return layer
