"""onnxruntime predicts what glassnet predicts, for every layer and activation, in both precisions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from export_cases import CASES, TOLERANCE, assert_close_far_out, case, difference, far_out, with_layer
from export_models import MODELS, model
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
    read = onnx.load_model_from_string(gn.to_onnx(example.model))
    first = read.graph.initializer[0]
    wrong = onnx.numpy_helper.to_array(first).copy()
    wrong.flat[0] += 1e-4
    first.CopyFrom(onnx.numpy_helper.from_array(wrong, first.name))
    assert difference(run(read.SerializeToString(), example.X), example.output) > TOLERANCE["float32"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", MODELS)
def test_models_predict_the_same(name: str, dtype: str) -> None:
    """Scalers before and probabilities behind the network are part of the file."""
    example = model(name)
    predicted = run(gn.to_onnx(example.model, dtype=dtype), example.X.astype(dtype))
    # the pipeline of a table computes in float32 itself
    assert difference(predicted, example.output) < (1e-6 if dtype == "float32" or name == "table" else 1e-12)


def test_labels_and_columns_stand_in_the_metadata() -> None:
    read = onnx.load_model_from_string(gn.to_onnx(model("two classes").model))
    about = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(about["classes"]) == model("two classes").model.classes_.tolist()
    assert (about["kind"], read.graph.output[0].name) == ("classifier", "probabilities")
    read = onnx.load_model_from_string(gn.to_onnx(model("table").model))
    about = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(about["inputs"]) == ["a", "b", "gap", "year", "constant", "rare"]


def test_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(gn.GlassnetError, match=r'pip install "glassnet\[export\]"'):
        gn.to_onnx(CASES["relu"]("float32").model)


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
    read = onnx.load(path)
    onnx.checker.check_model(read, full_check=True)
    about: dict[str, Any] = {entry.key: entry.value for entry in read.metadata_props}
    assert json.loads(about["inputs"]) == ["x0", "x1", "x2", "x3", "x4"]
    assert (read.graph.input[0].name, read.graph.output[0].name) == ("X", "output")
    assert difference(run(content, example.X.astype(np.float32)), example.output) < 1e-6
