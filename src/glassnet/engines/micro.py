"""Vector instructions: a writer of them, what this processor has, and a few that Numba's language lacks.

The last vector of a row is read and written under a mask: nothing is touched beyond the end of a row. Addresses are
int64, strides are in numbers, and `like` is the number 1 of the dtype, as everywhere in the compiled loop.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import binding, ir
from numba import types
from numba.core import cgutils, config
from numba.extending import intrinsic

__all__ = ["CHAINS", "HALF_SPEED", "INT32", "INT64", "SLOW_MASKS", "VECTORS", "Writer", "apart", "lanes", "scratch"]

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
