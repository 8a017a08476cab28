"""persistence.py, networks: what `save` wrote comes back, and what is damaged or foreign is refused in one line."""

from __future__ import annotations

import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open

import glassnet as gn
from glassnet.errors import GlassnetError
from glassnet.persistence import FORMAT, load, save

PLAIN = gn.Network(3, [gn.Dense(4, "tanh"), gn.Dropout(0.5), gn.Dense(2, "softmax", bias=False)])
NORMED = gn.Network(2, [gn.Dense(2, "elu", weight_init="orthogonal"), gn.BatchNorm(0.9), gn.LayerNorm(), gn.Dense(1)])


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("net", [PLAIN, NORMED], ids=["plain", "normed"])
def test_a_network_comes_back(tmp_path: Path, net: gn.Network, dtype: type) -> None:
    path = tmp_path / "model.safetensors"
    theta, state = net.init(1, dtype), net.init_state(dtype) + dtype(0.1)
    about = {"data": "iris", "scores": [0.1, None, {"deep": True}]}
    gn.save(str(path), net, theta, state, about)
    saved = gn.load(str(path))
    assert saved.net == net
    assert (saved.theta.dtype, saved.theta.tobytes()) == (theta.dtype, theta.tobytes())
    assert saved.state.tobytes() == state.tobytes()
    assert saved.metadata == about
    assert saved.glassnet_version == gn.__version__
    saved.theta[0] = 7.0  # its memory is its own
    first = path.read_bytes()
    gn.save(path, net, theta, state, about)
    assert path.read_bytes() == first


def test_two_names_are_enough_where_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, PLAIN, PLAIN.init(0))
    net, theta = load(path)
    X = np.eye(3)
    np.testing.assert_array_equal(net.forward(theta, X).output, PLAIN.forward(PLAIN.init(0), X).output)
    with pytest.raises(GlassnetError, match="state must be given for a network with BatchNorm"):
        save(path, NORMED, NORMED.init(0))
    save(path, NORMED, NORMED.init(0), NORMED.init_state())
    with pytest.raises(GlassnetError, match=r"without running statistics, received BatchNorm's.*state=saved\.state"):
        net, theta = load(path)


def test_others_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    theta = NORMED.init(0)
    save(path, NORMED, theta[::-1], NORMED.init_state())
    with safe_open(path, framework="numpy") as file:
        assert set(file.keys()) == {"W1", "b1", "gamma2", "beta2", "mean2", "var2", "gamma3", "beta3", "W4", "b4"}
        np.testing.assert_array_equal(file.get_tensor("W1"), NORMED.views(theta[::-1].copy())["W1"])
        about = json.loads(file.metadata()["glassnet"])
    assert about["network"] == NORMED.to_dict()
    assert about["format"] == FORMAT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"theta": np.zeros(5)}, r"theta must be float32 or float64 \(24,\), received float64 \(5,\)"),
        ({"theta": np.zeros((2, 24))}, "A stack"),
        ({"theta": np.zeros(24, int)}, "received int"),
        ({"theta": np.zeros(24, np.float16)}, "received float16"),
        ({"state": np.zeros(3)}, r"state must be float32 or float64 \(0,\)"),
        ({"metadata": {"a": np.zeros(2)}}, "metadata must be names and what JSON can say.*ndarray"),
        ({"metadata": {"a": float("nan")}}, "what JSON can say"),
        ({"metadata": {1: "a"}}, "metadata must be named by text, received"),
        ({"net": gn.Network(3, [gn.Dense(6, (np.sin, np.cos))]), "theta": np.zeros(24)}, "is your own"),
        ({"path": Path("nowhere", "model.safetensors")}, "in an existing folder"),
    ],
)
def test_what_cannot_be_kept_is_not_written(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    net = gn.Network(3, [gn.Dense(6)])
    arguments = {"path": tmp_path / "model.safetensors", "net": net, "theta": net.init(0)} | change
    with pytest.raises(GlassnetError, match=message):
        save(**arguments)
    assert list(tmp_path.iterdir()) == []


def craft(path: Path, arrays: dict[str, Any], **change: object) -> None:
    """Write a file as `save` does, digest and all, but with other content: `None` leaves an entry out."""
    about = {"format": 1, "glassnet_version": "0", "metadata": {}, "network": LINE.to_dict()} | change
    about = {name: entry for name, entry in about.items() if entry is not None}
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
    for name in sorted(arrays):
        digest.update(f"\n{name} {arrays[name].dtype.name} {arrays[name].shape}\n".encode() + arrays[name].tobytes())
    about.setdefault("sha256", digest.hexdigest())
    path.write_bytes(safetensors.numpy.save(arrays, {"glassnet": json.dumps(about)}))


LINE = gn.Network(2, [gn.Dense(1)])
FITTING = {"W1": np.ones((2, 1)), "b1": np.zeros(1)}


EIGHT_BITS = b'{"W1":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}'
EIGHT_BITS = len(EIGHT_BITS).to_bytes(8, "little") + EIGHT_BITS + b"\0"


def test_a_crafted_file_is_read(tmp_path: Path) -> None:
    craft(tmp_path / "m", FITTING)
    assert load(tmp_path / "m").theta.tolist() == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("arrays", "change", "message"),
    [
        (FITTING, {"format": 2}, "network file of format 1, received format 2, written by glassnet '0'"),
        (FITTING, {"format": None}, "received format None"),
        (FITTING, {"sha256": "0" * 64}, "as it was written, received other content"),
        (FITTING, {"sha256": 5}, "as it was written"),
        (FITTING, {"network": None}, "that this glassnet knows, received KeyError"),
        (FITTING, {"network": 5}, "that this glassnet knows"),
        (FITTING, {"network": {"n_inputs": 2, "layers": [{"layer": "Conv"}]}}, "unknown layer 'Conv'"),
        (FITTING, {"network": {"n_inputs": 2, "layers": [{"layer": "Dense", "units": "os"}]}}, "units of Dense"),
        (FITTING, {"network": {"n_inputs": "2", "layers": [{"layer": "Dense", "units": 1}]}}, "n_inputs must be"),
        (
            FITTING,
            {"network": {"n_inputs": 10**12, "layers": [{"layer": "Dense", "units": 1}]}},
            r"W1 \(2, 1\) for \(1000000000000, 1\)",
        ),
        (FITTING, {"metadata": None}, "that this glassnet knows, received KeyError"),
        (FITTING, {"metadata": 5}, "that this glassnet knows, received TypeError"),
        ({"W1": np.ones((2, 1))}, {}, r"b1 missing for \(1,\)"),
        (FITTING | {"b2": np.zeros(1)}, {}, r"b2 \(1,\) for none"),
        (FITTING | {"W1": np.ones((1, 2))}, {}, r"W1 \(1, 2\) for \(2, 1\)"),
        (FITTING | {"b1": np.zeros(1, np.float32)}, {}, "all float32 or all float64, received float32 and float64"),
        (FITTING | {"b1": np.zeros(1, np.int64)}, {}, "received float64 and int64"),
        ({name: a.astype(np.float16) for name, a in FITTING.items()}, {}, "received float16"),
    ],
)
def test_crafted_files_are_refused(
    tmp_path: Path, arrays: dict[str, Any], change: dict[str, object], message: str
) -> None:
    craft(tmp_path / "m", arrays, **change)
    with pytest.raises(GlassnetError, match=message) as caught:
        load(tmp_path / "m")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "must be a safetensors file"),
        (b"PK\x03\x04" * 9, "must be a safetensors file.*pickles are never read"),
        (pickle.dumps(LINE), "must be a safetensors file"),
        (b"\xff" * 64, "must be a safetensors file"),
        (EIGHT_BITS, "made of float32 or float64, received type 'F8_E5M2'"),
        (safetensors.numpy.save(FITTING), "written by glassnet.save, received a safetensors file of another program"),
        (safetensors.numpy.save(FITTING, {"format": "pt"}), "safetensors file of another program"),
        (safetensors.numpy.save(FITTING, {"glassnet": "hello"}), "safetensors file of another program"),
        (safetensors.numpy.save(FITTING, {"glassnet": "[1]"}), "safetensors file of another program"),
        (safetensors.numpy.save(FITTING, {"glassnet": "[" * 100_000}), "safetensors file of another program"),
    ],
    ids=range(10),
)  # fmt: skip
def test_foreign_files_are_refused(tmp_path: Path, data: bytes, message: str) -> None:
    (tmp_path / "m").write_bytes(data)
    with pytest.raises(GlassnetError, match=message) as caught:
        load(tmp_path / "m")
    assert "\n" not in str(caught.value)


def test_missing_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GlassnetError, match="must be a readable file, received No such file"):
        load(tmp_path / "m")
    with pytest.raises(GlassnetError, match="must be a file, received a folder"):
        load(tmp_path)


@pytest.fixture(scope="module")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("networks") / "m.safetensors"
    save(path, NORMED, NORMED.init(0), NORMED.init_state(), {"data": "iris"})
    return path


@given(data=st.data())
def test_damage_is_seen_or_harmless(network_file: Path, data: st.DataObject) -> None:
    whole = network_file.read_bytes()
    place, bit = data.draw(st.integers(0, len(whole) - 1)), data.draw(st.integers(0, 7))
    damaged = bytearray(whole)
    damaged[place] ^= 1 << bit
    check_damaged(network_file.with_name("damaged"), bytes(damaged))


@given(data=st.data())
def test_cuts_are_seen(network_file: Path, data: st.DataObject) -> None:
    whole = network_file.read_bytes()
    path = network_file.with_name("cut")
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])
    with pytest.raises(GlassnetError, match="must be a safetensors file"):
        load(path)


@given(data=st.binary(max_size=200), size=st.none() | st.integers(0, 300))
def test_noise_is_refused(network_file: Path, data: bytes, size: int | None) -> None:
    path = network_file.with_name("noise")
    path.write_bytes(data if size is None else size.to_bytes(8, "little") + data)
    with pytest.raises(GlassnetError):
        load(path)


@pytest.mark.slow
def test_every_single_flip_is_seen_or_harmless(network_file: Path) -> None:
    whole = network_file.read_bytes()
    for place in range(len(whole)):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << (place % 8)
        check_damaged(network_file.with_name("damaged"), bytes(damaged))


def check_one_line(error: GlassnetError) -> None:
    assert "\n" not in str(error)


def check_damaged(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    try:
        saved = load(path)
    except GlassnetError as error:
        check_one_line(error)
    else:  # 1e-06 and 1E-06 are one number
        assert saved.net == NORMED
        assert saved.theta.tobytes() == NORMED.init(0).tobytes()
        assert saved.state.tobytes() == NORMED.init_state().tobytes()
        assert saved.metadata == {"data": "iris"}


def test_reading_loads_nothing_but_safetensors(network_file: Path) -> None:
    code = (
        f"import sys, glassnet as gn; gn.load({str(network_file)!r})\n"
        "foreign = {'sklearn', 'scipy', 'pandas', 'skops', 'torch', 'numba'}\n"
        "print(sorted({name.split('.')[0] for name in sys.modules} & foreign))"
    )
    path = {"PYTHONPATH": str(Path(gn.__file__).parents[1]), "PATH": ""}
    done = subprocess.run([sys.executable, "-c", code], env=path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
