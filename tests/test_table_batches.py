"""table_batches.py: a table on disk comes in equal batches, in its order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import glassnet as gn
from glassnet.errors import GlassnetError
from streaming_runs import ENGINES, X, Y, available, stream, whole


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return available(request.param)


def frame(n: int = 100) -> pd.DataFrame:
    table = pd.DataFrame(X[:n], columns=list("abcd"))
    return table.assign(y=Y[:n], whole=np.arange(n), flag=np.arange(n) % 2 == 0, city=["Bonn", "Köln"] * (n // 2))


def written(folder: Path, ending: str, table: pd.DataFrame | None = None, pieces: int = 30) -> Path:
    """Write a table in row groups, or record batches, of 30 rows."""
    path = folder / f"rows{ending}"
    table = frame() if table is None else table
    if ending == ".parquet":
        table.to_parquet(path, row_group_size=pieces)
    else:
        arrow = pa.Table.from_pandas(table, preserve_index=False)
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, arrow.schema) as file:
            file.write_table(arrow, max_chunksize=pieces)
    return path


@pytest.mark.parametrize("rows", [1, 7, 30, 64, 100, 1000])
@pytest.mark.parametrize("ending", [".parquet", ".arrow", ".feather"])
def test_tables_come_in_equal_batches_in_their_order(ending: str, rows: int, tmp_path: Path) -> None:
    inputs = [*"dcba", "whole", "flag"]
    batches = gn.read_batches(written(tmp_path, ending), ["y"], inputs=inputs, rows=rows, dtype="float64")
    for _ in range(2):
        found = list(batches)
        assert len(found) == len(batches) == -(-100 // rows)
        assert all(len(x) == rows for x, _ in found[:-1])
        np.testing.assert_array_equal(np.concatenate([x for x, _ in found]), frame()[inputs].to_numpy(np.float64))
        np.testing.assert_array_equal(np.concatenate([y for _, y in found]), Y)


def test_a_table_trains_as_its_arrays_do(tmp_path: Path, engine: str) -> None:
    batches = gn.read_batches(written(tmp_path, ".parquet"), "y", inputs=list("abcd"), rows=16, dtype="float64")
    np.testing.assert_array_equal(stream(batches, engine=engine).theta, whole(engine=engine).theta)


def test_labels_become_rows_of_0_and_1(tmp_path: Path) -> None:
    path = written(tmp_path, ".parquet")
    batches = gn.read_batches(path, "city", inputs=["a"], weight="whole", classes=["Köln", "Bonn"], rows=60)
    _, target, weight = next(iter(batches))
    np.testing.assert_array_equal(target[:3], [[0, 1], [1, 0], [0, 1]])
    np.testing.assert_array_equal(weight, np.arange(60))
    with pytest.raises(
        GlassnetError, match=r"batch 1: column 'city' must be with labels among classes, received 'Köln'"
    ):
        list(gn.read_batches(path, "city", inputs=["a"], classes=["Bonn"]))


def test_partial_fit_over_batches(tmp_path: Path) -> None:
    batches = gn.read_batches(written(tmp_path, ".parquet"), "y", inputs=list("abcd"), rows=25)
    options = {"hidden_layer_sizes": (8,), "batch_size": 5, "random_state": 0}
    one, other = gn.MLPRegressor(**options), gn.MLPRegressor(**options)
    for x, y in batches:
        one.partial_fit(x, y.ravel())
    for start in range(0, 100, 25):
        rows = slice(start, start + 25)
        other.partial_fit(X[rows].astype(np.float32), Y[rows].ravel().astype(np.float32))
    np.testing.assert_array_equal(one.theta_, other.theta_)
    assert one.t_ == 100


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "price"}, "unknown column"),
        ({"target": "city"}, "a table of numbers, received .*string in column 'city'"),
        ({"target": "y", "inputs": ["a", "e"]}, "unknown column"),
        ({"target": ["y", "city"], "classes": ["Bonn"]}, "target must be one column"),
        ({"target": "y", "inputs": ["a"], "rows": 0}, "rows must be at least 1"),
    ],
)
def test_refused_columns(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(GlassnetError, match=message):
        gn.read_batches(written(tmp_path, ".parquet"), **{"inputs": ["a"], **options})


def test_refused_files(tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1" * 9)
    (tmp_path / "broken.arrow").write_bytes(b"ARROW1" * 9)
    (tmp_path / "rows.csv").write_text("a,y\n1,2\n")
    written(tmp_path, ".parquet", frame().iloc[:0])
    for name, message in {
        "broken.parquet": "must be a .parquet file", "broken.arrow": "must be a .arrow file",
        "rows.csv": "table ending for batches", "missing.parquet": "a path where nothing is", "": "a folder",
        "rows.parquet": "a table with at least one row",
    }.items():  # fmt: skip
        with pytest.raises(GlassnetError, match=message):
            gn.read_batches(tmp_path / name, "y", inputs=["a"])


def test_missing_values_are_named(tmp_path: Path) -> None:
    table = frame().convert_dtypes()
    table.loc[70, "b"] = pd.NA
    batches = gn.read_batches(written(tmp_path, ".parquet", table), "y", inputs=list("abcd"), rows=50)
    with pytest.raises(
        GlassnetError, match=r"rows.parquet, batch 2: column 'b' must be without missing values, received 1"
    ):
        stream(batches)
