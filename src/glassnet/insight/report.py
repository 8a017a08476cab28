"""A report on one training run: a single HTML page that needs nothing else, to read, print, mail and show to a class.

    page = render(Report(title="Digits", headline="98.1% of 360 held-out images read correctly.", ...))
    Path("report.html").write_text(page, encoding="utf-8")

Everything that is shown is handed in ready (`Report`); `render` draws and arranges it. Every text is escaped, because
names of classes and columns come from other people's files.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.history import Run
from glassnet.insight import html, plots
from glassnet.insight.summary import LayerStatistics, layer_table, target_table
from glassnet.network import Network

__all__ = ["ClassRow", "Report", "render"]

MOST_TARGETS = 6
"""Targets that get a picture of their own; the table has all of them."""

ENDINGS = {
    "converged": "A minimum or a target was reached.",
    "stopped": "Ended before the last epoch.",
    "completed": "All epochs were run.",
    "diverged": "The loss left the finite numbers.",
}


@dataclass(frozen=True)
class ClassRow:
    """How well one class was found: the numbers of `sklearn.metrics.precision_recall_fscore_support`."""

    name: str
    precision: float
    recall: float
    f1: float
    support: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a report shows; a part whose field is left out is left out of the page.

    title         "Digits: reading handwritten numerals"
    headline      the result in one sentence: "98.1% of 360 held-out images read correctly."
    dataset       name of the data: "digits", "houses.csv"
    facts         what the data are, in order of display: {"rows": 1797, "inputs": 64, "training rows": 1437, ...}
    net, theta    the trained network, theta (P,)
    run           how training went: status, reason, history, seconds
    metrics       the numbers on held-out rows, in order: {"accuracy": 0.981, "cross-entropy": 0.07}
    config        every argument of the run: {"learning_rate": 0.001, "layers": [50], ...}; values are shown with str()
    command       what to type to get the same again; empty: not shown
    versions      {"glassnet": "0.1.0", "numpy": "2.4.6", "python": "3.13.1"}
    notes         sentences that the reader should know, such as warnings about the data

    Classification (a part is shown when `confusion` is given):
    class_names   k names, in the order of the outputs
    confusion     (k, k) counts, rows the true class, columns the predicted one
    class_rows    precision, recall, f1 and support of each class; may be empty

    Regression (a part is shown when `y_true` and `y_pred` are given; R2, RMSE and MAE of each target are worked out)
    y_true        (m,) or (m, k), held-out targets in their own unit
    y_pred        the same shape
    target_names  k names; empty: "target"

    image_shape   (height, width) where an input row is a picture: shows what each unit of the first layer looks for
    statistics    of each layer on some rows, from `layer_statistics`; empty: not shown

    Raises GlassnetError where sizes do not fit together.
    """

    title: str
    headline: str
    dataset: str
    net: Network
    theta: Array
    run: Run
    facts: Mapping[str, object] = field(default_factory=dict)
    metrics: Mapping[str, float] = field(default_factory=dict)
    config: Mapping[str, object] = field(default_factory=dict)
    command: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    class_names: tuple[str, ...] = ()
    confusion: Array | None = None
    class_rows: tuple[ClassRow, ...] = ()
    y_true: Array | None = None
    y_pred: Array | None = None
    target_names: tuple[str, ...] = ()
    image_shape: tuple[int, int] | None = None
    statistics: tuple[LayerStatistics, ...] = ()

    def __post_init__(self) -> None:
        k, inputs = len(self.class_names), self.net.n_inputs
        if self.theta.shape != (self.net.n_parameters,):
            raise fault("theta", f"({self.net.n_parameters},)", self.theta.shape)
        if self.confusion is not None and np.shape(self.confusion) != (k, k):
            raise fault("confusion", f"({k}, {k}), one row and column a class name", np.shape(self.confusion))
        if (self.y_true is None) != (self.y_pred is None):
            raise fault("y_true and y_pred", "given together", "only one of them")
        if self.image_shape is not None and self.image_shape[0] * self.image_shape[1] != inputs:
            raise fault("image_shape", f"(height, width) with height * width = {inputs}", self.image_shape)


def render(report: Report) -> str:
    """Return the page, one self-contained HTML document: no script, nothing loaded from elsewhere."""
    parts = (
        _head(report),
        _notes(report.notes),
        _classification(report),
        _regression(report),
        _data(report),
        _training(report.run),
        _network(report),
        _inside(report.statistics),
        _again(report),
    )
    footer = "Made by glassnet, a neural network you can see through."
    return html.document(report.title, "\n".join(part for part in parts if part), footer)


# ---- the sections, in the order of the page -----------------------------------------------------------------------


def _head(report: Report) -> str:
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{html.number(value)}</dd></div>" for name, value in report.metrics.items()
    )
    return (
        f'<header>\n<p class="kicker">Training report · {escape(report.dataset)}</p>\n<h1>{escape(report.title)}</h1>\n'
        f'<p class="headline">{escape(report.headline)}</p>\n'
        + (f'<dl class="tiles">{tiles}</dl>\n' if tiles else "")
        + "</header>"
    )


def _notes(notes: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return f'<aside class="notes" aria-label="Notes"><ul>{items}</ul></aside>' if items else ""


def _classification(report: Report) -> str:
    if report.confusion is None:
        return ""
    matrix = np.asarray(report.confusion)
    right, rows = np.trace(matrix), matrix.sum()
    picture = html.picture(
        plots.confusion_matrix(matrix, report.class_names),
        f"Confusion matrix of {len(matrix)} classes: {right:g} of {rows:g} rows lie on the diagonal.",
        "Each row is a true class, each column what the network said. Right answers lie on the diagonal; every other "
        "number is a confusion, and the shade is its share of the true class.",
    )
    body = [
        (html.cell(row.name, head=True), *(html.cell(f"{x:.3f}") for x in (row.precision, row.recall, row.f1)),
         html.cell(html.number(row.support)))
        for row in report.class_rows
    ]  # fmt: skip
    table = html.table(
        ("class", "precision", "recall", "F1", "rows"),
        body,
        "Precision: of the rows given this class, the share that belongs to it. Recall: of the rows that belong to it, "
        "the share that was found. F1: their harmonic mean.",
    )
    return html.section("Which classes are told apart", html.pair(picture, table if body else ""))


def _regression(report: Report) -> str:
    if report.y_true is None or report.y_pred is None:
        return ""
    true, predicted = (np.asarray(y).reshape(len(y), -1) for y in (report.y_true, report.y_pred))
    targets = target_table(true, predicted, report.target_names)
    pictures = [
        html.picture(
            plots.predicted_against_true(true[:, j], predicted[:, j], name=row.name),
            f"Predicted against true {row.name} for {len(true)} rows, R2 {row.r2:.3f}.",
            "Each point is a held-out row: right on the dashed line, predicted too high above it, too low below.",
        )
        for j, row in enumerate(targets[:MOST_TARGETS])
    ]
    table = html.table(
        ("target", "R²", "RMSE", "MAE"),
        [
            (html.cell(row.name, head=True), *(html.cell(html.number(x)) for x in (row.r2, row.rmse, row.mae)))
            for row in targets
        ],
        "R²: the share of the target's variance that is predicted (1 is perfect, 0 no better than the mean). RMSE and "
        "MAE: typical size of an error, in the target's own unit; RMSE weighs large errors more.",
    )
    return html.section("How close the predictions are", html.pair(*pictures, table))


def _data(report: Report) -> str:
    return html.section("The data", html.listing({"data set": report.dataset, **report.facts}))


def _training(run: Run) -> str:
    epochs = len(run.history)
    facts = f"{epochs:,} epoch{'s' * (epochs != 1)} in {run.seconds:.2f} s"
    loss = f", last loss {html.number(run.loss)}" if epochs else ""
    ending = (
        f'<p><span class="status {run.status}">{run.status}</span> {escape(run.reason) or ENDINGS[run.status]}'
        f" <span class='quiet'>({facts}{loss})</span></p>"
    )
    pictures = []
    if epochs:
        pictures.append(
            html.picture(
                plots.learning_curves(run.history),
                f"Loss by epoch over {epochs} epochs, ending at {run.loss:.4g}.",
                "Without the penalty on the weights, so that the curves compare; the ring marks the lowest point. The "
                "loss should fall and level off. Where validation rises while training falls, the network begins to "
                "learn its rows by heart.",
            )
        )
    if plots.score_names(run.history):
        pictures.append(
            html.picture(
                plots.score_curves(run.history),
                f"Scores by epoch: {', '.join(plots.score_names(run.history))}.",
                "What one cares about in the end, measured after every epoch.",
            )
        )
    return html.section("How it learned", ending + html.pair(*pictures))


def _network(report: Report) -> str:
    net = report.net
    rows = layer_table(net)
    table = html.table(
        ("layer", "kind", "units", "activation", "weights", "parameters", "FLOP a sample"),
        [
            (html.cell(str(row.number), head=True), html.cell(row.kind, words=True), html.cell(html.number(row.units)),
             html.cell(row.activation, words=True), html.cell(row.weights or "none", words=True),
             html.cell(html.number(row.parameters)), html.cell(html.number(row.flop)))
            for row in rows
        ],
        f"{html.number(net.n_inputs)} input{'s' * (net.n_inputs > 1)}; {html.number(net.n_parameters)} parameters; "
        f"{html.number(sum(row.flop for row in rows))} floating-point operations a prediction, without activations.",
    )  # fmt: skip
    diagram = html.picture(
        plots.network_diagram(net, report.theta),
        f"Diagram of the network with layers of {', '.join(map(str, net.sizes))} units.",
        "Blue lines are positive weights, orange ones negative; the thicker, the larger within its layer. Dots stand "
        "for units that are not drawn.",
    )
    images = ""
    if report.image_shape is not None and (W := net.views(report.theta).get("W1")) is not None:
        images = html.picture(
            plots.weight_images(W, report.image_shape),
            f"The weights into {min(25, W.shape[1])} units of the first layer, each as a picture.",
            "What the first units look for: ink on blue pixels drives a unit up, ink on orange ones down. Smooth "
            "shapes are learned features, salt and pepper is noise. Where a tile is empty, the penalty has driven the "
            "unit's weights to 0.",
        )
    return html.section("The network", table + html.pair(diagram, images))


def _inside(statistics: Sequence[LayerStatistics]) -> str:
    if not statistics:
        return ""
    table = html.table(
        ("layer", "activation", "z", "a", "dead units", "saturated", "rms δ", "rms dJ/dW"),
        [_layer_row(one) for one in statistics],
        "z is what a unit adds up, a what it passes on (mean ± standard deviation). A dead unit gives 0 on every row; "
        "a saturated activation lies on the flat end of its function (for an output: the network is sure). δ = dJ/dz "
        "is what flows back, dJ/dW what would change the weights; rms: root mean square.",
    )  # fmt: skip
    histograms = html.picture(
        plots.layer_histograms(statistics),
        "Histograms of the activations of each layer.",
        "A healthy hidden layer spreads over its range: a lone bar at 0 means dead units, bars at both ends only mean "
        "saturation. (For outputs that are probabilities, bars at both ends mean that the network is sure.)",
    )
    sizes = ""
    if len(statistics) > 2:  # of two layers nothing can be read
        sizes = html.picture(
            plots.signal_sizes(statistics),
            "Size of activations and of deltas by layer.",
            "Read from left to right for the way forward, from right to left for the way back: a line that drops by "
            "factors of ten is a signal that vanishes, one that climbs so is one that explodes.",
        )
    return html.section("Inside the layers", table + html.pair(histograms, sizes))


def _layer_row(one: LayerStatistics) -> Sequence[str]:
    short = html.short
    return (
        html.cell(f"{one.number}\u00a0{one.kind}", head=True),
        html.cell(one.activation, words=True),
        html.cell(f"{short(one.z_mean)} ± {short(one.z_std)}"),
        html.cell(f"{short(one.a_mean)} ± {short(one.a_std)}"),
        html.cell(f"{one.dead:.0%}"),
        html.cell("–" if one.saturated is None else f"{one.saturated:.0%}"),
        html.cell(short(one.delta_rms)),
        html.cell("–" if one.gradient_rms is None else short(one.gradient_rms)),
    )


def _again(report: Report) -> str:
    command = f'<pre tabindex="0"><code>{escape(report.command)}</code></pre>' if report.command else ""
    versions = ", ".join(f"{escape(name)} {escape(str(number))}" for name, number in report.versions.items())
    arguments = html.listing(report.config, code=True)
    body = (
        command
        + (f'<p class="quiet">With {versions}.</p>' if versions else "")
        + (f"<h3>All arguments</h3>{arguments}" if arguments else "")
    )
    return html.section("To reproduce it", body) if body else ""
