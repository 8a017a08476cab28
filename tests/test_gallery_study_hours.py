"""The experiment `study_hours`: its figures, its picture, and the same network written out for SciPy's BFGS."""

import numpy as np
import pytest
from scipy import optimize, special

from glassnet.gallery import study_hours


@pytest.fixture(scope="module")
def result():
    return study_hours.run(quick=True)


def J_written_out(theta):
    W1, W2 = theta[:6].reshape(2, 3), theta[6:].reshape(3, 1)
    e = study_hours.Y - special.expit(special.expit(study_hours.X @ W1) @ W2)
    return 0.5 * float((e**2).sum())


def test_the_quick_run_agrees(result):
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert len(result.notes) == 3


@pytest.mark.slow
def test_the_full_run_agrees():
    result = study_hours.run()
    assert result.agrees, [row for row in result.rows if row.agrees is False]


def test_the_cost_is_half_the_sum_of_squares():
    theta = study_hours.NET.init(rng=7)
    assert study_hours.SUM.value(theta, study_hours.X, study_hours.Y) == pytest.approx(J_written_out(theta), rel=1e-13)


@pytest.mark.parametrize("seed", range(3))
def test_scipy_ends_in_the_same_minimum_without_our_gradient(seed):
    """One start in the global and two in the local minimum; SciPy measures the gradient by differences."""
    ended = optimize.minimize(J_written_out, study_hours.NET.init(rng=seed), method="BFGS", options={"gtol": 1e-6})
    expected = 0.0 if seed == 0 else study_hours.LOCAL_MINIMUM
    assert ended.fun == pytest.approx(expected, abs=1e-6)


def test_the_picture_holds_the_gradient_the_runs_and_the_penalties(result):
    matrix, line, bfgs, penalty = result.figure.axes
    cells = np.array([float(text.get_text()) for text in matrix.texts]).reshape(3, 3)
    np.testing.assert_allclose(matrix.images[0].get_array(), np.abs(cells), atol=1e-4)
    measured = optimize.approx_fprime(study_hours.NET.init(rng=0), J_written_out, 1e-7)
    np.testing.assert_allclose(cells[:2].ravel(), measured[:6], atol=1e-4)
    np.testing.assert_allclose(cells[2], measured[6:], atol=1e-4)

    (curve, start) = line.lines
    assert np.all(np.diff(curve.get_ydata()) > 0)
    assert start.get_ydata()[0] == pytest.approx(J_written_out(study_hours.NET.init(rng=0)))

    *runs, _ = bfgs.lines
    assert len(runs) == 5
    assert bfgs.get_yscale() == "log"
    assert all(np.all(np.diff(run.get_ydata()) <= 0) for run in runs)
    training, held_out = (drawn.get_ydata() for drawn in penalty.lines[:2])
    assert len(training) == len(held_out) == len(study_hours.PENALTIES)
    assert np.all(held_out[:3] > training[:3])
    assert all(ax.get_xlabel() and ax.get_ylabel() for ax in (line, bfgs, penalty))
