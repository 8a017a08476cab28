"""The folder that a run leaves: written beside its place and moved there when whole."""

from __future__ import annotations

import json
import os
import secrets
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

from glassnet.cli.measuring import Evaluation, layer_numbers, make_report
from glassnet.cli.records import FitConfig, Fitted
from glassnet.errors import fault
from glassnet.insight.report import render
from glassnet.persistence import save, save_pipeline

__all__ = ["RunFolder", "command_line", "versions", "write_json"]


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    names = ("glassnet", "numpy", "scipy", "scikit-learn", "pandas", "skrub", "skops", "safetensors")
    return {"python": sys.version.split()[0], **{name: version(name) for name in names}}


@dataclass(frozen=True)
class RunFolder:
    """A place for the results: reserved before the work begins, so that a bad one costs nothing.

    An existing folder is never touched: runs/digits, runs/digits-2, runs/digits-3 ...
    """

    wanted: Path
    partial: Path
    made: tuple[Path, ...]
    """The folders above it that were made, the innermost first."""

    @classmethod
    def reserve(cls, out: str | None, name: str) -> Self:
        """Make a hidden folder beside the wanted one; raises GlassnetError where nothing can be written."""
        wanted = Path("runs", Path(name).name.split(".")[0] or "run") if out is None else Path(out)
        if wanted.name in ("", ".."):
            raise fault("--out", "a folder with a name of its own", repr(out), f"For example {wanted / 'run'}.")
        partial = wanted.parent / f".{wanted.name}-{secrets.token_hex(4)}"
        made: list[Path] = []
        try:
            if wanted.exists() and not wanted.is_dir():
                raise NotADirectoryError(0, "a file")
            made += [parent for parent in wanted.parents if not parent.exists()]
            wanted.parent.mkdir(parents=True, exist_ok=True)
            partial.mkdir()
        except OSError as error:
            _remove(made)
            remedy = "Choose another place with --out."
            raise fault("--out", "a folder that can be made", f"{wanted} ({error.strerror})", remedy) from error
        return cls(wanted, partial, tuple(made))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        shutil.rmtree(self.partial, ignore_errors=True)  # after a success it has moved and is no longer there
        _remove(self.made)

    def write(self, fitted: Fitted, measured: Evaluation) -> Path:
        """Write every file, then move the folder to the first free name; return its path."""
        try:
            self._write_files(fitted, measured)
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
        estimator.history_.to_frame().to_csv(here / "history.csv", index=False)
        write_json(here / "metrics.json", measured.to_json())
        used = {**config, "l2": fitted.config.used_l2(fitted.source.kind)}
        about = {"arguments": used, "task": fitted.source.kind, "target": fitted.source.target}
        write_json(here / "config.json", {**about, "command": command_line(config), "versions": versions()})
        report = make_report(fitted, measured, layer_numbers(fitted), command_line(config), versions())
        (here / "report.html").write_text(render(report), encoding="utf-8")

    def _move(self) -> Path:
        number = 1
        while True:
            place = self.wanted if number == 1 else self.wanted.with_name(f"{self.wanted.name}-{number}")
            if not os.path.lexists(place):  # a link that points nowhere is there, too
                self.partial.rename(place)
                return place
            number += 1


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
    """Write a value as JSON that a person can read."""
    path.write_text(json.dumps(value, indent=2, default=_plain) + "\n", encoding="utf-8")


def _plain(value: object) -> object:
    """Return NumPy's numbers and arrays as Python's."""
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else str(value)
