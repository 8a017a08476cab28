"""A trained model as an ONNX file, which onnxruntime and most other programs that run networks read.

The graph has one input X (rows, n_inputs) and one output (rows, n_outputs), any number of rows; opset 17.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from glassnet.activations import is_known
from glassnet.arrays import Array
from glassnet.errors import GlassnetError
from glassnet.export import plan as steps
from glassnet.export.plan import Plan
from glassnet.export.reading import plan_of
from glassnet.export.tracing import COMPARISONS, Node, walk
from glassnet.persistence import atomic_write

__all__ = ["to_onnx"]

OPSET, IR_VERSION = 17, 8
"""Old enough for onnxruntime 1.12 (2022), new enough for LayerNormalization."""


def to_onnx(model: Any, path: str | Path | None = None, *, dtype: str | None = None) -> bytes:
    """Return a model as the bytes of an ONNX file, and write them to `path` if there is one (all or nothing).

    model   (net, theta), (net, run), (net, theta, state), what `gn.load` gives, a fitted estimator of glassnet, or a
            pipeline that ends in one; linear scalers of scikit-learn before the network are part of the file
    dtype   "float32", "float64", or None for that of the weights

    Input "X" (rows, n_inputs), output "probabilities" (rows, n_classes) of a classifier, in the order of the metadata
    "classes" (JSON), else "output" (rows, n_outputs). The file has passed `onnx.checker`.

    Raises GlassnetError for a model that cannot be exported, a path that cannot be written, and where the package onnx
    is missing.

    >>> import glassnet as gn
    >>> net = gn.Network(3, [gn.Dense(4, "tanh"), gn.Dense(2, "softmax")])
    >>> len(to_onnx((net, net.init(rng=0)))) > 300
    True
    """
    onnx = _onnx()
    content: bytes = _model(onnx, plan_of(model, dtype)).SerializeToString()
    if path is not None:
        atomic_write(path, content)
    return content


def _onnx() -> ModuleType:
    try:
        import onnx
    except ImportError as error:
        raise GlassnetError('to_onnx needs the package onnx: pip install "glassnet[export]".') from error
    return onnx


@dataclass(frozen=True)
class _Graph:
    """The nodes and constants so far; `add` returns the name of what a node computes."""

    onnx: ModuleType
    dtype: np.dtype[Any]
    nodes: list[Any] = field(default_factory=list)
    constants: dict[str, Array] = field(default_factory=dict)

    def add(self, op: str, *inputs: str, **attributes: Any) -> str:
        name = f"{op}_{len(self.nodes) + 1}"
        self.nodes.append(self.onnx.helper.make_node(op, list(inputs), [name], name=name, **attributes))
        return name

    def constant(self, value: Any, name: str = "", dtype: Any = None) -> str:
        array = np.asarray(value, dtype or self.dtype)
        name = f"{name}_{len(self.constants) + 1}" if name else f"number_{array.item()!r}"
        self.constants[name] = array
        return name


def _model(onnx: ModuleType, plan: Plan) -> Any:
    graph = _Graph(onnx, plan.dtype)
    a = "X"
    for step in plan.steps:
        a = WRITERS[type(step)](graph, step, a)
    graph.nodes.append(onnx.helper.make_node("Identity", [a], [plan.output_name], name="result"))
    kind = onnx.helper.np_dtype_to_tensor_dtype(plan.dtype)
    made = onnx.helper.make_graph(
        graph.nodes,
        "glassnet",
        [onnx.helper.make_tensor_value_info("X", kind, ["rows", len(plan.inputs)])],
        [onnx.helper.make_tensor_value_info(plan.output_name, kind, ["rows", len(plan.outputs)])],
        [onnx.numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
    )
    version = sys.modules["glassnet"].__version__
    model = onnx.helper.make_model(
        made,
        opset_imports=[onnx.helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="glassnet",
        producer_version=version,
    )
    onnx.helper.set_model_props(model, _metadata(plan))
    onnx.checker.check_model(model, full_check=True)
    return model


def _metadata(plan: Plan) -> dict[str, str]:
    about: dict[str, Any] = {"kind": plan.kind, "inputs": plan.inputs, "outputs": plan.outputs}
    if plan.classes:
        about["classes"] = plan.classes
    if plan.notes:
        about["notes"] = plan.notes
    return {name: value if isinstance(value, str) else json.dumps(value) for name, value in about.items()}


# ---- steps --------------------------------------------------------------------------------------------------------


def _affine(graph: _Graph, step: steps.Affine, a: str) -> str:
    return graph.add("Gemm", a, graph.constant(step.W, "W"), graph.constant(step.b, "b"))


def _normalise(graph: _Graph, step: steps.Normalise, a: str) -> str:
    scaled = graph.add(
        "Mul",
        graph.add("Sub", a, graph.constant(step.centre, "centre")),
        graph.constant(step.scale, "scale"),
    )
    return graph.add("Add", scaled, graph.constant(step.shift, "shift"))


def _rows(graph: _Graph, step: steps.Rows, a: str) -> str:
    gamma, beta = graph.constant(step.gamma, "gamma"), graph.constant(step.beta, "beta")
    if graph.dtype == np.float32:
        return graph.add("LayerNormalization", a, gamma, beta, axis=-1, epsilon=step.eps)
    # an attribute of ONNX is a float32: in float64 the rounded epsilon would be seen
    centred = graph.add("Sub", a, graph.add("ReduceMean", a, axes=[-1]))
    variance = graph.add("ReduceMean", graph.add("Mul", centred, centred), axes=[-1])
    deviation = graph.add("Sqrt", graph.add("Add", variance, graph.constant(step.eps)))
    return graph.add("Add", graph.add("Mul", graph.add("Div", centred, deviation), gamma), beta)


def _apply(graph: _Graph, step: steps.Apply, a: str) -> str:
    name = step.activation.name
    if name in NATIVE and is_known(step.activation):
        return graph.add(NATIVE[name], a)
    return _formula(graph, step.formula, a)


def _softmax(graph: _Graph, step: steps.Softmax, a: str) -> str:
    return graph.add("Softmax", a, axis=-1)


def _clip(graph: _Graph, step: steps.Clip, a: str) -> str:
    return graph.add("Clip", a, graph.constant(step.low), graph.constant(step.high))


def _squash(graph: _Graph, step: steps.Squash, a: str) -> str:
    share = graph.add("Div", a, graph.constant(step.limit))
    under = graph.add("Add", graph.add("Mul", share, share), graph.constant(1.0))
    return graph.add("Div", a, graph.add("Sqrt", under))


def _fill(graph: _Graph, step: steps.Fill, a: str) -> str:
    missing = graph.add("IsNaN", a)
    filled = graph.add("Where", missing, graph.constant(step.fill, "fill"), a)
    if not step.marked:
        return filled
    marks = graph.add("Cast", missing, to=_kind(graph))
    chosen = graph.add("Gather", marks, graph.constant(step.marked, "marked", np.int64), axis=1)
    return graph.add("Concat", filled, chosen, axis=1)


def _both(graph: _Graph, step: steps.Both, a: str) -> str:
    return graph.add("Concat", graph.add("Sub", graph.constant(1.0), a), a, axis=1)


def _shares(graph: _Graph, step: steps.Shares, a: str) -> str:
    total = graph.add("ReduceSum", a, graph.constant([1], "axis", np.int64), keepdims=1)
    positive = graph.add("Greater", total, graph.constant(0.0))
    return graph.add("Div", a, graph.add("Where", positive, total, graph.constant(1.0)))


WRITERS: Mapping[type[steps.Step], Callable[[_Graph, Any, str], str]] = {
    steps.Affine: _affine,
    steps.Normalise: _normalise,
    steps.Rows: _rows,
    steps.Apply: _apply,
    steps.Softmax: _softmax,
    steps.Clip: _clip,
    steps.Squash: _squash,
    steps.Fill: _fill,
    steps.Both: _both,
    steps.Shares: _shares,
}


# ---- formulas -----------------------------------------------------------------------------------------------------

NATIVE = {"relu": "Relu", "sigmoid": "Sigmoid", "tanh": "Tanh"}
"""Activations that ONNX has under a name of its own, in both dtypes."""

OPERATORS = {
    "add": "Add", "subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "power": "Pow",
    "maximum": "Max", "minimum": "Min", "exp": "Exp", "log": "Log", "tanh": "Tanh", "sqrt": "Sqrt", "absolute": "Abs",
    "sin": "Sin", "cos": "Cos", "greater": "Greater", "greater_equal": "GreaterOrEqual", "less": "Less",
    "less_equal": "LessOrEqual", "where": "Where",
}  # fmt: skip


def _formula(graph: _Graph, formula: Node, a: str) -> str:
    """Write the nodes of an expression, each once."""
    names: dict[int, str] = {}
    for node in walk(formula):
        if node.op in ("z", "number"):
            names[id(node)] = a if node.op == "z" else graph.constant(node.value)
            continue
        operands = [names[id(one)] for one in node.of]
        for place, one in enumerate(node.of):
            asks = node.op == "where" and place == 0
            if asks and one.op not in COMPARISONS:
                operands[place] = graph.add("Cast", operands[place], to=graph.onnx.TensorProto.BOOL)
            elif one.op in COMPARISONS and not asks:
                operands[place] = graph.add("Cast", operands[place], to=_kind(graph))
        names[id(node)] = (
            COMPOSED[node.op](graph, *operands) if node.op in COMPOSED else graph.add(OPERATORS[node.op], *operands)
        )
    return names[id(formula)]


def _log1p(graph: _Graph, x: str) -> str:
    """ln(1 + x) = ln(u) x / (u - 1), u = 1 + x rounded: the rounding of u cancels (Kahan); x where u = 1."""
    one = graph.constant(1.0)
    u = graph.add("Add", x, one)
    ratio = graph.add("Div", graph.add("Mul", graph.add("Log", u), x), graph.add("Sub", u, one))
    return graph.add("Where", graph.add("Equal", u, one), x, ratio)


def _expm1(graph: _Graph, x: str) -> str:
    """exp(x) - 1 = (u - 1) x / ln(u), u = exp(x) rounded (Kahan); x where u = 1, and -1 where u - 1 is."""
    one, minus_one = graph.constant(1.0), graph.constant(-1.0)
    u = graph.add("Exp", x)
    less = graph.add("Sub", u, one)
    ratio = graph.add("Div", graph.add("Mul", less, x), graph.add("Log", u))
    small = graph.add("Where", graph.add("Equal", less, minus_one), minus_one, ratio)
    return graph.add("Where", graph.add("Equal", u, one), x, small)


def _square(graph: _Graph, x: str) -> str:
    return graph.add("Mul", x, x)


COMPOSED: Mapping[str, Callable[..., str]] = {"log1p": _log1p, "expm1": _expm1, "square": _square}


def _kind(graph: _Graph) -> int:
    kind: int = graph.onnx.helper.np_dtype_to_tensor_dtype(graph.dtype)
    return kind
