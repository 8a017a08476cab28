"""The folder that a run leaves: written beside its place, in `NAME.unfinished`, and moved there when whole.

Until then it holds the arguments and the checkpoints, from which `glassnet fit --resume` goes on.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from glassnet.checkpoints import stored
from glassnet.cli.measuring import Evaluation, layer_numbers, make_report
from glassnet.cli.printing import say
from glassnet.cli.records import FitConfig, Fitted
from glassnet.errors import GlassnetError, fault
from glassnet.insight.report import render
from glassnet.persistence import atomic_write, save, save_pipeline

__all__ = ["UNFINISHED", "RunFolder", "command_line", "read_json", "versions", "write_json"]

UNFINISHED = ".unfinished"
"""What the name of a run ends in while it is not."""


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    names = ("glassnet", "numpy", "scipy", "scikit-learn", "pandas", "skrub", "skops", "safetensors")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


@dataclass(frozen=True)
class RunFolder:
    """A place for the results: reserved before the work begins, so that a bad one costs nothing.

    An existing folder is never touched: runs/digits, runs/digits-2, runs/digits-3 ... A run that breaks off keeps its
    `partial` folder, runs/digits.unfinished, where it has checkpoints.
    """

    wanted: Path
    partial: Path
    made: tuple[Path, ...]
    """The folders above it that were made, the innermost first."""

    @classmethod
    def reserve(cls, out: str | None, name: str) -> Self:
        """Make a folder beside the wanted one; raises GlassnetError where nothing can be written."""
        wanted = Path("runs", Path(name).name.split(".")[0] or "run") if out is None else Path(out)
        if wanted.name in ("", ".."):
            raise fault("--out", "a folder with a name of its own", repr(out), f"For example {wanted / 'run'}.")
        made: list[Path] = []
        try:
            if wanted.exists() and not wanted.is_dir():
                raise NotADirectoryError(0, "a file")
            made += [parent for parent in wanted.parents if not parent.exists()]
            wanted.parent.mkdir(parents=True, exist_ok=True)
            partial = _first_free(wanted.with_name(wanted.name + UNFINISHED))
            partial.mkdir()
        except OSError as error:
            _remove(made)
            remedy = "Choose another place with --out."
            raise fault("--out", "a folder that can be made", f"{wanted} ({error.strerror})", remedy) from error
        return cls(wanted, partial, tuple(made))

    @classmethod
    def again(cls, run: Path) -> tuple[Self, FitConfig]:
        """Return the folder of a run that broke off, or whose name is `run`, and its arguments.

        Raises GlassnetError where there is none.
        """
        beside = run.with_name(run.name + UNFINISHED) if run.name else run
        partial = run if UNFINISHED in run.name or not beside.is_dir() else beside
        if not (partial / "config.json").is_file() or ((partial / "model.skops").exists() and partial == run):
            has = "is finished" if (partial / "model.skops").exists() else "is no such folder"
            remedy = "Runs that broke off end in .unfinished."
            raise fault("--resume", "the folder of a run that broke off", f"{run}, which {has}", remedy)
        config = _stored_config(partial / "config.json")
        return cls(partial.with_name(partial.name.partition(UNFINISHED)[0]), partial, ()), config

    @property
    def checkpoints(self) -> Path:
        """The folder in it for checkpoints."""
        return self.partial / "checkpoints"

    def begin(self, config: FitConfig) -> None:
        """Write down the arguments, for the case that the run breaks off."""
        about = {"arguments": asdict(config), "command": command_line(asdict(config)), "versions": versions()}
        write_json(self.partial / "config.json", about)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if stored(self.checkpoints):
            say(f"what was learned is kept; go on with: glassnet fit --resume {shlex.quote(str(self.partial))}")
            return
        shutil.rmtree(self.partial, ignore_errors=True)  # after a success it has moved and is no longer there
        _remove(self.made)

    def write(self, fitted: Fitted, measured: Evaluation) -> Path:
        """Write every file, then move the folder to the first free name; return its path."""
        try:
            self._write_files(fitted, measured)
            shutil.rmtree(self.checkpoints, ignore_errors=True)
            return self._move()
        except OSError as error:
            raise fault("--out", "a place that can be written", f"{self.wanted} ({error.strerror})") from error

    def keep(self) -> Path:
        """Move what was written so far to the first free name; return its path."""
        return self._move()

    def _write_files(self, fitted: Fitted, measured: Evaluation) -> None:
        estimator, here = fitted.estimator, self.partial
        config = asdict(fitted.config)
        save_pipeline(here / "model.skops", fitted.pipeline)
        save(
            here / "network.safetensors", estimator.network_, estimator.theta_, metadata={"source": fitted.source.name}
        )
        atomic_write(here / "history.csv", estimator.history_.to_frame().to_csv(index=False).encode())
        write_json(here / "metrics.json", measured.to_json())
        used = {**config, "l2": fitted.config.used_l2(fitted.source.kind)}
        about = {"arguments": used, "task": fitted.source.kind, "target": fitted.source.target}
        write_json(here / "config.json", {**about, "command": command_line(config), "versions": versions()})
        report = make_report(fitted, measured, layer_numbers(fitted), command_line(config), versions())
        atomic_write(here / "report.html", render(report).encode())

    def _move(self) -> Path:
        place = _first_free(self.wanted)
        self.partial.rename(place)
        return place


def _first_free(wanted: Path) -> Path:
    """Return NAME, NAME-2, NAME-3 ...: the first where nothing is."""
    place, number = wanted, 1
    while os.path.lexists(place):  # a link that points nowhere is there, too
        number += 1
        place = wanted.with_name(f"{wanted.name}-{number}")
    return place


def _stored_config(path: Path) -> FitConfig:
    arguments = read_json(path).get("arguments")
    try:
        known: dict[str, Any] = {
            name: tuple(value) if name == "hidden" else value for name, value in dict(arguments or ()).items()
        }
        for name in ("source", "target", "task", "activation", "solver", "out", "engine"):
            if not isinstance(known.get(name), str | None) or known.get("source") is None:
                raise TypeError(f"{name} is {known.get(name)!r}")
        return FitConfig(**known)
    except (TypeError, ValueError) as error:
        if isinstance(error, GlassnetError):
            raise
        received = f"{type(error).__name__}: {error}"
        raise fault(str(path), "the arguments of a run that broke off", received) from error


def _remove(folders: Iterable[Path]) -> None:
    """Remove folders that are empty, the innermost first."""
    for folder in folders:
        with suppress(OSError):  # not empty, or never made
            folder.rmdir()


def command_line(config: dict[str, Any]) -> str:
    """Return the command that does the same again, defaults left out."""
    default = asdict(FitConfig(config["source"]))
    words = ["glassnet", "fit", shlex.quote(str(config["source"]))]
    for name, value in config.items():
        if name != "source" and value != default[name]:
            text = ",".join(map(str, value)) or "0" if isinstance(value, tuple) else str(value)
            words += [f"--{name.replace('_', '-')}", shlex.quote(text)]
    return " ".join(words)


def write_json(path: Path, value: object) -> None:
    """Write a value as JSON that a person can read, all or nothing."""
    atomic_write(path, (json.dumps(value, indent=2, default=_plain) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object of a run folder; raises GlassnetError, one line, where it is not one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise fault(str(path), "a file that `glassnet fit` wrote", error.strerror) from error
    except (ValueError, RecursionError) as error:
        raise fault(str(path), "a JSON file that `glassnet fit` wrote", str(error)) from error
    if not isinstance(content, dict):
        raise fault(str(path), "a JSON object", type(content).__name__)
    return content


def _plain(value: object) -> object:
    """Return NumPy's numbers and arrays as Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
