"""Small pieces of HTML for self-contained pages: one style, no script, nothing loaded from elsewhere.

Every function escapes the text it is given; a `body` is HTML already.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import numpy as np

from glassnet.insight import style

__all__ = ["cell", "document", "listing", "number", "pair", "picture", "section", "short", "table"]

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

MOST_ON_A_PHONE = 5
"""Columns that a phone has room for, side by side."""

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
@media (max-width:36rem) { .many thead { position:absolute; clip-path:inset(50%); }
  .many tr { display:grid; grid-template-columns:repeat(auto-fit,minmax(9.5rem,1fr)); gap:0 1.25rem; padding:.45rem 0;
    border-bottom:1px solid var(--line); }
  .many th,.many td { border:0; padding:.1rem 0; white-space:normal; }
  .many tbody th { grid-column:1/-1; max-width:none; }
  .many tbody th::before { content:attr(data-head) " "; font-weight:400; color:var(--quiet); }
  .many td { display:flex; justify-content:space-between; gap:.7rem; text-align:right; }
  .many td::before { content:attr(data-head); color:var(--quiet); text-align:left; } }
@media print { :root { --paper:#fff; --card:#fff; --ink:#000; --quiet:#444; --line:#bbb; } body { font-size:10pt; }
  header { padding-top:0; } figure,tr,.notes,.facts { break-inside:avoid; } h2,h3 { break-after:avoid; }
  pre { white-space:pre-wrap; } .scroll,.sheet { overflow:visible; } .pair { grid-template-columns:1fr 1fr; } }
"""


def document(title: str, body: str, footer: str) -> str:
    """Return a whole page."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        f"<footer>{escape(footer)}</footer>\n</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    """Return a section with a heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def pair(*bodies: str) -> str:
    """Return bodies side by side, where the page is wide enough."""
    return f'<div class="pair">{"".join(body for body in bodies if body)}</div>' if any(bodies) else ""


def picture(drawn: style.Drawn, alt: str, caption: str) -> str:
    """Return a figure as an image of its own, so that the names inside several SVGs cannot clash.

    All are shown at 96 pixels an inch, so that type has the same size everywhere; wide ones get a row of their own.
    """
    data = base64.b64encode(style.to_svg(drawn).encode("utf-8")).decode("ascii")
    inches = style.figure_of(drawn).get_figwidth()
    image = f'<img style="width:{6 * inches:.1f}rem" alt="{escape(alt)}" src="data:image/svg+xml;base64,{data}">'
    kind = ' class="wide"' if inches > 6 else ""
    return f'<figure{kind}><div class="sheet">{image}</div><figcaption>{escape(caption)}</figcaption></figure>\n'


def table(heads: Sequence[str], rows: Iterable[Sequence[str]], caption: str) -> str:
    """Return a table from heads and from rows of cells that `cell` has made.

    Of many columns, a phone shows each row as a list of them: a cell knows its head.
    """
    left = dict.fromkeys(("kind", "activation", "weights"), ' class="words"')
    top = "".join(f'<th scope="col"{left.get(head, "")}>{escape(head)}</th>' for head in heads)
    kind = ' class="many"' if len(heads) > MOST_ON_A_PHONE else ""
    body = "".join(f"<tr>{''.join(map(_headed, row, heads))}</tr>\n" for row in rows)
    return (
        f'<div class="scroll" tabindex="0"><table{kind}><thead><tr>{top}</tr></thead><tbody>\n{body}</tbody></table>'
        f'<p class="caption">{escape(caption)}</p></div>\n'
    )


def _headed(made: str, head: str) -> str:
    """Return a cell with its head as an attribute."""
    tag = made[:3]  # <th or <td
    return f'{tag} data-head="{escape(head)}"{made[3:]}'


def cell(text: str, head: bool = False, words: bool = False) -> str:
    """Return one cell: a number, words (to the left), or the head of its row."""
    if head:
        return f'<th scope="row">{escape(str(text))}</th>'
    return f'<td class="words">{escape(text)}</td>' if words else f"<td>{escape(text)}</td>"


def listing(facts: Mapping[str, object], code: bool = False) -> str:
    """Return names with their values: for readers, or exactly as given where they are to be typed again (`code`)."""
    kind = "facts code" if code else "facts"
    items = "".join(
        f"<div><dt>{escape(str(name))}</dt><dd>{escape(str(value)) if code else number(value)}</dd></div>"
        for name, value in facts.items()
    )
    return f'<dl class="{kind}">{items}</dl>' if items else ""


def number(value: object) -> str:
    """Return a number for readers, 1,797 or 0.9812, and any other value as escaped text."""
    if isinstance(value, bool | np.bool_) or not isinstance(value, int | float | np.integer | np.floating):
        return escape(str(value))
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    if not np.isfinite(value):
        return "–" if np.isnan(value) else str(value)
    size = abs(float(value))
    return f"{value:,.0f}" if 1e4 <= size < 1e12 else f"{value:.4g}"


def short(value: float) -> str:
    """Return three digits as in print: 0.535, −4.38, 1.39·10⁻⁴."""
    digits, _, power = f"{value:.3g}".partition("e")
    if 0 < abs(value) < 1e-3 and not power:
        digits, _, power = f"{value:.2e}".partition("e")
    raised = f"·10{str(int(power)).translate(RAISED)}" if power else ""
    return digits.replace("-", "−") + raised
