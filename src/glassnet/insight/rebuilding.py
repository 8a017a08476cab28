"""Which network is it? Found by testing: the dense network whose loss is the loss of somebody's function, to 1e-7.

The shapes of the arrays give chains of layers; activations and losses are tried until

    J(theta) = c sum_i loss_i + l2 |W|^2 + l1 |W|_1 + bias_l2 |b|^2

holds at several theta with the same coefficients, which least squares finds. Nothing is read from anybody's source.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from glassnet import activations, losses
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.insight.chains import Slot, as_inputs, as_targets, chains
from glassnet.losses import Loss

__all__ = ["Pass", "Rebuilt", "Terms", "rebuild", "refit"]

HIDDEN = ("sigmoid", "relu", "tanh", "identity", "leaky_relu", "softplus", "elu", "silu", "gelu", "selu", "mish")
MIXED = ("sigmoid", "relu", "tanh", "identity")
OUTPUTS = {
    "softmax": ("cross_entropy", "squared_error", "binary_cross_entropy"),
    "sigmoid": ("binary_cross_entropy", "squared_error", "cross_entropy", "absolute_error"),
    "identity": ("squared_error", "absolute_error", "huber"),
    "tanh": ("squared_error", "absolute_error"),
    "relu": ("squared_error", "absolute_error"),
    "exp": ("poisson", "squared_error"),
    "softplus": ("squared_error", "poisson"),
}
"""Output activation -> losses that are tried with it."""

LOSSES_TRIED = {name: losses.get(name) for names in OUTPUTS.values() for name in names}

FITS = 1e-7
"""The share of the loss's spread over the trial points that may stay unexplained."""

MOST_CHAINS = 16
SUBSETS = ((0,), (0, 1), (0, 1, 3), (0, 2), (0, 1, 2), (0, 1, 2, 3))
"""Which terms are tried: the fewest that fit are taken."""


@dataclass(frozen=True)
class Terms:
    """The coefficients of J on given data: c of the data term, l2, l1 and bias_l2 of the penalties."""

    c: float = 1.0
    l2: float = 0.0
    l1: float = 0.0
    bias_l2: float = 0.0


@dataclass(frozen=True)
class Pass:
    """A forward pass: z[l] and a[l] (m, n_l) with a[0] = z[0] = X; W[l - 1] and b[l - 1] of layer l."""

    z: tuple[Array, ...]
    a: tuple[Array, ...]
    W: tuple[Array, ...]
    b: tuple[Array, ...]


@dataclass(frozen=True)
class Rebuilt:
    """A network that computes the user's loss. `columns`: samples are columns; x, y: which data are X and Y."""

    slots: tuple[Slot, ...]
    functions: tuple[Activation, ...]
    loss: Loss
    columns: bool
    x: int
    y: int
    coded: str
    n_outputs: int
    terms: Terms = Terms()

    def read(self, data: Sequence[Any]) -> tuple[Array, Array]:
        """Return X (m, d) and Y (m, k)."""
        X = as_inputs(np.asarray(data[self.x], dtype=np.float64), self.columns)
        y = np.asarray(data[self.y])
        return X, dict(as_targets(y, self.columns, len(X), self.n_outputs))[self.coded]

    def forward(self, arrays: Sequence[Array], X: Array) -> Pass:
        """Carry X (m, d) through the network."""
        z, a = [X], [X]
        W, b = zip(*(slot.read(arrays) for slot in self.slots), strict=True)
        for Wl, bl, f in zip(W, b, self.functions, strict=True):
            z.append(a[-1] @ Wl + bl)
            a.append(f.f(z[-1]))
        return Pass(tuple(z), tuple(a), W, b)

    def sizes(self, arrays: Sequence[Array]) -> list[int]:
        """Return the number of inputs and of the units of each layer."""
        W = [slot.read(arrays)[0] for slot in self.slots]
        return [W[0].shape[0], *(w.shape[1] for w in W)]

    @property
    def matched(self) -> bool:
        """Whether loss and output belong together, so that delta = a - y."""
        return self.loss.matched is not None and self.loss.matched.activation == self.functions[-1].name

    def cost(self, z: Array, a: Array, Y: Array) -> Array:
        """Return what each output costs (..., m, k)."""
        return cost_of(self.loss, self.functions[-1], z, a, Y)

    def delta(self, forward: Pass, Y: Array) -> Array:
        """Return d (sum_i loss_i) / dz of the output (m, k)."""
        z, a = forward.z[-1], forward.a[-1]
        if self.loss.matched is not None and self.matched:
            return self.loss.matched.delta(z, a, Y)
        return self.functions[-1].pullback(z, a, self.loss.slope(a, Y))

    def features(self, forward: Pass, Y: Array) -> Array:
        """Return (sum_i loss_i, |W|^2, |W|_1, |b|^2): what the coefficients of `Terms` multiply."""
        cost = self.cost(forward.z[-1], forward.a[-1], Y)
        W, b = np.concatenate([w.ravel() for w in forward.W]), np.concatenate(forward.b)
        return np.array([cost.sum(), W @ W, np.abs(W).sum(), b @ b])


def cost_of(loss: Loss, f: Activation, z: Array, a: Array, Y: Array) -> Array:
    """Return what each output a = f(z) costs (..., m, k): from z where loss and activation match."""
    matched = loss.matched is not None and loss.matched.activation == f.name
    return loss.matched.value(z, a, Y) if loss.matched is not None and matched else loss.value(a, Y)


def rebuild(
    trials: Sequence[Sequence[Array]], J: Array, data: Sequence[Any], axis: int | None, noise: float,
    thorough: bool = True,
) -> Rebuilt | None:  # fmt: skip
    """Return the network whose loss is J (t,) at the t trial points, or None where no known one is.

    `trials` are lists of arrays, at least seven; `axis` is the axis of the samples, None where it is not known;
    `noise` is how much rounding shakes J; `thorough` tries hidden layers with different activations too.
    """
    spread = float(np.ptp(J))
    if spread <= 100 * noise:
        return None
    most = FITS * spread + 30 * noise
    for base, Y, X in _architectures([array.shape for array in trials[0]], data, axis):
        layers = [_stacked(slot, trials) for slot in base.slots]
        penalties = _penalties(layers)
        fits = _quick(penalties, J, 100 * most)
        for guesses, costs in _guesses(base, layers, X, Y, thorough):
            for i in np.flatnonzero(fits(costs)):
                terms = _fit(np.column_stack([costs[i], penalties]), J, most)
                if terms is not None:
                    functions, loss = guesses[i]
                    return replace(base, functions=functions, loss=loss, terms=terms)
    return None


def _stacked(slot: Slot, trials: Sequence[Sequence[Array]]) -> tuple[Array, Array]:
    """Return W (t, n_in, n_out) and b (t, 1, n_out) of a layer at all trial points."""
    W, b = zip(*(slot.read(arrays) for arrays in trials), strict=True)
    return np.stack(W), np.stack(b)[:, None, :]


def _penalties(layers: Sequence[tuple[Array, Array]]) -> Array:
    """Return (|W|^2, |W|_1, |b|^2) at the trial points (t, 3)."""
    sums = [((W**2).sum(axis=(1, 2)), np.abs(W).sum(axis=(1, 2)), (b**2).sum(axis=(1, 2))) for W, b in layers]
    return np.asarray(np.sum(sums, axis=0).T)


def _quick(penalties: Array, J: Array, most: float) -> Callable[[Array], Array]:
    """Return a test whether costs (g, t) and any penalties may add up to J: what penalties cannot explain of both."""
    U, sizes, _ = np.linalg.svd(penalties / np.maximum(np.abs(penalties).max(axis=0), 1e-300), full_matrices=False)
    U = U[:, sizes > 1e-12 * sizes[0]]
    rest = J - U @ (U.T @ J)

    def fits(costs: Array) -> Array:
        finite = np.asarray(np.isfinite(costs).all(axis=1))
        costs = np.where(finite[:, None], costs, 0.0)
        with np.errstate(over="ignore"):  # a wrong guess may be huge
            own = costs - (costs @ U) @ U.T
            size = (own**2).sum(axis=1)
            finite &= np.isfinite(size)
            own = np.where(finite[:, None], own, 0.0)
        c = (own @ rest) / np.where(size > 0, size, 1.0)
        return np.asarray(finite & (size > 0) & (np.abs(rest - c[:, None] * own).max(axis=1) <= most))

    return fits


def _guesses(
    base: Rebuilt, layers: Sequence[tuple[Array, Array]], X: Array, Y: Array, thorough: bool
) -> Iterator[tuple[list[tuple[tuple[Activation, ...], Loss]], Array]]:
    """Go through ([(activations, loss), ...], sums of these losses over the samples at the trial points (g, t))."""
    W, b = layers[-1]
    suited = {name: loss for name, loss in LOSSES_TRIED.items() if _suits(loss, Y)}
    for hidden in _hidden(len(layers), thorough):
        inner = tuple(activations.get(name) for name in hidden)
        guesses, costs = [], []
        with np.errstate(all="ignore"):  # a wrong guess may overflow, and is then no fit
            a = X
            for (Wl, bl), f in zip(layers, inner, strict=False):
                a = f.f(a @ Wl + bl)
            z = a @ W + b
            for output, names in OUTPUTS.items():
                if output == "softmax" and base.n_outputs == 1:
                    continue
                f = activations.get(output)
                a = f.f(z)
                for name in names:
                    if name in suited:
                        guesses.append(((*inner, f), suited[name]))
                        costs.append(cost_of(suited[name], f, z, a, Y).sum(axis=(1, 2)))
        yield guesses, np.array(costs)


def _suits(loss: Loss, Y: Array) -> bool:
    return loss.targets == "real" or (Y.min() >= 0 and (loss.targets == "nonnegative" or Y.max() <= 1))


def _architectures(
    shapes: Sequence[tuple[int, ...]], data: Sequence[Any], axis: int | None
) -> Iterator[tuple[Rebuilt, Array, Array]]:
    """Go through (network without functions, Y, X) that have arrays of these shapes."""
    arrays = {i: np.asarray(d) for i, d in enumerate(data) if isinstance(d, np.ndarray | list | tuple)}
    arrays = {i: d for i, d in arrays.items() if d.dtype.kind in "fiub" and d.ndim in (1, 2) and d.size}
    places = list(arrays)[:3]
    pairs = [(x, y) for x in places[:2] for y in places if x != y] + [(x, x) for x in places[:1]]
    for (x, y), columns in itertools.product(pairs, (False, True)):
        if axis is not None and columns != (axis == -1):
            continue
        X = as_inputs(arrays[x].astype(np.float64), columns)
        both = zip_fair(chains(shapes, X.shape[1], False), chains(shapes, X.shape[1], True))
        for k, slots in itertools.islice(both, MOST_CHAINS):
            for coded, Y in as_targets(arrays[y], columns, len(X), k):
                yield Rebuilt(slots, (), losses.get("squared_error"), columns, x, y, coded, k), Y, X


def zip_fair(*iterators: Iterator[Any]) -> Iterator[Any]:
    """Take in turns from all.

    >>> list(zip_fair(iter("ab"), iter("xyz")))
    ['a', 'x', 'b', 'y', 'z']
    """
    nothing = object()
    rows = itertools.zip_longest(*iterators, fillvalue=nothing)
    return (item for row in rows for item in row if item is not nothing)


def _hidden(n_layers: int, thorough: bool) -> Iterator[tuple[str, ...]]:
    """Go through hidden activations: one for all layers, then mixed if `thorough`."""
    if n_layers == 1:
        yield ()
        return
    yield from ((name,) * (n_layers - 1) for name in HIDDEN)
    if thorough and n_layers == 3:
        yield from itertools.permutations(MIXED, 2)


def _fit(features: Array, J: Array, most: float) -> Terms | None:
    """Return the coefficients with which the features (t, 4) make J (t,) up to `most`, the fewest that do."""
    if not np.isfinite(features).all() or np.abs(features[:, 0]).max() == 0:
        return None
    if _misses(features, J, range(4)) > most:
        return None
    for chosen in SUBSETS:
        if _misses(features, J, chosen) <= most:
            found = np.zeros(4)
            found[list(chosen)] = _solve(features[:, chosen], J)
            return Terms(*(float(x) for x in found)) if found[0] else None
    return None


def _solve(features: Array, J: Array) -> Array:
    scale = np.abs(features).max(axis=0)
    scale[scale == 0] = 1.0
    return np.asarray(np.linalg.lstsq(features / scale, J, rcond=None)[0] / scale)


def _misses(features: Array, J: Array, chosen: Sequence[int]) -> float:
    own = features[:, list(chosen)]
    return float(np.abs(own @ _solve(own, J) - J).max())


def refit(net: Rebuilt, trials: Sequence[Sequence[Array]], J: Array, data: Sequence[Any], noise: float) -> Terms | None:
    """Return the coefficients on other data, where the loss at the trial points is J (t,); None where they differ."""
    X, Y = net.read(data)
    features = np.array([net.features(net.forward(arrays, X), Y) for arrays in trials])
    return _fit(features, J, FITS * float(np.ptp(J)) + 30 * noise)
