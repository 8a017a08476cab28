"""watchers.py: whatever is a callback is started once, asked after each epoch, and ended however the run ends."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import glassnet as gn
from callback_runs import LINE, X, Y, fit
from glassnet import SGD, EarlyStopping
from glassnet.errors import GlassnetTypeError
from glassnet.history import EpochRecord
from glassnet.watchers import Request, Watcher, start_all


class Counting:
    """A callback that counts how often it is started and ended: a bar on a terminal that is not ended stays there."""

    def __init__(self) -> None:
        self.started, self.ended = 0, 0

    def start(self) -> Watcher:
        self.started += 1
        return Watcher(lambda record: None, self.end)

    def end(self) -> None:
        self.ended += 1


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_an_estimator_starts_a_callback_once_and_ends_it(solver: str) -> None:
    one = Counting()
    gn.MLPRegressor(solver=solver, max_iter=50, tol=1e9, callbacks=[one]).fit(X, Y.ravel())
    assert (one.started, one.ended) == (1, 1)


def test_an_interrupt_before_the_first_epoch_ends_a_callback(monkeypatch: pytest.MonkeyPatch) -> None:
    """While code is compiled, say."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glassnet.training.begin", interrupt)
    one = Counting()
    with pytest.raises(KeyboardInterrupt):
        fit(callbacks=[one])
    assert (one.started, one.ended) == (1, 1)


# ---- functions and several callbacks ------------------------------------------------------------------------------


def test_a_plain_function_is_a_callback() -> None:
    epochs: list[int] = []

    def watch(r: EpochRecord) -> Request | None:
        epochs.append(r.epoch)
        return Request("converged", "I have seen enough") if r.epoch == 4 else None

    run = fit(callbacks=(watch,))
    assert epochs == [1, 2, 3, 4]
    assert (run.status, run.reason) == ("converged", "I have seen enough")


def test_every_callback_is_asked_and_the_first_request_counts() -> None:
    order: list[str] = []

    def named(name: str) -> Callable[[EpochRecord], Request]:
        return lambda r: order.append(name) or Request("stopped", name)

    assert fit(callbacks=[named("one"), named("two")]).reason == "one"
    assert order == ["one", "two"]


def test_at_end_is_called_however_the_run_ends() -> None:
    ended: list[str] = []

    class Ending:
        def start(self) -> Watcher:
            return Watcher(lambda r: None, lambda: ended.append("end"))

    fit(callbacks=[Ending()])
    assert fit(callbacks=[Ending()], optimizer=SGD(1e9)).status == "diverged"

    def interrupt(r: EpochRecord) -> None:
        raise KeyboardInterrupt

    assert fit(callbacks=[Ending(), interrupt]).status == "stopped"
    assert ended == ["end"] * 3


def test_at_end_is_called_when_a_callback_raises() -> None:
    ended: list[str] = []

    class Raising:
        def start(self) -> Watcher:
            return Watcher(lambda r: 1 / 0, lambda: ended.append("end"))  # type: ignore[arg-type, return-value]

    with pytest.raises(ZeroDivisionError):
        fit(callbacks=[Raising()])
    assert ended == ["end"]


# ---- what is no callback ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("thing", [EarlyStopping, "early", 3, None])
def test_what_is_no_callback_is_refused(thing: object) -> None:
    with pytest.raises(GlassnetTypeError, match="each callback must be"):
        start_all([thing])


@pytest.mark.parametrize("thing", [EarlyStopping(), None, "early", print])
def test_callbacks_come_in_a_list(thing: object) -> None:
    with pytest.raises(GlassnetTypeError, match=r"callbacks must be a list.*\[EarlyStopping\(\)\]"):
        start_all(thing)


# ---- patience -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("engine", "seen"), [("numba", [4, 8, 10]), ("numpy", list(range(1, 11)))])
def test_epochs_within_patience_are_run_in_one_call_and_heard(engine: str, seen: list[int]) -> None:
    called: list[int] = []
    losses: list[float] = []

    class Patient:
        def start(self) -> Watcher:
            def after_epoch(record: EpochRecord) -> None:
                called.append(record.epoch)
                losses.append(record.loss)

            return Watcher(after_epoch, patience=lambda: 4, hear=losses.extend)

    objective = replace(LINE, engine=engine)
    run = gn.train(objective, np.zeros(2), X, Y, epochs=10, batch_size=4, callbacks=[Patient()])
    alone = gn.train(objective, np.zeros(2), X, Y, epochs=10, batch_size=4)
    assert called == seen
    assert losses == run.history["loss"].tolist()
    np.testing.assert_array_equal(run.theta, alone.theta)


def test_one_callback_without_patience_sees_every_epoch() -> None:
    called: list[int] = []

    class Patient:
        def start(self) -> Watcher:
            return Watcher(lambda record: None, patience=lambda: 4)

    objective = replace(LINE, engine="numba")
    gn.train(objective, np.zeros(2), X, Y, epochs=5, callbacks=[Patient(), lambda record: called.append(record.epoch)])
    assert called == [1, 2, 3, 4, 5]
