"""From the shapes of arrays to layers: every way in which they can form a dense network from d inputs on.

Weights may be (n_in, n_out) or (n_out, n_in), biases (n,), (1, n), (n, 1), a row of the weights, or absent.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from glassnet.arrays import Array

__all__ = ["Slot", "as_inputs", "as_targets", "chains", "layouts"]

Shapes = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Slot:
    """Where the weights and the bias of one layer lie among the arrays.

    `weight` and `bias` are places; bias None means none, or the "first" or "last" row of the weights (`within`).
    `turned`: the weights are (n_out, n_in).
    """

    weight: int
    bias: int | None
    within: str
    turned: bool

    def read(self, arrays: Sequence[Array]) -> tuple[Array, Array]:
        """Return W (n_in, n_out) and b (n_out,)."""
        array = arrays[self.weight]
        W = array.reshape(-1, 1) if array.ndim == 1 else array.T if self.turned else array
        if self.within:
            row, rest = (0, slice(1, None)) if self.within == "first" else (-1, slice(None, -1))
            return W[rest], W[row]
        return W, np.zeros(W.shape[1]) if self.bias is None else arrays[self.bias].ravel()

    def write(self, dW: Array, db: Array, shape: tuple[int, ...]) -> Array:
        """Return what belongs into the array of weights of this shape, from dW (n_in, n_out) and db (n_out,)."""
        if self.within:
            dW = np.vstack([db, dW] if self.within == "first" else [dW, db])
        return (dW.T if self.turned and len(shape) == 2 else dW).reshape(shape)


def chains(shapes: Shapes, d: int, turned: bool) -> Iterator[tuple[int, tuple[Slot, ...]]]:
    """Go through (k, slots): the ways in which arrays of these shapes form layers, from d inputs to k outputs.

    >>> next(chains([(3, 4), (4,), (4, 2), (2,)], 3, turned=False))[0]
    2
    """

    def grow(n: int, unused: tuple[int, ...], slots: tuple[Slot, ...]) -> Iterator[tuple[int, tuple[Slot, ...]]]:
        if not unused and slots:
            yield n, slots
        for w in unused:
            rest = tuple(i for i in unused if i != w)
            for within, q in _outputs(shapes[w], n, turned):
                biases: list[int | None] = [i for i in rest if not within and _is_bias(shapes[i], q)]
                for bias in [*biases, None]:
                    left = tuple(i for i in rest if i != bias)
                    yield from grow(q, left, (*slots, Slot(w, bias, within, turned)))

    yield from grow(d, tuple(range(len(shapes))), ())


def _outputs(shape: tuple[int, ...], n: int, turned: bool) -> Iterator[tuple[str, int]]:
    if len(shape) == 1 and shape[0] == n:
        yield "", 1
    if len(shape) == 2:
        rows, q = shape[::-1] if turned else shape
        if rows == n:
            yield "", q
        if rows == n + 1:
            yield "first", q
            yield "last", q


def _is_bias(shape: tuple[int, ...], q: int) -> bool:
    return int(np.prod(shape)) == q and (len(shape) < 2 or (len(shape) == 2 and 1 in shape))


def layouts(size: int, d: int, k: int) -> Iterator[Mapping[str, tuple[int, ...]]]:
    """Go through the ways in which one vector of this size can hold networks with no, one or two hidden layers.

    Biases after each matrix, after all matrices, or as a row of each; matrices (n_in, n_out) or (n_out, n_in).

    >>> next(layouts(26, 3, 2))
    {'W1': (3, 4), 'b1': (4,), 'W2': (4, 2), 'b2': (2,)}
    """
    for sizes in _sizes(size, d, k):
        pairs = list(itertools.pairwise(sizes))
        for turned in (False, True):
            W = {f"W{l}": pair[::-1] if turned else pair for l, pair in enumerate(pairs, 1)}
            b = {f"b{l}": (pair[1],) for l, pair in enumerate(pairs, 1)}
            yield {
                name: shape
                for l in range(1, len(sizes))
                for name, shape in ((f"W{l}", W[f"W{l}"]), (f"b{l}", b[f"b{l}"]))
            }
            yield {**W, **b}
            yield {f"W{l}": (q, n + 1) if turned else (n + 1, q) for l, (n, q) in enumerate(pairs, 1)}


def _sizes(size: int, d: int, k: int) -> Iterator[tuple[int, ...]]:
    """Go through the layers' sizes from d to k whose weights and biases are `size` numbers."""
    if (d + 1) * k == size:
        yield (d, k)
    if size > k and (size - k) % (d + 1 + k) == 0:
        yield (d, (size - k) // (d + 1 + k), k)
    for h in range(1, (size - k) // (d + 2) + 1):  # h (d + 1) + g (h + 1) + k (g + 1) = size
        g, rest = divmod(size - k - h * (d + 1), h + 1 + k)
        if rest == 0 and g >= 1:
            yield (d, h, g, k)


def as_inputs(array: Array, columns: bool) -> Array:
    """Return data as X (m, d); `columns`: the samples are columns."""
    if array.ndim == 1:
        return array[:, None]
    return array.T if columns else array


def as_targets(y: Array, columns: bool, m: int, k: int) -> Iterator[tuple[str, Array]]:
    """Go through what y can mean as targets (m, k): numbers as they are, or labels from 0 or from 1."""
    if y.ndim in (1, 2) and y.size == m * k:
        turned = y.T if columns and y.ndim == 2 else y
        if y.ndim == 1 or turned.shape == (m, k):
            yield "as it is", turned.reshape(m, k).astype(np.float64)
    if k > 1 and y.size == m and np.array_equal(y, np.round(y)):
        labels = y.ravel().astype(int)
        for start in (0, 1):
            if labels.min() >= start and labels.max() < k + start:
                yield f"labels from {start}", np.eye(k)[labels - start]
