"""Bounds: what nobody can do without. The bare matrix products of a step, and one pass of Adam over the weights.

For each layer Z = A W and dW = A^T delta, and delta W^T for all but the first, into arrays that are there already.
Three ways are tried and the fastest is taken: `np.matmul(out=...)`, SciPy's BLAS from Python on transposed views (so
that nothing is copied), and the same BLAS called from a compiled loop, where Numba is installed.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from types import ModuleType

import numpy as np

from benchmarks.contestant import Absent, fastest
from benchmarks.workloads import Case, Rule

Triple = tuple[np.ndarray, np.ndarray, np.ndarray]
"""left, right, out: out = left @ right, where left or right may be a transposed view."""
Repeat = Callable[[int], None]
"""Run that many steps."""


def triples(case: Case) -> list[Triple]:
    """Return the products of one step, in the order in which a step needs them."""
    rng, sizes, batch = np.random.default_rng(0), case.workload.sizes, case.workload.batch
    weights = [W for W, _ in case.pairs(case.start)]
    A = [case.data[0][:batch]] + [rng.random((batch, n), dtype=case.dtype) for n in sizes[1:]]
    D = [rng.random((batch, n), dtype=case.dtype) for n in sizes]
    forward = [(A[l], W, A[l + 1]) for l, W in enumerate(weights)]
    backward: list[Triple] = []
    for l in reversed(range(len(weights))):
        backward.append((A[l].T, D[l + 1], np.empty_like(weights[l])))
        if l:
            backward.append((D[l + 1], weights[l].T, D[l]))
    return forward + backward


def by_matmul(work: list[Triple]) -> Repeat:
    def repeat(count: int) -> None:
        for _ in range(count):
            for left, right, out in work:
                np.matmul(left, right, out=out)

    return repeat


def by_scipy(work: list[Triple]) -> Repeat:
    """out^T = right^T left^T, so that every matrix that BLAS sees lies in Fortran's order."""
    from scipy.linalg import blas

    gemm = blas.sgemm if work[0][2].dtype == np.float32 else blas.dgemm
    calls = []
    for left, right, out in work:
        a, b = (right.T, 0) if right.flags.c_contiguous else (right, 1)
        c, d = (left.T, 0) if left.flags.c_contiguous else (left, 1)
        calls.append((1.0, a, c, 0.0, out.T, b, d, 1))

    def repeat(count: int) -> None:
        for _ in range(count):
            for call in calls:
                gemm(*call)

    repeat(1)
    np.testing.assert_allclose(work[-1][2], work[-1][0] @ work[-1][1], rtol=1e-3)  # it wrote where it was told to
    return repeat


class CompiledLoop:
    """A table with the 13 addresses that Fortran's gemm wants for each product, and a compiled loop over it."""

    def __init__(self, work: list[Triple], numba: ModuleType) -> None:
        dtype = work[0][2].dtype
        self.work = work
        self.letters = np.frombuffer(b"NT", np.uint8).copy()
        self.scalars = np.array([1, 0], dtype)
        self.numbers = np.empty((len(work), 6), np.int32)
        self.table = np.array([self.row(line, *product) for line, product in zip(self.numbers, work, strict=True)])
        self.loop = gemm_loop(numba, np.dtype(dtype).name)
        self(1)
        left, right, out = work[-1]
        np.testing.assert_allclose(out, left @ right, rtol=1e-3)  # it wrote where it was told to

    def row(self, line: np.ndarray, left: np.ndarray, right: np.ndarray, out: np.ndarray) -> list[int]:
        """Write the numbers of out^T = right^T left^T to a line; return where everything lies."""
        flip = [int(not array.flags.c_contiguous) for array in (right, left)]
        stored = [array.T if turned else array for array, turned in zip((right, left), flip, strict=True)]
        line[:] = *out.shape[::-1], left.shape[1], stored[0].shape[1], stored[1].shape[1], out.shape[1]
        n, m, k, lda, ldb, ldc = (line.ctypes.data + 4 * i for i in range(6))
        letters = [self.letters.ctypes.data + turned for turned in flip]
        one, zero = self.scalars.ctypes.data, self.scalars.ctypes.data + self.scalars.itemsize
        right_at, left_at = (array.ctypes.data for array in stored)
        return [*letters, n, m, k, one, right_at, lda, left_at, ldb, zero, out.ctypes.data, ldc]

    def __call__(self, count: int) -> None:
        self.loop(self.table, count)


def gemm_loop(numba: ModuleType, name: str) -> Callable[[np.ndarray, int], None]:
    from ctypes import CFUNCTYPE, c_int64

    from glassnet.engines.blas import gemm_address

    gemm = CFUNCTYPE(None, *[c_int64] * 13)(gemm_address(np.dtype(name)))

    @numba.njit
    def loop(table, count):
        for _ in range(count):
            for i in range(len(table)):
                r = table[i]
                gemm(r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12])

    return loop


class Bound:
    """Something that takes the time of a piece of a step and trains nothing."""

    kind, checked = "bound", False
    repeat: Repeat

    def reset(self) -> None:
        """Nothing to go back to."""

    def run(self, epochs: int) -> None:
        self.repeat(epochs * self.steps)

    def theta(self) -> np.ndarray:
        raise TypeError(f"{type(self).__name__} trains nothing")


class Products(Bound):
    """The fastest way to compute the products of one step."""

    name = "products"

    def prepare(self, case: Case, cores: int) -> None:
        work, self.steps = triples(case), case.steps
        ways: list[Repeat] = [by_matmul(work), by_scipy(work)]
        numba = optional_numba()
        if numba is not None:
            ways.append(CompiledLoop(work, numba))
        count = repeats_for(ways[0])
        self.repeat = fastest(ways, lambda way: way(count))
        self.way = ("np.matmul", "SciPy's BLAS", "BLAS from a compiled loop")[ways.index(self.repeat)]


class RulePass(Bound):
    """One pass of Adam over the weights: compiled by Numba, or PyTorch's fused one."""

    name = "rule"

    def prepare(self, case: Case, cores: int) -> None:
        self.steps = case.steps
        theta, g = case.start.copy(), np.random.default_rng(0).standard_normal(case.start.size, dtype=case.dtype)
        ways = {"PyTorch, fused": by_torch(theta, g, case.workload.rule, cores)}
        for threads in {1, cores}:
            ways[f"Numba, {threads} thread{'s' * (threads > 1)}"] = by_numba(theta, g, case.workload.rule, threads)
        names = {way: name for name, way in ways.items() if way is not None}
        if not names:
            raise Absent("needs Numba or PyTorch")
        count = repeats_for(next(iter(names)))
        self.repeat = fastest(names, lambda way: way(count))
        self.way = names[self.repeat]


def repeats_for(way: Repeat, least: float = 0.005) -> int:
    """Return about how many steps take that many seconds."""
    way(1)
    begin = time.perf_counter()
    way(3)
    return max(1, round(3 * least / (time.perf_counter() - begin)))


def optional_numba() -> ModuleType | None:
    try:
        import numba
    except ImportError:
        return None
    return numba


def by_torch(theta: np.ndarray, g: np.ndarray, rule: Rule, cores: int) -> Repeat | None:
    try:
        import torch
    except ImportError:
        return None
    torch.set_num_threads(cores)
    parameter = torch.nn.Parameter(torch.from_numpy(theta.copy()))
    parameter.grad = torch.from_numpy(g)
    optimizer = torch.optim.Adam([parameter], rule.rate, (rule.beta1, rule.beta2), rule.eps, fused=True)

    def repeat(count: int) -> None:
        for _ in range(count):
            optimizer.step()

    return repeat


def by_numba(theta: np.ndarray, g: np.ndarray, rule: Rule, threads: int) -> Repeat | None:
    numba = optional_numba()
    if numba is None:
        return None
    kind = theta.dtype.type
    theta, m, v = theta.copy(), np.zeros_like(theta), np.zeros_like(theta)
    beta1, beta2, eps, rate = (kind(number) for number in (rule.beta1, rule.beta2, rule.eps, rule.rate))

    @numba.njit(error_model="numpy", parallel=threads > 1)
    def one_pass(theta, g, m, v, rate, correction):
        for i in numba.prange(len(theta)):
            m[i] = beta1 * m[i] + (kind(1) - beta1) * g[i]
            v[i] = beta2 * v[i] + (kind(1) - beta2) * g[i] * g[i]
            theta[i] -= rate * m[i] / (np.sqrt(v[i] * correction) + eps)

    def repeat(count: int) -> None:
        for t in range(1, count + 1):
            one_pass(theta, g, m, v, kind(rate / (1 - beta1**t)), kind(1 / (1 - beta2**t)))

    return repeat
