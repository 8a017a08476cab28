"""history.py: rows, columns, and the words at the end of a run."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pandas as pd
import pytest

from glassnet.errors import GlassnetError
from glassnet.history import EpochRecord, History, Run

ROWS = ({"epoch": 1, "loss": 0.75}, {"epoch": 2, "loss": 0.5}, {"epoch": 3, "loss": 0.25})


def record(**scores: float) -> EpochRecord:
    return EpochRecord(
        epoch=3, updates=12, loss=0.5, scores=scores, learning_rate=0.1, gradient_norm=2.0, seconds=1.5, penalty=0.25,
        theta=np.zeros(2), state=np.empty(0), epochs=10,
    )  # fmt: skip


def run(*rows: dict[str, float]) -> Run:
    return Run(np.zeros(2), np.empty(0), History(rows), "stopped", "enough", 1.234)


def test_a_record_as_a_row() -> None:
    row = record(validation_loss=0.7, accuracy=0.9).row()
    assert list(row.items()) == [
        ("epoch", 3), ("updates", 12), ("loss", 0.5), ("penalty", 0.25), ("validation_loss", 0.7), ("accuracy", 0.9),
        ("learning_rate", 0.1), ("gradient_norm", 2.0), ("seconds", 1.5),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "name", "expected"),
    [
        ({}, None, 0.5),
        ({"accuracy": 0.9}, None, 0.5),
        ({"validation_loss": 0.7}, None, 0.7),
        ({"validation_loss": 0.7}, "loss", 0.5),
        ({"accuracy": 0.9}, "accuracy", 0.9),
    ],
)
def test_what_is_monitored(scores: dict[str, float], name: str | None, expected: float) -> None:
    assert record(**scores).monitored(name) == expected
    if name is None:
        assert record(**scores).default_monitor == ("validation_loss" if "validation_loss" in scores else "loss")


def test_an_unknown_monitor_is_refused() -> None:
    with pytest.raises(
        GlassnetError, match=r"unknown monitored number 'acuracy': did you mean 'accuracy'\? Known: loss"
    ):
        record(accuracy=0.9).monitored("acuracy")


def test_columns() -> None:
    history = History(ROWS)
    assert history.columns == ("epoch", "loss")
    assert len(history) == 3
    assert tuple(history) == ROWS
    np.testing.assert_array_equal(history["loss"], [0.75, 0.5, 0.25])
    np.testing.assert_array_equal(history["epoch"], [1, 2, 3])


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(GlassnetError, match="unknown column 'losses'"):
        History(ROWS)["losses"]


def test_an_empty_history() -> None:
    assert History().columns == ()
    assert len(History()) == 0
    assert History().to_frame().empty
    assert History()["loss"].shape == (0,)


def test_as_a_data_frame() -> None:
    expected = pd.DataFrame({"epoch": [1, 2, 3], "loss": [0.75, 0.5, 0.25]})
    pd.testing.assert_frame_equal(History(ROWS).to_frame(), expected)


def test_the_loss_of_a_run_is_that_of_its_last_epoch() -> None:
    assert run(*ROWS).loss == 0.25
    assert np.isnan(run().loss)


def test_a_run_in_words() -> None:
    assert repr(run(*ROWS)) == "Run(status='stopped', epochs=3, loss=0.25, seconds=1.23, reason='enough')"
    assert "epochs=0, loss=nan" in repr(run())


@pytest.mark.parametrize("thing", [record(), History(ROWS), run()], ids=lambda thing: type(thing).__name__)
def test_what_is_past_cannot_be_changed(thing: object) -> None:
    with pytest.raises(FrozenInstanceError):
        thing.seconds = 0.0  # type: ignore[attr-defined]
