"""The reference engine: the equations in NumPy, short and obvious.

Forward:   z_l = layer_l(a_{l-1}),  a_l = f_l(z_l)                       (Network.trace)
Backward:  dA_{l-1}, gradients of layer l = layer_l.backward(dZ_l)       (layers.py, equation by equation)
           dZ_{l-1} = dA_{l-1} * f'_{l-1}(z_{l-1})
"""

from __future__ import annotations

import numpy as np

from glassnet.arrays import Array
from glassnet.layers import Mode
from glassnet.network import PREDICT, Network, Trace, Work

__all__ = ["ReferenceEngine"]


class ReferenceEngine:
    """Plain NumPy, for any dtype, complex numbers included: what the other engines are measured against."""

    name = "numpy"

    def forward(
        self, net: Network, theta: Array, X: Array, state: Array | None, mode: Mode, work: Work | None = None
    ) -> Trace:
        """Return every z and a."""
        return net.trace(theta, X, state, mode, work)

    def backward(self, net: Network, trace: Trace, dZ: Array, work: Work | None = None) -> Array:
        """Return dL/dtheta (..., P): the chain rule from the last layer to the first."""
        if work is None:
            grad = np.empty((*dZ.shape[:-2], net.n_parameters), dZ.dtype)
            grads = net.split(grad)
        else:
            grad, grads = work.grad, work.grads
        for l in range(len(net.layers), 0, -1):
            p, cache, A = trace.parameters[l - 1], trace.caches[l - 1], trace.a[l - 1]
            dA = net.layers[l - 1].backward(p, A, cache, dZ, grads[l - 1], wants_dA=l > 1)
            if l > 1:
                dZ = net.layers[l - 2].function.pullback(trace.z[l - 1], A, dA)
        return grad

    def jacobian(self, net: Network, theta: Array, X: Array, state: Array | None) -> Array:
        """Return J (m, k, P): each row of X is made a network of its own in a stack of m, so gradients stay apart."""
        m = len(X)
        stack = np.broadcast_to(theta, (m, *np.shape(theta)))
        trace = self.forward(net, stack, X[:, None, :], state, PREDICT)
        J = np.empty((m, net.n_outputs, net.n_parameters), trace.output.dtype)
        for j in range(net.n_outputs):
            dA = np.zeros_like(trace.output)
            dA[..., j] = 1.0
            J[:, j] = self.backward(net, trace, net.layers[-1].function.pullback(trace.z[-1], trace.a[-1], dA))
        return J
