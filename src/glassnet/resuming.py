"""Resuming: a run as it is stored at the end of an epoch, and the same run going on from there.

Stored are theta, the rule's slots and count of steps (which is the schedule's, too), the weight average, BatchNorm's
statistics, the states of both generators, the history, what the callbacks remember, the engine, and the arguments that
the result depends on. What is read is checked against the arguments of the call.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.checkpoints import Found, newest, stored
from glassnet.engines import Standing
from glassnet.errors import GlassnetError, fault
from glassnet.recording import Table
from glassnet.rules import RuleState
from glassnet.stepping import Data, EpochLoop, Setting, Start
from glassnet.watchers import Watcher, recall, remembered

__all__ = ["Resumed", "contents", "facts", "find", "resume_from"]

BLOCK = 2**24
"""Bytes of data that are turned into a digest at a time."""
SAME = "Call train with the arguments of the run that wrote it, or start anew in another folder."


# ---- storing ------------------------------------------------------------------------------------------------------


def facts(setting: Setting, start: Start, held_out: Data | None, metrics: Sequence[str]) -> dict[str, str]:
    """Return the arguments that the result depends on, each as a text; data by their digests."""
    objective, batches = setting.objective, setting.batches
    return {
        "network": _text(objective.net),
        "loss": _text(objective.loss_record),
        "l1 and l2": f"{objective.l1!r} and {objective.l2!r}",
        "optimizer": _text(setting.rule),
        "batch_size": str(batches.size),
        "sampling": _text(batches.draw),
        "drop_last": str(batches.drop_last),
        "average": repr(setting.average),
        "dtype of theta": start.theta.dtype.name,
        "X, Y and sample_weight": _digest(setting.data),
        "validation": _digest(held_out),
        "metrics": ", ".join(metrics),
    }


def _text(value: object) -> str:
    """Return the repr without addresses in memory, which another process has elsewhere."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))


def _digest(data: Data | None) -> str:
    if data is None:
        return "none"
    total = hashlib.sha256()
    for array in data:
        total.update(b"none" if array is None else f"{array.dtype.name} {array.shape}".encode())
        if array is not None:
            rows = max(1, BLOCK // max(array[:1].nbytes, 1))
            for start in range(0, len(array), rows):
                total.update(np.ascontiguousarray(array[start : start + rows]).tobytes())
    return f"{' '.join(str(array.shape) for array in data if array is not None)} {total.hexdigest()[:16]}"


def contents(
    loop: EpochLoop, setting: Setting, start: Start, table: Table, watchers: Sequence[Watcher], said: Mapping[str, str]
) -> dict[str, Any]:
    """Return the run as it stands at the end of an epoch, as `checkpoints.write` takes it."""
    standing = loop.standing()
    return {
        "facts": dict(said),
        "engine": loop.engine,
        "estimate": loop.estimate,
        "rate_factor": loop.rate_factor,
        "rule": start.rule_state.rule,
        "earlier_steps": start.rule_state.t,
        "standing": {field.name: getattr(standing, field.name) for field in fields(standing)},
        "order": setting.order.bit_generator.state,
        "noise": setting.noise.bit_generator.state,
        "table": table.stored(),
        "watchers": remembered(watchers),
    }


# ---- going on -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Resumed:
    """A checkpoint that fits the call: where to start, and what the run holds already."""

    start: Start
    engine: str
    estimate: str
    table: Mapping[str, Any]


def find(resume: str | Path | None, watchers: Sequence[Watcher]) -> Found | None:
    """Return the newest whole checkpoint in `resume`; None where there is none yet and a callback will write there.

    Warns of damaged ones. Raises GlassnetError where there is nothing to resume, where all are damaged, and where a
    callback would write beside the checkpoints of another run.
    """
    folders = [watcher.folder for watcher in watchers if watcher.folder is not None]
    place = next((watcher.folder for watcher in watchers if watcher.resume), None) if resume is None else Path(resume)
    for folder in folders:
        if (place is None or folder.resolve() != place.resolve()) and (old := stored(folder)):
            remedy = f"resume={str(folder)!r} goes on from there; or choose another folder."
            raise fault("the folder of Checkpoint", "without another run's checkpoints", f"epoch {max(old)}", remedy)
    if place is None:
        return None
    found = newest(place)
    if found is None and not any(folder.resolve() == place.resolve() for folder in folders):
        raise fault(
            "resume", "a folder with checkpoints", f"{place}, which has none", "Checkpoint(folder) writes them."
        )
    for line in () if found is None else found.damaged:
        text = f"a checkpoint is damaged ({line}); the one before it is used, of epoch {found.epoch if found else 0}."
        warnings.warn(text, RuntimeWarning, stacklevel=2)
    return found


def resume_from(
    found: Found, setting: Setting, start: Start, watchers: Sequence[Watcher], said: Mapping[str, str]
) -> Resumed:
    """Return where the stored run goes on, and give generators and callbacks back what they had.

    Raises GlassnetError where it is another run than the one that is called for.
    """
    content = found.content
    try:
        _compare(content["facts"], said, found.path)
        resumed = _restored(content, setting, start, found.path)
        recall(content["watchers"], watchers, str(found.path))
        for generator, name in ((setting.order, "order"), (setting.noise, "noise")):
            generator.bit_generator.state = content[name]
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, GlassnetError):
            raise
        received = f"another one ({type(error).__name__}: {' '.join(str(error).split())[:100]})"
        raise fault(str(found.path), "a checkpoint of a run like this", received, SAME) from error
    return resumed


def _compare(stored: Mapping[str, str], said: Mapping[str, str], path: Path) -> None:
    for name, text in said.items():
        if stored[name] != text:
            raise fault(f"{name} of a run resumed from {path}", stored[name], text, SAME)


def _restored(content: Mapping[str, Any], setting: Setting, start: Start, path: Path) -> Resumed:
    raw = content["standing"]
    slots, before = tuple(raw["slots"]), tuple(raw["before"])
    standing = Standing(**{**raw, "slots": slots, "before": before})
    rule_state = RuleState(int(content["earlier_steps"]), slots, content["rule"])
    given, theta = start.theta, standing.theta
    pairs = [(given, theta), (start.state, standing.state), (given, before[0]), (start.state, before[1])]
    pairs += list(zip(start.rule_state.slots, slots, strict=True))
    if setting.average is not None:
        pairs.append((given, standing.average))
    rows, table = standing.last_rows, Table(setting.batches, setting.schedule, 0, 0)
    table.restore(content["table"])
    known = (
        all(one.shape == other.shape and (one.dtype == other.dtype or not one.size) for one, other in pairs)
        and rule_state.rule == start.rule_state.rule
        and 0 < len(rows) <= setting.batches.size
        and rows.min() >= 0
        and rows.max() < len(setting.data[0])
        and sum(map(len, table.done)) == len(table) == standing.epochs
        and standing.updates == standing.epochs * setting.batches.steps
    )
    if not known:
        raise fault(str(path), "a checkpoint whose arrays fit this run", "others", SAME)
    if standing.epochs > setting.epochs:
        raise fault("epochs", f"at least the {standing.epochs} that were run", setting.epochs)
    begin = Start(theta, standing.state, rule_state, standing, float(content["rate_factor"]))
    return Resumed(begin, content["engine"], content["estimate"], content["table"])
