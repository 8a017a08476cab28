"""engines/one_row.py and row_kernels.py: batches of one row, against NumPy and the reference engine.

Kernels work at the very end of their memory, on the page before one that may not be touched.
"""

from __future__ import annotations

import ctypes
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

pytest.importorskip("numba")

from engine_runs import Case, agree, case, compiled, same, watched
from glassnet import SGD, Adam, ClipNorm, Dense, Dropout, Network
from glassnet.arrays import Array
from glassnet.engines import kernels, program, row_kernels
from glassnet.engines import tables as t
from glassnet.engines.micro import VECTORS
from test_engines_micro import AtTheEnd

pytestmark = pytest.mark.skipif(VECTORS == 0, reason="no vectors with masks here")

assert row_kernels  # they have entered the table
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
WIDTHS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 24, 31, 33, 48, 50, 64]
DEPTHS = [1, 2, 3, 4, 5, 8, 9, 30]


def kernel(name: str, dtype: type, *kinds: Any) -> Any:
    """The kernel as a function of numbers (float) and whole numbers (int)."""
    number = ctypes.c_float if dtype == np.float32 else ctypes.c_double
    types = [number if kind is float else ctypes.c_int64 for kind in kinds]
    return ctypes.CFUNCTYPE(None, *types)(kernels.address(name, dtype))


def at(array: Array) -> int:
    return array.ctypes.data


def near(x: Array, y: Array, dtype: type) -> bool:
    return bool(np.allclose(x, y, rtol=TOLERANCE[dtype], atol=10 * TOLERANCE[dtype]))


@pytest.fixture(scope="module")
def places() -> list[AtTheEnd]:
    return [AtTheEnd() for _ in range(3)]


# ---- the products -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", TOLERANCE)
def test_products_are_those_of_numpy(places: list[AtTheEnd], dtype: type) -> None:
    rng, lanes = np.random.default_rng(0), VECTORS // np.dtype(dtype).itemsize
    forward = kernel("row_forward", dtype, *[int] * 6)
    back, add = kernel("row_back", dtype, *[int] * 5), kernel("row_add", dtype, int, int, float, *[int] * 3, float, int)
    first, second, third = (place.put for place in places)
    for n in {min(n, program.WIDEST * lanes) for n in (*WIDTHS, 100, 127, 128)}:
        for k in DEPTHS:
            for bias in (0, 1):
                W = first(rng.normal(size=(k + bias, n)).astype(dtype), n)
                a = second(rng.normal(size=(1, k)).astype(dtype), k)
                z = np.full(n + lanes, np.nan, dtype)
                forward(n, k, at(a), at(W), bias, at(z))
                assert near(z[:n], (a @ W[:k])[0] + (W[k] if bias else 0), dtype), (n, k, bias)

                d, out = third(rng.normal(size=(1, n)).astype(dtype), n), np.full(k + 8, np.nan, dtype)
                back(n, k, at(d), at(W), at(out))
                assert near(out[:k], (d @ W[:k].T)[0], dtype), (n, k)

                step = -0.5 * np.vstack([a.T, np.ones((bias, 1), dtype)]) @ d
                for beta in (0.0, 1.0):
                    G = first(rng.normal(size=(k + bias, n)).astype(dtype) if beta else np.full_like(step, np.nan), n)
                    wanted = G + step if beta else step
                    add(n, k, -0.5, at(a), at(d), bias, beta, at(G))
                    assert near(G, wanted, dtype), (n, k, bias, beta)


# ---- whole runs ---------------------------------------------------------------------------------------------------


def goes_alone(one: Case) -> bool:
    """Whether the run takes the way of one row."""
    with watched() as loops:
        one.run("numba", batch_size=1)
    return bool(loops[-1].plan[t.ONE_ROW])


ENDS = [
    ("softmax", "cross_entropy"),
    ("softmax", "squared_error"),
    ("sigmoid", "binary_cross_entropy"),
    ("identity", "squared_error"),
    ("tanh", "huber"),
]
RULES = [SGD(0.05), SGD(0.01, momentum=0.9), Adam(0.01), ClipNorm(SGD(0.05), 0.1)]


@pytest.mark.parametrize("rule", RULES, ids=str)
@pytest.mark.parametrize(("output", "loss"), ENDS, ids=str)
def test_runs_agree_with_the_reference(output: str, loss: str, rule: Any) -> None:
    layers = [Dense(5, "sigmoid"), Dense(20, "tanh", bias=False), Dense(4), Dense(3, output)]
    one = case(layers, loss, m=23, d=7)
    assert goes_alone(one)
    agree(one, batch_size=1, optimizer=rule)


@pytest.mark.parametrize("widths", [(1,), (2, 4, 2), (8, 3, 8), (13, 50, 1), (4, 100, 60, 5), (3, 1, 1, 2)], ids=str)
def test_all_widths_agree(widths: tuple[int, ...]) -> None:
    layers = [*(Dense(n, "sigmoid") for n in widths[1:-1]), Dense(widths[-1])]
    one = case(layers, m=17, d=widths[0])
    assert goes_alone(one) == (max(widths[1:], default=1) <= program.WIDEST * VECTORS // 8)
    agree(one, batch_size=1, optimizer=SGD(0.02))


def test_weights_penalties_and_averages_agree() -> None:
    one = case([Dense(6, "tanh"), Dense(3, "softmax")], "cross_entropy", m=23, d=7, l1=0.01, l2=0.1)
    weights = np.random.default_rng(1).random(23)
    for other in (one, case([Dense(6, "tanh"), Dense(2)], m=23, d=7)):
        agree(other, batch_size=1, optimizer=SGD(0.02), sample_weight=weights)
    agree(one, batch_size=1, optimizer=SGD(0.02), average=0.9)


def test_rows_are_read_where_they_lie_or_copied_with_one_result() -> None:
    one = case([Dense(6, "tanh"), Dense(2)], m=23, d=7)
    lies = compiled(replace(one, X=np.round(one.X, 1), Y=np.round(one.Y, 1)), batch_size=1)
    for form in (np.asfortranarray, lambda a: np.repeat(a, 2, axis=1)[:, ::2], lambda a: a[::-1].copy()[::-1]):
        copied = replace(one, X=form(np.round(one.X, 1)), Y=form(np.round(one.Y, 1)))
        assert same(compiled(copied, batch_size=1), lies)
    whole = replace(one, X=np.round(one.X), Y=np.round(one.Y))
    integers = replace(one, X=whole.X.astype(np.int64), Y=whole.Y.astype(np.int64))
    assert same(compiled(integers, batch_size=1), compiled(whole, batch_size=1))


def test_other_networks_and_batches_do_not_go_this_way() -> None:
    def alone(layers: list[Any], m: int = 1, d: int = 30, marked: int = 100) -> bool:
        return program.write(case(layers, d=d).objective.net, m, lanes=16, marked=marked).row_by_row

    assert alone([Dense(128, "relu"), Dense(2)])
    assert not alone([Dense(128, "relu"), Dense(2)], m=2)
    assert not alone([Dense(129, "relu"), Dense(2)]), "wider than the registers hold"
    assert not alone([Dense(20, "softmax"), Dense(2)])
    assert not alone([Dense(20), Dropout(0.5), Dense(2)])
    assert not alone([Dense(20), Dense(2)], marked=60), "left out by products for zeros"
    assert alone([Dense(16), Dense(2)], marked=0)
    assert not alone([Dense(128), Dense(2)], d=10_000), "several blocks"
    assert not program.write(Network(2, [Dense(2)]), 1).row_by_row, "a processor without such vectors"


def test_a_loss_that_is_not_finite_ends_the_run_before_the_step() -> None:
    one = case([Dense(4), Dense(2)], m=9, d=3)
    X = one.X.copy()
    X[5] = np.finfo(np.float64).max
    options = {"batch_size": 1, "sampling": "sequential", "optimizer": SGD(0.01), "epochs": 2}
    ours, theirs = (replace(one, X=X).run(engine, **options) for engine in ("numba", "numpy"))
    assert (ours.status, ours.reason) == (theirs.status, theirs.reason)
    assert theirs.status == "diverged"
    assert np.array_equal(ours.theta, theirs.theta)
