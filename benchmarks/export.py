"""What an exported network costs: largest differences, sizes of the files, and the time for one row.

    python -m benchmarks.export

Differences: every activation and layer of the library, 1,000 rows, in units of the largest output. Times: a 64-50-10
network that has learned scikit-learn's digits, float32, processor time of one thread; the contestants take turns,
medians. C is called through ctypes, as Python would, and from a loop in C, as another program would. It needs gcc and
the extra "export".
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import tempfile
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from sklearn import neural_network
from sklearn.datasets import load_digits
from tests.export_cases import CASES, difference
from threadpoolctl import threadpool_limits

import glassnet as gn

LOOP = """
void repeat(const REAL *x, REAL *y, long n) { for (long k = 0; k < n; k++) glassnet_predict(x, y); }
"""
OPTIONS: dict[str, Any] = {
    "hidden_layer_sizes": (50,), "learning_rate_init": 0.01, "tol": 1e9, "n_iter_no_change": 20, "random_state": 0
}  # fmt: skip


def session(content: bytes) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def python_module(source: str) -> types.ModuleType:
    module = types.ModuleType("model")
    exec(source, module.__dict__)
    return module


def library(source: str, dtype: str, folder: Path, *flags: str) -> ctypes.CDLL:
    """Compile a file and the loop behind it."""
    (folder / "model.c").write_text(source + LOOP.replace("REAL", {"float32": "float", "float64": "double"}[dtype]))
    made = f"model{''.join(flags)}.so"
    command = ["gcc", "-std=c99", *(flags or ("-O2",)), "-shared", "-fPIC", "model.c", "-lm", "-o", made]
    subprocess.run(command, cwd=folder, check=True)
    return ctypes.CDLL(str(folder / made))


def of_c(source: str, X: np.ndarray, n_outputs: int) -> np.ndarray:
    """Predict all rows in C."""
    with tempfile.TemporaryDirectory() as folder:
        compiled = library(source, X.dtype.name, Path(folder))
    Y = np.empty((len(X), n_outputs), X.dtype)
    for x, y in zip(np.ascontiguousarray(X), Y, strict=True):
        compiled.glassnet_predict(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data))
    return Y


def differences() -> None:
    print("largest difference over all activations and layers, 1,000 rows, in units of the largest output\n")
    print("| target | float32 | float64 |\n| --- | --- | --- |")
    worst: dict[str, list[tuple[float, str]]] = {"ONNX": [], "C": [], "NumPy": []}
    for dtype in ("float32", "float64"):
        found: dict[str, list[tuple[float, str]]] = {target: [] for target in worst}
        for name, make in CASES.items():
            case = make(dtype)
            answers = {
                "ONNX": session(gn.to_onnx(case.model)).run(None, {"X": case.X})[0],
                "C": of_c(gn.to_c(case.model), case.X, case.net.n_outputs),
                "NumPy": python_module(gn.to_numpy(case.model)).outputs(case.X),
            }
            for target, answer in answers.items():
                found[target].append((difference(answer, case.output), name))
        for target, each in found.items():
            worst[target].append(max(each))
    for target, each in worst.items():
        print(f"| {target} | {' | '.join(f'{value:.1e} ({name})' for value, name in each)} |")


def micros(call: Callable[[], object], least: float = 0.05) -> float:
    """Return microseconds a call, over at least `least` seconds."""
    count, seconds = 1, 0.0
    while seconds < least:
        count *= 2
        begin = time.thread_time()
        for _ in range(count):
            call()
        seconds = time.thread_time() - begin
    return seconds / count * 1e6


def speeds(repeats: int) -> None:
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    ours = gn.MLPClassifier(**OPTIONS).fit(X, y)
    theirs = neural_network.MLPClassifier(**OPTIONS).fit(X, y)
    onnx, c, numpy = gn.to_onnx(ours), gn.to_c(ours), gn.to_numpy(ours)
    with tempfile.TemporaryDirectory() as folder:
        compiled = library(c, "float32", Path(folder))
        fastest = library(c, "float32", Path(folder), "-O3", "-march=native")
        size = (Path(folder) / "model.so").stat().st_size
    ran, module = session(onnx), python_module(numpy)
    row, out, rounds = X[:1].copy(), np.empty((1, 10), np.float32), 10_000
    x_at, y_at = ctypes.c_void_p(row.ctypes.data), ctypes.c_void_p(out.ctypes.data)
    calls: dict[str, tuple[Callable[[], object], int]] = {
        "C, in a loop of C": (lambda: compiled.repeat(x_at, y_at, ctypes.c_long(rounds)), rounds),
        "C, with -O3 -march=native": (lambda: fastest.repeat(x_at, y_at, ctypes.c_long(rounds)), rounds),
        "C, through ctypes": (lambda: compiled.glassnet_predict(x_at, y_at), 1),
        "onnxruntime": (lambda: ran.run(None, {"X": row}), 1),
        "NumPy file": (lambda: module.outputs(row), 1),
        "glassnet, net.forward": (lambda: ours.network_.forward(ours.theta_, row), 1),
        "glassnet, predict_proba": (lambda: ours.predict_proba(row), 1),
        "scikit-learn, predict_proba": (lambda: theirs.predict_proba(row), 1),
    }
    times: dict[str, list[float]] = {name: [] for name in calls}
    with threadpool_limits(1):
        for _ in range(repeats):
            for name, (call, count) in calls.items():
                times[name].append(micros(call) / count)
    print("\none row of a 64-50-10 network, float32, one core\n\n| who | microseconds | bytes |\n| --- | --- | --- |")
    sizes = {
        "C, in a loop of C": f"{len(c):,} (compiled: {size:,})", "onnxruntime": f"{len(onnx):,}",
        "NumPy file": f"{len(numpy):,}",
    }  # fmt: skip
    for name, each in times.items():
        print(f"| {name} | {statistics.median(each):.3g} | {sizes.get(name, '')} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    differences()
    speeds(repeats)


if __name__ == "__main__":
    main()
