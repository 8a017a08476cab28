"""engines/kernels.py: each pass over numbers, called by its address, beside the same formula on arrays in NumPy."""

from __future__ import annotations

import ctypes
import re
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")
from numba import cfunc, from_dtype

from glassnet import activations, losses
from glassnet.engines import kernels, rows
from glassnet.engines.micro import VECTORS
from glassnet.optimizers import RULES
from test_engines_micro import AtTheEnd, gaps_are_untouched

assert rows  # its kernel has entered the table

TYPES = [np.float32, np.float64]
LENGTHS = [0, 1, 7, 8, 33, 100]
Array = np.ndarray


def run(name: str, dtype: Any, *arguments: Any, details: tuple[Any, ...] = (), returns: Any = None) -> Any:
    """Call a kernel: arrays by their address, Python's whole numbers as int64, NumPy's numbers as what they are."""
    kinds = {np.dtype(np.float32): ctypes.c_float, np.dtype(np.float64): ctypes.c_double}
    types, values = [], []
    for argument in arguments:
        if isinstance(argument, np.ndarray):
            types.append(ctypes.c_void_p)
            values.append(argument.ctypes.data)
        elif isinstance(argument, int):
            types.append(ctypes.c_int64)
            values.append(argument)
        else:
            types.append(kinds[argument.dtype])
            values.append(float(argument))
    result = kinds[np.dtype(returns)] if returns is not None else None
    return ctypes.CFUNCTYPE(result, *types)(kernels.address(name, np.dtype(dtype).type, *details))(*values)


def drawn(dtype: type, *shape: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def near(dtype: type, factor: float = 1.0) -> dict[str, float]:
    eps = 32 * factor * float(np.finfo(dtype).eps)
    return {"rtol": eps, "atol": eps}


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_activate(n: int, dtype: type) -> None:
    gelu = activations.get("gelu")
    z, a = drawn(dtype, n + 1), np.zeros(n + 1, dtype)
    before = z.copy()
    run("activate", dtype, z, a, n, details=(gelu.f, gelu.df))
    np.testing.assert_allclose(a[:n], gelu.f(before[:n]), **near(dtype))
    np.testing.assert_allclose(z[:n], gelu.df(before[:n], gelu.f(before[:n])), **near(dtype))
    assert (a[n], z[n]) == (0, before[n]), "what lies behind is not touched"


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_a_in_the_place_of_z_and_the_slope_by_it(n: int, dtype: type) -> None:
    tanh = activations.get("tanh")
    z, x = drawn(dtype, n + 1), drawn(dtype, n + 1, seed=1)
    a, before, given = z.copy(), x.copy(), tanh.f(z)
    run("value", dtype, a, a, n, details=(tanh.f,))
    np.testing.assert_allclose(a[:n], given[:n], **near(dtype))
    run("slope", dtype, x, a, n, details=(tanh.df,))
    np.testing.assert_allclose(x[:n], (before * tanh.df(z, given))[:n], **near(dtype))
    assert (a[n], x[n]) == (z[n], before[n]), "what lies behind is not touched"


@pytest.mark.parametrize("dtype", TYPES)
def test_multiply(dtype: type) -> None:
    x, y = drawn(dtype, 33), drawn(dtype, 33, seed=1)
    expected = x * y
    run("multiply", dtype, x, y, 33)
    np.testing.assert_array_equal(x, expected)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("n", LENGTHS)
def test_outputs_and_losses(n: int, dtype: type) -> None:
    focal, sigmoid, huber, tanh = (
        losses.get("focal"),
        activations.get("sigmoid"),
        losses.get("huber"),
        activations.get("tanh"),
    )
    z, y, share = drawn(dtype, n), np.random.default_rng(1).random(n).astype(dtype), dtype(0.25)
    pair, dz = focal.matched, z.copy()
    cost = run("matched_output", dtype, dz, y, n, share, details=(sigmoid.f, pair.value, pair.delta), returns=dtype)
    np.testing.assert_allclose(cost, pair.value(z, sigmoid.f(z), y).sum(), **near(dtype))
    np.testing.assert_allclose(dz, share * pair.delta(z, sigmoid.f(z), y), **near(dtype))
    details, dz = (tanh.f, tanh.df, huber.value, huber.slope), z.copy()
    cost, a = run("output", dtype, dz, y, n, share, details=details, returns=dtype), tanh.f(z)
    np.testing.assert_allclose(cost, huber.value(a, y).sum(), **near(dtype))
    np.testing.assert_allclose(dz, share * huber.slope(a, y) * tanh.df(z, a), **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_large_formulas_are_taken_a_vector_at_a_time(dtype: type) -> None:
    """A formula that is called in the loop, not written into it, is taken number by number: fifteen times slower."""
    cross, softplus = losses.get("binary_cross_entropy").matched, activations.get("softplus")
    sigmoid = activations.get("sigmoid")
    for name, formulas in (
        ("matched_output", (sigmoid.f, cross.value, cross.delta)),
        ("activate", (softplus.f, softplus.df)),
        ("value", (sigmoid.f,)),
        ("slope", (sigmoid.df,)),
    ):
        keys = [kernels.register(formula, dtype) for formula in formulas]
        signature, function = kernels.MAKERS[name](from_dtype(np.dtype(dtype)), dtype, *keys)
        text = cfunc(signature, error_model="numpy", fastmath=kernels.SUMS)(function).inspect_llvm()
        number = "float" if dtype == np.float32 else "double"
        assert re.search(rf"fmul [a-z ]*<\d+ x {number}>", text), name


@pytest.mark.parametrize("dtype", TYPES)
def test_softmax_and_its_pull(dtype: type) -> None:
    m, k, ld = 5, 3, 4
    z, a, softmax = drawn(dtype, m, ld), np.full((m, ld), 9, dtype), activations.get("softmax")
    z[2, :k] = [1000, -1000, 999]
    run("softmax", dtype, z, a, m, k, ld, details=(kernels.exp, kernels.larger))
    np.testing.assert_allclose(a[:, :k], softmax.f(z[:, :k]), **near(dtype))
    assert (a[:, k:] == 9).all()
    da = drawn(dtype, m, ld, seed=1)
    expected = softmax.pullback(z[:, :k], a[:, :k], da[:, :k])
    run("pull_softmax", dtype, a, da, m, k, ld)
    np.testing.assert_allclose(da[:, :k], expected, **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_row_with_a_nan_has_no_softmax(bad: float, dtype: type) -> None:
    """Wherever it stands: the larger of two never hides it."""
    for place in range(3):
        z, a = np.zeros((1, 3), dtype), np.zeros((1, 3), dtype)
        z[0, place] = bad
        run("softmax", dtype, z, a, 1, 3, 3, details=(kernels.exp, kernels.larger))
        assert np.isnan(a[0, place])


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("source", [np.float32, np.float64])
def test_gather(source: type, dtype: type) -> None:
    X, order = drawn(source, 9, 5), np.array([7, 0, 3, 3], np.int64)
    for given in (X, np.asfortranarray(X), np.repeat(X, 2, axis=1)[:, ::2]):
        strides = [stride // X.itemsize for stride in given.strides]
        out = np.zeros((4, 6), dtype)
        run("gather", dtype, given, order, out, 4, 5, *strides, 6, 1, details=(source.__name__,))
        np.testing.assert_array_equal(out[:, :5], X[order].astype(dtype))
        assert not out[:, 5].any()
        turned = np.zeros((5, 4), dtype)
        run("gather", dtype, given, order, turned, 4, 5, *strides, 1, 4, details=(source.__name__,))
        np.testing.assert_array_equal(turned, X[order].astype(dtype).T)


@pytest.mark.skipif(VECTORS == 0, reason="no vectors with masks here")
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("d", [1, 5, 8, 16, 17, 40])
def test_gather_rows(d: int, dtype: type) -> None:
    """To the very end of both arrays: behind them is a page that may not be touched."""
    ends = [AtTheEnd(), AtTheEnd()]
    X = ends[0].put(drawn(dtype, 20, d), d + 2)
    chosen = np.array([19, 0, 3, 3, *range(16)], np.int64)
    out = ends[1].put(np.full((20, d), 9, dtype), d + 1)
    run("gather_rows", dtype, X, chosen, out, 20, d, d + 2, 1, d + 1, 1)
    np.testing.assert_array_equal(out, X[chosen])
    assert gaps_are_untouched(out, d + 1)
    turned = ends[1].put(np.full((d, 20), 9, dtype), 24)
    run("gather_rows", dtype, X, chosen, turned, 20, d, d + 2, 1, 1, 24)
    np.testing.assert_array_equal(turned, X[chosen].T)
    assert gaps_are_untouched(turned, 24)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", RULES)
def test_step(name: str, dtype: type) -> None:
    """n of the P places: the slots lie P apart."""
    rule, P, n = RULES[name](), 21, 17
    numbers = rule.numbers(3, 0.05)
    theta, g = drawn(dtype, P), drawn(dtype, P, seed=1)
    slots = np.abs(drawn(dtype, len(rule.init(theta).slots), P, seed=2))
    change, new = rule.formula(g, theta, tuple(slots), numbers)
    expected = theta + change
    before = theta.copy(), slots.copy()
    table = np.array(numbers, dtype)
    details = rule.formula, len(slots), len(numbers)
    run("step", dtype, theta, g, slots, P, n, table, dtype(1), details=details)
    np.testing.assert_allclose(theta[:n], expected[:n], **near(dtype))
    for slot, then, kept in zip(slots, new, before[1], strict=True):
        np.testing.assert_allclose(slot[:n], then[:n], **near(dtype))
        np.testing.assert_array_equal(slot[n:], kept[n:])
    np.testing.assert_array_equal(theta[n:], before[0][n:])


@pytest.mark.parametrize("dtype", TYPES)
def test_a_step_along_a_shortened_gradient(dtype: type) -> None:
    rule, theta, g = RULES["sgd"](0.5), drawn(dtype, 9), drawn(dtype, 9, seed=1)
    expected = theta - dtype(0.5) * (dtype(0.25) * g)
    run(
        "step",
        dtype,
        theta,
        g,
        theta,
        9,
        9,
        np.array(rule.numbers(1, 0.5), dtype),
        dtype(0.25),
        details=(rule.formula, 0, 2),
    )
    np.testing.assert_allclose(theta, expected, **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_penalise(dtype: type) -> None:
    W, g, l1, l2 = drawn(dtype, 33), drawn(dtype, 33, seed=1), dtype(0.1), dtype(0.3)
    W[[3, 4]] = 0.0, -0.0
    expected = g + l2 * W + l1 * np.sign(W)
    total = run("penalise", dtype, W, g, 33, l1, l2, returns=dtype)
    np.testing.assert_allclose(g, expected, **near(dtype))
    np.testing.assert_allclose(total, l1 * np.abs(W).sum() + l2 / 2 * (W @ W), **near(dtype))


@pytest.mark.parametrize("dtype", TYPES)
def test_square_sum(dtype: type) -> None:
    """In float64, and in another unit: squares of a float32 may leave its range."""
    x = drawn(dtype, 33) * dtype(1e30)
    total = run("square_sum", dtype, x, 33, np.float64(1.0), returns=np.float64)
    np.testing.assert_allclose(total, (x.astype(float) ** 2).sum(), rtol=1e-14)
    total = run("square_sum", dtype, x, 33, np.float64(1e-30), returns=np.float64)
    np.testing.assert_allclose(total, ((x.astype(float) * 1e-30) ** 2).sum(), rtol=1e-14)


@pytest.mark.parametrize("dtype", TYPES)
def test_follow(dtype: type) -> None:
    mean, theta = drawn(dtype, 33), drawn(dtype, 33, seed=1)
    expected = mean + dtype(0.1) * (theta - mean)
    run("follow", dtype, mean, theta, 33, dtype(0.1))
    np.testing.assert_allclose(mean, expected, **near(dtype))


def test_a_kernel_is_compiled_once() -> None:
    tanh = activations.get("tanh")
    assert kernels.address("activate", np.float64, tanh.f, tanh.df) == kernels.address(
        "activate", np.float64, tanh.f, tanh.df
    )
    assert kernels.address("activate", np.float64, tanh.f, tanh.df) != kernels.address(
        "activate", np.float32, tanh.f, tanh.df
    )
