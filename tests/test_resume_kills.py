"""Resuming after kills: see benchmarks/kills.py."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from benchmarks import kills

import glassnet as gn


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_kills(tmp_path: Path) -> None:
    """From outside, in the middle of a write, before the renaming: see benchmarks/kills.py."""
    killed = kills.one(("numba", "Adam", 0), 3, np.random.default_rng(0), tmp_path)
    assert killed.equal
    assert killed.ways == kills.WAYS
    assert killed.unfinished >= 2


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_run_that_starts_anew_after_a_kill_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison itself: the killed run is given other data."""
    start = kills.process
    monkeypatch.setattr(
        kills, "process", lambda folder, case, *more: start(folder, (*case[:2], int(not folder)), *more)
    )
    assert not kills.one(("numpy", "Adam", 2), 1, np.random.default_rng(2), tmp_path, first=2).equal


class Ended:
    """A process that has ended before it could be killed."""

    def __enter__(self) -> Ended:
        return self

    def __exit__(self, *error: object) -> None: ...

    def wait(self, seconds: float) -> int:
        return 0


def test_a_run_too_fast_to_be_killed_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once it has ended nothing can kill it: waiting for that would never end."""

    def process(folder: Path | None, case: object, result: Path, way: str, number: int) -> Ended:
        result.write_text("{}")
        return Ended()

    monkeypatch.setattr(kills, "process", process)
    with pytest.raises(RuntimeError, match="ended before they could be killed 3 times"):
        kills.one(("numpy", "Adam", 0), 3, np.random.default_rng(0), tmp_path)


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_many_kills() -> None:
    command = [sys.executable, "-m", "benchmarks.kills", "--times", "30"]
    source = str(Path(gn.__file__).parents[1])
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": source}, capture_output=True, text=True, check=True)
    assert "30 of 30 kills resumed bit for bit" in done.stdout
