"""Products of small matrices, written as vector instructions.

A tile of C, R rows and one or two vectors wide, stays in registers while the sum runs:

    for p in range(k):   C[r, :] += A[r, p] * B[p, :]      a load for each vector of B, a broadcast for each A[r, p]

A is read through two strides, so that one tile serves A W and A^T D alike; what lies the wrong way round (W^T, an
output that is stored transposed) passes through `flip`, which turns square blocks in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from glassnet.engines.micro import CHAINS, INT64, SLOW_MASKS, Writer

__all__ = ["copy_row", "dots", "flip", "tile"]


@intrinsic(prefer_literal=True)
def tile(
    typingctx: Any, like: Any, rows: Any, width: Any, n: Any, k: Any,
    a: Any, row: Any, step: Any, b: Any, ldb: Any, alpha: Any, beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """C = A B, or C += alpha A B where beta is not 0: C (rows, n), n of `width` vectors.

    A[r, p] lies r row + p step behind `a`.
    """
    R, V = rows.literal_value, width.literal_value
    S = max(1, CHAINS // 2 // (R * V))  # places of the sum that are taken at once, each with sums of its own

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, _, _, n, k, a, row, step, b, ldb, alpha, beta, c, ldc = args
        mask = w.mask(builder.sub(n, INT64((V - 1) * w.lanes)))
        masks = [None] * (V - 1) + [mask]
        row, step, ldb, ldc = (w.bytes(stride) for stride in (row, step, ldb, ldc))
        offsets = [INT64(v * w.lanes * w.size) for v in range(V)]
        rows_of_3 = [w.at(w.hidden(builder.add(a, builder.mul(row, INT64(r))))) for r in range(0, R, 3)]
        twice = w.hidden(builder.add(row, row))

        def add_one(sums: list[Any], places: list[Any], there: Any) -> tuple[list[Any], list[Any], Any]:
            vectors = [w.load(w.at(there, o), m) for o, m in zip(offsets, masks, strict=True)]
            new = []
            for r in range(R):
                place = places[r // 3]
                if r % 3:
                    place = w.at(place, row if r % 3 == 1 else twice)
                x = w.splat(w.number_at(place))
                new += [w.multiply_add(x, vectors[v], sums[r * V + v]) for v in range(V)]
            return new, [w.at(place, step) for place in places], w.at(there, ldb)

        def some(count: int) -> Callable[[list[Any]], list[Any]]:
            def body(state: list[Any]) -> list[Any]:
                sums, places, there = state[: S * R * V], state[S * R * V : -1], state[-1]
                for s in range(count):
                    part = slice(s * R * V, (s + 1) * R * V)
                    sums[part], places, there = add_one(sums[part], places, there)
                return [*sums, *places, there]

            return body

        state = [ir.Constant(w.vector, [0.0] * w.lanes)] * (S * R * V) + [*rows_of_3, w.at(b)]
        if S > 1:
            state = w.loop(builder.udiv(k, INT64(S)), state, some(S))
            state = w.loop(builder.urem(k, INT64(S)), state, some(1))
        else:
            state = w.loop(k, state, some(1))
        sums = state[: R * V]
        for s in range(1, S):
            sums = [w.add(x, y) for x, y in zip(sums, state[s * R * V :][: R * V], strict=True)]
        places = [w.at(w.at(c), builder.mul(ldc, INT64(r))) for r in range(R)]
        targets = [(w.at(places[r], offsets[v]), masks[v]) for r in range(R) for v in range(V)]
        w.deliver_rows(sums, targets, builder.sub(n, INT64((V - 1) * w.lanes)), w.splat(alpha), beta)
        return context.get_dummy_value()

    whole = types.int64
    signature = types.void(
        like, rows, width, whole, whole, whole, whole, whole, whole, whole, like, like, whole, whole
    )  # fmt: skip
    return signature, codegen


def _turn(w: Writer, rows: list[Any]) -> list[Any]:
    """The transpose of a square block: at each stage, pairs of rows exchange blocks of twice the size."""
    L = w.lanes
    half = 1
    while half < L:
        low = [i // half % 2 * L + i - i // half % 2 * half for i in range(L)]
        high = [place + half for place in low]
        new = list(rows)
        for r in range(L):
            if not r & half:
                new[r] = w.shuffle(rows[r], rows[r + half], low)
                new[r + half] = w.shuffle(rows[r], rows[r + half], high)
        rows, half = new, 2 * half
    return rows


@intrinsic
def flip(typingctx: Any, like: Any, m: Any, n: Any, a: Any, lda: Any, alpha: Any, beta: Any, c: Any, ldc: Any) -> Any:
    """C (n, m) = A^T, or C += alpha A^T where beta is not 0, for A (m, n), of at most a vector's numbers either way."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, m, n, a, lda, alpha, beta, c, ldc = args
        along, down = w.mask(n), w.mask(m)
        nothing = ir.Constant(along.type, [0] * w.lanes)

        def step(start: Any, stride: Any, i: int) -> Any:
            return w.at(w.at(start), builder.mul(w.bytes(stride), INT64(i)))

        def has(i: int, count: Any, mask: Any) -> Any:
            return builder.select(builder.icmp_signed("<", INT64(i), count), mask, nothing)

        factor = w.splat(alpha)
        sources = [(step(a, lda, i), has(i, m, along)) for i in range(w.lanes)]
        places = [(step(c, ldc, j), has(j, n, down)) for j in range(w.lanes)]

        def move(sources: list[Any], places: list[Any], store: Callable[..., None] | None = None) -> None:
            turned = _turn(w, [w.load(place, mask) for place, mask in sources])
            w.deliver(turned, places, factor, beta, store)

        def in_pieces(j: int, x: Any, place: Any, mask: Any) -> None:
            wanted, whole = builder.icmp_signed("<", INT64(j), n), builder.icmp_signed("==", m, INT64(w.lanes))
            with builder.if_then(wanted), builder.if_else(whole) as (whole_row, part_of_row):
                with whole_row:
                    w.store(x, place)
                with part_of_row:
                    w.store_first(x, place, m)

        if SLOW_MASKS:
            square = builder.icmp_signed("==", builder.add(m, n), INT64(2 * w.lanes))
            with builder.if_else(square) as (whole_block, part):
                with whole_block:
                    move([(place, None) for place, _ in sources], [(place, None) for place, _ in places])
                with part:
                    move(sources, places, in_pieces)
        else:
            move(sources, places)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole, whole, like, like, whole, whole), codegen


@intrinsic
def dots(typingctx: Any, like: Any, m: Any, k: Any, a: Any, lda: Any, x: Any, c: Any) -> Any:
    """c (m) = A x for A (m, k), m within a vector; the rows of A, x and c are contiguous."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, m, k, a, lda, x, c = args
        L = w.lanes
        one = builder.sub(m, INT64(1))
        rows = []
        for i in range(L):  # rows behind the last are the last, and their sums are not stored
            i_or_last = builder.select(builder.icmp_signed("<", INT64(i), one), INT64(i), one)
            rows.append(builder.mul(w.bytes(lda), i_or_last))

        def add_some(mask: Any) -> Callable[[list[Any]], list[Any]]:
            def body(state: list[Any]) -> list[Any]:
                *sums, here, there = state
                factor = w.load(there, mask)
                new = [w.multiply_add(w.load(w.at(here, o), mask), factor, s) for o, s in zip(rows, sums, strict=True)]
                onward = INT64(L * w.size)
                return [*new, w.at(here, onward), w.at(there, onward)]

            return body

        state = [ir.Constant(w.vector, [0.0] * L)] * L + [w.at(a), w.at(x)]
        state = w.loop(builder.udiv(k, INT64(L)), state, add_some(None))
        rest = builder.urem(k, INT64(L))
        tail = builder.select(builder.icmp_signed(">", rest, INT64(0)), INT64(1), INT64(0))
        sums = w.loop(tail, state, add_some(w.mask(rest)))[:L]
        even, odd = list(range(0, 2 * L, 2)), list(range(1, 2 * L, 2))
        while len(sums) > 1:  # neighbours are added; the sums of two vectors fit into one
            pairs = zip(sums[::2], sums[1::2], strict=True)
            sums = [w.add(w.shuffle(p, q, even), w.shuffle(p, q, odd)) for p, q in pairs]
        w.store(sums[0], w.at(c), w.mask(m))
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole, whole, whole, whole), codegen


@intrinsic
def copy_row(typingctx: Any, like: Any, n: Any, source: Any, target: Any) -> Any:
    """target[:n] = source[:n] for n >= 1; nothing is read or written beyond."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        w = Writer(builder, like)
        _, n, source, target = args
        L, onward = INT64(w.lanes), INT64(w.lanes * w.size)

        def one_vector(state: list[Any]) -> list[Any]:
            here, there = state
            w.store(w.load(here), there)
            return [w.at(here, onward), w.at(there, onward)]

        before = builder.udiv(builder.sub(n, INT64(1)), L)
        here, there = w.loop(before, [w.at(source), w.at(target)], one_vector)
        left = builder.sub(n, builder.mul(before, L))
        mask = w.mask(left)
        w.store_end(w.load(here, mask), there, mask, left)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole), codegen
