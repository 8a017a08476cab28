"""`glassnet predict` and `glassnet show`: what to do with a run folder."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.pipeline import Pipeline

from glassnet import tables
from glassnet.arrays import Array
from glassnet.cli.measuring import Evaluation
from glassnet.cli.printing import counted, print_evaluation, print_how_it_ended, print_network_table, say
from glassnet.cli.run_folder import UNFINISHED, read_json
from glassnet.cli.sources import class_names
from glassnet.errors import GlassnetError, fault
from glassnet.persistence import atomic_write, load, load_pipeline

__all__ = ["open_run", "predict_and_write", "show_run"]

OTHER_TABLES = (".parquet", ".jsonl", ".ndjson", ".tsv", ".gz")
"""Endings that would promise another format than the one that is written."""


def predict_and_write(run: Path, file: Path, output: Path | None) -> None:
    """Print or write one row of predictions for each row of the table, with probabilities for a classifier.

    Raises GlassnetError for a folder that is no run, a table that does not fit, and a place that cannot be written.
    """
    if output is not None:
        _check_output(output, file)
    pipeline, about = open_run(run)
    frame = tables.read_table(file)
    X = _features(pipeline, frame)
    result = predictions(pipeline, X, about["target"])
    text = result.to_csv(index=False, float_format="%.6g")
    if output is None:
        sys.stdout.write(text)
        return
    atomic_write(output, text.encode())
    say(f"wrote {counted(len(result), 'prediction')} to {output}")
    if about["target"] in frame.columns:
        say(_score(pipeline, frame[about["target"]], result.iloc[:, 0]))


def _check_output(output: Path, file: Path) -> None:
    if output.suffix.lower() in OTHER_TABLES:
        raise fault("--output", "a CSV file", str(output), f"For example {output.with_suffix('.csv')}.")
    if output.exists() and file.exists() and output.samefile(file):
        raise fault("--output", "another file than the one that is read", str(output), "It would be overwritten.")


def _features(pipeline: Pipeline, frame: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that were learned from; numbers must be numbers, and dates dates, as they were then."""
    kinds = getattr(pipeline[0], "kind_to_columns_", None)
    if kinds is not None:
        names = pipeline.feature_names_in_
        return tables.check_columns(frame, names, numbers=kinds["numeric"], dates=kinds["datetime"])
    X = tables.check_columns(frame, pipeline.feature_names_in_, numbers=pipeline.feature_names_in_)
    if incomplete := [name for name in X.columns if X[name].isna().any()]:  # images: nothing fills them up
        row = int(X[incomplete[0]].isna().to_numpy().argmax())
        raise fault(f"column {incomplete[0]!r}", "known in every row", f"nothing in row {row}", "Fill it in first.")
    return X


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
    is_class = hasattr(pipeline, "classes_")
    truth = y if is_class else pd.to_numeric(y, errors="coerce")
    known = truth.notna().to_numpy()
    over = counted(int(known.sum()), "row")
    if not known.any():
        return f"the file has the target {y.name!r}, too, but no value to compare with"
    if is_class:
        right = float(np.mean(class_names(truth[known]) == predicted[known].to_numpy(dtype=str)))
        return f"the file holds the target: {right:.1%} of {over} are right"
    off = float(np.mean(np.abs(truth[known].to_numpy(dtype=float) - predicted[known].to_numpy(dtype=float))))
    return f"the file holds the target: predictions are {off:.4g} off on average over {over}"


def show_run(run: Path) -> None:
    """Print what a run was, its network, how it ended and its scores."""
    _check_run(run)
    net, about, path = load(run / "network.safetensors").net, _about(run), run / "metrics.json"  # not the whole model
    try:
        measured = Evaluation.from_json(read_json(path))
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, GlassnetError):
            raise
        raise fault(str(path), "as `glassnet fit` wrote it", f"{type(error).__name__}: {error}") from error
    say(about["command"])
    print_network_table(net)
    print_how_it_ended(measured)
    say()
    print_evaluation(measured)
    say()
    say(f"report     {run / 'report.html'}")


def open_run(run: Path) -> tuple[Pipeline, dict[str, str]]:
    """Return the pipeline of a run, and what `config.json` says of it: its target and its command.

    Raises GlassnetError for a folder that `glassnet fit` did not write.
    """
    _check_run(run)
    return load_pipeline(run / "model.skops"), _about(run)


def _check_run(run: Path) -> None:
    if not (run / "model.skops").is_file():
        received = f"{run}, which {'has no model.skops' if run.is_dir() else 'is no folder'}"
        unfinished = run.with_name(f"{run.name}{UNFINISHED}") if run.name else run
        remedy = f"It broke off; go on with: glassnet fit --resume {run}" if unfinished.is_dir() and run.name else ""
        raise fault("RUN", "a folder that `glassnet fit` wrote", received, remedy)


def _about(run: Path) -> dict[str, Any]:
    about = read_json(run / "config.json")
    for name in ("target", "command"):
        if not isinstance(about.get(name), str):
            raise fault(f"{name!r} in {run / 'config.json'}", "text", repr(about.get(name)))
    return about
