"""Worked pages: lines of equations in sections, as text, as LaTeX and as HTML without a script."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from glassnet.insight.expressions import Expr
from glassnet.insight.typeset import latex, mathml, text

__all__ = ["Line", "Page", "Section"]

WIDTH = 100
"""A line of text longer than this is broken at its signs of equality."""
TEX_WIDTH = 75
"""The same for a line of LaTeX, measured by its text."""

STYLE = """
.worked { color:inherit; line-height:1.5; } .worked h3 { font-size:1.15rem; margin:.2rem 0 .3rem; }
.worked h4 { font-size:1rem; margin:1.1rem 0 .2rem; } .worked p { margin:.2rem 0; max-width:46em; }
.worked table { border-collapse:collapse; margin:.25rem 0; width:auto; } .worked .scroll { overflow-x:auto; }
.worked td { border:none; background:none; text-align:left; padding:.16rem .3rem; vertical-align:middle; }
.worked td:first-child { text-align:right; } .worked .said { opacity:.75; padding-left:1.4rem; }
.worked math { font-size:1.06em; } .worked + .worked, .sheet-break + .worked { margin-top:2.5rem; }
.worked mtable { border-left:1px solid; border-right:1px solid; padding:0 .25em;
  --foot:linear-gradient(currentColor,currentColor); background:var(--foot) 0 0/.3em 1px no-repeat,
  var(--foot) 0 100%/.3em 1px no-repeat, var(--foot) 100% 0/.3em 1px no-repeat,
  var(--foot) 100% 100%/.3em 1px no-repeat; print-color-adjust:exact; }
@media print { .worked tr, .worked h4 { break-inside:avoid; } .worked h4 { break-after:avoid; } }
"""


@dataclass(frozen=True)
class Line:
    """left = right[0] = right[1] ...: the equation, the numbers filled in, the number that comes out.

    `relation` stands between left and right ("=" or "←"); `rounded` says that the last sign is ≈: decimals stand for a
    number that is no fraction. `said` are words beside the line.
    """

    left: Expr
    right: tuple[Expr, ...]
    relation: str = "="
    rounded: bool = False
    said: str = ""

    def steps(self) -> Iterator[tuple[str, Expr]]:
        """Yield each right-hand side with the sign before it; one that is written as the one before is left out."""
        sign, before = self.relation, text(self.left)
        for i, expression in enumerate(self.right):
            last = i == len(self.right) - 1
            if text(expression) != before or (last and i == 0):
                yield ("≈" if last and self.rounded and sign == "=" else sign), expression
                sign = "="
            before = text(expression)


@dataclass(frozen=True)
class Section:
    """A heading, a sentence and lines."""

    title: str
    words: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Page:
    """A title, a sentence and sections, to be written in three ways."""

    title: str
    words: str
    sections: tuple[Section, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        """Every line of the page."""
        return tuple(line for section in self.sections for line in section.lines)

    def text(self) -> str:
        """Return the page as text."""
        parts = [self.title, "=" * len(self.title), *([self.words] if self.words else [])]
        for section in self.sections:
            parts += ["", section.title, "-" * len(section.title), *([section.words] if section.words else [])]
            parts += [row for line in section.lines for row in _text_rows(line)]
        return "\n".join(parts)

    def latex(self) -> str:
        """Return the page in LaTeX, to be put into a document that uses the packages amsmath and amssymb."""
        parts = [rf"\section*{{{_tex(self.title)}}}", _tex(self.words)]
        for section in self.sections:
            parts += [rf"\subsection*{{{_tex(section.title)}}}", _tex(section.words)]
            rows = [_latex_row(line) for line in section.lines]
            if rows:
                parts += [r"\begin{align*}", " \\\\\n".join(rows), r"\end{align*}"]
        return "\n".join(part for part in parts if part) + "\n"

    def html(self) -> str:
        """Return the page as a piece of HTML with MathML, its style inside, no script."""
        parts = [f'<div class="worked"><style>{STYLE}</style>', f"<h3>{escape(self.title)}</h3>"]
        parts += [f"<p>{escape(self.words)}</p>"] * bool(self.words)
        for section in self.sections:
            parts.append(f"<h4>{escape(section.title)}</h4>")
            parts += [f"<p>{escape(section.words)}</p>"] * bool(section.words)
            rows = "".join(map(_html_row, section.lines))
            parts += [f'<div class="scroll"><table><tbody>{rows}</tbody></table></div>'] * bool(rows)
        return "\n".join([*parts, "</div>"])


def _text_rows(line: Line) -> list[str]:
    left = text(line.left)
    steps = [f"{sign} {text(expression)}" for sign, expression in line.steps()]
    whole = f"  {left} {' '.join(steps)}"
    words = [f"    ({line.said})"] if line.said else []
    if len(whole) <= WIDTH:
        return [whole, *words]
    return [f"  {left} {steps[0]}", *(f"  {' ' * len(left)} {step}" for step in steps[1:]), *words]


SIGNS = {"=": "=", "←": r"\leftarrow", "≈": r"\approx"}


def _latex_row(line: Line) -> str:
    """Return a line of `align*`, broken before its signs where it would not fit on a page."""
    written = list(line.steps())
    steps = [f"{SIGNS[sign]} {latex(expression)}" for sign, expression in written]
    said = rf"&& \text{{{_tex(line.said)}}}" if line.said else ""
    length = len(text(line.left)) + sum(len(text(expression)) + 3 for _, expression in written)
    between = " " if length <= TEX_WIDTH else " \\\\\n&"
    return f"{latex(line.left)} &{between.join(steps)}{said}"


def _tex(words: str) -> str:
    """Return words with LaTeX's own characters made harmless, and Greek letters as mathematics."""
    escaped = "".join({"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}.get(
        c, f"\\{c}" if c in "#$%&_{}" else c) for c in words)  # fmt: skip
    for letter, command in LETTERS.items():
        escaped = escaped.replace(letter, f"${command}$")
    return escaped


LETTERS = {
    "δ": r"\delta", "η": r"\eta", "θ": r"\theta", "σ": r"\sigma", "λ": r"\lambda", "·": r"\cdot", "→": r"\to",
    "←": r"\leftarrow", "≈": r"\approx",
}  # fmt: skip


def _html_row(line: Line) -> str:
    steps = list(line.steps())
    cells = [f"<td>{_math(mathml(line.left))}</td>"]
    body = "".join(f"<mo>{sign}</mo>{mathml(expression)}" for sign, expression in steps)
    cells.append(f"<td>{_math(body)}</td>")
    if line.said:
        cells.append(f'<td class="said">{escape(line.said)}</td>')
    return f"<tr>{''.join(cells)}</tr>\n"


def _math(inner: str) -> str:
    return f'<math displaystyle="true"><mrow>{inner}</mrow></math>'
