"""Grid: the map of rate and penalty agrees with the published one, and every lost network says why."""

import numpy as np
import pytest

from glassnet.gallery import digits, grid
from glassnet.gallery.experiment import Experiment


@pytest.fixture(scope="module")
def quick() -> Experiment:
    return grid.run(quick=True)


def test_quick_run_agrees(quick):
    assert quick.agrees, [row for row in quick.rows if row.agrees is False]


def test_picture_holds_the_data(quick):
    training, test = quick.figure.axes
    for ax in (training, test):
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("learning rate", "penalty lambda")
        assert [label.get_text() for label in ax.get_xticklabels()] == ["0.0001", "0.01", "1"]
        texts = [text.get_text() for text in ax.texts]
        assert len(texts) == 9
        assert all(text.splitlines()[1] in grid.REASONS for text in texts[2::3])  # the column of rate 1
    cells = np.asarray(test.images[0].get_array())
    assert f"{cells.max():.4g}" == next(row.ours for row in quick.rows if row.name == "highest test accuracy, %")
    fit = digits.fit(0, rate=1e-4, penalty=1e-2)
    assert cells[1, 0] == pytest.approx(fit.test, abs=0.3)  # one image in 360, for another order of summing


def test_of_equal_cells_the_nearest_to_the_published_one_is_the_best():
    values = (1e-4, 1e-2, 1.0)
    cells = np.full((3, 3), 50.0)
    cells[0, 1] = cells[1, 1] = 95.0
    assert grid.best_cell(cells, values) == (1, 1)
    cells[0, 1] += 100 / 360
    assert grid.best_cell(cells, values) == (0, 1), "one image is a difference"
    cells[2, 0] = 99.0
    assert grid.best_cell(cells, values) == (2, 0)


def test_each_way_of_being_lost_has_its_letter():
    assert grid.lost(digits.fit(0, rate=0.01, penalty=0.1, epochs=5)) == ""
    assert grid.lost(digits.fit(0, rate=10.0, penalty=10.0, epochs=5)) == "D"
    assert grid.lost(digits.fit(0, rate=1.0, penalty=1e-5, epochs=20)) == "S"
    assert grid.lost(digits.fit(0, rate=0.1, penalty=10.0)) == "W"


@pytest.mark.slow
def test_full_run_agrees():
    result = grid.run(seed=0)
    assert result.agrees, [row for row in result.rows if row.agrees is False]
