"""streaming.py and table_batches.py: one batch in memory at a time, and the results of `train`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from glassnet import BatchNorm, Dense, Dropout, Network, Objective
from glassnet.arrays import Array, mapping_of
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, Run

RNG = np.random.default_rng(0)
X = RNG.normal(size=(100, 4))
Y = np.sin(X[:, :1]) + 0.1 * X[:, 1:2]
PLAIN = Objective(Network(4, [Dense(8, "tanh"), Dense(1)]), "squared_error", l2=1e-3)
NOISY = Objective(Network(4, [Dense(8, "tanh"), Dropout(0.2), BatchNorm(), Dense(1)]), "squared_error")
ENGINES = ["numpy", "numba"]
RULES = [
    gn.SGD(0.05),
    gn.Adam(gn.schedules.Cosine(0.01, 40)),
    gn.ClipNorm(gn.SGD(0.05, momentum=0.9, nesterov=True), 0.5),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    if request.param == "numba":
        pytest.importorskip("numba")
    return str(request.param)


def parts(*ends: int) -> list[tuple[Array, Array]]:
    return [(X[a:b], Y[a:b]) for a, b in zip((0, *ends), (*ends, len(X)), strict=True)]


def whole(objective: Objective = PLAIN, batch_size: int = 16, **options: Any) -> Run:
    theta = objective.net.init(rng=0).astype(options.pop("dtype", np.float64))
    options = {"epochs": 5, "sampling": "sequential", "rng": 3, **options}
    return gn.train(objective, theta, X, Y, batch_size=batch_size, **options)


def stream(batches: Any, objective: Objective = PLAIN, **options: Any) -> Run:
    theta = objective.net.init(rng=0).astype(options.pop("dtype", np.float64))
    return gn.train_batches(objective, theta, batches, **{"epochs": 5, "rng": 3, **options})


def same(one: Run, other: Run) -> None:
    np.testing.assert_array_equal(one.theta, other.theta)
    np.testing.assert_array_equal(one.state, other.state)
    assert (one.status, one.reason, one.engine) == (other.status, other.reason, other.engine)
    for name in ("epoch", "updates", "learning_rate"):
        np.testing.assert_array_equal(one.history[name], other.history[name])
    for name in ("loss", "penalty", "gradient_norm"):  # means of means: the last digits are others
        np.testing.assert_allclose(one.history[name], other.history[name], rtol=1e-5)


# ---- the same as train ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
@pytest.mark.parametrize("objective", [PLAIN, NOISY], ids=["plain", "noisy"])
def test_batches_in_turn_are_train_in_the_given_order(
    objective: Objective, rule: Any, dtype: type, engine: str
) -> None:
    options = {"optimizer": rule, "engine": engine, "dtype": dtype, "average": 0.9}
    known = whole(objective, **options)
    same(stream(gn.cut_batches(X, Y, rows=16), objective, **options), known)
    cut = gn.cut_batches(X, Y, rows=32)
    same(stream(cut, objective, batch_size=16, sampling="sequential", **options), known)


@settings(max_examples=25)
@given(st.lists(st.integers(1, 99), min_size=1, max_size=6, unique=True).map(sorted), st.sampled_from([None, 7, 32]))
def test_batches_of_any_sizes_agree_between_engines(ends: list[int], batch_size: int | None) -> None:
    """The compiled loop grows its memory when a larger batch comes; the reference needs none."""
    pytest.importorskip("numba")
    options = {"batch_size": batch_size, "optimizer": gn.Adam(0.01), "average": 0.9}
    one, other = (stream(parts(*ends), engine=engine, **options) for engine in ENGINES)
    assert one.history["updates"].tolist() == other.history["updates"].tolist()
    np.testing.assert_allclose(one.theta, other.theta, rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(one.history["loss"], other.history["loss"], rtol=1e-9)


def test_the_comparison_sees_another_order(engine: str) -> None:
    with pytest.raises(AssertionError):
        same(stream(gn.cut_batches(X[::-1], Y[::-1], rows=16), engine=engine), whole(engine=engine))


def test_rows_are_shuffled_within_their_batch(engine: str) -> None:
    """Of two batches with rows of 1 and of 2, the loss of the first step tells which rows it saw."""
    rows = [(np.full((4, 1), value), np.zeros((4, 1))) for value in (1.0, 2.0)]
    order = gn.train_batches(
        Objective(Network(1, [Dense(1, bias=False)]), "squared_error"), np.ones(1), rows,
        optimizer=gn.SGD(1e-12), batch_size=2, epochs=1, engine=engine,
    )  # fmt: skip
    assert order.loss == pytest.approx((0.5 * 1 + 0.5 * 4) / 2)
    assert not np.array_equal(
        stream(parts(50), batch_size=8, engine=engine).theta,
        stream(parts(50), batch_size=8, engine=engine, sampling="sequential").theta,
    )


def test_weights_are_those_of_train_where_their_mean_is_one(engine: str) -> None:
    w = RNG.uniform(size=100)
    w /= w.mean()
    known = whole(sample_weight=w, engine=engine)
    found = stream(gn.cut_batches(X, Y, w, rows=16), engine=engine)
    np.testing.assert_allclose(found.theta, known.theta, rtol=1e-10)
    mixed = [(X[:50], Y[:50]), (X[50:], Y[50:], np.ones(50))]
    np.testing.assert_allclose(stream(mixed, engine=engine).theta, stream(parts(50), engine=engine).theta, rtol=1e-12)


def test_it_goes_on_from_a_rules_memory(engine: str) -> None:
    cut = gn.cut_batches(X, Y, rows=16)
    first = stream(cut, epochs=2, engine=engine)
    second = gn.train_batches(PLAIN, first.theta, cut, epochs=3, engine=engine, rule_state=first.rule_state)
    np.testing.assert_array_equal(second.theta, stream(cut, epochs=5, engine=engine).theta)


# ---- how it ends ----------------------------------------------------------------------------------------------------


def test_callbacks_and_validation_are_those_of_train(engine: str) -> None:
    options = {
        "engine": engine, "epochs": 40, "validation": (X[:30] + 1, Y[:30]), "metrics": {"r2": gn.r2},
        "callbacks": [gn.EarlyStopping(patience=3), gn.ReduceOnPlateau(0.5, 2)], "optimizer": gn.SGD(0.3),
    }  # fmt: skip
    known, found = whole(**options), stream(gn.cut_batches(X, Y, rows=16), **options)
    assert known.status == "stopped"
    assert 3 < len(known.history) < 40
    same(found, known)
    np.testing.assert_array_equal(found.history["validation_r2"], known.history["validation_r2"])


@pytest.mark.parametrize("rate", [10.0, 1e3, 1e30, 1e200])
def test_divergence_ends_it_with_the_last_good_theta(rate: float, engine: str) -> None:
    start = PLAIN.net.init(rng=0)
    run = gn.train_batches(
        PLAIN, start, gn.cut_batches(X, Y, rows=16), optimizer=gn.SGD(rate), epochs=500, engine=engine
    )
    assert run.status == "diverged"
    assert np.isfinite(run.theta).all()
    assert f"epoch {len(run.history) + 1}: " in run.reason or "after the last step" in run.reason
    if not len(run.history):
        np.testing.assert_array_equal(run.theta, start)


def test_the_batch_that_diverges_is_named_as_train_names_it(engine: str) -> None:
    x = np.ones((40, 4))
    x[25] = 1e200
    objective = Objective(Network(4, [Dense(1)]), "squared_error")
    options = {"optimizer": gn.SGD(1e-9), "epochs": 1, "engine": engine}
    theta, y = np.ones(5), np.zeros((40, 1))
    known = gn.train(objective, theta, x, y, batch_size=10, sampling="sequential", **options)
    found = gn.train_batches(objective, theta, gn.cut_batches(x, y, rows=10), **options)
    nested = gn.train_batches(
        objective, theta, gn.cut_batches(x, y, rows=20), batch_size=10, sampling="sequential", **options
    )
    assert "in batch 3" in known.reason
    assert known.reason == found.reason == nested.reason


def test_an_interrupt_keeps_the_last_whole_epoch(engine: str) -> None:
    class Interrupted:
        passes = 0

        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[Any]:
            self.passes += 1
            yield parts(50)[0]
            if self.passes == 5:  # once to look at the first batch, three epochs, and the fourth
                raise KeyboardInterrupt
            yield parts(50)[1]

    run = stream(Interrupted(), engine=engine, epochs=9)
    assert (run.status, run.reason) == ("stopped", "interrupted in epoch 4")
    np.testing.assert_array_equal(run.theta, stream(parts(50), engine=engine, epochs=3).theta)


# ---- what is refused ------------------------------------------------------------------------------------------------


class Shrinking:
    """One row fewer in each pass, or one batch."""

    def __init__(self, what: str) -> None:
        self.what, self.passes = what, 0

    def __len__(self) -> int:
        return 2

    def __iter__(self) -> Iterator[Any]:
        self.passes += 1
        late = self.passes > 2
        yield X[: 20 - (late and self.what == "rows")], Y[: 20 - (late and self.what == "rows")]
        if not (late and self.what == "batches"):
            yield X[20:40], Y[20:40]


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ((pair for pair in parts(50)), {}, "a length, to be gone through again, received generator"),
        ([], {}, "at least one batch"),
        ([X], {}, r"batch 1 must be \(X, Y\) or \(X, Y, sample_weight\), received ndarray"),
        ([(X, Y), (X[:, :3], Y)], {}, r"batch 2: X must be \(m, 4\)"),
        ([(X, Y), (X[:5], Y)], {}, "batch 2: X and Y must have equally many rows"),
        ([(X, Y), (X * np.nan, Y)], {}, "batch 2: X must be finite"),
        ([(X, Y), (X, Y, -np.ones(100))], {}, "batch 2: sample_weight must be at least 0"),
        ([(X, Y), (X, Y, np.ones(99))], {}, r"batch 2: sample_weight must be \(100,\)"),
        ([(X, Y)], {"metrics": {"r2": gn.r2}}, "metrics must be measured on validation"),
        ([(X, Y)], {"batch_size": 0}, "batch_size must be at least 1"),
        (Shrinking("rows"), {}, "every pass over the batches must be 40 rows in 2 steps"),
        (Shrinking("batches"), {}, "batches must be 2 of them, as len says, received 1 in epoch 2"),
    ],
)  # fmt: skip
def test_refusals(batches: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        stream(batches, **options)


def test_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GlassnetError, match="a stream cannot be resumed"):
        stream(parts(50), callbacks=[gn.Checkpoint(tmp_path)])


def test_a_batch_of_one_row_is_refused_under_batch_norm() -> None:
    with pytest.raises(GlassnetError, match=r"batch 2: every batch must be of at least 2 rows"):
        stream(parts(99), NOISY)


def test_arrays_of_different_lengths_are_refused() -> None:
    with pytest.raises(GlassnetError, match="of one length, received 99 and 100"):
        gn.cut_batches(X, Y[1:])


# ---- mapped files ---------------------------------------------------------------------------------------------------


def mapped(folder: Path, mode: Any = "r") -> tuple[Array, Array]:
    np.save(folder / "X.npy", X.astype(np.float32))
    np.save(folder / "Y.npy", Y.astype(np.float32))
    return np.load(folder / "X.npy", mmap_mode=mode), np.load(folder / "Y.npy", mmap_mode=mode)


def test_mapped_arrays_train_as_arrays_do(tmp_path: Path, engine: str) -> None:
    x, y = mapped(tmp_path)
    arrays = np.array(x, subok=False), np.array(y, subok=False)
    for dtype in (np.float32, np.float64):
        theta = PLAIN.net.init(rng=0).astype(dtype)
        one, other = (gn.train(PLAIN, theta, *data, epochs=3, engine=engine) for data in ((x, y), arrays))
        np.testing.assert_array_equal(one.theta, other.theta)
        np.testing.assert_array_equal(one.history["loss"], other.history["loss"])


def test_what_was_written_into_a_private_mapping_stays(tmp_path: Path) -> None:
    """Pages are given back after each batch; those of mode "c" hold what is nowhere else."""
    x, y = mapped(tmp_path, "c")
    x[:] = 7
    assert sum(len(rows) for rows, _ in gn.cut_batches(x, y, rows=10)) == 100
    assert (x == 7).all()


def test_what_was_written_into_a_shared_mapping_stays(tmp_path: Path) -> None:
    x, y = mapped(tmp_path, "r+")
    x[:] = 7
    assert all((rows == 7).all() for _ in range(2) for rows, _ in gn.cut_batches(x, y, rows=10))
    assert (x == 7).all()
    assert mapping_of(x[::2, 1:]) is not None
    assert mapping_of(X) is None


def peak(way: str, engine: str, folder: Path) -> float:
    """Return the megabytes that one way takes in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.large", "--one", way, "--engine", engine, "--folder", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return float(json.loads(done.stdout)["own"])


@pytest.fixture(scope="module")
def large_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from benchmarks import large

    folder = tmp_path_factory.mktemp("large")
    large.write(folder, 400_000)  # 32 MB of X
    return folder


ON_LINUX = pytest.mark.skipif(sys.platform != "linux", reason="RssAnon is Linux's")


@ON_LINUX
@pytest.mark.parametrize("way", ["train(memmap)", "train_batches(cut_batches(memmap))"])
def test_the_data_are_not_held(way: str, large_folder: Path) -> None:
    """The whole command is python -m benchmarks.large; the reference engine loads the least besides."""
    assert peak(way, "numpy", large_folder) < 25


@ON_LINUX
def test_a_copy_of_the_data_is_seen(large_folder: Path) -> None:
    assert peak("a copy of all rows (planted)", "numpy", large_folder) > 33


# ---- tables ---------------------------------------------------------------------------------------------------------


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


def test_records_are_heard_after_each_pass(engine: str) -> None:
    seen: list[tuple[int, int]] = []

    def hear(record: EpochRecord) -> None:
        seen.append((record.epoch, record.updates))

    stream(parts(30, 60), engine=engine, callbacks=[hear])
    assert seen == [(epoch, 3 * epoch) for epoch in range(1, 6)]


@pytest.mark.parametrize("sampling", ["shuffle", "bootstrap"])
def test_batches_of_other_lengths_are_drawn_from_alike_in_both_engines(sampling: str) -> None:
    """Orders that were drawn for one batch say nothing of the next."""
    rng = np.random.default_rng(0)
    parts = [(X, X[:, :1] ** 2) for X in (rng.normal(size=(m, 3)) for m in (30, 12, 17, 30))]
    objective = gn.Objective(gn.Network(3, [gn.Dense(4, "tanh"), gn.Dense(1)]), "squared_error")
    runs = [
        gn.train_batches(
            objective, objective.net.init(0), parts, epochs=3, batch_size=8, sampling=sampling, engine=engine
        )
        for engine in ("numpy", "numba")
    ]
    np.testing.assert_allclose(runs[0].theta, runs[1].theta, rtol=1e-10)
    np.testing.assert_allclose(runs[0].history["loss"], runs[1].history["loss"], rtol=1e-10)
