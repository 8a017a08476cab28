"""What `glassnet fit` is given: a data set by name or a table file, as columns and a target."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from glassnet import datasets, tables
from glassnet.arrays import Array
from glassnet.errors import GlassnetError, nearest

__all__ = ["Source", "open_source"]


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

    @property
    def rows_are(self) -> str:
        """What a row is called."""
        return "images" if self.image_shape else "rows"


def open_source(source: str, target: str | None) -> Source:
    """Open a data set or a file.

    Raises GlassnetError where there is neither, with the nearest name.
    """
    if source in datasets.DATASETS:
        return _from_dataset(source, target)
    path = Path(source)
    if path.exists() or path.suffix or len(path.parts) > 1:
        return _from_table(path, target)
    guess = nearest(source, datasets.DATASETS)
    hint = f"did you mean {guess!r}? " if guess else ""
    raise GlassnetError(f"{source!r} is no file and no data set: {hint}Data sets: {', '.join(datasets.DATASETS)}.")


def _from_dataset(name: str, target: str | None) -> Source:
    if target is not None:
        raise GlassnetError(f"--target is for files; the data set {name!r} has its own target.")
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


def _from_table(path: Path, target: str | None) -> Source:
    frame = tables.read_table(path)
    split = tables.split_target(frame, target)
    task = tables.task_of(split.y)
    named = f"{split.y.name!s}" + (" (the last column; choose another with --target)" if split.assumed else "")
    y = split.y.astype(str).to_numpy(dtype=str) if task.kind == "classification" else split.y.to_numpy(dtype=np.float64)
    return Source(path.name, f"{path.name}, predicting {named}", split.X, y, task.kind, task.why, str(split.y.name))
