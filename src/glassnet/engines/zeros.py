"""The three products of a dense layer, which leave out zeros where a batch has many of them.

Whether a layer keeps bits at all is written in the table (program.py). Whether they pay is counted anew for each part
of a batch, so that it depends on the numbers alone, never on the threads. delta is 0 where relu has made a 0 of a, so
the way back through a layer looks at the bits of the layer above it.
"""

from __future__ import annotations

from glassnet.engines.machine import bytes_of, call, inner, to
from glassnet.engines.sparse import ones
from glassnet.engines.tables import (
    A_IN,
    BACK_MOST,
    BACK_PICKS,
    BACK_PRODUCT,
    BITS,
    BITS_AT,
    COLUMN_BITS,
    FORWARD_PRODUCT,
    GEMM,
    GRADIENT_PRODUCT,
    LARGE,
    LD_IN,
    LEAVES_OUT,
    MARKS,
    MOST,
    N_OUT,
    PICKS,
    ROWS,
    SECOND_PART,
    SPREADS,
    TILES,
    TINY,
    WORD,
    WORDS,
)

__all__ = ["edge", "layer_back", "layer_forward", "layer_gradient", "mark_zeros"]

A_FEW = 16
"""Rows of a batch; up to it, a gradient that is added to is formed row by row."""


# ---- bits ---------------------------------------------------------------------------------------------------------


@inner
def edge(n, piece, pieces):
    """Where a piece of n begins: with a word of bits, and the last one ends with n."""
    return n if piece == pieces else n * piece // pieces & -WORD


@inner
def row_bits(plan, layer, row):
    """The address of the words of a row of the layer's input."""
    return plan[BITS_AT] + 8 * (layer[BITS] + row * layer[WORDS])


@inner
def column_bits(plan, layer, low):
    """The address of the words of its columns, for the part of the batch that begins with row `low`."""
    return plan[BITS_AT] + 8 * (layer[COLUMN_BITS] + (layer[SECOND_PART] if low > 0 else 0))


@inner
def mark_zeros(like, plan, layer, base, low, first, end, left, right):
    """Write the bits of A_IN[first:end, left:right]; `first` is so many words behind `low`, where its part begins."""
    a = base + bytes_of(like) * (layer[A_IN] + first * layer[LD_IN] + left)
    bits = row_bits(plan, layer, first) + left // 8
    columns = column_bits(plan, layer, low) + 8 * ((first - low) * layer[WORDS] + left)
    call(None, plan[MARKS], (end - first, right - left, a, layer[LD_IN], bits, layer[WORDS], columns))


@inner
def has_zeros(plan, layer, low, high, most):
    """Whether of 100 numbers of rows low ... high - 1 of the layer's input, `most` at most are other than zero."""
    marked = ones(row_bits(plan, layer, low), (high - low) * layer[WORDS])
    return 100 * marked <= most * ((high - low) * layer[ROWS])


# ---- products -----------------------------------------------------------------------------------------------------


@inner
def layer_forward(like, plan, layer, base, w, low, high, n, z, row, column):
    """Z = [A 1] [W; b] of rows low ... high - 1 for n units, whose columns of [W; b] begin at `w`."""
    a, k, ld, ldw = base + bytes_of(like) * (layer[A_IN] + low * layer[LD_IN]), layer[ROWS], layer[LD_IN], layer[N_OUT]
    if layer[LEAVES_OUT] != 0 and has_zeros(plan, layer, low, high, layer[MOST]):
        bits, words, zero = row_bits(plan, layer, low), 8 * layer[WORDS], to(like, 0)
        call(None, plan[PICKS], (high - low, n, k, bits, words, 8, a, ld, 1, w, ldw, like, zero, z, row))
    else:
        how = plan[GEMM], plan[LARGE], plan[TILES], plan[TINY]
        call(None, plan[FORWARD_PRODUCT], (*how, high - low, n, k, a, ld, w, ldw, z, row, column))


@inner
def layer_back(like, plan, layer, above, low, high, k, d, row, column, w, out, ldo):
    """dA = delta W^T of rows low ... high - 1 for k inputs, whose rows of W begin at `w`; `above` the last: itself."""
    n = layer[N_OUT]
    if above[WORDS] != 0 and above[A_IN] != layer[A_IN] and has_zeros(plan, above, low, high, layer[BACK_MOST]):
        bits = row_bits(plan, above, low)
        call(None, plan[BACK_PICKS], (high - low, n, k, bits, above[WORDS], d, row, w, n, out, ldo))
    else:
        how = plan[GEMM], plan[LARGE], plan[TILES], plan[TINY]
        call(None, plan[BACK_PRODUCT], (*how, high - low, n, k, d, row, column, w, n, out, ldo))


@inner
def layer_gradient(like, plan, layer, base, low, high, first, end, d, row, column, alpha, beta, g):
    """G = beta G + alpha [A 1]^T delta: its rows first ... end - 1, of rows low ... high - 1 of a part of the batch."""
    m, n, ld = high - low, layer[N_OUT], layer[LD_IN]
    a = base + bytes_of(like) * (layer[A_IN] + low * ld + first)
    if layer[LEAVES_OUT] == 0 or not has_zeros(plan, layer, low, high, layer[MOST]):
        how = plan[GEMM], plan[LARGE], plan[TILES], plan[TINY]
        call(None, plan[GRADIENT_PRODUCT], (*how, m, n, end - first, alpha, a, ld, d, row, column, beta, g, n))
    elif beta != 0 and m <= A_FEW and end - first == layer[ROWS]:
        call(None, plan[SPREADS], (m, n, end, row_bits(plan, layer, low), layer[WORDS], a, ld, d, row, alpha, g, n))
    else:
        bits, words = column_bits(plan, layer, low) + 8 * first, 8 * WORD * layer[WORDS]
        call(None, plan[PICKS], (end - first, n, m, bits, 8, words, a, 1, ld, d, row, alpha, beta, g, n))
