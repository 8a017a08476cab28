"""Rows of the data on their way into a batch, a vector at a time, where they have the dtype of theta.

(LLVM must allow for a row of X that overlaps the batch, and asks anew for each row: 32 rows of 13 took 128 ns, now 37.)
"""

from __future__ import annotations

from typing import Any

from numba import int64, types, void
from numba.extending import intrinsic

from glassnet.engines.kernels import kernel
from glassnet.engines.machine import bytes_of, pointer
from glassnet.engines.micro import Writer, lanes, scratch
from glassnet.engines.registers import copy_row, flip

__all__: list[str] = []

BLOCK = 256
"""Numbers of a square block of vectors, at most."""


@intrinsic
def copy_vector(typingctx: Any, like: Any, n: Any, source: Any, target: Any) -> Any:
    """The first n numbers and zeros, a whole vector, to the target."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, n, source, target = args
        w.store(w.load(w.at(source), w.mask(n)), w.at(target))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole), codegen


@kernel
def gather_rows(number: Any, dtype: type) -> Any:
    """(X, rows, out, m, d, row stride, 1, row and column stride of out): out[i, j] <- X[rows[i], j].

    One of the strides of `out` is 1: it may be stored transposed.
    """
    one, zero = dtype(1), dtype(0)

    def run(X, rows, out, m, d, x_row, x_column, row, column):
        size, order = bytes_of(one), pointer(0, rows)
        if column == 1:
            for i in range(m):
                copy_row(one, d, X + size * order[i] * x_row, out + size * i * row)
        else:
            L, block = lanes(one), scratch(one, BLOCK)
            for i in range(0, m, L):
                high = min(L, m - i)
                for j in range(0, d, L):
                    wide = min(L, d - j)
                    for r in range(high):
                        copy_vector(one, wide, X + size * (order[i + r] * x_row + j), block + size * r * L)
                    flip(one, high, wide, block, L, one, zero, out + size * (j * column + i), column)

    return void(*[int64] * 9), run
