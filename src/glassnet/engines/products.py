"""Products of matrices: BLAS with alpha and beta, in place, and plain loops where a call of BLAS costs more.

Matrices lie row by row, as NumPy's do; BLAS takes them column by column, that is transposed: C = A B is its
C^T = B^T A^T. `ld` is the number of places from one row to the next. Arguments are addresses.
"""

from __future__ import annotations

from numba import njit

from glassnet.engines.machine import gemm, pointer

__all__ = ["back_product", "forward_product", "gradient_product", "inner"]

inner = njit(error_model="numpy", fastmath={"contract"}, nogil=True)
"""Compiled code that is called by compiled code."""
NARROW = 16
"""Columns; below it a plain loop goes along the sum, so that nothing is written twice."""


@inner
def forward_product(like, blas, tiny, m, n, k, a, lda, w, ldw, z, row, column):
    """Z (m, n) = A (m, k) W (k, n), where Z has strides row and column, one of which is 1."""
    one, zero = like, like * 0
    if m * n * k > tiny:
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
def back_product(like, blas, tiny, m, n, k, d, row, column, w, ldw, out, ldo):
    """dA (m, k) = D (m, n) W^T, W (k, n)."""
    one, zero = like, like * 0
    if m * n * k > tiny:
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
def gradient_product(like, blas, tiny, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg):
    """G (k, n) = beta G + alpha A^T D, A (m, k), D (m, n); beta is 0 or 1."""
    if m * n * k > tiny:
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
