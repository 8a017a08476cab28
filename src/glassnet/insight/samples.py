"""Which axis of somebody's data counts the samples? The one whose order does not matter to the loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from glassnet.arrays import Array

__all__ = ["Samples", "find_samples", "pairing_matters"]


@dataclass(frozen=True)
class Samples:
    """`m` samples along `axis` (0: rows, -1: columns) of those `data` that `holds` names; None: not found."""

    m: int
    axis: int
    holds: tuple[int, ...]

    def take(self, data: Sequence[Any], rows: Array) -> list[Any]:
        """Return the data of these samples alone."""
        return [
            np.take(d, rows, axis=_axis(d, self.axis)) if i in self.holds else d
            for i, d in enumerate(map(_plain, data))
        ]


def pairing_matters(loss: Callable[[Sequence[Any]], float | None], data: Sequence[Any], samples: Samples) -> bool:
    """Return whether the loss changes when the targets (the second data) are dealt out to other samples.

    It does not where outputs (m, 1) less targets (m,) became (m, m) by broadcasting. Where it does not change with the
    inputs either, nothing is known, and the answer is yes.

    >>> X, y = np.arange(3.0)[:, None], np.array([1.0, 4.0, 2.0])
    >>> samples = Samples(3, 0, (0, 1))
    >>> pairing_matters(lambda data: float(((data[0] - data[1]) ** 2).sum()), (X, y), samples)
    False
    """
    if len(samples.holds) < 2:
        return True
    moved = samples.take(data, np.roll(np.arange(samples.m), 1))
    which = samples.holds[1]
    if np.array_equal(moved[which], data[which]):
        return True
    alike = samples.take(data, np.zeros(samples.m, dtype=int))
    at = loss(list(data))

    def moves(other: Sequence[Any], place: int) -> bool:
        J = loss([other[i] if i == place else d for i, d in enumerate(data)])
        return at is None or J is None or abs(J - at) > 1e-9 * max(abs(at), 1e-300)

    return moves(moved, which) or not moves(alike, samples.holds[0])


def _plain(d: Any) -> Any:
    return np.asarray(d) if isinstance(d, list | tuple) and np.size(d) and np.asarray(d).dtype.kind in "fiub" else d


def _axis(d: Array, axis: int) -> int:
    return 0 if d.ndim == 1 else axis


def find_samples(loss: Callable[[Sequence[Any]], float | None], data: Sequence[Any]) -> Samples | None:
    """Return the axis along which a permutation of all data leaves the loss as it is.

    `loss(data)` gives None where the function fails on such data. The first array of the data must have the axis.

    >>> X, y = np.arange(6.0).reshape(3, 2), np.array([1.0, 4.0, 2.0])
    >>> find_samples(lambda data: float(((data[0] @ [1.0, -2.0] - data[1]) ** 2).sum()), (X, y))
    Samples(m=3, axis=0, holds=(0, 1))
    """
    arrays = [d if isinstance(d, np.ndarray) else np.empty(()) for d in map(_plain, data)]
    first = next((d for d in arrays if d.ndim), None)
    at = loss(list(data))
    if first is None or at is None:
        return None
    for axis in (0, -1) if first.ndim > 1 else (0,):
        m = first.shape[axis]
        holds = tuple(i for i, d in enumerate(arrays) if d.ndim and d.shape[_axis(d, axis)] == m)
        samples = Samples(m, axis, holds)
        orders = (np.arange(m)[::-1], np.roll(np.arange(m), 1))
        moved = [loss(samples.take(data, order)) for order in orders]
        if m > 1 and all(J is not None and abs(J - at) <= 1e-9 * max(abs(at), 1e-300) for J in moved):
            return samples
    return None
