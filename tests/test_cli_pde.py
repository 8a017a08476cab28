"""`glassnet pde`: the list, one run with its picture, how runs end, and what is answered to wrong input."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cli_runs import Run, run, run_with_report
from glassnet import pde
from glassnet.cli.equations import draw
from glassnet.insight import pictures

__all__ = ["run", "run_with_report"]  # fixtures

SHORT = "pde discount --iterations 40 --steps 5"


def test_every_equation_is_listed_with_its_value(run: Run) -> None:
    code, out, _ = run("pde")
    assert code == 0
    for name in pde.EQUATIONS:
        known = pde.get(name).known
        assert known is not None
        assert re.search(rf"^{name} .* {known:.6g} ", out, re.MULTILINE)


def test_one_equation_prints_ours_beside_the_reference_and_draws(run: Run) -> None:
    code, out, err = run(f"{SHORT} --seeds 2 --save pictures")
    solution = pde.solve("discount", iterations=40, steps=5, seeds=2)
    assert code == 0
    assert re.search(r"iteration +40/40  u0 [\d.]+  loss [\d.]+  about 0 s left", err)
    assert f"u(0, x0)   {solution.value:.5f} ± {solution.standard_error:.5f} (standard error of 2 seeds)" in out
    assert f"known      {solution.known:.8g}" in out
    assert f"{solution.relative_error:.2%} off" in out
    assert "completed after 40 iterations" in out
    assert Path("pictures/discount.png").read_bytes().startswith(b"\x89PNG")


def test_dimensions_and_dtype_are_passed_on(run: Run) -> None:
    code, out, err = run("pde hjb --dim 3 --steps 4 --iterations 3 --seeds 1 --dtype float32 --seed 5 --other-steps 0")
    assert code == 0
    assert "d = 3, T = 1, 4 time steps; 1 seed, 3 iterations" in out
    assert "(one seed)" in out
    assert "extrapolated" not in out
    assert "once more" not in err
    assert f"{pde.solve('hjb', dim=3, steps=4, iterations=3, seed=5, dtype=np.float32).value:.5f}" in out


def test_bounds_are_looked_at(run: Run) -> None:
    _, out, _ = run("pde default_risk --steps 2 --iterations 1 --seeds 1")
    assert "bounds     55.735 to 59.181: OUTSIDE" in out


def test_the_error_of_time_steps_is_said(run: Run) -> None:
    code, out, err = run(f"{SHORT} --seeds 2")
    solution = pde.solve("discount", iterations=40, steps=5, seeds=2, other_steps=2)
    first, second = err.split("once more with 2 time steps, for the error of 5 (--other-steps 0 leaves it out)\n")
    assert all(re.search(r"iteration +40/40", part) for part in (first, second))
    assert (code, solution.other is not None) == (0, True)
    assert f"the error of 5 is about {solution.step_error:.5f}" in out
    assert f"extrapolated to no time step: {solution.extrapolated.mean():.5f}" in out


@pytest.mark.parametrize(
    ("stopping", "code", "words"),
    [
        ({"callbacks": [lambda seen: _interrupt(seen.iteration == 7)]}, 130, "interrupted after 7 of 40"),
        ({"learning_rate": 1e200}, 1, "diverged"),
    ],
)
def test_a_run_cut_short_shows_what_it_has(
    run: Run, monkeypatch: pytest.MonkeyPatch, stopping: dict[str, Any], code: int, words: str
) -> None:
    solve: Callable[..., Any] = pde.solve
    monkeypatch.setattr(pde, "solve", lambda equation, **options: solve(equation, **(options | stopping)))
    ended, out, _ = run(f"{SHORT} --seeds 2 --save p")
    assert ended == code
    assert words in out
    assert "nan" not in out.lower()
    assert Path("p/discount.png").exists()


def _interrupt(now: bool) -> None:
    if now:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("pde hjp", "did you mean 'hjb'?"),
        ("pde hjb --dim 0", "--dim must be"),
        ("pde hjb --other-steps -3", "--other-steps must be"),
        ("pde hjb --other-steps 20", "--other-steps must be another number"),
        ("pde hjb --dim 99999999999999999999", "--dim must be at most 1,000,000"),
        ("pde hjb --seeds 99999999999", "--seeds must be at most 1,000,000"),
        ("pde hjb --dim 100000", "the networks of hjb must be of at most 1,000,000,000 weights"),
        ("pde hjb --steps -3", "--steps must be"),
        ("pde hjb --seeds many", "expected a whole number"),
        ("pde hjb --dtype half", "--dtype must be float32 or float64"),
        ("pde hjb --save file", "--save must be"),
    ],
)
def test_wrong_input_gets_one_line(run: Run, command: str, words: str) -> None:
    Path("file").write_text("")
    code, _, err = run(command)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1
    assert [path.name for path in Path().iterdir()] == ["file"]


def test_the_picture_shows_the_history_and_the_known_value() -> None:
    solution = pde.solve("discount", iterations=30, steps=3, seeds=3)
    value, loss = draw(solution).axes
    np.testing.assert_array_equal(value.lines[0].get_ydata(), np.median(solution.u0, axis=1))
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), np.median(solution.losses, axis=1))
    assert set(value.lines[1].get_ydata()) == {solution.known}
    assert loss.get_yscale() == "log"


def test_a_picture_of_histories_that_do_not_fit_is_refused() -> None:
    _, axes = pictures.grid_of_axes(1, 2)
    with pytest.raises(ValueError, match=r"both \(iterations, runs\)"):
        pictures.convergence(axes[0], axes[1], np.zeros((3, 2)), np.zeros((2, 2)))
