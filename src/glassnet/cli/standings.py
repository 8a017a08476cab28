"""The table of a search while it runs and when it has ended: one line for each setting, the best first."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean, stdev
from threading import Lock
from time import perf_counter
from types import TracebackType
from typing import Any, Self

import numpy as np
import pandas as pd
from rich.console import Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from glassnet.cli.printing import console, counted
from glassnet.cli.records import FitConfig
from glassnet.cli.search_space import AXES, axis_value, varying
from glassnet.insight import pictures

__all__ = ["SHOWN", "Standing", "Standings"]

SHOWN = 12
"""Lines of the table: more do not fit a terminal; all are in search.csv."""


@dataclass
class Standing:
    """A setting and the scores of its folds so far."""

    setting: FitConfig
    scores: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    @property
    def mean(self) -> float:
        """Mean score; -inf without one, so that it comes last."""
        return fmean(self.scores) if self.scores else -np.inf

    @property
    def error(self) -> float:
        """Standard error of the mean over the folds, s / sqrt(k); nan below two."""
        return stdev(self.scores) / len(self.scores) ** 0.5 if len(self.scores) > 1 else np.nan

    @property
    def size(self) -> tuple[float, ...]:
        """Simpler is smaller: fewer units, then a larger penalty."""
        return (sum(self.setting.hidden), len(self.setting.hidden), -(self.setting.l2 or 0.0))


class Standings:
    """Scores come in from the threads that fit; the table is redrawn with each, where there is a terminal."""

    def __init__(self, settings: Sequence[FitConfig], folds: int, score_name: str) -> None:
        self.lines = [Standing(setting) for setting in settings]
        self.axes, self.folds, self.score_name = varying(settings), folds, score_name
        self._lock, self._begin, self._live = Lock(), perf_counter(), Live(console=console(), auto_refresh=False)

    def __enter__(self) -> Self:
        if self._live.console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.update(Text(""), refresh=True)  # the table that stays is printed by the caller
            self._live.stop()

    def add(self, number: int, score: float) -> None:
        """Take the score of one fold of a setting."""
        with self._lock:
            self.lines[number].scores.append(score)
            if self._live.is_started:
                self._live.update(Group(self.table(), Text(self.progress())), refresh=True)

    @property
    def ranked(self) -> list[Standing]:
        """The settings, the best first: those with all folds before those without."""
        return sorted(self.lines, key=lambda line: (len(line.scores) < self.folds, -line.mean, line.size))

    @property
    def complete(self) -> list[Standing]:
        """The settings with a score for each fold, the best first."""
        return [line for line in self.ranked if len(line.scores) == self.folds]

    @property
    def as_good(self) -> list[Standing]:
        """The settings within one standard error of the best one, the simplest first."""
        best = self.complete[0]
        return sorted((line for line in self.complete if line.mean >= best.mean - best.error), key=lambda x: x.size)

    def progress(self) -> str:
        """Return "37 of 80 fits, 12 s, about 14 s left"."""
        done, total = sum(len(line.scores) for line in self.lines), len(self.lines) * self.folds
        seconds = perf_counter() - self._begin
        left = f", about {seconds / done * (total - done):.0f} s left" if 0 < done < total else ""
        return f"{done:,} of {counted(total, 'fit')}, {seconds:.0f} s{left}"

    def table(self) -> Table:
        """Return the best lines."""
        table = Table(box=None, pad_edge=False, header_style="dim")
        for name in self.axes:
            table.add_column(AXES[name], justify="right")
        for name in (self.score_name, "std. error", "folds"):
            table.add_column(name, justify="right")
        ranked = self.ranked
        for line in ranked[:SHOWN]:
            cells = [axis_value(line.setting, name) for name in self.axes]
            score = f"{line.mean:.4f}" if line.scores else ""
            error = f"{line.error:.4f}" if len(line.scores) > 1 else ""
            style = "bold" if line is ranked[0] else ""
            table.add_row(*cells, score, error, f"{len(line.scores)}/{self.folds}", style=style)
        return table

    def to_frame(self) -> pd.DataFrame:
        """Return a row for each setting, the best first: its values, mean, standard error, and each fold."""
        rows: list[dict[str, Any]] = []
        for line in self.ranked:
            values = {name: axis_value(line.setting, name) for name in AXES}
            scores = [*line.scores, *[np.nan] * (self.folds - len(line.scores))]
            mean = line.mean if line.scores else np.nan
            rows.append({**values, f"mean_{self.score_name}": mean, "standard_error": line.error}
                        | {f"fold_{k}": score for k, score in enumerate(scores, 1)})  # fmt: skip
        return pd.DataFrame(rows)

    def picture(self) -> pictures.Figure:
        """Draw the map of the first two axes that vary; a cell holds the best over all others."""
        across, up = (*self.axes, None)[:2]
        columns = list(dict.fromkeys(axis_value(line.setting, str(across)) for line in self.lines))
        rows = list(dict.fromkeys(axis_value(line.setting, up) for line in self.lines)) if up else [""]
        cells = np.full((len(rows), len(columns)), np.nan)
        best = 0, 0
        for line in reversed(self.complete):  # the best is written last
            row = rows.index(axis_value(line.setting, up)) if up else 0
            best = row, columns.index(axis_value(line.setting, str(across)))
            cells[best] = line.mean
        size = max(4.2, 0.8 * len(columns) + 1.6), max(2.6, 0.45 * len(rows) + 1.6)
        figure, (ax,) = pictures.grid_of_axes(1, 1, size)
        texts = [[f"{cell:.3f}" if np.isfinite(cell) else "no score" for cell in line] for line in cells]
        pictures.heat_map(ax, cells, rows, columns, texts, framed=best)
        others = [AXES[name] for name in self.axes[2:]]
        best_of = f"\nin each cell the best over {' and '.join(others)}" if others else ""
        ax.set(xlabel=AXES[str(across)], ylabel=AXES[up] if up else "")
        ax.set_title(
            f"{self.score_name}, mean of {self.folds} folds; framed: the best{best_of}", loc="left", fontsize=10
        )
        return figure
