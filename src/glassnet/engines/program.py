"""A network as tables of numbers, which the compiled loop reads: what each layer is, and where its arrays lie.

Work memory is one vector. For the largest batch of m rows it holds, layer by layer, a[l] (m, units + 1), whose last
column is 1, so that [A 1] [W; b] = A W + b is one product and [A 1]^T dZ gives both gradients (W and b lie one after
the other in theta); z[l] of the same shape where the layer has an activation, overwritten by f'(z); what the layer
keeps for the way back; and two places for dL/da.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from glassnet.activations import get
from glassnet.arrays import Array
from glassnet.engines import tables as t
from glassnet.layers import BatchNorm, Dense, Dropout, Layer, LayerNorm
from glassnet.network import Network

__all__ = ["KINDS", "Program", "write"]

IDENTITY = get("identity")
ALIGNMENT = 16
"""Places; arrays begin at multiples of it, and may be written to up to the next one."""
VECTOR = 8
"""Places; where the samples of a batch lie side by side, their number is made a multiple of it."""
PIECE = 1 << 22
"""Multiplications; a product of twice as many is cut in two, for two threads."""
UPDATE_PIECE = 1 << 18
"""Weights; a gradient is computed and applied in blocks of about so many, which stay near the processor. (With a
quarter of it, every block packs delta anew for BLAS: 1024-1024 weights took 5.2 ms instead of 3.8.)"""


@dataclass(frozen=True)
class Program:
    """The tables, and how much memory they speak of."""

    layers: Array
    options: Array
    """(L, 2): Dropout's rate; the momentum and eps of BatchNorm; 0 and the eps of LayerNorm."""
    memory: int
    deltas: tuple[int, int]
    targets: int
    weights: int
    row_work: int
    blocks: int
    largest_block: int
    pieces: int
    """The most pieces that a product is cut into."""


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


def write(net: Network, m: int) -> Program:
    """Return the tables of a network for batches of at most m rows; the kernels' addresses are still 0."""
    table = np.zeros((len(net.layers), t.LAYER_COLUMNS), np.int64)
    options = np.array([_options(layer) for layer in net.layers])
    memory = _Memory()
    m = -(-m // VECTOR) * VECTOR
    a_in, theta, stats, blocks, largest = memory.take(m * (net.n_inputs + 1)), 0, 0, 0, 1
    for l, layer in enumerate(net.layers):
        row, n_in, n_out = table[l], net.sizes[l], net.sizes[l + 1]
        ends = l == len(net.layers) - 1 and isinstance(layer, Dense)  # what the loss reads has no column of ones
        ld = n_out + (not ends)
        size = _size(layer, n_in)
        row[[t.KIND, t.N_IN, t.N_OUT]] = KINDS[type(layer)], n_in, n_out
        row[[t.THETA, t.SIZE, t.STATS]] = theta, size, stats
        row[[t.A_IN, t.LD_IN, t.LD]] = a_in, n_in + 1, ld
        row[t.A] = memory.take(m * ld)
        plain = isinstance(layer, Dense) and (ends or layer.function == IDENTITY)
        row[t.Z] = row[t.A] if plain else memory.take(m * ld)
        row[t.OUT] = row[t.Z] if isinstance(layer, Dense) else row[t.A]
        row[[t.PIECES, t.BACK_PIECES, t.BLOCK]] = 1
        if isinstance(layer, Dense):
            rows = n_in + layer.bias
            row[[t.ROWS, t.BLOCK]] = rows, _block(m, rows, n_out)
            if layer.function.elementwise:
                row[t.PIECES] = _pieces(m * rows * n_out, n_out)
            if l > 0 and net.layers[l - 1].function.elementwise:  # a row-wise function waits for whole rows
                row[t.BACK_PIECES] = _pieces(m * rows * n_out, n_in)
        else:
            row[[t.SCALE, t.MEAN]] = memory.take(max(m, n_out)), memory.take(n_out)
        row[t.FIRST_BLOCK] = blocks
        blocks += -(-max(int(row[t.ROWS]), 1) // int(row[t.BLOCK]))
        largest = max(largest, int(row[t.BLOCK]) * n_out, 2 * n_in)
        theta, stats, a_in = theta + size, stats + _stats(layer, n_in), int(row[t.A])
    widest = max(net.sizes) + 1
    deltas = memory.take(m * widest), memory.take(m * widest)
    targets, weights, row_work = memory.take(m * net.n_outputs), memory.take(m), memory.take(4 * m)
    pieces = int(table[:, [t.PIECES, t.BACK_PIECES]].max())
    return Program(table, options, memory.size, deltas, targets, weights, row_work, blocks, largest, pieces)


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


def _pieces(multiplications: int, columns: int) -> int:
    return 2 if multiplications >= 2 * PIECE and columns >= 128 else 1


def _block(m: int, rows: int, columns: int) -> int:
    """Rows of a block: all, where the gradient is small; else blocks of equal size, two at least for two threads."""
    count = max(_pieces(m * rows * columns, rows), round(rows * columns / UPDATE_PIECE))
    return -(-rows // count)
