"""Sampling: which rows make the batches of an epoch.

shuffle      every row once, in a new order each epoch (without replacement)
sequential   every row once, in the given order
bootstrap    m rows drawn with replacement
batches      the rows are cut into fixed batches once, and whole batches are drawn with replacement

A function of your own, (m, batch size, rng) -> rows (m,), takes the place of a name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from glassnet.errors import choose, fault

__all__ = ["SAMPLINGS", "Batches", "Draw", "Rows", "Sampling", "drawing", "is_shuffle", "keeps_order"]

Rows = slice | npt.NDArray[np.intp]
Draw = Callable[[int, int, np.random.Generator], npt.NDArray[np.intp] | None]
"""(m, batch size, rng) -> the rows (m,) of one epoch in turn; None: in their own order."""
Sampling = Literal["shuffle", "sequential", "bootstrap", "batches"] | Draw


@dataclass(frozen=True)
class Batches:
    """How the m rows of an epoch are cut into batches."""

    m: int
    size: int
    draw: Draw
    drop_last: bool

    def __post_init__(self) -> None:
        if self.drop_last and self.size > self.m:
            raise fault("batch_size", f"at most the {self.m} rows with drop_last", self.size)

    @property
    def smallest(self) -> int:
        """Return the rows of the smallest batch of an epoch."""
        rest = self.m % self.size
        return min(self.size, self.m) if self.drop_last or rest == 0 or self.size > self.m else rest

    @property
    def rows(self) -> int:
        """Return how many rows an epoch visits."""
        return self.m - self.m % self.size if self.drop_last else self.m

    @property
    def steps(self) -> int:
        """Return how many batches make an epoch."""
        return -(-self.rows // self.size)

    def drawn(self, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Return the rows of an epoch, one batch after the other."""
        rows = self._order(rng)
        return np.arange(self.rows) if rows is None else rows[: self.rows]

    def _order(self, rng: np.random.Generator) -> npt.NDArray[np.intp] | None:
        """Return the rows in turn; those that a function of your own has drawn are checked, since engines are not."""
        rows = self.draw(self.m, self.size, rng)
        if rows is None or self.draw in SAMPLINGS.values():
            return rows
        rows = np.asarray(rows)
        if rows.shape != (self.m,) or rows.dtype.kind not in "iu":
            raise fault("the rows that sampling draws", f"({self.m},) whole numbers", f"{rows.shape} of {rows.dtype}")
        if rows.min() < 0 or rows.max() >= self.m:
            raise fault("the rows that sampling draws", f"from 0 to {self.m - 1}", f"{rows.min()} to {rows.max()}")
        return rows

    def epoch(self, rng: np.random.Generator) -> Iterator[Rows]:
        """Yield the rows of each batch of an epoch, as a slice or as indices (batch,)."""
        if keeps_order(self) and self.size >= self.m:
            yield slice(0, self.m)
            return
        rows = self._order(rng)
        end = self.m - self.m % self.size if self.drop_last else self.m
        for start in range(0, end, self.size):
            stop = min(start + self.size, end)
            yield slice(start, stop) if rows is None else rows[start:stop]


def is_shuffle(batches: Batches) -> bool:
    """Whether each epoch visits the rows in a new order, without replacement."""
    return batches.draw is _shuffle


def keeps_order(batches: Batches) -> bool:
    """Whether every epoch visits the rows in their own order: so it is with one batch that holds them all."""
    whole = batches.size >= batches.m and batches.draw in (_shuffle, _fixed_batches)
    return whole or batches.draw is _sequential


def _shuffle(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return rng.permutation(m)


def _sequential(m: int, size: int, rng: np.random.Generator) -> None:
    return None


def _bootstrap(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    return rng.integers(0, m, m)


def _fixed_batches(m: int, size: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw whole batches with replacement; a batch that the rows do not fill is never drawn."""
    chosen = rng.integers(0, m // size, -(-m // size))
    return (chosen[:, None] * size + np.arange(size)).ravel()[:m]


SAMPLINGS: Mapping[str, Draw] = {
    "shuffle": _shuffle,
    "sequential": _sequential,
    "bootstrap": _bootstrap,
    "batches": _fixed_batches,
}


def drawing(sampling: Any) -> Draw:
    """Return the function that draws the rows of an epoch; raises GlassnetError for an unknown name."""
    draw: Draw = sampling if callable(sampling) else choose("sampling", sampling, SAMPLINGS)
    return draw
