"""What an experiment returns: a question, a table of figures beside the expected ones, a picture, and what it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glassnet.network import Network
from glassnet.objective import Objective

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Experiment", "Row", "at_least", "at_most", "between", "close", "equal", "reproducible", "shown"]


def reproducible(net: Network, loss: Any, **options: Any) -> Objective:
    """Return an objective on the reference engine: a lesson's numbers must not depend on what else is installed."""
    return Objective(net, loss, engine="numpy", **options)


@dataclass(frozen=True)
class Row:
    """One figure: ours, what was expected (with its tolerance), and whether they agree; None where nothing is asked."""

    name: str
    ours: str
    expected: str = ""
    agrees: bool | None = None


def _text(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def close(name: str, ours: float, expected: float, tolerance: float) -> Row:
    """Return a row that agrees where |ours - expected| <= tolerance (never for NaN).

    >>> close("OR", 0.25, 0.25, 1e-12)
    Row(name='OR', ours='0.25', expected='0.25 ± 1e-12', agrees=True)
    """
    return Row(name, _text(float(ours)), f"{expected:.6g} ± {tolerance:.2g}", bool(abs(ours - expected) <= tolerance))


def at_least(name: str, ours: float, bound: float) -> Row:
    """Return a row that agrees where ours >= bound."""
    return Row(name, _text(ours), f"at least {bound:.6g}", bool(ours >= bound))


def at_most(name: str, ours: float, bound: float) -> Row:
    """Return a row that agrees where ours <= bound."""
    return Row(name, _text(ours), f"at most {bound:.6g}", bool(ours <= bound))


def between(name: str, ours: float, low: float, high: float) -> Row:
    """Return a row that agrees where low <= ours <= high."""
    return Row(name, _text(ours), f"{low:.6g} to {high:.6g}", bool(low <= ours <= high))


def equal(name: str, ours: object, expected: object) -> Row:
    """Return a row that agrees where the two are equal."""
    return Row(name, _text(ours), _text(expected), bool(ours == expected))


def shown(name: str, ours: object) -> Row:
    """Return a row that only shows a figure: a time, for example, which depends on the machine."""
    return Row(name, _text(ours))


@dataclass(frozen=True)
class Experiment:
    """The end of an experiment: `rows` is the table of figures, `notes` say what is to be seen in the picture."""

    title: str
    question: str
    rows: tuple[Row, ...]
    figure: Figure
    notes: tuple[str, ...]

    @property
    def agrees(self) -> bool:
        """Whether no figure has left its tolerance."""
        return all(row.agrees is not False for row in self.rows)
