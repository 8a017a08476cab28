"""datasets.py: what load hands out, and what it refuses."""

from __future__ import annotations

import dataclasses
import os
import types
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import sklearn.datasets
from hypothesis import given
from hypothesis import strategies as st

from glassnet.datasets import DATASETS, load, one_hot
from glassnet.errors import GlassnetError

DRAWN = ("two_gaussians", "moons", "circles", "spirals")
EXPECTED = {  # name: (task, X shape, y shape)
    "digits": ("classification", (1797, 64), (1797,)),
    "iris": ("classification", (150, 4), (150,)),
    "wine": ("classification", (178, 13), (178,)),
    "breast_cancer": ("classification", (569, 30), (569,)),
    "diabetes": ("regression", (442, 10), (442,)),
    "two_gaussians": ("classification", (40, 3), (40,)),
    "moons": ("classification", (200, 2), (200,)),
    "circles": ("classification", (200, 2), (200,)),
    "spirals": ("classification", (400, 2), (400,)),
    "xor": ("classification", (4, 2), (4,)),
    "study_hours": ("regression", (3, 2), (3,)),
    "eight_bits": ("codes", (8, 8), (8, 8)),
}


def test_every_name_is_tested() -> None:
    assert set(DATASETS) == {*EXPECTED, "mnist"}
    assert all(line and "\n" not in line for line in DATASETS.values())


@pytest.mark.parametrize("name", EXPECTED)
def test_contract(name: str) -> None:
    data = load(name)
    assert (data.task, data.X.shape, data.y.shape) == EXPECTED[name]
    assert data.name == name
    assert data.description == DATASETS[name]
    assert data.source
    assert data.X.dtype == np.float64
    assert data.y.dtype == (np.int64 if data.task == "classification" else np.float64)
    assert np.isfinite(data.X).all()
    assert len(data.feature_names) == data.X.shape[1]
    assert all(type(word) is str for word in data.feature_names + data.target_names)
    if data.task == "classification":
        assert np.unique(data.y).tolist() == list(range(len(data.target_names)))
    if data.image_shape:
        assert np.prod(data.image_shape) == data.X.shape[1]
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"  # type: ignore[misc]


def test_stored_values_are_the_sources() -> None:
    digits = load("digits")
    assert digits.image_shape == (8, 8)
    assert np.array_equal(digits.X, sklearn.datasets.load_digits().data)
    assert load("study_hours").X.tolist() == [[3, 5], [5, 1], [10, 2]]
    assert load("study_hours").y.tolist() == [75, 82, 95]
    assert load("xor").y.tolist() == [0, 1, 1, 0]
    bits = load("eight_bits")
    assert np.array_equal(bits.X, np.eye(8))
    assert np.array_equal(bits.y, bits.X)
    assert bits.y is not bits.X


@pytest.mark.parametrize("name", DRAWN)
def test_drawn_ones_follow_the_seed(name: str) -> None:
    first, again, other = load(name, rng=3), load(name, rng=3), load(name, rng=4)
    assert np.array_equal(first.X, again.X)
    assert np.array_equal(first.y, again.y)
    assert not np.array_equal(first.X, other.X)
    assert np.array_equal(load(name, rng=np.random.default_rng(3)).X, first.X)
    assert np.bincount(load(name, n_samples=31).y).tolist() == [16, 15]
    assert load(name, n_samples=np.int64(2)).X.shape[0] == 2  # type: ignore[arg-type]


def test_the_global_random_state_is_left_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    for name in EXPECTED:
        load(name)
    assert np.array_equal(before, np.random.get_state()[1])  # type: ignore[index]  # noqa: NPY002


def test_geometry() -> None:
    clouds = load("two_gaussians", n_samples=40_000)
    for k, mean in enumerate((2.0, 4.0)):
        cloud = clouds.X[clouds.y == k]
        np.testing.assert_allclose(cloud.mean(axis=0), mean, atol=0.04)
        np.testing.assert_allclose(np.cov(cloud.T), np.eye(3), atol=0.04)
    circles = load("circles", n_samples=4000)
    radius = np.linalg.norm(circles.X, axis=1)
    assert radius[circles.y == 0].mean() == pytest.approx(1.0, abs=0.02)
    assert radius[circles.y == 1].mean() == pytest.approx(0.5, abs=0.02)
    moons = load("moons", n_samples=4000)
    centre = np.where(moons.y == 0, 0.0, 1.0), np.where(moons.y == 0, 0.0, 0.5)
    distance = np.hypot(moons.X[:, 0] - centre[0], moons.X[:, 1] - centre[1])
    assert distance.mean() == pytest.approx(1.0, abs=0.02)
    arms = load("spirals", n_samples=4000)
    r = np.linalg.norm(arms.X, axis=1)
    turned = np.arctan2(arms.X[:, 1], arms.X[:, 0]) - 3 * np.pi * r - np.pi * arms.y
    assert np.cos(turned[r > 0.5]).mean() > 0.9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: load("digts"), "unknown data set 'digts': did you mean 'digits'"),
        (
            lambda: load(7),  # type: ignore[arg-type]
            "unknown data set 7",
        ),
        (lambda: load("iris", n_samples=10), "left out for 'iris'"),
        (lambda: load("moons", n_samples=1), "n_samples must be at least 2"),
        (
            lambda: load("moons", n_samples=-5),
            "at least 2, one for each class, received -5",
        ),
        (
            lambda: load("moons", n_samples=10.0),  # type: ignore[arg-type]
            "n_samples must be a whole number, received 10.0",
        ),
        (lambda: load("moons", n_samples=True), "n_samples must be a whole number"),
        (lambda: load("moons", rng=-1), "rng must be a whole number from 0 up"),
        (
            lambda: load("moons", rng="seed"),  # type: ignore[arg-type]
            "rng must be",
        ),
        (lambda: one_hot([[0], [1]]), r"y must be \(m,\)"),
        (lambda: one_hot([]), r"y must be \(m,\)"),
        (lambda: one_hot([0.0, 1.0]), "integer type, received dtype float64"),
        (lambda: one_hot(["a", "b"]), "integer type"),
        (lambda: one_hot([0, -1]), "from 0 to 0, received -1 in row 1"),
        (lambda: one_hot([0, 3], 3), "from 0 to 2, received 3 in row 1"),
        (lambda: one_hot([0, 1], 0), "n_classes must be"),
        (
            lambda: one_hot([0, 1], 2.0),  # type: ignore[arg-type]
            "n_classes must be",
        ),
    ],
)
def test_refusals(call: object, message: str) -> None:
    with pytest.raises(GlassnetError, match=message) as caught:
        call()  # type: ignore[operator]
    assert "\n" not in str(caught.value)


@given(st.lists(st.integers(0, 6), min_size=1, max_size=30), st.integers(7, 9))
def test_one_hot_is_undone_by_argmax(y: list[int], n_classes: int) -> None:
    encoded = one_hot(y, n_classes)
    assert encoded.shape == (len(y), n_classes)
    assert encoded.sum(axis=1).tolist() == [1.0] * len(y)
    assert encoded.argmax(axis=1).tolist() == y
    assert one_hot(y).shape[1] == max(y) + 1


# --- MNIST ----------------------------------------------------------------------------------------


def _write_archive(folder: Path, **changes: object) -> None:
    parts: dict[str, object] = {
        "X_train": np.full((3, 784), 255, np.uint8),
        "y_train": np.arange(3, dtype=np.uint8),
        "X_test": np.zeros((2, 784), np.uint8),
        "y_test": np.zeros(2, np.uint8),
    }
    np.savez(folder / "mnist20k.npz", **(parts | changes))  # type: ignore[arg-type]


def test_mnist_from_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path))
    _write_archive(tmp_path)
    data = load("mnist")
    assert data.X.shape == (3, 784)
    assert data.X.dtype == np.float64
    assert data.X.max() == 255.0
    assert data.y.tolist() == [0, 1, 2]
    assert data.X_test is not None
    assert data.X_test.shape == (2, 784)
    assert data.image_shape == (28, 28)


def test_mnist_broken_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLASSNET_DATA", str(tmp_path))
    path = tmp_path / "mnist20k.npz"
    path.write_bytes(b"not an archive")
    with pytest.raises(GlassnetError, match="must be a NumPy archive with X_train"):
        load("mnist")
    np.savez(path, X_train=np.zeros((1, 784)))
    with pytest.raises(GlassnetError, match="must be a NumPy archive with X_train"):
        load("mnist")
    _write_archive(tmp_path, X_test=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(GlassnetError, match="must be a NumPy archive with X_train"):
        load("mnist")
    _write_archive(tmp_path, y_test=np.zeros(5))
    with pytest.raises(GlassnetError, match=r"must be images \(m, 784\)"):
        load("mnist")


@pytest.mark.parametrize("folder", [None, "empty"])
def test_mnist_nowhere(folder: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise urllib.error.URLError("no route")

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", no_network)
    if folder is None:
        monkeypatch.delenv("GLASSNET_DATA", raising=False)
    else:
        monkeypatch.setenv("GLASSNET_DATA", str(tmp_path))
    with pytest.raises(GlassnetError, match="mnist was not found: looked for") as caught:
        load("mnist")
    assert "set GLASSNET_DATA" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_mnist_from_openml(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(name: str, **_: object) -> types.SimpleNamespace:
        assert name == "mnist_784"
        labels = np.array(["3"] * 5 + ["7"] * 10_000, dtype=object)
        return types.SimpleNamespace(data=np.zeros((10_005, 784), np.uint8), target=labels)

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.delenv("GLASSNET_DATA", raising=False)
    data = load("mnist")
    assert data.y.tolist() == [3] * 5
    assert data.y_test is not None
    assert set(data.y_test.tolist()) == {7}


MNIST_FILE = Path(os.environ.get("GLASSNET_DATA", "")) / "mnist20k.npz"


@pytest.mark.skipif(not MNIST_FILE.is_file(), reason="mnist20k.npz is not in GLASSNET_DATA, or that is not set")
def test_mnist_itself() -> None:
    data = load("mnist")
    assert data.X.shape[1] == 784
    assert (data.X.min(), data.X.max()) == (0.0, 255.0)
    # the labels of the first 10,000 training images; in this file they lie sorted by digit
    assert np.bincount(data.y).tolist() == [1001, 1127, 991, 1032, 980, 863, 1014, 1070, 944, 978]
    assert data.y_test is not None
    assert data.y_test[:5].tolist() == [7, 2, 1, 0, 4]  # how MNIST's test set begins
