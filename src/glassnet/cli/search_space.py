"""What `glassnet search` is asked for: lists of values, and every combination of them as a `FitConfig`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, TypeVar

from glassnet.cli.records import FitConfig
from glassnet.errors import GlassnetError, fault
from glassnet.solvers import METHODS

__all__ = ["AXES", "MOST_SETTINGS", "SearchConfig", "axis_value", "parse_list"]

T = TypeVar("T")

MOST_SETTINGS = 10_000
"""More are a slip of the keyboard: a day of fits, and a table that nobody reads."""
AXES = {
    "learning_rate": "learning rate",
    "l2": "l2",
    "hidden": "hidden units",
    "batch_size": "batch size",
    "activation": "activation",
}
"""Argument of `FitConfig` -> what tables and pictures call it; pictures take the first two that vary."""
RATES, PENALTIES = (0.001, 0.003, 0.01, 0.03), (1e-4, 1e-3, 1e-2, 1e-1)


def parse_list(option: str, text: str, parse: Callable[[str], T], example: str) -> tuple[T, ...]:
    """Return (0.1, 1.0) for "0.1,1"; raises GlassnetError for what is no list of such values, or names one twice."""
    try:
        values = tuple(parse(part.strip()) for part in text.split(","))
    except ValueError:
        raise fault(option, "values with commas between them", repr(text), f"For example {example}.") from None
    if len(set(values)) < len(values):
        raise fault(option, "each value once", repr(text))
    return values


@dataclass(frozen=True)
class SearchConfig:
    """The base, with what all settings share, and the values to try. () for rates and penalties: the usual ones.

    Raises GlassnetError for a value that `glassnet fit` would refuse, fewer than two settings, or fewer than two folds.
    """

    base: FitConfig
    width: tuple[int, ...] = (100,)
    depth: tuple[int, ...] = (1,)
    learning_rate: tuple[float, ...] = ()
    l2: tuple[float, ...] = ()
    batch_size: tuple[int, ...] = (32,)
    activation: tuple[str, ...] = ("relu",)
    cv: int = 5

    def __post_init__(self) -> None:
        if self.cv < 2:
            raise fault("--cv", "at least 2 folds", self.cv)
        for option, values, least in (("--width", self.width, 1), ("--depth", self.depth, 0)):
            if min(values) < least:
                raise fault(option, f"whole numbers of at least {least}", min(values))
        if self.base.solver in METHODS and self.learning_rate:
            raise GlassnetError(f"--learning-rate is for rules such as adam; {self.base.solver!r} chooses its steps.")
        if max(self.depth) > 100:
            raise fault("--depth", "at most 100 hidden layers", max(self.depth))
        self.settings()

    def settings(self) -> list[FitConfig]:
        """Return every combination, each checked as `glassnet fit` checks its arguments."""
        rates = self.learning_rate or ((self.base.learning_rate,) if self.base.solver in METHODS else RATES)
        shapes, l2s = list(dict.fromkeys((w,) * d for d in self.depth for w in self.width)), self.l2 or PENALTIES
        n = len(shapes) * len(rates) * len(l2s) * len(self.batch_size) * len(self.activation)
        if not 2 <= n <= MOST_SETTINGS:
            raise fault("the search", f"2 to {MOST_SETTINGS:,} settings", f"{n:,}", "For example --width 20,50,100.")
        return [
            replace(self.base, hidden=hidden, learning_rate=rate, l2=l2, batch_size=size, activation=name)
            for hidden, rate, l2, size, name in product(shapes, rates, l2s, self.batch_size, self.activation)
        ]


def varying(settings: Sequence[FitConfig]) -> list[str]:
    """Return the arguments of AXES in which the settings differ."""
    return [name for name in AXES if len({getattr(setting, name) for setting in settings}) > 1]


def axis_value(setting: FitConfig, name: str) -> str:
    """Return a value as the tables show it: 0.001, 50,50, relu."""
    value: Any = getattr(setting, name)
    if name == "hidden":
        return ",".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
