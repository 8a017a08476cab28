"""How an expression is written: as text, as LaTeX and as MathML.

Each writer is one function on the records of expressions.py. Parentheses are set where an operation inside binds less
tightly than the one around it, and around a negative number that follows a sign.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape

from glassnet.insight.expressions import (
    Apply,
    Bracket,
    Derivative,
    Expr,
    Matrix,
    Negative,
    Number,
    Power,
    Product,
    Quotient,
    Rest,
    Sum,
    Symbol,
)

__all__ = ["decimal", "latex", "mathml", "text"]

DIGITS = 6
SUM, PRODUCT, POWER, ATOM = 1, 2, 3, 4
GREEK = {"δ": r"\delta", "η": r"\eta", "λ": r"\lambda", "σ": r"\sigma", "∂": r"\partial"}
KNOWN_FUNCTIONS = {"ln", "exp", "tanh", "max"}
"""Functions that LaTeX has a command for."""

Writer = Callable[[Expr], str]
Signs = Mapping[str, str]
PLAIN = {"+": " + ", "-": " - "}


def decimal(value: float) -> str:
    """Return six digits, and a whole number as one: 0.377500 -> 0.3775, 3.0 -> 3.

    >>> decimal(1 / 3), decimal(-2.0), decimal(4.25e-9)
    ('0.333333', '-2', '4.25e-09')
    """
    written = f"{value:.{DIGITS}g}"
    return "0" if written == "-0" else written


def _binds(expression: Expr) -> int:
    """Return how tightly the outermost operation binds."""
    match expression:
        case Sum() | Negative():
            return SUM
        case Number(value=value) if value < 0:
            return SUM
        case Product() | Quotient():
            return PRODUCT
        case Number(fraction=fraction) if fraction is not None and fraction.denominator > 1:
            return PRODUCT
        case Power():
            return POWER
    return ATOM


def _signed(term: Expr) -> tuple[str, Expr]:
    """Return the sign of a term of a sum and what follows it: - 0.3 instead of + (-0.3)."""
    match term:
        case Negative(of=of):
            return "-", of
        case Number(value=value, fraction=fraction) if value < 0:
            return "-", Number(-value, None if fraction is None else -fraction)
    return "+", term


# ---- text ---------------------------------------------------------------------------------------------------------


def text(expression: Expr) -> str:
    """Return an expression as one line of text; indices count from 0, as in `net.views(theta)["W1"][0, 1]`.

    >>> text(Sum((Product((Symbol("W", 1, (0, 1)), Symbol("x", None, (0,)))), Negative(Number(0.5)))))
    'W1[0,1]·x[0] - 0.5'
    """
    match expression:
        case Number(value=value, fraction=fraction):
            return decimal(value) if fraction is None else str(fraction)
        case Symbol():
            return _symbol_text(expression)
        case Derivative(by=by):
            return f"dJ/d{_symbol_text(by)}"
        case Sum(terms=terms):
            return _sum(terms, text, "(", ")")
        case Product(factors=factors):
            return "·".join(_inside(factor, PRODUCT, text, "(", ")") for factor in factors)
        case Quotient(top=top, bottom=bottom):
            return f"{_inside(top, PRODUCT, text, '(', ')')}/{_inside(bottom, POWER, text, '(', ')')}"
        case Power(base=base, exponent=exponent):
            return f"{_inside(base, ATOM, text, '(', ')')}^{exponent}"
        case Negative(of=of):
            return f"-{_inside(of, PRODUCT, text, '(', ')')}"
        case Bracket(of=of):
            return f"[{text(of)} > 0]"
        case Apply(name="abs", arguments=arguments):
            return f"|{text(arguments[0])}|"
        case Apply(name=name, arguments=arguments):
            return f"{name}({', '.join(map(text, arguments))})"
        case Rest(count=count, value=value):
            return f"({count} more: {decimal(value)})"
        case Matrix(rows=rows):
            written = [f"[{', '.join(map(text, row))}]" for row in rows]
            return written[0] if len(written) == 1 else f"[{', '.join(written)}]"


def _symbol_text(symbol: Symbol) -> str:
    layer = "" if symbol.layer is None else str(symbol.layer)
    index = f"[{','.join(map(str, symbol.index))}]" if symbol.index else ""
    return f"{symbol.letter}{layer}{index}"


def _inside(part: Expr, least: int, write: Writer, opening: str, closing: str) -> str:
    return f"{opening}{write(part)}{closing}" if _binds(part) < least else write(part)


def _sum(terms: tuple[Expr, ...], write: Writer, opening: str, closing: str, signs: Signs = PLAIN) -> str:
    parts = []
    for i, term in enumerate(terms):
        sign, rest = _signed(term)
        before = signs[sign] if i else signs["-"].strip() * (sign == "-")
        parts.append(before + _inside(rest, PRODUCT, write, opening, closing))
    return "".join(parts)


# ---- LaTeX --------------------------------------------------------------------------------------------------------


def latex(expression: Expr) -> str:
    r"""Return an expression in LaTeX, for a line of mathematics.

    >>> latex(Quotient(Number(1.0), Symbol("z", 1, (0,))))
    '\\frac{1}{z^{(1)}_{0}}'
    """
    opening, closing = r"\left(", r"\right)"
    match expression:
        case Number(value=value, fraction=fraction):
            return _number_latex(value) if fraction is None else _fraction_latex(str(fraction))
        case Symbol():
            return _symbol_latex(expression)
        case Derivative(by=by):
            return rf"\frac{{\partial J}}{{\partial {_symbol_latex(by)}}}"
        case Sum(terms=terms):
            return _sum(terms, latex, opening, closing)
        case Product(factors=factors):
            return r" \cdot ".join(_inside(factor, PRODUCT, latex, opening, closing) for factor in factors)
        case Quotient(top=top, bottom=bottom):
            return rf"\frac{{{latex(top)}}}{{{latex(bottom)}}}"
        case Power(base=base, exponent=exponent):
            return f"{_inside(base, ATOM, latex, opening, closing)}^{{{exponent}}}"
        case Negative(of=of):
            return f"-{_inside(of, PRODUCT, latex, opening, closing)}"
        case Bracket(of=of):
            return rf"\left[{latex(of)} > 0\right]"
        case Apply(name="abs", arguments=arguments):
            return rf"\left|{latex(arguments[0])}\right|"
        case Apply(name=name, arguments=arguments):
            return rf"{_function_latex(name)}{opening}{', '.join(map(latex, arguments))}{closing}"
        case Rest(count=count, value=value):
            return rf"\left({_number_latex(value)}\ \mathrm{{from\ {count}\ more}}\right)"
        case Matrix(rows=rows):
            body = r" \\ ".join(" & ".join(map(latex, row)) for row in rows)
            return rf"\begin{{bmatrix}} {body} \end{{bmatrix}}"


def _number_latex(value: float) -> str:
    digits, _, power = decimal(value).partition("e")
    return rf"{digits} \cdot 10^{{{int(power)}}}" if power else digits


def _fraction_latex(written: str) -> str:
    sign = "-" if written.startswith("-") else ""
    top, _, bottom = written.removeprefix("-").partition("/")
    return rf"{sign}\frac{{{top}}}{{{bottom}}}" if bottom else sign + top


def _symbol_latex(symbol: Symbol) -> str:
    layer = "" if symbol.layer is None else f"^{{({symbol.layer})}}"
    index = f"_{{{','.join(map(str, symbol.index))}}}" if symbol.index else ""
    return f"{GREEK.get(symbol.letter, symbol.letter)}{layer}{index}"


def _function_latex(name: str) -> str:
    if name in GREEK:
        return GREEK[name]
    stem = name.rstrip("'")
    command = rf"\{stem}" if stem in KNOWN_FUNCTIONS else rf"\mathrm{{{stem.replace('_', ' ')}}}"
    return command + name[len(stem) :]


# ---- MathML -------------------------------------------------------------------------------------------------------


def mathml(expression: Expr) -> str:
    """Return an expression as MathML (what stands inside `<math>`): browsers draw it without any script.

    >>> mathml(Symbol("b", 1, (0,)))
    '<msubsup><mi>b</mi><mn>0</mn><mrow><mo>(</mo><mn>1</mn><mo>)</mo></mrow></msubsup>'
    """
    opening, closing = "<mo>(</mo>", "<mo>)</mo>"
    match expression:
        case Number(value=value, fraction=fraction):
            return _number_mathml(value) if fraction is None else _fraction_mathml(str(fraction))
        case Symbol():
            return _symbol_mathml(expression)
        case Derivative(by=by):
            return f"<mfrac><mrow><mo>∂</mo><mi>J</mi></mrow><mrow><mo>∂</mo>{_symbol_mathml(by)}</mrow></mfrac>"
        case Sum(terms=terms):
            return _row(_sum(terms, mathml, opening, closing, {"+": "<mo>+</mo>", "-": "<mo>−</mo>"}))
        case Product(factors=factors):
            return _row("<mo>·</mo>".join(_inside(factor, PRODUCT, mathml, opening, closing) for factor in factors))
        case Quotient(top=top, bottom=bottom):
            return f"<mfrac>{_row(mathml(top))}{_row(mathml(bottom))}</mfrac>"
        case Power(base=base, exponent=exponent):
            return f"<msup>{_row(_inside(base, ATOM, mathml, opening, closing))}<mn>{exponent}</mn></msup>"
        case Negative(of=of):
            return _row(f"<mo>−</mo>{_inside(of, PRODUCT, mathml, opening, closing)}")
        case Bracket(of=of):
            return _row(f"<mo>[</mo>{mathml(of)}<mo>&gt;</mo><mn>0</mn><mo>]</mo>")
        case Apply(name="abs", arguments=arguments):
            return _row(f"<mo>|</mo>{mathml(arguments[0])}<mo>|</mo>")
        case Apply(name=name, arguments=arguments):
            inner = "<mo>,</mo>".join(map(mathml, arguments))
            return _row(f"<mi>{escape(name)}</mi><mo>(</mo>{inner}<mo>)</mo>")
        case Rest(count=count, value=value):
            return _row(f"<mo>(</mo><mtext>{count} more: </mtext>{_number_mathml(value)}<mo>)</mo>")
        case Matrix(rows=rows):
            body = "".join(f"<mtr>{''.join(f'<mtd>{mathml(n)}</mtd>' for n in row)}</mtr>" for row in rows)
            # the page draws the brackets: <mo>[</mo> does not grow where there is no mathematical font
            return f"<mtable>{body}</mtable>"


def _row(inner: str) -> str:
    return f"<mrow>{inner}</mrow>"


def _number_mathml(value: float) -> str:
    digits, _, power = decimal(value).partition("e")
    sign, digits = ("<mo>−</mo>", digits[1:]) if digits.startswith("-") else ("", digits)
    if not power:
        return f"{_row(f'{sign}<mn>{digits}</mn>')}" if sign else f"<mn>{digits}</mn>"
    return _row(
        f"{sign}<mn>{digits}</mn><mo>·</mo><msup><mn>10</mn><mn>{str(int(power)).replace('-', '−')}</mn></msup>"
    )


def _fraction_mathml(written: str) -> str:
    sign = "<mo>−</mo>" if written.startswith("-") else ""
    top, _, bottom = written.removeprefix("-").partition("/")
    body = f"<mfrac><mn>{top}</mn><mn>{bottom}</mn></mfrac>" if bottom else f"<mn>{top}</mn>"
    return _row(sign + body) if sign else body


def _symbol_mathml(symbol: Symbol) -> str:
    letter = f"<mi>{symbol.letter}</mi>"
    index = _row("<mo>,</mo>".join(f"<mn>{i}</mn>" for i in symbol.index)) if len(symbol.index) > 1 else "".join(
        f"<mn>{i}</mn>" for i in symbol.index
    )  # fmt: skip
    layer = _row(f"<mo>(</mo><mn>{symbol.layer}</mn><mo>)</mo>") if symbol.layer is not None else ""
    if index and layer:
        return f"<msubsup>{letter}{index}{layer}</msubsup>"
    if index or layer:
        return f"<msub>{letter}{index}</msub>" if index else f"<msup>{letter}{layer}</msup>"
    return letter
