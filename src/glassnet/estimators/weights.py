"""`coefs_` and `intercepts_`: lists of views of theta that can be assigned to, as a whole or layer by layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.network import Network

__all__ = ["Views", "given_weights"]


class Views(list[Array]):
    """Views of theta, layer by layer; assigning to one writes into theta.

    Raises GlassnetError for an array of another shape: the network stays as it is.

    >>> theta = np.zeros(3)
    >>> views = Views("intercepts_", [theta[:1], theta[1:]])
    >>> views[1] = [2.0, 3.0]
    >>> theta
    array([0., 2., 3.])
    """

    def __init__(self, name: str, views: Iterable[Array]) -> None:
        super().__init__(views)
        self.name = name

    def __setitem__(self, layer: Any, value: Any) -> None:
        if isinstance(layer, slice):
            self.assign(range(len(self))[layer], value)
        else:
            self.assign([range(len(self))[layer]], [value])

    def assign(self, layers: Sequence[int], values: Sequence[Any]) -> None:
        """Write one array into each of these layers, after all have been checked."""
        if len(values) != len(layers):
            raise fault(self.name, f"{len(layers)} arrays, one a layer", len(values))
        arrays = [np.asarray(value) for value in values]
        for layer, array in zip(layers, arrays, strict=True):
            if array.shape != self[layer].shape:
                remedy = "Another network? Set hidden_layer_sizes and fit."
                raise fault(f"{self.name}[{layer}]", f"of shape {self[layer].shape}", array.shape, remedy)
        for layer, array in zip(layers, arrays, strict=True):
            self[layer][...] = array


def given_weights(net: Network, theta: Array, given: dict[str, list[Any]]) -> Array:
    """Return theta (P,) with the weights that were assigned before the first fit in their places."""
    theta = theta.copy()
    layers = net.split(theta)
    for name, key in (("coefs_", "W"), ("intercepts_", "b")):
        if name in given:
            views = Views(name, [layer[key] for layer in layers if key in layer])
            views.assign(range(len(views)), given[name])
    return theta
