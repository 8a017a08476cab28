"""The NumPy file predicts the same in a process that can import neither glassnet nor anything else but NumPy."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from export_cases import CASES, TOLERANCE, assert_close_far_out, difference, far_out
from export_models import MODELS, model
from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array

ALONE = """
import sys, types
from pathlib import Path
import numpy as np

class Nothing:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] not in {*sys.stdlib_module_names, "numpy"}:
            raise ImportError(f"{name} is not to be had here")

sys.meta_path.insert(0, Nothing())
try:
    import glassnet
except ImportError:
    pass
else:
    raise SystemExit("glassnet can be imported")
for file in sorted(Path(sys.argv[1]).glob("*.py")):
    module = types.ModuleType("model")
    exec(compile(file.read_text(encoding="utf-8"), file, "exec"), module.__dict__)
    X = np.load(file.with_suffix(".npy"))
    np.savez(file.with_suffix(".npz"), outputs=module.outputs(X), predicted=module.predict(X))
"""
NETWORKS = [(name, dtype) for name in CASES for dtype in ("float32", "float64")]


def answers(folder: Path, files: dict[str, tuple[str, Array]]) -> dict[str, dict[str, Array]]:
    """Run each file, in one process, on its rows; return its outputs and predictions."""
    for name, (source, X) in files.items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
        np.save(folder / f"{name}.npy", X)
    done = subprocess.run(
        [sys.executable, "-I", "-W", "error", "-c", ALONE, str(folder)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = {}
    for name in files:
        with np.load(folder / f"{name}.npz") as arrays:
            found[name] = dict(arrays)
    return found


@pytest.fixture(scope="module")
def of_networks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Array]]:
    files = {}
    for name, dtype in NETWORKS:
        example = CASES[name](dtype)
        files[f"{name} {dtype}"] = gn.to_numpy(example.model), example.X
    for name in ACTIVATIONS:
        files[f"far {name}"] = gn.to_numpy(far_out(name, "float32").model), far_out(name, "float32").X
    return answers(tmp_path_factory.mktemp("networks"), files)


@pytest.mark.parametrize(("name", "dtype"), NETWORKS)
def test_networks_predict_the_same(name: str, dtype: str, of_networks: dict[str, Any]) -> None:
    found = of_networks[f"{name} {dtype}"]["outputs"]
    assert found.dtype == dtype
    assert difference(found, CASES[name](dtype).output) < TOLERANCE[dtype]


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_far_out(name: str, of_networks: dict[str, Any]) -> None:
    assert_close_far_out(of_networks[f"far {name}"]["outputs"], far_out(name, "float32"))


@pytest.fixture(scope="module")
def of_models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Array]]:
    files = {}
    for name in MODELS:
        for dtype in ("float32", "float64"):
            files[f"{name} {dtype}"] = gn.to_numpy(model(name).model, dtype=dtype), model(name).X
    return answers(tmp_path_factory.mktemp("models"), files)


@pytest.mark.parametrize("name", MODELS)
def test_models_predict_the_same(name: str, of_models: dict[str, Any]) -> None:
    example, found = model(name), of_models[f"{name} float64"]
    # the pipeline of a table computes in float32 itself
    assert difference(found["outputs"], example.output) < (1e-6 if name == "table" else 1e-12)
    assert found["predicted"].shape == example.predicted.shape
    if found["predicted"].dtype.kind in "US" or name == "several labels":
        np.testing.assert_array_equal(found["predicted"], example.predicted)
    else:
        np.testing.assert_allclose(found["predicted"], example.predicted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_models_in_float32_too(name: str, of_models: dict[str, Any]) -> None:
    assert difference(of_models[f"{name} float32"]["outputs"], model(name).output) < 1e-6


def test_planted_fault_is_seen(tmp_path: Path) -> None:
    """A tanh for a sigmoid, and a number that was changed."""
    example = CASES["sigmoid"]("float64")
    source = gn.to_numpy(example.model)
    assert "np.exp(" in source
    files = {"function": (source.replace("np.exp(", "np.expm1("), example.X)}
    theta = example.theta.copy()
    theta[0] += 1e-9
    files["number"] = gn.to_numpy((example.net, theta)), example.X
    for found in answers(tmp_path, files).values():
        assert difference(found["outputs"], example.output) > TOLERANCE["float64"]


def test_file_is_small_readable_python(tmp_path: Path) -> None:
    path = tmp_path / "model.py"
    text = gn.to_numpy(CASES["gelu"]("float32").model, path)
    assert path.read_text() == text
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert imported == {"base64", "numpy"}
    assert not any(isinstance(node, ast.ImportFrom) for node in ast.walk(tree))
    assert "    A = A @ W1 + b1\n    A = gelu(A)\n    A = A @ W2 + b2\n    A = gelu(A)\n    return A" in text
    assert max(map(len, text.splitlines())) <= 120


def test_wrong_input_is_refused() -> None:
    place: dict[str, Any] = {}
    exec(gn.to_numpy(CASES["relu"]("float32").model), place)
    with pytest.raises(ValueError, match=r"X must be \(m, 5\), received \(5,\)"):
        place["predict"](np.zeros(5))
    with pytest.raises(ValueError, match="X must be finite"):
        place["predict"](np.full((1, 5), np.nan))


def test_hostile_names_stay_texts() -> None:
    """Nothing that stands in a label or a column becomes code."""
    place: dict[str, Any] = {}
    exec(gn.to_numpy(model("two classes").model), place)
    assert place["CLASSES"].tolist() == ["ja, größer */ ??/", 'no "?"'] == list(place["OUTPUTS"])
