"""training.py, first part: which rows each step sees, what is measured, what is left alone (ends: the second part)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from glassnet import SGD, Dense, Network, Objective
from glassnet.arrays import Array
from glassnet.callbacks import Request
from glassnet.errors import GlassnetError
from glassnet.history import Run
from glassnet.optimizers import RULES
from glassnet.schedules import Exponential

LINE = Network(1, [Dense(1)])
NET = Network(3, [Dense(4, "tanh"), Dense(2)])
RNG = np.random.default_rng(0)
X = RNG.integers(-8, 9, size=(30, 3)).astype(float)
Y = RNG.integers(-8, 9, size=(30, 2)).astype(float)
OBJECTIVE = Objective(NET, "squared_error", l2=0.01)
THETA = NET.init(rng=0)
SAMPLINGS = ("shuffle", "sequential", "bootstrap", "batches")


def fit(theta: Array = THETA, x: Any = X, y: Any = Y, objective: Objective = OBJECTIVE, **options: Any) -> Run:
    return gn.train(objective, theta, x, y, **{"epochs": 4, "batch_size": 7, "optimizer": "adam", **options})


def same(one: Run, two: Run) -> bool:
    """Bit for bit the same run, but for the clock."""
    columns = set(one.history.columns) - {"seconds"}
    return np.array_equal(one.theta, two.theta) and all(
        np.array_equal(one.history[column], two.history[column]) for column in columns
    )


# ---- sampling -----------------------------------------------------------------------------------------------------


@dataclass
class Recorder:
    """A loss without slope that writes down the rows of each batch: row i has x = y = i, the network returns x."""

    batches: list[list[int]] = field(default_factory=list)

    def value(self, a: Array, y: Array) -> Array:
        np.testing.assert_array_equal(a, y)
        self.batches.append([int(i) for i in y[:, 0]])
        return y * 1.0

    @property
    def objective(self) -> Objective:
        objective = Objective(LINE, (self.value, lambda a, y: np.zeros_like(a)))
        self.batches.clear()  # the objective has called a loss of its user's once, to see what it gives
        return objective


def seen(m: int, batch_size: int, epochs: int, **options: Any) -> list[list[list[int]]]:
    """Return the rows of each batch of each epoch."""
    recorder = Recorder()
    rows = np.arange(m, dtype=float)[:, None]
    run = gn.train(
        recorder.objective, np.array([1.0, 0.0]), rows, rows,
        optimizer=SGD(1.0), epochs=epochs, batch_size=batch_size, **options,
    )  # fmt: skip
    ends = [0, *(int(u) for u in run.history["updates"])]
    return [recorder.batches[start:end] for start, end in pairwise(ends)]


def flat(batches: list[list[int]]) -> list[int]:
    return list(chain.from_iterable(batches))


def each_row_once(epochs: list[list[list[int]]], m: int) -> bool:
    return all(sorted(flat(batches)) == list(range(m)) for batches in epochs)


@pytest.mark.parametrize("batch_size", [1, 3, 5, 10, 64])
def test_shuffle_sees_each_row_once_an_epoch(batch_size: int) -> None:
    epochs = seen(10, batch_size, 20, sampling="shuffle")
    assert each_row_once(epochs, 10)
    assert {tuple(len(batch) for batch in batches) for batches in epochs} == {
        tuple(len(part) for part in np.split(np.arange(10), range(batch_size, 10, batch_size)))
    }
    orders = {tuple(flat(batches)) for batches in epochs}
    assert len(orders) == (20 if batch_size < 10 else 1)


@pytest.mark.parametrize("sampling", ["bootstrap", "batches"])
def test_drawing_with_replacement_is_told_from_shuffling(sampling: str) -> None:
    assert not each_row_once(seen(10, 2, 5, sampling=sampling), 10)


def test_sequential_keeps_the_order() -> None:
    assert seen(10, 4, 2, sampling="sequential") == [[[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]] * 2


@pytest.mark.parametrize("batch_size", [4, 10, 64])
def test_bootstrap_draws_rows_with_replacement(batch_size: int) -> None:
    epochs = seen(10, batch_size, 200, sampling="bootstrap")
    rows = np.array([flat(batches) for batches in epochs])
    assert rows.shape == (200, 10)
    assert all(len(set(row)) < 10 for row in rows[:20])
    counts = np.bincount(rows.ravel(), minlength=10)
    assert ((counts - 200) ** 2 / 200).sum() < 27.9  # chi-square with 9 degrees of freedom, 1 in 1000


def test_batches_draws_fixed_batches_with_replacement() -> None:
    epochs = seen(10, 3, 100, sampling="batches")
    whole = {(0, 1, 2), (3, 4, 5), (6, 7, 8)}  # row 9 fills no batch
    drawn = [[tuple(batch) for batch in batches] for batches in epochs]
    assert {batch for batches in drawn for batch in batches[:3]} == whole
    assert all(sum(len(batch) for batch in batches) == 10 for batches in drawn)
    assert any(len(set(batches[:3])) < 3 for batches in drawn)


@pytest.mark.parametrize(
    ("sampling", "reached"), [("shuffle", 10), ("sequential", 8), ("bootstrap", 10), ("batches", 8)]
)
def test_drop_last_leaves_out_the_short_batch(sampling: str, reached: int) -> None:
    epochs = seen(10, 4, 30, sampling=sampling, drop_last=True)
    assert {tuple(len(batch) for batch in batches) for batches in epochs} == {(4, 4)}
    assert {row for batches in epochs for row in flat(batches)} == set(range(reached))


def test_the_loss_of_an_epoch_is_the_mean_over_its_rows() -> None:
    run = gn.train(
        Recorder().objective, np.array([1.0, 0.0]), np.arange(10.0)[:, None], np.arange(10.0)[:, None],
        epochs=3, batch_size=4,
    )  # fmt: skip
    np.testing.assert_allclose(run.history["loss"], 4.5, rtol=1e-15)


# ---- the same run again -------------------------------------------------------------------------------------------

DROPPING = Objective(Network(3, [Dense(8, "tanh"), gn.Dropout(0.5), Dense(2)]), "squared_error")


@pytest.mark.parametrize("sampling", SAMPLINGS)
def test_a_seed_is_a_run(sampling: str) -> None:
    one, two = (fit(sampling=sampling, rng=3) for _ in range(2))
    assert same(one, two)
    assert same(one, fit(sampling=sampling, rng=np.random.default_rng(3)))
    assert same(one, fit(sampling=sampling, rng=4)) == (sampling == "sequential")


def test_a_seed_is_a_run_with_dropout() -> None:
    start = DROPPING.net.init(rng=0)
    one, two, other = (fit(start, objective=DROPPING, sampling="sequential", rng=seed) for seed in (3, 3, 4))
    assert same(one, two)
    assert not same(one, other)


def test_nothing_passed_in_is_changed() -> None:
    net = Network(3, [Dense(4, "tanh"), gn.BatchNorm(0.5), gn.Dropout(0.1), Dense(2)])
    arrays = [net.init(rng=0), X.copy(), Y.copy(), np.arange(30.0), net.init_state(), X[:5].copy(), Y[:5].copy()]
    before = [array.copy() for array in arrays]
    for array in arrays:
        array.flags.writeable = False
    theta, x, y, weights, state, held_x, held_y = arrays
    run = fit(
        theta, x, y, Objective(net, "squared_error", l1=0.1),
        sample_weight=weights, state=state, validation=(held_x, held_y), average=0.9,
    )  # fmt: skip
    assert not np.array_equal(run.theta, theta)
    assert not np.array_equal(run.state, state)
    assert all(np.array_equal(now, then) for now, then in zip(arrays, before, strict=True))
    assert run.theta.flags.writeable
    assert not any(np.shares_memory(run.theta, array) or np.shares_memory(run.state, array) for array in arrays)


FORMS: dict[str, Callable[[Array], object]] = {
    "list": lambda a: a.tolist(),
    "integers": lambda a: a.astype(int),
    "float16": lambda a: a.astype(np.float16),
    "float32": lambda a: a.astype(np.float32),
    "Fortran": np.asfortranarray,
    "every other row": lambda a: np.repeat(a, 2, axis=0)[::2],
    "columns turned": lambda a: np.ascontiguousarray(a[:, ::-1])[:, ::-1],
    "rows turned": lambda a: np.ascontiguousarray(a[::-1])[::-1],
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("batch_size", [7, 30])
def test_the_form_of_the_data_changes_nothing(form: Callable[[Array], object], batch_size: int) -> None:
    run = fit(x=form(X), y=form(Y), batch_size=batch_size)
    np.testing.assert_allclose(run.theta, fit(batch_size=batch_size).theta, rtol=0, atol=1e-12)
    assert run.theta.dtype == np.float64


@pytest.mark.parametrize("rule", RULES)
def test_float32_stays_float32(rule: str) -> None:
    net = Network(3, [Dense(4, "tanh"), gn.BatchNorm(), Dense(2)])
    objective, theta = Objective(net, "squared_error", l2=0.1, l1=0.1), net.init(rng=0)
    weights = np.linspace(0.5, 1.5, 30)
    single, double = (
        fit(start, objective=objective, optimizer=rule, average=0.9, sample_weight=weights, validation=(X, Y), epochs=2)
        for start in (theta.astype(np.float32), theta)
    )
    assert single.theta.dtype == single.state.dtype == np.float32
    assert double.theta.dtype == double.state.dtype == np.float64
    np.testing.assert_allclose(single.theta, double.theta, rtol=0, atol=1e-3)


# ---- weights, validation, metrics, history ------------------------------------------------------------------------


def test_weight_zero_is_absence() -> None:
    absent = np.arange(30) % 3 == 0
    weighted = fit(sample_weight=np.where(absent, 0.0, 2.5), batch_size=30)
    np.testing.assert_allclose(weighted.theta, fit(x=X[~absent], y=Y[~absent], batch_size=30).theta, atol=1e-12)
    garbage_x, garbage_y = X.copy(), Y.copy()
    garbage_x[absent], garbage_y[absent] = 7.0, -50.0
    mini = {"sample_weight": np.where(absent, 0.0, 1.0), "batch_size": 4}
    np.testing.assert_allclose(fit(x=garbage_x, y=garbage_y, **mini).theta, fit(**mini).theta, rtol=0, atol=1e-12)
    assert not np.allclose(fit(**mini).theta, fit(batch_size=4).theta)


def test_weight_two_is_two_rows() -> None:
    counts = np.arange(30) % 3 + 1
    weighted = fit(sample_weight=counts, batch_size=1000)
    repeated = fit(x=np.repeat(X, counts, axis=0), y=np.repeat(Y, counts, axis=0), batch_size=1000)
    np.testing.assert_allclose(weighted.theta, repeated.theta, rtol=0, atol=1e-12)


def test_a_batch_without_weight_is_an_ordinary_batch() -> None:
    """Its data gradient is 0, its step that of the penalty alone; the rows of weight 1, half of all, count twice."""
    options = {"sample_weight": np.arange(14) >= 7, "sampling": "sequential", "epochs": 1, "optimizer": SGD(0.01)}
    run = fit(x=X[:14], y=Y[:14], **options)
    assert list(run.history["updates"]) == [2]
    first = THETA - 0.01 * np.where(NET.weights, 0.01 * THETA, 0.0)
    _, whole = OBJECTIVE.value_and_grad(first, X[7:14], Y[7:14])
    _, data = Objective(NET, "squared_error").value_and_grad(first, X[7:14], Y[7:14])
    np.testing.assert_allclose(run.theta, first - 0.01 * (whole + data), rtol=1e-12, atol=1e-14)


def test_weighted_rows_one_by_one_arrive_at_the_weighted_mean() -> None:
    """A batch of one row keeps its weight: only the bias learns, and its best value is the weighted mean of y."""
    y, weights = np.arange(6.0)[:, None], np.array([1.0, 0.0, 3.0, 1.0, 1.0, 20.0])
    run = gn.train(
        Objective(LINE, "squared_error"), np.zeros(2), np.zeros((6, 1)), y,
        sample_weight=weights, batch_size=1, epochs=400, optimizer=SGD(Exponential(0.02, 0.998)),
    )  # fmt: skip
    assert run.theta[1] == pytest.approx(weights @ y[:, 0] / weights.sum(), abs=0.01)
    assert abs(run.theta[1] - y.mean()) > 1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_only_the_shares_of_weights_matter_to_mini_batches(scale: float) -> None:
    weights = 1.0 + np.arange(30) % 4
    np.testing.assert_allclose(fit(sample_weight=scale * weights).theta, fit(sample_weight=weights).theta, rtol=1e-9)


def mean_error(a: Array, y: Array) -> float:
    return float((a - y).mean())


def test_validation_and_metrics() -> None:
    """The validation loss is the data term alone: half the squared errors, no penalty, weighted where asked for."""
    held_x, held_y, weights = X[:9] + 0.5, Y[:9], np.arange(9.0)
    metrics = {"bias": mean_error, "peak": lambda a, y: float(np.abs(a).max())}
    run = fit(validation=(held_x, held_y, weights), metrics=metrics)
    assert run.history.columns == (
        "epoch", "updates", "loss", "penalty", "validation_loss", "validation_bias", "validation_peak",
        "learning_rate", "gradient_norm", "seconds",
    )  # fmt: skip
    a = NET.forward(run.theta, held_x).output
    half_squares = ((a - held_y) ** 2).sum(axis=1) / 2
    assert run.history["validation_loss"][-1] == pytest.approx((half_squares * weights).sum() / weights.sum())
    assert run.history["validation_bias"][-1] == pytest.approx((a - held_y).mean())
    assert run.history["validation_peak"][-1] == pytest.approx(np.abs(a).max())
    plain = fit()
    assert plain.history.columns == ("epoch", "updates", "loss", "penalty", "learning_rate", "gradient_norm", "seconds")
    np.testing.assert_array_equal(run.theta, plain.theta)


def test_metrics_without_validation_are_measured_on_the_training_rows() -> None:
    run = fit(metrics={"bias": mean_error})
    assert run.history["bias"][-1] == pytest.approx((NET.forward(run.theta, X).output - Y).mean())


@pytest.mark.parametrize("name", ["loss", "epoch", "seconds"])
def test_a_metric_cannot_take_the_name_of_a_column(name: str) -> None:
    with pytest.raises(GlassnetError):
        fit(metrics={name: lambda a, y: -1.0})


def test_the_columns_of_the_history() -> None:
    run = fit(batch_size=4, epochs=5, optimizer=SGD(Exponential(0.01, 0.9)))
    assert run.status == "completed"
    assert run.reason == "all 5 epochs were run"
    assert list(run.history["epoch"]) == [1, 2, 3, 4, 5]
    assert list(run.history["updates"]) == [8, 16, 24, 32, 40]
    np.testing.assert_allclose(run.history["learning_rate"], 0.01 * 0.9 ** (run.history["updates"] - 1))
    seconds = [0.0, *run.history["seconds"], run.seconds]
    assert seconds == sorted(seconds)


def test_the_rate_of_the_schedule_and_of_callbacks_is_applied() -> None:
    """The slope 1 takes theta down by the rates 1, 1/2, 1/4, 1/8; asked for half of it after two steps, 1/8, 1/16."""
    falling = Objective(Network(1, [Dense(1, bias=False)]), (lambda a, y: a, lambda a, y: np.ones_like(a)))
    options = {"optimizer": SGD(Exponential(1.0, 0.5)), "epochs": 2, "batch_size": 1}
    data = falling, np.zeros(1), np.ones((2, 1)), np.ones((2, 1))
    assert gn.train(*data, **options).theta == [-1.875]
    halve = [lambda record: Request(rate_factor=0.5)]
    assert gn.train(*data, **options, callbacks=halve).theta == [-1.6875]


def test_the_first_row_of_full_batch_descent() -> None:
    full = fit(batch_size=30, epochs=1)
    J, gradient = OBJECTIVE.value_and_grad(THETA, X, Y)
    assert full.history["loss"][0] == pytest.approx(J)
    assert full.history["gradient_norm"][0] == pytest.approx(np.linalg.norm(gradient))


def test_the_history_says_what_part_of_the_loss_is_penalty() -> None:
    objective = Objective(NET, "squared_error", l1=0.1, l2=0.3)
    run = gn.train(objective, THETA, X, Y, epochs=2, optimizer=gn.SGD(0.01))
    W = run.theta[NET.weights]
    assert run.history["penalty"][-1] == pytest.approx(0.1 * np.abs(W).sum() + 0.15 * (W @ W))
