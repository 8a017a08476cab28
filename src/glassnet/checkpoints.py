"""Checkpoints on disk: one sealed file an epoch, `checkpoint-00000012.safetensors`, and two of them kept.

What is stored is any nesting of mappings with text for names, lists, arrays, numbers, text and None. Arrays keep their
dtype and their bits, Python's floats theirs (JSON writes the shortest text that reads back as the same number).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from glassnet.arrays import Array
from glassnet.atomic import write_atomically
from glassnet.errors import GlassnetError, fault
from glassnet.sealed import check_seal, one_line, read, seal

__all__ = ["FORMAT", "Found", "newest", "stored", "write"]

FORMAT = 1
"""The version of the format; a file of another one is refused."""

NAME = re.compile(r"checkpoint-(\d{8,})\.safetensors")


@dataclass(frozen=True, eq=False)
class Found:
    """A checkpoint that was read: what it holds, and a line for each newer one that could not be read."""

    path: Path
    epoch: int
    content: Mapping[str, Any]
    damaged: tuple[str, ...] = ()


def stored(folder: Path) -> dict[int, Path]:
    """Return the checkpoints in a folder by their epochs, newest first; none where there is no such folder."""
    try:
        names = [(NAME.fullmatch(path.name), path) for path in folder.iterdir()] if folder.is_dir() else []
    except OSError as error:
        raise fault(str(folder), "a folder that can be read", error.strerror or str(error)) from error
    return dict(sorted(((int(name[1]), path) for name, path in names if name), reverse=True))


def write(folder: Path, epoch: int, content: Mapping[str, Any], before: Path | None) -> Path:
    """Write the checkpoint of an epoch, all or nothing; then remove all others but `before`, and what a kill has left.

    Raises GlassnetError where it cannot be written: then every older one is still there.
    """
    path = folder / f"checkpoint-{epoch:08}.safetensors"
    tensors: dict[str, Array] = {}
    about = {"checkpoint": FORMAT, "content": _flat(content, "", tensors)}
    try:
        data = seal(about, tensors)
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise fault(str(folder), "a folder that can be made", error.strerror or str(error)) from error
    except (TypeError, ValueError, KeyError) as error:
        raise fault("a checkpoint", "made of numbers, text and arrays", one_line(error)) from error
    write_atomically(path, data)
    old = [other for other in stored(folder).values() if other not in (path, before)]
    with suppress(OSError):  # what cannot be removed stays: the newest is read first
        for other in (*old, *folder.glob(".checkpoint-*.tmp")):
            other.unlink(missing_ok=True)
    return path


def newest(folder: Path) -> Found | None:
    """Return the newest checkpoint of a folder that is whole; None where the folder holds none at all.

    Raises GlassnetError where all of them are damaged.
    """
    damaged: list[str] = []
    for epoch, path in stored(folder).items():
        try:
            return Found(path, epoch, _read(path), tuple(damaged))
        except GlassnetError as error:
            damaged.append(str(error))
    if damaged:
        raise fault(str(folder), "a folder with a whole checkpoint", " | ".join(damaged), "Start again in another one.")
    return None


def _read(path: Path) -> dict[str, Any]:
    tensors, about = read(path, "a checkpoint of glassnet")
    if about.get("checkpoint") != FORMAT:
        received = f"format {about.get('checkpoint')!r}"
        raise fault(str(path), f"a checkpoint of format {FORMAT}", received, "Resume with the glassnet that wrote it.")
    try:
        content = _nested(check_seal(path, about, tensors)["content"], tensors)
    except (LookupError, TypeError, ValueError, RecursionError) as error:
        if isinstance(error, GlassnetError):
            raise
        raise fault(str(path), "a checkpoint", one_line(error)) from error
    if not isinstance(content, dict):
        raise fault(str(path), "a checkpoint", type(content).__name__)
    return content


def _flat(value: Any, name: str, tensors: dict[str, Array]) -> Any:
    """Return the value as JSON, its arrays moved to `tensors` under the path that led to them."""
    if isinstance(value, np.ndarray):
        tensors[name] = value
        return {"$array": name}
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return {"$number": str(value)}
    if isinstance(value, Mapping):
        return {key: _flat(part, f"{name}.{key}".lstrip("."), tensors) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_flat(part, f"{name}.{i}", tensors) for i, part in enumerate(value)]
    return value


def _nested(value: Any, tensors: Mapping[str, Array]) -> Any:
    """Return what `_flat` was given, tuples as lists."""
    if isinstance(value, dict):
        if set(value) == {"$array"}:
            return tensors[value["$array"]]
        if set(value) == {"$number"}:
            return float(value["$number"])
        return {key: _nested(part, tensors) for key, part in value.items()}
    if isinstance(value, list):
        return [_nested(part, tensors) for part in value]
    return value
