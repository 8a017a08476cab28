"""`glassnet search`: settings, standings, the winner as a run, and what is refused."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import KFold, cross_val_score

import cli_runs
from cli_runs import Run, table
from glassnet.cli import searching
from glassnet.cli.fitting import make_model, split_rows
from glassnet.cli.records import FitConfig
from glassnet.cli.search_space import SearchConfig, axis_value, parse_list, varying
from glassnet.cli.sources import open_source
from glassnet.cli.standings import Standings
from glassnet.errors import GlassnetError

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


def standings(scores: dict[float, list[float]], folds: int = 2) -> Standings:
    """Return the standings of settings that differ in l2."""
    made = Standings([FitConfig("x.csv", l2=l2) for l2 in scores], folds, "accuracy")
    for number, line in enumerate(scores.values()):
        for score in line:
            made.add(number, score)
    return made


# ---- the command ---------------------------------------------------------------------------------------------------


def test_the_winner_becomes_a_run_beside_the_standings(run: Run, tmp_path: Path) -> None:
    table().to_csv("houses.csv", index=False)
    code, out, err = run("search houses.csv --width 3,6 --l2 0.001,1000 --solver lbfgs --epochs 20 --cv 3")
    assert code == 0, err
    assert "4 settings x 3 folds of 32 training rows" in out
    assert "12 of 12 fits" in out
    folder = tmp_path / "runs" / "search-houses"
    made = {path.name for path in folder.iterdir()}
    assert {"search.csv", "search.json", "search.png", "model.skops", "report.html", "metrics.json"} <= made
    frame = pd.read_csv(folder / "search.csv")
    assert len(frame) == 4
    assert frame["mean_r2"].is_monotonic_decreasing
    assert frame["l2"].tolist()[:2] == [0.001, 0.001], "a penalty of 1000 leaves the mean alone"
    np.testing.assert_allclose(frame["mean_r2"], frame[["fold_1", "fold_2", "fold_3"]].mean(axis=1))
    facts = json.loads((folder / "search.json").read_text())
    kept = json.loads((folder / "config.json").read_text())
    assert facts["best"]["command"] == kept["command"]
    assert kept["arguments"]["l2"] == 0.001
    assert (folder / "search.png").read_bytes()[:4] == b"\x89PNG"
    assert run(f"predict {folder} houses.csv")[0] == 0


def test_scores_are_those_of_scikit_learns_cross_validation(run: Run, tmp_path: Path) -> None:
    table().to_csv("houses.csv", index=False)
    assert run("search houses.csv --width 4 --l2 0.01,0.1 --solver lbfgs --epochs 15 --cv 4 --seed 3")[0] == 0
    ours = pd.read_csv(tmp_path / "runs" / "search-houses" / "search.csv").set_index("l2")
    source = open_source("houses.csv", None)
    for l2 in (0.01, 0.1):
        setting = FitConfig("houses.csv", hidden=(4,), l2=l2, solver="lbfgs", epochs=15, seed=3)
        part = split_rows(source, setting)
        model = make_model(source, setting, part)
        place = searching._place(model)
        # the penalty is a mean over the rows of a fold's training part: 24 of 32
        model.set_params(**{f"{place}callbacks": None, f"{place}alpha": l2 * 24, f"{place}engine": "numba"})
        with pytest.warns():  # the iterations end before lbfgs has converged
            theirs = cross_val_score(model, part.X, part.y, cv=KFold(4, shuffle=True, random_state=3), scoring="r2")
        np.testing.assert_allclose(sorted(ours.filter(like="fold_").loc[l2]), sorted(theirs), rtol=1e-6)


def test_classes_images_and_one_axis(run: Run, tmp_path: Path) -> None:
    table(pet=["cat", "dog", "[emu]", "cat"] * 10).to_csv("pets.csv", index=False)
    code, out, err = run("search pets.csv --learning-rate 0.01 --l2 0.01,0.1 --epochs 5 --cv 3 --out found")
    assert code == 0, err
    assert "accuracy" in out
    assert (tmp_path / "found" / "search.png").exists()
    assert len(pd.read_csv(tmp_path / "found" / "search.csv")) == 2


def test_rare_classes_take_plain_folds_and_it_is_said(run: Run) -> None:
    table(pet=["cat"] * 36 + ["dog"] * 4).to_csv("pets.csv", index=False)
    code, out, _ = run("search pets.csv --width 2,3 --learning-rate 0.01 --l2 0.01 --epochs 2 --cv 4")
    assert code == 0
    assert "fewer rows than folds" in out


def test_what_was_known_at_an_interrupt_is_kept(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().to_csv("houses.csv", index=False)
    search = searching.search.grid

    def interrupted(*args: object, **options: object) -> None:
        search(*args, **options)
        raise KeyboardInterrupt

    def late(*args: object) -> None:  # a fit that was still running in its thread, and ends now
        warnings.warn("Maximum iterations (3) reached", ConvergenceWarning, stacklevel=1)
        warnings.warn("something else", UserWarning, stacklevel=1)

    monkeypatch.setattr(searching.search, "grid", interrupted)
    monkeypatch.setattr(searching, "print_standings", late)
    warnings.simplefilter("always")
    code, out, err = run("search houses.csv --width 2,3 --l2 0.01 --solver lbfgs --epochs 3 --cv 2")
    folder = tmp_path / "runs" / "search-houses"
    assert code == 130
    assert "standings so far" in out
    assert "Maximum iterations" not in err
    assert "glassnet: note: something else" in err
    assert {path.name for path in folder.iterdir()} == {"search.csv", "search.png", "search.json"}


def test_a_search_in_which_every_fit_fails_says_why(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table().to_csv("houses.csv", index=False)
    values = FitConfig.estimator

    def broken(self: FitConfig, *args: object, **options: object) -> object:
        return values(self, *args, **options).set_params(tol=-1.0)

    monkeypatch.setattr(FitConfig, "estimator", broken)
    monkeypatch.setattr(searching, "VARIED", (*searching.VARIED, "tol"))
    code, _, err = run("search houses.csv --width 2,3 --l2 0.01 --solver lbfgs --epochs 3 --cv 2")
    assert code == 2
    assert "tol" in err
    assert not (tmp_path / "runs").exists()


# ---- bad input -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ("--width 5,x", "--width must be values with commas"),
        ("--width 5,5", "each value once"),
        ("--width 0,5", "--width must be whole numbers of at least 1"),
        ("--depth -1,1", "--depth must be whole numbers of at least 0"),
        ("--depth 101", "at most 100 hidden layers"),
        ("--l2 -1,1", "--l2 must be at least 0"),
        ("--l2 0.1 --learning-rate 0.1", "2 to 10,000 settings"),
        ("--learning-rate 0,1", "--learning-rate must be positive"),
        ("--solver lm --learning-rate 0.1,0.2", "--learning-rate is for rules"),
        ("--activation relu,rele", "rele"),
        ("--cv 1", "at least 2 folds"),
        ("--cv 30", "--cv must leave two rows in each fold"),
        ("--width " + ",".join(map(str, range(1, 1000))), "2 to 10,000 settings"),
    ],
)
def test_wrong_lists_are_named_and_cost_nothing(run: Run, tmp_path: Path, options: str, words: str) -> None:
    table().to_csv("houses.csv", index=False)
    code, _, err = run(f"search houses.csv {options}")
    assert code == 2
    assert words in err
    assert not (tmp_path / "runs").exists()


# ---- settings and standings ----------------------------------------------------------------------------------------


def test_settings_are_every_combination_once() -> None:
    config = SearchConfig(FitConfig("x.csv"), width=(5, 9), depth=(0, 2), learning_rate=(0.1,), l2=(0.0, 1.0))
    settings = config.settings()
    assert [s.hidden for s in settings[::2]] == [(), (5, 5), (9, 9)], "no hidden layer has no width"
    assert varying(settings) == ["l2", "hidden"]
    assert [axis_value(settings[k], "hidden") for k in (0, 2)] == ["none", "5,5"]
    assert len(SearchConfig(FitConfig("x.csv")).settings()) == 16
    assert {s.learning_rate for s in SearchConfig(FitConfig("x.csv", solver="lm")).settings()} == {0.01}


def test_lists_have_commas() -> None:
    assert parse_list("--l2", "0.1, 1", float, "0.1,1") == (0.1, 1.0)
    for text in ("", "1,,2", "1;2"):
        with pytest.raises(GlassnetError, match="--l2"):
            parse_list("--l2", text, float, "0.1,1")


def test_the_best_comes_first_and_the_simplest_within_its_error() -> None:
    made = standings({0.1: [0.9, 0.8], 1.0: [0.88, 0.78], 0.01: [0.2, 0.1], 10.0: [1.0]})
    assert [line.setting.l2 for line in made.ranked] == [0.1, 1.0, 0.01, 10.0], "one fold of two is no result yet"
    assert [line.setting.l2 for line in made.as_good] == [1.0, 0.1], "a larger penalty is simpler"
    assert made.complete[0].error == pytest.approx(np.std([0.9, 0.8], ddof=1) / 2**0.5)
    assert made.progress().startswith("7 of 8 fits")
    assert "left" in made.progress()
    assert made.to_frame()["fold_2"].isna().tolist() == [False, False, False, True]


def test_the_map_holds_the_best_of_each_cell() -> None:
    made = Standings(SearchConfig(FitConfig("x.csv"), width=(5, 9), l2=(0.1, 1.0)).settings(), 1, "accuracy")
    for number in range(len(made.lines)):
        made.add(number, number / 100)
    (ax,) = made.picture().axes
    best = max(line.mean for line in made.lines if line.setting.learning_rate == 0.03 and line.setting.l2 == 1.0)
    cells = np.asarray(ax.images[0].get_array())
    assert cells.shape == (2, 4)
    assert cells[1, 3] == best
    (frame,) = ax.patches  # around the winner
    assert frame.get_center().tolist() == [3, 1]
    assert "best over hidden units" in ax.get_title(loc="left")
