"""sampling.py: the batches of an epoch, without a network (which rows a run sees: test_training.py)."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import glassnet as gn
from glassnet.callbacks import Request, Watcher
from glassnet.errors import GlassnetError
from glassnet.sampling import SAMPLINGS, Batches, drawing


def lengths(batches: Batches, seed: int = 0) -> list[int]:
    rows = np.arange(batches.m)
    return [len(rows[batch]) for batch in batches.epoch(np.random.default_rng(seed))]


@given(m=st.integers(1, 40), size=st.integers(1, 50), sampling=st.sampled_from(list(SAMPLINGS)), drop=st.booleans())
def test_the_smallest_batch_is_that_of_the_epoch(m: int, size: int, sampling: str, drop: bool) -> None:
    batches = Batches(m, size, SAMPLINGS[sampling], drop and size <= m)
    found = lengths(batches)
    assert batches.smallest == min(found)
    assert sum(found) == (m - m % size if batches.drop_last else m)
    assert max(found) == min(size, m)


@given(m=st.integers(1, 40), size=st.integers(1, 50), seed=st.integers(0, 99))
def test_without_replacement_every_row_comes_once(m: int, size: int, seed: int) -> None:
    for sampling in ("shuffle", "sequential"):
        epoch = Batches(m, size, SAMPLINGS[sampling], drop_last=False).epoch(np.random.default_rng(seed))
        assert sorted(np.concatenate([np.arange(m)[rows] for rows in epoch])) == list(range(m))


@pytest.mark.parametrize("sampling", ["shuffle", "sequential", "batches"])
def test_a_full_batch_is_a_slice_of_all_rows(sampling: str) -> None:
    """No row is copied, and no random number is drawn."""
    rng = np.random.default_rng(0)
    assert list(Batches(10, 10, SAMPLINGS[sampling], drop_last=False).epoch(rng)) == [slice(0, 10)]
    assert rng.random() == np.random.default_rng(0).random()


def test_sequential_batches_are_slices() -> None:
    epoch = Batches(10, 4, SAMPLINGS["sequential"], drop_last=False).epoch(np.random.default_rng(0))
    assert list(epoch) == [slice(0, 4), slice(4, 8), slice(8, 10)]


def test_no_batch_at_all_is_refused() -> None:
    with pytest.raises(GlassnetError, match="batch_size must be at most the 3 rows with drop_last, received 4"):
        Batches(3, 4, SAMPLINGS["shuffle"], drop_last=True)


def test_sampling_of_your_own() -> None:
    def backwards(m: int, size: int, rng: np.random.Generator) -> np.ndarray:
        return np.arange(m)[::-1]

    epoch = Batches(5, 2, drawing(backwards), drop_last=False).epoch(np.random.default_rng(0))
    assert [list(rows) for rows in epoch] == [[4, 3], [2, 1], [0]]
    whole = Batches(3, 3, drawing(backwards), drop_last=False)
    assert [list(rows) for rows in whole.epoch(np.random.default_rng(0))] == [
        [2, 1, 0]
    ]  # one batch, drawn all the same


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([0, 1], r"must be \(3,\) whole numbers, received \(2,\)"),
        ([0.0, 1.0, 2.0], "whole numbers, received .* float64"),
        ([0, 1, 3], "must be from 0 to 2, received 0 to 3"),
        ([-1, 1, 2], "must be from 0 to 2, received -1 to 2"),
    ],
)
def test_rows_that_are_not_there_are_refused(rows: list[float], message: str) -> None:
    """The compiled engine reads the memory of the rows it is given."""
    batches = Batches(3, 2, drawing(lambda m, size, rng: np.array(rows)), drop_last=False)
    with pytest.raises(GlassnetError, match=message):
        batches.drawn(np.random.default_rng(0))
    with pytest.raises(GlassnetError, match=message):
        next(batches.epoch(np.random.default_rng(0)))


class Seventh:
    """Ends a run after its seventh epoch."""

    def start(self) -> Watcher:
        return Watcher(lambda record: Request("stopped", "enough") if record.epoch == 7 else None)


@pytest.mark.parametrize("watched", [False, True])
def test_the_compiled_engine_draws_as_many_orders_as_it_runs_epochs(watched: bool) -> None:
    """Ahead where nobody looks between the epochs, else one by one: a run that ends early draws no more."""
    drawn: list[int] = []

    def backwards(m: int, batch_size: int, rng: np.random.Generator) -> np.ndarray:
        drawn.append(len(drawn))
        return np.roll(np.arange(m)[::-1], len(drawn))

    X = np.random.default_rng(0).normal(size=(20, 3))
    objective = gn.Objective(gn.Network(3, [gn.Dense(1)]), "squared_error")
    stop = [Seventh()] if watched else []
    runs = {}
    for engine in ("numpy", "numba"):
        drawn.clear()
        runs[engine] = gn.train(
            objective,
            np.ones(4),
            X,
            X[:, :1],
            epochs=30,
            batch_size=8,
            sampling=backwards,
            callbacks=stop,
            engine=engine,
        )
        assert len(drawn) == (7 if watched else 30)
    np.testing.assert_allclose(runs["numba"].theta, runs["numpy"].theta, rtol=1e-12)
