"""What the arguments say about the network: layers, output, loss and start.

A hidden layer is Dense with its activation, then BatchNorm or LayerNorm, then Dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet import activations, initializers, losses
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, choose, fault, type_fault
from glassnet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from glassnet.losses import Loss
from glassnet.network import Network

__all__ = [
    "check_architecture", "check_slope", "classifier_loss", "hidden_activations", "hidden_sizes", "make_network",
    "matching_output", "start_weights",
]  # fmt: skip

SKLEARN_NAMES = {"logistic": "sigmoid"}
OUTPUT_OF = {"real": "identity", "positive": "exp", "unit": "sigmoid", "simplex": "softmax"}
"""Domain of a loss -> the output activation that is taken where none is asked for."""


def check_architecture(model: Any) -> None:
    """Raise GlassnetError where the arguments describe no network, or a derivative of your own is wrong."""
    for function in {*hidden_activations(model), *_output_asked_for(model)}:
        _check_derivative(function)
    for name, record in (("batch_norm", BatchNorm), ("layer_norm", LayerNorm)):
        value = getattr(model, name)
        if not isinstance(value, bool | np.bool_ | record):
            raise type_fault(name, f"True, False or a {record.__name__}", repr(value))
    if model.batch_norm and model.layer_norm:
        raise GlassnetError("batch_norm and layer_norm exclude each other: both are given. Choose one.")
    rates, sizes = _dropout_rates(model), hidden_sizes(model.hidden_layer_sizes)
    if any(rates) and not sizes:
        raise fault("dropout", "0 without a hidden layer", repr(model.dropout))
    if not isinstance(model.weight_init, str) or model.weight_init != "auto":
        initializers.get(model.weight_init)


# ---- layers -------------------------------------------------------------------------------------------------------


def hidden_sizes(sizes: int | Sequence[int]) -> tuple[int, ...]:
    """Return the units of the hidden layers; raises GlassnetError where they are not positive whole numbers."""
    listed = [sizes] if isinstance(sizes, Integral) else list(np.atleast_1d(np.asarray(sizes, dtype=object)))
    for size in listed:
        if isinstance(size, bool) or not isinstance(size, Integral) or size < 1:
            raise fault("hidden_layer_sizes", "positive whole numbers", repr(sizes), "For example (50, 50).")
    return tuple(int(size) for size in listed)


def hidden_activations(model: Any) -> list[Activation]:
    """Return the activation of each hidden layer: one for all, or a list with one for each."""
    spec, sizes = model.activation, hidden_sizes(model.hidden_layer_sizes)
    if not isinstance(spec, list | tuple) or _is_pair(spec):
        return [_activation(spec)] * max(len(sizes), 1)  # without hidden layers it still names the start of the weights
    if len(spec) != len(sizes):
        raise fault("activation", f"one for each of the {len(sizes)} hidden layers", f"{len(spec)}: {spec!r}")
    return [_activation(one) for one in spec]


def _is_pair(spec: object) -> bool:
    return isinstance(spec, tuple) and len(spec) == 2 and all(callable(part) for part in spec)


def _activation(spec: Any) -> Activation:
    """Return the activation; scikit-learn's "logistic" is the sigmoid, a pair of functions is (f, df)."""
    if isinstance(spec, str) or spec is None:
        choose("activation", spec, {**activations.ACTIVATIONS, **SKLEARN_NAMES})
        return activations.get(SKLEARN_NAMES.get(str(spec), str(spec)))
    return activations.get(spec)


def _output_asked_for(model: Any) -> list[Activation]:
    return [] if model.output_activation is None else [_activation(model.output_activation)]


def _dropout_rates(model: Any) -> list[float]:
    """Return the rate after each hidden layer: one number for all, or a list with one for each."""
    count = len(hidden_sizes(model.hidden_layer_sizes))
    listed = list(model.dropout) if isinstance(model.dropout, list | tuple) else [model.dropout] * max(count, 1)
    if isinstance(model.dropout, list | tuple) and len(listed) != count:
        raise fault("dropout", f"a rate for each of the {count} hidden layers", repr(model.dropout))
    for rate in listed:
        if isinstance(rate, bool) or not isinstance(rate, Real) or not 0 <= float(rate) < 1:
            raise fault("dropout", "a rate in [0, 1)", repr(model.dropout))
    return [float(rate) for rate in listed]


def make_network(model: Any, n_inputs: int, n_outputs: int, output: str) -> Network:
    """Return hidden layers as asked for, and an output layer, `output` unless `output_activation` says otherwise."""
    weight_init = model.weight_init
    layers: list[Layer] = []
    sizes = hidden_sizes(model.hidden_layer_sizes)
    for size, function, rate in zip(sizes, hidden_activations(model), _dropout_rates(model), strict=False):
        layers.append(Dense(size, function, weight_init=weight_init))
        layers += _between(model, rate)
    last = (_output_asked_for(model) or [activations.get(output)])[0]
    return Network(n_inputs, [*layers, Dense(n_outputs, last, weight_init=weight_init)])


def _between(model: Any, rate: float) -> list[Layer]:
    """Return what follows a hidden layer's activation."""
    found: list[Layer] = []
    for given, kind in ((model.batch_norm, BatchNorm), (model.layer_norm, LayerNorm)):
        if given:
            found.append(given if isinstance(given, kind) else kind())
    return [*found, Dropout(rate)] if rate else found


def start_weights(model: Any, net: Network, rng: np.random.RandomState, dtype: npt.DTypeLike) -> Array:
    """Return the start of theta (P,).

    "auto" is scikit-learn's: weights and biases from U(-b, b), b^2 = 6 / (n_in + n_out), 2 for "logistic"; each layer
    goes by its own activation, the output layer by that of the last hidden one. Otherwise `weight_init` draws the
    weights, and biases are 0.
    """
    if model.weight_init != "auto":
        return net.init(int(rng.randint(2**31 - 1)), dtype)
    functions = hidden_activations(model)
    names = iter([*functions, functions[-1]])
    start: dict[str, Array] = {}
    for l, (layer, n_in, n_out) in enumerate(zip(net.layers, net.sizes[:-1], net.sizes[1:], strict=True), 1):
        if not isinstance(layer, Dense):
            own = layer.init(np.random.default_rng(0), n_in)  # gamma = 1 and beta = 0: nothing is drawn
            start |= {f"{name}{l}": array for name, array in own.items()}
            continue
        factor = 2.0 if next(names).name == "sigmoid" else 6.0
        bound = (factor / (n_in + n_out)) ** 0.5
        start[f"W{l}"] = rng.uniform(-bound, bound, (n_in, n_out))
        start[f"b{l}"] = rng.uniform(-bound, bound, n_out)
    return net.layout.pack(start, dtype)


# ---- losses -------------------------------------------------------------------------------------------------------


def matching_output(loss: Loss) -> str:
    """Return the output activation that a loss is made for: its match, or one that stays in its domain."""
    return OUTPUT_OF[loss.domain] if loss.matched is None else loss.matched.activation


def classifier_loss(spec: Any, output: Activation) -> Loss:
    """Return the loss of a classifier: None is cross-entropy, which for sigmoid outputs is the binary one.

    Raises GlassnetError for an unknown loss, and for outputs that are not probabilities.
    """
    if output.range not in ("unit", "simplex"):
        remedy = "Leave it out, or take 'sigmoid' or 'softmax'."
        raise fault("output_activation", "one that gives probabilities", repr(output.name), remedy)
    loss = losses.get("cross_entropy" if spec is None else spec)
    if loss.name == "cross_entropy" and output.range == "unit":
        return losses.get({"name": "binary_cross_entropy", **dict(loss.options)})
    return loss


# ---- derivatives of your own --------------------------------------------------------------------------------------

POINTS = np.linspace(-4.03, 3.97, 41)
"""Where a derivative is compared: no usual kink (0, 1, 2.5, 3) is among them."""
STEP = 1e-6


def _check_derivative(function: Activation) -> None:
    """Compare df with differences of f to both sides; raises GlassnetError with the point where they disagree most.

    At a kink any slope between those of the two sides is right.
    """
    if activations.is_known(function) or not function.elementwise:
        return
    with np.errstate(all="ignore"):
        a, right, left = (np.asarray(function.f(POINTS + h)) for h in (0.0, STEP, -STEP))
        slope = np.asarray(function.df(POINTS, a))
    for name, values in (("f(z)", a), ("df(z, a)", slope)):
        if values.shape != POINTS.shape or not np.isfinite(values).all():
            expected = f"a finite number for each z, {POINTS.shape} here"
            raise fault(f"{name} of your activation", expected, f"{values.shape}: {values.ravel()[:3]} ...")
    sides = np.stack([(right - a) / STEP, (a - left) / STEP])
    at = _worst(slope, sides, 0.0)
    if at is not None:
        expected = f"the derivative of f: {sides[:, at].mean():.6g} at z = {POINTS[at]:.4g}, by differences"
        raise fault("df(z, a) of your activation", expected, f"{slope[at]:.6g}", "Its arguments are z and a = f(z).")


def check_slope(loss: Loss, outputs: Array, Y: Array) -> None:
    """Compare the slope of a loss with differences of its value, at outputs and targets (m, k).

    Raises GlassnetError with the point where they disagree most.

    >>> own = losses.get((lambda a, y: (a - y) ** 2, lambda a, y: 2 * (a - y)))
    >>> check_slope(own, np.ones((1, 1)), np.zeros((1, 1)))  # 2 is right: nothing is said
    """
    a, y = outputs.astype(np.float64), Y.astype(np.float64)
    with np.errstate(all="ignore"):
        cost, right, left = (np.asarray(loss.value(a + h, y)) for h in (0.0, STEP, -STEP))
        slope = np.asarray(loss.slope(a, y))
        sides = np.stack([(right - cost).ravel() / STEP, (cost - left).ravel() / STEP])
    at = _worst(slope.ravel(), sides, 8 * np.finfo(np.float64).eps * np.abs(cost).max() / STEP)
    if at is not None:
        expected = f"the derivative of value: {sides[:, at].mean():.6g} at a = {a.flat[at]:.4g}, y = {y.flat[at]:.4g}"
        raise fault("slope(a, y) of your loss", f"{expected}, by differences", f"{slope.flat[at]:.6g}")


def _worst(slope: Array, sides: Array, rounding: float) -> int | None:
    """Return where slopes (n,) are farthest outside of the differences (2, n) to both sides; None where none is."""
    tolerance = 1e-4 * (1.0 + np.abs(sides).max(axis=0)) + rounding
    with np.errstate(invalid="ignore"):
        off = np.maximum(sides.min(axis=0) - tolerance - slope, slope - sides.max(axis=0) - tolerance)
    off = np.where(np.isnan(off), -np.inf, off)  # beyond what f or the loss is defined for
    return int(off.argmax()) if off.max() > 0 else None
