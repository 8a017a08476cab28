"""The gallery as one self-contained page: every picture, table and explanation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from glassnet.gallery.experiment import Experiment, Row
from glassnet.insight import plots

__all__ = ["render"]

CSS = """
:root { --paper:#f6f5f1; --card:#fff; --ink:#1f2933; --quiet:#5b6773; --line:#dcdfe3; --accent:#0072b2;
  --good:#00694c; --bad:#a83f00; }
* { box-sizing:border-box; } html { scroll-behavior:smooth; }
body { margin:0; background:var(--paper); color:var(--ink); font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,
  "Liberation Sans",Arial,sans-serif; }
main,header { max-width:70rem; margin:0 auto; padding:0 1.25rem; } header { padding-top:3rem; }
h1,h2 { font-family:"Iowan Old Style","Palatino Linotype",Palatino,Georgia,"Liberation Serif",serif; line-height:1.2; }
h1 { font-size:2.4rem; margin:0 0 .6rem; } h2 { font-size:1.7rem; margin:0; }
nav ol { columns:20rem 3; padding-left:1.4rem; } nav a { color:var(--accent); }
section { border-top:1px solid var(--line); padding:2rem 0 2.4rem; }
.question { font-size:1.1rem; color:var(--quiet); margin:.4rem 0 1.2rem; max-width:46rem; }
.sheet { background:var(--card); border:1px solid var(--line); border-radius:8px; padding:.8rem; overflow-x:auto; }
.sheet img { display:block; max-width:100%; height:auto; margin:0 auto; }
.below { display:grid; grid-template-columns:repeat(auto-fit,minmax(min(100%,27rem),1fr)); gap:1rem 2.2rem;
  margin-top:1.2rem; }
.notes p { margin:.2rem 0 .7rem; max-width:38rem; } .scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:.9rem; font-variant-numeric:tabular-nums; }
th,td { padding:.34rem .55rem; text-align:right; border-bottom:1px solid var(--line); vertical-align:top; }
th:first-child,td:first-child { text-align:left; } thead th { color:var(--quiet); font-weight:500; font-size:.82rem; }
.yes { color:var(--good); } .no { color:var(--bad); font-weight:700; }
.code,footer { color:var(--quiet); font-size:.88rem; }
footer { max-width:70rem; margin:0 auto; padding:1rem 1.25rem 3rem; }
@media print { section { break-inside:avoid; } nav { display:none; } }
"""


def render(results: Mapping[str, Experiment], versions: str = "") -> str:
    """Return the page for {name: experiment}: no script, nothing loaded from elsewhere.

    The pictures are PNG images inside the page, each with its title as the text for those who do not see it.
    """
    links = "".join(f'<li><a href="#{name}">{escape(one.title)}</a></li>' for name, one in results.items())
    figures = sum(row.agrees is not None for one in results.values() for row in one.rows)
    right = sum(row.agrees is True for one in results.values() for row in one.rows)
    sections = "\n".join(_section(number, name, one) for number, (name, one) in enumerate(results.items(), 1))
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>glassnet gallery</title>\n<style>{CSS}</style>\n</head>\n<body>\n"
        "<header><h1>Lessons about neural networks</h1>\n"
        f"<p>{len(results)} experiments, each with its figures beside the published or measured ones: "
        f"{right} of {figures} agree.</p>\n<nav><ol>{links}</ol></nav></header>\n<main>\n{sections}\n</main>\n"
        f"<footer>Made by <code>glassnet gallery --all</code>. {escape(versions)}</footer>\n</body>\n</html>\n"
    )


def _section(number: int, name: str, one: Experiment) -> str:
    picture = plots.to_png_base64(one.figure, dpi=130)
    notes = "".join(f"<p>{escape(note)}</p>" for note in one.notes)
    return (
        f'<section id="{name}"><h2>{number}. {escape(one.title)}</h2>\n'
        f'<p class="question">{escape(one.question)}</p>\n'
        f'<div class="sheet"><img src="data:image/png;base64,{picture}" alt="{escape(one.title)}"></div>\n'
        f'<div class="below"><div class="notes">{notes}<p class="code"><code>glassnet gallery {name}</code></p></div>\n'
        f'<div class="scroll">{_table(one.rows)}</div></div></section>'
    )


def _table(rows: Sequence[Row]) -> str:
    body = "".join(
        f"<tr><td>{escape(row.name)}</td><td>{escape(row.ours)}</td><td>{escape(row.expected)}</td>{_mark(row)}</tr>"
        for row in rows
    )
    return (
        "<table><thead><tr><th>figure</th><th>ours</th><th>expected</th><th>agrees</th></tr></thead>"
        f"<tbody>{body}</tbody></table>"
    )


def _mark(row: Row) -> str:
    if row.agrees is None:
        return "<td></td>"
    return '<td class="yes">✓</td>' if row.agrees else '<td class="no">no</td>'
