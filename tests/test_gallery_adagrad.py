"""AdaGrad and its relatives: the table, the picture, the equation in a loop of its own, and PyTorch."""

from __future__ import annotations

import numpy as np
import pytest

import glassnet as gn
from glassnet.gallery import adagrad
from glassnet.gallery.experiment import Experiment
from glassnet.gallery.initializations import begin


@pytest.fixture(scope="module")
def result() -> Experiment:
    return adagrad.run(quick=True)


def test_quick_run_agrees(result: Experiment) -> None:
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert sum(row.agrees is True for row in result.rows) == 1 + len(adagrad.ADAPTIVE)


def test_map_counts_the_starts_that_learn(result: Experiment) -> None:
    chart, curves, *_ = result.figure.axes
    texts = np.array([text.get_text() for text in chart.texts]).reshape(7, 4)
    losses = [adagrad.fit(gn.RMSProp(0.02), start, 40)[0] for start in range(3)]
    learned = sum(bool(one[-1] < np.log(2) / 2) for one in losses)
    assert texts[4, 2] == str(learned)
    assert [text.get_text() for text in chart.get_yticklabels()] == list(adagrad.RULES)
    line = next(line for line in curves.lines if line.get_label() == "RMSProp 0.02")
    np.testing.assert_array_equal(line.get_ydata(), np.median(losses, axis=0))


def test_paths_lie_on_the_slice_and_go_down(result: Experiment) -> None:
    loss, paths = adagrad.on_a_slice(0, {"SGD": 0.1, "AdaGrad": 0.1})
    X, Y, theta = begin(adagrad.NET, 0)
    assert loss(*paths["SGD"][0]) == pytest.approx(float(adagrad.J.value(theta, X, Y)), abs=1e-14)
    for path in paths.values():
        assert path.shape == (101, 2)
        assert loss(*path[-1]) < loss(*path[0])
    ax = result.figure.axes[2]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight to output 1", "bias of output 1")
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), paths["SGD"])


def test_training_with_adagrad_is_its_equation() -> None:
    X, Y, theta = begin(adagrad.NET, 4)
    run = gn.train(adagrad.J, theta, X, Y, optimizer=gn.AdaGrad(0.5), epochs=5, batch_size=10, sampling="sequential")
    r = np.zeros_like(theta)
    for i in (0, 10, 20, 30) * 5:
        g = adagrad.J.value_and_grad(theta, X[i : i + 10], Y[i : i + 10])[1]
        r += g * g
        theta = theta - 0.5 * g / (1e-7 + np.sqrt(r))
    np.testing.assert_allclose(run.theta, theta, rtol=0, atol=1e-12)


@pytest.mark.witness
def test_adagrad_against_pytorch() -> None:
    torch = pytest.importorskip("torch")
    gradients = np.random.default_rng(0).normal(size=(20, 5))
    theirs = torch.zeros(5, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adagrad([theirs], lr=0.5, eps=1e-7)
    rule, ours = gn.AdaGrad(0.5), np.zeros(5)
    state = rule.init(ours)
    for g in gradients:
        step, state = rule.step(g, state, 0.5)
        ours = ours + step
        theirs.grad = torch.from_numpy(g)
        optimizer.step()
    np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_full_run_agrees() -> None:
    full = adagrad.run(seed=0)
    assert full.agrees, [row for row in full.rows if row.agrees is False]
