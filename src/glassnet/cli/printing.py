"""What the commands print: rich tables on a terminal, plain text elsewhere."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from glassnet import tables
from glassnet.cli.measuring import Evaluation, evaluation
from glassnet.cli.records import Fitted
from glassnet.cli.sources import Source
from glassnet.insight.summary import layer_table
from glassnet.network import Network

__all__ = ["console", "print_ending", "print_evaluation", "print_network_table", "print_result", "print_source"]

MOST_CLASSES = 15
"""Confusion matrices with more classes than this are left to the report."""


def console() -> Console:
    """Return a console; where there is no terminal, lines may be 110 wide and are never coloured."""
    made = Console(highlight=False)
    return made if made.is_terminal else Console(highlight=False, width=110, no_color=True)


def print_source(source: Source) -> None:
    """Say what was read and what is to be predicted."""
    out = console()
    out.print(f"[bold]{_plain(source.name)}[/bold]  {_plain(source.description)}")
    m, d = source.X.shape
    own = f", and {len(source.held_out[1]):,} held-out rows of its own" if source.held_out is not None else ""
    out.print(f"read       {m:,} rows, {d:,} columns{_kinds(source)}{own}")
    out.print(f"target     {_plain(source.why)}{_target_range(source)}")


def _kinds(source: Source) -> str:
    """Return ": 3 number, 1 category; 12 values missing"."""
    if source.image_shape:
        return f": images of {source.image_shape[0]} x {source.image_shape[1]} pixels"
    details = tables.summarise(source.X).details
    kinds = [column.kind for column in details]
    counted = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
    missing = sum(column.missing for column in details)
    return f": {counted}" + (f"; {missing:,} values missing" if missing else "")


def _target_range(source: Source) -> str:
    if source.kind == "classification":
        names, counts = np.unique(source.y, return_counts=True)
        if len(names) > 5:
            return f"; {len(names)} classes of {counts.min():,} to {counts.max():,} rows"
        return "; " + _plain(", ".join(f"{name} {count:,}" for name, count in zip(names, counts, strict=True)))
    if source.kind == "regression":
        return f", from {source.y.min():.6g} to {source.y.max():.6g}"
    return f", {source.y.shape[1]} outputs"


def print_network_table(net: Network) -> None:
    """Print the network: layer, shape, parameters, FLOP a sample."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("layer", "activation", "weights"):
        table.add_column(name)
    for name in ("parameters", "FLOP a sample"):
        table.add_column(name, justify="right")
    rows = layer_table(net)
    for row in rows:
        table.add_row(
            f"{row.number} {row.kind} {row.units}", row.activation, row.weights, f"{row.parameters:,}", f"{row.flop:,}"
        )
    table.add_row("in all", "", "", f"{sum(row.parameters for row in rows):,}", f"{sum(row.flop for row in rows):,}")
    out = console()
    out.print()
    out.print(table)
    out.print()


def print_result(fitted: Fitted) -> None:
    """Print how training ended, and the result on held-out rows."""
    estimator = fitted.estimator
    out = console()
    out.print()
    how_long = f"after {estimator.n_iter_} epochs, {fitted.seconds:.1f} s"
    out.print(f"{estimator.status_} {how_long}: {_plain(estimator.stop_reason_)}")
    for note in fitted.notes:
        out.print(f"note: {_plain(note)}")
    print_evaluation(evaluation(fitted))


def print_evaluation(measured: Evaluation) -> None:
    """Print the scores, the table of classes and the confusion matrix."""
    out = console()
    out.print()
    out.print(f"[bold]{_plain(measured.headline)}[/bold]")
    out.print("   ".join(f"{name.replace('_', ' ')} {value:.4g}" for name, value in measured.numbers.items()))
    if not measured.class_rows or len(measured.class_names) > MOST_CLASSES:
        return
    assert measured.confusion is not None
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("class", "precision", "recall", "f1", "rows", "", "true \\ predicted", *measured.class_names):
        table.add_column(_plain(name), justify="left" if name == "class" else "right", no_wrap=True)
    for row, counts in zip(measured.class_rows, measured.confusion, strict=True):
        scores = (f"{row.precision:.3f}", f"{row.recall:.3f}", f"{row.f1:.3f}", str(row.support))
        table.add_row(_plain(row.name), *scores, "", _plain(row.name), *(str(n) if n else "·" for n in counts))
    out.print(table)


def print_ending(fitted: Fitted, path: Path) -> None:
    """Say where the results are and what to do next."""
    out = console()
    out.print()
    if fitted.estimator.status_ == "diverged":
        advice = f"Try --learning-rate {fitted.config.learning_rate / 10:g}"
        out.print(f"The fit diverged; the last good weights were kept. {advice}")
    out.print(f"report     {path / 'report.html'}", soft_wrap=True)
    out.print(f"next       glassnet show {path}   |   glassnet predict {path} FILE", soft_wrap=True)


def _plain(text: str) -> str:
    """Escape rich's markup in text that comes from files."""
    from rich.markup import escape

    return escape(str(text))
