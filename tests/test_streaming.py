"""streaming.py: one batch in memory at a time, and the results of `train`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import glassnet as gn
from glassnet import Dense, Network, Objective
from glassnet.arrays import Array, mapping_of
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord
from streaming_runs import ENGINES, NOISY, PLAIN, RNG, X, Y, available, parts, same, stream, whole

RULES = [
    gn.SGD(0.05),
    gn.Adam(gn.schedules.Cosine(0.01, 40)),
    gn.ClipNorm(gn.SGD(0.05, momentum=0.9, nesterov=True), 0.5),
]


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    return available(request.param)


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


@pytest.mark.parametrize("batch_size", [1, 16])
def test_batches_may_lie_in_memory_each_in_its_way(batch_size: int) -> None:
    """How rows are copied is chosen anew for each, whose columns may lie elsewhere than those of the one before."""
    engine, lie = available("numba"), parts(32, 64)
    turned = [lie[0], *((np.asfortranarray(x), np.asfortranarray(y)) for x, y in lie[1:])]
    one, other = (stream(batches, batch_size=batch_size, engine=engine) for batches in (lie, turned))
    assert np.array_equal(one.theta, other.theta)


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


def test_records_are_heard_after_each_pass(engine: str) -> None:
    seen: list[tuple[int, int]] = []

    def hear(record: EpochRecord) -> None:
        seen.append((record.epoch, record.updates))

    stream(parts(30, 60), engine=engine, callbacks=[hear])
    assert seen == [(epoch, 3 * epoch) for epoch in range(1, 6)]


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
