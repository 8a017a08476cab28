"""What `verbose=True` prints: scikit-learn's lines, one an epoch, on the standard output."""

from __future__ import annotations

from dataclasses import dataclass

from glassnet.history import EpochRecord
from glassnet.watchers import Watcher

__all__ = ["Lines"]


@dataclass(frozen=True)
class Lines:
    """Print the loss after each epoch or iteration, and the score of held-out rows where there is one."""

    score: str

    def start(self) -> Watcher:
        """Return a watcher for one run."""

        def after_epoch(record: EpochRecord) -> None:
            print(f"Iteration {record.epoch}, loss = {record.loss:.8f}")
            if self.score in record.scores:
                print(f"Validation score: {record.scores[self.score]:f}")

        return Watcher(after_epoch)
