"""The experiment `activations`: its figures, its picture, and planted faults that it must see."""

import dataclasses

import numpy as np
import pytest
from scipy import special

import glassnet as gn
from glassnet.gallery import activations


@pytest.fixture(scope="module")
def result():
    return activations.run()


def test_quick_and_full_agree(result):
    for one in (result, activations.run(seed=3, quick=True)):
        assert one.agrees, [row for row in one.rows if row.agrees is False]
    assert len(result.notes) >= 3


def test_a_wrong_derivative_is_seen():
    tanh = gn.activations.get("tanh")
    wrong = dataclasses.replace(tanh, df=lambda z, a: 1.0 - a)
    assert activations.error_of_derivative(tanh, np.random.default_rng(0)) < 1e-9
    assert activations.error_of_derivative(wrong, np.random.default_rng(0)) > 0.1


def test_a_careless_exp_is_seen():
    def softplus(z):
        return np.log(1 + np.exp(z))

    careless = dataclasses.replace(gn.activations.get("softplus"), f=softplus)
    assert not activations.survives(careless, "float32")
    assert activations.survives(gn.activations.get("softplus"), "float32")


def test_the_picture_holds_values_and_derivatives(result):
    axes = dict(zip(activations.NAMES, result.figure.axes, strict=True))
    for name, ax in axes.items():
        assert ax.get_title(loc="left") == name
        assert ax.get_xlabel() == "$z$"
        assert len(ax.lines) >= 3
    value, left, right = axes["sigmoid"].lines[:3]
    s = special.expit(activations.Z)
    np.testing.assert_allclose(value.get_ydata(), s, rtol=1e-12)
    np.testing.assert_allclose(np.concatenate([left.get_ydata(), right.get_ydata()]), s * (1 - s), rtol=1e-9)
    softmax = axes["softmax"].lines[0].get_ydata()
    rows = np.column_stack([activations.Z, np.zeros((600, 2))])
    np.testing.assert_allclose(softmax, special.softmax(rows, axis=1)[:, 0], rtol=1e-12)
