"""A network as tables of numbers, which the compiled loop reads: what each layer is, and where its arrays lie.

Work memory is one vector. For the largest batch of m rows it holds, layer by layer, a[l] (m, units + 1), whose last
column is 1, so that [A 1] [W; b] = A W + b is one product and [A 1]^T dZ gives both gradients (W and b lie one after
the other in theta); z[l] of the same shape where f' is not a function of a alone, overwritten by f'(z); what the layer
keeps for the way back; and delta[l] of the same shape. The last delta stands where z was. A row has some places more
where rows then begin with a vector.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np

from glassnet.activations import get
from glassnet.arrays import Array
from glassnet.engines import tables as t
from glassnet.engines.formulas import looks_at
from glassnet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from glassnet.network import Network

__all__ = ["KINDS", "Program", "write"]

IDENTITY, RELU, SOFTMAX = get("identity"), get("relu"), get("softmax")
DENSEST = 60
"""Of 100 numbers, so many may be other than zero where it pays to leave the others out (benchmarks/README.md)."""
NARROW_DENSEST = {2: 15, 4: 40}
"""The same for outputs of at most so many vectors, where two of them are multiplied in one cycle: a set bit takes four
cycles or more, in which a tile of a dense product takes many numbers."""
FEW_ROWS = 4
"""Rows of a batch; below it a dense product does not have such tiles."""
HALF_OF_RELU = 50
"""Of 100 outputs of relu, so many are expected to be other than zero."""
ALIGNMENT = 16
"""Places; arrays begin at multiples of it, and may be written to up to the next one."""
PIECE = 1 << 22
"""Multiplications; a product of twice as many is cut in two, for two threads."""
PART = 1 << 18
"""Multiplications of a batch on its way forward; one of twice as many goes through dense layers in two parts."""
PART_ROWS = 32
"""Rows of a part, at least: each transposes all weights on the way back (ten layers of 64, batch 32: 94 us or 114)."""
UPDATE_PIECE = 1 << 18
"""Weights; a gradient is computed and applied in blocks of about so many, which stay near the processor. (With a
quarter of it, every block packs delta anew for BLAS: 1024-1024 weights took 5.2 ms instead of 3.8.)"""
WIDEST = 8
"""Vectors of a layer's outputs, at most, that a batch of one row keeps in registers."""


@dataclass(frozen=True)
class Program:
    """The tables, and how much memory they speak of."""

    layers: Array
    options: Array
    """(L, 2): Dropout's rate; the momentum and eps of BatchNorm; 0 and the eps of LayerNorm."""
    memory: int
    spare: int
    targets: int
    weights: int
    row_work: int
    blocks: int
    largest_block: int
    parts: int
    """Parts of a batch that go through the network on their own."""
    pieces: int
    """The most pieces that anything is cut into."""
    bits: int
    """Words of bits."""
    row_by_row: bool
    """Whether a batch is one row, and takes its own way (one_row.py)."""


@dataclass
class _Memory:
    """Hands out places."""

    size: int = 0

    def take(self, count: int) -> int:
        start = self.size
        self.size += -(-count // ALIGNMENT) * ALIGNMENT
        return start


KINDS: dict[type, int] = {
    Dense: t.DENSE, Dropout: t.DROPOUT, BatchNorm: t.BATCH_NORM, LayerNorm: t.LAYER_NORM,
}  # fmt: skip


def write(net: Network, m: int, *, lanes: int = 0, marked: int = 100, half_speed: bool = False) -> Program:
    """Return the tables of a network for batches of at most m rows; the kernels' addresses are still 0.

    Of 100 numbers of the data, `marked` are other than zero. Products of matrices wider than a vector, of `lanes`
    numbers, may leave the others out; `half_speed`: the processor multiplies one vector a cycle, not two.
    """
    table = np.zeros((len(net.layers), t.LAYER_COLUMNS), np.int64)
    options = np.array([_options(layer) for layer in net.layers])
    memory, single, slow = _Memory(), m == 1, half_speed or m < FEW_ROWS
    parts, m = _parts(net, m), -(-m // t.SAMPLES) * t.SAMPLES
    a_in, ld_in, theta, stats, blocks, largest = memory.take(m * (net.n_inputs + 1)), net.n_inputs + 1, 0, 0, 0, 1
    for l, layer in enumerate(net.layers):
        row, n_in, n_out = table[l], net.sizes[l], net.sizes[l + 1]
        ends = l == len(net.layers) - 1 and isinstance(layer, Dense)  # what the loss reads has no column of ones
        places = _row(n_out + 1, lanes) if isinstance(layer, Dense) else ld_in  # the others go through both in one way
        ld = n_out if ends else places
        size = _size(layer, n_in)
        row[[t.KIND, t.N_IN, t.N_OUT]] = KINDS[type(layer)], n_in, n_out
        row[[t.THETA, t.SIZE, t.STATS]] = theta, size, stats
        row[[t.A_IN, t.LD_IN, t.LD]] = a_in, ld_in, ld
        row[t.A] = memory.take(m * ld)
        row[t.Z] = row[t.A] if isinstance(layer, Dense) and (ends or _in_place(layer)) else memory.take(m * ld)
        row[t.OUT] = row[t.Z] if isinstance(layer, Dense) else row[t.A]
        row[[t.PIECES, t.BACK_PIECES, t.BLOCK]] = 1
        if isinstance(layer, Dense):
            rows = n_in + layer.bias
            row[[t.ROWS, t.BLOCK]] = rows, _block(m, rows, n_out, parts)
            if parts > 1 and 2 * rows * n_out < m * (rows + n_out):  # less to fetch from the other core than A and dZ
                row[t.GRADS] = memory.take(parts * rows * n_out)
            if parts == 1 and layer.function.elementwise:
                row[t.PIECES] = _pieces(m * rows * n_out, n_out)
            if (
                parts == 1 and l > 0 and net.layers[l - 1].function.elementwise
            ):  # a row-wise function waits for whole rows
                row[t.BACK_PIECES] = _pieces(m * rows * n_out, n_in)
        else:
            row[[t.SCALE, t.MEAN]] = memory.take(max(m, n_out)), memory.take(n_out)
        row[t.FIRST_BLOCK] = blocks
        blocks += -(-max(int(row[t.ROWS]), 1) // int(row[t.BLOCK]))
        largest = max(largest, int(row[t.BLOCK]) * n_out, 2 * n_in)
        theta, stats, a_in, ld_in = theta + size, stats + _stats(layer, n_in), int(row[t.A]), ld
    _place_deltas(table, memory, m)
    bits = _place_bits(net, table, m, parts, lanes, marked, slow)
    spare = memory.take(m * (net.n_outputs + 1))
    targets, weights, row_work = memory.take(m * net.n_outputs), memory.take(m), memory.take(4 * m)
    pieces = max(parts, int(table[:, [t.PIECES, t.BACK_PIECES]].max()))
    single = single and pieces == 1 and _goes_row_by_row(net, table, lanes)
    return Program(
        table, options, memory.size, spare, targets, weights, row_work, blocks, largest, parts, pieces, bits, single
    )  # fmt: skip


def _row(n: int, lanes: int) -> int:
    """Places of a row of n numbers: whole vectors, where that takes an eighth more at most."""
    whole = -(-n // max(1, lanes)) * max(1, lanes)
    return whole if 8 * (whole - n) <= n else n


def _place_deltas(table: Array, memory: _Memory, m: int) -> None:
    """The last delta takes the place of z; a layer without products turns the delta above it into its own, in place."""
    table[-1, t.DELTA] = table[-1, t.OUT]
    for row, above in zip(table[-2::-1], table[:0:-1], strict=True):
        row[t.DELTA] = memory.take(m * int(row[t.LD])) if above[t.KIND] == t.DENSE else above[t.DELTA]


def _place_bits(net: Network, table: Array, m: int, parts: int, lanes: int, marked: int, slow: bool) -> int:
    """Places for bits that say which inputs of a layer are not zero, where many may be; return how many words."""
    words = _Memory()
    for l, (layer, row) in enumerate(zip(net.layers, table, strict=True)):
        marked = marked if l == 0 else _marked_by(net.layers[l - 1], marked)
        turned = l == len(table) - 1 and layer.function == SOFTMAX  # its products lie the other way round
        row[[t.MOST, t.BACK_MOST]] = _densest(int(row[t.N_OUT]), lanes, slow), _densest(int(row[t.N_IN]), lanes, slow)
        row[t.LEAVES_OUT] = marked <= row[t.MOST] and not turned
        below = table[l - 1]
        back = l > 1 and below[t.KIND] == t.DENSE and lanes < row[t.N_IN] and marked <= below[t.BACK_MOST]
        if isinstance(layer, Dense) and (row[t.LEAVES_OUT] or back):
            row[t.WORDS] = -(-row[t.ROWS] // t.WORD)
            row[t.BITS] = words.take(m * row[t.WORDS])
            row[t.SECOND_PART] = -(-(m // parts + t.SAMPLES) // t.WORD) * t.WORD * row[t.WORDS]
            row[t.COLUMN_BITS] = words.take(parts * row[t.SECOND_PART])
    return words.size


def _goes_row_by_row(net: Network, table: Array, lanes: int) -> bool:
    """Whether all layers are dense and narrow, and there are not so many zeros that products leave them out."""
    layers = [layer for layer in net.layers if isinstance(layer, Dense)]
    plain = len(layers) == len(net.layers) and all(layer.function.elementwise for layer in layers[:-1])
    narrow = max(net.sizes[1:]) <= WIDEST * lanes and bool(np.all(table[:, t.BLOCK] >= table[:, t.ROWS]))
    return plain and narrow and not table[0, t.LEAVES_OUT]


def _in_place(layer: Dense) -> bool:
    """Whether a may take the place of z."""
    return (layer.function.elementwise and not looks_at(layer.function.df, 0)) or layer.function == IDENTITY


def _densest(n: int, lanes: int, slow: bool) -> int:
    """Of 100 numbers, how many may be other than zero where a product of n columns had better leave the others out."""
    if not 0 < lanes < n:
        return -1
    return DENSEST if slow else next((most for V, most in NARROW_DENSEST.items() if n <= V * lanes), DENSEST)


def _marked_by(layer: Layer, marked: int) -> int:
    """Of 100 outputs of the layer, how many are expected to be other than 0; of its inputs, `marked` are."""
    if isinstance(layer, Dropout):
        return round(marked * (1 - layer.rate))
    return HALF_OF_RELU if isinstance(layer, Dense) and layer.function == RELU else 100


def _size(layer: Layer, n_in: int) -> int:
    return sum(prod(shape) for shape in layer.parameters(n_in).values())


def _stats(layer: Layer, n_in: int) -> int:
    return sum(prod(shape) for shape in layer.statistics(n_in).values())


def _options(layer: Any) -> tuple[float, float]:
    if isinstance(layer, Dropout):
        return layer.rate, 0.0
    if isinstance(layer, BatchNorm):
        return layer.momentum, layer.eps
    return 0.0, layer.eps if isinstance(layer, LayerNorm) else 0.0


def _parts(net: Network, m: int) -> int:
    """Two where the batch is large enough for two threads, and no layer looks at all of its rows.

    But not where a matrix of weights is so large that it would better be read once, for all rows.
    """
    weights = [(n_in + 1) * n_out for n_in, n_out in pairwise(net.sizes)]
    fits = m >= 2 * PART_ROWS and m * sum(weights) >= 2 * PART and max(weights) <= UPDATE_PIECE
    return 2 if fits and all(isinstance(layer, Dense) for layer in net.layers) else 1


def _pieces(multiplications: int, columns: int) -> int:
    return 2 if multiplications >= 2 * PIECE and columns >= 128 else 1


def _block(m: int, rows: int, columns: int, parts: int) -> int:
    """Rows of a block: all, where the gradient is small; else blocks of equal size, as many for each thread."""
    count = round(rows * columns / UPDATE_PIECE)
    if parts == 1:
        count = max(_pieces(m * rows * columns, rows), count)
    elif rows >= t.SAMPLES:
        count = max(2, count + count % 2)
    return -(-rows // max(1, count))
