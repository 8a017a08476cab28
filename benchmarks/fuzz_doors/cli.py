"""The arguments of the command line, in this process."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from pathlib import Path

import numpy as np

from benchmarks.fuzz_doors.judging import pick, text
from glassnet.cli import main

TABLE = "size,city,price\n" + "".join(f"{i},{'ABC'[i % 3]},{i * 2 + i % 5}\n" for i in range(24))
NUMBERS = [
    "0",
    "1",
    "2",
    "-1",
    "1.5",
    "nan",
    "inf",
    "1e400",
    "",
    " ",
    "x",
    "99999999999999999999",
    "0x3",
    "--",
    "-",
    "1,2",
    "²",
]
OPTIONS = {
    "--target": ["price", "city", "size", "no", "", "-"],
    "--task": ["classification", "regression", "cooking", ""],
    "--hidden": ["3", "3,2", "0", "-3", "0,0", "3,,2", "1e3", "9999999", "x", "", ",", "٣"],
    "--activation": ["tanh", "relu", "softmax", "no", ""],
    "--solver": ["adam", "sgd", "lbfgs", "lm", "no", ""],
    "--learning-rate": NUMBERS,
    "--epochs": ["1", "2", "3", *NUMBERS],
    "--batch-size": ["1", "7", *NUMBERS],
    "--l2": NUMBERS,
    "--test-size": ["0.2", "0.5", *NUMBERS],
    "--seed": ["0", "7", *NUMBERS],
    "--out": ["o", "a/b/c", "", ".", "..", "t.csv", "t.csv/x", "\0", "x" * 300, "/proc/nothing/x", "o\n"],
    "--engine": ["numpy", "numpy", "numba", "auto", "no"],
    "--resume": ["o", "o.unfinished", "", ".", "/", "..", "t.csv", "\0", "nowhere"],
}
SOURCES = [
    "t.csv",
    "t.csv",
    "t.csv",
    "xor",
    "no",
    "no.csv",
    "",
    ".",
    "/",
    "t.csv/x",
    "\0",
    "-",
    "bad.csv",
    "x" * 300,
    "../../etc/passwd.csv",
]


def case(rng: np.random.Generator, folder: Path) -> str:
    (folder / "t.csv").write_text(TABLE)
    (folder / "bad.csv").write_bytes(rng.bytes(40))
    before = sorted(folder.rglob("*"))
    words = line(rng)
    code, said = run(words, folder)
    assert code in (0, 1, 2, 130), f"exit code {code} of {words}"
    assert "Traceback" not in said, said
    if code == 2 and words and "--help" not in words:
        assert said.count("glassnet: ") >= 1 or not words or words[0] not in ("fit", "predict", "show", "gallery"), said
        assert sorted(folder.rglob("*")) == before, f"files that nobody asked for, after {words}"
    return "right" if code in (0, 1) else "refused"


def line(rng: np.random.Generator) -> list[str]:
    command = pick(rng, ("fit", "fit", "fit", "fit", "predict", "show", "gallery", text(rng), ""))
    if command == "fit":
        words = ["fit", pick(rng, SOURCES)]
        for name in rng.permutation(list(OPTIONS))[: int(rng.integers(5))].tolist():
            words += [name, pick(rng, OPTIONS[name])]
        if "--epochs" not in words:
            words += ["--epochs", "1"]
        if rng.random() < 0.1:
            words.insert(
                int(rng.integers(len(words) + 1)), pick(rng, (text(rng), "--", "--no", "-h", "--help", "--epochs"))
            )
        return words
    if command in ("predict", "show"):
        return [command, *(pick(rng, SOURCES) for _ in range(int(rng.integers(4))))]
    if command == "gallery":
        return ["gallery", pick(rng, ("", "no", text(rng), "--seed", "--save", "..", "gate"))]
    return [command, *(text(rng) for _ in range(int(rng.integers(3))))]


def run(words: list[str], folder: Path) -> tuple[int, str]:
    """Run the command in the folder; return exit code, and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    here, arguments = Path.cwd(), sys.argv
    os.chdir(folder)
    sys.argv = ["glassnet", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), warnings.catch_warnings():
            main()
    except SystemExit as ended:
        code = ended.code
    finally:
        os.chdir(here)
        sys.argv = arguments
    return int(code or 0), err.getvalue()
