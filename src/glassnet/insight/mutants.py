"""Wrong backpropagation, made on purpose: what each known mistake would give for a network that is known.

    right:  delta_L = dJ/dz_L     delta_l = (delta_{l+1} W_{l+1}^T) * f'(z_l)
            dW_l = a_{l-1}^T delta_l     db_l = sum of delta_l over the samples

Each function returns {code: array}; the code "" is the right one. Rows are samples, weights are (n_in, n_out).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from glassnet import activations
from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.insight.rebuilding import Pass, Rebuilt

__all__ = ["bias_products", "hidden_deltas", "mixed_products", "output_deltas", "weight_products"]

OTHERS = ("sigmoid", "tanh", "relu")
BY_VALUE = ("sigmoid", "tanh", "elu", "selu")
"""Functions whose derivative is written in terms of a, so that z may be put there by mistake."""


def output_deltas(net: Rebuilt, forward: Pass, Y: Array, c: float) -> Mapping[str, Array]:
    """Return what delta of the output layer can be, from the coefficient c of the loss."""
    z, a, f = forward.z[-1], forward.a[-1], net.functions[-1]
    right = c * net.delta(forward, Y)
    found = {"": right}
    if f.name != "identity":
        slope = c * (a - Y if net.loss.name == "squared_error" else net.loss.slope(a, Y))
        found["missing_derivative"] = slope
        if f.elementwise:
            if net.matched:
                found["extra_derivative"] = right * f.df(z, a)
            found |= _derivatives(f, z, a, slope)
        else:
            found["softmax_twice"] = f.pullback(z, a, right)
            found["softmax_twice "] = right * a * (1.0 - a)
            found["softmax_diagonal"] = slope * a * (1.0 - a)
    else:
        found |= {f"extra_derivative {n}": right * _df(activations.get(n), z) for n in OTHERS}
        found["extra_derivative a"] = right * a * (1.0 - a)
        found["extra_derivative 1-a^2"] = right * (1.0 - a * a)
    found["another_loss"] = c * f.pullback(z, a, a - Y)
    found["another_loss matched"] = c * (a - Y)
    found["targets_missing"] = c * a
    return found


def _df(f: Activation, z: Array) -> Array:
    return f.df(z, f.f(z))


def _derivatives(f: Activation, z: Array, a: Array, dA: Array) -> dict[str, Array]:
    found = {"derivative_at_a": dA * f.df(a, f.f(a)), "derivative_twice": dA * f.df(z, a) ** 2}
    if f.name in BY_VALUE:
        found["derivative_at_z"] = dA * f.df(z, z)
        found["activation_for_derivative"] = dA * a
    if f.name == "relu":
        found["derivative_inverted"] = dA * (z <= 0)
        found["activation_for_derivative"] = dA * a
    found |= {f"wrong_derivative {n}": dA * _df(activations.get(n), z) for n in OTHERS if n != f.name}
    if f.name != "sigmoid":
        found["wrong_derivative a(1-a)"] = dA * a * (1.0 - a)
    if f.name != "tanh":
        found["wrong_derivative 1-a^2"] = dA * (1.0 - a * a)
    return found


def hidden_deltas(net: Rebuilt, forward: Pass, l: int, after: Array) -> Mapping[str, Array]:
    """Return what delta of hidden layer l can be, from delta of the layer after it."""
    z, a, f, W, n = forward.z[l], forward.a[l], net.functions[l - 1], forward.W[l], forward.W[l].shape[0]
    dA, slope = after @ W.T, f.df(z, a)
    found = {"": dA * slope}
    if f.name != "identity":
        found["missing_derivative"] = dA
        found |= _derivatives(f, z, a, dA)
    for j in range(1, len(net.functions) + 1):
        if j != l and forward.z[j].shape == z.shape and net.functions[j - 1].elementwise:
            found[f"derivative_of_layer {j}"] = dA * net.functions[j - 1].df(forward.z[j], forward.a[j])
    if l > 1 and forward.a[l - 1].shape == a.shape:
        found[f"derivative_of_layer {l - 1} values"] = dA * f.df(forward.z[l - 1], forward.a[l - 1])
    if W.shape[0] == W.shape[1]:
        found["weights_not_transposed"] = (after @ W) * slope
        found["weights_left_out"] = after * slope
    found["weights_reshaped"] = (after @ W.reshape(W.shape[1], n)) * slope
    found["weights_reshaped "] = (after @ np.ascontiguousarray(W.T).reshape(n, W.shape[1]).T) * slope
    for j, other in enumerate(forward.W, 1):
        if j != l + 1 and other.shape == W.shape:
            found[f"weights_of_layer {j}"] = (after @ other.T) * slope
    return found


def mixed_products(A: Array, delta: Array) -> list[Array]:
    """Return what A^T delta becomes where samples are mixed, from inputs A (m, n) and delta (m, q)."""
    (m, n), q = A.shape, delta.shape[1]
    AT, DT = np.ascontiguousarray(A.T), np.ascontiguousarray(delta.T)
    mixed = [A.reshape(n, m) @ delta, (delta.reshape(q, m) @ A).T, AT.reshape(m, n).T @ delta, A.T @ DT.reshape(m, q)]
    if m == n:
        mixed.append(A @ delta)
    if m == q:
        mixed.append(A.T @ delta.T)
    return mixed


def weight_products(forward: Pass, l: int, delta: Array, others: Mapping[int, Array]) -> Mapping[str, Array]:
    """Return what dW of layer l can be, from delta (m, n_out); `others` are the right deltas of other layers."""
    A = forward.a[l - 1]
    found = {"": A.T @ delta}
    found["last_sample_only"] = A[-1:].T @ delta[-1:]
    found["first_sample_only"] = A[:1].T @ delta[:1]
    found["product_of_sums"] = np.outer(A.sum(axis=0), delta.sum(axis=0))
    found |= {f"samples_mixed {i}": array for i, array in enumerate(mixed_products(A, delta))}
    if l > 1:
        found["z_for_a"] = forward.z[l - 1].T @ delta
    for j, other in enumerate(forward.a):
        if j != l - 1 and other.shape == A.shape:
            found[f"input_of_layer {j + 1}"] = other.T @ delta
    for j, other in others.items():
        if other.shape == delta.shape:
            found[f"delta_of_layer {j}"] = A.T @ other
    return found


def bias_products(delta: Array, others: Mapping[int, Array]) -> Mapping[str, Array]:
    """Return what db can be, from delta (m, n_out)."""
    found = {"": delta.sum(axis=0)}
    found["last_sample_only"], found["first_sample_only"] = delta[-1], delta[0]
    found["summed_over_units"] = np.full(delta.shape[1], delta.sum())
    if delta.shape[0] == delta.shape[1]:
        found["summed_over_units "] = delta.sum(axis=1)
    found |= {f"delta_of_layer {j}": d.sum(axis=0) for j, d in others.items() if d.shape[1] == delta.shape[1]}
    return found
