"""`glassnet export`: from a run folder to a file that predicts what `glassnet predict` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import cli_runs
from cli_runs import Run
from glassnet import persistence
from glassnet.cli.fitting import fit_and_write
from glassnet.cli.records import FitConfig
from test_export_c import STRICT, needs_gcc
from test_export_c import run as run_program

run, run_with_report = cli_runs.run, cli_runs.run_with_report  # fixtures


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the runs rooms (numbers alone), pets (categories, a date) and digits (images)."""
    here = tmp_path_factory.mktemp("runs")
    rng = np.random.default_rng(0)
    rooms = pd.DataFrame({"area": rng.normal(60, 20, 80), "floor": rng.integers(0, 9, 80)})
    rooms.loc[3:9, "area"] = np.nan
    rooms.assign(rent=rooms.fillna(50).sum(axis=1) * 11.0).to_csv(here / "rooms.csv", index=False)
    cli_runs.table(pet=["cat", "dog"] * 20).to_csv(here / "pets.csv", index=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("glassnet.cli.run_folder.render", lambda report: report.headline)
        for name in ("rooms.csv", "pets.csv", "digits"):
            source = str(here / name) if "." in name else name
            config = FitConfig(source, hidden=(4,), epochs=3, out=str(here / name.split(".")[0]), engine="numpy")
            assert fit_and_write(config) == 0
    return here


def pipeline(runs: Path, name: str) -> Any:
    return persistence.load_pipeline(runs / name / "model.skops")


def test_onnx_of_a_table_of_numbers(run: Run, runs: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    code, out, err = run(f"export {runs / 'rooms'} --format onnx -o rooms.onnx")
    assert (code, err) == (0, "")
    assert "inputs     2 numbers a row: area, floor" in out
    assert 'InferenceSession("rooms.onnx")' in out
    X = pd.read_csv(runs / "rooms.csv")[["area", "floor"]]
    session = onnxruntime.InferenceSession("rooms.onnx")
    predicted = session.run(None, {"X": X.to_numpy(np.float32)})[0].ravel()
    np.testing.assert_allclose(predicted, pipeline(runs, "rooms").predict(X), rtol=1e-5)


@needs_gcc
def test_c_of_images(run: Run, runs: Path, tmp_path: Path) -> None:
    code, out, err = run(f"export {runs / 'digits'} -o eight-by-eight.c")
    assert (code, err) == (0, "")
    assert "probabilities 0, 1, 2, 3, 4, 5, 6, 7, 8, 9" in out
    assert "-DEIGHT_BY_EIGHT_MAIN eight-by-eight.c" in out
    flags = [*STRICT, "-DEIGHT_BY_EIGHT_MAIN"]
    subprocess.run(["gcc", *flags, "eight-by-eight.c", "-lm", "-o", "eight"], cwd=tmp_path, check=True)
    X = np.random.default_rng(0).integers(-2, 20, (100, 64)).astype(float)  # outside the scaler's range, too
    model = pipeline(runs, "digits")
    expected = model.predict_proba(pd.DataFrame(X, columns=model.feature_names_in_))
    np.testing.assert_allclose(run_program(tmp_path / "eight", X), expected, atol=1e-6)


def test_numpy_of_categories_takes_encoded_columns(run: Run, runs: Path, tmp_path: Path) -> None:
    code, out, err = run(f"export {runs / 'pets'} --format numpy")
    assert (code, err) == (0, "")
    assert "city_Bonn, city_Jena" in out
    assert "note       The inputs are columns as skrub's TableVectorizer, the first step of the pipeline, gives" in out
    assert f"load_pipeline('{runs / 'pets'}/model.skops')" in out
    notes = [
        "Column city becomes city_Bonn, city_Jena, city_Kiel, city_nan: 1 in the input that is called after its word",
        "Column day becomes day_year, day_total_seconds, day_month_circular_0, day_month_circular_1,",
    ]
    written = " ".join((runs / "pets" / "model.py").read_text().split())
    assert [note in out for note in notes] == [note in written for note in notes] == [True, True]
    assert "Column size" not in written
    model, X = pipeline(runs, "pets"), cli_runs.table().drop(columns="price")
    np.save(tmp_path / "X.npy", model[0].transform(X).to_numpy())
    line = "import numpy as np, model; print(*model.predict(np.load('X.npy')))"
    where = str(runs / "pets")
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {where!r}); {line}"],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.split() == model.predict(X).tolist()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("nowhere --format c", "RUN must be a folder that `glassnet fit` wrote, received nowhere, which is no folder."),
        (
            "RUN",
            "--format must be one of onnx, c, numpy, or an --output that ends in .onnx, .c, .py, received neither.",
        ),
        ("RUN -o model.txt", "received model.txt."),
        ("RUN --format onx", "unknown format 'onx': did you mean 'onnx'? Known: onnx, c, numpy."),
        ("RUN --format c -o m.onnx", "--output must be a .c file for --format c, received m.onnx. For example m.c."),
        ("RUN --format c -o no/m.c", "no/m.c must be in an existing folder, received no, which is none."),
    ],
)
def test_wrong_arguments_are_one_line_and_nothing_is_written(
    run: Run, runs: Path, tmp_path: Path, arguments: str, message: str
) -> None:
    code, out, err = run(f"export {arguments.replace('RUN', str(runs / 'rooms'))}")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert list(tmp_path.iterdir()) == []
