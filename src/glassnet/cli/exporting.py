"""`glassnet export`: the network of a run as a file for other programs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glassnet.cli.predicting import open_run
from glassnet.cli.printing import counted, say
from glassnet.errors import choose, fault
from glassnet.export.c_code import to_c
from glassnet.export.names import identifier
from glassnet.export.numpy_code import to_numpy
from glassnet.export.plan import Plan
from glassnet.export.reading import plan_of
from glassnet.onnx_export import to_onnx

__all__ = ["FORMATS", "export_and_say"]


@dataclass(frozen=True)
class Format:
    """The ending of its files, who writes them, and how they are used (with the file and its name in C)."""

    suffix: str
    write: Callable[[Any, Path], object]
    use: str


def _c_name(path: Path) -> str:
    """Return the file's name as an identifier of C."""
    name = identifier(path.stem)
    return name if name[:1].isalpha() else f"net_{name}"


FORMATS = {
    "onnx": Format(".onnx", to_onnx, 'onnxruntime.InferenceSession("{file}").run(None, {{"X": X}})'),
    "c": Format(
        ".c",
        lambda model, path: to_c(model, path, name=_c_name(path)),
        "cc -std=c99 -O2 -D{main}_MAIN {file} -lm    (or call {name}_predict)",
    ),
    "numpy": Format(".py", to_numpy, "from {stem} import predict"),
}
"""What `--format` may be."""


def export_and_say(run: Path, kind: str | None, output: Path | None) -> None:
    """Write the network of a run to a file, model.onnx, model.c or model.py in its folder, and say how it is used.

    Raises GlassnetError for a folder that is no run, an unknown format, an ending that belongs to another one, a
    pipeline that cannot be exported, and a place that cannot be written.
    """
    name = kind if kind is not None else _format_of(output)
    form = choose("format", name, FORMATS)
    path = run / f"model{form.suffix}" if output is None else output
    if path.suffix.lower() != form.suffix:
        example = path if path.name.strip(".") else Path("model")  # a name of dots has no ending
        remedy = f"For example {example.with_suffix(form.suffix)}."
        raise fault("--output", f"a {form.suffix} file for --format {name}", str(path), remedy)
    pipeline, _ = open_run(run)
    plan = plan_of(pipeline)
    form.write(pipeline, path)
    say(f"wrote {path}: {path.stat().st_size:,} bytes, numbers of {plan.dtype}")
    _say_what(plan, run)
    c_name = _c_name(path)
    say(f"use        {form.use.format(file=path, stem=path.stem, name=c_name, main=c_name.upper())}")


def _format_of(output: Path | None) -> str:
    """Return the format that the ending of a file stands for."""
    endings = {form.suffix: name for name, form in FORMATS.items()}
    if output is None or output.suffix.lower() not in endings:
        expected = f"one of {', '.join(FORMATS)}, or an --output that ends in {', '.join(endings)}"
        raise fault("--format", expected, "neither" if output is None else str(output))
    return endings[output.suffix.lower()]


def _say_what(plan: Plan, run: Path) -> None:
    say(f"inputs     {counted(len(plan.inputs), 'number')} a row: {_some(plan.inputs)}")
    what = "probabilities" if plan.classes else "outputs"
    say(f"{what:<10} {_some(plan.outputs)}")
    for note in plan.notes:
        say(f"note       {note.replace('RUN/', f'{run}/')}")


def _some(names: tuple[str, ...]) -> str:
    """Return the first names, and an ellipsis where there are more."""
    return ", ".join(names[:12]) + (f", ... {names[-1]}" if len(names) > 12 else "")
