"""Products of small matrices, written as vector instructions.

A tile of C, R rows and one or two vectors wide, stays in registers while the sum runs:

    for p in range(k):   C[r, :] += A[r, p] * B[p, :]      a load for each vector of B, a broadcast for each A[r, p]

A is read through two strides, so that one tile serves A W and A^T D alike; what lies the wrong way round (W^T, an
output that is stored transposed) passes through `flip`, which turns square blocks in registers. The last vector of a
row is read and written under a mask: nothing is touched beyond the end of a row. Addresses are int64, strides are in
numbers, and `like` is the number 1 of the dtype, as everywhere in the compiled loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

__all__ = ["HALF_SPEED", "SLOW_MASKS", "VECTORS", "Writer", "apart", "dots", "flip", "lanes", "scratch", "tile"]

BYTE, INT32, INT64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)


def _vector_bytes() -> int:
    """The bytes of a vector register with masks; 0 where there are none, and these kernels would be slow."""
    given = config.CPU_FEATURES
    has = binding.get_host_cpu_features() if given is None else {f[1:]: f[0] == "+" for f in given.split(",") if f}
    return 64 if has.get("avx512f") else 32 if has.get("avx2") and has.get("fma") else 0


VECTORS = _vector_bytes()
SLOW_MASKS = VECTORS == 32
"""Whether writing under a mask costs much more than writing a whole vector: 12 cycles to 1 on AMD's with AVX2."""
HALF_SPEED = VECTORS == 64 and (config.CPU_NAME or binding.get_host_cpu_name()) == "znver4"
"""Whether one such vector is multiplied a cycle, not two: AMD's Zen 4 takes them by halves."""
CHAINS = 8
"""Sums that must run side by side, for an addition to be begun every half cycle: it takes four."""


# ---- pieces of code -----------------------------------------------------------------------------------------------


def _kind(like: Any) -> tuple[ir.Type, ir.VectorType, int]:
    """The number, a vector of them, and the bytes of a number."""
    number, size = (ir.FloatType(), 4) if like.bitwidth == 32 else (ir.DoubleType(), 8)
    return number, ir.VectorType(number, (VECTORS or 16) // size), size


class Writer:
    """Writes vector code into the function that is being compiled."""

    def __init__(self, builder: Any, like: Any) -> None:
        self.builder = builder
        self.number, self.vector, self.size = _kind(like)
        self.lanes = self.vector.count

    def at(self, address: Any, *offset: Any) -> Any:
        """The byte pointer to the address, or `offset` bytes behind a pointer."""
        if offset:
            return self.builder.gep(address, [offset[0]])
        return self.builder.inttoptr(address, BYTE.as_pointer())

    def bytes(self, stride: Any) -> Any:
        """The bytes of so many numbers."""
        return self.builder.mul(stride, INT64(self.size))

    def hidden(self, value: Any) -> Any:
        """The value, but LLVM knows nothing of it: else each row's address is made from the one before, a chain."""
        kind = ir.FunctionType(value.type, [value.type])
        return self.builder.call(ir.InlineAsm(kind, "", "=r,0"), [value])

    def splat(self, value: Any) -> Any:
        """A vector of this number."""
        first = self.builder.insert_element(ir.Constant(self.vector, ir.Undefined), value, INT32(0))
        return self.shuffle(first, first, [0] * self.lanes)

    def shuffle(self, a: Any, b: Any, places: list[int]) -> Any:
        """The vector of these places of a and, behind them, b."""
        return self.builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(INT32, len(places)), places))

    def mask(self, n: Any) -> Any:
        """True in the first n lanes."""
        whole = ir.VectorType(INT32, self.lanes)
        first = self.builder.insert_element(ir.Constant(whole, ir.Undefined), self.builder.trunc(n, INT32), INT32(0))
        counts = self.builder.shuffle_vector(first, first, ir.Constant(whole, [0] * self.lanes))
        return self.builder.icmp_signed("<", ir.Constant(whole, list(range(self.lanes))), counts)

    def load(self, place: Any, mask: Any = None) -> Any:
        """The vector at `place`; 0 where the mask is not set."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            return self.builder.load(place, align=self.size)
        zeros = ir.Constant(self.vector, [0.0] * self.lanes)
        return self._masked("load", self.vector, [place, INT32(self.size), mask, zeros])

    def store(self, value: Any, place: Any, mask: Any = None) -> None:
        """Write the vector, where the mask is set."""
        place = self.builder.bitcast(place, self.vector.as_pointer())
        if mask is None:
            self.builder.store(value, place, align=self.size)
        else:
            self._masked("store", ir.VoidType(), [value, place, INT32(self.size), mask])

    def store_first(self, value: Any, place: Any, n: Any) -> None:
        """Store the first n lanes, n below a whole vector, in pieces of half a vector, a quarter ... one lane."""
        b, piece = self.builder, self.lanes // 2
        while piece:
            wanted = b.icmp_signed("!=", b.and_(n, INT64(piece)), INT64(0))
            with b.if_then(wanted):
                low = self.shuffle(value, value, list(range(piece)))
                b.store(low, b.bitcast(place, low.type.as_pointer()), align=self.size)
            rest = self.shuffle(value, value, [(i + piece) % self.lanes for i in range(self.lanes)])
            value = b.select(wanted, rest, value)
            place = b.select(wanted, self.at(place, INT64(piece * self.size)), place)
            piece //= 2

    def store_end(self, value: Any, place: Any, mask: Any, left: Any, *, alone: bool = False) -> None:
        """Store the last vector of a row, of which `left` numbers are the row's; another one has no mask.

        A row that is `alone` is followed by a load of the next one, which would wait for a store under a mask.
        """
        if mask is None or not (SLOW_MASKS or alone):
            self.store(value, place, mask)
            return
        with self.builder.if_else(self.builder.icmp_signed("==", left, INT64(self.lanes))) as (whole, part):
            with whole:
                self.store(value, place)
            with part:
                self.store_first(value, place, left)

    def deliver(
        self, values: list[Any], targets: list[Any], factor: Any, beta: Any, store: Callable[..., None] | None = None
    ) -> None:
        """Store values at targets (place, mask), old + factor value where beta is not 0; by store(i, value, *target).

        All is loaded before the first store: a load waits for a store whose masked lanes it meets.
        """
        put = store or (lambda i, value, place, mask: self.store(value, place, mask))

        def all_of(values: list[Any]) -> None:
            for i, (value, (place, mask)) in enumerate(zip(values, targets, strict=True)):
                put(i, value, place, mask)

        none = self.builder.fcmp_ordered("==", beta, ir.Constant(self.number, 0.0))
        with self.builder.if_else(none) as (replace, increase):
            with replace:
                all_of(values)
            with increase:
                old = [self.load(place, mask) for place, mask in targets]
                all_of([self.multiply_add(factor, x, y) for x, y in zip(values, old, strict=True)])

    def deliver_rows(
        self, values: list[Any], targets: list[Any], left: Any, factor: Any, beta: Any, *, alone: bool = False
    ) -> None:
        """The same for rows whose last vectors, those with a mask, have `left` numbers.

        A row that is `alone` is followed by a load of the next one, which would wait for a store under a mask.
        """

        def in_pieces(i: int, x: Any, place: Any, mask: Any) -> None:
            if mask is None:
                self.store(x, place)
            else:
                self.store_first(x, place, left)

        if SLOW_MASKS or alone:
            with self.builder.if_else(self.builder.icmp_signed("==", left, INT64(self.lanes))) as (whole, part):
                with whole:
                    self.deliver(values, [(place, None) for place, _ in targets], factor, beta)
                with part:
                    self.deliver(values, targets, factor, beta, in_pieces)
        else:
            self.deliver(values, targets, factor, beta)

    def _masked(self, verb: str, returns: ir.Type, arguments: list[Any]) -> Any:
        letter = "f32" if self.size == 4 else "f64"
        kind = ir.FunctionType(returns, [argument.type for argument in arguments])
        name = f"llvm.masked.{verb}.v{self.lanes}{letter}.p0"
        return self.builder.call(cgutils.get_or_insert_function(self.builder.module, kind, name), arguments)

    def number_at(self, place: Any) -> Any:
        """The number at `place`."""
        return self.builder.load(self.builder.bitcast(place, self.number.as_pointer()))

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a b + c, rounded once where the processor can."""
        flags = ("contract",)
        return self.builder.fadd(self.builder.fmul(a, b, flags=flags), c, flags=flags)

    def add(self, a: Any, b: Any) -> Any:
        """a + b."""
        return self.builder.fadd(a, b)

    def loop(self, count: Any, state: list[Any], body: Callable[[list[Any]], list[Any]]) -> list[Any]:
        """Run the body `count` times; it takes the state and returns the next one."""
        b = self.builder
        before, head = b.block, b.append_basic_block("head")
        inside, after = b.append_basic_block("inside"), b.append_basic_block("after")
        b.branch(head)
        b.position_at_end(head)
        left = b.phi(INT64)
        left.add_incoming(count, before)
        phis = [b.phi(value.type) for value in state]
        for phi, value in zip(phis, state, strict=True):
            phi.add_incoming(value, before)
        b.cbranch(b.icmp_signed(">", left, INT64(0)), inside, after)
        b.position_at_end(inside)
        for phi, value in zip(phis, body(list(phis)), strict=True):
            phi.add_incoming(value, b.block)
        left.add_incoming(b.sub(left, INT64(1)), b.block)
        b.branch(head)
        b.position_at_end(after)
        return list(phis)


# ---- kernels ------------------------------------------------------------------------------------------------------


@intrinsic
def lanes(typingctx: Any, like: Any) -> Any:
    """The numbers of a vector."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return INT64(_kind(like)[1].count)

    return types.int64(like), codegen


@intrinsic
def apart(typingctx: Any) -> Any:
    """Keep the function that says this from being copied into its callers: it is long, and compiled once then."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.function.attributes.add("noinline")
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic(prefer_literal=True)
def scratch(typingctx: Any, like: Any, count: Any) -> Any:
    """The address of `count` numbers on the stack; `count` is a constant of the program."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        with builder.goto_entry_block():  # not alloca_once, which fills it with zeros
            place = builder.alloca(ir.ArrayType(_kind(like)[0], count.literal_value))
        place.align = 64
        return builder.ptrtoint(place, INT64)

    return types.int64(like, count), codegen


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
