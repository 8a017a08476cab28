"""What the tests of the command line share."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from glassnet.cli import main

Run = Callable[[str], tuple[int, str, str]]


@pytest.fixture
def run_with_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `glassnet <line>` in an empty folder: exit code, what it printed, what it said."""
    monkeypatch.chdir(tmp_path)

    def command(line: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["glassnet", *shlex.split(line)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out, printed.err

    return command


@pytest.fixture
def run(run_with_report: Run, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return the same without the pictures of the report, which take most of the time."""
    monkeypatch.setattr("glassnet.cli.run_folder.render", lambda report: report.headline)
    return run_with_report


def refused(answer: tuple[int, str, str], *parts: str) -> None:
    """Demand exit code 2, nothing printed, and one line with those parts."""
    code, out, err = answer
    assert (code, out) == (2, "")
    assert err.startswith("glassnet: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err


def table(**more: Any) -> pd.DataFrame:
    """Return 40 rows with a number, a category, a date and missing values."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=40)
    frame = pd.DataFrame({"size": x, "city": rng.choice(["Bonn", "Jena", "Kiel"], 40)})
    frame["day"] = pd.date_range("2024-01-01", periods=40).strftime("%Y-%m-%d")
    frame.loc[3:5, "size"] = np.nan
    frame.loc[7, "city"] = None
    return frame.assign(**(more or {"price": 3 * x + rng.normal(size=40)}))
