"""What an engine is: three functions that evaluate a network. Losses, penalties and the loop stay outside."""

from __future__ import annotations

from typing import Protocol

from glassnet.arrays import Array
from glassnet.layers import Mode
from glassnet.network import Network, Trace, Work

__all__ = ["Engine"]


class Engine(Protocol):
    """An engine evaluates networks; all engines agree to rounding."""

    @property
    def name(self) -> str:
        """The name that `get_engine` knows it by."""

    def forward(
        self, net: Network, theta: Array, X: Array, state: Array | None, mode: Mode, work: Work | None = None
    ) -> Trace:
        """Return every z and a for X (..., m, d) and theta (..., P)."""

    def backward(self, net: Network, trace: Trace, dZ: Array, work: Work | None = None) -> Array:
        """Return dL/dtheta (..., P) from dZ = dL/dz_L (..., m, k); with `work`, in its memory."""

    def jacobian(self, net: Network, theta: Array, X: Array, state: Array | None) -> Array:
        """Return the derivatives of the outputs by the parameters, (m, k, P), in predicting mode."""
