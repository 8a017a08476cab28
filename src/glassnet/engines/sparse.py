"""Products that leave out zeros: images are mostly black, a category is one 1 among zeros, relu makes half its units 0.

    marks   a bit for each number of A: is it other than zero? 64 of a row make a word, and 64 of a column
    picks   C[i, :] = sum of A[i, p] B[p, :] over the bits p of row i

A row of C stays in registers while its bits are gone through; each costs a broadcast and a multiply-add for each vector
of a row of B. A tile of a dense product reads B once for many rows of C, so this pays where zeros are frequent. What is
left out is zero times a number; if that was infinite, its products with the other numbers are, and end the run.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import int64, types, void
from numba.extending import intrinsic

from glassnet.engines.kernels import kernel
from glassnet.engines.machine import bytes_of, inner, pointer, to
from glassnet.engines.micro import INT32, INT64, Writer, apart, lanes, scratch
from glassnet.engines.tables import LINE, WORD
from glassnet.engines.tiles import pack, turn

__all__ = ["ones"]

MOST = 8
"""Vectors of a row of C that stay in registers."""
NEAR = 1 << 15
"""Bytes of the rows of B that a few words choose from, at most: they stay in the first-level cache."""
PANEL = NEAR // 4
FEW = 16
"""Rows of A; below it, B is read where it lies."""


# ---- bits ---------------------------------------------------------------------------------------------------------


@intrinsic
def ones_of(typingctx: Any, word: Any) -> Any:
    """The set bits of a word."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.call(builder.module.declare_intrinsic("llvm.ctpop", [INT64]), args)

    return types.int64(types.int64), codegen


@inner
def ones(bits, n):
    """The set bits of n words."""
    words, total = pointer(0, bits), 0
    for i in range(n):
        total += ones_of(words[i])
    return total


@intrinsic
def mark_columns(
    typingctx: Any, like: Any, m: Any, n: Any, a: Any, lda: Any, bits: Any, stride: Any, columns: Any
) -> Any:  # fmt: skip
    """The bits of A (m, n), m <= 64 and n within a vector (of 8 numbers at least).

    Those of a row are a piece of a word at `bits`, rows `stride` bytes apart; of a column, a word at `columns`.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, m, n, a, lda, bits, stride, columns = args
        w.vector = ir.VectorType(w.number, max(8, w.lanes))  # whole bytes of bits
        w.lanes = w.vector.count
        lane = ir.IntType(8 * w.size)  # a word holds the bits of as many rows as a lane, or of twice as many
        word = ir.VectorType(lane, w.lanes)
        zeros, none = ir.Constant(w.vector, [0.0] * w.lanes), ir.Constant(word, None)
        mask, piece = w.mask(n), ir.IntType(w.lanes)

        def some(count: Any, here: Any, place: Any) -> list[Any]:
            """The words of at most as many rows as a lane has bits; and where the next row is."""

            def one_row(state: list[Any]) -> list[Any]:
                sums, bit, here, place = state
                marked = builder.fcmp_unordered("!=", w.load(here, mask), zeros)
                builder.store(builder.bitcast(marked, piece), builder.bitcast(place, piece.as_pointer()), align=1)
                sums = builder.or_(sums, builder.select(marked, bit, none))
                return [sums, builder.add(bit, bit), w.at(here, w.bytes(lda)), w.at(place, stride)]

            first = ir.Constant(word, [1] * w.lanes)
            sums, _, here, place = w.loop(count, [none, first, here, place], one_row)
            return [sums, here, place]

        target = w.at(columns)
        if w.size == 8:
            sums, _, _ = some(m, w.at(a), w.at(bits))
            builder.store(sums, builder.bitcast(target, word.as_pointer()), align=8)
        else:
            half = INT64(32)
            fewer = builder.select(builder.icmp_signed("<", m, half), m, half)
            low, here, place = some(fewer, w.at(a), w.at(bits))
            high, _, _ = some(builder.sub(m, fewer), here, place)
            both = [i // 2 + i % 2 * w.lanes for i in range(2 * w.lanes)]
            pairs = builder.shuffle_vector(low, high, ir.Constant(ir.VectorType(INT32, 2 * w.lanes), both))
            builder.store(pairs, builder.bitcast(target, pairs.type.as_pointer()), align=8)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, *[whole] * 7), codegen


@inner
def mark(like, m, k, a, lda, bits, words, columns):
    """bits (m, words) and columns (words of m, 64 words): those of the rows and of the columns of A (m, k)."""
    apart()
    size = bytes_of(like)
    wide = max(8, lanes(like))
    for high in range(0, m, WORD):
        rows = min(WORD, m - high)
        for p in range(0, k, wide):
            mark_columns(
                like, rows, min(wide, k - p), a + size * (high * lda + p), lda,
                bits + 8 * words * high + p // 8, 8 * words, columns + 8 * (high * words + p),
            )  # fmt: skip


# ---- products -----------------------------------------------------------------------------------------------------


@intrinsic
def picked(
    typingctx: Any, like: Any, m: Any, n: Any, words: Any, bits: Any, stride: Any, far: Any, a: Any, row: Any,
    step: Any, b: Any, ldb: Any, alpha: Any, beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """C (m, n) = A B, or C += alpha A B where beta is not 0, over the set bits: n is at most MOST vectors.

    A[r, p] lies r row + p step behind `a`, the i-th word of row r lies r stride + i far bytes behind `bits`.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, m, n, words, bits, stride, far, a, row, step, b, ldb, alpha, beta, c, ldc = args
        row, step, ldb, ldc = (w.bytes(places) for places in (row, step, ldb, ldc))
        factor, b, after = w.splat(alpha), w.at(b), builder.append_basic_block("after")
        vectors = builder.udiv(builder.add(n, INT64(w.lanes - 1)), INT64(w.lanes))
        choice = builder.switch(vectors, after)
        for wide in range(1, MOST + 1):
            choice.add_case(INT64(wide), builder.append_basic_block(f"wide{wide}"))
            builder.position_at_end(choice.cases[-1][1])
            left = builder.sub(n, INT64((wide - 1) * w.lanes))
            masks = [None] * (wide - 1) + [w.mask(left)]

            def one_row(state: list[Any], left: Any = left, masks: list[Any] = masks) -> list[Any]:
                here, place, target = state
                sums = _sums(w, masks, words, place, far, here, step, b, ldb)
                targets = [(w.at(target, INT64(v * w.lanes * w.size)), mask) for v, mask in enumerate(masks)]
                w.deliver_rows(sums, targets, left, factor, beta, alone=True)
                return [w.at(here, row), w.at(place, stride), w.at(target, ldc)]

            w.loop(m, [w.at(a), w.at(bits), w.at(c)], one_row)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, *[whole] * 11, like, like, whole, whole), codegen


def _walk(w: Writer, word: Any, state: list[Any], at_bit: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
    """Call at_bit(p, state), which returns the next state, for the places p of the set bits of a word."""
    ctpop = w.builder.module.declare_intrinsic("llvm.ctpop", [INT64])
    cttz = w.builder.module.declare_intrinsic("llvm.cttz", [INT64], ir.FunctionType(INT64, [INT64, ir.IntType(1)]))

    def one_bit(state: list[Any]) -> list[Any]:
        *state, word = state
        state = at_bit(w.builder.call(cttz, [word, ir.IntType(1)(1)]), state)
        return [*state, w.builder.and_(word, w.builder.sub(word, INT64(1)))]

    return w.loop(w.builder.call(ctpop, [word]), [*state, word], one_bit)[:-1]


def _sums(
    w: Writer, masks: list[Any], words: Any, bits: Any, far: Any, a: Any, step: Any, b: Any, ldb: Any
) -> list[Any]:  # fmt: skip
    """The vectors of a row of C: the sum of a[p] B[p, :] over the set bits of so many words."""
    builder, V = w.builder, len(masks)

    def one_word(state: list[Any]) -> list[Any]:
        *sums, here, there, place = state

        def add(p: Any, sums: list[Any]) -> list[Any]:
            x = w.splat(w.number_at(w.at(here, builder.mul(p, step))))
            row = w.at(there, builder.mul(p, ldb))
            vectors = [w.load(w.at(row, INT64(v * w.lanes * w.size)), mask) for v, mask in enumerate(masks)]
            return [w.multiply_add(x, y, s) for y, s in zip(vectors, sums, strict=True)]

        sums = _walk(w, builder.load(builder.bitcast(place, INT64.as_pointer())), sums, add)
        on = INT64(WORD)
        return [*sums, w.at(here, builder.mul(on, step)), w.at(there, builder.mul(on, ldb)), w.at(place, far)]

    return w.loop(words, [ir.Constant(w.vector, [0.0] * w.lanes)] * V + [a, b, bits], one_word)[:V]


@intrinsic
def spread_row(
    typingctx: Any, like: Any, n: Any, words: Any, bits: Any, a: Any, alpha: Any, d: Any, c: Any, ldc: Any
) -> Any:
    """C[p, :] += alpha a[p] d for the set bits p: n, the numbers of d and of a row of C, is at most MOST vectors."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, n, words, bits, a, alpha, d, c, ldc = args
        factor, ldc, after = w.splat(alpha), w.bytes(ldc), builder.append_basic_block("after")
        vectors = builder.udiv(builder.add(n, INT64(w.lanes - 1)), INT64(w.lanes))
        choice = builder.switch(vectors, after)
        for wide in range(1, MOST + 1):
            choice.add_case(INT64(wide), builder.append_basic_block(f"wide{wide}"))
            builder.position_at_end(choice.cases[-1][1])
            left = builder.sub(n, INT64((wide - 1) * w.lanes))
            masks = [None] * (wide - 1) + [w.mask(left)]
            offsets = [INT64(v * w.lanes * w.size) for v in range(wide)]
            row = [w.load(w.at(w.at(d), o), mask) for o, mask in zip(offsets, masks, strict=True)]
            row = [builder.fmul(factor, x) for x in row]

            def one_word(
                state: list[Any],
                row: list[Any] = row,
                masks: list[Any] = masks,
                offsets: list[Any] = offsets,
                left: Any = left,
            ) -> list[Any]:
                here, place, target = state

                def add(p: Any, _: list[Any]) -> list[Any]:
                    x = w.splat(w.number_at(w.at(here, builder.mul(p, INT64(w.size)))))
                    places = [w.at(w.at(target, builder.mul(p, ldc)), o) for o in offsets]
                    old = [w.load(place, mask) for place, mask in zip(places, masks, strict=True)]
                    for y, z, place, mask in zip(row, old, places, masks, strict=True):
                        w.store_end(w.multiply_add(x, y, z), place, mask, left, alone=True)
                    return []

                _walk(w, builder.load(builder.bitcast(place, INT64.as_pointer())), [], add)
                on = w.at(here, INT64(WORD * w.size))
                return [on, w.at(place, INT64(8)), w.at(target, builder.mul(INT64(WORD), ldc))]

            w.loop(words, [w.at(a), w.at(bits), w.at(c)], one_word)
            builder.branch(after)
        builder.position_at_end(after)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole, whole, like, whole, whole, whole), codegen


@inner
def multiply_picked(like, m, n, k, bits, stride, far, a, row, step, b, ldb, alpha, beta, c, ldc):
    """The same for any n; k is the number of places in a row of A.

    The rows of B that a few words choose from are copied close together first: no vector crosses a line of the cache.
    """
    apart()
    size, L = bytes_of(like), lanes(like)
    panel = scratch(like, PANEL)
    blocks = max(1, -(-n // (MOST * L)))
    wide = -(-n // (blocks * L)) * L
    words = (k + WORD - 1) // WORD
    some = words if k * size * wide <= NEAR else max(1, NEAR // (WORD * size * wide))
    factor = alpha if beta != 0 else like
    for j in range(0, n, wide):
        here, columns = beta, min(wide, n - j)
        for p in range(0, words, some):
            first = WORD * p
            source, places = b + size * (first * ldb + j), ldb
            if m >= FEW and (size * ldb % LINE != 0 or b % LINE != 0):
                pack(like, min(k - first, WORD * some), columns, wide, source, ldb, panel)
                source, places = panel, wide
            picked(
                like, m, columns, min(some, words - p), bits + far * p, stride, far, a + size * first * step, row, step,
                source, places, factor, here, c + size * j, ldc,
            )  # fmt: skip
            here = like


@inner
def back_picked(one, zero, m, n, k, bits, words, d, ldd, w, ldw, out, ldo):
    """dA (m, k) = D W^T for W (k, n), over the set bits of D (m, n): blocks of W^T go to scratch memory first.

    The bit behind those of D belongs to the column of ones; its row of the block is 0.
    """
    apart()
    size, L = bytes_of(one), lanes(one)
    panel = scratch(one, PANEL)
    blocks = max(1, -(-k // (MOST * L)))
    wide = -(-k // (blocks * L)) * L
    some = max(1, NEAR // (WORD * size * wide))
    for j in range(0, k, wide):
        here, columns = zero, min(wide, k - j)
        for first in range(0, n, WORD * some):
            rows = min(n - first, WORD * some)
            turn(one, columns, rows, w + size * (j * ldw + first), ldw, one, zero, panel, wide)
            if rows < WORD * some:
                row = pointer(one, panel + size * rows * wide)
                for p in range(wide):
                    row[p] = zero
            count = (rows + WORD - 1) // WORD
            picked(
                one, m, columns, count, bits + first // 8, 8 * words, 8, d + size * first, ldd, 1,
                panel, wide, one, here, out + size * j, ldo,
            )  # fmt: skip
            here = one


@kernel
def picks(number: Any, dtype: type) -> Any:
    """(m, n, k, bits, stride, far, a, row, step, b, ldb, alpha, beta, c, ldc): see `multiply_picked`."""

    def run(m, n, k, bits, stride, far, a, row, step, b, ldb, alpha, beta, c, ldc):
        multiply_picked(to(alpha, 1), m, n, k, bits, stride, far, a, row, step, b, ldb, alpha, beta, c, ldc)

    return void(*[int64] * 11, number, number, int64, int64), run


@kernel
def marks(number: Any, dtype: type) -> Any:
    """(m, k, a, lda, bits, words, columns): see `mark`."""
    one = dtype(1)

    def run(m, k, a, lda, bits, words, columns):
        mark(one, m, k, a, lda, bits, words, columns)

    return void(*[int64] * 7), run


@kernel
def spreads(number: Any, dtype: type) -> Any:
    """(m, n, k, bits, words, a, lda, d, ldd, alpha, g, ldg): G (k, n) += alpha A^T D for a few rows A (m, k), D (m, n).

    It goes along the rows of A: where a column has but few bits, each of its sums is begun and ended for little.
    """
    one = dtype(1)

    def run(m, n, k, bits, words, a, lda, d, ldd, alpha, g, ldg):
        size, wide = bytes_of(one), MOST * lanes(one)
        for j in range(0, n, wide):
            for i in range(m):
                spread_row(
                    one, min(wide, n - j), words, bits + 8 * words * i, a + size * i * lda, alpha,
                    d + size * (i * ldd + j), g + size * j, ldg,
                )  # fmt: skip

    return void(*[int64] * 9, number, int64, int64), run


@kernel
def back_picks(number: Any, dtype: type) -> Any:
    """(m, n, k, bits, words, d, ldd, w, ldw, out, ldo): dA (m, k) = D W^T, see `back_picked`."""
    one, zero = dtype(1), dtype(0)

    def run(m, n, k, bits, words, d, ldd, w, ldw, out, ldo):
        back_picked(one, zero, m, n, k, bits, words, d, ldd, w, ldw, out, ldo)

    return void(*[int64] * 11), run
