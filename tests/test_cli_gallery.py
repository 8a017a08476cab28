"""`glassnet gallery`: the list, one experiment, all in one page, and what is answered to wrong names."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from matplotlib.figure import Figure
from rich.console import Console

from cli_runs import Run, run, run_with_report
from glassnet import gallery
from glassnet.cli.showing_gallery import print_experiment
from glassnet.errors import GlassnetError
from glassnet.gallery import page
from glassnet.gallery.experiment import Experiment, Row, at_least, at_most, between, close, equal, shown

__all__ = ["run", "run_with_report"]  # fixtures


def experiment(*rows: Row) -> Experiment:
    figure = Figure()
    figure.subplots().plot([1, 2])
    return Experiment("A <title>", "Is it so?", rows, figure, ("It is to be seen.",))


def lesson(*rows: Row) -> SimpleNamespace:
    return SimpleNamespace(TITLE="A lesson", QUESTION="Is it so?", run=lambda seed, quick: experiment(*rows))


def test_every_name_is_listed_with_its_question(run: Run) -> None:
    code, out, _ = run("gallery")
    assert code == 0
    for name in gallery.NAMES:
        assert re.search(rf"^{name} ", out, re.MULTILINE)
        assert gallery.get(name).TITLE
        assert gallery.get(name).QUESTION.endswith(("?", "."))


def test_one_experiment_prints_its_table_and_saves_its_picture(run: Run) -> None:
    code, out, err = run("gallery activations --quick --save pictures")
    assert code == 0
    assert "[1/1] activations" in err
    assert "tanh z against" in out
    assert Path("pictures/activations.png").read_bytes().startswith(b"\x89PNG")
    assert not Path("pictures/index.html").exists()


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_figures_are_whole_at_any_width(
    width: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A table that was too wide broke numbers and names in pieces of a few letters."""
    rows = equal("XOR by hand: hidden z", "0 -1, 1 0, 1 0, 2 1", "0 -1, 1 0, 1 0, 2 1"), at_most("reached", 20, 19)
    monkeypatch.setattr("glassnet.cli.showing_gallery.console", lambda: Console(width=width, no_color=True))
    print_experiment("gates", experiment(*rows), 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert any("XOR by hand: hidden z" in line for line in lines)
    assert any("0 -1, 1 0, 1 0, 2 1" in line for line in lines)
    assert max(len(line) for line in lines) <= width
    assert any(line.startswith("figure") for line in lines) == (width >= 80)
    assert sum("NO" in line for line in lines) == 1


def test_all_in_one_self_contained_page(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "get", lambda name: lesson(close("pi", 3.14159, 3.1416, 1e-4)))
    code, out, _ = run("gallery --all --save all")
    assert code == 0
    html = Path("all/index.html").read_text()
    assert html.count("<section id=") == len(gallery.NAMES)
    assert f"{len(gallery.NAMES)} of {len(gallery.NAMES)} agree" in html
    assert "A &lt;title&gt;" in html
    assert not re.search(r'(?:src|href)="(?!data:|#)', html)
    assert "all/index.html" in out


def test_a_figure_that_does_not_agree_costs_the_exit_code(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gallery, "get", lambda name: lesson(close("pi", 3.0, 3.1416, 1e-4)))
    code, out, _ = run("gallery gates --save g")
    assert (code, " NO" in out) == (1, True)


def test_missing_data_cost_the_other_lessons_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(seed: int, quick: bool) -> Experiment:
        raise GlassnetError("mnist was not found.")

    missing = SimpleNamespace(TITLE="Absent", QUESTION="?", run=absent)
    monkeypatch.setattr(gallery, "get", lambda name: missing if name == "mnist" else lesson(shown("t", 1.0)))
    code, out, _ = run("gallery --all --save g")
    assert code == 1
    assert "not run    mnist: mnist was not found." in out
    assert Path("g/index.html").exists()
    code, _, err = run("gallery mnist --save g")
    assert (code, err.count("mnist was not found")) == (2, 1)


@pytest.mark.parametrize(
    ("command", "words"), [("gallery gate", "did you mean 'gates'?"), ("gallery gates --save file", "--save must be")]
)
def test_wrong_input_gets_one_line(run: Run, command: str, words: str) -> None:
    Path("file").write_text("")
    code, _, err = run(command)
    assert code == 2
    assert words in err
    assert len(err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("row", "agrees"),
    [
        (close("x", 1.0, 1.0, 0.0), True), (close("x", float("nan"), 1.0, 9.0), False),
        (at_least("x", 1.0, 1.0), True), (at_least("x", 0.9, 1.0), False), (at_least("x", float("nan"), 0.0), False),
        (at_most("x", 1.0, 1.0), True), (at_most("x", 1.1, 1.0), False), (between("x", 2.0, 1.0, 3.0), True),
        (between("x", 4.0, 1.0, 3.0), False), (equal("x", [1], [1]), True), (equal("x", [1], [2]), False),
        (shown("x", 1.0), None),
    ],
)  # fmt: skip
def test_rows_judge(row: Row, agrees: bool | None) -> None:
    assert row.agrees is agrees
    assert experiment(row).agrees is (agrees is not False)


def test_the_page_names_what_does_not_agree() -> None:
    html = page.render({"one": experiment(close("a<b", 1.0, 2.0, 0.1))})
    assert re.search(r'<td [^>]*class="no">no</td>', html)
    assert "a&lt;b" in html
    assert "0 of 1 agree" in html
