"""Progress: what a run says of itself while it runs, on a terminal and in a file."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field

from glassnet.engines.storage import is_compiling
from glassnet.history import EpochRecord
from glassnet.watchers import Watcher

__all__ = ["Progress"]

NARROW = 72
"""A terminal of fewer columns has room for the numbers alone, not for a bar beside them."""


@dataclass(frozen=True)
class Progress:
    """Show epoch, loss, validation score and time left: a live line on a terminal, about ten plain lines elsewhere."""

    show: tuple[str, ...] = field(default=())
    """Scores to show besides the loss; all of them when left empty."""

    def start(self) -> Watcher:
        """Return a watcher for one run."""
        return self._live() if sys.stderr.isatty() else self._plain()

    def _text(self, record: EpochRecord) -> str:
        scores = {name: record.scores[name] for name in self.show or record.scores if name in record.scores}
        parts = [f"loss {record.loss:.4g}", *(f"{name.replace('_', ' ')} {v:.4g}" for name, v in scores.items())]
        return "  ".join(parts)

    def _plain(self) -> Watcher:
        def after_epoch(record: EpochRecord) -> None:
            if record.epoch == 1 or record.epoch % max(record.epochs // 10, 1) == 0:
                left = record.seconds / max(record.epoch, 1) * (record.epochs - record.epoch)
                print(
                    f"epoch {record.epoch:>5}/{record.epochs}  {self._text(record)}  about {left:.1f} s left",
                    file=sys.stderr,
                )

        return Watcher(after_epoch)

    def _live(self) -> Watcher:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
        from rich.text import Text

        class State(TextColumn):
            def render(self, task: Task) -> Text:
                waits = task.total is None and is_compiling()
                return Text("compiling, before the first epoch") if waits else super().render(task)

        console = Console(stderr=True)
        parts = [TextColumn("epoch"), MofNCompleteColumn(), BarColumn(bar_width=24), State("{task.description}")]
        if console.width < NARROW:
            del parts[2]
        bar = Progress(*parts, TimeRemainingColumn(), console=console, refresh_per_second=8)
        task = bar.add_task("", total=None)
        bar.start()

        def after_epoch(record: EpochRecord) -> None:
            bar.update(task, total=record.epochs, completed=record.epoch, description=self._text(record))

        return Watcher(after_epoch, bar.stop)
