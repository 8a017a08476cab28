"""Products of matrices: tiles of vector instructions for small ones, BLAS for large ones, plain loops for tiny ones.

Matrices lie row by row, as NumPy's do; BLAS takes them column by column, that is transposed: C = A B is its
C^T = B^T A^T. `ld` is the number of places from one row to the next. Arguments are addresses. `large` is the bytes of
weights beyond which BLAS is as fast, for it copies what it needs into an order of its own; half of it for a gradient.
The loop calls the three by address: compiled into it, they took a quarter of the time that it takes to be compiled.
"""

from __future__ import annotations

from typing import Any

from numba import int64, void

from glassnet.engines.kernels import kernel
from glassnet.engines.machine import bytes_of, call, gemm, inner, pointer, to
from glassnet.engines.micro import VECTORS, lanes
from glassnet.engines.tiles import BACK_WAY, FORWARD_WAY, GRADIENT_WAY

__all__ = ["back_product", "forward_product", "gradient_product"]

NARROW = 16
"""Columns; below it a plain loop goes along the sum, so that nothing is written twice."""
TILES = VECTORS != 0
"""Whether vectors can be read and written under a mask."""
LEAST, LEAST_TURNED = 30, 100
"""Products of at most so many multiplications are plain loops; the second, where Z or D is stored transposed."""


# ---- the three products of a layer ---------------------------------------------------------------------------------


@inner
def forward_product(like, blas, large, tiles, tiny, m, n, k, a, lda, w, ldw, z, row, column):
    """Z (m, n) = A (m, k) W (k, n), where Z has strides row and column, one of which is 1."""
    one, zero, work = like, to(like, 0), m * n * k
    least = LEAST if column == 1 else LEAST_TURNED
    some = m > 1 or n <= 8 * lanes(like)  # one row, 256 columns of 785: 10.4 us by BLAS, which reads W in order; 13.7
    if TILES and some and work > least and bytes_of(like) * k * ldw <= large:
        call(None, tiles, (FORWARD_WAY, m, n, k, a, lda, w, ldw, z, row, column, one, zero))
        return
    if work > tiny:
        if column == 1:
            gemm(blas, 0, n, m, k, one, w, ldw, a, lda, zero, z, row)
        else:
            gemm(blas, 3, m, n, k, one, a, lda, w, ldw, zero, z, column)
        return
    A, W, C = pointer(like, a), pointer(like, w), pointer(like, z)
    for i in range(m):
        if n < NARROW or column != 1:
            for j in range(n):
                total = zero
                for p in range(k):
                    total += A[i * lda + p] * W[p * ldw + j]
                C[i * row + j * column] = total
        else:
            for j in range(n):
                C[i * row + j] = zero
            for p in range(k):
                x = A[i * lda + p]
                for j in range(n):
                    C[i * row + j] += x * W[p * ldw + j]


@inner
def back_product(like, blas, large, tiles, tiny, m, n, k, d, row, column, w, ldw, out, ldo):
    """dA (m, k) = D (m, n) W^T, W (k, n)."""
    one, zero, work = like, to(like, 0), m * n * k
    if TILES and work > LEAST and (column == 1 or work > LEAST_TURNED) and bytes_of(like) * k * ldw <= large:
        call(None, tiles, (BACK_WAY, m, n, k, d, ldo, w, ldw, out, row, column, one, zero))
        return
    if work > tiny:
        gemm(blas, 1 if column == 1 else 3, k, m, n, one, w, ldw, d, row if column == 1 else column, zero, out, ldo)
        return
    D, W, C = pointer(like, d), pointer(like, w), pointer(like, out)
    for i in range(m):
        for p in range(k):
            total = zero
            for j in range(n):
                total += D[i * row + j * column] * W[p * ldw + j]
            C[i * ldo + p] = total


@inner
def gradient_product(like, blas, large, tiles, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg):
    """G (k, n) = beta G + alpha A^T D, A (m, k), D (m, n); beta is 0 or 1."""
    work, L = m * n * k, lanes(like)
    idle = -n & (L - 1)  # lanes of the last vector; more than a fifth of n, and BLAS is faster (n = 50: 4.5 to 5.2 us)
    full = column != 1 or n <= 2 * L or m < 32 or 5 * idle <= n
    least = LEAST if column == 1 else LEAST_TURNED
    if TILES and full and work > least and 2 * bytes_of(like) * k * n < large:
        call(None, tiles, (GRADIENT_WAY, m, n, k, a, lda, d, ldg, g, row, column, alpha, beta))
        return
    if work > tiny:
        gemm(blas, 2 if column == 1 else 3, n, k, m, alpha, d, row if column == 1 else column, a, lda, beta, g, ldg)
        return
    A, D, G = pointer(like, a), pointer(like, d), pointer(like, g)
    for p in range(k):
        if beta == 0:
            for j in range(n):
                G[p * ldg + j] = beta
        for i in range(m):
            x = alpha * A[i * lda + p]
            if column == 1:
                for j in range(n):
                    G[p * ldg + j] += x * D[i * row + j]
            else:
                for j in range(n):
                    G[p * ldg + j] += x * D[i * row + j * column]


# ---- the same, to be called by address ------------------------------------------------------------------------------


@kernel
def forward(number: Any, dtype: type) -> Any:
    """(blas, large, tiles, tiny, m, n, k, a, lda, w, ldw, z, row, column): see `forward_product`."""
    one = dtype(1)

    def run(blas, large, tiles, tiny, m, n, k, a, lda, w, ldw, z, row, column):
        forward_product(one, blas, large, tiles, tiny, m, n, k, a, lda, w, ldw, z, row, column)

    return void(*[int64] * 14), run


@kernel
def back(number: Any, dtype: type) -> Any:
    """(blas, large, tiles, tiny, m, n, k, d, row, column, w, ldw, out, ldo): see `back_product`."""
    one = dtype(1)

    def run(blas, large, tiles, tiny, m, n, k, d, row, column, w, ldw, out, ldo):
        back_product(one, blas, large, tiles, tiny, m, n, k, d, row, column, w, ldw, out, ldo)

    return void(*[int64] * 14), run


@kernel
def gradient(number: Any, dtype: type) -> Any:
    """(blas, large, tiles, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg): see `gradient_product`."""
    one = dtype(1)

    def run(blas, large, tiles, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg):
        gradient_product(one, blas, large, tiles, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg)

    return void(*[int64] * 7, number, *[int64] * 5, number, int64, int64), run
