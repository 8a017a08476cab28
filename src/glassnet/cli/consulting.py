"""`glassnet doctor`: why does the network of a run folder not learn?"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.pipeline import Pipeline

from glassnet.cli.fitting import SplitRows, split_rows
from glassnet.cli.predicting import open_run
from glassnet.cli.printing import say
from glassnet.cli.records import USUAL_L2, FitConfig
from glassnet.cli.run_folder import command_line
from glassnet.cli.sources import Source, open_source
from glassnet.errors import GlassnetError, fault
from glassnet.history import History
from glassnet.insight.doctor import diagnose
from glassnet.insight.findings import Finding
from glassnet.insight.remedies import Change

__all__ = ["consult", "rows_of"]


def consult(run: Path, data: str | None, try_remedies: bool) -> int:
    """Print the diagnosis of a run; return 0 where it is healthy, else 1.

    Raises GlassnetError for a folder that is no run, and where its data are gone or have other columns.
    """
    pipeline, about = open_run(run)
    config, part = _config(about, run), rows_of(run, pipeline, about, data)
    validation = (part.X_test, part.y_test) if part.is_held_out else None
    diagnosis = diagnose(pipeline, part.X, part.y, validation=validation, try_remedies=try_remedies)
    last = pipeline[-1]
    history = getattr(last, "regressor_", last).history_
    findings = [one for one in diagnosis.findings if not _is_of_our_making(one, pipeline, list(part.X.columns))]
    found = tuple(_as_command(one, config, history, len(part.X)) for one in findings)
    say(about["command"])
    say()
    for line in str(replace(diagnosis, subject=str(run), findings=found)).splitlines():
        say(line)
    return 0 if diagnosis.healthy else 1


def rows_of(run: Path, pipeline: Pipeline, about: dict[str, Any], data: str | None = None) -> SplitRows:
    """Return the rows that a run was trained on and those held out, read again from its source or from `data`.

    `pipeline` and `about` are what `open_run` gives. Raises GlassnetError where the data are gone, or have other
    columns.
    """
    config = _config(about, run)
    part = split_rows(_source(config, data), config)
    known: Any = getattr(pipeline, "feature_names_in_", None)
    if known is not None and list(known) != list(part.X.columns):
        received = f"{list(part.X.columns)[:5]} in {data or config.source}"
        raise fault("the data of the run", f"with the columns {list(known)[:5]}", received, "Give them with --data.")
    return part


def _config(about: dict[str, Any], run: Path) -> FitConfig:
    """Return the arguments that the run was started with."""
    given = about.get("arguments")
    names = {one.name for one in fields(FitConfig)}
    if not isinstance(given, dict) or not set(given) <= names or "source" not in given:
        raise fault(f"'arguments' in {run / 'config.json'}", "those of `glassnet fit`", repr(given)[:80])
    usual = given.get("l2") == USUAL_L2.get(str(about.get("task")))  # the file names the one that was used
    hidden = tuple(given.get("hidden", FitConfig.hidden))
    return FitConfig(**{**given, "hidden": hidden, "l2": None if usual else given.get("l2")})


def _source(config: FitConfig, data: str | None) -> Source:
    """Return the data of the run, or others that were given; a file that is gone is named with the remedy."""
    try:
        return open_source(data or config.source, config.target, config.task)
    except GlassnetError as error:
        if data is not None or Path(config.source).exists():
            raise
        raise GlassnetError(
            f"{error} The run was fitted to {config.source}: say where it is now with --data."
        ) from error


def _is_of_our_making(one: Finding, pipeline: Any, columns: list[str]) -> bool:
    """Whether a note is on columns that the pipeline has made, of a date for example: nobody can leave them out."""
    if one.severity != "note" or one.code not in ("inputs_constant", "inputs_duplicated") or len(pipeline.steps) < 2:
        return False
    made = list(pipeline[:-1].get_feature_names_out())
    return any(made[i] not in columns for change in one.remedy.changes for i in np.atleast_1d(change.value))


# ---- remedies as commands -----------------------------------------------------------------------------------------


def _as_command(one: Finding, config: FitConfig, history: History, m: int) -> Finding:
    """Return the finding with its remedy as another `glassnet fit`, where the options of `fit` can say it."""
    changes = one.remedy.changes
    options: dict[str, Any] = {}
    for change in changes:
        if change.what not in OPTIONS:
            return replace(one, remedy=replace(one.remedy, python=_in_words(one, change)))
        options |= OPTIONS[change.what](change, config, history, m)
    if not options:
        return one
    command = command_line(asdict(replace(config, out=None, **options)))
    return replace(one, remedy=replace(one.remedy, python=command))


def _in_words(one: Finding, change: Change) -> str:
    """Return what to do where no option of `fit` does it: with the table by hand, else in Python."""
    if change.what == "drop_columns" and one.remedy.python.startswith("X = X.drop("):
        return f"leave {one.where} out of the table"
    if change.what == "data":
        return one.remedy.python.partition("  # ")[2] or one.remedy.python
    return f"# `glassnet fit` has no option for this; in Python:\n{one.remedy.python}"


def _wider(change: Change, config: FitConfig, history: History, m: int) -> dict[str, Any]:
    return {"hidden": tuple(max(units, change.value) for units in config.hidden) or (change.value,)}


def _weaker(change: Change, config: FitConfig, history: History, m: int) -> dict[str, Any]:
    return {"l2": float(f"{change.value * float(config.l2 or 0):.2g}")} if config.l2 else {}


def _shorter(change: Change, config: FitConfig, history: History, m: int) -> dict[str, Any]:
    """Fewer epochs instead of early stopping, which `fit` decides by itself: as many as were best."""
    if "validation_loss" not in history.columns:
        return {}
    return {"epochs": max(int(history["epoch"][int(np.nanargmin(history["validation_loss"]))]), 1)}


OPTIONS: Mapping[str, Callable[[Change, FitConfig, History, int], dict[str, Any]]] = {
    "rate": lambda change, config, history, m: {"learning_rate": change.value},
    "batch_size": lambda change, config, history, m: {"batch_size": min(change.value, m)},
    "epochs": lambda change, config, history, m: {"epochs": change.value},
    "activation": lambda change, config, history, m: {"activation": change.value},
    "hidden": _wider,
    "penalty": _weaker,
    "early_stopping": _shorter,
}
"""What is changed -> the options of `glassnet fit` that change it; what is missing here is left as Python."""
