"""`glassnet doctor`: why does the network of a run folder not learn?"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from glassnet.cli.fitting import SplitRows, split_rows
from glassnet.cli.predicting import open_run
from glassnet.cli.printing import say
from glassnet.cli.records import FitConfig
from glassnet.cli.sources import open_source
from glassnet.errors import fault
from glassnet.insight.doctor import diagnose

__all__ = ["consult", "rows_of"]


def consult(run: Path, data: str | None, try_remedies: bool) -> int:
    """Print the diagnosis of a run; return 0 where it is healthy, else 1.

    Raises GlassnetError for a folder that is no run, and where its data are gone or have other columns.
    """
    pipeline, about = open_run(run)
    part = rows_of(run, data)
    validation = (part.X_test, part.y_test) if part.is_held_out else None
    diagnosis = diagnose(pipeline, part.X, part.y, validation=validation, try_remedies=try_remedies)
    say(f"{run}: {about['command']}")
    say()
    for line in str(diagnosis).splitlines():
        say(line)
    return 0 if diagnosis.healthy else 1


def rows_of(run: Path, data: str | None = None) -> SplitRows:
    """Return the rows that a run was trained on and those held out, read again from its source or from `data`.

    Raises GlassnetError for a folder that is no run, and where its data are gone or have other columns.
    """
    pipeline, about = open_run(run)
    config = _config(about, run)
    source = open_source(data or config.source, config.target, config.task)
    part = split_rows(source, config)
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
    return FitConfig(**{**given, "hidden": tuple(given["hidden"])})
