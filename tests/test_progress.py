"""progress.py: plain lines in a file, one live line on a terminal."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest

import glassnet as gn
from callback_runs import LINE, X, Y, fit, record
from glassnet import Progress

SCORES = {"validation_loss": 0.25, "validation_accuracy": 0.9}


def test_progress_prints_about_ten_plain_lines(capsys: pytest.CaptureFixture[str]) -> None:
    watcher = Progress().start()
    for epoch in range(1, 101):
        watcher.after_epoch(record(epoch, 0.5, seconds=2.0 * epoch, **SCORES))
    watcher.at_end()
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert len(lines) == 11
    assert lines[0].split()[:2] == ["epoch", "1/100"]
    assert "loss 0.5  validation loss 0.25  validation accuracy 0.9  about 198.0 s left" in lines[0]
    assert "100/100" in lines[-1]
    assert "about 0.0 s left" in lines[-1]


def test_progress_shows_what_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    Progress(show=("validation_accuracy",)).start().after_epoch(record(1, 0.5, **SCORES))
    err = capsys.readouterr().err
    assert "validation accuracy 0.9" in err
    assert "validation loss" not in err


def test_progress_in_a_short_run(capsys: pytest.CaptureFixture[str]) -> None:
    fit(callbacks=[Progress()], epochs=3)
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_progress_of_a_solver(capsys: pytest.CaptureFixture[str]) -> None:
    gn.minimize(LINE, np.zeros(2), X, Y, callbacks=[Progress()])
    assert "loss" in capsys.readouterr().err


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_live_line_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    for name, value in (("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    run = fit(callbacks=[Progress()], epochs=25, validation=(X, Y))
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", terminal.getvalue())
    assert "25/25" in shown
    assert f"loss {run.loss:.4g}  validation loss {run.history['validation_loss'][-1]:.4g}" in shown
    assert "\x1b[?25l" in terminal.getvalue()
    assert terminal.getvalue().rstrip("\n").endswith("\x1b[?25h"), "the cursor must come back"


def test_progress_shows_that_code_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the first epoch alone: what is compiled later takes no time to speak of."""
    monkeypatch.setattr("glassnet.progress.is_compiling", lambda: True)
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    for name, value in (("TERM", "xterm"), ("COLUMNS", "200")):
        monkeypatch.setenv(name, value)
    watcher = Progress().start()
    assert "compiling, before the first epoch" in terminal.getvalue()
    terminal.truncate(0)
    watcher.after_epoch(record(1, 0.5))
    watcher.at_end()
    assert "compiling" not in terminal.getvalue()
    assert "loss 0.5" in terminal.getvalue()


@pytest.mark.parametrize(("columns", "bar"), [(60, False), (90, True)])
def test_a_narrow_terminal_shows_the_numbers_without_a_bar(
    columns: int, bar: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stderr", terminal := Terminal())
    for name, value in (("TERM", "xterm"), ("COLUMNS", str(columns))):
        monkeypatch.setenv(name, value)
    watcher = Progress(show=("validation_accuracy",)).start()
    watcher.after_epoch(record(7, 0.2006, **SCORES))
    watcher.at_end()
    assert "loss 0.2006  validation accuracy 0.9" in terminal.getvalue()
    assert ("━" in terminal.getvalue()) == bar
