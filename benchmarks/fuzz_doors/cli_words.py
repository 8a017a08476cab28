"""The words of a command line: options of each command, with values that are right, odd and hostile."""

from __future__ import annotations

import numpy as np

from benchmarks.fuzz_doors.judging import pick, text

NUMBERS = [
    "0", "1", "2", "-1", "1.5", "nan", "inf", "1e400", "", " ", "x", "99999999999999999999", "0x3", "--", "-", "1,2",
    "²", "1_0", "٣", "+2", "1e-320", "-0.0",
]  # fmt: skip
PLACES = ["n", "a/b/c", "", ".", "..", "t.csv", "t.csv/x", "\0", "x" * 300, "/proc/nothing/x", "n\n", "o", "~"]
SOURCES = [
    "t.csv", "t.csv", "t.csv", "xor", "no", "no.csv", "", ".", "/", "t.csv/x", "\0", "-", "bad.csv", "x" * 300,
    "../../etc/passwd.csv", "o/report.html", "/dev/null", "file://t.csv",
]  # fmt: skip
RUNS = [
    "o",
    "o",
    "o",
    "hurt",
    "hurt",
    "hurt",
    "hurt",
    "no",
    "",
    ".",
    "..",
    "/",
    "t.csv",
    "o/",
    "o/model.skops",
    "\0",
    "x" * 300,
]
LISTS = ["1", "2,3", "", ",", "1,,2", "1;2", "x", "-1", "0", "nan", "1,1", "1e400", "9" * 30, " 1, 2", "1.5"]
FIT = {
    "--target": ["price", "city", "size", "no", "", "-"],
    "--task": ["classification", "regression", "cooking", ""],
    "--hidden": ["3", "3,2", "0", "-3", "0,0", "3,,2", "1e3", "9999999", "x", "", ",", "٣"],
    "--activation": ["tanh", "relu", "softmax", "no", ""],
    "--solver": ["adam", "sgd", "lbfgs", "lm", "br", "rmsprop", "no", ""],
    "--learning-rate": NUMBERS,
    "--epochs": ["1", "2", "3", *NUMBERS],
    "--batch-size": ["1", "7", *NUMBERS],
    "--l2": NUMBERS,
    "--test-size": ["0.2", "0.5", *NUMBERS],
    "--seed": ["0", "7", *NUMBERS],
    "--out": PLACES,
    "--engine": ["numpy", "numpy", "numba", "auto", "no"],
    "--resume": ["o", "o.unfinished", "hurt", "", ".", "/", "..", "t.csv", "\0", "nowhere"],
}
SEARCH = {
    **{name: FIT[name] for name in ("--target", "--task", "--solver", "--epochs", "--test-size", "--seed", "--out")},
    **dict.fromkeys(("--width", "--depth", "--learning-rate", "--l2", "--batch-size"), LISTS),
    "--activation": ["relu", "tanh,relu", "no", "", ","],
    "--cv": ["2", "3", *NUMBERS],
}
PDE = {
    "--dim": ["1", "3", *NUMBERS],
    "--steps": ["2", "4", *NUMBERS],
    "--seeds": ["1", "2", *NUMBERS],
    "--iterations": ["1", "2", *NUMBERS],
    "--other-steps": ["0", "2", *NUMBERS],
    "--seed": ["0", *NUMBERS],
    "--dtype": ["float32", "float64", "int8", ""],
    "--save": PLACES,
}
SMALL_FIT = {"--epochs": "1"}
SMALL_SEARCH = {"--epochs": "1", "--width": "2", "--learning-rate": "0.01", "--l2": "0.1", "--cv": "2"}
SMALL_PDE = {"--dim": "2", "--steps": "2", "--seeds": "1", "--iterations": "1"}
"""What keeps the work of a command small."""
EQUATIONS = ["hjb", "heat", "allen-cahn", "black-scholes", "no", "", "HJB", "\0"]


def line(rng: np.random.Generator) -> list[str]:
    """Return the words of one command line, most of them nearly right."""
    often = ("fit",) * 5 + ("predict", "show", "export") * 3 + ("doctor", "search") * 2
    command = pick(rng, (*often, "pde", "gallery", "warmup", text(rng), ""))
    words = [command, *WORDS[command](rng)] if command in WORDS else [command, *strange(rng, 3)]
    if rng.random() < 0.1:
        odd = pick(
            rng, (text(rng), "--", "--no", "-h", "--help", "--epochs", "-o", "--version", "--epochs=2", "--out=\0")
        )
        words.insert(int(rng.integers(len(words) + 1)), odd)
    if command == "warmup" and len(words) == 1:
        words.append("--no")  # to compile all there is takes longer than a case may
    return words


def fit(rng: np.random.Generator) -> list[str]:
    return [pick(rng, SOURCES), *options(rng, FIT, SMALL_FIT)]


def search(rng: np.random.Generator) -> list[str]:
    return [pick(rng, SOURCES), *options(rng, SEARCH, SMALL_SEARCH)]


def pde(rng: np.random.Generator) -> list[str]:
    return [pick(rng, EQUATIONS), *options(rng, PDE, SMALL_PDE)]


def predict(rng: np.random.Generator) -> list[str]:
    words = [pick(rng, RUNS), pick(rng, SOURCES)]
    if rng.random() < 0.3:
        words += [pick(rng, ("-o", "--output")), pick(rng, PLACES)]
    return words[: int(rng.integers(1, 9))]


def show(rng: np.random.Generator) -> list[str]:
    words = [pick(rng, RUNS)]
    if rng.random() < 0.15:
        words.append("--verify")
    if rng.random() < 0.15:
        words += ["--data", pick(rng, SOURCES)]
    return words


def export(rng: np.random.Generator) -> list[str]:
    words = [pick(rng, RUNS)]
    if rng.random() < 0.7:
        words += ["--format", pick(rng, ("c", "numpy", "onnx", "onnx", "no", "", "C"))]
    if rng.random() < 0.5:
        words += ["-o", pick(rng, (*PLACES, "m.c", "m.py", "m.onnx", "m.txt"))]
    return words


def doctor(rng: np.random.Generator) -> list[str]:
    words = [pick(rng, RUNS)]
    if rng.random() < 0.2:
        words += ["--data", pick(rng, SOURCES)]
    if rng.random() < 0.1:
        words.append("--try")
    return words


def gallery(rng: np.random.Generator) -> list[str]:
    return [pick(rng, ("", "no", text(rng), "--seed", "--save", "..", "gate", "--seed=x"))]


def strange(rng: np.random.Generator, most: int) -> list[str]:
    return [text(rng) for _ in range(int(rng.integers(most)))]


def options(rng: np.random.Generator, table: dict[str, list[str]], small: dict[str, str]) -> list[str]:
    """Return up to four options, and those that keep the work small where they are not among them."""
    chosen = {name: pick(rng, table[name]) for name in rng.permutation(list(table))[: int(rng.integers(5))].tolist()}
    return [word for pair in {**small, **chosen}.items() for word in pair]


WORDS = {"fit": fit, "search": search, "pde": pde, "predict": predict, "show": show, "export": export, "doctor": doctor,
         "gallery": gallery, "warmup": lambda rng: strange(rng, 2)}  # fmt: skip
