"""The experiment `mnist`: its figures and its picture; skipped where MNIST is not at hand."""

import numpy as np
import pytest

import glassnet as gn
from glassnet import datasets
from glassnet.gallery import mnist


@pytest.fixture(scope="module")
def data():
    try:
        return datasets.load("mnist")
    except gn.GlassnetError as error:
        pytest.skip(str(error))


def test_the_quick_run_agrees_and_its_picture_holds_the_data(data):
    result = mnist.run(quick=True)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    curves, digits, check = result.figure.axes
    assert all(ax.get_xlabel() and ax.get_ylabel() and ax.get_title(loc="left") for ax in result.figure.axes)
    assert [len(line.get_xdata()) for line in curves.get_lines()] == [4, 4, 4]
    last = {row.name: row.ours for row in result.rows}[f"{mnist.LARGE}: mean"]
    assert f"{curves.get_lines()[2].get_ydata()[-1] / 100:.4g}" == last
    assert [len(line.get_xdata()) for line in digits.get_lines()] == [10, 10, 10]
    right, *bugs = (bar.get_height() for bar in check.patches)
    assert right < 1e-6 < 1e-2 < min(bugs)


def test_the_hand_written_gradient_is_that_of_the_objective():
    rng = np.random.default_rng(0)
    X, Y = rng.uniform(size=(30, 784)), gn.one_hot(rng.integers(0, 10, 30), 10)
    objective = mnist.recipe(mnist.CLASSIC)
    theta = objective.net.init(rng=0)
    gradient = objective.net.views(objective.value_and_grad(theta, X, Y)[1])
    by_hand = mnist.hand_written(objective.net, theta, X, Y, "right")
    np.testing.assert_allclose(by_hand, np.append(gradient["W2"], gradient["b2"]), rtol=0, atol=1e-12)


def test_the_checks_of_the_gradient_need_no_mnist():
    rng = np.random.default_rng(1)
    X, Y = rng.uniform(size=(30, 784)), gn.one_hot(rng.integers(0, 10, 30), 10)
    errors = mnist.gradient_errors(X, Y, seed=3)
    assert errors["right"] < 1e-6
    assert min(errors["transposed product"], errors["biases not summed"]) > 1e-2
    assert mnist.one_by_one(X, Y, seed=3)[0] < 1e-12


@pytest.mark.slow
def test_the_full_run_agrees(data):
    result = mnist.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]
