"""What a doctor says: findings with their evidence and remedy, trials of remedies, and the diagnosis as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import groupby
from math import isfinite
from textwrap import fill
from typing import Literal

import numpy as np

from glassnet.insight.patient import Case
from glassnet.insight.remedies import Change

__all__ = ["Diagnosis", "Finding", "Remedy", "Severity", "Trial", "sparkline"]

Severity = Literal["note", "warning", "error"]
"""note: worth knowing; warning: the run suffers from it; error: the run cannot work like this."""

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 100


@dataclass(frozen=True)
class Remedy:
    """What to change: for `set_params` (or as arguments of `train`), as a line of Python, and as changes to try."""

    params: Mapping[str, object]
    python: str
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong or worth knowing.

    `code` names its kind, `where` the columns, layers or epochs, `evidence` the numbers that it rests on.
    """

    code: str
    where: str
    severity: Severity
    evidence: Mapping[str, float]
    explanation: str
    remedy: Remedy

    def __str__(self) -> str:
        rows = self.table
        width = max((len(name) for name, _ in rows), default=0)
        numbers = "\n".join(f"    {name:{width}}  {value}" for name, value in rows)
        text = fill(self.explanation, WIDTH, initial_indent="  ", subsequent_indent="  ")
        remedy = "\n".join(f"    {line}" for line in self.remedy.python.splitlines())
        head = f"{self.severity.upper()} {self.code} ({self.where})"
        return f"{head}\n{text}\n  Evidence:\n{numbers}\n  Remedy:\n{remedy}"

    @property
    def table(self) -> list[tuple[str, str]]:
        """The evidence as rows of name and number; what is told of several layers in turn is one row."""
        rows = []
        for (name, layered), group in groupby(self.evidence.items(), lambda item: _without_layer(item[0])):
            items = list(group)
            if layered and len(items) > 1:
                first, last = (items[i][0].rpartition(" ")[2] for i in (0, -1))
                numbers = [int(one.rpartition(" ")[2]) for one, _ in items]
                which = f"{first} to {last}" if numbers == [*range(numbers[0], numbers[-1] + 1)] else f"{numbers}"[1:-1]
                rows.append((f"{name}layers {which}", ", ".join(_number(value) for _, value in items)))
            else:
                rows += [(one, _number(value)) for one, value in items]
        return rows


@dataclass(frozen=True)
class Trial:
    """A remedy that was tried on a copy: losses of the data epoch by epoch, and scores on rows that were held out.

    `before` and `after` are the losses as the run is and with the remedy; a run that diverged ends with infinity. The
    scores are accuracies, or R2 for numbers. `helped` says whether the remedied run is the better one.
    """

    remedy: str
    before: tuple[float, ...]
    after: tuple[float, ...]
    score_before: float
    score_after: float
    score: str
    code: str = ""
    """The finding whose remedy this was; empty for all together."""
    comparable: bool = True
    """Whether both losses have one scale: not with another loss, nor with targets of another size."""

    @property
    def helped(self) -> bool:
        """Whether the held-out score rose, or stayed and the loss is lower."""
        gain = _worst_for_nan(self.score_after) - _worst_for_nan(self.score_before)
        return gain > 0.005 or (gain > -0.005 and self.comparable and _last(self.after) < _last(self.before))

    def __str__(self) -> str:
        top = max((value for value in (*self.before, *self.after) if isfinite(value)), default=1.0)
        scale = top if self.comparable else None  # else each curve has a scale of its own
        lines = [f"{'The remedy of ' + self.code if self.code else 'All remedies together'}, tried on a copy:"]
        for name, losses, score in (
            ("as it is", self.before, self.score_before),
            ("remedied", self.after, self.score_after),
        ):
            ends = f"loss {_number(losses[0])} to {_number(losses[-1])}" if losses else "no epoch was finished"
            drawn = sparkline(losses, scale)
            lines.append(f"  {name}  {drawn}  {ends}, {self.score} on held-out rows {_number(score)}")
        if not self.comparable:
            lines.append("  (the losses are on different scales: compare the scores)")
        return "\n".join(lines)


def sparkline(values: Sequence[float], top: float | None = None, most: int = 40) -> str:
    """Return losses as a row of bars from 0 to `top`, at most so many; x where a value is not finite.

    >>> sparkline([8.0, 4.0, 2.0, 1.0, float("inf")])
    '█▄▂▁x'
    """
    if len(values) > most:
        values = [values[i] for i in np.linspace(0, len(values) - 1, most).astype(int)]
    scale = max((v for v in values if isfinite(v)), default=1.0) if top is None else top
    return "".join(
        BARS[min(max(int(np.ceil(v / scale * len(BARS))) - 1, 0), 7)] if isfinite(v) and scale > 0 else
        (BARS[0] if isfinite(v) else "x") for v in values
    )  # fmt: skip


@dataclass(frozen=True)
class Diagnosis:
    """All findings, the cause first, and what was looked at; prints as text, and as HTML in a notebook.

    `losses` are those of the instrumented epochs, `blind` the loss of the best constant prediction. `trials` are there
    with `try_remedies=True`; `treated` is then the case with all remedies applied.
    """

    subject: str
    findings: tuple[Finding, ...]
    losses: tuple[float, ...] = ()
    blind: float = float("nan")
    trials: tuple[Trial, ...] = ()
    treated: Case | None = field(default=None, repr=False)

    @property
    def healthy(self) -> bool:
        """Whether nothing is worse than a note."""
        return all(finding.severity == "note" for finding in self.findings)

    @property
    def summary(self) -> str:
        """The diagnosis in one sentence."""
        bad = [finding.code for finding in self.findings if finding.severity != "note"]
        if bad:
            others = f"; then {', '.join(bad[1:])}" if bad[1:] else ""
            return f"{self.subject}: the first cause is {bad[0]}{others}."
        notes = len(self.findings)
        more = f" {notes} note{'s' * (notes > 1)} below." if notes else ""
        return f"{self.subject}: healthy, no reason was found why it should not learn.{more}"

    @property
    def course(self) -> str:
        """What the instrumented epochs showed, in one line; empty where none was run."""
        if not self.losses:
            return ""
        ends = f"{_number(self.losses[0])} to {_number(self.losses[-1])}"
        epochs = "one epoch" if len(self.losses) == 1 else f"{len(self.losses)} epochs"
        return (
            f"Loss in {epochs} on a copy: {sparkline(self.losses)}  {ends}; "
            f"the best constant prediction has {_number(self.blind)}."
        )

    def __str__(self) -> str:
        parts = [fill(self.summary, WIDTH), self.course, *map(str, self.findings), *map(str, self.trials)]
        return "\n\n".join(part for part in parts if part)

    def _repr_html_(self) -> str:
        """Return the same for a notebook."""
        body = "".join(_finding_html(finding) for finding in self.findings)
        trials = "".join(map(_trial_html, self.trials))
        head = f"<p><b>{escape(self.summary)}</b></p><p>{escape(self.course)}</p>"
        return f'<div class="glassnet">{head}{body}{trials}</div>'


CELL = "text-align:left;padding:0 1.2rem 0 0"
COLOURS = {"error": "#a83f00", "warning": "#8a6100", "note": "#5b6773"}


def _finding_html(finding: Finding) -> str:
    numbers = "".join(
        f'<tr><td style="{CELL}">{escape(name)}</td><td style="{CELL}">{value}</td></tr>'
        for name, value in finding.table
    )
    colour = COLOURS[finding.severity]
    return (
        f'<div style="border-left:4px solid {colour};padding:.2rem .9rem;margin:.8rem 0;max-width:50rem">'
        f'<p style="margin:.2rem 0"><b style="color:{colour}">{finding.severity}</b> <b>{escape(finding.code)}</b> '
        f"({escape(finding.where)})</p>"
        f'<p style="margin:.2rem 0">{escape(finding.explanation)}</p>'
        f'<table style="margin:.3rem 0">{numbers}</table><pre>{escape(finding.remedy.python)}</pre></div>'
    )


BEFORE, AFTER = "#a83f00", "#0072b2"
ACROSS, DOWN = 320, 70


def _trial_html(trial: Trial) -> str:
    """Return both curves of a trial as a drawing, with what is said of them."""
    head, *_ = str(trial).splitlines()
    top = max((value for value in (*trial.before, *trial.after) if isfinite(value)), default=1.0)
    curves, rows = "", ""
    for name, losses, score, colour in (
        ("as it is", trial.before, trial.score_before, BEFORE),
        ("remedied", trial.after, trial.score_after, AFTER),
    ):
        finite = [value for value in losses if isfinite(value)]
        scale = (top if trial.comparable else max(finite, default=1.0)) or 1.0
        across = ACROSS / max(len(trial.before) - 1, len(trial.after) - 1, 1)
        points = " ".join(f"{i * across:.1f},{DOWN * (1 - value / scale):.1f}" for i, value in enumerate(finite))
        curves += f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>'
        ends = f"loss {_number(losses[0])} to {_number(losses[-1])}" if losses else "no epoch was finished"
        rows += (
            f'<tr><td style="{CELL};color:{colour}"><b>{name}</b></td><td style="{CELL}">{ends}</td>'
            f'<td style="{CELL}">{trial.score} on held-out rows {_number(score)}</td></tr>'
        )
    note = "" if trial.comparable else "<p>The losses are on different scales: compare the scores.</p>"
    return (
        f'<div style="margin:.8rem 0"><p style="margin:.2rem 0">{escape(head)}</p>'
        f'<svg width="{ACROSS + 8}" height="{DOWN + 8}" viewBox="-4 -4 {ACROSS + 8} {DOWN + 8}">'
        f'<path d="M0,0 V{DOWN} H{ACROSS}" fill="none" stroke="#8a939b"/>{curves}</svg>'
        f"<table>{rows}</table>{note}</div>"
    )


def _without_layer(name: str) -> tuple[str, bool]:
    """Split the end "layer 3" off a name: what is before it, and whether it was there."""
    before, layer, number = name.rpartition("layer ")
    return (before, True) if layer and number.isdigit() else (name, False)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() and abs(value) < 1e7 else f"{value:.3g}"


def _worst_for_nan(value: float) -> float:
    return value if isfinite(value) else -1e9


def _last(losses: Sequence[float]) -> float:
    return losses[-1] if losses and isfinite(losses[-1]) else float("inf")
