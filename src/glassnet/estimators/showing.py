"""A fitted network to read: as a table in text, and as a drawing with its table in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from sklearn.utils import estimator_html_repr

from glassnet.insight.summary import LayerRow, layer_table

__all__ = ["Summary", "notebook_view", "summarise"]

HEADS = ("layer", "kind", "units", "activation", "weights", "parameters", "FLOP a row")


@dataclass(frozen=True)
class Summary:
    """What a fitted network is and how its fit ended; prints as a table."""

    head: str
    layers: tuple[LayerRow, ...]
    ending: str

    @property
    def cells(self) -> list[tuple[str, ...]]:
        """The table as text, a row for each layer."""
        return [
            (
                str(row.number),
                row.kind,
                f"{row.units}",
                row.activation,
                row.weights,
                f"{row.parameters:,}",
                f"{row.flop:,}",
            )
            for row in self.layers
        ]

    def __repr__(self) -> str:
        table = [HEADS, *self.cells]
        widths = [max(len(row[i]) for row in table) for i in range(len(HEADS))]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table]
        return "\n".join([self.head, *(line.rstrip() for line in lines), self.ending])


def summarise(model: Any) -> Summary:
    """Return the summary of a fitted model."""
    net, layers = model.network_, layer_table(model.network_)
    parameters, flop = sum(row.parameters for row in layers), sum(row.flop for row in layers)
    head = (
        f"{type(model).__name__}: {net.n_inputs} inputs, {net.n_outputs} output{'s' * (net.n_outputs > 1)}, "
        f"{parameters:,} parameters, {flop:,} FLOP a row"
    )
    ending = f"{model.status_} in epoch {model.n_iter_}, loss {model.loss_:.6g}: {model.stop_reason_}"
    return Summary(head, layers, ending)


def notebook_view(model: Any) -> str:
    """Return HTML: the network drawn (weights as lines), its table, and scikit-learn's own view to be opened below.

    A model that is not fitted has no network yet: scikit-learn's view alone.
    """
    theirs = str(estimator_html_repr(model))
    if not hasattr(model, "history_"):
        return theirs
    from glassnet.insight import html, plots  # matplotlib, for this alone

    summary = summarise(model)
    svg = plots.to_svg(plots.network_diagram(model.network_, model.theta_))
    rows = [[html.cell(text, head=i == 0, words=i in (1, 3, 4)) for i, text in enumerate(row)] for row in summary.cells]
    return (
        f'<div class="glassnet"><p><b>{escape(summary.head)}</b></p>'
        f'<div style="background:#fff;max-width:48rem;overflow-x:auto">{svg}</div>'
        f"{html.table(HEADS, rows, summary.ending)}"
        f"<details><summary>arguments and attributes</summary>{theirs}</details></div>"
    )
