"""The products of a batch of one row, with vectors as narrow as the layer, and its loss; called by address.

    row_forward         z = a W + b
    row_back            dA = W delta
    row_add             [W; b] <- beta [W; b] + alpha [a; 1] delta^T
    row_cross_entropy   delta and the cost, of softmax outputs

A vector is a quarter or half of a register, or one to eight whole ones, so that delta and z stay in registers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import int64, types, void
from numba.extending import intrinsic

from glassnet.engines.formulas import apply
from glassnet.engines.kernels import kernel
from glassnet.engines.micro import CHAINS, INT64, Writer
from glassnet.engines.program import WIDEST

__all__: list[str] = []


def _by_width(builder: Any, like: Any, n: Any, write: Callable[[Writer, list[Any], Any], None]) -> None:
    """Call write(writer, masks of the vectors, numbers in the last one) for each width that n numbers may need."""
    L = Writer(builder, like).lanes
    narrow = [lanes for lanes in (L // 4, L // 2) if lanes > 1]
    widths = [(lanes, 1) for lanes in narrow] + [(L, V) for V in range(1, WIDEST + 1)]
    chosen = builder.add(builder.udiv(builder.sub(n, INT64(1)), INT64(L)), INT64(len(narrow)))
    for place, lanes in reversed(list(enumerate(narrow))):
        chosen = builder.select(builder.icmp_signed("<=", n, INT64(lanes)), INT64(place), chosen)
    after = builder.append_basic_block("after")
    choice = builder.switch(chosen, after)
    for case, (lanes, V) in enumerate(widths):
        block = builder.append_basic_block(f"width{case}")
        choice.add_case(INT64(case), block)
        builder.position_at_end(block)
        w = Writer(builder, like)
        w.vector, w.lanes = ir.VectorType(w.number, lanes), lanes
        left = builder.sub(n, INT64((V - 1) * lanes))
        write(w, [None] * (V - 1) + [w.mask(left)], left)
        builder.branch(after)
    builder.position_at_end(after)


def _vectors(w: Writer, row: Any, masks: list[Any]) -> list[Any]:
    """The vectors of a row."""
    return [w.load(w.at(row, INT64(v * w.lanes * w.size)), mask) for v, mask in enumerate(masks)]


@intrinsic
def row_times(typingctx: Any, like: Any, n: Any, k: Any, a: Any, w: Any, bias: Any, z: Any) -> Any:
    """z (n) = a W, W (k, n); plus the row behind W where `bias` is not 0. Whole vectors of z are written."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, n, k, a, weights, bias, z = args

        def write(w: Writer, masks: list[Any], left: Any) -> None:
            row = w.bytes(n)
            has = builder.icmp_signed("!=", bias, INT64(0))
            b = w.at(w.at(weights), builder.select(has, builder.mul(k, row), INT64(0)))
            zeros = ir.Constant(w.vector, [0.0] * w.lanes)
            start = [builder.select(has, x, zeros) for x in _vectors(w, b, masks)]

            V = len(masks)
            S = max(1, CHAINS // 2 // V)  # places of the sum that are taken at once, each with sums of its own

            def some(count: int) -> Callable[[list[Any]], list[Any]]:
                def body(state: list[Any]) -> list[Any]:
                    *sums, here, there = state
                    for s in range(count):
                        x, part = w.splat(w.number_at(here)), slice(s * V, (s + 1) * V)
                        ys = _vectors(w, there, masks)
                        sums[part] = [w.multiply_add(x, y, z) for y, z in zip(ys, sums[part], strict=True)]
                        here, there = w.at(here, INT64(w.size)), w.at(there, row)
                    return [*sums, here, there]

                return body

            state = [*start, *[zeros] * ((S - 1) * V), w.at(a), w.at(weights)]
            state = w.loop(builder.udiv(k, INT64(S)), state, some(S))
            if S > 1:
                state = w.loop(builder.urem(k, INT64(S)), state, some(1))
            sums = state[:V]
            for s in range(1, S):
                sums = [w.add(x, y) for x, y in zip(sums, state[s * V : (s + 1) * V], strict=True)]
            for v, x in enumerate(sums):
                w.store(x, w.at(w.at(z), INT64(v * w.lanes * w.size)))

        _by_width(builder, like, n, write)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole, whole, whole, whole), codegen


@intrinsic
def row_dots(typingctx: Any, like: Any, n: Any, k: Any, d: Any, w: Any, out: Any) -> Any:
    """out (k) = W d for W (k, n); eight numbers of it are written at a time, or a vector, if that is shorter."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, n, k, d, weights, out = args

        def write(w: Writer, masks: list[Any], left: Any) -> None:
            R, last, row = min(w.lanes, 8), builder.sub(k, INT64(1)), w.bytes(n)
            factors = _vectors(w, w.at(d), masks)
            even, odd = list(range(0, 2 * w.lanes, 2)), list(range(1, 2 * w.lanes, 2))

            def neighbours(p: Any, q: Any) -> Any:
                return w.add(w.shuffle(p, q, even), w.shuffle(p, q, odd))

            def some(state: list[Any]) -> list[Any]:
                place, target = state
                sums = []
                for r in range(R):  # rows behind the last one are the last one
                    p = builder.add(place, INT64(r))
                    p = builder.select(builder.icmp_signed("<", p, last), p, last)
                    vectors = _vectors(w, w.at(w.at(weights), builder.mul(p, row)), masks)
                    total = builder.fmul(vectors[0], factors[0])
                    for x, y in zip(vectors[1:], factors[1:], strict=True):
                        total = w.multiply_add(x, y, total)
                    sums.append(total)
                while len(sums) > 1:
                    sums = [neighbours(p, q) for p, q in zip(sums[::2], sums[1::2], strict=True)]
                total, parts = sums[0], w.lanes // R
                while parts > 1:
                    total, parts = neighbours(total, total), parts // 2
                first = w.shuffle(total, total, list(range(R)))
                builder.store(first, builder.bitcast(target, first.type.as_pointer()), align=w.size)
                return [builder.add(place, INT64(R)), w.at(target, INT64(R * w.size))]

            blocks = builder.udiv(builder.add(k, INT64(R - 1)), INT64(R))
            w.loop(blocks, [INT64(0), w.at(out)], some)

        _by_width(builder, like, n, write)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, whole, whole, whole), codegen


@intrinsic
def row_outer(
    typingctx: Any, like: Any, n: Any, k: Any, alpha: Any, a: Any, d: Any, bias: Any, beta: Any, g: Any
) -> Any:  # fmt: skip
    """G (k, n) = alpha a^T d, plus G where beta is not 0; with `bias`, row k of G is the same for a = 1."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        _, n, k, alpha, a, d, bias, beta, g = args

        def write(w: Writer, masks: list[Any], left: Any) -> None:
            factor = w.splat(alpha)
            step = [builder.fmul(factor, x) for x in _vectors(w, w.at(d), masks)]
            outer = _Outer(w, masks, left, step, w.at(a), w.at(g), w.bytes(n))
            none = builder.fcmp_ordered("==", beta, ir.Constant(w.number, 0.0))
            with builder.if_else(none) as (replace, increase):
                with replace:
                    outer.replace(k, bias)
                with increase:
                    outer.increase(k, bias)

        _by_width(builder, like, n, write)
        return context.get_dummy_value()

    whole = types.int64
    return types.void(like, whole, whole, like, whole, whole, whole, like, whole), codegen


class _Outer:
    """Writes the rows of a product a^T d, where `step` holds the vectors of alpha d."""

    def __init__(self, w: Writer, masks: list[Any], left: Any, step: list[Any], a: Any, g: Any, row: Any) -> None:
        self.w, self.masks, self.left, self.step = w, masks, left, step
        self.a, self.g, self.row = a, g, row
        self.rows = 4 if len(masks) <= 4 else 2

    def replace(self, k: Any, bias: Any) -> None:
        """Row by row."""
        w = self.w

        def one_row(state: list[Any]) -> list[Any]:
            here, there = state
            x = w.splat(w.number_at(here))
            self.store([w.builder.fmul(x, y) for y in self.step], there)
            return [w.at(here, INT64(w.size)), w.at(there, self.row)]

        _, end = w.loop(k, [self.a, self.g], one_row)
        with w.builder.if_then(w.builder.icmp_signed("!=", bias, INT64(0))):
            self.store(self.step, end)

    def increase(self, k: Any, bias: Any) -> None:
        """Some rows at a time, the next ones loaded before these are stored: a load waits for a store that it meets,
        even where that is masked, and a row is rarely as long as its vectors."""
        w, b, R = self.w, self.w.builder, self.rows
        blocks, rest = b.udiv(k, INT64(R)), b.urem(k, INT64(R))
        onward = b.mul(self.row, INT64(R))
        whole = b.icmp_signed(">", blocks, INT64(0))
        start = self.load(self.g, b.select(whole, self.row, INT64(0)))  # of no block, the first row: there is one

        def some(state: list[Any]) -> list[Any]:
            *old, here, there, left = state
            left = b.sub(left, INT64(1))
            goes_on = b.icmp_signed(">", left, INT64(0))
            ahead = self.load(w.at(there, b.select(goes_on, onward, INT64(0))), self.row)
            V = len(self.masks)
            for r in range(R):
                x = w.splat(w.number_at(w.at(here, INT64(r * w.size))))
                new = [w.multiply_add(x, y, z) for y, z in zip(self.step, old[r * V : r * V + V], strict=True)]
                self.store(new, w.at(there, b.mul(self.row, INT64(r))))
            return [*ahead, w.at(here, INT64(R * w.size)), w.at(there, onward), left]

        *_, here, there, _ = w.loop(blocks, [*start, self.a, self.g, blocks], some)
        self.tail(rest, bias, here, there)

    def tail(self, rest: Any, bias: Any, here: Any, there: Any) -> None:
        """The last rows, fewer than a block, and that of the bias."""
        w, b = self.w, self.w.builder
        extra = b.select(b.icmp_signed("!=", bias, INT64(0)), INT64(1), INT64(0))
        rows = b.add(rest, extra)
        one = w.splat(ir.Constant(w.number, 1.0))
        with b.if_then(b.icmp_signed(">", rows, INT64(0))):
            last, V = b.sub(rows, INT64(1)), len(self.masks)
            places, old = [], []
            for r in range(self.rows):  # rows behind the last one are loaded as the last one, and not stored
                p = b.select(b.icmp_signed("<", INT64(r), last), INT64(r), last)
                places.append(w.at(there, b.mul(p, self.row)))
                old += _vectors(w, places[-1], self.masks)
            for r in range(self.rows):
                inside = b.icmp_signed("<", INT64(r), rest)
                at = b.select(inside, INT64(r), b.sub(rest, INT64(1)))  # else some number of a, which is not used
                x = b.select(inside, w.splat(w.number_at(w.at(here, w.bytes(at)))), one)
                new = [w.multiply_add(x, y, z) for y, z in zip(self.step, old[r * V : r * V + V], strict=True)]
                with b.if_then(b.icmp_signed("<", INT64(r), rows)):
                    self.store(new, places[r])

    def load(self, place: Any, row: Any) -> list[Any]:
        """The vectors of a block of rows."""
        w = self.w
        rows = [w.at(place, w.builder.mul(row, INT64(r))) for r in range(self.rows)]
        return [x for there in rows for x in _vectors(w, there, self.masks)]

    def store(self, values: list[Any], row: Any) -> None:
        """The vectors of a row."""
        w = self.w
        for v, (x, mask) in enumerate(zip(values, self.masks, strict=True)):
            w.store_end(x, w.at(row, INT64(v * w.lanes * w.size)), mask, self.left)


@kernel
def row_forward(number: Any, dtype: type) -> Any:
    """(n, k, a, w, bias, z): see `row_times`."""
    one = dtype(1)

    def run(n, k, a, w, bias, z):
        row_times(one, n, k, a, w, bias, z)

    return void(*[int64] * 6), run


@kernel
def row_back(number: Any, dtype: type) -> Any:
    """(n, k, d, w, out): see `row_dots`."""
    one = dtype(1)

    def run(n, k, d, w, out):
        row_dots(one, n, k, d, w, out)

    return void(*[int64] * 5), run


@kernel
def row_add(number: Any, dtype: type) -> Any:
    """(n, k, alpha, a, d, bias, beta, g): see `row_outer`."""
    one = dtype(1)

    def run(n, k, alpha, a, d, bias, beta, g):
        row_outer(one, n, k, alpha, a, d, bias, beta, g)

    return void(int64, int64, number, int64, int64, int64, number, int64), run


# ---- the loss -------------------------------------------------------------------------------------------------------


@kernel
def row_cross_entropy(number: Any, dtype: type, exp: str, log: str, larger: str) -> Any:
    """(z, y, k, smoothing, share, weight) -> cost of a row; z <- share weight (a - y). See `cross_entropy`."""
    p = types.CPointer(number)
    zero, one = dtype(0), dtype(1)

    def run(z, y, k, smoothing, share, weight):
        keep, spread = one - smoothing, smoothing / dtype(k)
        top, total, mass, dot = z[0], zero, zero, zero
        for j in range(1, k):
            top = apply(larger, top, z[j])
        for j in range(k):
            target = keep * y[j] + spread
            above = z[j] - top
            mass += target
            dot += target * above
            above = apply(exp, above)
            z[j] = above
            total += above
        for j in range(k):
            z[j] = share * weight * (z[j] / total - (keep * y[j] + spread))
        return weight * (mass * apply(log, total) - dot)

    return number(p, p, int64, number, number, number), run
