"""engines/layer_kernels.py: Dropout, BatchNorm and LayerNorm forward and back, beside the layers' own equations.

Rows have one place more than units: what lies there is nobody's, and must not get into the numbers.
"""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

import glassnet.engines.layer_kernels  # noqa: F401  (its kernels enter the table)
from glassnet import BatchNorm, Dropout, LayerNorm
from glassnet.layers import Mode
from test_engines_kernels import TYPES, drawn, near, run

SHAPES = [(2, 1), (5, 3), (16, 9), (33, 8)]


def padded(a: np.ndarray) -> np.ndarray:
    """The same rows, with a NaN behind each."""
    return np.ascontiguousarray(np.column_stack([a, np.full(len(a), np.nan, a.dtype)]))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_batch_norm(m: int, n: int, dtype: type) -> None:
    layer, A, dZ = BatchNorm(0.7, 1e-3), drawn(dtype, m, n) * 2 + 1, drawn(dtype, m, n, seed=1)
    theta, stats = drawn(dtype, 2 * n, seed=2), np.abs(drawn(dtype, 2 * n, seed=3))
    p, s = {"gamma": theta[:n], "beta": theta[n:]}, {"mean": stats[:n].copy(), "var": stats[n:].copy()}
    Z, cache = layer.forward(p, s, A, Mode(True))
    grads = {"gamma": np.zeros(n, dtype), "beta": np.zeros(n, dtype)}
    dA = layer.backward(p, A, cache, dZ, grads)
    a, out, X, d = padded(A), padded(0 * A), padded(0 * A), padded(dZ)
    scale, mean, g = np.zeros(n, dtype), np.zeros(n, dtype), np.zeros(2 * n, dtype)
    run("batch_norm", dtype, a, out, X, scale, mean, theta, stats, m, n, n + 1, dtype(0.7), dtype(1e-3))
    np.testing.assert_allclose(out[:, :n], Z, **near(dtype))
    np.testing.assert_allclose(stats, np.concatenate([s["mean"], s["var"]]), **near(dtype))
    run("batch_norm_back", dtype, d, X, scale, theta, g, m, n, n + 1)
    np.testing.assert_allclose(d[:, :n], dA, **near(dtype, 10))
    np.testing.assert_allclose(g, np.concatenate([grads["gamma"], grads["beta"]]), **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize(("m", "n"), SHAPES)
def test_layer_norm(m: int, n: int, dtype: type) -> None:
    layer, A, dZ = LayerNorm(1e-2), drawn(dtype, m, n) * 2 + 1, drawn(dtype, m, n, seed=1)
    theta = drawn(dtype, 2 * n, seed=2)
    p, grads = {"gamma": theta[:n], "beta": theta[n:]}, {"gamma": np.zeros(n, dtype), "beta": np.zeros(n, dtype)}
    Z, cache = layer.forward(p, {}, A, Mode(True))
    dA = layer.backward(p, A, cache, dZ, grads)
    a, out, X, d = padded(A), padded(0 * A), padded(0 * A), padded(dZ)
    scale, g = np.zeros(m, dtype), np.zeros(2 * n, dtype)
    run("layer_norm", dtype, a, out, X, scale, theta, m, n, n + 1, dtype(1e-2))
    np.testing.assert_allclose(out[:, :n], Z, **near(dtype))
    run("layer_norm_back", dtype, d, X, scale, theta, g, m, n, n + 1)
    np.testing.assert_allclose(d[:, :n], dA, **near(dtype, 10))
    np.testing.assert_allclose(g, np.concatenate([grads["gamma"], grads["beta"]]), **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rate", [0.0, 0.25, 0.9])
def test_drop(rate: float, dtype: type) -> None:
    m, n = 7, 5
    A, ours, theirs = drawn(dtype, m, n), np.random.default_rng(3), np.random.default_rng(3)
    Z, _ = Dropout(rate).forward({}, {}, A, Mode(True, theirs))
    a, out, mask, bits = padded(A), padded(0 * A), padded(0 * A), ours.bit_generator.ctypes
    next_double = ctypes.cast(bits.next_double, ctypes.c_void_p).value
    run("drop", dtype, a, out, mask, m, n, n + 1, np.float64(rate), next_double, bits.state_address)
    np.testing.assert_allclose(out[:, :n], Z, **near(dtype))
    np.testing.assert_allclose(a[:, :n] * mask[:, :n], Z, **near(dtype))
    assert ours.random() == theirs.random(), "as many numbers were drawn"
