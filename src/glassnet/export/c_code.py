"""A trained model as one file of C99 that needs nothing but the mathematical library: for a microcontroller, say."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.export import plan as steps
from glassnet.export.names import c_comment, c_string, identifier
from glassnet.export.plan import Plan
from glassnet.export.reading import plan_of
from glassnet.export.tracing import walk, write
from glassnet.persistence import atomic_write

__all__ = ["to_c"]


def to_c(model: Any, path: str | Path | None = None, *, dtype: str | None = None, name: str = "glassnet") -> str:
    """Return a model as one file of C99, and write it to `path` if there is one (all or nothing).

    `model` and `dtype` are those of `gn.to_onnx`; in C the numbers are `float` or `double`. The file defines

        void NAME_predict(const float x[NAME_INPUTS], float y[NAME_OUTPUTS]);

    for one row, without memory from the heap, without state, for any number of threads. `y` are probabilities for a
    classifier, in the order of `NAME_classes`. Compiled with -DNAME_MAIN it is a program: rows of numbers in, rows of
    predictions out.

    Raises GlassnetError for a model that cannot be exported, a name that is no identifier of C, and a path that cannot
    be written.

    >>> import glassnet as gn
    >>> net = gn.Network(2, [gn.Dense(3, "tanh"), gn.Dense(1)])
    >>> "void glassnet_predict(const double x[GLASSNET_INPUTS], double y" in to_c((net, net.init(rng=0)))
    True
    """
    if not name.isascii() or not name.isidentifier():
        raise fault("name", "an identifier of C", repr(name), f"For example {identifier(name) or 'model'!r}.")
    text = _Writer(plan_of(model, dtype), name).text()
    if path is not None:
        atomic_write(path, text.encode())
    return text


@dataclass(frozen=True)
class _Writer:
    """One file: `data` holds its constants, `functions` the activations, `body` the lines of the prediction."""

    plan: Plan
    name: str
    data: list[str] = field(default_factory=list)
    functions: dict[str, str] = field(default_factory=dict)
    body: list[str] = field(default_factory=list)

    @property
    def real(self) -> str:
        return "float" if self.plan.dtype == np.float32 else "double"

    @property
    def suffix(self) -> str:
        """What C puts behind the names of functions and behind numbers of this type."""
        return "f" if self.plan.dtype == np.float32 else ""

    def number(self, value: float) -> str:
        """Return the shortest text that is this number in C."""
        if np.isinf(value):
            return "INFINITY" if value > 0 else "-INFINITY"
        return f"{np.float32(value)!s}f" if self.suffix else repr(float(value))

    def array(self, name: str, array: Array) -> str:
        """Define a constant and return its name."""
        name = f"{name}{len(self.data) + 1}"
        sizes = "".join(f"[{size}]" for size in array.shape)
        values = array.astype(self.plan.dtype)
        rows = [values] if values.ndim == 1 else list(values)
        # NumPy writes the shortest text that is the number, and many numbers at once
        written = [_wrapped(f"{text}{self.suffix}" for text in row.astype("U32").tolist()) for row in rows]
        inner = written[0] if array.ndim == 1 else ",\n".join(f"{{\n{row}\n}}" for row in written)
        self.data.append(f"static const {self.real} {name}{sizes} = {{\n{inner}\n}};")
        return name

    def loop(self, line: str, size: int, index: str = "j") -> None:
        """Write `for (...) line`."""
        self.body.append(f"for (size_t {index} = 0; {index} < {size}; {index}++) {line}".rstrip())

    def text(self) -> str:
        """Return the whole file."""
        plan, upper = self.plan, self.name.upper()
        sizes = plan.sizes
        source = "x"
        for number, (step, n_in, n_out) in enumerate(zip(plan.steps, sizes[:-1], sizes[1:], strict=True), 1):
            target = f"a{number % 2}"
            self.body.append(f"/* {number}. {c_comment(steps.equation(step))[1:-1]} */")
            WRITERS[type(step)](self, step, source, target, n_in, n_out)
            source = target
        self.loop(f"y[j] = {source}[j];", sizes[-1])
        code = "\n".join([*self.data, *self.functions.values()])
        helpers = "".join(
            text for use, text in HELPERS.items() if re.search(rf"\b{use}\(", code + "\n".join(self.body))
        )
        buffers = [f"{self.real} a{k}[{max(sizes)}];" for k in (1, 0)[: len(plan.steps)]]
        return TEMPLATE.format(
            about=self.about(), upper=upper, name=self.name, real=self.real, inputs=sizes[0], outputs=sizes[-1],
            classes=self.classes(), helpers=helpers.replace("REAL", self.real), code=code,
            body="\n".join(_indented([*buffers, *self.body])),
            digits=9 if self.suffix else 17, suffix=self.suffix,
            scan="%f" if self.suffix else "%lf",
        )  # fmt: skip

    def about(self) -> str:
        """Return the lines of the comment that stands first."""
        plan = self.plan
        lines = [
            f"Written by glassnet {sys.modules['glassnet'].__version__}: a {plan.kind} in numbers of {plan.dtype}."
        ]
        lines += ["", f"{len(plan.inputs)} inputs, in this order:"]
        lines += [f"  x[{i}]  {c_comment(name)}" for i, name in enumerate(plan.inputs)]
        what = "probabilities, of these classes" if plan.classes else "outputs"
        lines += [f"{len(plan.outputs)} {what}:"]
        lines += [f"  y[{j}]  {c_comment(name)}" for j, name in enumerate(plan.outputs)]
        lines += [line for note in plan.notes for line in wrap(c_comment(note)[1:-1], 100)]
        return "\n".join(f" * {line}".rstrip() for line in lines)

    def classes(self) -> str:
        """Return the names of the classes as an array of texts, if there are any."""
        if not self.plan.classes:
            return ""
        names = ",\n".join(f"    {c_string(str(one))}" for one in self.plan.classes)
        return f"const char *const {self.name}_classes[{self.name.upper()}_OUTPUTS] = {{\n{names}\n}};\n\n"


def _indented(lines: Iterable[str]) -> list[str]:
    """Indent what stands between braces, and what a `for` without a statement repeats."""
    depth, done, loop = 1, [], 0
    for line in lines:
        depth -= line == "}"
        done.append("    " * (depth + loop) + line)
        depth += line == "{"
        loop = int(line.startswith("for ") and line.endswith(")"))
    return done


def _wrapped(words: Iterable[str], width: int = 110) -> str:
    """Return the words with commas, in lines."""
    lines, line = [], "   "
    for word in words:
        if len(line) + len(word) + 2 > width:
            lines.append(line)
            line = "   "
        line += f" {word},"
    return "\n".join([*lines, line]).rstrip(",")


# ---- steps: from an array `a` of n_in numbers to an array `z` of n_out --------------------------------------------


def _affine(file: _Writer, step: steps.Affine, a: str, z: str, n_in: int, n_out: int) -> None:
    W, b = file.array("W", step.W), file.array("b", step.b)
    file.loop(f"{z}[j] = {b}[j];", n_out)
    file.loop("", n_in, "i")
    file.loop(f"{z}[j] += {a}[i] * {W}[i][j];", n_out)


def _normalise(file: _Writer, step: steps.Normalise, a: str, z: str, n_in: int, n_out: int) -> None:
    names = [file.array(name, getattr(step, name)) for name in ("centre", "scale", "shift")]
    file.loop("{z}[j] = ({a}[j] - {0}[j]) * {1}[j] + {2}[j];".format(*names, a=a, z=z), n_out)


def _rows(file: _Writer, step: steps.Rows, a: str, z: str, n_in: int, n_out: int) -> None:
    gamma, beta = file.array("gamma", step.gamma), file.array("beta", step.beta)
    file.body.extend(["{", f"{file.real} mean = 0, var = 0;"])
    file.loop(f"mean += {a}[j];", n_in)
    file.body.append(f"mean /= {n_in};")
    file.loop(f"var += ({a}[j] - mean) * ({a}[j] - mean);", n_in)
    root = f"sqrt{file.suffix}(var / {n_in} + {file.number(step.eps)})"
    file.loop(f"{z}[j] = {gamma}[j] * (({a}[j] - mean) / {root}) + {beta}[j];", n_out)
    file.body.append("}")


def _apply(file: _Writer, step: steps.Apply, a: str, z: str, n_in: int, n_out: int) -> None:
    named, result = write(step.formula, _templates(file.suffix), file.number)
    lines = [f"    const {file.real} {name} = {text};" for name, text in named] + [f"    return {result};"]
    if "z" not in {node.op for node in walk(step.formula)}:
        lines.insert(0, "    (void)z;")
    body = "\n".join(lines)
    known = {text: name for name, text in file.functions.items()}
    name = f"f{len(file.functions) + 1}_{identifier(step.activation.name)}"
    function = (
        f"\n/* {c_comment(step.activation.name)[1:-1]} */\nstatic {file.real} NAME({file.real} z)\n{{\n{body}\n}}"
    )
    name = next((own for text, own in known.items() if text == function.replace("NAME", own)), name)
    file.functions[name] = function.replace("NAME", name)
    file.loop(f"{z}[j] = {name}({a}[j]);", n_out)


def _softmax(file: _Writer, step: steps.Softmax, a: str, z: str, n_in: int, n_out: int) -> None:
    file.body.extend(["{", f"{file.real} top = {a}[0], sum = 0;"])
    file.loop(f"top = maximum(top, {a}[j]);", n_in)
    file.loop(f"sum += {z}[j] = exp{file.suffix}({a}[j] - top);", n_in)
    file.loop(f"{z}[j] /= sum;", n_out)
    file.body.append("}")


def _clip(file: _Writer, step: steps.Clip, a: str, z: str, n_in: int, n_out: int) -> None:
    file.loop(f"{z}[j] = minimum(maximum({a}[j], {file.number(step.low)}), {file.number(step.high)});", n_out)


def _squash(file: _Writer, step: steps.Squash, a: str, z: str, n_in: int, n_out: int) -> None:
    share = f"({a}[j] / {file.number(step.limit)})"
    file.loop(f"{z}[j] = {a}[j] / sqrt{file.suffix}({file.number(1.0)} + {share} * {share});", n_out)


def _fill(file: _Writer, step: steps.Fill, a: str, z: str, n_in: int, n_out: int) -> None:
    fill = file.array("fill", step.fill)
    file.loop(f"{z}[j] = {a}[j] != {a}[j] ? {fill}[j] : {a}[j];", n_in)
    file.body.extend([f"{z}[{n_in + k}] = {a}[{i}] != {a}[{i}];" for k, i in enumerate(step.marked)])


def _both(file: _Writer, step: steps.Both, a: str, z: str, n_in: int, n_out: int) -> None:
    file.body.extend([f"{z}[0] = {file.number(1.0)} - {a}[0];", f"{z}[1] = {a}[0];"])


def _shares(file: _Writer, step: steps.Shares, a: str, z: str, n_in: int, n_out: int) -> None:
    file.body.extend(["{", f"{file.real} sum = 0;"])
    file.loop(f"sum += {a}[j];", n_in)
    file.loop(f"{z}[j] = sum > 0 ? {a}[j] / sum : {a}[j];", n_out)
    file.body.append("}")


WRITERS: Mapping[type[steps.Step], Callable[[_Writer, Any, str, str, int, int], None]] = {
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


def _templates(suffix: str) -> dict[str, tuple[int, str]]:
    """How C writes what NumPy's functions do; `maximum` and `minimum` keep NaN, which fmax and fmin do not."""
    called = {
        name: (9, f"{name}{suffix}({{}})") for name in ("exp", "expm1", "log", "log1p", "tanh", "sqrt", "sin", "cos")
    }
    return called | {
        "absolute": (9, f"fabs{suffix}({{}})"), "power": (9, f"pow{suffix}({{}}, {{}})"),
        "maximum": (9, "maximum({}, {})"), "minimum": (9, "minimum({}, {})"), "square": (9, "square({})"),
        "negative": (8, "-{}"), "multiply": (7, "{} * {}"), "divide": (7, "{} / {}"),
        "add": (6, "{} + {}"), "subtract": (6, "{} - {}"),
        "greater": (5, "{} > {}"), "greater_equal": (5, "{} >= {}"), "less": (5, "{} < {}"),
        "less_equal": (5, "{} <= {}"), "where": (1, "{} ? {} : {}"),
    }  # fmt: skip


HELPERS = {
    "maximum": "static REAL maximum(REAL a, REAL b) { return a > b || a != a ? a : b; }\n",
    "minimum": "static REAL minimum(REAL a, REAL b) { return a < b || a != a ? a : b; }\n",
    "square": "static REAL square(REAL a) { return a * a; }\n",
}

TEMPLATE = """\
/*
{about}
 *
 * A function for one row:     void {name}_predict(const {real} x[{upper}_INPUTS], {real} y[{upper}_OUTPUTS]);
 * A program for many rows:    cc -std=c99 -O2 -D{upper}_MAIN FILE.c -lm
 */
#include <math.h>
#include <stddef.h>

#define {upper}_INPUTS {inputs}
#define {upper}_OUTPUTS {outputs}

void {name}_predict(const {real} x[{upper}_INPUTS], {real} y[{upper}_OUTPUTS]);

{classes}{helpers}{code}

void {name}_predict(const {real} x[{upper}_INPUTS], {real} y[{upper}_OUTPUTS])
{{
{body}
}}

#ifdef {upper}_MAIN
#include <stdio.h>

/* Rows of numbers between blanks on the standard input; a row of predictions for each on the standard output. */
int main(void)
{{
    {real} x[{upper}_INPUTS], y[{upper}_OUTPUTS];
    size_t i = 0;
    int got;
    while ((got = scanf("{scan}", &x[i])) == 1) {{
        if (++i < {upper}_INPUTS) continue;
        i = 0;
        {name}_predict(x, y);
        for (size_t j = 0; j < {upper}_OUTPUTS; j++) printf(j > 0 ? " %.{digits}g" : "%.{digits}g", (double)y[j]);
        putchar('\\n');
    }}
    if (got == EOF && i == 0) return 0;
    fprintf(stderr, "expected rows of %d numbers\\n", {upper}_INPUTS);
    return 1;
}}
#endif
"""
