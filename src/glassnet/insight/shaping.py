"""Gradients that do not have the shape of their parameter: what the shape alone says, and how to judge the rest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from glassnet.arrays import Array
from glassnet.insight.judging import Point
from glassnet.insight.samples import Samples

__all__ = ["Shaped", "shaped"]


@dataclass(frozen=True)
class Shaped:
    """`points` with gradients in the parameters' shapes (None where that cannot be), and `codes` of each array."""

    points: tuple[Point, ...]
    codes: tuple[tuple[str, ...], ...]

    def closed(self, j: int) -> bool:
        """Whether nothing more can be said about array j than its shape says."""
        return any(point.grads[j] is None for point in self.points)


def shaped(points: Sequence[Point], truths: Sequence[Sequence[Array]], samples: Samples | None) -> Shaped:
    """Return the points with gradients that fit their parameters; truths hold the right ones (NaN: not measured)."""
    codes, columns = [], []
    for j in range(len(points[0].arrays)):
        given = [point.grads[j] for point in points]
        found = [_one(g, point, j, [t[i] for i in range(len(t))], samples)
                 for g, point, t in zip(given, points, truths, strict=True)]  # fmt: skip
        first = next((code for _, code in found if code), ())
        codes.append(first)
        columns.append([g for g, _ in found])
    grads = list(zip(*columns, strict=True))
    return Shaped(tuple(replace(p, grads=tuple(g)) for p, g in zip(points, grads, strict=True)), tuple(codes))


def _one(
    g: Array | None, point: Point, j: int, truth: Sequence[Array], samples: Samples | None
) -> tuple[Array | None, tuple[str, ...]]:
    """Return the gradient in the parameter's shape, or None, and what its own shape says."""
    if g is None:
        return None, ("missing",)
    if not np.isfinite(g).all():
        return None, ("non_finite",)
    shape = point.arrays[j].shape
    n, m = point.arrays[j].size, point.m
    if (1,) * (len(shape) - g.ndim) + g.shape == shape or g.size == n == 1:  # as broadcasting sees it
        return g.reshape(shape), ()
    other = _swapped(g, j, truth)
    if other:
        return None, ("swapped",)
    if g.ndim == 2 and g.shape == shape[::-1] and min(shape) > 1:
        return g.T, ("transposed",)
    if g.size == n and (g.ndim == 1 or [s for s in g.shape if s > 1] == [s for s in shape if s > 1]):
        return g.reshape(shape), ("wrong_shape",)
    if max(shape, default=1) == n:  # a bias
        axis = _sample_axis(g, n, m, samples)
        if axis is not None:
            return g.sum(axis=axis).reshape(shape), ("bias_not_summed",)
        if g.size == 1:
            return np.full(shape, float(g.ravel()[0])), ()
        if samples is not None and g.size == m:
            return None, ("summed_over_units",)
    return None, ("shape_unknown",)


def _sample_axis(g: Array, n: int, m: int, samples: Samples | None) -> int | None:
    if n == 1 and samples is not None and g.size == m and g.ndim <= 2:
        return None if g.ndim == 1 and m == 1 else int(np.argmax(g.shape))
    if g.ndim != 2:
        return None
    if samples is not None and g.shape == (m, m):
        return 0 if samples.axis == 0 else 1
    for axis in (0, 1):
        if g.shape[1 - axis] == n and (samples is None or g.shape[axis] == m):
            return axis
    return None


def _swapped(g: Array, j: int, truth: Sequence[Array]) -> bool:
    """Whether g is, up to a factor, the right gradient of another array of its shape."""
    for i, other in enumerate(truth):
        keep = np.isfinite(other)
        if i == j or other.shape != g.shape or keep.sum() < 3:
            continue
        ours, theirs = g[keep], other[keep]
        c = float(ours @ theirs) / max(float(theirs @ theirs), 1e-300)
        if c and np.abs(ours - c * theirs).max() <= 1e-5 * max(np.abs(ours).max(), 1e-300):
            return True
    return False
