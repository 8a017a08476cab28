"""A trained model as one file of Python that needs NumPy alone: equations first, the weights as text behind them."""

from __future__ import annotations

import base64
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.export import plan as steps
from glassnet.export.names import identifier
from glassnet.export.plan import Plan
from glassnet.export.reading import plan_of
from glassnet.export.tracing import FUNCTIONS, write
from glassnet.persistence import atomic_write

__all__ = ["to_numpy"]


def to_numpy(model: Any, path: str | Path | None = None, *, dtype: str | None = None) -> str:
    """Return a model as one file of Python that imports NumPy alone, and write it to `path` if there is one.

    `model` and `dtype` are those of `gn.to_onnx`. The file defines `outputs(X)`, probabilities (m, n_classes) for a
    classifier, else (m, n_outputs), and `predict(X)`, the labels or numbers that the estimator predicts. The weights
    stand in it as base64: nothing is unpickled and nothing else is read.

    Raises GlassnetError for a model that cannot be exported, classes that are neither text nor numbers, and a path that
    cannot be written (all or nothing).

    >>> import glassnet as gn
    >>> net = gn.Network(3, [gn.Dense(4, "tanh"), gn.Dense(2, "softmax")])
    >>> "A = A @ W1 + b1" in to_numpy((net, net.init(rng=0)))
    True
    """
    text = _Writer(plan_of(model, dtype)).text()
    if path is not None:
        atomic_write(path, text.encode())
    return text


@dataclass(frozen=True)
class _Writer:
    """One file: `body` holds the lines of the prediction, `functions` the activations, `data` the numbers."""

    plan: Plan
    data: list[str] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)

    def array(self, name: str, array: Array) -> str:
        """Define a constant and return its name: W1, W2, ..."""
        name += str(1 + sum(line.startswith(name) and line[len(name)].isdigit() for line in self.data))
        text = base64.b64encode(array.astype(self.plan.dtype.newbyteorder("<")).tobytes()).decode()
        lines = "\n".join(f'    "{text[at : at + 100]}"' for at in range(0, len(text), 100))
        self.data.append(f"{name} = numbers({array.shape}, (\n{lines}\n))")
        return name

    def text(self) -> str:
        """Return the whole file."""
        plan = self.plan
        for step in plan.steps:
            WRITERS[type(step)](self, step)
        classes = f"CLASSES = {_labels(plan.classes)}\n" if plan.classes else ""
        return TEMPLATE.format(
            kind=plan.kind, dtype=plan.dtype.name, version=sys.modules["glassnet"].__version__,
            notes="".join(f"\n{fill(_in_docstring(note), 100)}\n" for note in plan.notes),
            inputs=_names(plan.inputs), outputs=_names(plan.outputs), classes=classes,
            functions="".join(f"\n\n\n{text}" for text in self.functions.values()),
            finite="" if any(isinstance(step, steps.Fill) for step in plan.steps) else FINITE,
            code=plan.dtype.newbyteorder("<").str, what=_what(plan),
            body="\n    ".join(self.body), predict=_predict(plan), data="\n".join(self.data),
        )  # fmt: skip


def _in_docstring(text: str) -> str:
    return ascii(text.replace('"', "'"))[1:-1]


def _what(plan: Plan) -> str:
    return "probabilities, in the order of OUTPUTS" if plan.classes else "the outputs"


def _names(names: tuple[str, ...]) -> str:
    if len(names) == 1:
        return f"({names[0]!a},)"
    return f"({', '.join(map(ascii, names))})" if sum(map(len, names)) < 60 else _long(names)


def _long(names: tuple[str, ...]) -> str:
    return "(\n" + "".join(f"    {name!a},\n" for name in names) + ")"


def _labels(classes: tuple[Any, ...]) -> str:
    for one in classes:
        if not isinstance(one, str | int | float | bool):
            raise fault("classes", "text or numbers to be exported", repr(one), "Fit with such labels.")
    return f"np.array([{', '.join(map(ascii, classes))}])"


def _predict(plan: Plan) -> str:
    """Return docstring and last line of `predict`."""
    says, line = "what the network says, (m, n_outputs)", "outputs(X)"
    if plan.kind == "classifier" and isinstance(plan.steps[-1], steps.Both):
        says, line = "the more probable label of each row, (m,)", "CLASSES[(outputs(X)[:, 1] > 0.5).astype(int)]"
    elif plan.kind == "classifier":
        says, line = "the most probable label of each row, (m,)", "CLASSES[outputs(X).argmax(axis=1)]"
    elif plan.kind == "multilabel":
        says, line = "1 for each label that is more probable than not, else 0, (m, k)", "(outputs(X) > 0.5).astype(int)"
    elif plan.kind == "regressor" and len(plan.outputs) == 1:
        says, line = "one number for each row, (m,)", "outputs(X).ravel()"
    return f'"""Return {says}."""\n    return {line}'


# ---- steps --------------------------------------------------------------------------------------------------------


def _affine(file: _Writer, step: steps.Affine) -> None:
    file.body.append(f"A = A @ {file.array('W', step.W)} + {file.array('b', step.b)}")


def _normalise(file: _Writer, step: steps.Normalise) -> None:
    centre, scale, shift = (file.array(name, getattr(step, name)) for name in ("centre", "scale", "shift"))
    file.body.append(f"A = (A - {centre}) * {scale} + {shift}")


def _rows(file: _Writer, step: steps.Rows) -> None:
    file.functions["rows"] = ROWS
    file.body.append(
        f"A = {file.array('gamma', step.gamma)} * standard_rows(A, {step.eps!r}) + {file.array('beta', step.beta)}"
    )


def _apply(file: _Writer, step: steps.Apply) -> None:
    named, result = write(step.formula, TEMPLATES, _number)
    lines = [f"    {name} = {text}" for name, text in named] + [f"    return {result}"]
    # your own may be called like something else in the file, or like nothing that Python allows
    name = step.activation.name
    name = name if name in ACTIVATIONS and name != "softmax" else f"own_{identifier(name)}"
    equation = _in_docstring(step.activation.equation) or "f(z)"
    text = f'def NAME(z):\n    """{equation}"""\n' + "\n".join(lines)
    while file.functions.get(name, text.replace("NAME", name)) != text.replace("NAME", name):
        name += "_"
    file.functions[name] = text.replace("NAME", name)
    file.body.append(f"A = {name}(A)")


def _number(value: float) -> str:
    return repr(value) if np.isfinite(value) else f"{'-' if value < 0 else ''}np.inf"


def _softmax(file: _Writer, step: steps.Softmax) -> None:
    file.functions["softmax"] = SOFTMAX
    file.body.append("A = softmax(A)")


def _clip(file: _Writer, step: steps.Clip) -> None:
    file.body.append(f"A = np.clip(A, {step.low!r}, {step.high!r})")


def _squash(file: _Writer, step: steps.Squash) -> None:
    file.body.append(f"A = A / np.sqrt(1.0 + (A / {step.limit!r}) ** 2)")


def _fill(file: _Writer, step: steps.Fill) -> None:
    file.body.append("missing = np.isnan(A)")
    file.body.append(f"A = np.where(missing, {file.array('fill', step.fill)}, A)")
    if step.marked:
        file.body.append(f"A = np.hstack([A, missing[:, {list(step.marked)}].astype(DTYPE)])")


def _both(file: _Writer, step: steps.Both) -> None:
    file.body.append("A = np.hstack([1.0 - A, A])")


def _shares(file: _Writer, step: steps.Shares) -> None:
    file.body.append("total = A.sum(axis=1, keepdims=True)")
    file.body.append("A = A / np.where(total > 0, total, 1.0).astype(DTYPE)")


WRITERS: Mapping[type[steps.Step], Callable[[_Writer, Any], None]] = {
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

TEMPLATES = {
    **{name: (9, f"np.{name}({{}})") for name in FUNCTIONS},
    **{name: (9, f"np.{name}({{}}, {{}})") for name in ("maximum", "minimum", "power")},
    "where": (9, "np.where({}, {}, {})"), "negative": (7, "-{}"),
    "multiply": (6, "{} * {}"), "divide": (6, "{} / {}"), "add": (5, "{} + {}"), "subtract": (5, "{} - {}"),
    "greater": (4, "{} > {}"), "greater_equal": (4, "{} >= {}"), "less": (4, "{} < {}"), "less_equal": (4, "{} <= {}"),
}  # fmt: skip

FINITE = """\
if not np.isfinite(A).all():
        raise ValueError("X must be finite, received NaN or infinity.")
    """

SOFTMAX = '''\
def softmax(z):
    """a_i = exp(z_i) / sum_j exp(z_j), for each row"""
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)'''

ROWS = '''\
def standard_rows(A, eps):
    """(a - mean a) / sqrt(var a + eps), for each row"""
    centred = A - A.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred * centred).mean(axis=1, keepdims=True) + eps)'''

TEMPLATE = '''\
"""A trained {kind} in numbers of {dtype}, written by glassnet {version}. It needs NumPy alone.

    from THIS_FILE import predict
    predict(X)                          # X (m, len(INPUTS)): a row for each sample, its columns in the order of INPUTS
{notes}"""

import base64

import numpy as np

INPUTS = {inputs}
OUTPUTS = {outputs}
DTYPE = np.{dtype}


def outputs(X):
    """Return {what}, (m, len(OUTPUTS)), for X (m, len(INPUTS))."""
    A = np.asarray(X, DTYPE)
    if A.ndim != 2 or A.shape[1] != len(INPUTS):
        raise ValueError(f"X must be (m, {{len(INPUTS)}}), received {{A.shape}}.")
    {finite}{body}
    return A


def predict(X):
    {predict}{functions}


def numbers(shape, text):
    """Return the array that a text in base64 stands for."""
    return np.frombuffer(base64.b64decode(text), "{code}").astype(DTYPE).reshape(shape)


{classes}{data}
'''
