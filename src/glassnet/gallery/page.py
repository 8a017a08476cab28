"""The gallery as one self-contained page: every picture, table and explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from glassnet.gallery.experiment import Experiment, Row
from glassnet.insight import html, plots

__all__ = ["render"]

EXTRA = """nav ol { columns:20rem 3; padding-left:1.4rem; } nav a { color:var(--accent); }
.question { font-size:1.1rem; color:var(--quiet); margin:-.4rem 0 1.2rem; max-width:46rem; }
.headline { font-size:2.4rem; } .notes p { margin:.2rem 0 .7rem; max-width:38rem; } .yes { color:var(--good); }
.no { color:var(--bad); font-weight:700; } td.words { min-width:11rem; }
.notes { background:none; border:0; padding:0; } td { white-space:normal; }
"""


def render(results: Mapping[str, Experiment], versions: str = "") -> str:
    """Return the page for {name: experiment}: no script, nothing loaded from elsewhere.

    The pictures are PNG images inside the page, each with its title as the text for those who do not see it.
    """
    links = "".join(f'<li><a href="#{name}">{escape(one.title)}</a></li>' for name, one in results.items())
    figures = sum(row.agrees is not None for one in results.values() for row in one.rows)
    right = sum(row.agrees is True for one in results.values() for row in one.rows)
    sections = "\n".join(_section(number, name, one) for number, (name, one) in enumerate(results.items(), 1))
    body = (
        f'<header><p class="kicker">glassnet gallery</p>\n<h1 class="headline">Lessons about neural networks</h1>\n'
        f"<p>{len(results)} experiments, each with its figures beside the published or measured ones: "
        f"{right} of {figures} agree.</p>\n<nav><ol>{links}</ol></nav></header>\n{sections}"
    )
    footer = f"Made by glassnet gallery --all. {versions}"
    return html.document("glassnet gallery", f"<style>{EXTRA}</style>{body}", footer)


def _section(number: int, name: str, one: Experiment) -> str:
    picture = plots.to_png_base64(one.figure, dpi=130)
    notes = "".join(f"<p>{escape(note)}</p>" for note in one.notes)
    body = (
        f'<p class="question">{escape(one.question)}</p>\n'
        f'<div class="sheet"><img src="data:image/png;base64,{picture}" alt="{escape(one.title)}"></div>\n'
        + html.pair(f'<div class="notes">{notes}<p><code>glassnet gallery {name}</code></p></div>', _table(one.rows))
    )
    return html.section(f"{number}. {one.title}", body).replace("<section>", f'<section id="{name}">', 1)


def _table(rows: Sequence[Row]) -> str:
    marks = {True: '<td class="yes">✓</td>', False: '<td class="no">no</td>', None: "<td></td>"}
    cells = [
        (html.cell(row.name, words=True), html.cell(row.ours), html.cell(row.expected), marks[row.agrees])
        for row in rows
    ]
    return html.table(("figure", "ours", "expected", "agrees"), cells, "")
