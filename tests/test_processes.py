"""Threads and processes: the same results to the last bit, no one who waits for ever, no more threads than cores.

Each scenario of process_runs.py is a program of its own with a limit of seconds; one that hangs has failed.
joblib's and Dask's workers that fit estimators are in test_estimators_backends.py.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("numba")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and counts threads in /proc/self/task")
PROGRAM = Path(__file__).with_name("process_runs.py")
SECONDS = 240
"""A scenario takes about ten."""


def ended(command: list[str], seconds: float = SECONDS) -> str:
    """Return what a program printed; end it and all that it has started where it takes longer."""
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        out, err = process.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        pytest.fail(f"{' '.join(command[1:])} was still running after {seconds:g} s")
    assert process.returncode == 0, err
    return out


def scenario(*words: str) -> list[Any]:
    found: list[Any] = json.loads(ended([sys.executable, str(PROGRAM), *words]))
    return found


@pytest.fixture(scope="module")
def known() -> dict[str, str]:
    (found,) = scenario("alone")
    assert len(set(found.values())) == len(found)
    return dict(found)


@pytest.mark.parametrize(
    "words",
    [
        ("threads",),  # found that of two threads that loaded MKL at once, one took SciPy's BLAS
        ("pool", "fork"),
        ("middle",),
        pytest.param(("pool", "spawn"), marks=pytest.mark.slow),
        pytest.param(("pool", "forkserver"), marks=pytest.mark.slow),
        pytest.param(("joblib", "loky"), marks=pytest.mark.slow),
        pytest.param(("joblib", "threading"), marks=pytest.mark.slow),
    ],
    ids=" ".join,
)
def test_the_same_bits_everywhere(words: tuple[str, ...], known: dict[str, str]) -> None:
    """pytest -m slow tests/test_processes.py runs the others."""
    found = scenario(*words)
    assert len(found) >= 3
    assert found == [known] * len(found)


def test_a_child_does_not_wait_for_threads_that_it_lacks(known: dict[str, str]) -> None:
    """Forked while another thread holds BLAS to one thread; it is free again after the child's first fit."""
    assert scenario("held") == [known, {"BLAS is free in the child": "True"}]


def test_one_program_that_hangs_is_a_failure() -> None:
    with pytest.raises(pytest.fail.Exception, match="still running after"):
        ended([sys.executable, "-c", "import threading; threading.Event().wait()"], 0.5)


@pytest.mark.parametrize("callers", ["1", pytest.param("4", marks=pytest.mark.slow)])
def test_runs_at_once_share_the_cores(callers: str) -> None:
    """Helpers are threads beside those that call; BLAS may start its own pool of `allowed` when it is freed."""
    helpers, allowed = scenario("counted", callers)
    assert helpers <= allowed


@pytest.mark.slow
def test_too_many_threads_are_seen() -> None:
    """The planted fault: each of four callers asks for two threads, whatever the others do."""
    helpers, _ = scenario("counted", "4", "2")
    assert helpers >= 4


@pytest.mark.slow
def test_workers_of_joblib_share_the_cores() -> None:
    cores = len(os.sched_getaffinity(0))
    found = scenario("allowed")
    assert len(found) == 2
    assert all(allowed <= max(1, cores // 2) and helpers < max(2, allowed) for allowed, helpers in found)
    if cores > 1:  # the planted fault: workers that are told to take two threads each
        assert all(allowed == 2 for allowed, _ in scenario("allowed", "2"))


@pytest.mark.slow
def test_compiling_ahead_needs_no_main_guard(tmp_path: Path) -> None:
    """A program without `if __name__ == "__main__"`, which a process of multiprocessing would run once more."""
    program = tmp_path / "program.py"
    program.write_text("from glassnet.warming import warm_up\nprint(warm_up() > 0)\n")
    assert ended([sys.executable, str(program)]).split() == ["True"]
