"""An activation's own NumPy code, turned into an expression that can be written in another language.

`trace(f, dtype)` calls f once with a stand-in for z that records what is done to it. So the formula in activations.py
stays the only one: ONNX, C and the NumPy file are written from the record, and so is an activation of your own.

    trace(lambda z: np.maximum(z, 0.0) + 0.1 * z)    ->    add(maximum(z, 0.0), multiply(0.1, z))
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.mixins import NDArrayOperatorsMixin

from glassnet.activations import Activation
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault

__all__ = ["COMPARISONS", "FUNCTIONS", "Node", "trace", "walk", "write"]

COMPARISONS = ("greater", "greater_equal", "less", "less_equal")
FUNCTIONS = (
    *("add", "subtract", "multiply", "divide", "negative", "maximum", "minimum", "power"),
    *("exp", "expm1", "log", "log1p", "tanh", "sqrt", "square", "absolute", "sin", "cos"),
    *COMPARISONS,
)
"""What may be done to z, under NumPy's names; besides them `where`."""


@dataclass(frozen=True, eq=False)
class Node:
    """One operation: `op` is a name in `FUNCTIONS`, "where", "number" (its `value`) or "z"; `of` are its operands."""

    op: str
    of: tuple[Node, ...] = ()
    value: float = 0.0

    def evaluate(self, z: Array) -> Array:
        """Return what the expression gives for numbers z, in NumPy."""
        if self.op == "z":
            return z
        if self.op == "number":
            return np.asarray(self.value, z.dtype)
        return np.asarray(getattr(np, self.op)(*(node.evaluate(z) for node in self.of)))


class _Untraceable(Exception):
    """A function does something to z that is not in the table."""


class _Traced(NDArrayOperatorsMixin):
    """Stands for z, or for what has become of it."""

    def __init__(self, node: Node, dtype: npt.DTypeLike) -> None:
        self.node = node
        self.dtype = np.dtype(dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> _Traced:
        if method != "__call__" or options or ufunc.__name__ not in FUNCTIONS:
            raise _Untraceable(f"np.{ufunc.__name__}{'' if method == '__call__' else '.' + method}")
        return _Traced(Node(ufunc.__name__, tuple(_node(one) for one in inputs)), self.dtype)

    def __array_function__(self, function: Any, types: Any, args: tuple[Any, ...], options: Any) -> _Traced:
        if function is not np.where or len(args) != 3 or options:
            raise _Untraceable(f"np.{function.__name__}")
        return _Traced(Node("where", tuple(_node(one) for one in args)), self.dtype)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Array:
        """Answer a function that asks for z's dtype; a NaN, so that one which goes on with the number is found out."""
        return np.array(np.nan, self.dtype if dtype is None else dtype)

    def __bool__(self) -> bool:
        raise _Untraceable("if, and, or")


def _node(value: Any) -> Node:
    if isinstance(value, _Traced):
        return value.node
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "fiub" or np.isnan(number):
        raise _Untraceable(f"a constant {value!r}")
    return Node("number", value=float(number))


CHECKED = np.concatenate([np.linspace(-30.0, 30.0, 121), [-80.0, 80.0]])
"""Where the record is compared with the function itself."""


def trace(activation: Activation, dtype: npt.DTypeLike = np.float64) -> Node:
    """Return what `activation.f` does to z, as an expression; `dtype` is that of z.

    Raises GlassnetError for a function that is more than a formula of the operations in `FUNCTIONS`.

    >>> from glassnet import activations
    >>> trace(activations.get("relu")).op
    'maximum'
    """
    known = (
        f"a formula of +, -, *, /, **, comparisons, np.where and np.{', np.'.join(FUNCTIONS[5:7] + FUNCTIONS[8:18])}"
    )
    subject, remedy = f"activation {activation.name!r}", "Write f with these alone."
    try:
        result: Any = activation.f(_Traced(Node("z"), dtype))  # type: ignore[arg-type]
    except (_Untraceable, AttributeError, TypeError) as error:
        raise fault(subject, known, f"one that uses {error}", remedy) from error
    if not isinstance(result, _Traced):
        raise fault(subject, known, f"one that turns z into {type(result).__name__}", remedy)
    z = CHECKED.astype(dtype)
    with np.errstate(all="ignore"):
        own, recorded = activation.f(z), result.node.evaluate(z)
    if not np.array_equal(own, np.broadcast_to(recorded, z.shape), equal_nan=True):
        raise GlassnetError(f"{subject} cannot be exported: it is not the same formula for every z. {remedy}")
    if result.node.op in COMPARISONS:
        return Node("multiply", (result.node, Node("number", value=1.0)))
    return result.node


def walk(node: Node) -> Iterator[Node]:
    """Yield every node once, operands before what is made of them."""
    seen: set[int] = set()

    def visit(one: Node) -> Iterator[Node]:
        if id(one) not in seen:
            seen.add(id(one))
            for operand in one.of:
                yield from visit(operand)
            yield one

    yield from visit(node)


LEFT_TO_RIGHT = ("add", "subtract", "multiply", "divide")
"""Where a - b - c needs no brackets to be (a - b) - c."""

Templates = Mapping[str, tuple[int, str]]
"""Operation -> (how tightly it binds, how it is written): {"add": (1, "{} + {}"), "exp": (9, "exp({})")}."""


def write(node: Node, templates: Templates, number: Callable[[float], str]) -> tuple[list[tuple[str, str]], str]:
    """Return [(name, expression)] of what is used more than once, and the expression of the result."""
    uses = Counter(id(operand) for one in walk(node) for operand in one.of)
    names: dict[int, str] = {}
    named: list[tuple[str, str]] = []

    def text(one: Node) -> tuple[int, str]:
        if one.op in ("z", "number"):
            return 9, "z" if one.op == "z" else number(one.value)
        if id(one) in names:
            return 9, names[id(one)]
        binds, form = templates[one.op]
        operands = []
        for place, operand in enumerate(one.of):
            own, written = text(operand)
            loose = own < binds or (own == binds and (place > 0 or one.op not in LEFT_TO_RIGHT))
            operands.append(f"({written})" if loose and binds < 9 else written)
        return binds, form.format(*operands)

    for one in walk(node):
        if one.of and uses[id(one)] > 1:
            named.append((f"t{len(named) + 1}", text(one)[1]))
            names[id(one)] = named[-1][0]
    return named, text(node)[1]
