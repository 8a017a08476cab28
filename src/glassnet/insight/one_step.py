"""The numbers of one step of gradient descent: what explanations are written from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array, check_count
from glassnet.errors import fault, type_fault
from glassnet.insight.equations import activation_value, standard_loss
from glassnet.insight.exact import Exact, exactly, floats
from glassnet.insight.expressions import Derivative, Expr, Number, Symbol
from glassnet.insight.summary import deltas
from glassnet.layers import Dense
from glassnet.network import PREDICT, Network, Trace
from glassnet.objective import Objective

__all__ = ["Step", "take_step"]

WHOLE = 120
"""A network with at most so many parameters is explained in full."""
FEW = 3
"""Of larger ones so many units of each layer are chosen: those whose delta (input: whose value) is largest."""
MOST_ROWS = 4
"""Of more rows than this the first two are written out."""

FRACTIONS = ("identity", "relu", "leaky_relu")
"""Activations of fractions that are fractions."""
SYMBOLS = ("sigmoid", "tanh", "softmax", "exp", "softplus", "silu", "gelu", "mish")
"""Activations that stand as symbols, such as σ(3/4), in the midst of fractions."""
EXACT_LOSSES = (
    *("squared_error", "absolute_error", "huber", "quantile"),
    *("cross_entropy", "binary_cross_entropy"),
)


@dataclass(frozen=True)
class Step:
    """One step on given rows: all arrays hold floats, or `Exact` numbers where fractions were asked for.

    `z[l]` and `a[l]` (m, n) for the layers l = 0 ... L, `delta[l]` = dJ/dz for l = 1 ... L (none for 0),
    `gradient` (P,), `after` (P,) the parameters after the step, `costs` (m,) the loss of each row without the penalty.
    """

    objective: Objective
    theta: Array
    Y: Array
    learning_rate: Any
    z: tuple[Array, ...]
    a: tuple[Array, ...]
    delta: tuple[Array | None, ...]
    gradient: Array
    after: Array
    costs: Array
    loss: Any
    fractions: bool
    rows: tuple[int, ...]
    """The rows that are written out."""
    units: tuple[tuple[int, ...], ...]
    """The units that are written out, layer by layer, the inputs first."""

    @property
    def net(self) -> Network:
        """The network."""
        return self.objective.net

    @property
    def m(self) -> int:
        """How many rows there are."""
        return len(self.Y)

    def at(self, letter: str, layer: int, s: int, j: int) -> Symbol:
        """Return the symbol of unit j of a layer in row s: x[j], or x[s,j] where there are several rows."""
        index = (j,) if self.m == 1 else (s, j)
        if letter == "a" and layer == 0:
            return Symbol("x", None, index)
        return Symbol(letter, None if letter in "xy" else layer, index)

    def element(self, symbol: Symbol | Derivative) -> Any:
        """Return the number that a symbol stands for, as it stands in its array."""
        if isinstance(symbol, Derivative):
            by = symbol.by
            return self.net.views(self.gradient)[f"{by.letter}{by.layer}"][by.index]
        layer = symbol.layer or 0
        if symbol.letter in ("W", "b"):
            return self.net.views(self.theta)[f"{symbol.letter}{layer}"][symbol.index]
        if symbol.letter in ("J", "η"):
            return self.loss if symbol.letter == "J" else self.learning_rate
        if symbol.letter == "L":
            return self.costs[symbol.index or (0,)]
        arrays = {"x": self.a[0], "y": self.Y, "z": self.z[layer], "a": self.a[layer], "δ": self.delta[layer]}
        array = arrays[symbol.letter]
        assert array is not None
        return array[symbol.index if self.m > 1 else (0, *symbol.index)]

    def number(self, element: Any) -> Number:
        """Return an element of an array as a number to be written."""
        if not self.fractions:
            return Number(float(element))
        one = Exact.of(element)  # a ReLU that is off gives NumPy's own 0
        return Number(one.value, one.fraction)

    def constant(self, value: float) -> Number:
        """Return a number that does not depend on the step, as a fraction where fractions were asked for."""
        return self.number(Exact.of(value) if self.fractions else value)

    def known(self, symbol: Symbol | Derivative) -> Expr:
        """Return what to write for a symbol: its number, or what stands for one that is no fraction.

        An activation of a fraction is written as such, σ(3/4); any other number that is no fraction keeps its name.
        """
        element = self.element(symbol)
        if not self.fractions or Exact.of(element).fraction is not None:
            return self.number(element)
        if isinstance(symbol, Derivative):
            return replace(symbol, value=element.value)
        if symbol.letter == "a":
            function = self.net.layers[(symbol.layer or 1) - 1].function
            z = self.element(replace(symbol, letter="z"))
            if function.elementwise and isinstance(z, Exact) and z.fraction is not None:
                return activation_value(function, self.number(z))
        return replace(symbol, value=element.value)


def take_step(
    objective: Objective,
    theta: Array,
    X: npt.ArrayLike,
    Y: npt.ArrayLike,
    learning_rate: Any,
    units: Mapping[int, Sequence[int]] | None,
    fractions: bool,
) -> Step:
    """Return the numbers of the step theta - learning_rate * gradient; raises GlassnetError as `explain_step` does."""
    objective, net = replace(objective, engine="numpy"), objective.net
    _check_layers(net)
    theta = np.asarray(theta, dtype=np.float64)
    if theta.shape != (net.n_parameters,):
        raise fault("theta", f"({net.n_parameters},)", theta.shape, "Take net.init(rng=0).")
    if isinstance(learning_rate, bool) or not isinstance(learning_rate, Real):
        raise type_fault("learning_rate", "a positive number", repr(learning_rate), "For example 0.5.")
    if not 0 < float(learning_rate) < np.inf:
        raise fault("learning_rate", "positive", learning_rate)
    x, y = np.asarray(X), np.asarray(Y)
    if x.ndim == 2 and y.ndim == 1 and net.n_outputs == 1:
        y = y[:, None]  # one target a row
    rows, targets, _ = objective.check(_as_rows(x), _as_rows(y), stacks=False)
    rows, targets = rows.astype(np.float64), targets.astype(np.float64)
    rate: Any = float(learning_rate)
    if fractions:
        _check_fractions(objective)
        theta, rows, targets = exactly("theta", theta), exactly("x", rows), exactly("y", targets)
        rate = exactly("learning_rate", np.asarray(rate))[()]
    J, gradient, trace = objective.evaluate(theta, rows, targets, None, None, PREDICT, net.work(theta))
    delta = (None, *deltas(net, trace, objective.delta(trace, targets, None)))
    costs = np.array([objective.data_term(_row(trace, s), targets[s : s + 1], None)[()] for s in range(len(rows))])
    loss = np.asarray(J, dtype=object)[()]
    shown = _shown(net, trace, delta, units)
    count = len(rows) if len(rows) <= MOST_ROWS else 2
    return Step(
        objective, theta, targets, rate, trace.z, trace.a, delta, gradient, theta - gradient * rate, costs, loss,
        fractions, tuple(range(count)), shown,
    )  # fmt: skip


def _as_rows(array: Array) -> Array:
    """Return one sample (d,) as rows (1, d); a number is a sample of one."""
    return array.reshape(1, -1) if array.ndim < 2 else array


def _row(trace: Trace, s: int) -> Trace:
    return trace._replace(z=tuple(z[s : s + 1] for z in trace.z), a=tuple(a[s : s + 1] for a in trace.a))


def _check_layers(net: Network) -> None:
    for l, layer in enumerate(net.layers, 1):
        if not isinstance(layer, Dense):
            raise fault(f"layer {l}", "Dense: no other layer is explained", type(layer).__name__)
        if l < len(net.layers) and not layer.function.elementwise:
            raise fault(f"the activation of layer {l}", "element-wise below the output", layer.function.name)


def _check_fractions(objective: Objective) -> None:
    for l, layer in enumerate(objective.net.layers, 1):
        if layer.function.name not in (*FRACTIONS, *SYMBOLS):
            expected = f"one of {', '.join((*FRACTIONS, *SYMBOLS))} with fractions=True"
            raise fault(f"the activation of layer {l}", expected, layer.function.name)
    name = objective.loss_record.name
    if name not in EXACT_LOSSES or (standard_loss(objective) is None and not objective.loss_record.options):
        raise fault("the loss", f"one of {', '.join(EXACT_LOSSES)} with fractions=True", name)


def _shown(
    net: Network, trace: Trace, delta: Sequence[Array | None], units: Mapping[int, Sequence[int]] | None
) -> tuple[tuple[int, ...], ...]:
    """Return which units of each layer, the inputs first, are written out."""
    if unknown := set(units or {}) - set(range(len(net.sizes))):
        raise fault("units", f"layers from 0 (the inputs) to {len(net.layers)}", f"layer {min(unknown)}")
    shown = []
    for l, n in enumerate(net.sizes):
        if units is not None and l in units:
            shown.append(tuple(_unit(l, n, j) for j in units[l]))
            continue
        found = trace.a[0] if l == 0 else delta[l]
        assert found is not None
        size = np.abs(floats(found)).sum(axis=0)
        most = n if net.n_parameters <= WHOLE and units is None else FEW
        shown.append(tuple(sorted(np.argsort(-size, kind="stable")[:most].tolist())))
    return tuple(shown)


def _unit(layer: int, n: int, j: int) -> int:
    if check_count(f"units of layer {layer}", j, 0) >= n:
        raise fault(f"units of layer {layer}", f"from 0 to {n - 1}", j)
    return int(j)
