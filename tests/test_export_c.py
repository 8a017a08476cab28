"""gcc compiles what `to_c` writes without a warning, sanitizers find nothing, and the program predicts the same."""

from __future__ import annotations

import doctest
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from export_cases import CASES, TOLERANCE, assert_close_far_out, difference, far_out
from export_models import MODELS, model
from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array

STRICT = ("-std=c99", "-Wall", "-Wextra", "-Werror", "-pedantic")
SANITIZED = (*STRICT, "-g0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
GCC = shutil.which("gcc")
needs_gcc = pytest.mark.skipif(GCC is None, reason="gcc is not installed")


def compiled(source: str, folder: Path, flags: tuple[str, ...]) -> Path:
    """Compile the program that a file holds."""
    (folder / "model.c").write_text(source, encoding="utf-8")
    command = ["gcc", *flags, "-DGLASSNET_MAIN", "model.c", "-lm", "-o", "model"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    return folder / "model"


def run(program: Path, X: Array) -> Array:
    rows = "\n".join(" ".join(map(repr, row)) for row in X.tolist())
    done = subprocess.run([program], input=rows, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return np.array([line.split() for line in done.stdout.splitlines()], np.float64)


@needs_gcc
@pytest.mark.parametrize(("dtype", "flags"), [("float32", SANITIZED), ("float64", STRICT)])
@pytest.mark.parametrize("name", CASES)
def test_program_predicts_the_same(name: str, dtype: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    example = CASES[name](dtype)
    program = compiled(gn.to_c(example.model), tmp_path, flags)
    assert difference(run(program, example.X), example.output) < TOLERANCE[dtype]


@needs_gcc
@pytest.mark.parametrize("name", MODELS)
def test_models_predict_the_same(name: str, tmp_path: Path) -> None:
    """Scalers before and probabilities behind the network are part of the file."""
    example = model(name)
    program = compiled(gn.to_c(example.model, dtype="float32"), tmp_path, SANITIZED)
    assert difference(run(program, example.X), example.output) < 1e-6


@needs_gcc
def test_names_become_texts_and_comments(tmp_path: Path) -> None:
    """Quotes, trigraphs and ends of comments in labels and columns; every label comes back as it was."""
    source = gn.to_c(model("two classes").model)
    show = "\n#include <stdio.h>\nint main(void) { for (int k = 0; k < 2; k++) puts(glassnet_classes[k]); return 0; }\n"
    (tmp_path / "model.c").write_text(source + show)
    subprocess.run(["gcc", *STRICT, "model.c", "-lm", "-o", "model"], cwd=tmp_path, check=True)
    shown = subprocess.run([tmp_path / "model"], capture_output=True, check=True).stdout.decode()
    assert shown.splitlines() == model("two classes").model.classes_.tolist()


@needs_gcc
def test_the_page_shows_what_the_program_prints(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "export.md").read_text(encoding="utf-8")
    place: dict[str, Any] = {}
    for example in doctest.DocTestParser().get_examples(page):
        if "onnx" not in example.source and "session" not in example.source:
            exec(example.source, place)
    program = compiled(place["c"], tmp_path, STRICT)
    row, shown = re.findall(r'echo "(.*)" \| ./iris\n    (.*)\n', page)[0]
    printed = run(program, np.array([row.split()], np.float64))[0]
    np.testing.assert_allclose(printed, np.array(shown.split(), np.float64), rtol=1e-4)
    np.testing.assert_allclose(printed, place["model"].predict_proba(place["X"][:1])[0], atol=1e-6)


@needs_gcc
def test_program_says_what_it_expects(tmp_path: Path) -> None:
    program = compiled(gn.to_c(CASES["relu"]("float32").model), tmp_path, STRICT)
    for rows in ("1 2 3", "1 2 x 4 5"):
        done = subprocess.run([program], input=rows, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (1, "", "expected rows of 5 numbers\n")


@pytest.mark.parametrize("name", ["1st", "größe", "a b", ""])
def test_a_name_that_is_none_in_c_is_refused(name: str) -> None:
    with pytest.raises(gn.GlassnetError, match="name must be an identifier of C"):
        gn.to_c(CASES["relu"]("float32").model, name=name)


DRIVER = """
#include <stdio.h>
typedef double real;
{prototypes}
int main(void)
{{
    double x[1], y[1];
    while (scanf("%lf", &x[0]) == 1) {{
        {calls}
        putchar('\\n');
    }}
    return 0;
}}
"""


@needs_gcc
def test_activations_far_out_and_all_in_one_program(tmp_path: Path) -> None:
    for name in ACTIVATIONS:
        gn.to_c(far_out(name, "float64").model, tmp_path / f"{name}.c", name=f"net_{name}")
    driver = DRIVER.format(
        prototypes="\n".join(f"void net_{name}_predict(const double x[1], double y[1]);" for name in ACTIVATIONS),
        calls=" ".join(f'net_{name}_predict(x, y); printf("%.17g ", y[0]);' for name in ACTIVATIONS),
    )
    (tmp_path / "driver.c").write_text(driver)
    files = ["driver.c", *(f"{name}.c" for name in ACTIVATIONS)]
    subprocess.run(["gcc", *STRICT, *files, "-lm", "-o", "model"], cwd=tmp_path, check=True)
    predicted = run(tmp_path / "model", far_out("relu", "float64").X)
    for column, name in enumerate(ACTIVATIONS):
        assert_close_far_out(predicted[:, [column]], far_out(name, "float64"))


@needs_gcc
@pytest.mark.parametrize("name", ["Dense", "BatchNorm", "gelu"])
def test_planted_fault_is_seen(name: str, tmp_path: Path) -> None:
    """One wrong digit in the file is far outside the tolerance."""
    example = CASES[name]("float32")
    source = gn.to_c(example.model)
    number = re.search(r"(?<= = \{\n\{\n    )-?\d\.\d{4}", source)
    assert number is not None
    wrong = f"{number[0][:-1]}{(int(number[0][-1]) + 1) % 10}"
    program = compiled(source.replace(number[0], wrong, 1), tmp_path, STRICT)
    assert difference(run(program, example.X), example.output) > TOLERANCE["float32"]
