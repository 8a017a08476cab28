"""Layout: {name: shape} <-> slices of one flat vector.

It knows no layers, so that anything can be laid out: a network's weights, running statistics, or u0 and z0 of a PDE.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault
from glassnet.records import Record

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout(Record):
    """Names and shapes of arrays that live one after the other in a vector (P,).

    >>> layout = Layout((("W", (2, 3)), ("b", (3,))))
    >>> layout.size
    9
    >>> theta = np.zeros(9)
    >>> layout.views(theta)["b"][:] = 1.0
    >>> theta
    array([0., 0., 0., 0., 0., 0., 1., 1., 1.])
    """

    shapes: tuple[tuple[str, tuple[int, ...]], ...]

    def __post_init__(self) -> None:
        if len(self.names) != len(set(self.names)):
            raise fault("names of a Layout", "different from each other", self.names)

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the order of the vector."""
        return tuple(name for name, _ in self.shapes)

    @cached_property
    def slices(self) -> Mapping[str, slice]:
        """Name -> the part of the vector that holds it."""
        slices, start = {}, 0
        for name, shape in self.shapes:
            slices[name] = slice(start, start + prod(shape))
            start += prod(shape)
        return slices

    @cached_property
    def size(self) -> int:
        """P, the length of the vector."""
        return sum(prod(shape) for _, shape in self.shapes)

    def views(self, theta: Array) -> dict[str, Array]:
        """Return {name: view}: theta (..., P) gives arrays (..., *shape) that share its memory.

        Raises GlassnetError where theta has another length.
        """
        if theta.ndim == 0 or theta.shape[-1] != self.size:
            raise fault("theta", f"(..., {self.size})", theta.shape)
        lead, slices = theta.shape[:-1], self.slices
        return {name: theta[..., slices[name]].reshape(lead + shape) for name, shape in self.shapes}

    def pack(self, arrays: Mapping[str, npt.ArrayLike], dtype: npt.DTypeLike = np.float64) -> Array:
        """Return the vector (P,) that holds the arrays; the inverse of `views`.

        Raises GlassnetError where a name is missing or unknown, or a shape differs.
        """
        missing, unknown = set(self.names) - set(arrays), set(arrays) - set(self.names)
        if missing or unknown:
            raise GlassnetError(
                f"arrays must be named {', '.join(self.names)}; "
                f"missing: {sorted(missing) or 'none'}, unknown: {sorted(unknown) or 'none'}."
            )
        theta = np.empty(self.size, dtype)
        for name, view in self.views(theta).items():
            array = np.asarray(arrays[name])
            if array.shape != view.shape:
                raise fault(name, view.shape.__str__(), array.shape)
            view[...] = array
        return theta

    def mask(self, names: Iterable[str]) -> npt.NDArray[np.bool_]:
        """Return booleans (P,) that are True at the entries of the given names."""
        mask = np.zeros(self.size, np.bool_)
        for name in names:
            mask[self.slices[name]] = True
        return mask
