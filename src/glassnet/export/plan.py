"""What leaves Python: a plan, plain steps one after the other, each with its numbers and its equation.

A network's prediction is such a plan, and so are the linear scaling before it and the probabilities behind it. The
writers (ONNX, C, NumPy) know these steps and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glassnet.activations import Activation, is_known
from glassnet.arrays import Array
from glassnet.errors import fault, type_fault
from glassnet.export.tracing import Node, trace
from glassnet.layers import LAYERS, BatchNorm, Dense, Dropout, Layer, LayerNorm
from glassnet.network import Network

__all__ = [
    "STEPS_OF", "Affine", "Apply", "Both", "Clip", "Fill", "Normalise", "Plan", "Rows", "Shares", "Softmax", "Squash",
    "Step", "equation", "network_steps", "normalise", "size_after",
]  # fmt: skip


@dataclass(frozen=True, eq=False)
class Affine:
    """z = a W + b

    W (n_in, n_out) and b (n_out,).
    """

    W: Array
    b: Array


@dataclass(frozen=True, eq=False)
class Normalise:
    """z = (a - centre) scale + shift

    All (n,): BatchNorm with its running statistics, and the linear scalers of scikit-learn.
    """

    centre: Array
    scale: Array
    shift: Array


@dataclass(frozen=True, eq=False)
class Rows:
    """z = gamma (a - mean a) / sqrt(var a + eps) + beta

    Mean and variance over each row: LayerNorm.
    """

    gamma: Array
    beta: Array
    eps: float


@dataclass(frozen=True, eq=False)
class Apply:
    """a = f(z)

    Element by element; `formula` is what f does, recorded.
    """

    activation: Activation
    formula: Node


@dataclass(frozen=True)
class Softmax:
    """a_i = exp(z_i - max z) / sum_j exp(z_j - max z)"""


@dataclass(frozen=True)
class Clip:
    """z = min(max(a, low), high)"""

    low: float
    high: float


@dataclass(frozen=True)
class Squash:
    """z = a / sqrt(1 + (a / limit)^2)

    Smoothly into (-limit, limit).
    """

    limit: float


@dataclass(frozen=True, eq=False)
class Fill:
    """a missing (NaN) a_i becomes fill_i

    Behind them comes a 1 for each a_i, i in `marked`, that was missing, else a 0.
    """

    fill: Array
    marked: tuple[int, ...]


@dataclass(frozen=True)
class Both:
    """(1 - p, p)

    From the one probability p.
    """


@dataclass(frozen=True)
class Shares:
    """a_i / sum_j a_j

    One against the rest, brought to the sum 1; a row of zeros stays.
    """


Step = Affine | Normalise | Rows | Apply | Softmax | Clip | Squash | Fill | Both | Shares


def equation(step: Step) -> str:
    """Return the equation of a step, on one line."""
    if isinstance(step, Apply):
        return f"a = {step.activation.equation or 'f(z)'}"
    return (type(step).__doc__ or "").partition("\n")[0]


Kind = Literal["network", "regressor", "classifier", "multilabel"]


@dataclass(frozen=True, eq=False)
class Plan:
    """The steps from `inputs` to `outputs` (names), in numbers of `dtype`.

    `classes` are the labels of a classifier, in the order of its probabilities.
    """

    steps: tuple[Step, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    dtype: np.dtype[Any]
    kind: Kind = "network"
    classes: tuple[Any, ...] = ()
    notes: tuple[str, ...] = ()
    """What a user must know of the inputs."""

    @property
    def sizes(self) -> tuple[int, ...]:
        """How many numbers a row holds before the first step, and after each."""
        sizes = [len(self.inputs)]
        for step in self.steps:
            sizes.append(size_after(step, sizes[-1]))
        return tuple(sizes)

    @property
    def output_name(self) -> str:
        """What the outputs are called together."""
        return "probabilities" if self.classes else "output"


def size_after(step: Step, size: int) -> int:
    """Return how many numbers a row of `size` holds after a step."""
    match step:
        case Affine(b=b):
            return len(b)
        case Fill(marked=marked):
            return size + len(marked)
        case Both():
            return 2
    return size


def normalise(mean: Array, scale: Array, shift: Array, dtype: npt.DTypeLike) -> Normalise:
    """Return (a - mean) scale + shift with the rounding of the mean made good by the shift.

    The centre is the mean in `dtype`. Taking it from an a nearby is exact (Sterbenz), so a column of years loses
    nothing in float32; folded into the weights, as W scale and b - mean scale W, it would.
    """
    mean, scale, shift = (np.asarray(array, np.float64) for array in (mean, scale, shift))
    centre = mean.astype(dtype)
    made_good = shift + (centre.astype(np.float64) - mean) * scale
    return Normalise(centre, scale.astype(dtype), made_good.astype(dtype))


def network_steps(net: Network, theta: Array, state: Array, dtype: npt.DTypeLike) -> tuple[Step, ...]:
    """Return the steps of a prediction; raises GlassnetError for layers and activations of your own that have none."""
    stats = net.state_layout.views(state)
    steps: list[Step] = []
    for l, (layer, own) in enumerate(zip(net.layers, net.split(theta), strict=True), 1):
        if type(layer) not in STEPS_OF:
            raise type_fault(f"layer {l}", f"one of {', '.join(LAYERS)} to be exported", repr(layer))
        measured = {name: stats[f"{name}{l}"] for name in layer.statistics(net.sizes[l - 1])}
        steps += STEPS_OF[type(layer)](layer, {**own, **measured}, np.dtype(dtype))
        steps += _activation(layer.function, np.dtype(dtype))
    return tuple(steps)


def _dense(layer: Dense, p: Mapping[str, Array], dtype: np.dtype[Any]) -> list[Step]:
    W = p["W"].astype(dtype)
    return [Affine(W, p["b"].astype(dtype) if layer.bias else np.zeros(layer.units, dtype))]


def _dropout(layer: Dropout, p: Mapping[str, Array], dtype: np.dtype[Any]) -> list[Step]:
    return []  # predictions are not touched


def _batch_norm(layer: BatchNorm, p: Mapping[str, Array], dtype: np.dtype[Any]) -> list[Step]:
    scale = p["gamma"].astype(np.float64) / np.sqrt(p["var"].astype(np.float64) + layer.eps)
    return [normalise(p["mean"], scale, p["beta"], dtype)]


def _layer_norm(layer: LayerNorm, p: Mapping[str, Array], dtype: np.dtype[Any]) -> list[Step]:
    return [Rows(p["gamma"].astype(dtype), p["beta"].astype(dtype), layer.eps)]


STEPS_OF: Mapping[type[Layer], Callable[[Any, Mapping[str, Array], np.dtype[Any]], list[Step]]] = {
    Dense: _dense,
    Dropout: _dropout,
    BatchNorm: _batch_norm,
    LayerNorm: _layer_norm,
}
"""Layer -> its steps."""


def _activation(function: Activation, dtype: np.dtype[Any]) -> list[Step]:
    if function.elementwise:
        return [] if function.name == "identity" and is_known(function) else [Apply(function, trace(function, dtype))]
    if is_known(function):
        return [Softmax()]
    raise fault(f"activation {function.name!r}", "element-wise, or softmax, to be exported", "a row-wise one")
