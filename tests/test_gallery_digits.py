"""Digits: the recipes agree with the published figures, and the step is the published step."""

import numpy as np
import pytest

from glassnet import datasets
from glassnet.gallery import digits
from glassnet.gallery.experiment import Experiment, Row


@pytest.fixture(scope="module")
def quick() -> Experiment:
    return digits.run(quick=True)


def test_quick_run_agrees(quick):
    assert quick.agrees, [row for row in quick.rows if row.agrees is False]


def test_picture_holds_the_data(quick):
    scores, curves, activations = quick.figure.axes
    assert all(ax.get_ylabel() for ax in quick.figure.axes)
    assert curves.get_xlabel() == "epoch"
    published = np.asarray(scores.collections[2].get_offsets())[:, 1]
    assert len(published) == 3
    assert f"{np.median(published):.4g}" == judged(quick).ours
    assert [len(line.get_xdata()) for line in curves.lines] == [50, 50]
    at_the_ends = [patch.get_height() for patch in activations.patches[:50]]
    assert at_the_ends[0] > 50 * at_the_ends[25]


def judged(result: Experiment) -> Row:
    return next(row for row in result.rows if row.name == "published: test accuracy, median, %")


@pytest.mark.parametrize(
    ("accuracies", "agrees"),
    [
        ([96.3] * 10, True),
        ([96.3] * 9 + [50.8], True),  # seen on some processors: one split ends in another valley
        ([96.3] * 4 + [50.8] * 6, False),
        ([92.0] * 10, False),
        ([97.7] * 10, False),
    ],
)
def test_one_lost_split_does_not_decide_but_most_of_them_do(
    accuracies: list[float], agrees: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = digits.fit(0, 0.01, 0.1, epochs=1)

    def made_up(seed: int, rate: float, penalty: float, batch: int = 100, epochs: int = 100, sound: bool = False):
        test = 10.4 if batch == 1437 else 97.7 if sound else accuracies[seed]
        return one._replace(untrained=10.0, train=97.5, test=test)

    monkeypatch.setattr(digits, "fit", made_up)
    result = digits.run(seed=0)
    assert (judged(result).agrees, result.agrees) == (agrees, agrees)


def test_step_is_the_published_step():
    """Three steps in plain NumPy: W -= rate (sum of gradients + penalty W), b -= rate (sum of gradients)."""
    rate, penalty, data = 0.001, 0.01, datasets.load("digits")
    rows = np.random.default_rng(0).permutation(1797)[:1437]
    X, Y = data.X[rows], np.eye(10)[data.y[rows]]
    net = digits.network()
    start = {name: p.copy() for name, p in net.views(net.init(rng=0)).items()}
    W1, b1, W2, b2 = (start[name] for name in ("W1", "b1", "W2", "b2"))
    assert (b1 == 0.01).all()
    assert W1.std() == pytest.approx(1.0, abs=0.05)
    for _ in range(3):
        hidden = 1 / (1 + np.exp(-(X @ W1 + b1)))
        z = hidden @ W2 + b2
        p = np.exp(z - z.max(axis=1, keepdims=True))
        delta2 = p / p.sum(axis=1, keepdims=True) - Y
        delta1 = delta2 @ W2.T * hidden * (1 - hidden)
        W2, b2 = W2 - rate * (hidden.T @ delta2 + penalty * W2), b2 - rate * delta2.sum(axis=0)
        W1, b1 = W1 - rate * (X.T @ delta1 + penalty * W1), b1 - rate * delta1.sum(axis=0)
    ours = net.views(digits.fit(0, rate, penalty, batch=1437, epochs=3).run.theta)
    for name, expected in {"W1": W1, "b1": b1, "W2": W2, "b2": b2}.items():
        np.testing.assert_allclose(ours[name], expected, rtol=0, atol=1e-9)


@pytest.mark.slow
def test_full_run_agrees():
    result = digits.run(seed=0)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
