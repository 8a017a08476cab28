"""What `glassnet fit` is given: a data set by name or a table file, as columns and a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from glassnet import datasets, tables
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, fault, nearest

__all__ = ["Source", "class_names", "open_source"]


@dataclass(frozen=True)
class Source:
    """Columns X, target y, and what is known about them.

    `kind` is "classification", "regression" or "codes" (several outputs of 0 and 1 a row). `held_out` is the data
    set's own test part, where it has one.
    """

    name: str
    description: str
    X: pd.DataFrame
    y: Array
    kind: str
    why: str
    target: str
    image_shape: tuple[int, int] | None = None
    held_out: tuple[pd.DataFrame, Array] | None = None
    notes: tuple[str, ...] = ()

    @property
    def rows_are(self) -> str:
        """What a row is called."""
        return "images" if self.image_shape else "rows"


def open_source(source: str, target: str | None, task: str | None = None) -> Source:
    """Open a data set or a file.

    Raises GlassnetError where there is neither, with the nearest name.
    """
    if source in datasets.DATASETS:
        return _from_dataset(source, target, task)
    path = Path(source)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return _from_table(path, target, task)
    guess = nearest(source, datasets.DATASETS)
    hint = f"did you mean {guess!r}? " if guess else ""
    raise GlassnetError(f"{source!r} is no file and no data set: {hint}Data sets: {', '.join(datasets.DATASETS)}.")


def _from_dataset(name: str, target: str | None, task: str | None) -> Source:
    for option, given in (("--target", target), ("--task", task)):
        if given is not None:
            raise GlassnetError(f"{option} is for files; the data set {name!r} has its own target.")
    data = datasets.load(name)
    columns = list(data.feature_names)

    def labels(y: Array) -> Array:
        if data.task != "classification":
            return y
        return np.asarray(np.array(data.target_names, dtype=str)[y.astype(int)])

    own_test = None
    if data.X_test is not None and data.y_test is not None:
        own_test = pd.DataFrame(data.X_test, columns=columns), labels(data.y_test)
    return Source(
        name, data.description, pd.DataFrame(data.X, columns=columns), labels(data.y), data.task,
        f"{name} is a data set for {data.task}", "target", data.image_shape, own_test,
    )  # fmt: skip


def _from_table(path: Path, target: str | None, asked: str | None) -> Source:
    frame = tables.read_table(path)
    split = tables.split_target(frame, target)
    task = tables.task_of(split.y, asked)
    X = tables.check_columns(split.X, split.X.columns)
    named = f"{split.y.name!s}" + (" (the last column; choose another with --target)" if split.assumed else "")
    y = class_names(split.y) if task.kind == "classification" else split.y.to_numpy(dtype=np.float64)
    if task.kind == "regression":
        _check_size(y, str(split.y.name))
    one = f"of one row, too few to learn and to test: {', '.join(task.single[:5])}"
    notes = (f"classes {one}{', ...' if len(task.single) > 5 else ''}",) if task.single else ()
    return Source(
        path.name, f"{path.name}, predicting {named}", X, y, task.kind, task.why, str(split.y.name), notes=notes
    )


def _check_size(y: Array, name: str) -> None:
    """Demand numbers that can be standardised: neither their squares nor those of their differences overflow."""
    largest, spread = float(np.abs(y).max()), float(np.ptp(y / np.abs(y).max()) * np.abs(y).max())
    if not (largest < 1e100 and spread > 1e-100):
        received = f"{y.min():.3g} to {y.max():.3g}"
        raise fault(f"target {name!r}", "of a size between 1e-100 and 1e+100", received, "Rescale it.")


def class_names(y: pd.Series[Any]) -> Array:
    """Return what the classes of a column without missing values are called; the number 2.0 is called 2."""
    if pd.api.types.is_float_dtype(y) and bool((y == y.round()).all() and y.abs().max() < 2**53):
        y = y.astype("int64")
    return y.astype(str).to_numpy(dtype=str)
