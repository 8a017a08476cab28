"""scores.py: against scikit-learn's metrics, and small cases worked by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from glassnet.datasets import one_hot
from glassnet.errors import GlassnetError
from glassnet.scores import accuracy, r2


@given(seed=st.integers(0, 10**6), m=st.integers(1, 30), k=st.integers(2, 5))
def test_accuracy_of_classes_is_sklearns(seed: int, m: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = rng.random((m, k)), rng.integers(0, k, m)
    expected = metrics.accuracy_score(labels, outputs.argmax(axis=1))
    assert accuracy(outputs, one_hot(labels, k)) == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), m=st.integers(1, 30), k=st.integers(1, 5))
def test_accuracy_of_several_labels_is_sklearns(seed: int, m: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, labels = rng.random((m, k)), rng.integers(0, 2, (m, k))
    if k > 1:
        labels[0] = 1  # two labels at least: not classes
    expected = metrics.accuracy_score(labels, outputs > 0.5)
    assert accuracy(outputs, labels.astype(float)) == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), m=st.integers(2, 30), k=st.integers(1, 4))
def test_r2_is_sklearns(seed: int, m: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    outputs, Y = rng.normal(size=(m, k)), rng.normal(size=(m, k))
    assert r2(outputs, Y) == pytest.approx(metrics.r2_score(Y, outputs))


def test_accuracy_by_hand() -> None:
    two = np.array([[0.4], [0.5], [0.6], [0.9]])
    assert accuracy(two, np.array([[0.0], [0.0], [1.0], [0.0]])) == 0.75
    labels = np.array([[1.0, 1.0], [0.0, 0.0]])
    assert accuracy(np.array([[0.9, 0.6], [0.4, 0.6]]), labels) == 0.5


def test_rows_of_classes_may_sum_to_1_but_for_rounding() -> None:
    """0.1 + 0.2 + 0.7 is not 1: two rows right by their largest entries, none by the threshold 1/2."""
    shares = np.array([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1]])
    assert (shares.sum(axis=1) != 1.0).any()
    assert accuracy(np.array([[0.3, 0.3, 0.4], [0.4, 0.3, 0.3]]), shares) == 1.0
    assert accuracy(np.array([[0.3, 0.3, 0.4], [0.4, 0.3, 0.3]]), shares.astype(np.float32)) == 1.0


def test_r2_of_constant_columns() -> None:
    Y = np.ones((3, 1))
    assert r2(Y, Y) == 1.0
    assert r2(Y + 0.1, Y) == 0.0
    assert r2(np.array([[1.0, 1.0], [3.0, 5.0]]), np.array([[1.0, 2.0], [3.0, 2.0]])) == 0.5


@pytest.mark.parametrize("score", [accuracy, r2])
@pytest.mark.parametrize(("outputs", "Y"), [((3, 1), (3, 2)), ((3,), (3,)), ((3, 1), (3,)), ((2, 3, 1), (2, 3, 1))])
def test_shapes_never_broadcast(score: Any, outputs: tuple[int, ...], Y: tuple[int, ...]) -> None:
    with pytest.raises(GlassnetError, match=r"of one shape \(m, k\)"):
        score(np.zeros(outputs), np.zeros(Y))
