"""What Numba's language lacks and a fused loop needs: bits of a float, pointers, calls by address, a barrier.

Each is a few LLVM instructions. Addresses are int64; a pointer of a kernel's signature and an int64 travel in the same
register, so a kernel that takes pointers is called with addresses.
"""

from __future__ import annotations

import platform
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic, register_jitable

__all__ = [
    "barrier",
    "bytes_of",
    "call",
    "exponent",
    "fetch_add",
    "flush_subnormals",
    "gemm",
    "inner",
    "look_at",
    "mantissa",
    "numbers_at",
    "pointer",
    "power_of_two",
    "prefetch",
    "select",
    "set_back",
    "to",
    "widest",
]  # fmt: skip

inner = njit(
    error_model="numpy", fastmath={"contract"}, nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True
)  # fmt: skip
"""Compiled code that compiled code calls, and nobody else: a way in for Python or C would be compiled for nothing."""

INT = {32: ir.IntType(32), 64: ir.IntType(64)}
FRACTION_BITS = {32: 23, 64: 52}
ROUNDER = {32: 1.5 * 2.0**23 + 127, 64: 1.5 * 2.0**52 + 1023}
"""Added to a float of moderate size, it leaves the nearest whole number n in the lowest bits, n + bias to be exact."""
SQRT_HALF = {32: 0x3F3504F3, 64: 0x3FE6A09E667F3BCD}
"""The bits of sqrt(1/2)."""
PLAIN_C = ir.PointerType(ir.IntType(8))
HAS_MXCSR = platform.machine().lower() in ("x86_64", "amd64")


# ---- bits of a float ----------------------------------------------------------------------------------------------


@intrinsic
def power_of_two(typingctx: Any, shifted: Any) -> Any:
    """2^n for `shifted = n + ROUNDER`, where 2^n is a normal number: n + bias moves to where the exponent is."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = INT[shifted.bitwidth]
        bits = builder.bitcast(args[0], integer)
        return builder.bitcast(builder.shl(bits, integer(FRACTION_BITS[shifted.bitwidth])), args[0].type)

    return shifted(shifted), codegen


@intrinsic
def exponent(typingctx: Any, x: Any) -> Any:
    """e of x = 2^e f with sqrt(1/2) <= f < sqrt(2), as a float; for positive normal x."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer = INT[x.bitwidth]
        above = builder.sub(builder.bitcast(args[0], integer), integer(SQRT_HALF[x.bitwidth]))
        return builder.sitofp(builder.ashr(above, integer(FRACTION_BITS[x.bitwidth])), args[0].type)

    return x(x), codegen


@intrinsic
def mantissa(typingctx: Any, x: Any) -> Any:
    """f of x = 2^e f with sqrt(1/2) <= f < sqrt(2); for positive normal x."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        integer, fraction = INT[x.bitwidth], INT[x.bitwidth](FRACTION_BITS[x.bitwidth])
        bits = builder.bitcast(args[0], integer)
        e = builder.ashr(builder.sub(bits, integer(SQRT_HALF[x.bitwidth])), fraction)
        return builder.bitcast(builder.sub(bits, builder.shl(e, fraction)), args[0].type)

    return x(x), codegen


@intrinsic
def select(typingctx: Any, condition: Any, a: Any, b: Any) -> Any:
    """a where the condition holds, else b, without a jump: a loop with jumps in it is often not vectorised."""
    common = typingctx.unify_types(a, b)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.select(args[0], args[1], args[2])

    return common(types.boolean, common, common), codegen


@intrinsic
def widest(typingctx: Any) -> Any:
    """Take vectors of 512 bits in the function that says this: LLVM takes half of that on Intel's processors unasked.

    (llvmlite's set of attributes lets no words of LLVM's through that it does not know; they are only handed on.)
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), codegen


FLUSH = 0x8040
"""Two bits of an x86 processor's MXCSR: results, and operands, that are subnormal are taken for 0."""


@intrinsic
def flush_subnormals(typingctx: Any) -> Any:
    """From now on, this thread takes subnormal numbers for 0 (on x86 processors); return what was set before.

    A moment of Adam whose gradients are 0 shrinks until it is subnormal, stays there, since 0.9 of the smallest number
    is rounded to it again, and makes each step that reads it a hundred cycles longer.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if not HAS_MXCSR:
            return INT[32](0)
        place = cgutils.alloca_once(builder, INT[32])
        _mxcsr(builder, "stmxcsr", place)
        before = builder.load(place)
        builder.store(builder.or_(before, INT[32](FLUSH)), place)
        _mxcsr(builder, "ldmxcsr", place)
        return before

    return types.int32(), codegen


@intrinsic
def set_back(typingctx: Any, before: Any) -> Any:
    """Set what `flush_subnormals` has returned."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        if HAS_MXCSR:
            place = cgutils.alloca_once_value(builder, args[0])
            _mxcsr(builder, "ldmxcsr", place)
        return context.get_dummy_value()

    return types.void(types.int32), codegen


def _mxcsr(builder: Any, verb: str, place: Any) -> None:
    """Call LLVM's intrinsic that reads or writes MXCSR at `place`."""
    kind = ir.FunctionType(ir.VoidType(), [PLAIN_C])
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.x86.sse.{verb}")
    builder.call(function, [builder.bitcast(place, PLAIN_C)])


# ---- pointers and calls -------------------------------------------------------------------------------------------


@intrinsic
def bytes_of(typingctx: Any, like: Any) -> Any:
    """The bytes that a number of this type takes."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return INT[64](like.bitwidth // 8)

    return types.int64(like), codegen


@intrinsic
def to(typingctx: Any, like: Any, x: Any) -> Any:
    """x as a number of the type of `like`: what a kernel's signature expects, to the bit."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return context.cast(builder, args[1], x, like)

    return like(like, x), codegen


@intrinsic
def pointer(typingctx: Any, like: Any, address: Any) -> Any:
    """The address as a pointer to numbers of the type of `like`."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.inttoptr(args[1], context.get_value_type(signature.return_type))

    return types.CPointer(like)(like, types.int64), codegen


@intrinsic(prefer_literal=True)
def numbers_at(typingctx: Any, numbers: Any, index: Any, step: Any, count: Any) -> Any:
    """The tuple (p[index], p[index + step], ...) of `count` numbers; `count` is a constant of the program."""
    n = count.literal_value

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        places = [builder.add(args[1], builder.mul(args[2], INT[64](k))) for k in range(n)]
        values = [builder.load(builder.gep(args[0], [place])) for place in places]
        return context.make_tuple(builder, signature.return_type, values)

    return types.UniTuple(numbers.dtype, n)(numbers, types.int64, types.int64, count), codegen


@intrinsic
def call(typingctx: Any, returns: Any, address: Any, arguments: Any) -> Any:
    """Call the function at `address` with a tuple of int64 and floats; `returns` is a value of the type it returns."""
    nothing = isinstance(returns, types.NoneType)

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        values = cgutils.unpack_tuple(builder, args[2], len(arguments))
        kinds = [context.get_value_type(kind) for kind in arguments]
        kind = ir.FunctionType(ir.VoidType() if nothing else context.get_value_type(returns), kinds)
        result = builder.call(builder.inttoptr(args[1], kind.as_pointer()), values)
        return context.get_dummy_value() if nothing else result

    return returns(returns, types.int64, arguments), codegen


@intrinsic
def gemm(
    typingctx: Any, address: Any, transposes: Any, m: Any, n: Any, k: Any,
    alpha: Any, a: Any, lda: Any, b: Any, ldb: Any, beta: Any, c: Any, ldc: Any,
) -> Any:  # fmt: skip
    """BLAS's gemm, columns first: C (m, n) = alpha op(A) op(B) + beta C; `transposes` is 1 for A^T, plus 2 for B^T."""
    int32 = INT[32]

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        address, transposes, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc = args

        def slot(value: Any) -> Any:
            place = cgutils.alloca_once(builder, value.type)
            builder.store(value, place)
            return builder.bitcast(place, PLAIN_C)

        def letter(bit: int) -> Any:
            chosen = builder.icmp_signed("!=", builder.and_(transposes, INT[64](bit)), INT[64](0))
            return slot(builder.select(chosen, ir.IntType(8)(ord("T")), ir.IntType(8)(ord("N"))))

        def count(value: Any) -> Any:
            return slot(builder.trunc(value, int32))

        def data(value: Any) -> Any:
            return builder.inttoptr(value, PLAIN_C)

        arguments = [
            letter(1), letter(2), count(m), count(n), count(k), slot(alpha), data(a), count(lda),
            data(b), count(ldb), slot(beta), data(c), count(ldc),
        ]  # fmt: skip
        kind = ir.FunctionType(ir.VoidType(), [PLAIN_C] * len(arguments))
        builder.call(builder.inttoptr(address, kind.as_pointer()), arguments)
        return context.get_dummy_value()

    whole = types.int64
    signature = types.void(whole, whole, whole, whole, whole, alpha, whole, whole, whole, whole, alpha, whole, whole)
    return signature, codegen


@intrinsic
def prefetch(typingctx: Any, address: Any) -> Any:
    """Ask for the line of the cache at `address`, to be written to: another core may have it."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [PLAIN_C, INT[32], INT[32], INT[32]])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        builder.call(function, [builder.inttoptr(args[0], PLAIN_C), *(INT[32](k) for k in (1, 3, 1))])
        return context.get_dummy_value()

    return types.void(types.int64), codegen


# ---- several threads ----------------------------------------------------------------------------------------------


@intrinsic
def fetch_add(typingctx: Any, address: Any, amount: Any) -> Any:
    """Add to the int64 at `address`, atomically; return what it was."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        place = builder.inttoptr(args[0], ir.PointerType(INT[64]))
        return builder.atomic_rmw("add", place, args[1], "seq_cst")

    return types.int64(types.int64, types.int64), codegen


@intrinsic
def look_at(typingctx: Any, address: Any) -> Any:
    """The int64 at `address`, which another thread may change."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(builder.inttoptr(args[0], ir.PointerType(INT[64])), "acquire", 8)

    return types.int64(types.int64), codegen


@register_jitable
def barrier(sync: int, team: int, sched_yield: int) -> None:
    """Wait until all `team` threads are here. `sync` is the address of two zeros, 64 bytes apart."""
    if team > 1:
        wait(sync, team, sched_yield)


@register_jitable
def wait(sync: int, team: int, sched_yield: int) -> None:
    """The barrier of a team of at least two."""
    round_ = look_at(sync + 64)
    if fetch_add(sync, 1) == team - 1:
        fetch_add(sync, -team)
        fetch_add(sync + 64, 1)
        return
    spins = 0
    while look_at(sync + 64) == round_:
        spins += 1
        if spins > PATIENCE and sched_yield != 0:
            call(np.int32(0), sched_yield, ())


PATIENCE = 2_000
"""Looks at a barrier before the core is offered to others (about 10 us)."""
