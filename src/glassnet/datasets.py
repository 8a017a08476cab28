"""Data sets by name: `load("digits")`.

Stored ones come from scikit-learn or from a file and are the same for everybody; drawn ones (`moons`,
`spirals`, ...) are random and take `n_samples` and `rng`. Values and their order are handed out as the source
has them: nothing is scaled, centred, encoded or shuffled here, because that is part of every experiment.

This is the only file of glassnet that reads the environment: `GLASSNET_DATA`, a folder that may hold
`mnist20k.npz`.
"""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from glassnet.arrays import Seed, generator
from glassnet.errors import GlassnetError, choose, fault, type_fault

__all__ = ["DATASETS", "Dataset", "Task", "load", "one_hot"]

Floats: TypeAlias = npt.NDArray[np.float64]
Task: TypeAlias = Literal["classification", "regression", "codes"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Dataset:
    """Samples with their targets, and where they come from.

    `X (m, d)` float64, unscaled. `y` is `(m,)` int64 class numbers from 0 (`task="classification"`), `(m,)`
    float64 (`"regression"`) or `(m, k)` float64 (`"codes"`). `X_test`, `y_test` are there only where the
    source has a test set of its own (mnist). `image_shape` folds a row back into a picture:
    `X[0].reshape(data.image_shape)`.

    >>> data = load("eight_bits")
    >>> data.task, data.X.shape, data.y.shape
    ('codes', (8, 8), (8, 8))
    """

    name: str
    X: Floats
    y: npt.NDArray[Any]
    task: Task
    feature_names: tuple[str, ...]
    target_names: tuple[str, ...]
    description: str
    source: str
    image_shape: tuple[int, int] | None = None
    X_test: Floats | None = None
    y_test: npt.NDArray[Any] | None = None


@dataclass(frozen=True)
class _Entry:
    """One row of the table: what it is, where from, and who makes it."""

    description: str
    source: str
    make: Callable[..., dict[str, Any]]
    n_samples: int | None = None  # rows of a drawn one by default; None: stored
    n_classes: int = 1  # a drawn data set needs at least one sample of each class


# --- stored: scikit-learn -------------------------------------------------------------------------


def _from_sklearn(loader: str, task: Task) -> Callable[[], dict[str, Any]]:
    """Return a maker that asks `sklearn.datasets.<loader>`; scikit-learn is imported when the maker runs."""

    def make() -> dict[str, Any]:
        import sklearn.datasets

        bunch = getattr(sklearn.datasets, loader)()
        fields: dict[str, Any] = {
            "X": np.ascontiguousarray(bunch.data, dtype=np.float64),
            "y": bunch.target.astype(np.float64 if task == "regression" else np.int64),
            "task": task,
            "feature_names": tuple(str(name) for name in bunch.feature_names),
            "target_names": ("progression",)
            if task == "regression"
            else tuple(str(name) for name in bunch.target_names),
        }
        if loader == "load_digits":
            fields["image_shape"] = (8, 8)
        return fields

    return make


# --- stored: MNIST --------------------------------------------------------------------------------

_MNIST_FILE = "mnist20k.npz"
_MNIST_TEST = 10_000  # the last rows of OpenML's mnist_784 are MNIST's own test set


def _mnist() -> dict[str, Any]:
    """X (m, 784) grey levels 0..255, y (m,): the file in GLASSNET_DATA if it is there, else OpenML."""
    folder = os.environ.get("GLASSNET_DATA", "")
    path = Path(folder) / _MNIST_FILE
    parts = _mnist_from_file(path) if folder and path.exists() else _mnist_from_openml(folder)
    X, y, X_test, y_test = parts
    return {
        "X": X.astype(np.float64),
        "y": y.astype(np.int64),
        "task": "classification",
        "feature_names": tuple(f"pixel_{row}_{column}" for row in range(28) for column in range(28)),
        "target_names": tuple("0123456789"),
        "image_shape": (28, 28),
        "X_test": X_test.astype(np.float64),
        "y_test": y_test.astype(np.int64),
    }


def _mnist_from_file(path: Path) -> list[npt.NDArray[Any]]:
    names = ("X_train", "y_train", "X_test", "y_test")
    remedy = f"Copy {_MNIST_FILE} there again, or unset GLASSNET_DATA to download MNIST."
    try:
        with np.load(path, allow_pickle=False) as archive:
            parts = [archive[name] for name in names]
    except (KeyError, OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise fault(str(path), f"a NumPy archive with {', '.join(names)}", str(error), remedy) from error
    for X, y in (parts[:2], parts[2:]):
        if X.ndim != 2 or X.shape[1] != 784 or y.shape != X.shape[:1]:
            raise fault(str(path), "images (m, 784) with labels (m,)", f"{X.shape} with {y.shape}", remedy)
    return parts


def _mnist_from_openml(folder: str) -> list[npt.NDArray[Any]]:
    from http.client import HTTPException

    from sklearn.datasets import fetch_openml

    try:
        bunch = fetch_openml("mnist_784", version=1, as_frame=False, parser="auto", n_retries=1)
    except (OSError, HTTPException, ValueError) as error:  # no network, a broken download
        where = f"in {folder} (GLASSNET_DATA)" if folder else "in GLASSNET_DATA (not set)"
        raise GlassnetError(
            f"mnist was not found: looked for {_MNIST_FILE} {where}, then asked openml.org for mnist_784 "
            f"({type(error).__name__}: {error}). Go online and try again, or set GLASSNET_DATA to a folder "
            f"that holds {_MNIST_FILE}."
        ) from error
    X, y = bunch.data, bunch.target.astype(np.int64)
    return [X[:-_MNIST_TEST], y[:-_MNIST_TEST], X[-_MNIST_TEST:], y[-_MNIST_TEST:]]


# --- small ones, written out ----------------------------------------------------------------------


def _xor() -> dict[str, Any]:
    return {
        "X": np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]),
        "y": np.array([0, 1, 1, 0], dtype=np.int64),
        "task": "classification",
        "feature_names": ("x1", "x2"),
        "target_names": ("0", "1"),
    }


def _study_hours() -> dict[str, Any]:
    return {
        "X": np.array([[3.0, 5.0], [5.0, 1.0], [10.0, 2.0]]),
        "y": np.array([75.0, 82.0, 95.0]),
        "task": "regression",
        "feature_names": ("hours of sleep", "hours of study"),
        "target_names": ("test score",),
    }


def _eight_bits() -> dict[str, Any]:
    bits = tuple(f"bit {i}" for i in range(8))
    return {"X": np.eye(8), "y": np.eye(8), "task": "codes", "feature_names": bits, "target_names": bits}


# --- drawn ----------------------------------------------------------------------------------------


def _sizes(n_samples: int, n_classes: int) -> list[int]:
    """Share n_samples among the classes; the first ones take what is left over."""
    return [n_samples // n_classes + (k < n_samples % n_classes) for k in range(n_classes)]


def _drawn(clouds: list[Floats], rng: np.random.Generator, feature_names: tuple[str, ...]) -> dict[str, Any]:
    """Stack one cloud a class and shuffle the rows, so that any slice of them holds every class."""
    y = np.repeat(np.arange(len(clouds), dtype=np.int64), [len(cloud) for cloud in clouds])
    order = rng.permutation(len(y))
    return {
        "X": np.concatenate(clouds)[order],
        "y": y[order],
        "task": "classification",
        "feature_names": feature_names,
        "target_names": tuple(str(k) for k in range(len(clouds))),
    }


def _two_gaussians(n_samples: int, rng: np.random.Generator) -> dict[str, Any]:
    """x ~ N(mean, I) in three dimensions, means (2, 2, 2) and (4, 4, 4)."""
    clouds = [rng.normal(mean, 1.0, size=(m, 3)) for mean, m in zip((2.0, 4.0), _sizes(n_samples, 2), strict=True)]
    return _drawn(clouds, rng, ("x1", "x2", "x3"))


def _moons(n_samples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Two half circles of radius 1: (cos t, sin t) and (1 - cos t, 1/2 - sin t), noise 0.1."""
    upper, lower = (rng.uniform(0.0, np.pi, size=m) for m in _sizes(n_samples, 2))
    clouds = [
        np.stack([np.cos(upper), np.sin(upper)], axis=1),
        np.stack([1.0 - np.cos(lower), 0.5 - np.sin(lower)], axis=1),
    ]
    return _drawn([_blur(cloud, 0.1, rng) for cloud in clouds], rng, ("x1", "x2"))


def _circles(n_samples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Two circles around the origin, radii 1 and 1/2, noise 0.1."""
    clouds = []
    for radius, m in zip((1.0, 0.5), _sizes(n_samples, 2), strict=True):
        t = rng.uniform(0.0, 2.0 * np.pi, size=m)
        clouds.append(radius * np.stack([np.cos(t), np.sin(t)], axis=1))
    return _drawn([_blur(cloud, 0.1, rng) for cloud in clouds], rng, ("x1", "x2"))


def _spirals(n_samples: int, rng: np.random.Generator) -> dict[str, Any]:
    """Two arms (r cos t, r sin t), t = 3 pi r, r from 0 to 1; the second starts at t = pi; noise 0.02."""
    clouds = []
    for turn, m in zip((0.0, np.pi), _sizes(n_samples, 2), strict=True):
        r = rng.uniform(0.0, 1.0, size=m)
        t = 3.0 * np.pi * r + turn
        clouds.append(np.stack([r * np.cos(t), r * np.sin(t)], axis=1))
    return _drawn([_blur(cloud, 0.02, rng) for cloud in clouds], rng, ("x1", "x2"))


def _blur(cloud: Floats, noise: float, rng: np.random.Generator) -> Floats:
    return cloud + rng.normal(0.0, noise, size=cloud.shape)


# --- the table ------------------------------------------------------------------------------------

_SKLEARN = "scikit-learn, sklearn.datasets"
_DRAWN = "drawn by glassnet from the given rng"
_TABLE: dict[str, _Entry] = {
    "digits": _Entry(
        "1797 handwritten digits, 8x8 pixels with grey levels 0 to 16",
        f"{_SKLEARN}.load_digits (UCI, Optical Recognition of Handwritten Digits)",
        _from_sklearn("load_digits", "classification"),
    ),
    "iris": _Entry(
        "150 irises of three species, four lengths in centimetres",
        f"{_SKLEARN}.load_iris (R. A. Fisher, 1936)",
        _from_sklearn("load_iris", "classification"),
    ),
    "wine": _Entry(
        "178 wines of three growers, 13 chemical measurements",
        f"{_SKLEARN}.load_wine (UCI)",
        _from_sklearn("load_wine", "classification"),
    ),
    "breast_cancer": _Entry(
        "569 tumours, malignant or benign, 30 measurements of cell nuclei",
        f"{_SKLEARN}.load_breast_cancer (UCI, Wisconsin Diagnostic)",
        _from_sklearn("load_breast_cancer", "classification"),
    ),
    "diabetes": _Entry(
        "442 patients, ten standardised measurements, progression after one year",
        f"{_SKLEARN}.load_diabetes (Efron et al., Least Angle Regression, 2004)",
        _from_sklearn("load_diabetes", "regression"),
    ),
    "two_gaussians": _Entry(
        "two clouds in three dimensions, unit variance, means (2,2,2) and (4,4,4)",
        _DRAWN,
        _two_gaussians,
        40,
        2,
    ),
    "moons": _Entry("two half moons that reach into each other", _DRAWN, _moons, 200, 2),
    "circles": _Entry("a circle within a circle", _DRAWN, _circles, 200, 2),
    "spirals": _Entry("two spiral arms, one and a half turns each", _DRAWN, _spirals, 400, 2),
    "xor": _Entry("exclusive or: the four points that no straight line parts", "its truth table", _xor),
    "study_hours": _Entry(
        "three students: hours of sleep and of study, and a test score out of 100",
        "the three-row classroom example of experiment study_hours",
        _study_hours,
    ),
    "eight_bits": _Entry(
        "eight one-hot codes whose target is the input: the 8-3-8 autoencoder",
        "Ackley, Hinton, Sejnowski, A Learning Algorithm for Boltzmann Machines, 1985",
        _eight_bits,
    ),
    "mnist": _Entry(
        "handwritten digits, 28x28 pixels with grey levels 0 to 255, with a test set",
        "LeCun, Cortes, Burges, The MNIST database of handwritten digits",
        _mnist,
    ),
}

DATASETS: Mapping[str, str] = MappingProxyType({name: entry.description for name, entry in _TABLE.items()})
"""Every name that `load` knows, with one line about it."""


def load(name: str, *, n_samples: int | None = None, rng: Seed = 0) -> Dataset:
    """Return the data set called `name`; `DATASETS` lists them all.

    `n_samples` is the total number of rows, for the drawn ones only (two_gaussians, moons, circles, spirals):
    classes get equal shares, the first one the odd row. A stored data set refuses it, because its first rows
    are often all of one class. `rng` seeds the drawn ones: a number, a `numpy.random.Generator` or a
    `SeedSequence`; None draws anew each time. The stored ones do not depend on it.

    mnist: `mnist20k.npz` from the folder in the environment variable GLASSNET_DATA (10,000 training images),
    else the full set from OpenML (60,000; downloaded once by `sklearn.datasets.fetch_openml`). Pixels stay
    0..255. The training rows of `mnist20k.npz` lie sorted by digit (all 0 first), like those of iris and
    wine: shuffle before you take a part.

    Raises `GlassnetError` for an unknown name, an `n_samples` or `rng` that cannot be, or an mnist that is
    nowhere.

    >>> data = load("moons", n_samples=100, rng=1)
    >>> data.X.shape, data.y.shape, data.task, sorted(set(data.y.tolist()))
    ((100, 2), (100,), 'classification', [0, 1])
    >>> load("iris").target_names
    ('setosa', 'versicolor', 'virginica')
    >>> load("digts")
    Traceback (most recent call last):
    glassnet.errors.GlassnetError: unknown data set 'digts': did you mean 'digits'? Known: digits, iris, ...
    """
    entry = choose("data set", name, _TABLE)
    if entry.n_samples is None:
        if n_samples is not None:
            raise fault(
                "n_samples",
                f"left out for {name!r}, which is stored and not drawn",
                n_samples,
                "Take rows yourself: rows = rng.permutation(len(data.X))[:n]; data.X[rows], data.y[rows].",
            )
        fields = entry.make()
    else:
        size = entry.n_samples if n_samples is None else _check_size(name, n_samples, entry.n_classes)
        fields = entry.make(size, generator(rng))
    return Dataset(name=name, description=entry.description, source=entry.source, **fields)


def _check_size(name: str, n_samples: object, n_classes: int) -> int:
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer):
        raise type_fault("n_samples", "a whole number", repr(n_samples), f"load({name!r}, n_samples=200)")
    if n_samples < n_classes:
        raise fault("n_samples", f"at least {n_classes}, one for each class", n_samples)
    return int(n_samples)


def one_hot(y: npt.ArrayLike, n_classes: int | None = None) -> Floats:
    """Return `(m, k)` float64 with `Y[i, y[i]] = 1` and zeros elsewhere.

    `y (m,)` holds class numbers 0 .. k-1; `k = n_classes`, or the largest class number plus one. Raises
    `GlassnetError` for anything but a non-empty vector of whole numbers in that range (text labels:
    `numpy.unique(y, return_inverse=True)`).

    >>> one_hot([2, 0], n_classes=3)
    array([[0., 0., 1.],
           [1., 0., 0.]])
    """
    labels = np.asarray(y)
    if labels.ndim != 1 or labels.size == 0:
        raise fault("y", "(m,) with at least one label", labels.shape, "A column (m, 1)? Use y.ravel().")
    if labels.dtype.kind not in "iub":
        remedy = "Use numpy.unique(y, return_inverse=True)[1]."
        raise type_fault("y", "class numbers of an integer type", f"dtype {labels.dtype}", remedy)
    labels = labels.astype(np.int64)
    if n_classes is None:
        n_classes = int(labels.max()) + 1
    elif isinstance(n_classes, bool) or not isinstance(n_classes, int | np.integer) or n_classes < 1:
        raise fault("n_classes", "a whole number from 1 up", repr(n_classes))
    outside = np.flatnonzero((labels < 0) | (labels >= n_classes))
    if outside.size:
        row = int(outside[0])
        remedy = f"{outside.size} of {labels.size} labels lie outside."
        raise fault("y", f"class numbers from 0 to {n_classes - 1}", f"{labels[row]} in row {row}", remedy)
    encoded = np.zeros((labels.size, n_classes))
    encoded[np.arange(labels.size), labels] = 1.0
    return encoded
