"""Two layers: loss and gradients equal plain loops (and PyTorch), the run is the one that was asked for."""

import numpy as np
import pytest

import glassnet as gn
from glassnet import datasets
from glassnet.gallery import two_layer
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def quick() -> Experiment:
    return two_layer.run(quick=True)


def test_quick_run_agrees(quick):
    assert quick.agrees, [row for row in quick.rows if row.agrees is False]


def test_picture_holds_the_data(quick):
    loss, accuracy = quick.figure.axes
    assert [ax.get_xlabel() for ax in quick.figure.axes] == ["epoch", "epoch"]
    assert [ax.get_ylabel() for ax in quick.figure.axes] == ["training loss J", "accuracy (%)"]
    small, large, plateau = (np.asarray(line.get_ydata()) for line in loss.lines)
    np.testing.assert_allclose(plateau, np.log(10))
    assert abs(small[0] - plateau[0]) < 0.02
    assert large[0] < small[0]
    validation = np.asarray(accuracy.lines[1].get_ydata())
    assert f"{validation[-1]:.4g}" == next(row.ours for row in quick.rows if row.name == "validation accuracy, %")


def test_curves_are_columns_of_one_run():
    loss, training, validation, rate = two_layer.fit(seed=0, epochs=3)
    np.testing.assert_allclose(rate, [1.0, 0.95, 0.95**2], rtol=1e-15)
    assert loss.shape == training.shape == validation.shape == (3,)
    assert ((training * 1437 / 100).round(6) % 1 == 0).all()  # whole images of the training rows
    assert ((validation * 360 / 100).round(6) % 1 == 0).all()


@pytest.mark.witness
def test_gradient_is_pytorch_s():
    torch = pytest.importorskip("torch")
    data = datasets.load("digits")
    X, labels = data.X[:20] / 16, data.y[:20]
    theta = 1000 * two_layer.NET.init(rng=3)
    J, gradient = two_layer.OBJECTIVE.value_and_grad(theta, X, gn.one_hot(labels, 10))
    W1, b1, W2, b2 = (torch.tensor(p.copy(), requires_grad=True) for p in two_layer.NET.views(theta).values())
    logits = torch.relu(torch.tensor(X) @ W1 + b1) @ W2 + b2
    loss = torch.nn.functional.cross_entropy(logits, torch.tensor(labels))
    loss = loss + two_layer.REG * ((W1**2).sum() + (W2**2).sum())
    loss.backward()
    assert float(J) == pytest.approx(loss.item(), abs=1e-12)
    for ours, theirs in zip(two_layer.NET.views(gradient).values(), (W1, b1, W2, b2), strict=True):
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_full_run_agrees():
    result = two_layer.run(seed=0)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
