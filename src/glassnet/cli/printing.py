"""What the commands print: tables and colours on a terminal, plain text elsewhere."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from glassnet import tables
from glassnet.cli.measuring import Evaluation
from glassnet.cli.records import Fitted
from glassnet.cli.sources import Source
from glassnet.insight.html import number
from glassnet.insight.summary import layer_table
from glassnet.network import Network
from glassnet.solvers import METHODS

__all__ = [
    "console", "counted", "fits", "print_ending", "print_evaluation", "print_how_it_ended", "print_network_table",
    "print_result", "print_resumed", "print_source", "say",
]  # fmt: skip

MOST_ROWS, MOST_COLUMNS = 40, 15
"""Tables of more classes, and confusion matrices of more, are left to the report."""
LONGEST_ROW, LONGEST_COLUMN = 24, 12
"""Names of classes are cut to so many letters at the left of a table, and at its head."""


def console() -> Console:
    """Return a console; where there is no terminal, tables may be 110 wide and nothing is coloured."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=110, no_color=True)


def say(text: str = "", style: str = "") -> None:
    """Print one sentence as it is: brackets are no markup, and only a terminal breaks it."""
    out = console()
    out.print(_as_it_is(text, style), soft_wrap=not out.is_terminal)


def counted(n: int, name: str) -> str:
    """Return "1 row" or "1,200 rows"."""
    return f"{n:,} {name}{'' if n == 1 else 's'}"


def _as_it_is(text: object, style: str = "") -> Text:
    """Return text from files: no markup, and no character that moves the cursor."""
    return Text("".join(c if c.isprintable() else " " for c in str(text)), style)


def _cut(text: str, length: int) -> Text:
    """Cut the middle out of a long name: many differ at their ends only."""
    if len(text) > length:
        text = f"{text[: length // 2]}…{text[len(text) - (length - 1) // 2 :]}"
    return _as_it_is(text)


def print_source(source: Source) -> None:
    """Say what was read and what is to be predicted."""
    say(source.description if source.description.startswith(source.name) else f"{source.name}  {source.description}")
    m, d = source.X.shape
    own = f", and {len(source.held_out[1]):,} held-out rows of its own" if source.held_out is not None else ""
    say(f"read       {counted(m, 'row')}, {counted(d, 'column')}{_kinds(source)}{own}")
    say(f"target     {source.why}{_target_range(source)}")


def print_resumed(folder: Path, epoch: int) -> None:
    """Say where a run goes on that broke off."""
    begin = f"after epoch {epoch:,}" if epoch else "from its beginning: no checkpoint had been written"
    say(f"resumed    {folder}, {begin}")


def _kinds(source: Source) -> str:
    """Return ": 3 number, 1 category; 12 values missing"."""
    if source.image_shape:
        return f": images of {source.image_shape[0]} x {source.image_shape[1]} pixels"
    details = tables.summarise(source.X).details
    kinds = [column.kind for column in details]
    counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    missing = sum(column.missing for column in details)
    return f": {counts}" + (f"; {counted(missing, 'value')} missing" if missing else "")


def _target_range(source: Source) -> str:
    if source.kind == "classification":
        names, counts = np.unique(source.y, return_counts=True)
        if len(names) > 5:
            least, most = counts.min(), counts.max()
            each = f"{counted(most, 'row')} each" if least == most else f"{least:,} to {counts.max():,} rows"
            return f"; {len(names)} classes of {each}"
        return "; " + ", ".join(
            f"{_cut(name, LONGEST_ROW)} {count:,}" for name, count in zip(names, counts, strict=True)
        )
    if source.kind == "regression":
        return f", from {source.y.min():.6g} to {source.y.max():.6g}"
    return f", {source.y.shape[1]} outputs"


def print_network_table(net: Network) -> None:
    """Print the network: layer, shape, parameters, FLOP a sample; on a narrow terminal as much as it can hold."""
    out = console()
    tables = [_network_table(net, left_out) for left_out in ((), ("FLOP a sample",), ("FLOP a sample", "weights"))]
    say()
    out.print(next((table for table in tables if fits(out, table)), tables[-1]))
    say()


def _network_table(net: Network, left_out: tuple[str, ...]) -> Table:
    """Return a row for each layer, and their sums, without some of the columns."""
    rows = layer_table(net)
    columns = {
        "layer": [*(f"{row.number} {row.kind} {row.units}" for row in rows), "in all"],
        "activation": [*(row.activation for row in rows), ""],
        "weights": [*(row.weights for row in rows), ""],
        "parameters": [f"{n:,}" for n in (*(row.parameters for row in rows), sum(row.parameters for row in rows))],
        "FLOP a sample": [f"{n:,}" for n in (*(row.flop for row in rows), sum(row.flop for row in rows))],
    }
    table = Table(box=None, pad_edge=False, header_style="dim")
    kept = {name: cells for name, cells in columns.items() if name not in left_out}
    for name in kept:
        table.add_column(name, justify="right" if name in ("parameters", "FLOP a sample") else "left")
    for cells in zip(*kept.values(), strict=True):
        table.add_row(*cells)
    return table


def print_result(fitted: Fitted, measured: Evaluation) -> None:
    """Print how training ended, and the result on held-out rows."""
    say()
    print_how_it_ended(measured)
    for note in fitted.notes:
        say(f"note: {note}")
    say()
    print_evaluation(measured)


def print_how_it_ended(measured: Evaluation) -> None:
    """Print status, epochs, seconds and reason."""
    status, n, seconds, reason = (measured.facts[name] for name in ("status", "epochs", "seconds", "reason"))
    say(f"{status} after {counted(int(str(n)), 'epoch')}, {float(str(seconds)):.1f} s: {reason}")


def print_evaluation(measured: Evaluation) -> None:
    """Print the scores, the table of classes and the confusion matrix: side by side, if there is room."""
    say(measured.headline, "bold")
    say("   ".join(f"{name.replace('_', ' ')} {number(value)}" for name, value in measured.numbers.items()))
    for note in measured.notes:
        say(f"note: {note}")
    k = len(measured.class_rows)
    if not k:
        return
    out = console()
    both = _class_table(measured, scores=True, matrix=True)
    if k <= MOST_COLUMNS and fits(out, both):
        out.print(both)
        return
    if k <= MOST_ROWS:
        out.print(_class_table(measured, scores=True, matrix=False))
    matrix = _class_table(measured, scores=False, matrix=True)
    if k <= MOST_COLUMNS and fits(out, matrix):
        say()
        out.print(matrix)
    else:
        what = "the confusion matrix is" if k <= MOST_ROWS else "the table of classes and the confusion matrix are"
        say(f"{k} classes: {what} in the report")


def fits(out: Console, table: Table) -> bool:
    """Whether a table can be printed without breaking its cells."""
    wanted = out.measure(table, options=out.options.update(max_width=1000)).maximum
    return wanted <= out.width


def _class_table(measured: Evaluation, *, scores: bool, matrix: bool) -> Table:
    """Return a row for each class: its precision, recall, f1 and rows; how often it was taken for which other."""
    assert measured.confusion is not None
    table = Table(box=None, pad_edge=False, header_style="dim")
    if scores:
        table.add_column("class", no_wrap=True)
        for name in ("precision", "recall", "f1", "rows"):
            table.add_column(name, justify="right")
    if matrix:
        table.add_column(("  " if scores else "") + "true \\ predicted", justify="right", no_wrap=True)
        for name in measured.class_names:
            table.add_column(_cut(name, LONGEST_COLUMN), justify="right", no_wrap=True)
    for row, counts in zip(measured.class_rows, measured.confusion, strict=True):
        label = _cut(row.name, LONGEST_ROW)
        cells: list[Text | str] = []
        if scores:
            cells += [label, f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.support)]
        if matrix:
            cells += [label, *(str(n) if n else "·" for n in counts)]
        table.add_row(*cells)
    return table


def print_ending(fitted: Fitted, path: Path) -> None:
    """Say where the results are and what to do next."""
    say()
    if fitted.estimator.status_ == "diverged":
        rate = fitted.config.learning_rate / 10
        advice = "a larger --l2 or --solver adam" if fitted.config.solver in METHODS else f"--learning-rate {rate:g}"
        say(f"The fit diverged; the last good weights were kept. Try {advice}.")
    if fitted.interrupted:
        say("Interrupted; the weights of the last whole epoch are kept.")
    place = shlex.quote(str(path))
    for line in (f"report     {path / 'report.html'}", f"next       glassnet show {place}",
                 f"           glassnet predict {place} FILE", f"           glassnet doctor {place}"):  # fmt: skip
        console().print(_as_it_is(line), soft_wrap=True)
