"""A network through time: the table, the picture, and the exact value of a few time steps."""

from __future__ import annotations

import numpy as np
import pytest

from glassnet.gallery import pde as lesson
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def result() -> Experiment:
    return lesson.run(quick=True)


def test_quick_run_agrees(result: Experiment) -> None:
    assert result.agrees, [row for row in result.rows if row.agrees is False]
    assert sum(row.agrees is True for row in result.rows) == 2 + len(lesson.STEPS)


def test_the_exact_value_in_steps_is_that_of_the_recursion_on_many_paths() -> None:
    """Solve u_N = g for u_0 on paths, with z = 0: the mean of g divided by (1 + dt)^N."""
    X = np.random.default_rng(0).standard_normal(400_000)
    assert lesson.in_steps(4) == pytest.approx((1 + np.cos(X)).mean() / 1.25**4, rel=3e-3)


def test_picture_shows_the_known_value_and_the_errors(result: Experiment) -> None:
    value, loss, order = result.figure.axes
    assert set(value.lines[1].get_ydata()) == {2.0}
    assert loss.get_yscale() == "log"
    errors = order.lines[1].get_ydata()
    assert len(errors) == len(lesson.STEPS)
    assert np.all(np.diff(errors) < 0)
