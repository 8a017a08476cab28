"""callbacks.py: each callback on records made by hand, then in runs of `train` and `minimize`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError
from typing import Any

import numpy as np
import pytest

import glassnet as gn
from callback_runs import LINE, X, Y, fit, record
from glassnet import SGD, Checkpoint, EarlyStopping, ReduceOnPlateau, TargetReached, TimeBudget
from glassnet.callbacks import Callback, Request
from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, Run

NAN = float("nan")


def requests(callback: Callback, values: list[float], monitor: str = "loss", first: int = 1) -> list[Request | None]:
    """Return the callback's answers to a series of losses (or scores)."""
    watcher = callback.start()
    return [
        watcher.after_epoch(record(e, v) if monitor == "loss" else record(e, 1.0, **{monitor: v}))
        for e, v in enumerate(values, first)
    ]


def stop_epoch(callback: Callback, values: list[float], monitor: str = "loss") -> int | None:
    answers = requests(callback, values, monitor)
    return next((e for e, answer in enumerate(answers, 1) if answer is not None and answer.stop is not None), None)


def dip(turn: int) -> Callable[[np.ndarray, np.ndarray], float]:
    """A metric that falls until its `turn`-th call and rises afterwards."""
    calls: list[int] = []

    def metric(a: np.ndarray, y: np.ndarray) -> float:
        calls.append(1)
        return float(abs(len(calls) - turn))

    return metric


# ---- early stopping -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "monitor", "values", "expected"),
    [
        ({"patience": 1}, "loss", [3, 2, 2, 1], 3),
        ({"patience": 2}, "loss", [3, 2, 2, 1, 1, 1], 6),
        ({"patience": 2}, "loss", [3, 2.5, 2, 1, 0.5], None),
        ({"patience": 2, "min_delta": 0.9}, "loss", [3, 2.5, 2.2, 1], 3),
        ({"patience": 2, "min_delta": 0.9}, "loss", [3, 2.5, 2, 1.5, 1.2], 5),
        ({"patience": 2}, "validation_loss", [3, 2, 4, 5], 4),
        ({"patience": 2, "monitor": "validation_loss"}, "validation_loss", [3, 2, 4, 5], 4),
        ({"patience": 2, "monitor": "validation_accuracy"}, "validation_accuracy", [0.1, 0.5, 0.4, 0.4], 4),
        ({"patience": 2, "monitor": "validation_accuracy"}, "validation_accuracy", [0.5, 0.4, 0.6, 0.7], None),
        ({"patience": 1, "monitor": "validation_accuracy"}, "validation_accuracy", [-5.0, -4.0, -4.5], 3),
        ({"patience": 2, "monitor": "f1_score"}, "f1_score", [0.5, 0.6, 0.7, 0.8], None),
        ({"patience": 2, "monitor": "validation_r2"}, "validation_r2", [0.5, 0.6, 0.7, 0.8], None),
        ({"patience": 2, "monitor": "error", "mode": "min"}, "error", [0.8, 0.7, 0.6, 0.5], None),
        ({"patience": 2, "monitor": "error", "mode": "min"}, "error", [0.5, 0.6, 0.7, 0.8], 3),
        ({"patience": 2, "monitor": "auc", "mode": "max"}, "auc", [0.5, 0.6, 0.7, 0.8], None),
        ({"patience": 2, "monitor": "auc", "mode": "max"}, "auc", [0.8, 0.7, 0.6, 0.5], 3),
        ({"patience": 2, "mode": "max"}, "loss", [1, 2, 3, 3, 3], 5),
        ({"patience": 2}, "loss", [NAN, 3, 2, 1], None),
        ({"patience": 2}, "loss", [NAN, NAN, NAN, 3, 3, 3], 6),
        ({"patience": 2}, "loss", [3, NAN, NAN], 3),
        ({"patience": 2, "monitor": "validation_accuracy"}, "validation_accuracy", [NAN, 0.5, 0.6, 0.7], None),
    ],
)
def test_early_stopping_stops_when_nothing_improves(
    options: dict[str, Any], monitor: str, values: list[float], expected: int | None
) -> None:
    assert stop_epoch(EarlyStopping(**options), values, monitor) == expected


def test_after_a_first_nan_the_best_weights_are_those_of_a_number() -> None:
    watcher = EarlyStopping().start()
    for epoch, loss in enumerate([NAN, 2.0, 3.0], 1):
        watcher.after_epoch(record(epoch, loss))
    assert watcher.at_end().theta == [2.0]  # type: ignore[union-attr]


def test_early_stopping_says_why() -> None:
    answer = requests(EarlyStopping(1), [3.0, 4.0])[-1]
    assert answer == Request("converged", "loss has not improved by more than 0 since epoch 1")
    answer = requests(EarlyStopping(1, min_delta=0.5), [3.0, 4.0], "validation_loss")[-1]
    assert answer == Request("stopped", "validation_loss has not improved by more than 0.5 since epoch 1")


def test_early_stopping_counts_from_epoch_0_as_well() -> None:
    assert requests(EarlyStopping(1), [3.0, 4.0], first=0)[-1] is not None


def kept(run_options: dict[str, Any]) -> tuple[Run, list[np.ndarray]]:
    """Return a run and the theta of each of its epochs."""
    thetas: list[np.ndarray] = []
    callbacks = [*run_options.pop("callbacks"), lambda r: thetas.append(r.theta.copy())]
    return fit(metrics={"dip_loss": dip(4)}, callbacks=callbacks, **run_options), thetas


PATIENT = EarlyStopping(patience=3, monitor="dip_loss")
BEST_BACK: dict[str, tuple[list[object], int, str]] = {
    "it stops the run": ([PATIENT], 7, "dip_loss has not improved"),
    "all epochs are used": ([EarlyStopping(50, monitor="dip_loss")], 30, "all 30 epochs"),
    "another one stops the run": (
        [PATIENT, lambda r: Request("stopped", "enough") if r.epoch == 6 else None],
        6,
        "enough",
    ),
    "it is second": ([lambda r: Request("stopped", "enough") if r.epoch == 6 else None, PATIENT], 6, "enough"),
}


@pytest.mark.parametrize("case", BEST_BACK)
def test_the_best_weights_come_back_when(case: str) -> None:
    callbacks, length, reason = BEST_BACK[case]
    run, thetas = kept({"callbacks": callbacks})
    assert len(run.history) == len(thetas) == length
    assert reason in run.reason
    np.testing.assert_array_equal(run.theta, thetas[3])
    assert not np.array_equal(run.theta, thetas[-1])


def test_the_best_weights_come_back_after_divergence() -> None:
    run, thetas = kept({"callbacks": [EarlyStopping(50, monitor="dip_loss")], "optimizer": SGD(6.0), "batch_size": 20})
    assert run.status == "diverged"
    assert len(run.history) > 4
    np.testing.assert_array_equal(run.theta, thetas[3])


def test_the_best_state_comes_back_too() -> None:
    net = gn.Network(1, [gn.BatchNorm(0.9), gn.Dense(1)])
    states: list[np.ndarray] = []
    run = gn.train(
        gn.Objective(net, "squared_error"), net.init(rng=0), X + 2, Y, epochs=8, metrics={"dip_loss": dip(4)},
        callbacks=[PATIENT, lambda r: states.append(r.state.copy())],
    )  # fmt: skip
    np.testing.assert_array_equal(run.state, states[3])
    assert not np.array_equal(run.state, states[-1])


def test_without_restore_best_the_last_weights_come_back() -> None:
    run, thetas = kept({"callbacks": [EarlyStopping(3, monitor="dip_loss", restore_best=False)]})
    np.testing.assert_array_equal(run.theta, thetas[-1])


def test_the_best_weights_come_back_from_a_solver() -> None:
    run = gn.minimize(LINE, np.zeros(2), X, Y, callbacks=[EarlyStopping(5)])
    assert run.loss == run.history["loss"].min()
    assert LINE.value(run.theta, X, Y) == pytest.approx(run.loss, abs=1e-15)


@pytest.mark.parametrize(
    "callback",
    [EarlyStopping(2, monitor="dip_loss"), ReduceOnPlateau(0.5, 1, "dip_loss")],
    ids=lambda c: type(c).__name__,
)
def test_one_callback_serves_two_runs(callback: Callback) -> None:
    """What it saw in the first run is forgotten in the second, and in a run beside it."""
    one, two = (fit(metrics={"dip_loss": dip(4)}, callbacks=[callback]) for _ in range(2))
    assert one.reason == two.reason
    for column in ("loss", "learning_rate"):
        np.testing.assert_array_equal(one.history[column], two.history[column])
    np.testing.assert_array_equal(one.theta, two.theta)
    fresh, used = callback.start(), callback.start()
    for epoch in range(1, 9):
        used.after_epoch(record(epoch, dip_loss=float(epoch)))
    assert fresh.after_epoch(record(1, dip_loss=1.0)) is None


# ---- target, plateau, time, checkpoint ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "monitor", "values", "expected"),
    [
        (0.5, "loss", [2.0, 0.6, 0.5, 0.1], 3),
        (0.5, "loss", [2.0, 0.6], None),
        (0.2, "validation_loss", [0.3, 0.1], 2),
        (0.9, "accuracy", [0.1, 0.8, 0.9, 1.0], 3),
        (0.9, "accuracy", [0.1, 0.8], None),
        (-0.5, "score", [-2.0, -0.4], 2),
        (0.5, "loss", [2.0, NAN, 0.6], None),
        (0.9, "accuracy", [NAN, 0.8, 0.95], 3),
    ],
)
def test_target_reached(target: float, monitor: str, values: list[float], expected: int | None) -> None:
    assert stop_epoch(TargetReached(target, monitor), values, monitor) == expected


@pytest.mark.parametrize(("mode", "expected"), [("min", 2), ("max", 3)])
def test_the_target_of_a_number_of_your_own(mode: str, expected: int) -> None:
    target = TargetReached(0.5, "peak", mode)  # type: ignore[arg-type]
    values = [0.7, 0.4, 0.6] if mode == "min" else [0.1, 0.4, 0.6]
    assert stop_epoch(target, values, "peak") == expected


def test_target_reached_in_a_run() -> None:
    run = fit(callbacks=[TargetReached(0.01)], epochs=500)
    assert run.status == "converged"
    assert run.loss <= 0.01 < run.history["loss"][-2]
    assert run.reason == f"loss reached {run.loss:.6g}, the target was 0.01"


def test_reduce_on_plateau_asks_for_a_lower_rate() -> None:
    answers = requests(ReduceOnPlateau(0.5, patience=2), [3, 3, 3, 3, 3, 2, 2, 2])
    assert [answer and answer.rate_factor for answer in answers] == [None, None, 0.5, None, 0.5, None, None, 0.5]
    assert all(answer is None or answer.stop is None for answer in answers)


@pytest.mark.parametrize(("mode", "reduced"), [("min", True), ("max", False)])
def test_a_plateau_of_a_number_of_your_own(mode: str, reduced: bool) -> None:
    answers = requests(ReduceOnPlateau(0.5, 2, "peak", mode=mode), [1, 2, 3, 4], "peak")  # type: ignore[arg-type]
    assert any(answers) is reduced


def test_the_reduced_rates_stand_in_the_history() -> None:
    plateau = ReduceOnPlateau(0.5, patience=2, monitor="dip_loss")
    run = fit(metrics={"dip_loss": dip(4)}, callbacks=[plateau], epochs=10)
    np.testing.assert_allclose(run.history["learning_rate"], 0.1 * 0.5 ** np.array([0, 0, 0, 0, 0, 0, 1, 1, 2, 2]))


def test_two_callbacks_multiply_the_rate() -> None:
    def halve(r: EpochRecord) -> Request:
        return Request(rate_factor=0.5)

    run = fit(callbacks=[halve, halve], epochs=3)
    np.testing.assert_allclose(run.history["learning_rate"], [0.1, 0.025, 0.00625])


def test_the_rate_is_not_reduced_below_its_least() -> None:
    watcher = ReduceOnPlateau(0.1, patience=1, min_rate=0.01).start()
    assert watcher.after_epoch(record(1)) is None
    assert watcher.after_epoch(record(2, rate=0.05)) is None
    assert watcher.after_epoch(record(3, rate=0.5)) == Request(rate_factor=0.1)


@pytest.mark.parametrize(("seconds", "stops"), [(0.0, False), (1.99, False), (2.0, True), (1e9, True)])
def test_time_budget(seconds: float, stops: bool) -> None:
    answer = TimeBudget(2.0).start().after_epoch(record(1, seconds=seconds))
    assert answer == (Request("stopped", "the time budget of 2 s is used up") if stops else None)


def test_the_best_weights_are_a_copy() -> None:
    watcher, best = EarlyStopping().start(), record(1)
    watcher.after_epoch(best)
    best.theta[:] = 99.0
    assert watcher.at_end().theta == [1.0]  # type: ignore[union-attr]


@pytest.mark.parametrize(("every", "epochs"), [(1, [1, 2, 3, 4, 5, 6, 7]), (3, [3, 6]), (10, [])])
def test_checkpoint_saves_every_so_often(every: int, epochs: list[int]) -> None:
    saved: list[EpochRecord] = []
    fit(callbacks=[Checkpoint(saved.append, every)], epochs=7)
    assert [r.epoch for r in saved] == epochs


@pytest.mark.parametrize("run", [fit, lambda **o: gn.minimize(LINE, np.zeros(2), X, Y, **o)], ids=["train", "minimize"])
def test_what_a_record_shows_is_read_only(run: Callable[..., Run]) -> None:
    flags: list[bool] = []
    run(callbacks=[lambda r: flags.extend([r.theta.flags.writeable, r.state.flags.writeable])])
    assert not any(flags)


# ---- what is refused ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: EarlyStopping(0), "patience must be at least 1, received 0"),
        (lambda: ReduceOnPlateau(1.0), "factor must be between 0 and 1"),
        (lambda: ReduceOnPlateau(0.0), "factor must be between 0 and 1"),
        (lambda: Checkpoint(print, 0), "every must be at least 1"),
        (
            lambda: fit(callbacks=[EarlyStopping(monitor="los", mode="min")]),
            r"unknown monitored number 'los': did you mean 'loss'",
        ),
        *(
            (lambda make=make: make(monitor="peak"), "whether 'peak' is to fall or to rise must be said: mode='min' or")
            for make in (EarlyStopping, ReduceOnPlateau, lambda monitor: TargetReached(0.0, monitor))
        ),
        (lambda: EarlyStopping(mode="up"), "unknown mode 'up': Known: min, max"),  # type: ignore[arg-type]
        (lambda: TargetReached(1.0, mode="up"), "unknown mode 'up'"),  # type: ignore[arg-type]
        (lambda: ReduceOnPlateau(mode="up"), "unknown mode 'up'"),  # type: ignore[arg-type]
        (lambda: fit(callbacks=[TargetReached(1.0, "accuracy")]), r"unknown monitored number 'accuracy'.*Known: loss"),
    ],
)
def test_bad_options_are_refused(make: Callable[[], object], message: str) -> None:
    with pytest.raises(GlassnetError, match=message):
        make()


def test_callbacks_are_frozen() -> None:
    with pytest.raises(FrozenInstanceError):
        EarlyStopping().patience = 3  # type: ignore[misc]
