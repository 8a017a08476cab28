"""The experiment `gates`: its figures, its picture, and a second way to the same straight lines."""

import numpy as np
import pytest

import glassnet as gn
from glassnet.gallery import gates


@pytest.fixture(scope="module")
def result():
    return gates.run(quick=True)


def test_the_quick_run_agrees(result):
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert result.notes


@pytest.mark.slow
def test_the_full_run_agrees():
    result = gates.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]


@pytest.mark.parametrize("gate", [gates.OR, gates.XOR])
def test_a_linear_network_finds_the_least_squares_line(gate):
    net = gn.Network(2, [gn.Dense(1)])
    run = gn.minimize(
        gn.Objective(net, "squared_error"), net.init(), gates.X, gate[:, None], method="bfgs", tolerance=1e-10
    )
    np.testing.assert_allclose(gates.output(net, run.theta, gates.X), gates.straight_line(gate)(gates.X), atol=1e-8)


def test_xor_by_hand_is_exact_and_needs_its_second_unit():
    net, theta = gates.xor_by_hand()
    np.testing.assert_array_equal(gates.output(net, theta, gates.X), gates.XOR)
    net.views(theta)["W2"][1] = 0.0
    np.testing.assert_array_equal(gates.output(net, theta, gates.X), gates.X.sum(axis=1))


def test_starts_are_sorted_by_what_they_compute():
    good, others = gates.train_xor(2, "tanh", range(6), epochs=300)
    assert len(good) + len(others) == 6
    assert all(np.array_equal(predict(gates.X) > 0.5, gates.XOR == 1) for predict in good)
    assert not any(np.array_equal(predict(gates.X) > 0.5, gates.XOR == 1) for predict in others)


def test_the_picture_holds_the_surfaces_and_the_counts(result):
    *surfaces, bars = result.figure.axes
    assert [ax.get_title(loc="left") for ax in surfaces[:3]] == [
        "OR: best line", "XOR: best line, 1/2 everywhere", "XOR: ReLU by hand",
    ]  # fmt: skip
    assert all(ax.get_xlabel() == "$x_1$" and ax.get_ylabel() == "$x_2$" for ax in surfaces)
    np.testing.assert_allclose(surfaces[1].images[0].get_array(), 0.5)
    heights = [bar.get_height() for bar in bars.patches]
    judged = {row.name: row.ours for row in result.rows}
    expected = [judged[f"{f} 2-2-1: starts of 8 that reach XOR"] for f in gates.HIDDEN]
    assert heights[:3] == [int(count) for count in expected]
    assert bars.get_ylabel() == "starts of 8"
