"""What cannot be right is one clear line, exit code 2, and nothing is written."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli_runs
from cli_runs import Run, table
from glassnet import persistence

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def refused(run: Run, folder: Path, line: str, *parts: str) -> None:
    """Demand exit code 2, one line with those parts, nothing else printed, and a folder that is as it was."""
    before = files(folder)
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith("glassnet: ")
    assert err.count("\n") == 1
    for part in parts:
        assert part in err
    assert files(folder) == before


# ---- arguments -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("options", "parts"), [
    ("--hidden -5", ["--hidden must be", "at least 1", "received '-5'", "50,50"]),
    ("--hidden 5,0", ["units of at least 1", "0 alone"]),
    ("--hidden 5.5", ["whole numbers with commas", "received '5.5'"]),
    ("--hidden ''", ["whole numbers with commas"]),
    ("--hidden 100000000000000", ["at most 100,000,000 parameters"]),
    ("--hidden 20000,20000", ["at most 100,000,000 parameters"]),
    ("--test-size 1.5", ["--test-size must be between 0 and 1, received 1.5"]),
    ("--test-size 0", ["between 0 and 1"]),
    ("--test-size nan", ["between 0 and 1"]),
    ("--test-size 0.999", ["two rows on either side", "150 and 0"]),
    ("--test-size 0.001", ["two rows on either side", "1 and 149"]),
    ("--epochs 0", ["--epochs must be at least 1, received 0"]),
    ("--epochs -3", ["--epochs must be at least 1"]),
    ("--epochs 2.5", ["'--epochs'", "expected a whole number, received '2.5'", "glassnet fit --help"]),
    ("--batch-size 0", ["--batch-size must be at least 1"]),
    ("--batch-size many", ["expected a whole number, received 'many'"]),
    ("--l2 -1", ["--l2 must be at least 0"]),
    ("--l2 nan", ["--l2 must be at least 0"]),
    ("--l2 x", ["expected a number, received 'x'"]),
    ("--learning-rate 0", ["--learning-rate must be positive"]),
    ("--learning-rate -0.1", ["--learning-rate must be positive"]),
    ("--learning-rate inf", ["--learning-rate must be positive"]),
    ("--learning-rate fast", ["expected a number, received 'fast'"]),
    ("--seed -1", ["--seed must be from 0"]),
    ("--seed 4294967296", ["--seed must be from 0 to 4294967295"]),
    ("--activation rleu", ["unknown activation 'rleu'", "did you mean 'relu'?", "Known: identity"]),
    ("--solver lbgfs", ["unknown solver 'lbgfs'", "did you mean 'lbfgs'?"]),
    ("--engine nunpy", ["unknown engine 'nunpy'", "did you mean 'numpy'?"]),
    ("--target species", ["--target is for files"]),
    ("--epoch 3", ["No such option: --epoch", "--epochs"]),
    ("iris", ["unexpected extra argument"]),
])  # fmt: skip
def test_arguments(run: Run, tmp_path: Path, options: str, parts: list[str]) -> None:
    refused(run, tmp_path, f"fit iris {options}", *parts)


def test_a_network_too_large_for_its_inputs(run: Run, tmp_path: Path) -> None:
    code, out, err = run("fit iris --hidden 30000000")
    assert (code, err.count("\n")) == (2, 1)
    assert "at most 100,000,000 parameters, received 240,000,003" in err
    assert "FLOP" not in out
    assert files(tmp_path) == []


@pytest.mark.parametrize(("line", "parts"), [
    ("fit", ["Missing argument", "glassnet fit --help"]),
    ("predict x", ["Missing argument"]),
    ("show", ["Missing argument"]),
    ("fti iris", ["No such command 'fti'", "fit"]),
    ("--nonsense", ["No such option: --nonsense"]),
])  # fmt: skip
def test_commands(run: Run, tmp_path: Path, line: str, parts: list[str]) -> None:
    refused(run, tmp_path, line, *parts)


@pytest.mark.parametrize(("out", "parts"), [
    ("file", ["--out must be a folder that can be made", "a file"]),
    ("file/run", ["--out must be a folder that can be made"]),
    ("file/a/b/run", ["--out must be a folder that can be made"]),
    (f"new/folder/{'x' * 300}", ["too long"]),
    ("''", ["a name of its own"]),
    (".", ["a name of its own"]),
    ("..", ["a name of its own"]),
    ("/", ["a name of its own"]),
])  # fmt: skip
def test_a_place_that_cannot_be_written(run: Run, tmp_path: Path, out: str, parts: list[str]) -> None:
    (tmp_path / "file").write_text("mine")
    refused(run, tmp_path, f"fit xor --epochs 1 --out {out}", *parts)


def test_a_place_that_is_lost_while_training(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("glassnet.cli.run_folder.save", full)
    code, _, err = run("fit xor --hidden 2 --epochs 1 --out a/b/c")
    assert (code, err.splitlines()[-1]) == (
        2, "glassnet: --out must be a place that can be written, received a/b/c (No space left on device)."
    )  # fmt: skip
    assert files(tmp_path) == []


# ---- files ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "data", "parts"), [
    ("t.csv", b"", ["an empty file"]),
    ("t.csv", b"a,b\n", ["at least one row", "only a header"]),
    ("t.csv", b"a,b\n1,2\n1,2,3\n", ["2 fields in every row", "3 in line 3"]),
    ("t.csv", b"a,b\n1,2\n1\n", ["2 fields in every row", "1 in line 3"]),
    ("t.csv", b"a;b\n1;2\n", ["separated by commas", "sep=';'"]),
    ("t.csv", b"a,a\n1,2\n", ["'a' twice"]),
    ("t.csv", b"a,\n1,2\n", ["columns all have names"]),
    ("t.csv", b"a\n1\n2\n", ["a target and at least one feature column", "only 'a'"]),
    ("t.csv", "a,städt\n1,2\n".encode("latin-1"), ["UTF-8", "0xe4 in line 1"]),
    ("t.csv", bytes(range(256)), ["UTF-8"]),
    ("t.csv.gz", b"not zipped", ["must be a readable file"]),
    ("t.parquet", b"x", ["must be a parquet file"]),
    ("t.jsonl", b"[1, 2]\n", ["one JSON object a line", "list in line 1"]),
    ("t.jsonl", b'{"a": 1, "b": [1]}\n{"a": 2, "b": [2]}\n', ["list in row 0 of column 'b'"]),
    ("t.xlsx", b"x", ["unknown table ending '.xlsx'", ".csv, .tsv"]),
    ("t", b"a,b\n1,2\n", ["unknown table ending ''"]),
])  # fmt: skip
def test_files(run: Run, tmp_path: Path, name: str, data: bytes, parts: list[str]) -> None:
    (tmp_path / name).write_bytes(data)
    refused(run, tmp_path, f"fit {name}", *parts)


@pytest.mark.parametrize(("source", "parts"), [
    ("digts", ["no file and no data set", "did you mean 'digits'?"]),
    ("hauses.csv", ["existing table file", "Did you mean 'houses.csv'?"]),
    ("nowhere/t.csv", ["folder nowhere does not exist"]),
    (".", ["a table file, received a folder"]),
    ("x" * 300, ["too long"]),
    ("houses.csv --target prize", ["unknown target column 'prize'", "did you mean 'price'?"]),
    ("houses.csv --target ''", ["unknown target column ''"]),
])  # fmt: skip
def test_names_that_nothing_has(run: Run, tmp_path: Path, source: str, parts: list[str]) -> None:
    table().to_csv("houses.csv", index=False)
    refused(run, tmp_path, f"fit {source}", *parts)


# ---- tables --------------------------------------------------------------------------------------------------------

NUMBERS = np.linspace(0.5, 9.7, 40)


@pytest.mark.parametrize(("changes", "parts"), [
    ({"y": 1}, ["at least two different values", "1 in all 40 rows", "Nothing to learn"]),
    ({"y": "a"}, ["'a' in all 40 rows"]),
    ({"y": [1, None] * 20}, ["known in every row", "20 of 40 missing"]),
    ({"y": [f"id{i}" for i in range(40)]}, ["occur more than once", "An identifier?"]),
    ({"y": [*map(str, NUMBERS[1:]), "oops"]}, ["numbers or classes", "'oops' in row 39 among 39 numbers"]),
    ({"y": [np.inf, *NUMBERS[1:]]}, ["target 'y' must be finite", "1 infinite value."]),
    ({"y": NUMBERS * 1e200}, ["between 1e-100 and 1e+100", "Rescale"]),
    ({"y": NUMBERS * 1e-200}, ["between 1e-100 and 1e+100", "Rescale"]),
    ({"size": [1.0] * 39 + [np.inf], "y": NUMBERS}, ["column 'size' must be finite", "1 infinite value."]),
    ({"size": NUMBERS * 1e300, "y": NUMBERS}, ["column 'size' must be below 3.4e+38"]),
])  # fmt: skip
def test_tables(run: Run, tmp_path: Path, changes: dict[str, Any], parts: list[str]) -> None:
    table(**changes).to_csv("t.csv", index=False)
    refused(run, tmp_path, "fit t.csv --epochs 1", *parts)


def test_nothing_but_missing_values(run: Run, tmp_path: Path) -> None:
    pd.DataFrame({"a": [None] * 30, "y": [1, 2] * 15}).to_csv("t.csv", index=False)
    refused(run, tmp_path, "fit t.csv", "the table must be one with values")


def test_a_class_that_only_held_out_rows_have(run: Run, tmp_path: Path) -> None:
    pd.DataFrame({"a": range(20), "y": ["x"] * 19 + ["z"]}).to_csv("t.csv", index=False)
    answers = {run(f"fit t.csv --hidden 2 --epochs 1 --seed {seed}")[0] for seed in range(6)}
    assert answers == {0, 2}  # depends on where the only z falls
    assert {path.name.removeprefix("t") for path in (tmp_path / "runs").iterdir()} <= {"", "-2", "-3", "-4", "-5"}


def test_what_the_encoders_refuse_is_one_line_too(run: Run, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    pd.DataFrame({"a": 1e38 * rng.normal(size=60), "y": [1, 2] * 30}).to_csv("t.csv", index=False)
    with warnings.catch_warnings():
        code, _, err = run("fit t.csv --epochs 1 --out made/r")
    assert code == 2
    assert err.startswith("glassnet: the table must be columns that can be turned into numbers, received ")
    assert err.count("\n") == 1
    assert files(tmp_path) == ["t.csv"]


# ---- a loss that blows up ------------------------------------------------------------------------------------------


def test_a_first_epoch_that_diverges_leaves_nothing_and_says_what_to_do(run: Run, tmp_path: Path) -> None:
    code, _, err = run("fit iris --learning-rate 1e10 --hidden 5 --epochs 4 --out r")
    assert code == 2
    assert "Try a learning rate ten times smaller" in err
    assert not (tmp_path / "r" / "network.safetensors").exists()


@pytest.mark.parametrize(("source", "options", "advice"), [
    ("iris", "--learning-rate 1e10 --batch-size 200", "--learning-rate 1e+09"),
    ("diabetes", "--learning-rate 5 --solver sgd --batch-size 400", "--learning-rate 0.5"),
])  # fmt: skip
def test_divergence_keeps_the_last_good_weights(
    run: Run, tmp_path: Path, source: str, options: str, advice: str
) -> None:
    code, out, err = run(f"fit {source} {options} --hidden 5 --epochs 4 --out r")
    assert code == 1, out
    assert "diverged after" in out
    assert f"The fit diverged; the last good weights were kept. Try {advice}." in out
    assert "Warning" not in out + err
    assert json.loads((tmp_path / "r" / "metrics.json").read_text())["status"] == "diverged"
    assert np.isfinite(persistence.load(tmp_path / "r" / "network.safetensors").theta).all()
    code, out, _ = run("show r")
    assert code == 0
    assert "diverged after" in out


# ---- what libraries have to say ------------------------------------------------------------------------------------


def test_warnings_never_print_raw(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def warn(*_: object) -> None:
        warnings.warn("somewhere in a library\nit is late", UserWarning, stacklevel=1)

    monkeypatch.setattr("glassnet.cli.printing.print_ending", warn)
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        code, _, err = run("fit xor --hidden 2 --epochs 1")
    assert code == 0
    assert err.splitlines()[-1] == "glassnet: note: somewhere in a library it is late"


@pytest.mark.parametrize("error", [MemoryError("Unable to allocate 9 TiB"), OSError(5, "Input/output error")])
def test_what_the_machine_refuses(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def refuse(*_: object) -> None:
        raise error

    monkeypatch.setattr("glassnet.cli.fitting.fit", refuse)
    monkeypatch.setattr("glassnet.cli.printing.print_source", lambda source: None)
    refused(run, tmp_path, "fit xor", str(error))
