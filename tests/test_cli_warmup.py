"""`glassnet warmup`."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from glassnet.cli import warming_up

pytest.importorskip("numba")


def test_it_compiles_and_says_how_long_it_took() -> None:
    code = "import sys; sys.argv = ['glassnet', 'warmup']; from glassnet.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert re.search(r"Everything is compiled and kept on disk: [\d.]+ s", done.stdout)
    assert "glassnet warmup --pde compiles that, too" in done.stdout
    assert not done.stderr


def test_equations_are_an_option(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    asked: list[bool] = []

    def warm_up(*, equations: bool) -> float:
        asked.append(equations)
        return 1.5

    monkeypatch.setattr(warming_up, "warm_up", warm_up)
    warming_up.warm_up_and_say(True)
    assert asked == [True]
    assert "1.5 s" in capsys.readouterr().out
