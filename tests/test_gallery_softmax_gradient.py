"""The softmax gradient: loops, matrices and library agree with each other and with PyTorch."""

import numpy as np
import pytest

import glassnet as gn
from glassnet import datasets
from glassnet.gallery import softmax_gradient
from glassnet.gallery.experiment import Experiment

FORMS = (softmax_gradient.by_loops, softmax_gradient.by_matrices, softmax_gradient.by_glassnet)


@pytest.fixture(scope="module")
def quick() -> Experiment:
    return softmax_gradient.run(quick=True)


def test_quick_run_agrees(quick):
    assert quick.agrees, [row for row in quick.rows if row.agrees is False]


def test_picture_holds_the_data(quick):
    times, images, bar = quick.figure.axes
    assert (times.get_xlabel(), times.get_ylabel()) == ("images m", "time of one gradient (ms)")
    assert [line.get_label() for line in times.lines] == ["loops", "glassnet", "matrices"]
    assert list(times.lines[0].get_xdata()) == [10, 30, 100, 300]
    assert bar.get_ylabel() == "step / learning rate"
    mosaic = np.ma.filled(images.images[0].get_array(), np.nan)
    tile = mosaic[3:11, 1:9]  # class 0: at W = 0, -dW_0 = mean_i ([y_i = 0] - 1/10) x_i
    data = datasets.load("digits")
    rows = np.random.default_rng(0).permutation(1797)[:300]
    share = (data.y[rows] == 0) - 0.1
    np.testing.assert_allclose(tile.ravel(), (share[:, None] * data.X[rows] / 16).mean(axis=0), atol=1e-12)


@pytest.mark.parametrize("compute", FORMS)
def test_large_scores_do_not_overflow(compute):
    X, Y = np.full((2, 64), 1.0), np.eye(10)[:2]
    W = np.zeros((64, 10))
    W[:, 0] = 100.0  # x . W_0 = 6400
    J, dW = compute(W, X, Y)
    assert pytest.approx(0.5 * 6400 + 0.5 * softmax_gradient.REG * 64 * 1e4) == J
    np.testing.assert_allclose(dW[0], [0.5 + 100.0 * softmax_gradient.REG, -0.5, *[0.0] * 8], atol=1e-12)


@pytest.mark.witness
@pytest.mark.parametrize("compute", FORMS)
def test_gradient_is_pytorch_s(compute):
    torch = pytest.importorskip("torch")
    data = datasets.load("digits")
    X, labels, W = data.X[:50] / 16, data.y[:50], np.random.default_rng(7).normal(size=(64, 10))
    parameters = torch.tensor(W, requires_grad=True)
    loss = torch.nn.functional.cross_entropy(torch.tensor(X) @ parameters, torch.tensor(labels))
    loss = loss + 0.5 * softmax_gradient.REG * (parameters**2).sum()
    loss.backward()
    J, dW = compute(W, X, gn.one_hot(labels, 10))
    assert pytest.approx(loss.item(), abs=1e-12) == J
    np.testing.assert_allclose(dW, parameters.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_full_run_agrees():
    result = softmax_gradient.run(seed=0)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
