"""The arguments of the command line, and the folders that it reads: in this process, a few in one of their own."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys
import tempfile
import warnings
from functools import cache
from pathlib import Path

import numpy as np

from benchmarks.fuzz_doors.cli_words import line
from benchmarks.fuzz_doors.judging import damaged
from glassnet.cli import main

TABLE = "size,city,price\n" + "".join(f"{i},{'ABC'[i % 3]},{i * 2 + i % 5}\n" for i in range(24))
HOME = "here"
"""Where the command runs: a folder in the case's folder, so that what it writes beside its own is seen."""
DEFAULTS = ("runs", "gallery", "pde")
"""The folders that commands write into where none is named."""
OWN_PROCESS = 0.02
"""The share of the cases that start a process, which takes seconds."""
COMMANDS = ("fit", "predict", "show", "gallery", "search", "export", "doctor", "pde")


def case(rng: np.random.Generator, folder: Path) -> str:
    return judged(rng, folder, line(rng), rng.random() < OWN_PROCESS)


def judged(rng: np.random.Generator, folder: Path, words: list[str], own_process: bool = False) -> str:
    """Run a command beside a table and a run (seldom damaged); demand what every command must keep."""
    home = folder / HOME
    furnish(rng, home)
    before = state(folder)
    can_start = own_process and not any("\0" in word for word in words)
    code, said = started(words, home) if can_start else run(words, home)
    assert code in (0, 1, 2, 130), f"exit code {code} of {words}: {said[-600:]}"
    assert "Traceback" not in said, said
    if code == 2 and words and not {"--help", "-h"} & set(words):
        assert said.count("glassnet: ") >= 1 or words[0] not in COMMANDS, said
        assert state(folder) == before, f"files that nobody asked for, after {words}"
    new = {path.relative_to(folder) for path in state(folder).keys() - before.keys()}
    assert new <= {path for path in new if is_asked_for(path, words)}, f"{words} wrote {sorted(map(str, new))[:5]}"
    return "right" if code in (0, 1) else "refused"


def furnish(rng: np.random.Generator, home: Path) -> None:
    """Write a table, bytes that are none, a run, and a run whose files say something else."""
    home.mkdir(parents=True)
    (home / "t.csv").write_text(TABLE)
    (home / "bad.csv").write_bytes(rng.bytes(40))
    for name in ("o", "hurt"):
        for place, content in whole_run().items():
            (home / name / place).parent.mkdir(parents=True, exist_ok=True)
            (home / name / place).write_bytes(content)
    place = sorted(whole_run())[int(rng.integers(len(whole_run())))]
    hurt = home / "hurt" / place
    if rng.random() < 0.2:
        hurt.unlink()
    else:
        hurt.write_bytes(damaged(rng, hurt.read_bytes()))


@cache
def whole_run() -> dict[str, bytes]:
    """Return the files of a run, made once."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "t.csv").write_text(TABLE)
        code, said = run(["fit", "t.csv", "--hidden", "3", "--epochs", "2", "--engine", "numpy", "--out", "o"], home)
        assert code in (0, 1), said
        return {str(path.relative_to(home / "o")): path.read_bytes() for path in (home / "o").rglob("*.*")}


def state(folder: Path) -> dict[Path, tuple[int, int]]:
    """Return what lies in a folder: size and time of change of each file."""
    return {
        path: (path.lstat().st_size, path.lstat().st_mtime_ns) if path.is_file() else (0, 0)
        for path in folder.rglob("*")
    }


def is_asked_for(path: Path, words: list[str]) -> bool:
    """Whether a word names the path, a folder that holds it, or one in it; or a command would write it unasked."""
    parts = [part for word in words for part in (word, word.partition("=")[2])]
    named = [os.path.normpath(Path(HOME, part)) for part in parts if part and len(part) < 200 and "\0" not in part]
    asked = [*map(Path, named), *(Path(HOME, name) for name in DEFAULTS)]
    return any(path == place or place in path.parents or path in place.parents for place in asked)


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """Run the command in the folder; return exit code, and what it said."""
    out, err = io.StringIO(), io.StringIO()
    here, arguments = Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["glassnet", *words]
    code: object = None
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            main()
    except SystemExit as ended:
        code = ended.code
    finally:
        os.chdir(here)
        sys.argv = arguments
    return int(code or 0), err.getvalue()  # type: ignore[call-overload]


def started(words: list[str], folder: Path) -> tuple[int, str]:
    """Run the command in a process of its own."""
    ended = subprocess.run(
        [sys.executable, "-m", "glassnet", *words], cwd=folder, capture_output=True, stdin=subprocess.DEVNULL
    )
    return ended.returncode, ended.stderr.decode("utf-8", "replace")
