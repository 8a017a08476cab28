"""`glassnet fit` and `glassnet show` used as they are meant to be: what they print and what they write."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

import cli_runs
import glassnet
import glassnet as gn
from cli_runs import Run, table
from glassnet import persistence
from glassnet.cli.measuring import Evaluation
from glassnet.cli.printing import print_network_table
from glassnet.cli.records import FitConfig
from glassnet.cli.run_folder import command_line
from glassnet.datasets import DATASETS
from glassnet.engines.storage import MAKING
from glassnet.estimators.options import SOLVERS

FILES = ["config.json", "history.csv", "metrics.json", "model.skops", "network.safetensors", "report.html"]

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


def content(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_text(encoding="utf-8"))


# ---- what a run leaves ---------------------------------------------------------------------------------------------


def test_classification_from_beginning_to_end(run_with_report: Run, tmp_path: Path) -> None:
    code, out, err = run_with_report("fit iris --hidden 6,5 --activation tanh --epochs 12 --seed 3 --out made/here")
    assert code == 0
    for part in (
        "150 rows, 4 columns: 4 number", "setosa 50, versicolor 50, virginica 50", "FLOP a sample", "1 Dense 6",
        "W 4×6", "in all", "completed after 12 epochs", "of 30 held-out rows classified correctly", "accuracy",
        "macro f1",
        "precision", "true \\ predicted", "made/here/report.html", "glassnet predict made/here FILE",
        "glassnet doctor made/here",
    ):  # fmt: skip
        assert part in out
    assert "epoch     1/12  loss" in err
    assert "validation accuracy" in err
    assert "s left" in err
    assert "\x1b" not in out + err  # plain where there is no terminal

    folder = tmp_path / "made" / "here"
    assert sorted(path.name for path in folder.iterdir()) == FILES
    assert [path.name for path in folder.parent.iterdir()] == ["here"]  # no hidden partial folder
    config, metrics = content(folder, "config.json"), content(folder, "metrics.json")
    given = {"source": "iris", "hidden": [6, 5], "activation": "tanh", "epochs": 12, "seed": 3, "out": "made/here"}
    assert config["arguments"] | given == config["arguments"]
    assert set(config["arguments"]) == set(FitConfig.__dataclass_fields__)
    assert config["versions"]["glassnet"] == glassnet.__version__
    assert {"python", "numpy", "scipy", "scikit-learn"} <= set(config["versions"])
    confusion = np.array(metrics["confusion"])
    assert np.trace(confusion) / confusion.sum() == pytest.approx(metrics["accuracy"])
    assert (metrics["status"], metrics["epochs"], metrics["held_out"]) == ("completed", 12, True)
    history = pd.read_csv(folder / "history.csv")
    assert list(history["epoch"]) == list(range(1, 13))
    assert {"loss", "validation_loss", "validation_accuracy", "learning_rate"} <= set(history)
    net, theta = persistence.load(folder / "network.safetensors")
    assert net.sizes == (4, 6, 5, 3)
    last = persistence.load_pipeline(folder / "model.skops")[-1]
    np.testing.assert_array_equal(last.theta_, theta)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert metrics["headline"] in page
    assert "glassnet fit iris --hidden 6,5" in page
    for elsewhere in ("<script", "<link", 'src="http', "@import", "url("):
        assert elsewhere not in page  # it needs nothing else


def test_regression_prints_its_three_scores(run_with_report: Run, tmp_path: Path) -> None:
    table().to_csv("houses.csv", index=False)
    code, out, _ = run_with_report("fit houses.csv --target price --hidden 4 --epochs 5")
    assert code == 0
    for part in ("1 number, 1 category, 1 date; 4 values missing", "40 different numbers: regression", "R²", "rmse",
                 "mae", "runs/houses/report.html"):  # fmt: skip
        assert part in out
    assert "true \\ predicted" not in out
    metrics = content(tmp_path / "runs" / "houses", "metrics.json")
    assert {"r2", "rmse", "mae"} <= set(metrics)
    assert metrics["rmse"] >= metrics["mae"]


def test_an_existing_folder_is_left_alone(run: Run, tmp_path: Path) -> None:
    (tmp_path / "runs" / "xor").mkdir(parents=True)
    (tmp_path / "runs" / "xor" / "mine.txt").write_text("mine")
    (tmp_path / "runs" / "xor-2").symlink_to("nowhere")
    code, out, _ = run("fit xor --hidden 3 --epochs 1")
    assert code == 0
    assert "runs/xor-3/report.html" in out
    assert [path.name for path in (tmp_path / "runs" / "xor").iterdir()] == ["mine.txt"]
    assert sorted(path.name for path in (tmp_path / "runs" / "xor-3").iterdir()) == FILES


def test_the_same_command_gives_the_same_numbers(run: Run, tmp_path: Path) -> None:
    run("fit moons --hidden 5 --epochs 3 --out a")
    again = content(tmp_path / "a", "config.json")["command"]
    assert again == "glassnet fit moons --hidden 5 --epochs 3 --out a"
    code, out, _ = run(again.removeprefix("glassnet "))
    assert code == 0
    assert "a-2/report.html" in out
    first, second = (content(tmp_path / name, "metrics.json") for name in ("a", "a-2"))
    assert first["accuracy"] == second["accuracy"]
    thetas = [persistence.load(tmp_path / name / "network.safetensors").theta for name in ("a", "a-2")]
    np.testing.assert_array_equal(*thetas)


def test_command_line_quotes_and_leaves_defaults_out() -> None:
    config = FitConfig("my file.csv", target="a b", hidden=(), out="x y").__dict__
    assert command_line(config) == "glassnet fit 'my file.csv' --target 'a b' --hidden 0 --out 'x y'"


def test_show_repeats_the_result(run: Run) -> None:
    _, fitted, _ = run("fit iris --hidden 4 --epochs 2 --out r")
    code, out, err = run("show r/")
    assert (code, err) == (0, "")
    result = fitted[fitted.index("completed after 2") : fitted.index("report  ")]
    assert result.rstrip() in out
    for part in ("glassnet fit iris --hidden 4 --epochs 2 --out r", "1 Dense 4", "r/report.html"):
        assert part in out


def test_metrics_come_back_from_json() -> None:
    rows = {"a": {"precision": 1.0, "recall": 0.5, "f1": 0.7, "support": 2}}
    facts = {"training_rows": 8, "measured_rows": 2, "held_out": True, "status": "completed", "reason": "r"}
    content = {"headline": "h", "accuracy": 0.5, "f1": None, **facts, "epochs": 1, "seconds": 0.1, "classes": rows}
    measured = Evaluation.from_json({**content, "confusion": [[1]]})
    assert measured.numbers == {"accuracy": 0.5}
    assert measured.class_rows[0].support == 2
    with pytest.raises(ValueError, match="confusion matrix"):
        Evaluation.from_json({**content, "confusion": [[1, 2], [3, 4]]})


# ---- many sources, many choices ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(set(DATASETS) - {"mnist"}))
def test_every_data_set(run: Run, name: str) -> None:
    code, out, _ = run(f"fit {name} --hidden 3 --epochs 1")
    assert code == 0
    assert f"runs/{name}/report.html" in out


@pytest.mark.parametrize("solver", SOLVERS)
def test_every_solver(run: Run, tmp_path: Path, solver: str) -> None:
    source = "diabetes" if solver in ("lm", "br") else "two_gaussians"  # those two are for sums of squares
    code, out, _ = run(f"fit {source} --hidden 3 --activation sigmoid --solver {solver} --epochs 3 --out r")
    assert code == 0, out
    last = persistence.load_pipeline(tmp_path / "r" / "model.skops")[-1]
    assert getattr(last, "regressor_", last).n_iter_ == 3


@pytest.mark.parametrize(("ending", "write"), [
    ("csv", lambda frame, path: frame.to_csv(path, index=False)),
    ("csv.gz", lambda frame, path: frame.to_csv(path, index=False)),
    ("tsv", lambda frame, path: frame.to_csv(path, index=False, sep="\t")),
    ("jsonl", lambda frame, path: frame.to_json(path, orient="records", lines=True)),
    ("parquet", lambda frame, path: frame.to_parquet(path)),
])  # fmt: skip
def test_every_kind_of_table(run: Run, ending: str, write: Callable[[pd.DataFrame, str], None]) -> None:
    write(table(), f"Häuser in Köln.{ending}")
    code, out, _ = run(f"fit 'Häuser in Köln.{ending}' --hidden 3 --epochs 1")
    assert code == 0
    assert "predicting price (the last column; choose another with --target)" in out
    assert "1 number, 1 category, 1 date; 4 values missing" in out
    assert "glassnet show 'runs/Häuser in Köln'" in out  # quoted, to be typed again


def test_hidden_0_is_no_hidden_layer(run: Run, tmp_path: Path) -> None:
    assert run("fit iris --hidden 0 --epochs 1 --out r")[0] == 0
    assert persistence.load(tmp_path / "r" / "network.safetensors").net.sizes == (4, 3)


@pytest.mark.parametrize(("target", "names"), [
    (["[red]", "[/bold]"], ["[red]", "[/bold]"]),
    (["<script>alert(1)</script>", ":smile:"], ["<script>aler…1)</script>", ":smile:"]),
    (["a\nb\x1b[31m", "c"], ["a b [31m"]),
    ([True, False], ["True", "False"]),
    ([1.0, 2.0], ["1", "2"]),
    ([f"a name that does not end, number {i}" for i in range(6)], ["number 5"]),
    ([f"c{i}" for i in range(13)], ["c12"]),
])  # fmt: skip
def test_names_of_classes_are_shown_as_they_are(run: Run, target: list[Any], names: list[str]) -> None:
    table(kind=(target * 40)[:40]).to_parquet("t.parquet")
    code, out, _ = run("fit t.parquet --hidden 3 --epochs 1 --out [x]")
    assert code == 0
    assert "[x]/report.html" in out
    for name in names:
        assert name in out
    assert "\x1b" not in out
    tables = [line for line in out.splitlines() if line.startswith(("read", "target", "class")) is False]
    assert max(map(len, tables)) <= 110


def test_what_the_reader_should_know_is_noted(run_with_report: Run, tmp_path: Path) -> None:
    table(kind=["a"] * 20 + ["b"] * 19 + ["lonely"]).to_csv("t.csv", index=False)
    code, out, _ = run_with_report("fit t.csv --hidden 3 --epochs 1 --out r")
    assert code == 0
    assert "note: classes of one row, too few to learn and to test: lonely" in out
    assert "lonely" in (tmp_path / "r" / "report.html").read_text(encoding="utf-8")


def test_few_rows_are_measured_on_themselves(run: Run) -> None:
    pd.DataFrame({"a": [1.0, 2.0], "y": [1.5, 2.5]}).to_csv("two.csv", index=False)
    code, out, _ = run("fit two.csv --hidden 3 --epochs 1")
    assert code == 0
    assert "2 training rows" in out
    assert "1 column: 1 number" in out


def test_many_rows_and_a_class_of_one(run: Run, tmp_path: Path) -> None:
    """From 5,000 rows on a tenth decides the end, unless the classes cannot be shared out."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.normal(size=6300), "kind": ["x", "y"] * 3150})
    frame.to_csv("many.csv", index=False)
    frame.assign(kind=["x", "y"] * 3149 + ["x", "z"]).to_csv("one.csv", index=False)
    for name, stops_early in (("many", True), ("one", False)):
        assert run(f"fit {name}.csv --hidden 2 --epochs 1 --seed 2")[0] == 0
        network = persistence.load_pipeline(tmp_path / "runs" / name / "model.skops")[-1]
        assert network.early_stopping is stops_early


# ---- help ----------------------------------------------------------------------------------------------------------


def test_help_names_every_option(run: Run) -> None:
    code, out, err = run("fit --help")
    assert (code, err) == (0, "")
    for name in set(FitConfig.__dataclass_fields__) - {"source"}:
        assert f"--{name.replace('_', '-')} " in out
    assert "[default: the last one]" in out
    assert "[default: 0.01]" in out.replace("\n                        ", " ")
    assert max(map(len, out.splitlines())) <= 80


def test_the_command_alone_shows_its_help_and_fails(run: Run) -> None:
    code, out, err = run("")
    assert (code, err) == (2, "")
    for name in ("fit", "predict", "show"):
        assert f"\n  {name} " in out


def test_version(run: Run) -> None:
    assert run("--version") == (0, f"glassnet {glassnet.__version__}\n", "")


# ---- narrow terminals ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (100, ["layer", "activation", "weights", "parameters", "FLOP a sample"]),
        (60, ["layer", "activation", "weights", "parameters"]),
        (40, ["layer", "activation", "parameters"]),
    ],
)
def test_the_network_table_leaves_out_what_a_terminal_cannot_hold(
    width: int, heads: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("glassnet.cli.printing.console", lambda: Console(width=width, no_color=True))
    print_network_table(gn.Network(64, [gn.Dense(100, "relu"), gn.Dense(10, "softmax")]))
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert lines[0].split() == " ".join(heads).split()
    assert [line.split()[:3] for line in lines[1:3]] == [["1", "Dense", "100"], ["2", "Dense", "10"]]
    assert len(lines) == 4
    assert "7,510" in lines[3]


# ---- Ctrl-C --------------------------------------------------------------------------------------------------------

TERMINAL = {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}


def test_ctrl_c_ends_cleanly_and_keeps_what_was_learned(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from glassnet.cli import main; main()", "fit", "moons", "--epochs", "1000000"]
    running = subprocess.Popen(
        [*words, "--hidden", "4", "--out", "kept"], cwd=tmp_path, env={**os.environ, **TERMINAL}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8",
    )  # fmt: skip
    assert running.stderr is not None
    first = running.stderr.readline()
    while MAKING in first:  # where nothing was compiled before
        first = running.stderr.readline()
    assert first.startswith("epoch     1/1000000")
    running.send_signal(signal.SIGINT)
    out, err = running.communicate(timeout=60)
    assert running.returncode == 130, err
    assert "interrupted in epoch" in out
    assert "Interrupted; the weights of the last whole epoch are kept." in out
    assert "Traceback" not in err
    assert sorted(path.name for path in (tmp_path / "kept").iterdir()) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    history = pd.read_csv(tmp_path / "kept" / "history.csv")
    assert content(tmp_path / "kept", "metrics.json")["epochs"] == len(history) >= 1


def test_ctrl_c_before_training_writes_nothing(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glassnet.cli.printing.print_source", interrupted)
    code, out, err = run("fit iris --epochs 1")
    assert (code, out, err) == (130, "", "glassnet: interrupted; nothing was written.\n")
    assert list(tmp_path.iterdir()) == []


def test_a_narrow_encoding_is_no_obstacle(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "from glassnet.cli import main; main()", "show", "Läufe"]
    environment = {**os.environ, **TERMINAL, "PYTHONIOENCODING": "ascii"}
    ended = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "L\\xe4ufe" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_the_task_can_be_asked_for(run: Run) -> None:
    table(rooms=[1, 2, 3, 4] * 10).to_csv("t.csv", index=False)
    assert "classes" in run("fit t.csv --hidden 3 --epochs 1")[1]
    code, out, _ = run("fit t.csv --hidden 3 --epochs 1 --task regression")
    assert (code, "R²" in out) == (0, True)
    assert "did you mean 'regression'?" in run("fit t.csv --task regresion")[2]
    assert "--task is for files" in run("fit iris --task regression")[2]


@pytest.mark.parametrize("line", ["iris --solver lbfgs --hidden 5", "diabetes --solver lm --hidden 3"])
def test_solvers_have_a_validation_curve(run: Run, tmp_path: Path, line: str) -> None:
    code, _, _ = run(f"fit {line} --epochs 8 --out here")
    assert code == 0
    history = pd.read_csv(tmp_path / "here" / "history.csv")
    assert list(history["epoch"]) == list(range(9))  # a solver's history begins with its start
    assert np.isfinite(history["validation_loss"]).all()
    assert history["validation_loss"].nunique() > 4


def test_the_package_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "glassnet", "--version"], capture_output=True, text=True, check=True)
    assert done.stdout == f"glassnet {glassnet.__version__}\n"
