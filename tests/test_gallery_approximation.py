"""The experiment `approximation`: its figures, its picture, and a second way to the best ReLU fit."""

import numpy as np
import pytest

from glassnet.gallery import approximation


@pytest.fixture(scope="module")
def result():
    return approximation.run(quick=True)


def test_the_quick_run_agrees(result):
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert len(result.notes) == 3


@pytest.mark.slow
def test_the_full_run_agrees():
    result = approximation.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]


def test_three_relu_units_are_the_kinked_function():
    x = approximation.MEASURED_ON
    bends = np.maximum(x - np.array([0.0, 1 / 3, 2 / 3]), 0.0)
    exact = 1.0 + bends @ np.array([-3.0, 6.0, -6.0])
    np.testing.assert_allclose(exact, approximation.TARGETS["kinked"](x).ravel(), atol=1e-12)


def test_one_relu_unit_is_as_good_as_least_squares_over_every_bend():
    """The best single bend found by a search, its two coefficients by NumPy: the network may not be better in J."""
    x = approximation.TRAINED_ON.ravel()
    y = approximation.TARGETS["kinked"](x)
    costs = []
    for bend in np.linspace(0, 1, 101):
        for side in (np.maximum(x - bend, 0), np.maximum(bend - x, 0)):
            A = np.column_stack([np.ones_like(x), side])
            costs.append(0.5 * np.mean((A @ np.linalg.lstsq(A, y)[0] - y) ** 2))
    found = [approximation.fit(approximation.TARGETS["kinked"], "relu", 1, seed, 300).cost for seed in range(8)]
    assert min(found) == pytest.approx(min(costs), rel=1e-2)
    assert min(found) > 0.99 * min(costs)


def test_the_picture_holds_targets_fits_and_errors(result):
    smooth, smooth_errors, kinked, kinked_errors = (result.figure.axes[i] for i in (0, 2, 1, 3))
    for ax, name in ((smooth, "smooth"), (kinked, "kinked")):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("$x$", "output")
        target, *fits = ax.lines
        np.testing.assert_allclose(
            target.get_ydata(), approximation.TARGETS[name](approximation.MEASURED_ON.ravel())[:, None].ravel()
        )
        errors = [np.abs(line.get_ydata() - target.get_ydata()).max() for line in fits]
        assert errors[0] > errors[-1]
    for ax in (smooth_errors, kinked_errors):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        assert ax.get_xlabel() == "hidden units"
        assert [list(line.get_xdata()) for line in ax.lines] == [[1, 4, 16]] * 2
