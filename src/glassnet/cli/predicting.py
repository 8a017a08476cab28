"""`glassnet predict` and `glassnet show`: what to do with a run folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from glassnet import tables
from glassnet.arrays import Array
from glassnet.cli.printing import console, print_network_table
from glassnet.errors import fault
from glassnet.persistence import atomic_write, load_pipeline

__all__ = ["predict_and_write", "show_run"]


def predict_and_write(run: Path, file: Path, output: Path | None) -> None:
    """Print or write one row of predictions for each row of the table, with probabilities for a classifier.

    Raises GlassnetError for a folder that is no run, a table that does not fit, and a place that cannot be written.
    """
    pipeline, about = _open(run)
    frame = tables.read_table(file)
    X = tables.check_columns(frame, pipeline.feature_names_in_)
    result = predictions(pipeline, X, str(about["target"]))
    text = result.to_csv(index=False, float_format="%.6g")
    if output is None:
        sys.stdout.write(text)
        return
    atomic_write(output, text.encode())
    console().print(f"wrote {len(result):,} predictions to {output}", soft_wrap=True)
    if about["target"] in frame.columns:
        console().print(_score(pipeline, frame[str(about["target"])], result.iloc[:, 0]))


def predictions(pipeline: Pipeline, X: pd.DataFrame, target: str) -> pd.DataFrame:
    """Return the predicted target, and for classes "probability_<class>" columns."""
    predicted: Array = pipeline.predict(X)
    if predicted.ndim == 2:
        return pd.DataFrame(predicted, columns=[f"{target}_{j + 1}" for j in range(predicted.shape[1])])
    result = pd.DataFrame({target: predicted})
    if hasattr(pipeline, "predict_proba"):
        names = [f"probability_{name}" for name in pipeline.classes_]
        result = pd.concat([result, pd.DataFrame(pipeline.predict_proba(X), columns=names)], axis=1)
    return result


def _score(pipeline: Pipeline, y: pd.Series[Any], predicted: pd.Series[Any]) -> str:
    """Say how good the predictions are where the file holds the target, too."""
    known = y.notna().to_numpy()
    truth, said = y[known], predicted[known]
    if hasattr(pipeline, "classes_"):
        right = float(np.mean(truth.astype(str).to_numpy() == said.astype(str).to_numpy()))
        return f"the file holds the target: {right:.1%} of {known.sum():,} rows are right"
    off = float(np.mean(np.abs(truth.to_numpy(dtype=float) - said.to_numpy(dtype=float))))
    return f"the file holds the target: predictions are {off:.4g} off on average over {known.sum():,} rows"


def show_run(run: Path) -> None:
    """Print what a run was, its network, how it ended and its scores."""
    pipeline, about = _open(run)
    measured = _read_json(run / "metrics.json")
    last = pipeline[-1]
    out = console()
    out.print(f"{about['command']}", soft_wrap=True, markup=False)
    print_network_table(getattr(last, "regressor_", last).network_)
    out.print(
        f"{measured['status']} after {measured['epochs']} epochs, {measured['seconds']:.1f} s: {measured['reason']}",
        markup=False,
    )
    out.print(f"[bold]{measured['headline']}[/bold]")
    numbers = {key: value for key, value in measured.items() if isinstance(value, float) and key != "seconds"}
    out.print("   ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in numbers.items()))
    out.print(f"report     {run / 'report.html'}", soft_wrap=True)


def _open(run: Path) -> tuple[Pipeline, dict[str, Any]]:
    if not run.is_dir():
        raise fault("RUN", "a folder that `glassnet fit` wrote", f"{run}, which is no folder")
    return load_pipeline(run / "model.skops"), _read_json(run / "config.json")


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise fault(str(path), "a JSON file that `glassnet fit` wrote", str(error)) from error
    if not isinstance(content, dict):
        raise fault(str(path), "a JSON object", type(content).__name__)
    return content
