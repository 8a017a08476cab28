"""A report on one training run: a single HTML page that needs nothing else, to read, print, mail and show to a class.

    page = render(Report(title="Digits", headline="98.1% of 360 held-out images read correctly.", ...))
    Path("report.html").write_text(page, encoding="utf-8")

Everything that is shown is handed in ready (`Report`); `render` draws and arranges it. Every text is escaped, because
names of classes and columns come from other people's files.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from glassnet.arrays import Array
from glassnet.errors import fault
from glassnet.history import Run
from glassnet.insight import plots
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

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

CSS = """
:root { --paper:#f6f5f1; --card:#fff; --ink:#1f2933; --quiet:#5b6773; --line:#dcdfe3; --accent:#0072b2;
  --good:#00694c; --bad:#a83f00; color-scheme:light dark; }
@media (prefers-color-scheme:dark) { :root { --paper:#14181d; --card:#1c2229; --ink:#e6eaee; --quiet:#a0abb6;
  --line:#323b45; --accent:#6cb8e6; --good:#4fc9a1; --bad:#f09a5e; } }
* { box-sizing:border-box; }
body { margin:0; background:var(--paper); color:var(--ink); font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
  "Liberation Sans",Arial,sans-serif; }
main { max-width:68rem; margin:0 auto; padding:0 1.25rem; }
header { padding:3rem 0 1.75rem; }
h1,h2,.headline { font-family:"Iowan Old Style","Palatino Linotype",Palatino,Georgia,"Liberation Serif",serif;
  font-weight:600; line-height:1.2; text-wrap:balance; overflow-wrap:anywhere; }
h1 { font-size:1.35rem; color:var(--quiet); margin:.1rem 0 .7rem; font-weight:400; }
.headline { font-size:clamp(1.6rem,4.4vw,2.6rem); margin:0; letter-spacing:-.01em; max-width:24em; }
.kicker { margin:0; font-size:.78rem; letter-spacing:.09em; text-transform:uppercase;
  color:var(--accent); font-weight:600; }
h2 { font-size:1.5rem; margin:0 0 .9rem; }
h3 { font-size:1rem; margin:1.5rem 0 .5rem; } section { border-top:1px solid var(--line); padding:1.6rem 0 2rem; }
p { margin:.5rem 0; } .quiet,figcaption,.caption,footer { color:var(--quiet); }
.tiles { display:flex; flex-wrap:wrap; gap:.5rem 2.75rem; margin:1.6rem 0 0; }
.tiles dt,.facts dt { color:var(--quiet); font-size:.85rem; }
.tiles dd { margin:0; font-size:1.5rem; font-variant-numeric:tabular-nums; }
.notes { border-left:4px solid var(--bad); background:var(--card); padding:.5rem 1rem; margin:0 0 1.75rem; }
.notes ul { margin:0; padding-left:1.1rem; }
.pair { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,25rem),1fr)); gap:1.5rem 2rem;
  align-items:start; margin-top:1rem; }
figure { margin:0; min-width:0; } figure.wide { grid-column:1/-1; }
.sheet { background:#fff; border:1px solid var(--line); border-radius:8px; padding:.6rem; overflow-x:auto;
  text-align:center; }
.sheet img { display:block; max-width:100%; height:auto; margin:0 auto; }
.wide .sheet img { min-width:36rem; }
figcaption,.caption { font-size:.88rem; line-height:1.45; margin:.55rem 0 0; max-width:44em; }
.scroll { overflow-x:auto; min-width:0; }
table { border-collapse:collapse; width:100%; font-size:.92rem; font-variant-numeric:tabular-nums; }
th,td { padding:.36rem .6rem; text-align:right; border-bottom:1px solid var(--line); white-space:nowrap; }
thead th { color:var(--quiet); font-weight:500; font-size:.82rem; border-bottom:1.5px solid var(--quiet); }
tbody th { font-weight:600; white-space:normal; overflow-wrap:break-word; max-width:12rem; }
th:first-child,.words { text-align:left; }
.status { font-size:.82rem; font-weight:600; padding:.12rem .6rem; border:1px solid; border-radius:1rem;
  margin-right:.4rem; color:var(--quiet); }
.status.converged,.status.completed { color:var(--good); } .status.diverged { color:var(--bad); }
.facts { display:grid; grid-template-columns:repeat(auto-fill,minmax(min(100%,9.5rem),1fr)); gap:.7rem 2rem;
  margin:.8rem 0 0; }
.facts dd { margin:0; overflow-wrap:anywhere; font-variant-numeric:tabular-nums; }
pre,.code dt,.code dd { font-family:ui-monospace,"SF Mono",Menlo,Consolas,"Liberation Mono",monospace;
  font-size:.88rem; }
pre { background:var(--card); border:1px solid var(--line); border-radius:8px; padding:.8rem 1rem; overflow-x:auto; }
footer { max-width:68rem; margin:0 auto; padding:1rem 1.25rem 3rem; font-size:.85rem; }
@media print { :root { --paper:#fff; --card:#fff; --ink:#000; --quiet:#444; --line:#bbb; } body { font-size:10pt; }
  header { padding-top:0; } figure,tr,.notes,.facts { break-inside:avoid; } h2,h3 { break-after:avoid; }
  pre { white-space:pre-wrap; } .scroll,.sheet { overflow:visible; } .pair { grid-template-columns:1fr 1fr; } }
"""


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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(report.title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n<footer>Made by glassnet, a neural network you can see through.</footer>\n</body>\n</html>\n"
    )


# ---- the sections, in the order of the page -----------------------------------------------------------------------


def _head(report: Report) -> str:
    tiles = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{_number(value)}</dd></div>" for name, value in report.metrics.items()
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
    picture = _picture(
        plots.confusion_matrix(matrix, report.class_names),
        f"Confusion matrix of {len(matrix)} classes: {right:g} of {rows:g} rows lie on the diagonal.",
        "Each row is a true class, each column what the network said. Right answers lie on the diagonal; every other "
        "number is a confusion, and the shade is its share of the true class.",
    )
    body = [
        (_cell(row.name, head=True), *(_cell(f"{x:.3f}") for x in (row.precision, row.recall, row.f1)),
         _cell(_number(row.support)))
        for row in report.class_rows
    ]  # fmt: skip
    table = _table(
        ("class", "precision", "recall", "F1", "rows"),
        body,
        "Precision: of the rows given this class, the share that belongs to it. Recall: of the rows that belong to it, "
        "the share that was found. F1: their harmonic mean.",
    )
    return _section("Which classes are told apart", _pair(picture, table if body else ""))


def _regression(report: Report) -> str:
    if report.y_true is None or report.y_pred is None:
        return ""
    true, predicted = (np.asarray(y).reshape(len(y), -1) for y in (report.y_true, report.y_pred))
    targets = target_table(true, predicted, report.target_names)
    pictures = [
        _picture(
            plots.predicted_against_true(true[:, j], predicted[:, j], name=row.name),
            f"Predicted against true {row.name} for {len(true)} rows, R2 {row.r2:.3f}.",
            "Each point is a held-out row: right on the dashed line, predicted too high above it, too low below.",
        )
        for j, row in enumerate(targets[:MOST_TARGETS])
    ]
    table = _table(
        ("target", "R²", "RMSE", "MAE"),
        [(_cell(row.name, head=True), *(_cell(_number(x)) for x in (row.r2, row.rmse, row.mae))) for row in targets],
        "R²: the share of the target's variance that is predicted (1 is perfect, 0 no better than the mean). RMSE and "
        "MAE: typical size of an error, in the target's own unit; RMSE weighs large errors more.",
    )
    return _section("How close the predictions are", _pair(*pictures, table))


def _data(report: Report) -> str:
    return _section("The data", _listing({"data set": report.dataset, **report.facts}))


def _training(run: Run) -> str:
    epochs = len(run.history)
    facts = f"{epochs:,} epoch{'s' * (epochs != 1)} in {run.seconds:.2f} s"
    loss = f", last loss {_number(run.loss)}" if epochs else ""
    ending = (
        f'<p><span class="status {run.status}">{run.status}</span> {escape(run.reason) or ENDINGS[run.status]}'
        f" <span class='quiet'>({facts}{loss})</span></p>"
    )
    pictures = []
    if epochs:
        pictures.append(
            _picture(
                plots.learning_curves(run.history),
                f"Loss by epoch over {epochs} epochs, ending at {run.loss:.4g}.",
                "Without the penalty on the weights, so that the curves compare; the ring marks the lowest point. The "
                "loss should fall and level off. Where validation rises while training falls, the network begins to "
                "learn its rows by heart.",
            )
        )
    if plots.score_names(run.history):
        pictures.append(
            _picture(
                plots.score_curves(run.history),
                f"Scores by epoch: {', '.join(plots.score_names(run.history))}.",
                "What one cares about in the end, measured after every epoch.",
            )
        )
    return _section("How it learned", ending + _pair(*pictures))


def _network(report: Report) -> str:
    net = report.net
    rows = layer_table(net)
    table = _table(
        ("layer", "kind", "units", "activation", "weights", "parameters", "FLOP a sample"),
        [
            (_cell(str(row.number), head=True), _cell(row.kind, words=True), _cell(_number(row.units)),
             _cell(row.activation, words=True), _cell(row.weights or "none", words=True),
             _cell(_number(row.parameters)), _cell(_number(row.flop)))
            for row in rows
        ],
        f"{_number(net.n_inputs)} input{'s' * (net.n_inputs > 1)}; {_number(net.n_parameters)} parameters; "
        f"{_number(sum(row.flop for row in rows))} floating-point operations a prediction, activations not counted.",
    )  # fmt: skip
    diagram = _picture(
        plots.network_diagram(net, report.theta),
        f"Diagram of the network with layers of {', '.join(map(str, net.sizes))} units.",
        "Blue lines are positive weights, orange ones negative; the thicker, the larger within its layer. Dots stand "
        "for units that are not drawn.",
    )
    images = ""
    if report.image_shape is not None and (W := net.views(report.theta).get("W1")) is not None:
        images = _picture(
            plots.weight_images(W, report.image_shape),
            f"The weights into {min(25, W.shape[1])} units of the first layer, each as a picture.",
            "What the first units look for: ink on blue pixels drives a unit up, ink on orange ones down. Smooth "
            "shapes are learned features, salt and pepper is noise.",
        )
    return _section("The network", table + _pair(diagram, images))


def _inside(statistics: Sequence[LayerStatistics]) -> str:
    if not statistics:
        return ""
    table = _table(
        ("layer", "activation", "z", "a", "dead units", "saturated", "rms δ", "rms dJ/dW"),
        [
            (_cell(f"{one.number}\u00a0{one.kind}", head=True), _cell(one.activation, words=True),
             _cell(f"{_short(one.z_mean)} ± {_short(one.z_std)}"), _cell(f"{_short(one.a_mean)} ± {_short(one.a_std)}"),
             _cell(f"{one.dead:.0%}"), _cell("–" if one.saturated is None else f"{one.saturated:.0%}"),
             _cell(_short(one.delta_rms)), _cell("–" if one.gradient_rms is None else _short(one.gradient_rms)))
            for one in statistics
        ],
        "z is what a unit adds up, a what it passes on (mean ± standard deviation). A dead unit gives 0 on every row; "
        "a saturated activation lies on the flat end of its function. δ = dJ/dz is what flows back.",
    )  # fmt: skip
    histograms = _picture(
        plots.layer_histograms(statistics),
        "Histograms of the activations of each layer.",
        "A healthy hidden layer spreads over its range: a lone bar at 0 means dead units, bars at both "
        "ends only mean saturation.",
    )
    sizes = _picture(
        plots.signal_sizes(statistics),
        "Size of activations and of deltas by layer.",
        "Read from left to right for the way forward, from right to left for the way back: a line that drops by "
        "factors of ten is a signal that vanishes, one that climbs so is one that explodes.",
    )
    return _section("Inside the layers", table + _pair(histograms, sizes))


def _again(report: Report) -> str:
    command = f'<pre tabindex="0"><code>{escape(report.command)}</code></pre>' if report.command else ""
    versions = ", ".join(f"{escape(name)} {escape(str(number))}" for name, number in report.versions.items())
    arguments = _listing(report.config, code=True)
    body = (
        command
        + (f'<p class="quiet">With {versions}.</p>' if versions else "")
        + (f"<h3>All arguments</h3>{arguments}" if arguments else "")
    )
    return _section("To reproduce it", body) if body else ""


# ---- small pieces of HTML: these escape what they are given, except for `body` ------------------------------------


def _section(title: str, body: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def _pair(*bodies: str) -> str:
    return f'<div class="pair">{"".join(body for body in bodies if body)}</div>' if any(bodies) else ""


def _picture(drawn: Figure | Axes, alt: str, caption: str) -> str:
    """A figure as an image of its own, so that the names inside several SVGs cannot clash.

    All are shown at 96 pixels an inch, so that type has the same size everywhere; wide ones get a row of their own.
    """
    data = base64.b64encode(plots.to_svg(drawn).encode("utf-8")).decode("ascii")
    inches = plots.figure_of(drawn).get_figwidth()
    image = f'<img style="width:{6 * inches:.1f}rem" alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
    kind = ' class="wide"' if inches > 6 else ""
    return f'<figure{kind}><div class="sheet">{image}</div><figcaption>{escape(caption)}</figcaption></figure>\n'


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """A table from texts and from cells that `_cell` has made."""
    left = dict.fromkeys(("kind", "activation", "weights"), ' class="words"')
    top = "".join(f'<th scope="col"{left.get(head, "")}>{escape(head)}</th>' for head in heads)
    body = "".join(f"<tr>{''.join(row)}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>'
        f'<p class="caption">{escape(caption)}</p></div>\n'
    )


def _cell(text: str, head: bool = False, words: bool = False) -> str:
    if head:
        return f'<th scope="row">{escape(str(text))}</th>'
    return f'<td class="words">{escape(text)}</td>' if words else f"<td>{escape(text)}</td>"


def _listing(facts: Mapping[str, object], code: bool = False) -> str:
    """Names with their values: for readers, or exactly as given where they are to be typed again (`code`)."""
    kind = "facts code" if code else "facts"
    items = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{escape(str(value)) if code else _number(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="{kind}">{items}</dl>' if items else ""


def _number(value: object) -> str:
    """Return a number for readers, 1,797 or 0.9812, and any other value as escaped text."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return escape(str(value))
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return f"{value:.4g}" if np.isfinite(value) else "–" if np.isnan(value) else str(value)


def _short(value: float) -> str:
    """Return three digits as in print: 0.535, −4.38, 1.39·10⁻⁴."""
    digits, _, power = f"{value:.3g}".partition("e")
    if 0 < abs(value) < 1e-3 and not power:
        digits, _, power = f"{value:.2e}".partition("e")
    raised = f"·10{str(int(power)).translate(RAISED)}" if power else ""
    return digits.replace("-", "−") + raised
