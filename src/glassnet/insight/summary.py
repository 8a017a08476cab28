"""A network in tables: what its layers are, and what flows through them on given rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, as_floats
from glassnet.errors import fault
from glassnet.layers import BatchNorm, Dropout, Layer, LayerNorm
from glassnet.network import PREDICT, Network, Trace
from glassnet.objective import Objective

__all__ = ["LayerRow", "LayerStatistics", "TargetRow", "deltas", "layer_statistics", "layer_table", "target_table"]

BINS = 30


@dataclass(frozen=True)
class LayerRow:
    """One layer as a row of a table: `weights` is text such as "W 64×50, b 50", `flop` is for one sample."""

    number: int
    kind: str
    units: int
    activation: str
    weights: str
    parameters: int
    flop: int


def layer_table(net: Network) -> tuple[LayerRow, ...]:
    """Return one row for each layer, counted from 1.

    Floating-point operations for predicting one sample, the activation function not counted:

        Dense       2 n_in n_out, a product and a sum for each weight; n_out more for the biases
        BatchNorm   4 n: subtract, scale, times gamma, plus beta
        LayerNorm   8 n: the same, and 2 n each for mean and variance
        Dropout     0: it does nothing in a prediction
        your own    2 for each parameter, 1 for a bias b

    >>> from glassnet import Dense
    >>> layer_table(Network(64, [Dense(50, "relu")]))[0].flop
    6450
    """
    rows = []
    for l, (layer, n_in, n_out) in enumerate(zip(net.layers, net.sizes[:-1], net.sizes[1:], strict=True), 1):
        shapes = layer.parameters(n_in)
        rows.append(
            LayerRow(
                number=l,
                kind=type(layer).__name__,
                units=n_out,
                activation=layer.function.name,
                weights=", ".join(f"{name} {'×'.join(map(str, shape))}" for name, shape in shapes.items()),
                parameters=sum(int(np.prod(shape)) for shape in shapes.values()),
                flop=_flop(layer, n_in, n_out),
            )
        )
    return tuple(rows)


def _flop(layer: Layer, n_in: int, n_out: int) -> int:
    if isinstance(layer, Dropout):
        return 0
    if isinstance(layer, BatchNorm | LayerNorm):
        return (4 if isinstance(layer, BatchNorm) else 8) * n_out
    # A weight costs a product and a sum, a bias only a sum: Dense is 2 n_in n_out + n_out.
    return sum(int(np.prod(shape)) * (1 if name == "b" else 2) for name, shape in layer.parameters(n_in).items())


@dataclass(frozen=True)
class LayerStatistics:
    """What flows through one layer, over all given rows and all its units.

    z_mean, z_std     mean and standard deviation of the pre-activations
    a_mean, a_std     the same of the activations
    dead              share of units whose activation is exactly 0 on every row (a ReLU that never opens)
    saturated         share of activations on the flat ends: sigmoid below 0.01 or above 0.99, tanh beyond +-0.99;
                      None for other functions
    delta_rms         root mean square of delta = dJ/dz; J is the mean over m rows, so it holds a factor 1/m:
                      compare layers, or runs on equally many rows
    gradient_rms      root mean square of dJ/dW, penalty included; None for a layer without weights W
    counts, edges     histogram of the activations: counts (b,), edges (b + 1,)
    """

    number: int
    kind: str
    units: int
    activation: str
    z_mean: float
    z_std: float
    a_mean: float
    a_std: float
    dead: float
    saturated: float | None
    delta_rms: float
    gradient_rms: float | None
    counts: tuple[int, ...]
    edges: tuple[float, ...]


ON_FLAT_ENDS: Mapping[str, Callable[[Array], Array]] = {
    "sigmoid": lambda a: (a < 0.01) | (a > 0.99),
    "tanh": lambda a: np.abs(a) > 0.99,
}
"""Activation -> where it hardly has a slope."""


def layer_statistics(
    objective: Objective, theta: Array, X: npt.ArrayLike, Y: npt.ArrayLike, state: Array | None = None
) -> tuple[LayerStatistics, ...]:
    """Return the statistics of the layers 1 ... L for theta (P,) on X (m, d) and targets Y (m, k), as in a prediction.

    `state` holds BatchNorm's running statistics. Raises GlassnetError for shapes that do not fit.

    >>> from glassnet import Dense
    >>> objective = Objective(Network(1, [Dense(2, "relu"), Dense(1)]), "squared_error")
    >>> theta = np.array([1.0, 1.0, 0.0, -9.0, 1.0, 1.0, 0.0])    # the second unit opens for x > 9 only
    >>> layer_statistics(objective, theta, [[1.0], [3.0]], [[0.0], [0.0]])[0].dead
    0.5
    """
    net, theta = objective.net, np.asarray(theta)
    if theta.shape != (net.n_parameters,):
        raise fault("theta", f"({net.n_parameters},)", theta.shape, "A stack? Take one network, theta[0].")
    rows, targets, _ = objective.check(X, Y)
    if rows.ndim != 2:
        raise fault("X", f"(m, {net.n_inputs})", rows.shape)
    trace = net.trace(theta, rows, state, PREDICT)
    gradients = net.split(objective.evaluate(theta, rows, targets, None, state, PREDICT)[1])
    of_layers = deltas(net, trace, objective.delta(trace, targets, None))
    return tuple(
        _statistics(l, layer, trace.z[l], trace.a[l], of_layers[l - 1], gradients[l - 1].get("W"))
        for l, layer in enumerate(net.layers, 1)
    )


def deltas(net: Network, trace: Trace, dZ: Array) -> list[Array]:
    """Return dJ/dz of the layers 1 ... L, from that of the last, `dZ`: walking back as the reference engine does."""
    found, unused = [dZ], net.split(np.empty(net.n_parameters, dZ.dtype))
    for l in range(len(net.layers), 1, -1):
        p, cache, A = trace.parameters[l - 1], trace.caches[l - 1], trace.a[l - 1]
        dA = net.layers[l - 1].backward(p, A, cache, found[-1], unused[l - 1])
        found.append(net.layers[l - 2].function.pullback(trace.z[l - 1], A, dA))
    return found[::-1]


def _statistics(l: int, layer: Layer, z: Array, a: Array, delta: Array, dW: Array | None) -> LayerStatistics:
    flat = ON_FLAT_ENDS.get(layer.function.name)
    counts, edges = _histogram(a.astype(np.float64))
    return LayerStatistics(
        number=l,
        kind=type(layer).__name__,
        units=a.shape[-1],
        activation=layer.function.name,
        z_mean=float(z.mean()),
        z_std=float(z.std()),
        a_mean=float(a.mean()),
        a_std=float(a.std()),
        dead=float((a == 0).all(axis=0).mean()),
        saturated=None if flat is None else float(flat(a).mean()),
        delta_rms=_rms(delta),
        gradient_rms=None if dW is None else _rms(dW),
        counts=tuple(counts.tolist()),
        edges=tuple(edges.tolist()),
    )


def _histogram(a: Array) -> tuple[Array, Array]:
    low, high = float(a.min()), float(a.max())
    if high - low < 1e-9 * max(abs(low), abs(high)):  # one value, up to rounding: too narrow to be cut into bins
        low, high = low - 0.5, high + 0.5
    return np.histogram(a, bins=BINS, range=(low, high))


def _rms(array: Array) -> float:
    return float(np.sqrt(np.mean(np.square(array, dtype=np.float64))))


@dataclass(frozen=True)
class TargetRow:
    """How well one target was predicted; `r2` is NaN where the target never varies."""

    name: str
    r2: float
    rmse: float
    mae: float


def target_table(y_true: npt.ArrayLike, y_pred: npt.ArrayLike, names: Sequence[str] = ()) -> tuple[TargetRow, ...]:
    """Return a row for each target, from y_true and y_pred, both (m,) or (m, k).

        R2 = 1 - sum (y - p)^2 / sum (y - mean y)^2,    RMSE = sqrt(mean (y - p)^2),    MAE = mean |y - p|

    RMSE and MAE are in the unit of the target. Raises GlassnetError where the shapes differ.

    >>> target_table([1.0, 2.0, 3.0], [1.0, 2.0, 4.0], ["price"])
    (TargetRow(name='price', r2=0.5, rmse=0.57735..., mae=0.33333...),)
    """
    true, predicted = as_floats("y_true", y_true), as_floats("y_pred", y_pred)
    if true.shape != predicted.shape or true.ndim not in (1, 2) or not true.size:
        raise fault("y_true and y_pred", "both (m,) or both (m, k)", f"{true.shape} and {predicted.shape}")
    true, error = true.reshape(len(true), -1), (predicted - true).reshape(len(true), -1)
    names = names or ([f"target {j}" for j in range(1, true.shape[1] + 1)] if true.shape[1] > 1 else ["target"])
    if len(names) != true.shape[1]:
        raise fault("names", f"{true.shape[1]}, one a target", len(names))
    rows = []
    for name, y, e in zip(names, true.T, error.T, strict=True):
        spread, squares = float(np.square(y - y.mean()).sum()), float(np.square(e).sum())
        r2 = 1.0 - squares / spread if spread else float("nan")
        rows.append(TargetRow(str(name), r2, float(np.sqrt(squares / len(y))), float(np.abs(e).mean())))
    return tuple(rows)
