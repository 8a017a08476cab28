"""Small products by tiles: any shape, cut into the tiles of registers.py; compiled on its own and called by address.

    0  forward    Z (m, n) = A (m, k) W (k, n)                     Z may be stored transposed
    1  back       dA (m, k) = D (m, n) W^T                         D may be stored transposed
    2  gradient   G (k, n) = beta G + alpha A^T D

(Compiled into the loop itself, it would be optimised again at each level of calls: twice the time.)
"""

from __future__ import annotations

from typing import Any

from numba import int64, void

from glassnet.engines.kernels import kernel
from glassnet.engines.machine import bytes_of, inner, pointer, to
from glassnet.engines.micro import VECTORS, apart, lanes, scratch
from glassnet.engines.registers import copy_row, dots, flip, tile

__all__ = ["BACK_WAY", "FORWARD_WAY", "GRADIENT_WAY", "MANY", "pack", "turn"]

FORWARD_WAY, BACK_WAY, GRADIENT_WAY = range(3)
MANY = VECTORS == 64
"""Whether there are 32 vector registers; else a tile has at most 12 sums."""
PANEL = 4096
"""Numbers of scratch memory; a panel of it stays in the first-level cache."""
PACKED_ROWS, NEAR = 32, 1 << 15
"""Rows of A from which on B is copied, panel by panel, where the panels have more bytes than the first-level cache.
(Measured with AVX2; with 32 registers panels are twice as wide, and it has not been tried.)"""
DEEP_PANEL = 3 * PANEL // 2
"""Numbers of a panel that B is copied to."""
FEW = 4
"""Rows of D; below it, transposing W costs more than adding up the lanes of each sum."""


# ---- any product, tile by tile -------------------------------------------------------------------------------------


@inner
def one_wide(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """C (m, n) = A B or C += alpha A B, where n is at most a vector."""
    apart()
    size, r = bytes_of(like), 0
    while m > 0:
        if MANY and m >= 16:
            r = 16
            tile(like, 16, 1, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 8:
            r = 8
            tile(like, 8, 1, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 4:
            r = 4
            tile(like, 4, 1, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 2:
            r = 2
            tile(like, 2, 1, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        else:
            r = 1
            tile(like, 1, 1, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        m -= r
        a += size * r * row
        c += size * r * ldc


@inner
def two_wide(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """The same, where n is more than a vector and at most two."""
    apart()
    size, r = bytes_of(like), 0
    while m > 0:
        if MANY and m >= 12:
            r = 12
            tile(like, 12, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif MANY and m >= 10:
            r = 10
            tile(like, 10, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif MANY and m >= 8:
            r = 8
            tile(like, 8, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 6:
            r = 6
            tile(like, 6, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 4:
            r = 4
            tile(like, 4, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        elif m >= 2:
            r = 2
            tile(like, 2, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        else:
            r = 1
            tile(like, 1, 2, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        m -= r
        a += size * r * row
        c += size * r * ldc


@inner
def narrow(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """The same, where n is at most two vectors."""
    if n > lanes(like):
        two_wide(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
    else:
        one_wide(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)


@inner
def pack(like, m, n, wide, b, ldb, panel):
    """Write B (m, n) into the panel, in rows of `wide` places."""
    apart()
    size = bytes_of(like)
    for p in range(m):
        copy_row(like, n, b + size * p * ldb, panel + size * p * wide)


@inner
def multiply_packed(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """C (m, n) = A B, or C += alpha A B, by way of panels of B that lie close together.

    Otherwise each tile would fetch them again: rows of B lie far apart, at worst on the same few lines of the cache.
    """
    apart()
    size, L = bytes_of(like), lanes(like)
    panel = scratch(like, DEEP_PANEL)
    wide = 2 * L
    usual = 4 * PANEL // (size * wide)
    deep = -(-k // max(1, (k + usual // 2) // usual))  # blocks of equal depth, each at most half as deep again
    for j in range(0, n, wide):
        columns, here = min(wide, n - j), beta
        for p in range(0, k, deep):
            rows = min(deep, k - p)
            pack(like, rows, columns, wide, b + size * (p * ldb + j), ldb, panel)
            narrow(like, m, columns, rows, a + size * p * step, row, step, panel, wide, alpha, here, c + size * j, ldc)
            here = like


@inner
def multiply(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """C (m, n) = A B, or C += alpha A B where beta is not 0; A[i, p] lies i row + p step behind `a`."""
    apart()
    size, L = bytes_of(like), lanes(like)
    if not MANY and m >= PACKED_ROWS and 2 * L * size * k > NEAR:
        multiply_packed(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc)
        return
    for j in range(0, n, 2 * L):
        narrow(like, m, min(2 * L, n - j), k, a, row, step, b + size * j, ldb, alpha, beta, c + size * j, ldc)


@inner
def turn(like, m, n, a, lda, alpha, beta, c, ldc):
    """C (n, m) = A^T, or C += alpha A^T where beta is not 0, for A (m, n)."""
    apart()
    size, L = bytes_of(like), lanes(like)
    for i in range(0, m, L):
        for j in range(0, n, L):
            source, target = a + size * (i * lda + j), c + size * (j * ldc + i)
            flip(like, min(L, m - i), min(L, n - j), source, lda, alpha, beta, target, ldc)


@inner
def multiply_flipped(like, m, n, k, a, row, step, b, ldb, alpha, beta, c, ldc):
    """The same with C^T in the place of C: C (n, m)."""
    apart()
    size, L, zero = bytes_of(like), lanes(like), to(like, 0)
    block = scratch(like, PANEL)
    wide = min(256, (n + L - 1) & -L)
    high = PANEL // wide // L * L
    for j in range(0, n, wide):
        columns = min(wide, n - j)
        for i in range(0, m, high):
            rows = min(high, m - i)
            multiply(like, rows, columns, k, a + size * i * row, row, step, b + size * j, ldb, like, zero, block, wide)
            turn(like, rows, columns, block, wide, alpha, beta, c + size * (j * ldc + i), ldc)


@inner
def multiply_transpose(like, m, n, k, a, row, step, b, ldb, c, ldc):
    """C (m, n) = A B^T for B (n, k): panels of B^T, two vectors wide, are written into scratch memory first."""
    apart()
    size, L, zero = bytes_of(like), lanes(like), to(like, 0)
    panel = scratch(like, PANEL)
    wide = 2 * L
    deep = PANEL // wide
    for j in range(0, n, wide):
        columns = min(wide, n - j)
        for p in range(0, k, deep):
            rows = min(deep, k - p)
            turn(like, columns, rows, b + size * (j * ldb + p), ldb, like, zero, panel, wide)
            beta = zero if p == 0 else like
            narrow(like, m, columns, rows, a + size * p * step, row, step, panel, wide, like, beta, c + size * j, ldc)


@inner
def dot_rows(like, m, k, a, lda, x, c):
    """c (m) = A x for A (m, k)."""
    apart()
    size, L = bytes_of(like), lanes(like)
    for i in range(0, m, L):
        dots(like, min(L, m - i), k, a + size * i * lda, lda, x, c + size * i)


@inner
def add_outer(like, n, k, alpha, a, d, beta, g, ldg):
    """G (k, n) = beta G + alpha a^T d, row by row: of the fastest ways, the one that reads memory in its order."""
    A, D, G = pointer(like, a), pointer(like, d), pointer(like, g)
    for p in range(k):
        x = alpha * A[p]
        if beta == 0:
            for j in range(n):
                G[p * ldg + j] = x * D[j]
        else:
            for j in range(n):
                G[p * ldg + j] += x * D[j]


# ---- the products of a layer, by tiles -----------------------------------------------------------------------------


@inner
def forward_tiles(like, m, n, k, a, lda, w, ldw, z, row, column):
    """Z = A W."""
    apart()
    one, zero, unit = like, to(like, 0), to(m, 1)  # a literal would have all of this compiled again for it
    if n == 1 and ldw == 1 and row == 1:
        dot_rows(like, m, k, a, lda, w, z)
    elif column == 1:
        multiply(like, m, n, k, a, lda, unit, w, ldw, one, zero, z, row)
    else:
        multiply_flipped(like, m, n, k, a, lda, unit, w, ldw, one, zero, z, column)


@inner
def back_tiles(like, m, n, k, d, row, column, w, ldw, out, ldo):
    """dA = D W^T."""
    apart()
    one, zero, size = like, to(like, 0), bytes_of(like)
    if n == 1 and ldw == 1:
        multiply(like, m, k, n, d, row, column, w, ldw, one, zero, out, ldo)
    elif m < FEW and column == 1:
        for i in range(m):
            dot_rows(like, k, n, w, ldw, d + size * i * row, out + size * i * ldo)
    else:
        multiply_transpose(like, m, k, n, d, row, column, w, ldw, out, ldo)


@inner
def gradient_tiles(like, m, n, k, alpha, a, lda, d, row, column, beta, g, ldg):
    """G = beta G + alpha A^T D."""
    apart()
    G, unit = pointer(like, g), to(m, 1)
    if beta == 0 and alpha != like:  # a tile does not multiply what it writes over the old numbers
        for p in range(k):
            for j in range(n):
                G[p * ldg + j] = beta
        beta = like
    if n == 1 and ldg == 1:
        multiply(like, n, k, m, d, column, row, a, lda, alpha, beta, g, ldg)
    elif m == 1 and column == 1 and n > 2 * lanes(like):
        add_outer(like, n, k, alpha, a, d, beta, g, ldg)
    elif column == 1:
        multiply(like, k, n, m, a, unit, lda, d, row, alpha, beta, g, ldg)
    else:
        multiply_flipped(like, n, k, m, d, column, row, a, lda, alpha, beta, g, ldg)


@kernel
def tiles(number: Any, dtype: type) -> Any:
    """(way, m, n, k, x, ldx, y, ldy, z, row, column, alpha, beta): one of the three products.

    forward   x = A, y = W, z = Z with strides row and column
    back      x = D with strides row and column, y = W, z = dA with ldx places a row
    gradient  x = A, y = D with strides row and column, z = G with ldy places a row
    """

    def run(way, m, n, k, x, ldx, y, ldy, z, row, column, alpha, beta):
        like = to(alpha, 1)
        if way == FORWARD_WAY:
            forward_tiles(like, m, n, k, x, ldx, y, ldy, z, row, column)
        elif way == BACK_WAY:
            back_tiles(like, m, n, k, x, row, column, y, ldy, z, ldx)
        else:
            gradient_tiles(like, m, n, k, alpha, x, ldx, y, row, column, beta, z, ldy)

    return void(*[int64] * 11, number, number), run
