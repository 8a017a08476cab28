"""`glassnet predict` and what both commands say of a folder that is no run, or a broken one."""

from __future__ import annotations

import io
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli_runs
from cli_runs import Run, refused, table
from glassnet import persistence
from glassnet.cli.fitting import fit_and_write
from glassnet.cli.predicting import predictions
from glassnet.cli.records import FitConfig

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs houses (regression), pets (three classes) and digits (images)."""
    here = tmp_path_factory.mktemp("runs")
    table().to_csv(here / "houses.csv", index=False)
    table(flag=[True, False] * 20, pet=["cat", "dog", "[emu]", "cat"] * 10).to_csv(here / "pets.csv", index=False)
    table(rank=[1, 2, 2, 3] * 10).to_csv(here / "ranks.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassnet.cli.run_folder.render", lambda report: report.headline)
        for name in ("houses.csv", "pets.csv", "ranks.csv", "digits", "eight_bits"):
            source = str(here / name) if "." in name else name
            config = FitConfig(source, hidden=(4,), epochs=3, out=str(here / name.split(".")[0]))
            assert fit_and_write(config) == 0
    return here


def rows(**changes: Any) -> pd.DataFrame:
    return table().drop(columns="price").head(5).assign(**changes)


# ---- predictions ---------------------------------------------------------------------------------------------------


def test_a_regression_is_printed_as_csv(run: Run, runs: Path) -> None:
    rows().to_csv("new.csv", index=False)
    code, out, err = run(f"predict {runs / 'houses'} new.csv")
    assert (code, err) == (0, "")
    printed = pd.read_csv(io.StringIO(out))
    pipeline = persistence.load_pipeline(runs / "houses" / "model.skops")
    assert list(printed) == ["price"]
    np.testing.assert_allclose(printed["price"], pipeline.predict(rows()), rtol=1e-5)


def test_classes_come_with_probabilities(run: Run, runs: Path, tmp_path: Path) -> None:
    rows(flag=True).to_csv("new.csv", index=False)
    code, out, err = run(f"predict {runs / 'pets'} new.csv -o '[red].csv'")
    assert (code, out, err) == (0, "wrote 5 predictions to [red].csv\n", "")
    written = pd.read_csv(tmp_path / "[red].csv")
    names = ["[emu]", "cat", "dog"]
    assert list(written) == ["pet", *(f"probability_{name}" for name in names)]
    probabilities = written.iloc[:, 1:].to_numpy()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert list(written["pet"]) == [names[k] for k in probabilities.argmax(axis=1)]


def test_several_outputs_have_a_column_each(runs: Path) -> None:
    pipeline = persistence.load_pipeline(runs / "eight_bits" / "model.skops")
    X = pd.DataFrame(np.eye(8), columns=pipeline.feature_names_in_)
    assert list(predictions(pipeline, X, "target")) == [f"target_{j}" for j in range(1, 9)]


@pytest.mark.parametrize("target", [
    [1, 2, 2, 3] * 10,
    ["1", "2", "2", "3"] * 10,
    [1, 2, None, 3] * 10,  # a missing value makes floats of whole numbers
])  # fmt: skip
def test_a_target_in_the_file_is_compared_with(run: Run, runs: Path, target: list[Any]) -> None:
    frame = table(rank=target)
    frame.to_parquet("t.parquet")
    code, out, _ = run(f"predict {runs / 'ranks'} t.parquet -o out.csv")
    said = pd.read_csv("out.csv")["rank"]
    known = np.array([value is not None for value in target])
    right = (said[known] == np.array(target)[known].astype(int)).mean()
    assert code == 0
    assert f"the file holds the target: {right:.1%} of {known.sum()} rows are right" in out


@pytest.mark.parametrize(("price", "said"), [
    (1.0, "off on average over 5 rows"),
    ([1.0, None, 2.0, "?", 3.0], "off on average over 3 rows"),
    (None, "no value to compare with"),
    ("cheap", "no value to compare with"),
])  # fmt: skip
def test_any_target_in_the_file_will_do(run: Run, runs: Path, price: Any, said: str) -> None:
    rows(price=price).to_csv("t.csv", index=False)
    code, out, err = run(f"predict {runs / 'houses'} t.csv -o out.csv")
    assert (code, err) == (0, "")
    assert said in out


@pytest.mark.parametrize("changes", [
    {"size": None}, {"size": "3"}, {"city": "Atlantis"}, {"day": None}, {"day": pd.Timestamp("2031-05-06")},
    {"more": "columns"},
])  # fmt: skip
def test_what_was_not_seen_in_training_is_no_obstacle(run: Run, runs: Path, changes: dict[str, Any]) -> None:
    frame = rows(**changes)
    frame[frame.columns[::-1]].to_parquet("t.parquet")
    code, out, err = run(f"predict {runs / 'houses'} t.parquet")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 6


def test_an_output_file_is_replaced(run: Run, runs: Path, tmp_path: Path) -> None:
    rows().head(1).to_csv("t.csv", index=False)
    (tmp_path / "out.csv").write_text("old")
    assert run(f"predict {runs / 'houses'} t.csv -o out.csv") == (0, "wrote 1 prediction to out.csv\n", "")
    assert (tmp_path / "out.csv").read_text().startswith("price\n")


# ---- what cannot be predicted --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("frame", "parts"), [
    (rows().drop(columns="size"), ["the 3 columns", "none called 'size'"]),
    (rows().rename(columns={"size": "Size"}), ["Is 'size' called 'Size' here?"]),
    (rows(size=[1, 2, "big", 3, 4]), ["column 'size' must be numbers", "'big' in row 2"]),
    (rows(day=["2024-05-06"] * 4 + ["soon"]), ["column 'day' must be dates", "'soon' in row 4"]),
    (rows(size=np.inf), ["column 'size' must be finite", "5 infinite values"]),
    (rows(size=1e300), ["below 3.4e+38", "Rescale"]),
    (rows().head(0), ["at least one row"]),
])  # fmt: skip
def test_a_table_that_does_not_fit(run: Run, runs: Path, tmp_path: Path, frame: pd.DataFrame, parts: list[str]) -> None:
    frame.to_csv("t.csv", index=False)
    refused(run(f"predict {runs / 'houses'} t.csv -o out.csv"), *parts)
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize(("value", "part"), [("x", "must be numbers"), (None, "must be known in every row")])
def test_images_need_every_pixel(run: Run, runs: Path, value: Any, part: str) -> None:
    names = persistence.load_pipeline(runs / "digits" / "model.skops").feature_names_in_
    frame = pd.DataFrame(1.0, index=range(3), columns=names)
    frame.to_csv("t.csv", index=False)
    assert run(f"predict {runs / 'digits'} t.csv")[0] == 0
    frame.astype(object).assign(pixel_0_3=[1, value, 2]).to_csv("t.csv", index=False)
    refused(run(f"predict {runs / 'digits'} t.csv"), "column 'pixel_0_3'", part, "in row 1")


@pytest.mark.parametrize(("output", "parts"), [
    (".", ["must be a file to write", "a folder"]),
    ("''", ["must be a file to write"]),
    ("nowhere/out.csv", ["existing folder"]),
    ("t.csv/out.csv", ["existing folder"]),
    ("out.parquet", ["must be a CSV file", "out.csv"]),
    ("./t.csv", ["another file than the one that is read"]),
])  # fmt: skip
def test_a_place_that_cannot_be_written(run: Run, runs: Path, tmp_path: Path, output: str, parts: list[str]) -> None:
    rows().to_csv("t.csv", index=False)
    before = (tmp_path / "t.csv").read_bytes()
    refused(run(f"predict {runs / 'houses'} t.csv -o {output}"), *parts)
    assert (tmp_path / "t.csv").read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["t.csv"]


# ---- runs that are none --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["show {}", "predict {} t.csv"])
@pytest.mark.parametrize(("place", "part"), [
    ("nowhere", "is no folder"), ("t.csv", "is no folder"), (".", "has no model.skops"), ("''", "has no model.skops"),
])  # fmt: skip
def test_a_folder_that_is_no_run(run: Run, command: str, place: str, part: str) -> None:
    rows().to_csv("t.csv", index=False)
    refused(run(command.format(place)), "RUN must be a folder that `glassnet fit` wrote", part)


BROKEN: list[tuple[str, bytes | None, str]] = [
    ("model.skops", b"", "must be a skops file"),
    ("model.skops", b"hello", "must be a skops file"),
    ("model.skops", pickle.dumps({}), "pickles are never read"),
    ("model.skops", None, "has no model.skops"),
    ("config.json", None, "No such file"),
    ("config.json", b"{", "must be a JSON file"),
    ("config.json", b"\xff", "must be a JSON file"),
    ("config.json", b"[]", "must be a JSON object, received list"),
    ("config.json", b"{}", "'target'"),
    ("config.json", b'{"target": 3, "command": "x"}', "must be text, received 3"),
]


NETWORK = [("network.safetensors", b"", "network.safetensors"), ("network.safetensors", None, "network.safetensors")]
SHOWN = [case for case in BROKEN if case[0] != "model.skops" or case[1] is None] + NETWORK
"""What `show` reads: all but the model, which takes seconds to open."""


@pytest.mark.parametrize(
    ("command", "name", "data", "part"),
    [
        *(("predict broken t.csv", *case) for case in BROKEN),
        *(("show broken", *case) for case in SHOWN),
    ],
)
def test_a_broken_run(
    run: Run, runs: Path, tmp_path: Path, command: str, name: str, data: bytes | None, part: str
) -> None:
    rows().to_csv("t.csv", index=False)
    shutil.copytree(runs / "houses", "broken")
    if data is None:
        (tmp_path / "broken" / name).unlink()
    else:
        (tmp_path / "broken" / name).write_bytes(data)
    refused(run(command), part)


def test_a_model_that_is_cut_off(run: Run, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "houses", "broken")
    path = tmp_path / "broken" / "model.skops"
    path.write_bytes(path.read_bytes()[:-100])
    rows().to_csv("t.csv", index=False)
    refused(run("predict broken t.csv"), "model.skops must be a skops file", "cut off")


@pytest.mark.parametrize("change", [
    {"status": None, "epochs": "many"}, {"seconds": "x"}, {"classes": 3}, {"confusion": [[1]]}, {"classes": {"a": {}}},
])  # fmt: skip
def test_show_needs_whole_metrics(run: Run, runs: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    shutil.copytree(runs / "pets", "broken")
    path = tmp_path / "broken" / "metrics.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    refused(run("show broken"), "metrics.json must be as `glassnet fit` wrote it")


# ---- certificates --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["houses", "digits"])
def test_show_verifies_a_run_and_keeps_the_certificate(run: Run, runs: Path, name: str) -> None:
    code, out, _ = run(f"show {runs / name} --verify")
    assert code == 0
    assert "checks passed" in out
    assert "passed   gradient" in out
    assert json.loads((runs / name / "certificate.json").read_text())["ok"] is True
    code, again, _ = run(f"show {runs / name}")
    assert code == 0
    assert again.splitlines() == [line for line in out.splitlines() if not line.startswith("verifying")]


def test_a_run_whose_weights_were_changed_fails(run: Run, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "houses", tmp_path / "changed")
    pipeline = persistence.load_pipeline(tmp_path / "changed" / "model.skops")
    pipeline[-1].regressor_.theta_[:] = np.nan
    persistence.save_pipeline(tmp_path / "changed" / "model.skops", pipeline)
    code, out, _ = run("show changed --verify")
    assert code == 1
    assert "FAILED   finite" in out


def test_a_certificate_that_is_none_is_named(run: Run, runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "houses", tmp_path / "other")
    (tmp_path / "other" / "certificate.json").write_text("[]")
    code, _, err = run("show other")
    assert code == 2
    assert "the certificate must be JSON" in err
