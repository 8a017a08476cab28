"""Model files: networks, checkpoints, pipelines; damaged by accident, or written by someone who means harm."""

from __future__ import annotations

import io
import json
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import glassnet as gn
from benchmarks.fuzz_doors.judging import HOSTILE, pick, refusal
from glassnet import checkpoints, sealed
from glassnet.persistence import load_pipeline, save_pipeline

NET = gn.Network(2, [gn.Dense(2, "elu"), gn.BatchNorm(0.9), gn.LayerNorm(), gn.Dropout(0.1), gn.Dense(1)])
NAMES = {"network": "m.safetensors", "checkpoint": "checkpoint-00000003.safetensors", "pipeline": "m.skops"}
X = np.linspace(-1, 1, 24).reshape(12, 2)


@cache
def whole(kind: str) -> bytes:
    """Return the bytes of a whole file."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder, NAMES[kind])
        if kind == "network":
            gn.save(path, NET, NET.init(rng=0), NET.init_state(), {"data": "iris"})
        elif kind == "checkpoint":
            objective = gn.Objective(NET, "squared_error")
            options = {"epochs": 3, "engine": "numpy", "callbacks": [gn.Checkpoint(folder)]}
            gn.train(objective, NET.init(rng=0), X, X[:, :1], **options)  # type: ignore[arg-type]
        else:
            model = gn.MLPClassifier((3,), max_iter=2, random_state=0, engine="numpy")
            save_pipeline(path, make_pipeline(StandardScaler(), model).fit(X, X[:, 0] > 0))
        return path.read_bytes()


def case(rng: np.random.Generator, folder: Path) -> str:
    kind = pick(rng, ["network"] * 80 + ["checkpoint"] * 19 + ["pipeline"])
    data = pick(rng, (flipped, flipped, cut, spliced, claimed, rewritten, rewritten))(rng, kind)
    return judged(kind, data, folder)


def judged(kind: str, data: bytes, folder: Path) -> str:
    """Read the bytes as a file of that kind; demand what every reader must keep."""
    path = folder / NAMES[kind]
    path.write_bytes(data)
    refused, found = refusal(lambda: READ[kind](path))
    assert sorted(other.name for other in folder.iterdir()) == [path.name], "a file that nobody asked for"
    if not refused:
        judge(kind, found, data)
    return "refused" if refused else "right"


READ: dict[str, Callable[[Path], Any]] = {
    "network": gn.load,
    "checkpoint": lambda path: checkpoints.newest(path.parent),
    "pipeline": load_pipeline,
}


def judge(kind: str, found: Any, data: bytes) -> None:
    """Demand that what was read is whole: it fits itself, and bytes that were not sealed anew hold what was written."""
    if kind == "network":
        assert found.theta.shape == (found.net.n_parameters,)
        assert found.state.shape == (found.net.state_layout.size,)
        if b"resealed" not in data:
            assert found.net == NET
            assert found.theta.tobytes() == NET.init(rng=0).tobytes()
    elif kind == "checkpoint":
        assert isinstance(found.content, dict)
    else:
        assert hasattr(found, "steps")


def flipped(rng: np.random.Generator, kind: str) -> bytes:
    data = bytearray(whole(kind))
    for _ in range(int(pick(rng, (1, 1, 2, 8)))):
        data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    return bytes(data)


def cut(rng: np.random.Generator, kind: str) -> bytes:
    data = whole(kind)
    start = int(pick(rng, (0, 0, 0, 1, 8, int(rng.integers(len(data))))))
    return data[start : start + int(rng.integers(len(data)))]


def spliced(rng: np.random.Generator, kind: str) -> bytes:
    data, other = whole(kind), whole(pick(rng, list(NAMES)))
    here, there = int(rng.integers(len(data))), int(rng.integers(len(other)))
    piece = pick(rng, (other[there : there + 40], rng.bytes(int(rng.integers(64))), b"\0" * 32, b"[" * 2000))
    return data[:here] + piece + data[here + int(pick(rng, (0, len(piece)))) :]


def claimed(rng: np.random.Generator, kind: str) -> bytes:
    """Return a file whose header claims another size: of itself, of an array, of a shape."""
    if kind == "pipeline":
        return spliced(rng, kind)
    data = whole(kind)
    n = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + n])
    name = pick(rng, [name for name in header if name != "__metadata__"])
    what = pick(rng, ("shape", "data_offsets", "dtype", "length"))
    size = pick(rng, (2**40, 2**62, 2**63, -1, 0, 3))
    if what == "length":
        return int(abs(size) % 2**64).to_bytes(8, "little") + data[8:]
    kinds = ("F16", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X")
    header[name][what] = pick(rng, kinds) if what == "dtype" else [size] * int(rng.integers(4))
    raw = json.dumps(header).encode()
    return len(raw).to_bytes(8, "little") + raw + data[8 + n :]


def rewritten(rng: np.random.Generator, kind: str) -> bytes:
    """Return a file whose JSON or arrays were changed, sealed as if nothing had been: no digest tells."""
    if kind == "pipeline":
        return rezipped(rng)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m")
        path.write_bytes(whole(kind))
        arrays, about = sealed.read(path, "ours")
    about.pop("sha256")
    for _ in range(int(rng.integers(1, 3))):
        if rng.random() < 0.75:
            about = changed(rng, about)
            about = about if isinstance(about, dict) else {"format": 1, "network": about}
        else:
            name = pick(rng, list(arrays))
            array = arrays.pop(name)
            other = pick(rng, (array[:0], array.astype(np.float32), array.reshape(-1, 1), np.full_like(array, np.nan),
                               array.astype(np.int8), np.zeros((0, 3))))  # fmt: skip
            arrays[pick(rng, (name, name, name + "2", "../" + name, ""))] = other
    return sealed.seal({**about, "note": "resealed"}, arrays)


def changed(rng: np.random.Generator, value: Any) -> Any:
    """Return JSON with one part, anywhere in it, put in the place of another."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = pick(rng, sorted(value))
        rest = {key: part for key, part in value.items() if key != name}
        return rest if rng.random() < 0.1 else {**rest, name: changed(rng, value[name])}
    if isinstance(value, list) and value and rng.random() < 0.9:
        i = int(rng.integers(len(value)))
        return [*value[:i], changed(rng, value[i]), *value[i + (rng.random() < 0.8) :]]
    if rng.random() < 0.03:
        for _ in range(300):
            value = [value]
        return value
    return pick(rng, HOSTILE)


def rezipped(rng: np.random.Generator) -> bytes:
    """Return a pipeline whose archive is whole, but whose schema says something else, or files are gone."""
    made = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(whole("pipeline"))) as old, zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "schema.json":
                schema = json.loads(content)
                for _ in range(int(rng.integers(1, 4))):
                    schema = changed(rng, schema)
                content = json.dumps(schema).encode()
            elif rng.random() < 0.1:
                content = pick(rng, (b"", content[: len(content) // 2], b"\x80\x04N.", rng.bytes(50)))
            if rng.random() > 0.03:
                new.writestr(pick(rng, (name,) * 20 + ("../" + name,)), content)
    return made.getvalue()
