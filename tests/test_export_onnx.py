"""onnxruntime predicts what glassnet predicts, for every layer and activation, in both precisions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from export_cases import CASES, TOLERANCE, assert_close_far_out, case, difference, far_out, with_layer
from glassnet.activations import ACTIVATIONS
from glassnet.arrays import Array

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


def run(content: bytes, X: Array) -> Array:
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    result: Array = session.run(None, {"X": X})[0]
    return result


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", CASES)
def test_onnxruntime_predicts_the_same(name: str, dtype: str) -> None:
    example = CASES[name](dtype)
    predicted = run(gn.to_onnx(example.model), example.X)
    assert predicted.dtype == dtype
    assert difference(predicted, example.output) < TOLERANCE[dtype]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_far_out(name: str, dtype: str) -> None:
    example = far_out(name, dtype)
    assert_close_far_out(run(gn.to_onnx(example.model), example.X), example)


@pytest.mark.parametrize("name", ["Dense", "BatchNorm", "LayerNorm", "gelu", "your own"])
def test_planted_fault_is_seen(name: str) -> None:
    """One wrong number in the file is far outside the tolerance."""
    example = CASES[name]("float32")
    model = onnx.load_model_from_string(gn.to_onnx(example.model))
    wrong = onnx.numpy_helper.to_array(model.graph.initializer[0]).copy()
    wrong.flat[0] += 1e-4
    model.graph.initializer[0].CopyFrom(onnx.numpy_helper.from_array(wrong, model.graph.initializer[0].name))
    assert difference(run(model.SerializeToString(), example.X), example.output) > TOLERANCE["float32"]


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_any_number_of_rows(rows: int) -> None:
    example = with_layer("LayerNorm", "float32")
    assert run(gn.to_onnx(example.model), example.X[:rows]).shape == (rows, 3)


def test_file_is_checked_named_and_written_whole(tmp_path: Path) -> None:
    example = case([gn.Dense(2, "softmax")], "float64")
    path = tmp_path / "model.onnx"
    content = gn.to_onnx(example.model, path, dtype="float32")
    assert path.read_bytes() == content
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]
    model = onnx.load(path)
    onnx.checker.check_model(model, full_check=True)
    about: dict[str, Any] = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(about["inputs"]) == ["x0", "x1", "x2", "x3", "x4"]
    assert (model.graph.input[0].name, model.graph.output[0].name) == ("X", "output")
    assert difference(run(content, example.X.astype(np.float32)), example.output) < 1e-6
