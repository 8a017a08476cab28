"""engines/sparse.py and zeros.py: products that leave out zeros, against NumPy and the reference engine.

Memory around what a kernel may touch is full of NaN, and what it may not read is NaN, too.
"""

from __future__ import annotations

import ctypes
from itertools import product

import numpy as np
import pytest

pytest.importorskip("numba")
from hypothesis import given
from hypothesis import strategies as st

from engine_runs import Case, agree, case, compiled
from glassnet import SGD, Adam, ClipNorm, Dense, Dropout
from glassnet.arrays import Array
from glassnet.engines import kernels, program, sparse
from glassnet.engines import tables as t
from glassnet.engines.micro import VECTORS

pytestmark = pytest.mark.skipif(VECTORS == 0, reason="no vectors with masks here")

assert sparse  # its kernels have entered the table
TOLERANCE = {np.float32: 2e-5, np.float64: 1e-12}
SHAPES = [
    *[(1, 17, 3), (5, 20, 64), (10, 30, 785), (17, 128, 63)],
    *[(50, 50, 65), (64, 33, 130), (70, 129, 20), (200, 300, 7)],
]


def kernel(name: str, dtype: type, whole: int, *rest: object):
    """The kernel as a function of so many whole numbers and the rest."""
    return ctypes.CFUNCTYPE(None, *[ctypes.c_int64] * whole, *rest)(kernels.address(name, dtype))


def at(array: Array) -> int:
    return array.ctypes.data


class Marked:
    """A matrix A (m, k) in rows of k + 3 places, NaN behind them, and its bits as the engine keeps them."""

    def __init__(self, A: Array) -> None:
        (self.m, self.k), self.dtype = A.shape, A.dtype.type
        self.ld, self.words = self.k + 3, -(-self.k // t.WORD)
        self.A = np.full((self.m, self.ld), np.nan, A.dtype)
        self.A[:, : self.k] = A
        self.bits = np.zeros((self.m, self.words), np.int64)
        self.columns = np.zeros((-(-self.m // t.WORD), t.WORD * self.words), np.int64)
        mark = kernel("marks", self.dtype, 7)
        mark(self.m, self.k, at(self.A), self.ld, at(self.bits), self.words, at(self.columns))


def some_zeros(m: int, k: int, dtype: type, density: float = 0.4, seed: int = 0) -> Array:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(m, k)) * (rng.random((m, k)) < density)).astype(dtype)


def near(result: Array, wanted: Array, dtype: type) -> bool:
    return bool(np.abs(result - wanted).max() <= TOLERANCE[dtype] * (1 + np.abs(wanted).max()))


def unpacked(words: Array, n: int) -> Array:
    """The first n bits of rows of words, as truth values."""
    return np.unpackbits(words.view(np.uint8), axis=1, bitorder="little")[:, :n].astype(bool)


@given(m=st.integers(1, 150), k=st.integers(1, 150), dtype=st.sampled_from([np.float32, np.float64]))
def test_a_bit_says_whether_a_number_is_not_zero(m: int, k: int, dtype: type) -> None:
    A = some_zeros(m, k, dtype, seed=m + k)
    A[0, 0], A[-1, -1] = np.nan, -0.0 if m * k > 1 else np.nan
    marked = Marked(A)
    assert np.array_equal(unpacked(marked.bits, k), A != 0)
    assert np.array_equal(unpacked(np.ascontiguousarray(marked.columns.T[:k]), m), (A != 0).T)
    assert not unpacked(marked.bits, t.WORD * marked.words)[:, k:].any()


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_products_are_those_of_numpy(shape: tuple[int, int, int], dtype: type) -> None:
    m, n, k = shape
    rng, number = np.random.default_rng(1), ctypes.c_float if dtype == np.float32 else ctypes.c_double
    marked = Marked(some_zeros(m, k, dtype))
    A, W, D = marked.A[:, :k], *(rng.normal(size=size).astype(dtype) for size in ((k, n), (m, n)))
    picks = kernel("picks", dtype, 11, number, number, ctypes.c_int64, ctypes.c_int64)
    Z = np.full((m, n + 2), np.nan, dtype)
    row = 8 * marked.words
    picks(m, n, k, at(marked.bits), row, 8, at(marked.A), marked.ld, 1, at(W), n, 1.0, 0.0, at(Z), n + 2)
    assert near(Z[:, :n], A @ W, dtype)
    assert np.isnan(Z[:, n:]).all()

    start = rng.normal(size=(k, n)).astype(dtype)
    for beta, wanted in ((0.0, A.T @ D), (1.0, start - 0.5 * (A.T @ D))):
        G = start.copy()
        far = 8 * t.WORD * marked.words
        picks(k, n, m, at(marked.columns), 8, far, at(marked.A), 1, marked.ld, at(D), n, -0.5, beta, at(G), n)
        assert near(G, wanted, dtype)
    G = start.copy()
    spreads = kernel("spreads", dtype, 9, number, ctypes.c_int64, ctypes.c_int64)
    spreads(m, n, k, at(marked.bits), marked.words, at(marked.A), marked.ld, at(D), n, -0.5, at(G), n)
    assert near(G, wanted, dtype)


@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_way_back_is_that_of_numpy(shape: tuple[int, int, int], dtype: type) -> None:
    m, k, n = shape
    ones = np.hstack([some_zeros(m, n, dtype), np.ones((m, 1), dtype)])  # the bits: A's and the column of ones'
    marked = Marked(ones)
    marked.A[:, n] = 7  # delta has no such column: what stands there is not to be used
    W, dA = np.random.default_rng(1).normal(size=(k, n)).astype(dtype), np.full((m, k + 1), np.nan, dtype)
    back = kernel("back_picks", dtype, 11)
    back(m, n, k, at(marked.bits), marked.words, at(marked.A), marked.ld, at(W), n, at(dA), k + 1)
    assert near(dA[:, :k], marked.A[:, :n] @ W.T, dtype)
    assert np.isnan(dA[:, k:]).all()


# ---- whole runs ---------------------------------------------------------------------------------------------------


def blackened(one: Case, density: float) -> Case:
    """The case with so many of its inputs left, and a column that is 0 throughout."""
    keep = np.random.default_rng(2).random(one.X.shape) < density
    keep[:, -1] = False
    return Case(one.objective, one.theta, one.X * keep, one.Y, one.options)


WIDE = [Dense(70, "relu"), Dense(67, "relu"), Dense(66, "tanh"), Dense(3, "softmax")]
NETS = {
    "relu": WIDE,
    "one layer": [Dense(20)],
    "dropout": [Dropout(0.5), Dense(33, "tanh"), Dropout(0.5), Dense(20, "relu"), Dense(18)],
    "no bias": [Dense(70, "relu", bias=False), Dense(40, bias=False), Dense(17)],
}


@pytest.mark.parametrize("density", [0.05, 0.5, 0.9])
@pytest.mark.parametrize("name", NETS)
def test_runs_agree_with_the_reference(name: str, density: float) -> None:
    loss = "cross_entropy" if name == "relu" else "squared_error"
    one = blackened(case(NETS[name], loss, m=150, d=70), density)
    for batch_size, rule in ((9, SGD(0.01)), (64, Adam(0.001)), (150, ClipNorm(SGD(0.01, momentum=0.5), 0.1))):
        agree(one, batch_size=batch_size, optimizer=rule)


def test_parts_and_blocks_of_large_batches_agree_too() -> None:
    """700 rows of 90-300-120 go through in two parts; 1000 inputs to 520 units make several blocks."""
    for layers, d in (
        ([Dense(300, "relu"), Dense(120, "relu"), Dense(2)], 90),
        ([Dense(520, "relu"), Dense(20)], 1000),
    ):
        agree(blackened(case(layers, m=700, d=d), 0.3), batch_size=700, optimizer=SGD(0.001), epochs=2)


@pytest.mark.parametrize(
    "layers", [[Dense(300, "relu"), Dense(120, "relu"), Dense(2)], [*WIDE[:2], Dropout(0.5), Dense(20)]]
)
def test_bits_do_not_depend_on_the_threads(layers: list) -> None:
    one = blackened(case(layers, m=700, d=90), 0.3).but(batch_size=350)
    single, double = (compiled(one, n_threads=n).theta for n in (1, 2))
    assert np.array_equal(single, double)


def test_dense_data_and_narrow_layers_keep_no_bits() -> None:
    def words(layers: list, marked: int = 100, m: int = 64, *, d: int = 70, **of: bool) -> list[int]:
        net = case(layers, d=d).objective.net
        return [int(row[t.WORDS]) for row in program.write(net, m, lanes=16, marked=marked, **of).layers]

    assert words([Dense(80, "tanh"), Dense(70)]) == [0, 0]
    assert words([Dense(80, "tanh"), Dense(70)], 60) == [2, 0]
    assert words([Dense(80, "tanh"), Dense(70)], 61) == [0, 0]
    assert words([Dense(40, "relu"), Dense(70)]) == [0, 1]
    assert words([Dense(80, "tanh"), Dropout(0.5), Dense(70)]) == [0, 0, 2]
    assert words([Dense(16, "tanh"), Dense(70)], 0) == [0, 0], "as wide as a vector"
    assert [words([Dense(17)], marked) for marked in (15, 16)] == [[2], [0]], "two vectors"
    assert [words([Dense(64)], marked) for marked in (40, 41)] == [[2], [0]], "four"
    assert words([Dense(17)], 60, half_speed=True) == words([Dense(17)], 60, m=3) == [2], "no fast tiles"
    assert words([Dense(70), Dense(70, "relu"), Dense(10)]) == [0, 0, 2], "for the way back through the layer below"
    assert program.write(case([Dense(40)]).objective.net, 64).bits == 0, "a processor without such vectors"


@pytest.mark.parametrize("lost", ["row", "column"])
def test_a_lost_bit_is_seen(lost: str) -> None:
    """A planted fault: the number whose bit is lost is left out of the product."""
    m, n, k = 20, 33, 70
    marked = Marked(some_zeros(m, k, np.float64))
    i, p = next((i, p) for i, p in product(range(m), range(k)) if marked.A[i, p] != 0)
    marked.bits[i, p // t.WORD] &= ~(1 << p % t.WORD)
    marked.columns[0, p] &= ~(1 << i)
    rng, far = np.random.default_rng(1), 8 * t.WORD * marked.words
    B, rows = rng.normal(size=((k, n) if lost == "row" else (m, n))), (m if lost == "row" else k)
    picks = kernel("picks", np.float64, 11, ctypes.c_double, ctypes.c_double, ctypes.c_int64, ctypes.c_int64)
    C, A = np.empty((rows, n)), marked.A[:, :k]
    if lost == "row":
        picks(m, n, k, at(marked.bits), 8 * marked.words, 8, at(A), marked.ld, 1, at(B), n, 1.0, 0.0, at(C), n)
    else:
        picks(k, n, m, at(marked.columns), 8, far, at(A), 1, marked.ld, at(B), n, 1.0, 0.0, at(C), n)
    assert not near(C, (A if lost == "row" else A.T) @ B, np.float64)
