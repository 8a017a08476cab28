"""`glassnet fit --resume`: a run that broke off ends as the one that did not."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import cli_runs
import glassnet as gn
from cli_runs import Run, table
from glassnet.callbacks import Progress, Watcher
from glassnet.persistence import load_pipeline

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


def break_off(monkeypatch: pytest.MonkeyPatch, run: Run, line: str, epoch: int) -> tuple[int, str, str]:
    """Run the line until the disk is pulled out in this epoch; every epoch is stored."""
    monkeypatch.setattr("glassnet.cli.fitting.SECONDS", 0.0)
    with monkeypatch.context() as patch:

        def start(self: Progress) -> Watcher:
            def after_epoch(record: gn.history.EpochRecord) -> None:
                if record.epoch == epoch:
                    raise OSError(5, "Input/output error")

            return Watcher(after_epoch)

        patch.setattr(Progress, "start", start)
        return run(line)


LINES = {
    "images": "fit xor --hidden 3 --epochs 9",
    "regression": "fit houses.csv --target price --hidden 4 --epochs 9",
    "classes": "fit moons --hidden 5 --epochs 9 --solver sgd --engine numpy --seed 4",
}


@pytest.mark.parametrize("line", LINES.values(), ids=LINES)
def test_a_run_that_broke_off_ends_as_the_one_that_did_not(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    table().to_csv("houses.csv", index=False)
    assert run(f"{line} --out whole")[0] == 0
    code, _, err = break_off(monkeypatch, run, f"{line} --out again", 5)
    assert code == 2
    assert "the system refuses: [Errno 5]" in err
    left = tmp_path / "again.unfinished"
    assert sorted(path.name for path in left.iterdir()) == ["checkpoints", "config.json"]

    code, out, err = run("fit --resume again")
    assert code == 0, err
    assert "resumed    again.unfinished, after epoch 4" in out
    assert not left.exists()
    assert sorted(path.name for path in (tmp_path / "again").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole").iterdir()
    )
    one, other = (gn.load(tmp_path / name / "network.safetensors") for name in ("whole", "again"))
    assert one.theta.tobytes() == other.theta.tobytes()
    last = load_pipeline(tmp_path / "again" / "model.skops")[-1]
    assert [type(callback).__name__ for callback in getattr(last, "regressor_", last).callbacks] == ["Progress"]
    measured = [json.loads((tmp_path / name / "metrics.json").read_text()) for name in ("whole", "again")]
    assert [one.pop("seconds", None) is None for one in measured].count(True) in (0, 2)
    assert measured[0] == measured[1]


def test_options_of_a_resumed_run(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_off(monkeypatch, run, "fit xor --hidden 3 --epochs 9 --out r", 5)
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    for line, part in {
        "fit --resume r --epochs 10": "--epochs of a resumed run must be 9, received 10. Leave it out",
        "fit moons --resume r": "NAME|FILE of a resumed run must be 'xor', received 'moons'",
        "fit --resume nowhere": "--resume must be the folder of a run that broke off, received nowhere",
        "fit": "Missing argument 'NAME|FILE'. See ",
    }.items():
        code, out, err = run(line)
        assert (code, out) == (2, "")
        assert part in err
        assert err.count("\n") == 1
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before
    assert run("fit xor --hidden 3 --resume r.unfinished")[0] == 0
    code, _, err = run("fit --resume r")
    assert code == 2
    assert "r, which is finished" in err


def test_a_run_that_broke_off_before_its_first_checkpoint_begins_anew(run: Run, tmp_path: Path) -> None:
    run("fit xor --hidden 3 --epochs 4 --out r")
    left = tmp_path / "s.unfinished"
    left.mkdir()
    (left / "config.json").write_bytes((tmp_path / "r" / "config.json").read_bytes())
    code, out, err = run("fit --resume s")
    assert code == 0, err
    assert "from its beginning: no checkpoint had been written" in out
    assert (tmp_path / "s" / "model.skops").is_file()


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"arguments": 5}', '{"arguments": {"sources": "xor"}}',
    '{"arguments": {"source": "xor", "epochs": "many"}}', '{"arguments": {"source": 5}}', "[" * 100_000,
    '{"arguments": {"source": "xor", "hidden": [-1]}}', '{"arguments": {"source": "xor", "hidden": 5}}',
])  # fmt: skip
def test_arguments_that_were_changed(run: Run, tmp_path: Path, text: str) -> None:
    left = tmp_path / "r.unfinished"
    left.mkdir()
    (left / "config.json").write_text(text)
    code, out, err = run("fit --resume r")
    assert (code, out) == (2, "")
    assert err.startswith("glassnet: ")
    assert err.count("\n") == 1


def test_data_that_changed_meanwhile(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    table().to_csv("houses.csv", index=False)
    break_off(monkeypatch, run, "fit houses.csv --target price --hidden 4 --epochs 9 --out r", 5)
    changed = table()
    changed.loc[0, "price"] += 1e-6
    changed.to_csv("houses.csv", index=False)
    code, _, err = run("fit --resume r")
    assert code == 2
    assert "X, Y and sample_weight of a run resumed from" in err
    assert Path("r.unfinished", "checkpoints").is_dir()


KILLED = "import sys; from glassnet.cli import fitting, main; fitting.SECONDS = 0.0; sys.argv[0] = 'glassnet'; main()"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_command_that_is_killed(run: Run, tmp_path: Path) -> None:
    options = ["fit", "moons", "--hidden", "40", "--epochs", "300", "--out", "r"]
    environment = {**os.environ, "PYTHONPATH": str(Path(gn.__file__).parents[1])}
    with subprocess.Popen(
        [sys.executable, "-c", KILLED, *options], env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL
    ) as process:
        assert process.stderr is not None
        while b"epoch    30/300" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGKILL)
        process.stderr.read()
    assert (tmp_path / "r.unfinished" / "checkpoints").is_dir()
    assert run("fit --resume r")[0] == 0
    assert run("fit moons --hidden 40 --epochs 300 --out whole")[0] == 0
    one, other = (gn.load(tmp_path / name / "network.safetensors") for name in ("whole", "r"))
    assert one.theta.tobytes() == other.theta.tobytes()
