"""A fitted network to read: as a table in text, and as a drawing with its table in a notebook."""

from __future__ import annotations

from dataclasses import dataclass
from html import escape
from typing import Any

from sklearn.utils import estimator_html_repr

from glassnet.insight.summary import LayerRow, layer_table

__all__ = ["Summary", "facts", "notebook_view", "summarise"]

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


STYLE = """
.glassnet-view { max-width:62rem; line-height:1.4; font-variant-numeric:tabular-nums; }
.glassnet-view .tiles { display:flex; flex-wrap:wrap; gap:.3rem 2.2rem; margin:.6rem 0; }
.glassnet-view dt { opacity:.7; font-size:.85em; } .glassnet-view dd { margin:0; font-size:1.25em; }
.glassnet-view .pair { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,24rem),1fr)); gap:1rem; }
.glassnet-view figure { margin:0; min-width:0; } .glassnet-view .sheet { background:#fff; border-radius:6px; }
.glassnet-view img { display:block; max-width:100%; height:auto; margin:auto; }
.glassnet-view figcaption,.glassnet-view .caption { opacity:.75; font-size:.88em; margin:.3rem 0; }
.glassnet-view .scroll { overflow-x:auto; margin:.6rem 0; } .glassnet-view table { border-collapse:collapse; }
.glassnet-view th,.glassnet-view td { padding:.2rem .7rem; text-align:right; border-bottom:1px solid #8884; }
.glassnet-view th:first-child,.glassnet-view .words { text-align:left; }
"""


def notebook_view(model: Any) -> str:
    """Return HTML: the facts of the fit, the network and the losses drawn, its table, and scikit-learn's view below.

    A model that is not fitted has no network yet: scikit-learn's view alone.
    """
    theirs = str(estimator_html_repr(model))
    if not hasattr(model, "history_"):
        return theirs
    from glassnet.insight import html, plots  # matplotlib, for this alone

    summary = summarise(model)
    tiles = "".join(f"<div><dt>{escape(name)}</dt><dd>{html.number(value)}</dd></div>" for name, value in facts(model))
    sizes = f"{model.network_.n_inputs} inputs, then layers of {', '.join(map(str, model.network_.sizes[1:]))} units"
    pictures = html.pair(
        html.picture(
            plots.network_diagram(model.network_, model.theta_), f"The network: {sizes}.",
            "Lines are weights: blue positive, orange negative, thick for large. Dots stand for units not drawn.",
        ),
        html.picture(
            plots.learning_curves(model.history_), f"Loss by epoch, ending at {model.loss_:.4g}.",
            "The loss without the penalty on the weights.",
        ),
    )  # fmt: skip
    rows = [[html.cell(text, head=i == 0, words=i in (1, 3, 4)) for i, text in enumerate(row)] for row in summary.cells]
    return (
        f'<div class="glassnet-view"><style>{STYLE}</style><b>{escape(summary.head)}</b><dl class="tiles">{tiles}</dl>'
        f"{pictures}{html.table(HEADS, rows, summary.ending)}"
        f"<details><summary>arguments and attributes</summary>{theirs}</details></div>"
    )


def facts(model: Any) -> list[tuple[str, object]]:
    """Return what one asks first of a fit, in order: [("status", "converged"), ("epochs", 56), ("loss", 0.008)]."""
    found: list[tuple[str, object]] = [("status", model.status_), ("epochs", model.n_iter_), ("loss", model.loss_)]
    held_out = [name for name in model.history_.columns if name.startswith("validation_") and name != "validation_loss"]
    for name in ("validation_loss", *held_out):
        if name in model.history_.columns:
            values = model.history_[name]
            best = values.min() if name == "validation_loss" else values.max()
            found.append((f"best {name.replace('_', ' ')}", float(best)))
    return found
