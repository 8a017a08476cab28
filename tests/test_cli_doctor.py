"""`glassnet doctor`: what it says of runs that `glassnet fit` has left, healthy and sick."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli_runs
from cli_runs import Run, refused
from glassnet.cli.fitting import fit_and_write
from glassnet.cli.records import FitConfig

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


def houses(m: int = 200) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"size": rng.uniform(30, 200, m), "city": rng.choice(["Bonn", "Jena", "Kiel"], m)})
    frame["built"] = 1950
    frame["price"] = (3000 * frame["size"] + rng.normal(0, 2e4, m)).round()
    return frame


def tables() -> dict[str, pd.DataFrame]:
    """Return tables by what is wrong with them."""
    sound = houses()
    leaky = sound.assign(price_usd=1.1 * sound["price"])[["size", "city", "price_usd", "price"]]
    mixed = sound.assign(price=np.random.default_rng(1).permutation(sound["price"]))
    kind = np.where(np.arange(200) % 25 == 0, "rare", "usual")
    rare = sound[["size"]].assign(other=(kind == "rare") * 2.0 + np.random.default_rng(2).normal(size=200), kind=kind)
    return {"houses": sound, "leaky": leaky, "mixed": mixed, "rare": rare}


SETTINGS: dict[str, dict[str, Any]] = {
    "houses": {"epochs": 30},
    "leaky": {"epochs": 5},
    "mixed": {"epochs": 5},
    "rare": {"epochs": 30},
    "wild": {"learning_rate": 100.0, "epochs": 12},
    "timid": {"learning_rate": 1e-7, "epochs": 12},
    "short": {"epochs": 2, "learning_rate": 1e-3},
    "held": {"l2": 5.0, "epochs": 12, "batch_size": 64},
    "iris": {"epochs": 30},
    "eight_bits": {"epochs": 100},
}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a run for each entry of SETTINGS, and the tables that they came from."""
    here = tmp_path_factory.mktemp("doctor")
    for name, frame in tables().items():
        frame.to_csv(here / f"{name}.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassnet.cli.run_folder.render", lambda report: report.headline)
        for name, given in SETTINGS.items():
            table = here / f"{name}.csv"
            source = str(table) if table.exists() else name if name in ("iris", "eight_bits") else "digits"
            settings = {"hidden": (16,), "engine": "numpy", **given}
            fit_and_write(FitConfig(source, out=str(here / name), **settings))
    return here


# ---- what it says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["houses", "iris", "eight_bits"])
def test_a_healthy_run_is_called_healthy(run: Run, runs: Path, name: str) -> None:
    code, out, err = run(f"doctor {runs / name}")
    assert (code, err) == (0, "")
    assert out.startswith("glassnet fit ")
    assert f"{runs / name}: healthy, no reason was found why it should not learn." in " ".join(out.split())
    assert "WARNING" not in out
    assert "ERROR" not in out


@pytest.mark.parametrize(("name", "cause", "remedy"), [
    ("leaky", "leak", "leave column price_usd out of the table"),
    ("mixed", "no_signal", "go back to where both came from"),
    ("rare", "class_imbalance", "class_weight='balanced'"),
    ("wild", "rate_too_high", "glassnet fit digits --hidden 16 --epochs 12 --engine numpy"),  # at the usual 0.01
    ("timid", "rate_too_low", "glassnet fit digits --hidden 16 --epochs 12 --engine numpy"),
    ("short", "too_few_epochs", "glassnet fit digits --hidden 16 --learning-rate 0.001 --epochs 200 --engine numpy"),
    ("held", "penalty_dominates", "glassnet fit digits --hidden 16 --epochs 12 --batch-size 64 --l2 0.0"),
])  # fmt: skip
def test_the_cause_comes_first_with_a_remedy_to_type(run: Run, runs: Path, name: str, cause: str, remedy: str) -> None:
    code, out, err = run(f"doctor {runs / name}")
    assert (code, err) == (1, "")
    assert f"the first cause is {cause}" in " ".join(out.split())
    headings = re.findall(r"^(ERROR|WARNING|NOTE) (\w+) \(", out, re.MULTILINE)
    assert headings[0][1] == cause
    assert sorted(headings, key=lambda heading: heading[0] == "NOTE") == headings  # notes come last
    assert "  Evidence:\n" in out
    assert remedy in out


def test_a_remedy_that_is_typed_heals(run: Run, runs: Path) -> None:
    _, out, _ = run(f"doctor {runs / 'wild'}")
    command = re.search(r"^    glassnet (fit .*)$", out, re.MULTILINE)
    assert command is not None
    assert run(f"{command[1]} --out healed")[0] == 0
    assert run("doctor healed")[0] == 0


def test_names_are_those_of_the_table(run: Run, runs: Path) -> None:
    _, out, _ = run(f"doctor {runs / 'houses'}")
    assert "NOTE inputs_constant (column built)" in out
    assert "leave column built out of the table" in out
    _, out, _ = run(f"doctor {runs / 'rare'}")
    assert "WARNING class_imbalance (class 'rare')" in out


def test_remedies_are_tried_where_asked(run: Run, runs: Path) -> None:
    code, out, err = run(f"doctor {runs / 'wild'} --try")
    assert (code, err) == (1, "")
    scores = [float(score) for score in re.findall(r"accuracy on held-out rows (\S+)", out)]
    assert len(scores) == 2
    assert scores[0] < 0.5
    assert scores[1] > 0.9
    assert "The remedy of rate_too_high, tried on a copy:\n  as it is  " in out
    assert "tried on a copy" not in run(f"doctor {runs / 'houses'}")[1]


def test_a_run_whose_table_has_moved_is_given_it(run: Run, runs: Path) -> None:
    shutil.copy(runs / "houses.csv", "here.csv")
    shutil.copytree(runs / "houses", "moved")
    config = json.loads(Path("moved/config.json").read_text())
    config["arguments"]["source"] = "gone.csv"
    Path("moved/config.json").write_text(json.dumps(config))
    refused(run("doctor moved"), "gone.csv must be an existing table file", "say where it is now with --data")
    code, out, _ = run("doctor moved --data here.csv")
    assert (code, "healthy" in out) == (0, True)


# ---- what cannot be examined ---------------------------------------------------------------------------------------


def test_a_run_is_needed(run: Run, tmp_path: Path) -> None:
    refused(run("doctor"), "Missing argument 'RUN'", "glassnet doctor --help")
    refused(run("doctor nowhere"), "RUN must be a folder that `glassnet fit` wrote", "nowhere, which is no folder")
    refused(run(f"doctor {tmp_path}"), "has no model.skops")


def test_other_data_do_not_fit(run: Run, runs: Path) -> None:
    refused(run(f"doctor {runs / 'houses'} --data nothing.csv"), "nothing.csv must be an existing table file")
    refused(run(f"doctor {runs / 'houses'} --data {runs / 'leaky.csv'}"), "with the columns ['size', 'city', 'built']")
    refused(run(f"doctor {runs / 'iris'} --data wine"), "the data of the run must be with the columns")


@pytest.mark.parametrize("arguments", [None, {}, {"hidden": [3]}, {"source": "iris", "colour": "red"}])
def test_settings_that_are_not_those_of_fit(run: Run, runs: Path, arguments: Any) -> None:
    shutil.copytree(runs / "iris", "broken")
    path = Path("broken/config.json")
    path.write_text(json.dumps({**json.loads(path.read_text()), "arguments": arguments}))
    refused(run("doctor broken"), "'arguments' in broken/config.json must be those of `glassnet fit`")


def test_help_names_the_options(run: Run) -> None:
    code, out, _ = run("doctor --help")
    assert code == 0
    for words in ("--data NAME|FILE", "--try", "Example: glassnet doctor runs/houses", "Exit code 0"):
        assert words in out
